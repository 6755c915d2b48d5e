"""Unified Procedure Steps, both sides."""

import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_FIND, EVT_N_ACTION, EVT_N_CREATE
from dicom_proto.services.ups.requests import (
    cancel_information,
    new_ups,
    state_information,
    subscription_information,
)
from dicom_proto.services.ups.state import (
    CREATE_RULES,
    ActionType,
    EventReport,
    EventType,
    State,
    Subscriptions,
)
from dicom_proto.services.ups.steps import UnifiedProcedureSteps, UPSPolicy
from tests.proto.programs.script import CT, dataset_of
from tests.proto.rows import for_each
from tests.proto.services.management.flows import (
    action_event,
    code,
    create_event,
    find_event,
    get_event,
    sent_often,
    set_event,
)

PUSH, WATCH, PULL, EVENT, QUERY = (f"1.2.840.10008.5.1.4.34.6.{n}" for n in range(1, 6))
GLOBAL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
UID, LOCK, OTHER_LOCK = "1.2.3", "1.2.3.4", "1.2.3.5"
SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = State
CODE = dataset_of(CodeValue="A", CodingSchemeDesignator="99X", CodeMeaning="a")
PERFORMED = dataset_of(
    UnifiedProcedureStepPerformedProcedureSequence=[
        dataset_of(
            PerformedStationNameCodeSequence=[],
            PerformedProcedureStepStartDateTime="20260304",
            PerformedProcedureStepEndDateTime="20260304",
            PerformedWorkitemCodeSequence=[CODE],
            OutputInformationSequence=[],
        )
    ]
)
STOPPED = dataset_of(
    ProcedureStepProgressInformationSequence=[
        dataset_of(
            ProcedureStepCancellationDateTime="20260304",
            ReasonForCancellation="broken",
            ProcedureStepDiscontinuationReasonCodeSequence=[CODE],
        )
    ]
)


def attributes(**more: Any) -> Dataset:
    return dataset_of(
        **{
            "ScheduledProcedureStepPriority": "MEDIUM",
            "ProcedureStepLabel": "treat",
            "ScheduledProcedureStepStartDateTime": "20260304",
            "InputReadinessState": "READY",
            "PatientName": "Doe^Jane",
            **more,
        }
    )


@sent_often
def new(**more: Any) -> Dataset:
    return new_ups(attributes(**more))


class Worklist:
    """Steps, and what was sent about them."""

    def __init__(self, **policy: Any) -> None:
        self.sent: list[EventReport] = []
        self.steps = UnifiedProcedureSteps(send=self.sent.append, policy=UPSPolicy(**policy))

    def create(self, uid: str = UID, **more: Any) -> int:
        return code(self.steps.on_create(create_event(PUSH, uid, new(**more))))

    def set(self, change: Dataset, lock: str = "", uid: str = UID) -> tuple[Any, Any]:
        change = change[:]
        if lock:
            change.TransactionUID = lock
        return self.steps.on_set(set_event(PUSH, uid, change))

    def act(self, action: int, information: Dataset | None = None, uid: str = UID, **more: Any) -> int:
        return code(self.steps.on_action(action_event(PUSH, uid, action, information, **more)))

    def change(self, state: State, lock: str = LOCK) -> int:
        return self.act(1, state_information(state, lock))

    def bring_to(self, state: State) -> "Worklist":
        assert self.create() == 0
        if state is not SCHEDULED:
            assert self.change(IN_PROGRESS) == 0
        if state in (COMPLETED, CANCELED):
            assert code(self.set(PERFORMED if state is COMPLETED else STOPPED, LOCK)) == 0
            assert self.change(state) == 0
        self.sent.clear()
        return self

    def subscribe(self, title: str = "WATCHER", uid: str = GLOBAL, lock: bool = False) -> int:
        return self.act(3, subscription_information(title, deletion_lock=lock), uid)

    def state(self, uid: str = UID) -> str:
        return str(self.steps.steps[uid].ProcedureStepState)

    def reports(self) -> list[tuple[str, str, int]]:
        """Who was told about what since the last time."""
        reports = [(report.receiving_ae, report.instance_uid, int(report.event_type)) for report in self.sent]
        self.sent.clear()
        return reports


