"""PixelMed on the other end of our AE: what its toolkit has, as SCP with its database and as SCU."""

from pathlib import Path
from typing import Any

import pytest

from dicom_transports.blocking import build_role, evt
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST, MODELS, ONE, Archive, directories, keep_in, query, requestor
from tests.interop.images import CT, contents, image, images, stored_in

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
FIND, GET, MOVE = MODELS["-S"]
SUCCESS, PENDING = 0x0000, 0xFF00
DESCRIBED = Archive.describe(ONE)
STUDY, PATIENT = DESCRIBED.StudyInstanceUID, DESCRIBED.PatientID
NAMES = (CT, ONE, "rtplan.dcm", "SC_rgb_jpeg_dcmtk.dcm")


def pixelmed(address: tuple[str, int], directory: Path, *steps: str) -> list[str]:
    """Run PixelMed as SCU; return what it prints beside its log."""
    command = [*peers.require_pixelmed(), "scu", *map(str, (*address, directory)), *steps]
    lines = peers.execute(command).check().output.splitlines()
    return [line for line in lines if line.partition(" ")[0] in {"echoed", "sent", "found", "moved", "got", "done"}]


@exchange("PixelMed", "C-ECHO C-STORE C-FIND C-GET C-MOVE", ours="SCU")
def test_pixelmed_as_scp(tmp_path: Path) -> None:
    """Objects go to its archive and come back over C-GET and C-MOVE, all with the same bytes."""
    theirs, got, moved = directories(tmp_path, "theirs", "got", "moved")
    objects = images(*NAMES)
    kinds = sorted({(one.meta.sop_class_uid, one.meta.transfer_syntax) for one in objects})
    mover = make_ae("MOVER")
    ae = requestor(FIND, GET, MOVE, storage=False)
    for kind in kinds:
        mover.add_supported_context(*kind)
        ae.add_requested_context(*kind)
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid, _ in kinds]
    with (
        mover.start_server((HOST, 0), block=False, evt_handlers=[keep_in(moved)]) as destination,
        peers.pixelmed(theirs, mover=destination.address[1]) as scp,
        ae.associate(*scp.address, ae_title="PIXELMED", ext_neg=roles, evt_handlers=[keep_in(got)]) as association,
    ):
        assert association.send_c_echo().Status == SUCCESS
        for one in objects:
            assert association.send_c_store(one.path).Status == SUCCESS
        results = list(association.send_c_find(query("STUDY", StudyInstanceUID="", PatientID=""), FIND))
        assert [status.Status for status, _ in results] == [PENDING] * len(objects) + [SUCCESS]
        for _, identifier in results[:-1]:
            assert identifier is not None
            wanted = query("STUDY", StudyInstanceUID=identifier.StudyInstanceUID)
            *_, (status, _) = association.send_c_get(wanted, GET)
            assert status.Status == SUCCESS
            *_, (status, _) = association.send_c_move(wanted, "MOVER", MOVE)
            assert status.Status == SUCCESS
    assert stored_in(theirs / "images") == stored_in(got) == stored_in(moved) == contents(objects)


@exchange("PixelMed", "C-ECHO C-STORE C-FIND C-GET C-MOVE User-Identity", ours="SCP")
def test_pixelmed_as_scu(tmp_path: Path) -> None:
    """It proposes each class several times; what it sends are the bytes of the files."""
    ours, theirs = directories(tmp_path, "ours", "theirs")
    objects = images(*NAMES)
    archive = Archive(ours)
    for one in objects:
        archive.ae.add_supported_context(one.meta.sop_class_uid, one.meta.transfer_syntax, scu_role=True, scp_role=True)
    identities: list[tuple[bytes, bytes]] = []

    def identify(event: Any) -> tuple[bool, None]:
        identities.append((event.primary_field, event.secondary_field))
        return True, None

    retrieval = [f"find={STUDY}", f"move={STUDY}", f"get={STUDY}"]
    with archive.start() as server:
        server.bind(evt.EVT_USER_ID, identify)
        archive.destinations["ARCHIVE"] = server.address
        said = pixelmed(
            server.address, theirs, "echo", "identify", *(f"store={one.path}" for one in objects), *retrieval
        )
    assert identities == [(b"me", b"secret")]
    got = [f"got {image(ONE).meta.transfer_syntax}", "done"]
    assert said == ["echoed", "echoed", *["sent 1 0"] * len(objects), f"found {PATIENT}", "moved 0000", *got]
    assert stored_in(ours) == contents(objects)
    assert stored_in(theirs) == contents(images(ONE))


@exchange("PixelMed", "C-GET", ours="SCP")
def test_pixelmed_gets_by_several_contexts(tmp_path: Path) -> None:
    ours, theirs = directories(tmp_path, "ours", "theirs")
    with Archive(ours).start() as server:
        assert pixelmed(server.address, theirs, f"get-by-several={STUDY}")[-1] == "done"
    assert stored_in(theirs) == contents(images(ONE))
