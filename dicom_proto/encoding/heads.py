"""The head of almost every DICOM file, read in one go (PS3.10 7.1).

May change.

File Meta Information as the standard wants it, and behind it a data set that starts with the first elements of group
0008, one after the other. It says nothing about any other head: who reads that is the only judge of what is odd.
"""

import struct
from functools import lru_cache
from typing import Final

from dicom_proto.encoding.structure import LONG_VRS, VRS, Syntax
from dicom_proto.errors import LocalProtocolError

__all__ = ["read_plain_head", "text_of"]

_META_AT: Final = 132
_META_GROUP, _FIRST_GROUP = 0x0002, 0x0008
_META_SYNTAX: Final = 0x0010
_SOP_CLASS, _SOP_INSTANCE = 0x0016, 0x0018
_EXPLICIT: Final = struct.Struct("<HH2sH").unpack_from
_IMPLICIT: Final = struct.Struct("<HHL").unpack_from
_LONG: Final = struct.Struct("<L").unpack_from
_SHORT_VRS: Final = VRS.keys() - LONG_VRS  # whose length has 16 bits


def read_plain_head(prefix: bytes) -> tuple[str, str, str, int] | None:
    """Return what the head of a file says, ``None`` if it is not plain or not all of it is there.

    Parameters
    ----------
    prefix : bytes
        The first bytes of the file.

    Returns
    -------
    tuple of str, str, str and int
        The UIDs of the transfer syntax, of the SOP class and of the SOP Instance; at which byte the data set starts.
    """
    if prefix[128:_META_AT] != b"DICM":
        return None
    try:
        syntax, at = _read_meta(prefix)
        form = _form_of(syntax)
        if form is None:
            return None
        uids = _read_uids(prefix, at, implicit=form[1])
    except struct.error:  # it ends before that
        return None
    if uids is None or not all(uids):
        return None
    return form[0], *uids, at


def _read_meta(prefix: bytes) -> tuple[bytes, int]:
    """Return the value of Transfer Syntax UID, and where the File Meta Information ends; empty if it is not plain."""
    at, syntax = _META_AT, b""
    while True:
        group, number, vr, length = _EXPLICIT(prefix, at)
        if group != _META_GROUP:
            return syntax, at
        at += 8
        if vr not in _SHORT_VRS:
            if vr != b"OB":
                return b"", at
            length = _LONG(prefix, at)[0]
            at += 4
        elif number == _META_SYNTAX:
            syntax = prefix[at : at + length]
        at += length


@lru_cache(maxsize=64)
def _form_of(syntax: bytes) -> tuple[str, bool] | None:
    """Return a transfer syntax, and whether it has no VRs; ``None`` if data sets in it can begin in other ways."""
    uid = text_of(syntax)
    try:
        known = Syntax.of(uid)
    except LocalProtocolError:
        return None
    return None if known.deflated or not known.little else (uid, known.implicit)


def _read_uids(prefix: bytes, at: int, *, implicit: bool) -> tuple[str, str] | None:
    """Return the UIDs of SOP class and SOP Instance, ``None`` if they do not stand where they should."""
    sop_class = b""
    last = -1
    if implicit and prefix[at + 4 : at + 6] in VRS:
        return None
    while True:
        if implicit:
            group, number, length = _IMPLICIT(prefix, at)
        else:
            group, number, vr, length = _EXPLICIT(prefix, at)
            if vr not in _SHORT_VRS:
                return None
        if group != _FIRST_GROUP or not last < number <= _SOP_INSTANCE:
            return None
        last = number
        at += 8 + length
        if number == _SOP_CLASS:
            sop_class = prefix[at - length : at]
        elif number == _SOP_INSTANCE:
            return (text_of(sop_class), text_of(prefix[at - length : at])) if at <= len(prefix) else None


def text_of(value: bytes) -> str:
    """Return the value of a UID without its padding."""
    return value.decode("latin-1").strip(" \0")
