"""Operations on an established association: what is asked, answered, cancelled, refused and told."""

from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.outgoing import STREAMED
from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import Limits
from dicom_proto.upper_layer.association import SHARE
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRejected,
    ConnectionClosed,
    Released,
    ReleaseRequested,
)
from dicom_proto.upper_layer.machine import Transition
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, AReleaseRQ, PDataTF, encode_pdu
from dicom_proto.upper_layer.state_table import Action, Event, State
from tests.proto.dimse.pairs import (
    COMMAND,
    ECHO_CONTEXT,
    FIND_CONTEXT,
    INVALID,
    LAST,
    PENDING,
    STORE_CONTEXT,
    UNEXPECTED,
    UNLIMITED,
    aborts,
    echo,
    find,
    fragments,
    invoking,
    joined,
    names,
    p_data,
    pair,
    pdus,
    performing,
    raw,
    receive,
    respond,
    store,
    with_id,
)
from tests.proto.dimse.test_messages import MINIMAL
from tests.proto.wire import associate, drain, exchange, offer, sent

RETRIEVE = {
    "number_of_remaining_suboperations": 1,
    "number_of_completed_suboperations": 0,
    "number_of_failed_suboperations": 0,
    "number_of_warning_suboperations": 0,
}
MANY = [
    (find(), {}, b"match!"),
    (m.CGetRQ(affected_sop_class_uid="1.2"), RETRIEVE, None),
    (m.CMoveRQ(affected_sop_class_uid="1.2", move_destination="DEST"), RETRIEVE, None),
]
MANY_IDS = ["C-FIND", "C-GET", "C-MOVE"]


# --- the association --------------------------------------------------------------------------------------------------


def test_association_from_request_to_release() -> None:
    one, other = Connection(), Connection()
    request = offer()
    events, _ = associate(one, other, request)
    assert one.agreement is not None
    assert events == [AssociateAccepted(answer=events[0].answer, agreement=one.agreement)]
    assert (one.is_requestor, other.is_requestor) == (True, False)
    assert one.offer == other.offer == request
    assert one.agreement == other.agreement
    assert one.contexts.keys() == other.contexts.keys() == {1}
    assert one.state is other.state is State.Sta6
    one.release()
    assert exchange(one, other)[1] == [ReleaseRequested()]
    other.confirm_release()
    assert exchange(one, other) == ([Released(), ConnectionClosed()], [ConnectionClosed()])
    assert one.wants_close
    assert other.wants_close
    assert one.next_event() == one.next_event() == ConnectionClosed()


def test_rejected_association() -> None:
    one, other = Connection(), Connection()
    one.request(offer())
    one.connection_made(now=0)
    other.connection_made(now=0)
    exchange(one, other)
    other.reject(AAssociateRJ(1, 1, 7))
    assert exchange(one, other)[0][0] == AssociateRejected(result=1, source=1, reason=7)
    assert one.wants_close
    assert (one.invoked_window, one.performed_window, one.agreement) == (0, 0, None)


def test_nothing_can_be_sent_without_an_association() -> None:
    connection = Connection()
    with pytest.raises(LocalProtocolError, match="window is 0"):
        connection.send_request(echo(), context=1)
    assert connection.write_room == 0
    assert connection.next_deadline() is None
    assert connection.next_event() is None


# --- message IDs ------------------------------------------------------------------------------------------------------


def invoke(connection: Connection, message_id: int | None = None) -> int:
    return connection.send_request(echo(message_id), context=ECHO_CONTEXT)


def test_message_ids_are_given_out_in_turn() -> None:
    one, other = pair(window=UNLIMITED)
    request = echo()
    assert one.send_request(request, context=ECHO_CONTEXT) == request.message_id == 1
    assert [invoke(one), invoke(one)] == [2, 3]
    assert [event.request.message_id for event in exchange(one, other)[1]] == [1, 2, 3]
    assert list(one.invoked) == list(other.performed) == [1, 2, 3]


