"""Storage Commitment Push Model (PS3.4 Annex J) on top of N-ACTION and N-EVENT-REPORT, for both sides.

May change.

The side that stores asks with :func:`request_commitment` and binds :meth:`Commitments.handlers`: the answer is an event
report that comes later, on the same association or on another one, and is found again by its Transaction UID. The side
that keeps binds :meth:`CommitmentProvider.handlers`, decides with :func:`decide` and answers with
:func:`report_commitment`, on the same association or on another one, for which it proposes :data:`REPORTING_ROLE`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSet
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from attrs import evolve, frozen
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_proto.dimse.messages import NActionRQ, NEventReportRQ
from dicom_proto.encoding.uids import add_uids
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_N_ACTION, EVT_N_EVENT_REPORT
from dicom_proto.handlers.registry import Bound
from dicom_proto.names import check_instance_uid, check_uid, is_valid_uid
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.services.management.attributes import (
    SUCCESS,
    HandlerResult,
    Refused,
    guarded,
    has_value,
    items,
    offending,
    refusing,
)
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from dicom_proto.status import FAILURE_REASONS, Category, Status
from dicom_proto.upper_layer.items import RoleSelection

__all__ = [
    "ALL_COMMITTED",
    "FAILURES_EXIST",
    "REPORTING_ROLE",
    "REQUEST_COMMITMENT",
    "CommitmentProvider",
    "CommitmentRequest",
    "CommitmentResult",
    "Commitments",
    "Decision",
    "Location",
    "Reference",
    "commitment_report",
    "commitment_request",
    "decide",
    "read_commitment_report",
    "read_commitment_request",
    "report_commitment",
    "request_commitment",
]

_log = logging.getLogger("dicom_proto.services")

REQUEST_COMMITMENT: Final = 1
"""Action type ID (PS3.4 J.3.2.1)."""
ALL_COMMITTED: Final = 1
"""Event type ID of a report without failures (PS3.4 J.3.3.1)."""
FAILURES_EXIST: Final = 2
"""Event type ID of a report with failures."""
REPORTING_ROLE: Final = RoleSelection(StorageCommitmentPushModel, scu=False, scp=True)
"""What the SCP proposes when it opens an association to report (PS3.4 J.2.1, PS3.7 D.3.3.4)."""

_NO_SUCH_INSTANCE: Final = 0x0112  # values of Failure Reason (PS3.3 C.14.1.1)
_PROCESSING_FAILURE: Final = 0x0110


class Reference(NamedTuple):
    """A stored instance; a plain pair of UIDs is as good."""

    sop_class_uid: str
    sop_instance_uid: str


@frozen
class Location:
    """Where a committed instance can be had, as far as the SCP says so.

    Parameters
    ----------
    retrieve_ae_title : str
        AE title to retrieve it from; several are separated by backslashes.
    file_set_id, file_set_uid : str
        The storage media file-set that it is on.
    """

    retrieve_ae_title: str = ""
    file_set_id: str = ""
    file_set_uid: str = ""

    @classmethod
    def read(cls, dataset: Dataset, default: "Location | None" = None) -> "Location":
        """Read it from a report or an item of one; what is not there is taken from the default."""
        default = default or cls()
        values = {name: _text(dataset, keyword) for name, keyword in _LOCATION_KEYWORDS.items()}
        return evolve(default, **{name: value for name, value in values.items() if value})

    def write(self, dataset: Dataset) -> None:
        """Write what there is to a report or an item of one."""
        for attribute, keyword in _LOCATION_KEYWORDS.items():
            value = getattr(self, attribute)
            if value:
                setattr(dataset, keyword, value)


_LOCATION_KEYWORDS: Final = {
    "retrieve_ae_title": "RetrieveAETitle",
    "file_set_id": "StorageMediaFileSetID",
    "file_set_uid": "StorageMediaFileSetUID",
}
_NOWHERE: Final = Location()

Decision: TypeAlias = bool | int | Location
"""Whether an instance is held: a location or True; or a Failure Reason (PS3.3 C.14.1.1), False for 0112H."""


@frozen(kw_only=True)
class CommitmentRequest:
    """What an N-ACTION request asks for.

    Parameters
    ----------
    transaction_uid : str
        Which request it is.
    references : mapping of Reference to Location
        The instances that are to be kept, and where they are if they were not sent: on which file-set.
    """

    transaction_uid: str
    references: Mapping[Reference, Location]


@frozen(kw_only=True)
class CommitmentResult:
    """What became of a request.

    Parameters
    ----------
    transaction_uid : str
        Which request it was.
    committed : mapping of Reference to Location
        The instances that are kept from now on.
    failed : mapping of Reference to int
        Those that are not, each with its Failure Reason (PS3.3 C.14.1.1).
    unmentioned : tuple of Reference
        Those that were asked for and that the report says nothing about, as it should: they are not safe either.
    """

    transaction_uid: str
    committed: Mapping[Reference, Location]
    failed: Mapping[Reference, int] = MappingProxyType({})
    unmentioned: tuple[Reference, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all that was asked for is kept."""
        return not self.failed and not self.unmentioned

    @property
    def failure_words(self) -> Mapping[Reference, str]:
        """What the Failure Reasons mean, in words."""
        return {
            reference: FAILURE_REASONS.get(reason, f"failure reason {reason:04X}H")
            for reference, reason in self.failed.items()
        }


