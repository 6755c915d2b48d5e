"""The effects: what they say, and whole conversations of programs in memory."""

from collections.abc import Iterator
from typing import Any, get_args

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.messages import NActionRQ, NEventReportRQ
from dicom_proto.handlers.kinds import EVT_C_FIND, EVT_C_GET, EVT_C_MOVE, EVT_C_STORE, EVT_N_ACTION, EVT_N_EVENT_REPORT
from dicom_proto.programs.effects import END, Await, Call, Dial, Drain, Effect, End, HangUp, Program, Pull, Receive, Run
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.services.query import find_scu
from dicom_proto.services.retrieve.get import get_scu
from dicom_proto.services.retrieve.move import move_scu
from dicom_proto.services.storage.store import store_object_scu
from dicom_proto.services.verification import echo_scu
from dicom_proto.upper_layer.items import RoleSelection
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
    Listener,
    Node,
    World,
    data_set,
    dataset_of,
    decoded,
    offer_of,
)
from tests.proto.rows import for_each
from tests.proto.services.retrieve.test_get import failed_uids, image, yields

QUERY = dataset_of(PatientID="1")
COMMITMENT = "1.2.840.10008.1.20.1"


def test_the_union_is_closed() -> None:
    assert set(get_args(Effect)) == {Receive, Await, Drain, Call, Pull, Dial, Run, HangUp}
    assert isinstance(END, End)
    assert Dial(("there", 104), offer_of(CT)).options == {}
    assert not Call(print, ()).is_quick


def supporting(*abstract_syntaxes: str, title: str = "HERE") -> ApplicationEntity:
    entity = ApplicationEntity(title)
    for uid in abstract_syntaxes:
        entity.add_supported_context(uid, [IMPLICIT, EXPLICIT], scu_role=True, scp_role=True)
    return entity


CALLER = Listener(ApplicationEntity("CALLER"))


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

    world = World(there=Listener(supporting(VERIFICATION, CT), [(EVT_C_STORE, handler)]))
    node = world.associate("there", CALLER, offer_of(VERIFICATION, CT))
    assert world.run(node, echo_scu(node.peer)).response.status == 0
    reply = world.run(node, store_object_scu(node.peer, image(7)))
    assert (reply.response.status, stored) == (0xB000, [image(7)])


def test_find_with_more_matches_than_there_is_room_for() -> None:
    matches = [(PENDING, dataset_of(PatientID=str(number), PatientComments="x" * 10_000)) for number in range(300)]
    world = World(there=Listener(supporting(STUDY_FIND), [(EVT_C_FIND, lambda _: matches)]))
    node = world.associate("there", CALLER, offer_of(STUDY_FIND))
    read = world.run(node, replies(find_scu(node.peer, QUERY, STUDY_FIND)))
    assert said(read) == [PENDING] * 300 + [0]
    assert decoded(bytes(read[299].data or b"")).PatientID == "299"


def test_find_is_cancelled() -> None:
    encoded = data_set(PatientComments="x" * 1000)

    def handler(_: Any) -> Iterator[Any]:
        while True:
            yield PENDING, encoded

    world = World(there=Listener(supporting(STUDY_FIND), [(EVT_C_FIND, handler)]))
    node = world.associate("there", CALLER, offer_of(STUDY_FIND))
    read = world.run(node, replies(find_scu(node.peer, QUERY, STUDY_FIND), cancel_after=2))
    assert said(read)[-1] == CANCEL
    assert set(said(read)[:-1]) == {PENDING}


@for_each("roles", [[RoleSelection(CT, scu=False, scp=True)], []])
def test_get_with_the_objects_on_the_same_association(roles: list[RoleSelection]) -> None:
    stored: list[str] = []

    def handler(event: Any) -> int:
        stored.append(event.dataset.SOPInstanceUID)
        return 0xA700 if event.dataset.SOPInstanceUID == "1.2.3" else 0

    items = [(PENDING, image(number)) for number in range(1, 5)]
    world = World(there=Listener(supporting(STUDY_GET, CT), [(EVT_C_GET, yields(*items))]))
    caller = Listener(ApplicationEntity("CALLER"), [(EVT_C_STORE, handler)])
    node = world.associate("there", caller, offer_of(STUDY_GET, CT, roles=roles))
    read = world.run(node, replies(get_scu(node.peer, QUERY, STUDY_GET)))
    assert said(read) == [PENDING] * 4 + [0xB000]
    assert stored == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    assert failed_uids((read[-1].response, bytes(read[-1].data or b""))) == ["1.2.3"]


def test_get_is_cancelled() -> None:
    items = [(PENDING, image(number)) for number in range(1, 50)]
    world = World(there=Listener(supporting(STUDY_GET, CT), [(EVT_C_GET, yields(*items))]))
    caller = Listener(ApplicationEntity("CALLER"), [(EVT_C_STORE, lambda _: 0)])
    node = world.associate("there", caller, offer_of(STUDY_GET, CT))
    read = world.run(node, replies(get_scu(node.peer, QUERY, STUDY_GET), cancel_after=3))
    last: Any = read[-1].response
    assert last.status == CANCEL
    assert last.number_of_completed_suboperations + last.number_of_remaining_suboperations == 49


