"""The life of an association of an application entity: asked for, refused, idle, released, aborted, lost."""

import errno
from contextlib import suppress
from typing import Any

import pytest

from dicom_proto.errors import InvalidSettingError, LocalProtocolError, NoContextError, NotEstablishedError
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.sop_class import CTImageStorage, MRImageStorage, Verification
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationRejected, AssociationTimedOut
from dicom_proto.upper_layer.pdu import AAbort
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.blocking import build_context, build_role, evt
from tests.contract.adapters import Adapter, Blocking, Listener, Peer, Running, assert_no_associations, make_ae
from tests.contract.entities import (
    ABORTED,
    CT_ROLES,
    ESTABLISHED,
    GET,
    LIFE,
    REJECTED,
    RELEASED,
    Happened,
    ct,
    dataset,
    dial,
    entity,
    flags,
    life,
    serving,
)
from tests.contract.scenes import SHORT

pytestmark = pytest.mark.usefixtures("adapter")

# --- established and released -----------------------------------------------------------------------------------------


def test_association_is_established_and_released() -> None:
    ours, theirs = Happened(), Happened()
    ae = entity("SCP")
    with serving(*life(theirs), ae=ae) as server:
        association = dial(server, *life(ours))
        assert flags(association) == ESTABLISHED
        assert association.is_requestor
        assert not association.is_acceptor
        assert association.failure is None
        accepted = theirs.wait("ESTABLISHED").assoc
        assert flags(accepted) == ESTABLISHED
        assert accepted.is_acceptor
        assert server.active_associations == [accepted]
        assert ae.active_associations == [accepted]
        association.release()
        assert flags(association) == RELEASED
        theirs.wait("CONN_CLOSE")
        ours.wait("CONN_CLOSE")
        assert flags(accepted) == RELEASED
    assert server.active_associations == []
    assert ours.names == ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED", "RELEASED", "CONN_CLOSE"]
    assert [name for name in theirs.names if name != "CONN_OPEN"] == [
        "REQUESTED",
        "ACCEPTED",
        "ESTABLISHED",
        "RELEASED",
        "CONN_CLOSE",
    ]
    assert all(event.timestamp is not None and event.description for event in ours.events + theirs.events)
    assert {event.assoc for event in ours.events} == {association}


def test_ending_twice_does_nothing() -> None:
    happened = Happened()
    with serving() as server:
        association = dial(server, *life(happened))
        association.release()
        association.release()
        association.abort()
        assert flags(association) == RELEASED
        assert "ABORTED" not in happened.names


def test_what_was_negotiated() -> None:
    ae = entity("SCU", Verification)
    contexts = [build_context(Verification), build_context(CTImageStorage), build_context(MRImageStorage)]
    with serving() as server:
        association = dial(server, ae=ae, contexts=contexts, ext_neg=[CT_ROLES])
        (accepted,) = server.active_associations
        assert [context.abstract_syntax for context in association.accepted_contexts] == [Verification, CTImageStorage]
        verification, image = association.accepted_contexts
        assert (verification.as_scu, verification.as_scp) == (True, False)
        assert (image.as_scu, image.as_scp) == (True, True)
        assert [context.context_id for context in accepted.accepted_contexts] == [1, 3]
        assert (accepted.accepted_contexts[0].as_scu, accepted.accepted_contexts[0].as_scp) == (False, True)
        for side in association, accepted:
            (rejected,) = side.rejected_contexts
            assert (rejected.abstract_syntax, rejected.context_id, rejected.result) == (MRImageStorage, 5, 3)
        association.release()


def test_ipv6_and_a_port_of_ones_own() -> None:
    ae = entity("SCP")
    server = ae.start_server(("::1", 0), block=False)
    try:
        host, port, *_ = server.address
        association = entity("SCU").associate(host, port, bind_address=("::1", 0))
        assert association.is_established
        association.release()
    finally:
        ae.shutdown()


