"""Data sets as bytes and as pydicom :class:`~pydicom.dataset.Dataset` (PS3.5), and the head of DICOM files (PS3.10).

Stable.

This is the one place where pydicom encodes and decodes. All of it is bytes in, bytes out: no file is opened here.
"""

import re
import struct
import zlib
from collections.abc import Collection
from copy import copy
from functools import lru_cache
from io import BytesIO
from typing import Final

from attrs import frozen
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.structure import DEFLATED, UNDEFINED, Structure, Syntax, TruncatedError, value_end
from dicom_proto.errors import DataSetError, InvalidNameError, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS
from dicom_proto.names import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, check_uid, check_version_name

__all__ = [
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "FileMeta",
    "NeedBytes",
    "decode",
    "encode",
    "file_preamble_and_meta",
    "read_file_meta",
    "read_text",
]

MAX_DEPTH: Final = 32
"""How deep sequences may be nested in a data set that is decoded; those of the standard stay far below."""

MAX_ELEMENTS: Final = 1 << 20
"""How many elements, items and fragments a data set may have that is decoded: pydicom needs up to 2 KB for each."""


def decode(
    data: Buffer,
    transfer_syntax: str,
    *,
    max_length: int = DEFAULT_LIMITS.data_set,
    max_depth: int = MAX_DEPTH,
    max_elements: int = MAX_ELEMENTS,
) -> Dataset:
    """Decode a data set that a peer sent.

    Parameters
    ----------
    data : bytes, bytearray or memoryview
        The whole data set as it was received.
    transfer_syntax : str
        The UID of the transfer syntax of its presentation context.
    max_length : int
        Longest data set, in bytes, that deflated data may become.
    max_depth : int
        Deepest nesting of sequences.
    max_elements : int
        Most data elements, items and fragments, at all levels together.

    Returns
    -------
    pydicom.dataset.Dataset
        The data set. Its lengths and sequences are sound. pydicom decodes a value when it is asked for, so one that
        breaks the rules of its VR shows only then, as an error or a warning of pydicom.

    Raises
    ------
    DataSetError
        If the data is not a data set in that transfer syntax (PS3.5 7, Annex A), or goes past a bound.
    LocalProtocolError
        If the transfer syntax is not known.
    """
    syntax = Syntax.of(transfer_syntax)
    raw = _inflate(data, max_length) if syntax.deflated else bytes(data)
    structure = Structure(raw, little=syntax.little)
    structure.check(implicit=syntax.implicit, max_depth=max_depth, max_elements=max_elements)
    try:
        # As if inside a sequence: then pydicom takes up an explicit data set without VRs as the check does, silently.
        return read_dataset(BytesIO(raw), syntax.implicit, syntax.little, at_top_level=False)
    except Exception as error:
        raise DataSetError(f"the data set cannot be decoded: {error}") from error


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
    syntax = Syntax.of(transfer_syntax)
    if syntax.deflated:
        data = _inflate_head(data)
    structure = Structure(data, little=syntax.little)
    elements = structure.walk(implicit=syntax.implicit, max_depth=MAX_DEPTH, max_elements=MAX_ELEMENTS)
    last = max(tags, default=0)
    found: dict[int, str] = {}
    for tag, start, length in elements:
        if tag in tags:
            if length > _LONGEST_TEXT:
                raise DataSetError(f"{_named(BaseTag(tag))} has {length} bytes")
            found[tag] = _text(bytes(data[start : value_end(start, start, length, len(data))]))
        if tag >= last:
            break
    return found


def _inflate_head(data: Buffer) -> bytes:
    """Inflate the beginning of a data set, for what precedes its bulk."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[:_LONGEST_HEAD], _LONGEST_HEAD)
    except zlib.error as error:
        raise DataSetError(f"the deflated data set cannot be inflated: {error}") from error


def _inflate(data: Buffer, max_length: int) -> bytes:
    """Inflate a data set (PS3.5 A.5); what follows the deflated data is padding."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = inflater.decompress(data, max_length + 1)
    except zlib.error as error:
        raise DataSetError(f"the deflated data set cannot be inflated: {error}") from error
    if len(raw) > max_length:
        raise DataSetError(f"the deflated data set becomes longer than {max_length} bytes")
    if not inflater.eof:
        raise DataSetError("the deflated data set is not complete")
    return raw


