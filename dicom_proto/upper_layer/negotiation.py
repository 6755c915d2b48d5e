"""What the two sides of an association propose, and what comes of it (PS3.8 7.1, PS3.7 Annex D).

Stable.

Pure functions over the records of the PDUs. :func:`build_offer` makes an A-ASSOCIATE-RQ,
:func:`dicom_proto.upper_layer.policy.review` answers one, and :func:`agree` reads from request and answer what was
negotiated. Both sides call the same :func:`agree`, so what one side takes itself to be the other takes its peer to be.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen
from attrs.converters import optional

from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import SMALLEST_MAXIMUM_LENGTH
from dicom_proto.names import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_VR_LITTLE_ENDIAN,
    check_ae_title,
    check_uid,
    check_version_name,
)
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
    check_integer,
)
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ, encode_pdu
from dicom_proto.upper_layer.remembered import Remembered

__all__ = [
    "DEFAULT_LOCAL_SIDE",
    "AcceptedContext",
    "Agreement",
    "Implementation",
    "LocalSide",
    "RejectedContext",
    "agree",
    "as_transfer_syntaxes",
    "build_offer",
    "clamp_window",
    "weigh",
    "without_default_transfer_syntax",
]

_LONGEST_UID: Final = 64  # characters (PS3.5 9.1)


def _as_maximum_length(length: int) -> int:
    return 0 if length == 0 else check_integer(length, "maximum length", SMALLEST_MAXIMUM_LENGTH, 0xFFFFFFFF)


def _as_operations(count: int) -> int:
    return check_integer(count, "number of operations", 0, 0xFFFF)


@frozen(kw_only=True)
class LocalSide:
    """What this side states about itself in every association, as the requestor or as the acceptor.

    Parameters
    ----------
    maximum_length : int
        Longest P-DATA-TF that this side wants to receive, in bytes of its PDU length field; 0 is no limit (PS3.8 D.1).
    maximum_invoked, maximum_performed : int
        Most operations that this side keeps outstanding at the peer, and that it performs for the peer at a time; 1 is
        synchronous, 0 is unlimited (PS3.7 D.3.3.3).
    implementation_class_uid : str
        Which implementation this is (PS3.7 D.3.3.2).
    implementation_version_name : str or None
        Its version, 1 to 16 characters; ``None`` leaves it out.

    Raises
    ------
    LocalProtocolError
        If a value is not one that may be sent.
    """

    maximum_length: int = field(default=1 << 17, converter=_as_maximum_length)
    maximum_invoked: int = field(default=1, converter=_as_operations)
    maximum_performed: int = field(default=1, converter=_as_operations)
    implementation_class_uid: str = field(default=IMPLEMENTATION_CLASS_UID, converter=check_uid)
    implementation_version_name: str | None = field(
        default=IMPLEMENTATION_VERSION_NAME, converter=optional(check_version_name)
    )


DEFAULT_LOCAL_SIDE: Final = LocalSide()


def as_transfer_syntaxes(uids: str | Iterable[str]) -> tuple[str, ...]:
    """Return the transfer syntaxes that a caller has named, one or several, in their order and each of them once.

    Raises
    ------
    LocalProtocolError
        If there is none, or one is not a UID.
    """
    transfer_syntaxes = tuple(dict.fromkeys(map(check_uid, [uids] if isinstance(uids, str) else uids)))
    if not transfer_syntaxes:
        raise LocalProtocolError("a presentation context without a transfer syntax (PS3.8 7.1.1.13)")
    return transfer_syntaxes


def build_offer(
    called_ae_title: str,
    calling_ae_title: str,
    contexts: Iterable[tuple[str, str | Iterable[str]]],
    *,
    roles: Iterable[RoleSelection] = (),
    extended: Mapping[str, bytes] | None = None,
    common_extended: Iterable[CommonExtendedNegotiation] = (),
    identity: UserIdentity | None = None,
    local: LocalSide = DEFAULT_LOCAL_SIDE,
) -> AAssociateRQ:
    """Make the A-ASSOCIATE-RQ of an association-requestor (PS3.8 7.1.1).

    Parameters
    ----------
    called_ae_title, calling_ae_title : str
        Whom the association is requested from, and who requests it.
    contexts : iterable of (str, str or iterable of str)
        1 to 128 presentation contexts, which get the IDs 1, 3, 5, ...: abstract syntax, and its transfer syntaxes. An
        abstract syntax may occur several times.
    roles : iterable of RoleSelection
        Where the requestor wants to be more, or something else, than the SCU (PS3.7 D.3.3.4).
    extended : mapping of str to bytes, optional
        SOP class extended negotiation: service class application information by SOP class UID (PS3.7 D.3.3.5);
        :mod:`dicom_proto.upper_layer.extended` makes the bytes.
    common_extended : iterable of CommonExtendedNegotiation
        What the proposed SOP classes are (PS3.7 D.3.3.6).
    identity : UserIdentity, optional
        Who the user is (PS3.7 D.3.3.7). A passcode travels in the clear unless the connection is encrypted.
    local : LocalSide
        What this side states about itself. An operations window is proposed unless both its numbers are 1.

    Raises
    ------
    LocalProtocolError
        If the offer may not be sent as it is, if it negotiates something for a SOP class that it does not propose, or
        if it proposes neither role.
    """
    contexts = [(uid, syntaxes if isinstance(syntaxes, str) else tuple(syntaxes)) for uid, syntaxes in contexts]
    roles, common_extended = tuple(roles), tuple(common_extended)
    key: Any = None
    if identity is None:
        settings = (called_ae_title, calling_ae_title, roles, tuple((extended or {}).items()), common_extended, local)
        key = (*contexts, *settings)
        with suppress(TypeError):  # something of a wrong type, which is about to be refused
            known = _OFFERS.get(key)
            if known is not None:
                return known
    proposed = tuple(
        ProposedContext(2 * index + 1, check_uid(abstract_syntax), as_transfer_syntaxes(transfer_syntaxes))
        for index, (abstract_syntax, transfer_syntaxes) in enumerate(contexts)
    )
    if not 1 <= len(proposed) <= 128:
        raise LocalProtocolError(f"{len(proposed)} presentation contexts, an offer has 1 to 128 (PS3.8 7.1.1.13)")
    window = OperationsWindow(local.maximum_invoked, local.maximum_performed)
    offer = AAssociateRQ(
        called_ae_title=check_ae_title(called_ae_title),
        calling_ae_title=check_ae_title(calling_ae_title),
        presentation_contexts=proposed,
        user_information=UserInformation(
            maximum_length=local.maximum_length,
            implementation_class_uid=local.implementation_class_uid,
            implementation_version_name=local.implementation_version_name,
            operations_window=None if window == OperationsWindow(1, 1) else window,
            roles=roles,
            extended=tuple(ExtendedNegotiation(uid, information) for uid, information in (extended or {}).items()),
            common_extended=common_extended,
            identity=identity,
        ),
    )
    _check_sub_items(offer)
    encoded = encode_pdu(offer)  # the codec knows every other rule
    if key is not None:
        _OFFERS.keep(key, offer, len(encoded))
    return offer


_OFFERS: Final[Remembered[AAssociateRQ]] = Remembered()


def _check_sub_items(offer: AAssociateRQ) -> None:
    """See that what is negotiated for SOP classes has presentation contexts that it can apply to, and a role each."""
    information = offer.user_information
    abstract_syntaxes = {context.abstract_syntax for context in offer.presentation_contexts}
    sub_items: tuple[RoleSelection | ExtendedNegotiation | CommonExtendedNegotiation, ...]
    sub_items = (*information.roles, *information.extended, *information.common_extended)
    for sub_item in sub_items:
        if sub_item.sop_class_uid not in abstract_syntaxes:
            raise LocalProtocolError(
                f"{type(sub_item).__name__} for {sub_item.sop_class_uid!r}, which no presentation context proposes"
            )
    for role in information.roles:
        if not (role.scu or role.scp):
            raise LocalProtocolError(f"{role.sop_class_uid} is proposed with neither the SCU nor the SCP role")


def without_default_transfer_syntax(offer: AAssociateRQ) -> tuple[str, ...]:
    """Return the abstract syntaxes that an offer proposes in no context with Implicit VR Little Endian.

    PS3.5 10.1 asks for it, but for senders that have nothing except lossy compressed data, or data too large for that
    syntax: so this is advice, and nothing is refused for it.
    """
    has_default: dict[str, bool] = {}
    for context in offer.presentation_contexts:
        offers_it = IMPLICIT_VR_LITTLE_ENDIAN in context.transfer_syntaxes
        has_default[context.abstract_syntax] = has_default.get(context.abstract_syntax, False) or offers_it
    return tuple(abstract_syntax for abstract_syntax, has_it in has_default.items() if not has_it)


@frozen
class AcceptedContext:
    """A presentation context that both sides may use.

    The roles of the acceptor are the other way round. A context for which the acceptor has refused every role that was
    proposed is accepted all the same, and of use to neither side (PS3.7 D.3.3.4).
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    requestor_is_scu: bool = True
    requestor_is_scp: bool = False

    @property
    def acceptor_is_scu(self) -> bool:
        """Whether the association-acceptor may invoke operations on this context."""
        return self.requestor_is_scp

    @property
    def acceptor_is_scp(self) -> bool:
        """Whether the association-acceptor performs operations on this context."""
        return self.requestor_is_scu


