"""An operation that this side performs: its data set, its handler, its responses. What every SCP program is made of.

Stable.
"""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, frozen
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_proto.buffers import Buffer, Pieces
from dicom_proto.dimse.command_set import INSTANCE_UI, UI, ValueRepresentation
from dicom_proto.dimse.declaration import Element
from dicom_proto.dimse.events import DataChunk, DataRun, RequestReceived
from dicom_proto.dimse.messages import KEYWORDS, MESSAGES, Request, Response
from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import LimitExceededError, LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.names import is_instance_uid, is_valid_uid
from dicom_proto.programs.effects import END, Call, Program, Pull, Receive
from dicom_proto.programs.gathering import AsyncGathering, Gathering
from dicom_proto.programs.peer import Peer
from dicom_proto.sop_class import service_class_of
from dicom_proto.status import Category, code_to_category, is_known, lookup

__all__ = ["CANCELLED", "PROCESSING_FAILURE", "Answer", "Performing", "as_pair"]

_log = logging.getLogger("dicom_proto.services")

# What a handler's status that is no status becomes: codes of C-STORE that the users of pynetdicom know.
DATASET_WITHOUT_STATUS: Final = 0xC001
NOT_A_STATUS: Final = 0xC002
PROCESSING_FAILURE: Final = 0x0110  # PS3.7 C.5.21

_ELEMENTS: Final = {
    kind: {element.attribute: element for element in kind.elements}
    for kind in MESSAGES.values()
    if issubclass(kind, Response)
}
# What a response repeats of its request, and under which of these names the request has it (PS3.7 9.1, 10.1).
_NAMES: Final = {
    "affected_sop_class_uid": ("affected_sop_class_uid", "requested_sop_class_uid"),
    "affected_sop_instance_uid": ("affected_sop_instance_uid", "requested_sop_instance_uid"),
    "event_type_id": ("event_type_id",),
    "action_type_id": ("action_type_id",),
}
_REPEATED: Final = {
    request: [
        (_ELEMENTS[request.response][attribute], name)
        for attribute, names in _NAMES.items()
        for name in names
        if attribute in _ELEMENTS[request.response] and any(element.attribute == name for element in request.elements)
    ]
    for request in MESSAGES.values()
    if issubclass(request, Request)
}
_FIT: Final[Mapping[ValueRepresentation, Callable[[Any], bool]]] = {INSTANCE_UI: is_instance_uid, UI: is_valid_uid}
_SUCCESS: Final = 0x0000
_HEAD: Final = 1 << 10  # bytes
_PENDING: Final = Category.PENDING
_NOT_FOR_HANDLERS: Final = frozenset({"message_id_being_responded_to"})


@frozen
class Answer:
    """What is said to the peer: a status, and the fields that may go with it (PS3.7 Annex C)."""

    status: int
    fields: Mapping[str, Any] = MappingProxyType({})

    @property
    def category(self) -> Category:
        """The category of the status."""
        return code_to_category(self.status)


CANCELLED: Final = Answer(0xFE00)
"""The answer to an operation that has been cancelled, of C-FIND, C-GET and C-MOVE (PS3.7 9.3.2.3)."""


def as_pair(item: Any) -> tuple[Any, Any]:
    """Return the status and the data set that a handler gave: a pair, or a status alone."""
    return item if isinstance(item, tuple) and len(item) == 2 else (item, None)


