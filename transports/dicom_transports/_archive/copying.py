"""Copies of an archive: backups, which are archives themselves, and what is restored from one.

May change.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, insert, select, text

from dicom_proto.errors import InvalidSettingError
from dicom_transports._archive.index.describing import Stamp
from dicom_transports._archive.index.opening import WRITES
from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.keeping import Kept
from dicom_transports._archive.keys import Level
from dicom_transports._archive.workflow.tables import OUTBOX, STEPS, WORKLIST
from dicom_transports._files.durability import sync_directories

__all__ = ["copy_archive"]

_AT_A_TIME: Final = 1000  # rows
_BLOCK: Final = 1 << 20  # bytes
_PART: Final = ".part"
_INSTANCES: Final = TABLES[Level.IMAGE]
_COPIED: Final = [*TABLES.values(), WORKLIST, STEPS, OUTBOX]  # those that others refer to first
_NUMBERED: Final = [table for table in _COPIED if "id" in table.c]

OnProgress = Callable[[int, int], Any] | None


def copy_archive(source: Kept, target: Kept, on_progress: OnProgress = None) -> int:
    """Copy an archive into another one, which becomes what this one is; return how many objects it has.

    Both may be in use. What is stored meanwhile is in the copy or not, but index and files of the copy are in step. A
    file that the copy has already, of the same length and time, is not copied again; what has been deleted since is
    deleted there, too. The index of the copy is written anew.

    Parameters
    ----------
    source : Kept
        What is copied.
    target : Kept
        Where to. If it has objects, it has to be a former copy: its files are those of objects that the source has or
        has had.
    on_progress : callable, optional
        Called with how many objects have been copied, and how many there are.

    Raises
    ------
    InvalidSettingError
        If both are one.
    OSError, sqlalchemy.exc.SQLAlchemyError
        If something cannot be read or written.
    """
    if source.files == target.files or source.engine.url == target.engine.url:
        raise InvalidSettingError("an archive cannot be copied to itself")
    _copy_rows(source.engine, target.engine)
    with target.engine.connect() as connection, connection.begin():
        count = connection.execute(select(func.count()).select_from(_INSTANCES)).scalar_one()
    changed: set[Path] = set()  # directories
    for number, (name, stamp, digest) in enumerate(_files(target.engine), 1):
        _copy_file(source.files / name, target.files / name, stamp, digest, changed)
        if on_progress is not None:
            on_progress(number, count)
    sync_directories(changed)
    with target.engine.connect() as connection, connection.begin():
        known = set(connection.execute(select(_INSTANCES.c.path)).scalars())
    for path in target.paths():
        if path.relative_to(target.files).as_posix() not in known:  # it has been deleted
            path.unlink()
    return target.bring_into_step()


# --- the index --------------------------------------------------------------------------------------------------------


def _copy_rows(source: Engine, target: Engine) -> None:
    """Copy all rows as they are at one moment; those that are there give way."""
    is_postgresql = source.dialect.name == "postgresql"
    options = {"isolation_level": "REPEATABLE READ"} if is_postgresql else {}
    with (
        source.connect().execution_options(**options) as reading,
        reading.begin(),
        target.connect().execution_options(**WRITES) as writing,
        writing.begin(),
    ):
        for table in reversed(_COPIED):
            writing.execute(delete(table))
        for table in _COPIED:
            wanted = select(table).where(table.c.is_leaving == 0) if table is _INSTANCES else select(table)
            rows = reading.execution_options(stream_results=True).execute(wanted).mappings()
            for some in rows.partitions(_AT_A_TIME):
                writing.execute(insert(table), [dict(row) for row in some])
        _count_on(writing)


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number further rows beyond those that have brought their numbers; SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        for table in _NUMBERED:
            highest = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
            sequence = func.pg_get_serial_sequence(table.name, "id")
            connection.execute(select(func.setval(sequence, highest, text("false"))))


# --- the files --------------------------------------------------------------------------------------------------------


def _files(engine: Engine) -> Iterator[tuple[str, Stamp, bytes]]:
    """Return name, stamp and digest of each file that an index has, page by page."""
    columns = (_INSTANCES.c.path, _INSTANCES.c.size, _INSTANCES.c.modified, _INSTANCES.c.digest)
    last = 0
    while True:
        asked = select(_INSTANCES.c.id, *columns).where(_INSTANCES.c.id > last).order_by(_INSTANCES.c.id)
        with engine.connect() as connection, connection.begin():
            rows = connection.execute(asked.limit(_AT_A_TIME)).all()
        for number, path, size, modified, digest in rows:
            yield path, Stamp(size, modified), digest
            last = number
        if len(rows) < _AT_A_TIME:
            return


def _copy_file(source: Path, target: Path, stamp: Stamp, digest: bytes, changed: set[Path]) -> None:
    """Copy a file, unless it is there; one that is gone is left out, one that has been replaced is copied as it is."""
    with suppress(FileNotFoundError):
        if Stamp.of(target) == stamp:
            return
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
        changed |= {target.parent.parent, target.parent.parent.parent}
    part = target.with_name(f".{target.name}{_PART}")
    try:
        with source.open("rb", buffering=0) as reading, part.open("wb", buffering=0) as writing:
            found, hashed = os.fstat(reading.fileno()), hashlib.sha256()
            while block := reading.read(_BLOCK):
                hashed.update(block)
                writing.write(block)
            os.utime(writing.fileno(), ns=(found.st_mtime_ns, found.st_mtime_ns))
            os.fsync(writing.fileno())
    except FileNotFoundError:
        return
    if Stamp(found.st_size, found.st_mtime_ns) == stamp and hashed.digest() != digest:
        part.unlink()
        raise OSError(f"{source} is not what was stored: --verify tells what else is not")
    part.replace(target)
    changed.add(target.parent)
