"""Which program performs what, and what becomes of requests that fit none."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import (
    MESSAGES,
    CEchoRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    NActionRQ,
    NDeleteRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.errors import LocalProtocolError
from dicom_proto.services import dispatch
from dicom_proto.services.dispatch import SCP_PROGRAMS
from dicom_proto.services.effects import Call, Receive
from dicom_proto.services.handlers import EVT_C_ECHO, EVT_C_FIND, EVT_N_GET
from dicom_proto.services.performing import Performing
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.services.script import (
    CT,
    MR,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    Scene,
    data_set,
    dataset_of,
    statuses,
)
from tests.proto.wire import sent

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


def test_every_request_has_a_program() -> None:
    assert set(SCP_PROGRAMS) == {message for message in MESSAGES.values() if issubclass(message, Request)}


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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
    received = here.peer.router.next_summons()
    here.script(received).end()  # type: ignore[arg-type]
    assert statuses(here.overheard()) == [0x0122]
    here.acceptor.receive_data(data[5000:], now=0)
    here.peer.router.pump()
    assert here.peer.router.ending is None
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
    assert not here.peer.router.is_open((1, False))
    monkeypatch.undo()
    assert statuses(here.serve(CEchoRQ())) == [0x0000]


class Hostile(dict[str, Any]):
    """Something that nobody expects a handler to return."""

    def __iter__(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("result", [(Hostile(), Hostile()), Hostile()])
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
    assert not here.peer.router.is_open((1, False))


def test_a_request_that_arrives_while_this_side_releases() -> None:
    here = Scene(VERIFICATION, bindings=[(EVT_C_ECHO, RAISES)])
    here.requestor.send_request(CEchoRQ(), context=1)
    here.acceptor.release()
    received = here.arrived()
    here.script(received).end()
    assert here.requestor.invoked


def test_the_end_of_the_association_is_passed_on() -> None:
    here = Scene(STUDY_FIND, bindings=[(EVT_C_FIND, RAISES)])
    script = here.ask(composite(CFindRQ, STUDY_FIND), data_set(PatientID="1"))
    script.expect(Receive)
    script.expect(Call, here.peer.router.next_event((1, False)))
    here.acceptor.abort()
    with pytest.raises(LocalProtocolError):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))


def test_a_program_that_is_closed_leaves_nothing_open() -> None:
    here = Scene(STUDY_FIND)
    script = here.ask(composite(CFindRQ, STUDY_FIND), data_set(PatientID="1"))
    script.expect(Receive)
    script.program.close()
    assert not here.peer.router.is_open((1, False))
