"""DIMSE on one connection (PS3.7): an association whose data are messages.

:class:`Connection` has the same four kinds of method as ``Association`` and is driven in the same way. It gives out
message IDs, matches responses to requests, keeps both operations windows, passes data sets on as they arrive, and
supervises the wait for responses.
"""

from collections import deque
from collections.abc import Set
from itertools import count
from types import MappingProxyType
from typing import Final, cast

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import CancelReceived, ConnectionEvent, RequestReceived, ResponseReceived
from dicom_proto.dimse.incoming import Assembler, Expected, Handling
from dicom_proto.dimse.messages import (
    CCancelRQ,
    CGetRQ,
    CStoreRQ,
    Message,
    Request,
    Response,
    encode_message,
)
from dicom_proto.dimse.operations import Invoked, Performed, has_many_responses
from dicom_proto.dimse.outgoing import STREAMED, Data, Outbox, Outgoing
from dicom_proto.dimse.waits import Waits
from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError, RemoteProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.status import Category, code_to_category
from dicom_proto.upper_layer.association import CLOSED, SHARE, UpperLayer
from dicom_proto.upper_layer.events import (
    AssociateAccepted,
    FragmentReceived,
    ReleaseRequested,
    TimedOut,
    UpperLayerEvent,
)
from dicom_proto.upper_layer.negotiation import Agreement
from dicom_proto.upper_layer.pdu import AAssociateAC
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts, Timer

__all__ = ["STREAMED_BY_DEFAULT", "Connection"]

STREAMED_BY_DEFAULT: Final[Set[type[Message]]] = frozenset({CStoreRQ})
_DUPLICATE_INVOCATION: Final = 0x0210  # PS3.7 C.5.9
_CARRIES_MESSAGES: Final = frozenset({State.Sta6, State.Sta7, State.Sta8})
# Looking up a member of an Enum in its class is slow before Python 3.12, and these are asked for all the time.
_PENDING: Final = Category.PENDING
_STREAM, _COLLECT, _DROP = Handling.STREAM, Handling.COLLECT, Handling.DROP
_STA1, _STA7 = State.Sta1, State.Sta7
_RESPONSE = Timer.RESPONSE
_EARLY: Final = frozenset({Category.FAILURE, Category.UNKNOWN})  # possible before the whole request has arrived


