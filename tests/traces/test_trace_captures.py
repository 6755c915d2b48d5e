"""Capture files of every kind give the same trace, and damaged ones end with a word about it."""

import struct
from io import BytesIO
from random import Random

import pytest

from dicom_transports.apps.trace.capture import Capture, CaptureError
from tests.traces.packets import (
    BEGAN,
    LINKS,
    NANOSECONDS,
    Wire,
    block,
    enhanced,
    interface,
    pcap,
    remarks,
    section,
    told,
    trace,
)
from tests.traces.scenes import STORE

PACKETS = Wire().play(STORE).packets
TOLD = told(pcap(PACKETS))


def test_a_store_is_told() -> None:
    assert TOLD == [
        "A-ASSOCIATE-RQ: SCANNER calls ARCHIVE, 3 presentation contexts",
        "A-ASSOCIATE-AC: 3 of 3 presentation contexts accepted",
        "C-STORE-RQ: message 1, CT Image Storage, instance 1.2.3.4.5.6, Implicit VR Little Endian",
        "data set: of C-STORE-RQ: 3108 bytes, 7 P-DATA-TF, 6 elements",
        "C-STORE-RSP: to message 1, 0x0000 Success: stored",
        "C-STORE-RQ: message 2, CT Image Storage, instance 1.2.3.4.5.6, Implicit VR Little Endian",
        "data set: of C-STORE-RQ: 208 bytes, 1 P-DATA-TF, 6 elements",
        "C-STORE-RSP: to message 2, 0x0000 Success: stored",
        "A-RELEASE-RQ: ",
        "A-RELEASE-RP: ",
    ]
    assert remarks(pcap(PACKETS)) == ["TCP connections: 1 with DICOM"]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("six", [False, True])
def test_every_link_carries_it(link: str, *, six: bool) -> None:
    assert told(pcap(Wire(six=six).play(STORE).packets, link)) == TOLD


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("nano", [False, True])
def test_both_byte_orders_and_resolutions_of_pcap(order: str, *, nano: bool) -> None:
    packets = [(time + 123, packet) for time, packet in PACKETS]
    entries, _ = trace(pcap(packets, order=order, nano=nano))
    assert entries[0].time == BEGAN + 3_000_000 - 1_000_000 + (123 if nano else 0)


@pytest.mark.parametrize("order", "<>")
def test_pcapng_with_interfaces_of_several_kinds(order: str) -> None:
    names = ["ethernet", "loopback", "Linux cooked"]
    parts = [section(order), *(interface(name, order) for name in names)]
    for number, (time, packet) in enumerate(PACKETS):
        parts.append(block(5, b"statistics that nobody needs", order))
        parts.append(enhanced(number % 3, time // 1000, LINKS[names[number % 3]][1](packet), order))
    assert told(b"".join(parts)) == TOLD
    assert trace(b"".join(parts))[0][0].time == BEGAN + 2_000_000


def test_pcapng_with_nanoseconds_of_one_interface() -> None:
    capture = section() + interface("loopback") + interface("raw", options=NANOSECONDS)
    capture += b"".join(enhanced(1, time + 5, packet) for time, packet in PACKETS)
    assert trace(capture)[0][0].time == BEGAN + 2_000_005


def test_pcapng_in_its_older_blocks() -> None:
    old = section() + interface("raw")
    simple = old
    for time, packet in PACKETS:
        ticks = time // 1000
        head = struct.pack("<HHIIII", 0, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet))
        old += block(2, head + packet)
        simple += block(3, struct.pack("<I", len(packet)) + packet)
    assert told(old) == TOLD
    assert [one.rpartition(", 0.000")[0] or one for one in told(simple)][:4] == TOLD[:4]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "fewer than 4 bytes"),
        (b"%PDF-1.7 and so on, which is no capture", "neither a pcap nor a pcapng file"),
        (pcap([])[:20], "ends within the header"),
    ],
)
def test_what_is_no_capture_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(CaptureError, match=why):
        Capture(BytesIO(content))


