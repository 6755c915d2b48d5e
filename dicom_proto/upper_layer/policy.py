"""What an association-acceptor accepts, and how it answers an offer (PS3.8 7.1, PS3.7 Annex D).

Stable.

:func:`review` holds an offer against a :class:`Policy`. It returns the rejection where the policy decides against the
association, else a :class:`Review`: what the policy has decided, what it leaves to the application, and the answer.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.names import APPLICATION_CONTEXT_NAME, check_ae_title, check_uid, is_valid_uid
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    PresentationContextResult,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserIdentityType,
    UserInformation,
    check_integer,
)
from dicom_proto.upper_layer.negotiation import LocalSide, as_transfer_syntaxes, clamp_window, weigh
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.reasons import (
    RejectReasonACSE,
    RejectReasonPresentation,
    RejectReasonUser,
    RejectResult,
    RejectSource,
)
from dicom_proto.upper_layer.remembered import Remembered

__all__ = [
    "APPLICATION_CONTEXT_NAME_NOT_SUPPORTED",
    "CALLED_AE_TITLE_NOT_RECOGNIZED",
    "CALLING_AE_TITLE_NOT_RECOGNIZED",
    "LOCAL_LIMIT_EXCEEDED",
    "NO_REASON_GIVEN",
    "PROTOCOL_VERSION_NOT_SUPPORTED",
    "TEMPORARY_CONGESTION",
    "USER_IDENTITY_REFUSED",
    "Policy",
    "Review",
    "Supported",
    "review",
]


def _by_user(reason: RejectReasonUser) -> AAssociateRJ:
    return AAssociateRJ(RejectResult.REJECTED_PERMANENT, RejectSource.SERVICE_USER, reason)


def _by_acse(reason: RejectReasonACSE) -> AAssociateRJ:
    return AAssociateRJ(RejectResult.REJECTED_PERMANENT, RejectSource.SERVICE_PROVIDER_ACSE, reason)


def _for_now(reason: RejectReasonPresentation) -> AAssociateRJ:
    return AAssociateRJ(RejectResult.REJECTED_TRANSIENT, RejectSource.SERVICE_PROVIDER_PRESENTATION, reason)


NO_REASON_GIVEN: Final = _by_user(RejectReasonUser.NO_REASON_GIVEN)
APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: Final = _by_user(RejectReasonUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
CALLING_AE_TITLE_NOT_RECOGNIZED: Final = _by_user(RejectReasonUser.CALLING_AE_TITLE_NOT_RECOGNIZED)
CALLED_AE_TITLE_NOT_RECOGNIZED: Final = _by_user(RejectReasonUser.CALLED_AE_TITLE_NOT_RECOGNIZED)
USER_IDENTITY_REFUSED: Final = _by_acse(RejectReasonACSE.NO_REASON_GIVEN)  # PS3.7 D.3.3.7.3 fixes result and source
PROTOCOL_VERSION_NOT_SUPPORTED: Final = _by_acse(RejectReasonACSE.PROTOCOL_VERSION_NOT_SUPPORTED)
TEMPORARY_CONGESTION: Final = _for_now(RejectReasonPresentation.TEMPORARY_CONGESTION)
LOCAL_LIMIT_EXCEEDED: Final = _for_now(RejectReasonPresentation.LOCAL_LIMIT_EXCEEDED)

# Nothing but a Kerberos ticket or a SAML response is ever sent in answer to a user identity (PS3.7 D.3.3.7.2).
_EMPTY_RESPONSES: Final = frozenset(
    {UserIdentityType.USERNAME, UserIdentityType.USERNAME_AND_PASSCODE, UserIdentityType.JSON_WEB_TOKEN}
)


@frozen
class Supported:
    """How an acceptor supports an abstract syntax.

    Parameters
    ----------
    transfer_syntaxes : str or iterable of str
        In the acceptor's order of preference. PS3.5 10.1 expects Implicit VR Little Endian among them.
    scu_role, scp_role : bool or None
        Whether the *requestor* may be the SCU, and the SCP: what the acceptor answers where the requestor proposes that
        role (PS3.7 D.3.3.4). With ``None`` for both no role is ever answered, and the requestor is the SCU; ``None``
        for one of them is the default, yes for the SCU and no for the SCP.

    Raises
    ------
    LocalProtocolError
        If there is no transfer syntax, one is not a UID, or the requestor can be neither SCU nor SCP.
    """

    transfer_syntaxes: tuple[str, ...] = field(converter=as_transfer_syntaxes)
    scu_role: bool | None = None
    scp_role: bool | None = None

    def __attrs_post_init__(self) -> None:
        if self.scu_role is False and not self.scp_role:
            raise LocalProtocolError("an abstract syntax for which the requestor may be neither SCU nor SCP")

    def answer_roles(self, proposed: RoleSelection) -> RoleSelection | None:
        """Return the answer to a proposal of roles; ``None`` is no answer, which leaves the default roles."""
        if self.scu_role is None and self.scp_role is None:
            return None
        return RoleSelection(
            proposed.sop_class_uid,
            scu=proposed.scu and self.scu_role is not False,
            scp=proposed.scp and self.scp_role is True,
        )


_Support: TypeAlias = Supported | str | Iterable[str]


def _as_supported(value: _Support) -> Supported:
    return value if isinstance(value, Supported) else Supported(value)


def _as_optional_supported(value: _Support | None) -> Supported | None:
    return None if value is None else _as_supported(value)


def _as_supported_by_uid(values: Mapping[str, _Support]) -> Mapping[str, Supported]:
    return MappingProxyType({check_uid(uid): _as_supported(value) for uid, value in values.items()})


def _as_optional_supported_by_uid(values: Mapping[str, _Support | None]) -> Mapping[str, Supported | None]:
    return MappingProxyType({check_uid(uid): _as_optional_supported(value) for uid, value in values.items()})


def _as_uids(uids: str | Iterable[str]) -> frozenset[str]:
    return frozenset(map(check_uid, [uids] if isinstance(uids, str) else uids))


def _as_ae_titles(titles: str | Iterable[str] | None) -> frozenset[str]:
    return frozenset(map(check_ae_title, [titles] if isinstance(titles, str) else titles or ()))


@frozen(kw_only=True)
class Policy(LocalSide):
    """What an acceptor accepts. Where a :class:`Supported` is asked for, its transfer syntaxes alone will do.

    Parameters
    ----------
    supported : mapping of str to Supported or None
        The abstract syntaxes by UID. One that is mapped to ``None`` is refused whatever the rules below say.
    related_general : bool
        Accept an abstract syntax that is not listed if the offer declares it related to one that is, and as that one is
        supported (SOP class common extended negotiation, PS3.7 D.3.3.6).
    service_classes : mapping of str to Supported
        Accept an abstract syntax that is not listed if the offer declares it to be of one of these service classes, by
        UID: what a level 2 storage SCP may do (PS3.4 B.4.1.2).
    unrestricted : Supported, optional
        Accept every other abstract syntax, except those in ``unrestricted_except``.
    unrestricted_except : iterable of str
        UIDs that are known to be something else, for instance every SOP class that is not a storage SOP class.
    called_ae_titles, calling_ae_titles : str, iterable of str, or None
        The AE titles that must be called, and that may call; any if there are none.
    requestor_order : bool
        Take the first transfer syntax of the requestor that is supported, not the first supported one that is proposed.
    identity_required : bool
        Reject an offer without a user identity, and one whose identity the application has not accepted.
    tolerance : Tolerance
        Whether blank AE titles are accepted, and contexts without the roles that they should have.

    Raises
    ------
    LocalProtocolError
        If a value cannot be right.
    """

    supported: Mapping[str, Supported | None] = field(converter=_as_optional_supported_by_uid)
    related_general: bool = False
    service_classes: Mapping[str, Supported] = field(factory=dict, converter=_as_supported_by_uid)
    unrestricted: Supported | None = field(default=None, converter=_as_optional_supported)
    unrestricted_except: frozenset[str] = field(default=(), converter=_as_uids)
    called_ae_titles: frozenset[str] = field(default=None, converter=_as_ae_titles)
    calling_ae_titles: frozenset[str] = field(default=None, converter=_as_ae_titles)
    requestor_order: bool = False
    identity_required: bool = False
    tolerance: Tolerance = DEFAULT_TOLERANCE

    def supporting(self, supported: Mapping[str, _Support | None]) -> "Policy":
        """Return this policy with other support for some abstract syntaxes; ``None`` refuses one."""
        return evolve(self, supported={**self.supported, **supported})

    def find(self, abstract_syntax: str, declared: CommonExtendedNegotiation | None = None) -> Supported | None:
        """Return how an abstract syntax is supported, if it is; ``declared`` is what the offer says that it is."""
        if abstract_syntax in self.supported:
            return self.supported[abstract_syntax]
        if not is_valid_uid(abstract_syntax):  # no answer could name it
            return None
        if declared is not None:
            if self.related_general:
                for uid in declared.related_general_sop_class_uids:
                    general = self.supported.get(uid)
                    if general is not None:
                        return general
            if declared.service_class_uid in self.service_classes:
                return self.service_classes[declared.service_class_uid]
        return None if abstract_syntax in self.unrestricted_except else self.unrestricted


@frozen(kw_only=True)
class Review:
    """An offer that a policy does not reject: what the policy has decided, and what it leaves to the application.

    The application decides when it calls :meth:`answer`; for what it has no opinion on there are defaults. It may also
    overrule the policy: :meth:`overrule` reviews again with other support for some SOP classes.

    Parameters
    ----------
    offer, policy
        What was held against what.
    context_results : tuple of ContextResult
        Decided: the answer to each presentation context (PS3.8 9.3.3.2).
    roles : tuple of RoleSelection
        Decided: the answer to the roles that were proposed (PS3.7 D.3.3.4).
    operations_window : OperationsWindow or None
        Decided, but open to the application: the answer to the window that was proposed, if any was (PS3.7 D.3.3.3).
    identity : UserIdentity or None
        For the application to verify (PS3.7 D.3.3.7).
    extended : mapping of str to bytes
        For the application to answer: service class application information by SOP class UID (PS3.7 D.3.3.5).
    common_extended : mapping of str to CommonExtendedNegotiation
        What the offer says that its SOP classes are, by their UID (PS3.7 D.3.3.6); the policy has used it already.
    without_roles : frozenset of int
        The presentation contexts that lack roles which they should have: see ``Tolerance.missing_roles``.
    """

    offer: AAssociateRQ
    policy: Policy
    context_results: tuple[ContextResult, ...]
    roles: tuple[RoleSelection, ...]
    operations_window: OperationsWindow | None
    identity: UserIdentity | None
    extended: Mapping[str, bytes]
    common_extended: Mapping[str, CommonExtendedNegotiation]
    without_roles: frozenset[int] = frozenset()

    def overrule(self, supported: Mapping[str, _Support | None]) -> "Review":
        """Review the same offer with other support for some abstract syntaxes; ``None`` refuses one."""
        return _review(self.offer, self.policy.supporting(supported))

    def answer(
        self,
        *,
        identity: bool | bytes | None = None,
        extended: Mapping[str, bytes] | None = None,
        operations_window: OperationsWindow | None = None,
        refused: Mapping[int, int] | None = None,
        rejection: AAssociateRJ | None = None,
    ) -> AAssociateAC | AAssociateRJ:
        """Make the answer to the offer.

        Parameters
        ----------
        identity : bool, bytes or None
            The verdict on the user identity: True accepts it; a Kerberos ticket or SAML response accepts it, and is
            sent if the requestor has asked for a response; False rejects the association. ``None`` says nothing: the
            requestor learns that it was not looked at, and where the policy requires an identity it is refused.
        extended : mapping of str to bytes, optional
            Service class application information by SOP class UID; left out where the offer has none for it.
        operations_window : OperationsWindow, optional
            Another window than the policy's, as in the sub-item: its numbers are those of the requestor. More than was
            proposed is not sent, and nothing if no window was proposed.
        refused : mapping of int to int, optional
            Presentation contexts, by ID, that are refused after all, each with its result from 1 to 4.
        rejection : AAssociateRJ, optional
            Reject the association: :data:`NO_REASON_GIVEN`, :data:`TEMPORARY_CONGESTION`, :data:`LOCAL_LIMIT_EXCEEDED`,
            or any other.

        Raises
        ------
        LocalProtocolError
            If a refused context was not proposed, or its result is not from 1 to 4; if a response is given to an
            identity whose type has none.
        """
        if rejection is not None:
            return rejection
        is_plain = self.identity is None and identity is None and not (extended or operations_window or refused)
        known = _ANSWERS.get(id(self)) if is_plain else None
        if known is not None:
            return known[1]
        is_accepted = identity is True or isinstance(identity, bytes)
        if not is_accepted and (identity is not None or self.policy.identity_required):
            return USER_IDENTITY_REFUSED
        results = self._refuse(refused or {})
        answer = AAssociateAC(
            context_results=results,
            user_information=UserInformation(
                maximum_length=self.policy.maximum_length,
                implementation_class_uid=self.policy.implementation_class_uid,
                implementation_version_name=self.policy.implementation_version_name,
                operations_window=self._answer_window(operations_window),
                roles=self._roles_of(results),
                extended=tuple(
                    ExtendedNegotiation(uid, information)
                    for uid, information in (extended or {}).items()
                    if uid in self.extended
                ),
                identity_response=self._answer_identity(identity),
            ),
            echo=self.offer.echo if len(self.offer.echo) == 64 else bytes(64),
            tolerated=self._tolerated_in(results),
        )
        if is_plain:
            _ANSWERS.keep(id(self), (self, answer), weigh(self.offer))
        return answer

    def _refuse(self, refused: Mapping[int, int]) -> tuple[ContextResult, ...]:
        results = {result.context_id: result for result in self.context_results}
        for context_id, reason in refused.items():
            if context_id not in results:
                raise LocalProtocolError(f"presentation context {context_id!r} was not proposed and cannot be refused")
            check_integer(reason, "result of a refused presentation context", 1, max(PresentationContextResult))
            results[context_id] = evolve(results[context_id], result=reason)
        return tuple(results.values())

    def _roles_of(self, results: tuple[ContextResult, ...]) -> tuple[RoleSelection, ...]:
        """Return the roles of SOP classes that still have an accepted context."""
        accepted = {result.context_id for result in results if result.result == PresentationContextResult.ACCEPTANCE}
        uids = {
            context.abstract_syntax for context in self.offer.presentation_contexts if context.context_id in accepted
        }
        return tuple(role for role in self.roles if role.sop_class_uid in uids)

    def _tolerated_in(self, results: tuple[ContextResult, ...]) -> tuple[tuple[str, str], ...]:
        """Return what had to be tolerated for the contexts that are accepted in the end."""
        accepted = (one.context_id for one in results if one.result == PresentationContextResult.ACCEPTANCE)
        first, *others = sorted(self.without_roles.intersection(accepted)) or (None,)
        if first is None:
            return ()
        more = f" and {len(others)} more" if others else ""
        return (("missing_roles", f"no roles for presentation context {first}{more} (PS3.7 D.3.3.4)"),)

    def _answer_window(self, window: OperationsWindow | None) -> OperationsWindow | None:
        proposed = self.offer.user_information.operations_window
        return self.operations_window if window is None or proposed is None else clamp_window(proposed, window)

    def _answer_identity(self, verdict: bool | bytes | None) -> bytes | None:
        """Return the server response of an accepted identity if one was asked for (PS3.7 D.3.3.7.2)."""
        if verdict is None or self.identity is None or not self.identity.positive_response_requested:
            return None
        response = verdict if isinstance(verdict, bytes) else b""
        if response and self.identity.identity_type in _EMPTY_RESPONSES:
            raise LocalProtocolError(f"user identity type {int(self.identity.identity_type)} has an empty response")
        return response


def review(offer: AAssociateRQ, policy: Policy) -> Review | AAssociateRJ:
    """Hold an offer against a policy.

    Returns
    -------
    Review or AAssociateRJ
        The rejection if the protocol version has bit 0 clear, the application context is unknown, an AE title is not
        recognized, or a required user identity is missing. An offer none of whose contexts is accepted is not rejected.
    """
    if not offer.protocol_version & 1:  # the only bit that a receiver of version 1 tests (PS3.8 9.3.2)
        return PROTOCOL_VERSION_NOT_SUPPORTED
    if offer.application_context_name != APPLICATION_CONTEXT_NAME:
        return APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
    if not _is_recognized(offer.called_ae_title, policy.called_ae_titles, policy.tolerance):
        return CALLED_AE_TITLE_NOT_RECOGNIZED
    if not _is_recognized(offer.calling_ae_title, policy.calling_ae_titles, policy.tolerance):
        return CALLING_AE_TITLE_NOT_RECOGNIZED
    if policy.identity_required and offer.user_information.identity is None:
        return USER_IDENTITY_REFUSED
    if offer.user_information.identity is not None:
        return _review(offer, policy)
    key = id(offer), id(policy)
    known = _REVIEWS.get(key)
    if known is None:
        known = offer, policy, _review(offer, policy)
        _REVIEWS.keep(key, known, weigh(offer))
    return known[2]


_REVIEWS: Final[Remembered[tuple[AAssociateRQ, Policy, Review]]] = Remembered()
_ANSWERS: Final[Remembered[tuple[Review, AAssociateAC]]] = Remembered()


def _is_recognized(title: str, recognized: frozenset[str], tolerance: Tolerance) -> bool:
    """Compare an AE title without its insignificant spaces, but with regard to case (PS3.8 9.3.2)."""
    title = title.strip(" ")
    if not title and not tolerance.blank_ae_titles:
        return False
    return not recognized or title in recognized


def _review(offer: AAssociateRQ, policy: Policy) -> Review:
    information = offer.user_information
    proposed_roles = {role.sop_class_uid: role for role in information.roles}
    declared = {sub_item.sop_class_uid: sub_item for sub_item in information.common_extended}
    uids = {context.abstract_syntax for context in offer.presentation_contexts}
    supported = {uid: policy.find(uid, declared.get(uid)) for uid in uids}  # once each: a declaration may be long
    results, roles, without_roles = [], {}, set()
    for context in offer.presentation_contexts:
        uid = context.abstract_syntax
        one, proposed = supported[uid], proposed_roles.get(uid)
        result, role = _judge(context, one, proposed, policy)
        results.append(result)
        if role is not None:
            roles[uid] = role
        if proposed is None and one is not None and one.scu_role is False:
            without_roles.add(context.context_id)
    window = information.operations_window
    # What the requestor invokes the acceptor performs, and the other way round.
    own = OperationsWindow(policy.maximum_performed, policy.maximum_invoked)
    return Review(
        offer=offer,
        policy=policy,
        context_results=tuple(results),
        roles=tuple(roles.values()),
        operations_window=None if window is None else clamp_window(window, own),
        identity=information.identity,
        extended=MappingProxyType(
            {item.sop_class_uid: item.information for item in information.extended if is_valid_uid(item.sop_class_uid)}
        ),
        common_extended=MappingProxyType(declared),
        without_roles=frozenset(without_roles),
    )


def _judge(
    context: ProposedContext, supported: Supported | None, proposed: RoleSelection | None, policy: Policy
) -> tuple[ContextResult, RoleSelection | None]:
    """Return the answer to one presentation context, and to the roles proposed for it if it is accepted."""

    def reject(result: PresentationContextResult) -> tuple[ContextResult, None]:
        # The transfer syntax means nothing now, but its sub-item is there and must hold a UID (PS3.8 9.3.3.2).
        transfer_syntax = next(filter(is_valid_uid, context.transfer_syntaxes), None)
        return ContextResult(context.context_id, result, transfer_syntax), None

    if context.context_id % 2 == 0:  # decoded only where that is tolerated; it cannot be used (PS3.8 9.3.2.2)
        return reject(PresentationContextResult.USER_REJECTION)
    if supported is None:
        return reject(PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
    if proposed is None:
        role = None
        is_usable = policy.tolerance.missing_roles or supported.scu_role is not False
    else:
        role = supported.answer_roles(proposed)
        is_usable = role is None or role.scu or role.scp
    if not is_usable:
        return reject(PresentationContextResult.USER_REJECTION)
    transfer_syntax = _choose(context.transfer_syntaxes, supported.transfer_syntaxes, policy.requestor_order)
    if transfer_syntax is None:
        return reject(PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)
    return ContextResult(context.context_id, PresentationContextResult.ACCEPTANCE, transfer_syntax), role


def _choose(proposed: tuple[str, ...], supported: tuple[str, ...], requestor_order: bool) -> str | None:
    """Return the first transfer syntax of one side, in its order, that the other side has too."""
    preferred, others = (proposed, set(supported)) if requestor_order else (supported, set(proposed))
    return next((uid for uid in preferred if uid in others), None)
