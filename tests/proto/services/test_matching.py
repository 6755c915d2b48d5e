"""Matching of worklist style queries."""

import re
from typing import Any

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_proto.services.matching import answer, matches, matches_instant, wild_card
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
    """To try all ways in which they could match would not end while somebody waits."""
    key = dataset_of(TextValue="*a" * 200 + "b")
    assert not matches(key, dataset_of(TextValue="a" * 2000))


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


# --- instants ---------------------------------------------------------------------------------------------------------


def starts(key: str, value: str, key_zone: str = "", zone: str = "") -> bool:
    """Whether a step that starts at a time is found by a key, each in its own zone or none."""
    identifier, candidate = Dataset(), Dataset()
    for dataset, text in ((identifier, key), (candidate, value)):
        dataset.add(DataElement(START, "DT", text, validation_mode=IGNORE))
    if key_zone:
        identifier.TimezoneOffsetFromUTC = key_zone
    if zone:
        candidate.TimezoneOffsetFromUTC = zone
    return matches(identifier, candidate)


@for_each(
    ("key", "value", "expected"),
    [
        ("20260304101500-0500", "20260304101500-0500", True),
        ("20260304101500-0500", "20260304151500+0000", True),
        ("20260304101500-0500", "20260304101500-0600", False),
        ("20260305101500-0500", "20260304101500-0500", False),
        ("20260304101500.000000-0500", "20260304151500+0000", True),
        ("20260304101500.5", "20260304101500", False),
        ("20260304-0500", "20260304-0500", True),
        ("20260304-0500", "20260304050000+0000", False),  # a day is not its first second
        ("20260304000000-0500-20260305000000-0500", "20260304101500-0500", True),
        ("20260305000000-0500-20260306000000-0500", "20260304101500-0500", False),
        ("20260304101500-0500-", "20260304101459-0500", False),
        ("20260304101500-0500-", "20260304151500+0000", True),
        ("-20260304101500-0500", "20260304101500-0500", True),
        ("-20260304101500-0500", "20260304101501-0500", False),
        ("20260304-0500 - 20260304-0500", "20260305045959.999999+0000", True),
        ("20260304-0500 - 20260304-0500", "20260305050000+0000", False),
        ("2026-2027", "20271231235959", True),
        ("2026-2027", "2028", False),
        ("202602-202602", "20260228", True),
        ("202602-202602", "20260301", False),
        ("2026030410-2026030410", "202603041059", True),
        ("202603041015-202603041015", "20260304101559.9", True),
        ("202603041015-202603041015", "20260304101600", False),
        ("20260304101500-20260304101500", "20260304101500.25", True),
        ("20261231235960", "20270101000000", True),  # a leap second
        # without an offset it is a time at the same place
        ("20260304101500", "20260304101500-0500", True),
        ("20260304101500-0500", "20260304101500", True),
        ("20260304-20260304", "20260304235959-0500", True),
        # what is no date and time is compared as text
        ("20260231", "20260231", True),
        ("20260231-20260301", "20260231", True),
        ("99991231-99991231", "99991231", True),
        ("whenever", "whenever", True),
        ("20260304", "whenever", False),
        ("--", "20260304", False),
    ],
)
def test_dates_with_times_are_instants(key: str, value: str, expected: bool) -> None:
    """PS3.5 6.2 (DT), PS3.4 C.2.2.2.5.3: a worklist west of Greenwich does not stay empty."""
    assert starts(key, value) is expected


def test_the_offset_of_a_data_set_is_that_of_its_times() -> None:
    """Timezone Offset From UTC (0008,0201): PS3.3 C.12.1, PS3.4 C.4.1.1.3.1."""
    assert starts("20260304101500", "20260304151500", "-0500", "+0000")
    assert not starts("20260304101500", "20260304101500", "-0500", "+0000")
    assert starts("20260304101500", "20260304151500+0000", "-0500")
    assert starts("20260304101500-0500", "20260304171500", "", "+0200")
    assert starts("20260304101500", "20260304101500", "nonsense")
    key, step = dataset_of(TimezoneOffsetFromUTC="-0500"), dataset_of(TimezoneOffsetFromUTC="+0000")
    key.ScheduledHumanPerformersSequence = [dataset_of(**{START: "20260304101500"})]
    step.ScheduledHumanPerformersSequence = [dataset_of(**{START: f"2026030{day}151500"}) for day in (4, 5)]
    assert matches(key, step)
    assert len(answer(key, step).ScheduledHumanPerformersSequence) == 1


def test_an_answer_says_what_its_times_mean() -> None:
    """PS3.4 CC.2.8.1.3.3; dcm4chee-arc-light#4824."""
    step = dataset_of(TimezoneOffsetFromUTC="-0500", **{START: "20260304101500"})
    assert answer(dataset_of(**{START: ""}), step) == step
    assert answer(dataset_of(TimezoneOffsetFromUTC="", **{START: ""}), step) == step
    assert "TimezoneOffsetFromUTC" not in answer(dataset_of(TimezoneOffsetFromUTC=""), dataset_of(PatientID="1"))


@for_each(
    ("wanted", "value", "zones", "expected"),
    [
        ("20240101120000+0000", "20240101130000", {"value_zone": "+0100"}, True),
        ("20240101120000-20240101130000", "20240101123000", {}, True),
        ("20240101120000", "20240101100000-0200", {"key_zone": "+0000"}, True),
        ("20240101120000", "20240101100000", {}, False),
    ],
)
def test_one_instant(wanted: str, value: str, zones: dict[str, str], expected: bool) -> None:
    assert matches_instant(wanted, value, **zones) is expected


def test_pattern_of_wild_cards() -> None:
    assert re.fullmatch(wild_card("a*b?[c]"), "axxbx[c]")
    assert not re.fullmatch(wild_card("a*b"), "ab.")
