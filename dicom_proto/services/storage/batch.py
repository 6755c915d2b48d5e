"""Many objects to one application entity, over as many associations, beside and after each other, as that takes.

May change.

A :class:`Batch` decides what goes with which association, which contexts are asked for, and what is sent again. It
is not bound to an association: its programs need none (:class:`~dicom_proto.programs.tasks.Tasks`). Objects go out in
rounds. In each as many associations as wanted are requested, all with the same presentation contexts, and those that
are established take the next object from one queue, until that is empty.
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
from dicom_proto.errors import DicomProtoError, InvalidSettingError, NoContextError
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.programs.effects import END, Await, Call, Dial, Fork, HangUp, Pause, Program, Run
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.tasks import Task
from dicom_proto.services.storage.pipeline import NotStored, Pipeline, Sent, fetch, iterate
from dicom_proto.services.storage.sending import needed_contexts, no_context_for
from dicom_proto.services.storage.store import Storable, StoredObject
from dicom_proto.upper_layer.failures import AssociationFailure, AssociationRejected
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = ["KEPT", "Batch", "check_beside"]

T = TypeVar("T")
_log = logging.getLogger("dicom_proto.services")

KEPT: Final = 1 << 16
"""The longest object, in bytes, that is kept when it has been looked at: a longer one in a file is read again."""

_MOST_OBJECTS: Final = 1000  # that are looked at ahead
_MOST_BYTES: Final = 1 << 26  # of those among them that are kept
_LEAST_BYTES: Final = 1 << 18  # that an object counts for which is the user's, in memory or open
_MOST_BESIDE: Final = 64  # associations
_MOST_CONTEXTS: Final = 128  # PS3.8 9.3.2.2
_PERMANENT: Final = 1  # result of an A-ASSOCIATE-RJ (PS3.8 9.3.4)
_PATIENCE: Final = 6  # rejections in a row by who is busy that count for no object; before each the pause is doubled


Context: TypeAlias = tuple[str, tuple[str, ...]]
_Failure: TypeAlias = NoContextError | AssociationFailure | OSError
_proposed = lru_cache(maxsize=256)(PresentationContext)


@define(eq=False)
class _Entry:
    """An object on its way."""

    item: Any
    position: int
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
    associations : int
        How many associations share the objects, up to 64; fewer if the peer does not establish so many.

    Raises
    ------
    InvalidSettingError
        If there are to be no associations, or too many.
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
        associations: int = 1,
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
        self._associations = check_beside(associations)
        self._count = self._objects = self._bytes = 0
        self._is_exhausted = False
        self._waiting: deque[_Entry] = deque()
        self.finished: deque[Sent] = deque()
        # Of a round:
        self._aboard: deque[_Entry] = deque()  # what nobody has taken; it may be taken in several threads
        self._lost: list[tuple[_Entry, _Failure, bool]] = []
        self._failure: _Failure | None = None  # why there is no association any more
        self._was_established = self._has_delivered = False
        self._established = 0
        # From one to the next:
        self._has_to_pause = False
        self._rejections = 0  # in a row, by a peer that is busy

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
            yield from self._look_ahead()
            if self._waiting and not self.finished:
                yield from self._send_some()
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
            position, self._count = self._count, self._count + 1
            try:
                if unreadable is not None:
                    raise unreadable
                entry = self._pack(item, position, StoredObject.of(value))
            except (DicomProtoError, OSError) as error:
                _log.error("an object cannot be sent: %s", error)
                self.finished.append(Sent(item, NotStored(error), position))
                return
            self._waiting.append(entry)
            contexts.update(entry.contexts)
            weight += entry.weight

    def _pack(self, item: Any, position: int, stored: StoredObject) -> _Entry:
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
        return _Entry(item, position, evolve(stored, data=b"", look=None), contexts, kept, weight)

    # --- a round ------------------------------------------------------------------------------------------------------

    def _send_some(self) -> Program[None]:
        """Send what waits, as far as the contexts of an association go."""
        if self._has_to_pause:
            yield Pause(self._retry_delay * 2 ** min(max(self._rejections - 1, 0), _PATIENCE))
        contexts: dict[Context, None] = {}
        count = 0
        for entry in self._waiting:
            more = contexts | dict.fromkeys(entry.contexts)
            if len(more) > _MOST_CONTEXTS:
                break
            contexts, count = more, count + 1
        offer = self._make_offer([_proposed(*context) for context in contexts])
        self._aboard = deque(self._waiting.popleft() for _ in range(count))
        self._has_to_pause = self._has_delivered = self._was_established = False
        self._failure = None
        fleet: Task[None] = yield Fork(self._sail(offer, min(self._associations, count)))
        yield Await(lambda: fleet.is_done or None)
        fleet.result()
        self._sort_lost()

    def _sail(self, offer: AAssociateRQ, count: int) -> Program[None]:
        """Request associations, and wait until they have sent everything or ended; who comes too late is ended."""
        under_way: list[Task[None]] = []
        while len(under_way) < count:
            under_way.append((yield Fork(self._cross(offer))))
        yield Await(lambda: self._is_over(under_way) or None)
        for crossing in under_way:
            crossing.result()

    def _is_over(self, under_way: list[Task[None]]) -> bool:
        if any(crossing.error is not None for crossing in under_way) or all(crossing.is_done for crossing in under_way):
            return True
        return self._was_established and not (self._established or self._aboard)

    def _cross(self, offer: AAssociateRQ) -> Program[None]:
        """Request one association, and send over it what nobody else has taken."""
        try:
            peer: Peer = yield Dial(self._address, offer, self._options)
        except (NoContextError, AssociationFailure, OSError) as error:
            if self._failure is None:
                self._failure = error  # others may have more luck
            return
        self._was_established = True
        self._rejections = 0
        self._established += 1
        answered = deque([(0, 0)])  # numbers of objects and bytes on this association, the last ones and those before
        pipeline = Pipeline(
            peer,
            self._unload(),
            self._open,
            self._status_of,
            priority=self._priority,
            decompress=self._decompress,
            on_progress=lambda *numbers: answered.append(numbers),
            looks_ahead=None if self._associations == 1 else self._has_enough,
        )
        while (yield from self._carry_on(pipeline, peer, answered)):
            pass
        yield HangUp(peer)
        self._established -= 1

    def _unload(self) -> Iterator[_Entry]:
        """Take what comes next: as others do, in other threads."""
        while True:
            try:
                entry = self._aboard.popleft()
            except IndexError:
                return
            yield entry

    def _has_enough(self) -> bool:
        """Tell whether there is more than one object for each association: nobody shall wait for what another keeps."""
        return len(self._aboard) >= self._associations

    def _open(self, entry: _Entry) -> Storable:
        return self._read(entry.item) if entry.kept is None else entry.kept

    def _carry_on(self, pipeline: Pipeline, peer: Peer, answered: deque[tuple[int, int]]) -> Program[bool]:
        """Wait for the next that is done on an association; after the last, or when it is lost, return false."""
        if self.finished:
            yield Await(self._is_asked)
        try:
            sent: Sent | None = yield Run(pipeline.next(), peer)
        except AssociationFailure as error:
            self._lose(pipeline, error)
            return False
        if len(answered) > 1:
            objects, length = answered.popleft()
            self._objects += answered[0][0] - objects
            self._bytes += answered[0][1] - length
            if self._on_progress is not None:
                yield Call(self._on_progress, (self._objects, self._bytes), is_quick=True)
        if sent is None:
            return False
        if not self._is_lost(sent):
            return True
        self._lose(pipeline, sent.status.failure)
        return False

    def _is_lost(self, sent: Sent) -> bool:
        """Take note of what is done; return whether its association is lost."""
        entry, status = sent
        if isinstance(sent.failure, AssociationFailure):
            self._lost.append((entry, sent.failure, status.was_begun))
            return True
        self._has_delivered = True
        self.finished.append(Sent(entry.item, status, entry.position))
        return False

    def _lose(self, pipeline: Pipeline, error: AssociationFailure) -> None:
        """Take back what was to go over an association that is lost."""
        self._failure = error
        for sent in pipeline.give_up(error):
            self._is_lost(sent)

    def _sort_lost(self) -> None:
        """Decide what is sent again of what has no answer.

        An attempt counts for those that were under way when the association was lost, which may have been the reason;
        for all if there were none, and it was of no use.
        """
        if self._failure is not None:
            self._lost.extend((entry, self._failure, False) for entry in self._aboard)
        was_begun = any(was_begun for _, _, was_begun in self._lost)
        is_busy = isinstance(self._failure, AssociationRejected) and self._failure.is_busy
        self._rejections += is_busy
        is_pardoned = is_busy and self._rejections <= _PATIENCE
        again = []
        for entry, failure, counts in self._lost:
            entry.was_begun |= counts
            entry.attempts += counts or not (was_begun or self._has_delivered or is_pardoned)
            if entry.is_spent or _is_final(failure) or entry.attempts > self._retries:
                why = _explained(entry, failure)
                self.finished.append(Sent(entry.item, NotStored(why, was_begun=entry.was_begun), entry.position))
            else:
                again.append(entry)
        if self._lost:
            failure = self._lost[0][1]
            _log.error("%d objects have no answer, %d are sent again: %s", len(self._lost), len(again), failure)
        self._lost = []
        self._waiting.extendleft(reversed(again))
        self._has_to_pause = bool(again)


def check_beside(associations: int) -> int:
    """Return a number of associations that may share a batch.

    Raises
    ------
    InvalidSettingError
        If there are none, or too many.
    """
    if not 1 <= associations <= _MOST_BESIDE:
        raise InvalidSettingError(f"{associations} associations cannot share a batch: from 1 to {_MOST_BESIDE} can")
    return associations


def _explained(entry: _Entry, failure: Exception) -> Exception:
    """Return why an object is not sent again that has no answer."""
    if entry.is_spent:
        why = ReadOnceError(failure)
        why.__cause__ = failure
        return why
    return no_context_for(entry.head) if isinstance(failure, NoContextError) else failure


def _is_final(failure: Exception) -> bool:
    """Tell whether another attempt is of no use."""
    if isinstance(failure, AssociationRejected):
        return failure.result == _PERMANENT and not failure.is_busy
    return isinstance(failure, NoContextError)


def _size(stored: StoredObject) -> int:
    """Return about how many bytes an object has in memory."""
    data = stored.data
    if isinstance(data, Source):
        return 0
    if not isinstance(data, Dataset):
        return len(data)
    return len(data.get_item("PixelData").value or b"") if "PixelData" in data else 0
