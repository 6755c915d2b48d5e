"""Modality Performed Procedure Step, both sides."""

import csv
import threading
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import LocalProtocolError, NoContextError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_N_EVENT_REPORT
from dicom_proto.services.management.attributes import select
from dicom_proto.services.management.mpps import (
    CREATE_RULES,
    FINAL_RULES,
    NOT_SETTABLE,
    SET_RULES,
    PerformedProcedureSteps,
    StepChange,
    StepEvent,
    StepStatus,
    begin_step,
    create_step,
    end_step,
    get_step,
    notify_step,
    performed_series,
    receive_notification,
    set_step,
)
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import CT, EXPLICIT, dataset_of, decoded, offer_of
from tests.proto.rows import for_each
from tests.proto.services.management.flows import (
    NOW,
    Talk,
    code,
    create_event,
    get_event,
    report_event,
    sent_and_back,
    sent_often,
    set_event,
)

MPPS, RETRIEVE, NOTIFICATION = (f"1.2.840.10008.3.1.2.3.{n}" for n in (3, 4, 5))
UID = "1.2.3"


def attributes(**more: Any) -> Dataset:
    return dataset_of(
        **{
            "ScheduledStepAttributesSequence": [dataset_of(StudyInstanceUID="1.5")],
            "PatientName": "Doe^Jane",
            "PerformedProcedureStepID": "7",
            "PerformedStationAETitle": "CT1",
            "PerformedProcedureStepStartDate": "20260304",
            "PerformedProcedureStepStartTime": "050600",
            "Modality": "CT",
            **more,
        }
    )


@sent_often
def new_step(**more: Any) -> Dataset:
    return begin_step(attributes(**more))


def series(**more: Any) -> Dataset:
    return performed_series("1.6", "HEAD", images=[(CT, "1.7")], others=[("1.8", "1.9")], **more)


def ending(status: StepStatus = StepStatus.COMPLETED, **more: Any) -> Dataset:
    return end_step(status, NOW, [series()], **more)


def steps_with(*changes: Dataset, **more: Any) -> PerformedProcedureSteps:
    steps = PerformedProcedureSteps(**more)
    assert steps.on_create(create_event(MPPS, UID, new_step())) == (0x0000, None)
    for change in changes:
        assert steps.on_set(set_event(MPPS, UID, change)) == (0x0000, None)
    return steps


def holder_of(data_set: Dataset, path: str) -> tuple[Dataset, str]:
    """What has an attribute, by way of the first item of each sequence, and its keyword."""
    *sequences, keyword = path.split(".")
    for sequence in sequences:
        data_set = data_set[sequence].value[0]
    return data_set, keyword


def without(data_set: Dataset, path: str) -> Dataset:
    data_set = deepcopy(data_set)
    holder, keyword = holder_of(data_set, path)
    del holder[keyword]
    return data_set


def emptied(data_set: Dataset, path: str) -> Dataset:
    data_set = deepcopy(data_set)
    holder, keyword = holder_of(data_set, path)
    setattr(holder, keyword, [] if keyword.endswith("Sequence") else "")
    return data_set