# --- data sets --------------------------------------------------------------------------------------------------------


def commitment_request(
    transaction_uid: str, references: Iterable[tuple[str, str]], *, file_set_id: str = "", file_set_uid: str = ""
) -> Dataset:
    """Build the Action Information of a request (PS3.4 J.3.2.1).

    Parameters
    ----------
    transaction_uid : str
        A UID that was never used before.
    references : iterable of Reference
        SOP Class UID and SOP Instance UID of what is to be kept.
    file_set_id, file_set_uid : str
        The storage media file-set that they are on, if they are not sent.

    Raises
    ------
    InvalidNameError
        If a UID is malformed.
    LocalProtocolError
        If there are no references, if one is no pair of UIDs, or if an instance comes twice.
    """
    wanted = _checked(references)
    dataset = Dataset()
    dataset.TransactionUID = check_uid(transaction_uid)
    dataset.ReferencedSOPSequence = [_item(reference) for reference in wanted]
    Location(file_set_id=file_set_id, file_set_uid=file_set_uid).write(dataset)
    return dataset


def commitment_report(result: CommitmentResult) -> Dataset:
    """Build the Event Information of a report (PS3.4 J.3.3.1).

    Where all that is committed is in one place, the report says so once, else item by item: both is not allowed.

    Raises
    ------
    LocalProtocolError
        If the result is about nothing, or leaves instances unmentioned.
    """
    if result.unmentioned or not (result.committed or result.failed):
        raise LocalProtocolError("a report says of every instance that was asked for what became of it")
    dataset = Dataset()
    dataset.TransactionUID = check_uid(result.transaction_uid)
    places = set(result.committed.values())
    if len(places) == 1:
        places.pop().write(dataset)
    if result.committed:
        dataset.ReferencedSOPSequence = [_item(reference) for reference in result.committed]
        if places:
            for item, location in zip(dataset.ReferencedSOPSequence, result.committed.values(), strict=True):
                location.write(item)
    if result.failed:
        dataset.FailedSOPSequence = [_item(reference) for reference in result.failed]
        for item, reason in zip(dataset.FailedSOPSequence, result.failed.values(), strict=True):
            item.FailureReason = reason
    return dataset


def _checked(references: Iterable[tuple[str, str]]) -> tuple[Reference, ...]:
    wanted = tuple(map(_reference, references))
    if not wanted or len({reference.sop_instance_uid for reference in wanted}) < len(wanted):
        raise LocalProtocolError("storage commitment is asked for at least one instance, and once for each")
    return wanted


def _reference(pair: tuple[str, str]) -> Reference:
    try:
        sop_class, instance = pair
    except (TypeError, ValueError):
        raise LocalProtocolError(f"{pair!r} is not a pair of SOP Class UID and SOP Instance UID") from None
    return Reference(check_uid(sop_class), check_instance_uid(instance))


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    add_uids(item, "ReferencedSOPClassUID", reference.sop_class_uid)
    add_uids(item, "ReferencedSOPInstanceUID", reference.sop_instance_uid)
    return item


