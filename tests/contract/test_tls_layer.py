"""TLS without sockets: what it carries, how it ends, and how it fails."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import DEVNULL, PIPE

import pytest

from dicom_proto.buffers import Buffer
from dicom_proto.errors import InvalidSettingError
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import Verification
from dicom_proto.upper_layer import Association, build_offer
from dicom_transports._socket.tls_layer import RECORD, TLSLayer
from dicom_transports.tls import client_context, server_context
from tests.contract import certificates
from tests.contract.certificates import Authority
from tests.contract.tls_wire import End, connect

authority = certificates.authority
client_credentials = certificates.client_credentials
server_credentials = certificates.server_credentials
client_tls = certificates.client_tls
server_tls = certificates.server_tls

CUTS = [pytest.param(cut, id=str(cut or "whole")) for cut in (1, 7, 1000, None)]


# What it carries


@pytest.mark.parametrize("cut", CUTS)
def test_carries_data_both_ways_however_it_is_cut(client_tls, server_tls, cut) -> None:
    wire = connect(client_tls, server_tls, cut).run()
    assert wire.negotiated[0] == "TLSv1.3"
    request, answer = bytes(range(256)) * 10, bytes(range(255, -1, -1)) * 100
    wire.client.layer.send([request[:12], memoryview(request)[12:]])
    wire.server.layer.send([bytearray(answer), b"", b"."])
    wire.run()
    assert wire.server.plaintext == request
    assert wire.client.plaintext == answer + b"."
    wire.client.layer.close()
    wire.server.layer.close()
    wire.run()
    for end in (wire.client, wire.server):
        assert end.layer.is_closed
        assert not end.layer.is_ragged
        assert end.error is None


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_sent_before_the_handshake_is_kept(client_tls, server_tls, cut) -> None:
    wire = connect(client_tls, server_tls, cut)
    wire.client.layer.send([b"A-ASSOCIATE", b"-RQ"])
    wire.server.layer.send([b"early"])
    assert not wire.client.layer.is_established
    wire.run()
    assert [wire.server.plaintext, wire.client.plaintext] == [bytearray(b"A-ASSOCIATE-RQ"), bytearray(b"early")]


def test_only_a_client_speaks_first(client_tls, server_tls) -> None:
    wire = connect(client_tls, server_tls)
    assert wire.server.layer.pending == 0
    assert wire.client.layer.pending == len(wire.client.layer.to_send()) > 100
    assert (wire.client.layer.pending, wire.client.layer.to_send()) == (0, b"")


@pytest.mark.parametrize("size", [11, RECORD - 14, RECORD, 100_000])
def test_records_are_filled_and_received_as_one_block(client_tls, server_tls, size) -> None:
    wire = connect(client_tls, server_tls).run()
    payload = bytes(range(251)) * (size // 251 + 1)
    pdus: list[Buffer] = [b"PDU and PDV ", memoryview(payload)[:size]] * (3_000_000 // size)
    wire.client.layer.send(pdus)
    ciphertext = wire.client.layer.to_send()
    (block,) = wire.server.layer.receive(ciphertext)
    assert memoryview(block).readonly
    assert block == b"".join(pdus)
    assert len(ciphertext) < 1.005 * len(block)


def test_plaintext_does_not_keep_much_more_than_itself(client_tls, server_tls) -> None:
    wire = connect(client_tls, server_tls).run()
    wire.client.layer.send([b"small"])
    (block,) = wire.server.layer.receive(wire.client.layer.to_send())
    assert block == b"small"
    assert isinstance(block, bytes)


def test_an_address_can_be_the_name_of_the_server(client_tls, server_tls) -> None:
    assert connect(client_tls, server_tls, hostname="127.0.0.1").run().negotiated
    assert connect(client_tls, server_tls, hostname="::1").run().negotiated


def test_session_tickets_of_a_peer_change_nothing(client_tls, server_credentials) -> None:
    peers = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # one that sends them behind the handshake
    peers.load_cert_chain(server_credentials.certificate, server_credentials.key)
    wire = connect(client_tls, peers, cut=1).run()
    wire.server.layer.send([b"data"])
    assert wire.run().client.plaintext == b"data"
    session = wire.client.layer.ssl_object.session
    assert session is not None
    assert session.has_ticket


@pytest.mark.skipif(shutil.which("openssl") is None, reason="only the openssl command can ask for renegotiation")
def test_data_waits_for_a_renegotiation(authority, server_credentials) -> None:
    context = client_context(ca_file=authority.ca_file)
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    layer = TLSLayer(context, server_side=False, server_hostname="localhost")
    command = ["openssl", "s_server", "-tls1_2", "-accept", "127.0.0.1:0", "-naccept", "1", "-cert"]
    files = [server_credentials.certificate, "-key", server_credentials.key]
    with subprocess.Popen([*command, *files], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, bufsize=0) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(next(line for line in server.stdout if line.startswith(b"ACCEPT")).rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            layer.start()
            while not layer.is_established:
                sock.sendall(layer.to_send())
                layer.receive(sock.recv(1 << 16))
            layer.send([b"before\n"])
            server.stdin.write(b"r\n")  # a HelloRequest
            layer.receive(sock.recv(1 << 16))
            before = layer.pending
            layer.send([b"during\n"])
            layer.close()
            assert layer.pending == before
            sock.sendall(layer.to_send())
            while data := sock.recv(1 << 16):
                layer.receive(data)
                sock.sendall(layer.to_send())
        printed = server.stdout.read()
    assert [line for line in printed.splitlines() if line in (b"before", b"during")] == [b"before", b"during"]


# How it ends


def test_a_close_leaves_the_other_direction_open(client_tls, server_tls) -> None:
    wire = connect(client_tls, server_tls).run()
    wire.client.layer.send([b"last"])
    wire.client.layer.close()
    wire.client.layer.close()
    wire.client.layer.send([b"dropped"])
    wire.run()
    assert wire.server.plaintext == b"last"
    assert wire.server.layer.is_closed
    assert not wire.client.layer.is_closed
    wire.server.layer.send([b"answer"])
    assert wire.run().client.plaintext == b"answer"
    wire.server.layer.close()
    assert wire.run().client.layer.is_closed
    wire.client.layer.receive_eof()
    assert not wire.client.layer.is_ragged
    assert wire.client.error is None


@pytest.mark.parametrize("cut", CUTS)
def test_a_close_before_the_handshake_waits_for_it(client_tls, server_tls, cut) -> None:
    wire = connect(client_tls, server_tls, cut)
    wire.server.layer.send([b"A-ABORT"])
    wire.server.layer.close()
    wire.client.layer.send([b"A-ASSOCIATE-RQ"])
    wire.run()
    assert [wire.client.plaintext, wire.server.plaintext] == [bytearray(b"A-ABORT"), bytearray(b"A-ASSOCIATE-RQ")]
    assert wire.client.layer.is_closed


def test_what_follows_a_close_is_ignored(client_tls, server_tls) -> None:
    wire = connect(client_tls, server_tls).run()
    wire.client.layer.close()
    wire.server.receive(wire.client.layer.to_send() + b"not TLS")
    wire.server.receive(b"nor this")
    assert wire.server.layer.is_closed
    assert wire.server.error is None


@pytest.mark.parametrize("established", [True, False])
def test_an_end_without_close_notify_is_noted(client_tls, server_tls, established) -> None:
    wire = connect(client_tls, server_tls)
    if established:
        wire.run()
    wire.client.layer.receive_eof()
    assert wire.client.layer.is_closed
    assert wire.client.layer.is_ragged
    assert wire.client.layer.is_established is established
    assert wire.client.layer.receive(b"late") == []


# How it fails


def test_a_failed_layer_raises_once_and_has_an_alert(server_tls, tmp_path) -> None:
    strangers = client_context(ca_file=Authority(tmp_path).ca_file)
    wire = connect(strangers, server_tls)
    wire.server.receive(wire.client.layer.to_send())
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        wire.client.layer.receive(wire.server.layer.to_send())
    wire.client.layer.send([b"dropped"])
    wire.client.layer.close()
    assert wire.client.layer.receive(b"more") == []
    alert = wire.client.layer.to_send()
    assert alert
    with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
        wire.server.layer.receive(alert)
    assert wire.server.layer.receive(b"more") == []
    wire.server.layer.receive_eof()
    assert wire.server.layer.is_closed
    assert not wire.server.layer.is_established


@pytest.mark.parametrize("ending", [lambda layer: layer.receive(b""), lambda layer: layer.receive_eof()])
def test_data_before_a_broken_record_counts(client_tls, server_tls, ending: Callable[[TLSLayer], object]) -> None:
    wire = connect(client_tls, server_tls).run()
    wire.client.layer.send([b"good"])
    good = wire.client.layer.to_send()
    wire.client.layer.send([b"changed on the way"])
    broken = bytearray(wire.client.layer.to_send())
    broken[-1] ^= 1
    (block,) = wire.server.layer.receive(good + broken)
    assert block == b"good"
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        ending(wire.server.layer)
    ending(wire.server.layer)
    assert wire.run().reasons == ("BAD_RECORD_MAC", "")


@pytest.mark.parametrize("cut", CUTS)
def test_expired_certificate(authority, client_tls, cut) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    old = authority.issue("expired", not_before=yesterday - timedelta(days=9), not_after=yesterday)
    wire = connect(client_tls, server_context(old.certificate, old.key), cut).run()
    assert wire.reasons == ("CERTIFICATE_VERIFY_FAILED", "CERTIFICATE_EXPIRED")


def test_certificate_of_another_host(authority, client_tls) -> None:
    other = authority.issue("other", "pacs.example.org")
    server = server_context(other.certificate, other.key)
    wire = connect(client_tls, server).run()
    assert "Hostname mismatch" in str(wire.client.error)
    assert connect(client_tls, server, hostname="pacs.example.org").run().negotiated
    careless = client_context(ca_file=authority.ca_file, check_hostname=False)
    assert connect(careless, server).run().negotiated
    assert connect(careless, server, hostname=None).run().negotiated


def test_careless_about_names_is_not_careless_about_authorities(server_tls, tmp_path) -> None:
    careless = client_context(ca_file=Authority(tmp_path).ca_file, check_hostname=False)
    assert connect(careless, server_tls).run().reasons == ("CERTIFICATE_VERIFY_FAILED", "UNKNOWN_CA")
    system = client_context()  # no authority of a test is among those
    assert connect(system, server_tls).run().reasons == ("CERTIFICATE_VERIFY_FAILED", "UNKNOWN_CA")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_without_certificate(authority, server_tls, version) -> None:
    anonymous = client_context(ca_file=authority.ca_file)
    anonymous.maximum_version = version
    wire = connect(anonymous, server_tls)
    wire.client.layer.send([b"A-ASSOCIATE-RQ"])
    wire.run()
    assert wire.client.layer.is_established is (version is ssl.TLSVersion.TLSv1_3), "1.3 tells a client afterwards"
    assert wire.server.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert wire.client.error is not None
    assert not wire.server.plaintext


def test_client_with_certificate_of_a_stranger(authority, server_tls, tmp_path) -> None:
    stranger = Authority(tmp_path).issue("stranger")
    client = client_context(ca_file=authority.ca_file, certificate=stranger.certificate, key=stranger.key)
    assert connect(client, server_tls).run().reasons == ("UNKNOWN_CA", "CERTIFICATE_VERIFY_FAILED")


def test_client_certificate_can_be_optional(authority, client_tls, server_credentials, tmp_path) -> None:
    server = server_context(
        server_credentials.certificate,
        server_credentials.key,
        ca_file=authority.ca_file,
        require_client_certificate=False,
    )
    wire = connect(client_tls, server).run()
    assert wire.server.layer.ssl_object.getpeercert(binary_form=True)
    wire = connect(client_context(ca_file=authority.ca_file), server).run()
    assert wire.negotiated
    assert wire.server.layer.ssl_object.getpeercert() is None
    stranger = Authority(tmp_path).issue("stranger")
    client = client_context(ca_file=authority.ca_file, certificate=stranger.certificate, key=stranger.key)
    assert connect(client, server).run().server.error is not None


@pytest.mark.parametrize("cut", CUTS)
def test_plain_dicom_to_a_tls_server(server_tls, cut) -> None:
    scu = Association()
    scu.request(build_offer("SCP", "SCU", [(Verification, IMPLICIT_VR_LITTLE_ENDIAN)]))
    scu.connection_made(now=0)
    request = b"".join(scu.data_to_send(now=0))
    server = End(TLSLayer(server_tls, server_side=True))
    for start in range(0, len(request), cut or len(request)):
        server.receive(request[start : start + (cut or len(request))])
    assert server.reason == "WRONG_VERSION_NUMBER"
    assert not server.layer.is_established


def test_tls_to_a_plain_dicom_server(client_tls) -> None:
    client = End(TLSLayer(client_tls, server_side=False, server_hostname="localhost"))
    client.layer.start()
    scp = Association()
    scp.connection_made(now=0)
    scp.receive_data(client.layer.to_send(), now=0)
    scp.next_event()
    client.receive(b"".join(scp.data_to_send(now=0)))  # an A-ABORT
    assert client.reason == "WRONG_VERSION_NUMBER"


@pytest.mark.parametrize(
    ("server_side", "hostname", "message"),
    [
        (True, None, "TLS cannot be used like this: .*PROTOCOL_TLS_CLIENT"),
        (False, None, "the name of the server, and there is none"),
        (False, "", "the name of the server, and there is none"),
        (False, "pacs\0.example.org", "TLS cannot be used like this: .*null bytes"),
        (False, ".example.org", "TLS cannot be used like this: .*label empty"),
    ],
)
def test_contexts_and_names_that_do_not_fit(client_tls, server_side, hostname, message) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        TLSLayer(client_tls, server_side=server_side, server_hostname=hostname)


def test_a_context_that_offers_nothing(authority) -> None:
    nothing = client_context(ca_file=authority.ca_file)
    nothing.minimum_version, nothing.maximum_version = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="NO_PROTOCOLS_AVAILABLE"):
        TLSLayer(nothing, server_side=False, server_hostname="localhost").start()
