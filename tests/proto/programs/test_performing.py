"""What all SCP programs have in common: statuses, fields, data sets, and what goes wrong with them."""

import logging
from copy import copy
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.events import DataChunk, DataRun
from dicom_proto.dimse.messages import (
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CStoreRQ,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.errors import LimitExceededError, LocalProtocolError
from dicom_proto.handlers.kinds import EVT_C_ECHO, EVT_C_FIND, EVT_C_STORE
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Pull, Receive
from dicom_proto.programs.gathering import Gathering, Ready
from dicom_proto.programs.performing import Answer, Performing, as_pair
from dicom_proto.status import Category
from tests.proto.programs.script import (
    CT,
    EXPLICIT,
    IMPLICIT,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    VERIFICATION,
    Said,
    Scene,
    Script,
    ScriptedPeer,
    connected,
    data_set,
    dataset_of,
    decoded,
    offer_of,
    unencodable,
)
from tests.proto.rows import for_each

PRIVATE = "1.2.3.4"
PRINTER, INSTANCE = "1.2.840.10008.5.1.1.16", "1.2.3.5"


def performing(
    request: Request, abstract_syntax: str, data: bytes | None = None, **how: Any
) -> tuple[Scene, Performing]:
    scene = Scene(abstract_syntax, **how)
    return scene, Performing(scene.peer, scene.arrive(copy(request), data))


def stored() -> CStoreRQ:
    return CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def answered(request: Request, abstract_syntax: str, answer: Answer, data: bytes | None = None) -> Said:
    """What is sent for an answer, after the whole request has arrived."""
    scene, what = performing(
        request, abstract_syntax, data_set(PatientID="1") if request.data_set.name == "ALWAYS" else None
    )
    scene.peer.turn()
    what.respond(answer, data)
    (said,) = scene.replies()
    return said


# --- what the peer sent -----------------------------------------------------------------------------------------------


def test_a_data_set_is_collected() -> None:
    scene, what = performing(stored(), CT, b"ab")
    script = Script(what.receive_data())
    script.expect(Receive)
    assert script.end(scene.peer.event(what.inbox.key)) == b"ab"
    _, without = performing(CEchoRQ(), VERIFICATION)
    assert Script(without.receive_data()).end() is None


def test_a_long_data_set_comes_in_pieces() -> None:
    scene, what = performing(stored(), CT, bytes(400_000))
    script = Script(what.receive_data())
    script.expect(Receive)
    while not (chunk := scene.peer.event(what.inbox.key)).last:
        script.expect(Receive, chunk)
    assert script.end(chunk) == bytes(400_000)


def test_pieces_that_have_arrived_together_are_received_together() -> None:
    _, what = performing(stored(), CT, b"abcd")
    script = Script(what.receive_data())
    script.expect(Receive)
    assert script.end(DataRun(1, [memoryview(b"ab"), memoryview(b"cd")], 4, True)) == b"abcd"


@for_each("cut", [1, 7, 1024, 5000])
def test_a_beginning_is_long_enough_to_be_looked_at(cut: int) -> None:
    data = data_set(EXPLICIT, PatientID="1", PatientComments="x" * 3000)
    scene, what = performing(stored(), CT, data)
    taken = min(-(-1024 // cut) * cut, len(data))
    script = Script(what.receive_head())
    script.expect(Receive)
    for at in range(0, taken - cut, cut):
        script.expect(Receive, DataChunk(1, False, memoryview(data[at : at + cut]), False))
    at = max(taken - cut, 0)
    head = script.end(DataChunk(1, False, memoryview(data[at:taken]), taken == len(data)))
    assert (head.data, head.last, memoryview(head.data).readonly) == (data[:taken], taken == len(data), True)
    assert scene.peer.connection.tolerated == {"other_vr_encoding": 1}


def test_a_short_data_set_is_a_beginning() -> None:
    _, what = performing(stored(), CT, b"ab")
    script = Script(what.receive_head())
    script.expect(Receive)
    assert script.end(DataChunk(1, False, b"ab", True)).data == b"ab"


def test_more_than_is_kept_in_memory_is_refused() -> None:
    one, other = connected(offer_of(CT))
    one.send_request(stored(), context=1, data=bytes(8))
    other.receive_data(b"".join(one.data_to_send(now=0)), now=0)
    peer = ScriptedPeer(other, Handlers(), data_limit=7)
    script = Script(Performing(peer, peer.request()).receive_data())
    script.expect(Receive)
    with pytest.raises(LimitExceededError, match="7 bytes"):
        script.end(peer.event((1, False)))


def test_it_is_outstanding_until_the_final_response() -> None:
    scene, what = performing(CEchoRQ(), VERIFICATION)
    before = what.is_outstanding
    what.respond(Answer(0))
    assert (before, what.is_outstanding) == (True, False)
    assert scene.peer.router.find(what.inbox.key) is None
    scene.replies()
    scene.arrive(CEchoRQ(message_id=what.message_id))
    assert not what.is_outstanding  # that is another one with its ID
    what.close()
    assert scene.peer.router.find(what.inbox.key) is not None


def test_it_ends_with_the_association() -> None:
    scene, what = performing(CEchoRQ(), VERIFICATION)
    scene.requestor.abort()
    scene.carry()
    scene.peer.turn()
    assert not what.is_outstanding
    with pytest.raises(LocalProtocolError):
        what.respond(Answer(0))


# --- what the handler says --------------------------------------------------------------------------------------------


def test_the_event_knows_who_asks() -> None:
    _, what = performing(stored(), CT, b"ab")
    event = what.event(EVT_C_STORE, b"ab")
    assert (event.assoc, event.message_id, event.is_cancelled) == ("the association", 1, False)
    assert event.file_meta.SourceApplicationEntityTitle == "CALLING"


def test_a_requestor_performs_too() -> None:
    one, other = connected(offer_of(CT, roles=()), roles=False)
    other.send_request(stored(), context=1, data=b"ab")
    one.receive_data(b"".join(other.data_to_send(now=0)), now=0)
    peer = ScriptedPeer(one, Handlers())
    what = Performing(peer, peer.request())
    assert "SourceApplicationEntityTitle" not in what.event(EVT_C_STORE, b"ab").file_meta
    assert peer.ae_title == "CALLED"


def test_pairs() -> None:
    assert as_pair((1, 2)) == (1, 2)
    assert as_pair(1) == (1, None)
    assert as_pair((1, 2, 3)) == ((1, 2, 3), None)


@for_each(
    ("value", "answer"),
    [
        (0xA700, Answer(0xA700)),
        (Answer(0x1234), Answer(0x1234)),
        (dataset_of(Status=0, ErrorComment="x", PatientID="1"), Answer(0, {"error_comment": "x"})),
        (dataset_of(Status=None), Answer(0xC002)),
        (dataset_of(Status=[1, 2]), Answer(0xC002)),
        (dataset_of(PatientID="1"), Answer(0xC001)),
        (False, Answer(0xC002)),
        (0.0, Answer(0xC002)),
    ],
)
def test_statuses(value: object, answer: Answer) -> None:
    _, what = performing(stored(), CT, b"ab")
    assert what.read_status(value) == answer
    assert answer.category in Category


@pytest.mark.parametrize(
    ("request_", "abstract_syntax", "status", "is_known"),
    [
        (CEchoRQ(), VERIFICATION, 0x0122, True),
        (CEchoRQ(), VERIFICATION, 0xA700, False),
        (CEchoRQ(), VERIFICATION, 0x1234, False),
        (CFindRQ(affected_sop_class_uid=STUDY_FIND), STUDY_FIND, 0xA700, True),
        (CStoreRQ(affected_sop_class_uid=PRIVATE, affected_sop_instance_uid="1.2"), PRIVATE, 0xA7FF, True),
        (CStoreRQ(affected_sop_class_uid=PRIVATE, affected_sop_instance_uid="1.2"), PRIVATE, 0x1234, False),
    ],
)
def test_an_unknown_status_is_passed_on_with_a_warning(
    request_: Request, abstract_syntax: str, status: int, is_known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    _, what = performing(
        request_, abstract_syntax, data_set(PatientID="1") if request_.data_set.name == "ALWAYS" else None
    )
    assert what.read_status(status) == Answer(status)
    assert [record.levelno for record in caplog.records] == ([] if is_known else [logging.WARNING])


def test_no_values_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    _, what = performing(CEchoRQ(), VERIFICATION)
    what.read_status((dataset_of(PatientName="Bond"), "Bond"))
    what.read_status(0x12345)
    assert "Bond" not in caplog.text
    assert "74565" in caplog.text


def test_data_sets() -> None:
    _, what = performing(CFindRQ(affected_sop_class_uid=STUDY_FIND), STUDY_FIND, b"ab")
    encoded = data_set(PatientID="1")
    assert what.encode(dataset_of(PatientID="1")) == encoded
    for buffer in (bytearray(encoded), memoryview(encoded)):
        assert what.encode(buffer) == encoded
    for value in (None, "text", Dataset(), b"", b"odd", unencodable()):
        assert what.encode(value) is None


# --- what the peer gets -----------------------------------------------------------------------------------------------


def test_a_response_repeats_what_the_request_said() -> None:
    response, _ = answered(stored(), CT, Answer(0))
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == (CT, "1.2.3")  # type: ignore[attr-defined]


NORMALIZED = {
    "get": NGetRQ(requested_sop_class_uid=PRINTER, requested_sop_instance_uid=INSTANCE),
    "set": NSetRQ(requested_sop_class_uid=PRINTER, requested_sop_instance_uid=INSTANCE),
    "action": NActionRQ(requested_sop_class_uid=PRINTER, requested_sop_instance_uid=INSTANCE, action_type_id=7),
    "create": NCreateRQ(affected_sop_class_uid=PRINTER, affected_sop_instance_uid=INSTANCE),
    "delete": NDeleteRQ(requested_sop_class_uid=PRINTER, requested_sop_instance_uid=INSTANCE),
    "event": NEventReportRQ(affected_sop_class_uid=PRINTER, affected_sop_instance_uid=INSTANCE, event_type_id=7),
}


@for_each("name", NORMALIZED)
def test_requested_becomes_affected(name: str) -> None:
    data = data_set(PatientID="1") if name == "get" else None
    scene, what = performing(NORMALIZED[name], PRINTER, data_set(PatientID="1") if name == "set" else None)
    scene.peer.turn()
    what.respond(Answer(0), data)
    ((response, _),) = scene.replies()
    assert response.status == 0
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == (PRINTER, INSTANCE)  # type: ignore[attr-defined]
    for field in ("action_type_id", "event_type_id"):
        assert getattr(response, field, 7) == 7


def test_what_does_not_go_with_the_status_is_not_repeated() -> None:
    response, _ = answered(
        NCreateRQ(affected_sop_class_uid=PRINTER, affected_sop_instance_uid=INSTANCE), PRINTER, Answer(0x0106)
    )
    assert (response.status, response.affected_sop_instance_uid) == (0x0106, None)  # type: ignore[attr-defined]


def test_uids_that_may_not_be_sent_are_not_repeated() -> None:
    scene = Scene(CT)
    request = stored()
    what = Performing(scene.peer, scene.arrive(request, b"ab"))
    what.request.affected_sop_instance_uid = "1\n2"  # type: ignore[attr-defined]
    what.request.affected_sop_class_uid = "1.02"  # type: ignore[attr-defined]
    scene.peer.turn()
    what.respond(Answer(0))
    ((response, _),) = scene.replies()
    assert response.affected_sop_instance_uid is None  # type: ignore[attr-defined]
    assert response.affected_sop_class_uid is None


@pytest.mark.parametrize(
    ("element", "field", "value"),
    [
        ({"ErrorComment": "out of film"}, "error_comment", "out of film"),
        ({"OffendingElement": 0x00100010}, "offending_element", (0x00100010,)),
        ({"OffendingElement": [0x00100010, 0x00100020]}, "offending_element", (0x00100010, 0x00100020)),
        ({"AffectedSOPInstanceUID": "1.2.3"}, "affected_sop_instance_uid", "1.2.3"),
        ({"ErrorComment": ""}, "error_comment", None),
        ({"OffendingElement": None}, "offending_element", None),
    ],
)
def test_fields_of_a_status_data_set_are_sent(
    element: dict[str, Any], field: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    _, what = performing(stored(), CT, b"ab")
    answer = what.read_status(dataset_of(Status=0xA900, **element))
    response, _ = answered(stored(), CT, answer)
    assert (response.status, getattr(response, field)) == (0xA900, value)
    assert not caplog.records


@pytest.mark.parametrize(
    "fields",
    [
        {"error_comment": "x" * 65},
        {"error_comment": 5},
        {"offending_element": "x"},
        {"message_id_being_responded_to": 9},
        {"message_id": 9},
        {"error_id": 1},
        {"affected_sop_class_uid": "1.2.3"},
    ],
)
def test_fields_that_cannot_be_sent_are_left_out_with_a_warning(
    fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    response, _ = answered(stored(), CT, Answer(0xA900, fields))
    assert response.status == 0xA900
    assert response == answered(stored(), CT, Answer(0xA900))[0]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_error_elements_go_with_any_status(caplog: pytest.LogCaptureFixture) -> None:
    response, _ = answered(stored(), CT, Answer(0, {"offending_element": 0x00100010, "error_comment": "none"}))
    assert (response.status, response.offending_element) == (0, (0x00100010,))  # type: ignore[attr-defined]
    assert response.error_comment == "none"  # type: ignore[attr-defined]
    assert not caplog.records


def test_fields_that_do_not_go_with_the_status_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    fields = {"number_of_remaining_suboperations": 1, "error_comment": "none"}
    response, _ = answered(CGetRQ(affected_sop_class_uid=STUDY_GET), STUDY_GET, Answer(0xA900, fields))
    assert (response.status, response.number_of_remaining_suboperations) == (0xA900, None)  # type: ignore[attr-defined]
    assert "NumberOfRemainingSuboperations" in caplog.text
    assert "ErrorComment" not in caplog.text


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (stored(), 0),
        (NDeleteRQ(requested_sop_class_uid=PRINTER, requested_sop_instance_uid=INSTANCE), 0),
        (stored(), 0xA700),
    ],
)
def test_a_data_set_that_does_not_go_with_the_response_is_left_out(
    request_: Request, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    abstract_syntax = CT if isinstance(request_, CStoreRQ) else PRINTER
    assert answered(request_, abstract_syntax, Answer(status), b"ab")[1] is None
    assert "data set" in caplog.text


def test_an_answer_that_cannot_be_sent_becomes_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    request = NGetRQ(requested_sop_class_uid=PRINTER, requested_sop_instance_uid=INSTANCE)
    response, data = answered(request, PRINTER, Answer(0))  # Success needs an Attribute List
    assert (response.status, response.affected_sop_class_uid, data) == (0x0110, PRINTER, None)
    assert "cannot be sent" in caplog.text


def test_other_fields_are_not_for_handlers() -> None:
    answer = Answer(PENDING, {"affected_sop_class_uid": "1.2.3"})
    response, data = answered(CFindRQ(affected_sop_class_uid=STUDY_FIND), STUDY_FIND, answer, data_set(PatientID="1"))
    assert response.affected_sop_class_uid == STUDY_FIND
    assert decoded(data, IMPLICIT) == dataset_of(PatientID="1")


def test_bound_arguments_follow_the_event() -> None:
    scene = Scene(VERIFICATION, bindings=[(EVT_C_ECHO, lambda _, status: status, [0x0122])])
    assert scene.serve(CEchoRQ())[0][0].status == 0x0122


# --- handlers that are asked, and that yield --------------------------------------------------------------------------


def asked(handler: Any) -> Performing:
    scene = Scene(STUDY_FIND, bindings=[] if handler is None else [(EVT_C_FIND, handler)])
    request = CFindRQ(affected_sop_class_uid=STUDY_FIND)
    return Performing(scene.peer, scene.arrive(request, data_set(PatientID="1")))


def test_a_handler_is_called_and_what_it_raises_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(asked(lambda _: 7).call(EVT_C_FIND, None, failed=0xC311))
    call = script.expect(Call)
    assert script.end(call.function(*call.arguments)) == 7
    script = Script(asked(lambda _: 7).call(EVT_C_FIND, None, failed=0xC311))
    script.expect(Call)
    assert script.fail_at_last(ZeroDivisionError()) == Answer(0xC311)
    assert Script(asked(None).call(EVT_C_FIND, None, failed=0xC311)).end() == Answer(0xC311)
    assert "the handler of EVT_C_FIND raised: the answer is C311H" in caplog.text
    assert "no handler is bound to EVT_C_FIND: a C-FIND-RQ is answered with C311H" in caplog.text


class Anexts:
    def __anext__(self) -> None:
        """Is awaited by the driver."""


@pytest.mark.parametrize("result", [[1, 2], iter([1, 2]), Anexts(), None, 5, Answer(0xA700)])
def test_what_a_handler_gives_is_iterated_over(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(asked(lambda _: result).call_generator(EVT_C_FIND, None, failed=0xC311))
    script.expect(Call)
    items = script.end(result)
    if result is None:
        assert list(items) == []
    elif result == 5:
        assert items == Answer(0xC311)
        assert "returned int: it has to yield" in caplog.text
    elif isinstance(result, Answer | Anexts):
        assert items is result
    else:
        assert list(items) == [1, 2]


def test_items_are_pulled_and_what_is_raised_is_an_answer() -> None:
    items = iter("a")
    script = Script(asked(None).pull(EVT_C_FIND, items, failed=0xC311))
    assert script.expect(Pull).iterator is items
    assert script.end("a") == "a"
    script = Script(asked(None).pull(EVT_C_FIND, items, failed=0xC311))
    script.expect(Pull)
    assert script.fail_at_last(ZeroDivisionError()) == Answer(0xC311)


def test_items_are_gathered_and_what_is_raised_is_an_answer() -> None:
    items = Gathering(iter(()), Ready)
    script = Script(asked(None).gather(EVT_C_FIND, items, failed=0xC311))
    assert script.expect(Pull).iterator is items
    assert script.end([(Answer(PENDING), b"ab")]) == [(Answer(PENDING), b"ab")]
    script = Script(asked(None).gather(EVT_C_FIND, items, failed=0xC311))
    script.expect(Pull)
    assert script.fail_at_last(ZeroDivisionError()) == [(Answer(0xC311), None)]


def test_many_responses_repeat_the_same() -> None:
    scene = Scene(STUDY_FIND)
    received = scene.arrive(CFindRQ(affected_sop_class_uid=STUDY_FIND), data_set(PatientID="1"))
    scene.peer.turn()
    what = Performing(scene.peer, received)
    for _ in range(2):
        what.respond(Answer(PENDING), data_set(PatientID="1"))
    what.respond(Answer(0))
    said = scene.replies()
    assert [response.status for response, _ in said] == [PENDING, PENDING, 0]
    assert {response.affected_sop_class_uid for response, _ in said} == {STUDY_FIND}


def test_a_handler_may_ask_whether_it_is_cancelled_and_is_told_what_has_come_meanwhile() -> None:
    """PS3.7 9.3.2.3: a C-CANCEL comes while the operation is performed."""
    scene, what = performing(CFindRQ(affected_sop_class_uid=STUDY_FIND), STUDY_FIND, data_set(PatientID="1"))
    event = what.event(EVT_C_FIND, None)
    answers = [event.is_cancelled]
    scene.requestor.send_cancel(1)
    scene.carry()
    scene.peer.turn()
    answers += [event.is_cancelled, event.is_cancelled]
    assert answers == [False, True, True]
