"""Harness: a ``Router`` between a connection and users who ask for its events in any order.

The input is a program (:mod:`fuzz.program`). Its header chooses the bounds of the router. Its steps let a peer invoke,
answer, cancel, release, abort and send arbitrary bytes; let this side invoke and answer; and let users open, ask for,
wait for and close any operation at any time. Events are pulled and filed as the engine does it.

* Every event of an operation whose inbox is open comes to whoever asks there, once, in order, and to no other; to who
  waits for it at once.
* An inbox that is opened under the message ID of another closes that one: who asks there is told so, and who has waited
  there is named.
* No more events and data wait than the bounds say. ``is_full`` tells the truth, and is over when all that waits has
  been asked for or dropped.
"""

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from attrs import define, field

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import ConnectionEvent, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.routing import Inbox, Key, Router
from dicom_proto.errors import LocalProtocolError
from dicom_proto.testing.samples import FULL_OFFER
from dicom_proto.upper_layer.failures import Ending
from dicom_proto.upper_layer.pdu import AAssociateAC
from fuzz.association import TIMEOUTS
from fuzz.connection import WORDS, a_request, a_response, piece
from fuzz.negotiation import answer_to
from fuzz.program import Language, Operation, Step, until

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
    # What is asked of the router; an inbox is chosen among those that there have been, and one that was never open.
    Operation("take", 1),
    Operation("wait", 1),
    Operation("pull"),  # one event
    Operation("close-all"),
    Operation("pump"),  # all events that there is room for
    Operation("open", 1),  # another inbox, under the same key
    Operation("close", 1),
    words=WORDS,
)


def check(data: bytes) -> None:
    """Run a program."""
    header, steps = LANGUAGE.read(data)
    program = _Program(header[0])
    for step in until(lambda: program.ending is not None, steps):
        program.perform(step)
        program.check()
    program.end()


@define
class _Expected:
    """What an inbox should have."""

    inbox: Inbox
    is_open: bool = True
    waiting: deque[Any] = field(factory=deque)
    receiver: object = None


class _Program:
    """A program that runs, and what the router should have."""

    def __init__(self, bounds: int) -> None:
        self._bound = _BOUNDS[bounds % len(_BOUNDS)]
        self._data_bound = _DATA_BOUNDS[bounds // len(_BOUNDS) % len(_DATA_BOUNDS)]
        self.peer, self.here = Connection(timeouts=TIMEOUTS[1]), Connection(timeouts=TIMEOUTS[1])
        self.on_the_way = bytearray()
        self.router = Router(bound=self._bound, data_bound=self._data_bound)
        self.inboxes: list[_Expected] = []  # all that there have been
        self.left: list[object] = []
        self.ending: ConnectionEvent | None = None
        self.open((0, True))
        self.close(self.inboxes[0])
        self._associate()

    def _associate(self) -> None:
        self.peer.request(FULL_OFFER)
        for machine in (self.peer, self.here):
            machine.connection_made(now=0.0)
        self.carry(0)
        self.pump(_ROUNDS)
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

    def pump(self, most: int) -> None:
        """Pull so many events at most, and file them, as an engine does."""
        for _ in range(most):
            if self.ending is not None or self.router.is_full:
                return
            event = self.here.next_event()
            match event:
                case None:
                    return
                case ResponseReceived():
                    self._file(event, (event.message_id, True))
                case DataChunk():
                    self._file(event, (event.message_id, event.invoked))
                case RequestReceived():
                    self.open((event.message_id, False))
                case _ if isinstance(event, Ending):
                    self.ending = event

    def _file(self, event: ResponseReceived | DataChunk, key: Key) -> None:
        receiver = self.router.file(event)
        expected = self.find(key)
        if expected is None:
            assert receiver is None, "somebody gets what nobody has opened"
        elif expected.receiver is not None:
            assert receiver is expected.receiver, "another one gets it"
            expected.receiver = None
        else:
            assert receiver is None, "nobody has waited for it"
            expected.waiting.append(event)

    def find(self, key: Key) -> _Expected | None:
        """Return what is open under a key."""
        return next((one for one in self.inboxes if one.is_open and one.inbox.key == key), None)

    def choose(self, number: int) -> _Expected:
        """Choose an inbox."""
        return self.inboxes[number % len(self.inboxes)]

    def open(self, key: Key) -> None:
        """Open an inbox; one that is open under that key is closed."""
        former = self.find(key)
        if former is not None:
            self._forget(former)
        self.inboxes.append(_Expected(self.router.open(key)))

    def close(self, expected: _Expected) -> None:
        """Close an inbox, which may be closed already."""
        self._forget(expected)
        expected.inbox.close()

    def _forget(self, expected: _Expected) -> None:
        expected.is_open = False
        expected.waiting.clear()
        if expected.receiver is not None:
            self.left.append(expected.receiver)
            expected.receiver = None

    def take(self, expected: _Expected) -> bool:
        """Ask for the next event; return whether there was one."""
        try:
            event = expected.inbox.take()
        except LocalProtocolError:
            assert not expected.is_open, "an inbox is closed that is not"
            return False
        assert expected.is_open, "somebody asks for what has been closed"
        wanted = expected.waiting.popleft() if expected.waiting else None
        assert event is wanted, f"{wanted} waits, and {event} is given out"
        return event is not None

    def wait(self, expected: _Expected) -> None:
        """Ask for the next event, and wait for it."""
        if not self.take(expected) and expected.is_open:
            expected.receiver = expected.inbox.receiver = object()

    @property
    def is_full(self) -> bool:
        """Whether no more can wait."""
        waiting = [event for expected in self.inboxes for event in expected.waiting]
        octets = sum(len(event.data) for event in waiting if isinstance(event, DataChunk))
        return len(waiting) >= self._bound or octets >= self._data_bound

    def check(self) -> None:
        """See that the router shows what it should."""
        assert self.router.is_full is self.is_full, "is_full does not tell the truth"
        for expected in self.inboxes:
            inbox = expected.inbox
            assert inbox.is_open is expected.is_open, "an inbox is open that is not, or the reverse"
            assert inbox.receiver is expected.receiver, "another one waits"
            assert (self.router.find(inbox.key) is inbox) is expected.is_open, "another inbox is found"
        left, self.left = self.left, []
        assert self.router.take_left() == left, "who has waited in vain is not named"

    def end(self) -> None:
        """End it: who gives up all that waits gets to the end."""
        _hang_up(self, b"", b"")
        for _ in range(_ROUNDS):
            self.pump(_ROUNDS)
            self.check()
            for expected in self.inboxes:
                self.close(expected)
            self.check()
            assert not self.router.is_full, "full, and nothing waits"
            if self.ending is not None:
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
    if arguments[4]:
        program.open(key)


def _close_all(program: _Program, _: bytes, __: bytes) -> None:
    for expected in program.inboxes:
        program.close(expected)


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
    "take": lambda program, args, _: program.take(program.choose(args[0])),
    "wait": lambda program, args, _: program.wait(program.choose(args[0])),
    "pull": lambda program, _, __: program.pump(1),
    "close-all": _close_all,
    "pump": lambda program, _, __: program.pump(_ROUNDS),
    "open": lambda program, args, _: program.open(program.choose(args[0]).inbox.key),
    "close": lambda program, args, _: program.close(program.choose(args[0])),
}


def mutate(data: bytes, random: Random) -> bytes:
    """Change a step, or the order of steps."""
    return LANGUAGE.mutate(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return programs of which each tells a story."""
    return LANGUAGE.load("routing")
