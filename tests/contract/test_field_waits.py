"""Waits that other stacks do not end, work they do while there is none, and memory they fill: what happens here.

The peer is a bare socket. Where each behaviour comes from, and which tests show the others, is in
docs/field_defects.md.
"""

import gc
import os
import resource
import select
import socket
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CStoreRQ, CStoreRSP
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.testing.pair import CT, IMPLICIT, VERIFICATION, answer, offer
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationTimedOut
from dicom_proto.upper_layer.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    encode_pdu,
    pack_header,
)
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.blocking import Association, evt
from tests.contract.adapters import Listener, Listening, Peer, Running, wait_until
from tests.contract.entities import (
    ABORTED,
    CT_ROLES,
    FIND,
    GET,
    Happened,
    answered,
    ct,
    dataset,
    dial,
    entity,
    flags,
    serving,
)
from tests.contract.scenes import LARGE, assert_serves, drain, echoed, message

pytestmark = pytest.mark.usefixtures("adapter")

BRIEF = 0.2  # seconds: a deadline that is meant to pass
PAUSE = 0.01  # seconds between the bytes of a peer that sends them one by one
OFFER = offer(VERIFICATION, CT, FIND)  # contexts 1, 3, 5
REQUEST = encode_pdu(OFFER)
ECHO = message(CEchoRQ(message_id=1))
IMAGE = StoredObject(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=IMPLICIT, data=bytes(LARGE))


def drip(peer: Peer, data: bytes) -> int:
    """Send byte by byte until the other side says or does something; return how many it has waited for."""
    for sent, byte in enumerate(data):
        peer.send(bytes([byte]))
        if select.select([peer.socket], [], [], PAUSE)[0]:
            return sent
    return len(data)


def establish(server: Listening) -> Peer:
    peer = Peer.dial(server.address)
    peer.send(OFFER)
    assert isinstance(peer.get(), AAssociateAC)
    return peer


@contextmanager
def scripted(*handlers: Any, **settings: Any) -> Iterator[tuple[Association, Peer]]:
    """An association whose peer does as it is told."""
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", Verification, CTImageStorage, **settings), *handlers)
        with peer:
            try:
                yield association, peer
            finally:
                association.abort()


def assert_timed_out(association: Association, timer: Timer) -> None:
    assert flags(association) == ABORTED
    assert isinstance(association.failure, AssociationTimedOut)
    assert association.failure.timer is timer


# --- timeouts that hold -----------------------------------------------------------------------------------------------


def test_request_that_drips() -> None:
    """Bytes that arrive one by one do not put off the end of the wait for a request (ARTIM)."""
    with serving(acse_timeout=BRIEF) as server:
        with Peer.dial(server.address) as peer:
            assert drip(peer, REQUEST) < len(REQUEST)
        assert_serves(server)


@pytest.mark.parametrize("length", [0, 3, 6, 100])
def test_half_a_request(length: int) -> None:
    """Whatever part of a request there is, the wait for the rest of it ends."""
    with serving(acse_timeout=BRIEF) as server, Peer.dial(server.address) as peer:
        peer.send(REQUEST[:length])
        assert peer.is_at_end()


@pytest.mark.parametrize("length", [1, 6, 11, 12, 40])
def test_half_a_command(length: int) -> None:
    """An acceptor that has part of a P-DATA-TF does not wait for ever for the rest."""
    happened = Happened()
    with serving((evt.EVT_ABORTED, happened), network_timeout=BRIEF) as server, establish(server) as peer:
        peer.send(ECHO[:length])
        assert peer.get() == AAbort(0)
        assert_timed_out(happened.wait("ABORTED").assoc, Timer.IDLE)


def test_half_an_object() -> None:
    """A store whose data set stops arriving is given up, and its handler is not called."""
    stored: list[Any] = []
    request = CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    with serving((evt.EVT_C_STORE, stored.append), network_timeout=BRIEF) as server, establish(server) as peer:
        peer.send(message(request, bytes(5000), context=3)[:-1])
        assert peer.get() == AAbort(0)
    assert stored == []


