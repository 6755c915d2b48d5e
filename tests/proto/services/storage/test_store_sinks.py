"""Objects that are taken as they arrive: what a sink gets, what it may say, and how each of them ends."""

import logging
import mmap
from collections.abc import Generator
from typing import Any

import pytest

from dicom_proto.application.dispatch import perform
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.errors import DataSetError, InvalidNameError, LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_STORE
from dicom_proto.handlers.registry import Handlers
from dicom_proto.handlers.sinks import Refused, Sink, Streamed
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.programs.effects import Call, Receive
from dicom_proto.testing.pair import answer, associate, offer, sent
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationFailure
from tests.proto.programs.script import (
    CT,
    EXPLICIT,
    IMPLICIT,
    NO_TIMEOUTS,
    Scene,
    ScriptedPeer,
    Task,
    data_set,
    dataset_of,
    statuses,
)
from tests.proto.rows import for_each

ENCODED = data_set(EXPLICIT, PatientID="1")
LONG = bytes(400_000)  # which comes in several pieces


class Notes(Sink):
    """Takes notes of what is asked of it; raises, or answers, as it is told."""

    def __init__(self, *, answer: Any = 0x0000, **errors: Exception) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.event: RequestEvent | None = None
        self.arguments: tuple[Any, ...] = ()
        self._answer = answer
        self._errors = errors

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self._errors:
            raise self._errors[call]

    def open(self, event: RequestEvent, *arguments: Any) -> "Notes":
        self.event, self.arguments = event, arguments
        self._note("open")
        return self

    def write(self, data: Any) -> None:
        self._note("write")
        assert isinstance(data, memoryview)
        assert data.readonly
        self.data += data

    def finish(self) -> Any:
        self._note("finish")
        return self._answer

    def discard(self) -> None:
        self._note("discard")


def request(uid: str = "1.2.3") -> CStoreRQ:
    return CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid=uid)


def scene(sink: Sink, *arguments: Any) -> Scene:
    return Scene((CT, EXPLICIT), bindings=[(EVT_C_STORE, sink, arguments)])


def stored(sink: Sink, data: bytes = ENCODED, uid: str = "1.2.3") -> list[int]:
    """The statuses of an object, and of another one after it, which shows that the association lives on."""
    here = scene(sink)
    first = statuses(here.serve(request(uid), data))
    here.peer.handlers.bind(EVT_C_STORE, Notes())
    assert statuses(here.serve(request(), ENCODED)) == [0x0000]
    return first


# --- as it should be --------------------------------------------------------------------------------------------------


def test_a_sink_gets_the_pieces_as_they_arrive() -> None:
    sink = Notes(answer=0xB000)
    here = scene(sink, "label")
    script = here.ask(request(), ENCODED)
    opening = script.expect(Call)
    event, label = opening.arguments
    assert (opening.function(event, label), opening.is_quick) == (sink, False)
    assert (label, event.file_head()[128:132], event.source_ae_title) == ("label", b"DICM", "CALLING")
    with pytest.raises(LocalProtocolError, match="goes into the sink"):
        _ = event.dataset
    script.expect(Receive, sink)
    writing = script.expect(Call, here.peer.event((1, False)))
    writing.function(*writing.arguments)
    assert (sink.calls, bytes(sink.data), writing.is_quick) == (["open", "write"], ENCODED, True)
    finishing = script.expect(Call)
    assert (finishing.function, finishing.is_quick, finishing.arguments) == (sink.finish, False, ())
    script.end(sink.finish())
    assert statuses(here.replies()) == [0xB000]
    assert sink.calls == ["open", "write", "finish"]


def test_pieces_that_are_here_are_written_together() -> None:
    sink = Notes()
    here = scene(sink)
    here.requestor.send_request(request(), context=1, data=LONG * 10)
    task = Task(here.peer, here.script(here.arrived()).program)
    assert statuses(here.finish(task)) == [0x0000]
    assert len(sink.data) == 10 * len(LONG)
    assert [type(effect) for effect in task.effects].count(Call) < sink.calls.count("write")


def test_an_object_of_any_size_passes() -> None:
    sink = Notes()
    here = scene(sink, 1, 2)
    here.peer.data_limit = 100
    assert statuses(here.serve(request(), LONG)) == [0x0000]
    assert bytes(sink.data) == LONG
    assert sink.arguments == (1, 2)
    assert sink.calls.count("write") > 1
    assert (sink.calls[0], sink.calls[-1]) == ("open", "finish")


class Measure(Sink):
    """Tells how long an object is, and looks at none of it."""

    def __init__(self) -> None:
        self.length = 0

    def open(self, _event: RequestEvent) -> "Measure":
        return self

    def write(self, data: Any) -> None:
        self.length += len(data)

    def finish(self) -> int:
        return 0x0000

    def discard(self) -> None:
        raise AssertionError("it has been refused")


