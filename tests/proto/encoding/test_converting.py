"""Conversion piece by piece: bit for bit what the encoder makes of the decoded data set, or nothing at all."""

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.converting import Conversion, convert
from dicom_proto.encoding.datasets import FileMeta, decode, encode, read_file_meta
from dicom_proto.encoding.inflating import deflate
from dicom_proto.errors import DataSetError, LocalProtocolError
from tests.proto.encoding.lay import (
    BIG,
    CONTENT_SEQUENCE,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    explicit,
    implicit,
)
from tests.proto.profiles import times
from tests.proto.rows import for_each

SYNTAXES = [IMPLICIT, EXPLICIT, DEFLATED, BIG]


class BitByBit:
    """Data that is read where somebody looks at it."""

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.longest = 0

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, where: slice) -> Buffer:
        part = self.data[where]
        self.longest = max(self.longest, len(part))
        return bytes(part)


def inflated(data: bytes, transfer_syntax: str) -> bytes:
    return zlib.decompress(data, -zlib.MAX_WBITS) if transfer_syntax == DEFLATED else data


def by_encoder(data: Buffer, first: str, second: str) -> bytes | None:
    """What decoder and encoder make of it, ``None`` if they refuse."""
    try:
        return inflated(encode(decode(data, first), second), second)
    except (DataSetError, LocalProtocolError):
        return None


def by_pieces(conversion: Conversion, second: str) -> bytes:
    """What a conversion gives, twice the same."""
    converted = b"".join(conversion.pieces())
    assert converted == b"".join(conversion.pieces())
    assert len(converted) % 2 == 0
    assert conversion.length == (None if second == DEFLATED else len(converted))
    return inflated(converted, second)


def assert_same(data: Buffer, first: str, second: str, *, is_certain: bool = False) -> None:
    """Judge by the encoder: a conversion gives the same, or there is none."""
    expected = by_encoder(data, first, second)
    for seen, whole in ((data, None), (BitByBit(data), memoryview(data))):
        conversion = convert(seen, first, second, whole=whole)
        assert not (is_certain and conversion is None)
        if conversion is not None:
            assert by_pieces(conversion, second) == expected


# --- any data set -----------------------------------------------------------------------------------------------------

# Tags whose VR, or whose bytes, depend on others, and some that do not.
TAGS = {
    0x00080000: "UL", 0x00080005: "CS", 0x00080018: "UI", 0x00090000: "UL", 0x00090010: "LO", 0x00091001: "LO",
    0x00091027: "SL", 0x000910E2: "FL", 0x00100010: "PN", 0x00189810: "US or SS", 0x00209165: "AT", 0x00280010: "US",
    0x00280100: "US", 0x00280103: "US", 0x00280106: "US or SS", 0x00281101: "US or SS", 0x00281201: "OW",
    0x00283002: "US or SS", 0x00283006: "US or OW", 0x00287FE0: "UT", 0x00289001: "UL", 0x00400100: "SQ",
    0x0040A730: "SQ", 0x50000103: "US", 0x50002002: "US", 0x5000200C: "OB or OW", 0x50003000: "OB or OW",
    0x54000110: "OB or OW", 0x54001004: "US", 0x54001010: "OB or OW", 0x60003000: "OB or OW", 0x00720074: "FD",
    0x00720082: "SV", 0x00720083: "UV", 0x00720067: "OD", 0x00720069: "OF", 0x00720075: "OL", 0x00720066: "LO",
    0x7FE00001: "OV", 0x7FE00010: "OB or OW", 0xFFFCFFFC: "OB", 0x00770010: "LO", 0x00771099: "UN",
}  # fmt: skip
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UN", "UT", "UV"}
CREATORS = [b"GEMS_IDEN_01", b"ACME 1.1", b"\xe4"]
NUMBERS = st.sampled_from([0, 1, 2, 3, 8, 12, 16]).map(lambda number: struct.pack("<H", number))


@st.composite
def data_sets(draw: Any, *, is_implicit: bool, order: str, odd: bool, depth: int = 2) -> bytes:
    """An encoded data set: sound, but for what ``odd`` lets in."""
    parts = []
    tags = draw(st.lists(st.sampled_from(list(TAGS)), max_size=8, unique=True))
    for tag in tags if odd and draw(st.integers(0, 9)) == 9 else sorted(tags):
        vrs = TAGS[tag].split(" or ")
        vr = draw(st.sampled_from([*vrs, *(["UN"] if tag & 0xFFFF else []), *(["ZZ"] if odd else [])]))
        is_unknown = not is_implicit and vr == "UN"
        undefined = odd and draw(st.integers(0, 19)) == 19
        if vrs == ["SQ"]:
            undefined = draw(st.booleans())
            inner = (True, "<") if is_unknown else (is_implicit, order)
            value = draw(sequences(*inner, odd, depth - 1)) if depth else b""
        else:
            value = draw(values(tag, odd))
            if order == ">" and vr in {"US", "SS"} and not is_unknown:
                value = value[1::-1] + value[2:] if len(value) == 2 else value
        if not is_implicit and vr not in LONG:
            undefined, value = False, value[:0xFFFE]
        length = UNDEFINED if undefined else None
        end_order = "<" if is_unknown else order
        parts.append(
            implicit(tag, value, length, order) if is_implicit else explicit(tag, vr.encode(), value, length, order)
        )
        if undefined:
            parts.append(implicit(SEQUENCE_END, order=end_order))
    return b"".join(parts)