@frozen
class RejectedContext:
    """A presentation context that was proposed and not accepted; ``result`` is its reason (PS3.8 9.3.3.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    result: int


@frozen
class Implementation:
    """What a side has said about its implementation (PS3.7 D.3.3.2); ``None`` is what it has left out."""

    class_uid: str | None
    version_name: str | None


@frozen(kw_only=True)
class Agreement:
    """What an association was negotiated to be; the same on both sides.

    Parameters
    ----------
    contexts : mapping of int to AcceptedContext
        The accepted presentation contexts by ID.
    rejected : mapping of int to RejectedContext
        All others that were proposed.
    roles : mapping of str to RoleSelection
        The roles that the requestor has, by the SOP class UIDs for which it proposed some. For all others it is the SCU
        (PS3.7 D.3.3.4).
    requestor_window, acceptor_window : int
        Most operations that each side may have outstanding; 0 is unlimited (PS3.7 D.3.3.3).
    requestor_maximum_length, acceptor_maximum_length : int
        Longest P-DATA-TF that each side wants to receive, in bytes of its PDU length field; 0 where it has stated no
        limit, or left the item out (PS3.8 D.1).
    requestor_implementation, acceptor_implementation : Implementation
        What each side says that it is.
    extended : mapping of str to bytes
        The acceptor's service class application information by SOP class UID (PS3.7 D.3.3.5).
    identity_response : bytes or None
        The acceptor's answer to the user identity, which may be empty. ``None`` after a positive response was requested
        means that the acceptor has not looked at the identity (PS3.7 D.3.3.7).
    application_context_name : str
        That of the answer; a requestor that cannot use it aborts (PS3.8 7.1.1.2).
    faults : tuple of str
        What the answer says against the rules, in words; all of it was left out of this agreement.
    """

    contexts: Mapping[int, AcceptedContext]
    rejected: Mapping[int, RejectedContext]
    roles: Mapping[str, RoleSelection]
    requestor_window: int
    acceptor_window: int
    requestor_maximum_length: int
    acceptor_maximum_length: int
    requestor_implementation: Implementation
    acceptor_implementation: Implementation
    extended: Mapping[str, bytes]
    identity_response: bytes | None = field(repr=False)
    application_context_name: str
    faults: tuple[str, ...]


def agree(offer: AAssociateRQ, answer: AAssociateAC) -> Agreement:
    """Work out what an A-ASSOCIATE-RQ and the A-ASSOCIATE-AC that answers it have settled; never fails.

    What the answer may not say is ignored, and kept in words in ``faults``. A context that is not answered counts as
    rejected with result 2 (no reason), and so does one accepted with a transfer syntax that was not proposed for it:
    the requestor has never said that it can read or write that.
    """
    if offer.user_information.identity is not None or answer.user_information.identity_response is not None:
        return _agree(offer, answer)
    key = id(offer), id(answer)
    known = _AGREEMENTS.get(key)
    if known is None:
        known = offer, answer, _agree(offer, answer)
        _AGREEMENTS.keep(key, known, weigh(offer))
    return known[2]


_AGREEMENTS: Final[Remembered[tuple[AAssociateRQ, AAssociateAC, Agreement]]] = Remembered()


def weigh(offer: AAssociateRQ) -> int:
    """Return about how many bytes there are in what is made of an offer."""
    return sum(64 + 64 * len(context.transfer_syntaxes) for context in offer.presentation_contexts)


def _agree(offer: AAssociateRQ, answer: AAssociateAC) -> Agreement:
    faults: list[str] = []
    asked, given = offer.user_information, answer.user_information
    roles = _agree_on_roles(asked.roles, given.roles, faults)
    contexts, rejected = _agree_on_contexts(offer, answer, roles, faults)
    window = _agree_on_window(asked.operations_window, given.operations_window, faults)
    return Agreement(
        contexts=MappingProxyType(contexts),
        rejected=MappingProxyType(rejected),
        roles=MappingProxyType(roles),
        requestor_window=window.invoked,
        acceptor_window=window.performed,
        requestor_maximum_length=asked.maximum_length or 0,
        acceptor_maximum_length=given.maximum_length or 0,
        requestor_implementation=Implementation(asked.implementation_class_uid, asked.implementation_version_name),
        acceptor_implementation=Implementation(given.implementation_class_uid, given.implementation_version_name),
        extended=MappingProxyType(_agree_on_extended(asked.extended, given.extended, faults)),
        identity_response=_agree_on_identity(asked.identity, given.identity_response, faults),
        application_context_name=answer.application_context_name,
        faults=tuple(faults),
    )


def _quoted(uid: str | None) -> str:
    """Quote a UID of a peer, which may have any length and characters, as far as UIDs go (PS3.5 9.1)."""
    return repr(uid) if uid is None or len(uid) <= _LONGEST_UID else f"{uid[:_LONGEST_UID]!r}..."


def clamp_window(window: OperationsWindow, bound: OperationsWindow) -> OperationsWindow:
    """Return the smaller of each of the two numbers of two windows, where 0 is unlimited."""
    return OperationsWindow(
        min(window.invoked, bound.invoked) or max(window.invoked, bound.invoked),
        min(window.performed, bound.performed) or max(window.performed, bound.performed),
    )


def _agree_on_roles(
    proposed: tuple[RoleSelection, ...], answered: tuple[RoleSelection, ...], faults: list[str]
) -> dict[str, RoleSelection]:
    """Return the requestor's roles for each SOP class where it proposed some; 1 cannot answer 0 (PS3.7 D.3.3.4)."""
    answers = {role.sop_class_uid: role for role in answered}
    roles = {}
    for ours in proposed:
        uid = ours.sop_class_uid
        theirs = answers.pop(uid, None)
        if theirs is None:
            roles[uid] = RoleSelection(uid, scu=True, scp=False)
            continue
        roles[uid] = RoleSelection(uid, scu=ours.scu and theirs.scu, scp=ours.scp and theirs.scp)
        if roles[uid] != theirs:
            faults.append(f"a role that was not proposed for {_quoted(uid)} is accepted")
    faults += [f"roles are answered for {_quoted(uid)}, for which none were proposed" for uid in answers]
    return roles


