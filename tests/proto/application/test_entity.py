"""What one application entity is, asks for and accepts."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from pydicom.uid import UID

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.encoding.rules import EncodingRules
from dicom_proto.errors import (
    InvalidNameError,
    InvalidSettingError,
    LocalProtocolError,
    NoContextError,
    NothingRequestedError,
)
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.names import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_proto.offers.contexts import (
    DEFAULT_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    PresentationContext,
    StoragePresentationContexts,
    build_context,
    build_role,
)
from dicom_proto.offers.items import (
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    NegotiationItem,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from dicom_proto.programs.effects import Program
from dicom_proto.programs.performing import Performing
from dicom_proto.programs.user_programs import sop_classes as for_sop_classes
from dicom_proto.sop_class import ServiceClass, sop_classes
from dicom_proto.upper_layer.events import Tolerated
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
)
from dicom_proto.upper_layer.negotiation import build_offer
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    USER_IDENTITY_REFUSED,
    Policy,
    Review,
    review,
)
from dicom_proto.upper_layer.timers import Timeouts

VERIFICATION, CT, MR = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
HANGING_PROTOCOL, DIRECTORY, PRIVATE = "1.2.840.10008.5.1.4.38.1", "1.2.840.10008.1.3.10", "1.2.3.4.5"
IMPLICIT, EXPLICIT, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
PIXELMED = "1.3.6.1.4.1.5962.300.1"  # a private transfer syntax
DEFAULT = list(DEFAULT_TRANSFER_SYNTAXES)


@pytest.fixture
def ae() -> ApplicationEntity:
    return ApplicationEntity()


def pairs(contexts: Sequence[PresentationContext]) -> list[tuple[str, list[str]]]:
    return [(str(context.abstract_syntax), [str(uid) for uid in context.transfer_syntax]) for context in contexts]


# --- settings ---------------------------------------------------------------------------------------------------------

DEFAULTS = {
    "ae_title": "DICOM_PROTO",
    "acse_timeout": 30,
    "dimse_timeout": 30,
    "network_timeout": 60,
    "connection_timeout": None,
    "implementation_class_uid": IMPLEMENTATION_CLASS_UID,
    "implementation_version_name": IMPLEMENTATION_VERSION_NAME,
    "maximum_pdu_size": 131072,
    "maximum_operations_invoked": 1,
    "maximum_operations_performed": 1,
    "maximum_associations": 10,
    "require_called_aet": False,
    "require_calling_aet": [],
    "require_user_identity": False,
    "unrestricted_storage": False,
    "related_general": False,
    "requestor_order": False,
    "limits": Limits(),
    "encoding_rules": EncodingRules(),
    "tolerance": Tolerance(),
    "requested_contexts": [],
    "supported_contexts": [],
}


def test_defaults(ae: ApplicationEntity) -> None:
    assert {name: getattr(ae, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("ae_title", " A TITLE ", "A TITLE"),
        ("ae_title", b"BYTES", "BYTES"),
        ("acse_timeout", None, None),
        ("dimse_timeout", 0.5, 0.5),
        ("network_timeout", 7, 7),
        ("connection_timeout", 1, 1),
        ("implementation_class_uid", "1.2.3", "1.2.3"),
        ("implementation_version_name", None, None),
        ("implementation_version_name", "NAME", "NAME"),
        ("maximum_pdu_size", 0, 0),
        ("maximum_operations_invoked", 0, 0),
        ("maximum_operations_performed", 0xFFFF, 0xFFFF),
        ("maximum_associations", 1, 1),
        ("require_called_aet", True, True),
        ("require_calling_aet", ("A ", b"B"), ["A", "B"]),
        ("require_calling_aet", "ABC", ["ABC"]),
        ("require_calling_aet", b"ABC", ["ABC"]),
        ("limits", Limits(operations=2), Limits(operations=2)),
        ("encoding_rules", EncodingRules(state_utf_8=True), EncodingRules(state_utf_8=True)),
        ("tolerance", Tolerance(blank_ae_titles=False), Tolerance(blank_ae_titles=False)),
    ],
)
def test_settings(ae: ApplicationEntity, name: str, value: object, kept: object) -> None:
    setattr(ae, name, value)
    assert getattr(ae, name) == kept


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *(("ae_title", value, InvalidNameError) for value in ("", "  ", "x" * 17, "a\\b", "\xe9", None, 1)),
        *(("implementation_class_uid", value, InvalidNameError) for value in ("", "1.02", None)),
        *(("implementation_version_name", value, InvalidNameError) for value in ("", "x" * 17, 1)),
        *(("require_calling_aet", value, InvalidNameError) for value in ([""], ["x" * 17], [1])),
        *(("require_calling_aet", value, InvalidSettingError) for value in (None, 1)),
        *((f"{name}_timeout", -1, InvalidSettingError) for name in ("acse", "dimse", "network", "connection")),
        *(("maximum_pdu_size", value, InvalidSettingError) for value in (-1, 7, "16382")),
        *(("maximum_operations_invoked", value, InvalidSettingError) for value in (-1, None)),
        ("maximum_operations_performed", 0x10000, InvalidSettingError),
        *(("maximum_associations", value, InvalidSettingError) for value in (0, 2.5, None)),
        ("require_called_aet", "yes", InvalidSettingError),
        ("require_user_identity", None, InvalidSettingError),
        ("unrestricted_storage", 1, InvalidSettingError),
        ("related_general", 1, InvalidSettingError),
        ("requestor_order", 1, InvalidSettingError),
        ("limits", None, InvalidSettingError),
        ("encoding_rules", None, InvalidSettingError),
        ("tolerance", Limits(), InvalidSettingError),
    ],
)
def test_a_setting_that_cannot_be_right_changes_nothing(
    ae: ApplicationEntity, name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        setattr(ae, name, value)
    assert getattr(ae, name) == DEFAULTS[name]


def test_a_setting_that_does_not_exist(ae: ApplicationEntity) -> None:
    with pytest.raises(AttributeError):
        ae.acse_timout = 5  # type: ignore[attr-defined]


def test_the_title_is_given_first() -> None:
    assert ApplicationEntity(b"STORE").ae_title == "STORE"
    with pytest.raises(InvalidNameError):
        ApplicationEntity("")


def test_how_it_shows() -> None:
    class AE(ApplicationEntity):
        """An adapter's."""

    ae = AE("STORE")
    ae.add_supported_context(CT)
    assert repr(ae) == "<AE 'STORE': 0 requested, 1 supported presentation contexts>"


