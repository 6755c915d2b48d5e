"""The services of an application entity, both roles: what users call, what their handlers get and may do."""

import logging
import threading
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.dimse.messages import CFindRSP
from dicom_proto.errors import LocalProtocolError, NoContextError
from dicom_proto.sop_class import (
    BasicFilmSession,
    BasicGrayscalePrintManagementMeta,
    CompositeInstanceRetrieveWithoutBulkDataGet,
    CTImageStorage,
    MRImageStorage,
    Printer,
    PrinterInstance,
    StorageCommitmentPushModelInstance,
    Verification,
)
from dicom_transports.blocking import build_context, evt
from tests.contract.adapters import WAIT, Adapter, Blocking, Listener, Running
from tests.contract.entities import (
    ALL,
    COMMITMENT,
    CT_ROLES,
    FIND,
    GET,
    INSTANCE,
    MOVE,
    STEP,
    answered,
    ct,
    dataset,
    dial,
    entity,
    serving,
    statuses,
)
from tests.contract.scenes import message
from tests.interop.images import CT, path_of

pytestmark = pytest.mark.usefixtures("adapter")

QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")


def raises(_event: Any) -> Any:
    raise ZeroDivisionError("a slip of the user")


def found(count: int) -> Any:
    def find(_event: Any) -> Any:
        for number in range(count):
            yield 0xFF00, dataset(QueryRetrieveLevel="PATIENT", PatientName=f"Patient^{number}")

    return find


def keep(events: list[Any]) -> Any:
    def handler(event: Any) -> int:
        events.append(event)
        return 0x0000

    return handler


def retrieved(*objects: Any) -> Any:
    def get(_event: Any) -> Any:
        yield len(objects)
        for one in objects:
            yield 0xFF00, one

    return get


# --- C-ECHO and C-STORE -----------------------------------------------------------------------------------------------


def test_echo() -> None:
    with serving() as server, dial(server) as association:
        assert association.send_c_echo().Status == 0x0000
        assert association.send_c_echo(msg_id=99).Status == 0x0000


def test_what_a_handler_answers_is_sent_while_a_call_waits_for_something_else() -> None:
    """Whoever waits for the socket may have nothing to do with it: without a turn it would go out when time is up."""
    begun, may_answer, answered, asked, may_store = (threading.Event() for _ in range(5))

    def echo(_event: Any) -> int:
        begun.set()
        return 0x0000 if may_answer.wait(WAIT) else 0x0110

    def sent(event: Any) -> None:
        if event.message.msg_type == "C-ECHO-RSP":
            answered.set()

    def store(_event: Any) -> int:
        asked.set()
        return 0x0000 if may_store.wait(WAIT) else 0x0110

    with (
        serving((evt.EVT_C_ECHO, echo), (evt.EVT_DIMSE_SENT, sent)) as server,
        dial(server, (evt.EVT_C_STORE, store), ext_neg=[CT_ROLES]) as association,
    ):
        echoing = Running(association.send_c_echo)
        assert begun.wait(WAIT)
        (accepted,) = server.active_associations
        storing = Running(accepted.send_c_store, ct())
        assert asked.wait(WAIT)
        threading.Event().wait(0.1)  # whoever has sent it waits for the socket by now
        may_answer.set()
        try:
            assert answered.wait(WAIT / 2)
        finally:
            may_store.set()
        assert echoing.result().Status == storing.result().Status == 0x0000


def test_handler_with_arguments() -> None:
    seen: list[Any] = []

    def echo(event: Any, logger: logging.Logger, number: int) -> Dataset:
        seen.append((event.message_id, event.request.MessageID, logger, number, event.context.abstract_syntax))
        return dataset(Status=0x0122, ErrorComment="not today")

    logger = logging.getLogger("echo")
    with serving((evt.EVT_C_ECHO, echo, [logger, 5])) as server, dial(server) as association:
        status = association.send_c_echo(7)
        assert (status.Status, status.ErrorComment) == (0x0122, "not today")
    assert seen == [(7, 7, logger, 5, Verification)]


@pytest.mark.parametrize(
    ("result", "status"),
    [(None, 0xC002), ("Success", 0xC002), (-1, 0xC002), (1 << 16, 0xC002), (Dataset(), 0xC001), (0x0123, 0x0123)],
)
def test_handler_that_returns_nonsense(result: Any, status: int) -> None:
    with serving((evt.EVT_C_STORE, lambda _: result)) as server, dial(server) as association:
        assert association.send_c_store(ct()).Status == status
        assert association.send_c_store(ct()).Status == status


