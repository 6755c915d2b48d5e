"""The face of the upper layer: what verbs refuse, what leaves when, and how it ends; timers are tested next door."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import CT, VERIFICATION, answer, drain, offer, sent
from dicom_proto.upper_layer.association import SHARE, Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    ReleaseRequested,
)
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, AReleaseRP, AReleaseRQ, PDataTF, encode_pdu
from dicom_proto.upper_layer.state_table import State
from tests.proto.rows import for_each
from tests.proto.upper_layer.machines import (
    OFFER,
    TIMEOUTS,
    acceptor,
    asked,
    asking,
    fed,
    listening,
    p_data,
    pdus,
    pdv,
    pieces,
    requestor,
    send,
    state_of,
)
from tests.proto.upper_layer.test_table_walk import in_state

RQ, RP = encode_pdu(AReleaseRQ()), encode_pdu(AReleaseRP())
USER_ABORT = AAbort(0)
REJECTION = AAssociateRJ(1, 1, 1)


def names(machine: Association, **how: Any) -> list[str]:
    """The PDUs that leave, by name."""
    return [type(pdu).__name__ for pdu in pdus(machine, **how)]


# --- one connection, from its beginning to its end ---


def test_before_anything_happens_there_is_nothing_to_do() -> None:
    machine = Association()
    assert machine.next_event() is None
    assert sent(machine) == b""
    assert machine.next_deadline() is None
    assert (machine.wants_close, machine.wants_read, machine.write_room) == (False, False, 0)
    assert (machine.offer, machine.agreement, dict(machine.contexts)) == (None, None, {})
    machine.handle_timeout(1e9)
    machine.abort()
    assert state_of(machine) is State.Sta1
    machine.request(OFFER)
    assert state_of(machine) is State.Sta4


def test_a_requestor_step_by_step() -> None:
    machine = Association()
    machine.request(OFFER)
    assert (machine.is_requestor, machine.offer, machine.wants_read) == (True, OFFER, False)
    machine.connection_made(now=0)
    assert pdus(machine) == [OFFER]
    assert machine.wants_read
    [event] = fed(machine, answer(OFFER))
    assert isinstance(event, AssociateAccepted)
    assert event.agreement is machine.agreement
    assert list(machine.contexts) == [1]


def test_an_acceptor_step_by_step() -> None:
    machine = listening()
    assert not machine.is_requestor
    [event] = fed(machine, OFFER)
    assert isinstance(event, AssociateRequested)
    assert event.offer is machine.offer
    assert machine.next_event() is None
    machine.accept(answer(OFFER))
    assert state_of(machine) is State.Sta6
    assert pdus(machine) == [answer(OFFER)]
    assert machine.agreement is not None


def test_what_an_answer_tolerates_is_counted() -> None:
    machine = listening()
    fed(machine, OFFER)
    machine.accept(evolve(answer(OFFER), tolerated=(("missing_roles", "no roles"),)))
    assert machine.tolerated == {"missing_roles": 1}


def test_after_the_end_connection_closed_is_returned_for_ever_and_nothing_does_anything() -> None:
    machine = acceptor()
    assert fed(machine, AAbort(0), p_data(pdv())) == [Aborted(origin=AbortOrigin.PEER_USER), ConnectionClosed()]
    machine.receive_data(p_data(pdv()), now=0)
    machine.receive_eof(now=0)
    machine.handle_timeout(1e9)
    machine.abort()
    assert [machine.next_event() for _ in range(3)] == [ConnectionClosed()] * 3
    assert sent(machine) == b""
    assert machine.next_deadline() is None
    assert (machine.wants_close, machine.wants_read, machine.write_room) == (True, False, 0)


@pytest.mark.parametrize("make", [requestor, acceptor, asked, asking, listening])
def test_a_machine_serves_one_connection(make: Callable[[], Association]) -> None:
    machine = make()
    before = machine.state
    calls: list[Callable[[], None]] = [lambda: machine.connection_made(now=0), lambda: machine.request(OFFER)]
    for again in calls:
        with pytest.raises(LocalProtocolError, match="one connection"):
            again()
    assert state_of(machine) is before
    machine.abort()
    machine.handle_timeout(1e9)
    machine.receive_eof(now=0)
    assert drain(machine)[-1] == ConnectionClosed()
    with pytest.raises(LocalProtocolError, match="one connection"):
        machine.connection_made(now=0)


def test_a_connection_that_cannot_be_opened() -> None:
    machine = Association()
    machine.request(OFFER)
    machine.receive_eof(now=0)
    assert drain(machine) == [Aborted(origin=AbortOrigin.TRANSPORT), ConnectionClosed()]


def test_bytes_come_only_while_there_is_a_connection() -> None:
    machine = Association()
    calls: list[Callable[[], None]] = [lambda: machine.receive_data(b"\7", now=0), lambda: machine.receive_eof(now=0)]
    for call in calls:
        with pytest.raises(LocalProtocolError):
            call()
    machine.request(OFFER)
    with pytest.raises(LocalProtocolError, match="between"):
        calls[0]()
    machine.connection_made(now=0)
    calls[0]()
    calls[1]()
    with pytest.raises(LocalProtocolError, match="between"):
        calls[0]()


def test_the_end_of_the_connection_comes_behind_what_was_received_before_it() -> None:
    machine = acceptor()
    machine.receive_data(p_data(pdv(b"ab")) + p_data(pdv(b"cd"))[:13], now=0)
    machine.receive_eof(now=0)
    assert not machine.wants_read
    *data, lost, closed = drain(machine)
    assert pieces(data) == [(1, False, False, b"ab"), (1, False, False, b"c")]
    assert (lost, closed) == (Aborted(origin=AbortOrigin.TRANSPORT), ConnectionClosed())


def test_the_end_of_the_connection_ends_the_wait_for_it() -> None:
    machine = acceptor()
    machine.abort()
    sent(machine)
    machine.receive_eof(now=0)
    assert drain(machine) == [ConnectionClosed()]


# --- local mistakes change nothing ---


def test_an_offer_that_may_not_be_sent() -> None:
    machine = Association()
    with pytest.raises(LocalProtocolError, match="at least one presentation context"):
        machine.request(evolve(OFFER, presentation_contexts=()))
    assert (machine.state, machine.offer, machine.is_requestor) == (State.Sta1, None, False)
    machine.request(OFFER)
    assert state_of(machine) is State.Sta4


def test_an_answer_or_a_rejection_that_may_not_be_sent() -> None:
    machine = asked()
    with pytest.raises(LocalProtocolError, match="maximum length 7"):
        machine.accept(answer(OFFER, maximum_length=7))
    with pytest.raises(LocalProtocolError, match="context 3 is answered, which was not proposed"):
        machine.accept(answer(offer(VERIFICATION, CT)))
    with pytest.raises(LocalProtocolError, match="A-ASSOCIATE-RJ"):
        machine.reject(AAssociateRJ(0, 0, 0))
    assert state_of(machine) is State.Sta3
    assert machine.agreement is None
    assert sent(machine) == b""
    machine.accept(answer(OFFER))
    assert state_of(machine) is State.Sta6


def test_an_abort_with_a_reason_that_does_not_exist() -> None:
    machine = acceptor()
    send(machine)
    with pytest.raises(LocalProtocolError, match="A-ABORT"):
        machine.abort(3)  # type: ignore[arg-type]
    assert state_of(machine) is State.Sta6
    assert names(machine) == ["PDataTF"]


@pytest.mark.parametrize(
    ("context_id", "data", "command", "last", "words"),
    [
        (3, b"ab", False, False, "context 3 was not accepted"),
        (1, b"ab", True, False, "never mixed"),
        (1, b"a", False, True, "3 bytes cannot be sent"),
    ],
)
def test_data_that_may_not_be_sent(context_id: int, data: bytes, command: bool, last: bool, words: str) -> None:
    machine = acceptor()
    send(machine, b"ab", command=False, last=False)
    with pytest.raises(LocalProtocolError, match=words):
        machine.send_fragment(context_id, data, command=command, last=last)
    assert (machine.state, machine.bytes_queued) == (State.Sta6, 2)
    send(machine, b"cd", command=False)
    [pdu] = pdus(machine)
    assert isinstance(pdu, PDataTF)
    assert [item.data for item in pdu.pdvs] == [b"abcd"]


@pytest.mark.parametrize("state", [State.Sta1, State.Sta3, State.Sta5, State.Sta7, State.Sta9, State.Sta13])
def test_data_is_sent_only_where_it_can_be(state: State) -> None:
    machine = in_state(state)
    assert machine.write_room == 0
    with pytest.raises(LocalProtocolError, match=f"not possible in {state.name}"):
        machine.check_sendable(1)
    with pytest.raises(LocalProtocolError, match=f"not possible in {state.name}"):
        send(machine)


def test_no_release_in_the_middle_of_a_message() -> None:
    machine = acceptor()
    send(machine, last=False)
    with pytest.raises(LocalProtocolError, match="has not ended"):
        machine.release()
    assert state_of(machine) is State.Sta6
    fed(machine, RQ)
    with pytest.raises(LocalProtocolError, match="has not ended"):
        machine.confirm_release()
    assert state_of(machine) is State.Sta8
    send(machine, b"")
    machine.confirm_release()
    assert names(machine) == ["PDataTF", "AReleaseRP"]


# --- sending ---


@pytest.mark.parametrize(
    ("peers", "own", "longest"), [(0, 100, 100), (200, 100, 100), (100, 200, 100), (99, 200, 98), (8, 200, 8)]
)
@pytest.mark.parametrize("side", ["requestor", "acceptor"])
def test_the_maximum_length_of_the_peer_and_the_own_bound_are_kept_to_the_byte(
    peers: int, own: int, longest: int, side: str
) -> None:
    """0 is no maximum; what this side has stated for itself does not matter."""
    if side == "requestor":
        machine = requestor(offer(maximum_length=9), answer(OFFER, maximum_length=peers), limits=limits(own))
    else:
        machine = acceptor(offer(maximum_length=peers), answer(OFFER, maximum_length=9), limits=limits(own))
    send(machine, bytes(1000))
    lengths = [sum(6 + len(item.data) for item in pdu.pdvs) for pdu in pdus(machine) if isinstance(pdu, PDataTF)]
    assert set(lengths[:-1]) == {longest}
    assert lengths[-1] <= longest


def limits(send_pdu_length: int, send_queue: int = 1 << 20) -> Limits:
    return Limits(send_pdu_length=send_pdu_length, send_queue=send_queue)


def test_what_is_handed_out_shares_memory_with_the_users_data() -> None:
    machine = acceptor()
    data = bytearray(50_000)
    send(machine, data)
    buffers = machine.data_to_send(now=0)
    views = [buffer for buffer in buffers if isinstance(buffer, memoryview)]
    assert sum(map(len, views)) == len(data)
    assert all(view.obj is data for view in views)


def test_write_room_counts_down_and_comes_back_as_data_leaves() -> None:
    machine = acceptor(OFFER, limits=limits(16, 50))
    assert machine.write_room == 50
    send(machine, bytes(30), last=False)
    assert (machine.write_room, machine.bytes_queued, machine.bytes_waiting) == (20, 30, 30)
    machine.data_to_send(1, now=0)
    assert (machine.write_room, machine.bytes_handed_out, machine.bytes_waiting) == (30, 10, 20)
    assert machine.bytes_queued == 30


def test_what_goes_on_is_refused_without_room_and_taken_again_with_it() -> None:
    machine = acceptor(OFFER, limits=limits(16, 20))
    send(machine, bytes(1000), last=False)
    assert machine.write_room == 0
    with pytest.raises(LocalProtocolError, match="write_room is 0"):
        send(machine, last=False)
    assert machine.bytes_waiting == 1000
    machine.data_to_send(now=0)
    assert machine.write_room == 10
    send(machine, last=False)


def test_what_ends_without_more_data_needs_no_room() -> None:
    machine = acceptor(OFFER, limits=limits(16, 20))
    send(machine, bytes(20), last=False)
    send(machine, b"")
    assert len(pdus(machine)) == 2


def test_a_new_message_may_be_begun_without_room() -> None:
    """A response, say: what is refused is only to go on without end."""
    machine = acceptor(OFFER, limits=limits(16, 20))
    send(machine, bytes(20))
    assert machine.write_room == 0
    send(machine)


def test_a_queue_shorter_than_a_pdu_does_not_lock_up() -> None:
    machine = acceptor(OFFER, limits=limits(100, 1))
    for _ in range(500):
        assert machine.write_room > 0
        send(machine, b"ab", last=False)
        machine.data_to_send(now=0)
    send(machine, b"")
    assert machine.bytes_handed_out < machine.bytes_queued == 1000


def test_a_limit_of_0_holds_back_data_and_what_stands_behind_it() -> None:
    machine = acceptor()
    send(machine)
    machine.release()
    assert names(machine, limit=0) == []
    assert names(machine, limit=1) == ["PDataTF", "AReleaseRQ"]


def test_data_leaves_before_the_release_and_before_its_confirmation() -> None:
    one, other = requestor(), acceptor()
    send(one, bytes(40_000))
    one.release()
    assert names(one) == ["PDataTF"] * 3 + ["AReleaseRQ"]
    assert fed(other, RQ) == [ReleaseRequested()]
    send(other)
    other.confirm_release()
    assert names(other) == ["PDataTF", "AReleaseRP"]


# --- abort ---


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_abort_is_idempotent_in_every_state(state: State) -> None:
    machine = in_state(state)
    machine.abort()
    after = machine.state
    assert after in (State.Sta1, State.Sta13)
    first = pdus(machine, now=5)
    deadline = machine.next_deadline()
    for _ in range(3):
        machine.abort()
        machine.abort(AbortReason.NOT_SPECIFIED)
    assert state_of(machine) is after
    assert sent(machine, 7) == b""
    assert machine.next_deadline() == deadline
    had_association = state not in (State.Sta1, State.Sta2, State.Sta4, State.Sta13)
    assert first == ([USER_ABORT] if had_association else [])


@pytest.mark.parametrize("limit", [None, 0])
def test_an_abort_leaves_at_once_and_alone_and_artim_starts_when_it_does(limit: int | None) -> None:
    machine = acceptor(timeouts=TIMEOUTS)
    send(machine, bytes(100_000))
    send(machine, last=False)
    machine.abort()
    assert machine.next_deadline() is None
    assert machine.bytes_waiting == 0
    assert pdus(machine, now=100, limit=limit) == [USER_ABORT]
    assert machine.next_deadline() == 110
    assert sent(machine, 101) == b""
    assert machine.next_deadline() == 110


def test_an_abort_of_the_provider_has_its_reason() -> None:
    machine = acceptor()
    machine.abort(AbortReason.UNEXPECTED_PDU_PARAMETER)
    assert pdus(machine) == [AAbort(2, AbortReason.UNEXPECTED_PDU_PARAMETER)]
    assert drain(machine) == []


def test_an_abort_before_there_is_an_association_closes_the_transport() -> None:
    machine = Association()
    machine.request(OFFER)
    machine.abort()
    assert (machine.wants_close, sent(machine), drain(machine)) == (True, b"", [ConnectionClosed()])
    machine = listening()
    machine.abort()
    assert (machine.wants_close, sent(machine), drain(machine)) == (True, b"", [ConnectionClosed()])
    assert machine.next_deadline() is None


# --- refused by the layer above ---


def test_the_layer_above_can_refuse_what_it_was_given() -> None:
    machine = acceptor()
    machine.receive_data(p_data(pdv(b"ab")) + p_data(pdv(b"cd")), now=0)
    assert pieces([machine.next_event()]) == [(1, False, False, b"ab")]
    error = PDUError("no command set", abort_reason=AbortReason.UNEXPECTED_PDU_PARAMETER)
    machine.fail(error)
    assert drain(machine) == [Aborted(origin=AbortOrigin.LOCAL_PROVIDER, reason=error.abort_reason, error=error)]
    assert pdus(machine) == [AAbort(2, AbortReason.UNEXPECTED_PDU_PARAMETER)]
    assert fed(machine, p_data(pdv(b"ef")), AAbort(0)) == []  # nobody looks at what still comes
    assert machine.state is State.Sta13


def test_there_is_nothing_to_refuse_before_a_connection_and_after_it() -> None:
    machine = Association()
    machine.fail(PDUError("too early"))
    assert (machine.state, machine.wants_close) == (State.Sta1, False)
    machine.connection_made(now=0)
    machine.abort()
    machine.fail(PDUError("too late"))
    assert drain(machine) == [ConnectionClosed()]


# --- what comes in order ---


def test_whoever_says_it_in_the_wrong_order_is_told_the_right_one() -> None:
    machine = Association()
    with pytest.raises(LocalProtocolError, match=r"call connection_made\(\) first"):
        machine.receive_data(b"data", now=0)
    with pytest.raises(LocalProtocolError, match=r"call connection_made\(\) first"):
        machine.receive_eof(now=0)
    machine.connection_made(now=0)
    with pytest.raises(LocalProtocolError, match=r"connection_made\(\) was called before"):
        machine.connection_made(now=0)
    with pytest.raises(LocalProtocolError, match=r"call request\(\) and then connection_made\(\)"):
        machine.request(OFFER)
    machine.receive_eof(now=0)
    with pytest.raises(LocalProtocolError, match=r"receive_eof\(\)$"):
        machine.receive_data(b"data", now=0)
    machine = Association()
    machine.request(OFFER)
    with pytest.raises(LocalProtocolError, match=r"request\(\) was called before"):
        machine.request(OFFER)
    with pytest.raises(LocalProtocolError, match=r"call connection_made\(\) first"):
        machine.receive_data(b"data", now=0)


# --- a share at a time ---

TINY = [
    p_data(pdv(b"", 1)) * 5_000,
    p_data(*[pdv(b"", 1)] * 5_000),
    p_data(*[pdv(b"", 0)] * 3) * 1_750,
]


@pytest.mark.parametrize("tiny", TINY)
def test_what_tells_nothing_is_read_a_share_at_a_time(tiny: bytes) -> None:
    machine = acceptor(offer(maximum_length=0), answer(OFFER, maximum_length=0))
    machine.receive_data(tiny + p_data(pdv(b"ab", 3)), now=0)
    turns = 0
    while (event := machine.next_event()) is None:
        assert machine.has_unread
        turns += 1
    assert 5_000 / SHARE <= turns <= 10_000 / SHARE + 1
    assert isinstance(event, FragmentReceived)
    assert [machine.next_event(), machine.has_unread] == [None, False]


def test_what_is_ignored_is_read_a_share_at_a_time() -> None:
    machine = acceptor()
    machine.abort()
    machine.receive_data(encode_pdu(AReleaseRQ()) * 5_000, now=0)
    turns = 1
    while machine.next_event() is None and machine.has_unread:
        turns += 1
    assert turns > 5_000 / SHARE


def test_an_event_at_the_end_of_a_share_is_told() -> None:
    for count in range(SHARE - 3, SHARE + 3):
        machine = acceptor()
        machine.receive_data(p_data(*[pdv(b"", 1)] * count, pdv(b"ab", 3)), now=0)
        events = drain(machine)
        while machine.has_unread:
            events += drain(machine)
        assert len(events) == 1


def test_what_had_to_wait_for_an_answer_is_not_forgotten() -> None:
    machine = listening()
    fed(machine, encode_pdu(OFFER) + p_data(pdv(b"ab", 3)))
    before = machine.has_unread
    machine.accept(answer(OFFER))
    assert (before, machine.has_unread) == (False, True)
    assert len(drain(machine)) == 1


@for_each(
    ("block", "is_between"),
    [
        (b"", True),
        (p_data(pdv()), True),
        (p_data(pdv())[:3], False),  # within the header
        (p_data(pdv())[:6], False),  # before the first PDV
        (p_data(pdv())[:-1], False),
        (encode_pdu(AReleaseRQ())[:6], False),  # before a body
        (encode_pdu(AReleaseRQ())[:-1], False),
        (encode_pdu(AReleaseRP())[:6], False),  # before a body that is to be skipped
    ],
)
def test_where_it_stands_in_the_stream(block: bytes, is_between: bool) -> None:
    machine = acceptor()
    fed(machine, block)
    assert machine.is_between_pdus == is_between


def test_what_nobody_pulls_is_not_read() -> None:
    machine = acceptor()
    machine.receive_data(p_data(pdv()), now=0)
    assert not machine.is_between_pdus


def test_log_of_what_is_received_and_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto.upper_layer")
    machine = acceptor()
    fed(machine, p_data(pdv(b"secret")))
    send(machine, b"hidden")
    machine.release()
    sent(machine)
    length = len(encode_pdu(OFFER))
    lines = [record.getMessage() for record in caplog.records]
    assert f"< A_ASSOCIATE_RQ, {length} bytes" in lines
    assert f"< P_DATA_TF, {len(p_data(pdv(b'secret')))} bytes" in lines
    assert "> P_DATA_TF, 6 bytes of fragments" in lines
    assert "- release timer started" in lines
    assert not any("secret" in line or "hidden" in line for line in lines)


def test_nothing_is_logged_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dicom_proto.upper_layer")
    machine = acceptor()
    fed(machine, p_data(pdv()))
    send(machine)
    sent(machine)
    assert caplog.records == []
