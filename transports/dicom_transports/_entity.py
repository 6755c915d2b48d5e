"""What the adapters' servers and application entities have in common: everything but the waiting."""

import logging
import socket
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, update_wrapper
from itertools import count
from types import MappingProxyType
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from attrs import evolve, frozen

from dicom_proto.application.access import admit, place_of
from dicom_proto.application.association import EntityAssociation, Received
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.results import status_of
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.registry import Bindable, Handlers
from dicom_proto.logs import about
from dicom_proto.names import check_ae_title
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.offers.items import AsynchronousOperationsWindowNegotiation, NegotiationItem
from dicom_proto.services.storage.batch import Batch
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.policy import Policy
from dicom_transports._files.reading import as_storable
from dicom_transports._socket.sockets import (
    Address,
    TLSArguments,
    check_address,
    check_local_address,
    close_listener,
    listen_all,
    local_address,
    peer_address,
)
from dicom_transports._socket.tls_contexts import ServerTLS, TLSContexts
from dicom_transports._socket.tls_layer import TLSLayer

__all__ = [
    "AEBase",
    "Requested",
    "ServerBase",
    "Serving",
    "associate",
    "debug_logger",
    "entity_method",
    "send_c_stores",
]

P = ParamSpec("P")
T = TypeVar("T")
ResultT = TypeVar("ResultT")
AssociationT = TypeVar("AssociationT", bound=EntityAssociation)
ServerT = TypeVar("ServerT", bound="ServerBase[Any]")
_log = logging.getLogger("dicom_transports")
_CONNECTIONS: Final = "AE.maximum_connections"
_NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})


def debug_logger() -> None:
    """Log everything that happens, to the standard error: PDUs, states and timers, no data sets."""
    logging.basicConfig(level=logging.DEBUG, format="%(levelname).1s: %(message)s")


@frozen
class Serving:
    """What a server is made for: as whom, for what, with which TLS."""

    ae_title: str
    contexts: list[PresentationContext]
    policy: Policy
    ssl_context: ServerTLS | None


