"""Programs under way: each is a task, which goes on when what it waits for is there.

Stable.

Who may do what, and in which thread:

* ``start``, ``submit``, ``resume`` and ``throw`` only put something into a queue, and may be called by any thread.
  What is in the queue is taken up in the next turn; where another thread than the driver's calls, ``wake`` has to make
  that turn happen.
* Everything else is for one thread at a time: whoever takes the turn. A driver with several threads holds a lock of
  its own over each turn, and over nothing else: what the user wrote is never called in a turn.

What a task may assume when it is resumed: the value is the answer to its last effect, nobody else has been given it,
and the association may have ended meanwhile. A task that ends closes what it has left open first, by further calls
that the same performer makes.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, Generic, TypeVar

from dicom_proto.errors import LocalProtocolError
from dicom_proto.programs.effects import (
    END,
    Await,
    Call,
    Dial,
    DriverEffect,
    Effect,
    Fork,
    HangUp,
    Pause,
    Program,
    Pull,
    Run,
)
from dicom_proto.programs.peer import RunsPrograms

__all__ = ["Task", "Tasks"]

T = TypeVar("T")
_log = logging.getLogger("dicom_proto.programs")
_MOST: Final = 1 << 14


class Task(Generic[T]):
    """A program under way.

    Attributes
    ----------
    is_done : bool
        Whether it has ended, and what it left open has been closed.
    is_closing : bool
        Whether its program has ended, and what that has left open is being closed.
    is_operation : bool
        Whether it performs what the peer has asked for.
    effect : Call, Pull, Dial or None
        What a driver is to do for it, and has not answered.
    value : object
        What the program has returned.
    error : Exception or None
        What it has raised, as long as nobody has asked for the result.
    performer : object
        For the driver: who does that. All effects of a task are for the same one.
    is_posted : bool
        Whether it was started by :meth:`Tasks.submit`: nobody takes turns for its sake.
    """

    __slots__ = (
        "effect",
        "error",
        "forked",
        "generation",
        "invokes",
        "is_closing",
        "is_done",
        "is_operation",
        "is_posted",
        "on_end",
        "opened",
        "performer",
        "program",
        "value",
        "waits_for",
    )

    def __init__(self, program: Program[T], on_end: "Callable[[Task[T]], None] | None", invokes: bool) -> None:
        self.program: Program[T] | None = program
        self.on_end = on_end
        self.invokes = invokes  # and waits for its turn to, before it begins
        self.is_operation = self.is_posted = self.is_closing = False
        self.is_done = False
        self.effect: DriverEffect | None = None
        self.generation = 0  # counts on when it is cancelled: what was to be answered before is not asked any more
        self.performer: Any = None
        self.opened: list[Any] = []  # iterators and associations
        self.forked: set[Task[Any]] = set()  # what it has started beside itself, and is not done
        self.waits_for: Any = None  # where the engine knows how to find it
        self.value: Any = None
        self.error: Exception | None = None

    def result(self) -> T:
        """Return what the program has returned, or raise what it has raised; to be asked once."""
        error, self.error = self.error, None
        if error is None:
            value: T = self.value
            return value
        try:
            raise error
        finally:
            del error  # or this frame and the error would keep each other, and all that is on the way

    def finish(self, value: Any, error: Exception | None) -> None:
        """Take the result; for :class:`Tasks`."""
        self.is_done = True
        self.program = None
        self.value = value
        self.error = error


class Tasks:
    """Tasks that need no association, and what is common to those that do.

    Parameters
    ----------
    wake : callable
        Called, in whatever thread, when something has been put into the queue from outside a turn.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self._ready: deque[tuple[Task[Any], Any, Exception | None, int]] = deque()
        self._effects: list[tuple[Task[Any], DriverEffect]] = []
        self._tasks: set[Task[Any]] = set()
        self._pauses: list[tuple[float, int, Task[Any]]] = []
        self._watching: list[Task[Any]] = []  # those that wait for what no event tells
        self._order = count()
        self._now = 0.0

    @property
    def has_ready(self) -> bool:
        """Whether something waits for the next turn."""
        return bool(self._ready)

    @property
    def count(self) -> int:
        """How many programs are under way."""
        return len(self._tasks)

    # --- what users ask -----------------------------------------------------------------------------------------------

    def start(
        self, program: Program[T], *, on_end: Callable[[Task[T]], None] | None = None, invokes: bool = False
    ) -> Task[T]:
        """Start a program; it begins in the next turn.

        Parameters
        ----------
        program : generator
            The program, not begun.
        on_end : callable, optional
            Called with the task when it is done, in the turn in which that is.
        invokes : bool
            Whether it invokes an operation, and so waits first until the window has room for one.

        Raises
        ------
        LocalProtocolError
            If too many are under way.
        """
        if len(self._tasks) >= _MOST:
            program.close()
            raise LocalProtocolError(f"{_MOST} programs are under way on one association: wait for some of them")
        task = Task(program, on_end, invokes)
        self._tasks.add(task)
        self._ready.append((task, None, None, 0))
        return task

    def submit(self, program: Program[T], on_end: Callable[[Task[T]], None]) -> Task[T]:
        """Start a program from anywhere, and see to it that there is a turn."""
        task = self.start(program, on_end=on_end)
        task.is_posted = True
        self.wake()
        return task

    # --- what a driver answers ----------------------------------------------------------------------------------------

    def resume(self, task: Task[Any], value: Any = None) -> None:
        """Answer the effect of a task; of a ``Dial``, with the association. One that is done already is left alone."""
        self._ready.append((task, value, None, task.generation))

    def throw(self, task: Task[Any], error: Exception) -> None:
        """Answer the effect of a task with an exception. One that is done already is left alone."""
        self._ready.append((task, None, error, task.generation))

    def answer(self, task: Task[Any], value: Any, error: Exception | None) -> None:
        """Answer with whichever came of it."""
        self._ready.append((task, value, error, task.generation))

    def cancel(self, task: Task[Any]) -> None:
        """End a task whose effect is not being performed any more: its program is closed, and what it left open."""
        program = task.program
        if program is None:
            return
        self._stop_waiting(task)
        task.effect = None
        task.generation += 1
        try:
            program.close()
        except Exception as error:  # noqa: BLE001 - of a finally clause
            self._end(task, None, _shortened(error))
        else:
            self._end(task, None, None)

    # --- a turn -------------------------------------------------------------------------------------------------------

    def turn(self, *, now: float) -> tuple[list[tuple[Task[Any], DriverEffect]], float | None]:
        """Let all tasks go on as far as they can; return what a driver has to do, and when there is more to do."""
        self._now = now
        self._wake_sleepers()
        while self._ready or (self._watching and self._look()):
            while self._ready:
                self._go_on()
        return self._take_effects(), self._pauses[0][0] if self._pauses else None

    def _take_effects(self) -> list[tuple[Task[Any], DriverEffect]]:
        effects = self._effects
        if effects:
            self._effects = []
        return effects

    def _wake_sleepers(self) -> None:
        while self._pauses and self._pauses[0][0] <= self._now:
            task = heappop(self._pauses)[2]
            self._ready.append((task, None, None, task.generation))

    def _go_on(self) -> None:
        """Let the next task go on that can."""
        task, value, error, generation = self._ready.popleft()
        if task.program is None or generation != task.generation:  # it has ended, or was cancelled meanwhile
            if isinstance(value, RunsPrograms):
                value.abort_soon()  # nobody will use what was dialled
            return
        effect = task.effect
        if effect is not None:
            task.effect = None
            if type(effect) is Dial and error is None:
                value, error = self._dialled(task, value)
            elif type(effect) is Pull and (value is END or error is not None) and effect.iterator in task.opened:
                task.opened.remove(effect.iterator)  # it has closed itself
        self._step(task, value, error)
        del error  # the frames of its traceback lead here: it would hold itself

    @staticmethod
    def _dialled(task: Task[Any], association: Any) -> tuple[Any, Exception | None]:
        if association.failure is not None:
            return None, association.failure
        task.opened.append(association)
        return association.peer, None

    def _step(self, task: Task[Any], value: Any, error: Exception | None) -> None:
        """Give a program what it waits for, until it has to wait again."""
        program: Any = task.program
        while True:
            try:
                effect = program.send(value) if error is None else program.throw(error)
            except StopIteration as end:
                error = None  # see _go_on
                self._end(task, end.value, None)
                return
            except Exception as failure:  # noqa: BLE001 - it belongs to who has started the program
                error = None
                self._end(task, None, _shortened(failure))
                return
            error = None
            try:
                value = self._perform(task, effect)
            except Exception as failure:  # noqa: BLE001 - of a condition, or the end of the association
                error = _shortened(failure)
            if value is None and error is None:
                return

    def _perform(self, task: Task[Any], effect: Effect) -> Any:
        """Do what is asked for; ``None`` if that takes its time, otherwise what the program gets at once."""
        match effect:
            case Call() | Pull() | Dial():
                if type(effect) is Pull and effect.iterator not in task.opened:
                    task.opened.append(effect.iterator)
                task.effect = effect
                self._effects.append((task, effect))
            case Fork():
                beside = self.start(effect.program, on_end=task.forked.discard)
                beside.is_operation = task.is_operation
                task.forked.add(beside)
                return beside
            case Run():
                owner: RunsPrograms = effect.peer.association
                owner.submit(effect.program, partial(self._take_over, task, task.generation))
            case HangUp():
                owner = effect.peer.association
                if owner in task.opened:
                    task.opened.remove(owner)
                owner.submit(owner.part(), partial(self._hung_up, task, task.generation))
            case Await(condition):
                value = condition()
                if value is None:  # what came before the end still counts
                    self._check_alive()
                    self._watch(task, effect)
                return value
            case Pause():
                heappush(self._pauses, (self._now + effect.seconds, next(self._order), task))
            case _:
                raise LocalProtocolError(f"{type(effect).__name__} needs an association")
        return None

    def _check_alive(self) -> None:
        """Raise if what is waited for will not happen any more."""

    def _watch(self, task: Task[Any], effect: Effect) -> None:
        task.waits_for = effect
        self._watching.append(task)

    def _look(self) -> bool:
        """Look once at what is waited for and no event tells; return whether anything went on."""
        has_moved = False
        watching, self._watching = self._watching, []
        for task in watching:
            if task.waits_for is not None:  # it may have been cancelled by one before it
                has_moved |= self._look_at(task, task.waits_for)
        return has_moved

    def _look_at(self, task: Task[Any], effect: Effect) -> bool:
        task.waits_for = None
        error = None
        value = None
        try:
            value = self._perform(task, effect)
        except Exception as failure:  # noqa: BLE001 - of a condition, or the end of the association
            error = _shortened(failure)
        if value is None and error is None:
            return False
        self._step(task, value, error)
        return True

    def _take_over(self, task: Task[Any], generation: int, other: Task[Any]) -> None:
        """Hand the result of a task of another engine to the one that has waited for it; in whatever thread."""
        error = other.error
        if error is None:
            self._ready.append((task, other.result(), None, generation))
        else:
            other.finish(None, None)
            self._ready.append((task, None, error, generation))
        self.wake()

    def _hung_up(self, task: Task[Any], generation: int, _other: Task[Any]) -> None:
        self._ready.append((task, None, None, generation))
        self.wake()

    def _stop_waiting(self, task: Task[Any]) -> None:
        """Forget what a task waits for."""
        if self._pauses:
            self._pauses = [pause for pause in self._pauses if pause[2] is not task]
        task.waits_for = None
        if task in self._watching:
            self._watching.remove(task)

    def _end(self, task: Task[Any], value: Any, error: Exception | None) -> None:
        while task.forked:
            self.cancel(task.forked.pop())
        if task.opened:
            task.is_closing = True
            task.program = _close_all(task.opened, value, error)
            self._step(task, None, None)
            return
        task.is_done = True
        task.program = None
        task.value, task.error = value, error
        self._tasks.discard(task)
        if task.on_end is not None:
            task.on_end(task)


def _close_all(opened: list[Any], value: Any, error: Exception | None) -> Program[Any]:
    """Close what a program has left open, then end as the program has; what is not reached stays in the list."""
    try:
        while opened:
            item = opened.pop()
            aclose = getattr(item, "aclose", None)
            close = aclose or getattr(item, "close", None)
            if isinstance(item, RunsPrograms):
                item.abort_soon()
            elif close is not None:
                try:
                    yield Call(close, (), is_quick=aclose is not None)  # what is awaited is called at once
                except Exception:  # noqa: BLE001 - it runs what the user wrote
                    _log.exception("a handler raised when it was closed")
        if error is not None:
            raise error
        return value
    finally:
        del error  # or this frame and the error would keep each other


def _shortened(error: Exception) -> Exception:
    """Return an error without the frame that has caught it: that one knows the task, which is to keep the error."""
    trace = error.__traceback__
    error.__traceback__ = trace.tb_next if trace is not None else None
    return error
