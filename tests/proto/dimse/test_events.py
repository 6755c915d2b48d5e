"""What a connection tells: how its events are made, compared and shown."""

from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from tests.proto.dimse.pairs import find, respond, store


def test_events_are_values() -> None:
    made = [
        RequestReceived(7, 3, store(7), True),
        ResponseReceived(7, 5, respond(find(), 7), False),
        DataChunk(7, False, b"data", True),
        CancelReceived(7),
    ]
    named = [
        RequestReceived(message_id=7, context_id=3, request=store(7), has_data=True),
        ResponseReceived(message_id=7, context_id=5, response=respond(find(), 7), has_data=False, aside={}),
        DataChunk(message_id=7, invoked=False, data=b"data", last=True),
        CancelReceived(message_id=7),
    ]
    assert made == named
    assert made[2] != DataChunk(7, True, b"data", True)  # both sides count their message IDs on their own (PS3.7 9.1)


def test_what_stood_aside_is_not_shown() -> None:
    """Elements of other groups may be those of a patient."""
    event = ResponseReceived(7, 5, respond(find(), 7), False, {0x00100010: b"DOE^JOHN"})
    assert "DOE" not in repr(event)
    assert event != ResponseReceived(7, 5, respond(find(), 7), False)
