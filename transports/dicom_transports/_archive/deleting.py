"""Deletes what is in an archive: what somebody names, or what is old enough. No request over the network does.

May change.
"""

import getpass
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import ColumnElement, func, select

from dicom_proto.errors import InvalidSettingError
from dicom_transports._archive.audit import AuditTrail, Study
from dicom_transports._archive.index.schema import PARENTS, TABLES
from dicom_transports._archive.keeping import Kept
from dicom_transports._archive.keys import Level

__all__ = ["Doomed", "delete_studies", "of_patients", "older_than", "studies"]

_PATIENTS, _STUDIES = TABLES[Level.PATIENT], TABLES[Level.STUDY]
_SERIES, _INSTANCES = TABLES[Level.SERIES], TABLES[Level.IMAGE]
_DAY: Final = 86_400  # seconds


@frozen
class Doomed:
    """A study that is to be deleted.

    Parameters
    ----------
    number : int
        Of its row.
    study : Study
        Which it is.
    instances, size : int
        How many objects it has, and how many bytes their files.
    """

    number: int
    study: Study
    instances: int
    size: int


def studies(archive: Kept, uids: Sequence[str]) -> list[Doomed]:
    """Return studies by their Study Instance UIDs.

    Raises
    ------
    InvalidSettingError
        If one is not there.
    """
    return _all(archive, _STUDIES.c.StudyInstanceUID, uids, "study", lambda one: one.study.instance_uid)


def of_patients(archive: Kept, ids: Sequence[str]) -> list[Doomed]:
    """Return the studies of patients by their Patient IDs; raises as :func:`studies`."""
    return _all(archive, _PATIENTS.c.PatientID, ids, "patient", lambda one: one.study.patient_id)


def older_than(archive: Kept, days: float) -> list[Doomed]:
    """Return the studies to which nothing has come for so many days."""
    before = int(time.time() - days * _DAY)
    return list(_found(archive, having=func.max(_INSTANCES.c.stored) < before))


def _all(archive: Kept, column: Any, wanted: Sequence[str], what: str, name_of: Any) -> list[Doomed]:
    found = list(_found(archive, column.in_(list(wanted))))
    missing = {*wanted} - {name_of(one) for one in found}
    if missing:
        raise InvalidSettingError(f"there is no {what} {min(missing)!r}")
    return found


def _found(archive: Kept, *where: ColumnElement[bool], having: ColumnElement[bool] | None = None) -> Iterator[Doomed]:
    patient = (_PATIENTS.c.PatientID, _PATIENTS.c.PatientName)
    asked = (
        select(
            _STUDIES.c.id, _STUDIES.c.StudyInstanceUID, *patient,
            func.count(_INSTANCES.c.id), func.sum(_INSTANCES.c.size),
        )
        .select_from(_STUDIES.join(_PATIENTS, _STUDIES.c[PARENTS[Level.STUDY]] == _PATIENTS.c.id))
        .join(_SERIES, _SERIES.c[PARENTS[Level.SERIES]] == _STUDIES.c.id)
        .join(_INSTANCES, _INSTANCES.c[PARENTS[Level.IMAGE]] == _SERIES.c.id)
        .where(_INSTANCES.c.is_leaving == 0, *where)
        .group_by(_STUDIES.c.id, _STUDIES.c.StudyInstanceUID, *patient)
        .order_by(_STUDIES.c.id)
    )  # fmt: skip
    if having is not None:
        asked = asked.having(having)
    with archive.engine.connect() as connection, connection.begin():
        rows = connection.execute(asked).all()
    for number, uid, patient_id, name, count, size in rows:
        yield Doomed(number, Study(uid, patient_id or "", name or ""), int(count), int(size))


def delete_studies(archive: Kept, doomed: Sequence[Doomed], audit: AuditTrail | None = None) -> int:
    """Delete studies, one after the other; return how many objects that were.

    From the first moment on a study is not found any more; its files go before its rows. What is killed in the midst of
    that is finished when a process next opens the archive.

    Parameters
    ----------
    archive : Kept
        The archive, which others may be using.
    doomed : sequence of Doomed
        The studies, as :func:`studies`, :func:`of_patients` and :func:`older_than` return them.
    audit : AuditTrail, optional
        Where it is written down.
    """
    count = 0
    for one in doomed:
        asked = select(_INSTANCES.c.id).join(_SERIES, _INSTANCES.c[PARENTS[Level.IMAGE]] == _SERIES.c.id)
        with archive.engine.connect() as connection, connection.begin():
            numbers = connection.execute(asked.where(_SERIES.c[PARENTS[Level.SERIES]] == one.number)).scalars().all()
        count += archive.delete(numbers)
        if audit is not None:
            audit.deleted(one.study, getpass.getuser())
    return count