def _references(dataset: Dataset, sequence: str) -> list[tuple[Reference, Dataset]]:
    """Return what a peer refers to, with the items that do.

    Raises
    ------
    Refused
        With 0115H if an item lacks a UID.
    """
    found = []
    for item in items(dataset, sequence):
        reference = Reference(_text(item, "ReferencedSOPClassUID"), _text(item, "ReferencedSOPInstanceUID"))
        if not all(reference):
            raise offending(Status.INVALID_ARGUMENT_VALUE, dataset, sequence)
        found.append((reference, item))
    return found


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword) or ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _transaction_uid(dataset: Dataset) -> str:
    if not has_value(dataset, "TransactionUID"):
        raise offending(Status.INVALID_ARGUMENT_VALUE, dataset, "TransactionUID")
    return _text(dataset, "TransactionUID")


def _check_target(sop_class_uid: str, instance_uid: str) -> None:
    if sop_class_uid != StorageCommitmentPushModel:
        raise Refused(Status.NO_SUCH_SOP_CLASS)
    if instance_uid != StorageCommitmentPushModelInstance:
        raise Refused(Status.NO_SUCH_SOP_INSTANCE)


# --- SCU --------------------------------------------------------------------------------------------------------------


class Commitments:
    """The requests that this side has made, and what came of them.

    Its methods are not meant to run in several threads at once; see :meth:`handlers`.

    Parameters
    ----------
    requested : mutable mapping of str to tuple of Reference, optional
        What has been asked for and not been answered, by Transaction UID. A caller that wants to find reports again
        after a restart passes a mapping that lasts.
    results : mutable mapping of str to CommitmentResult, optional
        The answers, by Transaction UID; whoever has dealt with one may remove it.
    used : mutable set of str, optional
        The Transaction UIDs that something was asked for under: none may be used again, answered or refused. It only
        grows; a caller that wants it to last, or to forget, passes its own.
    on_result : callable, optional
        Called with each answer.
    """

    def __init__(
        self,
        requested: MutableMapping[str, tuple[Reference, ...]] | None = None,
        results: MutableMapping[str, CommitmentResult] | None = None,
        used: MutableSet[str] | None = None,
        *,
        on_result: Callable[[CommitmentResult], object] | None = None,
    ) -> None:
        self.requested = {} if requested is None else requested
        self.results = {} if results is None else results
        self.used = set() if used is None else used
        self._on_result = on_result

    def handlers(self, lock: AbstractContextManager[Any] = nullcontext()) -> list[Bound]:  # noqa: B008 - has no state
        """Return the handlers of this service, to be bound to the events of associations, those it serves as well.

        Parameters
        ----------
        lock : context manager
            What each of them holds while it runs, where they would run in several threads (``threading.Lock()``).
        """
        return guarded({EVT_N_EVENT_REPORT: self.on_event_report}, lock)

    def expect(self, transaction_uid: str, references: Iterable[tuple[str, str]]) -> None:
        """Note a request, before it is sent: the report may come before the response.

        Raises
        ------
        LocalProtocolError
            If the Transaction UID has been used, or as :func:`commitment_request`.
        """
        if transaction_uid in self.used or transaction_uid in self.requested or transaction_uid in self.results:
            raise LocalProtocolError(f"the Transaction UID {transaction_uid} has been used: it cannot be used again")
        self.requested[check_uid(transaction_uid)] = _checked(references)
        self.used.add(transaction_uid)

    def forget(self, transaction_uid: str) -> None:
        """Expect no report any more: the request was refused, or has waited for long enough."""
        self.requested.pop(transaction_uid, None)

    @refusing
    def on_event_report(self, event: RequestEvent) -> HandlerResult:
        """Take a report: the body of a handler of ``EVT_N_EVENT_REPORT``, on whichever association it comes.

        The status is 0115H for a Transaction UID that nothing was asked for under, or whose answer was another one. A
        report that is repeated is answered with Success, and changes nothing.
        """
        report = read_commitment_report(event)
        known = self.results.get(report.transaction_uid)
        references = self.requested.get(report.transaction_uid, ())
        if known is not None:
            references = (*known.committed, *known.failed, *known.unmentioned)
        result = _for_request(report, references)
        if known is None and references:
            if self._on_result is not None:
                self._on_result(result)  # first: if it raises, the peer may report again
            self.results[result.transaction_uid] = result
            del self.requested[result.transaction_uid]
        elif known != result:
            raise offending(Status.INVALID_ARGUMENT_VALUE, event.event_information, "TransactionUID")
        return SUCCESS


