"""Messages between connections: how they may be packed and cut, what the peer may not do, and what is sent."""

from collections.abc import Callable

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.errors import AbortReason
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import Cut, drain, every, exchange, sent, whole
from dicom_proto.upper_layer.pdu import PDataTF
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
    Fragment,
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
    raw,
    receive,
    respond,
    store,
)
from tests.proto.dimse.test_messages import MINIMAL

# --- what the peer may not do -----------------------------------------------------------------------------------------

ECHO, DATA = next(fragments(echo(7)))[2], (STORE_CONTEXT, LAST, b"data")
STORE = next(fragments(store(7), b"data"))[2]
LONG = bytes(256)
VIOLATIONS: dict[str, tuple[list[Fragment], AbortReason, list[str]]] = {
    "data when idle": ([DATA], UNEXPECTED, []),
    "data in the middle of a command": ([(3, COMMAND, STORE[:20]), DATA], UNEXPECTED, []),
    "data after a command that announced none": (
        [(1, COMMAND | LAST, ECHO), (1, LAST, b"data")],
        UNEXPECTED,
        ["RequestReceived"],
    ),
    "data after the end of a data set": (
        [(3, COMMAND | LAST, STORE), DATA, DATA],
        UNEXPECTED,
        ["RequestReceived", "DataChunk"],
    ),
    "command on two contexts": ([(1, COMMAND, ECHO[:20]), (3, COMMAND | LAST, ECHO[20:])], UNEXPECTED, []),
    "data on another context than its command": (
        [(3, COMMAND | LAST, STORE), (1, LAST, b"data")],
        UNEXPECTED,
        ["RequestReceived"],
    ),
    "command while data is expected": (
        [(3, COMMAND | LAST, STORE), (3, COMMAND | LAST, ECHO)],
        UNEXPECTED,
        ["RequestReceived"],
    ),
    "command in the middle of a data set": (
        [(3, COMMAND | LAST, STORE), (3, 0, b"da"), (3, COMMAND | LAST, ECHO)],
        UNEXPECTED,
        ["RequestReceived", "DataChunk"],
    ),
    "garbage": ([(1, COMMAND | LAST, b"garbage!" * 8)], INVALID, []),
    "empty command set": ([(1, COMMAND | LAST, b"")], INVALID, []),
    "command set that is cut short": ([(1, COMMAND | LAST, ECHO[:-2])], INVALID, []),
    "command set without an end": ([(1, COMMAND, LONG), (1, COMMAND, bytes(4))], INVALID, []),
    "command set that is too long": ([(1, COMMAND, LONG), (1, COMMAND | LAST, bytes(4))], INVALID, []),
    "collected data set that is too long": (
        [(3, COMMAND | LAST, next(fragments(find(7), b"data"))[2]), (3, 0, bytes(200)), (3, LAST, bytes(200))],
        INVALID,
        ["RequestReceived"],
    ),
    "context that was not accepted": ([(9, COMMAND | LAST, ECHO)], INVALID, []),
}


@pytest.mark.parametrize(("pdvs", "reason", "before"), VIOLATIONS.values(), ids=VIOLATIONS)
@pytest.mark.parametrize("cut", [whole, every(7)], ids=["whole", "every 7"])
@pytest.mark.parametrize("packed", [False, True], ids=["apart", "packed"])
def test_violation(pdvs: list[Fragment], reason: AbortReason, before: list[str], cut: Cut, packed: bool) -> None:
    _, connection = pair(maximum_length=0, limits=Limits(data_set=300, command_set=256))
    wire = p_data(*pdvs) if packed else b"".join(map(p_data, pdvs))
    events = joined(receive(connection, *cut(wire)))
    assert names(events) == [*before, "Aborted"]
    assert aborts(connection, events, reason)
    assert receive(connection, raw(echo(9))) == []  # deaf from now on


def test_command_set_without_an_end_is_bounded_by_default() -> None:
    _, connection = pair()
    wire = p_data((ECHO_CONTEXT, COMMAND, bytes(8192)))
    assert receive(connection, *[wire] * 8) == []
    assert aborts(connection, receive(connection, wire), INVALID)


# --- what the peer may do ---------------------------------------------------------------------------------------------


def test_streamed_data_set_is_handed_out_as_views_of_the_received_blocks() -> None:
    _, connection = pair()
    wire = bytearray(raw(store(7), b"data", STORE_CONTEXT))
    connection.receive_data(memoryview(wire)[:-2], now=0)
    connection.receive_data(memoryview(wire)[-2:], now=0)
    _, first, second = drain(connection)
    assert (bytes(first.data), first.last) == (b"da", False)
    assert first.data.readonly
    wire[-4:] = b"DATA"
    assert bytes(first.data) == b"DA"
    assert second.last


def test_data_sets_are_collected_or_streamed_as_the_user_wants() -> None:
    _, connection = pair(window=UNLIMITED, streamed=frozenset({m.CFindRQ}))
    wire = raw(store(1), b"data", STORE_CONTEXT) + raw(find(2), b"keys", FIND_CONTEXT)
    chunks = [event for event in receive(connection, *every(1)(wire)) if isinstance(event, DataChunk)]
    assert [(chunk.message_id, bytes(chunk.data), chunk.last) for chunk in chunks] == [
        (1, b"data", True),
        (2, b"k", False),
        (2, b"e", False),
        (2, b"y", False),
        (2, b"s", True),
    ]