class Performing:
    """One operation that the peer has asked for, and waits for.

    Parameters
    ----------
    peer : Peer
        Who asks.
    received : RequestReceived
        For what.
    """

    def __init__(self, peer: Peer, received: RequestReceived) -> None:
        self.peer = peer
        self.request: Request = received.request
        self.message_id = received.message_id
        inbox = peer.router.find((received.message_id, False))
        self.inbox = peer.router.open((received.message_id, False)) if inbox is None else inbox
        self.context = peer.connection.contexts[received.context_id]
        self.has_data = received.has_data
        self._operation = peer.connection.performed[received.message_id]
        self._receive = Receive(self.inbox)
        self._repetitions: dict[int, Mapping[str, Any]] = {}  # what a response repeats, by its status

    @property
    def is_outstanding(self) -> bool:
        """Whether the peer still waits: there has been no final response, and the association has not ended."""
        return self.peer.connection.performed.get(self.message_id) is self._operation

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer is known to have cancelled the operation; once it is, it stays so."""
        return self._operation.is_cancelled

    def close(self) -> None:
        """Drop what still comes; the second time it does nothing."""
        self.inbox.close()

    # --- what the peer sent -------------------------------------------------------------------------------------------

    def receive_data(self) -> Program[bytes | None]:
        """Receive the whole data set of the request, ``None`` if it has none.

        Raises
        ------
        LimitExceededError
            If it is longer than ``Peer.data_limit``.
        """
        return (yield from self.receive_pieces()).join() if self.has_data else None

    def receive_pieces(self) -> Program[Pieces]:
        """Receive the whole data set of a request that has one; raises as :meth:`receive_data`."""
        pieces = Pieces(self.peer.allocate)
        self.join_data()
        while True:
            chunk: DataChunk | DataRun = yield self._receive
            if type(chunk) is DataRun:
                pieces.extend(chunk.pieces)
            else:
                pieces.append(chunk.data)  # type: ignore[union-attr]
            if pieces.length > self.peer.data_limit:
                raise LimitExceededError(f"a data set of more than {self.peer.data_limit} bytes is not kept in memory")
            if chunk.last:
                return pieces

    def join_data(self) -> None:
        """Have pieces that have arrived together received together: each is a DataChunk or a DataRun from now on."""
        self.peer.connection.join_data(self.message_id)

    def receive_head(self) -> Program[DataChunk]:
        """Receive the beginning of a data set that goes elsewhere: 1 KiB or more, if there is so much, in one piece.

        Raises
        ------
        DataSetError
            If it has VRs where there should be none, or the reverse, and that is not tolerated.
        """
        chunk: DataChunk = yield self._receive
        data = chunk.data
        while len(data) < _HEAD and not chunk.last:  # how a peer cuts its data does not matter to who looks at it
            chunk = yield self._receive
            data = memoryview(b"".join((data, chunk.data)))
        self.peer.check_vr_encoding(data, self.context.transfer_syntax)
        return evolve(chunk, data=data)

    # --- what the handler says ----------------------------------------------------------------------------------------

    def event(self, kind: EventKind, data: Buffer | Pieces | None) -> RequestEvent:
        """Return the event that a handler gets."""
        event = RequestEvent(
            kind,
            self.peer.association,
            request=self.request,
            data=data,
            context=self.context,
            is_cancelled=self._get_cancelled,
            get_source=self._get_source,
            decode=self.peer.decode,
        )
        event.look_at = self.peer.check_vr_encoding
        return event

    def _get_cancelled(self) -> bool:
        """Tell a handler, which may have been at work for long, by what has arrived until now."""
        if not self.is_cancelled:
            self.peer.look()
        return self.is_cancelled

    def _get_source(self) -> str:
        return "" if self.peer.connection.is_requestor else self.peer.ae_title

    def call(self, kind: EventKind, data: Buffer | Pieces | None, *, failed: int) -> Program[Any]:
        """Call the handler that is bound to an event and return its result.

        If it raises, or none is bound, that is logged, and the result is an :class:`Answer` with the status ``failed``.
        """
        binding = self.peer.handlers.binding(kind)
        if binding is None:
            _log.error("no handler is bound to %s: a %s is answered with %04XH", kind, self.request.name, failed)
            return Answer(failed)
        try:
            return (yield Call(binding.handler, (self.event(kind, data), *binding.arguments)))
        except Exception:  # noqa: BLE001 - whatever a user's function raises costs its own operation only
            _log.exception("the handler of %s raised: the answer is %04XH", kind, failed)
            return Answer(failed)

    def call_generator(self, kind: EventKind, data: Buffer | None, *, failed: int) -> Program[Any]:
        """Call a handler that yields its results; return what :class:`~dicom_proto.programs.effects.Pull` takes.

        A handler may also return a list of results, or ``None``, which is none. What cannot be iterated is an
        :class:`Answer`, as for :meth:`call`.
        """
        result = yield from self.call(kind, data, failed=failed)
        if result is None:
            return iter(())
        if isinstance(result, Answer) or hasattr(result, "__anext__"):
            return result
        try:
            return iter(result)
        except Exception:  # noqa: BLE001 - this, too, may run what the user wrote
            _log.exception("the handler of %s returned %s: it has to yield", kind, type(result).__name__)
            return Answer(failed)

    def pull(self, kind: EventKind, iterator: Any, *, failed: int) -> Program[Any]:
        """Return the next item that a handler yields, ``END`` after the last, an :class:`Answer` if it raises.

        The end of one whose operation has been cancelled, as it may have seen, is the answer to that: FE00H.
        """
        try:
            item = yield Pull(iterator)
            return CANCELLED if item is END and self.is_cancelled else item
        except Exception:  # noqa: BLE001 - whatever a user's function raises costs its own operation only
            _log.exception("the handler of %s raised: the answer is %04XH", kind, failed)
            return Answer(failed)

    def gather(self, kind: EventKind, items: Gathering | AsyncGathering, *, failed: int) -> Program[Any]:
        """Return responses that were made of what a handler yields; if it raises, one with the status ``failed``.

        A response is an :class:`Answer` with an encoded data set or ``None``.
        """
        try:
            return (yield Pull(items))
        except Exception:  # noqa: BLE001 - whatever a user's function raises costs its own operation only
            _log.exception("the handler of %s raised: the answer is %04XH", kind, failed)
            return [(Answer(failed), None)]

    def read_status(self, value: object) -> Answer:
        """Read what a handler gave as a status: an integer, or a Dataset with (0000,0900) Status and further elements.

        Anything else costs the operation, and is logged. A status that the standard does not have for the service is
        passed on, with a warning. An :class:`Answer` is returned as it is.
        """
        if isinstance(value, Answer):
            return value
        if type(value) is int:
            known = _known_answer(value, self.context.abstract_syntax, self.request.name)
            if known is not None:
                return known
        fields: dict[str, Any] = {}
        status = value
        if isinstance(value, Dataset):
            fields = {KEYWORDS[element.keyword]: element.value for element in value if element.keyword in KEYWORDS}
            if "status" not in fields:
                _log.error("a handler returned a Dataset without (0000,0900) Status")
                return Answer(DATASET_WITHOUT_STATUS)
            status = fields.pop("status")
        if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status <= 0xFFFF:
            shown = status if isinstance(status, int) else type(status).__name__  # no values of data sets in logs
            _log.error("a handler returned %s as a status: it is a 16-bit integer, or a Dataset with one", shown)
            return Answer(NOT_A_STATUS)
        if not _is_known(status, self.context.abstract_syntax, self.request.name):
            _log.warning("status %04XH is none that the standard has for %s", status, self.request.name)
        return Answer(int(status), fields)

    def encode(self, value: object, wanted: tuple[str, ...] = ()) -> bytes | None:
        """Encode a data set that a handler gave, a Dataset or bytes that are encoded already.

        Parameters
        ----------
        value : Dataset or buffer
            The data set.
        wanted : tuple of str
            The Specific Character Set that the peer would like its text to be in.

        Returns
        -------
        bytes or None
            ``None``, with an error in the log, if that cannot be sent; a data set without elements cannot (PS3.8 E.1).
        """
        try:
            if isinstance(value, Dataset):
                encoded = encode(value, self.context.transfer_syntax, rules=self.peer.rules, wanted=wanted)
            elif isinstance(value, bytes | bytearray | memoryview):
                encoded = bytes(value)
            else:
                raise LocalProtocolError(f"it is {type(value).__name__}, not a Dataset")
            if not encoded or len(encoded) % 2:
                raise LocalProtocolError(f"it has {len(encoded)} bytes: even and not empty (PS3.8 E.1)")
        except LocalProtocolError as error:
            _log.error("a data set that a handler gave cannot be sent: %s", error)
            return None
        return encoded

    # --- what the peer gets -------------------------------------------------------------------------------------------

    def respond(
        self, answer: Answer, data: Buffer | None = None, fields: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Send a response; a final one closes the operation.

        Fields, and a data set, that do not go with the status are left out with a warning, and if what is left cannot
        be sent, the answer is 0110H: a handler's slip must not cost the peer its answer.

        Parameters
        ----------
        answer : Answer
            The status, and the fields that the handler chose.
        data : buffer, optional
            The encoded data set.
        fields : mapping
            Further fields of the response, which the handler cannot choose.

        Raises
        ------
        LocalProtocolError
            If the association has ended.
        """
        kind, status = self.request.response, answer.status
        if data is not None and not _may_have_data(kind, status):
            _log.warning("a data set does not go with status %04XH of a %s and is not sent", status, kind.name)
            data = None
        repeated = self._repetitions.get(status)
        if repeated is None:
            repeated = self._repetitions[status] = self._repeated(status)
        own = {**repeated, **fields} if fields else repeated
        if answer.fields:
            own = {**own, **self._chosen(kind, answer, own, has_data=data is not None)}
        response = kind(message_id_being_responded_to=self.message_id, status=status, **own)
        try:
            self.peer.connection.send_response(response, data=data)
        except LocalProtocolError:
            slip = _slip_in(response, has_data=data is not None)
            if slip is None:
                raise
            _log.error("a handler's answer cannot be sent (%s): the answer is %04XH", slip, PROCESSING_FAILURE)
            response = kind(
                message_id_being_responded_to=self.message_id,
                status=PROCESSING_FAILURE,
                **self._repeated(PROCESSING_FAILURE),
            )
            self.peer.connection.send_response(response)
        if response.status == _SUCCESS or code_to_category(response.status) is not _PENDING:
            self.inbox.close()

    def _repeated(self, status: int) -> dict[str, Any]:
        """Return what the response repeats of the request, as far as it goes with the status and may be sent."""
        request, repeated = self.request, {}
        kind: Any = type(request)  # which has a hash, as every class: not every message has
        for attribute, name, is_fit in _repeatable(kind, status):
            value = getattr(request, name)
            if value is not None and (is_fit is None or is_fit(value)):
                repeated[attribute] = value
        return repeated

    def _chosen(
        self, kind: type[Response], answer: Answer, own: Mapping[str, Any], *, has_data: bool
    ) -> dict[str, Any]:
        """Return the fields that the handler chose, as far as they are its to choose and can be sent."""
        elements = _ELEMENTS[kind]
        chosen = {}
        for name, value in answer.fields.items():
            element = elements.get(name)
            if value in (None, "", own.get(name)):
                continue
            if element is None or name in own or name in _NOT_FOR_HANDLERS:
                _log.warning("%s of a %s is not for a handler to set: it is not sent", name, kind.name)
                continue
            if not _allows(element, answer.status, has_data=has_data):
                _log.warning("%s does not go with status %04XH and is not sent", element, answer.status)
                continue
            field = _as_field(element, value)
            try:
                element.vr.encode(field)
            except LocalProtocolError as error:
                _log.warning("%s is not sent: %s", element, error)
                continue
            chosen[name] = field
        return chosen


