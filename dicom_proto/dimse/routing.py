"""Which operation an event belongs to: one inbox for each, filled by whoever waits for any of them.

Several users can share an association that way. Each asks for the events of its own operation; what it finds on the
way for others waits in their inboxes, within a bound: past it nothing more is pulled from the connection, and so, in
the end, nothing more is read from the peer.
"""

from collections import deque
from typing import Final, TypeAlias

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.events import (
    AssociateAccepted,
    AssociateRequested,
    ReleaseRequested,
)
from dicom_proto.upper_layer.failures import Ending

__all__ = ["Key", "OperationEvent", "Router", "Summons"]

Key: TypeAlias = tuple[int, bool]
"""An operation: its message ID, and whether this side invoked it (both sides count their IDs on their own)."""

OperationEvent: TypeAlias = ResponseReceived | DataChunk
"""What belongs to an operation that is known already. A cancel is none: ``Connection.performed`` tells."""

Summons: TypeAlias = AssociateRequested | AssociateAccepted | RequestReceived | ReleaseRequested
"""What belongs to none yet, and somebody has to see to."""

_MOST_BYTES: Final = 1 << 20


class Router:
    """The events of a connection, sorted.

    Parameters
    ----------
    connection : Connection
        Where they come from. Nobody else may call its ``next_event``.
    bound : int
        How many events may wait to be asked for.
    data_bound : int
        How many bytes of data, in those events, may wait; the event that goes past it is the last that is filed.

    Attributes
    ----------
    ending : Ending or None
        The event that ended the association, once everything before it has been asked for or filed.
    """

    def __init__(self, connection: Connection, *, bound: int = 256, data_bound: int = _MOST_BYTES) -> None:
        self.connection = connection
        self._bound = bound
        self._data_bound = data_bound
        self._waiting = 0
        self._data_waiting = 0
        self._summons: deque[Summons] = deque()
        self._inboxes: dict[Key, deque[OperationEvent]] = {}
        self.ending: Ending | None = None

    @property
    def is_full(self) -> bool:
        """Whether somebody has to ask for what waits, or close its operation, before anything more is filed.

        As long as it is, the answer ``None`` means that others have to act, and not that the peer has.
        """
        return self._waiting >= self._bound or self._data_waiting >= self._data_bound

    def is_open(self, key: Key) -> bool:
        """Tell whether the events of an operation are kept."""
        return key in self._inboxes

    def open(self, key: Key) -> None:
        """Begin to keep the events of an operation; those of operations nobody has opened are dropped.

        What still waits for another one of that message ID, which has been answered by now, is dropped too.
        """
        self.close(key)
        self._inboxes[key] = deque()

    def close(self, key: Key) -> None:
        """Drop what waits for an operation, and what is yet to come."""
        for event in self._inboxes.pop(key, ()):
            self._forget(event)

    def next_event(self, key: Key) -> OperationEvent | None:
        """Return the next event of an operation, ``None`` if there is none now.

        Raises
        ------
        LocalProtocolError
            If the operation is not open.
        """
        while (event := self.take(key)) is None:
            if not self._pull():
                return None
        return event

    def take(self, key: Key) -> OperationEvent | None:
        """Return the next event of an operation that has been filed; otherwise as :meth:`next_event`."""
        inbox = self._inboxes.get(key)
        if inbox is None:
            raise LocalProtocolError(f"nobody waits for operation {key[0]} any more: it has been closed")
        if not inbox:
            return None
        event = inbox.popleft()
        self._forget(event)
        return event

    def next_summons(self) -> Summons | None:
        """Return the next event that belongs to no operation, ``None`` if there is none now.

        A request is opened as an operation with it.
        """
        while (summons := self.take_summons()) is None:
            if not self._pull():
                return None
        return summons

    @property
    def has_summons(self) -> bool:
        """Whether :meth:`take_summons` has something to return."""
        return bool(self._summons)

    def take_summons(self) -> Summons | None:
        """Return the next event that belongs to no operation, and has been filed; ``None`` if there is none."""
        if not self._summons:
            return None
        self._waiting -= 1
        return self._summons.popleft()

    def pump(self) -> None:
        """File all that the connection has and there is room for, so that a cancel and the end are noticed in time."""
        while not self.connection.is_quiet and self._pull():
            pass

    def _pull(self) -> bool:
        """File one event of the connection; return whether there was one to file, and room for it."""
        if self.ending is not None or self.is_full:
            return False
        event = self.connection.next_event()
        match event:
            case None:
                return False
            case ResponseReceived():
                self._file((event.message_id, True), event)
            case DataChunk():
                self._file((event.message_id, event.invoked), event)
            case CancelReceived():
                pass
            case AssociateRequested() | AssociateAccepted() | ReleaseRequested():
                self._summon(event)
            case RequestReceived():
                self.open((event.message_id, False))
                self._summon(event)
            case _:
                self.ending = event
        return True

    def _file(self, key: Key, event: OperationEvent) -> None:
        inbox = self._inboxes.get(key)
        if inbox is not None:
            inbox.append(event)
            self._waiting += 1
            if isinstance(event, DataChunk):
                self._data_waiting += len(event.data)

    def _summon(self, event: Summons) -> None:
        self._summons.append(event)
        self._waiting += 1

    def _forget(self, event: OperationEvent) -> None:
        self._waiting -= 1
        if isinstance(event, DataChunk):
            self._data_waiting -= len(event.data)
