"""The router: each gets what is its own, in whatever order they ask, and within a bound."""

from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, DataRun, RequestReceived, ResponseReceived
from dicom_proto.dimse.routing import Inbox, Router
from dicom_proto.errors import LocalProtocolError
from dicom_proto.testing.pair import sent
from tests.proto.dimse.pairs import ECHO_CONTEXT, FIND_CONTEXT, PENDING, STORE_CONTEXT, echo, find, pair, respond, store


class Desk:
    """A connection and its router: events are filed as an engine does it."""

    def __init__(self, connection: Connection, **settings: Any) -> None:
        self.connection = connection
        self.router = Router(**settings)
        self.requests: list[RequestReceived] = []
        self.woken: list[Any] = []

    def file(self) -> None:
        """File what has arrived, as far as there is room."""
        while not self.router.is_full and (event := self.connection.next_event()) is not None:
            match event:
                case RequestReceived():
                    self.requests.append(event)
                    self.router.open((event.message_id, False))
                case ResponseReceived() | DataChunk():
                    receiver = self.router.file(event)
                    if receiver is not None:
                        self.woken.append((receiver, event))

    def inbox(self, message_id: int, *, invoked: bool) -> Inbox:
        inbox = self.router.find((message_id, invoked))
        assert inbox is not None
        return inbox


def desks(**settings: Any) -> tuple[Connection, Connection, Desk]:
    one, other = pair(window=(9, 9))
    return one, other, Desk(other, **settings)


def feed(source: Connection, target: Connection) -> None:
    """Carry bytes one way, and leave the events to the router."""
    target.receive_data(sent(source), now=0)


def arrive(one: Connection, other: Connection, *requests: m.Request) -> list[int]:
    ids = []
    for request in requests:
        context = {m.CEchoRQ: ECHO_CONTEXT, m.CStoreRQ: STORE_CONTEXT}.get(type(request), FIND_CONTEXT)
        data = None if isinstance(request, m.CEchoRQ) else b"ab"
        ids.append(one.send_request(request, context=context, data=data))
    feed(one, other)
    return ids


def taken(inbox: Inbox) -> list[Any]:
    return list(iter(inbox.take, None))


def test_each_asks_for_its_own() -> None:
    one, other = pair(window=(9, 9))
    desk = Desk(one)
    first, second = (one.send_request(find(), context=FIND_CONTEXT, data=b"ab") for _ in range(2))
    inboxes = {message_id: desk.router.open((message_id, True)) for message_id in (first, second)}
    feed(one, other)
    for message_id in (first, second):
        assert [type(other.next_event()) for _ in range(2)] == [RequestReceived, DataChunk]
        other.send_response(respond(find(), message_id, PENDING), data=b"cd")
        other.send_response(respond(find(), message_id))
    feed(other, one)
    desk.file()
    for message_id in (second, first):
        events = taken(inboxes[message_id])
        assert [type(event) for event in events] == [ResponseReceived, DataChunk, ResponseReceived]
        assert {event.message_id for event in events} == {message_id}


def test_the_data_of_a_request_wait() -> None:
    one, other, desk = desks()
    ids = arrive(one, other, store(), echo(), find())
    desk.file()
    assert [request.message_id for request in desk.requests] == ids
    for message_id in (ids[2], ids[0]):
        (chunk,) = taken(desk.inbox(message_id, invoked=False))
        assert isinstance(chunk, DataChunk)
        assert (chunk.message_id, bytes(chunk.data)) == (message_id, b"ab")
    assert taken(desk.inbox(ids[1], invoked=False)) == []


def test_who_waits_gets_the_next_event_instead_of_the_inbox() -> None:
    one, other, desk = desks()
    (message_id,) = arrive(one, other, find())
    desk.file()
    inbox = desk.inbox(message_id, invoked=False)
    inbox.take()
    inbox.receiver = "somebody"
    event = DataChunk(message_id=message_id, invoked=False, data=b"cd", last=True)
    assert desk.router.file(event) == "somebody"
    assert inbox.receiver is None
    assert (inbox.take(), desk.router.is_full) == (None, False)


def test_both_sides_count_for_themselves() -> None:
    one, other, desk = desks()
    arrive(one, other, store(1))
    other.send_request(echo(1), context=ECHO_CONTEXT)
    own = desk.router.open((1, True))
    feed(other, one)
    one.next_event()
    one.send_response(respond(echo(), 1))
    feed(one, other)
    desk.file()
    assert [type(event) for event in taken(own)] == [ResponseReceived]
    assert [type(event) for event in taken(desk.inbox(1, invoked=False))] == [DataChunk]


