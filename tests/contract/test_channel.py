"""The bytes of one connection: what is suspected when it comes to nothing, and files that are cut meanwhile."""

import os
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_transports._files.reading import as_storable
from dicom_transports._socket.channel import Channel
from dicom_transports._socket.tls_layer import TLSLayer
from tests.contract import certificates
from tests.contract.adapters import WAIT

authority = certificates.authority
server_credentials = certificates.server_credentials
client_credentials = certificates.client_credentials
server_tls = certificates.server_tls
client_tls = certificates.client_tls

ASSOCIATE_RQ = bytes.fromhex("01 00 000000cd 0001 0000")
ABORT = bytes.fromhex("07 00 00000004 00 00 02 01")
CLIENT_HELLO = bytes.fromhex("16 0301 0200 01 0001fc")
ALERT = bytes.fromhex("15 0303 0002 0246")
PLAIN, CLIENT, SERVER = None, "client", "server"


@contextmanager
def connected(layer: TLSLayer | None = None) -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the other end as a bare socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        channel = Channel(listener.accept()[0], layer)
        peer.settimeout(WAIT)
        try:
            yield channel, peer
        finally:
            channel.close()


@pytest.fixture
def make_layer(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> Callable[[str | None], TLSLayer | None]:
    def make(side: str | None) -> TLSLayer | None:
        match side:
            case "client":
                return TLSLayer(client_tls, server_side=False, server_hostname="localhost")
            case "server":
                return TLSLayer(server_tls, server_side=True)
        return None

    return make


def take(channel: Channel, *, until: Callable[[], bool] = lambda: False) -> list[Buffer]:
    """What is received until the end, or until something is so."""
    received: list[Buffer] = []
    channel.send()
    while not (channel.has_ended or until()):
        received += channel.receive()
    return received


@pytest.mark.parametrize(
    ("side", "said", "words"),
    [
        (PLAIN, CLIENT_HELLO, "the peer speaks TLS, and this connection is without TLS"),
        (PLAIN, ALERT, "its port is one for TLS"),
        (PLAIN, ABORT, None),
        (PLAIN, b"\x16", None),
        (PLAIN, b"", "without a word: perhaps its port is one for TLS"),
        (CLIENT, ABORT, "the peer does not speak TLS: perhaps its port is one without TLS"),
        (CLIENT, b"HTTP/1.1 400 Bad Request", "the peer does not speak TLS: perhaps its port is one without TLS"),
        (CLIENT, b"", "without a word when it was asked for TLS: perhaps its port is one without TLS"),
        (CLIENT, ALERT, None),
        (CLIENT, b"\x07", None),
        (SERVER, ASSOCIATE_RQ, "the peer speaks DICOM without TLS, and this port is one for TLS"),
        (SERVER, b"GET / HTTP/1.1\r\n", "the peer does not speak TLS"),
        (SERVER, CLIENT_HELLO, None),
        (SERVER, b"", None),
    ],
)
@pytest.mark.parametrize("cut", [1, None])
@pytest.mark.parametrize("reset", [False, True])
def test_what_is_suspected(make_layer, side, said, words, cut, reset) -> None:
    """DCMTK, Orthanc and dcmjs answer what they do not understand with an alert or a reset, or not at all."""
    with connected(make_layer(side)) as (channel, peer):
        if side is not SERVER:
            channel.put([ASSOCIATE_RQ])
        for start in range(0, len(said), cut or len(said) or 1):
            peer.sendall(said[start : start + (cut or len(said))])
            if cut:
                take(channel, until=lambda: bool(channel._first))  # noqa: SLF001
        if reset:
            take(channel, until=lambda: len(channel._first) == min(2, len(said)))  # noqa: SLF001 - a reset loses them
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        take(channel)
        assert (channel.suspicion is None) == (words is None)
        assert (words or "") in (channel.suspicion or "")


def test_a_peer_that_says_nothing_to_tls(make_layer) -> None:
    with connected(make_layer(CLIENT)) as (channel, _):
        channel.put([ASSOCIATE_RQ])
        assert channel.suspicion is not None
        assert "not said a word" in channel.suspicion
        assert not channel.has_ended


def test_nobody_is_suspected_who_is_understood(client_tls, server_tls) -> None:
    """Not once TLS is established, nor a server without TLS that has heard a PDU, nor one that looks who is there."""
    with connected(TLSLayer(server_tls, server_side=True)) as (channel, peer):
        layer = TLSLayer(client_tls, server_side=False, server_hostname="localhost")
        client = Channel(peer, layer)
        while not layer.is_established:
            channel.receive()
            client.receive()
        assert client.suspicion is None
        client.close()
        take(channel)
        assert channel.suspicion is None
    with connected() as (channel, peer):
        channel.put([ABORT])
        peer.close()
        take(channel)
        assert channel.suspicion is None
    with connected() as (channel, peer):
        peer.sendall(ASSOCIATE_RQ)
        take(channel, until=lambda: bool(channel._first))  # noqa: SLF001
        peer.close()
        channel.put([ABORT])
        take(channel)
        assert channel.suspicion is None


# Files


SIZE = 3 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.dcm"
    head = file_preamble_and_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2")
    path.write_bytes(head + struct.pack("<HHL", 0x7FE0, 0x10, SIZE) + os.urandom(SIZE))
    return path


def pdus(data: memoryview) -> list[Buffer]:
    pieces = range(0, len(data), 16000)
    return [buffer for at in pieces for buffer in (b"twelve bytes", data[at : at + 16000])]


@pytest.mark.parametrize("side", [PLAIN, SERVER])
def test_a_file_is_sent_as_it_is(large, side, make_layer, client_tls) -> None:
    data = as_storable(large).data
    layer = make_layer(side)
    with connected(layer) as (channel, peer):
        if layer is not None:
            other = Channel(peer, TLSLayer(client_tls, server_side=False, server_hostname="localhost"))
            while not layer.is_established:
                channel.receive()
                other.receive()
        else:
            other = Channel(peer)
        buffers = pdus(data)
        received = bytearray()
        length = sum(map(len, buffers))
        while len(received) < length:
            if channel.backlog < 1 << 20:
                now, buffers = buffers[:100], buffers[100:]
                channel.put(now)
            channel.send()
            for block in other.receive():
                received += block
        assert bytes(received) == b"".join(pdus(data))
        assert channel.source_error is None


def test_what_is_looked_at_before_it_is_sent(large) -> None:
    data = as_storable(large).data
    with connected() as (channel, _):
        whole = pdus(data)[:20]
        assert b"".join(channel.secure(whole)) == b"".join(whole)
        ours: list[Buffer] = [b"bytes"]
        assert channel.secure(ours) is ours
        os.truncate(large, 1000)
        assert channel.secure(pdus(data)[-2:]) == []
        assert channel.suspicion == "a file has become shorter while it was sent"


# A process that touches what a file has lost is killed: so these run in one of their own.
SHORTENED = """
    import os, socket, ssl, sys
    from dicom_transports._files.reading import as_storable
    from dicom_transports._socket import channel as channels
    from dicom_transports._socket.channel import Channel
    from dicom_transports._socket.tls_layer import TLSLayer
    from dicom_transports.tls import client_context, server_context
    path, kind, when, length, certificate, key, ca = sys.argv[1:]
    data = as_storable(path).data
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server = listener.accept()[0]
    if kind == "plain":
        layers = (None, None)
    else:
        layers = (TLSLayer(server_context(certificate, key), server_side=True),
                  TLSLayer(client_context(ca_file=ca), server_side=False, server_hostname="localhost"))
    sender, receiver = Channel(server, layers[0]), Channel(client, layers[1])
    while layers[0] is not None and not layers[0].is_established:
        sender.receive(), receiver.receive()
    received = bytearray()
    buffers = [buffer for at in range(0, len(data), 16000) for buffer in (b"twelve bytes", data[at : at + 16000])]
    cut = lambda: os.truncate(path, int(length))
    if when == "amidst":  # between a look at the file's length and what is done with it
        note = channels.note_sent
        def note_sent(buffers):
            sources = note(buffers)
            class Late(set):
                def __iter__(self):
                    yield from set(sources) if os.stat(path).st_size == int(length) else ()
                    cut()
            return Late(sources)
        channels.note_sent = note_sent
    for number in range(0, len(buffers), 20):
        if when == "between" and number == 40:
            cut()
        sender.put(buffers[number : number + 20])
        while sender.wants_write and sender.source_error is None:
            sender.send()
            for block in receiver.receive():
                received += block
        if sender.source_error is not None:
            break
    assert sender.source_error is not None
    assert path not in str(sender.source_error)
    sender.receive()
    assert sender.has_ended
    sender.close()
    while not receiver.has_ended:
        for block in receiver.receive():
            received += block
    whole = sum(map(len, buffers))
    assert len(received) < whole or kind == "plain" and when == "amidst"
    print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there nobody can cut a file that is mapped")
@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("when", ["between", "amidst"])
@pytest.mark.parametrize("length", [0, 4096 * 40, SIZE, SIZE + 100])
def test_a_file_that_is_shortened_while_it_is_sent(large, server_credentials, authority, kind, when, length) -> None:
    """The connection is given up, and no process is killed (SIGBUS); where it can be known, nothing wrong leaves."""
    arguments = [large, kind, when, length, server_credentials.certificate, server_credentials.key, authority.ca_file]
    done = subprocess.run(
        [sys.executable, "-c", dedent(SHORTENED), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr
