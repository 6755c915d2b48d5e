"""Data sets that a peer sent, read from their bytes element by element and item by item, when they are asked for.

May change.
"""

import logging
from collections.abc import Iterable, Iterator, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final

from attrs import define, evolve, frozen
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from dicom_proto.encoding.character_sets import DEFAULT, CharacterSets
from dicom_proto.encoding.representations import is_undefined, named, pixel_representation, settle, vr_of
from dicom_proto.encoding.structure import UNDEFINED, Item, Structure
from dicom_proto.encoding.values import read_value
from dicom_proto.errors import DataSetError

__all__ = ["Budget", "Items", "Origin", "Received", "items_of", "receive"]

_log = logging.getLogger("dicom_proto.encoding")

_CHARACTER_SET: Final = BaseTag(0x00080005)
_UNREAD: Final = vars(Dataset())  # copied, because pydicom takes longer to set it than it takes to read the elements
_OWN: Final = tuple(name for name, value in _UNREAD.items() if isinstance(value, dict))  # what no two may share


@define
class Budget:
    """How many elements and items may still be made of one data set, at all levels together."""

    most: int
    left: int

    def take(self, count: int) -> None:
        """Count some; raise :class:`DataSetError` if they are too many."""
        self.left -= count
        if self.left < 0:
            raise DataSetError(f"the data set has more than {self.most} elements and items")


@frozen(kw_only=True)
class Origin:
    """Where a data set, or an item, comes from.

    Parameters
    ----------
    implicit, little : bool
        How it is encoded.
    depth : int
        How deep sequences inside of it may be nested.
    budget : Budget
        What may be made of the whole.
    sets : CharacterSets
        Of its text.
    pixel_representation : int or None
        That of what is around it.
    """

    implicit: bool
    little: bool
    depth: int
    budget: Budget
    sets: CharacterSets = DEFAULT
    pixel_representation: int | None = None


class Received(Dataset):
    """A data set of a peer: a pydicom Dataset that reads its values itself.

    A value that breaks the rules of its VR is kept, and said to a log by its tag. A sequence that is none raises a
    :class:`~dicom_proto.errors.DataSetError` when it is asked for.

    Attributes
    ----------
    origin : Origin
        Where it comes from.
    """

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            found = self._dict.get(key if isinstance(key, int) else _tag_of(key))  # type: ignore[call-overload]
            if isinstance(found, RawDataElement):
                self._make(found)
        return super().__getitem__(key)

    def values(self) -> ValuesView[DataElement | RawDataElement]:
        """Return the elements, all of them read."""
        self._make_all()
        return super().values()

    def items(self) -> AbstractSet[tuple[BaseTag, DataElement | RawDataElement]]:
        """Return tags and elements, all of them read."""
        self._make_all()
        return super().items()

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Dataset):
            return NotImplemented
        return self.keys() == other.keys() and all(self[tag] == other[tag] for tag in tuple(self.keys()))

    __hash__ = None  # type: ignore[assignment]

    def _make_all(self) -> None:
        for element in tuple(self._dict.values()):
            if isinstance(element, RawDataElement):
                self._make(element)

    def _make(self, raw: RawDataElement) -> None:
        """Make an element of what was received."""
        origin: Origin = self.__dict__["_origin"]
        tag, data = raw.tag, raw.value or b""
        vr = vr_of(self, tag, raw.VR)
        if " or " in vr:
            vr = settle(
                vr, tag, raw.length, self, implicit=origin.implicit, get_pixel_representation=self._pixel_representation
            )
        value: Any
        if vr == "SQ" or (vr == "UN" and raw.length == UNDEFINED):
            vr, value = "SQ", items_of(raw, origin, self._pixel_representation())
        elif raw.length == UNDEFINED:
            value = data
        else:
            vr, value = read_value(vr, data, tag, little=origin.little or raw.VR == "UN", sets=origin.sets)
        element = DataElement(tag, vr, value, raw.value_tell, raw.length == UNDEFINED, already_converted=True)
        element.VR = vr  # instead of UN pydicom takes that of the dictionary, which the value is not of
        if tag.is_private and tag.element >= 0x1000:
            owner = BaseTag(tag & 0xFFFF0000 | tag.element >> 8)
            element.private_creator = self[owner].value if owner in self else None
        self._dict[tag] = element
        self.__dict__["_read"][tag] = raw, element, vr, _snapshot(value)

    def _pixel_representation(self) -> int | None:
        own = pixel_representation([self])
        origin: Origin = self.__dict__["_origin"]
        return origin.pixel_representation if own is None else own

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        origin: Origin = self.__dict__["_origin"]
        return origin

    def as_received(self, tag: int) -> RawDataElement | None:
        """Return an element as it came, if nobody has changed it since; sequences only if nobody has read them."""
        found = self._dict.get(tag)  # type: ignore[call-overload]
        if isinstance(found, RawDataElement):
            return found
        raw, element, vr, value = self.__dict__["_read"].get(tag, (None, None, None, None))
        if element is None or element is not found or vr != element.VR or vr == "SQ":
            return None
        return raw if _is_same(element.value, value) else None