# --- no association ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"require_called_aet": True}, (1, 1, 7)), ({"require_calling_aet": ["FRIEND"]}, (1, 1, 3))],
)
def test_titles_that_are_not_recognised(settings: dict[str, Any], reason: tuple[int, int, int]) -> None:
    ours, theirs = Happened(), Happened()
    with serving(*life(theirs), **settings) as server:
        association = entity("SCU").associate(*server.address, ae_title="OTHER", evt_handlers=life(ours))
        assert flags(association) == REJECTED
        failure = association.failure
        assert isinstance(failure, AssociationRejected)
        assert (failure.result, failure.source, failure.reason) == reason
        ours.wait("CONN_CLOSE")
        accepted = theirs.wait("CONN_CLOSE").assoc
        assert flags(accepted) == REJECTED
        with pytest.raises(AssociationRejected), association:
            raise NotImplementedError("the block is not entered")
        with pytest.raises(NotEstablishedError):
            association.send_c_echo()
        entity("FRIEND").associate(*server.address, ae_title="SCP").release()
    assert ours.names == ["CONN_OPEN", "REQUESTED", "REJECTED", "CONN_CLOSE"]
    assert "REJECTED" in theirs.names
    assert "ABORTED" not in theirs.names


def test_titles_that_are_recognised() -> None:
    with serving(require_called_aet=True, require_calling_aet=["SCU"]) as server:
        dial(server, ae_title="SCP").release()


def test_too_many_associations() -> None:
    with serving(maximum_associations=1) as server:
        first = dial(server)
        second = entity("SCU").associate(*server.address)
        assert flags(second) == REJECTED
        assert isinstance(second.failure, AssociationRejected)
        assert (second.failure.result, second.failure.source, second.failure.reason) == (2, 3, 2)
        assert first.send_c_echo().Status == 0x0000
        first.release()


def test_no_context_is_accepted() -> None:
    happened = Happened()
    with serving() as server:
        association = entity("SCU", MRImageStorage).associate(*server.address, evt_handlers=life(happened))
        assert flags(association) == ABORTED
        assert isinstance(association.failure, NoContextError)
        assert str(MRImageStorage) in str(association.failure) or "MR Image" in str(association.failure)
        assert [context.result for context in association.rejected_contexts] == [3]
        with pytest.raises(NoContextError), association:
            raise NotImplementedError("the block is not entered")
        happened.wait("CONN_CLOSE")
    assert "ABORTED" in happened.names


def test_nobody_listens() -> None:
    with Listener() as listener:
        address = listener.address
    association = entity("SCU").associate(*address)
    assert flags(association) == ABORTED
    assert isinstance(association.failure, OSError)
    assert association.failure.errno == errno.ECONNREFUSED
    assert f"{address[0]} port {address[1]}" in str(association.failure)
    assert association.accepted_contexts == association.rejected_contexts == []
    with pytest.raises(ConnectionRefusedError), association:
        raise NotImplementedError("the block is not entered")
    for ended in association.release, association.abort:
        ended()
    with pytest.raises(RuntimeError):
        association.send_c_echo()


def test_nobody_answers() -> None:
    happened = Happened()
    with Listener() as listener:
        association = entity("SCU", acse_timeout=SHORT).associate(*listener.address, evt_handlers=life(happened))
        assert flags(association) == ABORTED
        assert isinstance(association.failure, AssociationTimedOut)
        assert association.failure.timer is Timer.REQUEST
        happened.wait("CONN_CLOSE")
    assert happened.names == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]


def test_half_an_answer() -> None:
    with Listener() as listener:
        associating = Running(entity("SCU", acse_timeout=SHORT).associate, *listener.address)
        with listener.accept() as peer:
            peer.get()
            peer.send(b"\x02\0\0")
            assert isinstance(associating.result().failure, AssociationTimedOut)


