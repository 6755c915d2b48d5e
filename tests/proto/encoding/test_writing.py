"""Data sets to bytes (PS3.5 7): nothing is lost, and what cannot be said is refused by the name of its element."""

import struct
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dicom_proto.encoding.datasets import decode, encode, file_preamble_and_meta
from dicom_proto.encoding.rules import EncodingRules
from dicom_proto.encoding.writing import CharacterSetError, LongValueError, stated_sets
from dicom_proto.errors import LocalProtocolError
from tests.proto.encoding.lay import (
    BIG,
    CONTENT_SEQUENCE,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    JPEG,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    explicit,
    implicit,
)
from tests.proto.programs.script import dataset_of
from tests.proto.rows import for_each

END = implicit(SEQUENCE_END)
SECRET = "SECRET^Тест"
RLE = "1.2.840.10008.1.2.5"
UTF_8 = EncodingRules(state_utf_8=True)


def convert(data: bytes, first: str, second: str, **settings: Any) -> bytes:
    return encode(decode(data, first), second, **settings)


# --- text -------------------------------------------------------------------------------------------------------------


@for_each("stated", [None, "", "ISO_IR 100", "ISO_IR 6", ["ISO 2022 IR 6", "ISO 2022 IR 87"]])
@for_each("keyword", ["PatientName", "PatientID", "PatientComments"])
def test_text_that_its_character_set_lacks_is_refused(keyword: str, stated: Any) -> None:
    """A question mark would be a wild card: a query for one patient returned four others (PS3.4 C.2.2.2.4)."""
    dataset = dataset_of(**{keyword: "SECRET^é^Ж"})
    if stated is not None:
        dataset.SpecificCharacterSet = stated
    for syntax in (IMPLICIT, EXPLICIT, BIG):
        with pytest.raises(CharacterSetError) as caught:
            encode(dataset, syntax)
        assert keyword in str(caught.value)
        assert "SECRET" not in str(caught.value)


def test_text_outside_the_default_repertoire_needs_a_set() -> None:
    """PS3.3 C.12.1.1.2: without Specific Character Set there is ISO 646 only."""
    with pytest.raises(
        CharacterSetError, match=r"\(0010,0010\) PatientName has characters that the default repertoire"
    ):
        encode(dataset_of(PatientName="Müller"), IMPLICIT)


def test_by_setting_it_is_said_in_unicode() -> None:
    inner = dataset_of(SpecificCharacterSet="ISO_IR 144", PatientID="Ж")
    dataset = dataset_of(SpecificCharacterSet="ISO_IR 100", PatientName=SECRET, ContentSequence=[inner])
    read = decode(encode(dataset, EXPLICIT, rules=UTF_8), EXPLICIT)
    assert (read.SpecificCharacterSet, read.PatientName) == ("ISO_IR 192", SECRET)
    assert read.ContentSequence[0].PatientID == "Ж"
    assert "SpecificCharacterSet" not in read.ContentSequence[0]
    assert dataset.SpecificCharacterSet == "ISO_IR 100"
    fits = dataset_of(SpecificCharacterSet="ISO_IR 100", PatientName="Müller")
    assert encode(fits, EXPLICIT, rules=UTF_8) == encode(fits, EXPLICIT)
    unstated = decode(encode(dataset_of(PatientName="Müller"), EXPLICIT, rules=UTF_8), EXPLICIT)
    assert (unstated.SpecificCharacterSet, unstated.PatientName) == ("ISO_IR 192", "Müller")


