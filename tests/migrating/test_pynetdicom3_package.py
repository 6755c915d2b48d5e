"""What pynetdicom 3 has in its modules: names, functions and records, without a connection."""

import logging
from collections.abc import Callable
from typing import Any

import pynetdicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import dimse_messages, sop_class
from pynetdicom import status as their_status

import dicom_transports.blocking
from dicom_proto import names, status
from dicom_proto import sop_class as our_sop_class
from dicom_proto.application.results import code_to_status
from dicom_proto.dimse import messages
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import CStoreRQ, decode_message, encode_message
from dicom_proto.encoding import datasets
from dicom_proto.errors import DataSetError, InvalidNameError
from dicom_proto.offers import contexts as presentation
from dicom_proto.offers import items as negotiation_items
from dicom_proto.offers.contexts import PresentationContext, PresentationContextTuple
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.service_class import ServiceClass
from dicom_proto.sop_class import CTImageStorage, StoredPrintStorage, Verification, service_class_of, uid_to_sop_class
from dicom_proto.status import STATUSES, Category, Status, lookup
from dicom_proto.upper_layer import pdu
from dicom_proto.upper_layer.events import AssociateRequested, TimedOut
from dicom_proto.upper_layer.items import UserIdentity
from dicom_proto.upper_layer.negotiation import Agreement, agree
from dicom_proto.upper_layer.policy import Review, review
from dicom_transports.blocking import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    DEFAULT_TRANSFER_SYNTAXES,
    PYNETDICOM_IMPLEMENTATION_UID,
    PYNETDICOM_IMPLEMENTATION_VERSION,
    PYNETDICOM_UID_PREFIX,
    Association,
    StoragePresentationContexts,
    build_context,
    build_role,
    code_to_category,
    debug_logger,
    evt,
    register_uid,
)
from tests.contract.entities import dataset, entity, serving
from tests.migrating.page import Table

table = Table("pynetdicom 3")
UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


@table.row("pynetdicom.AE")
def test_ae() -> None:
    assert AE().ae_title == "DICOM_PROTO"
    assert AE("MINE").ae_title == AE(ae_title="MINE").ae_title == "MINE"


@table.row("pynetdicom.Association")
def test_association() -> None:
    with serving() as server, entity("SCU").associate(*server.address) as association:
        assert isinstance(association, Association)
        assert not hasattr(association, "start")
    association = entity("SCU").associate(*server.address)
    assert not association.is_established
    with pytest.raises(OSError, match="no connection"), association:
        pass


@table.row("pynetdicom.evt")
def test_events() -> None:
    theirs = {name for name in dir(pynetdicom.evt) if name.startswith("EVT_")}
    assert {name for name in dir(evt) if name.startswith("EVT_")} == {*theirs, "EVT_ACCESS"}
    assert {getattr(evt, name).name for name in theirs} == theirs


@table.row("pynetdicom.debug_logger")
def test_logger(caplog: pytest.LogCaptureFixture) -> None:
    debug_logger()
    caplog.set_level(logging.DEBUG)
    model = our_sop_class.PatientRootQueryRetrieveInformationModelFind
    with (
        serving((evt.EVT_C_FIND, lambda _: [(0xFF00, dataset(PatientName="Secret^Name"))])) as server,
        entity("SCU").associate(*server.address) as association,
    ):
        assert len(list(association.send_c_find(dataset(PatientName="Secret^Name"), model))) == 2
    assert "P_DATA_TF" in caplog.text
    assert "Secret" not in caplog.text


@table.row("pynetdicom.build_context")
def test_context() -> None:
    assert build_context is dicom_transports.blocking.build_context
    theirs = pynetdicom.build_context("1.2.840.10008.1.1")
    ours = build_context("1.2.840.10008.1.1")
    assert (ours.abstract_syntax, ours.transfer_syntax) == (theirs.abstract_syntax, theirs.transfer_syntax)
    assert build_context(Verification, ImplicitVRLittleEndian).transfer_syntax == [ImplicitVRLittleEndian]
    with pytest.raises(ValueError, match="without a transfer syntax"):
        build_context(Verification, [])


@table.row("pynetdicom.build_role")
def test_role() -> None:
    role = build_role(CTImageStorage, scp_role=True)
    assert (role.sop_class_uid, role.scu_role, role.scp_role) == (CTImageStorage, False, True)


