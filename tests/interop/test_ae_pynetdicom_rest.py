"""pynetdicom on the other end of our AE: every model of retrieval, notifications, negotiation, and what is rare."""

import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from dicom_proto import sop_class
from dicom_proto.sop_class import CTImageStorage, Verification
from tests.interop.archive import HOST, query
from tests.interop.images import CT, path_of
from tests.interop.libraries import Sides, dialled, recorder, serving, with_contexts
from tests.interop.printer import META, PrintSCP, print_one_film
from tests.interop.storage import WAIT

pytestmark = pytest.mark.usefixtures("adapter")
between = pytest.mark.between
ORIGINAL = dcmread(path_of(CT))
INSTANCE = "1.2.3.4"
PENDING, SUCCESS, CANCELLED = 0xFF00, 0x0000, 0xFE00

# --- retrieval --------------------------------------------------------------------------------------------------------

MODELS = (
    "PatientRootQueryRetrieveInformationModel",
    "StudyRootQueryRetrieveInformationModel",
    "PatientStudyOnlyQueryRetrieveInformationModel",
    "CompositeInstanceRootRetrieve",
    "HangingProtocolInformationModel",
    "ColorPaletteInformationModel",
    "GenericImplantTemplateInformationModel",
    "ImplantAssemblyTemplateInformationModel",
    "ImplantTemplateGroupInformationModel",
    "DefinedProcedureProtocolInformationModel",
    "ProtocolApprovalInformationModel",
    "Inventory",
)
BULKLESS = sop_class.CompositeInstanceRetrieveWithoutBulkDataGet
RETRIEVED = "Hanging-Protocol Color-Palette Implant-Template Defined-Procedure Protocol-Approval Inventory"


def stored_pixels(stored: list[bytes | None]) -> tuple[str, Any]:
    def store(event: Any) -> int:
        stored.append(event.dataset.get("PixelData"))
        return SUCCESS

    return "EVT_C_STORE", store


def provide(_event: Any) -> Iterator[Any]:
    yield 1
    yield PENDING, deepcopy(ORIGINAL)


@between(f"C-GET {RETRIEVED}")
def test_every_get(sides: Sides) -> None:
    scu, scp = sides
    stored: list[bytes | None] = []
    models = (*(getattr(sop_class, f"{model}Get") for model in MODELS), BULKLESS)
    uids = (*models, CTImageStorage)
    role = scu.build_role(CTImageStorage, scp_role=True)
    with (
        serving(scp, ("EVT_C_GET", provide), uids=uids) as port,
        dialled(scu, port, stored_pixels(stored), uids=uids, ext_neg=[role]) as association,
    ):
        for model in models:
            results = list(association.send_c_get(query("IMAGE", SOPInstanceUID="1.2"), model))
            assert [status.Status for status, _ in results] == [PENDING, SUCCESS]
            assert results[-1][0].NumberOfCompletedSuboperations == 1
    assert stored == [*[ORIGINAL.PixelData] * len(MODELS), None]


@between(f"C-MOVE {RETRIEVED}")
def test_every_move(sides: Sides) -> None:
    scu, scp = sides
    stored: list[bytes | None] = []
    models = tuple(getattr(sop_class, f"{model}Move") for model in MODELS)
    with serving(scu, stored_pixels(stored), title="DEST", uids=(CTImageStorage,)) as destination:

        def move(event: Any) -> Iterator[Any]:
            contexts = with_contexts(scp, "SCP", CTImageStorage).requested_contexts
            yield HOST, destination, {"contexts": contexts}
            yield from provide(event)

        with serving(scp, ("EVT_C_MOVE", move), uids=models) as port, dialled(scu, port, uids=models) as association:
            for model in models:
                results = list(association.send_c_move(query("IMAGE", SOPInstanceUID="1.2"), "DEST", model))
                assert [status.Status for status, _ in results] == [PENDING, SUCCESS]
    assert stored == [ORIGINAL.PixelData] * len(MODELS)