def test_what_the_receiver_wants() -> None:
    """An SCP answers in the character set of the request where it can, otherwise in its own (PS3.4 C.4.1.1.3.2)."""
    cyrillic = dataset_of(SpecificCharacterSet="ISO_IR 144", PatientName="Ж")
    assert stated_sets(decode(encode(cyrillic, IMPLICIT, wanted=("ISO_IR 192",)), IMPLICIT)).terms == ("ISO_IR 192",)  # type: ignore[union-attr]
    for wanted in (("ISO_IR 100",), ("NONSENSE",), ("ISO_IR 144",), ()):
        assert encode(cyrillic, IMPLICIT, wanted=wanted) == encode(cyrillic, IMPLICIT)
    unstated = dataset_of(PatientName="Ж", ContentSequence=[dataset_of(PatientID="Ж")])
    read = decode(encode(unstated, IMPLICIT, wanted=("ISO_IR 144",)), IMPLICIT)
    assert (read.PatientName, read.ContentSequence[0].PatientID) == ("Ж", "Ж")
    with pytest.raises(CharacterSetError):
        encode(unstated, IMPLICIT, wanted=("ISO_IR 100",))
    # what is still bytes is converted as well
    received = decode(encode(cyrillic, IMPLICIT), IMPLICIT)
    assert decode(encode(received, EXPLICIT, wanted=("ISO_IR 192",)), EXPLICIT).PatientName == "Ж"


def test_what_came_goes_on_though_it_is_wrong() -> None:
    """Many devices send Latin 1 and state nothing: a router passes it on, read or not, in other syntaxes too."""
    data = explicit(0x00100010, b"PN", b"M\xfcller") + explicit(0x00100020, b"LO", b"\xe9 ")
    for touch in (False, True):
        received = decode(data, EXPLICIT)
        if touch:
            assert (received.PatientName, received.PatientID) == ("Müller", "é")
        assert encode(received, EXPLICIT) == data
        assert encode(received, IMPLICIT) == implicit(0x00100010, b"M\xfcller") + implicit(0x00100020, b"\xe9 ")
    received = decode(data, EXPLICIT)
    received.PatientID = "è"
    with pytest.raises(CharacterSetError, match="PatientID"):
        encode(received, EXPLICIT)
    with pytest.raises(CharacterSetError, match="PatientName has bytes that its own character set does not have"):
        encode(_restated(data), EXPLICIT)


def _restated(data: bytes) -> Dataset:
    received = decode(data, EXPLICIT)
    received.SpecificCharacterSet = "ISO_IR 192"
    return received


def test_data_sets_of_pydicom_keep_their_character_set() -> None:
    data = explicit(0x00080005, b"CS", b"ISO_IR 101") + explicit(0x00100010, b"PN", b"\xb1 ")
    read = dcmread(BytesIO(file_preamble_and_meta("1.2", "1.3", EXPLICIT) + data))
    assert encode(read, EXPLICIT) == data
    assert convert(encode(read, IMPLICIT), IMPLICIT, EXPLICIT) == data
    read.SpecificCharacterSet = "ISO_IR 192"
    assert decode(encode(read, EXPLICIT), EXPLICIT).PatientName == "ą"
    plain = dcmread(BytesIO(file_preamble_and_meta("1.2", "1.3", EXPLICIT) + data[18:]))
    assert encode(plain, EXPLICIT) == data[18:]


def test_what_is_stated() -> None:
    assert stated_sets(Dataset()) is None
    assert stated_sets(dataset_of(SpecificCharacterSet=["", "ISO 2022 IR 87"])).terms == ("", "ISO 2022 IR 87")  # type: ignore[union-attr]
    assert stated_sets(dataset_of(SpecificCharacterSet=None)).terms == ()  # type: ignore[union-attr]


# --- byte order -------------------------------------------------------------------------------------------------------

WIDE = {
    0x00280010: (b"US", b"\1\2"),
    0x00280034: (b"IS", b"1 "),
    0x00720026: (b"AT", b"\x10\0\x20\0"),
    0x00720076: (b"FL", b"\1\2\3\4"),
    0x00720074: (b"FD", b"\1\2\3\4\5\6\7\x08"),
    0x00720082: (b"SV", b"\1\2\3\4\5\6\7\x08"),
    0x00720065: (b"OB", b"\1\2"),
    0x00720067: (b"OF", b"\1\2\3\4"),
    0x00720069: (b"OW", b"\1\2"),
    0x00720073: (b"OD", b"\1\2\3\4\5\6\7\x08"),
    0x00720075: (b"OL", b"\1\2\3\4"),
    0x00720081: (b"OV", b"\1\2\3\4\5\6\7\x08"),
}
SWAPPED = {b"AT": b"\0\x10\0\x20", b"IS": b"1 ", b"OB": b"\1\2"}


