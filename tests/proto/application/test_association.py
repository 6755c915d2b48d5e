"""The life of an association from its opening to each of its ends, whom it tells of what, and what it shows."""

import gc
import logging
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.application.association import HANDLING, EntityAssociation
from dicom_proto.application.service_user import NOWHERE
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CFindRQ, CFindRSP
from dicom_proto.errors import LocalProtocolError, NoContextError, NotEstablishedError
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.contexts import build_role
from dicom_proto.programs.effects import Await, Call, Program, Receive
from dicom_proto.programs.peer import Peer, RunsPrograms
from dicom_proto.programs.streams import Stream
from dicom_proto.programs.user_programs import sop_classes
from dicom_proto.testing import pair as wire
from dicom_proto.testing.network import MemoryAssociation, Network
from dicom_proto.upper_layer.events import AbortOrigin, AssociateAccepted, ReleaseRequested, Tolerated
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationFailure,
    AssociationRejected,
    AssociationTimedOut,
)
from dicom_proto.upper_layer.pdu import AAssociateRJ, AReleaseRQ, encode_pdu
from dicom_proto.upper_layer.policy import Policy
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timer
from tests.proto.application.lives import HERE, LIFE, THERE, Couple, Diary, arrive, entity, fate
from tests.proto.programs.script import (
    CANCEL,
    CT,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    VERIFICATION,
    Script,
    data_set,
    dataset_of,
)

OPENING = RECEPTION = ["CONN_OPEN", "REQUESTED", "ACCEPTED", "ESTABLISHED"]
REJECTION = AAssociateRJ(2, 1, 7)
QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")
FAILED = "an association failed"
"""What the engine logs of programs that it has started itself."""


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


def status_of(status: Dataset) -> int:
    return int(status.Status)


def ignore(event: Any, *more: Any) -> None:
    """A handler, to be bound and never called."""


def image(number: int = 1) -> Dataset:
    return dataset_of(SOPClassUID=CT, SOPInstanceUID=f"1.2.{number}", PatientID="1")


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
    couple.scu.turn()
    for kind in LIFE:
        couple.scu.unbind(kind, couple.diaries[0].write)
    couple.establish().settle()
    assert couple.told == (["CONN_OPEN"], RECEPTION)
    assert fate(couple.scu) == {"established"}
    assert not couple.scu.notifier.has_pending


def test_not_established_before_the_answer() -> None:
    couple = Couple()
    assert fate(couple.scu) == fate(couple.scp) == set()
    assert (couple.scu.requestor.address, MemoryAssociation(couple.network, entity(), ()).local_address) == (
        HERE[0],
        NOWHERE,
    )


@pytest.mark.parametrize("how", ["whatever is asked for", "by its policy", "when it is asked for"])
def test_rejected(how: str) -> None:
    picky = entity("OTHER")
    picky.require_called_aet = True
    seen: list[Any] = []

    def choose(association: Any, offer: Any) -> Policy | AAssociateRJ:
        seen.append((association, offer.called_ae_title))
        return REJECTION

    receptions = {"whatever is asked for": REJECTION, "by its policy": picky.policy(), "when it is asked for": choose}
    couple = established(reception=receptions[how])
    assert couple.told == (
        ["CONN_OPEN", "REQUESTED", "REJECTED", "CONN_CLOSE"],
        ["CONN_OPEN", "REQUESTED", "REJECTED", "CONN_CLOSE"],
    )
    assert fate(couple.scu) == fate(couple.scp) == {"rejected", "over"}
    assert isinstance(couple.scu.failure, AssociationRejected)
    assert str(couple.scu.end()) == str(couple.scu.failure)
    assert isinstance(couple.scp.failure, AssociationRejected)
    assert str(couple.scp.end()) == "this side has rejected the association"
    assert seen == ([(couple.scp, "THERE")] if how == "when it is asked for" else [])


def test_an_association_that_was_rejected_is_over_at_once() -> None:
    couple = Couple(reception=REJECTION)
    couple.scu.turn()
    couple.network.associations.remove(couple.scu)
    couple.settle()
    assert couple.scp.peer.connection.state is State.Sta13  # the peer has yet to close the connection
    assert fate(couple.scp) == {"rejected", "over"}
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED", "REJECTED"]


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


def test_handler_aborts_before_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    couple = established(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.abort())])
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]
    assert fate(couple.scp) == {"aborted", "over"}
    assert couple.told[0] == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]
    assert isinstance(couple.scu.failure, AssociationAborted)
    assert FAILED not in caplog.text


