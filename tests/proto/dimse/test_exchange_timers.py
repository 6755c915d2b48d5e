"""The wait for responses, and what the other timers do to operations."""

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.outgoing import STREAMED
from dicom_proto.errors import PDUError
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import drain, sent
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    ConnectionClosed,
)
from dicom_proto.upper_layer.pdu import AAbort, encode_pdu
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.dimse.pairs import (
    COMMAND,
    ECHO_CONTEXT,
    FIND_CONTEXT,
    FINDING,
    FOUND,
    LAST,
    PENDING,
    RESPONSE,
    STORE_CONTEXT,
    UNLIMITED,
    echo,
    find,
    fragments,
    names,
    p_data,
    pair,
    raw,
    receive,
    respond,
    store,
    waiting,
    with_id,
)

GET = m.CGetRQ(message_id=1, affected_sop_class_uid="1.2")
COUNTERS = {f"number_of_{which}_suboperations": 1 for which in ("remaining", "completed", "failed", "warning")}
CANCEL_OF_NOTHING = m.encode_message(m.CCancelRQ(message_id_being_responded_to=99), has_data_set=False)


def test_response_timer_starts_when_the_last_byte_of_the_request_leaves() -> None:
    connection, _ = pair(timeouts=RESPONSE)
    connection.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    assert connection.next_deadline() is None
    sent(connection, now=1, limit=0)
    assert connection.next_deadline() is None
    sent(connection, now=2, limit=1)
    assert connection.next_deadline() is None  # the command alone
    sent(connection, now=3)
    assert connection.next_deadline() == connection.next_deadline() == 13


def test_response_timer_starts_when_a_streamed_request_has_ended() -> None:
    connection, _ = pair(timeouts=RESPONSE)
    outgoing = connection.open_data(connection.send_request(store(), context=STORE_CONTEXT, data=STREAMED))
    outgoing.write(bytes(100))
    sent(connection, now=1)
    assert connection.next_deadline() is None
    outgoing.finish()
    assert connection.next_deadline() is None
    sent(connection, now=2)
    assert connection.next_deadline() == 12


def test_an_empty_block_means_nothing_to_the_response_timer() -> None:
    connection = waiting()
    connection.receive_data(b"", now=4)
    assert connection.next_deadline() == 10


def test_each_operation_has_a_wait_of_its_own() -> None:
    connection = waiting()
    connection.send_request(echo(), context=ECHO_CONTEXT)
    sent(connection, now=4)
    assert connection.next_deadline() == 10
    receive(connection, FOUND, now=5)
    assert connection.next_deadline() == 14
    sent(connection, now=5)
    assert connection.next_deadline() == 14


FIND_COMMAND = p_data(next(iter(fragments(respond(find(), 1, PENDING), b"hits", FIND_CONTEXT))))


@pytest.mark.parametrize(
    ("received", "deadline"),
    [
        (FIND_COMMAND[:-1], 10),  # of whatever it will be the beginning
        (FIND_COMMAND, 14),
        (FIND_COMMAND + p_data((FIND_CONTEXT, 0, b"h")), 14),
        (raw(echo(1))[:-1], 10),
        (raw(store(1), b"data", STORE_CONTEXT)[:-1], 10),
        (p_data((FIND_CONTEXT, 1, b"")), 10),
    ],
)
def test_response_timer_starts_again_with_what_belongs_to_the_response(received: bytes, deadline: float) -> None:
    connection = waiting()
    receive(connection, received, now=4)
    assert connection.next_deadline() == deadline
    connection.handle_timeout(deadline - 1)
    assert connection.next_deadline() == deadline
    assert drain(connection) == []


def test_response_timer_starts_again_with_each_piece_of_its_data_set_that_is_not_empty() -> None:
    connection = waiting()
    receive(connection, FIND_COMMAND, now=4)
    receive(connection, p_data((FIND_CONTEXT, 0, b"h")), now=5)
    assert connection.next_deadline() == 15
    receive(connection, p_data((FIND_CONTEXT, 0, b"")), p_data((FIND_CONTEXT, 0, b""), (FIND_CONTEXT, 0, b"")), now=6)
    assert connection.next_deadline() == 15
    receive(connection, p_data((FIND_CONTEXT, LAST, b"")), now=7)
    assert connection.next_deadline() == 15


