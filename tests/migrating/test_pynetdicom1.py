"""What pynetdicom 1 has: callbacks that are methods of the AE, AE titles in bytes, letters for query models."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pynetdicom
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

import dicom_proto.sop_class
from dicom_proto.handlers.event import MessageView
from dicom_proto.names import check_ae_title
from dicom_proto.offers.items import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
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
from dicom_transports.blocking import AE, AssociationServer, evt
from tests.contract.entities import FIND, GET, MOVE, Happened, ct, dataset, dial, entity, serving, statuses
from tests.migrating.page import Table

table = Table("pynetdicom 1")
QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")


@table.row('AE(ae_title=b"...")')
def test_ae_title() -> None:
    ae = AE(ae_title=b"TITLE           ")
    assert ae.ae_title == "TITLE"


@table.row("AE(port=...), AE.bind_addr, AE.start, AE.stop", "AE(scu_sop_class=...)", "AE(scp_sop_class=...)")
def test_start_and_stop() -> None:
    scp, scu = AE(), AE()
    for uid in (Verification, CTImageStorage):
        scp.add_supported_context(uid)
        scu.add_requested_context(uid)
    server = scp.start_server(("127.0.0.1", 0), block=False)
    association = scu.associate(*server.address, bind_address=("127.0.0.1", 0))
    assert len(association.accepted_contexts) == 2
    association.release()
    scp.shutdown()
    assert isinstance(scu.associate(*server.address).failure, OSError)


@table.row("AE.add_requested_context, AE.remove_requested_context, AE.requested_contexts")
def test_requested_contexts() -> None:
    ae = AE()
    ae.add_requested_context(Verification)
    ae.add_requested_context(CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    ae.remove_requested_context(CTImageStorage, ImplicitVRLittleEndian)
    ae.remove_requested_context(Verification)
    (context,) = ae.requested_contexts
    assert (context.abstract_syntax, context.transfer_syntax) == (CTImageStorage, [ExplicitVRLittleEndian])


@table.row("AE.add_supported_context, AE.remove_supported_context, AE.supported_contexts")
def test_supported_contexts() -> None:
    ae = AE()
    ae.add_supported_context(Verification)
    transfer_syntaxes = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
    ae.add_supported_context(CTImageStorage, transfer_syntaxes, scu_role=True, scp_role=True)
    ae.remove_supported_context(CTImageStorage, ImplicitVRLittleEndian)
    ae.remove_supported_context(Verification)
    (context,) = ae.supported_contexts
    assert (context.scu_role, context.scp_role) == (True, True)
    assert (context.abstract_syntax, context.transfer_syntax) == (CTImageStorage, [ExplicitVRLittleEndian])


@table.row("AE.require_called_aet, AE.require_calling_aet")
def test_required_ae_titles() -> None:
    ae = entity("SCP", require_called_aet=True, require_calling_aet=[b"FRIEND          "])
    assert ae.require_calling_aet == ["FRIEND"]
    with serving(ae=ae) as server:
        dial(server, ae=entity("FRIEND"), ae_title="SCP").release()
        assert entity("FRIEND").associate(*server.address, ae_title="OTHER").is_rejected
        assert entity("STRANGER").associate(*server.address, ae_title="SCP").is_rejected


@table.row("AE.active_associations, AE.maximum_associations")
def test_active_associations() -> None:
    ae = entity("SCP", maximum_associations=1)
    with serving(ae=ae) as server, dial(server):
        assert len(ae.active_associations) == 1
        assert entity("SCU").associate(*server.address).is_rejected


# --- callbacks --------------------------------------------------------------------------------------------------------


class Archive:
    """An SCP as it was written then: what were methods of the AE are handlers."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_c_echo(self, event: Any) -> int:
        requestor = event.assoc.requestor
        self.seen.append((requestor.ae_title, requestor.address, event.timestamp is not None))
        return 0x0000

    def on_c_store(self, event: Any) -> int:
        self.seen.append((event.dataset.Rows, event.context.abstract_syntax, event.request.AffectedSOPInstanceUID))
        return 0x0000

    def on_c_find(self, event: Any) -> Iterator[Any]:
        self.seen.append(event.identifier)
        yield 0xFF00, event.identifier

    def on_c_get(self, event: Any) -> Iterator[Any]:
        self.seen.append(event.identifier)
        yield 1
        yield 0xFF00, ct()

    def on_c_move(self, event: Any) -> Iterator[Any]:
        self.seen.extend([event.identifier, event.move_destination])
        yield None, None


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def server(archive: Archive) -> Iterator[AssociationServer]:
    names = [name for name in vars(Archive) if name.startswith("on_")]
    handlers = [(getattr(evt, name.replace("on_", "EVT_").upper()), getattr(archive, name)) for name in names]
    with serving(*handlers) as server:
        yield server