def test_the_peer_is_gone_before_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    couple = Couple(there=[(evt.EVT_REQUESTED, lambda event: event.assoc.cut())])
    couple.wait()
    assert fate(couple.scp) == {"aborted", "over"}
    assert couple.told[1] == ["CONN_OPEN", "REQUESTED", "ABORTED", "CONN_CLOSE"]
    assert FAILED not in caplog.text


@pytest.mark.parametrize("end", [lambda assoc: assoc.cut(), lambda assoc: assoc.abort()], ids=["lost", "aborted"])
def test_the_association_ends_while_an_answer_is_chosen(
    end: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A handler of the user identity decides on the answer, and may take its time."""
    offer = entity().offer("THERE", items=[identity()])

    def handler(event: Any) -> tuple[bool, None]:
        end(event.assoc)
        return True, None

    couple = Couple(there=[(evt.EVT_USER_ID, handler)], offer=offer)
    couple.wait()
    assert "aborted" in fate(couple.scp)
    assert "ACCEPTED" not in couple.told[1]
    assert FAILED not in caplog.text


def identity() -> Any:
    from dicom_proto.offers.items import UserIdentityNegotiation  # noqa: PLC0415

    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = 1, b"somebody"
    return item


def test_requests_are_served_after_the_handlers_of_its_beginning_have_run() -> None:
    diary: list[str] = []
    waiting: list[Any] = []

    class Slow(MemoryAssociation):
        def _perform(self, task: Any, effect: Any) -> None:
            if isinstance(effect, Call) and effect.arguments[0].event is evt.EVT_ESTABLISHED:
                waiting.append((task, effect))
            else:
                super()._perform(task, effect)

    network = Network()
    scu = MemoryAssociation(network, entity(), ())
    scp = Slow(
        network,
        entity(),
        [(kind, lambda event: diary.append(event.name)) for kind in (evt.EVT_ESTABLISHED, evt.EVT_DIMSE_SENT)],
        entity().policy(),
    )
    scu.peer.connection.request(entity().offer("THERE"))
    network.associations += [scu, scp]
    scu.open(scp)
    scp.open(scu)
    scu.run(scu.establish())
    scu.peer.connection.send_request(CEchoRQ(), context=1)
    network.settle()
    assert scp.peer.connection.performed
    ((task, effect),) = waiting
    effect.function(*effect.arguments)
    scp.engine.resume(task)
    network.settle()
    assert not scp.peer.connection.performed
    assert diary == ["EVT_ESTABLISHED", "EVT_DIMSE_SENT"]


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
    assert {str(getattr(couple, side).end()) for side in ("scu", "scp")} == {
        "the association has been released",
        "the peer has released the association",
    }


def test_both_release_at_the_same_time(caplog: pytest.LogCaptureFixture) -> None:
    couple = established()
    parting = [end.engine.start(end.part()) for end in (couple.scu, couple.scp)]
    couple.scu.turn()
    on_the_way, couple.scp.on_the_way = couple.scp.on_the_way, deque()
    couple.scp.turn()
    couple.scp.on_the_way = on_the_way
    assert (couple.scu.peer.connection.state, couple.scp.peer.connection.state) == (State.Sta7, State.Sta7)
    couple.settle()
    assert [task.is_done for task in parting] == [True, True]
    assert [task.error for task in parting] == [None, None]
    assert couple.told == told("RELEASED")
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}
    assert FAILED not in caplog.text


@pytest.mark.parametrize(("who", "other"), [("scu", "scp"), ("scp", "scu")])
def test_aborted(who: str, other: str) -> None:
    couple = established()
    getattr(couple, who).abort()
    couple.settle()
    assert fate(couple.scu) == fate(couple.scp) == {"aborted", "over"}
    assert couple.told == told("ABORTED")
    assert str(getattr(couple, who).end()) == "this side has aborted the association"
    failure = getattr(couple, other).failure
    assert isinstance(failure, AssociationAborted)
    assert failure.origin is AbortOrigin.PEER_USER


@pytest.mark.parametrize("who", ["scu", "scp"])
def test_connection_is_lost(who: str) -> None:
    couple = established()
    loser = getattr(couple, who)
    loser.cut()
    couple.settle()
    assert fate(loser) == {"aborted", "over"}
    assert loser.end().origin is AbortOrigin.TRANSPORT
    assert couple.told[0 if who == "scu" else 1][-2:] == ["ABORTED", "CONN_CLOSE"]


def test_the_transport_may_know_why_it_was_lost() -> None:
    couple = established()
    couple.scu.cause = ConnectionResetError(104, "reset")
    couple.scu.cut()
    couple.settle()
    assert couple.scu.failure is couple.scu.cause


def test_connection_is_lost_before_the_request() -> None:
    couple = Couple()
    couple.scp.cut()
    couple.scp.turn()
    couple.scp.turn()
    assert fate(couple.scp) == {"over"}
    assert couple.told[1] == ["CONN_OPEN", "CONN_CLOSE"]
    assert isinstance(couple.scp.failure, AssociationClosed)


def test_the_request_never_comes() -> None:
    couple = Couple()
    couple.network.associations.remove(couple.scu)  # it has no turn
    couple.wait()
    assert fate(couple.scp) == {"over"}
    assert couple.told[1] == ["CONN_OPEN", "CONN_CLOSE"]
    assert isinstance(couple.scp.failure, AssociationTimedOut)


def test_the_answer_never_comes() -> None:
    couple = Couple()
    couple.network.associations.remove(couple.scp)
    couple.establish()
    assert isinstance(couple.scu.failure, AssociationTimedOut)
    assert couple.scu.failure.timer is Timer.REQUEST
    assert fate(couple.scu) == {"aborted", "over"}
    couple.settle()
    assert couple.told[0] == ["CONN_OPEN", "REQUESTED", "ABORTED"]


def ending(reception: AAssociateRJ | None) -> Couple:
    """The acceptor's side of an association that was released or rejected, the connection still open."""
    couple = Couple(reception=reception)
    if reception is None:
        couple.establish().settle()
    else:
        couple.scu.turn()
    couple.network.associations.remove(couple.scu)
    if reception is None:
        arrive(couple.scp, encode_pdu(AReleaseRQ()))
    couple.settle()
    assert couple.scp.peer.connection.state is State.Sta13
    assert fate(couple.scp) == {"released" if reception is None else "rejected", "over"}
    return couple


@pytest.mark.parametrize("reception", [None, REJECTION])
def test_the_peer_never_closes_the_connection(reception: AAssociateRJ | None) -> None:
    couple = ending(reception)
    before = couple.network.now
    couple.wait()
    assert fate(couple.scp) == {"released" if reception is None else "rejected", "over"}
    assert couple.told[1][-2:] == ["RELEASED" if reception is None else "REJECTED", "CONN_CLOSE"]
    assert couple.network.now == before + 1


@pytest.mark.parametrize("reception", [None, REJECTION])
def test_aborted_when_all_is_said(reception: AAssociateRJ | None) -> None:
    """It has ended already, and only the connection is still open."""
    couple = ending(reception)
    words = str(couple.scp.end())
    couple.scp.abort()
    couple.wait()
    assert fate(couple.scp) == {"released" if reception is None else "rejected", "over"}
    assert couple.scp.fate == ("released" if reception is None else "rejected")
    assert str(couple.scp.end()) == words


def test_a_release_that_comes_when_this_side_has_just_aborted() -> None:
    couple = established()
    couple.scp.abort()
    arrive(couple.scp, encode_pdu(AReleaseRQ()))
    couple.settle()
    assert fate(couple.scp) == {"aborted", "over"}


def test_given_up_when_the_protocol_has_ended_it_and_nobody_has_looked() -> None:
    couple = established()
    connection = couple.scp.peer.connection
    connection.handle_timeout(1000)
    assert connection.state is State.Sta13
    couple.scp.give_up()
    assert fate(couple.scp) == {"aborted", "over"}
    assert couple.scp.failure is not None
    couple.settle()
    assert fate(couple.scp) == {"aborted", "over"}


@pytest.mark.parametrize(
    "cause",
    [None, ConnectionResetError(104, "reset"), ConnectionAbortedError("gone")],
    ids=["none", "reset", "odd"],
)
def test_what_is_probably_wrong_is_said(cause: OSError | None) -> None:
    couple = established()
    couple.scu.suspect = lambda: "it wants TLS"
    couple.scu.cause = cause
    couple.scu.cut()
    couple.settle()
    assert str(couple.scu.failure).endswith(": it wants TLS")
    assert cause is None or couple.scu.failure is cause


def test_the_end_is_noticed_once() -> None:
    couple = established()
    couple.scp.give_up()
    failure = couple.scp.failure
    couple.scp.give_up()
    couple.scp.cut()
    couple.settle()
    assert couple.scp.failure is failure
    assert str(couple.scp.end()) == "this side has aborted the association"


def test_an_abort_before_the_connection_was_made() -> None:
    alone = MemoryAssociation(Network(), entity(), ())
    assert str(alone.end()) == "there is no association"
    assert isinstance(alone.end(), AssociationClosed)


def test_every_wait_gets_an_exception_of_its_own() -> None:
    couple = established()
    waiting = [couple.scu.engine.start(never()) for _ in range(3)]
    couple.scp.abort()
    couple.settle()
    errors = [task.error for task in waiting]
    assert len({id(error) for error in errors}) == 3
    assert {str(error) for error in errors} == {"association ended by the peer's UL service-user"}


def never() -> Program[None]:
    yield Await(lambda: None)


def test_who_waits_is_told_that_the_peer_has_released() -> None:
    couple = established()
    waiting = couple.scp.engine.start(never())
    couple.scu.release()
    couple.settle()
    with pytest.raises(AssociationClosed, match="the peer has released the association"):
        waiting.result()


# --- parting ----------------------------------------------------------------------------------------------------------


def test_what_the_peer_was_asked_for_is_waited_for() -> None:
    couple = established()
    connection = couple.scu.peer.connection
    connection.send_request(CEchoRQ(), context=1)
    couple.network.associations.remove(couple.scp)
    parting = couple.scu.engine.start(couple.scu.part())
    couple.settle()
    assert (parting.is_done, connection.state) == (False, State.Sta6)
    couple.network.associations.append(couple.scp)
    couple.settle()
    assert parting.is_done
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}


