"""pynetdicom on the other end of our AE: the same program is either side of it, with the other library on the other."""

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_proto import sop_class
from tests.interop.archive import HOST, query
from tests.interop.images import CT, path_of
from tests.interop.libraries import OURS, Sides, dialled, recorder, serving, with_contexts

pytestmark = pytest.mark.usefixtures("adapter")
between = pytest.mark.between
WAIT = 20.0
ORIGINAL = dcmread(path_of(CT))
INSTANCE = "1.2.3.4"


@between("C-ECHO C-STORE")
def test_store(sides: Sides) -> None:
    scu, scp = sides
    stored: list[Any] = []

    def store(event: Any) -> int:
        stored.append((event.dataset, event.file_meta.MediaStorageSOPInstanceUID))
        return 0x0000

    uids = (sop_class.Verification, sop_class.CTImageStorage)
    with serving(scp, ("EVT_C_STORE", store), uids=uids) as port, dialled(scu, port, uids=uids) as association:
        assert association.send_c_echo().Status == 0x0000
        assert association.send_c_store(ORIGINAL).Status == 0x0000
        assert association.send_c_store(str(path_of(CT))).Status == 0x0000
    for dataset, uid in stored:
        assert uid == ORIGINAL.SOPInstanceUID
        assert dataset.PixelData == ORIGINAL.PixelData
        assert dataset.PatientName == ORIGINAL.PatientName


@between("C-FIND C-CANCEL")
def test_find(sides: Sides) -> None:
    scu, scp = sides
    asked = threading.Semaphore(0)

    def find(event: Any) -> Iterator[Any]:
        for number in range(3):
            yield 0xFF00, query("STUDY", PatientName=f"{event.identifier.PatientName}{number}")
        if event.identifier.PatientName == "Slow":
            asked.acquire(timeout=WAIT)
            while not event.is_cancelled:
                yield 0xFF00, query("STUDY")
                threading.Event().wait(0.005)
            yield 0xFE00, None

    model = sop_class.StudyRootQueryRetrieveInformationModelFind
    with serving(scp, ("EVT_C_FIND", find), uids=(model,)) as port, dialled(scu, port, uids=(model,)) as association:
        results = list(association.send_c_find(query("STUDY", PatientName="P"), model))
        assert [status.Status for status, _ in results] == [0xFF00] * 3 + [0x0000]
        assert [str(found.PatientName) for _, found in results[:3]] == ["P0", "P1", "P2"]
        slow = association.send_c_find(query("STUDY", PatientName="Slow"), model, msg_id=7)
        next(slow)
        association.send_c_cancel(7, None, model)
        asked.release()
        *_, (status, _) = slow
        assert status.Status == 0xFE00


