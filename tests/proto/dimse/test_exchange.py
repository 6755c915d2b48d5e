"""What arrives on an established association: responses, requests, C-CANCELs, and what is taken, held or refused."""

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, DataRun, ResponseReceived
from dicom_proto.dimse.outgoing import STREAMED
from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import drain, sent
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    ConnectionClosed,
    ReleaseRequested,
)
from dicom_proto.upper_layer.pdu import AAbort, AReleaseRQ, PDataTF, encode_pdu
from dicom_proto.upper_layer.state_table import State
from tests.proto.dimse.pairs import (
    COMMAND,
    FIND_CONTEXT,
    INVALID,
    LAST,
    PENDING,
    STORE_CONTEXT,
    STORE_PIECES,
    UNEXPECTED,
    UNLIMITED,
    aborts,
    drain_all,
    echo,
    find,
    fragments,
    invoke,
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
)
from tests.proto.dimse.test_messages import MINIMAL


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
    wire = b"".join(raw(store(number), b"data", STORE_CONTEXT) for number in range(1, 1501))
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


def test_a_request_that_is_held_is_forgotten_when_what_the_peer_sent_is_declared_invalid() -> None:
    hasty, _ = pair(window=UNLIMITED)
    for _ in range(2):
        invoke(hasty)
    _, other = pair()
    other.receive_data(sent(hasty), now=0)
    assert names(drain(other)) == ["RequestReceived"]
    other.fail(PDUError("of no use"))
    assert names(drain(other)) == ["Aborted"]


def test_a_release_request_leaves_what_is_performed_as_it_is() -> None:
    """It is answered first (PS3.8 9.2, Sta8)."""
    connection = performing(echo())
    assert receive(connection, encode_pdu(AReleaseRQ())) == [ReleaseRequested()]
    assert list(connection.performed) == [7]


def test_a_response_in_pieces_is_that_in_one() -> None:
    connection = invoking(store(), b"data")
    command = next(fragments(respond(store(), 7)))[2]
    pieces = p_data((FIND_CONTEXT, COMMAND, command[:9])), p_data((FIND_CONTEXT, COMMAND | LAST, command[9:]))
    assert receive(connection, *pieces) == [ResponseReceived(7, FIND_CONTEXT, respond(store(), 7), False)]
    assert not connection.invoked


# --- data sets whose pieces are joined --------------------------------------------------------------------------------


def in_midst() -> Connection:
    """An acceptor that has been told of a C-STORE, whose data set is to come."""
    _, other = pair(window=UNLIMITED)
    command, _ = fragments(store(7), b"data", STORE_CONTEXT)
    assert names(receive(other, p_data(command))) == ["RequestReceived"]
    return other


def pieces(*parts: bytes, last: bool = True) -> bytes:
    bits = [0] * (len(parts) - 1) + [LAST if last else 0]
    return b"".join(p_data((STORE_CONTEXT, bit, part)) for bit, part in zip(bits, parts, strict=True))


def test_pieces_that_arrive_together_are_told_of_together() -> None:
    other = in_midst()
    other.join_data(7)
    assert receive(other, pieces(b"ab", b"cd", last=False)) == [
        DataRun(7, [memoryview(b"ab"), memoryview(b"cd")], 4, last=False)
    ]
    assert receive(other, pieces(b"ef")[:13], pieces(b"ef")[13:]) == [
        DataChunk(message_id=7, invoked=False, data=b"e", last=False),
        DataChunk(message_id=7, invoked=False, data=b"f", last=True),
    ]
    other.send_response(respond(store(), 7))
    assert names(receive(other, raw(store(8), b"data", STORE_CONTEXT))) == ["RequestReceived", "DataChunk"]


def test_the_last_piece_ends_the_message() -> None:
    other = in_midst()
    other.join_data(7)
    assert names(receive(other, pieces(b"ab", b"cd") + raw(echo(9)))) == ["DataRun", "RequestReceived"]
    other.send_response(respond(store(), 7))


def test_pieces_of_a_sub_operation_count_for_the_retrieval() -> None:
    one, _ = pair(window=UNLIMITED)
    get = m.CGetRQ(affected_sop_class_uid=find().affected_sop_class_uid)
    one.send_request(get, context=FIND_CONTEXT, data=b"keys")
    sent(one)
    command, _ = fragments(store(7), b"data", STORE_CONTEXT)
    receive(one, p_data(command))
    one.join_data(7)
    assert names(receive(one, pieces(b"ab", b"cd"))) == ["DataRun"]


def test_foresight_is_given_in_the_midst_of_a_data_set() -> None:
    other = in_midst()
    foresight = other.foresee()
    assert foresight is not None
    data = pieces(b"ab", b"cd")
    assert foresight.is_in_midst(data, 20)
    assert not foresight.is_in_midst(data, 28)
    receive(other, data)
    assert other.foresee() is None


def test_how_operations_have_ended() -> None:
    """Answered ones by their status, and each once: also where the association ends behind the command of an answer."""
    one, other = pair(window=UNLIMITED)
    asked = [
        one.send_request(request, context=context, data=data)
        for request, context, data in (
            (echo(), 1, None),
            (find(), FIND_CONTEXT, b"ab"),
            (find(), FIND_CONTEXT, b"ab"),
            (store(), STORE_CONTEXT, b"ab"),
        )
    ]
    receive(other, sent(one))
    other.send_response(respond(echo(), asked[0]))
    other.send_response(respond(find(), asked[1], PENDING), data=b"ab")
    other.send_response(respond(find(), asked[1], 0xA700))
    receive(one, sent(other))
    announcing = raw(respond(find(), asked[2]), context=FIND_CONTEXT)
    receive(one, announcing.replace(b"\0\0\0\x08\2\0\0\0\1\1", b"\0\0\0\x08\2\0\0\0\1\0"))
    assert one.invoked[asked[2]].is_answered
    one.abort()
    other.receive_eof(now=0)
    drain(other)
    assert one.answers_received == {
        (m.CEchoRQ, 0): 1,
        (m.CFindRQ, 0xA700): 1,
        (m.CFindRQ, 0): 1,
        (m.CStoreRQ, None): 1,
    }
    assert other.answers_sent == {
        (m.CEchoRQ, 0): 1,
        (m.CFindRQ, 0xA700): 1,
        (m.CFindRQ, None): 1,
        (m.CStoreRQ, None): 1,
    }
    assert one.answers_sent == other.answers_received == {}


def test_requests_that_are_refused_unseen_are_counted() -> None:
    _one, other = pair(window=UNLIMITED)
    receive(other, raw(find(7), b"ab", FIND_CONTEXT), raw(find(7), b"ab", FIND_CONTEXT))
    assert other.answers_sent == {(m.CFindRQ, 0x0210): 1}
