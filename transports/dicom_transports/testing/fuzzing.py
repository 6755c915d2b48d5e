"""Fuzz a server over TCP: send conversations that are changed a little, see what is new, and that it lives.

May change. What is learnt from a target that cannot be looked into is what it answers, how the connection ends, and
how long that takes: a conversation that shows something new is kept, and is changed further. After each so many
connections, and after every sign of trouble, a C-ECHO tells whether the server lives. What killed it is made as small
as it can be.
"""

import re
import socket
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Final

from attrs import define, field, frozen

from dicom_proto.dimse.command_set import decode_command_set
from dicom_proto.errors import CommandSetError
from dicom_proto.testing.conversations import SEEDS, Conversation, disturb, mutate_conversation
from dicom_proto.testing.script import Cut, Send, Wait, dumps
from dicom_proto.testing.structure import split
from dicom_proto.upper_layer.pdu import PDUType
from dicom_transports.testing.shrinking import shrink, shrink_list
from dicom_transports.testing.target import Answer, Target

__all__ = ["Bounds", "Finding", "Fuzzer", "signature"]

_VALID: Final = SEEDS[:6]
_STATUS: Final = 0x00000900
_IN_FLIGHT: Final = 4
_SLOW: Final = 0.05  # seconds; what is faster says nothing
_RECENT: Final = 64
_MOMENT: Final = 1.0  # seconds that a replayed connection waits for the answer
_SMALLEST: Final = 20.0  # seconds for making one finding smaller, at least


def signature(answer: Answer) -> tuple[object, ...]:
    """Return what an answer shows of the server: the PDUs with their reasons and statuses, the end, and how slow."""
    shown: list[object] = [answer.end]
    for pdu in split(answer.data)[:16]:
        shown.append(pdu[0])
        match pdu[0]:
            case PDUType.A_ABORT | PDUType.A_ASSOCIATE_RJ:
                shown.append(pdu[7:10])
            case PDUType.A_ASSOCIATE_AC:
                shown.append(tuple(pdu[at + 6] for at in _items(pdu) if pdu[at] == 0x21 and at + 6 < len(pdu)))
            case PDUType.P_DATA_TF:
                shown.append(_status(pdu[12:]))
    slowness = int(answer.seconds / _SLOW).bit_length()
    return (*shown, slowness)


def _items(pdu: bytes) -> list[int]:
    places, at = [], 74
    while at + 4 <= len(pdu):
        places.append(at)
        at += 4 + int.from_bytes(pdu[at + 2 : at + 4], "big")
    return places


def _status(command: bytes) -> object:
    try:
        return decode_command_set(command).get(_STATUS)
    except CommandSetError:
        return None


@frozen
class Bounds:
    """How far a run goes: whichever comes first ends it.

    Attributes
    ----------
    seconds : float
        How long.
    connections : int
        How many; 0 for any number.
    rate : float
        How many a second at most; 0 for as many as there can be.
    echo_every : int
        After how many connections a C-ECHO shows that the server lives.
    tries : int
        How many conversations may be tried to make one finding smaller; in a quarter of the time, or in 20 seconds.
    findings : int
        After how many different findings to stop.
    """

    seconds: float = 60.0
    connections: int = 0
    rate: float = 0.0
    echo_every: int = 200
    tries: int = 2000
    findings: int = 20


