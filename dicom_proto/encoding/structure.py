"""How a data set lies in its bytes: what each transfer syntax does, and a walk over elements and sequences (PS3.5).

May change.

pydicom reads what it finds: it takes a value that ends early for complete, follows sequences as deep as they go, and
searches again and again for a delimiter that is missing. So what a peer sent is walked over before pydicom sees it. The
walk is iterative, takes linear time, and accepts only what pydicom then reads in the same way.
"""

import struct
from collections.abc import Iterator
from enum import Enum, auto
from functools import lru_cache
from typing import Final, Self

from attrs import frozen
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from dicom_proto.buffers import Buffer
from dicom_proto.errors import DataSetError, LocalProtocolError

__all__ = ["DEFLATED", "UNDEFINED", "Structure", "Syntax", "TruncatedError", "value_end"]

UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS: Final = frozenset(vr.encode("ascii") for vr in EXPLICIT_VR_LENGTH_32)  # whose length has 32 bits
_PLAIN_VRS: Final = {  # which have no items inside, and whether they are such
    vr.encode("ascii"): vr in EXPLICIT_VR_LENGTH_32 for vr in VR if len(vr) == 2 and vr not in {VR.SQ, VR.UN}
}
_STANDARD: Final = "1.2.840.10008."  # no other root is DICOM's own

