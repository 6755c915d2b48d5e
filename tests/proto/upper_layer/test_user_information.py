"""The User Information item and its sub-items."""

import struct
from contextlib import suppress

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import AbortReason, InvalidNameError, LocalProtocolError
from dicom_proto.limits import Tolerance
from dicom_proto.testing.strategies import ac_user_information, rq_user_information
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ItemError,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserIdentityType,
    UserInformation,
)
from dicom_proto.upper_layer.user_information import decode_user_information, encode_user_information
from tests.proto.rows import for_each

LENIENT = Tolerance()
PLAIN = UserInformation(maximum_length=16384, implementation_class_uid="1.2.3")
EMPTY = UserInformation(maximum_length=None, implementation_class_uid=None)
PLAIN_BYTES = b"\x51\0\0\4\0\0\x40\0" + b"\x52\0\0\x051.2.3"


def sub_item(item_type, value, version=0):
    return struct.pack(">BBH", item_type, version, len(value)) + value


def prefixed(value):
    return struct.pack(">H", len(value)) + value


def decode(value, tolerance=LENIENT, *, request=True):
    return decode_user_information(value, tolerance, request=request)


def fails(value, message, offset, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE, *, request=True):
    with pytest.raises(ItemError, match=message) as caught:
        decode(value, request=request)
    assert caught.value.offset == offset
    assert caught.value.abort_reason == reason


# Layouts, and that what is sent comes back

LAYOUTS = [
    ({"maximum_length": 0}, b"\x51\0\0\4\0\0\0\0"),
    ({"maximum_length": 8}, b"\x51\0\0\4\0\0\0\x08"),
    ({"maximum_length": 0xFFFFFFFF}, b"\x51\0\0\4\xff\xff\xff\xff"),
    ({"implementation_class_uid": "1.2.3"}, b"\x52\0\0\x051.2.3"),
    ({"operations_window": OperationsWindow(5, 0)}, b"\x53\0\0\4\0\5\0\0"),
    ({"roles": (RoleSelection("1.2.3", True, False),)}, b"\x54\0\0\x09\0\x051.2.3\1\0"),
    ({"roles": (RoleSelection("1.2", False, True),)}, b"\x54\0\0\x07\0\x031.2\0\1"),
    ({"implementation_version_name": "ODD"}, b"\x55\0\0\3ODD"),
    ({"extended": (ExtendedNegotiation("1.2", b"\1\2\3"),)}, b"\x56\0\0\x08\0\x031.2\1\2\3"),
    ({"extended": (ExtendedNegotiation("1.2", b""),)}, b"\x56\0\0\x05\0\x031.2"),
    ({"common_extended": (CommonExtendedNegotiation("1.2", "1.3"),)}, b"\x57\0\0\x0c\0\x031.2\0\x031.3\0\0"),
    (
        {"common_extended": (CommonExtendedNegotiation("1.2", "1.3", ("1.4", "1.5.6")),)},
        b"\x57\0\0\x18\0\x031.2\0\x031.3\0\x0c\0\x031.4\0\x051.5.6",
    ),
    ({"identity": UserIdentity(1, b"me")}, b"\x58\0\0\x08\1\0\0\2me\0\0"),
    ({"identity": UserIdentity(2, b"me", b"pin", True)}, b"\x58\0\0\x0b\2\1\0\2me\0\3pin"),
    ({"identity_response": b""}, b"\x59\0\0\2\0\0"),
    ({"identity_response": b"ticket"}, b"\x59\0\0\x08\0\6ticket"),
]


@for_each(("fields", "raw"), LAYOUTS)
def test_sub_items_byte_by_byte(fields, raw):
    request = "identity_response" not in fields
    assert decode(raw, request=request) == evolve(EMPTY, **fields)
    information = evolve(PLAIN, **fields)
    encoded = encode_user_information(information, request=request)
    assert raw in encoded
    assert decode(encoded[4:], request=request) == information