def test_what_nobody_has_opened_is_dropped() -> None:
    router = Router(bound=1)
    for invoked in (True, False):
        assert router.file(DataChunk(message_id=1, invoked=invoked, data=b"ab", last=True)) is None
    response = ResponseReceived(message_id=1, context_id=1, response=respond(echo(), 1), has_data=False)
    assert router.file(response) is None
    assert not router.is_full
    assert router.find((1, True)) is router.find((1, False)) is None


def test_an_inbox_is_closed_once() -> None:
    one, other, desk = desks()
    (message_id,) = arrive(one, other, store())
    desk.file()
    inbox = desk.inbox(message_id, invoked=False)
    for _ in range(2):
        inbox.close()
        assert not inbox.is_open
        assert desk.router.find((message_id, False)) is None
    with pytest.raises(LocalProtocolError, match="nobody waits for operation 1 any more"):
        inbox.take()
    again = desk.router.open((message_id, False))
    inbox.close()
    assert desk.router.find((message_id, False)) is again
    assert again.take() is None


def test_closing_makes_room() -> None:
    one, other, desk = desks(bound=2)
    (message_id,) = arrive(one, other, store())
    arrive(one, other, find())
    desk.file()
    assert desk.router.is_full
    desk.inbox(message_id, invoked=False).close()
    assert not desk.router.is_full


def test_past_the_bound_nothing_is_filed() -> None:
    one, other, desk = desks(bound=2)
    first, *_ = arrive(one, other, store(), store(), store())
    desk.file()
    assert (desk.router.is_full, len(desk.requests)) == (True, 2)
    desk.inbox(first, invoked=False).take()
    assert not desk.router.is_full
    desk.file()
    assert (desk.router.is_full, len(desk.requests)) == (True, 3)


def test_data_have_a_bound_of_their_own() -> None:
    one, other, desk = desks(data_bound=4)
    arrive(one, other, *(find() for _ in range(3)))
    desk.file()
    assert (desk.router.is_full, len(desk.requests)) == (True, 2)
    desk.inbox(1, invoked=False).take()
    assert not desk.router.is_full


def test_responses_count_as_well_and_have_no_data() -> None:
    router = Router(bound=2, data_bound=1)
    inbox = router.open((1, True))
    response = ResponseReceived(message_id=1, context_id=1, response=respond(echo(), 1), has_data=False)
    found = [router.is_full]
    for _ in range(2):
        router.file(response)
        found.append(router.is_full)
    assert inbox.take() is response
    assert [*found, router.is_full] == [False, False, True, False]


def test_a_message_id_that_is_used_again_is_another_operation() -> None:
    """The peer may use it after the final response, while somebody still asks for what belonged to the old one."""
    one, other, desk = desks(bound=2)
    inboxes = []
    for _ in range(3):
        arrive(one, other, store(7))
        desk.file()
        inboxes.append(desk.inbox(7, invoked=False))
        other.send_response(respond(store(), 7, 0xA700))
        feed(other, one)
        one.next_event()
    first, second, third = inboxes
    for old in (first, second):
        with pytest.raises(LocalProtocolError, match="operation 7"):
            old.take()
    assert [type(event) for event in taken(third)] == [DataChunk]
    assert not desk.router.is_full  # what the old ones have left unread does not count any more


def test_who_waits_for_an_inbox_that_is_closed_is_not_forgotten() -> None:
    router = Router()
    inbox = router.open((7, False))
    inbox.receiver = "somebody"
    again = router.open((7, False))
    assert (router.left, inbox.receiver, again.receiver) == (["somebody"], None, None)
    again.close()
    assert router.left == ["somebody"]


def test_who_waits_at_an_inbox_that_is_closed_is_left() -> None:
    """Nothing comes there any more: whoever waits has to be told by someone else."""
    router = Router()
    first, second = (router.open((message_id, True)) for message_id in (1, 2))
    first.receiver = "somebody"
    router.close(first)
    router.close(second)  # where nobody waits
    assert first.receiver is None
    assert router.take_left() == ["somebody"]
    assert router.take_left() == []


def test_it_is_known_whether_something_waits() -> None:
    one, other, desk = desks()
    (message_id,) = arrive(one, other, find())
    waits = [desk.router.has_waiting]
    desk.file()
    waits.append(desk.router.has_waiting)
    taken(desk.inbox(message_id, invoked=False))
    assert [*waits, desk.router.has_waiting] == [False, True, False]


def test_runs_of_data_count_with_all_their_bytes() -> None:
    router = Router(data_bound=4)
    inbox = router.open((7, False))
    run = DataRun(7, [memoryview(b"abc"), memoryview(b"de")], 5, last=True)
    assert router.file(run) is None
    fullness = [router.is_full]
    assert inbox.take() is run
    fullness.append(router.is_full)
    assert fullness == [True, False]
    inbox.receiver = "who waits"
    assert router.file(run) == "who waits"
