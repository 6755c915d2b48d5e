"""Programs as users of pynetdicom write them, in its documented vocabulary: only their imports are different here."""

import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from dicom_proto.offers.contexts import (
    BasicWorklistManagementPresentationContexts,
    QueryRetrievePresentationContexts,
    StoragePresentationContexts,
    VerificationPresentationContexts,
)
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.sop_class import (
    BasicFilmBox,
    BasicFilmSession,
    BasicGrayscaleImageBox,
    BasicGrayscalePrintManagementMeta,
    CTImageStorage,
    DisplaySystem,
    DisplaySystemInstance,
    GeneralRelevantPatientInformationQuery,
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    Printer,
    PrinterInstance,
    Verification,
)
from dicom_transports.blocking import AE, build_role, code_to_category, debug_logger, evt

HOST = "127.0.0.1"
CT_FILE = str(get_testdata_file("CT_small.dcm", download=False))
MR_FILE = str(get_testdata_file("MR_small.dcm", download=False))


@pytest.fixture
def servers() -> Iterator[list[Any]]:
    """What a program leaves running."""
    started: list[Any] = []
    yield started
    for server in started:
        server.shutdown()


def test_verification(servers: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("my_scp")
    caplog.set_level(logging.INFO, "my_scp")

    def handle_echo(event: Any, logger: logging.Logger) -> int:
        requestor = event.assoc.peer.ae_title
        logger.info("Received C-ECHO request from %s at %s", requestor, event.timestamp.strftime("%Y-%m-%d"))
        return 0x0000

    ae = AE(ae_title="ECHO_SCP")
    ae.supported_contexts = VerificationPresentationContexts
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, handle_echo, [logger])])
    servers.append(server)

    scu = AE()
    scu.requested_contexts = VerificationPresentationContexts
    assoc = scu.associate(server.address[0], server.address[1])
    if assoc.is_established:
        status = assoc.send_c_echo()
        if status:
            assert f"0x{status.Status:04x}" == "0x0000"
        assoc.release()
    assert assoc.is_released
    assert "Received C-ECHO request from DICOM_PROTO" in caplog.text


def test_debug_logger() -> None:
    debug_logger()
    assert code_to_category(0xFF00) == "Pending"
    assert code_to_category(0x0000) == "Success"


def test_display_system(servers: list[Any]) -> None:
    def handle_get(event: Any) -> tuple[int, Dataset | None]:
        if event.request.RequestedSOPInstanceUID != DisplaySystemInstance:
            return 0x0112, None
        assert (0x0008, 0x0070) in event.attribute_identifiers
        dataset = Dataset()
        dataset.Manufacturer = "Example"
        return 0x0000, dataset

    ae = AE()
    ae.add_supported_context(DisplaySystem)
    server = ae.start_server((HOST, 0), evt_handlers=[(evt.EVT_N_GET, handle_get)], block=False)
    servers.append(server)

    ae = AE()
    ae.add_requested_context(DisplaySystem)
    assoc = ae.associate(server.address[0], server.address[1])
    assert assoc.is_established
    status, attr_list = assoc.send_n_get([(0x0008, 0x0070)], DisplaySystem, DisplaySystemInstance)
    assert status.Status == 0x0000
    assert attr_list is not None
    assert attr_list.Manufacturer == "Example"
    status, attr_list = assoc.send_n_get([(0x0008, 0x0070)], DisplaySystem, "1.2.3")
    assert status.Status == 0x0112
    assert attr_list is None
    assoc.release()


def storage_server(servers: list[Any], directory: Path, *transfer_syntaxes: Any) -> Any:
    def handle_store(event: Any, directory: Path) -> int:
        ds = event.dataset
        ds.file_meta = event.file_meta
        ds.save_as(directory / f"{ds.SOPInstanceUID}.dcm", enforce_file_format=True)
        return 0x0000

    ae = AE(ae_title="STORE_SCP")
    for uid in CTImageStorage, MRImageStorage:
        ae.add_supported_context(uid, *transfer_syntaxes)
    handlers: list[Any] = [(evt.EVT_C_STORE, handle_store, [directory])]
    server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    servers.append(server)
    return server


def assert_same(path: Path, original: str) -> None:
    stored, sent = dcmread(path), dcmread(original)
    assert stored.PixelData == sent.PixelData
    assert stored.PatientName == sent.PatientName


