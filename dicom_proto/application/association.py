"""An association of an application entity: its life, from the open connection to the closed one, and what it shows.

Stable.

What the peer does comes in from the engine (:meth:`EntityAssociation.attend`, :meth:`EntityAssociation.take_over`),
what users ask are programs (:mod:`dicom_proto.application.requests`), and whom to tell of what is decided here. An
adapter adds how a program is run, and what a call returns.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar, assert_never

from dicom_proto.application.acceptance import answer_request
from dicom_proto.application.access import Refusal, refusal_of
from dicom_proto.application.appearance import Appearance
from dicom_proto.application.dispatch import perform
from dicom_proto.application.endings import Retired, explained, note_forgotten, suspect_nothing, suspicion_of
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.notifications import Notifier
from dicom_proto.application.reporting import (
    fate_of,
    report_end,
    report_established,
    report_pdu,
    report_rejected,
    report_trouble,
)
from dicom_proto.application.wording import listed, refused_contexts
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.routing import Indication
from dicom_proto.errors import DicomProtoError, NoContextError
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.kinds import (
    EVT_ABORTED,
    EVT_ACCEPTED,
    EVT_CONN_CLOSE,
    EVT_CONN_OPEN,
    EVT_ESTABLISHED,
    EVT_REJECTED,
    EVT_RELEASED,
    EVT_REQUESTED,
    EventKind,
)
from dicom_proto.handlers.registry import Handlers
from dicom_proto.logs import about
from dicom_proto.programs.effects import Await, Call, Pause, Program
from dicom_proto.programs.engine import Engine
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.tasks import Task
from dicom_proto.programs.user_programs import scu_for
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
    Tolerated,
)
from dicom_proto.upper_layer.failures import (
    AssociationClosed,
    AssociationFailure,
    AssociationRejected,
    Ending,
    failure_of,
)
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy
from dicom_proto.upper_layer.state_table import State

__all__ = ["HANDLING", "EntityAssociation", "Received", "Reception"]

T = TypeVar("T")
_log = logging.getLogger("dicom_proto.association")
_CONFIRMS: Final = frozenset({State.Sta8, State.Sta9})  # in a collision the acceptor waits for its own confirmation

_NO_POLICY: Final = Policy(supported={})  # of a requestor, whom nobody requests an association from

Received = Policy | AAssociateRJ | Refusal
Reception = Received | Callable[[Any, AAssociateRQ], Received]
"""By what a request is answered: a policy, a rejection, or what chooses between those when it is there."""

HANDLING: Final[ContextVar[tuple[object, ...]]] = ContextVar("HANDLING", default=())
"""The associations whose handler is running here: adapters add theirs for the time of a call."""


class EntityAssociation(Appearance):
    """One association of an application entity, or the failed attempt at one.

    Parameters
    ----------
    entity : ApplicationEntity
        Whose it is.
    handlers : Handlers
        What is bound to its events.
    reception : Policy, AAssociateRJ or callable, optional
        For the acceptor: by what a request is answered.
    ae_title : str, optional
        For the acceptor: its own title, by default the entity's.
    on_ended : callable, optional
        Called with it when the handlers of its end have run.

    Attributes
    ----------
    engine : Engine
        What runs its programs; a driver takes turns with it.
    failure : Exception or None
        Why there is no association, or none any more.
    is_released, is_aborted, is_rejected : bool
        What has become of it.
    fate : str
        The same in a word: ``"released"``, ``"aborted"``, ``"rejected"``, ``"timed out"`` or ``"lost"``; empty before.
    is_over : bool
        Whether it has ended; the connection may still have to be closed.
    """

    def __init__(
        self,
        entity: ApplicationEntity,
        handlers: Handlers,
        reception: Reception | None = None,
        *,
        ae_title: str | None = None,
        on_ended: Callable[[Any], object] | None = None,
    ) -> None:
        connection = Connection(limits=entity.limits, tolerance=entity.tolerance, timeouts=entity.timeouts)
        connection.on_tolerated = self._note_tolerated
        peer = Peer(connection, handlers, self, entity=entity, data_limit=entity.limits.data_set)
        super().__init__(entity, peer, is_acceptor=reception is not None, ae_title=ae_title)
        self.peer.is_handling, self.peer.look = self.is_handling, self.look
        self.peer.limits, self.peer.tolerance = entity.limits, entity.tolerance
        self.peer.rules = entity.encoding_rules
        self.notifier = Notifier(self.peer)
        self.engine = Engine(connection, self.peer.router, self, self.notifier, self.wake)
        self.engine.name = self.id
        self.failure: AssociationFailure | OSError | NoContextError | None = None
        self.is_released = self.is_aborted = self.is_rejected = self.is_over = False
        self.fate = ""
        self._lasted: float | None = None  # seconds, when it has ended
        self._reception = reception if reception is not None else _NO_POLICY
        self.cause: OSError | None = None  # why the connection was lost, where the transport can tell
        self.suspect: Callable[[], str | None] = suspect_nothing  # tells what is probably wrong with it
        self._on_ended = on_ended
        self._is_ending = self._is_told = False
        self._is_telling = False
        self._was_opened = False
        self._has_begun = False  # and its handlers have been told
        self._streams: dict[Stream[Any], None] = {}  # results that somebody may still ask for

    # --- how an adapter runs programs ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """See to it that the engine has a turn; may be called in any thread."""

    def look(self) -> None:
        """Take in what has arrived, where nobody does that while a handler runs, which asks whether it is cancelled."""

    @abstractmethod
    def run(self, program: Program[Any], *, invokes: bool = False) -> Any:
        """Run a program on this association; return its result, or what is to be awaited for it."""

    @abstractmethod
    def iterate(self, begin: Program[Stream[Any]], *, invokes: bool = False) -> Any:
        """Return the results of the stream that a program begins, to be iterated over."""

    def submit(self, program: Program[T], on_end: Callable[[Task[T]], None]) -> Task[T]:
        """Run a program, and call a function with the finished task; may be called in any thread."""
        return self.engine.submit(program, on_end)

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody, and may be called in any thread."""
        self.abort_soon()

    def abort_soon(self) -> None:
        """Abort the association in a turn of its own driver: for engines of others, which hold a turn themselves."""
        self.engine.abort()

    def get_scu(self, sop_class: str) -> Callable[..., Any]:
        """Return the user's own service of a SOP class (``AE.add_scu``), bound to this association.

        Raises
        ------
        LocalProtocolError
            If none is bound to the SOP class.
        """
        program = scu_for(self.entity, sop_class)

        def call(*arguments: Any, **options: Any) -> Any:
            return self.run(program(self.peer, *arguments, **options), invokes=not self.is_handling())

        return call

    def is_handling(self) -> bool:
        """Tell whether a handler of this association is asking."""
        return self in HANDLING.get()

    def next_result(self, stream: Stream[Any]) -> Program[Any]:
        """Ask for the next result of a stream that is iterated over, and keep track of it."""
        self._streams.pop(stream, None)  # somebody asks: it is not forgotten
        result = yield from stream.next()
        if not stream.is_over:
            self._streams[stream] = None
        return result

    def forget(self, stream: Stream[Any]) -> None:
        """Take no more interest in results: an operation that can be cancelled is. It may be called in any thread."""
        if not (stream.is_over or self.engine.is_finished):
            self.engine.submit(self._abandon(stream), note_forgotten)

    def _abandon(self, stream: Stream[Any]) -> Program[None]:
        self._streams.pop(stream, None)
        if not stream.is_over:
            stream.dismiss()
            yield Pause(0)  # what has arrived is read before anything is cancelled: the end may be among it
            stream.abandon()

    # --- what the peer does -------------------------------------------------------------------------------------------

    @property
    def is_established(self) -> bool:
        """Whether requests can be sent."""
        return not self.is_over and self.peer.connection.state is State.Sta6

    @property
    def was_established(self) -> bool:
        """Whether it is established, or was."""
        return self.peer.connection.agreement is not None

    @property
    def seconds(self) -> float:
        """How long it has lasted, as of the last turn; 0 if it was never established."""
        if not self.was_established:
            return 0.0
        return self.engine.seconds if self._lasted is None else self._lasted

    def has_ended(self) -> bool:
        """Tell whether it is over by now."""
        return self.is_over

    def is_alive(self) -> bool:
        """Tell whether it has a connection, or handlers of its end have not returned yet."""
        return self._was_opened and not self.engine.is_finished

    @property
    def is_active(self) -> bool:
        """Whether it is established, or was so and handlers of its end have not returned yet.

        Those of what passes, bytes, PDUs or transitions, have their say until the connection is closed.
        """
        if not self.was_established:
            return False
        if not self._is_told:
            return True
        is_watched = self.notifier.is_watching or bool(self.peer.handlers.bindings(EVT_CONN_CLOSE))
        return is_watched and self.is_alive()

    def attend(self, indication: Indication) -> Program[None] | None:
        """Do what the peer asks for; return the program for what takes its time, if there is some."""
        match indication:
            case RequestReceived():
                return self._perform_operation(indication)
            case ReleaseRequested():
                if self.peer.connection.performed:
                    return self._confirm_release_later()
                self._confirm_release()
                return None
            case AssociateAccepted():
                self.answer = indication.answer
                report_pdu(indication.answer, is_sent=False)
                return self._begin()
            case AssociateRequested():
                return self._answer(indication.offer)
            case _:
                assert_never(indication)

    def fail_to_connect(self, error: OSError) -> None:
        """Remember, and tell, that there is no connection for it."""
        self.failure, self.is_aborted, self.fate = error, True, "lost"
        with about(self.id):
            _log.error("%s", error)

    def _note_tolerated(self, tolerated: Tolerated) -> None:
        self.entity.note_tolerated(self.peer.ae_title, tolerated, self.peer_address)

    def _begin(self) -> Program[None] | None:
        """Go on when the association is established: its handlers come first, if there are some."""
        self.entity.tally.note_established(is_requestor=self.is_requestor)
        report_established(self)
        if self.has_to_tell(EVT_ACCEPTED, EVT_ESTABLISHED):
            return self._tell_beginning()
        self._has_begun = True
        return None

    def _perform_operation(self, received: RequestReceived) -> Program[None]:
        try:
            if not self._has_begun:  # the handlers of its beginning come first: they may want to abort it
                yield Await(lambda: self._has_begun or None)
            yield from perform(self.peer, received)
        except DicomProtoError as error:
            if not self.is_over and not self.is_released:
                raise
            _log.info("! %s was not answered: %s", received.request.name, error)

    def _confirm_release_later(self) -> Program[None]:
        """Answer first what the peer has asked for before: it may still be answered (PS3.8 9.2.3, AR-7)."""
        connection = self.peer.connection
        yield Await(lambda: not connection.performed or None)
        self._confirm_release()

    def _confirm_release(self) -> None:
        if self.is_over:  # this side has just aborted it
            return
        connection = self.peer.connection
        is_asked = connection.state is State.Sta8  # otherwise both have asked: it is over when both have confirmed
        if connection.state in _CONFIRMS:
            connection.confirm_release()
        if is_asked:
            self.is_released, self.fate = True, "released"
            self._end_with(partial(AssociationClosed, "the peer has released the association"))

    def _answer(self, offer: AAssociateRQ) -> Program[None]:
        reception = self._reception
        report_pdu(offer, is_sent=False)
        if self.has_to_tell(EVT_REQUESTED):
            yield from self.notify(EVT_REQUESTED)
        if self._is_telling:  # somebody else, who has not come to it yet: a handler may want to abort
            yield Await(lambda: not self._is_telling or None)
        if self.is_over:
            return
        received = reception if isinstance(reception, Received) else reception(self, offer)
        answer: AAssociateAC | Refusal
        if isinstance(received, Policy):
            answer = yield from answer_request(self.peer, offer, received)
        elif isinstance(received, Refusal):
            answer = received
        else:
            answer = Refusal(received, "the reception of this side", "it is a rejection")
        if self.has_ended():  # a handler has aborted it, or the peer is gone
            return
        if isinstance(answer, Refusal):
            self._reject(answer)
            return
        self.answer = answer
        self.peer.connection.accept(answer)
        report_pdu(answer, is_sent=True)
        telling = self._begin()
        if telling is not None:
            yield from telling

    def _reject(self, refusal: Refusal) -> None:
        rejection = refusal.rejection
        self.peer.connection.reject(rejection)
        report_pdu(rejection, is_sent=True)
        self._note_rejection(refusal)
        self._end_with(partial(AssociationClosed, "this side has rejected the association"))

    def _note_rejection(self, refusal: Refusal) -> None:
        """Remember that this side has rejected the request, and tell why."""
        self.is_rejected, self.fate = True, "rejected"
        rejection = self.answer = refusal.rejection
        failure = AssociationRejected(rejection.result, rejection.source, rejection.reason)
        self.failure = explained(failure, f"{refusal.detail}; decided by {refusal.decided_by}")
        self.entity.tally.note_rejected(rejection, refusal.decided_by)
        report_rejected(self, refusal)

    def _tell_beginning(self) -> Program[None]:
        yield from self.notify(EVT_ACCEPTED)
        yield from self.notify(EVT_ESTABLISHED)
        if self._is_telling:  # somebody else, who has not come to it yet
            yield Await(lambda: not self._is_telling or None)
        self._has_begun = True

    # --- what this side does ------------------------------------------------------------------------------------------

    def establish(self) -> Program[None]:
        """Wait for the answer to the request of this side; :attr:`failure` says why if there is no association."""
        try:
            yield Await(lambda: self._has_begun or None)
        except AssociationFailure:
            return
        if self.is_established and not self.peer.connection.contexts:
            refused = listed(refused_contexts(self.peer.connection))
            self.failure = NoContextError(f"no presentation context was accepted: {refused}")
            self.give_up()

    def part(self) -> Program[None]:
        """Release the association, once the peer has answered what it was asked; without one, do nothing.

        Results that nobody asks for any more are cancelled first. A handler of this association waits for nothing.
        """
        return self._part(is_handling=self.is_handling())

    def _part(self, *, is_handling: bool) -> Program[None]:
        connection = self.peer.connection
        try:
            if self.is_established and not is_handling:
                for stream in tuple(self._streams):
                    yield from self._abandon(stream)
                yield Await(lambda: not connection.invoked or None)
            if self.is_established:
                connection.release()
                yield Await(lambda: self.is_over or None)
        except AssociationFailure as error:
            _log.debug("! %s", error)

    def give_up(self) -> None:
        """Abort the association at once; without one, do nothing. In a turn, or by who holds it."""
        if self.is_over:
            return
        self.failure = self.failure or AssociationClosed("this side has aborted the association")
        self.is_aborted, self.fate = True, "aborted"
        self.peer.connection.abort()
        self._end_with(partial(AssociationClosed, "this side has aborted the association"))

    # --- its end ------------------------------------------------------------------------------------------------------

    def _end_with(self, failure: Callable[[], AssociationFailure]) -> None:
        self.is_over = True
        self.peer.end = failure

    def take_over(self, ending: Ending) -> None:
        """Remember how the association ended."""
        if self.is_over:
            return
        connection = self.peer.connection
        was_requested = connection.offer is not None
        self.fate = fate_of(ending)
        match ending:
            case Released():
                self.is_released = True
                if connection.state is State.Sta12:  # both asked at once: the acceptor's turn has come (PS3.8 7.2.2.7)
                    connection.confirm_release()
            case AssociateRejected():
                self._take_rejection(AAssociateRJ(ending.result, ending.source, ending.reason))
            case Aborted() | TimedOut():
                self.is_aborted = was_requested
            case ConnectionClosed():
                self.is_aborted = was_requested and not (self.is_released or self.is_rejected)
            case _:
                assert_never(ending)
        suspicion = (None if self.is_rejected else suspicion_of(connection)) or self.suspect()
        self._end_with(lambda: explained(failure_of(ending), suspicion))
        if not self.is_released and self.failure is None:
            self.failure = explained(self.cause or failure_of(ending), suspicion)
        if not (self.is_rejected and self.is_acceptor):
            report_trouble(self, ending)

    def _take_rejection(self, rejection: AAssociateRJ) -> None:
        """Take note of the rejection by the peer; or by the own provider, for a version of the protocol."""
        offer = self.peer.connection.offer
        if self.is_acceptor and offer is not None:
            self._note_rejection(refusal_of(offer, _NO_POLICY, rejection))
            return
        self.is_rejected, self.answer = True, rejection
        report_pdu(rejection, is_sent=False)
        self.entity.tally.note_refused(rejection)

    def end(self) -> AssociationFailure:
        """Return a new exception for those who wait for something that will not happen any more."""
        return self.peer.end()

    def retire(self) -> None:
        """Let go of what holds itself when nothing can happen any more, so that all memory is back at once."""
        self.entity.tally.leave(self)
        self.engine.retire(self.peer.end)
        self.peer.association = Retired(self.engine)
        self.peer.is_handling = self.peer.look = bool
        self.peer.connection.on_tolerated = None
        self._on_ended = None
        self._streams.clear()

    # --- telling ------------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Tell that the connection is open, and on whose request, in the next turn."""
        self._was_opened = True
        self.entity.tally.enter(self)
        offer = self.peer.connection.offer
        if offer is not None:
            with about(self.id):
                report_pdu(offer, is_sent=True)
        self._note(EVT_CONN_OPEN, address=self.peer_address)
        if self.is_requestor:
            self._note(EVT_REQUESTED)
        if self.notifier.has_pending:
            self.engine.start(self.tell())

    def ended(self) -> Program[None] | None:
        """Tell how it ended."""
        self._is_ending = True
        self._lasted = self.seconds
        if self.was_established:
            self.entity.tally.note_end(self.fate)
        for kind, is_so in (
            (EVT_REJECTED, self.is_rejected),
            (EVT_ABORTED, self.is_aborted),
            (EVT_RELEASED, self.is_released),
        ):
            if is_so and self.has_to_tell(kind):
                return self._tell_end(kind)
            if is_so:
                break
        self._note_told()
        return None

    def _tell_end(self, kind: EventKind) -> Program[None]:
        yield from self.notify(kind)  # behind what is sent of it

    def closed(self) -> Program[None] | None:
        """Tell that the connection has been closed."""
        report_end(self)
        self.entity.tally.leave(self)
        return self.notify(EVT_CONN_CLOSE, address=self.peer_address) if self.has_to_tell(EVT_CONN_CLOSE) else None

    def has_to_tell(self, *kinds: EventKind) -> bool:
        """Tell whether there are handlers to be called, of these events or of what has passed before."""
        bindings = self.peer.handlers.bindings
        return bool(self.notifier.pending) or any(bindings(kind) for kind in kinds)

    def notify(self, kind: EventKind, **attributes: Any) -> Program[None]:
        """Tell of an event, after all that has passed before it."""
        self._note(kind, **attributes)
        return self.tell()

    def _note(self, kind: EventKind, **attributes: Any) -> None:
        if self.peer.handlers.bindings(kind):
            self.notifier.add(kind, attributes)

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell, and nobody is telling already."""
        return not self._is_telling and self.notifier.has_pending

    def tell(self) -> Program[None]:
        """Tell what has passed, in order; if somebody is telling already, leave it to them."""
        while self.has_news:
            self._is_telling = True
            try:
                for kind, attributes in self.notifier.take():
                    yield from self._call_handlers(kind, attributes)
            finally:
                self._is_telling = False
        self._note_told()

    def _note_told(self) -> None:
        """When all has been told of its end, this association takes no place any more."""
        if not self._is_ending or self._is_telling:
            return
        self._is_told = True
        if self._on_ended is not None:
            on_ended, self._on_ended = self._on_ended, None
            on_ended(self)

    def _call_handlers(self, kind: EventKind, attributes: Mapping[str, Any]) -> Program[None]:
        """Call the handlers of a notification event; what they raise is logged."""
        for binding in self.peer.handlers.bindings(kind):
            event = Event(kind, self, **attributes)
            try:
                yield Call(binding.handler, (event, *binding.arguments))
            except Exception:  # noqa: BLE001 - a handler's slip costs nothing but its own effect
                _log.exception("a handler of %s raised", kind)
