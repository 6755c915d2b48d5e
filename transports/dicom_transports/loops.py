"""What is asked of an event loop, and what a further one has to bring: asyncio and trio are two of them.

May change: the classes here are for who writes an adapter for another event loop.
"""

import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from dicom_transports._socket.sockets import Address
from dicom_transports._threads.workers import Worker

__all__ = ["Coro", "Group", "Loop", "Signal"]

T = TypeVar("T")
Coro: TypeAlias = Coroutine[Any, Any, T]


class Signal(Protocol):
    """Something that happens once, and can be waited for: an ``Event`` of the loop."""

    def set(self) -> object:
        """Let it have happened."""

    async def wait(self) -> object:
        """Wait until it has happened."""


class Group(Protocol):
    """Tasks that end together."""

    def start(self, function: Callable[..., Coro[None]], *arguments: Any) -> object:
        """Start a task."""

    def cancel(self) -> None:
        """Cancel all tasks."""


class Loop(Protocol):
    """What is asked of an event loop."""

    def now(self) -> float:
        """Return the time in seconds."""

    def signal(self) -> Signal:
        """Return something that can happen."""

    def group(self) -> AbstractAsyncContextManager[Group]:
        """Return a group of tasks, whose end is waited for."""

    async def pause(self) -> None:
        """Let others have their turn."""

    def is_here(self) -> bool:
        """Tell whether this is the thread of the loop."""

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a function called in the loop, when others have had their turn; may be called in any thread."""

    def spawn(self, function: Callable[..., Coro[None]], *arguments: Any) -> None:
        """Start a task that ends by itself, or with the loop."""

    def wait_for(self, function: Callable[[], Coro[T]]) -> T:
        """Have an async function called in the loop, and wait for its result in another thread.

        Raises
        ------
        LocalProtocolError
            If this is the thread of the loop, which would wait for itself.
        """

    async def wait_until(self, signal: Signal, deadline: float | None) -> bool:
        """Wait for something to happen; return whether it has by the deadline."""

    async def readable(self, sock: socket.socket) -> None:
        """Wait until a socket can be read from."""

    async def connect(self, address: Address, bind_address: Address | None) -> socket.socket:
        """Open a TCP connection; all addresses of a host name are tried.

        Raises
        ------
        OSError
            If there is none.
        """

    async def limited(self, seconds: float | None, coroutine: Coro[T]) -> T:
        """Await something for so long at most, then raise ``TimeoutError``."""

    async def shielded(self, seconds: float, coroutine: Coro[None]) -> None:
        """Await something for so long at most, whether this task is being cancelled or not."""

    async def in_worker(self, worker: Worker, function: Callable[[], Any]) -> Any:
        """Make a call in a worker, and wait for it; if this is cancelled, then too."""