def test_a_peer_cannot_hide_a_response_behind_what_it_says_otherwise() -> None:
    """N-EVENT-REPORTs, C-ECHO requests, and fragments without content: none of it is the answer."""
    connection = waiting()
    report = m.NEventReportRQ(affected_sop_class_uid="1.2", affected_sop_instance_uid="1.3", event_type_id=1)
    now = 0.0
    while (deadline := connection.next_deadline()) is not None and now < 100:
        now += 0.5
        receive(connection, raw(echo(7)), raw(with_id(report, 8)), p_data((ECHO_CONTEXT, COMMAND, b"")), now=now)
        for message_id, operation in list(connection.performed.items()):
            connection.send_response(respond(operation.request, message_id))
        sent(connection, now=now)
        receive(connection, p_data((ECHO_CONTEXT, COMMAND | LAST, CANCEL_OF_NOTHING)), now=now)
        if connection.next_deadline() == now:
            connection.handle_timeout(now)
            break
    assert now == deadline == 10
    assert names(drain(connection)) == ["TimedOut"]


def test_an_operation_that_is_never_answered_is_not_waited_for_because_others_are() -> None:
    connection = waiting()
    for now in range(1, 10):
        message_id = connection.send_request(echo(), context=ECHO_CONTEXT)
        sent(connection, now=now)
        receive(connection, raw(respond(echo(), message_id)), now=now + 0.5)
        assert connection.next_deadline() == 10
    connection.handle_timeout(10)
    assert names(drain(connection)) == ["TimedOut"]


def test_a_cancelled_operation_is_not_waited_for_because_it_goes_on() -> None:
    connection = waiting()
    receive(connection, FINDING, now=4)
    connection.send_cancel(1)
    sent(connection, now=5)
    receive(connection, FINDING, now=6)
    assert connection.next_deadline() == 14
    receive(connection, raw(respond(find(), 1, 0xFE00), context=FIND_CONTEXT), now=7)
    assert connection.next_deadline() is None
    connection.send_cancel(connection.send_request(find(), context=FIND_CONTEXT, data=b"keys"))
    sent(connection, now=8)
    assert connection.next_deadline() == 18


@pytest.mark.parametrize(("is_cancelled", "deadline"), [(False, 17), (True, 14)])
def test_the_data_set_of_a_final_response_is_awaited_for_as_long_as_it_comes(
    is_cancelled: bool, deadline: float
) -> None:
    connection, _ = pair(window=UNLIMITED, timeouts=RESPONSE)
    connection.send_request(GET, context=FIND_CONTEXT, data=b"keys")
    sent(connection, now=0)
    receive(connection, raw(respond(GET, 1, PENDING, **COUNTERS), context=FIND_CONTEXT), now=4)
    if is_cancelled:
        connection.send_cancel(1)
    receive(connection, raw(respond(GET, 1, PENDING, **COUNTERS), context=FIND_CONTEXT), now=7)
    assert connection.next_deadline() == deadline
    failed = raw(respond(GET, 1, 0xB000), b"list", FIND_CONTEXT)
    receive(connection, failed[:-4], now=8)
    assert connection.next_deadline() == 18
    receive(connection, failed[-4:-3], now=9)
    assert connection.next_deadline() == 19
    receive(connection, failed[-3:], now=10)
    assert connection.next_deadline() is None


def test_response_timer_runs_until_the_final_response() -> None:
    connection = waiting()
    receive(connection, FINDING, now=4)
    sent(connection, now=4)
    assert connection.next_deadline() == 14
    receive(connection, FOUND, now=5)
    sent(connection, now=5)
    assert connection.next_deadline() is None


def test_response_that_was_not_looked_at_in_time_is_in_time() -> None:
    connection = waiting()
    receive(connection, FOUND, now=5)
    connection.handle_timeout(1000)
    assert drain(connection) == []
    assert connection.state is State.Sta6


def test_response_timer_does_not_run_while_this_side_works_for_the_peer() -> None:
    connection = waiting()
    receive(connection, raw(store(1), b"data", STORE_CONTEXT)[:-1], now=1)
    assert connection.next_deadline() == 10  # the peer is still sending it
    receive(connection, b"a", now=2)
    assert connection.next_deadline() is None
    connection.handle_timeout(50)
    sent(connection, now=50)
    receive(connection, raw(echo(2)), now=50)
    connection.send_response(respond(store(), 1))
    sent(connection, now=60)
    assert connection.next_deadline() is None  # there is another
    connection.send_response(respond(echo(), 2))
    assert connection.next_deadline() is None  # nobody has told what time it is
    sent(connection, now=70)
    assert connection.next_deadline() == 78  # what was left


