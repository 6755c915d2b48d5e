"""Make smaller what kills a server: fewer conversations, fewer PDUs, fewer items, fewer bytes.

May change.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from attrs import evolve

from dicom_proto.testing.conversations import Conversation
from dicom_proto.testing.structure import parse

__all__ = ["shrink", "shrink_list"]

_T = TypeVar("_T")
_HEADER: Final = 6


def shrink_list(parts: Sequence[_T], fails: Callable[[Sequence[_T]], bool]) -> Sequence[_T]:
    """Leave out as many parts as possible, longer runs of them first; ``fails`` tells whether the rest still fails."""
    size = max(1, len(parts) // 2)
    while parts:
        at = 0
        while at < len(parts):
            rest = [*parts[:at], *parts[at + size :]]
            if fails(rest):
                parts = rest
            else:
                at += size
        if size == 1:
            break
        size //= 2
    return parts


def shrink(conversation: Conversation, fails: Callable[[Conversation], bool]) -> Conversation:
    """Return a conversation that still fails: without what can be left out.

    Parameters
    ----------
    conversation : tuple of bytes
        It fails.
    fails : callable
        Tells whether a conversation fails. It may say no to whatever it has no time for.
    """
    shrunk = tuple(shrink_list(conversation, lambda pdus: bool(pdus) and fails(tuple(pdus))))
    for at in range(len(shrunk)):
        shrunk = _shrink_pdu(shrunk, at, fails)
    return shrunk


def _shrink_pdu(conversation: Conversation, at: int, fails: Callable[[Conversation], bool]) -> Conversation:
    """Make one PDU smaller: without items, then without bytes; the length of the PDU may stay wrong."""

    def put(pdu: bytes) -> Conversation:
        return (*conversation[:at], pdu, *conversation[at + 1 :])

    best = _with_fewer_items(conversation[at], lambda pdu: fails(put(pdu)))
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _without_items(best):
            if len(smaller) < len(best) and fails(put(smaller)):
                best, is_smaller = smaller, True
                break
    body = best[_HEADER:]

    def is_enough(rest: Sequence[bytes]) -> bool:
        return any(fails(put(pdu)) for pdu in _framed(best, b"".join(rest)))

    kept: Sequence[bytes] = shrink_list([bytes((byte,)) for byte in body], is_enough)
    for pdu in (*_framed(best, b"".join(kept)), best):
        if len(pdu) <= len(best) and fails(put(pdu)):
            return put(pdu)
    return conversation


def _with_fewer_items(pdu: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Return a PDU that still fails without those items of its first level that it does not need."""
    tree = parse(pdu)
    kept = shrink_list(tree.parts, lambda parts: fails(evolve(tree, parts=tuple(parts)).encode()))
    return pdu if len(kept) == len(tree.parts) else evolve(tree, parts=tuple(kept)).encode()


def _framed(pdu: bytes, body: bytes) -> Iterator[bytes]:
    """Yield a PDU with another body: with its right length, and with the length that it had."""
    mended = pdu[:2] + len(body).to_bytes(4, "big") + body
    yield mended
    if (kept := pdu[:_HEADER] + body) != mended:
        yield kept


def _without_items(pdu: bytes) -> Iterator[bytes]:
    """Yield a PDU without one of its parts, the larger ones first; the other lengths are mended."""
    tree = parse(pdu)
    tree = evolve(tree, off=int.from_bytes(pdu[2:_HEADER], "big") - (len(pdu) - _HEADER))
    parts = sorted((part for part in tree.walk() if part is not tree), key=lambda part: -len(part.encode()))
    for part in parts:
        changed = tree.replace(part)
        yield evolve(changed, off=0).encode()
        if tree.off:
            yield changed.encode()
