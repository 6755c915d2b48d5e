"""Data sets and file heads: every transfer syntax, pydicom's bundled files, and anything that a peer can send."""

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dicom_proto.encoding.datasets import (
    CharacterSetError,
    EncodingRules,
    FileMeta,
    LongValueError,
    NeedBytes,
    actual_syntax,
    character_set_of,
    check_vr_encoding,
    decode,
    encode,
    encode_on,
    file_preamble_and_meta,
    find_values,
    read_file_meta,
    read_text,
)
from dicom_proto.errors import DataSetError, InvalidNameError, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, Limits, Tolerance
from dicom_proto.names import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from tests.proto.encoding.lay import (
    BIG,
    CONTENT_SEQUENCE,
    DEFLATED,
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
from tests.proto.rows import for_each

JPEG_XL, JPIP_DEFLATED = "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.95"
RLE = "1.2.840.10008.1.2.5"
CT, UID_1 = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
MAX_DEPTH = DEFAULT_LIMITS.data_set_depth


@cache
def bundled(name: str) -> bytes:
    """A file that comes inside pydicom's wheel."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def sample() -> Dataset:
    """A data set with text in a special character set, numbers of both signs, and a nested sequence."""
    inner, outer = Dataset(), Dataset()
    inner.CodeMeaning = "Grün"
    outer.ConceptNameCodeSequence = [inner, Dataset()]
    outer.NumericValue = "1.50"
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, UID_1
    dataset.PatientName = "Müller^Jürgen"
    dataset.Rows, dataset.Columns = 3, 513
    dataset.PixelRepresentation = 1
    dataset.add_new(0x00280106, "SS", -3)
    dataset.ContentSequence = [outer]
    return dataset


# -- encode and decode -------------------------------------------------------------------------------------------------


@for_each("transfer_syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG, JPEG, JPEG_XL, JPIP_DEFLATED])
def test_round_trip(transfer_syntax: str) -> None:
    encoded = encode(sample(), transfer_syntax)
    assert len(encoded) % 2 == 0
    assert decode(encoded, transfer_syntax) == sample()
    assert decode(memoryview(bytearray(encoded)), transfer_syntax) == sample()
    assert encode(decode(encoded, transfer_syntax), transfer_syntax) == encoded


@for_each("first", [IMPLICIT, EXPLICIT, DEFLATED, BIG])
@for_each("second", [IMPLICIT, EXPLICIT, DEFLATED, BIG])
def test_from_one_transfer_syntax_into_another(first: str, second: str) -> None:
    received = decode(encode(sample(), first), first)
    assert encode(received, second) == encode(sample(), second)


def test_what_lies_where() -> None:
    dataset = Dataset()
    dataset.Rows = 513
    assert encode(dataset, IMPLICIT) == bytes.fromhex("28001000 02000000 0102")
    assert encode(dataset, EXPLICIT) == encode(dataset, JPEG) == bytes.fromhex("28001000 5553 0200 0102")
    assert encode(dataset, BIG) == bytes.fromhex("00280010 5553 0002 0201")
    deflated = encode(dataset, DEFLATED)
    assert zlib.decompress(deflated, -zlib.MAX_WBITS) == encode(dataset, EXPLICIT)
    assert len(deflated) % 2 == 0
    assert encode(Dataset(), EXPLICIT) == b""
    assert decode(b"", EXPLICIT) == Dataset()


def test_deflated_data_is_padded_to_even_length() -> None:
    dataset, lengths = Dataset(), set()
    for length in range(40):
        dataset.PatientID = "".join(chr(65 + 7 * n % 26) for n in range(length))
        encoded = encode(dataset, DEFLATED)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(encoded)
        lengths.add(len(inflater.unused_data))
        assert len(encoded) % 2 == 0
        assert decode(encoded, DEFLATED) == dataset
    assert lengths == {0, 1}


def test_command_and_file_meta_elements_and_group_lengths_are_not_encoded() -> None:
    dataset = sample()
    dataset.add_new(0x00000002, "UI", CT)
    dataset.add_new(0x00020010, "UI", EXPLICIT)
    dataset.add_new(0x00080000, "UL", 8)
    assert encode(dataset, IMPLICIT) == encode(sample(), IMPLICIT)
    assert 0x00020010 in dataset


def test_encoding_leaves_the_data_set_alone() -> None:
    received = decode(encode(sample(), IMPLICIT), IMPLICIT)
    encode(received, EXPLICIT)
    assert isinstance(received.get_item(0x00280010), RawDataElement)


def test_a_changed_character_set_is_written() -> None:
    dataset = decode(encode(sample(), EXPLICIT), EXPLICIT)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    latin = encode(dataset, EXPLICIT)
    assert "Müller^Jürgen".encode("latin-1") in latin
    assert "Grün".encode("latin-1") in latin


def test_private_transfer_syntax() -> None:
    private = UID("1.2.3.4.5")
    private.set_private_encoding(implicit_vr=True, little_endian=True)
    assert encode(sample(), private) == encode(sample(), IMPLICIT)
    for unknown in ("1.2.3.4.5", CT, "implicit"):
        with pytest.raises(LocalProtocolError, match="is not a transfer syntax whose encoding is known"):
            encode(sample(), unknown)
        with pytest.raises(LocalProtocolError, match="is not a transfer syntax"):
            decode(b"", unknown)


def test_values_of_odd_length_are_padded() -> None:
    received = decode(
        explicit(0x00080005, b"CS", b"ISO_IR 100")
        + explicit(0x00091001, b"UN", b"abc")
        + explicit(0x00100020, b"LO", b"x"),
        EXPLICIT,
    )
    assert encode(received, EXPLICIT).endswith(
        explicit(0x00091001, b"UN", b"abc\0") + explicit(0x00100020, b"LO", b"x ")
    )
    dataset = Dataset()
    dataset.add_new(0x00091001, "UN", b"abc")
    assert encode(dataset, IMPLICIT) == implicit(0x00091001, b"abc\0")
    assert dataset[0x00091001].value == b"abc"


# -- Pixel Data --------------------------------------------------------------------------------------------------------


def test_encapsulated_pixel_data_has_undefined_length() -> None:
    dataset = sample()
    dataset.add_new(PIXEL_DATA, "OB", encapsulate([b"\xff\xd8frame "]))
    encoded = encode(dataset, JPEG)
    assert encoded.endswith(implicit(SEQUENCE_END))
    assert not dataset["PixelData"].is_undefined_length
    received = decode(encoded, JPEG)
    assert received["PixelData"].is_undefined_length
    assert encode(received, JPEG) == encoded
    received = decode(encoded, JPEG)
    assert encode(received, JPEG) == encoded


@dataclass
class Context:
    transfer_syntax: str


def test_long_values_go_where_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    """PS3.5 6.2.2: on a context for implicit VR where one was accepted, otherwise by the rules."""
    explicit_, implicit_ = Context(EXPLICIT), Context(IMPLICIT)
    short, long = Dataset(), Dataset()
    short.PatientID = "1"
    long.add_new(0x00080058, "UI", ["1.2.3.4.5.6.7.8.9.10.11.12.13.14"] * 3_000)
    for dataset, contexts, chosen in (
        (short, [explicit_, implicit_], explicit_),
        (long, [explicit_, implicit_], implicit_),
        (long, [explicit_, Context(JPEG)], explicit_),
        (long, [implicit_, explicit_], implicit_),
    ):
        context, encoded = encode_on(dataset, contexts)
        assert context is chosen
        assert encoded == encode(dataset, context.transfer_syntax)
    assert "it is sent as UN" in caplog.text
    refuse = EncodingRules(long_values="refuse")
    assert encode_on(long, [explicit_, implicit_], rules=refuse)[0] is implicit_
    with pytest.raises(LongValueError):
        encode_on(long, [explicit_], rules=refuse)


def test_the_character_set_of_a_request() -> None:
    for stated in ("ISO_IR 100", "\\ISO 2022 IR 87"):
        data = implicit(0x00080005, stated.encode()) + implicit(0x00100010, b"x ")
        assert character_set_of(data, IMPLICIT) == tuple(stated.split("\\"))
    assert character_set_of(None, IMPLICIT) == ()
    for data, syntax in ((b"", IMPLICIT), (b"abc", EXPLICIT), (b"", "1.2.3")):
        assert character_set_of(data, syntax) == ()


def test_answers_in_other_character_sets() -> None:
    cyrillic, unstated = Dataset(), Dataset()
    cyrillic.SpecificCharacterSet, cyrillic.PatientName = "ISO_IR 144", "Ж"
    unstated.PatientName = "Ж"
    assert decode(encode(cyrillic, IMPLICIT, wanted=("ISO_IR 192",)), IMPLICIT).SpecificCharacterSet == "ISO_IR 192"
    for wanted in (("ISO_IR 100",), ("NONSENSE",), ("ISO_IR 144",)):
        assert encode(cyrillic, IMPLICIT, wanted=wanted) == encode(cyrillic, IMPLICIT)
    with pytest.raises(CharacterSetError):
        encode(unstated, IMPLICIT)
    said = encode(unstated, IMPLICIT, rules=EncodingRules(state_utf_8=True))
    assert decode(said, IMPLICIT).PatientName == "Ж"


@for_each(("said", "meant"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT)])
def test_vrs_where_there_should_be_none(said: str, meant: str) -> None:
    """A data set is read as what it is: explicit VR in a context for implicit VR, as well as the reverse."""
    assert decode(encode(sample(), meant), said) == sample()
    assert read_text(encode(sample(), meant), said, [0x00080018]) == {0x00080018: UID_1}
    content = file_preamble_and_meta("1.2", "1.3", said) + encode(sample(), meant)
    assert read_file_meta(content, complete=True).sop_instance_uid == UID_1  # type: ignore[union-attr]


@pytest.mark.parametrize(("said", "meant", "found"), [(IMPLICIT, EXPLICIT, "with"), (EXPLICIT, IMPLICIT, "without")])
def test_that_is_tolerated_and_told(said: str, meant: str, found: str, caplog: pytest.LogCaptureFixture) -> None:
    data, told = encode(sample(), meant), list[Any]()
    decode(data, said)
    words = f"{UID(said).name} {found} value representations"
    assert caplog.messages == [f"a data set in {words}, which is read as what it is"]
    caplog.clear()
    decode(data, said, on_tolerated=lambda *what: told.append(what))
    decode(data, meant, on_tolerated=lambda *what: told.append(what))
    assert told == [("other_vr_encoding", f"a data set in {words}, which is read as what it is")]
    with pytest.raises(DataSetError, match=f"this is a data set in {words}"):
        decode(data, said, tolerance=Tolerance(other_vr_encoding=False))
    assert caplog.messages == []


def deflated_(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def test_the_transfer_syntax_that_a_data_set_is_really_in() -> None:
    for meant, data in ((IMPLICIT, encode(sample(), IMPLICIT)), (EXPLICIT, encode(sample(), EXPLICIT))):
        assert actual_syntax(data, IMPLICIT) == actual_syntax(data[:100], EXPLICIT) == meant
        for other in (BIG, JPEG):
            assert actual_syntax(data, other) == (other if meant == EXPLICIT else None)
        deflated = deflated_(data)
        assert actual_syntax(deflated, DEFLATED) == (DEFLATED if meant == EXPLICIT else None)
        assert actual_syntax(data, "1.2.3") == "1.2.3"  # a private one: nobody knows
    assert actual_syntax(b"", EXPLICIT) == EXPLICIT
    assert actual_syntax(b"no deflated data", DEFLATED) == DEFLATED


@for_each(("said", "meant"), [(IMPLICIT, EXPLICIT), *((said, IMPLICIT) for said in (EXPLICIT, JPEG, BIG, DEFLATED))])
def test_the_vrs_of_what_is_not_decoded(said: str, meant: str) -> None:
    told = list[Any]()

    def note(*what: str) -> None:
        told.append(what)

    data, right = encode(sample(), meant), encode(sample(), said)
    if said == DEFLATED:
        data = deflated_(data)
    check_vr_encoding(data[:1024], said, on_tolerated=note)
    check_vr_encoding(right[:1024], said, on_tolerated=note)
    check_vr_encoding(b"", said, on_tolerated=note)
    assert [kind for kind, _ in told] == ["other_vr_encoding"]
    with pytest.raises(DataSetError, match="value representations"):
        check_vr_encoding(data[:1024], said, tolerance=Tolerance(other_vr_encoding=False))
    check_vr_encoding(right[:1024], said, tolerance=Tolerance(other_vr_encoding=False))


# -- what a peer can send ----------------------------------------------------------------------------------------------


def nested(depth: int, *, defined: bool) -> bytes:
    """Sequences inside of each other, in implicit VR little endian."""
    data = b""
    for _ in range(depth):
        if defined:
            data = implicit(CONTENT_SEQUENCE, implicit(ITEM, data))
        else:
            item = implicit(ITEM, length=UNDEFINED) + data + implicit(ITEM_END)
            data = implicit(CONTENT_SEQUENCE, length=UNDEFINED) + item + implicit(SEQUENCE_END)
    return data


@for_each("defined", [True, False])
def test_sequences_are_nested_so_deep_and_no_deeper(*, defined: bool) -> None:
    dataset = decode(nested(MAX_DEPTH, defined=defined), IMPLICIT)
    depth = 0
    while dataset:
        (dataset,) = dataset.ContentSequence
        depth += 1
    assert depth == MAX_DEPTH
    for deeper in (MAX_DEPTH + 1, 1_060):
        with pytest.raises(DataSetError, match="sequences are nested deeper than is allowed"):
            walk(decode(nested(deeper, defined=defined), IMPLICIT))
    assert walk(decode(nested(3, defined=defined), IMPLICIT, limits=Limits(data_set_depth=3))) == 3
    with pytest.raises(DataSetError, match="deeper than is allowed"):
        walk(decode(nested(3, defined=defined), IMPLICIT, limits=Limits(data_set_depth=2)))


def test_what_is_made_of_a_data_set_is_counted() -> None:
    items = implicit(CONTENT_SEQUENCE, implicit(ITEM) * 9)
    elements = b"".join(implicit(0x00100000 + n) for n in range(10))
    for data in (items, elements):
        assert walk(decode(data, IMPLICIT, limits=Limits(data_set_elements=10))) < 2
        with pytest.raises(DataSetError, match="more than 9 elements and items"):
            walk(decode(data, IMPLICIT, limits=Limits(data_set_elements=9)))
    assert decode(items, IMPLICIT, limits=Limits(data_set_elements=1))  # nobody asks for the items
    fragments = explicit(PIXEL_DATA, b"OB", implicit(ITEM) * 9 + implicit(SEQUENCE_END), UNDEFINED)
    assert len(decode(fragments, JPEG, limits=Limits(data_set_elements=1)).PixelData) == 72


def test_deflated_data_grows_so_long_and_no_longer() -> None:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = deflater.compress(explicit(PIXEL_DATA, b"OB", bytes(1 << 20))) + deflater.flush()
    assert len(bomb) < 2_000
    assert len(decode(bomb, DEFLATED, limits=Limits(inflated_data_set=(1 << 20) + 12)).PixelData) == 1 << 20
    with pytest.raises(DataSetError, match="becomes longer than 1048587 bytes"):
        decode(bomb, DEFLATED, limits=Limits(inflated_data_set=(1 << 20) + 11))
    with pytest.raises(DataSetError, match="not complete"):
        decode(bomb[:-5], DEFLATED)
    with pytest.raises(DataSetError, match="not complete"):
        decode(b"", DEFLATED)
    with pytest.raises(DataSetError, match="cannot be inflated"):
        decode(b"\xff" * 10, DEFLATED)


# --- a few elements of many -------------------------------------------------------------------------------------------

PATIENT_ID, STUDY, MODALITY = 0x00100020, 0x0020000D, 0x00080060


@for_each("transfer_syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_a_few_elements_are_read_from_the_top(transfer_syntax: str) -> None:
    item, dataset = Dataset(), Dataset()
    item.PatientID = "inside"
    dataset.Modality, dataset.PatientID, dataset.StudyInstanceUID = "CT", "1 ", "1.2.345"
    dataset.ReferencedStudySequence = [item, item]
    dataset.add_new(0x7FE00010, "OB", bytes(1 << 22))
    data = encode(dataset, transfer_syntax)
    found = {MODALITY: "CT", PATIENT_ID: "1", STUDY: "1.2.345"}
    assert read_text(memoryview(data), transfer_syntax, found.keys()) == found
    assert read_text(data, transfer_syntax, [PATIENT_ID, 0x00100030]) == {PATIENT_ID: "1"}
    assert read_text(data, transfer_syntax, []) == {}
    assert read_text(data, transfer_syntax, [0x00080061]) == {}


def test_nothing_is_looked_at_behind_them() -> None:
    data = implicit(PATIENT_ID, b"1 ") + implicit(0x00100030, b"2026", 99)
    assert read_text(data, IMPLICIT, [PATIENT_ID]) == {PATIENT_ID: "1"}
    with pytest.raises(DataSetError):
        read_text(data, IMPLICIT, [STUDY])
    assert read_text(b"", IMPLICIT, [STUDY]) == {}
    nested_first = nested(3, defined=False)
    assert read_text(nested_first + implicit(0x0040A731, b"ab"), IMPLICIT, [0x0040A731]) == {0x0040A731: "ab"}


def test_elements_that_are_no_text_are_refused() -> None:
    for data in (implicit(STUDY, bytes(1025)), implicit(STUDY, b"", UNDEFINED), implicit(STUDY, b"1.2", 4)):
        with pytest.raises(DataSetError):
            read_text(data, IMPLICIT, [STUDY])
    with pytest.raises(DataSetError, match="cannot be inflated"):
        read_text(b"\xff" * 10, DEFLATED, [STUDY])
    with pytest.raises(LocalProtocolError):
        read_text(b"", "1.2.3", [STUDY])


FRAGMENTS = implicit(ITEM) + implicit(ITEM, b"abcd")
GOOD = {
    "sequence of a private element": (
        IMPLICIT,
        implicit(0x00091001, implicit(ITEM) + implicit(SEQUENCE_END), UNDEFINED),
    ),
    "no sequence of a private element": (IMPLICIT, implicit(0x00091001, implicit(SEQUENCE_END), UNDEFINED)),
    "unknown VR": (EXPLICIT, explicit(0x00091001, b"ZX", b"abcd")),
    "UN as a sequence": (EXPLICIT, explicit(CONTENT_SEQUENCE, b"UN", implicit(ITEM, implicit(0x00280010, b"\1\0")))),
    "UN as bytes": (EXPLICIT, explicit(0x00091001, b"UN", b"\0\1\2\3")),
    "UN as bytes in big endian": (BIG, explicit(CONTENT_SEQUENCE, b"UN", implicit(ITEM), order=">")),
    "UN of undefined length": (
        EXPLICIT,
        explicit(0x00091001, b"UN", implicit(ITEM) + implicit(SEQUENCE_END), UNDEFINED),
    ),
    "fragments": (JPEG, explicit(PIXEL_DATA, b"OB", FRAGMENTS + implicit(SEQUENCE_END), UNDEFINED)),
    "implicit instead of explicit": (EXPLICIT, implicit(0x00280010, b"\1\0") + implicit(0x00280011, b"\1\0")),
    "implicit among explicit": (EXPLICIT, explicit(0x00280010, b"US", b"\1\0") + implicit(0x00280011, b"\1\0")),
    "implicit items": (
        EXPLICIT,
        explicit(CONTENT_SEQUENCE, b"SQ", implicit(ITEM, implicit(0x00280010, b"\1\0") + implicit(0x00280011, b"AA"))),
    ),
}
BAD = {
    "half a tag": (IMPLICIT, b"\x10\0\x20"),
    "no length": (EXPLICIT, b"\x10\0\x20\0LO"),
    "no long length": (EXPLICIT, explicit(PIXEL_DATA, b"OW")[:-1]),
    "value cut off": (IMPLICIT, implicit(0x00100020, b"abc", 4)),
    "item out of place": (IMPLICIT, implicit(ITEM, b"abcd")),
    "end of item out of place": (IMPLICIT, implicit(ITEM_END)),
    "end of sequence out of place": (EXPLICIT, implicit(SEQUENCE_END)),
    "element instead of an item": (IMPLICIT, implicit(CONTENT_SEQUENCE, implicit(0x00100020, b"ab"))),
    "item longer than its sequence": (IMPLICIT, implicit(CONTENT_SEQUENCE, implicit(ITEM, length=8)) + bytes(8)),
    "element longer than its item": (
        IMPLICIT,
        implicit(CONTENT_SEQUENCE, implicit(ITEM, implicit(0x00100020, length=8))) + bytes(8),
    ),
    "sequence without its end": (IMPLICIT, implicit(CONTENT_SEQUENCE, implicit(ITEM), UNDEFINED)),
    "item without its end": (IMPLICIT, implicit(CONTENT_SEQUENCE, implicit(ITEM, length=UNDEFINED))),
    "end of a sequence of defined length": (IMPLICIT, implicit(CONTENT_SEQUENCE, implicit(SEQUENCE_END))),
    "end with a length": (IMPLICIT, implicit(CONTENT_SEQUENCE, implicit(SEQUENCE_END, length=1), UNDEFINED)),
    "nothing of undefined length": (IMPLICIT, implicit(0x00091001, length=UNDEFINED)),
    "fragments without their end": (JPEG, explicit(PIXEL_DATA, b"OB", FRAGMENTS, UNDEFINED)),
    "no fragments": (JPEG, explicit(PIXEL_DATA, b"OB", b"abcdefgh" + implicit(SEQUENCE_END), UNDEFINED)),
    "fragment of undefined length": (
        JPEG,
        explicit(PIXEL_DATA, b"OB", implicit(ITEM, length=UNDEFINED) + implicit(SEQUENCE_END), UNDEFINED),
    ),
    "fragment cut off": (JPEG, explicit(PIXEL_DATA, b"OB", implicit(ITEM, b"abcd", 6), UNDEFINED)),
    "text of undefined length": (EXPLICIT, explicit(0x00091001, b"UT", b"abcdefgh", UNDEFINED)),
}


@for_each(("transfer_syntax", "data"), GOOD.values(), ids=GOOD)
def test_data_that_is_sound(transfer_syntax: str, data: bytes) -> None:
    dataset = decode(data, transfer_syntax)
    assert 1 <= len(dataset) <= 2
    assert decode(encode(dataset, transfer_syntax), transfer_syntax).keys() == dataset.keys()


@for_each(("transfer_syntax", "data"), BAD.values(), ids=BAD)
def test_data_that_is_not_sound(transfer_syntax: str, data: bytes) -> None:
    with pytest.raises(DataSetError):
        walk(decode(data, transfer_syntax))


def test_implicit_items_in_an_explicit_data_set() -> None:
    (item,) = decode(GOOD["implicit items"][1], EXPLICIT).ContentSequence
    assert (item.Rows, item.Columns) == (1, 0x4141)
    (item,) = decode(GOOD["UN as a sequence"][1], EXPLICIT).ContentSequence
    assert item.Rows == 1


def test_a_long_implicit_element_is_not_taken_for_an_explicit_one() -> None:
    dataset = decode(implicit(0x00100020, bytes(0x4B4C)), IMPLICIT)
    assert len(dataset.get_item(0x00100020).value) == 0x4B4C


def walk(dataset: Dataset, depth: int = 0) -> int:
    """Read all values and visit all sequences; return how deep that goes."""
    deepest = depth
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                deepest = max(deepest, walk(item, depth + 1))
    return deepest


def decode_anything(data: bytes, transfer_syntax: str) -> None:
    limits = Limits(inflated_data_set=1 << 16, data_set_elements=1_000)
    with suppress(DataSetError):
        assert walk(decode(data, transfer_syntax, limits=limits)) <= MAX_DEPTH
    with suppress(DataSetError, LocalProtocolError):
        encode(decode(data, transfer_syntax, limits=limits), transfer_syntax)


SYNTAXES = st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG])
TAGS = st.sampled_from([ITEM, ITEM_END, SEQUENCE_END, CONTENT_SEQUENCE, PIXEL_DATA, 0x00080005, 0x00091001, 0x50002600])
LENGTHS = st.sampled_from([None, UNDEFINED, 0, 1, 4, 8, 12, 16, 24])
VRS = st.sampled_from([b"SQ", b"UN", b"OB", b"UT", b"US", b"ZX", b"\0\0"])


@st.composite
def pieces(draw: st.DrawFn) -> bytes:
    """Parts of data sets in an order that is nearly right, now and then."""
    data = b""
    for _ in range(draw(st.integers(0, 6))):
        tag, length, value = draw(TAGS), draw(LENGTHS), draw(st.sampled_from([b"", b"ab", data]))
        if draw(st.booleans()):
            data += implicit(tag, value, length)
        else:
            data += explicit(tag, draw(VRS), value, None if length is None else length & 0xFFFF)
    return data


@given(data=pieces(), transfer_syntax=SYNTAXES)
def test_only_data_set_errors_for_pieces(data: bytes, transfer_syntax: str) -> None:
    decode_anything(data, transfer_syntax)


@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), transfer_syntax=SYNTAXES)
def test_only_data_set_errors_for_damaged_data(changes: list[tuple[int, int]], transfer_syntax: str) -> None:
    data = bytearray(encode(sample(), transfer_syntax))
    for position, value in changes:
        data[position % len(data)] = value
    decode_anything(bytes(data), transfer_syntax)


@given(data=st.binary(max_size=64), transfer_syntax=SYNTAXES)
def test_only_data_set_errors_for_noise(data: bytes, transfer_syntax: str) -> None:
    decode_anything(data, transfer_syntax)


# -- files -------------------------------------------------------------------------------------------------------------

FILES = {
    "CT_small.dcm": EXPLICIT,
    "MR_small_implicit.dcm": IMPLICIT,
    "MR_small_bigendian.dcm": BIG,
    "reportsi.dcm": EXPLICIT,
    "rtplan.dcm": IMPLICIT,
    "image_dfl.dcm": DEFLATED,
    "MR_small_RLE.dcm": RLE,
    "SC_rgb_jpeg_dcmtk.dcm": JPEG,
    "JPEG2000-embedded-sequence-delimiter.dcm": "1.2.840.10008.1.2.4.91",
    "priv_SQ.dcm": IMPLICIT,
}


@for_each(("name", "transfer_syntax"), FILES.items(), ids=FILES)
def test_the_data_set_of_a_file_as_it_lies(name: str, transfer_syntax: str) -> None:
    content, expected = bundled(name), dcmread(BytesIO(bundled(name)))
    meta = read_file_meta(content, complete=True)
    assert isinstance(meta, FileMeta)
    assert meta.stated
    assert meta.transfer_syntax == transfer_syntax == expected.file_meta.TransferSyntaxUID
    assert meta.sop_class_uid == expected.get("SOPClassUID", expected.file_meta.MediaStorageSOPClassUID)
    assert meta.sop_instance_uid == expected.get("SOPInstanceUID", expected.file_meta.MediaStorageSOPInstanceUID)
    assert read_file_meta(memoryview(content)) == meta
    as_it_lies = content[meta.data_offset :]
    dataset = decode(as_it_lies, transfer_syntax)
    assert dataset == Dataset(expected)
    if transfer_syntax == DEFLATED:  # compressed by somebody else's zlib
        assert encode(decode(encode(dataset, DEFLATED), DEFLATED), EXPLICIT) == encode(dataset, EXPLICIT)
    else:
        assert encode(decode(as_it_lies, transfer_syntax), transfer_syntax) == as_it_lies


def test_the_head_of_a_file_is_read_from_ever_more_of_it() -> None:
    for name in ("CT_small.dcm", "rtstruct.dcm", "image_dfl.dcm"):
        content = bundled(name)
        whole, known, steps = read_file_meta(content, complete=True), 0, 0
        while isinstance(meta := read_file_meta(content[:known]), NeedBytes):
            assert meta.count > known
            known, steps = meta.count, steps + 1
        assert meta == whole
        assert known <= 2_048
        assert steps <= 6


@for_each(
    ("name", "transfer_syntax"),
    [
        ("rtstruct.dcm", IMPLICIT),
        ("ExplVR_LitEndNoMeta.dcm", EXPLICIT),
        ("ExplVR_BigEndNoMeta.dcm", BIG),
    ],
)
def test_a_bare_data_set_is_told_from_a_file(name: str, transfer_syntax: str) -> None:
    meta, expected = read_file_meta(bundled(name)), dcmread(BytesIO(bundled(name)), force=True)
    assert meta == FileMeta(
        transfer_syntax=transfer_syntax,
        sop_class_uid=expected.SOPClassUID,
        sop_instance_uid=expected.SOPInstanceUID,
        data_offset=0,
        stated=False,
    )


def test_file_preamble_and_meta() -> None:
    head = file_preamble_and_meta(CT, UID_1, JPEG, source_ae_title="STORE_SCU")
    assert head[:128] == bytes(128)
    written = dcmread(BytesIO(head + encode(sample(), JPEG)))
    assert Dataset(written) == sample()
    assert {element.keyword: element.value for element in written.file_meta} == {
        "FileMetaInformationGroupLength": len(head) - 144,
        "FileMetaInformationVersion": b"\0\1",
        "MediaStorageSOPClassUID": CT,
        "MediaStorageSOPInstanceUID": UID_1,
        "TransferSyntaxUID": JPEG,
        "ImplementationClassUID": IMPLEMENTATION_CLASS_UID,
        "ImplementationVersionName": IMPLEMENTATION_VERSION_NAME,
        "SourceApplicationEntityTitle": "STORE_SCU",
    }
    assert head == file_preamble_and_meta(CT, UID_1, JPEG, source_ae_title="STORE_SCU")
    assert read_file_meta(head + encode(sample(), JPEG)) == FileMeta(
        transfer_syntax=JPEG, sop_class_uid=CT, sop_instance_uid=UID_1, data_offset=len(head), stated=True
    )


def test_file_meta_with_what_peers_call_themselves() -> None:
    head = file_preamble_and_meta(
        CT,
        "1." * 40 + "1",
        IMPLICIT,
        source_ae_title="    ",
        sending_ae_title="GERÄT 1",
        receiving_ae_title="LONGER THAN ALLOWED",
        implementation_class_uid="1.2.3",
        implementation_version_name="MINE",
    )
    meta = dcmread(BytesIO(head)).file_meta
    assert "SourceApplicationEntityTitle" not in meta
    assert (meta.SendingApplicationEntityTitle, meta.ReceivingApplicationEntityTitle) == ("GER?T 1", "LONGER THAN ALLO")
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == ("1.2.3", "MINE")
    for uid in ("", "1.2.3\0", "1.2\\3", "1.é", "1" * 0xFFFF):
        with pytest.raises(InvalidNameError, match="cannot be the UID of an object"):
            file_preamble_and_meta(CT, uid, IMPLICIT)
    for uid in ("../1", "1/2"):
        with pytest.raises(InvalidNameError, match="slash"):
            file_preamble_and_meta(CT, uid, IMPLICIT)
    assert b"LOCALIZER1.02" in file_preamble_and_meta(CT, "LOCALIZER1.02", IMPLICIT)
    with pytest.raises(InvalidNameError):
        file_preamble_and_meta(CT, UID_1, "nonsense")
    with pytest.raises(InvalidNameError):
        file_preamble_and_meta(CT, UID_1, IMPLICIT, implementation_version_name="")


def head(*elements: bytes) -> bytes:
    return bytes(128) + b"DICM" + b"".join(elements)


def text(tag: int, value: str) -> bytes:
    return explicit(tag, b"UI", value.encode() + b"\0" * (len(value) % 2))


OWN_UIDS = text(0x00080016, CT) + text(0x00080018, UID_1)


def meta_of(content: bytes, *, complete: bool = True) -> FileMeta:
    meta = read_file_meta(content, complete=complete)
    assert isinstance(meta, FileMeta)
    return meta


META_UIDS = text(0x00020002, "1.2.8"), text(0x00020003, "1.2.9")


@for_each("transfer_syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG])
def test_an_object_is_what_its_data_set_says(transfer_syntax: str) -> None:
    content = head(*META_UIDS, text(0x00020010, transfer_syntax)) + encode(sample(), transfer_syntax)
    assert (meta_of(content).sop_class_uid, meta_of(content).sop_instance_uid) == (CT, UID_1)


def test_the_meta_information_says_what_the_data_set_does_not() -> None:
    start = head(*META_UIDS, text(0x00020010, EXPLICIT))
    meta = meta_of(start + text(0x00080016, CT) + explicit(0x00100020, b"LO", b"12"))
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (CT, "1.2.9")
    private = meta_of(head(*META_UIDS, text(0x00020010, "1.2.3.4")) + b"whatever it is")
    assert (private.transfer_syntax, private.sop_class_uid, private.sop_instance_uid) == ("1.2.3.4", "1.2.8", "1.2.9")


def test_a_file_may_end_early() -> None:
    start = head(*META_UIDS, text(0x00020010, EXPLICIT))
    for content in (start, start + OWN_UIDS[:34], start + explicit(0x00041130, b"CS", b"DISC")):
        assert meta_of(content).data_offset == len(start)
        assert meta_of(content).sop_instance_uid == "1.2.9"
    with pytest.raises(LocalProtocolError, match="no complete DICOM file"):
        read_file_meta(start + OWN_UIDS[:20], complete=True)


def test_the_beginning_of_deflated_data_may_need_more_of_the_file() -> None:
    content = head(text(0x00020010, DEFLATED)) + encode(decode(OWN_UIDS, EXPLICIT), DEFLATED)
    assert meta_of(content).sop_instance_uid == UID_1
    assert read_file_meta(content[:-8]) == NeedBytes(2 * len(content[:-8]))


def test_a_transfer_syntax_that_the_meta_information_lacks_is_guessed() -> None:
    meta = meta_of(head(text(0x00020002, CT), text(0x00020010, "")) + OWN_UIDS)
    assert (meta.transfer_syntax, meta.stated, meta.sop_class_uid) == (EXPLICIT, False, CT)


def test_meta_information_without_a_preamble() -> None:
    meta = meta_of((text(0x00020010, EXPLICIT) + OWN_UIDS).ljust(140, b"\0"), complete=False)
    assert (meta.transfer_syntax, meta.stated, meta.data_offset) == (EXPLICIT, True, len(text(0x00020010, EXPLICIT)))


def test_deflated_data_may_begin_like_meta_information() -> None:
    uids = text(0x00020002, CT), text(0x00020003, UID_1), text(0x00020010, DEFLATED)
    length = explicit(0x00020000, b"UL", struct.pack("<L", sum(map(len, uids))))
    start = head(length, *uids)
    # a block with fixed codes can begin so; this one is no good, which shows that it was taken for deflated data
    with pytest.raises(LocalProtocolError, match="the deflated data set cannot be inflated"):
        read_file_meta(start + b"\2\0" + b"\xff" * 20)


@for_each("wrong", [0, 7, 1 << 20])
def test_a_wrong_group_length_does_no_harm(wrong: int) -> None:
    start = head(
        explicit(0x00020000, b"UL", struct.pack("<L", wrong)),
        text(0x00020002, CT),
        text(0x00020003, UID_1),
        text(0x00020010, EXPLICIT),
    )
    assert meta_of(start + OWN_UIDS).data_offset == len(start)


NO_FILES: dict[str, Any] = {
    "nothing": b"",
    "text": b"This is no file of that kind. " * 20,
    "zeros": bytes(1_000),
    "no UIDs": head(text(0x00020010, EXPLICIT)) + explicit(0x00100020, b"LO", b"12"),
    "no SOP Instance UID": head(text(0x00020010, EXPLICIT)) + text(0x00080016, CT) + explicit(0x00100020, b"LO", b"12"),
    "a sequence before the UIDs": head(text(0x00020010, EXPLICIT))
    + explicit(0x00080006, b"SQ", implicit(SEQUENCE_END), UNDEFINED)
    + OWN_UIDS,
    "half a head": file_preamble_and_meta(CT, UID_1, EXPLICIT)[:200],
    "no deflated data": head(text(0x00020010, DEFLATED)) + b"\xff" * 20,
    "unknown transfer syntax": head(text(0x00020010, "1.2.3")) + OWN_UIDS,
}


@for_each("content", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file(content: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        read_file_meta(content, complete=True)


def test_the_head_of_a_file_has_a_bound() -> None:
    endless = head(explicit(0x00020102, b"OB", b"", 1 << 20))
    with pytest.raises(LocalProtocolError, match="no complete DICOM file"):
        read_file_meta(endless)
    # inflates to nothing but the beginning of an element
    deflater = zlib.compressobj(0, wbits=-zlib.MAX_WBITS)
    stored = deflater.compress(b"\x08") + deflater.flush(zlib.Z_FULL_FLUSH) + b"\0\0\0\xff\xff" * 210_000
    content = head(text(0x00020010, DEFLATED)) + stored
    for known in (1_000, 1 << 19, (1 << 20) - 1):
        assert read_file_meta(content[:known]) == NeedBytes(min(2 * known, 1 << 20))
    with pytest.raises(LocalProtocolError, match="no complete DICOM file"):
        read_file_meta(content[: 1 << 20])


def test_values_are_found_and_not_copied() -> None:
    """Of any VR and length: a sequence has its items, without its delimiter."""
    code, sample = Dataset(), Dataset()
    code.CodeValue = "1"
    sample.PatientID, sample.ProcedureCodeSequence = "4711", [code]
    sample["ProcedureCodeSequence"].is_undefined_length = True
    data = encode(sample, EXPLICIT)
    found = find_values(data, EXPLICIT, [PATIENT_ID, 0x00081032, 0x00100010])
    assert [*found] == [0x00081032, PATIENT_ID]
    assert bytes(found[PATIENT_ID]) == b"4711"
    assert found[PATIENT_ID].obj is data
    assert bytes(found[0x00081032]).endswith(b"SH\x02\x001 ")
