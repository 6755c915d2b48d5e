from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import decode_message
from dicom_proto.dimse.outgoing import STREAMED, Outbox, Outgoing
from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import drain, exchange, sent
from dicom_proto.upper_layer.outbound import Outbound
from dicom_proto.upper_layer.pdu import PDV, PDataTF
from tests.proto.dimse.pairs import (
    COMMAND,
    ECHO_CONTEXT,
    LAST,
    STORE_CONTEXT,
    echo,
    joined,
    names,
    p_data,
    pair,
    pdus,
    raw,
    receive,
    respond,
    store,
)
from tests.proto.profiles import times

SMALL = Limits(send_queue=8, send_pdu_length=8)  # two bytes in a PDU, eight until the peer has to read


def pdvs(data: bytes) -> list[PDV]:
    """The PDVs that were sent: one in each PDU, none of them empty or odd."""
    found = []
    for pdu in pdus(data):
        assert isinstance(pdu, PDataTF)
        (pdv,) = pdu.pdvs
        assert pdv.data
        assert len(pdv.data) % 2 == 0
        found.append(pdv)
    return found


def outbox(maximum_length: int = 8) -> tuple[Outbox, Outbound]:
    outbound = Outbound(8)
    outbound.set_maximum_length(maximum_length)
    return Outbox(outbound), outbound


def handed_out(outbound: Outbound, limit: int = 1 << 20) -> bytes:
    return b"".join(outbound.hand_out(limit)[0])


def streaming(**settings: Any) -> tuple[Connection, Connection, Outgoing]:
    """A requestor that is about to write the data set of request 1, and the acceptor."""
    settings.setdefault("window", (0, 0))
    one, other = pair(**settings)
    one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    return one, other, one.open_data(1)


# --- whole messages ---------------------------------------------------------------------------------------------------


def test_message_is_queued_at_once_with_command_and_data_set_in_separate_pdus() -> None:
    box, outbound = outbox()
    box.post(1, b"abcd", b"efghij", 7)
    assert box.bytes_waiting == 0
    assert handed_out(outbound) == b"".join(
        p_data((1, bits, data))
        for bits, data in [(COMMAND, b"ab"), (COMMAND | LAST, b"cd"), (0, b"ef"), (0, b"gh"), (LAST, b"ij")]
    )


def test_data_set_of_any_buffer_is_sent_without_a_copy() -> None:
    box, outbound = outbox(1 << 14)
    data = bytearray(b"abcd")
    box.post(1, b"xy", memoryview(data).cast("H"), None)
    buffers, _ = outbound.hand_out(1 << 20)
    data[:] = b"ABCD"
    assert bytes(buffers[-1]) == b"ABCD"


@pytest.mark.parametrize("data", [b"", b"odd"])
def test_whole_data_set_must_be_even_and_not_empty(data: bytes) -> None:
    box, outbound = outbox()
    with pytest.raises(LocalProtocolError, match=f"of {len(data)} bytes"):
        box.post(1, b"xy", data, 7)
    assert handed_out(outbound) == b""
    assert box.bytes_waiting == 0


def test_departure_is_when_the_last_byte_is_handed_out() -> None:
    box, outbound = outbox()
    box.post(1, b"ab", b"cdef", 7)
    box.post(1, b"gh", None, None)  # a response, whose departure interests nobody
    box.post(1, b"ij", None, 9)
    departures = []
    while (left := outbound.hand_out(1))[0]:
        departures.append(left[1])
    assert departures == [[], [], [7], [], [9]]


def test_all_departures_of_one_turn() -> None:
    box, outbound = outbox()
    box.post(1, b"ab", None, 7)
    box.post(1, b"ab", b"cd", 9)
    box.post(1, b"abcd", b"abcd", 11)
    assert outbound.hand_out(1 << 20)[1] == [7, 9, 11]


def test_departure_of_what_is_written_in_pieces() -> None:
    box, outbound = outbox()
    first, second = Outgoing(box, 1, 7, "first"), Outgoing(box, 1, 8, "second")
    box.post(1, b"ab", first, "first")
    box.post(1, b"ab", second, "second")
    first.write(b"abcd")
    assert outbound.hand_out(1 << 20)[1] == []
    first.finish()
    assert outbound.hand_out(1 << 20)[1] == ["first"]
    assert (first.token, second.token) == (None, "second")
    box.post(1, b"ab", first, None)
    box.clear()
    assert second.token is None


