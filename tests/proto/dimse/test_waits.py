"""Each operation's wait for its response, on a clock that can stand still. Time is an integer here."""

from dicom_proto.dimse.operations import Invoked
from dicom_proto.dimse.waits import Waits
from tests.proto.dimse.pairs import echo


def operations(count: int) -> list[Invoked]:
    return [Invoked(echo(number), 1, None, number) for number in range(count)]


def test_the_earliest_deadline_comes_first() -> None:
    waits = Waits()
    one, other = operations(2)
    assert waits.next_deadline() is None
    waits.begin(one, 0, 10)
    waits.begin(other, 4, 10)
    assert waits.next_deadline() == 10
    waits.go_on(one, 5, 10)
    assert waits.next_deadline() == 14
    waits.end(other)
    assert waits.next_deadline() == 15
    waits.end(other)
    waits.clear()
    assert waits.next_deadline() is None


def test_only_a_wait_that_has_begun_goes_on() -> None:
    waits = Waits()
    waits.go_on(operations(1)[0], 5, 10)
    assert waits.next_deadline() is None


def test_a_wait_without_a_duration_has_no_end() -> None:
    waits = Waits()
    (one,) = operations(1)
    waits.begin(one, 0, 10)
    waits.begin(one, 0, None)
    assert waits.next_deadline() is None


def test_durations_may_change() -> None:
    waits = Waits()
    one, two, three = operations(3)
    waits.begin(one, 0, 10)
    waits.begin(two, 1, 3)
    waits.begin(three, 2, 100)
    deadlines = []
    for operation in (two, one, three):
        deadlines.append(waits.next_deadline())
        waits.end(operation)
    assert deadlines == [4, 10, 102]


def test_what_is_left_of_a_wait_is_kept_while_it_is_interrupted() -> None:
    waits = Waits()
    old, newer, newest = operations(3)
    waits.begin(old, 0, 10)
    waits.begin(newer, 1, 10)
    waits.begin(newest, 2, 10)
    waits.interrupt(2, 4)
    assert (waits.next_deadline(), waits.interrupted) == (12, {old: 6, newer: 7})
    waits.resume(0, 100)
    assert (waits.next_deadline(), waits.interrupted) == (12, {old: 6})
    waits.go_on(old, 105, 10)
    assert waits.interrupted == {old: 10}
    waits.resume(0, 106)
    waits.end(newest)
    assert waits.next_deadline() == 107
    waits.end(newer)
    waits.resume(-1, 106)
    assert waits.next_deadline() == 116


def test_an_interrupted_wait_may_lose_its_end() -> None:
    waits = Waits()
    (one,) = operations(1)
    waits.begin(one, 0, 10)
    waits.interrupt(1, 5)
    waits.go_on(one, 6, None)
    assert waits.interrupted == {}
    waits.resume(-1, 7)
    assert waits.next_deadline() is None


def test_the_clock_may_stand_still() -> None:
    waits = Waits()
    one, other = operations(2)
    waits.begin(one, 0, 10)
    waits.start_clock(1)  # it goes
    waits.stop_clock(2)
    waits.stop_clock(5)  # it stands
    assert waits.next_deadline() is None
    waits.go_on(one, 6, 10)
    waits.begin(other, 7, 20)
    waits.start_clock(100)
    assert waits.next_deadline() == 110
    waits.go_on(one, 101, 30)
    assert waits.next_deadline() == 120
