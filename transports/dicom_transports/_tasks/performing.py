"""How what programs ask for is done in an event loop: awaited, at once, or in a thread of its own."""

from collections.abc import Callable
from contextvars import copy_context
from functools import lru_cache, partial
from inspect import isawaitable
from time import time
from typing import Any, Final, Protocol

from dicom_proto.application.association import HANDLING
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.registry import Binding
from dicom_proto.logs import ASSOCIATION
from dicom_proto.programs.effects import END, Call, Dial, DriverEffect, Pull
from dicom_proto.programs.gathering import AsyncGathering, Gathering
from dicom_proto.programs.tasks import Task
from dicom_transports._threads.flushing import gather, gather_async
from dicom_transports._threads.workers import WORKERS, Worker
from dicom_transports.loops import Loop, Signal

__all__ = ["Performer"]


_MOST_AT_ONCE: Final = 8


class _Dials(Protocol):
    id: str

    async def dial(self, effect: Dial) -> Any: ...


class Performer:
    """Who does what one task asks for: one thing at a time, and all of it in the same task and thread.

    Parameters
    ----------
    loop : Loop
        The event loop.
    """

    __slots__ = ("_effect", "_is_ended", "_loop", "_signal", "_without_pause", "_worker")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._effect: DriverEffect | None = None
        self._signal: Signal | None = None
        self._worker: Worker | None = None
        self._is_ended = False
        self._without_pause = 0  # done since others have had their turn

    # --- what the engine says -----------------------------------------------------------------------------------------

    def ask(self, effect: DriverEffect) -> None:
        """Say what is to be done next."""
        self._effect = effect
        if self._signal is not None:
            self._signal.set()

    def end(self, _task: Task[Any]) -> None:
        """Say that nothing more is to be done."""
        self._is_ended = True
        if self._signal is not None:
            self._signal.set()

    def end_after(self, on_end: Callable[[Task[Any]], None] | None) -> Callable[[Task[Any]], None]:
        """Return what says so, behind what is to be called then anyway."""

        def both(task: Task[Any]) -> None:
            if on_end is not None:
                on_end(task)
            self.end(task)

        return both

    @property
    def has_effect(self) -> bool:
        """Whether something is to be done that nobody has begun with."""
        return self._effect is not None

    # --- doing it -----------------------------------------------------------------------------------------------------

    async def next_effect(self) -> DriverEffect | None:
        """Wait for what is to be done next; ``None`` if it is nothing."""
        self._without_pause += 1
        if self._without_pause > _MOST_AT_ONCE:
            self._without_pause = 0
            await self._loop.pause()
        while self._effect is None and not self._is_ended:
            self._without_pause = 0
            signal = self._signal = self._loop.signal()
            try:
                await signal.wait()
            finally:
                self._signal = None
        effect, self._effect = self._effect, None
        return effect

    @staticmethod
    def can_do_at_once(effect: DriverEffect) -> bool:
        """Tell whether something is over sooner than it takes to start a task for it."""
        return type(effect) is Call and effect.is_quick and not _is_async(effect.function)

    @staticmethod
    def do_at_once(association: _Dials, effect: DriverEffect) -> tuple[Any, Exception | None]:
        """Do it; return what came of it, in a frame that knows nothing of who has asked."""
        try:
            return _call(association, effect), None
        except Exception as error:  # noqa: BLE001 - it is the program's
            return None, error

    async def do(self, association: _Dials, effect: DriverEffect) -> Any:
        """Do it, wherever that has to be done, and wait for it."""
        match effect:
            case Call():
                if not (effect.is_quick or _is_async(effect.function)):
                    return await self._aside(partial(_call, association, effect))
                _stamp(effect)
                result = effect.function(*effect.arguments)
                return await result if isawaitable(result) else result
            case Pull(iterator):
                if hasattr(iterator, "__anext__"):
                    return await anext(iterator, END)
                return await self._aside(partial(_call, association, Call(next, (iterator, END))))
            case Dial():
                return await association.dial(effect)

    async def gather(self, association: _Dials, items: Gathering | AsyncGathering, flush: Callable[[], object]) -> None:
        """Gather some items, wherever that has to be done; they stay there until they are handed over."""
        if isinstance(items, AsyncGathering):
            await gather_async(items, flush)
        else:
            await self._aside(partial(_call, association, Call(gather, (items, flush))))

    async def _aside(self, function: Callable[[], Any]) -> Any:
        """Make a call in the thread of this performer."""
        if self._worker is None:
            self._worker = WORKERS.take()
        return await self._loop.in_worker(self._worker, function)

    def give_back(self) -> None:
        """Give the thread back, if there is one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            WORKERS.give_back(worker)


def _call(association: _Dials, call: Any) -> Any:
    """Call a function of the user: what it asks of the association is known to come from a handler."""
    _stamp(call)
    context = copy_context()
    context.run(HANDLING.set, (*HANDLING.get(), association))
    context.run(ASSOCIATION.set, association.id)
    return context.run(call.function, *call.arguments)


def _stamp(call: Call) -> None:
    """Let the event of a handler tell when it is called."""
    event = call.arguments[0] if call.arguments else None
    if isinstance(event, Event):
        event.called_at = time()


def _is_async(function: Callable[..., Any]) -> bool:
    return _is_async_function(getattr(function, "__func__", function))  # a bound method would keep its object alive


@lru_cache(maxsize=256)
def _is_async_function(function: Callable[..., Any]) -> bool:
    return Binding(function).is_async