def _agree_on_contexts(
    offer: AAssociateRQ, answer: AAssociateAC, roles: Mapping[str, RoleSelection], faults: list[str]
) -> tuple[dict[int, AcceptedContext], dict[int, RejectedContext]]:
    results = {result.context_id: result for result in answer.context_results}
    accepted, rejected = {}, {}
    for context in offer.presentation_contexts:
        context_id, uid = context.context_id, context.abstract_syntax
        outcome = _outcome(context, results.pop(context_id, None), faults)
        if isinstance(outcome, int):
            rejected[context_id] = RejectedContext(context_id, uid, context.transfer_syntaxes, outcome)
        elif uid in roles:
            accepted[context_id] = AcceptedContext(context_id, uid, outcome, roles[uid].scu, roles[uid].scp)
        else:
            accepted[context_id] = AcceptedContext(context_id, uid, outcome)
    faults += [f"presentation context {context_id} is answered, which was not proposed" for context_id in results]
    return accepted, rejected


def _outcome(context: ProposedContext, answer: ContextResult | None, faults: list[str]) -> str | int:
    """Return the transfer syntax with which a context is accepted, or the result with which it is rejected."""
    if answer is None:
        faults.append(f"presentation context {context.context_id} is not answered")
        return PresentationContextResult.NO_REASON
    if answer.result != PresentationContextResult.ACCEPTANCE:
        return answer.result
    if answer.transfer_syntax is None or answer.transfer_syntax not in context.transfer_syntaxes:
        uid = _quoted(answer.transfer_syntax)
        faults.append(f"presentation context {context.context_id} is accepted with {uid}, which it does not propose")
        return PresentationContextResult.NO_REASON
    return answer.transfer_syntax


