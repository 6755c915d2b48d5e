"""What can be bound to which event."""

import functools
from typing import Any

import pytest

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.registry import Binding, Handlers
from dicom_proto.handlers.sinks import Receiving, Sink
from tests.proto.rows import for_each


def handler(event: Any) -> None:
    raise NotImplementedError


def another(event: Any, *arguments: Any) -> None:
    raise NotImplementedError


async def coroutine(event: Any) -> None:
    raise NotImplementedError


async def async_generator(_: Any) -> Any:
    yield NotImplementedError


class Callable:
    def __call__(self, event: Any) -> None:
        raise NotImplementedError

    def method(self, event: Any) -> None:
        raise NotImplementedError


class AsyncCallable:
    async def __call__(self, event: Any) -> None:
        raise NotImplementedError


@functools.wraps(coroutine)
def wrapped(event: Any) -> Any:
    return coroutine(event)


class Store(Sink):
    def open(self, event: Any, *labels: str) -> Receiving:
        raise NotImplementedError


class AsyncStore(Sink):
    async def open(self, event: Any) -> Receiving:  # type: ignore[override]
        raise NotImplementedError


class LikeAStore:
    def open(self, event: Any) -> Receiving:
        raise NotImplementedError


KINDS = [kind for kind in vars(evt).values() if isinstance(kind, EventKind)]
ASYNC = [coroutine, async_generator, AsyncCallable(), wrapped, functools.partial(coroutine)]


def test_an_intervention_event_has_one_handler() -> None:
    bound = Handlers([(evt.EVT_C_ECHO, handler), (evt.EVT_C_ECHO, another, [1, 2])])
    assert bound.binding(evt.EVT_C_ECHO) == Binding(another, (1, 2))
    assert bound.bindings(evt.EVT_C_ECHO) == [Binding(another, (1, 2))]
    assert bound.binding(evt.EVT_C_STORE) is None


def test_a_notification_event_has_many_and_none_of_them_twice() -> None:
    bound = Handlers([(evt.EVT_ABORTED, handler), (evt.EVT_ABORTED, another), (evt.EVT_ABORTED, handler)])
    assert bound.bindings(evt.EVT_ABORTED) == [Binding(handler), Binding(another)]
    bound.bind(evt.EVT_ABORTED, another, [1])
    assert len(bound.bindings(evt.EVT_ABORTED)) == 3


def test_unbinding() -> None:
    bound = Handlers([(evt.EVT_ABORTED, handler), (evt.EVT_ABORTED, another), (evt.EVT_C_ECHO, handler)])
    bound.unbind(evt.EVT_ABORTED, handler)
    bound.unbind(evt.EVT_C_ECHO, handler)
    bound.unbind(evt.EVT_C_STORE, handler)
    assert bound.kinds() == (evt.EVT_ABORTED,)
    assert bound.bindings(evt.EVT_ABORTED) == [Binding(another)]


def test_a_copy_is_independent() -> None:
    bound = Handlers([(evt.EVT_ABORTED, handler)], allow_async=False)
    copied = bound.copy()
    copied.bind(evt.EVT_ABORTED, another)
    copied.bind(evt.EVT_C_ECHO, another)
    assert bound.kinds() == (evt.EVT_ABORTED,)
    assert len(bound.bindings(evt.EVT_ABORTED)) == 1
    with pytest.raises(LocalProtocolError, match="async"):
        copied.bind(evt.EVT_C_ECHO, coroutine)


@for_each("function", [*ASYNC])
def test_async_handlers(function: Any) -> None:
    assert Binding(function).is_async
    assert Handlers([(evt.EVT_C_FIND, function)]).binding(evt.EVT_C_FIND) == Binding(function)
    with pytest.raises(LocalProtocolError, match="trio or asyncio"):
        Handlers([(evt.EVT_C_FIND, function)], allow_async=False)


@for_each("function", [handler, Callable(), Callable().method, functools.partial(another, 1), print, int])
def test_ordinary_handlers(function: Any) -> None:
    assert not Binding(function).is_async
    assert Handlers([(evt.EVT_C_FIND, function)], allow_async=False).kinds() == (evt.EVT_C_FIND,)


@for_each(
    ("bound", "message"),
    [
        ((evt.EVT_C_ECHO, None), "cannot be called"),
        ((evt.EVT_C_ECHO, lambda: 0), "cannot take the 1 arguments"),
        ((evt.EVT_C_ECHO, handler, [1]), "cannot take the 2 arguments"),
        (("EVT_C_ECHO", handler), "not an event"),
    ],
)
def test_what_cannot_be_bound(bound: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        Handlers([bound])


def test_a_sink_takes_objects_and_nothing_else() -> None:
    sink = Store()
    bound = Handlers([(evt.EVT_C_STORE, sink, ["label"])])
    assert bound.binding(evt.EVT_C_STORE) == Binding(sink.open, ("label",), sink)
    bound.unbind(evt.EVT_C_STORE, Store())
    assert bound.kinds() == (evt.EVT_C_STORE,)
    bound.unbind(evt.EVT_C_STORE, sink)
    assert bound.kinds() == ()
    for kind in set(KINDS) - {evt.EVT_C_STORE}:
        with pytest.raises(LocalProtocolError, match="a sink takes objects"):
            bound.bind(kind, sink)


@for_each(
    ("bound", "message"),
    [
        ((evt.EVT_C_STORE, LikeAStore()), "cannot be called"),
        ((evt.EVT_C_STORE, AsyncStore()), "trio or asyncio"),
        ((evt.EVT_C_STORE, AsyncStore(), [1]), "trio or asyncio"),
        ((evt.EVT_C_STORE, Store), "cannot take"),
    ],
)
def test_what_is_no_sink(bound: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        Handlers([bound], allow_async=False)


def test_what_is_bound_can_be_asked_for() -> None:
    bound = Handlers([(evt.EVT_C_STORE, another, ["a"]), (evt.EVT_ABORTED, another), (evt.EVT_ABORTED, another, [1])])
    assert bound.stated(evt.EVT_C_STORE) == (another, ["a"])
    assert bound.stated(evt.EVT_C_FIND) == (None, None)
    assert bound.stated(evt.EVT_ABORTED) == [(another, None), (another, [1])]
    assert bound.stated(evt.EVT_RELEASED) == []


def test_a_built_in_without_a_signature_is_taken_at_its_word() -> None:
    assert Handlers([(evt.EVT_C_ECHO, type)]).kinds() == (evt.EVT_C_ECHO,)


def test_a_copy_has_what_its_class_has_besides() -> None:
    class Named(Handlers):
        def __init__(self, name: str) -> None:
            super().__init__([(evt.EVT_C_ECHO, lambda _: 0)])
            self.name = name

    original = Named("one")
    copied = original.copy()
    original.bind(evt.EVT_C_STORE, lambda _: 0)
    assert (type(copied), copied.name) == (Named, "one")
    assert copied.binding(evt.EVT_C_ECHO) is not None
    assert copied.binding(evt.EVT_C_STORE) is None
