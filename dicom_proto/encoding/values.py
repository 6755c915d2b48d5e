"""Bytes to the values that pydicom has for them, one element at a time (PS3.5 6.2).

May change.

pydicom's own conversion warns of whatever breaks a rule, with the value, shortens lists of tags that do not come out
even, and gives up on numbers that do not. Here the value is kept, and what is wrong with it is said by its tag.
"""

import logging
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pydicom import config, valuerep
from pydicom.config import IGNORE
from pydicom.dataelem import empty_value_for_VR
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import IS, PersonName
from pydicom.values import convert_DA_string, convert_DS_string, convert_DT_string, convert_IS_string, convert_TM_string

from dicom_proto.encoding.character_sets import CharacterSets
from dicom_proto.encoding.representations import TEXT, named

__all__ = ["LUT_DESCRIPTORS", "NUMBERS", "WIDTHS_OF_VALUES", "read_value"]

_log = logging.getLogger("dicom_proto.encoding")

NUMBERS: Final = {
    "FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q",
}  # fmt: skip
"""How the numbers of a VR are packed."""

LUT_DESCRIPTORS: Final = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})
"""Of whose values the first is a number of entries, and never negative, whatever the VR is (PS3.3 C.11.1.1.1)."""

WIDTHS_OF_VALUES: Final = {"AT": 4, **{vr: struct.calcsize(f"={form}") for vr, form in NUMBERS.items()}}
"""How many bytes one value has, for VRs of which that is so."""

_BYTES: Final = frozenset({"AT", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_SINGLE: Final = frozenset({"LT", "ST", "UT"})  # a backslash is a character of them
_DATES: Final = {"DA": convert_DA_string, "DT": convert_DT_string, "TM": convert_TM_string}


def read_value(vr: str, raw: bytes, tag: int, *, little: bool, sets: CharacterSets) -> tuple[str, Any]:
    """Return VR and value of an element; the VR is UN, and the value its bytes, if they cannot be of the VR.

    Parameters
    ----------
    vr : str
        One VR, not SQ.
    raw : bytes
        Its bytes.
    tag : int
        The element, for messages.
    little : bool
        The byte order.
    sets : CharacterSets
        Of text.
    """
    if not raw:
        return vr, empty_value_for_VR(vr)
    width = WIDTHS_OF_VALUES.get(vr, 1)
    if len(raw) % width:
        _log.warning("%s has %d bytes, no whole values of VR %s: they are kept as UN", named(tag), len(raw), vr)
        return "UN", raw
    if vr in NUMBERS:
        return vr, _read_numbers(vr, raw, tag, little=little)
    if vr in TEXT:
        return vr, _read_text(vr, raw, tag, sets)
    read = _STRINGS.get(vr)
    if read is not None:
        return vr, read(vr, raw, tag)
    if vr not in _BYTES:
        _log.warning("%s has a value representation that is none: it is kept as it is", named(tag))
        vr = "UN"
    return vr, _read_tags(raw, little=little) if vr == "AT" else raw


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1").rstrip(" \0")


def _split(text: str, kind: Callable[[str], Any]) -> Any:
    values = text.split("\\")
    return kind(values[0]) if len(values) == 1 else MultiValue(kind, values)


def _uid(value: str) -> UID:
    return UID(value, IGNORE)


def _is(value: Any) -> Any:
    return IS(value, IGNORE)


def _ds(value: Any) -> Any:
    return valuerep.DSclass(value, validation_mode=IGNORE)


def _read_numbers(vr: str, raw: bytes, tag: int, *, little: bool) -> Any:
    count = len(raw) // WIDTHS_OF_VALUES[vr]
    values = list(struct.unpack(f"{'<' if little else '>'}{count}{NUMBERS[vr]}", raw))
    if tag in LUT_DESCRIPTORS and vr == "SS":
        values[0] &= 0xFFFF
    return values[0] if len(values) == 1 else values


def _read_tags(raw: bytes, *, little: bool) -> Any:
    pairs = struct.iter_unpack("<HH" if little else ">HH", raw)
    values = [BaseTag(group << 16 | element) for group, element in pairs]
    return values[0] if len(values) == 1 else MultiValue(BaseTag, values)


def _read_text(vr: str, raw: bytes, tag: int, sets: CharacterSets) -> Any:
    raw = raw.rstrip(b" \0") if vr == "PN" else raw
    text, is_sound = sets.decode(raw, is_name=vr == "PN")
    if not is_sound and sets.terms:
        _log.warning("%s has bytes that its character set does not have: they are replaced", named(tag))
    if vr in _SINGLE:
        return text.rstrip("\0 ")
    if vr != "PN":
        values = [value.rstrip("\0 ") for value in text.split("\\")]
        return values[0] if len(values) == 1 else MultiValue(str, values)
    names = text.split("\\")
    made = [PersonName(name, sets.codecs, validation_mode=IGNORE) for name in names]
    return made[0] if len(made) == 1 else MultiValue(PersonName, made)


def _read_numbers_as_text(vr: str, raw: bytes, tag: int) -> Any:
    if vr == "DS":
        read = (
            partial(convert_DS_string, raw, True) if config.use_DS_numpy else partial(_split, _latin(raw).strip(), _ds)
        )
    else:
        read = (
            partial(convert_IS_string, raw, True) if config.use_IS_numpy else partial(_split, _latin(raw).strip(), _is)
        )
    return _or_text(read, vr, raw, tag)


def _read_dates(vr: str, raw: bytes, tag: int) -> Any:
    if config.datetime_conversion:
        return _or_text(partial(_DATES[vr], raw, True), vr, raw, tag)
    return _read_strings(vr, raw, tag)


def _read_strings(_: str, raw: bytes, __: int) -> Any:
    return _split(_latin(raw), str)


def _read_uids(_: str, raw: bytes, __: int) -> Any:
    return _split(_latin(raw), _uid)


def _read_titles(_: str, raw: bytes, __: int) -> Any:
    return _split("\\".join(title.strip() for title in _latin(raw).split("\\")), str)


def _read_uri(_: str, raw: bytes, __: int) -> str:
    return _latin(raw)


_STRINGS: Final[dict[str, Callable[[str, bytes, int], Any]]] = {
    **dict.fromkeys(("DS", "IS"), _read_numbers_as_text),
    **dict.fromkeys(_DATES, _read_dates),
    **dict.fromkeys(("AS", "CS"), _read_strings),
    "UI": _read_uids,
    "AE": _read_titles,
    "UR": _read_uri,
}


def _or_text(read: Callable[[], Any], vr: str, raw: bytes, tag: int) -> Any:
    """Return what a function reads, or the text that it cannot read."""
    try:
        return read()
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        _log.warning("%s has a value that is none of VR %s: it stays text", named(tag), vr)
        return _split(_latin(raw), str)
