"""Captures read by ``dicom-proto trace``: how many bytes of them in a second, with short packets and with long ones."""

import struct
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO, StringIO
from typing import Any, Final

from benchmarks import samples
from benchmarks.measure import OURS, Sample, Scale, Workload, timed
from dicom_proto.dimse.messages import CStoreRSP, encode_message
from dicom_proto.upper_layer.pdu import MCH_COMMAND, MCH_LAST, encode_pdu, pack_pdv_header
from dicom_transports.apps.trace.entries import Entry
from dicom_transports.apps.trace.page import Page
from dicom_transports.apps.trace.reading import read_capture
from dicom_transports.apps.trace.text import TextLadder

__all__ = ["workloads"]

SEGMENTS: Final = {"packets of 1,514 bytes": 1460, "segments of 64 KiB": 65_495}
_SMALLER: Final = 16  # than the big object of storage is a capture
_PDU: Final = 1 << 17
_HEAD: Final = 54  # bytes of Ethernet, IPv4 and TCP before what a segment carries
_STEP: Final = 10  # microseconds from one packet to the next


class _Writer:
    """Writes the packets of one connection as pcap."""

    def __init__(self, size: int) -> None:
        self.file = BytesIO()
        self.file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
        self._size = size
        self._next = [1, 1]
        self._packets = 0

    def send(self, back: bool, data: bytes, flags: int = 0x10) -> None:
        """Write what one end sends, ``back`` for that which was connected to."""
        ends = [b"\x0a\0\0\1", b"\x0a\0\0\2"], [40_000, 104]
        (source, target), ports = (pair[::-1] if back else pair for pair in ends)
        for at in range(0, max(len(data), 1), self._size):
            piece = data[at : at + self._size]
            ip = struct.pack(">BxH5xB2x4s4s", 0x45, min(40 + len(piece), 0xFFFF), 6, source, target)
            tcp = struct.pack(">HHIIBB6x", *ports, self._next[back], self._next[not back], 0x50, flags)
            seconds, micros = divmod(self._packets * _STEP, 1_000_000)
            length = _HEAD + len(piece)
            self.file.write(struct.pack("<IIII", seconds, micros, length, length))
            self.file.write(bytes(12) + b"\x08\0" + ip + tcp + piece)
            self._next[back] = (self._next[back] + len(piece) + (flags & 2) // 2) % (1 << 32)
            self._packets += 1


def _message(command: bytes, data: bytes) -> bytes:
    pdus = [pack_pdv_header(1, MCH_COMMAND | MCH_LAST, len(command)), command]
    for at in range(0, len(data), _PDU - 6):
        piece = data[at : at + _PDU - 6]
        pdus += pack_pdv_header(1, MCH_LAST if at + len(piece) == len(data) else 0, len(piece)), piece
    return b"".join(pdus)


def _capture(length: int, size: int) -> bytes:
    """Return a capture of an association with many C-STORE of an image."""
    writer = _Writer(size)
    offer = samples.offer_128()
    writer.send(False, b"", 2)
    writer.send(True, b"", 0x12)
    writer.send(False, encode_pdu(offer))
    writer.send(True, encode_pdu(samples.accepting(offer, _PDU)))
    image = struct.pack("<HHI", 0x7FE0, 0x0010, samples.IMAGE_BYTES) + bytes(samples.IMAGE_BYTES)
    number = 0
    while writer.file.tell() < length:
        number += 1
        request = samples.store_request(number % (1 << 16))
        writer.send(False, _message(encode_message(request, has_data_set=True), image))
        response = CStoreRSP(message_id_being_responded_to=number % (1 << 16), status=0)
        writer.send(True, _message(encode_message(response, has_data_set=False), b""))
    return writer.file.getvalue()


def _trace(capture: bytes, sink: Callable[[Entry], object]) -> Sample:
    seconds = timed(partial(read_capture, BytesIO(capture), sink))
    return Sample(len(capture) / 1e6 / seconds)


def _with_dpkt(capture: bytes) -> Sample:
    """Read the packets with dpkt, and do nothing with them."""
    dpkt: Any = import_module("dpkt")

    def read() -> None:
        for _, frame in dpkt.pcap.Reader(BytesIO(capture)):
            dpkt.ethernet.Ethernet(frame)

    return Sample(len(capture) / 1e6 / timed(read))


def _workload(name: str, length: int, size: int) -> Workload:
    captures: list[bytes] = []
    jobs = {
        OURS: lambda capture: _trace(capture, TextLadder(StringIO())),
        "page": lambda capture: _trace(capture, Page(StringIO(), "capture")),
        **({"dpkt: packets alone": _with_dpkt} if find_spec("dpkt") else {}),
    }

    def prepare() -> None:
        captures[:] = [_capture(length, size)]

    return Workload(name, "MB", {who: partial(_of_first, job, captures) for who, job in jobs.items()}, prepare)


def _of_first(job: Callable[[bytes], Sample], captures: list[bytes]) -> Sample:
    return job(captures[0])


def workloads(scale: Scale) -> Iterator[Workload]:
    """Yield the workloads of captures."""
    for name, size in SEGMENTS.items():
        yield _workload(name, scale.big // _SMALLER, size)
