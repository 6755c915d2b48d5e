"""What messages do to operations: the inside of :class:`~dicom_proto.dimse.connection.Connection`, which adds the face.

May change.

A message is read on one of two ways that come to the same. Nearly every command and data set is a P-DATA-TF of its own
that lies whole in a received block, and is read straight from there. Whatever is not goes through the states of the
reader, piece by piece; that way is the judge of everything that is odd.
"""

from collections import deque
from collections.abc import Mapping, Set
from itertools import count
from types import MappingProxyType
from typing import Final, cast

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.codec import decode_odd_message
from dicom_proto.dimse.events import CancelReceived, ConnectionEvent, DataRun, RequestReceived, ResponseReceived
from dicom_proto.dimse.incoming import Assembler, Expected, Handling
from dicom_proto.dimse.messages import CCancelRQ, CStoreRQ, Message, Request, Response, decode_message, encode_message
from dicom_proto.dimse.operations import Answers, Invoked, Performed, count_answer, has_many_responses
from dicom_proto.dimse.outgoing import Outbox
from dicom_proto.dimse.waits import Waits
from dicom_proto.errors import AbortReason, CommandSetError, PDUError, RemoteProtocolError
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.status import Category, code_to_category
from dicom_proto.upper_layer.association import UpperLayer
from dicom_proto.upper_layer.events import AssociateAccepted, FragmentReceived, ReleaseRequested, UpperLayerEvent
from dicom_proto.upper_layer.negotiation import Agreement
from dicom_proto.upper_layer.pdu import MCH_COMMAND
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts, Timer

__all__ = ["CARRIES_MESSAGES", "EARLY", "Exchange"]

CARRIES_MESSAGES: Final = frozenset({State.Sta6, State.Sta7, State.Sta8})
EARLY: Final = frozenset({Category.FAILURE, Category.UNKNOWN})  # possible before the whole request has arrived
_DUPLICATE_INVOCATION: Final = 0x0210  # PS3.7 C.5.9
_MISTYPED_ARGUMENT: Final = 0x0212  # PS3.7 C.5.15
_NO_ELEMENTS: Final[Mapping[int, bytes]] = MappingProxyType({})
_SUCCESS: Final = 0x0000
# Looking up a member of an Enum in its class is slow before Python 3.12, and these are asked for all the time.
_PENDING: Final = Category.PENDING
_STREAM, _COLLECT, _DROP, _JOIN = Handling.STREAM, Handling.COLLECT, Handling.DROP, Handling.JOIN
_STA7 = State.Sta7
_RESPONSE = Timer.RESPONSE


