"""How bytes flow: half-sent PDUs, slow readers, large data sets; and what a server and a connection endure.

The other side is mostly a bare socket that the test itself moves, so that nothing depends on time but the deadlines
under test.
"""

import hashlib
import logging
import resource
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, suppress
from random import Random
from typing import Any

import pytest

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.messages import CCancelRQ, CFindRQ, CStoreRSP
from dicom_proto.handlers.sinks import Streamed
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AReleaseRP, AReleaseRQ, PDataTF, encode_pdu
from dicom_transports.blocking import evt
from tests.contract.adapters import WAIT, Listener, Peer, Running, assert_no_associations
from tests.contract.entities import FIND, Happened, ct, dataset, dial, entity, serving
from tests.contract.scenes import (
    CT_CONTEXT,
    ECHO,
    FIND_CONTEXT,
    LARGE,
    OFFER,
    REQUEST,
    SHORT,
    assert_serves,
    associate,
    image,
    message,
    scripted,
)

pytestmark = pytest.mark.usefixtures("adapter")


def digest(data: Buffer) -> bytes:
    return hashlib.sha256(data).digest()


def test_half_sent_pdus_are_finished_later() -> None:
    happened = Happened()
    with serving((evt.EVT_RELEASED, happened)) as server, Peer.dial(server.address) as peer:
        for half in (REQUEST[:50], REQUEST[50:]):
            peer.send(half)
        peer.get()
        echo = message(ECHO)
        for start in range(0, len(echo), 5):
            peer.send(echo[start : start + 5])
        peer.get_data()
        for byte in encode_pdu(AReleaseRQ()):
            peer.send(bytes([byte]))
        assert peer.get() == AReleaseRP()
        peer.vanish()
        happened.wait("RELEASED")


# --- backpressure -----------------------------------------------------------------------------------------------------


def test_requestor_hears_a_peer_that_does_not_read() -> None:
    """A refusal that comes while most of the object has not been sent reaches the caller then, not afterwards."""
    data = Random(4).randbytes(LARGE)
    with scripted() as (association, peer):
        storing = Running(association.send_c_store, image(data))
        command = peer.get()
        assert isinstance(command, PDataTF)
        assert command.pdvs[0].command
        peer.send(message(CStoreRSP(message_id_being_responded_to=1, status=0xA700), context=CT_CONTEXT))
        assert storing.result().Status == 0xA700
        releasing = Running(association.release)  # the association goes on: first the rest of the data set is sent
        received = bytearray()
        while isinstance(pdu := peer.get(), PDataTF):
            received += pdu.pdvs[0].data
        assert pdu == AReleaseRQ()
        peer.send(AReleaseRP())
        releasing.result()
        assert digest(received) == digest(data)


def test_acceptor_hears_a_peer_that_does_not_read() -> None:
    """A C-CANCEL is seen although tens of megabytes wait for the peer that sends it."""
    asked: list[Any] = []
    begun = threading.Event()

    def find(event: Any) -> Iterator[Any]:
        asked.append(event)
        begun.set()
        yield 0xFF00, dataset(TextValue="x" * LARGE)
        yield 0xFE00 if event.is_cancelled else 0x0000, None

    with serving((evt.EVT_C_FIND, find)) as server, associate(server) as peer:
        peer.send(message(CFindRQ(message_id=7, affected_sop_class_uid=FIND), bytes(8), FIND_CONTEXT))
        assert begun.wait(WAIT)
        peer.socket.recv(1, socket.MSG_PEEK)  # it has begun to answer
        peer.send(message(CCancelRQ(message_id_being_responded_to=7), context=FIND_CONTEXT))
        while not asked[0].is_cancelled:
            threading.Event().wait(0.001)
        assert len(peer.get_data()[1][2]) > LARGE
        ((_, _, response),) = peer.get_data()
        assert b"\0\0\0\x09\2\0\0\0\0\xfe" in response
        peer.send(AReleaseRQ())
        assert peer.get() == AReleaseRP()


