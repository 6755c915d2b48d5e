"""Walks over encoded data sets (PS3.5 7.1, 7.5, A.4)."""

import struct

import pytest
from pydicom.uid import UID

from dicom_proto.encoding.structure import (
    UNDEFINED,
    Element,
    Item,
    Structure,
    Syntax,
    TruncatedError,
    dictionary_vr,
    value_end,
)
from dicom_proto.errors import DataSetError, LocalProtocolError
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
    explicit,
    implicit,
)
from tests.proto.rows import for_each

END, ITEM_ENDS = implicit(SEQUENCE_END), implicit(ITEM_END)


def elements(data: bytes, *, is_implicit: bool = False, little: bool = True, max_depth: int = 32) -> list[Element]:
    return list(Structure(data, little=little).elements(0, len(data), implicit=is_implicit, max_depth=max_depth))


class Slices:
    """Data that can only be looked at in slices."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, where: slice) -> bytes:
        return self._data[where]


def items(data: bytes, *, is_implicit: bool = True, max_depth: int = 32) -> list[Item]:
    return list(Structure(data, little=True).items(0, len(data), implicit=is_implicit, max_depth=max_depth))


def test_elements_of_each_kind() -> None:
    data = (
        explicit(0x00080016, b"UI", b"1.2 ") + explicit(0x00091001, b"OB", b"ab") + explicit(0x00091002, b"ZX", b"ab")
    )
    data += implicit(0x00091003, b"ab") + explicit(0x00091004, b"LO")
    assert elements(data) == [
        Element(0x00080016, "UI", 4, 8, 12),
        Element(0x00091001, "OB", 2, 24, 26),
        Element(0x00091002, "ZX", 2, 34, 36),
        Element(0x00091003, "", 2, 44, 46),
        Element(0x00091004, "LO", 0, 54, 54),
    ]
    assert elements(explicit(0x00280010, b"US", b"\0\1", order=">"), little=False) == [
        Element(0x00280010, "US", 2, 8, 10)
    ]
    assert elements(implicit(0x00280010, b"\1\0"), is_implicit=True) == [Element(0x00280010, "", 2, 8, 10)]
    assert elements(b"") == []


def undefined(tag: int, vr: bytes, inside: bytes, *, order: str = "<") -> bytes:
    return explicit(tag, vr, inside, UNDEFINED, order) + implicit(SEQUENCE_END, order=order)


UNDEFINED_ITEM = implicit(ITEM, explicit(0x00100020, b"LO", b"ab"), UNDEFINED) + ITEM_ENDS


@for_each(
    ("data", "is_implicit"),
    [
        (undefined(CONTENT_SEQUENCE, b"SQ", b""), False),
        (undefined(CONTENT_SEQUENCE, b"SQ", implicit(ITEM, b"whatever") * 3), False),
        (undefined(CONTENT_SEQUENCE, b"SQ", UNDEFINED_ITEM * 2), False),
        (undefined(CONTENT_SEQUENCE, b"SQ", implicit(ITEM, b"", UNDEFINED) + ITEM_ENDS), False),
        (undefined(0x00091001, b"UN", implicit(ITEM, implicit(0x00100020, b"ab"), UNDEFINED) + ITEM_ENDS), False),
        (undefined(PIXEL_DATA, b"OB", implicit(ITEM) + implicit(ITEM, b"abcd")), False),
        (
            undefined(
                CONTENT_SEQUENCE,
                b"SQ",
                implicit(ITEM, undefined(PIXEL_DATA, b"OB", implicit(ITEM, b"ab")), UNDEFINED) + ITEM_ENDS,
            ),
            False,
        ),
        (implicit(CONTENT_SEQUENCE, UNDEFINED_ITEM, UNDEFINED) + END, True),
        (implicit(0x00091001, implicit(ITEM), UNDEFINED) + END, True),
        (implicit(0x00091001, b"", UNDEFINED) + END, True),
        (implicit(PIXEL_DATA, implicit(ITEM, b"ab"), UNDEFINED) + END, True),
    ],
)
def test_where_a_value_of_undefined_length_ends(data: bytes, is_implicit: bool) -> None:
    tail = implicit(0xFFFFFFF0, b"tail") if is_implicit else explicit(0xFFFFFFF0, b"LO", b"tail")
    first, second = elements(data + tail, is_implicit=is_implicit)
    assert (first.length, first.end) == (UNDEFINED, len(data) - 8)
    assert second.tag == 0xFFFFFFF0


def test_what_is_unknown_is_little_endian() -> None:
    """PS3.5 6.2.2: the items of a UN are implicit and little endian in big endian data too."""
    inside = implicit(ITEM, implicit(0x00100020, b"ab"), UNDEFINED) + ITEM_ENDS
    unknown = explicit(0x00091001, b"UN", inside, UNDEFINED, ">") + END
    assert elements(unknown, little=False)[0].end == len(unknown) - 8
    big = implicit(ITEM, unknown, UNDEFINED, ">") + implicit(ITEM_END, order=">")
    outer = undefined(CONTENT_SEQUENCE, b"SQ", big, order=">")
    assert elements(outer, little=False)[0].end == len(outer) - 8


def test_items_of_a_sequence() -> None:
    data = implicit(ITEM, b"abcd") + implicit(ITEM) + implicit(ITEM, implicit(0x00100020, b"ab"), UNDEFINED) + ITEM_ENDS
    assert items(data) == [Item(4, 8, 12), Item(0, 20, 20), Item(UNDEFINED, 28, 38)]
    assert items(b"") == []
    assert items(implicit(ITEM, b"ab"), max_depth=-1) == [Item(2, 8, 10)]


@for_each(
    ("data", "is_implicit"),
    [
        (implicit(ITEM), True),
        (implicit(ITEM_END), True),
        (implicit(CONTENT_SEQUENCE, implicit(ITEM_END), UNDEFINED), True),
        (implicit(CONTENT_SEQUENCE, implicit(SEQUENCE_END, length=1), UNDEFINED), True),
        (implicit(CONTENT_SEQUENCE, implicit(ITEM, implicit(ITEM_END, length=1), UNDEFINED), UNDEFINED), True),
        (implicit(CONTENT_SEQUENCE, implicit(ITEM, implicit(SEQUENCE_END), UNDEFINED), UNDEFINED), True),
        (explicit(PIXEL_DATA, b"OB", implicit(ITEM, b"", UNDEFINED) + END, UNDEFINED), False),
    ],
)
def test_what_is_out_of_place(data: bytes, is_implicit: bool) -> None:
    with pytest.raises(DataSetError, match="is out of place"):
        elements(data, is_implicit=is_implicit)


@for_each(
    ("data", "is_implicit"),
    [
        (b"\x10\0\x20\0", True),
        (explicit(PIXEL_DATA, b"OW")[:-1], False),
        (implicit(0x00100020, b"abc", 4), True),
        (explicit(0x00100020, b"LO", b"abc", 4), False),
        (implicit(CONTENT_SEQUENCE, b"", UNDEFINED), True),
        (implicit(CONTENT_SEQUENCE, implicit(ITEM, b"", 99), UNDEFINED), True),
        (implicit(CONTENT_SEQUENCE, implicit(ITEM, b"", UNDEFINED), UNDEFINED), True),
        (implicit(CONTENT_SEQUENCE, implicit(ITEM, implicit(0x00100020, b"a", 99), UNDEFINED), UNDEFINED), True),
    ],
)
def test_what_ends_outside_of_what_it_is_in(data: bytes, is_implicit: bool) -> None:
    with pytest.raises(TruncatedError) as caught:
        elements(data, is_implicit=is_implicit)
    assert caught.value.needed > len(data)


def test_items_that_are_none() -> None:
    for data in (implicit(0x00100020, b"ab"), implicit(ITEM, b"ab", 4), b"\xfe\xff"):
        with pytest.raises(DataSetError):
            items(data)
    with pytest.raises(DataSetError, match="out of place"):
        items(implicit(ITEM, ITEM_ENDS, UNDEFINED), max_depth=-1)
    assert value_end(0, 2, 3, 5) == 5


def nest(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        data = implicit(CONTENT_SEQUENCE, implicit(ITEM, data, UNDEFINED) + ITEM_ENDS, UNDEFINED) + END
    return data


def test_depth() -> None:
    assert elements(nest(3), is_implicit=True, max_depth=3)
    assert items(implicit(ITEM, nest(3), UNDEFINED) + ITEM_ENDS, max_depth=3)
    for depth in (0, 1, 2):
        with pytest.raises(DataSetError, match="nested deeper"):
            elements(nest(3), is_implicit=True, max_depth=depth)
        with pytest.raises(DataSetError, match="nested deeper"):
            items(implicit(ITEM, nest(3), UNDEFINED) + ITEM_ENDS, max_depth=depth)


def test_what_nobody_asks_for_is_passed_at_once() -> None:
    """What has a length is not looked at: it may be anything. Before a delimiter many items cost no stack."""
    assert len(elements(implicit(CONTENT_SEQUENCE, b"\xff" * (1 << 20)), is_implicit=True)) == 1
    with pytest.raises(DataSetError):
        elements(implicit(CONTENT_SEQUENCE, b"\xff" * (1 << 10), UNDEFINED) + END, is_implicit=True)
    many = implicit(ITEM) * 10_000
    assert len(elements(implicit(CONTENT_SEQUENCE, many, UNDEFINED) + END, is_implicit=True)) == 1


@for_each(
    ("data", "stated", "found"),
    [
        (b"", False, False),
        (b"", True, True),
        (explicit(0x00080016, b"UI", b"1.2 "), False, False),
        (implicit(0x00080016, b"1.2 "), False, True),
        (implicit(0x00080016, b"1.2 "), True, True),
        (explicit(0x00080016, b"UI", b"1.2 "), True, False),
        (explicit(0x00080016, b"UI", b"1.2 ") + explicit(0x00080018, b"UI", b"1.3 "), True, False),
        (explicit(0x00080016, b"UI", b"1.2 ") + implicit(0x00080018, b"1.3 "), True, True),
        (explicit(0x00080016, b"UI", b"1.2 ") + explicit(0x00080005, b"CS", b"1.3 "), True, True),
        (explicit(0x00080016, b"UI", b"1.2 ") + b"\x08\0", True, True),
        (explicit(0x00080016, b"UI", b"1.2 ", 6), True, True),
        (explicit(CONTENT_SEQUENCE, b"SQ", implicit(ITEM), UNDEFINED), True, False),
        (explicit(PIXEL_DATA, b"OB")[:-2], True, True),
        (explicit(0x00080016, b"UI"), True, False),
        (implicit(0x00080016, bytes(0x4955)), True, True),  # whose length has the letters UI
    ],
)
def test_whether_there_are_vrs(data: bytes, stated: bool, found: bool) -> None:
    """What is said of a data set, and what it is: some writers mix them up."""
    assert Structure(data, little=True).is_implicit(0, stated=stated) is found


def test_what_transfer_syntaxes_do() -> None:
    flags = {
        uid: (syntax.implicit, syntax.little, syntax.deflated, syntax.encapsulated)
        for uid, syntax in ((uid, Syntax.of(uid)) for uid in (IMPLICIT, EXPLICIT, DEFLATED, BIG, JPEG))
    }
    assert flags == {
        IMPLICIT: (True, True, False, False),
        EXPLICIT: (False, True, False, False),
        DEFLATED: (False, True, True, False),
        BIG: (False, False, False, False),
        JPEG: (False, True, False, True),
    }
    assert Syntax.of("1.2.840.10008.1.2.4.999").encapsulated
    private = UID("1.2.3.4.5")
    private.set_private_encoding(implicit_vr=True, little_endian=False)
    assert (Syntax.of(private).implicit, Syntax.of(private).little) == (True, False)
    for unknown in ("1.2.3.4.5", "1.2.840.10008.5.1.4.1.1.2", "implicit"):
        with pytest.raises(LocalProtocolError):
            Syntax.of(unknown)
    assert dictionary_vr(0x00100010) == "PN"
    assert dictionary_vr(0x00091001) is None
    assert struct.calcsize("<HHL") == 8


@pytest.mark.parametrize("little", [True, False])
def test_data_may_be_read_slice_by_slice(little: bool) -> None:
    """As a file is, of which nobody knows whether all of it is still there when it is looked at."""
    order = "<" if little else ">"
    data = (
        explicit(0x00080005, b"CS", b"ISO_IR 100", order=order)
        + explicit(CONTENT_SEQUENCE, b"SQ", b"", UNDEFINED, order)
        + implicit(ITEM, b"", UNDEFINED, order)
        + explicit(0x00080060, b"CS", b"CT", order=order)
        + implicit(ITEM_END, b"", 0, order)
        + implicit(SEQUENCE_END, b"", 0, order)
        + explicit(PIXEL_DATA, b"OW", bytes(100), order=order)
    )
    found: list[Element] = []
    for stated in (True, False):
        whole, sliced = (Structure(one, little=little) for one in (data, Slices(data)))
        implicit_vr = sliced.is_implicit(0, stated=stated)
        assert implicit_vr == whole.is_implicit(0, stated=stated)
        found = list(sliced.elements(0, len(data), implicit=implicit_vr, max_depth=3))
        assert found == list(whole.elements(0, len(data), implicit=implicit_vr, max_depth=3))
    assert [element.vr for element in found] == ["CS", "SQ", "OW"]
