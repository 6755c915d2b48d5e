"""Keeps index and files in step: after a process was killed, when somebody asks, and from nothing but the files.

Internal. An object is in its file before it is in the index, and out of the index after its file is gone: so whatever
happens, a row that is answered for has its file, and what is left behind is found by looking.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from attrs import frozen
from sqlalchemy import Engine, delete, select, update

from dicom_transports._archive.index.describing import NotIndexableError, Stamp, describe
from dicom_transports._archive.index.opening import WRITES
from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.index.storing import Arrival, Writer, drop_empty
from dicom_transports._archive.keys import Level
from dicom_transports._archive.running import Running

__all__ = ["Checker", "Difference"]

_log = logging.getLogger("dicom_transports.archive")
_INSTANCES: Final = TABLES[Level.IMAGE]
_PAGE: Final = 1000  # rows
_SUFFIX: Final = ".dcm"

OnProgress = Callable[[int, int], Any] | None


@frozen
class Difference:
    """Where index and files are not in step.

    Parameters
    ----------
    kind : {"no file", "no row", "other bytes", "unreadable"}
        What is wrong.
    path : str
        The file, below the directory of the archive.
    """

    kind: Literal["no file", "no row", "other bytes", "unreadable"]
    path: str


class Checker:
    """Compares the rows of an index with the files below a directory.

    Parameters
    ----------
    engine : Engine
        The database.
    writer : Writer
        What brings objects into the index.
    files : Path
        Where the files are.
    """

    def __init__(self, engine: Engine, writer: Writer, files: Path) -> None:
        self._engine, self._writer, self._files = engine, writer, files
        self._running = Running(files.parent)
        self._is_in_step = True

    # --- after a kill -------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Bring into step what processes have left that were killed or could not write; then say that this one runs."""
        dead = self._running.dead()
        if dead:
            _log.warning(
                "%d processes were killed, or left files that they could not index: all are compared", len(dead)
            )
            _log.warning("%d objects have been brought into step", self.bring_into_step())
            for mark in dead:
                mark.unlink(missing_ok=True)
        self._running.enter()

    def note_gap(self) -> None:
        """Take note that a file could not be indexed: who next opens the archive has to compare all of them."""
        self._is_in_step = False

    def finish(self) -> None:
        """Say that this process has ended by itself."""
        self._running.leave(in_step=self._is_in_step)

    def bring_into_step(self) -> int:
        """Index files that have no row, or another one than when they were indexed; finish what was being removed."""
        self.remove_leaving()
        rows = {path: Stamp(size, modified) for path, size, modified in self._rows("path", "size", "modified")}
        changed = 0
        for path in self.paths():
            stamp = Stamp.of(path)
            if rows.get(self._name(path)) != stamp:
                changed += self._index(path)
        return changed

    def _index(self, path: Path) -> bool:
        try:
            left = self._writer.add(Arrival(describe(path), path, self._name(path)))
        except NotIndexableError as error:
            _log.error("a file is not indexed: %s", error)
            return False
        except FileNotFoundError:  # it has been removed meanwhile
            return False
        if left is not None:
            self._settle(path, self._files / left)
        return True

    def _settle(self, path: Path, other: Path) -> None:
        """Of two files with the same object keep the newer one, as if it had come last."""
        try:
            is_older = Stamp.of(path).modified < Stamp.of(other).modified
        except FileNotFoundError:
            return
        keep, drop = (other, path) if is_older else (path, other)
        if is_older:
            self._writer.add(Arrival(describe(keep), keep, self._name(keep)))
        drop.unlink(missing_ok=True)

    # --- when somebody asks -------------------------------------------------------------------------------------------

    def verify(self, on_progress: OnProgress = None) -> list[Difference]:
        """Return all differences, the bytes of each file included."""
        found: list[Difference] = []
        known: set[str] = set()
        rows = list(self._rows("path", "digest"))
        for number, (name, digest) in enumerate(rows, 1):
            known.add(name)
            try:
                with (self._files / name).open("rb", buffering=0) as file:
                    if hashlib.file_digest(file, "sha256").digest() != digest:
                        found.append(Difference("other bytes", name))
            except FileNotFoundError:
                found.append(Difference("no file", name))
            except OSError:
                found.append(Difference("unreadable", name))
            if on_progress is not None:
                on_progress(number, len(rows))
        found += [Difference("no row", name) for name in map(self._name, self.paths()) if name not in known]
        return found

    def reindex(self, on_progress: OnProgress = None) -> int:
        """Index every file, and take out the rows that have none; return how many files there are."""
        self.remove_leaving()
        paths = list(self.paths())
        for number, path in enumerate(paths, 1):
            self._index(path)
            if on_progress is not None:
                on_progress(number, len(paths))
        self.drop_without_file()
        return len(paths)

    def drop_without_file(self) -> int:
        """Take out the rows that have no file; return how many are left."""
        rows = list(self._rows("id", "path"))
        gone = [number for number, name in rows if not (self._files / name).exists()]
        with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
            for start in range(0, len(gone), _PAGE):
                connection.execute(delete(_INSTANCES).where(_INSTANCES.c.id.in_(gone[start : start + _PAGE])))
        self.drop_empty()
        return len(rows) - len(gone)

    # --- removing -----------------------------------------------------------------------------------------------------

    def remove_leaving(self) -> int:
        """Remove the files of rows that are leaving, and the rows; return how many."""
        rows = list(self._rows("id", "path", "size", "modified", where=_INSTANCES.c.is_leaving == 1))
        for number, name, size, modified in rows:
            path = self._files / name
            with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
                still = select(_INSTANCES.c.id).where(_INSTANCES.c.id == number, _INSTANCES.c.is_leaving == 1)
                if connection.execute(still.with_for_update()).first() is None:
                    continue
                if path.exists() and Stamp.of(path) != Stamp(size, modified):
                    continue  # the object has come again: whoever stores it is about to say so
                path.unlink(missing_ok=True)
                connection.execute(delete(_INSTANCES).where(_INSTANCES.c.id == number))
        if rows:
            self.drop_empty()
        return len(rows)

    def mark_leaving(self, numbers: list[int]) -> None:
        """Say of rows that their objects are being removed: from now on nobody finds them."""
        with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
            for start in range(0, len(numbers), _PAGE):
                some = numbers[start : start + _PAGE]
                connection.execute(update(_INSTANCES).where(_INSTANCES.c.id.in_(some)).values(is_leaving=1))

    def drop_empty(self) -> None:
        """Take out series, studies and patients that have nothing any more."""
        with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
            drop_empty(connection)

    # --- rows and files -----------------------------------------------------------------------------------------------

    def _rows(self, *names: str, where: Any = None) -> Iterator[Any]:
        """Return some columns of all instances, page by page."""
        last = 0
        while True:
            asked = select(_INSTANCES.c.id, *(_INSTANCES.c[name].label(f"wanted {name}") for name in names))
            asked = asked.where(_INSTANCES.c.id > last, *([] if where is None else [where]))
            with self._engine.connect() as connection, connection.begin():
                rows = connection.execute(asked.order_by(_INSTANCES.c.id).limit(_PAGE)).all()
            for row in rows:
                yield tuple(row)[1:]
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    def paths(self) -> Iterator[Path]:
        """Return the files of objects; what is still being written has another suffix, or none."""
        for directory, _, names in os.walk(self._files):
            for name in names:
                if name.endswith(_SUFFIX) and not name.startswith("."):
                    yield Path(directory, name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._files).as_posix()
