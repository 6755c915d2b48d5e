"""Harness: a ``Router`` between a connection and users who ask for its events in any order.

The input is a program (:mod:`fuzz.program`). Its header chooses the bounds of the router. Its steps let a peer invoke,
answer, cancel, release, abort and send arbitrary bytes; let this side invoke and answer; and let users open, ask for
and close any operation at any time.

* Every event of an operation that is open comes to whoever asks for that operation, once, in order, and to no other.
* No more events and data wait than the bounds say, and nothing is pulled from the connection beyond them, or behind the
  end. ``is_full`` tells the truth, and is over when all that waits has been asked for or dropped.
* Who gets nothing has to wait: for the peer, for others, or for ever, because the association has ended.
"""

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, ConnectionEvent, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.routing import Key, Router
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.events import AssociateAccepted, AssociateRequested, ReleaseRequested
from dicom_proto.upper_layer.pdu import AAssociateAC
from fuzz.association import TIMEOUTS
from fuzz.connection import WORDS, a_request, a_response, piece
from fuzz.negotiation import answer_to
from fuzz.program import Language, Operation, Step, until
from fuzz.samples import FULL_OFFER

__all__ = ["LANGUAGE", "check", "mutate", "seeds"]

_BOUNDS: Final = (1, 2, 5, 256)
_DATA_BOUNDS: Final = (1, 64, 1024, 1 << 20)
_ROUNDS: Final = 500  # more than an input can make necessary

LANGUAGE: Final = Language(
    1,
    Operation("carry", 1),  # bytes (0: all)
    Operation("ask", 5),  # which, example, context, size, message ID (0: another one)
    Operation("reply", 4),  # which of those that this side has asked for, example, status, size
    Operation("cancel", 1),  # which of those outstanding
    Operation("release"),
    Operation("abort"),
    Operation("bytes", has_payload=True),
    Operation("hang-up"),
    # What this side does.
    Operation("invoke", 5),  # which, example, context, size, whether its events are kept
    Operation("answer", 4),  # which of those performed, example, status, size
    Operation("confirm"),
    # What is asked of the router; an operation is chosen among those that there have been, and one that has not.
    Operation("next", 1),
    Operation("take", 1),
    Operation("next-summons"),
    Operation("take-summons"),
    Operation("pump"),
    Operation("open", 1),
    Operation("close", 1),
    words=WORDS,
)


def check(data: bytes) -> None:
    """Run a program."""
    header, steps = LANGUAGE.read(data)
    program = _Program(header[0])
    for step in until(lambda: program.router.ending is not None, steps):
        program.perform(step)
        program.check()
    program.end()


class _Told(Connection):
    """A connection that remembers what it has told."""

    def __init__(self) -> None:
        super().__init__(timeouts=TIMEOUTS[1])
        self.told: list[ConnectionEvent] = []
        self.is_silent = False  # there was nothing to tell when it was asked last

    def next_event(self) -> ConnectionEvent | None:
        event = super().next_event()
        self.is_silent = event is None
        if event is not None:
            self.told.append(event)
        return event


