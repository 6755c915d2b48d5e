"""Harness: two ``Connection`` ends and the network between them.

The input is a program (:mod:`fuzz.program`). Its header chooses what is negotiated, the limits and timeouts of both
ends, and how it ends. Its steps let either user ask for anything, carry the bytes in pieces of any size, let time pass,
and close the connection; some change, lose or insert bytes on the way.

* As long as the network is honest, nobody accuses the other of a breach of the protocol; every message arrives as it
  was sent, in order, with its data; and whatever one end waits for, the other knows that it owes.
* Whatever the network does, what :mod:`fuzz.witness` says is true, and both ends get to Sta1.
"""

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from attrs import define, field

from dicom_proto.dimse.connection import STREAMED_BY_DEFAULT, Connection
from dicom_proto.dimse.events import CancelReceived, ConnectionEvent, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import MESSAGES, CCancelRQ, Message, Request
from dicom_proto.dimse.outgoing import STREAMED, Outgoing
from dicom_proto.errors import AbortReason, LimitExceededError, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS
from dicom_proto.testing.samples import FULL_OFFER, PLAIN_OFFER
from dicom_proto.upper_layer.events import Aborted, AbortOrigin, ConnectionClosed
from dicom_proto.upper_layer.pdu import AAssociateAC
from dicom_proto.upper_layer.state_table import State
from fuzz.association import SMALL_LIMITS, TIMEOUTS
from fuzz.connection import WORDS, a_request, a_response, piece
from fuzz.negotiation import answer_to
from fuzz.program import Language, Operation, Step, until
from fuzz.twins import Ending
from fuzz.witness import Story, Wire, snapshot
from fuzz.world import SECONDS, patched

__all__ = ["LANGUAGE", "check", "mutate", "seeds"]

_ROUNDS: Final = 12  # more than two ends need until neither has anything to say

LANGUAGE: Final = Language(
    2,
    Operation("exchange"),
    Operation("carry", 2),  # from which end, bytes (0: all)
    Operation("write", 2),  # which end, limit
    Operation("drain", 2),  # which end, events (0: all)
    Operation("wait", 1),
    Operation("expire", 2),  # which end, whether to wait for it
    Operation("hang-up", 1),  # which end
    Operation("tamper", 4),  # from which end, offset (2), value
    Operation("insert", 1, has_payload=True),  # from which end
    Operation("lose", 2),  # from which end, bytes
    # What the users ask for; the first argument is the end.
    Operation("invoke", 5),  # which, example, context, size (255: in pieces)
    Operation("write-data", 3),  # which of those begun, size
    Operation("finish-data", 2),  # which of those begun
    Operation("answer", 5),  # which of those performed, example, status, size
    Operation("cancel", 2),  # which of those outstanding
    Operation("release", 1),
    Operation("confirm", 1),
    Operation("abort", 2),
    words=WORDS,
)


@define
class _Sent:
    """A message that was sent, and its data as far as it was written."""

    message: Message
    data: bytearray | None = None


@define
class _End:
    """One of the two ends, what it has sent, and what is on the way from it."""

    machine: Connection
    sent: deque[_Sent] = field(factory=deque)  # and has not arrived
    on_the_way: bytearray = field(factory=bytearray)
    arriving: _Sent | None = None  # the message from the other end whose data is arriving
    arrived: bytearray = field(factory=bytearray)  # of its data
    streamed: list[tuple[Outgoing, bytearray]] = field(factory=list)  # data sets that are being written
    hung_up: bool = False
    story: Story = field(factory=Story)
    wire: Wire = field(factory=Wire)


def check(data: bytes) -> None:
    """Run a program."""
    header, steps = LANGUAGE.read(data)
    _Dialogue(*header).run(steps)


