"""Mutations that know what PDUs and command sets are made of, so that most results get past the first check.

May change. Each function takes bytes, which need not be well-formed, and returns others: the same for the same seed of
the random generator that it is given. Lengths are mended, or some of those that contain each other are wrong; exactly
one is with :func:`dicom_proto.testing.structure.break_length`.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Literal, TypeAlias, TypeVar

from attrs import frozen

from dicom_proto.testing.samples import COMMANDS, PDUS, TOKENS
from dicom_proto.testing.structure import FIXED
from dicom_proto.upper_layer.items import ItemType
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType

__all__ = ["mutate_bytes", "mutate_command_set", "mutate_list", "mutate_pdu", "mutate_stream"]

_T = TypeVar("_T")
_Part: TypeAlias = tuple[bytes, bytes]  # what stands before the length, and what the length counts

_PDUS: Final = tuple(PDUS.values())
_COMMANDS: Final = tuple(command for commands in COMMANDS.values() for command in commands)
_FIXED: Final = {kind: fixed for kind, fixed in FIXED.items() if kind != PDUType.P_DATA_TF}  # those with items
_INTEGERS: Final = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF)


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Change, put in, take out, or cut off some bytes."""
    at = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0:
            return data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
        case 1:
            return data[:at] + random.choice(TOKENS) + data[at:]
        case 2:
            token = random.choice(TOKENS)
            return data[:at] + token + data[at + len(token) :]
        case 3:
            width = random.choice((1, 2, 4))
            number = random.choice(_INTEGERS) & (1 << 8 * width) - 1
            return data[:at] + number.to_bytes(width, random.choice(("big", "little"))) + data[at + width :]
        case 4:
            return data[:at] + data[at + random.randint(1, 8) :]
        case _:
            return random.choice((data[:at], random.choice(TOKENS), b"", data + bytes((random.randrange(256),))))


def mutate_list(parts: Sequence[_T], random: Random, change: Callable[[_T], _T], new: Callable[[], _T]) -> list[_T]:
    """Change one of several parts, mostly; or drop, repeat or move one, or put in a new one."""
    changed = list(parts)
    at = random.randrange(len(changed) + 1)
    if at == len(changed):
        return [*changed, new()]
    match random.randrange(10):
        case 0:
            del changed[at]
        case 1:
            changed.insert(random.randrange(len(changed) + 1), changed[at])
        case 2:
            changed.insert(random.randrange(len(changed)), changed.pop(at))
        case 3:
            changed.insert(at, new())
        case _:
            changed[at] = change(changed[at])
    return changed


@frozen
class _Layout:
    """How a sequence of parts is laid out: what a part has before its length, and how that is written."""

    head: int
    width: int
    order: Literal["big", "little"] = "big"

    def split(self, data: bytes) -> list[_Part]:
        """Cut bytes into parts; the last may be cut short."""
        parts = []
        while data:
            start = self.head + self.width
            stop = start + int.from_bytes(data[self.head : start], self.order)
            parts.append((data[: self.head].ljust(self.head, b"\0"), data[start:stop]))
            data = data[stop:]
        return parts

    def join(self, parts: list[_Part], random: Random) -> bytes:
        """Put parts together with their right lengths; with one of them wrong once in a while."""
        wrong = random.randrange(len(parts)) if parts and random.randrange(12) == 0 else None
        joined: list[bytes] = []
        for number, (head, value) in enumerate(parts):
            length = len(value) if number != wrong else max(0, len(value) + random.choice((-2, -1, 1, 2, 255)))
            joined += head, (length & (1 << 8 * self.width) - 1).to_bytes(self.width, self.order), value
        return b"".join(joined)


_STREAM: Final = _Layout(2, 4)
_ITEMS: Final = _Layout(2, 2)
_ELEMENTS: Final = _Layout(4, 4, "little")


def _mutate_items(data: bytes, random: Random) -> bytes:
    def change(item: _Part) -> _Part:
        head, value = item
        if random.randrange(8) == 0:
            return bytes((random.choice(tuple(ItemType)), 0)), value
        fixed = _FIXED.get(head[0])
        if fixed is None or len(value) < fixed:
            return head, mutate_bytes(value, random)
        if fixed and random.randrange(4) == 0:
            return head, mutate_bytes(value[:fixed], random)[:fixed].ljust(fixed, b"\0") + value[fixed:]
        return head, value[:fixed] + _mutate_items(value[fixed:], random)

    def new() -> _Part:
        return random.choice(_ITEMS.split(random.choice(_PDUS[:5])[74:]))

    return _ITEMS.join(mutate_list(_ITEMS.split(data), random, change, new), random)


def mutate_pdu(data: bytes, random: Random) -> bytes:
    """Change one PDU; its length field is mended."""
    if len(data) < HEADER_LENGTH or random.randrange(16) == 0:
        return random.choice(_PDUS)
    body = data[HEADER_LENGTH:]
    fixed = _FIXED.get(data[0])
    if fixed is None or len(body) < fixed:
        body = mutate_bytes(body, random)
    elif random.randrange(8) == 0:
        body = mutate_bytes(body[:fixed], random)[:fixed].ljust(fixed, b"\0") + body[fixed:]
    else:
        body = body[:fixed] + _mutate_items(body[fixed:], random)
    return data[:2] + len(body).to_bytes(4, "big") + body


def mutate_stream(data: bytes, random: Random) -> bytes:
    """Change one of several PDUs, or their number and order."""
    pdus: list[bytes] = [head + len(body).to_bytes(4, "big") + body for head, body in _STREAM.split(data)]
    changed = mutate_list(pdus, random, lambda pdu: mutate_pdu(pdu, random), lambda: random.choice(_PDUS))
    return b"".join(changed)


def mutate_command_set(data: bytes, random: Random) -> bytes:
    """Change one element of a command set, or their number and order; lengths are mended."""

    def change(element: _Part) -> _Part:
        tag, value = element
        if random.randrange(6) == 0:
            return new()[0], value
        return tag, mutate_bytes(value, random)

    def new() -> _Part:
        return random.choice(_ELEMENTS.split(random.choice(_COMMANDS)))

    if random.randrange(16) == 0:
        return random.choice(_COMMANDS)
    return _ELEMENTS.join(mutate_list(_ELEMENTS.split(data), random, change, new), random)
