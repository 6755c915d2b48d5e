"""The effects: what they say, and whole conversations of programs in memory."""

from collections.abc import Iterator
from typing import Any, get_args

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.messages import NActionRQ, NEventReportRQ
from dicom_proto.handlers.kinds import (
    EVT_C_FIND,
    EVT_C_GET,
    EVT_C_MOVE,
    EVT_C_STORE,
    EVT_ESTABLISHED,
    EVT_N_ACTION,
    EVT_N_EVENT_REPORT,
    EVT_RELEASED,
)
from dicom_proto.programs.effects import (
    END,
    Await,
    Call,
    Dial,
    Drain,
    DriverEffect,
    Effect,
    End,
    Fork,
    HangUp,
    Pause,
    Program,
    Pull,
    Receive,
    Run,
)
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.services.query import find_scu
from dicom_proto.services.retrieve.get import get_scu
from dicom_proto.services.retrieve.move import move_scu
from dicom_proto.services.storage.sending import store_object_scu
from dicom_proto.services.verification import echo_scu
from dicom_proto.testing.network import MemoryAssociation, Network
from dicom_proto.upper_layer.items import RoleSelection
from dicom_proto.upper_layer.pdu import AAssociateRQ
from tests.proto.programs.script import (
    CANCEL,
    CT,
    EXPLICIT,
    IMPLICIT,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    data_set,
    dataset_of,
    decoded,
    offer_of,
)
from tests.proto.rows import for_each
from tests.proto.services.retrieve.getting import failed_uids, image, yields

QUERY = dataset_of(PatientID="1")
COMMITMENT = "1.2.840.10008.1.20.1"


def test_the_union_is_closed() -> None:
    assert set(get_args(Effect)) == {Receive, Await, Drain, Call, Pull, Dial, Fork, Run, HangUp, Pause}
    assert set(get_args(DriverEffect)) == {Call, Pull, Dial}
    assert isinstance(END, End)
    assert Dial(("there", 104), offer_of(CT)).options == {}
    assert not Call(print, ()).is_quick


def supporting(*abstract_syntaxes: str, title: str = "HERE") -> ApplicationEntity:
    entity = ApplicationEntity(title)
    for uid in abstract_syntaxes:
        entity.add_supported_context(uid, [IMPLICIT, EXPLICIT], scu_role=True, scp_role=True)
    return entity


THERE, MOVER = ("there", 104), ("mover", 104)


def associated(
    offer: AAssociateRQ, entity: ApplicationEntity, *there: Any, here: Any = (), network: Network | None = None
) -> MemoryAssociation:
    """An association with an entity whose handlers are those."""
    network = network or Network()
    network.listen(THERE, entity, there)
    return network.associate(ApplicationEntity("CALLER"), THERE, here, offer=offer)


def replies(invoking: Invoking, *, cancel_after: int | None = None) -> Program[list[Reply]]:
    """Read all replies of an operation."""
    read: list[Reply] = []
    while (reply := (yield from invoking.next_reply())) is not None:
        read.append(reply)
        if len(read) == cancel_after:
            invoking.cancel()
    return read


def said(read: list[Reply]) -> list[int]:
    return [reply.response.status for reply in read]


def test_echo_and_store() -> None:
    stored: list[Any] = []

    def handler(event: Any) -> int:
        stored.append(event.dataset)
        return 0xB000

    node = associated(offer_of(VERIFICATION, CT), supporting(VERIFICATION, CT), (EVT_C_STORE, handler))
    assert node.run(echo_scu(node.peer)).response.status == 0
    reply = node.run(store_object_scu(node.peer, image(7)))
    assert (reply.response.status, stored) == (0xB000, [image(7)])


def test_find_with_more_matches_than_there_is_room_for() -> None:
    matches = [(PENDING, dataset_of(PatientID=str(number), PatientComments="x" * 10_000)) for number in range(300)]
    node = associated(offer_of(STUDY_FIND), supporting(STUDY_FIND), (EVT_C_FIND, lambda _: matches))
    read = node.run(replies(find_scu(node.peer, QUERY, STUDY_FIND)))
    assert said(read) == [PENDING] * 300 + [0]
    assert decoded(bytes(read[299].data or b"")).PatientID == "299"


def test_find_is_cancelled() -> None:
    encoded = data_set(PatientComments="x" * 1000)

    def handler(_: Any) -> Iterator[Any]:
        while True:
            yield PENDING, encoded

    node = associated(offer_of(STUDY_FIND), supporting(STUDY_FIND), (EVT_C_FIND, handler))
    read = node.run(replies(find_scu(node.peer, QUERY, STUDY_FIND), cancel_after=2))
    assert said(read)[-1] == CANCEL
    assert set(said(read)[:-1]) == {PENDING}


@for_each("roles", [[RoleSelection(CT, scu=False, scp=True)], []])
def test_get_with_the_objects_on_the_same_association(roles: list[RoleSelection]) -> None:
    stored: list[str] = []

    def handler(event: Any) -> int:
        stored.append(event.dataset.SOPInstanceUID)
        return 0xA700 if event.dataset.SOPInstanceUID == "1.2.3" else 0

    items = [(PENDING, image(number)) for number in range(1, 5)]
    node = associated(
        offer_of(STUDY_GET, CT, roles=roles),
        supporting(STUDY_GET, CT),
        (EVT_C_GET, yields(*items)),
        here=[(EVT_C_STORE, handler)],
    )
    read = node.run(replies(get_scu(node.peer, QUERY, STUDY_GET)))
    assert said(read) == [PENDING] * 4 + [0xB000]
    assert stored == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    assert failed_uids((read[-1].response, bytes(read[-1].data or b""))) == ["1.2.3"]


