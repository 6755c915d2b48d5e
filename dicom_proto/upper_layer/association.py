"""The upper layer of one connection: the state machine of PS3.8 9.2 without any I/O.

Stable.

Four kinds of method, never mixed:

* what the world does to it (these carry ``now``): :meth:`Association.connection_made`,
  :meth:`~Association.receive_data`, :meth:`~Association.receive_eof`, :meth:`~Association.handle_timeout`;
* what it has for the world: :meth:`Association.next_event`, :meth:`~Association.data_to_send`,
  :meth:`~Association.next_deadline`, ``wants_read``, ``wants_close``;
* what its user asks of it: :meth:`~Association.request`, :meth:`~Association.accept`, :meth:`~Association.reject`,
  :meth:`~Association.send_fragment`, :meth:`~Association.release`, :meth:`~Association.confirm_release`,
  :meth:`~Association.abort`;
* getters without effects.

One turn of a driver: feed what was received; drain :meth:`~Association.next_event` until it returns ``None`` and
:meth:`~Association.data_to_send` until it returns nothing, until both are empty; wait until
:meth:`~Association.next_deadline` at most.
"""

import logging
from collections.abc import Mapping
from typing import Final, cast

from dicom_proto.buffers import Buffer
from dicom_proto.errors import AbortReason, LocalProtocolError, RemoteProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.upper_layer.events import ConnectionClosed, TimedOut, UpperLayerEvent
from dicom_proto.upper_layer.machine import Machine
from dicom_proto.upper_layer.negotiation import AcceptedContext, Agreement, agree
from dicom_proto.upper_layer.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ, encode_pdu
from dicom_proto.upper_layer.state_table import TABLE, Event, State
from dicom_proto.upper_layer.timers import Timeouts, Timer

__all__ = ["CLOSED", "SENDS_DATA", "SHARE", "Association", "UpperLayer"]

_log = logging.getLogger("dicom_proto.upper_layer")

CLOSED: Final = ConnectionClosed()
_NO_LIMIT: Final = 1 << 62
_WITHOUT_CONNECTION: Final = frozenset({State.Sta1, State.Sta4})
SENDS_DATA: Final = frozenset(state for state in State if (Event.Evt9, state) in TABLE)
# Looking up a member of an Enum in its class is slow before Python 3.12, and these are asked for all the time.
_STA1: Final = State.Sta1
_STA6: Final = State.Sta6
_STA13: Final = State.Sta13
_ARTIM: Final = Timer.ARTIM
_IDLE: Final = Timer.IDLE

SHARE: Final = 500
"""How many steps (PDUs, fragments) ``next_event`` takes at most through what was received, before it gives others a
turn: tiny PDUs without an event can come by the hundred thousand."""


