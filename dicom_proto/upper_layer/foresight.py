"""What is to come of a data set, told from the headers of its PDVs before any of it is taken in (PS3.8 9.3.5, E.2).

May change.

A peer sends a large data set faster than it is read, piece by piece as the network has it. Who drives a connection may
let pieces that arrive within a moment become one block, so that they cost one turn: as long as nothing has arrived that
anybody waits for, which is the end of the data set, or anything else than the data set.
"""

from dicom_proto.buffers import Buffer
from dicom_proto.upper_layer.pdu import (
    DATA_HEADER,
    HEADER_LENGTH,
    MCH_COMMAND,
    MCH_LAST,
    PDV_HEADER,
    PDV_HEADER_LENGTH,
    PDUType,
)

__all__ = ["Foresight"]

_P_DATA_TF = int(PDUType.P_DATA_TF)
_DATA_HEADER_LENGTH = HEADER_LENGTH + PDV_HEADER_LENGTH


class Foresight:
    """Follows the headers in what arrives next on a connection; nothing is judged or taken in.

    Parameters
    ----------
    pdv_left, pdu_left : int
        Bytes to come of the PDV and of the P-DATA-TF that are being read, which may be none.
    is_last : bool
        Whether that PDV ends the data set.
    """

    __slots__ = ("_is_last", "_pdu_end", "_pdv_end")

    def __init__(self, pdv_left: int, pdu_left: int, is_last: bool) -> None:
        self._pdv_end = pdv_left
        self._pdu_end = pdu_left
        self._is_last = is_last

    def is_in_midst(self, data: Buffer, length: int) -> bool:
        """Tell whether nothing but the middle of the data set has arrived.

        Parameters
        ----------
        data : buffer
            All that has arrived since, from its beginning on: the same bytes as before, and more.
        length : int
            How many bytes of it have arrived.
        """
        while self._pdv_end <= length:
            if self._is_last:
                return False
            at = self._pdv_end
            if at < self._pdu_end:
                if length < at + PDV_HEADER_LENGTH:
                    return True
                pdv_length, _, control = PDV_HEADER.unpack_from(data, at)
                start, pdu_end = at + PDV_HEADER_LENGTH, self._pdu_end
            else:
                if length < at + _DATA_HEADER_LENGTH:
                    return length == at or data[at] == _P_DATA_TF
                pdu_type, pdu_length, pdv_length, _, control = DATA_HEADER.unpack_from(data, at)
                start, pdu_end = at + _DATA_HEADER_LENGTH, at + HEADER_LENGTH + pdu_length
                if pdu_type != _P_DATA_TF:
                    return False
            end = start + pdv_length - 2
            if control & MCH_COMMAND or not start <= end <= pdu_end:
                return False
            self._pdv_end, self._pdu_end, self._is_last = end, pdu_end, bool(control & MCH_LAST)
        return True
