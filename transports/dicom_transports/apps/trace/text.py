"""A trace as a ladder in text, and as JSON lines.

May change.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, TextIO

from dicom_transports.apps.trace.entries import Entry, Kind, as_json, printable

__all__ = ["JSONLines", "TextLadder"]

_FORTH, _BACK, _NOWHERE = "------->", "<-------", "        "
_DATA_FORTH, _DATA_BACK = "=======>", "<======="
_MARKS: Final = {Kind.VIOLATION: "!", Kind.NOTE: "*"}
_INDENT: Final = " " * 43


class TextLadder:
    """Writes a line for each entry: time, connection, state of one end, an arrow, state of the other, and what it is.

    Parameters
    ----------
    out : text file
        Where to.
    has_fields : bool
        Whether all fields are written below it.
    """

    def __init__(self, out: TextIO, *, has_fields: bool = False) -> None:
        self._out = out
        self._has_fields = has_fields
        self._start: int | None = None

    def __call__(self, entry: Entry) -> None:
        """Write an entry."""
        if self._start is None:
            self._start = entry.time
        seconds = (entry.until - self._start) / 1e9
        first, second = entry.states
        arrow = _arrow(entry)
        mark = _MARKS.get(entry.kind, " ")
        stream = f"#{entry.stream}" if entry.stream else ""
        name = "" if entry.kind is Kind.VIOLATION else f"{entry.name}: " if entry.text else entry.name
        line = f"{seconds:12.6f} {stream:>5} {first:>6} {arrow} {second:<6}{mark} {name}{entry.text}"
        print(printable(line.rstrip()), file=self._out)
        if self._has_fields and entry.kind is not Kind.VIOLATION:
            for line in _lines(entry.fields, 0):
                print(_INDENT + printable(line), file=self._out)


class JSONLines:
    """Writes each entry as a JSON object in a line of its own."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, entry: Entry) -> None:
        """Write an entry."""
        print(json.dumps(as_json(entry)), file=self._out)


def _arrow(entry: Entry) -> str:
    if entry.back is None:
        return _NOWHERE
    if entry.kind in (Kind.DATA, Kind.DATA_SET):
        return _DATA_BACK if entry.back else _DATA_FORTH
    return _BACK if entry.back else _FORTH


def _lines(value: Any, depth: int) -> Iterator[str]:
    """Spell fields as indented lines; an element of a data set is one line."""
    indent = "  " * depth
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield f"{indent}{name}:"
            yield from _lines(inner, depth + 1)
        elif isinstance(inner, list):
            yield f"{indent}{name}:"
            for item in inner:
                yield f"{indent}  {_one_line(item)}"
        else:
            yield f"{indent}{name}: {inner}"


def _one_line(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    if "tag" in item:
        items = f", {item['items']} items" if "items" in item else ""
        value = f" = {item['value']}" if item.get("value") else ""
        return f"{item['tag']} {item['vr']:<2} {item['name']}, {item['length']} bytes{items}{value}"
    return ", ".join(
        f"{name} {'; '.join(map(str, inner)) if isinstance(inner, list) else inner}" for name, inner in item.items()
    )
