"""The codec of the User Information item and its sub-items (PS3.8 9.3.2.3, 9.3.3.3, Annex D; PS3.7 D.3.3).

Stable.

All integers are unsigned and big-endian. Sub-items leave in the ascending order of their types, which some old peers
expect, and are accepted in any order; those that are unknown, or belong to the other of the two PDUs, are skipped.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import SMALLEST_MAXIMUM_LENGTH, Tolerance
from dicom_proto.names import check_uid, check_version_name
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ItemError,
    ItemType,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserIdentityType,
    UserInformation,
    as_member,
    check_integer,
    check_octets,
    decode_uid,
    encode_item,
    encode_uid_item,
    second_item,
    split_items,
)

__all__ = ["decode_user_information", "encode_user_information"]

_MAXIMUM_LENGTH: Final = struct.Struct(">I")
_OPERATIONS_WINDOW: Final = struct.Struct(">HH")


def encode_user_information(information: UserInformation, *, request: bool) -> bytes:
    """Encode an item 50H of an A-ASSOCIATE-RQ (``request``) or an A-ASSOCIATE-AC.

    Raises
    ------
    LocalProtocolError
        If a mandatory sub-item is absent, a value is out of range or too long, a SOP class has two sub-items of one
        kind, or a sub-item belongs to the other PDU.
    """
    if information.implementation_class_uid is None:
        raise LocalProtocolError("the implementation class UID is mandatory (PS3.7 D.3.3.2)")
    if request and information.identity_response is not None:
        raise LocalProtocolError("an A-ASSOCIATE-RQ has no user identity response (PS3.7 D.3.3.7.2)")
    if not request and (information.identity is not None or information.common_extended):
        raise LocalProtocolError("an A-ASSOCIATE-AC has no user identity or common extended negotiation (PS3.7 D.3.3)")
    sub_items = [
        _encode_maximum_length(information.maximum_length),
        encode_uid_item(ItemType.IMPLEMENTATION_CLASS_UID, information.implementation_class_uid),
    ]
    if information.operations_window is not None:
        sub_items.append(_encode_operations_window(information.operations_window))
    sub_items += _encode_each(_encode_role, information.roles)
    if information.implementation_version_name is not None:
        name = check_version_name(information.implementation_version_name)
        sub_items.append(encode_item(ItemType.IMPLEMENTATION_VERSION_NAME, name.encode("ascii")))
    sub_items += _encode_each(_encode_extended, information.extended)
    sub_items += _encode_each(_encode_common_extended, information.common_extended)
    if information.identity is not None:
        sub_items.append(_encode_identity(information.identity))
    if information.identity_response is not None:
        value = _encode_prefixed(information.identity_response, "server response")
        sub_items.append(encode_item(ItemType.USER_IDENTITY_RESPONSE, value))
    return encode_item(ItemType.USER_INFORMATION, b"".join(sub_items))


def decode_user_information(value: bytes, tolerance: Tolerance, *, request: bool) -> UserInformation:
    """Decode the value of an item 50H of an A-ASSOCIATE-RQ (``request``) or an A-ASSOCIATE-AC.

    Sub-items that are mandatory and absent are ``None``. Where several sub-items of one kind name the same SOP class,
    the first counts: some peers repeat a role selection with each presentation context.

    Raises
    ------
    ItemError
        If a length does not fit, the maximum length has no room for data (1 to 7), or a sub-item occurs twice that may
        occur once; or for what is not tolerated.
    """
    decoders = _RQ_DECODERS if request else _AC_DECODERS
    single: dict[str, Any] = {"maximum_length": None, "implementation_class_uid": None}
    by_sop_class: dict[str, dict[str, Any]] = {"roles": {}, "extended": {}, "common_extended": {}}
    for item_type, start, raw in split_items(value):
        if item_type not in decoders:
            continue
        name, decode = decoders[item_type]
        try:
            decoded = decode(raw, tolerance.padded_uids)
        except ItemError as error:
            error.offset += start
            raise
        if name in by_sop_class:
            found = by_sop_class[name]
            if found.setdefault(decoded.sop_class_uid, decoded) is not decoded and not tolerance.repeated_sub_items:
                raise ItemError(start, f"a second sub-item {item_type:02X}H for the same SOP class")
        elif single.get(name) is not None:
            raise second_item(item_type, start)
        else:
            single[name] = decoded
    if not tolerance.missing_sub_items and None in (single["maximum_length"], single["implementation_class_uid"]):
        raise ItemError(len(value), "the item ends without maximum length (51H) or implementation class UID (52H)")
    return UserInformation(**single | {name: tuple(found.values()) for name, found in by_sop_class.items()})


def _encode_each(encode: Callable[[Any], bytes], sub_items: tuple[Any, ...]) -> list[bytes]:
    """Encode the sub-items of one kind, of which a SOP class has no more than one."""
    if len({sub_item.sop_class_uid for sub_item in sub_items}) < len(sub_items):
        raise LocalProtocolError(f"two {type(sub_items[0]).__name__} sub-items name the same SOP class (PS3.7 D.3.3)")
    return [encode(sub_item) for sub_item in sub_items]


def _encode_prefixed(field: bytes, what: str) -> bytes:
    """Put its length (2 bytes) before a field."""
    return len(check_octets(field, what)).to_bytes(2, "big") + field


def _encode_prefixed_uid(uid: str) -> bytes:
    return _encode_prefixed(check_uid(uid).encode("ascii"), "UID")


def _cut_prefixed(value: bytes, at: int, what: str) -> tuple[bytes, int]:
    """Cut out a field that its length (2 bytes) precedes; return it and the offset of what follows."""
    start = at + 2
    if start > len(value):
        raise ItemError(at, f"the item ends before the length of its {what}")
    stop = start + int.from_bytes(value[at:start], "big")
    if stop > len(value):
        raise ItemError(at, f"{what} of {stop - start} bytes runs {stop - len(value)} bytes past its item")
    return value[start:stop], stop


def _check_rest(value: bytes, at: int, expected: int) -> None:
    """Raise if other than so many bytes of a sub-item are left."""
    if len(value) - at != expected:
        raise ItemError(at, f"{len(value) - at} bytes are left of the item, not {expected}")


def _encode_maximum_length(length: int | None) -> bytes:
    if length is None:
        raise LocalProtocolError("the maximum length is mandatory (PS3.8 D.1)")
    if 0 < check_integer(length, "maximum length", 0, 0xFFFFFFFF) < SMALLEST_MAXIMUM_LENGTH:
        raise LocalProtocolError(f"maximum length {length} leaves no room for data, the smallest that does is 8")
    return encode_item(ItemType.MAXIMUM_LENGTH, _MAXIMUM_LENGTH.pack(length))


def _decode_maximum_length(value: bytes, _padded: bool) -> int:
    _check_rest(value, 0, 4)
    length = int.from_bytes(value, "big")
    if 0 < length < SMALLEST_MAXIMUM_LENGTH:
        raise ItemError(0, f"maximum length {length} leaves no room for data, the smallest that does is 8")
    return length


def _encode_operations_window(window: OperationsWindow) -> bytes:
    invoked = check_integer(window.invoked, "maximum number of operations invoked", 0, 0xFFFF)
    performed = check_integer(window.performed, "maximum number of operations performed", 0, 0xFFFF)
    return encode_item(ItemType.OPERATIONS_WINDOW, _OPERATIONS_WINDOW.pack(invoked, performed))


def _decode_operations_window(value: bytes, _padded: bool) -> OperationsWindow:
    _check_rest(value, 0, 4)
    return OperationsWindow(*_OPERATIONS_WINDOW.unpack(value))


def _encode_role(role: RoleSelection) -> bytes:
    roles = bytes((bool(role.scu), bool(role.scp)))
    return encode_item(ItemType.ROLE_SELECTION, _encode_prefixed_uid(role.sop_class_uid) + roles)


def _decode_role(value: bytes, padded: bool) -> RoleSelection:
    uid, at = _cut_prefixed(value, 0, "SOP class UID")
    _check_rest(value, at, 2)
    return RoleSelection(decode_uid(uid, padded), bool(value[at]), bool(value[at + 1]))


def _decode_version_name(value: bytes, _padded: bool) -> str:
    return value.decode("latin-1")


def _encode_extended(extended: ExtendedNegotiation) -> bytes:
    information = check_octets(extended.information, "service class application information")
    return encode_item(ItemType.EXTENDED_NEGOTIATION, _encode_prefixed_uid(extended.sop_class_uid) + information)


def _decode_extended(value: bytes, padded: bool) -> ExtendedNegotiation:
    uid, at = _cut_prefixed(value, 0, "SOP class UID")
    return ExtendedNegotiation(decode_uid(uid, padded), value[at:])


def _encode_common_extended(common: CommonExtendedNegotiation) -> bytes:
    related = b"".join([_encode_prefixed_uid(uid) for uid in common.related_general_sop_class_uids])
    value = (
        _encode_prefixed_uid(common.sop_class_uid)
        + _encode_prefixed_uid(common.service_class_uid)
        + _encode_prefixed(related, "list of related general SOP classes")
    )
    return encode_item(ItemType.COMMON_EXTENDED_NEGOTIATION, value)


def _decode_common_extended(value: bytes, padded: bool) -> CommonExtendedNegotiation:
    """Decode what version 0 of the sub-item has; later versions, and its reserved field, only append to that."""
    sop_class_uid, at = _cut_prefixed(value, 0, "SOP class UID")
    service_class_uid, start = _cut_prefixed(value, at, "service class UID")
    raw, _ = _cut_prefixed(value, start, "list of related general SOP classes")
    related = []
    at = 0
    try:
        while at < len(raw):
            uid, at = _cut_prefixed(raw, at, "related general SOP class UID")
            related.append(decode_uid(uid, padded))
    except ItemError as error:
        error.offset += start + 2
        raise
    return CommonExtendedNegotiation(
        decode_uid(sop_class_uid, padded), decode_uid(service_class_uid, padded), tuple(related)
    )


def _encode_identity(identity: UserIdentity) -> bytes:
    identity_type = check_integer(identity.identity_type, "user identity type", 1, UserIdentityType.JSON_WEB_TOKEN)
    if identity.secondary and identity_type != UserIdentityType.USERNAME_AND_PASSCODE:
        raise LocalProtocolError("only user identity type 2 has a secondary field (PS3.7 D.3.3.7.1)")
    value = (
        bytes((identity_type, bool(identity.positive_response_requested)))
        + _encode_prefixed(identity.primary, "primary field of the user identity")
        + _encode_prefixed(identity.secondary, "secondary field of the user identity")
    )
    return encode_item(ItemType.USER_IDENTITY, value)


def _decode_identity(value: bytes, _padded: bool) -> UserIdentity:
    primary, at = _cut_prefixed(value, 2, "primary field")
    secondary, at = _cut_prefixed(value, at, "secondary field")
    _check_rest(value, at, 0)
    return UserIdentity(as_member(UserIdentityType, value[0]), primary, secondary, bool(value[1]))


def _decode_identity_response(value: bytes, _padded: bool) -> bytes:
    response, at = _cut_prefixed(value, 0, "server response")
    _check_rest(value, at, 0)
    return response


# By the type of the sub-item: the field of UserInformation that it fills, and its decoder, whose second argument says
# whether padding of UIDs is dropped.
_Decoders = dict[int, tuple[str, Callable[[bytes, bool], Any]]]
_BOTH: _Decoders = {
    ItemType.MAXIMUM_LENGTH: ("maximum_length", _decode_maximum_length),
    ItemType.IMPLEMENTATION_CLASS_UID: ("implementation_class_uid", decode_uid),
    ItemType.OPERATIONS_WINDOW: ("operations_window", _decode_operations_window),
    ItemType.ROLE_SELECTION: ("roles", _decode_role),
    ItemType.IMPLEMENTATION_VERSION_NAME: ("implementation_version_name", _decode_version_name),
    ItemType.EXTENDED_NEGOTIATION: ("extended", _decode_extended),
}
_RQ_DECODERS: _Decoders = _BOTH | {
    ItemType.COMMON_EXTENDED_NEGOTIATION: ("common_extended", _decode_common_extended),
    ItemType.USER_IDENTITY: ("identity", _decode_identity),
}
_AC_DECODERS: _Decoders = _BOTH | {ItemType.USER_IDENTITY_RESPONSE: ("identity_response", _decode_identity_response)}