@pytest.mark.parametrize("rubbish", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(50), b"\x02\0\0\0\0\x04abcd"])
def test_rubbish_instead_of_an_answer(rubbish: bytes) -> None:
    with Listener() as listener:
        associating = Running(entity("SCU").associate, *listener.address)
        with listener.accept() as peer:
            peer.get()
            peer.send(rubbish)
            association = associating.result()
            assert isinstance(peer.get(), AAbort)
        assert flags(association) == ABORTED
        assert isinstance(association.failure, AssociationAborted)
        assert association.failure.origin is AbortOrigin.LOCAL_PROVIDER


def test_what_cannot_be_asked_for() -> None:
    ae = make_ae("SCU")
    with pytest.raises(RuntimeError):
        ae.associate("127.0.0.1", 104)
    with pytest.raises(ValueError, match="128"):
        ae.requested_contexts = [build_context(Verification)] * 129
    with pytest.raises(LocalProtocolError):
        entity("SCU").associate("127.0.0.1", 104, ae_title="longer than sixteen")
    with pytest.raises(InvalidSettingError):
        entity("SCU").associate("127.0.0.1", 104, ext_neg=[build_role(CTImageStorage)])
    with pytest.raises(LocalProtocolError):
        make_ae("SCP").start_server(("127.0.0.1", 0), block=False)


def test_async_handlers_need_a_loop(adapter: Adapter) -> None:
    async def handler(event: Any) -> int:
        return event.message_id and 0

    bound = [(evt.EVT_C_ECHO, handler)]
    if isinstance(adapter, Blocking):
        with pytest.raises(LocalProtocolError, match="async"):
            entity("SCP").start_server(("127.0.0.1", 0), evt_handlers=bound)
    else:
        with serving(*bound) as server, dial(server) as association:
            assert association.send_c_echo().Status == 0x0000


def test_connection_without_a_request() -> None:
    """A port that is only tried out, as load balancers do, is no association that was aborted."""
    happened = Happened()
    with serving(*life(happened)) as server:
        Peer.dial(server.address).vanish()
        happened.wait("CONN_CLOSE")
        assert set(happened.names) <= {"CONN_OPEN", "CONN_CLOSE"}


# --- user identity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "is_accepted"),
    [((True, b"ticket"), True), ((True, None), True), ((False, None), False), ("nonsense", False), (None, False)],
)
def test_user_identity(result: Any, is_accepted: bool) -> None:
    seen: list[Any] = []

    def identify(event: Any) -> Any:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field))
        return result

    identity = UserIdentityNegotiation(
        user_identity_type=2, primary_field=b"me", secondary_field=b"secret", positive_response_requested=True
    )
    with serving((evt.EVT_USER_ID, identify)) as server:
        association = entity("SCU").associate(*server.address, ext_neg=[identity])
        assert seen == [(2, b"me", b"secret")]
        assert association.is_established is is_accepted
        assert association.is_rejected is not is_accepted
        association.release()


def test_user_identity_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    def identify(event: Any) -> Any:
        raise ZeroDivisionError(event.name)

    identity = UserIdentityNegotiation(user_identity_type=1, primary_field=b"me")
    with serving((evt.EVT_USER_ID, identify)) as server:
        assert entity("SCU").associate(*server.address, ext_neg=[identity]).is_rejected
    assert "ZeroDivisionError" in caplog.text


# --- aborted ----------------------------------------------------------------------------------------------------------


def test_abort() -> None:
    ours, theirs = Happened(), Happened()
    with serving(*life(theirs)) as server:
        association = dial(server, *life(ours))
        association.abort()
        assert flags(association) == ABORTED
        assert association.failure is not None
        accepted = theirs.wait("ABORTED").assoc
        assert flags(accepted) == ABORTED
        assert isinstance(accepted.failure, AssociationAborted)
        assert accepted.failure.origin is AbortOrigin.PEER_USER
        ours.wait("CONN_CLOSE")
    assert ours.names == ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED", "ABORTED", "CONN_CLOSE"]