def test_storage_with_one_transfer_syntax(servers: list[Any], tmp_path: Path) -> None:
    server = storage_server(servers, tmp_path, ExplicitVRLittleEndian)
    ae = AE()
    ae.add_requested_context(CTImageStorage, transfer_syntax=ExplicitVRLittleEndian)
    ds = dcmread(CT_FILE)
    assoc = ae.associate(server.address[0], server.address[1])
    if assoc.is_established:
        status = assoc.send_c_store(ds)
        assert status
        assert status.Status == 0x0000
        assoc.release()
    assert_same(tmp_path / f"{ds.SOPInstanceUID}.dcm", CT_FILE)


def test_storage_with_several_transfer_syntaxes(servers: list[Any], tmp_path: Path) -> None:
    server = storage_server(servers, tmp_path)
    ae = AE()
    ae.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    ae.add_requested_context(CTImageStorage, JPEGBaseline8Bit)
    ae.add_requested_context(MRImageStorage)
    assoc = ae.associate(server.address[0], server.address[1], max_pdu=4096)
    assert assoc.is_established
    assert [context.abstract_syntax for context in assoc.accepted_contexts] == [CTImageStorage, MRImageStorage]
    assert [context.transfer_syntax[0] for context in assoc.rejected_contexts] == [JPEGBaseline8Bit]
    for name in CT_FILE, MR_FILE:
        ds = dcmread(name)
        assert assoc.send_c_store(ds).Status == 0x0000
        assert assoc.send_c_store(name).Status == 0x0000
        assert_same(tmp_path / f"{ds.SOPInstanceUID}.dcm", name)
    assoc.release()


def test_storage_without_decoding(servers: list[Any], tmp_path: Path) -> None:
    def handle_store(event: Any) -> int:
        path = tmp_path / event.request.AffectedSOPInstanceUID
        path.write_bytes(event.encoded_dataset())
        return 0x0000

    ae = AE()
    ae.supported_contexts = StoragePresentationContexts
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle_store)])
    servers.append(server)
    scu = AE()
    scu.requested_contexts = StoragePresentationContexts
    assert len(scu.requested_contexts) <= 128
    with scu.associate(server.address[0], server.address[1]) as assoc:
        assert assoc.send_c_store(CT_FILE).Status == 0x0000
    (stored,) = tmp_path.iterdir()
    assert_same(stored, CT_FILE)


class Archive:
    """A query/retrieve SCP over some files."""

    def __init__(self, *names: str) -> None:
        self.instances = [dcmread(name) for name in names]
        self.destinations: dict[str, tuple[str, int]] = {}

    def matches(self, event: Any) -> list[Dataset]:
        ds = event.identifier
        wanted = str(ds.get("PatientName", ""))
        return [one for one in self.instances if wanted in {"*", "", str(one.PatientName)}]

    def handle_find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if "QueryRetrieveLevel" not in event.identifier:
            yield 0xC000, None
            return
        for instance in self.matches(event):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            identifier = Dataset()
            identifier.PatientName = instance.PatientName
            identifier.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
            yield 0xFF00, identifier

    def handle_get(self, event: Any) -> Iterator[Any]:
        instances = self.matches(event)
        yield len(instances)
        for instance in instances:
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, instance

    def handle_move(self, event: Any) -> Iterator[Any]:
        try:
            addr, port = self.destinations[event.move_destination]
        except KeyError:
            yield None, None
            return
        yield addr, port
        yield from self.handle_get(event)

    def start(self, servers: list[Any]) -> Any:
        ae = AE(ae_title="ARCHIVE")
        ae.supported_contexts = QueryRetrievePresentationContexts
        for uid in CTImageStorage, MRImageStorage:
            ae.add_supported_context(uid, scu_role=True, scp_role=True)
        handlers = [
            (evt.EVT_C_FIND, self.handle_find),
            (evt.EVT_C_GET, self.handle_get),
            (evt.EVT_C_MOVE, self.handle_move),
        ]
        server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
        servers.append(server)
        return server


def patient_query() -> Dataset:
    ds = Dataset()
    ds.PatientName = "*"
    ds.QueryRetrieveLevel = "PATIENT"
    return ds


