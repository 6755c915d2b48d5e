"""What there is to say about a data set that has passed: its elements, by name and length (PS3.5).

May change.

Only its beginning is looked at, which is as much as is kept of it.
"""

import re
import struct
from typing import Any, Final

from pydicom.datadict import keyword_for_tag

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.structure import UNDEFINED, Structure, Syntax, dictionary_vr
from dicom_proto.errors import DataSetError, EncodingError

__all__ = ["KEPT", "Summary"]

KEPT: Final = 1 << 16  # bytes of a data set
_MOST_ELEMENTS: Final = 500
_MOST_DEPTH: Final = 32
_LONGEST_VALUE: Final = 64  # characters
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_TEXT: Final = frozenset(re.findall("..", "AEASCSDADSDTISLOLTPNSHSTTMUCUIURUT"))
_NUMBERS: Final = dict(zip(("US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"), "HhIifdQq", strict=True))  # to struct's


class Summary:
    """Gathers a data set while it passes.

    Parameters
    ----------
    transfer_syntax : str or None
        That of its presentation context; ``None`` if the capture has not said.
    """

    def __init__(self, transfer_syntax: str | None) -> None:
        self._transfer_syntax = transfer_syntax
        self._kept = bytearray()
        self.length = 0
        self.missing = 0

    def add(self, data: Buffer) -> None:
        """Add the next piece."""
        self.length += len(data)
        room = KEPT - len(self._kept)
        if room > 0:
            self._kept += data[:room]

    def miss(self, length: int) -> None:
        """Say that so many bytes of what is added next are not in the capture, and zeros instead."""
        self.missing += length

    def elements(self, *, values: bool) -> tuple[list[dict[str, Any]], str]:
        """Return the elements of the first level, and in words why there are no more, empty if that is all."""
        data = bytes(self._kept)
        found: list[dict[str, Any]] = []
        at = 0
        try:
            little, implicit = self._encoding(data)
            structure = Structure(data, little=little)
            while at < len(data):
                if len(found) == _MOST_ELEMENTS:
                    return found, f"more than {_MOST_ELEMENTS} elements"
                at = _add_element(structure, data, at, (little, implicit, values), found)
        except EncodingError as error:
            return found, str(error)
        except DataSetError as error:
            if self.length == len(data):
                return found, f"damaged: {error}"
        if at > self.length:
            return found, f"damaged: the last element ends {at - self.length} bytes behind the data set"
        return found, f"only the first {len(data)} bytes are looked at" if at < self.length else ""

    def _encoding(self, data: bytes) -> tuple[bool, bool]:
        """Return whether the data set is little endian, and whether it has no VRs; raise EncodingError if unknown."""
        if self._transfer_syntax is None:
            return True, Structure(data, little=True).is_implicit(0, stated=True)
        syntax = Syntax.of(self._transfer_syntax)
        if syntax.deflated:
            raise EncodingError("deflated, which is not looked into")
        return syntax.little, Structure(data, little=syntax.little).is_implicit(0, stated=syntax.implicit)


def _add_element(
    structure: Structure, data: bytes, at: int, how: tuple[bool, bool, bool], found: list[dict[str, Any]]
) -> int:
    """Add the element at ``at``, whether or not its value is all there; return where the next one is."""
    little, implicit, values = how
    tag, vr, start, length = structure.element(at, len(data), implicit=implicit)
    vr = vr or dictionary_vr(tag) or "UN"
    element: dict[str, Any] = {
        "tag": f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
        "name": _name(tag),
        "vr": vr,
        "length": length if length != UNDEFINED else "undefined",
    }
    found.append(element)
    if length != UNDEFINED:
        end = start + length
    else:
        end = structure.delimiter(tag, vr, start, len(data), implicit=implicit, max_depth=_MOST_DEPTH)
    if vr == "SQ" and end <= len(data):
        items = structure.items(start, end, implicit=implicit, max_depth=_MOST_DEPTH)
        element["items"] = sum(1 for _ in items)
    if values and tag not in _PIXELS:
        element["value"] = _value(vr, data[start : min(end, start + 4 * _LONGEST_VALUE)], little=little)
    return end if length != UNDEFINED else end + 8


def _name(tag: int) -> str:
    if tag >> 16 & 1:
        return "private"
    return keyword_for_tag(tag) or "unknown"


def _value(vr: str, raw: bytes, *, little: bool) -> str:
    """Show a value as far as it can be without knowing the character set; nothing of what is no text or number."""
    if vr in _TEXT:
        return raw.decode("utf-8", "replace").rstrip(" \0")[:_LONGEST_VALUE]
    code = _NUMBERS.get(vr)
    if code is None:
        return ""
    size = struct.calcsize(code)
    count = min(len(raw) // size, 8)
    return "\\".join(
        f"{number:g}" if code in "fd" else str(number)
        for number in struct.unpack(f"{'<' if little else '>'}{count}{code}", raw[: count * size])
    )
