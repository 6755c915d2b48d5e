import csv
import struct
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.messages import KEYWORDS, MESSAGES, DataSet, Priority, decode_message, encode_message
from dicom_proto.errors import CommandSetError, LocalProtocolError
from dicom_proto.testing.message_strategies import MESSAGE_STRATEGIES, messages
from tests.proto.profiles import PER_CLASS
from tests.proto.rows import for_each

CLASSES = list(MESSAGES.values())
CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
UID = "1.2.840.113654.2.55.321340174103534863031550047625308465271"
COMPUTED = {"CommandGroupLength", "CommandField", "CommandDataSetType"}

# PS3.7 Tables 9.3-1 to 9.3-13 and 10.3-1 to 10.3-12, as facts.
with (Path(__file__).parents[1] / "data" / "dimse_commands.csv").open(newline="") as table:
    FACTS = list(csv.DictReader(table))

# A valid message of each class with everything that is mandatory, and whether a data set follows.
_RQ: dict[str, Any] = {"message_id": 7}
_RSP: dict[str, Any] = {"message_id_being_responded_to": 7, "status": 0x0000}
_AFFECTED: dict[str, Any] = {"affected_sop_class_uid": CT, "affected_sop_instance_uid": UID}
_REQUESTED: dict[str, Any] = {"requested_sop_class_uid": CT, "requested_sop_instance_uid": UID}
MINIMAL = [
    (m.CStoreRQ(**_RQ, **_AFFECTED), True),
    (m.CStoreRSP(**_RSP), False),
    (m.CFindRQ(**_RQ, affected_sop_class_uid=FIND), True),
    (m.CFindRSP(**_RSP), False),
    (m.CGetRQ(**_RQ, affected_sop_class_uid=FIND), True),
    (m.CGetRSP(**_RSP), False),
    (m.CMoveRQ(**_RQ, affected_sop_class_uid=FIND, move_destination="DEST"), True),
    (m.CMoveRSP(**_RSP), False),
    (m.CEchoRQ(**_RQ), False),
    (m.CEchoRSP(**_RSP), False),
    (m.CCancelRQ(message_id_being_responded_to=7), False),
    (m.NEventReportRQ(**_RQ, **_AFFECTED, event_type_id=1), False),
    (m.NEventReportRSP(**_RSP), False),
    (m.NGetRQ(**_RQ, **_REQUESTED), False),
    (m.NGetRSP(**_RSP), True),
    (m.NSetRQ(**_RQ, **_REQUESTED), True),
    (m.NSetRSP(**_RSP), False),
    (m.NActionRQ(**_RQ, **_REQUESTED, action_type_id=1), False),
    (m.NActionRSP(**_RSP), False),
    (m.NCreateRQ(**_RQ, affected_sop_class_uid=CT), False),
    (m.NCreateRSP(**_RSP), False),
    (m.NDeleteRQ(**_RQ, **_REQUESTED), False),
    (m.NDeleteRSP(**_RSP), False),
]
# Whole command sets: three put together by hand from the tables, the rest as real devices sent them.
EXAMPLES = [
    (
        "0000000004000000380000000000020012000000312e322e3834302e31303030382e312e3100000000010200000030000000"
        "100102000000070000000008020000000101",
        m.CEchoRQ(message_id=7),
        False,
    ),
    (
        "0000000004000000420000000000020012000000312e322e3834302e31303030382e312e3100000000010200000030800000"
        "2001020000000700000000080200000001010000000902000000" + "0000",
        m.CEchoRSP(message_id_being_responded_to=7, status=0, affected_sop_class_uid="1.2.840.10008.1.1"),
        False,
    ),
    (
        "00000000040000001e0000000000000102000000ff0f0000200102000000070000000008020000000101",
        m.CCancelRQ(message_id_being_responded_to=7),
        False,
    ),
    (
        "00000000040000004c000000000002001c000000312e322e3834302e31303030382e352e312e342e312e322e322e31000000"
        "0001020000002000000010010200000001000000000702000000020000000008020000000100",
        m.CFindRQ(message_id=1, affected_sop_class_uid=FIND, priority=Priority.LOW),
        True,
    ),
    (
        "00000000040000004c000000000002001c000000312e322e3834302e31303030382e352e312e342e312e322e322e31000000"
        "00010200000020800000200102000000010000000008020000000101" + "00000009020000000000",
        m.CFindRSP(message_id_being_responded_to=1, status=0, affected_sop_class_uid=FIND),
        False,
    ),
    (
        "00000000040000008e000000000002001a000000312e322e3834302e31303030382e352e312e342e312e312e320000000001"
        "02000000010000001001020000000100000000070200000002000000000802000000010000000010" + "3c000000"
        "312e322e3834302e3131333635342e322e35352e333231333430313734313033353334383633303331353530303437363235"
        "33303834363532373100",
        m.CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid=UID, priority=Priority.LOW),
        True,
    ),
    (
        "00000000040000008e000000000002001a000000312e322e3834302e31303030382e352e312e342e312e312e320000000001"
        "0200000001800000200102000000010000000008020000000101000000090200000000000000001" + "03c000000"
        "312e322e3834302e3131333635342e322e35352e333231333430313734313033353334383633303331353530303437363235"
        "33303834363532373100",
        m.CStoreRSP(
            message_id_being_responded_to=1, status=0, affected_sop_class_uid=CT, affected_sop_instance_uid=UID
        ),
        False,
    ),
]
ENCODED = [bytes.fromhex(text) for text, _, _ in EXAMPLES]


