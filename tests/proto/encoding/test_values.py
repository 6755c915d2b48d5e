"""Bytes to values (PS3.5 6.2): whatever a peer sends is kept, and what is wrong with it is said without it."""

import struct
from datetime import date
from typing import Any

import pytest
from pydicom import config
from pydicom.multival import MultiValue
from pydicom.valuerep import IS, DSfloat, PersonName

from dicom_proto.encoding.character_sets import DEFAULT, CharacterSets
from dicom_proto.encoding.values import read_value
from tests.proto.rows import for_each

TAG = 0x00091001


def read(vr: str, raw: bytes, tag: int = TAG, *, little: bool = True, sets: CharacterSets = DEFAULT) -> tuple[str, Any]:
    return read_value(vr, raw, tag, little=little, sets=sets)


@for_each(
    ("vr", "raw", "value"),
    [
        ("AE", b" STORE \\ OTHER", ["STORE", "OTHER"]),
        ("AS", b"034Y", "034Y"),
        ("AT", b"\x10\0\x20\0", 0x00100020),
        ("AT", b"\x10\0\x20\0\x10\0\x30\0", [0x00100020, 0x00100030]),
        ("CS", b"CT\\MR ", ["CT", "MR"]),
        ("DA", b"20260304", "20260304"),
        ("DS", b"1.50\\2 ", [1.5, 2]),
        ("DS", b" 1.50 ", 1.5),
        ("DT", b"20260304101500", "20260304101500"),
        ("FD", struct.pack("<d", 1.5), 1.5),
        ("FL", struct.pack("<f", 1.5), 1.5),
        ("IS", b"12 ", 12),
        ("LO", b"one\\two ", ["one", "two"]),
        ("LT", b"one\\two ", "one\\two"),
        ("OB", b"\0\1", b"\0\1"),
        ("PN", b"Doe^Jane ", "Doe^Jane"),
        ("PN", b"Doe\\Roe ", ["Doe", "Roe"]),
        ("SL", struct.pack("<l", -3), -3),
        ("SS", struct.pack("<hh", -3, 4), [-3, 4]),
        ("SV", struct.pack("<q", -3), -3),
        ("TM", b"101500", "101500"),
        ("UI", b"1.2.3\\LOCALIZER1.02\0", ["1.2.3", "LOCALIZER1.02"]),
        ("UI", b"1.2.3\0", "1.2.3"),
        ("UL", struct.pack("<L", 3), 3),
        ("UN", b"abc", b"abc"),
        ("UR", b"http://a\\b ", "http://a\\b"),
        ("US", struct.pack("<H", 3), 3),
        ("UV", struct.pack("<Q", 3), 3),
        ("US", b"", None),
        ("LO", b"", ""),
        ("OW", b"", None),
    ],
)
def test_values_of_each_vr(vr: str, raw: bytes, value: Any) -> None:
    assert read(vr, raw) == (vr, value)


def test_values_are_what_pydicom_has() -> None:
    assert type(read("PN", b"Doe")[1]) is PersonName
    assert type(read("DS", b"1.50")[1]) is DSfloat
    assert str(read("DS", b"1.50")[1]) == "1.50"
    assert type(read("IS", b"1")[1]) is IS
    several = read("UI", b"1.2\\1.3")[1]
    assert isinstance(several, MultiValue)
    several.append("1.04")
    assert several == ["1.2", "1.3", "1.04"]


def test_numbers_have_a_byte_order() -> None:
    assert read("US", b"\0\1", little=False) == ("US", 1)
    assert read("AT", b"\0\x10\0\x20", little=False) == ("AT", 0x00100020)


def test_the_number_of_entries_of_a_table_is_never_negative() -> None:
    """PS3.3 C.11.1.1.1: the first and third value of a LUT Descriptor are unsigned, whatever its VR is."""
    raw = struct.pack("<Hhh", 40_000, -5, 16)
    assert read("SS", raw, 0x00283002) == ("SS", [40_000, -5, 16])
    assert read("SS", raw) == ("SS", [40_000 - 65_536, -5, 16])


@pytest.mark.parametrize(
    ("vr", "raw"), [("AT", b"abcdef"), ("US", b"abc"), ("FD", b"abcd"), ("SV", b"ab"), ("FL", b"abcdef")]
)
def test_what_is_no_whole_value_is_kept(vr: str, raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is not shortened: nobody knows which part of it was meant (PS3.5 6.2.2)."""
    assert read(vr, raw) == ("UN", raw)
    assert f"(0009,1001) has {len(raw)} bytes, no whole values of VR {vr}" in caplog.text
    assert "abc" not in caplog.text


@pytest.mark.parametrize(
    ("vr", "raw", "value"),
    [("IS", b"SECRET", "SECRET"), ("DS", b"1.5\\SECRET", ["1.5", "SECRET"]), ("IS", b"1.5", 1.5), ("DS", b" ", "")],
)
def test_what_is_no_number_stays_text(vr: str, raw: bytes, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert read(vr, raw) == (vr, value)
    assert ("has a value that is none" in caplog.text) == (b"SECRET" in raw)
    assert "SECRET" not in caplog.text


def test_a_vr_that_is_none(caplog: pytest.LogCaptureFixture) -> None:
    assert read("ZX", b"SECRET") == ("UN", b"SECRET")
    assert "(0009,1001) has a value representation that is none" in caplog.text
    assert "SECRET" not in caplog.text


def test_text_is_in_its_character_set(caplog: pytest.LogCaptureFixture) -> None:
    latin, greek = CharacterSets.of("ISO_IR 100"), CharacterSets.of("ISO_IR 192")
    assert read("LO", b"M\xfcller", sets=latin) == ("LO", "Müller")
    assert read("PN", b"M\xfcller", sets=latin) == ("PN", "Müller")
    assert read("UT", b"M\xfcller") == ("UT", "Müller")  # many devices state no character set at all
    assert not caplog.text
    assert read("LO", b"M\xfcller", sets=greek) == ("LO", "M�ller")
    assert "(0009,1001) has bytes that its character set does not have" in caplog.text
    assert "ller" not in caplog.text


def test_what_the_user_has_chosen_of_pydicom(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(config, "datetime_conversion", True)
    assert read("DA", b"20260304") == ("DA", date(2026, 3, 4))
    assert read("DA", b"SECRET") == ("DA", "SECRET")
    monkeypatch.setattr(config, "use_DS_numpy", True)
    monkeypatch.setattr(config, "use_IS_numpy", True)
    assert read("IS", b"1\\2")[1].tolist() == [1, 2]
    assert read("IS", b"SECRET") == ("IS", "SECRET")
    assert read("DS", b"SECRET") == ("DS", "SECRET")
    assert "SECRET" not in caplog.text