@table.row("pynetdicom.register_uid")
def test_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(our_sop_class, "_RECORDS", dict(our_sop_class._RECORDS))  # noqa: SLF001 - to leave nothing
    uid = register_uid("1.2.246.352.70.1.70", "MigratedStorage", ServiceClass.STORAGE)
    try:
        assert vars(our_sop_class)["MigratedStorage"] == uid == "1.2.246.352.70.1.70"
        assert service_class_of(uid) is ServiceClass.STORAGE
    finally:
        del vars(our_sop_class)["MigratedStorage"], vars(our_sop_class)["_STORAGE_CLASSES"]["MigratedStorage"]


@table.row("pynetdicom.DEFAULT_TRANSFER_SYNTAXES, pynetdicom.ALL_TRANSFER_SYNTAXES")
def test_transfer_syntaxes() -> None:
    assert DEFAULT_TRANSFER_SYNTAXES == pynetdicom.DEFAULT_TRANSFER_SYNTAXES
    without = set(pynetdicom.ALL_TRANSFER_SYNTAXES) - set(ALL_TRANSFER_SYNTAXES)
    assert all(uid.startswith("1.2.840.10008.1.2.7.") for uid in without)
    assert isinstance(ALL_TRANSFER_SYNTAXES, list)


@table.row("pynetdicom.StoragePresentationContexts and others")
def test_context_lists() -> None:
    lists = [name for name in dir(pynetdicom) if name.endswith("PresentationContexts")]
    assert len(lists) > 20
    for name in lists:
        ours, theirs = (
            {context.abstract_syntax for context in getattr(package, name)} for package in (presentation, pynetdicom)
        )
        assert theirs - ours <= {StoredPrintStorage}, name
    assert StoredPrintStorage.is_retired
    AE().requested_contexts = StoragePresentationContexts


@table.row("pynetdicom.PYNETDICOM_IMPLEMENTATION_UID, pynetdicom.PYNETDICOM_IMPLEMENTATION_VERSION")
def test_implementation() -> None:
    ae = AE()
    assert ae.implementation_class_uid == PYNETDICOM_IMPLEMENTATION_UID != pynetdicom.PYNETDICOM_IMPLEMENTATION_UID
    assert ae.implementation_version_name == PYNETDICOM_IMPLEMENTATION_VERSION
    assert PYNETDICOM_IMPLEMENTATION_UID.is_valid


@table.row("pynetdicom.PYNETDICOM_UID_PREFIX")
def test_prefix() -> None:
    assert generate_uid(prefix=PYNETDICOM_UID_PREFIX).is_valid
    assert f"{names.IMPLEMENTATION_CLASS_UID}." == PYNETDICOM_UID_PREFIX != pynetdicom.PYNETDICOM_UID_PREFIX


@table.row("pynetdicom.status.code_to_category")
def test_category() -> None:
    others = [code for code in range(0x10000) if code_to_category(code) != their_status.code_to_category(code)]
    assert {code >> 8 for code in others} == {1, 2}
    assert {code_to_category(code) for code in others} == {"Failure"}
    assert {their_status.code_to_category(code) for code in others} == {"Unknown"}


@table.row("pynetdicom.status.code_to_status")
def test_status() -> None:
    assert code_to_status(0xA700) == their_status.code_to_status(0xA700)
    with pytest.raises(ValueError, match="not a status"):
        code_to_status(0x10000)


@table.row("pynetdicom.status.Status")
def test_status_names() -> None:
    assert {one.name: int(one) for one in their_status.Status}.items() < {one.name: int(one) for one in Status}.items()
    try:
        Status.add("ALMOST", 0xB123)
        assert Status.ALMOST == 0xB123  # type: ignore[attr-defined]
    finally:
        del Status.ALMOST  # type: ignore[attr-defined]


@table.row("pynetdicom.status.STATUS_SUCCESS and others")
def test_categories() -> None:
    constants = [name for name in dir(their_status) if name.startswith("STATUS_")]
    assert [getattr(status, name) for name in constants] == [getattr(their_status, name) for name in constants]
    assert status.STATUS_SUCCESS is Category.SUCCESS


