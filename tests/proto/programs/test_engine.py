"""The engine of an association: bytes, time and answers in; bytes, a deadline and effects out."""

import gc
import logging
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Await, Call, Drain, Pause, Program, Pull, Receive
from dicom_proto.programs.engine import FAREWELL, Engine, Turn
from dicom_proto.programs.invoking import Invoking
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.programs.tasks import Task
from dicom_proto.services.query import find_scu
from dicom_proto.services.verification import echo_scu
from dicom_proto.testing.pair import answer, associate, offer, sent
from dicom_proto.upper_layer.events import AssociateRequested, ReleaseRequested
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationClosed, AssociationFailure
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, encode_pdu
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.application.lives import Couple, entity
from tests.proto.dimse.pairs import (
    ECHO_CONTEXT,
    FIND_CONTEXT,
    PENDING,
    STORE_CONTEXT,
    echo,
    find,
    p_data,
    pair,
    raw,
    respond,
    store,
)
from tests.proto.programs.script import STUDY_FIND, NoWitness, ScriptedPeer, dataset_of

REJECTION = AAssociateRJ(2, 1, 7)
GARBAGE = b"\x07" * 4096
FAILED = "an association failed"


class Bench:
    """An engine, driven by hand, and a bare connection at the other end; :attr:`now` is the time."""

    def __init__(self, *, window: tuple[int, int] = (9, 9), timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008
        self.now = 0.0
        near, self.other = pair(window=window, timeouts=timeouts)
        self.peer = ScriptedPeer(near, Handlers())
        self.engine = self.peer.engine
        self.effects: list[tuple[Task[Any], Any]] = []
        self.turn()

    def turn(self, after: float = 0, **how: Any) -> Turn:
        """Take a turn; what is to be sent goes to the other end."""
        self.now += after
        turn = self.engine.turn(now=self.now, **how)
        self.effects += turn.effects
        for buffer in turn.buffers:
            if not self.other.wants_close:
                self.other.receive_data(bytes(buffer), now=self.now)
        return turn

    def say(self, *requests: m.Request, data: bytes = b"ab") -> list[int]:
        """The other end asks for something."""
        ids = []
        for request in requests:
            context = {m.CEchoRQ: ECHO_CONTEXT, m.CStoreRQ: STORE_CONTEXT}.get(type(request), FIND_CONTEXT)
            has_data = not isinstance(request, m.CEchoRQ)
            ids.append(self.other.send_request(request, context=context, data=data if has_data else None))
        self.hear()
        return ids

    def hear(self) -> None:
        """What the other end has to say arrives."""
        self.engine.receive_data(sent(self.other, self.now), now=self.now)

    def heard(self) -> list[Any]:
        """What the other end has been told."""
        return list(iter(self.other.next_event, None))

    def request(self) -> RequestReceived:
        """What the other end is asked for."""
        (request,) = [event for event in self.heard() if isinstance(event, RequestReceived)]
        return request

    def find(self, matches: int) -> Invoking:
        """Ask the other end for matches; it has found them all, and they have arrived."""
        invoking = find_scu(self.peer, dataset_of(PatientID="*"), STUDY_FIND)
        self.turn()
        message_id = self.request().message_id
        for _ in range(matches):
            self.other.send_response(respond(find(), message_id, PENDING), data=b"ab")
        self.other.send_response(respond(find(), message_id))
        self.hear()
        return invoking

    def start(self, program: Program[Any], **how: Any) -> Task[Any]:
        task = self.engine.start(program, **how)
        self.turn()
        return task


def waiting() -> Program[None]:
    yield Await(lambda: None)


def calling(*effects: Any) -> Program[Any]:
    result = None
    for effect in effects:
        result = yield effect
    return result


# --- the farewell -----------------------------------------------------------------------------------------------------


def abort(bench: Bench) -> None:
    bench.engine.abort()


def time_out(bench: Bench) -> None:
    bench.now += 1000


def release(bench: Bench) -> None:
    bench.other.release()
    bench.hear()


def be_released(bench: Bench) -> None:
    bench.peer.connection.release()
    bench.turn()
    bench.other.next_event()
    bench.other.confirm_release()
    bench.hear()


def say_garbage(bench: Bench) -> None:
    bench.engine.receive_data(GARBAGE, now=bench.now)


class Confirming(ScriptedPeer):
    """Confirms a release, as an association does."""

    def attend(self, indication: Any) -> Program[None]:
        if isinstance(indication, ReleaseRequested):
            self.connection.confirm_release()
            self.is_over = True
            self.end = lambda: AssociationClosed("released")
        return super().attend(indication)


class Ending(Bench):
    """A bench whose side ends as an association does."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = Confirming(self.peer.connection, Handlers())
        self.engine = self.peer.engine
        self.turn()


@pytest.mark.parametrize("end", [abort, time_out, release, say_garbage])
@pytest.mark.parametrize("noise", ["silent", "talkative"])
def test_a_peer_that_keeps_its_socket_open_has_a_second_however_the_association_ended(
    end: Callable[[Bench], None], noise: str
) -> None:
    """Whatever it says meanwhile: no deadline lies in the past, and no processor time is needed in between."""
    bench = Ending()
    end(bench)
    turn = bench.turn()
    farewell = bench.now + FAREWELL
    assert bench.peer.is_over
    assert (turn.deadline, turn.wants_close, turn.ends_output, turn.wants_read) == (farewell, False, True, True)
    for _ in range(9):
        if noise == "talkative":
            bench.engine.receive_data(GARBAGE, now=bench.now)
        turn = bench.turn(FAREWELL / 10)
        assert (turn.deadline, turn.wants_close, turn.is_unfinished) == (farewell, False, False)
    if noise == "talkative":
        bench.engine.receive_data(GARBAGE, now=bench.now)
    bench.now = farewell
    turn = bench.turn()
    assert (turn.wants_close, turn.deadline) == (True, None)
    bench.engine.connection_closed(now=bench.now)
    turn = bench.turn()
    assert (turn.wants_close, turn.deadline, bench.engine.is_finished, bench.engine.is_closed) == (
        False,
        None,
        True,
        True,
    )


def test_the_one_who_has_released_closes_at_once() -> None:
    bench = Bench()
    be_released(bench)
    assert bench.turn().wants_close


@pytest.mark.parametrize("reception", [REJECTION, None])
def test_a_farewell_of_a_whole_association(reception: AAssociateRJ | None) -> None:
    couple = Couple(reception=reception)
    couple.scu.turn()
    couple.network.associations.remove(couple.scu)
    couple.settle()
    if reception is None:
        couple.scp.abort()
        couple.settle()
    assert couple.scp.deadline == couple.network.now + FAREWELL
    couple.wait()
    assert couple.scp.engine.is_finished


def test_a_connection_that_is_closed_twice() -> None:
    bench = Bench()
    for _ in range(2):
        bench.engine.receive_eof(now=0)
    assert bench.turn().wants_close
    for _ in range(2):
        bench.engine.connection_closed(now=0)
    bench.turn()
    assert bench.engine.is_finished


# --- the end of an association and its programs -----------------------------------------------------------------------


def test_everybody_who_waits_is_told_and_each_by_an_exception_of_its_own() -> None:
    bench = Bench()
    bench.say(find())
    bench.turn()
    inbox = bench.peer.router.find((1, False))
    assert inbox is not None
    inbox.take()
    tasks = [bench.start(program) for program in (calling(Receive(inbox)), waiting(), waiting())]
    bench.other.abort()
    bench.hear()
    bench.turn()
    errors = [task.error for task in tasks]
    assert {type(error) for error in errors} == {AssociationAborted}
    assert len({id(error) for error in errors}) == 3
    for effect in (Receive(inbox), Drain(), Await(lambda: None)):
        assert isinstance(bench.start(calling(effect)).error, AssociationAborted)


def test_a_task_that_performs_goes_on_when_the_association_has_ended() -> None:
    bench = Bench()
    task = bench.start(calling(Call(print, ()), Call(print, ())))
    bench.other.abort()
    bench.hear()
    bench.turn()
    for _ in range(2):
        ((under_way, _),) = bench.effects
        bench.effects.clear()
        assert not task.is_done
        bench.engine.resume(under_way, "value")
        bench.turn()
    assert task.result() == "value"


def test_requests_that_were_queued_when_the_association_ended_are_not_begun(caplog: pytest.LogCaptureFixture) -> None:
    """One reset by the peer behind thousands of small C-STOREs must not begin them all at once."""
    stored: list[Any] = []
    caplog.set_level(logging.DEBUG, "dicom_proto.programs")
    here = entity()
    here.maximum_operations_invoked = here.maximum_operations_performed = 0
    couple = Couple(offer=here.offer("THERE"), reception=here.policy(), there=[(evt.EVT_C_STORE, stored.append)])
    couple.establish().settle()
    couple.network.associations.clear()
    engine = couple.scp.engine
    requests = b"".join(raw(store(number), b"ab", STORE_CONTEXT) for number in range(1, 1501))
    engine.receive_data(requests + encode_pdu(AAbort(0, 0)), now=0)
    turns = [engine.turn(now=0)]
    while turns[-1].is_unfinished:
        turns.append(engine.turn(now=0))
    performing = [task for turn in turns for task, _ in turn.effects if task.is_operation]
    assert len(performing) == 64  # that is the window, when there was no limit
    engine.receive_eof(now=0)
    engine.abort()
    for task in performing:
        engine.resume(task, 0x0000)
    turn = engine.turn(now=0)
    while turn.is_unfinished or turn.effects:
        assert not [task for task, _ in turn.effects if task.is_operation]
        for task, _ in turn.effects:
            engine.resume(task)
        turn = engine.turn(now=0)
    assert couple.scp.is_over
    assert stored == []


def test_a_request_that_comes_while_this_side_releases_is_not_begun() -> None:
    bench = Bench()
    bench.other.send_request(echo(), context=ECHO_CONTEXT)
    bench.peer.connection.release()
    bench.hear()
    bench.turn()
    assert not bench.peer.requests
    assert bench.peer.router.find((1, False)) is None


def test_what_goes_wrong_with_what_is_done_for_the_peer_costs_the_association(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()

    def attend(_: Any) -> Program[None]:
        yield from ()
        raise ZeroDivisionError

    bench.peer.__dict__["attend"] = attend
    bench.say(echo())
    bench.turn()
    assert FAILED in caplog.text
    assert bench.other.next_event() is not None
    assert bench.engine.count == 0


def test_a_failure_of_the_association_is_no_slip(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dicom_proto.programs")
    bench = Bench()
    bench.peer.__dict__["attend"] = lambda _: waiting()
    bench.say(echo())
    bench.turn()
    bench.other.abort()
    bench.hear()
    bench.turn()
    assert FAILED not in caplog.text
    assert "! association ended by the peer's UL service-user" in caplog.text


def test_an_indication_is_seen_to() -> None:
    peer = ScriptedPeer(Connection(), Handlers())
    seen: list[Any] = []

    def attend(indication: Any) -> Program[None]:
        seen.append(type(indication))
        yield from ()

    peer.__dict__["attend"] = attend
    requestor = Connection()
    requestor.request(offer())
    requestor.connection_made(now=0)
    peer.engine.connection_made(now=0)
    peer.engine.receive_data(sent(requestor), now=0)
    peer.engine.turn(now=0)
    assert seen == [AssociateRequested]


# --- operations -------------------------------------------------------------------------------------------------------


def test_events_wake_who_waits_for_them() -> None:
    bench = Bench()
    task = bench.start(echo_scu(bench.peer))
    request = bench.request()
    bench.other.send_response(respond(request.request, request.message_id))
    bench.hear()
    bench.turn()
    assert task.result().response.status == 0


def test_only_one_may_wait_for_what_comes_for_an_operation() -> None:
    bench = Bench()
    inbox = bench.peer.send(find(), context_id=FIND_CONTEXT, data=b"ab")
    first = bench.start(calling(Receive(inbox)))
    second = bench.start(calling(Receive(inbox)))
    with pytest.raises(LocalProtocolError, match="somebody waits already"):
        second.result()
    bench.heard()
    bench.other.send_response(respond(find(), 1, PENDING), data=b"ab")
    bench.hear()
    bench.turn()
    assert first.is_done


def test_the_peer_uses_a_message_id_again_while_somebody_asks_for_the_old_operation() -> None:
    """That is legal after the final response: the new operation is served, the old asker gets an error."""
    bench = Bench()
    bench.say(find(7))
    bench.turn()
    performing = Performing(bench.peer, bench.peer.requests.popleft())
    bench.start(performing.receive_data())
    kept = Receive(performing.inbox)
    asking = bench.start(calling(kept))
    bench.peer.connection.send_response(respond(find(), 7, 0xA700))
    bench.turn()
    bench.heard()
    assert not asking.is_done
    bench.say(find(7), data=b"cd")
    bench.turn()
    with pytest.raises(LocalProtocolError, match="nobody waits for operation 7"):
        asking.result()
    later = bench.start(calling(kept))
    with pytest.raises(LocalProtocolError, match="nobody waits for operation 7"):
        later.result()
    again = Performing(bench.peer, bench.peer.requests.popleft())
    served = bench.start(again.receive_data())
    assert served.result() == b"cd"
    again.respond(Answer(0x0000))


def test_who_waits_for_an_operation_that_somebody_else_answers_is_told() -> None:
    bench = Bench()
    bench.say(find(7))
    bench.turn()
    performing = Performing(bench.peer, bench.peer.requests.popleft())
    bench.start(performing.receive_data())
    asking = bench.start(calling(Receive(performing.inbox)))
    performing.respond(Answer(0xA700))
    bench.turn()
    with pytest.raises(LocalProtocolError, match="it has been closed"):
        asking.result()


def test_what_is_cancelled_does_not_wait_for_events() -> None:
    bench = Bench()
    inbox = bench.peer.send(find(), context_id=FIND_CONTEXT, data=b"ab")
    task = bench.start(calling(Receive(inbox)))
    bench.engine.cancel(task)
    assert inbox.receiver is None
    assert task.is_done


def test_what_has_arrived_can_be_looked_at_between_two_turns() -> None:
    """As a handler does that asks whether it is cancelled: nobody takes a turn while it runs."""
    bench = Bench()
    (message_id,) = bench.say(find())
    bench.turn()
    bench.other.send_cancel(message_id)
    bench.say(echo())
    assert not bench.peer.connection.is_cancelled(message_id)
    bench.engine.look(now=bench.now)
    assert bench.peer.connection.is_cancelled(message_id)
    assert len(bench.peer.connection.performed) == 2


def test_a_cancel_of_the_peer_wakes_nobody() -> None:
    bench = Bench()
    (message_id,) = bench.say(find())
    bench.other.send_cancel(message_id)
    bench.hear()
    bench.turn()
    assert bench.peer.connection.is_cancelled(message_id)
    assert len(bench.peer.requests) == 1


def test_those_that_invoke_wait_for_room_in_the_window() -> None:
    bench = Bench(window=(1, 1))
    tasks = [bench.engine.start(echo_scu(bench.peer), invokes=True) for _ in range(4)]
    bench.turn()
    for number in range(2):
        assert [task.is_done for task in tasks] == [done < number for done in range(4)]
        request = bench.request()
        if number == 0:
            bench.engine.cancel(tasks[3])  # while it waits for its turn
        bench.other.send_response(respond(request.request, request.message_id))
        bench.hear()
        bench.turn()
        if number == 0:
            assert tasks.pop().is_done
            tasks.append(bench.engine.start(calling(), invokes=True))
            bench.turn()
    bench.other.abort()
    bench.hear()
    bench.turn()
    assert [task.is_done for task in tasks] == [True] * 4  # those that wait are told why they cannot


def test_one_that_is_cancelled_before_it_begins_does_not_wait_for_room() -> None:
    bench = Bench(window=(1, 1))
    task = bench.engine.start(echo_scu(bench.peer), invokes=True)
    bench.engine.cancel(task)
    bench.turn()
    assert task.is_done
    assert not bench.peer.connection.invoked


# --- a turn -----------------------------------------------------------------------------------------------------------


def reading(invoking: Invoking, read: list[int]) -> Program[None]:
    """Read all replies."""
    while (reply := (yield from invoking.next_reply())) is not None:
        read.append(reply.response.status)


def test_a_turn_takes_a_bounded_share() -> None:
    """Tiny messages by the thousand do not hold up other associations, and all of them are seen to in the end."""
    bench = Bench()
    read: list[int] = []
    task = bench.engine.start(reading(bench.find(1000), read))
    turns = 0
    while bench.turn().is_unfinished:
        turns += 1
        assert len(read) <= 128 * turns + 1  # each has two events
    assert task.is_done
    assert read == [PENDING] * 1000 + [0]
    assert turns >= 7


def test_fragments_that_tell_nothing_are_a_share_too() -> None:
    bench = Bench()
    bench.engine.receive_data(p_data((ECHO_CONTEXT, 1, b"")) * 5_000, now=0)
    turns = 0
    while bench.turn().is_unfinished:
        turns += 1
    assert turns > 1


def test_what_nobody_asks_for_holds_the_peer_up() -> None:
    bench = Bench()
    invoking = bench.find(1000)
    while bench.turn().is_unfinished:
        pass
    assert bench.peer.router.is_full
    read: list[int] = []
    task = bench.engine.start(reading(invoking, read))
    while bench.turn().is_unfinished:
        pass
    assert task.is_done
    assert len(read) == 1001


def test_what_nobody_asks_for_any_more_holds_up_nobody() -> None:
    bench = Bench()
    invoking = bench.find(1500)
    while bench.turn().is_unfinished:
        pass
    answered = bench.start(calling(Await(lambda: not bench.peer.connection.invoked or None)))
    assert not answered.is_done
    invoking.close()
    while bench.turn().is_unfinished:
        pass
    assert answered.is_done


def test_after_the_end_nothing_is_held_up() -> None:
    bench = Bench()
    bench.find(1500)
    while bench.turn().is_unfinished:
        pass
    bench.engine.connection_closed(now=0)
    while bench.turn().is_unfinished:
        pass
    assert bench.engine.is_finished


def test_there_may_be_no_room_to_send() -> None:
    bench = Bench()
    inbox = bench.peer.send(store(), context_id=STORE_CONTEXT, data=bytes(1 << 24))
    assert inbox.is_open
    drained = bench.engine.start(calling(Drain()))
    turn = bench.turn(room=1000)
    assert (turn.is_cut_short, drained.is_done) == (True, False)
    assert sum(map(len, turn.buffers)) < 1 << 16
    while turn.is_cut_short:
        turn = bench.turn()
    assert drained.result() is True


def test_what_has_passed_is_measured() -> None:
    """By an engine that has an association already: what the other end sends now, and the answer, and the time."""
    bench = Bench()
    received, sent_before = bench.engine.bytes_received, bench.engine.bytes_sent
    data = sent(bench.other, bench.now) or b""
    bench.other.send_request(echo(), context=ECHO_CONTEXT)
    data += sent(bench.other, bench.now)
    bench.engine.receive_data(data, now=bench.now)
    before = bench.engine.seconds
    turn = bench.turn(after=2.5)
    assert bench.engine.bytes_received - received == len(data) > 0
    assert bench.engine.bytes_sent - sent_before == sum(map(len, turn.buffers))
    assert bench.engine.seconds - before == 2.5


def test_what_is_logged_in_a_turn_is_about_its_association(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> Program[None]:
        yield Await(lambda: True)
        logging.getLogger("dicom_proto.services").error("in a turn")

    bench = Bench()
    bench.engine.name = "12"
    bench.start(failing())
    logging.getLogger("dicom_proto.services").error("behind it")
    assert caplog.messages == ["[12] in a turn", "behind it"]


def test_time() -> None:
    bench = Bench()
    task = bench.start(calling(Pause(3)))
    assert bench.turn().deadline == 3
    bench.turn(3)
    assert task.is_done
    bench.start(calling(Pause(5)))
    bench.engine.receive_eof(now=bench.now)
    bench.turn()
    bench.engine.connection_closed(now=bench.now)
    turn = bench.turn()
    assert (turn.deadline, bench.engine.is_finished) == (8, False)  # a program is still under way
    bench.turn(5)
    assert bench.engine.is_finished


def test_an_abort_of_another_thread_brings_about_a_turn() -> None:
    woken: list[int] = []
    bench = Bench()
    bench.engine.wake = lambda: woken.append(1)
    bench.engine.abort()
    assert (woken, bench.engine.has_ready) == ([1], True)
    bench.turn()
    assert bench.peer.is_over


class Witness(NoWitness):
    """Sees everything."""

    wants_received = wants_sent = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bytes]] = []

    def received(self, data: Any) -> None:
        self.seen.append(("received", bytes(data)))
        self.pending.append("received")

    def sent(self, buffers: list[Any]) -> None:
        self.seen.append(("sent", b"".join(buffers)))
        self.pending.append("sent")


@pytest.mark.parametrize("is_secured", [True, False])
def test_what_passes_is_witnessed_and_told(is_secured: bool) -> None:
    class Telling(ScriptedPeer):
        @property
        def has_news(self) -> bool:  # type: ignore[override]
            return bool(witness.pending)

        def tell(self) -> Program[None]:
            told.extend(witness.pending)
            witness.pending.clear()
            yield from ()

    told: list[str] = []
    witness = Witness()
    other, near = pair()
    peer = Telling(near, Handlers())
    engine = Engine(near, peer.router, peer, witness)
    if is_secured:  # a driver may have to copy what is looked at
        engine.secure = lambda buffers: [b"secured", *buffers]
    drained = engine.start(calling(Drain()))
    other.send_request(echo(), context=ECHO_CONTEXT)
    engine.receive_data(sent(other), now=0)
    engine.turn(now=0)
    near.send_response(respond(echo(), 1))
    turn = engine.turn(now=0)
    assert [kind for kind, _ in witness.seen] == told == ["received", "sent"]
    assert (turn.buffers[0] == b"secured") is is_secured
    assert witness.seen[1][1] == b"".join(turn.buffers)
    assert drained.is_done


# --- when all is over -------------------------------------------------------------------------------------------------


def finished() -> Bench:
    bench = Bench()
    bench.engine.connection_closed(now=0)
    bench.turn()
    assert bench.engine.is_finished
    return bench


def gone() -> AssociationFailure:
    return AssociationClosed("it is gone")


def test_a_retired_engine_holds_nothing_and_is_held_by_nothing() -> None:
    gc.disable()
    try:
        bench = finished()
        bench.engine.retire(gone)
        ref = weakref.ref(bench.engine)
        peer = weakref.ref(bench.peer)
        del bench
        assert (ref(), peer()) == (None, None)
    finally:
        gc.enable()


def test_programs_of_a_retired_engine_end_at_once() -> None:
    bench = finished()
    bench.engine.retire(gone)
    bench.engine.abort()
    assert bench.start(calling()).is_done
    with pytest.raises(AssociationClosed, match="it is gone"):
        bench.start(waiting()).result()


def stubborn() -> Program[None]:
    while True:
        with suppress(AssociationFailure):
            yield Call(print, ())


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (calling, None),
        (lambda: calling(Await(lambda: 1)), None),
        (waiting, AssociationClosed),
        (lambda: calling(Call(print, ())), AssociationClosed),
        (lambda: calling(Pause(1)), AssociationClosed),
        (stubborn, None),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_submitted_when_nobody_takes_turns_any_more_ends(
    program: Callable[[], Program[Any]], error: type[Exception] | None, when: str
) -> None:
    """Another thread may do so at any time: between the last turn and the retirement as well."""
    bench = finished()
    ended: list[Task[Any]] = []
    if when == "before":
        task = bench.engine.submit(program(), ended.append)
        own = bench.engine.start(waiting())
        bench.engine.retire(gone)
        assert not own.is_done  # whoever has started it takes turns for it
        bench.turn()
        assert isinstance(own.error, AssociationClosed)
    else:
        bench.engine.retire(gone)
        task = bench.engine.submit(program(), ended.append)
    assert (task.is_done, ended) == (True, [task])
    assert (None if task.error is None else type(task.error)) is error
    bench.turn()
    assert bench.engine.is_finished


def test_only_one_thread_ends_what_was_submitted() -> None:
    bench = finished()
    ended: list[Task[Any]] = []

    class Racing(set[Task[Any]]):
        """Another thread is always a little faster."""

        def remove(self, task: Task[Any]) -> None:
            super().remove(task)
            raise KeyError

    bench.engine._tasks = Racing()  # noqa: SLF001
    bench.engine.retire(gone)
    bench.engine.submit(calling(), ended.append)
    assert ended == []


def test_what_a_cancelled_program_left_open_is_closed_by_who_performs_for_it() -> None:
    ended: list[str] = []

    def generator() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            ended.append("closed")

    bench, items = Bench(), generator()
    task = bench.start(calling(Pull(items), Call(print, ())))
    bench.engine.resume(bench.effects.pop()[0], next(items))
    bench.turn()
    bench.engine.cancel(task)
    bench.effects.clear()
    bench.turn()
    ((closing, effect),) = bench.effects
    assert (closing, effect.function) == (task, items.close)
    effect.function()
    bench.engine.resume(task)
    bench.turn()
    assert (ended, task.is_done) == (["closed"], True)


def test_association_of_two_engines() -> None:
    """The smallest driver: no handlers, no time, two engines that hand each other their bytes."""
    one, other = (ScriptedPeer(Connection(), Handlers()) for _ in range(2))
    associate(one.connection, other.connection, offer(), answer(offer()))
    task = one.engine.start(echo_scu(one))
    for _ in range(4):
        for source, target in ((one, other), (other, one)):
            for buffer in source.engine.turn(now=0).buffers:
                target.engine.receive_data(bytes(buffer), now=0)
        while other.requests:
            Performing(other, other.requests.popleft()).respond(Answer(0x0000))
    assert task.result().response.status == 0


def test_a_life_may_do_at_once_what_it_is_asked_for() -> None:
    bench = Bench()
    seen: list[Any] = []
    bench.peer.__dict__["attend"] = seen.append
    bench.say(echo())
    bench.turn()
    assert [indication.message_id for indication in seen] == [1]
    assert bench.engine.count == 0


def test_what_nobody_has_been_asked_for_when_the_association_ends_is_not_begun() -> None:
    """A handler whose answer nobody waits for: what this side has begun for itself goes on."""
    bench = Bench()
    bench.peer.__dict__["attend"] = lambda _: calling(Call(print, ()))
    invoking = find_scu(bench.peer, dataset_of(PatientID="*"), STUDY_FIND)
    ours = bench.start(calling(invoking.receive, Call(print, ())))
    bench.other.send_response(respond(find(), bench.request().message_id))
    bench.say(echo())
    bench.other.abort()
    bench.hear()
    bench.turn()
    assert [task for task, _ in bench.effects] == [ours]
    assert bench.engine.count == 1


def test_an_end_of_which_there_is_nothing_to_tell() -> None:
    bench = Bench()
    bench.peer.__dict__["ended"] = bench.peer.__dict__["closed"] = lambda: None
    bench.other.abort()
    bench.hear()
    bench.turn()
    assert (bench.engine.count, bench.effects) == (0, [])
    bench.engine.receive_eof(now=0)
    bench.engine.connection_closed(now=0)
    bench.turn()
    assert bench.engine.is_finished


def test_what_an_operation_left_open_is_closed_also_if_it_ends_with_the_association() -> None:
    """It waits for something else than an event, and is told in the very turn in which the association ends."""
    bench, items = Ending(), (number for number in range(9))
    task = bench.start(calling(Pull(items), Await(lambda: None)))
    task.is_operation = True
    bench.engine.resume(bench.effects.pop()[0], next(items))
    bench.turn()
    bench.other.release()
    bench.hear()
    bench.turn()
    ((closing, effect),) = bench.effects
    assert (closing, effect.function) == (task, items.close)
