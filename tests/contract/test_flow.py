"""How bytes flow: half-sent PDUs, slow readers, large data sets; and what a server and a connection endure.

The other side is a bare socket that the test itself moves, so that nothing depends on time but the deadlines under
test. The adapter comes from a fixture.
"""

import gc
import hashlib
import logging
import resource
import socket
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from random import Random

import pytest

from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived
from dicom_proto.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CFindRQ,
    CFindRSP,
    CStoreRQ,
    CStoreRSP,
    encode_message,
)
from dicom_proto.upper_layer.events import AbortOrigin, ReleaseRequested
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationRejected,
)
from dicom_proto.upper_layer.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    encode_pdu,
)
from dicom_proto.upper_layer.policy import Policy, Review
from dicom_transports.blocking import Session
from tests.contract.adapters import WAIT, Adapter, Listener, Peer, Running
from tests.contract.scenes import (
    ECHO,
    LARGE,
    OFFER,
    POLICY,
    REQUEST,
    SHORT,
    STORE,
    Served,
    assert_no_threads,
    assert_serves,
    associate,
    echoed,
    message,
)
from tests.proto.wire import CT, STUDY_FIND


def test_half_sent_pdus_are_finished_later(adapter: Adapter) -> None:
    served = Served()
    with adapter.serve(POLICY, served) as server, Peer.dial(server.address) as peer:
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
        assert [type(event) for event in served.finish()] == [RequestReceived, ReleaseRequested]


# --- backpressure -----------------------------------------------------------------------------------------------------


def test_requestor_hears_a_peer_that_does_not_read(dialled: tuple[Session, Peer]) -> None:
    """A refusal that comes while most of the object has not been sent reaches the caller then, not afterwards."""
    session, peer = dialled
    data = Random(4).randbytes(LARGE)
    request = CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    calling = Running(session.call, request, context=3, data=data)
    command = peer.get()
    assert isinstance(command, PDataTF)
    assert command.pdvs[0].command
    refusal = CStoreRSP(message_id_being_responded_to=1, status=0xA700)
    peer.send(message(refusal, context=3))
    response, _ = calling.result()
    assert response == refusal
    releasing = Running(session.release)  # the association goes on: first the rest of the data set is sent
    received = hashlib.sha256()
    length = 0
    while isinstance(pdu := peer.get(), PDataTF):
        received.update(pdu.pdvs[0].data)
        length += len(pdu.pdvs[0].data)
    assert pdu == AReleaseRQ()
    peer.send(AReleaseRP())
    releasing.result()
    assert length == LARGE
    assert received.digest() == hashlib.sha256(data).digest()


def test_acceptor_hears_a_peer_that_does_not_read(adapter: Adapter) -> None:
    """A C-CANCEL is seen although tens of megabytes wait for the peer that sends it."""
    data = Random(5).randbytes(LARGE)
    cancelled = threading.Event()

    def serve(session: Session) -> None:
        for event in session:
            match event:
                case DataChunk():
                    pending = CFindRSP(message_id_being_responded_to=7, status=0xFF00)
                    session.send_response(pending, data=data)
                case CancelReceived():
                    cancelled.set()
                    session.send_response(CFindRSP(message_id_being_responded_to=7, status=0xFE00))
                case ReleaseRequested():
                    session.confirm_release()

    with adapter.serve(POLICY, serve) as server, associate(server) as peer:
        find = CFindRQ(message_id=7, affected_sop_class_uid=STUDY_FIND)
        peer.send(message(find, b"key!", context=5), message(CCancelRQ(message_id_being_responded_to=7), context=5))
        assert cancelled.wait(WAIT)
        assert [part[2] for part in peer.get_data()][1:] == [data]
        assert peer.get_data()
        peer.send(AReleaseRQ())
        assert peer.get() == AReleaseRP()


# --- servers ----------------------------------------------------------------------------------------------------------


def test_exception_of_a_handler_costs_its_own_association(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    class Fragile(Served):
        def serve(self, session: Session) -> None:
            for event in session:
                if isinstance(event, RequestReceived) and isinstance(event.request, CStoreRQ):
                    raise ZeroDivisionError("a fault of the handler")
                self.answer(session, event)

    with adapter.serve(POLICY, Fragile()) as server, associate(server) as other, associate(server) as peer:
        peer.send(STORE)
        assert peer.get() == AAbort(0)
        assert peer.is_at_end()
        other.send(message(ECHO))
        assert other.get_data() == [(1, True, encode_message(echoed(), has_data_set=False))]
        assert_serves(server)
    assert "a fault of the handler" in caplog.text


def test_exception_while_deciding_costs_that_association(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    def decide(_review: Review) -> AAssociateAC | AAssociateRJ:
        raise ZeroDivisionError("a fault of the application")

    with adapter.serve(POLICY, Served(), answer=decide) as server, Peer.dial(server.address) as peer:
        peer.send(OFFER)
        assert peer.get() == AAbort(0)
        assert peer.is_at_end()
    assert "a fault of the application" in caplog.text


def test_server_rejects_those_too_many_and_then_takes_the_next(adapter: Adapter) -> None:
    with adapter.serve(POLICY, Served(), maximum_associations=2) as server:
        with associate(server), associate(server), Peer.dial(server.address) as third:
            third.send(OFFER)
            assert third.get() == AAssociateRJ(2, 3, 2)
        assert_serves(server)


def test_connections_that_say_nothing_are_bounded(adapter: Adapter) -> None:
    with adapter.serve(POLICY, Served(), maximum_associations=2) as server:
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer.dial(server.address)) for _ in range(5)]
            assert peers[4].is_at_end()  # two slots, two to be rejected, and no more threads than that
        assert_serves(server)


