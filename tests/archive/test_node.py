"""A node: who may do what, what is written down of it, and what becomes of objects that there is no room for."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from dicom_transports.blocking import AE, AssociationRejected, UserIdentityNegotiation, evt
from tests.archive.departments import HOST, client, keeping, serving, store
from tests.archive.objects import image, query

FIND, GET, MOVE = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
RULES = """
[[access]]
calling = ["CT1"]
services = ["write", "find"]

[[access]]
calling = ["VIEWER"]
networks = ["127.0.0.0/8", "::1"]
services = ["read"]

[[access]]
calling = ["FAR"]
networks = ["192.0.2.0/24"]
"""


def statuses(answers: Any) -> list[int]:
    return [status.Status for status, _ in answers]


@pytest.mark.usefixtures("adapter")
def test_everybody_does_what_they_may(tmp_path: Path) -> None:
    with serving(tmp_path / "a", RULES) as served:
        assert store(served, image()) == [0x0000]
        assert store(served, image(), ae_title="VIEWER") == [0x0124]
        wanted = query("STUDY", StudyInstanceUID="1.2.1.1")
        got: list[Dataset] = []
        with client(served, handlers=[keeping(got)]) as association:
            assert association.send_c_echo().Status == 0x0000
            assert statuses(association.send_c_find(wanted, FIND)) == [0xFF00, 0x0000]
            assert statuses(association.send_c_get(wanted, GET)) == [0x0124]
            assert statuses(association.send_c_move(wanted, "VIEWER", MOVE)) == [0x0124]
        with client(served, ae_title="VIEWER", handlers=[keeping(got)]) as association:
            assert statuses(association.send_c_find(wanted, FIND))[-1] == 0x0000
            assert statuses(association.send_c_get(wanted, GET))[-1] == 0x0000
        assert [one.SOPInstanceUID for one in got] == ["1.2.1.1.1.1"]


@pytest.mark.parametrize(("title", "reason"), [("NOBODY", 3), ("FAR", 1)])
def test_who_is_unknown_is_rejected(tmp_path: Path, title: str, reason: int) -> None:
    audit = tmp_path / "audit.jsonl"
    with serving(tmp_path / "a", RULES, audit=audit) as served:
        with pytest.raises(AssociationRejected) as caught, client(served, ae_title=title):
            pass
        assert caught.value.reason == reason
    written = [json.loads(line) for line in audit.read_text().splitlines()]
    (alert,) = [one for one in written if one["EventIdentification"]["EventID"]["csd-code"] == "110113"]
    assert alert["ActiveParticipant"][0]["UserID"] == title


def test_rules_are_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path / "a", RULES) as served:
        file = tmp_path / "a" / "archive.toml"
        file.write_text('[[access]]\ncalling = ["NEW"]\n[destinations.V]\nhost = "h"\nport = 1\n')
        served.node.reload()
        assert store(served, image(), ae_title="NEW") == [0x0000]
        with pytest.raises(AssociationRejected), client(served, ae_title="CT1"):
            pass
        assert served.archive.destinations["V"][:2] == ("h", 1)
        file.write_text("[[access]]\ncaling = 'X'")
        with caplog.at_level(logging.ERROR):
            served.node.reload()
        assert "access[1].caling: there is no such key: do you mean calling?" in caplog.text
        assert store(served, image(), ae_title="NEW") == [0x0000]


def test_limits_of_the_file_are_those_of_the_server(tmp_path: Path) -> None:
    rules = "require_called = true\n[[access]]\ncalling = ['CT1']\nmaximum_associations = 1\n"
    with serving(tmp_path / "a", rules) as served, client(served):
        with pytest.raises(AssociationRejected) as caught, client(served):
            pass
        assert caught.value.reason == 2  # local limit exceeded
        other = AE("CT2")
        other.add_requested_context(Verification)
        with pytest.raises(AssociationRejected) as caught, other.associate(HOST, served.port, ae_title="OTHER"):
            pass
        assert caught.value.reason == 7  # called AE title not recognized


@pytest.mark.usefixtures("adapter")
def test_what_is_written_down(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    got: list[Dataset] = []
    with serving(tmp_path / "a", audit=audit) as served:
        assert store(served, image("1.1.1"), image("1.1.2"), image("2.1.1")) == [0, 0, 0]
        with client(served, ae_title="VIEWER", handlers=[keeping(got)]) as association:
            list(association.send_c_find(query("STUDY", PatientID="P1"), FIND))
            list(association.send_c_get(query("STUDY", StudyInstanceUID="1.2.1.1"), GET))
            list(association.send_c_move(query("STUDY", StudyInstanceUID="1.2.1.1"), "NOWHERE", MOVE))
    written = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [(one["EventIdentification"]["EventID"]["csd-code"], one) for one in written]
    codes = [code for code, _ in told]
    assert codes[0] == codes[-1] == "110100"  # started, and stopped
    assert Counter(codes) == {"110100": 2, "110102": 3, "110104": 3, "110112": 1}  # two studies stored, one fetched
    transferred = [one for code, one in told if code == "110104"]
    (first,) = [
        one["ParticipantObjectIdentification"]
        for one in transferred
        if one["EventIdentification"]["EventActionCode"] == "C"
        and one["ParticipantObjectIdentification"][0]["ParticipantObjectID"] == "1.2.1.1"
    ]
    assert first[0]["ParticipantObjectDescription"]["SOPClass"][0]["NumberOfInstances"] == 2
    assert (first[1]["ParticipantObjectID"], first[1]["ParticipantObjectName"]) == ("P1", "Name1^First")
    (fetched,) = [one for one in transferred if one["EventIdentification"]["EventActionCode"] == "R"]
    assert fetched["EventIdentification"]["EventOutcomeDescription"] == "2 completed, 0 failed, 0 warning"
    assert [one["UserID"] for one in fetched["ActiveParticipant"]] == ["ARCHIVE", "VIEWER"]
    assert fetched["ParticipantObjectIdentification"][1]["ParticipantObjectID"] == "P1"
    assert len(got) == 2


@pytest.mark.parametrize(
    ("setting", "words"),
    [("maximum_bytes = 1", "bytes are kept, of 1"), (f"minimum_free_bytes = {1 << 59}", "bytes of the disk are free")],
)
def test_without_room_objects_are_refused_and_nothing_is_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, setting: str, words: str
) -> None:
    with serving(tmp_path / "a") as served:
        assert store(served, image("1.1.1")) == [0x0000]
        file = tmp_path / "a" / "archive.toml"
        file.write_text(setting)
        served.node.reload()
        with caplog.at_level(logging.WARNING):
            assert store(served, image("1.1.2"), image("1.1.3")) == [0xA700, 0xA700]
            file.write_text("")
            served.node.reload()
            assert store(served, image("1.1.4")) == [0x0000]
        said = [record.getMessage() for record in caplog.records if "room" in record.getMessage()]
        assert len(said) == 2
        assert words in said[0]
        assert served.archive.verify() == []
        keys = query("IMAGE", StudyInstanceUID="1.2.1.1", SeriesInstanceUID="1.2.1.1.1", SOPInstanceUID=None)
        with client(served) as association:
            found = list(association.send_c_find(keys, FIND))
        assert [one.SOPInstanceUID for _, one in found if one] == ["1.2.1.1.1.1", "1.2.1.1.1.4"]


def test_user_identities_are_decided_by_a_function(tmp_path: Path) -> None:
    check = 'check = "tests.archive.test_settings:check_identity"'
    rule = "[[access]]\ncalling = ['CT1']\nuser_identity = true\n[[access]]\ncalling = ['CT2']"
    with serving(tmp_path / "a", f"[user_identity]\n{check}\nrequired = false\n{rule}") as served:
        for title, name, is_taken in (
            *(("CT1", b"alice", True), ("CT1", b"mallory", False), ("CT1", None, False)),
            *(("CT2", b"mallory", False), ("CT2", None, True)),
        ):
            ae = AE(title)
            ae.add_requested_context(Verification)
            identity = UserIdentityNegotiation()
            identity.user_identity_type, identity.primary_field = 1, name or b"-"
            items = [identity] if name else []
            association = ae.associate(HOST, served.port, ae_title="ARCHIVE", ext_neg=items)
            assert association.is_established is is_taken, (title, name)
            association.release()


def test_objects_are_sent_where_the_settings_say(tmp_path: Path) -> None:
    called: list[str] = []
    got: list[Dataset] = []

    def accept(event: Any) -> bool:
        called.append(event.called_ae_title.strip())
        return True

    listening = AE("VIEWER_IN")
    listening.add_supported_context(CTImageStorage)
    handlers: list[Any] = [keeping(got), (evt.EVT_ACCESS, accept)]
    with listening.start_server((HOST, 0), block=False, evt_handlers=handlers) as server:
        viewer = f"[destinations.VIEWER]\nhost = '{HOST}'\nport = {server.address[1]}\nae_title = 'VIEWER_IN'\n"
        with serving(tmp_path / "a", f"{viewer}contexts = [{{sop_class = 'CTImageStorage'}}]") as served:
            assert store(served, image("1.1.1"), image("1.1.2")) == [0, 0]
            with client(served) as association:
                answers = association.send_c_move(query("STUDY", StudyInstanceUID="1.2.1.1"), "VIEWER", MOVE)
                assert statuses(answers)[-1] == 0x0000
    assert set(called) == {"VIEWER_IN"}
    assert len(got) == 2
