"""Random walks: two machines against each other and any bytes against one; they never raise, never hang, always end.

The transport between the two may cut, delay and lose; their users do what comes to their mind, allowed or not.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.testing.pair import CT, VERIFICATION, answer, drain, every, offer, sent
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    Released,
    ReleaseRequested,
    UpperLayerEvent,
)
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, AReleaseRP, AReleaseRQ, encode_pdu, pack_header
from dicom_proto.upper_layer.state_table import State
from tests.proto.upper_layer.machines import OFFER, TIMEOUTS, asked, merge, p_data, pdv, requestor
from tests.proto.upper_layer.pdu_examples import EXAMPLES
from tests.proto.upper_layer.test_table_walk import in_state

LIMITS = Limits(send_pdu_length=16, send_queue=40, receive_buffer=1024)
REQUEST = offer(VERIFICATION, CT, maximum_length=13)
RESPONSE = answer(REQUEST, maximum_length=0)
REJECTION = AAssociateRJ(1, 1, 1)
WAITS_FOR_PEER = {State.Sta2, State.Sta5, State.Sta7, State.Sta10, State.Sta11, State.Sta13}


PIECES: list[bytes] = [
    *EXAMPLES.values(),
    encode_pdu(OFFER),
    encode_pdu(answer(OFFER)),
    encode_pdu(REJECTION),
    encode_pdu(AReleaseRQ()),
    encode_pdu(AReleaseRP()),
    encode_pdu(AAbort(0)),
    p_data(pdv(b"ab", 3)),
    p_data(pdv(b"ab", 1), pdv(b"cd", 3), pdv(b"ef"), pdv(b"", 2)),
    p_data(pdv(b"ab")),
    p_data(pdv(b"cd", 2)),
    p_data(pdv(b""), pdv(b"")),
    p_data(pdv(bytes(300))),
    p_data(pdv(length=1)),
    p_data(),
    pack_header(4, 20000),
    pack_header(1, 1 << 31),
    pack_header(5, 3),
    b"GET / HTTP/1.1",
]


def value_of(result: Any) -> Any:
    """What a call has returned, as something that can be compared."""
    if isinstance(result, Aborted):
        return result.origin, result.reason, repr(result.error)
    return b"".join(result) if isinstance(result, list) else result


class Side:
    """A machine, and a record of what was done to it."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.make = partial(Association, limits=LIMITS, timeouts=TIMEOUTS, tolerance=tolerance)
        self.machine = self.make()
        self.record: list[tuple[Callable[[Association], Any], Any]] = []
        self.queued = b""  # data of all messages, one behind the other
        self.received = b""
        self.open: tuple[bool, int] | None = None  # whether it is a command that is being sent, and how much it has
        self.is_cut_off = False  # told that the connection has ended

    def do(self, call: Callable[[Association], Any]) -> Any:
        result = call(self.machine)
        self.record.append((call, value_of(result)))
        return result

    def face(self) -> tuple[object, ...]:
        machine = self.machine
        return (
            machine.state,
            machine.next_deadline(),
            (machine.wants_close, machine.wants_read, machine.write_room),
            (machine.bytes_queued, machine.bytes_handed_out, machine.bytes_waiting),
            (machine.offer, machine.agreement, machine.contexts, machine.is_requestor),
        )

    def attempt(self, verb: Callable[[Association], None]) -> bool:
        """Try a verb; it may refuse, and has changed nothing then."""
        before = self.face()
        try:
            self.do(verb)
        except LocalProtocolError:
            assert self.face() == before
            return False
        return True

    def send(self, data: bytes, *, command: bool, last: bool, context_id: int = 1) -> None:
        if self.attempt(lambda machine: machine.send_fragment(context_id, data, command=command, last=last)):
            self.queued += data
            self.open = None if last else (command, len(data) + (self.open[1] if self.open else 0))

    def end_message(self) -> None:
        if self.open is not None:
            command, length = self.open
            self.send(b"" if length and length % 2 == 0 else b"x" if length else b"xy", command=command, last=True)

    def replay(self) -> None:
        """The same calls again, without those that were refused: the same run."""
        again = self.make()
        for call, result in self.record:
            assert value_of(call(again)) == result


