"""Command sets that break the letter of the standard (PS3.7 6.3), and can be understood all the same."""

from typing import Any

import pytest

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.codec import decode_message, decode_odd_message
from dicom_proto.errors import CommandSetError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.testing.pair import CT, STUDY_FIND
from tests.proto.dimse.pairs import (
    FAILED,
    changed,
    echo,
    find,
    respond,
    store,
)

UID = "1.2.3.4"
ACTION = m.NActionRQ(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid=UID, action_type_id=1)
REPORT = m.NEventReportRQ(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid=UID, event_type_id=1)
N_SET = m.NSetRQ(message_id=7, requested_sop_class_uid=CT, requested_sop_instance_uid=UID)
MOVE = m.CMoveRQ(message_id=7, affected_sop_class_uid=STUDY_FIND, move_destination="DEST")


def decoded(command: bytes, tolerance: Tolerance = DEFAULT_TOLERANCE) -> Any:
    with pytest.raises(CommandSetError) as raised:
        decode_message(command)
    return decode_odd_message(command, raised.value, tolerance, CT)


def test_a_context_whose_abstract_syntax_is_not_known_names_no_sop_class() -> None:
    command = m.encode_message(echo(7), has_data_set=False).replace(b"1.2.840.10008.1.1\0", b"\0" * 18)
    with pytest.raises(CommandSetError) as raised:
        decode_message(command)
    odd = decode_odd_message(command, raised.value, DEFAULT_TOLERANCE, "")
    assert odd.is_refused
    assert odd.message == m.CEchoRQ(message_id=7, affected_sop_class_uid=None)  # type: ignore[arg-type]


def kinds(odd: Any) -> list[str]:
    return [kind for kind, _ in odd.habits]


def test_elements_of_other_groups_are_kept_aside() -> None:
    command = m.encode_message(respond(find(), 7, 0xC000), has_data_set=False) + FAILED
    odd = decoded(command)
    assert odd.message == respond(find(), 7, 0xC000)
    assert odd.aside == {0x00080058: b"1.2.3.4\0"}  # without the group length
    assert odd.habits == (("foreign_elements", "C-FIND-RSP with (0008,0000), (0008,0058) in its command set"),)
    with pytest.raises(CommandSetError, match="is not a command element"):
        decoded(command, Tolerance(foreign_elements=False))
    with pytest.raises(CommandSetError):
        decoded(command[:-1])
    with pytest.raises(CommandSetError):
        decoded(command[:-9])


def test_of_elements_of_other_groups_the_first_counts() -> None:
    command = m.encode_message(echo(7), has_data_set=False) + FAILED + FAILED[12:].replace(b"4", b"5")
    assert decoded(command).aside == {0x00080058: b"1.2.3.4\0"}


def test_an_element_that_comes_twice_means_two_things() -> None:
    command = m.encode_message(echo(7), has_data_set=False)
    with pytest.raises(CommandSetError, match="twice"):
        decoded(command + command[12:])


@pytest.mark.parametrize(
    ("message", "changes", "expected", "detail"),
    [
        (store(7), {0x0700: None}, store(7), "C-STORE-RQ: no Priority (0000,0700)"),
        (store(7), {0x0700: b"\1"}, store(7), "C-STORE-RQ: Priority (0000,0700) of 1 bytes; no Priority (0000,0700)"),
        (find(7), {0x0700: b""}, find(7), "C-FIND-RQ: no Priority (0000,0700)"),
        (store(7), {0x0002: None}, store(7), "C-STORE-RQ: no AffectedSOPClassUID (0000,0002)"),
        (
            store(7),
            {0x0800: None},
            store(7),
            "C-STORE-RQ: CommandDataSetType (0000,0800) is absent or not of 2 bytes",
        ),
        (
            m.CMoveRSP(message_id_being_responded_to=7, status=0, number_of_completed_suboperations=3),
            {0x1021: b"\3\0\0\0"},
            m.CMoveRSP(message_id_being_responded_to=7, status=0, number_of_completed_suboperations=3),
            "C-MOVE-RSP: NumberOfCompletedSuboperations (0000,1021) of 4 bytes",
        ),
        (
            m.CMoveRSP(message_id_being_responded_to=7, status=0, number_of_completed_suboperations=3),
            {0x1021: b"\3"},
            m.CMoveRSP(message_id_being_responded_to=7, status=0),
            "C-MOVE-RSP: NumberOfCompletedSuboperations (0000,1021) of 1 bytes",
        ),
        (
            m.CFindRSP(message_id_being_responded_to=7, status=0xA900, offending_element=(0x00080052,)),
            {0x0901: bytes.fromhex("0800 5200 0000")},
            m.CFindRSP(message_id_being_responded_to=7, status=0xA900, offending_element=(0x00080052,)),
            "C-FIND-RSP: OffendingElement (0000,0901) of 6 bytes",
        ),
        (
            respond(store(), 7),
            {0x1000: b"1.2.3"},
            respond(store(), 7, affected_sop_instance_uid="1.2.3"),
            "C-STORE-RSP: AffectedSOPInstanceUID (0000,1000) of 5 bytes",
        ),
    ],
)
def test_it_can_be_told_what_is_meant(
    message: m.Message, changes: dict[int, bytes | None], expected: m.Message, detail: str
) -> None:
    has_data_set = message.data_set is m.DataSet.ALWAYS
    command = changed(message, changes, has_data_set=has_data_set)
    odd = decoded(command)
    assert (odd.message, odd.has_data_set, odd.is_refused) == (expected, has_data_set, False)
    assert odd.habits == (("ill_formed_fields", detail),)
    with pytest.raises(CommandSetError):
        decoded(command, Tolerance(ill_formed_fields=False))


@pytest.mark.parametrize(
    ("message", "tag"),
    [
        (store(7), 0x1000),
        (MOVE, 0x0600),
        (ACTION, 0x0003),
        (ACTION, 0x1001),
        (ACTION, 0x1008),
        (N_SET, 0x0003),
        (N_SET, 0x1001),
        (REPORT, 0x0002),
        (REPORT, 0x1000),
        (REPORT, 0x1002),
    ],
)
def test_a_request_that_cannot_be_performed_can_be_answered(message: m.Message, tag: int) -> None:
    odd = decoded(changed(message, {tag: None}, has_data_set=message.data_set is m.DataSet.ALWAYS))
    assert odd.is_refused
    assert odd.message.message_id == 7
    assert kinds(odd) == ["ill_formed_fields"]


@pytest.mark.parametrize(
    ("message", "tag"),
    [
        (store(7), 0x0110),
        (respond(store(), 7), 0x0120),
        (respond(store(), 7), 0x0900),
        (store(7), 0x0100),
        (m.CCancelRQ(message_id_being_responded_to=7), 0x0120),
        (ACTION, 0x0800),  # it may have a data set, or not
    ],
)
def test_nobody_could_be_answered(message: m.Message, tag: int) -> None:
    with pytest.raises(CommandSetError):
        decoded(changed(message, {tag: None}, has_data_set=message.data_set is m.DataSet.ALWAYS))
