"""Fragmenter and gather queue: what is to be sent, kept as views and cut into PDUs only when they can be sent.

May change.

Data sets are sliced, never joined or copied: each P-DATA-TF is a header of 12 bytes and views of its payload. It
carries one PDV, all of one message's command or data set, of even length (PS3.8 Annex E).
"""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define

from dicom_proto.buffers import Buffer
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.pdu import (
    DATA_HEADER,
    HEADER_LENGTH,
    MCH_COMMAND,
    MCH_LAST,
    PDV_HEADER_LENGTH,
    PDUType,
    pack_pdv_header,
)

__all__ = ["Outbound"]

_OVERHEAD = HEADER_LENGTH + PDV_HEADER_LENGTH
_P_DATA_TF: Final = int(PDUType.P_DATA_TF)
_WHOLE_COMMAND: Final = MCH_COMMAND | MCH_LAST


_WholePDU: TypeAlias = tuple[bytes, memoryview | None, int, object]
"""A PDU, or its header and its payload; the bytes of the fragment of a P-DATA-TF, 0 for any other PDU; its token."""


@define
class _Stream:
    """The command, or the data set, of one message: views in order, and whether its end is among them."""

    context_id: int
    command: bool
    views: deque[memoryview]
    length: int = 0  # of the views
    total: int = 0  # of everything that was ever put in
    ended: bool = False
    token: object = None

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

    Whatever is queued may have a token, which :meth:`hand_out` returns when its last byte leaves.

    Attributes
    ----------
    queue : deque
        What waits, and whether anything does.
    capacity : int
        How many payload bytes may wait before no more are welcome.
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

    __slots__ = ("_max_fragment", "_unended", "capacity", "handed_out", "is_blocked", "on_data", "queue", "queued")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.queue: deque[_WholePDU | _Stream] = deque()
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
        if not self.queue:
            return False
        head = self.queue[0]
        return isinstance(head, tuple) or head.ended or head.length > self._max_fragment

    @property
    def room(self) -> int:
        """How many more payload bytes are welcome."""
        return max(0, self.capacity - self.queued + self.handed_out)

    def put_control(self, data: bytes, token: object = None) -> None:
        """Queue an encoded PDU behind everything that waits."""
        self.queue.append((data, None, 0, token))

    def ends_with(self, data: bytes) -> bool:
        """Tell whether an encoded PDU is the last that waits."""
        last = self.queue[-1] if self.queue else None
        return isinstance(last, tuple) and last[0] == data

    def clear(self) -> None:
        """Drop everything that waits: nothing precedes or follows an A-ABORT."""
        self.queue.clear()
        self._unended = None
        self.queued = self.handed_out
        self.is_blocked = False

    def put_command(self, context_id: int, command: bytes, token: object = None) -> None:
        """Queue a whole command; nothing else may be in the midst of being queued."""
        length = len(command)
        if length > self._max_fragment:
            self.put_fragment(context_id, command, command=True, last=True, token=token)
            return
        pdu = DATA_HEADER.pack(_P_DATA_TF, length + PDV_HEADER_LENGTH, length + 2, context_id, _WHOLE_COMMAND) + command
        self.queue.append((pdu, None, length, token))
        self.queued += length
        if self.on_data is not None:
            self._tell(self.on_data)

    def put_data(self, context_id: int, data: memoryview, token: object = None) -> None:
        """Queue a whole data set, of even length and not empty, behind its command."""
        length = len(data)
        if length > self._max_fragment:
            self.put_fragment(context_id, data, command=False, last=True, token=token)
            return
        self.queue.append((pack_pdv_header(context_id, MCH_LAST, length), data, length, token))
        self.queued += length
        if self.on_data is not None:
            self._tell(self.on_data)

    def put_fragment(self, context_id: int, data: Buffer, *, command: bool, last: bool, token: object = None) -> None:
        """Queue a piece of a command or data set; it is kept as a view and must not change until it has left.

        The token is that of the last piece.

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
            self.queue.append(stream)
        if length:
            stream.views.append(view)
        stream.total = total
        stream.length += length
        stream.ended = last
        stream.token = token
        self._unended = None if last else stream
        self.queued += length
        if self.on_data is not None:
            self._tell(self.on_data)

    @staticmethod
    def _tell(on_data: Callable[[], Callable[[], None] | None]) -> None:
        told = on_data()
        if told is not None:
            told()

    def hand_out(self, limit: int) -> tuple[list[Buffer], list[object]]:
        """Cut what waits into whole PDUs until ``limit`` bytes are passed; return them, and the tokens of what leaves.

        PDUs other than P-DATA-TF do not count and leave as soon as nothing waits before them.
        """
        buffers: list[Buffer] = []
        tokens: list[object] = []
        queue = self.queue
        while queue:
            head = queue[0]
            if isinstance(head, tuple):
                first, payload, length, token = head
                if length:
                    if limit <= 0:
                        break
                    limit -= length + _OVERHEAD
                    self.handed_out += length
                buffers.append(first)
                if payload is not None:
                    buffers.append(payload)
            else:
                limit -= self._cut(head, buffers, limit)
                if head.length or not head.ended:
                    break
                token = head.token
            if token is not None:
                tokens.append(token)
            queue.popleft()
        self.is_blocked = bool(queue) and self.can_leave
        return buffers, tokens

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
