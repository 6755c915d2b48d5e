"""What C-GET and C-MOVE have in common: their C-STORE sub-operations, counted and reported (PS3.4 C.4.2, C.4.3).

May change.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from attrs import frozen
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_proto.dimse.messages import Priority, Request
from dicom_proto.encoding.sources import Source
from dicom_proto.encoding.uids import add_uids
from dicom_proto.errors import DicomProtoError
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.names import is_instance_uid
from dicom_proto.programs.effects import END, Await, Call, Drain, Fork, Program
from dicom_proto.programs.invoking import Reply
from dicom_proto.programs.performing import CANCELLED, Answer, Performing, as_pair
from dicom_proto.programs.tasks import Task
from dicom_proto.services.storage.pipeline import LONGEST_AHEAD, is_in_memory
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.status import Category

__all__ = ["Fit", "Handover", "Retrieval", "Sender", "Statuses", "Store", "perform_sub_operations", "priority_of"]

_log = logging.getLogger("dicom_proto.services")

Store: TypeAlias = Callable[[StoredObject], Program[Reply]]
"""Performs one sub-operation: sends an object to where it is wanted."""

Fit: TypeAlias = Callable[[StoredObject], Program[StoredObject]]
"""Returns an object in the encoding in which it will be sent, or as it is as long as nobody knows."""

Sender: TypeAlias = Callable[["Handover"], Program[None]]
"""Sends what is handed over, one object after the other, until it is over."""

_SUCCESS: Final = 0x0000
_PENDING: Final = Answer(0xFF00)
_INCOMPLETE: Final = 0xB000
_NONE_PERFORMED: Final = 0xA702
_WITH_REMAINING: Final = (Category.SUCCESS, Category.CANCEL)
_MOST: Final = 0xFFFF  # that a counter can say


@frozen(kw_only=True)
class Statuses:
    """The statuses by which a service tells what was wrong with its handler."""

    raised: int
    no_count: int
    too_many: int


def priority_of(request: Request) -> Priority:
    """Return the priority of a request for its sub-operations; one that the peer made up counts as medium."""
    priority = getattr(request, "priority", Priority.MEDIUM)
    return priority if isinstance(priority, Priority) else Priority.MEDIUM


class Retrieval:
    """The sub-operations of one C-GET or C-MOVE: how many are still to be done, and what became of the others.

    Parameters
    ----------
    performing : Performing
        The C-GET or C-MOVE.
    count : int
        How many there will be.
    """

    def __init__(self, performing: Performing, count: int) -> None:
        self._performing = performing
        self._is_counted = count <= _MOST
        self.remaining = count
        self.completed = 0
        self.failed = 0
        self.warning = 0
        self._failed_uids: dict[str, None] = {}

    def count(self, reply: Reply | None, sop_instance_uid: str) -> None:
        """Count a sub-operation that is done; ``None`` is one that could not even be begun."""
        match None if reply is None else reply.category:
            case Category.SUCCESS:
                self.remaining -= 1
                self.completed += 1
            case Category.WARNING:
                self.remaining -= 1
                self.warning += 1
            case _:
                self._count_failed(1, [sop_instance_uid])

    def give_up(self) -> None:
        """Count all that remain as failed: nobody says why they are not done."""
        self._count_failed(self.remaining, ())

    def report(self, answer: Answer = _PENDING) -> None:
        """Tell the peer how far it is (Pending), with what the handler has said besides."""
        if self._is_counted:
            self._performing.respond(answer, None, self._counters())

    def conclude(self, answer: Answer, failed_uids: Iterable[str] = ()) -> None:
        """Send the final response.

        Parameters
        ----------
        answer : Answer
            How it ended. What Success becomes is up to the sub-operations that were performed: there are no more.
            Failure and Warning mean that those which remain will never be done: they have failed.
        failed_uids : iterable of str
            SOP Instances that the handler has given up.
        """
        given_up = [uid for uid in failed_uids if uid not in self._failed_uids]
        lost = min(self.remaining, len(given_up)) if answer.category in _WITH_REMAINING else self.remaining
        self._count_failed(lost, given_up)
        if answer.category == Category.SUCCESS:
            answer = Answer(self._outcome(), answer.fields)
        failed_list = self._failed_list() if self.failed and answer.category != Category.UNKNOWN else None
        counters = self._counters()
        if answer.category != Category.CANCEL:
            del counters["number_of_remaining_suboperations"]
        if not self._is_counted:
            counters.clear()
        elif self.failed and failed_list is None:
            del counters["number_of_failed_suboperations"]  # it is never said without the list
        self._performing.respond(answer, failed_list, counters)

    def _count_failed(self, count: int, uids: Iterable[str]) -> None:
        self.remaining -= count
        self.failed += count
        self._failed_uids.update(dict.fromkeys(filter(is_instance_uid, uids)))

    def _outcome(self) -> int:
        """Return the status of an operation that ran to its end (PS3.4 C.4.2.1.5, C.4.3.1.4)."""
        if not (self.failed or self.warning):
            return _SUCCESS
        return _INCOMPLETE if self.completed or self.warning else _NONE_PERFORMED

    def _counters(self) -> dict[str, int]:
        return {
            "number_of_remaining_suboperations": self.remaining,
            "number_of_completed_suboperations": self.completed,
            "number_of_failed_suboperations": self.failed,
            "number_of_warning_suboperations": self.warning,
        }

    def _failed_list(self) -> bytes | None:
        """Encode the Failed SOP Instance UID List; it is empty if nobody knows which ones they were."""
        identifier = Dataset()
        add_uids(identifier, "FailedSOPInstanceUIDList", self._failed_uids)
        return self._performing.encode(identifier)


class Handover:
    """What passes from the handler of a retrieval to those who send: one object, while others are on their way.

    Parameters
    ----------
    performing : Performing
        The C-GET or C-MOVE.
    retrieval : Retrieval
        Its sub-operations.

    Attributes
    ----------
    is_over : bool
        Whether nothing comes any more.
    unestablished : int
        How many of those who send have no association yet: nobody waits for them.
    """

    def __init__(self, performing: Performing, retrieval: Retrieval) -> None:
        self._performing = performing
        self._retrieval = retrieval
        self._waiting: tuple[StoredObject, Answer] | None = None
        self._busy = 0
        self._senders: list[Task[None]] = []
        self.is_over = False
        self.unestablished = 0

    # --- who sends ----------------------------------------------------------------------------------------------------

    def send(self, store: Store) -> Program[None]:
        """Store one object after the other, count each, whatever comes of it, and report it."""
        while (job := (yield Await(self._take))) is not END:
            stored, answer = job
            try:
                reply: Reply | None = yield from store(stored)
            except (DicomProtoError, OSError) as error:
                if not self._performing.is_outstanding:
                    raise
                _log.error("the sub-operation for %s failed: %s", stored.sop_instance_uid, error)
                reply = None
            self._busy -= 1
            self._retrieval.count(reply, stored.sop_instance_uid)
            self._retrieval.report(answer)

    def _take(self) -> Any:
        """Return the object that waits, and what is reported with it; ``END`` if none will, ``None`` if none does."""
        if self._waiting is None or self._performing.is_cancelled:
            return END if self.is_over else None
        job, self._waiting = self._waiting, None
        self._busy += 1
        return job

    # --- who asks the handler -----------------------------------------------------------------------------------------

    def begin(self, senders: Iterable[Sender]) -> Program[None]:
        """Let others send what is handed over."""
        for sender in senders:
            task: Task[None] = yield Fork(sender(self))
            self._senders.append(task)

    def hand_over(self, stored: StoredObject, answer: Answer) -> Program[None]:
        """Wait until somebody sends an object, or the operation is cancelled; to its end if it might be changed."""
        self._waiting = stored, answer
        yield from self._until(lambda: self._waiting is None or self._performing.is_cancelled)
        self._waiting = None
        if not stored.is_constant:
            yield from self.finish()
        yield Drain()

    def finish(self) -> Program[None]:
        """Wait until nothing is on its way."""
        yield from self._until(lambda: self._busy == 0)

    def end(self) -> Program[None]:
        """Let those who send end, but for those who have no association yet."""
        self.is_over = True
        yield from self._until(lambda: sum(not task.is_done for task in self._senders) <= self.unestablished)

    def _until(self, condition: Callable[[], bool]) -> Program[None]:
        """Wait for something; what one of those who send has raised is raised here."""
        if not condition():
            yield Await(lambda: condition() or any(task.error is not None for task in self._senders) or None)
        for task in self._senders:
            if task.error is not None:
                task.result()


def perform_sub_operations(
    performing: Performing, kind: EventKind, iterator: Any, fit: Fit, senders: Iterable[Sender], statuses: Statuses
) -> Program[None]:
    """Store what a handler yields, object by object, and send the responses of the C-GET or C-MOVE.

    The handler first yields how many objects there are, or ``(status, None)`` or a Dataset with a Status, which refuses
    the operation and is its only response; then for each of them ``(status, object)`` with a Pending
    status; see :meth:`StoredObject.of` for what an object may be, and ``Peer.read`` for what else. Any other status
    ends the operation before all is done: Success says that there are no more objects, and without a status those that
    do not come have failed. With Cancel, Failure and Warning may go a Dataset with the Failed SOP Instance UID List. An
    object that cannot be read or sent, or that the peer does not take, fails for itself. A
    cancelled operation ends with FE00H before the next sub-operation, or when the handler ends.

    The handler is asked for one object while others are on their way. It may use a Dataset or a buffer again then, or
    remove or rewrite a file: what it has yielded was encoded or copied, or has been stored, if it is longer than
    :data:`~dicom_proto.services.storage.pipeline.LONGEST_AHEAD`.
    """
    announced = yield from performing.pull(kind, iterator, failed=statuses.no_count)
    if isinstance(announced, tuple | Dataset):
        announced = performing.read_status(as_pair(announced)[0])
    entity = performing.peer.entity
    count = _read_count(kind, announced, statuses, is_bounded=entity is None or entity.counts_sub_operations)
    if isinstance(count, Answer):
        performing.respond(count)
        return
    retrieval = Retrieval(performing, count)
    handover = Handover(performing, retrieval)
    yield from handover.begin(senders)
    answer, failed_uids = yield from _hand_over_all(performing, kind, iterator, fit, handover, retrieval, statuses)
    retrieval.conclude(answer, failed_uids)
    yield from handover.end()


def _hand_over_all(
    performing: Performing,
    kind: EventKind,
    iterator: Any,
    fit: Fit,
    handover: Handover,
    retrieval: Retrieval,
    statuses: Statuses,
) -> Program[tuple[Answer, Iterable[str]]]:
    """Hand over what a handler yields; return how that has ended, when nothing is on its way."""
    for _ in range(retrieval.remaining):
        if performing.is_cancelled:
            yield from handover.finish()
            return CANCELLED, ()
        item = yield from performing.pull(kind, iterator, failed=statuses.raised)
        if item is END:
            yield from handover.finish()
            _log.error("the handler of %s has ended with %d objects to come", kind, retrieval.remaining)
            retrieval.give_up()
            return Answer(_SUCCESS), ()
        status, value = as_pair(item)
        answer = performing.read_status(status)
        if answer.category != Category.PENDING:
            yield from handover.finish()
            return answer, _named_as_failed(value)
        pending = Answer(_PENDING.status, answer.fields) if answer.fields else _PENDING
        stored = yield from _make_ready(performing, retrieval, fit, value)
        if stored is not None:
            yield from handover.hand_over(stored, pending)
        else:
            retrieval.report(pending)
            yield Drain()
    yield from handover.finish()
    # let the handler run to its end
    if (yield from performing.pull(kind, iterator, failed=statuses.raised)) not in (END, CANCELLED):
        _log.warning("what the handler of %s does after its last object makes no difference", kind)
    return Answer(_SUCCESS), ()


def _read_count(kind: EventKind, item: Any, statuses: Statuses, *, is_bounded: bool) -> int | Answer:
    """Read how many sub-operations a handler has announced; if that is no number, return the only response."""
    if isinstance(item, Answer) and item.category != Category.PENDING:
        return item
    if not isinstance(item, int) or isinstance(item, bool) or item < 0:
        _log.error("the handler of %s has to yield how many sub-operations there will be", kind)
        return Answer(statuses.no_count)
    if item > _MOST and is_bounded:
        _log.error("the handler of %s wants %d sub-operations: no more than 65535 can be counted", kind, item)
        return Answer(statuses.too_many, {"error_comment": f"{item} objects: no more than 65535 can be counted"[:64]})
    return item


def _make_ready(performing: Performing, retrieval: Retrieval, fit: Fit, value: object) -> Program[StoredObject | None]:
    """Read an object, and encode it; one that cannot be sent is counted as failed."""
    uid = ""
    try:
        stored = StoredObject.of((yield Call(performing.peer.read, (value,), is_in_memory(value))))
        uid = stored.sop_instance_uid
        stored = yield from fit(stored)
        data = stored.data
        if not (stored.is_constant or isinstance(data, Dataset | Source)) and len(data) <= LONGEST_AHEAD:
            stored = yield Call(stored.constant, ())
    except (DicomProtoError, OSError) as error:
        if not performing.is_outstanding:
            raise
        _log.error("the sub-operation for %s failed: %s", uid or "an object", error)
        retrieval.count(None, uid)
        return None
    return stored


def _named_as_failed(value: object) -> list[str]:
    """Return the Failed SOP Instance UID List of a Dataset that a handler gave with its last status."""
    uids = value.get("FailedSOPInstanceUIDList", None) if isinstance(value, Dataset) else None
    return list(map(str, uids)) if isinstance(uids, MultiValue) else [str(uids)] if uids else []
