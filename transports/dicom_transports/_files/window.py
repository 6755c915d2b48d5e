"""Files that are looked at bit by bit, as they are now: somebody may cut them short meanwhile."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from dicom_transports._socket.mapping import read_mapped, shortened

__all__ = ["Window", "mapped_window", "read_at"]

_BLOCK: Final = 9 << 12  # bytes that are read at a time, at least: the head of a file, and what is looked at behind it


class Window:
    """The content of a file from a position on, that is read where somebody looks at it.

    It is what :class:`~dicom_proto.encoding.structure.Structure` walks over as it does over what is in memory. To look
    at a file that is mapped would be quicker, and kill this process if that has become shorter (SIGBUS).

    Parameters
    ----------
    read : callable
        Returns so many bytes from a position in the file on, or what there is.
    start, length : int
        What there is to see of it, in bytes.
    """

    def __init__(self, read: Callable[[int, int], bytes], start: int, length: int) -> None:
        self._read = read
        self._start = start
        self._length = length
        self._at = 0
        self._block = b""

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, where: slice) -> bytes:
        """Return some bytes.

        Raises
        ------
        OSError
            If the file cannot be read, or has become shorter.
        """
        begin, end, _ = where.indices(self._length)
        at = begin - self._at
        count = max(0, end - begin)
        if at >= 0 and at + count <= len(self._block):
            return self._block[at : at + count]
        block = self._read(min(max(count, _BLOCK), self._length - begin), self._start + begin)
        if len(block) < count:
            raise shortened("read")
        if count < _BLOCK:
            self._at, self._block = begin, block
        return block[:count]

    def behind(self, offset: int) -> "Window":
        """Return what is behind the first bytes."""
        rest = Window(self._read, self._start + offset, self._length - offset)
        rest._at, rest._block = self._at - offset, self._block
        return rest


def mapped_window(view: memoryview) -> Window:
    """Return what is in a view of a :class:`Mapping`, which is not touched."""
    return Window(partial(_read_view, view), 0, len(view))


def _read_view(view: memoryview, length: int, start: int) -> bytes:
    return read_mapped(view[start : start + length])


def read_at(file: Any, length: int, start: int) -> bytes:
    """Read some bytes, and leave the file where it stands."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), length, start)
    before = file.tell()
    try:
        file.seek(start)
        return bytes(file.read(length))
    finally:
        file.seek(before)
