"""Lists of buffers for ``sendmsg``: what the core hands out, sent without joining, resumed where the kernel stopped."""

import os
from collections import deque
from itertools import islice
from typing import Final, Protocol

from dicom_proto.buffers import Buffer

__all__ = ["GatherQueue"]

# How many buffers one sendmsg takes. POSIX promises 16; Linux, macOS and the BSDs take 1024.
IOV_MAX: Final = os.sysconf("SC_IOV_MAX") if "SC_IOV_MAX" in os.sysconf_names else 16


class _Sends(Protocol):
    def sendmsg(self, buffers: list[Buffer], /) -> int: ...


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

    def send(self, sock: _Sends) -> int:
        """Send as much as one ``sendmsg`` takes; return how many bytes that were.

        Raises
        ------
        OSError
            As the socket does, ``BlockingIOError`` among them; nothing has been sent then.
        """
        sent = count = sock.sendmsg(list(islice(self._buffers, IOV_MAX)))
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