def test_timeouts(ae: ApplicationEntity) -> None:
    ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = 1, 2, 3
    assert ae.timeouts == Timeouts(artim=1, request=1, release=1, response=2, idle=3)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = None
    assert ae.timeouts == Timeouts(artim=30, request=None, release=None, response=None, idle=None)


# --- requested contexts -----------------------------------------------------------------------------------------------


def test_requested_contexts_are_added_in_order(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT)
    ae.add_requested_context(VERIFICATION, IMPLICIT)
    ae.add_requested_context(CT, (JPEG, EXPLICIT))  # a second one for the same SOP class
    ae.add_requested_context(build_context(MR, JPEG))
    assert pairs(ae.requested_contexts) == [
        (CT, DEFAULT),
        (VERIFICATION, [IMPLICIT]),
        (CT, [JPEG, EXPLICIT]),
        (MR, [JPEG]),
    ]


def test_requested_contexts_are_removed(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT)
    ae.add_requested_context(CT, IMPLICIT)
    ae.add_requested_context(MR)
    ae.remove_requested_context(CT, IMPLICIT)
    ae.remove_requested_context(MR, [EXPLICIT, JPEG])
    assert pairs(ae.requested_contexts) == [(CT, DEFAULT[1:]), (MR, [DEFAULT[0], *DEFAULT[2:]])]
    ae.remove_requested_context(CT)
    ae.remove_requested_context(VERIFICATION)
    ae.remove_requested_context(MR, [])
    assert [context.abstract_syntax for context in ae.requested_contexts] == [MR]
    ae.remove_requested_context(MR, DEFAULT)
    assert ae.requested_contexts == []


def test_contexts_that_are_set_are_copied(ae: ApplicationEntity) -> None:
    given = [build_context(CT)]
    ae.requested_contexts = given
    ae.supported_contexts = given
    ae.remove_requested_context(CT, IMPLICIT)
    ae.remove_supported_context(CT, EXPLICIT)
    assert given == [build_context(CT)]
    ae.requested_contexts = StoragePresentationContexts
    assert ae.requested_contexts == StoragePresentationContexts
    ae.requested_contexts = None
    ae.supported_contexts = None
    assert ae.requested_contexts == ae.supported_contexts == []


