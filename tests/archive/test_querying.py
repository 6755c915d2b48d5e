"""What is found (PS3.4 C.2.2.2, C.4.1.3), in an index alone."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from dicom_transports._archive.index.identifiers import read_query, read_retrieval
from dicom_transports._archive.index.querying import find, instances
from dicom_transports._archive.keys import COLUMNS, COMPUTED, SEQUENCES, UNIQUE, Level
from tests.archive.objects import image, indexed, query

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"


def found(
    directory: Path, datasets: list[Dataset], identifier: Dataset, model: str = STUDY_ROOT, **how: Any
) -> list[list[str | None]]:
    """Return the values of the matches."""
    with indexed(directory, *datasets) as engine:
        return [one.values for one in find(engine, read_query(identifier, model, is_relational=True), **how)]


def ids(directory: Path, datasets: list[Dataset], level: str = "STUDY", /, **keys: Any) -> list[str]:
    """Return which patients match, by the last character of their ID."""
    how = {name: keys.pop(name) for name in ("fuzzy", "unknown_matches") if name in keys}
    identifier = query(level, **({"PatientID": ""} | keys))
    no_keys = ("QueryRetrieveLevel", "SpecificCharacterSet")
    place = [element.keyword for element in identifier if element.keyword not in no_keys].index("PatientID")
    return [str(values[place])[-1:] for values in found(directory, datasets, identifier, PATIENT_ROOT, **how)]


PEOPLE = [
    image("1.1.1", PatientName="Doe^Jane", StudyDate="20200101", StudyTime="101500", PatientSex="F"),
    image("2.1.1", PatientName="DOE^John", StudyDate="20200215", StudyTime="10", AccessionNumber="A*1"),
    image("3.1.1", PatientName="Roe^Ann", StudyDate="2021.03.01", StudyTime="235959.5", PatientWeight="72.50"),
    image("4.1.1", PatientName="", StudyDate="", OtherPatientNames=["Poe^Eve", "Moe^Max"]),
]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "1234"),
        ({"PatientName": "Doe^Jane"}, "1"),
        ({"PatientName": "doe^*"}, "12"),
        ({"PatientName": "?oe^J*"}, "12"),
        ({"PatientName": "*"}, "1234"),
        ({"PatientName": "Doe"}, ""),
        ({"PatientID": "P1"}, "1"),
        ({"PatientID": "P?"}, "1234"),
        ({"PatientID": "p1"}, ""),
        ({"AccessionNumber": "A*1"}, "2"),
        ({"PatientSex": "F"}, "1"),
        ({"OtherPatientNames": "Moe^Max"}, "4"),
        ({"StudyDate": "20200101"}, "1"),
        ({"StudyDate": "20200101-20200331"}, "12"),
        ({"StudyDate": "20210301"}, "3"),
        ({"StudyDate": "20200201-"}, "23"),
        ({"StudyDate": "-20200131"}, "1"),
        ({"StudyTime": "1015"}, "1"),
        ({"StudyTime": "10:15:00"}, "1"),
        ({"StudyTime": "1000-1030"}, "12"),
        ({"StudyTime": "235959.500000"}, "3"),
        ({"StudyInstanceUID": ["1.2.1.1", "1.2.3.1", "1.2.9"]}, "13"),
        ({"PatientWeight": "72.5"}, "3"),
        ({"ModalitiesInStudy": "MR"}, ""),
        ({"ModalitiesInStudy": ["MR", "CT"]}, "1234"),
        ({"ModalitiesInStudy": "C?"}, "1234"),
        ({"SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2"}, "1234"),
        ({"NumberOfStudyRelatedInstances": "7"}, "1234"),
    ],
)
def test_kinds_of_matching(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    assert "".join(ids(tmp_path, PEOPLE, **keys)) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"PatientName": "^".join(["Doe", "Jane", *"a" * 500])}, ""),
        ({"PatientName": ["Doe^Jane", *["x"] * 1000]}, "1"),
        ({"PatientName": "doe" + "*?" * 500}, ""),
        ({"PatientID": ["P1", *["?*"] * 4000, "P2"]}, "1234"),
        ({"PatientID": "?*" * 8192}, ""),
        ({"StudyDate": ["20200101"] * 2000}, "1"),
        ({"StudyTime": "zz-"}, ""),
        ({"PatientWeight": "nan"}, ""),
        ({"PatientWeight": "1e400"}, ""),
        ({"ModalitiesInStudy": ["C*"] * 5000}, "1234"),
        ({"StudyInstanceUID": ["1.2.1.1", *[f"1.2.3.{number}" for number in range(9999)]]}, "13"),
    ],
)
@pytest.mark.parametrize("fuzzy", [False, True])
def test_the_worst_that_is_answered(tmp_path: Path, fuzzy: bool, keys: dict[str, Any], expected: str) -> None:
    """Keys as long as they may be, and without a meaning, are answered as others are."""
    assert "".join(ids(tmp_path, PEOPLE, fuzzy=fuzzy, **keys)) == expected


def test_unknown_values(tmp_path: Path) -> None:
    """PS3.4 C.2.2.1.2, by setting: who has no name matches whatever it has to be."""
    assert ids(tmp_path, PEOPLE, PatientName="Doe^J*") == ["1", "2"]
    assert ids(tmp_path, PEOPLE, PatientName="Doe^J*", unknown_matches=True) == ["1", "2", "4"]


NAMES = [
    image("1.1.1", SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"),
    image("2.1.1", SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen"),
    image("3.1.1", SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoDong=王^小東"),
]


@pytest.mark.parametrize(
    ("key", "fuzzy", "expected"),
    [
        ("山田*", False, "1"),
        ("Yamada^*", False, "1"),
        ("*=山田^太郎", False, "1"),
        ("=山田*", False, "1"),
        ("王^小東", False, "3"),
        ("müller^jürgen", False, "2"),
        ("Muller*", False, ""),
        ("Muller", True, "2"),
        ("jurgen mull", True, "2"),
        ("xiaodong", True, "3"),
        ("dong", True, ""),
    ],
)
def test_names_in_any_script(tmp_path: Path, key: str, fuzzy: bool, expected: str) -> None:
    """Names that are stored in ISO 2022 IR 87 are found by a key in any character set."""
    assert "".join(ids(tmp_path, NAMES, PatientName=key, fuzzy=fuzzy, SpecificCharacterSet="ISO_IR 192")) == expected


def test_sequences(tmp_path: Path) -> None:
    """PS3.4 C.2.2.2.6: the items that match, with what was asked for of them."""
    codes = [Dataset(), Dataset()]
    for code, value in zip(codes, ("1", "2"), strict=True):
        code.CodeValue, code.CodeMeaning = value, "Müller"
    has = image("1.1.1", SpecificCharacterSet="ISO_IR 100", ProcedureCodeSequence=codes)
    wanted = Dataset()
    wanted.CodeValue, wanted.CodeMeaning = "2", ""
    identifier = query("STUDY", StudyInstanceUID="", ProcedureCodeSequence=[wanted])
    with indexed(tmp_path, has, image("2.1.1")) as engine:
        (only,) = find(engine, read_query(identifier, STUDY_ROOT))
        ((tag, items),) = only.sequences.items()
        assert (tag, [item.CodeMeaning for item in items]) == (0x00081032, ["Müller"])
        everything = query("STUDY", ProcedureCodeSequence=[Dataset()])
        matches = list(find(engine, read_query(everything, STUDY_ROOT)))
        assert [len(one.sequences[tag]) for one in matches] == [2, 0]


def test_numbers_of_what_belongs_to_it(tmp_path: Path) -> None:
    """PS3.4 C.3.4: computed attributes."""
    several = [
        image("1.1.1"),
        image("1.1.2"),
        image("1.2.1", Modality="MR"),
        image("1.2.2", SeriesInstanceUID="1.2.9", Modality="SR"),
        image("2.1.1"),
    ]
    studies = query(
        "STUDY", ModalitiesInStudy="", SOPClassesInStudy="", StudyInstanceUID="", NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="", NumberOfPatientRelatedStudies="",
    )  # fmt: skip
    ct = "1.2.840.10008.5.1.4.1.1.2"
    assert found(tmp_path, several, studies) == [
        ["CT", ct, "1.2.1.1", "2", "1", "2"],
        ["MR\\SR", ct, "1.2.1.2", "2", "2", "2"],
        ["CT", ct, "1.2.2.1", "1", "1", "1"],
    ]


def test_more_than_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_transports._archive.index.querying._PAGE", 3)
    for count in (0, 3, 7):
        many = [image(f"1.1.{number}") for number in range(1, count + 1)]
        directory = tmp_path / str(count)
        directory.mkdir()
        rows = found(directory, many, query("IMAGE", SOPInstanceUID=""))
        assert [values[0] for values in rows] == [str(one.SOPInstanceUID) for one in many]


@pytest.mark.parametrize("level", list(Level))
def test_every_key_is_returned_and_matched(tmp_path: Path, level: Level) -> None:
    """Each attribute of the index, at its level: with a value of its own it is found, with another one not."""
    samples = {"DA": "20200101", "TM": "101500", "DT": "20200101101500", "UI": "1.2.1.1", "AS": "012Y", "US": 7}
    samples |= {"IS": "7", "DS": "7"}
    made = image("1.1.1")
    for key in COLUMNS[level]:
        if key.keyword not in made:
            setattr(made, key.keyword, samples.get(key.vr, "X"))
    with indexed(tmp_path, made) as engine:
        for key in COLUMNS[level]:
            value = made[key.keyword].value
            identifier = query(level.name, **{key.keyword: value})
            matches = list(find(engine, read_query(identifier, PATIENT_ROOT, is_relational=True)))
            assert [one.values for one in matches] == [[str(value)]], key.keyword
            other = 8 if key.vr in {"US", "IS", "DS"} else {"DA": "20210101", "TM": "11", "UI": "1.9"}.get(key.vr, "Y")
            if key.vr == "DT":
                other = "20210101"
            identifier = query(level.name, **{key.keyword: other})
            assert not list(find(engine, read_query(identifier, PATIENT_ROOT, is_relational=True))), key.keyword
        for key in SEQUENCES[level] + COMPUTED[level]:
            identifier = query(level.name, **{key.keyword: [] if key.vr == "SQ" else ""})
            (only,) = find(engine, read_query(identifier, PATIENT_ROOT, is_relational=True))
            assert only.sequences == {key.tag: []} if key.vr == "SQ" else only.values[0]


STATED = {  # PS3.4 C.6.1.1.2 to C.6.1.1.5, C.6.2.1.2
    Level.PATIENT: """
        PatientName PatientID IssuerOfPatientID ReferencedPatientSequence PatientBirthDate PatientBirthTime PatientSex
        OtherPatientIDsSequence OtherPatientNames EthnicGroup PatientComments NumberOfPatientRelatedStudies
        NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances
        """,
    Level.STUDY: """
        StudyDate StudyTime AccessionNumber StudyID StudyInstanceUID ModalitiesInStudy SOPClassesInStudy
        AnatomicRegionsInStudyCodeSequence ReferringPhysicianName StudyDescription ProcedureCodeSequence
        NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription ReferencedStudySequence PatientAge PatientSize
        PatientWeight Occupation AdditionalPatientHistory OtherStudyNumbers NumberOfStudyRelatedSeries
        NumberOfStudyRelatedInstances
        """,
    Level.SERIES: "Modality SeriesNumber SeriesInstanceUID NumberOfSeriesRelatedInstances",
    Level.IMAGE: """
        InstanceNumber SOPInstanceUID SOPClassUID AvailableTransferSyntaxUID AlternateRepresentationSequence
        RelatedGeneralSOPClassUID ConceptNameCodeSequence ContentTemplateSequence ContainerIdentifier
        SpecimenDescriptionSequence
        """,
}


@pytest.mark.parametrize(("level", "keyword"), [(level, word) for level in Level for word in STATED[level].split()])
def test_no_key_of_the_standard_is_unknown(level: Level, keyword: str) -> None:
    vr = dictionary_VR(keyword)
    identifier = query(level.name, **{keyword: [] if vr == "SQ" else ""})
    read = read_query(identifier, PATIENT_ROOT, is_relational=True)
    assert ([one.key.keyword for one in read.wanted], read.has_unknown) == ([keyword], False)


@pytest.mark.parametrize(
    ("level", "keys", "count"),
    [
        ("PATIENT", {"PatientID": "P1"}, 3),
        ("STUDY", {"StudyInstanceUID": ["1.2.1.1", "1.2.2.1"]}, 3),
        ("STUDY", {"PatientID": "P2", "StudyInstanceUID": "1.2.1.1"}, 0),
        ("SERIES", {"SeriesInstanceUID": "1.2.1.2.1"}, 1),
        ("IMAGE", {"SOPInstanceUID": "1.2.1.1.1.2"}, 1),
    ],
)
def test_what_is_retrieved(tmp_path: Path, level: str, keys: dict[str, Any], count: int) -> None:
    model = "1.2.840.10008.5.1.4.1.2.1.3"
    with indexed(tmp_path, image("1.1.1"), image("1.1.2"), image("1.2.1"), image("2.1.1")) as engine:
        assert len(instances(engine, read_retrieval(query(level, **keys), model))) == count


def test_unique_keys_are_of_their_levels() -> None:
    for level, unique in zip(Level, UNIQUE, strict=True):
        assert unique in {key.keyword for key in COLUMNS[level]}