def _tag_of(key: Any) -> BaseTag | None:
    try:
        return Tag(key)
    except (TypeError, ValueError, OverflowError):
        return None  # for pydicom to complain about


def _snapshot(value: Any) -> Any:
    return tuple(value) if isinstance(value, MultiValue | list) else value


def _is_same(value: Any, before: Any) -> bool:
    if not isinstance(before, tuple):
        return value is before
    return isinstance(value, MultiValue | list) and len(value) == len(before) and all(map(_is, value, before))


def _is(one: Any, other: Any) -> bool:
    return one is other


def receive(data: bytes, origin: Origin, start: int = 0, end: int | None = None) -> Received:
    """Read the elements of a data set, or of an item; ``origin`` is what they inherit.

    Raises
    ------
    DataSetError
        If the data is none, or goes past a bound.
    """
    implicit, little, left = origin.implicit, origin.little, origin.budget.left
    structure = Structure(data, little=little)
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    count = 0
    whole = len(data) if end is None else end
    for number, vr, length, at, to in structure.elements(start, whole, implicit=implicit, max_depth=origin.depth):
        tag = BaseTag(number)
        elements[tag] = RawDataElement(tag, vr or None, length, data[at:to], at, implicit, little)
        count += 1
        if count > left:
            break
    origin.budget.take(count)
    stated = elements.get(_CHARACTER_SET)
    if stated is not None:
        sets = CharacterSets.of((stated.value or b"").decode("latin-1"))
        if not sets.is_known:
            _log.warning("%s has a value that is none: the default repertoire is assumed", named(_CHARACTER_SET))
        origin = evolve(origin, sets=sets)
    dataset = Received.__new__(Received)
    own = dataset.__dict__
    own.update(_UNREAD)
    for name in _OWN:
        own[name] = own[name].copy()
    codecs = origin.sets.codecs
    own.update(_dict=elements, _parent_encoding=codecs, _read_charset=codecs, _read={}, _origin=origin)
    own.update(_read_implicit=implicit, _read_little=little)
    return dataset


def items_of(raw: RawDataElement, origin: Origin, representation: int | None) -> "Items":
    """Return the items of a sequence that stands in a data set of that origin.

    Raises
    ------
    DataSetError
        If it is none, or goes past a bound.
    """
    if origin.depth < 1:
        raise DataSetError(f"{named(raw.tag)}: sequences are nested deeper than is allowed")
    is_unknown = raw.VR == "UN"  # then it is implicit and little endian, whatever it stands in (PS3.5 6.2.2)
    inner = evolve(
        origin,
        implicit=origin.implicit or is_unknown,
        little=origin.little or is_unknown,
        depth=origin.depth - 1,
        pixel_representation=representation,
    )
    data = raw.value or b""
    places = Structure(data, little=inner.little).items(0, len(data), implicit=inner.implicit, max_depth=inner.depth)
    few = list(islice(places, origin.budget.left + 1))
    origin.budget.take(len(few))
    items = Items(data, few, inner)
    items.is_undefined_length = is_undefined(raw)
    return items


class Items(Sequence):
    """The items of a sequence that was received; each becomes a data set when it is asked for."""

    def __init__(self, data: bytes, places: list[Item], origin: Origin) -> None:
        self._data = data
        self._places = places
        self._origin = origin
        self._made: dict[int, Dataset] = {}
        self._all: list[Dataset] | None = None

    @property
    def _list(self) -> list[Dataset]:  # type: ignore[override]  # what pydicom does all else with
        if self._all is None:
            self._all = [self[index] for index in range(len(self._places))]
        return self._all

    def __len__(self) -> int:
        return len(self._places if self._all is None else self._all)

    def __iter__(self) -> Iterator[Dataset]:
        index = 0
        while index < len(self):
            yield self[index]
            index += 1

    def __getitem__(self, index: Any) -> Any:
        if self._all is not None or isinstance(index, slice):
            return self._list[index]
        index = range(len(self._places))[index]
        made = self._made.get(index)
        if made is None:
            made = self._made[index] = self._read(self._places[index])
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and self._list == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _read(self, place: Item, origin: Origin | None = None) -> Dataset:
        origin = origin or self._origin
        implicit = Structure(self._data, little=origin.little).is_implicit(place.start, stated=origin.implicit)
        if implicit != origin.implicit:
            origin = evolve(origin, implicit=implicit)
        item = receive(self._data, origin, place.start, place.end)
        item.is_undefined_length_sequence_item = place.length == UNDEFINED
        return item

    def unread(self) -> Iterator[Dataset]:
        """Yield the items like an iteration, but neither keep nor count those that nobody has asked for."""
        if self._all is not None:
            yield from self._all
            return
        most = self._origin.budget.most
        origin = evolve(self._origin, budget=Budget(most=most, left=most))
        for index, place in enumerate(self._places):
            origin.budget.left = most
            made = self._made.get(index)
            yield self._read(place, origin) if made is None else made