def test_answer_that_drips() -> None:
    """A requestor waits for the whole answer to its request no longer than for the beginning."""
    with Listener() as listener:
        associating = Running(entity("SCU", acse_timeout=BRIEF).associate, *listener.address)
        with listener.accept() as peer:
            peer.get()
            drip(peer, encode_pdu(answer(OFFER))[:-1])
            assert_timed_out(associating.result(), Timer.REQUEST)


@pytest.mark.parametrize("length", [1, 6, 40])
def test_half_a_response(length: int) -> None:
    """A call that has got part of its response does not wait for ever for the rest."""
    with scripted(dimse_timeout=BRIEF) as (association, peer):
        calling = Running(association.send_c_echo)
        assert peer.get_data()
        peer.send(message(echoed())[:length])
        assert len(calling.result()) == 0
        assert_timed_out(association, Timer.RESPONSE)


def test_release_that_drips() -> None:
    """A release waits for the whole answer no longer than for its beginning."""
    with scripted(acse_timeout=BRIEF) as (association, peer):
        releasing = Running(association.release)
        assert peer.get() == AReleaseRQ()
        longer = pack_header(6, 64) + bytes(64)  # which is tolerated
        assert drip(peer, longer) < len(longer)
        releasing.result()
        assert_timed_out(association, Timer.RELEASE)


@pytest.mark.parametrize("way", ["release", "rejection", "offence"])
def test_peer_that_never_closes(way: str) -> None:
    """After its last word an acceptor leaves it to the peer to close, and does so itself when that takes too long."""
    with (
        serving(acse_timeout=BRIEF, require_called_aet=way == "rejection") as server,
        Peer.dial(server.address) as peer,
    ):
        peer.send(OFFER)
        if way == "rejection":
            assert peer.get() == AAssociateRJ(1, 1, 7)
        else:
            assert isinstance(peer.get(), AAssociateAC)
            peer.send(AReleaseRQ() if way == "release" else AReleaseRP())
            assert isinstance(peer.get(), AReleaseRP if way == "release" else AAbort)
        assert peer.is_at_end()
        wait_until(lambda: not server.active_associations)  # while the peer keeps its socket


def test_call_whose_peer_does_not_read() -> None:
    """A request that the peer does not take in does not wait for ever."""
    with scripted(network_timeout=BRIEF) as (association, _):
        assert len(Running(association.send_c_store, IMAGE).result()) == 0
        assert_timed_out(association, Timer.IDLE)


def test_query_whose_peer_does_not_read() -> None:
    """A handler is asked for no more matches than the peer takes in, and left when it takes none."""
    pulled: list[int] = []
    done = threading.Event()

    def find(_event: Any) -> Iterator[Any]:
        try:
            for number in range(10_000):
                pulled.append(number)
                yield 0xFF00, dataset(PatientName="Patient", PatientComments="x" * 10_000)
        finally:
            done.set()

    request = CFindRQ(message_id=1, affected_sop_class_uid=FIND)
    with serving((evt.EVT_C_FIND, find), network_timeout=BRIEF) as server, establish(server) as peer:
        peer.send(message(request, bytes(8), context=5))
        assert done.wait(10)
    assert len(pulled) < 5000


def test_wait_for_a_response_begins_when_the_request_has_left() -> None:
    """However long an object takes to be sent, the time to answer it begins behind its last byte."""
    with scripted(dimse_timeout=2 * BRIEF) as (association, peer):
        storing = Running(association.send_c_store, IMAGE)
        threading.Event().wait(3 * BRIEF)  # most of it has not been sent yet
        drain_until(peer, LARGE)
        peer.send(message(CStoreRSP(message_id_being_responded_to=1, status=0), context=3))
        assert storing.result().Status == 0x0000


def test_abort_overtakes_what_waits_to_be_sent() -> None:
    """An abort ends a call at once, although most of its object waits for a peer that does not read."""
    with scripted() as (association, peer):
        storing = Running(association.send_c_store, IMAGE)
        peer.read(6)
        Running(association.abort).result()
        assert len(storing.result()) == 0
        assert flags(association) == ABORTED
        assert len(drain(peer)) < LARGE


