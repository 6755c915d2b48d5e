"""Results that come one after the other, and are asked for one by one.

May change.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from dicom_proto.programs.effects import Program

__all__ = ["Stream", "at_once"]

T = TypeVar("T")


class Stream(ABC, Generic[T]):
    """Something under way on an association, whose results users iterate over."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether there is nothing to come."""

    @abstractmethod
    def next(self) -> Program[T | None]:
        """Wait for the next result; ``None`` after the last."""

    def dismiss(self) -> None:
        """Drop the results that have arrived, and those that will; :meth:`abandon` comes a moment later."""

    @abstractmethod
    def abandon(self) -> None:
        """Take no more interest in the results; after the last it does nothing."""


def at_once(function: Callable[[], T]) -> Program[T]:
    """Return a program that only calls a function."""
    yield from ()
    return function()
