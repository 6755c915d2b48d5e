"""Answers that are encoded from rows: the same bytes as pydicom makes of a Dataset."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_proto.encoding.character_sets import CharacterSets
from dicom_transports._archive.index.rows import Encoder
from dicom_transports._archive.keys import COLUMNS, Level

ALL = sorted((key.tag, key.vr) for level in Level for key in COLUMNS[level])
FIELDS = sorted({vr: (tag, vr) for tag, vr in ALL}.values())  # one of each VR
VALUES = {"US": st.integers(0, 0xFFFF).map(str), "UI": st.from_regex(r"[1-9](\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)}
VALUES |= dict.fromkeys(("DS", "IS"), st.integers(-999, 999).map(str))
VALUES["PN"] = st.from_regex(r"[A-Z]{1,9}(\^[a-z]{1,9}){0,3}(=[A-Z]{1,9})?", fullmatch=True)
ANY = st.text("ABC abc1-9", max_size=20).map(str.strip)


def of_pydicom(values: list[str | None], *, explicit: bool, sets: str = "") -> bytes:
    dataset = Dataset()
    if sets:
        dataset.SpecificCharacterSet = sets
    for (tag, vr), value in zip(FIELDS, values, strict=True):
        number = int(value) if vr == "US" and value else value
        dataset[tag] = DataElement(tag, vr, number, validation_mode=IGNORE)
    into = DicomBytesIO()
    into.is_little_endian, into.is_implicit_VR = True, not explicit
    write_dataset(into, dataset)
    return into.getvalue()


@pytest.mark.parametrize("explicit", [True, False])
@settings(max_examples=50)
@given(values=st.tuples(*(st.none() | VALUES.get(vr, ANY) for _, vr in FIELDS)))
def test_as_pydicom(explicit: bool, values: tuple[str | None, ...]) -> None:
    assert all(dictionary_VR(tag) == vr for tag, vr in ALL)
    assert Encoder(FIELDS, explicit).compiled()(values) == of_pydicom(list(values), explicit=explicit)


@pytest.mark.parametrize(
    ("wanted", "name", "stated"),
    [
        ("ISO_IR 100", "Müller", "ISO_IR 100"),
        ("ISO_IR 192", "山田", "ISO_IR 192"),
        ("ISO_IR 100", "山田", "ISO_IR 192"),
        ("", "Müller", "ISO_IR 192"),
        ("ISO_IR 100", "Miller", ""),
    ],
)
def test_character_sets(wanted: str, name: str, stated: str) -> None:
    """PS3.4 C.4.1.1.3.2: in the set of the request where that has all of the text."""
    values = [name if vr == "PN" else None for _, vr in FIELDS]
    made = Encoder(FIELDS, True, CharacterSets.of(wanted)).compiled()(values)
    assert made == of_pydicom(values, explicit=True, sets=stated)


def test_what_cannot_be_encoded_has_no_value() -> None:
    fields = [(0x00280010, "US"), (0x00080060, "CS")]
    made = Encoder(fields, True).compiled()
    assert made(["seventy", "Ü"]) == made([None, None])
