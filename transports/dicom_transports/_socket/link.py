"""An association on its channel: everything that an adapter does for it, except waiting."""

import ssl
from collections.abc import Callable
from functools import partial
from weakref import proxy

from dicom_proto.application.association import EntityAssociation
from dicom_proto.programs.engine import Turn
from dicom_proto.upper_layer.foresight import Foresight
from dicom_transports._socket.blocks import Block
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
    gathered : Block or None
        The middle of a data set that waits for more, until :attr:`deadline` at most: there is nothing to do before.
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
        self._foresight: Foresight | None = None  # in the midst of a data set
        self.gathered: Block | None = None
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
        """Take what has arrived; a turn has to follow, unless there is something :attr:`gathered`."""
        channel, engine = self._channel, self._engine
        self.received_at = now = self._clock()
        if self._foresight is not None:
            self._gather(self._foresight, now)
            return
        self._has_received = True
        for block in channel.receive():
            engine.receive_data(block, now=now)
        if channel.has_ended:
            self._receive_end(now)

    def _gather(self, foresight: Foresight, now: float) -> None:
        """Take the middle of a data set, and let it wait for what comes in the next moment."""
        gathered = self.gathered
        if gathered is None:
            gathered = self.gathered = Block(foresight, now)
        if gathered.receive(self._channel):
            self._channel.acknowledge()
            self.deadline = gathered.until if self.deadline is None else min(self.deadline, gathered.until)
        else:
            self._hand_on(gathered, now)

    def _hand_on(self, gathered: Block, now: float) -> None:
        """Hand on what has been gathered."""
        self.gathered = self._foresight = None
        self._has_received = True
        self._engine.receive_data(gathered.take(), now=now)
        if self._channel.has_ended:
            self._receive_end(now)

    def _receive_end(self, now: float) -> None:
        if isinstance(self._channel.error, ssl.SSLError):
            self._association.cause = self._channel.error
        self._engine.receive_eof(now=now)

    def turn(self) -> Turn:
        """Take a turn, and send what is to be sent until nothing is left or the kernel takes no more."""
        channel = self._channel
        room = SEND_AHEAD - channel.backlog if self.wants_write else SEND_AHEAD
        now = self._clock()
        if self.gathered is not None and now >= self.gathered.until:
            self._hand_on(self.gathered, now)
        turn = self._engine.turn(now=now, room=room)
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
                if not self._is_encrypted:
                    self._foresight = self._engine.connection.foresee()
        self.deadline = turn.deadline
        if self.gathered is not None:
            self.deadline = min(self.gathered.until, turn.deadline or self.gathered.until)
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
