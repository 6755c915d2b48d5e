"""What users ask of the peer: each verb once, as a program that every adapter runs.

Stable.

The names, arguments and results are those of pynetdicom's ``Association.send_...`` methods. An adapter makes its
methods of these: what is returned is the result of the program, or is awaited for it; of what has many results, an
iterator. A verb takes the :class:`~dicom_proto.programs.peer.Peer` that is asked first.

All of them raise :class:`~dicom_proto.errors.NotEstablishedError` if there is no association, and
:class:`~dicom_proto.errors.NoContextError` if it has no presentation context for what is asked. If the association ends
before the response, the status is an empty Dataset; a strict peer (that of an association in a ``with`` statement)
makes that an :class:`~dicom_proto.upper_layer.failures.AssociationFailure`. A message ID that is ``None`` is given out:
to what can be cancelled the lowest that is free, which is 1 as long as no other operation is under way.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_proto.application.results import Result, Results, forgive, forgiving, read_reply, status_of
from dicom_proto.dimse.messages import (
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Priority,
    Request,
)
from dicom_proto.errors import InvalidNameError, InvalidSettingError, NoContextError, NotEstablishedError
from dicom_proto.programs.effects import Await, Call, Program
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import PROCESSING_FAILURE
from dicom_proto.service_class import ServiceClass
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.services.query import find_scu
from dicom_proto.services.retrieve.get import get_scu
from dicom_proto.services.retrieve.move import move_scu
from dicom_proto.services.storage.pipeline import Pipeline, is_in_memory, iterate, settling
from dicom_proto.services.storage.sending import fit_object, store_object_scu
from dicom_proto.services.verification import echo_scu
from dicom_proto.sop_class import dimse_services, meta_members, service_class_of
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.state_table import State

__all__ = [
    "send_c_cancel",
    "send_c_echo",
    "send_c_find",
    "send_c_get",
    "send_c_move",
    "send_c_store",
    "send_c_stores",
    "send_n_action",
    "send_n_create",
    "send_n_delete",
    "send_n_event_report",
    "send_n_get",
    "send_n_set",
]

_log = logging.getLogger("dicom_proto.services")
_STA6: Final = State.Sta6  # looking up a member of an Enum in its class is slow before Python 3.12


def _check_established(peer: Peer) -> None:
    if peer.connection.state is not _STA6:
        raise NotEstablishedError(f"the association is not established: {peer.end()}")


def _status(peer: Peer, invoke: Callable[[], Program[Reply]]) -> Program[Dataset]:
    """Run the program of an operation that is invoked, and return the status of its response."""
    if peer.connection.state is not _STA6:
        _check_established(peer)
    try:
        reply = yield from invoke()
    except AssociationFailure as error:
        forgive(peer, error)
        return Dataset()
    return status_of(reply.response)


def _result(peer: Peer, program: Program[Reply]) -> Program[Result]:
    """Run a program that invokes an operation, and return the status and the data set of its response."""
    _check_established(peer)
    reply = yield from forgiving(peer, program, lambda: None)
    return read_reply(reply, if_damaged=PROCESSING_FAILURE, decode=peer.decode)


# --- DIMSE-C ----------------------------------------------------------------------------------------------------------


def send_c_echo(peer: Peer, msg_id: int | None = None) -> Program[Dataset]:
    """Send a C-ECHO request; return its status."""
    return _status(peer, partial(echo_scu, peer, message_id=msg_id))


def send_c_store(
    peer: Peer,
    dataset: Any,
    msg_id: int | None = None,
    priority: int = Priority.LOW,
    originator_aet: str | None = None,
    originator_id: int | None = None,
    *,
    decompress: bool = False,
) -> Program[Dataset]:
    """Send a C-STORE request; return its status.

    Parameters
    ----------
    dataset : path, Dataset, file object, iterator of bytes, bytes or tuple
        What is to be stored. The data set of a file, or of its content, goes out as it lies there, if the peer
        takes its transfer syntax. What is no plain file is read while it is sent. A tuple is a ``FileMetaDataset`` and
        the data set: bytes, a file object or an iterator.
    msg_id : int, optional
        The message ID.
    priority : int
        0 medium, 1 high, 2 low.
    originator_aet, originator_id
        Whose C-MOVE asked for it, and which (PS3.7 9.1.1.1.6).
    decompress : bool
        Whether a compressed object may be decompressed where the peer does not take it as it is: by the decoders
        that pydicom finds installed.
    """
    given, waits = dataset, not peer.is_handling()
    if isinstance(dataset, str) or hasattr(dataset, "__fspath__"):
        given = peer.read(dataset)
    return _store(peer, given, msg_id, priority, originator_aet, originator_id, decompress, waits)


def _store(
    peer: Peer,
    given: Any,
    msg_id: int | None,
    priority: int,
    originator_aet: str | None,
    originator_id: int | None,
    decompress: bool,
    waits: bool,
) -> Program[Dataset]:
    _check_established(peer)
    if not is_in_memory(given):  # it may come from far away
        given = yield Call(peer.read, (given,))
    stored = yield from fit_object(peer, given, decompress=decompress)
    if waits and not peer.connection.can_invoke:  # others have invoked something while it was converted
        yield Await(lambda: peer.connection.can_invoke or peer.router.is_full or None)
    program = partial(
        store_object_scu,
        peer,
        stored,
        message_id=msg_id,
        priority=priority,
        originator_ae_title=originator_aet,
        originator_message_id=originator_id,
    )
    return (yield from _status(peer, program))


def send_c_stores(
    peer: Peer,
    items: Any,
    priority: int = Priority.LOW,
    on_progress: Callable[[int, int], object] | None = None,
    *,
    decompress: bool = False,
) -> Program[Pipeline]:
    """Send many objects, as many at a time as the operations window allows; yield each with its status.

    Parameters
    ----------
    items : iterable or async iterable
        What ``send_c_store`` takes.
    priority : int
        0 medium, 1 high, 2 low.
    on_progress : callable, optional
        Called with the numbers of objects and of bytes that have been answered for.
    decompress : bool
        As for ``send_c_store``.

    Returns
    -------
    iterator of Sent
        The item and the status Dataset, in the order of the responses, and as ``position`` which item it was. Where no
        response came, or the item could not be sent, the status is an empty
        :class:`~dicom_proto.services.storage.pipeline.NotStored`, whose ``failure`` says why. An item is asked for
        while the answer to the one before is awaited, and leaves before you are told of that answer.
    """
    yield from ()
    items = iterate(items)
    read = settling(items, peer.read)
    return Pipeline(peer, items, read, status_of, priority=priority, on_progress=on_progress, decompress=decompress)


def send_c_find(
    peer: Peer, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = Priority.LOW
) -> Program[Results]:
    """Send a C-FIND request; yield status and identifier of each response.

    A query for Unified Procedure Step Push goes by a context of one of its SOP classes that has C-FIND (PS3.4 CC.2).
    """

    def find(message_id: int) -> Invoking:
        model = _abstract_syntax_for(peer, query_model, "C-FIND", as_scu=True)
        return find_scu(peer, dataset, model, message_id=message_id, priority=priority)

    return _many(peer, msg_id, find)


def send_c_get(
    peer: Peer, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = Priority.LOW
) -> Program[Results]:
    """Send a C-GET request; yield status and identifier of each response. The objects come to ``EVT_C_STORE``."""
    return _many(peer, msg_id, lambda number: get_scu(peer, dataset, query_model, message_id=number, priority=priority))


def send_c_move(
    peer: Peer,
    dataset: Dataset,
    move_aet: str,
    query_model: str,
    msg_id: int | None = None,
    priority: int = Priority.LOW,
) -> Program[Results]:
    """Send a C-MOVE request; yield status and identifier of each response."""
    return _many(
        peer,
        msg_id,
        lambda number: move_scu(peer, dataset, move_aet, query_model, message_id=number, priority=priority),
    )


def _many(peer: Peer, message_id: int | None, invoke: Callable[[int], Invoking]) -> Program[Results]:
    """Begin an operation that can be cancelled: without an ID it has the lowest free one, so that users know it."""
    _check_established(peer)
    yield from ()
    return Results(invoke(peer.lowest_free_id() if message_id is None else message_id))


def send_c_cancel(
    peer: Peer, msg_id: int, context_id: int | None = None, query_model: str | None = None
) -> Program[None]:
    """Ask for the end of a C-FIND, C-GET or C-MOVE (C-CANCEL); its final response still comes.

    Parameters
    ----------
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
    yield from ()
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