def test_sub_items_are_sent_in_ascending_order_and_accepted_in_any():
    information = evolve(
        PLAIN,
        implementation_version_name="NAME",
        operations_window=OperationsWindow(1, 1),
        roles=(RoleSelection("1.2", True, True), RoleSelection("1.1", True, True)),
        extended=(ExtendedNegotiation("1.2", b"\1"),),
        common_extended=(CommonExtendedNegotiation("1.2", "1.3"),),
        identity=UserIdentity(1, b"me"),
    )
    encoded = encode_user_information(information, request=True)
    assert encoded[:4] == struct.pack(">BxH", 0x50, len(encoded) - 4)
    pieces, at = [], 4
    while at < len(encoded):
        stop = at + 4 + int.from_bytes(encoded[at + 2 : at + 4], "big")
        pieces.append(encoded[at:stop])
        at = stop
    assert [piece[0] for piece in pieces] == [0x51, 0x52, 0x53, 0x54, 0x54, 0x55, 0x56, 0x57, 0x58]
    assert decode(b"".join(pieces)) == information
    assert decode(b"".join([*pieces[3:], *pieces[:3]])) == information


@given(rq_user_information)
def test_user_information_of_a_request_comes_back(information):
    assert decode(encode_user_information(information, request=True)[4:]) == information


@given(ac_user_information)
def test_user_information_of_an_answer_comes_back(information):
    assert decode(encode_user_information(information, request=False)[4:], request=False) == information


def test_secrets_are_not_shown():
    information = evolve(PLAIN, identity=UserIdentity(2, b"me", b"pin"), identity_response=b"ticket")
    assert not any(secret in repr(information) for secret in ("'me'", "pin", "ticket"))


# What may not be sent

LONG = bytes(65536)


@for_each(
    ("fields", "error", "message"),
    [
        ({"maximum_length": None}, LocalProtocolError, "maximum length is mandatory"),
        ({"maximum_length": 1}, LocalProtocolError, "maximum length 1 leaves no room"),
        ({"maximum_length": 7}, LocalProtocolError, "maximum length 7 leaves no room"),
        ({"maximum_length": -1}, LocalProtocolError, "maximum length -1"),
        ({"maximum_length": 1 << 32}, LocalProtocolError, "maximum length 4294967296"),
        ({"maximum_length": 0.0}, LocalProtocolError, r"maximum length 0\.0"),
        ({"implementation_class_uid": None}, LocalProtocolError, "implementation class UID is mandatory"),
        ({"implementation_class_uid": ""}, InvalidNameError, "UID"),
        ({"implementation_version_name": ""}, InvalidNameError, "version name"),
        ({"implementation_version_name": "x" * 17}, InvalidNameError, "version name"),
        ({"operations_window": OperationsWindow(65536, 1)}, LocalProtocolError, "invoked 65536"),
        ({"operations_window": OperationsWindow(1, -1)}, LocalProtocolError, "performed -1"),
        ({"roles": (RoleSelection("x", True, True),)}, InvalidNameError, "UID"),
        (
            {"roles": (RoleSelection("1.2", True, True), RoleSelection("1.2", True, True))},
            LocalProtocolError,
            "two RoleSelection sub-items",
        ),
        ({"extended": (ExtendedNegotiation("x", b""),)}, InvalidNameError, "UID"),
        ({"extended": (ExtendedNegotiation("1.2", "text"),)}, LocalProtocolError, "is not bytes"),  # type: ignore[arg-type]
        ({"extended": (ExtendedNegotiation("1.2", bytes(65535)),)}, LocalProtocolError, "item 56H has 65540"),
        (
            {"extended": (ExtendedNegotiation("1.2", b""), ExtendedNegotiation("1.2", b"\1"))},
            LocalProtocolError,
            "two ExtendedNegotiation sub-items",
        ),
        ({"common_extended": (CommonExtendedNegotiation("x", "1.3"),)}, InvalidNameError, "UID"),
        ({"common_extended": (CommonExtendedNegotiation("1.2", ""),)}, InvalidNameError, "UID"),
        ({"common_extended": (CommonExtendedNegotiation("1.2", "1.3", ("",)),)}, InvalidNameError, "UID"),
        (
            {"common_extended": (CommonExtendedNegotiation("1.2", "1.3", ("1." + "2" * 62,) * 1000),)},
            LocalProtocolError,
            "list of related general SOP classes",
        ),
        (
            {"common_extended": (CommonExtendedNegotiation("1.2", "1.3"), CommonExtendedNegotiation("1.2", "1.4"))},
            LocalProtocolError,
            "two CommonExtendedNegotiation sub-items",
        ),
        ({"identity": UserIdentity(0, b"me")}, LocalProtocolError, "user identity type 0"),
        ({"identity": UserIdentity(6, b"me")}, LocalProtocolError, "user identity type 6"),
        ({"identity": UserIdentity(1, b"me", b"pin")}, LocalProtocolError, "only user identity type 2"),
        ({"identity": UserIdentity(3, LONG)}, LocalProtocolError, "primary field .* more than 65535"),
        ({"identity": UserIdentity(2, b"me", LONG)}, LocalProtocolError, "secondary field .* more than 65535"),
        ({"identity": UserIdentity(4, "me")}, LocalProtocolError, "primary field .* is not bytes"),  # type: ignore[arg-type]
        ({"identity": UserIdentity(3, bytes(65530))}, LocalProtocolError, "item 58H has 65536"),
        ({"identity": UserIdentity(3, bytes(65520))}, LocalProtocolError, "item 50H has 65547"),
        ({"identity_response": b""}, LocalProtocolError, "A-ASSOCIATE-RQ has no user identity response"),
    ],
)
def test_a_request_that_may_not_be_sent(fields, error, message):
    with pytest.raises(error, match=message):
        encode_user_information(evolve(PLAIN, **fields), request=True)


