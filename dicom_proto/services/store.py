"""Storage (PS3.4 Annexes B and GG, PS3.7 9.1.1): C-STORE, and the choice of a presentation context for an object."""

import logging
from collections.abc import Iterable
from typing import Any, Final, Self, TypeAlias, cast

from attrs import frozen
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_proto.buffers import Buffer
from dicom_proto.datasets import FileMeta, decode, encode, read_file_meta
from dicom_proto.dimse.events import DataChunk
from dicom_proto.dimse.messages import CStoreRQ, Priority
from dicom_proto.errors import (
    DataSetError,
    InvalidNameError,
    LocalProtocolError,
    MissingElementError,
    NoContextError,
)
from dicom_proto.services.effects import Call, Program, Receive
from dicom_proto.services.handlers import EVT_C_STORE, Binding
from dicom_proto.services.invoking import Reply, invoke
from dicom_proto.services.peer import Peer
from dicom_proto.services.performing import Performing
from dicom_proto.services.sinks import Receiving, Refused
from dicom_proto.status import Category, Status
from dicom_proto.upper_layer.negotiation import AcceptedContext

__all__ = ["Storable", "StoredObject", "choose_context", "store_object_scu", "store_scp", "store_scu"]

_log = logging.getLogger("dicom_proto.services")

HANDLER_FAILED: Final = 0xC211

