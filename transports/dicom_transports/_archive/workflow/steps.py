"""Performed procedure steps in the database of an archive; those that end close their items of the worklist.

May change.
"""

from collections.abc import Iterator, MutableMapping
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Engine, delete, func, insert, select, update

from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.handlers.registry import Bound
from dicom_proto.services.management.mpps import PerformedProcedureSteps, StepChange, StepEvent
from dicom_transports._archive.workflow.tables import STEPS, Exclusive
from dicom_transports._archive.workflow.worklist import Worklist

__all__ = ["ProcedureSteps"]

_ENDS: Final = frozenset({StepEvent.COMPLETED, StepEvent.DISCONTINUED})


class ProcedureSteps:
    """The SCP of Modality Performed Procedure Step (PS3.4 Annex F).

    Each request is one transaction: a step that is answered with Success is in the database, and a step that has ended
    has closed the items of the worklist that it names.

    Parameters
    ----------
    engine : Engine
        The database.
    worklist : Worklist
        Whose items are closed.
    """

    def __init__(self, engine: Engine, worklist: Worklist) -> None:
        self._exclusive = Exclusive(engine)
        self._worklist = worklist
        self._steps = _Stored(self._exclusive)
        self._scp = PerformedProcedureSteps(self._steps, on_change=self._changed)

    @property
    def handlers(self) -> list[Bound]:
        """What to bind: N-CREATE, N-SET and N-GET."""
        return self._scp.handlers(self._exclusive)

    def _changed(self, change: StepChange) -> None:
        if change.event in _ENDS:
            self._worklist.close_for(self._exclusive.connection, self._steps[change.instance_uid])


class _Stored(MutableMapping[str, Dataset]):
    """The steps, inside the transaction that a handler runs in."""

    def __init__(self, exclusive: Exclusive) -> None:
        self._exclusive = exclusive

    def __getitem__(self, uid: str) -> Dataset:
        asked = select(STEPS.c.step).where(STEPS.c.sop_instance_uid == str(uid))
        found = self._exclusive.connection.execute(asked).scalar()
        if found is None:
            raise KeyError(uid)
        return decode(found, ExplicitVRLittleEndian)

    def __setitem__(self, uid: str, step: Dataset) -> None:
        connection = self._exclusive.connection
        values = {
            "status": str(step.PerformedProcedureStepStatus),
            "step": encode(step, ExplicitVRLittleEndian),
        }
        if not connection.execute(update(STEPS).where(STEPS.c.sop_instance_uid == str(uid)).values(values)).rowcount:
            connection.execute(insert(STEPS).values(values | {"sop_instance_uid": str(uid)}))

    def __delitem__(self, uid: str) -> None:
        if not self._exclusive.connection.execute(delete(STEPS).where(STEPS.c.sop_instance_uid == str(uid))).rowcount:
            raise KeyError(uid)

    def __iter__(self) -> Iterator[str]:
        return iter(self._exclusive.connection.execute(select(STEPS.c.sop_instance_uid)).scalars().all())

    def __len__(self) -> int:
        return self._exclusive.connection.execute(select(func.count()).select_from(STEPS)).scalar_one()