class _Dialogue:
    """Two ends of an association, which is established if the policy that the header chooses allows it."""

    def __init__(self, negotiated: int, flags: int) -> None:
        streamed = frozenset(MESSAGES.values()) if flags & 8 else STREAMED_BY_DEFAULT
        self._ends = [
            _End(Connection(limits=limits, timeouts=TIMEOUTS[flags >> 2 & 1], streamed=streamed))
            for limits in (SMALL_LIMITS if flags & bit else DEFAULT_LIMITS for bit in (1, 2))
        ]
        self._has_equal_limits = not flags & 3
        self._ending = list(Ending)[(flags >> 4 & 3) % 3]
        self._now = 0.0
        self._honest = True
        self._associate(negotiated)

    def _associate(self, negotiated: int) -> None:
        requestor, acceptor = (end.machine for end in self._ends)
        offer = (FULL_OFFER, PLAIN_OFFER)[negotiated & 1]
        requestor.request(offer)
        for machine in (requestor, acceptor):
            machine.connection_made(now=0.0)
        self.exchange()
        answer = answer_to(offer, negotiated >> 1)
        if isinstance(answer, AAssociateAC):
            acceptor.accept(answer)
        else:
            acceptor.reject(answer)
        self.exchange()

    def run(self, steps: list[Step]) -> None:
        for step in until(lambda: all(end.machine.wants_close for end in self._ends), steps):
            _perform(self, step)
        self.exchange()
        self._end()

    # --- the network --------------------------------------------------------------------------------------------------

    def exchange(self) -> None:
        """Carry everything to and fro until nobody has anything to say."""
        for _ in range(_ROUNDS):
            moved = False
            for end, other in self.both():
                self.write(end, None)
                moved = moved or (bool(end.on_the_way) and other.machine.wants_read)
                self.carry(end, other, 0)
                self.drain(other, end, 0)
            if not moved:
                break
        else:
            raise AssertionError("they never stop talking")
        self._check_debts()

    def both(self) -> list[tuple[_End, _End]]:
        """Return each end with the other."""
        one, two = self._ends
        return [(one, two), (two, one)]

    def carry(self, end: _End, other: _End, count: int) -> None:
        """Carry so many bytes from one end to the other, 0 for all, if they are wanted there."""
        machine = other.machine
        if machine.wants_read and end.on_the_way:
            block = bytes(end.on_the_way[: count or None])
            del end.on_the_way[: len(block)]
            machine.receive_data(block, now=self._now)
        if not end.on_the_way and (end.hung_up or end.machine.wants_close):
            machine.receive_eof(now=self._now)

    def write(self, end: _End, limit: int | None) -> None:
        """Take what an end has to send."""
        end.on_the_way += end.wire.carry(end.machine, end.machine.data_to_send(limit, now=self._now))
        if end.hung_up:
            end.on_the_way.clear()

    def hang_up(self, end: _End, other: _End) -> None:
        """Close the connection at one end; what is on the way from there still arrives."""
        end.hung_up = True
        other.on_the_way.clear()
        end.machine.receive_eof(now=self._now)

    def expire(self, end: _End, *, jump: bool) -> None:
        """Let the deadlines of an end act that have come; with ``jump``, when the next one comes."""
        deadline = end.machine.next_deadline()
        if jump and deadline is not None:
            self._now = max(self._now, deadline)
        end.machine.handle_timeout(self._now)

    def spoil(self, end: _End, data: bytes | bytearray) -> None:
        """Replace what is on the way from an end."""
        if data != end.on_the_way:
            end.on_the_way[:] = data
            self._honest = False

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    # --- what is told -------------------------------------------------------------------------------------------------

    def drain(self, end: _End, other: _End, count: int) -> None:
        """Pull so many events of an end, 0 for all."""
        pulled = 0
        while pulled < count or not count:
            event = end.machine.next_event()
            if event is None:
                return
            end.story.tell(end.machine, event)
            if isinstance(event, ConnectionClosed):
                return
            if self._honest:
                self._check_arrival(end, other, event)
            pulled += 1

    def _check_arrival(self, end: _End, other: _End, event: ConnectionEvent) -> None:
        """See that what arrives at an end is what the other has sent."""
        match event:
            case Aborted():
                may_refuse = isinstance(event.error, LimitExceededError)
                assert may_refuse or event.origin is not AbortOrigin.LOCAL_PROVIDER, event.error
            case RequestReceived():
                self._begin(end, other, event.request, event.has_data)
            case ResponseReceived():
                self._begin(end, other, event.response, event.has_data)
            case CancelReceived():
                self._begin(end, other, CCancelRQ(message_id_being_responded_to=event.message_id), False)
            case DataChunk():
                assert end.arriving is not None, "data of nothing"
                end.arrived += event.data
                assert not event.last or end.arrived == end.arriving.data, "other data than was sent"
            case _:
                pass

    def _begin(self, end: _End, other: _End, message: Message, has_data: bool) -> None:
        sent = other.sent.popleft()
        while sent.message != message and self._may_be_lost(end, other, sent.message):
            sent = other.sent.popleft()
        assert sent.message == message, f"{sent.message} was sent, and {message} has arrived"
        assert has_data is (sent.data is not None), "a data set is announced that was not sent, or the reverse"
        end.arriving, end.arrived = sent, bytearray()

    @staticmethod
    def _may_be_lost(receiver: _End, sender: _End, message: Message) -> bool:
        """Tell whether nobody is told of a message: a cancel that came too late, a request that could not begin."""
        has_ended = sender.hung_up or receiver.hung_up
        return isinstance(message, CCancelRQ) or (has_ended and isinstance(message, Request))

    def _check_debts(self) -> None:
        """See that what one end waits for is known to the other, once everything has arrived."""
        if not self._honest or not self._has_equal_limits:
            return
        if any(end.machine.state is not State.Sta6 or end.hung_up or end.streamed for end in self._ends):
            return
        for end, other in self.both():
            sent = {number for number, operation in end.machine.invoked.items() if operation.is_sent}
            assert sent <= set(other.machine.performed) <= set(end.machine.invoked), "waits, and nobody answers"

    # --- what the users ask for ---------------------------------------------------------------------------------------

    def ask(self, end: _End, call: Callable[[_End, bytes], None], arguments: bytes) -> None:
        """Let a user ask for something; if it is not allowed, nothing has changed."""
        before = snapshot(end.machine)
        try:
            call(end, arguments)
        except LocalProtocolError as error:
            refusal = error
        else:
            return
        assert snapshot(end.machine) == before, f"refused, and something has changed: {refusal}"

    def _end(self) -> None:
        """Drive both ends to Sta1."""
        ends = self.both()
        if self._ending is Ending.EOF:
            self.hang_up(*ends[0])
        elif self._ending is Ending.ABORT:
            ends[1][0].machine.abort()
        for _ in range(_ROUNDS):
            self.exchange()
            if all(end.machine.wants_close for end in self._ends):
                break
            for end in self._ends:
                if end.machine.next_deadline() is None:
                    end.machine.abort()  # the user's turn, or it waits without a timer
                elif not any(one.on_the_way and two.machine.wants_read for one, two in ends):
                    self.expire(end, jump=True)
        for end, _ in ends:
            assert end.machine.wants_close, f"stuck in {end.machine.state.name}"
            assert isinstance(end.machine.next_event(), ConnectionClosed), "the end is told for ever"


