"""Deflated data sets (PS3.5 A.5)."""

import tracemalloc
import zlib

import pytest

from dicom_proto.encoding.inflating import RATIO_COUNTS_FROM, Inflated, deflate, deflated, inflate, inflate_head
from dicom_proto.errors import DataSetError


def squeezed(length: int) -> bytes:
    """Zeros that become so many: after a full flush what follows stands for itself, so one piece may be repeated."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    piece = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return piece * (length >> 20) + deflater.flush()


def test_there_and_back() -> None:
    for data in (b"", b"abc", bytes(range(256)) * 5_000, b"x" * 3_000_000):
        deflated = deflate(data)
        assert len(deflated) % 2 == 0
        assert inflate(memoryview(deflated), max_length=1 << 23, max_ratio=1) == data
        assert inflate(deflated + b"\0" * 9, max_length=1 << 23, max_ratio=1) == data
        assert inflate_head(deflated, 1 << 20) == (data[: 1 << 20], len(data) <= 1 << 20)


def test_what_it_becomes_has_a_bound() -> None:
    bomb = squeezed(4 << 20)
    assert len(inflate(bomb, max_length=4 << 20, max_ratio=1)) == 4 << 20
    with pytest.raises(DataSetError, match=f"data set of {len(bomb)} bytes becomes longer than 4194303 bytes"):
        inflate(bomb, max_length=(4 << 20) - 1, max_ratio=1)


def test_what_becomes_much_longer_is_refused_on_the_way() -> None:
    """A bound of the ratio: 1 MB that becomes 1 GB costs what is kept until then, and not for long."""
    bomb = squeezed(72 << 20)
    assert RATIO_COUNTS_FROM == 64 << 20
    assert len(bomb) * 1_000 < 80 << 20
    tracemalloc.start()
    try:
        with pytest.raises(DataSetError, match=f"longer than {RATIO_COUNTS_FROM} bytes"):
            inflate(bomb, max_length=1 << 30, max_ratio=100)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
    assert len(inflate(bomb, max_length=1 << 30, max_ratio=1_100)) == 72 << 20


def test_what_is_not_deflated_or_not_complete() -> None:
    for wrong in (b"", squeezed(1 << 20)[:-5]):
        with pytest.raises(DataSetError, match="not complete"):
            inflate(wrong, max_length=1 << 21, max_ratio=1)
    for read in (lambda: inflate(b"\xff" * 9, max_length=9, max_ratio=1), lambda: inflate_head(b"\xff" * 9, 9)):
        with pytest.raises(DataSetError, match="cannot be inflated"):
            read()


def test_in_pieces() -> None:
    data = bytes(range(256)) * 10_000
    pieces = list(deflated(data[at : at + 999] for at in range(0, len(data), 999)))
    assert b"".join(pieces) == deflate(data)
    assert list(deflated(())) == [deflate(b"")]


def test_what_is_looked_at_bit_by_bit() -> None:
    """Anywhere, forwards and backwards, without all of it in memory."""
    piece, times = b"".join(number.to_bytes(4, "little") for number in range(1 << 18)), 20  # a MiB
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    deflated_piece = deflater.compress(piece) + deflater.flush(zlib.Z_FULL_FLUSH)
    data, length = deflated_piece * times + deflater.flush(), len(piece) * times
    tracemalloc.start()
    try:
        looked = Inflated(data, max_length=length, max_ratio=1)
        assert len(looked) == length
        for at in (length - 9, 5, 0, 3 << 20, (3 << 20) + 7, 1 << 20, 18 << 20, 1 << 24, (1 << 24) - 3, 0):
            assert looked[at : at + 9] == (piece * 2)[at % len(piece) :][: min(9, length - at)]
        assert looked[(1 << 20) + 1 : 4 << 20] == (piece * 3)[1:]
        assert looked[9:3] == looked[length:] == b""
        assert tracemalloc.get_traced_memory()[1] < length
    finally:
        tracemalloc.stop()


def test_what_is_looked_at_has_a_bound_too() -> None:
    bomb = squeezed(4 << 20)
    with pytest.raises(DataSetError, match="becomes longer than 4194303 bytes"):
        Inflated(bomb, max_length=(4 << 20) - 1, max_ratio=1)


def test_what_changes_while_it_is_looked_at() -> None:
    data = bytearray(deflate(bytes(8 << 20)))
    looked = Inflated(data, max_length=1 << 23, max_ratio=1)
    data[: len(deflate(b""))] = deflate(b"")
    with pytest.raises(DataSetError, match="has changed"):
        looked[:9]
