"""What users call on an association, run in memory between two application entities."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.application import requests
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.application.results import Results
from dicom_proto.dimse.messages import CEchoRQ, CStoreRQ
from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.errors import (
    InvalidNameError,
    LocalProtocolError,
    MissingElementError,
    NoContextError,
    NotEstablishedError,
)
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.contexts import build_role
from dicom_proto.programs.effects import Await, Call, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.services.storage.sending import fit_object
from dicom_proto.sop_class import (
    BasicFilmSession,
    BasicGrayscalePrintManagementMeta,
    DisplaySystem,
    DisplaySystemInstance,
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepWatch,
)
from dicom_proto.testing.network import Network
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.programs.script import (
    CANCEL,
    CT,
    IMPLICIT,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    Context,
    Script,
    connected,
    data_set,
    dataset_of,
    offer_of,
)
from tests.proto.rows import for_each

ABORTED = AssociationAborted(AbortOrigin.PEER_USER, 0, None)
QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")
NOTHING = Dataset()


class Pair:
    """Two application entities and an association between them."""

    def __init__(self, *abstract_syntaxes: str, handlers: dict[Any, Callable[..., Any]], items: Any = ()) -> None:
        scu, scp = ApplicationEntity("SCU"), ApplicationEntity("SCP")
        for uid in abstract_syntaxes:
            scu.add_requested_context(uid, IMPLICIT)
            scp.add_supported_context(uid, IMPLICIT, scu_role=True, scp_role=True)
        bindings = list(handlers.items())
        network = Network()
        network.listen(("scp", 104), scp, bindings)
        self.scu = network.associate(scu, ("scp", 104), bindings, offer=scu.offer("SCP", items=items))
        assert self.scu.failure is None
        self.scp = network.associations[1]

    def run(self, verb: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return self.scu.run(verb(self.scu.peer, *arguments, **more))

    def result(self, results: Results) -> tuple[int, Dataset | None] | None:
        """The next result of a C-FIND, C-GET or C-MOVE: status code and identifier."""
        result = self.scu.run(results.next())
        return None if result is None else (result[0].Status, result[1])

    def results(self, verb: Callable[..., Any], *arguments: Any, **more: Any) -> list[tuple[int, Dataset | None]]:
        """All its results."""
        results = self.run(verb, *arguments, **more)
        return list(iter(lambda: self.result(results), None))


def alone(*contexts: Context) -> Peer:
    """One side of an association; the other says nothing."""
    return Peer(connected(offer_of(*contexts))[0], Handlers())


def begin(program: Any) -> Any:
    """What a program returns that has not to wait."""
    return Script(program).end()


def asking(program: Any) -> Script[Any]:
    """A program that has sent its request, and waits for the response; what it wants called before is called."""
    script: Script[Any] = Script(program)
    effect = program.send(None)
    while isinstance(effect, Call):
        effect = program.send(effect.function(*effect.arguments))
    assert isinstance(effect, Receive)
    return script


# --- DIMSE-C ----------------------------------------------------------------------------------------------------------


def test_echo() -> None:
    assert Pair(VERIFICATION, handlers={}).run(requests.send_c_echo) == dataset_of(Status=0x0000)
    peer = alone(VERIFICATION)
    Script(requests.send_c_echo(peer, 7)).expect(Receive)
    assert list(peer.connection.invoked) == [7]


CT_IMAGE = dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2.3", PatientName="A^B")


@pytest.mark.parametrize(
    "what", [CT_IMAGE, file_preamble_and_meta(CT, "1.2.3", IMPLICIT) + data_set(PatientName="A^B")]
)
def test_store(what: Any) -> None:
    seen = []

    def store(event: Any) -> int:
        seen.append(event)
        return 0xB007

    status = Pair(CT, handlers={evt.EVT_C_STORE: store}).run(requests.send_c_store, what, 9, 1, "MOVER", 77)
    assert status == dataset_of(Status=0xB007)
    request = seen[0].message
    assert seen[0].dataset.PatientName == "A^B"
    assert (request.message_id, request.priority) == (9, 1)
    assert (request.move_originator_application_entity_title, request.move_originator_message_id) == ("MOVER", 77)


def test_store_by_default() -> None:
    peer = alone(CT)
    asking(requests.send_c_store(peer, CT_IMAGE))
    request = peer.connection.invoked[1].request
    assert isinstance(request, CStoreRQ)
    assert (request.priority, request.move_originator_application_entity_title) == (2, None)


@for_each("what", ["PATIENT.dcm", Path("PATIENT.dcm"), BytesIO(b"much")])
def test_what_is_read_at_once(what: Any) -> None:
    """A file; but anything that may come from far away by who does what takes its time."""
    peer, asked = alone(CT), []

    def read(item: Any) -> Any:
        asked.append(item)
        return CT_IMAGE

    peer.read = read
    script: Script[Any] = Script(requests.send_c_store(peer, what))
    assert asked == ([] if isinstance(what, BytesIO) else [what])
    converting = script.expect(Call)
    if isinstance(what, BytesIO):
        assert (converting.function, converting.arguments) == (read, (what,))
        converting = script.expect(Call, CT_IMAGE)
    script.expect(Receive, converting.function(*converting.arguments))


def test_room_is_waited_for_again_when_the_object_has_been_converted() -> None:
    """Others may have invoked something meanwhile."""
    peer = alone(CT, VERIFICATION)
    script: Script[Any] = Script(requests.send_c_store(peer, CT_IMAGE))
    converting = script.expect(Call)
    asking(requests.send_c_echo(peer))
    room = script.expect(Await, converting.function(*converting.arguments))
    assert room.condition() is None
    del peer.connection._invoked[1]  # noqa: SLF001 - as if it had been answered
    assert room.condition()
    peer = alone(CT, VERIFICATION)
    peer.is_handling = lambda: True  # then nothing is waited for
    script = Script(requests.send_c_store(peer, CT_IMAGE))
    converting = script.expect(Call)
    asking(requests.send_c_echo(peer))
    with pytest.raises(LocalProtocolError, match="window"):
        script.end(converting.function(*converting.arguments))


def test_many_stores() -> None:
    progress: list[tuple[int, int]] = []
    pair = Pair(CT, handlers={evt.EVT_C_STORE: lambda _: 0xB000})
    images = [dataset_of(SOPClassUID=CT, SOPInstanceUID=f"1.2.{number}") for number in range(5)]
    sent = pair.scu.send_c_stores(images, on_progress=lambda *done: progress.append(done))
    assert [(item, status.Status) for item, status in sent] == [(one, 0xB000) for one in images]
    assert [objects for objects, _ in progress] == [1, 2, 3, 4, 5]


def test_what_cannot_be_stored() -> None:
    peer = alone((CT, "1.2.840.10008.1.2.4.50"), VERIFICATION)
    refused: list[tuple[type[Exception], Dataset, str]] = [
        (MissingElementError, QUERY, "SOP Class UID"),
        (AttributeError, QUERY, "SOP Class UID"),
        (NoContextError, CT_IMAGE, "no presentation context"),
        (ValueError, CT_IMAGE, "no presentation context"),
    ]
    for kind, dataset, message in refused:
        with pytest.raises(kind, match=message):
            Script(fit_object(peer, dataset)).expect(Receive)
        with pytest.raises(kind, match=message):
            Script(requests.send_c_store(peer, dataset)).expect(Receive)


def find(event: Any) -> Iterator[Any]:
    assert event.identifier == QUERY
    for number in "12":
        yield PENDING, dataset_of(PatientID=number)


def test_find() -> None:
    pair = Pair(STUDY_FIND, handlers={evt.EVT_C_FIND: find})
    expected = [(PENDING, dataset_of(PatientID="1")), (PENDING, dataset_of(PatientID="2")), (0, None)]
    assert pair.results(requests.send_c_find, QUERY, STUDY_FIND) == expected
    assert pair.results(requests.send_c_find, QUERY, STUDY_FIND, 1, 0) == expected


def test_get() -> None:
    stored = []

    def get(event: Any) -> Iterator[Any]:
        assert event.identifier == QUERY
        yield 1
        yield PENDING, CT_IMAGE

    def store(event: Any) -> int:
        stored.append(event.dataset.PatientName)
        return 0

    pair = Pair(
        STUDY_GET,
        CT,
        handlers={evt.EVT_C_GET: get, evt.EVT_C_STORE: store},
        items=[build_role(CT, scp_role=True)],
    )
    assert pair.results(requests.send_c_get, QUERY, STUDY_GET) == [(PENDING, None), (0, None)]
    assert stored == ["A^B"]


def test_move() -> None:
    pair = Pair(STUDY_MOVE, handlers={evt.EVT_C_MOVE: lambda _: iter([(None, None)])})
    assert pair.results(requests.send_c_move, QUERY, "ELSEWHERE", STUDY_MOVE) == [(0xA801, Dataset())]


@pytest.mark.parametrize("verb", [requests.send_c_find, requests.send_c_get])
def test_queries_need_a_context(verb: Callable[..., Any]) -> None:
    with pytest.raises(NoContextError, match=r"no presentation context for 1\.2\.3 "):
        begin(verb(alone(VERIFICATION), QUERY, "1.2.3"))
    with pytest.raises(NoContextError):
        begin(requests.send_c_move(alone(VERIFICATION), QUERY, "ELSEWHERE", "1.2.3"))


def test_a_cancel() -> None:
    pair = Pair(STUDY_FIND, handlers={evt.EVT_C_FIND: find})
    results = begin(requests.send_c_find(pair.scu.peer, QUERY, STUDY_FIND, 5))
    begin(requests.send_c_cancel(pair.scu.peer, 5, query_model=STUDY_FIND))
    assert pair.result(results) == (CANCEL, None)
    begin(requests.send_c_cancel(pair.scu.peer, 5))  # too late, which nobody can know for sure
    assert pair.result(results) is None


def test_which_operation_is_cancelled() -> None:
    peer = alone(VERIFICATION, STUDY_FIND)
    begin(requests.send_c_find(peer, QUERY, STUDY_FIND, 5))
    begin(requests.send_c_cancel(peer, 5, context_id=3))
    with pytest.raises(NoContextError, match="operation 5 is on presentation context 3"):
        begin(requests.send_c_cancel(peer, 5, context_id=1))
    with pytest.raises(NoContextError, match=f"for {STUDY_FIND}"):
        begin(requests.send_c_cancel(peer, 5, query_model=STUDY_GET))


def test_a_cancel_of_what_cannot_be_cancelled() -> None:
    peer = alone(VERIFICATION)
    Script(requests.send_c_echo(peer, 5)).expect(Receive)
    with pytest.raises(LocalProtocolError, match="no C-FIND, C-GET or C-MOVE with message ID 5"):
        begin(requests.send_c_cancel(peer, 5))


# --- DIMSE-N ----------------------------------------------------------------------------------------------------------


class Answers:
    """A handler that keeps its event."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.event: Any = None

    def __call__(self, event: Any) -> Any:
        self.event = event
        return self.result


