"""Which VR an element has where its data do not say, and how values lie in bytes (PS3.5 6.2, 7.3, Annex A).

May change.
"""

from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from pydicom.datadict import keyword_for_tag, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.structure import UNDEFINED, dictionary_vr

__all__ = [
    "TEXT",
    "WIDTHS",
    "Neighbours",
    "is_context",
    "is_undefined",
    "named",
    "pixel_representation",
    "settle",
    "small_number",
    "swap",
    "swapped",
    "vr_of",
    "width_of",
]

TEXT: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs whose characters are those of Specific Character Set (PS3.5 6.1.2.3)."""

WIDTHS: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),  # a tag is two numbers
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""How many bytes are swapped in another byte order, for VRs that have one (PS3.5 7.3)."""

_PIXEL_DATA: Final = 0x7FE00010
_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR = 0x00280100, 0x00280103, 0x00283002
_WAVEFORM_BITS, _WAVEFORM_GROUP = 0x54001004, 0x5400
_CURVE_DATA, _AUDIO_DATA, _AUDIO_FORMAT = 0x50003000, 0x5000200C, 0x50002002
_REPEATING: Final = 0xFF00FFFF  # what the groups of a repeating one have in common (PS3.5 7.6)
_POINTS_VR: Final = 0x50000103  # Data Value Representation (PS3.3 C.10.2, retired)
_CONTEXT: Final = frozenset({_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR, _WAVEFORM_BITS})
_SWAPPED: Final = {2: "H", 4: "I", 8: "Q"}  # what an array has of that many bytes


class Neighbours(Protocol):
    """The elements around one: a Dataset, or what is known of one."""

    def __contains__(self, tag: Any, /) -> bool: ...

    def get_item(self, tag: Any, /, *, keep_deferred: bool = False) -> Any:
        """Return an element as it is: of one that has not been read, its bytes."""


def is_context(tag: int) -> bool:
    """Tell whether what an element is may be seen in others of its data set: its VR, or how its value lies in bytes."""
    if tag in _CONTEXT:
        return True
    if tag & 0x10000 and tag & 0xFF00 == 0:  # a private creator
        return tag & 0xFF >= 0x10
    return tag & _REPEATING in {_POINTS_VR, _AUDIO_FORMAT}


def named(tag: int) -> str:
    """Return a tag and its keyword, for messages."""
    return f"{BaseTag(tag)} {keyword_for_tag(tag)}".rstrip()


def is_undefined(element: DataElement | RawDataElement) -> bool:
    """Tell whether the length of an element is undefined."""
    return element.length == UNDEFINED if isinstance(element, RawDataElement) else element.is_undefined_length


def vr_of(dataset: Neighbours, tag: int, stated: str | None) -> str:
    """Return the VR of an element as data and dictionaries have it: perhaps several with "or" between them.

    One that is not stated, or only as UN, is that of the dictionary, for private elements pydicom's; a tag that nobody
    knows is UN (PS3.5 6.2.2).
    """
    if stated and stated != "UN":
        return stated
    known = dictionary_vr(tag)
    if known is None and tag & 0xFFFF == 0:
        return "UL"
    if known is None and tag & 0x10000:
        known = _private_vr(dataset, BaseTag(tag))
    return known or "UN"


def _private_vr(dataset: Neighbours, tag: BaseTag) -> str | None:
    if tag.is_private_creator:
        return "LO"
    owner = BaseTag(tag & 0xFFFF0000 | tag.element >> 8)
    if tag.element < 0x1000 or owner not in dataset:
        return None
    element = dataset.get_item(owner)
    value = element.value
    creator = value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else str(value)
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return None


def small_number(dataset: Neighbours, tag: int) -> int | None:
    """Return the first value of an element of VR US, without converting that; ``None`` if there is none."""
    if tag not in dataset:
        return None
    element: Any = dataset.get_item(tag, keep_deferred=True)
    value = element.value
    if element.is_raw:
        width = bytes(value or b"")[:2]
        return int.from_bytes(width, "little" if element.is_little_endian else "big") if len(width) == 2 else None
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if value else None
    first = value if isinstance(value, int) else next(iter(value or ()), None)
    return first if isinstance(first, int) else None


def settle(
    vr: str,
    tag: int,
    size: int,
    dataset: Neighbours,
    *,
    implicit: bool,
    get_pixel_representation: Callable[[], int | None],
) -> str:
    """Choose the VR of an element for which the dictionary has several (PS3.5 A.1, A.2; PS3.6).

    Parameters
    ----------
    vr : str
        What the dictionary has.
    tag : int
        The element.
    size : int
        How many bytes its value has; ``UNDEFINED`` if it is encapsulated.
    dataset : Neighbours
        Where it stands.
    implicit : bool
        Whether its value comes out of a data set without VRs, where what may be OB or OW is OW (PS3.5 A.1).
    get_pixel_representation : callable
        Returns Pixel Representation of the nearest data set around it that has one.
    """
    if vr == "US or SS":
        return "SS" if get_pixel_representation() == 1 else "US"
    if vr == "US or OW":  # a table of one entry (PS3.3 C.11.1.1); another may be too long for US
        entries = small_number(dataset, _LUT_DESCRIPTOR)
        return "US" if entries == 1 or (entries is None and size <= 2) else "OW"
    if vr != "OB or OW":
        return "OW"
    group, repeated = tag >> 16, tag & _REPEATING
    if size == UNDEFINED or repeated == _CURVE_DATA:
        return "OB"
    if repeated == _AUDIO_DATA:
        return "OB" if small_number(dataset, tag & 0xFFFF0000 | _AUDIO_FORMAT & 0xFFFF) == 1 else "OW"
    if implicit:
        return "OW"
    bits = {_PIXEL_DATA >> 16: _BITS_ALLOCATED, _WAVEFORM_GROUP: _WAVEFORM_BITS}.get(group)
    is_narrow = bits is not None and (small_number(dataset, bits) or 16) <= 8
    return "OB" if is_narrow else "OW"


def swapped(value: Buffer, width: int) -> Buffer:
    """Return values in the other byte order, not copied more often than need be."""
    if width == 1:
        return value
    values = array(_SWAPPED[width])
    values.frombytes(value)
    values.byteswap()
    return memoryview(values).cast("B")


def swap(value: bytes, width: int) -> bytes:
    """Return values in the other byte order."""
    return bytes(swapped(value, width))


def width_of(vr: str, tag: int, dataset: Neighbours) -> int:
    """Return how many bytes are swapped in another byte order; those of a curve are those of its points' VR."""
    if tag & _REPEATING == _CURVE_DATA and vr == "OB":
        kind = small_number(dataset, tag & 0xFFFF0000 | _POINTS_VR & 0xFFFF)
        return {2: 4, 3: 8, 4: 4}.get(kind or 0, 2)
    return WIDTHS.get(vr, 1)


def pixel_representation(datasets: Iterable[Neighbours]) -> int | None:
    """Return Pixel Representation of the first of some data sets that has one; the nearest comes first."""
    found = (small_number(dataset, _PIXEL_REPRESENTATION) for dataset in datasets)
    return next((number for number in found if number is not None), None)