def test_message_ids_start_again_after_the_last_one() -> None:
    one, _ = pair(window=UNLIMITED)
    assert [invoke(one, 0xFFFE), invoke(one), invoke(one)] == [0xFFFE, 0xFFFF, 1]


def test_message_ids_in_use_are_passed_over() -> None:
    one, other = pair(window=UNLIMITED)
    assert [invoke(one, given) for given in (1, 2, 4, 0xFFFF, None, None)] == [1, 2, 4, 0xFFFF, 3, 5]
    exchange(one, other)
    other.send_response(respond(echo(), 1))
    exchange(one, other)
    assert invoke(one, 0xFFFE) == 0xFFFE
    assert invoke(one) == 1  # which is free again


def test_message_id_of_the_user_is_kept_and_counted_on_from() -> None:
    one, _ = pair(window=UNLIMITED)
    assert [invoke(one, 500), invoke(one), invoke(one, 0), invoke(one)] == [500, 501, 0, 1]


def test_both_sides_count_on_their_own() -> None:
    one, other = pair()
    assert invoke(one) == invoke(other) == 1
    assert exchange(one, other) == (
        [RequestReceived(message_id=1, context_id=1, request=echo(1), has_data=False)],
        [RequestReceived(message_id=1, context_id=1, request=echo(1), has_data=False)],
    )


@pytest.mark.parametrize(
    ("request_", "context", "data", "why"),
    [
        (echo(1), ECHO_CONTEXT, None, "message ID 1 is in use"),
        (echo(), 9, None, "context 9 was not accepted"),
        (echo(), ECHO_CONTEXT, b"ab", "a data set follows never"),
        (echo(), ECHO_CONTEXT, STREAMED, "a data set follows never"),
        (store(), STORE_CONTEXT, None, "a data set follows always"),
        (store(), STORE_CONTEXT, b"", "0 bytes"),
        (store(), STORE_CONTEXT, b"odd", "3 bytes"),
        (echo(70000), ECHO_CONTEXT, None, "0 to 65535"),
        (m.CEchoRQ(affected_sop_class_uid="1.x"), ECHO_CONTEXT, None, "1.x"),
    ],
)
def test_refused_request_changes_nothing(request_: m.Request, context: int, data: Any, why: str) -> None:
    one, _ = pair(window=UNLIMITED)
    invoke(one)
    sent(one)
    before = with_id(request_, request_.message_id)
    with pytest.raises(LocalProtocolError, match=why):
        one.send_request(request_, context=context, data=data)
    assert request_ == before
    assert list(one.invoked) == [1]
    assert sent(one) == b""
    assert invoke(one) == 2


# --- responses --------------------------------------------------------------------------------------------------------


def test_response_ends_the_operation() -> None:
    one, other = pair()
    one.send_request(store(), context=STORE_CONTEXT, data=b"data")
    assert joined(exchange(one, other)[1]) == [
        RequestReceived(message_id=1, context_id=3, request=store(1), has_data=True),
        DataChunk(message_id=1, invoked=False, data=b"data", last=True),
    ]
    assert (list(one.invoked), list(other.performed)) == ([1], [1])
    response = respond(store(), 1)
    other.send_response(response)
    assert exchange(one, other)[0] == [ResponseReceived(message_id=1, context_id=3, response=response, has_data=False)]
    assert not one.invoked
    assert not other.performed


def test_pending_responses_come_before_the_final_one() -> None:
    one, other = pair()
    one.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    exchange(one, other)
    for match in (b"one ", b"two "):
        other.send_response(respond(find(), 1, PENDING), data=match)
        (told, chunk), _ = exchange(one, other)
        assert told == ResponseReceived(message_id=1, context_id=5, response=respond(find(), 1, PENDING), has_data=True)
        assert chunk == DataChunk(message_id=1, invoked=True, data=match, last=True)
        assert one.invoked
        assert other.performed
    other.send_response(respond(find(), 1))
    assert names(exchange(one, other)[0]) == ["ResponseReceived"]
    assert not one.invoked
    assert not other.performed


