"""The engine of an association: bytes, time and the answers of a driver in; bytes, a deadline and effects out.

Stable.

It owns all that goes on on one association: the connection, the programs under way, who waits for which event, and the
end. A driver of any I/O stack takes turns with it::

    engine.connection_made(now=clock())
    while True:
        turn = engine.turn(now=clock())
        write(turn.buffers)                     # then end the output, if turn.ends_output
        for task, effect in turn.effects:       # perform each, now or later, in whatever thread or task
            engine.resume(task, value)          # or engine.throw(task, error): and take another turn
        if turn.wants_close:                    # close the connection, and say so
            engine.connection_closed(now=clock())
        if engine.is_finished:
            break
        wait(turn.wants_read, turn.deadline)    # not at all if turn.is_unfinished
        engine.receive_data(block, now=clock())  # or receive_eof

What is never asked for is never done: a turn looks at what has arrived, lets those tasks go on that waited for it,
looks at conditions once, and hands out bytes. One turn takes a bounded share of what has arrived, so that many
associations can share a thread.

When an association ends, the engine says so to everybody at once: whoever waits gets the typed failure, requests that
had not begun are not begun, and the peer has a second to read what was said last and to close the connection.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar, cast

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, DataChunk, DataRun, RequestReceived, ResponseReceived
from dicom_proto.dimse.routing import Inbox, Indication, Router, closed
from dicom_proto.errors import LocalProtocolError
from dicom_proto.logs import ASSOCIATION, about
from dicom_proto.programs.effects import Drain, DriverEffect, Effect, Program, Receive
from dicom_proto.programs.tasks import Task, Tasks
from dicom_proto.upper_layer.events import (
    AssociateAccepted,
    AssociateRequested,
    ReleaseRequested,
)
from dicom_proto.upper_layer.failures import AssociationFailure, Ending

__all__ = ["FAREWELL", "Engine", "Life", "Turn", "Witness"]

T = TypeVar("T")
_log = logging.getLogger("dicom_proto.programs")

FAREWELL: Final = 1.0
"""Seconds that a peer has to read what was said last, and to close the connection, however an association ended."""

_SHARE: Final = 256  # events of one association in a turn
_ROOM: Final = 1 << 20  # bytes handed out in a turn, if the driver says nothing
_INDICATIONS: Final = (AssociateRequested, AssociateAccepted, ReleaseRequested)


class Witness(Protocol):
    """Sees what passes, and keeps what is to be told of it."""

    pending: list[Any]
    wants_received: Any
    wants_sent: Any

    def received(self, data: Buffer) -> None:
        """See bytes that were received, before the connection does."""

    def sent(self, buffers: list[Buffer]) -> None:
        """See what the connection has to send."""


class Life(Protocol):
    """What an association is, above its protocol: what is to be done for the peer, and whom to tell of what.

    Attributes
    ----------
    is_over : bool
        Whether it has ended; becomes true by :meth:`take_over`, or by what this side does.
    """

    is_over: bool

    def attend(self, indication: Indication) -> Program[None] | None:
        """Do what the peer asks for; return the program for what takes its time, if there is some."""

    def take_over(self, ending: Ending) -> None:
        """Remember how the association ended."""

    def end(self) -> AssociationFailure:
        """Return the exception for those who wait for something that will not happen any more."""

    def give_up(self) -> None:
        """Abort the association; without one, do nothing."""

    def tell(self) -> Program[None]:
        """Tell what has passed."""

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell, and nobody is telling already."""

    def ended(self) -> Program[None] | None:
        """Tell how it ended; return the program that calls handlers, if there are some."""

    def closed(self) -> Program[None] | None:
        """Tell that the connection has been closed, likewise."""


class Turn:
    """What a driver has to do after a turn.

    Attributes
    ----------
    buffers : list of buffers
        What is to be written, in order.
    effects : list of tuple
        Tasks, and what is to be done for each.
    deadline : float or None
        When the next turn is due if nothing happens before.
    wants_read : bool
        Whether bytes are welcome.
    ends_output : bool
        Whether nothing more is to be written behind the buffers: the peer may be told.
    wants_close : bool
        Whether the connection is to be closed.
    is_cut_short : bool
        Whether there was no room to hand out more.
    is_unfinished : bool
        Whether there is more to do at once: take another turn when others have had theirs.
    """

    __slots__ = (
        "buffers",
        "deadline",
        "effects",
        "ends_output",
        "is_cut_short",
        "is_unfinished",
        "wants_close",
        "wants_read",
    )

    buffers: list[Buffer]
    effects: list[tuple[Task[Any], DriverEffect]]
    deadline: float | None
    wants_read: bool
    ends_output: bool
    wants_close: bool
    is_cut_short: bool
    is_unfinished: bool


