"""Peers that vanish, in every state and after every byte: nothing hangs and nothing is lost but their association.

The other side is a bare socket that the test itself moves, so that nothing depends on time but the deadlines under
test. The adapter comes from a fixture.
"""

import threading
from typing import Any

import pytest

from dicom_proto.dimse.events import DataChunk, RequestReceived
from dicom_proto.upper_layer.events import AbortOrigin, ConnectionClosed, ReleaseRequested
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationFailure,
)
from dicom_proto.upper_layer.pdu import (
    AAssociateAC,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    encode_pdu,
)
from dicom_proto.upper_layer.policy import Review
from dicom_proto.upper_layer.state_table import State
from dicom_transports.blocking import Session
from tests.contract.adapters import WAIT, Adapter, Listener, Peer, Running
from tests.contract.scenes import (
    ECHO,
    LOST,
    OFFER,
    POLICY,
    REQUEST,
    STORE,
    Scene,
    Served,
    assert_no_threads,
    assert_serves,
    associate,
    call,
    echoed,
    every_way,
    message,
    release,
    store,
    wait,
)
from tests.proto.wire import answer


@every_way
@pytest.mark.parametrize("answered", [0, 5, 6, 90])
def test_acceptor_vanishes_before_it_has_answered(adapter: Adapter, answered: int, *, reset: bool) -> None:
    with Listener() as listener:
        connecting = Running(adapter.connect, listener.address, OFFER)
        with listener.accept() as peer:
            peer.get()
            peer.send(encode_pdu(answer(OFFER))[:answered])
            peer.vanish(reset=reset)
        with pytest.raises(AssociationAborted) as caught:
            connecting.result()
    assert caught.value.origin is AbortOrigin.TRANSPORT


@every_way
@pytest.mark.parametrize(
    ("state", "scene", "first", "expects", "then"),
    [
        (State.Sta6, wait, b"", [], b""),
        (State.Sta6, wait, b"", [], b"\4\0\0"),
        (State.Sta6, call, b"", [PDataTF], b""),
        (State.Sta6, call, b"", [PDataTF], message(echoed())[:40]),
        (State.Sta7, release, b"", [AReleaseRQ], b""),
        (State.Sta7, release, b"", [AReleaseRQ], encode_pdu(AReleaseRP())[:9]),
        (State.Sta11, release, encode_pdu(AReleaseRQ()), [AReleaseRQ, AReleaseRP], b""),
    ],
)
def test_peer_of_a_requestor_vanishes(
    dialled: tuple[Session, Peer],
    state: State,
    scene: Scene,
    first: bytes,
    expects: list[type],
    then: bytes,
    *,
    reset: bool,
) -> None:
    session, peer = dialled
    peer.send(first)
    running = Running(scene, session)
    for expected in expects:
        assert isinstance(peer.get(), expected)
    assert session.connection.state is state
    peer.send(then)
    peer.vanish(reset=reset)
    if scene is wait:
        running.result()
    else:
        with pytest.raises(AssociationAborted) as caught:
            running.result()
        assert caught.value.origin is AbortOrigin.TRANSPORT
    assert session.next_event() == ConnectionClosed()


@every_way
@pytest.mark.parametrize("said", [0, 3, 6, 100])
def test_peer_vanishes_before_its_request(adapter: Adapter, said: int, *, reset: bool) -> None:
    served = Served()
    with adapter.serve(POLICY, served, maximum_associations=1) as server:
        with Peer.dial(server.address) as peer:
            peer.send(REQUEST[:said])
            peer.vanish(reset=reset)
        assert_serves(server)


@every_way
@pytest.mark.parametrize(
    ("says", "kinds"),
    [
        (b"", []),
        (b"\4\0\0", []),
        (STORE[:30], []),
        (STORE[:300], [RequestReceived, DataChunk]),
        (STORE, [RequestReceived, DataChunk]),
        (
            store(1) + store(2) + store(3),
            [RequestReceived, DataChunk, RequestReceived, DataChunk, RequestReceived, DataChunk],
        ),
    ],
    ids=["idle", "header", "command", "data", "unanswered", "beyond-the-window"],
)
def test_peer_of_an_acceptor_vanishes(adapter: Adapter, says: bytes, kinds: list[type], *, reset: bool) -> None:
    served = Served()
    with adapter.serve(POLICY, served, maximum_associations=1) as server:
        with associate(server) as peer:
            peer.send(says)
            while len(served.events) < min(len(kinds), 2):  # what a reset has overtaken is lost
                assert not served.ended.is_set()
            peer.vanish(reset=reset)
        *events, last = served.finish()
        assert last == LOST
        seen = [type(event) for event in events]
        assert [kind for at, kind in enumerate(seen) if kind is not DataChunk or seen[at - 1] is not DataChunk] == kinds
        assert_serves(server)


@every_way
def test_peer_vanishes_while_the_server_decides(adapter: Adapter, *, reset: bool) -> None:
    served = Served()
    asked, gone = threading.Event(), threading.Event()

    def decide(review: Review) -> AAssociateAC | AAssociateRJ:
        asked.set()
        assert gone.wait(WAIT)
        return review.answer()

    with adapter.serve(POLICY, served, answer=decide) as server:
        with Peer.dial(server.address) as peer:
            peer.send(OFFER)
            assert asked.wait(WAIT)
            peer.vanish(reset=reset)
        gone.set()
        assert served.finish() == [LOST]


@every_way
def test_peer_vanishes_while_it_waits_for_its_release(adapter: Adapter, *, reset: bool) -> None:
    reached, gone = threading.Event(), threading.Event()
    rest: list[Any] = []

    def serve(session: Session) -> None:
        assert session.next_event() == ReleaseRequested()
        assert session.connection.state is State.Sta8
        reached.set()
        assert gone.wait(WAIT)
        session.confirm_release()
        rest.extend(session)

    with adapter.serve(POLICY, serve) as server:
        with associate(server) as peer:
            peer.send(AReleaseRQ())
            assert reached.wait(WAIT)
            peer.vanish(reset=reset)
        gone.set()
        assert_no_threads()
    assert rest == []


@every_way
def test_peer_vanishes_in_a_collision(adapter: Adapter, *, reset: bool) -> None:
    outcome: list[BaseException] = []

    def serve(session: Session) -> None:
        try:
            session.release()
        except AssociationFailure as failure:
            outcome.append(failure)

    with adapter.serve(POLICY, serve) as server, associate(server) as peer:
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRQ())
        peer.vanish(reset=reset)
        assert_no_threads()
    (failure,) = outcome
    assert isinstance(failure, AssociationAborted)
    assert failure.origin is AbortOrigin.TRANSPORT


def test_peer_vanishes_after_every_byte(adapter: Adapter) -> None:
    """Whatever part of a session arrives, the server goes on, and no slot, thread or descriptor is lost."""
    said = REQUEST + message(ECHO) + STORE + encode_pdu(AReleaseRQ())
    with adapter.serve(POLICY, Served(), maximum_associations=200) as server:
        assert_serves(server)
        for count in range(0, len(said), 17):
            with Peer.dial(server.address) as peer:
                peer.send(said[:count])
        assert_no_threads()
        assert_serves(server)