def test_find(servers: list[Any]) -> None:
    server = Archive(CT_FILE, MR_FILE).start(servers)
    ae = AE()
    ae.add_requested_context(PatientRootQueryRetrieveInformationModelFind)
    assoc = ae.associate(server.address[0], server.address[1])
    assert assoc.is_established
    names = []
    responses = assoc.send_c_find(patient_query(), PatientRootQueryRetrieveInformationModelFind)
    for status, identifier in responses:
        assert status
        if status.Status in (0xFF00, 0xFF01):
            assert identifier is not None
            names.append(str(identifier.PatientName))
    assert names == ["CompressedSamples^CT1", "CompressedSamples^MR1"]
    assoc.release()


def test_get(servers: list[Any]) -> None:
    server = Archive(CT_FILE, MR_FILE).start(servers)
    received = []

    def handle_store(event: Any) -> int:
        ds = event.dataset
        ds.file_meta = event.file_meta
        received.append(ds.SOPInstanceUID)
        return 0x0000

    ae = AE()
    ae.add_requested_context(PatientRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage)
    ae.add_requested_context(MRImageStorage)
    roles = [build_role(uid, scp_role=True) for uid in (CTImageStorage, MRImageStorage)]
    assoc = ae.associate(
        server.address[0], server.address[1], ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, handle_store)]
    )
    assert assoc.is_established
    responses = list(assoc.send_c_get(patient_query(), PatientRootQueryRetrieveInformationModelGet))
    assert [status.Status for status, _ in responses] == [0xFF00, 0xFF00, 0x0000]
    assert responses[-1][0].NumberOfCompletedSuboperations == 2
    assoc.release()
    assert received == [dcmread(name).SOPInstanceUID for name in (CT_FILE, MR_FILE)]


def test_move_to_oneself(servers: list[Any]) -> None:
    archive = Archive(CT_FILE, MR_FILE)
    server = archive.start(servers)
    received = []

    def handle_store(event: Any) -> int:
        received.append((event.dataset.SOPInstanceUID, event.assoc.peer.ae_title))
        return 0x0000

    ae = AE(ae_title="MOVER")
    ae.add_requested_context(PatientRootQueryRetrieveInformationModelMove)
    ae.supported_contexts = StoragePresentationContexts
    scp = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle_store)])
    servers.append(scp)
    archive.destinations["MOVER"] = scp.address
    assoc = ae.associate(server.address[0], server.address[1])
    assert assoc.is_established
    model = PatientRootQueryRetrieveInformationModelMove
    responses = assoc.send_c_move(patient_query(), "MOVER", model)
    assert [status.Status for status, _ in responses] == [0xFF00, 0xFF00, 0x0000]
    responses = assoc.send_c_move(patient_query(), "ELSEWHERE", model)
    assert [status.Status for status, _ in responses] == [0xA801]
    assoc.release()
    assert received == [(dcmread(name).SOPInstanceUID, "ARCHIVE") for name in (CT_FILE, MR_FILE)]


def test_worklist(servers: list[Any]) -> None:
    def handle_find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        (step,) = event.identifier.ScheduledProcedureStepSequence
        answer = Dataset()
        answer.PatientName = "Worklist^Patient"
        item = Dataset()
        item.Modality = step.Modality
        item.ScheduledStationAETitle = "CTSCANNER"
        answer.ScheduledProcedureStepSequence = [item]
        yield 0xFF00, answer

    ae = AE()
    ae.supported_contexts = BasicWorklistManagementPresentationContexts
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handle_find)])
    servers.append(server)

    ae = AE()
    ae.add_requested_context(ModalityWorklistInformationFind)
    ds = Dataset()
    ds.PatientName = "*"
    item = Dataset()
    item.ScheduledStationAETitle = "CTSCANNER"
    item.Modality = "CT"
    ds.ScheduledProcedureStepSequence = [item]
    assoc = ae.associate(server.address[0], server.address[1])
    (found, last) = assoc.send_c_find(ds, ModalityWorklistInformationFind)
    assert (found[0].Status, last[0].Status) == (0xFF00, 0x0000)
    assert found[1] is not None
    assert found[1].ScheduledProcedureStepSequence[0].Modality == "CT"
    assoc.release()


