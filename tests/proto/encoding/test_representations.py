"""Which VR an element has (PS3.5 6.2.2, A.1, A.2; PS3.6)."""

from typing import Any

import pytest
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.encoding.representations import (
    is_context,
    is_undefined,
    named,
    pixel_representation,
    settle,
    small_number,
    swap,
    vr_of,
    width_of,
)
from dicom_proto.encoding.structure import UNDEFINED
from tests.proto.encoding.lay import EXPLICIT, IMPLICIT, explicit, implicit
from tests.proto.programs.script import dataset_of
from tests.proto.rows import for_each

CREATOR = "GEMS_IDEN_01"


def settled(vr: str, keyword: str | int, size: int = 2, implicit: bool = False, **around: Any) -> str:
    dataset = dataset_of(**around)
    tag = Tag(keyword)
    return settle(
        vr, tag, size, dataset, implicit=implicit, get_pixel_representation=lambda: pixel_representation([dataset])
    )


@for_each(
    ("vr", "keyword", "arguments", "expected"),
    [
        ("US or SS", "SmallestImagePixelValue", {}, "US"),
        ("US or SS", "SmallestImagePixelValue", {"PixelRepresentation": 0}, "US"),
        ("US or SS", "SmallestImagePixelValue", {"PixelRepresentation": 1}, "SS"),
        ("US or OW", "LUTData", {"LUTDescriptor": [1, 0, 16]}, "US"),
        ("US or OW", "LUTData", {"LUTDescriptor": [256, 0, 16], "size": 512}, "OW"),
        ("US or OW", "LUTData", {}, "US"),
        ("US or OW", "LUTData", {"size": 512}, "OW"),
        ("US or SS or OW", "GrayLookupTableData", {}, "OW"),
        ("OB or OW", "PixelData", {"BitsAllocated": 8}, "OB"),
        ("OB or OW", "PixelData", {"BitsAllocated": 8, "implicit": True}, "OW"),
        ("OB or OW", "PixelData", {"BitsAllocated": 16}, "OW"),
        ("OB or OW", "PixelData", {}, "OW"),
        ("OB or OW", "PixelData", {"size": UNDEFINED, "implicit": True}, "OB"),
        ("OB or OW", "WaveformData", {"WaveformBitsAllocated": 8}, "OB"),
        ("OB or OW", "WaveformData", {"WaveformBitsAllocated": 16}, "OW"),
        ("OB or OW", "DarkCurrentCounts", {}, "OW"),
        ("OB or OW", 0x60003000, {"BitsAllocated": 8}, "OW"),
        ("OB or OW", 0x50023000, {"implicit": True}, "OB"),
        ("OB or OW", 0x5002200C, {}, "OW"),
    ],
)
def test_what_the_dictionary_leaves_open_is_settled(
    vr: str, keyword: Any, arguments: dict[str, Any], expected: str
) -> None:
    assert settled(vr, keyword, **arguments) == expected


def test_audio_samples_have_one_byte_or_two() -> None:
    dataset = Dataset()
    dataset.add_new(0x50022002, "US", 1)
    for group, vr in ((0x5002, "OB"), (0x5004, "OW")):
        found = settle(
            "OB or OW", group << 16 | 0x200C, 2, dataset, implicit=True, get_pixel_representation=lambda: None
        )
        assert found == vr


AMBIGUOUS = [tag for tag, entry in DicomDictionary.items() if " or " in entry[0]] + [
    int(mask.replace("x", "0"), 16) for mask, entry in RepeatersDictionary.items() if " or " in entry[0]
]


def test_every_ambiguous_element_of_the_dictionary_is_sent_in_explicit_vr() -> None:
    """pynetdicom#3: curves, palettes and perimeters for a peer that takes explicit VR only."""
    assert len(AMBIGUOUS) == 38
    for tag in AMBIGUOUS:
        data = implicit(0x00080016, b"1.2 ") + implicit(tag, b"\1\0\2\0")
        encoded = encode(decode(data, IMPLICIT), EXPLICIT)
        vr = encoded[len(explicit(0x00080016, b"UI", b"1.2 ")) + 4 :][:2]
        assert vr.decode() in vr_of(Dataset(), tag, None).split(" or "), hex(tag)
        assert encoded.endswith(b"\1\0\2\0")
        read = decode(data, IMPLICIT)
        assert vr.decode() == read[tag].VR, hex(tag)


