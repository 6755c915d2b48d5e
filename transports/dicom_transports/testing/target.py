"""What is fuzzed: a server at an address, and perhaps the command that starts it.

May change. A target that is not this machine is refused, unless its user says that it is theirs.
"""

import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from time import monotonic, sleep
from typing import IO, Final

from dicom_proto.testing.conversations import ECHO, Conversation
from dicom_transports.testing.scripted import Address

__all__ = ["Answer", "NotLoopbackError", "Target", "require_loopback"]

_BLOCK: Final = 1 << 16
_MOST: Final = 1 << 20  # bytes of an answer that are kept
_SUCCESS: Final = b"\0\0\0\x09\2\0\0\0\0\0"  # the element Status (PS3.7 E.2) of a C-ECHO-RSP
_START: Final = 10.0  # seconds until it listens, at least
_MOMENT: Final = 2.0  # seconds
_TOLD: Final = 4000  # characters of what the command has said last


class NotLoopbackError(Exception):
    """The target is not on this machine."""


def require_loopback(host: str, port: int) -> None:
    """See that a host is this machine.

    Raises
    ------
    NotLoopbackError
        If one of its addresses is not a loopback address.
    OSError
        If the host has none.
    """
    for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise NotLoopbackError(
                f"{host} is {address[0]}, which is not this machine: what is sent may stop a system that people depend "
                "on; --i-own-this-target says that it is yours"
            )


class Answer:
    """What came back on one connection: the bytes, how it ended, and how long it took in seconds."""

    __slots__ = ("data", "end", "seconds")

    def __init__(self, data: bytes, end: str, seconds: float) -> None:
        self.data = data
        self.end = end
        self.seconds = seconds


class Target:
    """A server, which may be started and started again.

    Parameters
    ----------
    address : tuple of str and int
        Where it listens.
    command : sequence of str
        What starts it; empty if it runs already.
    patience : float
        Seconds within which it answers, and within which it listens once it is started.
    """

    def __init__(self, address: Address, command: Sequence[str] = (), *, patience: float = 5.0) -> None:
        self.address = address
        self.patience = patience
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the target
        self.starts = 0

    @property
    def can_start(self) -> bool:
        """Whether there is a command that starts it."""
        return bool(self._command)

    @property
    def exit_status(self) -> int | None:
        """The exit status of the process, if it has ended."""
        return None if self._process is None else self._process.poll()

    def has_ended(self) -> bool:
        """Return whether the process has ended; one that answers no more gets a moment to do so."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_MOMENT)
        return self.exit_status is not None

    def start(self) -> None:
        """Start the server if there is a command, after ending the last one, and wait until it listens.

        Raises
        ------
        TimeoutError
            If it does not listen.
        """
        self.stop()
        if self._command:
            self._log.seek(0)
            self._log.truncate()
            self._process = subprocess.Popen(  # noqa: S603 - what the user has asked for
                self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
            )
        self.starts += 1
        until = monotonic() + max(self.patience, _START)
        while not self.is_alive():
            if self.exit_status is not None or monotonic() > until:
                raise TimeoutError(f"{self.address[0]} port {self.address[1]} answers no C-ECHO\n{self.said()}")
            sleep(0.01)

    def stop(self, *, dump: bool = False) -> None:
        """End the process that was started; with ``dump`` by SIGABRT, of which some say where they were."""
        process, self._process = self._process, None
        if process is None:
            return
        if dump and process.poll() is None:
            process.send_signal(6)
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End the process, and forget what it has said."""
        self.stop()
        self._log.close()

    def said(self) -> str:
        """Return the end of what the process has written."""
        self._log.seek(0, 2)
        self._log.seek(max(0, self._log.tell() - _TOLD))
        return self._log.read().decode(errors="replace")

    def begin(self, conversation: Conversation) -> socket.socket:
        """Connect, and send all of a conversation and the end.

        Raises
        ------
        OSError
            If nobody listens.
        """
        sock = socket.create_connection(self.address, self.patience)
        with suppress(OSError):  # it may have had enough
            sock.sendall(b"".join(conversation))
            sock.shutdown(socket.SHUT_WR)
        return sock

    def finish(self, sock: socket.socket) -> Answer:
        """Receive the answer until the end, and close the connection."""
        began = monotonic()
        data, end = b"", "closed"
        with sock:
            try:
                while len(data) < _MOST and (block := sock.recv(_BLOCK)):
                    data += block
                    sock.settimeout(max(0.001, began + self.patience - monotonic()))
            except TimeoutError:
                end = "open"
            except OSError:
                end = "reset"
        return Answer(data, end, monotonic() - began)

    def ask(self, conversation: Conversation) -> Answer:
        """Have a conversation on a connection of its own; one that nobody accepts ends ``"refused"``."""
        try:
            return self.finish(self.begin(conversation))
        except OSError:
            return Answer(b"", "refused", 0.0)

    def is_alive(self) -> bool:
        """Ask for a C-ECHO; return whether it succeeds."""
        return _SUCCESS in self.ask(ECHO).data
