"""The notification events that show what passes over a connection: bytes, PDUs, primitives, messages, transitions.

May change.

An adapter makes a :class:`Notifier` for each association, lets it see what is received and sent, and calls the
handlers of what :meth:`Notifier.take` hands out wherever it can afford to run them. As long as nothing is bound to
these events, nothing is looked at.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

from attrs import define, frozen

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.messages import Message, decode_message
from dicom_proto.errors import RemoteProtocolError
from dicom_proto.handlers.event import MessageView
from dicom_proto.handlers.kinds import (
    EVT_ACSE_RECV,
    EVT_ACSE_SENT,
    EVT_DATA_RECV,
    EVT_DATA_SENT,
    EVT_DIMSE_RECV,
    EVT_DIMSE_SENT,
    EVT_FSM_TRANSITION,
    EVT_PDU_RECV,
    EVT_PDU_SENT,
    EventKind,
)
from dicom_proto.handlers.registry import Handlers
from dicom_proto.limits import DEFAULT_LIMITS
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.machine import Transition
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDV, PDataTF, PDUType, decode_pdu
from dicom_proto.upper_layer.state_table import Action, Event, State
from dicom_proto.upper_layer.tap import PDUTap, SkippedPDU

__all__ = ["Notification", "Notifier"]

_log = logging.getLogger("dicom_proto.services")
_PDU_LIMIT: Final = 1 << 20
_COMMAND_LIMIT: Final = DEFAULT_LIMITS.command_set
_CONNECTED: Final = Transition(State.Sta1, Event.Evt5, Action.AE_5, State.Sta2)

Notification: TypeAlias = tuple[EventKind, Mapping[str, Any]]
"""An event, and the attributes that it has for its handlers."""


class _Messages:
    """The messages of one direction, joined from PDVs: one after the other (PS3.8 Annex E)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._message: Message | None = None  # whose data set is passing
        self._pieces = bytearray()  # of a command, or of a data set
        self._is_long = False

    def take(self, pdv: PDV) -> MessageView | None:
        """Take a PDV; return the message that ends with it.

        Raises
        ------
        CommandSetError
            If it ends a command that cannot be decoded.
        """
        if not pdv.command and self._message is None:  # its command was not seen
            return None
        limit = _COMMAND_LIMIT if pdv.command else self._limit
        self._is_long = self._is_long or len(self._pieces) + len(pdv.data) > limit
        if not self._is_long:
            self._pieces += pdv.data
        if not pdv.last:
            return None
        message, pieces = self._finish()
        if not pdv.command:
            return MessageView(cast(Message, message), pieces)
        if pieces is None:
            return None
        message, has_data = decode_message(pieces)
        if has_data:
            self._message = message
            return None
        return MessageView(message, None)

    def skip(self) -> MessageView | None:
        """Take note that PDVs have passed unseen; return the message that they belong to, without its data set."""
        message, _ = self._finish()
        return None if message is None else MessageView(message, None)

    def _finish(self) -> tuple[Message | None, bytearray | None]:
        """Forget, and return, the message whose data set has passed, and what was collected if that is all of it."""
        finished = self._message, None if self._is_long else self._pieces
        self._message, self._pieces, self._is_long = None, bytearray(), False
        return finished


@frozen
class _Kinds:
    """The events of one direction."""

    data: EventKind
    pdu: EventKind
    acse: EventKind
    dimse: EventKind


_RECEIVED: Final = _Kinds(EVT_DATA_RECV, EVT_PDU_RECV, EVT_ACSE_RECV, EVT_DIMSE_RECV)
_SENT: Final = _Kinds(EVT_DATA_SENT, EVT_PDU_SENT, EVT_ACSE_SENT, EVT_DIMSE_SENT)


@define
class _Direction:
    """What passes in one direction, as far as somebody wants to know."""

    kinds: _Kinds
    tap: PDUTap
    messages: _Messages
    wanted: frozenset[EventKind]

    def look(self, data: Buffer) -> Iterator[Notification]:
        """Yield what there is to tell about bytes that pass."""
        for pdu in self.tap.feed(data):
            if isinstance(pdu, SkippedPDU):
                _log.info("a PDU of %d bytes is not shown to handlers: it is too long", pdu.length)
                yield from self._tell_message(self.messages.skip() if pdu.pdu_type == PDUType.P_DATA_TF else None)
                continue
            if self.kinds.data in self.wanted:
                yield self.kinds.data, {"data": pdu}
            if self.wanted - {self.kinds.data}:
                yield from self._decoded(pdu)

    def _decoded(self, data: bytes) -> Iterator[Notification]:
        try:
            pdu = decode_pdu(data[0], memoryview(data)[HEADER_LENGTH:])
            if self.kinds.pdu in self.wanted:
                yield self.kinds.pdu, {"pdu": pdu}
            if not isinstance(pdu, PDataTF):
                if self.kinds.acse in self.wanted:
                    yield self.kinds.acse, {"primitive": pdu}
            elif self.kinds.dimse in self.wanted:
                for pdv in pdu.pdvs:
                    yield from self._tell_message(self.messages.take(pdv))
        except RemoteProtocolError as error:  # the association ends of it, elsewhere
            _log.debug("! what cannot be decoded is not shown to handlers: %s", error)

    def _tell_message(self, message: MessageView | None) -> Iterator[Notification]:
        if message is not None:
            yield self.kinds.dimse, {"message": message}


