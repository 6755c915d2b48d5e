"""What an adapter makes of its sockets: TLS at one end only, names, new certificates, files that shrink."""

import os
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.errors import InvalidSettingError
from dicom_proto.handlers.sinks import Streamed
from dicom_proto.sop_class import CTImageStorage
from dicom_transports.blocking import AssociationServer, evt
from dicom_transports.tls import server_context
from tests.contract import certificates
from tests.contract.adapters import Listener, Running, make_ae
from tests.contract.certificates import Authority
from tests.contract.entities import entity

pytestmark = pytest.mark.usefixtures("adapter")

authority = certificates.authority
server_credentials = certificates.server_credentials
client_credentials = certificates.client_credentials
server_tls = certificates.server_tls
client_tls = certificates.client_tls

IMPLICIT = "1.2.840.10008.1.2"


@contextmanager
def serving(host: str = "127.0.0.1", context: Any = None, *handlers: Any) -> Iterator[AssociationServer]:
    server = entity("SCP").start_server((host, 0), block=False, evt_handlers=handlers, ssl_context=context)
    try:
        yield server
    finally:
        server.shutdown()


# TLS at one end only


def test_a_client_without_tls_at_a_server_with_it(server_tls) -> None:
    with serving("127.0.0.1", server_tls) as server:
        association = entity("SCU").associate(*server.address)
        assert not association.is_established
        assert "its port is one for TLS" in str(association.failure)


def test_a_client_with_tls_at_a_server_without_it(client_tls) -> None:
    with serving() as server:
        association = entity("SCU").associate(*server.address, tls_args=(client_tls, "localhost"))
        assert not association.is_established
        assert "the peer does not speak TLS: perhaps its port is one without TLS" in str(association.failure)


@pytest.mark.parametrize("with_tls", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_hangs_up_without_a_word(client_tls, with_tls, reset) -> None:
    """As DCMTK, Orthanc and dcmjs do when they do not understand a word."""
    with Listener() as listener:
        tls: dict[str, Any] = {"tls_args": (client_tls, "localhost")} if with_tls else {}
        associating = Running(entity("SCU").associate, *listener.address, **tls)
        peer = listener.accept()
        peer.socket.recv(1 << 16)
        peer.vanish(reset=reset)
        failure = str(associating.result().failure)
    assert ("perhaps its port is one without TLS" if with_tls else "perhaps its port is one for TLS") in failure


@pytest.mark.parametrize("with_tls", [False, True])
def test_what_a_server_is_told(client_tls, server_tls, with_tls) -> None:
    failures: list[str] = []
    closed: list[Any] = []

    def note(event: Any) -> None:
        closed.append(event)
        failures.append(str(event.assoc.failure))

    with serving("127.0.0.1", server_tls if with_tls else None, (evt.EVT_CONN_CLOSE, note)) as server:
        tls: dict[str, Any] = {} if with_tls else {"tls_args": (client_tls, "localhost")}
        assert not entity("SCU").associate(*server.address, **tls).is_established
    words = "speaks DICOM without TLS" if with_tls else "the peer speaks TLS, and this connection is without TLS"
    assert words in failures[0]


# Where servers listen, and clients connect to


def test_a_server_on_any_address_is_there_for_ipv4_and_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving("") as server:
        for at in ("127.0.0.1", "::1"):
            with entity("SCU").associate(at, server.address[1]) as association:
                assert association.send_c_echo().Status == 0x0000


def test_addresses_that_are_none() -> None:
    ae = entity("SCU")
    for host, port in (("", 104), ("127.0.0.1", 0), ("127.0.0.1", 65536), ("127.0.0.1", "104"), (None, 104)):
        with pytest.raises(InvalidSettingError):
            ae.associate(host, port)  # type: ignore[arg-type]
        with pytest.raises(InvalidSettingError):
            list(ae.send_c_stores(host, port, []))  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError):
        ae.associate("127.0.0.1", 104, bind_address=("127.0.0.1", 70000))
    with pytest.raises(InvalidSettingError):
        ae.start_server(("127.0.0.1", 70000), block=False)


# New certificates


def test_reload_tls(server_credentials, client_tls, authority: Authority, tmp_path: Path) -> None:
    certificate, key = tmp_path / "own.pem", tmp_path / "own-key.pem"
    certificate.write_bytes(server_credentials.certificate.read_bytes())
    key.write_bytes(server_credentials.key.read_bytes())
    with serving("127.0.0.1", server_context(certificate, key)) as server:
        with entity("SCU").associate(*server.address, tls_args=(client_tls, "localhost")) as before:
            other = authority.issue("elsewhere", "elsewhere")
            certificate.write_bytes(other.certificate.read_bytes())
            key.write_bytes(other.key.read_bytes())
            server.reload_tls()
            assert before.send_c_echo().Status == 0x0000
        refused = entity("SCU").associate(*server.address, tls_args=(client_tls, "localhost"))
        assert isinstance(refused.failure, ssl.SSLCertVerificationError)
        with entity("SCU").associate(*server.address, tls_args=(client_tls, "elsewhere")) as after:
            assert after.send_c_echo().Status == 0x0000
    with serving() as server, pytest.raises(InvalidSettingError, match="without TLS"):
        server.reload_tls()


# Files


SIZE = 64 << 20


@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("with_tls", [False, True])
def test_a_file_that_is_shortened_while_it_is_sent(
    client_tls, server_tls, with_tls, is_watched, tmp_path: Path
) -> None:
    """The item fails, the association is aborted, and the process lives: to read the rest would kill it."""
    path = tmp_path / "PATIENT.dcm"
    data = struct.pack("<HHL", 0x7FE0, 0x10, SIZE) + bytes(SIZE)
    path.write_bytes(file_preamble_and_meta(CTImageStorage, "1.2.3", IMPLICIT) + data)
    ended: list[int] = []

    def take(_event: Any) -> Any:
        length = 0
        try:
            while (piece := (yield)) is not None:
                length += len(piece)
                os.truncate(path, SIZE // 2)
            ended.append(length)
        except GeneratorExit:
            ended.append(0)

    tls: dict[str, Any] = {"tls_args": (client_tls, "localhost")} if with_tls else {}
    watching = [(evt.EVT_DATA_SENT, lambda event: event.data)] if is_watched else []
    with serving("127.0.0.1", server_tls if with_tls else None, (evt.EVT_C_STORE, Streamed(take))) as server:
        ((item, status),) = make_ae().send_c_stores(*server.address, [path], retries=0, evt_handlers=watching, **tls)
    assert item is path
    assert "become shorter" in str(status.failure)
    assert "PATIENT" not in str(status.failure)
    assert ended == [0]
