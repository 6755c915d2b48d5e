"""The TCP segment in a packet: headers of the link, of IPv4 or IPv6, and of TCP.

May change.
"""

import struct
from collections import Counter
from ipaddress import ip_address
from typing import Final, NamedTuple

from dicom_transports.apps.trace.capture import Packet

__all__ = ["ACK", "FIN", "RST", "SYN", "Segment", "Segments", "show_end"]

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_TCP: Final = 6
_ETHERNET: Final = 1
_VLAN: Final = frozenset({0x8100, 0x88A8, 0x9100})
_IP: Final = frozenset({0x0800, 0x86DD})
_MOST_HEADERS: Final = 8  # VLAN tags, and extension headers of IPv6
# By LINKTYPE: where IP begins, and where the two bytes are that tell whether it is IP, if there are.
_LINKS: Final[dict[int, tuple[int, int | None]]] = {
    0: (4, None),  # BSD loopback
    108: (4, None),  # OpenBSD loopback
    12: (0, None),  # raw IP, as some systems number it
    14: (0, None),
    101: (0, None),
    228: (0, None),
    229: (0, None),
    113: (16, 14),  # Linux cooked, versions 1 and 2
    276: (20, 0),
}
_TYPE: Final = struct.Struct(">H").unpack_from
_PLAIN: Final = struct.Struct(">HxxHxB").unpack_from  # of IPv4: length, fragment, protocol; from its third byte
_TCP_HEADER: Final = struct.Struct(">4sIIBB").unpack_from  # ports, sequence number, acknowledgement, offset, flags


class Segment(NamedTuple):
    """One TCP segment.

    Parameters
    ----------
    time : int
        When it was captured, in nanoseconds since 1970.
    addresses, ports : bytes
        Of source and destination, one behind the other.
    sequence, acknowledged : int
        As they stand in the header.
    flags : int
        The second byte of them.
    payload : bytes
        As far as it was captured.
    missing : int
        How many bytes of the payload were not captured.
    """

    time: int
    addresses: bytes
    ports: bytes
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes
    missing: int


class Segments:
    """Takes TCP segments out of packets.

    Attributes
    ----------
    passed_over : Counter
        What could not be looked at, in words, and how often that was.
    """

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()

    def of(self, packet: Packet) -> Segment | None:
        """Return the segment in a packet; ``None`` if there is none that can be read."""
        time, link, buffer, start, end = packet
        at = self._ip(link, buffer, start, end)
        if at is None or at + 40 > end:  # the shortest there are: 20 bytes of IPv4 and 20 of TCP
            return None
        version = buffer[at]
        if version >> 4 == 4:
            length, fragment, protocol = _PLAIN(buffer, at + 2)
            if protocol != _TCP:
                return None
            if fragment & 0x3FFF:
                self.passed_over["fragments of IP packets, which are not put together"] += 1
                return None
            addresses = buffer[at + 12 : at + 20]
            stop = at + length if length else end  # 0 is what segmentation offload leaves
            at += (version & 15) * 4
        elif version >> 4 == 6:
            stop = at + 40 + (_TYPE(buffer, at + 4)[0] or end)
            addresses = buffer[at + 8 : at + 40]
            found = self._behind_extensions(buffer, at, end)
            if found is None:
                return None
            at = found
        else:
            return None
        if at + 20 > end:
            return None
        ports, sequence, acknowledged, offset, flags = _TCP_HEADER(buffer, at)
        at += (offset >> 4) * 4
        if stop <= end:  # what is behind is padding of the link
            return Segment(time, addresses, ports, sequence, acknowledged, flags, buffer[at:stop], 0)
        if version >> 4 == 6 and stop - end > 0xFFFF:
            stop = end
        payload = buffer[at:end]
        return Segment(time, addresses, ports, sequence, acknowledged, flags, payload, max(stop - max(at, end), 0))

    def _ip(self, link: int, buffer: bytes, start: int, end: int) -> int | None:
        """Return where the IP header is."""
        if link == _ETHERNET:
            at = start + 12
            for _ in range(_MOST_HEADERS):
                if at + 2 > end:
                    return None
                kind = _TYPE(buffer, at)[0]
                if kind in _IP:
                    return at + 2
                if kind not in _VLAN:
                    return None
                at += 4
            return None
        known = _LINKS.get(link)
        if known is None:
            self.passed_over[f"packets of link type {link}, which is not known here"] += 1
            return None
        length, where = known
        if start + length > end or (where is not None and _TYPE(buffer, start + where)[0] not in _IP):
            return None
        return start + length

    def _behind_extensions(self, buffer: bytes, at: int, end: int) -> int | None:
        """Return where TCP begins behind the header of IPv6 and its extensions, if it is TCP."""
        following = buffer[at + 6]
        at += 40
        for _ in range(_MOST_HEADERS):
            if following == _TCP:
                return at
            if following not in (0, 43, 44, 51, 60) or at + 8 > end:
                return None
            if following == 44 and _TYPE(buffer, at + 2)[0] & 0xFFF9:
                self.passed_over["fragments of IP packets, which are not put together"] += 1
                return None
            length = buffer[at + 1]
            length = 8 if following == 44 else (length + 2) * 4 if following == 51 else (length + 1) * 8
            following = buffer[at]
            at += length
        return None


def show_end(address: bytes, port: int) -> str:
    """Spell one end of a connection, from an address of 4 or 16 bytes."""
    shown = ip_address(address)
    return f"{shown}:{port}" if shown.version == 4 else f"[{shown}]:{port}"