@table.row("pynetdicom.status.STORAGE_SERVICE_CLASS_STATUS and others")
def test_status_tables() -> None:
    assert status.STORAGE_SERVICE_CLASS_STATUS.keys() >= their_status.STORAGE_SERVICE_CLASS_STATUS.keys()
    for name in (name for name in dir(their_status) if name.endswith("_STATUS")):
        ours, theirs = getattr(status, name), getattr(their_status, name)
        assert {code: ours[code][0] for code in theirs if code in ours}.items() <= {
            code: category for code, (category, _) in theirs.items()
        }.items()
    for code, (category, _) in their_status.STORAGE_SERVICE_CLASS_STATUS.items():
        assert code_to_category(code) == category
        assert category == "Cancel" or lookup(code, ServiceClass.STORAGE, "C-STORE") is not None
    entry = lookup(0xA900, ServiceClass.STORAGE, "C-STORE")
    assert entry in STATUSES[ServiceClass.STORAGE]


@table.row("pynetdicom.sop_class.CTImageStorage and others")
def test_sop_classes() -> None:
    known = {name: uid for name, uid in vars(sop_class).items() if isinstance(uid, str) and uid.startswith("1.2.840.")}
    assert len(known) > 250
    assert {name: uid for name, uid in known.items() if getattr(our_sop_class, name, None) != uid} == {}
    assert {"CTImageStorage", "DisplaySystemInstance", "UPSGlobalSubscriptionInstance"} <= known.keys()


@table.row("pynetdicom.sop_class._STORAGE_CLASSES, pynetdicom.sop_class._QR_CLASSES and others")
def test_groups_of_sop_classes() -> None:
    groups = [name for name in dir(sop_class) if name.endswith("_CLASSES") and name != "_SERVICE_CLASSES"]
    assert len(groups) == 24
    assert {"_STORAGE_CLASSES", "_QR_CLASSES"} < set(groups)
    for name in groups:
        assert set(getattr(sop_class, name).values()) <= set(getattr(our_sop_class, name).values())


@table.row("pynetdicom.sop_class.uid_to_sop_class")
def test_sop_class() -> None:
    assert uid_to_sop_class("1.2.840.10008.1.1").keyword == "Verification"
    assert uid_to_sop_class("1.2.3").service_class is None


@table.row("pynetdicom.sop_class.uid_to_service_class")
def test_service_class() -> None:
    assert service_class_of(CTImageStorage) is ServiceClass.STORAGE
    assert service_class_of("1.2.3") is None


@table.row("pynetdicom.service_class.StorageServiceClass and others")
def test_service_classes() -> None:
    """Whatever theirs make a class of has a member here."""
    ours = {service_class_of(uid) for uid in vars(sop_class).values() if isinstance(uid, sop_class.SOPClass)}
    assert None not in ours
    assert len(ours) >= 24
    assert ServiceClass.STORAGE in ours


@table.row("pynetdicom.presentation.PresentationContext")
def test_presentation_context() -> None:
    context = PresentationContext()
    context.abstract_syntax = Verification
    context.transfer_syntax = [ImplicitVRLittleEndian]
    context.add_transfer_syntax(ExplicitVRLittleEndian)
    context.context_id = 5
    assert context.as_tuple == (5, Verification, ImplicitVRLittleEndian)
    assert (context.result, context.status, context.as_scu, context.as_scp) == (None, "Pending", None, None)
    context.scu_role = context.scp_role = True
    with pytest.raises(ValueError, match="context ID"):
        context.context_id = 2


@table.row("pynetdicom.presentation.PresentationContextTuple")
def test_presentation_context_tuple() -> None:
    assert build_context(Verification).as_tuple == PresentationContextTuple(0, Verification, ImplicitVRLittleEndian)
    assert PresentationContextTuple._fields == ("context_id", "abstract_syntax", "transfer_syntax")


@table.row(
    "pynetdicom.presentation.negotiate_as_acceptor, pynetdicom.presentation.negotiate_unrestricted",
    "pynetdicom.presentation.negotiate_as_requestor",
)
def test_negotiation() -> None:
    scu, scp = entity("SCU", Verification, CTImageStorage), entity("SCP", Verification)
    request = scu.offer("SCP")

    def agreed() -> Agreement:
        verdict = review(request, scp.policy())
        assert isinstance(verdict, Review)
        answer = verdict.answer()
        assert isinstance(answer, pdu.AAssociateAC)
        return agree(request, answer)

    agreement = agreed()
    assert [one.abstract_syntax for one in agreement.contexts.values()] == [Verification]
    assert [one.abstract_syntax for one in agreement.rejected.values()] == [CTImageStorage]
    scp.unrestricted_storage = True
    assert not agreed().rejected


