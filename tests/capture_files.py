"""Associations put together from packet captures (pcap, pcapng)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dpkt
from attrs import define, field

from tests.recordings import Recording

_SYN, _ACK = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK
_LINKS = {
    dpkt.pcap.DLT_EN10MB: dpkt.ethernet.Ethernet,
    dpkt.pcap.DLT_NULL: dpkt.loopback.Loopback,
    dpkt.pcap.DLT_LINUX_SLL: dpkt.sll.SLL,
    dpkt.pcap.DLT_RAW: dpkt.ip.IP,
}
Endpoint = tuple[bytes, int]


@define
class Direction:
    """The segments of one direction of a TCP connection, as they were captured: late, twice, overlapping."""

    origin: int  # a sequence number near which all others are counted
    has_start: bool  # whether it is that of the first byte
    segments: list[tuple[int, bytes]] = field(factory=list)

    def add(self, sequence: int, payload: bytes) -> None:
        """Keep a segment; sequence numbers begin again at 0 after 2^32."""
        offset = (sequence - self.origin + (1 << 31)) % (1 << 32) - (1 << 31)
        self.segments.append((offset, payload))

    def data(self) -> bytes:
        """All that was sent, up to the first byte that the capture does not have."""
        joined = bytearray()
        segments = sorted(self.segments)
        start = 0 if self.has_start or not segments else segments[0][0]
        for offset, payload in segments:
            have = start + len(joined) - offset  # how much of the segment is here already
            if have < 0:
                break
            joined += payload[have:]
        return bytes(joined)


def reassemble(packets: Iterable[Any]) -> Iterator[tuple[bytes, bytes]]:
    """Put TCP connections together from IP packets; for each, what requestor and acceptor have sent."""
    open_now: dict[tuple[Endpoint, Endpoint], dict[Endpoint, Direction]] = {}
    connections: list[tuple[Endpoint, Endpoint, dict[Endpoint, Direction]]] = []
    for packet in packets:
        segment = packet.data
        source, target = (packet.src, segment.sport), (packet.dst, segment.dport)
        is_syn = bool(segment.flags & _SYN)
        first_byte = (segment.seq + is_syn) % (1 << 32)
        known = open_now.get((source, target))
        before = known and known.get(source)
        is_reused = is_syn and not segment.flags & _ACK and before and before.has_start and before.origin != first_byte
        if known is None or is_reused:
            known = open_now[source, target] = open_now[target, source] = {}
            connections.append((source, target, known))
        direction = known.setdefault(source, Direction(first_byte, is_syn))
        direction.add(first_byte, bytes(segment.data))
    for source, target, directions in connections:
        sent = [directions[end].data() if end in directions else b"" for end in (source, target)]
        if sent[1][:1] == b"\1":  # the capture began later than the connection
            sent.reverse()
        yield sent[0], sent[1]


def read_capture(path: Path) -> list[Recording]:
    """Return the associations of a pcap or pcapng file."""
    with path.open("rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        link = _LINKS[reader.datalink()]
        packets = [frame.data if link is not dpkt.ip.IP else frame for frame in (link(raw) for _, raw in reader)]
    tcp = [packet for packet in packets if isinstance(getattr(packet, "data", None), dpkt.tcp.TCP)]
    return [Recording(f"{path.stem}-{number}", *sent) for number, sent in enumerate(reassemble(tcp), 1) if all(sent)]
