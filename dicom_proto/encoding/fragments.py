"""Encapsulated values: fragments of even length, and tables that say where they are (PS3.5 A.4).

May change.
"""

import struct
from typing import Final

from dicom_proto.encoding.structure import Structure

__all__ = ["Fragments"]

_ITEM: Final = struct.Struct("<HHL")


class Fragments:
    """An encapsulated value, without the delimiter at its end.

    Parameters
    ----------
    value : bytes
        The value.

    Attributes
    ----------
    are_even : bool
        Whether all fragments have even lengths, as they should.

    Raises
    ------
    DataSetError
        If it is none.
    """

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._items = list(Structure(value, little=True).items(0, len(value), implicit=True, max_depth=-1))
        self.are_even = not any(item.length % 2 for item in self._items)

    def padded(self) -> bytes:
        """Return it with a NULL byte behind each fragment of odd length; the Basic Offset Table follows."""
        if self.are_even:
            return self._value
        parts = []
        for number, (length, start, end) in enumerate(self._items):
            content = self._value[start:end]
            if number == 0 and length % 4 == 0:
                content = self.moved(content, 4)
            parts += [_ITEM.pack(0xFFFE, 0xE000, length + length % 2), content, bytes(length % 2)]
        return b"".join(parts)

    def moved(self, table: bytes, width: int) -> bytes:
        """Return a table of offsets as it is when the value has been padded; what is no beginning of one stays.

        Parameters
        ----------
        table : bytes
            Offsets from the first fragment: a Basic Offset Table, or an Extended Offset Table (PS3.3 C.7.6.3.1.8).
        width : int
            How many bytes one has: 4 or 8.
        """
        base = self._items[0].end if self._items else 0  # where the first fragment begins, behind the table
        moves, ahead = {}, 0
        for length, start, _ in self._items[1:]:
            moves[start - 8 - base] = start - 8 - base + ahead
            ahead += length % 2
        form = struct.Struct("<L" if width == 4 else "<Q")
        whole = table[: len(table) // width * width]
        offsets = (moves.get(offset, offset) for (offset,) in form.iter_unpack(whole))
        return b"".join(map(form.pack, offsets)) + table[len(whole) :]
