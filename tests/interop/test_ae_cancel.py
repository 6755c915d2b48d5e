"""C-CANCEL with real programs: an operation that is cancelled ends with FE00H, and the association lives on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian

from dicom_proto.sop_class import SecondaryCaptureImageStorage
from dicom_transports.blocking import Association, build_role, evt
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST, MODELS, Archive, begin, query, requestor
from tests.interop.images import path_of
from tests.interop.storage import WAIT

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
FIND, GET, MOVE = MODELS["-S"]
STORAGE = SecondaryCaptureImageStorage
STUDY, SERIES = "1.2.3", "1.2.3.4"
MANY = 200
SUCCESS, PENDING, CANCELLED = 0x0000, 0xFF00, 0xFE00


def instance(number: int) -> Dataset:
    """One of many images without pixels."""
    made = query("IMAGE", PatientID="7", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    del made.QueryRetrieveLevel
    made.SOPClassUID = STORAGE
    made.SOPInstanceUID = f"{SERIES}.{number + 1}"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return made


STARTERS = {
    "DCMTK": lambda directory, port: peers.dcmqrscp(directory, ae_title="ARCHIVE", movers={"MOVER": port}),
    "Orthanc": lambda directory, port: peers.orthanc(
        directory, ae_title="ARCHIVE", modalities={"mover": ("MOVER", port)}
    ),
}
every_archive = pytest.mark.parametrize(
    "archive", [pytest.param(name, marks=exchange(name, "C-CANCEL", ours="SCU")) for name in STARTERS]
)


@contextmanager
def full(archive: str, directory: Path, store: Any = lambda _: SUCCESS) -> Iterator[Association]:
    """An association with an archive that has many images; ``store`` is called for what it sends us."""
    mover = make_ae("MOVER")
    mover.add_supported_context(STORAGE)
    handlers = [(evt.EVT_C_STORE, store)]
    ae = requestor(FIND, GET, MOVE, ae_title="MOVER", storage=False)
    ae.add_requested_context(STORAGE, ImplicitVRLittleEndian)
    roles = [build_role(STORAGE, scu_role=True, scp_role=True)]
    with (
        mover.start_server((HOST, 0), block=False, evt_handlers=handlers) as destination,
        STARTERS[archive](directory, destination.address[1]) as scp,
        ae.associate(*scp.address, ae_title="ARCHIVE", ext_neg=roles, evt_handlers=handlers) as association,
    ):
        for number in range(MANY):
            assert association.send_c_store(instance(number)).Status == SUCCESS
        yield association
        assert association.send_c_echo().Status == SUCCESS


@every_archive
def test_find(tmp_path: Path, archive: str) -> None:
    wanted = query("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID="")
    pending: list[int] = []
    last = SUCCESS
    with full(archive, tmp_path) as association:
        while last == SUCCESS:  # the request has come too late
            finding = begin(association, association.send_c_find, wanted, FIND, msg_id=1000)
            association.send_c_cancel(1000, None, FIND)
            *pending, last = [status.Status for status, _ in finding.result()]
        assert last == CANCELLED
        assert set(pending) <= {PENDING}
        assert len(pending) < MANY - 1


@every_archive
def test_get(tmp_path: Path, archive: str) -> None:
    stored: list[str] = []

    def store(event: Any) -> int:
        stored.append(event.request.AffectedSOPInstanceUID)
        return SUCCESS

    with full(archive, tmp_path, store) as association:
        results = association.send_c_get(query("STUDY", StudyInstanceUID=STUDY), GET, msg_id=1000)
        assert next(results)[0].Status == PENDING
        association.send_c_cancel(1000, None, GET)
        *_, (status, _) = results
    assert status.Status == CANCELLED
    assert 0 < status.NumberOfCompletedSuboperations <= len(stored) < MANY
    assert status.NumberOfRemainingSuboperations == MANY - status.NumberOfCompletedSuboperations


@exchange("DCMTK", "C-CANCEL", ours="SCU")
def test_get_while_an_object_arrives(tmp_path: Path) -> None:
    """The handler cancels, before the object is answered."""
    stored: list[str] = []

    def store(event: Any) -> int:
        event.assoc.send_c_cancel(1000, None, GET)
        stored.append(event.request.AffectedSOPInstanceUID)
        return SUCCESS

    with full("DCMTK", tmp_path, store) as association:
        results = association.send_c_get(query("STUDY", StudyInstanceUID=STUDY), GET, msg_id=1000)
        ((status, _),) = results
    assert (status.Status, status.NumberOfCompletedSuboperations, len(stored)) == (CANCELLED, 1, 1)


@every_archive
def test_move(tmp_path: Path, archive: str) -> None:
    """The destination lets the second object wait until the cancel request has left."""
    stored: list[str] = []
    has_cancelled = threading.Event()

    def store(event: Any) -> int:
        assert not stored or has_cancelled.wait(WAIT)
        stored.append(event.request.AffectedSOPInstanceUID)
        return SUCCESS

    with full(archive, tmp_path, store) as association:
        results = association.send_c_move(query("STUDY", StudyInstanceUID=STUDY), "MOVER", MOVE, msg_id=1000)
        assert next(results)[0].Status == PENDING
        association.send_c_cancel(1000, None, MOVE)
        has_cancelled.set()
        *_, (status, _) = results
    assert status.Status == CANCELLED
    assert status.NumberOfCompletedSuboperations <= len(stored) < MANY


@exchange("DCMTK", "C-CANCEL", ours="SCP")
def test_findscu_that_cancels(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    cancelled: list[bool] = []

    def find(event: Any) -> Any:
        try:
            while True:
                yield PENDING, query("STUDY", StudyInstanceUID=STUDY)
        finally:
            cancelled.append(event.is_cancelled)

    with archive.start() as server:
        server.bind(evt.EVT_C_FIND, find)
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"]
        finished = peers.run("findscu", "-v", "-S", "--cancel", 3, *keys, *server.address).check()
    assert cancelled == [True]
    assert "MatchingTerminatedDueToCancelRequest" in finished.output


@exchange("DCMTK", "C-CANCEL", ours="SCP")
def test_movescu_that_cancels(tmp_path: Path) -> None:
    """It has been told of ten thousand objects, and cancels after the second response."""
    cancelled: list[bool] = []
    archive = Archive(tmp_path)

    def move(event: Any) -> Any:
        yield archive.destinations[event.move_destination]
        yield 10_000
        try:
            while True:
                yield PENDING, path_of("rtplan.dcm").read_bytes()
        finally:
            cancelled.append(event.is_cancelled)

    with peers.storescp(tmp_path, "--ignore") as destination:
        archive.destinations["STORESCP"] = destination.address
        with archive.start() as server:
            server.bind(evt.EVT_C_MOVE, move)
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}"]
            options: list[peers.Argument] = ["-v", "-S", "-aem", "STORESCP", "--cancel", 2]
            finished = peers.run("movescu", *options, *keys, *server.address)
    assert cancelled == [True]
    assert "0xfe00" in finished.output.lower() or "DueToCancelIndication" in finished.output
