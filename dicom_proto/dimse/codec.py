"""Codec of the DIMSE messages: what their declarations say as a command set, and back (PS3.7 6.3.1, 9.3, 10.3).

May change.

A command comes again and again with nothing new but its message ID, and the UID of the SOP Instance if it names one.
What stands around those is remembered, within bounds, in both directions.
"""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from attrs import frozen

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.command_set import (
    AT,
    PACK_US,
    UI,
    US,
    decode_command_set,
    decode_odd_command_set,
    encode_element,
    encode_group_length,
    join_elements,
)
from dicom_proto.dimse.declaration import PRIORITY, REGISTRY, DataSet, Element, Message, Priority
from dicom_proto.errors import CommandSetError, EncodingError, LocalProtocolError
from dicom_proto.limits import Tolerance

__all__ = ["OddMessage", "decode_message", "decode_odd_message", "encode_message"]

_COMMAND_FIELD: Final = 0x0100
_COMMAND_DATA_SET_TYPE: Final = 0x0800
_NO_DATA_SET: Final = US.encode(0x0101)
_DATA_SET_TYPES: Final = {
    False: encode_element(_COMMAND_DATA_SET_TYPE, _NO_DATA_SET),
    True: encode_element(_COMMAND_DATA_SET_TYPE, US.encode(0x0001)),  # any value but the other
}
_SOP_INSTANCE: Final = frozenset({0x1000, 0x1001})
_MESSAGE_ID: Final = {0x0110: "message_id", 0x0120: "message_id_being_responded_to"}
_MESSAGE_ID_HEADERS: Final = {encode_element(tag, bytes(2))[:8]: name for tag, name in _MESSAGE_ID.items()}
_INSTANCE_TAGS: Final = {encode_element(tag, b"")[:4]: tag for tag in _SOP_INSTANCE}
_REMEMBERED: Final = 256  # commands in each direction
_SHORTEST, _LONGEST = 32, 256  # bytes of a command that is remembered when it was received
_GROUP_LENGTH: Final = encode_group_length(0)[:8]
_ANY_UID: Final = b"1\0"
_LENGTH_OF_ANY_UID: Final = len(_ANY_UID).to_bytes(4, "little")
_ID_TO_INSTANCE: Final = (
    22,
    12,
)  # bytes from the message ID to the UID of a SOP Instance: two elements between, or one


def _message_id_at(raw: bytes) -> int:
    """Return where the value of the message ID is in a command set whose elements are in order.

    It stands behind Command Group Length, the UID of a SOP class or none, and Command Field.
    """
    return 38 + raw[16] if raw[14] else 30


# --- to bytes ---------------------------------------------------------------------------------------------------------


@frozen(eq=False)
class _Layout:
    """What is to be encoded of the messages of a class."""

    cls: type[Message]
    before: tuple[Element, ...]  # Command Data Set Type, in the order of their tags
    behind: tuple[Element, ...]
    message_id: str  # the name of that field
    others: tuple[str, ...]  # the names of the other fields
    get_others: Callable[[Message], Any] | None  # their values; of a single one just that, without a tuple
    instance: Element | None  # the UID of the SOP Instance, where it goes with every status
    instance_header: bytes  # its tag
    is_repeated: bool  # but for the message ID and that


_LAYOUTS: Final[dict[type[Message], _Layout]] = {}


def _layout_of(cls: type[Message]) -> _Layout:
    command_field = Element(attribute="command_field", tag=_COMMAND_FIELD, vr=US, usage="M")
    elements = sorted((command_field, *cls.elements), key=lambda element: element.tag)
    before = tuple(element for element in elements if element.tag < _COMMAND_DATA_SET_TYPE)
    instance = next((element for element in elements if element.tag in _SOP_INSTANCE), None)
    is_repeated = instance is None or instance.usage != "C"
    others = tuple(
        element.attribute for element in cls.elements if element.tag not in _MESSAGE_ID and element is not instance
    )
    layout = _LAYOUTS[cls] = _Layout(
        cls,
        before,
        tuple(elements[len(before) :]),
        next(element.attribute for element in before if element.tag in _MESSAGE_ID),
        others,
        attrgetter(*others) if others else None,
        instance,
        encode_element(instance.tag, b"")[:4] if instance is not None else b"",
        is_repeated,
    )
    return layout


