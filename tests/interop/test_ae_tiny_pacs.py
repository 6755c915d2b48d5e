"""tiny-pacs and dicom-echo, which is made of DICOM-rs, on the other end of our AE."""

from pathlib import Path

import pytest

from dicom_transports.blocking import build_role
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST, MODELS, ONE, Archive, directories, keep_in, query, requestor
from tests.interop.images import contents, images, path_of, stored_in
from tests.interop.storage import StorageSCP

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
FIND, GET, MOVE = MODELS["-S"]
DESCRIBED = Archive.describe(ONE)
STUDY, PATIENT = DESCRIBED.StudyInstanceUID, DESCRIBED.PatientID
NAMES = (ONE, "rtplan.dcm", "SC_rgb_jpeg_dcmtk.dcm")
SUCCESS, PENDING = 0x0000, 0xFF00


@exchange("tiny-pacs", "C-ECHO C-STORE C-FIND C-GET C-MOVE", ours="SCU")
@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")  # of its responses: ISO-IR 6
def test_tiny_pacs_as_scp(tmp_path: Path) -> None:
    """Objects go there and come back, all with the same bytes."""
    theirs, got, moved = directories(tmp_path, "theirs", "got", "moved")
    objects = images(*NAMES)
    mover = make_ae("MOVER")
    ae = requestor(FIND, GET, MOVE, storage=False)
    for one in objects:
        mover.add_supported_context(one.meta.sop_class_uid, one.meta.transfer_syntax)
        ae.add_requested_context(one.meta.sop_class_uid, one.meta.transfer_syntax)
    roles = [build_role(one.meta.sop_class_uid, scu_role=True, scp_role=True) for one in objects]
    with (
        mover.start_server((HOST, 0), block=False, evt_handlers=[keep_in(moved)]) as destination,
        peers.tiny_pacs(theirs, devices={"MOVER": destination.address[1]}) as scp,
        ae.associate(*scp.address, ae_title="TINY_PACS", ext_neg=roles, evt_handlers=[keep_in(got)]) as association,
    ):
        assert association.send_c_echo().Status == SUCCESS
        for one in objects:
            assert association.send_c_store(one.path).Status == SUCCESS
        for one in objects:
            wanted = query("STUDY", StudyInstanceUID=Archive.describe(one.path.name).StudyInstanceUID)
            (status, found), (last, _) = association.send_c_find(wanted, FIND)
            assert found is not None
            assert (status.Status, found.StudyInstanceUID) == (PENDING, wanted.StudyInstanceUID)
            assert last.Status == SUCCESS
            *_, (status, _) = association.send_c_get(wanted, GET)
            assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
            *_, (status, _) = association.send_c_move(wanted, "MOVER", MOVE)
            assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
    assert stored_in(theirs / "storage") == stored_in(got) == stored_in(moved) == contents(objects)


@exchange("tiny-pacs", "C-ECHO C-STORE C-FIND C-MOVE", ours="SCP")
def test_tiny_pacs_as_scu(tmp_path: Path) -> None:
    objects = images(*NAMES)
    archive = Archive(tmp_path)
    for one in objects:
        archive.ae.add_supported_context(one.meta.sop_class_uid, one.meta.transfer_syntax)
    script = Path(__file__).with_name("tiny_pacs_scu.py")
    with archive.start() as server:
        archive.destinations["ARCHIVE"] = server.address
        words = [peers.require_python_peer("tiny_pacs"), script, *server.address, STUDY, *map(path_of, NAMES)]
        said = peers.execute([str(word) for word in words]).check().output.splitlines()
    assert said == ["echoed", *["sent"] * len(objects), f"found {PATIENT}", "moved"]
    assert stored_in(tmp_path) == contents(objects)


@exchange("DICOM-rs", "C-ECHO", ours="SCP")
def test_dicom_echo(tmp_path: Path) -> None:
    """It closes the connection when it has its answer, without releasing the association."""
    command = Path(peers.require_python_peer("dicom_echo")).with_name("dicom-echo")
    with StorageSCP(tmp_path) as scp:
        host, port = scp.address
        finished = peers.execute([str(command), f"SCP@{host}:{port}"]).check()
        (association,) = scp.wait()
    assert "Success" in finished.output
    assert association.events == ["C_ECHO", "ABORTED"]
