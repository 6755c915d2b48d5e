"""Async contexts that do nothing unless they are entered, and say so when that is forgotten."""

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

__all__ = ["to_be_entered"]

P = ParamSpec("P")
T = TypeVar("T")


class _ToBeEntered(AbstractAsyncContextManager[T], Generic[T]):
    """Warns, as a coroutine does that is never awaited, when it is thrown away and was not entered."""

    def __init__(self, context: AbstractAsyncContextManager[T], otherwise: str) -> None:
        self._context = context
        self._otherwise: str | None = otherwise

    async def __aenter__(self) -> T:
        self._otherwise = None
        return await self._context.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._context.__aexit__(kind, error, traceback)

    def __del__(self) -> None:
        if self._otherwise is not None:
            warnings.warn(f"{self._otherwise} without 'async with'", RuntimeWarning, stacklevel=2, source=self)


def to_be_entered(
    otherwise: str,
) -> Callable[[Callable[P, AsyncIterator[T]]], Callable[P, AbstractAsyncContextManager[T]]]:
    """Make an async context of an async generator function, as ``asynccontextmanager`` does.

    Parameters
    ----------
    otherwise : str
        What it is worth if it is never entered, for the warning.
    """

    def decorate(function: Callable[P, AsyncIterator[T]]) -> Callable[P, AbstractAsyncContextManager[T]]:
        make = asynccontextmanager(function)

        @wraps(function)
        def call(*arguments: P.args, **options: P.kwargs) -> AbstractAsyncContextManager[T]:
            return _ToBeEntered(make(*arguments, **options), otherwise)

        return call

    return decorate