@for_each(
    ("fields", "message"),
    [
        ({"identity": UserIdentity(1, b"me")}, "A-ASSOCIATE-AC has no user identity"),
        ({"common_extended": (CommonExtendedNegotiation("1.2", "1.3"),)}, "no user identity or common extended"),
        ({"identity_response": LONG}, "server response .* more than 65535"),
        ({"identity_response": "text"}, "server response is not bytes"),
    ],
)
def test_an_answer_that_may_not_be_sent(fields, message):
    with pytest.raises(LocalProtocolError, match=message):
        encode_user_information(evolve(PLAIN, **fields), request=False)


def test_an_error_does_not_show_secrets():
    with pytest.raises(LocalProtocolError) as caught:
        encode_user_information(evolve(PLAIN, identity=UserIdentity(4, "assertion")), request=True)
    assert "assertion" not in str(caught.value)


# What a receiver accepts


def test_mandatory_sub_items_that_are_missing_are_none():
    assert decode(b"") == EMPTY
    assert decode(b"", request=False) == EMPTY


def test_unknown_sub_items_and_reserved_bytes_are_not_looked_at():
    unknown = sub_item(0x5A, b"??", 255) + sub_item(0xFF, b"") + sub_item(0x00, b"?") + sub_item(0x10, b"1.2")
    assert decode(unknown + PLAIN_BYTES + unknown) == PLAIN
    assert decode(b"\x51\xff\0\4\0\0\x40\0" + b"\x52\xff\0\x051.2.3") == PLAIN


def test_sub_items_of_the_other_pdu_are_skipped_whatever_is_in_them():
    assert decode(PLAIN_BYTES + sub_item(0x59, b"?")) == PLAIN
    assert decode(PLAIN_BYTES + sub_item(0x57, b"?") + sub_item(0x58, b"?"), request=False) == PLAIN


def test_later_versions_of_common_extended_negotiation_only_append():
    known = prefixed(b"1.2") + prefixed(b"1.3") + prefixed(prefixed(b"1.4"))
    expected = evolve(PLAIN, common_extended=(CommonExtendedNegotiation("1.2", "1.3", ("1.4",)),))
    for version in (0, 1, 255):
        assert decode(PLAIN_BYTES + sub_item(0x57, known + b"appended", version)) == expected


def test_names_are_kept_valid_or_not():
    information = decode(
        b"\x51\0\0\4\0\0\0\0" + sub_item(0x52, b"x y") + sub_item(0x55, b"n\xe4me longer than sixteen")
    )
    assert information.implementation_class_uid == "x y"
    assert information.implementation_version_name == "näme longer than sixteen"