class Notifier:
    """Sees what passes on one association, and says which events that makes.

    ====================== =============================================================================================
    ``EVT_FSM_TRANSITION`` ``current_state``, ``fsm_event``, ``action``, ``next_state``: the names of PS3.8 9.2
    ``EVT_DATA_*``         ``data``: the bytes of one PDU
    ``EVT_PDU_*``          ``pdu``: its record, one of :data:`~dicom_proto.upper_layer.pdu.PDU`
    ``EVT_ACSE_*``         ``primitive``: the record of the PDU that carries it, any but P-DATA-TF
    ``EVT_DIMSE_*``        ``message``: a :class:`~dicom_proto.handlers.event.MessageView`
    ====================== =============================================================================================

    PDUs that are too long are not shown, and a message of which one was part, or whose data set is too long, is shown
    without its data set. What is received is shown from the first PDU that begins after a handler was bound.

    Parameters
    ----------
    peer : Peer
        The other side; its handlers say what is of interest.
    pdu_limit : int
        Longest body of a PDU that is shown, in bytes.
    """

    def __init__(self, peer: Peer, *, pdu_limit: int = _PDU_LIMIT) -> None:
        self._connection = peer.connection
        self._handlers: Handlers = peer.handlers
        self._pdu_limit = pdu_limit
        self._data_limit = peer.data_limit
        self.pending: list[Notification] = []
        self._received: _Direction | None = None
        self._sent: _Direction | None = None
        self.update()
        if self._connection.state is State.Sta2 and self._connection.observer is not None:
            self._transition(_CONNECTED)  # nobody was there to see it, and nothing else leads to this state

    def update(self) -> None:
        """Look again at what is bound: to be called whenever a handler was bound or unbound."""
        bound = frozenset(self._handlers.kinds())
        self.wants_received = bound & _kinds_of(_RECEIVED)
        self.wants_sent = bound & _kinds_of(_SENT)
        if not self.wants_received:
            self._received = None
        if not self.wants_sent:
            self._sent = None
        self._connection.observer = self._transition if EVT_FSM_TRANSITION in bound else None

    @property
    def is_watching(self) -> bool:
        """Whether a handler is bound to what passes."""
        return bool(self.wants_received or self.wants_sent or self._connection.observer is not None)

    def received(self, data: Buffer) -> None:
        """See bytes that were received, before the connection does."""
        if not self.wants_received:
            return
        if self._received is None:
            if not self._connection.is_between_pdus:
                return
            self._received = self._direction(_RECEIVED)
        self._received.wanted = self.wants_received
        self.pending.extend(self._received.look(data))

    def sent(self, buffers: list[Buffer]) -> None:
        """See what the connection has to send: the whole PDUs that ``data_to_send`` returns."""
        if not self.wants_sent:
            return
        if self._sent is None:
            self._sent = self._direction(_SENT)
        self._sent.wanted = self.wants_sent
        for buffer in buffers:
            self.pending.extend(self._sent.look(buffer))

    def add(self, kind: EventKind, attributes: Mapping[str, Any]) -> None:
        """Add something to tell, behind all that has passed."""
        self.pending.append((kind, attributes))

    @property
    def has_pending(self) -> bool:
        """Whether there is something to tell."""
        return bool(self.pending)

    def take(self) -> list[Notification]:
        """Return what there is to tell since the last call, in the order in which it happened."""
        pending, self.pending = self.pending, []
        return pending

    def _direction(self, kinds: _Kinds) -> _Direction:
        return _Direction(kinds, PDUTap(self._pdu_limit), _Messages(self._data_limit), frozenset())

    def _transition(self, transition: Transition) -> None:
        names = {
            "current_state": transition.before.name,
            "fsm_event": transition.event.name,
            "action": transition.action.value,
            "next_state": transition.after.name,
        }
        self.pending.append((EVT_FSM_TRANSITION, names))


def _kinds_of(kinds: _Kinds) -> frozenset[EventKind]:
    return frozenset({kinds.data, kinds.pdu, kinds.acse, kinds.dimse})
