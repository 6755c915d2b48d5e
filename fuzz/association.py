"""Harness: ``Association`` under a program that plays its peer, its user, the network and the clock.

The input is a program (:mod:`fuzz.program`). Its header chooses the state to begin in, the limits, tolerance and
timeouts, and how it ends; its steps deliver PDUs, broken PDUs and arbitrary bytes at any cuts, let time pass, ask for
anything at any time, and pull events and bytes in any order. What has to be true is in :mod:`fuzz.twins` and
:mod:`fuzz.witness`; beyond that, an answer that a policy makes is always accepted.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from dicom_proto.errors import AbortReason, PDUError
from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, Limits
from dicom_proto.testing.samples import FULL_OFFER, PARTIAL_ANSWER, PLAIN_OFFER, STRICT
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.pdu import (
    MCH_COMMAND,
    MCH_LAST,
    AAssociateAC,
    AAssociateRJ,
)
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts
from fuzz.negotiation import POLICIES, answer_to
from fuzz.program import Language, Operation, Step, until
from fuzz.twins import Ending, Twins
from fuzz.world import ACTS, WORDS, WORLD

__all__ = ["LANGUAGE", "SMALL_LIMITS", "TIMEOUTS", "check", "mutate", "seeds"]

SMALL_LIMITS: Final = Limits(
    associate_length=1024, fixed_length=16, receive_buffer=1024, send_pdu_length=64, send_queue=512, command_set=256,
    data_set=1024, operations=3,
)  # fmt: skip
TIMEOUTS: Final = (
    Timeouts(artim=10, request=15, release=10, response=30, idle=60),
    Timeouts(artim=10, request=None, release=None, response=None, idle=None),
)
_BLOCK: Final = bytes(1 << 16)  # what is sent; one object, so that it counts once as memory

LANGUAGE: Final = Language(
    2,
    *WORLD,
    Operation("request", 1),
    Operation("accept", 1),
    Operation("reject", 3),  # result, source, reason
    Operation("fragment", 4),  # context, control, size (2)
    Operation("release"),
    Operation("confirm"),
    Operation("abort", 1),
    Operation("fail", 1),
    Operation("attentive", 1),
    words=WORDS,
)


_CONNECT: Final = "connect; turn;"
_ACCEPTOR: Final = f"{_CONNECT} pdu associate-rq-full; turn; accept; turn;"
_REQUESTOR: Final = f"request 1; {_CONNECT} pdu associate-ac-full; turn;"
_COLLISION: Final = "release; turn; pdu release-rq; turn;"
_TO_STATE: Final = {
    State.Sta1: "",
    State.Sta2: _CONNECT,
    State.Sta3: f"{_CONNECT} pdu associate-rq-full; turn;",
    State.Sta4: "request 1;",
    State.Sta5: f"request 1; {_CONNECT}",
    State.Sta6: _ACCEPTOR,
    State.Sta7: f"{_REQUESTOR} release; turn;",
    State.Sta8: f"{_ACCEPTOR} pdu release-rq; turn;",
    State.Sta9: f"{_REQUESTOR} {_COLLISION}",
    State.Sta10: f"{_ACCEPTOR} {_COLLISION}",
    State.Sta11: f"{_REQUESTOR} {_COLLISION} confirm; turn;",
    State.Sta12: f"{_ACCEPTOR} {_COLLISION} pdu release-rp; turn;",
    State.Sta13: f"{_ACCEPTOR} abort; turn;",
}
_STARTS: Final = [LANGUAGE.steps(text) for text in (*_TO_STATE.values(), _REQUESTOR)]


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
        self._ending = list(Ending)[(flags >> 4 & 3) % 3]
        self._twins = Twins(
            lambda: Association(limits=limits, tolerance=tolerance, timeouts=timeouts),
            most_kept=limits.receive_buffer + limits.associate_length,
            eager=bool(flags & 8),
            timed=not flags & 4,
        )

    def run(self, steps: list[Step]) -> None:
        for step in until(lambda: self._twins.machine.wants_close, steps):
            if step.name in ACTS:
                ACTS[step.name](self._twins, step.arguments, step.payload)
            else:
                self._ask(step.name, step.arguments)
        self._twins.end(self._ending)

    def _ask(self, verb: str, arguments: bytes) -> None:
        calls: dict[str, Callable[[Association], object]] = {
            "release": lambda machine: machine.release(),
            "confirm": lambda machine: machine.confirm_release(),
            "abort": lambda machine: machine.abort((None, *AbortReason)[arguments[0] % 7]),
            "fail": lambda machine: machine.fail(PDUError("nonsense", abort_reason=[*AbortReason][arguments[0] % 6])),
            "attentive": lambda machine: setattr(machine, "is_attentive", bool(arguments[0] & 1)),
            "request": lambda machine: machine.request((PLAIN_OFFER, FULL_OFFER)[arguments[0] & 1]),
            "reject": lambda machine: machine.reject(AAssociateRJ(*arguments)),
        }
        match verb:
            case "accept":
                self._accept(arguments[0])
            case "fragment":
                self._send(arguments[0], arguments[1], int.from_bytes(arguments[2:], "big"))
            case _:
                self._twins.verb(calls[verb])

    def _accept(self, how: int) -> None:
        """Answer as one of the policies wants, or with an answer that has nothing to do with the offer."""
        machine = self._twins.machine
        if how >= len(POLICIES) or machine.offer is None:
            self._twins.verb(lambda machine: machine.accept(PARTIAL_ANSWER))
            return
        answer = answer_to(machine.offer, how)
        may = machine.state is State.Sta3
        if isinstance(answer, AAssociateAC):
            done = self._twins.verb(lambda machine: machine.accept(answer))
        else:
            done = self._twins.verb(lambda machine: machine.reject(answer))
        assert done is may, f"the answer of a policy in {machine.state.name}"

    def _send(self, context_id: int, control: int, size: int) -> None:
        """Send a piece of a message, in lengths that a user has: of any kind, but no more than there is room for."""
        data = memoryview(_BLOCK)[: min(size, max(64, self._twins.machine.write_room))]
        command, last = bool(control & MCH_COMMAND), bool(control & MCH_LAST)
        self._twins.verb(lambda machine: machine.send_fragment(context_id, data, command=command, last=last))


def mutate(data: bytes, random: Random) -> bytes:
    """Change a step, or the order of steps."""
    return LANGUAGE.mutate(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return programs of which each tells a story."""
    return LANGUAGE.load("association")
