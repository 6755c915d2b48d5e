"""What an implementation in Python can hope for: the same bytes copied or walked through, without DICOM's rules."""

import struct
from typing import Final

from benchmarks.measure import Sample, timed

__all__ = ["copy_blocks", "frame_and_parse", "walk_command_set", "walk_data", "walk_items"]

_ITEM: Final = struct.Struct(">BxH")
_ELEMENT: Final = struct.Struct("<HHI")
_DATA: Final = struct.Struct(">BxIIBB")


def walk_items(pdu: bytes) -> list[tuple[int, list[str]]]:
    """Read the items of an A-ASSOCIATE PDU: contexts with their UIDs."""
    found = []
    start, end = 74, len(pdu)
    while start < end:
        kind, length = _ITEM.unpack_from(pdu, start)
        start += 4
        stop = start + length
        if kind in (0x20, 0x21):
            uids = []
            at = start + 4
            while at < stop:
                _, length = _ITEM.unpack_from(pdu, at)
                uids.append(pdu[at + 4 : at + 4 + length].decode("latin-1"))
                at += 4 + length
            found.append((pdu[start], uids))
        start = stop
    return found


def walk_command_set(data: bytes) -> dict[int, bytes]:
    """Read the elements of a command set."""
    elements = {}
    start, end = 0, len(data)
    while start < end:
        _, element, length = _ELEMENT.unpack_from(data, start)
        start += 8
        elements[element] = data[start : start + length]
        start += length
    return elements


def walk_data(pdu: bytes) -> bytes:
    """Read a P-DATA-TF with one fragment, which is copied out."""
    _, _, length, _, _ = _DATA.unpack_from(pdu)
    return pdu[12 : 10 + length]


def copy_blocks(total: int, block: int) -> Sample:
    """Copy as many bytes block by block."""
    source = memoryview(bytes(block))
    return Sample(total / timed(lambda: bytes(source), total // block))


def frame_and_parse(total: int, maximum_length: int, block: int) -> Sample:
    """Put a header before each fragment, join to blocks, and cut these into fragments again."""
    fragment = memoryview(bytes(maximum_length - 6))
    header = _DATA.pack(4, maximum_length, maximum_length - 4, 1, 0)
    pdus = max(1, block // (maximum_length + 6))

    def turn() -> None:
        buffers: list[bytes | memoryview] = []
        for _ in range(pdus):
            buffers += (header, fragment)
        wire = memoryview(b"".join(buffers))
        at = 0
        while at < len(wire):
            _, _, length, _, _ = _DATA.unpack_from(wire, at)
            wire[at + 12 : at + 10 + length]  # the view that an event would carry
            at += 10 + length

    turns = -(-total // (pdus * len(fragment)))
    return Sample(turns * pdus * len(fragment) / timed(turn, turns))
