"""Connections are put together from whatever segments a capture has, in bounded memory."""

from collections.abc import Callable
from random import Random

import pytest

from dicom_transports.apps.trace.entries import Kind
from dicom_transports.apps.trace.segments import Segment
from dicom_transports.apps.trace.streams import Reassembly
from tests.traces.packets import ACK, BEGAN, RST, SYN, Wire, pcap, remarks, told, trace
from tests.traces.scenes import ECHO, STORE

TOLD = told(pcap(Wire().play(STORE).packets))


def test_segments_that_come_twice_and_cut_elsewhere() -> None:
    wire = Wire()
    start = list(wire.next)
    for step in STORE:
        begin = list(wire.next)
        wire.play([step], 100, ends=False)
        wire.next = begin
        wire.play([step], 130, ends=False)
    assert start != wire.next
    capture = pcap(wire.packets)
    assert told(capture) == TOLD
    assert any("segments to the second end were repeated" in text for text in remarks(capture))


def test_segments_out_of_order() -> None:
    wire = Wire()
    random = Random(3)
    packets = [packet for _, packet in wire.packets]
    for step in STORE:
        before = len(wire.packets)
        wire.play([step], 150, ends=False)
        run = [packet for _, packet in wire.packets[before:]]
        random.shuffle(run)
        packets += run
    capture = pcap((BEGAN + n, packet) for n, packet in enumerate(packets))
    assert told(capture) == TOLD
    assert any("came out of order" in text for text in remarks(capture))


def test_a_keep_alive_and_an_odd_acknowledgement_change_nothing() -> None:
    wire = Wire()
    for step in STORE:
        wire.play([step], ends=False)
        wire.next[False] -= 1
        wire.send(False, b"\0")
        wire.send(True, b"", acknowledged=12)
    assert told(pcap(wire.packets)) == TOLD


def lose(is_lost: Callable[[bytes], bool], size: int) -> tuple[list[str], list[str]]:
    """What is told, and remarked, of a capture without some segments."""
    packets = [packet for _, packet in Wire().play(STORE, size).packets if not is_lost(packet)]
    capture = pcap((BEGAN + 100_000_000 * n, packet) for n, packet in enumerate(packets))
    return told(capture), remarks(capture)


def test_a_hole_in_a_data_set_is_named_and_everything_else_told() -> None:
    lines, texts = lose(lambda packet: len(packet) == 240 and not any(packet[40:]), 200)
    assert [line for line in lines if not line.startswith("data set")] == [
        line for line in TOLD if not line.startswith("data set")
    ]
    assert any("00 bytes of it are not in the capture" in line for line in lines)
    assert any("bytes to the second end are not in the capture" in text for text in texts)


def test_a_hole_in_a_request_ends_what_it_was_and_reading_goes_on() -> None:
    lines, texts = lose(lambda packet: b"SCANNER" in packet, 100)
    assert lines[-2:] == TOLD[-2:]
    assert any("reading goes on at the next PDU" in text or "middle" in text for text in texts)


def test_a_capture_that_begins_in_the_middle() -> None:
    packets = Wire().play(STORE, 1 << 16).packets
    capture = pcap(packets[5:])
    lines = told(capture)
    assert "C-STORE-RQ: message 2, CT Image Storage, instance 1.2.3.4.5.6" in lines
    assert "data set: of C-STORE-RQ: 208 bytes, 1 P-DATA-TF, 6 elements" in lines
    assert remarks(capture)[0].startswith("it begins in the middle of this connection")
    assert not remarks(capture, Kind.VIOLATION)


def test_a_capture_without_the_handshake_begins_at_the_beginning() -> None:
    assert told(pcap(Wire(syn=False).play(STORE).packets)) == TOLD


def test_a_capture_that_ends_early_says_so() -> None:
    capture = pcap(Wire().play(STORE[:4], ends=False).packets)
    assert "it ends before the association does" in remarks(capture)


def test_one_direction_alone() -> None:
    packets = [packet for packet in Wire().play(STORE).packets if packet[1][12:16] == b"\x0a\0\0\1"]
    assert "C-STORE-RQ: message 1, CT Image Storage, instance 1.2.3.4.5.6" in told(pcap(packets))
    answers = [packet for packet in Wire().play(STORE).packets if packet[1][12:16] == b"\x0a\0\0\2"]
    assert told(pcap(answers))[0] == TOLD[1]


def test_a_port_that_is_used_again_is_another_connection() -> None:
    packets = [*Wire().play(STORE).packets, *Wire(first=9).play(ECHO).packets, *Wire(port=41_000).play(ECHO).packets]
    entries, outcome = trace(pcap(packets))
    assert outcome.associations == 3
    assert [entry.stream for entry in entries if entry.kind is Kind.CONNECTION] == [1, 2, 3]


def test_a_connection_that_is_reset() -> None:
    wire = Wire().play(STORE[:3], ends=False)
    wire.send(True, b"", RST)
    wire.send(True, b"", RST)
    assert remarks(pcap(wire.packets))[0].startswith("the connection is reset with the association open: A-P-ABORT")
    over = Wire().play(STORE, ends=False)
    over.send(False, b"", RST)
    assert remarks(pcap(over.packets))[0] == "the connection is reset"