def test_relevant_patient(servers: list[Any]) -> None:
    def handle_find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        answer = Dataset()
        answer.PatientID = event.identifier.PatientID
        answer.PatientName = "Relevant^Patient"
        yield 0xFF00, answer

    ae = AE()
    ae.add_supported_context(GeneralRelevantPatientInformationQuery)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handle_find)])
    servers.append(server)

    ae = AE()
    ae.add_requested_context(GeneralRelevantPatientInformationQuery)
    ds = Dataset()
    ds.PatientID = "12345"
    assoc = ae.associate(server.address[0], server.address[1])
    responses = list(assoc.send_c_find(ds, GeneralRelevantPatientInformationQuery))
    assert [status.Status for status, _ in responses] == [0xFF00, 0x0000]
    assert responses[0][1] is not None
    assert responses[0][1].PatientID == "12345"
    assoc.release()


def test_performed_procedure_step(servers: list[Any]) -> None:
    steps: dict[str, Dataset] = {}

    def handle_create(event: Any) -> tuple[int, Dataset | None]:
        uid = event.request.AffectedSOPInstanceUID
        if uid in steps:
            return 0x0111, None
        ds = event.attribute_list
        if ds.get("PerformedProcedureStepStatus") != "IN PROGRESS":
            return 0x0106, None
        steps[uid] = ds
        return 0x0000, ds

    def handle_set(event: Any) -> tuple[int, Dataset | None]:
        uid = event.request.RequestedSOPInstanceUID
        if uid not in steps:
            return 0x0112, None
        steps[uid].update(event.modification_list)
        return 0x0000, steps[uid]

    ae = AE()
    ae.add_supported_context(ModalityPerformedProcedureStep)
    handlers: list[Any] = [(evt.EVT_N_CREATE, handle_create), (evt.EVT_N_SET, handle_set)]
    server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    servers.append(server)

    ae = AE()
    ae.add_requested_context(ModalityPerformedProcedureStep)
    ds = Dataset()
    ds.PerformedProcedureStepStatus = "IN PROGRESS"
    ds.Modality = "CT"
    uid = generate_uid()
    assoc = ae.associate(server.address[0], server.address[1])
    status, attr_list = assoc.send_n_create(ds, ModalityPerformedProcedureStep, uid)
    assert attr_list is not None
    assert (status.Status, attr_list.Modality) == (0x0000, "CT")
    status, attr_list = assoc.send_n_create(ds, ModalityPerformedProcedureStep, uid)
    assert (status.Status, attr_list) == (0x0111, None)
    changes = Dataset()
    changes.PerformedProcedureStepStatus = "COMPLETED"
    status, attr_list = assoc.send_n_set(changes, ModalityPerformedProcedureStep, uid)
    assert attr_list is not None
    assert (status.Status, attr_list.PerformedProcedureStepStatus) == (0x0000, "COMPLETED")
    assoc.release()
    assert steps[uid].PerformedProcedureStepStatus == "COMPLETED"


class PrintServer:
    """A print SCP with one film box of one image."""

    def __init__(self) -> None:
        self.printed: list[bytes] = []
        self.image = Dataset()

    def handle_get(self, event: Any) -> tuple[int, Dataset]:
        assert event.request.RequestedSOPInstanceUID == PrinterInstance
        ds = Dataset()
        ds.PrinterStatus = "NORMAL"
        return 0x0000, ds

    def handle_create(self, event: Any) -> tuple[int, Dataset]:
        ds = event.attribute_list
        if event.request.AffectedSOPClassUID == BasicFilmBox:
            item = Dataset()
            item.ReferencedSOPClassUID = BasicGrayscaleImageBox
            item.ReferencedSOPInstanceUID = "1.2.99"
            ds.ReferencedImageBoxSequence = [item]
        return 0x0000, ds

    def handle_set(self, event: Any) -> tuple[int, Dataset]:
        self.image = event.modification_list.BasicGrayscaleImageSequence[0]
        return 0x0000, event.modification_list

    def handle_action(self, _event: Any) -> tuple[int, None]:
        self.printed.append(self.image.PixelData)
        return 0x0000, None

    def handle_delete(self, _event: Any) -> int:
        return 0x0000

    def start(self, servers: list[Any]) -> Any:
        ae = AE()
        ae.add_supported_context(BasicGrayscalePrintManagementMeta)
        handlers: list[Any] = [
            (evt.EVT_N_GET, self.handle_get),
            (evt.EVT_N_CREATE, self.handle_create),
            (evt.EVT_N_SET, self.handle_set),
            (evt.EVT_N_ACTION, self.handle_action),
            (evt.EVT_N_DELETE, self.handle_delete),
        ]
        server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
        servers.append(server)
        return server


