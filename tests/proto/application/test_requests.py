"""What users call on an association, run in memory between two application entities."""

import pickle
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_proto.application import requests as calls
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.events import DataChunk, ResponseReceived
from dicom_proto.dimse.messages import CCancelRQ, CEchoRSP, CFindRSP, CGetRSP, CStoreRQ, NGetRSP
from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.errors import (
    InvalidNameError,
    InvalidSettingError,
    LocalProtocolError,
    MissingElementError,
    NoContextError,
    NotEstablishedError,
)
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.contexts import build_role
from dicom_proto.programs.effects import Receive
from dicom_proto.programs.peer import Peer
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
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.dimse.pairs import raw
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
    Listener,
    Node,
    Script,
    World,
    connected,
    data_set,
    dataset_of,
    offer_of,
)
from tests.proto.wire import sent

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
        self.world = World(scp=Listener(scp, bindings))
        self.scu: Node = self.world.associate("scp", Listener(scu, bindings), scu.offer("SCP", items=items))
        assert self.scu.other is not None
        self.scp: Node = self.scu.other

    def run(self, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        return self.world.run(self.scu, call(self.scu.peer, *arguments, **more))

    def result(self, invoking: Any) -> tuple[int, Dataset | None] | None:
        """The next result of a C-FIND, C-GET or C-MOVE: status code and identifier."""
        result = self.world.run(self.scu, calls.next_result(invoking))
        return None if result is None else (result[0].Status, result[1])

    def results(self, call: Callable[..., Any], *arguments: Any, **more: Any) -> list[tuple[int, Dataset | None]]:
        """All its results."""
        invoking = call(self.scu.peer, *arguments, **more)
        return list(iter(lambda: self.result(invoking), None))


def alone(*contexts: Context) -> Peer:
    """One side of an association; the other says nothing."""
    return Peer(connected(offer_of(*contexts))[0], Handlers())


def answer(response: Any, *, data: bytes | None = None, context_id: int = 1) -> list[Any]:
    """The events of a response to request 1."""
    events: list[Any] = [
        ResponseReceived(message_id=1, context_id=context_id, response=response, has_data=data is not None)
    ]
    return events if data is None else [*events, DataChunk(message_id=1, invoked=True, data=data, last=True)]


def play(program: Any, events: list[Any]) -> Any:
    """Give a program what it receives; return its result."""
    script: Script[Any] = Script(program)
    script.expect(Receive)
    for event in events[:-1]:
        script.expect(Receive, event)
    return script.end(events[-1])


# --- statuses ---------------------------------------------------------------------------------------------------------


def test_a_status_is_a_data_set_of_command_elements() -> None:
    response = CGetRSP(
        message_id_being_responded_to=1,
        status=0xB000,
        affected_sop_class_uid=STUDY_GET,
        offending_element=(0x00100010, 0x00100020),
        error_comment="why",
        number_of_failed_suboperations=0,
    )
    status = calls.status_of(response)
    assert status == dataset_of(
        AffectedSOPClassUID=STUDY_GET,
        Status=0xB000,
        OffendingElement=[0x00100010, 0x00100020],
        ErrorComment="why",
        NumberOfFailedSuboperations=0,
    )
    assert isinstance(status.AffectedSOPClassUID, UID)


def test_what_a_peer_says_against_the_rules_warns_nobody() -> None:
    response = CEchoRSP(message_id_being_responded_to=1, status=0x0110, affected_sop_class_uid="no UID" * 30)
    assert calls.status_of(response).AffectedSOPClassUID == "no UID" * 30


@pytest.mark.parametrize("tags", [None, (0x00100010,)])
def test_a_status_belongs_to_who_got_it(tags: tuple[int, ...] | None) -> None:
    response = CFindRSP(message_id_being_responded_to=1, status=0xA900, offending_element=tags, error_comment="why")
    expected, status = calls.status_of(response), calls.status_of(response)
    status.Status, status.ErrorComment = 0x0000, "because"
    status["Status"].VR = "UL"
    if tags:
        status.OffendingElement = 0x00200010
    assert status != expected
    assert calls.status_of(response) == expected


def test_a_status_is_an_ordinary_data_set() -> None:
    response = CFindRSP(message_id_being_responded_to=1, status=0xA900, affected_sop_class_uid=STUDY_GET)
    status, ordinary = calls.status_of(response), dataset_of(AffectedSOPClassUID=STUDY_GET, Status=0xA900)
    assert vars(status).keys() == vars(ordinary).keys()
    for other in (ordinary, copy(status), deepcopy(status), pickle.loads(pickle.dumps(status))):
        assert (other, repr(other), list(other)) == (status, repr(status), list(status))
    status.private_block(0x0009, "OWN", create=True).add_new(0x01, "SH", "mine")
    status.PatientName = "A^B"
    del status.Status
    assert calls.status_of(response) == ordinary
    with pytest.raises(KeyError):
        calls.status_of(response).private_block(0x0009, "OWN")


# --- DIMSE-C ----------------------------------------------------------------------------------------------------------


def test_echo() -> None:
    assert Pair(VERIFICATION, handlers={}).run(calls.c_echo) == dataset_of(
        AffectedSOPClassUID=VERIFICATION, Status=0x0000
    )
    peer = alone(VERIFICATION)
    Script(calls.c_echo(peer, 7)).expect(Receive)
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

    status = Pair(CT, handlers={evt.EVT_C_STORE: store}).run(calls.c_store, what, 9, 1, "MOVER", 77)
    assert (status.Status, status.AffectedSOPInstanceUID) == (0xB007, "1.2.3")
    request = seen[0].message
    assert seen[0].dataset.PatientName == "A^B"
    assert (request.message_id, request.priority) == (9, 1)
    assert (request.move_originator_application_entity_title, request.move_originator_message_id) == ("MOVER", 77)


def test_store_by_default() -> None:
    peer = alone(CT)
    Script(calls.c_store(peer, CT_IMAGE)).expect(Receive)
    request = peer.connection.invoked[1].request
    assert isinstance(request, CStoreRQ)
    assert (request.priority, request.move_originator_application_entity_title) == (2, None)


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
            Script(calls.fit_object(peer, dataset)).expect(Receive)
        with pytest.raises(kind, match=message):
            Script(calls.c_store(peer, dataset)).expect(Receive)


def find(event: Any) -> Iterator[Any]:
    assert event.identifier == QUERY
    for number in "12":
        yield PENDING, dataset_of(PatientID=number)


def test_find() -> None:
    pair = Pair(STUDY_FIND, handlers={evt.EVT_C_FIND: find})
    expected = [(PENDING, dataset_of(PatientID="1")), (PENDING, dataset_of(PatientID="2")), (0, None)]
    assert pair.results(calls.c_find, QUERY, STUDY_FIND) == expected
    assert pair.results(calls.c_find, QUERY, STUDY_FIND, 1, 0) == expected


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
    assert pair.results(calls.c_get, QUERY, STUDY_GET) == [(PENDING, None), (0, None)]
    assert stored == ["A^B"]


def test_move() -> None:
    pair = Pair(STUDY_MOVE, handlers={evt.EVT_C_MOVE: lambda _: iter([(None, None)])})
    assert pair.results(calls.c_move, QUERY, "ELSEWHERE", STUDY_MOVE) == [(0xA801, None)]


@pytest.mark.parametrize("call", [calls.c_find, calls.c_get])
def test_queries_need_a_context(call: Callable[..., Any]) -> None:
    with pytest.raises(NoContextError, match=r"no presentation context for 1\.2\.3 "):
        call(alone(VERIFICATION), QUERY, "1.2.3")
    with pytest.raises(NoContextError):
        calls.c_move(alone(VERIFICATION), QUERY, "ELSEWHERE", "1.2.3")


def test_an_identifier_that_cannot_be_decoded_is_none(caplog: pytest.LogCaptureFixture) -> None:
    peer = alone(STUDY_FIND)
    invoking = calls.c_find(peer, QUERY, STUDY_FIND)
    response = CFindRSP(message_id_being_responded_to=1, status=PENDING)
    assert play(calls.next_result(invoking), answer(response, data=b"?")) == (dataset_of(Status=PENDING), None)
    assert "C-FIND-RSP cannot be decoded" in caplog.text
    assert not invoking.is_over


def test_results_as_a_stream() -> None:
    pair = Pair(STUDY_FIND, handlers={evt.EVT_C_FIND: find})
    results = calls.Results(calls.c_find(pair.scu.peer, QUERY, STUDY_FIND))
    found = []
    while (result := pair.world.run(pair.scu, results.next())) is not None:
        found.append((result[0].Status, results.is_over))
    assert found == [(PENDING, False), (PENDING, False), (0, True)]
    results.abandon()  # which does nothing any more
    assert pair.world.run(pair.scu, results.next()) is None


def test_results_that_nobody_wants_any_more() -> None:
    peer = alone(STUDY_FIND)
    results = calls.Results(calls.c_find(peer, QUERY, STUDY_FIND))
    sent(peer.connection)
    results.abandon()
    assert sent(peer.connection) == raw(CCancelRQ(message_id_being_responded_to=1))
    assert (results.is_over, peer.router.is_open((1, True))) == (True, False)
    assert Script(results.next()).end() is None
    results.abandon()
    assert sent(peer.connection) == b""


def test_a_cancel() -> None:
    pair = Pair(STUDY_FIND, handlers={evt.EVT_C_FIND: find})
    invoking = calls.c_find(pair.scu.peer, QUERY, STUDY_FIND, 5)
    calls.c_cancel(pair.scu.peer, 5, query_model=STUDY_FIND)
    assert pair.result(invoking) == (CANCEL, None)
    calls.c_cancel(pair.scu.peer, 5)  # too late, which nobody can know for sure
    assert pair.result(invoking) is None


def test_which_operation_is_cancelled() -> None:
    peer = alone(VERIFICATION, STUDY_FIND)
    calls.c_find(peer, QUERY, STUDY_FIND, 5)
    calls.c_cancel(peer, 5, context_id=3)
    with pytest.raises(NoContextError, match="operation 5 is on presentation context 3"):
        calls.c_cancel(peer, 5, context_id=1)
    with pytest.raises(NoContextError, match=f"for {STUDY_FIND}"):
        calls.c_cancel(peer, 5, query_model=STUDY_GET)


def test_a_cancel_of_what_cannot_be_cancelled() -> None:
    peer = alone(VERIFICATION)
    Script(calls.c_echo(peer, 5)).expect(Receive)
    with pytest.raises(LocalProtocolError, match="no C-FIND, C-GET or C-MOVE with message ID 5"):
        calls.c_cancel(peer, 5)


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
    status, attributes = pair.run(calls.n_get, tags, DisplaySystem, DisplaySystemInstance, 3)
    assert (status.Status, attributes) == (0, REPLY)
    assert handler.event.attribute_identifiers == [0x00080070, 0x00081090, 0x00100010]
    assert (handler.event.message_id, handler.event.request.RequestedSOPInstanceUID) == (3, DisplaySystemInstance)
    pair.run(calls.n_get, [], DisplaySystem, DisplaySystemInstance)
    assert handler.event.attribute_identifiers == []


@pytest.mark.parametrize("tags", [["Nonsense"], [None], [-1], [(1 << 16, 0)], None])
def test_what_is_no_tag_is_not_asked_for(tags: Any) -> None:
    pair = Pair(DisplaySystem, handlers={})
    with pytest.raises(InvalidNameError, match="are no tags"):
        pair.run(calls.n_get, tags, DisplaySystem, DisplaySystemInstance)


def test_set_attributes() -> None:
    handler = Answers((0xB305, REPLY))
    pair = Pair(ModalityPerformedProcedureStep, handlers={evt.EVT_N_SET: handler})
    status, attributes = pair.run(calls.n_set, SENT, ModalityPerformedProcedureStep, "1.2.3")
    assert (status.Status, attributes, handler.event.modification_list) == (0xB305, REPLY, SENT)
    with pytest.raises(LocalProtocolError, match="a data set follows always"):
        pair.run(calls.n_set, None, ModalityPerformedProcedureStep, "1.2.3")
    with pytest.raises(LocalProtocolError, match="dict is no Dataset"):
        pair.run(calls.n_set, {"PatientName": "Roe"}, ModalityPerformedProcedureStep, "1.2.3")


def test_an_action() -> None:
    handler = Answers((0x0000, None))
    pair = Pair(StorageCommitmentPushModel, handlers={evt.EVT_N_ACTION: handler})
    call = (SENT, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    status, reply = pair.run(calls.n_action, *call)
    assert (status.Status, reply) == (0, None)
    assert (handler.event.action_type, handler.event.action_information) == (1, SENT)


def test_creation_and_deletion() -> None:
    create, delete = Answers((dataset_of(Status=0, AffectedSOPInstanceUID="1.2.3"), None)), Answers(0x0112)
    pair = Pair(BasicFilmSession, handlers={evt.EVT_N_CREATE: create, evt.EVT_N_DELETE: delete})
    status, attributes = pair.run(calls.n_create, None, BasicFilmSession)
    assert (status.Status, status.AffectedSOPInstanceUID, attributes) == (0, "1.2.3", None)
    pair.run(calls.n_create, SENT, BasicFilmSession, "1.2.4")
    assert (create.event.attribute_list, create.event.request.AffectedSOPInstanceUID) == (SENT, "1.2.4")
    assert pair.run(calls.n_delete, BasicFilmSession, "1.2.4").Status == 0x0112


def test_an_event_report_of_the_acceptor() -> None:
    handler = Answers((0x0000, None))
    pair = Pair(StorageCommitmentPushModel, handlers={evt.EVT_N_EVENT_REPORT: handler})
    call = (SENT, 2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    status, reply = pair.world.run(pair.scp, calls.n_event_report(pair.scp.peer, *call))
    assert (status.Status, reply) == (0, None)
    assert (handler.event.event_type, handler.event.event_information) == (2, SENT)
    with pytest.raises(NoContextError, match="with the SCP role"):
        pair.run(calls.n_event_report, *call)


def test_a_reply_that_cannot_be_decoded_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    response = NGetRSP(message_id_being_responded_to=1, status=0)
    program = calls.n_get(alone(DisplaySystem), [], DisplaySystem, DisplaySystemInstance)
    assert play(program, answer(response, data=b"?")) == (dataset_of(Status=0x0110), None)
    program = calls.n_get(alone((DisplaySystem, "1.2.3")), [], DisplaySystem, DisplaySystemInstance)
    assert play(program, answer(response, data=b"??")) == (dataset_of(Status=0x0110), None)
    assert caplog.text.count("N-GET-RSP cannot be decoded") == 2


def context_used(peer: Peer, program: Any) -> int:
    Script(program).expect(Receive)
    (operation,) = peer.connection.invoked.values()
    return operation.context_id


def test_members_of_a_meta_sop_class_are_used_on_its_context() -> None:
    peer = alone(VERIFICATION, BasicGrayscalePrintManagementMeta)
    assert context_used(peer, calls.n_delete(peer, BasicFilmSession, "1.2")) == 3
    peer = alone(BasicGrayscalePrintManagementMeta, BasicFilmSession)
    assert context_used(peer, calls.n_delete(peer, BasicFilmSession, "1.2")) == 3
    peer = alone(BasicGrayscalePrintManagementMeta, BasicFilmSession)
    program = calls.n_delete(peer, BasicFilmSession, "1.2", meta_uid=BasicGrayscalePrintManagementMeta)
    assert context_used(peer, program) == 1


def test_a_private_sop_class_is_used_on_its_own_context() -> None:
    peer = alone(VERIFICATION, "1.2.3")
    assert context_used(peer, calls.n_delete(peer, "1.2.3", "1.2")) == 3


STEPS = (UnifiedProcedureStepPush, UnifiedProcedureStepWatch, UnifiedProcedureStepPull, UnifiedProcedureStepEvent)


def test_a_procedure_step_is_used_where_its_service_is() -> None:
    """Its SOP class is always Push (PS3.4 CC.2)."""
    step = (UnifiedProcedureStepPush, "1.2")
    asked: list[tuple[int, tuple[str, ...], Callable[[Peer], Any]]] = [
        (1, STEPS, lambda peer: calls.n_create(peer, SENT, *step)),
        (1, STEPS, lambda peer: calls.n_get(peer, [], *step)),
        (5, STEPS, lambda peer: calls.n_set(peer, SENT, *step)),
        (1, STEPS[1:], lambda peer: calls.n_action(peer, SENT, 1, *step)),
    ]
    for wanted, contexts, call in asked:
        peer = alone(*contexts)
        assert context_used(peer, call(peer)) == wanted
    peer = Peer(connected(offer_of(*STEPS))[1], Handlers())
    assert context_used(peer, calls.n_event_report(peer, SENT, 1, *step)) == 7


def test_nowhere_to_ask_for_a_procedure_step() -> None:
    peer = alone(UnifiedProcedureStepPush, VERIFICATION)
    program = calls.n_set(peer, SENT, UnifiedProcedureStepPush, "1.2", meta_uid=UnifiedProcedureStepPull)
    with pytest.raises(NoContextError, match=UnifiedProcedureStepPull):
        Script(program).expect(Receive)
    with pytest.raises(NoContextError, match=UnifiedProcedureStepPull):
        Script(calls.n_set(peer, SENT, UnifiedProcedureStepPull, "1.2")).expect(Receive)


# --- associations that end --------------------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable[[Peer], Any], Any]] = {
    "c_echo": (calls.c_echo, NOTHING),
    "c_store": (lambda peer: calls.c_store(peer, CT_IMAGE), NOTHING),
    "n_delete": (lambda peer: calls.n_delete(peer, CT, "1.2"), NOTHING),
    "n_get": (lambda peer: calls.n_get(peer, [], CT, "1.2"), (NOTHING, None)),
    "n_create": (lambda peer: calls.n_create(peer, SENT, CT), (NOTHING, None)),
}
QUERIES: dict[str, Callable[[Peer], Any]] = {
    "c_find": lambda peer: calls.c_find(peer, QUERY, STUDY_FIND),
    "c_get": lambda peer: calls.c_get(peer, QUERY, STUDY_FIND),
    "c_move": lambda peer: calls.c_move(peer, QUERY, "ELSEWHERE", STUDY_FIND),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_response_is_an_empty_status(name: str, caplog: pytest.LogCaptureFixture) -> None:
    call, empty = CALLS[name]
    script: Script[Any] = Script(call(alone(VERIFICATION, CT)))
    script.expect(Receive)
    assert script.fail_at_last(ABORTED) == empty
    assert "no response has arrived: association ended by the peer's UL service-user" in caplog.text


@pytest.mark.parametrize("name", CALLS)
def test_strict_peers_raise(name: str) -> None:
    peer = alone(VERIFICATION, CT)
    peer.is_strict = True
    script: Script[Any] = Script(CALLS[name][0](peer))
    script.expect(Receive)
    with pytest.raises(AssociationAborted):
        script.fail_at_last(ABORTED)


@pytest.mark.parametrize("name", QUERIES)
def test_no_response_is_the_last_of_a_query(name: str) -> None:
    invoking = QUERIES[name](alone(STUDY_FIND))
    script: Script[Any] = Script(calls.next_result(invoking))
    script.expect(Receive)
    assert script.fail_at_last(ABORTED) == (NOTHING, None)
    assert Script(calls.next_result(invoking)).end() is None


def test_queries_of_strict_peers_raise() -> None:
    peer = alone(STUDY_FIND)
    invoking = calls.c_find(peer, QUERY, STUDY_FIND)
    peer.is_strict = True
    script: Script[Any] = Script(calls.next_result(invoking))
    script.expect(Receive)
    with pytest.raises(AssociationAborted):
        script.fail_at_last(ABORTED)


def test_what_arrived_before_the_end_is_still_there() -> None:
    pair = Pair(STUDY_FIND, handlers={evt.EVT_C_FIND: find})
    invoking = calls.c_find(pair.scu.peer, QUERY, STUDY_FIND)
    pair.world.settle()
    pair.scp.connection.abort()
    pair.world.settle()
    matches = [(PENDING, dataset_of(PatientID=number)) for number in "12"]
    assert [pair.result(invoking) for _ in range(4)] == [*matches, (0, None), None]


@pytest.mark.parametrize("kind", [NotEstablishedError, RuntimeError, LocalProtocolError])
def test_nothing_can_be_asked_without_an_association(kind: type[Exception]) -> None:
    peer = alone(VERIFICATION, CT, STUDY_FIND)
    peer.connection.abort()
    for call, _ in CALLS.values():
        with pytest.raises(kind, match=r"^the association is not established$"):
            Script(call(peer)).end()
    for query in QUERIES.values():
        with pytest.raises(kind):
            query(peer)
    with pytest.raises(kind):
        calls.c_cancel(peer, 1)


def test_the_error_says_how_the_association_ended() -> None:
    pair = Pair(VERIFICATION, handlers={})
    pair.scp.connection.abort()
    pair.world.settle()
    with pytest.raises(NotEstablishedError, match=r"not established: association ended by the peer's UL service-user"):
        pair.run(calls.c_echo)


def test_a_status_as_a_data_set() -> None:
    status = calls.code_to_status(0xA700)
    assert [(element.keyword, element.value) for element in status] == [("Status", 0xA700)]
    assert type(status.Status) is int


@pytest.mark.parametrize("code", [-1, 0x10000, "0", None])
def test_what_is_no_status(code: object) -> None:
    with pytest.raises(InvalidSettingError, match="not a status"):
        calls.code_to_status(code)
