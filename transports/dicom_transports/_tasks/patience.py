"""How long a cancelled task waits for a thread that it cannot cancel: until it ends, or until Ctrl-C once more."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["patience"]

_waiting: list[Callable[[], object]] = []  # what is called when somebody has no patience any more


@contextmanager
def patience(give_up: Callable[[], object]) -> Iterator[None]:
    """Have a function called if SIGINT comes while this waits, before its handler is; outside the main thread never.

    The first Ctrl-C has cancelled what waits here, and its handler has been called then; it stays the handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _waiting.append(give_up)
    former = signal.getsignal(signal.SIGINT)

    def interrupted(number: int, frame: Any) -> None:
        for function in tuple(_waiting):
            function()
        if callable(former):
            former(number, frame)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        _waiting.remove(give_up)
        if signal.getsignal(signal.SIGINT) is interrupted:
            signal.signal(signal.SIGINT, former)