class ServerBase(Generic[AssociationT]):
    """Serves associations for an application entity.

    An association takes one of ``ae.maximum_associations`` places from the request that was not rejected until the
    handlers of its end have run. Connections that have said nothing yet have a bound of their own
    (``ae.maximum_connections``): the one that has been silent longest gives way.

    Attributes
    ----------
    ae : AE
        For whom.
    ae_title : str
        Its title here.
    contexts : list of PresentationContext
        What it accepts.
    ssl_context : ssl.SSLContext, callable or None
        What it uses for TLS.
    """

    def __init__(
        self, ae: ApplicationEntity, listeners: list[socket.socket], handlers: Handlers, serving: Serving
    ) -> None:
        self.ae = ae
        self.ae_title, self.contexts, self.ssl_context = serving.ae_title, serving.contexts, serving.ssl_context
        ssl_context = serving.ssl_context
        self._handlers = handlers
        self._required = ae.required(self.ae_title)
        self._policy = serving.policy
        self._tls_contexts = None if ssl_context is None else TLSContexts(ssl_context)
        self._associations: set[AssociationT] = set()  # all that have a connection
        self._silent: dict[AssociationT, None] = {}  # those that have requested nothing, the oldest first
        self._places: set[AssociationT] = set()
        self._listeners = listeners
        self.address = local_address(listeners[0])

    @property
    def active_associations(self) -> list[AssociationT]:
        """The associations that are established now, and those whose handlers have not seen to their end yet."""
        return [association for association in tuple(self._associations) if association.is_active]

    @property
    def server_address(self) -> Address:
        """Where it listens: the same as ``address``."""
        return self.address

    def bind(self, event: EventKind, handler: Any, args: Sequence[Any] | None = None) -> None:
        """Bind a handler to an event of the associations to come, and of those that are established."""
        self._handlers.bind(event, handler, args)
        for association in self.active_associations:
            association.bind(event, handler, args)

    def unbind(self, event: EventKind, handler: Any) -> None:
        """Unbind a handler, as :meth:`bind` binds it."""
        self._handlers.unbind(event, handler)
        for association in self.active_associations:
            association.unbind(event, handler)

    def get_events(self) -> list[EventKind]:
        """Return the events that something is bound to."""
        return sorted(self._handlers.kinds(), key=str)

    def get_handlers(self, event: EventKind) -> Any:
        """Return what is bound to an event, as ``get_handlers`` of an association."""
        return self._handlers.stated(event)

    def _tls(self) -> TLSLayer | None:
        return None if self._tls_contexts is None else self._tls_contexts.layer()

    def reload_tls(self, ssl_context: ServerTLS | None = None) -> None:
        """Read certificates and revocation lists again, for the connections to come; those that are there go on.

        Parameters
        ----------
        ssl_context : ssl.SSLContext or callable, optional
            What is used from now on, instead of what was given before.

        Raises
        ------
        InvalidSettingError
            If that cannot be used; or it cannot be made anew; or this is a server without TLS. What was used is used
            on.
        """
        if self._tls_contexts is None:
            raise InvalidSettingError("this is a server without TLS")
        self._tls_contexts.reload(ssl_context)
        self.ssl_context = ssl_context or self.ssl_context

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            close_listener(listener)

    # --- places -------------------------------------------------------------------------------------------------------

    def _admit(self, make: Callable[..., AssociationT]) -> AssociationT | None:
        """Make the association of a new connection; ``None`` if there is no room for another connection.

        The one that has been silent longest gives way; it is returned by :meth:`_crowded_out` first.
        """
        if len(self._associations) >= self.ae.maximum_connections:
            return None
        association = make(self._handlers.copy(), self._receive, ae_title=self.ae_title, on_ended=self._end)
        self._associations.add(association)
        self._silent[association] = None
        return association

    def _crowded_out(self) -> AssociationT | None:
        """Return the connection that has to give way to a new one, if one has to and can."""
        if len(self._associations) < self.ae.maximum_connections or not self._silent:
            return None
        association = next(iter(self._silent))
        self._forget(association)
        with about(association.id):
            _log.warning(
                "connection from %s closed: it has said nothing, and gives way to a new one; decided by %s",
                place_of(association.peer_address),
                _CONNECTIONS,
            )
        return association

    def _turn_away(self, sock: socket.socket) -> None:
        """Close a connection that there is no room for."""
        where = place_of(peer_address(sock))
        _log.warning("connection from %s closed: there are too many; decided by %s", where, _CONNECTIONS)
        sock.close()

    def _receive(self, association: AssociationT, offer: AAssociateRQ) -> Received:
        """Return how a request is received: by the policy, or with a refusal if it gets no place."""
        self._silent.pop(association, None)
        refusal = admit(self.ae, self._places, association, offer)
        if refusal is not None:
            return refusal
        self._places.add(association)
        required = self.ae.required(self.ae_title)
        if required != self._required:  # by settings that have been changed since
            self._policy, self._required = evolve(self._policy, **required), required
        return self._policy

    def _end(self, association: AssociationT) -> None:
        """Give the place of an association to others: its handlers have been told of its end."""
        self._silent.pop(association, None)
        self._places.discard(association)

    def _forget(self, association: AssociationT) -> None:
        """Take note that a connection has been closed."""
        self._end(association)
        self._associations.discard(association)


@frozen
class Requested:
    """An association to be requested: where, with what, and what the transport has to know."""

    address: Address
    offer: AAssociateRQ
    options: Mapping[str, Any] = _NO_OPTIONS


