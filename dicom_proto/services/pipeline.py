"""Many objects over one association: as many C-STOREs at a time as the operations window allows (PS3.7 D.3.3.3)."""

import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import CStoreRQ, Priority
from dicom_proto.dimse.routing import OperationEvent
from dicom_proto.errors import DicomProtoError
from dicom_proto.services.effects import END, Await, Call, Program
from dicom_proto.services.invoking import Invoking
from dicom_proto.services.peer import Peer
from dicom_proto.services.store import Storable, StoredObject, choose_context
from dicom_proto.services.streams import Stream
from dicom_proto.upper_layer.failures import AssociationFailure

__all__ = ["NotStored", "Pipeline", "Sent"]

_log = logging.getLogger("dicom_proto.services")
_MOST: Final = 64  # objects under way at a time, where the window has no limit

Sent: TypeAlias = tuple[Any, Dataset]
"""What was to be sent, as the user gave it, and the status of the response."""


class NotStored(Dataset):
    """The empty status of an object that was not answered for, or not even sent.

    Attributes
    ----------
    failure : Exception
        Why: the association has ended, no context was accepted for it, it cannot be read.
    """

    failure: Exception

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        object.__setattr__(self, "failure", failure)


class Pipeline(Stream[Sent]):
    """The transfer of many objects; :meth:`next` gives what has become of them, as they finish.

    Parameters
    ----------
    peer : Peer
        Where to.
    items : iterable or async iterable
        What to store, in the user's words.
    read : callable
        Returns what can be stored for an item; it may take its time.
    status_of : callable
        Returns the status of a response as users get it.
    priority : int
        The priority of all requests.
    on_progress : callable, optional
        Called with the numbers of objects and of bytes that have been answered for.
    """

    def __init__(
        self,
        peer: Peer,
        items: Any,
        read: Callable[[Any], Storable],
        status_of: Callable[[Any], Dataset],
        *,
        priority: int = Priority.LOW,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        self._peer = peer
        self._items = items if hasattr(items, "__anext__") or hasattr(items, "__next__") else _iterate(items)
        self._read = read
        self._status_of = status_of
        self._priority = priority
        self._on_progress = on_progress
        self._under_way: dict[Invoking, tuple[Any, int]] = {}
        self._is_exhausted = False
        self._objects = self._bytes = 0

    @property
    def is_over(self) -> bool:
        """Whether everything has been answered for."""
        return self._is_exhausted and not self._under_way

    def next(self) -> Program[Sent | None]:
        """Return the next item that is done and its status, ``None`` after the last.

        Raises
        ------
        AssociationFailure
            If the association has ended, and the peer is strict.
        """
        while not self._is_exhausted and self._has_room:
            refused = yield from self._begin_next()
            if refused is not None:
                return refused
        if not self._under_way:
            return None
        try:
            invoking, response = yield Await(self._take_response)
        except AssociationFailure as error:
            if self._peer.is_strict:
                raise
            return self._lose_one(error)
        item, length = self._under_way.pop(invoking)
        invoking.close()
        self._objects, self._bytes = self._objects + 1, self._bytes + length
        if self._on_progress is not None:
            yield Call(self._on_progress, (self._objects, self._bytes), is_quick=True)
        return item, self._status_of(response.response)

    def abandon(self) -> None:
        """Send no more; what was sent already stays so, and its responses are dropped."""
        self._is_exhausted = True
        for invoking in self._under_way:
            invoking.close()
        self._under_way.clear()

    @property
    def _has_room(self) -> bool:
        """Whether another one can be begun; the first waits for it, behind what others have asked for."""
        connection = self._peer.connection
        outstanding = len(connection.invoked)
        return outstanding < min(connection.invoked_window, _MOST) or not self._under_way

    def _begin_next(self) -> Program[Sent | None]:
        """Begin with the next item, if there is one; return what there is to say if it cannot be sent."""
        connection = self._peer.connection
        item = yield Call(anext if hasattr(self._items, "__anext__") else next, (self._items, END), is_quick=True)
        if item is END:
            self._is_exhausted = True
            return None
        try:
            stored = StoredObject.of((yield Call(self._read, (item,), is_quick=True)))
            if len(connection.invoked) >= connection.invoked_window > 0:
                yield Await(lambda: len(connection.invoked) < connection.invoked_window or None)
            invoking, length = _begin_store(self._peer, stored, self._priority)
        except AssociationFailure as error:
            if self._peer.is_strict:
                raise
            return item, NotStored(error)
        except (DicomProtoError, OSError) as error:
            _log.error("%s cannot be sent: %s", item if isinstance(item, str) else type(item).__name__, error)
            return item, NotStored(error)
        self._under_way[invoking] = (item, length)
        return None

    def _take_response(self) -> tuple[Invoking, OperationEvent] | None:
        """Return the next response of any of those that are under way."""
        for invoking in self._under_way:
            event = self._peer.router.next_event(invoking.key)
            if event is not None:
                return invoking, event
        return None

    def _lose_one(self, error: AssociationFailure) -> Sent:
        """Give up the first of those that will not be answered any more."""
        invoking = next(iter(self._under_way))
        item, _ = self._under_way.pop(invoking)
        invoking.close()
        return item, NotStored(error)


def _begin_store(peer: Peer, stored: StoredObject, priority: int) -> tuple[Invoking, int]:
    """Send an object; return the operation, and the length of the data set in bytes."""
    context = choose_context(stored, peer.contexts(stored.sop_class_uid))
    data = stored.encode(context.transfer_syntax)
    request = CStoreRQ(
        affected_sop_class_uid=stored.sop_class_uid,
        affected_sop_instance_uid=stored.sop_instance_uid,
        priority=priority,
    )
    return Invoking(peer, request, context, data), len(data)


def _iterate(items: Any) -> Any:
    return items.__aiter__() if hasattr(items, "__aiter__") else iter(items)
