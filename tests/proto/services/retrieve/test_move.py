"""C-MOVE in both roles."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk, RequestReceived
from dicom_proto.dimse.messages import CMoveRQ, CStoreRSP, Priority
from dicom_proto.encoding.datasets import encode
from dicom_proto.errors import LocalProtocolError, NoContextError
from dicom_proto.handlers.kinds import EVT_C_MOVE
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.contexts import build_context
from dicom_proto.programs.effects import (
    Await,
    Call,
    Dial,
    Drain,
    DriverEffect,
    Fork,
    HangUp,
    Program,
    Pull,
    Receive,
    Run,
)
from dicom_proto.programs.invoking import Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import at_once
from dicom_proto.services.retrieve.move import move_scu
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationFailure, AssociationRejected
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import (
    BIG_ENDIAN,
    CANCEL,
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    PENDING,
    STUDY_MOVE,
    Said,
    Scene,
    Script,
    ScriptedPeer,
    Task,
    carry,
    connected,
    data_set,
    dataset_of,
    decoded,
    ended,
    offer_of,
    statuses,
    unencodable,
)
from tests.proto.rows import for_each
from tests.proto.services.retrieve.getting import counters, failed_uids, image, yields

IDENTIFIER = data_set(PatientID="1")
ABORTED = AssociationAborted(AbortOrigin.TRANSPORT, 0, None)
THERE = ("there", 104)
DESTINATION = "DESTINATION"


def request(destination: str = DESTINATION, priority: int = Priority.HIGH) -> CMoveRQ:
    return CMoveRQ(affected_sop_class_uid=STUDY_MOVE, move_destination=destination, priority=priority)


def stored(number: int = 1, transfer_syntax: str = EXPLICIT, sop_class: str = CT) -> StoredObject:
    return StoredObject(
        sop_class_uid=sop_class,
        sop_instance_uid=f"1.2.{number}",
        transfer_syntax=transfer_syntax,
        data=encode(image(number), EXPLICIT),
    )


def moves(where: Any, *items: Any, count: Any = None) -> Callable[[Any], Iterator[Any]]:
    def handler(event: Any) -> Iterator[Any]:
        yield where
        yield from yields(*items, count=count)(event)

    return handler


class Moving(Scene):
    """A requestor that asks for a C-MOVE, and a driver that reaches the destination, or does not."""

    def __init__(
        self,
        *handler: Any,
        entity: ApplicationEntity | None = ApplicationEntity("MOVER"),  # noqa: B008 - nobody changes it
        dials: Any = (),
        answers: Any = (),
        refused: Any = (),
        **how: Any,
    ) -> None:
        bindings = [(EVT_C_MOVE, *handler)] if handler else []
        super().__init__(bindings=bindings, offer=offer_of(STUDY_MOVE), entity=entity, **how)
        self.submitted: list[Callable[[], None]] = []
        self.refused = refused
        self.dials: Iterator[Exception | None] = iter(dials)  # what goes wrong with each attempt
        self.answers: Iterator[int | Exception] = iter(answers)
        self.dialled: list[Dial] = []
        self.destinations: list[Destination] = []
        self.stored: list[Any] = []
        self.hung_up = 0
        self.before_store: Callable[[], None] = lambda: None

    def carry(self) -> bool:
        """Carry the bytes, and let the destination do what it was asked for meanwhile."""
        submitted, self.submitted = self.submitted, []
        for run in submitted:
            run()
        return super().carry() or bool(submitted)

    def move(self) -> list[Said]:
        return self.finish(Moved(self, self.script(self.arrive(request(), IDENTIFIER)).program))

    def dial(self, effect: Dial) -> "Destination":
        self.dialled.append(effect)
        error = next(self.dials, None)
        if error is not None:
            raise error
        self.destinations.append(Destination(self, *connected(effect.offer, refused=self.refused)))
        return self.destinations[-1]

    def store(self, program: Any, peer: ScriptedPeer, there: Connection) -> Any:
        """Run the program of a sub-operation; the destination answers."""
        self.before_store()
        script: Script[Reply] = Script(program)
        key = script.expect(Receive).inbox.key
        carry(peer.connection, there)
        received, *_ = [event for event in iter(there.next_event, None) if isinstance(event, RequestReceived)]
        self.stored.append(received.request)
        status = next(self.answers, 0)
        if isinstance(status, Exception):
            return script.fail_at_last(status)
        there.send_response(CStoreRSP(message_id_being_responded_to=key[0], status=status))
        carry(peer.connection, there)
        return script.end(peer.event(key))

    def proposed(self) -> list[list[tuple[str, tuple[str, ...]]]]:
        return [
            [(context.abstract_syntax, context.transfer_syntaxes) for context in dial.offer.presentation_contexts]
            for dial in self.dialled
        ]


class Destination:
    """An association that was dialled: what is asked of it is answered at once."""

    failure = None

    def __init__(self, scene: Moving, near: Connection, far: Connection) -> None:
        self._scene = scene
        self._far = far
        self._parting: Program[None] | None = None
        self.is_aborted = False
        self.peer = ScriptedPeer(near, Handlers(), self)

    def submit(self, program: Program[Any], on_end: Callable[[Any], None]) -> None:
        if program is self._parting:
            self._scene.hung_up += 1
            on_end(ended(program, None))
            return
        self._scene.submitted.append(partial(self._run, program, on_end))

    def _run(self, program: Program[Any], on_end: Callable[[Any], None]) -> None:
        try:
            reply = self._scene.store(program, self.peer, self._far)
        except (AssociationFailure, LocalProtocolError) as error:
            on_end(ended(program, None, error))
        else:
            on_end(ended(program, reply))

    def part(self) -> Program[None]:
        self._parting = at_once(lambda: None)
        return self._parting

    def abort_soon(self) -> None:
        self.is_aborted = True


class Moved(Task):
    """Performs a C-MOVE there."""

    def __init__(self, scene: Moving, program: Program[None]) -> None:
        self.scene = scene
        super().__init__(scene.peer, program)

    def perform(self, effect: DriverEffect) -> Any:
        return self.scene.dial(effect) if isinstance(effect, Dial) else super().perform(effect)


# --- SCU --------------------------------------------------------------------------------------------------------------


def test_scu_sends_the_identifier() -> None:
    one, other = connected(offer_of((STUDY_MOVE, EXPLICIT)))
    identifier = dataset_of(PatientID="1")
    invoking = move_scu(Peer(one, Handlers()), identifier, "THERE", STUDY_MOVE, message_id=5, priority=Priority.HIGH)
    other.receive_data(sent(one), now=0)
    received, chunk = other.next_event(), other.next_event()
    assert isinstance(received, RequestReceived)
    assert isinstance(chunk, DataChunk)
    assert received.request == CMoveRQ(
        message_id=5, affected_sop_class_uid=STUDY_MOVE, move_destination="THERE", priority=Priority.HIGH
    )
    assert decoded(bytes(chunk.data), EXPLICIT) == identifier
    assert invoking.inbox.key == (5, True)


def test_scu_refuses_what_cannot_be_sent() -> None:
    one, _ = connected(offer_of((STUDY_MOVE, EXPLICIT)))
    peer = Peer(one, Handlers())
    for arguments in (
        (dataset_of(), "THERE", CT),
        (unencodable(), "THERE", STUDY_MOVE),
        (dataset_of(PatientID="1"), "", STUDY_MOVE),
    ):
        with pytest.raises(LocalProtocolError):
            move_scu(peer, *arguments)
    assert not one.invoked


# --- SCP --------------------------------------------------------------------------------------------------------------


def test_scp_effects() -> None:
    here = Moving(moves(THERE, (PENDING, "1.dcm"), (CANCEL, None), count=2))
    here.peer.read = lambda value: stored() if isinstance(value, str) else value
    task = Moved(here, here.script(here.arrive(request(), IDENTIFIER)).program)
    *_, last = here.finish(task)
    assert (last[0].status, counters(last)) == (CANCEL, (1, 1, 0, 0))
    kinds = [type(effect) for effect in task.effects if not isinstance(effect, Await)]
    assert kinds.count(Pull) == 4
    assert [kind for kind in kinds if kind is not Pull] == [Receive, Call, Fork, Call, Dial, Drain, Run, HangUp]
    handler, read = (effect for effect in task.effects if isinstance(effect, Call))
    assert handler.arguments[0].move_destination == DESTINATION
    assert (read.arguments, read.is_quick) == (("1.dcm",), False)
    [dial] = here.dialled
    assert (dial.address, dial.options) == (THERE, {})
    assert (dial.offer.called_ae_title, dial.offer.calling_ae_title) == (DESTINATION, "MOVER")
    [store] = here.stored
    assert store.priority == Priority.HIGH
    assert store.move_originator_application_entity_title == "CALLING"
    assert store.move_originator_message_id == 1


@for_each("reached", range(6))
def test_scp_at_the_end_of_the_association(reached: int) -> None:
    def handler(_: Any) -> Iterator[Any]:
        for number, item in enumerate((THERE, 2, (PENDING, image(1)), (PENDING, image(2)))):
            if number == reached:
                here.peer.give_up()
            yield item
        here.peer.give_up()

    here = Moving(handler)
    if reached == 5:
        here.before_store = here.peer.give_up
    with pytest.raises((AssociationFailure, LocalProtocolError)):
        here.move()
    assert here.peer.router.find((1, False)) is None


def test_everything_is_sent_over_one_association() -> None:
    here = Moving(moves(THERE, (PENDING, image(1)), (PENDING, image(2))))
    said = here.move()
    assert statuses(said) == [PENDING, PENDING, 0x0000]
    assert [counters(one) for one in said] == [(1, 1, 0, 0), (0, 2, 0, 0), (None, 2, 0, 0)]
    assert [store.affected_sop_instance_uid for store in here.stored] == ["1.2.1", "1.2.2"]
    assert (len(here.dialled), here.hung_up) == (1, 1)


@for_each(
    ("answers", "status", "counted"),
    [
        ([0xA700, 0xA700], 0xA702, (None, 0, 2, 0)),
        ([0, 0xA700], 0xB000, (None, 1, 1, 0)),
        ([0xB000, 0xB000], 0xB000, (None, 0, 0, 2)),
    ],
)
def test_the_final_status(answers: list[int], status: int, counted: tuple[int | None, ...]) -> None:
    here = Moving(moves(THERE, (PENDING, image(1)), (PENDING, image(2))), answers=answers)
    *_, last = here.move()
    assert (last[0].status, counters(last)) == (status, counted)


def test_nothing_matches_and_nobody_is_called() -> None:
    here = Moving(moves(THERE))
    (last,) = here.move()
    assert (last[0].status, counters(last), here.dialled) == (0, (None, 0, 0, 0), [])


def test_an_originator_whose_title_may_not_be_sent() -> None:
    title = b"CALLING".ljust(16)
    here = Moving(moves(THERE, (PENDING, image())), cut=lambda data: [data.replace(title, bytes(16))] if data else [])
    here.move()
    assert here.peer.ae_title == ""
    assert here.stored[0].move_originator_application_entity_title is None
    assert here.stored[0].move_originator_message_id == 1


# --- the destination --------------------------------------------------------------------------------------------------


@for_each(
    ("handler", "status"),
    [
        ((), 0xC511),
        ((lambda _: 1 / 0,), 0xC511),
        ((lambda _: None,), 0xC514),
        ((lambda _: 5,), 0xC511),
        ((lambda _: (1 / 0 for _ in "x"),), 0xC514),
        ((lambda _: [],), 0xC514),
        ((moves((None, None)),), 0xA801),
        ((moves((None, None, None)),), 0xA801),
        ((lambda _: [(None, None)],), 0xA801),
        ((moves(None),), 0xC515),
        ((moves("there:104"),), 0xC515),
        ((moves(("there",)),), 0xC515),
        ((moves(("there", "104")),), 0xC515),
        ((moves((None, 104)),), 0xA801),
        ((moves((*THERE, "options")),), 0xC515),
        ((moves((*THERE, {"contexts": []})),), 0xC515),
        ((moves((*THERE, {"contexts": [CT]})),), 0xC515),
        ((moves((*THERE, {"contexts": 5})),), 0xC515),
        ((moves((*THERE, {"ext_neg": 5})),), 0xC515),
        ((lambda _: [THERE],), 0xC513),
        ((moves(THERE, count="1"),), 0xC513),
        ((moves(THERE, count=65536),), 0xC516),
        ((moves(THERE, (0xA701, None), count=1),), 0xA701),
        ((moves(THERE, (0xC123, None), count=1),), 0xC123),
        ((moves(THERE, "nonsense", count=1),), 0xC002),
    ],
)
def test_a_handler_that_does_not_get_to_the_objects(handler: Any, status: int) -> None:
    here = Moving(*handler)
    (last,) = here.move()
    assert (last[0].status, here.dialled) == (status, [])


def test_without_an_entity_nobody_can_be_called(caplog: pytest.LogCaptureFixture) -> None:
    assert statuses(Moving(moves(THERE, (PENDING, image())), entity=None).move()) == [0xC515]
    assert "entity" in caplog.text


@for_each(
    ("error", "status"),
    [
        (ConnectionRefusedError("nobody there"), 0xA801),
        (AssociationRejected(1, 1, 7), 0xA801),
        (ABORTED, 0xA801),
        (TypeError("no such option"), 0xC515),
    ],
)
def test_a_destination_that_cannot_be_reached(error: Exception, status: int) -> None:
    here = Moving(moves(THERE, (PENDING, image(1)), (PENDING, image(2))), dials=[error])
    said = here.move()
    assert statuses(said) == [status]
    assert (said[0][1], len(here.dialled), here.hung_up) == (None, 1, 0)


def test_options_of_the_handler() -> None:
    options = {
        "ae_title": "OTHER",
        "contexts": [build_context(CT, EXPLICIT), build_context(MR, IMPLICIT)],
        "max_pdu": 16384,
        "ext_neg": [RoleSelection(CT, scu=True, scp=True)],
        "tls_args": ("context", "name"),
    }
    here = Moving(moves((*THERE, options), (PENDING, stored(1)), (PENDING, stored(2, JPEG)), (PENDING, image(3, MR))))
    *_, last = here.move()
    assert (last[0].status, failed_uids(last)) == (0xB000, ["1.2.2"])
    assert here.proposed() == [[(CT, (EXPLICIT,)), (MR, (IMPLICIT,))]]
    (dial,) = here.dialled
    assert dial.offer.called_ae_title == "OTHER"
    assert dial.offer.user_information.maximum_length == 16384
    assert dial.offer.user_information.roles == (RoleSelection(CT, scu=True, scp=True),)
    assert dial.options == {"tls_args": ("context", "name")}
    assert "contexts" in options  # the handler's own


def test_what_is_proposed_is_what_the_objects_need() -> None:
    objects = [stored(1), image(2), stored(3, IMPLICIT), stored(4, JPEG), image(5, MR), stored(6, JPEG)]
    here = Moving(moves(THERE, *((PENDING, what) for what in objects)))
    *_, last = here.move()
    assert last[0].status == 0x0000
    first = [(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]
    second = [*first, (CT, (IMPLICIT,)), (CT, (EXPLICIT,))]
    assert here.proposed()[0] == first
    assert all(set(one) <= set(other) for one, other in zip(here.proposed(), here.proposed()[1:], strict=False))
    assert set(second) <= set(here.proposed()[-1])
    assert {(CT, (JPEG,)), (MR, (EXPLICIT,)), (MR, (IMPLICIT,))} <= set(here.proposed()[-1])
    assert len(here.dialled) == 3
    assert here.hung_up == 3


def test_more_contexts_than_an_association_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_proto.services.retrieve.move._MOST_CONTEXTS", 3)
    objects = [stored(number, f"1.2.3.{number}") for number in range(1, 6)]
    here = Moving(moves(THERE, *((PENDING, what) for what in objects)))
    *_, last = here.move()
    assert counters(last) == (None, 5, 0, 0)
    assert [len(contexts) for contexts in here.proposed()] == [1, 2, 3, 1, 2]


@for_each("item", [(PENDING, None), (PENDING, stored(1, sop_class="1.02"))])
def test_an_object_that_cannot_be_sent_fails_for_itself(item: Any) -> None:
    here = Moving(moves(THERE, item, (PENDING, image(2))))
    *_, last = here.move()
    assert (last[0].status, counters(last)) == (0xB000, (None, 1, 1, 0))


def test_an_object_that_the_destination_does_not_take() -> None:
    here = Moving(moves(THERE, (PENDING, image(1, MR)), (PENDING, image(2))), refused=[MR])
    *_, last = here.move()
    assert (last[0].status, counters(last), failed_uids(last)) == (0xB000, (None, 1, 1, 0), ["1.2.1"])


def test_a_destination_that_accepts_no_context_is_not_dialled_again_for_the_same() -> None:
    items = [(PENDING, image(1)), (PENDING, image(2)), (PENDING, stored(3, IMPLICIT)), (PENDING, image(4, MR))]
    here = Moving(moves(THERE, *items), dials=[NoContextError("none"), None])
    *_, last = here.move()
    assert (last[0].status, counters(last), failed_uids(last)) == (
        0xB000,
        (None, 1, 3, 0),
        ["1.2.1", "1.2.2", "1.2.3"],
    )
    assert [contexts[0][0] for contexts in here.proposed()] == [CT, MR]


def test_a_line_that_is_lost_is_dialled_again() -> None:
    items = [(PENDING, image(number)) for number in range(1, 4)]
    here = Moving(moves(THERE, *items), answers=[0, ABORTED, 0])
    *_, last = here.move()
    assert (last[0].status, counters(last), failed_uids(last)) == (0xB000, (None, 2, 1, 0), ["1.2.2"])
    assert (len(here.dialled), here.hung_up) == (2, 2)


def test_a_line_that_is_lost_between_two_objects_is_dialled_again() -> None:
    def handler(_: Any) -> Iterator[Any]:
        yield THERE
        yield 2
        yield PENDING, image(1)
        here.destinations[0].peer.connection.abort()
        yield PENDING, image(2)

    here = Moving(handler)
    *_, last = here.move()
    assert (last[0].status, counters(last)) == (0x0000, (None, 2, 0, 0))
    assert (len(here.dialled), here.hung_up) == (2, 2)


def test_a_line_that_is_lost_for_good_is_given_up() -> None:
    items = [(PENDING, image(number)) for number in range(1, 5)]
    here = Moving(moves(THERE, *items), answers=[0, ABORTED], dials=[None, ConnectionRefusedError()])
    *_, last = here.move()
    assert (last[0].status, counters(last)) == (0xB000, (None, 1, 3, 0))
    assert failed_uids(last) == ["1.2.2", "1.2.3", "1.2.4"]
    assert (len(here.dialled), here.hung_up) == (2, 1)


# --- cancel -----------------------------------------------------------------------------------------------------------


def test_a_cancel_between_objects_leaves_the_rest() -> None:
    here = Moving(moves(THERE, *((PENDING, image(number)) for number in range(4))))

    def cancel() -> None:
        here.requestor.send_cancel(1)
        here.carry()

    here.before_store = cancel
    said = here.move()
    assert statuses(said) == [PENDING, CANCEL]
    assert (counters(said[-1]), said[-1][1], here.hung_up) == ((3, 1, 0, 0), None, 1)


# --- more than counters can say ---------------------------------------------------------------------------------------


def test_more_sub_operations_than_can_be_counted() -> None:
    """An entity that does not count them says nothing until all is done, and then no numbers."""
    entity = ApplicationEntity("MOVER")
    entity.counts_sub_operations = False
    here = Moving(moves(THERE, (PENDING, image(1)), (CANCEL, None), count=65536), entity=entity)
    (last,) = here.move()
    assert (last[0].status, counters(last)) == (CANCEL, (None, None, None, None))
    assert len(here.stored) == 1


# --- what may come ----------------------------------------------------------------------------------------------------


def requesting(*contexts: Any) -> ApplicationEntity:
    entity = ApplicationEntity("MOVER")
    for sop_class, transfer_syntaxes in contexts:
        entity.add_requested_context(sop_class, transfer_syntaxes)
    return entity


def proposed_by(entity: ApplicationEntity) -> list[tuple[str, tuple[str, ...]]]:
    here = Moving(moves(THERE, (PENDING, image(1))), entity=entity)
    here.move()
    (proposed,) = here.proposed()
    return proposed


def test_what_is_requested_elsewhere_is_proposed_behind_what_the_first_object_needs() -> None:
    entity = requesting((MR, [JPEG, BIG_ENDIAN, EXPLICIT, IMPLICIT]), (STUDY_MOVE, [IMPLICIT]), (CT, [EXPLICIT]))
    needed = [(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]
    assert proposed_by(entity) == [*needed, (MR, (EXPLICIT,)), (MR, (IMPLICIT,)), (MR, (JPEG,))]


def test_uncompressed_transfer_syntaxes_share_a_context_if_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_proto.services.retrieve.move._MOST_CONTEXTS", 4)
    entity = requesting((MR, [IMPLICIT, EXPLICIT, JPEG]), (CT, [EXPLICIT, IMPLICIT]))
    proposed = proposed_by(entity)
    assert len(proposed) == 4
    assert proposed[:2] == [(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]
    assert (MR, (EXPLICIT, IMPLICIT)) in proposed
