"""Data sets to bytes (PS3.5 7): as they were received where that will do, otherwise element by element.

May change.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from attrs import frozen
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRBigEndian

from dicom_proto.encoding.character_sets import CharacterSets, UnexpressibleError
from dicom_proto.encoding.fragments import Fragments
from dicom_proto.encoding.headers import (
    ITEM_END,
    LONG_VRS,
    LONGEST,
    OFFSETS,
    PIXEL_DATA,
    SEQUENCE_END,
    VR_FORM,
    Headers,
)
from dicom_proto.encoding.packing import PADDING, UnpackableError, pack
from dicom_proto.encoding.received import Budget, Items, Origin, Received, items_of
from dicom_proto.encoding.representations import (
    TEXT,
    WIDTHS,
    is_undefined,
    named,
    pixel_representation,
    settle,
    swap,
    vr_of,
    width_of,
)
from dicom_proto.encoding.rules import EncodingRules
from dicom_proto.encoding.structure import UNDEFINED, Syntax, dictionary_vr
from dicom_proto.encoding.values import WIDTHS_OF_VALUES
from dicom_proto.errors import DataSetError, EncodingError

__all__ = ["CharacterSetError", "LongValueError", "stated_sets", "write"]

_log = logging.getLogger("dicom_proto.encoding")

_CHARACTER_SET: Final = BaseTag(0x00080005)
_DEEPEST: Final = 100
_MOST: Final = 1 << 62  # elements that are passed without being kept


class CharacterSetError(EncodingError):
    """A data set has text that its Specific Character Set cannot express."""


class LongValueError(EncodingError):
    """A data set has a value that is too long for explicit VR."""


@frozen
class _Place:
    """Where the elements are that are being written.

    Parameters
    ----------
    path : str
        What is before them in a message.
    around : tuple of Dataset
        What they stand in, the nearest first.
    source, target : CharacterSets
        What their text is in, where it is still bytes, and is to be in.
    little : bool
        The byte order of values that do not say it themselves.
    as_read : bool
        Whether what was read from bytes needs no change at all.
    """

    path: str
    around: tuple[Dataset, ...]
    source: CharacterSets
    target: CharacterSets
    little: bool
    as_read: bool

    @property
    def dataset(self) -> Dataset:
        return self.around[0]

    def pixel_representation(self) -> int | None:
        found = pixel_representation(self.around)
        nearest = self.around[0]
        return nearest.origin.pixel_representation if found is None and isinstance(nearest, Received) else found


class _Value(NamedTuple):
    vr: str
    data: bytes
    undefined: bool = False


def write(dataset: Dataset, syntax: Syntax, rules: EncodingRules, only: CharacterSets | None = None) -> bytes:
    """Return the elements of a data set, those of groups 0000 and 0002 and group lengths excepted.

    Parameters
    ----------
    dataset : Dataset
        The data set, which stays as it is.
    syntax : Syntax
        How it is encoded; deflating is somebody else's.
    rules : EncodingRules
        What becomes of what cannot be sent as it is.
    only : CharacterSets, optional
        What all of its text is to be in, whatever it states.

    Raises
    ------
    CharacterSetError
        If there is text that its character sets cannot express.
    LongValueError
        If there is a value that is too long, and the rules are that it is refused.
    EncodingError
        If an element cannot be encoded for another reason.
    """
    little = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", "")) != ExplicitVRBigEndian
    return _Writer(syntax, rules, only).write(dataset, (), "", CharacterSets(), little)


def stated_sets(dataset: Dataset) -> CharacterSets | None:
    """Return what a data set states as its Specific Character Set, ``None`` if that is nothing."""
    if _CHARACTER_SET not in dataset:
        return None
    value = dataset.get_item(_CHARACTER_SET).value
    return CharacterSets.of(value.decode("latin-1") if isinstance(value, bytes) else value)


def _sets_of_bytes(dataset: Dataset) -> CharacterSets:
    """Return the character sets of what has been read from bytes, and not been decoded yet."""
    if isinstance(dataset, Received):
        return dataset.origin.sets
    codecs = dataset.original_character_set or ()
    return CharacterSets.of_codecs([codecs] if isinstance(codecs, str) else codecs)


class _Writer:
    def __init__(self, syntax: Syntax, rules: EncodingRules, only: CharacterSets | None) -> None:
        self._syntax = syntax
        self._headers = Headers(syntax)
        self._rules = rules
        self._only = only

    def write(
        self, dataset: Dataset, around: tuple[Dataset, ...], path: str, sets: CharacterSets, little: bool
    ) -> bytes:
        """Return the elements of a data set or an item, which inherits character sets and byte order."""
        if len(around) > _DEEPEST:
            raise EncodingError(f"{path}sequences are nested too deep: they cannot be encoded")
        syntax = self._syntax
        read_little = dataset.original_encoding[1]
        source, target = _sets_of_bytes(dataset), self._only or stated_sets(dataset) or sets
        place = _Place(
            path,
            (dataset, *around),
            source,
            target,
            little if read_little is None else read_little,
            as_read=dataset.original_encoding == (syntax.implicit, syntax.little) and source.means_the_same(target),
        )
        parts: list[bytes] = []
        for tag in self._tags(dataset, is_item=bool(around)):
            if tag == _CHARACTER_SET and self._only is not None:
                parts += self._join(tag, place, _Value("CS", "\\".join(target.terms).encode("ascii")))
                continue
            element = _element(dataset, tag)
            if (
                isinstance(element, RawDataElement)
                and place.as_read
                and self._headers.are_ready(tag, element.VR, element.length)
            ):
                parts += [self._headers.element(tag, element.VR or "", element.length), element.value or b""]
                if element.length == UNDEFINED:
                    parts.append(self._headers.delimiter(SEQUENCE_END))
            else:
                parts += self._join(tag, place, self._evaluate(element, place))
        return b"".join(parts)

    def _tags(self, dataset: Dataset, *, is_item: bool) -> list[BaseTag]:
        """Return what is written, in order (PS3.5 7.1); a group length is retired (PS3.5 7.2)."""
        every = dataset.keys()
        tags = [tag for tag in every if tag & 0xFFFF and (is_item or tag > 0x0002FFFF)]
        if self._only is not None:  # is said once, at the top
            tags = [tag for tag in tags if tag != _CHARACTER_SET]
            if self._only.terms and not is_item:
                tags.append(_CHARACTER_SET)
        return sorted(tags)

    def _evaluate(self, element: DataElement | RawDataElement, place: _Place) -> _Value:
        tag = element.tag
        try:
            if isinstance(element, RawDataElement):
                return self._from_bytes(element, place)
            return self._from_value(element, place)
        except UnexpressibleError:
            sets = " and ".join(filter(None, place.target.terms)) or "the default repertoire"
            if not place.target.is_known:  # a value like any other
                sets = "a Specific Character Set that is none"
            raise CharacterSetError(
                f"{place.path}{named(tag)} has characters that {sets} does not have:"
                f" it cannot be encoded as {self._syntax.name}"
            ) from None
        except (UnpackableError, DataSetError) as error:
            raise self._refusal(tag, place, error) from None
        except EncodingError:
            raise
        except Exception as error:  # noqa: BLE001 - values are the user's objects; what they raise may say what they are
            raise self._refusal(tag, place, f"it has a value of the wrong type ({type(error).__name__})") from None

    def _refusal(self, tag: BaseTag, place: _Place, why: object) -> EncodingError:
        return EncodingError(f"{place.path}{named(tag)} cannot be encoded as {self._syntax.name}: {why}")

    # --- elements as they were read -----------------------------------------------------------------------------------

    def _from_bytes(self, raw: RawDataElement, place: _Place) -> _Value:
        """Return the value of an element that has been read from bytes and not been decoded."""
        tag, data, undefined = raw.tag, raw.value or b"", raw.length == UNDEFINED
        vr = vr_of(place.dataset, tag, raw.VR)
        if " or " in vr:
            vr = self._settle(vr, tag, raw.length, place)
        if vr == "SQ" or (vr == "UN" and undefined):
            origin = Origin(
                implicit=raw.is_implicit_VR,
                little=raw.is_little_endian,
                depth=_DEEPEST,
                budget=Budget(_MOST, _MOST),
                sets=place.source,
            )
            return self._sequence(tag, items_of(raw, origin, place.pixel_representation()), place, undefined=undefined)
        if undefined or self._is_encapsulated(tag, place):
            return self._fragments(tag, vr, data, place, undefined=undefined)
        if not VR_FORM.fullmatch(vr):
            raise UnpackableError("it has a value representation that is none")
        if vr in TEXT and not place.source.means_the_same(place.target):
            text, is_sound = place.source.decode(data.rstrip(b" \0"), is_name=vr == "PN")
            if not is_sound:
                raise CharacterSetError(f"{place.path}{named(tag)} has bytes that its own character set does not have")
            return _Value(vr, place.target.encode(text, is_name=vr == "PN"))
        return _Value(vr, self._ordered(tag, vr, data, place, raw.is_little_endian or raw.VR == "UN"))

    def _ordered(self, tag: BaseTag, vr: str, data: bytes, place: _Place, little: bool) -> bytes:
        """Return bytes in the byte order that is wanted; UN is always little endian (PS3.5 6.2.2)."""
        if vr == "OW":
            data += bytes(len(data) % 2)
        if vr == "UN" or little == self._syntax.little:
            return data
        width = width_of(vr, tag, place.dataset)
        if len(data) % max(width, WIDTHS_OF_VALUES.get(vr, 1)):
            raise UnpackableError(f"it has {len(data)} bytes, no whole values of VR {vr}")
        return swap(data, width)

    # --- elements with a value ----------------------------------------------------------------------------------------

    def _from_value(self, element: DataElement, place: _Place) -> _Value:
        """Return the value of an element that somebody has made, or read."""
        tag, vr, value, undefined = element.tag, element.VR, element.value, is_undefined(element)
        if vr == "SQ" or (vr == "UN" and undefined and not value):
            return self._sequence(tag, value or (), place, undefined=undefined)
        if undefined or self._is_encapsulated(tag, place):
            return self._fragments(tag, vr, pack(element, "UN", place.target, little=True), place, undefined=undefined)
        is_bytes = element.is_buffered or isinstance(value, bytes | bytearray | memoryview)
        data = pack(element, "UN", place.target, little=True) if is_bytes else b""
        settled = self._settle(vr, tag, len(data), place) if " or " in vr else vr
        if is_bytes and (settled in WIDTHS or settled in {"OB", "UN"}):
            return _Value(settled, self._ordered(tag, settled, data, place, place.little))
        packed_as = vr if settled == vr else _number_vr(value)
        return _Value(settled, pack(element, packed_as, place.target, little=self._syntax.little))

    # --- what has others inside ---------------------------------------------------------------------------------------

    def _sequence(self, tag: BaseTag, items: Iterable[Dataset], place: _Place, *, undefined: bool) -> _Value:
        """Encode the items of a sequence (PS3.5 7.5)."""
        parts: list[bytes] = []
        for number, dataset in enumerate(items.unread() if isinstance(items, Items) else items, 1):
            path = f"{place.path}{named(tag)} item {number}: "
            data = self.write(dataset, place.around, path, place.target, place.little)
            open_end = getattr(dataset, "is_undefined_length_sequence_item", False)
            parts += [self._headers.item(UNDEFINED if open_end else len(data)), data]
            if open_end:
                parts.append(self._headers.delimiter(ITEM_END))
        return _Value("SQ", b"".join(parts), undefined)

    def _is_encapsulated(self, tag: BaseTag, place: _Place) -> bool:
        """Tell whether an element is Pixel Data that has to be so (PS3.5 A.4)."""
        return tag == PIXEL_DATA and self._syntax.encapsulated and len(place.around) == 1

    def _fragments(self, tag: BaseTag, vr: str, data: bytes, place: _Place, *, undefined: bool) -> _Value:
        """Pad fragments; refuse a value of undefined length where there can be none."""
        syntax, name = self._syntax, f"{place.path}{named(tag)}"
        is_pixel_data = tag == PIXEL_DATA and len(place.around) == 1
        if not (syntax.encapsulated or (place.as_read and not is_pixel_data)):
            what = "Pixel Data" if is_pixel_data else name
            raise EncodingError(f"{what} is compressed and cannot be encoded as {syntax.name}")
        # Other VRs have a length of 16 bits (PS3.5 7.1.2), and whoever reads UN takes it for a sequence (PS3.5 6.2.2).
        if not syntax.implicit and (vr == "UN" or vr not in LONG_VRS):
            raise EncodingError(f"{name} has an undefined length, which {vr} cannot have")
        if is_pixel_data and (not data or (not undefined and data[:4] != b"\xfe\xff\x00\xe0")):
            raise UnpackableError("it is not encapsulated, as it has to be (PS3.5 A.4)")
        return _Value(vr, Fragments(data).padded() if syntax.little else data, undefined=True)

    def _settle(self, vr: str, tag: BaseTag, size: int, place: _Place) -> str:
        return settle(
            vr,
            tag,
            size,
            place.dataset,
            implicit=place.dataset.original_encoding[0] is True,
            get_pixel_representation=place.pixel_representation,
        )

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _join(self, tag: BaseTag, place: _Place, value: _Value) -> tuple[bytes, ...]:
        """Return the parts of an element, of even length (PS3.5 7.1.1); it is UN if it is too long (PS3.5 6.2.2)."""
        vr, data, undefined = value
        if undefined:
            return self._headers.element(tag, vr, UNDEFINED), data, self._headers.delimiter(SEQUENCE_END)
        if tag == OFFSETS and len(place.around) == 1:
            data = _moved(data, place.dataset)
        if len(data) % 2:
            if vr in WIDTHS_OF_VALUES:
                raise self._refusal(tag, place, f"it has {len(data)} bytes, no whole values of VR {vr}")
            data += PADDING.get(vr, b" ")
        is_too_long = len(data) > LONGEST and not self._syntax.implicit and vr not in LONG_VRS
        if is_too_long and "OW" in (dictionary_vr(tag) or ""):  # such as LUT Data, of the same words
            vr = "OW"
        elif is_too_long:
            if self._rules.long_values == "refuse":
                raise LongValueError(
                    f"{place.path}{named(tag)} has {len(data)} bytes, and {vr} no room for more than {LONGEST}"
                    f" in explicit VR: it cannot be encoded as {self._syntax.name}"
                )
            _log.warning("%s%s has %d bytes, too many for %s: it is sent as UN", place.path, named(tag), len(data), vr)
            if not self._syntax.little:
                data = swap(data, width_of(vr, tag, place.dataset))
            vr = "UN"
        return self._headers.element(tag, vr, len(data)), data


def _element(dataset: Dataset, tag: BaseTag) -> DataElement | RawDataElement:
    """Return an element as it was read, if it is still that."""
    as_received = dataset.as_received(tag) if isinstance(dataset, Received) else None
    return dataset.get_item(tag) if as_received is None else as_received


def _number_vr(value: Any) -> str:
    """Return how the numbers are packed of an element that may be of several VRs."""
    values = value if isinstance(value, MultiValue | list) else [value]
    return "SS" if any(isinstance(one, int) and one < 0 for one in values) else "US"


def _moved(table: bytes, dataset: Dataset) -> bytes:
    """Return the Extended Offset Table as it is when the fragments have been padded."""
    value = dataset.get_item(PIXEL_DATA).value if PIXEL_DATA in dataset else b""
    try:
        fragments = Fragments(value if isinstance(value, bytes) else b"")
    except DataSetError:  # which is said when it is their turn
        return table
    return table if fragments.are_even else fragments.moved(table, 8)