def test_a_context_that_is_added_is_copied(ae: ApplicationEntity) -> None:
    context = build_context(CT)
    ae.add_requested_context(context)
    ae.add_supported_context(context)
    context.transfer_syntax = []
    assert pairs(ae.requested_contexts) == pairs(ae.supported_contexts) == [(CT, DEFAULT)]


def test_no_more_than_128_are_requested(ae: ApplicationEntity) -> None:
    ae.requested_contexts = [build_context(CT)] * 128
    with pytest.raises(InvalidSettingError, match="129 presentation contexts"):
        ae.add_requested_context(MR)
    with pytest.raises(ValueError, match="200 presentation contexts"):
        ae.requested_contexts = AllStoragePresentationContexts
    assert len(ae.requested_contexts) == 128
    with pytest.raises(InvalidSettingError, match="129 presentation contexts"):
        ae.offer("PEER", [build_context(CT)] * 129)


@pytest.mark.parametrize("wrong", [[CT], CT, [None], [PresentationContext()], [PresentationContext(CT)]])
def test_what_is_no_complete_context(ae: ApplicationEntity, wrong: Any) -> None:
    with pytest.raises(InvalidSettingError):
        ae.requested_contexts = wrong
    with pytest.raises(InvalidSettingError):
        ae.supported_contexts = wrong
    with pytest.raises(InvalidSettingError):
        ae.offer("PEER", wrong)
    with pytest.raises(InvalidSettingError):
        ae.policy(wrong)


@pytest.mark.parametrize("which", ["requested", "supported"])
def test_wrong_contexts_are_not_added(ae: ApplicationEntity, which: str) -> None:
    add = getattr(ae, f"add_{which}_context")
    for arguments in [("CT",), (CT, "JPEG"), (None,)]:
        with pytest.raises(InvalidNameError):
            add(*arguments)
    with pytest.raises(InvalidSettingError):
        add(CT, [])
    assert getattr(ae, f"{which}_contexts") == []


# --- supported contexts -----------------------------------------------------------------------------------------------


def test_supported_contexts_are_merged_and_ordered(ae: ApplicationEntity) -> None:
    ae.add_supported_context(MR, JPEG)
    ae.add_supported_context(CT, (EXPLICIT, IMPLICIT))
    ae.add_supported_context(CT, (JPEG, EXPLICIT))
    ae.add_supported_context(build_context(VERIFICATION))
    assert pairs(ae.supported_contexts) == [
        (VERIFICATION, DEFAULT),
        (CT, [EXPLICIT, IMPLICIT, JPEG]),
        (MR, [JPEG]),
    ]
    ae.supported_contexts = [build_context(CT, IMPLICIT), build_context(CT, JPEG)]
    assert pairs(ae.supported_contexts) == [(CT, [IMPLICIT, JPEG])]


def test_the_roles_are_those_that_were_stated_last(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT, scu_role=False, scp_role=True)
    (context,) = ae.supported_contexts
    assert (context.scu_role, context.scp_role) == (False, True)
    ae.remove_supported_context(CT, JPEG)
    assert ae.supported_contexts == [context]
    ae.add_supported_context(CT)
    (context,) = ae.supported_contexts
    assert (context.scu_role, context.scp_role) == (None, None)


def test_roles_that_cannot_be(ae: ApplicationEntity) -> None:
    with pytest.raises(InvalidSettingError, match="no role"):
        ae.add_supported_context(CT, scu_role=False, scp_role=False)
    with pytest.raises(InvalidSettingError, match="scu_role is True, False or None"):
        ae.add_supported_context(CT, scu_role="yes")  # type: ignore[arg-type]
    assert ae.supported_contexts == []


def test_supported_contexts_are_removed(ae: ApplicationEntity) -> None:
    ae.supported_contexts = AllStoragePresentationContexts
    ae.remove_supported_context(CT)
    ae.remove_supported_context(MR, IMPLICIT)
    ae.remove_supported_context(VERIFICATION)
    assert len(ae.supported_contexts) == len(AllStoragePresentationContexts) - 1
    assert dict(pairs(ae.supported_contexts))[MR] == DEFAULT[1:]


# --- its user's own service programs ----------------------------------------------------------------------------------


@for_sop_classes(PRIVATE, CT)
def one(_: Performing) -> Program[None]:
    yield from ()


