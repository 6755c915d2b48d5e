"""What users call on an association, as programs that any adapter can run: data sets in, status data sets out.

The arguments and results are those of pynetdicom's ``Association.send_...`` methods, which the adapters' associations
have under the same names. All of them raise :class:`~dicom_proto.errors.NotEstablishedError` if there is no
association, and :class:`~dicom_proto.errors.NoContextError` if it has no presentation context for what is asked. If the
association ends before the response, the status is an empty Dataset; a strict
:class:`~dicom_proto.programs.peer.Peer` makes that an :class:`~dicom_proto.upper_layer.failures.AssociationFailure`. A
message ID that is ``None`` is given out.
"""

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dicom_proto.dimse.messages import (
    MESSAGES,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Priority,
    Request,
    Response,
)
from dicom_proto.encoding.datasets import decode
from dicom_proto.errors import (
    DataSetError,
    InvalidNameError,
    InvalidSettingError,
    LocalProtocolError,
    NoContextError,
    NotEstablishedError,
)
from dicom_proto.limits import Limits
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import PROCESSING_FAILURE
from dicom_proto.programs.streams import Stream
from dicom_proto.service_class import ServiceClass
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.services.query import find_scu
from dicom_proto.services.retrieve.get import get_scu
from dicom_proto.services.retrieve.move import move_scu
from dicom_proto.services.storage import store
from dicom_proto.services.storage.store import Storable, StoredObject, store_object_scu
from dicom_proto.services.verification import echo_scu
from dicom_proto.sop_class import dimse_services, meta_members, service_class_of
from dicom_proto.upper_layer.failures import AssociationFailure, failure_of
from dicom_proto.upper_layer.state_table import State

__all__ = [
    "Result",
    "Results",
    "c_cancel",
    "c_echo",
    "c_find",
    "c_get",
    "c_move",
    "c_store",
    "code_to_status",
    "fit_object",
    "forgiving",
    "n_action",
    "n_create",
    "n_delete",
    "n_event_report",
    "n_get",
    "n_set",
    "next_result",
    "status_of",
]

_T = TypeVar("_T")
_Otherwise = TypeVar("_Otherwise")
_Twin = TypeVar("_Twin", Dataset, DataElement)
_log = logging.getLogger("dicom_proto.services")

Result: TypeAlias = tuple[Dataset, Dataset | None]
"""A status, and the data set that came with it."""


# Attribute, tag and VR of what a status shows of a response.
_SHOWN: Final = {
    kind: [
        (element.attribute, BaseTag(element.tag), element.vr.name)
        for element in kind.elements
        if element.attribute != "message_id_being_responded_to"
    ]
    for kind in MESSAGES.values()
    if issubclass(kind, Response)
}


def status_of(response: Response) -> Dataset:
    """Return the status of a response, and what it says besides, as a data set of command elements."""
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for attribute, tag, vr in _SHOWN[type(response)]:
        value = getattr(response, attribute)
        if value is None:
            continue
        if isinstance(value, int) or (isinstance(value, str) and len(value) <= 64):
            elements[tag] = _twin(_remembered_element(tag, vr, value))  # the caller may change its own
        else:
            elements[tag] = _make_element(tag, vr, list(value) if isinstance(value, tuple) else value)
    return _dataset_of(elements)


def _make_element(tag: BaseTag, vr: str, value: Any) -> DataElement:
    # What a peer sent need not keep the rules of its VR, and is no reason to warn the user.
    return DataElement(tag, vr, value, validation_mode=IGNORE)


# pydicom takes longer to make them than it takes to decode the whole response.
_remembered_element = lru_cache(maxsize=256, typed=True)(_make_element)
_EMPTY: Final = Dataset()
_OWN: Final = tuple(name for name, value in vars(_EMPTY).items() if isinstance(value, dict))  # what no two may share


def _twin(original: _Twin) -> _Twin:
    """Return another object with the same attributes."""
    twin = object.__new__(type(original))
    twin.__dict__.update(original.__dict__)
    return twin


