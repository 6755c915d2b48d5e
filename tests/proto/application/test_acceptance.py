"""The answer to an association request: what the policy says, and every way in which handlers can have their say."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.application.acceptance import answer_request
from dicom_proto.application.access import Refusal, TLSState
from dicom_proto.dimse.connection import Connection
from dicom_proto.handlers.kinds import (
    EVT_ACCESS,
    EVT_ASYNC_OPS,
    EVT_SOP_COMMON,
    EVT_SOP_EXTENDED,
    EVT_USER_ID,
    EventKind,
)
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.items import SOPClassCommonExtendedNegotiation
from dicom_proto.programs.effects import Call
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    UserIdentity,
)
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ, encode_pdu
from dicom_proto.upper_layer.policy import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    NO_REASON_GIVEN,
    TEMPORARY_CONGESTION,
    USER_IDENTITY_REFUSED,
    Policy,
    Supported,
)
from tests.proto.programs.script import CT, IMPLICIT, MR, VERIFICATION, Script, offer_of
from tests.proto.rows import for_each

POLICY = Policy(supported={VERIFICATION: IMPLICIT, CT: IMPLICIT}, maximum_invoked=3, maximum_performed=2)
STORAGE, OTHER_SERVICE = "1.2.840.10008.4.2", "1.2.3.4"
PRIVATE = "1.2.3.5"
KERBEROS, USERNAME, PASSCODE = 3, 1, 2
Answer = AAssociateAC | Refusal


class Requestor:
    """Who asks, as far as a handler of ``EVT_ACCESS`` is told."""

    peer_address = ("192.0.2.7", 4711)

    def __init__(self, tls: TLSState | None = None) -> None:
        self.tls = tls


def asking(*contexts: str, **information: Any) -> AAssociateRQ:
    request = offer_of(*contexts or (VERIFICATION,))
    return evolve(request, user_information=evolve(request.user_information, **information))


def answered(
    request: AAssociateRQ, *bindings: Any, policy: Policy = POLICY, association: Any = "the association"
) -> Answer:
    """The answer, with all handlers called as a driver does; whatever it is, it can be sent."""
    program = answer_request(Peer(Connection(), Handlers(bindings), association), request, policy)
    step: Callable[[], Any] = lambda: program.send(None)  # noqa: E731 - the first of many
    while True:
        try:
            effect = step()
        except StopIteration as end:
            answer: Answer = end.value
            encode_pdu(answer.rejection if isinstance(answer, Refusal) else answer)
            return answer
        assert isinstance(effect, Call)
        try:
            result = effect.function(*effect.arguments)
        except Exception as error:  # noqa: BLE001 - it belongs to the program
            step = lambda error=error: program.throw(error)  # type: ignore[misc]  # noqa: E731
        else:
            step = lambda result=result: program.send(result)  # type: ignore[misc]  # noqa: E731


def accepted(*arguments: Any, **options: Any) -> AAssociateAC:
    answer = answered(*arguments, **options)
    assert isinstance(answer, AAssociateAC)
    return answer


def refused(*arguments: Any, **options: Any) -> Refusal:
    answer = answered(*arguments, **options)
    assert isinstance(answer, Refusal)
    return answer


def returning(kind: EventKind, result: Any, seen: list[Any] | None = None) -> tuple[Any, ...]:
    """A handler that returns something, or raises it, and keeps its event."""

    def handler(event: Any) -> Any:
        if seen is not None:
            seen.append(event)
        if isinstance(result, Exception):
            raise result
        return result

    return kind, handler


# --- the policy -------------------------------------------------------------------------------------------------------


def test_nothing_to_ask() -> None:
    handlers = [
        returning(kind, ZeroDivisionError()) for kind in (EVT_USER_ID, EVT_SOP_COMMON, EVT_SOP_EXTENDED, EVT_ASYNC_OPS)
    ]
    script = Script(
        answer_request(Peer(Connection(), Handlers(handlers)), asking(VERIFICATION, MR, operations_window=None), POLICY)
    )
    answer = script.end()
    assert isinstance(answer, AAssociateAC)
    assert [result.result for result in answer.context_results] == [0, 3]
    assert answer.user_information.operations_window is None


def test_policy_rejects_and_nobody_is_asked() -> None:
    seen: list[Any] = []
    policy = evolve(POLICY, called_ae_titles="OTHER")
    request = asking(identity=UserIdentity(USERNAME, b"me"))
    refusal = refused(request, returning(EVT_USER_ID, True, seen), policy=policy)
    assert (refusal.rejection, refusal.decided_by) == (CALLED_AE_TITLE_NOT_RECOGNIZED, "AE.require_called_aet")
    assert seen == []


def test_event_and_arguments() -> None:
    seen: list[Any] = []
    request = asking(identity=UserIdentity(USERNAME, b"me"))

    def handle(event: Any, more: str) -> bool:
        seen.append((event, more))
        return True

    accepted(request, (EVT_USER_ID, handle, ["more"]))
    ((event, more),) = seen
    assert (event.name, event.assoc, more) == ("EVT_USER_ID", "the association", "more")


# --- access -----------------------------------------------------------------------------------------------------------


def test_access_is_asked_for_before_all_else() -> None:
    seen: list[Any] = []
    request = asking(identity=UserIdentity(USERNAME, b"me"))
    tls = TLSState("TLSv1.3", "TLS_AES_256_GCM_SHA384", {"subject": ()}, b"der")
    handlers = [returning(EVT_USER_ID, True, seen), returning(EVT_ACCESS, True, seen)]
    assert isinstance(answered(request, *handlers, association=Requestor(tls)), AAssociateAC)
    event = seen[0]
    assert [one.name for one in seen] == ["EVT_ACCESS", "EVT_USER_ID"]
    assert (event.address, event.calling_ae_title, event.called_ae_title) == (
        Requestor.peer_address,
        "CALLING",
        "CALLED",
    )
    assert event.identity is request.user_information.identity
    assert (event.tls, event.certificate) == (tls, {"subject": ()})


@for_each(
    ("result", "rejection", "detail"),
    [
        (False, NO_REASON_GIVEN, "it has refused access"),
        (TEMPORARY_CONGESTION, TEMPORARY_CONGESTION, "it has refused access"),
        (AAssociateRJ(1, 1, 99), NO_REASON_GIVEN, "it has not decided"),
        (None, NO_REASON_GIVEN, "it has not decided"),
        (1, NO_REASON_GIVEN, "it has not decided"),
        (ZeroDivisionError(), NO_REASON_GIVEN, "it has not decided"),
    ],
)
def test_access_is_refused(result: Any, rejection: AAssociateRJ, detail: str) -> None:
    seen: list[Any] = []
    handlers = [returning(EVT_ACCESS, result, seen), returning(EVT_USER_ID, True, seen)]
    refusal = refused(asking(identity=UserIdentity(USERNAME, b"me")), *handlers, association=Requestor())
    assert refusal == Refusal(rejection, "the handler of EVT_ACCESS", detail)
    assert [event.certificate for event in seen] == [None]  # nobody is asked for the identity any more


@pytest.mark.parametrize("result", [False, None, ZeroDivisionError()])
def test_what_the_log_says_of_access(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    refused(asking(), returning(EVT_ACCESS, result), association=Requestor())
    said = {"False": [], "None": ["has to return True, False"]}.get(str(result), ["the handler of EVT_ACCESS raised"])
    assert all(words in caplog.text for words in said)
    assert bool(caplog.messages) is bool(said)


# --- user identity ----------------------------------------------------------------------------------------------------


@for_each(
    ("result", "response"),
    [
        ((True, b"ticket"), b"ticket"),
        ((True, None), b""),
        (True, b""),
    ],
)
def test_identity_is_accepted(result: Any, response: bytes | None) -> None:
    seen: list[Any] = []
    request = asking(identity=UserIdentity(KERBEROS, b"primary", b"", True))
    answer = accepted(request, returning(EVT_USER_ID, result, seen))
    assert answer.user_information.identity_response == response
    assert (seen[0].user_id_type, seen[0].primary_field, seen[0].secondary_field) == (KERBEROS, b"primary", None)


def test_response_that_nobody_asked_for_is_not_sent() -> None:
    request = asking(identity=UserIdentity(KERBEROS, b"primary"))
    assert accepted(request, returning(EVT_USER_ID, (True, b"ticket"))).user_information.identity_response is None


def test_passcode_is_shown_to_the_handler() -> None:
    seen: list[Any] = []
    accepted(
        asking(identity=UserIdentity(PASSCODE, b"me", b"secret", True)), returning(EVT_USER_ID, (True, None), seen)
    )
    assert seen[0].secondary_field == b"secret"


@pytest.mark.parametrize(
    "result", [False, (False, None), (False, b"why"), None, "nonsense", 1, (True, "text"), (True,), ZeroDivisionError()]
)
def test_identity_is_refused(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    request = asking(identity=UserIdentity(USERNAME, b"me"))
    refusal = refused(request, returning(EVT_USER_ID, result))
    assert (refusal.rejection, refusal.decided_by) == (USER_IDENTITY_REFUSED, "the handler of EVT_USER_ID")
    assert bool(caplog.records) == (result is not False and not (isinstance(result, tuple) and result[0] is False))


@for_each(("is_required", "answer"), [(False, AAssociateAC), (True, Refusal)])
def test_identity_that_nobody_looks_at(is_required: bool, answer: type[Answer]) -> None:
    request = asking(identity=UserIdentity(USERNAME, b"me", b"", True))
    assert isinstance(answered(request, policy=evolve(POLICY, identity_required=is_required)), answer)


@pytest.mark.parametrize(
    ("identity_type", "response"),
    [(USERNAME, b"there is none for a username"), (KERBEROS, bytes(0x10000))],
)
def test_response_that_cannot_be_sent(identity_type: int, response: bytes, caplog: pytest.LogCaptureFixture) -> None:
    request = asking(identity=UserIdentity(identity_type, b"me", b"", True), operations_window=OperationsWindow(9, 9))
    answer = accepted(request, returning(EVT_USER_ID, (True, response)), returning(EVT_ASYNC_OPS, (1, 1)))
    assert answer.user_information.identity_response == b""
    assert answer.user_information.operations_window == OperationsWindow(1, 1)
    assert "cannot be sent" in caplog.text


# --- SOP class extended negotiation -----------------------------------------------------------------------------------


@for_each(
    ("result", "expected"),
    [
        ({VERIFICATION: b"\1"}, [ExtendedNegotiation(VERIFICATION, b"\1")]),
        ({VERIFICATION: b"\1", CT: b"not asked for", MR: 5}, [ExtendedNegotiation(VERIFICATION, b"\1")]),
        ({VERIFICATION: "text"}, []),
        ({}, []),
        (None, []),
        ("nonsense", []),
        (ZeroDivisionError(), []),
        ({VERIFICATION: bytes(0x10000)}, []),  # does not fit
    ],
)
def test_extended_negotiation(result: Any, expected: list[ExtendedNegotiation]) -> None:
    seen: list[Any] = []
    request = asking(extended=(ExtendedNegotiation(VERIFICATION, b"\0"),))
    answer = accepted(request, returning(EVT_SOP_EXTENDED, result, seen))
    assert list(answer.user_information.extended) == expected
    assert seen[0].app_info == {VERIFICATION: b"\0"}


# --- asynchronous operations window -----------------------------------------------------------------------------------


@for_each(
    ("result", "expected"),
    [
        ((1, 4), (1, 4)),
        ((9, 9), (5, 6)),  # no more than was proposed
        (None, (2, 3)),  # the policy's
        ((1, -1), (2, 3)),
        ((0x10000, 1), (2, 3)),
        ((1, 2, 3), (2, 3)),
        ("nonsense", (2, 3)),
        (ZeroDivisionError(), (2, 3)),
    ],
)
def test_operations_window(result: Any, expected: tuple[int, int]) -> None:
    seen: list[Any] = []
    request = asking(operations_window=OperationsWindow(5, 6))
    answer = accepted(request, returning(EVT_ASYNC_OPS, result, seen))
    assert answer.user_information.operations_window == OperationsWindow(*expected)
    event = seen[0]
    assert (event.nr_invoked, event.nr_performed, event.invoked, event.performed) == (5, 6, 5, 6)


# --- SOP class common extended negotiation ----------------------------------------------------------------------------

RELATED = CommonExtendedNegotiation(PRIVATE, OTHER_SERVICE, (MR, CT))
OF_SERVICE = CommonExtendedNegotiation(PRIVATE, STORAGE)
UNKNOWN = CommonExtendedNegotiation(PRIVATE, OTHER_SERVICE, (MR,))
ITEM = SOPClassCommonExtendedNegotiation(
    sop_class_uid=PRIVATE, service_class_uid=OTHER_SERVICE, related_general_sop_class_identification=[CT]
)
TRUSTING = evolve(POLICY, related_general=True, service_classes={STORAGE: Supported(IMPLICIT)})


def is_accepted(declared: CommonExtendedNegotiation, result: Any, policy: Policy, seen: Any = None) -> bool:
    request = asking(PRIVATE, CT, common_extended=(declared,))
    answer = accepted(request, returning(EVT_SOP_COMMON, result, seen), policy=policy)
    assert answer.context_results[1].result == 0
    return answer.context_results[0].result == 0


def test_declarations_are_shown_to_the_handler() -> None:
    seen: list[Any] = []
    assert is_accepted(RELATED, None, TRUSTING, seen)
    assert seen[0].items == {PRIVATE: RELATED}


@for_each("item", [RELATED, ITEM])
@for_each("policy", [POLICY, TRUSTING])
def test_declaration_that_counts(policy: Policy, item: Any) -> None:
    assert is_accepted(RELATED, {PRIVATE: item}, policy)


def test_declared_service_class() -> None:
    assert is_accepted(OF_SERVICE, {PRIVATE: OF_SERVICE}, TRUSTING)
    assert not is_accepted(OF_SERVICE, {PRIVATE: OF_SERVICE}, POLICY)


@for_each("result", [{}, {PRIVATE: UNKNOWN}, {PRIVATE: "nonsense"}, {PRIVATE: SOPClassCommonExtendedNegotiation()}])
@for_each("policy", [POLICY, TRUSTING])
def test_declaration_that_does_not_count(policy: Policy, result: Mapping[str, Any]) -> None:
    assert not is_accepted(RELATED, result, policy)


@for_each("result", [None, "nonsense", ZeroDivisionError()])
def test_policy_decides_if_the_handler_does_not(result: Any) -> None:
    assert is_accepted(RELATED, result, TRUSTING)
    assert not is_accepted(RELATED, result, POLICY)


def test_what_is_supported_needs_no_declaration() -> None:
    policy = TRUSTING.supporting({PRIVATE: IMPLICIT})
    assert is_accepted(RELATED, {}, policy)


def test_declaration_of_what_is_no_uid() -> None:
    assert not is_accepted(evolve(RELATED, sop_class_uid="1.2.x"), {"1.2.x": RELATED}, TRUSTING)


def test_nobody_is_asked_about_declarations() -> None:
    request = asking(PRIVATE, common_extended=(RELATED,))
    assert accepted(request, policy=TRUSTING).context_results[0].result == 0
