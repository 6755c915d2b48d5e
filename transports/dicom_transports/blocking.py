"""DICOM over blocking sockets, in the words that users of pynetdicom know: :class:`AE`, :class:`Association`, ``evt``.

Stable.

Each association has a thread that sees to what the peer does while nobody calls: an acceptor's serves it; a
requestor's answers what it is asked, notices a release, an abort or a closed connection, and keeps the timers. A call
is driven by the thread that makes it, so that it costs no hand-over; several threads may call at once.
"""

import logging
import signal
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from dicom_proto.application.association import Received
from dicom_proto.handlers import evt
from dicom_proto.handlers.registry import Bindable, Handlers
from dicom_proto.logs import about
from dicom_proto.offers.contexts import PresentationContext, build_context, build_role
from dicom_proto.programs.effects import Dial
from dicom_proto.services.storage.chunks import chunked
from dicom_proto.sop_class import register_uid
from dicom_proto.status import code_to_category
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_transports import _vocabulary
from dicom_transports._entity import (
    AEBase,
    Requested,
    ServerBase,
    Serving,
    associate,
    debug_logger,
    entity_method,
    send_c_stores,
)
from dicom_transports._socket.polling import READABLE, poller
from dicom_transports._socket.sockets import Address, TLSArguments, accept, client_tls
from dicom_transports._socket.tls_contexts import ServerTLS
from dicom_transports._threads.association import Association
from dicom_transports._threads.batches import deliver
from dicom_transports._threads.waker import Waker
from dicom_transports._threads.workers import run_aside

if TYPE_CHECKING:
    from dicom_transports._vocabulary import *  # noqa: F403

__all__ = [
    "AE",
    "Address",
    "Association",
    "AssociationServer",
    "build_context",
    "build_role",
    "chunked",
    "code_to_category",
    "debug_logger",
    "evt",
    "register_uid",
]
__all__ += _vocabulary.__all__

__getattr__, __dir__ = _vocabulary.loads(globals())

_log = logging.getLogger("dicom_transports.blocking")
_BACK_OFF: Final = 0.1  # seconds until the next attempt to accept when the system has no room


