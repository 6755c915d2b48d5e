"""Unified Procedure Steps for whoever schedules, performs or watches them."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.errors import InvalidNameError, LocalProtocolError, NoContextError
from dicom_proto.handlers.kinds import EVT_N_EVENT_REPORT
from dicom_proto.services.ups.requests import (
    cancel_information,
    change_state,
    create_ups,
    get_ups,
    new_ups,
    receive_report,
    request_cancel,
    send_report,
    set_ups,
    state_information,
    subscribe,
    subscribe_to_matches,
    subscription_information,
    suspend_global,
    unsubscribe,
)
from dicom_proto.services.ups.state import EventReport, EventType, State
from dicom_proto.services.ups.steps import UnifiedProcedureSteps
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import CT, dataset_of, decoded, offer_of
from tests.proto.rows import for_each
from tests.proto.services.management.flows import Talk, report_event

PUSH, WATCH, PULL, EVENT = (f"1.2.840.10008.5.1.4.34.6.{n}" for n in range(1, 5))
UID, LOCK = "1.2.3", "1.2.3.4"
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


def attributes(**more: Any) -> Dataset:
    return dataset_of(
        **{
            "ScheduledProcedureStepPriority": "MEDIUM",
            "ProcedureStepLabel": "treat",
            "ScheduledProcedureStepStartDateTime": "20260304",
            "InputReadinessState": "READY",
            **more,
        }
    )


def test_step_is_scheduled_with_all_that_is_required() -> None:
    step = new_ups(attributes(PatientName="Doe^Jane"))
    assert (step.ProcedureStepState, step.PatientName, step.PatientSex) == ("SCHEDULED", "Doe^Jane", None)
    assert (step.TransactionUID, step.ProcedureStepProgressInformationSequence) == (None, [])


@for_each(
    ("information", "expected"),
    [
        (cancel_information(), Dataset()),
        (
            cancel_information("why", code=CODE, contact_uri="tel:1", contact_name="Eve"),
            dataset_of(
                ReasonForCancellation="why",
                ProcedureStepDiscontinuationReasonCodeSequence=[CODE],
                ContactURI="tel:1",
                ContactDisplayName="Eve",
            ),
        ),
        (
            state_information(State.COMPLETED, LOCK),
            dataset_of(ProcedureStepState="COMPLETED", TransactionUID=LOCK),
        ),
        (subscription_information(" ME "), dataset_of(ReceivingAE="ME")),
        (subscription_information("ME", deletion_lock=True), dataset_of(ReceivingAE="ME", DeletionLock="TRUE")),
        (subscription_information("ME", deletion_lock=False), dataset_of(ReceivingAE="ME", DeletionLock="FALSE")),
    ],
)
def test_information(information: Dataset, expected: Dataset) -> None:
    assert information == expected


@for_each("build", [lambda: state_information(State.COMPLETED, "x"), lambda: subscription_information("")])
def test_names_are_checked(build: Callable[[], Dataset]) -> None:
    with pytest.raises(InvalidNameError):
        build()


@for_each("state", ["OVER", None])
def test_states_are_checked(state: Any) -> None:
    with pytest.raises(LocalProtocolError, match="SCHEDULED, IN PROGRESS"):
        state_information(state, LOCK)


@for_each(
    ("change", "message"),
    [
        (dataset_of(PatientName="Roe"), "PatientName"),
        (dataset_of(ScheduledHumanPerformersSequence=[Dataset()]), "HumanPerformerName"),
    ],
)
def test_change_that_would_be_refused_is_not_sent(change: Dataset, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        Talk(offer_of(PULL)).run(lambda peer: set_ups(peer, UID, change))


def test_step_cannot_be_scheduled_without_what_is_required() -> None:
    with pytest.raises(LocalProtocolError, match="ProcedureStepLabel"):
        new_ups(attributes(ProcedureStepLabel=""))


def test_life_of_a_step() -> None:
    sent, told = list[EventReport](), list[EventReport]()
    steps = UnifiedProcedureSteps(send=sent.append)
    talk = Talk(
        offer_of(PUSH, WATCH, PULL, EVENT, roles=[RoleSelection(EVENT, scu=True, scp=True)]),
        one=[(EVT_N_EVENT_REPORT, receive_report, [told.append])],
        other=steps.handlers(),
    )
    programs: list[tuple[Any, int]] = [
        (lambda peer: subscribe(peer, "WATCHER", deletion_lock=True), 0x0000),
        (lambda peer: subscribe_to_matches(peer, "WATCHER", dataset_of(ProcedureStepLabel="treat")), 0x0000),
        (lambda peer: create_ups(peer, UID, attributes()), 0x0000),
        (lambda peer: set_ups(peer, UID, dataset_of(ProcedureStepLabel="other")), 0x0000),
        (lambda peer: change_state(peer, UID, State.IN_PROGRESS, LOCK), 0x0000),
        (lambda peer: set_ups(peer, UID, PERFORMED, LOCK), 0x0000),
        (lambda peer: change_state(peer, UID, State.COMPLETED, LOCK), 0x0000),
        (lambda peer: request_cancel(peer, UID), 0xC311),
        (lambda peer: suspend_global(peer, "WATCHER"), 0x0000),
        (lambda peer: unsubscribe(peer, "WATCHER"), 0x0000),
    ]
    for program, status in programs:
        assert talk.run(program).response.status == status
    reply = talk.run(lambda peer: get_ups(peer, UID, [0x00741000]))
    assert decoded(reply.data) == dataset_of(ProcedureStepState="COMPLETED")  # type: ignore[arg-type]
    for report in sent:
        assert talk.run(lambda peer, report=report: send_report(peer, report), side=1).response.status == 0x0000  # type: ignore[misc]
    assert [report.information.ProcedureStepState for report in told] == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
    assert {(report.receiving_ae, report.instance_uid) for report in told} == {("", UID)}
    assert steps.removable() == [UID]


@for_each(
    "program",
    [
        lambda peer: get_ups(peer, UID),
        lambda peer: request_cancel(peer, UID, cancel_information()),
        lambda peer: send_report(peer, EventReport("", UID, EventType.STATE_REPORT, Dataset())),
    ],
)
def test_nothing_can_be_sent_without_a_context(program: Any) -> None:
    with pytest.raises(NoContextError):
        Talk(offer_of(CT)).run(program)


@for_each(("sop_class", "event_type", "status"), [(CT, 1, 0x0118), (PUSH, 6, 0x0113)])
def test_report_is_refused(sop_class: str, event_type: int, status: int) -> None:
    told: list[EventReport] = []
    assert receive_report(report_event(sop_class, UID, event_type), told.append) == (status, None)
    assert not told
