"""Matching of worklist style queries (PS3.4 C.2.2.2, K.2.2.1) against data sets in memory.

May change.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import frozen
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

__all__ = ["NOT_KEYS", "answer", "matches", "matches_instant", "wild_card"]

NOT_KEYS: Final = frozenset({"SpecificCharacterSet", "TimezoneOffsetFromUTC"})
"""Keywords of what stands in an identifier without being a key (PS3.4 C.4)."""

_IN_EVERY_ANSWER: Final = ("SpecificCharacterSet", "TimezoneOffsetFromUTC")  # without them text and times are wrong
_RANGES: Final = frozenset({"DA", "DT", "TM"})
_WILDCARDS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_LAST: Final = "\uffff"  # sorts after whatever the standard allows


def matches(identifier: Dataset, candidate: Dataset) -> bool:
    """Tell whether a data set matches all keys of an identifier.

    A key without a value matches everything. A value of the candidate that is empty matches no other key (PS3.4
    K.2.2.1.1). Wild cards are ``*`` and ``?``; names of persons are compared without regard to case; a range of dates
    or times has a hyphen; a list of UIDs matches any of them; a sequence has one item, whose keys some item of the
    candidate has to match.

    A DT, or both ends of a range of them, is an instant: offsets from UTC count, those of the values themselves or the
    Timezone Offset From UTC (0008,0201) beside or around them. One without any is a time at the same place as what it
    is compared with. Other dates and times are compared as text.
    """
    return _match_all(identifier, candidate, _Zones())


def _match_all(identifier: Dataset, candidate: Dataset, outer: "_Zones") -> bool:
    zones = _Zones(_zone_of(identifier) or outer.key, _zone_of(candidate) or outer.value)
    return all(element.keyword in NOT_KEYS or _matches(element, candidate, zones) for element in identifier)


def answer(identifier: Dataset, candidate: Dataset) -> Dataset:
    """Return what a query asks of a match: the attributes of its identifier, empty where the candidate has none.

    Of a sequence with keys in its item it is the items that match them. Specific Character Set and Timezone Offset From
    UTC of the candidate go with it (PS3.4 C.4.1.1.3.2, CC.2.8.1.3.3).
    """
    return _answer(identifier, candidate, _Zones())


def _answer(identifier: Dataset, candidate: Dataset, outer: "_Zones") -> Dataset:
    zones = _Zones(_zone_of(identifier) or outer.key, _zone_of(candidate) or outer.value)
    found = Dataset()
    for keyword in _IN_EVERY_ANSWER:
        if candidate.get(keyword):
            found.add(candidate[keyword])
    for key in identifier:
        if key.keyword in NOT_KEYS:
            continue
        if key.tag not in candidate:
            found.add_new(key.tag, key.VR, [] if key.VR == "SQ" else None)
            continue
        own = candidate[key.tag]
        if key.VR == own.VR == "SQ" and key.value and len(key.value[0]):
            wanted = key.value[0]
            items = [item for item in own.value if _match_all(wanted, item, zones)]
            found.add_new(key.tag, "SQ", [_answer(wanted, item, zones) for item in items])
        else:
            found.add(own)
    return found


def _is_universal(key: DataElement) -> bool:
    if isinstance(key.value, Sequence):
        return all(_is_universal(element) for item in key.value for element in item)
    return key.is_empty or str(key.value) == "*"


def _matches(key: DataElement, candidate: Dataset, zones: "_Zones") -> bool:
    if _is_universal(key):
        return True
    if key.tag not in candidate:
        return False
    own = candidate[key.tag]
    if own.is_empty or (key.VR == "SQ") != (own.VR == "SQ"):
        return False
    if key.VR == "SQ":
        return any(_match_all(key.value[0], item, zones) for item in own.value)
    wanted, values = tuple(_values(key.value)), tuple(_values(own.value))
    if own.VR == "DT":
        return any(_matches_instant(one, value, zones) for one in wanted for value in values)
    return any(_matches_value(one, value, own.VR) for one in wanted for value in values)


def _values(value: Any) -> Iterable[str]:
    return map(str, value) if isinstance(value, MultiValue) else (str(value),)


def _matches_value(wanted: str, value: str, vr: str) -> bool:
    if vr in _RANGES and "-" in wanted:
        first, _, last = wanted.partition("-")
        return first.strip() <= value <= (last.strip() or _LAST) + _LAST
    if vr in _WILDCARDS:
        return re.fullmatch(wild_card(wanted), value, re.DOTALL | (re.IGNORECASE if vr == "PN" else 0)) is not None
    return wanted == value


def wild_card(wanted: str) -> str:
    """Return a regular expression for a key with wild cards (PS3.4 C.2.2.2.4).

    What a star has matched is not tried again, or many stars would take for ever.
    """
    first, *more = ("".join("." if c == "?" else re.escape(c) for c in part) for part in wanted.split("*"))
    if not more:
        return first
    return first + "".join(f"(?>.*?{part})" for part in more[:-1]) + ".*" + more[-1]


# --- instants ---------------------------------------------------------------------------------------------------------

# PS3.5 6.2, DT. An offset is at most 14 hours; what looks like a larger one is the year in which a range ends.
_DT: Final = r"(\d{4,14})(\.\d{1,6})?([+-](?:0\d|1[0-4])[0-5]\d)?"
_ONE: Final = re.compile(rf"\s*{_DT}\s*", re.ASCII)
_OFFSET: Final = re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII)
_LEAST: Final = ("", "01", "01", "00", "00", "00")  # of the parts of a date and time


@frozen
class _Zones:
    """How far from UTC the times of the keys, and of the candidate, are unless they say so themselves."""

    key: str = ""
    value: str = ""


@frozen
class _Instant:
    first: datetime
    digits: int  # how exactly it is stated; a fraction of a second counts as seconds

    @property
    def end(self) -> datetime:
        """The first instant that is not meant any more."""
        match self.digits:
            case 4:
                return self.first.replace(year=self.first.year + 1)
            case 6:
                return (self.first + timedelta(days=31)).replace(day=1)
            case digits:
                return self.first + timedelta(seconds={8: 86_400, 10: 3_600, 12: 60}.get(digits, 1))


def _zone_of(dataset: Dataset) -> str:
    return str(dataset.get("TimezoneOffsetFromUTC", None) or "").strip()


def _shift(offset: str) -> timedelta:
    found = _OFFSET.fullmatch(offset)
    if found is None:
        return timedelta()
    shift = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -shift if found[1] == "-" else shift


def _instant(found: re.Match[str], offset: str) -> _Instant:
    """Return the instant that is meant; raise ``ValueError`` or ``OverflowError`` if there is none."""
    digits, fraction = found[1], found[2] or ".0"
    parts = [digits[:4], *(digits[at : at + 2] for at in range(4, len(digits), 2))]
    year, month, day, hour, minute, second = map(int, parts + list(_LEAST[len(parts) :]))
    first = datetime(year, month, day, hour, minute, tzinfo=UTC)
    seconds = second + float(f"0{fraction}")  # may be a leap second
    return _Instant(first + timedelta(seconds=seconds) - _shift(offset), len(digits))


def matches_instant(wanted: str, value: str, *, key_zone: str = "", value_zone: str = "") -> bool:
    """Tell whether a DT matches a key: an instant, or a range of them (PS3.4 C.2.2.2.5.3).

    Parameters
    ----------
    wanted, value : str
        The key, and one value of an entity.
    key_zone, value_zone : str
        How far from UTC they are unless they say so themselves: Timezone Offset From UTC, such as ``"+0100"``.
    """
    return _matches_instant(wanted, value, _Zones(key_zone, value_zone))


def _matches_instant(wanted: str, value: str, zones: _Zones) -> bool:
    """Compare instants; what is none is compared as text."""
    own, one = _ONE.fullmatch(value), _ONE.fullmatch(wanted)
    first, last = (one, one) if one else _ends(wanted)
    if own is None or not (first or last):
        return _matches_value(wanted, value, "DT")
    stated = zones.key or next((end[3] for end in (first, last) if end and end[3]), "")
    own_zone = own[3] or zones.value or stated
    try:
        found = _instant(own, own_zone)
        low, high = (end and _instant(end, end[3] or zones.key or own_zone) for end in (first, last))
        if one:
            return found == low
        return (not low or low.first <= found.first) and (not high or found.first < high.end)
    except (ValueError, OverflowError):  # there is no such day, or it is long after all others
        return _matches_value(wanted, value, "DT")


def _ends(wanted: str) -> tuple[re.Match[str] | None, re.Match[str] | None]:
    """Return first and last of a range, which may lack one; two times nothing if it is none."""
    for hyphen in re.finditer("-", wanted):
        first, last = wanted[: hyphen.start()], wanted[hyphen.end() :]
        ends = _ONE.fullmatch(first), _ONE.fullmatch(last)
        if all(end or not text.strip() for end, text in zip(ends, (first, last), strict=True)):
            return ends
    return None, None