def test_what_waits_is_forgotten_with_the_rest() -> None:
    box, _ = outbox()
    first, second = Outgoing(box, 1, 7, "first"), Outgoing(box, 1, 8, "second")
    box.post(1, b"ab", first, "first")
    box.post(1, b"ab", second, "second")
    box.post(1, b"ab", b"data", "third")
    box.clear()
    assert (first.token, second.token, box.bytes_waiting) == (None, None, 0)


# --- data sets in pieces ----------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=9), max_size=8), st.lists(st.booleans(), min_size=8, max_size=8))
@times(1.5)
def test_pieces_of_any_length_are_cut_across_their_borders(pieces: list[bytes], sends: list[bool]) -> None:
    one, other, outgoing = streaming(limits=Limits(send_pdu_length=12))
    data = b"".join(pieces)
    wire = b""
    for piece, send in zip(pieces, sends, strict=False):
        outgoing.write(piece)
        wire += sent(one) if send else b""
    if len(data) % 2 or not data:
        with pytest.raises(LocalProtocolError, match=f"of {len(data)} bytes"):
            outgoing.finish()
        outgoing.write(b"!" if len(data) % 2 else b"..")  # it goes on as if nothing had happened
        data += b"!" if len(data) % 2 else b".."
    outgoing.finish()
    wire += sent(one)
    fragments = [pdv for pdv in pdvs(wire) if not pdv.command]
    assert [len(pdv.data) for pdv in fragments[:-1]] == [6] * (len(fragments) - 1)
    assert [pdv.last for pdv in fragments] == [False] * (len(fragments) - 1) + [True]
    assert joined(receive(other, wire))[-1].data == data


def test_write_room_shrinks_as_data_is_written_and_grows_as_the_peer_reads() -> None:
    one, _, outgoing = streaming(limits=SMALL)
    assert outgoing.write_room == 0  # the command waits
    sent(one)
    assert outgoing.write_room == one.write_room == 8
    outgoing.write(b"abc")
    assert outgoing.write_room == 5
    outgoing.write(bytes(7))  # what is over is taken nevertheless
    assert outgoing.write_room == 0
    with pytest.raises(LocalProtocolError, match="write_room is 0"):
        outgoing.write(b"x")
    sent(one)
    assert outgoing.write_room == 6  # an end is kept back, so that the last fragment is no empty one


def test_data_set_can_be_finished_without_room() -> None:
    one, other, outgoing = streaming(limits=SMALL)
    assert names(exchange(one, other)[1]) == ["RequestReceived"]
    outgoing.write(bytes(10))
    assert outgoing.write_room == 0
    outgoing.finish()
    assert joined(exchange(one, other)[1])[0].data == bytes(10)


@pytest.mark.parametrize("send_queue", [1, 8, 20])
def test_no_limit_of_the_queue_makes_a_data_set_wait_for_ever(send_queue: int) -> None:
    one, other, outgoing = streaming(limits=Limits(send_queue=send_queue, send_pdu_length=20))
    for _ in range(50):
        exchange(one, other)
        assert outgoing.write_room
        outgoing.write(b"abc")


def test_other_messages_wait_behind_a_data_set_and_leave_in_order() -> None:
    one, _, outgoing = streaming(limits=Limits(send_pdu_length=1000))
    sent(one)
    room = one.write_room
    one.send_request(echo(), context=ECHO_CONTEXT)
    one.send_request(store(), context=STORE_CONTEXT, data=b"data")
    waiting = sum(len(pdv.data) for pdv in pdvs(raw(echo(2)) + raw(store(3), b"data")))
    assert one.write_room == room - waiting
    assert outgoing.write_room == room  # which those who wait behind it do not take away
    assert sent(one) == b""
    outgoing.write(b"ab")
    outgoing.finish()
    assert one.write_room == room - waiting - 2
    got = pdvs(sent(one))
    assert one.write_room == room
    assert [pdv.context_id for pdv in got] == [3, 1, 3, 3]
    assert [pdv.data for pdv in got if not pdv.command] == [b"ab", b"data"]
    assert [decode_message(pdv.data)[0] for pdv in got if pdv.command] == [echo(2), store(3)]