# The second and third are JPIP Referenced Deflate, which pydicom does not know to be deflated (PS3.5 A.7, A.10).
DEFLATED: Final = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}


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
        """Return the encoding of a transfer syntax; raise :class:`LocalProtocolError` if it is not known.

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
            raise LocalProtocolError(f"{str(uid)!r} is not a transfer syntax whose encoding is known")
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


class _Kind(Enum):
    DATA_SET = auto()  # the whole one, or an item
    SEQUENCE = auto()  # has items inside
    FRAGMENTS = auto()  # has fragments of pixel data inside, which look like items (PS3.5 A.4)


@frozen(kw_only=True)
class _Frame:
    """Something with others inside."""

    kind: _Kind
    end: int  # where it must have ended
    implicit: bool
    delimited: bool = False  # its own length is undefined


@lru_cache(maxsize=4096)
def _dictionary_vr(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


_LITTLE, _BIG = ([struct.Struct(order + form).unpack_from for form in ("HHL", "HH2sH", "L", "H")] for order in "<>")


class Structure:
    """Walks over an encoded data set without looking at its values (PS3.5 7.1, 7.5, A.4)."""

    __slots__ = ("_data", "_explicit", "_header", "_little", "_long", "_short")

    def __init__(self, data: Buffer, *, little: bool) -> None:
        self._data = data
        self._little = little
        self._header, self._explicit, self._long, self._short = _LITTLE if little else _BIG

    def element(self, at: int, end: int, *, implicit: bool) -> tuple[int, bytes, int, int]:
        """Return tag, VR, where the value starts, and its length; the VR is empty if it is not in the data.

        What should be explicit and has no VR is taken for implicit, as some writers mix them.
        """
        if at + 8 > end:
            raise TruncatedError(at, at + 8)
        group, number, length = self._header(self._data, at)
        tag = group << 16 | number
        vr = bytes(self._data[at + 4 : at + 6])
        if implicit or group == 0xFFFE or not b"AA" <= vr <= b"ZZ":
            return tag, b"", at + 8, length
        if vr not in _LONG_VRS:
            return tag, vr, at + 8, self._short(self._data, at + 6)[0]
        if at + 12 > end:
            raise TruncatedError(at, at + 12)
        return tag, vr, at + 12, self._long(self._data, at + 8)[0]

    def is_implicit(self, at: int) -> bool:
        """Tell whether the first element of what should be explicit has no VR: then none of them has (PS3.5 6.2.2)."""
        vr = self._data[at + 4 : at + 6]
        return len(vr) == 2 and not all(0x41 <= letter <= 0x5A for letter in vr)

    def check(self, *, implicit: bool, max_depth: int, max_elements: int) -> None:
        """Raise :class:`DataSetError` unless all of the data is one data set, within the bounds."""
        for _ in self.walk(implicit=implicit, max_depth=max_depth, max_elements=max_elements, at_once=True):
            pass

    def walk(
        self, *, implicit: bool, max_depth: int, max_elements: int, at_once: bool = False
    ) -> Iterator[tuple[int, int, int]]:
        """Yield tag, start of the value and its length of each element at the top level; otherwise as :meth:`check`.

        What can be passed ``at_once`` is not yielded.
        """
        whole_implicit = implicit or self.is_implicit(0)
        frames = [_Frame(kind=_Kind.DATA_SET, end=len(self._data), implicit=whole_implicit)]
        at = count = 0
        while frames:
            frame = frames[-1]
            if at_once and frame.kind is _Kind.DATA_SET:
                at, passed = (self._pass_implicit if frame.implicit else self._pass_explicit)(at, frame.end)
                count = _counted(count + passed, max_elements)
            if at == frame.end and not frame.delimited:
                frames.pop()
                continue
            tag, vr, start, length = self.element(at, frame.end, implicit=frame.implicit)
            in_data_set, undefined = frame.kind is _Kind.DATA_SET, length == UNDEFINED
            if frame.delimited and length == 0 and tag == (_ITEM_END if in_data_set else _SEQUENCE_END):
                frames.pop()
                at = start
                continue
            if len(frames) == 1:
                yield tag, start, length
            fits = tag >> 16 != 0xFFFE if in_data_set else tag == _ITEM
            if not fits or (undefined and frame.kind is _Kind.FRAGMENTS):
                raise DataSetError(f"{BaseTag(tag)} at byte {at} is out of place")
            end = frame.end if undefined else value_end(at, start, length, frame.end)
            inner = self._kind_inside(frame, tag, vr, start, undefined=undefined)
            if inner is None:
                at = end
            else:
                inner_implicit = frame.implicit or (inner is _Kind.DATA_SET and self.is_implicit(start))
                frames.append(_Frame(kind=inner, end=end, implicit=inner_implicit, delimited=undefined))
                at = start
            if inner is _Kind.SEQUENCE and len(frames) // 2 > max_depth:  # sequences and items take turns
                raise DataSetError(f"sequences are nested deeper than {max_depth}")
            count = _counted(count + 1, max_elements)

    def _pass_implicit(self, at: int, end: int) -> tuple[int, int]:
        """Pass elements whose values are plain bytes; return where the first other thing starts, and how many."""
        data, header, vr_of = self._data, self._header, _dictionary_vr
        count = 0
        last = end - 8
        while at <= last:
            group, number, length = header(data, at)
            following = at + 8 + length
            if following > end or length == UNDEFINED or group == 0xFFFE:
                break
            if vr_of(group << 16 | number) == "SQ":
                break
            at = following
            count += 1
        return at, count

    def _pass_explicit(self, at: int, end: int) -> tuple[int, int]:
        """Do the same where each element has a VR."""
        data, header, is_long_vr = self._data, self._explicit, _PLAIN_VRS.get
        count = 0
        last = end - 12
        while at <= last:
            group, _, vr, length = header(data, at)
            start = at + 8
            is_long = is_long_vr(vr)
            if is_long:
                (length,) = self._long(data, start)
                start += 4
            following = start + length
            if is_long is None or following > end or length == UNDEFINED or group == 0xFFFE:
                break
            at = following
            count += 1
        return at, count

    def _kind_inside(self, frame: _Frame, tag: int, vr: bytes, start: int, *, undefined: bool) -> _Kind | None:
        """Return what an element, item or fragment holds; None if that is plain bytes."""
        if frame.kind is _Kind.SEQUENCE:
            return _Kind.DATA_SET
        if frame.kind is _Kind.DATA_SET and self._is_sequence(tag, vr, start, undefined=undefined):
            return _Kind.SEQUENCE
        return _Kind.FRAGMENTS if undefined else None

    def _is_sequence(self, tag: int, vr: bytes, start: int, *, undefined: bool) -> bool:
        """Tell whether pydicom takes a value for a sequence; it does so as PS3.5 6.2.2 and 7.5 say."""
        if vr == b"UN" and undefined:
            return True
        if vr and (vr != b"UN" or not self._little):
            return vr == b"SQ"
        known = _dictionary_vr(tag)
        if known is None and undefined:
            return self.element(start, len(self._data), implicit=True)[0] == _ITEM
        return known == "SQ"


def _counted(count: int, most: int) -> int:
    """Return the count; raise :class:`DataSetError` if it is past the bound."""
    if count > most:
        raise DataSetError(f"the data set has more than {most} elements, items and fragments")
    return count


def value_end(at: int, start: int, length: int, end: int) -> int:
    """Return where a value ends; raise :class:`TruncatedError` if that is outside of what it is in."""
    if start + length > end:
        raise TruncatedError(at, start + length)
    return start + length