class AEBase(ApplicationEntity, Generic[ServerT]):
    """An application entity that requests associations, and serves them."""

    _allow_async = True  # whether handlers may be async
    _ids: Iterator[int] = count(1)  # of all associations in this process
    id_prefix = ""
    """What the ids of associations begin with: where there are several processes, each has its own."""

    def __init__(self, ae_title: str | bytes = "DICOM_PROTO") -> None:
        super().__init__(ae_title)
        self._servers: list[ServerT] = []

    @property
    def active_associations(self) -> list[Any]:
        """The associations that its servers have established now."""
        return [association for server in self._servers for association in server.active_associations]

    def next_id(self) -> str:
        """Return a short name for another association, which no other has in this process."""
        return f"{AEBase.id_prefix}{next(AEBase._ids)}"

    def handlers(self, bound: Iterable[Bindable] | None) -> Handlers:
        """Return the registry of what a user has bound; raises as :class:`~dicom_proto.handlers.registry.Handlers`."""
        return Handlers(bound, allow_async=self._allow_async)

    def make_server(
        self,
        address: Address,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        ssl_context: ServerTLS | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
        *,
        reuse_port: bool = False,
    ) -> ServerT:
        """Make a server that listens and does not accept yet.

        Parameters
        ----------
        address : tuple of str and int
            Where to listen; port 0 lets the system choose, see ``server.address``.
        ssl_context : ssl.SSLContext, optional
            For TLS: the context of the server's side.
        evt_handlers : iterable of tuple, optional
            ``(event, handler)`` or ``(event, handler, [arguments])``.
        ae_title : str, optional
            The server's own title, instead of :attr:`ae_title`: the one that has to be called if
            :attr:`require_called_aet` is true.
        contexts : iterable of PresentationContext, optional
            What is accepted instead of :attr:`supported_contexts`.
        reuse_port : bool
            Share the port with other servers that say so: see :mod:`dicom_transports.processes`.

        Raises
        ------
        LocalProtocolError
            If nothing is supported, or a handler or the context cannot be used.
        OSError
            If the address cannot be listened on.
        """
        if ssl_context is not None:
            TLSContexts(ssl_context)  # so that a context for clients is noticed before there is a listener
        supported = list(self.supported_contexts if contexts is None else contexts)
        title = check_ae_title(ae_title or self.ae_title)
        serving = Serving(title, supported, self.policy(supported, ae_title=title), ssl_context)
        handlers = self.handlers(evt_handlers)
        server = self._make_server(listen_all(address, reuse_port=reuse_port), handlers, serving)
        self._servers.append(server)
        return server

    @abstractmethod
    def _make_server(self, listeners: list[socket.socket], handlers: Handlers, serving: Serving) -> ServerT: ...


# --- what users ask of an application entity, each stated once --------------------------------------------------------


def entity_method(
    verb: Callable[Concatenate[AEBase[Any], P], T], then: Callable[[Any, T], ResultT]
) -> Callable[Concatenate[Any, P], ResultT]:
    """Make a method of an adapter's AE: the verb says what is wanted, and ``then`` does it in the adapter's way."""

    def method(self: Any, /, *arguments: P.args, **options: P.kwargs) -> ResultT:
        return then(self, verb(self, *arguments, **options))

    update_wrapper(method, verb)
    return method


def _check_addresses(address: Address, bind_address: Address | None) -> None:
    check_address(address)
    if bind_address is not None:
        check_local_address(bind_address)