def test_final_response_ends_the_operation_with_its_data_set() -> None:
    one, other = pair()
    request = m.NGetRQ(requested_sop_class_uid="1.2", requested_sop_instance_uid="1.3")
    one.send_request(request, context=ECHO_CONTEXT)
    exchange(one, other)
    other.send_response(respond(request, 1), data=b"attributes")
    head, tail = sent(other)[:-4], b"utes"
    assert names(receive(one, head)) == ["ResponseReceived"]
    assert one.invoked
    assert receive(one, tail) == [DataChunk(message_id=1, invoked=True, data=b"attributes", last=True)]
    assert not one.invoked


def test_responses_come_in_any_order() -> None:
    one, other = pair(window=UNLIMITED)
    for _ in range(3):
        invoke(one)
    exchange(one, other)
    for message_id in (2, 3, 1):
        other.send_response(respond(echo(), message_id))
    assert [event.message_id for event in exchange(one, other)[0]] == [2, 3, 1]


@pytest.mark.parametrize(
    ("response", "context"),
    [
        (respond(find(), 8), FIND_CONTEXT),
        (respond(store(), 7), FIND_CONTEXT),
        (respond(find(), 7), STORE_CONTEXT),
    ],
    ids=["id", "command", "context"],
)
def test_response_to_nothing_that_was_asked_is_no_success(response: m.Response, context: int) -> None:
    connection = invoking(find(), b"keys")
    assert aborts(connection, receive(connection, raw(response, context=context)), INVALID)


def test_second_final_response_answers_nothing() -> None:
    connection = invoking(find(), b"keys")
    events = receive(connection, raw(respond(find(), 7), context=FIND_CONTEXT) * 2)
    assert names(events) == ["ResponseReceived", "Aborted"]
    assert aborts(connection, events, INVALID)


@pytest.mark.parametrize(
    "request_", [store(), echo(), m.NDeleteRQ(requested_sop_class_uid="1", requested_sop_instance_uid="2")]
)
def test_pending_response_where_there_is_only_one(request_: m.Request) -> None:
    connection = invoking(request_, b"data" if request_.data_set is m.DataSet.ALWAYS else None)
    assert aborts(connection, receive(connection, raw(respond(request_, 7, PENDING), context=FIND_CONTEXT)), INVALID)
    connection = performing(request_)
    with pytest.raises(LocalProtocolError, match="has one response"):
        connection.send_response(respond(request_, 7, PENDING))


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xFE00, PENDING])
@pytest.mark.parametrize("limit", [0, 100])
def test_success_before_the_whole_request_has_left_is_none(status: int, limit: int) -> None:
    connection, _ = pair()
    connection.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    sent(connection, limit=limit)
    events = receive(connection, raw(respond(find(), 1, status), b"d" if status == PENDING else None, FIND_CONTEXT))
    assert names(events) == ["Aborted"]


@pytest.mark.parametrize("status", [0xA700, 0xC000, 0x0110, 0x1234])
def test_failure_is_taken_before_the_whole_request_has_left(status: int) -> None:
    connection, _ = pair()
    connection.send_request(store(), context=STORE_CONTEXT, data=b"data")
    assert names(receive(connection, raw(respond(store(), 1, status), context=STORE_CONTEXT))) == ["ResponseReceived"]
    assert not connection.invoked
    assert len(pdus(sent(connection))) == 2  # what has begun is ended


@pytest.mark.parametrize(
    ("response", "data", "why"),
    [
        (respond(store(), 8), None, "no request with message ID 8"),
        (respond(echo(), 7), None, "a C-STORE-RQ is not answered with a C-ECHO-RSP"),
        (respond(store(), 7), b"data", "a data set follows never"),
        (respond(store(), 7, 70000), None, "0 to 65535"),
    ],
)
def test_refused_response_changes_nothing(response: m.Response, data: bytes | None, why: str) -> None:
    connection = performing(store(), b"data")
    with pytest.raises(LocalProtocolError, match=why):
        connection.send_response(response, data=data)
    assert list(connection.performed) == [7]
    assert sent(connection) == b""
    connection.send_response(respond(store(), 7))
    assert not connection.performed


