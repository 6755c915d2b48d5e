"""The rules of Unified Procedure Steps as tables (PS3.4 CC.1, CC.2): states, statuses, requirements, subscriptions.

May change.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from enum import IntEnum, StrEnum
from typing import Final

from attrs import frozen
from pydicom.dataset import Dataset

from dicom_proto.services.management.attributes import keywords, rules
from dicom_proto.services.matching import matches
from dicom_proto.status import Status

__all__ = [
    "CREATE_RULES",
    "FINAL_RULES",
    "NOT_SETTABLE",
    "SET_RULES",
    "ActionType",
    "EventReport",
    "EventType",
    "State",
    "Subscriptions",
    "UPSStatus",
    "transition",
]


class State(StrEnum):
    """Values of Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class ActionType(IntEnum):
    """Action type IDs."""

    CHANGE_STATE = 1
    REQUEST_CANCEL = 2
    SUBSCRIBE = 3
    UNSUBSCRIBE = 4
    SUSPEND_GLOBAL = 5


class EventType(IntEnum):
    """Event type IDs (PS3.4 CC.2.4)."""

    STATE_REPORT = 1
    CANCEL_REQUESTED = 2
    PROGRESS_REPORT = 3
    SCP_STATUS_CHANGE = 4
    ASSIGNED = 5


class UPSStatus(IntEnum):
    """The statuses that only this service has."""

    CREATED_WITH_MODIFICATIONS = 0xB300
    DELETION_LOCK_NOT_GRANTED = 0xB301
    ALREADY_CANCELED = 0xB304
    VALUES_COERCED = 0xB305
    ALREADY_COMPLETED = 0xB306
    MAY_NO_LONGER_BE_UPDATED = 0xC300
    WRONG_TRANSACTION_UID = 0xC301
    ALREADY_IN_PROGRESS = 0xC302
    SCHEDULED_ONLY_WHEN_CREATED = 0xC303
    FINAL_STATE_NOT_MET = 0xC304
    NO_SUCH_STEP = 0xC307
    RECEIVING_AE_UNKNOWN = 0xC308
    NOT_CREATED_SCHEDULED = 0xC309
    NOT_IN_PROGRESS = 0xC310
    CANNOT_CANCEL_COMPLETED = 0xC311
    PERFORMER_NOT_REACHED = 0xC312
    PERFORMER_REFUSES = 0xC313
    ACTION_NOT_APPROPRIATE = 0xC314
    EVENT_REPORTS_NOT_SUPPORTED = 0xC315


@frozen
class EventReport:
    """An event that somebody is to be told, or was told.

    Parameters
    ----------
    receiving_ae : str
        AE title of who is to be told; empty in one that was received.
    instance_uid : str
        The SOP Instance UID of the step.
    event_type : EventType
        What happened.
    information : pydicom.dataset.Dataset
        The Event Information.
    """

    receiving_ae: str
    instance_uid: str
    event_type: EventType
    information: Dataset


# --- PS3.4 Table CC.1.1-2 ---------------------------------------------------------------------------------------------

_OK: Final = Status.SUCCESS
_TRANSITIONS: Final = {  # wanted state -> current state -> status, given the correct Transaction UID
    State.IN_PROGRESS: {
        State.SCHEDULED: _OK,
        State.IN_PROGRESS: UPSStatus.ALREADY_IN_PROGRESS,
        State.COMPLETED: UPSStatus.MAY_NO_LONGER_BE_UPDATED,
        State.CANCELED: UPSStatus.MAY_NO_LONGER_BE_UPDATED,
    },
    State.COMPLETED: {
        State.SCHEDULED: UPSStatus.NOT_IN_PROGRESS,
        State.IN_PROGRESS: _OK,
        State.COMPLETED: UPSStatus.ALREADY_COMPLETED,
        State.CANCELED: UPSStatus.MAY_NO_LONGER_BE_UPDATED,
    },
    State.CANCELED: {
        State.SCHEDULED: UPSStatus.NOT_IN_PROGRESS,
        State.IN_PROGRESS: _OK,
        State.COMPLETED: UPSStatus.MAY_NO_LONGER_BE_UPDATED,
        State.CANCELED: UPSStatus.ALREADY_CANCELED,
    },
}


