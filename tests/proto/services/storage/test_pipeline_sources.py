"""Objects that are read while they are sent, over one association (PS3.7 9.1.1)."""

from attrs import evolve

from dicom_proto.errors import InvalidNameError
from dicom_proto.services.storage.pipeline import settling
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.upper_layer.failures import AssociationClosed
from tests.proto.programs.script import CT, EXPLICIT, InPieces, Task, data_set
from tests.proto.services.storage.test_pipeline import Line, failures, image


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


def test_one_waits_for_room_and_for_who_asks() -> None:
    """It would be left half sent where nobody does."""
    line = Line([1, 2], read=in_pieces)
    task = line.next()
    line.answer(task, 0)
    assert line.result(task)[1].Status == 0
    assert len(line.arrived) == 1
    line.answer(line.next(), 1)
    assert len(line.arrived) == 2


def test_one_that_cannot_leave_has_not_been_begun() -> None:
    line = Line([1], read=lambda number: evolve(in_pieces(number), sop_instance_uid="1" * 9999))
    assert failures(line.rest()) == [(1, InvalidNameError, False)]


def test_one_among_many_is_not_copied_ahead() -> None:
    items = (in_pieces(number) for number in (1, 2))
    line = Line(items, read=settling(items, lambda item: item))
    task = line.next()
    line.answer(task, 0)
    assert line.result(task)[1].Status == 0


def test_the_association_may_end_while_one_is_being_sent() -> None:
    line = Line([1], read=lambda number: in_pieces(number, *[bytes(1 << 17)] * 30))
    line.peer.association = line
    task = Task(line.peer, line.pipeline.next())
    assert not task.is_done
    line.peer.give_up()
    line.carry(task)
    assert failures([line.result(task)]) == [(1, AssociationClosed, True)]