@pytest.mark.parametrize("data", [b"", b"odd"])
def test_response_with_a_wrong_data_set_is_refused(data: bytes) -> None:
    connection = performing(find(), b"keys")
    with pytest.raises(LocalProtocolError, match="bytes cannot be sent"):
        connection.send_response(respond(find(), 7, PENDING), data=data)
    assert sent(connection) == b""


# --- early responses --------------------------------------------------------------------------------------------------

STORE_PIECES = [p_data(fragment) for fragment in fragments(store(7), b"data", STORE_CONTEXT)]


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xFE00])
@pytest.mark.parametrize("arrived", [STORE_PIECES[0], STORE_PIECES[0] + STORE_PIECES[1][:-1]])
def test_success_is_not_possible_before_the_whole_request_has_arrived(status: int, arrived: bytes) -> None:
    _, connection = pair()
    receive(connection, arrived)
    with pytest.raises(LocalProtocolError, match="only a Failure"):
        connection.send_response(respond(store(), 7, status))
    assert connection.performed
    assert sent(connection) == b""
    receive(connection, b"".join(STORE_PIECES)[len(arrived) :])
    connection.send_response(respond(store(), 7, status))


@pytest.mark.parametrize("status", [0xA700, 0xC000, 0x0110, 0x1234])
@pytest.mark.parametrize("streamed", [{m.CStoreRQ}, set()])
def test_early_failure_drops_the_rest_of_the_data_set(status: int, streamed: set[type[m.Message]]) -> None:
    _, connection = pair(streamed=streamed)
    receive(connection, STORE_PIECES[0], STORE_PIECES[1][:-1])
    connection.send_response(respond(store(), 7, status))
    assert not connection.performed
    assert receive(connection, STORE_PIECES[1][-1:]) == []
    assert names(receive(connection, raw(echo(7)))) == ["RequestReceived"]


# --- C-CANCEL ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "fields", "data"), MANY, ids=MANY_IDS)
def test_cancel(request_: m.Request, fields: dict[str, int], data: bytes | None) -> None:
    one, other = pair()
    message_id = one.send_request(with_id(request_, request_.message_id), context=FIND_CONTEXT, data=b"keys")
    exchange(one, other)
    assert not other.is_cancelled(message_id)
    one.send_cancel(message_id)
    assert exchange(one, other)[1] == [CancelReceived(message_id=message_id)]
    assert one.invoked  # until the final response
    other.send_response(respond(request_, message_id, PENDING, **fields), data=data)
    assert other.is_cancelled(message_id)
    other.send_response(respond(request_, message_id, 0xFE00))
    assert not other.is_cancelled(message_id)
    exchange(one, other)
    assert not one.invoked


@pytest.mark.parametrize("message_id", [7, 8])
def test_cancel_of_what_cannot_be_cancelled_is_refused(message_id: int) -> None:
    connection = invoking(store(), b"data")
    with pytest.raises(LocalProtocolError, match=f"message ID {message_id} is outstanding"):
        connection.send_cancel(message_id)
    assert sent(connection) == b""


def cancel(message_id: int, data: bytes | None = None) -> bytes:
    return raw(m.CCancelRQ(message_id_being_responded_to=message_id), data, FIND_CONTEXT)


def test_cancel_that_is_unknown_or_late_or_impossible_is_ignored() -> None:
    connection = performing(find(), b"keys")
    assert receive(connection, cancel(8)) == []
    connection.send_response(respond(find(), 7))
    sent(connection)
    assert receive(connection, cancel(7)) == []
    receive(connection, raw(store(9), b"data", STORE_CONTEXT))
    assert receive(connection, cancel(9)) == []
    assert not connection.is_cancelled(9)
    assert connection.state is State.Sta6
    assert sent(connection) == b""


