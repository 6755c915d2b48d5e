"""The one name for "bytes that may be looked at": what the core takes in and hands out.

Stable.
"""

from typing import TypeAlias

__all__ = ["Buffer", "Pieces"]

Buffer: TypeAlias = bytes | bytearray | memoryview


class Pieces:
    """Data that has arrived in pieces, and is joined when somebody asks for it.

    Pieces are kept as the views they came in as; a view of little of a large block is copied, so that what is kept
    is never more than four times what has arrived.

    Attributes
    ----------
    length : int
        How many bytes have arrived.
    """

    __slots__ = ("_pieces", "length")

    def __init__(self) -> None:
        self._pieces: list[Buffer] = []
        self.length = 0

    def append(self, data: Buffer) -> None:
        """Add a piece, which must not change any more."""
        self.length += len(data)
        if isinstance(data, memoryview) and len(data) * 4 < len(data.obj):  # type: ignore[arg-type]  # it has a length
            if not (self._pieces and isinstance(self._pieces[-1], bytearray)):
                self._pieces.append(bytearray())
            self._pieces[-1] += data  # type: ignore[operator]  # it is a bytearray
        else:
            self._pieces.append(data)

    def join(self) -> bytes:
        """Return all of it."""
        if len(self._pieces) != 1 or not isinstance(self._pieces[0], bytes):
            self._pieces = [b"".join(self._pieces)]
        return bytes(self._pieces[0])
