"""Many objects over one association: how many at a time, in which order, and what becomes of those that fail."""

import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pydicom.dataset import Dataset

from dicom_proto.application.results import status_of
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP
from dicom_proto.encoding.datasets import decode, file_preamble_and_meta
from dicom_proto.errors import InvalidNameError, InvalidSettingError, LocalProtocolError, NoContextError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import END, Await, Call
from dicom_proto.services.storage import pipeline
from dicom_proto.services.storage.pipeline import NotStored, Pipeline, Sent, fetch, is_in_memory, iterate, settling
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.testing.pair import drain
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
    Script,
    ScriptedPeer,
    Task,
    carry,
    connected,
    data_set,
    offer_of,
)
from tests.proto.rows import for_each


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
        self.data: list[bytes] = []
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
            elif isinstance(event, DataChunk):
                self.data.append(bytes(event.data))

    def answer(self, task: Task, number: int, status: int = 0) -> None:
        """Answer the object that has arrived as that one."""
        self.far.send_response(CStoreRSP(message_id_being_responded_to=self.ids[number], status=status))
        self.carry(task)

    def result(self, task: Task) -> Sent:
        assert task.is_done
        if task.error is not None:
            raise task.error
        result: Sent = task.value
        return result

    def rest(self) -> list[tuple[Any, Dataset]]:
        """Everything that comes without another answer."""
        results: list[tuple[Any, Dataset]] = []
        while True:
            task = self.next()
            assert task.is_done
            if task.value is None:
                return results
            results.append(self.result(task))


def failures(results: Sequence[tuple[Any, Dataset]]) -> list[tuple[Any, type[Exception], bool]]:
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
    assert len(line.ids) == 3
    for message_id in line.ids[1:]:
        line.far.send_response(CStoreRSP(message_id_being_responded_to=message_id, status=0))
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
    assert failures(line.pipeline.give_up(error)) == [(number, AssociationClosed, number < 3) for number in range(4)]
    assert line.pipeline.is_over


# --- ahead ------------------------------------------------------------------------------------------------------------


class Asked:
    """An iterator that counts what it was asked for."""

    def __init__(self, items: Iterator[Any]) -> None:
        self.items = items
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.count += 1
        return next(self.items)


def test_the_next_one_is_ready_and_leaves_before_anybody_is_told() -> None:
    asked = Asked(iter(range(5)))
    line = Line(asked)
    task = line.next()
    assert (len(line.arrived), asked.count) == (1, 2)  # one ahead
    line.answer(task, 0)
    assert line.result(task)[0] == 0
    assert (len(line.arrived), asked.count) == (2, 2)
    assert line.next().effects  # asked for while the answer is awaited
    assert (len(line.arrived), asked.count) == (2, 3)


def test_each_knows_its_place() -> None:
    line = Line(range(10, 13), window=3, read=lambda number: image(number, MR if number == 10 else CT))
    task = line.next()
    line.carry(task)
    refused = line.result(task)
    assert (refused.item, refused.position, bool(refused.status)) == (10, 0, False)
    task = line.next()
    line.answer(task, 1)
    assert line.result(task).position == 2


def test_nothing_is_made_ready_when_an_answer_is_there() -> None:
    asked = Asked(iter(range(5)))
    line = Line(asked, window=2)
    task = line.next()
    assert asked.count == 3
    for message_id in line.ids:
        line.far.send_response(CStoreRSP(message_id_being_responded_to=message_id, status=0))
    line.carry(task)
    assert [line.result(each)[0] for each in (task, line.next())] == [0, 1]
    assert asked.count == 3
    assert len(line.arrived) == 3


def test_nothing_is_made_ready_beside_something_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LONGEST_AHEAD", 1)
    asked = Asked(iter(range(5)))
    line = Line(asked)
    task = line.next()
    assert asked.count == 1
    line.answer(task, 0)
    line.next()
    assert (len(line.arrived), asked.count) == (2, 2)


def test_or_where_somebody_minds() -> None:
    welcome = [True, False]
    asked = Asked(iter(range(5)))
    line = Line(asked, looks_ahead=welcome.pop)
    line.next()
    assert asked.count == 1
    line.next()
    assert asked.count == 2


