"""Harness: what a tap makes of the bytes of one direction (``dicom_proto.upper_layer.tap``).

The input is a header of two bytes, which choose the limit of the tap and the length of the pieces, and a stream.

* However it is cut, the same PDUs are found: those that are whole and not too long, as they were sent, and of longer
  ones that there was one; up to the first header of what is no PDU, and nothing behind it.
* No more is kept than the longest PDU that the limit allows.
"""

from collections.abc import Mapping
from random import Random
from typing import Final

from dicom_proto.testing.mutators import mutate_bytes, mutate_stream
from dicom_proto.testing.samples import PDUS
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType, unpack_header
from dicom_proto.upper_layer.tap import PDUTap, SkippedPDU
from fuzz.witness import kept

__all__ = ["check", "mutate", "seeds"]

_HEADER: Final = 2
_LIMITS: Final = (0, 3, 4, 64, 100, 300, 1 << 20)
_MOST_PIECES: Final = 64
_SMALL: Final = 256  # bytes that it keeps beside a PDU: names of attributes


def check(data: bytes) -> None:
    """Let a stream pass, in pieces and whole."""
    header, stream = data[:_HEADER].ljust(_HEADER, b"\0"), data[_HEADER:]
    limit = _LIMITS[header[0] % len(_LIMITS)]
    size = max(header[1] or len(stream), len(stream) // _MOST_PIECES, 1)
    found = []
    tap = PDUTap(limit)
    for at in range(0, len(stream), size):
        found += tap.feed(memoryview(stream)[at : at + size])
        assert found == _expected(stream[: at + size], limit), "something else is found than has passed"
        octets, _ = kept(tap)
        assert octets <= HEADER_LENGTH + limit + _SMALL, f"{octets} bytes are kept"
    assert found == PDUTap(limit).feed(stream), "it makes a difference how a stream is cut"


def _expected(stream: bytes, limit: int) -> list[bytes | SkippedPDU]:
    """Return what is to be found in a stream, all of which is there."""
    found: list[bytes | SkippedPDU] = []
    at = 0
    while at + HEADER_LENGTH <= len(stream):
        pdu_type, length = unpack_header(stream, at)
        if pdu_type not in set(PDUType):
            break
        stop = at + HEADER_LENGTH + length
        if length > limit:
            found.append(SkippedPDU(pdu_type, length))
        elif stop <= len(stream):
            found.append(stream[at:stop])
        at = stop
    return found


def mutate(data: bytes, random: Random) -> bytes:
    """Change the header, or a PDU of the stream."""
    header, stream = data[:_HEADER].ljust(_HEADER, b"\0"), data[_HEADER:]
    if random.randrange(6) == 0:
        return mutate_bytes(header, random)[:_HEADER].ljust(_HEADER, b"\0") + stream
    return header + mutate_stream(stream, random)


def seeds() -> Mapping[str, bytes]:
    """Return a whole association, at several limits and cuts, and streams that end early or are none."""
    names = ("associate-rq", "associate-ac", "p-data-store-and-data", "p-data-echo-rsp", "release-rq", "release-rp")
    stream = b"".join(map(PDUS.__getitem__, names))
    found = {f"limit-{number}": bytes((number, 7)) + stream for number in range(len(_LIMITS))}
    found |= {f"cut-{size}": bytes((4, size)) + stream for size in (0, 1, 6, 100)}
    found["ends-early"] = bytes((6, 50)) + stream[:-3]
    found["no-pdu"] = bytes((6, 3)) + PDUS["release-rq"] + b"GET / HTTP/1.1\r\n\r\n" + PDUS["release-rp"]
    found["very-long"] = bytes((6, 9)) + PDUS["release-rq"] + b"\4\0\xff\xff\xff\xff" + stream
    found["empty"] = b""
    return found