# --- the tables -------------------------------------------------------------------------------------------------------

# PS3.4 Table CC.1.1-2: wanted state, right lock: the status for each current state
TABLE = [
    (IN_PROGRESS, True, (0x0000, 0xC302, 0xC300, 0xC300)),
    (IN_PROGRESS, False, (0xC301, 0xC301, 0xC301, 0xC301)),
    (SCHEDULED, True, (0xC303, 0xC303, 0xC303, 0xC303)),
    (SCHEDULED, False, (0xC303, 0xC303, 0xC303, 0xC303)),
    (COMPLETED, True, (0xC310, 0xC304, 0xB306, 0xC300)),
    (COMPLETED, False, (0xC301, 0xC301, 0xC301, 0xC301)),
    (CANCELED, True, (0xC310, 0xC304, 0xC300, 0xB304)),
    (CANCELED, False, (0xC301, 0xC301, 0xC301, 0xC301)),
]
CASES = [
    (current, wanted, has_lock, status)
    for wanted, has_lock, codes in TABLE
    for current, status in zip(State, codes, strict=True)
]


@for_each(("current", "wanted", "has_lock", "status"), CASES)
def test_state_is_changed_as_the_table_says(current: State, wanted: State, has_lock: bool, status: int) -> None:
    worklist = Worklist().bring_to(current)
    worklist.subscribe()
    if has_lock:
        given = state_information(wanted, LOCK)
    elif current is SCHEDULED:  # any lock would do
        given = dataset_of(ProcedureStepState=wanted.value, TransactionUID="")
    else:
        given = state_information(wanted, OTHER_LOCK)
    assert worklist.act(1, given) == status
    assert worklist.state() == (current if status else wanted)
    assert worklist.reports() == ([] if status else [("WATCHER", UID, 1)])


@for_each(
    ("wanted", "change", "status"),
    [
        (COMPLETED, PERFORMED, 0x0000),
        (COMPLETED, STOPPED, 0xC304),
        (CANCELED, STOPPED, 0x0000),
        (CANCELED, PERFORMED, 0xC304),
    ],
)
def test_final_state_has_requirements(wanted: State, change: Dataset, status: int) -> None:
    worklist = Worklist().bring_to(IN_PROGRESS)
    worklist.set(change, LOCK)
    assert worklist.change(wanted) == status
    assert worklist.state() == (IN_PROGRESS if status else wanted)


@for_each("path", ["PerformedProcedureStepEndDateTime", "OutputInformationSequence"])
def test_what_was_performed_is_to_be_complete(path: str) -> None:
    worklist = Worklist().bring_to(IN_PROGRESS)
    performed = deepcopy(PERFORMED)
    del performed.UnifiedProcedureStepPerformedProcedureSequence[0][path]
    worklist.set(performed, LOCK)
    assert worklist.change(COMPLETED) == 0xC304


@for_each(
    ("information", "status"),
    [
        (None, 0x0115),
        (dataset_of(ProcedureStepState="STARTED", TransactionUID=LOCK), 0x0115),
        (dataset_of(ProcedureStepState="IN PROGRESS"), 0xC301),
    ],
)
def test_state_is_not_changed(information: Dataset | None, status: int) -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    assert worklist.act(1, information) == status
    assert worklist.state() == SCHEDULED


@for_each("action", ActionType)
def test_step_is_not_there(action: ActionType) -> None:
    status = 0xC307
    assert Worklist().act(action, subscription_information("WATCHER", deletion_lock=True)) == status


# --- N-CREATE ---------------------------------------------------------------------------------------------------------


def test_step_is_created() -> None:
    store: dict[str, Dataset] = {}
    steps = UnifiedProcedureSteps(store)
    assert steps.on_create(create_event(PUSH, UID, new())) == (0x0000, None)
    step = store[UID]
    assert (step.SOPClassUID, step.SOPInstanceUID, step.ProcedureStepState) == (PUSH, UID, "SCHEDULED")
    assert (step.WorklistLabel, step.TransactionUID, step.StudyInstanceUID) == ("DEFAULT", "", None)
    assert (step.PregnancyStatus, step.MedicalAlerts) == (None, None)
    assert step.ScheduledProcedureStepModificationDateTime == "20260304050607"


