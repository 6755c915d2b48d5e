"""Command sets that break the letter of the standard, and can be understood all the same (issue 11, section 1)."""

from typing import Any

import pytest
from attrs import evolve

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.codec import decode_message, decode_odd_message
from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.errors import CommandSetError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.items import OperationsWindow
from tests.proto.dimse.pairs import (
    COMMAND,
    FIND_CONTEXT,
    INVALID,
    LAST,
    NO_TIMEOUTS,
    STORE_CONTEXT,
    aborts,
    echo,
    find,
    names,
    p_data,
    pair,
    pdus,
    raw,
    receive,
    respond,
    store,
)
from tests.proto.wire import CT, STUDY_FIND, answer, associate, drain, offer, sent

GET = "1.2.840.10008.5.1.4.1.2.2.3"
UID = "1.2.3.4"
FAILED = bytes.fromhex("0800 0000 04000000 10000000  0800 5800 08000000") + b"1.2.3.4\0"  # as Orthanc 1.10 sends it
ACTION = m.NActionRQ(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid=UID, action_type_id=1)
REPORT = m.NEventReportRQ(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid=UID, event_type_id=1)
N_SET = m.NSetRQ(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid=UID)
MOVE = m.CMoveRQ(message_id=7, affected_sop_class_uid=STUDY_FIND, move_destination="DEST")


def changed(message: m.Message, changes: dict[int, bytes | None], *, has_data_set: bool = False) -> bytes:
    """A command set with other values for some elements, or without them."""
    elements: dict[int, Any] = decode_command_set(m.encode_message(message, has_data_set=has_data_set)) | changes
    values = {tag: value for tag, value in elements.items() if value is not None}
    even = {tag: value for tag, value in values.items() if len(value) % 2 == 0}
    odd = {tag: value for tag, value in values.items() if len(value) % 2}
    headed = [
        tag.to_bytes(4, "big")[2:4][::-1] + len(value).to_bytes(4, "little") + value for tag, value in odd.items()
    ]
    return encode_command_set(even) + b"".join(b"\0\0" + one for one in headed)


def decoded(command: bytes, tolerance: Tolerance = DEFAULT_TOLERANCE) -> Any:
    with pytest.raises(CommandSetError) as raised:
        decode_message(command)
    return decode_odd_message(command, raised.value, tolerance, CT)


def kinds(odd: Any) -> list[str]:
    return [kind for kind, _ in odd.habits]


# --- what the codec makes of them -------------------------------------------------------------------------------------


def test_elements_of_other_groups_are_kept_aside() -> None:
    command = m.encode_message(respond(find(), 7, 0xC000), has_data_set=False) + FAILED
    odd = decoded(command)
    assert odd.message == respond(find(), 7, 0xC000)
    assert odd.aside == {0x00080058: b"1.2.3.4\0"}  # without the group length
    assert odd.habits == (("foreign_elements", "C-FIND-RSP with (0008,0000), (0008,0058) in its command set"),)
    with pytest.raises(CommandSetError, match="is not a command element"):
        decoded(command, Tolerance(foreign_elements=False))
    with pytest.raises(CommandSetError):
        decoded(command[:-1])
    with pytest.raises(CommandSetError):
        decoded(command[:-9])


def test_of_elements_of_other_groups_the_first_counts() -> None:
    command = m.encode_message(echo(7), has_data_set=False) + FAILED + FAILED[12:].replace(b"4", b"5")
    assert decoded(command).aside == {0x00080058: b"1.2.3.4\0"}


def test_an_element_that_comes_twice_means_two_things() -> None:
    command = m.encode_message(echo(7), has_data_set=False)
    with pytest.raises(CommandSetError, match="twice"):
        decoded(command + command[12:])


@pytest.mark.parametrize(
    ("message", "changes", "expected", "detail"),
    [
        (store(7), {0x0700: None}, store(7), "C-STORE-RQ: no Priority (0000,0700)"),
        (store(7), {0x0700: b"\1"}, store(7), "C-STORE-RQ: Priority (0000,0700) of 1 bytes; no Priority (0000,0700)"),
        (find(7), {0x0700: b""}, find(7), "C-FIND-RQ: no Priority (0000,0700)"),
        (store(7), {0x0002: None}, store(7), "C-STORE-RQ: no AffectedSOPClassUID (0000,0002)"),
        (
            store(7),
            {0x0800: None},
            store(7),
            "C-STORE-RQ: CommandDataSetType (0000,0800) is absent or not of 2 bytes",
        ),
        (
            m.CMoveRSP(message_id_being_responded_to=7, status=0, number_of_completed_suboperations=3),
            {0x1021: b"\3\0\0\0"},
            m.CMoveRSP(message_id_being_responded_to=7, status=0, number_of_completed_suboperations=3),
            "C-MOVE-RSP: NumberOfCompletedSuboperations (0000,1021) of 4 bytes",
        ),
        (
            m.CMoveRSP(message_id_being_responded_to=7, status=0, number_of_completed_suboperations=3),
            {0x1021: b"\3"},
            m.CMoveRSP(message_id_being_responded_to=7, status=0),
            "C-MOVE-RSP: NumberOfCompletedSuboperations (0000,1021) of 1 bytes",
        ),
        (
            m.CFindRSP(message_id_being_responded_to=7, status=0xA900, offending_element=(0x00080052,)),
            {0x0901: bytes.fromhex("0800 5200 0000")},
            m.CFindRSP(message_id_being_responded_to=7, status=0xA900, offending_element=(0x00080052,)),
            "C-FIND-RSP: OffendingElement (0000,0901) of 6 bytes",
        ),
        (
            respond(store(), 7),
            {0x1000: b"1.2.3"},
            respond(store(), 7, affected_sop_instance_uid="1.2.3"),
            "C-STORE-RSP: AffectedSOPInstanceUID (0000,1000) of 5 bytes",
        ),
    ],
)
def test_it_can_be_told_what_is_meant(
    message: m.Message, changes: dict[int, bytes | None], expected: m.Message, detail: str
) -> None:
    has_data_set = message.data_set is m.DataSet.ALWAYS
    command = changed(message, changes, has_data_set=has_data_set)
    odd = decoded(command)
    assert (odd.message, odd.has_data_set, odd.is_refused) == (expected, has_data_set, False)
    assert odd.habits == (("ill_formed_fields", detail),)
    with pytest.raises(CommandSetError):
        decoded(command, Tolerance(ill_formed_fields=False))