class Engine(Tasks):
    """Runs all programs of one association.

    Parameters
    ----------
    connection : Connection
        The protocol, just made; of a requestor, ``request`` has to be called before :meth:`connection_made`.
    router : Router
        Sorts its events.
    life : Life
        What is to be done for the peer.
    witness : Witness
        Sees what passes.
    wake : callable
        Has to bring about a turn; called when something happens outside of one. It may be called in any thread.

    Attributes
    ----------
    name : str
        The id of the association, which stands in what is logged during a turn.
    bytes_received, bytes_sent : int
        What has passed: PDUs, without what TLS adds.
    is_held_up : bool
        Whether something has arrived that is not looked at before somebody asks for what waits.
    secure : callable
        Returns buffers that can be looked at before they are sent, for the witness; by default the same. A driver that
        maps files into memory copies what is in them.
    """

    def __init__(
        self,
        connection: Connection,
        router: Router,
        life: Life,
        witness: Witness,
        wake: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(wake or _nothing)
        self.connection = connection
        self._router = router
        self._life = life
        self._witness = witness
        self._invoking: deque[Task[Any]] = deque()  # those that wait for room in the operations window
        self._closing_at: float | None = None
        self._deadline: float | None = None
        self.secure: Callable[[list[Buffer]], list[Buffer]] = _as_they_are
        self.is_held_up = False
        self.name = ""
        self.bytes_received = self.bytes_sent = 0
        self._began_at = 0.0
        self._has_eof = False
        self._is_closed = False
        self._has_concluded = False
        self._has_told_close = False
        self._is_retired = self._is_to_abort = False

    # --- what the world does to it ------------------------------------------------------------------------------------

    def connection_made(self, *, now: float) -> None:
        """Tell that the transport connection is open; raises as ``Connection.connection_made``."""
        self._began_at = self._now = now
        with about(self.name):
            self.connection.connection_made(now=now)

    def receive_data(self, data: Buffer, *, now: float) -> None:
        """Take in received bytes. The block is kept, not copied, and must not change."""
        if self._witness.wants_received:
            self._witness.received(data)
        self.bytes_received += len(data)
        self.connection.receive_data(data, now=now)

    def receive_eof(self, *, now: float) -> None:
        """Tell that the peer has closed the connection, or that it is lost; what was received before still counts."""
        if not self._has_eof:
            self._has_eof = True
            self.connection.receive_eof(now=now)

    def connection_closed(self, *, now: float) -> None:
        """Tell that the connection has been closed here: the last that a driver says, before one more turn."""
        if not self._is_closed:
            self._is_closed = True
            self.receive_eof(now=now)

    @property
    def seconds(self) -> float:
        """How long there has been a connection, as of the last turn."""
        return self._now - self._began_at

    @property
    def is_closed(self) -> bool:
        """Whether the connection has been closed here."""
        return self._is_closed

    @property
    def is_finished(self) -> bool:
        """Whether all is over, and nobody has anything left to do."""
        return self._has_told_close and not self._tasks

    def retire(self, end: Callable[[], AssociationFailure]) -> None:
        """Let go of what knows this engine: nothing can happen any more.

        Programs may still be started, and end at once; ``end`` makes the exception for those that wait. Those that are
        submitted need no turn for that: nobody would take one.
        """
        self._life = cast(Any, _Gone(end))
        self._is_retired = True
        self.wake = _nothing
        for task in tuple(self._tasks):  # another thread may have submitted one when the last turn was over
            if task.is_posted:
                self._end_at_once(task)

    def submit(self, program: Program[T], on_end: Callable[[Task[T]], None]) -> Task[T]:
        """Start a program from anywhere, and see to it that there is a turn; where there is none any more, end it."""
        task = super().submit(program, on_end)
        if self._is_retired:
            self._end_at_once(task)
        return task

    def _end_at_once(self, task: Task[Any]) -> None:
        """Let a program go on to the first thing that it would wait for; that cannot happen any more."""
        if self._claim(task):
            self._step(task, None, None)
            if not task.is_done:
                self._stop_waiting(task)
                self._step(task, None, self._life.end())
            if not task.is_done:
                self.cancel(task)

    def _claim(self, task: Task[Any]) -> bool:
        """Say that this thread is who ends a task; only one is told that it is."""
        try:
            self._tasks.remove(task)
        except KeyError:
            return False
        return True

    @property
    def has_ready(self) -> bool:
        """Whether something waits for the next turn."""
        return bool(self._ready) or self._is_to_abort

    def abort(self) -> None:
        """Abort the association, in the next turn at the latest; may be called in any thread."""
        self._is_to_abort = True
        self.wake()

    def look(self, *, now: float) -> None:
        """Look at what has been received, and leave all that follows from it to the next turn.

        For a driver whose handlers run in the thread that takes the turns: a handler that asks whether its operation is
        cancelled must not have to return to be told.
        """
        self._now = now
        self._take_events(_SHARE)

    # --- a turn -------------------------------------------------------------------------------------------------------

    def turn(self, *, now: float, room: int = _ROOM) -> Turn:  # type: ignore[override]
        """Do all that can be done now.

        Parameters
        ----------
        now : float
            The time.
        room : int
            How many bytes may be handed out.
        """
        self._now = now
        here = ASSOCIATION.set(self.name)
        try:
            if self._deadline is not None and now >= self._deadline:
                self._expire(now)
            if self._is_to_abort:
                self._is_to_abort = False
                self._life.give_up()
            connection, ready = self.connection, self._ready
            buffers: list[Buffer] = []
            share = _SHARE
            while True:
                share = self._take_events(share)
                while ready:
                    self._go_on()
                if self._router.left:
                    self._let_go()
                    continue
                if (self._watching or self._invoking) and self._look():
                    continue  # one may have done what another waits for
                if self._witness.pending or self._life.is_over:
                    self._tell()
                more = connection.data_to_send(max(0, room), now=now)
                if more:
                    length = sum(map(len, more))
                    room -= length
                    self.bytes_sent += length
                    if self._witness.wants_sent:
                        more = self.secure(more)
                        self._witness.sent(more)
                    buffers += more
                    if not (ready or self._watching or self._invoking or self._witness.pending) and connection.is_quiet:
                        break
                    continue  # there is room now for what was held back
                if not ready and not (self.is_held_up and not self._router.is_full):
                    break
            return self._state(buffers, share, room)
        finally:
            ASSOCIATION.reset(here)

    def _tell(self) -> None:
        """See to it that handlers are told of what has passed, and of the end."""
        if self._witness.pending and self._life.has_news:
            self._start_own(self._life.tell())
        if self._life.is_over and not self._has_concluded:
            self._conclude()
        if self._is_closed and self._has_concluded and not self._has_told_close:
            self._has_told_close = True
            self._start_own(self._life.closed())

    def _state(self, buffers: list[Buffer], share: int, room: int) -> Turn:
        """Return what a driver has to know when nothing moves any more."""
        connection = self.connection
        wants_close = self._has_eof or (self._life.is_over and connection.wants_close)
        deadline = None if wants_close else connection.next_deadline()
        if self._closing_at is not None and not wants_close:
            deadline = self._closing_at if deadline is None else min(deadline, self._closing_at)
        if self._pauses:
            deadline = self._pauses[0][0] if deadline is None else min(deadline, self._pauses[0][0])
        self._deadline = deadline
        turn = Turn()
        turn.buffers = buffers
        turn.effects = self._effects
        if turn.effects:
            self._effects = []
        turn.deadline = deadline
        turn.wants_read = connection.wants_read
        turn.ends_output = self._closing_at is not None and not connection.can_send
        turn.wants_close = wants_close and not self._is_closed
        turn.is_cut_short = room <= 0
        turn.is_unfinished = share <= 0 and (self._is_closed or not self._router.is_full)
        return turn

    def _take_events(self, share: int) -> int:
        """Take up to so many events; return how many more may be taken in this turn."""
        router, connection = self._router, self.connection
        self.is_held_up = False
        while share > 0:
            if router.is_full and not self._is_closed:
                self.is_held_up = not connection.is_quiet  # until somebody asks for what waits
                break
            share -= 1
            event = connection.next_event()
            kind = type(event)
            if kind is ResponseReceived or kind is DataChunk or kind is DataRun:
                task = router.file(event)  # type: ignore[arg-type]
                if task is not None:
                    task.waits_for = None
                    self._step(task, event, None)
            elif event is None:
                if connection.has_unread:
                    share = 0  # it has looked at many that told nothing: others have their turn
                break
            elif kind is RequestReceived:
                self._begin(event)  # type: ignore[arg-type]
            elif kind in _INDICATIONS:
                self._start_own(self._life.attend(event))  # type: ignore[arg-type]
            elif kind is not CancelReceived:
                self._life.take_over(event)  # type: ignore[arg-type]
                self._conclude()
                break
        return share

    def _begin(self, request: RequestReceived) -> None:
        """Begin with an operation that the peer has asked for; after the end, or too late, it is not begun."""
        if self._life.is_over or request.message_id not in self.connection.performed:
            _log.debug("! a %s came too late to be answered", request.request.name)
            return
        self._router.open((request.message_id, False))
        program = self._life.attend(request)
        if program is not None:
            task = Task(program, self._note_end, invokes=False)
            task.is_operation = True
            self._tasks.add(task)
            self._step(task, None, None)  # before what the peer has asked for next: that may be the release

    def _start_own(self, program: Program[None] | None) -> Task[None] | None:
        if program is None:
            return None
        task = Task(program, self._note_end, invokes=False)
        self._tasks.add(task)
        self._ready.append((task, None, None, 0))
        return task

    def _note_end(self, task: Task[None]) -> None:
        """Note what came of something that was done for the peer: what goes wrong costs this association only."""
        error = task.error
        if error is None:
            return
        task.finish(None, None)
        if isinstance(error, AssociationFailure):
            _log.info("! %s", error)
        else:
            _log.error("an association failed", exc_info=error)
            self._life.give_up()

    # --- tasks that wait ----------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        task = self._ready[0][0]
        if task.invokes and task.program is not None:
            self._ready.popleft()
            task.invokes = False
            connection = self.connection
            if self._invoking or not (len(connection.invoked) < connection.invoked_window or self._has_window):
                self._invoking.append(task)
            else:
                self._step(task, None, None)
        else:
            super()._go_on()

    @property
    def _has_window(self) -> bool:
        """Whether another operation may be invoked; or whoever wants to has to be told why it cannot."""
        return self.connection.can_invoke or self._router.is_full or self._life.is_over

    def _look(self) -> bool:
        """Look once at what is waited for and no event tells; return whether anything went on."""
        has_moved = False
        while self._invoking and self._has_window:
            self._step(self._invoking.popleft(), None, None)
            has_moved = True
        return has_moved or (bool(self._watching) and super()._look())

    def _perform(self, task: Task[Any], effect: Effect) -> Any:
        match effect:
            case Receive(inbox):
                event = inbox.take() if inbox.events or not inbox.is_open else None
                if event is None:
                    if self._life.is_over:
                        raise self._life.end()
                    if inbox.receiver is not None:
                        raise LocalProtocolError(f"somebody waits already for what comes for operation {inbox.key[0]}")
                    inbox.receiver = task
                    task.waits_for = inbox
                return event
            case Drain():
                self._check_alive()
                if self.connection.write_room and not self._witness.pending:
                    return True
                self._watch(task, effect)
                return None
            case _:
                return super()._perform(task, effect)

    def _check_alive(self) -> None:
        if self._life.is_over:
            raise self._life.end()

    def _let_go(self) -> None:
        """Tell those who wait at an inbox that was closed; its message ID may stand for another operation by now."""
        for task in self._router.take_left():
            inbox, task.waits_for = task.waits_for, None
            self._ready.append((task, None, closed(inbox.key), task.generation))

    def _stop_waiting(self, task: Task[Any]) -> None:
        inbox = task.waits_for
        if isinstance(inbox, Inbox):
            inbox.receiver = None
        if task in self._invoking:
            self._invoking.remove(task)
        super()._stop_waiting(task)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        """Let the deadlines act that have come."""
        self._wake_sleepers()
        self.connection.handle_timeout(now)
        if self._closing_at is not None and now >= self._closing_at:
            self.receive_eof(now=now)

    def _conclude(self) -> None:
        """Tell everybody who waits that the association has ended, once."""
        if self._has_concluded:
            return
        self._has_concluded = True
        self._closing_at = self._now + FAREWELL
        effects, self._effects = self._effects, []
        for task, effect in effects:
            if task.is_operation and not task.is_closing:  # nobody has been asked for anything yet: it is not begun
                self.cancel(task)
            else:
                self._effects.append((task, effect))
        for task in tuple(self._tasks):
            if isinstance(task.waits_for, Inbox):
                self._stop_waiting(task)
                self._ready.append((task, None, self._life.end(), task.generation))
        self._start_own(self._life.ended())


def _as_they_are(buffers: list[Buffer]) -> list[Buffer]:
    return buffers


def _nothing() -> None:
    """Wake nobody."""


class _Gone:
    """The life of an association whose engine has retired."""

    is_over = True
    has_news = False

    def __init__(self, end: Callable[[], AssociationFailure]) -> None:
        self.end = end

    def give_up(self) -> None:
        """Do nothing: it is over."""

    def take_over(self, _ending: Ending) -> None:
        """Do nothing: it has ended already."""
