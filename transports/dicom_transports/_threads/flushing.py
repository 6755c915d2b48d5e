"""What is ready does not wait for what takes its time: items of a handler are gathered, and sent on in between."""

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic, sleep
from typing import Any, Final

from dicom_proto.programs.effects import Pull
from dicom_proto.programs.gathering import AsyncGathering, Gathering
from dicom_proto.programs.tasks import Task, Tasks

_log = logging.getLogger("dicom_transports")
__all__ = ["gather", "gather_async", "hand_over", "send_on"]

_LONGEST: Final = 0.001  # seconds that items are gathered before they are sent
_IDLE: Final = 50  # rounds without work after which the thread rests


class _Flusher:
    """A thread that looks, as long as items are gathered anywhere, whether some have to wait for the next one."""

    def __init__(self) -> None:
        self._watched: dict[Gathering | AsyncGathering, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._work_there_is = threading.Event()
        self._is_started = False

    def watch(self, items: Gathering | AsyncGathering, flush: Callable[[], object]) -> None:
        """Call ``flush``, in a thread of its own, when the next item takes its time; until :meth:`forget`."""
        self._watched[items] = flush
        if not self._work_there_is.is_set():
            self._start()

    def forget(self, items: Gathering | AsyncGathering) -> None:
        """Watch no more."""
        self._watched.pop(items, None)

    def _start(self) -> None:
        with self._lock:
            self._work_there_is.set()
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._work, name="dicom-flusher", daemon=True).start()

    def _work(self) -> None:
        before: dict[Gathering | AsyncGathering, int] = {}
        idle = 0
        while True:
            self._work_there_is.wait()
            sleep(_LONGEST)
            now = {items: items.count for items in list(self._watched)}
            for items, count in now.items():
                flush = self._watched.get(items)
                if count == before.get(items) and flush is not None:
                    _flush(flush)
            before = now
            idle = 0 if now else idle + 1
            if idle > _IDLE:
                self._rest()

    def _rest(self) -> None:
        self._work_there_is.clear()
        if self._watched:  # put in a moment ago by somebody who did not see that
            self._work_there_is.set()


def _flush(flush: Callable[[], object]) -> None:
    try:
        flush()
    except Exception:  # noqa: BLE001 - one association has failed, or its loop has ended: others need this thread
        _log.exception("what was gathered for an association could not be sent")


_FLUSHER: Final = _Flusher()


_FLUSH: Final[ContextVar[Callable[[], object] | None]] = ContextVar("_FLUSH", default=None)


class _Moment:
    """A short time in which items are gathered; who takes longer is watched."""

    def __init__(self, items: Gathering | AsyncGathering, flush: Callable[[], object]) -> None:
        self._items = items
        self._flush = flush
        self._until = monotonic() + _LONGEST
        self._is_watched = False

    def __enter__(self) -> Callable[[], bool]:
        self._token = _FLUSH.set(self._flush)
        return self._lasts

    def _lasts(self) -> bool:
        """Tell whether to ask for one more."""
        if self._items.is_enough or monotonic() >= self._until:
            return False
        if not self._is_watched and self._items.has_ready:
            self._is_watched = True
            _FLUSHER.watch(self._items, self._flush)
        return True

    def __exit__(self, *_: object) -> None:
        _FLUSH.reset(self._token)
        if self._is_watched:
            _FLUSHER.forget(self._items)


def send_on() -> None:
    """Send on what the handler that asks has yielded so far: it is about to end an association."""
    flush = _FLUSH.get()
    if flush is not None:
        flush()


def gather(items: Gathering, flush: Callable[[], object]) -> None:
    """Gather items for a moment; when one takes its time, ``flush`` is called in another thread, to take the others."""
    with _Moment(items, flush) as lasts:
        while lasts():
            items.gather()


async def gather_async(items: AsyncGathering, flush: Callable[[], object]) -> None:
    """Gather items of an async iterator; see :func:`gather`."""
    with _Moment(items, flush) as lasts:
        while lasts():
            await items.gather()


def hand_over(tasks: Tasks, task: Task[Any], effect: Pull) -> None:
    """Answer an effect with what has been gathered, unless it has been answered before the last item was there.

    In that case the program has been told of the items before it, and its next effect gets what has come since. To be
    called by one thread at a time, with a turn before the next.
    """
    if task.effect is not effect:
        return
    try:
        tasks.resume(task, effect.iterator.take())
    except Exception as error:  # noqa: BLE001 - of the iterator, which is the user's
        tasks.throw(task, error)
