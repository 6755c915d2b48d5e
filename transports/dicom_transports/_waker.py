"""A descriptor that wakes a thread which polls it."""

import os
import threading
from contextlib import suppress

__all__ = ["Waker"]


class Waker:
    """Becomes readable when another thread says so, until it is cleared."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._reading = self._writing = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._reading, False)
            os.set_blocking(self._writing, False)
        self._lock = threading.Lock()  # a closed descriptor may be somebody else's already
        self._is_closed = False

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._reading

    def wake(self) -> None:
        """Wake whoever polls; once it is closed, do nothing."""
        with self._lock, suppress(BlockingIOError):  # it is readable already
            if not self._is_closed:
                os.write(self._writing, (1).to_bytes(8, "little"))

    def clear(self) -> None:
        """Be readable no more."""
        with suppress(BlockingIOError):
            os.read(self._reading, 1 << 12)

    def close(self) -> None:
        """Give back the descriptors."""
        with self._lock:
            self._is_closed = True
            for descriptor in {self._reading, self._writing}:
                os.close(descriptor)