def name_of(parameter):
    return getattr(parameter, "name", "")


def tag_facts(name):
    return [row for row in FACTS if row["message"] == name and row["tag"] != "dataset"]


def with_elements(message, has_data_set, **changes):
    """Encode a message, then change raw elements by attribute name; None takes one away."""
    elements = decode_command_set(encode_message(message, has_data_set=has_data_set))
    tags = {element.attribute: element.tag for element in message.elements}
    tags |= {"command_field": 0x0100, "command_data_set_type": 0x0800}
    for attribute, raw in changes.items():
        elements.pop(tags[attribute], None)
        if raw is not None:
            elements[tags[attribute]] = raw
    return encode_command_set(elements)


# The table.


def test_there_are_23_messages():
    assert {(f"{field:04X}", cls.name) for field, cls in MESSAGES.items()} == {
        (row["command_field"], row["message"]) for row in FACTS
    }
    assert len(MESSAGES) == len({cls.name for cls in CLASSES}) == len(MINIMAL) == 23


@for_each("cls", CLASSES, ids=name_of)
def test_every_row_of_the_standard_is_declared_once_and_no_other(cls):
    declared = [(f"{e.tag:08X}", e.keyword, e.vr.name, e.usage) for e in cls.elements]
    facts = [(r["tag"], r["keyword"], r["vr"], r["usage"]) for r in tag_facts(cls.name) if r["keyword"] not in COMPUTED]
    assert declared == facts
    assert all((row["vm"] == "1-n") == (row["vr"] == "AT") for row in tag_facts(cls.name))
    assert {element.attribute for element in cls.elements} == {field.name for field in attrs.fields(cls)}


@for_each("cls", CLASSES, ids=name_of)
def test_whether_a_data_set_follows(cls):
    [usage] = [row["usage"] for row in FACTS if row["message"] == cls.name and row["tag"] == "dataset"]
    assert cls.data_set is {"M": DataSet.ALWAYS, "-": DataSet.NEVER}.get(usage, DataSet.OPTIONAL)
    assert (cls.data_set_condition is not None) == (cls.data_set is DataSet.OPTIONAL and issubclass(cls, m.Response))


@for_each("cls", CLASSES, ids=name_of)
def test_a_conditional_field_has_a_condition_and_no_other_has(cls):
    assert all((element.condition is not None) == (element.usage == "C") for element in cls.elements)


def test_keywords_lead_to_attributes():
    assert set(KEYWORDS) == {row["keyword"] for row in FACTS} - COMPUTED - {""}
    assert KEYWORDS["AffectedSOPClassUID"] == "affected_sop_class_uid"
    assert KEYWORDS["NumberOfRemainingSuboperations"] == "number_of_remaining_suboperations"


def test_requests_name_their_response():
    requests = [cls for cls in CLASSES if issubclass(cls, m.Request)]
    assert len(requests) == 11
    for request in requests:
        assert issubclass(request.response, m.Response)
        assert request.response.command_field == request.command_field | 0x8000
    assert not issubclass(m.CCancelRQ, m.Request | m.Response)


@for_each("cls", CLASSES, ids=name_of)
def test_the_documentation_names_every_field(cls):
    assert cls.__doc__.startswith(cls.name)
    for row in tag_facts(cls.name):
        if row["keyword"] not in COMPUTED:
            assert f"{KEYWORDS[row['keyword']]} : {row['vr']}\n    (0000,{row['tag'][4:]}), " in cls.__doc__