@table.rows(
    ("kind", "ask", "seen"),
    {
        "AE.on_c_echo(context, info)": (
            evt.EVT_C_ECHO,
            lambda association: [(association.send_c_echo(), None)],
            [("SCU", "127.0.0.1", True)],
        ),
        "AE.on_c_store(dataset, context, info)": (
            evt.EVT_C_STORE,
            lambda association: [(association.send_c_store(ct(3)), None)],
            [(3, CTImageStorage, "1.2.3.3")],
        ),
        "AE.on_c_find(dataset, context, info)": (
            evt.EVT_C_FIND,
            lambda association: association.send_c_find(QUERY, FIND),
            [QUERY],
        ),
        "AE.on_c_get(dataset, context, info)": (
            evt.EVT_C_GET,
            lambda association: association.send_c_get(QUERY, GET),
            [QUERY],
        ),
        "AE.on_c_move(dataset, move_aet, context, info)": (
            evt.EVT_C_MOVE,
            lambda association: association.send_c_move(QUERY, "THERE", MOVE),
            [QUERY, "THERE"],
        ),
    },
)
def test_callback(
    archive: Archive, server: AssociationServer, kind: Any, ask: Callable[..., Any], seen: list[Any]
) -> None:
    handler, _ = server.get_handlers(kind)
    assert handler == getattr(archive, kind.name.replace("EVT_", "on_").lower())
    with dial(server, (evt.EVT_C_STORE, lambda _: 0x0000)) as association:
        final = statuses(ask(association))[-1]
    assert final == (0xA801 if kind is evt.EVT_C_MOVE else 0x0000)
    assert archive.seen == seen


@table.row("AE.on_c_find_cancel, AE.on_c_get_cancel, AE.on_c_move_cancel")
def test_cancel() -> None:
    seen: list[bool] = []

    def find(event: Any) -> Iterator[Any]:
        try:
            while not event.is_cancelled:
                yield 0xFF00, QUERY
        finally:
            seen.append(event.is_cancelled)

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND, 3)
        next(results)
        association.send_c_cancel(3)
        assert statuses(results)[-1] == 0xFE00
    assert seen == [True]


