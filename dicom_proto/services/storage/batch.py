"""Many objects to one application entity, over as many associations, one after the other, as that takes.

May change.

A :class:`Batch` decides what goes with which association, which contexts are asked for, and what is sent again. It
is not bound to an association: its programs need none (:class:`~dicom_proto.programs.tasks.Tasks`).
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

from attrs import define, evolve
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import Priority
from dicom_proto.encoding.sources import ReadOnceError, Source
from dicom_proto.errors import DicomProtoError, NoContextError
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.programs.effects import END, Await, Dial, HangUp, Pause, Program, Run
from dicom_proto.programs.peer import Peer
from dicom_proto.services.storage.pipeline import NotStored, Pipeline, Sent, fetch, iterate
from dicom_proto.services.storage.store import Storable, StoredObject, needed_contexts, no_context_for
from dicom_proto.upper_layer.failures import AssociationFailure, AssociationRejected
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = ["KEPT", "Batch"]

T = TypeVar("T")
_log = logging.getLogger("dicom_proto.services")

KEPT: Final = 1 << 16
"""The longest object, in bytes, that is kept when it has been looked at: a longer one in a file is read again."""

_MOST_OBJECTS: Final = 1000  # that are looked at ahead
_MOST_BYTES: Final = 1 << 26  # of those among them that are kept
_LEAST_BYTES: Final = 1 << 18  # that an object counts for which is the user's, in memory or open
_MOST_CONTEXTS: Final = 128  # PS3.8 9.3.2.2
_PERMANENT: Final = 1  # result of an A-ASSOCIATE-RJ (PS3.8 9.3.4)


Context: TypeAlias = tuple[str, tuple[str, ...]]
_proposed = lru_cache(maxsize=256)(PresentationContext)


@define(eq=False)
class _Entry:
    """An object on its way."""

    item: Any
    head: StoredObject  # without its data
    contexts: tuple[Context, ...]
    kept: StoredObject | None
    weight: int  # bytes
    attempts: int = 0
    was_begun: bool = False  # in any of them

    @property
    def is_spent(self) -> bool:
        """Whether it cannot be read again."""
        return self.kept is not None and isinstance(self.kept.data, Source) and self.kept.data.is_spent


class Batch:
    """The transfer of many objects; :attr:`finished` gets what has become of them, as they finish.

    Parameters
    ----------
    items : iterable or async iterable
        What to store, in the user's words; up to 1000 of them are looked at before an association is requested.
    read : callable
        Returns what can be stored for an item.
    status_of : callable
        Returns the status of a response as users get it.
    address : tuple of str and int
        Host and port of the peer.
    make_offer : callable
        Makes the request for an association from presentation contexts.
    options : mapping
        What the driver has to know about the transport; see :class:`~dicom_proto.programs.effects.Dial`.
    retries : int
        How many more times an object is sent that was not answered for, because the association was lost or there
        was none.
    retry_delay : float
        Seconds to wait before that.
    decompress : bool
        Whether compressed objects may be decompressed where the peer does not take them as they are.
    priority : int
        The priority of all requests.
    on_progress : callable, optional
        Called with the numbers of objects and of bytes that have been answered for.
    """

    def __init__(  # noqa: PLR0913 - it is made in one place
        self,
        items: Any,
        read: Callable[[Any], Storable],
        status_of: Callable[[Any], Dataset],
        address: tuple[str, int],
        make_offer: Callable[[list[PresentationContext]], AAssociateRQ],
        *,
        options: Mapping[str, Any],
        retries: int = 2,
        retry_delay: float = 1.0,
        decompress: bool = False,
        priority: int = Priority.LOW,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> None:
        self._items = iterate(items)
        self._read = read
        self._status_of = status_of
        self._address = address
        self._make_offer = make_offer
        self._options = options
        self._retries = retries
        self._retry_delay = retry_delay
        self._decompress = decompress
        self._priority = priority
        self._on_progress = on_progress
        self._answered = self._answered_before = (0, 0)  # objects, bytes
        self._is_exhausted = False
        self._waiting: deque[_Entry] = deque()
        self.finished: deque[Sent] = deque()
        self._aboard: deque[_Entry] = deque()  # and not begun on this association
        self._lost: list[tuple[_Entry, AssociationFailure | OSError, bool]] = []
        self._has_delivered = False
        self._has_to_pause = False
        self._peer: Peer | None = None
        self._pipeline: Pipeline | None = None

    def run(self) -> Program[None]:
        """Send everything; :attr:`finished` grows by what is done.

        A driver takes a turn only as long as nothing is there, so that no more is done than somebody asks for. When the
        program ends, or is closed before that, an association that there is is aborted.

        Raises
        ------
        LocalProtocolError
            If an association cannot even be requested.
        """
        while True:
            if self.finished:
                yield Await(self._is_asked)
            if self._pipeline is not None and self._peer is not None:
                yield from self._carry_on(self._pipeline, self._peer)
                continue
            yield from self._look_ahead()
            if self._waiting and not self.finished:
                yield from self._begin()
            elif self._is_exhausted and not self.finished:
                return

    def _is_asked(self) -> bool | None:
        return not self.finished or None

    # --- looking ahead ------------------------------------------------------------------------------------------------

    def _look_ahead(self) -> Program[None]:
        """Look at items until there are as many as an association takes; stop where one cannot be sent."""
        contexts = {context for entry in self._waiting for context in entry.contexts}
        weight = sum(entry.weight for entry in self._waiting)
        while len(self._waiting) < _MOST_OBJECTS and weight < _MOST_BYTES and len(contexts) <= _MOST_CONTEXTS:
            if self._is_exhausted or self.finished:
                return
            item, value, unreadable = yield from fetch(self._items, self._read)
            if item is END:
                self._is_exhausted = True
                return
            try:
                if unreadable is not None:
                    raise unreadable
                entry = self._pack(item, StoredObject.of(value))
            except (DicomProtoError, OSError) as error:
                _log.error("an object cannot be sent: %s", error)
                self.finished.append((item, NotStored(error)))
                return
            self._waiting.append(entry)
            contexts.update(entry.contexts)
            weight += entry.weight

    def _pack(self, item: Any, stored: StoredObject) -> _Entry:
        contexts = tuple(needed_contexts(stored, decompress=self._decompress))
        for context in contexts:
            _proposed(*context)  # what cannot be is noticed here
        size = _size(stored)
        if not (isinstance(item, str) or hasattr(item, "__fspath__")):
            kept, weight = stored, max(size, _LEAST_BYTES)
        elif size <= KEPT:
            kept, weight = stored, size
        else:
            kept, weight = None, 0
        return _Entry(item, evolve(stored, data=b"", look=None), contexts, kept, weight)

    # --- an association -----------------------------------------------------------------------------------------------

    def _begin(self) -> Program[None]:
        """Request an association for what waits, as far as the contexts go."""
        if self._has_to_pause:
            yield Pause(self._retry_delay)
        contexts: dict[Context, None] = {}
        count = 0
        for entry in self._waiting:
            more = contexts | dict.fromkeys(entry.contexts)
            if len(more) > _MOST_CONTEXTS:
                break
            contexts, count = more, count + 1
        offer = self._make_offer([_proposed(*context) for context in contexts])
        entries = [self._waiting.popleft() for _ in range(count)]
        self._has_to_pause = self._has_delivered = False
        try:
            peer: Peer = yield Dial(self._address, offer, self._options)
        except NoContextError:
            self.finished.extend((entry.item, NotStored(no_context_for(entry.head))) for entry in entries)
        except (AssociationFailure, OSError) as error:
            self._lost = [(entry, error, False) for entry in entries]
            self._sort_lost()
        else:
            self._aboard = deque(entries)
            self._answered_before = self._answered
            self._peer = peer
            self._pipeline = Pipeline(
                peer,
                self._unload(),
                self._open,
                self._status_of,
                priority=self._priority,
                decompress=self._decompress,
                on_progress=self._progressed,
            )

    def _unload(self) -> Iterator[_Entry]:
        while self._aboard:
            yield self._aboard.popleft()

    def _open(self, entry: _Entry) -> Storable:
        return self._read(entry.item) if entry.kept is None else entry.kept

    def _progressed(self, objects: int, length: int) -> object:
        before = self._answered_before
        self._answered = before[0] + objects, before[1] + length
        return None if self._on_progress is None else self._on_progress(*self._answered)

    def _carry_on(self, pipeline: Pipeline, peer: Peer) -> Program[None]:
        """Wait for the next that is done on this association; after the last, or when it is lost, end it."""
        try:
            sent: Sent | None = yield Run(pipeline.next(), peer)
        except AssociationFailure as error:
            self._lose(pipeline, error)
            sent = None
        if sent is not None:
            entry, status = sent
            if not (isinstance(status, NotStored) and isinstance(status.failure, AssociationFailure)):
                self._has_delivered = True
                self.finished.append((entry.item, status))
                return
            self._lost.append((entry, status.failure, status.was_begun))
            self._lose(pipeline, status.failure)
        yield HangUp(peer)
        self._peer = self._pipeline = None
        self._sort_lost()

    def _lose(self, pipeline: Pipeline, error: AssociationFailure) -> None:
        """Take back what was to go over an association that is lost."""
        self._lost.extend((entry, error, True) for entry, _ in pipeline.give_up(error))
        self._lost.extend((entry, error, False) for entry in self._aboard)
        self._aboard.clear()

    def _sort_lost(self) -> None:
        """Decide what is sent again of what has no answer.

        An attempt counts for those that were under way when the association was lost, which may have been the reason;
        for all if there were none, and it was of no use.
        """
        was_begun = any(was_begun for _, _, was_begun in self._lost)
        again = []
        for entry, failure, counts in self._lost:
            entry.was_begun |= counts
            entry.attempts += counts or not (was_begun or self._has_delivered)
            is_final = isinstance(failure, AssociationRejected) and failure.result == _PERMANENT
            if entry.is_spent:
                self.finished.append((entry.item, NotStored(_read_once(failure), was_begun=entry.was_begun)))
            elif is_final or entry.attempts > self._retries:
                self.finished.append((entry.item, NotStored(failure, was_begun=entry.was_begun)))
            else:
                again.append(entry)
        if self._lost:
            failure = self._lost[0][1]
            _log.error("%d objects have no answer, %d are sent again: %s", len(self._lost), len(again), failure)
        self._lost = []
        self._waiting.extendleft(reversed(again))
        self._has_to_pause = bool(again)


def _read_once(failure: Exception) -> ReadOnceError:
    error = ReadOnceError(failure)
    error.__cause__ = failure
    return error


def _size(stored: StoredObject) -> int:
    """Return about how many bytes an object has in memory."""
    data = stored.data
    if isinstance(data, Source):
        return 0
    if not isinstance(data, Dataset):
        return len(data)
    return len(data.get_item("PixelData").value or b"") if "PixelData" in data else 0