def test_the_length_of_an_object_has_more_than_32_bits() -> None:
    """Nothing is moved: views of memory that is never read go from one side to the other."""
    length = (1 << 32) + (1 << 27) + 2
    sink = Measure()
    limits = Limits(send_pdu_length=1 << 26, send_queue=1 << 28)
    requestor, acceptor = (Connection(timeouts=NO_TIMEOUTS, limits=limits) for _ in range(2))
    asked = offer(CT, maximum_length=0)
    associate(requestor, acceptor, asked, answer(asked, maximum_length=0))
    peer = ScriptedPeer(acceptor, Handlers([(EVT_C_STORE, sink)]), "the association")
    pages = memoryview(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
    requestor.send_request(request(), context=1, data=pages)
    task: Task | None = None
    while buffers := requestor.data_to_send(now=0):
        for buffer in buffers:
            acceptor.receive_data(buffer, now=0)
        if task is None:
            task = Task(peer, perform(peer, peer.request()))
        task.advance()
    assert task is not None
    assert task.is_done
    assert sink.length == length


@for_each(("answer", "status"), [(0xB006, 0xB006), (dataset_of(Status=0xA700), 0xA700), (None, 0xC002)])
def test_finish_answers_as_a_handler_does(answer: Any, status: int) -> None:
    sink = Notes(answer=answer)
    assert stored(sink) == [status]
    assert sink.calls == ["open", "write", "finish"]


# --- when it goes wrong -----------------------------------------------------------------------------------------------

FAILURES: list[tuple[Exception, int]] = [
    (OSError(28, "No space left on device", "/archive/DOE^JOHN"), 0xA700),
    (OSError("with no number"), 0xA700),
    (MemoryError(), 0xA700),
    (DataSetError("nonsense"), 0xC000),
    (InvalidNameError("no UID"), 0x0117),
    (ZeroDivisionError(), 0xC211),
    (LocalProtocolError("a slip"), 0xC211),
    (Refused(0xA900), 0xA900),
    (Refused(dataset_of(Status=0xA9FF)), 0xA9FF),
    (Refused("nothing"), 0xC002),
]


@for_each("call", ["open", "write", "finish"])
@for_each(("error", "status"), FAILURES)
def test_what_a_sink_raises_costs_one_object(call: str, error: Exception, status: int) -> None:
    sink = Notes(**{call: error})
    assert stored(sink, LONG) == [status]
    assert sink.calls.count(call) == 1
    assert sink.calls.count("discard") == (0 if call == "open" else 1)
    assert sink.calls[-1] == ("open" if call == "open" else "discard")


@for_each("tolerated", [True, False])
def test_the_other_vrs_are_noticed(tolerated: bool) -> None:
    """A data set without VRs in a context that says that it has some (PS3.5 A.2)."""
    sink = Notes()
    here = scene(sink)
    here.peer.tolerance = Tolerance(other_vr_encoding=tolerated)
    assert statuses(here.serve(request(), data_set(IMPLICIT, PatientID="1"))) == [0x0000 if tolerated else 0xC000]
    assert sink.calls == ["open", *(["write", "finish"] if tolerated else ["discard"])]
    assert here.peer.connection.tolerated == ({"other_vr_encoding": 1} if tolerated else {})


@for_each("call", ["open", "write"])
def test_a_failure_is_answered_at_once_and_nothing_else_is(call: str) -> None:
    for status, is_early in ((0xA700, True), (0x0000, False), (0xB000, False)):
        here = scene(Notes(**{call: Refused(status)}))
        here.requestor.send_request(request(), context=1, data=LONG)
        here.acceptor.receive_data(sent(here.requestor)[:100_000], now=0)
        task = Task(here.peer, here.script(here.peer.request()).program)
        task.advance()
        assert task.is_done == is_early
        assert task.error is None
        if is_early:
            assert statuses(here.overheard()) == [status]


@for_each("status", [0x0000, 0xB007])
def test_an_object_that_is_not_wanted_may_be_a_success(status: int) -> None:
    for call in ("open", "write", "finish"):
        assert stored(Notes(**{call: Refused(status)}), LONG) == [status]


def test_names_of_files_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert stored(Notes(finish=OSError(28, "No space left on device", "/archive/DOE^JOHN"))) == [0xA700]
    assert "an object cannot be stored (No space left on device): the answer is A700H" in caplog.text
    assert "DOE" not in caplog.text


def test_a_sink_that_cannot_discard_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert stored(Notes(write=OSError("full"), discard=ZeroDivisionError())) == [0xA700]
    assert "raised when an object was discarded" in caplog.text


def test_a_sink_that_opens_nothing_is_at_fault() -> None:
    class Nothing(Sink):
        def open(self, event: RequestEvent) -> Any:
            pass

    assert stored(Nothing()) == [0xC211]


def beginning(sink: Sink) -> tuple[Scene, Task]:
    """An object of which only the beginning has arrived, and what takes it."""
    here = scene(sink)
    here.requestor.send_request(request(), context=1, data=LONG)
    here.acceptor.receive_data(sent(here.requestor)[:100_000], now=0)
    task = Task(here.peer, here.script(here.peer.request()).program)
    task.advance()
    assert not task.is_done
    return here, task


def abort(here: Scene) -> None:
    here.acceptor.abort()
    here.acceptor.receive_eof(now=0)


def test_an_abort_in_the_middle_discards() -> None:
    sink = Notes()
    here, task = beginning(sink)
    abort(here)
    task.advance()
    assert isinstance(task.error, AssociationFailure)
    assert sink.calls[-1] == "discard"


def test_a_lost_connection_in_the_middle_discards() -> None:
    sink = Notes()
    here, task = beginning(sink)
    here.acceptor.receive_eof(now=0)
    task.advance()
    assert isinstance(task.error, AssociationFailure)
    assert sink.calls[-1] == "discard"


def test_an_abort_in_the_middle_of_what_is_not_wanted() -> None:
    here, task = beginning(Notes(open=Refused(0x0000)))
    abort(here)
    task.advance()
    assert isinstance(task.error, AssociationFailure)


@for_each("effects", [1, 2, 3, 4])
def test_a_driver_that_gives_up_discards(effects: int) -> None:
    sink = Notes()
    here = scene(sink)
    script = here.ask(request(), ENCODED)
    script.expect(Call)
    if effects > 1:
        script.expect(Receive, sink)
    if effects > 2:
        script.expect(Call, here.peer.event((1, False)))
    if effects > 3:
        script.expect(Call)
    script.program.close()
    assert sink.calls == (["discard"] if effects > 1 else [])
    assert here.peer.router.find((1, False)) is None


def test_what_was_opened_while_the_driver_gave_up_is_discarded() -> None:
    sink = Notes()
    script = scene(sink).ask(request(), ENCODED)
    opening = script.expect(Call)
    opening.function(*opening.arguments)
    script.program.close()
    assert sink.calls == ["open", "discard"]


def test_a_sink_may_be_opened_asynchronously() -> None:
    class Slow(Sink):
        async def open(self, event: RequestEvent) -> Any:  # type: ignore[override]
            raise NotImplementedError

    slow, sink = Slow(), Notes()
    script = scene(slow).ask(request(), ENCODED)
    assert script.expect(Call).function == slow.open  # which a driver awaits
    script.expect(Receive, sink)
    script.program.close()
    assert sink.calls == ["discard"]


def test_the_association_that_ends_while_a_sink_fails() -> None:
    here = scene(Notes())
    script = here.ask(request(), ENCODED)
    script.expect(Call)
    here.acceptor.abort()
    with pytest.raises(AssociationAborted):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))