def _identity(item: Any) -> None:
    item.user_identity_type, item.primary_field, item.secondary_field = 2, b"user", b"passcode"
    assert "passcode" not in repr(item)
    assert item.positive_response_requested is False


def _extended(item: Any) -> None:
    item.sop_class_uid, item.service_class_application_information = CTImageStorage, b"\1\2"


def _common(item: Any) -> None:
    item.sop_class_uid, item.service_class_uid = CTImageStorage, "1.2.840.10008.4.2"
    item.related_general_sop_class_identification = [Verification]


def _role(item: Any) -> None:
    item.sop_class_uid, item.scu_role, item.scp_role = CTImageStorage, True, True


@table.rows(
    ("item", "fill", "stated"),
    {
        "pynetdicom.pdu_primitives.UserIdentityNegotiation": (
            negotiation_items.UserIdentityNegotiation,
            _identity,
            lambda stated: stated.identity == UserIdentity(2, b"user", b"passcode"),
        ),
        "pynetdicom.pdu_primitives.SOPClassExtendedNegotiation": (
            negotiation_items.SOPClassExtendedNegotiation,
            _extended,
            lambda stated: stated.extended[0].information == b"\1\2",
        ),
        "pynetdicom.pdu_primitives.SOPClassCommonExtendedNegotiation": (
            negotiation_items.SOPClassCommonExtendedNegotiation,
            _common,
            lambda stated: stated.common_extended[0].related_general_sop_class_uids == (Verification,),
        ),
        "pynetdicom.pdu_primitives.SCP_SCU_RoleSelectionNegotiation": (
            negotiation_items.SCP_SCU_RoleSelectionNegotiation,
            _role,
            lambda stated: (stated.roles[0].scu, stated.roles[0].scp) == (True, True),
        ),
        "pynetdicom.pdu_primitives.MaximumLengthNotification": (
            negotiation_items.MaximumLengthNotification,
            lambda item: setattr(item, "maximum_length_received", 4096),
            lambda stated: stated.maximum_length == 4096,
        ),
    },
)
def test_item(item: type, fill: Callable[[Any], None], stated: Callable[[Any], bool]) -> None:
    """Filled in as in pynetdicom, given to ``associate``: that is what the request says."""
    made = item()
    fill(made)
    with serving() as server, entity("SCU").associate(*server.address, max_pdu=8192, ext_neg=[made]) as association:
        request = association.peer.connection.offer
        assert request is not None
        assert stated(request.user_information)


@table.row("pynetdicom.pdu_primitives.AsynchronousOperationsWindowNegotiation")
def test_window() -> None:
    item = negotiation_items.AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = 3
    with (
        serving(maximum_operations_performed=2) as server,
        entity("SCU").associate(*server.address, ext_neg=[item]) as association,
    ):
        assert association.peer.connection.invoked_window == 2


@table.row(
    "pynetdicom.pdu_primitives.ImplementationClassUIDNotification,"
    " pynetdicom.pdu_primitives.ImplementationVersionNameNotification"
)
def test_implementation_items() -> None:
    uid = negotiation_items.ImplementationClassUIDNotification()
    uid.implementation_class_uid = "1.2.3"  # type: ignore[assignment]
    name = negotiation_items.ImplementationVersionNameNotification()
    name.implementation_version_name = "MINE"
    stated = entity("SCU").offer("SCP", items=[uid, name]).user_information
    assert (stated.implementation_class_uid, stated.implementation_version_name) == ("1.2.3", "MINE")


@table.row(
    "pynetdicom.pdu_primitives.A_ASSOCIATE, A_RELEASE, A_ABORT, A_P_ABORT, P_DATA;"
    " pynetdicom.pdu.A_ASSOCIATE_RQ and others"
)
def test_pdus() -> None:
    request = entity("SCU").offer("SCP")
    assert isinstance(request, pdu.AAssociateRQ)
    for record in (request, pdu.AReleaseRQ(), pdu.AReleaseRP(), pdu.AAbort(0, 0), pdu.AAssociateRJ(1, 1, 7)):
        encoded = pdu.encode_pdu(record)
        assert pdu.decode_pdu(encoded[0], memoryview(encoded)[pdu.HEADER_LENGTH :]) == record
    assert {"AAssociateAC", "PDataTF"} <= set(pdu.__all__)