def test_a_handler_waits_for_nothing() -> None:
    couple = established()
    couple.scu.peer.connection.send_request(CEchoRQ(), context=1)
    token = HANDLING.set((couple.scu,))
    try:
        parting = couple.scu.part()
    finally:
        HANDLING.reset(token)
    with pytest.raises(LocalProtocolError, match="have not been answered"):
        Script(parting).end()


def test_handler_releases() -> None:
    """Nothing is waited for before: this side has asked for nothing that the handler would hold up."""
    couple = established(there=[(evt.EVT_ESTABLISHED, lambda event: event.assoc.release())])
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}


def test_no_association_to_part_from() -> None:
    couple = established()
    couple.scu.abort()
    couple.settle()
    Script(couple.scu.part()).end()
    couple.scu.release()


def test_the_association_ends_before_it_can_be_released() -> None:
    couple = established()
    couple.scu.peer.connection.send_request(CEchoRQ(), context=1)
    script = Script(couple.scu.part())
    script.expect(Await)
    couple.scu.give_up()
    script.end(True)
    couple = established()
    script = Script(couple.scu.part())
    script.expect(Await)
    script.fail_at_last(AssociationClosed("gone"))


def many(number: int) -> Any:
    def handler(event: RequestEvent) -> Iterator[Any]:
        for patient in range(number):
            if event.is_cancelled:
                yield CANCEL, None
                return
            yield PENDING, dataset_of(PatientID=str(patient), PatientComments="x" * 3000)

    return handler