@for_sop_classes(CT, MR)
def other(_: Performing) -> Program[None]:
    yield from ()


def undecorated(_: Performing) -> Program[None]:
    yield from ()


class Keeper:
    """A program may be a method."""

    @for_sop_classes(PRIVATE)
    def perform(self, _: Performing) -> Program[None]:
        yield from ()


def test_programs_are_bound_with_their_contexts(ae: ApplicationEntity) -> None:
    ae.add_supported_context(MR, JPEG)
    assert ae.add_scp(one).add_scp(other, iter([EXPLICIT, IMPLICIT]), scu_role=True, scp_role=False) is ae
    assert ae.scp_programs == {PRIVATE: one, CT: other, MR: other}
    assert ae.scu_programs == {}
    both = [EXPLICIT, IMPLICIT]
    assert sorted(pairs(ae.supported_contexts)) == sorted([
        (PRIVATE, DEFAULT),
        (CT, list(dict.fromkeys([*DEFAULT, *both]))),
        (MR, [JPEG, *both]),
    ])  # fmt: skip
    roles = {context.abstract_syntax: (context.scu_role, context.scp_role) for context in ae.supported_contexts}
    assert roles == {PRIVATE: (None, None), CT: (True, False), MR: (True, False)}
    assert ae.requested_contexts == []


def test_programs_of_the_scu_are_bound_with_theirs(ae: ApplicationEntity) -> None:
    assert ae.add_scu(one).add_scu(other, iter([JPEG])) is ae
    assert ae.scu_programs == {PRIVATE: one, CT: other, MR: other}
    assert ae.scp_programs == {}
    assert pairs(ae.requested_contexts) == [(PRIVATE, DEFAULT), (CT, DEFAULT), (CT, [JPEG]), (MR, [JPEG])]
    assert ae.supported_contexts == []


def test_programs_are_unbound_with_their_contexts(ae: ApplicationEntity) -> None:
    ae.add_scp(one).add_scp(other).add_scu(one).add_scu(other)
    assert ae.remove_scp(other).remove_scu(other) is ae
    assert ae.scp_programs == ae.scu_programs == {PRIVATE: one}
    assert pairs(ae.supported_contexts) == pairs(ae.requested_contexts) == [(PRIVATE, DEFAULT)]
    ae.remove_scp(undecorated).remove_scp(other).remove_scu(other)
    assert ae.scp_programs == ae.scu_programs == {PRIVATE: one}
    keeper = Keeper()
    ae.add_scp(keeper.perform).remove_scp(Keeper().perform)
    assert ae.scp_programs == {PRIVATE: keeper.perform}
    ae.remove_scp(keeper.perform)
    assert ae.scp_programs == {}
    assert ae.supported_contexts == []


def test_a_program_that_cannot_be_bound_changes_nothing(ae: ApplicationEntity) -> None:
    adders: list[Any] = [ae.add_scp, ae.add_scu]
    for add in adders:
        for wrong, error in [("JPEG", InvalidNameError), ([], InvalidSettingError), (1, InvalidSettingError)]:
            with pytest.raises(error):
                add(one, wrong)
        with pytest.raises(LocalProtocolError, match="does not say what it is for"):
            add(undecorated)
    with pytest.raises(InvalidSettingError, match="no role"):
        ae.add_scp(one, scu_role=False, scp_role=False)
    with pytest.raises(InvalidSettingError, match="scu_role"):
        ae.add_scp(one, scu_role=1)  # type: ignore[arg-type]
    assert ae.scp_programs == ae.scu_programs == {}
    assert ae.supported_contexts == ae.requested_contexts == []
    ae.requested_contexts = [build_context(VERIFICATION)] * 127
    with pytest.raises(InvalidSettingError, match="129 presentation contexts"):
        ae.add_scu(one)
    assert ae.scu_programs == {}
    assert len(ae.requested_contexts) == 127


def test_an_scp_program_has_one_argument(ae: ApplicationEntity) -> None:
    @for_sop_classes(CT)
    def program(asce: Any, context: Any, message: Any) -> Program[None]:
        yield from (asce, context, message)

    with pytest.raises(LocalProtocolError, match="one argument"):
        ae.add_scp(program)  # type: ignore[arg-type]
    assert ae.supported_contexts == []
    assert ae.add_scu(program).scu_programs == {CT: program}


