import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.command_set import US
from dicom_proto.dimse.declaration import (
    CANCEL,
    FAILURE,
    PENDING,
    PERFORMED,
    PRIORITY,
    SUCCESS,
    WARNING,
    Condition,
    Element,
    Priority,
    codes,
    span,
)
from dicom_proto.errors import CommandSetError, LocalProtocolError
from tests.proto.rows import for_each


@for_each(
    ("statuses", "inside", "outside"),
    [
        (SUCCESS, [0x0000], [0x0001, 0xFF00]),
        (WARNING, [0x0001, 0x0107, 0x0116, 0xB000, 0xBFFF], [0x0000, 0x0106, 0xC000]),
        (FAILURE, [0x0106, 0x0110, 0x0213, 0xA700, 0xC000, 0xCFFF], [0x0107, 0x0116, 0xB000, 0xD000]),
        (CANCEL, [0xFE00], [0xFF00]),
        (PENDING, [0xFF00, 0xFF01], [0xFE00, 0xFF02]),
        (PERFORMED, [0x0000, 0x0107, 0xB006], [0x0110, 0xFF00]),
        (codes(0x0105, 0x0120), [0x0105, 0x0120], [0x0106, 0x011F]),
        (span(0xA900, 0xA9FF) | CANCEL, [0xA900, 0xA9FF, 0xFE00], [0xA8FF, 0xAA00]),
    ],
)
def test_sets_of_statuses(statuses, inside, outside):
    assert all(status in statuses for status in inside)
    assert not any(status in statuses for status in [*outside, None, "0", 1.5])


def test_sets_of_statuses_can_say_their_name():
    assert (WARNING | codes(0x0001, 0xAA04) | span(0xC000, 0xCFFF)).name == "Warning, 0001H, AA04H, C000H to CFFFH"


CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STORE = m.CStoreRQ(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
STATUSES = (0x0000, 0xFE00, 0xFF00)


@for_each(
    ("condition", "text", "present_with", "absent_with", "absent_with_data_set"),
    [
        (Condition(), "with any status", STATUSES, STATUSES, STATUSES),
        (Condition(only_with=CANCEL), "only with Cancel", (0xFE00,), STATUSES, STATUSES),
        (Condition(required_with=PENDING), "required with Pending", STATUSES, STATUSES[:2], STATUSES[:2]),
        (Condition(required_with_data_set=True), "required with a data set", STATUSES, STATUSES, ()),
        (
            Condition(only_with=PENDING | CANCEL, required_with=PENDING, required_with_data_set=True),
            "only with Pending, Cancel; required with Pending; required with a data set",
            STATUSES[1:],
            STATUSES[:2],
            (),
        ),
    ],
)
def test_conditions(condition, text, present_with, absent_with, absent_with_data_set):
    def allowed(present, has_data_set):
        return tuple(s for s in STATUSES if condition.allows(present, status=s, has_data_set=has_data_set))

    assert str(condition) == text
    assert allowed(True, False) == allowed(True, True) == present_with
    assert allowed(False, False) == absent_with
    assert allowed(False, True) == absent_with_data_set


def test_an_element_knows_its_keyword():
    element = Element(attribute="message_id_being_responded_to", tag=0x0120, vr=US, usage="M")
    assert element.keyword == "MessageIDBeingRespondedTo"
    assert str(element) == "MessageIDBeingRespondedTo (0000,0120)"


def test_priorities():
    assert [PRIORITY.encode(value) for value in (Priority.LOW, 1, 0)] == [b"\2\0", b"\1\0", b"\0\0"]
    assert PRIORITY.decode(b"\2\0") is Priority.LOW
    assert PRIORITY.decode(b"\3\0") == 3
    for value in (3, -1, "LOW", None, 1.0, []):
        with pytest.raises(LocalProtocolError, match="not a priority"):
            PRIORITY.encode(value)
    with pytest.raises(CommandSetError):
        PRIORITY.decode(b"\2\0\0\0")


def test_messages_are_described_by_their_class():
    assert (m.NGetRSP.name, m.NGetRSP.command_field) == ("N-GET-RSP", 0x8110)
    assert m.NGetRSP.__doc__.splitlines()[0].startswith("N-GET-RSP")
    assert (
        "Command Field 8110H. Data set: optional, only with Success, Warning; required with Success."
        in m.NGetRSP.__doc__
    )
    assert "\nerror_id : US\n    (0000,0903), conditional, with any status.\n" in m.NGetRSP.__doc__
    assert [element.tag for element in m.NGetRSP.elements] == [0x0002, 0x0120, 0x0900, 0x0902, 0x0903, 0x1000, 0x1005]


@for_each(
    ("message", "has_data_set", "error"),
    [
        (STORE, True, None),
        (STORE, False, "C-STORE-RQ: a data set follows always"),
        (m.CEchoRQ(), False, None),
        (m.CEchoRQ(), True, "C-ECHO-RQ: a data set follows never"),
        (m.CEchoRSP(message_id_being_responded_to=7, status=0), False, None),
        (m.CFindRSP(message_id_being_responded_to=7, status=0xFF00), True, None),
        (
            m.CFindRSP(message_id_being_responded_to=7, status=0xFF00),
            False,
            "C-FIND-RSP with status FF00H: a data set goes only with Pending; required with Pending",
        ),
        (
            m.CGetRSP(message_id_being_responded_to=7, status=0xA700, number_of_remaining_suboperations=1),
            False,
            r"C-GET-RSP with status A700H: NumberOfRemainingSuboperations \(0000,1020\) goes only with Pending.*",
        ),
    ],
)
def test_the_rules_about_more_than_one_value(message, has_data_set, error):
    if error is None:
        message.check(has_data_set=has_data_set)
    else:
        with pytest.raises(LocalProtocolError, match=f"^{error}$"):
            message.check(has_data_set=has_data_set)


@for_each(
    ("message", "summary"),
    [
        (STORE, f"C-STORE-RQ id=7 class='{CT}'"),
        (m.CEchoRQ(), "C-ECHO-RQ class='1.2.840.10008.1.1'"),
        (
            m.CMoveRQ(message_id=1, affected_sop_class_uid=FIND, move_destination="DEST"),
            f"C-MOVE-RQ id=1 class='{FIND}' destination='DEST'",
        ),
        (
            m.NActionRQ(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2.3", action_type_id=2),
            f"N-ACTION-RQ id=1 class='{CT}' action=2",
        ),
        (
            m.NEventReportRSP(message_id_being_responded_to=9, status=0x0113, event_type_id=5),
            "N-EVENT-REPORT-RSP to=9 status=0113H event=5",
        ),
        (m.CCancelRQ(message_id_being_responded_to=9), "C-CANCEL-RQ to=9"),
        (
            m.CStoreRSP(message_id_being_responded_to=9, status=0xA700, error_comment="a\n\x1b[31mb"),
            "C-STORE-RSP to=9 status=A700H",  # a comment may name a patient
        ),
        (m.CStoreRSP(message_id_being_responded_to=9, status="what"), "C-STORE-RSP to=9 status='what'"),  # type: ignore[arg-type]
    ],
)
def test_summary(message, summary):
    assert message.summary() == summary


def test_a_summary_is_short_whatever_the_peer_sent():
    message = m.CStoreRSP(message_id_being_responded_to=9, status=0, affected_sop_class_uid="\n" * 60_000)
    assert len(message.summary()) < 130