def _invoke(end: _End, arguments: bytes) -> None:
    which, example, context_id, size = arguments
    request = a_request(which, example, 0)
    data = STREAMED if size == 255 else piece(size) or None
    message_id = end.machine.send_request(request, context=context_id, data=data)
    written = None if data is None else bytearray(b"" if data is STREAMED else piece(size))
    end.sent.append(_Sent(request, written))
    if data is STREAMED and written is not None:
        end.streamed.append((end.machine.open_data(message_id), written))


def _outstanding(end: _End, which: int) -> int:
    """Return the message ID of one of the operations that an end waits for; 0, which is none, if it does not."""
    message_ids = list(end.machine.invoked)
    return message_ids[which % len(message_ids)] if message_ids else 0


def _write_data(end: _End, arguments: bytes) -> None:
    if end.streamed:
        outgoing, written = end.streamed[arguments[0] % len(end.streamed)]
        outgoing.write(piece(arguments[1]))
        written += piece(arguments[1])


def _finish_data(end: _End, arguments: bytes) -> None:
    if end.streamed:
        at = arguments[0] % len(end.streamed)
        end.streamed[at][0].finish()
        del end.streamed[at]


def _answer(end: _End, arguments: bytes) -> None:
    which, example, status, size = arguments
    performed = list(end.machine.performed.items())
    if performed:
        message_id, operation = performed[which % len(performed)]
        response = a_response(operation.request, message_id, example, status)
        end.machine.send_response(response, data=piece(size) or None)
        end.sent.append(_Sent(response, bytearray(piece(size)) if size else None))


def _cancel(end: _End, arguments: bytes) -> None:
    message_id = _outstanding(end, arguments[0])
    end.machine.send_cancel(message_id)
    end.sent.append(_Sent(CCancelRQ(message_id_being_responded_to=message_id)))


_VERBS: Final[dict[str, Callable[[_End, bytes], None]]] = {
    "invoke": _invoke,
    "write-data": _write_data,
    "finish-data": _finish_data,
    "answer": _answer,
    "cancel": _cancel,
    "release": lambda end, _: end.machine.release(),
    "confirm": lambda end, _: end.machine.confirm_release(),
    "abort": lambda end, args: end.machine.abort((None, *AbortReason)[args[0] % 7]),
}


def _spoiled(end: _End, name: str, arguments: bytes, payload: bytes) -> bytes | bytearray:
    """Return what is on the way from an end after something has happened to it."""
    data = end.on_the_way
    match name:
        case "tamper":
            return patched(bytes(data), arguments[1:]) if data else data
        case "insert":
            return payload + data
        case _:
            return data[arguments[1] :]


def _perform(dialogue: _Dialogue, step: Step) -> None:
    """Perform a step; the first argument of most chooses the end that it is about."""
    name, arguments = step.name, step.arguments
    if name == "exchange":
        dialogue.exchange()
        return
    if name == "wait":
        dialogue.wait(SECONDS[arguments[0] % len(SECONDS)])
        return
    end, other = dialogue.both()[arguments[0] & 1]
    if name in _VERBS:
        dialogue.ask(end, _VERBS[name], arguments[1:])
    elif name in _NETWORK:
        _NETWORK[name](dialogue, end, other, arguments)
    else:
        dialogue.spoil(end, _spoiled(end, name, arguments, step.payload))


_NETWORK: Final[dict[str, Callable[[_Dialogue, _End, _End, bytes], None]]] = {
    "carry": lambda dialogue, end, other, args: dialogue.carry(end, other, args[1]),
    "write": lambda dialogue, end, _, args: dialogue.write(end, args[1] << 3),
    "drain": lambda dialogue, end, other, args: dialogue.drain(end, other, args[1]),
    "expire": lambda dialogue, end, _, args: dialogue.expire(end, jump=bool(args[1] & 1)),
    "hang-up": lambda dialogue, end, other, _: dialogue.hang_up(end, other),
}


def mutate(data: bytes, random: Random) -> bytes:
    """Change a step, or the order of steps."""
    return LANGUAGE.mutate(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return programs of which each tells a story."""
    return LANGUAGE.load("dialogue")
