"""Unified Procedure Steps (PS3.4 Annex CC) for whoever schedules, performs or watches them: data sets and programs.

Stable.

All steps are of the SOP class Push, whichever SOP class was negotiated; the programs take a context of
one that has the service.
"""

from collections.abc import Callable, Iterable
from typing import Final

from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import NActionRQ, NCreateRQ, NEventReportRQ, NGetRQ, NSetRQ, Request
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.names import check_ae_title, check_uid
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.services.management.attributes import SUCCESS, HandlerResult, changed, check_settable, complete
from dicom_proto.services.management.normalized import normalized_scu
from dicom_proto.services.ups.state import (
    CREATE_RULES,
    NOT_SETTABLE,
    SET_RULES,
    ActionType,
    EventReport,
    EventType,
    State,
)
from dicom_proto.sop_class import (
    UnifiedProcedureStepEvent,
    UnifiedProcedureStepPull,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepWatch,
    UPSFilteredGlobalSubscriptionInstance,
    UPSGlobalSubscriptionInstance,
    service_class_of,
)
from dicom_proto.status import ServiceClass, Status

__all__ = [
    "cancel_information",
    "change_state",
    "create_ups",
    "get_ups",
    "new_ups",
    "receive_report",
    "request_cancel",
    "send_report",
    "set_ups",
    "state_information",
    "subscribe",
    "subscribe_to_matches",
    "subscription_information",
    "suspend_global",
    "unsubscribe",
]

_OF_ACTIONS: Final = {
    ActionType.CHANGE_STATE: (UnifiedProcedureStepPull,),
    ActionType.REQUEST_CANCEL: (UnifiedProcedureStepPush, UnifiedProcedureStepWatch),
    ActionType.SUBSCRIBE: (UnifiedProcedureStepWatch,),
    ActionType.UNSUBSCRIBE: (UnifiedProcedureStepWatch,),
    ActionType.SUSPEND_GLOBAL: (UnifiedProcedureStepWatch,),
}


# --- data sets --------------------------------------------------------------------------------------------------------


def new_ups(attributes: Dataset) -> Dataset:
    """Build the Attribute List of a step.

    Parameters
    ----------
    attributes : pydicom.dataset.Dataset
        What is known. What may be empty need not be there.

    Returns
    -------
    pydicom.dataset.Dataset
        The same data set, with all that N-CREATE requires, SCHEDULED.

    Raises
    ------
    LocalProtocolError
        If a value is missing that has to be there.
    """
    attributes.ProcedureStepState = State.SCHEDULED.value
    return complete(attributes, CREATE_RULES)


def state_information(state: State, transaction_uid: str) -> Dataset:
    """Build the Action Information of Change UPS State (PS3.4 CC.2.1).

    Raises
    ------
    LocalProtocolError
        If there is no such state, or the Transaction UID is malformed.
    """
    if state not in list(State):
        raise LocalProtocolError(f"{state!r} is not a state; there are {', '.join(State)}")
    information = Dataset()
    information.ProcedureStepState = str(state)
    information.TransactionUID = check_uid(transaction_uid)
    return information


def cancel_information(
    reason: str = "", *, code: Dataset | None = None, contact_uri: str = "", contact_name: str = ""
) -> Dataset:
    """Build the Action Information of Request UPS Cancel (PS3.4 CC.2.2); all of it may be left out.

    Parameters
    ----------
    reason : str
        Why, in words.
    code : pydicom.dataset.Dataset, optional
        Why, as a coded entry.
    contact_uri, contact_name : str
        Whom the performer can ask.
    """
    information = Dataset()
    texts = {"ReasonForCancellation": reason, "ContactURI": contact_uri, "ContactDisplayName": contact_name}
    for keyword, text in texts.items():
        if text:
            setattr(information, keyword, text)
    if code is not None:
        information.ProcedureStepDiscontinuationReasonCodeSequence = [code]
    return information


def subscription_information(receiving_ae: str, *, deletion_lock: bool | None = None) -> Dataset:
    """Build the Action Information of the three actions about subscriptions (PS3.4 CC.2.3).

    Parameters
    ----------
    receiving_ae : str
        AE title of who is, or was, to be told.
    deletion_lock : bool, optional
        To subscribe: whether steps are kept from being deleted. The other two actions do without.

    Raises
    ------
    InvalidNameError
        If the AE title is malformed.
    """
    information = Dataset()
    information.ReceivingAE = check_ae_title(receiving_ae)
    if deletion_lock is not None:
        information.DeletionLock = "TRUE" if deletion_lock else "FALSE"
    return information


# --- programs ---------------------------------------------------------------------------------------------------------


def _invoke(peer: Peer, request: Request, data_set: Dataset | None, sop_classes: Iterable[str]) -> Program[Reply]:
    """Invoke an operation on a context of the first SOP class that was accepted."""
    first, *others = sop_classes
    chosen = next((uid for uid in (first, *others) if any(peer.contexts(uid))), first)
    return (yield from normalized_scu(peer, request, data_set, abstract_syntax=chosen))


def _act(peer: Peer, instance_uid: str, action: ActionType, information: Dataset) -> Program[Reply]:
    request = NActionRQ(
        requested_sop_class_uid=UnifiedProcedureStepPush,
        requested_sop_instance_uid=instance_uid,
        action_type_id=action,
    )
    return _invoke(peer, request, information, _OF_ACTIONS[action])


