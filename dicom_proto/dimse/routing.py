"""The events of a connection, sorted by the operation that they belong to: one bounded inbox each.

May change.

Both sides count their message IDs on their own, and may use one again as soon as its final response is there. So an
operation is not its message ID: it is the :class:`Inbox` that was opened for it.
"""

from collections import deque
from typing import Any, Final, TypeAlias

from dicom_proto.dimse.events import DataChunk, DataRun, RequestReceived, ResponseReceived
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.events import AssociateAccepted, AssociateRequested, ReleaseRequested

__all__ = ["Inbox", "Indication", "Key", "OperationEvent", "Router", "closed"]

Key: TypeAlias = tuple[int, bool]
"""An operation that goes on now: its message ID, and whether this side invoked it."""

OperationEvent: TypeAlias = ResponseReceived | DataChunk | DataRun
"""What belongs to an operation that is known already. A cancel is none: ``Connection.performed`` tells."""

Indication: TypeAlias = AssociateRequested | AssociateAccepted | RequestReceived | ReleaseRequested
"""What belongs to none yet, and somebody has to see to."""

_MOST_BYTES: Final = 1 << 20


class Inbox:
    """What has arrived for one operation and was not asked for yet.

    Attributes
    ----------
    key : tuple of int and bool
        The operation.
    is_open : bool
        Whether its events are kept; it never becomes true again.
    receiver : object or None
        Who waits for the next event, which is handed over by :meth:`Router.file` instead of being kept. If the inbox
        is closed meanwhile, :meth:`Router.take_left` names them.
    """

    __slots__ = ("_router", "events", "is_open", "key", "receiver")

    def __init__(self, router: "Router", key: Key) -> None:
        self._router = router
        self.key = key
        self.events: deque[OperationEvent] = deque()
        self.is_open = True
        self.receiver: Any = None

    def take(self) -> OperationEvent | None:
        """Return the next event that is kept, ``None`` if there is none.

        Raises
        ------
        LocalProtocolError
            If the inbox has been closed; the message ID may stand for another operation by now.
        """
        if self.events:
            return self._router.forget(self.events.popleft())
        if not self.is_open:
            raise closed(self.key)
        return None

    def close(self) -> None:
        """Drop what waits, and what is yet to come; the second time it does nothing."""
        if self.is_open:
            self._router.close(self)


def closed(key: Key) -> LocalProtocolError:
    """Return the exception for who waits for what nobody keeps any more."""
    return LocalProtocolError(f"nobody waits for operation {key[0]} any more: it has been closed")


class Router:
    """Files the events of a connection.

    Parameters
    ----------
    bound : int
        How many events may wait to be asked for.
    data_bound : int
        How many bytes of data, in those events, may wait; the event that goes past it is the last that is filed.

    Attributes
    ----------
    is_full : bool
        Whether somebody has to ask for what waits, or close its inbox, before another event may be filed.
    left : list
        Those who have waited at an inbox when it was closed: see :meth:`take_left`.
    """

    def __init__(self, *, bound: int = 256, data_bound: int = _MOST_BYTES) -> None:
        self._bound = bound
        self._data_bound = data_bound
        self._waiting = 0
        self._data_waiting = 0
        self._inboxes: dict[Key, Inbox] = {}
        self.left: list[Any] = []
        self.is_full = False

    @property
    def has_waiting(self) -> bool:
        """Whether there are events that nobody has asked for: of operations, perhaps, that have been answered."""
        return self._waiting > 0

    def find(self, key: Key) -> Inbox | None:
        """Return the inbox that is open for an operation."""
        return self._inboxes.get(key)

    def open(self, key: Key) -> Inbox:
        """Begin to keep the events of an operation; those of operations nobody has opened are dropped.

        One that is open under the same key is closed: its operation was answered, or the key could not be used again.
        """
        former = self._inboxes.get(key)
        if former is not None:
            self.close(former)
        inbox = self._inboxes[key] = Inbox(self, key)
        return inbox

    def close(self, inbox: Inbox) -> None:
        """Drop what waits in an inbox that is open, and what is yet to come."""
        inbox.is_open = False
        del self._inboxes[inbox.key]
        if inbox.receiver is not None:
            self.left.append(inbox.receiver)
            inbox.receiver = None
        while inbox.events:
            self.forget(inbox.events.popleft())

    def take_left(self) -> list[Any]:
        """Return those who have waited at an inbox when it was closed: nothing will come there."""
        left, self.left = self.left, []
        return left

    def file(self, event: OperationEvent) -> Any:
        """File an event of an operation; if somebody waits for it, return who, and leave it to the caller."""
        kind = type(event)
        is_invoked = kind is ResponseReceived or (kind is DataChunk and event.invoked)  # type: ignore[union-attr]
        inbox = self._inboxes.get((event.message_id, is_invoked))
        if inbox is None:
            return None
        receiver = inbox.receiver
        if receiver is not None:
            inbox.receiver = None
            return receiver
        inbox.events.append(event)
        self._waiting += 1
        self._data_waiting += _octets(event)
        self.is_full = self._waiting >= self._bound or self._data_waiting >= self._data_bound
        return None

    def forget(self, event: OperationEvent) -> OperationEvent:
        """Take note that an event does not wait any more."""
        self._waiting -= 1
        self._data_waiting -= _octets(event)
        self.is_full = self._waiting >= self._bound or self._data_waiting >= self._data_bound
        return event


def _octets(event: OperationEvent) -> int:
    """Return how many bytes of data an event holds."""
    if isinstance(event, DataChunk):
        return len(event.data)
    return event.length if isinstance(event, DataRun) else 0