def test_peer_that_aborts_while_it_does_not_read() -> None:
    """What the peer says is heard while most of an object has not been sent, not behind it."""
    with scripted() as (association, peer):
        storing = Running(association.send_c_store, IMAGE)
        peer.read(6)
        peer.send(AAbort(2, 1))
        assert len(storing.result()) == 0
        assert isinstance(association.failure, AssociationAborted)
        assert (association.failure.origin, association.failure.reason) == (AbortOrigin.PEER_PROVIDER, 1)
        assert len(drain(peer)) < LARGE


# --- nothing to do ----------------------------------------------------------------------------------------------------


def are_asleep(threads: set[Path]) -> bool:
    """Tell whether no thread goes to sleep or is woken for a while."""
    counted = [wake_ups(thread) for thread in threads]
    threading.Event().wait(0.2)
    return [wake_ups(thread) for thread in threads] == counted


def wake_ups(thread: Path) -> list[str]:
    """How often a thread has been woken, for a reason of its own or of the system; nothing if it has ended."""
    with suppress(FileNotFoundError):
        return [line for line in (thread / "status").read_text().splitlines() if "ctxt_switches" in line]
    return []


def test_associations_without_traffic_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens no thread wakes, and no garbage is collected by force."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("needs /proc")
    collected: list[Any] = []
    monkeypatch.setattr(gc, "collect", lambda *how: collected.append(how))
    with serving() as server, ExitStack() as stack:
        for _ in range(5):
            assert stack.enter_context(dial(server)).send_c_echo().Status == 0x0000
        threads = set(tasks.iterdir()) - {tasks / str(os.getpid())}
        assert threads
        assert any(are_asleep(threads) for _ in range(20))  # they may have something to finish first
    assert collected == []


def test_sockets_send_at_once_and_are_not_inherited() -> None:
    """No message waits for the acknowledgement of an earlier one (Nagle), and no child process keeps a connection."""
    with serving() as server, dial(server):
        port = server.address[1]
        connected = []
        for sock in [found for found in gc.get_objects() if type(found) is socket.socket]:
            with suppress(OSError):  # of those that are not connected any more
                if sock.family == socket.AF_INET and port in {sock.getsockname()[1], sock.getpeername()[1]}:
                    connected.append(sock)
        assert len(connected) == 2
        for sock in connected:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.get_inheritable()


def test_descriptors_above_1024() -> None:
    """Sockets beyond the 1024 that select() can watch work like any others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("the system allows fewer descriptors")
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
        while (descriptor := os.open(os.devnull, os.O_RDONLY)) < 1100:
            stack.callback(os.close, descriptor)
        stack.callback(os.close, descriptor)
        with serving() as server, dial(server) as association:
            assert association.send_c_echo().Status == 0x0000


# --- memory and files -------------------------------------------------------------------------------------------------


def test_object_waits_where_it_is_until_it_is_sent() -> None:
    """However slowly the peer reads, no more than a few PDUs of an object are kept beside it."""
    with scripted() as (association, peer):
        tracemalloc.start()
        try:
            storing = Running(association.send_c_store, IMAGE)
            drain_until(peer, LARGE)
            peer.send(message(CStoreRSP(message_id_being_responded_to=1, status=0), context=3))
            assert storing.result().Status == 0x0000
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def drain_until(peer: Peer, length: int) -> None:
    """Read until so many bytes of a data set have arrived."""
    while length > 0:
        pdu = peer.get()
        assert isinstance(pdu, PDataTF)
        length -= sum(len(pdv.data) for pdv in pdu.pdvs if not pdv.command)


def test_no_files_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that raises, a peer that is lost in the middle of an object and a C-GET leave no temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    happened = Happened()

    def store(_event: Any) -> int:
        raise ZeroDivisionError

    def get(_event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, ct()

    request = CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_GET, get), (evt.EVT_CONN_CLOSE, happened)]
    with serving(*handlers) as server:
        with dial(server, (evt.EVT_C_STORE, lambda _: 0), ext_neg=[CT_ROLES]) as association:
            assert association.send_c_store(ct()).Status == 0xC211
            assert [status.Status for status, _ in association.send_c_get(ct(), GET)][-1] == 0x0000
        with establish(server) as peer:
            peer.send(message(request, bytes(5000), context=3)[:-1000])
        happened.wait("CONN_CLOSE", 2)
    assert list(tmp_path.iterdir()) == []
