"""The adapters that the contract suite runs against, and a peer made of a bare socket that does as it is told."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar, cast

from dicom_proto.upper_layer.pdu import (
    HEADER_LENGTH,
    PDU,
    PDataTF,
    decode_pdu,
    encode_pdu,
    unpack_header,
)
from dicom_transports import blocking
from tests.contract.facade import AsyncioHost, Host, TrioHost

WAIT = 10.0  # seconds until something that should happen at once counts as a hang
T = TypeVar("T")


class Listening(Protocol):
    """A server of an adapter."""

    @property
    def address(self) -> tuple[str, int]: ...


class Blocking:
    """:mod:`dicom_transports.blocking`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave nothing."""

    def make_ae(self, ae_title: str = "DICOM_PROTO") -> blocking.AE:
        return blocking.AE(ae_title)

    def count_associations(self) -> int:
        """How many associations have a thread of their own."""
        names = {"dicom-association", "dicom-starter"}
        return len([thread for thread in threading.enumerate() if thread.name in names])


Adapter: TypeAlias = Blocking | Host
ADAPTERS: dict[str, type[Adapter]] = {"blocking": Blocking, "trio": TrioHost, "asyncio": AsyncioHost}
_used: list[Adapter] = [Blocking()]


@contextmanager
def use(name: str) -> Iterator[Adapter]:
    """Let application entities be of an adapter."""
    with ADAPTERS[name]() as adapter:
        _used.append(adapter)
        try:
            yield adapter
        finally:
            _used.remove(adapter)


def make_ae(ae_title: str = "DICOM_PROTO") -> blocking.AE:
    """Return an application entity of the adapter in use: whichever it is, its face is that of the blocking one."""
    return cast(blocking.AE, _used[-1].make_ae(ae_title))


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody signals."""
    for _ in range(4000):  # 20 s
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("what should happen at once does not")


def assert_no_associations() -> None:
    """Wait until no association of the adapter in use has anything left to do."""
    wait_until(lambda: not _used[-1].count_associations())


class Running(Generic[T]):
    """A call in a thread of its own."""

    def __init__(self, function: Callable[..., T], *arguments: Any, **options: Any) -> None:
        self._outcome: list[T] = []
        self._error: BaseException | None = None

        def run() -> None:
            try:
                self._outcome.append(function(*arguments, **options))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Wait for what the call returns, or raise what it raised."""
        self._thread.join(WAIT)
        if self._thread.is_alive():
            raise AssertionError("it hangs")
        if self._error is not None:
            raise self._error
        return self._outcome[0]


class Peer:
    """The other end of a connection: it sends exactly the bytes that it is told to, and says what it gets."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(WAIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = 0  # bytes

    @classmethod
    def dial(cls, address: tuple[str, int]) -> Self:
        return cls(socket.create_connection(address, WAIT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, *what: PDU | bytes) -> None:
        self.socket.sendall(b"".join(part if isinstance(part, bytes) else encode_pdu(part) for part in what))

    def read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        self.received += count
        return bytes(data)

    def get(self) -> PDU:
        """Read the next PDU."""
        pdu_type, length = unpack_header(self.read(HEADER_LENGTH))
        return decode_pdu(pdu_type, self.read(length))

    def get_data(self) -> list[tuple[int, bool, bytes]]:
        """Read one message: its command, and its data set if it has one, with context and kind."""
        parts: list[tuple[int, bool, bytes]] = []
        data = bytearray()
        while True:
            pdu = self.get()
            if not isinstance(pdu, PDataTF):
                raise TypeError(f"{pdu!r} instead of data")
            for pdv in pdu.pdvs:
                data += pdv.data
                if pdv.last:
                    parts.append((pdv.context_id, pdv.command, bytes(data)))
                    data.clear()
                    if not pdv.command or b"\0\0\0\x08\2\0\0\0\1\1" in parts[0][2]:
                        return parts

    def is_at_end(self) -> bool:
        """Wait until the other side has closed the connection, and tell whether nothing came before that."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:  # it was closed with something unread
            return True

    def vanish(self, *, reset: bool = False) -> None:
        """Close the connection; with ``reset`` as a program does that crashes."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Listener:
    """A port where the other side can be accepted."""

    def __init__(self, backlog: int = 16) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.socket.settimeout(WAIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()
        return host, port

    def accept(self) -> Peer:
        return Peer(self.socket.accept()[0])