class Exchange(UpperLayer):
    """The operations of one association, and what arrives for them."""

    def __init__(self, limits: Limits, tolerance: Tolerance, timeouts: Timeouts, streamed: Set[type[Message]]) -> None:
        super().__init__(limits=limits, tolerance=tolerance, timeouts=timeouts)
        self._streamed = streamed
        self._indications: deque[ConnectionEvent] = deque()
        self._assembler = Assembler(limits)
        self._outbox = Outbox(self._outbound)
        self._invoked: dict[int, Invoked] = {}
        self._waits = Waits()
        self._retrieving: dict[Invoked, None] = {}  # the C-GETs: their sub-operations are part of the answer
        self._performed: dict[int, Performed] = {}
        self._held: RequestReceived | None = None  # beyond the window, or what the peer has read of the responses
        self._is_refused = False  # it lacks what it cannot be performed without
        self.invoked_window = self.performed_window = 0
        self._has_used_share = False  # by the last next_event(), without an event
        self._order = count()
        self.answers_received: Answers = {}  # how the operations of this side have ended
        self.answers_sent: Answers = {}  # and those of the peer

    def _open_windows(self) -> None:
        """Take over what was negotiated (PS3.7 D.3.3.3); 0 is any number of operations."""
        agreement, most = cast(Agreement, self._agreement), self._limits.operations
        windows = [min(size or most, most) for size in (agreement.requestor_window, agreement.acceptor_window)]
        self.invoked_window, self.performed_window = windows if self._is_requestor else reversed(windows)

    def _forget(self) -> None:
        """Every outstanding operation has failed: there is no association any more (PS3.7 A.6)."""
        for invoked in self._invoked.values():
            if not invoked.is_answered:
                count_answer(self.answers_received, type(invoked.request), None)
        for performed in self._performed.values():
            count_answer(self.answers_sent, type(performed.request), None)
        self._invoked.clear()
        self._performed.clear()
        self._outbox.clear()
        self._waits.clear()
        self._retrieving.clear()
        self._held = None

    # --- what arrives -------------------------------------------------------------------------------------------------

    def _read_straight(self) -> bool:
        """Read a command or data set that lies whole in the block; return False if none does, and nothing was read."""
        inbound = self._inbound
        expected = self._assembler.expected
        if expected is not None and expected.handling is _JOIN:
            run = inbound.run(expected.context_id, self._receive_length)
            if run is not None:
                if not inbound.block:
                    self._unread = self._eof
                self._receive_run(expected.message_id, *run)
                return True
        whole = inbound.whole(self._contexts, self._receive_length)
        if whole is None:
            return False
        if not inbound.block:
            self._unread = self._eof
        context_id, control, data = whole
        assembler = self._assembler
        try:
            if not control & MCH_COMMAND:
                self._receive_data(FragmentReceived(context_id, False, True, data))
            elif assembler.is_mid_message or len(data) > self._limits.command_set:
                self._receive_command(FragmentReceived(context_id, True, True, data))
            else:
                try:
                    message, has_data = decode_message(data)
                except CommandSetError as error:
                    self._take_odd_command(context_id, data, error)
                    return True
                if isinstance(message, Response):
                    self._take_response(context_id, message, has_data)
                else:
                    self._take_other(context_id, message, has_data)
        except RemoteProtocolError as error:
            self._outbox.clear()
            self.fail(error)
        return True

    def _take(self, event: UpperLayerEvent) -> None:
        """Take what the upper layer tells."""
        try:
            if not isinstance(event, FragmentReceived):
                self._take_upper_layer_event(event)
            elif event.command:
                self._receive_command(event)
            else:
                self._receive_data(event)
        except RemoteProtocolError as error:
            self._outbox.clear()
            self.fail(error)

    def _take_upper_layer_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ReleaseRequested) and self._assembler.is_mid_message:
            raise PDUError("A-RELEASE-RQ in the middle of a message", abort_reason=AbortReason.UNEXPECTED_PDU)
        if isinstance(event, AssociateAccepted):
            self._open_windows()
        elif self._state not in CARRIES_MESSAGES:
            self._forget()
        self._indications.append(event)

    def _receive_command(self, fragment: FragmentReceived) -> None:
        command = self._assembler.take_command(fragment)
        if command is None:
            return
        try:
            message, has_data = decode_message(command)
        except CommandSetError as error:
            self._take_odd_command(fragment.context_id, command, error)
            return
        if isinstance(message, Response):
            self._take_response(fragment.context_id, message, has_data)
        else:
            self._take_other(fragment.context_id, message, has_data)

    def _take_odd_command(self, context_id: int, command: Buffer, error: CommandSetError) -> None:
        """Take a command set that breaks the letter of the standard."""
        odd = decode_odd_message(command, error, self._tolerance, self._contexts[context_id].abstract_syntax)
        for kind, detail in odd.habits:
            self.note_tolerated(kind, detail)
        if isinstance(odd.message, Response):
            self._take_response(context_id, odd.message, odd.has_data_set, odd.aside)
        else:
            self._take_other(context_id, odd.message, odd.has_data_set)
            self._is_refused = odd.is_refused

    def _receive_data(self, fragment: FragmentReceived) -> None:
        expected = self._assembler.expected
        chunk = self._assembler.take_data(fragment)
        if chunk is not None:
            self._indications.append(chunk)
        expected = cast(Expected, expected)  # or take_data() would have raised
        if expected.invoked:
            operation = self._invoked[expected.message_id]
            if fragment.last and operation.is_answered:
                self._end_operation(operation)
            elif fragment.data:
                self._note_answer(operation)
        else:
            if fragment.data and self._retrieving:
                self._note_sub_operation(expected.message_id)
            if fragment.last:
                self._set_received(expected.message_id)

    def _receive_run(self, message_id: int, pieces: list[memoryview], is_last: bool) -> None:
        """Take pieces of the data set of a request, as :meth:`_receive_data` would take them one by one."""
        self._indications.append(DataRun(message_id, pieces, sum(map(len, pieces)), is_last))
        if self._retrieving:
            self._note_sub_operation(message_id)
        if is_last:
            self._assembler.expected = None
            self._set_received(message_id)

    def _take_other(self, context_id: int, message: Message, has_data: bool) -> None:
        """Take a request, or the one message that is neither a request nor a response."""
        if isinstance(message, Request):
            # One that was decoded has an ID: it is mandatory.
            self._held = RequestReceived(message.message_id or 0, context_id, message, has_data)
            return
        message_id = cast(CCancelRQ, message).message_id_being_responded_to
        operation = self._performed.get(message_id)
        if operation is not None and has_many_responses(operation.request):  # otherwise it came too late: ignored
            operation.is_cancelled = True
            self._indications.append(CancelReceived(message_id=message_id))
        if has_data:
            raise PDUError("a C-CANCEL-RQ that announces a data set", abort_reason=AbortReason.UNEXPECTED_PDU_PARAMETER)

    def _release_held(self) -> bool:
        """Hand out the request that is held if there is room for it; return whether it is held no longer."""
        event: RequestReceived = self._held  # type: ignore[assignment]  # or nobody would call this
        state = self._state
        if state not in CARRIES_MESSAGES:
            self._held = None
            return True
        outbound = self._outbound
        can_answer = state is not _STA7  # what still arrives during a release is delivered (AR-6), no more
        if can_answer and not (
            len(self._performed) < self.performed_window
            and outbound.queued - outbound.handed_out + self._outbox.bytes_waiting < outbound.capacity
        ):
            if not self._eof:
                self.is_attentive = False
                return False
            self._held = None  # no room is made by a peer that is gone: what has not begun by now never will
            self._is_refused = False
            if event.has_data:
                self._assembler.expect_data(event.context_id, event.message_id, invoked=False, handling=_DROP)
            return True
        self._held = None
        request, message_id, context_id, has_data = event.request, event.message_id, event.context_id, event.has_data
        if self._is_refused or (can_answer and message_id in self._performed):
            status = _MISTYPED_ARGUMENT if self._is_refused else _DUPLICATE_INVOCATION
            self._is_refused = False
            if can_answer:
                refusal = request.response(message_id_being_responded_to=message_id, status=status)
                self._outbox.post(context_id, encode_message(refusal, has_data_set=False), None, None)
                count_answer(self.answers_sent, type(request), status)
            handling = _DROP
            self._update_attention()
        else:
            handling = _STREAM if type(request) in self._streamed else _COLLECT
            if can_answer:
                self._begin_performing(Performed(request, context_id, False, next(self._order)), message_id, has_data)
            else:
                self._update_attention()
            self._indications.append(event)
        if has_data:
            self._assembler.expect_data(context_id, message_id, invoked=False, handling=handling)
        return True

    def _begin_performing(self, operation: Performed, message_id: int, has_data: bool) -> None:
        """Take note of an operation that the peer asks for, and whether it waits already."""
        self._performed[message_id] = operation
        if self._retrieving:
            self._note_sub_operation(message_id)
        if not has_data:
            self._note_received(operation)
        elif len(self._performed) > 1:
            self._update_attention()
        else:
            self.is_attentive = True

    def _take_response(
        self, context_id: int, response: Response, has_data: bool, aside: Mapping[int, bytes] = _NO_ELEMENTS
    ) -> None:
        message_id = response.message_id_being_responded_to
        operation = self._invoked.get(message_id)
        if operation is None or type(response) is not operation.request.response:
            raise PDUError(f"{response.summary()} on context {context_id} answers no outstanding request")
        if context_id != operation.context_id:
            self._allow_other_context(context_id, operation, response, has_data)
            context_id = operation.context_id
        is_pending = False
        if response.status != _SUCCESS or not operation.is_sent:
            category = code_to_category(response.status)
            if not operation.is_sent and category not in EARLY:
                raise PDUError(f"{response.summary()} before the whole request has left (PS3.7 9.1.1.2)")
            is_pending = category is _PENDING
            if is_pending and not has_many_responses(operation.request):
                raise PDUError(f"{response.summary()}: only C-FIND, C-GET and C-MOVE have Pending responses")
        operation.is_answered = not is_pending
        if not is_pending:
            count_answer(self.answers_received, type(operation.request), response.status)
        self._indications.append(ResponseReceived(message_id, context_id, response, has_data, aside))
        if has_data:
            handling = _STREAM if type(response) in self._streamed else _COLLECT
            self._assembler.expect_data(context_id, message_id, invoked=True, handling=handling)
        elif not is_pending:
            self._end_operation(operation)
            return
        self._note_answer(operation)

    def _allow_other_context(self, context_id: int, operation: Invoked, response: Response, has_data: bool) -> None:
        """Allow a response on another context than its request's: PS3.7 does not say on which one it has to come."""
        contexts = self._contexts
        abstract_syntax = contexts[operation.context_id].abstract_syntax
        if has_data or not self._tolerance.other_contexts or contexts[context_id].abstract_syntax != abstract_syntax:
            raise PDUError(f"{response.summary()} on context {context_id} answers no outstanding request")
        self.note_tolerated(
            "other_contexts", f"{response.name} on another context of {abstract_syntax} than its request"
        )

    def _set_received(self, message_id: int) -> None:
        operation = self._performed.get(message_id)
        if operation is not None:
            self._note_received(operation)

    def _note_received(self, operation: Performed) -> None:
        """Take note that the whole request is here: the peer waits."""
        operation.is_received = True
        self.is_attentive = False
        if self._waits.running:
            self._waits.interrupt(self._newest_performed(), self._now)

    def _end_operation(self, operation: Invoked) -> None:
        """Forget an operation of this side: it has been answered."""
        del self._invoked[operation.request.message_id or 0]
        self._waits.running.pop(operation, None)
        self._waits.interrupted.pop(operation, None)
        self._retrieving.pop(operation, None)

    # --- who waits for whom -------------------------------------------------------------------------------------------

    def _update_attention(self) -> None:
        """Note whether this side waits for the peer, or the peer for this side."""
        newest = self._newest_performed() if self._performed else -1
        self.is_attentive = newest < 0 and self._held is None

    def _newest_performed(self) -> int:
        """Return the order of the newest operation whose whole request is here; -1 if there is none."""
        for operation in reversed(self._performed.values()):
            if operation.is_received:
                return operation.order
        return -1

    def _note_departure(self, token: object) -> None:
        """Take note of a request that has left: its response is awaited from now on."""
        if not isinstance(token, Invoked):
            super()._note_departure(token)
        elif self._invoked.get(token.request.message_id or 0) is token:  # it may have been answered before it had left
            token.is_sent = True
            self._waits.begin(token, self._now, self._timers.durations[_RESPONSE])
            if self._performed:
                self._waits.interrupt(self._newest_performed(), self._now)

    def _note_answer(self, operation: Invoked) -> None:
        """Begin the wait for a response anew: something of it has arrived."""
        if operation.is_answered or not operation.is_cancelled:
            self._waits.go_on(operation, self._now, self._timers.durations[_RESPONSE])

    def _note_sub_operation(self, message_id: int) -> None:
        """Count a C-STORE of the peer, or something of its data set, as part of the answer to a C-GET."""
        operation = self._performed.get(message_id)
        if operation is not None and isinstance(operation.request, CStoreRQ):
            for retrieving in self._retrieving:
                self._waits.go_on(retrieving, self._now, self._timers.durations[_RESPONSE])

    @property
    def _is_behind(self) -> bool:
        """Whether what was received may be the answer, and has not been looked at.

        What a request beyond the window, or more than a share, is in front of does not count: it would never be late.
        """
        return self._unread and self._held is None and not self._has_used_share

    def _next_response_deadline(self) -> float | None:
        """Return the earliest deadline of the waits for responses, ``None`` if none is coming closer."""
        if not self._waits.running or (self._unread and self._is_behind) or self._state not in CARRIES_MESSAGES:
            return None
        return self._waits.next_deadline()

    def _settle_waits(self) -> None:
        """Let the waits for responses go on or stand still."""
        waits = self._waits
        is_behind = self._unread and self._is_behind
        if waits.running or waits.interrupted:
            if is_behind:
                waits.stop_clock(cast(float, self._unread_since))
            else:
                waits.start_clock(self._now)
            if waits.interrupted:
                waits.resume(self._newest_performed(), self._now)
        if not is_behind:
            self._unread_since = None
        self._is_unsettled = is_behind or bool(waits.interrupted)

    @property
    def _can_release(self) -> bool:
        return super()._can_release and not (self._invoked or self._performed)
