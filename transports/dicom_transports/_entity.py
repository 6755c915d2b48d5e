"""What the adapters' associations, servers and application entities have in common: everything but the waiting."""

import logging
import socket
import ssl
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context, copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.face import AssociationFace, NothingT, ResultsT, ResultT, SentT, StatusT
from dicom_proto.application.life import HANDLING
from dicom_proto.application.requests import status_of
from dicom_proto.dimse.connection import Connection
from dicom_proto.errors import InvalidSettingError, NotEstablishedError
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.registry import Bindable, Handlers
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.offers.items import AsynchronousOperationsWindowNegotiation, NegotiationItem
from dicom_proto.programs.effects import END, Call
from dicom_proto.services.storage.batch import Shipment
from dicom_proto.upper_layer.failures import Ending
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import LOCAL_LIMIT_EXCEEDED, Policy
from dicom_transports._files.reading import as_storable
from dicom_transports._socket.channel import Channel
from dicom_transports._socket.link import Link
from dicom_transports._socket.sockets import Address, TLSArguments, listen, local_address, peer_address
from dicom_transports._socket.tls_layer import TLSLayer

__all__ = ["AEBase", "AssociationBase", "Scope", "ServerBase", "debug_logger"]

_log = logging.getLogger("dicom_transports")


def debug_logger() -> None:
    """Log everything that happens, to the standard error: PDUs, states and timers, no data sets."""
    logging.basicConfig(level=logging.DEBUG, format="%(levelname).1s: %(message)s")


class Scope:
    """What one program has got hold of, and the context in which it calls what the user wrote.

    Attributes
    ----------
    opened : list
        Iterators and associations, to be closed however the program ends.
    """

    __slots__ = ("_association", "_context", "opened")

    def __init__(self, association: object) -> None:
        self._association = association
        self._context: Context | None = None
        self.opened: list[Any] = []

    def call(self, call: Call) -> Any:
        """Call a handler; its event tells when that was."""
        self.stamp(call)
        return self.run(call.function, *call.arguments)

    @staticmethod
    def stamp(call: Call) -> None:
        """Let the event of a handler tell when it is called."""
        event = call.arguments[0] if call.arguments else None
        if isinstance(event, Event):
            event.called_at = datetime.now(UTC).timestamp()

    def pull(self, iterator: Any) -> Any:
        """Return the next item of an iterator, :data:`END` after the last."""
        return self.run(next, iterator, END)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the user: what it asks of the association then is known to come from a handler."""
        if self._context is None:
            self._context = copy_context()
            self._context.run(HANDLING.set, (*HANDLING.get(), self._association))
        return self._context.run(function, *arguments)

    def close(self, item: Any) -> None:
        """Close an iterator or an association that a program has left open."""
        try:
            if isinstance(item, AssociationBase):
                item.abort()
            else:
                self.run(getattr(item, "close", bool))
        except Exception:  # noqa: BLE001 - it may run what the user wrote
            _log.exception("a handler raised when it was closed")


class AssociationBase(AssociationFace[NothingT, StatusT, ResultT, ResultsT, SentT]):
    """An association of an :class:`AEBase`, over a :class:`Link` once there is a connection."""

    def __init__(self, ae: ApplicationEntity, handlers: Handlers, policy: Policy | AAssociateRJ | None = None) -> None:
        connection = Connection(limits=ae.limits, tolerance=ae.tolerance, timeouts=ae.timeouts)
        super().__init__(ae, connection, handlers, policy=policy)
        self.peer.read = as_storable
        self._link: Link | None = None

    def _connect(self, sock: socket.socket, tls: TLSLayer | None, clock: Callable[[], float]) -> Link:
        """Take a connected socket."""
        self.local_address, self.peer_address = local_address(sock), peer_address(sock)
        link = Link(Channel(sock, tls), self.peer.connection, self.notifier, clock)
        self._link = link
        return link

    def _open_link(self) -> Link:
        if self._link is None:
            raise NotEstablishedError(f"the association was never established: {self.failure}")
        return self._link

    def _take_over(self, ending: Ending) -> None:
        """Remember how the association ended, and let the peer know."""
        super()._take_over(ending)
        if self._link is not None:
            if isinstance(self._link.error, ssl.SSLError):
                self.failure = self._link.error
            self._link.say_farewell()

    def give_up(self) -> None:
        """Abort the association; without one, do nothing."""
        was_over = self.is_over
        super().give_up()
        if not was_over and self._link is not None:
            self._link.say_farewell()


AssociationT = TypeVar("AssociationT", bound=AssociationBase[Any, Any, Any, Any, Any])
ReturnedT = TypeVar("ReturnedT")
ServerT = TypeVar("ServerT", bound="ServerBase[Any]")


class ServerBase(Generic[AssociationT]):
    """Serves associations for an application entity.

    Attributes
    ----------
    ae : AE
        For whom.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        listener: socket.socket,
        handlers: Handlers,
        policy: Policy,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.ae = ae
        self._handlers = handlers
        self._policy = policy
        self._ssl_context = ssl_context
        self._associations: set[AssociationT] = set()
        self._listener = listener
        self.address = local_address(listener)

    @property
    def active_associations(self) -> list[AssociationT]:
        """The associations that are established now."""
        return [association for association in tuple(self._associations) if association.is_established]

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
        """Return what is bound to an event, as :meth:`~dicom_proto.application.face.AssociationFace.get_handlers`."""
        return self._handlers.stated(event)

    def _tls(self) -> TLSLayer | None:
        return None if self._ssl_context is None else TLSLayer(self._ssl_context, server_side=True)

    def _reception(self) -> Policy | AAssociateRJ | None:
        """Return how the next connection is received: by the policy, or with a rejection; ``None`` if not at all."""
        others, most = len(self._associations), self.ae.maximum_associations
        if others >= 2 * most:
            return None
        others -= sum(association.is_rejected for association in self._associations)  # who only have to hang up
        return LOCAL_LIMIT_EXCEEDED if others >= most else self._policy


