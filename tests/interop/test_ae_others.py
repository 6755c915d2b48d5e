"""Odil, GDCM and CTN on the other end of our AE: queries, retrieval, worklists, performed procedure steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.sop_class import CTImageStorage, ModalityPerformedProcedureStep
from dicom_transports._files.reading import read_object
from dicom_transports.blocking import Association, build_context, build_role, evt
from tests.contract.adapters import make_ae, wait_until
from tests.interop import peers
from tests.interop.archive import FILES, HOST, MODELS, ONE, Archive, directories, keep_in, query, requestor
from tests.interop.images import CT, contents, image, images, path_of, stored_in
from tests.interop.storage import Happened
from tests.interop.test_other_peers import assert_same

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
FIND, GET, MOVE = MODELS["-S"]
STEP = ModalityPerformedProcedureStep
INSTANCE = "1.2.3.4"
STUDY = Archive.describe(ONE).StudyInstanceUID
PENDING, SUCCESS = 0xFF00, 0x0000

# --- Odil -------------------------------------------------------------------------------------------------------------


@contextmanager
def odil(directory: Path, *handlers: Any) -> Iterator[tuple[peers.Peer, Association]]:
    """An association with Odil's SCP, which has one image for us and for our storage SCP ``MOVER``."""
    mover = make_ae("MOVER")
    mover.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    ae = requestor(FIND, GET, MOVE, STEP, storage=False)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    role = build_role(CTImageStorage, scp_role=True)
    with (
        mover.start_server((HOST, 0), block=False, evt_handlers=handlers) as destination,
        peers.odil_scp(directory, path_of(CT), destination.address[1]) as scp,
        ae.associate(*scp.address, ae_title="ODIL", ext_neg=[role], evt_handlers=handlers) as association,
    ):
        yield scp, association


@exchange("Odil", "C-FIND", ours="SCU")
def test_find_with_odil(tmp_path: Path) -> None:
    with odil(tmp_path) as (_, association):
        *found, (last, _) = association.send_c_find(query("STUDY", PatientID=""), FIND)
    assert last.Status == SUCCESS
    assert [(status.Status, identifier.PatientID) for status, identifier in found if identifier] == [
        (PENDING, "1"),
        (PENDING, "2"),
    ]


@exchange("Odil", "C-GET C-MOVE", ours="SCU")
@pytest.mark.parametrize("service", ["C-GET", "C-MOVE"])
def test_retrieve_from_odil(tmp_path: Path, service: str) -> None:
    theirs, ours = directories(tmp_path, "theirs", "ours")
    wanted = query("STUDY", StudyInstanceUID=STUDY)
    with odil(theirs, keep_in(ours)) as (_, association):
        if service == "C-GET":
            *_, (status, _) = association.send_c_get(wanted, GET)
        else:
            *_, (status, _) = association.send_c_move(wanted, "MOVER", MOVE)
    assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
    (stored,) = ours.iterdir()
    assert_same(read_object(stored), image(CT))


@exchange("Odil", "MPPS", ours="SCU")
def test_step_at_odil(tmp_path: Path) -> None:
    with odil(tmp_path) as (scp, association):
        status, _ = association.send_n_create(query("STUDY", PatientID="7"), STEP, INSTANCE)
        assert status.Status == SUCCESS
        status, _ = association.send_n_set(query("STUDY", PatientID="8"), STEP, INSTANCE)
        assert status.Status == SUCCESS
        assert scp.output.endswith("N_CREATE_RQ 7\nN_SET_RQ 8\n")


def run_odil(scenario: str, address: tuple[str, int]) -> list[str]:
    """Run an SCU that is written with Odil; return the lines that it prints."""
    script = Path(__file__).with_name("odil_scu.py")
    return peers.execute([peers.require_odil(), str(script), scenario, *map(str, address)]).check().output.splitlines()


@exchange("Odil", "C-FIND", ours="SCP")
def test_odil_finds(tmp_path: Path) -> None:
    with Archive(tmp_path).start() as server:
        keys = ["QueryRetrieveLevel=STUDY", "PatientID=0212*", "StudyInstanceUID="]
        finished = peers.run("odil", "find", *server.address, "ODIL", "ARCHIVE", "study", *keys).check()
    assert "1 answer" in finished.output
    assert STUDY in finished.output


@exchange("Odil", "C-GET", ours="SCP")
def test_odil_gets(tmp_path: Path) -> None:
    """It asks for the SOP classes of the study first, so as to propose them."""
    ours, theirs = directories(tmp_path, "ours", "theirs")
    archive = Archive(ours)

    def find(event: Any) -> Iterator[Any]:
        for status, identifier in archive.find(event):
            identifier.SOPClassesInStudy = Archive.describe(ONE).SOPClassUID
            yield status, identifier

    with archive.start() as server:
        server.bind(evt.EVT_C_FIND, find)
        keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}"]
        peers.run("odil", "get", "-d", theirs, *server.address, "ODIL", "ARCHIVE", "study", *keys).check()
    (stored,) = theirs.iterdir()
    assert_same(read_object(stored), image(ONE))


