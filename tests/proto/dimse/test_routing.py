"""The router: each gets what is its own, in whatever order they ask, and within a bound."""

from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.routing import Router
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    Released,
    ReleaseRequested,
)
from dicom_proto.upper_layer.pdu import AAssociateRJ
from tests.proto.dimse.pairs import ECHO_CONTEXT, FIND_CONTEXT, PENDING, STORE_CONTEXT, echo, find, pair, respond, store
from tests.proto.wire import answer, offer, sent


def feed(source: Connection, target: Connection) -> None:
    """Carry bytes one way, and leave the events to the router."""
    target.receive_data(sent(source), now=0)


def routers(**settings: Any) -> tuple[Connection, Connection, Router]:
    one, other = pair(window=(9, 9))
    return one, other, Router(other, **settings)


def arrive(one: Connection, other: Connection, *requests: m.Request) -> list[int]:
    ids = []
    for request in requests:
        context = {m.CEchoRQ: ECHO_CONTEXT, m.CStoreRQ: STORE_CONTEXT}.get(type(request), FIND_CONTEXT)
        data = None if isinstance(request, m.CEchoRQ) else b"ab"
        ids.append(one.send_request(request, context=context, data=data))
    feed(one, other)
    return ids


def test_each_asks_for_its_own() -> None:
    one, other = pair(window=(9, 9))
    router = Router(one)
    first, second = (one.send_request(find(), context=FIND_CONTEXT, data=b"ab") for _ in range(2))
    for message_id in (first, second):
        router.open((message_id, True))
    feed(one, other)
    for message_id in (first, second):
        assert [type(other.next_event()) for _ in range(2)] == [RequestReceived, DataChunk]
        other.send_response(respond(find(), message_id, PENDING), data=b"cd")
        other.send_response(respond(find(), message_id))
    feed(other, one)

    def collected(message_id: int) -> list[Any]:
        events = []
        while (event := router.next_event((message_id, True))) is not None:
            events.append(event)
        return events

    for message_id in (second, first):
        events = collected(message_id)
        assert [type(event) for event in events] == [ResponseReceived, DataChunk, ResponseReceived]
        assert {event.message_id for event in events} == {message_id}


def test_requests_are_summons_and_their_data_wait() -> None:
    one, other, router = routers()
    ids = arrive(one, other, store(), echo(), find())
    found = []
    while (summons := router.next_summons()) is not None:
        assert isinstance(summons, RequestReceived)
        found.append(summons.message_id)
    assert found == ids
    for message_id in (ids[2], ids[0]):
        chunk = router.next_event((message_id, False))
        assert isinstance(chunk, DataChunk)
        assert chunk.message_id == message_id
    assert router.next_event((ids[1], False)) is None


def test_both_sides_count_for_themselves() -> None:
    one, other, router = routers()
    arrive(one, other, store(1))
    other.send_request(echo(1), context=ECHO_CONTEXT)
    router.open((1, True))
    feed(other, one)
    one.next_event()
    one.send_response(respond(echo(), 1))
    feed(one, other)
    assert isinstance(router.next_event((1, True)), ResponseReceived)
    assert isinstance(router.next_event((1, False)), DataChunk)


def test_what_nobody_has_opened_is_dropped() -> None:
    one, other, router = routers()
    (message_id,) = arrive(one, other, store())
    router.next_summons()
    router.close((message_id, False))
    router.close((message_id, False))
    assert not router.is_open((message_id, False))
    with pytest.raises(LocalProtocolError, match="nobody waits"):
        router.next_event((message_id, False))
    router.pump()
    router.open((message_id, False))
    assert router.next_event((message_id, False)) is None


def test_closing_makes_room() -> None:
    one, other, router = routers(bound=3)
    (message_id,) = arrive(one, other, store())
    arrive(one, other, echo())
    router.pump()
    assert router.is_full
    router.close((message_id, False))
    assert not router.is_full


def test_a_message_id_that_is_used_again_makes_room() -> None:
    """What an operation has left unread when it was answered does not count any more when its ID stands for another."""
    one, other, router = routers(bound=2)
    for _ in range(3):
        arrive(one, other, store(7))
        router.pump()
        assert router.is_full
        summons = router.next_summons()
        assert isinstance(summons, RequestReceived)
        other.send_response(respond(summons.request, 7, 0xA700))
        feed(other, one)
        one.next_event()
    assert isinstance(router.next_event((7, False)), DataChunk)
    assert not router.is_full


