"""dcmjs-dimse on the other end of our AE: several requests outstanding, C-CANCEL, retrieval and N-EVENT-REPORT."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.offers.items import AsynchronousOperationsWindowNegotiation
from dicom_proto.sop_class import CTImageStorage, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from dicom_transports._files.reading import read_object
from dicom_transports.blocking import Association, AssociationServer, build_context, build_role, evt
from tests.contract.adapters import ADAPTERS, make_ae, wait_until
from tests.interop import peers
from tests.interop.archive import HOST, MODELS, begin, directories, keep_in, query, requestor
from tests.interop.images import CT, image, path_of
from tests.interop.storage import WAIT
from tests.interop.test_other_peers import assert_same

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
SCRIPT = Path(__file__).with_name("dcmjs_operations.js")
FIND, GET, MOVE = MODELS["-S"]
COMMITMENT, COMMITTED = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
SUCCESS, PENDING, CANCELLED = 0x0000, 0xFF00, 0xFE00
WINDOW = 8


def dcmjs(scenario: str, server: AssociationServer, directory: Path) -> list[str]:
    """Run a scenario of dcmjs-dimse as SCU; return what it says has happened."""
    command = [peers.require_dcmjs(), str(SCRIPT), "scu", scenario, *map(str, server.address), str(directory)]
    lines = peers.execute(command).check().output.splitlines()
    return [line for line in lines if line.startswith(("said", "reported", "network error"))]


def serving(*handlers: Any) -> AssociationServer:
    ae = make_ae("SCP")
    for uid in FIND, GET, MOVE, COMMITMENT:
        ae.add_supported_context(uid)
    ae.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
    return ae.start_server((HOST, 0), block=False, evt_handlers=handlers)


@contextmanager
def dialled(*handlers: Any, destination: int = 0) -> Iterator[tuple[peers.Peer, Association]]:
    """An association with dcmjs-dimse as SCP, and a window of its operations."""
    port = peers.free_port()
    command = [peers.require_dcmjs(), str(SCRIPT), "scp", str(port), str(path_of(CT)), str(destination)]
    window = AsynchronousOperationsWindowNegotiation(WINDOW, WINDOW)
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in (CTImageStorage, COMMITMENT)]
    ae = requestor(FIND, GET, MOVE, COMMITMENT, CTImageStorage, storage=False)
    with (
        peers.serve(command, port) as scp,
        ae.associate(*scp.address, ae_title="DCMJS", ext_neg=[window, *roles], evt_handlers=handlers) as association,
    ):
        yield scp, association


def pending(event: Any, *, until: Callable[[], bool]) -> Iterator[tuple[int, Dataset]]:
    """Matches without end, until something has arrived; each takes in what there is."""
    deadline = time.monotonic() + WAIT
    yield PENDING, query("STUDY", PatientID=event.identifier.PatientID)
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)
        yield PENDING, query("STUDY", PatientID=event.identifier.PatientID)


# --- the operations window --------------------------------------------------------------------------------------------


@exchange("dcmjs-dimse", "Operations-Window", ours="SCP")
def test_dcmjs_with_many_requests_outstanding(tmp_path: Path) -> None:
    """The first goes on until all have arrived."""
    arrived: list[Any] = []
    asked: list[tuple[int, int]] = []

    def window(event: Any) -> tuple[int, int]:
        asked.append((event.nr_invoked, event.nr_performed))
        return WINDOW, WINDOW

    def find(event: Any) -> Any:
        yield from pending(event, until=lambda: len(arrived) >= WINDOW)

    handlers = [(evt.EVT_ASYNC_OPS, window), (evt.EVT_C_FIND, find), (evt.EVT_DIMSE_RECV, arrived.append)]
    with serving(*handlers) as server:
        said = dcmjs("window", server, tmp_path)
    assert asked == [(WINDOW, WINDOW)]
    assert {line for line in said if line != "said 0 -"} == {f"said {PENDING} {number}" for number in range(WINDOW)}
    assert said.count("said 0 -") == WINDOW


@exchange("dcmjs-dimse", "Operations-Window", ours="SCU")
@pytest.mark.parametrize(
    ("adapter", "collect"),
    [
        pytest.param("blocking", map, id="blocking-in turn"),  # which sends a request before a result is asked for
        *(pytest.param(name, ThreadPoolExecutor(WINDOW).map, id=f"{name}-in threads") for name in ADAPTERS),
    ],
    indirect=["adapter"],
)
def test_many_requests_outstanding_at_dcmjs(collect: Any) -> None:
    """It answers none before it has all, and the last one first."""
    with dialled() as (_, association):
        finds = [association.send_c_find(query("STUDY", PatientID=str(n)), FIND) for n in range(WINDOW)]
        for number, results in enumerate(collect(list, finds)):
            (first, identifier), (last, _) = results
            assert (first.Status, last.Status) == (PENDING, SUCCESS)
            assert identifier.PatientID == str(number)


# --- C-CANCEL ---------------------------------------------------------------------------------------------------------


@exchange("dcmjs-dimse", "C-CANCEL", ours="SCP")
def test_dcmjs_cancels(tmp_path: Path) -> None:
    cancelled: list[bool] = []

    def find(event: Any) -> Any:
        try:
            yield from pending(event, until=lambda: False)
        finally:
            cancelled.append(event.is_cancelled)

    with serving((evt.EVT_C_FIND, find)) as server:
        said = dcmjs("cancel", server, tmp_path)
    assert cancelled == [True]
    assert said[0] == f"said {PENDING} cancel"
    assert said[-1] == f"said {CANCELLED} -"


@exchange("dcmjs-dimse", "C-CANCEL", ours="SCU")
def test_dcmjs_is_asked_to_cancel() -> None:
    with dialled() as (_, association):
        wanted = query("STUDY", PatientID="cancel")
        finding = begin(association, association.send_c_find, wanted, FIND, msg_id=1000)
        association.send_c_cancel(1000, None, FIND)
        assert [status.Status for status, _ in finding.result()] == [CANCELLED]


# --- retrieval --------------------------------------------------------------------------------------------------------


def retrieved(directory: Path) -> None:
    (stored,) = directory.iterdir()
    assert_same(read_object(stored), image(CT))


def provide(event: Any) -> Iterator[Any]:
    assert event.identifier.StudyInstanceUID == "1.2.3"
    yield 1
    yield PENDING, path_of(CT).read_bytes()


@exchange("dcmjs-dimse", "C-GET", ours="SCP")
def test_dcmjs_gets(tmp_path: Path) -> None:
    with serving((evt.EVT_C_GET, provide)) as server:
        assert dcmjs("get", server, tmp_path)[-1] == "said 0 -"
    retrieved(tmp_path)


@exchange("dcmjs-dimse", "C-GET", ours="SCU")
def test_get_from_dcmjs(tmp_path: Path) -> None:
    with dialled(keep_in(tmp_path)) as (_, association):
        *_, (status, _) = association.send_c_get(query("STUDY", StudyInstanceUID="1.2.3"), GET)
        assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
    retrieved(tmp_path)


@exchange("dcmjs-dimse", "C-MOVE", ours="SCP")
def test_dcmjs_moves(tmp_path: Path) -> None:
    theirs, unused = directories(tmp_path, "theirs", "unused")
    with peers.dcmjs_storage(theirs) as destination:

        def move(event: Any) -> Iterator[Any]:
            assert event.move_destination == "DEST"
            contexts = [build_context(CTImageStorage, IMPLICIT_VR_LITTLE_ENDIAN)]
            yield *destination.address, {"contexts": contexts}
            yield from provide(event)

        with serving((evt.EVT_C_MOVE, move)) as server:
            assert dcmjs("move", server, unused)[-1] == "said 0 -"
    retrieved(theirs)


@exchange("dcmjs-dimse", "C-MOVE", ours="SCU")
def test_move_from_dcmjs(tmp_path: Path) -> None:
    with serving(keep_in(tmp_path)) as destination, dialled(destination=destination.address[1]) as (_, association):
        *_, (status, _) = association.send_c_move(query("STUDY", StudyInstanceUID="1.2.3"), "DEST", MOVE)
        assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
    retrieved(tmp_path)


# --- N-EVENT-REPORT, in both roles and from both sides of an association ----------------------------------------------


def transaction() -> Dataset:
    made = Dataset()
    made.TransactionUID = "1.2.3"
    return made


@exchange("dcmjs-dimse", "Storage-Commitment", ours="SCP")
def test_report_to_dcmjs_that_has_asked_for_it(tmp_path: Path) -> None:
    """Our SCP reports on the association on which dcmjs-dimse has asked for the commitment."""
    asked: list[Any] = []
    has_reported = threading.Event()

    def act(event: Any) -> tuple[int, None]:
        asked.append(event.action_information.TransactionUID)
        threading.Thread(target=report, args=[event.assoc]).start()
        return SUCCESS, None

    def report(association: Association) -> None:
        status, _ = association.send_n_event_report(transaction(), 1, COMMITMENT, COMMITTED)
        assert status.Status == SUCCESS
        has_reported.set()

    with serving((evt.EVT_N_ACTION, act)) as server:
        assert sorted(dcmjs("commitment", server, tmp_path)) == ["reported 1 1.2.3", "said 0 -"]
        assert has_reported.wait(WAIT)
    assert asked == ["1.2.3"]


@exchange("dcmjs-dimse", "Storage-Commitment", ours="SCU")
def test_dcmjs_reports_what_it_was_asked_for() -> None:
    """It reports on our association, while nobody here waits for it."""
    reported: list[Any] = []

    def report(event: Any) -> tuple[int, None]:
        reported.append((event.event_type, event.event_information.TransactionUID))
        return SUCCESS, None

    with dialled((evt.EVT_N_EVENT_REPORT, report)) as (scp, association):
        status, _ = association.send_n_action(transaction(), 1, COMMITMENT, COMMITTED)
        assert status.Status == SUCCESS
        wait_until(lambda: "said 0\n" in scp.output)
    assert reported == [(1, "1.2.3")]


@exchange("dcmjs-dimse", "N-EVENT-REPORT", ours="SCP")
def test_dcmjs_reports_on_an_association_of_its_own(tmp_path: Path) -> None:
    """The requestor of the association invokes the operation: ours performs it."""
    reported: list[Any] = []

    def report(event: Any) -> tuple[int, Dataset]:
        reported.append((event.event_type, event.event_information.TransactionUID))
        return SUCCESS, query("STUDY", PatientID="7")

    with serving((evt.EVT_N_EVENT_REPORT, report)) as server:
        assert dcmjs("report", server, tmp_path) == ["said 0 7"]
    assert reported == [(1, "1.2.3")]


@exchange("dcmjs-dimse", "N-EVENT-REPORT", ours="SCU")
def test_report_to_dcmjs_on_an_association_of_ours() -> None:
    with dialled() as (_, association):
        status, reply = association.send_n_event_report(transaction(), 1, COMMITMENT, COMMITTED)
    assert status.Status == SUCCESS
    assert reply is not None
    assert reply.TransactionUID == "1.2.3"