@pytest.mark.parametrize("way", ["dataset", "path", "string"])
def test_store(way: str) -> None:
    path = path_of(CT)
    seen: list[Any] = []

    def store(event: Any) -> int:
        seen.append((event.dataset, event.file_meta, event.encoded_dataset(), event.encoded_dataset(False)))
        return 0x0000

    what = {"dataset": dcmread(path), "path": path, "string": str(path)}[way]
    contexts = [build_context(CTImageStorage, ExplicitVRLittleEndian)]
    with serving((evt.EVT_C_STORE, store)) as server, dial(server, contexts=contexts) as association:
        assert association.send_c_store(what).Status == 0x0000
    ((received, meta, encoded, bare),) = seen
    original = dcmread(path)
    assert received.PatientName == original.PatientName
    assert received.PixelData == original.PixelData
    assert meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.SourceApplicationEntityTitle == "SCU"
    assert dcmread(BytesIO(encoded)) == original
    assert encoded.endswith(bare)


def test_store_what_cannot_be_stored(tmp_path: Path) -> None:
    with serving() as server, dial(server) as association:
        with pytest.raises(AttributeError):
            association.send_c_store(Dataset())
        image = ct()
        image.SOPClassUID = MRImageStorage
        with pytest.raises(NoContextError):
            association.send_c_store(image)
        with pytest.raises(FileNotFoundError):
            association.send_c_store(tmp_path / "absent.dcm")
        with pytest.raises(LocalProtocolError):
            association.send_c_store(42)
        assert association.send_c_store(ct()).Status == 0xC211  # no handler is bound
        assert association.is_established


def test_store_says_whose_move_it_is_for() -> None:
    seen: list[Any] = []

    def store(event: Any) -> int:
        request = event.request
        seen.append((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID, request.Priority))
        return 0x0000

    with serving((evt.EVT_C_STORE, store)) as server, dial(server) as association:
        association.send_c_store(ct(), priority=1, originator_aet="MOVER", originator_id=9)
        association.send_c_store(ct(), 3)
    assert seen == [("MOVER", 9, 1), (None, None, 2)]


# --- C-FIND, C-GET, C-MOVE --------------------------------------------------------------------------------------------


def test_find() -> None:
    seen: list[Any] = []

    def find(event: Any) -> Any:
        seen.append((event.identifier, event.request.Priority))
        yield from found(3)(event)

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = list(association.send_c_find(QUERY, FIND, priority=0))
        assert statuses(results) == [0xFF00] * 3 + [0x0000]
        assert [str(identifier.PatientName) for _, identifier in results[:3] if identifier] == [
            f"Patient^{number}" for number in range(3)
        ]
        assert results[3][1] is None
    assert seen == [(QUERY, 0)]


def test_matches_do_not_wait_for_one_that_takes_its_time() -> None:
    """Matches are gathered and sent together, but none that is there is held back by the next one."""
    goes_on = [threading.Event() for _ in range(2)]

    def find(event: Any) -> Any:
        for pause in goes_on:
            yield from found(5)(event)
            assert pause.wait(WAIT)
        yield from found(1)(event)

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND)
        for pause in goes_on:
            assert statuses(islice(results, 5)) == [0xFF00] * 5
            pause.set()
        assert statuses(results) == [0xFF00, 0x0000]


def test_when_find_is_asked(adapter: Adapter) -> None:
    """The request leaves before anybody asks for its results; where that has to be awaited, only then."""
    asked = threading.Event()

    def find(_event: Any) -> Any:
        asked.set()
        yield 0x0000, None

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND)
        if isinstance(adapter, Blocking):
            assert asked.wait(WAIT)
        assert statuses(results) == [0x0000]
        assert asked.is_set()


@pytest.mark.parametrize(
    ("kind", "raised", "raised_first"),
    [(evt.EVT_C_FIND, 0xC311, 0xC311), (evt.EVT_C_GET, 0xC411, 0xC413), (evt.EVT_C_MOVE, 0xC511, 0xC514)],
)
def test_query_handlers_that_fail(kind: Any, raised: int, raised_first: int) -> None:
    """A generator that raises at once has not said how many objects there are, or where to."""

    def raises_later(_event: Any) -> Any:
        yield from ()
        raise ZeroDivisionError

    handlers: list[Any] = [None, raises, raises_later, lambda _: 5]
    for handler in handlers:
        with serving(*([] if handler is None else [(kind, handler)])) as server, dial(server) as association:
            calls = {
                evt.EVT_C_FIND: lambda: association.send_c_find(QUERY, FIND),
                evt.EVT_C_GET: lambda: association.send_c_get(QUERY, GET),
                evt.EVT_C_MOVE: lambda: association.send_c_move(QUERY, "DEST", MOVE),
            }
            assert statuses(calls[kind]()) == [raised_first if handler is raises_later else raised]
            assert association.send_c_echo().Status == 0x0000


