"""Threads in which event loops run what must not hold them up: one for each run of a handler."""

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from attrs import define

__all__ = ["WORKERS", "Outcome", "Worker", "Workers", "run_aside"]

_log = logging.getLogger("dicom_transports")
_MOST_IDLE: Final = 64  # threads that wait for the next handler


@define
class Outcome:
    """What came of a call."""

    value: Any = None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        """Return what the call returned, or raise what it raised: once, for the frames it then leads to keep this."""
        error, self.error = self.error, None
        if error is None:
            return self.value
        try:
            raise error
        finally:
            del error


class Worker:
    """One thread that makes one call after the other."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Callable[[Outcome], None]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name="dicom-handler", daemon=True).start()

    def submit(self, function: Callable[[], Any], done: Callable[[Outcome], None]) -> None:
        """Make a call; ``done`` gets its outcome, in this thread."""
        self._calls.put((function, done))

    def stop(self) -> None:
        """End the thread after what was submitted."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, done = call
            try:
                outcome = Outcome(value=function())
            except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is asked for
                outcome = Outcome(error=error)
            del call, function  # or they would live until the next call
            done(outcome)


class Workers:
    """The workers that have nothing to do."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def __len__(self) -> int:
        """Count those that have nothing to do."""
        return len(self._idle)

    def take(self) -> Worker:
        """Return a worker, a new one if all have something to do."""
        try:
            return self._idle.pop()
        except IndexError:
            return Worker()

    def give_back(self, worker: Worker) -> None:
        """Take back a worker that has done what it was taken for."""
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(worker)
        else:
            worker.stop()

    def stop(self) -> None:
        """End the threads of those that have nothing to do."""
        while self._idle:
            self.take().stop()

    def forget(self) -> None:
        """Forget them all: a process that was forked has none of the threads of its parent."""
        self._idle.clear()


WORKERS: Final = Workers()
"""Those of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WORKERS.forget)


def run_aside(function: Callable[[], None], name: str) -> None:
    """Call a function in a thread that has nothing else to do, under a name; to start a new one costs more.

    Raises
    ------
    RuntimeError
        If there is no thread to be had.
    """
    worker = WORKERS.take()

    def call() -> None:
        thread = threading.current_thread()
        former, thread.name = thread.name, name
        try:
            function()
        finally:
            thread.name = former

    def done(outcome: Outcome) -> None:
        if outcome.error is not None:
            _log.error("a thread failed", exc_info=outcome.error)
        WORKERS.give_back(worker)

    worker.submit(call, done)
