"""Associations over blocking sockets, each driven by the threads that call, and by one of its own while nobody does.

The thread that makes a call drives it, so that it costs no hand-over: it waits for the socket itself, and sees to what
the peer asks for meanwhile. If several call at once, one of them waits for the socket, for all of them. An
association's own thread sees to what the peer does while nobody calls; it keeps away as long as calls follow each
other.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Final, Self, TypeVar, assert_never

from pydicom.dataset import Dataset

from dicom_proto.application.requests import Result
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.errors import DicomProtoError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Await, Call, Dial, Drain, Effect, HangUp, Program, Pull, Receive, Run
from dicom_proto.programs.streams import Stream, at_once
from dicom_proto.services.storage.pipeline import Sent
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy
from dicom_transports._entity import AEBase, AssociationBase, Scope
from dicom_transports._socket.link import Link
from dicom_transports._socket.sockets import Address, no_connection
from dicom_transports._socket.tls_layer import TLSLayer
from dicom_transports._tasks.steps import drive
from dicom_transports._threads.starting import Starter
from dicom_transports._threads.waker import Vigil, Waker

__all__ = ["Association"]

T = TypeVar("T")
_log = logging.getLogger("dicom_transports.blocking")
_LINGER: Final = 0.05  # seconds until an association's own thread looks again whether calls follow each other
_GLANCE: Final = 0.002  # seconds between looks for what arrives while results are sent: a cancel, or the end
_STARTER: Final = Starter(_LINGER)
_HANGUP: Final[int] = getattr(select, "POLLRDHUP", 0)  # so that a lost peer is noticed while no bytes are wanted


class Association(AssociationBase[None, Dataset, Result, Iterator[Result], Iterator[Sent]]):
    """One association of an application entity, or the failed attempt at one.

    As a context manager it raises what goes wrong, releases the association at the end, and aborts it on an exception.
    """

    def __init__(
        self, ae: AEBase[Any, "Association", Any], handlers: Handlers, policy: Policy | AAssociateRJ | None = None
    ) -> None:
        super().__init__(ae, handlers, policy)
        self._ae = ae
        self._lock = threading.Lock()  # over everything below; no user's code runs under it
        self._changed = threading.Condition(self._lock)
        self._looked_at = 0.0  # in the midst of an operation
        self._has_reader = False  # somebody waits for the socket, for all who call
        self._callers = 0
        self._sleepers = 0  # callers who wait for what another one receives
        self._waker = Waker()  # wakes those who poll when it is over, and its own thread when it watches
        self._vigil, self._own_vigil = Vigil(self._waker), Vigil(self._waker)  # of the reader, and of its own thread
        self._watched_until: float | None = None  # when the own thread wakes by itself
        self._has_told_end = False

    def __enter__(self) -> Self:
        if self.failure is not None:
            raise self.failure
        self.peer.is_strict = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.release() if kind is None else self.abort()

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody."""
        if self._link is None:
            return
        with self._lock:
            self.give_up()
            self._changed.notify_all()
        self._waker.wake()
        self._end()

    # --- driving programs ---------------------------------------------------------------------------------------------

    def run(self, program: Program[T]) -> T:
        """Run a service program on this association, and return its result (:mod:`dicom_proto.programs.effects`)."""
        with self._lock:
            self._callers += 1
        try:
            return self._drive(program)
        finally:
            if not self._is_handling():
                self._catch_up()
            with self._lock:
                self._callers -= 1
                self._hand_over()

    def _drive(self, program: Program[T]) -> T:
        scope = Scope(self)
        try:
            return drive(program, partial(self._perform, scope), self._lock)
        finally:
            with self._lock:
                program.close()
            for item in scope.opened:
                scope.close(item)

    def _perform(self, scope: Scope, effect: Effect) -> Any:
        match effect:
            case Receive():
                return self._wait(lambda: self.peer.router.take(effect.key))
            case Await():
                return self._wait(effect.condition)
            case Drain():
                return self._take_in() or self._wait(self._room_to_write)
            case Call():
                return scope.call(effect)
            case Pull():
                if effect.iterator not in scope.opened:
                    scope.opened.append(effect.iterator)
                return scope.pull(effect.iterator)
            case Dial():
                other = self._ae.dial(effect.address, effect.offer, **effect.options)
                scope.opened.append(other)
                if isinstance(other.failure, AssociationFailure | OSError):
                    raise other.failure
                return other.peer
            case Run():
                return effect.peer.association.run(effect.program)
            case HangUp():
                return effect.peer.association.release()
            case _:
                assert_never(effect)

    def iterate(self, begin: Program[Stream[T]]) -> Iterator[T]:
        """Begin at once; return the results, which are waited for as they are asked for."""
        results = self._next_results(self.run(begin))
        next(results)
        return results  # type: ignore[return-value]  # but for the first, which is gone

    def _next_results(self, stream: Stream[T]) -> Iterator[T | None]:
        try:
            yield None  # for iterate: only a generator that has begun is closed when it is abandoned
            while (result := self.run(stream.next())) is not None:
                yield result
        finally:
            if not stream.is_over:  # nobody wants the rest
                self.run(at_once(stream.abandon))

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self, condition: Callable[[], T | None]) -> T:
        """Wait until a condition gives something; serve meanwhile what the peer asks for."""
        link = self._open_link()
        while True:
            with self._lock:
                link.flush()
                self.conclude()
                if (result := condition()) is not None:  # what came before the end still counts
                    return result
                work = self._next_work()
                if work is None and not self.is_over:
                    self._turn()
                    continue
            if work is None:
                self._end()
                raise self.end()
            self._do(work)

    def _take_in(self) -> int:
        """Send what there is, and now and then take in what has arrived; return for how much more there is room."""
        with self._lock:
            link = self._open_link()
            link.flush()
            now = monotonic()
            if now > self._looked_at + _GLANCE:
                self._looked_at = now
                link.receive()
            return self._room_to_write() or 0

    def _room_to_write(self) -> int | None:
        """Return how many bytes may be written, ``None`` if none, or if something is to be told before."""
        return None if self.has_news else self.peer.connection.write_room or None

    def _next_work(self) -> Program[None] | None:
        """Return what has to be done before anything is waited for, if there is something."""
        if self.has_news:
            return self.tell()
        summons = self.peer.router.take_summons()
        if summons is None:
            return None
        work = self.attend(summons)
        if not isinstance(summons, RequestReceived) or self.peer.connection.performed_window <= 1:
            return work
        threading.Thread(target=self._attend_aside, args=(work,), name="dicom-operation", daemon=True).start()
        return self._next_work()

    def _do(self, work: Program[None]) -> None:
        """Do some work, which others may have waited for."""
        self._drive(work)
        with self._lock:
            self._tell_others()

    def _attend_aside(self, work: Program[None]) -> None:
        """Perform one of several operations at a time, in a thread of its own."""
        try:
            self.run(work)
        except DicomProtoError as error:
            _log.info("! %s", error)

    def _catch_up(self) -> None:
        """See to what has arrived and nobody waits for: its arrival wakes nobody any more, once it has been read."""
        while self._link is not None:
            with self._lock:
                self.conclude()
                work = self._next_work()
                if work is None and (not self._link.flush() or (self.peer.connection.is_quiet and not self.has_news)):
                    break
            if work is not None:
                self._do(work)
        if self.is_over:
            self._end()

    def _turn(self) -> None:
        """Wait until something happens: in the socket, or by the thread that waits for the socket."""
        link = self._open_link()
        deadline = link.deadline()
        if self._has_reader and not link.wants_write:
            self._sleepers += 1
            try:
                is_told = self._changed.wait(_seconds_until(deadline))
            finally:
                self._sleepers -= 1
            if not is_told:
                link.expire()
            return
        is_reader = not self._has_reader  # only one may take what others wait for
        vigil, mask = (self._vigil, _interests(link)) if is_reader else (Vigil(self._waker), select.POLLOUT)
        self._has_reader = True
        try:
            is_readable = self._wait_for(link, vigil, mask, deadline)
        finally:
            self._has_reader = not is_reader
        if is_readable:
            link.receive()
        else:
            link.expire()
        self._tell_others()

    def _wait_for(self, link: Link, vigil: Vigil, mask: int, deadline: float | None) -> bool:
        """Wait for the socket, without the lock; return whether there is something to read."""
        descriptor, seconds = link.fileno(), _seconds_until(deadline)
        if self.is_over:  # nobody waits any more for what the waker tells, and others may close the socket
            vigil, seconds = Vigil(None), min(_LINGER, seconds or _LINGER)
        self._lock.release()
        try:
            return vigil.wait(descriptor, mask, seconds)
        finally:
            self._lock.acquire()

    def _tell_others(self) -> None:
        """Wake those who wait for what another thread receives."""
        if self._sleepers:
            self._changed.notify_all()

    # --- its life -----------------------------------------------------------------------------------------------------

    def request(
        self, offer: AAssociateRQ, address: Address, bind_address: Address | None, tls: TLSLayer | None
    ) -> None:
        """Establish the association as the requestor; :attr:`failure` says why if that fails."""
        self.peer.connection.request(offer)
        try:
            sock = socket.create_connection(address, self.entity.connection_timeout, bind_address)
        except OSError as error:
            self.failure = no_connection(address, error)
            _log.error("%s", self.failure)
            return
        self.open(sock, tls)
        try:
            self.run(self.establish())
        finally:  # from now on; before, nobody else may take the answer
            _STARTER.start_later(self.live, self._has_ended)

    def open(self, sock: socket.socket, tls: TLSLayer | None) -> None:
        """Begin with a connected socket."""
        self._connect(sock, tls, monotonic)
        self._drive(self.opened(self.peer_address))

    def live(self) -> None:
        """See to what the peer does while nobody calls, until the connection is closed: for a thread of its own."""
        link = self._open_link()
        try:
            while not self._has_ended():
                self._watch(link)
        except Exception:  # noqa: BLE001 - whatever it is costs this association only
            _log.exception("an association failed")
            self.abort()
        finally:
            self._close(link)
            self._end()
            self._waker.close()

    def _has_ended(self) -> bool:
        """Tell whether the connection is to be closed, and nobody calls any more."""
        return self._open_link().is_done and self._callers == 0

    def _watch(self, link: Link) -> None:
        """Wait for something to happen while nobody calls, and see to it."""
        with self._lock:
            is_windowed = self.peer.connection.performed_window > 1
            is_away = link.is_done or (self._callers > 0 and not is_windowed)
            if not is_away:
                deadline = link.deadline()
                self._watched_until = deadline or inf
                if is_windowed:  # operations have threads of their own, which wait for this one
                    self._turn()
                else:
                    self._watch_alone(link, deadline)
                self._watched_until = None
                if not self.is_over:
                    self._waker.clear()
        if is_away:  # whoever calls will most likely call again
            self._rest()
        else:
            self._catch_up()

    def _watch_alone(self, link: Link, deadline: float | None) -> None:
        """Wait for the socket, but leave it to those who have begun to call meanwhile."""
        is_readable = self._wait_for(link, self._own_vigil, _interests(link), deadline)
        if self._callers:
            return
        if is_readable:
            link.receive()
        else:
            link.expire()

    def _rest(self) -> None:
        """Leave the association to those who call, for a moment."""
        poll = select.poll()
        if not self.is_over:  # then the waker stays awake, so that nobody misses it
            poll.register(self._waker, select.POLLIN)
        poll.poll(_LINGER * 1000)

    def _hand_over(self) -> None:
        """Leave the association to its own thread, which may have more or earlier to do than it thought."""
        link = self._link
        if link is None or self._watched_until is None:
            return
        if link.wants_write or (link.deadline() or inf) < self._watched_until:
            self._waker.wake()

    def _end(self) -> None:
        """Tell how it ended, once; the connection is closed if nothing more is to come."""
        with self._lock:
            has_told, self._has_told_end = self._has_told_end, self.is_over
        if not self.is_over or has_told:
            return
        self._drive(self.ended())
        if self._link is not None and self._link.is_done:
            self._close(self._link)
        self._waker.wake()

    def _close(self, link: Link) -> None:
        """Close the connection, and tell of it, once."""
        with self._lock:
            was_closed = link.fileno() < 0
            link.close()
            self.conclude()
        if not was_closed:
            self._drive(self.closed(self.peer_address))


def _seconds_until(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - monotonic())


def _interests(link: Link) -> int:
    """Return what to poll a socket for."""
    return (select.POLLIN if link.wants_read else _HANGUP) | (select.POLLOUT if link.wants_write else 0)
