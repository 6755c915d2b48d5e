"""Uncompressed data sets from one transfer syntax to another, in memory that does not grow with them (PS3.5 Annex A).

May change.

What comes out is, bit for bit, what ``encode`` makes of what ``decode`` reads. A walk over the elements tells for each
what its header becomes, and where its value lies. It is done twice: for the lengths of sequences and items, which stand
before what is in them, and for the bytes. What takes more than headers, byte order and padding is left to ``decode``
and ``encode``, as everything is that breaks a rule, or would be refused: they stay the judges.
"""

import logging
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.headers import ITEM_END, LONG_VRS, LONGEST, OFFSETS, SEQUENCE_END, VR_FORM, Headers
from dicom_proto.encoding.inflating import Inflated, deflated
from dicom_proto.encoding.packing import PADDING
from dicom_proto.encoding.representations import (
    is_context,
    pixel_representation,
    settle,
    swapped,
    vr_of,
    width_of,
)
from dicom_proto.encoding.sources import Source
from dicom_proto.encoding.structure import UNDEFINED, Data, Element, Structure, Syntax
from dicom_proto.encoding.values import WIDTHS_OF_VALUES
from dicom_proto.errors import DataSetError
from dicom_proto.limits import DEFAULT_LIMITS

__all__ = ["Conversion", "convert"]

_log = logging.getLogger("dicom_proto.encoding")

_MOST: Final = 1 << 16  # elements of one data set or item, whose places are remembered
_SMALL: Final = 1 << 14  # bytes of a value that is joined with what stands around it
_BLOCK: Final = 1 << 20  # bytes of what is read or joined at a time
_LONGEST_KNOWN: Final = 1 << 10  # bytes of a value that others depend on


class _UnsureError(DataSetError):
    """Only ``decode`` and ``encode`` can tell what becomes of a data set."""


class _Move(NamedTuple):
    """What becomes of an element, or of the beginning or the end of what has some inside.

    Parameters
    ----------
    header : bytes
        What goes first.
    start, end : int
        Where the value is that follows.
    width : int
        How many of its bytes change places with each other.
    behind : bytes
        What follows that.
    """

    header: bytes
    start: int = 0
    end: int = 0
    width: int = 1
    behind: bytes = b""


class _Part:
    """A part of data that is read bit by bit."""

    __slots__ = ("_data", "_end", "_start")

    def __init__(self, data: Data, start: int, end: int) -> None:
        self._data = data
        self._start = start
        self._end = end

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, where: slice) -> Buffer:
        begin, end, _ = where.indices(len(self))
        return self._data[self._start + begin : self._start + end]


class _Level:
    """A data set, or an item, as far as its elements depend on each other: it can be asked for those as a Dataset.

    Parameters
    ----------
    data : Data
        What it is in: the whole, or the value of a sequence.
    base : int
        Where in the whole that begins.
    implicit, little : bool
        How it is encoded.
    depth : int
        How many sequences it is in.
    representation : int or None
        Pixel Representation of what is around it.
    """

    __slots__ = ("_known", "_representation", "base", "data", "depth", "implicit", "little")

    def __init__(
        self, data: Data, base: int, *, implicit: bool, little: bool, depth: int, representation: int | None
    ) -> None:
        self.data = data
        self.base = base
        self.implicit = implicit
        self.little = little
        self.depth = depth
        self._representation = representation
        self._known: dict[int, RawDataElement] = {}

    def learn(self, element: Element) -> None:
        """Remember an element that others depend on."""
        tag, vr, length, start, end = element
        if end - start > _LONGEST_KNOWN:
            raise _UnsureError(f"{BaseTag(tag)} has {end - start} bytes")
        value = bytes(self.data[start:end])
        self._known[tag] = RawDataElement(BaseTag(tag), vr or None, length, value, start, self.implicit, self.little)

    def __contains__(self, tag: object) -> bool:
        return tag in self._known

    def get_item(self, tag: int, *, keep_deferred: bool = False) -> RawDataElement:  # noqa: ARG002 - as pydicom's
        """Return an element that others depend on."""
        return self._known[tag]

    def pixel_representation(self) -> int | None:
        """Return Pixel Representation, or that of what is around it."""
        own = pixel_representation([self])
        return self._representation if own is None else own