@st.composite
def sequences(draw: Any, is_implicit: bool, order: str, odd: bool, depth: int) -> bytes:
    """The value of a sequence."""
    parts = []
    for undefined in draw(st.lists(st.booleans(), max_size=2)):
        item = draw(data_sets(is_implicit=is_implicit, order=order, odd=odd, depth=depth))
        parts.append(implicit(ITEM, item, UNDEFINED if undefined else None, order))
        if undefined:
            parts.append(implicit(ITEM_END, order=order))
    return b"".join(parts)


def values(tag: int, odd: bool) -> st.SearchStrategy[bytes]:
    """A value: whole numbers of any VR, unless it is odd; a short one if others depend on it."""
    if tag & 0xFFFF == 0:
        return st.just(bytes(4))
    if tag & 0x1FF00 == 0x10000:
        return st.sampled_from(CREATORS)
    if tag == 0x00080005:
        return st.sampled_from([b"ISO_IR 100", b"ISO_IR 192", b""])
    if TAGS[tag] == "US":
        return NUMBERS
    lengths = [0, 8, 16, 24, 1 << 15, *([1, 2, 3, 6, 1 << 16] if odd else [])]
    return st.sampled_from(lengths).map(lambda length: bytes(at % 251 for at in range(length)))


def encoded(first: str, odd: bool) -> st.SearchStrategy[bytes]:
    is_implicit, order = first == IMPLICIT, ">" if first == BIG else "<"
    return data_sets(is_implicit=is_implicit, order=order, odd=odd)


ANY = st.sampled_from(SYNTAXES)


@times(4)
@given(ANY, ANY, st.data())
def test_what_is_sound(first: str, second: str, data: Any) -> None:
    plain = data.draw(encoded(first, odd=False))
    assert_same(deflate(plain) if first == DEFLATED else plain, first, second)


@times(4)
@given(ANY, ANY, st.data())
def test_what_is_odd(first: str, second: str, data: Any) -> None:
    """Values of odd lengths, elements out of order, undefined lengths where there can be none, VRs that are none."""
    plain = data.draw(encoded(first, odd=True))
    plain = plain[: len(plain) - max(0, data.draw(st.integers(-9, 3)))]
    assert_same(deflate(plain) if first == DEFLATED else plain, first, second)


# --- data sets that are there -----------------------------------------------------------------------------------------


def bundled() -> Iterator[tuple[str, str, bytes]]:
    """Name, transfer syntax and data set of the uncompressed files that come inside of pydicom's wheel."""
    for path in sorted(Path(str(get_testdata_file("CT_small.dcm", download=False))).parent.glob("*.dcm")):
        content = path.read_bytes()
        with suppress(LocalProtocolError):  # it is a directory of media, or no DICOM file
            meta = read_file_meta(content, complete=True)
            if isinstance(meta, FileMeta) and meta.transfer_syntax in SYNTAXES:
                yield path.name, meta.transfer_syntax, content[meta.data_offset :]


def test_files() -> None:
    count = 0
    for name, first, data in bundled():
        if len(data) < 20_000:
            for second in SYNTAXES:
                is_whole = "truncated" not in name
                assert_same(data, first, second, is_certain=is_whole)
                count += is_whole
    assert count > 30


# --- memory -----------------------------------------------------------------------------------------------------------

LENGTH = (5 << 20) + 6
LARGE = explicit(0x00280100, b"US", b"\x10\0") + explicit(PIXEL_DATA, b"OW", bytes(LENGTH))


def test_a_long_value_is_read_piece_by_piece() -> None:
    data = BitByBit(LARGE)
    tracemalloc.start()
    try:
        for second in (IMPLICIT, BIG, DEFLATED):
            conversion = convert(data, EXPLICIT, second)
            assert conversion is not None
            length = sum(map(len, conversion.pieces()))
            assert conversion.length in (length, None)
        assert tracemalloc.get_traced_memory()[1] < LENGTH
    finally:
        tracemalloc.stop()
    assert data.longest <= 1 << 20
    for second in SYNTAXES:
        assert_same(LARGE, EXPLICIT, second, is_certain=True)


