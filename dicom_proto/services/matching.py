"""Matching of worklist style queries (PS3.4 C.2.2.2, K.2.2.1) against data sets in memory.

May change.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

__all__ = ["NOT_KEYS", "answer", "matches"]

NOT_KEYS: Final = frozenset({"SpecificCharacterSet", "TimezoneOffsetFromUTC"})
"""Keywords of what stands in an identifier without being a key (PS3.4 C.4)."""

_RANGES: Final = frozenset({"DA", "DT", "TM"})
_WILDCARDS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_LAST: Final = "\uffff"  # sorts after whatever the standard allows


def matches(identifier: Dataset, candidate: Dataset) -> bool:
    """Tell whether a data set matches all keys of an identifier.

    A key without a value matches everything. A value of the candidate that is empty matches no other key (PS3.4
    K.2.2.1.1). Wild cards are ``*`` and ``?``; names of persons are compared without regard to case; a range of dates
    or times has a hyphen; a list of UIDs matches any of them; a sequence has one item, whose keys some item of the
    candidate has to match. Dates and times are compared as text, so offsets from UTC do not count.
    """
    return all(element.keyword in NOT_KEYS or _matches(element, candidate) for element in identifier)


def answer(identifier: Dataset, candidate: Dataset) -> Dataset:
    """Return what a query asks of a match: the attributes of its identifier, empty where the candidate has none.

    Of a sequence with keys in its item it is the items that match them.
    """
    found = Dataset()
    if "SpecificCharacterSet" in candidate:
        found.SpecificCharacterSet = candidate.SpecificCharacterSet
    for key in identifier:
        if key.keyword in NOT_KEYS:
            continue
        if key.tag not in candidate:
            found.add_new(key.tag, key.VR, [] if key.VR == "SQ" else None)
            continue
        own = candidate[key.tag]
        if key.VR == own.VR == "SQ" and key.value and len(key.value[0]):
            wanted = key.value[0]
            found.add_new(key.tag, "SQ", [answer(wanted, item) for item in own.value if matches(wanted, item)])
        else:
            found.add(own)
    return found


def _is_universal(key: DataElement) -> bool:
    if isinstance(key.value, Sequence):
        return all(_is_universal(element) for item in key.value for element in item)
    return key.is_empty or str(key.value) == "*"


def _matches(key: DataElement, candidate: Dataset) -> bool:
    if _is_universal(key):
        return True
    if key.tag not in candidate:
        return False
    own = candidate[key.tag]
    if own.is_empty or (key.VR == "SQ") != (own.VR == "SQ"):
        return False
    if key.VR == "SQ":
        return any(matches(key.value[0], item) for item in own.value)
    return any(_matches_value(wanted, value, own.VR) for wanted in _values(key.value) for value in _values(own.value))


def _values(value: Any) -> Iterable[str]:
    return map(str, value) if isinstance(value, MultiValue) else (str(value),)


def _matches_value(wanted: str, value: str, vr: str) -> bool:
    if vr in _RANGES and "-" in wanted:
        first, _, last = wanted.partition("-")
        return first.strip() <= value <= (last.strip() or _LAST) + _LAST
    if vr in _WILDCARDS:
        return re.fullmatch(_pattern(wanted), value, re.DOTALL | (re.IGNORECASE if vr == "PN" else 0)) is not None
    return wanted == value


def _pattern(wanted: str) -> str:
    """Return a regular expression; what a star has matched is not tried again, or many stars would take for ever."""
    first, *more = ("".join("." if c == "?" else re.escape(c) for c in part) for part in wanted.split("*"))
    if not more:
        return first
    return first + "".join(f"(?>.*?{part})" for part in more[:-1]) + ".*" + more[-1]
