"""DCMTK on the other end of our AE: queries, retrieval and worklist."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_proto.sop_class import ModalityWorklistInformationFind
from dicom_transports.blocking import evt
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import (
    FILES,
    HOST,
    MODELS,
    ONE,
    ROLES,
    STORED,
    Archive,
    directories,
    keep_in,
    query,
    requestor,
    send_files,
    syntaxes_of,
)
from tests.interop.images import contents, images, path_of, stored_in

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
every_model = pytest.mark.parametrize("model", MODELS)
ORIGINAL = contents(images(*FILES))
STUDY = dcmread(path_of(ONE), stop_before_pixels=True).StudyInstanceUID

# --- our SCP, their SCU -----------------------------------------------------------------------------------------------


@exchange("DCMTK", "C-ECHO C-STORE", ours="SCP")
def test_echoscu_and_storescu(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with archive.start() as server:
        peers.run("echoscu", "-v", *server.address).check()
        peers.run("storescu", "-R", "-v", *server.address, *map(path_of, FILES)).check()
    assert stored_in(tmp_path) == ORIGINAL


@every_model
@exchange("DCMTK", "C-FIND", ours="SCP")
def test_findscu(tmp_path: Path, model: str) -> None:
    archive = Archive(tmp_path)
    with archive.start() as server:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=0212*", "-k", "StudyInstanceUID"]
        finished = peers.run("findscu", "-v", model, *keys, *server.address).check()
    assert finished.output.count("Received Find Response") + finished.output.count("Find Response:") >= 1
    assert STUDY in finished.output
    assert len(archive.requests) == 1


@every_model
@exchange("DCMTK", "C-GET", ours="SCP")
def test_getscu(tmp_path: Path, model: str) -> None:
    ours, theirs = directories(tmp_path, "ours", "theirs")
    with Archive(ours).start() as server:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}"]
        peers.run("getscu", "-v", "+B", model, *keys, "-od", theirs, *server.address).check()
    assert stored_in(theirs) == contents(images(ONE))


@every_model
@exchange("DCMTK", "C-MOVE", ours="SCP")
def test_movescu_has_our_scp_send_to_storescp(tmp_path: Path, model: str) -> None:
    ours, theirs = directories(tmp_path, "ours", "theirs")
    with peers.storescp(theirs, "+xa", "+B") as destination:
        with Archive(ours, STORESCP=destination.port).start() as server:
            keys = ["-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=*"]
            peers.run("movescu", "-v", model, "-aem", "STORESCP", *keys, *server.address).check()
        destination.process.end()
    assert stored_in(theirs) == ORIGINAL


@exchange("DCMTK", "C-MOVE", ours="SCP")
def test_movescu_that_receives_itself(tmp_path: Path) -> None:
    ours, theirs = directories(tmp_path, "ours", "theirs")
    port = peers.free_port()
    with Archive(ours, MOVER=port).start() as server:
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}"]
        options: list[peers.Argument] = ["-v", "-S", "-aet", "MOVER", "-aem", "MOVER", "+P", port, "-od", theirs]
        peers.run("movescu", *options, *keys, *server.address).check()
        unknown = peers.run("movescu", "-v", "-S", "-aem", "UNKNOWN", *keys, *server.address)
        assert "0xa801" in unknown.output.lower() or "MoveDestinationUnknown" in unknown.output
    assert stored_in(theirs) == contents(images(ONE))


@exchange("DCMTK", "MWL", ours="SCP")
def test_findscu_for_a_worklist(tmp_path: Path) -> None:
    archive = Archive(tmp_path)

    def find(event: Any) -> Any:
        (step,) = event.identifier.ScheduledProcedureStepSequence
        assert "Modality" in step
        answer = Dataset()
        answer.PatientName = "Worklist^Patient"
        item = Dataset()
        item.Modality = "CT"
        answer.ScheduledProcedureStepSequence = [item]
        yield 0xFF00, answer

    with archive.start() as server:
        server.bind(evt.EVT_C_FIND, find)
        keys = ["-k", "ScheduledProcedureStepSequence[0].Modality", "-k", "PatientName"]
        finished = peers.run("findscu", "-v", "-W", *keys, *server.address).check()
    assert "Worklist^Patient" in finished.output


# --- our SCU, their SCP -----------------------------------------------------------------------------------------------


@every_model
@exchange("DCMTK", "C-ECHO C-STORE C-FIND C-GET C-MOVE", ours="SCU")
def test_dcmqrscp(tmp_path: Path, model: str) -> None:
    """Real files go to dcmqrscp and come back: on the same association, and to a storage SCP of ours."""
    theirs, got, moved = directories(tmp_path, "theirs", "got", "moved")
    mover = make_ae("MOVER")
    for uid in STORED:
        mover.add_supported_context(uid, syntaxes_of(uid))
    find, get, move = MODELS[model]
    level = {"-P": query("PATIENT", PatientID="*"), "-S": query("STUDY", StudyInstanceUID="")}[model]
    destination = mover.start_server((HOST, 0), block=False, evt_handlers=[keep_in(moved)])
    with destination, peers.dcmqrscp(theirs, movers={"MOVER": destination.address[1]}) as scp:
        ae = requestor(find, get, move, ae_title="MOVER")
        with ae.associate(*scp.address, ae_title="QRSCP", ext_neg=ROLES, evt_handlers=[keep_in(got)]) as association:
            assert association.send_c_echo().Status == 0x0000
            send_files(association)
            results = list(association.send_c_find(level, find))
            assert [status.Status for status, _ in results] == [0xFF00] * 3 + [0x0000]
            keyword = {"-P": "PatientID", "-S": "StudyInstanceUID"}[model]
            values = {str(identifier[keyword].value) for _, identifier in results if identifier}
            for _ in association.send_c_find(level, find):
                break  # the association can be used all the same
            for value in sorted(values):
                wanted = query(level.QueryRetrieveLevel, **{keyword: value})
                *_, (status, _) = association.send_c_get(wanted, get)
                assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 1)
                *_, (status, _) = association.send_c_move(wanted, "MOVER", move)
                assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 1)
    assert stored_in(got) == stored_in(moved) == ORIGINAL


WORKLIST = """
(0010,0010) PN [Worklist^Patient]
(0010,0020) LO [WL1]
(0020,000d) UI [1.2.276.0.7230010.3.2.101]
(0032,1060) LO [EXAM]
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [MR]
(0040,0001) AE [SUT]
(0040,0002) DA [20260101]
(0040,0003) TM [120000]
(0040,0006) PN [Doctor]
(0040,0009) SH [SPS1]
(fffe,e00d) -
(fffe,e0dd) -
(0040,1001) SH [RP1]
"""


@exchange("DCMTK", "MWL", ours="SCU")
def test_wlmscpfs(tmp_path: Path) -> None:
    (tmp_path / "one.dump").write_text(WORKLIST)
    with peers.wlmscpfs(tmp_path, "-dfr") as scp:
        peers.run("dump2dcm", "-g", tmp_path / "one.dump", tmp_path / "WLMSCP" / "one.wl").check()
        step = Dataset()
        step.Modality = ""
        step.ScheduledStationAETitle = "SUT"
        wanted = Dataset()
        wanted.PatientName = ""
        wanted.ScheduledProcedureStepSequence = [step]
        ae = requestor(ModalityWorklistInformationFind, storage=False)
        with ae.associate(*scp.address, ae_title="WLMSCP") as association:
            results = list(association.send_c_find(wanted, ModalityWorklistInformationFind))
    assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
    found = results[0][1]
    assert found is not None
    assert found.PatientName == "Worklist^Patient"
    assert found.ScheduledProcedureStepSequence[0].Modality == "MR"