@pytest.mark.parametrize("matches", [100, 300, 600])
def test_results_that_have_a_name_and_are_left_are_cancelled_and_skipped_at_the_release(matches: int) -> None:
    """The inbox takes 256 events, and the connection 1 MiB: what nobody asks for must not be in the way of the last."""
    couple = established(there=[(evt.EVT_C_FIND, many(matches))])
    with couple.scu as assoc:
        results = assoc.send_c_find(QUERY, STUDY_FIND)
        for _ in results:
            break
        couple.settle()
    assert fate(couple.scu) == {"released", "over"}
    couple.settle()
    assert fate(couple.scp) == {"released", "over"}
    assert couple.told == told("RELEASED")
    assert list(results) == []  # and nothing is wrong with who asks later


def test_results_that_are_asked_for_again_are_not_forgotten() -> None:
    couple = established(there=[(evt.EVT_C_FIND, many(3))])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    assert [len(status) for status, _ in results] == [1, 1, 1, 1]
    couple.scu.release()


def test_results_that_nobody_wants() -> None:
    couple = established(there=[(evt.EVT_C_FIND, many(600))])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    next(results)
    results.close()  # type: ignore[attr-defined]
    couple.settle()
    assert status_of(couple.scu.send_c_echo()) == 0


def test_results_that_are_forgotten_when_all_is_over() -> None:
    couple = established(there=[(evt.EVT_C_FIND, many(300))])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    next(results)
    couple.scu.abort()
    couple.settle()
    results.close()  # type: ignore[attr-defined]


class Stubborn(Stream[int]):
    """Results of which there is no end, and which cannot be cancelled."""

    is_over = False
    dismissed = abandoned = 0

    def dismiss(self) -> None:
        self.dismissed += 1
        self.is_over = self.abandoned > 0

    def next(self) -> Program[int | None]:
        yield from ()
        return 1

    def abandon(self) -> None:
        self.abandoned += 1
        if self.abandoned == 1:
            raise LocalProtocolError("it cannot be cancelled")
        self.is_over = True


