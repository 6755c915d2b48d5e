"""What programs that were written for pynetdicom rely on, with every adapter."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_proto.handlers.kinds import EventKind
from dicom_proto.sop_class import (
    CTImageStorage,
    Printer,
    PrinterInstance,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    Verification,
)
from dicom_proto.upper_layer.pdu import AAssociateRJ
from dicom_transports.blocking import build_context, build_role, evt
from tests.contract.adapters import WAIT
from tests.contract.entities import (
    CT_ROLES,
    FIND,
    GET,
    INSTANCE,
    REJECTED,
    STEP,
    Happened,
    ct,
    dataset,
    dial,
    entity,
    flags,
    serving,
    statuses,
)

pytestmark = pytest.mark.usefixtures("adapter")

QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")
REPORT = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)


# --- what handlers get ------------------------------------------------------------------------------------------------


def test_performed_procedure_step() -> None:
    """The SCP keeps what it gets by ``event.attribute_list``, from N-SET as from N-CREATE."""
    steps: dict[str, Dataset] = {}

    def create(event: Any) -> tuple[int, Dataset]:
        steps[event.request.AffectedSOPInstanceUID] = event.attribute_list
        return 0x0000, event.attribute_list

    def change(event: Any) -> tuple[int, Dataset]:
        assert (event.request.AffectedSOPClassUID, event.request.AffectedSOPInstanceUID) == (None, None)
        step = steps[event.request.RequestedSOPInstanceUID]
        step.update(event.attribute_list)
        return 0x0000, step

    handlers = [(evt.EVT_N_CREATE, create), (evt.EVT_N_SET, change)]
    with serving(*handlers) as server, dial(server) as association:
        association.send_n_create(dataset(PerformedProcedureStepStatus="IN PROGRESS"), STEP, INSTANCE)
        status, attributes = association.send_n_set(dataset(PerformedProcedureStepStatus="COMPLETED"), STEP, INSTANCE)
    assert status.Status == 0x0000
    assert attributes == steps[INSTANCE] == dataset(PerformedProcedureStepStatus="COMPLETED")


def test_cancel_is_noticed_while_the_handler_works() -> None:
    """It need not yield for that."""
    at_work, noticed = threading.Event(), threading.Event()

    def find(event: Any) -> Iterator[Any]:
        at_work.set()
        while not event.is_cancelled and not noticed.wait(0.001):
            pass
        noticed.set()
        yield 0xFE00, None

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND, msg_id=7)
        asking = threading.Thread(target=lambda: seen.extend(statuses(results)))
        seen: list[int | None] = []
        asking.start()
        assert at_work.wait(WAIT)
        association.send_c_cancel(7)
        assert noticed.wait(WAIT)
        asking.join(WAIT)
    assert seen == [0xFE00]


def test_handler_that_returns_when_it_is_cancelled() -> None:
    def find(event: Any) -> Iterator[Any]:
        while not event.is_cancelled:
            yield 0xFF00, event.identifier

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        for _ in range(2):  # whose IDs are 1, both of them
            results = association.send_c_find(QUERY, FIND)
            assert next(results)[0].Status == 0xFF00
            association.send_c_cancel(1, query_model=FIND)
            assert statuses(results)[-1] == 0xFE00


def test_own_title() -> None:
    """Whatever it was called by."""
    titles: list[tuple[str, str]] = []

    def echo(event: Any) -> int:
        titles.append((event.assoc.acceptor.ae_title, event.assoc.requestor.primitive.called_ae_title))
        return 0x0000

    handlers = [(evt.EVT_C_ECHO, echo)]
    with serving(*handlers) as server, dial(server, ae_title="ANYBODY") as association:
        association.send_c_echo()
        assert association.acceptor.ae_title == "ANYBODY"
    assert titles == [("SCP", "ANYBODY")]


def test_requested_on_both_sides() -> None:
    ours, theirs = Happened(), Happened()
    with serving((evt.EVT_REQUESTED, theirs)) as server:
        dial(server, (evt.EVT_REQUESTED, ours), (evt.EVT_ACCEPTED, ours)).release()
    assert ours.names == ["REQUESTED", "ACCEPTED"]
    assert theirs.names == ["REQUESTED"]


# --- what they may answer ---------------------------------------------------------------------------------------------


def test_comment_beside_any_status() -> None:
    def find(event: Any) -> Iterator[Any]:
        yield dataset(Status=0xFF00, ErrorComment="partial"), event.identifier
        yield dataset(Status=0x0000, ErrorComment="complete"), None

    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_ECHO, lambda _: dataset(Status=0x0000, ErrorComment="well"))]
    with serving(*handlers) as server, dial(server) as association:
        comments = [status.ErrorComment for status, _ in association.send_c_find(QUERY, FIND)]
        assert association.send_c_echo() == dataset(Status=0x0000, ErrorComment="well")
    assert comments == ["partial", "complete"]


def test_query_handler_without_a_match() -> None:
    with serving((evt.EVT_C_FIND, lambda _: None)) as server, dial(server) as association:
        assert statuses(association.send_c_find(QUERY, FIND)) == [0x0000]


@pytest.mark.parametrize(("last", "status"), [((0x0000, None), 0x0000), (None, 0xB000)], ids=["Success", "nothing"])
def test_fewer_objects_than_announced(last: Any, status: int) -> None:
    """Success of the handler counts; if it ends without a word, what it has announced has failed."""

    def get(_: Any) -> Iterator[Any]:
        yield 3
        yield 0xFF00, ct(1)
        yield 0xFF00, ct(2)
        if last is not None:
            yield last

    store = (evt.EVT_C_STORE, lambda _: 0x0000)
    with serving((evt.EVT_C_GET, get)) as server, dial(server, store, ext_neg=[CT_ROLES]) as association:
        *_, (final, _) = association.send_c_get(QUERY, GET)
    assert (final.Status, final.NumberOfCompletedSuboperations) == (status, 2)


# --- what callers get -------------------------------------------------------------------------------------------------


def test_data_set_that_did_not_come() -> None:
    """It is empty where one might have come with the status: ``"X" in attributes`` works."""
    answers = [0x0000, 0x0001, 0x0110]
    handlers = [
        (evt.EVT_N_CREATE, lambda _: (answers[0], None)),
        (evt.EVT_N_SET, lambda _: (answers[0], None)),
        (evt.EVT_C_GET, lambda _: 1 / 0),
    ]
    with serving(*handlers) as server, dial(server) as association:
        while answers:
            expected = None if answers[0] == 0x0110 else Dataset()
            assert association.send_n_create(QUERY, STEP, INSTANCE)[1] == expected
            assert association.send_n_set(QUERY, STEP, INSTANCE)[1] == expected
            del answers[0]
        ((status, identifier),) = association.send_c_get(QUERY, GET)
        assert (status.Status, identifier) == (0xC411, Dataset())


def test_status_has_only_what_is_said_of_it() -> None:
    handlers = [(evt.EVT_C_STORE, lambda _: 0x0000), (evt.EVT_C_FIND, lambda _: None)]
    with serving(*handlers) as server, dial(server) as association:
        given = [association.send_c_echo(), association.send_c_store(ct())]
        given += [status for status, _ in association.send_c_find(QUERY, FIND)]
    assert given == [dataset(Status=0x0000)] * 3


def test_elements_of_identifiers() -> None:
    kinds: list[set[type]] = []

    def look(identifier: Dataset) -> None:
        kinds.append({type(element) for element in identifier.values()})
        kinds.append({type(element) for _, element in identifier.items()})

    def find(event: Any) -> Iterator[Any]:
        look(event.identifier)
        yield 0xFF00, dataset(PatientID="1", PatientName="A^B")

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        for _, identifier in association.send_c_find(QUERY, FIND):
            if identifier is not None:
                look(identifier)
    assert kinds == [{DataElement}] * 4


def test_all_attributes() -> None:
    asked: list[Any] = []

    def get(event: Any) -> tuple[int, Dataset]:
        asked.append(event.attribute_identifiers)
        return 0x0000, dataset(Manufacturer="M")

    with serving((evt.EVT_N_GET, get)) as server, dial(server) as association:
        assert association.send_n_get(None, Printer, PrinterInstance)[1] == dataset(Manufacturer="M")
    assert asked == [[]]


def test_what_cannot_be_sent_is_a_value_error() -> None:
    bad = ct()
    bad.add(DataElement(0x00280010, "US", "many", validation_mode=IGNORE))
    with serving() as server, dial(server) as association:
        for call in (
            lambda: list(association.send_c_find(bad, FIND)),
            lambda: list(association.send_c_get(bad, GET)),
            lambda: association.send_n_create(bad, STEP, INSTANCE),
            lambda: association.send_n_set(bad, STEP, INSTANCE),
            lambda: association.send_c_store(bad),
            lambda: association.send_c_store(None),
            lambda: association.send_c_store(ct(), priority=5),
            lambda: association.send_c_echo(msg_id=70000),
        ):
            with pytest.raises(ValueError):  # noqa: PT011 - which it is caught as
                call()
        assert association.send_c_echo().Status == 0x0000


# --- what may be asked for --------------------------------------------------------------------------------------------


def test_report_without_the_role_for_it() -> None:
    """By an SCP that has requested the association in order to report."""
    types: list[int] = []

    def take(event: Any) -> tuple[int, None]:
        types.append(event.event_type)
        return 0x0000, None

    with serving((evt.EVT_N_EVENT_REPORT, take)) as server, dial(server) as association:
        status, reply = association.send_n_event_report(dataset(TransactionUID="1.2"), 1, *REPORT)
    assert (status.Status, reply, types) == (0x0000, Dataset(), [1])


def test_query_for_procedure_steps() -> None:
    """Push has no C-FIND, and means what has (PS3.4 CC.2)."""
    handlers = [(evt.EVT_C_FIND, lambda event: [(0xFF00, event.identifier)])]
    scp, scu = (entity(title, UnifiedProcedureStepPull) for title in ("SCP", "SCU"))
    with serving(*handlers, ae=scp) as server, dial(server, ae=scu) as association:
        assert statuses(association.send_c_find(QUERY, UnifiedProcedureStepPush)) == [0xFF00, 0x0000]


def test_role_for_what_is_not_proposed() -> None:
    ae = entity("SCU", Verification)
    with serving() as server, dial(server, ae=ae, ext_neg=[build_role(CTImageStorage, scp_role=True)]) as association:
        assert association.requestor.role_selection == {}


# --- servers ----------------------------------------------------------------------------------------------------------


def test_titles_are_looked_at_for_each_request() -> None:
    ae = entity("SCP", require_calling_aet=["NOBODY"])
    established = []
    with serving(ae=ae) as server:
        for allowed in (["NOBODY"], ["SCU"], [], ["NOBODY"]):
            ae.require_calling_aet = allowed
            association = entity("SCU").associate(*server.address)
            established.append(association.is_established)
            association.release()
        ae.require_calling_aet.append("SCU")
        dial(server).release()
        ae.require_called_aet = True
        assert flags(entity("SCU").associate(*server.address, ae_title="OTHER")) == REJECTED
        dial(server, ae_title="SCP").release()
    assert established == [False, True, True, False]


@pytest.mark.parametrize("kind", [evt.EVT_CONN_OPEN, evt.EVT_REQUESTED])
def test_titles_that_a_handler_reads_anew(kind: EventKind) -> None:
    def refresh(event: Any) -> None:
        event.assoc.ae.require_calling_aet = ["SCU"]

    with serving((kind, refresh), require_calling_aet=["NOBODY"]) as server:
        dial(server).release()


def test_what_a_server_states_is_looked_at_for_each_request() -> None:
    ae = entity("SCP")
    with serving(ae=ae) as server:
        ae.maximum_pdu_size = 20000
        with dial(server) as association:
            assert association.acceptor.maximum_length == 20000


def test_an_association_is_active_until_its_handlers_have_run() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def released(_: Any) -> None:
        begun.set()
        may_end.wait(WAIT)

    with serving((evt.EVT_RELEASED, released)) as server:
        dial(server).release()
        assert begun.wait(WAIT)
        (active,) = server.active_associations
        assert active.is_alive()
        assert not active.is_established
        may_end.set()
        active.join(WAIT)
        assert server.active_associations == []


@pytest.mark.parametrize("kind", [evt.EVT_ACSE_SENT, evt.EVT_DATA_SENT, evt.EVT_PDU_SENT, evt.EVT_FSM_TRANSITION])
def test_an_association_is_active_for_the_handlers_of_what_it_sends_last(kind: Any) -> None:
    active: list[bool] = []
    running: list[Any] = []

    def note(_: Any) -> None:
        active.append(not running or bool(running[0].active_associations))

    with serving((kind, note)) as server:
        association = dial(server)
        running.append(server)
        (accepted,) = server.active_associations
        del active[:]
        association.release()
        accepted.join(WAIT)
        assert active
        assert all(active)
        assert server.active_associations == []


def test_what_a_server_shows() -> None:
    ae = entity("SCP")
    with serving(ae=ae) as server:
        real: Any = getattr(server, "_real", server)
        assert (real.ae_title, real.ssl_context) == ("SCP", None)
        assert real.contexts == ae.supported_contexts
    contexts = [build_context(Verification)]
    server = ae.make_server(("127.0.0.1", 0), ae_title="OTHER", contexts=contexts)
    real = getattr(server, "_real", server)
    assert (real.ae_title, real.contexts) == ("OTHER", contexts)
    server.shutdown()


# --- associations -----------------------------------------------------------------------------------------------------


def test_it_lives_and_can_be_waited_for() -> None:
    with serving() as server:
        association = dial(server)
        assert association.is_alive()
        association.join(0)  # it goes on
        assert association.is_alive()
        association.release()
        association.join(WAIT)
        assert not association.is_alive()
        association.join()
    refused = entity("SCU").associate(*server.address)
    assert (refused.is_alive(), refused.is_aborted) == (False, True)
    refused.join()


def test_handler_does_not_wait_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    with serving((evt.EVT_C_ECHO, lambda event: event.assoc.join() or 0x0000)) as server, dial(server) as association:
        assert association.send_c_echo().Status == 0x0110
    assert "cannot wait for the end of its own association" in caplog.text


def test_reason_of_a_rejection() -> None:
    with serving(require_called_aet=True) as server:
        association = entity("SCU").associate(*server.address, ae_title="OTHER")
    answer = association.acceptor.primitive
    assert isinstance(answer, AAssociateRJ)
    assert (answer.result_str, answer.reason_str) == ("rejected permanently", "called AE title not recognized")
