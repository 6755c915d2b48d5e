"""Scripted peers over sockets: an SCU or SCP that sends these bytes, expects that answer, waits, cuts and resets.

May change. What they do is a script (:mod:`dicom_proto.testing.script`)::

    with ScriptedServer([Expect("A-ASSOCIATE-RQ"), Send(PDUS["associate-ac"]), Wait(1), Reset()]) as server:
        your_client(*server.address)
"""

import socket
import struct
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from types import TracebackType
from typing import Final, Self

from dicom_proto.testing.script import Cut, Player, Reset, Script, ScriptError, Send

__all__ = ["Address", "ScriptedServer", "play", "reset", "run_scu"]

Address = tuple[str, int]
_BLOCK: Final = 1 << 16
_LINGER: Final = struct.pack("ii", 1, 0)  # closing sends a RST
_BACKLOG: Final = 8
_SHORTEST: Final = 0.001  # seconds


def reset(sock: socket.socket) -> None:
    """Reset a connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    sock.close()


def play(script: Script, sock: socket.socket) -> Player:
    """Play a script on a connection, which is closed behind it.

    Returns
    -------
    Player
        It has what was received.

    Raises
    ------
    ScriptError
        If the other side does something else than the script expects.
    OSError
        If the connection is lost while something is sent.
    """
    player, is_open = Player(script), True
    with sock:
        while True:
            for act in player.advance(monotonic()):
                match act:
                    case Send(data):
                        sock.sendall(data)
                    case Cut():
                        sock.shutdown(socket.SHUT_WR)
                    case Reset():
                        is_open = False
                        reset(sock)
            deadline = player.next_deadline()
            if player.is_done or deadline is None:
                return player
            seconds = max(deadline - monotonic(), _SHORTEST)
            if is_open:
                is_open = _receive(player, sock, seconds)
            else:
                sleep(seconds)


def _receive(player: Player, sock: socket.socket, seconds: float) -> bool:
    """Receive something for so long; return whether more may come."""
    sock.settimeout(seconds)
    try:
        data = sock.recv(_BLOCK)
    except TimeoutError:
        return True
    except OSError:  # it was reset
        data = b""
    player.receive_data(data)
    return bool(data)


def run_scu(address: Address, script: Script, *, timeout: float = 10.0) -> Player:
    """Connect to a server within ``timeout`` seconds, and play a script; see :func:`play`."""
    return play(script, socket.create_connection(address, timeout))


class ScriptedServer:
    """Plays a script on each connection that it gets, one after the other, in a thread.

    Leaving its ``with`` closes it, waits for the script that is being played, and raises what went wrong first.

    Parameters
    ----------
    script : iterable of Step
        What to do on a connection.
    host : str
        Where to listen.
    port : int
        The same; 0 for one that the system picks.

    Attributes
    ----------
    address : tuple of str and int
        Where it listens.
    players : list of Player
        One for each script that was played to its end: they have what was received.
    """

    def __init__(self, script: Script, host: str = "127.0.0.1", port: int = 0) -> None:
        self._script = list(script)
        self._listener = socket.create_server((host, port), backlog=_BACKLOG)
        self.address: Address = self._listener.getsockname()[:2]
        self.players: list[Player] = []
        self._error: Exception | None = None
        self._thread = Thread(target=self._serve, name=f"scripted:{self.address[1]}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a listener is awake when it is shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        if self._error is not None and kind is None:
            raise self._error

    def _serve(self) -> None:
        while self._error is None:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            try:
                self.players.append(play(self._script, sock))
            except (ScriptError, OSError) as error:
                self._error = error