def test_find_that_is_cancelled() -> None:
    pulled: list[int] = []

    def find(event: Any) -> Any:
        for number in range(1000):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            pulled.append(number)
            yield 0xFF00, dataset(QueryRetrieveLevel="PATIENT", PatientName="A" * 60)
            threading.Event().wait(0.001)

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND, msg_id=5)
        next(results)
        association.send_c_cancel(5, query_model=FIND)
        assert statuses(results)[-1] == 0xFE00
        assert len(pulled) < 1000
        association.send_c_cancel(5)  # too late: there is nothing to cancel
        with pytest.raises(LocalProtocolError):
            list(association.send_c_move(QUERY, "a title that is too long", MOVE))


@pytest.mark.parametrize("kind", [evt.EVT_C_GET, evt.EVT_C_MOVE], ids=str)
def test_retrieval_that_is_cancelled(kind: Any) -> None:
    stored: list[Any] = []
    with serving((evt.EVT_C_STORE, keep(stored)), ae=entity("DEST", CTImageStorage)) as destination:

        def retrieve(_event: Any) -> Any:
            if kind is evt.EVT_C_MOVE:
                yield destination.address
            yield from retrieved(*map(ct, range(1, 200)))(None)

        with (
            serving((kind, retrieve)) as server,
            dial(server, (evt.EVT_C_STORE, keep(stored)), ext_neg=[CT_ROLES]) as association,
        ):
            if kind is evt.EVT_C_GET:
                results = association.send_c_get(QUERY, GET, msg_id=7)
            else:
                results = association.send_c_move(QUERY, "DEST", MOVE, msg_id=7)
            next(results)
            association.send_c_cancel(7)
            *_, (status, _) = results
            assert status.Status == 0xFE00
            assert status.NumberOfRemainingSuboperations > 0
            assert status.NumberOfCompletedSuboperations == len(stored) < 199


@pytest.mark.parametrize("way", ["break", "drop", "unread"])
def test_results_that_are_abandoned(way: str) -> None:
    """Who leaves a query ends it at the peer, and can go on with the association."""
    ended = threading.Event()

    def find(event: Any) -> Any:
        try:
            for _ in range(300):
                if event.is_cancelled:
                    yield 0xFE00, None
                    return
                yield 0xFF00, QUERY
        finally:
            ended.set()

    with serving((evt.EVT_C_FIND, find)) as server, dial(server) as association:
        match way:
            case "break":
                for _ in association.send_c_find(QUERY, FIND):
                    break
            case "drop":
                next(association.send_c_find(QUERY, FIND))
            case _:
                association.send_c_find(QUERY, FIND)
        assert association.send_c_echo().Status == 0x0000
        assert way == "unread" or ended.wait(WAIT)  # unread, the handler may not even have begun
        assert statuses(association.send_c_find(QUERY, FIND))[-1] == 0x0000


def test_results_that_are_abandoned_before_release() -> None:
    with (
        serving((evt.EVT_C_FIND, found(20))) as server,
        dial(server) as association,
    ):
        for _ in association.send_c_find(QUERY, FIND):
            break
    assert association.is_released


def test_call_between_results() -> None:
    """A call that is made before all results were asked for waits for the peer, and no result is lost."""
    with serving((evt.EVT_C_FIND, found(50))) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND)
        assert next(results)[0].Status == 0xFF00
        assert association.send_c_echo().Status == 0x0000
        assert statuses(results) == [0xFF00] * 49 + [0x0000]


def test_call_between_more_results_than_are_kept() -> None:
    with serving((evt.EVT_C_FIND, found(500))) as server, dial(server) as association:
        results = association.send_c_find(QUERY, FIND)
        next(results)
        with pytest.raises(LocalProtocolError, match="window"):
            association.send_c_echo()
        assert len(statuses(results)) == 500