def wide(order: str) -> bytes:
    parts = []
    for tag, (vr, value) in sorted(WIDE.items()):
        other = value if order == "<" else SWAPPED.get(vr, value[::-1])
        parts.append(explicit(tag, vr, other, order=order))
    return b"".join(parts)


def in_item(data: bytes, order: str) -> bytes:
    return explicit(CONTENT_SEQUENCE, b"SQ", implicit(ITEM, data, order=order), order=order)


def test_words_and_numbers_are_swapped() -> None:
    """pynetdicom#1053: a peer takes Explicit VR Big Endian; pydicom leaves words and tags as they are."""
    for wrap in (lambda data, _: data, in_item):
        little, big = wrap(wide("<"), "<"), wrap(wide(">"), ">")
        assert convert(little, EXPLICIT, BIG) == big
        assert convert(big, BIG, EXPLICIT) == little
        received = decode(big, BIG)
        for element in received.iterall():
            assert element.value is not None
        assert encode(received, EXPLICIT) == little
        assert encode(decode(encode(received, IMPLICIT), IMPLICIT), EXPLICIT) == little


def test_words_that_somebody_has_made_are_little_endian_unless_they_say_so() -> None:
    dataset = Dataset()
    dataset.add_new(0x00720069, "OW", b"\1\2")
    assert encode(dataset, BIG).endswith(b"\2\1")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(BIG)
    assert encode(dataset, BIG).endswith(b"\1\2")
    assert encode(dataset, EXPLICIT).endswith(b"\2\1")
    received = decode(explicit(0x00720069, b"OW", b"\1\2", order=">"), BIG)
    received[0x00720069].value = b"\3\4"
    assert encode(received, EXPLICIT).endswith(b"\4\3")


def test_what_is_unknown_is_little_endian_everywhere() -> None:
    """PS3.5 6.2.2, note on UN: so a private element has no byte order to change."""
    for first, second in ((EXPLICIT, BIG), (BIG, EXPLICIT), (IMPLICIT, BIG)):
        order, other = ("<" if first != BIG else ">"), ("<" if second != BIG else ">")
        data = implicit(0x00091001, b"ab") if first == IMPLICIT else explicit(0x00091001, b"UN", b"ab", order=order)
        assert convert(data, first, second) == explicit(0x00091001, b"UN", b"ab", order=other)
    known = explicit(0x00280010, b"UN", b"\1\0", order=">")
    assert convert(known, BIG, EXPLICIT) == explicit(0x00280010, b"US", b"\1\0")
    assert convert(known, BIG, BIG) == known


@for_each(("vr", "value"), [(b"US", b"abc1ef"), (b"AT", b"abcdef"), (b"FD", b"abcd"), (b"OF", b"ab"), (b"OV", b"abcd")])
def test_what_is_no_whole_value_is_not_swapped(vr: bytes, value: bytes) -> None:
    data = explicit(0x00091001, vr, value)
    assert convert(data, EXPLICIT, EXPLICIT) == data
    if vr != b"US":
        with pytest.raises(LocalProtocolError, match=rf"\(0009,1001\) cannot .* it has {len(value)} bytes, no whole"):
            convert(data, EXPLICIT, BIG)


# --- lengths ----------------------------------------------------------------------------------------------------------


@for_each(
    ("vr", "value", "padded"),
    [
        (b"LO", b"abc", b"abc "),
        (b"UI", b"1.2", b"1.2\0"),
        (b"OB", b"abc", b"abc\0"),
        (b"OW", b"abc", b"abc\0"),
        (b"UN", b"abc", b"abc\0"),
        (b"DS", b"1.5", b"1.5 "),
        (b"UT", b"abc", b"abc "),
    ],
)
def test_odd_values_are_padded(vr: bytes, value: bytes, padded: bytes) -> None:
    """PS3.5 6.2, 7.1.1; pynetdicom#704."""
    data = explicit(0x00091001, vr, value)
    assert convert(data, EXPLICIT, EXPLICIT) == explicit(0x00091001, vr, padded)
    assert convert(in_item(data, "<"), EXPLICIT, EXPLICIT) == in_item(explicit(0x00091001, vr, padded), "<")


