"""What a trace consists of: one record for each thing that was seen, and for each that was wrong with it.

May change.
"""

from enum import StrEnum
from typing import Any, Final

from attrs import field, frozen

__all__ = ["Entry", "Kind", "as_json", "printable"]

_LONGEST_TEXT: Final = 2000  # characters


class Kind(StrEnum):
    """What an entry is about."""

    CONNECTION = "connection"
    ASSOCIATION = "association"
    DATA = "p-data"
    MESSAGE = "message"
    DATA_SET = "data set"
    RELEASE = "release"
    ABORT = "abort"
    NOTE = "note"
    VIOLATION = "violation"


@frozen(kw_only=True)
class Entry:
    """One thing that was seen.

    Parameters
    ----------
    stream : int
        The number of its TCP connection; 0 for what is about the whole capture.
    time, until : int
        When it began and when it had all been seen, in nanoseconds since 1970.
    back : bool or None
        Whether it went from the second end of the connection to the first; ``None`` if it did not go anywhere.
    kind : Kind
        What it is about.
    name : str
        What it is called in the standard, or in a word.
    text : str
        More of it, in one line; whatever a peer has sent may stand in it.
    status : str
        The category of a status, ``"success"`` and so on, or empty.
    states : tuple of str, str
        The states of both ends behind it (PS3.8 9.2), as far as they are known.
    fields : dict of str to any
        All of it: strings, numbers, and lists and dictionaries of these.
    """

    stream: int
    time: int
    until: int
    kind: Kind
    name: str
    text: str = ""
    back: bool | None = None
    status: str = ""
    states: tuple[str, str] = ("", "")
    fields: dict[str, Any] = field(factory=dict)


def as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as a dictionary for JSON, with times in seconds."""
    return {
        "stream": entry.stream,
        "time": entry.time / 1e9,
        "seconds": (entry.until - entry.time) / 1e9,
        "direction": None if entry.back is None else "back" if entry.back else "forth",
        "kind": entry.kind.value,
        "name": entry.name,
        "text": entry.text[:_LONGEST_TEXT],
        "status": entry.status or None,
        "states": list(entry.states),
        "fields": entry.fields,
    }


def printable(text: str) -> str:
    """Return a text for a terminal: what could move its cursor or change its colours is spelled as an escape."""
    if text.isprintable():
        return text[:_LONGEST_TEXT]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:_LONGEST_TEXT])
