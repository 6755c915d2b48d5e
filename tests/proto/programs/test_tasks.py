"""Programs under way: what they wait for, in which order they go on, and what is closed when they end."""

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicom_proto.dimse.routing import Router
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs import tasks as module
from dicom_proto.programs.effects import END, Await, Call, Dial, Fork, HangUp, Pause, Program, Pull, Receive, Run
from dicom_proto.programs.peer import Peer, RunsPrograms
from dicom_proto.programs.tasks import Task, Tasks
from dicom_proto.upper_layer.failures import AssociationClosed
from tests.proto.programs.script import CT, connected, offer_of

NOW = 7.0


class Driver:
    """Takes turns, and answers what it is told to."""

    def __init__(self) -> None:
        self.woken = 0
        self.tasks = Tasks(self._wake)
        self.effects: list[tuple[Task[Any], Any]] = []
        self.deadline: float | None = None

    def _wake(self) -> None:
        self.woken += 1

    def start(self, program: Program[Any], **how: Any) -> Task[Any]:
        task = self.tasks.start(program, **how)
        self.turn()
        return task

    def turn(self, now: float = NOW) -> None:
        effects, self.deadline = self.tasks.turn(now=now)
        self.effects += effects

    def answer(self, number: int = 0, value: Any = None) -> Any:
        """Answer one of the effects; return it."""
        task, effect = self.effects.pop(number)
        self.tasks.resume(task, value)
        self.turn()
        return effect

    def do(self, number: int = 0) -> Any:
        """Perform one of the effects, which is a call."""
        task, effect = self.effects.pop(number)
        try:
            value = effect.function(*effect.arguments)
        except Exception as error:  # noqa: BLE001 - it belongs to the program
            self.tasks.throw(task, error)
        else:
            self.tasks.resume(task, value)
        self.turn()
        return effect


def asking(*effects: Any) -> Program[list[Any]]:
    """Ask for some effects; return what came of them."""
    results = []
    for effect in effects:
        try:
            results.append((yield effect))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)
    return results


def raising(error: Exception) -> Program[None]:
    yield from ()
    raise error


def function(*_: Any) -> None:
    """What the user wrote."""


# --- beginning and end ------------------------------------------------------------------------------------------------


def test_a_program_that_waits_for_nothing() -> None:
    driver = Driver()
    ended: list[Task[Any]] = []
    task = driver.tasks.start(asking(), on_end=ended.append)
    assert (task.is_done, driver.tasks.has_ready, driver.tasks.count) == (False, True, 1)
    driver.turn()
    assert (task.is_done, driver.tasks.has_ready, driver.tasks.count) == (True, False, 0)
    assert (task.result(), task.error, ended) == ([], None, [task])
    assert driver.woken == 0