def moving(where: Any = ("there", 104), items: int = 3, **listeners: Listener) -> tuple[World, Node]:
    def handler(_: Any) -> Iterator[Any]:
        yield where
        yield items
        yield from ((PENDING, image(number)) for number in range(1, items + 1))

    mover = Listener(supporting(STUDY_MOVE, title="MOVER"), [(EVT_C_MOVE, handler)])
    world = World(mover=mover, **listeners)
    return world, world.associate("mover", CALLER, offer_of(STUDY_MOVE, calling="CALLER"))


def test_move_to_a_third() -> None:
    requests: list[Any] = []

    def handler(event: Any) -> int:
        requests.append(event.request)
        assert event.assoc.connection.offer.called_ae_title == "THERE"
        return 0

    world, node = moving(there=Listener(supporting(CT), [(EVT_C_STORE, handler)]))
    read = world.run(node, replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))
    assert said(read) == [PENDING, PENDING, PENDING, 0]
    assert [request.AffectedSOPInstanceUID for request in requests] == ["1.2.1", "1.2.2", "1.2.3"]
    assert {request.MoveOriginatorApplicationEntityTitle for request in requests} == {"CALLER"}
    assert {request.MoveOriginatorMessageID for request in requests} == {1}
    (dial,) = world.dialled
    assert dial.offer.calling_ae_title == "MOVER"
    assert not [other for other in world.nodes[2:] if other.peer.router.ending is None]  # it has been hung up


def test_move_is_cancelled() -> None:
    world, node = moving(items=50, there=Listener(supporting(CT), [(EVT_C_STORE, lambda _: 0)]))
    read = world.run(node, replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE), cancel_after=3))
    assert said(read)[-1] == CANCEL
    assert said(read)[:3] == [PENDING] * 3


def test_move_to_nowhere() -> None:
    world, node = moving()
    assert said(world.run(node, replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))) == [0xA801]


def test_move_to_someone_who_does_not_want_to() -> None:
    entity = supporting(CT, title="SOMEBODY")
    entity.require_called_aet = True
    world, node = moving(there=Listener(entity))
    assert said(world.run(node, replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))) == [0xA801]


def test_move_to_someone_who_hangs_up() -> None:
    def handler(event: Any) -> int:
        if event.dataset.SOPInstanceUID == "1.2.2":
            event.assoc.connection.abort()
        return 0

    world, node = moving(there=Listener(supporting(CT), [(EVT_C_STORE, handler)]))
    read = world.run(node, replies(move_scu(node.peer, QUERY, "THERE", STUDY_MOVE)))
    assert said(read) == [PENDING, PENDING, PENDING, 0xB000]
    assert len(world.dialled) == 2


def test_the_acceptor_reports_on_the_same_association_while_it_is_asked() -> None:
    reported: list[int] = []

    def report(event: Any) -> int:
        reported.append(event.event_type)
        return 0

    def act(event: Any) -> int:
        request = NEventReportRQ(affected_sop_class_uid=COMMITMENT, affected_sop_instance_uid="1.2", event_type_id=1)
        node = event.assoc
        node.tasks.append(
            type(node.tasks[0])(node.peer, normalized_scu(node.peer, request, abstract_syntax=COMMITMENT, as_scu=False))
        )
        return 0

    world = World(there=Listener(supporting(COMMITMENT), [(EVT_N_ACTION, act)]))
    caller = Listener(ApplicationEntity("CALLER"), [(EVT_N_EVENT_REPORT, report)])
    node = world.associate("there", caller, offer_of(COMMITMENT))
    request = NActionRQ(requested_sop_class_uid=COMMITMENT, requested_sop_instance_uid="1.2", action_type_id=1)
    reply = world.run(node, normalized_scu(node.peer, request, QUERY, abstract_syntax=COMMITMENT))
    assert (reply.response.status, reported) == (0, [1])


def test_several_operations_at_once() -> None:
    matches = [(PENDING, dataset_of(PatientID=str(number))) for number in range(100)]
    world = World(there=Listener(supporting(STUDY_FIND, VERIFICATION), [(EVT_C_FIND, lambda _: matches)]))
    world.listeners["there"].window = (4, 4)
    node = world.associate("there", CALLER, offer_of(STUDY_FIND, VERIFICATION, window=(4, 4)))
    both = [find_scu(node.peer, QUERY, STUDY_FIND) for _ in range(2)]

    def interleaved() -> Program[list[int]]:
        counts = [0, 0]
        while not all(one.is_over for one in both):
            for index, one in enumerate(both):
                counts[index] += (yield from one.next_reply()) is not None
        return counts

    assert world.run(node, echo_scu(node.peer)).response.status == 0
    assert world.run(node, interleaved()) == [101, 101]
