"""Data sets as bytes and as pydicom :class:`~pydicom.dataset.Dataset` (PS3.5), and the head of DICOM files (PS3.10).

Stable.

This is the one place where pydicom's data sets are encoded and decoded. All of it is bytes in, bytes out: no file is
opened here.
"""

import logging
import struct
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Final, Protocol, TypeVar

from attrs import evolve, frozen
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.character_sets import UTF_8, CharacterSets
from dicom_proto.encoding.heads import read_plain_head, text_of
from dicom_proto.encoding.inflating import deflate, inflate, inflate_head
from dicom_proto.encoding.received import Budget, Origin, receive
from dicom_proto.encoding.representations import named
from dicom_proto.encoding.rules import DEFAULT_RULES, EncodingRules
from dicom_proto.encoding.structure import DEFLATED, UNDEFINED, Structure, Syntax, TruncatedError, value_end
from dicom_proto.encoding.writing import CharacterSetError, LongValueError, stated_sets, write
from dicom_proto.errors import DataSetError, InvalidNameError, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.names import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    check_instance_uid,
    check_uid,
    check_version_name,
)

__all__ = [
    "CharacterSetError",
    "EncodingRules",
    "FileMeta",
    "LongValueError",
    "NeedBytes",
    "actual_syntax",
    "character_set_of",
    "check_vr_encoding",
    "decode",
    "encode",
    "encode_on",
    "file_preamble_and_meta",
    "find_values",
    "read_file_meta",
    "read_text",
]

_log = logging.getLogger("dicom_proto.encoding")


def _warn(_kind: str, detail: str) -> None:
    _log.warning("%s", detail)


def decode(
    data: Buffer,
    transfer_syntax: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    on_tolerated: Callable[[str, str], object] = _warn,
) -> Dataset:
    """Decode a data set that a peer sent.

    Parameters
    ----------
    data : bytes, bytearray or memoryview
        The whole data set as it was received.
    transfer_syntax : str
        The UID of the transfer syntax of its presentation context.
    limits : Limits
        How long deflated data may become, how deep sequences may be nested, and how many elements and items there may
        be of those that somebody asks for.
    tolerance : Tolerance
        Whether a data set that has VRs where there should be none, or none where there should be, is taken for what it
        is.
    on_tolerated : callable
        Called with the field of the tolerance, and what it was in words; by default there is a warning in the log.

    Returns
    -------
    pydicom.dataset.Dataset
        The data set. The lengths of its elements are sound. What is in a sequence is looked at when it is asked for,
        item by item: one that is none, or that goes past a bound, raises a ``DataSetError`` then. A value that breaks
        the rules of its VR is kept: bytes that are no whole numbers or tags as UN, text that is no number as text. That
        is said to the log, by its tag.

    Raises
    ------
    DataSetError
        If the data is not a data set in that transfer syntax (PS3.5 7, Annex A), goes past a bound, or is not
        tolerated.
    LocalProtocolError
        If the transfer syntax is not known.
    """
    syntax = Syntax.of(transfer_syntax)
    if syntax.deflated:
        raw = inflate(data, max_length=limits.inflated_data_set, max_ratio=limits.inflation_ratio)
    else:
        raw = bytes(data)
    implicit = _check_vr_encoding(raw, syntax, tolerance, on_tolerated)
    most = limits.data_set_elements
    origin = Origin(
        implicit=implicit, little=syntax.little, depth=limits.data_set_depth, budget=Budget(most=most, left=most)
    )
    return receive(raw, origin)


def check_vr_encoding(
    head: Buffer,
    transfer_syntax: str,
    *,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    on_tolerated: Callable[[str, str], object] = _warn,
) -> None:
    """Look at the beginning of a data set that is not decoded, for VRs that should not be there, or the reverse.

    Parameters
    ----------
    head : bytes, bytearray or memoryview
        The first bytes of the data set as it was received; a KiB is enough.
    transfer_syntax, tolerance, on_tolerated
        As for :func:`decode`. A transfer syntax that is not known says nothing about VRs.

    Raises
    ------
    DataSetError
        If it is the other way round and that is not tolerated.
    """
    known = _known_head(head, transfer_syntax)
    if known is not None:
        _check_vr_encoding(*known, tolerance, on_tolerated)


