"""Application entities and their servers in any event loop."""

import logging
import socket
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, TypeVar

from dicom_proto.application.association import Reception
from dicom_proto.handlers.registry import Bindable, Handlers
from dicom_proto.logs import about
from dicom_proto.offers.contexts import PresentationContext
from dicom_proto.programs.effects import Dial
from dicom_proto.services.storage.batch import Batch
from dicom_proto.services.storage.pipeline import Sent
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_transports._entity import AEBase, Requested, ServerBase, Serving, associate, entity_method, send_c_stores
from dicom_transports._socket.sockets import Address, TLSArguments, accept, check_address, client_tls, no_connection
from dicom_transports._socket.tls_contexts import ServerTLS
from dicom_transports._tasks.association import AsyncAssociation
from dicom_transports._tasks.entering import to_be_entered
from dicom_transports._tasks.results import Deliveries
from dicom_transports.loops import Group, Loop

__all__ = ["AsyncAE", "AsyncServer"]

_log = logging.getLogger("dicom_transports")
_BACK_OFF: Final = 0.1  # seconds until the next attempt to accept when the system has no room

AsyncAssociationT = TypeVar("AsyncAssociationT", bound=AsyncAssociation)


class AsyncServer(ServerBase[AsyncAssociationT]):
    """Serves associations for an application entity, each in tasks of its own; made by :meth:`AsyncAE.make_server`."""

    def __init__(
        self,
        ae: "AsyncAE[AsyncAssociationT]",
        listeners: list[socket.socket],
        handlers: Handlers,
        serving: Serving,
    ) -> None:
        super().__init__(ae, listeners, handlers, serving)
        self._ae = ae
        self._loop = ae.loop()
        self._changed = self._loop.signal()  # an association has ended
        self._accepting: Group | None = None
        self._is_deaf = self._loop.signal()  # set when it listens no more

    async def serve(self) -> None:
        """Serve associations until :meth:`shutdown` has ended, or this is cancelled, which aborts them."""
        try:
            async with self._loop.group() as associations, self._loop.group() as accepting:
                if self._listeners[0].fileno() >= 0:  # it has not been shut down before
                    self._accepting = accepting
                    for listener in self._listeners:
                        accepting.start(self._accept, listener, associations)
        finally:
            self._close_listeners()
            self._is_deaf.set()

    async def shutdown(self, finish_within: float | None = None) -> None:
        """Stop listening, end every association, and wait until all have ended.

        Parameters
        ----------
        finish_within : float, optional
            Seconds that associations have to end by themselves; what is left then, or at once, is aborted.
        """
        if self._accepting is None:
            self._close_listeners()
            return
        self._accepting.cancel()
        await self._is_deaf.wait()
        if finish_within is not None:
            deadline = self._loop.now() + finish_within
            while self._associations and await self._loop.wait_until(self._changed, deadline):
                pass
        for association in tuple(self._associations):
            association.abort()
        while self._associations:
            await self._loop.wait_until(self._changed, None)

    async def _accept(self, listener: socket.socket, associations: Group) -> None:
        try:
            while True:
                await self._loop.readable(listener)
                try:
                    sock = accept(listener)
                except OSError as error:  # most likely no descriptor is free: wait for an association to end
                    _log.warning("! a connection cannot be accepted: %s", error)
                    await self._loop.wait_until(self._loop.signal(), self._loop.now() + _BACK_OFF)
                    continue
                if sock is not None:
                    self._begin(sock, associations)
        finally:  # nobody waits in vain to be accepted afterwards
            self._close_listeners()
            self._is_deaf.set()

    def _begin(self, sock: socket.socket, associations: Group) -> None:
        """Start to serve one connection."""
        silent = self._crowded_out()
        if silent is not None:
            silent.abort()
        association = self._admit(self._ae.make_association)
        if association is None:
            self._turn_away(sock)
            return
        associations.start(self._attend, association, sock)

    async def _attend(self, association: AsyncAssociationT, sock: socket.socket) -> None:
        try:
            await association.live(sock, self._tls())
        finally:
            self._forget(association)
            changed, self._changed = self._changed, self._loop.signal()
            changed.set()


