"""What arrives of a large data set within a moment becomes one block: every block costs a turn of the engine."""

from typing import Final

from dicom_proto.buffers import Buffer
from dicom_proto.upper_layer.foresight import Foresight
from dicom_transports._socket.channel import Channel

__all__ = ["Block"]

_ROOM: Final = 1 << 20  # bytes of one block
_MOMENT: Final = 0.01  # seconds that what has arrived may be kept back: a slow peer notices nothing
_MOST_SPARE: Final = 4  # blocks of the whole process that are kept to be used again: new memory costs more than to read
_SPARE: list[bytearray] = []


class Block:
    """A block that is being filled.

    Parameters
    ----------
    foresight : Foresight
        Tells whether what has arrived is only the middle of the data set.
    now : float
        The time in seconds.

    Attributes
    ----------
    until : float
        When it has to be handed on.
    """

    __slots__ = ("_block", "_foresight", "_length", "until")

    def __init__(self, foresight: Foresight, now: float) -> None:
        self._foresight = foresight
        self._block = _take_block()
        self._length = 0
        self.until = now + _MOMENT

    def receive(self, channel: Channel) -> bool:
        """Take what has arrived; return whether to wait for more."""
        if self._length:
            with memoryview(self._block) as view, view[self._length :] as room:
                self._length += channel.receive_into(room)
        else:
            self._length = channel.receive_into(self._block)
        return self._length < _ROOM and not channel.has_ended and self._foresight.is_in_midst(self._block, self._length)

    def take(self) -> Buffer:
        """Return what has arrived; nothing more can be received."""
        block = self._block
        if len(_SPARE) < _MOST_SPARE:
            _SPARE.append(block)
        return memoryview(block)[: self._length]


def _take_block() -> bytearray:
    """Return a block that nobody looks at any more, or a new one."""
    for _ in range(len(_SPARE)):
        try:
            block = _SPARE.pop()
        except IndexError:  # another thread was quicker
            break
        try:
            block.append(block.pop())  # which it refuses as long as somebody has a view of it
        except BufferError:
            _SPARE.insert(0, block)
        else:
            return block
    return bytearray(_ROOM)