@pytest.mark.parametrize(
    ("message", "tag"),
    [
        (store(7), 0x1000),
        (MOVE, 0x0600),
        (ACTION, 0x0003),
        (ACTION, 0x1001),
        (ACTION, 0x1008),
        (N_SET, 0x0003),
        (N_SET, 0x1001),
        (REPORT, 0x0002),
        (REPORT, 0x1000),
        (REPORT, 0x1002),
    ],
)
def test_a_request_that_cannot_be_performed_can_be_answered(message: m.Message, tag: int) -> None:
    odd = decoded(changed(message, {tag: None}, has_data_set=message.data_set is m.DataSet.ALWAYS))
    assert odd.is_refused
    assert odd.message.message_id == 7
    assert kinds(odd) == ["ill_formed_fields"]


@pytest.mark.parametrize(
    ("message", "tag"),
    [
        (store(7), 0x0110),
        (respond(store(), 7), 0x0120),
        (respond(store(), 7), 0x0900),
        (store(7), 0x0100),
        (m.CCancelRQ(message_id_being_responded_to=7), 0x0120),
        (ACTION, 0x0800),  # it may have a data set, or not
    ],
)
def test_nobody_could_be_answered(message: m.Message, tag: int) -> None:
    with pytest.raises(CommandSetError):
        decoded(changed(message, {tag: None}, has_data_set=message.data_set is m.DataSet.ALWAYS))


# --- what a connection makes of them ----------------------------------------------------------------------------------


def odd_message(command: bytes, data: bytes | None = None, context: int = STORE_CONTEXT) -> bytes:
    fragments = [(context, COMMAND | LAST, command)]
    return b"".join(p_data(one) for one in [*fragments, *([] if data is None else [(context, LAST, data)])])


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


# --- the list of failed SOP Instances ---------------------------------------------------------------------------------


def replies(*messages: bytes) -> list[Reply]:
    """What a C-GET comes to whose responses are these."""
    one, other = (Connection(timeouts=NO_TIMEOUTS) for _ in range(2))
    request = offer(GET, CT)
    associate(one, other, request, answer(request))
    peer = Peer(one, Handlers())
    get = m.CGetRQ(message_id=7, affected_sop_class_uid=GET)
    invoking = Invoking(peer, get, one.contexts[1], b"key.")
    sent(one)
    for event in receive(one, *messages):
        peer.router.file(event)
    found: list[Reply] = []
    while not invoking.is_over:
        program = invoking.reply()
        next(program)
        try:
            while True:
                program.send(invoking.inbox.take())
        except StopIteration as end:
            found.append(end.value)
    return found


def get_response(status: int, more: bytes = b"", data: bytes | None = None, **counters: Any) -> bytes:
    fields: dict[str, Any] = {f"number_of_{name}_suboperations": count for name, count in counters.items()}
    response = m.CGetRSP(message_id_being_responded_to=7, status=status, **fields)
    return odd_message(m.encode_message(response, has_data_set=data is not None) + more, data, 1)


COUNTERS: dict[str, Any] = {"remaining": 1, "completed": 0, "failed": 1, "warning": 0}


@pytest.mark.parametrize("more", [FAILED, FAILED[12:-8].replace(b"\x08\0\0\0", b"\x07\0\0\0") + b"1.2.3.4"])
def test_the_failed_list_is_handed_out_as_if_it_had_come_in_the_identifier(more: bytes) -> None:
    pending, last = replies(get_response(0xFF00, more, **COUNTERS), get_response(0xC000, more))
    for reply in (pending, last):
        assert reply.data == FAILED[12:]
        assert reply.context.transfer_syntax == "1.2.840.10008.1.2"


def test_an_identifier_that_is_there_counts() -> None:
    (reply,) = replies(get_response(0xB000, FAILED, b"list"))
    assert reply.data == b"list"


def test_other_elements_are_no_identifier() -> None:
    (reply,) = replies(get_response(0, FAILED[12:].replace(b"\x58", b"\x59")))
    assert reply.data is None


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
