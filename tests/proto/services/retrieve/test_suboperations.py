"""Sub-operations: counted, reported, and what each may come to (PS3.4 C.4.2, C.4.3)."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.messages import Priority
from dicom_proto.errors import LocalProtocolError
from dicom_proto.programs.effects import Program
from dicom_proto.services.retrieve import suboperations
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.upper_layer.failures import AssociationFailure
from tests.proto.programs.script import (
    CANCEL,
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    PENDING,
    STUDY_GET,
    Task,
    data_set,
    dataset_of,
    decoded,
    offer_of,
    statuses,
)
from tests.proto.rows import for_each
from tests.proto.services.retrieve.getting import IDENTIFIER, Getting, counters, failed_uids, image, request, yields


def test_a_priority_that_the_peer_made_up_is_not_sent() -> None:
    here = Getting(yields((PENDING, image())))
    received = here.arrive(request(), IDENTIFIER)
    received.request.priority = 7  # type: ignore[attr-defined]
    task = Task(here.peer, here.script(received).program)
    while not task.is_done and not here.stored:
        task.advance()
        here.carry()
        here.answer([])
    assert here.stored[0].priority is Priority.MEDIUM


@for_each(
    ("answers", "status", "counted", "failed"),
    [
        ([0, 0], 0x0000, (None, 2, 0, 0), None),
        ([0xA700, 0xC000], 0xA702, (None, 0, 2, 0), ["1.2.1", "1.2.2"]),
        ([0, 0xA700], 0xB000, (None, 1, 1, 0), ["1.2.2"]),
        ([0xB000, 0], 0xB000, (None, 1, 0, 1), None),
        ([0xB000, 0xB006], 0xB000, (None, 0, 0, 2), None),
        ([0xA700, 0xB007], 0xB000, (None, 0, 1, 1), ["1.2.1"]),
        ([0x4321, 0xFE00], 0xA702, (None, 0, 2, 0), ["1.2.1", "1.2.2"]),
    ],
)
def test_the_final_status(
    answers: list[int], status: int, counted: tuple[int | None, ...], failed: list[str] | None
) -> None:
    *pending, last = Getting(yields((PENDING, image(1)), (PENDING, image(2))), answers=answers).get()
    assert statuses(pending) == [PENDING, PENDING]
    assert (last[0].status, counters(last)) == (status, counted)
    assert (None if last[1] is None else failed_uids(last)) == failed


def test_nothing_matches() -> None:
    (last,) = Getting(yields()).get()
    assert (last[0].status, counters(last), last[1]) == (0, (None, 0, 0, 0), None)


def test_refused_before_there_is_a_count() -> None:
    """The only response has no counters, and no data set that a peer might not expect (PS3.7 9.1.3)."""
    status = dataset_of(Status=0xA900, ErrorComment="no level")
    for refusal in (status, (0xA900, None), (status, None)):
        (last,) = Getting(lambda _, given=refusal: iter([given])).get()
        assert (last[0].status, counters(last), last[1]) == (0xA900, (None, None, None, None), None)
    (last,) = Getting(lambda _: iter([(PENDING, None)])).get()
    assert last[0].status == 0xC413


NO_OBJECTS = [
    (PENDING, None),
    (PENDING, "image.dcm"),
    PENDING,
    (PENDING, Dataset()),
    (PENDING, image(sop_class=MR)),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.9", transfer_syntax=JPEG, data=b"ab")),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="1.2.9", transfer_syntax=IMPLICIT, data=b"odd")),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="LOCALIZER1.02", transfer_syntax=IMPLICIT, data=b"odd")),
    (PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid="1.2\n", transfer_syntax=IMPLICIT, data=b"ab")),
]


@for_each("item", NO_OBJECTS)
def test_an_object_that_cannot_be_sent_fails_for_itself(item: Any) -> None:
    here = Getting(yields((PENDING, image(1)), item, (PENDING, image(3))))
    said = here.get()
    assert statuses(said) == [PENDING, PENDING, PENDING, 0xB000]
    assert counters(said[-1]) == (None, 2, 1, 0)
    assert len(here.stored) == 2
    uid = getattr(item[1], "sop_instance_uid", getattr(item[1], "SOPInstanceUID", None)) if item != PENDING else None
    assert failed_uids(said[-1]) == [known for known in (uid,) if known and known != "1.2\n"]


def test_an_irregular_object_is_sent_and_named() -> None:
    """PS3.5 9.1 binds who makes a UID: an archive has to pass the object on, and to say which one it could not."""
    irregular = StoredObject(
        sop_class_uid=CT,
        sop_instance_uid="LOCALIZER1.02",
        transfer_syntax=IMPLICIT,
        data=data_set(IMPLICIT, PatientID="1"),
    )
    here = Getting(yields((PENDING, irregular)))
    assert statuses(here.get()) == [PENDING, 0x0000]
    assert [store.affected_sop_instance_uid for store in here.stored] == ["LOCALIZER1.02"]


def test_what_the_driver_reads() -> None:
    """A driver may know what a path is; what it cannot read fails for itself, whatever is wrong with it."""

    def read(value: Any) -> Any:
        match value:
            case "missing":
                raise FileNotFoundError(value)
            case "no image":
                raise LocalProtocolError(value)
            case str():
                return image(int(value))
        return value

    here = Getting(yields(*((PENDING, value) for value in ("1", "missing", image(3), "no image", "5"))))
    here.peer.read = read
    last = here.get()[-1]
    assert (last[0].status, counters(last)) == (0xB000, (None, 3, 2, 0))
    assert [store.affected_sop_instance_uid for store in here.stored] == ["1.2.1", "1.2.3", "1.2.5"]


def test_a_list_that_is_too_long_for_its_vr() -> None:
    given_up = dataset_of(FailedSOPInstanceUIDList=[f"1.2.{10**58 + number}" for number in range(1060)])
    here = Getting(yields((0xA702, given_up), count=1060), offer=offer_of((STUDY_GET, EXPLICIT), CT))
    last = here.get(data_set(EXPLICIT, PatientID="1"))[-1]
    assert (last[0].status, counters(last)) == (0xA702, (None, 0, 1060, 0))
    assert (last[1] or b"")[4:6] == b"UN"
    element = decoded(last[1], EXPLICIT)[0x00080058]
    assert (element.VR, len(element.value)) == ("UI", 1060)


def test_a_list_that_cannot_be_encoded_is_left_out_with_its_number() -> None:
    here = Getting(yields((PENDING, image(1, MR))), offer=offer_of((STUDY_GET, "1.2.3.4"), CT))
    last = here.get(b"ab")[-1]
    assert (last[0].status, counters(last), last[1]) == (0xA702, (None, 0, None, 0), None)


@for_each(
    ("handler", "status"),
    [
        ((), 0xC411),
        ((lambda _: 1 / 0,), 0xC411),
        ((lambda _: None,), 0xC413),
        ((lambda _: 5,), 0xC411),
        ((lambda event: event.dataset,), 0xC411),
        ((lambda _: (1 / 0 for _ in "x"),), 0xC413),
        ((lambda _: [],), 0xC413),
        ((yields(count="2"),), 0xC413),
        ((yields(count=-1),), 0xC413),
        ((yields(count=True),), 0xC413),
        ((yields(count=None),), 0x0000),
        ((lambda _: [(PENDING, image())],), 0xC413),
        ((yields(count=65536),), 0xC416),
    ],
)
def test_a_handler_that_does_not_get_to_the_objects(handler: Any, status: int) -> None:
    (last,) = Getting(*handler).get()
    assert (last[0].status, last[1]) == (status, None)


def test_what_goes_with_a_pending_status() -> None:
    """The response that reports the sub-operation has it."""
    said = Dataset()
    said.Status, said.ErrorComment = PENDING, "slow"
    first, last = Getting(yields((said, image(1)))).get()
    assert (first[0].status, first[0].error_comment) == (PENDING, "slow")  # type: ignore[attr-defined]
    assert (last[0].status, last[0].error_comment) == (0x0000, None)  # type: ignore[attr-defined]


def raising(_: Any) -> Iterator[Any]:
    yield 3
    yield PENDING, image(1)
    raise RuntimeError


def test_a_handler_that_raises_between_objects() -> None:
    last = Getting(raising).get()[-1]
    assert (last[0].status, counters(last)) == (0xC411, (None, 1, 2, 0))
    assert failed_uids(last) == []  # nobody knows which they were


GIVEN_UP = dataset_of(FailedSOPInstanceUIDList=["1.2.8", "1.2.9"])


@for_each(
    ("item", "status", "counted", "failed"),
    [
        ((0x0000, None), 0x0000, (None, 1, 0, 0), None),
        (0x0000, 0x0000, (None, 1, 0, 0), None),
        ((0x0000, GIVEN_UP), 0xB000, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((0xB000, None), 0xB000, (None, 1, 2, 0), []),
        ((0xB000, GIVEN_UP), 0xB000, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((0xA702, GIVEN_UP), 0xA702, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((0xA900, dataset_of(FailedSOPInstanceUIDList="1.2.9")), 0xA900, (None, 1, 2, 0), ["1.2.9"]),
        ((0xC123, dataset_of(PatientID="1")), 0xC123, (None, 1, 2, 0), []),
        ((0x4321, None), 0x4321, (None, 1, None, 0), None),  # no list goes with it, and no number without a list
        ((CANCEL, None), CANCEL, (2, 1, 0, 0), None),
        ((CANCEL, GIVEN_UP), CANCEL, (0, 1, 2, 0), ["1.2.8", "1.2.9"]),
        ((CANCEL, dataset_of(FailedSOPInstanceUIDList=["1.2.9"])), CANCEL, (1, 1, 1, 0), ["1.2.9"]),
        (None, 0xC002, (None, 1, 2, 0), []),
        ("nonsense", 0xC002, (None, 1, 2, 0), []),
        (Dataset(), 0xC001, (None, 1, 2, 0), []),
    ],
)
def test_a_handler_that_ends_it(
    item: object, status: int, counted: tuple[int | None, ...], failed: list[str] | None
) -> None:
    *_, last = Getting(yields((PENDING, image(1)), item, count=3)).get()
    assert (last[0].status, counters(last)) == (status, counted)
    assert (None if last[1] is None else failed_uids(last)) == failed


def test_a_comment_goes_with_the_last_status() -> None:
    status = dataset_of(Status=0xA702, ErrorComment="no disk")
    *_, last = Getting(yields((status, None), count=1)).get()
    assert last[0].error_comment == "no disk"  # type: ignore[attr-defined]


def test_fewer_objects_than_were_promised() -> None:
    *_, last = Getting(yields((PENDING, image(1)), count=3)).get()
    assert (last[0].status, counters(last)) == (0xB000, (None, 1, 2, 0))
    (last,) = Getting(yields(count=3)).get()
    assert (last[0].status, counters(last)) == (0xA702, (None, 0, 3, 0))


def test_more_objects_than_were_promised(caplog: pytest.LogCaptureFixture) -> None:
    here = Getting(yields((PENDING, image(1)), (PENDING, image(2)), count=1))
    assert statuses(here.get()) == [PENDING, 0x0000]
    assert len(here.stored) == 1
    assert "makes no difference" in caplog.text


def test_a_handler_runs_to_its_end() -> None:
    ended = []

    def handler(_: Any) -> Iterator[Any]:
        yield 1
        yield PENDING, image(1)
        ended.append(True)

    assert statuses(Getting(handler).get()) == [PENDING, 0x0000]
    assert ended


def test_a_cancel_before_the_first_object() -> None:
    here = Getting(yields((PENDING, image(1)), (PENDING, image(2))))
    received = here.arrive(request(), IDENTIFIER)
    here.requestor.send_cancel(received.message_id)
    here.carry()
    (last,) = here.finish(Task(here.peer, here.script(received).program))
    assert (last[0].status, counters(last), last[1]) == (CANCEL, (2, 0, 0, 0), None)


def test_a_cancel_between_objects_leaves_the_rest() -> None:
    here = Getting(yields(*((PENDING, image(number)) for number in range(5))), answers=[0, 0xA700])

    def cancel() -> None:
        if len(here.stored) == 2:
            here.requestor.send_cancel(1)

    here.before_store = cancel
    said = here.get()
    assert statuses(said) == [PENDING, PENDING, CANCEL]
    assert counters(said[-1]) == (3, 1, 1, 0)
    assert failed_uids(said[-1]) == ["1.2.1"]


def test_a_cancel_after_the_last_object_comes_too_late() -> None:
    here = Getting(yields((PENDING, image(1))))
    here.before_store = lambda: here.requestor.send_cancel(1)
    assert statuses(here.get()) == [PENDING, 0x0000]


def test_more_than_can_be_counted() -> None:
    """An entity that does not count them says nothing until all is done, and then no numbers, but names."""
    entity = ApplicationEntity("ARCHIVE")
    entity.counts_sub_operations = False
    many = yields((PENDING, image(1)), (PENDING, image(2, MR)), (CANCEL, None), count=65536)
    (last,) = Getting(many, entity=entity).get()
    assert (last[0].status, counters(last), failed_uids(last)) == (CANCEL, (None, None, None, None), ["1.2.2"])


@for_each("is_read", [False, True])
def test_the_end_of_the_association_is_no_failure_of_one_object(is_read: bool) -> None:
    def read(value: Any) -> Any:
        if not is_read:
            here.peer.give_up()
            raise LocalProtocolError("it cannot be read any more")
        return value

    here = Getting(yields((PENDING, image(1)), (PENDING, image(2))))
    here.peer.read = read
    here.before_store = here.peer.give_up
    with pytest.raises((AssociationFailure, LocalProtocolError)):
        here.get()


def test_nor_is_it_one_of_who_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(peer: Any, *_: Any, **__: Any) -> Program[None]:
        peer.give_up()
        yield from ()
        raise LocalProtocolError("it cannot be sent any more")

    monkeypatch.setattr("dicom_proto.services.retrieve.get.store_object_scu", fail)
    with pytest.raises(LocalProtocolError, match="it cannot be sent any more"):
        Getting(yields((PENDING, image(1)), (PENDING, image(2)))).get()


# --- what was yielded -------------------------------------------------------------------------------------------------


def reusing(kind: str) -> Iterator[Any]:
    """Objects that are all the same one, with something else in it."""
    dataset, buffer = Dataset(), bytearray(data_set(IMPLICIT, PatientID="0 "))
    yield 3
    for number in range(3):
        uid = f"1.2.{number}"
        if kind == "Dataset":
            dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = CT, uid, str(number)
            yield PENDING, dataset
        else:
            buffer[-2:] = f"{number} ".encode()
            data = memoryview(buffer)
            yield PENDING, StoredObject(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax=IMPLICIT, data=data)
    buffer[-2:] = b"no"
    dataset.PatientID = "no"


@for_each("kind", ["Dataset", "buffer"])
def test_what_was_yielded_may_be_used_again(kind: str) -> None:
    here = Getting(lambda _: reusing(kind))
    assert statuses(here.get()) == [PENDING, PENDING, PENDING, 0x0000]
    assert [decoded(data).PatientID for data in here.data] == ["0", "1", "2"]


def test_what_is_too_long_to_be_copied_is_stored_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suboperations, "LONGEST_AHEAD", 1)
    here = Getting(lambda _: reusing("buffer"))
    assert statuses(here.get()) == [PENDING, PENDING, PENDING, 0x0000]
    assert [decoded(data).PatientID for data in here.data] == ["0", "1", "2"]


def test_after_a_cancel_nothing_is_asked_for_or_sent() -> None:
    asked = []

    def handler(_: Any) -> Iterator[Any]:
        yield 5
        for number in range(5):
            asked.append(number)
            yield PENDING, image(number)

    here = Getting(handler)
    here.before_store = lambda: here.requestor.send_cancel(1)
    said = here.get()
    assert statuses(said) == [PENDING, CANCEL]
    assert counters(said[-1]) == (4, 1, 0, 0)
    assert asked == [0, 1]  # the second was ready
    assert len(here.stored) == 1
