"""An association for C-ECHO alone, on a socket: no pydicom, no event loop, no thread, so that it is there at once.

It drives a :class:`~dicom_proto.dimse.connection.Connection`, as docs/embedding.md tells.
"""

import socket
from time import monotonic
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import ConnectionEvent, ResponseReceived
from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.errors import NoContextError
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
)
from dicom_proto.upper_layer.failures import failure_of
from dicom_proto.upper_layer.negotiation import LocalSide, build_offer
from dicom_proto.upper_layer.timers import Timeouts

if TYPE_CHECKING:
    import ssl

    from dicom_proto.upper_layer.items import UserIdentity

__all__ = ["VERIFICATION", "EchoAssociation"]

VERIFICATION: Final = "1.2.840.10008.1.1"  # PS3.4 A.4; the table of all SOP classes needs pydicom
_BLOCK: Final = 1 << 14
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_Address: TypeAlias = tuple[str, int]
_EventT = TypeVar("_EventT")


class EchoAssociation:
    """An association on which C-ECHO can be asked for; it is released at the end of a ``with`` statement.

    Parameters
    ----------
    address : tuple of str and int
        Host and port of the peer.
    titles : tuple of str and str
        The calling and the called AE title.
    identity : UserIdentity, optional
        Who is asking.
    timeouts : Timeouts
        How long to wait for what.
    maximum_length : int
        The longest P-DATA-TF that is wanted, in bytes.
    connection_timeout : float, optional
        Seconds to wait for the connection.
    bind_address : tuple of str and int, optional
        Where to connect from.
    tls_args : tuple of ssl.SSLContext and str, optional
        For TLS: the context, and the name that the certificate has to carry.

    Raises
    ------
    OSError
        If there is no connection.
    AssociationFailure
        If there is no association; so do the methods if there is none any more.
    NoContextError
        If the peer does not accept C-ECHO.
    """

    def __init__(
        self,
        address: _Address,
        titles: tuple[str, str],
        *,
        identity: "UserIdentity | None" = None,
        timeouts: Timeouts,
        maximum_length: int,
        connection_timeout: float | None,
        bind_address: _Address | None = None,
        tls_args: "tuple[ssl.SSLContext, str] | None" = None,
    ) -> None:
        calling, called = titles
        self._connection = Connection(timeouts=timeouts)
        self._connection.request(
            build_offer(
                called,
                calling,
                [(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)],
                identity=identity,
                local=LocalSide(maximum_length=maximum_length),
            )
        )
        self._socket = _connect(address, connection_timeout or None, bind_address, tls_args)
        self._connection.connection_made(now=monotonic())
        try:
            self._expect(AssociateAccepted)
            accepted = self._connection.contexts
            if not accepted:
                self.release()
                raise NoContextError("the peer does not accept Verification")
            (self._context,) = accepted
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    @property
    def peer(self) -> str:
        """The implementation version name of the peer; empty if it states none."""
        agreement = self._connection.agreement
        return (agreement.acceptor_implementation.version_name or "") if agreement else ""

    def send_c_echo(self) -> int:
        """Send a C-ECHO request, and return the status of the response."""
        self._connection.send_request(CEchoRQ(), context=self._context)
        return self._expect(ResponseReceived).response.status

    def release(self) -> None:
        """Release the association, and close the connection; again it does nothing."""
        if self._socket.fileno() < 0:
            return
        self._connection.release()
        try:
            self._expect(Released)
        finally:
            self._socket.close()

    def abort(self) -> None:
        """Abort the association, and close the connection; again it does nothing."""
        if self._socket.fileno() < 0:
            return
        if not self._connection.wants_close:
            self._connection.abort()
        self._send()
        self._socket.close()

    def _expect(self, kind: type[_EventT]) -> _EventT:
        """Carry bytes and time until there is an event of a kind, and return it; raise what ends the association."""
        while True:
            event = self._next()
            if isinstance(event, kind):
                return event
            if isinstance(event, ReleaseRequested):
                self._connection.confirm_release()
            elif isinstance(event, AssociateRejected | Aborted | TimedOut | Released | ConnectionClosed):
                self._send()
                self._socket.close()
                raise failure_of(event)

    def _next(self) -> ConnectionEvent:
        while True:
            self._send()
            event = self._connection.next_event()
            if event is not None:
                return event
            self._receive()

    def _send(self) -> None:
        while buffers := self._connection.data_to_send(now=monotonic()):
            try:
                self._socket.settimeout(self._seconds())
                self._socket.sendall(b"".join(buffers))
            except OSError:  # what the peer has said before it went is still read
                return

    def _receive(self) -> None:
        try:
            self._socket.settimeout(self._seconds())
            data = self._socket.recv(_BLOCK)
        except TimeoutError:
            self._connection.handle_timeout(monotonic())
            return
        except OSError:
            data = b""
        if data:
            if (
                _QUICKACK is not None
            ):  # a peer with Nagle's algorithm on, as DCMTK, waits for it before it sends the rest
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            self._connection.receive_data(data, now=monotonic())
        else:
            self._connection.receive_eof(now=monotonic())

    def _seconds(self) -> float | None:
        """Return how long to wait; a socket takes 0 for not at all, and then says that it would have to wait."""
        deadline = self._connection.next_deadline()
        return None if deadline is None else max(1e-3, deadline - monotonic())


def _connect(
    address: _Address,
    seconds: float | None,
    bind_address: _Address | None,
    tls_args: "tuple[ssl.SSLContext, str] | None",
) -> socket.socket:
    try:
        sock = socket.create_connection(address, seconds, bind_address)
    except OSError as error:
        message = f"no connection to {address[0]} port {address[1]}: {error.strerror or error}"
        raise type(error)(*filter(None, (error.errno, message))) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls_args is None:
            return sock
        context, name = tls_args
        return context.wrap_socket(sock, server_hostname=name)
    except ConnectionError as error:
        sock.close()
        raise ConnectionError(f"{address[0]} port {address[1]} takes no TLS: {error.strerror or error}") from error
    except BaseException:
        sock.close()
        raise