def send_n_event_report(
    peer: Peer,
    dataset: Dataset | None,
    event_type: int,
    class_uid: str,
    instance_uid: str,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-EVENT-REPORT request, as the SCP of a service; return status and event reply.

    It goes by a context on which this side is the SCP (PS3.7 D.3.3.4), or where there is none by any other: SCPs that
    request an association in order to report often forget to propose that role, and who gets reports takes them.
    """
    request = NEventReportRQ(
        message_id=msg_id,
        affected_sop_class_uid=class_uid,
        affected_sop_instance_uid=instance_uid,
        event_type_id=event_type,
    )
    return _result(peer, _normalized(peer, request, dataset, class_uid, meta_uid, as_scu=False))


def send_n_get(
    peer: Peer,
    identifier_list: Iterable[Any] | None,
    class_uid: str,
    instance_uid: str,
    msg_id: int | None = None,
    meta_uid: str | None = None,
) -> Program[Result]:
    """Send an N-GET request for some attributes, or for all (no list, or an empty one); return status and attributes.

    An attribute is anything that pydicom takes for a tag; ``InvalidNameError`` is raised for anything else.
    """
    try:
        tags = tuple(int(Tag(tag)) for tag in identifier_list or ())
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidNameError(f"{identifier_list!r} are no tags: {error}") from error
    request = NGetRQ(
        message_id=msg_id,
        requested_sop_class_uid=class_uid,
        requested_sop_instance_uid=instance_uid,
        attribute_identifier_list=tags or None,
    )
    return _result(peer, _normalized(peer, request, None, class_uid, meta_uid))


def send_n_set(
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


def send_n_action(
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


def send_n_create(
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


def send_n_delete(
    peer: Peer, class_uid: str, instance_uid: str, msg_id: int | None = None, meta_uid: str | None = None
) -> Program[Dataset]:
    """Send an N-DELETE request; return its status."""
    request = NDeleteRQ(message_id=msg_id, requested_sop_class_uid=class_uid, requested_sop_instance_uid=instance_uid)
    return _status(peer, partial(_normalized, peer, request, None, class_uid, meta_uid))


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
    fitting = []
    for uid in sorted(accepted, key=lambda uid: uid != class_uid):
        if is_step and service_class_of(uid) is ServiceClass.UNIFIED_PROCEDURE_STEP:
            fits = service in dimse_services(uid)
        else:
            fits = uid == class_uid or class_uid in meta_members(uid)
        if fits and any(peer.contexts(uid, as_scu=as_scu)):
            return uid
        if fits:
            fitting.append(uid)
    return class_uid if as_scu or not fitting else fitting[0]
