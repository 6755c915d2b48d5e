"""What sockets alone can do: the same bytes there and back, with nothing of DICOM's rules."""

import mmap
import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

from benchmarks.files import Files, Stored
from benchmarks.jobs import Job
from benchmarks.measure import Sample
from benchmarks.processes import HOST, Address, Report, Spent, forked

__all__ = ["associations", "ping_pong", "stores", "stores_into"]

_PING: Final = bytes(80)
_HEADER: Final = bytes(12)  # of a P-DATA-TF with one fragment
_PAYLOAD: Final = (1 << 17) - 6
_RECEIVE_SIZE: Final = 1 << 18
_AT_ONCE: Final = 8  # PDUs in one ``sendmsg``


def _connect(address: Address) -> socket.socket:
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _listen(serve: Callable[[socket.socket], None], report: Report) -> None:
    """Serve each connection in a thread of its own."""
    with socket.create_server((HOST, 0), backlog=128) as listener:
        report(listener.getsockname())
        while True:
            sock = listener.accept()[0]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()


def _answer_pings(sock: socket.socket) -> None:
    buffer = bytearray(_RECEIVE_SIZE)
    while sock.recv_into(buffer):
        sock.sendall(_PING)


def _take_objects(stored: Stored, lengths: list[int], sock: socket.socket) -> None:
    """Take objects of known lengths, write them into files, and answer each with a ping."""
    buffer = memoryview(bytearray(_RECEIVE_SIZE))
    for number, length in enumerate(lengths):
        name = os.devnull if stored.directory is None else stored.directory / str(number)
        left = length
        with open(name, "wb", buffering=0) as file:  # noqa: PTH123 - less between it and the system
            while left:
                count = sock.recv_into(buffer, min(left, len(buffer)))
                left -= count
                if stored.directory is not None:
                    file.write(buffer[:count])
            if stored.is_durable:
                os.fsync(file.fileno())
        sock.sendall(_PING)


def _framed(length: int) -> int:
    """Return the length of so many bytes with the headers of their PDUs."""
    return length + -(-length // _PAYLOAD) * len(_HEADER)


def _send(sock: socket.socket, path: Path) -> None:
    """Send a file in PDUs as it lies there, and wait for the answer."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        for start in range(0, len(view), _PAYLOAD * _AT_ONCE):
            stop = min(len(view), start + _PAYLOAD * _AT_ONCE)
            _send_framed(sock, [view[at : min(at + _PAYLOAD, stop)] for at in range(start, stop, _PAYLOAD)])
    sock.recv(_RECEIVE_SIZE)


def _send_framed(sock: socket.socket, fragments: list[memoryview]) -> None:
    buffers: list[bytes | memoryview] = [part for fragment in fragments for part in (_HEADER, fragment)]
    left = sum(map(len, buffers))
    while count := sock.sendmsg(buffers):
        left -= count
        if not left:
            return
        while count >= len(buffers[0]):
            count -= len(buffers.pop(0))
        buffers[0] = memoryview(buffers[0])[count:]


def _measured(
    serve: Callable[[Report], object], talk: Callable[[Address], object], operations: int, units: float | None = None
) -> Sample:
    with forked(serve) as peer:
        began, cpu = perf_counter(), process_time()
        talk(peer.address)
        spent = Spent(perf_counter() - began, process_time() - cpu)
        used = peer.usage().cpu - peer.before.cpu
        figures = {"SCU CPU": spent.cpu / operations, "SCP CPU": used / operations}
        return Sample((units or operations) / spent.seconds, peer_growth=peer.growth(), figures=figures)


def stores(stored: Stored, job: Job, units: float | None = None) -> Sample:
    """Send files one after the other."""

    def talk(address: Address) -> None:
        with closing(_connect(address)) as sock:
            for path in job.paths:
                _send(sock, path)

    lengths = [_framed(path.stat().st_size) for path in job.paths]
    return _measured(partial(_listen, partial(_take_objects, stored, lengths)), talk, job.operations, units)


def stores_into(files: Files, is_durable: bool, job: Job, units: float | None = None) -> Sample:
    """Send files one after the other, which become files."""
    with files.incoming() as directory:
        return stores(Stored(directory, is_durable), job, units)


def ping_pong(job: Job) -> Sample:
    """Send 80 bytes and wait for 80 bytes, for each C-ECHO."""

    def talk(address: Address) -> None:
        with closing(_connect(address)) as sock:
            for _ in range(job.echoes):
                sock.sendall(_PING)
                sock.recv(_RECEIVE_SIZE)

    return _measured(partial(_listen, _answer_pings), talk, job.operations)


def associations(job: Job) -> Sample:
    """Connect, send and receive 80 bytes three times, and close."""

    def talk(address: Address) -> None:
        for _ in range(job.associations):
            with closing(_connect(address)) as sock:
                for _ in range(3):
                    sock.sendall(_PING)
                    sock.recv(_RECEIVE_SIZE)

    return _measured(partial(_listen, _answer_pings), talk, job.operations)