@exchange("Odil", "C-MOVE", ours="SCP")
def test_odil_moves(tmp_path: Path) -> None:
    ours, theirs = directories(tmp_path, "ours", "theirs")
    with peers.storescp(theirs, "+xa", "+B") as destination:
        archive = Archive(ours, STORESCP=destination.port)

        def move(event: Any) -> Iterator[Any]:
            assert event.identifier.StudyInstanceUID == "1.2.3"
            yield archive.destinations[event.move_destination]
            yield len(FILES)
            for name in FILES:
                yield PENDING, path_of(name).read_bytes()

        with archive.start() as server:
            server.bind(evt.EVT_C_MOVE, move)
            assert run_odil("move", server.address)[-1] == f"moved 0 {len(FILES)}"
        destination.process.end()
    assert stored_in(theirs) == contents(images(*FILES))


def worklist(_: Any) -> Iterator[Any]:
    answer = Dataset()
    answer.PatientID = "7"
    answer.PatientName = "Worklist^Patient"
    answer.ScheduledProcedureStepSequence = [query("STUDY", Modality="MR")]
    yield PENDING, answer


@exchange("Odil", "MWL", ours="SCP")
def test_odil_asks_for_a_worklist(tmp_path: Path) -> None:
    with Archive(tmp_path).start() as server:
        server.bind(evt.EVT_C_FIND, worklist)
        assert run_odil("worklist", server.address) == ["found 7"]


@exchange("Odil", "MPPS User-Identity", ours="SCP")
def test_odil_reports_a_step() -> None:
    seen: list[Any] = []

    def identify(event: Any) -> tuple[bool, None]:
        seen.append(event.primary_field)
        return True, None

    def create(event: Any) -> tuple[int, None]:
        seen.append((event.request.AffectedSOPInstanceUID, event.attribute_list.PatientID))
        return SUCCESS, None

    def change(event: Any) -> tuple[int, None]:
        seen.append((event.request.RequestedSOPInstanceUID, event.modification_list.PatientID))
        return SUCCESS, None

    ae = make_ae("SCP")
    ae.add_supported_context(STEP)
    handlers: list[Any] = [(evt.EVT_USER_ID, identify), (evt.EVT_N_CREATE, create), (evt.EVT_N_SET, change)]
    with ae.start_server((HOST, 0), block=False, evt_handlers=handlers) as server:
        assert run_odil("step", server.address) == ["status 0", "status 0"]
    assert seen == [b"me", (INSTANCE, "7"), (INSTANCE, "8")]


# --- GDCM: it aborts itself when all is done, so that only what arrives counts ----------------------------------------


def run_gdcmscu(happened: Happened, address: tuple[str, int], *arguments: peers.Argument) -> None:
    """Run gdcmscu, and see that it releases its association, which it does when it has understood the answers."""
    peers.run("gdcmscu", *arguments, "--aetitle", "GDCM", "--call", "ARCHIVE", *address)
    happened.wait("RELEASED")


@exchange("GDCM", "C-FIND", ours="SCP")
def test_gdcm_finds(tmp_path: Path) -> None:
    archive, happened = Archive(tmp_path), Happened()
    with archive.start() as server:
        server.bind(evt.EVT_RELEASED, happened)
        keys = ["--key", "10,20=0212*", "--key", "20,d="]
        run_gdcmscu(happened, server.address, "--find", "--studyroot", "--study", *keys)
    (identifier,) = archive.requests
    assert identifier.PatientID == "0212*"


@exchange("GDCM", "MWL", ours="SCP")
def test_gdcm_asks_for_a_worklist(tmp_path: Path) -> None:
    archive, happened = Archive(tmp_path), Happened()
    with archive.start() as server:
        server.bind(evt.EVT_C_FIND, worklist)
        server.bind(evt.EVT_RELEASED, happened)
        run_gdcmscu(happened, server.address, "--find", "--worklist", "--patientroot", "--patient", "--key", "10,20=")


@exchange("GDCM", "C-MOVE", ours="SCP")
def test_gdcm_moves(tmp_path: Path) -> None:
    """It is the destination itself, and takes the last transfer syntax it accepts for that of all objects."""
    ours, theirs = directories(tmp_path, "ours", "theirs")
    archive, happened = Archive(ours), Happened()
    described = Archive.describe(ONE)
    contexts = [build_context(described.SOPClassUID, image(ONE).meta.transfer_syntax)]
    port = peers.free_port()
    archive.destinations["GDCM"] = HOST, port, {"contexts": contexts}

    def move(event: Any) -> Iterator[Any]:
        wait_until(lambda: peers.listens(port))  # it asks before it does
        yield from archive.move(event)

    with archive.start() as server:
        server.bind(evt.EVT_C_MOVE, move)
        server.bind(evt.EVT_RELEASED, happened)
        options = ["--move", "--patientroot", "--patient", "--key", f"10,20={described.PatientID}"]
        run_gdcmscu(happened, server.address, *options, "-o", theirs, "--port-scp", port)
    (stored,) = theirs.iterdir()
    assert_same(read_object(stored), image(ONE))


# --- CTN --------------------------------------------------------------------------------------------------------------


@exchange("CTN", "MWL", ours="SCP")
def test_ctn_asks_for_a_worklist(tmp_path: Path) -> None:
    with Archive(tmp_path).start() as server:
        server.bind(evt.EVT_C_FIND, worklist)
        finished = peers.run("mwlQuery", "-a", "CTN", "-c", "ARCHIVE", *server.address).check()
    assert "Worklist^Patient" in finished.output
    assert "Successful operation" in finished.output
