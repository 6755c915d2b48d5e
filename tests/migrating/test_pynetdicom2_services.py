"""What pynetdicom2 (netdicom2) has of services: functions over an association, for both roles, and one's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicom_proto.application.dispatch import SCP_PROGRAMS
from dicom_proto.dimse.messages import CEchoRQ, CFindRQ, CMoveRQ, CStoreRQ, NActionRQ
from dicom_proto.encoding.datasets import decode
from dicom_proto.errors import LocalProtocolError
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Invoking, Reply, invoke
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.programs.user_programs import scu_for, sop_classes
from dicom_proto.services.management.commitment import (
    CommitmentProvider,
    CommitmentResult,
    Commitments,
    decide,
    report_commitment,
    request_commitment,
)
from dicom_proto.services.query import find_scp, find_scu
from dicom_proto.services.retrieve.get import get_scp, get_scu
from dicom_proto.services.retrieve.move import move_scp, move_scu
from dicom_proto.services.storage.sending import store_object_scu
from dicom_proto.services.storage.store import store_scp
from dicom_proto.services.verification import echo_scp, echo_scu
from dicom_proto.sop_class import CTImageStorage, ModalityWorklistInformationFind, Verification
from dicom_transports.blocking import AE, Association, evt
from tests.contract.entities import CT_ROLES, FIND, GET, MOVE, ct, dataset, dial, entity, serving, statuses
from tests.migrating.page import Table

table = Table("pynetdicom2")
OWN, OTHER = "1.2.246.352.70.1.80", "1.2.246.352.70.1.81"
QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")


# --- services of one's own --------------------------------------------------------------------------------------------


@sop_classes(OWN)
def own_scp(performing: Performing) -> Program[None]:
    """Reverse what came with an N-ACTION; leave the rest to what there is for it."""
    if not isinstance(performing.request, NActionRQ):
        yield from SCP_PROGRAMS[type(performing.request)](performing)
        return
    data = yield from performing.receive_data()
    performing.respond(Answer(0x0000), (data or b"")[::-1])


@sop_classes(OWN)
def own_scu(peer: Peer, data: bytes | None) -> Program[Reply]:
    """Have it reversed; without any, verify."""
    context = peer.context(OWN)
    if data is None:
        return (yield from invoke(peer, CEchoRQ(affected_sop_class_uid=OWN), context))
    request = NActionRQ(requested_sop_class_uid=OWN, requested_sop_instance_uid="1.2", action_type_id=1)
    return (yield from invoke(peer, request, context, data))


@table.row(
    "AE.add_scu",
    "AE.add_scp",
    "assoc.get_scu(sop_class)",
    "assoc.send, assoc.receive",
    "MessageDispatcher, MessageDispatcherSCP",
    "MessageDispatcherSCU",
)
def test_own_services() -> None:
    """The example of both sides uses ``invoke`` and ``SCP_PROGRAMS``."""
    ae = AE("SCP").add_scp(own_scp).add_scp(sop_classes(OTHER)(echoing))
    scu = AE("SCU").add_scu(own_scu)
    with serving(ae=ae) as server, dial(server, ae=scu) as association:
        service = association.get_scu(OWN)
        assert service(b"abcd").data == b"dcba"
        assert service(None).response.status == 0x0000
        program = scu_for(scu, OWN)
        assert association.run(program(association.peer, b"ab")).data == b"ba"
        with pytest.raises(LocalProtocolError, match="add_scu"):
            association.get_scu(Verification)
    assert SCP_PROGRAMS[CEchoRQ] is echo_scp
    assert invoke is not None


def echoing(performing: Performing) -> Program[None]:
    yield from echo_scp(performing)


@table.row("sop_classes")
def test_sop_classes() -> None:
    @sop_classes(OWN, OTHER)
    def program(performing: Performing) -> Program[None]:
        yield from echo_scp(performing)

    assert program.sop_classes == (OWN, OTHER)  # type: ignore[attr-defined]
    assert [context.abstract_syntax for context in AE().add_scp(program).supported_contexts] == [OWN, OTHER]
    with pytest.raises(LocalProtocolError, match="yield from"):
        sop_classes(OWN)(lambda _: None)


# --- the services of the standard -------------------------------------------------------------------------------------


def all_replies(invoking: Invoking) -> Program[list[Reply]]:
    replies = []
    while (reply := (yield from invoking.next_reply())) is not None:
        replies.append(reply)
    return replies


def find(_: Any) -> Iterator[Any]:
    yield 0xFF00, dataset(PatientName="A")


def get(_: Any) -> Iterator[Any]:
    yield 1
    yield 0xFF00, ct()


def move(event: Any) -> Iterator[Any]:
    yield "127.0.0.1", int(event.move_destination)
    yield from get(event)


@pytest.fixture(scope="module")
def association() -> Iterator[Association]:
    """One with an archive, over which an SCU takes objects as well."""
    scp, scu = entity("SCP"), entity("SCU")
    scp.add_supported_context(ModalityWorklistInformationFind)
    scu.add_requested_context(ModalityWorklistInformationFind)
    store = (evt.EVT_C_STORE, lambda event: 0x0000 if event.dataset.Rows else 0xA700)
    handlers = [store, (evt.EVT_C_FIND, find), (evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move)]
    with serving(*handlers, ae=scp) as server, dial(server, store, ae=scu, ext_neg=[CT_ROLES]) as association:
        yield association


@table.rows(
    ("ask", "count"),
    {
        "verification_scu": (lambda peer, _: echo_scu(peer, message_id=1), 1),
        "storage_scu": (lambda peer, _: store_object_scu(peer, ct(), message_id=2), 1),
        "qr_find_scu, modality_work_list_scu": (lambda peer, _: all_replies(find_scu(peer, QUERY, FIND)), 2),
        "qr_get_scu": (lambda peer, _: all_replies(get_scu(peer, QUERY, GET)), 2),
        "qr_move_scu": (lambda peer, port: all_replies(move_scu(peer, QUERY, str(port), MOVE)), 2),
    },
)
def test_scu(association: Association, ask: Callable[..., Any], count: int) -> None:
    """Each is a program, or gives one, which the association runs; the last reply is Success."""

    def program() -> Program[list[Reply]]:
        result = yield from ask(association.peer, association.acceptor.port)
        return result if isinstance(result, list) else [result]

    replies = association.run(program())
    assert len(replies) == count
    assert replies[-1].response.status == 0x0000


def test_generators(association: Association) -> None:
    port = association.acceptor.port
    for results in (
        association.send_c_find(QUERY, FIND),
        association.send_c_find(QUERY, ModalityWorklistInformationFind),
        association.send_c_get(QUERY, GET),
        association.send_c_move(QUERY, str(port), MOVE),
    ):
        assert statuses(results) == [0xFF00, 0x0000]


@table.rows(
    ("uid", "program", "kind", "ask"),
    {
        "verification_scp": (Verification, echo_scp, CEchoRQ, lambda assoc: [(assoc.send_c_echo(), None)]),
        "storage_scp": (CTImageStorage, store_scp, CStoreRQ, lambda assoc: [(assoc.send_c_store(ct()), None)]),
        "qr_find_scp, modality_work_list_scp": (
            FIND,
            find_scp,
            CFindRQ,
            lambda assoc: assoc.send_c_find(QUERY, FIND),
        ),
        "qr_move_scp": (MOVE, move_scp, CMoveRQ, lambda assoc: assoc.send_c_move(QUERY, "THERE", MOVE)),
    },
)
def test_scp(uid: str, program: Any, kind: Any, ask: Callable[..., Any]) -> None:
    """Each performs what it is asked for by a handler, also from within a program of one's own."""
    begun: list[str] = []

    @sop_classes(uid)
    def own(performing: Performing) -> Program[None]:
        begun.append(performing.request.name)
        yield from program(performing)

    handlers = [
        (evt.EVT_C_STORE, lambda _: 0x0000),
        (evt.EVT_C_FIND, find),
        (evt.EVT_C_MOVE, lambda _: iter([(None, None)])),
    ]
    with serving(*handlers, ae=AE("SCP").add_scp(own)) as server, dial(server, ae=entity("SCU", uid)) as association:
        assert statuses(ask(association))[-1] == (0xA801 if program is move_scp else 0x0000)
    assert begun == [kind.name]
    assert SCP_PROGRAMS[kind] is program
    assert get_scp in SCP_PROGRAMS.values()


