"""Other processes: servers that are forked, and programs that are started. All of them end with the block.

They are in the process group of the run (:mod:`benchmarks.measure`), so they end with it whatever happens.
"""

import multiprocessing
import os
import resource
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import IO, Final, TypeAlias

from attrs import frozen

from benchmarks.usage import Usage, peak_memory, usage_of

__all__ = ["HOST", "Address", "Peer", "Report", "Spent", "execute", "forked", "free_port", "listeners", "started"]

HOST: Final = "127.0.0.1"
Address: TypeAlias = tuple[str, int]
Report: TypeAlias = Callable[[Address], object]
"""How a server tells where it listens."""

# Without TCP_NODELAY each message of DCMTK waits 40 ms for an acknowledgement.
_ENVIRONMENT: Final = os.environ | {"TCP_NODELAY": "1"}
_FORK: Final = multiprocessing.get_context("fork")
_PATIENCE: Final = 30.0  # seconds until a server listens
_LOOK: Final = 0.01  # seconds between two looks at a program's memory


@frozen
class Peer:
    """A server in another process, and what that had used when it began to listen."""

    address: Address
    pid: int
    before: Usage

    def usage(self) -> Usage:
        """Return what the process has used until now."""
        return usage_of(self.pid)

    def growth(self) -> int | None:
        """Return the most bytes that it had beyond those from the beginning."""
        peak = self.usage().peak
        return None if peak is None or self.before.peak is None else peak - self.before.peak


@frozen
class Spent:
    """What something has cost.

    Parameters
    ----------
    seconds : float
        By the clock.
    cpu : float
        Of processor time.
    peak : int or None
        The most bytes that were resident, of a program.
    """

    seconds: float
    cpu: float
    peak: int | None = None


@contextmanager
def forked(serve: Callable[[Report], object]) -> Iterator[Peer]:
    """Run a server in a process of its own, which is killed in the end."""
    receiver, sender = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=serve, args=(sender.send,), daemon=True)
    process.start()
    sender.close()
    try:
        pid = process.pid or 0
        address = receiver.recv()
        yield Peer(address, pid, usage_of(pid))
    finally:
        process.kill()
        process.join()


@contextmanager
def started(command: Sequence[str], port: int) -> Iterator[Peer]:
    """Start a program that listens on a port; it is killed in the end."""
    with tempfile.TemporaryFile() as log, _popen(command, log) as process:
        try:
            _wait_until_it_listens(process, port, log)
            yield Peer((HOST, port), process.pid, usage_of(process.pid))
        finally:
            process.kill()


def execute(command: Sequence[str], *, may_fail: bool = False) -> Spent:
    """Run a program until it ends.

    Raises
    ------
    RuntimeError
        If it says that it has failed, or says anything at all.
    """
    with tempfile.TemporaryFile() as log:
        before, began = _children_cpu(), perf_counter()
        with _popen(command, log) as process, _watched(process.pid) as peaks:
            process.wait()
            took = perf_counter() - began
        if not may_fail and (process.returncode or log.tell()):
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {_content(log)}")
    return Spent(took, _children_cpu() - before, max(peaks, default=None))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port: int = unused.getsockname()[1]
        return port


def _popen(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=_ENVIRONMENT)


def _content(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace").strip()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = monotonic() + _PATIENCE
    while not listeners(port):
        if process.poll() is not None or monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not listen: {_content(log)}")
        sleep(0.002)


def listeners(port: int) -> int:
    """Tell how many sockets listen on a port, without a connection that a server would have to serve."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """Look at the memory of a program while it runs."""
    peaks: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while True:
            if peak := peak_memory(pid):
                peaks.append(peak)
            if is_over.wait(_LOOK):
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join()