def test_results_that_cannot_be_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto.association")
    couple, stream = established(), Stubborn()
    couple.scu.forget(stream)
    couple.scu.send_c_echo()
    couple.wait()
    assert "were not cancelled: it cannot be cancelled" in caplog.text


def test_results_that_are_forgotten_twice() -> None:
    couple, stream = established(), Stubborn()
    stream.abandoned = 1
    for _ in range(2):
        couple.scu.forget(stream)
    couple.wait()
    couple.scu.forget(stream)
    assert (stream.dismissed, stream.abandoned) == (1, 2)


# --- operations -------------------------------------------------------------------------------------------------------


def test_operation_whose_handler_aborts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dicom_proto")
    couple = established(there=[(evt.EVT_C_FIND, lambda event: event.assoc.abort() or 5)])
    assert list(couple.scu.send_c_find(QUERY, STUDY_FIND)) == [(Dataset(), None)]
    assert FAILED not in caplog.text
    assert "C-FIND-RQ was not answered" in caplog.text
    assert couple.settle().told == told("ABORTED")


def test_the_peer_releases_in_the_middle_of_an_operation(caplog: pytest.LogCaptureFixture) -> None:
    """It may not, and some do: what it asked for is answered first (PS3.8 9.2.3, AR-7)."""

    def handler(event: Any) -> Iterator[Any]:
        for number in range(3):
            if number == 1:
                arrive(event.assoc, encode_pdu(AReleaseRQ()))
                event.assoc.turn()
            yield PENDING, dataset_of(PatientID=str(number))

    couple = established(there=[(evt.EVT_C_FIND, handler)])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    assert [status_of(status) for status, _ in results] == [PENDING] * 3 + [0]
    couple.wait()
    assert FAILED not in caplog.text
    assert fate(couple.scp) == {"released", "over"}
    assert couple.told[1] == told("RELEASED")[1]


def test_error_that_the_end_does_not_explain() -> None:
    couple = established()
    couple.scu.peer.connection.send_request(CFindRQ(affected_sop_class_uid=STUDY_FIND), context=5, data=b"  ")
    couple.scu.turn()
    for _, block in couple.scp.on_the_way:
        couple.scp.peer.connection.receive_data(block, now=0)
    received = couple.scp.peer.connection.next_event()
    script = Script(couple.scp.attend(received))  # type: ignore[arg-type]
    script.expect(Receive)
    couple.scp.peer.connection.next_event()
    couple.scp.peer.connection.send_response(CFindRSP(message_id_being_responded_to=1, status=0xA700))
    with pytest.raises(LocalProtocolError, match="no explanation"):
        script.fail_at_last(LocalProtocolError("no explanation"))
    assert fate(couple.scp) == {"established"}


def test_a_response_that_nobody_waits_for_is_dropped() -> None:
    couple = established()
    couple.scu.peer.connection.send_request(CEchoRQ(), context=1)
    couple.settle()
    assert not couple.scu.peer.connection.invoked
    assert status_of(couple.scu.send_c_echo()) == 0


def test_handler_asks_the_peer_that_asks() -> None:
    said: list[int] = []
    kept: list[tuple[object, ...]] = []

    def store(event: Any) -> int:
        kept.append(HANDLING.get())
        said.append(status_of(event.assoc.send_c_echo()))
        return 0

    offer = entity().offer("THERE", items=[build_role(VERIFICATION, scu_role=True, scp_role=True)])
    couple = established(offer=offer, there=[(evt.EVT_C_STORE, store)])
    assert status_of(couple.scu.send_c_store(image())) == 0
    assert (said, kept) == ([0], [(couple.scp,)])
    assert HANDLING.get() == ()


def test_a_handler_does_not_wait_for_room() -> None:
    """What the window waits for may be the response that needs the handler to return."""
    said: list[Any] = []

    def store(event: Any) -> int:
        try:
            event.assoc.send_c_echo()
        except LocalProtocolError as error:
            said.append(str(error))
        return 0

    here = entity("HERE", VERIFICATION, CT, STUDY_GET)
    couple = established(
        offer=here.offer("THERE", items=[build_role(CT, scp_role=True)]),
        reception=here.policy(),
        here=[(evt.EVT_C_STORE, store)],
        there=[(evt.EVT_C_GET, lambda _: [1, (PENDING, image())])],
    )
    assert [status_of(status) for status, _ in couple.scu.send_c_get(QUERY, STUDY_GET)] == [PENDING, 0]
    (error,) = said
    assert "the operations window is 1" in error