def test_padding_of_uids_is_dropped_where_that_is_tolerated():
    value = (
        sub_item(0x52, b"1.2\0")
        + sub_item(0x54, prefixed(b"1.3\0") + b"\1\0")
        + sub_item(0x56, prefixed(b"1.4 ") + b"i")
        + sub_item(0x57, prefixed(b"1.5\0") + prefixed(b"1.6\0") + prefixed(prefixed(b"1.7\0")))
    )
    assert decode(value) == evolve(
        EMPTY,
        implementation_class_uid="1.2",
        roles=(RoleSelection("1.3", True, False),),
        extended=(ExtendedNegotiation("1.4", b"i"),),
        common_extended=(CommonExtendedNegotiation("1.5", "1.6", ("1.7",)),),
    )
    assert decode(value, Tolerance(padded_uids=False)) == evolve(
        EMPTY,
        implementation_class_uid="1.2\0",
        roles=(RoleSelection("1.3\0", True, False),),
        extended=(ExtendedNegotiation("1.4 ", b"i"),),
        common_extended=(CommonExtendedNegotiation("1.5\0", "1.6\0", ("1.7\0",)),),
    )


def test_the_first_of_several_sub_items_for_one_sop_class_counts():
    value = (
        sub_item(0x54, prefixed(b"1.2") + b"\1\0")
        + sub_item(0x54, prefixed(b"1.3") + b"\1\1")
        + sub_item(0x54, prefixed(b"1.2") + b"\0\1")
        + sub_item(0x56, prefixed(b"1.2") + b"first")
        + sub_item(0x56, prefixed(b"1.2") + b"second")
        + sub_item(0x57, prefixed(b"1.2") + prefixed(b"1.3") + prefixed(b""))
        + sub_item(0x57, prefixed(b"1.2") + prefixed(b"1.4") + prefixed(b""))
    )
    assert decode(value) == evolve(
        EMPTY,
        roles=(RoleSelection("1.2", True, False), RoleSelection("1.3", True, True)),
        extended=(ExtendedNegotiation("1.2", b"first"),),
        common_extended=(CommonExtendedNegotiation("1.2", "1.3"),),
    )


def test_any_value_but_zero_is_true():
    assert decode(sub_item(0x54, prefixed(b"1.2") + b"\xff\2")).roles == (RoleSelection("1.2", True, True),)
    identity = decode(sub_item(0x58, b"\1\xff" + prefixed(b"me") + prefixed(b""))).identity
    assert identity == UserIdentity(1, b"me", b"", True)


def test_types_of_user_identity_that_the_standard_does_not_list_are_kept():
    for identity_type in (0, 6, 255):
        identity = decode(sub_item(0x58, bytes((identity_type, 0)) + prefixed(b"a") + prefixed(b"b"))).identity
        assert identity == UserIdentity(identity_type, b"a", b"b")
    identity = decode(sub_item(0x58, b"\5\0" + prefixed(b"a") + prefixed(b""))).identity
    assert identity.identity_type is UserIdentityType.JSON_WEB_TOKEN


# What it does not accept


@for_each("length", range(1, 8))
def test_a_maximum_length_without_room_for_data_is_an_error(length):
    fails(b"\x51\0\0\4\0\0\0" + bytes((length,)), f"maximum length {length} leaves no room", 4)


@for_each(
    ("raw", "request_"),
    [(raw, "identity_response" not in fields) for fields, raw in LAYOUTS if raw[0] not in (0x54, 0x56, 0x57)],  # type: ignore[operator]
)
def test_what_may_occur_once_occurs_once(raw, request_):
    message = f"a second item {raw[0]:02X}H"
    fails(raw + raw, message, len(raw), AbortReason.UNEXPECTED_PDU_PARAMETER, request=request_)


