"""What users see of an association and ask of it, whatever carries it and whatever its calls return."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dicom_proto.application.face import AssociationFace
from dicom_proto.application.life import HANDLING
from pydicom.dataset import Dataset

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.messages import CEchoRQ
from dicom_proto.errors import (
    InvalidNameError,
    InvalidSettingError,
    LocalProtocolError,
    NoContextError,
    NotEstablishedError,
)
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.event import Event, RequestEvent
from dicom_proto.offers.contexts import build_role
from dicom_proto.programs.effects import Await, Program
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.streams import Stream, at_once
from dicom_proto.programs.user_programs import sop_classes
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.application.lives import HERE, THERE, Couple, MemoryAssociation, entity, fate
from tests.proto.programs.script import (
    CANCEL,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    PENDING,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    Script,
    data_set,
    dataset_of,
)

QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")
MPPS = "1.2.840.10008.3.1.2.3.3"
PRINTER = "1.2.840.10008.5.1.1.16"
COMMITMENT = "1.2.840.10008.1.20.1"
SERVICES = (VERIFICATION, CT, STUDY_FIND, STUDY_GET, STUDY_MOVE, MPPS, PRINTER, COMMITMENT)


def image(number: int = 1) -> Dataset:
    return dataset_of(SOPClassUID=CT, SOPInstanceUID=f"1.2.{number}", PatientID="1")


def status_of(status: Dataset) -> int:
    return int(status.Status)


def ignore(event: Any, *more: Any) -> None:
    """A handler, to be bound and never called."""


def established(*abstract_syntaxes: str, items: Any = (), window: tuple[int, int] = (1, 1), **how: Any) -> Couple:
    here, there = (entity(name, *(abstract_syntaxes or SERVICES)) for name in ("HERE", "THERE"))
    for one in (here, there):
        one.maximum_operations_invoked, one.maximum_operations_performed = window
    return Couple(offer=here.offer("THERE", items=items), reception=there.policy(), **how).establish().settle()


# --- what calls return ------------------------------------------------------------------------------------------------


class Recording(AssociationFace[object, object, object, object, object]):
    """An adapter that only takes note of the programs that it is to run."""

    token: object
    ran: list[Any]

    def run(self, program: Program[Any]) -> Any:
        self.ran.append(program)
        return self.token

    def iterate(self, begin: Program[Stream[Any]]) -> Any:
        return self.run(begin)

    def abort(self) -> None:
        self.give_up()


@sop_classes("1.2.3")
def own_scu(_: Peer, number: int, *, factor: int = 1) -> Program[int]:
    yield from ()
    return number * factor


CALLS: dict[str, Callable[[Any], Any]] = {
    "C-ECHO": lambda assoc: assoc.send_c_echo(),
    "C-STORE": lambda assoc: assoc.send_c_store(image(), originator_aet="MOVER", originator_id=5),
    "C-STOREs": lambda assoc: assoc.send_c_stores([image()]),
    "C-FIND": lambda assoc: assoc.send_c_find(QUERY, STUDY_FIND),
    "C-GET": lambda assoc: assoc.send_c_get(QUERY, STUDY_GET),
    "C-MOVE": lambda assoc: assoc.send_c_move(QUERY, "OTHER", STUDY_MOVE),
    "C-CANCEL": lambda assoc: assoc.send_c_cancel(1, query_model=STUDY_FIND),
    "N-EVENT-REPORT": lambda assoc: assoc.send_n_event_report(QUERY, 1, COMMITMENT, "1.2"),
    "N-GET": lambda assoc: assoc.send_n_get([0x00100010], PRINTER, "1.2"),
    "N-SET": lambda assoc: assoc.send_n_set(QUERY, MPPS, "1.2"),
    "N-ACTION": lambda assoc: assoc.send_n_action(QUERY, 1, COMMITMENT, "1.2"),
    "N-CREATE": lambda assoc: assoc.send_n_create(QUERY, MPPS, "1.2"),
    "N-DELETE": lambda assoc: assoc.send_n_delete(MPPS, "1.2"),
    "release": lambda assoc: assoc.release(),
    "own": lambda assoc: assoc.get_scu("1.2.3")(7, factor=6),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_call_returns_what_run_returns(call: Callable[[Any], Any]) -> None:
    own = entity()
    own.add_scu(own_scu)
    couple = Couple()
    assoc = Recording(own, couple.scu.peer.connection, couple.scu.peer.handlers)
    assoc.token, assoc.ran = object(), []
    assert call(assoc) is assoc.token
    (program,) = assoc.ran
    assert hasattr(program, "send")


def test_what_is_wrong_with_arguments_is_said_at_once() -> None:
    with pytest.raises(InvalidNameError):
        established().scu.send_n_get(["no tag"], PRINTER, "1.2")


def test_program_that_only_calls_a_function() -> None:
    assert Script(at_once(lambda: 7)).end() == 7


# --- what is asked of the peer ----------------------------------------------------------------------------------------


def test_echo_and_store() -> None:
    stored: list[Any] = []

    def handler(event: Any) -> int:
        stored.append((event.dataset, event.request.MoveOriginatorApplicationEntityTitle, event.request.Priority))
        return 0xB000

    couple = established(there=[(evt.EVT_C_STORE, handler)])
    assert status_of(couple.scu.send_c_echo(msg_id=9)) == 0
    assert status_of(couple.scu.send_c_store(image(), 7, 1, "MOVER", 3)) == 0xB000
    assert stored == [(image(), "MOVER", 1)]


@pytest.mark.parametrize("window", [(1, 1), (3, 3)])
def test_many_stores(window: tuple[int, int]) -> None:
    progress: list[tuple[int, int]] = []
    couple = established(there=[(evt.EVT_C_STORE, lambda _: 0)], window=window)
    images = [image(number) for number in range(1, 6)]
    sent = list(couple.scu.send_c_stores(images, on_progress=lambda *done: progress.append(done)))
    assert [(item, status_of(status)) for item, status in sent] == [(one, 0) for one in images]
    assert [objects for objects, _ in progress] == [1, 2, 3, 4, 5]


def test_find() -> None:
    matches = [(PENDING, dataset_of(PatientID=str(number))) for number in range(3)]
    couple = established(there=[(evt.EVT_C_FIND, lambda _: matches)])
    results = list(couple.scu.send_c_find(QUERY, STUDY_FIND))
    assert [(status_of(status), found) for status, found in results] == [*matches, (0, None)]


def test_get_and_move() -> None:
    stored: list[Any] = []

    def store(event: Any) -> int:
        stored.append(event.dataset)
        return 0

    couple = established(
        items=[build_role(CT, scp_role=True)],
        here=[(evt.EVT_C_STORE, store)],
        there=[(evt.EVT_C_GET, lambda _: [1, (PENDING, image())]), (evt.EVT_C_MOVE, lambda _: [(None, None)])],
    )
    got = [status_of(status) for status, _ in couple.scu.send_c_get(QUERY, STUDY_GET)]
    assert (got, stored) == ([PENDING, 0], [image()])
    assert [status_of(status) for status, _ in couple.scu.send_c_move(QUERY, "NOWHERE", STUDY_MOVE)] == [0xA801]


def endless(event: RequestEvent) -> Iterator[Any]:
    match = data_set(PatientComments="x" * 10_000)
    while not event.is_cancelled:
        yield PENDING, match
    yield CANCEL, None


def test_cancel() -> None:
    couple = established(there=[(evt.EVT_C_FIND, endless)])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND, msg_id=5)
    next(results)
    couple.scu.send_c_cancel(5, query_model=STUDY_FIND)
    assert [status_of(status) for status, _ in results][-1] == CANCEL


def test_results_that_nobody_wants() -> None:
    couple = established(there=[(evt.EVT_C_FIND, endless)])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    next(results)
    results.close()  # type: ignore[attr-defined]
    couple.settle()
    assert status_of(couple.scu.send_c_echo()) == 0


NORMALIZED: dict[evt.EventKind, tuple[str, Callable[[MemoryAssociation], Any]]] = {
    evt.EVT_N_GET: ("scu", lambda assoc: assoc.send_n_get([0x00100020], PRINTER, "1.2")),
    evt.EVT_N_SET: ("scu", lambda assoc: assoc.send_n_set(QUERY, MPPS, "1.2")),
    evt.EVT_N_ACTION: ("scu", lambda assoc: assoc.send_n_action(QUERY, 1, COMMITMENT, "1.2")),
    evt.EVT_N_CREATE: ("scu", lambda assoc: assoc.send_n_create(QUERY, MPPS, "1.2")),
    evt.EVT_N_EVENT_REPORT: ("scp", lambda assoc: assoc.send_n_event_report(QUERY, 1, COMMITMENT, "1.2")),
}


@pytest.mark.parametrize("kind", NORMALIZED, ids=str)
def test_normalized(kind: evt.EventKind) -> None:
    who, call = NORMALIZED[kind]
    reply = dataset_of(PatientID="7")
    bindings = [(kind, lambda _: (0, reply))]
    couple = established(here=bindings, there=bindings)
    status, data_set = call(getattr(couple, who))
    assert (status_of(status), data_set) == (0, reply)


def test_delete() -> None:
    film_box = "1.2.840.10008.5.1.1.2"
    couple = established(film_box, there=[(evt.EVT_N_DELETE, lambda _: 0)])
    assert status_of(couple.scu.send_n_delete(film_box, "1.2")) == 0


def test_own_service() -> None:
    couple = established()
    couple.scu.entity.add_scu(own_scu)
    assert couple.scu.get_scu("1.2.3")(7, factor=6) == 42
    with pytest.raises(LocalProtocolError, match="no SCU program"):
        couple.scu.get_scu("1.2.4")


def test_without_an_association() -> None:
    couple = established()
    couple.scu.abort()
    couple.settle()
    with pytest.raises(NotEstablishedError):
        couple.scu.send_c_echo()
    with pytest.raises(NotEstablishedError):
        couple.scu.send_c_find(QUERY, STUDY_FIND)
    couple.scu.release()


def test_without_a_context() -> None:
    couple = established(VERIFICATION)
    with pytest.raises(NoContextError):
        couple.scu.send_c_store(image())


# --- the operations window --------------------------------------------------------------------------------------------


class Echo:
    """A C-ECHO that does not wait for a response, as a program that an own service may be."""

    def __init__(self, couple: Couple) -> None:
        couple.scu.entity.add_scu(self._scu)
        self._assoc = couple.scu

    @staticmethod
    @sop_classes("1.2.3")
    def _scu(peer: Peer) -> Program[int]:
        yield from ()
        return peer.connection.send_request(CEchoRQ(), context=1)

    def script(self) -> Script[int]:
        """The program that the association would run, to be driven step by step."""
        programs: list[Program[int]] = []
        recording = Recording(self._assoc.entity, self._assoc.peer.connection, self._assoc.peer.handlers)
        recording.peer.router = self._assoc.peer.router
        recording.token, recording.ran = None, programs
        recording.get_scu("1.2.3")()
        return Script(programs[0])


def test_room_in_the_window_is_waited_for() -> None:
    couple = established(window=(2, 2))
    echo = Echo(couple)
    assert [echo.script().end(), echo.script().end()] == [1, 2]
    waiting = echo.script()
    room = waiting.expect(Await)
    assert room.condition() is None
    couple.settle()
    assert room.condition()
    assert waiting.end(True) == 3


def test_what_fills_the_router_is_not_waited_for() -> None:
    """Nothing more is received before somebody asks for it: that may be the one who would wait."""
    couple = established(there=[(evt.EVT_C_FIND, endless)])
    results = couple.scu.send_c_find(QUERY, STUDY_FIND)
    next(results)
    couple.settle()
    assert couple.scu.peer.router.is_full
    with pytest.raises(LocalProtocolError, match="window"):
        couple.scu.send_c_echo()


def test_room_is_not_waited_for_without_an_association() -> None:
    couple = established()
    echo = Echo(couple)
    echo.script().end()
    waiting = echo.script()
    room = waiting.expect(Await)
    couple.scu.abort()
    assert room.condition()
    with pytest.raises(LocalProtocolError):
        waiting.end(True)


def test_a_handler_does_not_wait_for_room() -> None:
    """What the window waits for may be the response that needs the handler to return."""
    said: list[Any] = []

    def store(event: Any) -> int:
        try:
            event.assoc.send_c_echo()
        except LocalProtocolError as error:
            said.append(str(error))
        return 0

    couple = established(
        items=[build_role(CT, scp_role=True)],
        here=[(evt.EVT_C_STORE, store)],
        there=[(evt.EVT_C_GET, lambda _: [1, (PENDING, image())])],
    )
    assert [status_of(status) for status, _ in couple.scu.send_c_get(QUERY, STUDY_GET)] == [PENDING, 0]
    (error,) = said
    assert "the operations window is 1" in error


def test_handler_asks_the_peer_that_asks() -> None:
    said: list[int] = []
    kept: list[tuple[object, ...]] = []

    def store(event: Any) -> int:
        kept.append(HANDLING.get())
        said.append(status_of(event.assoc.send_c_echo()))
        return 0

    couple = established(
        items=[build_role(VERIFICATION, scu_role=True, scp_role=True)], there=[(evt.EVT_C_STORE, store)]
    )
    assert status_of(couple.scu.send_c_store(image())) == 0
    assert (said, kept) == ([0], [(couple.scp,)])
    assert HANDLING.get() == ()


def test_handler_releases() -> None:
    """Nothing is waited for before: this side has asked for nothing that the handler would hold up."""
    couple = established(there=[(evt.EVT_ESTABLISHED, lambda event: event.assoc.release())])
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}


# --- what it is -------------------------------------------------------------------------------------------------------


def described(contexts: Any) -> list[tuple[Any, ...]]:
    return [
        (one.context_id, one.abstract_syntax, one.transfer_syntax, one.result, one.as_scu, one.as_scp)
        for one in contexts
    ]


def test_contexts() -> None:
    here, there = ApplicationEntity("HERE"), ApplicationEntity("THERE")
    here.add_requested_context(CT, [EXPLICIT, IMPLICIT])
    here.add_requested_context(MR, [EXPLICIT])
    here.add_requested_context(STUDY_FIND)
    there.add_supported_context(CT, [IMPLICIT], scu_role=True, scp_role=True)
    there.add_supported_context(MR, [IMPLICIT])
    couple = Couple(offer=here.offer("THERE", items=[build_role(CT, scp_role=True)]), reception=there.policy())
    assert couple.scu.accepted_contexts == couple.scu.rejected_contexts == []
    couple.establish()
    assert described(couple.scu.accepted_contexts) == [(1, CT, [IMPLICIT], 0, False, True)]
    assert described(couple.scp.accepted_contexts) == [(1, CT, [IMPLICIT], 0, True, False)]
    for assoc in (couple.scu, couple.scp):
        rejected = assoc.rejected_contexts
        assert [(one.context_id, one.abstract_syntax, one.result) for one in rejected] == [
            (3, MR, 4),
            (5, STUDY_FIND, 3),
        ]
        assert rejected[0].transfer_syntax == [EXPLICIT]


def test_both_sides() -> None:
    couple = established()
    scu, scp = couple.scu, couple.scp
    assert (scu.mode, scp.mode) == ("requestor", "acceptor")
    assert (scu.ae, scp.ae) == (scu.entity, scp.entity)
    for assoc in (scu, scp):
        assert (assoc.requestor.ae_title, assoc.acceptor.ae_title) == ("HERE", "THERE")
        assert [(one.address, one.port) for one in (assoc.requestor, assoc.acceptor)] == [HERE, THERE]
        assert [one.abstract_syntax for one in assoc.requestor.requested_contexts] == list(SERVICES)
    assert (scu.requestor.is_requestor, scu.requestor.is_acceptor) == (True, False)
    assert (scu.acceptor.is_requestor, scu.acceptor.is_acceptor) == (False, True)
    assert scu.local == scp.remote == scu.requestor.info
    assert scu.remote == scp.local == scp.acceptor.info
    assert (scu.remote["mode"], scu.remote["ae_title"], scu.remote["address"]) == ("acceptor", "THERE", THERE[0])


def test_timeouts() -> None:
    assoc = established(timeouts=Timeouts()).scu
    assert (assoc.acse_timeout, assoc.dimse_timeout, assoc.network_timeout) == (30, 30, 60)
    assoc.acse_timeout, assoc.dimse_timeout, assoc.network_timeout = 1, 2.5, None
    assert (assoc.acse_timeout, assoc.dimse_timeout, assoc.network_timeout) == (1, 2.5, None)
    assert assoc.peer.connection.timeouts == Timeouts(artim=1, request=1, release=1, response=2.5, idle=None)
    assoc.acse_timeout = None
    assert assoc.peer.connection.timeouts.artim == 1  # which never lasts for ever


@pytest.mark.parametrize("nonsense", [0, -1, "soon"])
def test_timeouts_that_are_none(nonsense: Any) -> None:
    assoc = established().scu
    with pytest.raises(InvalidSettingError, match="a timeout is a number"):
        assoc.dimse_timeout = nonsense


def test_what_follows_when_nothing_passes() -> None:
    couple = established(timeouts=Timeouts())
    assert couple.scu.network_timeout_response == "A-ABORT"
    with pytest.raises(InvalidSettingError, match="'A-ABORT' or 'A-RELEASE'"):
        couple.scu.network_timeout_response = "patience"
    couple.scu.network_timeout_response = "A-RELEASE"
    assert couple.scu.network_timeout_response == "A-RELEASE"
    couple.scu.time_out()
    couple.settle()
    assert fate(couple.scu) == fate(couple.scp) == {"released", "over"}


# --- handlers ---------------------------------------------------------------------------------------------------------


def test_events_and_handlers() -> None:
    assoc = MemoryAssociation(entity(), [(evt.EVT_C_STORE, ignore, ["a"]), (evt.EVT_C_ECHO, ignore)])
    assoc.bind(evt.EVT_ABORTED, ignore)
    assoc.bind(evt.EVT_ABORTED, ignore, [1, 2])
    assert assoc.get_events() == [evt.EVT_ABORTED, evt.EVT_C_ECHO, evt.EVT_C_STORE]
    assert assoc.get_handlers(evt.EVT_ABORTED) == [(ignore, []), (ignore, [1, 2])]
    assert assoc.get_handlers(evt.EVT_RELEASED) == []
    assert assoc.get_handlers(evt.EVT_C_STORE) == (ignore, ["a"])
    assert assoc.get_handlers(evt.EVT_C_FIND) == (None, None)
    assoc.unbind(evt.EVT_ABORTED, ignore)
    assoc.unbind(evt.EVT_C_STORE, ignore)
    assert assoc.get_events() == [evt.EVT_C_ECHO]
    assert assoc.get_handlers(evt.EVT_ABORTED) == []
    assert assoc.get_handlers(evt.EVT_C_STORE) == (None, None)


def test_handler_that_cannot_be_bound() -> None:
    with pytest.raises(LocalProtocolError, match="cannot take"):
        MemoryAssociation(entity()).bind(evt.EVT_ABORTED, lambda: None)


def test_bound_while_it_is_established() -> None:
    couple = established()
    seen: list[str] = []

    def show(event: Event) -> None:
        seen.append(event.name)

    couple.scu.bind(evt.EVT_DIMSE_RECV, show)
    couple.scu.send_c_echo()
    couple.settle()
    couple.scu.unbind(evt.EVT_DIMSE_RECV, show)
    couple.scu.send_c_echo()
    couple.settle()
    assert seen == ["EVT_DIMSE_RECV"]
