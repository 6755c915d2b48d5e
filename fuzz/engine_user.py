"""What the user wrote, in the harness of the engine: functions and iterators whose results a driver chooses."""

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from dicom_proto.programs.effects import END, Pull
from dicom_proto.upper_layer.failures import AssociationFailure

__all__ = ["Items", "Stub", "User", "items_of"]


class Stub:
    """A handler of the user; it is the driver that calls it, and so nobody does."""

    def __call__(self, *_: Any) -> Any:
        """Fail."""
        raise AssertionError("what the user wrote is called in a turn")


class Items:
    """An iterator of the user.

    Attributes
    ----------
    choice : int or None or Ellipsis
        What it gives when it is asked the next time; by ``...`` nobody may ask.
    """

    def __init__(self, user: "User") -> None:
        self.choice: Any = ...
        self.is_begun = self.is_over = False
        self.closed = 0
        self._user = user

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        assert self.choice is not ..., "what the user wrote is called in a turn"
        choice, self.choice = self.choice, ...
        self.is_over = True
        value = self._user.value(choice)
        if value is END:
            raise StopIteration
        self.is_over = False
        return value

    def close(self) -> None:
        """Close it, which is not possible twice."""
        self.closed += 1
        if self.closed % 3 == 1:
            raise ValueError("it cannot be closed")


class User:
    """All that one user has written."""

    def __init__(self) -> None:
        self.items: list[Items] = []

    def make_items(self) -> Items:
        """Return an iterator."""
        self.items.append(Items(self))
        return self.items[-1]

    def value(self, how: int | None) -> Any:  # noqa: PLR0911 - one line for each
        """Choose what a user's function returns."""
        match None if how is None else how % 12:
            case None | 0:
                return 0x0000
            case 1:
                raise ValueError("as a handler may")
            case 2:
                return END
            case 3:
                return 0xFF00, Dataset()
            case 4:
                return self.make_items()
            case 5:
                return "nonsense"
            case 6:
                return "127.0.0.1", 104
            case 7:
                return 2
            case 8:
                return 0xFE00
            case 9:
                return [(0xFF00, Dataset()), 0x0000]
            case 10:
                raise AssociationFailure("of another association")
            case _:
                return None


def items_of(effect: Pull) -> Items | None:
    """Return the iterator of this user that an effect asks, itself or what gathers its items."""
    items = getattr(effect.iterator, "iterator", effect.iterator)
    return items if isinstance(items, Items) else None
