"""The modality worklist: its items, from files or from a program, and the answers to queries (PS3.4 Annex K).

May change.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Connection, Engine, and_, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.errors import DicomProtoError, LocalProtocolError
from dicom_proto.services import matching
from dicom_proto.status import Status
from dicom_transports._archive.workflow.tables import WORKLIST, Exclusive

__all__ = ["Worklist"]

_log = logging.getLogger("dicom_transports")

_PENDING: Final = 0xFF00
_UNABLE: Final = 0xC000
_PAGE: Final = 500  # items that are looked at at a time
_MOST_BYTES: Final = 1 << 20  # of a file: what is longer is no worklist item
_SUFFIX: Final = ".wl"
_FILE: Final = "file:"  # what the names of items from files begin with


class Worklist:
    """Scheduled procedure steps, in the database of an archive.

    Parameters
    ----------
    engine : Engine
        The database.
    folder : path, optional
        Where files with items are, as DCMTK's ``wlmscpfs`` has them: DICOM files whose names end in ``.wl``. They are
        looked at before each query. An item is added, replaced and removed with its file; one that a performed
        procedure step has closed stays closed until the file is another one.
    """

    def __init__(self, engine: Engine, folder: Path | None = None) -> None:
        self._engine = engine
        self._folder = folder
        self._exclusive = Exclusive(engine)
        self._unusable: set[tuple[str, str]] = set()  # files that the log has spoken of

    # --- items --------------------------------------------------------------------------------------------------------

    def add(self, item: Dataset, name: str) -> None:
        """Add an item, or replace the one of that name; it is open then.

        Parameters
        ----------
        item : Dataset
            Its attributes (PS3.4 Table K.6-1), with one item in the Scheduled Procedure Step Sequence.
        name : str
            What it is called by for :meth:`remove`.

        Raises
        ------
        LocalProtocolError
            If it has no step, more than one, or cannot be encoded.
        """
        with self._exclusive as connection:
            _put(connection, name, "", item)

    def remove(self, name: str) -> None:
        """Remove an item; one that is not there is no error."""
        with self._exclusive as connection:
            connection.execute(delete(WORKLIST).where(WORKLIST.c.name == name))

    def refresh(self) -> None:
        """Look at the files of the folder.

        Raises
        ------
        OSError
            If the folder cannot be read.
        """
        if self._folder is None:
            return
        there = {f"{_FILE}{path.name}": path for path in self._folder.iterdir() if path.suffix == _SUFFIX}
        stamps = {name: _stamp(path) for name, path in there.items()}
        asked = select(WORKLIST.c.name, WORKLIST.c.stamp).where(WORKLIST.c.name.startswith(_FILE))
        with self._engine.connect() as connection, connection.begin():
            known = {row.name: row.stamp for row in connection.execute(asked)}
        items = {name: self._read(there[name], stamp) for name, stamp in stamps.items() if known.get(name) != stamp}
        gone = [name for name in known if name not in stamps]
        if not gone and not any(items.values()):
            return
        with self._exclusive as connection:
            for name in gone:
                connection.execute(delete(WORKLIST).where(WORKLIST.c.name == name))
            for name, item in items.items():
                if item is not None:
                    _put(connection, name, stamps[name], item)

    def _read(self, path: Path, stamp: str) -> Dataset | None:
        """Read a file; ``None`` if it is no item, which the log says once for each file."""
        if (path.name, stamp) in self._unusable:
            return None
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise LocalProtocolError(f"it is longer than {_MOST_BYTES} bytes")
            item = dcmread(path, force=True)
            _encoded(item)
        except (OSError, InvalidDicomError, LocalProtocolError, AttributeError, ValueError) as error:
            self._unusable.add((path.name, stamp))
            _log.warning("! a file of the worklist's folder is left out, it is no item (%s)", type(error).__name__)
            _log.debug("that is %s: %s", path, error)
            return None
        return item

    def close_for(self, connection: Connection, step: Dataset) -> int:
        """Close the items that a performed procedure step is about; return how many.

        Parameters
        ----------
        connection : Connection
            The transaction of the caller.
        step : Dataset
            Its Scheduled Step Attributes Sequence names the study, and the scheduled step if there is one.
        """
        closed = 0
        for item in step.get("ScheduledStepAttributesSequence") or ():
            study, number = str(item.get("StudyInstanceUID") or ""), str(item.get("ScheduledProcedureStepID") or "")
            if study and number:  # an unscheduled step is about no item
                about = and_(WORKLIST.c.study_instance_uid == study, WORKLIST.c.step_id == number)
                closed += connection.execute(
                    update(WORKLIST).where(about, WORKLIST.c.is_open == 1).values(is_open=0)
                ).rowcount
        return closed

    # --- queries ------------------------------------------------------------------------------------------------------

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a query: a handler of ``EVT_C_FIND`` for the Modality Worklist SOP class."""
        try:
            identifier = event.identifier
            self.refresh()
            for item in self._open_items():
                if event.is_cancelled:
                    yield int(Status.CANCEL), None
                    return
                if matching.matches(identifier, item):
                    yield _PENDING, matching.answer(identifier, item)
        except (DicomProtoError, OSError, SQLAlchemyError) as error:
            _log.error("! a worklist query cannot be answered: %s", type(error).__name__)
            yield _UNABLE, None

    def _open_items(self) -> Iterator[Dataset]:
        """Return the open items, page by page, so that any number of them costs the memory of one page."""
        last = 0
        while True:
            asked = (
                select(WORKLIST.c.id, WORKLIST.c.item)
                .where(WORKLIST.c.is_open == 1, WORKLIST.c.id > last)
                .order_by(WORKLIST.c.id)
                .limit(_PAGE)
            )
            with self._engine.connect() as connection, connection.begin():
                rows: Sequence[Any] = connection.execute(asked).all()
            for row in rows:
                yield decode(row.item, ExplicitVRLittleEndian)
            if len(rows) < _PAGE:
                return
            last = rows[-1].id


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:  # it has just been taken away
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}"


def _encoded(item: Dataset) -> dict[str, Any]:
    """Return the columns of an item."""
    steps: Sequence[Dataset] = item.get("ScheduledProcedureStepSequence") or ()
    if len(steps) != 1:
        raise LocalProtocolError(f"a worklist item has one scheduled procedure step, not {len(steps)}")
    return {
        "study_instance_uid": str(item.get("StudyInstanceUID") or ""),
        "step_id": str(steps[0].get("ScheduledProcedureStepID") or ""),
        "item": encode(item, ExplicitVRLittleEndian),
    }


def _put(connection: Connection, name: str, stamp: str, item: Dataset) -> None:
    values = _encoded(item) | {"stamp": stamp, "is_open": 1}
    if not connection.execute(update(WORKLIST).where(WORKLIST.c.name == name).values(values)).rowcount:
        connection.execute(insert(WORKLIST).values(values | {"name": name}))
