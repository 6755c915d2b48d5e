"""An A-ASSOCIATE-RQ, -AC or -RJ in words and fields (PS3.8 9.3.2 to 9.3.4, PS3.7 Annex D).

May change.
"""

from typing import Any, Final

from dicom_proto.upper_layer.items import UserIdentity, UserIdentityType, UserInformation
from dicom_proto.upper_layer.negotiation import Agreement
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.reasons import describe_rejection
from dicom_transports.apps.trace.messages import uid_name

__all__ = ["describe_answer", "describe_offer", "describe_refusal", "result_name"]

_MOST: Final = 128  # of anything that is listed: presentation contexts of an association (PS3.8 7.1.1.13)
_LONGEST: Final = 128  # characters of a UID; those that break no rule have 64 at most
_RESULTS: Final = (
    "accepted",
    "user rejection",
    "no reason given",
    "abstract syntax not supported",
    "transfer syntaxes not supported",
)


def result_name(result: int) -> str:
    """Spell the result of a presentation context (PS3.8 Table 9-18)."""
    return _RESULTS[result] if 0 <= result < len(_RESULTS) else f"unknown result {result}"


def describe_offer(offer: AAssociateRQ, *, values: bool) -> tuple[str, dict[str, Any]]:
    """Return an A-ASSOCIATE-RQ in one line, and its fields; who the user is only with ``values``."""
    contexts = offer.presentation_contexts
    text = (
        f"{offer.calling_ae_title.strip()} calls {offer.called_ae_title.strip()}, {len(contexts)} presentation contexts"
    )
    return text, {
        "calling AE title": offer.calling_ae_title,
        "called AE title": offer.called_ae_title,
        "protocol version": offer.protocol_version,
        "application context": offer.application_context_name,
        "presentation contexts": [
            {
                "ID": context.context_id,
                "abstract syntax": _named(context.abstract_syntax),
                "transfer syntaxes": _names(context.transfer_syntaxes),
            }
            for context in contexts[:_MOST]
        ],
        **_user_information(offer.user_information, values=values),
    }


def describe_answer(answer: AAssociateAC, agreement: Agreement | None, *, values: bool) -> tuple[str, dict[str, Any]]:
    """Return an A-ASSOCIATE-AC in one line, and its fields."""
    abstract_syntaxes: dict[int, str] = {}
    if agreement is not None:
        for contexts in (agreement.contexts, agreement.rejected):
            abstract_syntaxes.update((number, context.abstract_syntax) for number, context in contexts.items())
    accepted = sum(result.result == 0 for result in answer.context_results)
    text = f"{accepted} of {len(answer.context_results)} presentation contexts accepted"
    return text, {
        "protocol version": answer.protocol_version,
        "application context": answer.application_context_name,
        "presentation contexts": [
            {
                "ID": result.context_id,
                **(
                    {"abstract syntax": _named(abstract_syntaxes[result.context_id])}
                    if result.context_id in abstract_syntaxes
                    else {}
                ),
                "result": result_name(result.result),
                **(
                    {"transfer syntax": _named(result.transfer_syntax)}
                    if result.transfer_syntax and not result.result
                    else {}
                ),
            }
            for result in answer.context_results[:_MOST]
        ],
        **_user_information(answer.user_information, values=values),
    }


def describe_refusal(refusal: AAssociateRJ) -> tuple[str, dict[str, Any]]:
    """Return an A-ASSOCIATE-RJ in one line, and its fields."""
    return describe_rejection(refusal.result, refusal.source, refusal.reason), {
        "result": f"{int(refusal.result)} {refusal.result_str}",
        "source": f"{int(refusal.source)} {refusal.source_str}",
        "reason": f"{int(refusal.reason)} {refusal.reason_str}",
    }


def _named(uid: str) -> str:
    name = uid_name(uid)
    return uid[:_LONGEST] if name == uid else f"{uid} {name}"


def _names(uids: tuple[str, ...]) -> list[str]:
    more = [f"and {len(uids) - _MOST} more"] if len(uids) > _MOST else []
    return [*map(_named, uids[:_MOST]), *more]


def _user_information(information: UserInformation, *, values: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "maximum length": information.maximum_length,
        "implementation class UID": information.implementation_class_uid,
        "implementation version name": information.implementation_version_name,
    }
    if information.operations_window is not None:
        window = information.operations_window
        found["asynchronous operations window"] = {"invoked": window.invoked, "performed": window.performed}
    if information.roles:
        found["roles"] = [
            {"SOP class": _named(role.sop_class_uid), "SCU": role.scu, "SCP": role.scp}
            for role in information.roles[:_MOST]
        ]
    if information.extended:
        found["extended negotiation"] = [
            {"SOP class": _named(item.sop_class_uid), "information": item.information[:64].hex(" ")}
            for item in information.extended[:_MOST]
        ]
    if information.common_extended:
        found["common extended negotiation"] = [
            {
                "SOP class": _named(item.sop_class_uid),
                "service class": _named(item.service_class_uid),
                "related general": _names(item.related_general_sop_class_uids),
            }
            for item in information.common_extended[:_MOST]
        ]
    if information.identity is not None:
        found["user identity"] = _identity(information.identity, values=values)
    if information.identity_response is not None:
        found["user identity response"] = f"{len(information.identity_response)} bytes"
    return found


def _identity(identity: UserIdentity, *, values: bool) -> dict[str, Any]:
    """Return the fields of a user identity: never a passcode or a ticket, a user's name only with ``values``."""
    kind = identity.identity_type
    is_name = kind in (UserIdentityType.USERNAME, UserIdentityType.USERNAME_AND_PASSCODE)
    shown = (
        identity.primary.decode("utf-8", "replace") if values and is_name else f"hidden: {len(identity.primary)} bytes"
    )
    return {
        "type": kind.name.replace("_", " ").lower() if isinstance(kind, UserIdentityType) else kind,
        "primary field": shown,
        "secondary field": f"hidden: {len(identity.secondary)} bytes",
        "response requested": identity.positive_response_requested,
    }
