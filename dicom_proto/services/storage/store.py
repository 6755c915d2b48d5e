"""Storage (PS3.4 Annexes B and GG, PS3.7 9.1.1): what can be stored, and C-STORE as SCP.

May change.
"""

import logging
from typing import Any, Final, Self, TypeAlias, cast

from attrs import evolve, field, frozen
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import decompress as decompress_pixel_data
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import DataChunk, DataRun
from dicom_proto.encoding.converting import Conversion, convert
from dicom_proto.encoding.datasets import FileMeta, LongValueError, decode, encode, read_file_meta
from dicom_proto.encoding.rules import DEFAULT_RULES, EncodingRules
from dicom_proto.encoding.sources import Source
from dicom_proto.encoding.structure import DEFLATED, Data
from dicom_proto.errors import (
    DataSetError,
    EncodingError,
    InvalidNameError,
    InvalidSettingError,
    LocalProtocolError,
    MissingElementError,
)
from dicom_proto.handlers.kinds import EVT_C_STORE
from dicom_proto.handlers.registry import Binding
from dicom_proto.handlers.sinks import Receiving, Refused
from dicom_proto.programs.effects import Call, Program, Receive
from dicom_proto.programs.performing import Performing
from dicom_proto.services.storage.chunks import is_chunked, store_chunked
from dicom_proto.status import Category, Status

__all__ = ["UNCOMPRESSED", "Storable", "StoredObject", "named", "store_scp"]

_log = logging.getLogger("dicom_proto.services")

HANDLER_FAILED: Final = 0xC211
_LARGE: Final = 1 << 20  # bytes of a data set that is converted piece by piece, if possible

# Between these an object can be converted, in the order in which that is liked best (PS3.5 Annex A).
UNCOMPRESSED: Final[tuple[str, ...]] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)