def _known_head(head: Buffer, transfer_syntax: str) -> tuple[Buffer, Syntax] | None:
    """Return the beginning of a data set, inflated if it has to be, and its encoding; ``None`` if nobody can tell."""
    try:
        syntax = Syntax.of(transfer_syntax)
        if syntax.deflated:
            head, _ = inflate_head(head, _VR_HEAD)
    except (DataSetError, LocalProtocolError):
        return None
    return (head, syntax) if len(head) else None


def _check_vr_encoding(
    data: Buffer, syntax: Syntax, tolerance: Tolerance, on_tolerated: Callable[[str, str], object]
) -> bool:
    """Return whether a data set has no VRs; what that should not be is told, or raises a ``DataSetError``."""
    implicit = Structure(data, little=syntax.little).is_implicit(0, stated=syntax.implicit)
    if implicit != syntax.implicit:
        found = f"a data set in {syntax.name} {'without' if implicit else 'with'} value representations"
        if not tolerance.other_vr_encoding:
            raise DataSetError(f"this is {found} (PS3.5 A.1, A.2)")
        on_tolerated("other_vr_encoding", f"{found}, which is read as what it is")
    return implicit


def read_text(data: Buffer, transfer_syntax: str, tags: Collection[int]) -> dict[int, str]:
    """Read a few elements at the top of a data set; of all others only headers are looked at, and nothing is copied.

    Parameters
    ----------
    data : bytes, bytearray or memoryview
        The whole data set as it was received, perhaps a file that is mapped into memory.
    transfer_syntax : str
        The UID of its transfer syntax. Of a deflated one the first MiB is read.
    tags : collection of int
        Which elements, of VRs that are text.

    Returns
    -------
    dict
        By tag, the values of those that are there, without padding. All characters that are not ASCII are wrong: the
        character set is not looked at.

    Raises
    ------
    DataSetError
        If the data is no data set as far as it has to be looked at, or a value is longer than 1 KiB.
    LocalProtocolError
        If the transfer syntax is not known.
    """
    found: dict[int, str] = {}
    for tag, value in find_values(data, transfer_syntax, tags).items():
        if len(value) > _LONGEST_TEXT:
            raise DataSetError(f"{named(tag)} has {len(value)} bytes")
        found[tag] = text_of(bytes(value))
    return found


def find_values(data: Buffer, transfer_syntax: str, tags: Collection[int]) -> dict[int, memoryview]:
    """Find a few elements at the top of a data set; of all others only headers are looked at, and nothing is copied.

    Parameters
    ----------
    data, transfer_syntax
        As for :func:`read_text`.
    tags : collection of int
        Which elements.

    Returns
    -------
    dict
        By tag, the encoded values of those that are there, in the order of the data set: views of the data. One of
        undefined length has its items, without the delimiter.

    Raises
    ------
    DataSetError
        If the data is no data set as far as it has to be looked at.
    LocalProtocolError
        If the transfer syntax is not known.
    """
    syntax = Syntax.of(transfer_syntax)
    if syntax.deflated:
        data, _ = inflate_head(data, _LONGEST_HEAD)
    structure = Structure(data, little=syntax.little)
    implicit = structure.is_implicit(0, stated=syntax.implicit)
    last = max(tags, default=0)
    found: dict[int, memoryview] = {}
    view, depth = memoryview(data), DEFAULT_LIMITS.data_set_depth
    for element in structure.elements(0, len(data), implicit=implicit, max_depth=depth):
        if element.tag in tags:
            found[element.tag] = view[element.start : element.end]
        if element.tag >= last:
            break
    return found


def actual_syntax(data: Buffer, transfer_syntax: str) -> str | None:
    """Return the transfer syntax that a data set is really in, judged by its beginning.

    It is another one where there are VRs in Implicit VR Little Endian, or none in Explicit VR Little Endian. Without
    VRs in any other there is none that could be told: ``None``.
    """
    known = _known_head(data, transfer_syntax)
    if known is None:
        return transfer_syntax
    head, syntax = known
    implicit = Structure(head, little=syntax.little).is_implicit(0, stated=syntax.implicit)
    return transfer_syntax if implicit == syntax.implicit else _OTHER_VR_ENCODING.get(transfer_syntax)