# --- storage commitment -----------------------------------------------------------------------------------------------


@table.row("StorageCommitment, on_commitment_request", "storage_commitment_scu", "on_commitment_response")
def test_storage_commitment() -> None:
    """The SCP, which keeps one of two instances, reports on the same association."""
    results: list[CommitmentResult] = []
    accepted: list[Any] = []
    commitments = Commitments(on_result=results.append)
    provider = CommitmentProvider(lambda request, _: accepted.append(request))
    references = [(CTImageStorage, "1.2.1"), (CTImageStorage, "1.2.2")]
    with serving(*provider.handlers()) as server, dial(server, *commitments.handlers()) as association:
        reply = association.run(request_commitment(association.peer, references, "1.2.3.4", commitments))
        assert reply.response.status == 0x0000
        (other,) = server.active_associations
        decision = decide(accepted[0], lambda reference: reference.sop_instance_uid == "1.2.1")
        other.run(report_commitment(other.peer, decision))
    (result,) = results
    assert result.transaction_uid == "1.2.3.4"
    assert list(result.committed) == [references[0]]
    assert result.failed == {references[1]: 0x0112}


def test_data_of_a_reply(association: Association) -> None:
    """Programs give what was received; who wants it decoded says so."""
    found, _ = association.run(all_replies(find_scu(association.peer, QUERY, FIND)))
    assert found.data is not None
    assert decode(found.data, found.context.transfer_syntax).PatientName == "A"
