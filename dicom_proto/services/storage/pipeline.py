"""Many objects over one association: as many C-STOREs at a time as the operations window allows (PS3.7 D.3.3.3).

May change.
"""

import logging
from collections.abc import Callable, Generator
from inspect import isawaitable
from typing import Any, Final, TypeAlias, cast

from pydicom.dataset import Dataset

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.messages import Priority
from dicom_proto.dimse.routing import OperationEvent
from dicom_proto.errors import DicomProtoError, InvalidSettingError
from dicom_proto.programs.effects import END, Await, Call, Program
from dicom_proto.programs.invoking import Invoking
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream
from dicom_proto.services.storage.store import Storable, StoredObject, begin_store, fit_object
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.state_table import State

__all__ = ["NotStored", "Pipeline", "Sent", "fetch", "is_in_memory", "iterate"]

_log = logging.getLogger("dicom_proto.services")
_MOST: Final = 64  # objects under way at a time, where the window has no limit

Sent: TypeAlias = tuple[Any, Dataset]
"""What was to be sent, as the user gave it, and the status of the response."""


Fetched: TypeAlias = tuple[Any, Any, DicomProtoError | OSError | None]
"""An item, what can be stored for it, and why it cannot be read."""

_AT_HAND: Final[tuple[type, ...]] = (type(iter([])), type(iter(())))  # iterators that nothing has to be waited for
_BYTES: Final = (bytes, bytearray, memoryview)
_IN_MEMORY: Final = (StoredObject, Dataset, *_BYTES)


class NotStored(Dataset):
    """The empty status of an object that was not answered for, or not even sent.

    Attributes
    ----------
    failure : Exception
        Why: the association has ended, no context was accepted for it, it cannot be read.
    was_begun : bool
        Whether some of it has left, or all of it: then the peer may have it.
    """

    failure: Exception
    was_begun: bool

    def __init__(self, failure: Exception, *, was_begun: bool = False) -> None:
        super().__init__()
        object.__setattr__(self, "failure", _without_traces(failure))
        object.__setattr__(self, "was_begun", was_begun)


def _without_traces(failure: Exception) -> Exception:
    """Return an error without its stack traces: they would keep the object in memory, or its file open."""
    cause: BaseException | None = failure
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return failure


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
    decompress : bool
        Whether compressed objects may be decompressed where the peer does not take them as they are.
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
        decompress: bool = False,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        self._peer = peer
        self._items = iterate(items)
        self._read = read
        self._status_of = status_of
        self._priority = priority
        self._decompress = decompress
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

    def give_up(self, error: AssociationFailure) -> list[Sent]:
        """Return all that is under way: it will not be answered any more."""
        lost = []
        while self._under_way:
            lost.append(self._lose_one(error))
        self._is_exhausted = True
        return lost

    @property
    def _has_room(self) -> bool:
        """Whether another one can be begun; the first waits for it, behind what others have asked for."""
        connection = self._peer.connection
        if not self._under_way:
            return True
        return self._is_alive and len(connection.invoked) < min(connection.invoked_window, _MOST)

    @property
    def _is_alive(self) -> bool:
        return self._peer.connection.state is State.Sta6

    def _check_alive(self) -> None:
        if not self._is_alive:
            raise self._peer.end()

    def _begin_next(self) -> Program[Sent | None]:
        """Begin with the next item, if there is one; return what there is to say if it cannot be sent."""
        connection = self._peer.connection
        read = self._read if self._is_alive else _leave_unread
        item, value, unreadable = yield from fetch(self._items, read)
        if item is END:
            self._is_exhausted = True
            return None
        was_begun = False
        try:
            self._check_alive()
            if unreadable is not None:
                raise unreadable
            stored = yield from fit_object(self._peer, value, decompress=self._decompress)
            if len(connection.invoked) >= connection.invoked_window > 0:
                yield Await(lambda: len(connection.invoked) < connection.invoked_window or None)
            self._check_alive()
            invoking = begin_store(self._peer, stored, priority=self._priority)
            was_begun = True
            length = (yield from invoking.feed()) or len(cast(Buffer, stored.data))
        except AssociationFailure as error:
            if self._peer.is_strict:
                raise
            return item, NotStored(error, was_begun=was_begun)
        except (DicomProtoError, OSError) as error:
            _log.error("an object cannot be sent: %s", error)
            return item, NotStored(error, was_begun=was_begun)
        self._under_way[invoking] = (item, length)
        return None

    def _take_response(self) -> tuple[Invoking, OperationEvent] | None:
        """Return the next response of any of those that are under way."""
        for invoking in self._under_way:
            event = invoking.inbox.take()
            if event is not None:
                return invoking, event
        return None

    def _lose_one(self, error: AssociationFailure) -> Sent:
        """Give up the first of those that will not be answered any more."""
        invoking = next(iter(self._under_way))
        item, _ = self._under_way.pop(invoking)
        invoking.close()
        return item, NotStored(error, was_begun=True)


def iterate(items: Any) -> Any:
    """Return the iterator of an iterable, or the async iterator of an async one."""
    return items.__aiter__() if hasattr(items, "__aiter__") else iter(items)


def fetch(iterator: Any, read: Callable[[Any], Any]) -> Generator[Call, Any, Fetched]:
    """Ask for the next item of an iterator of either kind, and read it; the item is :data:`END` after the last.

    What may wait, a file or an iterator of the user's, is one call, which a driver of a loop makes in another thread.

    Returns
    -------
    tuple
        The item, what can be stored for it, and why it cannot be read: an exception, or ``None``.

    Raises
    ------
    InvalidSettingError
        If it is an async one, and the driver cannot await.
    """
    if hasattr(iterator, "__anext__"):
        item = yield Call(anext, (iterator, END), is_quick=True)
        if isawaitable(item):
            raise InvalidSettingError("an async iterable of objects needs an adapter for an event loop")
    elif type(iterator) in _AT_HAND:
        item = next(iterator, END)
    else:
        fetched: Fetched = yield Call(_next_read, (iterator, read))
        return fetched
    fetched = yield Call(_read, (item, read), is_quick=is_in_memory(item))
    return fetched


def is_in_memory(item: Any) -> bool:
    """Tell whether nothing has to be waited for to read an item."""
    if isinstance(item, tuple):
        return len(item) > 1 and isinstance(item[1], _BYTES)
    return item is END or isinstance(item, _IN_MEMORY)


def _leave_unread(_item: Any) -> None:
    """Read nothing: nobody would get it."""


def _next_read(iterator: Any, read: Callable[[Any], Any]) -> Fetched:
    return _read(next(iterator, END), read)


def _read(item: Any, read: Callable[[Any], Any]) -> Fetched:
    if item is END:
        return END, None, None
    try:
        return item, read(item), None
    except (DicomProtoError, OSError) as error:
        return item, None, error