@between("C-CANCEL")
@pytest.mark.parametrize("service", ["C-GET", "C-MOVE"])
def test_cancel_retrieval(sides: Sides, service: str) -> None:
    """The second object waits until the SCU has cancelled."""
    scu, scp = sides
    has_cancelled = threading.Event()
    stored: list[bytes | None] = []

    def retrieve(event: Any) -> Iterator[Any]:
        if service == "C-MOVE":
            contexts = with_contexts(scp, "SCP", CTImageStorage).requested_contexts
            yield HOST, destination, {"contexts": contexts}
        yield 1000
        yield PENDING, ORIGINAL
        assert has_cancelled.wait(WAIT)
        while not event.is_cancelled:
            yield PENDING, ORIGINAL
        yield CANCELLED, None

    uid = getattr(sop_class, f"StudyRootQueryRetrieveInformationModel{service[2:].title()}")
    uids = (uid, CTImageStorage)
    role = scu.build_role(CTImageStorage, scp_role=True)
    handler = (f"EVT_{service.replace('-', '_')}", retrieve)
    with (
        serving(scu, stored_pixels(stored), title="DEST", uids=(CTImageStorage,)) as destination,
        serving(scp, handler, uids=uids) as port,
        dialled(scu, port, stored_pixels(stored), uids=uids, ext_neg=[role]) as association,
    ):
        wanted = query("STUDY", StudyInstanceUID="1.2")
        if service == "C-GET":
            results = association.send_c_get(wanted, uid, msg_id=1000)
        else:
            results = association.send_c_move(wanted, "DEST", uid, msg_id=1000)
        assert next(results)[0].Status == PENDING
        association.send_c_cancel(1000, None, uid)
        has_cancelled.set()
        *_, (status, _) = results
        assert status.Status == CANCELLED
        assert status.NumberOfCompletedSuboperations == len(stored) < 1000


QUERIES = (
    sop_class.PatientRootQueryRetrieveInformationModelFind,
    sop_class.StudyRootQueryRetrieveInformationModelFind,
    sop_class.PatientStudyOnlyQueryRetrieveInformationModelFind,
    sop_class.RepositoryQuery,
    sop_class.InventoryFind,
    sop_class.ImplantAssemblyTemplateInformationModelFind,
    sop_class.ImplantTemplateGroupInformationModelFind,
    sop_class.SubstanceApprovalQuery,
    sop_class.BreastImagingRelevantPatientInformationQuery,
    sop_class.CardiacRelevantPatientInformationQuery,
    sop_class.UnifiedProcedureStepWatch,
    sop_class.UnifiedProcedureStepQuery,
)


@between("C-FIND Inventory Implant-Template Substance-Administration Relevant-Patient UPS")
def test_every_query(sides: Sides) -> None:
    scu, scp = sides

    def find(event: Any) -> Iterator[Any]:
        yield PENDING, query("STUDY", PatientID=event.identifier.PatientID)

    with serving(scp, ("EVT_C_FIND", find), uids=QUERIES) as port, dialled(scu, port, uids=QUERIES) as association:
        for model in QUERIES:
            results = list(association.send_c_find(query("STUDY", PatientID="7"), model))
            assert [status.Status for status, _ in results] == [PENDING, SUCCESS]
            assert results[0][1].PatientID == "7"


# --- storage of what belongs to no patient ----------------------------------------------------------------------------

NON_PATIENT = (
    "HangingProtocolStorage",
    "ColorPaletteStorage",
    "GenericImplantTemplateStorage",
    "ImplantAssemblyTemplateStorage",
    "ImplantTemplateGroupStorage",
    "CTDefinedProcedureProtocolStorage",
    "XADefinedProcedureProtocolStorage",
    "ProtocolApprovalStorage",
    "InventoryStorage",
)


@between("Non-Patient-Object")
def test_non_patient_objects(sides: Sides) -> None:
    scu, scp = sides
    stored: list[str] = []

    def store(event: Any) -> int:
        stored.append(event.dataset.SOPClassUID)
        return SUCCESS

    uids = tuple(str(getattr(sop_class, name)) for name in NON_PATIENT)
    with serving(scp, ("EVT_C_STORE", store), uids=uids) as port, dialled(scu, port, uids=uids) as association:
        for uid in uids:
            made = Dataset()
            made.SOPClassUID, made.SOPInstanceUID = uid, generate_uid()
            made.file_meta = FileMetaDataset()
            made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            assert association.send_c_store(made).Status == SUCCESS
    assert stored == list(uids)


# --- N-services -------------------------------------------------------------------------------------------------------


@between("Print")
def test_film(sides: Sides) -> None:
    scu, scp = sides
    printer = PrintSCP()
    with serving(scp, *printer.handlers, uids=(META,)) as port, dialled(scu, port, uids=(META,)) as association:
        print_one_film(association)
    assert len(printer.printed) == 1


REPORTS = (
    sop_class.ModalityPerformedProcedureStepNotification,
    sop_class.UnifiedProcedureStepEvent,
    sop_class.PrintJob,
    sop_class.Printer,
    sop_class.RTConventionalMachineVerification,
    sop_class.RTIonMachineVerification,
    sop_class.StorageCommitmentPushModel,
)


