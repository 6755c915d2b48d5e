"""An association that is driven by awaiting, whatever the event loop: what is the same in each of them.

May change. A driver adds how bytes are moved and time passes; docs/embedding.md has three, for asyncio, anyio and
Twisted. Everything happens in one thread. A turn is taken whenever something has happened, by whoever has noticed it;
afterwards all look at their tasks again. What a task asks for is done by who runs it, and for what the peer asks by a
task of the loop that is started for it, so that all items of an iterator are pulled in one place.

Handlers of all four kinds work: functions and generators, which should be quick since they hold up the loop, and async
functions and async generators.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine
from inspect import isawaitable
from typing import Any, Final, Protocol, TypeVar

from dicom_proto.application.association import HANDLING, EntityAssociation
from dicom_proto.application.verbs import AwaitedVerbs
from dicom_proto.programs.effects import END, Call, Dial, DriverEffect, Program, Pull
from dicom_proto.programs.engine import Turn
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.tasks import Task

__all__ = ["AwaitedAssociation", "Signal"]

T = TypeVar("T")
_MOST_AT_ONCE: Final = 8  # effects that one task has performed before others have their turn: they may wait for nothing


class Signal(Protocol):
    """Something that happens once, and can be waited for: what asyncio, trio and anyio call an ``Event``."""

    def set(self) -> object:
        """Let it have happened."""

    async def wait(self) -> object:
        """Wait until it has happened."""


class AwaitedAssociation(EntityAssociation, AwaitedVerbs):
    """One association of an application entity, driven by awaiting."""

    _turned: Signal | None = None

    # --- what a driver adds -------------------------------------------------------------------------------------------

    @abstractmethod
    def turn(self) -> Turn:
        """Take a turn of the engine, and do what it says, but for the effects: write, close, set the timer.

        If it tells the engine that the connection has been closed, it calls :meth:`wake` as well.
        """

    @abstractmethod
    def signal(self) -> Signal:
        """Return something that can be waited for."""

    @abstractmethod
    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> object:
        """Start a task of the loop."""

    @abstractmethod
    async def dial(self, effect: Dial) -> EntityAssociation:
        """Request an association for a program of this one; its ``failure`` says why there is none."""

    # --- what users call ----------------------------------------------------------------------------------------------

    async def run(self, program: Program[T], *, invokes: bool = False) -> T:
        """Run a program on this association, and return its result."""
        task = self.engine.start(program, invokes=invokes)
        task.performer = self
        self.go_on()
        await self._see_through(task)
        return task.result()

    async def iterate(self, begin: Program[Stream[T]], *, invokes: bool = False) -> AsyncIterator[T]:
        """Yield the results of the stream that a program begins."""
        stream = await self.run(begin, invokes=invokes)
        try:
            while (result := await self.run(self.next_result(stream))) is not None:
                yield result
        finally:
            self.forget(stream)

    async def release(self) -> None:
        """Release the association, and wait until it has ended; without one, do nothing."""
        await self.run(self.part())

    # --- driving ------------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Take a turn, and see to it that what is asked for is done: to be called whenever something has happened."""
        turn = self.turn()
        for task, _ in turn.effects:
            if task.performer is None:
                task.performer = self
                self.spawn(self._attend_to(task))
        if turn.is_unfinished:
            self.wake()
        turned, self._turned = self._turned, None
        if turned is not None:
            turned.set()
        if self.engine.is_finished:
            self.retire()

    async def next_turn(self) -> None:
        """Wait until a turn has been taken."""
        if self._turned is None:
            self._turned = self.signal()
        await self._turned.wait()

    async def _attend_to(self, task: Task[Any]) -> None:
        HANDLING.set((*HANDLING.get(), self))
        await self._see_through(task)

    async def _see_through(self, task: Task[Any]) -> None:
        """Do what a task asks for until it is done; if that is cancelled, it is closed, and others do the rest."""
        without_pause = 0
        try:
            while not task.is_done:
                if task.effect is not None and without_pause < _MOST_AT_ONCE:
                    without_pause += 1
                    await self._perform(task, task.effect)
                    self.go_on()
                else:
                    if task.effect is not None:
                        self.wake()
                    without_pause = 0
                    await self.next_turn()
        except BaseException:
            task.performer = None
            self.engine.cancel(task)
            self.go_on()
            raise

    async def _perform(self, task: Task[Any], effect: DriverEffect) -> None:
        result: Any
        try:
            match effect:
                case Call(function, arguments):
                    result = function(*arguments)
                case Pull(iterator):
                    result = (anext if hasattr(iterator, "__anext__") else next)(iterator, END)
                case _:
                    result = self.dial(effect)
            result = await result if isawaitable(result) else result
        except Exception as error:  # noqa: BLE001 - it is the program's
            self.engine.throw(task, error)
        else:
            self.engine.resume(task, result)
