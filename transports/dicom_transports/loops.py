"""What is asked of an event loop, and how programs call what the user wrote in one.

Everything here runs in the thread of the loop, and only handlers that are plain functions in others: one thread for
each run of a handler, so that a generator never changes its thread.
"""

import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import lru_cache, partial
from inspect import isawaitable
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar

from dicom_proto.handlers.registry import Binding
from dicom_proto.programs.effects import END, Call, Program
from dicom_proto.programs.streams import Stream
from dicom_transports._entity import AssociationBase, Scope
from dicom_transports._socket.sockets import Address
from dicom_transports._threads.workers import Worker, Workers

__all__ = ["AsyncScope", "Coro", "Group", "Loop", "Results", "Signal", "Spawning"]

T = TypeVar("T")
Coro: TypeAlias = Coroutine[Any, Any, T]
_log = logging.getLogger("dicom_transports")
_WORKERS: Final = Workers()


class Signal(Protocol):
    """Something that happens once, and can be waited for: an ``Event`` of the loop."""

    def set(self) -> object:
        """Let it have happened."""

    async def wait(self) -> object:
        """Wait until it has happened."""


class Spawning(Protocol):
    """What tasks can be started in."""

    def spawn(self, function: Callable[..., Coro[None]], *arguments: Any) -> None:
        """Start a task. A loop's ends by itself, or with the loop."""


class Group(Protocol):
    """Tasks that end together."""

    def start(self, function: Callable[..., Coro[None]], *arguments: Any) -> object:
        """Start a task."""

    def cancel(self) -> None:
        """Cancel all tasks."""


class Loop(Spawning, Protocol):
    """What is asked of an event loop."""

    def now(self) -> float:
        """Return the time in seconds."""

    def signal(self) -> Signal:
        """Return something that can happen."""

    def group(self) -> AbstractAsyncContextManager[Group]:
        """Return a group of tasks, whose end is waited for."""

    async def pause(self) -> None:
        """Let others have their turn."""

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


class Runs(Protocol):
    """What results need of their association."""

    async def run(self, program: Program[T]) -> T: ...

    def abandon(self, stream: Stream[Any]) -> None: ...

    def wait_for(self, function: Callable[[], Coro[T]]) -> T: ...


def _is_async(function: Callable[..., Any]) -> bool:
    return _is_async_function(getattr(function, "__func__", function))  # a bound method would keep its object alive


@lru_cache(maxsize=256)
def _is_async_function(function: Callable[..., Any]) -> bool:
    return Binding(function).is_async


class AsyncScope(Scope):
    """What one program has got hold of, in an event loop."""

    __slots__ = ("_loop", "_worker")

    def __init__(self, association: "Runs", loop: Loop) -> None:
        super().__init__(association)
        self._loop = loop
        self._worker: Worker | None = None

    @property
    def has_something(self) -> bool:
        """Whether :meth:`close_all` has something to do."""
        return bool(self.opened) or self._worker is not None

    async def call_handler(self, call: Call) -> Any:
        """Call a handler of any kind, and wait for what it returns."""
        if not call.is_quick and not _is_async(call.function):
            return await self.aside(partial(self.call, call))
        self.stamp(call)
        result = call.function(*call.arguments)
        return await result if isawaitable(result) else result

    async def pull_next(self, iterator: Any) -> Any:
        """Ask for the next item of an iterator of any kind."""
        if hasattr(iterator, "__anext__"):
            return await anext(iterator, END)
        return await self.aside(partial(self.pull, iterator))

    async def aside(self, function: Callable[[], Any]) -> Any:
        """Make a call in the thread of this program."""
        if self._worker is None:
            self._worker = _WORKERS.take()
        return await self._loop.in_worker(self._worker, function)

    async def close_all(self) -> None:
        """Close what the program has left open."""
        for item in self.opened:
            if isinstance(item, AssociationBase) or not hasattr(item, "__anext__"):
                await self.aside(partial(self.close, item)) if self._worker else self.close(item)
            else:
                await self._close_async(item)
        if self._worker is not None:
            _WORKERS.give_back(self._worker)
            self._worker = None

    async def _close_async(self, item: Any) -> None:
        try:
            await item.aclose()
        except Exception:  # noqa: BLE001 - it runs what the user wrote
            _log.exception("a handler raised when it was closed")


class OneByOne(ABC):
    """What is awaited one by one; who stops asking, or forgets it, takes no more interest in it."""

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    def close(self) -> None:
        """Take no more interest in the results."""

    async def aclose(self) -> None:
        """Take no more interest in the results."""
        self.close()

    def __del__(self) -> None:
        self.close()


class Results(OneByOne, Generic[T]):
    """Results that are asked for one by one; who stops asking takes no more interest in them."""

    def __init__(self, association: "Runs", begin: Program[Stream[T]]) -> None:
        self._association = association
        self._begin = begin
        self._stream: Stream[T] | None = None

    async def __anext__(self) -> T:
        if self._stream is None:
            self._stream = await self._association.run(self._begin)
        result = await self._association.run(self._stream.next())
        if result is None:
            raise StopAsyncIteration
        return result

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Wait for the next one in another thread than the loop's: for handlers that are plain functions."""
        try:
            return self._association.wait_for(self.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Take no more interest in the results: an operation that can be cancelled is."""
        if self._stream is not None and not self._stream.is_over:
            self._association.abandon(self._stream)
