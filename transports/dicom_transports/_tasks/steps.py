"""How programs are stepped through, whatever their effects are: by calling, and by awaiting."""

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

__all__ = ["drive", "drive_async"]

T = TypeVar("T")
EffectT = TypeVar("EffectT")


def drive(
    program: Generator[EffectT, Any, T], perform: Callable[[EffectT], Any], guard: AbstractContextManager[Any]
) -> T:
    """Run a program to its end and return its result; ``guard`` is held while it works, not while it waits."""
    step: Callable[[Any], EffectT] = program.send
    value: Any = None
    while True:
        try:
            with guard:
                effect = step(value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            step, value = program.send, perform(effect)
        except Exception as error:  # noqa: BLE001 - all of them are the program's
            step, value = program.throw, error


async def drive_async(
    program: Generator[EffectT, Any, T], perform: Callable[[EffectT], Awaitable[Any]], effect: EffectT | None = None
) -> T:
    """Run a program to its end and return its result; it may have asked for an effect already."""
    step: Callable[[Any], EffectT] = program.send
    value: Any = None
    while True:
        try:
            if effect is None:
                effect = step(value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            step, value = program.send, await perform(effect)
        except Exception as error:  # noqa: BLE001 - all of them are the program's
            step, value = program.throw, error
        effect = None