@frozen(kw_only=True)
class StoredObject:
    """A SOP Instance, as it lies somewhere.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        What it is.
    transfer_syntax : str or None
        The UID of the transfer syntax of ``data``; ``None`` for a Dataset that has never been encoded, and is not
        compressed.
    data : buffer, Dataset or Source
        The data set: encoded, decoded, or encoded and read while it is sent. Encoded it should be of even length; if it
        is not, its elements, its fragments, or what has been deflated are padded when it is sent (PS3.5 6.2, A.4, A.5).
        Of a source only the last.
    name : str, optional
        Where it lies: the name of a file. No message has it, for it may be that of a patient.
    look : Data, optional
        The same as ``data``, for whoever has to look at it, if that may be dangerous: a file that is mapped into memory
        may become shorter. It raises a :class:`~dicom_proto.errors.LocalProtocolError` then.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str | None
    data: Buffer | Dataset | Source
    name: str | None = field(default=None, eq=False)
    look: Data | None = field(default=None, eq=False, repr=False)

    @classmethod
    def of(cls, value: object) -> Self:
        """Return what somebody wants stored.

        Parameters
        ----------
        value : StoredObject, Dataset, bytes, bytearray, memoryview or tuple
            A Dataset states its transfer syntax in its ``file_meta``, or remembers how it was read. A buffer is the
            content of a DICOM file (PS3.10 7), whose data set is sent as it is. A tuple is such a data set, as a
            buffer or a :class:`~dicom_proto.encoding.sources.Source`, behind its File Meta Information: a
            ``FileMetaDataset`` or a :class:`~dicom_proto.encoding.datasets.FileMeta`.

        Raises
        ------
        LocalProtocolError
            If it is something else, or does not say which SOP Instance it is.
        """
        match value:
            case cls():
                return value
            case Dataset():
                return cls._of_dataset(value)
            case bytes() | bytearray() | memoryview():
                return cls.of_file(cast(FileMeta, read_file_meta(value, complete=True)), value)
            case (FileMeta() as meta, Source() as source):
                return cls._of_file(meta, source)
            case (FileMeta() as meta, (bytes() | bytearray() | memoryview()) as data):
                return cls.of_file(evolve(meta, data_offset=0), data)
            case (Dataset() as meta, (bytes() | bytearray() | memoryview() | Source()) as data):
                return cls._of_meta(meta, data)
            case _:
                raise InvalidSettingError(
                    f"{type(value).__name__} cannot be stored: a Dataset, a DICOM file's content, or its File Meta"
                    " Information and its data set can"
                )

    @classmethod
    def of_file(cls, meta: FileMeta, content: Buffer, name: str | None = None, look: Data | None = None) -> Self:
        """Return the object in a file: what its head says, its content, its name, and how its data set is looked at."""
        return cls._of_file(meta, memoryview(content)[meta.data_offset :], name, look)

    @classmethod
    def _of_file(cls, meta: FileMeta, data: Buffer | Source, name: str | None = None, look: Data | None = None) -> Self:
        return cls(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax=meta.transfer_syntax,
            data=data,
            name=name,
            look=look,
        )

    @classmethod
    def _of_dataset(cls, dataset: Dataset) -> Self:
        sop_class, sop_instance = _needed_uids(dataset, "SOPClassUID", "SOPInstanceUID")
        meta: Any = getattr(dataset, "file_meta", None) or {}
        stated = meta.get("TransferSyntaxUID", None) or _READ_AS.get(dataset.original_encoding)
        return cls(sop_class_uid=sop_class, sop_instance_uid=sop_instance, transfer_syntax=stated, data=dataset)

    @classmethod
    def _of_meta(cls, meta: Dataset, data: Buffer | Source) -> Self:
        keywords = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
        sop_class, sop_instance, stated = _needed_uids(meta, *keywords)
        return cls(sop_class_uid=sop_class, sop_instance_uid=sop_instance, transfer_syntax=stated, data=data)

    def __str__(self) -> str:
        return f"SOP Instance {self.sop_instance_uid}"

    @property
    def is_compressed(self) -> bool:
        """Whether its transfer syntax is none of the four that are not."""
        return self.transfer_syntax is not None and self.transfer_syntax not in UNCOMPRESSED

    def transfer_syntaxes(self, *, decompress: bool = False) -> tuple[str, ...]:
        """Return those in which it can be sent, its own first.

        Parameters
        ----------
        decompress : bool
            Whether a compressed one may be decompressed; otherwise it is sent only as it is.
        """
        own = self.transfer_syntax or ExplicitVRLittleEndian
        if self.is_compressed and not decompress:
            return (own,)
        return tuple(dict.fromkeys((own, *UNCOMPRESSED)))

    def is_encoded_in(self, transfer_syntax: str) -> bool:
        """Tell whether its data are bytes, or become some, that can be sent in that transfer syntax as they are."""
        return self.transfer_syntax == transfer_syntax and not isinstance(self.data, Dataset) and not self._is_odd

    @property
    def is_constant(self) -> bool:
        """Whether nobody can change what is to be sent: it is encoded, as ``bytes`` or a view of some."""
        data = self.data
        return type(data.obj if isinstance(data, memoryview) else data) is bytes

    def constant(self, rules: EncodingRules = DEFAULT_RULES) -> Self:
        """Return it with data that nobody can change: a copy, or a Dataset encoded as it states or with explicit VR.

        Raises
        ------
        LocalProtocolError
            If it cannot be encoded, or read any more.
        """
        if self.is_constant:
            return self
        if isinstance(self.data, Dataset):
            own = self.transfer_syntaxes()[0]
            return evolve(self, transfer_syntax=own, data=bytes(self.encode(own, rules)))
        return evolve(self, data=bytes(self._encoded()), look=None)

    def encode(self, transfer_syntax: str, rules: EncodingRules = DEFAULT_RULES) -> Buffer:
        """Return the data set in a transfer syntax; bytes that are in it already are returned as they are.

        Those of odd length are copied and padded. A compressed one is decompressed for another transfer syntax, by the
        decoders that pydicom finds installed. The Dataset of the caller stays as it is.

        Raises
        ------
        LocalProtocolError
            If it cannot be encoded in it.
        """
        if isinstance(self.data, Source):
            return self.landed().encode(transfer_syntax, rules)
        if not isinstance(self.data, Dataset) and self.transfer_syntax == transfer_syntax:
            if not self._is_odd:
                return self.data
            if transfer_syntax in DEFLATED:
                return b"".join((self._encoded(), b"\0"))
        try:
            if self.is_compressed and self.transfer_syntax != transfer_syntax:
                return encode(self._decompress(), transfer_syntax, rules=rules)
            return encode(self.decode(), transfer_syntax, rules=rules)
        except LongValueError as error:
            raise LongValueError(f"{self}: {error}") from None
        except (LocalProtocolError, DataSetError) as error:
            raise self._refusal(transfer_syntax, error) from error

    def encode_or_convert(self, transfer_syntax: str, rules: EncodingRules = DEFAULT_RULES) -> Buffer | Source:
        """Return the data set in a transfer syntax, in memory if it is small or that is the only way.

        It is the same as that of :meth:`encode`, bit for bit, but a large one between transfer syntaxes that are not
        compressed is converted while it is sent; raises likewise.
        """
        if self.is_encoded_in(transfer_syntax):
            return cast(Buffer | Source, self.data)
        return self._converted(transfer_syntax) or self.encode(transfer_syntax, rules)

    def _converted(self, transfer_syntax: str) -> Conversion | None:
        """Return the data set as it becomes while it is sent, ``None`` if it is small or that cannot be."""
        own, data = self.transfer_syntax, self.data
        if isinstance(data, Dataset | Source) or len(data) < _LARGE or own not in UNCOMPRESSED:
            return None
        if transfer_syntax not in UNCOMPRESSED or own == transfer_syntax in DEFLATED:
            return None
        try:
            return convert(data if self.look is None else self.look, own, transfer_syntax, whole=data)
        except LocalProtocolError as error:
            raise self._refusal(transfer_syntax, error) from error

    def _refusal(self, transfer_syntax: str, error: Exception) -> EncodingError:
        return EncodingError(f"{self} cannot be sent as {named(transfer_syntax)}: {error}")

    def landed(self) -> Self:
        """Return it with a data set that is there as a whole, and can be looked at; raises what reading it raises."""
        if not isinstance(self.data, Source):
            return self
        data, look = self.data.land()
        return evolve(self, data=data, look=look)

    @property
    def _is_odd(self) -> bool:
        return not isinstance(self.data, Dataset | Source) and len(self.data) % 2 == 1

    def decode(self) -> Dataset:
        """Return the data set decoded: if it was so already, the same one.

        Raises
        ------
        DataSetError
            If the data is not a data set in its transfer syntax.
        LocalProtocolError
            If it states none, or one that is not known.
        """
        if isinstance(self.data, Dataset):
            return self.data
        if isinstance(self.data, Source):
            return self.landed().decode()
        if self.transfer_syntax is None:
            raise EncodingError("an encoded object has to state its transfer syntax")
        return decode(self._encoded(), self.transfer_syntax)

    def _encoded(self) -> Buffer:
        """Return the encoded data set to be looked at."""
        return cast(Buffer, self.data) if self.look is None else self.look[:]

    def _decompress(self) -> Dataset:
        """Return it as a Dataset of its own, and not compressed (PS3.5 8.2)."""
        own = self.transfer_syntax or ""
        dataset = decode(encode(self.data, own) if isinstance(self.data, Dataset) else self._encoded(), own)
        if "PixelData" not in dataset:
            return dataset
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(own)
        try:
            return decompress_pixel_data(dataset, generate_instance_uid=False)
        except Exception as error:  # of any of several libraries
            missing = isinstance(error, RuntimeError) and "missing dependencies" in str(error)
            why = "all decoders have missing dependencies" if missing else f"{type(error).__name__} was raised"
            raise EncodingError(f"its {named(own)} cannot be decompressed: {why}") from error


def _needed_uids(dataset: Dataset, *keywords: str) -> list[str]:
    """Return the values of elements that have to be there."""
    uids = [str(dataset.get(keyword, None) or "") for keyword in keywords]
    if not all(uids):
        missing = [dictionary_description(keyword) for keyword, uid in zip(keywords, uids, strict=True) if not uid]
        raise MissingElementError(f"a {type(dataset).__name__} without {' and '.join(missing)} cannot be stored")
    return uids


def named(uid: str) -> str:
    """Return a UID with its name, if it has one."""
    name = UID(uid, IGNORE).name
    return uid if name == uid else f"{name} ({uid})"


_READ_AS: Final[dict[tuple[bool | None, bool | None], str]] = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}

Storable: TypeAlias = StoredObject | Dataset | Buffer | tuple[FileMeta | Dataset, Buffer | Source]
"""What can be stored; see :meth:`StoredObject.of`."""


def store_scp(performing: Performing) -> Program[None]:
    """Answer with the status that the handler of ``EVT_C_STORE`` returns for the object; C211H if it raises.

    What a :class:`~dicom_proto.handlers.sinks.Sink`, or a handler that is
    :func:`~dicom_proto.services.storage.chunks.chunked`, is bound for is not kept in memory.
    """
    binding = performing.peer.handlers.binding(EVT_C_STORE)
    if binding is not None and binding.sink is not None:
        yield from _store_in(binding, performing, is_quick=binding.sink.is_quick)
        return
    if binding is not None and is_chunked(binding.handler):
        performing.respond((yield from store_chunked(performing, binding, failed=HANDLER_FAILED)))
        return
    data = yield from performing.receive_pieces()
    result = yield from performing.call(EVT_C_STORE, data, failed=HANDLER_FAILED)
    performing.respond(performing.read_status(result))


class _Opening:
    """Has a sink opened, and what that gave discarded: also if the driver is cancelled before it can hand it over."""

    def __init__(self, sink: Binding) -> None:
        self.receiving: Receiving | None = None
        self._sink = sink

    def open(self, *arguments: Any) -> Receiving:
        receiving: Receiving = self._sink.handler(*arguments)
        self.receiving = receiving
        return receiving

    def discard(self) -> None:
        if self.receiving is None:
            return
        try:
            self.receiving.discard()
        except Exception:  # noqa: BLE001 - it is somebody else's, and the answer or the abort still has to go out
            _log.exception("a sink raised when an object was discarded")


def _store_in(sink: Binding, performing: Performing, *, is_quick: bool) -> Program[None]:
    """Let a sink take the data set as it arrives, and answer with what it says."""
    opening = _Opening(sink)
    chunk: DataChunk | DataRun | None = None
    try:
        event = performing.event(EVT_C_STORE, None)
        receiving = yield Call(sink.handler if sink.is_async else opening.open, (event, *sink.arguments), is_quick)
        opening.receiving = receiving
        chunk = yield from performing.receive_head()
        performing.join_data()
        yield Call(_write, (receiving, [chunk]), is_quick=True)
        while not chunk.last:
            chunks = _arrived(performing, (yield Receive(performing.inbox)))
            chunk = chunks[-1]
            yield Call(_write, (receiving, chunks), is_quick=True)
        result = yield Call(receiving.finish, (), is_quick)
        opening.receiving = None
    except Exception as error:
        if not performing.is_outstanding:
            raise
        result = _refusal(error)
    finally:
        opening.discard()
    answer = performing.read_status(result)
    while answer.category != Category.FAILURE and (chunk is None or not chunk.last):
        chunk = yield Receive(performing.inbox)  # only a Failure may be answered before that (PS3.7 9.1.1.2)
    performing.respond(answer)


def _arrived(performing: Performing, chunk: DataChunk | DataRun) -> list[DataChunk | DataRun]:
    """Return a piece and those behind it that are here already: an effect for each would cost more than to write it."""
    chunks = [chunk]
    while not chunks[-1].last and (more := performing.inbox.take()) is not None:
        chunks.append(cast(DataChunk | DataRun, more))  # a request is followed by nothing else
    return chunks


def _write(receiving: Receiving, chunks: list[DataChunk | DataRun]) -> None:
    for chunk in chunks:
        if isinstance(chunk, DataRun):
            for piece in chunk.pieces:
                receiving.write(piece)
        else:
            receiving.write(chunk.data)


def _refusal(error: Exception) -> Any:
    """Return the status for an object that a sink has failed to take (PS3.4 Table B.2-1, PS3.7 C.5.12)."""
    match error:
        case Refused():
            _log.info("an object is not wanted")
            return error.status
        case OSError() | MemoryError():  # without the name of the file, which may be that of a patient
            reason, status = getattr(error, "strerror", None) or type(error).__name__, Status.OUT_OF_RESOURCES
        case DataSetError():
            reason, status = str(error), Status.UNABLE_TO_PROCESS
        case InvalidNameError():
            reason, status = str(error), Status.INVALID_SOP_INSTANCE
        case _:
            _log.error("a sink raised: the answer is %04XH", HANDLER_FAILED, exc_info=error)
            return HANDLER_FAILED
    _log.error("an object cannot be stored (%s): the answer is %04XH", reason, status)
    return status
