"""TCP sockets that carry DICOM, the same for every adapter: their options decide speed more than any code does."""

import errno
import logging
import socket
import ssl
import sys
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeAlias

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
    "bind_all",
    "check_address",
    "check_local_address",
    "client_tls",
    "close_listener",
    "connect_socket",
    "listen_all",
    "local_address",
    "no_connection",
    "numeric_places",
    "open_socket",
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
_log = logging.getLogger("dicom_transports")
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_MAPPED: Final = "::ffff:"
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_ATTEMPTS: Final = 8  # at a port that is free for IPv4 and IPv6, where any will do
_HIGHEST_PORT: Final = 65535
_GONE_AGAIN: Final = frozenset({errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPROTO})


def check_address(address: Address) -> None:
    """Check where to connect to, before anything is done: getaddrinfo takes 65540 for 4, and no host for this one.

    Raises
    ------
    InvalidSettingError
        If that is not a host, and a port from 1 to 65535.
    """
    host, port = _parts(address)
    if not (isinstance(host, str) and host.strip()):
        raise InvalidSettingError("the host to connect to has to be a name or an IP address, and not empty")
    _check_port(port, 1)


def check_local_address(address: Address) -> None:
    """Check an address to listen on or to connect from.

    Raises
    ------
    InvalidSettingError
        If that is not a host, which may be ``""`` for any, and a port from 0, which is for any, to 65535.
    """
    host, port = _parts(address)
    if not isinstance(host, str):
        raise InvalidSettingError(f"the host of a local address has to be a name or an IP address, not {host!r}")
    _check_port(port, 0)


def _parts(address: Any) -> tuple[Any, Any]:
    if not isinstance(address, tuple | list) or len(address) != 2:
        raise InvalidSettingError(f"{address!r} is not an address: (host, port) is one")
    host, port = address
    return host, port


def _check_port(port: Any, lowest: int) -> None:
    if not isinstance(port, int) or isinstance(port, bool) or not lowest <= port <= _HIGHEST_PORT:
        raise InvalidSettingError(f"{port!r} is not a port number: {lowest} to {_HIGHEST_PORT}")


def prepare(sock: socket.socket) -> None:
    """Set the options of a connected socket: it never blocks, and what is sent leaves at once."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Acknowledge what has arrived at once; Linux forgets it after a while, so it is said each time.

    A peer that writes header and payload of a PDU in two writes, with Nagle's algorithm on, sends the second only when
    the first has been acknowledged: without this each of its messages takes 40 ms.
    """
    if _QUICKACK is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except OSError as error:
            _log.debug("! nothing to acknowledge any more: %s", error)


def peer_address(sock: socket.socket) -> Address:
    """Return where the other end is; nowhere if it has closed the connection already."""
    try:
        host, port, *_ = sock.getpeername()
    except OSError:
        return NOWHERE
    return _plain(host), port


def local_address(sock: socket.socket) -> Address:
    """Return where this end is."""
    host, port, *_ = sock.getsockname()
    return _plain(host), port


def _plain(host: str) -> str:
    """Return an address of IPv4 as such, also where IPv6 carries it (RFC 4291 2.5.5.2)."""
    return host.removeprefix(_MAPPED) if "." in host else host


