"""What stands around values in a transfer syntax: the headers of elements and items, delimiters (PS3.5 7.1, 7.5).

May change.
"""

import re
import struct
from typing import Final

from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_proto.encoding.structure import UNDEFINED, Syntax, dictionary_vr

__all__ = ["ITEM_END", "LONGEST", "LONG_VRS", "OFFSETS", "PIXEL_DATA", "SEQUENCE_END", "VR_FORM", "Headers"]

LONGEST: Final = 0xFFFE
"""The longest value, in bytes, whose length has 16 bits, and is even."""

LONG_VRS: Final = frozenset(map(str, EXPLICIT_VR_LENGTH_32))
"""VRs whose length has 32 bits in explicit VR (PS3.5 7.1.2)."""

VR_FORM: Final = re.compile("[A-Z]{2}")
"""What every VR looks like."""

PIXEL_DATA, OFFSETS = BaseTag(0x7FE00010), BaseTag(0x7FE00001)
ITEM_END, SEQUENCE_END = 0xE00D, 0xE0DD
_PLAIN, _SHORT, _LONG = (
    {True: struct.Struct("<" + form), False: struct.Struct(">" + form)} for form in ("HHL", "HH2sH", "HH2s2xL")
)


class Headers:
    """Makes the headers of one transfer syntax.

    Parameters
    ----------
    syntax : Syntax
        The transfer syntax.
    """

    __slots__ = ("_implicit", "_long", "_plain", "_short")

    def __init__(self, syntax: Syntax) -> None:
        self._implicit = syntax.implicit
        self._plain, self._short, self._long = (forms[syntax.little] for forms in (_PLAIN, _SHORT, _LONG))

    def element(self, tag: int, vr: str, length: int) -> bytes:
        """Return what precedes the value of an element; the VR is not looked at where there is none."""
        group, number = tag >> 16, tag & 0xFFFF
        if self._implicit:
            return self._plain.pack(group, number, length)
        return (self._long if vr in LONG_VRS else self._short).pack(group, number, vr.encode("ascii"), length)

    def item(self, length: int) -> bytes:
        """Return what precedes the elements of an item (PS3.5 7.5.1)."""
        return self._plain.pack(0xFFFE, 0xE000, length)

    def delimiter(self, number: int) -> bytes:
        """Return what ends an item, or a sequence, of undefined length (PS3.5 7.5.1)."""
        return self._plain.pack(0xFFFE, number, 0)

    def are_ready(self, tag: int, vr: str | None, length: int) -> bool:
        """Tell whether an element that was read in this very encoding can be copied as it is."""
        if length == UNDEFINED:
            return vr == "SQ" or (not vr and self._implicit and dictionary_vr(tag) == "SQ")
        if length % 2 or tag in {PIXEL_DATA, OFFSETS}:
            return False
        return VR_FORM.fullmatch(vr) is not None if vr else self._implicit
