"""Encapsulated values (PS3.5 A.4)."""

import struct

import pytest

from dicom_proto.encoding.fragments import Fragments
from dicom_proto.errors import DataSetError
from tests.proto.encoding.lay import ITEM, UNDEFINED, implicit


def offsets(*values: int, form: str = "L") -> bytes:
    return struct.pack(f"<{len(values)}{form}", *values)


def test_even_fragments_stay() -> None:
    value = implicit(ITEM) + implicit(ITEM, b"1234")
    assert Fragments(value).are_even
    assert Fragments(value).padded() is value
    assert Fragments(b"").are_even


def test_odd_fragments_get_a_null_and_tables_follow() -> None:
    """dcm4che#1199."""
    contents = [b"12345", b"abcd", b"123"]
    starts = [0, 13, 25]
    fragments = b"".join(implicit(ITEM, content) for content in contents)
    padded = b"".join(implicit(ITEM, content) for content in (b"12345\0", b"abcd", b"123\0"))
    odd = Fragments(implicit(ITEM, offsets(*starts)) + fragments)
    assert not odd.are_even
    assert odd.padded() == implicit(ITEM, offsets(0, 14, 26)) + padded
    assert Fragments(implicit(ITEM) + fragments).padded() == implicit(ITEM) + padded
    wrong = offsets(0, 7, 25)
    assert Fragments(implicit(ITEM, wrong) + fragments).padded() == implicit(ITEM, offsets(0, 7, 26)) + padded
    extended = offsets(*starts, form="Q")
    assert odd.moved(extended, 8) == offsets(0, 14, 26, form="Q")
    assert odd.moved(extended + b"rest", 8) == offsets(0, 14, 26, form="Q") + b"rest"


def test_a_table_of_no_whole_offsets_is_a_fragment_like_others() -> None:
    assert Fragments(implicit(ITEM, b"12345")).padded() == implicit(ITEM, b"12345\0")
    assert Fragments(b"").moved(offsets(0), 4) == offsets(0)


def test_what_is_not_encapsulated() -> None:
    for value in (b"abcd", b"abcdefgh", implicit(ITEM, b"ab", 4), implicit(ITEM, b"", UNDEFINED)):
        with pytest.raises(DataSetError):
            Fragments(value)
