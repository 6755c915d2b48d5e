"""What the state table sets in motion: the 28 actions of PS3.8 9.2.2, and the reading of PDUs that calls for them.

May change.

:class:`Machine` is the inside of :class:`~dicom_proto.upper_layer.association.Association`, which adds the face.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast
from weakref import WeakMethod

from attrs import frozen

from dicom_proto.errors import AbortReason, PDUError, RemoteProtocolError
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    Released,
    ReleaseRequested,
    Tolerated,
    UpperLayerEvent,
)
from dicom_proto.upper_layer.inbound import Inbound
from dicom_proto.upper_layer.negotiation import AcceptedContext, Agreement, agree
from dicom_proto.upper_layer.outbound import Outbound
from dicom_proto.upper_layer.pdu import (
    HEADER_LENGTH,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDUType,
    decode_pdu,
    encode_pdu,
)
from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State
from dicom_proto.upper_layer.timers import Timeouts, Timer, Timers

__all__ = ["RECEIVED", "REFUSALS", "Machine", "Transition"]

_log = logging.getLogger("dicom_proto.upper_layer")

RECEIVED: Final[dict[int, Event]] = {
    PDUType.A_ASSOCIATE_RQ: Event.Evt6,
    PDUType.A_ASSOCIATE_AC: Event.Evt3,
    PDUType.A_ASSOCIATE_RJ: Event.Evt4,
    PDUType.P_DATA_TF: Event.Evt10,
    PDUType.A_RELEASE_RQ: Event.Evt12,
    PDUType.A_RELEASE_RP: Event.Evt13,
    PDUType.A_ABORT: Event.Evt16,
}
"""The event of Table 9-10 that a PDU is which has arrived."""
_TYPES: Final = {int(pdu_type): pdu_type for pdu_type in PDUType}
_ASSOCIATE: Final = frozenset({PDUType.A_ASSOCIATE_RQ, PDUType.A_ASSOCIATE_AC})
REFUSALS: Final = frozenset({Action.AA_1, Action.AA_7, Action.AA_8})
"""The actions for a PDU that should not have come."""
_EARLY: Final = frozenset({Event.Evt10, Event.Evt12})  # legal as soon as the association is accepted
_MOST_FAULTS: Final = 8  # of an answer that are put into words
_TAKES_DATA: Final = frozenset(s for s in State if TABLE.get((Event.Evt10, s)) in {Action.DT_2, Action.AR_6})
# The peer has asked for release, and should have nothing more to say (PS3.8 7.2.2.1).
_IS_PARTED: Final = frozenset({State.Sta8, State.Sta9, State.Sta10, State.Sta11, State.Sta12})
# Looking up a member of an Enum in its class is slow before Python 3.12, and these are asked for all the time.
_STA1: Final = State.Sta1
_P_DATA_TF: Final = PDUType.P_DATA_TF
_NO_CONTEXTS: Final[Mapping[int, AcceptedContext]] = MappingProxyType({})
_VERSION_NOT_SUPPORTED: Final = AAssociateRJ(1, 2, 2)
_RELEASE_RQ: Final = encode_pdu(AReleaseRQ())
_RELEASE_RP: Final = encode_pdu(AReleaseRP())


@frozen
class Transition:
    """One step of the state machine: a cell of Table 9-10, and the state that its action has led to."""

    before: State
    event: Event
    action: Action
    after: State


class Machine:
    """State, queues and timers of one connection, and the actions that change them."""

    def __init__(self, limits: Limits, tolerance: Tolerance, timeouts: Timeouts) -> None:
        self._limits = limits
        self._tolerance = tolerance
        self._state = State.Sta1
        self._started = False
        self._is_requestor = False
        self._eof = False
        self._unread = False  # there may be something to read that has not been looked at
        self._unread_since: float | None = None
        self._now = 0.0  # the time that was told last
        self._is_logged = _log.isEnabledFor(logging.DEBUG)  # looked at when the state changes
        self._reads_straight = False  # data can be received, and nobody looks on: no observer, no log
        self._deaf = False  # the stream has lost its frame: whatever still comes is dropped
        self._body_type = PDUType.A_ABORT  # of the PDU whose body is being collected
        self._events: deque[UpperLayerEvent] = deque()
        self._inbound = Inbound()
        # A queue that is shorter than a PDU would wait for ever for the rest of it: see Outbound.hand_out.
        self._outbound = Outbound(max(limits.send_queue, limits.send_pdu_length))
        self._timers = Timers(timeouts)
        self._offer: AAssociateRQ | None = None
        self._encoded_offer = b""
        self._agreement: Agreement | None = None
        self._contexts = _NO_CONTEXTS
        self._observer: Callable[[Transition], None] | None = None
        self._receive_length = 0  # the maximum length that this side has stated; 0 = none
        self.tolerated: dict[str, int] = {}
        self.on_tolerated: Callable[[Tolerated], object] | None = None

    @property
    def observer(self) -> Callable[[Transition], None] | None:
        """Who is told of every transition, in the midst of it: it may take notes, but neither raise nor call this."""
        return self._observer

    @observer.setter
    def observer(self, observer: Callable[[Transition], None] | None) -> None:
        self._observer = observer
        # A weak reference, because whatever refers to itself stays until the garbage collector comes by.
        self._outbound.on_data = None if observer is None else WeakMethod(self._note_data)
        self._look_around()

    def _note_data(self) -> None:
        """Let it be seen that data has been queued (Evt9): DT-1 and AR-7 change nothing here."""
        self._fire(Event.Evt9)

    def _look_around(self) -> None:
        """Note who looks on. Whoever asks for the log when the state has changed for the last time does without."""
        self._is_logged = _log.isEnabledFor(logging.DEBUG)
        self._reads_straight = self._state in _TAKES_DATA and self._observer is None and not self._is_logged

    def note_tolerated(self, kind: str, detail: str) -> None:
        """Count something that was accepted although it breaks the letter of the standard, and tell who listens.

        ``kind`` is the field of :class:`~dicom_proto.limits.Tolerance` that allows it, ``detail`` what it was in words.
        """
        self.tolerated[kind] = self.tolerated.get(kind, 0) + 1
        if self.on_tolerated is not None:
            self.on_tolerated(Tolerated(kind, detail))

    # --- reading ------------------------------------------------------------------------------------------------------

    def _advance(self) -> bool:
        """Take one step through what was received; return whether there was one to take."""
        try:
            if self._read():
                return True
        except PDUError as error:
            self._lose_frame()
            self._fire(Event.Evt19, error)
            return True
        if self._eof and self._state is not State.Sta1:
            self._fire(Event.Evt17)
            return True
        return False

    def _read(self) -> bool:
        inbound = self._inbound
        if inbound.data_left:
            if self._state in _TAKES_DATA:
                return self._take_fragment()
            inbound.skip_rest()
        if inbound.skip_left and inbound.is_skipping():
            return False
        if inbound.in_body:
            body = inbound.body()
            if body is None:
                return False
            self._fire(RECEIVED[self._body_type], decode_pdu(self._body_type, body, tolerance=self._tolerance))
            return True
        header = inbound.header()
        if header is None:
            return False
        pdu_type, length = header
        if pdu_type == _P_DATA_TF and self._state in _TAKES_DATA:
            return self._enter_data(length)
        return self._judge(pdu_type, length)

    def _enter_data(self, length: int) -> bool:
        """Enter a P-DATA-TF (Evt10), and go straight on to what it carries.

        Raises
        ------
        PDUError
            If its length cannot be right.
        """
        if self._is_logged:
            _log.debug("< P_DATA_TF, %d bytes", HEADER_LENGTH + length)
        self._check_data_length(length)
        self._inbound.enter_data(length)
        if self._observer is not None:  # DT-2 and AR-6 change nothing here
            self._fire(Event.Evt10)
        self._take_fragment()
        return True

    def _take_fragment(self) -> bool:
        """Take what there is of a fragment; return whether it is worth while to go on reading."""
        fragment = self._inbound.fragment(self._contexts)
        if fragment is None:
            return not self._inbound.data_left
        if fragment.last or fragment.data:
            self._events.append(fragment)
        return True

    def _judge(self, pdu_type: int, length: int) -> bool:
        """Decide by the six header bytes what becomes of a PDU; return False if it has to wait.

        Raises
        ------
        PDUError
            If the type is unknown, or the length cannot be right.
        """
        event = RECEIVED.get(pdu_type)
        if event is None:
            raise PDUError(f"PDU type {pdu_type:02X}H", abort_reason=AbortReason.UNRECOGNIZED_PDU)
        if self._state is State.Sta3 and self._tolerance.early_pdus and event in _EARLY:
            return False
        if self._is_logged:
            _log.debug("< %s, %d bytes", _TYPES[pdu_type].name, HEADER_LENGTH + length)
        action = TABLE[event, self._state]
        if pdu_type == _P_DATA_TF and self._state in _IS_PARTED and self._tolerance.late_data:
            self._check_data_length(length)
            self._inbound.skip(length)
            self.note_tolerated("late_data", f"P-DATA-TF behind an A-RELEASE-RQ, in {self._state.name}")
        elif action in REFUSALS:
            self._inbound.skip(length)
            name = _TYPES[pdu_type].name
            error = PDUError(f"{name} received in {self._state.name}", abort_reason=AbortReason.UNEXPECTED_PDU)
            self._fire(event, error)
        elif action is Action.AA_6:
            self._inbound.skip(length)
            self._fire(event)
        else:
            self._body_type = _TYPES[pdu_type]
            self._check_length(self._body_type, length)
            self._inbound.read_body(length)
        return True

    def _check_data_length(self, length: int) -> None:
        if self._receive_length and length > self._receive_length:
            raise PDUError(f"P-DATA-TF of {length} bytes, the maximum length stated is {self._receive_length}")

    def _check_length(self, pdu_type: PDUType, length: int) -> None:
        if pdu_type in _ASSOCIATE:
            longest = self._limits.associate_length
        else:
            longest = self._limits.fixed_length if self._tolerance.long_fixed_pdus else 4
            if length < 4:
                raise PDUError(f"{pdu_type.name} of {length} bytes, at least 4 are needed")
        if length > longest:
            raise PDUError(f"{pdu_type.name} of {length} bytes, at most {longest} are taken")
        if length > 4 and pdu_type not in _ASSOCIATE:
            self.note_tolerated("long_fixed_pdus", f"{pdu_type.name} of {length} bytes")

    def _lose_frame(self) -> None:
        """Drop what was received and what is yet to come: nobody can tell any more where a PDU begins."""
        self._deaf = True
        self._inbound.clear()

    # --- the table ----------------------------------------------------------------------------------------------------

    def _fire(self, event: Event, cause: Any = None) -> None:
        """Perform the action of Table 9-10 for an event; ``cause`` is what the action works on."""
        before = self._state
        action, perform, after = _STEPS[event, before]
        self._started = True
        self._state = after if perform is None else perform(self, cause) or after
        if before is not self._state:
            self._look_around()
            if self._eof or self._inbound.block or self._inbound.in_body:  # what had to wait may be read now
                self._note_unread()
            if self._is_logged:
                _log.debug("= %s %s %s %s", before.name, event.name, action.value, self._state.name)
        if self._observer is not None:
            self._observer(Transition(before, event, action, self._state))
        if self._state is _STA1:
            self._timers.stop_all()
            self._outbound.clear()
            self._inbound.clear()
            self._unread = False

    def _note_unread(self) -> None:
        """Note that there may be something to read, and since when."""
        self._unread = True
        if self._unread_since is None:
            self._unread_since = self._now

    # Table 9-6: association establishment

    def _ae_1(self, request: tuple[AAssociateRQ, bytes]) -> None:
        self._is_requestor = True
        self._offer, self._encoded_offer = request

    def _ae_2(self, now: float) -> None:
        self._put(self._encoded_offer, Timer.REQUEST)

    def _ae_3(self, answer: AAssociateAC) -> None:
        self._timers.stop(Timer.REQUEST)
        agreement = agree(cast(AAssociateRQ, self._offer), answer)
        if agreement.faults:
            faults = "; ".join(agreement.faults[:_MOST_FAULTS])
            if not self._tolerance.faulty_answers:
                raise PDUError(f"A-ASSOCIATE-AC: {faults}", abort_reason=AbortReason.UNEXPECTED_PDU_PARAMETER)
            self.note_tolerated("faulty_answers", f"A-ASSOCIATE-AC: {faults}")
        self._note_tolerated_in(answer)
        self._establish(agreement)
        self._events.append(AssociateAccepted(answer=answer, agreement=agreement))

    def _note_tolerated_in(self, pdu: AAssociateRQ | AAssociateAC) -> None:
        for kind, detail in pdu.tolerated:
            self.note_tolerated(kind, detail)

    def _ae_4(self, rejection: AAssociateRJ) -> None:
        self._events.append(
            AssociateRejected(result=rejection.result, source=rejection.source, reason=rejection.reason)
        )

    def _ae_5(self, now: float) -> None:
        self._timers.start(Timer.ARTIM, now)

    def _ae_6(self, offer: AAssociateRQ) -> State:
        self._timers.stop(Timer.ARTIM)
        self._offer = offer
        self._note_tolerated_in(offer)
        if not offer.protocol_version & 1:  # the only bit that a receiver of version 1 tests (PS3.8 9.3.2)
            self._put(encode_pdu(_VERSION_NOT_SUPPORTED), Timer.ARTIM)
            self._ae_4(_VERSION_NOT_SUPPORTED)
            return State.Sta13
        self._events.append(AssociateRequested(offer=offer))
        return State.Sta3

    def _ae_7(self, response: tuple[Agreement, bytes]) -> None:
        agreement, encoded = response
        self._establish(agreement)
        self._put(encoded)
        if self._inbound.available:
            self.note_tolerated("early_pdus", "data in front of the answer to the A-ASSOCIATE-RQ")

    def _ae_8(self, encoded: bytes) -> None:
        self._put(encoded, Timer.ARTIM)

    def _establish(self, agreement: Agreement) -> None:
        """Take over what was negotiated; both sides read the same agreement (PS3.8 7.1)."""
        self._agreement = agreement
        self._contexts = agreement.contexts
        if self._is_requestor:
            own, peers = agreement.requestor_maximum_length, agreement.acceptor_maximum_length
        else:
            own, peers = agreement.acceptor_maximum_length, agreement.requestor_maximum_length
        self._receive_length = own
        self._outbound.set_maximum_length(min(peers or self._limits.send_pdu_length, self._limits.send_pdu_length))

    # Table 9-8: release

    def _ar_1(self, cause: None) -> None:
        self._put(_RELEASE_RQ, Timer.RELEASE)

    def _ar_2(self, peer: AReleaseRQ) -> None:
        self._events.append(ReleaseRequested())

    def _ar_3(self, peer: AReleaseRP) -> None:
        self._events.append(Released())

    def _ar_4(self, cause: None) -> None:
        self._put(_RELEASE_RP, Timer.ARTIM)

    def _ar_8(self, peer: AReleaseRQ) -> State:
        self._ar_2(peer)
        return State.Sta9 if self._is_requestor else State.Sta10

    def _ar_9(self, cause: None) -> None:
        self._put(_RELEASE_RP)

    def _ar_10(self, peer: AReleaseRP) -> None:
        self._timers.stop(Timer.RELEASE)
        self._events.append(Released())

    # Table 9-9: abort

    def _aa_1(self, cause: AAbort | RemoteProtocolError) -> None:
        if isinstance(cause, RemoteProtocolError):
            # Sta2: there is no association yet, and still the user is told why there will be none.
            self._events.append(Aborted(origin=AbortOrigin.LOCAL_PROVIDER, error=_bare(cause)))
            cause = AAbort(0)
        self._send_abort(cause)

    def _aa_3(self, peer: AAbort) -> None:
        if peer.source == 0:
            self._events.append(Aborted(origin=AbortOrigin.PEER_USER))
        else:
            self._events.append(Aborted(origin=AbortOrigin.PEER_PROVIDER, reason=peer.reason))

    def _aa_4(self, cause: None) -> None:
        self._events.append(Aborted(origin=AbortOrigin.TRANSPORT))

    def _aa_7(self, cause: object) -> None:
        abort = encode_pdu(AAbort(2, AbortReason.UNEXPECTED_PDU))
        if not self._outbound.ends_with(abort):  # however many PDUs come, no more of these wait than one
            self._put(abort)

    def _aa_8(self, error: RemoteProtocolError) -> None:
        self._events.append(Aborted(origin=AbortOrigin.LOCAL_PROVIDER, reason=error.abort_reason, error=_bare(error)))
        self._send_abort(AAbort(2, error.abort_reason))

    def _send_abort(self, abort: AAbort) -> None:
        """Queue an A-ABORT; nothing that waits is sent before it, and ARTIM alone runs from when it leaves."""
        encoded = encode_pdu(abort)
        self._timers.stop_all()
        self._outbound.clear()
        self._put(encoded, Timer.ARTIM)

    def _put(self, encoded: bytes, starts: Timer | None = None) -> None:
        if self._is_logged:
            _log.debug("> %s, %d bytes", PDUType(encoded[0]).name, len(encoded))
        self._outbound.put_control(encoded, starts)


def _bare(error: RemoteProtocolError) -> RemoteProtocolError:
    """Return an error without where it came from: the frames there hold this machine and what it has received."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


