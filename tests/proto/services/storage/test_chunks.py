"""Objects whose handler asks for them piece by piece: what it gets, where it may stop, and how each of them ends."""

import logging
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_STORE
from dicom_proto.handlers.registry import Binding
from dicom_proto.limits import Tolerance
from dicom_proto.programs.effects import Call, Program, Receive
from dicom_proto.programs.performing import Performing
from dicom_proto.programs.streams import Stream
from dicom_proto.services.storage.chunks import chunked, is_chunked, store_chunked
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.failures import AssociationFailure
from tests.proto.programs.script import CT, EXPLICIT, IMPLICIT, Scene, Script, Task, data_set, statuses
from tests.proto.rows import for_each

ENCODED = data_set(EXPLICIT, PatientID="1")
LONG = bytes(range(256)) * 1600  # which comes in several pieces
FAILED = 0xC211


class Steps:
    """Stands for an adapter's association: a handler gets the programs that would be run when it asks for a piece."""

    def iterate(self, begin: Program[Stream[Any]]) -> Stream[Any]:
        return Script(begin).end()


def request() -> CStoreRQ:
    return CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def scene(handler: Callable[..., Any], *arguments: Any) -> Scene:
    here = Scene((CT, EXPLICIT), bindings=[(EVT_C_STORE, chunked(handler), arguments)])
    here.peer.association = Steps()
    return here


def pieces(here: Scene, event: RequestEvent) -> Iterator[bytes]:
    """What a handler gets, in an adapter that has all of it."""
    stream = event.chunks()
    while True:
        task = Task(here.peer, stream.next())
        while not task.is_done:
            assert task.advance() or here.carry()
        if task.error is not None:
            raise task.error
        if task.value is None:
            return
        assert isinstance(task.value, memoryview)
        assert task.value.readonly
        yield bytes(task.value)


def stored(take: Callable[[Iterator[bytes]], Any], data: bytes = LONG) -> list[int]:
    """The statuses of an object, and of another one after it, which shows that the association lives on."""
    here = scene(lambda event: take(pieces(here, event)))
    first = statuses(here.serve(request(), data))
    here.peer.handlers.bind(EVT_C_STORE, lambda event: 0 if event.dataset.PatientID == "1" else FAILED)
    assert statuses(here.serve(request(), ENCODED)) == [0x0000]
    return first


# --- which handlers are -----------------------------------------------------------------------------------------------


class Methods:
    """Handlers that are methods."""

    def store(self, _: Any) -> None:
        """Is not called."""

    @chunked
    def store_pieces(self, _: Any) -> None:
        """Is not called."""


def test_a_handler_that_is_marked() -> None:
    def handler(_: Any) -> None:
        pass

    assert not is_chunked(handler)
    assert chunked(handler) is handler
    assert is_chunked(handler)
    assert is_chunked(wraps(handler)(lambda _: None))


def test_other_things_that_can_be_called() -> None:
    bound = Methods().store
    assert not is_chunked(bound)
    assert chunked(bound) is bound
    assert is_chunked(bound)
    assert is_chunked(Methods().store_pieces)
    assert is_chunked(chunked(partial(print)))
    assert not is_chunked(print)


@for_each("tolerated", [True, False])
def test_the_other_vrs_are_noticed(tolerated: bool) -> None:
    """A data set without VRs in a context that says that it has some (PS3.5 A.2)."""
    data, seen = data_set(IMPLICIT, PatientID="1"), list[bytes]()

    def take(event: RequestEvent) -> int:
        seen.extend(pieces(here, event))
        return 0x0000

    here = scene(take)
    here.peer.tolerance = Tolerance(other_vr_encoding=tolerated)
    assert statuses(here.serve(request(), data)) == [0x0000 if tolerated else FAILED]
    assert seen == ([data] if tolerated else [])
    assert here.peer.connection.tolerated == ({"other_vr_encoding": 1} if tolerated else {})


# --- as it should be --------------------------------------------------------------------------------------------------


def test_step_by_step() -> None:
    def handler(*_: Any) -> None:
        """Is not called: the test is the handler."""

    here = scene(handler, "label")
    script = here.ask(request(), ENCODED)
    call = script.expect(Call)
    event, label = call.arguments
    assert (call.function, label, call.is_quick) == (handler, "label", False)
    assert (event.file_head()[128:132], event.source_ae_title, event.request.MessageID) == (b"DICM", "CALLING", 1)
    with pytest.raises(LocalProtocolError, match="comes in chunks"):
        _ = event.dataset
    with pytest.raises(LocalProtocolError, match="comes in chunks"):
        event.encoded_dataset()
    stream = event.chunks()
    assert not stream.is_over
    asking = Script[Any](stream.next())
    asking.expect(Receive)
    assert asking.end(here.peer.event((1, False))) == ENCODED
    assert stream.is_over
    assert Script(stream.next()).end() is None
    assert event.chunks() is stream
    script.end(0xB000)
    assert statuses(here.replies()) == [0xB000]


def test_all_of_it() -> None:
    got: list[bytes] = []

    def take(chunks: Iterator[bytes]) -> int:
        got.extend(chunks)
        return 0x0000

    assert stored(take) == [0x0000]
    assert b"".join(got) == LONG
    assert len(got) > 1


