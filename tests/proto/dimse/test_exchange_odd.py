"""Command sets that break the letter of the standard, and can be understood all the same (PS3.7 6.3)."""

from typing import Any

import pytest
from attrs import evolve

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.codec import decode_message
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.limits import Tolerance
from dicom_proto.testing.pair import CT, STUDY_FIND, answer, associate, drain, offer, sent
from dicom_proto.upper_layer.items import OperationsWindow
from tests.proto.dimse.pairs import (
    FAILED,
    FIND_CONTEXT,
    INVALID,
    NO_TIMEOUTS,
    STORE_CONTEXT,
    aborts,
    changed,
    echo,
    find,
    names,
    odd_message,
    pair,
    pdus,
    raw,
    receive,
    respond,
    store,
)


def kinds(odd: Any) -> list[str]:
    return [kind for kind, _ in odd.habits]


@pytest.mark.parametrize("cut", [None, 20])
def test_a_request_without_priority_is_performed(cut: int | None) -> None:
    _, connection = pair()
    noted: list[Any] = []
    connection.on_tolerated = noted.append
    block = odd_message(changed(store(7), {0x0700: None}, has_data_set=True), b"data")
    events = receive(connection, *([block] if cut is None else [block[:cut], block[cut:]]))
    assert names(events)[0] == "RequestReceived"
    assert events[0] == RequestReceived(7, STORE_CONTEXT, store(7), True)
    connection.send_response(respond(store(), 7))
    assert connection.tolerated == {"ill_formed_fields": 1}
    assert [one.kind for one in noted] == ["ill_formed_fields"]
    assert "Priority" in noted[0].detail


@pytest.mark.parametrize("cut", [None, 20])
def test_a_request_without_its_instance_is_answered_and_costs_no_more(cut: int | None) -> None:
    _, connection = pair()
    block = odd_message(changed(store(7), {0x1000: None}, has_data_set=True), b"data") + raw(echo(8))
    events = receive(connection, *([block] if cut is None else [block[:cut], block[cut:]]))
    assert events == [RequestReceived(8, 1, echo(8), False)]
    (pdu,) = pdus(sent(connection))
    assert decode_message(pdu.pdvs[0].data) == (respond(store(), 7, 0x0212), False)  # type: ignore[union-attr]
    assert list(connection.performed) == [8]


def test_a_refused_request_during_a_release_is_dropped() -> None:
    connection, _ = pair()
    connection.release()
    sent(connection)
    assert receive(connection, odd_message(changed(store(7), {0x1000: None}, has_data_set=True), b"data")) == []
    assert sent(connection) == b""


def test_a_refused_request_of_a_peer_that_is_gone_is_dropped() -> None:
    _, connection = pair()
    receive(connection, raw(find(1), b"key.", FIND_CONTEXT))
    connection.receive_data(odd_message(changed(store(7), {0x1000: None}, has_data_set=True), b"data"), now=0)
    connection.receive_eof(now=0)
    assert names(drain(connection)) == ["Aborted"]


def test_switched_off_it_ends_the_association() -> None:
    _, connection = pair(tolerance=Tolerance(ill_formed_fields=False))
    events = receive(connection, odd_message(changed(store(7), {0x0700: None}, has_data_set=True), b"data"))
    assert aborts(connection, events, INVALID)
    assert connection.tolerated == {}


def two_contexts(**settings: Any) -> Connection:
    """A requestor for which CT was accepted twice, on 1 and 3, and that has asked for something on 1."""
    one, other = (Connection(timeouts=NO_TIMEOUTS, **settings) for _ in range(2))
    window = OperationsWindow(1, 1)
    request = offer(CT, CT, STUDY_FIND, window=window)
    associate(one, other, request, answer(request, window=window))
    one.send_request(store(7), context=1, data=b"data")
    sent(one)
    return one


def test_a_response_on_another_context_of_the_abstract_syntax() -> None:
    """PixelMed answers so: PS3.7 names no context for a response, and there is one message ID for all of them."""
    connection = two_contexts()
    assert receive(connection, raw(respond(store(), 7), None, 3)) == [
        ResponseReceived(7, 1, respond(store(), 7), False)
    ]
    assert connection.tolerated == {"other_contexts": 1}


@pytest.mark.parametrize(
    ("settings", "context"),
    [({"tolerance": Tolerance(other_contexts=False)}, 3), ({}, 5)],
    ids=["switched off", "find"],
)
def test_a_response_where_none_is_awaited(settings: dict[str, Any], context: int) -> None:
    connection = two_contexts(**settings)
    events = receive(connection, raw(respond(store(), 7), None, context))
    assert names(events) == ["Aborted"]


def test_a_response_with_a_data_set_on_another_context() -> None:
    """What its data set would be encoded in is anybody's guess."""
    connection = two_contexts()
    assert names(receive(connection, raw(respond(store(), 7), b"data", 3))) == ["Aborted"]


def test_other_elements_of_other_responses_are_dropped() -> None:
    connection, _ = pair()
    connection.send_request(find(7), context=FIND_CONTEXT, data=b"key.")
    sent(connection)
    command = m.encode_message(respond(find(), 7), has_data_set=False) + FAILED
    (event,) = receive(connection, odd_message(command, None, FIND_CONTEXT))
    assert (event.response, event.aside) == (respond(find(), 7), {0x00080058: b"1.2.3.4\0"})
    assert evolve(event, aside={}) == ResponseReceived(7, FIND_CONTEXT, respond(find(), 7), False)
    assert connection.tolerated == {"foreign_elements": 1}
    assert not isinstance(event, DataChunk)
