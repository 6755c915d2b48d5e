"""What is remembered of commands that repeat themselves changes nothing but the time that they take."""

from copy import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.codec import decode_message, encode_message
from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.errors import CommandSetError, LocalProtocolError
from dicom_proto.testing.message_strategies import MESSAGE_STRATEGIES
from tests.proto.profiles import PER_CLASS
from tests.proto.rows import for_each

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING = m.CFindRSP(affected_sop_class_uid=FIND, message_id_being_responded_to=7, status=0xFF00)
ID_TAGS = {0x0110: "message_id", 0x0120: "message_id_being_responded_to"}


def with_id(encoded: bytes, number: int) -> bytes:
    """Change the message ID in a command set."""
    elements = decode_command_set(encoded)
    (tag,) = elements.keys() & ID_TAGS.keys()
    return encode_command_set({**elements, tag: number.to_bytes(2, "little")})


@for_each("cls", m.MESSAGES.values(), ids=lambda cls: cls.name)
def test_messages_that_differ_in_their_id_only(cls: type[m.Message]) -> None:
    name = next(each.attribute for each in cls.elements if each.tag in ID_TAGS)

    @PER_CLASS
    @given(MESSAGE_STRATEGIES[cls.command_field], st.lists(st.integers(0, 0xFFFF), min_size=2, max_size=3))
    def check(drawn: tuple[m.Message, bool], numbers: list[int]) -> None:
        message, has_data_set = drawn
        first = encode_message(message, has_data_set=has_data_set)
        for number in numbers:
            setattr(message, name, number)
            encoded = encode_message(message, has_data_set=has_data_set)
            assert encoded == with_id(first, number)
            assert decode_message(encoded) == (message, has_data_set)

    check()


def test_what_is_received_belongs_to_the_receiver() -> None:
    encoded = encode_message(PENDING, has_data_set=True)
    decode_message(encoded)
    taken, _ = decode_message(encoded)
    assert isinstance(taken, m.CFindRSP)
    taken.status, taken.affected_sop_class_uid = 0, None
    assert decode_message(encoded) == (PENDING, True)


@for_each(("status", "tags"), [(0xA900, [0x00100010]), (0xA900, (0x00100010,)), (0xC000, [0x00080052, 0x00100010])])
def test_tags_may_be_a_list(status: int, tags: Any) -> None:
    response = m.CFindRSP(message_id_being_responded_to=1, status=status, offending_element=tags)
    received, _ = decode_message(encode_message(response, has_data_set=False))
    assert isinstance(received, m.CFindRSP)
    assert received.offending_element == tuple(tags)


def test_what_is_equal_to_a_number_that_went_out_is_not_sent_for_it() -> None:
    encode_message(m.CFindRQ(message_id=1, affected_sop_class_uid=FIND, priority=1), has_data_set=True)
    with pytest.raises(LocalProtocolError):
        encode_message(m.CFindRQ(message_id=1, affected_sop_class_uid=FIND, priority=1.0), has_data_set=True)  # type: ignore[arg-type]


@for_each("number", [None, -1, 0x10000, "1"])
def test_an_error_about_the_message_id_names_it(number: Any) -> None:
    encode_message(m.CEchoRQ(message_id=1), has_data_set=False)
    with pytest.raises(LocalProtocolError, match=r"^C-ECHO-RQ: MessageID \(0000,0110\)"):
        encode_message(m.CEchoRQ(message_id=number), has_data_set=False)


# --- what stands where a message ID is looked for, and is none ---


def joined(*elements: tuple[int, bytes]) -> bytes:
    """Join elements in the order given."""
    parts = [b"\0\0" + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value for tag, value in elements]
    body = b"".join(parts)
    return bytes.fromhex("0000000004000000") + len(body).to_bytes(4, "little") + body


ECHO = {0x0002: b"1.2.840.10008.1.1\0", 0x0100: b"\x30\0", 0x0110: b"\x07\0", 0x0800: b"\x01\x01"}


