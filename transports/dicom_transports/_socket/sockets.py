"""TCP sockets that carry DICOM, the same for every adapter: their options decide speed more than any code does."""

import errno
import socket
import ssl
from typing import Final, TypeAlias

from dicom_proto.application.service_user import NOWHERE
from dicom_proto.errors import InvalidSettingError
from dicom_transports._socket.tls_layer import TLSLayer

__all__ = [
    "LARGE_BLOCK",
    "SEND_AHEAD",
    "SMALL_BLOCK",
    "Address",
    "TLSArguments",
    "accept",
    "acknowledge_at_once",
    "bind",
    "client_tls",
    "listen",
    "local_address",
    "no_connection",
    "peer_address",
    "prepare",
]

Address: TypeAlias = tuple[str, int]
TLSArguments: TypeAlias = tuple[ssl.SSLContext, str | None]
"""A context for the client's side of TLS, and the name that the server's certificate has to carry."""

LARGE_BLOCK: Final = 1 << 18  # bytes asked for while data flows: many PDUs are parsed from one block
SMALL_BLOCK: Final = 1 << 14  # and otherwise: room for a large block costs more than a message
SEND_AHEAD: Final = 1 << 20  # bytes cut into PDUs ahead of what the kernel has taken
_BACKLOG: Final = 1024  # connections that wait to be accepted
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_GONE_AGAIN: Final = frozenset({errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPROTO})


def prepare(sock: socket.socket) -> None:
    """Set the options of a connected socket: it never blocks, and what is sent leaves at once."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Acknowledge the next segments at once; Linux forgets it after a while, so it is said before each receive.

    A peer that writes header and payload of a PDU in two writes, with Nagle's algorithm on, sends the second only when
    the first has been acknowledged: without this each of its messages takes 40 ms.
    """
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def peer_address(sock: socket.socket) -> Address:
    """Return where the other end is; nowhere if it has closed the connection already."""
    try:
        host, port, *_ = sock.getpeername()
    except OSError:
        return NOWHERE
    return host, port


def local_address(sock: socket.socket) -> Address:
    """Return where this end is."""
    host, port, *_ = sock.getsockname()
    return host, port


def no_connection(address: Address, error: OSError) -> OSError:
    """Return the error of an attempt to connect, with host and port in its message."""
    message = f"no connection to {address[0]} port {address[1]}: {error.strerror or error}"
    return type(error)(*filter(None, (error.errno, message)))  # a timeout has no number


def client_tls(arguments: TLSArguments | None) -> TLSLayer | None:
    """Return the client's side of TLS; ``None`` without it.

    Raises
    ------
    InvalidSettingError
        If the arguments are no context and name.
    """
    match arguments:
        case None:
            return None
        case (ssl.SSLContext() as context, (None | str()) as name):
            return TLSLayer(context, server_side=False, server_hostname=name)
        case _:
            raise InvalidSettingError("tls_args has to be (SSLContext, host name of the server or None)")


def bind(address: Address, *, reuse_port: bool = False) -> socket.socket:
    """Bind a socket to an address: IPv6 if it looks so, IPv4 otherwise.

    Parameters
    ----------
    address : tuple of str and int
        Host and port.
    reuse_port : bool
        Whether others that say so, too, may be bound to it: the system spreads the connections among them.

    Raises
    ------
    OSError
        If the address cannot be used.
    InvalidSettingError
        If the system cannot share a port.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise InvalidSettingError("this system cannot share a port among servers")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(address: Address, *, reuse_port: bool = False) -> socket.socket:
    """Listen on an address; arguments and errors as for :func:`bind`."""
    sock = bind(address, reuse_port=reuse_port)
    sock.listen(_BACKLOG)
    return sock


def accept(listener: socket.socket) -> socket.socket | None:
    """Accept a connection; ``None`` if there is none any more.

    Raises
    ------
    OSError
        If the system has no room for it.
    """
    try:
        return listener.accept()[0]
    except OSError as error:
        if error.errno in _GONE_AGAIN:
            return None
        raise