def _agree_on_window(
    proposed: OperationsWindow | None, answered: OperationsWindow | None, faults: list[str]
) -> OperationsWindow:
    """Return how many operations the requestor invokes and performs at a time (PS3.7 D.3.3.3)."""
    if proposed is None or answered is None:
        if answered is not None:
            faults.append("an asynchronous operations window is answered, which was not proposed")
        return OperationsWindow(1, 1)
    window = clamp_window(proposed, answered)
    if window != answered:
        faults.append("the asynchronous operations window that is answered is larger than the one proposed")
    return window


def _agree_on_extended(
    proposed: tuple[ExtendedNegotiation, ...], answered: tuple[ExtendedNegotiation, ...], faults: list[str]
) -> dict[str, bytes]:
    offered = {sub_item.sop_class_uid for sub_item in proposed}
    agreed = {}
    for sub_item in answered:
        if sub_item.sop_class_uid in offered:
            agreed[sub_item.sop_class_uid] = sub_item.information
        else:
            uid = _quoted(sub_item.sop_class_uid)
            faults.append(f"extended negotiation is answered for {uid}, which did not offer any")
    return agreed


def _agree_on_identity(identity: UserIdentity | None, response: bytes | None, faults: list[str]) -> bytes | None:
    if response is not None and not (identity is not None and identity.positive_response_requested):
        faults.append("the user identity is answered although no response was requested")
        return None
    return response
