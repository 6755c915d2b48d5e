"""``dicom-proto tap``: bytes pass unchanged in both directions, ends and resets too, and what they say is told."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

from dicom_proto.handlers.kinds import EVT_C_ECHO
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from dicom_transports.apps.trace.entries import Entry, Kind
from dicom_transports.apps.trace.proxy import Proxy
from dicom_transports.blocking import AE
from tests.traces.scenes import VERIFICATION

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"


@contextmanager
def tapped(target: tuple[str, int], most: int = 1, at_once: int = 100) -> Iterator[tuple[tuple[str, int], list[Entry]]]:
    """A proxy in a thread, until it has served as many connections as it is to; its address, and what it tells."""
    import asyncio  # noqa: PLC0415

    entries: list[Entry] = []
    addresses: Queue[str] = Queue()
    proxy = Proxy(target, entries.append, at_once=at_once, most=most)
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve((LOOPBACK, 0), addresses.put)), daemon=True)
    thread.start()
    yield (LOOPBACK, int(addresses.get(timeout=30).rpartition(":")[2])), entries
    thread.join(timeout=60)
    assert not thread.is_alive()


@contextmanager
def echo_server() -> Iterator[tuple[str, int]]:
    ae = AE("ARCHIVE")
    ae.add_supported_context(VERIFICATION)
    with ae.start_server((LOOPBACK, 0), block=False, evt_handlers=[(EVT_C_ECHO, lambda _: 0)]) as server:
        yield server.address


def echo(address: tuple[str, int]) -> int:
    ae = AE("SCANNER")
    ae.add_requested_context(VERIFICATION)
    assoc = ae.associate(*address)
    assert assoc.is_established
    status = assoc.send_c_echo().Status
    assoc.release()
    return int(status)


NAMES = [
    *("TCP", "A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "C-ECHO-RQ", "C-ECHO-RSP"),
    *("A-RELEASE-RQ", "A-RELEASE-RP"),
]


def test_an_association_passes_and_is_told() -> None:
    with echo_server() as target, tapped(target) as (address, entries):
        assert echo(address) == 0
    assert [entry.name for entry in entries] == NAMES
    assert entries[1].text == "SCANNER calls ANY-SCP, 1 presentation contexts"
    assert entries[-1].states == ("Sta1", "Sta13")


@contextmanager
def joined(talk: Callable[[socket.socket, socket.socket], None]) -> Iterator[list[Entry]]:
    """Let a client and a target talk through the proxy; what was told."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(30)
        with tapped(listener.getsockname()) as (address, entries), socket.create_connection(address, 30) as client:
            target, _ = listener.accept()
            target.settimeout(30)
            with target:
                talk(client, target)
        yield entries


def send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize("back", [False, True])
def test_a_half_close_passes_and_the_other_direction_goes_on(*, back: bool) -> None:
    data = bytes(range(256)) * 20_000

    def talk(client: socket.socket, target: socket.socket) -> None:
        first, second = (target, client) if back else (client, target)
        sender = threading.Thread(target=send_all, args=(first, data))
        sender.start()
        assert read_all(second) == data
        second.sendall(b"still here")
        second.shutdown(socket.SHUT_WR)
        assert read_all(first) == b"still here"
        sender.join()

    with joined(talk) as entries:
        assert [entry.text.partition(": ")[2] for entry in entries] == ["nothing that is DICOM"]


@pytest.mark.parametrize("back", [False, True])
def test_a_reset_passes(*, back: bool) -> None:
    def talk(client: socket.socket, target: socket.socket) -> None:
        first, second = (target, client) if back else (client, target)
        first.sendall(b"x")
        assert second.recv(1) == b"x"
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        first.close()
        with pytest.raises(ConnectionResetError):
            read_all(second)

    with joined(talk):
        pass


def test_who_does_not_read_is_not_sent_more() -> None:
    """What the proxy takes of a sender that nobody listens to is bounded by the buffers of the sockets."""

    def talk(client: socket.socket, target: socket.socket) -> None:
        client.setblocking(False)
        sent, full = 0, 0
        while full < 20:
            try:
                sent += client.send(bytes(1 << 20))
                full = 0
            except BlockingIOError:
                full += 1
                threading.Event().wait(0.02)
        assert sent < 64 << 20
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        assert len(read_all(target)) == sent

    with joined(talk):
        pass


def test_a_target_that_is_not_there() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        nobody = listener.getsockname()
    with (
        tapped(nobody) as (address, entries),
        socket.create_connection(address, 30) as client,
        pytest.raises(ConnectionResetError),
    ):
        read_all(client)
    assert entries[0].kind is Kind.CONNECTION
    assert entries[0].text.endswith("Connection refused")


def test_more_connections_wait_for_their_turn() -> None:
    with echo_server() as target, tapped(target, most=3, at_once=1) as (address, entries):
        assert [echo(address) for _ in range(3)] == [0, 0, 0]
    assert [entry.name for entry in entries] == 3 * NAMES
    assert {entry.stream for entry in entries} == {1, 2, 3}


def test_the_command_tells_live_and_ends_by_a_signal() -> None:
    with echo_server() as target:
        command = [
            sys.executable,
            "-m",
            "dicom_transports",
            "tap",
            f"{LOOPBACK}:0",
            f"{target[0]}:{target[1]}",
            "--json",
        ]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            assert process.stdout is not None
            port = int(process.stderr.readline().rpartition(":")[2])
            assert echo((LOOPBACK, port)) == 0
            assert [json.loads(process.stdout.readline())["name"] for _ in NAMES] == NAMES
            process.terminate()
            assert process.wait(30) == Exit.ALL
        finally:
            process.kill()
            process.communicate()


def test_a_page_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    with echo_server() as (host, number):
        given = ["tap", f"{LOOPBACK}:{port}", f"{host}:{number}", "--html", str(page), "--connections", "1"]
        codes: Queue[int] = Queue()
        thread = threading.Thread(target=lambda: codes.put(main(given)), daemon=True)
        thread.start()
        wait_until_somebody_listens(capsys)
        assert echo((LOOPBACK, port)) == 0
        assert codes.get(timeout=30) == Exit.ALL
    assert page.read_text().count('"kind": "message"') == 2


def wait_until_somebody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    while "listening" not in capsys.readouterr().err:
        threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["11112"], "required: HOST:PORT"),
        (["11112", "archive"], "'archive' is not HOST:PORT"),
        (["99999", "archive:104"], "'99999' is not a port number"),
        (["11112", "archive:x"], "'x' is not a port number"),
    ],
)
def test_mistakes(given: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tap", *given]) == Exit.USAGE
    assert words in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        assert main(["tap", f"{LOOPBACK}:{port}", "localhost:104"]) != Exit.ALL
    error = capsys.readouterr().err
    assert "Address already in use" in error
    assert f"take another port than {port}" in error