def encode_message(message: Message, *, has_data_set: bool) -> bytes:
    """Encode a message as the command set that goes before its data set.

    Parameters
    ----------
    message : Message
        What to send; a request needs its message id.
    has_data_set : bool
        Whether a data set will follow: Command Data Set Type (0000,0800) is 0001H if so, else 0101H.

    Raises
    ------
    LocalProtocolError
        If the data set breaks the rule of the message, a mandatory field is ``None``, a conditional field breaks its
        condition, or a value is not what its value representation allows.
    """
    layout = _LAYOUTS.get(type(message)) or _layout_of(type(message))
    if not layout.is_repeated:
        return _encode(message, layout, has_data_set)
    get_others, instance = layout.get_others, layout.instance
    uid = None if instance is None else getattr(message, instance.attribute)
    names = instance is not None and uid is not None
    try:
        if get_others is None:
            around = _encode_around(layout, has_data_set, names)
        elif len(layout.others) == 1:
            around = _encode_around(layout, has_data_set, names, get_others(message))
        else:
            around = _encode_around(layout, has_data_set, names, *get_others(message))
        before, between, behind, length = around
        message_id = PACK_US(getattr(message, layout.message_id))
        if not names:
            return before + message_id + between
        encoded = UI.encode(uid)
    except (TypeError, struct.error, LocalProtocolError):  # tags in a list, which need not be a tuple; no ID, no UID
        return _encode(message, layout, has_data_set)
    uid_element = layout.instance_header + len(encoded).to_bytes(4, "little") + encoded
    return b"".join((encode_group_length(length + len(encoded)), before, message_id, between, uid_element, behind))


@lru_cache(maxsize=_REMEMBERED, typed=True)
def _encode_around(
    layout: _Layout, has_data_set: bool, names_instance: bool, *others: Any
) -> tuple[bytes, bytes, bytes, int]:
    """Encode what stands before and behind the message ID, from the other fields of a message.

    Where a SOP Instance is named, what is before comes without the group length, which is the last of what is returned,
    but for the bytes of the UID; and what stands between, and behind the UID, are apart.
    """
    fields = dict(zip(layout.others, others, strict=True))
    if layout.instance is not None:
        fields[layout.instance.attribute] = "1" if names_instance else None
    raw = _encode(layout.cls(**{layout.message_id: 0}, **fields), layout, has_data_set)
    at = _message_id_at(raw)
    if not names_instance:
        return raw[:at], raw[at + 2 :], b"", 0
    uid_at = at + 2
    while not raw.startswith(layout.instance_header, uid_at):  # whole elements, one after the other
        uid_at += 8 + int.from_bytes(raw[uid_at + 4 : uid_at + 8], "little")
    return raw[12:at], raw[at + 2 : uid_at], raw[uid_at + 10 :], len(raw) - 12 - 2


def _encode(message: Message, layout: _Layout, has_data_set: bool) -> bytes:
    message.check(has_data_set=has_data_set)
    before, behind = _encode_elements(message, layout.before), _encode_elements(message, layout.behind)
    return join_elements([*before, _DATA_SET_TYPES[has_data_set], *behind])


def _encode_elements(message: Message, elements: tuple[Element, ...]) -> list[bytes]:
    parts = []
    for element in elements:
        value = getattr(message, element.attribute)
        if value is not None:
            try:
                parts.append(encode_element(element.tag, element.vr.encode(value)))
            except LocalProtocolError as error:
                raise EncodingError(f"{message.name}: {element}: {error}") from error
        elif element.usage == "M":
            raise EncodingError(f"{message.name}: {element} is mandatory")
    return parts


# --- from bytes -------------------------------------------------------------------------------------------------------


def decode_message(data: Buffer) -> tuple[Message, bool]:
    """Decode one whole command set.

    Parameters
    ----------
    data : Buffer
        The command set, without PDV headers.

    Returns
    -------
    tuple of Message and bool
        The message, and whether a data set follows, whatever the rule of the message says.

    Raises
    ------
    CommandSetError
        If the command set cannot be split into elements, the command field is unknown, a mandatory field is absent or
        empty, or a number or tag has the wrong length. The error names message, field and tag.
    """
    raw = bytes(data)
    if _SHORTEST <= len(raw) <= _LONGEST:
        at = 38 + raw[16] if raw[14] else 30  # of the message ID: see _message_id_at()
        for offset in _ID_TO_INSTANCE:
            if raw[at + offset : at + offset + 4] in _INSTANCE_TAGS:
                start = at + offset + 8
                stop = start + int.from_bytes(raw[start - 4 : start], "little")
                if stop <= len(raw):
                    message = _decode_with_instance(raw, at, start, stop)
                    if message is not None:
                        return message
                break
        known = _decode_around(raw[:at], raw[at + 2 :]) if at + 2 <= len(raw) else None
        if known is not None:
            cls, fields, has_data_set, message_id = known
            return cls(**{**fields, message_id: int.from_bytes(raw[at : at + 2], "little")}), has_data_set
    cls, fields, has_data_set = _decode(raw)
    return cls(**fields), has_data_set