SENT, REPLY = dataset_of(PatientName="A^B"), dataset_of(Manufacturer="M")


def test_get_attributes() -> None:
    handler = Answers((0x0000, REPLY))
    pair = Pair(DisplaySystem, handlers={evt.EVT_N_GET: handler})
    tags = [(0x0008, 0x0070), 0x00081090, "PatientName"]
    status, attributes = pair.run(requests.send_n_get, tags, DisplaySystem, DisplaySystemInstance, 3)
    assert (status.Status, attributes) == (0, REPLY)
    assert handler.event.attribute_identifiers == [0x00080070, 0x00081090, 0x00100010]
    assert (handler.event.message_id, handler.event.request.RequestedSOPInstanceUID) == (3, DisplaySystemInstance)
    for everything in ((), None):
        pair.run(requests.send_n_get, everything, DisplaySystem, DisplaySystemInstance)
        assert handler.event.attribute_identifiers == []


@pytest.mark.parametrize("tags", [["Nonsense"], [None], [-1], [(1 << 16, 0)], 7])
def test_what_is_no_tag_is_not_asked_for(tags: Any) -> None:
    pair = Pair(DisplaySystem, handlers={})
    with pytest.raises(InvalidNameError, match="are no tags"):
        pair.run(requests.send_n_get, tags, DisplaySystem, DisplaySystemInstance)


