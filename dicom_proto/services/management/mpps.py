"""Modality Performed Procedure Step (PS3.4 Annex F) on top of N-CREATE, N-SET, N-GET and N-EVENT-REPORT.

May change.

A step is created IN PROGRESS, may then be changed, becomes COMPLETED or DISCONTINUED, and stays what it is after that.
:class:`PerformedProcedureSteps` keeps these rules for the side that manages steps, whose handlers are its
:meth:`~PerformedProcedureSteps.handlers`; for the modality there are functions that build the data sets, and programs
that send them.
"""

from collections.abc import Callable, Iterable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Final

from attrs import frozen
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import NCreateRQ, NEventReportRQ, NGetRQ, NSetRQ
from dicom_proto.encoding.uids import add_uids
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_N_CREATE, EVT_N_GET, EVT_N_SET
from dicom_proto.handlers.registry import Bound
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.services.management.attributes import (
    SUCCESS,
    HandlerResult,
    Refused,
    Rules,
    check_elements,
    check_settable,
    complete,
    get_attributes,
    guarded,
    keywords,
    merge,
    new_instance_uid,
    offending,
    refusing,
    rules,
)
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepNotification,
    ModalityPerformedProcedureStepRetrieve,
    service_class_of,
)
from dicom_proto.status import ServiceClass, Status

__all__ = [
    "CREATE_RULES",
    "FINAL_RULES",
    "MAY_NO_LONGER_BE_UPDATED",
    "NOT_SETTABLE",
    "SET_RULES",
    "PerformedProcedureSteps",
    "StepChange",
    "StepEvent",
    "StepStatus",
    "begin_step",
    "create_step",
    "end_step",
    "get_step",
    "notify_step",
    "performed_series",
    "receive_notification",
    "set_step",
]


