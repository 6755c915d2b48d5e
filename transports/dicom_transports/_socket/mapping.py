"""Files that are mapped into memory to be sent, in constant memory, and that somebody may cut short meanwhile.

What is read of a mapping stays with the process, up to the length of the file, until it is told otherwise.

Of a file that has become shorter, what was mapped is lost: a process that touches it is killed (SIGBUS), and up to the
end of a page there are zeros. So this process leaves it to the kernel to touch what it sends: that says EFAULT instead.
"""

import errno
import mmap
import os
from contextlib import suppress
from typing import Final

from attrs import frozen

from dicom_proto.buffers import Buffer
from dicom_transports._socket.gather import GatherQueue

__all__ = ["Mapping", "copied", "note_sent", "read_mapped", "shortened"]

_STEP: Final = 1 << 23  # bytes after which pages are given back: they are in the system's cache all the same
_GIVE_BACK: Final[int | None] = getattr(mmap, "MADV_DONTNEED", None)
_GATHERED: Final = 16  # buffers that a pipe is given at a time: it takes as much of them as it holds
_USUAL, _WIDE = 1 << 16, 1 << 20  # bytes that a pipe holds, and can be told to hold where there is more to copy


class Mapping(mmap.mmap):
    """A file that is mapped to be read, once and from its beginning to its end."""

    _sent = 0

    @property
    def is_cut(self) -> bool:
        """Whether the file is shorter now than what was mapped."""
        return self.size() < len(self)

    def note_sent(self, count: int) -> None:
        """Take note that some bytes will not be read any more."""
        self._sent += count
        if self._sent >= _STEP and _GIVE_BACK is not None:
            self._sent = 0
            self.madvise(_GIVE_BACK)


def note_sent(buffers: list[Buffer]) -> set[Mapping]:
    """Take note that buffers are being sent; return the files that they are views of."""
    mappings = set()
    for buffer in buffers:
        if type(buffer) is memoryview and type(buffer.obj) is Mapping:
            buffer.obj.note_sent(len(buffer))
            mappings.add(buffer.obj)
    return mappings


def shortened(when: str = "sent") -> OSError:
    """Return the error of an object that cannot be sent, or read, to its end."""
    return OSError(errno.EIO, f"a file has become shorter while it was {when}")


def read_mapped(view: memoryview) -> bytes:
    """Return what is in a view of a :class:`Mapping`, without touching it; raises as :func:`copied`."""
    mapping = view.obj
    try:
        copies = copied([view], {mapping})  # type: ignore[arg-type]  # it is a Mapping
    except OSError as error:
        if error.errno in {errno.EFAULT, errno.EIO}:
            raise shortened("read") from None
        raise
    mapping.note_sent(len(view))  # type: ignore[attr-defined]
    return b"".join(copies)


@frozen
class _Pipe:
    """The end of a pipe that is written to as a socket is."""

    descriptor: int

    def sendmsg(self, buffers: list[Buffer]) -> int:
        return os.writev(self.descriptor, buffers[:_GATHERED])


def copied(buffers: list[Buffer], mappings: set[Mapping]) -> list[Buffer]:
    """Copy buffers that this process has to read, as TLS does, without touching those that may be lost.

    Parameters
    ----------
    buffers : list of Buffer
        In order.
    mappings : set of Mapping
        The files that some are views of.

    Raises
    ------
    OSError
        If a file has become shorter, or there is no pipe to be had.
    """
    if not hasattr(os, "writev"):  # a system that lets nobody cut a file that is mapped
        return buffers
    copies: list[Buffer] = []
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        waiting = GatherQueue()
        waiting.extend(buffers)
        if waiting.length > _USUAL:
            _widen(writing)
        pipe = _Pipe(writing)
        while waiting.length:
            copies.append(os.read(reading, waiting.send(pipe)))
    finally:
        os.close(reading)
        os.close(writing)
    if any(mapping.is_cut for mapping in mappings):
        raise shortened()
    return copies


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where the system has that (Linux), and lets this user have it."""
    import fcntl  # noqa: PLC0415 - it is not everywhere

    change: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)
    if change is not None:
        with suppress(OSError):
            fcntl.fcntl(pipe, change, _WIDE)