def _decode_with_instance(raw: bytes, at: int, start: int, stop: int) -> tuple[Message, bool] | None:
    """Decode a command whose message ID is at ``at`` and the UID of its SOP Instance between ``start`` and ``stop``.

    It is ``None`` if they are not, or are not worth remembering.
    """
    uid = UI.decode(raw[start:stop])
    known = _decode_around_both(raw[12:at], raw[at + 2 : start - 4], raw[stop:])
    if known is None or (stop - start) % 2 or not uid or raw[:8] != _GROUP_LENGTH:
        return None
    cls, fields, has_data_set, message_id, instance = known
    return cls(**{**fields, message_id: int.from_bytes(raw[at : at + 2], "little"), instance: uid}), has_data_set


@lru_cache(maxsize=_REMEMBERED)
def _decode_around_both(
    before: bytes, between: bytes, behind: bytes
) -> tuple[type[Message], dict[str, Any], bool, str, str] | None:
    """Decode what stands around a message ID and the UID of a SOP Instance; ``None`` if it does not.

    ``between`` ends with the tag of the UID. All borders are looked at: what is cut there has to be whole elements.
    """
    message_id = _MESSAGE_ID_HEADERS.get(before[-8:])
    if message_id is None:
        return None
    try:
        for part in (before[:-8], between[:-4], behind):
            decode_command_set(part)
        cls, fields, has_data_set = _decode(before + bytes(2) + between + _LENGTH_OF_ANY_UID + _ANY_UID + behind)
    except CommandSetError:
        return None
    tag = _INSTANCE_TAGS[between[-4:]]
    instance = next((element.attribute for element in cls.elements if element.tag == tag), None)
    if instance is None or message_id not in fields:
        return None
    return cls, dict(fields), has_data_set, message_id, instance


@lru_cache(maxsize=_REMEMBERED)
def _decode_around(before: bytes, behind: bytes) -> tuple[type[Message], Mapping[str, Any], bool, str] | None:
    """Decode what stands before and behind a message ID; ``None`` if it is not that which stands between."""
    message_id = _MESSAGE_ID_HEADERS.get(before[-8:])
    if message_id is None:
        return None
    try:
        decode_command_set(before[:-8])  # whole elements, so it is the header of one that comes behind them
    except CommandSetError:
        return None
    cls, fields, has_data_set = _decode(before + bytes(2) + behind)
    return (cls, fields, has_data_set, message_id) if message_id in fields else None


def _decode(raw: bytes) -> tuple[type[Message], Mapping[str, Any], bool]:
    """Return the class of a message, the fields that it has, and whether a data set follows."""
    values = decode_command_set(raw)
    command_field = values.get(_COMMAND_FIELD)
    cls = REGISTRY.get(int.from_bytes(command_field, "little")) if command_field and len(command_field) == 2 else None
    if cls is None:
        shown = "absent" if command_field is None else command_field[:8].hex(" ") or "empty"
        raise CommandSetError(f"CommandField (0000,0100) is that of no DIMSE message: {shown}")
    data_set_type = values.get(_COMMAND_DATA_SET_TYPE)
    if data_set_type is None or len(data_set_type) != 2:
        raise CommandSetError(f"{cls.name}: CommandDataSetType (0000,0800) is mandatory, and absent or not of 2 bytes")
    return cls, _decode_elements(cls, values), data_set_type != _NO_DATA_SET


def _decode_elements(cls: type[Message], values: Mapping[int, bytes]) -> dict[str, Any]:
    """Return the values of those fields that are neither absent nor empty, by attribute name."""
    known = {}
    for element in cls.elements:
        raw = values.get(element.tag)
        try:
            value = element.vr.decode(raw) if raw else ""
        except CommandSetError as error:
            raise CommandSetError(f"{cls.name}: {element}: {error}") from None
        if value != "":
            known[element.attribute] = value
        elif element.usage == "M":
            raise CommandSetError(f"{cls.name}: {element} is mandatory, and {'absent' if raw is None else 'empty'}")
    return known


# --- from bytes that break the letter of the standard -----------------------------------------------------------------

