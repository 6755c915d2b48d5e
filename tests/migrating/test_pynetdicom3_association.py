"""What pynetdicom 3 documents of ``Association``, and of the two sides of one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.application.service_user import ServiceUser
from dicom_proto.offers.items import SOPClassExtendedNegotiation, UserIdentityNegotiation
from dicom_proto.sop_class import (
    BasicFilmSession,
    BasicGrayscalePrintManagementMeta,
    CTImageStorage,
    Printer,
    PrinterInstance,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)
from dicom_proto.upper_layer.items import RoleSelection, UserIdentity
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ
from dicom_transports.blocking import AE, Association, AssociationServer, evt
from tests.contract.adapters import WAIT, Listener, Running
from tests.contract.entities import (
    CT_ROLES,
    FIND,
    GET,
    INSTANCE,
    MOVE,
    STEP,
    Happened,
    answered,
    ct,
    dataset,
    dial,
    entity,
    flags,
    serving,
    statuses,
)
from tests.migrating.page import Table

table = Table("pynetdicom 3")
CT_FILE = str(get_testdata_file("CT_small.dcm", download=False))
QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")
EVERYTHING = dataset(QueryRetrieveLevel="PATIENT", PatientName="ALL")
stored: list[bytes] = []


def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
    if event.identifier.PatientName == "ALL":
        yield from endless(event)
    for number in range(3):
        yield 0xFF00, dataset(PatientName=f"{event.identifier.PatientName}{number}")


def endless(_: Any) -> Iterator[tuple[int, Dataset]]:
    while True:
        yield 0xFF00, ct(1)


def get(event: Any) -> Iterator[Any]:
    if event.identifier.PatientName == "ALL":
        yield 0xFFFF
        yield from endless(event)
    yield 2
    yield 0xFF00, ct(1)
    yield 0xFF00, ct(2)


def move(event: Any) -> Iterator[Any]:
    yield ("127.0.0.1", int(event.move_destination))
    yield from get(event)


def store(event: Any) -> int:
    stored.append(event.encoded_dataset(include_meta=False))
    return 0x0000


@pytest.fixture(scope="module")
def server() -> Iterator[AssociationServer]:
    """An archive that has and takes everything."""
    handlers: list[Any] = [
        (evt.EVT_C_FIND, find),
        (evt.EVT_C_GET, get),
        (evt.EVT_C_MOVE, move),
        (evt.EVT_C_STORE, store),
        (evt.EVT_N_GET, lambda event: (0x0000, dataset(PrinterStatus=str(len(event.attribute_identifiers))))),
        (evt.EVT_N_SET, lambda event: (0x0000, event.modification_list)),
        (evt.EVT_N_CREATE, lambda event: (0x0000, event.attribute_list)),
        (evt.EVT_N_ACTION, lambda event: (0x0000, dataset(PatientID=str(event.action_type)))),
        (evt.EVT_N_DELETE, lambda event: 0x0112 if event.request.RequestedSOPInstanceUID == INSTANCE else 0x0000),
    ]
    ae = entity("SCP")
    ae.add_supported_context(BasicGrayscalePrintManagementMeta)
    with serving(*handlers, ae=ae) as server:
        yield server


@pytest.fixture
def association(server: AssociationServer) -> Iterator[Association]:
    ae = entity("SCU")
    ae.add_requested_context(BasicGrayscalePrintManagementMeta)
    association = dial(server, ae=ae, ae_title="SCP", ext_neg=[CT_ROLES])
    yield association
    association.release()


def other_end(server: AssociationServer, association: Association) -> Association:
    """The same association, as the server has it."""
    return next(other for other in server.active_associations if other.remote == association.local)


# --- what it is -------------------------------------------------------------------------------------------------------


@table.row(
    "Association.is_established, Association.is_released, Association.is_aborted, Association.is_rejected",
    "Association.release",
)
def test_state(server: AssociationServer) -> None:
    association = dial(server)
    assert association.is_established
    results = association.send_c_find(QUERY, FIND)
    association.release()  # what was found is here by now
    assert flags(association) == (False, True, False, False)
    assert statuses(results) == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    association = dial(server)
    association.abort()
    assert flags(association) == (False, False, True, False)
    with serving(require_called_aet=True) as strict:
        association = entity("SCU").associate(*strict.address, ae_title="OTHER")
    assert flags(association) == (False, False, False, True)


@table.row("Association.abort")
def test_abort() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU"))
        with peer:
            echoing = Running(association.send_c_echo)
            peer.get_data()
            association.abort()
            assert "Status" not in echoing.result()
        with pytest.raises(TypeError):
            association.abort(block=False)  # type: ignore[call-arg]


@table.row(
    "Association.is_acceptor, Association.is_requestor, Association.mode, Association.ae,"
    " Association.local, Association.remote"
)
def test_sides(server: AssociationServer, association: Association) -> None:
    other = other_end(server, association)
    assert (association.is_acceptor, association.is_requestor, association.mode) == (False, True, "requestor")
    assert (other.is_acceptor, other.is_requestor, other.mode) == (True, False, "acceptor")
    assert other.ae is server.ae
    assert association.local == other.remote
    assert association.local.keys() == {"mode", "ae_title", "address", "port", "pdv_size"}


@table.row("Association.accepted_contexts, Association.rejected_contexts")
def test_contexts(server: AssociationServer) -> None:
    association = dial(server, ae=entity("SCU", Verification, "1.2.3"))
    (accepted,), (rejected,) = association.accepted_contexts, association.rejected_contexts
    association.release()
    assert (accepted.abstract_syntax, accepted.result, accepted.as_scu) == (Verification, 0, True)
    assert (rejected.abstract_syntax, rejected.result) == ("1.2.3", 3)


@table.row(
    "Association.acceptor, Association.requestor",
    "ServiceUser.ae_title, .address, .port, .mode, .info, .is_acceptor, .is_requestor, .maximum_length,"
    " .implementation_class_uid, .implementation_version_name, .requested_contexts",
)
def test_service_users(server: AssociationServer, association: Association) -> None:
    other = other_end(server, association)
    requestor, acceptor = association.requestor, association.acceptor
    assert isinstance(requestor, ServiceUser)
    assert (requestor, acceptor) == (other.requestor, other.acceptor)
    assert (requestor.ae_title, acceptor.ae_title) == ("SCU", "SCP")
    assert (acceptor.address, acceptor.port) == server.address
    assert (requestor.is_requestor, requestor.is_acceptor, requestor.mode) == (True, False, "requestor")
    assert requestor.info == association.local
    assert requestor.maximum_length == acceptor.maximum_length == 131072
    assert (acceptor.implementation_class_uid, acceptor.implementation_version_name) == (
        AE().implementation_class_uid,
        AE().implementation_version_name,
    )
    assert len(requestor.requested_contexts) == len(association.accepted_contexts)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        requestor.ae_title = "OTHER"  # type: ignore[misc]


@table.row(
    "ServiceUser.role_selection, .sop_class_extended, .sop_class_common_extended, .asynchronous_operations,"
    " .user_identity",
    "ServiceUser.add_negotiation_item, .remove_negotiation_item, .reset_negotiation_items, .writeable",
)
def test_negotiated_items(server: AssociationServer) -> None:
    items = [
        CT_ROLES,
        SOPClassExtendedNegotiation(FIND, b"\1"),
        UserIdentityNegotiation(2, b"user", b"passcode"),
    ]
    association = dial(server, ext_neg=items)
    requestor: Any = association.requestor
    assert isinstance(requestor, ServiceUser)
    assert requestor.role_selection == {CTImageStorage: RoleSelection(CTImageStorage, scu=True, scp=True)}
    assert requestor.sop_class_extended == {FIND: b"\1"}
    assert requestor.sop_class_common_extended == {}
    assert requestor.asynchronous_operations == (1, 1)
    assert requestor.user_identity == UserIdentity(2, b"user", b"passcode")
    assert requestor.role_selection[CTImageStorage].scp_role
    assert (requestor.user_identity.user_identity_type, requestor.user_identity.primary_field) == (2, b"user")
    assert "passcode" not in repr(requestor)
    for name in ("add_negotiation_item", "remove_negotiation_item", "reset_negotiation_items", "writeable"):
        assert not hasattr(requestor, name)
    association.release()


@table.row(
    "ServiceUser.supported_contexts, .get_contexts",
    "ServiceUser.user_information, .extended_negotiation, .accepted_common_extended",
)
def test_what_was_requested_and_answered(server: AssociationServer, association: Association) -> None:
    assert len(server.ae.supported_contexts) == len(association.accepted_contexts)
    request, agreement = association.peer.connection.offer, association.peer.connection.agreement
    assert request is not None
    assert agreement is not None
    assert (request.calling_ae_title, request.user_information.maximum_length) == ("SCU", 131072)
    assert len(agreement.contexts) == len(request.presentation_contexts)


@table.row("ServiceUser.primitive")
def test_primitives(association: Association) -> None:
    acceptor = association.acceptor
    assert isinstance(acceptor, ServiceUser)
    assert isinstance(acceptor.primitive, AAssociateAC)
    assert association.requestor.primitive == association.peer.connection.offer
    with serving(require_called_aet=True) as strict:
        rejected = entity("SCU").associate(*strict.address, ae_title="OTHER")
    primitive = rejected.acceptor.primitive
    assert isinstance(primitive, AAssociateRJ)
    assert (primitive.result, primitive.result_source, primitive.diagnostic) == (1, 1, 7)
    assert primitive.result_str == "rejected permanently"
    assert primitive.source_str == "the service-user"
    assert primitive.reason_str == "called AE title not recognized"


@table.row("Association.is_alive, Association.join")
def test_join(server: AssociationServer) -> None:
    association = dial(server)
    assert association.is_alive()
    association.release()
    association.join(WAIT)
    assert not association.is_alive()


@table.row("Association.name, .ident, .daemon, .start, .run of a thread")
def test_no_thread(association: Association) -> None:
    for name in ("name", "ident", "daemon", "start"):
        assert not hasattr(association, name)


@table.row("Association.bind, Association.unbind, Association.get_events, Association.get_handlers")
def test_bind(association: Association) -> None:
    sent = Happened()
    association.bind(evt.EVT_DIMSE_SENT, sent)
    assert association.get_events() == [evt.EVT_DIMSE_SENT]
    assert association.get_handlers(evt.EVT_C_ECHO) == (None, None)
    assert association.get_handlers(evt.EVT_DIMSE_SENT) == [(sent, None)]
    association.send_c_echo()
    association.unbind(evt.EVT_DIMSE_SENT, sent)
    association.send_c_echo()
    assert sent.names == ["DIMSE_SENT"]


@table.row("Association.acse_timeout, Association.dimse_timeout, Association.network_timeout")
def test_timeouts() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", acse_timeout=20))
        with peer:
            assert association.acse_timeout == 20
            association.ae.acse_timeout = 10
            assert association.acse_timeout == 20
            association.acse_timeout = association.dimse_timeout = 0.05
            association.network_timeout = None
            assert "Status" not in association.send_c_echo()
    assert association.is_aborted


@table.row("Association.network_timeout_response")
def test_network_timeout_response(server: AssociationServer) -> None:
    released = Happened()
    association = dial(server, (evt.EVT_RELEASED, released))
    assert association.network_timeout_response == "A-ABORT"
    association.network_timeout_response = "A-RELEASE"
    association.network_timeout = 0.05
    association.send_c_echo()
    released.wait("RELEASED")
    assert association.is_released


@table.row(
    "Association.connection_timeout",
    "Association.kill, .lock, .request, .run_reactor, .set_socket, .acse, .dimse, .dul",
)
def test_no_machinery(association: Association) -> None:
    for name in ("connection_timeout", "kill", "lock", "run_reactor", "set_socket", "acse", "dimse", "dul"):
        assert not hasattr(association, name)
    assert association.ae.connection_timeout is None
    assert association.peer.connection.state.name == "Sta6"


# --- DIMSE-C ----------------------------------------------------------------------------------------------------------


@table.row("Association.send_c_echo")
def test_send_c_echo(association: Association) -> None:
    assert association.send_c_echo().Status == 0x0000
    assert association.send_c_echo(msg_id=7).Status == 0x0000
    sent = Happened()
    association.bind(evt.EVT_DIMSE_SENT, sent)
    association.send_c_echo()
    association.send_c_echo()
    first, second = (event.message.MessageID for event in sent.events)
    assert first != second
    assert list(association.send_c_echo()) == list(dataset(Status=0x0000))


@table.row("Association.send_c_store")
def test_send_c_store(server: AssociationServer) -> None:
    assert dcmread(CT_FILE).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    ae = AE()
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = dial(server, ae=ae)
    assert association.send_c_store(ct()).Status == 0x0000
    stored.clear()
    for one in (CT_FILE, Path(CT_FILE)):
        assert association.send_c_store(one, 5, 0, "MOVER", 3).Status == 0x0000
    assert Path(CT_FILE).read_bytes().endswith(stored[0])
    assert stored[0] == stored[1]
    with pytest.raises(AttributeError, match="cannot be stored"):
        association.send_c_store(dataset(SOPClassUID=CTImageStorage))
    association.release()


@table.rows(
    "send",
    {
        "Association.send_c_find": lambda association, query, _: association.send_c_find(query, FIND),
        "Association.send_c_get": lambda association, query, _: association.send_c_get(query, GET),
        "Association.send_c_move": lambda association, query, port: association.send_c_move(query, str(port), MOVE),
    },
)
def test_many_results(association: Association, server: AssociationServer, send: Callable[..., Any]) -> None:
    association.bind(evt.EVT_C_STORE, lambda _: 0x0000)
    sent, port = Happened(), server.address[1]
    association.bind(evt.EVT_DIMSE_SENT, sent)
    results = list(send(association, QUERY, port))
    assert {status.Status for status, _ in results[:-1]} == {0xFF00}
    assert results[-1][0].Status == 0x0000
    results = send(association, EVERYTHING, port)
    assert next(results)[0].Status == 0xFF00
    results.close()
    assert association.send_c_echo().Status == 0x0000
    assert "C-CANCEL-RQ" in [event.message.msg_type for event in sent.events]


@table.row("Association.send_c_cancel")
def test_send_c_cancel(association: Association) -> None:
    for _ in range(2):  # the message ID is 1 each time
        results = association.send_c_find(EVERYTHING, FIND)
        association.send_c_cancel(1)
        assert statuses(results)[-1] == 0xFE00
    results = association.send_c_find(EVERYTHING, FIND, msg_id=9)
    assert next(results)[0].Status == 0xFF00
    association.send_c_cancel(9)
    assert statuses(results)[-1] == 0xFE00
    association.send_c_cancel(9, query_model=FIND)


# --- DIMSE-N ----------------------------------------------------------------------------------------------------------


@table.row("Association.send_n_get")
def test_send_n_get(association: Association) -> None:
    status, attributes = association.send_n_get([(0x2110, 0x0010)], Printer, PrinterInstance)
    assert attributes is not None
    assert (status.Status, attributes.PrinterStatus) == (0x0000, "1")
    status, _ = association.send_n_get([], Printer, PrinterInstance, 4, BasicGrayscalePrintManagementMeta)
    assert status.Status == 0x0000


@table.rows(
    ("send", "expected"),
    {
        "Association.send_n_set": (
            lambda association: association.send_n_set(dataset(PatientID="1"), STEP, INSTANCE),
            dataset(PatientID="1"),
        ),
        "Association.send_n_create": (
            lambda association: association.send_n_create(dataset(NumberOfCopies="2"), BasicFilmSession, "1.2"),
            dataset(NumberOfCopies="2"),
        ),
        "Association.send_n_action": (
            lambda association: association.send_n_action(
                dataset(TransactionUID="1.2"), 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            ),
            dataset(PatientID="1"),
        ),
    },
)
def test_send_n(association: Association, send: Callable[..., Any], expected: Dataset) -> None:
    """The film session goes by a context of its meta SOP class, which need not be stated."""
    status, reply = send(association)
    assert status.Status == 0x0000
    assert reply == expected
    assert status.get("AffectedSOPInstanceUID") == ("1.2" if expected == dataset(NumberOfCopies="2") else None)


@table.row("Association.send_n_delete")
def test_send_n_delete(association: Association) -> None:
    meta = BasicGrayscalePrintManagementMeta
    assert association.send_n_delete(BasicFilmSession, INSTANCE, 5, meta).Status == 0x0112
    assert association.send_n_delete(BasicFilmSession, "1.2").Status == 0x0000


@table.row("Association.send_n_event_report")
def test_send_n_event_report() -> None:
    """The server reports, on the association that the client has requested."""
    reports = Happened()

    def handle_report(event: Any) -> tuple[int, None]:
        reports(event)
        return 0x0000, None

    with serving() as server, dial(server, (evt.EVT_N_EVENT_REPORT, handle_report)):
        (association,) = server.active_associations
        model, instance = StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        status, reply = association.send_n_event_report(dataset(TransactionUID="1.2"), 1, model, instance)
    assert (status.Status, reply) == (0x0000, Dataset())
    assert reports.events[0].event_information.TransactionUID == "1.2"
