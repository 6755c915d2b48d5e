"""Two connections against each other, or against noise: nothing raises, nothing hangs, and no byte of data is wrong."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.outgoing import STREAMED, Outgoing
from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.events import Aborted, ConnectionClosed, TimedOut
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.dimse.pairs import (
    ECHO_CONTEXT,
    FIND_CONTEXT,
    PENDING,
    STORE_CONTEXT,
    UNLIMITED,
    echo,
    find,
    pair,
    respond,
    store,
)
from tests.proto.profiles import times

TIMEOUTS = Timeouts(artim=20, request=20, release=20, response=30, idle=40)
LIMITS = Limits(send_queue=256, send_pdu_length=64, receive_buffer=1024, operations=3)


@define
class Posted:
    """A message on its way, and what its data set is so far."""

    message_id: int
    is_request: bool
    data: bytes | None
    is_dropped: bool = False  # the performer has answered early


@define
class User:
    """What uses a connection, and what its peer should get from it."""

    connection: Connection
    wire: bytearray = field(factory=bytearray)  # to the peer
    posted: deque[Posted] = field(factory=deque)
    streams: list[tuple[Outgoing, Posted]] = field(factory=list)
    arriving: Posted | None = None
    arrived: bytes = b""
    is_over: bool = False
    is_told: bool = False  # that the peer has closed the connection

    def attempt(self, verb: Callable[[], Any]) -> bool:
        """Try what may be impossible: it is done, or refused and nothing is changed."""
        before = self.snapshot()
        try:
            verb()
        except LocalProtocolError:
            assert self.snapshot() == before
            return False
        return True

    def snapshot(self) -> object:
        connection = self.connection
        polls = connection.wants_read, connection.wants_close, connection.write_room, connection.next_deadline()
        return repr((connection.state, dict(connection.invoked), dict(connection.performed), polls, self.posted))

    # --- verbs

    def ask(self, request: m.Request, context: int, data: Any) -> None:
        posted = Posted(0, True, b"" if data is STREAMED else data)

        def verb() -> None:
            posted.message_id = self.connection.send_request(request, context=context, data=data)

        if self.attempt(verb):
            self.posted.append(posted)
            if data is STREAMED:
                self.streams.append((self.connection.open_data(posted.message_id), posted))

    def write(self, data: bytes, number: int = 0) -> None:
        outgoing, posted = self.streams[number % len(self.streams)]
        if self.attempt(lambda: outgoing.write(data)):
            assert posted.data is not None
            posted.data += data

    def finish(self, number: int = 0) -> None:
        stream = self.streams[number % len(self.streams)]
        if self.attempt(stream[0].finish):
            self.streams.remove(stream)

    def answer(self, message_id: int, status: int, data: bytes | None) -> None:
        operation = self.connection.performed[message_id]
        response = respond(operation.request, message_id, status)
        if status == PENDING and isinstance(response, m.RetrieveResponse):
            response.number_of_remaining_suboperations = response.number_of_completed_suboperations = 1
            response.number_of_failed_suboperations = response.number_of_warning_suboperations = 0
            data = None
        if self.attempt(lambda: self.connection.send_response(response, data=data)):
            self.posted.append(Posted(message_id, False, data))
            if not operation.is_received and self.arriving is not None:
                self.arriving.is_dropped = True
                self.arriving, self.arrived = None, b""

    def step(self, name: str, n: int) -> None:
        connection = self.connection
        match name:
            case "ask":
                data = bytes(range(n & ~1)) or b"ab"
                given = n if n % 3 else None
                choices = (echo(given), ECHO_CONTEXT, None), (store(given), STORE_CONTEXT, data)
                self.ask(*(*choices, (find(given), FIND_CONTEXT, data), (store(given), STORE_CONTEXT, None))[n % 4])
            case "stream":
                self.ask(store(), STORE_CONTEXT, STREAMED)
            case "write" if self.streams:
                self.write(bytes([n]) * n, n)
            case "finish" if self.streams:
                self.finish(n)
            case "answer" if connection.performed:
                message_id = list(connection.performed)[n % len(connection.performed)]
                status = (0x0000, PENDING, PENDING, 0xA700, 0xFE00)[n % 5]
                self.answer(message_id, status, bytes(n & ~1) if status == PENDING else None)
            case "cancel":
                self.attempt(lambda: connection.send_cancel(n % 5))
            case "end":
                verbs = connection.abort, connection.release, connection.confirm_release
                self.attempt(verbs[0 if n < 20 else 1 + n % 2])

    def work(self) -> bool:
        """Do everything that can be done now; return whether there was anything."""
        connection, moved = self.connection, False
        can_send = connection.state in (State.Sta6, State.Sta8)
        if can_send and self.streams and self.streams[0][0].write_room:
            length = len(self.streams[0][1].data or b"")
            self.write(b"end" if length % 2 else b"an end")
            self.finish()
            moved = True
        for message_id, operation in list(connection.performed.items()):
            if operation.is_received and can_send:
                self.answer(message_id, 0x0000, None)
                moved = True
        return self.attempt(connection.confirm_release) or moved

    # --- events

    def take(self, event: Any, peer: "User") -> None:
        match event:
            case RequestReceived() | ResponseReceived():
                assert self.arriving is None
                while (posted := peer.posted.popleft()).is_dropped:
                    pass
                assert posted.message_id == event.message_id
                assert posted.is_request is isinstance(event, RequestReceived)
                assert event.has_data is (posted.data is not None)
                self.arriving = posted if event.has_data else None
            case DataChunk():
                assert self.arriving is not None
                assert (event.message_id, event.invoked) == (self.arriving.message_id, not self.arriving.is_request)
                self.arrived += event.data
                if event.last:
                    assert self.arrived == self.arriving.data
                    self.arriving, self.arrived = None, b""
            case Aborted() | TimedOut() | ConnectionClosed():
                self.is_over = True
                assert not self.connection.invoked
                assert not self.connection.performed

    def pull(self, count: int, peer: "User") -> bool:
        for _ in range(count):
            event = self.connection.next_event()
            if event is None or (self.is_over and isinstance(event, ConnectionClosed)):
                return False
            self.take(event, peer)
        return True


class World:
    """Two users, the wires between them, and the time."""

    def __init__(self, window: tuple[int, int], maximum_length: int) -> None:
        sides = pair(window=window, maximum_length=maximum_length, timeouts=TIMEOUTS, limits=LIMITS)
        self.users = tuple(User(connection) for connection in sides)
        self.now = 0.0

    def carry(self, user: User, peer: User, size: int) -> bool:
        """Hand bytes out, and deliver some; return whether anything moved."""
        data = sent(user.connection, self.now, limit=size)
        user.wire += data
        if not peer.connection.wants_read:
            return bool(data)
        block = bytes(user.wire[:size])
        del user.wire[:size]
        if block:
            peer.connection.receive_data(block, now=self.now)
        elif user.connection.wants_close and not peer.is_told:
            peer.connection.receive_eof(now=self.now)
            peer.is_told = True
            return True
        return bool(data or block)

    def step(self, name: str, side: int, n: int) -> None:
        user, peer = self.users[side], self.users[1 - side]
        match name:
            case "carry":
                self.carry(user, peer, n)
            case "pull":
                user.pull(n % 8, peer)
            case "tick":
                self.tick(user.connection, n / 16)
            case "close":
                if not user.is_told:
                    user.connection.receive_eof(now=self.now)
                    user.is_told = True
            case _:
                user.step(name, n)
        for connection in (one.connection for one in self.users):
            assert len(connection.invoked) <= connection.invoked_window
            assert connection.next_deadline() == connection.next_deadline()
            assert connection.wants_close is (connection.state is State.Sta1)

    def tick(self, connection: Connection, time: float) -> None:
        self.now += time
        connection.handle_timeout(self.now)
        deadline = connection.next_deadline()
        assert deadline is None or deadline > self.now

    # --- the end: everybody does what there is to do

    def settle(self) -> None:
        """Let both users do everything that they can, and carry everything."""
        for _ in range(1000):
            moved = False
            for user, peer in (self.users, self.users[::-1]):
                moved = user.pull(1, peer) or moved
                moved = user.work() or moved
                moved = self.carry(user, peer, 1 << 20) or moved
            if not moved:
                return
        raise AssertionError("it never ends")

    def end(self) -> Iterator[str]:
        """Bring everything to its end, and tell how it went."""
        self.settle()
        one, other = (user.connection for user in self.users)
        if one.state is other.state is State.Sta6:
            for user in self.users:
                assert not user.connection.invoked
                assert not user.connection.performed
                assert all(posted.is_dropped for posted in user.posted)
            one.release()
            self.settle()
            assert one.wants_close
            yield "released"
        for _ in range(6):
            open_ones = [user.connection for user in self.users if not user.connection.wants_close]
            if not open_ones:
                break
            yield "waited"
            deadlines = [connection.next_deadline() for connection in open_ones]
            soonest = min(deadline for deadline in deadlines if deadline is not None)  # a wait without an end has none
            self.now = max(self.now, soonest)
            for connection in open_ones:
                connection.handle_timeout(self.now)
            self.settle()
        assert one.wants_close
        assert other.wants_close


OFTEN = ["ask", "stream", "write", "finish", "answer", "carry", "pull"]
RARELY = ["cancel", "cancel", "tick", "close", "end"]
steps = st.lists(
    st.tuples(st.sampled_from(OFTEN * 4 + RARELY), st.integers(0, 1), st.integers(0, 255)),
    max_size=80,
)


@given(st.sampled_from([(1, 1), (2, 3), UNLIMITED]), st.sampled_from([14, 40, 16384]), steps)
@times(2.5)
def test_walk(window: tuple[int, int], maximum_length: int, steps: list[tuple[str, int, int]]) -> None:
    world = World(window, maximum_length)
    for step in steps:
        world.step(*step)
    list(world.end())
