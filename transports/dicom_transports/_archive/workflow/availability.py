"""Instance availability notification (PS3.4 Annex R): who wants to know is told what has been stored.

May change.
"""

from collections.abc import Iterable
from threading import Lock
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import Engine, select

from dicom_proto.dimse.messages import NCreateRQ
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.sop_class import InstanceAvailabilityNotification
from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.keys import Level
from dicom_transports._archive.workflow.outbox import Letter, Outbox
from dicom_transports._archive.workflow.tables import Exclusive
from dicom_transports._archive.workflow.telling import Telling

__all__ = ["AVAILABILITY", "Availability", "notification"]

AVAILABILITY: Final = "instance availability notification"
"""The kind of the letters."""

_MOST_STUDIES: Final = 1000  # of one association that are waited with until it ends
_STUDIES, _SERIES, _INSTANCES = (TABLES[level] for level in (Level.STUDY, Level.SERIES, Level.IMAGE))


class Availability:
    """The SCU of Instance Availability Notification.

    When an association ends that has stored something, each destination that wants notifications gets one for each of
    its studies, which lists all that the archive has of it.

    Parameters
    ----------
    engine : Engine
        The database.
    telling : Telling
        Who is told.
    """

    def __init__(self, engine: Engine, telling: Telling) -> None:
        self._engine, self._telling = engine, telling
        self._exclusive = Exclusive(engine)
        self._lock = Lock()
        self._stored: dict[Any, set[str]] = {}  # studies by association

    def stored(self, association: Any, study_instance_uid: str, outbox: Outbox) -> None:
        """Take note that an association has stored an instance of a study."""
        if not self._receivers():
            return
        with self._lock:
            studies = self._stored.setdefault(association, set())
            studies.add(study_instance_uid)
            full = len(studies) >= _MOST_STUDIES
        if full:
            self.ended(association, outbox)

    def ended(self, association: Any, outbox: Outbox) -> None:
        """Write the letters: an association has ended."""
        with self._lock:
            studies = self._stored.pop(association, set())
        receivers = self._receivers()
        if not studies or not receivers:
            return
        with self._exclusive as connection:
            for study in sorted(studies):
                for receiver in receivers:
                    outbox.put(connection, AVAILABILITY, study, receiver, None)
        for study in studies:
            outbox.wake(study)

    def _receivers(self) -> list[str]:
        return [title for title, destination in self._telling.destinations().items() if destination.notify]

    def deliver(self, letter: Letter) -> None:
        """Send a notification; raises as :func:`~dicom_transports._archive.workflow.telling.Telling.tell`."""
        asked = (
            select(_SERIES.c.SeriesInstanceUID, _INSTANCES.c.SOPClassUID, _INSTANCES.c.SOPInstanceUID)
            .select_from(_STUDIES.join(_SERIES, _SERIES.c.study == _STUDIES.c.id))
            .join(_INSTANCES, _INSTANCES.c.series == _SERIES.c.id)
            .where(_STUDIES.c.StudyInstanceUID == letter.subject, _INSTANCES.c.is_leaving == 0)
            .order_by(_SERIES.c.id, _INSTANCES.c.id)
        )
        with self._engine.connect() as connection, connection.begin():
            rows = [(series, sop_class, instance) for series, sop_class, instance in connection.execute(asked)]
        if not rows:  # it has been deleted since
            return
        information = notification(letter.subject, rows, self._telling.ae_title)
        request = NCreateRQ(
            affected_sop_class_uid=str(InstanceAvailabilityNotification), affected_sop_instance_uid=generate_uid()
        )
        self._telling.tell(
            letter.receiver,
            str(InstanceAvailabilityNotification),
            lambda peer: normalized_scu(
                peer, request, information, abstract_syntax=str(InstanceAvailabilityNotification)
            ),
        )


def notification(study_instance_uid: str, rows: Iterable[tuple[str, str, str]], ae_title: str) -> Dataset:
    """Build the Attribute List of a notification (PS3.4 Table R.3.2-1).

    Parameters
    ----------
    study_instance_uid : str
        Of the study.
    rows : iterable of tuple
        Series Instance UID, SOP Class UID and SOP Instance UID of what is available; series by series.
    ae_title : str
        Where from.
    """
    made = Dataset()
    made.ReferencedPerformedProcedureStepSequence = []
    made.StudyInstanceUID = study_instance_uid
    made.ReferencedSeriesSequence = []
    for series_uid, sop_class, instance in rows:
        if not made.ReferencedSeriesSequence or made.ReferencedSeriesSequence[-1].SeriesInstanceUID != series_uid:
            series = Dataset()
            series.SeriesInstanceUID = series_uid
            series.ReferencedSOPSequence = []
            made.ReferencedSeriesSequence.append(series)
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        item.InstanceAvailability, item.RetrieveAETitle = "ONLINE", ae_title
        made.ReferencedSeriesSequence[-1].ReferencedSOPSequence.append(item)
    return made
