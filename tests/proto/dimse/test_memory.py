"""What a connection that is over leaves behind: nothing that only the garbage collector could take away."""

import gc
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.outgoing import STREAMED
from dicom_proto.testing.pair import drain, exchange
from dicom_proto.upper_layer.events import Aborted
from tests.proto.dimse.pairs import (
    ECHO_CONTEXT,
    FIND_CONTEXT,
    STORE_CONTEXT,
    UNLIMITED,
    echo,
    find,
    p_data,
    pair,
    raw,
    receive,
    respond,
    store,
)


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ours() -> list[object]:
    """What only the garbage collector finds, as far as it is made here."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [found for found in gc.garbage if type(found).__module__.startswith("dicom_proto")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def released(one: Connection, other: Connection) -> None:
    one.release()
    exchange(one, other)
    other.confirm_release()
    exchange(one, other)


def aborted(one: Connection, other: Connection) -> None:
    one.abort()
    exchange(one, other)


def lost(one: Connection, other: Connection) -> None:
    for side in (one, other):
        side.receive_eof(now=0)
        drain(side)


def left_in_the_middle(one: Connection, other: Connection) -> None:
    one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    one.open_data(next(iter(one.invoked))).write(bytes(10))
    exchange(one, other)
    one.abort()


def offended(one: Connection, other: Connection) -> None:
    exchange(one, other)
    receive(other, p_data((99, 3, b"no such context")))
    exchange(one, other)


@pytest.mark.parametrize("end", [released, aborted, lost, left_in_the_middle, offended])
@pytest.mark.parametrize("is_observed", [False, True])
def test_no_cycle_is_left(end: Callable[[Connection, Connection], None], is_observed: bool) -> None:
    one, other = pair(window=UNLIMITED)
    if is_observed:
        seen: list[Any] = []
        one.observer = other.observer = seen.append
    one.send_request(echo(), context=ECHO_CONTEXT)
    one.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    one.send_request(store(), context=STORE_CONTEXT, data=STREAMED)
    outgoing = one.open_data(3)
    outgoing.write(bytes(100_000))
    outgoing.finish()
    exchange(one, other)
    for request, message_id in ((echo(), 1), (find(), 2), (store(), 3)):
        other.send_response(respond(request, message_id))
    exchange(one, other)
    end(one, other)
    sides = [ref(one), ref(other)]
    del one, other, outgoing
    assert [side() for side in sides] == [None, None]
    assert ours() == []


@pytest.mark.parametrize(
    "offence",
    [
        raw(respond(echo(), 5)),
        p_data((ECHO_CONTEXT, 3, b"no command set")),
        p_data((99, 3, b"no such context")),
        b"\x99\0\0\0\0\0",
        b"\1\0\0\0\0\0",
        b"\5\0\0\0\0\1\0",
    ],
)
def test_an_error_in_an_event_does_not_keep_what_was_received(offence: bytes) -> None:
    _, connection = pair()
    seen = ref(connection)
    events = receive(connection, raw(store(1), bytes(1000), STORE_CONTEXT), offence)
    event = events[-1]
    assert isinstance(event, Aborted)
    assert event.error is not None
    assert (event.error.__traceback__, event.error.__context__, event.error.__cause__) == (None, None, None)
    del events, connection, _
    assert seen() is None
