"""What is known of either side of an association, and when."""

from typing import Any

from dicom_proto.application.service_user import NOWHERE, ServiceUser, acceptor_of, requestor_of
from dicom_proto.dimse.connection import Connection
from dicom_proto.testing.pair import answer, drain, exchange, offer, sent
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicom_proto.upper_layer.negotiation import LocalSide, build_offer
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ, encode_pdu
from tests.proto.programs.script import CT, EXPLICIT, IMPLICIT, MR
from tests.proto.rows import for_each

HERE, THERE = ("127.0.0.1", 50000), ("::1", 104)
LOCAL = LocalSide(maximum_length=30000, implementation_class_uid="1.2.9", implementation_version_name="LOCAL")
ROLE = RoleSelection(CT, scu=True, scp=True)
COMMON = CommonExtendedNegotiation(MR, "1.2.840.10008.4.2", (CT,))
IDENTITY = UserIdentity(2, b"user", b"secret", positive_response_requested=True)


def full_offer() -> AAssociateRQ:
    return build_offer(
        "ARCHIVE",
        "SCANNER",
        [(CT, (EXPLICIT, IMPLICIT)), (MR, IMPLICIT)],
        roles=[ROLE],
        extended={CT: b"\1\2"},
        common_extended=[COMMON],
        identity=IDENTITY,
        local=LocalSide(
            maximum_length=20000,
            maximum_invoked=3,
            maximum_performed=0,
            implementation_class_uid="1.2.3",
            implementation_version_name="OFFERS",
        ),
    )


def full_answer() -> AAssociateAC:
    return AAssociateAC(
        context_results=(ContextResult(1, 0, IMPLICIT), ContextResult(3, 4)),
        user_information=UserInformation(
            maximum_length=10000,
            implementation_class_uid="1.2.4",
            implementation_version_name="ANSWERS",
            operations_window=OperationsWindow(2, 5),
            roles=(RoleSelection(CT, scu=True, scp=False),),
            extended=(ExtendedNegotiation(CT, b"\1"),),
            identity_response=b"ticket",
        ),
    )


def requested(request: AAssociateRQ) -> tuple[Connection, Connection]:
    """A requestor, and an acceptor that has not answered."""
    one, other = Connection(), Connection()
    one.request(request)
    for end in (one, other):
        end.connection_made(now=0)
    other.receive_data(sent(one), now=0)
    drain(other)
    return one, other


def established() -> tuple[Connection, Connection]:
    one, other = requested(full_offer())
    other.accept(full_answer())
    exchange(one, other)
    return one, other


def named(mode: Any, ae_title: str, address: tuple[str, int], **more: Any) -> ServiceUser:
    stated: dict[str, Any] = {
        "maximum_length": 0,
        "implementation_class_uid": None,
        "implementation_version_name": None,
        "requested_contexts": [],
    }
    return ServiceUser(mode=mode, ae_title=ae_title, address=address[0], port=address[1], **stated | more)


def own() -> dict[str, Any]:
    """What an acceptor is going to say, and was not asked to be yet."""
    return {
        "maximum_length": 30000,
        "implementation_class_uid": "1.2.9",
        "implementation_version_name": "LOCAL",
    }


@for_each("side", [0, 1])
def test_what_the_requestor_has_said(side: int) -> None:
    requestor = requestor_of(established()[side], HERE)
    assert (requestor.mode, requestor.ae_title) == ("requestor", "SCANNER")
    assert (requestor.address, requestor.port) == HERE
    assert requestor.maximum_length == 20000
    assert (requestor.implementation_class_uid, requestor.implementation_version_name) == ("1.2.3", "OFFERS")
    assert [
        (context.context_id, context.abstract_syntax, context.transfer_syntax)
        for context in requestor.requested_contexts
    ] == [(1, CT, [EXPLICIT, IMPLICIT]), (3, MR, [IMPLICIT])]
    assert requestor.role_selection == {CT: ROLE}
    assert requestor.sop_class_extended == {CT: b"\1\2"}
    assert requestor.sop_class_common_extended == {MR: COMMON}
    assert requestor.asynchronous_operations == (3, 0)
    assert requestor.user_identity == IDENTITY
    assert isinstance(requestor.primitive, AAssociateRQ)
    assert requestor.implementation_class_uid is not None
    assert requestor.implementation_class_uid.is_valid