@for_each("message", [message for message, _ in MINIMAL], ids=name_of)
def test_messages_are_slotted_and_keyword_only(message):
    assert not hasattr(message, "__dict__")
    with pytest.raises(TypeError):
        type(message)(7)


# The codec.


@for_each(("text", "message", "has_data_set"), EXAMPLES, ids=name_of)
def test_examples(text, message, has_data_set):
    assert decode_message(bytes.fromhex(text)) == (message, has_data_set)
    assert encode_message(message, has_data_set=has_data_set).hex() == text


@for_each("command_field", MESSAGES, ids=lambda field: MESSAGES[field].name)
def test_round_trip(command_field):
    @PER_CLASS
    @given(MESSAGE_STRATEGIES[command_field])
    def check(drawn):
        message, has_data_set = drawn
        command_set = encode_message(message, has_data_set=has_data_set)
        assert decode_message(memoryview(command_set)) == (message, has_data_set)
        (length,) = struct.unpack_from("<I", command_set, 8)
        assert length == len(command_set) - 12

    check()


@given(messages)
def test_every_message_has_a_summary_of_one_line(drawn):
    summary = drawn[0].summary()
    assert summary.startswith(drawn[0].name)
    assert summary.isprintable()


@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_nothing_else(data):
    with pytest.raises(CommandSetError):
        decode_message(data)


elements = st.dictionaries(
    st.sampled_from(sorted({int(row["tag"], 16) for row in FACTS if row["tag"] != "dataset"})),
    st.sampled_from([b"", b"\1\0", b"\0\0", b"\1\1", b"\1\0\0\0", b"1.2\0", b"  ", b"\xff\xfe", b"\0" * 6]),
)


@given(st.sampled_from(sorted(MESSAGES)), elements)
def test_arbitrary_elements_raise_nothing_else(command_field, drawn):
    try:
        message, _ = decode_message(encode_command_set({**drawn, 0x0100: command_field.to_bytes(2, "little")}))
    except CommandSetError:
        return
    assert message.command_field == command_field
    assert message.summary().isprintable()


@for_each("command_set", ENCODED[:-1], ids=lambda _: "")
def test_every_truncation_is_refused(command_set):
    for length in range(len(command_set)):
        with pytest.raises(CommandSetError):
            decode_message(command_set[:length])


def test_a_truncation_that_takes_a_whole_optional_element_cannot_be_seen():
    text, message, has_data_set = EXAMPLES[-1]
    last = 2 * (8 + 60)
    shorter = attrs.evolve(message, affected_sop_instance_uid=None)
    assert decode_message(bytes.fromhex(text[:-last])) == (shorter, has_data_set)
    for length in {*range(0, len(text), 2)} - {len(text) - last}:
        with pytest.raises(CommandSetError):
            decode_message(bytes.fromhex(text[:length]))


@for_each("command_set", ENCODED, ids=lambda _: "")
def test_flipped_bits_raise_nothing_else(command_set):
    for bit in range(8 * len(command_set)):
        flipped = bytearray(command_set)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            message, _ = decode_message(flipped)
        except CommandSetError:
            continue
        assert message.summary().isprintable()


# Strict in what is sent.


@for_each(("message", "has_data_set"), MINIMAL, ids=name_of)
def test_the_data_set_rule_is_kept(message, has_data_set):
    encode_message(message, has_data_set=has_data_set)
    if message.data_set is not DataSet.OPTIONAL:
        with pytest.raises(LocalProtocolError, match=f"{message.name}: a data set follows {message.data_set.value}"):
            encode_message(message, has_data_set=not has_data_set)


@for_each(("message", "has_data_set"), MINIMAL, ids=name_of)
def test_mandatory_fields_are_sent(message, has_data_set):
    for element in message.elements:
        if element.usage == "M":
            without = attrs.evolve(message, **{element.attribute: None})
            with pytest.raises(LocalProtocolError, match=message.name):
                encode_message(without, has_data_set=has_data_set)


def test_a_request_is_built_without_message_id_and_not_sent_without():
    with pytest.raises(LocalProtocolError, match=r"C-ECHO-RQ: MessageID \(0000,0110\) is mandatory"):
        encode_message(m.CEchoRQ(), has_data_set=False)


