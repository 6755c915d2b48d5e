"""Values to bytes (PS3.5 6.2): what a VR cannot have is refused in words that do not have it."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any

import numpy
import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.valuerep import DA, DT, TM, DSdecimal

from dicom_proto.encoding.character_sets import DEFAULT, CharacterSets, UnexpressibleError
from dicom_proto.encoding.packing import UnpackableError, pack
from tests.proto.rows import for_each

TAG = 0x00091001
LATIN = CharacterSets.of("ISO_IR 100")


def element(vr: str, value: Any, tag: int = TAG) -> DataElement:
    return DataElement(tag, vr, value, validation_mode=IGNORE)


def held(vr: str, value: Any) -> DataElement:
    """An element that holds what pydicom would not let in."""
    return DataElement(TAG, vr, value, already_converted=True)


def packed(one: DataElement, *, little: bool = True, sets: CharacterSets = DEFAULT) -> bytes:
    return pack(one, one.VR, sets, little=little)


@for_each(
    ("vr", "value", "raw"),
    [
        ("AE", "STORE", b"STORE"),
        ("AT", 0x00100020, b"\x10\0\x20\0"),
        ("AT", [0x00100020, 0x7FE00010], b"\x10\0\x20\0\xe0\x7f\x10\0"),
        ("CS", ["CT", "MR"], b"CT\\MR"),
        ("DA", "20260304", b"20260304"),
        ("DS", "1.50", b"1.50"),
        ("DS", 1.5, b"1.5"),
        ("DS", [1, "2.0"], b"1.0\\2.0"),
        ("FD", 1.5, b"\0\0\0\0\0\0\xf8\x3f"),
        ("IS", [1, "02"], b"1\\02"),
        ("LO", "one", b"one"),
        ("LO", ["one", "two"], b"one\\two"),
        ("LT", "one\\two", b"one\\two"),
        ("OB", b"ab", b"ab"),
        ("PN", "Doe^Jane", b"Doe^Jane"),
        ("PN", ["Doe", "Roe"], b"Doe\\Roe"),
        ("SS", [-1, 2], b"\xff\xff\2\0"),
        ("SV", -1, b"\xff" * 8),
        ("UI", "1.2.3", b"1.2.3"),
        ("US", 1, b"\1\0"),
        ("US", [1, 2], b"\1\0\2\0"),
        ("LO", None, b""),
        ("LO", "", b""),
        ("US", None, b""),
        ("CS", [], b""),
        ("US", 0, b"\0\0"),
        ("LO", b"bytes", b"bytes"),
    ],
)
def test_values_of_each_vr(vr: str, value: Any, raw: bytes) -> None:
    assert packed(element(vr, value)) == raw


def test_byte_order() -> None:
    assert packed(element("US", 1), little=False) == b"\0\1"
    assert packed(element("AT", 0x00100020), little=False) == b"\0\x10\0\x20"


def test_text_is_in_its_character_set() -> None:
    assert packed(element("LO", "Müller"), sets=LATIN) == b"M\xfcller"
    for vr in ("LO", "PN", "UT"):
        with pytest.raises(UnexpressibleError):
            packed(element(vr, "Müller"))


def test_a_name_that_pydicom_has_spoilt_is_not_sent() -> None:
    """pydicom keeps what it once wrote for a name: with question marks, if it was written in a set that lacks it."""
    name = element("PN", "Тест")
    with pytest.warns(UserWarning, match="replacement characters"):
        name.value.encode(["latin_1"])
    with pytest.raises(UnexpressibleError):
        packed(name, sets=LATIN)


@for_each(
    ("vr", "value", "raw"),
    [
        ("DA", DA("20260304"), b"20260304"),
        ("DA", date(2026, 3, 4), b"20260304"),
        ("DT", DT("20260304101500-0500"), b"20260304101500-0500"),
        ("DT", datetime(2026, 3, 4, 10, 15, tzinfo=UTC), b"20260304101500+0000"),
        ("DT", datetime(2026, 3, 4, 10, 15, 0, 5, tzinfo=UTC), b"20260304101500.000005+0000"),
        ("TM", TM("1015"), b"1015"),
        ("TM", time(10, 15), b"101500"),
        ("TM", time(10, 15, 0, 5), b"101500.000005"),
        ("DS", DSdecimal("1.50"), b"1.50"),
        ("DS", Decimal("1.5"), b"1.5"),
        ("DS", numpy.array([1.5, 2.0]), b"1.5\\2.0"),
        ("IS", numpy.int64(3), b"3"),
        ("US", numpy.array([1, 2]), b"\1\0\2\0"),
        ("CS", ["CT", None], b"CT\\"),
        ("OB", bytearray(b"ab"), b"ab"),
    ],
)
def test_other_things_that_users_have_in_elements(vr: str, value: Any, raw: bytes) -> None:
    assert packed(held(vr, value)) == raw


def test_an_open_file_stays_where_it_is() -> None:
    buffer = BytesIO(b"12345678")
    buffer.seek(2)
    assert packed(DataElement(0x7FE00010, "OB", buffer)) == b"345678"
    assert buffer.tell() == 2


def test_the_number_of_entries_of_a_table_is_never_negative() -> None:
    """PS3.3 C.11.1.1.1."""
    table = DataElement(0x00283002, "SS", [40_000, -5, 16], already_converted=True)
    assert packed(table) == b"\x40\x9c\xfb\xff\x10\0"


@for_each(
    ("vr", "value"),
    [
        ("US", "SECRET"),
        ("US", 70_000),
        ("US", -1),
        ("US", 1.5),
        ("FD", "SECRET"),
        ("FL", 1e300),
        ("AT", "SECRET"),
        ("AT", -1),
        ("OB", "SECRET"),
        ("LO", object()),
        ("UI", "SECRET.é"),
        ("DS", "SECRETé"),
        ("ZX", "SECRET"),
    ],
)
def test_values_that_are_none(vr: str, value: Any) -> None:
    with pytest.raises(UnpackableError) as caught:
        packed(held(vr, value))
    assert "SECRET" not in str(caught.value)
    assert "70" not in str(caught.value)