REQUIRED = [".".join((*rule.path, rule.keyword)) for rule in CREATE_RULES]
WITH_VALUE = [".".join((*rule.path, rule.keyword)) for rule in CREATE_RULES if rule.needs_value]
FULL = new_step(
    ReferencedPatientSequence=[dataset_of(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.3")],
    PerformedSeriesSequence=[
        series(
            ReferencedImageSequence=[
                dataset_of(
                    ReferencedSOPClassUID=CT,
                    ReferencedSOPInstanceUID="1.7",
                    SpecimenDescriptionSequence=[dataset_of(SpecimenIdentifier="1", SpecimenUID="1.10")],
                )
            ]
        )
    ],
    ScheduledStepAttributesSequence=[
        dataset_of(
            StudyInstanceUID="1.5",
            ReferencedStudySequence=[dataset_of(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.3")],
        )
    ],
)


# --- the table --------------------------------------------------------------------------------------------------------

TABLE = Path(__file__).parents[2] / "data" / "mpps_attributes.csv"


def required(column: str, rows: list[dict[str, str]]) -> dict[str, bool]:
    return {row["path"]: row[column][0] == "1" for row in rows if row[column] in {"1/1", "2/2", "1", "2"}}


def test_rules_are_those_of_the_table() -> None:
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rules = [
        {".".join((*rule.path, rule.keyword)): rule.needs_value for rule in rules}
        for rules in (CREATE_RULES, SET_RULES, FINAL_RULES)
    ]
    assert rules[0] == required("n_create", rows)
    assert rules[1] == required("n_set", rows)
    assert rules[2] == {**rules[1], **required("final", rows)}
    fixed = {row["path"] for row in rows if row["n_set"] == "not allowed"}
    assert {path.partition(".")[0] for path in fixed} == NOT_SETTABLE
    # PS3.4 F.8.2.1.1 has Patient's Birth Time where the others have the date
    returned = {row["path"] for row in rows if row["n_get"] in {"3/1", "3/2"}} - {"PatientBirthTime"}
    steps = PerformedProcedureSteps({UID: FULL})
    assert returned <= {element.keyword for element in steps.on_get(get_event(RETRIEVE, UID))[1] or ()}


# --- N-CREATE ---------------------------------------------------------------------------------------------------------


def test_step_is_created() -> None:
    told: list[StepChange] = []
    store: dict[str, Dataset] = {}
    steps = PerformedProcedureSteps(store, on_change=told.append)
    assert steps.on_create(create_event(MPPS, UID, FULL)) == (0x0000, None)
    assert store == {UID: FULL}
    assert told == [StepChange(UID, StepEvent.IN_PROGRESS)]


@for_each("path", REQUIRED)
def test_step_lacks_an_attribute(path: str) -> None:
    steps = PerformedProcedureSteps()
    status, data_set = steps.on_create(create_event(MPPS, UID, without(FULL, path)))
    tag = holder_of(FULL, path)[0][path.rpartition(".")[2]].tag
    assert status == dataset_of(Status=0x0120, AttributeIdentifierList=[tag])
    assert (data_set, steps.steps) == (None, {})


@for_each("path", WITH_VALUE)
def test_step_lacks_a_value(path: str) -> None:
    steps = PerformedProcedureSteps()
    step = emptied(FULL, path)
    status, data_set = steps.on_create(create_event(MPPS, UID, step))
    top = path.split(".", maxsplit=1)[0]
    assert (status, data_set, steps.steps) == (0x0121, dataset_of(**{top: step[top].value}), {})


@for_each(
    ("event", "status"),
    [
        (create_event(CT, UID, FULL), 0x0118),
        (create_event(MPPS, None, FULL), 0x0117),
        (create_event(MPPS, "1.02", FULL), 0x0117),
        (create_event(MPPS, UID, None), 0x0120),
    ],
)
def test_step_is_not_created(event: RequestEvent, status: int) -> None:
    steps = PerformedProcedureSteps()
    assert code(steps.on_create(event)) == status
    assert not steps.steps


@for_each("value", ["COMPLETED", "DISCONTINUED", "SCHEDULED", ["IN PROGRESS", "COMPLETED"]])
def test_step_begins_in_progress(value: Any) -> None:
    step = new_step()
    step.PerformedProcedureStepStatus = value
    answer = PerformedProcedureSteps().on_create(create_event(MPPS, UID, step))
    assert answer == (0x0106, dataset_of(PerformedProcedureStepStatus=value))


def test_step_is_created_once() -> None:
    steps = steps_with()
    assert steps.on_create(create_event(MPPS, UID, new_step())) == (0x0111, None)


def test_site_may_put_up_with_less() -> None:
    steps = PerformedProcedureSteps(create_rules=(), set_rules=(), final_rules=())
    step = dataset_of(PerformedProcedureStepStatus="IN PROGRESS")
    assert steps.on_create(create_event(MPPS, UID, step)) == (0x0000, None)
    steps.steps[UID].PerformedSeriesSequence = []
    end = dataset_of(PerformedProcedureStepStatus="COMPLETED", PerformedSeriesSequence=[Dataset()])
    assert steps.on_set(set_event(MPPS, UID, end)) == (0x0000, None)
    assert code(steps.on_create(create_event(MPPS, "1.2.4", Dataset()))) == 0x0106


# --- N-SET ------------------------------------------------------------------------------------------------------------


@for_each(
    ("change", "event", "status"),
    [
        (dataset_of(PerformedProcedureStepDescription="head"), StepEvent.UPDATED, "IN PROGRESS"),
        (dataset_of(PerformedProcedureStepStatus="IN PROGRESS"), StepEvent.UPDATED, "IN PROGRESS"),
        (dataset_of(PatientName="Doe^Jane"), StepEvent.UPDATED, "IN PROGRESS"),  # no change
        (ending(), StepEvent.COMPLETED, "COMPLETED"),
        (ending(StepStatus.DISCONTINUED), StepEvent.DISCONTINUED, "DISCONTINUED"),
    ],
)
def test_step_is_changed(change: Dataset, event: StepEvent, status: str) -> None:
    told: list[StepChange] = []
    steps = steps_with(on_change=told.append)
    before = steps.steps[UID]
    assert steps.on_set(set_event(MPPS, UID, change)) == (0x0000, None)
    assert before == new_step()  # as whoever is reading it expects
    after = new_step()
    after.update({element.tag: element for element in sent_and_back(change)})
    assert steps.steps[UID] == after
    assert after.PerformedProcedureStepStatus == status
    assert told[1:] == [StepChange(UID, event)]


@for_each("end", [StepStatus.COMPLETED, StepStatus.DISCONTINUED])
@for_each("change", [dataset_of(PerformedProcedureStepDescription="x"), ending(), ending(StepStatus.DISCONTINUED)])
def test_step_that_has_ended_stays_as_it_is(end: StepStatus, change: Dataset) -> None:
    steps = steps_with(ending(end))
    before = deepcopy(steps.steps)
    status, data_set = steps.on_set(set_event(MPPS, UID, change))
    comment = "Performed Procedure Step may no longer be updated"
    assert (status, data_set) == (dataset_of(Status=0x0110, ErrorID=0xA710, ErrorComment=comment), None)
    assert steps.steps == before


IN_BETWEEN = dataset_of(PerformedSeriesSequence=ending().PerformedSeriesSequence)
TWO_STATUSES = dataset_of(PerformedProcedureStepStatus=["COMPLETED", "COMPLETED"])


@for_each(
    ("event", "status", "data_set"),
    [
        (set_event(CT, UID, ending()), 0x0118, None),
        (set_event(MPPS, "1.2.4", ending()), 0x0112, None),
        (set_event(MPPS, UID, dataset_of(PatientName="Roe")), 0x0106, dataset_of(PatientName="Roe")),
        (set_event(MPPS, UID, dataset_of(PatientSize=1)), 0x0105, None),
        (set_event(MPPS, UID, TWO_STATUSES), 0x0106, TWO_STATUSES),
        (
            set_event(MPPS, UID, dataset_of(PerformedProcedureStepStatus="")),
            0x0106,
            dataset_of(PerformedProcedureStepStatus=""),
        ),
        *(
            (set_event(MPPS, UID, change), 0x0121, select(sent_and_back(change), ["PerformedSeriesSequence"]))
            for keyword in ("SeriesInstanceUID", "OperatorsName", "ReferencedImageSequence")
            for change in (without(whole, f"PerformedSeriesSequence.{keyword}") for whole in (ending(), IN_BETWEEN))
        ),
        *(
            (set_event(MPPS, UID, changed), 0x0121, dataset_of(**{keyword: ""}))
            for keyword in ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime")
            for changed in (without(ending(), keyword), emptied(ending(), keyword))
        ),
        (
            set_event(MPPS, UID, without(ending(), "PerformedSeriesSequence")),
            0x0121,
            dataset_of(PerformedSeriesSequence=[]),
        ),
    ],
)
def test_step_is_not_changed(event: RequestEvent, status: int, data_set: Dataset | None) -> None:
    steps = steps_with()
    answer = steps.on_set(event)
    assert (code(answer), answer[1]) == (status, data_set)
    assert steps.steps == {UID: new_step()}


@for_each(
    ("created", "changed", "kept"),
    [
        ("ISO_IR 100", "ISO_IR 100", "ISO_IR 100"),
        ("ISO_IR 100", None, "ISO_IR 100"),
        ("ISO_IR 100", "ISO_IR 144", "ISO_IR 192"),
        (None, "ISO_IR 144", "ISO_IR 192"),
    ],
)
def test_character_sets_are_reconciled(created: str | None, changed: str | None, kept: str) -> None:
    def text(charset: str | None) -> str:
        return {"ISO_IR 100": "Jérôme", "ISO_IR 144": "Москва"}.get(charset or "", "Jerome")

    steps = PerformedProcedureSteps()
    step = begin_step(attributes(PatientName=text(created), PatientID=text(created)))
    change = dataset_of(PerformedProcedureStepDescription=text(changed))
    for data_set, charset in ((step, created), (change, changed)):
        if charset:
            data_set.SpecificCharacterSet = charset
    steps.on_create(create_event(MPPS, UID, step))
    assert steps.on_set(set_event(MPPS, UID, change)) == (0x0000, None)
    got = decoded(encode(steps.steps[UID], EXPLICIT), EXPLICIT)
    assert got.SpecificCharacterSet == kept
    assert (got.PatientName, got.PatientID) == (text(created), text(created))
    assert got.PerformedProcedureStepDescription == text(changed)


# --- N-GET ------------------------------------------------------------------------------------------------------------


def test_all_of_a_step_is_had() -> None:
    whole = new_step(PerformedProcedureStepDiscontinuationReasonCodeSequence=[])  # N-GET returns it of every step
    assert steps_with().on_get(get_event(RETRIEVE, UID)) == (0x0000, whole)


def test_some_of_a_step_is_had() -> None:
    steps = PerformedProcedureSteps()
    steps.on_create(create_event(MPPS, UID, new_step(SpecificCharacterSet="ISO_IR 192")))
    assert steps.on_get(get_event(RETRIEVE, UID, 0x00080060, 0x00100030)) == (
        0x0000,
        dataset_of(SpecificCharacterSet="ISO_IR 192", Modality="CT", PatientBirthDate=""),
    )


def test_what_a_step_does_not_have_is_no_reason_to_refuse() -> None:
    steps = steps_with()
    assert steps.on_get(get_event(RETRIEVE, UID, 0x00080060, 0x00380010)) == (0x0001, dataset_of(Modality="CT"))
    reason = dataset_of(PerformedProcedureStepDiscontinuationReasonCodeSequence=[])
    assert steps.on_get(get_event(RETRIEVE, UID, 0x00400281)) == (0x0000, reason)
    change = dataset_of(PerformedProcedureStepDiscontinuationReasonCodeSequence=[Dataset()])
    assert code(steps.on_set(set_event(MPPS, UID, change))) == 0x0105  # for it was not created


@for_each(("sop_class", "uid", "status"), [(CT, UID, 0x0118), (RETRIEVE, "1.2.4", 0x0112)])
def test_step_is_not_had(sop_class: str, uid: str, status: int) -> None:
    assert steps_with().on_get(get_event(sop_class, uid)) == (status, None)


def test_handlers_hold_a_lock() -> None:
    lock = threading.Lock()
    held: list[bool] = []
    steps = PerformedProcedureSteps(on_change=lambda _: held.append(lock.locked()))
    kind, create = steps.handlers(lock)[0][:2]
    assert (kind.name, create(create_event(MPPS, UID, new_step()))) == ("EVT_N_CREATE", (0x0000, None))
    assert (held, lock.locked()) == ([True], False)


def test_step_is_deleted() -> None:
    told: list[StepChange] = []
    steps = steps_with(on_change=told.append)
    steps.delete(UID)
    steps.delete(UID)
    assert (steps.steps, told[1:]) == ({}, [StepChange(UID, StepEvent.DELETED)])


# --- what the modality sends ------------------------------------------------------------------------------------------


@for_each("path", ["Modality", "PerformedStationAETitle", "ScheduledStepAttributesSequence"])
def test_step_cannot_begin_without_what_is_required(path: str) -> None:
    for incomplete in (without, emptied):
        with pytest.raises(LocalProtocolError, match=path):
            begin_step(incomplete(attributes(), path))


def test_step_ends() -> None:
    reason = dataset_of(CodeValue="110513", CodingSchemeDesignator="DCM", CodeMeaning="for reasons")
    step = end_step(StepStatus.DISCONTINUED, NOW, [series(SeriesDescription="scout")], reason=reason)
    assert step.PerformedProcedureStepStatus == "DISCONTINUED"
    assert (step.PerformedProcedureStepEndDate, step.PerformedProcedureStepEndTime) == ("20260304", "050607")
    assert step.PerformedProcedureStepDiscontinuationReasonCodeSequence == [reason]
    (item,) = step.PerformedSeriesSequence
    assert (item.ProtocolName, item.SeriesDescription, item.OperatorsName) == ("HEAD", "scout", None)
    assert item.ReferencedImageSequence[0].ReferencedSOPClassUID == CT
    assert item.ReferencedNonImageCompositeSOPInstanceSequence[0].ReferencedSOPInstanceUID == "1.9"


@for_each("status", [StepStatus.IN_PROGRESS, "OVER"])
def test_step_does_not_end_like_that(status: Any) -> None:
    with pytest.raises(LocalProtocolError, match="COMPLETED or DISCONTINUED"):
        end_step(status, NOW, [series()])


@for_each(
    ("change", "message"),
    [
        (dataset_of(PatientName="Roe"), "PatientName"),
        (dataset_of(PerformedSeriesSequence=[Dataset()]), "SeriesInstanceUID"),
    ],
)
def test_change_that_would_be_refused_is_not_sent(change: Dataset, message: str) -> None:
    talk = Talk(offer_of((MPPS, EXPLICIT)))
    with pytest.raises(LocalProtocolError, match=message):
        talk.run(lambda peer: set_step(peer, UID, change))


def test_step_does_not_end_without_series() -> None:
    with pytest.raises(LocalProtocolError, match="PerformedSeriesSequence"):
        end_step(StepStatus.COMPLETED, NOW, [])


# --- both sides -------------------------------------------------------------------------------------------------------


def test_life_of_a_step() -> None:
    steps, told = PerformedProcedureSteps(), list[StepChange]()
    talk = Talk(
        offer_of((MPPS, EXPLICIT), RETRIEVE, NOTIFICATION, roles=[RoleSelection(NOTIFICATION, scu=True, scp=True)]),
        one=[(EVT_N_EVENT_REPORT, receive_notification, [told.append])],
        other=steps.handlers(),
    )
    reply = talk.run(lambda peer: create_step(peer, UID, attributes(), message_id=3))
    assert (reply.response.status, reply.response.message_id_being_responded_to) == (0x0000, 3)
    reply = talk.run(lambda peer: set_step(peer, UID, dataset_of(PatientSize=1)))
    assert (reply.response.status, reply.response.attribute_identifier_list) == (0x0105, (0x00101020,))  # type: ignore[attr-defined]
    assert talk.run(lambda peer: set_step(peer, UID, ending())).response.status == 0x0000
    reply = talk.run(lambda peer: set_step(peer, UID, ending()))
    assert (reply.response.status, reply.response.error_id) == (0x0110, 0xA710)  # type: ignore[attr-defined]
    reply = talk.run(lambda peer: get_step(peer, UID, [0x00400252]))
    assert decoded(reply.data) == dataset_of(PerformedProcedureStepStatus="COMPLETED")  # type: ignore[arg-type]
    change = StepChange(UID, StepEvent.COMPLETED)
    assert talk.run(lambda peer: notify_step(peer, change), side=1).response.status == 0x0000
    assert told == [change]


@for_each(
    "program",
    [
        lambda peer: create_step(peer, UID, attributes()),
        lambda peer: set_step(peer, UID, ending()),
        lambda peer: get_step(peer, UID),
        lambda peer: notify_step(peer, StepChange(UID, StepEvent.DELETED)),
    ],
)
def test_nothing_can_be_sent_without_a_context(program: Any) -> None:
    with pytest.raises(NoContextError):
        Talk(offer_of(CT)).run(program)


@for_each(("sop_class", "event_type", "status"), [(MPPS, 1, 0x0118), (NOTIFICATION, 6, 0x0113)])
def test_notification_is_refused(sop_class: str, event_type: int, status: int) -> None:
    told: list[StepChange] = []
    assert receive_notification(report_event(sop_class, UID, event_type), told.append) == (status, None)
    assert not told
