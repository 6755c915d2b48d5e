"""The list of buffers that wait to be sent, what becomes of a stream with a hole, and what only threads can lack."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from dicom_proto.buffers import Buffer
from dicom_proto.errors import NotEstablishedError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_proto.upper_layer.pdu import AAbort
from dicom_transports._socket.gather import IOV_MAX, GatherQueue
from dicom_transports._threads.workers import WORKERS
from dicom_transports.blocking import Association, evt
from tests.contract.adapters import WAIT, Peer, Running, use
from tests.contract.entities import entity, serving
from tests.contract.scenes import (
    ECHO,
    assert_serves,
    associate,
    message,
    scripted,
)


class Kernel:
    """Takes as many bytes at a time as it is told, and no more buffers than a real one."""

    def __init__(self, sizes: Iterator[int]) -> None:
        self.sizes = sizes
        self.taken = bytearray()

    def sendmsg(self, buffers: list[Buffer]) -> int:
        assert 0 < len(buffers) <= IOV_MAX
        data = b"".join(buffers)[: next(self.sizes)]
        self.taken += data
        return len(data)


def test_gather_queue_resumes_where_the_kernel_stopped() -> None:
    random = Random(7)
    parts = [random.randbytes(random.choice([1, 6, 12, 500])) for _ in range(3 * IOV_MAX)]
    whole = b"".join(parts)
    queue = GatherQueue()
    kernel = Kernel(iter(lambda: random.choice([0, 1, 13, 499, 10**4, 10**5, 10**6]), None))
    queue.extend([memoryview(part) for part in parts[: IOV_MAX // 2]])
    queue.send(kernel)
    queue.extend(list(parts[IOV_MAX // 2 :]))
    while queue.length:
        before = queue.length
        assert queue.send(kernel) == before - queue.length
    assert kernel.taken == whole


def test_gather_queue_forgets() -> None:
    queue = GatherQueue()
    queue.extend([b"one", b"two"])
    queue.clear()
    assert queue.length == 0
    queue.extend([b"three"])
    kernel = Kernel(iter([100]))
    assert queue.send(kernel) == 5
    assert kernel.taken == b"three"


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize("last_words", [b"", bytes.fromhex("07 00 00000004 0000 02 01")])
def test_stream_with_a_hole_is_given_up(last_words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that cannot send any more, although its connection lives, ends a call at once, not when time is up."""

    originals = {name: getattr(socket.socket, name) for name in ("send", "sendmsg")}

    def send(name: str, sock: socket.socket, data: Any) -> int:
        if sock.family == socket.AF_INET:  # others wake the loop
            raise OSError(errno.ENOBUFS, "no buffer space")
        sent: int = originals[name](sock, data)
        return sent

    with scripted() as (association, peer):
        peer.send(last_words)
        for name in originals:
            monkeypatch.setattr(socket.socket, name, lambda *arguments, name=name: send(name, *arguments))
        Running(call, association).result()
        assert isinstance(association.failure, AssociationAborted)
        assert association.failure.origin is (AbortOrigin.PEER_PROVIDER if last_words else AbortOrigin.TRANSPORT)


def call(association: Any) -> None:
    with suppress(NotEstablishedError):  # the last words may come first
        association.send_c_echo()


def test_server_that_gets_no_thread_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with use("blocking"), serving() as server:
        with monkeypatch.context() as patch:
            WORKERS.stop()  # those that have nothing to do would serve it
            patch.setattr(threading.Thread, "start", refuse)
            with Peer.dial(server.address) as peer:
                assert peer.is_at_end()
        assert_serves(server)


def test_aborted_before_its_thread_has_begun() -> None:
    """A server that is full gives up who is silent, also one whose thread has yet to open its end."""
    ae = entity("SCP")
    with socket.create_server(("127.0.0.1", 0)) as listener, Peer.dial(listener.getsockname()) as peer:
        association = Association(ae, Handlers(None), ae.policy())
        association.abort()
        sock, _ = listener.accept()
        association.open(sock, None)
        association.live()
        assert peer.is_at_end()
        assert association.is_aborted


def test_shutdown_by_a_handler() -> None:
    """It does not wait for the thread of the handler that asks for it; in a loop only async handlers may ask."""
    is_done = threading.Event()

    def echo(event: Any) -> int:
        server.shutdown()
        assert event.assoc.is_aborted
        is_done.set()
        return 0x0000

    with use("blocking"), serving((evt.EVT_C_ECHO, echo)) as server, associate(server) as peer:
        peer.send(message(ECHO))
        assert peer.get() == AAbort(0)
        assert is_done.wait(WAIT)
