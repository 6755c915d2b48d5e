"""Many objects over several associations: what goes with which, what is asked for, what is sent again."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.results import status_of
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.messages import CStoreRSP
from dicom_proto.encoding.sources import ReadOnceError
from dicom_proto.errors import InvalidNameError, InvalidSettingError, LocalProtocolError, NoContextError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Await, Call, Dial, Effect, Fork, HangUp, Pause, Run
from dicom_proto.programs.streams import at_once
from dicom_proto.programs.tasks import Tasks
from dicom_proto.services.storage import batch
from dicom_proto.services.storage.batch import KEPT, Batch
from dicom_proto.services.storage.pipeline import NotStored, Sent
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.testing.pair import drain
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationRejected
from dicom_proto.upper_layer.state_table import State
from tests.proto.programs.script import (
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    InPieces,
    ScriptedPeer,
    Task,
    carry,
    connected,
    data_set,
    dataset_of,
    ended,
    recorded,
)
from tests.proto.rows import for_each

LONG = bytes(KEPT + 2)
REFUSED = ConnectionRefusedError(111, "refused")
GONE = -1  # before anything is sent
LATE = -2  # it is not established before somebody says so


def image(number: int | str, sop_class: str = CT, transfer_syntax: str = EXPLICIT, data: Any = None) -> StoredObject:
    return StoredObject(
        sop_class_uid=sop_class,
        sop_instance_uid=f"1.2.{number}",
        transfer_syntax=transfer_syntax,
        data=data_set(EXPLICIT, PatientID=str(number)) if data is None else data,
    )


class Far:
    """The other end of an association, which answers as many objects as it is told to; ``abort`` is the near one's."""

    failure = None

    def __init__(self, offer: Any, most: int | None, refused: tuple[str, ...] = ()) -> None:
        self.near, self.far = connected(offer, refused=refused)
        self.peer = ScriptedPeer(self.near, Handlers(), self)
        self.most = most
        self.stored: list[str] = []
        self.is_aborted = False
        if most == GONE:
            self.far.abort()
            carry(self.near, self.far)
            self.peer.turn()

    def submit(self, program: Any, on_end: Callable[[Any], None]) -> None:
        task = Task(self.peer, program)
        while not task.is_done:
            task.advance()
            carry(self.near, self.far)
            for event in drain(self.far):
                if isinstance(event, RequestReceived):
                    self._answer(event)
        on_end(ended(program, task.value, task.error))

    def part(self) -> Any:
        return at_once(lambda: None)

    def abort_soon(self) -> None:
        self.is_aborted = True

    def _answer(self, event: RequestReceived) -> None:
        if self.far.state is not State.Sta6:
            return
        if len(self.stored) == self.most:
            self.far.abort()
        else:
            self.stored.append(event.request.affected_sop_instance_uid)  # type: ignore[attr-defined]
            self.far.send_response(CStoreRSP(message_id_being_responded_to=event.message_id, status=0))
        carry(self.near, self.far)


