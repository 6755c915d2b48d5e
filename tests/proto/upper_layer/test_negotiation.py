"""Making offers, and what comes of an offer and its answer."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import InvalidNameError, LocalProtocolError
from dicom_proto.names import APPLICATION_CONTEXT_NAME, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    PresentationContextResult,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicom_proto.upper_layer.negotiation import (
    DEFAULT_LOCAL_SIDE,
    AcceptedContext,
    Implementation,
    LocalSide,
    RejectedContext,
    agree,
    as_transfer_syntaxes,
    build_offer,
    clamp_window,
    without_default_transfer_syntax,
)
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ, decode_pdu, encode_pdu
from tests.proto.rows import for_each

CT, MR, FIND = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
ONE = [(CT, IMPLICIT)]


def offered(**fields: Any) -> AAssociateRQ:
    """An offer of two contexts, CT with two transfer syntaxes and MR with one, as it may come from a peer."""
    contexts = (ProposedContext(1, CT, (EXPLICIT, IMPLICIT)), ProposedContext(3, MR, (IMPLICIT,)))
    stated: dict[str, Any] = {"maximum_length": 16384, "implementation_class_uid": "1.2.3"}
    return AAssociateRQ(
        called_ae_title="SCP",
        calling_ae_title="SCU",
        presentation_contexts=contexts,
        user_information=UserInformation(**(stated | fields)),
    )


def answered(*results: ContextResult, **fields: Any) -> AAssociateAC:
    stated: dict[str, Any] = {"maximum_length": 32768, "implementation_class_uid": "1.2.4"}
    return AAssociateAC(
        context_results=results or (ContextResult(1, 0, EXPLICIT), ContextResult(3, 0, IMPLICIT)),
        user_information=UserInformation(**(stated | fields)),
    )


# What a side states about itself


def test_a_side_states_sane_things_by_default() -> None:
    assert LocalSide() == DEFAULT_LOCAL_SIDE
    assert DEFAULT_LOCAL_SIDE.maximum_length == 131072
    assert (DEFAULT_LOCAL_SIDE.maximum_invoked, DEFAULT_LOCAL_SIDE.maximum_performed) == (1, 1)
    assert DEFAULT_LOCAL_SIDE.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert DEFAULT_LOCAL_SIDE.implementation_version_name == IMPLEMENTATION_VERSION_NAME


@for_each(
    "wrong",
    [
        {"maximum_length": 7},
        {"maximum_length": -1},
        {"maximum_length": 1 << 32},
        {"maximum_invoked": -1},
        {"maximum_performed": 1 << 16},
        {"implementation_class_uid": "1.02"},
        {"implementation_version_name": "far too long a name"},
    ],
)
def test_a_side_cannot_state_what_cannot_be_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        LocalSide(**wrong)


# Offers


def test_an_offer_numbers_its_contexts_and_keeps_their_order() -> None:
    offer = build_offer(" SCP ", "SCU", [(CT, [EXPLICIT, IMPLICIT, EXPLICIT]), (MR, IMPLICIT), (CT, (DEFLATED,))])
    assert offer.called_ae_title == "SCP"
    assert offer.calling_ae_title == "SCU"
    assert offer.application_context_name == APPLICATION_CONTEXT_NAME
    assert offer.protocol_version == 1
    assert offer.presentation_contexts == (
        ProposedContext(1, CT, (EXPLICIT, IMPLICIT)),
        ProposedContext(3, MR, (IMPLICIT,)),
        ProposedContext(5, CT, (DEFLATED,)),
    )
    assert offer.user_information == UserInformation(
        maximum_length=131072,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )


def test_an_offer_carries_all_that_a_requestor_wants() -> None:
    role = RoleSelection(CT, scu=False, scp=True)
    common = CommonExtendedNegotiation(CT, "1.2.840.10008.4.2")
    identity = UserIdentity(1, b"me")
    offer = build_offer(
        "SCP",
        "SCU",
        ONE,
        roles=[role],
        extended={CT: b"\2\0"},
        common_extended=[common],
        identity=identity,
        local=LocalSide(
            maximum_length=0,
            maximum_invoked=3,
            maximum_performed=1,
            implementation_class_uid="1.2.3",
            implementation_version_name=None,
        ),
    )
    assert offer.user_information == UserInformation(
        maximum_length=0,
        implementation_class_uid="1.2.3",
        operations_window=OperationsWindow(3, 1),
        roles=(role,),
        extended=(ExtendedNegotiation(CT, b"\2\0"),),
        common_extended=(common,),
        identity=identity,
    )
    encoded = encode_pdu(offer)
    assert decode_pdu(encoded[0], encoded[6:]) == offer


def test_an_offer_has_1_to_128_contexts() -> None:
    offer = build_offer("SCP", "SCU", ONE * 128)
    assert [context.context_id for context in offer.presentation_contexts] == list(range(1, 256, 2))
    for count in (0, 129):
        with pytest.raises(LocalProtocolError, match=f"^{count} presentation contexts, an offer has 1 to 128"):
            build_offer("SCP", "SCU", ONE * count)


@for_each(
    ("wrong", "message"),
    [
        ({"called_ae_title": ""}, "not an AE title"),
        ({"calling_ae_title": "A\\B"}, "not an AE title"),
        ({"contexts": [("1.02", IMPLICIT)]}, "not a UID"),
        ({"contexts": [(CT, "x")]}, "not a UID"),
        ({"contexts": [(CT, [])]}, "without a transfer syntax"),
        ({"roles": [RoleSelection(MR, scu=False, scp=True)]}, "RoleSelection for '.*', which no presentation context"),
        ({"extended": {MR: b""}}, "ExtendedNegotiation for '.*', which no presentation context"),
        ({"common_extended": [CommonExtendedNegotiation(MR, "1.2")]}, "CommonExtendedNegotiation for '.*', which no"),
        ({"roles": [RoleSelection(CT, scu=False, scp=False)]}, "neither the SCU nor the SCP role"),
        ({"roles": [RoleSelection(CT, scu=True, scp=True)] * 2}, "same SOP class"),
        ({"identity": UserIdentity(6, b"")}, "user identity type"),
    ],
)
def test_an_offer_that_may_not_be_sent_is_refused(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"called_ae_title": "SCP", "calling_ae_title": "SCU", "contexts": ONE}
    with pytest.raises(LocalProtocolError, match=message):
        build_offer(**(right | wrong))


def test_transfer_syntaxes_are_given_as_one_or_several() -> None:
    assert as_transfer_syntaxes(IMPLICIT) == (IMPLICIT,)
    assert as_transfer_syntaxes(iter([EXPLICIT, IMPLICIT, EXPLICIT])) == (EXPLICIT, IMPLICIT)
    with pytest.raises(InvalidNameError):
        as_transfer_syntaxes("")


def test_advice_on_the_default_transfer_syntax() -> None:
    offer = build_offer("SCP", "SCU", [(CT, EXPLICIT), (CT, IMPLICIT), (MR, EXPLICIT), (FIND, [EXPLICIT, IMPLICIT])])
    assert without_default_transfer_syntax(offer) == (MR,)


# Agreement: presentation contexts


def test_contexts_are_accepted_and_rejected() -> None:
    agreement = agree(offered(), answered(ContextResult(3, 4), ContextResult(1, 0, IMPLICIT)))
    assert agreement.contexts == {1: AcceptedContext(1, CT, IMPLICIT)}
    assert agreement.rejected == {3: RejectedContext(3, MR, (IMPLICIT,), 4)}
    assert agreement.faults == ()


@for_each("result", [*PresentationContextResult, 5, 255])
def test_every_result_of_a_context(result: int) -> None:
    agreement = agree(offered(), answered(ContextResult(1, result, EXPLICIT), ContextResult(3, 0, IMPLICIT)))
    assert list(agreement.contexts) == [3] if result else [1, 3]
    assert [context.result for context in agreement.rejected.values()] == ([result] if result else [])
    assert agreement.faults == ()


def test_a_context_without_an_answer_is_rejected_without_a_reason() -> None:
    agreement = agree(offered(), answered(ContextResult(1, 0, EXPLICIT)))
    assert agreement.rejected == {3: RejectedContext(3, MR, (IMPLICIT,), PresentationContextResult.NO_REASON)}
    assert agreement.faults == ("presentation context 3 is not answered",)


def test_an_answer_to_a_context_that_was_not_proposed_is_ignored() -> None:
    results = ContextResult(1, 0, EXPLICIT), ContextResult(3, 0, IMPLICIT), ContextResult(5, 0, IMPLICIT)
    agreement = agree(offered(), answered(*results))
    assert set(agreement.contexts) == {1, 3}
    assert agreement.faults == ("presentation context 5 is answered, which was not proposed",)


@for_each("transfer_syntax", [DEFLATED, None])
def test_a_transfer_syntax_that_was_not_proposed_is_not_accepted(transfer_syntax: str | None) -> None:
    agreement = agree(offered(), answered(ContextResult(1, 0, IMPLICIT), ContextResult(3, 0, transfer_syntax)))
    assert set(agreement.contexts) == {1}
    assert agreement.rejected[3].result == PresentationContextResult.NO_REASON
    (fault,) = agreement.faults
    assert fault == f"presentation context 3 is accepted with {transfer_syntax!r}, which it does not propose"


# Agreement: roles. Each row: proposed and answered as (SCU, SCP), and what the requestor is (the acceptor: the reverse)

ROLES = [
    (None, None, (True, False)),
    (None, (1, 1), (True, False)),
    (None, (0, 1), (True, False)),
    (None, (0, 0), (True, False)),
    ((1, 0), None, (True, False)),
    ((0, 1), None, (True, False)),
    ((1, 1), None, (True, False)),
    ((0, 0), None, (True, False)),
    ((1, 0), (1, 0), (True, False)),
    ((1, 0), (0, 0), (False, False)),
    ((0, 1), (0, 1), (False, True)),
    ((0, 1), (0, 0), (False, False)),
    ((1, 1), (1, 1), (True, True)),
    ((1, 1), (1, 0), (True, False)),
    ((1, 1), (0, 1), (False, True)),
    ((1, 1), (0, 0), (False, False)),
    ((0, 0), (0, 0), (False, False)),
    # An answer of 1 where 0 was proposed is ignored.
    ((1, 0), (1, 1), (True, False)),
    ((1, 0), (0, 1), (False, False)),
    ((0, 1), (1, 1), (False, True)),
    ((0, 1), (1, 0), (False, False)),
    ((0, 0), (1, 1), (False, False)),
    ((0, 0), (1, 0), (False, False)),
    ((0, 0), (0, 1), (False, False)),
]


def roles_of(pair: tuple[int, int] | None) -> tuple[RoleSelection, ...]:
    return () if pair is None else (RoleSelection(CT, bool(pair[0]), bool(pair[1])),)


@for_each(("proposed", "answer", "outcome"), ROLES)
def test_every_combination_of_roles(
    proposed: tuple[int, int] | None, answer: tuple[int, int] | None, outcome: tuple[bool, bool]
) -> None:
    offer = offered(roles=roles_of(proposed))
    offer = evolve(offer, presentation_contexts=(*offer.presentation_contexts, ProposedContext(5, CT, (DEFLATED,))))
    results = ContextResult(1, 0, EXPLICIT), ContextResult(3, 0, IMPLICIT), ContextResult(5, 0, DEFLATED)
    agreement = agree(offer, answered(*results, roles=roles_of(answer)))
    for context_id in (1, 5):  # every context of the abstract syntax
        context = agreement.contexts[context_id]
        assert (context.requestor_is_scu, context.requestor_is_scp) == outcome
        assert (context.acceptor_is_scp, context.acceptor_is_scu) == outcome
    assert agreement.contexts[3] == AcceptedContext(3, MR, IMPLICIT)
    assert agreement.roles == ({} if proposed is None else {CT: RoleSelection(CT, *outcome)})
    broken = answer is not None and (proposed is None or answer[0] > proposed[0] or answer[1] > proposed[1])
    assert len(agreement.faults) == broken


# Agreement: operations window, as (invoked, performed)

WINDOWS = [
    (None, None, (1, 1), False),
    (None, (5, 5), (1, 1), True),
    ((5, 5), None, (1, 1), False),
    ((5, 3), (5, 3), (5, 3), False),
    ((5, 3), (1, 1), (1, 1), False),
    ((5, 3), (6, 1), (5, 1), True),
    ((5, 3), (1, 4), (1, 3), True),
    ((5, 3), (0, 0), (5, 3), True),
    ((0, 0), (0, 0), (0, 0), False),
    ((0, 0), (7, 0), (7, 0), False),
    ((0, 1), (0, 1), (0, 1), False),
    ((1, 1), (1, 1), (1, 1), False),
]


@for_each(("proposed", "answer", "outcome", "broken"), WINDOWS)
def test_every_combination_of_operations_windows(
    proposed: tuple[int, int] | None, answer: tuple[int, int] | None, outcome: tuple[int, int], broken: bool
) -> None:
    agreement = agree(
        offered(operations_window=proposed and OperationsWindow(*proposed)),
        answered(operations_window=answer and OperationsWindow(*answer)),
    )
    assert (agreement.requestor_window, agreement.acceptor_window) == outcome
    assert len(agreement.faults) == broken


def test_windows_are_clamped_with_0_as_unlimited() -> None:
    assert clamp_window(OperationsWindow(0, 2), OperationsWindow(4, 0)) == OperationsWindow(4, 2)
    assert clamp_window(OperationsWindow(0, 9), OperationsWindow(0, 3)) == OperationsWindow(0, 3)


# Agreement: the rest


@for_each(("stated", "agreed"), [(None, 0), (0, 0), (16384, 16384)])
def test_each_side_has_its_own_maximum_length(stated: int | None, agreed: int) -> None:
    agreement = agree(offered(maximum_length=stated), answered())
    assert (agreement.requestor_maximum_length, agreement.acceptor_maximum_length) == (agreed, 32768)
    agreement = agree(offered(), answered(maximum_length=stated))
    assert (agreement.requestor_maximum_length, agreement.acceptor_maximum_length) == (16384, agreed)


def test_what_the_implementations_are() -> None:
    answer = evolve(
        answered(implementation_class_uid=None, implementation_version_name="V"), application_context_name="1.2"
    )
    agreement = agree(offered(), answer)
    assert agreement.requestor_implementation == Implementation("1.2.3", None)
    assert agreement.acceptor_implementation == Implementation(None, "V")
    assert agreement.application_context_name == "1.2"


def test_extended_negotiation_is_answered_for_what_was_offered() -> None:
    offer = offered(extended=(ExtendedNegotiation(CT, b"\1"),))
    agreement = agree(offer, answered(extended=(ExtendedNegotiation(CT, b"\0"), ExtendedNegotiation(MR, b"\1"))))
    assert agreement.extended == {CT: b"\0"}
    assert agreement.faults == (f"extended negotiation is answered for {MR!r}, which did not offer any",)


@for_each("uid", ["1" * 64, "1" * 65, "\n" * 60_000])
def test_a_fault_quotes_no_more_of_a_peer_than_a_uid_has(uid: str) -> None:
    quoted = repr(uid) if len(uid) == 64 else f"{uid[:64]!r}..."
    roles = (RoleSelection(uid, scu=True, scp=True),)
    answer = answered(ContextResult(1, 0, uid), roles=roles, extended=(ExtendedNegotiation(uid, b"\1"),))
    faults = agree(offered(), answer).faults
    assert [fault for fault in faults if quoted not in fault] == ["presentation context 3 is not answered"]
    assert len(faults) == 4
    assert all(fault.isprintable() and len(fault) < 300 for fault in faults)


@for_each(
    ("identity", "response", "agreed"),
    [
        (None, None, None),
        (None, b"", None),
        (UserIdentity(1, b"me"), b"", None),
        (UserIdentity(1, b"me", positive_response_requested=True), None, None),
        (UserIdentity(1, b"me", positive_response_requested=True), b"", b""),
        (UserIdentity(3, b"ticket", positive_response_requested=True), b"back", b"back"),
    ],
)
def test_user_identity_is_answered_when_that_was_requested(
    identity: UserIdentity | None, response: bytes | None, agreed: bytes | None
) -> None:
    agreement = agree(offered(identity=identity), answered(identity_response=response))
    assert agreement.identity_response == agreed
    assert len(agreement.faults) == (response is not None and agreed is None)
    assert "back" not in repr(agreement)


# Random offers and answers, of few names so that they often meet

uids = st.sampled_from([CT, MR, FIND, "1.02", ""])
sub_items: dict[str, st.SearchStrategy[Any]] = {
    "operations_window": st.none() | st.builds(OperationsWindow, st.integers(0, 3), st.integers(0, 3)),
    "roles": st.lists(st.builds(RoleSelection, uids, st.booleans(), st.booleans()), max_size=3).map(tuple),
    "extended": st.lists(st.builds(ExtendedNegotiation, uids, st.binary(max_size=2)), max_size=3).map(tuple),
}
any_offer = st.builds(
    offered,
    identity=st.none() | st.builds(UserIdentity, st.just(1), st.just(b"me"), st.just(b""), st.booleans()),
    **sub_items,
)
any_result = st.builds(
    ContextResult, st.integers(0, 5), st.integers(0, 5), st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED, None])
)
any_answer = st.builds(answered, any_result, any_result, identity_response=st.none() | st.just(b""), **sub_items)


@given(any_offer, any_answer)
def test_any_answer_to_any_offer_gives_an_agreement_on_every_context(offer: AAssociateRQ, answer: AAssociateAC) -> None:
    agreement = agree(offer, answer)
    assert sorted([*agreement.contexts, *agreement.rejected]) == [1, 3]
    for context in agreement.contexts.values():
        proposed = next(other for other in offer.presentation_contexts if other.context_id == context.context_id)
        assert context.abstract_syntax == proposed.abstract_syntax
        assert context.transfer_syntax in proposed.transfer_syntaxes
    window = offer.user_information.operations_window or OperationsWindow(1, 1)
    assert clamp_window(window, OperationsWindow(agreement.requestor_window, agreement.acceptor_window)) == (
        OperationsWindow(agreement.requestor_window, agreement.acceptor_window)
    )
    assert agreement.roles.keys() == {role.sop_class_uid for role in offer.user_information.roles}


def test_what_is_offered_and_agreed_again_is_not_worked_out_again() -> None:
    def offered(title: str) -> AAssociateRQ:
        return build_offer(title, "SCU", [(CT, [EXPLICIT])])

    offer = offered("AGAIN")
    assert offered("AGAIN") is offer
    assert offered("OTHER").called_ae_title == "OTHER"
    answer = answered(ContextResult(1, 0, EXPLICIT))
    assert agree(offer, answer) is agree(offer, answer)
    assert agree(offered("OTHER"), answer) is not agree(offer, answer)


def test_what_follows_a_user_identity_is_worked_out_for_each() -> None:
    """Nothing of it is kept: neither what was said nor what was answered."""
    offer, identity = offered(), UserIdentity(1, b"somebody", positive_response_requested=True)
    answer = answered(identity_response=b"")
    for one, other in ((offered(identity=identity), answered()), (offer, answer)):
        assert agree(one, other) == agree(one, other)
        assert agree(one, other) is not agree(one, other)