class Connection(UpperLayer):
    """DIMSE on one connection, as requestor or acceptor, as SCU and SCP.

    Parameters
    ----------
    limits, tolerance, timeouts
        As for :class:`~dicom_proto.upper_layer.association.Association`.
    streamed : set of message classes
        Messages whose data set is handed out in pieces as it arrives. All others are collected, under
        ``Limits.data_set``, and handed out whole.

    Attributes
    ----------
    invoked_window, performed_window : int
        How many operations this side, and the peer, may have outstanding (PS3.7 D.3.3.3); 0 until the association is
        established.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        tolerance: Tolerance = DEFAULT_TOLERANCE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
        streamed: Set[type[Message]] = STREAMED_BY_DEFAULT,
    ) -> None:
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
        self.invoked = MappingProxyType(self._invoked)
        self.performed = MappingProxyType(self._performed)
        self.invoked_window = self.performed_window = 0
        self._last_message_id = 0
        self._has_used_share = False  # by the last next_event(), without an event
        self._order = count()

    # --- what the world does to it ------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Let the deadlines act that have come by ``now``."""
        if self._has_received:  # which counts from when it was
            self._settle_idle(has_sent=False)
        self.update_timers(now=now)
        deadline = self._next_response_deadline()
        if deadline is not None and deadline <= now:
            self._indications.append(TimedOut(timer=Timer.RESPONSE))
            self.abort()
        super().handle_timeout(now)

    # --- what it has for the world ------------------------------------------------------------------------------------

    def next_event(self) -> ConnectionEvent | None:
        """Return the next event; ``None`` when more bytes, an answer, or room are needed.

        A request beyond the operations window is not handed out before one of the earlier ones has been answered, and
        not at all if the peer has closed the connection before that.

        It is ``None`` also after :data:`~dicom_proto.upper_layer.association.SHARE` steps without an event;
        ``has_unread`` is true then.
        """
        indications, events = self._indications, self._events
        self._has_used_share = False
        for _ in range(SHARE):
            if self._held is not None and not self._release_held():
                return None
            if indications:
                return indications.popleft()
            if events:
                self._take(events.popleft())
            elif not self._advance():
                self._unread = False
                return CLOSED if self._started and self._state is _STA1 else None
        if self._held is not None:
            self._release_held()
        if indications:
            return indications.popleft()
        self._has_used_share = True
        return None

    @property
    def is_quiet(self) -> bool:
        """Whether :meth:`next_event` has nothing to return, and nothing to read either."""
        return not (self._unread or self._indications or self._held is not None or self._events or self._state is _STA1)

    @property
    def has_unread(self) -> bool:
        """Whether something that was received still waits to be looked at, with nothing to wait for.

        ``next_event`` reads a bounded share at a time. When it has returned ``None`` and this is true the driver gives
        others their turn, and then takes another one without waiting for bytes. It is false while a request beyond the
        operations window is in the way: that has to wait for a response of this side, or for the peer to read.
        """
        return (self._unread or bool(self._events)) and self._held is None

    def data_to_send(self, limit: int | None = None, *, now: float) -> list[Buffer]:
        """Hand out what is to be sent; see :meth:`UpperLayer.data_to_send`."""
        buffers = super().data_to_send(limit, now=now)
        self._settle_waits()
        if buffers and self._outbox.awaits_departure:
            self._note_departures(now)
        return buffers

    def update_timers(self, *, now: float) -> None:
        """Let the timers run that have to from now on; see :meth:`UpperLayer.update_timers`."""
        super().update_timers(now=now)
        self._settle_waits()

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timeout` wants to be called, ``None`` if no timer runs.

        Timers are settled by :meth:`data_to_send`, so ask behind it, once a turn.
        """
        own = self._next_response_deadline()
        others = super().next_deadline()
        if own is None or others is None:
            return others if own is None else own
        return min(own, others)

    # --- what its user asks of it: the association --------------------------------------------------------------------

    def accept(self, answer: AAssociateAC) -> None:
        """Accept the association; see :meth:`UpperLayer.accept`."""
        super().accept(answer)
        self._open_windows()

    def release(self) -> None:
        """Ask for the release of the association; see :meth:`UpperLayer.release`.

        Raises
        ------
        LocalProtocolError
            Also if the peer has yet to answer a request of this side (PS3.7 A.5).
        """
        if self._invoked:
            raise LocalProtocolError(
                f"requests {sorted(self._invoked)} have not been answered (PS3.7 A.5): wait, or abort"
            )
        self._outbox.check_idle()
        super().release()

    def confirm_release(self) -> None:
        """Answer the peer's request for release; see :meth:`UpperLayer.confirm_release`.

        What is outstanding then will not be answered any more.
        """
        self._outbox.check_idle()
        super().confirm_release()
        self._forget()

    def abort(self, reason: AbortReason | None = None) -> None:
        """Abort the association; see :meth:`UpperLayer.abort`."""
        super().abort(reason)
        self._forget()

    # --- what its user asks of it: operations -------------------------------------------------------------------------

    def send_request(self, request: Request, *, context: int, data: Data = None) -> int:
        """Invoke an operation or send a notification (request primitive, PS3.7 7.5.1).

        Parameters
        ----------
        request : Request
            The message. If its ``message_id`` is ``None``, it gets the next one that is free.
        context : int
            ID of the presentation context.
        data : buffer, STREAMED or None
            The data set, which is kept as a view and must not change until it has left; ``STREAMED`` to write it in
            pieces with :meth:`open_data`.

        Returns
        -------
        int
            The message ID.

        Raises
        ------
        LocalProtocolError
            If the message breaks a rule, its ID is in use, the window is full, or the association cannot send it.
        """
        if not self.can_invoke:
            what = "wait for a response" if self.invoked_window else "there is no association yet"
            raise LocalProtocolError(f"the operations window is {self.invoked_window}: {what} (PS3.7 D.3.3.3)")
        given = request.message_id
        if given in self._invoked:
            raise LocalProtocolError(f"message ID {given} is in use by an outstanding operation (PS3.7 9.1.1.1.1)")
        message_id = self._free_message_id() if given is None else given
        outgoing = Outgoing(self._outbox, context, message_id) if data is STREAMED else None
        self.check_sendable(context)
        try:
            request.message_id = message_id
            command = encode_message(request, has_data_set=data is not None)
            self._outbox.post(context, command, outgoing if data is STREAMED else data, message_id)
        except LocalProtocolError:
            request.message_id = given
            raise
        self._invoked[message_id] = operation = Invoked(request, context, outgoing, next(self._order))
        if type(request) is CGetRQ:
            self._retrieving[operation] = None
        self._last_message_id = message_id
        return message_id

    def open_data(self, message_id: int) -> Outgoing:
        """Return the data set of a request that was sent with ``STREAMED``, to be written in pieces.

        Raises
        ------
        LocalProtocolError
            If there is no such request outstanding.
        """
        operation = self._invoked.get(message_id)
        if operation is None or operation.outgoing is None:
            raise LocalProtocolError(f"no outstanding request {message_id} was sent with data=STREAMED")
        return operation.outgoing

    def send_response(self, response: Response, *, data: Buffer | None = None) -> None:
        """Answer a request of the peer (response primitive, PS3.7 7.5.1), on the context it came on.

        A Failure may be sent before the whole request has arrived; the rest of its data set is then dropped.

        Raises
        ------
        LocalProtocolError
            If the message breaks a rule, answers no outstanding request, or does so with a status that is not
            possible yet.
        """
        message_id = response.message_id_being_responded_to
        operation = self._performed.get(message_id)
        if operation is None:
            raise LocalProtocolError(f"no request with message ID {message_id} waits for a response")
        if type(response) is not operation.request.response:
            raise LocalProtocolError(f"a {operation.request.name} is not answered with a {response.name}")
        category = code_to_category(response.status)
        if category is _PENDING and not has_many_responses(operation.request):
            raise LocalProtocolError(f"a {operation.request.name} has one response: no Pending ones (PS3.7 7.5.3.2)")
        if not operation.is_received and category not in _EARLY:
            raise LocalProtocolError(
                "only a Failure may be answered before the whole request has arrived (PS3.7 9.1.1.2)"
            )
        self.check_sendable(operation.context_id)
        command = encode_message(response, has_data_set=data is not None)
        self._outbox.post(operation.context_id, command, data, None)
        if category is not _PENDING:
            del self._performed[message_id]
            self._assembler.drop_data(message_id)
            self._update_attention()

    def send_cancel(self, message_id: int) -> None:
        """Ask the peer to end a C-FIND, C-GET or C-MOVE (C-CANCEL-RQ, PS3.7 9.3.2.3); its final response still comes.

        From now on only that counts for the response timer, and no Pending response and no sub-operation: a peer that
        ignores the cancel is not waited for for ever.

        Raises
        ------
        LocalProtocolError
            If no such operation is outstanding.
        """
        operation = self._invoked.get(message_id)
        if operation is None or not has_many_responses(operation.request):
            raise LocalProtocolError(f"no C-FIND, C-GET or C-MOVE with message ID {message_id} is outstanding")
        self.check_sendable(operation.context_id)
        cancel = CCancelRQ(message_id_being_responded_to=message_id)
        self._outbox.post(operation.context_id, encode_message(cancel, has_data_set=False), None, None)
        operation.is_cancelled = True
        self._retrieving.pop(operation, None)

    # --- getters ------------------------------------------------------------------------------------------------------

    def is_cancelled(self, message_id: int) -> bool:
        """Tell whether the peer has cancelled an operation performed here; it stays so until the final response."""
        operation = self._performed.get(message_id)
        return operation is not None and operation.is_cancelled

    @property
    def can_invoke(self) -> bool:
        """Whether the window has room for another operation of this side (PS3.7 D.3.3.3)."""
        return len(self._invoked) < self.invoked_window

    @property
    def write_room(self) -> int:
        """How many bytes of data can be queued before the peer has to read."""
        return max(0, super().write_room - self._outbox.bytes_waiting)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take(self, event: UpperLayerEvent) -> None:
        try:
            if isinstance(event, FragmentReceived):
                self._receive_fragment(event)
            else:
                self._take_upper_layer_event(event)
        except RemoteProtocolError as error:
            self._outbox.clear()
            self.fail(error)

    def _take_upper_layer_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ReleaseRequested) and self._assembler.is_mid_message:
            raise PDUError("A-RELEASE-RQ in the middle of a message", abort_reason=AbortReason.UNEXPECTED_PDU)
        if isinstance(event, AssociateAccepted):
            self._open_windows()
        elif self._state not in _CARRIES_MESSAGES:
            self._forget()
        self._indications.append(event)

    def _receive_fragment(self, fragment: FragmentReceived) -> None:
        if fragment.command:
            command = self._assembler.take_command(fragment)
            if command is not None:
                self._take_message(fragment.context_id, *command)
            return
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

    def _take_message(self, context_id: int, message: Message, has_data: bool) -> None:
        match message:
            case Request():
                message_id = cast(int, message.message_id)  # mandatory when decoded
                self._held = RequestReceived(message_id, context_id, message, has_data)
            case Response():
                self._take_response(context_id, message, has_data)
            case _:  # the one message that is neither
                self._take_cancel(cast(CCancelRQ, message), has_data)

    def _take_cancel(self, cancel: CCancelRQ, has_data: bool) -> None:
        message_id = cancel.message_id_being_responded_to
        operation = self._performed.get(message_id)
        if operation is not None and has_many_responses(operation.request):  # otherwise it came too late: ignored
            operation.is_cancelled = True
            self._indications.append(CancelReceived(message_id=message_id))
        if has_data:
            raise PDUError("a C-CANCEL-RQ that announces a data set", abort_reason=AbortReason.UNEXPECTED_PDU_PARAMETER)

    def _release_held(self) -> bool:
        """Hand out the request that is held if there is room for it; return whether it is held no longer."""
        event = cast(RequestReceived, self._held)
        state = self._state
        if state not in _CARRIES_MESSAGES:
            self._held = None
            return True
        can_answer = state is not _STA7  # what still arrives during a release is delivered (AR-6), no more
        has_room = len(self._performed) < self.performed_window and self.write_room > 0
        if can_answer and not has_room:
            if not self._eof:
                self._update_attention()
                return False
            self._held = None  # no room is made by a peer that is gone: what has not begun by now never will
            if event.has_data:
                self._assembler.expect_data(event.context_id, event.message_id, invoked=False, handling=_DROP)
            return True
        self._held = None
        request, message_id, context_id = event.request, event.message_id, event.context_id
        if can_answer and message_id in self._performed:
            refusal = request.response(message_id_being_responded_to=message_id, status=_DUPLICATE_INVOCATION)
            self._outbox.post(context_id, encode_message(refusal, has_data_set=False), None, None)
            handling = _DROP
        else:
            handling = _STREAM if type(request) in self._streamed else _COLLECT
            if can_answer:
                self._performed[message_id] = Performed(request, context_id, not event.has_data, next(self._order))
                if self._retrieving:
                    self._note_sub_operation(message_id)
            self._indications.append(event)
        if event.has_data:
            self._assembler.expect_data(context_id, message_id, invoked=False, handling=handling)
        self._update_attention()
        return True

    def _take_response(self, context_id: int, response: Response, has_data: bool) -> None:
        message_id = response.message_id_being_responded_to
        operation = self._invoked.get(message_id)
        if operation is None or type(response) is not operation.request.response or context_id != operation.context_id:
            raise PDUError(f"{response.summary()} on context {context_id} answers no outstanding request")
        category = code_to_category(response.status)
        if not operation.is_sent and category not in _EARLY:
            raise PDUError(f"{response.summary()} before the whole request has left (PS3.7 9.1.1.2)")
        is_pending = category is _PENDING
        if is_pending and not has_many_responses(operation.request):
            raise PDUError(f"{response.summary()}: only C-FIND, C-GET and C-MOVE have Pending responses")
        operation.is_answered = not is_pending
        self._indications.append(ResponseReceived(message_id, context_id, response, has_data))
        if has_data:
            handling = _STREAM if type(response) in self._streamed else _COLLECT
            self._assembler.expect_data(context_id, message_id, invoked=True, handling=handling)
        elif not is_pending:
            self._end_operation(operation)
            return
        self._note_answer(operation)

    def _set_received(self, message_id: int) -> None:
        if message_id in self._performed:
            self._performed[message_id].is_received = True
            self._update_attention()

    def _update_attention(self) -> None:
        """Note whether this side waits for the peer, or the peer for this side."""
        newest = self._newest_performed() if self._performed else -1
        self.is_attentive = self._held is None and newest < 0
        if newest >= 0 and self._waits.running:
            self._waits.interrupt(newest, self._now)

    def _end_operation(self, operation: Invoked) -> None:
        """Forget an operation of this side: it has been answered."""
        del self._invoked[cast(int, operation.request.message_id)]
        self._waits.end(operation)
        self._retrieving.pop(operation, None)

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

    def _next_response_deadline(self) -> float | None:
        """Return the earliest deadline of the waits for responses, ``None`` if none is coming closer."""
        if not self._waits.running or self._is_behind or self._state not in _CARRIES_MESSAGES:
            return None
        return self._waits.next_deadline()

    @property
    def _is_behind(self) -> bool:
        """Whether what was received may be the answer, and has not been looked at.

        What a request beyond the window, or more than a share, is in front of does not count: it would never be late.
        """
        return self._unread and self._held is None and not self._has_used_share

    def _settle_waits(self) -> None:
        """Let the waits for responses go on or stand still."""
        waits = self._waits
        is_behind = self._is_behind
        if waits.running or waits.interrupted:
            if is_behind:
                waits.stop_clock(cast(float, self._unread_since))
            else:
                waits.start_clock(self._now)
            if waits.interrupted:
                waits.resume(self._newest_performed(), self._now)
        if not is_behind:
            self._unread_since = None

    def _note_departures(self, now: float) -> None:
        """Take note of the requests that have left: their responses are awaited from now on."""
        for message_id in self._outbox.take_departed():
            operation = self._invoked.get(message_id)
            if operation is not None:  # it may have been answered before its end was sent
                operation.is_sent = True
                self._waits.begin(operation, now, self._timers.durations[_RESPONSE])
                if self._performed:
                    self._waits.interrupt(self._newest_performed(), now)

    @property
    def _can_release(self) -> bool:
        return super()._can_release and not (self._invoked or self._performed)

    def _newest_performed(self) -> int:
        """Return the order of the newest operation whose whole request is here; -1 if there is none."""
        for operation in reversed(self._performed.values()):
            if operation.is_received:
                return operation.order
        return -1

    def _open_windows(self) -> None:
        """Take over what was negotiated (PS3.7 D.3.3.3); 0 is any number of operations."""
        agreement, most = cast(Agreement, self._agreement), self._limits.operations
        windows = [min(size or most, most) for size in (agreement.requestor_window, agreement.acceptor_window)]
        self.invoked_window, self.performed_window = windows if self._is_requestor else reversed(windows)

    def _free_message_id(self) -> int:
        message_id = self._last_message_id
        while True:
            message_id = message_id % 0xFFFF + 1
            if message_id not in self._invoked:
                return message_id

    def _forget(self) -> None:
        """Every outstanding operation has failed: there is no association any more (PS3.7 A.6)."""
        self._invoked.clear()
        self._performed.clear()
        self._outbox.clear()
        self._waits.clear()
        self._retrieving.clear()
        self._held = None
