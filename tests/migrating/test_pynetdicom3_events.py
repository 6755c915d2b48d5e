"""What pynetdicom 3 documents of events: what handlers get, and what becomes of what they return."""

from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_proto.handlers.event import Event, RequestEvent
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.sinks import Streamed
from dicom_proto.limits import Limits
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
from dicom_proto.upper_layer.failures import AssociationRejected
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ, PDataTF
from dicom_transports.blocking import AE, Association, build_role, chunked, evt
from dicom_transports.storage import store_to
from tests.contract.entities import (
    CT_ROLES,
    FIND,
    GET,
    INSTANCE,
    MOVE,
    STEP,
    Happened,
    ct,
    dataset,
    dial,
    entity,
    serving,
    statuses,
)
from tests.migrating.page import Table

table = Table("pynetdicom 3")
QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")
COMMITMENT = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)


def seen(kind: EventKind, ask: Any, result: Any = 0x0000, scp: AE | None = None, **options: Any) -> Any:
    """The event that a handler gets when an association is asked for something."""
    events = Happened()

    def handle(event: Any) -> Any:
        events(event)
        return result

    with serving((kind, handle), ae=scp) as server, dial(server, **options) as association:
        ask(association)
    return events.events[0]


# --- what handlers get ------------------------------------------------------------------------------------------------


@table.row("pynetdicom.events.Event", "Event.assoc, .event, .timestamp")
def test_event() -> None:
    event = seen(evt.EVT_RELEASED, lambda _: None)
    assert isinstance(event, Event)
    assert isinstance(event.assoc, Association)
    assert (event.event, event.name) == (evt.EVT_RELEASED, evt.EVT_RELEASED.name)
    assert event.description == event.event.description == "Association released"
    assert isinstance(event.timestamp, datetime)
    assert event.timestamp.tzinfo is not None


@table.row("Event.request, .context, .message_id, .is_cancelled")
def test_request() -> None:
    event = seen(evt.EVT_C_ECHO, lambda association: association.send_c_echo(7))
    assert isinstance(event, RequestEvent)
    assert (event.message_id, event.request.MessageID, event.request.AffectedSOPClassUID) == (7, 7, Verification)
    assert (event.request.msg_type, event.request.Status) == ("C-ECHO-RQ", None)
    assert event.context.abstract_syntax == Verification
    assert event.context.context_id % 2
    assert not event.is_cancelled
    cancelled: list[bool] = []

    def find(event: Any) -> Iterator[Any]:
        try:
            while True:
                yield 0xFF00, QUERY
        finally:
            cancelled.extend([event.is_cancelled, event.is_cancelled])

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND, 9)
        next(results)
        association.send_c_cancel(9)
        assert statuses(results)[-1] == 0xFE00
    assert cancelled == [True, True]


@table.row("Event.dataset, .file_meta, .encoded_dataset")
def test_dataset() -> None:
    event = seen(evt.EVT_C_STORE, lambda association: association.send_c_store(ct(3)))
    assert event.dataset == ct(3)
    assert event.dataset.file_meta == event.file_meta
    assert event.file_meta.MediaStorageSOPInstanceUID == "1.2.3.3"
    assert dcmread(BytesIO(event.encoded_dataset())).Rows == 3
    assert event.encoded_dataset().endswith(event.encoded_dataset(include_meta=False))


@table.row("Event.dataset_path", "EVT_C_STORE")
def test_storage(tmp_path: Path) -> None:
    stored: list[Path] = []
    sink = store_to(tmp_path, on_stored=lambda path, _: stored.append(path))
    with serving((evt.EVT_C_STORE, sink)) as server, dial(server) as association:
        assert association.send_c_store(ct(3)).Status == 0x0000
    assert dcmread(stored[0]).Rows == 3
    assert not hasattr(RequestEvent, "dataset_path")

    def take(_: Any) -> Any:
        while (yield) is not None:
            pass
        return 0xB000

    @chunked
    def count(event: Any) -> int:
        return 0x0000 if sum(map(len, event.chunks())) else 0xA700

    expected = {
        (evt.EVT_C_STORE, Streamed(take)): 0xB000,
        (evt.EVT_C_STORE, count): 0x0000,
        (evt.EVT_C_STORE, lambda _: 1 / 0): 0xC211,
    }
    for handler, status in expected.items():
        with serving(handler) as server, dial(server) as association:
            assert association.send_c_store(ct()).Status == status
    with serving() as server, dial(server) as association:
        assert association.send_c_store(ct()).Status == 0xC211


