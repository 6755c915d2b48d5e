"""Recorded sessions through the core: the same events at every cut, and the same bytes when they are encoded again.

The recordings below are written in code. Captures of real programs are replayed too where there are any: in the folder
that ``DICOM_PROTO_CAPTURES`` names, else in the one called ``shared/captures`` beside the repository.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import dpkt
import pytest

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CStoreRQ,
    CStoreRSP,
    Message,
    Request,
    Response,
    decode_message,
    encode_message,
)
from dicom_proto.testing.pair import CT, STUDY_FIND, answer, offer
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import Aborted, AbortOrigin
from dicom_proto.upper_layer.items import OperationsWindow
from dicom_proto.upper_layer.pdu import (
    PDV,
    AAbort,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    PDUType,
    decode_pdu,
    encode_pdu,
)
from tests.capture_files import read_capture
from tests.recordings import (
    CUTS,
    Canonical,
    Player,
    Recording,
    Said,
    canonical,
    encode_events,
    every,
    mask,
    script,
    split,
)

ROOT = Path(__file__).parents[1]
CAPTURES = Path(os.environ.get("DICOM_PROTO_CAPTURES", ROOT.parent / "shared" / "captures"))
IMAGE = Random(1).randbytes(3000)
MAXIMUM_LENGTH = 512
FRAGMENT = MAXIMUM_LENGTH - 6
GET = "1.2.840.10008.5.1.4.1.2.1.3"
INSTANCE = "1.2.3.4.5.6"


# --- recordings in code -----------------------------------------------------------------------------------------------


def say(
    message: Message,
    data: bytes | None = None,
    *,
    context: int = 1,
    fragment: int = MAXIMUM_LENGTH - 6,
    apart: bool = True,
) -> bytes:
    """A message on the wire: fragments of a length, one in each PDU, or (``apart`` is false) all in one."""
    command = encode_message(message, has_data_set=data is not None)
    pdvs = [
        PDV(context, is_command, start + fragment >= len(part), part[start : start + fragment])
        for is_command, part in ((True, command), (False, data or b""))
        for start in range(0, len(part), fragment)
    ]
    packed = [(pdv,) for pdv in pdvs] if apart else [tuple(pdvs)]
    return b"".join(encode_pdu(PDataTF(some)) for some in packed)


def store(message_id: int, context: int = 1, size: int = len(IMAGE), **how: Any) -> bytes:
    request = CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid=INSTANCE)
    return say(request, IMAGE[:size], context=context, **how)


def stored(message_id: int, context: int = 1, status: int = 0) -> bytes:
    response = CStoreRSP(
        message_id_being_responded_to=message_id,
        status=status,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid=INSTANCE,
    )
    return say(response, context=context)


def found(status: int, identifier: bytes | None = None) -> bytes:
    return say(CFindRSP(message_id_being_responded_to=7, affected_sop_class_uid=STUDY_FIND, status=status), identifier)


def got(status: int, remaining: int | None, completed: int) -> bytes:
    response = CGetRSP(
        message_id_being_responded_to=3,
        status=status,
        number_of_remaining_suboperations=remaining,
        number_of_completed_suboperations=completed,
        number_of_failed_suboperations=0,
        number_of_warning_suboperations=0,
    )
    return say(response)


RELEASE_RQ, RELEASE_RP = encode_pdu(AReleaseRQ()), encode_pdu(AReleaseRP())
ABORT, PROVIDER_ABORT = encode_pdu(AAbort(0)), encode_pdu(AAbort(2, 6))
ECHO_RQ = say(CEchoRQ(message_id=1))
ECHO_RSP = say(CEchoRSP(message_id_being_responded_to=1, status=0, affected_sop_class_uid="1.2.840.10008.1.1"))
FIND_RQ = say(CFindRQ(message_id=7, affected_sop_class_uid=STUDY_FIND), b"query!")
TWO = OperationsWindow(2, 2)


def record(
    name: str, abstract_syntaxes: list[str], requestor: bytes, acceptor: bytes, window: OperationsWindow | None = None
) -> Recording:
    """An association that was accepted, with what each side said then."""
    request = offer(*abstract_syntaxes, maximum_length=MAXIMUM_LENGTH, window=window)
    response = answer(request, maximum_length=MAXIMUM_LENGTH, window=window)
    return Recording(name, encode_pdu(request) + requestor, encode_pdu(response) + acceptor)


RQ = encode_pdu(offer())
RECORDINGS = [
    record("echo", [], ECHO_RQ + RELEASE_RQ, ECHO_RSP + RELEASE_RP),
    record("store", [CT], b"".join(map(store, (1, 2, 3))) + RELEASE_RQ, b"".join(map(stored, (1, 2, 3))) + RELEASE_RP),
    record("store-window", [CT], store(1) + store(2) + RELEASE_RQ, stored(2) + stored(1) + RELEASE_RP, TWO),
    record("store-small-pdvs", [CT], store(1, fragment=128, size=2000) + RELEASE_RQ, stored(1) + RELEASE_RP),
    record("store-in-one-pdu", [CT], store(1, fragment=64, size=200, apart=False) + RELEASE_RQ, stored(1) + RELEASE_RP),
    record("store-refused", [CT], store(1) + RELEASE_RQ, stored(1, status=0xA700) + RELEASE_RP),
    record(
        "find",
        [STUDY_FIND],
        FIND_RQ + RELEASE_RQ,
        found(0xFF00, b"match 1 ") + found(0xFF00, b"match 2 ") + found(0) + RELEASE_RP,
    ),
    record(
        "find-cancelled",
        [STUDY_FIND],
        FIND_RQ + say(CCancelRQ(message_id_being_responded_to=7)) + RELEASE_RQ,
        found(0xFF00, b"match 1 ") + found(0xFE00) + RELEASE_RP,
    ),
    record(
        "get",
        [GET, CT],
        say(CGetRQ(message_id=3, affected_sop_class_uid=GET), b"query!") + stored(1, 3) + stored(2, 3) + RELEASE_RQ,
        store(1, 3) + got(0xFF00, 1, 1) + store(2, 3, size=100) + got(0, None, 2) + RELEASE_RP,
    ),
    record("collision", [], RELEASE_RQ + RELEASE_RP, RELEASE_RQ + RELEASE_RP),
    record("acceptor-releases", [], ECHO_RQ + RELEASE_RP, ECHO_RSP + RELEASE_RQ),
    record("requestor-aborts", [], ECHO_RQ + ABORT, ECHO_RSP),
    record("acceptor-aborts", [CT], store(1)[:2000], PROVIDER_ABORT),
    record("requestor-vanishes", [CT], store(1)[:2000], b""),
    record("acceptor-vanishes", [CT], store(1), stored(1)[:50]),
    record("unasked-response", [CT], stored(9) + RELEASE_RQ, RELEASE_RP),
    Recording("rejected", RQ, encode_pdu(AAssociateRJ(2, 3, 2))),
    Recording("rejected-by-abort", RQ, PROVIDER_ABORT),
    Recording("cut-in-the-answer", RQ, encode_pdu(answer(offer()))[:60]),
    Recording("never-answered", RQ, b""),
]


def captured() -> Iterator[Any]:
    """The captures, or one test that says why there are none."""
    files = sorted(CAPTURES.glob("*.pcap*")) if CAPTURES.is_dir() else []
    for file in files:
        yield from (pytest.param(recording, id=recording.name) for recording in read_capture(file))
    if not files:
        reason = "no captures: DICOM_PROTO_CAPTURES names no folder with pcap files"
        yield pytest.param(None, id="captures", marks=pytest.mark.skip(reason=reason))


every_recording = pytest.mark.parametrize(
    "recording", [*(pytest.param(one, id=one.name) for one in RECORDINGS), *captured()]
)
every_machine = pytest.mark.parametrize("machine", [Association, Connection])


# --- replay -----------------------------------------------------------------------------------------------------------


@every_machine
@every_recording
def test_every_cut_gives_the_same_events(recording: Recording, machine: type[Association | Connection]) -> None:
    for own, peers in recording.sides():
        whole = Player(machine(), own)
        expected = whole.hear(peers, CUTS["whole"])
        for name, cut in CUTS.items():
            player = Player(machine(), own)
            assert player.hear(peers, cut) == expected, name
            assert player.sent == whole.sent, name


def is_cut_off(events: list[Any]) -> bool:
    """Whether the core has ended the association itself because of what it received."""
    return any(isinstance(event, Aborted) and event.origin is AbortOrigin.LOCAL_PROVIDER for event in events)


@every_machine
@every_recording
def test_events_encode_to_what_was_received(recording: Recording, machine: type[Association | Connection]) -> None:
    for own, peers in recording.sides():
        events = Player(machine(), own).hear(peers, CUTS["whole"])
        encoded, received = encode_events(events), canonical(peers)
        if is_cut_off(events):
            assert machine is Connection  # the upper layer takes all that is in the recordings
            received = received[: len(encoded)]
        assert encoded == received


def said_in(stream: bytes) -> Canonical:
    """What a side has said in canonical form, without commands whose data set has no end in the recording."""
    items = canonical(stream)
    following = [*items[1:], b""][: len(items)]
    return [
        item
        for item, after in zip(items, following, strict=True)
        if isinstance(item, bytes) or not item[1] or isinstance(after, tuple) or not decode_message(item[2])[1]
    ]


def answers_what_was_asked(recording: Recording) -> bool:
    """Whether each response answers a request of the other side; old answers that a fuzzer plays again do not."""
    for own, peers in recording.sides():
        asked = {message.message_id for message in messages(peers) if isinstance(message, Request)}
        answered = {message.message_id_being_responded_to for message in messages(own) if isinstance(message, Response)}
        if not answered <= asked:
            return False
    return True


def messages(stream: bytes) -> list[Message]:
    return [action.message for action in script(stream) if isinstance(action, Said)]


@every_recording
def test_core_says_what_was_said(recording: Recording) -> None:
    for own, peers in recording.sides():
        player = Player(Connection(), own)
        events = player.hear(peers, CUTS["whole"])
        said, was_said = canonical(bytes(player.sent)), said_in(own)
        if is_cut_off(events):
            assert said.pop()[:1] == b"\7"
        if player.left:
            assert not answers_what_was_asked(recording)
            was_said = was_said[: -len(player.left)]
        assert said == was_said


@every_recording
def test_every_pdu_and_command_encodes_to_what_it_was(recording: Recording) -> None:
    for own, _ in recording.sides():
        for pdu in split(own):
            assert encode_pdu(decode_pdu(pdu[0], pdu[6:])) == mask(pdu)
        for item in canonical(own):
            if isinstance(item, tuple) and item[1]:
                message, has_data_set = decode_message(item[2])
                assert encode_message(message, has_data_set=has_data_set) == item[2]


# --- the machinery ----------------------------------------------------------------------------------------------------


def is_reserved(pdu: bytes, at: int) -> bool:
    try:
        return mask(pdu[:at] + bytes([pdu[at] ^ 0xFF]) + pdu[at + 1 :]) == pdu
    except struct.error:  # that was a length
        return False


def test_reserved_bytes_are_no_difference_and_all_others_are() -> None:
    """Of each byte that may be changed without a difference in canonical form, the core takes no notice either."""
    pdus = [RQ, encode_pdu(answer(offer())), encode_pdu(AAssociateRJ(1, 1, 1)), RELEASE_RQ, RELEASE_RP, PROVIDER_ABORT]
    for pdu in pdus:
        echoed = range(10, 74) if pdu[0] == PDUType.A_ASSOCIATE_AC else ()
        reserved = [at for at in range(len(pdu)) if is_reserved(pdu, at)]
        assert reserved[0] == 1
        changed = bytearray(pdu)
        for at in (*reserved, *echoed):
            changed[at] ^= 0xFF
        assert decode_pdu(changed[0], changed[6:]) == decode_pdu(pdu[0], pdu[6:])


def test_data_set_type_and_fragments_are_no_difference() -> None:
    whole = store(1, size=1000)
    other = store(1, size=1000, fragment=64).replace(
        bytes.fromhex("0000 0008 0200 0000 0100"), bytes.fromhex("0000 0008 0200 0000 0201")
    )
    assert canonical(whole) == canonical(other)
    assert canonical(whole) != canonical(store(1, size=998))


class Segments:
    """TCP connections cut into packets, as a capture has them."""

    def __init__(self, *, syn: bool = True, port: int = 40_000, first: int = (1 << 32) - 5000) -> None:
        self.packets: list[bytes] = []
        self.ends = {True: (b"\x7f\0\0\1", port), False: (b"\x7f\0\0\2", 104)}
        self.next = dict.fromkeys(self.ends, first)
        if syn:
            self.add(True, b"", dpkt.tcp.TH_SYN)
            self.add(False, b"", dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK)

    def add(self, by_requestor: bool, payload: bytes, flags: int = dpkt.tcp.TH_ACK) -> None:
        (source, sport), (target, dport) = self.ends[by_requestor], self.ends[not by_requestor]
        tcp = dpkt.tcp.TCP(sport=sport, dport=dport, seq=self.next[by_requestor], flags=flags, data=payload)
        ip = dpkt.ip.IP(src=source, dst=target, p=dpkt.ip.IP_PROTO_TCP, data=tcp)
        self.packets.append(bytes(dpkt.ethernet.Ethernet(data=ip)))
        length = len(payload) + bool(flags & dpkt.tcp.TH_SYN)
        self.next[by_requestor] = (self.next[by_requestor] + length) % (1 << 32)

    def play(self, recording: Recording, size: int) -> None:
        for by_requestor, stream in ((True, recording.requestor), (False, recording.acceptor)):
            for piece in every(size)(stream):
                self.add(by_requestor, piece)


def capture(path: Path, packets: list[bytes]) -> list[tuple[bytes, bytes]]:
    with path.open("wb") as file:
        dpkt.pcap.Writer(file).writepkts((0, packet) for packet in packets)
    return [(recording.requestor, recording.acceptor) for recording in read_capture(path)]


STORE = RECORDINGS[1]


@pytest.mark.parametrize("syn", [True, False])
def test_capture_with_late_repeated_and_overlapping_segments(tmp_path: Path, *, syn: bool) -> None:
    segments = Segments(syn=syn)
    start = dict(segments.next)
    segments.play(STORE, 1000)
    segments.next = start  # all of it once more, cut elsewhere
    segments.play(STORE, 1300)
    Random(3).shuffle(segments.packets)
    assert capture(tmp_path / "c.pcap", segments.packets) == [(STORE.requestor, STORE.acceptor)]


def test_capture_with_two_connections_from_one_port(tmp_path: Path) -> None:
    first, second, other = Segments(), Segments(first=77), Segments(port=40_001)
    first.play(STORE, 1000)
    second.play(RECORDINGS[0], 10)
    other.play(RECORDINGS[0], 20)
    echo = RECORDINGS[0].requestor, RECORDINGS[0].acceptor
    packets = [*first.packets, *second.packets, *other.packets]
    assert capture(tmp_path / "c.pcap", packets) == [(STORE.requestor, STORE.acceptor), echo, echo]


def test_capture_that_lacks_a_segment_ends_there(tmp_path: Path) -> None:
    segments = Segments()
    segments.play(STORE, 1000)
    del segments.packets[2 + 5]
    assert capture(tmp_path / "c.pcap", segments.packets) == [(STORE.requestor[:5000], STORE.acceptor)]
