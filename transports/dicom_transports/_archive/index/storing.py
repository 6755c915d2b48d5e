"""Writes the index: one thread commits what many have stored.

Internal.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Connection, Engine, Table, delete, exists, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from dicom_transports._archive.index.describing import Description, Stamp, describe
from dicom_transports._archive.index.opening import WRITES
from dicom_transports._archive.index.schema import PARENTS, TABLES
from dicom_transports._archive.keys import UNIQUE, Level

__all__ = ["Arrival", "Writer", "drop_empty"]

_log = logging.getLogger("dicom_transports.archive")
_MOST: Final = 256  # objects of a transaction
_REMEMBERED: Final = 4096  # rows of each level above the instances that need not be looked up
_ATTEMPTS: Final = 5  # of a transaction that another process has stood in the way of
_INSTANCES: Final = TABLES[Level.IMAGE]
_ABOVE: Final = (Level.PATIENT, Level.STUDY, Level.SERIES)
_IDENTITY: Final = {Level.PATIENT: "identity", Level.STUDY: UNIQUE[1], Level.SERIES: UNIQUE[2]}


@frozen
class Arrival:
    """An object that has been stored in a file and is to be in the index.

    Parameters
    ----------
    description : Description
        What it is.
    path : Path
        Where its file is.
    name : str
        That, below the directory of the archive.
    calling_ae_title : str
        Who sent it.
    replaces : bool
        Whether it takes the place of the same object in another file, or that stays.
    """

    description: Description
    path: Path
    name: str
    calling_ae_title: str = ""
    replaces: bool = True


class Writer:
    """Brings objects into the index; what is added at the same time shares a transaction, and what that costs.

    Parameters
    ----------
    engine : Engine
        The database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: SimpleQueue[tuple[Arrival, Future[str | None]] | None] = SimpleQueue()
        self._known = {level: _Known() for level in _ABOVE}
        self._thread = threading.Thread(target=self._work, name="dicom-archive-index", daemon=True)
        self._thread.start()

    def add(self, arrival: Arrival) -> str | None:
        """Bring an object into the index, and wait until that is durable.

        Returns
        -------
        str or None
            The name of a file that has the same object and is nobody's any more: another one, or, if that stays, this.

        Raises
        ------
        Exception
            Whatever the database raises; then the object is not in the index.
        """
        done: Future[str | None] = Future()
        self._waiting.put((arrival, done))
        return done.result()

    def close(self) -> None:
        """Commit what is waiting, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            is_last = False
            while len(batch) < _MOST and not is_last:
                try:
                    more = self._waiting.get_nowait()
                except Empty:
                    break
                is_last = more is None
                batch += [] if more is None else [more]
            self._commit(batch)
            if is_last:
                return

    def _commit(self, batch: list[tuple[Arrival, "Future[str | None]"]]) -> None:
        """Commit a batch; if that fails, each by itself, so that one object cannot spoil the others."""
        try:
            names = self._try([arrival for arrival, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is raised for whoever waits
            self._forget()
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for one in batch:
                self._commit([one])
            return
        for (_, done), name in zip(batch, names, strict=True):
            done.set_result(name)

    def _try(self, arrivals: Sequence[Arrival]) -> list[str | None]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
                    return [self._store(connection, arrival) for arrival in arrivals]
            except (IntegrityError, DBAPIError) as error:
                # Another process has stored the same patient, study or object in the same moment.
                if attempt == _ATTEMPTS or not _may_pass(error):
                    raise
                self._forget()
                time.sleep(0.01 * attempt)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _forget(self) -> None:
        for known in self._known.values():
            known.clear()

    def _store(self, connection: Connection, arrival: Arrival) -> str | None:
        rows = arrival.description.rows
        parent: int | None = None
        for level in _ABOVE:
            parent = self._entity(connection, level, rows[level], parent)
        uid = rows[Level.IMAGE]["SOPInstanceUID"]
        found = connection.execute(
            select(_INSTANCES.c.id, _INSTANCES.c.path, _INSTANCES.c.series)
            .where(_INSTANCES.c.SOPInstanceUID == uid)
            .with_for_update()
        ).first()
        if found is not None and found.path != arrival.name and not arrival.replaces:
            return arrival.name
        # Somebody may have replaced the file since it was read: the row is about the file that is there now.
        if Stamp.of(arrival.path) != arrival.description.stamp:
            arrival = evolve(arrival, description=describe(arrival.path))
            return self._store(connection, arrival)
        row = rows[Level.IMAGE] | {
            PARENTS[Level.IMAGE]: parent,
            "path": arrival.name,
            "stored": int(time.time()),
            "calling_ae_title": arrival.calling_ae_title,
            "is_leaving": 0,
        }
        if found is None:
            connection.execute(insert(_INSTANCES).values(row))
            return None
        connection.execute(update(_INSTANCES).where(_INSTANCES.c.id == found.id).values(row))
        if found.series != parent:
            drop_empty(connection, series=found.series)
            self._forget()
        return None if found.path == arrival.name else str(found.path)

    def _entity(self, connection: Connection, level: Level, row: dict[str, Any], parent: int | None) -> int:
        """Return the row of a patient, study or series; it is made, or what has come anew is added to it."""
        table, identity = TABLES[level], row[_IDENTITY[level]]
        known = self._known[level]
        found = known.get(identity)
        if found is None:
            found = _read(connection, table, table.c[_IDENTITY[level]] == identity)
        if found is None:
            values = row if parent is None else row | {PARENTS[level]: parent}
            made = connection.execute(insert(table).values(values).returning(table.c.id)).scalar_one()
            found = int(made), row
        number, values = found
        changed = {name: value for name, value in row.items() if value and value != values.get(name)}
        if changed:
            connection.execute(update(table).where(table.c.id == number).values(changed))
            values = values | changed
        known.put(identity, (number, values))
        return number


def drop_empty(connection: Connection, *, series: int | None = None) -> None:
    """Take out series, studies and patients that have nothing any more.

    Parameters
    ----------
    connection : Connection
        Of a transaction that writes.
    series : int, optional
        The row of a series, if it is only about that and what it is of.
    """
    number = series
    for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
        own, below = TABLES[level], Level(level + 1)
        has_any = exists().where(TABLES[below].c[PARENTS[below]] == own.c.id)
        gone = delete(own).where(~has_any)
        if number is None:
            connection.execute(gone)
            continue
        above = own.c[PARENTS[level]] if level in PARENTS else own.c.id
        number = connection.execute(gone.where(own.c.id == number).returning(above)).scalar()
        if number is None:  # it still has something, and so has what is above it
            return


class _Known:
    """The last rows that have been seen, by what tells them apart."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()

    def get(self, identity: str) -> tuple[int, dict[str, Any]] | None:
        found = self._rows.get(identity)
        if found is not None:
            self._rows.move_to_end(identity)
        return found

    def put(self, identity: str, row: tuple[int, dict[str, Any]]) -> None:
        self._rows[identity] = row
        self._rows.move_to_end(identity)
        if len(self._rows) > _REMEMBERED:
            self._rows.popitem(last=False)

    def clear(self) -> None:
        self._rows.clear()


def _read(connection: Connection, table: Table, condition: Any) -> tuple[int, dict[str, Any]] | None:
    found = connection.execute(select(table).where(condition)).mappings().first()
    if found is None:
        return None
    values = dict(found)
    return int(values.pop("id")), values


def _may_pass(error: DBAPIError) -> bool:
    """Tell whether a transaction may succeed when it is tried again."""
    if isinstance(error, IntegrityError):
        return True
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}  # not serializable, deadlock