def _for_request(report: CommitmentResult, references: Iterable[Reference]) -> CommitmentResult:
    """Return of a report what was asked for, and note what it leaves out."""
    wanted = dict.fromkeys(references)
    mentioned = {**report.committed, **report.failed}
    if not mentioned.keys() <= wanted.keys():
        _log.warning("a storage commitment report is about instances that were not asked for: that is ignored")
    return evolve(
        report,
        committed={reference: place for reference, place in report.committed.items() if reference in wanted},
        failed={reference: reason for reference, reason in report.failed.items() if reference in wanted},
        unmentioned=tuple(reference for reference in wanted if reference not in mentioned),
    )


def read_commitment_report(event: RequestEvent) -> CommitmentResult:
    """Read an N-EVENT-REPORT request (PS3.4 J.3.3.1).

    What both sequences name has failed. A failure without a reason is a processing failure.

    Raises
    ------
    Refused
        With 0118H, 0112H or 0113H if it is about something else; with 0115H if its information is not complete.
    DataSetError
        If its data set cannot be decoded.
    """
    _check_target(event.request.AffectedSOPClassUID, event.request.AffectedSOPInstanceUID)
    if event.event_type not in (ALL_COMMITTED, FAILURES_EXIST):
        raise Refused(Status.NO_SUCH_EVENT_TYPE)
    dataset = event.event_information
    place = Location.read(dataset)
    failed = {
        reference: int(item.get("FailureReason") or _PROCESSING_FAILURE)
        for reference, item in _references(dataset, "FailedSOPSequence")
    }
    committed = {
        reference: Location.read(item, place)
        for reference, item in _references(dataset, "ReferencedSOPSequence")
        if reference not in failed
    }
    return CommitmentResult(transaction_uid=_transaction_uid(dataset), committed=committed, failed=failed)


def request_commitment(
    peer: Peer,
    references: Iterable[tuple[str, str]],
    transaction_uid: str,
    commitments: Commitments | None = None,
    *,
    message_id: int | None = None,
) -> Program[Reply]:
    """Ask a peer to keep instances; Success means no more than that it has taken the request.

    Parameters
    ----------
    peer : Peer
        Who is asked.
    references, transaction_uid
        As for :func:`commitment_request`.
    commitments : Commitments, optional
        Where the request is noted, and forgotten if the peer refuses it. If the association ends before the response it
        stays: the peer may have taken it.
    message_id : int, optional
        The message ID.

    Raises
    ------
    LocalProtocolError
        As :func:`commitment_request` and :meth:`Commitments.expect`, or if no context was accepted.
    """
    wanted = tuple(references)
    data_set = commitment_request(transaction_uid, wanted)
    commitments = Commitments() if commitments is None else commitments
    commitments.expect(transaction_uid, wanted)
    request = NActionRQ(
        message_id=message_id,
        requested_sop_class_uid=StorageCommitmentPushModel,
        requested_sop_instance_uid=StorageCommitmentPushModelInstance,
        action_type_id=REQUEST_COMMITMENT,
    )
    try:
        reply = yield from normalized_scu(peer, request, data_set, abstract_syntax=StorageCommitmentPushModel)
    except LocalProtocolError:  # nothing was sent
        commitments.forget(transaction_uid)
        commitments.used.discard(transaction_uid)
        raise
    if reply.category not in (Category.SUCCESS, Category.WARNING):
        commitments.forget(transaction_uid)
    return reply


# --- SCP --------------------------------------------------------------------------------------------------------------