ANSWER = AAssociateRJ(1, 1, 7)


@for_each("side", [0, 1])
def test_what_the_acceptor_has_said(side: int) -> None:
    acceptor = acceptor_of(established()[side], LOCAL, "OWN", THERE, ANSWER)
    assert (acceptor.mode, acceptor.ae_title) == ("acceptor", ["ARCHIVE", "OWN"][side])
    assert acceptor.primitive is ANSWER
    assert (acceptor.address, acceptor.port) == THERE
    assert acceptor.maximum_length == 10000
    assert (acceptor.implementation_class_uid, acceptor.implementation_version_name) == ("1.2.4", "ANSWERS")
    assert acceptor.requested_contexts == []
    assert acceptor.role_selection == {CT: RoleSelection(CT, scu=True, scp=False)}
    assert acceptor.sop_class_extended == {CT: b"\1"}
    assert acceptor.sop_class_common_extended == {}
    assert acceptor.asynchronous_operations == (2, 5)
    assert acceptor.user_identity == b"ticket"


def without_maximum_length(pdu: bytes) -> bytes:
    """An A-ASSOCIATE-RQ without the first item of its user information, as tolerant peers take it."""
    item = pdu.index(b"\x51\0\0\4")
    length, inner = int.from_bytes(pdu[2:6], "big"), int.from_bytes(pdu[item - 2 : item], "big")
    head = pdu[:2] + (length - 8).to_bytes(4, "big") + pdu[6 : item - 2]
    return head + (inner - 8).to_bytes(2, "big") + pdu[item + 8 :]


def test_what_need_not_be_said() -> None:
    connection = Connection()
    connection.connection_made(now=0)
    connection.receive_data(without_maximum_length(encode_pdu(offer())), now=0)
    drain(connection)
    connection.accept(answer(offer()))
    requestor, acceptor = requestor_of(connection, HERE), acceptor_of(connection, LOCAL, "UNUSED", THERE)
    assert (requestor.maximum_length, acceptor.maximum_length) == (0, 16384)
    for one, uid in ((requestor, "1.2.3"), (acceptor, "1.2.4")):
        assert (one.implementation_class_uid, one.implementation_version_name) == (uid, None)
        assert (one.role_selection, one.sop_class_extended, one.user_identity) == ({}, {}, None)
        assert one.asynchronous_operations == (1, 1)


def test_before_anything_is_said() -> None:
    """How it looks to an acceptor: it knows itself, and of the other where it is."""
    connection = Connection()
    assert requestor_of(connection, HERE) == named("requestor", "", HERE)
    assert acceptor_of(connection, LOCAL, "OWN", NOWHERE) == named("acceptor", "OWN", ("", 0), **own())


def test_between_request_and_answer() -> None:
    one, other = requested(full_offer())
    for end in (one, other):
        assert requestor_of(end, HERE).ae_title == "SCANNER"
    assert acceptor_of(one, LOCAL, "OWN", THERE) == named("acceptor", "ARCHIVE", THERE)
    assert acceptor_of(other, LOCAL, "OWN", THERE) == named("acceptor", "OWN", THERE, **own())


def test_an_acceptor_that_has_rejected_has_said_nothing_of_itself() -> None:
    one, other = requested(full_offer())
    other.reject(AAssociateRJ(1, 1, 1))
    exchange(one, other)
    assert acceptor_of(one, LOCAL, "OWN", THERE) == named("acceptor", "ARCHIVE", THERE)
    assert acceptor_of(one, LOCAL, "OWN", THERE, ANSWER).primitive is ANSWER


def test_what_is_shown_of_a_side() -> None:
    one, _ = established()
    requestor = requestor_of(one, HERE)
    assert (requestor.is_requestor, requestor.is_acceptor) == (True, False)
    acceptor = acceptor_of(one, LOCAL, "OWN", THERE)
    assert (acceptor.is_requestor, acceptor.is_acceptor) == (False, True)
    assert repr(requestor) == "<requestor 'SCANNER' at 127.0.0.1:50000>"
    assert requestor.info == {
        "mode": "requestor",
        "ae_title": "SCANNER",
        "address": "127.0.0.1",
        "port": 50000,
        "pdv_size": 20000,
    }
