"""Blocking sockets that carry DICOM: a thread drives each, and waits for bytes, for room and for deadlines at once.

:func:`connect` makes associations, :class:`Server` serves them; both hand out a :class:`Session`, which belongs to
one thread at a time. Only :meth:`Session.interrupt` may be called from another.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Final, Self, TypeAlias, cast

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import ConnectionEvent, DataChunk, ResponseReceived
from dicom_proto.dimse.messages import Request, Response
from dicom_proto.errors import AbortReason, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits, Tolerance
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRequested,
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
)
from dicom_proto.upper_layer.failures import AssociationFailure, Ending, failure_of
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import LOCAL_LIMIT_EXCEEDED, Policy, Review, review
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts
from dicom_transports._gather import GatherQueue
from dicom_transports._sockets import LARGE_BLOCK as RECEIVE_SIZE
from dicom_transports._sockets import SEND_AHEAD, acknowledge_at_once, prepare

__all__ = ["Address", "Server", "Session", "connect"]

_log = logging.getLogger("dicom_transports.blocking")

Address: TypeAlias = tuple[str, int]

_COLLIDED: Final = frozenset({State.Sta9, State.Sta12})  # both sides asked at once: when each confirms (PS3.8 7.2.2.7)
_BACK_OFF: Final = 100  # milliseconds until the next attempt to accept when the system has no room
_HANGUP: Final[int] = getattr(select, "POLLRDHUP", 0)  # so that interrupt() is noticed even while no bytes are wanted


class Session:
    """One association over one connected socket.

    Parameters
    ----------
    sock : socket.socket
        A connected TCP socket; the session owns it from now on.
    connection : Connection
        The protocol, just made; for the requestor, after ``request``.

    Attributes
    ----------
    peer_address : tuple of str and int
        Host and port of the other end.
    on_received : callable or None
        Called with what has been received, before the connection sees it; it may take notes and no more.
    on_sent : callable or None
        Called with the buffers that are about to be sent: whole PDUs.
    """

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        prepare(sock)
        sock.setblocking(False)
        self.connection = connection
        self._socket = sock
        self._queue = GatherQueue()
        self._poll = select.poll()
        self.is_interrupted = False
        self.on_received: Callable[[bytes], None] | None = None
        self.on_sent: Callable[[list[Buffer]], None] | None = None
        self.peer_address = _peer_address(sock)
        connection.connection_made(now=monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- events -------------------------------------------------------------------------------------------------------

    def next_event(self) -> ConnectionEvent:
        """Wait for the next event; :class:`~dicom_proto.upper_layer.events.ConnectionClosed` is the last, for ever."""
        while True:
            event = self.connection.next_event()
            if event is None:
                self.turn()
                continue
            if isinstance(event, ConnectionClosed):
                self._socket.close()
            return event

    def __iter__(self) -> Iterator[ConnectionEvent]:
        """Yield events until the connection is closed, which is not among them."""
        while not isinstance(event := self.next_event(), ConnectionClosed):
            yield event

    # --- verbs --------------------------------------------------------------------------------------------------------

    def send_request(self, request: Request, *, context: int, data: Buffer | None = None) -> int:
        """Send a request as far as the peer takes it; waiting for events sends the rest."""
        message_id = self.connection.send_request(request, context=context, data=data)
        self.flush()
        return message_id

    def send_response(self, response: Response, *, data: Buffer | None = None) -> None:
        """Send a response, as far as the peer takes it; see :meth:`Connection.send_response`."""
        self.connection.send_response(response, data=data)
        self.flush()

    def call(self, request: Request, *, context: int, data: Buffer | None = None) -> tuple[Response, Buffer | None]:
        """Send a request and wait for its one response and the response's data set.

        Raises
        ------
        AssociationFailure
            If the association ends before the response.
        LocalProtocolError
            If the request cannot be sent, or something else than its response arrives: then handle events instead.
        """
        message_id = self.send_request(request, context=context, data=data)
        while True:
            event = self.next_event()
            match event:
                case ResponseReceived() if event.message_id == message_id:
                    return event.response, self._collected() if event.has_data else None
                case Aborted() | TimedOut() | Released() | ConnectionClosed():
                    raise failure_of(event)
                case _:
                    raise LocalProtocolError(f"call() cannot deal with {event!r}: use send_request() and next_event()")

    def accept(self, answer: AAssociateAC) -> None:
        """Accept the association; see :meth:`Connection.accept`."""
        self.connection.accept(answer)
        self.flush()

    def reject(self, rejection: AAssociateRJ) -> None:
        """Reject the association and wait until the peer has closed the connection; see :meth:`Connection.reject`."""
        self.connection.reject(rejection)
        for event in self:
            _log.debug("! %r after a rejection", event)

    def release(self) -> None:
        """Release the association and wait until it is closed.

        Raises
        ------
        AssociationFailure
            If it ends in another way.
        """
        self.connection.release()
        for event in self:
            match event:
                case ReleaseRequested() | Released() if self.connection.state in _COLLIDED:
                    self.connection.confirm_release()
                case Aborted() | TimedOut():
                    self.close()
                    raise failure_of(event)

    def confirm_release(self) -> None:
        """Answer the peer's request for release."""
        self.connection.confirm_release()
        self.flush()

    def abort(self, reason: AbortReason | None = None) -> None:
        """Abort the association and close the socket, without waiting for the peer; once it is closed, do nothing."""
        if self._socket.fileno() >= 0:
            self.connection.abort(reason)
            self.flush()
            self.connection.receive_eof(now=monotonic())
            self._socket.close()

    def close(self) -> None:
        """Close the socket, with an A-ABORT before it if there is an association."""
        self.abort()

    def interrupt(self) -> None:
        """Make the thread that drives this session abort it, at once if it waits; callable from any thread."""
        self.is_interrupted = True
        self._end_input()  # wakes a thread that waits for bytes, and leaves the way out open

    # --- one turn -----------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Send what can be sent; then wait for bytes, for room or for a deadline, and take what came."""
        if self.is_interrupted:
            self.connection.abort()
            self.flush()
            self.connection.receive_eof(now=monotonic())
            return
        if self.flush():
            return  # what has left may have made room for an event
        mask, timeout = self.waits_for()
        self._poll.register(self._socket, mask)
        ready = self._poll.poll(timeout)
        if not ready:
            self.connection.handle_timeout(monotonic())
        elif ready[0][1] & ~select.POLLOUT:
            self.receive()

    def waits_for(self) -> tuple[int, float | None]:
        """Return what to poll the socket for, and for how many milliseconds at most."""
        connection = self.connection
        mask = (select.POLLIN if connection.wants_read else _HANGUP) | (select.POLLOUT if self._queue.length else 0)
        deadline = connection.next_deadline()
        return mask, None if deadline is None else max(0.0, deadline - monotonic()) * 1000

    def fileno(self) -> int:
        """Return the descriptor of the socket, -1 once it is closed."""
        return self._socket.fileno()

    def hang_up(self) -> None:
        """End the connection in both directions: a thread that waits for the socket wakes, and closes it."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _log.debug("! the connection has ended already: %s", error)

    def receive(self) -> None:
        """Take what has arrived, without waiting."""
        try:
            acknowledge_at_once(self._socket)
            data = self._socket.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            _log.debug("! receiving failed: %s", error)
            data = b""
        if data:
            if self.on_received is not None:
                self.on_received(data)
            self.connection.receive_data(data, now=monotonic())
        elif not self.is_interrupted:
            self.connection.receive_eof(now=monotonic())

    def flush(self) -> bool:
        """Send until nothing is left or the kernel takes no more; return whether anything was sent."""
        queue = self._queue
        progress = False
        while True:
            room = max(0, SEND_AHEAD - queue.length)
            before = queue.length
            buffers = self.connection.data_to_send(room, now=monotonic())
            queue.extend(buffers)
            if buffers and self.on_sent is not None:
                self.on_sent(buffers)
            if not queue.length:
                return progress or bool(buffers)  # what was to be sent can only have been sent by on_sent
            filled = queue.length - before >= room
            try:
                queue.send(self._socket)
            except BlockingIOError:
                return progress
            except OSError as error:  # what the peer has said before, perhaps why, can still be received
                _log.debug("! sending failed: %s", error)
                queue.clear()
                self._end_input()
                return progress
            progress = True
            if not queue.length and not filled:
                return progress

    def _end_input(self) -> None:
        """Let the connection end for this side after what has arrived already."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError as error:
            _log.debug("! the connection has ended already: %s", error)

    def _collected(self) -> Buffer:
        """Wait for the data set of a response, which the connection has collected."""
        event = self.next_event()
        match event:
            case DataChunk():
                return event.data
            case Aborted() | TimedOut() | Released() | ConnectionClosed():
                raise failure_of(event)
            case _:
                raise LocalProtocolError(f"{event!r} in the middle of a response")