def test_response_data_sets_are_streamed_if_the_user_wants() -> None:
    connection = invoking(find(), b"keys", streamed=frozenset({m.CFindRSP}))
    wire = raw(respond(find(), 7, PENDING), b"data", FIND_CONTEXT)
    chunks = [event for event in receive(connection, wire[:-2], wire[-2:]) if isinstance(event, DataChunk)]
    assert chunks == [
        DataChunk(message_id=7, invoked=True, data=b"da", last=False),
        DataChunk(message_id=7, invoked=True, data=b"ta", last=True),
    ]


PACKINGS: dict[str, Callable[[list[Fragment]], bytes]] = {
    "one PDU for all": lambda pdvs: p_data(*pdvs),
    "two bytes in a PDV": lambda pdvs: p_data(
        *(
            (context, bits if at + 2 >= len(data) else bits & ~LAST, data[at : at + 2])
            for context, bits, data in pdvs
            for at in range(0, len(data), 2)
        )
    ),
    "an empty end": lambda pdvs: b"".join(
        p_data((context, bits & ~LAST, data), (context, bits, b"")) for context, bits, data in pdvs
    ),
    "empty fragments": lambda pdvs: b"".join(
        p_data((context, bits & ~LAST, b""), (context, bits, data)) for context, bits, data in pdvs
    ),
    "reserved bits": lambda pdvs: b"".join(p_data((context, bits | 0xFC, data)) for context, bits, data in pdvs),
}


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)
@pytest.mark.parametrize("cut", [whole, every(1), every(13)], ids=["whole", "every 1", "every 13"])
def test_any_packing_and_any_cut_give_the_same_events(pack: Callable[[list[Fragment]], bytes], cut: Cut) -> None:
    messages = [(store(1), b"one two three!", 3), (echo(2), None, 1), (find(3), b"keys", 5), (store(4), b"four", 3)]
    _, expecting = pair(window=UNLIMITED)
    expected = joined(receive(expecting, *(raw(*message) for message in messages)))
    _, connection = pair(window=UNLIMITED)
    wire = b"".join(pack(list(fragments(*message))) for message in messages)
    assert joined(receive(connection, *cut(wire))) == expected
    assert len(expected) == 7


@pytest.mark.parametrize(("message", "has_data"), MINIMAL, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("turned", [False, True], ids=["from requestor", "from acceptor"])
def test_every_message_passes(message: m.Message, has_data: bool, turned: bool) -> None:
    sides = pair(window=UNLIMITED)
    one, other = sides[::-1] if turned else sides
    data = b"data" if has_data else None
    if isinstance(message, m.Request):
        one.send_request(message, context=ECHO_CONTEXT, data=data)
        told, *chunks = exchange(one, other)[1]
        assert told == RequestReceived(message_id=7, context_id=1, request=message, has_data=has_data)
    elif isinstance(message, m.Response):
        requests = {request.response: request for request, _ in MINIMAL if isinstance(request, m.Request)}
        request = requests[type(message)]
        other.send_request(
            request, context=ECHO_CONTEXT, data=b"data" if request.data_set is m.DataSet.ALWAYS else None
        )
        exchange(one, other)
        one.send_response(message, data=data)
        told, *chunks = exchange(one, other)[1]
        assert told == ResponseReceived(message_id=7, context_id=1, response=message, has_data=has_data)
    else:
        one.send_request(find(7), context=ECHO_CONTEXT, data=b"keys")
        one.send_cancel(7)
        *_, told = exchange(one, other)[1]
        assert told == CancelReceived(message_id=7)
        chunks = []
    assert [bytes(chunk.data) for chunk in chunks] == [b"data"] * has_data


def test_operations_in_both_directions_with_the_same_message_ids() -> None:
    one, other = sides = pair(window=(2, 2))
    for side in sides:
        side.send_request(find(), context=FIND_CONTEXT, data=b"keys")
        side.send_request(store(), context=STORE_CONTEXT, data=b"data")
    for events in exchange(one, other):
        assert names(joined(events)) == ["RequestReceived", "DataChunk"] * 2
    for side in sides:
        side.send_cancel(1)
        side.send_response(respond(store(), 2))
        side.send_response(respond(find(), 1, PENDING), data=b"hits")
    for side, events in zip(sides, exchange(one, other), strict=True):
        assert names(events) == ["CancelReceived", "ResponseReceived", "ResponseReceived", "DataChunk"]
        assert events[-1] == DataChunk(message_id=1, invoked=True, data=b"hits", last=True)
        assert list(side.invoked) == list(side.performed) == [1]
        assert side.is_cancelled(1)


def test_sent_messages_have_one_pdv_in_a_pdu_and_never_command_and_data_in_one() -> None:
    one, _ = pair(maximum_length=32)
    one.send_request(store(), context=STORE_CONTEXT, data=bytes(100))
    found = [pdu.pdvs for pdu in pdus(sent(one)) if isinstance(pdu, PDataTF)]
    assert all(len(pdvs) == 1 for pdvs in found)
    assert all(len(pdvs[0].data) <= 26 for pdvs in found)
    assert [pdvs[0].command for pdvs in found] == sorted((pdvs[0].command for pdvs in found), reverse=True)
    assert [pdvs[0].last for pdvs in found].count(True) == 2
