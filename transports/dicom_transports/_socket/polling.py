"""Waiting for descriptors, with what the system has for it: ``poll``, or ``select`` where there is no ``poll``."""

import select
from typing import Final, Protocol

__all__ = ["HANGUP", "READABLE", "WRITABLE", "Poll", "poller"]

READABLE: Final[int] = getattr(select, "POLLIN", 1)
WRITABLE: Final[int] = getattr(select, "POLLOUT", 4)
HANGUP: Final[int] = getattr(select, "POLLRDHUP", 0)
"""The peer has closed its side of a connection; 0 where that can be learned by reading only."""


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class Poll(Protocol):
    """What :func:`poller` returns: the part of :class:`select.poll` that is used."""

    def register(self, descriptor: "int | _HasDescriptor", mask: int, /) -> None:
        """Watch a descriptor from now on, or watch it for something else."""

    def unregister(self, descriptor: int, /) -> None:
        """Watch a descriptor no more."""

    def poll(self, milliseconds: float | None = None, /) -> list[tuple[int, int]]:
        """Wait until something has happened, or so long; return descriptors, each with what has happened."""


class _SelectPoll:
    """The same by ``select``, whose descriptors are few and small, or sockets only."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}

    def register(self, descriptor: "int | _HasDescriptor", mask: int, /) -> None:
        self._masks[descriptor if isinstance(descriptor, int) else descriptor.fileno()] = mask

    def unregister(self, descriptor: int, /) -> None:
        del self._masks[descriptor]

    def poll(self, milliseconds: float | None = None, /) -> list[tuple[int, int]]:
        reading = [number for number, mask in self._masks.items() if mask & READABLE]
        writing = [number for number, mask in self._masks.items() if mask & WRITABLE]
        seconds = None if milliseconds is None else max(0.0, milliseconds) / 1000
        # A connection that was attempted in vain is exceptional, and not writable, to some systems.
        readable, writable, failed = select.select(reading, writing, writing, seconds)
        happened = dict.fromkeys(readable, READABLE)
        for number in {*writable, *failed}:
            happened[number] = happened.get(number, 0) | WRITABLE
        return list(happened.items())


def poller() -> Poll:
    """Return something to wait for descriptors with."""
    return select.poll() if hasattr(select, "poll") else _SelectPoll()