class _Program:
    """A program that runs, and what the router should have."""

    def __init__(self, bounds: int) -> None:
        self._bound = _BOUNDS[bounds % len(_BOUNDS)]
        self._data_bound = _DATA_BOUNDS[bounds // len(_BOUNDS) % len(_DATA_BOUNDS)]
        self.peer, self.here = Connection(timeouts=TIMEOUTS[1]), _Told()
        self.on_the_way = bytearray()
        self.router = Router(self.here, bound=self._bound, data_bound=self._data_bound)
        self.inboxes: dict[Key, deque[Any]] = {}
        self.summons: deque[Any] = deque()
        self.keys: list[Key] = [(0, True)]  # all that there have been
        self._ending: Any = None
        self._associate()

    def _associate(self) -> None:
        self.peer.request(FULL_OFFER)
        for machine in (self.peer, self.here):
            machine.connection_made(now=0.0)
        self.carry(0)
        self.ask(self.router.next_summons, None, self.summons)
        answer = answer_to(FULL_OFFER, 0)
        assert isinstance(answer, AAssociateAC)
        self.here.accept(answer)
        self.carry(0)

    # --- the network --------------------------------------------------------------------------------------------------

    def carry(self, count: int) -> None:
        """Carry so many bytes from the peer, 0 for all, and all that there is to the peer, who listens."""
        self.on_the_way += b"".join(self.peer.data_to_send(now=0.0))
        block = bytes(self.on_the_way[: count or None])
        if block and self.here.wants_read:
            del self.on_the_way[: len(block)]
            self.here.receive_data(block, now=0.0)
        answer = b"".join(self.here.data_to_send(now=0.0))
        if answer and self.peer.wants_read:
            self.peer.receive_data(answer, now=0.0)
        for _ in range(_ROUNDS):
            if self.peer.next_event() is None:
                break

    def perform(self, step: Step) -> None:
        """Perform a step; what is not allowed changes nothing, as other harnesses see to."""
        try:
            _ACTS[step.name](self, step.arguments, step.payload)
        except LocalProtocolError:
            return

    # --- what the router should do ------------------------------------------------------------------------------------

    def key(self, number: int) -> Key:
        """Choose an operation."""
        return self.keys[number % len(self.keys)]

    def ask(self, call: Callable[..., Any], key: Key | None, inbox: deque[Any] | None) -> None:
        """Ask for the next event of an operation, or for a summons."""
        if inbox is None:
            try:
                call(key)
            except LocalProtocolError:
                return
            raise AssertionError("somebody asks for what has been closed")
        event = call() if key is None else call(key)
        self.learn()
        expected = inbox.popleft() if inbox else None
        assert event is expected, f"{expected} waits, and {event} is given out"
        if event is None and call.__name__.startswith("next"):
            self._check_idle()

    def _check_idle(self) -> None:
        assert self.is_full or self._ending is not None or self.here.is_silent, "there is more, and nobody gets it"

    @property
    def is_full(self) -> bool:
        """Whether no more can wait."""
        waiting = [event for inbox in (self.summons, *self.inboxes.values()) for event in inbox]
        octets = sum(len(event.data) for event in waiting if isinstance(event, DataChunk))
        return len(waiting) >= self._bound or octets >= self._data_bound

    def learn(self) -> None:
        """Sort what the router has pulled meanwhile."""
        told, self.here.told = self.here.told, []
        for event in told:
            assert not self.is_full, "more is pulled than may wait"
            assert self._ending is None, "something is pulled behind the end"
            match event:
                case ResponseReceived():
                    self._file((event.message_id, True), event)
                case DataChunk():
                    self._file((event.message_id, event.invoked), event)
                case CancelReceived():
                    pass
                case RequestReceived():
                    self.begin((event.message_id, False))
                    self.inboxes[event.message_id, False] = deque()
                    self.summons.append(event)
                case AssociateRequested() | AssociateAccepted() | ReleaseRequested():
                    self.summons.append(event)
                case _:
                    self._ending = event

    def begin(self, key: Key) -> None:
        """Remember an operation, to be chosen."""
        if key not in self.keys:
            self.keys.append(key)

    def _file(self, key: Key, event: Any) -> None:
        if key in self.inboxes:
            self.inboxes[key].append(event)

    def check(self) -> None:
        """See that the router shows what it should."""
        self.learn()
        assert self.router.is_full is self.is_full, "is_full does not tell the truth"
        assert self.router.ending is self._ending, "another end"
        for key in self.keys:
            assert self.router.is_open(key) is (key in self.inboxes), "an operation is open that is not, or the reverse"

    def end(self) -> None:
        """End it: who gives up all that waits gets to the end."""
        _hang_up(self, b"", b"")
        for _ in range(_ROUNDS):
            self.router.pump()
            self.check()
            self._check_idle()
            for key in tuple(self.inboxes):
                _close(self, key)
            while self.summons:
                self.ask(self.router.take_summons, None, self.summons)
            self.check()
            assert not self.router.is_full, "full, and nothing waits"
            if self._ending is not None:
                return
        raise AssertionError("the end never comes")


# --- steps ------------------------------------------------------------------------------------------------------------


def _send(machine: Connection, arguments: bytes) -> int:
    which, example, context_id, size, message_id = arguments
    return machine.send_request(a_request(which, example, message_id), context=context_id, data=piece(size) or None)


def _answer(machine: Connection, arguments: bytes) -> None:
    which, example, status, size = arguments
    performed = list(machine.performed.items())
    if performed:
        message_id, operation = performed[which % len(performed)]
        machine.send_response(a_response(operation.request, message_id, example, status), data=piece(size) or None)


def _cancel(program: _Program, arguments: bytes, _: bytes) -> None:
    invoked = list(program.peer.invoked)
    if invoked:
        program.peer.send_cancel(invoked[arguments[0] % len(invoked)])


def _insert(program: _Program, _: bytes, payload: bytes) -> None:
    program.on_the_way += payload


def _hang_up(program: _Program, _: bytes, __: bytes) -> None:
    program.here.receive_eof(now=0.0)


def _invoke(program: _Program, arguments: bytes, _: bytes) -> None:
    key = (_send(program.here, arguments[:4] + b"\0"), True)
    program.begin(key)
    if arguments[4]:
        _open(program, key)


def _open(program: _Program, key: Key) -> None:
    if key not in program.inboxes:
        program.router.open(key)
        program.inboxes[key] = deque()


def _close(program: _Program, key: Key) -> None:
    program.router.close(key)
    program.inboxes.pop(key, None)


def _next(program: _Program, arguments: bytes, _: bytes) -> None:
    key = program.key(arguments[0])
    program.ask(program.router.next_event, key, program.inboxes.get(key))


def _take(program: _Program, arguments: bytes, _: bytes) -> None:
    key = program.key(arguments[0])
    program.ask(program.router.take, key, program.inboxes.get(key))


_ACTS: Final[dict[str, Callable[[_Program, bytes, bytes], object]]] = {
    "carry": lambda program, args, _: program.carry(args[0]),
    "ask": lambda program, args, _: _send(program.peer, args),
    "reply": lambda program, args, _: _answer(program.peer, args),
    "cancel": _cancel,
    "release": lambda program, _, __: program.peer.release(),
    "abort": lambda program, _, __: program.peer.abort(),
    "bytes": _insert,
    "hang-up": _hang_up,
    "invoke": _invoke,
    "answer": lambda program, args, _: _answer(program.here, args),
    "confirm": lambda program, _, __: program.here.confirm_release(),
    "next": _next,
    "take": _take,
    "next-summons": lambda program, _, __: program.ask(program.router.next_summons, None, program.summons),
    "take-summons": lambda program, _, __: program.ask(program.router.take_summons, None, program.summons),
    "pump": lambda program, _, __: program.router.pump(),
    "open": lambda program, args, _: _open(program, program.key(args[0])),
    "close": lambda program, args, _: _close(program, program.key(args[0])),
}


def mutate(data: bytes, random: Random) -> bytes:
    """Change a step, or the order of steps."""
    return LANGUAGE.mutate(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return programs of which each tells a story."""
    return LANGUAGE.load("routing")
