"""What only the blocking adapter has: its list of buffers, and its own answer to a socket that fails."""

import errno
import socket
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.upper_layer.events import AbortOrigin, AssociateAccepted, ConnectionClosed
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_transports._gather import IOV_MAX, GatherQueue
from dicom_transports.blocking import Session
from tests.contract.adapters import Peer, Running
from tests.contract.scenes import OFFER
from tests.proto.wire import answer


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


class Failing(socket.socket):
    """A socket that cannot send any more when it is told so, although its connection lives."""

    is_broken = False

    def sendmsg(self, *arguments: object) -> int:
        if self.is_broken:
            raise OSError(errno.ENOBUFS, "no buffer space")
        return super().sendmsg(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("last_words", [b"", bytes.fromhex("07 00 00000004 0000 02 01")])
def test_stream_with_a_hole_is_given_up(last_words: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        sock = Failing()
        sock.connect(listener.getsockname())
        peer = Peer(listener.accept()[0])
    connection = Connection()
    connection.request(OFFER)
    with peer, Session(sock, connection) as session:
        peer.send(answer(OFFER))
        assert isinstance(session.next_event(), AssociateAccepted)
        peer.send(last_words)
        sock.is_broken = True
        with pytest.raises(AssociationAborted) as caught:  # at once, not when nobody has answered for 30 seconds
            Running(session.call, CEchoRQ(), context=1).result()
        assert caught.value.origin is (AbortOrigin.PEER_PROVIDER if last_words else AbortOrigin.TRANSPORT)
        assert session.next_event() == ConnectionClosed()
