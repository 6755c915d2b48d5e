"""What the status page tells: of all processes and machines that share an index, and of what they keep.

May change. Each process that tells writes a row with its numbers every few seconds; the page is made of these rows.
"""

import json
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, Self

from sqlalchemy import BigInteger, Column, Engine, Table, Text, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from dicom_proto import __version__
from dicom_proto.application.entity import ApplicationEntity
from dicom_transports._archive.index.opening import WRITES
from dicom_transports._archive.index.schema import METADATA, PARENTS, TABLES
from dicom_transports._archive.keys import Level
from dicom_transports._archive.status_page import Failures

__all__ = ["NODES", "Presence", "overview"]

_log = logging.getLogger("dicom_transports")

NODES: Final = Table(
    "nodes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("seen", BigInteger, nullable=False),  # seconds since 1970
    Column("status", Text, nullable=False),  # JSON
)

_PAUSE: Final = 2.0  # seconds until a process tells again
_PRESENT: Final = 30  # seconds after which one that has not is thought to have ended
_FORGOTTEN: Final = 86_400
_MOST_SHOWN: Final = 200  # rows of a table
_LAST_STUDIES: Final = 20
_LEVELS: Final = {
    "patients": Level.PATIENT, "studies": Level.STUDY, "series": Level.SERIES, "instances": Level.IMAGE,
}  # fmt: skip


class Presence:
    """Tells others that a process serves, and its numbers; it is a context manager, and tells inside.

    Parameters
    ----------
    engine : Engine
        The database of the index.
    ae : ApplicationEntity
        Whose numbers these are; it has ``active_associations``.
    """

    def __init__(self, engine: Engine, ae: Any) -> None:
        self._engine, self._ae = engine, ae
        self._failures = Failures()
        self._started = _now()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._has_ended = Event()
        self._thread = Thread(target=self._work, name="presence", daemon=True)

    def __enter__(self) -> Self:
        self._failures.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._has_ended.set()
        self._thread.join()
        self._failures.__exit__(*exception)
        try:
            with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
                connection.execute(delete(NODES).where(NODES.c.name == self._name))
        except SQLAlchemyError as error:
            _log.warning("the status cannot be taken away: %s", type(error).__name__)

    def _work(self) -> None:
        while not self._has_ended.is_set():
            try:
                self.tell()
            except SQLAlchemyError as error:
                _log.debug("the status cannot be written: %s", type(error).__name__)
            self._has_ended.wait(_PAUSE)

    def tell(self) -> None:
        """Write the row.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If that fails.
        """
        values = {"seen": int(time.time()), "status": json.dumps(self._status())}
        with self._engine.connect().execution_options(**WRITES) as connection, connection.begin():
            own = update(NODES).where(NODES.c.name == self._name).values(values)
            if not connection.execute(own).rowcount:
                connection.execute(insert(NODES).values(values | {"name": self._name}))
            connection.execute(delete(NODES).where(NODES.c.seen < int(time.time()) - _FORGOTTEN))

    def _status(self) -> dict[str, Any]:
        associations = [
            [one.peer.ae_title.strip(), str(one.peer_address[0])] for one in tuple(self._ae.active_associations)
        ]
        return {
            "started": self._started,
            "associations": associations,
            "counters": self._ae.counters.as_dict(),
            "failures": self._failures.latest(),
        }


def overview(engine: Engine, directory: Path, ae: ApplicationEntity, *, has_patients: bool = False) -> dict[str, Any]:
    """Return what the page shows.

    Parameters
    ----------
    engine : Engine
        The database of the index.
    directory : Path
        Where the files are.
    ae : ApplicationEntity
        Whose title stands above.
    has_patients : bool
        Whether the last studies are shown, with the names of their patients.

    Raises
    ------
    OSError, sqlalchemy.exc.SQLAlchemyError
        If it cannot be read.
    """
    present = select(NODES.c.name, NODES.c.status).where(NODES.c.seen >= int(time.time()) - _PRESENT)
    image = TABLES[Level.IMAGE]
    with engine.connect() as connection, connection.begin():
        nodes = {name: json.loads(status) for name, status in connection.execute(present.order_by(NODES.c.name))}
        kept = {
            name: connection.execute(select(func.count()).select_from(TABLES[level])).scalar_one()
            for name, level in _LEVELS.items()
        }
        size = connection.execute(select(func.coalesce(func.sum(image.c.size), 0))).scalar_one()
        studies = connection.execute(_LAST).all() if has_patients else None
    return {
        "ae_title": ae.ae_title,
        "version": __version__,
        "process": os.getpid(),
        "started": min((node["started"] for node in nodes.values()), default=_now()),
        "figures": {
            "associations": sum(len(node["associations"]) for node in nodes.values()),
            **kept,
            "stored bytes": int(size),
            "free bytes": _free(directory),
            **_sums(nodes.values()),
        },
        "tables": _tables(nodes) | ({} if studies is None else {"Last studies": _rows(_STUDY_COLUMNS, studies)}),
    }


def _free(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _sums(nodes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counters = [node["counters"] for node in nodes]
    return {
        "accepted since start": sum(one["accepted"] for one in counters),
        "received bytes": sum(one["bytes_received"] for one in counters),
        "sent bytes": sum(one["bytes_sent"] for one in counters),
    }


def _tables(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    operations: Counter[tuple[str, str, str]] = Counter()
    rejected: Counter[tuple[str, str]] = Counter()
    for node in nodes.values():
        for one in node["counters"]["operations"]:
            operations[one["role"], one["operation"], one["status"]] += one["count"]
        for one in node["counters"]["rejected"]:
            rejected[one["reason"], one["decided_by"]] += one["count"]
    failures = [
        [one["time"], one["level"], name, one["message"]] for name, node in nodes.items() for one in node["failures"]
    ]
    return {
        "Processes": _rows(
            ["process", "since", "associations"],
            [[name, node["started"], len(node["associations"])] for name, node in nodes.items()],
        ),
        "Associations now": _rows(
            ["calling AE title", "address", "process"],
            [[*one, name] for name, node in nodes.items() for one in node["associations"]],
        ),
        "Operations": _rows(
            ["role", "operation", "status", "count"], [[*key, count] for key, count in sorted(operations.items())]
        ),
        "Rejected requests": _rows(
            ["reason", "decided by", "count"], [[*key, count] for key, count in sorted(rejected.items())]
        ),
        "Last failures": _rows(["time", "level", "process", "message"], sorted(failures, reverse=True)),
    }


def _rows(columns: list[str], rows: Iterable[Iterable[Any]]) -> dict[str, Any]:
    return {"columns": columns, "rows": [list(row) for row in rows][:_MOST_SHOWN]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _last() -> Any:
    patient, study = TABLES[Level.PATIENT], TABLES[Level.STUDY]
    columns = (
        patient.c.PatientName,
        patient.c.PatientID,
        study.c.StudyDate,
        study.c.StudyDescription,
        study.c.StudyInstanceUID,
    )
    texts = (func.coalesce(column, "") for column in columns)
    joined = study.join(patient, study.c[PARENTS[Level.STUDY]] == patient.c.id)
    return select(*texts).select_from(joined).order_by(study.c.id.desc()).limit(_LAST_STUDIES)


_LAST: Final = _last()
_STUDY_COLUMNS: Final = ["name", "patient ID", "date", "description", "Study Instance UID"]
