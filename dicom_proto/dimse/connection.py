"""DIMSE on one connection (PS3.7): an association whose data are messages.

Stable.

:class:`Connection` has the same four kinds of method as ``Association`` and is driven in the same way. It gives out
message IDs, matches responses to requests, keeps both operations windows, passes data sets on as they arrive, and
supervises the wait for responses.
"""

from collections.abc import Set
from types import MappingProxyType
from typing import Final

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import ConnectionEvent
from dicom_proto.dimse.exchange import EARLY, Exchange
from dicom_proto.dimse.messages import CCancelRQ, CGetRQ, CStoreRQ, Message, Request, Response, encode_message
from dicom_proto.dimse.operations import Invoked, count_answer, has_many_responses
from dicom_proto.dimse.outgoing import STREAMED, Data, Outgoing
from dicom_proto.errors import AbortReason, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.status import Category, code_to_category
from dicom_proto.upper_layer.association import CLOSED, SENDS_DATA, SHARE
from dicom_proto.upper_layer.events import TimedOut
from dicom_proto.upper_layer.foresight import Foresight
from dicom_proto.upper_layer.pdu import AAssociateAC
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts, Timer

__all__ = ["STREAMED_BY_DEFAULT", "Connection"]

STREAMED_BY_DEFAULT: Final[Set[type[Message]]] = frozenset({CStoreRQ})
_SUCCESS: Final = 0x0000
# Looking up a member of an Enum in its class is slow before Python 3.12, and these are asked for all the time.
_PENDING: Final = Category.PENDING
_CATEGORY_OF_SUCCESS: Final = Category.SUCCESS
_STA1, _STA6 = State.Sta1, State.Sta6


class Connection(Exchange):
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
    answers_received, answers_sent : dict
        How many operations of this side, and of the peer, have ended, by class of the request and status; the status of
        those that were not answered when the association ended is ``None``.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        tolerance: Tolerance = DEFAULT_TOLERANCE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
        streamed: Set[type[Message]] = STREAMED_BY_DEFAULT,
    ) -> None:
        super().__init__(limits, tolerance, timeouts, streamed)
        self.invoked = MappingProxyType(self._invoked)
        self.performed = MappingProxyType(self._performed)
        self._last_message_id = 0

    # --- what the world does to it ------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Let the deadlines act that have come by ``now``."""
        if self._has_received:  # which counts from when it was
            self._settle_idle()
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
                if not events and self._unread and self._inbound.is_between_pdus:
                    self._unread = self._eof  # as where it is read straight: how bytes are cut means nothing
            elif not self._unread:
                return CLOSED if self._started and self._state is _STA1 else None
            elif not (self._reads_straight and self._read_straight()) and not self._advance():
                self._unread = False
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

    @property
    def expects_more(self) -> bool:
        """Whether the peer has more to say at once: the rest of a PDU or message, or a response."""
        return bool(self._invoked) or self._assembler.is_mid_message or not self._inbound.is_between_pdus

    def join_data(self, message_id: int) -> None:
        """Have pieces of the data set of a request handed out together where they have arrived together.

        From now on they come as :class:`~dicom_proto.dimse.events.DataRun`, or, as ever, one by one. That of a request
        which is not being received is left as it is.
        """
        self._assembler.join_data(message_id)

    def foresee(self) -> Foresight | None:
        """Return what can tell how much of a data set has arrived before it is taken in; ``None`` outside of one.

        A driver may keep what arrives to itself for a moment, as long as that is but the middle of a data set, and hand
        it to :meth:`receive_data` in one block. To the connection it has then arrived later: timers, too, see it then.
        """
        if self._assembler.expected is None or not self._reads_straight:
            return None
        return self._inbound.foresee()

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timeout` wants to be called, ``None`` if no timer runs.

        Timers are settled by :meth:`data_to_send`, so ask behind it, once a turn.
        """
        deadlines = self._timers.deadlines
        settled = min(deadlines.values()) if deadlines else None
        others = super().next_deadline() if self._has_received else settled
        if not self._waits.running:
            return others
        own = self._next_response_deadline()
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
        invoked = self._invoked
        if len(invoked) >= self.invoked_window:
            what = "wait for a response" if self.invoked_window else "there is no association yet"
            raise LocalProtocolError(f"the operations window is {self.invoked_window}: {what} (PS3.7 D.3.3.3)")
        given = request.message_id
        if given in invoked:
            raise LocalProtocolError(f"message ID {given} is in use by an outstanding operation (PS3.7 9.1.1.1.1)")
        if self._state is not _STA6 or context not in self._contexts:
            self.check_sendable(context)
        message_id = self._last_message_id % 0xFFFF + 1 if given is None else given
        if message_id in invoked:
            message_id = self._free_message_id()
        operation = Invoked(request, context, None, next(self._order))
        if data is STREAMED:
            operation.outgoing = Outgoing(self._outbox, context, message_id, operation)
        try:
            request.message_id = message_id
            command = encode_message(request, has_data_set=data is not None)
            self._outbox.post(context, command, operation.outgoing if data is STREAMED else data, operation)
        except LocalProtocolError:
            request.message_id = given
            raise
        invoked[message_id] = operation
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
        category = code_to_category(response.status) if response.status != _SUCCESS else _CATEGORY_OF_SUCCESS
        if category is _PENDING and not has_many_responses(operation.request):
            raise LocalProtocolError(f"a {operation.request.name} has one response: no Pending ones (PS3.7 7.5.3.2)")
        if not operation.is_received and category not in EARLY:
            raise LocalProtocolError(
                "only a Failure may be answered before the whole request has arrived (PS3.7 9.1.1.2)"
            )
        context_id = operation.context_id
        if self._state is not _STA6 or context_id not in self._contexts:
            self.check_sendable(context_id)
        self._outbox.post(context_id, encode_message(response, has_data_set=data is not None), data, None)
        if category is not _PENDING:
            del self._performed[message_id]
            count_answer(self.answers_sent, type(operation.request), response.status)
            if not operation.is_received:
                self._assembler.drop_data(message_id)
            if self._performed or self._held is not None:
                self._update_attention()
            else:
                self.is_attentive = True
            self._is_unsettled = True

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
        if self._state not in SENDS_DATA:
            return 0
        outbound = self._outbound
        return max(0, outbound.capacity - outbound.queued + outbound.handed_out - self._outbox.bytes_waiting)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _free_message_id(self) -> int:
        message_id = self._last_message_id
        while True:
            message_id = message_id % 0xFFFF + 1
            if message_id not in self._invoked:
                return message_id