_NUMBERS: Final = (US, PRIORITY)
_IDS_AND_STATUS: Final = frozenset({0x0110, 0x0120, 0x0900})  # without which nobody can be answered, or is
_AFFECTED_SOP_CLASS: Final = 0x0002
_COMMAND_FIELD_OF_N: Final = 0x0100  # of N-EVENT-REPORT-RQ, the first of the DIMSE-N services


@frozen(kw_only=True)
class OddMessage:
    """What a command set means that :func:`decode_message` has refused.

    Parameters
    ----------
    message : Message
        The message. What a refused one lacks is ``None``.
    has_data_set : bool
        Whether a data set follows.
    aside : mapping of int to bytes
        Elements of other groups that stood in the command set, tag to value, without group lengths.
    is_refused : bool
        Whether it lacks what it cannot be performed without.
    habits : tuple of pairs of str
        What was tolerated: the field of :class:`~dicom_proto.limits.Tolerance`, and what it was in words.
    """

    message: Message
    has_data_set: bool
    aside: Mapping[int, bytes]
    is_refused: bool
    habits: tuple[tuple[str, str], ...]


def decode_odd_message(data: Buffer, error: CommandSetError, tolerance: Tolerance, abstract_syntax: str) -> OddMessage:
    """Decode a command set that :func:`decode_message` has refused, if it can be told what is meant.

    Parameters
    ----------
    data : Buffer
        The command set.
    error : CommandSetError
        Why it was refused.
    tolerance : Tolerance
        What is allowed.
    abstract_syntax : str
        That of the presentation context, which is the SOP class of a DIMSE-C request that does not name one.

    Raises
    ------
    CommandSetError
        That of :func:`decode_message`, if it cannot be told, or is not allowed.
    """
    try:
        values, aside = decode_odd_command_set(data)
    except CommandSetError:
        raise error from None
    cls = REGISTRY.get(int.from_bytes(values.get(_COMMAND_FIELD, b"")[:2], "little"))
    faults: list[str] = []
    has_data_set = None if cls is None else _has_data_set(cls, values.get(_COMMAND_DATA_SET_TYPE, b""), faults)
    if cls is None or has_data_set is None or (aside and not tolerance.foreign_elements):
        raise error
    known: dict[str, Any] = {}
    is_refused = False
    for element in cls.elements:
        value = _decode_oddly(element, values.get(element.tag, b""), faults)
        if value == "" and element.usage == "M":
            if element.tag in _IDS_AND_STATUS:
                raise error
            faults.append(f"no {element}")
            value = _default(cls, element, abstract_syntax)
            is_refused = is_refused or value is None
        if value != "":
            known[element.attribute] = value
    if faults and not tolerance.ill_formed_fields:
        raise error
    habits = [("ill_formed_fields", f"{cls.name}: {'; '.join(faults)}")] if faults else []
    if aside:
        shown = ", ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in list(aside)[:8])
        habits.append(("foreign_elements", f"{cls.name} with {shown} in its command set"))
    return OddMessage(
        message=cls(**known),
        has_data_set=has_data_set,
        aside={tag: value for tag, value in aside.items() if tag & 0xFFFF},
        is_refused=is_refused,
        habits=tuple(habits),
    )


def _has_data_set(cls: type[Message], raw: bytes, faults: list[str]) -> bool | None:
    """Tell whether a data set follows, ``None`` if nothing tells."""
    if len(raw) != 2:
        faults.append("CommandDataSetType (0000,0800) is absent or not of 2 bytes")
    if len(raw) >= 2:
        return raw[:2] != _NO_DATA_SET
    return None if cls.data_set is DataSet.OPTIONAL else cls.data_set is DataSet.ALWAYS


def _default(cls: type[Message], element: Element, abstract_syntax: str) -> Any:
    """Return what a mandatory field means that is absent or empty; ``None`` if nothing says."""
    if element.vr is PRIORITY:
        return Priority.MEDIUM
    is_dimse_c = cls.command_field < _COMMAND_FIELD_OF_N
    return abstract_syntax or None if element.tag == _AFFECTED_SOP_CLASS and is_dimse_c else None


def _decode_oddly(element: Element, raw: bytes, faults: list[str]) -> Any:
    """Decode a value whose length may be wrong; what is left of it if there is nothing is an empty text."""
    size = 2 if element.vr in _NUMBERS else 4 if element.vr is AT else len(raw)
    kept = raw[:size] if element.vr in _NUMBERS else raw[: len(raw) // size * size] if size else raw
    if len(kept) != len(raw) or len(raw) % 2:
        faults.append(f"{element} of {len(raw)} bytes")
    return element.vr.decode(kept) if len(kept) >= size and kept else ""
