"""Orthanc on the other end of our AE: queries, retrieval, worklist and storage commitment."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_proto.sop_class import (
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from dicom_transports.blocking import build_role, evt
from tests.interop import peers
from tests.interop.archive import (
    FILES,
    MODELS,
    ONE,
    ROLES,
    Archive,
    directories,
    keep_in,
    query,
    requestor,
    send_files,
)
from tests.interop.images import contents, images, path_of, stored_in
from tests.interop.storage import Happened

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
ORIGINAL = contents(images(*FILES))
FIND, GET, MOVE = MODELS["-S"]
WORKLISTS = Path("/usr/share/orthanc/plugins/libModalityWorklists.so")


class Rest:
    """The HTTP interface of an Orthanc."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def __call__(self, path: str, body: Any = None) -> Any:
        """GET, or POST if there is a body; return the JSON that comes back."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self._base + path, data), timeout=peers.RUN_SECONDS) as got:
            return json.loads(got.read() or b"null")


@contextmanager
def orthanc(directory: Path, sut: int, settings: dict[str, Any] | None = None) -> Iterator[tuple[peers.Peer, Rest]]:
    http = peers.free_port()
    modality = {"sut": ("ARCHIVE", sut)}
    with peers.orthanc(directory, modalities=modality, http_port=http, settings=settings) as peer:
        yield peer, Rest(http)


@exchange("Orthanc", "C-ECHO C-STORE C-FIND C-GET C-MOVE", ours="SCU")
def test_orthanc_as_scp(tmp_path: Path) -> None:
    theirs, got, moved = directories(tmp_path, "theirs", "got", "moved")
    archive = Archive(moved)
    with archive.start() as server, orthanc(theirs, server.address[1]) as (peer, _):
        ae = requestor(FIND, GET, MOVE)
        with ae.associate(*peer.address, ae_title="ORTHANC", ext_neg=ROLES, evt_handlers=[keep_in(got)]) as association:
            assert association.send_c_echo().Status == 0x0000
            send_files(association)
            results = list(association.send_c_find(query("STUDY", StudyInstanceUID="", PatientID=""), FIND))
            assert [status.Status for status, _ in results] == [0xFF00] * 3 + [0x0000]
            for _, identifier in results[:3]:
                assert identifier is not None
                wanted = query("STUDY", StudyInstanceUID=identifier.StudyInstanceUID)
                *_, (status, _) = association.send_c_get(wanted, GET)
                assert status.Status == 0x0000
                *_, (status, _) = association.send_c_move(wanted, "ARCHIVE", MOVE)
                assert status.Status == 0x0000
    assert stored_in(got).keys() == stored_in(moved).keys() == ORIGINAL.keys()


@exchange("Orthanc", "C-ECHO C-STORE C-FIND C-MOVE", ours="SCP")
def test_orthanc_as_scu(tmp_path: Path) -> None:
    theirs, ours = directories(tmp_path, "theirs", "ours")
    archive = Archive(ours)
    with archive.start() as server, orthanc(theirs, server.address[1]) as (peer, rest):
        archive.destinations["ORTHANC"] = peer.address
        assert rest("/modalities/sut/echo", {}) == {}
        found = rest("/modalities/sut/query", {"Level": "Study", "Query": {"PatientID": "0212*"}})
        answers = rest(f"/queries/{found['ID']}/answers")
        assert len(answers) == 1
        rest(f"/queries/{found['ID']}/retrieve", b"ORTHANC")
        (instance,) = rest("/instances")
        rest("/modalities/sut/store", instance.encode())
    study = dcmread(path_of(ONE), stop_before_pixels=True)
    assert stored_in(ours).keys() == {study.SOPInstanceUID}


@exchange("Orthanc", "MWL", ours="SCU")
def test_orthanc_worklist(tmp_path: Path) -> None:
    if not WORKLISTS.exists():
        peers.missing("Orthanc's worklist plugin")
    theirs, items = directories(tmp_path, "theirs", "items")
    dump = tmp_path / "one.dump"
    dump.write_text(
        "(0010,0010) PN [Worklist^Patient]\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS [MR]\n"
        "(fffe,e00d) -\n(fffe,e0dd) -\n"
    )
    peers.run("dump2dcm", "-g", dump, items / "one.wl").check()
    settings = {"Plugins": [str(WORKLISTS)], "Worklists": {"Enable": True, "Database": str(items)}}
    with orthanc(theirs, peers.free_port(), settings) as (peer, _):
        step = Dataset()
        step.Modality = "MR"
        wanted = Dataset()
        wanted.PatientName = ""
        wanted.ScheduledProcedureStepSequence = [step]
        ae = requestor(ModalityWorklistInformationFind, storage=False)
        with ae.associate(*peer.address, ae_title="ORTHANC") as association:
            results = list(association.send_c_find(wanted, ModalityWorklistInformationFind))
    assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
    assert results[0][1] is not None
    assert results[0][1].PatientName == "Worklist^Patient"


@exchange("Orthanc", "MWL", ours="SCP")
def test_orthanc_asks_for_a_worklist(tmp_path: Path) -> None:
    theirs, ours = directories(tmp_path, "theirs", "ours")

    def find(event: Any) -> Iterator[Any]:
        (step,) = event.identifier.ScheduledProcedureStepSequence
        assert step.Modality == "MR"
        answer = Dataset()
        answer.PatientName = "Worklist^Patient"
        yield 0xFF00, answer

    with Archive(ours).start() as server, orthanc(theirs, server.address[1]) as (_, rest):
        server.bind(evt.EVT_C_FIND, find)
        wanted = {"PatientName": "", "ScheduledProcedureStepSequence": [{"Modality": "MR"}]}
        (found,) = rest("/modalities/sut/find-worklist", wanted)
    # in the character set of the request (Orthanc's DefaultEncoding)
    assert found == {"PatientName": "Worklist^Patient", "SpecificCharacterSet": "ISO_IR 100"}


def references(dataset: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = dataset.SOPClassUID
    item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    return item


@exchange("Orthanc", "Storage-Commitment", ours="SCU")
def test_orthanc_commits(tmp_path: Path) -> None:
    """The report comes on an association of Orthanc's own."""
    theirs, ours = directories(tmp_path, "theirs", "ours")
    archive = Archive(ours)
    archive.ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    happened = Happened()

    def report(event: Any) -> tuple[int, None]:
        return happened(event), None

    with archive.start() as server, orthanc(theirs, server.address[1]) as (peer, _):
        server.bind(evt.EVT_N_EVENT_REPORT, report)
        ae = requestor(StorageCommitmentPushModel, ae_title="ARCHIVE")
        with ae.associate(*peer.address, ae_title="ORTHANC") as association:
            send_files(association)
            request = Dataset()
            request.TransactionUID = generate_uid()
            kept = dcmread(path_of(ONE), stop_before_pixels=True)
            request.ReferencedSOPSequence = [references(kept)]
            status, _ = association.send_n_action(
                request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            assert status.Status == 0x0000
        event = happened.wait("N_EVENT_REPORT")
        assert event.event_type == 1
        assert event.event_information.TransactionUID == request.TransactionUID
        (item,) = event.event_information.ReferencedSOPSequence
        assert item.ReferencedSOPInstanceUID == kept.SOPInstanceUID


@exchange("Orthanc", "Storage-Commitment", ours="SCP")
def test_orthanc_asks_for_commitment(tmp_path: Path) -> None:
    """Our report goes out on an association of our own, on which Orthanc is the SCU."""
    theirs, ours = directories(tmp_path, "theirs", "ours")
    archive = Archive(ours)
    archive.ae.add_supported_context(StorageCommitmentPushModel)
    happened = Happened()

    def act(event: Any) -> tuple[int, None]:
        return happened(event), None

    with archive.start() as server, orthanc(theirs, server.address[1]) as (peer, rest):
        server.bind(evt.EVT_N_ACTION, act)
        uploaded = rest("/instances", path_of(ONE).read_bytes())
        answer = rest("/modalities/sut/storage-commitment", {"Resources": [uploaded["ID"]]})
        information = happened.wait("N_ACTION").action_information
        result = Dataset()
        result.TransactionUID = information.TransactionUID
        result.ReferencedSOPSequence = information.ReferencedSOPSequence
        role = build_role(StorageCommitmentPushModel, scp_role=True)  # although it requests the association (J.3.2)
        ae = requestor(StorageCommitmentPushModel, ae_title="ARCHIVE", storage=False)
        with ae.associate(*peer.address, ae_title="ORTHANC", ext_neg=[role]) as association:
            status, _ = association.send_n_event_report(
                result, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            assert status.Status == 0x0000
        deadline = time.monotonic() + peers.RUN_SECONDS
        while (state := rest(f"/storage-commitment/{answer['ID']}"))["Status"] == "Pending":
            assert time.monotonic() < deadline, state
        assert state["Status"] == "Success"