def test_a_handler_that_takes_its_time_within_a_turn() -> None:
    connection = waiting()
    receive(connection, raw(store(1), b"data", STORE_CONTEXT), now=2)
    connection.send_response(respond(store(), 1))
    sent(connection, now=50)
    connection.handle_timeout(50)
    assert drain(connection) == []
    assert connection.next_deadline() == 58


def test_the_sub_operations_of_a_retrieval_are_part_of_its_answer() -> None:
    """A C-GET, beside a C-FIND that is not answered: its wait stands still while this side performs, and goes on."""
    connection, _ = pair(window=UNLIMITED, timeouts=RESPONSE)
    connection.send_request(GET, context=FIND_CONTEXT, data=b"keys")
    sent(connection, now=0)
    connection.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    sent(connection, now=7)
    storing = raw(store(1), b"data", STORE_CONTEXT)
    receive(connection, storing[:-4], now=8)
    assert connection.next_deadline() == 17
    receive(connection, storing[-4:-1], now=9)
    assert connection.next_deadline() == 17
    receive(connection, storing[-1:], now=11)
    assert connection.next_deadline() is None
    connection.send_request(echo(), context=ECHO_CONTEXT)  # newer than what is performed
    sent(connection, now=20)
    assert connection.next_deadline() == 30
    receive(connection, raw(respond(echo(), 3)), now=21)
    assert connection.next_deadline() is None
    receive(connection, raw(respond(GET, 1, PENDING, **COUNTERS), context=FIND_CONTEXT), now=22)
    assert connection.next_deadline() is None
    connection.send_response(respond(store(), 1))
    sent(connection, now=30)
    assert connection.next_deadline() == 36  # the C-FIND has 6 left, the C-GET 10
    receive(connection, raw(respond(find(), 2), context=FIND_CONTEXT), now=31)
    assert connection.next_deadline() == 40
    connection.send_cancel(1)
    receive(connection, storing, now=32)
    connection.send_response(respond(store(), 1))
    sent(connection, now=33)
    assert connection.next_deadline() == 41  # what came after the cancel does not count, but this side has taken 1


def test_other_requests_are_no_part_of_a_retrieval() -> None:
    connection, _ = pair(window=UNLIMITED, timeouts=RESPONSE)
    connection.send_request(GET, context=FIND_CONTEXT, data=b"keys")
    sent(connection, now=0)
    receive(connection, raw(find(1), b"keys", FIND_CONTEXT)[:-1], now=5)
    assert connection.next_deadline() == 10


def test_a_request_that_leaves_while_this_side_performs_what_was_asked_for_later() -> None:
    connection, _ = pair(window=UNLIMITED, timeouts=RESPONSE)
    connection.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    receive(connection, raw(echo(1)), now=1)
    sent(connection, now=2)
    assert connection.next_deadline() is None
    connection.send_response(respond(echo(), 1))
    sent(connection, now=3)
    assert connection.next_deadline() == 13


def test_durations_that_change() -> None:
    connection = waiting()
    connection.timeouts = Timeouts(artim=5, response=3, idle=None)
    connection.send_request(echo(), context=ECHO_CONTEXT)
    sent(connection, now=1)
    assert connection.next_deadline() == 4
    receive(connection, raw(respond(echo(), 2)), now=2)
    assert connection.next_deadline() == 10
    connection.timeouts = Timeouts(artim=5, response=None, idle=None)
    receive(connection, FINDING, now=3)
    assert connection.next_deadline() is None


def test_response_timer_does_not_run_while_a_request_is_held() -> None:
    connection, _ = pair(window=(2, 1), timeouts=RESPONSE)
    connection.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    receive(connection, raw(echo(1)), raw(echo(2)), now=1)
    sent(connection, now=1)
    assert connection.next_deadline() is None


def test_early_failure_is_no_work() -> None:
    connection = waiting()
    receive(connection, raw(store(1), b"data", STORE_CONTEXT)[:-2], now=1)
    connection.send_response(respond(store(), 1, 0xA700))
    sent(connection, now=2)
    assert connection.next_deadline() == 10


def test_response_timer_does_not_run_while_nothing_more_can_be_received() -> None:
    connection = waiting(limits=Limits(receive_buffer=1024))
    connection.receive_data(FINDING * 20, now=1)
    sent(connection, now=1)
    assert not connection.wants_read
    assert connection.next_deadline() is None
    assert names(drain(connection)) == ["ResponseReceived", "DataChunk"] * 20
    sent(connection, now=30)
    assert connection.next_deadline() == 40


