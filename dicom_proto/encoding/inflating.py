"""Deflated data sets (PS3.5 A.5): what they become is bounded while it happens.

May change.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.structure import Data
from dicom_proto.errors import DataSetError

__all__ = ["Inflated", "deflate", "deflated", "inflate", "inflate_head"]

RATIO_COUNTS_FROM: Final = 1 << 26  # bytes; what becomes no longer may have been all zeros
_STEP: Final = 1 << 20
_PIECE: Final = 1 << 16
_APART: Final = 1 << 24  # bytes between two places from which inflating can begin


class _Inflater:
    """Deflated data on its way, a step at a time."""

    __slots__ = ("_at", "_data", "_inflater", "_rest")

    def __init__(self, data: Data) -> None:
        self._data = data
        self._at = 0
        self._rest = b""
        self._inflater: Any = zlib.decompressobj(-zlib.MAX_WBITS)

    def copy(self) -> "_Inflater":
        """Return another one that goes on from here."""
        other = _Inflater(self._data)
        other._at, other._rest, other._inflater = self._at, self._rest, self._inflater.copy()
        return other

    def step(self) -> bytes:
        """Return up to 1 MiB more, nothing at the end; what follows the deflated data is padding."""
        while not self._inflater.eof:
            try:
                part: bytes = self._inflater.decompress(self._rest, _STEP)
            except zlib.error:
                raise DataSetError("the deflated data set cannot be inflated") from None
            self._rest = self._inflater.unconsumed_tail
            if part:
                return part
            if not self._inflater.eof:  # in pieces, because what is left of one is copied each time
                self._rest = bytes(self._data[self._at : self._at + _PIECE])
                self._at += len(self._rest)
                if not self._rest:
                    raise DataSetError("the deflated data set is not complete")
        return b""


def _steps(inflater: _Inflater, length: int, most: int) -> Iterator[bytes]:
    """Yield what deflated data of a length becomes, unless that is too much."""
    inflated = 0
    while part := inflater.step():
        inflated += len(part)
        if inflated > most:
            raise DataSetError(f"the deflated data set of {length} bytes becomes longer than {most} bytes")
        yield part


def _most(length: int, max_length: int, max_ratio: int) -> int:
    return min(max_length, max(RATIO_COUNTS_FROM, max_ratio * length))


def inflate(data: Buffer, *, max_length: int, max_ratio: int) -> bytes:
    """Inflate a data set; what follows the deflated data is padding.

    Raises
    ------
    DataSetError
        If it is none, or becomes longer than ``max_length``; or longer than 64 MiB and than ``max_ratio`` times what it
        was.
    """
    return b"".join(_steps(_Inflater(data), len(data), _most(len(data), max_length, max_ratio)))


class Inflated:
    """A deflated data set that is looked at bit by bit: what it becomes is never in memory as a whole.

    To look ahead is as quick as to inflate what lies between; to look back, as to inflate some MiB.

    Parameters
    ----------
    data : Data
        The deflated data set.
    max_length, max_ratio
        As for :func:`inflate`, which says what is raised.
    """

    def __init__(self, data: Data, *, max_length: int, max_ratio: int) -> None:
        inflater = _Inflater(data)
        self._marks = [inflater.copy()]  # one each 16 MiB or so: where, and what goes on from there
        self._places = [0]
        self._length = self._start = self._end = 0
        self._block = b""
        for part in _steps(inflater, len(data), _most(len(data), max_length, max_ratio)):
            self._length += len(part)
            if self._length - self._places[-1] >= _APART:
                self._marks.append(inflater.copy())
                self._places.append(self._length)
        self._begin_at(0)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, where: slice) -> bytes:
        """Return some bytes; raises as :func:`inflate` if the data have changed."""
        begin, end, _ = where.indices(self._length)
        if begin < self._start or begin >= self._end + _APART:
            self._begin_at(begin)
        while self._end < end:
            part = self._inflater.step()
            if not part:
                raise DataSetError("the deflated data set has changed while it was looked at")
            kept = max(0, begin - _STEP - self._start)
            self._block = self._block[kept:] + part
            self._start = min(self._start + kept, self._end)
            self._end += len(part)
        return self._block[begin - self._start : max(begin, end) - self._start]

    def _begin_at(self, place: int) -> None:
        """Go to the last mark before a place."""
        index = max(index for index, mark in enumerate(self._places) if mark <= place)
        self._inflater = self._marks[index].copy()
        self._start = self._end = self._places[index]
        self._block = b""


def inflate_head(data: Buffer, length: int) -> tuple[bytes, bool]:
    """Inflate the beginning of a data set, for what precedes its bulk; tell whether that is all of it.

    Raises
    ------
    DataSetError
        If it is none.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(data[:length], length), inflater.eof
    except zlib.error:
        raise DataSetError("the deflated data set cannot be inflated") from None


def deflate(data: bytes) -> bytes:
    """Deflate a data set, and pad it to even length."""
    return b"".join(deflated((data,)))


def deflated(pieces: Iterable[Buffer]) -> Iterator[bytes]:
    """Deflate a data set that comes in pieces, and pad it to even length."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    length = 0
    for piece in pieces:
        part = deflater.compress(piece)
        length += len(part)
        if part:
            yield part
    part = deflater.flush()
    yield part + bytes((length + len(part)) % 2)