@between("N-EVENT-REPORT MPPS UPS Print RT-Verification Storage-Commitment")
def test_every_report(sides: Sides) -> None:
    """The SCP reports to an SCU that waits for nothing."""
    scu, scp = sides
    seen: list[str] = []
    accepted: list[Any] = []
    is_established = threading.Event()

    def establish(event: Any) -> None:
        accepted.append(event.assoc)
        is_established.set()

    handler = ("EVT_N_EVENT_REPORT", recorder(seen))
    with (
        serving(scp, ("EVT_ESTABLISHED", establish), uids=REPORTS) as port,
        dialled(scu, port, handler, uids=REPORTS),
    ):
        assert is_established.wait(WAIT)
        for uid in REPORTS:
            status, reply = accepted[0].send_n_event_report(query("STUDY", PatientID="7"), 1, uid, INSTANCE)
            assert (status.Status, reply.PatientID) == (SUCCESS, "7")
    assert len(seen) == len(REPORTS)


READ = (
    sop_class.ModalityPerformedProcedureStepRetrieve,
    sop_class.PrinterConfigurationRetrieval,
    sop_class.DisplaySystem,
    sop_class.UnifiedProcedureStepWatch,
)
ACTED_ON = (
    sop_class.UnifiedProcedureStepWatch,
    sop_class.SubstanceAdministrationLogging,
    sop_class.InventoryCreation,
)


@between("MPPS Print Display UPS Event-Logging Storage-Management")
def test_every_call(sides: Sides) -> None:
    scu, scp = sides
    seen: list[str] = []
    handlers = [(name, recorder(seen)) for name in ("EVT_N_GET", "EVT_N_ACTION")]
    uids = tuple({*READ, *ACTED_ON})
    values = query("STUDY", PatientID="7")
    with serving(scp, *handlers, uids=uids) as port, dialled(scu, port, uids=uids) as association:
        replies = [association.send_n_get([(0x0010, 0x0020)], uid, INSTANCE) for uid in READ]
        replies += [association.send_n_action(values, 1, uid, INSTANCE) for uid in ACTED_ON]
    assert [(status.Status, reply.PatientID) for status, reply in replies] == [(SUCCESS, "7")] * len(replies)
    assert seen == [*["EVT_N_GET"] * len(READ), *["EVT_N_ACTION"] * len(ACTED_ON)]


# --- negotiation ------------------------------------------------------------------------------------------------------


@between("Extended-Negotiation")
def test_extended_negotiation(sides: Sides) -> None:
    scu, scp = sides
    seen: list[Any] = []

    def extended(event: Any) -> dict[str, bytes]:
        seen.append(dict(event.app_info))
        return dict.fromkeys(event.app_info, b"\x01")

    def common(event: Any) -> dict[str, Any]:
        seen.append({uid: item.service_class_uid for uid, item in event.items.items()})
        return dict(event.items)

    information = scu.items.SOPClassExtendedNegotiation()
    information.sop_class_uid = CTImageStorage
    information.service_class_application_information = b"\x02\x00\x01\x00"
    declaration = scu.items.SOPClassCommonExtendedNegotiation()
    declaration.sop_class_uid = CTImageStorage
    declaration.service_class_uid = "1.2.840.10008.4.2"
    uids = (Verification, CTImageStorage)
    handlers = [("EVT_SOP_EXTENDED", extended), ("EVT_SOP_COMMON", common)]
    with (
        serving(scp, *handlers, uids=uids) as port,
        dialled(scu, port, uids=uids, ext_neg=[information, declaration]) as association,
    ):
        assert association.send_c_echo().Status == SUCCESS
    assert {str(CTImageStorage): b"\x02\x00\x01\x00"} in seen
    assert {str(CTImageStorage): "1.2.840.10008.4.2"} in seen


@between("Operations-Window")
def test_operations_window(sides: Sides) -> None:
    """pynetdicom can speak of a window and has none: only one request is outstanding, whatever is proposed."""
    scu, scp = sides
    window = scu.items.AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 8
    seen: list[Any] = []

    def answer(event: Any) -> tuple[int, int]:
        seen.append((event.nr_invoked, event.nr_performed))
        return 1, 1

    with (
        serving(scp, ("EVT_ASYNC_OPS", answer), uids=(Verification,)) as port,
        dialled(scu, port, uids=(Verification,), ext_neg=[window]) as association,
    ):
        for _ in range(3):
            assert association.send_c_echo().Status == SUCCESS
    assert seen == [(8, 8)]