def test_step_keeps_what_it_was_given() -> None:
    steps = UnifiedProcedureSteps()
    steps.on_create(create_event(PUSH, UID, new(WorklistLabel="ROOM 1", PatientID="7"), now=None))
    assert (steps.steps[UID].WorklistLabel, steps.steps[UID].PatientID) == ("ROOM 1", "7")
    assert "ScheduledProcedureStepModificationDateTime" not in steps.steps[UID]


@for_each("keyword", [rule.keyword for rule in CREATE_RULES if not rule.path])
def test_step_lacks_an_attribute(keyword: str) -> None:
    step = new()
    tag = step[keyword].tag
    del step[keyword]
    answer = UnifiedProcedureSteps().on_create(create_event(PUSH, UID, step))
    assert answer == (dataset_of(Status=0x0120, AttributeIdentifierList=[tag]), None)


@for_each("keyword", [rule.keyword for rule in CREATE_RULES if rule.needs_value and not rule.path])
def test_step_lacks_a_value(keyword: str) -> None:
    step = new()
    step[keyword].value = ""
    answer = UnifiedProcedureSteps().on_create(create_event(PUSH, UID, step))
    assert answer == (0x0121, dataset_of(**{keyword: ""}))


def with_items(keyword: str, **item: Any) -> Dataset:
    step = new()
    step[keyword].value = [dataset_of(**item)]
    return step


def with_state(state: str) -> Dataset:
    step = new()
    step.ProcedureStepState = state
    return step


@for_each(
    ("event", "status"),
    [
        (create_event(CT, UID, new()), 0x0118),
        (create_event(PUSH, None, new()), 0x0117),
        (create_event(PUSH, "1.02", new()), 0x0117),
        *((create_event(PUSH, UID, with_state(state)), 0xC309) for state in (*list(State)[1:], "STARTED")),
        (create_event(PUSH, UID, with_items("OtherPatientIDsSequence")), 0x0120),
        (create_event(PUSH, UID, with_items("OtherPatientIDsSequence", PatientID="")), 0x0121),
        (create_event(PUSH, UID, new(TransactionUID=LOCK)), 0x0106),
        (create_event(PUSH, UID, new(ProcedureStepProgressInformationSequence=[CODE])), 0x0106),
        (create_event(PUSH, UID, new(UnifiedProcedureStepPerformedProcedureSequence=[CODE])), 0x0106),
    ],
)
def test_step_is_not_created(event: RequestEvent, status: int) -> None:
    steps = UnifiedProcedureSteps()
    assert code(steps.on_create(event)) == status
    assert not steps.steps


@for_each("state", State)
def test_step_is_created_once(state: State) -> None:
    assert Worklist().bring_to(state).create() == 0x0111


# --- N-SET ------------------------------------------------------------------------------------------------------------

LABEL = dataset_of(ProcedureStepLabel="other")


@for_each(
    ("state", "lock", "change", "status"),
    [
        (SCHEDULED, "", LABEL, 0x0000),
        (SCHEDULED, LOCK, LABEL, 0xC301),
        (IN_PROGRESS, LOCK, LABEL, 0x0000),
        (IN_PROGRESS, OTHER_LOCK, LABEL, 0xC301),
        (IN_PROGRESS, "", LABEL, 0xC301),
        *((state, lock, LABEL, 0xC300) for state in (COMPLETED, CANCELED) for lock in (LOCK, "")),
        (IN_PROGRESS, LOCK, dataset_of(ProcedureStepState="COMPLETED"), 0x0106),
        (IN_PROGRESS, LOCK, dataset_of(ProcedureStepState="IN PROGRESS"), 0x0000),  # no change
        (SCHEDULED, "", dataset_of(PatientName="Roe"), 0x0106),
        (SCHEDULED, "", dataset_of(PatientID="1"), 0x0106),
        (SCHEDULED, "", dataset_of(PatientSize="1"), 0x0105),
        (SCHEDULED, "", dataset_of(OtherPatientIDsSequence=[Dataset()]), 0x0121),
    ],
)
def test_step_is_changed(state: State, lock: str, change: Dataset, status: int) -> None:
    worklist = Worklist().bring_to(state)
    before = deepcopy(worklist.steps.steps[UID])
    assert code(worklist.set(change, lock)) == status
    after = worklist.steps.steps[UID]
    before.update(change if not status else {})
    assert after == before


