"""Many objects over one association: how many at a time, in which order, and what becomes of those that fail."""

import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.application.results import status_of
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP
from dicom_proto.errors import InvalidSettingError, LocalProtocolError, NoContextError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import END, Await, Call
from dicom_proto.services.storage.pipeline import NotStored, Pipeline, fetch, is_in_memory, iterate
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationClosed, AssociationFailure
from dicom_proto.upper_layer.state_table import State
from tests.proto.programs.script import (
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    VERIFICATION,
    Context,
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
from tests.proto.wire import drain


def image(number: int, sop_class: str = CT, transfer_syntax: str = EXPLICIT) -> StoredObject:
    data = data_set(EXPLICIT, PatientID=str(number))
    uid = f"1.2.{number}"
    return StoredObject(sop_class_uid=sop_class, sop_instance_uid=uid, transfer_syntax=transfer_syntax, data=data)


class Line:
    """A pipeline at one end of an association, and at the other a connection that answers when it is told to."""

    def __init__(
        self, items: Any, *contexts: Context, window: int = 1, read: Callable[[Any], Any] = image, **options: Any
    ) -> None:
        offer = offer_of(*(contexts or ((CT, EXPLICIT),)), window=(window, 1))
        self.near, self.far = connected(offer)
        self.peer = ScriptedPeer(self.near, Handlers())
        self.pipeline = Pipeline(self.peer, items, read, status_of, **options)
        self.is_aborted = False
        self.arrived: list[CStoreRQ] = []
        self.ids: list[int] = []

    def abort_soon(self) -> None:
        self.is_aborted = True

    def next(self) -> Task:
        """A task that waits for the next result."""
        task = Task(self.peer, self.pipeline.next())
        self.carry(task)
        return task

    def carry(self, task: Task) -> None:
        while task.advance() or (self.near.state is State.Sta6 and carry(self.near, self.far)):
            pass
        for event in drain(self.far):
            if isinstance(event, RequestReceived) and isinstance(event.request, CStoreRQ):
                self.arrived.append(event.request)
                self.ids.append(event.message_id)

    def answer(self, task: Task, number: int, status: int = 0) -> None:
        """Answer the object that has arrived as that one."""
        self.far.send_response(CStoreRSP(message_id_being_responded_to=self.ids[number], status=status))
        self.carry(task)

    def result(self, task: Task) -> tuple[Any, Dataset]:
        assert task.is_done
        if task.error is not None:
            raise task.error
        item, status = task.value
        return item, status

    def rest(self) -> list[tuple[Any, Dataset]]:
        """Everything that comes without another answer."""
        results: list[tuple[Any, Dataset]] = []
        while True:
            task = self.next()
            assert task.is_done
            if task.value is None:
                return results
            results.append(self.result(task))


def failures(results: list[tuple[Any, Dataset]]) -> list[tuple[Any, type[Exception], bool]]:
    found = []
    for item, status in results:
        assert isinstance(status, NotStored)
        assert not status
        found.append((item, type(status.failure), status.was_begun))
    return found


def test_one_after_the_other() -> None:
    line = Line(range(2))
    for number, status in enumerate([0x0000, 0xB007]):
        task = line.next()
        assert len(line.arrived) == number + 1
        assert not task.is_done
        line.answer(task, number, status)
        item, answer = line.result(task)
        assert (item, answer.Status) == (number, status)
    assert line.rest() == []
    assert line.pipeline.is_over
    assert [request.affected_sop_instance_uid for request in line.arrived] == ["1.2.0", "1.2.1"]
    assert not line.near.invoked


def test_as_many_at_a_time_as_the_window_allows() -> None:
    line = Line(range(5), window=3)
    task = line.next()
    assert len(line.arrived) == 3
    line.answer(task, 1)
    assert line.result(task)[0] == 1
    task = line.next()
    assert len(line.arrived) == 4
    line.answer(task, 0)
    assert line.result(task)[0] == 0


def test_a_window_without_a_limit_has_one() -> None:
    line = Line(range(100), window=0)
    line.next()
    assert len(line.near.invoked) == 9  # of the peer


def test_the_first_waits_for_room_behind_others() -> None:
    line = Line([7], (CT, EXPLICIT), VERIFICATION)
    line.near.send_request(CEchoRQ(affected_sop_class_uid=VERIFICATION), context=3)
    task = line.next()
    assert isinstance(task.effects[-1], Await)
    assert not line.arrived
    lose(line, task)
    assert failures([line.result(task)]) == [(7, AssociationAborted, False)]


def test_the_first_goes_on_when_there_is_room() -> None:
    line = Line([7], (CT, EXPLICIT), VERIFICATION)
    message_id = line.near.send_request(CEchoRQ(affected_sop_class_uid=VERIFICATION), context=3)
    task = line.next()
    line.ids.append(message_id)
    assert not line.arrived
    line.far.send_response(CEchoRSP(message_id_being_responded_to=message_id, status=0))
    line.carry(task)
    assert len(line.arrived) == 1


def test_progress_counts_what_was_answered() -> None:
    seen: list[tuple[int, int]] = []
    line = Line(range(2), window=2, on_progress=lambda *numbers: seen.append(numbers))
    task = line.next()
    line.answer(task, 1, 0xA700)
    line.answer(line.next(), 0)
    size = len(data_set(EXPLICIT, PatientID="0"))
    assert seen == [(1, size), (2, 2 * size)]


def test_priority_and_conversion() -> None:
    line = Line([image(1, transfer_syntax=EXPLICIT)], (CT, IMPLICIT), read=lambda item: item, priority=1)
    task = line.next()
    assert [effect.is_quick for effect in task.effects if isinstance(effect, Call)] == [True, False]
    assert line.arrived[0].priority == 1


@for_each(("decompress", "kind"), [(False, NoContextError), (True, LocalProtocolError)])
def test_compressed_objects(decompress: bool, kind: type[Exception]) -> None:
    line = Line(
        [image(1, transfer_syntax=JPEG)], (CT, IMPLICIT), read=lambda item: item, decompress=decompress, window=2
    )
    if decompress:
        line.next()
        assert len(line.arrived) == 1  # there are no pixel data
    else:
        [(_, found, _)] = failures(line.rest())
        assert found is kind


def unreadable(number: int) -> Any:
    if number == 0:
        raise OSError(5, "broken", "/zero")
    if number == 1:
        raise LocalProtocolError("no DICOM file")
    return image(number, MR if number == 2 else CT)


def test_what_cannot_be_sent_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    line = Line(range(4), read=unreadable)
    found = [line.result(line.next()) for _ in range(3)]
    assert failures(found) == [(0, OSError, False), (1, LocalProtocolError, False), (2, NoContextError, False)]
    task = line.next()
    line.answer(task, 0)
    assert line.result(task)[1].Status == 0
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert "no DICOM file" in caplog.text


def test_a_failure_keeps_nothing_in_memory() -> None:
    class Content(bytearray):
        pass

    seen: list[weakref.ref[Content]] = []

    def read(_: Any) -> StoredObject:
        content = Content(b"1234")
        seen.append(weakref.ref(content))
        return StoredObject(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=IMPLICIT, data=content)

    line = Line([1], (CT, EXPLICIT), read=read)
    [(_, status)] = line.rest()
    assert isinstance(status, NotStored)
    assert status.failure.__cause__ is not None
    gc.collect()
    assert seen[0]() is None


# --- the end ----------------------------------------------------------------------------------------------------------


def lose(line: Line, task: Task) -> None:
    line.far.abort()
    carry(line.near, line.far)
    line.carry(task)


def test_what_was_not_answered_is_not_stored() -> None:
    line = Line(range(5), window=3)
    task = line.next()
    line.far.send_response(CStoreRSP(message_id_being_responded_to=line.ids[1], status=0))
    carry(line.near, line.far)
    lose(line, task)
    assert line.result(task)[1].Status == 0  # what came before the end counts
    assert failures(line.rest()) == [
        (0, AssociationAborted, True),
        (2, AssociationAborted, True),
        (3, AssociationAborted, False),
        (4, AssociationAborted, False),
    ]
    assert len(line.arrived) == 3


def test_nothing_is_read_when_there_is_no_association() -> None:
    near = Connection()
    line = Line(range(2))
    line.peer = ScriptedPeer(near, Handlers())
    line.pipeline = Pipeline(line.peer, range(2), lambda _: pytest.fail("read"), status_of)
    assert failures(line.rest()) == [(0, AssociationClosed, False), (1, AssociationClosed, False)]


@for_each("has_begun", [True, False])
def test_strict_peers_raise(has_begun: bool) -> None:
    line = Line(range(2))
    line.peer.is_strict = True
    if has_begun:
        task = line.next()
        lose(line, task)
    else:
        line.far.abort()
        carry(line.near, line.far)
        line.peer.turn()
        task = line.next()
    with pytest.raises(AssociationFailure):
        line.result(task)


def test_nobody_wants_the_rest() -> None:
    line = Line(range(5), window=2)
    task = line.next()
    line.answer(task, 0)
    line.pipeline.abandon()
    assert line.pipeline.is_over
    line.far.send_response(CStoreRSP(message_id_being_responded_to=line.ids[1], status=0))
    carry(line.near, line.far)
    line.peer.turn()
    assert not line.near.invoked
    assert line.rest() == []


# --- where they come from ---------------------------------------------------------------------------------------------


async def counting() -> AsyncIterator[int]:
    yield 7


class Counting:
    """The same as :func:`counting`, and nothing has to be closed that nobody awaits."""

    def __aiter__(self) -> "Counting":
        return self

    def __anext__(self) -> "Counting":
        return self

    def __await__(self) -> Iterator[int]:
        return iter([7])


class Awaited(Task):
    """A task whose driver awaits what never has to wait."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result = super().call(function, *arguments)
        if not hasattr(result, "__await__"):
            return result
        try:
            result.__await__().send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("it waits")


def test_they_may_come_from_an_async_iterable() -> None:
    peer = Line([]).peer
    source = iterate(counting())
    assert [Awaited(peer, fetch(source, str)).advance() for _ in range(2)]
    source = iterate(counting())
    values = []
    for _ in range(2):
        task = Awaited(peer, fetch(source, str))
        task.advance()
        values.append(task.value)
    assert values == [(7, "7", None), (END, None, None)]


def test_not_every_driver_can_await() -> None:
    script = Script(fetch(iterate(Counting()), str))
    call = script.expect(Call)
    with pytest.raises(InvalidSettingError, match="event loop"):
        script.end(call.function(*call.arguments))


@for_each(
    ("items", "is_quick"),
    [
        ([b"at hand"], True),
        ((data_set(EXPLICIT, PatientID="1"),), True),
        (["a/path"], False),
        (iter([Path("a/path")]), False),
        ((item for item in [b"after a while"]), False),
        (range(1), False),
    ],
)
def test_what_may_wait_is_not_quick(items: Any, is_quick: bool) -> None:
    """A driver of a loop makes in another thread what is not quick: an iterator of the user's, and files."""
    script = Script(fetch(iterate(items), lambda item: [item]))
    call = script.expect(Call)
    assert call.is_quick is is_quick
    item, read, error = script.end(call.function(*call.arguments))
    assert (read, error) == ([item], None)


def test_what_cannot_be_read_is_told_with_its_item() -> None:
    def read(item: Any) -> Any:
        raise FileNotFoundError(item)

    for items in (["lost"], (item for item in ["lost"])):
        script = Script(fetch(iterate(items), read))
        call = script.expect(Call)
        item, value, error = script.end(call.function(*call.arguments))
        assert (item, value, type(error)) == ("lost", None, FileNotFoundError)


def test_what_is_in_memory() -> None:
    assert all(map(is_in_memory, [END, b"", bytearray(), memoryview(b""), Dataset(), (1, b""), image(1)]))
    assert not any(map(is_in_memory, ["path", Path("path"), BytesIO(), 5, (), (1, BytesIO()), (1, iter(()))]))


def test_an_iterator_is_taken_as_it_is() -> None:
    source: Iterator[int] = iter([1, 2])
    assert iterate(source) is source


def test_what_is_under_way_is_given_up() -> None:
    line = Line(range(5), window=3)
    line.next()
    error = AssociationClosed("gone")
    assert failures(line.pipeline.give_up(error)) == [(number, AssociationClosed, True) for number in range(3)]
    assert line.pipeline.is_over


# --- objects that are read while they are sent ------------------------------------------------------------------------


def in_pieces(number: int, *pieces: bytes | Exception) -> StoredObject:
    whole = image(number)
    assert isinstance(whole.data, bytes)
    parts = pieces or (whole.data[:5], whole.data[5:])
    return StoredObject(
        sop_class_uid=CT, sop_instance_uid=f"1.2.{number}", transfer_syntax=EXPLICIT, data=InPieces(*parts)
    )


def test_objects_that_are_read_while_they_are_sent() -> None:
    progress: list[tuple[int, int]] = []
    line = Line([1, 2], read=in_pieces, on_progress=lambda *numbers: progress.append(numbers))
    for number in range(2):
        task = line.next()
        line.answer(task, number)
        assert line.result(task)[1].Status == 0
    assert line.rest() == []
    length = len(data_set(EXPLICIT, PatientID="1"))
    assert progress == [(1, length), (2, 2 * length)]


def test_one_that_cannot_be_read_to_its_end_has_been_begun() -> None:
    """The association, which is given up for it, is its driver's."""
    line = Line([1], read=lambda number: in_pieces(number, b"12", OSError(5, "gone")))
    line.peer.association = line
    [(item, status)] = line.rest()
    assert failures([(item, status)]) == [(1, OSError, True)]
    assert line.is_aborted


def test_the_association_may_end_while_one_is_being_sent() -> None:
    line = Line([1], read=lambda number: in_pieces(number, *[bytes(1 << 17)] * 9))
    line.peer.association = line
    task = Task(line.peer, line.pipeline.next())
    assert not task.is_done
    line.peer.give_up()
    line.carry(task)
    assert failures([line.result(task)]) == [(1, AssociationClosed, True)]