class _Terminated(BaseException):
    """SIGTERM has come."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise here, if this is the main thread, and put back what it did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(_number: int, _frame: Any) -> None:
        raise _Terminated

    former = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


class AssociationServer(ServerBase[Association]):
    """Serves associations for an application entity, each in a thread of its own; made by :meth:`AE.make_server`."""

    def __init__(self, ae: "AE", listeners: list[socket.socket], handlers: Handlers, serving: Serving) -> None:
        super().__init__(ae, listeners, handlers, serving)
        self._ae = ae
        self._lock = threading.Lock()
        self._waker = Waker()
        self._ended = threading.Condition(self._lock)
        self._serving: dict[Association, int] = {}  # in which thread
        self._acceptor = threading.Thread(target=self._accept, name="dicom-server", daemon=True)
        self._is_shut = False

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

    def shutdown(self, finish_within: float | None = None) -> None:
        """Stop listening, end every association, and wait until all threads have ended.

        It may be called before :meth:`start`, a second time, and by a handler, for whose thread it does not wait then.

        Parameters
        ----------
        finish_within : float, optional
            Seconds that associations have to end by themselves; what is left then, or at once, is aborted.
        """
        with self._lock:
            was_shut, self._is_shut = self._is_shut, True
        if was_shut:
            return
        self._waker.wake()
        if self._acceptor.ident is not None:
            self._acceptor.join()
        self._close_listeners()
        if finish_within is not None:
            self._join(monotonic() + finish_within)
        for association in tuple(self._associations):
            association.abort()
        self._join(None)
        self._waker.close()

    def _join(self, deadline: float | None) -> None:
        """Wait until all associations have ended, but for one whose handler is asking."""
        here = threading.get_ident()
        with self._lock:
            while any(thread != here for thread in self._serving.values()):
                seconds = None if deadline is None else deadline - monotonic()
                if not self._ended.wait(seconds):
                    return

    def _accept(self) -> None:
        alone, together = poller(), poller()
        for poll in (alone, together):
            poll.register(self._waker, READABLE)
        listeners = {listener.fileno(): listener for listener in self._listeners}
        for listener in self._listeners:
            together.register(listener, READABLE)
        while ready := [listeners.get(descriptor) for descriptor, _ in together.poll()]:
            if None in ready:  # the waker
                return
            for listener in filter(None, ready):
                try:
                    sock = accept(listener)
                except OSError as error:  # most likely no descriptor is free: wait for an association to end
                    _log.warning("! a connection cannot be accepted: %s", error)
                    alone.poll(_BACK_OFF * 1000)
                    continue
                if sock is not None:
                    self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        """Start the thread of one connection."""
        with self._lock:
            silent = self._crowded_out()
        if silent is not None:
            silent.abort()
        with self._lock:
            association = self._admit(partial(self._ae.association_class, self._ae))
        if association is None:
            self._turn_away(sock)
            return
        self._serving[association] = 0
        try:
            run_aside(partial(self._serve, association, sock), "dicom-association")
        except RuntimeError as error:  # there is no thread to be had
            with about(association.id):
                _log.warning("! a connection cannot be served: %s", error)
            sock.close()
            self._close(association)

    def _serve(self, association: Association, sock: socket.socket) -> None:
        self._serving[association] = threading.get_ident()
        try:
            association.open(sock, self._tls())
            association.live()
        except OSError as error:  # the peer is gone again, or no descriptor is free
            with about(association.id):
                _log.warning("! a connection cannot be served: %s", error)
            sock.close()
        finally:
            self._close(association)

    def _close(self, association: Association) -> None:
        with self._lock:
            self._forget(association)
            del self._serving[association]
            self._ended.notify_all()

    def _receive(self, association: Association, offer: AAssociateRQ) -> Received:
        with self._lock:
            return super()._receive(association, offer)


class AE(AEBase[AssociationServer]):
    """An application entity on blocking sockets: requests associations, and serves them."""

    _allow_async = False
    association_class: ClassVar[type[Association]] = Association
    """What its associations are: a class of one's own may stand for it."""

    def __init__(self, ae_title: str | bytes = "DICOM_PROTO") -> None:
        super().__init__(ae_title)
        self.tally.guard = threading.Lock()

    def dial(
        self,
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> Association:
        """Request an association with a request that is made already; otherwise as :meth:`associate`."""
        association = self.association_class(self, self.handlers(evt_handlers))
        association.request(offer, address, bind_address, client_tls(tls_args))
        return association

    def dial_at_once(self, effect: Dial) -> Association:
        """Request an association for a program; it has a thread of its own at once."""
        association = self.dial(effect.address, effect.offer, **effect.options)
        association.live_at_once()
        return association

    def _request(self, wanted: Requested) -> Association:
        return self.dial(wanted.address, wanted.offer, **wanted.options)

    associate = entity_method(associate, _request)
    send_c_stores = entity_method(send_c_stores, deliver)

    def _make_server(self, listeners: list[socket.socket], handlers: Handlers, serving: Serving) -> AssociationServer:
        return AssociationServer(self, listeners, handlers, serving)

    def start_server(
        self,
        address: Address,
        block: bool = True,
        ssl_context: ServerTLS | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        *,
        reuse_port: bool = False,
        finish_within: float | None = 10.0,
    ) -> AssociationServer:
        """Serve associations, each in a thread of its own; arguments and errors as for :meth:`make_server`.

        Parameters
        ----------
        block : bool
            Return only when the server has been shut down. Ctrl-C does that, at once; so does SIGTERM, whose handler is
            set meanwhile if this is the main thread, but lets associations end by themselves first.
        finish_within : float, optional
            Seconds that they have for that.
        """
        server = self.make_server(address, ae_title, contexts, ssl_context, evt_handlers, reuse_port=reuse_port)
        server.start()
        if block:
            try:
                with _terminable():
                    server.wait()
            except KeyboardInterrupt:
                _log.info("the server is interrupted")
            except _Terminated:
                _log.info("the server is terminated")
                server.shutdown(finish_within)
            finally:
                server.shutdown()
        return server

    def shutdown(self, finish_within: float | None = None) -> None:
        """Shut down every server; see :meth:`AssociationServer.shutdown`."""
        for server in self._servers:
            server.shutdown(finish_within)
        self._servers.clear()