def in_order(*tags: int) -> bytes:
    return joined(*((tag, ECHO[tag]) for tag in tags))


@for_each(
    "command",
    [
        in_order(0x0002, 0x0100, 0x0110, 0x0800),
        in_order(0x0100, 0x0110, 0x0002, 0x0800),
        in_order(0x0110, 0x0100, 0x0002, 0x0800),
        in_order(0x0002, 0x0100, 0x0800, 0x0110),
        in_order(0x0002, 0x0100, 0x0110, 0x0800)[12:],
        in_order(0x0110, 0x0800, 0x0002, 0x0100),
        in_order(0x0800, 0x0002, 0x0110, 0x0100),
    ],
)
def test_elements_in_any_order(command: bytes) -> None:
    for _ in range(2):
        for number in (7, 8):
            changed = command.replace(b"\x10\x01\x02\0\0\0\x07\0", b"\x10\x01\x02\0\0\0" + number.to_bytes(2, "little"))
            assert decode_message(changed) == (m.CEchoRQ(message_id=number), False)


HEADER = bytes.fromhex("0000100102000000")  # of a message ID, (0000,0110)


@for_each("text", [b"\x34\x12", b"\x35\x12"])
def test_the_header_of_a_message_id_inside_a_value(text: bytes) -> None:
    # It is where that of a command without a UID would be, but belongs to an element that is none of the message's.
    command = joined((0x0600, b"ab" + HEADER + text), *ECHO.items())
    assert command.index(HEADER) == 22
    assert decode_message(command) == (m.CEchoRQ(message_id=7), False)


def test_a_request_with_the_id_of_a_response_as_well() -> None:
    command = joined(
        (0x0100, b"\x30\0"), (0x0120, b"\x09\0"), (0x0110, b"\x07\0"), (0x0800, b"\1\1"), (0x0002, b"1.2\0")
    )
    for _ in range(2):
        assert decode_message(command) == (m.CEchoRQ(message_id=7, affected_sop_class_uid="1.2"), False)


def test_a_request_with_the_id_of_a_response_only() -> None:
    for _ in range(2):
        with pytest.raises(CommandSetError, match="MessageID"):
            decode_message(joined((0x0100, b"\x30\0"), (0x0120, b"\x09\0"), (0x0800, b"\1\1"), (0x0002, b"1.2\0")))


@for_each("left", range(12, 66))
def test_nothing_is_taken_for_granted_of_a_command_that_is_cut_short(left: int) -> None:
    command = joined(*ECHO.items())
    assert decode_message(command) == (m.CEchoRQ(message_id=7), False)
    with pytest.raises(CommandSetError):
        decode_message(command[:left])


def test_an_unknown_command_field() -> None:
    with pytest.raises(CommandSetError, match=r"CommandField \(0000,0100\) is that of no DIMSE message: 77 77"):
        decode_message(joined((0x0100, b"\x77\x77"), (0x0110, b"\x07\0"), (0x0800, b"\1\1")))


# --- what stands around the UID of a SOP Instance ---

STORE = m.CStoreRQ(
    message_id=7, affected_sop_class_uid="1.2.840.10008.5.1.4.1.1.2", affected_sop_instance_uid="1.2.3.4"
)


def with_field(message: m.Message, name: str, value: object) -> m.Message:
    message = copy(message)
    setattr(message, name, value)
    return message


UIDS = ["1.2", "1.2.3", "2.25." + "1" * 59, "not a UID"]  # the last is what some objects are called
WITH_INSTANCE = [
    (STORE, True),
    (with_field(STORE, "move_originator_application_entity_title", "MOVER"), True),
    (m.CStoreRSP(message_id_being_responded_to=7, status=0, affected_sop_class_uid=FIND), False),
    (m.CStoreRSP(message_id_being_responded_to=7, status=0xA700), False),
    (m.CStoreRSP(message_id_being_responded_to=7, status=0xA700, error_comment="full"), False),
    (m.NGetRQ(message_id=7, requested_sop_class_uid=FIND, requested_sop_instance_uid="1"), False),
    (m.NActionRQ(message_id=7, requested_sop_class_uid=FIND, requested_sop_instance_uid="1", action_type_id=1), True),
    (m.NCreateRSP(message_id_being_responded_to=7, status=0), False),
]