def test_numbers_of_odd_length_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"Rows cannot be encoded .* it has 3 bytes, no whole values of VR US"):
        convert(explicit(0x00280010, b"US", b"abc"), EXPLICIT, EXPLICIT)


UIDS = [f"1.2.840.113619.2.55.3.604688119.{10**10 + number}" for number in range(1_502)]


def test_values_too_long_for_their_length(caplog: pytest.LogCaptureFixture) -> None:
    """PS3.5 6.2.2: a list of 1,502 UIDs has no explicit encoding but UN, and is read by its dictionary VR."""
    dataset = Dataset()
    dataset.add(DataElement(0x0008_0058, "UI", UIDS, validation_mode=IGNORE))
    for syntax in (EXPLICIT, BIG):
        encoded = encode(dataset, syntax)
        assert encoded[4:6] == b"UN"
        read = decode(encoded, syntax)
        assert read.FailedSOPInstanceUIDList == UIDS
        assert encode(read, syntax) == encoded
        assert encode(read, IMPLICIT) == encode(dataset, IMPLICIT)
        with pytest.raises(LongValueError, match=r"FailedSOPInstanceUIDList has 66088 bytes, and UI no room"):
            encode(dataset, syntax, rules=EncodingRules(long_values="refuse"))
    assert "too many for UI: it is sent as UN" in caplog.text
    assert UIDS[0] not in caplog.text
    assert decode(encode(dataset, IMPLICIT), IMPLICIT)["FailedSOPInstanceUIDList"].VR == "UI"


def test_numbers_too_long_for_their_length_are_little_endian() -> None:
    dataset = Dataset()
    dataset.add_new(0x00283002, "US", list(range(40_000)))
    dataset.add_new(0x00720070, "UT", "x" * 70_000)
    encoded = encode(dataset, BIG)
    assert encoded[4:6] == b"UN"
    assert encoded[12:18] == struct.pack("<HHH", 0, 1, 2)
    assert decode(encoded, BIG)[0x00283002].value == list(range(40_000))


# --- what has others inside -------------------------------------------------------------------------------------------


def test_fragments_are_padded_and_tables_follow() -> None:
    """PS3.5 A.4, PS3.3 C.7.6.3.1.8; dcm4che#1199."""
    odd, even = [implicit(ITEM, content) for content in (b"12345", b"123")], [b"12345\0", b"123\0"]
    table = explicit(0x7FE00001, b"OV", struct.pack("<QQ", 0, 13))
    start = explicit(PIXEL_DATA, b"OB", implicit(ITEM), UNDEFINED)
    whole = explicit(0x7FE00001, b"OV", struct.pack("<QQ", 0, 14)) + start
    whole += b"".join(implicit(ITEM, content) for content in even) + END
    assert convert(table + start + b"".join(odd) + END, JPEG, JPEG) == whole
    assert convert(whole, JPEG, JPEG) == whole
    assert convert(explicit(0x7FE00001, b"OV"), JPEG, JPEG) == explicit(0x7FE00001, b"OV")
    broken = Dataset()
    broken.add_new(0x7FE00001, "OV", bytes(8))
    broken.add_new(PIXEL_DATA, "OB", b"\xfe\xff\0\xe0junk")
    with pytest.raises(LocalProtocolError, match="PixelData cannot be encoded as JPEG"):
        encode(broken, JPEG)
    broken[PIXEL_DATA].value = BytesIO(encapsulate([b"frame "]))
    assert decode(encode(broken, JPEG), JPEG).PixelData == encapsulate([b"frame "])


def test_items_of_undefined_length_stay_so() -> None:
    item = implicit(ITEM, explicit(0x00100020, b"LO", b"1 "), UNDEFINED) + implicit(ITEM_END)
    data = explicit(CONTENT_SEQUENCE, b"SQ", item, UNDEFINED) + END
    assert convert(data, EXPLICIT, EXPLICIT) == data
    assert convert(convert(data, EXPLICIT, IMPLICIT), IMPLICIT, EXPLICIT) == data
    received = decode(data, EXPLICIT)
    assert received.ContentSequence[0].PatientID == "1"
    assert encode(received, EXPLICIT) == data


