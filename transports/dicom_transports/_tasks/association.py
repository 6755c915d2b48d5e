"""Associations that are driven by awaiting, in any event loop.

Everything here runs in the thread of the loop, so that nothing needs a lock. A turn of the engine is taken whenever
something has happened, by whoever has noticed it, and is never interrupted. What a task asks for is done by a task of
the loop: that of the caller, for what is asked of the peer; for what the peer asks, one that is started for it, and is
cancelled when the association ends. Plain functions that may take their time run in threads of their own, one for each
run of a handler.

A loop brings little more than what :class:`~dicom_transports.loops.Loop` asks for, and says in an ``Association`` of
its own how it waits for a socket.
"""

import logging
import socket
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from dicom_proto.application.association import HANDLING, EntityAssociation, Reception
from dicom_proto.application.verbs import AwaitedVerbs
from dicom_proto.errors import LocalProtocolError, NotEstablishedError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.logs import ASSOCIATION
from dicom_proto.programs.effects import Dial, DriverEffect, Program, Pull
from dicom_proto.programs.gathering import AsyncGathering, Gathering
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.tasks import Task
from dicom_transports._entity import AEBase
from dicom_transports._files.reading import as_storable
from dicom_transports._socket.channel import Channel
from dicom_transports._socket.link import Link
from dicom_transports._socket.memory import allocated
from dicom_transports._socket.sockets import local_address, peer_address
from dicom_transports._socket.tls_layer import TLSLayer
from dicom_transports._tasks.performing import Performer
from dicom_transports._tasks.results import Results
from dicom_transports._threads.flushing import hand_over, send_on
from dicom_transports.loops import Coro, Loop

__all__ = ["AsyncAssociation"]

T = TypeVar("T")
_log = logging.getLogger("dicom_transports")
_LAST_WORDS: Final = 5.0  # seconds that handlers of the end have when their scope is cancelled