@define
class Finding:
    """Something that killed or hung the server.

    Attributes
    ----------
    kind : str
        ``"died"``: its process has ended; ``"deaf"``: it lives, and answers no C-ECHO any more; ``"hung"``: it kept a
        connection open that had ended, and does so each time.
    said : str
        The last that it has said, if it was started from here.
    conversations : list of tuple of bytes
        What does it, as small as it could be made, one connection each; empty if it could not be repeated.
    """

    kind: str
    said: str
    conversations: list[Conversation]

    @property
    def size(self) -> int:
        """How many bytes are sent."""
        return sum(len(pdu) for conversation in self.conversations for pdu in conversation)

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.kind}-{sha256(repr(self.conversations).encode()).hexdigest()[:12]}"

    def scripts(self) -> list[str]:
        """Write what does it down as scripts (:mod:`dicom_proto.testing.script`), one for each connection."""
        return [dumps([*map(Send, conversation), Cut(), Wait(_MOMENT)]) for conversation in self.conversations]

    def keep(self, folder: Path) -> list[Path]:
        """Write the scripts into a folder; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, script in enumerate(self.scripts()):
            paths.append(folder / f"{self.name}-{number}.jsonl")
            paths[-1].write_text(script, encoding="ascii")
        return paths


@define
class Fuzzer:
    """A run.

    Parameters
    ----------
    target : Target
        The server; it is started.
    bounds : Bounds
        How far to go.
    seed : int
        The same conversations for the same answers.
    tell : callable
        Is given a line about what happens.
    """

    target: Target
    bounds: Bounds = Bounds()
    seed: int = 0
    tell: Callable[[str], None] = print
    connections: int = 0
    findings: list[Finding] = field(factory=list)
    corpus: list[Conversation] = field(factory=lambda: list(SEEDS))
    _seen: set[tuple[object, ...]] = field(factory=set)
    _known: set[str] = field(factory=set)
    _recent: deque[Conversation] = field(factory=lambda: deque(maxlen=_RECENT))
    _tries: int = 0
    _until: float = 0.0

    def run(self) -> list[Finding]:
        """Fuzz until a bound is reached; return what was found."""
        random = Random(self.seed)
        self.target.start()
        began = monotonic()
        flying: deque[tuple[Conversation, socket.socket]] = deque()
        while not self._is_enough(began):
            conversation = self._next(random)
            self._recent.append(conversation)
            self.connections += 1
            try:
                flying.append((conversation, self.target.begin(conversation)))
            except OSError:
                self._look(flying)
                continue
            if len(flying) >= _IN_FLIGHT and not self._learn(*flying.popleft()):
                self._look(flying)
            if self.connections % self.bounds.echo_every == 0:
                self._look(flying)
            if self.bounds.rate:
                sleep(max(0.0, began + self.connections / self.bounds.rate - monotonic()))
        self._look(flying)
        return self.findings

    def _is_enough(self, began: float) -> bool:
        bounds = self.bounds
        return (
            monotonic() - began >= bounds.seconds
            or (bounds.connections and self.connections >= bounds.connections)
            or len(self.findings) >= bounds.findings
        )

    def _next(self, random: Random) -> Conversation:
        if self.connections < len(SEEDS):
            return SEEDS[self.connections]
        if random.randrange(3) == 0:
            return disturb(random.choice(_VALID), random)[2]
        conversation = random.choice(self.corpus)
        for _ in range(random.choice((1, 1, 2, 4))):
            conversation = mutate_conversation(conversation, random)
        return conversation

    def _learn(self, conversation: Conversation, sock: socket.socket) -> bool:
        """Take an answer; return whether nothing looks like trouble."""
        answer = self.target.finish(sock)
        shown = signature(answer)
        if shown not in self._seen:
            self._seen.add(shown)
            self.corpus.append(conversation)
        return answer.end != "open"

    # --- trouble ------------------------------------------------------------------------------------------------------

    def _look(self, flying: deque[tuple[Conversation, socket.socket]]) -> None:
        """See whether the server lives; if not, find out why, and start it again."""
        is_well = True
        while flying:
            is_well = self._learn(*flying.popleft()) and is_well
        if self.target.is_alive() or (not self.target.has_ended() and self.target.is_alive()):
            self._recent.clear() if is_well else self._find_hung()
            return
        kind = "deaf" if self.target.exit_status is None else "died"
        self.target.stop(dump=True)
        said = self.target.said()
        suspects = list(self._recent)
        self._recent.clear()
        if (label := _label(kind, said)) in self._known:
            self.target.start()
            return
        self._known.add(label)
        self._report(Finding(kind, said, self._minimise(suspects)))
        self.target.start()

    def _find_hung(self) -> None:
        """Look for a conversation whose connection is kept open although it has ended, again and again."""
        suspects = [one for one in self._recent if self.target.ask(one).end == "open"]
        self._recent.clear()
        if suspects and "hung" not in self._known:
            self._known.add("hung")
            self._allow_tries()
            smaller = shrink(suspects[0], lambda one: self._may_try() and self.target.ask(one).end == "open")
            self._report(Finding("hung", "", [smaller]))

    def _report(self, finding: Finding) -> None:
        self.findings.append(finding)
        lines = finding.said.strip().splitlines()
        self.tell(
            f"{finding.kind} after {self.connections} connections: {len(finding.conversations)} conversation(s) of "
            f"{finding.size} bytes do it{': ' + lines[-1] if lines else ''}"
        )

    def _allow_tries(self) -> None:
        self._tries = self.bounds.tries
        self._until = monotonic() + max(_SMALLEST, self.bounds.seconds / 4)

    def _may_try(self) -> bool:
        self._tries -= 1
        return self._tries >= 0 and monotonic() < self._until

    def _minimise(self, suspects: list[Conversation]) -> list[Conversation]:
        """Return as little as kills the server; nothing if it cannot be started, or does not die again."""
        if not self.target.can_start:
            return suspects[-_IN_FLIGHT - 1 :]
        self._allow_tries()
        self.target.start()
        for suspect in reversed(suspects[-2 * _IN_FLIGHT :]):
            if self._kills([suspect]):
                return [shrink(suspect, lambda one: self._kills([one]))]
        if not self._kills(suspects):
            return []
        return list(shrink_list(suspects, lambda some: self._kills(list(some))))

    def _kills(self, conversations: list[Conversation]) -> bool:
        """Tell whether conversations, one after the other, kill a server that lives; it lives again afterwards."""
        if not self._may_try():
            return False
        for conversation in conversations:
            self.target.ask(conversation)
        if self.target.is_alive():
            return False
        self.target.start()
        return True


def _label(kind: str, said: str) -> str:
    """Return what two findings of the same cause have in common: the end of what was said, without its numbers."""
    return kind + re.sub(r"0x[0-9a-f]+|\d+", "#", "\n".join(said.splitlines()[-6:]))
