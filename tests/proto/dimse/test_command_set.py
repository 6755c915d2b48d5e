import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.dimse.command_set import (
    AE,
    AT,
    INSTANCE_UI,
    LO,
    UI,
    US,
    decode_command_set,
    decode_odd_command_set,
    encode_command_set,
)
from dicom_proto.errors import CommandSetError, LocalProtocolError
from tests.proto.rows import for_each

C_ECHO_RQ = bytes.fromhex(
    "000000000400000038000000"
    "0000020012000000312e322e3834302e31303030382e312e3100"
    "00000001020000003000"
    "00001001020000000700"
    "00000008020000000101"
)
ELEMENTS = {0x0002: b"1.2.840.10008.1.1\0", 0x0100: b"\x30\0", 0x0110: b"\x07\0", 0x0800: b"\x01\x01"}
UID_AND_ID = bytes.fromhex("0000020002000000310000001001020000000700")

raw_values = st.binary(max_size=20).map(lambda value: value[: len(value) // 2 * 2])


def test_decodes_a_command_set():
    assert decode_command_set(C_ECHO_RQ) == ELEMENTS


@for_each("kind", [bytes, bytearray, memoryview, lambda data: memoryview(b"x" + data)[1:]])
def test_takes_every_kind_of_buffer_and_keeps_only_bytes(kind):
    assert {type(value) for value in decode_command_set(kind(C_ECHO_RQ)).values()} == {bytes}


def test_encodes_in_increasing_order_behind_the_group_length():
    assert encode_command_set(dict(reversed(ELEMENTS.items()))) == C_ECHO_RQ


def test_replaces_a_group_length_that_is_given():
    assert encode_command_set({**ELEMENTS, 0x0000: b"????"}) == C_ECHO_RQ


def test_an_empty_command_set():
    assert decode_command_set(b"") == {}
    assert encode_command_set({}) == bytes.fromhex("000000000400000000000000")


@for_each(
    "data",
    [
        UID_AND_ID,
        bytes.fromhex("0000000004000000ffffffff") + UID_AND_ID,
        bytes.fromhex("000000000400000002000000") + UID_AND_ID,
        bytes.fromhex("00000000020000000200") + UID_AND_ID,
        UID_AND_ID + bytes.fromhex("000000000400000014000000"),
    ],
    ids=["missing", "too large", "too small", "of two bytes", "last"],
)
def test_ignores_the_group_length(data):
    assert decode_command_set(data) == {0x0002: b"1\0", 0x0110: b"\x07\0"}


def test_accepts_elements_out_of_order():
    assert decode_command_set(UID_AND_ID[10:] + UID_AND_ID[:10]) == {0x0002: b"1\0", 0x0110: b"\x07\0"}


@for_each("element", [0x0001, 0x0010, 0x0200, 0x0850, 0x4000, 0x51B0, 0x7777])
def test_keeps_retired_and_unknown_elements(element):
    data = UID_AND_ID + b"\0\0" + element.to_bytes(2, "little") + bytes.fromhex("020000004142")
    assert decode_command_set(data)[element] == b"AB"


@for_each(
    ("more", "error"),
    [
        ("00", "ends inside the element header at byte 20"),
        ("00000008020000", "ends inside the element header at byte 20"),
        ("0000000802000000", r"\(0000,0800\) has a length of 2, but 0 bytes are left"),
        ("000000080200000001", r"\(0000,0800\) has a length of 2, but 1 bytes are left"),
        ("00000008ffffffff0101", r"\(0000,0800\) has a length of 4294967295, but 2 bytes are left"),
        ("0000000801000000010000", r"\(0000,0800\) has an odd length, 1"),
        ("0200100002000000312e", r"\(0002,0010\) is not a command element"),
        ("00000200020000003100", r"\(0000,0002\) appears twice"),
        ("000000000400000000000000" * 2, r"\(0000,0000\) appears twice"),
    ],
)
def test_refuses_what_is_no_command_set(more, error):
    with pytest.raises(CommandSetError, match=error):
        decode_command_set(UID_AND_ID + bytes.fromhex(more))


def test_what_is_in_no_order_and_of_any_length_is_taken_apart() -> None:
    """What breaks PS3.7 6.3.1: odd lengths, and elements of other groups, of which the first counts, in any order."""
    aside = bytes.fromhex("0800580002000000 31000800580002000000 3200")
    odd = bytes.fromhex("0000021005000000") + b"1.2.3"
    length = bytes.fromhex("000000000400000000000000")
    expected = {0x0002: b"1\0", 0x0110: b"\x07\0", 0x1002: b"1.2.3"}, {0x00080058: b"1\0"}
    assert decode_odd_command_set(UID_AND_ID + odd + aside) == expected
    assert decode_odd_command_set(aside + odd + length + UID_AND_ID) == expected
    assert decode_odd_command_set(b"") == ({}, {})


@for_each(
    ("more", "error"),
    [
        ("00", "ends inside the element header at byte 20"),
        ("080058000400000031", r"\(0008,0058\) does not end within the command set"),
        ("00000200020000003100", r"\(0000,0002\) appears twice"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(more: str, error: str) -> None:
    with pytest.raises(CommandSetError, match=error):
        decode_odd_command_set(UID_AND_ID + bytes.fromhex(more))


@for_each("elements", [{0x0002: b"1"}, {0x10000: b""}, {-1: b""}])
def test_does_not_encode_what_is_no_command_set(elements):
    with pytest.raises(LocalProtocolError):
        encode_command_set(elements)


@given(st.dictionaries(st.integers(1, 0xFFFF), raw_values, max_size=8))
def test_round_trip(elements):
    assert decode_command_set(encode_command_set(elements)) == elements


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_elements_or_an_error(data):
    try:
        elements = decode_command_set(data)
    except CommandSetError:
        return
    assert decode_command_set(encode_command_set(elements)) == elements


@for_each(
    ("vr", "value", "raw"),
    [
        (UI, "1.2.840.10008.1.1", b"1.2.840.10008.1.1\0"),
        (UI, "1.23", b"1.23"),
        (INSTANCE_UI, "1.02.3", b"1.02.3"),
        (INSTANCE_UI, "LOCALIZER1.2", b"LOCALIZER1.2"),
        (INSTANCE_UI, "1." + "2" * 99, b"1." + b"2" * 99 + b"\0"),
        (AE, "STORE", b"STORE "),
        (AE, "A TITLE OF 16 CH", b"A TITLE OF 16 CH"),
        (LO, "out of disk", b"out of disk "),
        (LO, "x" * 64, b"x" * 64),
        (US, 0, b"\0\0"),
        (US, 0x8001, b"\x01\x80"),
        (US, 0xFFFF, b"\xff\xff"),
        (AT, (0x00100020,), b"\x10\x00\x20\x00"),
        (AT, (0x00080018, 0x7FE00010), b"\x08\x00\x18\x00\xe0\x7f\x10\x00"),
    ],
)
def test_values_travel_little_endian_and_padded(vr, value, raw):
    assert vr.encode(value) == raw
    assert vr.decode(raw) == value


@for_each("vr", [AE, LO])
def test_spaces_around_text_mean_nothing(vr):
    assert vr.encode("  A B ") == b"A B "
    assert vr.decode(b"  A B \0") == "A B"


@for_each(
    ("vr", "raw", "text"),
    [
        (UI, b"1.2.3 \0\0", "1.2.3"),
        (UI, b"\0\0", ""),
        (UI, b"caf\xe9\n\x00x", "café\n\0x"),
        (AE, b"\xffAE\0", "ÿAE"),
        (LO, b"a\\b\x1b\x80 ", "a\\b\x1b\x80"),
        (LO, b"  ", ""),
    ],
)
def test_decoding_text_never_fails(vr, raw, text):
    assert vr.decode(raw) == text


@for_each(
    ("vr", "value"),
    [
        *((UI, value) for value in ["", "1.02", "1." + "2" * 63, "1.2 ", "1.é", 12, b"1.2", None]),
        *((INSTANCE_UI, value) for value in ["", "1\n2", "1\\2", "1.2 ", "1.é", "1" * 0xFFFF, 12, b"1.2", None]),
        *((AE, value) for value in ["", "   ", "x" * 17, "A\\B", "É", 3]),
        *((LO, value) for value in ["", "   ", "x" * 65, "A\\B", "É", "two\nlines", b"text", 3]),
        *((US, value) for value in [-1, 0x10000, 1.0, "1"]),
        *((AT, value) for value in [(), (-1,), (1 << 32,), ("0010",), 0x00100020, (1.5,)]),
    ],
)
def test_values_that_are_sent_are_checked(vr, value):
    with pytest.raises(LocalProtocolError):
        vr.encode(value)


@for_each(("vr", "raw"), [(US, b"\1\0\0\0"), (US, b"\1"), (AT, b"\1\0"), (AT, b"\1\0\1\0\1\0")])
def test_binary_values_of_the_wrong_length_are_refused(vr, raw):
    with pytest.raises(CommandSetError, match=str(len(raw))):
        vr.decode(raw)
