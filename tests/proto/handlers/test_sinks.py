"""What can be bound as a sink: generators, and what they say."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.sinks import Refused, Streamed
from tests.proto.rows import for_each


class Diary:
    """A generator function that remembers, and returns when it has enough."""

    def __init__(self, *, most: int = 1 << 30) -> None:
        self.arguments: tuple[Any, ...] = ()
        self.got: list[Any] = []
        self.has_ended = False
        self._most = most

    def take(self, *arguments: Any) -> Generator[None, Any, Any]:
        self.arguments = arguments
        try:
            while len(self.got) < self._most and (piece := (yield)) is not None:
                self.got.append(piece)
        finally:
            self.has_ended = True
        return 0xB000


EVENT: Any = "the event"


def test_a_generator_gets_the_pieces_and_says_the_status() -> None:
    diary = Diary()
    sink = Streamed(diary.take)
    assert not sink.is_quick
    receiving = sink.open(EVENT, "label")
    for piece in (b"ab", b"cd"):
        receiving.write(piece)
    assert (diary.arguments, diary.got, diary.has_ended) == ((EVENT, "label"), [b"ab", b"cd"], False)
    assert receiving.finish() == 0xB000
    assert diary.has_ended


@for_each("most", [0, 1])
def test_a_generator_that_returns_before_the_end_refuses_the_rest(most: int) -> None:
    diary = Diary(most=most)
    with pytest.raises(Refused, match="not wanted") as caught:
        Streamed(diary.take).open(EVENT).write(b"ab")
    assert caught.value.status == 0xB000
    assert diary.got == [b"ab"][:most]


def test_a_generator_has_to_return_at_the_end() -> None:
    def take(_event: Any) -> Any:
        while True:
            yield

    receiving = Streamed(take).open(EVENT)
    with pytest.raises(LocalProtocolError, match="has to return when there is no more data"):
        receiving.finish()


def test_a_generator_is_closed_when_the_object_does_not_arrive() -> None:
    diary = Diary()
    receiving = Streamed(diary.take).open(EVENT)
    receiving.write(b"ab")
    receiving.discard()
    assert diary.has_ended
    receiving.discard()  # of what has ended there is nothing to forget


@for_each("function", [None, len, lambda event: event, Diary()])
def test_only_generator_functions_are_streamed(function: Callable[..., Any]) -> None:
    with pytest.raises(LocalProtocolError, match="no generator function"):
        Streamed(function)
