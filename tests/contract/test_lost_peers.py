"""Peers that vanish, in every state and after every byte: nothing hangs and nothing is lost but their association.

The other side is a bare socket that the test itself moves, so that nothing depends on time.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.dimse.messages import CFindRQ, CFindRSP
from dicom_proto.testing.pair import answer
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_proto.upper_layer.pdu import AReleaseRP, AReleaseRQ, PDataTF, encode_pdu
from dicom_proto.upper_layer.state_table import State
from dicom_transports._threads.workers import WORKERS
from dicom_transports.blocking import evt
from tests.contract.adapters import WAIT, Listener, Peer, Running, assert_no_associations
from tests.contract.entities import FIND, Happened, dataset, entity, serving
from tests.contract.scenes import (
    ECHO,
    FIND_CONTEXT,
    OFFER,
    REQUEST,
    STORE,
    Scene,
    assert_serves,
    associate,
    call,
    echoed,
    every_way,
    message,
    query,
    release,
    scripted,
    wait,
    write,
)

pytestmark = pytest.mark.usefixtures("adapter")
ANSWER = encode_pdu(answer(OFFER))
MATCH = message(
    CFindRSP(message_id_being_responded_to=1, status=0xFF00, affected_sop_class_uid=FIND), bytes(8), FIND_CONTEXT
)


def assert_lost(association: Any) -> None:
    assert association.is_aborted
    assert isinstance(association.failure, AssociationAborted)
    assert association.failure.origin is AbortOrigin.TRANSPORT


@every_way
@pytest.mark.parametrize("answered", [0, 5, 6, 90])
def test_acceptor_vanishes_before_it_has_answered(answered: int, *, reset: bool) -> None:
    with Listener() as listener:
        associating = Running(entity("SCU").associate, *listener.address)
        with listener.accept() as peer:
            peer.get()
            peer.send(ANSWER[:answered])
            peer.vanish(reset=reset)
        assert_lost(associating.result())


@every_way
@pytest.mark.parametrize(
    ("state", "scene", "first", "expects", "then"),
    [
        (State.Sta6, wait, b"", [], b""),
        (State.Sta6, wait, b"", [], b"\4\0\0"),
        (State.Sta6, call, b"", [PDataTF], b""),
        (State.Sta6, call, b"", [PDataTF], message(echoed())[:40]),
        (State.Sta6, write, b"", [PDataTF], b""),
        (State.Sta6, query, b"", [PDataTF, PDataTF], MATCH),
        (State.Sta6, query, b"", [PDataTF, PDataTF], MATCH[:-4]),
        (State.Sta7, release, b"", [AReleaseRQ], b""),
        (State.Sta7, release, b"", [AReleaseRQ], encode_pdu(AReleaseRP())[:9]),
        (State.Sta11, release, encode_pdu(AReleaseRQ()), [AReleaseRQ, AReleaseRP], b""),
    ],
)
def test_peer_of_a_requestor_vanishes(
    state: State, scene: Scene, first: bytes, expects: list[type], then: bytes, *, reset: bool
) -> None:
    happened = Happened()
    with scripted((evt.EVT_ABORTED, happened)) as (association, peer):
        running = Running(scene, association)
        for number, expected in enumerate(expects):
            assert isinstance(peer.get(), expected)
            if not number:
                peer.send(first)
        assert association.peer.connection.state is state
        peer.send(then)
        peer.vanish(reset=reset)
        running.result()
        happened.wait("ABORTED")
        assert_lost(association)


@every_way
@pytest.mark.parametrize("said", [0, 3, 6, 100])
def test_peer_vanishes_before_its_request(said: int, *, reset: bool) -> None:
    happened = Happened()
    with serving((evt.EVT_CONN_CLOSE, happened), maximum_associations=1) as server:
        with Peer.dial(server.address) as peer:
            peer.send(REQUEST[:said])
            peer.vanish(reset=reset)
        happened.wait("CONN_CLOSE")  # or it would be the shutdown that ends it
        assert_serves(server)
    assert not any(event.assoc.is_aborted for event in happened.events)


@every_way
@pytest.mark.parametrize(
    ("says", "requests"),
    [(b"", 0), (b"\4\0\0", 0), (STORE[:30], 0), (STORE[:300], 0), (STORE, 1), (STORE + message(ECHO) * 2, 1)],
    ids=["idle", "header", "command", "data", "unanswered", "beyond-the-window"],
)
def test_peer_of_an_acceptor_vanishes(says: bytes, requests: int, *, reset: bool) -> None:
    happened, gone = Happened(), threading.Event()
    begun = threading.Semaphore(0)

    def store(_event: Any) -> int:
        begun.release()
        assert gone.wait(WAIT)
        return 0x0000

    handlers = (evt.EVT_C_STORE, store), (evt.EVT_ABORTED, happened)
    with serving(*handlers, maximum_associations=1) as server:
        with associate(server) as peer:
            peer.send(says)
            for _ in range(requests):
                assert begun.acquire(timeout=WAIT)
            peer.vanish(reset=reset)
        gone.set()
        assert_lost(happened.wait("ABORTED").assoc)
        assert_serves(server)


@every_way
@pytest.mark.parametrize("kind", [evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED], ids=str)
def test_peer_vanishes_while_the_server_decides(kind: Any, *, reset: bool) -> None:
    happened, asked, gone = Happened(), threading.Event(), threading.Event()

    def decide(_event: Any) -> None:
        asked.set()
        assert gone.wait(WAIT)

    with serving((kind, decide), (evt.EVT_ABORTED, happened)) as server:
        with Peer.dial(server.address) as peer:
            peer.send(OFFER)
            assert asked.wait(WAIT)
            peer.vanish(reset=reset)
        gone.set()
        assert_lost(happened.wait("ABORTED").assoc)


@every_way
def test_peer_vanishes_in_the_middle_of_its_matches(*, reset: bool) -> None:
    """The handler that finds them is closed."""
    is_closed = threading.Event()

    def find(_event: Any) -> Iterator[Any]:
        try:
            while True:
                yield 0xFF00, dataset(PatientName="A" * 60)
        finally:
            is_closed.set()

    with serving((evt.EVT_C_FIND, find)) as server:
        with associate(server) as peer:
            peer.send(message(CFindRQ(message_id=1, affected_sop_class_uid=FIND), bytes(8), FIND_CONTEXT))
            assert peer.get_data()
            peer.vanish(reset=reset)
        assert is_closed.wait(WAIT)
        assert_no_associations()


@every_way
def test_peer_vanishes_behind_its_release(*, reset: bool) -> None:
    happened = Happened()
    with serving((evt.EVT_CONN_CLOSE, happened)) as server:
        with associate(server) as peer:
            peer.send(AReleaseRQ())
            assert peer.get() == AReleaseRP()
            peer.vanish(reset=reset)
        association = happened.wait("CONN_CLOSE").assoc
    assert association.is_released
    assert not association.is_aborted


@every_way
def test_peer_vanishes_in_a_collision(*, reset: bool) -> None:
    happened = Happened()
    with serving((evt.EVT_ESTABLISHED, happened)) as server, associate(server) as peer:
        association = happened.wait("ESTABLISHED").assoc
        releasing = Running(association.release)
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRQ())
        peer.vanish(reset=reset)
        releasing.result()
        assert_no_associations()
        assert_lost(association)


def test_peer_vanishes_after_every_byte() -> None:
    """Whatever part of an association arrives, the server goes on, and no slot, task, thread or descriptor is lost."""
    descriptors = Path("/proc/self/fd")
    said = REQUEST + message(ECHO) + STORE + encode_pdu(AReleaseRQ())
    with serving(maximum_associations=200) as server:
        assert_serves(server)
        assert_no_associations()
        before = len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
        for count in range(0, len(said), 17):
            with Peer.dial(server.address) as peer:
                peer.send(said[:count])
        assert_no_associations()
        assert_serves(server)
        assert_no_associations()
        idle = len(WORKERS)  # threads that wait for something to do, each with a descriptor to be woken by
        assert not before or len(list(descriptors.iterdir())) <= before + idle
