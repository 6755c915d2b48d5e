"""Items of a user's iterator, several at a time."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dicom_proto.programs.effects import END
from dicom_proto.programs.gathering import AsyncGathering, Gathering, Ready, gathering


class Source:
    """A generator that says what it was asked for, and whether it was closed."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.asked: list[Any] = []
        self.is_closed = False

    def __call__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.asked.append(item)
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.is_closed = True

    async def later(self) -> AsyncIterator[Any]:
        for item in self():
            yield item


def ready(item: Any) -> Ready:
    return Ready(str(item), size=1, is_last=item is END or item == "last")


def of(*items: Any, prepare: Any = ready) -> tuple[Gathering, Source]:
    source = Source(*items)
    found = gathering(source(), prepare)
    assert isinstance(found, Gathering)
    return found, source


def gather_all(items: Gathering) -> list[str]:
    while not items.is_enough:
        items.gather()
    return items.take()


def test_an_iterator_of_lists() -> None:
    items, _ = of("a", "b")
    assert list(items) == [["a"], ["b"], [str(END)]]
    assert items.close is None


def test_each_item_is_made_ready_before_the_next_is_asked_for() -> None:
    same: list[int] = []

    def source() -> Iterator[list[int]]:
        for number in range(3):
            same[:] = [number]
            yield same

    items = Gathering(source(), ready)
    for _ in range(3):
        items.gather()
    assert items.count == 3
    assert items.has_ready
    assert items.take() == ["[0]", "[1]", "[2]"]
    assert not items.has_ready


def test_the_first_item_waits_for_no_other() -> None:
    items, source = of("a", "b", "c")
    assert gather_all(items) == ["a"]
    assert source.asked == ["a"]
    assert gather_all(items) == ["b", "c", str(END)]


def test_nothing_is_asked_for_behind_the_last() -> None:
    items, source = of("a", "last", "b")
    assert [*items] == [["a"], ["last"]]
    assert items.is_enough
    assert source.asked == ["a", "last"]
    items.close()
    assert source.is_closed


def test_what_is_gathered_is_bounded_in_number_and_bytes() -> None:
    items, source = of(*range(1000))
    assert (len(gather_all(items)), len(gather_all(items)), len(gather_all(items))) == (1, 64, 64)
    assert len(source.asked) == 129
    large, _ = of(*range(1000), prepare=lambda item: Ready(item, size=1 << 15))
    assert (len(gather_all(large)), len(gather_all(large))) == (1, 2)


def test_what_an_iterator_raises_comes_behind_what_was_ready() -> None:
    items, source = of("a", "b", ValueError("c"), "d")
    assert gather_all(items) == ["a"]
    assert gather_all(items) == ["b"]
    with pytest.raises(ValueError, match="c"):
        items.take()
    assert items.take() == []
    assert (items.close, source.is_closed) == (None, True)


def test_what_cannot_be_made_ready_is_raised_likewise() -> None:
    def refuse(item: Any) -> Ready:
        raise TypeError(item)

    items, _ = of("a", prepare=refuse)
    with pytest.raises(TypeError):
        next(items)
    assert list(items) == []


def test_an_iterator_that_cannot_be_closed() -> None:
    items = Gathering(iter("ab"), ready)
    assert next(items) == ["a"]
    assert items.close is None


def test_an_async_iterator() -> None:
    async def use() -> None:
        source = Source("a", "b", ValueError("c"))
        items = gathering(source.later(), ready)
        assert isinstance(items, AsyncGathering)
        assert await anext(items) == ["a"]
        await items.gather()
        assert items.take() == ["b"]
        with pytest.raises(ValueError, match="c"):
            await anext(items)
        assert [values async for values in items] == []
        assert items.aclose is None
        left = AsyncGathering(Source("a", "b").later(), ready)
        assert await anext(left) == ["a"]
        await left.aclose()
        assert [values async for values in AsyncGathering(Source().later(), ready)] == [[str(END)]]

    with pytest.raises(StopIteration):
        use().send(None)  # which waits for nothing