@table.row("Event.identifier, .move_destination")
def test_identifier() -> None:
    event = seen(evt.EVT_C_MOVE, lambda association: list(association.send_c_move(QUERY, "THERE", MOVE)), ())
    assert (event.identifier, event.move_destination) == (QUERY, "THERE")
    with pytest.raises(AttributeError):
        _ = event.dataset


@table.row(
    "Event.attribute_identifiers, .attribute_list, .modification_list, .action_information, .action_type,"
    " .event_information, .event_type"
)
def test_attributes() -> None:
    information = dataset(TransactionUID="1.2")
    event = seen(evt.EVT_N_GET, lambda assoc: assoc.send_n_get([0x21100010], Printer, PrinterInstance), (0, QUERY))
    assert event.attribute_identifiers == [Tag(0x21100010)]
    event = seen(evt.EVT_N_CREATE, lambda assoc: assoc.send_n_create(QUERY, STEP, INSTANCE))
    assert event.attribute_list == QUERY
    event = seen(evt.EVT_N_SET, lambda assoc: assoc.send_n_set(QUERY, STEP, INSTANCE))
    assert event.modification_list == event.attribute_list == QUERY
    event = seen(evt.EVT_N_ACTION, lambda assoc: assoc.send_n_action(information, 1, *COMMITMENT))
    assert (event.action_information, event.action_type) == (information, 1)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    scp = entity("SCP")
    scp.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    event = seen(
        evt.EVT_N_EVENT_REPORT,
        lambda assoc: assoc.send_n_event_report(information, 2, *COMMITMENT),
        scp=scp,
        ext_neg=[role],
    )
    assert (event.event_information, event.event_type) == (information, 2)


@table.row("evt.EventHandlerType", "evt.InterventionEvent, evt.NotificationEvent")
def test_kinds() -> None:
    bound: list[evt.EventHandlerType] = [(evt.EVT_C_ECHO, lambda _: 0), (evt.EVT_ABORTED, Happened(), [])]
    with serving(*bound) as server:
        assert server.get_events() == [evt.EVT_ABORTED, evt.EVT_C_ECHO]
    kinds = [kind for kind in vars(evt).values() if isinstance(kind, EventKind)]
    assert sum(kind.is_intervention for kind in kinds) == 16  # theirs, and EVT_ACCESS
    assert sum(kind.is_notification for kind in kinds) == 17
    assert str(evt.EVT_C_ECHO) == "EVT_C_ECHO"


# --- what becomes of what they return ---------------------------------------------------------------------------------


@table.row("EVT_C_ECHO")
def test_echo() -> None:
    expected = {None: 0x0000, (lambda _: 0x0122): 0x0122, (lambda _: 1 / 0): 0x0110, (lambda _: Dataset()): 0xC001}
    for handler, status in expected.items():
        with serving(*([(evt.EVT_C_ECHO, handler)] if handler else [])) as server, dial(server) as association:
            assert association.send_c_echo().Status == status


@table.row("EVT_C_FIND")
def test_find() -> None:
    def once(event: Any) -> Iterator[Any]:
        yield 0xFF00, event.identifier

    def for_ever(event: Any) -> Iterator[Any]:
        while True:
            yield 0xFF00, event.identifier

    expected: dict[Any, list[int]] = {once: [0xFF00, 0], (lambda _: 1 / 0): [0xC311], (lambda _: [(1, None)]): [1]}
    for handler, answers in expected.items():
        with serving((evt.EVT_C_FIND, handler)) as server, dial(server) as association:
            assert statuses(association.send_c_find(QUERY, FIND)) == answers
    with serving((evt.EVT_C_FIND, for_ever)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND, 5)
        next(results)
        association.send_c_cancel(5)
        assert statuses(results)[-1] == 0xFE00


@table.row("EVT_C_GET, EVT_C_MOVE")
def test_retrieval() -> None:
    event = seen(evt.EVT_C_STORE, lambda association: association.send_c_store(ct(1)))
    file = event.encoded_dataset()
    received: list[int] = []

    def store(event: Any) -> int:
        received.append(event.dataset.Rows)
        return 0x0000

    def get(event: Any) -> Iterator[Any]:
        if event.identifier.PatientName == "ALL":
            yield 0xFFFF
            while True:
                yield 0xFF00, file
        yield 2
        yield 0xFF00, file
        yield 0xFF00, ct(2)

    def move(event: Any) -> Iterator[Any]:
        yield "127.0.0.1", int(event.move_destination)
        yield from get(event)

    for end, status in (((0x0000, None),), 0x0000), ((), 0xA702):
        with serving((evt.EVT_C_GET, lambda _, end=end: [2, *end])) as server, dial(server) as association:
            assert statuses(association.send_c_get(QUERY, GET)) == [status]
    handlers = [(evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move), (evt.EVT_C_STORE, store)]
    with serving(*handlers) as server, dial(server, handlers[2], ext_neg=[CT_ROLES]) as association:
        assert statuses(association.send_c_get(QUERY, GET)) == [0xFF00, 0xFF00, 0x0000]
        assert statuses(association.send_c_move(QUERY, str(server.address[1]), MOVE)) == [0xFF00, 0xFF00, 0x0000]
        assert received == [1, 2, 1, 2]
        results = association.send_c_get(dataset(QueryRetrieveLevel="PATIENT", PatientName="ALL"), GET, 3)
        next(results)
        association.send_c_cancel(3)
        assert statuses(results)[-1] == 0xFE00


