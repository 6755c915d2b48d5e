"""The life of an association from its opening to each of its ends, and in which order handlers are told of it."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CFindRSP
from dicom_proto.errors import LocalProtocolError, NoContextError
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.event import Event
from dicom_proto.programs.effects import Await, Call, Receive
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationRejected,
    AssociationTimedOut,
)
from dicom_proto.upper_layer.pdu import AAssociateRJ, AReleaseRQ, encode_pdu
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts, Timer
from tests.proto.application.lives import HERE, LIFE, THERE, Couple, Diary, MemoryAssociation, entity, fate
from tests.proto.programs.script import PENDING, STUDY_FIND, Script, dataset_of

OPENING = ["CONN_OPEN", "ACCEPTED", "ESTABLISHED"]
RECEPTION = ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED"]
REJECTION = AAssociateRJ(2, 1, 7)
QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")


def established(**how: Any) -> Couple:
    return Couple(**how).establish().settle()


def told(name: str) -> tuple[list[str], list[str]]:
    """What both are told of an association that ended in some way."""
    return [*OPENING, name, "CONN_CLOSE"], [*RECEPTION, name, "CONN_CLOSE"]


def called(call: Call) -> str:
    """Make a call as a driver does; return the event."""
    call.function(*call.arguments)
    name: str = call.arguments[0].name.removeprefix("EVT_")
    return name


# --- the beginning ----------------------------------------------------------------------------------------------------


def test_established() -> None:
    couple = established()
    assert couple.told == (OPENING, RECEPTION)
    assert fate(couple.scu) == fate(couple.scp) == {"established"}
    assert (couple.scu.is_requestor, couple.scu.is_acceptor) == (True, False)
    assert (couple.scp.is_requestor, couple.scp.is_acceptor) == (False, True)
    assert couple.scu.failure is None
    assert [vars(event)["address"] for diary in couple.diaries for event in diary.events[:1]] == [THERE, HERE]
    assert {event.assoc for event in couple.diaries[0].events} == {couple.scu}


def test_the_requestor_waits_until_its_handlers_have_been_told() -> None:
    couple = Couple()
    couple.establish()
    assert couple.told[0] == OPENING


def test_what_nobody_has_bound_is_not_kept_to_be_told() -> None:
    couple = Couple()
    for kind in LIFE:
        couple.scu.unbind(kind, couple.diaries[0].write)
    couple.establish().settle()
    assert couple.told == (["CONN_OPEN"], RECEPTION)
    assert fate(couple.scu) == {"established"}
    assert not couple.scu.notifier.has_pending


def test_not_established_before_the_answer() -> None:
    couple = Couple()
    assert fate(couple.scu) == fate(couple.scp) == set()


@pytest.mark.parametrize("how", ["by whatever is asked for", "by its policy"])
def test_rejected(how: str) -> None:
    picky = entity("OTHER")
    picky.require_called_aet = True
    couple = established(reception=REJECTION if how == "by whatever is asked for" else picky.policy())
    assert couple.told == (
        ["CONN_OPEN", "REJECTED", "CONN_CLOSE"],
        ["CONN_OPEN", "REQUESTED", "REJECTED", "CONN_CLOSE"],
    )
    assert fate(couple.scu) == fate(couple.scp) == {"rejected", "over"}
    assert isinstance(couple.scu.failure, AssociationRejected)
    assert couple.scu.end() is couple.scu.failure


def test_no_context_is_accepted() -> None:
    couple = established(offer=entity("HERE", "1.2.3.4").offer("THERE"))
    assert isinstance(couple.scu.failure, NoContextError)
    assert "1.2.3.4" in str(couple.scu.failure)
    assert isinstance(couple.scu.end(), AssociationClosed)  # for those who wait for something
    assert fate(couple.scu) == fate(couple.scp) == {"aborted", "over"}
    assert couple.told == told("ABORTED")


@pytest.mark.parametrize("kind", [evt.EVT_CONN_OPEN, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED])
def test_handler_of_the_requestor_aborts_while_it_begins(kind: evt.EventKind) -> None:
    couple = established(here=[(kind, lambda event: event.assoc.abort())])
    assert fate(couple.scu) == {"aborted", "over"}
    assert isinstance(couple.scu.failure, AssociationClosed)
    assert couple.told[0][-2:] == ["ABORTED", "CONN_CLOSE"]


def test_handler_aborts_before_the_answer() -> None:
    couple = established(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.abort())])
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]
    assert fate(couple.scp) == {"aborted", "over"}
    assert couple.told[0] == ["CONN_OPEN", "ABORTED", "CONN_CLOSE"]
    assert isinstance(couple.scu.failure, AssociationAborted)
    assert couple.scp.errors() == []


def test_the_peer_is_gone_before_the_answer() -> None:
    couple = Couple(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.lose())])
    couple.wire.carry()
    couple.scp.turn()
    assert fate(couple.scp) == {"aborted", "over"}
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED"]
    couple.scp.turn()
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["scu", "scp"])
def test_released(who: str) -> None:
    couple = established()
    getattr(couple, who).release()
    assert fate(getattr(couple, who)) == {"released", "over"}
    couple.settle()
    assert couple.told == told("RELEASED")
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}
    assert couple.scu.failure is couple.scp.failure is None
    assert isinstance(couple.scu.end(), AssociationClosed)


def test_both_release_at_the_same_time() -> None:
    couple = established()
    parting = [end.start(end.part(is_handling=False)) for end in (couple.scu, couple.scp)]
    couple.settle()
    assert [task.is_done for task in parting] == [True, True]
    assert couple.told == told("RELEASED")
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}
    assert couple.scu.errors() == couple.scp.errors() == []


@pytest.mark.parametrize(("who", "other"), [("scu", "scp"), ("scp", "scu")])
def test_aborted(who: str, other: str) -> None:
    couple = established()
    getattr(couple, who).abort()
    assert fate(getattr(couple, who)) == {"aborted", "over"}
    couple.settle()
    assert couple.told == told("ABORTED")
    assert isinstance(getattr(couple, who).end(), AssociationClosed)
    failure = getattr(couple, other).failure
    assert isinstance(failure, AssociationAborted)
    assert failure.origin is AbortOrigin.PEER_USER


@pytest.mark.parametrize("who", ["scu", "scp"])
def test_connection_is_lost(who: str) -> None:
    couple = established()
    loser = getattr(couple, who)
    loser.lose()
    couple.settle()
    assert fate(loser) == {"aborted", "over"}
    assert loser.end().origin is AbortOrigin.TRANSPORT
    assert couple.told == told("ABORTED")


def test_connection_is_lost_before_the_request() -> None:
    couple = Couple()
    couple.scp.lose()
    couple.scp.turn()
    assert fate(couple.scp) == {"over"}
    assert couple.told[1] == ["CONN_OPEN", "CONN_CLOSE"]
    assert isinstance(couple.scp.failure, AssociationClosed)


def test_the_request_never_comes() -> None:
    couple = Couple(timeouts=Timeouts())
    couple.scp.time_out()
    couple.scp.turn()
    assert fate(couple.scp) == {"over"}
    assert couple.told[1] == ["CONN_OPEN", "CONN_CLOSE"]
    assert isinstance(couple.scp.failure, AssociationTimedOut)


def test_the_answer_never_comes() -> None:
    couple = Couple(timeouts=Timeouts())
    establishing = couple.scu.start(couple.scu.establish())
    couple.scu.send()
    couple.scu.time_out()
    couple.scu.turn()
    couple.scu.send()
    assert establishing.is_done
    assert isinstance(couple.scu.failure, AssociationTimedOut)
    assert couple.scu.failure.timer is Timer.REQUEST
    assert fate(couple.scu) == {"aborted", "over"}
    assert couple.told[0] == ["CONN_OPEN", "ABORTED"]


@pytest.mark.parametrize("reception", [None, REJECTION])
def test_the_peer_never_closes_the_connection(reception: AAssociateRJ | None) -> None:
    couple = Couple(timeouts=Timeouts(), reception=reception)
    couple.wire.carry()
    couple.scp.turn()
    if reception is None:
        couple.scp.receive([encode_pdu(AReleaseRQ())])
        couple.scp.turn()
    couple.scp.send()
    assert couple.scp.peer.connection.state is State.Sta13
    couple.scp.time_out()
    couple.scp.turn()
    assert fate(couple.scp) == {"released" if reception is None else "rejected", "over"}
    assert couple.told[1][-2:] == ["RELEASED" if reception is None else "REJECTED", "CONN_CLOSE"]


@pytest.mark.parametrize("reception", [None, REJECTION])
def test_aborted_when_all_is_said(reception: AAssociateRJ | None) -> None:
    """It has ended already, and only the connection is still open: that it is closed now changes nothing."""
    couple = Couple(reception=reception)
    couple.wire.carry()
    couple.scp.turn()
    if reception is None:
        couple.scp.receive([encode_pdu(AReleaseRQ())])
        couple.scp.turn()
    couple.scp.abort()
    couple.scp.turn()
    assert fate(couple.scp) == {"released" if reception is None else "rejected", "over"}
    assert couple.scp.failure is None
    assert isinstance(couple.scp.end(), AssociationClosed)


def test_the_end_is_noticed_once() -> None:
    couple = established()
    assert not couple.scp.conclude()
    couple.scp.give_up()
    failure = couple.scp.failure
    couple.scp.lose()
    assert couple.scp.conclude()
    couple.scp.give_up()
    assert couple.scp.failure is failure


def test_nobody_waits_for_what_has_not_begun() -> None:
    assert isinstance(MemoryAssociation(entity()).end(), AssociationClosed)


# --- parting ----------------------------------------------------------------------------------------------------------


def parting(couple: Couple, *, is_handling: bool = False) -> Script[None]:
    return Script(couple.scu.part(is_handling=is_handling))


def test_what_the_peer_was_asked_for_is_waited_for() -> None:
    couple = established()
    connection = couple.scu.peer.connection
    connection.send_request(CEchoRQ(), context=1)
    script = parting(couple)
    answered = script.expect(Await)
    assert answered.condition() is None
    couple.wire.carry()
    couple.scp.turn()
    couple.wire.carry()
    couple.scu.conclude()
    assert answered.condition()
    over = script.expect(Await, answered.condition())
    assert over.condition() is None
    assert connection.state is State.Sta7
    couple.settle()
    assert over.condition()
    script.end(over.condition())


def test_what_nobody_reads_is_not_waited_for() -> None:
    """The router is full: it may be the one who parts that would have to ask for it."""

    def many(_: Event) -> Iterator[Any]:
        for number in range(1000):
            yield PENDING, dataset_of(PatientID=str(number))

    couple = established(there=[(evt.EVT_C_FIND, many)])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    next(results)
    couple.settle()
    assert couple.scu.peer.router.is_full
    with pytest.raises(LocalProtocolError, match="have not been answered"):
        couple.scu.release()
    couple.scu.abort()


def test_a_handler_waits_for_nothing() -> None:
    couple = established()
    couple.scu.peer.connection.send_request(CEchoRQ(), context=1)
    with pytest.raises(LocalProtocolError, match="have not been answered"):
        parting(couple, is_handling=True).end()
    couple = established()
    assert parting(couple, is_handling=True).expect(Await).condition() is None


def test_no_association_to_part_from() -> None:
    couple = established()
    couple.scu.abort()
    parting(couple).end()
    parting(couple, is_handling=True).end()


def test_the_association_ends_before_it_can_be_released() -> None:
    couple = established()
    script = parting(couple)
    script.expect(Await)
    couple.scu.give_up()
    script.end(True)
    couple = established()
    script = parting(couple)
    script.expect(Await)
    script.fail_at_last(AssociationClosed("gone"))


# --- operations -------------------------------------------------------------------------------------------------------


def test_operation_whose_handler_aborts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dicom_proto.services")
    couple = established(there=[(evt.EVT_C_FIND, lambda event: event.assoc.abort())])
    assert list(couple.scu.send_c_find(QUERY, STUDY_FIND)) == [(Dataset(), None)]
    assert couple.scp.errors() == []
    assert "C-FIND-RQ was not answered" in caplog.text
    assert couple.settle().told == told("ABORTED")


def test_the_peer_releases_in_the_middle_of_an_operation() -> None:
    """It may not, and some do: what it asked for is dropped."""

    def many(event: Event) -> Iterator[Any]:
        for number in range(3):
            if number == 1:
                event.assoc.receive([encode_pdu(AReleaseRQ())])
                event.assoc.turn()
            yield PENDING, dataset_of(PatientID=str(number))

    couple = established(there=[(evt.EVT_C_FIND, many)])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    assert [len(status) for status, _ in results] == [2, 0]
    couple.settle()
    assert couple.scp.errors() == []
    assert fate(couple.scp) == {"released", "over"}
    assert couple.told[1] == told("RELEASED")[1]


def test_error_that_the_end_does_not_explain() -> None:
    couple = established()
    couple.scu.peer.connection.send_request(CFindRQ(affected_sop_class_uid=STUDY_FIND), context=5, data=b"  ")
    couple.wire.carry()
    summons = couple.scp.peer.router.next_summons()
    assert summons is not None
    script = Script(couple.scp.attend(summons))
    script.expect(Receive)
    couple.scp.peer.connection.send_response(CFindRSP(message_id_being_responded_to=1, status=0xA700))
    with pytest.raises(LocalProtocolError, match="no explanation"):
        script.fail_at_last(LocalProtocolError("no explanation"))
    assert fate(couple.scp) == {"established"}


# --- telling ----------------------------------------------------------------------------------------------------------


def alone(*bindings: Any) -> tuple[MemoryAssociation, Diary]:
    """An acceptor with an open connection, of which nobody has been told, and what its handlers are told."""
    diary = Diary()
    life = MemoryAssociation(entity(), [*diary.bindings(), *bindings], policy=entity().policy())
    life.peer.connection.connection_made(now=0)
    return life, diary


def test_nothing_to_tell() -> None:
    life, diary = alone()
    assert not life.has_news
    Script(life.tell()).end()
    assert diary.names == []


def test_every_handler_with_its_arguments() -> None:
    seen: list[Any] = []
    life, _ = alone((evt.EVT_CONN_OPEN, lambda event, *more: seen.append((event.address, *more)), ["a", "b"]))
    life.start(life.opened(THERE))
    life.turn()
    assert seen == [(THERE, "a", "b")]


def test_what_a_handler_makes_happen_is_told_after_it() -> None:
    life, diary = alone()
    telling = Script(life.opened(THERE))
    call = telling.expect(Call)
    Script(life.notify(evt.EVT_ABORTED)).end()  # somebody is telling already
    assert not life.has_news
    assert called(call) == "CONN_OPEN"
    assert called(telling.expect(Call)) == "ABORTED"
    telling.end()
    assert diary.names == ["CONN_OPEN", "ABORTED"]
    assert not life.has_news


def test_what_passes_while_somebody_tells_is_left_to_them() -> None:
    life, _ = alone()
    life.notifier.add(evt.EVT_REQUESTED, {})
    life.notifier.add(evt.EVT_ACCEPTED, {})
    telling = Script(life.tell())
    assert called(telling.expect(Call)) == "REQUESTED"
    life.notifier.add(evt.EVT_ABORTED, {})
    assert not life.has_news
    Script(life.tell()).end()
    assert called(telling.expect(Call)) == "ACCEPTED"
    assert called(telling.expect(Call)) == "ABORTED"
    life.notifier.add(evt.EVT_RELEASED, {})
    assert called(telling.expect(Call)) == "RELEASED"
    telling.end()


def test_telling_that_is_given_up_holds_nobody_up() -> None:
    life, _ = alone()
    telling = Script(life.opened(THERE))
    telling.expect(Call)
    life.notifier.add(evt.EVT_ABORTED, {})
    telling.program.close()
    assert life.has_news
    assert called(Script(life.tell()).expect(Call)) == "ABORTED"


def test_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    life, diary = alone()
    life.bind(evt.EVT_CONN_OPEN, lambda _: 1 // 0)
    life.start(life.opened(THERE))
    life.start(life.notify(evt.EVT_ABORTED))
    life.turn()
    assert diary.names == ["CONN_OPEN", "ABORTED"]
    assert life.errors() == []
    assert "a handler of EVT_CONN_OPEN raised" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("does", [lambda life: life.give_up(), lambda _: None], ids=["abort", "nothing"])
def test_the_answer_waits_for_a_handler_that_somebody_else_calls(does: Callable[[MemoryAssociation], None]) -> None:
    """It is told of the request only after it, and may want to abort then."""
    life, diary = alone()
    telling = Script(life.opened(THERE))
    opening = telling.expect(Call)
    life.receive([encode_pdu(entity().offer("THERE"))])
    summons = life.peer.router.next_summons()
    assert summons is not None
    answering = Script(life.attend(summons))
    told_of_it = answering.expect(Await)
    assert told_of_it.condition() is None
    called(opening)
    assert called(telling.expect(Call)) == "REQUESTED"
    assert told_of_it.condition() is None
    does(life)
    telling.end()
    assert told_of_it.condition()
    if fate(life):
        answering.end(True)
        assert life.peer.connection.state is State.Sta13
    else:
        assert called(answering.expect(Call, True)) == "ACCEPTED"
        assert called(answering.expect(Call)) == "ESTABLISHED"
        answering.end()
        assert fate(life) == {"established"}
    assert diary.names[:2] == ["CONN_OPEN", "REQUESTED"]


def test_what_passes_is_told_in_its_place() -> None:
    """PDUs are shown, between the events that they lead to."""
    diary = Diary()
    shown = (evt.EVT_ACSE_RECV, evt.EVT_ACSE_SENT, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_RELEASED)
    couple = established(there=diary.bindings(*shown))
    couple.scu.release()
    couple.settle()
    seen = ["ACSE_RECV", "REQUESTED", "ACCEPTED", "ACSE_SENT", "ACSE_RECV", "ACSE_SENT", "RELEASED"]
    assert diary.names == seen
