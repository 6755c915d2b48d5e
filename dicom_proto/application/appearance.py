"""What an association shows of itself to its users: its two sides, its timeouts, its contexts, what is bound to it.

Stable.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import evolve

from dicom_proto.application.access import TLSState
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.notifications import Notifier
from dicom_proto.application.service_user import NOWHERE, Answer, ServiceUser, acceptor_of, requestor_of
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.offers._settings import as_seconds
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.programs.peer import Peer

__all__ = ["Appearance"]

# What drivers, engines and programs of others ask of an association, and what belongs to them.
_OF_DRIVERS: Final = frozenset(
    (
        *("abort_soon", "attend", "cause", "closed", "dial", "end", "ended", "engine", "entity", "establish"),
        *("fail_to_connect", "flush", "forget", "get_tls", "give_up", "has_ended", "has_news", "has_to_tell"),
        *("is_handling", "iterate", "live", "live_at_once", "look", "next_result", "notifier", "notify"),
        *("open", "opened", "part", "request", "retire", "run", "submit", "suspect", "take_over", "tell"),
        "wake",
    )
)


class Appearance:
    """One association of an application entity, as its users see it.

    Parameters
    ----------
    entity : ApplicationEntity
        Whose it is.
    peer : Peer
        The other side, as programs see it.
    is_acceptor : bool
        Which side this is.
    ae_title : str, optional
        That of this side, if it is the acceptor; by default the entity's.

    Attributes
    ----------
    entity, peer, is_acceptor
        As above.
    id : str
        A short name, which stands in front of each line in the log that is about this association.
    is_requestor : bool
        The other one.
    local_address, peer_address : tuple of str and int
        Host and port of the two ends of the transport connection.
    answer : AAssociateAC, AAssociateRJ or None
        What the acceptor has said to the request.
    """

    notifier: Notifier

    def __init__(self, entity: ApplicationEntity, peer: Peer, *, is_acceptor: bool, ae_title: str | None) -> None:
        self.entity = entity
        self.id = entity.next_id()
        self.peer = peer
        self.is_acceptor = is_acceptor
        self.is_requestor = not is_acceptor
        self.local_address = self.peer_address = NOWHERE
        self.answer: Answer | None = None
        self._title = ae_title
        self.get_tls: Callable[[], TLSState | None] = _no_tls

    def __dir__(self) -> list[str]:
        """Return the names that its users look for: those that drive it find theirs on the class."""
        return [name for name in super().__dir__() if name not in _OF_DRIVERS]

    @property
    def tls(self) -> TLSState | None:
        """What TLS of its connection has come to; ``None`` without TLS, and before the handshake is done."""
        return self.get_tls()

    @property
    def ae(self) -> Any:
        """The application entity whose it is."""
        return self.entity

    @property
    def mode(self) -> str:
        """Which side this is: ``"requestor"`` or ``"acceptor"``."""
        return "acceptor" if self.is_acceptor else "requestor"

    @property
    def requestor(self) -> ServiceUser:
        """The side that has requested the association."""
        address = self.peer_address if self.is_acceptor else self.local_address
        return requestor_of(self.peer.connection, address)

    @property
    def acceptor(self) -> ServiceUser:
        """The side that has accepted the association, or was asked to."""
        address = self.local_address if self.is_acceptor else self.peer_address
        title = self._title or self.entity.ae_title
        return acceptor_of(self.peer.connection, self.entity.local_side, title, address, self.answer)

    @property
    def local(self) -> dict[str, Any]:
        """What there is to know about this side: ``mode``, ``ae_title``, ``address``, ``port``, ``pdv_size``."""
        return (self.acceptor if self.is_acceptor else self.requestor).info

    @property
    def remote(self) -> dict[str, Any]:
        """What there is to know about the other side: as :attr:`local`."""
        return (self.requestor if self.is_acceptor else self.acceptor).info

    @property
    def acse_timeout(self) -> float | None:
        """Seconds to wait for the answer to a release, ``None`` or 0 for ever; counts for this association."""
        return self.peer.connection.timeouts.release

    @acse_timeout.setter
    def acse_timeout(self, seconds: float | None) -> None:
        artim = {} if as_seconds(seconds) is None else {"artim": seconds}
        self._set_timeouts(request=seconds, release=seconds, **artim)

    @property
    def dimse_timeout(self) -> float | None:
        """Seconds to wait for a DIMSE response, ``None`` or 0 for ever; setting it counts from the next wait on."""
        return self.peer.connection.timeouts.response

    @dimse_timeout.setter
    def dimse_timeout(self, seconds: float | None) -> None:
        self._set_timeouts(response=seconds)

    @property
    def network_timeout(self) -> float | None:
        """Seconds without traffic until it is aborted, ``None`` or 0 for ever; counts from the next traffic on."""
        return self.peer.connection.timeouts.idle

    @network_timeout.setter
    def network_timeout(self, seconds: float | None) -> None:
        self._set_timeouts(idle=seconds)

    @property
    def network_timeout_response(self) -> str:
        """What follows when the network timeout has passed: ``"A-ABORT"``, or ``"A-RELEASE"``."""
        return "A-RELEASE" if self.peer.connection.releases_when_idle else "A-ABORT"

    @network_timeout_response.setter
    def network_timeout_response(self, response: str) -> None:
        if response not in {"A-ABORT", "A-RELEASE"}:
            raise InvalidSettingError(f"{response!r} is no answer to silence: it is 'A-ABORT' or 'A-RELEASE'")
        self.peer.connection.releases_when_idle = response == "A-RELEASE"

    def _set_timeouts(self, **stated: Any) -> None:
        seconds = {name: as_seconds(value) for name, value in stated.items()}
        try:
            self.peer.connection.timeouts = evolve(self.peer.connection.timeouts, **seconds)
        except (TypeError, ValueError) as error:
            raise InvalidSettingError(f"a timeout is a number of seconds, or None or 0: {error}") from error

    @property
    def accepted_contexts(self) -> list[PresentationContext]:
        """The presentation contexts that both sides agreed on."""
        return [self._as_context(context_id) for context_id in self.peer.connection.contexts]

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

    # --- handlers -----------------------------------------------------------------------------------------------------

    def bind(self, event: EventKind, handler: Any, args: Sequence[Any] | None = None) -> None:
        """Bind a handler to an event of this association; raises as :meth:`Handlers.bind`."""
        self.peer.handlers.bind(event, handler, args)
        self.notifier.update()

    def unbind(self, event: EventKind, handler: Any) -> None:
        """Unbind a handler."""
        self.peer.handlers.unbind(event, handler)
        self.notifier.update()

    def get_events(self) -> list[EventKind]:
        """Return the events that something is bound to."""
        return sorted(self.peer.handlers.kinds(), key=str)

    def get_handlers(self, event: EventKind) -> Any:
        """Return what is bound to an event, as ``(handler, arguments)``: a list of them for a notification event.

        Without arguments they are ``None``. For an intervention event without a handler it is ``(None, None)``.
        """
        return self.peer.handlers.stated(event)


def _no_tls() -> None:
    """Return what there is without TLS."""
