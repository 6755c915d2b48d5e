"""Lists of buffers for ``sendmsg``: what the core hands out, sent without joining, resumed where the kernel stopped."""

import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol, cast

from dicom_proto.buffers import Buffer

__all__ = ["GatherQueue"]

# How many buffers one sendmsg takes. POSIX promises 16; Linux, macOS and the BSDs take 1024.
IOV_MAX: Final[int] = os.sysconf("SC_IOV_MAX") if "SC_IOV_MAX" in getattr(os, "sysconf_names", ()) else 16
_JOINED: Final = 1 << 16  # bytes of small buffers that are joined where they cannot be gathered, at most


class _Sends(Protocol):
    def sendmsg(self, buffers: list[Buffer], /) -> int: ...


class _SendsOne(Protocol):
    def send(self, data: Buffer, /) -> int: ...


class GatherQueue:
    """Buffers that wait to be sent on one socket, in order."""

    __slots__ = ("_buffers", "length")

    def __init__(self) -> None:
        self._buffers: deque[Buffer] = deque()
        self.length = 0  # in bytes

    def extend(self, buffers: list[Buffer]) -> None:
        """Queue buffers."""
        self._buffers.extend(buffers)
        self.length += sum(map(len, buffers))

    def clear(self) -> None:
        """Drop everything."""
        self._buffers.clear()
        self.length = 0

    def send(self, sock: _Sends | _SendsOne) -> int:
        """Send as much as one ``sendmsg`` takes; return how many bytes that were.

        Where sockets have no ``sendmsg``, small buffers are joined, and large ones sent by themselves.

        Raises
        ------
        OSError
            As the socket does, ``BlockingIOError`` among them; nothing has been sent then.
        """
        gather: Callable[[list[Buffer]], int] | None = getattr(sock, "sendmsg", None)
        if gather is not None:
            sent = count = gather(list(islice(self._buffers, IOV_MAX)))
        else:
            sent = count = cast(_SendsOne, sock).send(self._first())
        self.length -= sent
        if not self.length:
            self._buffers.clear()
            return sent
        while count:
            first = self._buffers.popleft()
            if len(first) > count:
                self._buffers.appendleft(memoryview(first)[count:])
                break
            count -= len(first)
        return sent

    def _first(self) -> Buffer:
        """Return the first buffer, or the first small ones joined."""
        parts: list[Buffer] = []
        length = 0
        for buffer in self._buffers:
            length += len(buffer)
            if length > _JOINED:
                break
            parts.append(buffer)
        return b"".join(parts) if len(parts) > 1 else self._buffers[0]
