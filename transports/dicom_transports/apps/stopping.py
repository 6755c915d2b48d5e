"""Ctrl-C and SIGTERM, the same for every kind of I/O."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Stop", "Terminated", "hanging_up", "stoppable"]


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


class Stop:
    """Whether the end of a command was asked for by SIGTERM."""

    by_sigterm = False


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Let SIGTERM interrupt as Ctrl-C does, whatever that does here: raise, or cancel a task of an event loop.

    SIGINT is let through even if it was ignored, as a shell without job control has it for what is in the background:
    event loops take over only what is not ignored. What was set before is put back. It works in the main thread; in
    others there are no signals.

    Raises
    ------
    Terminated
        Instead of the ``KeyboardInterrupt`` that SIGTERM has caused.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupt(_number: int, _frame: Any) -> None:
        stop.by_sigterm = True
        signal.raise_signal(signal.SIGINT)

    former = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    try:
        yield stop
    except KeyboardInterrupt:
        if stop.by_sigterm:
            raise Terminated from None
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def hanging_up(reload: Callable[[], object]) -> Iterator[None]:
    """Let SIGHUP call a function, in a thread of its own: what is interrupted may hold its locks.

    What was set before is put back. It works in the main thread, and where there is such a signal.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
        yield
        return
    former = signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload, name="reload").start())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if former is None else former)
