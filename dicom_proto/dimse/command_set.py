"""Codec of the command set: group 0000 in Implicit VR Little Endian, with no data set library (PS3.7 6.3.1).

May change.

Two layers: :func:`decode_command_set` and :func:`encode_command_set` turn bytes into raw elements and back, and the
:class:`ValueRepresentation` records turn the value of one element into a Python object and back. What the messages
are made of is said in :mod:`dicom_proto.dimse.messages`.

An element is known by its number. The group is 0000, so that is its 32-bit tag as well: 0x0110 is (0000,0110).
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import frozen

from dicom_proto.buffers import Buffer
from dicom_proto.errors import CommandSetError, EncodingError, LocalProtocolError
from dicom_proto.names import check_ae_title, check_instance_uid, check_uid

__all__ = [
    "AE",
    "AT",
    "INSTANCE_UI",
    "LO",
    "PACK_US",
    "UI",
    "US",
    "ValueRepresentation",
    "decode_command_set",
    "decode_odd_command_set",
    "encode_command_set",
    "encode_element",
    "encode_group_length",
    "join_elements",
]

_HEADER = struct.Struct("<HHI")  # group, element, value length
_GROUP_LENGTH = struct.Struct("<HHII")  # the same of (0000,0000), and its value
_US = struct.Struct("<H")
PACK_US: Final = _US.pack
_AT = struct.Struct("<HH")  # group, element
_LO = re.compile(r"[ -\[\]-~]{1,64}")  # the default repertoire without the backslash, which parts values (PS3.5 6.2)


def decode_command_set(data: Buffer) -> dict[int, bytes]:
    """Split a command set into its elements.

    Command Group Length (0000,0000) is left out, and may be missing or wrong: the end of a command set is known from
    the last-fragment bit alone (PS3.7 6.3.1). Elements that no message has, retired ones among them, are kept.
    Elements out of order are accepted, because they still mean one thing; an element that comes twice is refused,
    because two readers of it may act on two values.

    Parameters
    ----------
    data : Buffer
        One whole command set. Its length bounds what is kept.

    Returns
    -------
    dict of int to bytes
        Element number to value, with any padding, in the order received.

    Raises
    ------
    CommandSetError
        If it is cut short, or has an element of another group, of odd or undefined length, or that came before.
    """
    raw = bytes(data)
    elements: dict[int, bytes] = {}
    offset, end = 0, len(raw)
    unpack, header_length = _HEADER.unpack_from, _HEADER.size
    while offset < end:
        start = offset + header_length
        if start > end:
            raise CommandSetError(f"the command set ends inside the element header at byte {offset}")
        group, element, length = unpack(raw, offset)
        offset = start + length
        if group or length & 1 or offset > end or element in elements:
            raise CommandSetError(_describe(group, element, length, end - start))
        elements[element] = raw[start:offset]
    elements.pop(0, None)
    return elements


def decode_odd_command_set(data: Buffer) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Split a command set that :func:`decode_command_set` has refused, if it can be told what is meant.

    Elements of other groups are kept aside, and values may have an odd length.

    Returns
    -------
    tuple of two dict of int to bytes
        Element number to value of group 0000, without Command Group Length; tag to value of the other groups. Of those
        that come twice there the first counts.

    Raises
    ------
    CommandSetError
        If it is cut short, or has an element of group 0000 twice.
    """
    raw = bytes(data)
    elements: dict[int, bytes] = {}
    aside: dict[int, bytes] = {}
    offset, end = 0, len(raw)
    while offset < end:
        start = offset + _HEADER.size
        if start > end:
            raise CommandSetError(f"the command set ends inside the element header at byte {offset}")
        group, element, length = _HEADER.unpack_from(raw, offset)
        offset = start + length
        if offset > end:
            raise CommandSetError(f"({group:04X},{element:04X}) does not end within the command set")
        if not group and element in elements:
            raise CommandSetError(_describe(group, element, length, end - start))
        if not group:
            elements[element] = raw[start:offset]
        else:
            aside.setdefault(group << 16 | element, raw[start:offset])
    elements.pop(0, None)
    return elements, aside


def _describe(group: int, element: int, length: int, left: int) -> str:
    """Say what is wrong with an element whose header says ``length`` when ``left`` bytes follow."""
    tag = f"({group:04X},{element:04X})"
    if group:
        return f"{tag} is not a command element"
    if length > left:
        return f"{tag} has a length of {length}, but {left} bytes are left of the command set"
    if length & 1:
        return f"{tag} has an odd length, {length}"
    return f"{tag} appears twice"


