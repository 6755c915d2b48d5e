"""Retrieval to a third application entity (PS3.4 C.4.2 and others; PS3.7 9.1.4): C-MOVE.

May change.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from attrs import frozen
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_proto.dimse.messages import CMoveRQ, Priority
from dicom_proto.errors import DicomProtoError, InvalidNameError, LocalProtocolError, NoContextError
from dicom_proto.handlers.kinds import EVT_C_MOVE
from dicom_proto.names import check_ae_title
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.programs.effects import END, Await, Dial, HangUp, Pause, Program, Run
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Entity, Peer
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.service_class import ServiceClass
from dicom_proto.services.retrieve.suboperations import (
    Handover,
    Sender,
    Statuses,
    perform_sub_operations,
    priority_of,
)
from dicom_proto.services.storage.batch import check_beside
from dicom_proto.services.storage.sending import fit_object, needed_contexts, store_object_scu
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.upper_layer.failures import AssociationFailure, AssociationRejected
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.state_table import State

__all__ = ["move_scp", "move_scu"]

_log = logging.getLogger("dicom_proto.services")

_STATUSES: Final = Statuses(raised=0xC511, no_count=0xC513, too_many=0xC516)
_NO_DESTINATION: Final = Answer(0xC514)
_BAD_DESTINATION: Final = Answer(0xC515)
_UNKNOWN_DESTINATION: Final = Answer(0xA801)
_MOST_CONTEXTS: Final = 128  # PS3.8 9.3.2.2
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)  # seconds before a destination that is busy is asked again
_STORED: Final = (ServiceClass.STORAGE, ServiceClass.NON_PATIENT_OBJECT_STORAGE)
_UNLIKELY: Final = (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)

Context: TypeAlias = tuple[str, tuple[str, ...]]


def move_scu(
    peer: Peer,
    identifier: Dataset,
    move_destination: str,
    query_model: str,
    *,
    message_id: int | None = None,
    priority: int = Priority.LOW,
) -> Invoking:
    """Ask the peer to send objects to an application entity; the replies are asked for with ``next_reply``.

    Raises
    ------
    LocalProtocolError
        If no presentation context for the query model was accepted, the destination is no AE title, or the identifier
        cannot be encoded.
    """
    context, encoded = peer.encode(identifier, query_model)
    request = CMoveRQ(
        message_id=message_id,
        affected_sop_class_uid=query_model,
        move_destination=move_destination,
        priority=priority,
    )
    return Invoking(peer, request, context, encoded)


def move_scp(performing: Performing) -> Program[None]:
    """Send what the handler of ``EVT_C_MOVE`` yields to the move destination.

    It first yields where that is: ``(host, port)``, or ``(host, port, options)`` with what pynetdicom's
    ``AE.associate`` takes, or ``(None, None)`` if it does not know; then as for :func:`perform_sub_operations`. The
    destination is dialled when the first object is there. Unless the options say which contexts to propose, they are
    those that it needs and, so that there is one association for all objects where that can be, those of the storage
    SOP classes that the entity requests itself.
    """
    data = yield from performing.receive_data()
    items = yield from performing.call_generator(EVT_C_MOVE, data, failed=_STATUSES.raised)
    where = items
    if not isinstance(items, Answer):
        where = yield from performing.pull(EVT_C_MOVE, items, failed=_NO_DESTINATION.status)
    destination = _read_destination(performing, where)
    if isinstance(destination, Answer):
        performing.respond(destination)
        return
    fleet = _Fleet(performing, destination)
    try:
        yield from perform_sub_operations(performing, EVT_C_MOVE, items, fleet.fit, fleet.senders(), _STATUSES)
    except _UnreachableError as error:
        _log.error("move destination %s cannot be reached: %s", destination.address, error)
        performing.respond(error.answer)


class _UnreachableError(Exception):
    """The first attempt to reach the move destination has failed."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        is_network = isinstance(cause, AssociationFailure | OSError)
        self.answer = _UNKNOWN_DESTINATION if is_network else _BAD_DESTINATION


@frozen(kw_only=True)
class _Destination:
    """Where objects are to be sent."""

    address: tuple[str, int]
    entity: Entity
    ae_title: str
    contexts: list[PresentationContext] | None  # None: what the objects need
    maximum_length: int | None
    items: list[Any]
    associations: int
    options: Mapping[str, Any]

    def offer(self, contexts: list[PresentationContext]) -> AAssociateRQ:
        return self.entity.offer(self.ae_title, contexts, maximum_length=self.maximum_length, items=self.items)