def _dataset_of(elements: dict[BaseTag, DataElement | RawDataElement]) -> Dataset:
    """Return ``Dataset(elements)``."""
    dataset = _twin(_EMPTY)
    own = dataset.__dict__
    for name in _OWN:
        own[name] = own[name].copy()
    own["_dict"] = elements
    return dataset


def code_to_status(code: Any) -> Dataset:
    """Return a status as a data set, to which a handler may add further elements of its response (PS3.7 Annex C).

    Raises
    ------
    InvalidSettingError
        If it is no unsigned integer of 16 bits.
    """
    if not isinstance(code, int) or not 0 <= code <= 0xFFFF:
        raise InvalidSettingError(f"{code!r} is not a status: an integer from 0 to 65535")
    dataset = Dataset()
    dataset.Status = int(code)
    return dataset


def forgiving(peer: Peer, program: Program[_T], otherwise: Callable[[], _Otherwise]) -> Program[_T | _Otherwise]:
    """Run a program for a user.

    If the association ends before it does, and the peer is not strict, return what ``otherwise`` returns.

    Raises
    ------
    AssociationFailure
        If it ends, and the peer is strict.
    """
    try:
        return (yield from program)
    except AssociationFailure as error:
        if peer.is_strict:
            raise
        _log.error("no response has arrived: %s", error)
        return otherwise()


def _check_established(peer: Peer) -> None:
    if peer.connection.state is not State.Sta6:
        ending = peer.router.ending
        reason = "" if ending is None else f": {failure_of(ending)}"
        raise NotEstablishedError(f"the association is not established{reason}")


def _status(peer: Peer, program: Program[Reply]) -> Program[Dataset]:
    """Run a program that invokes an operation, and return the status of its response."""
    _check_established(peer)
    reply = yield from forgiving(peer, program, lambda: None)
    return Dataset() if reply is None else status_of(reply.response)


def _result(peer: Peer, program: Program[Reply]) -> Program[Result]:
    """Run a program that invokes an operation, and return the status and the data set of its response."""
    _check_established(peer)
    reply = yield from forgiving(peer, program, lambda: None)
    return _read(reply, if_damaged=PROCESSING_FAILURE, limits=peer.limits)


def _read(reply: Reply | None, *, if_damaged: int | None, limits: Limits) -> Result:
    """Return status and data set of a reply.

    A data set that cannot be decoded is ``None``; that is logged, and ``if_damaged`` becomes the status.
    """
    if reply is None:
        return Dataset(), None
    status = status_of(reply.response)
    if reply.data is None:
        return status, None
    try:
        return status, decode(reply.data, reply.context.transfer_syntax, limits=limits)
    except (DataSetError, LocalProtocolError) as error:  # the latter for a private transfer syntax
        _log.error("the data set of a %s cannot be decoded: %s", reply.response.name, error)
        if if_damaged is not None:
            status.Status = if_damaged
        return status, None


# --- DIMSE-C ----------------------------------------------------------------------------------------------------------


def c_echo(peer: Peer, msg_id: int | None = None) -> Program[Dataset]:
    """Send a C-ECHO request; return its status."""
    return _status(peer, echo_scu(peer, message_id=msg_id))


def c_store(
    peer: Peer,
    dataset: Storable,
    msg_id: int | None = None,
    priority: int = Priority.LOW,
    originator_aet: str | None = None,
    originator_id: int | None = None,
) -> Program[Dataset]:
    """Send an object with a C-STORE request; return its status.

    Parameters
    ----------
    peer : Peer
        Where to.
    dataset : StoredObject, Dataset, buffer or tuple
        What; see :meth:`~dicom_proto.services.storage.store.StoredObject.of`. A buffer is the content of a DICOM file.
    msg_id : int, optional
        The message ID.
    priority : int
        0 medium, 1 high, 2 low.
    originator_aet, originator_id
        Whose C-MOVE asked for it, and which (PS3.7 9.1.1.1.6).
    """
    program = store_object_scu(
        peer,
        dataset,
        message_id=msg_id,
        priority=priority,
        originator_ae_title=originator_aet,
        originator_message_id=originator_id,
    )
    return _status(peer, program)