@between("C-GET")
def test_get(sides: Sides) -> None:
    scu, scp = sides
    stored: list[Any] = []

    def get(_event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, ORIGINAL

    def store(event: Any) -> int:
        stored.append(event.dataset.PixelData)
        return 0x0000

    model = sop_class.StudyRootQueryRetrieveInformationModelGet
    uids = (model, sop_class.CTImageStorage)
    role = scu.build_role(sop_class.CTImageStorage, scp_role=True)
    with (
        serving(scp, ("EVT_C_GET", get), uids=uids) as port,
        dialled(scu, port, ("EVT_C_STORE", store), uids=uids, ext_neg=[role]) as association,
    ):
        results = list(association.send_c_get(query("STUDY", StudyInstanceUID="1.2"), model))
    assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
    assert results[-1][0].NumberOfCompletedSuboperations == 1
    assert stored == [ORIGINAL.PixelData]


@between("C-MOVE")
def test_move(sides: Sides) -> None:
    """The SCP sends to a storage SCP of the SCU's library."""
    scu, scp = sides
    stored: list[Any] = []

    def store(event: Any) -> int:
        stored.append((event.dataset.PixelData, event.request.MoveOriginatorMessageID))
        return 0x0000

    images = (sop_class.CTImageStorage,)
    model = sop_class.StudyRootQueryRetrieveInformationModelMove
    with serving(scu, ("EVT_C_STORE", store), title="DEST", uids=images) as destination:

        def move(event: Any) -> Iterator[Any]:
            if event.move_destination != "DEST":
                yield None, None
                return
            options: dict[str, Any] = {}
            if scp is not OURS:
                options["contexts"] = with_contexts(scp, "SCP", *images).requested_contexts
            yield HOST, destination, options
            yield 1
            yield 0xFF00, ORIGINAL

        with (
            serving(scp, ("EVT_C_MOVE", move), uids=(model,)) as port,
            dialled(scu, port, uids=(model,)) as association,
        ):
            results = list(association.send_c_move(query("STUDY"), "DEST", model, msg_id=9))
            assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
            results = list(association.send_c_move(query("STUDY"), "ELSEWHERE", model))
            assert [status.Status for status, _ in results] == [0xA801]
    assert stored == [(ORIGINAL.PixelData, 9)]


@between("MWL Relevant-Patient")
def test_other_queries(sides: Sides) -> None:
    scu, scp = sides

    def find(event: Any) -> Iterator[Any]:
        answer = Dataset()
        answer.PatientID = event.identifier.PatientID
        yield 0xFF00, answer

    models = (sop_class.ModalityWorklistInformationFind, sop_class.GeneralRelevantPatientInformationQuery)
    wanted = Dataset()
    wanted.PatientID = "7"
    with serving(scp, ("EVT_C_FIND", find), uids=models) as port, dialled(scu, port, uids=models) as association:
        for model in models:
            results = list(association.send_c_find(wanted, model))
            assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
            assert results[0][1].PatientID == "7"


@between("MPPS Print Display")
def test_normalized(sides: Sides) -> None:
    scu, scp = sides
    seen: list[str] = []

    def delete(event: Any) -> int:
        seen.append(event.event.name)
        return 0x0000

    step, meta = sop_class.ModalityPerformedProcedureStep, sop_class.BasicGrayscalePrintManagementMeta
    uids = (step, meta, sop_class.DisplaySystem)
    names = ["EVT_N_CREATE", "EVT_N_SET", "EVT_N_GET", "EVT_N_ACTION"]
    handlers = [*((name, recorder(seen)) for name in names), ("EVT_N_DELETE", delete)]
    values = Dataset()
    values.PatientName = "A^B"
    film = sop_class.BasicFilmSession
    with serving(scp, *handlers, uids=uids) as port, dialled(scu, port, uids=uids) as association:
        for status, reply in (
            association.send_n_create(values, step, INSTANCE),
            association.send_n_set(values, step, INSTANCE),
            association.send_n_get([(0x0008, 0x0070)], sop_class.DisplaySystem, sop_class.DisplaySystemInstance),
            association.send_n_action(values, 1, film, INSTANCE, meta_uid=meta),
        ):
            assert (status.Status, reply.PatientID) == (0x0000, "7")
        assert association.send_n_delete(film, INSTANCE, meta_uid=meta).Status == 0x0000
    assert seen == ["EVT_N_CREATE", "EVT_N_SET", "EVT_N_GET", "EVT_N_ACTION", "EVT_N_DELETE"]


@between("Storage-Commitment")
def test_commitment(sides: Sides) -> None:
    """The report comes on the same association, to an SCU that waits for nothing."""
    scu, scp = sides
    reported = threading.Event()
    seen: list[Any] = []
    accepted: list[Any] = []
    model, instance = sop_class.StorageCommitmentPushModel, sop_class.StorageCommitmentPushModelInstance

    def act(event: Any) -> tuple[int, None]:
        seen.append((event.action_type, event.action_information.TransactionUID))
        accepted.append(event.assoc)
        return 0x0000, None

    def report(event: Any) -> tuple[int, None]:
        seen.append((event.event_type, event.event_information.TransactionUID))
        reported.set()
        return 0x0000, None

    transaction = Dataset()
    transaction.TransactionUID = "1.2.3"
    with (
        serving(scp, ("EVT_N_ACTION", act), uids=(model,)) as port,
        dialled(scu, port, ("EVT_N_EVENT_REPORT", report), uids=(model,)) as association,
    ):
        status, _ = association.send_n_action(transaction, 1, model, instance)
        assert status.Status == 0x0000
        status, _ = accepted[0].send_n_event_report(transaction, 1, model, instance)
        assert status.Status == 0x0000
        assert reported.wait(WAIT)
    assert seen == [(1, "1.2.3"), (1, "1.2.3")]


@between("User-Identity")
def test_identity(sides: Sides) -> None:
    scu, scp = sides

    def identify(event: Any) -> tuple[bool, bytes | None]:
        return event.primary_field == b"me", b"ticket"

    def reject(_event: Any) -> None:
        has_rejected.set()

    has_rejected = threading.Event()
    uids = (sop_class.Verification,)
    with serving(scp, ("EVT_USER_ID", identify), ("EVT_REJECTED", reject), uids=uids) as port:
        for name in b"me", b"you":
            item = scu.items.UserIdentityNegotiation()
            item.user_identity_type = 1
            item.primary_field = name
            item.positive_response_requested = True
            association = with_contexts(scu, "SCU", *uids).associate(HOST, port, ext_neg=[item])
            assert association.is_established is (name == b"me")
            if association.is_established:
                association.release()
            else:  # pynetdicom may take a rejection that comes soon for a connection that was not opened
                assert association.is_rejected or scu is not OURS
                assert has_rejected.wait(WAIT)


STEP_SERVICES = ("N-CREATE", "N-SET", "N-GET", "N-ACTION")
NORMALIZED = {  # the services that are asked for on the context of a SOP class
    sop_class.InstanceAvailabilityNotification: ("N-CREATE",),
    sop_class.MediaCreationManagement: ("N-CREATE", "N-GET", "N-ACTION"),
    sop_class.ProceduralEventLogging: ("N-ACTION",),
    sop_class.RTConventionalMachineVerification: STEP_SERVICES,
    sop_class.UnifiedProcedureStepPush: ("N-CREATE", "N-GET", "N-ACTION"),
}


@between("Instance-Availability Media-Creation Event-Logging RT-Verification UPS")
def test_more_normalized(sides: Sides) -> None:
    scu, scp = sides
    seen: list[str] = []
    values = query("STUDY", PatientID="7")
    names = [f"EVT_{name.replace('-', '_')}" for name in STEP_SERVICES]
    handlers = [(name, recorder(seen)) for name in names]
    uids = tuple(NORMALIZED)
    with serving(scp, *handlers, uids=uids) as port, dialled(scu, port, uids=uids) as association:
        for uid, services in NORMALIZED.items():
            calls = {
                "N-CREATE": partial(association.send_n_create, values, uid, INSTANCE),
                "N-SET": partial(association.send_n_set, values, uid, INSTANCE),
                "N-GET": partial(association.send_n_get, [(0x0010, 0x0020)], uid, INSTANCE),
                "N-ACTION": partial(association.send_n_action, values, 1, uid, INSTANCE),
            }
            for service in services:
                status, reply = calls[service]()
                assert (service, status.Status, reply.PatientID) == (service, 0x0000, "7")
    assert len(seen) == sum(map(len, NORMALIZED.values()))


QUERIES = (
    sop_class.HangingProtocolInformationModelFind,
    sop_class.ColorPaletteInformationModelFind,
    sop_class.GenericImplantTemplateInformationModelFind,
    sop_class.DefinedProcedureProtocolInformationModelFind,
    sop_class.ProtocolApprovalInformationModelFind,
    sop_class.ProductCharacteristicsQuery,
    sop_class.UnifiedProcedureStepPull,
)


@between(
    "Hanging-Protocol Color-Palette Implant-Template Defined-Procedure Protocol-Approval Substance-Administration UPS"
)
def test_more_queries(sides: Sides) -> None:
    scu, scp = sides

    def find(event: Any) -> Iterator[Any]:
        yield 0xFF00, query("STUDY", PatientID=event.identifier.PatientID)

    with serving(scp, ("EVT_C_FIND", find), uids=QUERIES) as port, dialled(scu, port, uids=QUERIES) as association:
        for uid in QUERIES:
            results = list(association.send_c_find(query("STUDY", PatientID="7"), uid))
            assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
            assert results[0][1].PatientID == "7"
