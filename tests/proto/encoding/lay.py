"""Data sets laid out by hand, byte by byte (PS3.5 7)."""

import struct

__all__ = [
    "BIG",
    "CONTENT_SEQUENCE",
    "DEFLATED",
    "EXPLICIT",
    "IMPLICIT",
    "ITEM",
    "ITEM_END",
    "JPEG",
    "PIXEL_DATA",
    "SEQUENCE_END",
    "UNDEFINED",
    "explicit",
    "implicit",
]

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CONTENT_SEQUENCE, PIXEL_DATA = 0x0040A730, 0x7FE00010
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}


def implicit(tag: int, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """An element without a VR, or an item."""
    size = len(value) if length is None else length
    return struct.pack(order + "HHL", tag >> 16, tag & 0xFFFF, size) + value


def explicit(tag: int, vr: bytes, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    """An element with a VR."""
    size = len(value) if length is None else length
    layout = "HH2s2xL" if vr in _LONG else "HH2sH"
    return struct.pack(order + layout, tag >> 16, tag & 0xFFFF, vr, size) + value
