"""Outstanding operations: which have several responses, and which one is meant."""

from dicom_proto.dimse.messages import CEchoRQ, CStoreRQ, Request
from dicom_proto.dimse.operations import (
    OTHER_STATUS,
    Answers,
    Invoked,
    Performed,
    count_answer,
    has_many_responses,
)
from tests.proto.dimse.pairs import find
from tests.proto.dimse.test_messages import MINIMAL


def test_which_operations_have_pending_responses() -> None:
    """PS3.7 7.5.3.2: C-FIND, C-GET and C-MOVE."""
    requests = [message for message, _ in MINIMAL if isinstance(message, Request)]
    assert len(requests) == 11
    assert {request.name for request in requests if has_many_responses(request)} == {
        "C-FIND-RQ",
        "C-GET-RQ",
        "C-MOVE-RQ",
    }


def test_an_operation_begins_unanswered() -> None:
    invoked = Invoked(find(7), 5, None, 0)
    assert (invoked.is_sent, invoked.is_answered, invoked.is_cancelled) == (False, False, False)
    assert not Performed(find(7), 5, False, 0).is_cancelled


def test_an_operation_of_this_side_is_itself_alone() -> None:
    """A message ID may be used again, by a request that is equal (PS3.7 9.1): a wait is that of one operation."""
    first, second = (Invoked(find(7), 5, None, 0) for _ in range(2))
    assert first != second
    assert len({first, second}) == 2


def test_answers_are_counted_by_kind_and_status() -> None:
    answers: Answers = {}
    for kind, status in ((CEchoRQ, 0), (CStoreRQ, 0), (CStoreRQ, 0xA700), (CEchoRQ, None), (CStoreRQ, 0)):
        count_answer(answers, kind, status)
    assert answers == {(CEchoRQ, 0): 1, (CStoreRQ, 0): 2, (CStoreRQ, 0xA700): 1, (CEchoRQ, None): 1}


def test_a_peer_that_invents_statuses_takes_no_memory() -> None:
    answers: Answers = {}
    for status in range(1000):
        count_answer(answers, CStoreRQ, status)
    count_answer(answers, CStoreRQ, 0)
    assert len(answers) == 257
    assert answers[CStoreRQ, OTHER_STATUS] == 1000 - 256
    assert answers[CStoreRQ, 0] == 2
