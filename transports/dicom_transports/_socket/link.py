"""An association on its channel: everything that an adapter does for it, except waiting."""

import ssl
from collections.abc import Callable
from functools import partial
from weakref import proxy

from dicom_proto.application.association import EntityAssociation
from dicom_proto.programs.engine import Turn
from dicom_transports._socket.channel import Channel
from dicom_transports._socket.sockets import SEND_AHEAD

__all__ = ["Link"]


class Link:
    """One connection of an association, between its engine and the socket.

    Parameters
    ----------
    channel : Channel
        What carries the bytes.
    association : EntityAssociation
        Whose engine is driven; of a requestor, after ``request``.
    clock : callable
        The time in seconds.

    Attributes
    ----------
    deadline : float or None
        When the next turn is due if nothing happens before.
    received_at : float
        When something was last looked for.
    wants_read : bool
        Whether bytes are welcome.
    wants_write : bool
        Whether bytes wait that the kernel has not taken.
    descriptor : int
        That of the socket, -1 once it is closed.
    """

    def __init__(self, channel: Channel, association: EntityAssociation, clock: Callable[[], float]) -> None:
        self._channel = channel
        self._association = proxy(association)  # which has this link
        self._engine = association.engine
        self._clock = clock
        self._has_ended_output = False
        self._has_received = False
        self._is_encrypted = channel.is_encrypted
        self._engine.secure = channel.secure
        association.suspect = partial(getattr, channel, "suspicion")
        association.get_tls = channel.tls_state
        self.deadline: float | None = None
        self.received_at = 0.0
        self.wants_read = True
        self.wants_write = False
        self.descriptor = channel.fileno()
        self._engine.connection_made(now=clock())

    def receive(self) -> None:
        """Take what has arrived; a turn has to follow."""
        channel, engine = self._channel, self._engine
        self._has_received = True
        self.received_at = now = self._clock()
        for block in channel.receive():
            engine.receive_data(block, now=now)
        if channel.has_ended:
            if isinstance(channel.error, ssl.SSLError):
                self._association.cause = channel.error
            engine.receive_eof(now=now)

    def turn(self) -> Turn:
        """Take a turn, and send what is to be sent until nothing is left or the kernel takes no more."""
        channel = self._channel
        room = SEND_AHEAD - channel.backlog if self.wants_write else SEND_AHEAD
        turn = self._engine.turn(now=self._clock(), room=room)
        if turn.buffers or self.wants_write or (self._is_encrypted and channel.wants_write):
            self.wants_write = channel.transmit(turn.buffers)
            if turn.is_cut_short and not channel.backlog:
                turn.is_unfinished = True  # there is room again
        if turn.ends_output and not self._has_ended_output and not self.wants_write:
            self._has_ended_output = True
            channel.end_output()
        if self._has_received:
            self._has_received = False
            if self._engine.connection.expects_more:
                channel.acknowledge()
        self.deadline = turn.deadline
        self.wants_read = turn.wants_read and not channel.has_ended
        if turn.wants_close and self.wants_write and not channel.has_ended and turn.deadline is not None:
            turn.wants_close = False
        return turn

    def close(self) -> None:
        """Close the socket, and let the engine know; a turn has to follow."""
        if self.descriptor >= 0:
            self.descriptor = -1
            self._channel.close()
            self._engine.connection_closed(now=self._clock())
