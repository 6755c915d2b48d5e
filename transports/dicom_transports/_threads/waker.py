"""A descriptor that wakes a thread which polls it."""

import os
import socket
import threading
from contextlib import suppress

from dicom_transports._socket.polling import READABLE, WRITABLE, poller

__all__ = ["Vigil", "Waker", "own_vigil"]


class _Pair:
    """Two ends in one process, where there are no event counters."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()  # other than pipes, every system can select those
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self.fileno = self._reading.fileno

    def write(self) -> None:
        self._writing.send(b"\1")

    def read(self) -> None:
        self._reading.recv(1 << 12)

    def close(self) -> None:
        self._reading.close()
        self._writing.close()


class _Counter:
    """An event counter of Linux: one descriptor, and no buffer."""

    def __init__(self) -> None:
        self._number = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._number

    def write(self) -> None:
        os.eventfd_write(self._number, 1)

    def read(self) -> None:
        os.eventfd_read(self._number)

    def close(self) -> None:
        os.close(self._number)


class Waker:
    """Becomes readable when another thread says so, until it is cleared."""

    def __init__(self) -> None:
        self._signal = _Counter() if hasattr(os, "eventfd") else _Pair()
        self._number = self._signal.fileno()
        self._lock = threading.Lock()  # a closed descriptor may be somebody else's already
        self._is_closed = False
        self._is_awake = False

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._number

    def wake(self) -> None:
        """Wake whoever polls; once it is closed, do nothing."""
        with self._lock, suppress(BlockingIOError):  # it is readable already
            if not self._is_closed:
                self._is_awake = True
                self._signal.write()

    def clear(self) -> None:
        """Be readable no more."""
        if self._is_awake:
            with self._lock, suppress(BlockingIOError):
                self._is_awake = False
                self._signal.read()

    def close(self) -> None:
        """Give back the descriptors."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            if not was_closed:
                self._signal.close()

    def __del__(self) -> None:
        self.close()


class Vigil:
    """Waits for one descriptor and a waker, in one thread at a time.

    Parameters
    ----------
    waker : Waker
        Ends the wait.
    """

    def __init__(self, waker: Waker) -> None:
        self._poll = poller()
        self.waker = waker
        self._poll.register(waker, READABLE)
        self._watched = (-1, 0)

    def wait(self, descriptor: int, mask: int, seconds: float | None) -> bool:
        """Wait until there is something to do; return whether that is to read, or to learn that the peer is gone."""
        if self._watched != (descriptor, mask):
            former, self._watched = self._watched[0], (descriptor, mask)
            if former not in {descriptor, -1}:
                self._poll.unregister(former)
            if descriptor != -1:
                self._poll.register(descriptor, mask)
        is_readable = False
        for number, event in self._poll.poll(None if seconds is None else seconds * 1000):
            if number == descriptor:
                is_readable = bool(event & ~WRITABLE)
            else:
                self.waker.clear()
        return is_readable


_LOCAL = threading.local()


def own_vigil() -> Vigil:
    """Return the vigil of this thread, with a waker that it lends to whatever it waits for."""
    vigil: Vigil | None = getattr(_LOCAL, "vigil", None)
    if vigil is None:
        vigil = _LOCAL.vigil = Vigil(Waker())
    return vigil