# Between these an object can be converted, in the order in which that is liked best (PS3.5 Annex A).
_UNCOMPRESSED: Final[tuple[str, ...]] = (
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
    data : buffer or Dataset
        The data set: encoded, of even length, or decoded.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str | None
    data: Buffer | Dataset

    @classmethod
    def of(cls, value: object) -> Self:
        """Return what somebody wants stored.

        Parameters
        ----------
        value : StoredObject, Dataset, bytes, bytearray or memoryview
            A Dataset states its transfer syntax in its ``file_meta``, or remembers how it was read. A buffer is the
            content of a DICOM file (PS3.10 7), whose data set is sent as it is.

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
                return cls._of_file(value)
            case _:
                raise LocalProtocolError(
                    f"{type(value).__name__} cannot be stored: a Dataset, or a DICOM file's content, can"
                )

    @classmethod
    def _of_dataset(cls, dataset: Dataset) -> Self:
        uids = [str(dataset.get(keyword, None) or "") for keyword in ("SOPClassUID", "SOPInstanceUID")]
        if not all(uids):
            raise MissingElementError("a Dataset without SOP Class UID or SOP Instance UID cannot be stored")
        meta: Any = getattr(dataset, "file_meta", None) or {}
        stated = meta.get("TransferSyntaxUID", None) or _READ_AS.get(dataset.original_encoding)
        return cls(sop_class_uid=uids[0], sop_instance_uid=uids[1], transfer_syntax=stated, data=dataset)

    @classmethod
    def _of_file(cls, content: Buffer) -> Self:
        meta = cast(FileMeta, read_file_meta(content, complete=True))
        return cls(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax=meta.transfer_syntax,
            data=memoryview(content)[meta.data_offset :],
        )

    @property
    def transfer_syntaxes(self) -> tuple[str, ...]:
        """Those in which it can be sent, its own first; a compressed object is sent only as it is."""
        own = self.transfer_syntax
        if own is not None and own not in _UNCOMPRESSED:
            return (own,)
        return tuple(dict.fromkeys((own or ExplicitVRLittleEndian, *_UNCOMPRESSED)))

    def encode(self, transfer_syntax: str) -> Buffer:
        """Return the data set in a transfer syntax; bytes that are in it already are returned as they are.

        Raises
        ------
        LocalProtocolError
            If it cannot be encoded in it.
        """
        if isinstance(self.data, Dataset):
            return encode(self.data, transfer_syntax)
        if self.transfer_syntax == transfer_syntax:
            return self.data
        if self.transfer_syntax is None:
            raise LocalProtocolError("an encoded object has to state its transfer syntax")
        try:
            return encode(decode(self.data, self.transfer_syntax), transfer_syntax)
        except DataSetError as error:
            raise LocalProtocolError(f"the object to be stored is damaged: {error}") from error


_READ_AS: Final[dict[tuple[bool | None, bool | None], str]] = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}

Storable: TypeAlias = StoredObject | Dataset | Buffer
"""What can be stored; see :meth:`StoredObject.of`."""


def choose_context(stored: StoredObject, contexts: Iterable[AcceptedContext]) -> AcceptedContext:
    """Choose the context on which an object is sent: one that takes it as it is, or one that it can be converted for.

    Parameters
    ----------
    stored : StoredObject
        The object.
    contexts : iterable of AcceptedContext
        Those of its SOP class that may be used.

    Raises
    ------
    NoContextError
        If none will do; the message says what was accepted.
    """
    accepted = {context.transfer_syntax: context for context in reversed(tuple(contexts))}
    for transfer_syntax in stored.transfer_syntaxes:
        if transfer_syntax in accepted:
            return accepted[transfer_syntax]
    raise NoContextError(
        f"no presentation context was accepted for a {stored.sop_class_uid} in {stored.transfer_syntax};"
        f" accepted for that SOP class are {sorted(accepted) or 'none'}"
    )


def store_object_scu(
    peer: Peer,
    value: Storable,
    *,
    contexts: Iterable[AcceptedContext] | None = None,
    message_id: int | None = None,
    priority: int = Priority.LOW,
    originator_ae_title: str | None = None,
    originator_message_id: int | None = None,
) -> Program[Reply]:
    """Store one object at the peer: choose its context, encode it, send it.

    Parameters
    ----------
    peer : Peer
        Where to.
    value : StoredObject, Dataset or buffer
        What; see :meth:`StoredObject.of`.
    contexts : iterable of AcceptedContext, optional
        The contexts to choose from; by default all of its SOP class on which this side is the SCU.
    message_id : int, optional
        The message ID; ``None`` to be given one.
    priority : int
        The priority.
    originator_ae_title, originator_message_id
        Whose C-MOVE asked for it, and which (PS3.7 9.1.1.1.6).

    Raises
    ------
    LocalProtocolError
        If it cannot be stored: no context, not encodable, UIDs that may not be sent.
    """
    stored = StoredObject.of(value)
    context = choose_context(stored, peer.contexts(stored.sop_class_uid) if contexts is None else contexts)
    request = CStoreRQ(
        message_id=message_id,
        affected_sop_class_uid=stored.sop_class_uid,
        priority=priority,
        affected_sop_instance_uid=stored.sop_instance_uid,
        move_originator_application_entity_title=originator_ae_title,
        move_originator_message_id=originator_message_id,
    )
    return (yield from store_scu(peer, request, context, stored.encode(context.transfer_syntax)))


def store_scu(peer: Peer, request: CStoreRQ, context: AcceptedContext, data: Buffer) -> Program[Reply]:
    """Store one object that is encoded already.

    Parameters
    ----------
    peer : Peer
        Where to.
    request : CStoreRQ
        Which object; a message ID that is ``None`` is given out here.
    context : AcceptedContext
        A context of its SOP class and of the transfer syntax of ``data``.
    data : buffer
        The data set, which is kept as a view until it has been sent.
    """
    return (yield from invoke(peer, request, context, data))


def store_scp(performing: Performing) -> Program[None]:
    """Answer with the status that the handler of ``EVT_C_STORE`` returns for the object; C211H if it raises.

    What a :class:`~dicom_proto.services.sinks.Sink` is bound for is not kept in memory.
    """
    binding = performing.peer.handlers.binding(EVT_C_STORE)
    if binding is not None and binding.is_sink:
        yield from _store_in(binding, performing)
        return
    data = yield from performing.receive_data()
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


def _store_in(sink: Binding, performing: Performing) -> Program[None]:
    """Let a sink take the data set as it arrives, and answer with what it says."""
    opening = _Opening(sink)
    chunk: DataChunk | None = None
    try:
        event = performing.event(EVT_C_STORE, None)
        receiving = yield Call(sink.handler if sink.is_async else opening.open, (event, *sink.arguments))
        opening.receiving = receiving
        while chunk is None or not chunk.last:
            chunks = _arrived(performing, (yield Receive(performing.key)))
            chunk = chunks[-1]
            yield Call(_write, (receiving, chunks), is_quick=True)
        result = yield Call(receiving.finish, ())
        opening.receiving = None
    except Exception as error:
        if not performing.is_outstanding:
            raise
        result = _refusal(error)
    finally:
        opening.discard()
    answer = performing.read_status(result)
    while answer.category != Category.FAILURE and (chunk is None or not chunk.last):
        chunk = yield Receive(performing.key)  # only a Failure may be answered before that (PS3.7 9.1.1.2)
    performing.respond(answer)


def _arrived(performing: Performing, chunk: DataChunk) -> list[DataChunk]:
    """Return a piece and those behind it that are here already: an effect for each would cost more than to write it."""
    chunks = [chunk]
    while not chunks[-1].last and (more := performing.peer.router.next_event(performing.key)) is not None:
        chunks.append(cast(DataChunk, more))  # a request is followed by nothing else
    return chunks


def _write(receiving: Receiving, chunks: list[DataChunk]) -> None:
    for chunk in chunks:
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