def test_cancel_with_a_data_set() -> None:
    connection = performing(find(), b"keys")
    events = receive(connection, cancel(7, b"data"))
    assert names(events) == ["CancelReceived", "Aborted"]
    assert aborts(connection, events, UNEXPECTED)


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "expected"), [((1, 1), (1, 1)), ((3, 2), (3, 2)), ((0, 7), (5, 5)), (UNLIMITED, (5, 5))]
)
def test_window_bounds_what_is_outstanding_in_each_direction(
    window: tuple[int, int], expected: tuple[int, int]
) -> None:
    sides = pair(window=window, limits=Limits(operations=5))
    for side, own, peers in zip(sides, expected, expected[::-1], strict=True):
        assert (side.invoked_window, side.performed_window) == (own, peers)
        for _ in range(own):
            assert side.can_invoke
            invoke(side)
        assert not side.can_invoke
        with pytest.raises(LocalProtocolError, match=f"operations window is {own}"):
            invoke(side)
    for side, events, own in zip(sides, exchange(*sides), expected, strict=True):
        assert names(events) == ["RequestReceived"] * len(side.performed)
        assert len(side.invoked) == own
    sides[1].send_response(respond(echo(), 1))
    exchange(*sides)
    assert invoke(sides[0]) == expected[0] + 1


def test_pipelined_requests_are_held_and_served_in_order() -> None:
    _, connection = pair()
    wire = b"".join(raw(store(message_id), bytes([message_id] * 2), STORE_CONTEXT) for message_id in range(1, 6))
    events = receive(connection, wire)
    for message_id in range(1, 6):
        told, chunk = joined(events)
        assert (told.message_id, chunk.data) == (message_id, bytes([message_id] * 2))
        assert list(connection.performed) == [message_id]
        connection.send_response(respond(store(), message_id))
        events = drain(connection)
    assert events == []
    assert connection.state is State.Sta6


def test_pipelining_fills_no_queue() -> None:
    _, connection = pair(limits=Limits(receive_buffer=1024))
    block = raw(echo(1)) * 10
    fed = 0
    while connection.wants_read:
        receive(connection, block)
        fed += len(block)
        assert fed < 1024 + 3 * len(block)
    assert list(connection.performed) == [1]
    assert connection.next_event() is None
    connection.send_response(respond(echo(), 1))
    assert names(drain(connection)) == ["RequestReceived"]


def test_requests_wait_while_the_peer_reads_no_responses() -> None:
    _, connection = pair(limits=Limits(send_queue=100, send_pdu_length=100))
    receive(connection, raw(echo(1)))
    connection.send_response(respond(echo(), 1))
    assert names(receive(connection, raw(echo(2)))) == ["RequestReceived"]
    connection.send_response(respond(echo(), 2))
    assert connection.write_room == 0
    assert receive(connection, raw(echo(3))) == []
    sent(connection)
    assert names(drain(connection)) == ["RequestReceived"]


def test_duplicate_invocation_is_answered_and_its_data_set_dropped() -> None:
    connection = performing(store(), b"first!")
    assert receive(connection, raw(store(7), b"second", STORE_CONTEXT), raw(echo(7))) == []
    answers = [pdu.pdvs[0].data for pdu in pdus(sent(connection)) if isinstance(pdu, PDataTF)]
    assert [m.decode_message(data)[0] for data in answers] == [respond(store(), 7, 0x0210), respond(echo(), 7, 0x0210)]
    connection.send_response(respond(store(), 7))  # the first is as it was
    assert names(receive(connection, raw(echo(7)))) == ["RequestReceived"]