def _peer_address(sock: socket.socket) -> Address:
    """Return where the other end is; nowhere if it has closed the connection already."""
    try:
        host, port, *_ = sock.getpeername()
    except OSError:
        return "", 0
    return host, port


def open_socket(
    address: Address, connect_timeout: float | None = None, bind_address: Address | None = None
) -> socket.socket:
    """Open a TCP connection; all addresses of a host name are tried.

    Raises
    ------
    OSError
        If there is none; the message names host and port.
    """
    try:
        return socket.create_connection(address, connect_timeout, bind_address)
    except OSError as error:
        message = f"no connection to {address[0]} port {address[1]}: {error.strerror or error}"
        raise type(error)(*filter(None, (error.errno, message))) from error  # a timeout has no number


def connect(
    address: Address,
    offer: AAssociateRQ,
    *,
    connect_timeout: float | None = 30.0,
    bind_address: Address | None = None,
    limits: Limits = DEFAULT_LIMITS,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
) -> Session:
    """Open a connection and request an association (IPv4 or IPv6; all addresses of a host name are tried).

    Parameters
    ----------
    address : tuple of str and int
        Host and port of the acceptor.
    offer : AAssociateRQ
        What is proposed; ``build_offer`` makes it.
    connect_timeout : float or None
        For the TCP connection, in seconds.
    bind_address : tuple of str and int, optional
        Local host and port to connect from.

    Raises
    ------
    OSError
        If no TCP connection can be made.
    AssociationFailure
        If the association is rejected, aborted, or not answered in time.
    LocalProtocolError
        If the offer breaks a rule.
    """
    connection = Connection(limits=limits, tolerance=tolerance, timeouts=timeouts)
    connection.request(offer)
    session = Session(open_socket(address, connect_timeout, bind_address), connection)
    try:
        event = session.next_event()
        if isinstance(event, AssociateAccepted):
            return session
        raise failure_of(cast(Ending, event))  # Table 9-10 has nothing else for a requestor
    except BaseException:
        session.close()
        raise