def test_what_a_handler_yields_before_it_aborts_is_sent() -> None:
    """What is yielded together leaves together, and before the end of the association."""

    def find(event: Any) -> Any:
        yield 0xFF00, dataset(PatientID="P1")
        yield 0xFF00, dataset(PatientID="P2")
        yield 0xFF00, dataset(PatientID="P3")
        event.assoc.abort()

    with serving((evt.EVT_C_FIND, find)) as server:
        association = dial(server)
        found = [match for _, match in association.send_c_find(QUERY, FIND) if match]
        assert association.is_aborted
    assert [match.PatientID for match in found] == ["P1", "P2", "P3"]


def test_find_whose_association_is_aborted() -> None:
    def find(event: Any) -> Any:
        yield 0xFF00, QUERY
        event.assoc.abort()

    with serving((evt.EVT_C_FIND, find)) as server:
        association = dial(server)
        assert statuses(association.send_c_find(QUERY, FIND))[-1] is None
        assert association.is_aborted


def test_find_with_an_identifier_that_cannot_be_read() -> None:
    response = CFindRSP(message_id_being_responded_to=1, status=0xFF00, affected_sop_class_uid=FIND)
    last = CFindRSP(message_id_being_responded_to=1, status=0x0000, affected_sop_class_uid=FIND)
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", FIND))
        with peer:
            finding = Running(lambda: list(association.send_c_find(QUERY, FIND)))
            assert peer.get_data()
            peer.send(message(response, b"rubbish!"), message(last))
            results = [(status.Status, identifier) for status, identifier in finding.result()]
            assert results == [(0xFF00, None), (0x0000, None)]
            association.abort()


