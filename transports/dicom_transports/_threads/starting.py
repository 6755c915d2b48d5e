"""Threads for associations that last: to start one costs more than many a short conversation."""

import logging
import threading
from collections.abc import Callable
from time import sleep
from typing import TypeAlias

__all__ = ["Starter"]

_log = logging.getLogger("dicom_transports")
Life: TypeAlias = Callable[[], None]


class Starter:
    """Starts threads a moment after they were asked for, if there is still something to do.

    Parameters
    ----------
    seconds : float
        How long a thread is put off at most.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: list[tuple[Life, Callable[[], bool]]] = []
        self._is_running = False

    def start_later(self, live: Life, has_ended: Callable[[], bool]) -> None:
        """Have a function called in a thread of its own; when it has nothing to do by then, in one for all of those."""
        with self._lock:
            self._waiting.append((live, has_ended))
            was_running, self._is_running = self._is_running, True
        if not was_running:
            threading.Thread(target=self._run, name="dicom-starter", daemon=True).start()

    def _run(self) -> None:
        while True:
            sleep(self._seconds)
            with self._lock:
                waiting, self._waiting = self._waiting, []
                if not waiting:
                    self._is_running = False
                    return
            for live, has_ended in waiting:
                self._start(live, has_ended)

    def _start(self, live: Life, has_ended: Callable[[], bool]) -> None:
        if has_ended():
            live()
            return
        try:
            threading.Thread(target=live, name="dicom-association", daemon=True).start()
        except RuntimeError as error:  # there is no thread to be had
            _log.warning("! an association has to wait for its thread: %s", error)
            with self._lock:
                self._waiting.append((live, has_ended))
