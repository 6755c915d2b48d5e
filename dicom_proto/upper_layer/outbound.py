"""Fragmenter and gather queue: what is to be sent, kept as views and cut into PDUs only when they can be sent.

Data sets are sliced, never joined or copied: each P-DATA-TF is a header of 12 bytes and views of its payload. It
carries one PDV, all of one message's command or data set, of even length (PS3.8 Annex E).
"""

from collections import deque
from collections.abc import Callable

from attrs import define

from dicom_proto.buffers import Buffer
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, MCH_COMMAND, MCH_LAST, PDV_HEADER_LENGTH, pack_pdv_header
from dicom_proto.upper_layer.timers import Timer

__all__ = ["Outbound"]

_OVERHEAD = HEADER_LENGTH + PDV_HEADER_LENGTH


@define
class _PDU:
    """A whole PDU, and the timer that starts when it leaves."""

    buffers: list[Buffer]
    payload: int  # bytes of the fragment of a P-DATA-TF, 0 for any other PDU
    starts: Timer | None = None


@define
class _Stream:
    """The command, or the data set, of one message: views in order, and whether its end is among them."""

    context_id: int
    command: bool
    views: deque[memoryview]
    length: int = 0  # of the views
    total: int = 0  # of everything that was ever put in
    ended: bool = False

    def take(self, count: int, into: list[Buffer]) -> None:
        """Move ``count`` bytes of the views to a list of buffers."""
        self.length -= count
        while count:
            view = self.views.popleft()
            if len(view) > count:
                self.views.appendleft(view[count:])
                view = view[:count]
            into.append(view)
            count -= len(view)