class Server:
    """Accepts associations and serves each in a thread of its own.

    Parameters
    ----------
    address : tuple of str and int
        Where to listen; port 0 lets the system choose, see :attr:`address`.
    policy : Policy
        What is accepted.
    serve : callable
        Called with each established :class:`Session` in its thread; when it returns, the session is closed. An
        exception ends its own association and is logged.
    answer : callable
        Called in the thread of its association with the :class:`Review` of a request that the policy does not reject;
        returns the answer, and so decides what the policy leaves open: user identity, extended negotiation.
    maximum_associations : int
        Requests beyond this many are rejected: local limit exceeded (PS3.8 9.3.4).
    """

    def __init__(
        self,
        address: Address,
        policy: Policy,
        serve: Callable[[Session], None],
        *,
        answer: Callable[[Review], AAssociateAC | AAssociateRJ] = Review.answer,
        maximum_associations: int = 10,
        limits: Limits = DEFAULT_LIMITS,
        tolerance: Tolerance = DEFAULT_TOLERANCE,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
    ) -> None:
        self._policy = policy
        self._serve = serve
        self._answer = answer
        self._maximum_associations = maximum_associations
        self._make_connection = partial(Connection, limits=limits, tolerance=tolerance, timeouts=timeouts)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=128)
        self._listener.setblocking(False)
        self._wake, self._waker = socket.socketpair()
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, Session] = {}
        self._acceptor = threading.Thread(target=self._accept, name="dicom-server", daemon=True)

    @property
    def address(self) -> Address:
        """Host and port that the server listens on."""
        host, port, *_ = self._listener.getsockname()
        return host, port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def start(self) -> None:
        """Begin to accept connections, in a thread; once begun, do nothing."""
        if self._acceptor.ident is None:
            self._acceptor.start()

    def wait(self) -> None:
        """Wait until the server stops listening."""
        self._acceptor.join()

    def shutdown(self) -> None:
        """Stop listening, abort every association, and wait until all threads have ended; each is woken at once.

        It may be called before :meth:`start`, a second time, and by ``serve``, for whose thread it does not wait then.
        """
        if self._listener.fileno() < 0:
            return
        self._waker.send(b"\0")
        if self._acceptor.ident is not None:
            self._acceptor.join()
        self._listener.close()
        with self._lock:
            running = dict(self._running)
        for session in running.values():
            session.interrupt()
        for thread in running:
            if thread is not threading.current_thread():
                thread.join()
        self._wake.close()
        self._waker.close()

    def _accept(self) -> None:
        stop = self._wake.fileno()
        poll, poll_stop = select.poll(), select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(stop, select.POLLIN)
        poll_stop.register(stop, select.POLLIN)
        while all(descriptor != stop for descriptor, _ in poll.poll()):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                continue  # it is gone again
            except OSError as error:  # most likely no descriptor is free: wait for an association to end
                _log.warning("! a connection cannot be accepted: %s", error)
                poll_stop.poll(_BACK_OFF)
                continue
            self._start(sock)

    def _start(self, sock: socket.socket) -> None:
        """Start the thread of one connection; those too many are rejected in it, up to a bound of their own."""
        with self._lock:
            others = len(self._running)
            if others >= 2 * self._maximum_associations:
                sock.close()
                return
            is_crowded = others >= self._maximum_associations
            try:
                session = Session(sock, self._make_connection())
                thread = threading.Thread(
                    target=self._run, args=(session, is_crowded), name="dicom-association", daemon=True
                )
                thread.start()
            except (OSError, RuntimeError) as error:  # the peer is gone again, or there is no thread to be had
                _log.warning("! a connection cannot be served: %s", error)
                sock.close()
            else:
                self._running[thread] = session  # the thread cannot end before: that takes the lock

    def _attend(self, session: Session, is_crowded: bool) -> None:
        event = session.next_event()
        if not isinstance(event, AssociateRequested):
            _log.debug("! %r instead of an association request", event)
            return
        verdict = LOCAL_LIMIT_EXCEEDED if is_crowded else review(event.offer, self._policy)
        answer = self._answer(verdict) if isinstance(verdict, Review) else verdict
        if isinstance(answer, AAssociateRJ):
            session.reject(answer)
        else:
            session.accept(answer)
            self._serve(session)

    def _run(self, session: Session, is_crowded: bool) -> None:
        try:
            with session:
                self._attend(session, is_crowded)
        except AssociationFailure as failure:
            _log.info("! %s", failure)
        except Exception:  # noqa: BLE001 - whatever a user's function raises costs its own association only
            _log.exception("! serving an association failed")
        finally:
            with self._lock:
                del self._running[threading.current_thread()]