@pytest.mark.parametrize(("message", "has_data"), [pair_ for pair_ in MINIMAL if isinstance(pair_[0], m.Request)])
def test_duplicate_invocation_of_every_kind(message: m.Request, has_data: bool) -> None:
    connection = performing(echo())
    receive(connection, raw(message, b"data" if has_data else None))
    (pdu,) = pdus(sent(connection))
    assert isinstance(pdu, PDataTF)
    assert m.decode_message(pdu.pdvs[0].data) == (respond(message, 7, 0x0210), False)


def test_duplicates_do_not_pile_up_behind_a_data_set() -> None:
    _, connection = pair(window=UNLIMITED, limits=Limits(send_queue=4096, send_pdu_length=4096, receive_buffer=4096))
    connection.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    sent(connection)
    receive(connection, raw(echo(7)))
    fed = 0
    while connection.wants_read:
        receive(connection, raw(echo(7)) * 10)
        fed += 10
    assert fed < 200
    outgoing = connection.open_data(1)
    assert outgoing.write_room == 4096
    outgoing.write(b"ab")
    outgoing.finish()
    while sent(connection):
        assert drain(connection) == []
    assert connection.wants_read


# --- the end of the association ---------------------------------------------------------------------------------------


def drain_all(connection: Connection) -> list[Any]:
    """All events, however many turns it takes."""
    events = drain(connection)
    while connection.has_unread:
        events += drain(connection)
    return events


def held() -> Connection:
    """An acceptor that performs request 1, and holds request 2."""
    _, connection = pair()
    assert names(receive(connection, raw(echo(1)), raw(echo(2)))) == ["RequestReceived"]
    return connection


def test_held_request_does_not_block_an_abort() -> None:
    connection = held()
    connection.abort()
    assert drain(connection) == []
    assert connection.state is State.Sta13
    assert sent(connection) == encode_pdu(AAbort(0))
    connection.receive_eof(now=0)
    assert drain(connection) == [ConnectionClosed()]


def test_held_request_does_not_block_the_loss_of_the_connection() -> None:
    connection = held()
    receive(connection, raw(store(3), b"data", STORE_CONTEXT), raw(echo(4)))
    connection.receive_eof(now=0)
    assert names(drain(connection)) == ["Aborted"]
    assert not connection.performed
    assert connection.wants_close


@pytest.mark.parametrize("window", [(1, 1), (3, 3), UNLIMITED])
def test_what_had_not_begun_when_the_connection_was_lost_is_not_begun(window: tuple[int, int]) -> None:
    """However many requests a peer has sent before it goes, no more are begun than the window allows."""
    _, connection = pair(window=window)
    wire = b"".join(raw(store(number), b"data", STORE_CONTEXT) for number in range(1, 4501))
    receive(connection, *(wire[at : at + 65536] for at in range(0, len(wire), 65536)))
    begun = list(connection.performed)
    assert begun == list(range(1, connection.performed_window + 1))
    connection.receive_eof(now=0)
    assert names(drain_all(connection)) == ["Aborted"]
    assert connection.wants_close


def test_what_was_received_whole_before_the_connection_was_lost_is_delivered_as_far_as_there_is_room() -> None:
    _, connection = pair(window=(2, 2))
    wire = b"".join(raw(store(number), b"data", STORE_CONTEXT) for number in (1, 2, 3)) + encode_pdu(AAbort(0))
    connection.receive_data(wire, now=0)
    connection.receive_eof(now=0)
    events = joined(drain(connection))
    assert [getattr(event, "message_id", None) for event in events[:4]] == [1, 1, 2, 2]
    assert events[4:] == [Aborted(origin=AbortOrigin.PEER_USER), ConnectionClosed()]


def test_held_request_does_not_block_a_release() -> None:
    connection = held()
    connection.release()
    assert names(drain(connection)) == ["RequestReceived"]  # which can be delivered, and no more (AR-6)
    assert list(connection.performed) == [1]
    assert names(receive(connection, encode_pdu(AReleaseRQ()))) == ["ReleaseRequested"]


