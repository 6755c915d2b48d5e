"""A tap on one direction of a connection: bytes in, whole PDUs out, for those who want to see what the machine streams.

Stable.

It stands beside the machine, and only where somebody looks: the machine itself never keeps a whole P-DATA-TF.
"""

from attrs import frozen

from dicom_proto.buffers import Buffer
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType, unpack_header

__all__ = ["PDUTap", "SkippedPDU"]

_TYPES = frozenset(map(int, PDUType))


@frozen
class SkippedPDU:
    """A PDU that is longer than the tap keeps: its type, and the length of its body in bytes."""

    pdu_type: int
    length: int


class PDUTap:
    """Cuts the bytes of one direction into PDUs, wherever they were cut before.

    Parameters
    ----------
    limit : int
        Longest body of a PDU that is kept, in bytes. A longer one is skipped as it passes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pdu = bytearray()  # as far as it has passed
        self._wanted = HEADER_LENGTH  # bytes of it
        self._skip = 0
        self._is_lost = False  # what has passed cannot be a PDU: nobody can tell any more where one begins

    def feed(self, data: Buffer) -> list[bytes | SkippedPDU]:
        """Let bytes pass; return the PDUs that end, and those to be skipped that begin, among them.

        After the header of what is no PDU (PS3.8 9.3.1) nothing is returned any more.
        """
        found: list[bytes | SkippedPDU] = []
        rest = memoryview(data).cast("B")
        while rest and not self._is_lost:
            if self._skip:
                count = min(self._skip, len(rest))
                self._skip -= count
                rest = rest[count:]
                continue
            piece = rest[: self._wanted - len(self._pdu)]
            self._pdu += piece
            rest = rest[len(piece) :]
            if len(self._pdu) == HEADER_LENGTH == self._wanted:
                self._judge(found)
            if len(self._pdu) == self._wanted:
                found.append(bytes(self._pdu))
                self._begin()
        return found

    def _judge(self, found: list[bytes | SkippedPDU]) -> None:
        """Decide by the header what becomes of a PDU."""
        pdu_type, length = unpack_header(self._pdu)
        if pdu_type not in _TYPES:
            self._is_lost = True
            self._begin()
        elif length > self._limit:
            found.append(SkippedPDU(pdu_type, length))
            self._skip = length
            self._begin()
        else:
            self._wanted += length

    def _begin(self) -> None:
        self._pdu.clear()
        self._wanted = HEADER_LENGTH
