"""Whether a value matches a key (PS3.4 C.2.2.2): roughly in the database, and exactly on what that finds.

Internal. The database leaves out only what cannot match; so what a comparison means stands in one place, and does not
depend on the database.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_

from dicom_proto.services.matching import matches_instant, wild_card
from dicom_transports._archive.index.describing import fold
from dicom_transports._archive.index.identifiers import Wanted

__all__ = ["Comparison", "comparison_of", "name_narrowing", "narrowing"]

Comparison = Callable[[str], bool]
"""Tells whether one value matches."""

_RANGES: Final = frozenset({"DA", "TM", "DT"})
_WILD: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_NUMBERS: Final = frozenset({"DS", "IS", "US"})
_ESCAPE: Final = "!"
_MOST_LISTED: Final = 500  # values of an IN; more are compared one by one
_MOST_NAMES: Final = 50  # that the database looks for, and parts of each: its expressions must not be too deep
_MOST_PARTS: Final = 16
_PARTS: Final = re.compile(r"[\^\s=,]+")  # what stands between the parts of a name
_DIGITS: Final = re.compile(r"[.:]")  # of dates and times as ACR-NEMA wrote them


def narrowing(wanted: Wanted, column: ColumnElement[Any]) -> ColumnElement[bool] | None:
    """Return a condition that leaves out rows which do not match; ``None`` if the database cannot tell.

    Parameters
    ----------
    wanted : Wanted
        A key with values, not of VR PN.
    column : ColumnElement
        The column of its attribute.
    """
    key = wanted.key
    if key.vr in _NUMBERS or len(wanted.values) > _MOST_LISTED:
        return None
    if key.vr in _RANGES:
        return _date_range(wanted, column) if key.vr == "DA" else None
    if key.vr in _WILD and any(_is_wild(value) for value in wanted.values):
        condition: ColumnElement[bool] = or_(*(_is_like(value, column) for value in wanted.values))
    else:
        condition = column.in_(wanted.values)
    return or_(condition, column.like("%\\%", escape=_ESCAPE)) if key.is_multiple else condition


def name_narrowing(wanted: Wanted, folded: ColumnElement[Any]) -> ColumnElement[bool] | None:
    """Return a condition that leaves out names which do not match; ``folded`` is the column of the folded ones."""
    if len(wanted.values) > _MOST_NAMES:
        return None
    return or_(*(and_(*(folded.like(part, escape=_ESCAPE) for part in _parts(value))) for value in wanted.values))


def _parts(value: str) -> list[str]:
    """Return patterns of what a name has to have somewhere, in whichever of its groups, and in any order."""
    found = [part for part in re.split(r"[\^\s=,?*]+", fold(value)) if part]
    return [f"%{_like(part)}%" for part in found[:_MOST_PARTS]] or ["%"]


def _date_range(wanted: Wanted, column: ColumnElement[Any]) -> ColumnElement[bool] | None:
    """Dates in the form of today sort as text; all others (PS3.5 6.2, note 1) are left for the exact comparison."""
    parts = []
    for value in wanted.values:
        first, hyphen, last = value.partition("-")
        first, last = first.strip(), last.strip() if hyphen else first.strip()
        if not all(not end or (end.isdigit() and len(end) == 8) for end in (first, last)):
            return None
        ends = ([column >= first] if first else []) + ([column <= last] if last else [])
        parts.append(and_(*ends) if ends else column.is_not(None))
    return or_(*parts, column.like("%.%", escape=_ESCAPE))


def _is_like(value: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column.like(_like(value), escape=_ESCAPE) if _is_wild(value) else column == value


def _is_wild(value: str) -> bool:
    return "*" in value or "?" in value


def _like(value: str) -> str:
    """Return a pattern of SQL for one with wild cards."""
    escaped = re.sub(f"[%_{_ESCAPE}]", lambda found: _ESCAPE + found[0], value)
    return escaped.replace("*", "%").replace("?", "_")


# --- exactly ----------------------------------------------------------------------------------------------------------


def comparison_of(wanted: Wanted, *, fuzzy: bool = False) -> Comparison:
    """Return what tells whether a stored value matches a key that is not universal, nor a sequence.

    Parameters
    ----------
    wanted : Wanted
        The key.
    fuzzy : bool
        Whether names match whatever their accents are, and by the beginnings of their parts in any order
        (PS3.4 C.2.2.2.1.1).
    """
    tests = [_test(value, wanted.key.vr, fuzzy=fuzzy) for value in wanted.values]
    if len(tests) == 1 and not wanted.key.is_multiple:
        return tests[0]
    return lambda text: any(test(value) for value in text.split("\\") for test in tests)


def _test(value: str, vr: str, *, fuzzy: bool) -> Comparison:
    if vr in _RANGES:
        return _moment(value, vr)
    if vr == "PN":
        return _fuzzy_name(value) if fuzzy else _name(value)
    if vr in _NUMBERS:
        return _number(value)
    if vr in _WILD and _is_wild(value):
        pattern = re.compile(wild_card(value), re.DOTALL)
        return lambda text: pattern.fullmatch(text) is not None
    return lambda text: text == value


def _number(value: str) -> Comparison:
    try:
        number = float(value)
    except ValueError:
        return lambda text: text == value

    def test(text: str) -> bool:
        try:
            return float(text) == number
        except ValueError:
            return False

    return test


def _name(value: str) -> Comparison:
    """Compare names without regard to case (PS3.4 C.2.2.2.1).

    A key of one component group matches any group of a name, in whatever script it is written.
    """
    groups = [group.rstrip("^ ") for group in value.split("=")]
    if len(groups) == 1:
        pattern = _pattern(groups[0])
        return lambda text: any(pattern.fullmatch(group.rstrip("^ ")) for group in text.split("="))
    patterns = [_pattern(group) if group else None for group in groups]

    def test(text: str) -> bool:
        own = [group.rstrip("^ ") for group in text.split("=")]
        own += [""] * (len(patterns) - len(own))
        return all(pattern is None or pattern.fullmatch(group) for pattern, group in zip(patterns, own, strict=False))

    return test


def _pattern(value: str) -> "re.Pattern[str]":
    return re.compile(wild_card(value), re.DOTALL | re.IGNORECASE)


def _fuzzy_name(value: str) -> Comparison:
    wanted = [
        _pattern(part if part.endswith("*") else f"{part}*") for part in re.split(r"[\^\s=,]+", fold(value)) if part
    ]

    def test(text: str) -> bool:
        parts = [part for part in _PARTS.split(fold(text)) if part]
        return all(any(one.fullmatch(part) for part in parts) for one in wanted)

    return test


def _moment(value: str, vr: str) -> Comparison:
    """Compare dates and times by what they mean; a time that is stated less exactly is a whole span (PS3.5 6.2)."""
    if vr == "DT":
        return partial(matches_instant, value)
    first, hyphen, last = value.partition("-")
    low = _DIGITS.sub("", first.strip()) if vr == "DA" else _time(first)
    high = (_DIGITS.sub("", last.strip()) if vr == "DA" else _time(last)) if hyphen else low

    def test(text: str) -> bool:
        own = _DIGITS.sub("", text.strip()) if vr == "DA" else _time(text)
        if not own:
            return False
        if not hyphen:
            return own == low or (vr == "TM" and own[: len(low)] == low)
        return (not low or own >= low[: len(own)]) and (not high or own[: len(high)] <= high)

    return test


def _time(text: str) -> str:
    """Return a time without colons, and without zeros at the end of its fraction."""
    digits = text.strip().replace(":", "")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