def transition(current: State, wanted: State, *, has_lock: bool) -> int:
    """Return the status of a request to change the state; Success if it is to be done, the final state permitting.

    Parameters
    ----------
    current, wanted : State
        What the step is, and what it is to be.
    has_lock : bool
        Whether the request has the correct Transaction UID; for a step that has none yet, any.
    """
    if wanted is State.SCHEDULED:
        return UPSStatus.SCHEDULED_ONLY_WHEN_CREATED
    return _TRANSITIONS[wanted][current] if has_lock else UPSStatus.WRONG_TRANSACTION_UID


# --- PS3.4 CC.2.5, but for what is in codes, content items and references to instances --------------------------------

CREATE_RULES: Final = rules(
    type_1="""
        ScheduledProcedureStepPriority ProcedureStepLabel ScheduledProcedureStepStartDateTime InputReadinessState
        ProcedureStepState
        ScheduledHumanPerformersSequence.HumanPerformerCodeSequence ScheduledHumanPerformersSequence.HumanPerformerName
        ScheduledHumanPerformersSequence.HumanPerformerOrganization OtherPatientIDsSequence.PatientID
        ReferencedRequestSequence.StudyInstanceUID
    """,
    type_2="""
        TransactionUID WorklistLabel ScheduledProcessingParametersSequence ScheduledStationNameCodeSequence
        ScheduledStationClassCodeSequence ScheduledStationGeographicLocationCodeSequence
        ScheduledWorkitemCodeSequence CommentsOnTheScheduledProcedureStep InputInformationSequence
        PatientName IssuerOfPatientID IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence
        PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence
        AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence ReferencedRequestSequence
        ReferencedRequestSequence.AccessionNumber ReferencedRequestSequence.IssuerOfAccessionNumberSequence
        ReferencedRequestSequence.OrderPlacerIdentifierSequence ReferencedRequestSequence.OrderFillerIdentifierSequence
        ReferencedRequestSequence.RequestedProcedureID ReferencedRequestSequence.RequestedProcedureDescription
        ReferencedRequestSequence.RequestedProcedureCodeSequence
        ProcedureStepProgressInformationSequence UnifiedProcedureStepPerformedProcedureSequence
    """,
)
"""What N-CREATE requires."""

SET_RULES: Final = rules(
    type_1="""
        ScheduledHumanPerformersSequence.HumanPerformerCodeSequence ScheduledHumanPerformersSequence.HumanPerformerName
        ScheduledHumanPerformersSequence.HumanPerformerOrganization OtherPatientIDsSequence.PatientID
        ProcedureStepProgressInformationSequence.ProcedureStepCommunicationsURISequence.ContactURI
    """,
    type_2="UnifiedProcedureStepPerformedProcedureSequence.OutputInformationSequence",
)
"""What N-SET requires of the items of what it sets."""

SUPPORTED: Final = rules(
    type_2="""
        PatientID StudyInstanceUID ScheduledHumanPerformersSequence MedicalAlerts PregnancyStatus SpecialNeeds
    """
)
"""What every step has on the side that manages it, though it need not be there when it is created."""

_SCHEDULED: Final = rules(
    type_1="""
        SOPClassUID SOPInstanceUID ScheduledProcedureStepPriority ScheduledProcedureStepStartDateTime
        InputReadinessState
    """
)
FINAL_RULES: Final = {
    State.COMPLETED: (
        *_SCHEDULED,
        *rules(
            type_1="""
                UnifiedProcedureStepPerformedProcedureSequence
                UnifiedProcedureStepPerformedProcedureSequence.PerformedProcedureStepStartDateTime
                UnifiedProcedureStepPerformedProcedureSequence.PerformedProcedureStepEndDateTime
                UnifiedProcedureStepPerformedProcedureSequence.PerformedWorkitemCodeSequence
            """,
            type_2="""
                UnifiedProcedureStepPerformedProcedureSequence.PerformedStationNameCodeSequence
                UnifiedProcedureStepPerformedProcedureSequence.OutputInformationSequence
            """,
        ),
    ),
    State.CANCELED: (
        *_SCHEDULED,
        *rules(
            type_1="""
                ProcedureStepProgressInformationSequence
                ProcedureStepProgressInformationSequence.ProcedureStepCancellationDateTime
                ProcedureStepProgressInformationSequence.ProcedureStepDiscontinuationReasonCodeSequence
            """
        ),
    ),
}
"""What a step requires to be COMPLETED, and to be CANCELED by who performs it."""

CREATED_EMPTY: Final = keywords("""
    TransactionUID ProcedureStepProgressInformationSequence UnifiedProcedureStepPerformedProcedureSequence
""")
"""What is to be empty in N-CREATE."""

