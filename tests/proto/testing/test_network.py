"""The network in memory: who reaches whom, what calls return, and how time passes."""

from collections.abc import Iterator
from typing import Any

import pytest

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.errors import NoContextError, NotEstablishedError
from dicom_proto.handlers import kinds as evt
from dicom_proto.programs.effects import Await, Call, Dial, HangUp, Pause, Program, Pull, Run
from dicom_proto.services.verification import echo_scu
from dicom_proto.testing.network import MemoryAssociation, Network
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationClosed, AssociationRejected
from tests.proto.application.lives import entity, fate
from tests.proto.programs.script import CT, PENDING, STUDY_FIND, VERIFICATION, dataset_of, offer_of

ARCHIVE = ("archive", 104)
QUERY = dataset_of(QueryRetrieveLevel="STUDY", PatientID="*")


def network(*handlers: Any, called: ApplicationEntity | None = None) -> Network:
    made = Network()
    made.listen(ARCHIVE, called or entity("ARCHIVE"), handlers)
    return made


def find(_: Any) -> Iterator[Any]:
    for number in "123":
        yield PENDING, dataset_of(PatientID=number)


def test_calls_return_when_the_other_end_has_answered() -> None:
    stored: list[Any] = []

    def store(event: Any) -> int:
        stored.append(event.dataset.PatientID)
        return 0

    image = dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2", PatientID="7")
    world = network((evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find))
    with world.associate(entity(), ARCHIVE, ae_title="ARCHIVE") as assoc:
        assert assoc.send_c_echo().Status == 0
        assert assoc.send_c_store(image).Status == 0
        assert [status.Status for _, status in assoc.send_c_stores([image] * 2)] == [0, 0]
        assert [status.Status for status, _ in assoc.send_c_find(QUERY, STUDY_FIND)] == [PENDING] * 3 + [0]
    assert stored == ["7"] * 3
    assert fate(assoc) == {"released", "over"}
    world.settle()
    assert world.associations == []


def test_addresses() -> None:
    world = network()
    here = world.associate(entity(), ARCHIVE)
    _, there = world.associations
    assert (here.peer_address, there.local_address) == (ARCHIVE, ARCHIVE)
    assert here.local_address == there.peer_address
    other = world.associate(entity(), ARCHIVE)
    assert other.local_address != here.local_address


def test_an_exception_in_the_block_aborts() -> None:
    world = network()
    with pytest.raises(ZeroDivisionError), world.associate(entity(), ARCHIVE) as assoc:
        raise ZeroDivisionError
    world.settle()
    assert fate(assoc) == {"aborted", "over"}


def test_in_a_block_the_end_is_raised() -> None:
    world = network((evt.EVT_C_ECHO, lambda event: event.assoc.abort()))
    with world.associate(entity(), ARCHIVE) as assoc, pytest.raises(AssociationAborted):
        assoc.send_c_echo()
    assoc = world.associate(entity(), ARCHIVE)
    assert len(assoc.send_c_echo()) == 0


def test_nobody_listens() -> None:
    world = Network()
    assoc = world.associate(entity(), ARCHIVE)
    assert isinstance(assoc.failure, ConnectionRefusedError)
    assert fate(assoc) == {"aborted"}
    with pytest.raises(ConnectionRefusedError, match="nobody listens at archive port 104"), assoc:
        pytest.fail("there is no association")
    with pytest.raises(NotEstablishedError, match="nobody listens"):
        assoc.send_c_echo()
    assoc.release()
    assoc.abort()
    assert world.associations == []


def test_somebody_does_not_want_to() -> None:
    picky = entity("PICKY")
    picky.require_called_aet = True
    world = network(called=picky)
    assert isinstance(world.associate(entity(), ARCHIVE).failure, AssociationRejected)
    nothing = world.associate(entity("HERE", "1.2.3"), ARCHIVE, offer=offer_of("1.2.3", called="PICKY"))
    assert isinstance(nothing.failure, NoContextError)