@pytest.mark.parametrize("name", ["scp_programs", "scu_programs"])
def test_programs_are_bound_by_methods_only(ae: ApplicationEntity, name: str) -> None:
    with pytest.raises(TypeError):
        getattr(ae, name)[CT] = one
    with pytest.raises(AttributeError):
        setattr(ae, name, {CT: one})


# --- offers -----------------------------------------------------------------------------------------------------------


def test_an_offer(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT, JPEG)
    ae.add_requested_context(VERIFICATION)
    expected = build_offer("PEER", "DICOM_PROTO", [(CT, JPEG), (VERIFICATION, DEFAULT)])
    assert ae.offer("PEER") == ae.offer(b"PEER ") == expected
    assert ae.offer("PEER", [build_context(MR, IMPLICIT)]).presentation_contexts[0].abstract_syntax == MR


def test_an_offer_states_the_settings(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT)
    ae.maximum_pdu_size, ae.implementation_class_uid, ae.implementation_version_name = 0, "1.2.3", None
    ae.maximum_operations_invoked, ae.maximum_operations_performed = 5, 0
    information = ae.offer("PEER").user_information
    assert information.maximum_length == 0
    assert (information.implementation_class_uid, information.implementation_version_name) == ("1.2.3", None)
    assert information.operations_window == OperationsWindow(5, 0)


def test_an_offer_negotiates(ae: ApplicationEntity) -> None:
    ae.requested_contexts = [build_context(CT), build_context(MR)]
    information = ae.offer(
        "PEER",
        maximum_length=16382,
        items=[
            build_role(CT, scp_role=True),
            RoleSelection(MR, scu=True, scp=True),
            SOPClassExtendedNegotiation(CT, b"\2\0\0\0\0\0"),
            CommonExtendedNegotiation(CT, "1.2.840.10008.4.2"),
            UserIdentityNegotiation(1, b"who"),
            OperationsWindow(2, 3),
            ImplementationVersionNameNotification("OTHER"),
        ],
    ).user_information
    assert information.maximum_length == 16382
    assert information.roles == (RoleSelection(CT, scu=False, scp=True), RoleSelection(MR, scu=True, scp=True))
    assert information.extended == (ExtendedNegotiation(CT, b"\2\0\0\0\0\0"),)
    assert information.common_extended == (CommonExtendedNegotiation(CT, "1.2.840.10008.4.2"),)
    assert information.identity == UserIdentity(1, b"who")
    assert information.operations_window == OperationsWindow(2, 3)
    assert information.implementation_version_name == "OTHER"


def test_an_item_overrides_the_maximum_length(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT)
    offer = ae.offer("PEER", maximum_length=100, items=[MaximumLengthNotification(200)])
    assert offer.user_information.maximum_length == 200


@pytest.mark.parametrize("kind", [NothingRequestedError, RuntimeError, ValueError, LocalProtocolError])
def test_nothing_to_offer(ae: ApplicationEntity, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="no presentation contexts are requested"):
        ae.offer("PEER")
    ae.add_requested_context(CT)
    with pytest.raises(kind):
        ae.offer("PEER", [])


def test_wrong_offers(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT)
    with pytest.raises(InvalidNameError):
        ae.offer("x" * 17)
    with pytest.raises(InvalidSettingError, match="maximum_length_received"):
        ae.offer("PEER", maximum_length=-1)
    with pytest.raises(InvalidSettingError, match="neither"):
        ae.offer("PEER", items=[build_role(CT)])


def test_it_can_be_read(ae: ApplicationEntity) -> None:
    ae.add_requested_context(CT, IMPLICIT)
    ae.require_calling_aet = ["SCANNER"]
    text = str(ae)
    for words in ("CT Image Storage: Implicit VR Little Endian", "dimse timeout: 30", "SCANNER"):
        assert words in text
    assert "\n  supported presentation contexts:\n  acse" in text


def test_what_is_required_can_be_asked_for_anew(ae: ApplicationEntity) -> None:
    before = ae.required()
    assert before == ae.required()
    ae.require_calling_aet.append("SCANNER")
    assert ae.required() != before
    ae.require_called_aet = True
    assert [ae.required(title)["called_ae_titles"] for title in (None, "OTHER")] == [ae.ae_title, "OTHER"]
    ae.add_supported_context(CT)
    assert evolve(ae.policy(), **before) != ae.policy() == evolve(ae.policy(), **ae.required())


