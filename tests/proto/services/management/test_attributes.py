"""What the flows on top of the N-services share."""

import threading
from copy import deepcopy
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_N_CREATE, EVT_N_GET
from dicom_proto.handlers.registry import Handlers
from dicom_proto.services.management.attributes import (
    SUCCESS,
    HandlerResult,
    Refused,
    changed,
    check_elements,
    check_settable,
    complete,
    get_attributes,
    guarded,
    has_value,
    items,
    keywords,
    merge,
    new_instance_uid,
    offending,
    refusing,
    rules,
    select,
)
from tests.proto.programs.script import dataset_of
from tests.proto.rows import for_each
from tests.proto.services.management.flows import create_event, get_event

RULES = rules(type_1="PatientID ReferencedSeriesSequence.Modality", type_2="PatientName ReferencedSeriesSequence")
STORED = dataset_of(
    PatientID="1", PatientName="Doe", PatientSex="", ReferencedSeriesSequence=[dataset_of(Modality="CT")]
)


@for_each(
    ("refused", "result"),
    [
        (Refused(0x0112), (0x0112, None)),
        (Refused(0x0106, STORED), (0x0106, STORED)),
        (Refused(0x0110, ErrorID=7), (dataset_of(Status=0x0110, ErrorID=7), None)),
        (offending(0x0115, STORED, "PatientID", "StudyID"), (0x0115, dataset_of(PatientID="1"))),
        (offending(0x0115, STORED, "StudyID"), (0x0115, None)),
    ],
)
def test_refusal_is_what_a_handler_returns(refused: Refused, result: Any) -> None:
    class Service:
        @refusing
        def handler(self, event: RequestEvent) -> HandlerResult:
            if event.message_id is None:
                raise refused
            return SUCCESS

    assert Service().handler(get_event("1.2", "1.3")) == result
    assert f"{refused.status:04X}H" in str(refused)


def test_handler_that_does_not_refuse() -> None:
    class Service:
        @refusing
        def handler(self, event: RequestEvent) -> HandlerResult:
            """Answer."""
            return int(event.request.RequestedSOPInstanceUID == "1.3"), None

    assert Service().handler(get_event("1.2", "1.3")) == (1, None)
    assert Service.handler.__doc__ == "Answer."


def test_guarded_handlers_hold_the_lock() -> None:
    lock = threading.Lock()

    def answer(event: RequestEvent) -> tuple[object, bool]:
        return event.message_id, lock.locked()

    bound = guarded({EVT_N_GET: answer, EVT_N_CREATE: answer}, lock)
    assert Handlers(bound, allow_async=False).kinds() == (EVT_N_GET, EVT_N_CREATE)
    for _, handler, *_ in bound:
        assert handler(get_event("1.2", "1.3")) == (None, True)
        assert not lock.locked()


def test_values() -> None:
    rubbish = Dataset()
    rubbish.add_new(0x00081115, "LO", "no sequence")
    assert items(rubbish, "ReferencedSeriesSequence") == items(Dataset(), "ReferencedSeriesSequence") == []
    assert items(STORED, "ReferencedSeriesSequence") == [dataset_of(Modality="CT")]
    assert has_value(STORED, "PatientID")
    assert has_value(STORED, "ReferencedSeriesSequence")
    assert not has_value(STORED, "PatientSex")
    assert not has_value(STORED, "StudyID")
    assert not has_value(rubbish, "ReferencedSeriesSequence")
    assert keywords(" A  B ") == {"A", "B"}


def test_selection_has_the_character_set() -> None:
    stored = dataset_of(PatientID="1", SpecificCharacterSet="ISO_IR 192")
    assert select(stored, ["StudyID"]) == dataset_of(SpecificCharacterSet="ISO_IR 192")
    assert select(STORED, ["PatientID"]) == dataset_of(PatientID="1")


def test_copy_is_changed_and_the_original_is_not() -> None:
    assert changed(STORED, PatientID="2", StudyID="3").PatientID == "2"
    assert (STORED.PatientID, "StudyID" in STORED) == ("1", False)


@for_each(
    ("data_set", "result"),
    [
        (Dataset(), (dataset_of(Status=0x0120, AttributeIdentifierList=[0x00081115, 0x00100010, 0x00100020]), None)),
        (
            changed(STORED, ReferencedSeriesSequence=[Dataset()]),
            (dataset_of(Status=0x0120, AttributeIdentifierList=[0x00080060]), None),
        ),
        (changed(STORED, PatientID=""), (0x0121, dataset_of(PatientID=""))),
        (
            changed(STORED, ReferencedSeriesSequence=[dataset_of(Modality="")]),
            (0x0121, dataset_of(ReferencedSeriesSequence=[dataset_of(Modality="")])),
        ),
    ],
)
def test_requirements(data_set: Dataset, result: Any) -> None:
    with pytest.raises(Refused) as refused:
        check_elements(data_set, RULES)
    assert refused.value.result == result