@sop_classes("1.2.3")
def own_scu(_: Peer, number: int, *, factor: int = 1) -> Program[int]:
    yield from ()
    return number * factor


def test_own_service() -> None:
    couple = established()
    couple.scu.entity.add_scu(own_scu)
    assert couple.scu.get_scu("1.2.3")(7, factor=6) == 42
    with pytest.raises(LocalProtocolError, match="no SCU program"):
        couple.scu.get_scu("1.2.4")


def test_what_other_associations_need_of_it() -> None:
    couple = established()
    assert isinstance(couple.scu, RunsPrograms)
    ended: list[Any] = []
    couple.scu.submit(own_scu(couple.scu.peer, 7), ended.append)
    couple.settle()
    assert [task.result() for task in ended] == [7]
    couple.scu.abort_soon()
    couple.settle()
    assert fate(couple.scp) == {"aborted", "over"}


def test_without_an_association() -> None:
    couple = established()
    couple.scu.abort()
    couple.settle()
    with pytest.raises(NotEstablishedError):
        couple.scu.send_c_echo()
    with pytest.raises(NotEstablishedError):
        list(couple.scu.send_c_find(QUERY, STUDY_FIND))
    couple.scu.release()


def test_an_adapter_has_no_more_to_add() -> None:
    """What is abstract is how programs are run: what wakes its driver may be nothing."""

    class Plain(EntityAssociation):
        def run(self, program: Program[Any], *, invokes: bool = False) -> Any:
            return program, invokes

        def iterate(self, begin: Program[Stream[Any]], *, invokes: bool = False) -> Any:
            return begin, invokes

    plain = Plain(entity("HERE").add_scu(own_scu), Handlers(()))
    plain.wake()
    assert fate(plain) == set()
    program, invokes = plain.get_scu("1.2.3")(7)
    assert (Script(program).end(), invokes) == (7, True)


# --- telling ----------------------------------------------------------------------------------------------------------


def alone(*bindings: Any) -> tuple[MemoryAssociation, Diary]:
    """An acceptor with an open connection, of which nobody has been told, and what its handlers are told."""
    diary = Diary()
    life = MemoryAssociation(Network(), entity(), [*diary.bindings(), *bindings], entity().policy())
    life.peer.connection.connection_made(now=0)
    life.peer_address = THERE
    return life, diary


def test_nothing_to_tell() -> None:
    life, diary = alone()
    assert not life.has_news
    Script(life.tell()).end()
    assert diary.names == []


def test_every_handler_with_its_arguments() -> None:
    seen: list[Any] = []
    life, _ = alone((evt.EVT_CONN_OPEN, lambda event, *more: seen.append((event.address, *more)), ["a", "b"]))
    life.opened()
    while life.turn():
        pass
    assert seen == [(THERE, "a", "b")]


def test_it_begins_when_its_handlers_have_returned_whoever_calls_them() -> None:
    life, diary = alone()
    opening = Script(life.notify(evt.EVT_CONN_OPEN, address=THERE))
    call = opening.expect(Call)  # which takes its time
    program = life.attend(AssociateAccepted(answer=wire.answer(wire.offer(CT)), agreement=None))  # type: ignore[arg-type]
    assert program is not None
    beginning = Script(program)
    waiting = beginning.expect(Await)
    assert waiting.condition() is None
    assert called(call) == "CONN_OPEN"
    assert [called(opening.expect(Call)) for _ in range(2)] == ["ACCEPTED", "ESTABLISHED"]
    opening.end()
    beginning.end(waiting.condition())
    assert diary.names == ["CONN_OPEN", "ACCEPTED", "ESTABLISHED"]


def test_what_a_handler_makes_happen_is_told_after_it() -> None:
    life, diary = alone()
    telling = Script(life.notify(evt.EVT_CONN_OPEN, address=THERE))
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
    telling = Script(life.notify(evt.EVT_CONN_OPEN, address=THERE))
    telling.expect(Call)
    life.notifier.add(evt.EVT_ABORTED, {})
    telling.program.close()
    assert life.has_news
    assert called(Script(life.tell()).expect(Call)) == "ABORTED"


