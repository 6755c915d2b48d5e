"""pydcm as SCP or SCU: run by an interpreter that has it as ``pydcm_peer.py scp PORT DIRECTORY MOVER_PORT`` or
``pydcm_peer.py scu SCENARIO HOST PORT DIRECTORY [WORD ...]``.

The SCP keeps what it is sent in a directory, and finds and retrieves it again; of the N-services it says what it was
asked for.
"""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydcm  # type: ignore[import-not-found]  # it has an environment of its own
from pydcm import dimse

evt, sop_class = dimse.evt, dimse.sop_class
HOST = "127.0.0.1"
FIND = sop_class.StudyRootQueryRetrieveInformationModelFind
GET = sop_class.StudyRootQueryRetrieveInformationModelGet
MOVE = sop_class.StudyRootQueryRetrieveInformationModelMove
WORKLIST = sop_class.ModalityWorklistInformationModelFind
COMMITMENT = sop_class.StorageCommitmentPushModel
EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
STORED = [
    *((uid, [EXPLICIT]) for uid in (sop_class.CTImageStorage, sop_class.MRImageStorage)),
    (sop_class.SecondaryCaptureImageStorage, [JPEG]),
]
NORMALIZED = [
    sop_class.ModalityPerformedProcedureStep,
    COMMITMENT,
    sop_class.InstanceAvailabilityNotification,
    sop_class.BasicGrayscalePrintManagementMeta,
    sop_class.UnifiedProcedureStepPush,
    sop_class.UnifiedProcedureStepPull,
    sop_class.UnifiedProcedureStepWatch,
    sop_class.UnifiedProcedureStepEvent,
]


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201  pytest shows what a peer says


def dataset(**values: Any) -> Any:
    made = pydcm.Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


# --- SCP --------------------------------------------------------------------------------------------------------------


class Archive:
    def __init__(self, directory: Path, mover: int) -> None:
        self.directory = directory
        self.mover = mover

    def store(self, event: Any) -> int:
        event.dataset.save_as(str(self.directory / f"{event.sop_instance_uid}.dcm"))
        return 0x0000

    def matches(self, event: Any) -> Iterator[Any]:
        wanted = str(event.identifier.get("StudyInstanceUID") or "")
        for path in sorted(self.directory.glob("*.dcm")):
            found = pydcm.dcmread(str(path))
            if wanted in {"", str(found.StudyInstanceUID)}:
                yield found

    def find(self, event: Any) -> Iterator[Any]:
        if "ScheduledProcedureStepSequence" in event.identifier:
            yield 0xFF00, dataset(PatientID="7", ScheduledProcedureStepSequence=[dataset(Modality="MR")])
            return
        for found in self.matches(event):
            study = str(found.StudyInstanceUID)
            yield 0xFF00, dataset(QueryRetrieveLevel="STUDY", StudyInstanceUID=study, PatientID=str(found.PatientID))

    def get(self, event: Any) -> Iterator[Any]:
        found = list(self.matches(event))
        yield len(found)
        yield from ((0xFF00, one) for one in found)

    def move(self, event: Any) -> Iterator[Any]:
        yield (HOST, self.mover) if event.move_destination == "MOVER" else (None, None)
        yield from self.get(event)


def patient_in(asked: Any) -> str:
    return str(asked.get("PatientID") or "-") if asked is not None else "-"


