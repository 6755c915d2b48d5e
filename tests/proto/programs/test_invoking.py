"""Operations that this side invokes."""

from typing import Any

import pytest

from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CFindRSP
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Receive
from dicom_proto.programs.invoking import Invoking, invoke
from dicom_proto.status import Category
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.programs.script import (
    PENDING,
    STUDY_FIND,
    VERIFICATION,
    Script,
    ScriptedPeer,
    carry,
    connected,
    data_set,
    offer_of,
)

IDENTIFIER = data_set(PatientID="1")


class Both:
    """A peer that asks, and a bare connection that answers."""

    def __init__(self, **how: Any) -> None:
        self.one, self.other = connected(offer_of(STUDY_FIND, VERIFICATION, **how))
        self.peer = ScriptedPeer(self.one, Handlers())

    def find(self, message_id: int | None = None) -> Invoking:
        request = CFindRQ(message_id=message_id, affected_sop_class_uid=STUDY_FIND)
        return Invoking(self.peer, request, self.one.contexts[1], IDENTIFIER)

    def answer(self, message_id: int, *statuses: int) -> None:
        carry(self.one, self.other)
        while self.other.next_event() is not None:
            pass
        for status in statuses:
            response = CFindRSP(message_id_being_responded_to=message_id, status=status)
            self.other.send_response(response, data=IDENTIFIER if status == PENDING else None)
        carry(self.one, self.other)

    def read(self, invoking: Invoking) -> Any:
        program = invoking.next_reply()
        event: Any = None
        while True:
            try:
                effect = program.send(event)
            except StopIteration as end:
                return end.value
            assert isinstance(effect, Receive)
            assert effect.inbox is invoking.inbox
            event = self.peer.event(invoking.inbox.key)


def test_replies_come_with_their_data_and_then_end() -> None:
    both = Both()
    find = both.find()
    both.answer(1, PENDING, PENDING, 0xA700)
    replies = [both.read(find) for _ in range(3)]
    assert [reply.category for reply in replies] == [Category.PENDING, Category.PENDING, Category.FAILURE]
    assert [reply.data for reply in replies] == [IDENTIFIER, IDENTIFIER, None]
    assert replies[0].context is both.one.contexts[1]
    assert Script(find.next_reply()).end() is None
    assert both.peer.router.find(find.inbox.key) is None


def test_a_request_that_cannot_be_sent() -> None:
    both = Both()
    both.find()
    with pytest.raises(LocalProtocolError, match="window"):
        both.find()
    both.one.abort()
    with pytest.raises(LocalProtocolError):
        both.find()


def test_the_end_of_the_association_ends_the_wait() -> None:
    script = Script(Both().find().next_reply())
    script.expect(Receive)
    with pytest.raises(AssociationAborted):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))


def test_a_cancel_is_sent_while_the_operation_lasts() -> None:
    both = Both()
    find = both.find()
    both.answer(1)
    find.cancel()
    carry(both.one, both.other)
    both.other.next_event()
    assert both.other.is_cancelled(1)
    both.answer(1, 0xFE00)
    both.peer.turn()
    find.cancel()  # its end is here, and not read yet
    assert both.read(find).category == Category.CANCEL
    find.cancel()
    assert carry(both.one, both.other) is False


def test_not_everything_can_be_cancelled() -> None:
    both = Both()
    echo = Invoking(both.peer, CEchoRQ(), both.one.contexts[3])
    with pytest.raises(LocalProtocolError):
        echo.cancel()


def test_closing_drops_what_comes_and_spares_the_next_one_with_its_id() -> None:
    both = Both()
    first = both.find(7)
    first.close()
    assert Script(first.next_reply()).end() is None
    both.answer(7, PENDING, 0)
    both.peer.turn()
    second = both.find(7)
    first.close()
    first.cancel()
    both.answer(7, 0)
    assert both.read(second).category == Category.SUCCESS
    assert not both.other.is_cancelled(7)


def test_one_request_one_response() -> None:
    both = Both()
    script = Script(invoke(both.peer, CEchoRQ(), both.one.contexts[3]))
    assert script.expect(Receive).inbox.key == (1, True)
    assert both.peer.router.find((1, True)) is not None
    with pytest.raises(AssociationAborted):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))
    assert both.peer.router.find((1, True)) is None
