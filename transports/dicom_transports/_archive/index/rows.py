"""Encodes the identifiers of answers straight from rows of the index: a Dataset for each would cost ten times as much.

Internal. Only in the two syntaxes in which queries are answered: little endian, with and without VRs.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import frozen
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_proto.encoding.character_sets import DEFAULT, UTF_8, CharacterSets, UnexpressibleError

__all__ = ["Encoder", "Field", "field_of"]

_LONG: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_TEXT: Final = frozenset(
    {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
)  # what Specific Character Set is about (PS3.5 6.1.2.2)
_CHARACTER_SET: Final = 0x00080005
_MOST: Final = 0xFFFE  # bytes of a value whose length has 16 bits

Field = tuple[int, str]
"""An element that each answer has: its tag and VR."""


@frozen
class Encoder:
    """Encodes rows of values, as text, as data sets.

    Parameters
    ----------
    fields : sequence of Field
        The elements, in the order of their tags, without Specific Character Set.
    is_explicit : bool
        Whether there are VRs: Explicit or Implicit VR Little Endian.
    wanted : CharacterSets
        In what the answer should be, where that has all of the text; otherwise it is in UTF-8.
    """

    fields: Sequence[Field]
    is_explicit: bool
    wanted: CharacterSets = DEFAULT

    def compiled(self) -> Callable[[Sequence[str | None]], bytes]:
        """Return what encodes one row; its values are in the order of the fields, ``None`` for none."""
        heads = [self._head(tag, vr) for tag, vr in self.fields]
        at = next((number for number, (tag, _) in enumerate(self.fields) if tag > _CHARACTER_SET), len(self.fields))
        preferred, utf_8 = self._stated(self.wanted), self._stated(UTF_8)
        wanted = self.wanted

        def encode(values: Sequence[str | None]) -> bytes:
            try:
                parts, is_ascii = _elements(heads, values, wanted)
                stated = b"" if is_ascii else preferred
            except UnexpressibleError:
                parts, _ = _elements(heads, values, UTF_8)
                stated = utf_8
            if stated:
                parts.insert(at, stated)
            return b"".join(parts)

        return encode

    def _head(self, tag: int, vr: str) -> "_Head":
        start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        padding = b"\0" if vr == "UI" else b" "
        if not self.is_explicit:
            return _Head(start, struct.Struct("<I"), padding, vr, 0xFFFFFFFE)
        if vr in _LONG:
            return _Head(start + vr.encode() + b"\0\0", struct.Struct("<I"), padding, vr, 0xFFFFFFFE)
        return _Head(start + vr.encode(), struct.Struct("<H"), padding, vr, _MOST)

    def _stated(self, sets: CharacterSets) -> bytes:
        if not sets.terms:
            return b""
        head = self._head(_CHARACTER_SET, "CS")
        return head.encoded("\\".join(sets.terms).encode("ascii"))


@frozen
class _Head:
    """What stands before a value."""

    start: bytes  # tag and VR
    length: struct.Struct
    padding: bytes
    vr: str
    most: int

    def encoded(self, value: bytes) -> bytes:
        if len(value) % 2:
            value += self.padding
        if len(value) > self.most:
            value = b""
        return self.start + self.length.pack(len(value)) + value


def _elements(heads: Sequence[_Head], values: Sequence[str | None], sets: CharacterSets) -> tuple[list[bytes], bool]:
    """Return encoded elements, and whether all of their text is ASCII.

    Raises
    ------
    UnexpressibleError
        If the character sets do not have all of it.
    """
    parts, is_ascii = [], True
    for head, value in zip(heads, values, strict=True):
        if not value:
            raw = b""
        elif head.vr == "US":
            raw = _number(value)
        elif value.isascii():
            raw = value.encode("ascii")
        elif head.vr in _TEXT:
            is_ascii = False
            raw = sets.encode(value, is_name=head.vr == "PN")
        else:
            raw = b""  # no such value has a meaning in this VR
        parts.append(head.encoded(raw))
    return parts, is_ascii


def _number(value: str) -> bytes:
    """Encode numbers of 16 bits; what is none has no value."""
    try:
        return b"".join(struct.pack("<H", int(one)) for one in value.split("\\"))
    except (ValueError, struct.error):
        return b""


def field_of(keyword: str) -> Field:
    """Return the element of a keyword."""
    tag: Any = tag_for_keyword(keyword)
    return int(tag), dictionary_VR(tag)
