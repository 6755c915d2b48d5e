"""What is negotiated, in words for the log: contexts by the names of their UIDs, and A-ASSOCIATE PDUs line by line.

May change.

Peers may have sent anything, so what is not a UID, and every title, is shown as a Python string. User identities are
shown by their type alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydicom.config import IGNORE
from pydicom.uid import UID

from dicom_proto.dimse.connection import Connection
from dicom_proto.names import is_valid_uid
from dicom_proto.upper_layer.items import PresentationContextResult, UserIdentityType, UserInformation
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.reasons import describe_reason, describe_result, describe_source

__all__ = ["accepted_contexts", "lines_of", "listed", "name_of", "refused_contexts"]

_MOST_NAMED: Final = 12
_LONGEST: Final = 64  # characters of what is no UID


def name_of(uid: str) -> str:
    """Return the name that PS3.6 has for a UID, or the UID; what is none is quoted, and not in full."""
    if not is_valid_uid(uid):
        return repr(uid[:_LONGEST])
    return UID(uid, IGNORE).name


def listed(names: Mapping[str, Sequence[str]]) -> str:
    """Say what belongs to which name: the first 12 in full, and how many more there are; ``"none"`` if there are none.

    The A-ASSOCIATE PDUs in the log at DEBUG have them all.
    """
    said = [f"{name} ({', '.join(what)})" for name, what in list(names.items())[:_MOST_NAMED]]
    more = len(names) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "") or "none"


def accepted_contexts(connection: Connection) -> dict[str, list[str]]:
    """Return the names of the transfer syntaxes that were accepted, by that of the abstract syntax."""
    contexts = connection.contexts.values()
    return _gathered((context.abstract_syntax, name_of(context.transfer_syntax)) for context in contexts)


def refused_contexts(connection: Connection) -> dict[str, list[str]]:
    """Return why contexts were not accepted, by the name of the abstract syntax."""
    agreement = connection.agreement
    contexts = agreement.rejected.values() if agreement else ()
    return _gathered((context.abstract_syntax, _result_of(context.result)) for context in contexts)


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, dict[str, None]] = {}
    for uid, word in pairs:
        gathered.setdefault(name_of(uid), {})[word] = None
    return {name: list(words) for name, words in gathered.items()}


def _result_of(result: int) -> str:
    words = {int(member): member.name.replace("_", " ").lower() for member in PresentationContextResult}
    return words.get(result, f"unknown result {result}")


def lines_of(pdu: AAssociateRQ | AAssociateAC | AAssociateRJ, *, is_sent: bool) -> Iterator[str]:
    """Say what an A-ASSOCIATE PDU says, line by line (PS3.8 9.3.2 to 9.3.4)."""
    names = {AAssociateRQ: "A-ASSOCIATE-RQ", AAssociateAC: "A-ASSOCIATE-AC", AAssociateRJ: "A-ASSOCIATE-RJ"}
    yield f"{'>' if is_sent else '<'} ---- {names[type(pdu)]} {'sent' if is_sent else 'received'} ----"
    match pdu:
        case AAssociateRJ():
            yield f"  Result:  {int(pdu.result)}, {describe_result(pdu.result)}"
            yield f"  Source:  {int(pdu.source)}, {describe_source(pdu.source)}"
            yield f"  Reason:  {int(pdu.reason)}, {describe_reason(pdu.source, pdu.reason)}"
        case AAssociateRQ():
            yield f"  Calling AE title:     {pdu.calling_ae_title!r}"
            yield f"  Called AE title:      {pdu.called_ae_title!r}"
            yield from _lines_of_head(pdu.application_context_name, pdu.user_information)
            yield f"  Presentation contexts proposed: {len(pdu.presentation_contexts)}"
            for context in pdu.presentation_contexts:
                yield f"    {context.context_id}: {name_of(context.abstract_syntax)}"
                yield from (f"       = {name_of(uid)}" for uid in context.transfer_syntaxes)
            yield from _lines_of_items(pdu.user_information)
        case _:
            yield from _lines_of_head(pdu.application_context_name, pdu.user_information)
            yield f"  Presentation contexts answered: {len(pdu.context_results)}"
            for result in pdu.context_results:
                is_accepted = result.result == PresentationContextResult.ACCEPTANCE
                chosen = f": {name_of(result.transfer_syntax or '')}" if is_accepted else ""
                yield f"    {result.context_id}: {_result_of(result.result)}{chosen}"
            yield from _lines_of_items(pdu.user_information)


def _lines_of_head(application_context: str, information: UserInformation) -> Iterator[str]:
    version = information.implementation_version_name
    yield f"  Application context:  {name_of(application_context)}"
    yield f"  Implementation:       {name_of(information.implementation_class_uid or '')}, {version!r}"
    yield f"  Maximum length:       {information.maximum_length or 'any'}"


def _lines_of_items(information: UserInformation) -> Iterator[str]:
    """Say what else is negotiated (PS3.7 D.3.3)."""
    window = information.operations_window
    if window is not None:
        yield f"  Operations window:    {window.invoked} invoked, {window.performed} performed"
    for role in information.roles:
        roles = [name for name, has_it in (("SCU", role.scu), ("SCP", role.scp)) if has_it]
        yield f"  Role selection:       {name_of(role.sop_class_uid)}: {' and '.join(roles) or 'none'}"
    for item in information.extended:
        yield f"  Extended negotiation: {name_of(item.sop_class_uid)}: {item.information[:_LONGEST].hex(' ')}"
    for declared in information.common_extended:
        service = name_of(declared.service_class_uid)
        yield f"  Common extended:      {name_of(declared.sop_class_uid)} is of {service}"
    if information.identity is not None:
        yield f"  User identity:        {_type_of(information.identity.identity_type)}, not shown"
    if information.identity_response is not None:
        yield f"  User identity:        accepted, a response of {len(information.identity_response)} bytes"


def _type_of(identity_type: Any) -> str:
    words = {int(member): member.name.replace("_", " ").lower() for member in UserIdentityType}
    return words.get(identity_type, f"unknown type {identity_type}")