class AsyncAssociation(AwaitedVerbs, EntityAssociation):
    """One association of an application entity, driven by awaiting."""

    def __init__(
        self, ae: AEBase[Any], handlers: Handlers, loop: Loop, reception: Reception | None = None, **options: Any
    ) -> None:
        super().__init__(ae, handlers, reception, **options)
        self.peer.read = as_storable
        self.peer.allocate = allocated
        self._loop = loop
        self._link: Link | None = None
        self._done = loop.signal()  # set when all is over
        self._is_carried = False  # its tasks are there, and have something to do
        self._is_due = False  # a turn has been asked for
        self._can_spawn = False
        self._last_words: deque[tuple[Task[Any], DriverEffect]] = deque()  # to be said when no task can be started

    # --- what a loop adds ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _spawn(self, function: Callable[..., Coro[None]], *arguments: Any) -> None:
        """Start a task of this association."""

    @abstractmethod
    async def _operate(self, task: Task[Any], performer: Performer) -> None:
        """Do what is asked for by an operation of the peer, until it ends or :meth:`_cancel_operations`."""

    @abstractmethod
    def _cancel_operations(self) -> None:
        """Cancel all that :meth:`_operate`."""

    @abstractmethod
    def _rearrange(self) -> None:
        """Look again at what to wait for: the socket and the deadline."""

    @abstractmethod
    def _stop_watching(self) -> None:
        """Take no more notice of the socket, which is about to be closed."""

    @abstractmethod
    async def _carry(self) -> None:
        """Read, write and keep time until :attr:`_done`; then see to it that no task is left."""

    def wait_for(self, function: Callable[[], Coro[T]]) -> T:
        """Have an async function called in the loop, and wait for its result in another thread.

        So handlers that are plain functions call what is to be awaited: ``assoc.wait_for(assoc.send_c_echo)``.

        Raises
        ------
        LocalProtocolError
            If this is the thread of the loop, which would wait for itself.
        """
        return self._loop.wait_for(function)

    # --- what users call ----------------------------------------------------------------------------------------------

    async def release(self) -> None:
        """Release the association and wait until it has ended; without one, do nothing.

        What the peer has been asked for, and has not answered, is waited for first; results that nobody asks for any
        more are cancelled.
        """
        if not self.is_over and self._link is not None:
            await self.run(self.part())

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody, and may be called in any thread."""
        if self._link is None:
            self.abort_soon()  # as soon as it has a connection
            return
        if self.is_over:
            return
        send_on()
        if self._loop.is_here():
            self.give_up()
            self._turn()
        else:
            self._loop.call_soon(self.abort)

    async def run(self, program: Program[T], *, invokes: bool = False) -> T:
        """Run a program on this association, and return its result (:mod:`dicom_proto.programs.effects`)."""
        if self._link is None:
            program.close()
            raise NotEstablishedError(f"the association is not established: {self.failure or self.peer.end()}")
        performer = Performer(self._loop)
        task = self.engine.start(program, on_end=performer.end, invokes=invokes)
        task.performer = performer
        self._turn()
        if not task.is_done:
            await self._see_through(task, performer)
        return task.result()

    def iterate(self, begin: Program[Stream[T]], *, invokes: bool = False) -> Results[T]:
        """Return the results of the stream that a program begins when the first is asked for."""
        return Results(self, begin, invokes=invokes)

    async def join(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as that of threads
        """Wait until all is over, the handlers of the end included: see :meth:`is_alive`.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        LocalProtocolError
            If a handler of this association asks, which would wait for itself.
        """
        if self.is_handling():
            raise LocalProtocolError("a handler cannot wait for the end of its own association")
        if self.is_alive():
            await self._loop.wait_until(self._done, None if timeout is None else self._loop.now() + timeout)

    # --- driving ------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """See to it that the engine has a turn; may be called in any thread."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._take_due_turn)

    def _take_due_turn(self) -> None:
        self._is_due = False
        self._turn()

    def _turn(self) -> None:
        """Take a turn, and see to it that what is asked for is done."""
        link, engine = self._link, self.engine
        if link is None or not self._is_carried:
            if engine.is_closed:
                self._turn_behind_the_end()
            return
        has_answered = True
        while has_answered:
            turn = link.turn()
            has_answered = turn.wants_close
            if has_answered:
                self._stop_watching()
                link.close()
            for task, effect in turn.effects:
                has_answered = self._assign(task, effect) or has_answered
            if turn.is_unfinished:
                self.wake()
            elif link.descriptor < 0 and turn.deadline is not None:  # a program pauses, and nothing else keeps time
                self._loop.spawn(self._turn_at, turn.deadline)
        if engine.is_finished:
            self._is_carried = False
            self._done.set()
        self._rearrange()
        if self.is_over:
            self._cancel_operations()

    def _turn_behind_the_end(self) -> None:
        """Let programs go on that nobody carries any more: they tell of what is left that there is no association."""
        has_answered = True
        while has_answered:
            has_answered = False
            for task, effect in self.engine.turn(now=self._loop.now()).effects:
                has_answered = self._assign(task, effect) or has_answered

    async def _turn_at(self, deadline: float) -> None:
        await self._loop.wait_until(self._loop.signal(), deadline)
        self._turn()

    def _assign(self, task: Task[Any], effect: DriverEffect) -> bool:
        """Say who does what a task asks for; return whether it has been done."""
        performer = task.performer
        if performer is not None:
            performer.ask(effect)
        elif Performer.can_do_at_once(effect):
            self.engine.answer(task, *Performer.do_at_once(self, effect))
            return True
        elif not self._can_spawn:
            self._last_words.append((task, effect))
        else:
            performer = task.performer = Performer(self._loop)
            task.on_end = performer.end_after(task.on_end)
            performer.ask(effect)
            self._spawn(self._operate if task.is_operation else self._go_on, task, performer)
        return False

    async def _go_on(self, task: Task[Any], performer: Performer) -> None:
        """Do what is asked for by what the peer has done, in a task of its own."""
        HANDLING.set((*HANDLING.get(), self))
        ASSOCIATION.set(self.id)
        await self._see_through(task, performer)

    async def _see_through(self, task: Task[Any], performer: Performer) -> None:
        """Do what a task asks for until it is done; if that is cancelled, it is closed."""
        try:
            while not task.is_done:
                await self._do_next(task, performer)
        except BaseException:
            if not task.is_closing:
                self.engine.cancel(task)
            elif not performer.has_effect:  # it has been interrupted while it closed something
                self.engine.resume(task)
            self._turn()
            if not task.is_done:
                await self._loop.shielded(_LAST_WORDS, self._close(task, performer))
            raise
        finally:
            performer.give_back()

    async def _do_next(self, task: Task[Any], performer: Performer) -> None:
        effect = await performer.next_effect()
        if effect is None:
            return
        try:
            if type(effect) is Pull and isinstance(effect.iterator, Gathering | AsyncGathering):
                await self._gather(task, effect, performer)
            else:
                self.engine.resume(task, await performer.do(self, effect))
        except Exception as error:  # noqa: BLE001 - it is the program's
            self.engine.throw(task, error)
        self._turn()

    async def _gather(self, task: Task[Any], effect: Pull, performer: Performer) -> None:
        """Let items be gathered, and those that wait for one that takes its time be sent on before it."""
        await performer.gather(self, effect.iterator, partial(self._flush_soon, task, effect))
        hand_over(self.engine, task, effect)

    def _flush_soon(self, task: Task[Any], effect: Pull) -> None:
        """Send on what has been gathered; in any thread, and at once in that of the loop."""
        if self._loop.is_here():
            self._flush(task, effect)
        else:
            self._loop.call_soon(partial(self._flush, task, effect))

    def _flush(self, task: Task[Any], effect: Pull) -> None:
        if effect.iterator.has_ready:
            hand_over(self.engine, task, effect)
            self._turn()

    async def _close(self, task: Task[Any], performer: Performer) -> None:
        """Close what a cancelled task has left open."""
        while not task.is_done:
            await self._do_next(task, performer)

    async def dial(self, effect: Dial) -> Any:
        """Request an association for a program of this one; it lives in a task of this one."""
        return await self.ae.dial_from(self._spawn, effect.address, effect.offer, **effect.options)

    # --- its life -----------------------------------------------------------------------------------------------------

    def _arrived(self) -> None:
        """Take what has arrived, and see to it."""
        if self._link is not None and self._link.descriptor >= 0:
            self._link.receive()
            if self._link.gathered is not None:
                self._rearrange()
            else:
                self._turn()

    async def live(self, sock: socket.socket, tls: TLSLayer | None) -> None:
        """Live by a connected socket, until all is over: for a task of its own."""
        ASSOCIATION.set(self.id)
        try:
            if self._link is None:
                self.open(sock, tls)
            await self._carry()
        except OSError as error:  # the peer is gone again, or there is no room
            _log.warning("! a connection cannot be used: %s", error)
        except Exception:  # noqa: BLE001 - whatever it is costs this association only
            _log.exception("an association failed")
        finally:
            if not self.engine.is_finished and self._link is not None:
                self._hang_up(self._link)
                await self._loop.shielded(_LAST_WORDS, self._say_last_words())
            self._done.set()
            sock.close()
            self.retire()

    def open(self, sock: socket.socket, tls: TLSLayer | None) -> None:
        """Begin with a connected socket; nothing happens before :meth:`live`."""
        self.local_address, self.peer_address = local_address(sock), peer_address(sock)
        self._link = Link(Channel(sock, tls), self, self._loop.now)
        self.opened()

    def _stop_spawning(self) -> None:
        """Start no more tasks; if it is cancelled, abort at once: a handler that is stuck holds up itself alone."""
        self._can_spawn = False
        if not self.is_over:
            self.give_up()
            self._turn()

    def _hang_up(self, link: Link) -> None:
        """Abort the association and close the connection: there is no time left."""
        self.give_up()
        self._turn()
        self._stop_watching()
        link.close()
        self._turn()

    async def _say_last_words(self) -> None:
        """Call the handlers of the end, here where no task can be started any more."""
        HANDLING.set((*HANDLING.get(), self))
        performer = Performer(self._loop)
        while self._last_words:
            task, effect = self._last_words.popleft()
            performer.ask(effect)
            await self._do_next(task, performer)
        performer.give_back()