class Conversion(Source):
    """A data set on its way into another transfer syntax; made by :func:`convert`.

    Attributes
    ----------
    length : int or None
        How many bytes it becomes; ``None`` if they are deflated.
    """

    def __init__(self, data: Data, whole: Buffer | None, source: Syntax, target: Syntax) -> None:
        self._data = data
        self._whole = whole
        self._source = source
        self._target = target
        self._headers = Headers(target)
        self._lengths = array("I")  # of sequences and items, in the order in which they begin
        self._is_measured = False
        self._next = self._at = 0
        for _ in self._moves():
            pass
        if self._at % 2:
            raise _UnsureError("it becomes a data set of odd length")
        self._is_measured = True
        self._total = self._at
        self.length = None if target.deflated else self._total

    def pieces(self) -> Iterator[Buffer]:
        """Yield the converted data set; may be called again.

        Raises
        ------
        DataSetError
            If the data set has changed since it was first looked at.
        """
        return deflated(self._pieces()) if self._target.deflated else self._pieces()

    def _pieces(self) -> Iterator[Buffer]:
        block = bytearray()
        for header, start, end, width, behind in self._moves():
            block += header
            if end - start > _SMALL:
                yield block
                block = bytearray()
                yield from self._values(start, end, width)
            else:
                block += swapped(self._data[start:end], width)
            block += behind
            if len(block) >= _BLOCK:
                yield block
                block = bytearray()
        if self._at != self._total:
            raise _changed()
        if block:
            yield block

    def _values(self, start: int, end: int, width: int) -> Iterator[Buffer]:
        """Yield a long value."""
        if width == 1 and self._whole is not None:
            yield memoryview(self._whole)[start:end]
            return
        for at in range(start, end, _BLOCK):
            yield swapped(self._data[at : min(at + _BLOCK, end)], width)

    # --- the walk -----------------------------------------------------------------------------------------------------

    def _moves(self) -> Iterator[_Move]:
        """Walk over the data set; count the bytes that it becomes."""
        source, data = self._source, self._data
        self._next = self._at = 0
        if Structure(data, little=source.little).is_implicit(0, stated=source.implicit) != source.implicit:
            raise _UnsureError("it is in another transfer syntax")
        whole = _Level(data, 0, implicit=source.implicit, little=source.little, depth=0, representation=None)
        for move in self._elements(whole, 0, len(data)):
            self._at += len(move.header) + move.end - move.start + len(move.behind)
            yield move

    def _elements(self, level: _Level, start: int, end: int) -> Iterator[_Move]:
        """Walk over a data set or an item."""
        structure = Structure(level.data, little=level.little)
        found = structure.elements(start, end, implicit=level.implicit, max_depth=DEFAULT_LIMITS.data_set_depth)
        elements = list(islice(found, _MOST + 1))
        if len(elements) > _MOST:
            raise _UnsureError(f"it has more than {_MOST} elements")
        last = -1
        for element in elements:
            if element.tag <= last:
                raise _UnsureError("its elements are out of order")
            last = element.tag
            if is_context(last):
                level.learn(element)
        as_read = (level.implicit, level.little) == (self._target.implicit, self._target.little)
        for element in elements:
            if not element.tag & 0xFFFF or (not level.depth and element.tag <= 0x0002FFFF):
                continue
            if as_read and self._headers.are_ready(element.tag, element.vr, element.length):
                yield self._copied(level, element)
            else:
                yield from self._changed(level, element)

    def _copied(self, level: _Level, element: Element) -> _Move:
        tag, vr, length, start, end = element
        behind = self._headers.delimiter(SEQUENCE_END) if length == UNDEFINED else b""
        return _Move(self._headers.element(tag, vr, length), level.base + start, level.base + end, 1, behind)

    def _changed(self, level: _Level, element: Element) -> Iterator[_Move]:
        tag, stated, length, start, end = element
        is_undefined = length == UNDEFINED
        vr = vr_of(level, tag, stated)
        if " or " in vr:
            vr = settle(
                vr, tag, length, level, implicit=level.implicit, get_pixel_representation=level.pixel_representation
            )
        if vr == "SQ" or (vr == "UN" and is_undefined):
            yield from self._sequence(level, element)
            return
        if is_undefined or not VR_FORM.fullmatch(vr) or (tag == OFFSETS and not level.depth):
            raise _UnsureError(f"{BaseTag(tag)} is not what it seems")
        is_odd = length % 2
        has_other_order = vr != "UN" and (level.little or stated == "UN") != self._target.little
        width = width_of(vr, tag, level) if has_other_order else 1
        if (width > 1 and length % max(width, WIDTHS_OF_VALUES.get(vr, 1))) or (is_odd and vr in WIDTHS_OF_VALUES):
            raise _UnsureError(f"{BaseTag(tag)} has no whole values")
        longest = 0xFFFFFFFE if self._target.implicit or vr in LONG_VRS else LONGEST
        if length + is_odd > longest:
            raise _UnsureError(f"{BaseTag(tag)} has {length} bytes")
        padding = b"\0" if vr == "OW" else PADDING.get(vr, b" ")
        header = self._headers.element(tag, vr, length + is_odd)
        yield _Move(header, level.base + start, level.base + end, width, padding if is_odd else b"")

    def _sequence(self, level: _Level, element: Element) -> Iterator[_Move]:
        tag, stated, length, start, end = element
        if level.depth >= DEFAULT_LIMITS.data_set_depth:
            raise _UnsureError("its sequences are nested too deep")
        is_undefined = length == UNDEFINED
        number = None if is_undefined else self._begin()
        yield _Move(self._headers.element(tag, "SQ", UNDEFINED if number is None else self._lengths[number]))
        begun_at = self._at
        is_unknown = stated == "UN"  # then it is implicit and little endian, whatever it stands in (PS3.5 6.2.2)
        implicit, little = level.implicit or is_unknown, level.little or is_unknown
        data = memoryview(level.data)[start:end] if isinstance(level.data, Buffer) else _Part(level.data, start, end)
        base, representation = level.base + start, level.pixel_representation()
        structure = Structure(data, little=little)
        depth = DEFAULT_LIMITS.data_set_depth
        for item in structure.items(0, end - start, implicit=implicit, max_depth=depth):
            inner = _Level(
                data,
                base,
                implicit=structure.is_implicit(item.start, stated=implicit),
                little=little,
                depth=level.depth + 1,
                representation=representation,
            )
            yield from self._item(inner, item.length, item.start, item.end)
        if number is None:
            yield _Move(self._headers.delimiter(SEQUENCE_END))
        else:
            self._end(number, begun_at)

    def _item(self, level: _Level, length: int, start: int, end: int) -> Iterator[_Move]:
        number = None if length == UNDEFINED else self._begin()
        yield _Move(self._headers.item(UNDEFINED if number is None else self._lengths[number]))
        begun_at = self._at
        yield from self._elements(level, start, end)
        if number is None:
            yield _Move(self._headers.delimiter(ITEM_END))
        else:
            self._end(number, begun_at)

    def _begin(self) -> int:
        """Return the number of what has a length that is stated before what is in it."""
        number = self._next
        self._next += 1
        if not self._is_measured:
            self._lengths.append(0)
        elif number >= len(self._lengths):
            raise _changed()
        return number

    def _end(self, number: int, begun_at: int) -> None:
        """Note the length, or check that it is what was stated."""
        length = self._at - begun_at
        if not self._is_measured:
            if length % 2 or length > 0xFFFFFFFE:
                raise _UnsureError(f"it has a sequence or an item of {length} bytes")
            self._lengths[number] = length
        elif length != self._lengths[number]:
            raise _changed()


def _changed() -> DataSetError:
    return DataSetError("the data set has changed while it was converted")


def convert(data: Data, transfer_syntax: str, wanted: str, *, whole: Buffer | None = None) -> Conversion | None:
    """Convert a data set without decoding it.

    Parameters
    ----------
    data : Data
        The encoded data set, as it is looked at: in memory, or read bit by bit. It must not change.
    transfer_syntax, wanted : str
        The UIDs of the transfer syntax that it is in, and of the one that it is wanted in; both are uncompressed.
    whole : buffer, optional
        The same bytes as they are handed out, where they go out as they are; they are not looked at. Otherwise they are
        read.

    Returns
    -------
    Conversion or None
        ``None`` if only ``decode`` and ``encode`` can tell what becomes of it, or that it cannot be converted.
    """
    source, target = Syntax.of(transfer_syntax), Syntax.of(wanted)
    try:
        if source.deflated:
            limits = DEFAULT_LIMITS
            data = Inflated(data, max_length=limits.inflated_data_set, max_ratio=limits.inflation_ratio)
            whole = None
        elif isinstance(data, Buffer):
            whole = data
        return Conversion(data, whole, source, target)
    except DataSetError as error:
        _log.debug("a data set is not converted piece by piece: %s", error)
        return None
