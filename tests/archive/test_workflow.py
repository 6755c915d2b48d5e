"""Worklist, performed procedure steps, storage commitment and notification of availability, over associations."""

import logging
import os
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sqlalchemy import select, update

from dicom_proto.errors import LocalProtocolError
from dicom_proto.offers.contexts import build_context
from dicom_proto.services.management.commitment import Commitments, request_commitment
from dicom_proto.services.management.mpps import begin_step
from dicom_proto.sop_class import (
    CTImageStorage,
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    MRImageStorage,
    StorageCommitmentPushModel,
)
from dicom_transports._archive.workflow import outbox
from dicom_transports._archive.workflow.tables import OUTBOX
from dicom_transports.blocking import AE, evt
from tests.archive.departments import HOST, Served, client, serving, store
from tests.archive.nodes import node
from tests.archive.objects import image

WAIT = 20.0
STEP = "1.2.826.0.1.3680043.9.9999.7.1"


def item(number: int, **values: Any) -> Dataset:
    """A worklist item."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.PatientName, made.PatientID = f"M\xfcller^Nr{number}", f"P{number}"
    made.AccessionNumber, made.RequestedProcedureID = f"A{number}", f"R{number}"
    made.StudyInstanceUID = f"1.2.{number}"
    step = Dataset()
    step.ScheduledStationAETitle, step.Modality = "CT1", "CT"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = f"2026010{number}", "0800"
    step.ScheduledProcedureStepID = f"S{number}"
    made.ScheduledProcedureStepSequence = [step]
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def save(path: Path, dataset: Dataset) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = ModalityWorklistInformationFind
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def scheduled(served: Served, **keys: str) -> list[Dataset]:
    """What a modality is told that is to be done."""
    asked, step = Dataset(), Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.PatientName = keys.pop("PatientName", "")
    asked.PatientID = asked.StudyInstanceUID = ""
    step.ScheduledProcedureStepID = step.Modality = ""
    step.ScheduledProcedureStepStartDate = keys.pop("date", "")
    asked.ScheduledProcedureStepSequence = [step]
    with client(served) as association:
        answers = list(association.send_c_find(asked, ModalityWorklistInformationFind))
    assert answers[-1][0].Status == 0x0000
    return [identifier for _, identifier in answers[:-1]]


def ids(found: list[Dataset]) -> list[str]:
    return sorted(str(one.PatientID) for one in found)


def test_the_worklist_is_that_of_a_folder_and_of_a_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "worklist"
    folder.mkdir()
    (folder / "lockfile").touch()
    first = save(folder / "one.wl", item(1))
    second = save(folder / "two.wl", item(2))
    (folder / "broken.wl").write_bytes(b"this is no item")
    save(folder / "no_step.wl", item(9, ScheduledProcedureStepSequence=[]))
    (folder / "long.wl").write_bytes(bytes(2 << 20))
    with serving(tmp_path / "a", worklist=folder) as served, caplog.at_level(logging.WARNING):
        assert ids(scheduled(served)) == ["P1", "P2"]
        served.node.worklist.add(item(3), "from the RIS")
        assert ids(scheduled(served, date="20260102-20260103")) == ["P2", "P3"]
        (found,) = scheduled(served, PatientName="M\xfcller^Nr2")
        assert found.PatientName == "M\xfcller^Nr2"
        assert found.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID == "S2"
        second.unlink()
        save(first, item(4))
        os.utime(first, ns=(1, 1))
        assert ids(scheduled(served)) == ["P3", "P4"]
        served.node.worklist.remove("from the RIS")
        served.node.worklist.remove("from the RIS")
        assert ids(scheduled(served)) == ["P4"]
        with pytest.raises(LocalProtocolError, match="one scheduled procedure step, not 0"):
            served.node.worklist.add(item(9, ScheduledProcedureStepSequence=[]), "bad")
    left_out = [record for record in caplog.records if "left out" in record.getMessage()]
    assert len(left_out) == 3  # once for each file
    assert "broken" not in caplog.text


def performed(number: int) -> Dataset:
    """A step that has begun, for a worklist item."""
    about = Dataset()
    about.StudyInstanceUID, about.ScheduledProcedureStepID = f"1.2.{number}", f"S{number}"
    made = Dataset()
    made.ScheduledStepAttributesSequence = [about]
    made.PatientName, made.PatientID = f"Name^{number}", f"P{number}"
    made.PerformedProcedureStepID, made.PerformedStationAETitle = "PPS", "CT1"
    made.PerformedProcedureStepStartDate, made.PerformedProcedureStepStartTime = "20260101", "0900"
    made.Modality = "CT"
    return made


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize(("status", "left"), [("COMPLETED", ["P2"]), ("DISCONTINUED", ["P2"])])
def test_a_step_that_ends_closes_its_item(tmp_path: Path, status: str, left: list[str]) -> None:
    folder = tmp_path / "worklist"
    folder.mkdir()
    save(folder / "one.wl", item(1))
    with serving(tmp_path / "a", worklist=folder) as served:
        served.node.worklist.add(item(2), "two")
        assert ids(scheduled(served)) == ["P1", "P2"]
        with client(served, ModalityPerformedProcedureStep) as association:
            begun = begin_step(performed(1))
            assert association.send_n_create(begun, ModalityPerformedProcedureStep, STEP)[0].Status == 0x0000
            assert association.send_n_create(begun, ModalityPerformedProcedureStep, STEP)[0].Status == 0x0111
            assert ids(scheduled(served)) == ["P1", "P2"]
            ended, series = Dataset(), Dataset()
            ended.PerformedProcedureStepStatus = status
            ended.PerformedProcedureStepEndDate, ended.PerformedProcedureStepEndTime = "20260101", "0930"
            series.SeriesInstanceUID, series.ProtocolName = "1.2.3", "HEAD"
            series.PerformingPhysicianName = series.OperatorsName = series.SeriesDescription = ""
            series.RetrieveAETitle = ""
            series.ReferencedImageSequence = series.ReferencedNonImageCompositeSOPInstanceSequence = []
            ended.PerformedSeriesSequence = [series]
            assert association.send_n_set(ended, ModalityPerformedProcedureStep, STEP)[0].Status == 0x0000
            assert association.send_n_set(ended, ModalityPerformedProcedureStep, STEP)[0].Status == 0x0110
        assert ids(scheduled(served)) == left
    with serving(tmp_path / "a", worklist=folder) as served:  # it is in the database, and the file is the same
        assert ids(scheduled(served)) == left
        save(folder / "one.wl", item(1, AccessionNumber="ANOTHER"))
        assert ids(scheduled(served)) == ["P1", "P2"]


# --- storage commitment -----------------------------------------------------------------------------------------------

HELD = ("1.2.840.10008.5.1.4.1.1.2", "1.2.1.1.1.1")
MISSING = (str(CTImageStorage), "1.2.9.9")
CONFLICT = (str(MRImageStorage), "1.2.1.1.1.1")


@pytest.fixture
def commitments() -> tuple[Commitments, "SimpleQueue[Any]"]:
    results: SimpleQueue[Any] = SimpleQueue()
    return Commitments(on_result=results.put), results


def ask(served: Served, commitments: Commitments, references: Any) -> Any:
    """Ask for commitment; return the association, which is there."""
    association = client(served, StorageCommitmentPushModel, handlers=commitments.handlers(Lock()))
    reply = association.run(request_commitment(association.peer, references, generate_uid(), commitments))
    assert reply.response.status == 0x0000
    return association


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize(("asked", "failed"), [([HELD, MISSING], 0x0112), ([CONFLICT], 0x0119)])
def test_commitment_is_reported_on_its_association(tmp_path: Path, commitments: Any, asked: Any, failed: int) -> None:
    provider, results = commitments
    with serving(tmp_path / "a") as served:
        assert store(served, image()) == [0x0000]
        association = ask(served, provider, asked)
        result = results.get(timeout=WAIT)
        association.release()
    assert list(result.failed.values()) == [failed]
    assert [place.retrieve_ae_title for place in result.committed.values()] == ["ARCHIVE"] * (len(asked) - 1)


def test_a_report_that_was_not_taken_arrives_from_another_node(
    tmp_path: Path, commitments: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider, results = commitments
    refused: SimpleQueue[None] = SimpleQueue()
    monkeypatch.setattr(outbox, "_PAUSES", (0, 0, 0, 0))

    def refuse(_event: Any) -> tuple[int, None]:
        refused.put(None)
        return 0x0110, None

    uid = generate_uid()
    provider.expect(uid, [HELD])
    with serving(tmp_path / "a") as served:
        assert store(served, image()) == [0x0000]
        with client(served, StorageCommitmentPushModel, handlers=[(evt.EVT_N_EVENT_REPORT, refuse)]) as association:
            reply = association.run(request_commitment(association.peer, [HELD], uid))
            assert reply.response.status == 0x0000
            refused.get(timeout=WAIT)
    said = [record.getMessage() for record in caplog.records if "storage commitment report" in record.getMessage()]
    assert "there is no destination 'CT1' whose address is known" in said[0]
    listening = AE("CT1")
    listening.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    with listening.start_server((HOST, 0), block=False, evt_handlers=provider.handlers(Lock())) as server:
        known = f"[destinations.CT1]\nhost = '{HOST}'\nport = {server.address[1]}\n"
        with serving(tmp_path / "a", known):
            assert results.get(timeout=WAIT).is_complete


def test_a_letter_is_tried_again_later_and_given_up_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    tried: list[int] = []

    def fail(letter: outbox.Letter) -> None:
        tried.append(letter.attempts)
        raise outbox.NotTakenError("nobody is there")

    with serving(tmp_path / "a") as served:
        engine = served.archive.engine
        box = outbox.Outbox(engine, {"report": fail}, now=lambda: now)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            box.put(connection, "report", "1.2.3", "CT1", [1])
            assert (box.waiting(connection, "CT1"), box.has(connection, "report", "1.2.3")) == (1, True)
            assert not box.has(connection, "report", "1.2.4")
        assert box.deliver_due() == 0
        box.wake("1.2.3")
        assert box.deliver_due() == 1
        now += 9
        assert box.deliver_due() == 0
        now += 1
        assert box.deliver_due() == 1
        assert tried == [1, 2]
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(update(OUTBOX).values(attempts=52))
        now += 1e6
        assert (box.deliver_due(), box.deliver_due()) == (1, 0)
        with engine.connect() as connection:
            assert connection.execute(select(OUTBOX.c.state)).scalars().all() == [2]
    said = [record.getMessage() for record in caplog.records if "report for" in record.getMessage()]
    assert "is tried again in 10 s" in said[0]
    assert "is given up after 53 attempts" in said[-1]


@pytest.mark.parametrize("io", ["trio", "asyncio"])
def test_commitment_is_reported_from_an_event_loop(tmp_path: Path, commitments: Any, io: str) -> None:
    """The associations of event loops are asked from the thread of the outbox."""
    provider, results = commitments
    options = ["--fsync", "none", "--io", io]
    with node(tmp_path, *options) as peer:
        ae = AE("CT1")
        for uid in (CTImageStorage, StorageCommitmentPushModel):
            ae.add_requested_context(uid)
        with ae.associate(HOST, peer.port, evt_handlers=provider.handlers(Lock())) as association:
            assert association.send_c_store(image()).Status == 0x0000
            association.run(request_commitment(association.peer, [HELD], generate_uid(), provider))
            assert results.get(timeout=WAIT).is_complete


def test_a_transaction_uid_is_used_once(tmp_path: Path) -> None:
    provider = Commitments(on_result=lambda _: None)
    uid = generate_uid()
    with (
        serving(tmp_path / "a") as served,
        client(served, StorageCommitmentPushModel, handlers=provider.handlers(Lock())) as association,
    ):
        for commitments, status in ((provider, 0x0000), (Commitments(), 0x0115)):
            reply = association.run(request_commitment(association.peer, [MISSING], uid, commitments))
            assert reply.response.status == status


# --- instance availability --------------------------------------------------------------------------------------------


def test_who_wants_to_know_is_told_what_has_come(tmp_path: Path) -> None:
    told: SimpleQueue[Dataset] = SimpleQueue()

    def take(event: Any) -> tuple[int, None]:
        told.put(event.attribute_list)
        return 0x0000, None

    listening = AE("RIS")
    listening.supported_contexts = [build_context(InstanceAvailabilityNotification)]
    with listening.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_CREATE, take)]) as server:
        known = f"[destinations.RIS]\nhost = '{HOST}'\nport = {server.address[1]}\nnotify = true\n"
        with serving(tmp_path / "a", known) as served:
            assert store(served, image("1.1.1"), image("1.1.2")) == [0x0000, 0x0000]
            notified = told.get(timeout=WAIT)
    assert notified.StudyInstanceUID == "1.2.1.1"
    (series,) = notified.ReferencedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == ["1.2.1.1.1.1", "1.2.1.1.1.2"]
    assert {(one.InstanceAvailability, one.RetrieveAETitle) for one in series.ReferencedSOPSequence} == {
        ("ONLINE", "ARCHIVE")
    }