@pytest.mark.parametrize("nobody", ["", b"", [], ()])
def test_an_empty_list_of_titles_may_be_written_in_any_way(ae: ApplicationEntity, nobody: Any) -> None:
    ae.require_calling_aet = nobody
    assert ae.require_calling_aet == []


@pytest.mark.parametrize("name", ["acse", "dimse", "network", "connection"])
def test_no_time_at_all_is_all_the_time_there_is(ae: ApplicationEntity, name: str) -> None:
    setattr(ae, f"{name}_timeout", 0)
    assert getattr(ae, f"{name}_timeout") is None


def test_its_implementation_is_a_uid(ae: ApplicationEntity) -> None:
    assert isinstance(ae.implementation_class_uid, UID)
    ae.implementation_class_uid = "1.2.3"
    assert isinstance(ae.implementation_class_uid, UID)


def test_what_is_negotiated_for_others_is_left_out(ae: ApplicationEntity, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "dicom_proto")
    ae.add_requested_context(CT)
    items: list[NegotiationItem] = [
        build_role(CT, scp_role=True),
        build_role(MR, scp_role=True),
        SOPClassExtendedNegotiation(MR, b"\1"),
        SOPClassCommonExtendedNegotiation(MR, "1.2.840.10008.4.2"),
    ]
    stated = ae.offer("PEER", items=items).user_information
    assert [role.sop_class_uid for role in stated.roles] == [CT]
    assert (stated.extended, stated.common_extended) == ((), ())
    assert [MR in message for message in caplog.messages] == [True]
    assert ae.offer("PEER", items=items[:1]).user_information.roles == stated.roles


# --- policies ---------------------------------------------------------------------------------------------------------


def proposal(*contexts: tuple[str, Sequence[str] | str], called: str = "PEER", **how: Any) -> AAssociateRQ:
    return build_offer(called, "CALLER", contexts, **how)


def results(policy: Policy, offer: AAssociateRQ) -> list[tuple[int, str | None]]:
    """Result, and transfer syntax, of each context of an offer."""
    reviewed = review(offer, policy)
    assert isinstance(reviewed, Review)
    return [(context.result, context.transfer_syntax) for context in reviewed.context_results]


def test_a_policy_accepts_what_is_supported(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT, (EXPLICIT, IMPLICIT))
    offer = proposal((CT, (IMPLICIT, EXPLICIT)), (CT, JPEG), (MR, IMPLICIT))
    assert results(ae.policy(), offer) == [(0, EXPLICIT), (4, JPEG), (3, IMPLICIT)]
    assert results(ae.policy([build_context(MR)]), offer) == [(3, IMPLICIT), (3, JPEG), (0, IMPLICIT)]
    ae.requestor_order = True
    assert results(ae.policy(), offer)[0] == (0, IMPLICIT)


def test_a_policy_states_the_settings(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT)
    ae.maximum_pdu_size, ae.implementation_class_uid, ae.implementation_version_name = 16382, "1.2.3", "NAME"
    ae.maximum_operations_invoked, ae.maximum_operations_performed = 2, 3
    ae.tolerance = Tolerance(blank_ae_titles=False)
    policy = ae.policy()
    assert (policy.maximum_length, policy.maximum_invoked, policy.maximum_performed) == (16382, 2, 3)
    assert (policy.implementation_class_uid, policy.implementation_version_name) == ("1.2.3", "NAME")
    assert not policy.tolerance.blank_ae_titles


def test_titles_that_are_required(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT)
    offer = proposal((CT, IMPLICIT))
    assert isinstance(review(offer, ae.policy()), Review)
    ae.require_called_aet = True
    assert review(offer, ae.policy()) == CALLED_AE_TITLE_NOT_RECOGNIZED
    assert isinstance(review(offer, ae.policy(ae_title=b"PEER")), Review)
    ae.ae_title = "PEER"
    assert isinstance(review(offer, ae.policy()), Review)
    ae.require_calling_aet = ["ONE", "OTHER"]
    assert review(offer, ae.policy()) == CALLING_AE_TITLE_NOT_RECOGNIZED
    ae.require_calling_aet.append("CALLER")
    assert isinstance(review(offer, ae.policy()), Review)