class Voyage:
    """A batch, driven; ``fates`` are what becomes of the associations, one after the other: an error, or how many
    objects it takes until it is lost, and ``None`` for all."""

    def __init__(
        self,
        items: Any,
        *fates: Exception | int | None,
        read: Callable[[Any], Any] = image,
        refused: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self.fates = iter(fates)
        self.refused = refused
        self.batch = Batch(
            items,
            read,
            status_of,
            ("host", 104),
            partial(ApplicationEntity().offer, "PEER", items=()),
            options={"tls_args": None},
            **options,
        )
        self.effects: list[Effect] = []
        self.associations: list[Far] = []
        self.late: list[tuple[Any, Far]] = []
        self.now = 0.0
        self.tasks = Tasks(lambda: None)
        self.task = self.tasks.start(recorded(self.batch.run(), self.effects))

    def next(self) -> Sent | None:
        """The next that is finished, ``None`` after the last; no turn is taken when there is one."""
        while not (self.batch.finished or self.task.is_done):
            effects, deadline = self.tasks.turn(now=self.now)
            for task, effect in effects:
                try:
                    result = self._perform(effect)
                except Exception as error:  # noqa: BLE001 - it belongs to the batch
                    self.tasks.throw(task, error)
                    continue
                if isinstance(result, Far) and result.most == LATE:
                    self.late.append((task, result))
                else:
                    self.tasks.resume(task, result)
            self.now = deadline or self.now
        if self.batch.finished:
            return self.batch.finished.popleft()
        self.task.result()
        return None

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Call():
                return effect.function(*effect.arguments)
            case Dial():
                assert (effect.address, effect.options) == (("host", 104), {"tls_args": None})
                fate = next(self.fates, None)
                if isinstance(fate, Exception):
                    raise fate
                self.associations.append(Far(effect.offer, fate, self.refused))
                return self.associations[-1]
        raise AssertionError(effect)

    def __iter__(self) -> Iterator[Sent]:
        while (sent := self.next()) is not None:
            yield sent

    def of(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def proposed(self) -> list[list[tuple[str, tuple[str, ...]]]]:
        return [
            [(str(c.abstract_syntax), tuple(c.transfer_syntaxes)) for c in dial.offer.presentation_contexts]
            for dial in self.of(Dial)
        ]

    @property
    def stored(self) -> list[list[str]]:
        return [association.stored for association in self.associations]


def outcome(results: Any) -> list[tuple[Any, Any]]:
    """Items, each with its status, or the type of its failure."""
    return [
        (item, type(status.failure) if isinstance(status, NotStored) else status.Status) for item, status in results
    ]


# --- which associations -----------------------------------------------------------------------------------------------


def test_one_association_if_that_will_do() -> None:
    voyage = Voyage(range(3))
    assert outcome(voyage) == [(0, 0), (1, 0), (2, 0)]
    assert voyage.proposed == [[(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]]
    assert [type(effect) for effect in voyage.effects if not isinstance(effect, Call | Await | Fork)] == [
        Dial,
        *[Run] * 4,
        HangUp,
    ]
    assert voyage.of(HangUp) == [HangUp(voyage.associations[0].peer)]
    assert voyage.next() is None


def test_nothing_to_send() -> None:
    voyage = Voyage([])
    assert list(voyage) == []
    assert voyage.of(Dial) == []


def test_as_many_associations_as_the_contexts_need() -> None:
    """Each of these SOP classes needs two contexts, and 128 fit."""
    voyage = Voyage(range(130), read=lambda number: image(number, sop_class=f"1.2.3.{number}"))
    assert outcome(voyage) == [(number, 0) for number in range(130)]
    assert [len(contexts) for contexts in voyage.proposed] == [128, 128, 4]
    assert [len(stored) for stored in voyage.stored] == [64, 64, 2]


def test_an_endless_iterable_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    items = count()
    assert outcome([Voyage(items).next()]) == [(0, 0)]
    assert next(items) == 256  # those that are the user's are kept
    items = count()
    assert outcome([Voyage(map(str, items)).next()]) == [("0", 0)]
    assert next(items) == 1000
    monkeypatch.setattr(batch, "_MOST_OBJECTS", 3)
    voyage = Voyage(count())
    for number in range(7):
        assert outcome([voyage.next()]) == [(number, 0)]
    assert [len(stored) for stored in voyage.stored] == [3, 3, 2]  # one is ahead


@for_each("kind", [str, Path])
@for_each(("data", "times"), [(LONG, 2), (None, 1)])
def test_long_files_are_read_when_it_is_their_turn(kind: Any, data: Any, times: int) -> None:
    seen = []

    def read(path: Any) -> StoredObject:
        seen.append(path)
        return image(1, data=data)

    assert outcome(Voyage([kind("/1")], read=read)) == [(kind("/1"), 0)]
    assert seen == [kind("/1")] * times


def test_what_is_in_memory_is_read_once_and_counts_as_long_as_it_is() -> None:
    seen = []

    def read(number: int) -> Any:
        seen.append(number)
        made = dataset_of(SOPClassUID=CT, SOPInstanceUID=f"1.2.{number}")
        if number:
            made.add_new("PixelData", "OW", bytes(1 << 25))
        return made

    voyage = Voyage(range(6), read=read)
    results = iter(voyage)
    assert outcome([next(results)]) == [(0, 0)]
    assert seen == [0, 1, 2]
    assert outcome(results) == [(number, 0) for number in range(1, 6)]
    assert seen == list(range(6))
    assert [len(stored) for stored in voyage.stored] == [3, 2, 1]


def test_a_compressed_object_may_be_asked_for_in_other_ways() -> None:
    read = partial(image, transfer_syntax=JPEG)
    assert outcome(Voyage([1], read=read)) == [(1, 0)]
    voyage = Voyage([1], read=read, decompress=True)
    assert outcome(voyage) == [(1, 0)]
    assert voyage.proposed == [[(CT, (JPEG,)), (CT, (EXPLICIT, IMPLICIT))]]


def test_progress_goes_on_over_associations() -> None:
    seen: list[tuple[int, int]] = []
    voyage = Voyage(range(3), 2, on_progress=lambda *numbers: seen.append(numbers), read=partial(image, data=b"1234"))
    assert outcome(voyage) == [(0, 0), (1, 0), (2, 0)]
    assert seen == [(1, 4), (2, 8), (3, 12)]


# --- what cannot be sent ----------------------------------------------------------------------------------------------


def unreadable(number: int) -> StoredObject:
    match number:
        case 0:
            raise OSError(5, "broken")
        case 1:
            raise LocalProtocolError("no DICOM file")
        case 2:
            return image(number, sop_class="1.02")
    return image(number)


def test_what_cannot_be_read_or_proposed_is_told_at_once() -> None:
    voyage = Voyage(range(5), read=unreadable)
    assert outcome(voyage) == [(0, OSError), (1, LocalProtocolError), (2, InvalidNameError), (3, 0), (4, 0)]
    assert len(voyage.of(Dial)) == 1


def test_what_is_not_accepted_is_not_sent_again() -> None:
    voyage = Voyage([image(1), image(2, sop_class="1.2.3")], read=lambda item: item, refused=("1.2.3",))
    (_, refused), (_, status) = voyage  # it is told at once
    assert status.Status == 0
    assert isinstance(refused.failure, NoContextError)
    assert len(voyage.of(Dial)) == 1


def test_if_nothing_is_accepted_each_is_told_so() -> None:
    voyage = Voyage(range(2), NoContextError("nothing"))
    results = list(voyage)
    assert outcome(results) == [(0, NoContextError), (1, NoContextError)]
    assert "accepted for SOP Instance 1.2.1 in Explicit VR Little Endian" in str(results[1][1].failure)
    assert len(voyage.of(Dial)) == 1


def test_an_offer_that_cannot_be_made_is_raised() -> None:
    voyage = Voyage([1])
    voyage.batch._make_offer = partial(ApplicationEntity().offer, "")  # noqa: SLF001
    with pytest.raises(InvalidNameError):
        voyage.next()


# --- again ------------------------------------------------------------------------------------------------------------


def test_what_has_no_answer_is_sent_again_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    voyage = Voyage(range(5), 2, 1, retry_delay=7)
    assert outcome(voyage) == [(number, 0) for number in range(5)]
    assert voyage.stored == [["1.2.0", "1.2.1"], ["1.2.2"], ["1.2.3", "1.2.4"]]
    assert voyage.of(Pause) == [Pause(7), Pause(7)]
    assert len(voyage.of(HangUp)) == 3
    assert "3 objects have no answer, 3 are sent again" in caplog.text


@for_each("retries", [0, 2])
def test_one_that_costs_the_association_each_time_is_given_up(retries: int) -> None:
    """The others behind it do not pay for it."""
    voyage = Voyage(range(3), 1, *[0] * retries, retries=retries)
    results = list(voyage)
    assert outcome(results) == [(0, 0), (1, AssociationAborted), (2, 0)]
    assert results[1][1].was_begun
    assert len(voyage.of(Dial)) == retries + 2


@for_each("retries", [0, 2])
def test_nobody_there(retries: int) -> None:
    voyage = Voyage(range(2), *[REFUSED] * (retries + 1), retries=retries)
    results = list(voyage)
    assert outcome(results) == [(0, ConnectionRefusedError), (1, ConnectionRefusedError)]
    assert not results[0][1].was_begun
    assert len(voyage.of(Dial)) == retries + 1
    assert len(voyage.of(Pause)) == retries


def test_somebody_there_again() -> None:
    rejected = AssociationRejected(2, 3, 2)
    voyage = Voyage(range(2), rejected, REFUSED)
    assert outcome(voyage) == [(0, 0), (1, 0)]
    assert len(voyage.of(Dial)) == 3


def test_what_was_begun_once_stays_so() -> None:
    voyage = Voyage([1], 0, REFUSED, retries=1)
    [(_, status)] = voyage
    assert status.was_begun
    assert isinstance(status.failure, ConnectionRefusedError)


def test_a_permanent_rejection_is_final() -> None:
    voyage = Voyage(range(2), AssociationRejected(1, 1, 3))
    assert outcome(voyage) == [(0, AssociationRejected), (1, AssociationRejected)]
    assert len(voyage.of(Dial)) == 1


def test_an_association_that_ends_before_anything_is_sent_counts_for_all() -> None:
    voyage = Voyage(range(2), GONE, retries=0)
    results = list(voyage)
    assert outcome(results) == [(0, AssociationAborted), (1, AssociationAborted)]
    assert not results[0][1].was_begun


def test_new_items_fill_up_what_is_sent_again() -> None:
    voyage = Voyage(range(280), 250)
    assert len(list(voyage)) == 280
    assert [len(stored) for stored in voyage.stored] == [250, 30]


# --- nobody wants the rest --------------------------------------------------------------------------------------------


def test_abandoned_in_the_middle() -> None:
    voyage = Voyage(range(5))
    voyage.next()
    voyage.tasks.cancel(voyage.task)
    voyage.tasks.turn(now=0)
    assert voyage.task.is_done
    assert voyage.associations[0].is_aborted
    assert voyage.next() is None
    assert voyage.stored == [["1.2.0", "1.2.1"]]


def test_abandoned_before_anything_was_sent() -> None:
    voyage = Voyage(range(5))
    voyage.tasks.cancel(voyage.task)
    assert voyage.next() is None
    assert voyage.effects == []


def test_no_more_is_done_than_somebody_asks_for() -> None:
    voyage = Voyage(range(5))
    for _ in range(3):
        assert voyage.next() is not None
    assert [type(effect) for effect in voyage.effects].count(Run) == 3


def test_what_progress_raises_is_raised() -> None:
    def fail(*_: int) -> None:
        raise BrokenPipeError("nobody reads what is printed")

    voyage = Voyage(range(2), on_progress=fail)
    with pytest.raises(BrokenPipeError):
        voyage.next()


def test_an_association_that_takes_no_programs_any_more_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = Far.submit
    failures = [AssociationAborted(AbortOrigin.TRANSPORT, 0, None)]

    def fail(far: Far, program: Any, on_end: Callable[[Any], None]) -> None:
        if len(far.stored) == 2 and failures:
            on_end(ended(program, None, failures.pop()))
        else:
            submit(far, program, on_end)

    monkeypatch.setattr(Far, "submit", fail)
    voyage = Voyage(range(4))
    assert outcome(voyage) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert voyage.stored == [["1.2.0", "1.2.1"], ["1.2.1", "1.2.2", "1.2.3"]]
    assert len(voyage.of(HangUp)) == 2


# --- side by side -----------------------------------------------------------------------------------------------------

FULL, CONGESTED = AssociationRejected(2, 3, 2), AssociationRejected(2, 3, 1)


def test_associations_share_the_objects() -> None:
    voyage = Voyage(range(10), associations=3)
    results = list(voyage)
    assert sorted(outcome(results)) == [(number, 0) for number in range(10)]
    assert [item for item, _ in results] == [sent.position for sent in results]
    assert len({str(dial.offer) for dial in voyage.of(Dial)}) == 1
    assert len(voyage.of(Dial)) == len(voyage.of(HangUp)) == 3
    assert all(len(stored) >= 3 for stored in voyage.stored)
    assert sorted(chain(*voyage.stored)) == [f"1.2.{number}" for number in range(10)]


@for_each("associations", [0, 65, -1])
def test_there_have_to_be_some_and_not_too_many(associations: int) -> None:
    with pytest.raises(InvalidSettingError, match="from 1 to 64"):
        Voyage([], associations=associations)


def test_no_more_associations_than_objects() -> None:
    voyage = Voyage(range(2), associations=5)
    assert len(list(voyage)) == len(voyage.associations) == 2


@for_each("refusal", [FULL, REFUSED, AssociationRejected(1, 1, 1), NoContextError("nothing")])
@for_each("first", [True, False])
def test_a_peer_that_establishes_fewer_gets_fewer(refusal: Exception, first: bool) -> None:
    voyage = Voyage(range(9), *([refusal, None, refusal] if first else [None, refusal, refusal]), associations=3)
    assert outcome(voyage) == [(number, 0) for number in range(9)]
    assert len(voyage.of(Dial)) == 3
    assert voyage.of(Pause) == []


def test_one_that_comes_too_late_is_ended() -> None:
    """Some peers let it wait until there is no other."""
    voyage = Voyage(range(4), None, LATE, associations=2)
    assert outcome(voyage) == [(number, 0) for number in range(4)]
    assert len(voyage.of(HangUp)) == 1
    [(task, far)] = voyage.late
    aborted = [far.is_aborted]
    voyage.tasks.resume(task, far)
    voyage.tasks.turn(now=0)
    assert [*aborted, far.is_aborted] == [False, True]
    assert far.stored == []


def test_what_one_has_lost_another_round_sends() -> None:
    voyage = Voyage(range(6), 1, None, associations=2)
    results = list(voyage)
    assert sorted(outcome(results)) == [(number, 0) for number in range(6)]
    assert len(voyage.of(Pause)) == 1
    assert sorted(chain(*voyage.stored)) == sorted(f"1.2.{number}" for number in range(6))


def test_all_may_be_lost() -> None:
    voyage = Voyage(range(2), 0, 0, associations=2, retries=0)
    results = list(voyage)
    assert sorted(outcome(results)) == [(0, AssociationAborted), (1, AssociationAborted)]
    assert all(status.was_begun for _, status in results)


def test_progress_is_one_for_all() -> None:
    seen: list[tuple[int, int]] = []
    voyage = Voyage(
        range(5), associations=2, on_progress=lambda *done: seen.append(done), read=partial(image, data=b"1234")
    )
    assert len(list(voyage)) == 5
    assert seen == [(number, 4 * number) for number in range(1, 6)]


def test_what_is_asked_for_leaves_a_share_for_the_others() -> None:
    """The last ones are not kept ready behind others: who has nothing to do takes them."""
    voyage = Voyage(range(4), associations=4)
    assert voyage.next() is not None
    assert [len(stored) for stored in voyage.stored] == [1, 1, 1, 1]


def test_nobody_wants_the_rest_of_several() -> None:
    voyage = Voyage(range(9), None, None, LATE, associations=3)
    voyage.next()
    voyage.tasks.cancel(voyage.task)
    assert [far.is_aborted for far in voyage.associations] == [True, True, False]
    for task, far in voyage.late:
        voyage.tasks.resume(task, far)
    voyage.tasks.turn(now=0)
    assert voyage.associations[2].is_aborted


def test_what_goes_wrong_with_one_is_raised_and_ends_all() -> None:
    voyage = Voyage(range(9), None, InvalidNameError("no such option"), associations=2)
    with pytest.raises(InvalidNameError):
        list(voyage)
    assert voyage.associations[0].is_aborted


# --- who is busy ------------------------------------------------------------------------------------------------------


@for_each("rejected", [FULL, CONGESTED, AssociationRejected(1, 3, 2)])
def test_who_is_busy_is_asked_again_after_ever_longer_pauses(rejected: AssociationRejected) -> None:
    voyage = Voyage(range(2), *[rejected] * 5, retries=0, retry_delay=0.5)
    assert outcome(voyage) == [(0, 0), (1, 0)]
    assert [pause.seconds for pause in voyage.of(Pause)] == [0.5, 1, 2, 4, 8]


def test_but_not_for_ever() -> None:
    voyage = Voyage(range(2), *[FULL] * 20, retries=1)
    assert outcome(voyage) == [(0, AssociationRejected), (1, AssociationRejected)]
    assert [pause.seconds for pause in voyage.of(Pause)] == [1, 2, 4, 8, 16, 32, 64]


def test_patience_is_for_rejections_in_a_row() -> None:
    voyage = Voyage(range(2), *[FULL] * 5, 1, *[FULL] * 5, retries=1)
    assert outcome(voyage) == [(0, 0), (1, 0)]
    assert [pause.seconds for pause in voyage.of(Pause)] == [1, 2, 4, 8, 16, 1, 1, 2, 4, 8, 16]


# --- objects that are read while they are sent ------------------------------------------------------------------------


class Once(InPieces):
    """What is read once."""

    def pieces(self) -> Iterator[bytes]:
        self.is_spent = True
        return super().pieces()


@for_each(("source", "again"), [(Once, False), (InPieces, True)])
def test_what_was_read_once_is_not_sent_again(source: type[InPieces], again: bool) -> None:
    """And its result says so; what was not begun is."""
    sources = [source(data_set(EXPLICIT, PatientID="1")) for _ in range(3)]
    voyage = Voyage(range(3), 1, None, read=lambda number: image(number, data=sources[number]), retry_delay=0)
    results = list(voyage)
    expected = [(0, 0), (1, 0 if again else ReadOnceError), (2, 0)]
    assert sorted(outcome(results), key=lambda one: one[0]) == expected
    for item, status in results:
        if item == 1 and not again:
            assert status.was_begun
            assert isinstance(status.failure.__cause__, AssociationAborted)
            assert "cannot be sent again (" in str(status.failure)