def character_set_of(data: Buffer | None, transfer_syntax: str) -> tuple[str, ...]:
    """Return the Specific Character Set that an encoded data set states; empty if it states none, or is none.

    An SCP answers in that of the request's identifier where it can: ``encode(answer, ..., wanted=...)``.
    """
    try:
        stated = read_text(data or b"", transfer_syntax, (_CHARACTER_SET,)).get(_CHARACTER_SET, "")
    except (DataSetError, LocalProtocolError):
        return ()
    return CharacterSets.of(stated).terms


def encode(
    dataset: Dataset,
    transfer_syntax: str,
    *,
    rules: EncodingRules = DEFAULT_RULES,
    wanted: tuple[str, ...] = (),
) -> bytes:
    """Encode a data set for a peer.

    Elements of groups 0000 and 0002 and group lengths are left out, values and fragments of odd length are padded
    (PS3.5 6.2, A.4), numbers and words change their byte order, and a VR that the dictionary leaves open is settled by
    the elements around it (PS3.5 A.1, A.2). Anything else that was decoded, and has not been changed since, goes out
    byte for byte as it came in.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        The data set.
    transfer_syntax : str
        The UID of the transfer syntax. Pixel Data is never compressed or decompressed.
    rules : EncodingRules
        What becomes of text that the data set's character set does not have, and of values that are too long.
    wanted : tuple of str
        Values of Specific Character Set that the receiver would like: what can be said in them is sent in them,
        everything else in what the data set states.

    Returns
    -------
    bytes
        The encoded data set.

    Raises
    ------
    CharacterSetError
        If it has text that its Specific Character Set does not have, or, without one, the default repertoire.
    LongValueError
        If it has a value that is too long for explicit VR, and the rules do not let it go as UN.
    EncodingError
        If the transfer syntax is not known, or an element cannot be encoded in it. All of them say which element, and
        never what its value is.
    """
    syntax = Syntax.of(transfer_syntax)
    encoded = _encode_in(dataset, syntax, rules, CharacterSets.of("\\".join(wanted)) if wanted else None)
    return deflate(encoded) if syntax.deflated else encoded


def _encode_in(dataset: Dataset, syntax: Syntax, rules: EncodingRules, wanted: CharacterSets | None) -> bytes:
    if wanted is not None and wanted.is_known and wanted != stated_sets(dataset):
        try:
            return write(dataset, syntax, rules, wanted)
        except CharacterSetError:
            _log.debug("a data set cannot be said in the character set that is wanted")
    try:
        return write(dataset, syntax, rules)
    except CharacterSetError:
        if not rules.state_utf_8:
            raise
    return write(dataset, syntax, rules, UTF_8)


class _HasTransferSyntax(Protocol):
    @property
    def transfer_syntax(self) -> str: ...


_C = TypeVar("_C", bound=_HasTransferSyntax)


def encode_on(dataset: Dataset, contexts: Iterable[_C], *, rules: EncodingRules = DEFAULT_RULES) -> tuple[_C, bytes]:
    """Encode a data set for the first of some presentation contexts, or for one that has room for long values.

    A value of more than 65534 bytes goes out on a context for implicit VR if there is one, otherwise by the rules.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        The data set.
    contexts : iterable of AcceptedContext
        One or more.
    rules : EncodingRules
        As for :func:`encode`, which says what is raised.
    """
    first, *others = contexts
    roomy = next((other for other in others if Syntax.of(other.transfer_syntax).implicit), None)
    if roomy is None or Syntax.of(first.transfer_syntax).implicit:
        return first, encode(dataset, first.transfer_syntax, rules=rules)
    try:
        return first, encode(dataset, first.transfer_syntax, rules=evolve(rules, long_values="refuse"))
    except LongValueError:
        return roomy, encode(dataset, roomy.transfer_syntax, rules=rules)


_OTHER_VR_ENCODING: Final[dict[str, str]] = {
    ImplicitVRLittleEndian: ExplicitVRLittleEndian,
    ExplicitVRLittleEndian: ImplicitVRLittleEndian,
}
_CHARACTER_SET: Final = 0x00080005
_META_SOP_CLASS, _META_SOP_INSTANCE, _META_SYNTAX = 0x00020002, 0x00020003, 0x00020010
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_LONGEST_HEAD: Final = 1 << 20
_PLAIN_HEAD: Final = 1 << 12  # bytes that a plain one fits in
_VR_HEAD: Final = 1 << 10  # bytes, in which the first two elements begin
_LONGEST_TEXT: Final = 1 << 10