def test_an_identity_that_is_required(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT)
    ae.require_user_identity = True
    assert review(proposal((CT, IMPLICIT)), ae.policy()) == USER_IDENTITY_REFUSED
    reviewed = review(proposal((CT, IMPLICIT), identity=UserIdentity(1, b"who")), ae.policy())
    assert isinstance(reviewed, Review)
    assert isinstance(reviewed.answer(), AAssociateRJ)


def roles_of(ae: ApplicationEntity, *proposed: RoleSelection) -> tuple[RoleSelection, ...]:
    reviewed = review(proposal((CT, IMPLICIT), roles=proposed), ae.policy())
    assert isinstance(reviewed, Review)
    return reviewed.roles


def test_roles_are_answered_if_both_are_stated(ae: ApplicationEntity) -> None:
    both = RoleSelection(CT, scu=True, scp=True)
    ae.add_supported_context(CT)
    assert roles_of(ae, both) == ()
    ae.add_supported_context(CT, scp_role=True)
    assert roles_of(ae, both) == ()
    ae.add_supported_context(CT, scu_role=True, scp_role=True)
    assert roles_of(ae, both) == (both,)
    ae.add_supported_context(CT, scu_role=False, scp_role=True)
    assert roles_of(ae, both) == (RoleSelection(CT, scu=False, scp=True),)


def test_roles_that_are_missing(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT, scu_role=False, scp_role=True)
    assert results(ae.policy(), proposal((CT, IMPLICIT))) == [(0, IMPLICIT)]
    ae.tolerance = Tolerance(missing_roles=False)
    assert results(ae.policy(), proposal((CT, IMPLICIT))) == [(1, IMPLICIT)]


def test_related_general_sop_classes(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT)
    declared = CommonExtendedNegotiation(PRIVATE, "1.2.840.10008.4.2", (CT,))
    offer = proposal((PRIVATE, IMPLICIT), common_extended=[declared])
    assert results(ae.policy(), offer) == [(3, IMPLICIT)]
    ae.related_general = True
    assert results(ae.policy(), offer) == [(0, IMPLICIT)]


def test_unrestricted_storage(ae: ApplicationEntity) -> None:
    ae.unrestricted_storage = True
    offer = proposal(
        (PRIVATE, (JPEG, IMPLICIT)),
        (CT, JPEG),
        (HANGING_PROTOCOL, IMPLICIT),
        (VERIFICATION, IMPLICIT),
        (DIRECTORY, IMPLICIT),
        (CT, PIXELMED),
    )
    refused = [(3, IMPLICIT), (3, IMPLICIT), (4, PIXELMED)]
    assert results(ae.policy(), offer) == [(0, IMPLICIT), (0, JPEG), (0, IMPLICIT), *refused]
    ae.requestor_order = True
    assert results(ae.policy(), offer) == [(0, JPEG), (0, JPEG), (0, IMPLICIT), *refused]


def test_unrestricted_storage_grants_the_roles_that_are_proposed(ae: ApplicationEntity) -> None:
    """Who asks for objects with C-GET is the SCP for them."""
    ae.unrestricted_storage = True
    proposed = RoleSelection(CT, scu=False, scp=True)
    assert roles_of(ae, proposed) == (proposed,)


def test_unrestricted_storage_beside_supported_contexts(ae: ApplicationEntity) -> None:
    ae.unrestricted_storage = True
    ae.add_supported_context(CT, EXPLICIT, scu_role=True, scp_role=True)
    ae.add_supported_context(VERIFICATION, IMPLICIT)
    offer = proposal((CT, JPEG), (CT, (IMPLICIT, EXPLICIT)), (VERIFICATION, EXPLICIT), (CT, PIXELMED))
    expected = [(0, JPEG), (0, EXPLICIT), (4, EXPLICIT), (4, PIXELMED)]
    assert results(ae.policy(), offer) == expected
    assert roles_of(ae, RoleSelection(CT, scu=True, scp=True)) == (RoleSelection(CT, scu=True, scp=True),)
    ae.add_supported_context(CT, PIXELMED)
    assert results(ae.policy(), offer) == [*expected[:-1], (0, PIXELMED)]


def test_no_service_that_is_known_is_taken_for_storage(ae: ApplicationEntity) -> None:
    ae.unrestricted_storage = True
    policy = ae.policy()
    stored = {ServiceClass.STORAGE, ServiceClass.NON_PATIENT_OBJECT_STORAGE}
    for service in ServiceClass:
        for uid in sop_classes(service, retired=True):
            assert (policy.find(uid) is not None) == (service in stored)


