"""Messages on their way out: whole ones, and those whose data set is written piece by piece.

Stable.

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

    __slots__ = ("_outbox", "context_id", "message_id", "token")

    def __init__(self, outbox: "Outbox", context_id: int, message_id: int, token: object) -> None:
        self._outbox = outbox
        self.context_id = context_id
        self.message_id = message_id  # of the request that it belongs to
        self.token = token  # of its last piece, until that is queued

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
    token: object

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

    __slots__ = ("_open", "_outbound", "_waiting", "bytes_waiting")

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._waiting: deque[_Message] = deque()
        self._open: Outgoing | None = None  # the data set that is being written
        self.bytes_waiting = 0

    def post(self, context_id: int, command: bytes, data: Buffer | Outgoing | None, token: object) -> None:
        """Queue a message; the token is that of its last byte, see :class:`Outbound`.

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
        if self._open is not None:
            message = _Message(context_id, command, data, token)
            self._waiting.append(message)
            self.bytes_waiting += message.length
        elif data is None:
            self._outbound.put_command(context_id, command, token)
        else:
            self._send(context_id, command, data, token)

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
        for message in self._waiting:
            if isinstance(message.data, Outgoing):
                message.data.token = None
        self._waiting.clear()
        self.bytes_waiting = 0
        if self._open is not None:
            self._open.token = None
            self._open = None

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
        self._outbound.put_fragment(outgoing.context_id, b"", command=False, last=True, token=outgoing.token)
        outgoing.token = self._open = None
        while self._waiting and self._open is None:
            message = self._waiting.popleft()
            self.bytes_waiting -= message.length
            self._send(message.context_id, message.command, message.data, message.token)

    def _send(self, context_id: int, command: bytes, data: memoryview | Outgoing | None, token: object) -> None:
        if data is None:
            self._outbound.put_command(context_id, command, token)
            return
        self._outbound.put_command(context_id, command)
        if isinstance(data, Outgoing):
            self._open = data
        else:
            self._outbound.put_data(context_id, data, token)
