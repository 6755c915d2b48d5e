"""Deflated data sets (PS3.5 A.5): what they become is bounded while it happens.

May change.
"""

import zlib
from typing import Final

from dicom_proto.buffers import Buffer
from dicom_proto.errors import DataSetError

__all__ = ["deflate", "inflate", "inflate_head"]

RATIO_COUNTS_FROM: Final = 1 << 26  # bytes; what becomes no longer may have been all zeros
_STEP: Final = 1 << 20
_PIECE: Final = 1 << 16


def inflate(data: Buffer, *, max_length: int, max_ratio: int) -> bytes:
    """Inflate a data set; what follows the deflated data is padding.

    Raises
    ------
    DataSetError
        If it is none, or becomes longer than ``max_length``; or longer than 64 MiB and than ``max_ratio`` times what it
        was.
    """
    most = min(max_length, max(RATIO_COUNTS_FROM, max_ratio * len(data)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    parts, length = [], 0
    for at in range(0, len(data) + 1, _PIECE):  # in pieces, because what is left of one is copied each time
        rest = bytes(data[at : at + _PIECE])
        while True:
            try:
                part = inflater.decompress(rest, _STEP)
            except zlib.error:
                raise DataSetError("the deflated data set cannot be inflated") from None
            rest = inflater.unconsumed_tail
            length += len(part)
            if length > most:
                raise DataSetError(f"the deflated data set of {len(data)} bytes becomes longer than {most} bytes")
            parts.append(part)
            if not part:
                break
        if inflater.eof:
            return b"".join(parts)
    raise DataSetError("the deflated data set is not complete")


def inflate_head(data: Buffer, length: int) -> tuple[bytes, bool]:
    """Inflate the beginning of a data set, for what precedes its bulk; tell whether that is all of it.

    Raises
    ------
    DataSetError
        If it is none.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(data[:length], length), inflater.eof
    except zlib.error:
        raise DataSetError("the deflated data set cannot be inflated") from None


def deflate(data: bytes) -> bytes:
    """Deflate a data set, and pad it to even length."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    return deflated + bytes(len(deflated) % 2)