def _read_destination(performing: Performing, where: Any) -> _Destination | Answer:
    """Read what a handler yielded first; if it is no destination, return the final answer."""
    if isinstance(where, Answer):
        return where
    if where is END:
        _log.error("the handler of %s has to yield the move destination first", EVT_C_MOVE)
        return _NO_DESTINATION
    match where:
        case (None, _) | (None, _, _):
            return _UNKNOWN_DESTINATION
        case (str(host), int(port)):
            options: dict[str, Any] = {}
        case (str(host), int(port), Mapping() as given):
            options = dict(given)
        case _:
            _log.error("the handler of %s has to yield (host, port), with options or without", EVT_C_MOVE)
            return _BAD_DESTINATION
    if performing.peer.entity is None:
        _log.error("no association can be requested from here: the peer was made without an entity")
        return _BAD_DESTINATION
    try:
        destination = _Destination(
            address=(host, port),
            entity=performing.peer.entity,
            ae_title=options.pop("ae_title", None) or getattr(performing.request, "move_destination", ""),
            contexts=options.pop("contexts", None),
            maximum_length=options.pop("max_pdu", None),
            items=list(options.pop("ext_neg", None) or ()),
            associations=check_beside(options.pop("associations", 1)),
            options=options,
        )
        if destination.contexts is not None:
            destination.offer(destination.contexts)
    except Exception:  # noqa: BLE001 - whatever is wrong with what a user's function gave costs its own operation only
        _log.exception("the options for the move destination cannot be used")
        return _BAD_DESTINATION
    return destination


class _Fleet:
    """The associations with the move destination: what is known of it by all of them."""

    def __init__(self, performing: Performing, destination: _Destination) -> None:
        self.destination = destination
        self.known = _known_contexts(destination.entity.requested_contexts)
        self.refused: set[Context] = set()
        self.was_reached = False
        self.is_lost = False
        self.peer: Peer | None = None  # of the association that was established last
        self.proposed: dict[Context, None] = {}  # for that one
        self.store = partial(
            store_object_scu,
            priority=priority_of(performing.request),
            originator_ae_title=_valid_ae_title(performing.peer.ae_title),
            originator_message_id=performing.message_id,
        )

    def senders(self) -> Iterator[Sender]:
        """Return those who send: the first requests its association when it needs one, the others after that."""
        yield lambda handover: _Line(self).serve(handover)
        for _ in range(1, self.destination.associations):
            yield lambda handover: _Line(self).join(handover)

    def dialling(self, proposed: dict[Context, None]) -> Dial:
        """Return what requests an association with some contexts."""
        destination = self.destination
        contexts = destination.contexts
        if contexts is None:
            contexts = [PresentationContext(uid, transfer_syntaxes) for uid, transfer_syntaxes in proposed]
        return Dial(destination.address, destination.offer(contexts), destination.options)

    def fit(self, stored: StoredObject) -> Program[StoredObject]:
        """Encode an object for what the destination has accepted, as far as that is known."""
        if self.peer is None:
            return stored
        try:
            return (yield from fit_object(self.peer, stored))
        except NoContextError:  # it takes another association
            return stored


