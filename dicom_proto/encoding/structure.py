"""How a data set lies in its bytes: what each transfer syntax does, and a walk over elements and sequences (PS3.5).

May change.

The walk is iterative, takes linear time, and goes no deeper than it is asked to: what lies in a value of defined length
is passed at once. So a data set of a million items is read in a moment by whoever does not ask for them.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

from attrs import frozen
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from dicom_proto.buffers import Buffer
from dicom_proto.errors import DataSetError, EncodingError

__all__ = [
    "DEFLATED",
    "LONG_VRS",
    "UNDEFINED",
    "VRS",
    "Data",
    "Element",
    "Item",
    "Sliced",
    "Structure",
    "Syntax",
    "TruncatedError",
    "dictionary_vr",
    "value_end",
]

UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_VRS: Final = frozenset(vr.encode("ascii") for vr in EXPLICIT_VR_LENGTH_32)  # whose length has 32 bits
VRS: Final = {vr.encode("ascii"): (str(vr), vr in EXPLICIT_VR_LENGTH_32) for vr in VR if len(vr) == 2}
_STANDARD: Final = "1.2.840.10008."  # no other root is DICOM's own

# The second and third are JPIP Referenced Deflate, which pydicom does not know to be deflated (PS3.5 A.7, A.10).
DEFLATED: Final = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}


class Sliced(Protocol):
    """Data that is read bit by bit: slices of it are buffers, and cannot go past its length."""

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> Buffer: ...


Data: TypeAlias = Buffer | Sliced
"""What can be looked at: all of it in memory, or not."""


@frozen(kw_only=True)
class Syntax:
    """How a transfer syntax encodes a data set (PS3.5 Annex A)."""

    name: str
    implicit: bool
    little: bool
    deflated: bool
    encapsulated: bool

    @classmethod
    def of(cls, transfer_syntax: str) -> Self:
        """Return the encoding of a transfer syntax; raise :class:`EncodingError` if it is not known.

        That of a private one is known if it is a :class:`pydicom.uid.UID` that says so.
        """
        if transfer_syntax.startswith(_STANDARD):
            return cls._standard(str(transfer_syntax))
        return cls._of(transfer_syntax if isinstance(transfer_syntax, UID) else UID(transfer_syntax, IGNORE))

    @classmethod
    @lru_cache(maxsize=256)
    def _standard(cls, transfer_syntax: str) -> Self:
        return cls._of(UID(transfer_syntax, IGNORE))

    @classmethod
    def _of(cls, uid: UID) -> Self:
        known = uid.is_transfer_syntax
        # One that is newer than pydicom's dictionary can only be what PS3.5 A.4 says.
        if not known and not uid.startswith("1.2.840.10008.1.2."):
            raise EncodingError(f"{str(uid)!r} is not a transfer syntax whose encoding is known")
        return cls(
            name=uid.name,
            implicit=known and uid.is_implicit_VR,
            little=not known or uid.is_little_endian,
            deflated=uid in DEFLATED,
            encapsulated=not known or uid.is_encapsulated,
        )


class TruncatedError(DataSetError):
    """The data ends inside an element."""

    def __init__(self, at: int, needed: int) -> None:
        super().__init__(f"the element at byte {at} ends at byte {needed}, outside of what it is in")
        self.needed = needed


class Element(NamedTuple):
    """Where an element of a data set lies.

    Parameters
    ----------
    tag : int
        The tag.
    vr : str
        Its VR, empty if it is not in the data.
    length : int
        What its length field says: perhaps ``UNDEFINED``.
    start, end : int
        Its value, without the delimiter that follows one of undefined length.
    """

    tag: int
    vr: str
    length: int
    start: int
    end: int


class Item(NamedTuple):
    """Where an item of a sequence, or a fragment of pixel data, lies; see :class:`Element`."""

    length: int
    start: int
    end: int


@lru_cache(maxsize=4096)
def dictionary_vr(tag: int) -> str | None:
    """Return what the data dictionary says of a tag (PS3.6): perhaps several with "or" between them."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


class _SlicedStruct(struct.Struct):
    """Unpacks what lies in :class:`Sliced` data."""

    def unpack_from(self, data: Any, at: int = 0) -> tuple[Any, ...]:
        return self.unpack(data[at : at + self.size])


_IN_MEMORY: Final = (bytes, bytearray, memoryview)
_FORMS: Final = ("HHL", "HH2sH", "L")
_LITTLE, _BIG, _SLICED_LITTLE, _SLICED_BIG = (
    [kind(order + form).unpack_from for form in _FORMS] for kind in (struct.Struct, _SlicedStruct) for order in "<>"
)