def fit_object(peer: Peer, value: Storable, *, decompress: bool = False) -> Program[StoredObject]:
    """Return an object in the encoding in which it can be sent: ``store.fit_object`` for users."""
    _check_established(peer)
    return (yield from store.fit_object(peer, value, decompress=decompress))


def c_find(
    peer: Peer, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = Priority.LOW
) -> Invoking:
    """Send a C-FIND request; :func:`next_result` gives its results."""
    _check_established(peer)
    return find_scu(peer, dataset, query_model, message_id=msg_id, priority=priority)


def c_get(
    peer: Peer, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = Priority.LOW
) -> Invoking:
    """Send a C-GET request; :func:`next_result` gives its results, the handler of ``EVT_C_STORE`` gets the objects."""
    _check_established(peer)
    return get_scu(peer, dataset, query_model, message_id=msg_id, priority=priority)


def c_move(
    peer: Peer,
    dataset: Dataset,
    move_aet: str,
    query_model: str,
    msg_id: int | None = None,
    priority: int = Priority.LOW,
) -> Invoking:
    """Send a C-MOVE request; :func:`next_result` gives its results."""
    _check_established(peer)
    return move_scu(peer, dataset, move_aet, query_model, message_id=msg_id, priority=priority)


def next_result(invoking: Invoking) -> Program[Result | None]:
    """Wait for the next response of a C-FIND, C-GET or C-MOVE; return status and identifier.

    After the last one, or the first that is missing, it is ``None``.
    """
    if invoking.is_over:
        return None
    reply = yield from forgiving(invoking.peer, invoking.reply(), invoking.close)
    return _read(reply, if_damaged=None, limits=invoking.peer.limits)


class Results(Stream[Result]):
    """The results of a C-FIND, C-GET or C-MOVE; who takes no more interest in them has the operation cancelled."""

    def __init__(self, invoking: Invoking) -> None:
        self._invoking = invoking

    @property
    def is_over(self) -> bool:
        """Whether the final response has been read."""
        return self._invoking.is_over

    def next(self) -> Program[Result | None]:
        """See :func:`next_result`."""
        return next_result(self._invoking)

    def abandon(self) -> None:
        """Cancel the operation, and drop what still comes; after the end it does nothing."""
        if not self._invoking.is_over:
            self._invoking.cancel()
            self._invoking.close()


def c_cancel(peer: Peer, msg_id: int, context_id: int | None = None, query_model: str | None = None) -> None:
    """Ask for the end of a C-FIND, C-GET or C-MOVE (C-CANCEL); its final response still comes.

    Parameters
    ----------
    peer : Peer
        Who performs it.
    msg_id : int
        Its message ID. If it has ended by now nothing is sent.
    context_id : int, optional
        The presentation context that it is on; not needed, and checked if it is stated.
    query_model : str, optional
        The abstract syntax of that context; not needed, and checked if it is stated.

    Raises
    ------
    NoContextError
        If the operation is on another context.
    LocalProtocolError
        If it is none that can be cancelled.
    """
    _check_established(peer)
    operation = peer.connection.invoked.get(msg_id)
    if operation is None:
        _log.info("operation %d has ended, or never was: there is nothing to cancel", msg_id)
        return
    context = peer.connection.contexts[operation.context_id]
    if context_id not in {None, context.context_id} or query_model not in {None, context.abstract_syntax}:
        raise NoContextError(
            f"operation {msg_id} is on presentation context {context.context_id} for {context.abstract_syntax}"
        )
    peer.connection.send_cancel(msg_id)


# --- DIMSE-N ----------------------------------------------------------------------------------------------------------


