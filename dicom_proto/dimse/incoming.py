"""Messages on their way in: fragments joined to commands; data sets passed on, collected or dropped (PS3.8 Annex E).

May change.
"""

from enum import Enum, auto
from typing import Final

from attrs import define

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import DataChunk
from dicom_proto.errors import AbortReason, LimitExceededError, PDUError
from dicom_proto.limits import Limits
from dicom_proto.upper_layer.events import FragmentReceived

__all__ = ["Assembler", "Expected", "Handling"]


class Handling(Enum):
    """What becomes of a data set that is being received."""

    STREAM = auto()
    JOIN = auto()  # as STREAM, but pieces that are there at the same time are told of together
    COLLECT = auto()
    DROP = auto()


_STREAM: Final = Handling.STREAM  # looking up a member of an Enum in its class is slow before Python 3.12
_JOIN: Final = Handling.JOIN
_DROP: Final = Handling.DROP


@define
class Expected:
    """The data set that follows the command which was received last."""

    context_id: int
    message_id: int
    invoked: bool
    handling: Handling


class Assembler:
    """The message that is being received: there is never more than one in a direction."""

    __slots__ = ("_collected", "_command_context", "_limits", "expected")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._collected = bytearray()  # of the command, then of the data set
        self._command_context: int | None = None  # of the command that has begun and not ended
        self.expected: Expected | None = None  # the data set that is being received, if one is

    @property
    def is_mid_message(self) -> bool:
        """Whether a message has begun to arrive and its end has not arrived."""
        return self._command_context is not None or self.expected is not None

    def expect_data(self, context_id: int, message_id: int, *, invoked: bool, handling: Handling) -> None:
        """Say whose data set follows, and what to do with it."""
        self.expected = Expected(context_id, message_id, invoked, handling)

    def join_data(self, message_id: int) -> None:
        """Tell of pieces of the data set of a request together where they are there at the same time."""
        expected = self.expected
        if expected is None or expected.invoked or expected.message_id != message_id:
            return
        if expected.handling is _STREAM:
            expected.handling = _JOIN

    def drop_data(self, message_id: int) -> None:
        """Drop the rest of the data set of a request that has been answered early."""
        if self.expected is not None and not self.expected.invoked and self.expected.message_id == message_id:
            self.expected.handling = Handling.DROP
            self._collected.clear()

    def take_command(self, fragment: FragmentReceived) -> Buffer | None:
        """Take a piece of a command; return the command set when it is whole.

        Raises
        ------
        PDUError
            If a data set is expected, or the command began on another presentation context.
        LimitExceededError
            If the command is too long.
        """
        if self.expected is not None:
            raise _out_of_order("a command before the data set of the last one has ended")
        if self._command_context not in (None, fragment.context_id):
            raise _out_of_order("a command on two presentation contexts")
        if len(self._collected) + len(fragment.data) > self._limits.command_set:
            raise LimitExceededError(f"a command set of more than {self._limits.command_set} bytes")
        if fragment.last and self._command_context is None:
            return fragment.data
        self._command_context = fragment.context_id
        self._collected += fragment.data
        if not fragment.last:
            return None
        command, self._collected = self._collected, bytearray()
        self._command_context = None
        return command

    def take_data(self, fragment: FragmentReceived) -> DataChunk | None:
        """Take a piece of a data set; return what there is to tell about it.

        Raises
        ------
        PDUError
            If no data set is expected, or this one belongs to another presentation context.
        LimitExceededError
            If it is to be collected and is too long.
        """
        expected = self.expected
        if expected is None:
            raise _out_of_order("a data set without a command that announces it")
        if expected.context_id != fragment.context_id:
            raise _out_of_order("a command and its data set on two presentation contexts")
        if fragment.last:
            self.expected = None
        if expected.handling is _STREAM or expected.handling is _JOIN:
            return DataChunk(expected.message_id, expected.invoked, fragment.data, fragment.last)
        if expected.handling is _DROP:
            return None
        if len(self._collected) + len(fragment.data) > self._limits.data_set:
            raise LimitExceededError(f"a data set of more than {self._limits.data_set} bytes is not kept in memory")
        if fragment.last and not self._collected:  # in one piece, as most of those that are collected
            return DataChunk(expected.message_id, expected.invoked, bytes(fragment.data), True)
        self._collected += fragment.data
        if not fragment.last:
            return None
        data, self._collected = bytes(self._collected), bytearray()
        return DataChunk(expected.message_id, expected.invoked, data, True)


def _out_of_order(what: str) -> PDUError:
    return PDUError(f"{what} (PS3.8 Annex E)", abort_reason=AbortReason.UNEXPECTED_PDU_PARAMETER)