def numeric_places(address: Address) -> list[tuple[Any, ...]] | None:
    """Return what ``getaddrinfo`` does for a numeric address, ``None`` for a name, which takes its time."""
    try:
        return list(socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return None


def no_connection(address: Address, error: OSError) -> OSError:
    """Return the error of an attempt to connect, with host and port in its message."""
    message = f"no connection to {address[0]} port {address[1]}: {error.strerror or error}"
    return type(error)(*filter(None, (error.errno, message)))  # a timeout has no number


def open_socket(family: int, kind: int, protocol: int, bind_address: Address | None = None) -> socket.socket:
    """Return a socket to be connected, that does not block; perhaps from a local address.

    A port that is given there can be used for one connection after the other, and for several at a time to different
    peers: firewalls that let only some ports pass need that.

    Raises
    ------
    OSError
        If the local address cannot be used.
    InvalidSettingError
        If it is none.
    """
    if bind_address is not None:
        check_local_address(bind_address)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        if bind_address is not None:
            _share(sock)
            sock.bind(bind_address)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_socket(address: Address, seconds: float | None, bind_address: Address | None = None) -> socket.socket:
    """Connect, and wait for it; all addresses of a host name are tried.

    Parameters
    ----------
    address : tuple of str and int
        Where to.
    seconds : float or None
        How long to wait at most, for all of them together.
    bind_address : tuple of str and int, optional
        Where from; see :func:`open_socket`.

    Raises
    ------
    OSError
        If that is not possible; a ``TimeoutError`` if it takes too long.
    InvalidSettingError
        If one of the addresses is none.
    """
    check_address(address)
    deadline = None if seconds is None else monotonic() + seconds
    failure: OSError | None = None
    for family, kind, protocol, _, where in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise failure or TimeoutError("it has taken too long")
        try:
            sock = open_socket(family, kind, protocol, bind_address)
        except OSError as error:
            failure = failure or error  # another address may be of the same family
            continue
        try:
            sock.settimeout(left)
            sock.connect(where)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError("the host has no address")


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
        If it is none, or the system cannot share a port.
    """
    check_local_address(address)
    return _bound(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, address, reuse_port=reuse_port)


def _bound(family: int, address: Any, *, reuse_port: bool, is_one_of_both: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        _share(sock)
        if reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise InvalidSettingError("this system cannot share a port among servers")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if is_one_of_both and family == socket.AF_INET6:  # the other one takes IPv4
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _share(sock: socket.socket) -> None:
    """Let a port be used again at once, although connections of the past linger on it (TIME_WAIT)."""
    if sys.platform not in {"cygwin", "win32"}:  # there it would let two servers have one port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def bind_all(address: Address, *, reuse_port: bool = False) -> list[socket.socket]:
    """Bind a socket to each address that a host has, all to the same port.

    Parameters
    ----------
    address : tuple of str and int
        Host and port. An IP address is one address; a name may have several, of IPv4 and IPv6; ``""`` is every address
        of this machine, of both.
    reuse_port : bool
        As for :func:`bind`.

    Returns
    -------
    list of socket.socket
        At least one; those of IPv4 first.

    Raises
    ------
    OSError
        If one of the addresses cannot be used. That the system has no IPv6, or not that address, is no error while
        there is another.
    InvalidSettingError
        As for :func:`bind`.
    """
    check_local_address(address)
    host, port = address
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    by_family = sorted(found, key=lambda one: one[0] != socket.AF_INET)
    places: list[tuple[int, Any]] = list(dict.fromkeys((family, where) for family, *_, where in by_family))
    for attempt in reversed(range(_ATTEMPTS)):
        try:
            return _bind_each(places, reuse_port=reuse_port)
        except OSError as error:  # the port that the system chose for the first one is not free for another
            if port or error.errno != errno.EADDRINUSE or not attempt:
                raise
    raise AssertionError


def _bind_each(places: list[tuple[int, Any]], *, reuse_port: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    is_both = len({family for family, _ in places}) > 1
    failure: OSError | None = None
    try:
        for family, (host, port, *more) in places:
            try:
                chosen = bound[0].getsockname()[1] if bound else port
                place = (host, chosen, *more)
                bound.append(_bound(family, place, reuse_port=reuse_port, is_one_of_both=is_both))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                failure = error
        if not bound:
            raise failure or OSError(errno.EADDRNOTAVAIL, "the host has no address")
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def listen_all(address: Address, *, reuse_port: bool = False) -> list[socket.socket]:
    """Listen on each address that a host has; otherwise as :func:`bind_all`. Each is to be accepted from."""
    listeners = bind_all(address, reuse_port=reuse_port)
    try:
        for sock in listeners:
            sock.listen(_BACKLOG)
    except BaseException:
        for sock in listeners:
            sock.close()
        raise
    return listeners


def close_listener(listener: socket.socket) -> None:
    """Listen no more; closed already, do nothing.

    Processes that were forked meanwhile have it too, and would keep the port by that: so it is shut down as well.
    """
    with suppress(OSError):  # it is closed, or does not listen; there are systems that shut down only connections
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


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
