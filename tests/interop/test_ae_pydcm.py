"""pydcm on the other end of our AE: the composite services, and everything that is made of N-services."""

import threading
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_proto.sop_class import (
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepWatch,
)
from dicom_transports.blocking import build_role, evt
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST, MODELS, ONE, Archive, directories, keep_in, query, requestor
from tests.interop.images import CT, contents, images, path_of, stored_in
from tests.interop.printer import META, PIXELS, PrintSCP, print_one_film, reference
from tests.interop.storage import WAIT, Happened

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
FIND, GET, MOVE = MODELS["-S"]
WORKLIST = ModalityWorklistInformationFind
COMMITMENT, COMMITTED = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
STEP, AVAILABILITY = ModalityPerformedProcedureStep, InstanceAvailabilityNotification
PUSH, PULL, WATCH, EVENT = (
    UnifiedProcedureStepPush,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepWatch,
    UnifiedProcedureStepEvent,
)
NORMALIZED = (STEP, COMMITMENT, AVAILABILITY, META, PUSH, PULL, WATCH, EVENT)
DESCRIBED = Archive.describe(ONE)
STUDY, PATIENT = DESCRIBED.StudyInstanceUID, DESCRIBED.PatientID
NAMES = (CT, ONE, "SC_rgb_jpeg_dcmtk.dcm")
INSTANCE = "1.2.3.4"
SUCCESS, PENDING = 0x0000, 0xFF00

# --- our SCU, their SCP -----------------------------------------------------------------------------------------------


@exchange("pydcm", "C-ECHO C-STORE C-FIND C-GET C-MOVE MWL", ours="SCU")
def test_pydcm_as_scp(tmp_path: Path) -> None:
    """Objects go there and come back over C-GET and C-MOVE, all with the same bytes."""
    theirs, got, moved = directories(tmp_path, "theirs", "got", "moved")
    objects = images(*NAMES)
    mover = make_ae("MOVER")
    ae = requestor(FIND, GET, MOVE, WORKLIST, storage=False)
    for one in objects:
        mover.add_supported_context(one.meta.sop_class_uid, one.meta.transfer_syntax)
        ae.add_requested_context(one.meta.sop_class_uid, one.meta.transfer_syntax)
    roles = [build_role(one.meta.sop_class_uid, scu_role=True, scp_role=True) for one in objects]
    with (
        mover.start_server((HOST, 0), block=False, evt_handlers=[keep_in(moved)]) as destination,
        peers.pydcm(theirs, mover=destination.address[1]) as scp,
        ae.associate(*scp.address, ae_title="PYDCM", ext_neg=roles, evt_handlers=[keep_in(got)]) as association,
    ):
        assert association.send_c_echo().Status == SUCCESS
        for one in objects:
            assert association.send_c_store(one.path).Status == SUCCESS
        results = list(association.send_c_find(query("STUDY", StudyInstanceUID=""), FIND))
        assert [status.Status for status, _ in results] == [PENDING] * len(objects) + [SUCCESS]
        for _, identifier in results[:-1]:
            assert identifier is not None
            wanted = query("STUDY", StudyInstanceUID=identifier.StudyInstanceUID)
            *_, (status, _) = association.send_c_get(wanted, GET)
            assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
            *_, (status, _) = association.send_c_move(wanted, "MOVER", MOVE)
            assert (status.Status, status.NumberOfCompletedSuboperations) == (SUCCESS, 1)
        step = Dataset()
        step.ScheduledProcedureStepSequence = [query("STUDY", Modality="")]
        (status, scheduled), (last, _) = association.send_c_find(step, WORKLIST)
        assert (status.Status, last.Status) == (PENDING, SUCCESS)
        assert scheduled is not None
        assert scheduled.ScheduledProcedureStepSequence[0].Modality == "MR"
    assert stored_in(theirs) == stored_in(got) == stored_in(moved) == contents(objects)


@exchange("pydcm", "MPPS Instance-Availability Print Storage-Commitment UPS N-EVENT-REPORT", ours="SCU")
def test_pydcm_manages(tmp_path: Path) -> None:
    """It reports on what it is asked to commit on an association of its own, and proposes the role for that."""
    happened = Happened()

    def report(event: Any) -> tuple[int, None]:
        return happened(event), None

    mover = make_ae("MOVER")
    mover.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    values = query("STUDY", PatientID="7")
    request = Dataset()
    request.TransactionUID = generate_uid()
    request.ReferencedSOPSequence = [reference(DESCRIBED.SOPClassUID, DESCRIBED.SOPInstanceUID)]
    ae = requestor(*NORMALIZED, storage=False)
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in (EVENT, COMMITMENT)]
    with (
        mover.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)]) as destination,
        peers.pydcm(tmp_path, mover=destination.address[1]) as scp,
        ae.associate(*scp.address, ae_title="PYDCM", ext_neg=roles) as association,
    ):
        for status, reply in (
            association.send_n_create(values, STEP, INSTANCE),
            association.send_n_set(values, STEP, INSTANCE),
            association.send_n_create(values, AVAILABILITY, INSTANCE),
            association.send_n_create(values, PUSH, INSTANCE),
            association.send_n_action(values, 3, PUSH, INSTANCE, meta_uid=WATCH),
            association.send_n_action(values, 1, PUSH, INSTANCE, meta_uid=PULL),
            association.send_n_get([(0x0010, 0x0020)], PUSH, INSTANCE, meta_uid=PULL),
            association.send_n_set(values, PUSH, INSTANCE, meta_uid=PULL),
            association.send_n_event_report(values, 1, PUSH, INSTANCE, meta_uid=EVENT),
        ):
            assert reply is not None
            assert (status.Status, reply.PatientID) == (SUCCESS, "7")
        print_one_film(association)
        status, _ = association.send_n_action(request, 1, COMMITMENT, COMMITTED)
        assert status.Status == SUCCESS
        event = happened.wait("N_EVENT_REPORT")
        assert (event.event_type, event.event_information.TransactionUID) == (1, request.TransactionUID)
        (item,) = event.event_information.ReferencedSOPSequence
        assert item.ReferencedSOPInstanceUID == DESCRIBED.SOPInstanceUID
        assert f"N_CREATE {STEP} {INSTANCE} 7\nN_SET {STEP} {INSTANCE} 7\n" in scp.output


