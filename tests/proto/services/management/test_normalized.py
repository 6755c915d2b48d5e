"""The DIMSE-N services in both roles."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import (
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.services.management.normalized import EVENTS, normalized_scu
from dicom_proto.testing.pair import sent
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_proto.upper_layer.items import RoleSelection
from tests.proto.programs.script import (
    EXPLICIT,
    Said,
    Scene,
    Script,
    connected,
    data_set,
    dataset_of,
    decoded,
    offer_of,
    statuses,
    unencodable,
)
from tests.proto.rows import for_each

BOX, INSTANCE = "1.2.840.10008.5.1.1.2", "1.2.3"  # Basic Film Box
META = "1.2.840.10008.5.1.1.9"  # Basic Grayscale Print Management Meta
CONTEXT = (BOX, EXPLICIT)
LIST = dataset_of(PatientID="1")


def requested(kind: type, **more: Any) -> Any:
    return kind(requested_sop_class_uid=BOX, requested_sop_instance_uid=INSTANCE, **more)


def affected(kind: type, **more: Any) -> Any:
    return kind(affected_sop_class_uid=BOX, **more)


MAKE: dict[str, Any] = {
    "N-EVENT-REPORT": lambda: affected(NEventReportRQ, affected_sop_instance_uid=INSTANCE, event_type_id=2),
    "N-GET": lambda: requested(NGetRQ),
    "N-SET": lambda: requested(NSetRQ),
    "N-ACTION": lambda: requested(NActionRQ, action_type_id=3),
    "N-CREATE": lambda: affected(NCreateRQ, affected_sop_instance_uid=INSTANCE),
    "N-DELETE": lambda: requested(NDeleteRQ),
}


def sends_data(request: Request) -> bool:
    return request.data_set.name != "NEVER"


def serve(request: Request, handler: Any) -> list[Said]:
    bindings = [] if handler is None else [(EVENTS[type(request)], handler)]
    here = Scene(CONTEXT, bindings=bindings)
    return here.serve(request, data_set(EXPLICIT, PatientID="1") if sends_data(request) else None)


# --- SCU --------------------------------------------------------------------------------------------------------------


@for_each("name", MAKE)
def test_scu(name: str) -> None:
    one, other = connected(offer_of(CONTEXT))
    request = MAKE[name]()
    has_data = sends_data(request)
    script = Script(normalized_scu(Peer(one, Handlers()), request, LIST if has_data else None, abstract_syntax=BOX))
    script.expect(Receive)
    other.receive_data(sent(one), now=0)
    received = other.next_event()
    assert isinstance(received, RequestReceived)
    assert (received.request, received.has_data) == (request, has_data)
    if has_data:
        chunk = other.next_event()
        assert isinstance(chunk, DataChunk)
        assert decoded(bytes(chunk.data), EXPLICIT) == LIST
    response = request.response(message_id_being_responded_to=1, status=0)
    script.expect(Receive, ResponseReceived(message_id=1, context_id=1, response=response, has_data=True))
    reply = script.end(DataChunk(message_id=1, invoked=True, data=b"abcd", last=True))
    assert (reply.response, reply.data) == (response, b"abcd")


def test_scu_on_the_context_of_a_meta_sop_class_and_in_the_other_role() -> None:
    one, other = connected(offer_of(META, CONTEXT, roles=[RoleSelection(BOX, scu=True, scp=True)]))
    Script(normalized_scu(Peer(one, Handlers()), requested(NGetRQ), abstract_syntax=META)).expect(Receive)
    assert one.invoked[1].context_id == 1
    request = MAKE["N-EVENT-REPORT"]()
    Script(normalized_scu(Peer(other, Handlers()), request, abstract_syntax=META, as_scu=False)).expect(Receive)
    assert other.invoked[1].context_id == 1
    with pytest.raises(LocalProtocolError, match="SCU role"):
        Script(normalized_scu(Peer(other, Handlers()), request, abstract_syntax=META)).expect(Receive)


def test_scu_does_without_an_empty_data_set_where_that_is_possible() -> None:
    one, _ = connected(offer_of(CONTEXT))
    Script(normalized_scu(Peer(one, Handlers()), MAKE["N-CREATE"](), Dataset(), abstract_syntax=BOX)).expect(Receive)
    one, _ = connected(offer_of(CONTEXT))
    with pytest.raises(LocalProtocolError):
        Script(normalized_scu(Peer(one, Handlers()), MAKE["N-SET"](), Dataset(), abstract_syntax=BOX)).expect(Receive)
    with pytest.raises(LocalProtocolError):
        Script(normalized_scu(Peer(one, Handlers()), MAKE["N-SET"](), unencodable(), abstract_syntax=BOX)).expect(
            Receive
        )
    assert not one.invoked


# --- SCP --------------------------------------------------------------------------------------------------------------


@for_each("name", MAKE)
def test_scp(name: str) -> None:
    request = MAKE[name]()
    events: list[Any] = []

    def handler(event: Any) -> Any:
        events.append(event)
        return 0 if name == "N-DELETE" else (0, LIST)

    ((response, data),) = serve(request, handler)
    assert response == request.response(
        message_id_being_responded_to=1,
        status=0,
        affected_sop_class_uid=BOX,
        affected_sop_instance_uid=INSTANCE,
        **({"event_type_id": 2} if name == "N-EVENT-REPORT" else {}),
        **({"action_type_id": 3} if name == "N-ACTION" else {}),
    )
    assert (data is None) == (name == "N-DELETE")
    if data is not None:
        assert decoded(data, EXPLICIT) == LIST
    assert events[0].name == f"EVT_{name}".replace("-", "_")


def test_scp_effects() -> None:
    here = Scene(CONTEXT, bindings=[(EVENTS[NSetRQ], lambda _: 0)])
    script = here.ask(MAKE["N-SET"](), data_set(EXPLICIT, PatientID="1"))
    script.expect(Receive)
    call = script.expect(Call, here.peer.event((1, False)))
    assert call.arguments[0].modification_list == LIST
    script.end((0, LIST))
    assert statuses(here.replies()) == [0]


@for_each("effects", [[Receive], [Receive, Call]])
def test_scp_at_the_end_of_the_association(effects: list[type]) -> None:
    here = Scene(CONTEXT, bindings=[(EVENTS[NSetRQ], lambda _: 0)])
    script = here.ask(MAKE["N-SET"](), data_set(EXPLICIT, PatientID="1"))
    for kind, result in zip(effects, [None, here.peer.event((1, False))], strict=False):
        script.expect(kind, result)
    here.acceptor.abort()
    with pytest.raises((AssociationAborted, LocalProtocolError)):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))


@for_each("name", MAKE)
def test_scp_without_a_handler_and_with_one_that_raises(name: str) -> None:
    assert statuses(serve(MAKE[name](), None)) == [0x0110]
    assert statuses(serve(MAKE[name](), lambda _: 1 / 0)) == [0x0110]


@for_each(
    ("name", "result", "status"),
    [
        ("N-GET", (0x0112, None), 0x0112),
        ("N-GET", (0x0112, LIST), 0x0112),
        ("N-GET", (0x0000, None), 0x0110),
        ("N-GET", (0x0000, Dataset()), 0x0110),
        ("N-GET", (0x0000, b"odd"), 0x0110),
        ("N-GET", (0x0000, unencodable()), 0x0110),
        ("N-GET", (0x0000, "text"), 0x0110),
        ("N-GET", (0x0112, "text"), 0x0112),
        ("N-GET", (0x0107, LIST), 0x0107),
        ("N-GET", None, 0xC002),
        ("N-GET", LIST, 0xC001),
        ("N-GET", (Dataset(), None), 0xC001),
        ("N-GET", (0, LIST, "more"), 0xC002),
        ("N-SET", (0x0000, None), 0x0000),
        ("N-SET", 0x0000, 0x0000),
        ("N-SET", (0x0000, Dataset()), 0x0000),
        ("N-SET", (dataset_of(Status=0x0116, ErrorComment="x"), LIST), 0x0116),
        ("N-DELETE", 0x0112, 0x0112),
        ("N-DELETE", (0x0000, LIST), 0x0000),
        ("N-CREATE", (0x0106, None), 0x0106),
        ("N-CREATE", (0x0111, None), 0x0111),
        ("N-ACTION", (0x0123, None), 0x0123),
        ("N-EVENT-REPORT", (0x0113, None), 0x0113),
    ],
)
def test_scp_statuses(name: str, result: object, status: int) -> None:
    assert statuses(serve(MAKE[name](), lambda _: result)) == [status]


def test_scp_decodes_nothing_that_it_is_not_asked_for() -> None:
    here = Scene(CONTEXT, bindings=[(EVENTS[NSetRQ], lambda _: 0)])
    assert statuses(here.serve(MAKE["N-SET"](), b"\x10\x00\x10\x00PN\xff\xffab")) == [0]
    here = Scene(CONTEXT, bindings=[(EVENTS[NSetRQ], lambda event: (0, event.modification_list))])
    assert statuses(here.serve(MAKE["N-SET"](), b"\x10\x00\x10\x00PN\xff\xffab")) == [0x0110]


def create(status: object, data_set: object) -> Said:
    (said,) = serve(affected(NCreateRQ), lambda _: (status, data_set))
    return said


@for_each(
    ("status", "attributes", "uid"),
    [
        (dataset_of(Status=0, AffectedSOPInstanceUID="1.2.9"), None, "1.2.9"),
        (0x0000, dataset_of(AffectedSOPInstanceUID="1.2.9"), "1.2.9"),
        (0xB600, dataset_of(SOPInstanceUID="1.2.9"), "1.2.9"),
    ],
)
def test_the_performer_names_what_it_has_created(status: object, attributes: Dataset | None, uid: str) -> None:
    response, data = create(status, attributes)
    assert response.affected_sop_instance_uid == uid  # type: ignore[attr-defined]
    assert (data is not None) == (attributes is not None and "SOPInstanceUID" in attributes)


@pytest.mark.parametrize("attributes", [None, LIST, data_set(EXPLICIT, PatientID="1")])
def test_nobody_names_what_was_created(attributes: object, caplog: pytest.LogCaptureFixture) -> None:
    response, _ = create(0, attributes)
    assert response.status == 0x0110
    assert "SOP Instance UID" in caplog.text


def test_nothing_was_created() -> None:
    assert create(0x0213, None)[0].status == 0x0213


def test_scu_reports_on_a_context_of_the_other_role_if_there_is_none_of_its_own() -> None:
    """Some requestors forget to propose the role (PS3.7 D.3.3.4): better than to tell nothing."""
    one, _ = connected(offer_of(META, CONTEXT))
    request = MAKE["N-EVENT-REPORT"]()
    Script(normalized_scu(Peer(one, Handlers()), request, abstract_syntax=META, as_scu=False)).expect(Receive)
    assert one.invoked[1].context_id == 1