@for_each(("sop_class", "uid", "status"), [(CT, UID, 0x0118), (PUSH, "1.9", 0xC307)])
def test_step_is_not_changed(sop_class: str, uid: str, status: int) -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    assert worklist.steps.on_set(set_event(sop_class, uid, LABEL)) == (status, None)


# --- N-GET, C-FIND ----------------------------------------------------------------------------------------------------


def test_nobody_gets_the_lock() -> None:
    worklist = Worklist().bring_to(IN_PROGRESS)
    status, step = worklist.steps.on_get(get_event(PUSH, UID))
    assert status == 0x0000
    assert step is not None
    assert "TransactionUID" not in step
    assert step.ProcedureStepState == "IN PROGRESS"
    assert worklist.steps.on_get(get_event(PUSH, UID, 0x00081195, 0x00741000)) == (
        0x0001,
        dataset_of(ProcedureStepState="IN PROGRESS"),
    )
    keys = dataset_of(TransactionUID=OTHER_LOCK, ProcedureStepState="")
    assert list(worklist.steps.on_find(find_event(PULL, keys))) == [
        (0xFF00, dataset_of(ProcedureStepState="IN PROGRESS"))
    ]


@for_each(("sop_class", "uid", "status"), [(CT, UID, 0x0118), (PUSH, "1.9", 0xC307)])
def test_step_is_not_had(sop_class: str, uid: str, status: int) -> None:
    assert Worklist().bring_to(SCHEDULED).steps.on_get(get_event(sop_class, uid)) == (status, None)


def test_steps_are_found() -> None:
    worklist = Worklist()
    for number in range(3):
        worklist.create(f"1.2.{number}", PatientID="AAB"[number])
    found = worklist.steps.on_find(find_event(QUERY, dataset_of(PatientID="A", SOPInstanceUID="", SOPClassUID="")))
    assert list(found) == [
        (0xFF00, dataset_of(PatientID="A", SOPInstanceUID=uid, SOPClassUID=PUSH)) for uid in ("1.2.0", "1.2.1")
    ]


# --- Request UPS Cancel -----------------------------------------------------------------------------------------------

CANCEL = cancel_information("why not", code=CODE, contact_uri="tel:1", contact_name="Eve")


@for_each(("state", "status"), [(COMPLETED, 0xC311), (CANCELED, 0xB304)])
def test_step_that_has_ended_is_not_cancelled(state: State, status: int) -> None:
    worklist = Worklist().bring_to(state)
    worklist.subscribe()
    assert (worklist.act(2), worklist.state(), worklist.reports()) == (status, state, [])


def test_scheduled_step_is_cancelled() -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    worklist.subscribe()
    assert (worklist.act(2, CANCEL), worklist.state()) == (0x0000, CANCELED)
    first, second = worklist.sent
    assert (first.event_type, first.information.ProcedureStepState) == (EventType.STATE_REPORT, "IN PROGRESS")
    assert second.information == dataset_of(
        ProcedureStepState="CANCELED",
        InputReadinessState="READY",
        ReasonForCancellation="why not",
        ProcedureStepDiscontinuationReasonCodeSequence=[CODE],
    )
    (progress,) = worklist.steps.steps[UID].ProcedureStepProgressInformationSequence
    assert progress.ProcedureStepCancellationDateTime == "20260304050607"
    assert progress.ProcedureStepCommunicationsURISequence == [dataset_of(ContactURI="tel:1", ContactDisplayName="Eve")]


def test_scheduled_step_is_cancelled_without_a_word() -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    assert (worklist.act(2, now=None), worklist.state()) == (0x0000, CANCELED)
    (progress,) = worklist.steps.steps[UID].ProcedureStepProgressInformationSequence
    assert [element.keyword for element in progress] == ["ProcedureStepDiscontinuationReasonCodeSequence"]
    assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"