def _is_known(status: int, abstract_syntax: str, request: str) -> bool:
    service_class = service_class_of(abstract_syntax)
    service = request.removesuffix("-RQ")
    if service_class is None:  # of a private SOP class: it may have defined any that is possible
        return lookup(status, None, service) is not None
    return is_known(status, service_class, service)


@lru_cache(maxsize=256)
def _known_answer(status: int, abstract_syntax: str, request: str) -> Answer | None:
    """Return a plain status that the standard has for a request, ``None`` for any other."""
    is_possible = 0 <= status <= 0xFFFF
    return Answer(status) if is_possible and _is_known(status, abstract_syntax, request) else None


def _allows(element: Element, status: int, *, has_data: bool = False) -> bool:
    return element.condition is None or element.condition.allows(True, status=status, has_data_set=has_data)


@lru_cache(maxsize=256)
def _repeatable(kind: type[Request], status: int) -> list[tuple[str, str, Callable[[Any], bool] | None]]:
    """Return what goes with a status of what a response repeats: its name there and here, and what it has to be."""
    return [
        (element.attribute, name, _FIT.get(element.vr)) for element, name in _REPEATED[kind] if _allows(element, status)
    ]


def _slip_in(response: Response, *, has_data: bool) -> LocalProtocolError | None:
    """Return what is wrong with a response in itself, ``None`` if nothing is: it cannot be sent now."""
    try:
        response.check(has_data_set=has_data)
    except LocalProtocolError as error:
        return error
    return None


def _may_have_data(kind: type[Response], status: int) -> bool:
    condition = kind.data_set_condition  # which all have that have a data set at all
    return condition is not None and condition.allows(True, status=status, has_data_set=True)


def _as_field(element: Element, value: Any) -> Any:
    """Return an element's value as a field of a message holds it: one or several tags as a tuple of integers."""
    if element.vr.name != "AT":
        return value
    return tuple(value) if isinstance(value, MultiValue | list | tuple) else (value,)