class _Line:
    """One association with the move destination.

    It is dialled when it is needed, and again if an object needs a context that has not been proposed, or if it was
    lost; but no more once an attempt has failed.
    """

    def __init__(self, fleet: _Fleet) -> None:
        self._fleet = fleet
        self._peer: Peer | None = None
        self._proposed: dict[Context, None] = {}

    def serve(self, handover: Handover) -> Program[None]:
        """Send what is handed over."""
        yield from handover.send(self._store)
        yield from self._hang_up()

    def join(self, handover: Handover) -> Program[None]:
        """Do so beside others; if the destination establishes no more associations, do nothing."""
        handover.unestablished += 1
        yield Await(lambda: self._fleet.peer is not None or None)
        proposed = self._fleet.proposed
        try:
            peer = yield from _request(self._fleet.dialling(proposed))
        except (DicomProtoError, OSError) as error:
            _log.info("the move destination has no more associations: %s", error)
            handover.unestablished -= 1
            return
        self._take(peer, proposed)
        handover.unestablished -= 1
        yield from self.serve(handover)

    def _store(self, stored: StoredObject) -> Program[Reply]:
        """Store an object at the destination."""
        fleet = self._fleet
        needed = {} if fleet.destination.contexts is not None else dict.fromkeys(needed_contexts(stored))
        peer = self._peer
        if peer is not None and peer.connection.state is not State.Sta6:  # it was lost between two objects
            yield from self._hang_up()
            peer = None
        if peer is None or not (needed.keys() <= self._proposed.keys() or _takes(peer, needed)):
            peer = yield from self._dial(needed)
        try:
            reply: Reply = yield Run(fleet.store(peer, stored), peer)
        except AssociationFailure:
            yield from self._hang_up()
            raise
        return reply

    def _hang_up(self) -> Program[None]:
        """End the association, if there is one."""
        if self._peer is not None:
            peer, self._peer = self._peer, None
            yield HangUp(peer)

    def _dial(self, needed: dict[Context, None]) -> Program[Peer]:
        fleet = self._fleet
        if fleet.is_lost:
            raise LocalProtocolError("the move destination cannot be reached any more")
        if needed and needed.keys() <= fleet.refused:
            raise NoContextError("the move destination has accepted no presentation context for it")
        proposed = self._proposed | needed
        if len(proposed) > _MOST_CONTEXTS:
            proposed = needed
        if fleet.destination.contexts is None:
            known = [context for context in fleet.known if context not in proposed]
            proposed = proposed | dict.fromkeys(known[: _MOST_CONTEXTS - len(proposed)])
        dial = fleet.dialling(proposed)
        yield from self._hang_up()
        try:
            peer = yield from _request(dial)
        except NoContextError:  # it is there, and takes nothing of the kind
            fleet.was_reached = True
            fleet.refused |= set(proposed)
            raise
        except Exception as error:  # options that the driver cannot use among them
            if not fleet.was_reached:
                raise _UnreachableError(error) from error
            fleet.is_lost = True
            raise LocalProtocolError(f"the move destination cannot be reached any more: {error}") from error
        self._take(peer, proposed)
        return peer

    def _take(self, peer: Peer, proposed: dict[Context, None]) -> None:
        self._peer = self._fleet.peer = peer
        self._proposed = self._fleet.proposed = proposed
        self._fleet.was_reached = True


def _request(dial: Dial) -> Program[Peer]:
    """Request an association; who is too busy now is asked again (PS3.8 9.3.4)."""
    for seconds in _PAUSES:
        try:
            peer: Peer = yield dial
        except AssociationRejected as error:
            if not error.is_busy:
                raise
            yield Pause(seconds)
        else:
            return peer
    peer = yield dial
    return peer


def _known_contexts(requested: Sequence[PresentationContext]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the contexts for objects that may come, from what an entity requests, the most likely first.

    There is one for each transfer syntax, so that objects can go as they are; for uncompressed ones, one for both if
    there are too many.
    """
    plain: dict[tuple[str, str], None] = {}
    compressed: dict[tuple[str, str], None] = {}
    for context in requested:
        if context.abstract_syntax.service_class in _STORED:
            for uid in context.transfer_syntax:
                if uid in _UNCOMPRESSED:
                    plain[context.abstract_syntax, uid] = None
                elif uid not in _UNLIKELY:
                    compressed[context.abstract_syntax, uid] = None
    single: list[tuple[str, tuple[str, ...]]]
    if len(plain) < _MOST_CONTEXTS:
        single = [(sop_class, (uid,)) for sop_class, uid in plain]
    else:
        single = [
            (sop_class, tuple(uid for uid in _UNCOMPRESSED if (sop_class, uid) in plain))
            for sop_class in dict.fromkeys(sop_class for sop_class, _ in plain)
        ]
    return [*single, *((sop_class, (uid,)) for sop_class, uid in compressed)]


def _takes(peer: Peer, needed: Mapping[tuple[str, tuple[str, ...]], None]) -> bool:
    """Tell whether a context was accepted that an object can go on."""
    return any(
        context.transfer_syntax in transfer_syntaxes
        for sop_class, transfer_syntaxes in needed
        for context in peer.contexts(sop_class)
    )


def _valid_ae_title(title: str) -> str | None:
    """Return an AE title of a peer if it may be sent."""
    try:
        return check_ae_title(title)
    except InvalidNameError:
        return None