class UpperLayer(Machine):
    """All of an association but its data: what :class:`Association` and ``Connection`` have in common.

    The requestor says :meth:`request` first, the acceptor :meth:`connection_made`.

    What the peer does never raises: it becomes an event, and the PDU that PS3.8 asks for is queued. What the user
    does wrong raises :class:`~dicom_proto.errors.LocalProtocolError` and changes nothing.

    Parameters
    ----------
    limits : Limits
        Bounds on what is kept and sent.
    tolerance : Tolerance
        Habits of peers that are accepted although they break the standard.
    timeouts : Timeouts
        How long each wait may last, in the unit of ``now``: seconds.

    Attributes
    ----------
    tolerated : dict of str to int
        How often each habit was met with that ``tolerance`` allows, by its name there.
    on_tolerated : callable or None
        Called with a :class:`~dicom_proto.upper_layer.events.Tolerated` each time, in the midst of reading: it may take
        notes, but neither raise nor call this.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        tolerance: Tolerance = DEFAULT_TOLERANCE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
    ) -> None:
        super().__init__(limits, tolerance, timeouts)
        self.releases_when_idle = False  # instead of aborting, as a requestor with good manners may
        self.is_attentive = True  # set to False while this side works for the peer, whose silence then means nothing
        self._has_received = False  # since the timers were settled
        self._is_unsettled = False  # there is more for _settle_waits() to do

    # --- what the world does to it ------------------------------------------------------------------------------------

    def connection_made(self, *, now: float) -> None:
        """Tell that the transport connection is open (Evt2 after :meth:`request`, otherwise Evt5).

        Raises
        ------
        LocalProtocolError
            If there is a connection already, or was one.
        """
        if self._started and self._state is not State.Sta4:
            raise LocalProtocolError(
                "connection_made() was called before, and an Association serves one connection: make a new one"
            )
        self._now = now
        self._fire(Event.Evt2 if self._state is State.Sta4 else Event.Evt5, now)

    def receive_data(self, data: Buffer, *, now: float) -> None:
        """Take in received bytes. The block is kept, not copied, and must not change; an empty one means nothing.

        Raises
        ------
        LocalProtocolError
            If no connection was made, or after :meth:`receive_eof`.
        """
        if self._eof or self._state in _WITHOUT_CONNECTION:
            if self.wants_close:
                return
            raise LocalProtocolError(
                "bytes can be received only between connection_made() and receive_eof()"
                + ("" if self._eof else ": call connection_made() first")
            )
        self._now = now
        if not data:
            return
        self._has_received = True
        if not self._deaf:
            inbound = self._inbound
            if inbound.block:
                inbound.feed(data)
            else:
                inbound.block = memoryview(data).toreadonly()
            self._unread = True
            if self._unread_since is None:
                self._unread_since = now

    def receive_eof(self, *, now: float) -> None:
        """Tell that the transport connection was closed or lost (Evt17); what was received before still counts.

        Raises
        ------
        LocalProtocolError
            If there was never a connection, nor an attempt at one.
        """
        if not self._started:
            raise LocalProtocolError("no connection was made that could end: call connection_made() first")
        self._now = now
        self._eof = True
        self._settle_idle()
        if self._state is not _STA1:
            self._note_unread()

    def handle_timeout(self, now: float) -> None:
        """Let the deadlines act that have come by ``now``; calling it early does nothing."""
        if self._has_received:  # which counts from when it was
            self._settle_idle()
        self.update_timers(now=now)
        expired = self._timers.take_expired(now)
        if not expired:
            return
        timer = expired[0]  # any of them ends the association
        _log.debug("- %s timer expired in %s", timer.value, self._state.name)
        if self._state is State.Sta13:  # there is nobody left who waits for anything
            self._fire(Event.Evt18)
        elif timer is _IDLE and self.releases_when_idle and self._can_release:
            self._fire(Event.Evt11)
        else:
            self._events.append(TimedOut(timer=timer))
            self.abort()

    # --- what it has for the world ------------------------------------------------------------------------------------

    def data_to_send(self, limit: int | None = None, *, now: float) -> list[Buffer]:
        """Hand out what is to be sent, in order, as buffers to be gathered; arm the timers of what leaves.

        Parameters
        ----------
        limit : int, optional
            Stop cutting P-DATA-TF PDUs after this many bytes (the last PDU is whole, so it may be passed by one PDU).
            With 0 only PDUs leave that do not stand behind data: an A-ABORT always does.
        now : float
            The time at which the bytes leave.

        Returns
        -------
        list of buffers
            Empty when there is nothing to send. Views of the user's data are among them.
        """
        outbound = self._outbound
        self._now = now
        if self._has_received or self._is_unsettled:
            self._settle_waits()
        buffers: list[Buffer] = []
        if outbound.queue:
            before = outbound.handed_out
            buffers, tokens = outbound.hand_out(_NO_LIMIT if limit is None else limit)
            if self._is_logged and outbound.handed_out > before:
                _log.debug("> P_DATA_TF, %d bytes of fragments", outbound.handed_out - before)
            for token in tokens:
                self._note_departure(token)
        deadline = self._idle_until(has_sent=bool(buffers))
        if deadline is None:
            self._timers.deadlines.pop(_IDLE, None)
        else:
            self._timers.deadlines[_IDLE] = deadline
        self._has_received = False
        return buffers

    def update_timers(self, *, now: float) -> None:
        """Let the timers run that have to from now on, as :meth:`data_to_send` does; for drivers that skip that."""
        self._now = now
        self._settle_waits()
        self._settle_idle()

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_timeout` wants to be called, ``None`` if no timer runs.

        Timers are settled by :meth:`data_to_send`, so ask behind it, once a turn.
        """
        deadlines = self._timers.deadlines
        if self._has_received:
            deadlines = {**deadlines}
            idle = self._idle_until(has_sent=False)
            deadlines.pop(_IDLE, None)
            if idle is not None:
                deadlines[_IDLE] = idle
        return min(deadlines.values()) if deadlines else None

    @property
    def wants_close(self) -> bool:
        """Whether all is over and the transport connection is to be closed, once what was handed out has been sent."""
        return self._started and self._state is _STA1

    @property
    def wants_read(self) -> bool:
        """Whether more bytes are welcome; false while what was received waits to be pulled, and after the end."""
        return (
            self._state not in _WITHOUT_CONNECTION
            and not self._eof
            and (not self._inbound.block or self._inbound.available < self._limits.receive_buffer)
        )

    @property
    def write_room(self) -> int:
        """How many bytes of P-DATA can be queued before the peer has to read; 0 where data cannot be sent."""
        return self._outbound.room if self._state in SENDS_DATA else 0

    # --- what its user asks of it -------------------------------------------------------------------------------------

    def request(self, offer: AAssociateRQ) -> None:
        """Request an association (A-ASSOCIATE request primitive, Evt1); then open the transport and tell it.

        Raises
        ------
        LocalProtocolError
            If the offer breaks a rule of PS3.8 9.3.2, or something was done here before.
        """
        if self._started:
            raise LocalProtocolError(
                "request() was called before, and an Association serves one connection: make a new one"
                if self._is_requestor
                else "connection_made() came before request(), which makes this the acceptor, and an Association serves"
                " one connection: make a new one, call request() and then connection_made()"
            )
        self._fire(Event.Evt1, (offer, encode_pdu(offer)))

    def accept(self, answer: AAssociateAC) -> None:
        """Accept the association (A-ASSOCIATE response primitive, Evt7); ``Review.answer`` makes answers.

        Raises
        ------
        LocalProtocolError
            If no request waits for an answer, or the answer breaks a rule of PS3.8 9.3.3 or does not fit the request.
        """
        self._require(Event.Evt7)
        agreement = agree(cast(AAssociateRQ, self._offer), answer)
        if agreement.faults:
            raise LocalProtocolError(f"this does not answer the request: {'; '.join(agreement.faults)}")
        self._fire(Event.Evt7, (agreement, encode_pdu(answer)))
        self._note_tolerated_in(answer)

    def reject(self, rejection: AAssociateRJ) -> None:
        """Reject the association (A-ASSOCIATE response primitive, Evt8).

        Raises
        ------
        LocalProtocolError
            If no request waits for an answer, or a number does not fit its byte.
        """
        self._require(Event.Evt8)
        self._fire(Event.Evt8, encode_pdu(rejection))

    def check_sendable(self, context_id: int) -> None:
        """Check that data can be sent in this state and on this presentation context.

        Raises
        ------
        LocalProtocolError
            If it cannot.
        """
        if self._state not in SENDS_DATA:
            self._require(Event.Evt9)
        if context_id not in self._contexts:
            raise LocalProtocolError(f"presentation context {context_id} was not accepted")

    def release(self) -> None:
        """Ask for the release of the association (A-RELEASE request primitive, Evt11), behind the data that waits.

        Raises
        ------
        LocalProtocolError
            If there is no established association, or a command or data set has not ended.
        """
        self._require(Event.Evt11)
        self._require_whole_messages()
        self._fire(Event.Evt11)

    def confirm_release(self) -> None:
        """Answer the peer's request for release (A-RELEASE response primitive, Evt14), behind the data that waits.

        Raises
        ------
        LocalProtocolError
            If the peer has not asked, or a command or data set has not ended.
        """
        self._require(Event.Evt14)
        self._require_whole_messages()
        self._fire(Event.Evt14)

    def abort(self, reason: AbortReason | None = None) -> None:
        """Abort the association (A-ABORT request primitive, Evt15); what waits to be sent is dropped.

        It never raises and never waits. Before there is an association it closes the transport; after one it does
        nothing.

        Parameters
        ----------
        reason : AbortReason, optional
            Abort as the UL service-provider with this reason, instead of as the service-user (PS3.8 9.3.8).
        """
        if self._state is State.Sta2:
            self._fire(Event.Evt18)  # Table 9-10 has no abort here; what fits is the end of the wait for a request
        elif (Event.Evt15, self._state) in TABLE:
            self._fire(Event.Evt15, AAbort(0) if reason is None else AAbort(2, reason))

    def fail(self, error: RemoteProtocolError) -> None:
        """Treat what the peer sent as invalid (Evt19): for the layer above, which knows what data must look like."""
        if (Event.Evt19, self._state) in TABLE:
            self._lose_frame()
            self._fire(Event.Evt19, error)

    # --- getters ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state, in the standard's terms (PS3.8 9.2.1)."""
        return self._state

    @property
    def is_between_pdus(self) -> bool:
        """Whether everything that was received has been read, and the next byte begins a PDU."""
        return self._inbound.is_between_pdus

    @property
    def has_unread(self) -> bool:
        """Whether something that was received still waits to be looked at, with nothing to wait for.

        ``next_event`` reads a bounded share at a time, :data:`SHARE` steps. When it has returned ``None`` and this is
        true the driver gives others their turn, and then takes another one without waiting for bytes.
        """
        return self._unread or bool(self._events)

    @property
    def awaits_close(self) -> bool:
        """Whether all has been said and handed out, and the peer is to close the transport connection (Sta13).

        ARTIM ends that wait; whoever does not want to wait so long closes the transport connection himself, once what
        was handed out has been sent, and tells :meth:`receive_eof`.
        """
        return self._state is _STA13 and not self._outbound.can_leave

    @property
    def can_send(self) -> bool:
        """Whether :meth:`data_to_send` would hand out something."""
        return self._outbound.can_leave

    @property
    def timeouts(self) -> Timeouts:
        """How long waits may last that begin from now on."""
        return self._timers.timeouts

    @timeouts.setter
    def timeouts(self, timeouts: Timeouts) -> None:
        if self._has_received:  # what has begun to wait before this goes on
            self._settle_idle()
        self._timers.timeouts = timeouts

    @property
    def is_requestor(self) -> bool:
        """Whether this side is the association-requestor."""
        return self._is_requestor

    @property
    def offer(self) -> AAssociateRQ | None:
        """The A-ASSOCIATE-RQ that was sent or received."""
        return self._offer

    @property
    def agreement(self) -> Agreement | None:
        """What was negotiated; ``None`` until the association is established."""
        return self._agreement

    @property
    def contexts(self) -> Mapping[int, AcceptedContext]:
        """The accepted presentation contexts by ID; empty until the association is established."""
        return self._contexts

    @property
    def bytes_queued(self) -> int:
        """Payload bytes of P-DATA-TF that were ever queued here, a running total."""
        return self._outbound.queued

    @property
    def bytes_handed_out(self) -> int:
        """Payload bytes of P-DATA-TF that were ever handed out, a running total."""
        return self._outbound.handed_out

    @property
    def bytes_waiting(self) -> int:
        """Payload bytes of P-DATA-TF that wait to be handed out."""
        return self._outbound.queued - self._outbound.handed_out

    # --- inside -------------------------------------------------------------------------------------------------------

    def _require(self, event: Event) -> None:
        if (event, self._state) not in TABLE:
            raise LocalProtocolError(f"{event.value} is not possible in {self._state.name} ({self._state.value})")

    @property
    def _can_release(self) -> bool:
        return (Event.Evt11, self._state) in TABLE and not self._outbound.is_mid_stream and not self.bytes_waiting

    def _require_whole_messages(self) -> None:
        if self._outbound.is_mid_stream:
            raise LocalProtocolError("the command or data set that is being sent has not ended: end it, or abort")

    def _idle_until(self, *, has_sent: bool) -> float | None:
        """Return until when the idle timer runs, which it does exactly while this side waits for the peer.

        It waits for it to say something, or to read what waits. A slow handler is not the peer's silence; but whatever
        this side does, it cannot wait for ever for room, and then what the peer says does not count.
        """
        if (
            self._state is _STA6
            and self.is_attentive
            and not self._eof
            and (not self._inbound.block or self._inbound.available < self._limits.receive_buffer)
        ):
            has_passed = has_sent or self._has_received
        elif self._outbound.is_blocked:
            has_passed = has_sent
        else:
            return None
        durations = self._timers.durations
        deadline = self._timers.deadlines.get(_IDLE)
        if not has_passed and deadline is not None:
            return deadline
        seconds = durations[_IDLE]
        if seconds is None and self._state is _STA13:  # which always has an end
            seconds = durations[_ARTIM]
        return None if seconds is None else self._now + seconds

    def _settle_idle(self) -> None:
        deadline = self._idle_until(has_sent=False)
        if deadline is None:
            self._timers.deadlines.pop(_IDLE, None)
        else:
            self._timers.deadlines[_IDLE] = deadline
        self._has_received = False

    def _settle_waits(self) -> None:
        """Let other waits go on or stand still: those of the layer above."""

    def _note_departure(self, token: object) -> None:
        """Start what starts when something leaves: here a timer."""
        timer = cast(Timer, token)
        if self._is_logged:
            _log.debug("- %s timer started", timer.value)
        self._timers.start(timer, self._now)

    def _next(self) -> UpperLayerEvent | None:
        """Return the next event, parsing no more than it takes."""
        for _ in range(SHARE):
            if self._events:
                return self._events.popleft()
            if not self._advance():
                self._unread = False
                return CLOSED if self.wants_close else None
        return self._events.popleft() if self._events else None


