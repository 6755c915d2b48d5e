"""A scripted peer: it sends these bytes, expects that answer, waits, and cuts or resets the connection.

May change. A script is a list of steps; a :class:`Player` plays it without I/O and without a clock. In memory
:func:`play` is the network between it and a machine; over sockets :mod:`dicom_transports.testing.scripted` is. Either
side can be played: what matters is who sends first.

Written down a script is JSON lines, a step each: ``{"send": "05000000000400000000"}``, ``{"expect": "A-RELEASE-RP"}``.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from attrs import frozen

from dicom_proto.testing.pair import Machine, drain, sent
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType

__all__ = [
    "Cut",
    "Expect",
    "Player",
    "Reset",
    "Script",
    "ScriptError",
    "Send",
    "Step",
    "Wait",
    "dumps",
    "loads",
    "play",
]

_NAMES: Final = {kind.value: kind.name.replace("_", "-") for kind in PDUType}  # A-ASSOCIATE-RQ
_END: Final = "END"


class ScriptError(AssertionError):
    """The other side did something else than the script expects."""


@frozen
class Send:
    """Send some bytes."""

    data: bytes


@frozen
class Expect:
    """Expect the next PDU, or the end of the connection.

    Attributes
    ----------
    what : str
        The name of the PDU, such as ``"A-ASSOCIATE-AC"``, or ``"END"``.
    within : float
        Seconds that it may take.
    containing : bytes
        What is somewhere in it.
    """

    what: str
    within: float = 10.0
    containing: bytes = b""


@frozen
class Wait:
    """Do nothing for some seconds; what arrives is kept for the next :class:`Expect`."""

    seconds: float


@frozen
class Cut:
    """Close the connection, in the order of things: what was sent still arrives."""


@frozen
class Reset:
    """Reset the connection: what was sent may be lost."""


Step: TypeAlias = Send | Expect | Wait | Cut | Reset
Script: TypeAlias = Iterable[Step]


def dumps(script: Script) -> str:
    """Write a script down."""
    return "".join(json.dumps(_record(step)) + "\n" for step in script)


def _record(step: Step) -> dict[str, str | float | bool]:
    match step:
        case Send(data):
            return {"send": data.hex()}
        case Expect(what, within, containing):
            return {"expect": what, "within": within, "containing": containing.hex()}
        case Wait(seconds):
            return {"wait": seconds}
        case Cut():
            return {"cut": True}
    return {"reset": True}


def loads(text: str) -> list[Step]:
    """Read a script that is written down.

    Raises
    ------
    ValueError
        If a line is none; it says which.
    """
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            steps.append(_step(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} is no step of a script: {error}") from error
    return steps


def _step(record: dict[str, str]) -> Step:
    match record:
        case {"send": data}:
            return Send(bytes.fromhex(data))
        case {"expect": what}:
            return Expect(what, float(record.get("within", 10.0)), bytes.fromhex(record.get("containing", "")))
        case {"wait": seconds}:
            return Wait(float(seconds))
        case {"cut": _}:
            return Cut()
        case {"reset": _}:
            return Reset()
    raise ValueError(f"it has {', '.join(record) or 'nothing'}")


class Player:
    """Plays a script: whoever carries bytes feeds it, asks what to send, and tells it the time.

    Parameters
    ----------
    script : iterable of Step
        What to do.

    Attributes
    ----------
    received : list of bytes
        The PDUs that have come, as far as they were expected.
    """

    def __init__(self, script: Script) -> None:
        self._steps = deque(script)
        self._unread = b""
        self._has_ended = False
        self._deadline: float | None = None  # of the step that waits
        self.received: list[bytes] = []

    @property
    def is_done(self) -> bool:
        """Whether all steps are done."""
        return not self._steps

    def receive_data(self, data: bytes) -> None:
        """Take what has arrived; ``b""`` for the end."""
        self._unread += data
        self._has_ended = self._has_ended or not data

    def next_deadline(self) -> float | None:
        """Return when time alone makes it go on, in seconds of the clock that :meth:`advance` is told; or ``None``."""
        return self._deadline

    def advance(self, now: float) -> list[Send | Cut | Reset]:
        """Do the steps that can be done, and return what is for the network.

        Raises
        ------
        ScriptError
            If what has come is not what was expected, or nothing has come for too long.
        """
        acts: list[Send | Cut | Reset] = []
        while self._steps:
            step = self._steps[0]
            if isinstance(step, Send | Cut | Reset):
                acts.append(step)
            elif not self._is_over(step, now):
                break
            self._steps.popleft()
            self._deadline = None
        return acts

    def _is_over(self, step: Expect | Wait, now: float) -> bool:
        if self._deadline is None:
            self._deadline = now + (step.seconds if isinstance(step, Wait) else step.within)
        is_late = now >= self._deadline
        if isinstance(step, Wait):
            return is_late
        is_there = self._take(step)
        if is_late and not is_there:
            raise ScriptError(f"no {step.what} within {step.within:g} s")
        return is_there

    def _take(self, expected: Expect) -> bool:
        """Take the next PDU, or the end, if it is there."""
        length = HEADER_LENGTH + int.from_bytes(self._unread[2:HEADER_LENGTH], "big")
        if len(self._unread) < max(length, HEADER_LENGTH):
            if not self._has_ended:
                return False
            got, pdu = _END, b""
        else:
            pdu, self._unread = self._unread[:length], self._unread[length:]
            got = _NAMES.get(pdu[0], f"PDU of type {pdu[0]:02X}H")
            self.received.append(pdu)
        if got != expected.what:
            raise ScriptError(f"{got} instead of {expected.what}")
        if expected.containing not in pdu:
            raise ScriptError(f"the {got} does not contain {expected.containing.hex(' ')}")
        return True


def play(
    script: Script, machine: Machine, user: Callable[[Machine, Any], None] | None = None, *, now: float = 0.0
) -> Player:
    """Play a script against a machine in memory, with simulated time, until the script is done.

    Parameters
    ----------
    script : iterable of Step
        What the peer does.
    machine : Association or Connection
        Its connection is made.
    user : callable, optional
        Is given the machine and each of its events, and may answer: ``lambda machine, event: machine.accept(...)``.
    now : float
        The time in seconds at which the script begins.

    Returns
    -------
    Player
        It has what was received.

    Raises
    ------
    ScriptError
        If the machine does something else than the script expects.
    """
    player, has_ended = Player(script), False
    while True:
        for act in player.advance(now):
            if isinstance(act, Send):
                machine.receive_data(act.data, now=now)
            else:
                machine.receive_eof(now=now)
        _tell(machine, user)
        data = sent(machine, now)
        _tell(machine, user)
        if data:
            player.receive_data(data)
        elif machine.wants_close and not has_ended:
            has_ended = True
            player.receive_data(b"")
        elif player.is_done:
            return player
        else:
            deadlines = (player.next_deadline(), machine.next_deadline())
            now = min(deadline for deadline in deadlines if deadline is not None)
            machine.handle_timeout(now=now)


def _tell(machine: Machine, user: Callable[[Machine, Any], None] | None) -> None:
    for event in drain(machine):
        if user is not None:
            user(machine, event)