def test_server_that_gets_no_thread_goes_on(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with adapter.serve(POLICY, Served()) as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with Peer.dial(server.address) as peer:
                assert peer.is_at_end()
        assert_serves(server)


def test_server_that_gets_no_descriptor_goes_on(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    complained = threading.Event()
    monkeypatch.setattr(logging.getLogger("dicom_transports.blocking"), "warning", lambda *_: complained.set())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with adapter.serve(POLICY, Served()) as server, socket.socket() as sock:
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


def test_nothing_is_left_of_hundreds_of_associations(adapter: Adapter) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    with adapter.serve(POLICY, Served()) as server:
        assert_serves(server)
        assert_no_threads()
        gc.collect()
        before = len(list(descriptors.iterdir())), threading.active_count()
        for number in range(300):
            if number % 3:
                with Peer.dial(server.address) as peer:
                    peer.send(REQUEST[: number % 2 * 1000])
            else:
                with adapter.connect(server.address, OFFER) as session:
                    session.call(CEchoRQ(), context=1)
                    session.release()
        assert_serves(server)
        assert_no_threads()
        assert (len(list(descriptors.iterdir())), threading.active_count()) == before


# --- connections ------------------------------------------------------------------------------------------------------


def test_refused_connection_says_where(adapter: Adapter) -> None:
    with Listener() as listener:
        host, port = listener.address
    with pytest.raises(ConnectionRefusedError, match=f"no connection to {host} port {port}: Connection refused"):
        adapter.connect((host, port), OFFER)


def test_connection_that_is_not_answered_times_out(adapter: Adapter) -> None:
    with Listener(backlog=0) as listener, ExitStack() as stack:
        host, port = listener.address
        for _ in range(3):  # they fill the queue of those that wait to be accepted
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.address)
        with pytest.raises(TimeoutError, match=f"^no connection to {host} port {port}: timed out"):
            adapter.connect((host, port), OFFER, connect_timeout=SHORT)


def test_rejection_has_its_numbers(adapter: Adapter) -> None:
    policy = Policy(supported={}, called_ae_titles="OTHER")
    with adapter.serve(policy, Served()) as server, pytest.raises(AssociationRejected) as caught:
        adapter.connect(server.address, OFFER)
    assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)


@pytest.mark.parametrize("answered", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), encode_pdu(AReleaseRP())])
def test_answer_that_is_none_is_refused(adapter: Adapter, answered: bytes) -> None:
    with Listener() as listener:
        connecting = Running(adapter.connect, listener.address, OFFER)
        with listener.accept() as peer:
            peer.get()
            peer.send(answered)
            with pytest.raises(AssociationAborted) as caught:
                connecting.result()
            assert caught.value.origin is AbortOrigin.LOCAL_PROVIDER
            assert peer.read(2) == b"\7\0"


def test_ipv6(adapter: Adapter) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with adapter.serve(POLICY, Served(), address=("::1", 0)) as server:
        assert server.address[0] == "::1"
        with adapter.connect(server.address, OFFER) as session:
            assert session.call(CEchoRQ(), context=1)[0].status == 0
            session.release()


def test_host_name_and_local_address(adapter: Adapter) -> None:
    served = Served()
    with adapter.serve(POLICY, served) as server:
        with adapter.connect(("localhost", server.address[1]), OFFER, bind_address=("127.0.0.2", 0)) as session:
            session.release()
        assert served.finish() == [ReleaseRequested()]


def test_two_of_its_own_exchange_a_large_data_set(adapter: Adapter) -> None:
    received = hashlib.sha256()

    def serve(session: Session) -> None:
        for event in session:
            if isinstance(event, DataChunk):
                received.update(event.data)
                if event.last:
                    session.send_response(CStoreRSP(message_id_being_responded_to=event.message_id, status=0))
            if isinstance(event, ReleaseRequested):
                session.confirm_release()

    data = Random(6).randbytes(LARGE)
    with adapter.serve(POLICY, serve) as server, adapter.connect(server.address, OFFER) as session:
        request = CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
        assert Running(session.call, request, context=3, data=data).result()[0].status == 0
        session.release()
    assert received.digest() == hashlib.sha256(data).digest()