@pytest.mark.parametrize("kind", [evt.EVT_C_ECHO, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED])
def test_acceptor_aborts_in_a_handler(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    happened = Happened()

    def handler(event: Any) -> int:
        event.assoc.abort()
        return 0x0000

    with serving((kind, handler), *life(happened)) as server:
        association = entity("SCU").associate(*server.address)
        if association.is_established:
            with suppress(NotEstablishedError):  # it may have heard of it by now
                assert "Status" not in association.send_c_echo()
        assert flags(association) == ABORTED
        assert flags(happened.wait("CONN_CLOSE").assoc) == ABORTED
    assert "Traceback" not in caplog.text


def test_requestor_aborts_in_a_handler() -> None:
    def handler(event: Any) -> int:
        event.assoc.abort()
        return 0x0000

    def get(_event: Any) -> Any:
        yield 1
        yield 0xFF00, ct()

    with serving((evt.EVT_C_GET, get)) as server:
        association = dial(server, (evt.EVT_C_STORE, handler), ext_neg=[CT_ROLES])
        assert [status.get("Status") for status, _ in association.send_c_get(dataset(PatientName="*"), GET)] == [None]
        assert flags(association) == ABORTED


@pytest.mark.parametrize("ending", ["abort", "release"])
@pytest.mark.parametrize("kind", [evt.EVT_ABORTED, evt.EVT_RELEASED, evt.EVT_CONN_CLOSE])
def test_handler_of_the_end_that_ends_it_again(kind: Any, ending: str) -> None:
    calls = []

    def handler(event: Any) -> None:
        calls.append(event.name)
        getattr(event.assoc, ending)()

    with serving() as server:
        association = dial(server, (kind, handler))
        association.abort() if kind is evt.EVT_ABORTED else association.release()
        assert_no_associations()
    assert calls == [kind.name]


def test_notification_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    def handler(_event: Any) -> None:
        raise ZeroDivisionError

    with serving() as server:
        association = dial(server, *((kind, handler) for kind in LIFE))
        assert association.send_c_echo().Status == 0x0000
        association.release()
    assert caplog.text.count("ZeroDivisionError") >= 4


def test_bind_and_unbind() -> None:
    first, second = Happened(), Happened()
    with serving((evt.EVT_ESTABLISHED, first)) as server:
        association = dial(server)
        association.bind(evt.EVT_RELEASED, second)
        association.bind(evt.EVT_RELEASED, first)
        association.unbind(evt.EVT_RELEASED, first)
        association.release()
        second.wait("RELEASED")
        server.unbind(evt.EVT_ESTABLISHED, first)
        server.bind(evt.EVT_ESTABLISHED, second)
        dial(server).release()
        second.wait("ESTABLISHED")
    assert first.names == ["ESTABLISHED"]
    assert second.names == ["RELEASED", "ESTABLISHED"]


# --- as a context manager ---------------------------------------------------------------------------------------------


def test_with_releases() -> None:
    with serving() as server:
        with dial(server) as association:
            assert association.send_c_echo().Status == 0x0000
        assert flags(association) == RELEASED
        with dial(server) as association:
            association.abort()
        assert flags(association) == ABORTED


def test_with_aborts_on_an_exception() -> None:
    theirs = Happened()
    with serving(*life(theirs)) as server:
        with pytest.raises(ZeroDivisionError), dial(server) as association:
            raise ZeroDivisionError
        assert flags(association) == ABORTED
        theirs.wait("ABORTED")


def test_with_raises_what_ends_a_call() -> None:
    def handler(event: Any) -> int:
        event.assoc.abort()
        return 0

    with serving((evt.EVT_C_ECHO, handler)) as server:
        with pytest.raises(AssociationAborted) as raised, dial(server) as association:
            association.send_c_echo()
        assert raised.value.origin is AbortOrigin.PEER_USER
        assert association.failure is not None