def associate(  # noqa: PLR0913, PLR0917 - these are pynetdicom's
    ae: AEBase[Any],
    addr: str,
    port: int,
    contexts: Sequence[PresentationContext] | None = None,
    ae_title: str = "ANY-SCP",
    max_pdu: int | None = None,
    ext_neg: Iterable[NegotiationItem] | None = None,
    bind_address: Address | None = None,
    tls_args: TLSArguments | None = None,
    evt_handlers: Iterable[Bindable] | None = None,
) -> Requested:
    """Request an association.

    Parameters
    ----------
    addr, port
        Where the peer listens: a host name or an IPv4 or IPv6 address, and a port number.
    contexts : sequence of PresentationContext, optional
        What to propose instead of :attr:`requested_contexts`.
    ae_title : str
        The AE title to call.
    max_pdu : int, optional
        Instead of :attr:`maximum_pdu_size`.
    ext_neg : iterable, optional
        Roles, extended negotiation, user identity, operations window.
    bind_address : tuple of str and int, optional
        Local host and port to connect from.
    tls_args : tuple of ssl.SSLContext and str, optional
        For TLS: the context, and the host name that the server's certificate has to carry.
    evt_handlers : iterable of tuple, optional
        ``(event, handler)`` or ``(event, handler, [arguments])``.

    Returns
    -------
    Association
        Established or not: look at ``is_established``, or use it in a ``with`` statement, which raises.

    Raises
    ------
    LocalProtocolError
        If what is proposed breaks a rule of the standard.
    """
    _check_addresses((addr, port), bind_address)
    offer = ae.offer(ae_title, contexts, maximum_length=max_pdu, items=ext_neg or ())
    options = {"bind_address": bind_address, "tls_args": tls_args, "evt_handlers": evt_handlers}
    return Requested((addr, port), offer, options)


def send_c_stores(  # noqa: PLR0913 - those of an association request, and those of a transfer
    ae: AEBase[Any],
    addr: str,
    port: int,
    items: Any,
    ae_title: str = "ANY-SCP",
    *,
    ext_neg: Iterable[NegotiationItem] | None = None,
    tls_args: TLSArguments | None = None,
    bind_address: Address | None = None,
    evt_handlers: Iterable[Bindable] | None = None,
    retries: int = 2,
    retry_delay: float = 1.0,
    decompress: bool = False,
    priority: int = 2,
    on_progress: Callable[[int, int], object] | None = None,
    window: int = 1,
    associations: int = 1,
) -> Batch:
    """Send many objects, over as many associations as they need; yield each with its status.

    Up to 1000 items are looked at, before an association is requested with the presentation contexts that they
    need. :attr:`requested_contexts` makes no difference. Nothing happens before the first result is asked for;
    who stops asking aborts the association.

    Parameters
    ----------
    addr, port, ae_title, tls_args, bind_address, evt_handlers
        As for :meth:`associate`, for each association.
    items : iterable or async iterable
        What ``send_c_store`` of an association takes.
    ext_neg : iterable, optional
        User identity and others.
    retries : int
        How many more times an object is sent that has no answer because an association was lost, or there was
        none. One that was answered is not sent again.
    retry_delay : float
        Seconds to wait before another association is requested for those.
    decompress : bool
        Whether compressed objects may be decompressed where the peer does not take them as they are.
    priority : int
        0 medium, 1 high, 2 low.
    on_progress : callable, optional
        Called with the numbers of objects and of bytes that have been answered for.
    window : int
        How many operations to propose that may be outstanding (PS3.7 D.3.3.3); 0 is any number.
    associations : int
        How many associations share the objects, up to 64. A peer that does not establish so many gets fewer.

    Returns
    -------
    iterator of Sent
        The item and the status Dataset, in the order in which they are done, and as ``position`` which item it was.
        Where no response came, or the item could not be sent, the status is an empty
        :class:`~dicom_proto.services.storage.pipeline.NotStored`, whose ``failure`` says why.

    Raises
    ------
    LocalProtocolError
        If what is proposed breaks a rule of the standard; when the first result is asked for. At once if there are to
        be no associations, or too many.
    """
    _check_addresses((addr, port), bind_address)
    proposed = list(ext_neg or ())
    if window != 1:
        proposed.append(AsynchronousOperationsWindowNegotiation(window, 1))
    return Batch(
        items,
        as_storable,
        status_of,
        (addr, port),
        partial(ae.offer, ae_title, items=proposed),
        options={"tls_args": tls_args, "bind_address": bind_address, "evt_handlers": evt_handlers},
        retries=retries,
        retry_delay=retry_delay,
        decompress=decompress,
        priority=priority,
        on_progress=on_progress,
        associations=associations,
    )