def test_get() -> None:
    stored: list[Any] = []

    def store(event: Any) -> int:
        stored.append(event.dataset.PatientName)
        return 0x0000 if len(stored) < 3 else 0xA700

    with (
        serving((evt.EVT_C_GET, retrieved(ct(1), ct(2), ct(3)))) as server,
        dial(server, (evt.EVT_C_STORE, store), ext_neg=[CT_ROLES]) as association,
    ):
        results = list(association.send_c_get(QUERY, GET))
        assert statuses(results) == [0xFF00] * 3 + [0xB000]
        status, identifier = results[-1]
        assert (status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (2, 1)
        assert identifier is not None
        assert identifier.FailedSOPInstanceUIDList == "1.2.3.3"
        assert association.send_c_echo().Status == 0x0000
    assert stored == ["Patient^1", "Patient^2", "Patient^3"]


def test_get_and_move_of_files(tmp_path: Path) -> None:
    """What a handler yields may be a path; a file that cannot be read costs its own sub-operation."""
    events: list[Any] = []
    (tmp_path / "text").write_text("no image")
    files = (str(path_of(CT)), path_of(CT), tmp_path / "missing", tmp_path / "text", ct(2))
    with serving((evt.EVT_C_STORE, keep(events)), ae=entity("DEST", CTImageStorage)) as destination:

        def move(event: Any) -> Any:
            yield destination.address
            yield from retrieved(*files)(event)

        with (
            serving((evt.EVT_C_GET, retrieved(*files)), (evt.EVT_C_MOVE, move)) as server,
            dial(server, (evt.EVT_C_STORE, keep(events)), ext_neg=[CT_ROLES]) as association,
        ):
            for results in (association.send_c_get(QUERY, GET), association.send_c_move(QUERY, "DEST", MOVE)):
                *pending, (last, identifier) = results
                assert statuses(pending) == [0xFF00] * 5
                assert last.Status == 0xB000
                assert (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations) == (3, 2)
                assert identifier is not None
                assert not identifier.FailedSOPInstanceUIDList
    uid = dcmread(path_of(CT)).SOPInstanceUID
    assert [event.request.AffectedSOPInstanceUID for event in events] == [uid, uid, "1.2.3.2"] * 2


def test_get_without_bulk_data() -> None:
    events: list[Any] = []
    get = CompositeInstanceRetrieveWithoutBulkDataGet
    contexts = (CTImageStorage, get)
    with (
        serving((evt.EVT_C_GET, retrieved(path_of(CT))), ae=entity("SCP", *contexts)) as server,
        dial(server, (evt.EVT_C_STORE, keep(events)), ae=entity("SCU", *contexts), ext_neg=[CT_ROLES]) as association,
    ):
        assert statuses(association.send_c_get(QUERY, get)) == [0xFF00, 0x0000]
    original = dcmread(path_of(CT))
    del original.PixelData
    assert events[0].dataset == original


def test_get_that_is_abandoned() -> None:
    stored: list[Any] = []
    with (
        serving((evt.EVT_C_GET, retrieved(*map(ct, range(1, 50))))) as server,
        dial(server, (evt.EVT_C_STORE, keep(stored)), ext_neg=[CT_ROLES]) as association,
    ):
        for _ in association.send_c_get(QUERY, GET):
            break
        assert association.send_c_echo().Status == 0x0000
    assert 1 <= len(stored) < 49


def test_call_within_a_handler() -> None:
    """While the peer performs all that it may, a handler cannot ask it for more; that costs its own operation."""

    def store(event: Any) -> int:
        event.assoc.send_c_echo()
        return 0x0000

    with (
        serving((evt.EVT_C_GET, retrieved(ct()))) as server,
        dial(server, (evt.EVT_C_STORE, store), ext_neg=[CT_ROLES]) as association,
    ):
        assert statuses(association.send_c_get(QUERY, GET)) == [0xFF00, 0xA702]
        assert association.send_c_echo().Status == 0x0000


def test_acceptor_calls_within_a_handler() -> None:
    reports: list[int] = []

    def act(event: Any) -> tuple[int, None]:
        status, _ = event.assoc.send_n_event_report(
            event.action_information, 1, COMMITMENT, StorageCommitmentPushModelInstance
        )
        return status.Status, None

    def report(event: Any) -> tuple[int, None]:
        reports.append(event.event_type)
        return 0x0000, None

    with (
        serving((evt.EVT_N_ACTION, act)) as server,
        dial(server, (evt.EVT_N_EVENT_REPORT, report)) as association,
    ):
        status, reply = association.send_n_action(
            dataset(TransactionUID="1.2"), 1, COMMITMENT, StorageCommitmentPushModelInstance
        )
        assert (status.Status, reply) == (0x0000, Dataset())
    assert reports == [1]


@pytest.mark.parametrize("how", ["pair", "options"])
def test_move(how: str) -> None:
    stored: list[Any] = []

    def store(event: Any) -> int:
        request = event.request
        stored.append((event.dataset.PatientName, request.MoveOriginatorApplicationEntityTitle))
        return 0x0000

    with serving((evt.EVT_C_STORE, store), ae=entity("DEST", CTImageStorage, require_called_aet=True)) as destination:

        def move(event: Any) -> Any:
            assert event.move_destination == "DEST"
            yield destination.address if how == "pair" else (*destination.address, {"ae_title": "DEST"})
            yield 2
            yield 0xFF00, ct(1)
            yield 0xFF00, ct(2)

        with serving((evt.EVT_C_MOVE, move)) as server, dial(server) as association:
            results = list(association.send_c_move(QUERY, "DEST", MOVE))
            assert statuses(results) == [0xFF00, 0xFF00, 0x0000]
            assert results[-1][0].NumberOfCompletedSuboperations == 2
    assert stored == [("Patient^1", "SCU"), ("Patient^2", "SCU")]


def test_move_to_nowhere() -> None:
    with Listener() as listener:
        closed = listener.address
    with serving(ae=entity("DEST", Verification, require_called_aet=True)) as destination:
        for where, expected in (
            ((None, None), [0xA801]),
            (closed, [0xA801]),
            ((*destination.address, {"ae_title": "OTHER"}), [0xA801]),
            ((*destination.address, {"nonsense": 1}), [0xC515]),
            ("nonsense", [0xC515]),
            (destination.address, [0xFF00, 0xA702]),  # it accepts no images
        ):

            def move(_event: Any, where: Any = where) -> Any:
                yield where
                yield 1
                yield 0xFF00, ct()

            with serving((evt.EVT_C_MOVE, move)) as server, dial(server) as association:
                assert statuses(association.send_c_move(QUERY, "DEST", MOVE)) == expected
                assert association.send_c_echo().Status == 0x0000
        assert destination.active_associations == []


# --- DIMSE-N ----------------------------------------------------------------------------------------------------------


def normalized(association: Any, kind: Any) -> Any:
    """Call what has this event."""
    values = dataset(PatientName="A^B")
    return {
        evt.EVT_N_CREATE: lambda: association.send_n_create(values, STEP, INSTANCE),
        evt.EVT_N_SET: lambda: association.send_n_set(values, STEP, INSTANCE),
        evt.EVT_N_GET: lambda: association.send_n_get([(0x0008, 0x0070), "PatientName"], Printer, PrinterInstance),
        evt.EVT_N_ACTION: lambda: association.send_n_action(values, 1, COMMITMENT, StorageCommitmentPushModelInstance),
        evt.EVT_N_DELETE: lambda: association.send_n_delete(
            BasicFilmSession, INSTANCE, meta_uid=BasicGrayscalePrintManagementMeta
        ),
    }[kind]()


NORMALIZED = (evt.EVT_N_CREATE, evt.EVT_N_SET, evt.EVT_N_GET, evt.EVT_N_ACTION, evt.EVT_N_DELETE)


def print_entity(title: str) -> Any:
    return entity(title, *ALL, BasicGrayscalePrintManagementMeta)


@pytest.mark.parametrize("kind", NORMALIZED, ids=str)
def test_normalized(kind: Any) -> None:
    seen: list[Any] = []

    def handler(event: Any) -> Any:
        request = event.request
        match kind:
            case evt.EVT_N_CREATE:
                seen.append((event.attribute_list.PatientName, request.AffectedSOPInstanceUID))
            case evt.EVT_N_SET:
                seen.append((event.modification_list.PatientName, request.RequestedSOPInstanceUID))
            case evt.EVT_N_GET:
                seen.append((event.attribute_identifiers, request.RequestedSOPInstanceUID))
            case evt.EVT_N_ACTION:
                seen.append((event.action_information.PatientName, event.action_type))
            case _:
                seen.append(request.RequestedSOPInstanceUID)
                return 0x0000
        return 0x0000, dataset(PatientID="7")

    expected = {
        evt.EVT_N_CREATE: ("A^B", INSTANCE),
        evt.EVT_N_SET: ("A^B", INSTANCE),
        evt.EVT_N_GET: ([0x00080070, 0x00100010], PrinterInstance),
        evt.EVT_N_ACTION: ("A^B", 1),
        evt.EVT_N_DELETE: INSTANCE,
    }[kind]
    with (
        serving((kind, handler), ae=print_entity("SCP")) as server,
        dial(server, ae=print_entity("SCU")) as association,
    ):
        result = normalized(association, kind)
        if kind is evt.EVT_N_DELETE:
            assert result.Status == 0x0000
        else:
            status, reply = result
            assert (status.Status, reply) == (0x0000, dataset(PatientID="7"))
    assert seen == [expected]


@pytest.mark.parametrize("kind", NORMALIZED, ids=str)
@pytest.mark.parametrize("handler", [None, raises], ids=["none", "raises"])
def test_normalized_handler_that_fails(kind: Any, handler: Any) -> None:
    with (
        serving(*([(kind, handler)] if handler else []), ae=print_entity("SCP")) as server,
        dial(server, ae=print_entity("SCU")) as association,
    ):
        result = normalized(association, kind)
        status = result if isinstance(result, Dataset) else result[0]
        assert status.Status == 0x0110
        assert association.send_c_echo().Status == 0x0000


def test_event_report_without_a_handler() -> None:
    with serving() as server, dial(server):
        (accepted,) = server.active_associations
        status, reply = accepted.send_n_event_report(
            dataset(TransactionUID="1.2"), 1, COMMITMENT, StorageCommitmentPushModelInstance
        )
        assert (status.Status, reply) == (0x0110, None)


# --- several threads --------------------------------------------------------------------------------------------------


def test_threads_share_an_association() -> None:
    """Calls of several threads are made one after the other, each with its own answer."""

    def find(event: Any) -> Any:
        for number in range(10):
            yield 0xFF00, dataset(QueryRetrieveLevel="PATIENT", PatientName=f"{event.identifier.PatientName}{number}")

    with (
        serving((evt.EVT_C_FIND, find), (evt.EVT_C_STORE, lambda event: 0xB000 + event.dataset.Rows)) as server,
        dial(server) as association,
    ):

        def ask(name: int) -> None:
            for _ in range(5):
                query = dataset(QueryRetrieveLevel="PATIENT", PatientName=f"P{name}x")
                results = list(association.send_c_find(query, FIND))
                names = [str(identifier.PatientName) for _, identifier in results if identifier]
                assert names == [f"P{name}x{number}" for number in range(10)]
                assert association.send_c_store(ct(name)).Status == 0xB000 + name
                assert association.send_c_echo().Status == 0x0000

        for running in [Running(ask, name) for name in range(1, 5)]:
            running.result()
