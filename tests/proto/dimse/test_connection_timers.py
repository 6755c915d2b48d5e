"""What the timers do to an association with operations: deadlines, time-outs, and its end when nothing passes."""

import pytest

from dicom_proto.dimse.outgoing import STREAMED
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import drain, sent
from dicom_proto.upper_layer.events import (
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
)
from dicom_proto.upper_layer.pdu import AAbort, encode_pdu
from dicom_proto.upper_layer.timers import Timeouts, Timer
from tests.proto.dimse.pairs import (
    COMMAND,
    ECHO_CONTEXT,
    FIND_CONTEXT,
    FINDING,
    FOUND,
    PENDING,
    RESPONSE,
    STORE_CONTEXT,
    echo,
    find,
    names,
    p_data,
    pair,
    raw,
    receive,
    respond,
    store,
    waiting,
)


def test_a_flood_is_no_answer() -> None:
    """A peer that always has more to say than is read in a turn."""
    connection = waiting()
    for now in range(1, 10):
        connection.receive_data(p_data((ECHO_CONTEXT, COMMAND, b"")) * 2_000, now=now)
        assert connection.next_event() is None
        assert connection.has_unread
        sent(connection, now=now)
        assert connection.next_deadline() == 10
    connection.handle_timeout(10)
    assert names([connection.next_event()]) == ["TimedOut"]


def test_time_out() -> None:
    connection = waiting()
    connection.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    connection.handle_timeout(9.5)
    assert drain(connection) == []
    connection.handle_timeout(10)
    assert not connection.invoked
    assert drain(connection) == [TimedOut(timer=Timer.RESPONSE)]
    assert sent(connection, now=10) == encode_pdu(AAbort(0))
    assert connection.next_deadline() == 15
    assert receive(connection, FOUND, now=11) == []
    connection.handle_timeout(15)
    assert drain(connection) == [ConnectionClosed()]
    assert connection.next_deadline() is None


def test_events_from_before_come_before_the_time_out() -> None:
    connection = waiting()
    connection.receive_data(FINDING, now=0)
    assert names(drain(connection)) == ["ResponseReceived", "DataChunk"]
    connection.handle_timeout(10)
    assert names(drain(connection)) == ["TimedOut"]


@pytest.mark.parametrize("size", [8, 10_000])
def test_what_has_been_looked_at_is_none_either(size: int) -> None:
    """The last event of what was received ends that, however it was cut; nobody has to ask for another one."""
    connection = waiting()
    block = raw(echo(7))
    for at in range(0, len(block), size):
        connection.receive_data(block[at : at + size], now=1)
    assert names([connection.next_event()]) == ["RequestReceived"]
    connection.send_response(respond(echo(7), 7))
    sent(connection, now=1)
    assert connection.next_deadline() == 10


def test_what_was_received_and_not_looked_at_is_no_silence() -> None:
    connection = waiting()
    connection.receive_data(FINDING, now=3)
    assert names([connection.next_event()]) == ["ResponseReceived"]
    assert connection.next_deadline() is None
    connection.handle_timeout(1000)
    assert connection.next_deadline() is None
    assert names(drain(connection)) == ["DataChunk"]
    sent(connection, now=1001)
    assert connection.next_deadline() == 1011
    connection.receive_data(raw(echo(1)), now=1003)
    assert connection.next_deadline() is None
    drain(connection)
    connection.send_response(respond(echo(), 1))
    sent(connection, now=1013)
    assert connection.next_deadline() == 1021  # which is no answer either


def test_who_has_nothing_to_send_only_has_the_timers_updated() -> None:
    connection = waiting(Timeouts(request=None, response=10, idle=20), Limits(receive_buffer=1024))
    connection.receive_data(FINDING * 20, now=1)
    connection.update_timers(now=1)
    assert connection.next_deadline() is None
    drain(connection)
    connection.update_timers(now=30)
    assert connection.next_deadline() == 40
    receive(connection, FOUND, now=31)
    connection.update_timers(now=31)
    assert connection.next_deadline() == 51


