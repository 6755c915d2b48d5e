"""What a PDU is made of, as a tree of parts with a length field each, so that lengths can be mended, or one broken.

May change. Any bytes are a tree: what is cut short, or says a wrong length, is taken as far as it is there.
"""

from collections.abc import Iterable, Iterator
from random import Random
from typing import Final

from attrs import evolve, field, frozen

from dicom_proto.upper_layer.items import ItemType
from dicom_proto.upper_layer.pdu import PDUType

__all__ = ["FIXED", "Part", "break_length", "mend_lengths", "parse", "split"]

FIXED: Final[dict[int, int]] = {
    PDUType.A_ASSOCIATE_RQ: 68,
    PDUType.A_ASSOCIATE_AC: 68,
    PDUType.P_DATA_TF: 0,
    ItemType.PROPOSED_CONTEXT: 4,
    ItemType.CONTEXT_RESULT: 4,
    ItemType.USER_INFORMATION: 0,
}
"""How many bytes stand before the parts in a PDU or item that has some (PS3.8 9.3)."""

_WRONG: Final = (-2, -1, 1, 2, 255)


@frozen(eq=False)
class Part:
    """A PDU, an item, or a PDV: what stands before its length, and what the length counts.

    Attributes
    ----------
    head : bytes
        What stands before the length field: type and reserved byte; nothing for a PDV.
    width : int
        Bytes of the length field, big-endian: 4 or 2.
    value : bytes
        What stands before the parts, or all there is.
    parts : tuple of Part
        The items in it.
    off : int
        What the length field says too much; 0 for the right length.
    """

    head: bytes
    width: int
    value: bytes = b""
    parts: tuple["Part", ...] = ()
    off: int = field(default=0)

    @property
    def kind(self) -> int:
        """The type of a PDU or an item; -1 for a PDV."""
        return self.head[0] if self.head else -1

    def encode(self) -> bytes:
        """Return the bytes."""
        content = self.value + b"".join(part.encode() for part in self.parts)
        length = max(0, len(content) + self.off) & (1 << 8 * self.width) - 1
        return self.head + length.to_bytes(self.width, "big") + content

    def walk(self) -> Iterator["Part"]:
        """Yield this part and all that are in it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def replace(self, old: "Part", *new: "Part") -> "Part":
        """Return the tree with some parts, or none, in the place of one."""
        if self is old:
            return new[0]
        if old not in self.walk():
            return self
        parts: list[Part] = []
        for part in self.parts:
            parts += new if part is old else (part.replace(old, *new),)
        return evolve(self, parts=tuple(parts))


def split(data: bytes) -> list[bytes]:
    """Cut a stream into its PDUs; the last may be cut short."""
    pdus: list[bytes] = []
    while data:
        stop = 6 + int.from_bytes(data[2:6], "big")
        pdus.append(data[:stop])
        data = data[stop:]
    return pdus


def parse(data: bytes) -> Part:
    """Return the tree of one PDU; its length field is not looked at."""
    return _part(data[:2].ljust(2, b"\0"), 4, data[6:])


def _part(head: bytes, width: int, content: bytes) -> Part:
    fixed = FIXED.get(head[0])
    if fixed is None or len(content) < fixed:
        return Part(head, width, content)
    is_data = head[0] == PDUType.P_DATA_TF
    return Part(head, width, content[:fixed], tuple(_pdvs(content) if is_data else _items(content[fixed:])))


def _items(data: bytes) -> Iterable[Part]:
    while data:
        stop = 4 + int.from_bytes(data[2:4], "big")
        yield _part(data[:2].ljust(2, b"\0"), 2, data[4:stop])
        data = data[stop:]


def _pdvs(data: bytes) -> Iterable[Part]:
    while data:
        stop = 4 + int.from_bytes(data[:4], "big")
        yield Part(b"", 4, data[4:stop])
        data = data[stop:]


def mend_lengths(data: bytes) -> bytes:
    """Return a PDU in which every length field is right."""
    return parse(data).encode()


def break_length(data: bytes, random: Random) -> bytes:
    """Return a PDU in which every length field is right, but one."""
    tree = parse(data)
    part = random.choice(list(tree.walk()))
    size = len(part.encode()) - len(part.head) - part.width
    return tree.replace(part, evolve(part, off=random.choice([off for off in _WRONG if size + off >= 0]))).encode()