def test_changes_lack_values_and_no_attributes() -> None:
    with pytest.raises(Refused) as refused:
        check_elements(dataset_of(PatientName="", ReferencedSeriesSequence=[Dataset()]), RULES, is_new=False)
    assert refused.value.result == (0x0121, dataset_of(ReferencedSeriesSequence=[Dataset()]))


def test_changes_that_are_sent_may_be_made() -> None:
    check_settable(STORED, frozenset({"StudyID"}))
    with pytest.raises(LocalProtocolError, match="PatientID, PatientName"):
        check_settable(STORED, frozenset({"PatientName", "PatientID", "StudyID"}))


@for_each("data_set", [STORED, changed(STORED, PatientName="", ReferencedSeriesSequence=[])])
def test_requirements_are_met(data_set: Dataset) -> None:
    check_elements(data_set, RULES)


def test_what_may_be_empty_is_added() -> None:
    assert complete(dataset_of(PatientID="1"), RULES) == dataset_of(
        PatientID="1", PatientName=None, ReferencedSeriesSequence=[]
    )
    assert complete(STORED[:], RULES) == STORED
    with pytest.raises(LocalProtocolError, match="PatientID"):
        complete(Dataset(), RULES)
    with pytest.raises(LocalProtocolError, match=r"ReferencedSeriesSequence\.Modality"):
        complete(changed(STORED, ReferencedSeriesSequence=[Dataset()]), RULES)


@for_each(
    ("changes", "after", "modified"),
    [
        ({}, {}, set()),
        ({"PatientID": "1"}, {}, set()),  # it cannot be set, but it is no change
        ({"PatientSex": None}, {}, set()),  # empty in another way
        ({"PatientName": "Roe"}, {"PatientName": "Roe"}, {"PatientName"}),
        ({"PatientSex": "F"}, {"PatientSex": "F"}, {"PatientSex"}),
        ({"SpecificCharacterSet": "ISO_IR 100"}, {"SpecificCharacterSet": "ISO_IR 192"}, set()),
        ({"ReferencedSeriesSequence": []}, {"ReferencedSeriesSequence": []}, {"ReferencedSeriesSequence"}),
    ],
)
def test_modifications(changes: Any, after: Any, modified: set[str]) -> None:
    before = deepcopy(STORED)
    assert merge({"1.2": STORED}, "1.2", dataset_of(**changes), frozenset({"PatientID"})) == (
        changed(STORED, **after),
        modified,
    )
    assert before == STORED


@for_each(
    ("changes", "result"),
    [
        ({"PatientID": "2"}, (0x0106, dataset_of(PatientID="2"))),
        ({"StudyID": "2"}, (dataset_of(Status=0x0105, AttributeIdentifierList=[0x00200010]), None)),
    ],
)
def test_modifications_that_cannot_be_made(changes: Any, result: Any) -> None:
    with pytest.raises(Refused) as refused:
        merge({"1.2": STORED}, "1.2", dataset_of(**changes), frozenset({"PatientID"}))
    assert refused.value.result == result


def test_same_character_set_is_kept() -> None:
    stored = changed(STORED, SpecificCharacterSet="ISO_IR 100")
    assert merge({"1.2": stored}, "1.2", dataset_of(SpecificCharacterSet="ISO_IR 100"), frozenset()) == (stored, set())


def test_attributes_are_had() -> None:
    assert get_attributes(STORED, ()) == (0x0000, STORED)
    assert get_attributes(STORED, [0x00100020]) == (0x0000, dataset_of(PatientID="1"))
    assert get_attributes(STORED, [0x00100020, 0x00200010]) == (0x0001, dataset_of(PatientID="1"))


@for_each(("uid", "status"), [(None, 0x0117), ("1.02", 0x0117), ("1.2", 0x0111)])
def test_new_instance_is_not_new(uid: str | None, status: int) -> None:
    with pytest.raises(Refused) as refused:
        new_instance_uid(create_event("1.5", uid), {"1.2"})
    assert refused.value.status == status


def test_new_instance_is_new() -> None:
    assert new_instance_uid(create_event("1.5", "1.3"), {"1.2"}) == "1.3"