def test_response_timer_does_not_run_when_another_timer_has_ended_the_association() -> None:
    connection = waiting(Timeouts(artim=50, response=10, idle=5))
    connection.handle_timeout(5)
    sent(connection, now=5)
    connection.handle_timeout(10)
    assert connection.next_deadline() == 55
    assert drain(connection) == [TimedOut(timer=Timer.IDLE)]


def test_idle_timer_runs_while_the_peer_does_not_read_what_is_done_for_it() -> None:
    _, connection = pair(timeouts=Timeouts(idle=20), limits=Limits(send_queue=100, send_pdu_length=100))
    receive(connection, raw(find(1), b"keys", FIND_CONTEXT))
    sent(connection, now=1)
    assert connection.next_deadline() is None
    while connection.write_room:
        connection.send_response(respond(find(), 1, PENDING), data=b"hits")
    sent(connection, now=2, limit=0)
    assert connection.next_deadline() == 22
    connection.handle_timeout(22)
    assert names(drain(connection)) == ["TimedOut"]
    assert not connection.performed


def test_release_timer_with_a_request_held() -> None:
    _, connection = pair(timeouts=RESPONSE)
    receive(connection, raw(echo(1)), raw(echo(2)))
    connection.release()
    sent(connection, now=1)
    connection.handle_timeout(8)
    assert drain(connection) == [TimedOut(timer=Timer.RELEASE)]
    assert not connection.performed
    connection.receive_eof(now=9)
    assert drain(connection) == [ConnectionClosed()]


IDLE = Timeouts(artim=5, request=None, release=7, response=None, idle=20)


def test_new_timeouts_count_for_the_waits_that_begin_from_then_on() -> None:
    connection = waiting(Timeouts(response=10, idle=None))
    assert connection.timeouts == Timeouts(response=10, idle=None)
    connection.timeouts = Timeouts(response=30, idle=90)
    assert connection.timeouts == Timeouts(response=30, idle=90)
    assert connection.next_deadline() == 10
    receive(connection, FINDING, now=4)
    assert connection.next_deadline() == 34
    receive(connection, FOUND, now=5)
    sent(connection, now=5)
    assert connection.next_deadline() == 95


def test_a_wait_that_lasts_for_ever_from_then_on() -> None:
    connection = waiting(Timeouts(response=10, idle=None))
    receive(connection, FOUND, now=1)
    sent(connection, now=1)
    connection.timeouts = Timeouts(response=None, idle=None)
    connection.send_request(echo(), context=ECHO_CONTEXT)
    sent(connection, now=2)
    assert connection.next_deadline() is None


def test_whether_something_can_be_sent() -> None:
    connection, _ = pair()
    before = connection.can_send
    connection.send_request(echo(), context=ECHO_CONTEXT)
    then = connection.can_send
    sent(connection)
    assert (before, then, connection.can_send) == (False, True, False)


@pytest.mark.parametrize("side", [0, 1])
def test_an_idle_association_is_aborted_or_released(side: int) -> None:
    connection = pair(timeouts=IDLE)[side]
    connection.handle_timeout(20)
    assert drain(connection) == [TimedOut(timer=Timer.IDLE)]
    assert sent(connection, now=20) == encode_pdu(AAbort(0))
    ends = pair(timeouts=IDLE)
    ends[side].releases_when_idle = True
    ends[side].handle_timeout(20)
    assert drain(ends[side]) == []
    other = ends[1 - side]
    assert receive(other, sent(ends[side], now=21), now=21) == [ReleaseRequested()]
    other.confirm_release()
    assert receive(ends[side], sent(other, now=22), now=22) == [Released(), ConnectionClosed()]


def test_a_peer_that_does_not_answer_the_release_is_aborted() -> None:
    connection, _ = pair(timeouts=IDLE)
    connection.releases_when_idle = True
    connection.handle_timeout(20)
    sent(connection, now=20)
    assert connection.next_deadline() == 27
    connection.handle_timeout(27)
    assert drain(connection) == [TimedOut(timer=Timer.RELEASE)]
    assert sent(connection, now=27) == encode_pdu(AAbort(0))
