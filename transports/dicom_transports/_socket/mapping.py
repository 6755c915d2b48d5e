"""Files that are mapped into memory to be sent, in constant memory.

What is read of a mapping stays with the process, up to the length of the file, until it is told otherwise.
"""

import mmap
from typing import Final

from dicom_proto.buffers import Buffer

__all__ = ["Mapping", "note_sent"]

_STEP: Final = 1 << 23  # bytes after which pages are given back: they are in the system's cache all the same
_GIVE_BACK: Final[int | None] = getattr(mmap, "MADV_DONTNEED", None)


class Mapping(mmap.mmap):
    """A file that is mapped to be read, once and from its beginning to its end."""

    _sent = 0

    def note_sent(self, count: int) -> None:
        """Take note that some bytes will not be read any more."""
        self._sent += count
        if self._sent >= _STEP and _GIVE_BACK is not None:
            self._sent = 0
            self.madvise(_GIVE_BACK)


def note_sent(buffers: list[Buffer]) -> None:
    """Take note that buffers are being sent, whatever they are views of."""
    for buffer in buffers:
        if type(buffer) is memoryview and type(buffer.obj) is Mapping:
            buffer.obj.note_sent(len(buffer))