def test_held_request_does_not_outlive_the_association() -> None:
    connection = held()
    connection.release()
    sent(connection)
    receive(connection, b"\7\0\0\0\0\4\0\0\0\0")
    assert connection.wants_close
    assert drain(connection) == [ConnectionClosed()]


def test_requests_that_arrive_during_a_release_are_delivered() -> None:
    one, _ = pair()
    one.release()
    wire = raw(store(1), b"data", STORE_CONTEXT) + raw(echo(1)) + raw(echo(2))
    assert one.state is State.Sta7
    assert names(joined(receive(one, wire))) == [
        "RequestReceived",
        "DataChunk",
        "RequestReceived",
        "RequestReceived",
    ]
    assert not one.performed  # nothing can be answered any more, so nothing is kept
    with pytest.raises(LocalProtocolError):
        one.send_response(respond(echo(), 1))


def test_release_is_refused_while_requests_are_outstanding() -> None:
    one, other = pair()
    invoke(one)
    with pytest.raises(LocalProtocolError, match=r"\[1\] have not been answered"):
        one.release()
    exchange(one, other)
    other.send_response(respond(echo(), 1))
    exchange(one, other)
    one.release()
    assert one.state is State.Sta7


@pytest.mark.parametrize(
    "beginning", [STORE_PIECES[0], STORE_PIECES[0] + p_data((STORE_CONTEXT, 0, b"da")), p_data((1, COMMAND, b"\0\0"))]
)
@pytest.mark.parametrize("releasing", [False, True])
def test_release_request_in_the_middle_of_a_message(beginning: bytes, releasing: bool) -> None:
    _, connection = pair()
    if releasing:
        connection.release()
        sent(connection)
    receive(connection, beginning)
    events = receive(connection, encode_pdu(AReleaseRQ()))
    assert names(events) == ["Aborted"]
    assert aborts(connection, events, AbortReason.UNEXPECTED_PDU)


def test_abort_ends_every_operation_on_both_sides() -> None:
    one, other = pair(window=UNLIMITED)
    invoke(one)
    one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    invoke(other)
    exchange(one, other)
    one.open_data(2).write(b"ab")
    one.abort(AbortReason.NOT_SPECIFIED)
    for mapping in (one.invoked, one.performed):
        assert not mapping
    assert one.next_event() is None
    _, told = exchange(one, other)
    assert told == [Aborted(origin=AbortOrigin.PEER_PROVIDER, reason=0), ConnectionClosed()]
    for mapping in (other.invoked, other.performed):
        assert not mapping


def test_what_is_still_to_come() -> None:
    """A driver acknowledges at once what a peer has to have acknowledged before it goes on (RFC 896)."""
    one, other = pair()

    def expect_more() -> tuple[bool, bool]:
        return one.expects_more, other.expects_more

    assert expect_more() == (False, False)
    one.send_request(store(), context=STORE_CONTEXT, data=b"data")
    assert expect_more() == (True, False)  # the response
    sending = sent(one)
    cut = len(sending) - 3
    other.receive_data(sending[:10], now=0)
    assert drain(other) == []
    assert expect_more() == (True, True)  # the rest of the command
    other.receive_data(sending[10:cut], now=0)
    assert names(drain(other))[0] == "RequestReceived"
    assert expect_more() == (True, True)  # the rest of its data set
    other.receive_data(sending[cut:], now=0)
    assert names(drain(other)) == ["DataChunk"]
    assert expect_more() == (True, False)
    other.send_response(respond(store(), 1))
    one.receive_data(sent(other), now=0)
    assert names(drain(one)) == ["ResponseReceived"]
    assert expect_more() == (False, False)