def test_cancelled_step_keeps_its_progress() -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    worklist.set(PROGRESS)
    assert worklist.act(2, CANCEL) == 0x0000
    (progress,) = worklist.steps.steps[UID].ProcedureStepProgressInformationSequence
    assert (progress.ProcedureStepProgress, progress.ReasonForCancellation) == ("50", "why not")


@for_each("status", [0x0000, 0xC312, 0xC313])
def test_performer_is_asked(status: int) -> None:
    asked: list[str] = []

    def ask(uid: str) -> int:
        asked.append(uid)
        return status

    worklist = Worklist(ask_performer=ask, ae_title_of=lambda event: str(event.assoc)).bring_to(IN_PROGRESS)
    worklist.subscribe("PERFORMER", UID)
    worklist.sent.clear()
    assert (worklist.act(2, CANCEL), worklist.state(), asked) == (status, IN_PROGRESS, [UID])
    expected = CANCEL[:]
    expected.RequestingAE = "the association"
    assert worklist.sent == [EventReport("PERFORMER", UID, EventType.CANCEL_REQUESTED, expected)]


def test_performer_is_told_who_asks() -> None:
    worklist = Worklist().bring_to(IN_PROGRESS)
    worklist.subscribe()
    assert worklist.act(2) == 0x0000
    assert worklist.sent[0].information == dataset_of(RequestingAE="ASKER")


# --- subscriptions ----------------------------------------------------------------------------------------------------

NONE, LOCKED, UNLOCKED = None, True, False
INITIAL = [("WATCHER", UID, 1)]


def do_nothing(_: Worklist) -> int:
    return 0


def by(action: int, uid: str, lock: bool | None = None) -> Callable[[Worklist], int]:
    return lambda worklist: worklist.act(action, subscription_information("WATCHER", deletion_lock=lock), uid)


# PS3.4 Table CC.2.3-2: what is asked; before: what the subscription is after it, and whether there is a first report
SUBSCRIBING = [
    (by(3, GLOBAL, True), NONE, LOCKED, True),
    (by(3, GLOBAL, True), LOCKED, LOCKED, False),
    (by(3, GLOBAL, True), UNLOCKED, UNLOCKED, False),
    (by(3, GLOBAL, False), NONE, UNLOCKED, False),
    (by(3, GLOBAL, False), LOCKED, LOCKED, False),
    (by(3, GLOBAL, False), UNLOCKED, UNLOCKED, False),
    (by(3, UID, True), NONE, LOCKED, True),
    (by(3, UID, True), LOCKED, LOCKED, True),
    (by(3, UID, True), UNLOCKED, LOCKED, True),
    (by(3, UID, False), NONE, UNLOCKED, True),
    (by(3, UID, False), LOCKED, UNLOCKED, True),
    (by(3, UID, False), UNLOCKED, UNLOCKED, True),
    *((by(4, uid), before, NONE, False) for uid in (UID, GLOBAL) for before in (NONE, LOCKED, UNLOCKED)),
    *((by(5, GLOBAL), before, before, False) for before in (NONE, LOCKED, UNLOCKED)),
]


@for_each(("action", "before", "after", "is_told"), SUBSCRIBING)
def test_subscription(
    action: Callable[[Worklist], int], before: bool | None, after: bool | None, is_told: bool
) -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    if before is not None:
        worklist.subscribe(uid=UID, lock=before)
        worklist.sent.clear()
    assert action(worklist) == 0x0000
    assert worklist.steps.subscriptions.steps[UID].get("WATCHER") is after
    assert worklist.reports() == (INITIAL if is_told else [])


@for_each(
    ("before", "expected"),
    [
        ([], {}),
        ([by(3, GLOBAL, True)], {"WATCHER": True}),
        ([by(3, GLOBAL, False)], {"WATCHER": False}),
        ([by(3, GLOBAL, True), by(5, GLOBAL)], {}),
        ([by(3, GLOBAL, True), by(4, GLOBAL)], {}),
    ],
)
def test_new_step_is_reported_to_who_has_subscribed_globally(before: Any, expected: dict[str, bool]) -> None:
    worklist = Worklist()
    for action in before:
        assert action(worklist) == 0x0000
    worklist.create()
    assert worklist.steps.subscriptions.steps[UID] == expected
    assert worklist.reports() == (INITIAL if expected else [])


