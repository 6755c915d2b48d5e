"""What may be asked for (PS3.4 C.4.1.1.3, C.4.2.1.4), and what is refused with A900H."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_transports._archive.index.identifiers import IdentifierError, read_query, read_retrieval
from dicom_transports._archive.keys import Level
from tests.archive.objects import query

FIND = {
    "patient": "1.2.840.10008.5.1.4.1.2.1.1",
    "study": "1.2.840.10008.5.1.4.1.2.2.1",
    "only": "1.2.840.10008.5.1.4.1.2.3.1",
}
GET = "1.2.840.10008.5.1.4.1.2.2.3"


@pytest.mark.parametrize(
    ("model", "identifier", "reason"),
    [
        ("study", Dataset(), "QueryRetrieveLevel is missing"),
        ("study", query("WARD"), "none of PATIENT"),
        ("study", query("PATIENT", PatientID=""), "no level PATIENT"),
        ("only", query("SERIES", PatientID="", StudyInstanceUID=""), "no level SERIES"),
        ("patient", query("STUDY", StudyInstanceUID=""), "PatientID is missing"),
        ("study", query("SERIES", SeriesInstanceUID=""), "StudyInstanceUID is missing"),
        ("study", query("IMAGE", StudyInstanceUID="1.2"), "SeriesInstanceUID is missing"),
        ("study", query("SERIES", StudyInstanceUID=["1.2", "1.3"]), "several values"),
        ("study", query("STUDY", StudyInstanceUID="1.2*"), "no list of UIDs"),
        ("study", query("STUDY", StudyInstanceUID="1" * 65), "no list of UIDs"),
        ("study", query("STUDY", PatientName=["*a"] * 513), "more than 1024 characters"),
        ("study", query("STUDY", PatientID="?*" * 8193), "more than 16384 characters"),
        ("study", query("STUDY", ProcedureCodeSequence=[Dataset(), Dataset()]), "more than one item"),
    ],
)
def test_refused(model: str, identifier: Dataset, reason: str) -> None:
    with pytest.raises(IdentifierError, match=reason) as refused:
        read_query(identifier, FIND[model])
    assert refused.value.status == 0xA900


@pytest.mark.parametrize(
    ("model", "identifier"),
    [
        ("patient", query("PATIENT", PatientName="")),
        ("patient", query("STUDY", PatientID="", StudyInstanceUID="")),
        ("patient", query("STUDY", PatientID="1")),
        ("study", query("STUDY", PatientName="*", StudyInstanceUID="*")),
        ("study", query("SERIES", StudyInstanceUID="1.2", SeriesInstanceUID=["1.2", "1.3"])),
    ],
)
def test_taken(model: str, identifier: Dataset) -> None:
    assert read_query(identifier, FIND[model]).level is Level[identifier.QueryRetrieveLevel]


def test_what_is_not_known_is_told() -> None:
    """PS3.4 C.4.1.1.4: then matches are FF01H; private keys, and those of levels below, are left out as well."""
    assert not read_query(query("STUDY", StudyDate=""), FIND["study"]).has_unknown
    assert read_query(query("STUDY", WindowCenter=""), FIND["study"]).has_unknown
    assert read_query(query("STUDY", SeriesNumber=""), FIND["study"]).has_unknown


def test_relational_queries_need_no_keys_above() -> None:
    assert read_query(query("IMAGE", PatientName="x*"), FIND["study"], is_relational=True).level is Level.IMAGE


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "has no value"),
        ({"StudyInstanceUID": ""}, "has no value"),
        ({"StudyInstanceUID": "*"}, "has no value"),
        ({"StudyInstanceUID": "1.2", "PatientID": "1*"}, "wild cards"),
    ],
)
def test_retrievals_that_are_refused(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(IdentifierError, match=reason):
        read_retrieval(query("STUDY", **keys), GET)


def test_of_a_retrieval_only_unique_keys_count() -> None:
    asked = query("STUDY", StudyInstanceUID=["1.2", "1.3"], StudyDate="20200101", SeriesInstanceUID="1.2")
    assert [one.key.keyword for one in read_retrieval(asked, GET).wanted] == ["StudyInstanceUID"]