def instance_of(message: m.Message) -> str:
    return next(each.attribute for each in message.elements if each.tag in (0x1000, 0x1001))


@for_each(("message", "has_data_set"), WITH_INSTANCE, ids=lambda each: getattr(each, "name", each))
def test_messages_that_differ_in_their_instance_only(message: m.Message, has_data_set: bool) -> None:
    name = instance_of(message)
    for uid in UIDS * 2:
        message = with_field(message, name, uid)
        encoded = encode_message(message, has_data_set=has_data_set)
        assert encode_command_set(decode_command_set(encoded)) == encoded
        assert decode_message(encoded) == (message, has_data_set)
        for odd in (encoded[12:], encoded[:8] + bytes(4) + encoded[12:]):  # without group length, and with a wrong one
            assert decode_message(odd) == (message, has_data_set)
    with pytest.raises(LocalProtocolError, match="SOPInstanceUID"):
        encode_message(with_field(message, name, "1.2\\3"), has_data_set=has_data_set)


@for_each("left", range(12, 112))
def test_nothing_is_taken_for_granted_of_a_store_that_is_cut_short(left: int) -> None:
    command = encode_message(with_field(STORE, "move_originator_message_id", 9), has_data_set=True)
    assert len(command) == 112
    assert decode_message(command)[1]
    try:
        expected = decode_command_set(command[:left])
    except CommandSetError:
        expected = {}
    if expected.keys() >= {0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x1000}:
        assert decode_message(command[:left])[1]
    else:
        with pytest.raises(CommandSetError):
            decode_message(command[:left])


@for_each("uid", [b"", b"\0\0", b"  "])
def test_an_instance_without_a_uid(uid: bytes) -> None:
    elements = decode_command_set(encode_message(STORE, has_data_set=True))
    assert decode_message(encode_command_set(elements)) == (STORE, True)
    with pytest.raises(CommandSetError, match="AffectedSOPInstanceUID"):
        decode_message(encode_command_set({**elements, 0x1000: uid}))


def without_memory(command: bytes) -> object:
    """Decode a command that is too long to be remembered, for an element that is none of its message."""
    return outcome(command[:12] + bytes.fromhex("0000424200020000") + bytes(512) + command[12:])


def outcome(command: bytes) -> object:
    try:
        return decode_message(command)
    except CommandSetError:
        return CommandSetError


@for_each("number", range(12, 102))
def test_any_byte_of_a_store_may_be_another(number: int) -> None:
    command = encode_message(STORE, has_data_set=True)
    assert len(command) == 102
    for value in (0, 1, 2, 8, 9, 16, 32, 0x80, 0xFF):
        decode_message(command)
        changed = command[:number] + bytes([value]) + command[number + 1 :]
        assert outcome(changed) == without_memory(changed)


def test_a_value_that_looks_like_an_instance() -> None:
    header = bytes.fromhex("0000001004000000")
    inside = joined(
        (0x0002, b"1.2\0"), (0x0100, b"\x30\0"), (0x0110, b"\7\0"), (0x0800, b"\1\1"), (0x0902, header + b"1.2\0")
    )
    known = joined((0x0002, b"1.2\0"), (0x0100, b"\x30\0"), (0x0110, b"\7\0"), (0x0800, b"\1\1"), (0x1000, b"1.2\0"))
    for command in (known, inside, known):
        assert decode_message(command) == (m.CEchoRQ(message_id=7, affected_sop_class_uid="1.2"), False)


def test_an_instance_of_a_request_with_the_id_of_a_response() -> None:
    elements = decode_command_set(encode_message(STORE, has_data_set=True))
    elements[0x0120] = elements.pop(0x0110)
    for _ in range(2):
        with pytest.raises(CommandSetError, match="MessageID"):
            decode_message(encode_command_set(elements))