@table.row("AE.on_n_action, AE.on_n_create, AE.on_n_delete, AE.on_n_event_report, AE.on_n_get, AE.on_n_set")
def test_normalized() -> None:
    """``EVT_N_ACTION`` and the others."""
    asked: list[str] = []

    def handle(event: Any) -> Any:
        asked.append(event.event.name)
        return 0x0000 if event.event is evt.EVT_N_DELETE else (0x0000, QUERY)

    kinds = [getattr(evt, f"EVT_N_{name}") for name in ("ACTION", "CREATE", "GET", "SET", "DELETE", "EVENT_REPORT")]
    handlers = [(kind, handle) for kind in kinds]
    scp, scu = entity("SCP"), entity("SCU")
    scp.add_supported_context(BasicGrayscalePrintManagementMeta)
    scu.add_requested_context(BasicGrayscalePrintManagementMeta)
    session = (BasicFilmSession, "1.2")
    with serving(*handlers, ae=scp) as server, dial(server, handlers[-1], ae=scu) as association:
        assert association.send_n_action(None, 1, *session)[0].Status == 0x0000
        assert association.send_n_create(QUERY, *session)[0].Status == 0x0000
        assert association.send_n_get([], Printer, PrinterInstance)[0].Status == 0x0000
        assert association.send_n_set(QUERY, *session)[0].Status == 0x0000
        assert association.send_n_delete(*session).Status == 0x0000
        (other,) = server.active_associations
        report = other.send_n_event_report(None, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        assert report[0].Status == 0x0000
    assert asked == [kind.name for kind in kinds]


@table.rows(
    ("kind", "item", "attributes", "answer"),
    {
        "AE.on_user_identity": (
            evt.EVT_USER_ID,
            UserIdentityNegotiation(2, b"user", b"secret"),
            {"user_id_type": 2, "primary_field": b"user", "secondary_field": b"secret"},
            (True, None),
        ),
        "AE.on_sop_class_extended": (
            evt.EVT_SOP_EXTENDED,
            SOPClassExtendedNegotiation(FIND, b"\1"),
            {"app_info": {FIND: b"\1"}},
            {FIND: b"\1"},
        ),
        "AE.on_sop_class_common_extended": (
            evt.EVT_SOP_COMMON,
            SOPClassCommonExtendedNegotiation(CTImageStorage, "1.2.840.10008.4.2"),
            {},
            {},
        ),
        "AE.on_async_ops_window": (
            evt.EVT_ASYNC_OPS,
            AsynchronousOperationsWindowNegotiation(3, 4),
            {"nr_invoked": 3, "nr_performed": 4, "invoked": 3, "performed": 4},
            (1, 1),
        ),
    },
)
def test_negotiation(kind: Any, item: Any, attributes: dict[str, Any], answer: Any) -> None:
    asked: list[Any] = []

    def handle(event: Any) -> Any:
        asked.append(event)
        return answer

    with serving((kind, handle)) as server:
        dial(server, ext_neg=[item]).release()
    (event,) = asked
    assert {name: getattr(event, name) for name in attributes} == attributes
    assert kind is not evt.EVT_SOP_COMMON or list(event.items) == [CTImageStorage]


def refused(server: AssociationServer) -> None:
    assert entity("SCU").associate(*server.address, ae_title="OTHER").is_rejected


@table.rows(
    ("kind", "live"),
    {
        "AE.on_association_requested": (evt.EVT_REQUESTED, refused),
        "AE.on_association_accepted": (evt.EVT_ACCEPTED, lambda server: dial(server, ae_title="SCP").release()),
        "AE.on_association_rejected": (evt.EVT_REJECTED, refused),
        "AE.on_association_released": (evt.EVT_RELEASED, lambda server: dial(server, ae_title="SCP").release()),
        "AE.on_association_aborted": (evt.EVT_ABORTED, lambda server: dial(server, ae_title="SCP").abort()),
        "AE.on_make_connection, AE.on_receive_connection": (evt.EVT_CONN_OPEN, refused),
    },
)
def test_life(kind: Any, live: Callable[[AssociationServer], None]) -> None:
    happened = Happened()
    with serving((kind, happened), require_called_aet=True) as server:
        live(server)
        assert happened.wait(kind.name.removeprefix("EVT_")).assoc.is_acceptor
    assert len(happened.events) == 1


# --- the rest ---------------------------------------------------------------------------------------------------------


@table.row('Association.send_c_find(dataset, query_model="P"), send_c_get, send_c_move')
def test_query_model(server: AssociationServer) -> None:
    with dial(server) as association:
        assert statuses(association.send_c_find(QUERY, query_model=FIND)) == [0xFF00, 0x0000]
        assert statuses(association.send_c_move(QUERY, "THERE", query_model=MOVE)) == [0xA801]
        with pytest.raises(ValueError, match="no presentation context"):
            association.send_c_find(QUERY, query_model="P")


@table.row("pynetdicom.sop_class.VerificationSOPClass and others")
def test_sop_classes() -> None:
    assert Verification == vars(pynetdicom.sop_class)["Verification"]
    assert not hasattr(dicom_proto.sop_class, "VerificationSOPClass")


@table.row("pynetdicom.utils.validate_ae_title")
def test_validation() -> None:
    assert check_ae_title(b"  TITLE         ") == "TITLE"
    with pytest.raises(ValueError, match="not an AE title"):
        check_ae_title(b"                ")


@table.row("event.request.DataSet and others")
def test_encoded_data_sets() -> None:
    files: list[bytes] = []

    def store(event: Any) -> int:
        assert isinstance(event.request, MessageView)
        assert event.encoded_dataset().endswith(event.request.DataSet.getvalue())
        files.append(event.encoded_dataset())
        return 0x0000

    with serving((evt.EVT_C_STORE, store)) as server, dial(server) as association:
        assert association.send_c_store(ct(5)).Status == 0x0000
    assert dcmread(BytesIO(files[0])).Rows == 5