class AEBase(ApplicationEntity, Generic[ServerT, ReturnedT, SentT]):
    """An application entity that requests associations, and serves them."""

    _allow_async = True  # whether handlers may be async

    def __init__(self, ae_title: str | bytes = "DICOM_PROTO") -> None:
        super().__init__(ae_title)
        self._servers: list[ServerT] = []

    @property
    def active_associations(self) -> list[Any]:
        """The associations that its servers have established now."""
        return [association for server in self._servers for association in server.active_associations]

    def associate(  # noqa: PLR0913, PLR0917 - these are pynetdicom's
        self,
        addr: str,
        port: int,
        contexts: Sequence[PresentationContext] | None = None,
        ae_title: str = "ANY-SCP",
        max_pdu: int | None = None,
        ext_neg: Iterable[NegotiationItem] | None = None,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> ReturnedT:
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
        offer = self.offer(ae_title, contexts, maximum_length=max_pdu, items=ext_neg or ())
        return self.dial((addr, port), offer, bind_address=bind_address, tls_args=tls_args, evt_handlers=evt_handlers)

    @abstractmethod
    def dial(
        self,
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> ReturnedT:
        """Request an association with a request that is made already; otherwise as :meth:`associate`."""

    def send_c_stores(  # noqa: PLR0913 - those of an association request, and those of a transfer
        self,
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
    ) -> SentT:
        """Send many objects, over as many associations, one after the other, as they need; yield each with its status.

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

        Returns
        -------
        iterator of tuple
            The item and the status Dataset, in the order in which they are done. Where no response came, or the item
            could not be sent, that is an empty :class:`~dicom_proto.services.storage.pipeline.NotStored`, whose
            ``failure`` says why.

        Raises
        ------
        LocalProtocolError
            If what is proposed breaks a rule of the standard; when the first result is asked for.
        """
        proposed = list(ext_neg or ())
        if window != 1:
            proposed.append(AsynchronousOperationsWindowNegotiation(window, 1))
        shipment = Shipment(
            items,
            as_storable,
            status_of,
            (addr, port),
            partial(self.offer, ae_title, items=proposed),
            options={"tls_args": tls_args, "bind_address": bind_address, "evt_handlers": evt_handlers},
            retries=retries,
            retry_delay=retry_delay,
            decompress=decompress,
            priority=priority,
            on_progress=on_progress,
        )
        return self._deliver(shipment)

    @abstractmethod
    def _deliver(self, shipment: Shipment) -> SentT:
        """Return what becomes of a shipment, to be iterated over."""

    def make_server(
        self,
        address: Address,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        ssl_context: ssl.SSLContext | None = None,
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
            The AE title that has to be called if :attr:`require_called_aet` is true.
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
        if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
            raise InvalidSettingError(f"{ssl_context!r} is not an SSLContext")
        if ssl_context is not None:
            TLSLayer(ssl_context, server_side=True)  # so that a context for clients is noticed now
        policy = self.policy(contexts, ae_title=ae_title)
        handlers = Handlers(evt_handlers, allow_async=self._allow_async)
        server = self._make_server(listen(address, reuse_port=reuse_port), handlers, policy, ssl_context)
        self._servers.append(server)
        return server

    @abstractmethod
    def _make_server(
        self,
        listener: socket.socket,
        handlers: Handlers,
        policy: Policy,
        ssl_context: ssl.SSLContext | None,
    ) -> ServerT: ...
