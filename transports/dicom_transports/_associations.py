"""Associations over blocking sockets, in words that users of pynetdicom know; see :mod:`dicom_transports.blocking`."""

import logging
import select
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, assert_never, cast

from pydicom.dataset import Dataset

from dicom_proto import calls
from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.routing import Key, OperationEvent, Summons
from dicom_proto.errors import DicomProtoError, NoContextError, NotEstablishedError
from dicom_proto.presentation import PresentationContext, build_context
from dicom_proto.services import handlers as evt
from dicom_proto.services.acceptance import answer_request
from dicom_proto.services.dispatch import perform
from dicom_proto.services.effects import END, Call, Dial, Drain, Effect, HangUp, Program, Pull, Receive, Run
from dicom_proto.services.event import Event
from dicom_proto.services.handlers import EventKind, Handlers
from dicom_proto.services.invoking import Invoking
from dicom_proto.services.notifications import Notifier
from dicom_proto.services.peer import Peer
from dicom_proto.services.store import Storable, StoredObject
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
)
from dicom_proto.upper_layer.failures import AssociationClosed, AssociationFailure, Ending, failure_of
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy
from dicom_proto.upper_layer.state_table import State
from dicom_transports._files import read_object
from dicom_transports._sessions import Address, Session, open_socket

if TYPE_CHECKING:
    from dicom_transports.blocking import AE

__all__ = ["Association"]

T = TypeVar("T")
_log = logging.getLogger("dicom_transports.blocking")
_LINGER: Final = 0.05  # seconds until an association's own thread looks again whether calls follow each other
_COLLIDED: Final = frozenset({State.Sta9, State.Sta12})


def _as_storable(value: Any) -> Storable:
    """Return what can be stored; a path is read, and its data set not decoded."""
    if not isinstance(value, str | Path):
        return cast(Storable, value)  # the core says what it cannot store
    stored = read_object(Path(value))
    return StoredObject(
        sop_class_uid=stored.meta.sop_class_uid,
        sop_instance_uid=stored.meta.sop_instance_uid,
        transfer_syntax=stored.meta.transfer_syntax,
        data=stored.data_set,
    )


def _close(item: Any) -> None:
    """Close what a program has left open: an iterator of the user, or an association."""
    try:
        item.abort() if isinstance(item, Association) else getattr(item, "close", bool)()
    except Exception:  # noqa: BLE001 - it may run what the user wrote
        _log.exception("a handler raised when it was closed")