class Outbound:
    """The bytes that wait to be sent on one connection.

    Attributes
    ----------
    queued : int
        Payload bytes of P-DATA-TF that were ever queued.
    handed_out : int
        Payload bytes of P-DATA-TF that have left, a running total; ``queued - handed_out`` wait.
    is_blocked : bool
        Whether the limit kept back something when PDUs were last handed out: the peer does not read.
    on_data : callable or None
        Returns who is told whenever a piece of a command or data set has been queued, or ``None``: a weak reference.

    Parameters
    ----------
    capacity : int
        How many payload bytes may wait before no more are welcome.
    """

    __slots__ = ("_capacity", "_max_fragment", "_queue", "_unended", "handed_out", "is_blocked", "on_data", "queued")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._queue: deque[_PDU | _Stream] = deque()
        self._unended: _Stream | None = None  # the last in the queue, if it has not ended
        self._max_fragment = 0
        self.queued = 0
        self.handed_out = 0
        self.is_blocked = False
        self.on_data: Callable[[], Callable[[], None] | None] | None = None

    def set_maximum_length(self, maximum_length: int) -> None:
        """Set the longest body of a P-DATA-TF in bytes (PS3.8 D.1): a PDV header and an even fragment (PS3.8 E.1)."""
        self._max_fragment = (maximum_length - PDV_HEADER_LENGTH) & ~1

    @property
    def is_mid_stream(self) -> bool:
        """Whether a command or data set was begun whose end has not been queued."""
        return self._unended is not None

    @property
    def can_leave(self) -> bool:
        """Whether a PDU waits that :meth:`hand_out` would cut: what holds it up is the peer, which does not read."""
        if not self._queue:
            return False
        head = self._queue[0]
        return isinstance(head, _PDU) or head.ended or head.length > self._max_fragment

    @property
    def room(self) -> int:
        """How many more payload bytes are welcome."""
        return max(0, self._capacity - self.queued + self.handed_out)

    def put_control(self, data: bytes, starts: Timer | None = None) -> None:
        """Queue an encoded PDU behind everything that waits, and the timer that starts when it leaves."""
        self._queue.append(_PDU([data], 0, starts))

    def ends_with(self, data: bytes) -> bool:
        """Tell whether an encoded PDU is the last that waits."""
        last = self._queue[-1] if self._queue else None
        return isinstance(last, _PDU) and last.buffers == [data]

    def clear(self) -> None:
        """Drop everything that waits: nothing precedes or follows an A-ABORT."""
        self._queue.clear()
        self._unended = None
        self.queued = self.handed_out
        self.is_blocked = False

    def put_command(self, context_id: int, command: bytes) -> None:
        """Queue a whole command; nothing else may be in the midst of being queued."""
        length = len(command)
        if length > self._max_fragment:
            self.put_fragment(context_id, command, command=True, last=True)
            return
        pdu = pack_pdv_header(context_id, MCH_COMMAND | MCH_LAST, length) + command
        self._queue.append(_PDU([pdu], length))
        self.queued += length
        if self.on_data is not None:
            self._tell(self.on_data)

    def put_data(self, context_id: int, data: memoryview) -> None:
        """Queue a whole data set, of even length and not empty, behind its command."""
        length = len(data)
        if length > self._max_fragment:
            self.put_fragment(context_id, data, command=False, last=True)
            return
        self._queue.append(_PDU([pack_pdv_header(context_id, MCH_LAST, length), data], length))
        self.queued += length
        if self.on_data is not None:
            self._tell(self.on_data)

    def put_fragment(self, context_id: int, data: Buffer, *, command: bool, last: bool) -> None:
        """Queue a piece of a command or data set; it is kept as a view and must not change until it has left.

        Raises
        ------
        LocalProtocolError
            If another command or data set has not ended yet, or if this one ends empty or with an odd length (PS3.8
            E.1).
        """
        going_on = self._unended
        stream = going_on or _Stream(context_id, command, deque())
        if stream.context_id != context_id or stream.command != command:
            raise LocalProtocolError(
                "the command or data set that is being sent has not ended: two are never mixed (PS3.8 Annex E)"
            )
        view = memoryview(data).cast("B")
        length = len(view)
        total = stream.total + length
        if last and (not total or total % 2):
            raise LocalProtocolError(
                f"a command or data set of {total} bytes cannot be sent: even and not empty (PS3.8 E.1)"
            )
        if going_on is None:
            self._queue.append(stream)
        if length:
            stream.views.append(view)
        stream.total = total
        stream.length += length
        stream.ended = last
        self._unended = None if last else stream
        self.queued += length
        if self.on_data is not None:
            self._tell(self.on_data)

    @staticmethod
    def _tell(on_data: Callable[[], Callable[[], None] | None]) -> None:
        told = on_data()
        if told is not None:
            told()

    def hand_out(self, limit: int) -> tuple[list[Buffer], list[Timer]]:
        """Cut what waits into whole PDUs until ``limit`` bytes are passed; say which timers start because of them.

        PDUs other than P-DATA-TF do not count and leave as soon as nothing waits before them.
        """
        buffers: list[Buffer] = []
        timers: list[Timer] = []
        while self._queue:
            head = self._queue[0]
            if isinstance(head, _PDU):
                if head.payload:
                    if limit <= 0:
                        break
                    limit -= head.payload + _OVERHEAD
                    self.handed_out += head.payload
                elif head.starts is not None:
                    timers.append(head.starts)
                buffers += head.buffers
            else:
                limit -= self._cut(head, buffers, limit)
                if head.length or not head.ended:
                    break
            self._queue.popleft()
        self.is_blocked = self.can_leave
        return buffers, timers

    def _cut(self, stream: _Stream, buffers: list[Buffer], limit: int) -> int:
        """Cut P-DATA-TF PDUs off a stream; return how many bytes they have.

        The end of a stream that has not ended is kept back, so that its last fragment is never an empty one.
        """
        size = self._max_fragment
        control = MCH_COMMAND if stream.command else 0
        cut = 0
        if stream.length > size:
            full = pack_pdv_header(stream.context_id, control, size)
            while stream.length > size and cut < limit:
                buffers.append(full)
                stream.take(size, buffers)
                self.handed_out += size
                cut += size + _OVERHEAD
        if stream.ended and cut < limit:
            buffers.append(pack_pdv_header(stream.context_id, control | MCH_LAST, stream.length))
            buffers += stream.views
            self.handed_out += stream.length
            cut += stream.length + _OVERHEAD
            stream.length = 0
        return cut