@table.row("EVT_N_ACTION, EVT_N_CREATE, EVT_N_EVENT_REPORT, EVT_N_GET, EVT_N_SET, EVT_N_DELETE")
def test_normalized() -> None:
    ae = entity("SCU")
    ae.add_requested_context(BasicGrayscalePrintManagementMeta)
    scp = entity("SCP")
    scp.add_supported_context(BasicGrayscalePrintManagementMeta)

    def asked(status: int) -> None:
        session = (BasicFilmSession, "1.2")
        assert association.send_n_action(None, 1, *session)[0].Status == status
        assert association.send_n_create(QUERY, *session)[0].Status == status
        assert association.send_n_get([], Printer, PrinterInstance)[0].Status == (status or 0x0110)
        assert association.send_n_set(QUERY, *session)[0].Status == status
        assert association.send_n_delete(*session).Status == status
        (other,) = server.active_associations
        assert other.send_n_event_report(None, 1, *COMMITMENT)[0].Status == status

    kinds = [getattr(evt, f"EVT_N_{name}") for name in ("ACTION", "CREATE", "GET", "SET", "DELETE")]
    assert kinds[0] is evt.EVT_N_ACTION
    with serving(ae=scp) as server, dial(server, ae=ae) as association:
        asked(0x0110)
    handlers = [(kind, lambda _: 0x0000) for kind in kinds]
    report = (evt.EVT_N_EVENT_REPORT, lambda _: 0x0000)
    with serving(*handlers, ae=scp) as server, dial(server, report, ae=ae) as association:
        asked(0x0000)


@table.row("EVT_USER_ID")
def test_user_id() -> None:
    def verify(event: Any) -> tuple[bool, bytes | None]:
        assert event.secondary_field == b"secret"
        return event.user_id_type == 2 and event.primary_field == b"friend", None

    def result(address: tuple[str, int], *items: Any) -> int | None:
        association = entity("SCU").associate(*address, ext_neg=items)
        association.release()
        return association.failure.result if isinstance(association.failure, AssociationRejected) else None

    with serving((evt.EVT_USER_ID, verify), require_user_identity=True) as server:
        assert result(server.address, UserIdentityNegotiation(2, b"friend", b"secret")) is None
        assert result(server.address, UserIdentityNegotiation(2, b"stranger", b"secret")) == 1
        assert result(server.address) == 1


@table.row("EVT_ASYNC_OPS")
def test_async_ops() -> None:
    asked: list[Any] = []

    def handle(event: Any) -> tuple[int, int]:
        asked.append((event.nr_invoked, event.nr_performed))
        return 4, 1

    ae = entity("SCP", maximum_operations_performed=9)
    item = AsynchronousOperationsWindowNegotiation(5, 6)
    with serving((evt.EVT_ASYNC_OPS, handle), ae=ae) as server, dial(server, ext_neg=[item]) as association:
        assert association.peer.connection.invoked_window == 4
    assert asked == [(5, 6)]


@table.row("EVT_SOP_EXTENDED")
def test_sop_extended() -> None:
    def handle(event: Any) -> dict[str, bytes]:
        return {uid: information[::-1] for uid, information in event.app_info.items()}

    item = SOPClassExtendedNegotiation(FIND, b"\1\2")
    with serving((evt.EVT_SOP_EXTENDED, handle)) as server, dial(server, ext_neg=[item]) as association:
        assert association.acceptor.sop_class_extended == {FIND: b"\2\1"}


@table.row("EVT_SOP_COMMON")
def test_sop_common() -> None:
    item = SOPClassCommonExtendedNegotiation("1.2.3", "1.2.840.10008.4.2", [CTImageStorage])
    for handler, count in {(lambda event: event.items): 1, (lambda _: {}): 0}.items():
        with serving((evt.EVT_SOP_COMMON, handler), ae=entity("SCP", CTImageStorage)) as server:
            association = entity("SCU", "1.2.3").associate(*server.address, ext_neg=[item])
            assert len(association.accepted_contexts) == count
            association.release()


# --- notifications ----------------------------------------------------------------------------------------------------