def file_preamble_and_meta(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax: str,
    *,
    source_ae_title: str = "",
    sending_ae_title: str = "",
    receiving_ae_title: str = "",
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID,
    implementation_version_name: str = IMPLEMENTATION_VERSION_NAME,
) -> bytes:
    """Build what precedes the data set in a DICOM file (PS3.10 7.1): preamble, prefix and File Meta Information.

    The preamble is zero. The same arguments give the same bytes.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        UIDs of what is stored, as irregular as :func:`~dicom_proto.names.is_instance_uid` allows, without a slash.
    transfer_syntax : str
        The UID of the transfer syntax in which the data set follows.
    source_ae_title, sending_ae_title, receiving_ae_title : str
        AE titles for (0002,0016), (0002,0017) and (0002,0018). An empty one is left out; one that a peer sent is cut to
        16 characters and loses what is not ASCII.
    implementation_class_uid, implementation_version_name : str
        Who writes the file.

    Raises
    ------
    InvalidNameError
        If a UID or the version name is malformed.
    """
    titles = {0x0016: source_ae_title, 0x0017: sending_ae_title, 0x0018: receiving_ae_title}
    elements = b"".join(
        (
            struct.pack("<HH2s2xL", 0x0002, 0x0001, b"OB", 2) + b"\0\1",
            _meta_element(0x0002, b"UI", _name_in_file(sop_class_uid)),
            _meta_element(0x0003, b"UI", _name_in_file(sop_instance_uid)),
            _meta_element(0x0010, b"UI", check_uid(transfer_syntax)),
            _meta_element(0x0012, b"UI", check_uid(implementation_class_uid)),
            _meta_element(0x0013, b"SH", check_version_name(implementation_version_name)),
            *(_meta_element(number, b"AE", title[:16]) for number, title in titles.items() if title.strip()),
        )
    )
    group_length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + group_length + elements


def _name_in_file(uid: str) -> str:
    if "/" in uid:  # nobody shall ever make a path of it
        raise InvalidNameError("a UID with a slash does not get into a file")
    return check_instance_uid(uid)


@lru_cache(maxsize=256)  # all but one of a file are those of many others
def _meta_element(number: int, vr: bytes, text: str) -> bytes:
    """Encode an element of group 0002 in explicit VR little endian, padded to even length (PS3.5 6.2)."""
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value


@frozen(kw_only=True)
class FileMeta:
    """What the head of a file says about the data set in it.

    Parameters
    ----------
    transfer_syntax : str
        The UID of the transfer syntax of the data set.
    sop_class_uid, sop_instance_uid : str
        UIDs of the object, from the data set or, if that does not start with them, from the File Meta Information.
    data_offset : int
        At which byte of the file the data set starts.
    stated : bool
        Whether the file states its transfer syntax. One without File Meta Information is a bare data set, no DICOM file
        (PS3.10 7); its transfer syntax is a guess from its first bytes.
    """

    transfer_syntax: str
    sop_class_uid: str
    sop_instance_uid: str
    data_offset: int
    stated: bool


@frozen
class NeedBytes:
    """More of a file is needed: its first ``count`` bytes, or all of it if it is shorter."""

    count: int


def read_file_meta(prefix: Buffer, *, complete: bool = False) -> FileMeta | NeedBytes:
    """Read the head of a file (PS3.10 7.1), so that its data set can be sent as it lies there.

    Parameters
    ----------
    prefix : bytes, bytearray or memoryview
        The first bytes of the file; a few KB are enough for most.
    complete : bool
        Whether that is the whole file.

    Returns
    -------
    FileMeta or NeedBytes
        The latter only if ``complete`` is false.

    Raises
    ------
    LocalProtocolError
        If this is not a file with a DICOM data set in it, if it states no SOP Class UID or SOP Instance UID, if its end
        is missing, or if its head is longer than 1 MiB.
    """
    plain = read_plain_head(bytes(prefix[:_PLAIN_HEAD]))
    if plain is not None:
        syntax, sop_class, sop_instance, offset = plain
        return FileMeta(
            transfer_syntax=syntax,
            sop_class_uid=sop_class,
            sop_instance_uid=sop_instance,
            data_offset=offset,
            stated=True,
        )
    try:
        return _read_head(prefix, complete=complete)
    except TruncatedError as error:
        if complete or max(error.needed, len(prefix) + 1) > _LONGEST_HEAD:
            raise LocalProtocolError(f"this is no complete DICOM file: {error}") from error
        # In growing steps, so that whoever reads bit by bit does not start over for each element.
        return NeedBytes(min(max(error.needed, 2 * len(prefix)), _LONGEST_HEAD))


