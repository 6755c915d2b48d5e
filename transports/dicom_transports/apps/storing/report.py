"""A file that says of each item what has become of it, a JSON object a line, so that a transfer can be resumed.

A line has ``item`` (the absolute path), ``stored`` (true or false), ``status`` (a number, or null) and ``reason``. It
is written as soon as that is known: whatever ends the command, what is in the file has happened.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.storing.account import Outcome

__all__ = ["Report", "stored_before"]


def _name(item: str) -> str:
    return os.path.abspath(item)  # noqa: PTH100 - links are not to be followed


class Report:
    """A report that is being written; lines are added to one that is resumed.

    Raises
    ------
    CommandError
        If the file cannot be written, or is there already and not to be resumed.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        try:
            self._file: IO[str] = path.open("a" if resume else "x", encoding="utf-8", buffering=1)
        except FileExistsError:
            raise CommandError(f"{path} is there already: go on with --resume, or name another file") from None
        except OSError as error:
            raise CommandError(f"the report {path} cannot be written: {error.strerror}", Exit.LOCAL) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, item: str, outcome: Outcome) -> None:
        """Write the line of an item."""
        record = {"item": _name(item), "stored": outcome.is_stored, "status": outcome.status, "reason": outcome.reason}
        self._file.write(json.dumps(record) + "\n")


def stored_before(path: Path, items: Iterable[str]) -> set[str]:
    """Return those of the items that a report says the peer has.

    Raises
    ------
    CommandError
        If there is no such report, or it is none.
    """
    stored = set()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    break  # whoever wrote it was ended in the middle
                try:
                    record = json.loads(line)
                    if record["stored"]:
                        stored.add(record["item"])
                except (ValueError, TypeError, KeyError):
                    raise CommandError(f"{path} is no report of storescu: line {number}") from None
    except OSError as error:
        raise CommandError(f"the report {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CommandError(f"{path} is no report of storescu") from None
    return {item for item in items if _name(item) in stored}