def encode_command_set(elements: Mapping[int, bytes]) -> bytes:
    """Join elements into a command set: in increasing order, behind the group length that is computed here (PS3.7 E.1).

    Parameters
    ----------
    elements : mapping of int to bytes
        Element number to value, padded to even length. A Command Group Length (0000,0000) among them is replaced.

    Raises
    ------
    LocalProtocolError
        If an element number is out of range or a value has odd length.
    """
    parts: list[bytes] = []
    for element in sorted(elements):
        value = elements[element]
        if not 0 <= element <= 0xFFFF or len(value) & 1:
            raise LocalProtocolError(f"element {element:#06x} with {len(value)} bytes cannot be part of a command set")
        if element:
            parts.append(encode_element(element, value))
    return join_elements(parts)


def encode_element(element: int, value: bytes) -> bytes:
    """Put the header of an element before its value. Nothing is checked here."""
    return _HEADER.pack(0, element, len(value)) + value


def join_elements(elements: list[bytes]) -> bytes:
    """Join encoded elements, which are in increasing order, behind their group length (PS3.7 E.1)."""
    body = b"".join(elements)
    return encode_group_length(len(body)) + body


def encode_group_length(length: int) -> bytes:
    """Encode Command Group Length (0000,0000): how many bytes stand behind it."""
    return _GROUP_LENGTH.pack(0, 0, 4, length)


@frozen
class ValueRepresentation:
    """How the values of one kind of element travel (PS3.5 6.2).

    Parameters
    ----------
    name : str
        The two letters of the standard.
    encode : callable
        Returns a value as bytes, padded to even length. Strict: what is not allowed raises :class:`LocalProtocolError`.
    decode : callable
        Returns a value of bytes that are not empty. Text is decoded whatever it holds, bytes outside ASCII as
        Latin-1, and is empty if it is all padding; a wrong length of a number or a tag raises
        :class:`CommandSetError`.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _encode_ui(value: Any) -> bytes:
    return _encode_uid(value) if isinstance(value, str) else _encode_uid.__wrapped__(value)


@lru_cache(maxsize=1024)  # the few UIDs of SOP classes go out again and again
def _encode_uid(value: str) -> bytes:
    raw = check_uid(value).encode("ascii")
    return raw + b"\0" if len(raw) & 1 else raw


def _encode_instance_ui(value: str) -> bytes:
    raw = check_instance_uid(value).encode("ascii")
    return raw + b"\0" if len(raw) & 1 else raw


def _decode_ui(raw: bytes) -> str:
    return raw.decode("latin-1").rstrip("\0 ")


def _pad_text(text: str) -> bytes:
    raw = text.encode("ascii")
    return raw + b" " if len(raw) & 1 else raw


def _encode_ae(value: str) -> bytes:
    return _pad_text(check_ae_title(value))


def _encode_lo(value: object) -> bytes:
    if not isinstance(value, str) or not _LO.fullmatch(value) or not value.strip(" "):
        raise EncodingError(  # the value may name a patient
            "the text is not 1 to 64 printable ASCII characters, not all spaces, without backslash"
        )
    return _pad_text(value.strip(" "))


def _decode_text(raw: bytes) -> str:
    return raw.decode("latin-1").strip("\0 ")


def _encode_us(value: Any) -> bytes:
    try:
        return _US.pack(value)
    except struct.error:
        shown = value if isinstance(value, int) else f"an object of type {type(value).__name__}"
        raise EncodingError(f"{shown} is not an integer from 0 to 65535") from None


def _decode_us(raw: bytes) -> int:
    try:
        value: int = _US.unpack(raw)[0]
    except struct.error:
        raise CommandSetError(f"an integer of 2 bytes has {len(raw)}") from None
    return value


def _encode_at(value: Iterable[int]) -> bytes:
    try:
        raw = b"".join(_AT.pack(tag >> 16, tag & 0xFFFF) for tag in value)
    except (struct.error, TypeError):
        raise EncodingError(f"an object of type {type(value).__name__} is not a sequence of 32-bit tags") from None
    if not raw:
        raise EncodingError("a list of tags that is sent has at least one (VM 1-n)")
    return raw


def _decode_at(raw: bytes) -> tuple[int, ...]:
    try:
        return tuple(group << 16 | element for group, element in _AT.iter_unpack(raw))
    except struct.error:
        raise CommandSetError(f"a list of tags of 4 bytes each has {len(raw)}") from None


AE: Final = ValueRepresentation("AE", _encode_ae, _decode_text)
AT: Final = ValueRepresentation("AT", _encode_at, _decode_at)  # a tuple of tags: all in group 0000 are VM 1-n
LO: Final = ValueRepresentation("LO", _encode_lo, _decode_text)
INSTANCE_UI: Final = ValueRepresentation("UI", _encode_instance_ui, _decode_ui)  # names an object that is there
UI: Final = ValueRepresentation("UI", _encode_ui, _decode_ui)
US: Final = ValueRepresentation("US", _encode_us, _decode_us)