def test_get_is_cancelled() -> None:
    items = [(PENDING, image(number)) for number in range(1, 50)]
    node = associated(
        offer_of(STUDY_GET, CT),
        supporting(STUDY_GET, CT),
        (EVT_C_GET, yields(*items)),
        here=[(EVT_C_STORE, lambda _: 0)],
    )
    read = node.run(replies(get_scu(node.peer, QUERY, STUDY_GET), cancel_after=3))
    last: Any = read[-1].response
    assert last.status == CANCEL
    assert last.number_of_completed_suboperations + last.number_of_remaining_suboperations == 49


def moving(entity: ApplicationEntity | None = None, *there: Any, items: int = 3) -> MemoryAssociation:
    """An association with who moves to an entity, if there is one."""

    def handler(_: Any) -> Iterator[Any]:
        yield THERE
        yield items
        yield from ((PENDING, image(number)) for number in range(1, items + 1))

    network = Network()
    network.listen(MOVER, supporting(STUDY_MOVE, title="MOVER"), [(EVT_C_MOVE, handler)])
    if entity is not None:
        network.listen(THERE, entity, there)
    return network.associate(ApplicationEntity("CALLER"), MOVER, offer=offer_of(STUDY_MOVE, calling="CALLER"))


def test_move_to_a_third() -> None:
    requests: list[Any] = []
    told: list[str] = []

    def handler(event: Any) -> int:
        requests.append(event.request)
        offer = event.assoc.peer.connection.offer
        assert (offer.called_ae_title, offer.calling_ae_title) == ("THERE", "MOVER")
        return 0

    bindings = [(kind, lambda event: told.append(event.name)) for kind in (EVT_ESTABLISHED, EVT_RELEASED)]
    node = moving(supporting(CT), (EVT_C_STORE, handler), *bindings)
    read = node.run(replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))
    assert said(read) == [PENDING, PENDING, PENDING, 0]
    assert [request.AffectedSOPInstanceUID for request in requests] == ["1.2.1", "1.2.2", "1.2.3"]
    assert {request.MoveOriginatorApplicationEntityTitle for request in requests} == {"CALLER"}
    assert {request.MoveOriginatorMessageID for request in requests} == {1}
    assert told == ["EVT_ESTABLISHED", "EVT_RELEASED"]  # once, and it has been hung up


def test_move_is_cancelled() -> None:
    node = moving(supporting(CT), (EVT_C_STORE, lambda _: 0), items=50)
    read = node.run(replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE), cancel_after=3))
    assert said(read)[-1] == CANCEL
    assert said(read)[:3] == [PENDING] * 3


def test_move_to_nowhere() -> None:
    node = moving()
    assert said(node.run(replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))) == [0xA801]


def test_move_to_someone_who_does_not_want_to() -> None:
    entity = supporting(CT, title="SOMEBODY")
    entity.require_called_aet = True
    node = moving(entity)
    assert said(node.run(replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))) == [0xA801]


def test_move_to_someone_who_hangs_up() -> None:
    dialled: list[Any] = []

    def handler(event: Any) -> int:
        if event.dataset.SOPInstanceUID == "1.2.2":
            event.assoc.abort()
        return 0

    node = moving(supporting(CT), (EVT_C_STORE, handler), (EVT_ESTABLISHED, dialled.append))
    read = node.run(replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))
    assert said(read) == [PENDING, PENDING, PENDING, 0xB000]
    assert len(dialled) == 2


def test_the_acceptor_reports_on_the_same_association_while_it_is_asked() -> None:
    reported: list[int] = []
    answered: list[int] = []

    def report(event: Any) -> int:
        reported.append(event.event_type)
        return 0

    def act(event: Any) -> int:
        request = NEventReportRQ(affected_sop_class_uid=COMMITMENT, affected_sop_instance_uid="1.2", event_type_id=1)
        peer = event.assoc.peer
        program = normalized_scu(peer, request, abstract_syntax=COMMITMENT, as_scu=False)
        event.assoc.submit(program, lambda task: answered.append(task.result().response.status))
        return 0

    node = associated(
        offer_of(COMMITMENT), supporting(COMMITMENT), (EVT_N_ACTION, act), here=[(EVT_N_EVENT_REPORT, report)]
    )
    request = NActionRQ(requested_sop_class_uid=COMMITMENT, requested_sop_instance_uid="1.2", action_type_id=1)
    reply = node.run(normalized_scu(node.peer, request, QUERY, abstract_syntax=COMMITMENT))
    node.network.settle()
    assert (reply.response.status, reported, answered) == (0, [1], [0])


def test_several_operations_at_once() -> None:
    matches = [(PENDING, dataset_of(PatientID=str(number))) for number in range(100)]
    entity = supporting(STUDY_FIND, VERIFICATION)
    entity.maximum_operations_invoked = entity.maximum_operations_performed = 4
    node = associated(offer_of(STUDY_FIND, VERIFICATION, window=(4, 4)), entity, (EVT_C_FIND, lambda _: matches))
    both = [find_scu(node.peer, QUERY, STUDY_FIND) for _ in range(2)]

    def interleaved() -> Program[list[int]]:
        counts = [0, 0]
        while not all(one.is_over for one in both):
            for index, one in enumerate(both):
                counts[index] += (yield from one.next_reply()) is not None
        return counts

    assert node.run(echo_scu(node.peer)).response.status == 0
    assert node.run(interleaved()) == [101, 101]
