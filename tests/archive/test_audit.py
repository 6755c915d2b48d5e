"""The audit trail: what each message says, when it is on disk, and what becomes of a file that is moved away."""

import io
import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_transports._archive.audit import AuditTrail, Outcome, Study, outcome_of

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
STUDY = Study("1.2.3", "P1", "DOE^JANE")


def request(association: object = None, sop_class: str = CT) -> Any:
    return SimpleNamespace(
        assoc=association or Caller(),
        source_ae_title="CT1",
        request=SimpleNamespace(AffectedSOPClassUID=sop_class, Identifier=io.BytesIO(b"\x01\x02")),
        context=SimpleNamespace(abstract_syntax="1.2.840.10008.5.1.4.1.2.2.1", transfer_syntax="1.2.840.10008.1.2"),
    )


class Caller:
    peer_address = ("192.0.2.1", 4000)


@pytest.fixture
def trail(tmp_path: Path) -> Any:
    made = AuditTrail(tmp_path / "audit.jsonl", "ARCHIVE")
    yield made
    made.close()


def messages(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def identified(message: Any) -> tuple[str, int]:
    event = message["EventIdentification"]
    return event["EventID"]["csd-code"], event["EventOutcomeIndicator"]


def test_a_transfer_begins_and_ends(trail: AuditTrail) -> None:
    caller = Caller()
    trail.stored(request(caller), STUDY, 0x0000)
    assert [identified(one) for one in messages(trail.path)] == [("110102", 0)]
    trail.stored(request(caller), STUDY, 0xB000)
    trail.stored(request(caller), STUDY, 0xA700)
    trail.stored(request(caller, MR), STUDY, 0x0000)
    trail.ended(caller)
    trail.ended(caller)
    first, last = messages(trail.path)
    assert identified(last) == ("110104", Outcome.SERIOUS_FAILURE)
    assert [
        (one["UserID"], one["UserIsRequestor"], one["RoleIDCode"]["csd-code"]) for one in last["ActiveParticipant"]
    ] == [
        ("CT1", True, "110153"),
        ("ARCHIVE", False, "110152"),
    ]
    assert last["ActiveParticipant"][0]["NetworkAccessPointID"] == "192.0.2.1"
    study, patient = last["ParticipantObjectIdentification"]
    assert study["ParticipantObjectID"] == "1.2.3"
    assert study["ParticipantObjectDescription"]["SOPClass"] == [
        {"UID": CT, "NumberOfInstances": 2, "NumberOfFailures": 1},
        {"UID": MR, "NumberOfInstances": 1},
    ]
    assert (patient["ParticipantObjectID"], patient["ParticipantObjectName"]) == ("P1", "DOE^JANE")
    assert first["ParticipantObjectIdentification"][1] == patient
    assert first["AuditSourceIdentification"] == {"AuditSourceID": "ARCHIVE"}
    assert trail.path.stat().st_mode & 0o777 == 0o600


def test_who_sent_what_to_whom(trail: AuditTrail) -> None:
    trail.fetched(trail.fetching(request(), {STUDY: {CT: 3}}), 0xB000, "2 completed, 1 failed")
    trail.fetched(trail.fetching(request(), {STUDY: {CT: 3, MR: 1}}, destination="VIEWER"), 0x0000, "4 completed")
    written = messages(trail.path)
    assert [identified(one) for one in written] == [("110102", 0), ("110104", 4), ("110102", 0), ("110104", 0)]
    assert written[1]["EventIdentification"]["EventOutcomeDescription"] == "2 completed, 1 failed"
    roles = [[(one["UserID"], one["UserIsRequestor"]) for one in message["ActiveParticipant"]] for message in written]
    got, moved = [("ARCHIVE", False), ("CT1", True)], [("ARCHIVE", False), ("VIEWER", False), ("CT1", True)]
    assert roles == [got, got, moved, moved]
    assert written[3]["ParticipantObjectIdentification"][0]["ParticipantObjectDescription"]["SOPClass"] == [
        {"UID": CT, "NumberOfInstances": 3},
        {"UID": MR, "NumberOfInstances": 1},
    ]


def test_what_has_not_ended_is_told_at_the_end(trail: AuditTrail) -> None:
    trail.stored(request(), STUDY, 0x0000)
    trail.close()
    trail.close()
    trail.started()  # who comes too late
    assert trail.failures == 1
    assert [identified(one)[0] for one in messages(trail.path)] == ["110102", "110104"]


def test_other_messages(trail: AuditTrail) -> None:
    trail.started()
    trail.queried(request(), 0x0000)
    trail.queried(request(), 0xFE00)
    trail.refused("192.0.2.66", "NOBODY")
    trail.denied(request(), "move")
    trail.deleted(STUDY, "root")
    trail.stopped()
    written = messages(trail.path)
    assert [identified(one) for one in written] == [
        *(("110100", 0), ("110112", 0), ("110112", 4), ("110113", 8)),
        *(("110113", 8), ("110105", 0), ("110100", 0)),
    ]
    (query,) = written[1]["ParticipantObjectIdentification"]
    assert query["ParticipantObjectQuery"] == "AQI="
    assert query["ParticipantObjectDetail"] == [{"type": "TransferSyntax", "value": "1.2.840.10008.1.2"}]
    assert written[3]["ActiveParticipant"][0]["NetworkAccessPointID"] == "192.0.2.66"


def test_an_association_with_many_studies_keeps_a_few(trail: AuditTrail) -> None:
    caller = Caller()
    for number in range(65):
        trail.stored(request(caller), Study(f"1.{number}"), 0x0000)
    assert [identified(one)[0] for one in messages(trail.path)].count("110104") == 1
    trail.ended(caller)
    assert [identified(one)[0] for one in messages(trail.path)].count("110104") == 65


def test_a_file_that_is_moved_away(trail: AuditTrail) -> None:
    trail.started()
    old = trail.path.rename(trail.path.with_suffix(".1"))
    trail.started()
    trail.reopen()
    trail.stopped()
    assert (len(messages(old)), len(messages(trail.path))) == (2, 1)


def test_a_file_that_cannot_be_opened_again(trail: AuditTrail, caplog: pytest.LogCaptureFixture) -> None:
    trail.path.rename(trail.path.with_suffix(".1"))
    trail.path.mkdir()
    trail.reopen()
    trail.started()
    assert len(messages(trail.path.with_suffix(".1"))) == 1
    assert "goes on where it was" in caplog.text


def test_half_a_line_of_one_that_died_stays_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"EventIdent')
    trail = AuditTrail(path, "ARCHIVE")
    trail.started()
    trail.close()
    half, whole = path.read_text().splitlines()
    assert half == '{"EventIdent'
    assert identified(json.loads(whole)) == ("110100", 0)


def test_a_full_disk_is_told_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to(os.devnull)
    trail = AuditTrail(path, "ARCHIVE")
    path.unlink()
    path.symlink_to("/dev/full")
    trail.reopen()
    with caplog.at_level(logging.ERROR):
        trail.stored(request(), STUDY, 0x0000)
    assert trail.failures == 1
    assert "a message of the audit trail is lost" in caplog.text
    assert "DOE" not in caplog.text
    assert "1.2.3" not in caplog.text
    trail.close()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0x0000, 0), (0xB000, 4), (0xB007, 4), (0xFE00, 4), (0xA700, 8), (0xC000, 8), (0x0124, 8), (0x0001, 4)],
)
def test_what_a_status_comes_to(status: int, outcome: int) -> None:
    assert outcome_of(status) == outcome