class World:
    """Two sides, the bytes between them, and the time; ``program`` makes all choices."""

    def __init__(self, program: bytes) -> None:
        self.program = iter(program)
        self.sides = [Side(Tolerance(early_pdus=self.choose(2) == 0)) for _ in range(2)]
        self.pipes = [b"", b""]  # what is on its way to each side
        self.ended = [False, False]  # whether nothing more can follow it
        self.now = 0.0
        self.is_honest = True  # whether nobody has put anything of his own between the bytes

    def choose(self, count: int) -> int:
        return next(self.program, 0) % count

    # --- what drivers do ---

    def connect(self, number: int) -> None:
        now = self.now
        self.sides[number].attempt(lambda machine: machine.connection_made(now=now))

    def push(self, number: int, limit: int | None = None) -> bool:
        """Let a side say what it has to say; return whether it did."""
        side, now = self.sides[number], self.now
        buffers = side.do(lambda machine: machine.data_to_send(limit, now=now))
        if not self.ended[1 - number]:
            self.pipes[1 - number] += b"".join(buffers)
        if side.machine.wants_close:
            self.ended[1 - number] = True
        self.check_deadline(side)
        return bool(buffers)

    def deliver(self, number: int, most: int) -> bool:
        """Let a side receive some bytes, or the end of the connection; return whether there was something."""
        side, now = self.sides[number], self.now
        if side.is_cut_off or side.machine.state in (State.Sta1, State.Sta4):
            return False
        block, self.pipes[number] = self.pipes[number][:most], self.pipes[number][most:]
        if block:
            side.do(lambda machine: machine.receive_data(block, now=now))
        elif self.ended[number]:
            side.is_cut_off = True
            side.do(lambda machine: machine.receive_eof(now=now))
        return bool(block) or side.is_cut_off

    def pull(self, number: int) -> UpperLayerEvent | None:
        """Let a side have its next event."""
        side, other = self.sides[number], self.sides[1 - number]
        event: UpperLayerEvent | None = side.do(Association.next_event)
        match event:
            case FragmentReceived():
                side.received += event.data
                assert not self.is_honest or other.queued.startswith(side.received)
            case ReleaseRequested() | Released():  # what was sent before it has all arrived
                assert not self.is_honest or side.received == other.queued
            case ConnectionClosed():
                assert side.machine.state is State.Sta1
        return event

    def let_time_pass(self, number: int) -> None:
        """Let the next deadline of a side come."""
        side, deadline = self.sides[number], self.sides[number].machine.next_deadline()
        if deadline is not None:
            self.now = now = max(self.now, deadline)
            side.do(lambda machine: machine.handle_timeout(now))
            after = side.machine.next_deadline()
            assert after is None or after > now

    def lose_connection(self, keep: int) -> None:
        self.ended = [True, True]
        self.pipes = [pipe[:keep] for pipe in self.pipes]

    def forge(self, number: int) -> None:
        """Put something that the other side has not sent between the bytes to a side."""
        if not self.ended[number]:
            self.is_honest = False
            self.pipes[number] += PIECES[self.choose(len(PIECES))]

    def check_deadline(self, side: Side) -> None:
        """Every wait that is not for the local user has a deadline; to ask for it changes nothing."""
        machine = side.machine
        deadline = machine.next_deadline()
        assert machine.next_deadline() == deadline
        waits = machine.state in WAITS_FOR_PEER or (
            machine.state is State.Sta6 and machine.is_attentive and machine.wants_read
        )
        if waits or (machine.bytes_waiting and side.open is None):
            assert deadline is not None

    # --- what users do ---

    def use_a_verb(self, number: int) -> None:
        side, now = self.sides[number], self.now
        verbs: list[Callable[[Association], None]] = [
            lambda machine: machine.request(REQUEST),
            lambda machine: machine.accept(RESPONSE),
            lambda machine: machine.reject(REJECTION),
            Association.release,
            Association.confirm_release,
            Association.abort,
            lambda machine: machine.abort(AbortReason.NOT_SPECIFIED),
            lambda machine: machine.fail(PDUError("of no use")),
            lambda machine: machine.connection_made(now=now),
            lambda machine: machine.accept(answer(OFFER)),  # an answer to something else
            lambda machine: machine.reject(AAssociateRJ(0, 0, 0)),
            lambda machine: machine.request(offer(maximum_length=1)),
        ]
        side.attempt(verbs[self.choose(len(verbs))])

    def send_something(self, number: int) -> None:
        data = b"abcdefghijklmnopqrstuvwxyz"[: self.choose(27)]
        context_id = (1, 1, 3, 5)[self.choose(4)]
        self.sides[number].send(data, command=self.choose(2) == 0, last=self.choose(3) == 0, context_id=context_id)

    def react(self, number: int) -> bool:
        """Do what a side is waiting for its user to do; return whether there was something."""
        side = self.sides[number]
        match side.machine.state:
            case State.Sta3:
                return side.attempt(lambda machine: machine.accept(RESPONSE)) or side.attempt(
                    lambda machine: machine.reject(REJECTION)
                )
            case State.Sta4:
                self.connect(number)
                return True
            case State.Sta8 | State.Sta9 | State.Sta12:
                side.end_message()
                return side.attempt(Association.confirm_release)
        return False

    def set_attention(self, number: int, value: bool) -> None:
        self.sides[number].do(lambda machine: setattr(machine, "is_attentive", value))

    # --- walking ---

    def turn(self, number: int) -> bool:
        """One whole turn of a driver and its user; return whether anything has happened."""
        moved = self.deliver(number, 1 << 20)
        while (event := self.pull(number)) is not None and not isinstance(event, ConnectionClosed):
            self.react(number)
            moved = True
        return self.react(number) | self.push(number) | moved

    def begin(self) -> None:
        """Come some way along the regular path."""
        way: list[Callable[[], object]] = [
            lambda: self.sides[0].attempt(lambda machine: machine.request(REQUEST)),
            lambda: self.connect(0),
            lambda: self.connect(1),
            lambda: self.turn(0),
            lambda: self.turn(1),
            lambda: self.turn(0),
        ]
        for step in way[: self.choose(2 * len(way))]:
            step()

    def step(self) -> None:
        number = self.choose(2)
        steps: list[Callable[[], object]] = [
            lambda: self.turn(number),
            lambda: self.push(number, (None, 0, 1, 40)[self.choose(4)]),
            lambda: self.deliver(number, (1, 2, 7, 50, 1000)[self.choose(5)]),
            lambda: self.pull(number),
            lambda: self.react(number),
            lambda: self.use_a_verb(number),
            lambda: self.send_something(number),
            lambda: self.send_something(number),
            self.sides[number].end_message,
            lambda: self.sides[number].attempt(Association.release),
            lambda: self.set_attention(number, self.choose(2) == 0),
            lambda: setattr(self, "now", self.now + self.choose(8)),
            lambda: self.let_time_pass(number) if self.choose(4) == 0 else None,
            lambda: self.lose_connection(self.choose(256)) if self.choose(16) == 0 else None,
            lambda: self.forge(number) if self.choose(4) == 0 else None,
        ]
        steps[self.choose(len(steps))]()

    def finish(self) -> None:
        """Let the users answer everything and the time run: both sides come to their end."""
        for number in (0, 1):
            self.set_attention(number, True)
            self.connect(number)  # if that has not happened
        for _ in range(100):
            if all(side.machine.wants_close for side in self.sides):
                break
            if not self.turn(0) | self.turn(1):
                deadlines = [side.machine.next_deadline() or 1e9 for side in self.sides]
                self.let_time_pass(deadlines.index(min(deadlines)))
        for side in self.sides:
            assert isinstance(drain(side.machine)[-1], ConnectionClosed)
            assert [side.machine.next_event() for _ in range(3)] == [ConnectionClosed()] * 3
            assert (side.machine.state, side.machine.next_deadline(), sent(side.machine)) == (State.Sta1, None, b"")


