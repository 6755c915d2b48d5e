"""Batches, which belong to no association, driven by the thread that asks for their results."""

import threading
from collections.abc import Iterator
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any, Protocol

from dicom_proto.programs.effects import END, Call, Dial, Pull
from dicom_proto.programs.tasks import Task, Tasks
from dicom_proto.services.storage.batch import Batch
from dicom_proto.services.storage.pipeline import Sent
from dicom_transports._threads.workers import run_aside

__all__ = ["deliver"]


class _Dials(Protocol):
    def dial_at_once(self, effect: Dial) -> Any: ...


def deliver(ae: _Dials, batch: Batch) -> Iterator[Sent]:
    """Yield what becomes of a batch; the associations that it takes have threads of their own."""
    is_awake = threading.Event()
    tasks = Tasks(is_awake.set)
    task = tasks.start(batch.run())
    dialling = _Dialling(ae, tasks)
    try:
        while True:
            while batch.finished:
                yield batch.finished.popleft()
            is_awake.clear()
            effects, deadline = tasks.turn(now=monotonic())
            for asking, effect in effects:
                try:
                    if isinstance(effect, Dial):
                        dialling.begin(asking, effect)
                    else:
                        tasks.resume(asking, _perform(effect))
                except Exception as error:  # noqa: BLE001 - it is the program's
                    tasks.throw(asking, error)
            if task.is_done and not batch.finished:
                task.result()
                return
            if not (effects or batch.finished):
                is_awake.wait(None if deadline is None else max(0.0, deadline - monotonic()))
    finally:
        dialling.end()
        tasks.cancel(task)


class _Dialling:
    """Requests associations, each in a thread: the others of a batch do not wait for that."""

    def __init__(self, ae: _Dials, tasks: Tasks) -> None:
        self._ae = ae
        self._tasks = tasks
        self._lock = threading.Lock()
        self._is_over = False

    def begin(self, asking: Task[Any], effect: Dial) -> None:
        """Request an association for a task."""
        run_aside(partial(copy_context().run, self._dial, asking, effect), "dicom-dial")

    def end(self) -> None:
        """Abort those that come too late."""
        with self._lock:
            self._is_over = True

    def _dial(self, asking: Task[Any], effect: Dial) -> None:
        try:
            association = self._ae.dial_at_once(effect)
        except Exception as error:  # noqa: BLE001 - it is the program's
            self._tasks.throw(asking, error)
            self._tasks.wake()
            return
        with self._lock:
            is_over = self._is_over
            if not is_over:
                self._tasks.resume(asking, association)
        if is_over:
            association.abort()
        self._tasks.wake()


def _perform(effect: Call | Pull) -> Any:
    match effect:
        case Call(function, arguments):
            return function(*arguments)
        case Pull(iterator):
            return next(iterator, END)