def test_a_line_that_is_cut_is_noticed_at_one_end() -> None:
    world = network()
    here = world.associate(entity(), ARCHIVE)
    there = world.associations[1]
    here.on_the_way.append(b"nobody reads it")
    here.cut()
    world.settle()
    assert (fate(here), fate(there)) == ({"aborted", "over"}, {"established"})
    while world.pass_time():
        world.settle()
    assert fate(there) == {"aborted", "over"}
    assert world.now > 59


def test_what_was_sent_before_the_end_still_arrives() -> None:
    seen: list[str] = []
    kinds = (evt.EVT_ACSE_RECV, evt.EVT_RELEASED, evt.EVT_ABORTED, evt.EVT_CONN_CLOSE)
    world = network(*((kind, lambda event: seen.append(event.name)) for kind in kinds))
    world.associate(entity(), ARCHIVE).release()
    world.settle()
    assert seen == ["EVT_ACSE_RECV", "EVT_ACSE_RECV", "EVT_RELEASED", "EVT_CONN_CLOSE"]


def test_time_passes_when_nothing_else_can_happen() -> None:
    world = network()
    assoc = world.associate(entity(), ARCHIVE)
    assert world.now == 0

    def program() -> Program[float]:
        yield Pause(5)
        return world.now

    assert assoc.run(program()) == 5
    assert world.now == 5
    del world.associations[1]
    assert len(assoc.send_c_echo()) == 0  # the response timer of 30 s
    assert world.now == 35


def test_everybody_waits_for_somebody_else() -> None:
    here = entity()
    here.acse_timeout = here.dimse_timeout = here.network_timeout = None
    world = network(called=here)
    assoc = world.associate(here, ARCHIVE)

    def program() -> Program[None]:
        yield Await(lambda: None)

    with pytest.raises(RuntimeError, match="everybody waits for somebody else"):
        assoc.run(program())


def test_it_performs_what_programs_ask_for() -> None:
    def program() -> Program[list[Any]]:
        found = [(yield Call(max, (1, 2))), (yield Pull(items)), (yield Pull(items))]
        try:
            yield Call(lambda: 1 // 0, ())
        except ZeroDivisionError as error:
            found.append(error)
        peer = yield Dial(
            ARCHIVE, entity("OTHER").offer("ARCHIVE"), {"evt_handlers": [(evt.EVT_RELEASED, told.append)]}
        )
        found.append((yield Run(echo_scu(peer), peer)).response.status)
        yield HangUp(peer)
        return found

    told: list[Any] = []
    items = iter([3])
    assoc = network().associate(entity(), ARCHIVE)
    results = assoc.run(program())
    assert (results[:2], type(results[3]), results[4]) == ([2, 3], ZeroDivisionError, 0)
    assert [event.name for event in told] == ["EVT_RELEASED"]


def test_a_program_of_two_networks_of_one_association() -> None:
    """An association that is dialled and lost is hung up all the same."""

    def program() -> Program[list[Any]]:
        peer = yield Dial(ARCHIVE, entity("OTHER").offer("ARCHIVE"))
        world.associations[-1].abort()
        world.settle()
        found: list[Any] = []
        try:
            yield Run(echo_scu(peer), peer)
        except AssociationAborted as error:
            found.append(str(error))
        found.append((yield HangUp(peer)))
        return found

    world = network()
    assoc = world.associate(entity(), ARCHIVE)
    failure, hung_up = assoc.run(program())
    assert failure == "association ended by the peer's UL service-user"
    assert hung_up is True


def test_who_asks_when_all_is_over_is_told_so() -> None:
    world = network()
    assoc = world.associate(entity(), ARCHIVE)
    assoc.release()
    world.settle()
    assert world.associations == []
    with pytest.raises(NotEstablishedError, match="the association has been released"):
        assoc.send_c_echo()
    assoc.release()
    assoc.abort()
    sent = list(assoc.send_c_stores([dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2")]))
    assert [type(status.failure) for _, status in sent] == [AssociationClosed]


def test_an_association_stands_for_one_end() -> None:
    plain = MemoryAssociation(Network(), entity(), [(evt.EVT_C_ECHO, lambda _: 0)])
    assert (plain.is_requestor, plain.get_events(), plain.other) == (True, [evt.EVT_C_ECHO], None)
    assert VERIFICATION in {context.abstract_syntax for context in plain.entity.requested_contexts}