def reusing(kind: str) -> Iterator[Any]:
    """Objects that are all the same one, with something else in it."""
    dataset, buffer, content = Dataset(), bytearray(data_set(EXPLICIT, PatientID="0")), bytearray()
    for number in range(3):
        encoded = data_set(EXPLICIT, SOPClassUID=CT, SOPInstanceUID=f"1.2.{number}", PatientID=str(number))
        if kind == "Dataset":
            dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = CT, f"1.2.{number}", str(number)
            yield dataset
        elif kind == "bytearray":
            content[:] = file_preamble_and_meta(CT, f"1.2.{number}", EXPLICIT) + encoded
            yield content
        else:
            buffer[-2:] = f"{number} ".encode()
            made = image(number)
            yield StoredObject(
                sop_class_uid=made.sop_class_uid,
                sop_instance_uid=made.sop_instance_uid,
                transfer_syntax=EXPLICIT,
                data=memoryview(buffer),
            )


@for_each("kind", ["Dataset", "bytearray", "view"])
def test_what_was_given_may_be_used_again(kind: str) -> None:
    line = Line(reusing(kind), read=settling(reusing(kind), lambda item: item))
    seen = []
    for number in range(3):
        task = line.next()
        seen += [decode(each, EXPLICIT).PatientID for each in line.data]
        line.data.clear()
        line.answer(task, number)
    assert seen + [decode(each, EXPLICIT).PatientID for each in line.data] == ["0", "1", "2"]


def test_what_is_long_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LONGEST_AHEAD", 1)
    line = Line(reusing("view"), read=settling(reusing("view"), lambda item: item))
    task = line.next()
    line.answer(task, 0)
    assert line.result(task)[1].Status == 0


def test_what_cannot_leave_costs_nothing_else() -> None:
    line = Line([image(0), evolve(image(1), sop_instance_uid="1" * 9999), image(2)], read=lambda item: item)
    task = line.next()
    line.answer(task, 0)
    assert line.result(task)[1].Status == 0
    [(_, status)] = [line.result(line.next())]
    assert isinstance(status, NotStored)
    assert isinstance(status.failure, InvalidNameError)
    task = line.next()
    assert len(line.arrived) == 2
    line.answer(task, 1)
    assert line.rest() == []
    assert line.pipeline.is_over


def test_what_is_lost_while_another_is_made_ready_is_told_first() -> None:
    def read(number: int) -> StoredObject:
        if number == 1:
            line.far.abort()
            carry(line.near, line.far)
        return image(number)

    line = Line(range(3), read=read)
    assert failures(line.rest()) == [
        (0, AssociationAborted, True),
        (1, AssociationAborted, False),
        (2, AssociationAborted, False),
    ]


def test_items_that_nobody_changes_are_not_copied() -> None:
    def read(item: Any) -> Any:
        return item

    assert settling([1], read) is settling((1,), read) is read
    assert settling(iter([1]), read) is read
    content = bytearray(file_preamble_and_meta(CT, "1.2", EXPLICIT) + data_set(EXPLICIT, PatientID="1"))
    constant = settling((each for each in [1]), read)(content)
    assert isinstance(constant, StoredObject)
    assert constant.is_constant


def test_what_was_ready_is_given_up_too() -> None:
    line = Line(range(3))
    task = line.next()
    lose(line, task)
    assert failures([line.result(task), *line.rest()]) == [
        (0, AssociationAborted, True),
        (1, AssociationAborted, False),
        (2, AssociationAborted, False),
    ]
    line = Line([0, 1, 2], read=lambda number: image(number, MR if number == 2 else CT))
    line.next()
    line.pipeline._refused.append(Sent(7, NotStored(NoContextError("no")), 7))  # noqa: SLF001
    assert not line.pipeline.is_over
    given_up = line.pipeline.give_up(AssociationClosed("gone"))
    assert [(sent.item, sent.position) for sent in given_up] == [(0, 0), (7, 7), (1, 1)]
    line = Line([0])
    line.next()
    assert len(line.pipeline.give_up(AssociationClosed("gone"))) == 1