def test_data_sets_in_pieces_are_written_one_after_the_other() -> None:
    one, other, first = streaming()
    one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    second = one.open_data(2)
    assert (first.write_room > 0, second.write_room) == (True, 0)
    with pytest.raises(LocalProtocolError, match="write_room is 0"):
        second.write(b"ab")
    with pytest.raises(LocalProtocolError, match="has to wait"):
        second.finish()
    first.write(b"ab")
    first.finish()
    assert (first.write_room, second.write_room > 0) == (0, True)
    with pytest.raises(LocalProtocolError, match="finished already"):
        first.finish()
    with pytest.raises(LocalProtocolError, match="finished"):
        first.write(b"ab")
    second.write(b"cd")
    second.finish()
    events = joined(exchange(one, other)[1])
    assert [(event.message_id, getattr(event, "data", None)) for event in events] == [
        (1, None),
        (1, b"ab"),
        (2, None),
        (2, b"cd"),
    ]


def test_responses_wait_behind_a_data_set_too() -> None:
    one, other, outgoing = streaming()
    other.send_request(echo(), context=ECHO_CONTEXT)
    exchange(one, other)
    one.send_response(respond(echo(), 1))
    assert names(exchange(one, other)[1]) == []
    outgoing.write(b"ab")
    outgoing.finish()
    assert names(joined(exchange(one, other)[1])) == ["DataChunk", "ResponseReceived"]


def test_release_waits_for_the_end_of_a_data_set() -> None:
    one, other, outgoing = streaming()
    exchange(one, other)
    other.send_response(respond(store(), 1, 0xA700))
    exchange(one, other)
    assert not one.invoked
    with pytest.raises(LocalProtocolError, match="being written"):
        one.release()
    outgoing.write(b"ab")
    outgoing.finish()
    one.release()
    assert names(exchange(one, other)[1]) == ["ReleaseRequested"]


def test_release_is_not_confirmed_in_the_middle_of_a_data_set() -> None:
    one, other = pair()
    other.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    outgoing = other.open_data(1)
    one.release()
    assert names(exchange(one, other)[1]) == ["ReleaseRequested"]
    with pytest.raises(LocalProtocolError, match="being written"):
        other.confirm_release()
    outgoing.write(b"ab")
    outgoing.finish()
    other.confirm_release()
    assert names(joined(exchange(one, other)[0])) == ["DataChunk", "Released"]


def test_early_failure_lets_the_data_set_end_early() -> None:
    one, other, outgoing = streaming()
    outgoing.write(b"abc")
    exchange(one, other)
    other.send_response(respond(store(), 1, 0xA700))
    events, _ = exchange(one, other)
    assert names(events) == ["ResponseReceived"]
    with pytest.raises(LocalProtocolError, match="no outstanding request 1"):
        one.open_data(1)
    outgoing.write(b"d")  # even, as every data set
    outgoing.finish()
    one.send_request(echo(), context=ECHO_CONTEXT)
    assert [event.message_id for event in exchange(one, other)[1]] == [2]  # nothing of the data set


@pytest.mark.parametrize("ends", [Connection.abort, lambda connection: receive(connection, b"\7\0\0\0\0\4\0\0\0\0")])
def test_end_of_the_association_ends_the_data_set(ends: Any) -> None:
    one, _, outgoing = streaming()
    one.send_request(echo(), context=ECHO_CONTEXT)
    ends(one)
    assert outgoing.write_room == one.write_room == 0
    with pytest.raises(LocalProtocolError):
        outgoing.write(b"ab")
    with pytest.raises(LocalProtocolError):
        outgoing.finish()


def test_connection_that_was_lost_before_the_user_is_told() -> None:
    one, _, outgoing = streaming()
    one.receive_eof(now=0)
    outgoing.write(b"ab")
    one.send_request(echo(), context=ECHO_CONTEXT)
    assert names(drain(one)) == ["Aborted"]
    assert outgoing.write_room == 0
    assert sent(one) == b""