def test_what_the_data_and_the_dictionaries_say() -> None:
    dataset = Dataset()
    for stated, tag, expected in (
        ("LO", 0x00100010, "LO"),
        ("UN", 0x00100010, "PN"),
        (None, 0x00100010, "PN"),
        (None, 0x00090010, "LO"),
        (None, 0x00091001, "UN"),
        (None, 0x00090001, "UN"),
        (None, 0x00080000, "UL"),
        (None, 0x00080003, "UN"),
        ("ZX", 0x00080003, "ZX"),
    ):
        assert vr_of(dataset, tag, stated) == expected


def test_private_elements_that_pydicom_knows() -> None:
    dataset = Dataset()
    dataset.add_new(0x00090010, "LO", CREATOR)
    assert vr_of(dataset, 0x00091001, None) == "LO"
    assert vr_of(dataset, 0x000910EE, None) == "UN"
    assert vr_of(dataset, 0x00091101, "UN") == "UN"
    received = decode(implicit(0x00090010, CREATOR.encode()) + implicit(0x00091001, b"ab"), IMPLICIT)
    assert vr_of(received, 0x00091001, None) == "LO"
    assert (received[0x00091001].VR, received[0x00091001].private_creator) == ("LO", CREATOR)


def raw(tag: int, value: bytes | None, *, little: bool = True) -> RawDataElement:
    return RawDataElement(BaseTag(tag), "US", 2, value, 0, False, little)


@for_each(
    ("value", "expected"),
    [(b"\1\0", 1), (b"\1\0\2\0", 1), (b"\1", None), (b"", None), (None, None)],
)
def test_numbers_that_are_still_bytes(value: bytes | None, expected: int | None) -> None:
    tag = BaseTag(0x00280100)
    assert small_number(Dataset({tag: raw(tag, value)}), tag) == expected


def test_small_numbers() -> None:
    tag = BaseTag(0x00280100)
    assert small_number(Dataset({tag: raw(tag, b"\0\1", little=False)}), tag) == 1
    assert small_number(Dataset(), tag) is None
    for value, expected in ((1, 1), ([2, 3], 2), ([], None), (None, None), ("text", None), (b"\1\0", 1), (b"", None)):
        dataset = Dataset()
        dataset.add_new(tag, "UN" if isinstance(value, bytes) else "US", None)
        dataset[tag]._value = value  # noqa: SLF001 - whatever it holds
        assert small_number(dataset, tag) == expected
    assert pixel_representation([Dataset(), dataset_of(PixelRepresentation=1), dataset_of(PixelRepresentation=0)]) == 1
    assert pixel_representation([]) is None


def test_widths() -> None:
    curve = Dataset()
    for kind, width in ((None, 2), (0, 2), (1, 2), (2, 4), (3, 8), (4, 4)):
        if kind is not None:
            curve.add_new(0x50000103, "US", kind)
        assert width_of("OB", 0x50003000, curve) == width
    assert [width_of(vr, 0x00091001, curve) for vr in ("OB", "AT", "OW", "FL", "OV", "LO")] == [1, 2, 2, 4, 8, 1]
    assert swap(b"abcdefgh", 2) == b"badcfehg"
    assert swap(b"abcdefgh", 4) == b"dcbahgfe"
    assert swap(b"abcdefgh", 8) == b"hgfedcba"


def test_names_for_messages() -> None:
    assert named(0x00100010) == "(0010,0010) PatientName"
    assert named(0x00091001) == "(0009,1001)"
    assert is_undefined(raw(0x00280100, b"")) is False
    with pytest.raises(AttributeError):
        is_undefined(None)  # type: ignore[arg-type]


@for_each(
    ("tag", "expected"),
    [
        (0x00280100, True), (0x00280103, True), (0x00283002, True), (0x54001004, True), (0x00290010, True),
        (0x002900FF, True), (0x00290000, False), (0x00290001, False), (0x00291001, False), (0x00280010, False),
        (0x50020103, True), (0x50022002, True), (0x50023000, False),
    ],
)  # fmt: skip
def test_what_others_depend_on(tag: int, expected: bool) -> None:
    assert is_context(tag) is expected


def test_what_has_no_byte_order_is_not_swapped() -> None:
    assert [swap(b"12345678", width) for width in (1, 2, 4, 8)] == [b"12345678", b"21436587", b"43218765", b"87654321"]