class Association(UpperLayer):
    """The upper layer of one connection, for who sends and receives data himself (PS3.8).

    The parameters are those of :class:`UpperLayer`.
    """

    def next_event(self) -> UpperLayerEvent | None:
        """Return the next event, parsing no more than it takes; ``None`` when more bytes or an answer are needed.

        It is ``None`` also after :data:`SHARE` steps without an event; ``has_unread`` is true then.

        After the last event :class:`~dicom_proto.upper_layer.events.ConnectionClosed` is returned for ever.
        """
        return self._next()

    def send_fragment(self, context_id: int, data: Buffer, *, command: bool, last: bool) -> None:
        """Queue a piece of a command or data set (P-DATA request primitive, Evt9), cut into PDUs as they are sent.

        ``data`` is kept as a view and must not change until it has left. ``last`` ends the command or the data set.

        Raises
        ------
        LocalProtocolError
            If data cannot be sent in this state or on this context; if another command or data set has not ended; if
            this one ends empty or odd (PS3.8 E.1); if it goes on, and does not just end, although ``write_room`` is 0.
        """
        self.check_sendable(context_id)
        if data and self._outbound.is_mid_stream and not self.write_room:
            raise LocalProtocolError("the peer has to read first: write_room is 0")
        self._outbound.put_fragment(context_id, data, command=command, last=last)
