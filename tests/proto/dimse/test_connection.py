"""Operations on an established association: what is asked, answered, cancelled, refused and told."""

from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.outgoing import STREAMED
from dicom_proto.errors import AbortReason, LocalProtocolError
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import associate, drain, exchange, offer, sent
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
from dicom_proto.upper_layer.pdu import AAssociateRJ, AReleaseRQ, PDataTF, encode_pdu
from dicom_proto.upper_layer.state_table import Action, Event, State
from tests.proto.dimse.pairs import (
    COMMAND,
    ECHO_CONTEXT,
    FIND_CONTEXT,
    LAST,
    PENDING,
    STORE_CONTEXT,
    STORE_PIECES,
    UNLIMITED,
    drain_all,
    echo,
    find,
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
    with_id,
)

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


def test_pending_response_where_there_is_only_one_is_refused() -> None:
    """PS3.7 7.5.3.2: only C-FIND, C-GET and C-MOVE have several responses."""
    connection = performing(store(), b"data")
    with pytest.raises(LocalProtocolError, match="has one response"):
        connection.send_response(respond(store(), 7, PENDING))
    assert list(connection.performed) == [7]


def test_only_what_is_streamed_is_written_in_pieces() -> None:
    one, _ = pair(window=UNLIMITED)
    whole = one.send_request(store(), context=STORE_CONTEXT, data=b"data")
    streamed = one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    one.open_data(streamed).write(b"data")
    for message_id in (whole, 99):
        with pytest.raises(LocalProtocolError, match=f"no outstanding request {message_id} was sent"):
            one.open_data(message_id)


@pytest.mark.parametrize("data", [b"", b"odd"])
def test_response_with_a_wrong_data_set_is_refused(data: bytes) -> None:
    connection = performing(find(), b"keys")
    with pytest.raises(LocalProtocolError, match="bytes cannot be sent"):
        connection.send_response(respond(find(), 7, PENDING), data=data)
    assert sent(connection) == b""


# --- early responses --------------------------------------------------------------------------------------------------


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


# --- windows ----------------------------------------------------------------------------------------------------------


# --- the end of the association ---------------------------------------------------------------------------------------


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
        p_data((STORE_CONTEXT, 0, b"")) * 5_000,
        p_data((STORE_CONTEXT, 0, b"x")) * 5_000,
        p_data(*[(STORE_CONTEXT, 0, b"x")] * 1_000) * 5,
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
    assert 5_000 / SHARE <= turns <= 15_000 / SHARE
    assert isinstance(event, DataChunk)
    assert connection.next_event() is None
    assert not connection.has_unread


@pytest.mark.parametrize("status", [0xA700, 0xC000, 0x0110, 0x1234])
@pytest.mark.parametrize("streamed", [{m.CStoreRQ}, set()])
def test_early_failure_drops_the_rest_of_the_data_set(status: int, streamed: set[type[m.Message]]) -> None:
    _, connection = pair(streamed=streamed)
    receive(connection, STORE_PIECES[0], STORE_PIECES[1][:-1])
    connection.send_response(respond(store(), 7, status))
    assert not connection.performed
    assert receive(connection, STORE_PIECES[1][-1:]) == []
    assert names(receive(connection, raw(echo(7)))) == ["RequestReceived"]


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