# --- their SCU, our SCP -----------------------------------------------------------------------------------------------


def pydcm(scenario: str, address: tuple[str, int], directory: Path, *words: peers.Argument) -> list[str]:
    """Run a scenario of pydcm as SCU; return the lines that it prints."""
    script = Path(__file__).with_name("pydcm_peer.py")
    command = [peers.require_python_peer("pydcm"), script, "scu", scenario, *address, directory, *words]
    return peers.execute([str(word) for word in command]).check().output.splitlines()


@exchange("pydcm", "C-ECHO C-STORE C-FIND C-GET C-MOVE MWL", ours="SCP")
def test_pydcm_as_scu(tmp_path: Path) -> None:
    ours, theirs = directories(tmp_path, "ours", "theirs")
    objects = images(*NAMES)
    archive = Archive(ours)
    for one in objects:
        archive.ae.add_supported_context(one.meta.sop_class_uid, one.meta.transfer_syntax, scu_role=True, scp_role=True)

    def find(event: Any) -> Any:
        if "ScheduledProcedureStepSequence" in event.identifier:
            yield PENDING, query("STUDY", PatientID="7")
        else:
            yield from archive.find(event)

    with archive.start() as server:
        server.bind(evt.EVT_C_FIND, find)
        archive.destinations["ARCHIVE"] = server.address
        said = pydcm("composite", server.address, theirs, STUDY, *map(path_of, NAMES))
    assert said == [
        *["echoed 0", *["sent 0"] * len(objects)],
        *[f"found {PENDING} {PATIENT}", "found 0 -", f"scheduled {PENDING} 7", "scheduled 0 -"],
        *["got 0 1", "moved 0 1"],
    ]
    assert stored_in(ours) == contents(objects)
    assert stored_in(theirs) == contents(images(ONE))


@exchange("pydcm", "MPPS Instance-Availability Print Storage-Commitment UPS N-EVENT-REPORT", ours="SCP")
def test_pydcm_is_managed(tmp_path: Path) -> None:
    """Our report goes out on the association on which pydcm has asked for the commitment."""
    printer = PrintSCP()
    handlers: dict[str, Any] = {**dict(printer.handlers), "EVT_N_EVENT_REPORT": None}
    seen: list[tuple[str, str, str]] = []
    has_reported = threading.Event()

    def serve(event: Any) -> Any:
        request = event.request
        sop_class = getattr(request, "RequestedSOPClassUID", None) or request.AffectedSOPClassUID
        seen.append((event.event.name.removeprefix("EVT_"), sop_class, event.context.abstract_syntax))
        if event.context.abstract_syntax == META:
            return handlers[event.event.name](event)
        if sop_class == COMMITMENT:
            threading.Thread(target=report, args=[event.assoc, event.action_information]).start()
        return SUCCESS, query("STUDY", PatientID="7")

    def report(association: Any, asked: Dataset) -> None:
        status, _ = association.send_n_event_report(asked, 1, COMMITMENT, COMMITTED)
        assert status.Status == SUCCESS
        has_reported.set()

    ae = make_ae("SCP")
    for uid in NORMALIZED:
        ae.add_supported_context(uid)
    bound: list[Any] = [(getattr(evt, name), serve) for name in handlers]
    with ae.start_server((HOST, 0), block=False, evt_handlers=bound) as server:
        said = pydcm("normalized", server.address, tmp_path)
        assert has_reported.wait(WAIT)
    # The report may come before the answer to the request.
    assert sorted(said) == sorted(
        [
            *["started 0 1.2.3", "completed 0", "notified 0", "read 0 7", "committed 1", "requested 0", "printed 0"],
            *["pushed 0", "subscribed 0", "claimed 0", "changed 0", "finished 0", "cancelled 0", "told 0"],
        ]
    )
    assert [one for one in seen if one[-1] != META] == [
        ("N_CREATE", STEP, STEP),
        ("N_SET", STEP, STEP),
        ("N_CREATE", AVAILABILITY, AVAILABILITY),
        ("N_CREATE", PUSH, PUSH),
        ("N_ACTION", PUSH, WATCH),
        ("N_ACTION", PUSH, PULL),
        ("N_GET", PUSH, PULL),
        ("N_SET", PUSH, PULL),
        ("N_ACTION", PUSH, PULL),
        ("N_ACTION", PUSH, PUSH),
        ("N_EVENT_REPORT", EVENT, EVENT),
        ("N_ACTION", COMMITMENT, COMMITMENT),
    ]
    (image,) = printer.printed
    assert image.PixelData == PIXELS