def test_a_quiet_connection_has_nothing_to_tell() -> None:
    hasty, _ = pair(window=UNLIMITED)
    for _ in range(2):
        invoke(hasty)
    _, other = pair()

    def is_quiet() -> bool:
        return other.is_quiet

    assert is_quiet()
    for byte in sent(hasty):
        other.receive_data(bytes([byte]), now=0)
        assert not is_quiet()
    assert names(drain(other)) == ["RequestReceived"]
    assert not is_quiet()  # the second is held
    other.send_response(respond(echo(), 1))
    assert names(drain(other)) == ["RequestReceived"]
    assert is_quiet()
    other.receive_eof(now=0)
    assert not is_quiet()
    assert names(drain(other)) == ["Aborted"]


def test_a_request_that_is_held_is_forgotten_when_what_the_peer_sent_is_declared_invalid() -> None:
    hasty, _ = pair(window=UNLIMITED)
    for _ in range(2):
        invoke(hasty)
    _, other = pair()
    other.receive_data(sent(hasty), now=0)
    assert names(drain(other)) == ["RequestReceived"]
    other.fail(PDUError("of no use"))
    assert names(drain(other)) == ["Aborted"]


def test_what_is_sent_on_a_context_that_was_not_accepted_is_refused() -> None:
    one, _ = pair()
    with pytest.raises(LocalProtocolError, match="context 99"):
        one.send_request(echo(), context=99)
    assert sent(one) == b""
    assert not one.invoked


def test_each_command_and_each_data_set_that_is_sent_is_seen() -> None:
    one, other = pair(window=UNLIMITED)
    seen: list[Transition] = []
    one.observer = seen.append
    one.send_request(store(), context=STORE_CONTEXT, data=b"data")
    one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    outgoing = one.open_data(2)
    outgoing.write(b"ab")
    outgoing.finish()
    assert [(step.event, step.action, step.after) for step in seen] == [(Event.Evt9, Action.DT_1, State.Sta6)] * 5
    exchange(one, other)
    other.observer = seen.append
    del seen[:]
    other.send_response(respond(store(), 1))
    assert [step.event for step in seen] == [Event.Evt9]


@pytest.mark.parametrize(
    "tiny",
    [
        p_data((STORE_CONTEXT, 0, b"")) * 20_000,
        p_data((STORE_CONTEXT, 0, b"x")) * 20_000,
        p_data(*[(STORE_CONTEXT, 0, b"x")] * 2_000) * 10,
    ],
)
def test_what_tells_nothing_is_read_a_share_at_a_time(tiny: bytes) -> None:
    """Pieces of a data set that is collected, with and without content."""
    _, connection = pair(streamed=set())
    receive(connection, STORE_PIECES[0])
    connection.receive_data(tiny + p_data((STORE_CONTEXT, LAST, b"ab")), now=0)
    turns = 0
    assert connection.has_unread
    while (event := connection.next_event()) is None:
        assert connection.has_unread
        assert not connection.is_quiet
        turns += 1
    assert 20_000 / SHARE <= turns <= 60_000 / SHARE
    assert isinstance(event, DataChunk)
    assert connection.next_event() is None
    assert not connection.has_unread


def test_a_request_at_the_end_of_a_share_is_told_or_held() -> None:
    for count in range(SHARE - 5, SHARE + 5):
        _, connection = pair()
        empty = p_data(*[(ECHO_CONTEXT, COMMAND, b"")] * count)
        connection.receive_data(empty + raw(echo(1)) + empty + raw(echo(2)), now=0)
        assert names(drain_all(connection)) == ["RequestReceived"]
        assert list(connection.performed) == [1]
        assert not connection.has_unread  # somebody has to answer first
        connection.send_response(respond(echo(), 1))
        assert names(drain_all(connection)) == ["RequestReceived"]


def test_what_is_performed_when_the_peer_wants_to_release_is_still_answered() -> None:
    connection = performing(echo())
    assert names(receive(connection, encode_pdu(AReleaseRQ()))) == ["ReleaseRequested"]
    connection.send_response(respond(echo(), 7))
    (pdu,) = pdus(sent(connection))
    assert isinstance(pdu, PDataTF)
    assert connection.state is State.Sta8