def test_past_the_bound_nothing_is_pulled() -> None:
    one, other, router = routers(bound=2)
    first, second = arrive(one, other, echo(), echo())
    arrive(one, other, store())
    router.open((99, True))
    assert router.next_event((99, True)) is None
    assert (router.is_full, set(other.performed)) == (True, {first, second})
    assert router.next_summons() is not None
    assert (router.is_full, set(other.performed)) == (False, {first, second})
    assert router.next_event((99, True)) is None
    assert set(other.performed) == {first, second, 3}


def test_data_have_a_bound_of_their_own() -> None:
    one, other, router = routers(data_bound=4)
    for _ in range(3):
        arrive(one, other, find())
    router.pump()
    assert router.is_full
    assert set(other.performed) == {1, 2}
    router.next_summons()
    assert router.is_full
    router.next_event((1, False))
    assert not router.is_full


def test_a_cancel_is_for_nobody() -> None:
    one, other, router = routers()
    (message_id,) = arrive(one, other, find())
    one.send_cancel(message_id)
    feed(one, other)
    router.pump()
    assert other.is_cancelled(message_id)
    assert isinstance(router.next_summons(), RequestReceived)
    assert isinstance(router.next_event((message_id, False)), DataChunk)
    assert (router.next_event((message_id, False)), router.next_summons()) == (None, None)


def test_the_association_is_a_summons_too() -> None:
    ends = [Connection() for _ in range(2)]
    requestor, acceptor = (Router(end) for end in ends)
    ends[0].request(offer())
    for end in ends:
        end.connection_made(now=0)
    assert requestor.next_summons() is None
    feed(*ends)
    assert acceptor.next_summons() == AssociateRequested(offer=offer())
    ends[1].accept(answer(offer()))
    feed(ends[1], ends[0])
    assert isinstance(requestor.next_summons(), AssociateAccepted)
    ends[0].release()
    feed(*ends)
    assert acceptor.next_summons() == ReleaseRequested()
    ends[1].confirm_release()
    feed(ends[1], ends[0])
    assert requestor.next_summons() is None
    assert requestor.ending == Released()
    assert acceptor.ending is None


def test_the_end_comes_after_everything_before_it() -> None:
    one, other, router = routers()
    (message_id,) = arrive(one, other, store())
    one.abort()
    feed(one, other)
    first, second = router.next_summons(), router.next_event((message_id, False))
    assert (type(first), type(second), router.ending) == (RequestReceived, DataChunk, None)
    assert router.next_event((message_id, False)) is None
    assert router.ending == Aborted(origin=AbortOrigin.PEER_USER)
    assert router.next_summons() is None
    assert router.ending == Aborted(origin=AbortOrigin.PEER_USER)  # and not the ConnectionClosed behind it


def test_other_ends() -> None:
    ends = [Connection() for _ in range(2)]
    router = Router(ends[0])
    ends[0].request(offer())
    for end in ends:
        end.connection_made(now=0)
    feed(*ends)
    ends[1].next_event()
    ends[1].reject(AAssociateRJ(1, 1, 1))
    feed(ends[1], ends[0])
    assert router.next_summons() is None
    assert isinstance(router.ending, AssociateRejected)
    closed = Router(Connection())
    closed.connection.connection_made(now=0)
    closed.connection.receive_eof(now=0)
    closed.pump()
    assert closed.ending == ConnectionClosed()


def test_what_has_been_filed_can_be_taken_and_nothing_is_pulled_for_it() -> None:
    one, other, router = routers()
    (message_id,) = arrive(one, other, store())
    key = (message_id, False)
    assert router.take_summons() is None
    router.pump()
    chunk = router.take(key)
    assert isinstance(chunk, DataChunk)
    assert bytes(chunk.data) == b"ab"
    assert router.take(key) is None
    assert (router.has_summons,) == (True,)
    summons = router.take_summons()
    assert isinstance(summons, RequestReceived)
    assert summons.message_id == message_id
    assert (router.has_summons,) == (False,)
    assert router.take_summons() is None
    arrive(one, other, echo())
    assert router.take_summons() is None
    router.close(key)
    with pytest.raises(LocalProtocolError, match="nobody waits"):
        router.take(key)


def test_taking_makes_room() -> None:
    one, other, router = routers(bound=2)
    arrive(one, other, store())
    found = []
    for take in (router.take_summons, lambda: router.take((1, False))):
        router.pump()
        found.append(router.is_full)
        take()
        found.append(router.is_full)
        arrive(one, other, echo())
    assert found == [True, False] * 2