class Association:
    """One association of an application entity, or the failed attempt at one.

    As a context manager it raises what goes wrong, releases the association at the end, and aborts it on an exception.

    Attributes
    ----------
    ae : AE
        Whose it is.
    peer : Peer
        The other side, as the core sees it.
    failure : Exception or None
        Why there is no association, or none any more.
    is_acceptor, is_requestor : bool
        Which side this is.
    is_released, is_aborted, is_rejected : bool
        What has become of it.
    """

    def __init__(self, ae: "AE", connection: Connection, handlers: Handlers, *, is_acceptor: bool) -> None:
        self.ae = ae
        self.peer = Peer(connection, handlers, self, entity=ae, data_limit=ae.limits.data_set)
        self.failure: AssociationFailure | OSError | NoContextError | None = None
        self.is_acceptor = is_acceptor
        self.is_requestor = not is_acceptor
        self.is_released = self.is_aborted = self.is_rejected = False
        self._session: Session | None = None
        self._notifier = Notifier(self.peer)
        self._lock = threading.RLock()  # held by whoever drives the connection
        self._depth = 0  # of programs that are being driven
        self._has_ended = threading.Event()

    def __enter__(self) -> Self:
        if self.failure is not None:
            raise self.failure
        self.peer.is_strict = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.release() if kind is None else self.abort()

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def is_established(self) -> bool:
        """Whether requests can be sent."""
        is_over = self._session is None or self._session.is_interrupted or self._has_ended.is_set()
        return not is_over and self.peer.connection.state is State.Sta6

    @property
    def accepted_contexts(self) -> list[PresentationContext]:
        """The presentation contexts that both sides agreed on."""
        return [self._as_context(accepted.context_id) for accepted in self.peer.connection.contexts.values()]

    @property
    def rejected_contexts(self) -> list[PresentationContext]:
        """The presentation contexts that were proposed and not accepted."""
        agreement = self.peer.connection.agreement
        contexts = []
        for rejected in agreement.rejected.values() if agreement else ():
            context = build_context(rejected.abstract_syntax, rejected.transfer_syntaxes)
            context.context_id, context.result = rejected.context_id, rejected.result
            contexts.append(context)
        return contexts

    def _as_context(self, context_id: int) -> PresentationContext:
        accepted = self.peer.connection.contexts[context_id]
        context = build_context(accepted.abstract_syntax, accepted.transfer_syntax)
        context.context_id, context.result = context_id, 0
        context.as_scu, context.as_scp = accepted.requestor_is_scu, accepted.requestor_is_scp
        if self.is_acceptor:
            context.as_scu, context.as_scp = context.as_scp, context.as_scu
        return context

    def bind(self, event: EventKind, handler: Any, args: Sequence[Any] | None = None) -> None:
        """Bind a handler to an event of this association; raises as :meth:`Handlers.bind`."""
        self.peer.handlers.bind(event, handler, args)
        self._notifier.update()

    def unbind(self, event: EventKind, handler: Any) -> None:
        """Unbind a handler."""
        self.peer.handlers.unbind(event, handler)
        self._notifier.update()

    # --- what users call: see dicom_proto.calls -----------------------------------------------------------------------

    def send_c_echo(self, msg_id: int | None = None) -> Dataset:
        """Send a C-ECHO request; return its status, empty if there is no answer."""
        return self.run(calls.c_echo(self.peer, msg_id))

    def send_c_store(self, dataset: Any, msg_id: int | None = None, priority: int = 2, **originator: Any) -> Dataset:
        """Send a C-STORE request with a Dataset, or a path whose data set goes out as it is; return its status."""
        return self.run(calls.c_store(self.peer, _as_storable(dataset), msg_id, priority, **originator))

    def send_c_find(
        self, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = 2
    ) -> Iterator[calls.Result]:
        """Send a C-FIND request; yield status and identifier of each response."""
        return self._results(partial(calls.c_find, self.peer, dataset, query_model, msg_id, priority))

    def send_c_get(
        self, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = 2
    ) -> Iterator[calls.Result]:
        """Send a C-GET request; yield status and identifier of each response. The objects come to ``EVT_C_STORE``."""
        return self._results(partial(calls.c_get, self.peer, dataset, query_model, msg_id, priority))

    def send_c_move(
        self, dataset: Dataset, move_aet: str, query_model: str, msg_id: int | None = None, priority: int = 2
    ) -> Iterator[calls.Result]:
        """Send a C-MOVE request; yield status and identifier of each response."""
        return self._results(partial(calls.c_move, self.peer, dataset, move_aet, query_model, msg_id, priority))

    def send_c_cancel(self, msg_id: int, context_id: int | None = None, query_model: str | None = None) -> None:
        """Ask the peer to end a C-FIND, C-GET or C-MOVE."""
        with self._lock:
            calls.c_cancel(self.peer, msg_id, context_id, query_model)
            self._open_session().flush()

    def send_n_event_report(self, dataset: Dataset | None, event_type: int, *uids: Any, **more: Any) -> Any:
        """Send an N-EVENT-REPORT request; return status and event reply (:func:`dicom_proto.calls.n_event_report`)."""
        return self.run(calls.n_event_report(self.peer, dataset, event_type, *uids, **more))

    def send_n_get(self, identifier_list: Sequence[Any], *uids: Any, **more: Any) -> Any:
        """Send an N-GET request; return status and attribute list (:func:`dicom_proto.calls.n_get`)."""
        return self.run(calls.n_get(self.peer, identifier_list, *uids, **more))

    def send_n_set(self, dataset: Dataset, *uids: Any, **more: Any) -> Any:
        """Send an N-SET request; return status and attribute list (:func:`dicom_proto.calls.n_set`)."""
        return self.run(calls.n_set(self.peer, dataset, *uids, **more))

    def send_n_action(self, dataset: Dataset | None, action_type: int, *uids: Any, **more: Any) -> Any:
        """Send an N-ACTION request; return status and action reply (:func:`dicom_proto.calls.n_action`)."""
        return self.run(calls.n_action(self.peer, dataset, action_type, *uids, **more))

    def send_n_create(self, dataset: Dataset | None, *uids: Any, **more: Any) -> Any:
        """Send an N-CREATE request; return status and attribute list (:func:`dicom_proto.calls.n_create`)."""
        return self.run(calls.n_create(self.peer, dataset, *uids, **more))

    def send_n_delete(self, *uids: Any, **more: Any) -> Dataset:
        """Send an N-DELETE request; return its status (:func:`dicom_proto.calls.n_delete`)."""
        return self.run(calls.n_delete(self.peer, *uids, **more))

    def release(self) -> None:
        """Release the association and wait until it is closed; without one, do nothing."""
        with self._lock:
            if self.is_established and not self._depth:
                self._await_answers(0)
                self._tidy()
            if not self.is_established:
                return
            self.peer.connection.release()
            while not self._settle():
                if not self._serve_next():
                    self._turn()

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It does not wait for a call that another thread makes."""
        if self._session is None or self._has_ended.is_set():
            return
        self.failure = self.failure or AssociationClosed("this side has aborted the association")
        if not self._lock.acquire(blocking=False):
            self.is_aborted = True
            self._session.interrupt()
            return
        try:
            self.peer.connection.abort()
            self._session.flush()
            self.peer.connection.receive_eof(now=monotonic())
            self._settle()
        finally:
            self._lock.release()

    # --- driving programs ---------------------------------------------------------------------------------------------

    def run(self, program: Program[T]) -> T:
        """Run a service program on this association, and return its result (:mod:`dicom_proto.services.effects`)."""
        with self._lock:
            self._await_window()
            return self._drive_and_tidy(program)

    def _drive_and_tidy(self, program: Program[T]) -> T:
        with self._lock:
            try:
                return self._drive(program)
            finally:
                self._tidy()

    def _drive(self, program: Program[T]) -> T:
        opened: list[Any] = []  # iterators and associations, to be closed however the program ends
        with self._lock:
            self._depth += 1
            try:
                step, value = program.send, None
                while True:
                    try:
                        effect = step(value)
                    except StopIteration as end:
                        result: T = end.value
                        return result
                    try:
                        step, value = program.send, self._perform(effect, opened)
                    except Exception as error:  # noqa: BLE001 - all of them are the program's
                        step, value = program.throw, error
            finally:
                self._depth -= 1
                program.close()
                for item in opened:
                    _close(item)
                if self._session is not None:
                    self._session.flush()
                self._tell()

    def _perform(self, effect: Effect, opened: list[Any]) -> Any:
        self._tell()
        match effect:
            case Receive():
                return self._receive(effect.key)
            case Drain():
                return self._drain()
            case Call():
                return self._call(effect)
            case Pull():
                if effect.iterator not in opened:
                    opened.append(effect.iterator)
                return next(effect.iterator, END)
            case Dial():
                other = self.ae.dial(effect.address, effect.offer, **effect.options)
                opened.append(other)
                if isinstance(other.failure, AssociationFailure | OSError):
                    raise other.failure
                return other.peer
            case Run():
                return effect.peer.association.run(effect.program)
            case HangUp():
                return effect.peer.association.release()
            case _:
                assert_never(effect)

    def _call(self, call: Call) -> Any:
        event = call.arguments[0]
        if isinstance(event, Event):
            event.timestamp = datetime.now(UTC).astimezone()
        return call.function(*call.arguments)

    def _receive(self, key: Key) -> OperationEvent:
        """Wait for the next event of an operation, and serve meanwhile what the peer asks for."""
        router = self.peer.router
        while True:
            event = router.next_event(key)
            if event is not None:
                return event
            if not self._serve_next():
                self._check_going_on()
                self._turn()

    def _drain(self) -> None:
        """Take in what has arrived, and wait until there is room to write."""
        connection, session = self.peer.connection, self._open_session()
        session.flush()
        session.receive()
        self.peer.router.pump()
        while not connection.write_room:
            self._check_going_on()
            self._turn()
            self.peer.router.pump()

    def _results(self, invoke: Callable[[], Invoking]) -> Iterator[calls.Result]:
        """Invoke an operation at once; return its results, which are waited for as they are asked for."""
        with self._lock:
            self._await_window()
            invoking = invoke()
            self._tidy()
        replies = self._replies(invoking)
        next(replies)
        return replies

    def _replies(self, invoking: Invoking) -> Iterator[calls.Result]:
        try:
            yield Dataset(), None  # for _results: only a generator that has begun is closed when it is abandoned
            while (result := self._drive_and_tidy(calls.next_result(invoking))) is not None:
                yield result
        finally:
            with self._lock:
                if not invoking.is_over:  # nobody wants the rest
                    invoking.cancel()
                    invoking.close()
                    self._tidy()

    def _await_window(self) -> None:
        """Wait, if as many operations are outstanding as may be, until another can be invoked (PS3.7 D.3.3.3).

        Within a program nothing is waited for: what it would wait for may need the program to go on.
        """
        if not self._depth and self.is_established:
            self._await_answers(self.peer.connection.invoked_window - 1)

    def _await_answers(self, most: int) -> None:
        """Wait until no more than so many requests are unanswered; the answers stay where they will be asked for."""
        router, connection = self.peer.router, self.peer.connection
        while len(connection.invoked) > most:
            is_served = self._serve_next()
            if self._settle() or router.is_full:
                return
            if not is_served and len(connection.invoked) > most:
                self._turn()

    def _tidy(self) -> None:
        """See to what has arrived and nobody waits for: its arrival wakes nobody any more, once it has been read."""
        has_room = self._session is not None and not self._depth
        while has_room:  # what has left may have made room for a request that waits
            while not self._has_ended.is_set() and (self._serve_next() or self._tell()):
                pass
            self._settle()
            has_room = self._open_session().flush()

    # --- its life -----------------------------------------------------------------------------------------------------

    def _open_session(self) -> Session:
        if self._session is None:
            raise NotEstablishedError(f"the association was never established: {self.failure}")
        return self._session

    def _check_going_on(self) -> None:
        if self._settle():
            raise failure_of(self.peer.router.ending or ConnectionClosed())

    def _start(self, session: Session) -> None:
        self._session = session
        session.on_received = self._notifier.received
        session.on_sent = self._on_sent
        self._notify(evt.EVT_CONN_OPEN, address=session.peer_address)

    def _on_sent(self, buffers: list[Buffer]) -> None:
        self._notifier.sent(buffers)
        self._tell()  # at once: there may be more to send than is to be kept

    def _notify(self, kind: EventKind, **attributes: Any) -> None:
        """Tell of an event, after all that has passed before it."""
        self._tell()
        self._call_handlers(kind, attributes)

    def _tell(self) -> bool:
        """Tell what has passed; return whether there was anything, whose handlers may have changed everything."""
        told = self._notifier.take()
        for kind, attributes in told:
            self._call_handlers(kind, attributes)
        return bool(told)

    def _turn(self) -> None:
        """Tell what has passed; if that was nothing, send, and wait for something to happen."""
        if not self._tell():
            self._open_session().turn()

    def _call_handlers(self, kind: EventKind, attributes: Mapping[str, Any]) -> None:
        """Call the handlers of a notification event; what they raise is logged."""
        for binding in self.peer.handlers.bindings(kind):
            event = Event(kind, self, **attributes)
            event.timestamp = datetime.now(UTC).astimezone()
            try:
                binding.handler(event, *binding.arguments)
            except Exception:  # noqa: BLE001 - a handler's slip costs nothing but its own effect
                _log.exception("a handler of %s raised", kind)

    def _serve_next(self) -> bool:
        """See to the next thing that the peer wants; return whether there was one."""
        summons = self.peer.router.next_summons()
        if summons is not None:
            self._serve(summons)
        return summons is not None

    def _serve(self, summons: Summons) -> None:
        connection = self.peer.connection
        match summons:
            case RequestReceived():
                try:
                    self._drive(perform(self.peer, summons))
                except DicomProtoError as error:
                    if not self._settle():
                        raise
                    _log.info("! %s was not answered: %s", summons.request.name, error)
            case ReleaseRequested():
                if connection.state is State.Sta8 or connection.state in _COLLIDED:
                    connection.confirm_release()
                self.is_released = True
            case AssociateAccepted():
                self._notify(evt.EVT_ACCEPTED)
                self._notify(evt.EVT_ESTABLISHED)
            case AssociateRequested():
                self._notify(evt.EVT_REQUESTED)
            case _:
                assert_never(summons)

    def _settle(self) -> bool:
        """Take over what has happened; return whether the association has ended."""
        router, session = self.peer.router, self._open_session()
        router.pump()
        if router.ending is None:
            return False
        if not self._has_ended.is_set():
            self._conclude(router.ending)
            self._has_ended.set()
            session.flush()
            session.hang_up()
            self._tell_ending()
        return True

    def _conclude(self, ending: Ending) -> None:
        """Remember how the association ended."""
        was_requested = self.peer.connection.offer is not None
        match ending:
            case Released():
                self.is_released = True
            case AssociateRejected():
                self.is_rejected = True
            case Aborted() | TimedOut():
                self.is_aborted = was_requested
            case ConnectionClosed():
                self.is_aborted = was_requested and not (self.is_released or self.is_rejected)
            case _:
                assert_never(ending)
        if not self.is_released and self.failure is None:
            self.failure = failure_of(ending)

    def _tell_ending(self) -> None:
        if self.is_rejected:
            self._notify(evt.EVT_REJECTED)
        elif self.is_aborted:
            self._notify(evt.EVT_ABORTED)
        elif self.is_released:
            self._notify(evt.EVT_RELEASED)

    def request(self, offer: AAssociateRQ, address: Address, bind_address: Address | None) -> None:
        """Establish the association as the requestor; :attr:`failure` says why if that fails."""
        connection = self.peer.connection
        connection.request(offer)
        try:
            sock = open_socket(address, self.ae.connection_timeout, bind_address)
        except OSError as error:
            self.failure = error
            _log.error("%s", error)
            return
        session = Session(sock, connection)
        try:
            self._start(session)
            with self._lock:
                self._await_agreement()
            threading.Thread(target=self.live, name="dicom-association", daemon=True).start()
        except BaseException:  # interrupted, or there is no thread to be had
            session.close()
            raise

    def _await_agreement(self) -> None:
        connection = self.peer.connection
        while not self._settle() and connection.agreement is None:
            self._turn()
        self._serve_next()
        if self.is_established and not connection.contexts:
            self.failure = NoContextError(f"no presentation context was accepted: {self.rejected_contexts}")
            self.abort()

    def accept(self, session: Session, policy: Policy | AAssociateRJ) -> None:
        """Wait for a request, and answer it as the acceptor: by a policy, or with a rejection whatever it asks for."""
        router, connection = self.peer.router, self.peer.connection
        with self._lock:
            self._start(session)
            while (summons := router.next_summons()) is None and not self._settle():
                self._turn()
            if not isinstance(summons, AssociateRequested):
                return
            self._serve(summons)
            answer: AAssociateAC | AAssociateRJ
            if isinstance(policy, AAssociateRJ):
                answer = policy
            else:
                answer = self._drive(answer_request(self.peer, summons.offer, policy))
            if self._settle():  # a handler has aborted it, or the peer is gone
                return
            if isinstance(answer, AAssociateRJ):
                connection.reject(answer)
                self.is_rejected = True
            else:
                connection.accept(answer)
                self._notify(evt.EVT_ACCEPTED)
                self._notify(evt.EVT_ESTABLISHED)
            session.flush()

    def live(self) -> None:
        """See to what the peer does while nobody calls, until the connection is closed: for a thread of its own."""
        session = self._open_session()
        poll = select.poll()
        try:
            while True:
                if not self._lock.acquire(blocking=self._has_ended.is_set()):
                    self._has_ended.wait(_LINGER)  # somebody calls, and will most likely call again
                    continue
                try:
                    if self._attend():
                        break
                    mask, timeout = session.waits_for()
                finally:
                    self._lock.release()
                poll.register(session, mask)
                poll.poll(timeout)
        except DicomProtoError as error:
            _log.info("! %s", error)
        finally:
            session.close()
            self._has_ended.set()
            self._notify(evt.EVT_CONN_CLOSE, address=session.peer_address)

    def _attend(self) -> bool:
        """Do everything that can be done now; return whether the connection is to be closed."""
        connection, session = self.peer.connection, self._open_session()
        if session.is_interrupted:
            self.abort()
            return True
        session.receive()
        connection.handle_timeout(monotonic())
        self._tidy()
        return connection.wants_close or self._has_ended.is_set()
