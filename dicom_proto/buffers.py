"""The one name for "bytes that may be looked at": what the core takes in and hands out.

Stable.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

__all__ = ["Buffer", "Pieces"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_MUCH: Final = 1 << 20  # bytes from which on what arrives is copied to memory that can be given back as a whole
_SMALLEST, _LARGEST = 1 << 22, 1 << 26  # bytes of that memory that are asked for at a time


class _Mass:
    """Much data, copied as it arrives: of a heap that has grown block by block little is given back to the system."""

    __slots__ = ("_allocate", "_length", "_room", "parts")

    def __init__(self, allocate: Callable[[int], Any], pieces: list[Buffer]) -> None:
        self._allocate = allocate
        self._length = 0
        self._room: memoryview | None = None
        self.parts: list[Buffer] = []
        self.extend(pieces)

    def extend(self, pieces: list[Any]) -> None:
        for piece in pieces:
            self._copy(memoryview(piece))

    def _copy(self, rest: memoryview) -> None:
        self._length += len(rest)
        while rest:
            if not self._room:
                self._room = memoryview(self._allocate(min(max(_SMALLEST, self._length), _LARGEST)))
                self.parts.append(self._room[:0])
            count = min(len(rest), len(self._room))
            self._room[:count] = rest[:count]
            self._room, rest = self._room[count:], rest[count:]
            whole = memoryview(self._room.obj)
            self.parts[-1] = whole[: len(whole) - len(self._room)]


class Pieces:
    """Data that has arrived in pieces, and is joined when somebody asks for it.

    Pieces are kept as the views they came in as. When all that there was in a large block is little of it, that is
    copied, so that what is kept is never more than four times what has arrived, and the block that came last. More than
    1 MiB is copied in any case, to memory that goes back to the system.

    Parameters
    ----------
    allocate : callable
        Returns a writable buffer of so many bytes, whose memory goes back to the system when nobody has it any more.

    Attributes
    ----------
    length : int
        How many bytes have arrived.
    """

    __slots__ = ("_allocate", "_begin", "_block", "_copied", "_mass", "_pieces", "length")

    def __init__(self, allocate: Callable[[int], Any] = bytearray) -> None:
        self._allocate = allocate
        self._mass: _Mass | None = None  # instead of pieces, if there is much
        self._pieces: list[Buffer] = []
        self._block: Any = None  # that the last views are of
        self._begin = 0  # where the pieces of that begin
        self._copied: bytearray | None = None  # the piece before them, if it may grow
        self.length = 0

    def append(self, data: Buffer) -> None:
        """Add a piece, which must not change any more."""
        self.length += len(data)
        if self._mass is not None:
            self._mass.extend([data])
            return
        block = data.obj if type(data) is memoryview else data
        if block is not self._block:
            if self._pieces:
                self._settle()
            self._block = block
            self._begin = len(self._pieces)
        self._pieces.append(data)
        if self.length > _MUCH:
            self._mass = _Mass(self._allocate, self._pieces)
            self._clear([], None)

    def extend(self, views: list[memoryview]) -> None:
        """Add consecutive pieces of one block."""
        self.append(views[0])
        if len(views) == 1:
            return
        self.length += sum(map(len, views)) - len(views[0])
        if self._mass is None:
            self._pieces += views[1:]
        else:
            self._mass.extend(views[1:])

    def _clear(self, pieces: list[Buffer], block: Any) -> None:
        self._pieces, self._block, self._copied, self._begin = pieces, block, None, 0

    def _settle(self) -> None:
        """Copy what is kept of the last block if that is little of it."""
        pieces, begin = self._pieces, self._begin
        views = pieces[begin:]
        if sum(map(len, views)) * 4 >= len(self._block or b""):
            self._copied = None
            return
        del pieces[begin:]
        if self._copied is None:
            self._copied = bytearray()
            pieces.append(self._copied)
        self._copied += b"".join(views)

    def join(self) -> bytes:
        """Return all of it."""
        if len(self._pieces) != 1 or not isinstance(self._pieces[0], bytes):
            whole = b"".join(self._pieces if self._mass is None else self._mass.parts)
            self._mass = None
            self._clear([whole], whole)
        return bytes(self._pieces[0])
