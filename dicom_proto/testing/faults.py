"""PDUs that are almost valid: each breaks one rule of the standard, and a label says which.

May change.
"""

from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from attrs import evolve, frozen

from dicom_proto.testing.structure import Part, parse
from dicom_proto.upper_layer.items import ItemType
from dicom_proto.upper_layer.pdu import PDUType

__all__ = ["FAULTS", "Fault", "faults_for"]

_Break: TypeAlias = Callable[[Part, Random], Part]
_ASSOCIATE: Final = frozenset({PDUType.A_ASSOCIATE_RQ, PDUType.A_ASSOCIATE_AC})
_RQ: Final = frozenset({PDUType.A_ASSOCIATE_RQ})
_DATA: Final = frozenset({PDUType.P_DATA_TF})
_SHORT: Final = frozenset({PDUType.A_ASSOCIATE_RJ, PDUType.A_RELEASE_RQ, PDUType.A_RELEASE_RP, PDUType.A_ABORT})
_CONTEXTS: Final = (ItemType.PROPOSED_CONTEXT, ItemType.CONTEXT_RESULT)


@frozen
class Fault:
    """A rule that a PDU can break.

    Attributes
    ----------
    label : str
        Its name.
    clause : str
        Where the standard has the rule.
    rule : str
        What it says.
    types : frozenset of int
        The types of the PDUs that it is about.
    """

    label: str
    clause: str
    rule: str
    types: frozenset[int]
    _apply: _Break

    def apply(self, data: bytes, random: Random) -> bytes:
        """Return a valid PDU with this rule broken; ``data`` itself if it has nothing that could break it."""
        return self._apply(parse(data), random).encode()


def _one(tree: Part, random: Random, *kinds: int) -> Part | None:
    found = [part for part in tree.walk() if part.kind in kinds and part is not tree]
    return random.choice(found) if found else None


def _dropping(*kinds: int) -> _Break:
    """Drop all parts of some kinds."""

    def apply(tree: Part, _: Random) -> Part:
        for part in [part for part in tree.walk() if part.kind in kinds]:
            tree = tree.replace(part)
        return tree

    return apply


def _changing(change: Callable[[Part], Part | tuple[Part, ...]], *kinds: int) -> _Break:
    """Change one part of some kinds, or put several in its place."""

    def apply(tree: Part, random: Random) -> Part:
        part = _one(tree, random, *kinds)
        if part is None:
            return tree
        changed = change(part)
        return tree.replace(part, *(changed if isinstance(changed, tuple) else (changed,)))

    return apply


def _patching(at: int, new: bytes) -> _Break:
    """Write over bytes of the body of a PDU."""
    return lambda tree, _: evolve(tree, value=tree.value[:at] + new + tree.value[at + len(new) :])


def _short(tree: Part, random: Random) -> Part:
    """Let the length field of a PDU say less than there is."""
    return evolve(tree, off=random.choice((-1, -2)))


def _cut(tree: Part, random: Random) -> Part:
    """Cut a PDU of four bytes short, with the right length."""
    return evolve(tree, value=tree.value[: random.randrange(4)])


def _of_type(tree: Part, random: Random) -> Part:
    return evolve(tree, head=bytes((random.choice((0, 8, 9, 0x7F, 0xFF)), 0)))


def _even(part: Part) -> Part:
    return evolve(part, value=bytes((part.value[0] & 0xFE,)) + part.value[1:])


def _twice(part: Part) -> tuple[Part, Part]:
    return part, part


def _without(kind: int) -> Callable[[Part], Part]:
    return lambda part: evolve(part, parts=tuple(inner for inner in part.parts if inner.kind != kind))


def _valued(value: bytes) -> Callable[[Part], Part]:
    return lambda part: evolve(part, value=value)


_SYNTAXES: Final = (ItemType.APPLICATION_CONTEXT, ItemType.ABSTRACT_SYNTAX, ItemType.TRANSFER_SYNTAX)