def test_set_attributes() -> None:
    handler = Answers((0xB305, REPLY))
    pair = Pair(ModalityPerformedProcedureStep, handlers={evt.EVT_N_SET: handler})
    status, attributes = pair.run(requests.send_n_set, SENT, ModalityPerformedProcedureStep, "1.2.3")
    assert (status.Status, attributes, handler.event.modification_list) == (0xB305, REPLY, SENT)
    with pytest.raises(LocalProtocolError, match="a data set follows always"):
        pair.run(requests.send_n_set, None, ModalityPerformedProcedureStep, "1.2.3")
    with pytest.raises(LocalProtocolError, match="dict is no Dataset"):
        pair.run(requests.send_n_set, {"PatientName": "Roe"}, ModalityPerformedProcedureStep, "1.2.3")


def test_an_action() -> None:
    handler = Answers((0x0000, None))
    pair = Pair(StorageCommitmentPushModel, handlers={evt.EVT_N_ACTION: handler})
    call = (SENT, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    status, reply = pair.run(requests.send_n_action, *call)
    assert (status.Status, reply) == (0, Dataset())
    handler.result = 0x0110, None
    assert pair.run(requests.send_n_action, *call)[1] is None
    assert (handler.event.action_type, handler.event.action_information) == (1, SENT)


def test_creation_and_deletion() -> None:
    create, delete = Answers((dataset_of(Status=0, AffectedSOPInstanceUID="1.2.3"), None)), Answers(0x0112)
    pair = Pair(BasicFilmSession, handlers={evt.EVT_N_CREATE: create, evt.EVT_N_DELETE: delete})
    status, attributes = pair.run(requests.send_n_create, None, BasicFilmSession)
    assert (status.Status, status.AffectedSOPInstanceUID, attributes) == (0, "1.2.3", Dataset())
    pair.run(requests.send_n_create, SENT, BasicFilmSession, "1.2.4")
    assert (create.event.attribute_list, create.event.request.AffectedSOPInstanceUID) == (SENT, "1.2.4")
    assert pair.run(requests.send_n_delete, BasicFilmSession, "1.2.4").Status == 0x0112


def test_an_event_report_of_the_acceptor() -> None:
    handler = Answers((0x0000, None))
    pair = Pair(StorageCommitmentPushModel, handlers={evt.EVT_N_EVENT_REPORT: handler})
    call = (SENT, 2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    status, reply = pair.scp.run(requests.send_n_event_report(pair.scp.peer, *call))
    assert (status.Status, reply) == (0, Dataset())
    assert (handler.event.event_type, handler.event.event_information) == (2, SENT)


def test_an_event_report_without_the_role_for_it() -> None:
    """As programs send it that have requested the association in order to report."""
    handler = Answers((0x0000, None))
    pair = Pair(StorageCommitmentPushModel, handlers={evt.EVT_N_EVENT_REPORT: handler})
    call = (SENT, 2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert pair.run(requests.send_n_event_report, *call)[0].Status == 0
    assert handler.event.event_type == 2
    with pytest.raises(NoContextError, match="with the SCP role"):
        Pair(VERIFICATION, handlers={}).run(requests.send_n_event_report, *call)


def context_used(peer: Peer, program: Any) -> int:
    Script(program).expect(Receive)
    (operation,) = peer.connection.invoked.values()
    return operation.context_id


def test_members_of_a_meta_sop_class_are_used_on_its_context() -> None:
    peer = alone(VERIFICATION, BasicGrayscalePrintManagementMeta)
    assert context_used(peer, requests.send_n_delete(peer, BasicFilmSession, "1.2")) == 3
    peer = alone(BasicGrayscalePrintManagementMeta, BasicFilmSession)
    assert context_used(peer, requests.send_n_delete(peer, BasicFilmSession, "1.2")) == 3
    peer = alone(BasicGrayscalePrintManagementMeta, BasicFilmSession)
    program = requests.send_n_delete(peer, BasicFilmSession, "1.2", meta_uid=BasicGrayscalePrintManagementMeta)
    assert context_used(peer, program) == 1


def test_a_private_sop_class_is_used_on_its_own_context() -> None:
    peer = alone(VERIFICATION, "1.2.3")
    assert context_used(peer, requests.send_n_delete(peer, "1.2.3", "1.2")) == 3


STEPS = (UnifiedProcedureStepPush, UnifiedProcedureStepWatch, UnifiedProcedureStepPull, UnifiedProcedureStepEvent)


def test_a_procedure_step_is_used_where_its_service_is() -> None:
    """Its SOP class is always Push (PS3.4 CC.2)."""
    step = (UnifiedProcedureStepPush, "1.2")
    asked: list[tuple[int, tuple[str, ...], Callable[[Peer], Any]]] = [
        (1, STEPS, lambda peer: requests.send_n_create(peer, SENT, *step)),
        (1, STEPS, lambda peer: requests.send_n_get(peer, [], *step)),
        (5, STEPS, lambda peer: requests.send_n_set(peer, SENT, *step)),
        (1, STEPS[1:], lambda peer: requests.send_n_action(peer, SENT, 1, *step)),
    ]
    for wanted, contexts, call in asked:
        peer = alone(*contexts)
        assert context_used(peer, call(peer)) == wanted
    peer = Peer(connected(offer_of(*STEPS))[1], Handlers())
    assert context_used(peer, requests.send_n_event_report(peer, SENT, 1, *step)) == 7


def test_procedure_steps_are_found_where_they_can_be() -> None:
    """Push has no C-FIND (PS3.4 CC.2)."""
    pair = Pair(*STEPS[:3], handlers={evt.EVT_C_FIND: lambda event: iter([(PENDING, event.identifier)])})
    assert pair.results(requests.send_c_find, QUERY, UnifiedProcedureStepPush) == [(PENDING, QUERY), (0, None)]
    peer = alone(*STEPS)
    begin(requests.send_c_find(peer, QUERY, UnifiedProcedureStepPush))
    request: Any = peer.connection.invoked[1].request
    assert request.affected_sop_class_uid == UnifiedProcedureStepWatch


def test_an_event_is_reported_where_this_side_is_the_scp_if_there_is_such_a_context() -> None:
    step = (UnifiedProcedureStepPush, "1.2")
    contexts = [(UnifiedProcedureStepEvent, [IMPLICIT])] * 2
    peer = alone(*contexts)
    assert context_used(peer, requests.send_n_event_report(peer, SENT, 1, *step)) == 1


def test_nowhere_to_ask_for_a_procedure_step() -> None:
    peer = alone(UnifiedProcedureStepPush, VERIFICATION)
    program = requests.send_n_set(peer, SENT, UnifiedProcedureStepPush, "1.2", meta_uid=UnifiedProcedureStepPull)
    with pytest.raises(NoContextError, match=UnifiedProcedureStepPull):
        Script(program).expect(Receive)
    with pytest.raises(NoContextError, match=UnifiedProcedureStepPull):
        Script(requests.send_n_set(peer, SENT, UnifiedProcedureStepPull, "1.2")).expect(Receive)


# --- message IDs ------------------------------------------------------------------------------------------------------


def test_what_can_be_cancelled_has_the_lowest_id_that_is_free() -> None:
    pair = Pair(VERIFICATION, STUDY_FIND, handlers={evt.EVT_C_FIND: lambda event: iter([(PENDING, event.identifier)])})
    pair.run(requests.send_c_echo)
    ids = []
    pair.scp.bind(evt.EVT_DIMSE_RECV, lambda event: ids.append(event.message.MessageID))
    for _ in range(2):
        pair.results(requests.send_c_find, QUERY, STUDY_FIND)
    pair.run(requests.send_c_echo)
    assert ids == [1, 1, 2]
    peer = alone(STUDY_FIND)
    peer.send(CEchoRQ(message_id=1), context_id=1).close()
    peer.connection.invoked_window = 2
    begin(requests.send_c_find(peer, QUERY, STUDY_FIND))
    assert list(peer.connection.invoked) == [1, 2]


def test_what_has_been_answered_and_not_been_read_keeps_its_id() -> None:
    pair = Pair(VERIFICATION, STUDY_FIND, handlers={evt.EVT_C_FIND: lambda event: iter([(PENDING, event.identifier)])})

    def find() -> Results:
        found: Results = pair.run(requests.send_c_find, QUERY, STUDY_FIND)
        pair.scu.network.settle()
        return found

    def read(found: Results) -> list[tuple[int, Dataset | None]]:
        return list(iter(lambda: pair.result(found), None))

    first, second = find(), find()
    read(first)
    first = find()  # whose ID is 1 again; the next one would be 2
    pair.run(requests.send_c_echo)
    assert read(second) == read(first) == [(PENDING, QUERY), (0, None)]


# --- associations that end --------------------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable[[Peer], Any], Any]] = {
    "c_echo": (requests.send_c_echo, NOTHING),
    "c_store": (lambda peer: requests.send_c_store(peer, CT_IMAGE), NOTHING),
    "n_delete": (lambda peer: requests.send_n_delete(peer, CT, "1.2"), NOTHING),
    "n_get": (lambda peer: requests.send_n_get(peer, [], CT, "1.2"), (NOTHING, None)),
    "n_create": (lambda peer: requests.send_n_create(peer, SENT, CT), (NOTHING, None)),
}
QUERIES: dict[str, Callable[[Peer], Any]] = {
    "c_find": lambda peer: requests.send_c_find(peer, QUERY, STUDY_FIND),
    "c_get": lambda peer: requests.send_c_get(peer, QUERY, STUDY_FIND),
    "c_move": lambda peer: requests.send_c_move(peer, QUERY, "ELSEWHERE", STUDY_FIND),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_response_is_an_empty_status(name: str, caplog: pytest.LogCaptureFixture) -> None:
    call, empty = CALLS[name]
    script = asking(call(alone(VERIFICATION, CT)))
    assert script.fail_at_last(ABORTED) == empty
    assert "no response has arrived: association ended by the peer's UL service-user" in caplog.text


@pytest.mark.parametrize("name", CALLS)
def test_strict_peers_raise(name: str) -> None:
    peer = alone(VERIFICATION, CT)
    peer.is_strict = True
    script = asking(CALLS[name][0](peer))
    with pytest.raises(AssociationAborted):
        script.fail_at_last(ABORTED)


@pytest.mark.parametrize("kind", [NotEstablishedError, RuntimeError, LocalProtocolError])
def test_nothing_can_be_asked_without_an_association(kind: type[Exception]) -> None:
    peer = alone(VERIFICATION, CT, STUDY_FIND)
    peer.connection.abort()
    for call, _ in CALLS.values():
        with pytest.raises(kind, match="the association is not established: there is no association"):
            Script(call(peer)).end()
    for query in QUERIES.values():
        with pytest.raises(kind):
            begin(query(peer))
    with pytest.raises(kind):
        begin(requests.send_c_cancel(peer, 1))


def test_the_error_says_how_the_association_ended() -> None:
    pair = Pair(VERIFICATION, handlers={})
    pair.scp.abort()
    pair.scu.network.settle()
    with pytest.raises(NotEstablishedError, match=r"not established: association ended by the peer's UL service-user"):
        pair.run(requests.send_c_echo)