def test_a_damaged_sequence_is_sent_on_or_refused() -> None:
    data = implicit(CONTENT_SEQUENCE, implicit(0x00100020, b"ab"))
    assert convert(data, IMPLICIT, IMPLICIT) == data
    with pytest.raises(LocalProtocolError, match=r"ContentSequence cannot be encoded as Explicit .* out of place"):
        convert(data, IMPLICIT, EXPLICIT)


# --- what users have in their elements --------------------------------------------------------------------------------


@for_each(
    ("vr", "value", "raw"),
    [
        ("US or SS", 5, explicit(0x00280106, b"US", b"\5\0")),
        ("US or SS", -5, explicit(0x00280106, b"US", b"\xfb\xff")),
        ("US or SS", [-5, 5], explicit(0x00280106, b"US", b"\xfb\xff\5\0")),
        ("US or SS", b"\5\0", explicit(0x00280106, b"US", b"\5\0")),
        ("US or OW", [1, 2], explicit(0x00283006, b"US", b"\1\0\2\0")),
        ("US or SS or OW", b"\1\0", explicit(0x00281200, b"OW", b"\1\0")),
        ("OB or OW", b"\1\2", explicit(0x54001010, b"OW", b"\1\2")),
    ],
)
def test_elements_whose_vr_is_open(vr: str, value: Any, raw: bytes) -> None:
    tag = struct.unpack("<HH", raw[:4])
    dataset = Dataset()
    dataset.add(DataElement(tag, vr, value, already_converted=True))
    assert encode(dataset, EXPLICIT) == raw
    order = {b"US": ">", b"OW": ">"}[raw[4:6]]
    assert encode(dataset, BIG)[:6] == explicit(tag[0] << 16 | tag[1], raw[4:6], order=order)[:6]


