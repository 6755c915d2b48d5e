"""Associations that are driven by awaiting, in any event loop.

A loop brings little more than what :class:`~dicom_transports.loops.Loop` asks for, and says in an ``Association`` of
its own how it waits for a socket.
"""

import logging
import socket
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

from pydicom.dataset import Dataset

from dicom_proto.application.life import HANDLING
from dicom_proto.application.requests import Result
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Await, Call, Dial, Drain, Effect, HangUp, Program, Pull, Receive, Run
from dicom_proto.programs.streams import Stream
from dicom_proto.services.storage.pipeline import Sent
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.pdu import AAssociateRJ
from dicom_proto.upper_layer.policy import Policy
from dicom_transports._entity import AssociationBase
from dicom_transports._socket.tls_layer import TLSLayer
from dicom_transports._tasks.steps import drive_async
from dicom_transports.loops import AsyncScope, Coro, Loop, Results, Signal

if TYPE_CHECKING:
    from dicom_transports._tasks.entity import AsyncAE

__all__ = ["AsyncAssociation"]

T = TypeVar("T")
_log = logging.getLogger("dicom_transports")
_LAST_WORDS: Final = 5.0  # seconds that handlers of the end have when their scope is cancelled


class AsyncAssociation(
    AssociationBase[Coro[None], Coro[Dataset], Coro[Result], AsyncIterator[Result], AsyncIterator[Sent]]
):
    """One association of an application entity, driven by awaiting."""

    def __init__(
        self, ae: "AsyncAE[Any]", handlers: Handlers, loop: Loop, policy: Policy | AAssociateRJ | None = None
    ) -> None:
        super().__init__(ae, handlers, policy)
        self._ae = ae
        self._loop = loop
        self._waiters: set[Signal] = set()
        self._done = loop.signal()  # set when the connection is to be closed
        self._has_told_end = False
        self._is_buried = False  # no task can be started any more

    # --- what a loop adds ---------------------------------------------------------------------------------------------

    @abstractmethod
    def spawn(self, function: Callable[..., Coro[None]], *arguments: Any) -> None:
        """Start a task of this association."""

    @abstractmethod
    def _cancel_operations(self) -> None:
        """Cancel the tasks that :meth:`_operate`."""

    @abstractmethod
    def _rearrange(self) -> None:
        """Look again at what to wait for: the socket and the deadline."""

    @abstractmethod
    async def _carry(self) -> None:
        """Read, write and keep time until :attr:`_done`; then see to it that no task is left."""

    @abstractmethod
    def wait_for(self, function: Callable[[], Coro[T]]) -> T:
        """Have an async function called in the loop, and wait for its result in another thread.

        So handlers that are plain functions call what is to be awaited: ``assoc.wait_for(assoc.send_c_echo)``.

        Raises
        ------
        LocalProtocolError
            If this is the thread of the loop, which would wait for itself.
        """

    @abstractmethod
    def _is_elsewhere(self, function: Callable[[], None]) -> bool:
        """If this is another thread than the loop's, have a function called there."""

    # --- what users call ----------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody, and may be called in any thread."""
        if self._link is None or self._is_elsewhere(self.abort):
            return
        self.give_up()
        self._turn()

    async def run(self, program: Program[T]) -> T:
        """Run a service program on this association, and return its result (:mod:`dicom_proto.programs.effects`)."""
        return await self._drive(program)

    def abandon(self, stream: Stream[Any]) -> None:
        """Take no more interest in results; may be called in any thread."""
        if not self._is_elsewhere(partial(self.abandon, stream)):
            stream.abandon()
            self._turn()

    def iterate(self, begin: Program[Stream[T]]) -> AsyncIterator[T]:
        return Results(self, begin)

    # --- driving programs ---------------------------------------------------------------------------------------------

    async def _drive(self, program: Program[T], effect: Effect | None = None) -> T:
        """Run a program; it may have been begun, and have asked for an effect already."""
        scope = AsyncScope(self, self._loop)
        try:
            return await drive_async(program, partial(self._perform, scope), effect)
        finally:
            program.close()
            if self._has_work():
                self._turn()
            if scope.has_something:
                await self._loop.shielded(_LAST_WORDS, scope.close_all())

    async def _perform(self, scope: AsyncScope, effect: Effect) -> Any:
        match effect:
            case Receive():
                return await self._wait(lambda: self.peer.router.take(effect.key))
            case Await():
                return await self._wait(effect.condition)
            case Drain():
                self._turn()
                await self._loop.pause()
                return await self._wait(lambda: self.peer.connection.write_room or None)
            case Call():
                return await scope.call_handler(effect)
            case Pull():
                if effect.iterator not in scope.opened:
                    scope.opened.append(effect.iterator)
                return await scope.pull_next(effect.iterator)
            case Dial():
                other = await self._ae.dial_from(self, effect.address, effect.offer, **effect.options)
                scope.opened.append(other)
                if isinstance(other.failure, AssociationFailure | OSError):
                    raise other.failure
                return other.peer
            case Run():
                return await effect.peer.association.run(effect.program)
            case HangUp():
                return await effect.peer.association.release()
            case _:
                assert_never(effect)

    async def _wait(self, condition: Callable[[], T | None]) -> T:
        """Wait until a condition gives something."""
        result = condition()
        if result is None:
            self._turn()
        while result is None and (result := condition()) is None:
            if self.is_over:
                raise self.end()
            signal = self._loop.signal()
            self._waiters.add(signal)
            try:
                await signal.wait()
            finally:
                self._waiters.discard(signal)
        return result

    def _begin(self, program: Program[None], *, is_operation: bool) -> None:
        """Begin a program: if it never has to wait, that was all; otherwise a task goes on with it."""
        if self._is_buried:
            return
        try:
            effect = program.send(None)
        except StopIteration:
            return
        self.spawn(self._operate if is_operation else self._go_on, program, effect)

    @abstractmethod
    async def _operate(self, program: Program[None], effect: Effect) -> None:
        """Go on with a program that is to be cancelled when the association is over."""

    async def _go_on(self, program: Program[None], effect: Effect) -> None:
        HANDLING.set((*HANDLING.get(), self))
        try:
            await self._drive(program, effect)
        except AssociationFailure as error:
            _log.info("! %s", error)
        except Exception:  # noqa: BLE001 - whatever it is costs this association only
            _log.exception("an association failed")
            self.abort()

    # --- its life -----------------------------------------------------------------------------------------------------

    def _has_work(self) -> bool:
        """Tell whether a turn would make a difference."""
        link = self._link
        if link is None:
            return False
        has_news = self.has_news or self.peer.router.has_summons
        return bool(self._waiters) or self.is_over or has_news or not link.is_idle

    def _turn(self) -> None:
        """Do all that can be done now, and let those know who wait for something."""
        link, router = self._link, self.peer.router
        if link is None:
            return
        while True:
            self.conclude()
            while (summons := router.take_summons()) is not None:
                self._begin(self.attend(summons), is_operation=not self.is_over)
            if self.has_news:
                self._begin(self.tell(), is_operation=False)
            if not link.flush():
                break
        if self.is_over and not self._has_told_end and not self._is_buried:
            self._has_told_end = True
            self._cancel_operations()
            self._begin(self.ended(), is_operation=False)
        for signal in self._waiters:
            signal.set()
        self._waiters.clear()
        if link.is_done:
            self._done.set()
        self._rearrange()

    def _arrived(self) -> None:
        """Take what has arrived, and see to it."""
        link = self._open_link()
        link.receive()
        self._turn()

    def _expired(self) -> None:
        """Let the deadlines act that have come."""
        self._open_link().expire()
        self._turn()

    async def live(self, sock: socket.socket, tls: TLSLayer | None) -> None:
        """Live by a connected socket, until it is closed: for a task of its own."""
        try:
            self._connect(sock, tls, self._loop.now)
            self.opened(self.peer_address)  # which is told when there are tasks
            await self._carry()
        except OSError as error:  # the peer is gone again, or there is no room
            _log.warning("! a connection cannot be used: %s", error)
        except Exception:  # noqa: BLE001 - whatever it is costs this association only
            _log.exception("an association failed")
        finally:
            self.give_up()
            await self._loop.shielded(_LAST_WORDS, self._bury())
            sock.close()

    async def _bury(self) -> None:
        """Close the connection, and tell those who wait for something, and the handlers of the end."""
        link = self._link
        if link is not None:
            self._is_buried = True
            link.close()
            self.conclude()
            HANDLING.set((*HANDLING.get(), self))
            if not self._has_told_end:
                self._has_told_end = True
                await self._drive(self.ended())
            await self._drive(self.closed(self.peer_address))
        for signal in self._waiters:
            signal.set()