def test_an_object_of_any_size_passes() -> None:
    here = scene(lambda event: sum(map(len, pieces(here, event))) - len(LONG))
    here.peer.data_limit = 100
    assert statuses(here.serve(request(), LONG)) == [0x0000]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    """What waits meanwhile is bounded; behind it the peer is not read from."""
    here = scene(lambda _: 0)
    here.requestor.send_request(request(), context=1, data=bytes(8 << 20))
    script = here.script(here.arrived())
    script.expect(Call)
    here.carry()
    here.peer.turn()
    assert here.peer.router.is_full
    assert not here.acceptor.wants_read


def test_events_of_other_handlers_have_no_chunks() -> None:
    said: list[str] = []

    def handler(event: RequestEvent) -> int:
        with pytest.raises(LocalProtocolError, match="as chunked") as caught:
            event.chunks()
        said.append(str(caught.value))
        return 0

    here = Scene((CT, EXPLICIT), bindings=[(EVT_C_STORE, handler)])
    assert statuses(here.serve(request(), ENCODED)) == [0x0000]
    assert len(said) == 1


# --- a handler that does not take all of it ---------------------------------------------------------------------------


def one_piece(answer: int) -> Callable[[Iterator[bytes]], int]:
    return lambda chunks: (next(chunks), answer)[1]


@for_each("status", [0x0000, 0xB000, 0xA700, 0xC123])
@for_each("size", [len(LONG), 2])
def test_what_is_left_is_dropped(status: int, size: int) -> None:
    assert stored(one_piece(status), LONG[:size]) == [status]
    assert stored(lambda _: status, LONG[:size]) == [status]


def test_something_that_is_no_status() -> None:
    assert stored(lambda _: "well") == [0xC002]


def arriving(here: Scene) -> tuple[Task, bytes]:
    """What performs the request for an object of which only the beginning has arrived, and its rest."""
    here.requestor.send_request(request(), context=1, data=LONG)
    data = sent(here.requestor)
    here.acceptor.receive_data(data[:100_000], now=0)
    task = Task(here.peer, here.script(here.arrived()).program)
    task.advance()
    return task, data[100_000:]


def test_only_a_failure_is_answered_at_once() -> None:
    """PS3.7 9.1.1.2: a response before the end of the request cannot be a Success."""
    waiting, _ = arriving(scene(lambda _: 0x0000))
    assert not waiting.is_done
    here = scene(lambda _: 0xA700)
    done, _ = arriving(here)
    assert done.is_done
    assert here.peer.router.find((1, False)) is None


def test_who_asks_after_the_handler_has_returned() -> None:
    streams: list[Any] = []

    def handler(event: RequestEvent) -> int:
        streams.append(event.chunks())
        return 0x0000

    here = scene(handler)
    task, rest = arriving(here)
    with pytest.raises(LocalProtocolError, match="has returned"):
        Script(streams[0].next()).end()
    streams[0].abandon()
    here.acceptor.receive_data(rest, now=0)
    assert statuses(here.finish(task)) == [0x0000]
    assert Script(streams[0].next()).end() is None


# --- when it goes wrong -----------------------------------------------------------------------------------------------


def fail(chunks: Iterator[bytes]) -> None:
    next(chunks)
    raise ZeroDivisionError


def test_a_handler_that_raises_costs_one_object(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert stored(fail) == [FAILED]
    assert "the handler of EVT_C_STORE raised: the answer is C211H" in caplog.text


def abort(here: Scene) -> None:
    here.acceptor.abort()
    here.acceptor.receive_eof(now=0)


def lose(here: Scene) -> None:
    here.acceptor.receive_eof(now=0)


@pytest.mark.parametrize("end", [abort, lose])
def test_the_end_of_the_association_is_no_fault_of_the_handler(
    end: Callable[[Scene], None], caplog: pytest.LogCaptureFixture
) -> None:
    scenes: list[Scene] = []
    raised: list[Exception] = []

    def handler(event: RequestEvent) -> int:
        (here,) = scenes
        chunks = pieces(here, event)
        next(chunks)
        end(here)
        with pytest.raises(AssociationFailure) as caught:
            list(chunks)
        raised.append(caught.value)
        raise caught.value

    here = scene(handler)
    scenes.append(here)
    task, _ = arriving(here)
    assert [task.error] == raised
    assert "raised" not in caplog.text


@for_each("end", [abort, lose])
def test_the_end_of_the_association_while_the_rest_is_dropped(end: Callable[[Scene], None]) -> None:
    here = scene(lambda _: 0x0000)
    task, _ = arriving(here)
    end(here)
    task.advance()
    assert isinstance(task.error, AssociationFailure)


def test_a_driver_that_gives_up_in_the_handler() -> None:
    here = scene(lambda _: 0)
    performing = Performing(here.peer, here.arrive(request(), ENCODED))
    binding = here.peer.handlers.binding(EVT_C_STORE)
    assert isinstance(binding, Binding)
    script = Script(store_chunked(performing, binding, failed=FAILED))
    (event,) = script.expect(Call).arguments
    stream = event.chunks()
    script.program.close()
    with pytest.raises(LocalProtocolError, match="has returned"):
        Script(stream.next()).end()
