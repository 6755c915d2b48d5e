"""DICOM over blocking sockets, in the words that users of pynetdicom know: :class:`AE`, :class:`Association`, ``evt``.

Each association has a thread that sees to what the peer does while nobody calls: an acceptor's serves it; a
requestor's answers what it is asked, notices a release, an abort or a closed connection, and keeps the timers. A call
is driven by the thread that makes it, so that it costs no hand-over.

Below it is what carries one association over one socket, for those who want no more: :class:`Session`,
:func:`connect` and :class:`Server`.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from dicom_proto.dimse.connection import Connection
from dicom_proto.entity import ApplicationEntity
from dicom_proto.negotiation_items import NegotiationItem
from dicom_proto.presentation import PresentationContext, build_context, build_role
from dicom_proto.services import handlers as evt
from dicom_proto.services.handlers import Bound, EventKind, Handlers
from dicom_proto.sop_class import register_uid
from dicom_proto.status import code_to_category
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.policy import LOCAL_LIMIT_EXCEEDED, Policy
from dicom_transports._associations import Association
from dicom_transports._sessions import Address, Server, Session, connect

__all__ = [
    "AE",
    "Address",
    "Association",
    "AssociationServer",
    "Server",
    "Session",
    "build_context",
    "build_role",
    "code_to_category",
    "connect",
    "debug_logger",
    "evt",
    "register_uid",
]


def debug_logger() -> None:
    """Log everything that happens, to the standard error: PDUs, states and timers, no data sets."""
    logging.basicConfig(level=logging.DEBUG, format="%(levelname).1s: %(message)s")


class AssociationServer(Server):
    """Serves associations for an application entity; made by :meth:`AE.make_server`.

    Parameters
    ----------
    ae : AE
        For whom.
    address : tuple of str and int
        Where to listen.
    policy : Policy
        What is accepted.
    handlers : Handlers
        What is bound to the events of its associations.
    """

    def __init__(self, ae: "AE", address: Address, policy: Policy, handlers: Handlers) -> None:
        super().__init__(
            address,
            policy,
            lambda _: None,
            maximum_associations=ae.maximum_associations,
            limits=ae.limits,
            tolerance=ae.tolerance,
            timeouts=ae.timeouts,
        )
        self.ae = ae
        self._handlers = handlers
        self._associations: list[Association] = []

    @property
    def active_associations(self) -> list[Association]:
        """The associations that are established now."""
        with self._lock:
            return [association for association in self._associations if association.is_established]

    def bind(self, event: EventKind, handler: Any, args: Sequence[Any] | None = None) -> None:
        """Bind a handler to an event of the associations to come."""
        self._handlers.bind(event, handler, args)

    def unbind(self, event: EventKind, handler: Any) -> None:
        """Unbind a handler for the associations to come."""
        self._handlers.unbind(event, handler)

    def _attend(self, session: Session, is_crowded: bool) -> None:
        association = Association(self.ae, session.connection, self._handlers.copy(), is_acceptor=True)
        with self._lock:
            self._associations.append(association)
        try:
            association.accept(session, LOCAL_LIMIT_EXCEEDED if is_crowded else self._policy)
            association.live()
        finally:
            with self._lock:
                self._associations.remove(association)


class AE(ApplicationEntity):
    """An application entity on blocking sockets: requests associations, and serves them."""

    def __init__(self, ae_title: str | bytes = "DICOM_PROTO") -> None:
        super().__init__(ae_title)
        self._servers: list[AssociationServer] = []

    @property
    def active_associations(self) -> list[Association]:
        """The associations that its servers have established now."""
        return [association for server in self._servers for association in server.active_associations]

    def associate(
        self,
        addr: str,
        port: int,
        contexts: Sequence[PresentationContext] | None = None,
        ae_title: str = "ANY-SCP",
        max_pdu: int | None = None,
        ext_neg: Iterable[NegotiationItem] | None = None,
        bind_address: Address | None = None,
        evt_handlers: Iterable[Bound] | None = None,
    ) -> Association:
        """Request an association.

        Parameters
        ----------
        addr, port
            Where the peer listens.
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
        return self.dial((addr, port), offer, bind_address=bind_address, evt_handlers=evt_handlers)

    def dial(
        self,
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        evt_handlers: Iterable[Bound] | None = None,
    ) -> Association:
        """Request an association with a request that is made already; otherwise as :meth:`associate`."""
        connection = Connection(limits=self.limits, tolerance=self.tolerance, timeouts=self.timeouts)
        handlers = Handlers(evt_handlers, allow_async=False)
        association = Association(self, connection, handlers, is_acceptor=False)
        association.request(offer, address, bind_address)
        return association

    def make_server(
        self,
        address: Address,
        evt_handlers: Iterable[Bound] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
    ) -> AssociationServer:
        """Make a server that listens and does not accept yet; raises as :meth:`start_server`."""
        policy = self.policy(contexts, ae_title=ae_title)
        server = AssociationServer(self, address, policy, Handlers(evt_handlers, allow_async=False))
        self._servers.append(server)
        return server

    def start_server(
        self,
        address: Address,
        block: bool = True,
        evt_handlers: Iterable[Bound] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
    ) -> AssociationServer:
        """Serve associations, each in a thread of its own.

        Parameters
        ----------
        address : tuple of str and int
            Where to listen; port 0 lets the system choose, see ``server.address``.
        block : bool
            Return only when the server has been shut down; ``KeyboardInterrupt`` shuts it down.
        evt_handlers : iterable of tuple, optional
            ``(event, handler)`` or ``(event, handler, [arguments])``.
        ae_title : str, optional
            The AE title that has to be called if :attr:`require_called_aet` is true.
        contexts : iterable of PresentationContext, optional
            What is accepted instead of :attr:`supported_contexts`.

        Raises
        ------
        LocalProtocolError
            If nothing is supported, or a handler cannot be bound.
        OSError
            If the address cannot be listened on.
        """
        server = self.make_server(address, evt_handlers, ae_title, contexts)
        server.start()
        if block:
            try:
                server.wait()
            finally:
                server.shutdown()
        return server

    def shutdown(self) -> None:
        """Shut down every server; their associations are aborted."""
        for server in self._servers:
            server.shutdown()
        self._servers.clear()