@for_each(
    ("changes", "error"),
    [
        ({"message_id": 0x10000}, r"MessageID \(0000,0110\): 65536 is not an integer"),
        ({"priority": 3}, r"Priority \(0000,0700\): 3 is not a priority"),
        ({"affected_sop_class_uid": "CT"}, r"AffectedSOPClassUID \(0000,0002\): 'CT' is not a UID"),
        ({"affected_sop_instance_uid": ""}, r"AffectedSOPInstanceUID \(0000,1000\): it cannot be the UID of an object"),
        (
            {"move_originator_application_entity_title": "A TITLE TOO LONG!"},
            r"MoveOriginatorApplicationEntityTitle \(0000,1030\): 'A TITLE TOO LONG!' is not an AE title",
        ),
        ({"move_originator_message_id": -1}, r"MoveOriginatorMessageID \(0000,1031\): -1 is not an integer"),
    ],
)
def test_values_out_of_range_are_not_sent(changes, error):
    with pytest.raises(LocalProtocolError, match=f"^C-STORE-RQ: {error}"):
        encode_message(attrs.evolve(MINIMAL[0][0], **changes), has_data_set=True)


def test_a_long_error_comment_is_not_cut_but_refused():
    response = m.CStoreRSP(message_id_being_responded_to=7, status=0xA700, error_comment="x" * 65)
    with pytest.raises(LocalProtocolError, match="ErrorComment"):
        encode_message(response, has_data_set=False)


ALL: tuple[int, ...] = (
    0x0000,
    0x0001,
    0x0105,
    0x0106,
    0x0107,
    0x0110,
    0x0111,
    0x0112,
    0x0113,
    0x0114,
    0x0115,
    0x0116,
    0x0117,
)
ALL += (0x0119, 0x0120, 0x0121, 0x0122, 0x0123, 0x0124, 0x0210, 0xA701, 0xA900, 0xAA04, 0xB000, 0xB605)
ALL += (0xC000, 0xCFFF, 0xFE00, 0xFF00, 0xFF01, 0x7777)
WARNINGS = {0x0001, 0x0107, 0x0116, 0xB000, 0xB605}
PERFORMED = {0x0000} | WARNINGS
FINAL = set(ALL) - {0xFF00, 0xFF01}
COMPOSITE = [m.CStoreRSP, m.CFindRSP, m.CGetRSP, m.CMoveRSP]
NORMALIZED = [m.NEventReportRSP, m.NGetRSP, m.NSetRSP, m.NActionRSP, m.NCreateRSP, m.NDeleteRSP]
TAGS = (0x00080018, 0x00100010)


@for_each(
    ("cls", "field", "value", "statuses"),
    [
        *((cls, "offending_element", TAGS, set(ALL)) for cls in COMPOSITE),
        *((cls, "error_comment", "why", set(ALL)) for cls in (*COMPOSITE, *NORMALIZED, m.CEchoRSP)),
        *((cls, "number_of_remaining_suboperations", 0, {0xFE00, 0xFF00, 0xFF01}) for cls in (m.CGetRSP, m.CMoveRSP)),
        *((cls, "number_of_warning_suboperations", 0, set(ALL)) for cls in (m.CGetRSP, m.CMoveRSP)),
        *((cls, "error_id", 1, set(ALL)) for cls in NORMALIZED),
        *((cls, "attribute_identifier_list", TAGS, {0x0105, 0x0107, 0x0120}) for cls in NORMALIZED[1:3]),
        (m.NCreateRSP, "attribute_identifier_list", TAGS, {0x0105, 0x0107, 0x0120}),
        (m.NCreateRSP, "affected_sop_instance_uid", UID, PERFORMED | {0x0110, 0x0111, 0x0117}),
        (m.NEventReportRSP, "event_type_id", 1, PERFORMED | {0x0113, 0x0114, 0x0115}),
        (m.NActionRSP, "action_type_id", 1, PERFORMED | {0x0114, 0x0115, 0x0123}),
        *((cls, "affected_sop_instance_uid", UID, set(ALL)) for cls in (m.CStoreRSP, m.NDeleteRSP, m.NGetRSP)),
    ],
)
def test_a_conditional_field_goes_with_its_statuses_only(cls, field, value, statuses):
    def encodes(status):
        response = cls(message_id_being_responded_to=7, status=status, **counters(cls, status))
        setattr(response, field, value)
        try:
            encode_message(response, has_data_set=needs_data_set(cls, status))
        except LocalProtocolError:
            return False
        return True

    assert {status for status in ALL if encodes(status)} == statuses


