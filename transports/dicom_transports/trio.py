"""DICOM over trio, in the words that users of pynetdicom know, with ``await`` and ``async with``.

Stable.

Handlers may be plain functions and generators, which run in threads of their own, or async functions and async
generators, which run in the loop.
"""

import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

import trio

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
from dicom_transports._socket.sockets import Address, open_socket
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
_log = logging.getLogger("dicom_transports.trio")


@contextmanager
def _interrupted_as_such() -> Iterator[None]:
    """Let a KeyboardInterrupt in tasks be one, and no group that has one in it."""
    try:
        yield
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[0] is None:
            raise
        raise KeyboardInterrupt from group


class _Group:
    """Tasks that end together."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        self._nursery.start_soon(function, *arguments)

    def cancel(self) -> None:
        self._nursery.cancel_scope.cancel()


class _TrioLoop:
    """What the adapters ask of a loop, by trio."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        self.now = trio.lowlevel.current_clock().current_time  # trio.current_time() takes three steps to get there

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def call_soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            _log.debug("! the loop has ended already")

    def wait_for(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self.is_here():
            raise LocalProtocolError("the event loop cannot wait for itself: await it, or use 'async for'")
        return trio.from_thread.run(function, trio_token=self._token)

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        trio.lowlevel.spawn_system_task(function, *arguments, context=copy_context())

    def signal(self) -> Signal:
        return trio.Event()

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        with _interrupted_as_such():
            async with trio.open_nursery() as nursery:
                yield _Group(nursery)

    async def pause(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_until(self, signal: Signal, deadline: float | None) -> bool:
        with trio.CancelScope(deadline=inf if deadline is None else deadline) as scope:
            await signal.wait()
        return not scope.cancelled_caught

    async def readable(self, sock: socket.socket) -> None:
        await trio.lowlevel.wait_readable(sock)

    async def connect(self, address: Address, bind_address: Address | None) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, where in await trio.socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            try:
                sock = trio.socket.from_stdlib_socket(open_socket(family, kind, protocol, bind_address))
            except OSError as error:
                failure = failure or error
                continue
            try:
                await sock.connect(where)
            except OSError as error:
                failure = error
                sock.close()
            except BaseException:
                sock.close()
                raise
            else:
                return socket.socket(family, kind, protocol, fileno=sock.detach())
        raise failure or OSError("the host has no address")

    async def limited(self, seconds: float | None, coroutine: Coroutine[Any, Any, T]) -> T:
        with trio.move_on_after(inf if seconds is None else seconds):
            return await coroutine
        raise TimeoutError("it has taken too long")

    async def shielded(self, seconds: float, coroutine: Coroutine[Any, Any, None]) -> None:
        with trio.CancelScope(deadline=trio.current_time() + seconds, shield=True):
            await coroutine

    async def in_worker(self, worker: Worker, function: Callable[[], Any]) -> Any:
        token = trio.lowlevel.current_trio_token()
        outcomes: list[Outcome] = []
        is_done = trio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            try:
                token.run_sync_soon(is_done.set)
            except trio.RunFinishedError:
                _log.debug("! the loop has ended before a handler has")

        worker.submit(function, done)
        try:
            await is_done.wait()
        except trio.Cancelled:  # the thread cannot be: what it does may need what would be closed
            with patience(lambda: self.call_soon(is_done.set)), trio.CancelScope(shield=True):
                await is_done.wait()
            raise
        return outcomes[0].unwrap()


class Association(AsyncAssociation):
    """One association of an application entity."""

    def __init__(
        self, ae: "AE", handlers: Handlers, loop: Loop, reception: Reception | None = None, **options: Any
    ) -> None:
        super().__init__(ae, handlers, loop, reception, **options)
        self._tasks: trio.Nursery | None = None
        self._operations: set[trio.CancelScope] = set()
        self._waiting = trio.CancelScope()  # for bytes, or a deadline
        self._is_waiting_to_read = False
        self._is_watching = True
        self._writing = trio.CancelScope()
        self._backlog = trio.Event()

    # trio raises KeyboardInterrupt anywhere: in the midst of these it would make bytes leave twice, or never
    _turn = trio.lowlevel.enable_ki_protection(AsyncAssociation._turn)  # noqa: SLF001
    _arrived = trio.lowlevel.enable_ki_protection(AsyncAssociation._arrived)  # noqa: SLF001

    def _spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(function, *arguments)

    async def _operate(self, task: Task[Any], performer: Performer) -> None:
        with trio.CancelScope() as scope:
            self._operations.add(scope)
            try:
                await self._go_on(task, performer)
            finally:
                self._operations.discard(scope)

    def _cancel_operations(self) -> None:
        for scope in self._operations:
            scope.cancel()

    def _rearrange(self) -> None:
        link = self._link
        if link is None:
            return
        deadline = link.deadline
        if deadline is not None and deadline < self._waiting.deadline:  # one that passes too early does no harm
            self._waiting.deadline = deadline
        if not self._is_watching or link.wants_read != self._is_waiting_to_read:
            self._waiting.cancel()
        if link.wants_write:
            self._backlog.set()

    def _stop_watching(self) -> None:
        self._is_watching = False
        self._waiting.cancel()
        self._writing.cancel()

    async def _carry(self) -> None:
        with _interrupted_as_such():
            await self._carry_in_nursery()

    async def _carry_in_nursery(self) -> None:
        async with trio.open_nursery() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._write)
            try:
                self._is_carried = self._can_spawn = True
                self._turn()
                await self._read()
                await self._done.wait()
            finally:  # a nursery takes no more tasks when those that it has have ended
                self._stop_spawning()
                self._writing.cancel()

    async def _read(self) -> None:
        """Take what arrives, and keep time, until the connection is to be closed."""
        link = self._link
        while link is not None and self._is_watching:
            deadline = link.deadline
            self._is_waiting_to_read = link.wants_read
            with trio.CancelScope(deadline=inf if deadline is None else deadline) as self._waiting:
                while self._is_waiting_to_read and self._is_watching:  # a scope costs more than what it is for
                    await trio.lowlevel.wait_readable(link.descriptor)
                    self._arrived()
                await trio.sleep_forever()  # it has been cancelled, or will be
            self._turn()

    async def _write(self) -> None:
        """Send what the kernel has not taken, when it does."""
        link = self._link
        with self._writing:
            while link is not None:
                await self._backlog.wait()
                self._backlog = trio.Event()
                while link.wants_write and self._is_watching:
                    await trio.lowlevel.wait_writable(link.descriptor)
                    self._turn()


AssociationServer = AsyncServer[Association]
"""Serves associations for an application entity, each in tasks of its own."""


class AE(AsyncAE[Association]):
    """An application entity on trio: requests associations, and serves them."""

    def loop(self) -> Loop:
        """Return the event loop that runs."""
        return _TrioLoop()

    def make_association(self, handlers: Handlers, reception: Reception | None = None, **options: Any) -> Association:
        """Make an association, that has no connection yet."""
        return Association(self, handlers, _TrioLoop(), reception, **options)
