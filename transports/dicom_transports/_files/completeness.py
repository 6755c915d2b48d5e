"""Files that were cut short: noticed before they are sent, where that can be told by their elements (PS3.5 7.1).

A peer that is sent such an object waits for the rest of the last element, or drops the association. Only what has
certainly been cut is refused; what is wrong in other ways is the business of whoever reads it.
"""

import zlib
from typing import Final

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.structure import UNDEFINED, Data, Structure, Syntax, TruncatedError
from dicom_proto.errors import DataSetError, LocalProtocolError
from dicom_proto.limits import DEFAULT_LIMITS

__all__ = ["is_cut_short"]

_DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"  # Sequence Delimitation Item, which ends encapsulated Pixel Data too
_PIXEL_DATA: Final = b"\xe0\x7f\x10\0"  # its tag, little endian
_PADDING: Final = b"\xfc\xff\xfc\xff"  # Data Set Trailing Padding, which may follow
_HEAD: Final = 1 << 15  # bytes that it stands in, usually
_PIECE: Final = 1 << 20
_READ_AT_ONCE: Final = 1 << 20  # bytes: then a walk takes half the time; of what is longer only headers are read
_MOST_INFLATED: Final = 1 << 28  # bytes; what is longer is not looked at to its end


def is_cut_short(data: Data, transfer_syntax: str) -> bool:
    """Tell whether a data set ends before its last element does."""
    try:
        syntax = Syntax.of(transfer_syntax)
    except LocalProtocolError:  # a private one: nobody knows
        return False
    if syntax.deflated:
        return _is_deflated_short(data)
    if syntax.encapsulated and bytes(data[-len(_DELIMITER) :]) == _DELIMITER:  # its fragments need not be walked over
        return False
    if syntax.little and _ends_with_pixel_data(data, implicit=syntax.implicit):
        return False
    if len(data) <= _READ_AT_ONCE:
        data = data[:]
    structure = Structure(data, little=syntax.little)
    implicit = syntax.implicit
    try:
        implicit = structure.is_implicit(0, stated=syntax.implicit)
        for _ in structure.elements(0, len(data), implicit=implicit, max_depth=DEFAULT_LIMITS.data_set_depth):
            pass
    except TruncatedError as error:
        return error.needed > len(data) and _ends_within(structure, len(data), implicit=implicit)
    except DataSetError:
        return False
    return False


def _ends_with_pixel_data(data: Data, *, implicit: bool) -> bool:
    """Tell of almost every image that its Pixel Data ends where the data does: a walk takes longer than to read it."""
    head = bytes(data[:_HEAD])
    at = head.find(_PIXEL_DATA)
    while at >= 0:
        end = _end_of(data, at, implicit=implicit)
        if bytes(data[end : end + 4]) == _PADDING:
            end = _end_of(data, end, implicit=implicit)
        if end == len(data):
            return True
        at = head.find(_PIXEL_DATA, at + 1)
    return False


def _end_of(data: Data, at: int, *, implicit: bool) -> int:
    """Return where an element with a length of 32 bits says that it ends."""
    start = at + (8 if implicit else 12)
    return start + int.from_bytes(data[start - 4 : start], "little")


def _ends_within(structure: Structure, end: int, *, implicit: bool) -> bool:
    """Tell whether it is the data set that has no end, and not an element in a sequence that has one."""
    at = 0
    try:
        while at < end:
            _, _, start, length = structure.element(at, end, implicit=implicit)
            if length == UNDEFINED:
                return True
            at = start + length
    except TruncatedError:
        return True
    return at > end


def _is_deflated_short(data: Data) -> bool:
    """Tell whether deflated data has no end (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    length = 0
    try:
        for start in range(0, len(data), _PIECE):
            waiting: Buffer = data[start : start + _PIECE]
            while waiting and not inflater.eof:
                length += len(inflater.decompress(waiting, _PIECE))
                waiting = inflater.unconsumed_tail
                if length > _MOST_INFLATED:
                    return False
    except zlib.error:
        return False
    return not inflater.eof