def counters(cls, status):
    if cls not in (m.CGetRSP, m.CMoveRSP) or status not in (0xFF00, 0xFF01):
        return {}
    return {f"number_of_{kind}_suboperations": 1 for kind in ("remaining", "completed", "failed", "warning")}


def needs_data_set(cls, status):
    return (cls is m.CFindRSP and status in (0xFF00, 0xFF01)) or (cls is m.NGetRSP and status == 0x0000)


REPLY = PERFORMED | {0x0115}
OFFENDING = PERFORMED | {0x0106, 0x0121}
RETRIEVED = FINAL - {0x0000, 0x7777}


@for_each(
    ("cls", "required", "allowed"),
    [
        (m.CStoreRSP, set(), set()),
        (m.CFindRSP, {0xFF00, 0xFF01}, {0xFF00, 0xFF01}),
        (m.CGetRSP, set(), RETRIEVED),
        (m.CMoveRSP, set(), RETRIEVED),
        (m.CEchoRSP, set(), set()),
        (m.NEventReportRSP, set(), REPLY),
        (m.NGetRSP, {0x0000}, PERFORMED),
        (m.NSetRSP, set(), OFFENDING),
        (m.NActionRSP, set(), REPLY),
        (m.NCreateRSP, set(), OFFENDING),
        (m.NDeleteRSP, set(), set()),
    ],
)
def test_the_data_set_of_a_response_goes_with_its_statuses_only(cls, required, allowed):
    def encodes(status, *, has_data_set):
        response = cls(message_id_being_responded_to=7, status=status, **counters(cls, status))
        if has_data_set and cls in (m.NEventReportRSP, m.NActionRSP):
            setattr(response, "event_type_id" if cls is m.NEventReportRSP else "action_type_id", 1)
        try:
            encode_message(response, has_data_set=has_data_set)
        except LocalProtocolError:
            return False
        return True

    assert {status for status in ALL if encodes(status, has_data_set=True)} == allowed
    assert {status for status in ALL if not encodes(status, has_data_set=False)} == required


@for_each(("cls", "field"), [(m.NEventReportRSP, "event_type_id"), (m.NActionRSP, "action_type_id")])
def test_a_reply_needs_its_type(cls, field):
    response = cls(message_id_being_responded_to=7, status=0x0000)
    encode_message(response, has_data_set=False)
    with pytest.raises(LocalProtocolError, match=rf"0000H: {type_keyword(field)} .* required with a data set"):
        encode_message(response, has_data_set=True)
    setattr(response, field, 3)
    encode_message(response, has_data_set=True)


def type_keyword(field):
    return {attribute: keyword for keyword, attribute in KEYWORDS.items()}[field]


@for_each("cls", [m.CGetRSP, m.CMoveRSP])
@for_each("kind", ["remaining", "completed", "failed", "warning"])
def test_a_pending_retrieve_response_counts_everything(cls, kind):
    response = cls(message_id_being_responded_to=7, status=0xFF00, **counters(cls, 0xFF00))
    encode_message(response, has_data_set=False)
    setattr(response, f"number_of_{kind}_suboperations", None)
    with pytest.raises(LocalProtocolError, match=rf"FF00H: NumberOf{kind.title()}S.* required with Pending"):
        encode_message(response, has_data_set=False)


@for_each("status", [0xFE00, 0xB000, 0xA702])
@for_each(("failed", "data_sets"), [(None, [False, True]), (0, [False]), (2, [True])])
def test_a_final_retrieve_response_lists_what_failed(status, failed, data_sets):
    response = m.CMoveRSP(message_id_being_responded_to=7, status=status, number_of_failed_suboperations=failed)
    for has_data_set in (False, True):
        if has_data_set in data_sets:
            encode_message(response, has_data_set=has_data_set)
        else:
            with pytest.raises(LocalProtocolError, match=r"C-MOVE-RSP: \d sub-operations failed"):
                encode_message(response, has_data_set=has_data_set)


def test_a_condition_is_checked_against_a_status_that_is_none():
    response = m.CFindRSP(message_id_being_responded_to=7, status=None)
    with pytest.raises(LocalProtocolError, match="C-FIND-RSP with status None: a data set goes only with Pending"):
        encode_message(response, has_data_set=True)


# Tolerant in what is received.