class AsyncAE(AEBase[AsyncServer[AsyncAssociationT]], Generic[AsyncAssociationT]):
    """An application entity in an event loop: requests associations, and serves them."""

    @abstractmethod
    def loop(self) -> Loop:
        """Return the event loop that runs."""

    @abstractmethod
    def make_association(
        self, handlers: Handlers, reception: Reception | None = None, **options: Any
    ) -> AsyncAssociationT:
        """Make an association, that has no connection yet."""

    @to_be_entered("an association is not requested")
    async def dial(
        self,
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> AsyncIterator[AsyncAssociationT]:
        """Request an association with a request that is made already; otherwise as :meth:`associate`."""
        failure: BaseException | None = None
        async with self._loop_group() as group:
            association = self.make_association(Handlers(evt_handlers))
            await self._establish(association, group.start, address, offer, bind_address, tls_args)
            try:
                if association.failure is not None:
                    raise association.failure
                association.peer.is_strict = True
                yield association
                await association.release()
                association.abort()
            except BaseException as error:  # noqa: BLE001 - a group would wrap it: it is raised outside
                failure = error
                association.abort()
        if failure is not None:
            raise failure

    def _loop_group(self) -> AbstractAsyncContextManager[Group]:
        return self.loop().group()

    async def dial_from(
        self,
        spawn: Callable[..., object],
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> AsyncAssociationT:
        """Request an association without a context of its own, for sub-operations or results that are iterated over.

        It lives in a task that ``spawn`` starts: of another association, or of the loop.
        """
        association = self.make_association(Handlers(evt_handlers))
        await self._establish(association, spawn, address, offer, bind_address, tls_args)
        return association

    async def _establish(
        self,
        association: AsyncAssociationT,
        start: Callable[..., object],
        address: Address,
        offer: AAssociateRQ,
        bind_address: Address | None,
        tls_args: TLSArguments | None,
    ) -> None:
        """Establish an association as the requestor; its ``failure`` says why if that fails."""
        check_address(address)
        tls = client_tls(tls_args)
        with about(association.id):
            association.peer.connection.request(offer)
        loop = self.loop()
        try:
            sock = await loop.limited(self.connection_timeout, loop.connect(address, bind_address))
        except OSError as error:
            association.fail_to_connect(no_connection(address, error))
            return
        association.open(sock, tls)
        start(association.live, sock, tls)
        try:
            await association.run(association.establish())
        except BaseException:
            association.abort()
            raise

    def _make_server(
        self, listeners: list[socket.socket], handlers: Handlers, serving: Serving
    ) -> AsyncServer[AsyncAssociationT]:
        return AsyncServer(self, listeners, handlers, serving)

    async def _dial_loosely(self, effect: Dial) -> AsyncAssociationT:
        return await self.dial_from(self.loop().spawn, effect.address, effect.offer, **effect.options)

    def _deliver(self, batch: Batch) -> AsyncIterator[Sent]:
        return Deliveries(batch, self.loop, self._dial_loosely)

    def _request(self, wanted: Requested) -> AbstractAsyncContextManager[AsyncAssociationT]:
        return self.dial(wanted.address, wanted.offer, **wanted.options)

    associate = entity_method(associate, _request)
    send_c_stores = entity_method(send_c_stores, _deliver)

    @to_be_entered("start_server() serves nothing")
    async def start_server(
        self,
        address: Address,
        ssl_context: ServerTLS | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        *,
        reuse_port: bool = False,
    ) -> AsyncIterator[AsyncServer[AsyncAssociationT]]:
        """Serve associations as long as the context lasts; arguments and errors as for :meth:`make_server`."""
        server = self.make_server(address, ae_title, contexts, ssl_context, evt_handlers, reuse_port=reuse_port)
        failure: BaseException | None = None
        async with self._loop_group() as group:
            group.start(server.serve)
            try:
                yield server
            except BaseException as error:  # noqa: BLE001 - a group would wrap it: it is raised outside
                failure = error
            await server.shutdown()
        self._servers.remove(server)
        if failure is not None:
            raise failure

    async def serve(
        self,
        address: Address,
        ssl_context: ServerTLS | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        *,
        reuse_port: bool = False,
    ) -> None:
        """Serve associations until this is cancelled; arguments and errors as for :meth:`make_server`."""
        server = self.make_server(address, ae_title, contexts, ssl_context, evt_handlers, reuse_port=reuse_port)
        try:
            await server.serve()
        finally:
            self._servers.remove(server)

    async def shutdown(self, finish_within: float | None = None) -> None:
        """Shut down every server; see :meth:`AsyncServer.shutdown`."""
        for server in tuple(self._servers):
            await server.shutdown(finish_within)
