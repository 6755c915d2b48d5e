"""How methods are made of verbs: what they are called with, what they return, what is known of them."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from dicom_proto.application import requests
from dicom_proto.application.verbs import awaited, called, iterated, iterated_async
from dicom_proto.programs.effects import Program
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream


def verb(_: Peer, number: int, *, factor: int = 1) -> Program[int]:
    """Multiply."""
    yield from ()
    return number * factor


class Numbers(Stream[int]):
    """Some numbers."""

    is_over = False

    def next(self) -> Program[int | None]:
        yield from ()
        return None

    def abandon(self) -> None:
        """Nothing is under way."""


def many(_: Peer, _most: int) -> Program[Stream[int]]:
    """Count."""
    yield from ()
    return Numbers()


class FakePeer:
    def __init__(self, handling: bool) -> None:
        self.is_handling = lambda: handling


class Adapter:
    """Takes note of what it is to run, and whether that has to wait for its turn."""

    def __init__(self, *, handling: bool = False) -> None:
        self.peer = FakePeer(handling)
        self.ran: list[tuple[str, bool]] = []

    def run(self, program: Any, *, invokes: bool) -> Any:
        self.ran.append(("run", invokes))
        return _result(program)

    def iterate(self, begin: Any, *, invokes: bool) -> Any:
        self.ran.append(("iterate", invokes))
        return iter([_result(begin)])

    multiply = called(verb)
    multiply_at_once = called(verb, invokes=False)
    count = iterated(many)
    count_at_once = iterated(many, invokes=False)


class AsyncAdapter(Adapter):
    """The same for those who await."""

    def run(self, program: Any, *, invokes: bool) -> Any:
        return _awaitable(super().run(program, invokes=invokes))

    multiply_soon = awaited(verb)
    multiply_soon_at_once = awaited(verb, invokes=False)
    count_soon = iterated_async(many)
    count_soon_at_once = iterated_async(many, invokes=False)


def _result(program: Any) -> Any:
    try:
        program.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError


async def _awaitable(value: Any) -> Any:
    return value


@pytest.mark.parametrize("handling", [False, True])
def test_called(handling: bool) -> None:
    """A handler waits for no room: what the window waits for may need it to return."""
    adapter = Adapter(handling=handling)
    assert (adapter.multiply(6, factor=7), adapter.multiply_at_once(6)) == (42, 6)
    assert adapter.ran == [("run", not handling), ("run", False)]


@pytest.mark.parametrize("handling", [False, True])
def test_iterated(handling: bool) -> None:
    adapter = Adapter(handling=handling)
    results: list[Iterator[Any]] = [adapter.count(3), adapter.count_at_once(3)]
    assert [type(next(one)) for one in results] == [Numbers, Numbers]
    assert adapter.ran == [("iterate", not handling), ("iterate", False)]


@pytest.mark.parametrize("handling", [False, True])
def test_awaited(handling: bool) -> None:
    adapter = AsyncAdapter(handling=handling)
    assert (_result(adapter.multiply_soon(6, factor=7)), _result(adapter.multiply_soon_at_once(6))) == (42, 6)
    assert adapter.ran == [("run", not handling), ("run", False)]


@pytest.mark.parametrize("handling", [False, True])
def test_iterated_async(handling: bool) -> None:
    adapter = AsyncAdapter(handling=handling)
    results: list[AsyncIterator[int]] = [adapter.count_soon(3), adapter.count_soon_at_once(3)]
    assert len(results) == 2
    assert adapter.ran == [("iterate", not handling), ("iterate", False)]


@pytest.mark.parametrize("make", [called, iterated, awaited, iterated_async])
def test_a_method_is_known_as_its_verb(make: Callable[..., Any]) -> None:
    method = make(requests.send_c_find)
    assert (method.__name__, method.__doc__) == ("send_c_find", requests.send_c_find.__doc__)
    assert inspect.signature(method) == inspect.signature(requests.send_c_find)


def test_wrong_arguments_are_refused_as_the_verb_refuses_them() -> None:
    with pytest.raises(TypeError):
        Adapter().multiply(1, 2, 3)  # type: ignore[call-arg]