@table.row("EVT_CONN_OPEN, EVT_CONN_CLOSE")
def test_connection() -> None:
    happened = Happened()
    with serving() as server:
        dial(server, (evt.EVT_CONN_OPEN, happened), (evt.EVT_CONN_CLOSE, happened)).release()
        assert happened.wait("CONN_OPEN").address == happened.wait("CONN_CLOSE").address == server.address


@table.row("EVT_REQUESTED, EVT_ACCEPTED, EVT_ESTABLISHED, EVT_RELEASED, EVT_REJECTED, EVT_ABORTED")
def test_life() -> None:
    kinds = ("REQUESTED", "ACCEPTED", "ESTABLISHED", "RELEASED", "REJECTED", "ABORTED")
    happened = Happened()
    handlers = [(getattr(evt, f"EVT_{kind}"), happened) for kind in kinds]
    with serving(*handlers, require_called_aet=True) as server:
        dial(server, ae_title="SCP").release()
        happened.wait("RELEASED")
        dial(server, ae_title="SCP").abort()
        happened.wait("ABORTED")
        entity("SCU").associate(*server.address)
        happened.wait("REJECTED")
    begin = ["REQUESTED", "ACCEPTED", "ESTABLISHED"]
    assert happened.names == [*begin, "RELEASED", *begin, "ABORTED", "REQUESTED", "REJECTED"]
    ours = Happened()
    with serving() as server:
        dial(server, (evt.EVT_CONN_OPEN, ours), (evt.EVT_REQUESTED, ours)).release()
    assert ours.names == ["CONN_OPEN", "REQUESTED"]
    assert handlers[0][0] is evt.EVT_REQUESTED


def passing(what: str) -> list[Any]:
    """What a requestor sees pass in an association with one C-ECHO, sent and received."""
    happened = Happened()
    kinds = (getattr(evt, f"EVT_{what}_SENT"), getattr(evt, f"EVT_{what}_RECV"))
    with serving() as server, dial(server, *((kind, happened) for kind in kinds)) as association:
        association.send_c_echo()
    return [(event.name.rpartition("_")[2], event) for event in happened.events]


@table.row("EVT_ACSE_RECV, EVT_ACSE_SENT", "EVT_PDU_RECV, EVT_PDU_SENT")
def test_records() -> None:
    """``EVT_ACSE_RECV`` and ``EVT_PDU_RECV``, and what was sent."""
    records = [event.primitive for _, event in passing("ACSE")]
    assert [type(record) for record in records[:2]] == [AAssociateRQ, AAssociateAC]
    assert records[0].calling_ae_title == "SCU"
    assert [type(event.pdu) for _, event in passing("PDU")[2:4]] == [PDataTF, PDataTF]


@table.row("EVT_DATA_RECV, EVT_DATA_SENT")
def test_data() -> None:
    """``EVT_DATA_RECV`` and ``EVT_DATA_SENT``: each event has one whole PDU."""
    events = passing("DATA")
    assert [(name, event.data[0]) for name, event in events][:4] == [("SENT", 1), ("RECV", 2), ("SENT", 4), ("RECV", 4)]
    assert all(int.from_bytes(event.data[2:6]) == len(event.data) - 6 for _, event in events)
    happened = Happened()
    ae, scu = entity("SCP", maximum_pdu_size=0), entity("SCU", limits=Limits(send_pdu_length=1 << 22))
    image = ct()
    image.BitsAllocated, image.PixelData = 8, bytes(2 << 20)
    handlers = [(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_DATA_RECV, happened)]
    with serving(*handlers, ae=ae) as server, dial(server, ae=scu) as association:
        association.send_c_store(image)
    assert [event.data[0] for event in happened.events] == [1, 4, 5]  # the command, and not the data set


@table.row("EVT_DIMSE_RECV, EVT_DIMSE_SENT")
def test_dimse() -> None:
    """``EVT_DIMSE_RECV`` and ``EVT_DIMSE_SENT``."""
    (_, sent), (_, received) = passing("DIMSE")
    assert sent.message.MessageID == received.message.MessageIDBeingRespondedTo
    assert sent.message.command_set.MessageID == received.message.command_set.MessageIDBeingRespondedTo
    assert (sent.message.msg_type, received.message.Status) == ("C-ECHO-RQ", 0x0000)


@table.row("EVT_FSM_TRANSITION")
def test_transitions() -> None:
    happened = Happened()
    with serving() as server, dial(server, (evt.EVT_FSM_TRANSITION, happened)) as association:
        association.send_c_echo()
    first = happened.events[1]
    assert (first.current_state, first.fsm_event, first.action, first.next_state) == ("Sta4", "Evt2", "AE-2", "Sta5")
