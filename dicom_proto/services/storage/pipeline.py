"""Many objects over one association: as many C-STOREs at a time as the operations window allows (PS3.7 D.3.3.3).

May change.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from inspect import isawaitable
from typing import Any, Final, NamedTuple, Self, TypeAlias

from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import Priority
from dicom_proto.dimse.routing import OperationEvent
from dicom_proto.encoding.sources import Source
from dicom_proto.errors import DicomProtoError, InvalidSettingError
from dicom_proto.programs.effects import END, Await, Call, Program
from dicom_proto.programs.invoking import Invoking
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream
from dicom_proto.services.storage.sending import ReadyStore, prepare_store
from dicom_proto.services.storage.store import Storable, StoredObject
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.state_table import State

__all__ = ["LONGEST_AHEAD", "NotStored", "Pipeline", "Sent", "fetch", "is_in_memory", "iterate", "settling"]

_log = logging.getLogger("dicom_proto.services")
_MOST: Final = 64  # objects under way at a time, where the window has no limit
LONGEST_AHEAD: Final = 1 << 24
"""Bytes: while more than that is under way nothing else is made ready, which would be done in no time beside that."""


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


class _Pair(NamedTuple):
    item: Any
    status: Dataset


class Sent(_Pair):
    """What was to be sent, as the user gave it, and the status of the response: a tuple of these two.

    Attributes
    ----------
    item : object
        What the user gave.
    status : Dataset
        The status.
    position : int
        As which item it was given, from 0.
    """

    position: int

    def __new__(cls, item: Any, status: Dataset, position: int) -> Self:
        """Make it; a tuple is not changed."""
        self = super().__new__(cls, item, status)
        self.position = position
        return self

    @property
    def failure(self) -> Exception | None:
        """Why there is no status, if there is none."""
        return self.status.failure if isinstance(self.status, NotStored) else None


class Pipeline(Stream[Sent]):
    """The transfer of many objects; :meth:`next` gives what has become of them, as they finish.

    One object is made ready while others are under way: it is asked for, read, and encoded for its context. It leaves
    as soon as there is room, before the user is told what has made it. One that is read while it is sent leaves when
    the user asks for the next result.

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
    looks_ahead : callable, optional
        Tells whether an item may be asked for that cannot leave at once; by default it may.
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
        looks_ahead: Callable[[], bool] | None = None,
    ) -> None:
        self._peer = peer
        self._items = iterate(items)
        self._read = read
        self._status_of = status_of
        self._priority = priority
        self._decompress = decompress
        self._on_progress = on_progress
        self._looks_ahead = looks_ahead
        self._ready: tuple[Any, int, ReadyStore] | None = None  # item, position, request
        self._under_way: dict[Invoking, tuple[Any, int, int]] = {}  # item, position, bytes
        self._refused: deque[Sent] = deque()
        self._is_exhausted = False
        self._count = self._objects = self._bytes = self._bytes_under_way = 0

    @property
    def is_over(self) -> bool:
        """Whether everything has been answered for."""
        return self._is_exhausted and not (self._under_way or self._ready or self._refused)

    def next(self) -> Program[Sent | None]:
        """Return the next item that is done and its status, ``None`` after the last.

        Raises
        ------
        AssociationFailure
            If the association has ended, and the peer is strict.
        """
        yield from self._fill()
        if self._refused and not (self._under_way and isinstance(self._refused[0].failure, AssociationFailure)):
            return self._refused.popleft()
        if not self._under_way:
            return None
        try:
            invoking, response = yield Await(self._take_response)
        except AssociationFailure as error:
            if self._peer.is_strict:
                raise
            return self._lose_one(error)
        item, position, length = self._forget(invoking)
        self._objects, self._bytes = self._objects + 1, self._bytes + length
        self._send_ready()
        if self._on_progress is not None:
            yield Call(self._on_progress, (self._objects, self._bytes), is_quick=True)
        return Sent(item, self._status_of(response.response), position)

    def abandon(self) -> None:
        """Send no more; what was sent already stays so, and its responses are dropped."""
        self._is_exhausted = True
        self._ready = None
        self._refused.clear()
        while self._under_way:
            self._forget(next(iter(self._under_way)))

    def give_up(self, error: AssociationFailure) -> list[Sent]:
        """Return all that is under way or ready: it will not be answered any more."""
        lost = []
        while self._under_way:
            lost.append(self._lose_one(error))
        lost.extend(self._refused)
        if self._ready is not None:
            item, position, _ = self._ready
            lost.append(Sent(item, NotStored(error), position))
        self.abandon()
        return lost

    # --- what leaves --------------------------------------------------------------------------------------------------

    def _fill(self) -> Program[None]:
        """Send what there is room for, and make the next one ready, as long as nothing is to be told."""
        while not (self._refused or self._has_response):
            self._send_ready()
            if self._ready is not None and self._can_send:
                ready, self._ready = self._ready, None
                yield from self._stream(*ready)
                continue
            if self._is_exhausted or self._ready is not None or not (self._has_room or self._may_look_ahead):
                break
            yield from self._fetch_next()
        if self._ready is not None and not self._under_way and not self._is_alive:
            item, position, _ = self._ready
            self._ready = None
            self._refuse(item, position, self._peer.end())

    @property
    def _has_room(self) -> bool:
        """Whether another one can be begun; the first waits for it, behind what others have asked for."""
        return not self._under_way or self._can_send

    @property
    def _can_send(self) -> bool:
        connection = self._peer.connection
        return self._is_alive and len(connection.invoked) < min(connection.invoked_window, _MOST)

    @property
    def _may_look_ahead(self) -> bool:
        if not self._is_alive or self._bytes_under_way > LONGEST_AHEAD:
            return False
        return self._looks_ahead is None or self._looks_ahead()

    @property
    def _is_alive(self) -> bool:
        return self._peer.connection.state is State.Sta6

    @property
    def _has_response(self) -> bool:
        return any(invoking.inbox.events for invoking in self._under_way)

    def _fetch_next(self) -> Program[None]:
        """Make the next item ready, if there is one; or refuse it."""
        connection = self._peer.connection
        read = self._read if self._is_alive else _leave_unread
        item, value, unreadable = yield from fetch(self._items, read)
        if item is END:
            self._is_exhausted = True
            return
        position, self._count = self._count, self._count + 1
        try:
            self._check_alive()
            if unreadable is not None:
                raise unreadable
            ready = yield from prepare_store(self._peer, value, priority=self._priority, decompress=self._decompress)
            if not self._under_way and len(connection.invoked) >= connection.invoked_window > 0:
                yield Await(lambda: len(connection.invoked) < connection.invoked_window or None)
            self._check_alive()
        except (DicomProtoError, OSError) as error:
            self._refuse(item, position, error)
        else:
            self._ready = item, position, ready

    def _send_ready(self) -> None:
        """Send what is ready, if there is room, and all of it is there."""
        if self._ready is None or not self._can_send:
            return
        item, position, ready = self._ready
        if isinstance(ready.data, Source):
            return
        self._ready = None
        try:
            invoking = ready.send(self._peer)
        except DicomProtoError as error:
            self._refuse(item, position, error)
            return
        self._under_way[invoking] = item, position, len(ready.data)
        self._bytes_under_way += len(ready.data)

    def _stream(self, item: Any, position: int, ready: ReadyStore) -> Program[None]:
        """Send an object, and read it meanwhile."""
        invoking = None
        try:
            invoking = ready.send(self._peer)
            self._under_way[invoking] = item, position, 0
            length = yield from invoking.feed()
        except AssociationFailure:  # who waits for the response is told
            return
        except (DicomProtoError, OSError) as error:
            if invoking is not None:
                self._forget(invoking)
            self._refuse(item, position, error, was_begun=invoking is not None)
            return
        self._under_way[invoking] = item, position, length
        self._bytes_under_way += length

    def _check_alive(self) -> None:
        if not self._is_alive:
            raise self._peer.end()

    def _refuse(self, item: Any, position: int, error: DicomProtoError | OSError, *, was_begun: bool = False) -> None:
        """Take note of an item that cannot be sent."""
        if not isinstance(error, AssociationFailure):
            _log.error("an object cannot be sent: %s", error)
        elif self._peer.is_strict:
            raise error
        self._refused.append(Sent(item, NotStored(error, was_begun=was_begun), position))

    # --- what comes back ----------------------------------------------------------------------------------------------

    def _take_response(self) -> tuple[Invoking, OperationEvent] | None:
        """Return the next response of any of those that are under way."""
        for invoking in self._under_way:
            event = invoking.inbox.take()
            if event is not None:
                return invoking, event
        return None

    def _lose_one(self, error: AssociationFailure) -> Sent:
        """Give up the first of those that will not be answered any more."""
        item, position, _ = self._forget(next(iter(self._under_way)))
        return Sent(item, NotStored(error, was_begun=True), position)

    def _forget(self, invoking: Invoking) -> tuple[Any, int, int]:
        item, position, length = self._under_way.pop(invoking)
        self._bytes_under_way -= length
        invoking.close()
        return item, position, length


def iterate(items: Any) -> Any:
    """Return the iterator of an iterable, or the async iterator of an async one."""
    return items.__aiter__() if hasattr(items, "__aiter__") else iter(items)


def settling(items: Any, read: Callable[[Any], Storable]) -> Callable[[Any], Storable]:
    """Return what reads items so that each stays as it is while the next one is asked for.

    Where the user does something between two of them, a file may be written anew for that, or a buffer filled: what is
    not too long is copied. A Dataset is left to who encodes it before that.
    """
    if type(iterate(items)) in _AT_HAND:
        return read
    return partial(_read_constant, read)


def _read_constant(read: Callable[[Any], Storable], item: Any) -> Storable:
    stored = StoredObject.of(read(item))
    if isinstance(stored.data, Dataset | Source) or len(stored.data) > LONGEST_AHEAD:
        return stored
    return stored.constant()


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
        if item is END:
            return END, None, None
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