class StepStatus(StrEnum):
    """Values of Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


class StepEvent(IntEnum):
    """Event type IDs of the Notification SOP class (PS3.4 Annex F)."""

    IN_PROGRESS = 1
    COMPLETED = 2
    DISCONTINUED = 3
    UPDATED = 4
    DELETED = 5


MAY_NO_LONGER_BE_UPDATED: Final = 0xA710
"""Error ID (0000,0903) that goes with 0110H for a step that has ended (PS3.4 Table F.7.2-2)."""

_FINAL: Final = frozenset({StepStatus.COMPLETED, StepStatus.DISCONTINUED})
_EVENTS: Final = {
    StepStatus.IN_PROGRESS: StepEvent.UPDATED,
    StepStatus.COMPLETED: StepEvent.COMPLETED,
    StepStatus.DISCONTINUED: StepEvent.DISCONTINUED,
}

# --- PS3.4 F.7.2.1.1 --------------------------------------------------------------------------------------------------

SET_RULES: Final = rules(
    type_1="""
        PerformedSeriesSequence.ProtocolName PerformedSeriesSequence.SeriesInstanceUID
        PerformedSeriesSequence.ReferencedImageSequence.ReferencedSOPClassUID
        PerformedSeriesSequence.ReferencedImageSequence.ReferencedSOPInstanceUID
        PerformedSeriesSequence.ReferencedImageSequence.SpecimenDescriptionSequence.SpecimenIdentifier
        PerformedSeriesSequence.ReferencedImageSequence.SpecimenDescriptionSequence.SpecimenUID
        PerformedSeriesSequence.ReferencedNonImageCompositeSOPInstanceSequence.ReferencedSOPClassUID
        PerformedSeriesSequence.ReferencedNonImageCompositeSOPInstanceSequence.ReferencedSOPInstanceUID
    """,
    type_2="""
        PerformedSeriesSequence.PerformingPhysicianName PerformedSeriesSequence.OperatorsName
        PerformedSeriesSequence.SeriesDescription PerformedSeriesSequence.RetrieveAETitle
        PerformedSeriesSequence.ReferencedImageSequence
        PerformedSeriesSequence.ReferencedNonImageCompositeSOPInstanceSequence
    """,
)
"""What N-SET requires of the series that it sets, whether the step ends with it or not."""

CREATE_RULES: Final = (
    *rules(
        type_1="""
            ScheduledStepAttributesSequence ScheduledStepAttributesSequence.StudyInstanceUID
            ScheduledStepAttributesSequence.ReferencedStudySequence.ReferencedSOPClassUID
            ScheduledStepAttributesSequence.ReferencedStudySequence.ReferencedSOPInstanceUID
            ReferencedPatientSequence.ReferencedSOPClassUID ReferencedPatientSequence.ReferencedSOPInstanceUID
            PerformedProcedureStepID PerformedStationAETitle
            PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepStatus Modality
        """,
        type_2="""
            ScheduledStepAttributesSequence.ReferencedStudySequence ScheduledStepAttributesSequence.AccessionNumber
            ScheduledStepAttributesSequence.RequestedProcedureID
            ScheduledStepAttributesSequence.RequestedProcedureDescription
            ScheduledStepAttributesSequence.ScheduledProcedureStepID
            ScheduledStepAttributesSequence.ScheduledProcedureStepDescription
            ScheduledStepAttributesSequence.ScheduledProtocolCodeSequence
            PatientName PatientID PatientBirthDate PatientSex ReferencedPatientSequence
            PerformedStationName PerformedLocation
            PerformedProcedureStepDescription PerformedProcedureTypeDescription ProcedureCodeSequence
            PerformedProcedureStepEndDate PerformedProcedureStepEndTime
            StudyID PerformedProtocolCodeSequence PerformedSeriesSequence
        """,
    ),
    *SET_RULES,
)
"""What N-CREATE requires."""

FINAL_RULES: Final = (
    *rules(type_1="PerformedProcedureStepEndDate PerformedProcedureStepEndTime PerformedSeriesSequence"),
    *SET_RULES,
)
"""What a step requires to be COMPLETED or DISCONTINUED."""

NOT_SETTABLE: Final = keywords(
    """
    ScheduledStepAttributesSequence PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence
    OtherPatientIDsSequence PatientBirthDate PatientSex ReferencedPatientSequence AdmissionID
    IssuerOfAdmissionIDSequence ServiceEpisodeID IssuerOfServiceEpisodeIDSequence ServiceEpisodeDescription
    PerformedProcedureStepID PerformedStationAETitle PerformedStationName PerformedLocation
    PerformedProcedureStepStartDate PerformedProcedureStepStartTime Modality StudyID
    """
)
"""What N-SET cannot change."""

# What N-GET returns of every step (PS3.4 F.8.2.1.1), though a step need not have been created with it.
_RETRIEVED: Final = rules(type_2="PerformedProcedureStepDiscontinuationReasonCodeSequence")


# --- SCP --------------------------------------------------------------------------------------------------------------


@frozen
class StepChange:
    """A step is not what it was: what the Notification SOP class tells whoever listens.

    Parameters
    ----------
    instance_uid : str
        The SOP Instance UID of the step.
    event : StepEvent
        What happened.
    """

    instance_uid: str
    event: StepEvent


class PerformedProcedureSteps:
    """Performed procedure steps; the methods named ``on_...`` are bodies of handlers.

    They are not meant to run in several threads at once; see :meth:`handlers`.

    Parameters
    ----------
    steps : mutable mapping of str to pydicom.dataset.Dataset, optional
        The steps by SOP Instance UID. They are replaced, never changed, so this may be a store of the caller's own.
    on_change : callable, optional
        Called with each :class:`StepChange`.
    create_rules, set_rules, final_rules : Rules
        What is required of a step when it is created, whenever it is changed and when it ends, for a site that has to
        put up with less.
    """

    def __init__(
        self,
        steps: MutableMapping[str, Dataset] | None = None,
        *,
        on_change: Callable[[StepChange], object] | None = None,
        create_rules: Rules = CREATE_RULES,
        set_rules: Rules = SET_RULES,
        final_rules: Rules = FINAL_RULES,
    ) -> None:
        self.steps = {} if steps is None else steps
        self._on_change = on_change
        self._create_rules = create_rules
        self._set_rules = set_rules
        self._final_rules = final_rules

    def handlers(self, lock: AbstractContextManager[Any] = nullcontext()) -> list[Bound]:  # noqa: B008 - has no state
        """Return the handlers of this service, to be bound to the events of associations.

        Parameters
        ----------
        lock : context manager
            What each of them holds while it runs, where they would run in several threads (``threading.Lock()``).
        """
        return guarded({EVT_N_CREATE: self.on_create, EVT_N_SET: self.on_set, EVT_N_GET: self.on_get}, lock)

    @refusing
    def on_create(self, event: RequestEvent) -> HandlerResult:
        """Create a step (PS3.4 F.7.2.1): the body of a handler of ``EVT_N_CREATE``.

        The status is 0118H for another SOP class, 0117H without a valid SOP Instance UID, which the modality gives,
        0111H for one that is there, 0120H or 0121H if attributes or their values are missing, and 0106H if the step is
        not IN PROGRESS.
        """
        _check_class(event.request.AffectedSOPClassUID)
        uid = new_instance_uid(event, self.steps)
        step = event.attribute_list
        check_elements(step, self._create_rules)
        if step.get("PerformedProcedureStepStatus") != StepStatus.IN_PROGRESS:
            raise offending(Status.INVALID_ATTRIBUTE_VALUE, step, "PerformedProcedureStepStatus")
        self._store(uid, step, StepEvent.IN_PROGRESS)
        return SUCCESS

    @refusing
    def on_set(self, event: RequestEvent) -> HandlerResult:
        """Change or end a step (PS3.4 F.7.2.2): the body of a handler of ``EVT_N_SET``.

        The status is 0118H for another SOP class, 0112H for a step that is not there, 0110H with the Error ID A710H for
        one that has ended, 0105H if something was not created and 0106H if something cannot be set, or if the step
        would have no status of the standard; 0121H if it sets series without what they require, or ends without what
        that does.
        """
        _check_class(event.request.RequestedSOPClassUID)
        uid = event.request.RequestedSOPInstanceUID
        if self._step(uid).PerformedProcedureStepStatus in _FINAL:
            raise Refused(
                Status.PROCESSING_FAILURE,
                ErrorID=MAY_NO_LONGER_BE_UPDATED,
                ErrorComment="Performed Procedure Step may no longer be updated",
            )
        changes = event.modification_list
        step, _ = merge(self.steps, uid, changes, NOT_SETTABLE)
        check_elements(changes, self._set_rules, is_new=False)
        status = str(step.PerformedProcedureStepStatus)
        if status not in _EVENTS:
            raise offending(Status.INVALID_ATTRIBUTE_VALUE, changes, "PerformedProcedureStepStatus")
        if status in _FINAL:
            check_elements(step, self._final_rules, is_new=False)
        self._store(uid, step, _EVENTS[StepStatus(status)])
        return SUCCESS

    @refusing
    def on_get(self, event: RequestEvent) -> HandlerResult:
        """Return attributes of a step (PS3.4 F.8.2): the body of a handler of ``EVT_N_GET``.

        The status is 0118H for another SOP class, 0112H for a step that is not there, and 0001H if it does not have all
        that was asked for.
        """
        _check_class(event.request.RequestedSOPClassUID)
        step = self._step(event.request.RequestedSOPInstanceUID)
        return get_attributes(complete(step[:], _RETRIEVED), event.attribute_identifiers)

    def delete(self, instance_uid: str) -> None:
        """Remove a step, and say so; one that is not there is no error."""
        if self.steps.pop(instance_uid, None) is not None:
            self._tell(instance_uid, StepEvent.DELETED)

    def _step(self, uid: str) -> Dataset:
        step = self.steps.get(uid)
        if step is None:
            raise Refused(Status.NO_SUCH_SOP_INSTANCE)
        return step

    def _store(self, uid: str, step: Dataset, event: StepEvent) -> None:
        self.steps[uid] = step
        self._tell(uid, event)

    def _tell(self, uid: str, event: StepEvent) -> None:
        if self._on_change is not None:
            self._on_change(StepChange(str(uid), event))


def _check_class(uid: str) -> None:
    if service_class_of(uid) is not ServiceClass.PROCEDURE_STEP:
        raise Refused(Status.NO_SUCH_SOP_CLASS)


def notify_step(peer: Peer, change: StepChange, *, message_id: int | None = None) -> Program[Reply]:
    """Tell a peer that a step has changed (PS3.4 Annex F); only on a context on which this side is the SCP.

    Raises
    ------
    LocalProtocolError
        If no such context was accepted.
    """
    request = NEventReportRQ(
        message_id=message_id,
        affected_sop_class_uid=ModalityPerformedProcedureStepNotification,
        affected_sop_instance_uid=change.instance_uid,
        event_type_id=change.event,
    )
    return (
        yield from normalized_scu(
            peer, request, abstract_syntax=ModalityPerformedProcedureStepNotification, as_scu=False
        )
    )


# --- SCU --------------------------------------------------------------------------------------------------------------


def begin_step(attributes: Dataset) -> Dataset:
    """Build the Attribute List of a step that begins.

    Parameters
    ----------
    attributes : pydicom.dataset.Dataset
        What is known. What may be empty need not be there; what is to be set later, and is optional, has to be, even
        empty: an attribute that was not created cannot be set.

    Returns
    -------
    pydicom.dataset.Dataset
        The same data set, with all that N-CREATE requires, IN PROGRESS.

    Raises
    ------
    LocalProtocolError
        If a value is missing that has to be there.
    """
    attributes.PerformedProcedureStepStatus = StepStatus.IN_PROGRESS.value
    return complete(attributes, CREATE_RULES)


def end_step(
    status: StepStatus, ended: datetime, series: Iterable[Dataset], *, reason: Dataset | None = None
) -> Dataset:
    """Build the Modification List with which a step ends.

    Parameters
    ----------
    status : StepStatus
        COMPLETED or DISCONTINUED.
    ended : datetime.datetime
        When, in the local time of the modality.
    series : iterable of pydicom.dataset.Dataset
        All series of the step, at least one; see :func:`performed_series`.
    reason : pydicom.dataset.Dataset, optional
        Code of the reason why it was discontinued. The attribute for it has to have been created.

    Raises
    ------
    LocalProtocolError
        If that is not how a step ends, if there is no series, or if one is incomplete.
    """
    if status not in _FINAL:
        raise LocalProtocolError(f"a step ends COMPLETED or DISCONTINUED, not {status!r}")
    step = Dataset()
    step.PerformedProcedureStepStatus = str(status)
    step.PerformedProcedureStepEndDate = ended.strftime("%Y%m%d")
    step.PerformedProcedureStepEndTime = ended.strftime("%H%M%S")
    step.PerformedSeriesSequence = list(series)
    if reason is not None:
        step.PerformedProcedureStepDiscontinuationReasonCodeSequence = [reason]
    return complete(step, FINAL_RULES)


def performed_series(
    series_instance_uid: str,
    protocol_name: str,
    *,
    images: Iterable[tuple[str, str]] = (),
    others: Iterable[tuple[str, str]] = (),
    **attributes: Any,
) -> Dataset:
    """Build an item of the Performed Series Sequence.

    Parameters
    ----------
    series_instance_uid, protocol_name : str
        Of the series.
    images, others : iterable of tuple
        SOP Class UID and SOP Instance UID of the images of the series, and of its other instances.
    attributes
        What else there is to say, by keyword.
    """
    series = Dataset()
    series.SeriesInstanceUID = series_instance_uid
    series.ProtocolName = protocol_name
    series.ReferencedImageSequence = [_reference(*pair) for pair in images]
    series.ReferencedNonImageCompositeSOPInstanceSequence = [_reference(*pair) for pair in others]
    for keyword, value in attributes.items():
        setattr(series, keyword, value)
    return series


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    add_uids(item, "ReferencedSOPInstanceUID", sop_instance_uid)
    return item


def create_step(peer: Peer, instance_uid: str, attributes: Dataset, *, message_id: int | None = None) -> Program[Reply]:
    """Create a step, with what :func:`begin_step` makes of the attributes.

    Raises
    ------
    LocalProtocolError
        As :func:`begin_step`, or if no context was accepted.
    """
    request = NCreateRQ(
        message_id=message_id,
        affected_sop_class_uid=ModalityPerformedProcedureStep,
        affected_sop_instance_uid=instance_uid,
    )
    return (
        yield from normalized_scu(peer, request, begin_step(attributes), abstract_syntax=ModalityPerformedProcedureStep)
    )


def set_step(peer: Peer, instance_uid: str, modifications: Dataset, *, message_id: int | None = None) -> Program[Reply]:
    """Change a step, or end it with what :func:`end_step` builds. A sequence is replaced as a whole.

    Raises
    ------
    LocalProtocolError
        If something cannot be set, if a series is incomplete, or if no context was accepted.
    """
    check_settable(modifications, NOT_SETTABLE)
    request = NSetRQ(
        message_id=message_id,
        requested_sop_class_uid=ModalityPerformedProcedureStep,
        requested_sop_instance_uid=instance_uid,
    )
    modifications = complete(modifications, SET_RULES)
    return (yield from normalized_scu(peer, request, modifications, abstract_syntax=ModalityPerformedProcedureStep))


def get_step(
    peer: Peer, instance_uid: str, tags: Iterable[int] = (), *, message_id: int | None = None
) -> Program[Reply]:
    """Ask for attributes of a step, for all if no tags are given (PS3.4 F.8).

    Raises
    ------
    LocalProtocolError
        If no context was accepted.
    """
    request = NGetRQ(
        message_id=message_id,
        requested_sop_class_uid=ModalityPerformedProcedureStepRetrieve,
        requested_sop_instance_uid=instance_uid,
        attribute_identifier_list=tuple(tags) or None,
    )
    return (yield from normalized_scu(peer, request, abstract_syntax=ModalityPerformedProcedureStepRetrieve))


def receive_notification(event: RequestEvent, take: Callable[[StepChange], object]) -> HandlerResult:
    """Take a notification: a handler for ``EVT_N_EVENT_REPORT``, bound with a function that gets the change.

    The status is 0118H for another SOP class, 0113H for an event that the standard does not have.
    """
    if event.request.AffectedSOPClassUID != ModalityPerformedProcedureStepNotification:
        return int(Status.NO_SUCH_SOP_CLASS), None
    try:
        kind = StepEvent(event.event_type)
    except ValueError:
        return int(Status.NO_SUCH_EVENT_TYPE), None
    take(StepChange(str(event.request.AffectedSOPInstanceUID), kind))
    return SUCCESS
