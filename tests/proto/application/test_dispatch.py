"""Which program performs what, and what becomes of requests that fit none."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.application import dispatch
from dicom_proto.application.dispatch import SCP_PROGRAMS
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.messages import (
    MESSAGES,
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    NActionRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.errors import LimitExceededError, LocalProtocolError
from dicom_proto.handlers.kinds import EVT_C_ECHO, EVT_C_FIND, EVT_N_EVENT_REPORT, EVT_N_GET
from dicom_proto.limits import Limits
from dicom_proto.programs.effects import Call, Program, Receive
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.programs.user_programs import sop_classes
from dicom_proto.service_class import ServiceClass
from dicom_proto.sop_class import register_uid
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted, AssociationFailure
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import (
    CT,
    MR,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    Scene,
    data_set,
    dataset_of,
    offer_of,
    statuses,
)
from tests.proto.rows import for_each

FILM_BOX, PRINT_META, PRINT_JOB = (f"1.2.840.10008.5.1.1.{end}" for end in (2, 9, 14))
UPS_PUSH, UPS_PULL = (f"1.2.840.10008.5.1.4.34.6.{end}" for end in (1, 3))
MPPS = "1.2.840.10008.3.1.2.3.3"
PRIVATE, OTHER_PRIVATE = "1.2.3.4", "1.2.3.5"
MEDIA = "1.2.840.10008.1.3.10"
RAISES: Callable[[Any], Any] = lambda _: 1 / 0  # noqa: E731
ANSWER = (0, dataset_of(PatientID="1"))


def composite(kind: type[Request], uid: str, **more: Any) -> Request:
    return kind(affected_sop_class_uid=uid, **more)  # type: ignore[call-arg]


def store(uid: str) -> Request:
    return composite(CStoreRQ, uid, affected_sop_instance_uid="1.2")


def normalized(kind: type[Request], uid: str, **more: Any) -> Request:
    return kind(requested_sop_class_uid=uid, requested_sop_instance_uid="1.2", **more)  # type: ignore[call-arg]


@for_each(("length", "status"), [(64, 0xC211), (65, 0x0117), (5000, 0x0117)])
def test_uids_of_instances_have_a_bound(length: int, status: int) -> None:
    here = Scene(CT)
    here.peer.limits = Limits(instance_uid=64)
    request = composite(CStoreRQ, CT, affected_sop_instance_uid="1" * length)
    assert statuses(here.serve(request, data_set(PatientID="1"))) == [status]


def test_every_request_has_a_program() -> None:
    assert set(SCP_PROGRAMS) == {message for message in MESSAGES.values() if issubclass(message, Request)}


@for_each(
    ("request_", "abstract_syntax", "status"),
    [
        # what no handler has been bound to is not refused before
        (composite(CEchoRQ, VERIFICATION), VERIFICATION, 0x0000),
        (store(CT), CT, 0xC211),
        (composite(CFindRQ, STUDY_FIND), STUDY_FIND, 0xC311),
        (composite(CGetRQ, STUDY_GET), STUDY_GET, 0xC411),
        (composite(CMoveRQ, STUDY_MOVE, move_destination="X"), STUDY_MOVE, 0xC511),
        (normalized(NGetRQ, MPPS), MPPS, 0x0110),
        (normalized(NGetRQ, FILM_BOX), PRINT_META, 0x0110),
        (normalized(NGetRQ, PRINT_JOB), PRINT_META, 0x0110),
        (normalized(NActionRQ, UPS_PUSH, action_type_id=1), UPS_PULL, 0x0110),
        (store(MR), CT, 0xC211),
        (store(PRIVATE), PRIVATE, 0xC211),
        (normalized(NGetRQ, OTHER_PRIVATE), PRIVATE, 0x0110),
        (store(MEDIA), MEDIA, 0xC211),
        # what does not belong to the context is
        (composite(CEchoRQ, VERIFICATION), CT, 0x0122),
        (store(CT), STUDY_FIND, 0x0122),
        (store(PRIVATE), CT, 0x0122),
        (store(CT), PRIVATE, 0x0122),
        (normalized(NGetRQ, MPPS), PRINT_META, 0x0118),
        (normalized(NGetRQ, PRIVATE), PRINT_META, 0x0118),
        (composite(CEchoRQ, CT), CT, 0x0211),
        (normalized(NGetRQ, CT), CT, 0x0211),
        (store(MPPS), MPPS, 0x0211),
        (normalized(NDeleteRQ, MPPS), MPPS, 0x0211),
    ],
)
def test_requests_and_contexts(request_: Request, abstract_syntax: str, status: int) -> None:
    here = Scene(abstract_syntax)
    data = data_set(PatientID="1") if request_.data_set.name == "ALWAYS" else None
    assert statuses(here.serve(request_, data)) == [status]


@for_each(
    ("request_", "abstract_syntax", "status"),
    [
        (store(CT), CT, 0xC000),
        (composite(CFindRQ, STUDY_FIND), STUDY_FIND, 0xC000),
        (composite(CGetRQ, STUDY_GET), STUDY_GET, 0xC000),
        (normalized(NSetRQ, MPPS), MPPS, 0x0110),
    ],
)
def test_a_request_without_its_data_set(request_: Request, abstract_syntax: str, status: int) -> None:
    request_.message_id = 1
    assert statuses(Scene(abstract_syntax).serve_raw(request_)) == [status]


def test_a_refusal_does_not_wait_for_the_data_set() -> None:
    here = Scene(STUDY_FIND)
    request = store(CT)
    here.requestor.send_request(request, context=1, data=bytes(1 << 20))
    data = sent(here.requestor)
    here.acceptor.receive_data(data[:5000], now=0)
    here.script(here.peer.request()).end()
    assert statuses(here.overheard()) == [0x0122]
    here.acceptor.receive_data(data[5000:], now=0)
    here.peer.turn()
    assert here.peer.ending is None
    assert not here.peer.router.is_full


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_whatever_a_program_raises_costs_its_own_operation_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(performing: Performing) -> Iterator[Any]:
        yield from performing.receive_data()
        raise RuntimeError

    monkeypatch.setitem(dispatch.SCP_PROGRAMS, CEchoRQ, broken)
    here = Scene(VERIFICATION)
    assert statuses(here.serve(CEchoRQ())) == [0x0110]
    assert "RuntimeError" in caplog.text
    assert here.peer.router.find((1, False)) is None
    monkeypatch.undo()
    assert statuses(here.serve(CEchoRQ())) == [0x0000]


class Hostile(dict[str, Any]):
    """Something that nobody expects a handler to return."""

    def __iter__(self) -> Any:
        raise RuntimeError


@for_each("result", [(Hostile(), Hostile()), Hostile()])
def test_hostile_results(result: Any) -> None:
    assert statuses(Scene(MPPS, bindings=[(EVT_N_GET, lambda _: result)]).serve(normalized(NGetRQ, MPPS))) == [0xC002]


def test_a_data_set_that_cannot_be_read_as_a_status() -> None:
    broken = dataset_of(Status=0)
    broken.__class__ = type("Hostile", (Dataset,), {"__iter__": Hostile.__iter__})
    here = Scene(MPPS, bindings=[(EVT_N_GET, lambda _: (broken, None))])
    assert statuses(here.serve(normalized(NGetRQ, MPPS))) == [0x0110]


def test_a_request_that_nobody_waits_for_any_more() -> None:
    here = Scene(VERIFICATION, bindings=[(EVT_C_ECHO, RAISES)])
    received = here.arrive(CEchoRQ())
    here.acceptor.abort()
    here.script(received).end()
    assert here.peer.router.find((1, False)) is None


def test_a_request_that_arrives_while_this_side_releases() -> None:
    here = Scene(VERIFICATION, bindings=[(EVT_C_ECHO, RAISES)])
    here.requestor.send_request(CEchoRQ(), context=1)
    here.acceptor.release()
    here.carry()
    received = here.acceptor.next_event()
    assert isinstance(received, RequestReceived)
    here.script(received).end()
    assert here.requestor.invoked


def test_the_end_of_the_association_is_passed_on() -> None:
    here = Scene(STUDY_FIND, bindings=[(EVT_C_FIND, RAISES)])
    script = here.ask(composite(CFindRQ, STUDY_FIND), data_set(PatientID="1"))
    script.expect(Receive)
    script.expect(Call, here.peer.event((1, False)))
    here.acceptor.abort()
    with pytest.raises(LocalProtocolError):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))


def test_a_program_that_is_closed_leaves_nothing_open() -> None:
    here = Scene(STUDY_FIND)
    script = here.ask(composite(CFindRQ, STUDY_FIND), data_set(PatientID="1"))
    script.expect(Receive)
    script.program.close()
    assert here.peer.router.find((1, False)) is None


# --- programs of the user's own ---------------------------------------------------------------------------------------

OWN = 0xB123  # a status that nothing else answers with
REGISTERED = "1.2.826.0.1.3680043.9.7.1"


def own(*uids: str, then: Callable[[Performing], Any] | None = None, status: int | None = OWN) -> ApplicationEntity:
    """An entity with a program that answers with a status, and then does something."""

    @sop_classes(*uids)
    def program(performing: Performing) -> Program[None]:
        yield from performing.receive_data()
        if status is not None:
            performing.respond(Answer(status))
        if then is not None:
            yield from then(performing) or ()

    return ApplicationEntity().add_scp(program)


@pytest.mark.parametrize(
    ("request_", "abstract_syntax", "bound", "status"),
    [
        # a private SOP class has whichever services its program has
        (store(PRIVATE), PRIVATE, [PRIVATE], OWN),
        (composite(CFindRQ, PRIVATE), PRIVATE, [PRIVATE], OWN),
        (normalized(NActionRQ, PRIVATE, action_type_id=7), PRIVATE, [PRIVATE], OWN),
        (normalized(NGetRQ, OTHER_PRIVATE), PRIVATE, [PRIVATE], OWN),
        (store(REGISTERED), REGISTERED, [REGISTERED], OWN),
        (normalized(NDeleteRQ, REGISTERED), REGISTERED, [REGISTERED], OWN),
        # one of the standard has its own
        (composite(CEchoRQ, VERIFICATION), VERIFICATION, [VERIFICATION], OWN),
        (store(CT), CT, [CT], OWN),
        (store(MR), CT, [CT], OWN),
        (composite(CFindRQ, CT), CT, [CT], 0x0211),
        # what does not belong to the context is refused as ever, unless the program is for both
        (store(CT), PRIVATE, [PRIVATE], 0x0122),
        (normalized(NGetRQ, FILM_BOX), PRIVATE, [PRIVATE], 0x0118),
        (normalized(NGetRQ, FILM_BOX), PRIVATE, [PRIVATE, FILM_BOX], OWN),
        # and the others are performed as ever
        (store(CT), CT, [PRIVATE, MR], 0xC211),
        (normalized(NGetRQ, FILM_BOX), PRINT_META, [FILM_BOX], 0x0110),
        (normalized(NDeleteRQ, REGISTERED), REGISTERED, [PRIVATE], 0x0211),
    ],
)
@pytest.mark.usefixtures("registrations_undone")
def test_programs_of_the_users_own(request_: Request, abstract_syntax: str, bound: list[str], status: int) -> None:
    register_uid(REGISTERED, "RegisteredStorageForTestsOfDispatch", ServiceClass.STORAGE)
    here = Scene(abstract_syntax, entity=own(*bound))
    data = data_set(PatientID="1") if request_.data_set.name == "ALWAYS" else None
    assert statuses(here.serve(request_, data)) == [status]


def test_two_programs_are_not_for_each_others_contexts() -> None:
    both = own(PRIVATE)
    both.add_scp(own(FILM_BOX).scp_programs[FILM_BOX])
    assert statuses(Scene(PRIVATE, entity=both).serve(normalized(NGetRQ, FILM_BOX))) == [0x0118]


def test_a_program_of_the_users_own_gets_no_request_without_its_data_set() -> None:
    here = Scene(PRIVATE, entity=own(PRIVATE))
    request = store(PRIVATE)
    request.message_id = 1
    assert statuses(here.serve_raw(request)) == [0xC000]


@for_each(("as_scp", "status"), [(False, 0x0107), (True, OWN)])
def test_programs_are_for_the_scp_and_handlers_for_what_the_scu_is_told(as_scp: bool, status: int) -> None:
    roles = [RoleSelection(PRIVATE, scu=as_scp, scp=True)]
    report = NEventReportRQ(affected_sop_class_uid=PRIVATE, affected_sop_instance_uid="1.2", event_type_id=1)
    bindings = [(EVT_N_EVENT_REPORT, lambda _: (0x0107, None))]
    here = Scene(offer=offer_of(PRIVATE, roles=roles), entity=own(PRIVATE), bindings=bindings)
    assert statuses(here.serve(report)) == [status]


def test_a_program_that_is_bound_or_unbound_later() -> None:
    entity = own(CT)
    here = Scene(CT, entity=entity)
    program = entity.scp_programs[CT]
    entity.remove_scp(program)
    assert statuses(here.serve(store(CT), data_set(PatientID="1"))) == [0xC211]
    entity.add_scp(program)
    assert statuses(here.serve(store(CT), data_set(PatientID="1"))) == [OWN]


def test_a_program_that_answers_many_times() -> None:
    def more(performing: Performing) -> Iterator[Any]:
        performing.respond(Answer(0xFF00), data_set(PatientID="2"))
        performing.respond(Answer(0x0000))
        return iter(())

    here = Scene(PRIVATE, entity=own(PRIVATE, status=None, then=more))
    said = here.serve(composite(CFindRQ, PRIVATE), data_set(PatientID="1"))
    assert statuses(said) == [0xFF00, 0x0000]
    assert said[0][1] == data_set(PatientID="2")


@pytest.mark.parametrize("error", [RuntimeError, LocalProtocolError, AssociationFailure])
def test_a_program_that_raises_before_its_answer(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Performing) -> None:
        raise error

    here = Scene(PRIVATE, entity=own(PRIVATE, status=None, then=fail))
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [0x0110]
    assert error.__name__ in caplog.text
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [0x0110]


def test_a_program_that_keeps_too_much() -> None:
    def fail(_: Performing) -> None:
        raise LimitExceededError("too much")

    here = Scene(PRIVATE, entity=own(PRIVATE, status=None, then=fail))
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [0xA700]


@pytest.mark.parametrize("error", [RuntimeError, LocalProtocolError, AssociationFailure])
def test_a_program_that_raises_after_its_answer(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Performing) -> None:
        raise error

    here = Scene(PRIVATE, entity=own(PRIVATE, then=fail))
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [OWN]
    assert "raised when its N-GET-RQ was over" in caplog.text
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [OWN]


def test_a_program_that_answers_twice(caplog: pytest.LogCaptureFixture) -> None:
    here = Scene(PRIVATE, entity=own(PRIVATE, then=lambda performing: performing.respond(Answer(0x0000))))
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [OWN]
    assert "no request with message ID 1 waits for a response" in caplog.text


def test_a_program_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    here = Scene(PRIVATE, entity=own(PRIVATE, status=None))
    assert statuses(here.serve(normalized(NGetRQ, PRIVATE))) == [0x0110]
    assert "ended without a final response" in caplog.text
    only_pending = own(PRIVATE, status=None, then=lambda performing: performing.respond(Answer(0xFF00), b"ab"))
    said = Scene(PRIVATE, entity=only_pending).serve(composite(CFindRQ, PRIVATE), data_set(PatientID="1"))
    assert statuses(said) == [0xFF00, 0x0110]


def test_a_program_that_does_not_read_its_data() -> None:
    @sop_classes(PRIVATE)
    def program(performing: Performing) -> Program[None]:
        performing.respond(Answer(0x0000))  # not before all of the object is there
        yield from ()

    here = Scene(PRIVATE, entity=ApplicationEntity().add_scp(program))
    here.requestor.send_request(store(PRIVATE), context=1, data=bytes(1 << 20))
    data = sent(here.requestor)
    here.acceptor.receive_data(data[:5000], now=0)
    here.script(here.peer.request()).end()
    assert statuses(here.overheard()) == [0x0110]


@for_each(("error", "is_raised"), [(RuntimeError, False), (AssociationFailure, True), (LocalProtocolError, True)])
def test_a_program_that_outlives_its_association(error: type[Exception], is_raised: bool) -> None:
    def end(performing: Performing) -> None:
        performing.peer.connection.abort()
        raise error

    here = Scene(PRIVATE, entity=own(PRIVATE, status=None, then=end))
    script = here.ask(normalized(NGetRQ, PRIVATE))
    if is_raised:
        with pytest.raises(error):
            script.end()
    else:
        script.end()
    assert here.peer.router.find((1, False)) is None
