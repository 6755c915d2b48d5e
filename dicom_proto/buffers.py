"""The one name for "bytes that may be looked at": what the core takes in and hands out.

Stable.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

__all__ = ["Buffer", "Pieces"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_MUCH: Final = 1 << 20  # bytes from which on what arrives is copied to memory that can be given back as a whole
_SMALLEST, _LARGEST = 1 << 22, 1 << 26  # bytes of that memory that are asked for at a time


class Pieces:
    """Data that has arrived in pieces, and is joined when somebody asks for it.

    Little is kept as the views that it came in as; a view of little of a large block is copied, so that what is kept is
    never more than four times what has arrived. More than 1 MiB is copied as it arrives: of a heap that has grown block
    by block little is given back to the system, and each thread has one.

    Parameters
    ----------
    allocate : callable
        Returns a writable buffer of so many bytes, whose memory goes back to the system when nobody has it any more.

    Attributes
    ----------
    length : int
        How many bytes have arrived.
    """

    __slots__ = ("_allocate", "_pieces", "_room", "length")

    def __init__(self, allocate: Callable[[int], Any] = bytearray) -> None:
        self._allocate = allocate
        self._pieces: list[Buffer] = []
        self._room: memoryview | None = None  # behind what has been copied, as soon as something has
        self.length = 0

    def append(self, data: Buffer) -> None:
        """Add a piece, which must not change any more."""
        self.length += len(data)
        if self._room is not None:
            self._copy(data)
        elif self.length > _MUCH:
            pieces, self._pieces = self._pieces, []
            for piece in (*pieces, data):
                self._copy(piece)
        elif isinstance(data, memoryview) and len(data) * 4 < len(data.obj):  # type: ignore[arg-type]  # it has a length
            if not (self._pieces and isinstance(self._pieces[-1], bytearray)):
                self._pieces.append(bytearray())
            self._pieces[-1] += data  # type: ignore[operator]  # it is a bytearray
        else:
            self._pieces.append(data)

    def _copy(self, data: Buffer) -> None:
        """Copy a piece to where there is room."""
        rest = memoryview(data)
        while rest:
            if not self._room:
                self._room = memoryview(self._allocate(min(max(_SMALLEST, self.length), _LARGEST)))
                self._pieces.append(self._room[:0])
            count = min(len(rest), len(self._room))
            self._room[:count] = rest[:count]
            self._room, rest = self._room[count:], rest[count:]
            filled = memoryview(self._room.obj)
            self._pieces[-1] = filled[: len(filled) - len(self._room)]

    def join(self) -> bytes:
        """Return all of it."""
        if len(self._pieces) != 1 or not isinstance(self._pieces[0], bytes):
            self._pieces, self._room = [b"".join(self._pieces)], None
        return bytes(self._pieces[0])