def n_event_report(
    peer: Peer,
    dataset: Dataset | None,
    event_type: int,
    class_uid: str,
    instance_uid: str,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-EVENT-REPORT request, as the SCP of a service; return status and event reply."""
    request = NEventReportRQ(
        message_id=msg_id,
        affected_sop_class_uid=class_uid,
        affected_sop_instance_uid=instance_uid,
        event_type_id=event_type,
    )
    return _result(peer, _normalized(peer, request, dataset, class_uid, meta_uid, as_scu=False))


def n_get(
    peer: Peer,
    identifier_list: Iterable[Any],
    class_uid: str,
    instance_uid: str,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-GET request for some attributes, or for all (an empty list); return status and attribute list.

    An attribute is anything that pydicom takes for a tag; ``InvalidNameError`` is raised for anything else.
    """
    try:
        tags = tuple(int(Tag(tag)) for tag in identifier_list)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidNameError(f"{identifier_list!r} are no tags: {error}") from error
    request = NGetRQ(
        message_id=msg_id,
        requested_sop_class_uid=class_uid,
        requested_sop_instance_uid=instance_uid,
        attribute_identifier_list=tags or None,
    )
    return _result(peer, _normalized(peer, request, None, class_uid, meta_uid))


def n_set(
    peer: Peer,
    dataset: Dataset,
    class_uid: str,
    instance_uid: str,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-SET request; return status and attribute list."""
    request = NSetRQ(message_id=msg_id, requested_sop_class_uid=class_uid, requested_sop_instance_uid=instance_uid)
    return _result(peer, _normalized(peer, request, dataset, class_uid, meta_uid))


def n_action(
    peer: Peer,
    dataset: Dataset | None,
    action_type: int,
    class_uid: str,
    instance_uid: str,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-ACTION request; return status and action reply."""
    request = NActionRQ(
        message_id=msg_id,
        requested_sop_class_uid=class_uid,
        requested_sop_instance_uid=instance_uid,
        action_type_id=action_type,
    )
    return _result(peer, _normalized(peer, request, dataset, class_uid, meta_uid))


def n_create(
    peer: Peer,
    dataset: Dataset | None,
    class_uid: str,
    instance_uid: str | None = None,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-CREATE request; return status and attribute list.

    The status has the Affected SOP Instance UID, which the peer gives if ``instance_uid`` is ``None``.
    """
    request = NCreateRQ(message_id=msg_id, affected_sop_class_uid=class_uid, affected_sop_instance_uid=instance_uid)
    return _result(peer, _normalized(peer, request, dataset, class_uid, meta_uid))


def n_delete(
    peer: Peer, class_uid: str, instance_uid: str, msg_id: int | None = None, meta_uid: str | None = None
) -> Program[Dataset]:
    """Send an N-DELETE request; return its status."""
    request = NDeleteRQ(message_id=msg_id, requested_sop_class_uid=class_uid, requested_sop_instance_uid=instance_uid)
    return _status(peer, _normalized(peer, request, None, class_uid, meta_uid))


def _normalized(
    peer: Peer, request: Request, dataset: Dataset | None, class_uid: str, meta_uid: str | None, *, as_scu: bool = True
) -> Program[Reply]:
    if not isinstance(dataset, Dataset | None):
        raise InvalidSettingError(f"{type(dataset).__name__} is no Dataset")
    abstract_syntax = meta_uid or _abstract_syntax_for(peer, class_uid, request.name.removesuffix("-RQ"), as_scu)
    return normalized_scu(peer, request, dataset, abstract_syntax=abstract_syntax, as_scu=as_scu)


def _abstract_syntax_for(peer: Peer, class_uid: str, service: str, as_scu: bool) -> str:
    """Return the abstract syntax of a context on which something can be asked of a SOP class; itself if there is none.

    It is the SOP class, or a meta SOP class that it is a member of (PS3.4 H.3.2). All Unified Procedure Steps are of
    the class Push, and each of the five SOP classes has some of their services (PS3.4 CC.2).
    """
    is_step = service_class_of(class_uid) is ServiceClass.UNIFIED_PROCEDURE_STEP
    accepted = dict.fromkeys(context.abstract_syntax for context in peer.connection.contexts.values())
    for uid in sorted(accepted, key=lambda uid: uid != class_uid):
        if is_step and service_class_of(uid) is ServiceClass.UNIFIED_PROCEDURE_STEP:
            fits = service in dimse_services(uid)
        else:
            fits = uid == class_uid or class_uid in meta_members(uid)
        if fits and any(peer.contexts(uid, as_scu=as_scu)):
            return uid
    return class_uid