class Manager:
    """Answers the N-services; a request for commitment is followed by a report on an association of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def handler(self, service: str) -> Any:
        def handle(event: Any) -> Any:
            say(service, event.sop_class_uid, event.sop_instance_uid or "-", patient_in(event.attribute_list))
            if service == "N_DELETE":
                return 0x0000
            if service == "N_ACTION" and event.sop_class_uid == COMMITMENT:
                threading.Thread(target=self.report, args=[event.action_information]).start()
                return 0x0000, None
            reply = dataset(PatientID="7", PrinterStatus="NORMAL")
            if service == "N_CREATE" and event.sop_class_uid == sop_class.BasicFilmBox:
                box = dataset(ReferencedSOPClassUID=sop_class.BasicGrayscaleImageBox, ReferencedSOPInstanceUID="1.2.9")
                reply.ReferencedImageBoxSequence = [box]
            return 0x0000, reply

        return handle

    def report(self, asked: Any) -> None:
        ae = dimse.AE("PYDCM")
        ae.add_requested_context(COMMITMENT)
        ae.add_supported_context(COMMITMENT)  # so that it proposes to be the SCP
        association = ae.associate(HOST, self.port, ae_title="MOVER")
        references = [
            dataset(
                ReferencedSOPClassUID=str(item.ReferencedSOPClassUID),
                ReferencedSOPInstanceUID=str(item.ReferencedSOPInstanceUID),
            )
            for item in asked.ReferencedSOPSequence
        ]
        result = dataset(TransactionUID=str(asked.TransactionUID), ReferencedSOPSequence=references)
        status, _ = association.send_n_event_report(
            result, dimse.StorageCommitment.EVENT_SUCCESS, COMMITMENT, dimse.StorageCommitment.PUSH_MODEL_INSTANCE
        )
        say("reported", status.get("Status"))
        association.release()


def serve(port: int, directory: Path, mover: int) -> None:
    archive, manager = Archive(directory, mover), Manager(mover)
    ae = dimse.AE("PYDCM")
    handlers = [
        (evt.EVT_C_STORE, archive.store),
        (evt.EVT_C_FIND, archive.find),
        (evt.EVT_C_GET, archive.get),
        (evt.EVT_C_MOVE, archive.move),
    ]
    services = ("N_CREATE", "N_SET", "N_GET", "N_ACTION", "N_DELETE", "N_EVENT_REPORT")
    handlers += [(getattr(evt, f"EVT_{service}"), manager.handler(service)) for service in services]
    for uid in (sop_class.Verification, FIND, GET, MOVE, WORKLIST, *NORMALIZED):
        ae.add_supported_context(uid)
    for kind in STORED:
        ae.add_supported_context(*kind, scu_role=True, scp_role=True)
    ae.start_server((HOST, port), evt_handlers=handlers)


# --- SCU --------------------------------------------------------------------------------------------------------------


def composite(host: str, port: int, directory: Path, study: str, *files: str) -> None:
    """Verification, storage, query and retrieval, all on one association."""
    ae = dimse.AE("PYDCM")
    for uid in sop_class.Verification, FIND, GET, MOVE, WORKLIST:
        ae.add_requested_context(uid)
    ae.add_requested_contexts_for_files(files)
    ae.add_supported_context(sop_class.MRImageStorage, EXPLICIT, scu_role=True, scp_role=True)
    wanted = dataset(QueryRetrieveLevel="STUDY", StudyInstanceUID=study, PatientID="")
    with ae.associate(host, port, ae_title="ARCHIVE") as association:
        say("echoed", association.send_c_echo().Status)
        for file in files:
            say("sent", association.send_c_store(file).Status)
        for status, found in association.send_c_find(wanted, FIND):
            say("found", status.Status, patient_in(found))
        step = dataset(PatientID="", ScheduledProcedureStepSequence=[dataset(Modality="")])
        for status, found in association.send_c_find(step, WORKLIST):
            say("scheduled", status.Status, patient_in(found))
        for status, _ in association.send_c_get(wanted, GET, store_dir=directory):
            say("got", status.Status, status.NumberOfCompletedSuboperations)
        for status, _ in association.send_c_move(wanted, "ARCHIVE", MOVE):
            say("moved", status.Status, status.NumberOfCompletedSuboperations)


def normalized(host: str, port: int, *_: str) -> None:
    """Performed and unified procedure steps, commitment, availability; then a film."""
    is_reported = threading.Event()

    def report(event: Any) -> Any:
        say("committed", event.event_type)  # it hands out no information with it
        is_reported.set()
        return 0x0000, None

    ae = dimse.AE("PYDCM")
    for uid in NORMALIZED:
        ae.add_requested_context(uid)
    handlers = [(evt.EVT_N_EVENT_REPORT, report)]
    with ae.associate(host, port, ae_title="SCP", evt_handlers=handlers) as association:
        status, uid = association.mpps_create(dataset(PatientID="7"), "1.2.3")
        say("started", status.Status, uid)
        say("completed", association.mpps_complete(uid)[0].Status)
        status, _ = association.notify_instances_available("1.2.3", [("1.2.3.4", FIND, "1.2.3.4.5")])
        say("notified", status.Status)
        status, _ = association.ups_push(dataset(PatientID="7"), "1.2.4")
        say("pushed", status.Status)
        say("subscribed", association.ups_subscribe(receiving_ae="PYDCM")[0].Status)
        status, transaction = association.ups_claim("1.2.4")
        say("claimed", status.Status)
        status, found = association.ups_get("1.2.4", [(0x0010, 0x0020)])
        say("read", status.Status, patient_in(found))
        say("changed", association.ups_set("1.2.4", dataset(PatientID="8"), transaction)[0].Status)
        say("finished", association.ups_complete("1.2.4", transaction)[0].Status)
        say("cancelled", association.ups_request_cancel("1.2.4")[0].Status)
        event = dataset(ProcedureStepState="CANCELED")
        say("told", association.send_n_event_report(event, 1, sop_class.UnifiedProcedureStepEvent, "1.2.4")[0].Status)
        status, _ = association.request_storage_commitment([(FIND, "1.2.3.4.5")])
        say("requested", status.Status)
        is_reported.wait(20)
    status, _ = dimse.print_image(host, port, bytes(range(64)), 8, 8, called_ae="SCP")
    say("printed", status.Status)


def step(host: str, port: int, *_: str) -> None:
    """One performed procedure step, in whichever transfer syntax the SCP takes."""
    ae = dimse.AE("PYDCM")
    ae.add_requested_context(sop_class.ModalityPerformedProcedureStep)
    with ae.associate(host, port, ae_title="SCP") as association:
        status, uid = association.mpps_create(dataset(PatientID="7"), "1.2.3")
        say("started", status.Status, uid)


SCENARIOS: dict[str, Any] = {"composite": composite, "normalized": normalized, "step": step}

if __name__ == "__main__":
    role, *words = sys.argv[1:]
    if role == "scp":
        serve(int(words[0]), Path(words[1]), int(words[2]))
    else:
        scenario, host, port, directory, *rest = words
        SCENARIOS[scenario](host, int(port), Path(directory), *rest)