FAULTS: Final[tuple[Fault, ...]] = (
    Fault("unknown-pdu-type", "PS3.8 9.3.1", "there are seven types of PDU", _ASSOCIATE | _DATA | _SHORT, _of_type),
    Fault(
        "pdu-length-short", "PS3.8 9.3.1", "the PDU length counts all that follows it", _ASSOCIATE | _DATA | _SHORT,
        _short,
    ),
    Fault("pdu-too-short", "PS3.8 9.3.4, 9.3.6 to 9.3.8", "such a PDU has four bytes behind its length", _SHORT, _cut),
    Fault(
        "item-length-long", "PS3.8 9.3.2 to 9.3.5", "an item ends within what it is in", _ASSOCIATE | _DATA,
        lambda tree, _: tree.replace(tree.parts[-1], evolve(tree.parts[-1], off=255)),
    ),
    Fault(
        "protocol-version", "PS3.8 9.3.2", "bit 0 of the protocol version is set", _RQ, _patching(0, bytes(2)),
    ),
    Fault(
        "called-ae-title-empty", "PS3.8 9.3.2, PS3.5 6.2", "an AE title is more than spaces", _RQ,
        _patching(4, b" " * 16),
    ),
    Fault(
        "calling-ae-title-empty", "PS3.8 9.3.2, PS3.5 6.2", "an AE title is more than spaces", _RQ,
        _patching(20, b" " * 16),
    ),
    Fault(
        "no-application-context", "PS3.8 9.3.2, 9.3.3", "there is an application context", _ASSOCIATE,
        _dropping(ItemType.APPLICATION_CONTEXT),
    ),
    Fault(
        "two-application-contexts", "PS3.8 9.3.2, 9.3.3", "there is one application context", _ASSOCIATE,
        _changing(_twice, ItemType.APPLICATION_CONTEXT),
    ),
    Fault(
        "no-presentation-context", "PS3.8 9.3.2", "there are presentation contexts", _RQ, _dropping(*_CONTEXTS),
    ),
    Fault(
        "same-context-id", "PS3.8 9.3.2.2", "each presentation context has an ID of its own", _ASSOCIATE,
        _changing(_twice, *_CONTEXTS),
    ),
    Fault(
        "even-context-id", "PS3.8 9.3.2.2", "the ID of a presentation context is odd", _RQ,
        _changing(_even, ItemType.PROPOSED_CONTEXT),
    ),
    Fault(
        "no-abstract-syntax", "PS3.8 9.3.2.2", "a presentation context has an abstract syntax", _RQ,
        _changing(_without(ItemType.ABSTRACT_SYNTAX), ItemType.PROPOSED_CONTEXT),
    ),
    Fault(
        "two-abstract-syntaxes", "PS3.8 9.3.2.2", "a presentation context has one abstract syntax", _RQ,
        _changing(_twice, ItemType.ABSTRACT_SYNTAX),
    ),
    Fault(
        "no-transfer-syntax", "PS3.8 9.3.2.2", "a proposed presentation context has transfer syntaxes", _RQ,
        _changing(_without(ItemType.TRANSFER_SYNTAX), ItemType.PROPOSED_CONTEXT),
    ),
    Fault(
        "no-uid", "PS3.5 9.1", "a UID has components of digits", _RQ, _changing(_valued(b"1.2.x"), *_SYNTAXES),
    ),
    Fault(
        "uid-too-long", "PS3.5 9.1", "a UID has at most 64 characters", _RQ,
        _changing(_valued(b"1." + b"2" * 63), *_SYNTAXES),
    ),
    Fault(
        "no-user-information", "PS3.8 9.3.2, 9.3.3", "there is user information", _ASSOCIATE,
        _dropping(ItemType.USER_INFORMATION),
    ),
    Fault(
        "no-maximum-length", "PS3.8 D.1.1", "user information has the maximum length", _ASSOCIATE,
        _dropping(ItemType.MAXIMUM_LENGTH),
    ),
    Fault(
        "maximum-length-short", "PS3.8 D.1.1", "the maximum length has four bytes", _ASSOCIATE,
        _changing(_valued(bytes(3)), ItemType.MAXIMUM_LENGTH),
    ),
    Fault(
        "no-pdv", "PS3.8 9.3.5", "a P-DATA-TF has at least one PDV", _DATA, lambda tree, _: evolve(tree, parts=()),
    ),
    Fault(
        "pdv-too-short", "PS3.8 9.3.5.1", "a PDV has a context ID and a message control header", _DATA,
        lambda tree, random: tree.replace(tree.parts[0], Part(b"", 4, bytes(random.randrange(2)))),
    ),
)  # fmt: skip
"""The rules, each with what breaks it."""


def faults_for(data: bytes) -> tuple[Fault, ...]:
    """Return the rules that a valid PDU can break."""
    return tuple(fault for fault in FAULTS if data[0] in fault.types)
