"""A bounded memory for what negotiation works out again and again: two peers negotiate the same thing every time.

May change.

What is remembered is made of records that never change, so that several associations can share it. A user identity is
never among it: passcodes and tickets do not outlive their association.
"""

from typing import Any, Final, Generic, TypeVar

__all__ = ["LONGEST", "Remembered"]

LONGEST: Final = 1 << 14  # bytes of an A-ASSOCIATE PDU that is remembered
_MOST_ENTRIES: Final = 64
_MOST_BYTES: Final = 1 << 18

V = TypeVar("V")


class Remembered(Generic[V]):
    """Results by what they were made from; when there are too many, all are forgotten.

    Threads may share it: at worst something is worked out twice.

    A key may have the ``id`` of a record in it if the result holds that record, which then cannot be another one.
    """

    __slots__ = ("_octets", "_results")

    def __init__(self) -> None:
        self._results: dict[Any, V] = {}
        self._octets = 0

    def get(self, key: Any) -> V | None:
        """Return what was kept, ``None`` if nothing was."""
        return self._results.get(key)

    def keep(self, key: Any, result: V, octets: int) -> None:
        """Keep a result that takes about so many bytes, if that is not too much."""
        if octets > LONGEST:
            return
        if len(self._results) >= _MOST_ENTRIES or self._octets + octets > _MOST_BYTES:
            self._results.clear()
            self._octets = 0
        self._results[key] = result
        self._octets += octets