def test_pixels_that_somebody_has_made() -> None:
    """PS3.5 A.2: eight bits are OB, more are OW, whatever pydicom is given them as."""
    for bits, vr, big in ((8, b"OB", b"\1\2"), (16, b"OW", b"\2\1")):
        for value in (b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2"), BytesIO(b"\1\2")):
            image = dataset_of(BitsAllocated=bits)
            image.add(DataElement(PIXEL_DATA, "OB or OW", value, already_converted=True))
            assert encode(image, EXPLICIT).endswith(explicit(PIXEL_DATA, vr, b"\1\2"))
            assert encode(image, BIG).endswith(explicit(PIXEL_DATA, vr, big, order=">"))
            assert encode(image, IMPLICIT).endswith(implicit(PIXEL_DATA, b"\1\2"))


@for_each("value", ["SECRET", 70_000, object(), [1, "SECRET"], Dataset()])
def test_the_message_has_the_name_and_not_the_value(value: Any) -> None:
    """pynetdicom#911: values in logs."""
    dataset, outer = Dataset(), Dataset()
    dataset.add(DataElement(0x00280010, "US", value, already_converted=True))
    outer.add(DataElement(CONTENT_SEQUENCE, "SQ", [dataset]))
    with pytest.raises(LocalProtocolError) as caught:
        encode(outer, EXPLICIT)
    message = str(caught.value)
    assert message.startswith(
        "(0040,A730) ContentSequence item 1: (0028,0010) Rows cannot be encoded as Explicit VR Little Endian: "
    )
    assert "SECRET" not in message
    assert "70" not in message
    assert caught.value.__suppress_context__


def test_a_value_that_raises_is_not_quoted() -> None:
    class Angry:
        def __float__(self) -> float:
            return 1.0

        def __str__(self) -> str:
            raise ValueError("SECRET")

    dataset = Dataset()
    dataset.add(DataElement(0x00280030, "DS", Angry(), already_converted=True))
    with pytest.raises(LocalProtocolError, match=r"PixelSpacing cannot .* a value of the wrong type \(ValueError\)"):
        encode(dataset, EXPLICIT)


def test_vrs_that_depend_on_what_is_around() -> None:
    signed = implicit(0x00280103, b"\1\0")
    smallest = implicit(0x00280106, b"\xff\xff")
    inside = implicit(CONTENT_SEQUENCE, implicit(ITEM, smallest))
    for data, vr in ((smallest, b"US"), (signed + smallest, b"SS"), (signed + inside, b"SS"), (inside, b"US")):
        assert vr + b"\2\0\xff\xff" in convert(data, IMPLICIT, EXPLICIT)
    received = decode(signed + inside, IMPLICIT)
    assert encode(received.ContentSequence[0], EXPLICIT) == explicit(0x00280106, b"SS", b"\xff\xff")


# --- pixel data, and what has an undefined length --------------------------------------------------------------------


def test_pixel_data_is_neither_compressed_nor_decompressed() -> None:
    dataset = dataset_of(PatientID="1", BitsAllocated=16)
    dataset.add_new(PIXEL_DATA, "OW", b"\1\2")
    with pytest.raises(LocalProtocolError, match=r"\(7FE0,0010\) PixelData cannot be encoded as JPEG Baseline"):
        encode(dataset, JPEG)
    native = decode(encode(dataset, EXPLICIT), EXPLICIT)
    with pytest.raises(LocalProtocolError, match="PixelData cannot be encoded as JPEG Baseline"):
        encode(native, JPEG)
    dataset["PixelData"].value = encapsulate([b"frame "])
    compressed = decode(encode(dataset, JPEG), JPEG)
    with pytest.raises(
        LocalProtocolError, match="Pixel Data is compressed and cannot be encoded as Explicit VR Little"
    ):
        encode(compressed, EXPLICIT)


def test_what_is_encapsulated_stays_where_that_can_be() -> None:
    """Icons may be compressed where the Pixel Data is (PS3.5 A.4); other elements never should be."""
    fragments = encapsulate([b"frame "]) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    compressed = explicit(PIXEL_DATA, b"OB", fragments, UNDEFINED)
    icon = explicit(0x00880200, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, len(compressed)) + compressed)
    assert encode(decode(icon, JPEG), RLE) == icon
    for transfer_syntax in (IMPLICIT, BIG):
        with pytest.raises(
            LocalProtocolError, match=r"item 1: \(7FE0,0010\) PixelData is compressed and cannot be encoded as"
        ):
            encode(decode(icon, JPEG), transfer_syntax)
    other = explicit(0x00091001, b"OB", fragments, UNDEFINED)
    assert encode(decode(other, EXPLICIT), EXPLICIT) == other
    for transfer_syntax in (IMPLICIT, BIG):
        with pytest.raises(LocalProtocolError, match=r"\(0009,1001\) is compressed"):
            encode(decode(other, EXPLICIT), transfer_syntax)


def test_an_empty_sequence_that_the_data_do_not_call_one() -> None:
    """Without a VR and without an item, only its undefined length tells what a private element is (PS3.5 6.2.2)."""
    unnamed = implicit(0x00091001, implicit(SEQUENCE_END), UNDEFINED)
    named = explicit(0x00091001, b"SQ", implicit(SEQUENCE_END), UNDEFINED)
    before = explicit(0x00080005, b"CS", b"ISO_IR 192")
    assert encode(decode(unnamed, IMPLICIT), IMPLICIT) == unnamed
    assert encode(decode(unnamed, IMPLICIT), EXPLICIT) == named
    for transfer_syntax in (EXPLICIT, RLE):
        encoded = encode(decode(before + unnamed, transfer_syntax), transfer_syntax)
        assert encoded == before + named
        assert encode(decode(encoded, transfer_syntax), transfer_syntax) == encoded
    assert encode(decode(before + unnamed, EXPLICIT), IMPLICIT) == implicit(0x00080005, b"ISO_IR 192") + unnamed