def _read_head(prefix: Buffer, *, complete: bool) -> FileMeta:
    start = 132 if prefix[128:132] == b"DICM" else 0
    if len(prefix) < 132 and not complete:
        raise TruncatedError(0, 132)
    meta, offset = _read_group_2(prefix, start, complete=complete)
    syntax = meta.get(_META_SYNTAX) or _guess_syntax(prefix, offset)
    # An object is what its data set says it is; a peer would refuse it under the name of a file that says otherwise.
    own = _first_uids(prefix, offset, syntax, complete=complete)
    sop_class = own.get(_SOP_CLASS) or meta.get(_META_SOP_CLASS)
    sop_instance = own.get(_SOP_INSTANCE) or meta.get(_META_SOP_INSTANCE)
    if not sop_class or not sop_instance:
        raise LocalProtocolError("this is no DICOM file: it has no SOP Class UID or no SOP Instance UID")
    return FileMeta(
        transfer_syntax=syntax,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        data_offset=offset,
        stated=bool(meta.get(_META_SYNTAX)),
    )


def _read_group_2(prefix: Buffer, at: int, *, complete: bool) -> tuple[dict[int, str], int]:
    """Return the File Meta Information as text by tag, and where the data set behind it starts.

    It ends where group 0002 ends, not where (0002,0000) says, which some writers get wrong; but a deflated data set can
    begin with anything.
    """
    structure = Structure(prefix, little=True)
    meta: dict[int, str] = {}
    group_end = None
    while True:
        if at + 8 > len(prefix) and not (complete and at == len(prefix)):
            raise TruncatedError(at, at + 8)
        if prefix[at : at + 2] != b"\2\0" or (at == group_end and meta.get(_META_SYNTAX) in DEFLATED):
            return meta, at
        tag, _, start, length = structure.element(at, len(prefix), implicit=False)
        end = value_end(at, start, length, len(prefix))
        value = bytes(prefix[start:end])
        meta[tag] = text_of(value)
        if tag == 0x00020000:
            group_end = end + int.from_bytes(value, "little")
        at = end


def _guess_syntax(prefix: Buffer, at: int) -> str:
    """Return the uncompressed transfer syntax that the first element of a data set looks like."""
    if Structure(prefix, little=True).is_implicit(at, stated=False):
        return ImplicitVRLittleEndian
    group = bytes(prefix[at : at + 2])
    # The first group of a data set is a small number, usually 0008.
    return ExplicitVRBigEndian if group < group[::-1] else ExplicitVRLittleEndian


def _first_uids(prefix: Buffer, at: int, transfer_syntax: str, *, complete: bool) -> dict[int, str]:
    """Return the elements of group 0008 up to SOP Instance UID, as text by tag, if a data set starts with them."""
    try:
        syntax = Syntax.of(transfer_syntax)
    except LocalProtocolError:  # a private one, which can be sent all the same
        return {}
    data = prefix
    if syntax.deflated:
        try:
            (data, complete), at = inflate_head(prefix[at:], _LONGEST_HEAD), 0
        except DataSetError as error:
            raise LocalProtocolError(str(error)) from None
    structure = Structure(data, little=syntax.little)
    implicit = structure.is_implicit(at, stated=syntax.implicit)
    found: dict[int, str] = {}
    last = 0x0007FFFF
    while last < _SOP_INSTANCE and not (complete and at == len(data)):
        tag, _, start, length = structure.element(at, len(data), implicit=implicit)
        if not last < tag <= _SOP_INSTANCE or length == UNDEFINED:
            break
        at = value_end(at, start, length, len(data))
        found[tag] = text_of(bytes(data[start:at]))
        last = tag
    return found