WHOLE = {
    "pcap": pcap(PACKETS),
    "pcapng": section() + interface("raw") + b"".join(enhanced(0, time // 1000, one) for time, one in PACKETS),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_capture_is_told_as_far_as_it_goes(kind: str) -> None:
    entries, outcome = trace(WHOLE[kind][:-500])
    assert outcome.is_damaged
    assert outcome.associations == 1
    assert "the capture is truncated: it ends within a packet" in [entry.text for entry in entries]
    assert not trace(WHOLE[kind])[1].is_damaged


@pytest.mark.parametrize(
    "tail",
    [
        struct.pack("<IIII", 1, 2, 1 << 30, 1 << 30),
        b"\xff" * 40,
    ],
)
def test_a_damaged_packet_ends_a_pcap(tail: bytes) -> None:
    texts = remarks(pcap(PACKETS) + tail)
    assert any(text.startswith("the capture is damaged: a packet of ") for text in texts)


@pytest.mark.parametrize(
    "tail", [struct.pack("<III", 6, 7, 0), struct.pack("<III", 0x0A0D0D0A, 28, 99), struct.pack("<III", 6, 8, 0)]
)
def test_a_damaged_block_ends_a_pcapng(tail: bytes) -> None:
    assert any("the capture is damaged" in text for text in remarks(WHOLE["pcapng"] + tail))


def test_blocks_that_make_no_sense_are_passed_over() -> None:
    odd = [block(6, b"short"), enhanced(7, 1, b"of an interface that is not there"), block(3, b""), block(1, b"")]
    odd.append(block(6, struct.pack("<IIIII", 0, 0, 0, 1 << 20, 1 << 20)))
    odd.append(block(0xBAD, bytes(3 << 20)))
    assert told(section() + b"".join(odd[2:3]) + interface("raw") + b"".join(odd) + WHOLE["pcapng"]) == TOLD


def test_packets_that_are_not_tcp_are_passed_over() -> None:
    others = [
        b"\x45\0\0\x14" + bytes(5) + b"\x11" + bytes(30),  # UDP
        b"\x60" + bytes(5) + b"\x3a" + bytes(60),  # ICMP over IPv6
        b"\x60" + bytes(5) + b"\0" + bytes(33) + b"\x06" + bytes(47),  # TCP behind an extension header
        b"\x70" + bytes(60),
        b"\x45",
        b"\x45\0\0\x28\0\0\x20\0\0\x06" + bytes(40),  # a fragment
        b"\x60" + bytes(5) + b"\x2c" + bytes(33) + b"\x06\0\0\x01" + bytes(60),  # the same over IPv6
    ]
    packets = [(BEGAN, other) for other in others]
    assert told(pcap(packets + PACKETS, "raw")) == TOLD
    assert "2 fragments of IP packets, which are not put together" in remarks(pcap(packets + PACKETS, "raw"))
    cut = bytearray(pcap([(BEGAN, bytes(12) + b"\x81\0"), (BEGAN, bytes(12) + b"\x08\x06" + bytes(40))], "raw"))
    cut[20] = 1
    assert remarks(bytes(cut)) == ["TCP connections: none"]


def test_an_unknown_link_is_named() -> None:
    capture = bytearray(pcap(PACKETS))
    capture[20] = 147
    assert f"{len(PACKETS)} packets of link type 147, which is not known here" in remarks(bytes(capture))


def test_packets_of_which_only_the_beginning_was_captured() -> None:
    """As with tcpdump -s: what is missing inside of data sets is said, and everything else is still told."""
    capture = bytearray(pcap([]))
    for time, packet in Wire().play(STORE, 200).packets:
        frame = LINKS["ethernet"][1](packet)
        kept = frame[:100] if not any(packet[40:]) else frame  # pixels alone
        capture += struct.pack("<IIII", time // 10**9, time % 10**9 // 1000, len(kept), len(frame)) + kept
    entries, _ = trace(bytes(capture))
    assert any("bytes of it are not in the capture" in entry.text for entry in entries)
    assert [entry.name for entry in entries if entry.name.startswith(("C-", "A-", "data set"))] == [
        line.partition(":")[0] for line in TOLD
    ]


def test_damage_anywhere_never_raises() -> None:
    random = Random(7)
    for whole in WHOLE.values():
        for _ in range(150):
            capture = bytearray(whole)
            for _ in range(random.choice([1, 3, 30])):
                capture[random.randrange(24, len(capture))] = random.randrange(256)
            trace(bytes(capture), values=True, pdus=True)
