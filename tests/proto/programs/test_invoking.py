"""Operations that this side invokes."""

from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, ResponseReceived
from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CFindRSP
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.limits import Limits
from dicom_proto.programs.effects import END, Await, Call, Receive
from dicom_proto.programs.invoking import Invoking, Reply, invoke
from dicom_proto.programs.peer import Peer
from dicom_proto.status import Category
from dicom_proto.testing.pair import CT, answer, associate, offer, sent
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationClosed
from tests.proto.dimse.pairs import (
    FAILED,
    NO_TIMEOUTS,
    odd_message,
    receive,
)
from tests.proto.programs.script import (
    DEFLATED,
    EXPLICIT,
    PENDING,
    STUDY_FIND,
    VERIFICATION,
    InPieces,
    Script,
    ScriptedPeer,
    Task,
    carry,
    connected,
    data_set,
    offer_of,
)
from tests.proto.rows import for_each

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


# --- the list of failed SOP Instances (PS3.4 C.4.3.1.3) in the command set --------------------------------------------

GET = "1.2.840.10008.5.1.4.1.2.2.3"


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


def test_the_data_set_of_the_one_response_comes_in_pieces() -> None:
    both = Both()
    script = Script(invoke(both.peer, CFindRQ(affected_sop_class_uid=STUDY_FIND), both.one.contexts[1], IDENTIFIER))
    inbox = script.expect(Receive).inbox
    response = CFindRSP(message_id_being_responded_to=1, status=0xB000)
    script.expect(Receive, ResponseReceived(1, 1, response, True))
    script.expect(Receive, DataChunk(1, True, b"ab", False))
    reply = script.end(DataChunk(1, True, b"cd", True))
    assert (reply.response, reply.data) == (response, b"abcd")
    assert both.peer.router.find(inbox.key) is None


# --- a data set that is read while it is sent -------------------------------------------------------------------------


class Storing:
    """A C-STORE whose data set comes in pieces, and who receives it."""

    def __init__(self, *pieces: bytes | Exception, transfer_syntax: str = DEFLATED) -> None:
        self.aborts = 0
        self.near, self.far = connected(offer_of((CT, transfer_syntax)), limits=Limits(send_queue=1000))
        self.peer = ScriptedPeer(self.near, Handlers(), self)
        request = m.CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
        self.invoking = Invoking(self.peer, request, self.near.contexts[1], InPieces(*pieces))
        self.task = Task(self.peer, self.invoking.feed())

    def abort_soon(self) -> None:
        self.aborts += 1

    def carry(self) -> bytes:
        """Carry it over; return what has arrived of it."""
        arrived = []
        while self.task.advance() or carry(self.near, self.far):
            while (event := self.far.next_event()) is not None:
                if isinstance(event, DataChunk):
                    arrived.append(bytes(event.data))
        return b"".join(arrived)


def test_pieces_are_asked_for_as_there_is_room() -> None:
    storing = Storing(*[bytes(60_000)] * 5)
    asked = [effect for effect in storing.task.effects if isinstance(effect, Call)]
    assert len(asked) == 4
    assert isinstance(storing.task.effects[-1], Await)
    assert storing.carry() == bytes(300_000)
    assert (storing.task.is_done, storing.task.value, storing.aborts) == (True, 300_000, 0)
    assert all(effect.function is next and effect.arguments[1] is END for effect in asked)
    assert Task(storing.peer, storing.invoking.feed()).value == 0


def test_what_is_no_source_needs_no_feeding() -> None:
    both = Both()
    assert Script(both.find().feed()).end() == 0


def test_an_odd_length_can_be_padded_if_it_was_deflated() -> None:
    storing = Storing(b"123", b"", b"45")
    assert storing.carry() == b"12345\0"
    assert storing.task.value == 6


@for_each(
    ("pieces", "error"),
    [
        ((b"123",), LocalProtocolError),
        ((b"12", OSError(5, "")), OSError),
        ((b"12", ArithmeticError()), ArithmeticError),
    ],
)
def test_what_cannot_be_sent_to_its_end_costs_the_association(pieces: Any, error: type[Exception]) -> None:
    storing = Storing(*pieces, transfer_syntax=EXPLICIT)
    storing.carry()
    assert type(storing.task.error) is error
    assert storing.aborts == 1


def test_the_association_may_end_meanwhile() -> None:
    storing = Storing(*[bytes(60_000)] * 5)
    storing.peer.give_up()
    storing.carry()
    assert isinstance(storing.task.error, AssociationClosed)