def test_two_of_its_own_exchange_a_large_data_set() -> None:
    data = Random(6).randbytes(LARGE)
    received = hashlib.sha256()

    def take(_event: Any) -> Generator[None, Buffer | None, int]:
        while (piece := (yield)) is not None:
            received.update(piece)
        return 0x0000

    with serving((evt.EVT_C_STORE, Streamed(take))) as server, dial(server) as association:
        assert Running(association.send_c_store, image(data)).result().Status == 0x0000
    assert received.digest() == digest(data)


# --- servers ----------------------------------------------------------------------------------------------------------


def test_server_rejects_those_too_many_and_then_takes_the_next() -> None:
    with serving(maximum_associations=2) as server:
        with associate(server), associate(server), Peer.dial(server.address) as third:
            third.send(OFFER)
            assert third.get() == AAssociateRJ(2, 3, 2)
        assert_serves(server)


def test_connections_that_say_nothing_are_bounded() -> None:
    with serving(maximum_associations=2, maximum_connections=4) as server:
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer.dial(server.address)) for _ in range(40)]
            for peer in peers[:-4]:  # they have been silent longest, and give way: some before anybody has seen to them
                assert peer.is_at_end()
            peers[-1].send(OFFER)
            assert isinstance(peers[-1].get(), AAssociateAC)
        assert_serves(server)


def test_server_that_gets_no_descriptor_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    complained = threading.Event()
    monkeypatch.setattr(logging.Logger, "warning", lambda *_: complained.set())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving() as server, socket.socket() as sock:
        with closing(socket.socket()) as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))  # so many, and they are all in use
        try:
            sock.connect(server.address)
            assert complained.wait(WAIT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        peer = Peer(sock)
        peer.send(OFFER)
        assert isinstance(peer.get(), AAssociateAC)


def test_many_clients() -> None:
    """Each of many has its own answers, all at the same time."""
    stored: list[int] = []

    def store(event: Any) -> int:
        stored.append(event.dataset.Rows)
        return 0x0000

    together = threading.Barrier(20)

    def use(number: int) -> None:
        with dial(server) as association:
            together.wait(WAIT)
            for _ in range(3):
                assert association.send_c_echo().Status == 0x0000
                assert association.send_c_store(ct(number)).Status == 0x0000

    with serving((evt.EVT_C_STORE, store), maximum_associations=20) as server:
        for running in [Running(use, number) for number in range(1, 21)]:
            running.result()
        assert_no_associations()
    assert sorted(stored) == sorted([*range(1, 21)] * 3)


# --- connections ------------------------------------------------------------------------------------------------------


def test_reconnecting() -> None:
    """An application entity that has lost its server finds the next one at the same address."""
    client = entity("SCU")
    address = ("127.0.0.1", 0)
    for _ in range(3):
        server = entity("SCP").start_server(address, block=False)
        address = server.address
        with client.associate(*address) as association:
            assert association.send_c_echo().Status == 0x0000
        lost = client.associate(*address)
        server.shutdown()
        assert len(lost.send_c_echo()) == 0 if lost.is_established else lost.is_aborted
        assert isinstance(client.associate(*address).failure, ConnectionRefusedError)


def test_connection_that_is_not_answered_times_out() -> None:
    with Listener(backlog=0) as listener, ExitStack() as stack:
        host, port = listener.address
        for _ in range(3):  # they fill the queue of those that wait to be accepted
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.address)
        failure = entity("SCU", connection_timeout=SHORT).associate(host, port).failure
        assert isinstance(failure, TimeoutError)
        assert f"no connection to {host} port {port}" in str(failure)


def test_host_name_and_local_address() -> None:
    happened = Happened()
    with serving((evt.EVT_CONN_OPEN, happened)) as server:
        with entity("SCU").associate("localhost", server.address[1], bind_address=("127.0.0.2", 0)) as association:
            assert association.send_c_echo().Status == 0x0000
        assert happened.wait("CONN_OPEN").address[0] == "127.0.0.2"