@given(st.binary(min_size=200, max_size=300))
def test_two_machines_never_raise_never_hang_and_always_end(program: bytes) -> None:
    world = World(program)
    world.begin()
    for _ in range(60):
        world.step()
    world.finish()
    for side in world.sides:
        side.replay()


# --- any bytes, any cuts, against one machine in any state ---


MACHINES: dict[str, Callable[[], Association]] = {
    **{state.name: partial(in_state, state) for state in State if state not in (State.Sta1, State.Sta4)},
    "Sta3, tolerant": asked,
    "Sta6, no maximum": partial(requestor, offer(maximum_length=0)),
}
streams = st.lists(st.sampled_from(PIECES) | st.sampled_from(PIECES) | st.binary(max_size=12), max_size=6).map(b"".join)


def tell(machine: Association, found: list[object]) -> None:
    """Add the events of a machine whose user answers at once, the pieces of fragments joined."""
    while (event := machine.next_event()) is not None:
        match event:
            case FragmentReceived():
                merge(found, event)
                continue
            case AssociateRequested():
                try:
                    machine.accept(answer(event.offer))
                except LocalProtocolError:
                    machine.reject(REJECTION)
            case ConnectionClosed():  # for ever
                return
        if machine.state in (State.Sta8, State.Sta9, State.Sta12):
            machine.confirm_release()
        found.append(value_of(event))


def outcome(machine: Association, blocks: Iterable[bytes], *, hasty: bool) -> tuple[object, ...]:
    """All that comes of some blocks, be events pulled after each of them or at the end."""
    found: list[object] = []
    for block in blocks:
        machine.receive_data(block, now=1)
        if hasty:
            tell(machine, found)
    tell(machine, found)
    return found, machine.state, sent(machine, 1), machine.next_deadline()


@given(st.sampled_from(sorted(MACHINES)), streams, st.lists(st.integers(0, 500), max_size=10))
def test_any_bytes_at_any_cuts_in_any_state_never_raise_and_come_to_the_same(
    name: str, stream: bytes, cuts: list[int]
) -> None:
    machine = MACHINES[name]()
    expected = outcome(machine, [stream], hasty=True)
    at_random = [stream[start:end] for start, end in pairwise([0, *sorted(cuts), max(len(stream), 500)])]
    for blocks in (at_random, list(every(1)(stream))):
        for hasty in (True, False):
            assert outcome(MACHINES[name](), blocks, hasty=hasty) == expected
    machine.receive_eof(now=2)
    assert isinstance(drain(machine)[-1], ConnectionClosed)


@given(st.sampled_from(sorted(MACHINES)), st.binary(max_size=100), st.sampled_from(range(8)))
def test_arbitrary_bytes_in_any_state_never_raise(name: str, data: bytes, pdu_type: int) -> None:
    for stream in (data, bytes((pdu_type,)) + data, pack_header(pdu_type, len(data)) + data):
        machine = MACHINES[name]()
        machine.receive_data(stream, now=0)
        drain(machine)
        machine.handle_timeout(1000)
        machine.receive_eof(now=1000)
        assert isinstance(drain(machine)[-1], ConnectionClosed)