@for_each("fragments", [b"", encapsulate([b"frame "])])
def test_a_text_of_undefined_length_has_no_explicit_encoding(fragments: bytes) -> None:
    """An explicit length of 16 bits cannot be undefined (PS3.5 7.1.2)."""
    data = implicit(0x00080018, fragments + implicit(SEQUENCE_END), UNDEFINED)
    assert encode(decode(data, IMPLICIT), IMPLICIT) == data
    with pytest.raises(LocalProtocolError, match=r"\(0008,0018\) SOPInstanceUID has an undefined length"):
        encode(decode(explicit(0x00080005, b"CS", b"ISO_IR 192") + data, EXPLICIT), EXPLICIT)


def test_what_is_unknown_and_of_undefined_length_is_a_sequence_or_not_encoded() -> None:
    """Whoever reads a UN of undefined length takes it for a sequence (PS3.5 6.2.2)."""
    dataset = Dataset()
    dataset.add(DataElement(0x00091001, "UN", encapsulate([b"frame "]), is_undefined_length=True))
    with pytest.raises(LocalProtocolError, match=r"\(0009,1001\) has an undefined length, which UN cannot have"):
        encode(dataset, RLE)


# -- data sets that cannot be encoded ----------------------------------------------------------------------------------


def too_large() -> DataElement:
    return DataElement(0x00280010, "US", 70_000, already_converted=True)


def test_the_error_names_the_element() -> None:
    inner, outer = Dataset(), dataset_of(PatientID="1")
    inner.ConceptNameCodeSequence = [Dataset(), Dataset()]
    outer.ContentSequence = [inner]
    dataset = outer
    dataset.ContentSequence[0].ConceptNameCodeSequence[1].add(too_large())
    with pytest.raises(LocalProtocolError) as caught:
        encode(dataset, EXPLICIT)
    message = str(caught.value)
    assert message.startswith(
        "(0040,A730) ContentSequence item 1: (0040,A043) ConceptNameCodeSequence item 2: "
        "(0028,0010) Rows cannot be encoded as Explicit VR Little Endian: "
    )
    assert "Traceback" not in message


def test_an_error_deep_inside_is_found_at_once() -> None:
    dataset = Dataset()
    dataset.add(too_large())
    for _ in range(100):
        outer = Dataset()
        outer.ContentSequence = [dataset]
        dataset = outer
    with pytest.raises(LocalProtocolError, match=r"item 1: \(0028,0010\) Rows cannot be encoded") as caught:
        encode(dataset, IMPLICIT)
    assert len(str(caught.value)) < 10_000


def test_a_data_set_without_end_cannot_be_encoded() -> None:
    dataset = Dataset()
    dataset.ContentSequence = [Dataset()]
    dataset.ContentSequence[0].ContentSequence = dataset.ContentSequence
    with pytest.raises(LocalProtocolError, match="cannot be encoded"):
        encode(dataset, IMPLICIT)


def test_a_value_representation_that_is_none_is_not_encoded() -> None:
    read = decode(bytes.fromhex("e07f4f00554e000000000000 2800023055a00600000100001000"), EXPLICIT)
    with pytest.raises(LocalProtocolError, match="value representation"):
        encode(read, EXPLICIT)


def test_a_character_set_that_is_none_is_not_quoted() -> None:
    """It is a value like any other, and may be anything."""
    dataset = dataset_of(SpecificCharacterSet="SOMEBODY", PatientName="Ä")
    with pytest.raises(CharacterSetError, match="characters that a Specific Character Set that is none") as caught:
        encode(dataset, EXPLICIT)
    assert "SOMEBODY" not in str(caught.value)


def test_words_that_are_too_many_for_one_vr_go_in_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """LUT Data may be US or OW (PS3.6): nobody has to read it as UN."""
    dataset = Dataset()
    dataset.add_new("LUTData", "US", list(range(40_000)))
    for syntax in (EXPLICIT, BIG):
        encoded = encode(dataset, syntax, rules=EncodingRules(long_values="refuse"))
        assert encoded[4:6] == b"OW"
        assert encode(decode(encoded, syntax), IMPLICIT) == encode(dataset, IMPLICIT)
    assert not caplog.records