NOT_SETTABLE: Final = keywords("""
    SOPClassUID SOPInstanceUID ScheduledProcedureStepModificationDateTime ProcedureStepState
    PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence PatientBirthDate PatientSex
    AdmissionID IssuerOfAdmissionIDSequence AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence
    ReferencedRequestSequence ReplacedProcedureStepSequence
""")
"""What N-SET cannot change."""


# --- PS3.4 Table CC.2.3-2 ---------------------------------------------------------------------------------------------


class Subscriptions:
    """Who is told about which steps, and who keeps them from being deleted.

    Parameters
    ----------
    steps : mutable mapping of str to dict, optional
        For each step, by SOP Instance UID: whether it is locked, by AE title of those who have subscribed to it.
    to_all : mutable mapping of str to bool, optional
        Whether what will be created is to be locked, by AE title of those who have subscribed globally.
    to_matches : mutable mapping of str to list, optional
        The filters of those who have subscribed to what will be created and matches, by AE title: each the keys of a
        query, and whether the steps are to be locked.
    """

    def __init__(
        self,
        steps: MutableMapping[str, dict[str, bool]] | None = None,
        to_all: MutableMapping[str, bool] | None = None,
        to_matches: MutableMapping[str, list[tuple[Dataset, bool]]] | None = None,
    ) -> None:
        self.steps = {} if steps is None else steps
        self.to_all = {} if to_all is None else to_all
        self.to_matches = {} if to_matches is None else to_matches

    def of(self, uid: str) -> list[str]:
        """Return the AE titles of those who are told about a step."""
        return list(self.steps.get(uid, ()))

    def everybody(self) -> list[str]:
        """Return the AE titles of all who have subscribed to anything."""
        titles = (title for titles in self.steps.values() for title in titles)
        return list(dict.fromkeys([*self.to_all, *self.to_matches, *titles]))

    def is_locked(self, uid: str) -> bool:
        """Tell whether somebody keeps a step from being deleted."""
        return any(self.steps.get(uid, {}).values())

    def add_step(self, uid: str, step: Dataset) -> list[str]:
        """Take up a step that was created; return who is to be sent an initial report."""
        self.steps[uid] = dict(self.to_all)
        for title, filters in self.to_matches.items():
            for keys, lock in filters:
                if matches(keys, step):
                    self.subscribe(uid, title, lock=lock or self.steps[uid].get(title, False))
        return self.of(uid)

    def remove_step(self, uid: str) -> None:
        """Drop a step that was deleted."""
        self.steps.pop(uid, None)

    def subscribe(self, uid: str, title: str, *, lock: bool) -> None:
        """Subscribe somebody to a step, who is always sent an initial report then."""
        self.steps[uid] = {**self.steps.get(uid, {}), title: lock}

    def subscribe_to_all(self, uids: Iterable[str], title: str, *, lock: bool) -> list[str]:
        """Subscribe somebody to all steps, there or to come.

        Steps to which they have subscribed already keep their lock, or their lack of one. Return those of which they
        are to be sent an initial report: the new ones, if they are locked.
        """
        self.to_all[title] = lock
        new = [uid for uid in uids if title not in self.steps.get(uid, {})]
        for uid in new:
            self.subscribe(uid, title, lock=lock)
        return new if lock else []

    def subscribe_to_matches(self, steps: Mapping[str, Dataset], title: str, keys: Dataset, *, lock: bool) -> list[str]:
        """Subscribe somebody to those steps, there or to come, that match the keys of a query.

        It is a subscription to each of the steps; return the UIDs of those that are there, of which they are to be sent
        an initial report.
        """
        self.to_matches[title] = [*self.to_matches.get(title, ()), (keys, lock)]
        found = [uid for uid, step in steps.items() if matches(keys, step)]
        for uid in found:
            self.subscribe(uid, title, lock=lock)
        return found

    def unsubscribe(self, uid: str, title: str) -> None:
        """End a subscription to a step, and its lock."""
        self.steps[uid] = {other: lock for other, lock in self.steps.get(uid, {}).items() if other != title}

    def unsubscribe_from_all(self, title: str) -> None:
        """End all subscriptions of somebody."""
        self.suspend(title)
        for uid in list(self.steps):
            self.unsubscribe(uid, title)

    def suspend(self, title: str) -> None:
        """End the subscriptions to what will be created; those to steps that are there stay."""
        self.to_all.pop(title, None)
        self.to_matches.pop(title, None)
