"""DICOM over asyncio, in the words that users of pynetdicom know, with ``await`` and ``async with``.

Stable.

Handlers may be plain functions and generators, which run in threads of their own, or async functions and async
generators, which run in the loop.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from dicom_proto.application.association import Reception
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers import evt
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.contexts import build_context, build_role
from dicom_proto.programs.tasks import Task
from dicom_proto.services.storage.chunks import chunked
from dicom_proto.sop_class import register_uid
from dicom_proto.status import code_to_category
from dicom_transports import _vocabulary
from dicom_transports._entity import debug_logger
from dicom_transports._socket.sockets import Address, numeric_places, open_socket
from dicom_transports._tasks.association import AsyncAssociation
from dicom_transports._tasks.entity import AsyncAE, AsyncServer
from dicom_transports._tasks.patience import patience
from dicom_transports._tasks.performing import Performer
from dicom_transports._threads.workers import Outcome, Worker
from dicom_transports.loops import Group, Loop, Signal

if TYPE_CHECKING:
    from dicom_transports._vocabulary import *  # noqa: F403

__all__ = [
    "AE",
    "Address",
    "Association",
    "AssociationServer",
    "build_context",
    "build_role",
    "chunked",
    "code_to_category",
    "debug_logger",
    "evt",
    "register_uid",
]
__all__ += _vocabulary.__all__

__getattr__, __dir__ = _vocabulary.loads(globals())

T = TypeVar("T")
_log = logging.getLogger("dicom_transports.asyncio")
_SPAWNED: Final[set[asyncio.Task[None]]] = set()  # a loop keeps no task alive


class _Group:
    """Tasks that end together; one that fails has logged that itself."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is not None:
            self.cancel()
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as error:
                cancelled = error
                self.cancel()
        if cancelled is not None:
            raise cancelled

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