@for_each(
    ("action", "uid", "information", "status"),
    [
        (3, FILTERED, subscription_information("WATCHER"), 0x0115),
        (4, FILTERED, subscription_information("WATCHER"), 0xC314),
        (5, FILTERED, subscription_information("WATCHER"), 0xC314),
        (5, UID, subscription_information("WATCHER"), 0xC314),
        (3, GLOBAL, subscription_information("STRANGER", deletion_lock=True), 0xC308),
        (3, GLOBAL, subscription_information("WATCHER"), 0x0115),
        (3, GLOBAL, dataset_of(ReceivingAE="WATCHER", DeletionLock="YES"), 0x0115),
        (3, GLOBAL, dataset_of(DeletionLock="TRUE"), 0x0115),
        (4, GLOBAL, None, 0x0115),
        (6, UID, None, 0x0123),
    ],
)
def test_subscription_is_refused(action: int, uid: str, information: Dataset | None, status: int) -> None:
    worklist = Worklist(knows_ae=lambda title: title == "WATCHER").bring_to(SCHEDULED)
    assert worklist.act(action, information, uid) == status
    assert not worklist.steps.subscriptions.everybody()


def test_subscription_has_a_filter() -> None:
    worklist = Worklist()
    for uid, patient in (("1.2.1", "A"), ("1.2.2", "B")):
        worklist.create(uid, PatientID=patient)
    information = subscription_information("WATCHER", deletion_lock=True)
    information.PatientID, information.TransactionUID = "A", LOCK
    assert worklist.act(3, information, FILTERED) == 0x0000
    assert worklist.reports() == [("WATCHER", "1.2.1", 1)]
    for uid, patient in (("1.2.3", "A"), ("1.2.4", "B")):
        worklist.create(uid, PatientID=patient)
    assert worklist.reports() == [("WATCHER", "1.2.3", 1)]
    assert [worklist.steps.subscriptions.is_locked(f"1.2.{n}") for n in (1, 2, 3, 4)] == [True, False, True, False]
    worklist.act(5, subscription_information("WATCHER"), GLOBAL)
    worklist.create("1.2.5", PatientID="A")
    assert worklist.reports() == []


def test_lock_is_not_granted() -> None:
    worklist = Worklist(grants_lock=lambda _: False).bring_to(SCHEDULED)
    assert worklist.subscribe(uid=UID, lock=True) == 0xB301
    assert worklist.subscribe(uid=UID, lock=False) == 0x0000
    assert worklist.steps.subscriptions.steps[UID] == {"WATCHER": False}


def test_nobody_can_subscribe_where_nothing_is_sent() -> None:
    steps = UnifiedProcedureSteps()
    event = action_event(WATCH, GLOBAL, 3, subscription_information("WATCHER", deletion_lock=False))
    assert steps.on_action(event) == (0xC315, None)


def test_handlers_hold_a_lock() -> None:
    lock = threading.Lock()
    held: list[bool] = []
    steps = UnifiedProcedureSteps(send=lambda _: held.append(lock.locked()))
    handlers = {kind: handler for kind, handler, *_ in steps.handlers(lock)}
    assert sorted(map(str, handlers)) == ["EVT_C_FIND", "EVT_N_ACTION", "EVT_N_CREATE", "EVT_N_GET", "EVT_N_SET"]
    subscription = subscription_information("WATCHER", deletion_lock=False)
    assert handlers[EVT_N_ACTION](action_event(WATCH, GLOBAL, 3, subscription)) == (0x0000, None)
    assert handlers[EVT_N_CREATE](create_event(PUSH, UID, new())) == (0x0000, None)
    found = handlers[EVT_C_FIND](find_event(QUERY, dataset_of(SOPInstanceUID="")))
    assert list(found) == [(0xFF00, dataset_of(SOPInstanceUID=UID))]
    assert (held, lock.locked()) == ([True], False)


