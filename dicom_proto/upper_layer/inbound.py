"""Incremental reader of PDUs and PDVs: received blocks in; headers, whole small bodies and views of data sets out.

May change.

The reader keeps the blocks it was given and copies only what is small: headers, and the bodies of PDUs that are not
P-DATA-TF, which are bounded. What a P-DATA-TF carries is handed out as views of the blocks, as far as it has arrived,
so memory depends neither on the peer's PDU length nor on the size of a data set. Every byte is looked at once,
whatever the cuts.
"""

from collections import deque
from collections.abc import Container

from dicom_proto.buffers import Buffer
from dicom_proto.errors import PDUError
from dicom_proto.upper_layer.events import FragmentReceived
from dicom_proto.upper_layer.foresight import Foresight
from dicom_proto.upper_layer.pdu import (
    DATA_HEADER,
    HEADER,
    HEADER_LENGTH,
    MCH_COMMAND,
    MCH_LAST,
    PDV_HEADER_LENGTH,
    PDUType,
    unpack_pdv_header,
)

__all__ = ["Inbound"]

# Blocks smaller than this are gathered while they wait, so that a peer that sends single bytes costs no record for
# each.
_SMALL_BLOCK = 1024
_NOTHING = memoryview(b"")
_P_DATA_TF = int(PDUType.P_DATA_TF)
_MOST_PIECES = 64  # of one run: others have their turn
_DATA_HEADER_LENGTH = HEADER_LENGTH + PDV_HEADER_LENGTH