@for_each(("message", "has_data_set"), MINIMAL, ids=name_of)
def test_mandatory_fields_are_received(message, has_data_set):
    for element in message.elements:
        if element.usage == "M":
            text = rf"{message.name}: {element.keyword} \(0000,{element.tag:04X}\) is mandatory, and "
            for raw, why in ((None, "absent"), (b"", "empty")):
                with pytest.raises(CommandSetError, match=text + why):
                    decode_message(with_elements(message, has_data_set, **{element.attribute: raw}))


@for_each("raw", [b"\0\0", b"  ", b"\0 \0\0"])
def test_a_mandatory_text_of_nothing_but_padding_is_empty(raw):
    for message, attribute in ((MINIMAL[0][0], "affected_sop_class_uid"), (MINIMAL[6][0], "move_destination")):
        with pytest.raises(CommandSetError, match="is mandatory, and empty"):
            decode_message(with_elements(message, True, **{attribute: raw}))


@for_each(("message", "has_data_set"), MINIMAL, ids=name_of)
def test_numbers_and_tags_of_the_wrong_length_are_refused(message, has_data_set):
    for element in message.elements:
        if element.vr.name in {"US", "AT"}:
            text = rf"{message.name}: {element.keyword} \(0000,{element.tag:04X}\): .* has 6"
            with pytest.raises(CommandSetError, match=text):
                decode_message(with_elements(message, has_data_set, **{element.attribute: b"\0" * 6}))


@for_each(
    ("raw", "shown"),
    [(None, "absent"), (b"", "empty"), (b"\x77\x77", "77 77"), (b"\1\0" * 50, "01 00 01 00 01 00 01 00$")],
)
def test_an_unknown_command_field_is_refused(raw, shown):
    with pytest.raises(CommandSetError, match=rf"CommandField \(0000,0100\) is that of no DIMSE message: {shown}"):
        decode_message(with_elements(*MINIMAL[0], command_field=raw))


@for_each("raw", [None, b"", b"\1\1\0\0"])
def test_a_command_says_whether_a_data_set_follows(raw):
    with pytest.raises(CommandSetError, match=r"C-STORE-RQ: CommandDataSetType \(0000,0800\) is mandatory"):
        decode_message(with_elements(*MINIMAL[0], command_data_set_type=raw))


@for_each(("message", "has_data_set"), MINIMAL, ids=name_of)
def test_any_data_set_type_but_one_means_a_data_set_whatever_the_message(message, has_data_set):
    for value in (0x0000, 0x0001, 0x0101, 0x0102, 0xFEFE):
        data = with_elements(message, has_data_set, command_data_set_type=value.to_bytes(2, "little"))
        assert decode_message(data) == (message, value != 0x0101)


def test_optional_fields_without_a_value_are_absent():
    data = with_elements(*MINIMAL[0], move_originator_application_entity_title=b"  ", move_originator_message_id=b"")
    assert decode_message(data) == MINIMAL[0]


def test_uids_of_any_content_are_received():
    raw = b"not a UID, and longer than 64 characters " * 2
    [message, _] = decode_message(with_elements(*MINIMAL[0], affected_sop_instance_uid=raw))
    assert message.affected_sop_instance_uid == raw.decode().rstrip()


def test_an_unknown_priority_is_a_plain_integer():
    [message, _] = decode_message(with_elements(*MINIMAL[0], priority=b"\7\0"))
    assert message.priority == 7
    assert type(decode_message(ENCODED[3])[0].priority) is Priority


def test_elements_of_other_messages_are_ignored():
    elements = decode_command_set(ENCODED[1]) | {0x0110: b"\7\0", 0x0200: b"RETIRED ", 0x1031: b"odd one "}
    assert decode_message(encode_command_set(elements)) == EXAMPLES[1][1:]


@for_each("status", [0x0000, 0x7777, 0xFF00, 0xFFFF])
def test_conditional_fields_are_received_with_any_status_or_without(status):
    data = with_elements(
        m.CMoveRSP(message_id_being_responded_to=7, status=0),
        False,
        status=status.to_bytes(2, "little"),
        number_of_remaining_suboperations=b"\3\0",
        error_comment=b"caf\xe9 " * 20,
        offending_element=b"\x10\0\x20\0",
    )
    [message, _] = decode_message(data)
    assert message == m.CMoveRSP(
        message_id_being_responded_to=7,
        status=status,
        number_of_remaining_suboperations=3,
        error_comment=("café " * 20).rstrip(),
        offending_element=(0x00100020,),
    )