def test_other_sop_class_has_no_actions() -> None:
    assert UnifiedProcedureSteps().on_action(action_event(CT, UID, 1)) == (0x0118, None)


def test_locked_steps_are_not_removed() -> None:
    worklist = Worklist().bring_to(COMPLETED)
    worklist.subscribe("ONE", UID, lock=True)
    worklist.subscribe("TWO", UID)
    assert worklist.steps.removable() == []
    with pytest.raises(LocalProtocolError, match="locked"):
        worklist.steps.remove(UID)
    worklist.act(4, subscription_information("ONE"))
    assert worklist.steps.removable() == [UID]
    worklist.steps.remove(UID)
    assert (worklist.steps.steps, worklist.steps.subscriptions.steps) == ({}, {})
    assert Worklist().bring_to(IN_PROGRESS).steps.removable() == []


# --- events -----------------------------------------------------------------------------------------------------------

STOPPED_ITEMS, STOPPED_TEXT = STOPPED.ProcedureStepProgressInformationSequence, {"ReasonForCancellation": "broken"}
PROGRESS = dataset_of(ProcedureStepProgressInformationSequence=[dataset_of(ProcedureStepProgress="50")])
PERFORMERS = dataset_of(
    ScheduledHumanPerformersSequence=[
        dataset_of(HumanPerformerCodeSequence=[CODE], HumanPerformerName="Doe", HumanPerformerOrganization="ORG"),
        dataset_of(HumanPerformerCodeSequence=[CODE], HumanPerformerName="Roe", HumanPerformerOrganization="OTHER"),
    ]
)
STATION = dataset_of(ScheduledStationNameCodeSequence=[CODE])


@for_each(
    ("change", "event_type", "information"),
    [
        (
            dataset_of(InputReadinessState="INCOMPLETE"),
            EventType.STATE_REPORT,
            dataset_of(ProcedureStepState="SCHEDULED", InputReadinessState="INCOMPLETE"),
        ),
        (PROGRESS, EventType.PROGRESS_REPORT, PROGRESS),
        (STATION, EventType.ASSIGNED, STATION),
        (
            PERFORMERS,
            EventType.ASSIGNED,
            dataset_of(
                HumanPerformerCodeSequence=[CODE, CODE],
                HumanPerformerOrganization="ORG",
            ),
        ),
        (dataset_of(ProcedureStepProgressInformationSequence=[*STOPPED_ITEMS]), None, None),
        (
            dataset_of(
                ProcedureStepProgressInformationSequence=[dataset_of(ProcedureStepProgress="7", **STOPPED_TEXT)]
            ),
            EventType.PROGRESS_REPORT,
            dataset_of(ProcedureStepProgressInformationSequence=[dataset_of(ProcedureStepProgress="7")]),
        ),
        (LABEL, None, None),
        (dataset_of(InputReadinessState="READY"), None, None),
    ],
)
def test_change_is_reported(change: Dataset, event_type: EventType | None, information: Dataset | None) -> None:
    worklist = Worklist().bring_to(SCHEDULED)
    worklist.subscribe()
    assert code(worklist.set(change)) == 0x0000
    expected = [] if event_type is None else [EventReport("WATCHER", UID, event_type, information)]  # type: ignore[arg-type]
    assert worklist.sent == expected


def test_everybody_is_told_about_the_scp() -> None:
    sent: list[EventReport] = []
    subscriptions = Subscriptions({UID: {"ONE": True, "TWO": False}}, {"ONE": True, "THREE": False})
    steps = UnifiedProcedureSteps(subscriptions=subscriptions, send=sent.append)
    steps.announce("RESTARTED", subscriptions="WARM START", steps="COLD START", others=["FOUR", "ONE"])
    assert [report.receiving_ae for report in sent] == ["ONE", "THREE", "TWO", "FOUR"]
    assert {report.event_type for report in sent} == {EventType.SCP_STATUS_CHANGE}
    assert sent[0].information == dataset_of(
        SCPStatus="RESTARTED", SubscriptionListStatus="WARM START", UnifiedProcedureStepListStatus="COLD START"
    )
