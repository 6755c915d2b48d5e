"""Programs of the user's own: how they are marked, what is refused, and what becomes of what they do."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest
from attrs import frozen

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.messages import CStoreRQ, NActionRQ
from dicom_proto.errors import InvalidNameError, LocalProtocolError
from dicom_proto.programs.effects import Call, Program, Receive
from dicom_proto.programs.invoking import Reply, invoke
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.programs.user_programs import check_scp, scu_for, sop_classes, sop_classes_of
from dicom_proto.sop_class import Verification
from dicom_proto.testing.network import Network
from tests.proto.programs.script import Scene, data_set, decoded, statuses
from tests.proto.rows import for_each

PRIVATE, OTHER = "1.2.3.4", "1.2.3.5"


@sop_classes(PRIVATE, OTHER, PRIVATE)
def numbering(performing: Performing, start: int = 1) -> Program[None]:
    yield from performing.receive_data()
    performing.respond(Answer(0x0000, {"action_type_id": start}))


@sop_classes(PRIVATE)
@frozen
class Shouting:
    """A program with a state."""

    heard: list[str]

    def __call__(self, performing: Performing) -> Program[None]:
        data = yield from performing.receive_data()
        identifier = decoded(data, performing.context.transfer_syntax)
        self.heard.append((yield Call(str.upper, (str(identifier.PatientID),))))
        performing.respond(Answer(0x0000), data)


class Archive:
    """Something that a program is a method of."""

    @sop_classes(OTHER)
    def perform(self, performing: Performing) -> Program[None]:
        yield from performing.receive_data()
        performing.respond(Answer(0x0000))


@sop_classes(PRIVATE)
def asking(peer: Peer, identifier: bytes) -> Program[Reply]:
    request = NActionRQ(requested_sop_class_uid=PRIVATE, requested_sop_instance_uid="1.2", action_type_id=1)
    return (yield from invoke(peer, request, peer.context(PRIVATE), identifier))


# --- what is decorated ------------------------------------------------------------------------------------------------


def test_a_program_is_marked_and_returned() -> None:
    def program(_: Performing) -> Program[None]:
        yield from ()

    assert sop_classes(Verification)(program) is program
    assert sop_classes_of(program) == (Verification,)
    assert sop_classes(PRIVATE)(program) is program
    assert sop_classes_of(program) == (PRIVATE,)


def test_what_a_program_is_for_is_said_once_each_and_in_order() -> None:
    assert sop_classes_of(numbering) == check_scp(numbering) == (PRIVATE, OTHER)
    assert [type(uid) for uid in sop_classes_of(sop_classes(Verification)(partial(numbering)))] == [str]


def wrapped(program: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(program)
    def wrapper(*arguments: Any) -> Any:
        return program(*arguments)

    return wrapper


@for_each(
    "program", [Shouting([]), Archive().perform, wrapped(numbering), sop_classes(OTHER)(partial(numbering, start=2))]
)
def test_what_is_a_program_too(program: Any) -> None:
    assert check_scp(program)


def plain(performing: Performing) -> None:
    performing.respond(Answer(0x0000))


async def coroutine(_: Performing) -> None: ...


async def async_generator(_: Performing) -> AsyncIterator[None]:
    yield


class Plain:
    """Its objects can be called, and do not yield."""

    def __call__(self, performing: Performing) -> None: ...


class Silent:
    """Its objects cannot be called."""


@for_each("wrong", [plain, coroutine, async_generator, Plain, Plain(), Silent, Silent(), len, None, 1])
def test_what_is_no_program(wrong: Any) -> None:
    with pytest.raises(
        LocalProtocolError, match=r"not a generator function.*`yield from performing\.receive_data\(\)`"
    ):
        sop_classes(PRIVATE)(wrong)
    assert not hasattr(wrong, "sop_classes")
    with pytest.raises(LocalProtocolError, match="not a generator function"):
        sop_classes_of(wrong)


@for_each("wrong", [Shouting([]), Archive().perform])
def test_what_cannot_be_marked(wrong: Any) -> None:
    with pytest.raises(LocalProtocolError, match="decorate the function or the class"):
        sop_classes(PRIVATE)(wrong)


def test_what_a_program_is_for_has_to_be_said() -> None:
    with pytest.raises(LocalProtocolError, match="one SOP class or several"):
        sop_classes()

    def program(_: Performing) -> Program[None]:
        yield from ()

    with pytest.raises(LocalProtocolError, match=r"decorate it with @sop_classes\(UID"):
        sop_classes_of(program)


@for_each("wrong", ["CT", "", "1.02", f"1.{'2' * 64}", None, [PRIVATE], plain])
def test_what_is_no_uid(wrong: Any) -> None:
    with pytest.raises(InvalidNameError):
        sop_classes(PRIVATE, wrong)


def test_a_class_is_not_bound_but_its_objects_are() -> None:
    with pytest.raises(LocalProtocolError, match="an object of it"):
        sop_classes_of(Shouting)


def test_a_class_derived_from_a_program_is_checked_again() -> None:
    class Quiet(Shouting):
        """It performs nothing."""

        def __call__(self, performing: Performing) -> Any: ...

    with pytest.raises(LocalProtocolError, match="not a generator function"):
        sop_classes_of(Quiet([]))


def asce_style(asce: Any, context: Any, message: Any) -> Iterator[Any]:
    yield asce, context, message


def no_arguments() -> Iterator[Any]:
    yield


def needs_a_name(_: Performing, *, name: str) -> Iterator[Any]:
    yield name


@for_each("program", [asce_style, no_arguments, needs_a_name])
def test_an_scp_program_is_called_with_one_argument(program: Any) -> None:
    sop_classes(PRIVATE)(program)
    assert sop_classes_of(program) == (PRIVATE,)
    with pytest.raises(LocalProtocolError, match="one argument, the operation that it performs: "):
        check_scp(program)


# --- what is bound ----------------------------------------------------------------------------------------------------


def test_the_program_of_a_sop_class() -> None:
    ae = ApplicationEntity().add_scu(asking)
    assert scu_for(ae, PRIVATE) is asking
    with pytest.raises(LocalProtocolError, match=rf"to {OTHER}: call add_scu\(\) first; bound are \['{PRIVATE}'\]"):
        scu_for(ae, OTHER)
    with pytest.raises(LocalProtocolError, match="bound are none"):
        scu_for(ApplicationEntity(), PRIVATE)


def test_both_roles_of_a_private_sop_class() -> None:
    program = Shouting([])
    caller, network = ApplicationEntity("CALLER").add_scu(asking, "1.2.840.10008.1.2"), Network()
    network.listen(("there", 104), ApplicationEntity("CALLED").add_scp(program))
    node = network.associate(caller, ("there", 104), ae_title="CALLED")
    reply: Reply = node.run(scu_for(caller, PRIVATE)(node.peer, data_set(PatientID="somebody")))
    assert program.heard == ["SOMEBODY"]
    assert reply.response.status == 0x0000
    assert decoded(bytes(reply.data or b"")).PatientID == "somebody"


def test_a_program_may_take_its_data_in_pieces() -> None:
    lengths: list[int] = []

    @sop_classes(PRIVATE)
    def program(performing: Performing) -> Program[None]:
        is_last = False
        while not is_last:
            chunk = yield Receive(performing.inbox)
            lengths.append(len(chunk.data))
            is_last = chunk.last
        performing.respond(Answer(0x0000))

    here = Scene(PRIVATE, entity=ApplicationEntity().add_scp(program))
    request = CStoreRQ(affected_sop_class_uid=PRIVATE, affected_sop_instance_uid="1.2")
    assert statuses(here.serve(request, bytes(500_000))) == [0x0000]
    assert sum(lengths) == 500_000
    assert len(lengths) > 1