def create_ups(peer: Peer, instance_uid: str, attributes: Dataset) -> Program[Reply]:
    """Schedule a step, with what :func:`new_ups` makes of the attributes.

    This program, and those below, raise ``LocalProtocolError`` if no context was accepted that has the service.
    """
    request = NCreateRQ(affected_sop_class_uid=UnifiedProcedureStepPush, affected_sop_instance_uid=instance_uid)
    return _invoke(peer, request, new_ups(attributes), (UnifiedProcedureStepPush,))


def set_ups(peer: Peer, instance_uid: str, modifications: Dataset, transaction_uid: str = "") -> Program[Reply]:
    """Change a step; one IN PROGRESS only with its Transaction UID. A sequence is replaced as a whole.

    It raises ``LocalProtocolError`` as well if something cannot be set, or an item of it is incomplete.
    """
    check_settable(modifications, NOT_SETTABLE)
    modifications = complete(modifications, SET_RULES)
    lock = {"TransactionUID": check_uid(transaction_uid)} if transaction_uid else {}
    request = NSetRQ(requested_sop_class_uid=UnifiedProcedureStepPush, requested_sop_instance_uid=instance_uid)
    return _invoke(peer, request, changed(modifications, **lock), (UnifiedProcedureStepPull,))


def get_ups(peer: Peer, instance_uid: str, tags: Iterable[int] = ()) -> Program[Reply]:
    """Ask for attributes of a step, for all if no tags are given."""
    request = NGetRQ(
        requested_sop_class_uid=UnifiedProcedureStepPush,
        requested_sop_instance_uid=instance_uid,
        attribute_identifier_list=tuple(tags) or None,
    )
    sop_classes = (UnifiedProcedureStepPull, UnifiedProcedureStepWatch, UnifiedProcedureStepPush)
    return _invoke(peer, request, None, sop_classes)


def change_state(peer: Peer, instance_uid: str, state: State, transaction_uid: str) -> Program[Reply]:
    """Take a step, which locks it with a Transaction UID of one's own, or end it, with the same one."""
    return _act(peer, instance_uid, ActionType.CHANGE_STATE, state_information(state, transaction_uid))


def request_cancel(peer: Peer, instance_uid: str, information: Dataset | None = None) -> Program[Reply]:
    """Ask that a step be cancelled, with what :func:`cancel_information` builds."""
    return _act(peer, instance_uid, ActionType.REQUEST_CANCEL, information or Dataset())


def subscribe(
    peer: Peer, receiving_ae: str, instance_uid: str = UPSGlobalSubscriptionInstance, *, deletion_lock: bool = False
) -> Program[Reply]:
    """Have somebody be told about a step, or about all."""
    information = subscription_information(receiving_ae, deletion_lock=deletion_lock)
    return _act(peer, instance_uid, ActionType.SUBSCRIBE, information)


def subscribe_to_matches(
    peer: Peer, receiving_ae: str, keys: Dataset, *, deletion_lock: bool = False
) -> Program[Reply]:
    """Have somebody be told about all steps that match the keys of a query, those there and those to come.

    The status is C307H of an SCP that does not have filtered global subscriptions.
    """
    information = subscription_information(receiving_ae, deletion_lock=deletion_lock)
    information.update(keys)
    return _act(peer, UPSFilteredGlobalSubscriptionInstance, ActionType.SUBSCRIBE, information)


def unsubscribe(peer: Peer, receiving_ae: str, instance_uid: str = UPSGlobalSubscriptionInstance) -> Program[Reply]:
    """Have somebody no longer be told about a step, or about any."""
    return _act(peer, instance_uid, ActionType.UNSUBSCRIBE, subscription_information(receiving_ae))


def suspend_global(peer: Peer, receiving_ae: str) -> Program[Reply]:
    """Have somebody not be told about steps that are yet to be created."""
    information = subscription_information(receiving_ae)
    return _act(peer, UPSGlobalSubscriptionInstance, ActionType.SUSPEND_GLOBAL, information)


# --- event reports ----------------------------------------------------------------------------------------------------


def send_report(peer: Peer, report: EventReport) -> Program[Reply]:
    """Tell a peer what has happened; only on a context on which this side is the SCP (PS3.4 CC.2.4)."""
    request = NEventReportRQ(
        affected_sop_class_uid=UnifiedProcedureStepPush,
        affected_sop_instance_uid=report.instance_uid,
        event_type_id=report.event_type,
    )
    return normalized_scu(peer, request, report.information, abstract_syntax=UnifiedProcedureStepEvent, as_scu=False)


def receive_report(event: RequestEvent, take: Callable[[EventReport], object]) -> HandlerResult:
    """Take an event report: a handler for ``EVT_N_EVENT_REPORT``, bound with a function that gets it.

    The status is 0118H for another SOP class, 0113H for an event that the standard does not have.
    """
    if service_class_of(event.request.AffectedSOPClassUID) is not ServiceClass.UNIFIED_PROCEDURE_STEP:
        return int(Status.NO_SUCH_SOP_CLASS), None
    try:
        kind = EventType(event.event_type)
    except ValueError:
        return int(Status.NO_SUCH_EVENT_TYPE), None
    take(EventReport("", str(event.request.AffectedSOPInstanceUID), kind, event.event_information))
    return SUCCESS
