"""TCP sockets: where they connect to and listen, what becomes of a port, and systems that have less."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from dicom_proto.errors import InvalidSettingError
from dicom_transports._socket import sockets
from dicom_transports._socket.sockets import (
    accept,
    bind,
    bind_all,
    check_address,
    check_local_address,
    close_listener,
    connect_socket,
    listen_all,
    local_address,
    open_socket,
    peer_address,
)

LOOPBACK = "127.0.0.1"
BRIEF = 5.0


def has_ipv6() -> bool:
    try:
        bind(("::1", 0)).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    listeners = listen_all((host, port))
    try:
        yield listeners
    finally:
        for listener in listeners:
            close_listener(listener)


# Addresses


@pytest.mark.parametrize("port", [0, -1, 65536, 99999, 1 << 32, 104.0, "104", True, None])
def test_port_numbers_that_are_none(port: Any) -> None:
    """getaddrinfo takes them modulo 65536: 99999 would be the port 34463 of somebody else."""
    with pytest.raises(InvalidSettingError, match="is not a port number: 1 to 65535"):
        check_address((LOOPBACK, port))
    if port != 0:
        with pytest.raises(InvalidSettingError, match="is not a port number: 0 to 65535"):
            check_local_address((LOOPBACK, port))


@pytest.mark.parametrize("host", ["", " ", None, 5, b"localhost"])
def test_hosts_that_are_none(host: Any) -> None:
    """Without a host, getaddrinfo would give this machine."""
    with pytest.raises(InvalidSettingError, match="host"):
        check_address((host, 104))
    if isinstance(host, str):
        check_local_address((host, 104))
    else:
        with pytest.raises(InvalidSettingError, match="host"):
            check_local_address((host, 104))


@pytest.mark.parametrize("address", [None, "localhost:104", (LOOPBACK,), ("::1", 104, 0, 0), 104])
def test_addresses_that_are_none(address: Any) -> None:
    for check in (check_address, check_local_address, bind, bind_all):
        with pytest.raises(InvalidSettingError, match="is not an address"):
            check(address)


def test_addresses_that_are_some() -> None:
    for port in (1, 104, 65535):
        check_address(("pacs.example", port))
        check_local_address(("", port))
    check_local_address(("::1", 0))


def test_connecting_checks_both_addresses() -> None:
    with pytest.raises(InvalidSettingError, match="port number"):
        connect_socket((LOOPBACK, 65536), BRIEF)
    with listening(LOOPBACK) as (listener,), pytest.raises(InvalidSettingError, match="port number"):
        connect_socket(local_address(listener), BRIEF, (LOOPBACK, 65536))


# Connecting


def test_a_fixed_source_port_can_be_used_again() -> None:
    """The connections before linger in TIME_WAIT; firewalls that pin source ports need it (pynetdicom #784)."""
    with listening(LOOPBACK) as (one,), listening(LOOPBACK) as (other,):
        own = None
        for listener in (one, other):
            client = connect_socket(local_address(listener), BRIEF, own or (LOOPBACK, 0))
            server = accept(listener)
            assert server is not None
            assert peer_address(server) == local_address(client)
            if own is not None:
                assert local_address(client) == own
            own = local_address(client)
            client.close()  # who closes first keeps the port in TIME_WAIT
            assert server.recv(1) == b""
            server.close()


def test_a_local_address_that_is_not_ours() -> None:
    with listening(LOOPBACK) as (listener,), pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
        connect_socket(local_address(listener), BRIEF, ("192.0.2.1", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_nobody_listens() -> None:
    with bind((LOOPBACK, 0)) as taken, pytest.raises(ConnectionRefusedError):
        connect_socket(local_address(taken), BRIEF)


def test_a_connection_takes_too_long() -> None:
    with listening(LOOPBACK) as (listener,), pytest.raises(TimeoutError):
        connect_socket(local_address(listener), 0.0)


def test_each_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(LOOPBACK) as (listener,), bind((LOOPBACK, 0)) as deaf:
        infos: list[Any] = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", local_address(sock)) for sock in (deaf, listener)
        ]
        infos.insert(0, (-1, socket.SOCK_STREAM, 0, "", ("", 0)))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
        with connect_socket(("many.example", 104), None) as client:
            assert peer_address(client) == local_address(listener)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        with pytest.raises(OSError, match="no address"):
            connect_socket(("none.example", 104), None)


def test_sockets_to_be_connected_do_not_block() -> None:
    with open_socket(socket.AF_INET, socket.SOCK_STREAM, 0) as sock:
        assert not sock.getblocking()


# Listening


@needs_ipv6
@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_name_is_all_its_addresses(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on a name, or on any address, is there for peers that have IPv4 only and for those that prefer IPv6."""
    if host:  # whatever this machine has for it
        infos = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
    with listening(host) as listeners:
        assert [listener.family for listener in listeners] == [socket.AF_INET, socket.AF_INET6]
        (port,) = {local_address(listener)[1] for listener in listeners}
        monkeypatch.undo()
        for listener, at in zip(listeners, (LOOPBACK, "::1"), strict=True):
            with connect_socket((at, port), BRIEF) as client:
                server = accept(listener)
                assert server is not None
                with server:
                    assert peer_address(server) == local_address(client)
                    assert local_address(server) == (at, port)


@needs_ipv6
def test_a_peer_with_ipv4_at_a_socket_with_ipv6() -> None:
    with listening("::") as (listener,), connect_socket((LOOPBACK, local_address(listener)[1]), BRIEF):
        server = accept(listener)
        assert server is not None
        with server:
            assert peer_address(server)[0] == local_address(server)[0] == LOOPBACK


def test_an_address_is_itself() -> None:
    with listening(LOOPBACK) as listeners:
        assert [local_address(listener)[0] for listener in listeners] == [LOOPBACK]


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make = socket.socket

    def without(family: int, *arguments: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        return make(family, *arguments)

    monkeypatch.setattr(socket, "socket", without)
    with ExitStack() as stack:
        (listener,) = [stack.enter_context(one) for one in bind_all(("", 0))]
        assert listener.family == socket.AF_INET
    with pytest.raises(OSError, match=os.strerror(number)):
        bind_all(("::1", 0))


@needs_ipv6
def test_a_port_that_is_free_for_one_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where any port will do, another one is tried; a port that was asked for is an error, and nothing stays bound."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        places = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
            bind_all(("localhost", port))
        assert caught.value.errno == errno.EADDRINUSE
        with bind((LOOPBACK, port)):
            pass
        bound = sockets._bound  # noqa: SLF001
        attempts = []

        def choose(family: int, place: Any, **options: Any) -> socket.socket:
            if family == socket.AF_INET:
                attempts.append(place)
                place = (LOOPBACK, port if len(attempts) == 1 else 0)
            return bound(family, place, **options)

        monkeypatch.setattr(sockets, "_bound", choose)
        for sock in bind_all(("localhost", 0)):
            assert local_address(sock)[1] != port
            sock.close()
        assert len(attempts) == 2


def test_a_port_is_free_although_a_child_lives() -> None:
    """A process that was forked while a server listened has its socket, too (fo-dicom #1431)."""
    (listener,) = listen_all((LOOPBACK, 0))
    address = local_address(listener)
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
    ) as child:
        close_listener(listener)
        close_listener(listener)
        with listening(*address):
            pass
        assert child.stdin is not None
        child.stdin.close()