@for_each(
    ("raw", "message", "offset"),
    [
        (b"\x51\0\0\4\0\0\0", "item 51H of 4 bytes runs 1 past", 0),
        (b"\x52\0\0", "3 bytes are left, too few", 0),
        (sub_item(0x51, bytes(3)), "3 bytes are left of the item, not 4", 4),
        (sub_item(0x51, bytes(5)), "5 bytes are left of the item, not 4", 4),
        (sub_item(0x53, bytes(3)), "3 bytes are left of the item, not 4", 4),
        (sub_item(0x53, bytes(5)), "5 bytes are left of the item, not 4", 4),
        (sub_item(0x54, b"\0"), "ends before the length of its SOP class UID", 4),
        (sub_item(0x54, b"\0\5abcd"), "SOP class UID of 5 bytes runs 1 bytes past its item", 4),
        (sub_item(0x54, prefixed(b"1.2") + b"\1"), "1 bytes are left of the item, not 2", 9),
        (sub_item(0x54, prefixed(b"1.2") + b"\1\1\1"), "3 bytes are left of the item, not 2", 9),
        (sub_item(0x56, b""), "ends before the length of its SOP class UID", 4),
        (sub_item(0x56, b"\0\1"), "SOP class UID of 1 bytes runs 1 bytes past its item", 4),
        (sub_item(0x57, b"\0\1"), "SOP class UID of 1 bytes runs 1 bytes past its item", 4),
        (sub_item(0x57, prefixed(b"1.2")), "ends before the length of its service class UID", 9),
        (sub_item(0x57, prefixed(b"1.2") + b"\0\1"), "service class UID of 1 bytes runs 1 bytes past its item", 9),
        (sub_item(0x57, prefixed(b"1.2") * 2), "ends before the length of its list of related general", 14),
        (sub_item(0x57, prefixed(b"1.2") * 2 + b"\0\1"), "list of related general SOP classes of 1 bytes runs 1", 14),
        (sub_item(0x57, prefixed(b"1.2") * 2 + b"\0\1\0"), "ends before the length of its related general SOP", 16),
        (
            sub_item(0x57, prefixed(b"1.2") * 2 + prefixed(prefixed(b"1.3") + b"\0\1") + b"past"),
            "related general SOP class UID of 1 bytes runs 1 bytes past its item",
            21,
        ),
        (sub_item(0x58, b""), "ends before the length of its primary field", 6),
        (sub_item(0x58, b"\1"), "ends before the length of its primary field", 6),
        (sub_item(0x58, b"\1\0\0\3me"), "primary field of 3 bytes runs 1 bytes past its item", 6),
        (sub_item(0x58, b"\1\0\0\2me"), "ends before the length of its secondary field", 10),
        (sub_item(0x58, b"\1\0\0\2me\0\1"), "secondary field of 1 bytes runs 1 bytes past its item", 10),
        (sub_item(0x58, b"\1\0\0\2me\0\0?"), "1 bytes are left of the item, not 0", 12),
    ],
)
def test_lengths_must_fit_what_encloses_them(raw, message, offset):
    fails(raw, message, offset)
    fails(PLAIN_BYTES[8:] + raw, message, 9 + offset)


@for_each(
    ("raw", "message", "offset"),
    [
        (sub_item(0x59, b""), "ends before the length of its server response", 4),
        (sub_item(0x59, b"\0\1"), "server response of 1 bytes runs 1 bytes past its item", 4),
        (sub_item(0x59, b"\0\1ab"), "1 bytes are left of the item, not 0", 7),
    ],
)
def test_lengths_in_a_user_identity_response_must_fit(raw, message, offset):
    fails(raw, message, offset, request=False)


@given(
    st.lists(st.builds(sub_item, st.integers(0x50, 0x5A), st.binary(max_size=20)), max_size=4).map(b"".join)
    | st.binary(max_size=40),
    st.booleans(),
)
def test_arbitrary_bytes_raise_nothing_but_item_errors(value, request_):
    with suppress(ItemError):
        decode(value, request=request_)


def test_sub_items_that_are_absent_where_that_is_tolerated():
    for value in (b"", PLAIN_BYTES[:8], PLAIN_BYTES[8:]):
        decode(value)
        with pytest.raises(ItemError, match="ends without"):
            decode(value, Tolerance(missing_sub_items=False))
    assert decode(PLAIN_BYTES, Tolerance(missing_sub_items=False)) == PLAIN


def test_sub_items_that_are_repeated_where_that_is_tolerated():
    twice = PLAIN_BYTES + sub_item(0x54, prefixed(b"1.3") + b"\1\0") + sub_item(0x54, prefixed(b"1.3") + b"\0\1")
    assert decode(twice) == evolve(PLAIN, roles=(RoleSelection("1.3", True, False),))
    with pytest.raises(ItemError, match="a second sub-item 54H for the same SOP class"):
        decode(twice, Tolerance(repeated_sub_items=False))