def encode(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Encode a data set for a peer.

    Elements of groups 0000 and 0002 and group lengths are left out, and values of odd length are padded. Anything else
    that was decoded in the same encoding, and neither read nor changed since, goes out byte for byte as it came in.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        The data set.
    transfer_syntax : str
        The UID of the transfer syntax. Pixel Data is never compressed or decompressed.

    Returns
    -------
    bytes
        The encoded data set.

    Raises
    ------
    LocalProtocolError
        If the transfer syntax is not known, or an element cannot be encoded in it; the message says which.
    """
    syntax = Syntax.of(transfer_syntax)
    try:
        own = dataset[0x00030000:]  # shares its elements and leaves the caller's data set as it is
        _fit_byte_order(own, syntax)
        _fit_pixel_data(own, syntax)
        encoded = _encode(own, syntax, default_encoding, "")
    except LocalProtocolError:
        raise
    except Exception as error:
        raise LocalProtocolError(f"the data set cannot be encoded as {syntax.name}: {error}") from error
    if not syntax.deflated:
        return encoded
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(encoded) + deflater.flush()
    return deflated + bytes(len(deflated) % 2)


def _fit_byte_order(dataset: Dataset, syntax: Syntax) -> None:
    """Refuse to change the byte order of values that pydicom keeps as they were read."""
    if dataset.original_encoding[1] in {None, syntax.little}:
        return
    for element in dataset.iterall():
        if (element.VR in {"OD", "OF", "OL", "OV", "OW", "UN"} or " or " in element.VR) and element.value:
            raise LocalProtocolError(
                f"{_named(element.tag)} was read in the other byte order and cannot be encoded as {syntax.name}"
            )


def _fit_pixel_data(dataset: Dataset, syntax: Syntax) -> None:
    """Give Pixel Data the undefined length that it has if, and only if, it is encapsulated (PS3.5 A.4)."""
    if 0x7FE00010 not in dataset:
        return
    encapsulated = _is_undefined(dataset.get_item(0x7FE00010))
    if encapsulated == syntax.encapsulated:
        return
    if encapsulated:
        raise LocalProtocolError(f"Pixel Data is compressed and cannot be encoded as {syntax.name}")
    element = copy(dataset[0x7FE00010])
    element.is_undefined_length = True
    dataset[0x7FE00010] = element


def _encode(dataset: Dataset, syntax: Syntax, parent_charset: str | list[str], path: str) -> bytes:
    """Encode the elements of a data set or an item.

    pydicom's own function for this puts a whole stack trace into the message about an element that fails, and once more
    for each sequence around it.
    """
    charset = dataset.get("SpecificCharacterSet", parent_charset)
    as_read = dataset.original_encoding == (syntax.implicit, syntax.little) and (
        convert_encodings(dataset.original_character_set) == convert_encodings(charset)
    )
    if not as_read:
        correct_ambiguous_vr(dataset, syntax.little)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax.implicit, syntax.little
    for tag in sorted(dataset.keys()):
        if tag.element == 0:  # a group length is retired (PS3.5 7.2)
            continue
        try:
            element = _writable(dataset, tag, syntax, as_read=as_read)
            if _has_fragments(element):
                _check_fragments(element, syntax, path, as_read=as_read)
            if element.VR == "SQ" and not element.is_raw:
                write_data_element(out, _encode_sequence(element, syntax, charset, path))
            else:
                write_data_element(out, element, charset)
        except LocalProtocolError:
            raise
        except Exception as error:
            raise LocalProtocolError(f"{path}{_named(tag)} cannot be encoded as {syntax.name}: {error}") from error
    return out.getvalue()


def _encode_sequence(element: DataElement, syntax: Syntax, charset: str | list[str], path: str) -> RawDataElement:
    """Encode the items of a sequence (PS3.5 7.5) and return it as an element whose value is encoded already."""
    header = struct.Struct("<HHL" if syntax.little else ">HHL")
    parts = []
    for number, item in enumerate(element.value, 1):
        encoded = _encode(item, syntax, charset, f"{path}{_named(element.tag)} item {number}: ")
        undefined = getattr(item, "is_undefined_length_sequence_item", False)
        parts += [header.pack(0xFFFE, 0xE000, UNDEFINED if undefined else len(encoded)), encoded]
        if undefined:
            parts.append(header.pack(0xFFFE, 0xE00D, 0))
    value = b"".join(parts)
    length = UNDEFINED if _is_undefined(element) else len(value)
    return RawDataElement(element.tag, "SQ", length, value, 0, syntax.implicit, syntax.little)


_VR: Final = re.compile("[A-Z]{2}")


def _writable(dataset: Dataset, tag: BaseTag, syntax: Syntax, *, as_read: bool) -> DataElement:
    """Return an element as pydicom can write it: raw if that will do, and of even length (PS3.5 7.1.1)."""
    element = dataset.get_item(tag)
    if element.is_raw and element.VR and not _VR.fullmatch(element.VR):  # nobody can tell how long its length field is
        raise LocalProtocolError(f"{_named(tag)} has a value representation that is none: it cannot be encoded")
    odd = not _is_undefined(element) and isinstance(element.value, bytes) and len(element.value) % 2
    if element.is_raw and (odd or not (as_read and (element.VR or syntax.implicit))):
        element = dataset[tag]
    if odd and isinstance(element.value, bytes):  # pydicom pads text, but not all bytes
        element = copy(element)
        element.value = element.value.ljust(len(element.value) + len(element.value) % 2, b"\0")
    if element.VR == "UN" and _is_undefined(element) and not element.value:
        # So pydicom reads an empty sequence that has no VR in the data and no entry in the dictionary (PS3.5 6.2.2).
        return DataElement(tag, "SQ", [], is_undefined_length=True)
    return element


def _check_fragments(element: DataElement | RawDataElement, syntax: Syntax, path: str, *, as_read: bool) -> None:
    """Refuse a value of undefined length that is no sequence where there can be none."""
    name = f"{path}{_named(element.tag)}"
    if not (syntax.encapsulated or as_read):
        raise LocalProtocolError(f"{name} is compressed and cannot be encoded as {syntax.name}")
    # Other VRs have a length of 16 bits (PS3.5 7.1.2), and whoever reads UN takes it for a sequence (PS3.5 6.2.2).
    if not syntax.implicit and (element.VR == "UN" or element.VR not in EXPLICIT_VR_LENGTH_32):
        raise LocalProtocolError(f"{name} has an undefined length, which {element.VR} cannot have")


def _has_fragments(element: DataElement | RawDataElement) -> bool:
    """Tell whether a value is encapsulated; only that of Pixel Data ever should be (PS3.5 A.4)."""
    return element.VR != "SQ" and _is_undefined(element)


def _is_undefined(element: DataElement | RawDataElement) -> bool:
    return element.length == UNDEFINED if isinstance(element, RawDataElement) else element.is_undefined_length


def _named(tag: BaseTag) -> str:
    return f"{tag} {keyword_for_tag(tag)}".rstrip()


_META_SOP_CLASS, _META_SOP_INSTANCE, _META_SYNTAX = 0x00020002, 0x00020003, 0x00020010
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_LONGEST_HEAD: Final = 1 << 20
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
        UIDs of what is stored. Those of a peer may be longer than PS3.5 9.1 allows, but have only digits and dots.
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
            _meta_element(0x0002, b"UI", _stored_uid(sop_class_uid)),
            _meta_element(0x0003, b"UI", _stored_uid(sop_instance_uid)),
            _meta_element(0x0010, b"UI", check_uid(transfer_syntax)),
            _meta_element(0x0012, b"UI", check_uid(implementation_class_uid)),
            _meta_element(0x0013, b"SH", check_version_name(implementation_version_name)),
            *(_meta_element(number, b"AE", title[:16]) for number, title in titles.items() if title.strip()),
        )
    )
    group_length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + group_length + elements


_DIGITS_AND_DOTS: Final = re.compile(r"[0-9.]{1,1024}").fullmatch


def _stored_uid(uid: str) -> str:
    if not _DIGITS_AND_DOTS(uid):
        raise InvalidNameError(f"{uid!r} is not a UID: it may only have digits and dots")
    return uid


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
        meta[tag] = _text(value)
        if tag == 0x00020000:
            group_end = end + int.from_bytes(value, "little")
        at = end


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def _guess_syntax(prefix: Buffer, at: int) -> str:
    """Return the uncompressed transfer syntax that the first element of a data set looks like."""
    if Structure(prefix, little=True).is_implicit(at):
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
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data, at = inflater.decompress(prefix[at:], _LONGEST_HEAD), 0
        except zlib.error as error:
            raise LocalProtocolError(f"the deflated data set cannot be inflated: {error}") from error
        complete = inflater.eof
    structure = Structure(data, little=syntax.little)
    implicit = syntax.implicit or structure.is_implicit(at)
    found: dict[int, str] = {}
    last = 0x0007FFFF
    while last < _SOP_INSTANCE and not (complete and at == len(data)):
        tag, _, start, length = structure.element(at, len(data), implicit=implicit)
        if not last < tag <= _SOP_INSTANCE or length == UNDEFINED:
            break
        at = value_end(at, start, length, len(data))
        found[tag] = _text(bytes(data[start:at]))
        last = tag
    return found
