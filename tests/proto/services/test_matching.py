"""Matching of worklist style queries."""

import time
from typing import Any

from pydicom.dataset import Dataset

from dicom_proto.services.matching import answer, matches
from tests.proto.programs.script import dataset_of
from tests.proto.rows import for_each

CODE = dataset_of(CodeValue="A", CodingSchemeDesignator="99X")
STEP = dataset_of(
    SOPInstanceUID="1.2.3",
    PatientName="Doe^Jane",
    PatientID="P*1",
    PatientSex="",
    IssuerOfPatientID="",
    OtherPatientNames=["Roe^Ann", "Poe^Eve"],
    ScheduledProcedureStepStartDateTime="20260304050607",
    ScheduledStationNameCodeSequence=[dataset_of(CodeValue="B", CodingSchemeDesignator="99X"), CODE],
    InputInformationSequence=[],
    SpecificCharacterSet="ISO_IR 100",
)
START = "ScheduledProcedureStepStartDateTime"
STATION = "ScheduledStationNameCodeSequence"


@for_each(
    ("keyword", "value", "expected"),
    [
        ("SpecificCharacterSet", "ISO_IR 192", True),  # not a key
        ("PatientID", "", True),
        ("PatientID", "*", True),
        ("AccessionNumber", "", True),
        ("AccessionNumber", "1", False),
        ("PatientSex", "M", False),  # unknown
        ("IssuerOfPatientID", "*", True),
        ("SOPInstanceUID", "1.2.3", True),
        ("SOPInstanceUID", "1.2", False),
        ("SOPInstanceUID", ["1.2", "1.2.3"], True),
        ("PatientID", "P*1", True),
        ("PatientID", "P?1", True),
        ("PatientID", "p*1", False),
        ("PatientID", "*1*", True),
        ("PatientID", "P*1*1", False),
        ("PatientID", "P1", False),
        ("PatientName", "DOE*", True),
        ("PatientName", "*jan?", True),
        ("PatientName", "Doe^J", False),
        ("OtherPatientNames", "poe*", True),
        (START, "20260304050607", True),
        (START, "20260304", False),
        (START, "20260304-20260304", True),
        (START, "20260304-", True),
        (START, "-20260303", False),
        (START, "20260305-", False),
        (START, "-20260304", True),
        (STATION, [], True),
        (STATION, [Dataset()], True),
        (STATION, [dataset_of(CodeValue="", CodeMeaning="*")], True),
        (STATION, [CODE], True),
        (STATION, [dataset_of(CodeValue="C")], False),
        ("InputInformationSequence", [dataset_of(TypeOfInstances="")], True),
        ("InputInformationSequence", [dataset_of(TypeOfInstances="DICOM")], False),
        ("ScheduledHumanPerformersSequence", [CODE], False),
    ],
)
def test_key(keyword: str, value: Any, expected: bool) -> None:
    assert matches(dataset_of(**{keyword: value}), STEP) is expected


def test_all_keys_have_to_match() -> None:
    assert matches(Dataset(), STEP)
    assert matches(dataset_of(PatientID="P*", PatientName="Doe*"), STEP)
    assert not matches(dataset_of(PatientID="P*", PatientName="Roe*"), STEP)


def test_sequence_and_value_do_not_match() -> None:
    mixed = Dataset()
    mixed.add_new(0x00100020, "SQ", [CODE])
    assert not matches(mixed, STEP)
    assert not matches(dataset_of(PatientID="A"), mixed)
    assert answer(mixed, STEP) == dataset_of(SpecificCharacterSet="ISO_IR 100", PatientID="P*1")


def test_many_stars_do_not_take_for_ever() -> None:
    started = time.perf_counter()
    key = dataset_of(TextValue="*a" * 200 + "b")
    assert not matches(key, dataset_of(TextValue="a" * 2000))
    assert time.perf_counter() - started < 1


def test_answer_has_what_was_asked_for() -> None:
    identifier = dataset_of(
        SpecificCharacterSet="ISO_IR 192",
        PatientID="*",
        AccessionNumber="",
        ScheduledHumanPerformersSequence=[CODE],
        ScheduledStationNameCodeSequence=[dataset_of(CodeValue="")],
        InputInformationSequence=[Dataset()],
    )
    assert answer(identifier, STEP) == dataset_of(
        SpecificCharacterSet="ISO_IR 100",
        PatientID="P*1",
        AccessionNumber=None,
        ScheduledHumanPerformersSequence=[],
        ScheduledStationNameCodeSequence=[
            dataset_of(CodeValue="B"),
            dataset_of(CodeValue="A"),
        ],
        InputInformationSequence=[],
    )
    assert answer(dataset_of(PatientID=""), dataset_of(PatientID="1")) == dataset_of(PatientID="1")


def test_answer_has_the_items_that_match() -> None:
    key = dataset_of(ScheduledStationNameCodeSequence=[dataset_of(CodeValue="A", CodingSchemeDesignator="")])
    assert answer(key, STEP) == dataset_of(SpecificCharacterSet="ISO_IR 100", ScheduledStationNameCodeSequence=[CODE])
