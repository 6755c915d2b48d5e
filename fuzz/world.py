"""The steps that are the same in every program: what a peer sends, and what the network and the clock do."""

from collections.abc import Callable
from typing import Any, Final

from dicom_proto.testing.samples import PDUS
from dicom_proto.upper_layer.pdu import pack_pdv_header
from fuzz.program import Operation
from fuzz.twins import Twins

__all__ = ["ACTS", "SECONDS", "WORDS", "WORLD", "patched"]

WORLD: Final = (
    Operation("turn"),
    Operation("pdu", 2),  # which, cut
    Operation("broken", 5),  # which, cut, offset (2), value
    Operation("data", 3, has_payload=True),  # context, message control header, cut
    Operation("bytes", 1, has_payload=True),  # cut
    Operation("flood", 3),  # byte, KiB, cut
    Operation("connect"),
    Operation("eof"),
    Operation("wait", 1),
    Operation("expire", 1),
    Operation("drain", 1),  # how many (0: all)
    Operation("write", 1),  # how much, in 8 bytes
)
SECONDS: Final = (0.0, 0.5, 1.0, 5.0, 9.5, 10.0, 15.0, 30.0, 59.0, 61.0, 3600.0, 1e9)
_PDUS: Final = tuple(PDUS.values())

WORDS: Final = {name: number for number, name in enumerate(PDUS)}
"""Words for the PDUs in programs that are written down."""


def patched(data: bytes, arguments: bytes) -> bytes:
    """Change one byte: two bytes of arguments say which, modulo the length, and the third is what it becomes."""
    at = int.from_bytes(arguments[:2], "big") % len(data)
    return data[:at] + arguments[2:3] + data[at + 1 :]


def _feed_data(twins: Twins[Any], arguments: bytes, payload: bytes) -> None:
    """Deliver a P-DATA-TF with one fragment."""
    context_id, control, cut = arguments
    twins.feed(pack_pdv_header(context_id, control, len(payload)) + payload, cut)


def _write(twins: Twins[Any], arguments: bytes, _: bytes) -> None:
    twins.write(arguments[0] << 3)


ACTS: Final[dict[str, Callable[[Twins[Any], bytes, bytes], None]]] = {
    "turn": lambda twins, _, __: twins.turn(),
    "pdu": lambda twins, args, _: twins.feed(_PDUS[args[0] % len(_PDUS)], args[1]),
    "broken": lambda twins, args, _: twins.feed(patched(_PDUS[args[0] % len(_PDUS)], args[2:]), args[1]),
    "data": _feed_data,
    "bytes": lambda twins, args, payload: twins.feed(payload, args[0]),
    "flood": lambda twins, args, _: twins.feed(args[:1] * (args[1] % 64 << 10), args[2]),
    "connect": lambda twins, _, __: twins.connect(),
    "eof": lambda twins, _, __: twins.eof(),
    "wait": lambda twins, args, _: twins.wait(SECONDS[args[0] % len(SECONDS)]),
    "expire": lambda twins, args, _: twins.expire(jump=bool(args[0] & 1)),
    "drain": lambda twins, args, _: twins.drain(args[0] or None),
    "write": _write,
}
"""What the steps of ``WORLD`` do to machines, with their arguments and payload."""
