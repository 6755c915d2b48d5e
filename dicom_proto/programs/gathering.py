"""What the iterator of a handler yields, several items at a time.

May change.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, NamedTuple, Self

from dicom_proto.programs.effects import END

__all__ = ["AsyncGathering", "Gathering", "Ready", "gathering"]

_MOST: Final = 64
_MOST_BYTES: Final = 1 << 16


class Ready(NamedTuple):
    """An item that has been made ready."""

    value: Any
    size: int = 0  # bytes
    is_last: bool = False


class _Gathering:
    """What has been gathered, and by whom it is closed.

    Each item is made ready before the next one is asked for: handlers use one Dataset for all their items, and may say
    so only by what they yield. What is ready is handed out in one go, so that many items cost one turn of the engine.

    Who drives may gather as many as there is time for; meanwhile another thread may :meth:`take` what is there, so that
    nothing that is ready waits for what takes its time.

    Parameters
    ----------
    iterator : iterator or async iterator
        The user's.
    prepare : callable
        Makes an item :class:`Ready`; also ``END``, when the iterator has ended. After one that is the last nothing more
        is asked for.
    """

    def __init__(self, iterator: Any, prepare: Callable[[Any], Ready]) -> None:
        self.iterator = iterator
        self._prepare = prepare
        self._ready: deque[Ready] = deque()
        self.count = 0  # of all that has been made ready
        self._size = 0
        self._failure: Exception | None = None
        self._is_over = self._is_exhausted = self._has_given = False

    @property
    def has_ready(self) -> bool:
        """Whether there is something to take."""
        return bool(self._ready)

    @property
    def is_enough(self) -> bool:
        """Whether to gather no more before what is ready has been taken: the first item waits for no other."""
        if self._is_over or not self._has_given:
            return bool(self._ready) or self._is_over
        return len(self._ready) >= _MOST or self._size >= _MOST_BYTES

    def take(self) -> list[Any]:
        """Return what is ready; if that is nothing, raise what the iterator has raised."""
        ready = self._ready
        values = []
        while ready:
            values.append(ready.popleft().value)
        self._size = 0
        self._has_given = True
        if not values and self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # or this frame and the failure would keep each other
        return values

    def _add(self, item: Any) -> None:
        if item is END:
            self._is_exhausted = True
        ready = self._prepare(item)
        self._is_over = ready.is_last
        self._size += ready.size
        self.count += 1
        self._ready.append(ready)

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._is_over = self._is_exhausted = True

    def _closer(self, name: str) -> Any:
        return None if self._is_exhausted else getattr(self.iterator, name, None)


class Gathering(_Gathering):
    """Of an iterator; as an iterator, it gives lists of what was made ready."""

    def gather(self) -> None:
        """Ask for one more item."""
        try:
            self._add(next(self.iterator, END))
        except Exception as failure:  # noqa: BLE001 - of what the user wrote: it is raised where items are taken
            self._fail(failure)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[Any]:
        if not self._ready and not self._is_over:
            self.gather()
        values = self.take()
        if not values:
            raise StopIteration
        return values

    @property
    def close(self) -> Any:
        """What closes the iterator, ``None`` if nothing has to."""
        return self._closer("close")


class AsyncGathering(_Gathering):
    """Of an async iterator; as an async iterator, it gives lists of what was made ready."""

    async def gather(self) -> None:
        """Ask for one more item."""
        try:
            self._add(await anext(self.iterator, END))
        except Exception as failure:  # noqa: BLE001 - of what the user wrote: it is raised where items are taken
            self._fail(failure)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Any]:
        if not self._ready and not self._is_over:
            await self.gather()
        values = self.take()
        if not values:
            raise StopAsyncIteration
        return values

    @property
    def aclose(self) -> Any:
        """What closes the iterator, ``None`` if nothing has to."""
        return self._closer("aclose")


def gathering(
    iterator: Iterator[Any] | AsyncIterator[Any], prepare: Callable[[Any], Ready]
) -> Gathering | AsyncGathering:
    """Return what gathers the items of an iterator of either kind."""
    return AsyncGathering(iterator, prepare) if hasattr(iterator, "__anext__") else Gathering(iterator, prepare)