class _Signal:
    """Something that happens once: what an event can do besides is not paid for."""

    __slots__ = ("_is_set", "_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] = []

    def set(self) -> None:
        self._is_set = True
        for waiter in self._waiters:
            if not waiter.done():  # it has been cancelled
                waiter.set_result(None)

    async def wait(self) -> None:
        if self._is_set:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


def _settle(future: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not future.done():  # nobody has given it up
        future.set_result(outcome)


class _AsyncioLoop:
    """What the adapters ask of a loop, by asyncio."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = loop.time
        self._thread = threading.get_ident()

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        task = self.loop.create_task(function(*arguments))
        _SPAWNED.add(task)
        task.add_done_callback(_SPAWNED.discard)

    def signal(self) -> Signal:
        return _Signal(self.loop)

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def call_soon(self, function: Callable[[], object]) -> None:
        if self.is_here():
            self.loop.call_soon(function)
            return
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            _log.debug("! the loop has ended already")

    def wait_for(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self.is_here():
            raise LocalProtocolError("the event loop cannot wait for itself: await it, or use 'async for'")
        return asyncio.run_coroutine_threadsafe(function(), self.loop).result()

    def group(self) -> AbstractAsyncContextManager[Group]:
        return _Group()

    async def pause(self) -> None:
        await asyncio.sleep(0)

    async def wait_until(self, signal: Signal, deadline: float | None) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                await signal.wait()
        except TimeoutError:
            return False
        return True

    async def readable(self, sock: socket.socket) -> None:
        ready = asyncio.Event()
        self.loop.add_reader(sock, ready.set)
        try:
            await ready.wait()
        finally:
            self.loop.remove_reader(sock)

    async def connect(self, address: Address, bind_address: Address | None) -> socket.socket:
        failure: OSError | None = None
        places = numeric_places(address)  # a loop asks for those in a thread, which costs more than to connect
        if places is None:
            places = await self.loop.getaddrinfo(*address, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, where in places:
            try:
                sock = open_socket(family, kind, protocol, bind_address)
            except OSError as error:
                failure = failure or error
                continue
            try:
                await self.loop.sock_connect(sock, where)
            except OSError as error:
                failure = error
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError("the host has no address")

    async def limited(self, seconds: float | None, coroutine: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(seconds):
            return await coroutine

    async def shielded(self, seconds: float, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        deadline = self.loop.time() + seconds
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                _, pending = await asyncio.wait({task}, timeout=max(0.0, deadline - self.loop.time()))
            except asyncio.CancelledError as error:
                cancelled = error
            else:
                if pending:
                    task.cancel()
                    deadline = self.loop.time() + seconds
        if cancelled is not None:
            raise cancelled
        if not task.cancelled():
            task.result()

    async def in_worker(self, worker: Worker, function: Callable[[], Any]) -> Any:
        future: asyncio.Future[Outcome] = self.loop.create_future()

        def done(outcome: Outcome) -> None:
            try:
                self.loop.call_soon_threadsafe(_settle, future, outcome)
            except RuntimeError:
                _log.debug("! the loop has ended before a handler has")

        worker.submit(function, done)
        cancelled: asyncio.CancelledError | None = None
        with ExitStack() as stack:
            while not future.done():
                try:
                    await asyncio.wait({future})
                except asyncio.CancelledError as error:  # the thread cannot be: it may need what would be closed
                    if cancelled is None:
                        stack.enter_context(patience(future.cancel))
                    cancelled = error
        if cancelled is not None:
            raise cancelled
        return future.result().unwrap()


class Association(AsyncAssociation):
    """One association of an application entity."""

    def __init__(
        self, ae: "AE", handlers: Handlers, loop: _AsyncioLoop, reception: Reception | None = None, **options: Any
    ) -> None:
        super().__init__(ae, handlers, loop, reception, **options)
        self._asyncio = loop.loop
        self._tasks = _Group()
        self._operations: set[asyncio.Task[None]] = set()
        self._is_reading = self._is_writing = False
        self._timer: asyncio.TimerHandle | None = None

    def _spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        self._tasks.start(function, *arguments)

    async def _operate(self, task: Task[Any], performer: Performer) -> None:
        current = asyncio.current_task()
        if current is not None:
            self._operations.add(current)
            current.add_done_callback(self._operations.discard)
        await self._go_on(task, performer)

    def _cancel_operations(self) -> None:
        operations, self._operations = self._operations, set()
        for task in operations:
            task.cancel()

    def _rearrange(self) -> None:
        link = self._link
        if link is None or link.descriptor < 0:
            return
        read, write = link.wants_read, link.wants_write
        if read != self._is_reading:
            self._is_reading = read
            if read:
                self._asyncio.add_reader(link.descriptor, self._arrived)
            else:
                self._asyncio.remove_reader(link.descriptor)
        if write != self._is_writing:
            self._is_writing = write
            if write:
                self._asyncio.add_writer(link.descriptor, self._turn)
            else:
                self._asyncio.remove_writer(link.descriptor)
        self._set_timer(link.deadline)

    def _set_timer(self, deadline: float | None) -> None:
        """Have the next deadline noticed; a timer that goes off too early looks again."""
        timer = self._timer
        if deadline is None or (timer is not None and timer.when() <= deadline):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._asyncio.call_at(deadline, self._timer_went_off)

    def _timer_went_off(self) -> None:
        self._timer = None
        self._turn()

    async def _carry(self) -> None:
        async with self._tasks:
            try:
                self._is_carried = self._can_spawn = True
                self._turn()
                await self._done.wait()
            finally:
                self._stop_spawning()
                self._stop_watching()

    def _stop_watching(self) -> None:
        link = self._link
        if link is not None and link.descriptor >= 0:
            self._asyncio.remove_reader(link.descriptor)
            self._asyncio.remove_writer(link.descriptor)
        self._is_reading = self._is_writing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


AssociationServer = AsyncServer[Association]
"""Serves associations for an application entity, each in tasks of its own."""


class AE(AsyncAE[Association]):
    """An application entity on asyncio: requests associations, and serves them."""

    def loop(self) -> Loop:
        """Return the event loop that runs."""
        return _AsyncioLoop(asyncio.get_running_loop())

    def make_association(self, handlers: Handlers, reception: Reception | None = None, **options: Any) -> Association:
        """Make an association, that has no connection yet."""
        return Association(self, handlers, _AsyncioLoop(asyncio.get_running_loop()), reception, **options)