def test_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    life, diary = alone()
    life.bind(evt.EVT_CONN_OPEN, lambda _: 1 // 0)
    life.opened()
    life.engine.start(life.notify(evt.EVT_ABORTED))
    while life.turn():
        pass
    assert diary.names == ["CONN_OPEN", "ABORTED"]
    assert FAILED not in caplog.text
    assert "a handler of EVT_CONN_OPEN raised" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("does", [lambda life: life.give_up(), lambda _: None], ids=["abort", "nothing"])
def test_the_answer_waits_for_a_handler_that_somebody_else_calls(does: Callable[[MemoryAssociation], None]) -> None:
    """It is told of the request only after it, and may want to abort then."""
    life, diary = alone()
    telling = Script(life.notify(evt.EVT_CONN_OPEN, address=THERE))
    opening = telling.expect(Call)
    life.peer.connection.receive_data(encode_pdu(entity().offer("THERE")), now=0)
    answering = Script(life.attend(life.peer.connection.next_event()))  # type: ignore[arg-type]
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


def test_its_place_is_free_when_the_handlers_of_its_end_have_run() -> None:
    order: list[str] = []
    network = Network()
    scu = MemoryAssociation(network, entity(), ())
    there = [(kind, lambda event: order.append(event.name)) for kind in (evt.EVT_RELEASED, evt.EVT_CONN_CLOSE)]
    scp = MemoryAssociation(network, entity(), there, entity().policy())
    scp._on_ended = lambda ended: order.append(f"free {ended is scp}")  # noqa: SLF001
    scu.peer.connection.request(entity().offer("THERE"))
    network.associations += [scu, scp]
    scu.open(scp)
    scp.open(scu)
    scu.run(scu.establish())
    scu.release()
    network.settle()
    assert order == ["EVT_RELEASED", "free True", "EVT_CONN_CLOSE"]


# --- whether it lives -------------------------------------------------------------------------------------------------


def test_it_lives_until_the_handlers_of_its_end_have_returned() -> None:
    alive: list[tuple[bool, bool]] = []

    def note(event: Any) -> None:
        alive.append((event.assoc.is_alive(), event.assoc.is_active))

    couple = Couple(there=[(kind, note) for kind in (evt.EVT_RELEASED, evt.EVT_CONN_CLOSE)])
    assert (couple.scp.is_alive(), couple.scp.is_active) == (True, False)
    couple.establish()
    assert (couple.scp.is_alive(), couple.scp.is_active) == (True, True)
    couple.scu.release()
    couple.wait()
    assert alive == [(True, True), (True, True)]
    assert [(one.is_alive(), one.is_active) for one in (couple.scu, couple.scp)] == [(False, False)] * 2


@pytest.mark.parametrize(
    "kind", [evt.EVT_DATA_SENT, evt.EVT_PDU_SENT, evt.EVT_ACSE_SENT, evt.EVT_ACSE_RECV, evt.EVT_FSM_TRANSITION], ids=str
)
@pytest.mark.parametrize("end", ["release", "abort", "the other side"])
def test_it_is_active_for_the_handlers_of_what_passes_last(kind: Any, end: str) -> None:
    """Those of the last PDU, and of the last transitions, have nothing of the end bound behind them."""
    active: list[bool] = []
    couple = Couple(there=[(kind, lambda event: active.append(event.assoc.is_active))])
    couple.establish()
    before = len(active)
    if end == "the other side":
        couple.scp.run(couple.scp.part())
    else:
        getattr(couple.scu, end)()
    couple.wait()
    told = active[before:]
    assert told or (end, kind) in {("abort", one) for one in (evt.EVT_DATA_SENT, evt.EVT_PDU_SENT, evt.EVT_ACSE_SENT)}
    assert all(told)
    assert not couple.scp.is_active


def test_one_that_is_being_released_is_active() -> None:
    couple = Couple()
    couple.establish()
    couple.scp.peer.connection.release()
    assert (couple.scp.is_established, couple.scp.is_active) == (False, True)


def test_one_that_was_never_opened_does_not_live() -> None:
    assert not MemoryAssociation(Network(), entity(), ()).is_alive()


def test_one_that_was_rejected_was_never_active() -> None:
    seen: list[bool] = []
    couple = Couple(there=[(evt.EVT_REJECTED, lambda event: seen.append(event.assoc.is_active))], reception=REJECTION)
    couple.establish().wait()
    assert seen == [False]


def test_a_handler_that_asks_whether_it_is_cancelled_lets_its_driver_look() -> None:
    looks: list[bool] = []

    def find(event: Any) -> Iterator[Any]:
        event.assoc.peer.look = lambda: looks.append(True)
        assert not event.is_cancelled
        yield CANCEL, None

    couple = established(there=[(evt.EVT_C_FIND, find)])
    couple.scp.look()  # where somebody receives anyway there is nothing to do
    assert [status.Status for status, _ in couple.scu.send_c_find(QUERY, STUDY_FIND)] == [CANCEL]
    assert looks == [True]


# --- memory -----------------------------------------------------------------------------------------------------------


def release(scu: MemoryAssociation, _: Any) -> None:
    scu.release()


def abort(_: Any, scp: MemoryAssociation) -> None:
    scp.abort()


def lose(scu: MemoryAssociation, scp: MemoryAssociation) -> None:
    scu.cut()
    scp.cut()


@pytest.mark.parametrize("end", [release, abort, lose])
@pytest.mark.parametrize("does", ["nothing", "everything"])
def test_nothing_of_an_association_that_has_ended_lies_in_a_cycle(end: Callable[[Any, Any], None], does: str) -> None:
    """In both roles: a process that has switched the garbage collector off must not grow."""
    gc.collect()
    gc.disable()
    try:
        logging.disable()  # what is logged would keep what was raised
        ends = _live(end, does)
        assert [ref() for ref in ends] == [None] * len(ends)
        found = _ours_in_cycles()
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()
    assert found == []


def _live(end: Callable[[Any, Any], None], does: str) -> list[weakref.ref[Any]]:
    network = Network()
    network.listen(THERE, entity("THERE"), [(evt.EVT_C_FIND, many(3)), (evt.EVT_C_STORE, lambda _: 1 / 0)])
    scu = network.associate(entity(), THERE, [(evt.EVT_RELEASED, ignore), (evt.EVT_ABORTED, ignore)])
    scp = network.associations[1]
    if does == "everything":
        scu.send_c_echo()
        list(scu.send_c_find(QUERY, STUDY_FIND))
        scu.send_c_store(image())
        next(scu.send_c_find(QUERY, STUDY_FIND))
        scu.bind(evt.EVT_PDU_RECV, ignore)
    refs: list[weakref.ref[Any]] = [weakref.ref(one) for one in (scu, scp)]
    refs += [weakref.ref(part) for one in (scu, scp) for part in (one.engine, one.peer, one.notifier)]
    refs += [weakref.ref(one.peer.connection) for one in (scu, scp)]
    end(scu, scp)
    network.settle()
    while network.pass_time():
        network.settle()
    assert network.associations == []
    return refs


def _ours_in_cycles() -> list[str]:
    """The types of ours that only the garbage collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return sorted(type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith("dicom_proto"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_what_was_refused_keeps_nothing_in_memory() -> None:
    class Content(bytearray):
        pass

    gc.collect()
    gc.disable()
    try:
        couple = established()
        content = Content(data_set(PatientID="1"))
        kept = weakref.ref(content)
        with pytest.raises(LocalProtocolError):
            couple.scu.send_c_store(content)
        del content
        assert kept() is None
    finally:
        gc.enable()


def test_who_waits_for_nothing_more_may_still_ask() -> None:
    couple = established()
    couple.scu.release()
    couple.wait()
    assert couple.network.associations == []
    with pytest.raises(NotEstablishedError, match="the association has been released"):
        couple.scu.send_c_echo()
    waiting = couple.scu.engine.start(never())
    couple.scu.turn()
    with pytest.raises(AssociationFailure):
        waiting.result()
    couple.scu.abort()
    couple.scu.turn()


def test_an_answer_to_nobody() -> None:
    couple = established()
    connection = couple.scp.peer.connection
    with pytest.raises(LocalProtocolError):
        connection.send_response(CEchoRSP(message_id_being_responded_to=1, status=0))


def test_a_release_is_not_confirmed_if_this_side_aborts_while_it_waits() -> None:
    couple = established()
    connection = couple.scp.peer.connection
    couple.scu.peer.connection.send_request(CEchoRQ(), context=1)
    couple.scu.turn()
    for _, block in couple.scp.on_the_way:
        connection.receive_data(block, now=0)
    couple.scp.on_the_way.clear()
    assert connection.next_event() is not None
    script = Script(couple.scp.attend(ReleaseRequested()))  # type: ignore[arg-type]
    script.expect(Await)
    couple.scp.give_up()
    script.end(True)
    assert fate(couple.scp) == {"aborted", "over"}


def test_what_is_tolerated_is_said_of_the_peer(caplog: pytest.LogCaptureFixture) -> None:
    connection = established().scp.peer.connection
    assert connection.on_tolerated is not None
    connection.on_tolerated(Tolerated("foreign_elements", "elements of group 0008"))
    assert "'HERE' at 127.0.0.1:11112 breaks the standard" in caplog.text
