"""Batches, which belong to no association, driven by the thread that asks for their results."""

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any, Protocol

from dicom_proto.programs.effects import END, Call, Dial, DriverEffect, Pull
from dicom_proto.programs.tasks import Tasks
from dicom_proto.services.storage.batch import Batch
from dicom_proto.services.storage.pipeline import Sent

__all__ = ["deliver"]


class _Dials(Protocol):
    def dial_at_once(self, effect: Dial) -> Any: ...


def deliver(ae: _Dials, batch: Batch) -> Iterator[Sent]:
    """Yield what becomes of a batch; the associations that it takes have threads of their own."""
    is_awake = threading.Event()
    tasks = Tasks(is_awake.set)
    task = tasks.start(batch.run())
    try:
        while True:
            while batch.finished:
                yield batch.finished.popleft()
            is_awake.clear()
            effects, deadline = tasks.turn(now=monotonic())
            for asking, effect in effects:
                try:
                    tasks.resume(asking, _perform(ae, effect))
                except Exception as error:  # noqa: BLE001 - it is the program's
                    tasks.throw(asking, error)
            if task.is_done and not batch.finished:
                task.result()
                return
            if not (effects or batch.finished):
                is_awake.wait(None if deadline is None else max(0.0, deadline - monotonic()))
    finally:
        tasks.cancel(task)


def _perform(ae: _Dials, effect: DriverEffect) -> Any:
    match effect:
        case Call(function, arguments):
            return function(*arguments)
        case Pull(iterator):
            return next(iterator, END)
        case Dial():
            return ae.dial_at_once(effect)
