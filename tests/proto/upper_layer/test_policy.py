"""What an acceptor makes of an offer."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import Tolerance
from dicom_proto.names import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_proto.upper_layer import policy as policies
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
from dicom_proto.upper_layer.negotiation import AcceptedContext, Agreement, LocalSide, agree, build_offer
from dicom_proto.upper_layer.pdu import PDU, AAssociateAC, AAssociateRJ, AAssociateRQ, decode_pdu, encode_pdu
from dicom_proto.upper_layer.policy import Policy, Review, Supported, review
from tests.proto.rows import for_each

CT, MR, FIND = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.2.2.1"
PRIVATE, STORAGE = "1.2.3.4", "1.2.840.10008.4.2"
IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
CT_ONLY = Policy(supported={CT: [EXPLICIT, IMPLICIT]})


def offered(*contexts: ProposedContext, called: str = "SCP", calling: str = "SCU", **fields: Any) -> AAssociateRQ:
    return AAssociateRQ(
        called_ae_title=called,
        calling_ae_title=calling,
        presentation_contexts=contexts or (ProposedContext(1, CT, (IMPLICIT, EXPLICIT)),),
        user_information=UserInformation(maximum_length=16384, implementation_class_uid="1.2.3", **fields),
    )


def reviewed(offer: AAssociateRQ, policy: Policy = CT_ONLY) -> Review:
    result = review(offer, policy)
    assert isinstance(result, Review)
    return result


def accepted(result: Review, **opinions: Any) -> AAssociateAC:
    answer = result.answer(**opinions)
    assert isinstance(answer, AAssociateAC)
    encode_pdu(answer)
    return answer


def over_the_wire(pdu: AAssociateRQ | AAssociateAC) -> PDU:
    encoded = encode_pdu(pdu)
    return decode_pdu(encoded[0], encoded[6:])


def agreed(offer: AAssociateRQ, policy: Policy = CT_ONLY, **opinions: Any) -> Agreement:
    agreement = agree(offer, accepted(reviewed(offer, policy), **opinions))
    assert agreement.faults == ()
    return agreement


# The policy


def test_support_is_given_by_its_transfer_syntaxes_alone() -> None:
    policy = Policy(
        supported={CT: EXPLICIT, MR: (EXPLICIT, IMPLICIT), FIND: Supported(IMPLICIT), PRIVATE: None},
        service_classes={STORAGE: IMPLICIT},
        unrestricted=[IMPLICIT],
    )
    assert policy.supported == {
        CT: Supported([EXPLICIT]),
        MR: Supported([EXPLICIT, IMPLICIT]),
        FIND: Supported([IMPLICIT]),
        PRIVATE: None,
    }
    assert policy.service_classes == {STORAGE: Supported(IMPLICIT)}
    assert policy.unrestricted == Supported(IMPLICIT)


def test_names_are_given_as_one_or_several() -> None:
    policy = Policy(supported={}, called_ae_titles=" A ", calling_ae_titles=["B", "C"], unrestricted_except=CT)
    assert policy.called_ae_titles == {"A"}
    assert policy.calling_ae_titles == {"B", "C"}
    assert policy.unrestricted_except == {CT}
    assert Policy(supported={}, called_ae_titles=None, unrestricted_except=[CT, MR]).called_ae_titles == frozenset()


@for_each(
    ("wrong", "message"),
    [
        ({"supported": {"CT": IMPLICIT}}, "'CT' is not a UID"),
        ({"supported": {CT: "1.02"}}, "'1.02' is not a UID"),
        ({"supported": {CT: ()}}, "without a transfer syntax"),
        ({"service_classes": {"storage": IMPLICIT}}, "'storage' is not a UID"),
        ({"unrestricted": "implicit"}, "'implicit' is not a UID"),
        ({"unrestricted_except": ["x"]}, "'x' is not a UID"),
        ({"called_ae_titles": ""}, "not an AE title"),
        ({"calling_ae_titles": ["A\\B"]}, "not an AE title"),
        ({"maximum_length": 5}, "maximum length 5"),
        ({"maximum_performed": -1}, "number of operations -1"),
    ],
)
def test_a_policy_that_cannot_be_right_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        Policy(**({"supported": {}} | wrong))


@for_each("scp_role", [False, None])
def test_support_leaves_the_requestor_a_role(scp_role: bool | None) -> None:
    with pytest.raises(LocalProtocolError, match="neither SCU nor SCP"):
        Supported(IMPLICIT, scu_role=False, scp_role=scp_role)


# Rejections

NOBODY = Tolerance(blank_ae_titles=False)
IDENTITY = UserIdentity(2, b"me", b"secret", positive_response_requested=True)


@for_each(
    ("offer", "settings_", "rejection"),
    [
        (evolve(offered(), protocol_version=2), {}, (1, 2, 2)),
        (evolve(offered(), protocol_version=0), {}, (1, 2, 2)),
        (evolve(offered(), application_context_name="1.2.840.10008.3.1.1.2"), {}, (1, 1, 2)),
        (offered(called="OTHER"), {"called_ae_titles": "SCP"}, (1, 1, 7)),
        (offered(called="scp"), {"called_ae_titles": ["SCP"]}, (1, 1, 7)),
        (offered(called=""), {"called_ae_titles": ["SCP"]}, (1, 1, 7)),
        (offered(called=""), {"tolerance": NOBODY}, (1, 1, 7)),
        (offered(calling="OTHER"), {"calling_ae_titles": ["SCU", "SCU2"]}, (1, 1, 3)),
        (offered(calling=""), {"tolerance": NOBODY}, (1, 1, 3)),
        (offered(), {"identity_required": True}, (1, 2, 1)),
        # The first that applies counts.
        (evolve(offered(called="X", calling="X"), protocol_version=0), {"called_ae_titles": "SCP"}, (1, 2, 2)),
        (offered(called="X", calling="X"), {"called_ae_titles": "SCP", "calling_ae_titles": "SCU"}, (1, 1, 7)),
    ],
)
def test_what_a_policy_rejects(offer: AAssociateRQ, settings_: dict[str, Any], rejection: tuple[int, int, int]) -> None:
    result = review(offer, Policy(supported={CT: IMPLICIT}, **settings_))
    assert result == AAssociateRJ(*rejection)


@for_each(
    ("offer", "settings_"),
    [
        (evolve(offered(), protocol_version=3), {}),
        (evolve(offered(), protocol_version=0xFFFF), {}),
        (offered(called="", calling=""), {}),
        (offered(called=" SCP ", calling="SCU   "), {"called_ae_titles": "SCP", "calling_ae_titles": ["SCU"]}),
        (offered(called="Ä"), {}),
        (offered(identity=IDENTITY), {"identity_required": True}),
        (offered(ProposedContext(1, MR, (IMPLICIT,))), {}),  # nothing is accepted, the association is
    ],
)
def test_what_a_policy_does_not_reject(offer: AAssociateRQ, settings_: dict[str, Any]) -> None:
    assert isinstance(review(offer, Policy(supported={CT: IMPLICIT}, **settings_)), Review)


def test_every_rejection_has_a_name() -> None:
    rejections = {
        name: (value.result, value.source, value.reason)
        for name in policies.__all__
        if isinstance(value := getattr(policies, name), AAssociateRJ)
    }
    assert rejections == {
        "NO_REASON_GIVEN": (1, 1, 1),
        "APPLICATION_CONTEXT_NAME_NOT_SUPPORTED": (1, 1, 2),
        "CALLING_AE_TITLE_NOT_RECOGNIZED": (1, 1, 3),
        "CALLED_AE_TITLE_NOT_RECOGNIZED": (1, 1, 7),
        "USER_IDENTITY_REFUSED": (1, 2, 1),
        "PROTOCOL_VERSION_NOT_SUPPORTED": (1, 2, 2),
        "TEMPORARY_CONGESTION": (2, 3, 1),
        "LOCAL_LIMIT_EXCEEDED": (2, 3, 2),
    }


@for_each(
    "rejection",
    [policies.NO_REASON_GIVEN, policies.TEMPORARY_CONGESTION, policies.LOCAL_LIMIT_EXCEEDED, AAssociateRJ(2, 1, 1)],
)
def test_the_application_may_reject_by_itself(rejection: AAssociateRJ) -> None:
    assert reviewed(offered()).answer(rejection=rejection) is rejection


# Presentation contexts


def test_results_of_contexts() -> None:
    offer = offered(
        ProposedContext(1, CT, (DEFLATED, IMPLICIT)),
        ProposedContext(2, CT, (IMPLICIT,)),
        ProposedContext(0, CT, (IMPLICIT,)),
        ProposedContext(3, CT, (DEFLATED,)),
        ProposedContext(5, MR, (IMPLICIT,)),
        ProposedContext(7, CT, ("1.02", EXPLICIT)),
        ProposedContext(9, "not a UID", ("nor this",)),
    )
    answer = accepted(reviewed(offer))
    assert answer.context_results == (
        ContextResult(1, PresentationContextResult.ACCEPTANCE, IMPLICIT),
        ContextResult(2, PresentationContextResult.USER_REJECTION, IMPLICIT),
        ContextResult(0, PresentationContextResult.USER_REJECTION, IMPLICIT),
        ContextResult(3, PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, DEFLATED),
        ContextResult(5, PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT),
        ContextResult(7, PresentationContextResult.ACCEPTANCE, EXPLICIT),
        ContextResult(9, PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, None),
    )


@for_each(
    ("requestor_order", "proposed", "chosen"),
    [
        (False, (IMPLICIT, EXPLICIT), EXPLICIT),
        (False, (DEFLATED, IMPLICIT), IMPLICIT),
        (True, (IMPLICIT, EXPLICIT), IMPLICIT),
        (True, (DEFLATED, EXPLICIT, IMPLICIT), EXPLICIT),
    ],
)
def test_whose_order_of_transfer_syntaxes_counts(requestor_order: bool, proposed: tuple[str, ...], chosen: str) -> None:
    policy = Policy(supported={CT: [EXPLICIT, IMPLICIT]}, requestor_order=requestor_order)
    assert agreed(offered(ProposedContext(1, CT, proposed)), policy).contexts[1].transfer_syntax == chosen


@for_each("result", [1, 2, 3, 4])
def test_the_application_may_refuse_contexts(result: int) -> None:
    offer = offered(ProposedContext(1, CT, (IMPLICIT,)), ProposedContext(3, MR, (IMPLICIT,)))
    agreement = agreed(offer, refused={1: result, 3: 1})
    assert agreement.contexts == {}
    assert {context_id: context.result for context_id, context in agreement.rejected.items()} == {1: result, 3: 1}


@for_each(("refused", "message"), [({3: 1}, "3 was not proposed"), ({1: 0}, "from 1 to 4"), ({1: 5}, "from 1 to 4")])
def test_only_contexts_that_were_proposed_can_be_refused(refused: dict[int, int], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        reviewed(offered()).answer(refused=refused)


# Abstract syntaxes that are not listed

RELATED = CommonExtendedNegotiation(PRIVATE, STORAGE, ("1.2.9", MR, CT))


@for_each(
    ("uid", "declared", "settings_", "transfer_syntax"),
    [
        (CT, None, {}, EXPLICIT),
        (PRIVATE, None, {}, None),
        (PRIVATE, RELATED, {}, None),
        (PRIVATE, None, {"related_general": True}, None),
        (PRIVATE, RELATED, {"related_general": True}, EXPLICIT),
        (PRIVATE, CommonExtendedNegotiation(PRIVATE, STORAGE, (MR, "1.2.9")), {"related_general": True}, None),
        (PRIVATE, RELATED, {"service_classes": {STORAGE: IMPLICIT}}, IMPLICIT),
        (PRIVATE, RELATED, {"service_classes": {STORAGE: IMPLICIT}, "related_general": True}, EXPLICIT),
        (PRIVATE, CommonExtendedNegotiation(PRIVATE, "1.2"), {"service_classes": {STORAGE: IMPLICIT}}, None),
        (PRIVATE, None, {"service_classes": {STORAGE: IMPLICIT}}, None),
        (PRIVATE, None, {"unrestricted": IMPLICIT}, IMPLICIT),
        (PRIVATE, RELATED, {"unrestricted": IMPLICIT}, IMPLICIT),
        (PRIVATE, None, {"unrestricted": IMPLICIT, "unrestricted_except": [PRIVATE]}, None),
        (MR, None, {"unrestricted": IMPLICIT}, None),  # listed, as refused
        ("1.02", None, {"unrestricted": IMPLICIT}, None),
    ],
)
def test_how_an_abstract_syntax_is_found(
    uid: str, declared: CommonExtendedNegotiation | None, settings_: dict[str, Any], transfer_syntax: str | None
) -> None:
    policy = Policy(supported={CT: EXPLICIT, MR: None}, **settings_)
    assert policy.find(uid, declared) == (transfer_syntax and Supported(transfer_syntax))
    offer = offered(
        ProposedContext(1, uid, (IMPLICIT, EXPLICIT)), common_extended=() if declared is None else (declared,)
    )
    context = agreed(offer, policy).contexts.get(1)
    assert (context and context.transfer_syntax) == transfer_syntax


def test_the_application_sees_what_is_declared_and_may_overrule_the_policy() -> None:
    offer = offered(
        ProposedContext(1, CT, (IMPLICIT,)), ProposedContext(3, PRIVATE, (DEFLATED,)), common_extended=(RELATED,)
    )
    result = reviewed(offer)
    assert result.common_extended == {PRIVATE: RELATED}
    assert set(agree(offer, accepted(result)).contexts) == {1}
    assert set(agree(offer, accepted(result.overrule({PRIVATE: DEFLATED, CT: None}))).contexts) == {3}
    assert result.policy.supporting({PRIVATE: DEFLATED}).supported[CT] == result.policy.supported[CT]


# Roles. Proposed and supported as (SCU, SCP) of the requestor; outcome None: the context is rejected, with result 1.

ROLES = [
    (None, (None, None), (True, False)),
    (None, (True, True), (True, False)),
    (None, (False, True), (True, False)),  # tolerated: C-GET without role selection
    ((1, 0), (None, None), (True, False)),
    ((0, 1), (None, None), (True, False)),
    ((1, 1), (None, None), (True, False)),
    ((0, 0), (None, None), (True, False)),
    ((1, 0), (True, True), (True, False)),
    ((1, 0), (None, True), (True, False)),
    ((1, 0), (True, False), (True, False)),
    ((1, 0), (False, True), None),
    ((0, 1), (True, True), (False, True)),
    ((0, 1), (False, True), (False, True)),
    ((0, 1), (None, True), (False, True)),
    ((0, 1), (True, False), None),
    ((0, 1), (True, None), None),
    ((1, 1), (True, True), (True, True)),
    ((1, 1), (True, False), (True, False)),
    ((1, 1), (True, None), (True, False)),
    ((1, 1), (None, False), (True, False)),
    ((1, 1), (None, True), (True, True)),
    ((1, 1), (False, True), (False, True)),
    ((0, 0), (True, True), None),
]


@for_each(("proposed", "supported", "outcome"), ROLES)
def test_every_combination_of_roles(
    proposed: tuple[int, int] | None, supported: tuple[bool | None, bool | None], outcome: tuple[bool, bool] | None
) -> None:
    roles = () if proposed is None else (RoleSelection(CT, bool(proposed[0]), bool(proposed[1])),)
    policy = Policy(supported={CT: Supported(IMPLICIT, *supported)})
    offer = offered(
        ProposedContext(1, CT, (IMPLICIT,)),
        ProposedContext(3, CT, (DEFLATED, IMPLICIT)),
        roles=(*roles, RoleSelection(MR, scu=True, scp=True)),
    )
    answer = accepted(reviewed(offer, policy))
    agreement = agree(offer, answer)
    assert agreement.faults == ()
    if outcome is None:
        assert [context.result for context in agreement.rejected.values()] == [1, 1]
        assert answer.user_information.roles == ()
    else:
        assert agreement.contexts[1] == AcceptedContext(1, CT, IMPLICIT, *outcome)
        assert agreement.contexts[3] == AcceptedContext(3, CT, IMPLICIT, *outcome)
        is_answered = proposed is not None and supported != (None, None)
        assert answer.user_information.roles == ((RoleSelection(CT, *outcome),) if is_answered else ())


def test_missing_roles_can_be_refused() -> None:
    inverted = Supported(IMPLICIT, scu_role=False, scp_role=True)
    policy = Policy(supported={CT: inverted, MR: IMPLICIT}, tolerance=Tolerance(missing_roles=False))
    contexts = ProposedContext(1, CT, (IMPLICIT,)), ProposedContext(3, MR, (IMPLICIT,))
    agreement = agreed(offered(*contexts), policy)
    assert agreement.rejected[1].result == PresentationContextResult.USER_REJECTION
    assert set(agreement.contexts) == {3}
    agreement = agreed(offered(*contexts, roles=(RoleSelection(CT, scu=False, scp=True),)), policy)
    assert agreement.contexts[1] == AcceptedContext(1, CT, IMPLICIT, requestor_is_scu=False, requestor_is_scp=True)


def test_missing_roles_are_told_with_the_answer() -> None:
    inverted = Supported(IMPLICIT, scu_role=False, scp_role=True)
    contexts = [ProposedContext(number, CT, (IMPLICIT,)) for number in (1, 3, 5)]
    offer = offered(*contexts, ProposedContext(7, MR, (IMPLICIT,)))
    result = reviewed(offer, Policy(supported={CT: inverted, MR: IMPLICIT}))
    told = "no roles for presentation context"
    assert accepted(result).tolerated == (("missing_roles", f"{told} 1 and 2 more (PS3.7 D.3.3.4)"),)
    left = accepted(result, refused={1: 1, 5: 1})
    assert left.tolerated == (("missing_roles", f"{told} 3 (PS3.7 D.3.3.4)"),)
    assert accepted(result, refused={1: 1, 3: 1, 5: 1}).tolerated == ()
    strict = reviewed(offer, Policy(supported={CT: inverted}, tolerance=Tolerance(missing_roles=False)))
    assert accepted(strict).tolerated == ()
    assert accepted(reviewed(offer, Policy(supported={CT: IMPLICIT}))).tolerated == ()
    proposed = offered(*contexts, roles=(RoleSelection(CT, scu=False, scp=True),))
    assert accepted(reviewed(proposed, Policy(supported={CT: inverted}))).tolerated == ()


def test_roles_are_not_answered_for_a_sop_class_whose_contexts_are_all_refused() -> None:
    both = Supported(IMPLICIT, scu_role=True, scp_role=True)
    offer = offered(
        ProposedContext(1, CT, (IMPLICIT,)),
        ProposedContext(3, CT, (IMPLICIT,)),
        ProposedContext(5, MR, (IMPLICIT,)),
        roles=(RoleSelection(CT, scu=True, scp=True), RoleSelection(MR, scu=True, scp=True)),
    )
    result = reviewed(offer, Policy(supported={CT: both, MR: both}))
    assert len(result.roles) == 2
    assert len(accepted(result, refused={1: 1}).user_information.roles) == 2
    roles = accepted(result, refused={1: 1, 3: 1}).user_information.roles
    assert roles == (RoleSelection(MR, scu=True, scp=True),)


# Operations window: (invoked, performed) of the offer; what the acceptor performs and invokes; what the answer has

WINDOWS = [
    (None, (4, 4), None),
    ((1, 1), (1, 1), (1, 1)),
    ((5, 3), (1, 1), (1, 1)),
    ((5, 3), (4, 2), (4, 2)),
    ((5, 3), (9, 9), (5, 3)),
    ((5, 3), (0, 0), (5, 3)),
    ((0, 0), (0, 0), (0, 0)),
    ((0, 0), (4, 2), (4, 2)),
    ((0, 3), (0, 2), (0, 2)),
]


@for_each(("proposed", "own", "answer"), WINDOWS)
def test_every_combination_of_operations_windows(
    proposed: tuple[int, int] | None, own: tuple[int, int], answer: tuple[int, int] | None
) -> None:
    policy = Policy(supported={CT: IMPLICIT}, maximum_performed=own[0], maximum_invoked=own[1])
    result = reviewed(offered(operations_window=proposed and OperationsWindow(*proposed)), policy)
    expected = answer and OperationsWindow(*answer)
    assert result.operations_window == expected
    assert accepted(result).user_information.operations_window == expected


def test_the_application_may_choose_the_window_within_what_was_proposed() -> None:
    chosen = OperationsWindow(0, 2)
    result = reviewed(offered(operations_window=OperationsWindow(5, 3)))
    assert accepted(result, operations_window=chosen).user_information.operations_window == OperationsWindow(5, 2)
    assert accepted(reviewed(offered()), operations_window=chosen).user_information.operations_window is None


# User identity


@for_each("identity_type", [1, 2, 3, 4, 5, 6])
@for_each("requested", [False, True])
def test_an_identity_that_nobody_looks_at_is_not_answered(identity_type: int, requested: bool) -> None:
    identity = UserIdentity(identity_type, b"me", positive_response_requested=requested)
    result = reviewed(offered(identity=identity))
    assert result.identity is identity
    assert accepted(result).user_information.identity_response is None
    assert result.answer(identity=False) == policies.USER_IDENTITY_REFUSED
    response = accepted(result, identity=True).user_information.identity_response
    assert response == (b"" if requested else None)


@for_each("identity_type", [3, 4])
def test_tickets_and_assertions_are_answered(identity_type: int) -> None:
    identity = UserIdentity(identity_type, b"ticket", positive_response_requested=True)
    assert (
        accepted(reviewed(offered(identity=identity)), identity=b"back").user_information.identity_response == b"back"
    )
    silent = evolve(identity, positive_response_requested=False)
    assert accepted(reviewed(offered(identity=silent)), identity=b"back").user_information.identity_response is None


@for_each("identity_type", [1, 2, 5])
def test_the_other_types_have_an_empty_response(identity_type: int) -> None:
    result = reviewed(offered(identity=UserIdentity(identity_type, b"me", positive_response_requested=True)))
    assert accepted(result, identity=b"").user_information.identity_response == b""
    with pytest.raises(LocalProtocolError, match=f"type {identity_type} has an empty response"):
        result.answer(identity=b"back")


def test_a_verdict_on_no_identity() -> None:
    result = reviewed(offered())
    assert accepted(result, identity=b"back").user_information.identity_response is None
    assert result.answer(identity=False) == policies.USER_IDENTITY_REFUSED


def test_a_required_identity_needs_a_verdict() -> None:
    result = reviewed(offered(identity=IDENTITY), Policy(supported={CT: IMPLICIT}, identity_required=True))
    assert result.answer() == policies.USER_IDENTITY_REFUSED
    assert accepted(result, identity=True).user_information.identity_response == b""


@for_each("verdict", [0, 1, "", "yes", []])
def test_a_verdict_that_is_not_clearly_yes_is_no(verdict: Any) -> None:
    assert reviewed(offered(identity=IDENTITY)).answer(identity=verdict) == policies.USER_IDENTITY_REFUSED


# The rest


def test_extended_negotiation_is_left_to_the_application() -> None:
    offer = offered(extended=(ExtendedNegotiation(CT, b"\1\1"), ExtendedNegotiation("1.02", b"\1")))
    result = reviewed(offer)
    assert result.extended == {CT: b"\1\1"}
    assert accepted(result).user_information.extended == ()
    answer = accepted(result, extended={CT: b"\1", MR: b"\1", "1.02": b"\1"})
    assert answer.user_information.extended == (ExtendedNegotiation(CT, b"\1"),)


def test_the_acceptor_states_what_its_policy_says() -> None:
    information = accepted(reviewed(offered())).user_information
    assert information == UserInformation(
        maximum_length=131072,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )
    policy = Policy(
        supported={CT: IMPLICIT},
        maximum_length=0,
        implementation_class_uid="1.2.3",
        implementation_version_name=None,
    )
    information = accepted(reviewed(offered(), policy)).user_information
    assert information == UserInformation(maximum_length=0, implementation_class_uid="1.2.3")


def test_the_reserved_bytes_of_the_request_are_sent_back() -> None:
    echo = bytes(range(64))
    assert accepted(reviewed(evolve(offered(), echo=echo))).echo == echo
    assert accepted(reviewed(evolve(offered(), echo=echo[:63]))).echo == bytes(64)


def test_both_sides_read_the_same_agreement_from_what_they_sent_and_received() -> None:
    roles = [RoleSelection(CT, scu=False, scp=True)]
    mine = LocalSide(maximum_length=0, maximum_invoked=4, maximum_performed=0)
    contexts = [(FIND, IMPLICIT), (CT, [IMPLICIT, EXPLICIT]), (PRIVATE, DEFLATED)]
    sent = build_offer("SCP", "SCU", contexts, roles=roles, extended={FIND: b"\1\1"}, identity=IDENTITY, local=mine)
    received = over_the_wire(sent)
    assert isinstance(received, AAssociateRQ)
    policy = Policy(
        supported={FIND: IMPLICIT, CT: Supported([EXPLICIT, IMPLICIT], scp_role=True)},
        called_ae_titles="SCP",
        maximum_performed=2,
        maximum_invoked=1,
    )
    answer = accepted(reviewed(received, policy), identity=True, extended={FIND: b"\1"})
    got = over_the_wire(answer)
    assert isinstance(got, AAssociateAC)
    assert got.echo == received.echo
    agreement = agree(sent, got)
    assert agreement == agree(received, answer)
    assert agreement.contexts == {
        1: AcceptedContext(1, FIND, IMPLICIT),
        3: AcceptedContext(3, CT, EXPLICIT, requestor_is_scu=False, requestor_is_scp=True),
    }
    assert agreement.rejected[5].result == PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    assert (agreement.requestor_window, agreement.acceptor_window) == (2, 1)
    assert (agreement.requestor_maximum_length, agreement.acceptor_maximum_length) == (0, 131072)
    assert (agreement.extended, agreement.identity_response) == ({FIND: b"\1"}, b"")


# Random offers and policies

abstract_syntaxes = st.sampled_from([CT, MR, FIND, PRIVATE, "1.02", "", "Ä"])
transfer_syntaxes = st.lists(st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED, "1.02", ""]), min_size=1, max_size=4)
known_uids = st.sampled_from([CT, MR, FIND, PRIVATE])
windows = st.none() | st.builds(OperationsWindow, st.integers(0, 3), st.integers(0, 3))


def one_each(sub_items: st.SearchStrategy[Any], key: str = "sop_class_uid") -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(sub_items, max_size=5, unique_by=lambda item: getattr(item, key)).map(tuple)


contexts = st.builds(ProposedContext, st.integers(0, 255), abstract_syntaxes, transfer_syntaxes.map(tuple))
offers = st.builds(
    AAssociateRQ,
    called_ae_title=st.sampled_from(["SCP", ""]),
    calling_ae_title=st.sampled_from(["SCU", "Ä"]),
    presentation_contexts=one_each(contexts, "context_id").filter(bool),
    user_information=st.builds(
        UserInformation,
        maximum_length=st.sampled_from([None, 0, 16384]),
        implementation_class_uid=st.none(),
        operations_window=windows,
        roles=one_each(st.builds(RoleSelection, abstract_syntaxes, st.booleans(), st.booleans())),
        extended=one_each(st.builds(ExtendedNegotiation, abstract_syntaxes, st.binary(max_size=3))),
        common_extended=one_each(
            st.builds(
                CommonExtendedNegotiation,
                abstract_syntaxes,
                st.sampled_from([STORAGE, ""]),
                st.lists(abstract_syntaxes, max_size=2).map(tuple),
            )
        ),
        identity=st.none()
        | st.builds(UserIdentity, st.integers(0, 255), st.just(b"me"), positive_response_requested=st.booleans()),
    ),
)
supports = st.builds(
    Supported,
    st.lists(st.sampled_from([IMPLICIT, EXPLICIT, DEFLATED]), min_size=1, max_size=3),
    st.sampled_from([True, None]),
    st.sampled_from([True, False, None]),
) | st.builds(Supported, st.just(IMPLICIT), st.just(False), st.just(True))
any_policy = st.builds(
    Policy,
    supported=st.dictionaries(known_uids, st.none() | supports, max_size=4),
    related_general=st.booleans(),
    service_classes=st.dictionaries(st.just(STORAGE), supports),
    unrestricted=st.none() | supports,
    unrestricted_except=st.lists(known_uids, max_size=1),
    requestor_order=st.booleans(),
    tolerance=st.builds(Tolerance, missing_roles=st.booleans()),
    maximum_invoked=st.integers(0, 3),
    maximum_performed=st.integers(0, 3),
)


@given(offers, any_policy)
def test_every_offer_gets_an_answer_that_keeps_the_rules(offer: AAssociateRQ, policy: Policy) -> None:
    result = reviewed(offer, policy)
    answer = accepted(result, identity=True, extended=result.extended)
    proposed = {context.context_id: context for context in offer.presentation_contexts}
    assert [context.context_id for context in answer.context_results] == list(proposed)
    for context in answer.context_results:
        if context.result == PresentationContextResult.ACCEPTANCE:
            assert context.transfer_syntax in proposed[context.context_id].transfer_syntaxes
    agreement = agree(offer, answer)
    assert agreement.faults == ()
    for accepted_context in agreement.contexts.values():
        assert accepted_context.requestor_is_scu or accepted_context.requestor_is_scp
        assert accepted_context.acceptor_is_scp == accepted_context.requestor_is_scu
        assert accepted_context.acceptor_is_scu == accepted_context.requestor_is_scp


def test_what_is_reviewed_and_answered_again_is_not_worked_out_again() -> None:
    offer = offered()
    result = reviewed(offer)
    assert reviewed(offer) is result
    assert accepted(result) is accepted(result)
    assert accepted(result, refused={1: 2}) != accepted(result)
    assert reviewed(offered()) is not result


def test_what_has_a_user_identity_is_reviewed_each_time() -> None:
    offer = offered(identity=UserIdentity(1, b"somebody", positive_response_requested=True))
    assert reviewed(offer) is not reviewed(offer)
