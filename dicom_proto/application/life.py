"""The life of an association, from the open connection to the closed one: what no adapter has to know.

An adapter carries bytes and runs programs. What it has to do for an association is asked here: who has to be told
of what (:meth:`AssociationLife.tell`), what has to be done for the peer (:meth:`AssociationLife.attend`), and whether
it is over (:meth:`AssociationLife.conclude`).
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, assert_never

from dicom_proto.application.acceptance import answer_request
from dicom_proto.application.dispatch import perform
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.notifications import Notifier
from dicom_proto.application.service_user import NOWHERE
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.routing import Summons
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
from dicom_proto.programs.effects import Await, Call, Program
from dicom_proto.programs.peer import Peer
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

__all__ = ["HANDLING", "AssociationLife"]

_log = logging.getLogger("dicom_proto.services")
_CONFIRMS: Final = frozenset({State.Sta8, State.Sta9})  # in a collision the acceptor waits for its own confirmation

_NO_POLICY: Final = Policy(supported={})  # of a requestor, whom nobody requests an association from

HANDLING: Final[ContextVar[tuple[object, ...]]] = ContextVar("HANDLING", default=())
"""The associations whose handler is running here: adapters add theirs for the time of a call."""


class AssociationLife:
    """One association of an application entity, or the failed attempt at one.

    Parameters
    ----------
    entity : ApplicationEntity
        Whose it is.
    connection : Connection
        The protocol, just made.
    handlers : Handlers
        What is bound to its events.
    policy : Policy or AAssociateRJ, optional
        For the acceptor: by what a request is answered, or the rejection that it gets whatever it asks for.

    Attributes
    ----------
    entity : ApplicationEntity
        Whose it is.
    peer : Peer
        The other side, as programs see it.
    failure : Exception or None
        Why there is no association, or none any more.
    is_acceptor, is_requestor : bool
        Which side this is.
    is_released, is_aborted, is_rejected : bool
        What has become of it.
    is_over : bool
        Whether it has ended; the connection may still have to be closed.
    local_address, peer_address : tuple of str and int
        Host and port of the two ends of the transport connection.
    """

    def __init__(
        self,
        entity: ApplicationEntity,
        connection: Connection,
        handlers: Handlers,
        *,
        policy: Policy | AAssociateRJ | None = None,
    ) -> None:
        self.entity = entity
        self.peer = Peer(connection, handlers, self, entity=entity, data_limit=entity.limits.data_set)
        self.peer.limits, self.peer.rules = entity.limits, entity.encoding_rules
        self.notifier = Notifier(self.peer)
        self.failure: AssociationFailure | OSError | NoContextError | None = None
        self.is_acceptor = policy is not None
        self.is_requestor = policy is None
        self.is_released = self.is_aborted = self.is_rejected = self.is_over = False
        self.local_address = self.peer_address = NOWHERE
        self._policy = policy if policy is not None else _NO_POLICY
        self._is_telling = False
        self._has_begun = False  # and its handlers have been told

    @property
    def is_established(self) -> bool:
        """Whether requests can be sent."""
        return not self.is_over and self.peer.connection.state is State.Sta6

    # --- what the peer does -------------------------------------------------------------------------------------------

    def attend(self, summons: Summons) -> Program[None]:
        """Do what the peer asks for."""
        connection = self.peer.connection
        match summons:
            case RequestReceived():
                yield from self._perform_operation(summons)
            case ReleaseRequested():
                if connection.state is State.Sta8:  # otherwise both have asked: it is when both have confirmed
                    self.is_released = True
                if connection.state in _CONFIRMS:
                    connection.confirm_release()
            case AssociateAccepted():
                yield from self._tell_beginning()
            case AssociateRequested():
                yield from self._answer(summons.offer)
            case _:
                assert_never(summons)

    def _perform_operation(self, summons: RequestReceived) -> Program[None]:
        try:
            yield from perform(self.peer, summons)
        except DicomProtoError as error:
            if not self.conclude() and not self.is_released:
                raise
            _log.info("! %s was not answered: %s", summons.request.name, error)

    def _answer(self, offer: AAssociateRQ) -> Program[None]:
        connection, policy = self.peer.connection, self._policy
        yield from self.notify(EVT_REQUESTED)
        if self._is_telling:  # somebody else, who has not come to it yet: a handler may want to abort
            yield Await(lambda: not self._is_telling or None)
        answer: AAssociateAC | AAssociateRJ
        if isinstance(policy, AAssociateRJ):
            answer = policy
        else:
            answer = yield from answer_request(self.peer, offer, policy)
        if self.conclude():  # a handler has aborted it, or the peer is gone
            return
        if isinstance(answer, AAssociateRJ):
            self.is_rejected = True
            connection.reject(answer)
        else:
            connection.accept(answer)
            yield from self._tell_beginning()

    def _tell_beginning(self) -> Program[None]:
        yield from self.notify(EVT_ACCEPTED)
        yield from self.notify(EVT_ESTABLISHED)
        self._has_begun = True

    # --- what this side does ------------------------------------------------------------------------------------------

    def establish(self) -> Program[None]:
        """Wait for the answer to the request of this side; :attr:`failure` says why if there is no association."""
        try:
            yield Await(lambda: self._has_begun or None)
        except AssociationFailure as error:
            _log.info("! %s", error)
            return
        if self.is_established and not self.peer.connection.contexts:
            agreement = self.peer.connection.agreement
            rejected = () if agreement is None else tuple(agreement.rejected.values())
            self.failure = NoContextError(f"no presentation context was accepted: {rejected}")
            self.give_up()

    def part(self, *, is_handling: bool) -> Program[None]:
        """Release the association, once the peer has answered what it was asked; without one, do nothing.

        Parameters
        ----------
        is_handling : bool
            Whether a handler of this association asks for it: then nothing is waited for before.
        """
        connection, router = self.peer.connection, self.peer.router
        try:
            if self.is_established and not is_handling:
                yield Await(lambda: not connection.invoked or router.is_full or None)
            if self.is_established:
                connection.release()
                yield Await(lambda: self.is_over or None)
        except AssociationFailure as error:
            _log.debug("! %s", error)

    def give_up(self) -> None:
        """Abort the association; without one, do nothing."""
        if self.is_over:
            return
        self.is_over = True
        if self.peer.connection.state is not State.Sta13:  # released or rejected, and waiting for the peer to close
            self.failure = self.failure or AssociationClosed("this side has aborted the association")
            self.is_aborted = True
        self.peer.connection.abort()

    # --- its end ------------------------------------------------------------------------------------------------------

    def conclude(self) -> bool:
        """Take over what has happened; return whether the association has ended."""
        router = self.peer.router
        router.pump()
        if router.ending is not None and not self.is_over:
            self.is_over = True
            self._take_over(router.ending)
        return self.is_over

    def _take_over(self, ending: Ending) -> None:
        """Remember how the association ended."""
        connection = self.peer.connection
        was_requested = connection.offer is not None
        match ending:
            case Released():
                self.is_released = True
                if connection.state is State.Sta12:  # both asked at once: the acceptor's turn has come (PS3.8 7.2.2.7)
                    connection.confirm_release()
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

    def end(self) -> AssociationFailure:
        """Return the exception for those who wait for something that will not happen any more."""
        if isinstance(self.failure, AssociationFailure):
            return self.failure
        return failure_of(self.peer.router.ending or ConnectionClosed())

    # --- telling ------------------------------------------------------------------------------------------------------

    def opened(self, address: tuple[str, int]) -> Program[None]:
        """Tell that the connection is open."""
        return self.notify(EVT_CONN_OPEN, address=address)

    def ended(self) -> Program[None]:
        """Tell how it ended: to be run once, when it is over."""
        if self.is_rejected:
            yield from self.notify(EVT_REJECTED)
        elif self.is_aborted:
            yield from self.notify(EVT_ABORTED)
        elif self.is_released:
            yield from self.notify(EVT_RELEASED)

    def closed(self, address: tuple[str, int]) -> Program[None]:
        """Tell that the connection has been closed."""
        return self.notify(EVT_CONN_CLOSE, address=address)

    def notify(self, kind: EventKind, **attributes: Any) -> Program[None]:
        """Tell of an event, after all that has passed before it."""
        if self.peer.handlers.bindings(kind):
            self.notifier.add(kind, attributes)
        return self.tell()

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

    def _call_handlers(self, kind: EventKind, attributes: Mapping[str, Any]) -> Program[None]:
        """Call the handlers of a notification event; what they raise is logged."""
        for binding in self.peer.handlers.bindings(kind):
            event = Event(kind, self, **attributes)
            try:
                yield Call(binding.handler, (event, *binding.arguments))
            except Exception:  # noqa: BLE001 - a handler's slip costs nothing but its own effect
                _log.exception("a handler of %s raised", kind)
