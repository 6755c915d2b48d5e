"""The numbers of an application entity: of associations that are there, and of those that have been."""

import json

from dicom_proto.application.counters import Operation, Tally, operations_as_dicts, operations_of
from dicom_proto.dimse.messages import CEchoRQ, CStoreRQ
from dicom_proto.dimse.operations import OTHER_STATUS
from dicom_proto.upper_layer.pdu import AAssociateRJ
from dicom_proto.upper_layer.policy import CALLED_AE_TITLE_NOT_RECOGNIZED, LOCAL_LIMIT_EXCEEDED
from tests.proto.application.lives import Couple


def established() -> Couple:
    return Couple().establish().settle()


def test_nothing_has_happened() -> None:
    counters = Tally().counters()
    assert (counters.open, counters.accepted, counters.requested, counters.seconds) == (0, 0, 0, 0.0)
    for empty in (counters.operations, counters.rejected, counters.refused, counters.ended, counters.tolerated):
        assert not empty


def test_both_sides_of_an_association() -> None:
    couple = established()
    here, there = couple.scu.entity.counters, couple.scp.entity.counters
    assert (here.open, here.accepted, here.requested) == (1, 0, 1)
    assert (there.open, there.accepted, there.requested) == (1, 1, 0)
    assert here.bytes_sent == there.bytes_received > 0
    assert here.bytes_received == there.bytes_sent > 0


def test_what_is_asked_for_is_counted_at_once_and_kept() -> None:
    couple = established()
    couple.scu.send_c_echo()
    operations = {Operation("SCU", "C-ECHO", "0000"): 1}, {Operation("SCP", "C-ECHO", "0000"): 1}
    entities = couple.scu.entity, couple.scp.entity
    assert tuple(entity.counters.operations for entity in entities) == operations
    couple.scu.release()
    couple.wait()
    assert tuple(entity.counters.operations for entity in entities) == operations
    assert [entity.counters.ended for entity in entities] == [{"released": 1}] * 2
    assert [entity.counters.open for entity in entities] == [0, 0]
    assert entities[0].counters.bytes_sent == entities[1].counters.bytes_received


def test_operations_that_were_not_answered_and_those_beyond_counting() -> None:
    couple = established()
    connection = couple.scp.peer.connection
    connection.answers_sent.update({(CStoreRQ, 0xA700): 2, (CStoreRQ, None): 1, (CStoreRQ, OTHER_STATUS): 5})
    connection.answers_received.update({(CEchoRQ, 0): 3})
    operations = operations_of(couple.scp)
    assert operations == {
        Operation("SCU", "C-ECHO", "0000"): 3,
        Operation("SCP", "C-STORE", "A700"): 2,
        Operation("SCP", "C-STORE", "unanswered"): 1,
        Operation("SCP", "C-STORE", "other"): 5,
    }
    assert operations_as_dicts(operations)[0] == {"role": "SCP", "operation": "C-STORE", "status": "A700", "count": 2}


def test_seconds_and_what_is_tolerated() -> None:
    couple = established()
    couple.scp.peer.connection.tolerated["padded_uids"] = 2
    couple.network.now += 5
    couple.scu.send_c_echo()
    counters = couple.scp.entity.counters
    assert counters.seconds == 5
    assert counters.tolerated == {"padded_uids": 2}
    couple.scu.abort()
    couple.wait()
    counters = couple.scp.entity.counters
    assert (counters.seconds, counters.tolerated) == (5, {"padded_uids": 2})
    assert counters.ended == {"aborted": 1}


def test_rejections() -> None:
    couple = Couple(reception=CALLED_AE_TITLE_NOT_RECOGNIZED).establish().wait()
    reason = "called AE title not recognized"
    assert couple.scp.entity.counters.rejected == {(reason, "the reception of this side"): 1}
    assert couple.scu.entity.counters.refused == {reason: 1}
    assert couple.scp.entity.counters.accepted == couple.scu.entity.counters.requested == 0
    assert couple.scp.entity.counters.bytes_sent == 10


def test_reasons_that_nobody_knows_are_one() -> None:
    tally = Tally()
    for rejection in (AAssociateRJ(1, 9, 1), AAssociateRJ(1, 1, 99), LOCAL_LIMIT_EXCEEDED):
        tally.note_refused(rejection)
    assert tally.counters().refused == {"unknown reason": 2, "local limit exceeded": 1}


def test_as_plain_values() -> None:
    couple = Couple(reception=CALLED_AE_TITLE_NOT_RECOGNIZED).establish().wait()
    plain = json.loads(json.dumps(couple.scp.entity.counters.as_dict()))
    assert plain["rejected"] == [
        {"reason": "called AE title not recognized", "decided_by": "the reception of this side", "count": 1}
    ]
    assert plain["open"] == 0
    assert set(plain) == {field.name for field in couple.scp.entity.counters.__attrs_attrs__}


def test_every_change_and_look_is_guarded() -> None:
    entered: list[str] = []

    class Guard:
        def __enter__(self) -> None:
            entered.append("in")

        def __exit__(self, *exception: object) -> None:
            entered.append("out")

    tally = Tally()
    tally.guard = Guard()
    couple = established()
    tally.enter(couple.scu)
    tally.note_established(is_requestor=True)
    tally.note_end("released")
    tally.note_rejected(LOCAL_LIMIT_EXCEEDED, "AE.maximum_associations")
    tally.counters()
    tally.leave(couple.scu)
    tally.leave(couple.scu)
    assert entered == ["in", "out"] * 7
