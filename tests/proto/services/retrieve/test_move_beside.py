"""C-MOVE over several associations with the destination, and to one that is busy."""

from typing import Any

from dicom_proto.errors import NoContextError
from dicom_proto.programs.effects import Pause
from dicom_proto.upper_layer.failures import AssociationRejected
from tests.proto.programs.script import PENDING, statuses
from tests.proto.rows import for_each
from tests.proto.services.retrieve.getting import counters, image
from tests.proto.services.retrieve.test_move import IDENTIFIER, THERE, Moved, Moving, moves, request

SEVERAL = (*THERE, {"associations": 3})
FULL = AssociationRejected(2, 3, 2)


def several(count: int, **how: Any) -> Moving:
    return Moving(moves(SEVERAL, *((PENDING, image(number)) for number in range(count))), **how)


def test_several_associations_share_the_objects() -> None:
    here = several(12)
    together: list[int] = []
    here.before_store = lambda: together.append(sum(len(one.peer.connection.invoked) for one in here.destinations))
    said = here.move()
    assert statuses(said) == [PENDING] * 12 + [0x0000]
    assert [counters(one)[:2] for one in said[:-1]] == [(11 - number, number + 1) for number in range(12)]
    assert sorted(store.affected_sop_instance_uid for store in here.stored) == sorted(f"1.2.{n}" for n in range(12))
    assert (len(here.dialled), here.hung_up) == (3, 3)
    assert len({str(dial.offer) for dial in here.dialled}) == 1
    assert all(dial.options == {} for dial in here.dialled)


@for_each("refusal", [ConnectionRefusedError(), AssociationRejected(1, 1, 1), NoContextError("none")])
def test_a_destination_that_establishes_fewer_gets_fewer(refusal: Exception) -> None:
    here = several(6, dials=[None, refusal, refusal])
    *_, last = here.move()
    assert (last[0].status, counters(last)) == (0x0000, (None, 6, 0, 0))
    assert (len(here.dialled), here.hung_up) == (3, 1)


def test_nobody_waits_for_associations_that_come_too_late() -> None:
    here = several(3, dials=[None, FULL, FULL])
    *_, last = here.move()
    assert (last[0].status, counters(last)) == (0x0000, (None, 3, 0, 0))
    assert (len(here.dialled), here.hung_up) == (3, 1)  # those that were to be asked again are not


def test_if_the_first_is_not_there_no_other_is_asked_for() -> None:
    here = several(3, dials=[ConnectionRefusedError()])
    assert statuses(here.move()) == [0xA801]
    assert len(here.dialled) == 1


@for_each("wrong", [0, 65, "many"])
def test_a_number_of_associations_that_cannot_be(wrong: Any) -> None:
    here = Moving(moves((*THERE, {"associations": wrong}), (PENDING, image(1))))
    assert statuses(here.move()) == [0xC515]


def test_a_destination_that_is_busy_is_asked_again() -> None:
    here = Moving(moves(THERE, (PENDING, image(1))), dials=[FULL, AssociationRejected(2, 3, 1), None])
    task = Moved(here, here.script(here.arrive(request(), IDENTIFIER)).program)
    now = 0.0
    while not task.is_done:
        now += 0.5
        for asking, effect in here.peer.engine.turn(now=now, room=0).effects:
            task.do(asking, effect)
        here.carry()
    assert task.error is None
    assert statuses(here.replies()) == [PENDING, 0x0000]
    assert [effect.seconds for effect in task.effects if isinstance(effect, Pause)] == [0.5, 1.0]


@for_each(("times", "status"), [(4, 0x0000), (5, 0xA801)])
def test_but_not_for_ever(times: int, status: int) -> None:
    here = Moving(moves(THERE, (PENDING, image(1))), dials=[FULL] * times)
    task = Moved(here, here.script(here.arrive(request(), IDENTIFIER)).program)
    now = 0.0
    while not task.is_done:
        now += 1
        for asking, effect in here.peer.engine.turn(now=now, room=0).effects:
            task.do(asking, effect)
        here.carry()
    assert statuses(here.replies())[-1] == status
