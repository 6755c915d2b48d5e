"""``pynetdicom.presentation``: presentation contexts, and what becomes of them by the stack's own negotiation."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from attrs import evolve

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.errors import InvalidSettingError
from dicom_proto.offers import contexts as ours
from dicom_proto.offers.contexts import *  # noqa: F403
from dicom_proto.offers.contexts import PresentationContext, build_role, negotiated_contexts
from dicom_proto.offers.items import SCP_SCU_RoleSelectionNegotiation
from dicom_proto.upper_layer.items import (
    ContextResult,
    PresentationContextResult,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from dicom_proto.upper_layer.negotiation import agree
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy, Review, review

__all__ = ["negotiate_as_acceptor", "negotiate_as_requestor", "negotiate_unrestricted"]
__all__ += ours.__all__

Roles: TypeAlias = Mapping[str, tuple[bool | None, bool | None]]
"""Whether the requestor is SCU and SCP, by SOP class UID."""


def negotiate_as_acceptor(
    rq_contexts: list[PresentationContext], ac_contexts: list[PresentationContext], roles: Roles | None = None
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """Return the contexts of a request with the acceptor's results, and the roles that it answers."""
    return _answer(ApplicationEntity("ACCEPTOR"), rq_contexts, ac_contexts, roles)


def negotiate_unrestricted(
    rq_contexts: list[PresentationContext], ac_contexts: list[PresentationContext], roles: Roles | None = None
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """Return the same for an acceptor with unrestricted storage."""
    entity = ApplicationEntity("ACCEPTOR")
    entity.unrestricted_storage = True
    return _answer(entity, rq_contexts, ac_contexts, roles)


def _answer(
    entity: ApplicationEntity,
    requested: list[PresentationContext],
    supported: list[PresentationContext],
    roles: Roles | None,
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    if not requested:
        return [], []
    stated = {uid: both for uid, both in (roles or {}).items() if None not in both}
    # An acceptor that grants no role at all refuses who asks for one, and nobody else.
    closed = {one.abstract_syntax for one in supported if one.scu_role is one.scp_role is False} & stated.keys()
    known: dict[str, PresentationContext] = {one.abstract_syntax: one for one in supported}
    supported = [one if one.scu_role or one.scp_role else _without_roles(one) for one in supported]
    policy = entity.policy(supported) if supported or entity.unrestricted_storage else Policy(supported={})
    offer = _offer(requested, stated)
    verdict = review(offer, policy)
    if not isinstance(verdict, Review):
        raise InvalidSettingError(f"{verdict} is the answer to all of it")
    answer = verdict.answer()
    if not isinstance(answer, AAssociateAC):
        raise InvalidSettingError(f"{answer} is the answer to all of it")
    answered = [build_role(role.sop_class_uid, role.scu, role.scp) for role in answer.user_information.roles]
    settled = _settled(offer, answer, is_requestor=False)
    accepted: set[str] = {one.abstract_syntax for one in settled if not one.result}
    # It says what it grants even if nothing is asked for, where the roles are mentioned at all.
    for uid in (roles or {}).keys() - stated.keys() & accepted:
        scu, scp = known[uid].scu_role, known[uid].scp_role
        if scu is not None and scp is not None:
            answered.append(build_role(uid, scu, scp))
    refused = [_refused(one) if one.abstract_syntax in closed and not one.result else one for one in settled]
    return [_without_common_syntax(one, known.get(one.abstract_syntax), offer) for one in refused], answered


def _without_common_syntax(
    context: PresentationContext, supported: PresentationContext | None, offer: AAssociateRQ
) -> PresentationContext:
    """Say of a context that is refused for its roles that it has no transfer syntax in common, if that is so."""
    if context.result != PresentationContextResult.USER_REJECTION or supported is None:
        return context
    (proposed,) = (one for one in offer.presentation_contexts if one.context_id == context.context_id)
    if set(proposed.transfer_syntaxes) & set(supported.transfer_syntax):
        return context
    return evolve(context, result=PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)


def _without_roles(context: PresentationContext) -> PresentationContext:
    return evolve(context, scu_role=None, scp_role=None)


def _refused(context: PresentationContext) -> PresentationContext:
    return evolve(context, result=PresentationContextResult.USER_REJECTION, as_scu=False, as_scp=False)


def negotiate_as_requestor(
    rq_contexts: list[PresentationContext], ac_contexts: list[PresentationContext], roles: Roles | None = None
) -> list[PresentationContext]:
    """Return what was requested with the results of the answer, and the roles of the requestor."""
    if not rq_contexts:
        raise InvalidSettingError("no presentation context was requested")
    roles_of: Roles = {one.abstract_syntax: (one.scu_role, one.scp_role) for one in rq_contexts}
    results = [
        ContextResult(one.context_id or 0, one.result or 0, next(iter(one.transfer_syntax), None))
        for one in ac_contexts
    ]
    answer = AAssociateAC(context_results=tuple(results), user_information=_information(roles or {}))
    return _settled(_offer(rq_contexts, roles_of), answer, is_requestor=True)


def _offer(contexts: Iterable[PresentationContext], roles: Roles) -> AAssociateRQ:
    proposed = [
        ProposedContext(one.context_id or 2 * index + 1, one.abstract_syntax, tuple(one.transfer_syntax))
        for index, one in enumerate(contexts)
    ]
    return AAssociateRQ(
        called_ae_title="ACCEPTOR",
        calling_ae_title="REQUESTOR",
        presentation_contexts=tuple(proposed),
        user_information=_information(roles),
    )


def _information(roles: Roles) -> UserInformation:
    stated = [RoleSelection(uid, bool(scu), bool(scp)) for uid, (scu, scp) in roles.items() if None not in {scu, scp}]
    return UserInformation(maximum_length=0, implementation_class_uid=None, roles=tuple(stated))


def _settled(offer: AAssociateRQ, answer: AAssociateAC, *, is_requestor: bool) -> list[PresentationContext]:
    accepted, rejected = negotiated_contexts(agree(offer, answer), is_requestor=is_requestor)
    shown = [evolve(one, transfer_syntax=one.transfer_syntax[:1], as_scu=False, as_scp=False) for one in rejected]
    return sorted([*accepted, *shown], key=lambda one: one.context_id or 0)
