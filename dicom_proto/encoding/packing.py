"""The values that pydicom has for elements to bytes, one element at a time (PS3.5 6.2).

May change.

pydicom's own writers put the value into what they raise, and write question marks for what a character set does not
have.
"""

import struct
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from dicom_proto.encoding.character_sets import CharacterSets
from dicom_proto.encoding.representations import TEXT
from dicom_proto.encoding.values import LUT_DESCRIPTORS, NUMBERS

__all__ = ["PADDING", "UnpackableError", "pack"]

PADDING: Final = {"OB": b"\0", "UI": b"\0", "UN": b"\0"}
"""What makes the length of a value even (PS3.5 6.2), if it is not a space; numbers have none."""

_STRINGS: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_BYTES: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


class UnpackableError(Exception):
    """A value cannot be what its VR wants; the message says why, and does not have the value."""


def pack(element: DataElement, vr: str, sets: CharacterSets, *, little: bool) -> bytes:
    """Return the value of an element as bytes, not yet padded.

    Parameters
    ----------
    element : DataElement
        The element.
    vr : str
        Its VR, one that is not SQ.
    sets : CharacterSets
        Of text.
    little : bool
        The byte order of numbers.

    Raises
    ------
    UnpackableError
        If it is no value of the VR.
    UnexpressibleError
        If it has characters that the sets do not have.
    """
    value = element.value
    if element.is_buffered:
        return _read_all(value)
    if value is None or (isinstance(value, str | bytes | list | MultiValue) and not value):
        return b""
    if vr in NUMBERS:
        return _pack_numbers(element, vr, little=little)
    if vr in _STRINGS or vr in TEXT:
        return b"\\".join(_pack_string(one, vr, sets) for one in _values(value))
    if vr == "AT":
        return b"".join(_pack_tag(one, little=little) for one in _values(value))
    if vr not in _BYTES:
        raise UnpackableError("has a value representation that is none")
    if not isinstance(value, bytes | bytearray | memoryview):
        raise UnpackableError(f"has a {type(value).__name__} where VR {vr} wants bytes")
    return bytes(value)


def _values(value: Any) -> Iterable[Any]:
    if isinstance(value, MultiValue | list | tuple):
        return value
    return value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", None) else (value,)


def _read_all(buffer: Any) -> bytes:
    """Read an open file, which pydicom takes for a value, from where it stands, and leave it there."""
    at = buffer.tell()
    data: bytes = buffer.read()
    buffer.seek(at)
    return data


def _pack_string(value: Any, vr: str, sets: CharacterSets) -> bytes:
    if isinstance(value, bytes):
        return value
    if value is None:
        return b""
    text = _text_of(value)
    if text is None:
        raise UnpackableError(f"has a {type(value).__name__} where VR {vr} wants text")
    if vr in TEXT:
        return sets.encode(text, is_name=vr == "PN")
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:  # no character set is for them (PS3.5 6.1.2.3)
        raise UnpackableError(f"has characters outside the default repertoire, which VR {vr} cannot have") from None


def _text_of(value: Any) -> str | None:
    original = getattr(value, "original_string", None)
    if isinstance(original, str):
        return original
    match value:
        case str():
            return str(value)
        case PersonName():
            return str(value)
        case datetime():
            return value.strftime("%Y%m%d%H%M%S.%f%z" if value.microsecond else "%Y%m%d%H%M%S%z")
        case date():
            return value.strftime("%Y%m%d")
        case time():
            return value.strftime("%H%M%S.%f" if value.microsecond else "%H%M%S")
    return str(value) if hasattr(value, "__float__") else None


def _pack_numbers(element: DataElement, vr: str, *, little: bool) -> bytes:
    order = "<" if little else ">"
    values = list(_values(element.value))
    forms = [NUMBERS[vr]] * len(values)
    if element.tag in LUT_DESCRIPTORS and vr == "SS":
        forms = ["H" if isinstance(one, int) and one >= 0 else "h" for one in values]
    try:
        return struct.pack(order + "".join(forms), *values)
    except (struct.error, OverflowError, TypeError):
        raise UnpackableError(f"has a value that is no number of VR {vr}") from None


def _pack_tag(value: Any, *, little: bool) -> bytes:
    if not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF:
        raise UnpackableError("has a value that is no tag")
    return struct.pack("<HH" if little else ">HH", value >> 16, value & 0xFFFF)