def test_response_timer_does_not_run_after_the_end() -> None:
    connection = waiting()
    connection.receive_eof(now=1)
    connection.handle_timeout(10)
    assert connection.next_deadline() is None
    assert names(drain(connection)) == ["Aborted"]


def test_abort_stops_the_response_timer() -> None:
    connection = waiting()
    connection.abort()
    assert connection.next_deadline() is None
    sent(connection, now=1)
    assert connection.next_deadline() == 6


@pytest.mark.parametrize("end", [encode_pdu(AAbort(0)), b"\x99\0\0\0\0\0", raw(respond(echo(), 1))])
def test_response_timer_does_not_run_when_the_peer_has_ended_the_association(end: bytes) -> None:
    connection = waiting()
    receive(connection, end, now=1)
    sent(connection, now=1)
    assert connection.next_deadline() in {None, 6}


def test_no_response_timer_without_a_duration() -> None:
    connection = waiting(Timeouts(response=None, idle=None))
    assert connection.next_deadline() is None


def test_lost_connection_ends_the_wait_for_a_response() -> None:
    connection = waiting()
    connection.receive_eof(now=1)
    assert drain(connection) == [Aborted(origin=AbortOrigin.TRANSPORT), ConnectionClosed()]
    assert not connection.invoked


def storing_for_the_peer(window: tuple[int, int] = (1, 1)) -> Connection:
    """An acceptor that performs the peer's C-FIND 7 and has sent it a C-STORE: how a C-GET looks from here."""
    _, connection = pair(window=window, timeouts=RESPONSE)
    receive(connection, raw(find(7), b"keys", FIND_CONTEXT))
    connection.send_request(store(), context=STORE_CONTEXT, data=b"data")
    sent(connection, now=1)
    return connection


def test_a_sub_operation_has_a_deadline_although_the_operation_is_still_performed() -> None:
    connection = storing_for_the_peer()
    assert connection.next_deadline() == 11
    connection.handle_timeout(11)
    assert names(drain(connection)) == ["TimedOut"]
    assert sent(connection, now=11) == encode_pdu(AAbort(0))


def test_a_request_beyond_the_window_cannot_hide_a_response_for_ever() -> None:
    connection = storing_for_the_peer()
    assert receive(connection, raw(echo(8)), raw(respond(store(), 1), context=STORE_CONTEXT), now=2) == []
    assert connection.next_deadline() == 11
    receive(connection, bytes(Limits().receive_buffer), now=3)  # not even with more than is kept behind it
    assert not connection.wants_read
    assert connection.next_deadline() == 11


def test_what_the_peer_asks_for_later_may_take_its_time() -> None:
    connection = waiting()
    receive(connection, raw(store(8), b"data", STORE_CONTEXT), now=2)  # a sub-operation of what was asked for
    connection.handle_timeout(100)
    assert connection.next_deadline() is None
    connection.send_response(respond(store(), 8))
    sent(connection, now=100)
    assert connection.next_deadline() == 108


def test_response_timer_does_not_run_before_a_request_has_left() -> None:
    connection, _ = pair(timeouts=RESPONSE)
    connection.send_request(echo(), context=ECHO_CONTEXT)
    connection.update_timers(now=1)
    connection.handle_timeout(1)
    assert connection.next_deadline() is None


def test_response_timer_does_not_run_when_what_the_peer_sent_was_declared_invalid() -> None:
    connection = waiting()
    assert connection.next_deadline() == 10
    connection.fail(PDUError("of no use"))
    sent(connection)
    assert connection.next_deadline() == RESPONSE.artim


IDLE = Timeouts(artim=5, request=None, release=7, response=None, idle=20)


def test_no_release_while_something_is_awaited() -> None:
    """PS3.7 A.5: what is outstanding would never be answered."""
    connection = waiting(IDLE)
    connection.releases_when_idle = True
    connection.handle_timeout(20)
    assert names(drain(connection)) == ["TimedOut"]
    assert not connection.invoked


def test_no_release_while_something_is_performed() -> None:
    """Such as an object whose peer has fallen silent in the middle."""
    _, connection = pair(timeouts=IDLE)
    connection.releases_when_idle = True
    receive(connection, raw(store(1), b"data", STORE_CONTEXT)[:-1], now=1)
    connection.handle_timeout(21)
    assert names(drain(connection)) == ["TimedOut"]
    assert not connection.performed


def test_it_is_released_when_all_is_answered() -> None:
    connection = waiting(IDLE)
    connection.releases_when_idle = True
    receive(connection, FOUND, now=1)
    connection.handle_timeout(21)
    assert connection.state is State.Sta7