class Inbound:
    """The received bytes of one connection, read as a sequence of PDUs.

    A PDU is read in two steps, so that its six header bytes can be judged before anything more of it is kept:
    :meth:`header` shows the header, then one of :meth:`read_body`, :meth:`enter_data` and :meth:`skip` says what to
    do with the rest.

    Attributes
    ----------
    data_left : int
        Bytes still to be read of the P-DATA-TF that the reader is inside of; 0 if it is inside none.
    block : memoryview
        The block that is being read; empty if everything that was received has been read.
    in_body : bool
        Whether the reader is collecting the body of a PDU.
    skip_left : int
        Bytes that are still to be skipped.
    """

    __slots__ = (
        "_at",
        "_blocks",
        "_body",
        "_body_left",
        "_context_id",
        "_is_command",
        "_is_last",
        "_pdv_left",
        "_waiting",
        "block",
        "data_left",
        "in_body",
        "skip_left",
    )

    def __init__(self) -> None:
        self.block = _NOTHING  # while there are bytes it has at least one that has not been read
        self._at = 0  # how much of it has been read
        self._blocks: deque[memoryview | bytearray] = deque()  # behind it
        self._waiting = 0  # bytes in them
        self.skip_left = 0
        self.in_body = False
        self._body = bytearray()
        self._body_left = 0
        self.data_left = 0
        self._pdv_left = 0  # of its PDV that is being read
        self._context_id = 0
        self._is_command = self._is_last = False

    @property
    def available(self) -> int:
        """How many received bytes wait to be read."""
        return len(self.block) - self._at + self._waiting

    @property
    def is_between_pdus(self) -> bool:
        """Whether everything that was received has been read, and the next byte begins a PDU."""
        return not (self.block or self.skip_left or self.data_left or self.in_body)

    def foresee(self) -> Foresight | None:
        """Return what follows the headers of what comes next, if all that has arrived of a data set has been read."""
        if self.block or self.in_body or self.skip_left:
            return None
        return Foresight(self._pdv_left, self.data_left, self._is_last if self._pdv_left else False)

    def feed(self, data: Buffer) -> None:
        """Append a received block, which must not change any more; it is kept, not copied, until it has been read."""
        if not data:
            return
        if not self.block:
            self.block = memoryview(data).toreadonly()
            return
        self._waiting += len(data)
        if len(data) >= _SMALL_BLOCK:
            self._blocks.append(memoryview(data).toreadonly())
            return
        tail = self._blocks[-1] if self._blocks else None
        if isinstance(tail, bytearray) and len(tail) < _SMALL_BLOCK:
            tail += data
        else:
            self._blocks.append(bytearray(data))

    def clear(self) -> None:
        """Forget everything that waits: the stream has lost its frame, or nothing of it matters any more."""
        self.__init__()  # type: ignore[misc]

    def header(self) -> tuple[int, int] | None:
        """Return type and length of the next PDU without consuming them; ``None`` until all 6 bytes are there."""
        if len(self.block) - self._at < HEADER_LENGTH:
            if self.available < HEADER_LENGTH:
                return None
            self._join(HEADER_LENGTH)
        header: tuple[int, int] = HEADER.unpack_from(self.block, self._at)
        return header

    def read_body(self, length: int) -> None:
        """Consume the header; :meth:`body` then returns the ``length`` bytes behind it."""
        self._discard(HEADER_LENGTH)
        self.in_body = True
        self._body_left = length

    def body(self) -> bytes | None:
        """Return the body that is being collected, ``None`` until all of it is there."""
        while self._body_left and self.block:
            piece = self._take(self._body_left)
            self._body += piece
            self._body_left -= len(piece)
        if self._body_left or not self.in_body:
            return None
        self.in_body = False
        body, self._body = bytes(self._body), bytearray()
        return body

    def skip(self, length: int) -> None:
        """Consume the header, and the ``length`` bytes behind it as they arrive."""
        self._discard(HEADER_LENGTH)
        self.skip_left = length

    def skip_rest(self) -> None:
        """Consume the rest of the P-DATA-TF that is being read as it arrives."""
        self.skip_left = self.data_left
        self.data_left = self._pdv_left = 0

    def is_skipping(self) -> bool:
        """Consume what is to be skipped; return whether some of it is still to come."""
        if self.skip_left:
            count = min(self.skip_left, self.available)
            self._discard(count)
            self.skip_left -= count
        return self.skip_left > 0

    def enter_data(self, length: int) -> None:
        """Consume the header of a P-DATA-TF; :meth:`fragment` then reads the ``length`` bytes behind it.

        Raises
        ------
        PDUError
            If there is no room for even one PDV (PS3.8 9.3.5).
        """
        if not length:
            raise PDUError("P-DATA-TF without a presentation data value item")
        self._at += HEADER_LENGTH  # it lies in one block: see header()
        if self._at == len(self.block):
            self._next_block()
        self.data_left = length

    def fragment(self, contexts: Container[int]) -> FragmentReceived | None:
        """Return the next piece of a fragment, ``None`` until more bytes are there or the P-DATA-TF has ended.

        A fragment that is empty is a piece that is empty: receivers should take it (PS3.8 E.2).

        Raises
        ------
        PDUError
            If a PDV does not fit its PDU (PS3.8 9.3.5.1) or names a context that is not in ``contexts``.
        """
        if not self._pdv_left:
            if not self.data_left:
                return None
            if len(self.block) - self._at < PDV_HEADER_LENGTH <= self.data_left:
                if self.available < PDV_HEADER_LENGTH:
                    return None
                self._join(PDV_HEADER_LENGTH)
            self._enter_pdv(contexts)
            if not self._pdv_left:
                return FragmentReceived(self._context_id, self._is_command, self._is_last, _NOTHING)
        block, start = self.block, self._at
        piece = block[start : start + self._pdv_left]
        length = len(piece)
        if not length:
            return None
        self._at += length
        if self._at == len(block):
            self._next_block()
        self._pdv_left -= length
        self.data_left -= length
        return FragmentReceived(self._context_id, self._is_command, self._is_last and not self._pdv_left, piece)

    def whole(self, contexts: Container[int], longest: int) -> tuple[int, int, memoryview] | None:
        """Read a P-DATA-TF whose one fragment ends a command or data set, and lies whole in the block: nearly all do.

        Returns
        -------
        tuple of int, int and memoryview, or None
            Presentation context ID, message control header and fragment. ``None`` if what comes next is anything else,
            or odd in any way: nothing has been read of it then, and :meth:`header` and :meth:`fragment` are the judges.
        """
        if self.data_left or self.in_body or self.skip_left:
            return None
        block = self.block
        found = _whole_fragment(block, self._at, longest)
        if found is None:
            return None
        context_id, control, start, stop = found
        if not control & MCH_LAST or context_id not in contexts:
            return None
        if stop == len(block):
            self._next_block()
        else:
            self._at = stop
        return context_id, control, block[start:stop]

    def run(self, context_id: int, longest: int) -> tuple[list[memoryview], bool] | None:
        """Read consecutive P-DATA-TFs of one fragment each, of one data set, that lie whole in the block.

        Returns
        -------
        tuple of list and bool, or None
            The fragments, none of them empty, and whether the last one ends the data set. ``None`` if what comes next
            is anything else, or odd in any way, as for :meth:`whole`.
        """
        if self.data_left or self.in_body or self.skip_left:
            return None
        block, at = self.block, self._at
        pieces: list[memoryview] = []
        is_last = False
        while not is_last and len(pieces) < _MOST_PIECES:
            found = _whole_fragment(block, at, longest)
            if found is None or found[0] != context_id or found[1] & MCH_COMMAND:
                break
            is_last = bool(found[1] & MCH_LAST)
            start, at = found[2:]
            pieces.append(block[start:at])
        if not pieces:
            return None
        if at == len(block):
            self._next_block()
        else:
            self._at = at
        return pieces, is_last

    def _enter_pdv(self, contexts: Container[int]) -> None:
        """Read the header of a PDV."""
        self._pdv_left, self._context_id, control = unpack_pdv_header(self.block, self.data_left, self._at)
        if self._context_id not in contexts:
            raise PDUError(f"PDV for presentation context {self._context_id}, which was not accepted")
        self._is_command = bool(control & MCH_COMMAND)
        self._is_last = bool(control & MCH_LAST)
        self._at += PDV_HEADER_LENGTH
        if self._at == len(self.block):
            self._next_block()
        self.data_left -= PDV_HEADER_LENGTH

    def _join(self, count: int) -> None:
        """Make the next ``count`` bytes, a header that is there but lies in several blocks, one block of their own."""
        joined = bytearray()
        while len(joined) < count:
            joined += self._take(count - len(joined))
        if self.block:
            self._blocks.appendleft(self.block[self._at :])
            self._waiting += len(self._blocks[0])
        self.block, self._at = memoryview(joined).toreadonly(), 0

    def _take(self, most: int) -> memoryview:
        """Consume and return up to ``most`` bytes: what the block that is being read has of them."""
        block, start = self.block, self._at
        stop = start + most
        if stop < len(block):
            self._at = stop
        else:
            self._next_block()
        return block[start:stop]

    def _next_block(self) -> None:
        """Go on to the next block; one that was gathered is closed against further growth."""
        self._at = 0
        if self._blocks:
            self.block = memoryview(self._blocks.popleft()).toreadonly()
            self._waiting -= len(self.block)
        else:
            self.block = _NOTHING

    def _discard(self, count: int) -> None:
        """Consume ``count`` bytes that are there."""
        self._at += count
        while self._at >= len(self.block) and self.block:
            beyond = self._at - len(self.block)
            self._next_block()
            self._at = beyond


def _whole_fragment(block: memoryview, at: int, longest: int) -> tuple[int, int, int, int] | None:
    """Find a P-DATA-TF with one fragment that lies whole in a block.

    Returns
    -------
    tuple of int, or None
        Presentation context ID, message control header, and where the fragment, which is not empty, begins and ends.
    """
    start = at + _DATA_HEADER_LENGTH
    if start > len(block):
        return None
    pdu_type, length, pdv_length, context_id, control = DATA_HEADER.unpack_from(block, at)
    stop = start + pdv_length - 2
    if (
        pdu_type != _P_DATA_TF
        or pdv_length + 4 != length
        or not start < stop <= len(block)
        or (longest and length > longest)
    ):
        return None
    return context_id, control, start, stop