class Structure:
    """Walks over an encoded data set without looking at its values (PS3.5 7.1, 7.5, A.4).

    Whatever is inside of a value is passed in one step if its length is defined. If it is not, its delimiter has to be
    looked for, and what lies before that passed item by item.
    """

    __slots__ = ("_data", "_explicit", "_header", "_little", "_long")

    def __init__(self, data: Data, *, little: bool) -> None:
        self._data: Any = data
        self._little = little
        if isinstance(data, _IN_MEMORY):
            unpackers = _LITTLE if little else _BIG
        else:
            unpackers = _SLICED_LITTLE if little else _SLICED_BIG
        self._header, self._explicit, self._long = unpackers

    def element(self, at: int, end: int, *, implicit: bool) -> tuple[int, str, int, int]:
        """Return tag, VR, where the value starts, and its length; the VR is empty if it is not in the data.

        What should be explicit and has no VR is taken for implicit, as some writers mix them.
        """
        if at + 8 > end:
            raise TruncatedError(at, at + 8)
        if implicit:
            group, number, length = self._header(self._data, at)
            return group << 16 | number, "", at + 8, length
        group, number, vr, length = self._explicit(self._data, at)
        name, is_long = VRS.get(vr, ("", False))
        if is_long:
            if at + 12 > end:
                raise TruncatedError(at, at + 12)
            return group << 16 | number, name, at + 12, self._long(self._data, at + 8)[0]
        if not name and (group == 0xFFFE or not b"AA" <= vr <= b"ZZ"):
            return group << 16 | number, "", at + 8, self._long(self._data, at + 4)[0]
        return group << 16 | number, name or vr.decode("latin-1"), at + 8, length

    def is_implicit(self, at: int, *, stated: bool) -> bool:
        """Tell whether a data set or item has no VRs, which its first element shows (PS3.5 6.2.2).

        What should be explicit and has none is implicit. What should be implicit and has VRs is explicit: two letters
        that are a VR would be part of a length that hardly any first element has, and behind the value that an explicit
        reading finds there is the next element, with a larger tag and a VR.
        """
        vr = bytes(self._data[at + 4 : at + 6])
        if not stated:
            return len(vr) == 2 and not all(0x41 <= letter <= 0x5A for letter in vr)
        end = len(self._data)
        if vr not in VRS:
            return True
        try:
            tag, _, start, length = self.element(at, end, implicit=False)
            following = end if length == UNDEFINED else value_end(at, start, length, end)
            if following == end:
                return False
            other, name, _, _ = self.element(following, end, implicit=False)
        except TruncatedError:
            return True
        return other <= tag or not (name.encode("latin-1") in VRS or other >> 16 == 0xFFFE)

    def elements(self, at: int, end: int, *, implicit: bool, max_depth: int) -> Iterator[Element]:
        """Yield the elements of a data set or of an item, whose end is known.

        Raises
        ------
        DataSetError
            When it comes to one that is out of place, does not end where it has to, or is too deep.
        """
        data, header, explicit, long = self._data, self._header, self._explicit, self._long
        find, last = VRS.get, end - (8 if implicit else 12)
        while at < end:
            if at <= last and implicit:
                group, number, length = header(data, at)
                vr, start = "", at + 8
            elif at <= last and (known := find((found := explicit(data, at))[2])):
                group, number, _, length = found
                vr, start = known[0], at + 8
                if known[1]:
                    (length,), start = long(data, start), at + 12
            else:
                tag, vr, start, length = self.element(at, end, implicit=implicit)
                group, number = tag >> 16, tag & 0xFFFF
            tag = group << 16 | number
            if group == 0xFFFE:
                raise _out_of_place(tag, at)
            if length == UNDEFINED:
                value = self.delimiter(tag, vr, start, end, implicit=implicit, max_depth=max_depth)
                yield Element(tag, vr, length, start, value)
                at = value + 8
            else:
                at, beginning = start + length, at
                if at > end:
                    raise TruncatedError(beginning, at)
                yield Element(tag, vr, length, start, at)

    def items(self, start: int, end: int, *, implicit: bool, max_depth: int) -> Iterator[Item]:
        """Yield the items of a sequence, or the fragments of a value, whose end is known; raises as :meth:`elements`.

        A depth below 0 stands for fragments, which have none inside.
        """
        while start < end:
            tag, _, value, length = self.element(start, end, implicit=True)
            if tag != _ITEM or (length == UNDEFINED and max_depth < 0):
                raise _out_of_place(tag, start)
            if length == UNDEFINED:
                inner = self.is_implicit(value, stated=implicit)
                delimiter = self._skip([(_IN_ITEM, inner)], value, end, max_depth)
                yield Item(length, value, delimiter)
                start = delimiter + 8
            else:
                start = value_end(start, value, length, end)
                yield Item(length, value, start)

    def delimiter(self, tag: int, vr: str, start: int, end: int, *, implicit: bool, max_depth: int) -> int:
        """Return where the delimiter of a value of undefined length is."""
        if vr == "UN" and not self._little:  # UN is little endian everywhere (PS3.5 6.2.2)
            return Structure(self._data, little=True).delimiter(tag, vr, start, end, implicit=True, max_depth=max_depth)
        if not self.has_items(tag, vr, start, end):
            return self._skip([(_IN_FRAGMENTS, implicit)], start, end, max_depth)
        _check_depth(1, max_depth)
        return self._skip([(_IN_SEQUENCE, implicit)], start, end, max_depth)

    def has_items(self, tag: int, vr: str, start: int, end: int) -> bool:
        """Tell whether a value of undefined length is a sequence (PS3.5 6.2.2, 7.5); otherwise it has fragments."""
        if vr:
            return vr in {"SQ", "UN"}
        known = dictionary_vr(tag)
        if known is not None:
            return known == "SQ"
        return self.element(start, end, implicit=True)[0] == _ITEM

    def _skip(self, stack: list[tuple[int, bool]], at: int, end: int, max_depth: int) -> int:
        """Return where that is delimited which the only entry of a stack stands for: what it is, whether implicit."""
        while stack:
            if stack[-1][0] == _IN_ITEM:
                at = self._skip_elements(stack, at, end, max_depth)
            else:
                at = self._skip_items(stack, at, end)
        return at - 8

    def _skip_items(self, stack: list[tuple[int, bool]], at: int, end: int) -> int:
        """Pass items up to one of undefined length, which goes on the stack, or behind the end of them."""
        data, header = self._data, self._header
        kind, implicit = stack[-1]
        while True:
            if at + 8 > end:
                raise TruncatedError(at, at + 8)
            group, number, length = header(data, at)
            if group != 0xFFFE or number != 0xE000:
                break
            if length == UNDEFINED:
                if kind == _IN_FRAGMENTS:
                    raise _out_of_place(_ITEM, at)
                stack.append((_IN_ITEM, self.is_implicit(at + 8, stated=implicit)))
                return at + 8
            at += 8 + length
        tag = group << 16 | number
        if tag != _SEQUENCE_END or length:
            raise _out_of_place(tag, at)
        stack.pop()
        return at + 8

    def _skip_elements(self, stack: list[tuple[int, bool]], at: int, end: int, max_depth: int) -> int:
        """Pass elements up to one of undefined length, which goes on the stack, or behind the end of them."""
        _, implicit = stack[-1]
        while True:
            tag, vr, start, length = self.element(at, end, implicit=implicit)
            if tag >> 16 == 0xFFFE:
                break
            if length != UNDEFINED:
                at = value_end(at, start, length, end)
                continue
            depth = len(stack) // 2
            if vr == "UN" and not self._little:
                at = self.delimiter(tag, vr, start, end, implicit=True, max_depth=max_depth - depth) + 8
                continue
            if self.has_items(tag, vr, start, end):
                _check_depth(depth + 1, max_depth)
                stack.append((_IN_SEQUENCE, implicit))
            else:
                stack.append((_IN_FRAGMENTS, implicit))
            return start
        if tag != _ITEM_END or length:
            raise _out_of_place(tag, at)
        stack.pop()
        return at + 8


def _check_depth(depth: int, most: int) -> None:
    if depth > most:
        raise DataSetError("sequences are nested deeper than is allowed")


_IN_SEQUENCE, _IN_FRAGMENTS, _IN_ITEM = range(3)


def _out_of_place(tag: int, at: int) -> DataSetError:
    return DataSetError(f"{BaseTag(tag)} at byte {at} is out of place")


def value_end(at: int, start: int, length: int, end: int) -> int:
    """Return where a value ends; raise :class:`TruncatedError` if that is outside of what it is in."""
    if start + length > end:
        raise TruncatedError(at, start + length)
    return start + length
