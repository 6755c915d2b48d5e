"""Options of TCP sockets that carry DICOM, the same for every adapter (they decide speed more than any code does)."""

import socket
from typing import Final

__all__ = ["RECEIVE_SIZE", "SEND_AHEAD", "acknowledge_at_once", "prepare"]

RECEIVE_SIZE: Final = 1 << 18  # bytes asked for at a time: many PDUs are parsed from one block
SEND_AHEAD: Final = 1 << 20  # bytes cut into PDUs ahead of what the kernel has taken
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


def prepare(sock: socket.socket) -> None:
    """Set the options of a connected socket: what is sent leaves at once."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Acknowledge the next segments at once; Linux forgets it after a while, so it is said before each receive.

    A peer that writes header and payload of a PDU in two writes, with Nagle's algorithm on, sends the second only when
    the first has been acknowledged: without this each of its messages takes 40 ms.
    """
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
