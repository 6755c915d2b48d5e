"""The answer to an association request (PS3.7 Annex D): what the policy decides, and what it asks handlers for.

May change.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from dicom_proto.application.access import Refusal, refusal_of
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.kinds import (
    EVT_ACCESS,
    EVT_ASYNC_OPS,
    EVT_SOP_COMMON,
    EVT_SOP_EXTENDED,
    EVT_USER_ID,
    EventKind,
)
from dicom_proto.names import is_valid_uid
from dicom_proto.offers.items import SOPClassCommonExtendedNegotiation
from dicom_proto.programs.effects import Call, Program
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.items import CommonExtendedNegotiation, OperationsWindow
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ, encode_pdu
from dicom_proto.upper_layer.policy import NO_REASON_GIVEN, USER_IDENTITY_REFUSED, Policy, Review, review

__all__ = ["answer_request"]

_log = logging.getLogger("dicom_proto.services")
_FAILED: Final = object()
_NO_ACCESS: Final = "it has refused access"
_BY_IDENTITY: Final = Refusal(
    USER_IDENTITY_REFUSED, "the handler of EVT_USER_ID", "it has not accepted the user identity"
)
_UNSEEN: Final = Refusal(
    USER_IDENTITY_REFUSED, "AE.require_user_identity", "no handler of EVT_USER_ID is bound that could accept it"
)


def answer_request(peer: Peer, offer: AAssociateRQ, policy: Policy) -> Program[AAssociateAC | Refusal]:
    """Make the answer to a request, asking handlers for what the policy leaves to them.

    ``EVT_ACCESS`` comes first, for what the policy has not rejected: its handler returns ``True``, or ``False`` or an
    A-ASSOCIATE-RJ to refuse the association. ``EVT_USER_ID`` has to return ``(accepted, response)``,
    ``EVT_SOP_EXTENDED`` a dict of SOP Class UID to bytes, ``EVT_ASYNC_OPS`` the numbers of operations ``(invoked,
    performed)``, and ``EVT_SOP_COMMON`` a dict of SOP Class UID to the declarations that count: a SOP class is then
    supported as what it is declared to be, and not on the strength of a declaration that was left out. A handler that
    raises or returns nonsense is as one that is not bound, but for access and the user identity,
    which are refused then.
    """
    verdict = review(offer, policy)
    if isinstance(verdict, AAssociateRJ):
        return refusal_of(offer, policy, verdict)
    refusal = yield from _access(peer, offer)
    if refusal is not None:
        return refusal
    identity = yield from _identity(peer, verdict)
    if identity is False:
        return _BY_IDENTITY
    verdict = yield from _common(peer, verdict)
    extended = yield from _extended(peer, verdict)
    window = yield from _window(peer, verdict)
    try:
        answer = verdict.answer(identity=identity, extended=extended, operations_window=window)
        encode_pdu(answer)
    except LocalProtocolError:
        _log.exception("what handlers have answered cannot be sent: the association is answered without it")
        answer = verdict.answer(identity=identity is not None or None, operations_window=window)
    return _UNSEEN if isinstance(answer, AAssociateRJ) else answer


def _ask(peer: Peer, kind: EventKind, **attributes: Any) -> Program[Any]:
    """Call the handler of an event; ``None`` if there is none, a value of its own if it raises."""
    binding = peer.handlers.binding(kind)
    if binding is None:
        return None
    try:
        return (yield Call(binding.handler, (Event(kind, peer.association, **attributes), *binding.arguments)))
    except Exception:  # noqa: BLE001 - whatever a user's function raises does not decide
        _log.exception("the handler of %s raised", kind)
        return _FAILED


def _access(peer: Peer, offer: AAssociateRQ) -> Program[Refusal | None]:
    """Let the handler say whether the requestor may have an association at all."""
    if peer.handlers.binding(EVT_ACCESS) is None:
        return None
    association = peer.association
    tls = association.tls
    result = yield from _ask(
        peer,
        EVT_ACCESS,
        address=association.peer_address,
        calling_ae_title=offer.calling_ae_title,
        called_ae_title=offer.called_ae_title,
        identity=offer.user_information.identity,
        tls=tls,
        certificate=None if tls is None else tls.certificate,
    )
    return None if result is True else _refusal_by_handler(result)


def _refusal_by_handler(result: Any) -> Refusal:
    handler = f"the handler of {EVT_ACCESS}"
    if isinstance(result, AAssociateRJ) and _can_be_sent(result):
        return Refusal(result, handler, _NO_ACCESS)
    if result is False:
        return Refusal(NO_REASON_GIVEN, handler, _NO_ACCESS)
    if result is not _FAILED:
        _log.error("%s has to return True, False or an AAssociateRJ: access is refused", handler)
    return Refusal(NO_REASON_GIVEN, handler, "it has not decided")


def _can_be_sent(rejection: AAssociateRJ) -> bool:
    try:
        encode_pdu(rejection)
    except LocalProtocolError:
        return False
    return True


def _identity(peer: Peer, verdict: Review) -> Program[bool | bytes | None]:
    identity = verdict.identity
    if identity is None or peer.handlers.binding(EVT_USER_ID) is None:
        return None
    result = yield from _ask(
        peer,
        EVT_USER_ID,
        user_id_type=identity.identity_type,
        primary_field=identity.primary,
        secondary_field=identity.secondary or None,
    )
    match result:
        case (True, bytes() as response):
            return response
        case (True, None) | True:
            return True
        case (False, _) | False:
            return False
        case _:
            _log.error("the handler of %s has to return (accepted, response): the identity is refused", EVT_USER_ID)
            return False


def _extended(peer: Peer, verdict: Review) -> Program[Mapping[str, bytes]]:
    if not verdict.extended:
        return {}
    result = yield from _ask(peer, EVT_SOP_EXTENDED, app_info=dict(verdict.extended))
    if not isinstance(result, Mapping):
        return {}
    return {uid: information for uid, information in result.items() if isinstance(information, bytes)}


def _common(peer: Peer, verdict: Review) -> Program[Review]:
    """Let the handler say which declarations count; those that it leaves out do not, whatever the policy says."""
    if not verdict.common_extended:
        return verdict
    result = yield from _ask(peer, EVT_SOP_COMMON, items=dict(verdict.common_extended))
    if not isinstance(result, Mapping):
        return verdict
    taken = {uid: _as_declaration(item) for uid, item in result.items()}
    policy = evolve(verdict.policy, related_general=True)
    return verdict.overrule(
        {uid: policy.find(uid, taken.get(uid)) for uid in verdict.common_extended if is_valid_uid(uid)}
    )


def _as_declaration(item: Any) -> CommonExtendedNegotiation | None:
    """Return what a handler gave as a declaration; ``None`` if it is none."""
    try:
        item = item.to_item() if isinstance(item, SOPClassCommonExtendedNegotiation) else item
    except LocalProtocolError:  # it has not been filled in
        return None
    return item if isinstance(item, CommonExtendedNegotiation) else None


def _window(peer: Peer, verdict: Review) -> Program[OperationsWindow | None]:
    proposed = verdict.offer.user_information.operations_window
    if proposed is None:
        return None
    numbers = {"invoked": proposed.invoked, "performed": proposed.performed}
    result = yield from _ask(
        peer, EVT_ASYNC_OPS, **numbers, **{f"nr_{name}": number for name, number in numbers.items()}
    )
    match result:
        case (int() as invoked, int() as performed) if 0 <= invoked <= 0xFFFF and 0 <= performed <= 0xFFFF:
            return OperationsWindow(invoked, performed)
        case _:
            return None