class CommitmentProvider:
    """What takes requests.

    Parameters
    ----------
    accept : callable
        Called with each valid :class:`CommitmentRequest` and its event, before the response is sent: it notes the
        request, and the report follows later. It may raise
        :class:`~dicom_proto.services.management.attributes.Refused` with another status, such as 0213H.
    used : mutable set of str, optional
        The Transaction UIDs that have come. It only grows; a caller that cannot have that, or that wants it to last,
        passes its own.
    """

    def __init__(
        self,
        accept: Callable[[CommitmentRequest, RequestEvent], object],
        used: MutableSet[str] | None = None,
    ) -> None:
        self._accept = accept
        self.used = set() if used is None else used

    def handlers(self, lock: AbstractContextManager[Any] = nullcontext()) -> list[Bound]:  # noqa: B008 - has no state
        """Return the handlers of this service; as :meth:`Commitments.handlers`."""
        return guarded({EVT_N_ACTION: self.on_action}, lock)

    @refusing
    def on_action(self, event: RequestEvent) -> HandlerResult:
        """Take a request: the body of a handler of ``EVT_N_ACTION``.

        Besides the statuses of :func:`read_commitment_request` it is 0115H for a Transaction UID that was used before.
        """
        request = read_commitment_request(event)
        if request.transaction_uid in self.used:
            raise offending(Status.INVALID_ARGUMENT_VALUE, event.action_information, "TransactionUID")
        self._accept(request, event)
        self.used.add(request.transaction_uid)
        return SUCCESS


def read_commitment_request(event: RequestEvent) -> CommitmentRequest:
    """Read an N-ACTION request (PS3.4 J.3.2.1).

    Raises
    ------
    Refused
        With 0118H, 0112H or 0123H if it is for something else; with 0115H if its Transaction UID is missing or
        malformed, if it refers to nothing, without a UID, or to an instance twice.
    DataSetError
        If its data set cannot be decoded.
    """
    _check_target(event.request.RequestedSOPClassUID, event.request.RequestedSOPInstanceUID)
    if event.action_type != REQUEST_COMMITMENT:
        raise Refused(Status.NO_SUCH_ACTION_TYPE)
    dataset = event.action_information
    transaction_uid = _transaction_uid(dataset)
    if not is_valid_uid(transaction_uid):
        raise offending(Status.INVALID_ARGUMENT_VALUE, dataset, "TransactionUID")
    found = _references(dataset, "ReferencedSOPSequence")
    if not found or len({reference.sop_instance_uid for reference, _ in found}) < len(found):
        raise offending(Status.INVALID_ARGUMENT_VALUE, dataset, "ReferencedSOPSequence")
    place = Location.read(dataset)
    references = {reference: Location.read(item, place) for reference, item in found}
    return CommitmentRequest(transaction_uid=transaction_uid, references=references)


def decide(request: CommitmentRequest, holds: Callable[[Reference], Decision]) -> CommitmentResult:
    """Decide which of the instances that a request names are kept.

    Parameters
    ----------
    request : CommitmentRequest
        The request.
    holds : callable
        Tells of each instance whether it is held: a :class:`Location` or True; or a Failure Reason, False for 0112H.
    """
    committed: dict[Reference, Location] = {}
    failed: dict[Reference, int] = {}
    for reference in request.references:
        decision = holds(reference)
        if isinstance(decision, Location):
            committed[reference] = decision
        elif decision is True:
            committed[reference] = _NOWHERE
        else:
            failed[reference] = decision or _NO_SUCH_INSTANCE
    return CommitmentResult(transaction_uid=request.transaction_uid, committed=committed, failed=failed)


def report_commitment(peer: Peer, result: CommitmentResult, *, message_id: int | None = None) -> Program[Reply]:
    """Report what became of a request, on the association that it came on or on another one (PS3.4 J.3.3.1).

    On a context on which this side is the SCP: on an association that it has opened it has to have proposed that, with
    :data:`REPORTING_ROLE`.

    Raises
    ------
    LocalProtocolError
        As :func:`commitment_report`, or if no such context was accepted.
    """
    request = NEventReportRQ(
        message_id=message_id,
        affected_sop_class_uid=StorageCommitmentPushModel,
        affected_sop_instance_uid=StorageCommitmentPushModelInstance,
        event_type_id=FAILURES_EXIST if result.failed else ALL_COMMITTED,
    )
    return (
        yield from normalized_scu(
            peer, request, commitment_report(result), abstract_syntax=StorageCommitmentPushModel, as_scu=False
        )
    )