@pytest.mark.parametrize("ends", [True, False])
def test_a_connection_that_is_closed_too_early(*, ends: bool) -> None:
    texts = remarks(pcap(Wire().play([*STORE[:2], (False, STORE[2][1][:700])], ends=ends).packets))
    assert ("the connection ends within a PDU" in texts) is ends
    assert any(text.startswith("the connection is closed with the association open") for text in texts) is ends


def test_what_is_no_dicom_is_not_told() -> None:
    http = Wire(port=1).play([(False, b"GET / HTTP/1.1\r\n\r\n"), (True, b"HTTP/1.1 200 OK\r\n")])
    speaks_first = Wire(port=2).play([(True, b"SSH-2.0-x\r\n")])
    tls = Wire(port=3).play([(False, b"\x16\x03\x01\x02\0\x01"), (True, b"\x16\x03\x03\0\x7a")])
    short = Wire(port=4).play([(False, b"\x01\0\0")])
    packets = [*http.packets, *speaks_first.packets, *tls.packets, *short.packets]
    entries, outcome = trace(pcap(packets))
    assert outcome.associations == 0
    assert [entry.text for entry in entries] == [
        "10.0.0.1:3 to 10.0.0.2:104: encrypted, what passes cannot be read (PS3.15 B)",
        "TCP connections: 1 with encrypted (TLS), which cannot be read, 2 with something else, "
        "1 with too little to tell",
    ]


class Deaf:
    """Takes everything, and counts it."""

    is_deaf = False

    def __init__(self) -> None:
        self.received = self.missed = 0
        self.is_closed = False

    def receive(self, _back: bool, _time: int, data: bytes) -> None:
        self.received += len(data)

    def miss(self, _back: bool, _time: int, length: int) -> None:
        self.missed += length

    def end(self, _back: bool, _time: int, *, reset: bool) -> None:
        pass

    def close(self, _remarks: list[str]) -> None:
        self.is_closed = True


def segment(sequence: int, payload: bytes, *, ports: bytes = b"\0\1\0\2", flags: int = ACK, time: int = 0) -> Segment:
    return Segment(time, bytes(8), ports, sequence % (1 << 32), 0, flags, payload, 0)


def test_what_comes_early_waits_in_bounded_memory() -> None:
    listener = Deaf()
    reassembly = Reassembly(lambda *_: listener)
    reassembly.take(segment(0, b"x"))
    for n in range(2000):
        reassembly.take(segment(100 + 2 * n, b"y"))
        waiting = reassembly.waiting_bytes
        assert waiting <= 513
    for n in range(30):
        reassembly.take(segment(100_000 + n * 300_000, bytes(250_000)))
        assert reassembly.waiting_bytes <= 1 << 22
    reassembly.close()
    assert reassembly.waiting_bytes == 0
    assert listener.received == 1 + 2000 + 30 * 250_000


def test_what_comes_early_in_many_connections_waits_in_bounded_memory() -> None:
    reassembly = Reassembly(lambda *_: Deaf())
    for n in range(100):
        ports = n.to_bytes(2, "big") + b"\xff\xff"
        reassembly.take(segment(0, b"x", ports=ports))
        for early in range(3):
            reassembly.take(segment(10_000_000 * (early + 1), bytes(1 << 20), ports=ports))
            assert reassembly.waiting_bytes <= 1 << 26
    reassembly.close()
    assert reassembly.waiting_bytes == 0


def test_connections_are_kept_in_bounded_number_and_the_silent_ones_go() -> None:
    listeners: list[Deaf] = []

    def listen(*_: object) -> Deaf:
        listeners.append(Deaf())
        return listeners[-1]

    reassembly = Reassembly(listen)
    for n in range(2000):
        reassembly.take(segment(0, b"x", ports=n.to_bytes(2, "big") + b"\xff\xff"))
        reassembly.take(segment(1 + n, b"x", ports=b"\0\0\xff\xff"))
    assert not listeners[0].is_closed
    assert listeners[1].is_closed
    assert sum(listener.is_closed for listener in listeners) == 2000 - 1024


def test_connections_that_are_over_make_room() -> None:
    listeners: list[Deaf] = []

    def listen(*_: object) -> Deaf:
        listeners.append(Deaf())
        return listeners[-1]

    reassembly = Reassembly(listen)
    for n in range(5000):
        ports = n.to_bytes(2, "big") + b"\xff\xff"
        for flags in (SYN, RST, ACK, SYN):  # the two last come late
            reassembly.take(segment(0 if flags & SYN else 1, b"x" if flags == ACK else b"", ports=ports, flags=flags))
    assert len(listeners) == 5000
    assert all(listener.is_closed for listener in listeners)
    assert not any(listener.received for listener in listeners)
    reassembly.take(segment(7, b"", ports=b"\0\1\xff\xff", flags=SYN))
    assert len(listeners) == 5001


def test_a_handshake_alone_is_a_connection() -> None:
    listener = Deaf()
    reassembly = Reassembly(lambda *_: listener)
    reassembly.take(segment(5, b"fast", flags=SYN))
    reassembly.take(segment(5, b"fast", flags=SYN))
    reassembly.take(segment(10, b"er"))
    assert listener.received == 6
