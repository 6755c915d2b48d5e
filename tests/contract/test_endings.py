"""How associations end on the wire: release, abort, deadlines and shutdown.

The other side is a bare socket that the test itself moves, so that nothing depends on time but the deadlines under
test.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, encode_message
from dicom_proto.testing.pair import VERIFICATION
from dicom_proto.upper_layer.failures import AssociationTimedOut
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, AReleaseRP, AReleaseRQ, encode_pdu
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.blocking import evt
from tests.contract.adapters import WAIT, Listener, Peer, Running, assert_no_associations
from tests.contract.entities import ABORTED, FIND, RELEASED, Happened, dataset, dial, entity, flags, serving
from tests.contract.scenes import (
    ECHO,
    FIND_CONTEXT,
    OFFER,
    SHORT,
    Scene,
    associate,
    call,
    drain,
    echoed,
    message,
    query,
    release,
    scripted,
    wait,
    write,
)

pytestmark = pytest.mark.usefixtures("adapter")


# --- the ordinary end -------------------------------------------------------------------------------------------------


def test_requestor_echoes_and_releases() -> None:
    with scripted() as (association, peer):
        calling = Running(association.send_c_echo)
        request = CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION)
        assert peer.get_data() == [(1, True, encode_message(request, has_data_set=False))]
        peer.send(message(echoed()))
        assert calling.result().Status == 0x0000
        releasing = Running(association.release)
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRP())
        releasing.result()
        assert peer.is_at_end()
        assert flags(association) == RELEASED


def test_acceptor_confirms_a_release() -> None:
    happened = Happened()
    with serving((evt.EVT_RELEASED, happened)) as server, associate(server) as peer:
        peer.send(message(ECHO), AReleaseRQ())
        peer.get_data()
        assert peer.get() == AReleaseRP()
        peer.vanish()
        assert flags(happened.wait("RELEASED").assoc) == RELEASED


def test_requestor_survives_a_release_collision() -> None:
    with scripted() as (association, peer):
        releasing = Running(association.release)
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRQ())
        assert peer.get() == AReleaseRP()  # the requestor confirms first (PS3.8 7.2.2.7)
        peer.send(AReleaseRP())
        releasing.result()
        assert peer.is_at_end()
        assert flags(association) == RELEASED


def test_acceptor_survives_a_release_collision() -> None:
    happened = Happened()
    with serving((evt.EVT_ESTABLISHED, happened)) as server, associate(server) as peer:
        association = happened.wait("ESTABLISHED").assoc
        releasing = Running(association.release)
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRQ(), AReleaseRP())  # the acceptor confirms after it was confirmed to
        assert peer.get() == AReleaseRP()
        peer.vanish()
        releasing.result()
        assert flags(association) == RELEASED


def test_release_waits_for_what_was_asked() -> None:
    with scripted() as (association, peer):
        calling = Running(association.send_c_echo)
        assert peer.get_data()
        releasing = Running(association.release)
        peer.send(message(echoed()))
        assert calling.result().Status == 0x0000
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRP())
        releasing.result()


# --- aborts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", [wait, call, release, write, query])
def test_abort_ends_whatever_is_under_way(scene: Scene) -> None:
    with scripted() as (association, peer):
        running = Running(scene, association)
        if scene is not wait:
            peer.read(6)  # it has begun
        association.abort()
        running.result()
        assert flags(association) == ABORTED
        assert scene is write or drain(peer).endswith(encode_pdu(AAbort(0)))


def test_another_thread_aborts() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def echo(_event: Any) -> int:
        begun.set()
        assert go_on.wait(WAIT)
        return 0x0000

    with serving((evt.EVT_C_ECHO, echo)) as server:
        association = dial(server)
        calling = Running(association.send_c_echo)
        assert begun.wait(WAIT)
        association.abort()
        assert len(calling.result()) == 0
        assert association.is_aborted
        go_on.set()


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timer", "setting", "scene", "said"),
    [
        (Timer.RESPONSE, "dimse_timeout", call, b""),
        (Timer.RESPONSE, "dimse_timeout", query, b""),
        (Timer.RELEASE, "acse_timeout", release, b""),
        (Timer.RELEASE, "acse_timeout", release, encode_pdu(AReleaseRQ())),
        (Timer.IDLE, "network_timeout", wait, b""),
        (Timer.IDLE, "network_timeout", write, b""),
    ],
)
def test_requestor_does_not_wait_for_ever(timer: Timer, setting: str, scene: Scene, said: bytes) -> None:
    happened = Happened()
    with scripted((evt.EVT_ABORTED, happened), **{setting: SHORT}) as (association, peer):
        running = Running(scene, association)
        if said:
            assert peer.get() == AReleaseRQ()
            peer.send(said)
        running.result()
        assert happened.wait("ABORTED").assoc == association
        assert association.is_aborted
        assert isinstance(association.failure, AssociationTimedOut)
        assert association.failure.timer is timer
        assert scene is write or AAbort(0) in received(peer)


def test_request_that_nobody_answers() -> None:
    with Listener() as listener:
        associating = Running(entity("SCU", acse_timeout=SHORT).associate, *listener.address)
        with listener.accept() as peer:
            peer.get()
            assert isinstance(associating.result().failure, AssociationTimedOut)
            assert peer.get() == AAbort(0)


# --- shutdown ---------------------------------------------------------------------------------------------------------


def test_shutdown_ends_them_all() -> None:
    """One idle association, one whose peer reads nothing, one silent connection, one rejected that stays."""
    is_writing = threading.Event()

    def find(_event: Any) -> Iterator[Any]:
        is_writing.set()
        while True:
            yield 0xFF00, dataset(TextValue="x" * (1 << 20))

    # Whoever has not been answered is not counted as done: two slots for three, and the last is rejected.
    with ExitStack() as stack:
        server = stack.enter_context(serving((evt.EVT_C_FIND, find), maximum_associations=2))
        peers = [stack.enter_context(associate(server)) for _ in range(2)]
        peers += [stack.enter_context(Peer.dial(server.address)) for _ in range(2)]
        peers[1].send(message(CFindRQ(message_id=1, affected_sop_class_uid=FIND), bytes(8), FIND_CONTEXT))
        assert is_writing.wait(WAIT)
        peers[3].send(OFFER)
        assert peers[3].get() == AAssociateRJ(2, 3, 2)
        ending = Running(server.shutdown)
        assert drain(peers[0]) == encode_pdu(AAbort(0))
        for peer in peers[1:]:
            drain(peer)
            peer.vanish()
        peers[0].vanish()
        ending.result()
    assert_no_associations()


def test_shutdown_before_the_start_and_twice() -> None:
    server = entity("SCP").make_server(("127.0.0.1", 0))
    server.shutdown()
    server.shutdown()
    with serving() as server, dial(server):
        server.shutdown()
        server.shutdown()
        assert isinstance(entity("SCU").associate(*server.address).failure, ConnectionRefusedError)


def test_server_finishes_what_is_under_way() -> None:
    """With time to finish, an association goes on after the port is closed, and its end is the server's."""
    with serving() as server:
        association = dial(server)
        ending = Running(server.shutdown, WAIT)
        while not isinstance((other := entity("SCU").associate(*server.address)).failure, ConnectionRefusedError):
            other.abort()
        assert association.send_c_echo().Status == 0x0000
        association.release()
        ending.result()
        assert flags(association) == RELEASED


def test_data_behind_the_end_is_not_served() -> None:
    called: list[Any] = []
    with serving((evt.EVT_C_ECHO, called.append)) as server, associate(server) as peer:
        peer.send(AReleaseRQ(), message(ECHO))
        assert isinstance(peer.get(), AReleaseRP | AAbort)  # before or after the rest has been seen
        peer.vanish()
    assert called == []


def received(peer: Peer) -> Iterator[Any]:
    """The PDUs that still come."""
    while True:
        try:
            yield peer.get()
        except (EOFError, ConnectionError):
            return