# --- generators -------------------------------------------------------------------------------------------------------


class Diary:
    """A generator function that remembers."""

    def __init__(self, *, most: int = 1 << 30, status: Any = 0x0000) -> None:
        self.data = bytearray()
        self.arguments: tuple[Any, ...] = ()
        self.has_ended = False
        self._most = most
        self._status = status

    def take(self, event: RequestEvent, *arguments: Any) -> Generator[None, Any, Any]:
        assert event.request.AffectedSOPInstanceUID == "1.2.3"
        self.arguments = arguments
        try:
            while len(self.data) < self._most and (piece := (yield)) is not None:
                self.data += piece
        finally:
            self.has_ended = True
        return self._status


@for_each("status", [0x0000, 0xB000, 0xA700])
def test_a_generator_takes_an_object(status: int) -> None:
    diary = Diary(status=status)
    assert stored(Streamed(diary.take), LONG) == [status]
    assert bytes(diary.data) == LONG
    assert diary.has_ended


def test_a_generator_gets_the_arguments_that_were_bound() -> None:
    diary = Diary()
    assert statuses(scene(Streamed(diary.take), "label").serve(request(), ENCODED)) == [0x0000]
    assert diary.arguments == ("label",)


@for_each("most", [0, 1])
@for_each("status", [0x0000, 0xB000, 0xA700])
def test_a_generator_may_have_enough(most: int, status: int) -> None:
    diary = Diary(most=most, status=status)
    assert stored(Streamed(diary.take), LONG) == [status]
    assert len(diary.data) < len(LONG)


def test_a_generator_is_closed_if_the_object_does_not_arrive() -> None:
    diary = Diary()
    here, task = beginning(Streamed(diary.take))
    assert not diary.has_ended
    abort(here)
    task.advance()
    assert diary.has_ended


def test_a_generator_that_does_not_end_is_at_fault(caplog: pytest.LogCaptureFixture) -> None:
    def take(_event: RequestEvent) -> Any:
        while True:
            yield

    assert stored(Streamed(take)) == [0xC211]
    assert "has to return when there is no more data" in caplog.text


def test_a_generator_that_raises_is_at_fault() -> None:
    def take(_event: RequestEvent) -> Any:
        yield
        raise ZeroDivisionError

    assert stored(Streamed(take)) == [0xC211]