def test_print(servers: list[Any]) -> None:
    printer = PrintServer()
    server = printer.start(servers)
    meta = BasicGrayscalePrintManagementMeta
    ae = AE()
    ae.add_requested_context(meta)
    assoc = ae.associate(server.address[0], server.address[1])
    assert assoc.is_established
    status, attr_list = assoc.send_n_get([0x21100010], Printer, PrinterInstance, meta_uid=meta)
    assert attr_list is not None
    assert (status.Status, attr_list.PrinterStatus) == (0x0000, "NORMAL")

    session = Dataset()
    session.NumberOfCopies = "1"
    session_uid = generate_uid()
    status, _ = assoc.send_n_create(session, BasicFilmSession, session_uid, meta_uid=meta)
    assert status.Status == 0x0000

    box = Dataset()
    box.ImageDisplayFormat = r"STANDARD\1,1"
    item = Dataset()
    item.ReferencedSOPClassUID = BasicFilmSession
    item.ReferencedSOPInstanceUID = session_uid
    box.ReferencedFilmSessionSequence = [item]
    box_uid = generate_uid()
    status, attr_list = assoc.send_n_create(box, BasicFilmBox, box_uid, meta_uid=meta)
    assert status.Status == 0x0000
    assert attr_list is not None
    reference = attr_list.ReferencedImageBoxSequence[0]

    pixels = dcmread(CT_FILE)
    image = Dataset()
    image.BasicGrayscaleImageSequence = [pixels]
    uid = reference.ReferencedSOPInstanceUID
    status, _ = assoc.send_n_set(image, BasicGrayscaleImageBox, uid, meta_uid=meta)
    assert status.Status == 0x0000
    status, _ = assoc.send_n_action(None, 1, BasicFilmBox, box_uid, meta_uid=meta)
    assert status.Status == 0x0000
    status = assoc.send_n_delete(BasicFilmSession, session_uid, meta_uid=meta)
    assert status.Status == 0x0000
    assoc.release()
    assert printer.printed == [pixels.PixelData]


def test_notifications_and_user_identity(servers: list[Any]) -> None:
    def handle_user_id(event: Any) -> tuple[bool, bytes | None]:
        if event.user_id_type == 1:
            return event.primary_field == b"pynetdicom", None
        return False, None

    opened = []

    def handle_open(event: Any) -> None:
        opened.append(event.address)

    ae = AE()
    ae.add_supported_context(Verification)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_USER_ID, handle_user_id)])
    servers.append(server)
    for name, is_welcome in ((b"pynetdicom", True), (b"somebody", False)):
        item = UserIdentityNegotiation()
        item.user_identity_type = 1
        item.primary_field = name
        scu = AE()
        scu.add_requested_context(Verification)
        assoc = scu.associate(
            server.address[0], server.address[1], ext_neg=[item], evt_handlers=[(evt.EVT_CONN_OPEN, handle_open)]
        )
        assert assoc.is_established is is_welcome
        assert assoc.is_rejected is not is_welcome
        if assoc.is_established:
            assoc.release()
        else:
            assoc.abort()
    assert opened == [server.address] * 2


def test_encoded_data_set_is_a_file(servers: list[Any]) -> None:
    received: list[bytes] = []
    ae = AE()
    ae.add_supported_context(CTImageStorage)

    def handle_store(event: Any) -> int:
        received.append(event.encoded_dataset())
        return 0x0000

    handlers: list[Any] = [(evt.EVT_C_STORE, handle_store)]
    server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    servers.append(server)
    scu = AE()
    scu.add_requested_context(CTImageStorage)
    with scu.associate(server.address[0], server.address[1]) as assoc:
        assoc.send_c_store(Path(CT_FILE))
    assert dcmread(BytesIO(received[0])).SOPInstanceUID == dcmread(CT_FILE).SOPInstanceUID
