"""An association on its channel: everything that an adapter does for it, except waiting."""

from collections.abc import Callable

from dicom_proto.application.notifications import Notifier
from dicom_proto.dimse.connection import Connection
from dicom_transports._socket.channel import Channel
from dicom_transports._socket.sockets import SEND_AHEAD

__all__ = ["Link"]

_FAREWELL = 1.0  # seconds that a peer has to close the connection after an A-ABORT, so that it can read that


class Link:
    """One connection of an association, between the protocol and the socket.

    Parameters
    ----------
    channel : Channel
        What carries the bytes.
    connection : Connection
        The protocol, just made; for the requestor, after ``request``.
    notifier : Notifier
        Sees what passes.
    clock : callable
        The time in seconds.
    """

    def __init__(
        self,
        channel: Channel,
        connection: Connection,
        notifier: Notifier,
        clock: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._connection = connection
        self._notifier = notifier
        self._clock = clock
        self._closing_at: float | None = None
        self._has_told_end = False
        connection.connection_made(now=clock())

    def fileno(self) -> int:
        """Return the descriptor of the socket, -1 once it is closed."""
        return self._channel.fileno()

    @property
    def error(self) -> OSError | None:
        """Why the connection is lost, if the system or TLS says so."""
        return self._channel.error

    # --- what to wait for ---------------------------------------------------------------------------------------------

    @property
    def wants_read(self) -> bool:
        """Whether bytes are welcome."""
        return self._connection.wants_read and not self._channel.has_ended

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait that the kernel has not taken."""
        return self._channel.wants_write

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to send, and nothing that has been received waits to be looked at."""
        connection = self._connection
        return connection.is_quiet and not (connection.can_send or self._channel.wants_write)

    def deadline(self) -> float | None:
        """Return when :meth:`expire` wants to be called."""
        self._connection.update_timers(now=self._clock())
        deadline = self._connection.next_deadline()
        if self._closing_at is None:
            return deadline
        return self._closing_at if deadline is None else min(self._closing_at, deadline)

    # --- what to do then ----------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """Take what has arrived."""
        channel, connection = self._channel, self._connection
        for block in channel.receive():
            if self._notifier.wants_received:
                self._notifier.received(block)
            connection.receive_data(block, now=self._clock())
        if channel.has_ended and not self._has_told_end:
            self._has_told_end = True
            connection.receive_eof(now=self._clock())

    def expire(self) -> None:
        """Let the deadlines act that have come."""
        now = self._clock()
        self._connection.handle_timeout(now)
        if self._closing_at is not None and self._closing_at <= now:
            self._connection.receive_eof(now=now)

    def flush(self) -> bool:
        """Send until nothing is left, the kernel takes no more, or there is something to tell.

        Returns
        -------
        bool
            Whether anything was sent: it may have made room for an event.
        """
        channel, connection = self._channel, self._connection
        if not (connection.can_send or channel.wants_write):
            return False
        progress = False
        while True:
            buffers = connection.data_to_send(SEND_AHEAD - channel.backlog, now=self._clock())
            if buffers:
                if self._notifier.wants_sent:
                    self._notifier.sent(buffers)
                channel.put(buffers)
            sent = channel.send()
            progress = progress or sent
            if not (sent and connection.can_send) or channel.backlog or self._notifier.has_pending:
                return progress

    # --- its end ------------------------------------------------------------------------------------------------------

    def say_farewell(self) -> None:
        """Send what is left, and give the peer a moment to read it and close the connection."""
        self.flush()
        if self._closing_at is None:
            if not self._channel.wants_write:
                self._channel.end_output()
            self._closing_at = self._clock() + _FAREWELL

    @property
    def is_done(self) -> bool:
        """Whether the socket is to be closed: all is over, or the peer has closed it."""
        return self._connection.wants_close or self._has_told_end

    def close(self) -> None:
        """Close the socket, with an A-ABORT before it if there is still an association."""
        if self._channel.fileno() >= 0:
            self._connection.abort()
            self.flush()
            self._connection.receive_eof(now=self._clock())
            self._channel.close()
