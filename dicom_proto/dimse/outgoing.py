"""Messages on their way out: whole ones, and those whose data set is written piece by piece.

One message at a time: its command, then its data set, and nothing of another message between (PS3.8 Annex E). What
comes while a data set is being written waits behind it.
"""

from collections import deque
from enum import Enum
from typing import Final, TypeAlias

from attrs import define

from dicom_proto.buffers import Buffer
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.outbound import Outbound

__all__ = ["STREAMED", "Data", "Outbox", "Outgoing", "Streamed"]


class Streamed(Enum):
    """Type of :data:`STREAMED`."""

    STREAMED = "the data set follows in pieces"


STREAMED: Final = Streamed.STREAMED
Data: TypeAlias = Buffer | Streamed | None
"""The data set of a message: all of it, :data:`STREAMED` for one that ``open_data`` writes, ``None`` for none."""


class Outgoing:
    """The data set of one message, written in pieces (returned by ``Connection.open_data``).

    Pieces are kept as views and must not change until they have left. They may be of any length, and are cut into
    fragments across their borders; the whole must be of even length.
    """

    __slots__ = ("_outbox", "context_id", "message_id")

    def __init__(self, outbox: "Outbox", context_id: int, message_id: int | None) -> None:
        self._outbox = outbox
        self.context_id = context_id
        self.message_id = message_id  # of the request that it belongs to, None for a response

    @property
    def write_room(self) -> int:
        """How many bytes are welcome now.

        It is 0 until the messages before this one have ended and the peer has read, and after :meth:`finish`.
        """
        return self._outbox.room_for(self)

    def write(self, data: Buffer) -> None:
        """Queue a piece of the data set.

        Raises
        ------
        LocalProtocolError
            If ``write_room`` is 0.
        """
        self._outbox.write(self, data)

    def finish(self) -> None:
        """End the data set; before all of it was written, only after a Failure of the peer (PS3.7 9.3.1.3).

        Raises
        ------
        LocalProtocolError
            If it was finished before, still has to wait for other messages, or is empty or of odd length (PS3.8 E.1).
        """
        self._outbox.finish(self)


@define
class _Message:
    context_id: int
    command: bytes
    data: memoryview | Outgoing | None
    message_id: int | None

    @property
    def length(self) -> int:
        return len(self.command) + (len(self.data) if isinstance(self.data, memoryview) else 0)


class Outbox:
    """The messages that wait to be queued, one after the other.

    Parameters
    ----------
    outbound : Outbound
        Where they are queued, by nobody else.
    note_data : callable
        Called for each command, data set or piece of one that is queued.

    Attributes
    ----------
    bytes_waiting : int
        Of the messages that wait behind the data set that is being written.
    """

    __slots__ = ("_departures", "_open", "_outbound", "_waiting", "bytes_waiting")

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._waiting: deque[_Message] = deque()
        self._open: Outgoing | None = None  # the data set that is being written
        self._departures: deque[tuple[int, int]] = deque()
        self.bytes_waiting = 0

    def post(self, context_id: int, command: bytes, data: Buffer | Outgoing | None, message_id: int | None) -> None:
        """Queue a message; ``message_id`` is that of a request, whose departure is of interest.

        Raises
        ------
        LocalProtocolError
            If its data set is empty or of odd length (PS3.8 E.1).
        """
        if data is not None and not isinstance(data, Outgoing):
            data = memoryview(data).cast("B")
            if not data or len(data) % 2:
                raise LocalProtocolError(
                    f"a data set of {len(data)} bytes cannot be sent: even and not empty (PS3.8 E.1)"
                )
        if self._open is None:
            self._send(context_id, command, data, message_id)
        else:
            message = _Message(context_id, command, data, message_id)
            self._waiting.append(message)
            self.bytes_waiting += message.length

    def check_idle(self) -> None:
        """Check that no data set is being written.

        Raises
        ------
        LocalProtocolError
            If one is.
        """
        if self._open is not None:
            raise LocalProtocolError("a data set is being written: finish it, or abort")

    def clear(self) -> None:
        """Forget everything: the association has ended."""
        self._waiting.clear()
        self.bytes_waiting = 0
        self._departures.clear()
        self._open = None

    @property
    def awaits_departure(self) -> bool:
        """Whether there are requests whose last byte has not been handed out, or not been taken note of."""
        return bool(self._departures)

    def take_departed(self) -> list[int]:
        """Return the message IDs of the requests whose last byte has been handed out since the last call."""
        departed: list[int] = []
        while self._departures and self._departures[0][0] <= self._outbound.handed_out:
            departed.append(self._departures.popleft()[1])
        return departed

    def room_for(self, outgoing: Outgoing) -> int:
        """Return how many bytes may be written to a data set now."""
        return self._outbound.room if outgoing is self._open else 0

    def write(self, outgoing: Outgoing, data: Buffer) -> None:
        """Queue a piece of the data set that is being written."""
        if not self.room_for(outgoing):
            raise LocalProtocolError("write_room is 0: the data set is finished, or has to wait")
        self._outbound.put_fragment(outgoing.context_id, data, command=False, last=False)

    def finish(self, outgoing: Outgoing) -> None:
        """End the data set that is being written, and go on with the messages behind it."""
        if outgoing is not self._open:
            raise LocalProtocolError("the data set is finished already, or has to wait for the messages before it")
        self._outbound.put_fragment(outgoing.context_id, b"", command=False, last=True)
        self._open = None
        self._note_departure(outgoing.message_id)
        while self._waiting and self._open is None:
            message = self._waiting.popleft()
            self.bytes_waiting -= message.length
            self._send(message.context_id, message.command, message.data, message.message_id)

    def _send(
        self, context_id: int, command: bytes, data: memoryview | Outgoing | None, message_id: int | None
    ) -> None:
        self._outbound.put_command(context_id, command)
        if isinstance(data, Outgoing):
            self._open = data
            return
        if data is not None:
            self._outbound.put_data(context_id, data)
        self._note_departure(message_id)

    def _note_departure(self, message_id: int | None) -> None:
        if message_id is not None:
            self._departures.append((self._outbound.queued, message_id))
