"""dcmjs-dimse on the other end of our AE: a query, all N-services, user identity."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.sop_class import (
    BasicFilmSession,
    BasicGrayscalePrintManagementMeta,
    ModalityPerformedProcedureStep,
    StudyRootQueryRetrieveInformationModelFind,
)
from dicom_transports.blocking import evt
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST, query, requestor

pytestmark = pytest.mark.usefixtures("adapter")
exchange = pytest.mark.exchange
SCRIPT = Path(__file__).with_name("dcmjs_services.js")
FIND = StudyRootQueryRetrieveInformationModelFind
META = BasicGrayscalePrintManagementMeta
STEP = ModalityPerformedProcedureStep
INSTANCE = "1.2.3.4"


@exchange("dcmjs-dimse", "C-FIND MPPS Print User-Identity", ours="SCP")
def test_dcmjs_as_scu() -> None:
    seen: list[str] = []

    def answer(event: Any) -> tuple[int, Dataset]:
        seen.append(event.name)
        return 0x0000, query("STUDY", PatientID="7")

    def find(event: Any) -> Any:
        seen.append(event.name)
        yield 0xFF00, query("STUDY", PatientID=event.identifier.PatientID)

    def delete(event: Any) -> int:
        seen.append(event.name)
        return 0x0000

    def identify(event: Any) -> tuple[bool, bytes]:
        assert event.primary_field == b"me"
        return True, b"ticket"

    ae = make_ae("SCP")
    for uid in FIND, STEP, META:
        ae.add_supported_context(uid)
    handlers: list[Any] = [
        *((kind, answer) for kind in (evt.EVT_N_CREATE, evt.EVT_N_SET, evt.EVT_N_GET, evt.EVT_N_ACTION)),
        (evt.EVT_N_DELETE, delete),
        (evt.EVT_C_FIND, find),
        (evt.EVT_USER_ID, identify),
    ]
    with ae.start_server((HOST, 0), block=False, evt_handlers=handlers) as server:
        command = [peers.require_dcmjs(), str(SCRIPT), "scu", *map(str, server.address)]
        finished = peers.execute(command).check()
    names = ["C_FIND", "N_CREATE", "N_SET", "N_GET", "N_ACTION", "N_DELETE"]
    assert seen == [f"EVT_{name}" for name in names]
    assert finished.output.count(" 0 7\n") == 4
    assert "response 0 65280 7\n" in finished.output
    assert "response 5 0 -\n" in finished.output


@exchange("dcmjs-dimse", "C-FIND MPPS Print User-Identity", ours="SCU")
def test_dcmjs_as_scp() -> None:
    port = peers.free_port()
    values = query("STUDY", PatientID="7")
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.positive_response_requested = 1, b"me", True
    with peers.serve([peers.require_dcmjs(), str(SCRIPT), "scp", str(port)], port) as scp:
        ae = requestor(FIND, STEP, META, storage=False)
        with ae.associate(*scp.address, ae_title="DCMJS", ext_neg=[identity]) as association:
            agreement = association.peer.connection.agreement
            assert agreement is not None
            assert agreement.identity_response == b"ticket"
            results = list(association.send_c_find(values, FIND))
            assert [status.Status for status, _ in results] == [0xFF00, 0x0000]
            for status, reply in (
                association.send_n_create(values, STEP, INSTANCE),
                association.send_n_set(values, STEP, INSTANCE),
                association.send_n_get([(0x0010, 0x0020)], BasicFilmSession, INSTANCE),
                association.send_n_action(values, 1, BasicFilmSession, INSTANCE),
            ):
                assert reply is not None
                assert (status.Status, reply.PatientID) == (0x0000, "7")
            assert association.send_n_delete(BasicFilmSession, INSTANCE).Status == 0x0000
