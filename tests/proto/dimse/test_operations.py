"""Outstanding operations: which have several responses, and which one is meant."""

from dicom_proto.dimse.messages import Request
from dicom_proto.dimse.operations import Invoked, Performed, has_many_responses
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
