"""What pynetdicom's ``qrscp`` finds and refuses, by the expected values of its own tests, and where this differs."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import Engine

from dicom_transports._archive.index.identifiers import IdentifierError, read_query
from dicom_transports._archive.index.querying import find
from tests.archive.objects import image, indexed, query

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
CT, MR = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322", "1.3.6.1.4.1.5962.1.1.4.1.1.20040826185059.5457"
OBJECTS = [
    image("1.1.1", PatientName="CompressedSamples^CT1", StudyDate="20040119", SOPInstanceUID=CT),
    image("2.1.1", PatientName="CompressedSamples^MR1", StudyDate="20040826", SOPInstanceUID=f"{MR}.1"),
    image("2.1.2", PatientName="CompressedSamples^MR1", StudyDate="20040826", SOPInstanceUID=MR),
    image("3.1.1", PatientName="ANON^A^B^C^D", StudyDate="20150803"),
    image("4.1.1", PatientID="", PatientName="^^^^", StudyDate=""),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with indexed(tmp_path_factory.mktemp("archive"), *OBJECTS) as engine:
        yield engine


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({"StudyDate": "20000101-20200101"}, 4),
        ({"StudyDate": "20000101-20150101"}, 3),
        ({"StudyDate": "20000101-20010101"}, 0),
        ({"StudyDate": "20000101-"}, 4),
        ({"StudyDate": "20150101-"}, 1),
        ({"StudyDate": "20200101-"}, 0),
        ({"StudyDate": "-20200101"}, 4),
        ({"StudyDate": "-20150101"}, 3),
        ({"StudyDate": "-20010101"}, 0),
        ({"PatientName": ""}, 5),
        ({"PatientName": "CompressedSamples^CT1"}, 1),
        ({"PatientName": "*"}, 5),
        ({"PatientName": "CompressedSamples*"}, 3),
        ({"PatientName": "CompressedSamples^??1"}, 3),
        ({"PatientName": "CompressedSamples*", "StudyDate": "20000101-20040119"}, 1),
        ({"SOPInstanceUID": ""}, 5),
        ({"SOPInstanceUID": MR}, 1),
        ({"SOPInstanceUID": [MR, CT]}, 2),
        ({"SOPInstanceUID": [MR, CT, "1.3.46.423632.132218.1415242681.6"]}, 2),
    ],
)
def test_how_many_objects_match(engine: Engine, keys: dict[str, Any], count: int) -> None:
    identifier = query("IMAGE", **keys)
    assert len(list(find(engine, read_query(identifier, PATIENT_ROOT, is_relational=True)))) == count


def test_patients(engine: Engine) -> None:
    """It has a row for each object, and answers three times; a patient is one match (PS3.4 C.4.1.3.1.1)."""
    identifier = query("PATIENT", PatientID="", PatientName="CompressedSamples^??1")
    assert [one.values for one in find(engine, read_query(identifier, PATIENT_ROOT))] == [
        ["CompressedSamples^CT1", "P1"],
        ["CompressedSamples^MR1", "P2"],
    ]


@pytest.mark.parametrize(
    ("level", "keywords", "patient_root", "study_root"),
    [  # whether it answers
        ("PATIENT", "PatientName", True, False),
        ("PATIENT", "PatientID", True, False),
        ("STUDY", "PatientName", False, True),
        ("STUDY", "PatientID", True, True),
        ("STUDY", "PatientID PatientName", True, True),
        ("STUDY", "PatientID StudyInstanceUID", True, True),
        ("SERIES", "", False, False),
        ("SERIES", "PatientID", False, False),
        ("SERIES", "PatientName PatientID", False, False),
        ("SERIES", "StudyInstanceUID", False, True),
        ("SERIES", "PatientID StudyInstanceUID", True, True),
        ("IMAGE", "", False, False),
        ("IMAGE", "PatientID", False, False),
        ("IMAGE", "PatientID StudyInstanceUID", False, False),
        ("IMAGE", "PatientID StudyInstanceUID SeriesInstanceUID", True, True),
        ("DUMMY", "", False, False),
    ],
)
def test_which_identifiers_are_answered(level: str, keywords: str, patient_root: bool, study_root: bool) -> None:
    identifier = query(level, **dict.fromkeys(keywords.split(), ""))
    for model, is_answered in ((PATIENT_ROOT, patient_root), (STUDY_ROOT, study_root)):
        with nullcontext() if is_answered else pytest.raises(IdentifierError):
            read_query(identifier, model)


@pytest.mark.parametrize(("level", "keywords"), [("STUDY", "PatientID SOPInstanceUID"), ("SERIES", "SOPInstanceUID")])
def test_keys_of_levels_below_it_refuses(level: str, keywords: str) -> None:
    """Here they are left out, and matches are FF01H (PS3.4 C.4.1.1.4)."""
    keys = {"PatientID": "", "StudyInstanceUID": ""} | dict.fromkeys(keywords.split(), "")
    assert read_query(query(level, **keys), PATIENT_ROOT).has_unknown


def test_identifiers_without_keys_it_refuses() -> None:
    """Here they match everything at the highest level, as keys without a value do."""
    assert read_query(query("STUDY"), STUDY_ROOT).wanted == ()