def test_a_program_that_raises() -> None:
    driver = Driver()
    task = driver.start(raising(ZeroDivisionError()))
    assert isinstance(task.error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        task.result()
    assert task.result() is None  # it is told once


def test_a_program_from_another_thread_brings_about_a_turn() -> None:
    driver = Driver()
    ended: list[Task[Any]] = []
    task = driver.tasks.submit(asking(), ended.append)
    assert (driver.woken, task.is_posted, task.is_operation) == (1, True, False)
    driver.turn()
    assert ended == [task]


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    driver = Driver()
    for _ in range(2):
        driver.start(asking(Call(function, ())))
    program = asking()
    with pytest.raises(LocalProtocolError, match="2 programs are under way"):
        driver.tasks.start(program)
    assert program.gi_frame is None  # type: ignore[attr-defined]
    driver.answer()
    assert driver.start(asking()).is_done


def test_what_was_raised_keeps_nothing_in_memory() -> None:
    """The exception, the frame that has raised it and the task would keep each other, and all that is on the way."""

    class Data:
        pass

    def program() -> Program[None]:
        data = Data()
        kept.append(weakref.ref(data))
        yield Call(function, ())
        raise ValueError(str(data))

    kept: list[weakref.ref[Data]] = []
    gc.disable()
    try:
        driver = Driver()
        task = driver.start(program())
        driver.answer()
        with pytest.raises(ValueError, match="Data"):
            task.result()
        assert kept[0]() is None
    finally:
        gc.enable()


# --- what a driver does -----------------------------------------------------------------------------------------------


def test_effects_are_answered_in_any_order() -> None:
    driver = Driver()
    tasks = [driver.start(asking(Call(function, (number, 1)), Call(function, (number, 2)))) for number in range(4)]
    assert [effect.arguments for _, effect in driver.effects] == [(number, 1) for number in range(4)]
    for number in (2, 0, 1, 0):
        driver.answer(number, "first")
    assert [effect.arguments for _, effect in driver.effects] == [(2, 2), (0, 2), (3, 2), (1, 2)]
    driver.answer(3, 1)
    driver.answer(0, 2)
    driver.answer(1, 3)
    assert [task.is_done for task in tasks] == [False, True, True, True]
    driver.answer(0, 0)
    assert [task.result()[1] for task in tasks] == [0, 1, 2, 3]


def test_answers_of_either_kind() -> None:
    driver = Driver()
    error = OSError()
    tasks = [driver.start(asking(Call(function, ()))) for _ in range(4)]
    for task in tasks:
        assert isinstance(task.effect, Call)
    driver.tasks.resume(tasks[0], 1)
    driver.tasks.throw(tasks[1], error)
    driver.tasks.answer(tasks[2], 3, None)
    driver.tasks.answer(tasks[3], None, error)
    driver.turn()
    assert [task.result() for task in tasks] == [[1], [error], [3], [error]]


def test_an_answer_that_comes_too_late_is_left_alone() -> None:
    driver = Driver()
    task = driver.start(asking(Call(function, ())))
    driver.tasks.cancel(task)
    driver.tasks.resume(task, 1)
    driver.turn()
    assert (task.is_done, task.result()) == (True, None)
    driver.tasks.cancel(task)


def test_an_iterator_is_pulled_to_its_end_and_closed_by_nobody() -> None:
    driver = Driver()
    items = iter("ab")
    task = driver.start(asking(Pull(items), Pull(items), Pull(items)))
    for value in ("a", "b", END):
        driver.answer(0, value)
    assert task.result() == ["a", "b", END]
    failing = driver.start(asking(Pull(items)))
    driver.tasks.throw(failing, ValueError())
    driver.turn()
    assert failing.is_done
    assert driver.tasks.count == 0


class Items:
    """Items of a user; an iterator that is closed says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = 0
        self.error = error

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


class AsyncItems:
    """The same for those who await."""

    async def aclose(self) -> None:
        """Is awaited by the driver."""


@pytest.mark.parametrize("how", ["ends", "raises", "is cancelled"])
def test_what_is_left_open_is_closed_however_it_ends(how: str) -> None:
    def program() -> Program[str]:
        yield Pull(items)
        yield Call(function, ())
        if how == "raises":
            raise ZeroDivisionError
        return "result"

    driver, items = Driver(), Items()
    ended: list[Task[Any]] = []
    task = driver.start(program(), on_end=ended.append)
    driver.answer(0, "item")
    if how == "is cancelled":
        driver.effects.clear()
        driver.tasks.cancel(task)
        driver.turn()
    else:
        driver.answer()
    assert (task.is_done, ended) == (False, [])
    closing = driver.do()
    assert (closing.function, closing.is_quick, items.closed) == (items.close, False, 1)
    assert (task.is_done, ended) == (True, [task])
    if how == "raises":
        with pytest.raises(ZeroDivisionError):
            task.result()
    else:
        assert task.result() == ("result" if how == "ends" else None)


def test_what_is_opened_last_is_closed_first_and_what_it_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver()
    first, second, third, plain = Items(), AsyncItems(), Items(ZeroDivisionError()), iter("ab")
    task = driver.start(asking(*map(Pull, (first, second, third, plain, first))))
    for _ in range(5):
        driver.answer()
    assert driver.do().function == third.close
    assert "a handler raised when it was closed" in caplog.text
    closing = driver.answer()
    assert (closing.function, closing.is_quick) == (second.aclose, True)
    driver.do()
    assert (first.closed, task.is_done, driver.effects) == (1, True, [])


def test_a_cancelled_program_may_raise() -> None:
    def program() -> Program[None]:
        try:
            yield Call(function, ())
        finally:
            raise ZeroDivisionError

    driver = Driver()
    task = driver.start(program())
    driver.tasks.cancel(task)
    with pytest.raises(ZeroDivisionError):
        task.result()


def test_real_generators_are_closed() -> None:
    ended: list[str] = []

    def generator() -> Iterator[int]:
        try:
            yield 1
        finally:
            ended.append("closed")

    driver, items = Driver(), generator()
    task = driver.start(asking(Pull(items)))
    driver.answer(0, next(items))
    driver.do()
    assert (ended, task.result()) == (["closed"], [1])


# --- conditions and time ----------------------------------------------------------------------------------------------


def test_a_condition_is_looked_at_once_a_turn() -> None:
    looked: list[int] = []
    found: list[str | None] = [None, None, "found"]

    def condition() -> str | None:
        looked.append(1)
        return found[len(looked) - 1]

    driver = Driver()
    task = driver.start(asking(Await(condition)))
    assert len(looked) == 2  # at once, and in the turn
    driver.turn()
    assert (len(looked), task.result()) == (3, ["found"])
    driver.turn()
    assert len(looked) == 3


def test_a_condition_that_is_true_waits_for_nothing() -> None:
    driver = Driver()
    assert driver.start(asking(Await(lambda: 0))).result() == [0]


def test_one_may_do_what_another_waits_for() -> None:
    done: list[int] = []

    def first() -> Program[None]:
        yield Await(lambda: len(done) == 2 or None)
        done.append(3)

    def second() -> Program[None]:
        yield Await(lambda: len(done) == 1 or None)
        done.append(2)

    def third() -> Program[None]:
        yield Call(function, ())
        done.append(1)

    driver = Driver()
    for program in (first, second, third):
        driver.start(program())
    driver.answer()
    assert done == [1, 2, 3]


def test_a_condition_may_raise_at_once_or_later() -> None:
    errors: list[Exception | None] = [ZeroDivisionError(), None, ZeroDivisionError()]

    def condition() -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    driver = Driver()
    task = driver.start(asking(Await(condition), Await(condition)))
    assert [type(error) for error in task.result()] == [ZeroDivisionError] * 2


def test_one_may_be_cancelled_by_one_that_is_looked_at_before_it() -> None:
    tasks: list[Task[Any]] = []
    is_time: list[bool] = []

    def first() -> Program[None]:
        yield Await(lambda: is_time or None)
        driver.tasks.cancel(tasks[0])

    def second() -> Program[None]:
        yield Await(lambda: None)

    driver = Driver()
    driver.start(first())
    tasks.append(driver.start(second()))
    is_time.append(True)
    driver.turn()
    assert tasks[0].is_done
    third = driver.start(second())
    driver.tasks.cancel(third)
    driver.turn()
    assert (driver.tasks.count, third.is_done) == (0, True)


# --- beside each other ------------------------------------------------------------------------------------------------


def gathering(*programs: Program[Any]) -> Program[list[Any]]:
    """Run programs beside each other; return what came of them in the order in which they have ended."""
    under_way: list[Task[Any]] = []
    for program in programs:
        under_way.append((yield Fork(program)))  # noqa: PERF401 - it is yielded in between
    results = []
    while under_way:
        task = yield Await(lambda: next((each for each in under_way if each.is_done), None))
        under_way.remove(task)
        try:
            results.append(task.result())
        except ValueError as error:
            results.append(error)
    return results


def test_programs_run_beside_each_other() -> None:
    driver, error = Driver(), ValueError()
    task = driver.start(gathering(asking(Call(str, ())), asking(Call(int, ())), raising(error)))
    assert [asked.is_operation for asked, _ in driver.effects] == [False, False]
    assert driver.tasks.count == 3
    driver.do(1)
    driver.do(0)
    assert task.result() == [error, [0], [""]]
    assert driver.tasks.count == 0


def test_they_are_of_the_same_kind_as_who_has_started_them() -> None:
    driver = Driver()
    task = driver.tasks.start(gathering(asking(Call(str, ()))))
    task.is_operation = True
    driver.turn()
    assert [asked.is_operation for asked, _ in driver.effects] == [True]


def test_who_ends_ends_them() -> None:
    def leaving(items: Any) -> Program[int]:
        beside = yield Fork(asking(Pull(items), Call(str, ())))
        yield Call(str, ())
        return 0 if beside.is_done else 1

    for how in ("end", "cancel"):
        items, driver = Items(), Driver()
        task = driver.start(leaving(items))
        (_, _), (beside, pull) = driver.effects
        assert isinstance(pull, Pull)
        driver.answer(1, 7)
        if how == "end":
            driver.answer(0)
            assert task.result() == 1
        else:
            driver.tasks.cancel(task)
            driver.turn()
        assert [task.is_done, beside.is_done] == [True, False]  # what it has left open is being closed
        driver.effects = [(asked, call) for asked, call in driver.effects if call.function == items.close]
        driver.do()
        assert beside.is_done
        assert items.closed == 1
        assert driver.tasks.count == 0


def test_pauses() -> None:
    driver = Driver()
    tasks = [driver.start(asking(Pause(seconds))) for seconds in (3, 1, 2)]
    assert driver.deadline == NOW + 1
    driver.turn(NOW + 0.5)
    assert [task.is_done for task in tasks] == [False, False, False]
    driver.turn(NOW + 1)
    assert ([task.is_done for task in tasks], driver.deadline) == ([False, True, False], NOW + 2)
    driver.tasks.cancel(tasks[2])
    driver.turn(NOW + 1)
    assert driver.deadline == NOW + 3
    driver.turn(NOW + 30)
    assert [task.is_done for task in tasks] == [True, True, True]
    assert driver.tasks.turn(now=NOW) == ([], None)


def test_without_an_association_nothing_is_received() -> None:
    driver = Driver()
    inbox = Router().open((1, True))
    (error,) = driver.start(asking(Receive(inbox))).result()
    assert isinstance(error, LocalProtocolError)
    assert str(error) == "Receive needs an association"


# --- other associations -----------------------------------------------------------------------------------------------


class Other:
    """An association that was dialled, and its driver."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.driver = Driver()
        self.peer = Peer(connected(offer_of(CT))[0], Handlers(), self)
        self.parted = self.aborted = 0

    def submit(self, program: Program[Any], on_end: Callable[[Any], None]) -> None:
        self.driver.tasks.submit(program, on_end)

    def part(self) -> Program[None]:
        self.parted += 1
        return (yield from ())

    def abort_soon(self) -> None:
        self.aborted += 1


DIAL = Dial(("there", 104), offer_of(CT))


def test_an_association_is_dialled_and_a_program_runs_there() -> None:
    def program() -> Program[Any]:
        peer = yield DIAL
        result = yield Run(asking(Call(function, ("there",))), peer)
        yield HangUp(peer)
        return result

    driver, other = Driver(), Other()
    assert isinstance(other, RunsPrograms)
    task = driver.start(program())
    assert driver.answer(0, other) is DIAL
    assert (driver.effects, other.driver.woken) == ([], 1)
    other.driver.turn()
    other.driver.answer(0, "result")
    assert driver.woken == 1  # another thread may have posted that
    driver.turn()
    other.driver.turn()
    assert (driver.woken, other.parted) == (2, 0 if task.is_done else 1)
    driver.turn()
    assert (task.result(), other.aborted) == (["result"], 0)


def test_what_a_program_raises_elsewhere_is_raised_here() -> None:
    driver, other, error = Driver(), Other(), ZeroDivisionError()
    task = driver.start(asking(Run(raising(error), other.peer)))
    other.driver.turn()
    driver.turn()
    assert task.result() == [error]


def test_an_association_that_is_left_is_aborted() -> None:
    driver, other = Driver(), Other()
    task = driver.start(asking(DIAL))
    driver.answer(0, other)
    assert (task.result(), other.aborted) == ([other.peer], 1)


def test_an_association_that_could_not_be_established() -> None:
    driver = Driver()
    failure = AssociationClosed("no")
    task = driver.start(asking(DIAL, DIAL))
    driver.answer(0, Other(failure))
    driver.tasks.throw(driver.effects.pop()[0], OSError("refused"))
    driver.turn()
    assert [str(error) for error in task.result()] == ["no", "refused"]


def test_an_association_that_was_not_dialled_here_may_be_hung_up_too() -> None:
    driver, other = Driver(), Other()
    task = driver.start(asking(HangUp(other.peer)))
    other.driver.turn()
    driver.turn()
    assert task.result() == [None]


def test_nothing_is_logged_of_what_ends_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Driver().start(asking()).result()
    assert caplog.text == ""


def test_what_was_dialled_for_who_is_cancelled_meanwhile_is_aborted() -> None:
    driver, other = Driver(), Other()
    task = driver.start(asking(DIAL))
    ((dialling, _),) = driver.effects
    driver.tasks.resume(dialling, other)
    driver.tasks.cancel(task)
    driver.turn()
    assert task.is_done
    assert other.aborted == 1
