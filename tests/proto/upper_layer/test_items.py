"""Presentation context items, and what all items share."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import AbortReason, InvalidNameError, LocalProtocolError, PDUError
from dicom_proto.limits import Tolerance
from dicom_proto.testing.strategies import context_results, proposed_contexts
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ItemError,
    ItemType,
    PresentationContextResult,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    as_member,
    check_integer,
    check_octets,
    decode_context_result,
    decode_proposed_context,
    decode_uid,
    encode_context_result,
    encode_item,
    encode_proposed_context,
    encode_uid_item,
    split_items,
)
from tests.proto.rows import for_each

LENIENT = Tolerance()
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
ABSTRACT = b"\x30\0\0\x031.2"
TRANSFER = b"\x40\0\0\x031.3"


def test_names_that_users_of_pynetdicom_know():
    role = RoleSelection("1.2", scu=True, scp=False)
    assert (role.scu_role, role.scp_role) == (True, False)
    declared = CommonExtendedNegotiation("1.2", "1.3", ("1.4",))
    assert declared.related_general_sop_class_identification == ["1.4"]
    identity = UserIdentity(2, b"user", b"passcode")
    assert (identity.user_identity_type, identity.primary_field, identity.secondary_field) == (2, b"user", b"passcode")


def fails(decode, value, message, offset, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE, tolerance=LENIENT):
    with pytest.raises(ItemError, match=message) as caught:
        decode(value, tolerance)
    assert caught.value.offset == offset
    assert caught.value.abort_reason == reason


# What items share


def test_items_are_cut_in_order_whatever_their_type_and_reserved_byte():
    data = b"skip" + b"\x10\0\0\x01a" + b"\xee\xff\0\0" + b"\x10\0\0\x02bc"
    assert list(split_items(data, 4)) == [(0x10, 8, b"a"), (0xEE, 13, b""), (0x10, 17, b"bc")]
    assert list(split_items(b"")) == []


def test_an_item_that_does_not_fit_is_an_error_after_those_that_do():
    items = split_items(b"\x10\0\0\x01a\x11\0\0\x03bc")
    assert next(items) == (0x10, 4, b"a")
    with pytest.raises(ItemError, match="item 11H of 3 bytes runs 1 past what encloses it") as caught:
        next(items)
    assert caught.value.offset == 5
    with pytest.raises(ItemError, match="3 bytes are left, too few for the header of an item"):
        list(split_items(b"\x10\0\0"))


def test_an_item_error_is_the_peers_fault():
    error = ItemError(3, "wrong")
    assert isinstance(error, PDUError)
    assert str(error) == "wrong"
    assert error.abort_reason == AbortReason.INVALID_PDU_PARAMETER_VALUE


def test_an_item_is_no_longer_than_its_length_field_can_say():
    assert encode_item(ItemType.USER_INFORMATION, bytes(65535)) == b"\x50\0\xff\xff" + bytes(65535)
    with pytest.raises(LocalProtocolError, match="item 50H has 65536 bytes"):
        encode_item(ItemType.USER_INFORMATION, bytes(65536))


def test_a_uid_item_has_no_padding():
    assert encode_uid_item(ItemType.ABSTRACT_SYNTAX, "1.2") == ABSTRACT
    for bad in ("", "1.02", "1.2 ", "1.2\0", "1" * 65, "1.é", None):
        with pytest.raises(InvalidNameError):
            encode_uid_item(ItemType.ABSTRACT_SYNTAX, bad)


def test_a_uid_is_decoded_whatever_it_is():
    assert decode_uid(b"1.2\0 \0", True) == "1.2"
    assert decode_uid(b"1.2\0 \0", False) == "1.2\0 \0"
    assert decode_uid(b"\0 1.2\xff", True) == "\0 1.2ÿ"
    assert decode_uid(b"", True) == ""


def test_numbers_become_members_where_the_standard_lists_them():
    assert as_member(PresentationContextResult, 3) is PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    assert as_member(PresentationContextResult, 5) == 5
    assert not isinstance(as_member(PresentationContextResult, 5), PresentationContextResult)


def test_checks_of_numbers_and_bytes():
    assert check_integer(1, "one", 1, 1) == 1
    for bad in (0, 2, "1", None, 1.0):
        with pytest.raises(LocalProtocolError, match=r"one .* is not an integer from 1 to 1"):
            check_integer(bad, "one", 1, 1)
    assert check_octets(b"ab", "pair", 2) == b"ab"
    for bad in (b"abc", "ab", None, bytearray(b"a")):
        with pytest.raises(LocalProtocolError, match="the pair is not bytes, or has more than 2 of them"):
            check_octets(bad, "pair", 2)


# Proposed contexts (20H)


def test_a_proposed_context_byte_by_byte():
    context = ProposedContext(5, "1.2", ("1.3", "1.4.5"))
    encoded = b"\x20\0\0\x1b" + b"\5\0\0\0" + ABSTRACT + TRANSFER + b"\x40\0\0\x051.4.5"
    assert encode_proposed_context(context) == encoded
    assert decode_proposed_context(encoded[4:], LENIENT) == context


@given(proposed_contexts)
def test_proposed_contexts_come_back(context):
    assert decode_proposed_context(encode_proposed_context(context)[4:], LENIENT) == context


@for_each(
    ("context", "error", "message"),
    [
        (ProposedContext(2, "1.2", ("1.3",)), InvalidNameError, "presentation context ID"),
        (ProposedContext(0, "1.2", ("1.3",)), InvalidNameError, "presentation context ID"),
        (ProposedContext(257, "1.2", ("1.3",)), InvalidNameError, "presentation context ID"),
        (ProposedContext(1, "1.02", ("1.3",)), InvalidNameError, "UID"),
        (ProposedContext(1, "1.2", ("1.3", "x")), InvalidNameError, "UID"),
        (ProposedContext(1, "1.2", ()), LocalProtocolError, "no transfer syntax"),
        (ProposedContext(1, "1.2", ("1." + "3" * 58,) * 1024), LocalProtocolError, "item 20H has 65547 bytes"),
    ],
)
def test_a_proposed_context_that_may_not_be_sent(context, error, message):
    with pytest.raises(error, match=message):
        encode_proposed_context(context)


def test_reserved_bytes_and_unknown_sub_items_of_a_proposed_context_are_not_looked_at():
    value = b"\5\xff\xff\xff" + b"\x31\xff\0\2??" + b"\x40\xff\0\x031.3" + b"\x30\xff\0\x031.2" + b"\xff\0\0\0"
    assert decode_proposed_context(value, LENIENT) == ProposedContext(5, "1.2", ("1.3",))


def test_sub_items_of_a_proposed_context_must_be_complete():
    fails(decode_proposed_context, b"\1\0\0", "item of 3 bytes, the shortest has 4", 0)
    fails(decode_proposed_context, b"\1\0\0\0" + TRANSFER, "without an abstract syntax", 4)
    fails(decode_proposed_context, b"\1\0\0\0" + ABSTRACT, "without a transfer syntax", 4)
    fails(decode_proposed_context, b"\1\0\0\0" + ABSTRACT[:-1], "30H of 3 bytes runs 1 past", 4)
    fails(decode_proposed_context, b"\1\0\0\0" + ABSTRACT + TRANSFER[:-1], "40H of 3 bytes runs 1 past", 11)
    fails(decode_proposed_context, b"\1\0\0\0" + ABSTRACT + TRANSFER + b"\x40", "1 bytes are left", 18)


def test_an_abstract_syntax_occurs_once():
    unexpected = AbortReason.UNEXPECTED_PDU_PARAMETER
    for items in (ABSTRACT + TRANSFER + ABSTRACT, TRANSFER + ABSTRACT + ABSTRACT):
        fails(decode_proposed_context, b"\1\0\0\0" + items, "a second item 30H", 18, unexpected)


@for_each("context_id", [0, 2, 254])
def test_even_ids_are_kept_where_they_are_tolerated(context_id):
    strict = Tolerance(even_context_ids=False)
    value = bytes((context_id, 0, 0, 0)) + ABSTRACT + TRANSFER
    assert decode_proposed_context(value, LENIENT).context_id == context_id
    fails(decode_proposed_context, value, f"ID {context_id} is not odd", 0, tolerance=strict)
    value = bytes((context_id, 0, 0, 0)) + TRANSFER
    assert decode_context_result(value, LENIENT).context_id == context_id
    fails(decode_context_result, value, f"ID {context_id} is not odd", 0, tolerance=strict)


def test_padding_of_uids_is_dropped_where_that_is_tolerated():
    value = b"\1\0\0\0" + b"\x30\0\0\x041.2\0" + b"\x40\0\0\x041.3 "
    strict = Tolerance(padded_uids=False)
    assert decode_proposed_context(value, LENIENT) == ProposedContext(1, "1.2", ("1.3",))
    assert decode_proposed_context(value, strict) == ProposedContext(1, "1.2\0", ("1.3 ",))
    value = b"\1\0\0\0" + b"\x40\0\0\x041.3\0"
    assert decode_context_result(value, LENIENT) == ContextResult(1, 0, "1.3")
    assert decode_context_result(value, strict) == ContextResult(1, 0, "1.3\0")


@for_each("count", [3, 300])  # short enough to be remembered, and too long for that
def test_a_context_is_decoded_the_same_every_time(count):
    context = ProposedContext(1, "1.2", tuple(f"1.2.{n}" for n in range(count)))
    value = encode_proposed_context(context)[4:]
    assert decode_proposed_context(value, LENIENT) == decode_proposed_context(value, LENIENT) == context
    for _ in range(2):
        fails(decode_proposed_context, value + b"\x40", "1 bytes are left", len(value))


# Context results (21H)


def test_a_context_result_byte_by_byte():
    context = ContextResult(5, 0, "1.3")
    encoded = b"\x21\0\0\x0b" + b"\5\0\0\0" + TRANSFER
    assert encode_context_result(context) == encoded
    assert decode_context_result(encoded[4:], LENIENT) == context
    rejected = b"\x21\0\0\x08" + b"\5\0\3\0" + b"\x40\0\0\0"
    assert encode_context_result(ContextResult(5, 3)) == rejected
    assert decode_context_result(rejected[4:], LENIENT) == ContextResult(5, 3)


@given(context_results)
def test_context_results_come_back(context):
    assert decode_context_result(encode_context_result(context)[4:], LENIENT) == context


@for_each(
    ("context", "error", "message"),
    [
        (ContextResult(2, 0, "1.3"), InvalidNameError, "presentation context ID"),
        (ContextResult(256, 1), LocalProtocolError, "presentation context ID 256"),
        (ContextResult(-1, 1), LocalProtocolError, "presentation context ID -1"),
        (ContextResult(1, 5), LocalProtocolError, "result 5"),
        (ContextResult(1, -1), LocalProtocolError, "result -1"),
        (ContextResult(1, 0), LocalProtocolError, "accepted without a transfer syntax"),
        (ContextResult(1, 0, ""), InvalidNameError, "UID"),
        (ContextResult(1, 4, "1.3 "), InvalidNameError, "UID"),
    ],
)
def test_a_context_result_that_may_not_be_sent(context, error, message):
    with pytest.raises(error, match=message):
        encode_context_result(context)


def test_an_even_id_may_be_rejected_because_a_peer_may_have_proposed_it():
    assert encode_context_result(ContextResult(0, 1))[4:8] == b"\0\0\1\0"
    assert encode_context_result(ContextResult(254, 1))[4:8] == b"\xfe\0\1\0"


def test_results_that_the_standard_does_not_list_are_kept():
    assert decode_context_result(b"\1\0\xff\0" + TRANSFER, LENIENT) == ContextResult(1, 255, "1.3")
    assert decode_context_result(b"\1\0\4\0" + TRANSFER, LENIENT).result is (
        PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
    )


def test_reserved_bytes_and_unknown_sub_items_of_a_context_result_are_not_looked_at():
    value = b"\5\xff\0\xff" + b"\x30\0\0\2??" + b"\x40\xff\0\x031.3"
    assert decode_context_result(value, LENIENT) == ContextResult(5, 0, "1.3")


@for_each("rest", [b"", b"\x40\0\0\0", b"\x40\0\0\1\0", b"\x30\0\0\x031.2"])
def test_a_rejected_context_may_do_without_transfer_syntax_where_that_is_tolerated(rest):
    strict = Tolerance(missing_transfer_syntax=False)
    assert decode_context_result(b"\1\0\3\0" + rest, LENIENT) == ContextResult(1, 3, None)
    fails(decode_context_result, b"\1\0\3\0" + rest, "context 1 with result 3 has no transfer", 4, tolerance=strict)
    fails(decode_context_result, b"\1\0\0\0" + rest, "context 1 with result 0 has no transfer", 4)
    padded = Tolerance(padded_uids=False)
    fails(decode_context_result, b"\1\0\0\0" + rest, "context 1 with result 0 has no transfer", 4, tolerance=padded)


def test_an_accepted_context_has_one_transfer_syntax_and_nobody_counts_those_of_a_rejected_one():
    unexpected = AbortReason.UNEXPECTED_PDU_PARAMETER
    fails(decode_context_result, b"\1\0\0\0" + TRANSFER + TRANSFER, "a second item 40H", 11, unexpected)
    assert decode_context_result(b"\1\0\3\0" + TRANSFER + ABSTRACT + TRANSFER, LENIENT) == ContextResult(1, 3, "1.3")


def test_lengths_in_a_context_result_must_fit():
    fails(decode_context_result, b"", "item of 0 bytes, the shortest has 4", 0)
    fails(decode_context_result, b"\1\0\0\0\x40\0\0\1", "40H of 1 bytes runs 1 past", 4)


@given(st.binary(max_size=40), st.sampled_from([decode_proposed_context, decode_context_result]))
def test_arbitrary_bytes_raise_nothing_but_item_errors(value, decode):
    for tolerance in (LENIENT, Tolerance(padded_uids=False, even_context_ids=False, missing_transfer_syntax=False)):
        with suppress(ItemError):
            decode(value, tolerance)