def test_a_long_value_that_stays_as_it_is_is_handed_out_as_it_lies() -> None:
    """So a file that is mapped is sent without being touched."""
    whole = memoryview(LARGE)
    for data in (BitByBit(LARGE), LARGE):
        conversion = convert(data, EXPLICIT, IMPLICIT, whole=whole)
        assert conversion is not None
        *_, pixels = conversion.pieces()
        assert isinstance(pixels, memoryview)
        assert pixels.obj is LARGE
        assert len(pixels) == LENGTH


def test_many_short_ones_come_in_blocks() -> None:
    item = implicit(ITEM, implicit(0x00081150, bytes(10_000)) + implicit(0x00081155, bytes(30)))
    data = implicit(0x00081115, item * 250)
    conversion = convert(data, IMPLICIT, EXPLICIT)
    assert conversion is not None
    lengths = [len(piece) for piece in conversion.pieces()]
    assert len(lengths) == 3
    assert max(lengths) < (1 << 20) + 20_000
    assert_same(data, IMPLICIT, EXPLICIT, is_certain=True)


# --- what is left to the encoder --------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = implicit(CONTENT_SEQUENCE, implicit(ITEM, data))
    return data


ODD_INSIDE = implicit(
    CONTENT_SEQUENCE,
    implicit(ITEM, implicit(0x00080018, b"1"), UNDEFINED) + implicit(ITEM_END) + implicit(SEQUENCE_END),
    UNDEFINED,
)
UNKNOWN = explicit(0x00400100, b"UN", implicit(ITEM, ODD_INSIDE) + implicit(SEQUENCE_END), UNDEFINED)


@for_each(
    ("data", "first", "second"),
    [
        (explicit(0x00280010, b"US", bytes(2)), IMPLICIT, BIG),  # it is in another transfer syntax
        (implicit(0x00280011) + implicit(0x00280010), IMPLICIT, EXPLICIT),
        (implicit(0x00280010) * 2, IMPLICIT, EXPLICIT),
        (b"".join(implicit(0x00290000 + at) for at in range(0x100)) + implicit(0x00290010, bytes(2000)), IMPLICIT, BIG),
        (implicit(0x00290010, bytes(2000)), IMPLICIT, EXPLICIT),
        (b"".join(implicit(at + 0x300000) for at in range((1 << 16) + 1)), IMPLICIT, EXPLICIT),
        (nested(33), IMPLICIT, EXPLICIT),
        (implicit(0x00280010, b"123"), IMPLICIT, EXPLICIT),
        (implicit(0x00280010, b"123"), IMPLICIT, BIG),
        (implicit(0x00209165, b"12"), IMPLICIT, BIG),
        (implicit(0x00100010, bytes(1 << 16)), IMPLICIT, EXPLICIT),
        (explicit(PIXEL_DATA, b"OB", b"", UNDEFINED) + implicit(SEQUENCE_END), EXPLICIT, IMPLICIT),
        (explicit(0x00280010, b"ZZ", bytes(2))[:4] + b"AA\1\0" + b"1", EXPLICIT, IMPLICIT),
        (explicit(0x7FE00001, b"OV", bytes(8)), EXPLICIT, IMPLICIT),
        (ODD_INSIDE, IMPLICIT, IMPLICIT),
        (UNKNOWN, EXPLICIT, IMPLICIT),
        (b"\xff" * 9, DEFLATED, EXPLICIT),
        (implicit(0x00280010, bytes(2))[:-1], IMPLICIT, EXPLICIT),
    ],
)
def test_the_encoder_is_the_judge(data: bytes, first: str, second: str) -> None:
    if data[:4] == b"\x28\0\x10\0" and data[4:6] == b"AA":
        assert_same(data, first, second)
        return
    assert convert(data, first, second) is None


def test_vrs_that_nobody_knows() -> None:
    assert_same(explicit(0x00280010, b"ZZ", bytes(3)), EXPLICIT, BIG, is_certain=True)
    lower = explicit(0x00280010, b"US", bytes(2)) + explicit(0x00280011, b"uS", bytes(2))
    assert convert(lower, EXPLICIT, BIG) is None


@for_each(
    "other",
    [
        implicit(0x00400100, implicit(ITEM) * 2) + implicit(0x00400110, b"1234"),
        implicit(0x00400100, implicit(ITEM) * 3) + implicit(0x00400110, b"12"),
        implicit(0x00400100, implicit(ITEM)) + implicit(0x00400110, b"12"),
        implicit(0x00400100, b"") + implicit(0x00400110, b"12"),
    ],
)
def test_what_changes_meanwhile_is_noticed(other: bytes) -> None:
    data = BitByBit(implicit(0x00400100, implicit(ITEM) * 2) + implicit(0x00400110, b"12"))
    conversion = convert(data, IMPLICIT, EXPLICIT)
    assert conversion is not None
    data.data = other
    with pytest.raises(DataSetError):
        list(conversion.pieces())
