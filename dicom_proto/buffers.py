"""The one name for "bytes that may be looked at": what the core takes in and hands out.

Stable.
"""

from typing import Any, TypeAlias

__all__ = ["Buffer", "Pieces"]

Buffer: TypeAlias = bytes | bytearray | memoryview


class Pieces:
    """Data that has arrived in pieces, and is joined when somebody asks for it.

    Pieces are kept as the views they came in as. When all that there was in a large block is little of it, that is
    copied, so that what is kept is never more than four times what has arrived, and the block that came last.

    Attributes
    ----------
    length : int
        How many bytes have arrived.
    """

    __slots__ = ("_begin", "_block", "_copied", "_pieces", "length")

    def __init__(self) -> None:
        self._pieces: list[Buffer] = []
        self._block: Any = None  # that the last views are of
        self._begin = 0  # where the pieces of that begin
        self._copied: bytearray | None = None  # the piece before them, if it may grow
        self.length = 0

    def append(self, data: Buffer) -> None:
        """Add a piece, which must not change any more."""
        self.length += len(data)
        block = data.obj if type(data) is memoryview else data
        if block is not self._block:
            self._settle()
            self._block = block
            self._begin = len(self._pieces)
        self._pieces.append(data)

    def extend(self, views: list[memoryview]) -> None:
        """Add consecutive pieces of one block."""
        self.append(views[0])
        self.length += sum(map(len, views)) - len(views[0])
        self._pieces += views[1:]

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
            whole = b"".join(self._pieces)
            self._pieces, self._block, self._copied = [whole], whole, None
            self._begin = 0
        return bytes(self._pieces[0])
