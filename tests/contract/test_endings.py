"""How associations end: release, abort, deadlines and interruption.

The other side is a bare socket that the test itself moves, so that nothing depends on time but the deadlines under
test. The adapter comes from a fixture.
"""

import threading
from contextlib import ExitStack

import pytest

from dicom_proto.dimse.events import DataChunk, RequestReceived
from dicom_proto.dimse.messages import (
    CEchoRQ,
    CFindRQ,
    CFindRSP,
    encode_message,
)
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.events import Aborted, AbortOrigin, ConnectionClosed, ReleaseRequested, TimedOut
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationTimedOut,
)
from dicom_proto.upper_layer.pdu import (
    AAbort,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    encode_pdu,
)
from dicom_proto.upper_layer.policy import Policy
from dicom_proto.upper_layer.timers import Timeouts, Timer
from dicom_transports.blocking import Session
from tests.contract.adapters import WAIT, Adapter, Listener, Peer, Running
from tests.contract.scenes import (
    ECHO,
    LARGE,
    OFFER,
    POLICY,
    SHORT,
    Scene,
    Served,
    assert_serves,
    associate,
    call,
    drain,
    echoed,
    establish,
    message,
    release,
    wait,
    write,
)
from tests.proto.wire import STUDY_FIND

# --- the ordinary end -------------------------------------------------------------------------------------------------


def test_requestor_echoes_and_releases(dialled: tuple[Session, Peer]) -> None:
    session, peer = dialled
    calling = Running(session.call, CEchoRQ(), context=1)
    assert peer.get_data() == [(1, True, encode_message(ECHO, has_data_set=False))]
    peer.send(message(echoed()))
    response, data = calling.result()
    assert (response.status, data) == (0, None)
    releasing = Running(session.release)
    assert peer.get() == AReleaseRQ()
    peer.send(AReleaseRP())
    releasing.result()
    assert peer.is_at_end()
    assert session.next_event() == session.next_event() == ConnectionClosed()


def test_acceptor_confirms_a_release(adapter: Adapter) -> None:
    served = Served()
    with adapter.serve(POLICY, served) as server, associate(server) as peer:
        peer.send(message(ECHO), AReleaseRQ())
        peer.get_data()
        assert peer.get() == AReleaseRP()
        peer.vanish()
        events = served.finish()
    assert [type(event) for event in events] == [RequestReceived, ReleaseRequested]


def test_requestor_survives_a_release_collision(dialled: tuple[Session, Peer]) -> None:
    session, peer = dialled
    releasing = Running(session.release)
    assert peer.get() == AReleaseRQ()
    peer.send(AReleaseRQ())
    assert peer.get() == AReleaseRP()  # the requestor confirms first (PS3.8 7.2.2.7)
    peer.send(AReleaseRP())
    releasing.result()
    assert peer.is_at_end()


def test_acceptor_survives_a_release_collision(adapter: Adapter) -> None:
    def serve(session: Session) -> None:
        session.release()

    with adapter.serve(POLICY, serve) as server, associate(server) as peer:
        assert peer.get() == AReleaseRQ()
        peer.send(AReleaseRQ(), AReleaseRP())  # the acceptor confirms after it was confirmed to
        assert peer.get() == AReleaseRP()
        peer.vanish()


def test_calls_after_the_end_are_typed_failures(dialled: tuple[Session, Peer]) -> None:
    session, peer = dialled
    session.abort()
    assert peer.get() == AAbort(0)
    assert peer.is_at_end()
    assert list(session) == []
    with pytest.raises(LocalProtocolError):
        session.call(CEchoRQ(), context=1)
    with pytest.raises(LocalProtocolError):
        session.release()
    session.abort()
    session.interrupt()
    session.close()
    assert session.next_event() == ConnectionClosed()


# --- aborts -----------------------------------------------------------------------------------------------------------


def test_leaving_the_block_aborts(adapter: Adapter) -> None:
    session, peer = establish(adapter)
    with peer:
        with session:
            pass
        assert peer.read(10) == bytes.fromhex("07 00 00000004 0000 00 00")
        assert peer.is_at_end()


@pytest.mark.parametrize(
    ("abort", "origin"), [(AAbort(0), AbortOrigin.PEER_USER), (AAbort(2, 1), AbortOrigin.PEER_PROVIDER)]
)
def test_abort_of_the_peer_ends_a_call(dialled: tuple[Session, Peer], abort: AAbort, origin: AbortOrigin) -> None:
    session, peer = dialled
    calling = Running(session.call, CEchoRQ(), context=1)
    peer.get_data()
    peer.send(abort)
    with pytest.raises(AssociationAborted) as caught:
        calling.result()
    assert (caught.value.origin, caught.value.reason) == (origin, abort.reason)
    assert session.next_event() == ConnectionClosed()
    assert peer.is_at_end()