@pytest.mark.parametrize("kind", [NoContextError, ValueError, LocalProtocolError])
def test_nothing_to_accept(ae: ApplicationEntity, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="no presentation contexts are supported"):
        ae.policy()


def test_a_context_that_is_changed_after_it_was_added_is_looked_at_again(ae: ApplicationEntity) -> None:
    ae.add_supported_context(CT)
    (context,) = ae.supported_contexts
    context.abstract_syntax = MR  # type: ignore[assignment]
    assert results(ae.policy(), proposal((CT, IMPLICIT), (MR, IMPLICIT))) == [(3, IMPLICIT), (0, IMPLICIT)]
    context.transfer_syntax.clear()
    with pytest.raises(InvalidSettingError):
        ae.policy()


def test_an_offer_and_a_policy_fit_each_other(ae: ApplicationEntity) -> None:
    ae.requested_contexts = StoragePresentationContexts
    ae.supported_contexts = StoragePresentationContexts
    accepted = ContextResult(1, 0, IMPLICIT)
    reviewed = review(ae.offer("PEER"), ae.policy())
    assert isinstance(reviewed, Review)
    assert reviewed.context_results[0] == accepted
    assert {context.result for context in reviewed.context_results} == {0}


def test_a_server_keeps_some_connections_that_have_requested_nothing() -> None:
    entity = ApplicationEntity()
    assert (entity.maximum_associations, entity.maximum_connections) == (10, 110)
    entity.maximum_associations = 200
    assert entity.maximum_connections == 300
    entity.maximum_connections = 7
    assert entity.maximum_connections == 7


# --- what peers are allowed -------------------------------------------------------------------------------------------


def test_what_is_tolerated_is_said_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_proto.application.entity._MOST_REMEMBERED", 2)
    entity = ApplicationEntity("HERE")
    foreign = Tolerated("foreign_elements", "elements of group 0008")

    def warnings() -> int:
        return caplog.text.count("which Tolerance.foreign_elements allows: elements of group 0008")

    for count, title in ((1, "A"), (1, "A"), (2, "B"), (2, "A"), (3, "C"), (4, "A")):  # the oldest is forgotten
        entity.note_tolerated(title, foreign)
        assert warnings() == count
    assert "'A' breaks the standard" in caplog.text


def test_ids_and_numbers() -> None:
    ae = ApplicationEntity("SCP")
    assert [ae.next_id(), ae.next_id()] == ["1", "2"]
    assert ae.counters.open == 0


def test_who_may_have_an_association_is_set_like_all_else() -> None:
    ae = ApplicationEntity("SCP")
    ae.allow_networks, ae.deny_networks = "192.0.2.0/24", ["192.0.2.7"]
    assert [str(network) for network in (*ae.allow_networks, *ae.deny_networks)] == ["192.0.2.0/24", "192.0.2.7/32"]
    ae.deny_calling_aet = ["CT1"]
    ae.deny_calling_aet.append("CT2")
    assert ae.deny_calling_aet == ["CT1", "CT2"]
    limits: Any = ae  # which have another type than what they may be set to
    limits.maximum_by_calling_aet, limits.maximum_by_address = 2, {"192.0.2.0/24": 3}
    assert dict(limits.maximum_by_calling_aet) == {None: 2}
    assert [str(network) for network in limits.maximum_by_address] == ["192.0.2.0/24"]
    for name in ("allow_networks", "maximum_by_calling_aet", "maximum_by_address"):
        with pytest.raises(InvalidSettingError):
            setattr(ae, name, ["nothing of the kind"])


def test_contexts_of_many_transfer_syntaxes_are_proposed_as_several() -> None:
    """DCMTK 3.6.7 does not answer a context of more than fifty."""
    ae, syntaxes = ApplicationEntity("SCU"), [f"1.2.826.0.1.3680043.{number}" for number in range(1, 61)]
    ae.add_requested_context(CT, syntaxes)
    assert [list(context.transfer_syntaxes) for context in ae.offer("PEER").presentation_contexts] == [
        syntaxes[:50],
        syntaxes[50:],
    ]
    ae.most_transfer_syntaxes = 60
    assert [list(context.transfer_syntaxes) for context in ae.offer("PEER").presentation_contexts] == [syntaxes]
