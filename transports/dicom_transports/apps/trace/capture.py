"""The packets of a capture file, in one pass and bounded memory: pcap and pcapng.

May change.

dpkt reads such files too; but it takes the first interface of a pcapng file for all of them, reads as much at once as a
length field says, and needs several times as long for a packet as all else that is done with it here.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from attrs import frozen

__all__ = ["Capture", "CaptureError", "Packet"]

_READ_AT_ONCE: Final = 1 << 20
_LONGEST_PACKET: Final = 1 << 20  # libpcap takes 256 KiB
_MOST_INTERFACES: Final = 4096
_NANOSECONDS: Final = 1_000_000_000
# By the first four bytes: byte order, and nanoseconds in a unit of the fraction of a second.
_PCAP: Final = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_SECTION_START: Final = _SECTION.to_bytes(4, "big")
_BYTE_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14  # options of an interface


class CaptureError(ValueError):
    """A file is no capture, or one of a kind that is not known; says what to do."""


class Packet(NamedTuple):
    """One packet, where it lies in what was read.

    Parameters
    ----------
    time : int
        When it was captured, in nanoseconds since 1970.
    link : int
        What its first header is: the number of a LINKTYPE.
    buffer : bytes
        What it lies in.
    start, end : int
        Where.
    """

    time: int
    link: int
    buffer: bytes
    start: int
    end: int


@frozen
class _Interface:
    link: int
    ticks: int = 1_000_000  # in a second
    offset: int = 0  # nanoseconds


class _Source:
    """A file that is read in large pieces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.buffer = b""
        self.at = 0

    def has(self, count: int) -> bool:
        """Tell whether ``count`` bytes lie in the buffer from ``at``, after reading on if need be."""
        missing = count - (len(self.buffer) - self.at)
        if missing > 0:
            pieces = [self.buffer[self.at :]]
            while missing > 0 and (piece := self._file.read(max(missing, _READ_AT_ONCE))):
                pieces.append(piece)
                missing -= len(piece)
            self.buffer, self.at = b"".join(pieces), 0
        return missing <= 0

    def skip(self, count: int) -> bool:
        """Pass ``count`` bytes, however many; return whether there are so many."""
        while count > _READ_AT_ONCE and self.has(_READ_AT_ONCE):
            self.at += _READ_AT_ONCE
            count -= _READ_AT_ONCE
        if not self.has(count):
            return False
        self.at += count
        return True


class Capture:
    """The packets of a capture file.

    Parameters
    ----------
    file : binary file
        Read from its beginning to its end, and never sought in: a pipe will do.

    Attributes
    ----------
    problems : list of str
        What was wrong with the file, in words, as far as it has been read; it ends where that is.

    Raises
    ------
    CaptureError
        If it is no capture.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.problems: list[str] = []
        self._source = source = _Source(file)
        if not source.has(4):
            raise CaptureError("it has fewer than 4 bytes: nothing was captured")
        magic = source.buffer[:4]
        if magic in _PCAP:
            if not source.has(24):
                raise CaptureError("it ends within the header of a pcap file")
            self._packets = self._pcap(*_PCAP[magic])
        elif magic == _SECTION_START:
            self._packets = self._pcapng()
        else:
            raise CaptureError("it is neither a pcap nor a pcapng file; tcpdump -w and Wireshark write such files")

    def __iter__(self) -> Iterator[Packet]:
        return self._packets

    def _pcap(self, order: str, unit: int) -> Iterator[Packet]:
        source = self._source
        link = struct.unpack_from(order + "I", source.buffer, 20)[0] & 0xFFFF
        source.at = 24
        unpack = struct.Struct(order + "IIII").unpack_from
        while source.has(16):
            seconds, fraction, length, _ = unpack(source.buffer, source.at)
            if length > _LONGEST_PACKET:
                self.problems.append(f"the capture is damaged: a packet of {length} bytes; what follows is not read")
                return
            if not source.has(16 + length):
                break
            start = source.at + 16
            source.at = start + length
            yield Packet(seconds * _NANOSECONDS + fraction * unit, link, source.buffer, start, source.at)
        self._check_end()

    def _check_end(self) -> None:
        if self._source.has(1):
            self.problems.append("the capture is truncated: it ends within a packet")

    def _pcapng(self) -> Iterator[Packet]:
        source = self._source
        order = ""
        interfaces: list[_Interface] = []
        while source.has(12):
            at = source.at
            if source.buffer[at : at + 4] == _SECTION_START:
                order = _BYTE_ORDERS.get(source.buffer[at + 8 : at + 12], "")
                interfaces = []
                if not order:
                    self.problems.append("the capture is damaged: a section without byte order; the rest is not read")
                    return
            kind, length = struct.unpack_from(order + "II", source.buffer, at)
            if length < 12 or length % 4:
                self.problems.append(f"the capture is damaged: a block of {length} bytes; what follows is not read")
                return
            if kind in (_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET) and length <= _LONGEST_PACKET:
                if not source.has(length):
                    break
                start, end = source.at + 8, source.at + length - 4
                source.at += length
                if kind != _INTERFACE:
                    packet = _packet(kind, order, interfaces, source.buffer, start, end)
                    if packet is not None:
                        yield packet
                elif len(interfaces) < _MOST_INTERFACES:
                    interfaces.append(_interface(order, source.buffer[start:end]))
            elif not source.skip(length):
                break
        self._check_end()


def _interface(order: str, body: bytes) -> _Interface:
    """Read the description of an interface, as far as it makes sense."""
    if len(body) < 8:
        return _Interface(-1)
    link = struct.unpack_from(order + "H", body)[0]
    ticks, offset = 1_000_000, 0
    at = 8
    while at + 4 <= len(body):
        option, length = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if option == _TIME_RESOLUTION and len(value) == 1:
            exponent = value[0] & 0x7F
            ticks = 2**exponent if value[0] & 0x80 else 10 ** min(exponent, 18)
        elif option == _TIME_OFFSET and len(value) == 8:
            offset = struct.unpack(order + "q", value)[0] * _NANOSECONDS
        at += 4 + (length + 3) // 4 * 4
    return _Interface(link, ticks, offset)


_HEADERS: Final = {  # byte order and kind of block: interface, time, length
    order: {_ENHANCED_PACKET: struct.Struct(order + "IIII"), _OLD_PACKET: struct.Struct(order + "HxxIII")}
    for order in "<>"
}


def _packet(kind: int, order: str, interfaces: list[_Interface], buffer: bytes, start: int, end: int) -> Packet | None:
    """Return the packet of a block, ``None`` if it has none that can be made sense of."""
    if kind == _SIMPLE_PACKET:  # of the first interface, with no time
        if end - start < 4 or not interfaces:
            return None
        (length,) = struct.unpack_from(order + "I", buffer, start)
        return Packet(0, interfaces[0].link, buffer, start + 4, min(end, start + 4 + length))
    if end - start < 20:
        return None
    number, high, low, length = _HEADERS[order][kind].unpack_from(buffer, start)
    if number >= len(interfaces) or start + 20 + length > end:
        return None
    interface = interfaces[number]
    time = ((high << 32 | low) * _NANOSECONDS) // interface.ticks + interface.offset
    return Packet(time, interface.link, buffer, start + 20, start + 20 + length)
