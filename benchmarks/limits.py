"""What an implementation in Python can hope for: the same bytes copied or walked through, without DICOM's rules."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from benchmarks.measure import Address, Sample, Scale, rate, serving, timed

__all__ = [
    "associations",
    "copy_blocks",
    "frame_and_parse",
    "ping_pong",
    "raw_objects",
    "walk_command_set",
    "walk_data",
    "walk_items",
]

_ITEM: Final = struct.Struct(">BxH")
_ELEMENT: Final = struct.Struct("<HHI")
_DATA: Final = struct.Struct(">BxIIBB")
_PING: Final = bytes(80)
_RECEIVE_SIZE: Final = 1 << 18


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


def _connect(address: Address) -> socket.socket:
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextmanager
def _server(expected: int) -> Iterator[Address]:
    """Answer with a ping whenever so many bytes have come."""

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray(_RECEIVE_SIZE)
        left = expected
        while count := sock.recv_into(buffer, min(left, len(buffer))):
            left -= count
            if not left:
                sock.sendall(_PING)
                left = expected

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()


def ping_pong(scale: Scale) -> Sample:
    """Send 80 bytes and wait for 80 bytes."""
    with serving(lambda: _server(len(_PING))) as peer, closing(_connect(peer.address)) as sock:

        def turn() -> None:
            sock.sendall(_PING)
            sock.recv(_RECEIVE_SIZE)

        return Sample(rate(turn, scale.seconds), peer_growth=peer.growth())


def associations(scale: Scale) -> Sample:
    """Connect, send and receive 80 bytes three times, and close."""
    with serving(lambda: _server(len(_PING))) as peer:

        def turn() -> None:
            with closing(_connect(peer.address)) as sock:
                for _ in range(3):
                    sock.sendall(_PING)
                    sock.recv(_RECEIVE_SIZE)

        return Sample(rate(turn, scale.seconds), peer_growth=peer.growth())


def raw_objects(data: memoryview, scale: Scale, units: float, pdu_length: int) -> Sample:
    """Send an object in framed PDUs, as many to one ``sendmsg`` as make 1 MiB, and wait for 80 bytes."""
    header = bytes(12)
    payload = pdu_length - 6
    pdus = -(-len(data) // payload)
    turns = max(1, (1 << 20) // pdu_length)
    with serving(lambda: _server(len(data) + pdus * len(header))) as peer, closing(_connect(peer.address)) as sock:

        def turn() -> None:
            for first in range(0, pdus, turns):
                buffers: list[bytes | memoryview] = []
                for number in range(first, min(first + turns, pdus)):
                    buffers += (header, data[number * payload : (number + 1) * payload])
                _send(sock, buffers)
            sock.recv(_RECEIVE_SIZE)

        return Sample(rate(turn, scale.seconds, units), peer_growth=peer.growth())


def _send(sock: socket.socket, buffers: list[bytes | memoryview]) -> None:
    left = sum(map(len, buffers))
    while count := sock.sendmsg(buffers):
        left -= count
        if not left:
            return
        while count >= len(buffers[0]):
            count -= len(buffers.pop(0))
        buffers[0] = memoryview(buffers[0])[count:]
