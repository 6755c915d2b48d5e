"""Captures made from what each side says: packets with every header that they may have, in files of both kinds."""

import struct
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

import dpkt

from dicom_transports.apps.trace.entries import Entry, Kind
from dicom_transports.apps.trace.reading import Outcome, read_capture

SYN, ACK, FIN, RST = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK, dpkt.tcp.TH_FIN, dpkt.tcp.TH_RST
BEGAN = 1_700_000_000_000_000_000
STEP = 1_000_000  # nanoseconds from one packet to the next
Packet = tuple[int, bytes]  # nanoseconds, and IP
Steps = Sequence[tuple[bool, bytes]]  # whether it is the acceptor that says it, and what it says


class Wire:
    """One TCP connection; each thing that passes is a packet."""

    def __init__(
        self, *, port: int = 40_000, syn: bool = True, first: int = (1 << 32) - 300, six: bool = False
    ) -> None:
        self.packets: list[Packet] = []
        self.ports = (port, 104)
        addresses = (b"\x0a\0\0\1", b"\x0a\0\0\2")
        self.addresses = tuple(b"\xfd" + bytes(11) + one for one in addresses) if six else addresses
        self.six = six
        self.next = [first, first]
        if syn:
            self.send(False, b"", SYN)
            self.send(True, b"", SYN | ACK)

    def send(self, back: bool, payload: bytes = b"", flags: int = ACK, *, acknowledged: int | None = None) -> None:
        source, target = (self.addresses[end] for end in (back, not back))
        tcp = dpkt.tcp.TCP(
            sport=self.ports[back],
            dport=self.ports[not back],
            seq=self.next[back],
            ack=self.next[not back] if acknowledged is None else acknowledged,
            flags=flags,
            data=payload,
        )
        packet = (
            dpkt.ip6.IP6(src=source, dst=target, nxt=6, plen=len(tcp), data=tcp)
            if self.six
            else dpkt.ip.IP(src=source, dst=target, p=6, data=tcp)
        )
        self.packets.append((BEGAN + STEP * len(self.packets), bytes(packet)))
        length = len(payload) + bool(flags & SYN) + bool(flags & FIN)
        self.next[back] = (self.next[back] + length) % (1 << 32)

    def play(self, steps: Steps, size: int = 1000, *, ends: bool = True) -> "Wire":
        for back, data in steps:
            for at in range(0, len(data), size):
                self.send(back, data[at : at + size])
        if ends:
            self.send(False, b"", FIN | ACK)
            self.send(True, b"", FIN | ACK)
        return self


def ethernet(packet: bytes, *, tags: bytes = b"") -> bytes:
    return bytes(12) + tags + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "ethernet": (1, ethernet),
    "ethernet with padding": (1, lambda packet: ethernet(packet).ljust(60, b"\0")),
    "VLAN": (1, lambda packet: ethernet(packet, tags=b"\x81\x00\x00\x05")),
    "two VLAN tags": (1, lambda packet: ethernet(packet, tags=b"\x88\xa8\x00\x05\x81\x00\x00\x07")),
    "loopback": (0, lambda packet: b"\2\0\0\0" + packet),
    "raw": (101, lambda packet: packet),
    "Linux cooked": (113, lambda packet: bytes(14) + ethernet(packet)[12:]),
    "Linux cooked 2": (276, lambda packet: ethernet(packet)[12:14] + bytes(18) + packet),
}


def pcap(packets: Iterable[Packet], link: str = "ethernet", *, order: str = "<", nano: bool = False) -> bytes:
    number, wrap = LINKS[link]
    file = BytesIO()
    file.write(struct.pack(order + "IHHIIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, number))
    for time, packet in packets:
        frame = wrap(packet)
        seconds, rest = divmod(time, 1_000_000_000)
        file.write(struct.pack(order + "IIII", seconds, rest if nano else rest // 1000, len(frame), len(frame)) + frame)
    return file.getvalue()


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: str, order: str = "<", options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", LINKS[link][0], 0, 1 << 18) + options, order)


def enhanced(number: int, ticks: int, frame: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


NANOSECONDS = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # options of an interface


def trace(capture: bytes, **how: Any) -> tuple[list[Entry], Outcome]:
    entries: list[Entry] = []
    outcome = read_capture(BytesIO(capture), entries.append, **how)
    return entries, outcome


def told(capture: bytes, **how: Any) -> list[str]:
    """What is told of DICOM, without times, addresses and remarks."""
    return [
        f"{entry.name}: {entry.text}".partition(" ms after")[0].rpartition(", ")[0]
        if " ms after" in entry.text
        else f"{entry.name}: {entry.text}"
        for entry in trace(capture, **how)[0]
        if entry.kind not in (Kind.CONNECTION, Kind.NOTE)
    ]


def remarks(capture: bytes, kind: Kind = Kind.NOTE) -> list[str]:
    return [entry.text for entry in trace(capture)[0] if entry.kind is kind]