@table.row("pynetdicom.pdu_items.UserIdentitySubItemRQ and others")
def test_items() -> None:
    identity = UserIdentityNegotiation(1, b"user")
    request = entity("SCU").offer("SCP", items=[identity])
    encoded = pdu.encode_pdu(request)
    decoded = pdu.decode_pdu(encoded[0], memoryview(encoded)[pdu.HEADER_LENGTH :])
    assert isinstance(decoded, pdu.AAssociateRQ)
    assert decoded.user_information.identity == UserIdentity(1, b"user")


@table.row(
    "pynetdicom.acse.ACSE, pynetdicom.dimse.DIMSEServiceProvider, pynetdicom.dul.DULServiceProvider,"
    " pynetdicom.fsm.StateMachine, pynetdicom.timer.Timer"
)
def test_connection() -> None:
    requestor, acceptor = Connection(), Connection()
    requestor.request(entity("SCU").offer("SCP"))
    requestor.connection_made(now=0.0)
    acceptor.connection_made(now=0.0)
    acceptor.receive_data(b"".join(requestor.data_to_send(now=0.0)), now=0.0)
    requested = acceptor.next_event()
    assert isinstance(requested, AssociateRequested)
    assert requested.offer.calling_ae_title == "SCU"
    deadline = requestor.next_deadline()
    assert deadline is not None
    requestor.handle_timeout(deadline)
    assert isinstance(requestor.next_event(), TimedOut)


@table.row("pynetdicom.transport.AssociationSocket, AddressInformation, RequestHandler, T_CONNECT")
def test_addresses() -> None:
    with serving() as server:
        host, port = server.address
        assert (host, port > 0) == ("127.0.0.1", True)
        assert entity("SCU").associate("localhost", port).is_established


@table.row("pynetdicom.dimse_primitives.C_STORE and others, pynetdicom.dimse_messages.C_STORE_RQ and others")
def test_messages() -> None:
    theirs = {name for name in dir(dimse_messages) if name[:2] in {"C_", "N_"} and name[-2:] in {"RQ", "SP"}}
    assert len(theirs) > 20
    ours = {kind.name.replace("-", "_") for kind in messages.MESSAGES.values()}
    assert theirs <= ours | {"C_CANCEL_RQ"}
    request = CStoreRQ(message_id=1, affected_sop_class_uid=CTImageStorage, affected_sop_instance_uid="1.2.3")
    assert decode_message(encode_message(request, has_data_set=True)) == (request, True)


@table.row("pynetdicom.dsutils.decode, pynetdicom.dsutils.encode")
def test_data_sets() -> None:
    original = dataset(PatientName="A^B", Rows=7)
    for uid in UNCOMPRESSED:
        assert datasets.decode(datasets.encode(original, uid), uid) == original
    with pytest.raises(DataSetError):
        datasets.decode(b"\x08\x00\x05", ExplicitVRLittleEndian)


@table.row("pynetdicom.dsutils.create_file_meta, pynetdicom.dsutils.encode_file_meta")
def test_file_meta() -> None:
    head = datasets.file_preamble_and_meta(CTImageStorage, "1.2.3", ImplicitVRLittleEndian)
    meta = datasets.read_file_meta(head, complete=True)
    assert head[128:132] == b"DICM"
    assert isinstance(meta, datasets.FileMeta)
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (CTImageStorage, "1.2.3")


@table.row("pynetdicom.utils.set_ae, pynetdicom.utils.set_uid, pynetdicom.utils.validate_uid")
def test_names() -> None:
    assert names.check_ae_title(" TITLE ") == "TITLE"
    assert names.check_uid("1.2.3") == "1.2.3"
    for check, wrong in ((names.check_ae_title, "back\\slash"), (names.check_uid, "1.02")):
        with pytest.raises(ValueError, match="is not a") as raised:
            check(wrong)
        assert raised.type is InvalidNameError