# Where there is nothing, all that an action does is to change the state.
_PERFORM: Final[dict[Action, Callable[[Machine, Any], State | None] | None]] = {
    Action.AE_1: Machine._ae_1,
    Action.AE_2: Machine._ae_2,
    Action.AE_3: Machine._ae_3,
    Action.AE_4: Machine._ae_4,
    Action.AE_5: Machine._ae_5,
    Action.AE_6: Machine._ae_6,
    Action.AE_7: Machine._ae_7,
    Action.AE_8: Machine._ae_8,
    # The data goes straight from the reader to the events, and from the user to the queue.
    Action.DT_1: None,
    Action.DT_2: None,
    Action.AR_1: Machine._ar_1,
    Action.AR_2: Machine._ar_2,
    Action.AR_3: Machine._ar_3,
    Action.AR_4: Machine._ar_4,
    Action.AR_5: None,  # going to Sta1 stops all timers and asks for the close
    Action.AR_6: None,
    Action.AR_7: None,
    Action.AR_8: Machine._ar_8,
    Action.AR_9: Machine._ar_9,
    Action.AR_10: Machine._ar_10,
    Action.AA_1: Machine._aa_1,
    Action.AA_2: None,
    Action.AA_3: Machine._aa_3,
    Action.AA_4: Machine._aa_4,
    Action.AA_5: None,
    Action.AA_6: None,
    Action.AA_7: Machine._aa_7,
    Action.AA_8: Machine._aa_8,
}
_STEPS: Final = {cell: (action, _PERFORM[action], ACTIONS[action].next_states[0]) for cell, action in TABLE.items()}
