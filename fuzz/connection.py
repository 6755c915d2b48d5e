"""Harness: ``Connection`` under a program that plays its peer, its user, the network and the clock.

As :mod:`fuzz.association`, with messages: the peer sends commands, whole, in fragments, changed or broken, and data
sets that belong to them or do not; the user invokes, answers, cancels and streams whatever it likes. What has to be
true is in :mod:`fuzz.twins` and :mod:`fuzz.witness`; beyond that, neither window is ever exceeded.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, cast

from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.connection import STREAMED_BY_DEFAULT, Connection
from dicom_proto.dimse.messages import MESSAGES, Message, Request, Response, decode_message
from dicom_proto.dimse.outgoing import STREAMED, Data, Outgoing
from dicom_proto.errors import AbortReason
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE
from dicom_proto.testing.samples import COMMANDS, FULL_OFFER, PLAIN_OFFER, STATUSES, STRICT
from dicom_proto.upper_layer.pdu import MCH_COMMAND, MCH_LAST, AAssociateAC, AAssociateRJ, pack_pdv_header
from dicom_proto.upper_layer.state_table import State
from fuzz.association import SMALL_LIMITS, TIMEOUTS
from fuzz.negotiation import answer_to
from fuzz.program import Language, Operation, Step, until
from fuzz.twins import Ending, Twins
from fuzz.world import ACTS, WORLD, patched
from fuzz.world import WORDS as PDU_WORDS

__all__ = ["LANGUAGE", "WORDS", "a_request", "a_response", "check", "mutate", "piece", "seeds"]

NAMES: Final = tuple(COMMANDS)
BLOCK: Final = bytes(range(256)) * 64  # data sets that are sent are pieces of it
_REQUESTS: Final = tuple(name for name in NAMES if name.endswith("-rq") and name != "c-cancel-rq")
_HANDED_OUT: Final = (STREAMED_BY_DEFAULT, frozenset(MESSAGES.values()), frozenset[type[Message]]())

WORDS: Final = {
    **{name: number for number, name in enumerate(NAMES)},
    **{
        word: STATUSES.index(status)
        for word, status in zip(("success", "failure", "cancel", "pending"), (0, 0xA700, 0xFE00, 0xFF00), strict=True)
    },
    "same": 255,  # as the status of the example
}
"""Words for the messages and statuses in programs that are written down."""

LANGUAGE: Final = Language(
    2,
    *WORLD,
    Operation("command", 8),  # which, example, context, message ID, status, data set, size of fragments, cut
    Operation("broken-command", 7),  # which, context, message ID, offset (2), value, cut
    Operation("data-set", 4),  # context, size, size of fragments, cut
    Operation("request", 1),
    Operation("accept", 1),
    Operation("reject"),
    Operation("invoke", 5),  # which, example, context, message ID, size (255: in pieces)
    Operation("open-data", 1),  # message ID
    Operation("write-data", 2),  # which of those begun, size
    Operation("finish-data", 1),  # which of those begun
    Operation("answer", 4),  # which of those performed, example, status, size
    Operation("cancel", 1),  # message ID
    Operation("release"),
    Operation("confirm"),
    Operation("abort", 1),
    words=PDU_WORDS | WORDS,
)


def a_request(which: int, example: int, message_id: int) -> Request:
    """Return a request to send; with message ID 0 it is for the connection to choose one."""
    name = NAMES[which % len(NAMES)]
    examples = COMMANDS[name if name in _REQUESTS else _REQUESTS[which % len(_REQUESTS)]]
    request = cast(Request, decode_message(examples[example % len(examples)])[0])
    request.message_id = message_id or None
    return request


def a_response(request: Request, message_id: int, example: int, status: int) -> Response:
    """Return a response to send; it may not be possible with that status."""
    examples = COMMANDS[request.response.name.lower()]
    response = cast(Response, decode_message(examples[example % len(examples)])[0])
    response.message_id_being_responded_to = message_id
    if status < len(STATUSES):
        response.status = STATUSES[status]
    return response


def check(data: bytes) -> None:
    """Run a program."""
    header, steps = LANGUAGE.read(data)
    _Program(header[1]).run([*_STARTS[header[0] % len(_STARTS)], *steps])


class _Program:
    """A program that runs; ``flags`` is the second byte of its header."""

    def __init__(self, flags: int) -> None:
        limits = SMALL_LIMITS if flags & 1 else DEFAULT_LIMITS
        tolerance = STRICT if flags & 2 else DEFAULT_TOLERANCE
        timeouts = TIMEOUTS[flags >> 2 & 1]
        streamed = _HANDED_OUT[(flags >> 6) % len(_HANDED_OUT)]
        self._ending = list(Ending)[(flags >> 4 & 3) % 3]
        self._twins = Twins(
            lambda: Connection(limits=limits, tolerance=tolerance, timeouts=timeouts, streamed=streamed),
            most_kept=limits.receive_buffer + limits.associate_length + limits.command_set + limits.data_set,
            eager=bool(flags & 8),
            timed=not flags & 4,
        )
        # The data sets that are written in pieces.
        self._outgoing: dict[Connection, list[Outgoing]] = {machine: [] for machine in self._twins.machines}

    def run(self, steps: list[Step]) -> None:
        for step in until(lambda: self._twins.machine.wants_close, steps):
            self._perform(step)
            self._check_windows()
        self._twins.end(self._ending)

    def _perform(self, step: Step) -> None:
        name, arguments = step.name, step.arguments
        if name in _MESSAGES:
            self._twins.feed(_MESSAGES[name](arguments), arguments[-1])
        elif name in _VERBS:
            self._twins.verb(lambda machine: _VERBS[name](machine, self._outgoing[machine], arguments))
        else:
            ACTS[name](self._twins, arguments, step.payload)

    def _check_windows(self) -> None:
        machine = self._twins.machine
        assert len(machine.invoked) <= machine.invoked_window, "more is invoked than the window allows"
        # What arrives during a release is delivered, window or not.
        if machine.state is not State.Sta7:
            assert len(machine.performed) <= machine.performed_window, "more is performed than the window allows"


# --- what the peer sends: bytes, made from arguments of which the last is the cut ------------------------------------


def _command(arguments: bytes) -> bytes:
    """Return a command that is right, with another message ID and status; 1 is without a data set, 2 with one."""
    which, example, context_id, message_id, status, data_set, size, _ = arguments
    examples = COMMANDS[NAMES[which % len(NAMES)]]
    elements = _identified(examples[example % len(examples)], message_id)
    if 0x0900 in elements and status < len(STATUSES):
        elements[0x0900] = STATUSES[status].to_bytes(2, "little")
    if data_set in (1, 2):
        elements[0x0800] = (b"\1\1", b"\2\1")[data_set - 1]
    return _fragments(context_id, encode_command_set(elements), size, MCH_COMMAND)


def _broken_command(arguments: bytes) -> bytes:
    """Return a command that has a wrong byte."""
    which, context_id, message_id, *patch, _ = arguments
    elements = _identified(COMMANDS[NAMES[which % len(NAMES)]][-1], message_id)
    return _fragments(context_id, patched(encode_command_set(elements), bytes(patch)), 0, MCH_COMMAND)


def _identified(command: bytes, message_id: int) -> dict[int, bytes]:
    elements = decode_command_set(command)
    return elements | {tag: bytes((message_id, 0)) for tag in (0x0110, 0x0120) if tag in elements}


def _data_set(arguments: bytes) -> bytes:
    """Return a data set."""
    context_id, length, size, _ = arguments
    return _fragments(context_id, BLOCK[: length << 4], size, 0)


def _fragments(context_id: int, data: bytes, size: int, control: int) -> bytes:
    """Return a command or data set in fragments of 8 times ``size`` bytes; with 0 in one."""
    step = size << 3 or len(data) or 1
    pdus = []
    for at in range(0, max(len(data), 1), step):
        fragment = data[at : at + step]
        last = MCH_LAST if at + step >= len(data) else 0
        pdus.append(pack_pdv_header(context_id, control | last, len(fragment)) + fragment)
    return b"".join(pdus)


_MESSAGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "command": _command,
    "broken-command": _broken_command,
    "data-set": _data_set,
}


# --- what the user asks for ------------------------------------------------------------------------------------------


def _accept(machine: Connection, _: list[Outgoing], arguments: bytes) -> None:
    """Answer the offer as a policy wants."""
    if machine.offer is None:
        return
    answer = answer_to(machine.offer, arguments[0])
    if isinstance(answer, AAssociateAC):
        machine.accept(answer)
    else:
        machine.reject(answer)


def _invoke(machine: Connection, outgoing: list[Outgoing], arguments: bytes) -> None:
    which, example, context_id, message_id, size = arguments
    data: Data = STREAMED if size == 255 else piece(size) or None
    message_id = machine.send_request(a_request(which, example, message_id), context=context_id, data=data)
    if data is STREAMED:
        outgoing.append(machine.open_data(message_id))


def _answer(machine: Connection, _: list[Outgoing], arguments: bytes) -> None:
    """Answer one of the operations that are performed here; none of them, if there are not so many."""
    which, example, status, size = arguments
    message_id, request = 0, a_request(which, 0, 0)
    if which < len(machine.performed):
        message_id, operation = list(machine.performed.items())[which]
        request = operation.request
    machine.send_response(a_response(request, message_id, example, status), data=piece(size) or None)


def _write_data(_: Connection, outgoing: list[Outgoing], arguments: bytes) -> None:
    if outgoing:
        outgoing[arguments[0] % len(outgoing)].write(piece(arguments[1]))


def _finish_data(_: Connection, outgoing: list[Outgoing], arguments: bytes) -> None:
    if outgoing:
        outgoing[arguments[0] % len(outgoing)].finish()


def piece(size: int) -> memoryview:
    """Return a piece of a data set: 4 times ``size`` bytes."""
    return memoryview(BLOCK)[: size << 2]


_VERBS: Final[dict[str, Callable[[Connection, list[Outgoing], bytes], object]]] = {
    "request": lambda machine, _, args: machine.request((PLAIN_OFFER, FULL_OFFER)[args[0] & 1]),
    "accept": _accept,
    "reject": lambda machine, _, __: machine.reject(AAssociateRJ(1, 1, 1)),
    "invoke": _invoke,
    "write-data": _write_data,
    "finish-data": _finish_data,
    "open-data": lambda machine, _, args: machine.open_data(args[0]),
    "answer": _answer,
    "cancel": lambda machine, _, args: machine.send_cancel(args[0]),
    "release": lambda machine, _, __: machine.release(),
    "confirm": lambda machine, _, __: machine.confirm_release(),
    "abort": lambda machine, _, args: machine.abort((None, *AbortReason)[args[0] % 7]),
}

_PLAIN: Final = "connect; turn; pdu associate-rq; turn;"
_FULL: Final = "connect; turn; pdu associate-rq-full; turn;"
_STARTS: Final = [
    LANGUAGE.steps(text)
    for text in (
        "",
        f"{_PLAIN} accept; turn",
        f"{_FULL} accept; turn",
        f"{_FULL} accept 2; turn",
        "request; connect; turn; pdu associate-ac; turn",
        "request 1; connect; turn; pdu associate-ac-full; turn",
    )
]


def mutate(data: bytes, random: Random) -> bytes:
    """Change a step, or the order of steps."""
    return LANGUAGE.mutate(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return programs of which each tells a story."""
    return LANGUAGE.load("connection")
