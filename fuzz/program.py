"""Programs made of bytes: how a fuzzer that knows nothing but bytes plays a peer, a user, a network and a clock.

An input is a header of a few bytes, which its harness reads, and then steps. A step is the number of an operation, its
arguments (a byte each), and for some operations two bytes of length, big-endian, and so many bytes of payload. Any
bytes are a program: numbers are taken modulo what there is, and what is missing at the end counts as zeros.

Written down, a program is the header, a colon, and steps between semicolons: ``1 0: turn; pdu release-rq 3; turn``.
Arguments are numbers or words that the language has for them, those left out are zeros, and ``x`` begins a payload in
hexadecimal.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from dicom_proto.testing.mutators import mutate_bytes, mutate_list, mutate_stream

__all__ = ["Language", "Operation", "Step", "until"]

_PROGRAMS: Final = Path(__file__).parent / "programs"
_LONGEST: Final = 100  # steps; what comes behind them is not executed


@frozen
class Operation:
    """Something that a program can do: its name, how many arguments it has, and whether it has a payload."""

    name: str
    arguments: int = 0
    has_payload: bool = False


@frozen
class Step:
    """An operation with its arguments."""

    name: str
    arguments: bytes = b""
    payload: bytes = b""


class Language:
    """The operations of one harness; their order decides their numbers.

    Parameters
    ----------
    header : int
        Number of bytes before the steps.
    *operations : Operation
        At most 256.
    words : mapping of str to int
        Words for arguments.
    """

    def __init__(self, header: int, *operations: Operation, words: Mapping[str, int] = MappingProxyType({})) -> None:
        self._header = header
        self._words = words
        self._operations = operations
        self._numbers = {operation.name: number for number, operation in enumerate(operations)}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the operations."""
        return tuple(self._numbers)

    def read(self, data: bytes) -> tuple[bytes, list[Step]]:
        """Read the header and the steps of a program."""
        steps: list[Step] = []
        at = self._header
        while at < len(data) and len(steps) < _LONGEST:
            operation = self._operations[data[at] % len(self._operations)]
            start = at + 1
            at = start + operation.arguments
            arguments = data[start:at].ljust(operation.arguments, b"\0")
            payload = b""
            if operation.has_payload:
                length = int.from_bytes(data[at : at + 2], "big")
                payload = data[at + 2 : at + 2 + length]
                at += 2 + length
            steps.append(Step(operation.name, arguments, payload))
        return data[: self._header].ljust(self._header, b"\0"), steps

    def write(self, header: bytes, steps: Iterable[Step]) -> bytes:
        """Put a program together."""
        parts = [header.ljust(self._header, b"\0")]
        for step in steps:
            number = self._numbers[step.name]
            operation = self._operations[number]
            parts += bytes((number,)), step.arguments
            if operation.has_payload:
                parts += len(step.payload).to_bytes(2, "big"), step.payload
        return b"".join(parts)

    def load(self, name: str) -> dict[str, bytes]:
        """Read the programs in a file of the folder ``programs``, by their names.

        Each is a line, ``name = program``; lines that begin with spaces continue the last one, and ``#`` begins a
        comment.
        """
        text = (_PROGRAMS / f"{name}.txt").read_text(encoding="utf-8")
        lines = re.sub(r"\n +", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
        return {
            name.strip(): self.parse(program) for name, _, program in (line.partition("=") for line in lines if line)
        }

    def parse(self, text: str) -> bytes:
        """Return a program that is written down."""
        header, _, steps = text.partition(":")
        return self.write(bytes(map(int, header.split())), self.steps(steps))

    def steps(self, text: str) -> list[Step]:
        """Return steps that are written down."""
        return [self._step(*words) for step in text.split(";") if (words := step.split())]

    def _step(self, name: str, *words: str) -> Step:
        operation = self._operations[self._numbers[name]]
        payload = b"".join(bytes.fromhex(word[1:]) for word in words if word.startswith("x"))
        numbers = [self._words[word] if word in self._words else int(word, 0) for word in words if word[0] != "x"]
        return Step(name, bytes(numbers).ljust(operation.arguments, b"\0"), payload)

    def describe(self, data: bytes) -> str:
        """Write a program down, a step on a line."""
        header, steps = self.read(data)
        lines = [
            " ".join([step.name, *map(str, step.arguments), *(["x" + step.payload.hex()] if step.payload else [])])
            for step in steps
        ]
        return " ".join(map(str, header)) + ":\n" + ";\n".join(lines)

    def mutate(self, data: bytes, random: Random) -> bytes:
        """Change the header, a step, or the number and order of the steps."""
        header, steps = self.read(data)
        if random.randrange(10) == 0:
            return self.write(mutate_bytes(header, random)[: self._header], steps)
        return self.write(
            header, mutate_list(steps, random, lambda step: self._change(step, random), lambda: self._new(random))
        )

    def _change(self, step: Step, random: Random) -> Step:
        if step.payload and random.randrange(3):
            mutate = random.choice((mutate_bytes, mutate_stream))
            return evolve(step, payload=mutate(step.payload, random)[:0xFFFF])
        if not step.arguments:
            return self._new(random)
        arguments = bytearray(step.arguments)
        arguments[random.randrange(len(arguments))] = _argument(random)
        return evolve(step, arguments=bytes(arguments))

    def _new(self, random: Random) -> Step:
        operation = random.choice(self._operations)
        payload = mutate_stream(b"", random) if operation.has_payload else b""
        return Step(operation.name, bytes(_argument(random) for _ in range(operation.arguments)), payload)


def until(is_over: Callable[[], bool], steps: Iterable[Step]) -> Iterator[Step]:
    """Yield steps; once all is over only a few more, because the rest says nothing new and takes time."""
    patience = 5
    for step in steps:
        patience -= is_over()
        if patience < 0:
            return
        yield step


def _argument(random: Random) -> int:
    """Return a byte; a small one, mostly, because most arguments choose between a few things."""
    return random.randrange(256) if random.randrange(4) == 0 else random.randrange(16)