def test_nonsense_is_answered_with_an_abort(dialled: tuple[Session, Peer]) -> None:
    session, peer = dialled
    peer.send(bytes.fromhex("09 00 00000004 00000000"))
    event = session.next_event()
    assert isinstance(event, Aborted)
    assert event.origin is AbortOrigin.LOCAL_PROVIDER
    session.close()
    assert peer.get() == AAbort(2, 1)
    assert peer.is_at_end()


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timer", "scene", "said"),
    [
        (Timer.RESPONSE, call, b""),
        (Timer.RELEASE, release, b""),
        (Timer.RELEASE, release, encode_pdu(AReleaseRQ())),
        (Timer.IDLE, wait, b""),
        (Timer.IDLE, write, b""),
    ],
)
def test_requestor_does_not_wait_for_ever(adapter: Adapter, timer: Timer, scene: Scene, said: bytes) -> None:
    session, peer = establish(adapter, timeouts=Timeouts(**{timer.value: SHORT}))
    with session, peer:
        peer.send(said)
        with pytest.raises(AssociationTimedOut) as caught:
            Running(scene, session).result()
        assert caught.value.timer is timer
        session.close()
        assert encode_pdu(AAbort(0)) in drain(peer) or scene is write
        assert session.next_event() == ConnectionClosed()


def test_request_that_nobody_answers(adapter: Adapter) -> None:
    with Listener() as listener:
        connecting = Running(adapter.connect, listener.address, OFFER, timeouts=Timeouts(request=SHORT))
        with listener.accept() as peer:
            with pytest.raises(AssociationTimedOut, match="request timer"):
                connecting.result()
            assert drain(peer) == encode_pdu(OFFER) + encode_pdu(AAbort(0))


@pytest.mark.parametrize("begun", [0, 3, 6, 100])
def test_server_does_not_wait_for_ever_for_a_request(adapter: Adapter, begun: int) -> None:
    served = Served()
    with adapter.serve(POLICY, served, timeouts=Timeouts(artim=SHORT)) as server, Peer.dial(server.address) as peer:
        peer.send(encode_pdu(OFFER)[:begun])
        assert peer.is_at_end()
        assert not served.begun.is_set()
        assert_serves(server)


def test_server_does_not_wait_for_ever_for_a_close(adapter: Adapter) -> None:
    policy = Policy(supported={}, called_ae_titles="OTHER")
    with (
        adapter.serve(policy, Served(), timeouts=Timeouts(artim=SHORT)) as server,
        Peer.dial(server.address) as peer,
    ):
        peer.send(OFFER)
        assert peer.get() == AAssociateRJ(1, 1, 7)
        assert peer.is_at_end()


def test_server_aborts_an_idle_association(adapter: Adapter) -> None:
    served = Served()
    with adapter.serve(POLICY, served, timeouts=Timeouts(idle=SHORT)) as server, associate(server) as peer:
        assert peer.get() == AAbort(0)
        peer.vanish()
        assert served.finish() == [TimedOut(timer=Timer.IDLE)]


# --- interruption -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", [call, release, write])
def test_interrupt_ends_a_call_at_once(dialled: tuple[Session, Peer], scene: Scene) -> None:
    session, peer = dialled
    running = Running(scene, session)
    peer.read(6)  # the call has begun
    session.interrupt()
    if scene is release:
        running.result()
    else:
        with pytest.raises(AssociationClosed):
            running.result()
    assert session.next_event() == ConnectionClosed()


def test_interrupt_ends_the_wait_for_events(dialled: tuple[Session, Peer]) -> None:
    session, peer = dialled
    running = Running(session.next_event)
    session.interrupt()
    assert running.result() == ConnectionClosed()
    assert peer.get() == AAbort(0)
    assert peer.is_at_end()


def test_shutdown_wakes_every_thread(adapter: Adapter) -> None:
    """One silent connection, one idle association, one whose peer reads nothing, one rejected that stays."""
    writing = threading.Event()

    def serve(session: Session) -> None:
        for event in session:
            if isinstance(event, DataChunk):
                pending = CFindRSP(message_id_being_responded_to=event.message_id, status=0xFF00)
                session.send_response(pending, data=bytes(LARGE))
                writing.set()

    # Whoever has not been answered is not counted as done: two slots for three, and the last is rejected.
    with ExitStack() as stack:
        server = stack.enter_context(adapter.serve(POLICY, serve, maximum_associations=3))
        peers = [stack.enter_context(associate(server)) for _ in range(2)]
        peers += [stack.enter_context(Peer.dial(server.address)) for _ in range(2)]
        find = CFindRQ(message_id=1, affected_sop_class_uid=STUDY_FIND)
        peers[1].send(message(find, b"key!", context=5))
        assert writing.wait(WAIT)
        peers[3].send(OFFER)
        assert peers[3].get() == AAssociateRJ(2, 3, 2)
        Running(server.shutdown).result()
        assert drain(peers[0]) == encode_pdu(AAbort(0))
        for peer in peers[1:]:
            drain(peer)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dicom")]


def test_shutdown_twice_before_the_start_and_from_inside(adapter: Adapter) -> None:
    server = adapter.serve(POLICY, Served())
    assert hasattr(server, "shutdown")
    server.shutdown()
    server.shutdown()
    done = threading.Event()

    def serve(session: Session) -> None:
        inside.shutdown()
        assert session.next_event() == ConnectionClosed()
        done.set()

    with adapter.serve(POLICY, serve) as inside, associate(inside) as peer:
        assert peer.get() == AAbort(0)
        assert done.wait(WAIT)
