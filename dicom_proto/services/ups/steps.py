"""Unified Procedure Steps (PS3.4 Annex CC) for the side that manages them; :mod:`.ups_requests` has the other one.

May change.

The handlers are those of :meth:`UnifiedProcedureSteps.handlers`.

A step is created SCHEDULED. Whoever performs it makes it IN PROGRESS with a Transaction UID, which is the lock on it:
from then on only who knows it changes the step, and makes it COMPLETED or CANCELED. Others may watch, and ask that it
be cancelled.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from attrs import frozen
from pydicom.dataset import Dataset

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_FIND, EVT_N_ACTION, EVT_N_CREATE, EVT_N_GET, EVT_N_SET, EventKind
from dicom_proto.handlers.registry import Bound
from dicom_proto.services.management.attributes import (
    SUCCESS,
    HandlerResult,
    Refused,
    Rules,
    changed,
    check_elements,
    complete,
    get_attributes,
    guarded,
    has_value,
    items,
    merge,
    new_instance_uid,
    offending,
    refusing,
    select,
)
from dicom_proto.services.matching import answer, matches
from dicom_proto.services.ups.state import (
    CREATE_RULES,
    CREATED_EMPTY,
    FINAL_RULES,
    NOT_SETTABLE,
    SET_RULES,
    SUPPORTED,
    ActionType,
    EventReport,
    EventType,
    State,
    Subscriptions,
    UPSStatus,
    transition,
)
from dicom_proto.sop_class import (
    UnifiedProcedureStepPush,
    UPSFilteredGlobalSubscriptionInstance,
    UPSGlobalSubscriptionInstance,
    service_class_of,
)
from dicom_proto.status import ServiceClass, Status

__all__ = ["UPSPolicy", "UnifiedProcedureSteps"]

_REASONS: Final = ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence")
_CANCEL_DETAILS: Final = (*_REASONS, "ContactURI", "ContactDisplayName")
_ASSIGNED: Final = frozenset({"ScheduledStationNameCodeSequence", "ScheduledHumanPerformersSequence"})
_PROGRESS: Final = "ProcedureStepProgressInformationSequence"
_REPORTED_PROGRESS: Final = (
    "ProcedureStepProgress",
    "ProcedureStepProgressDescription",
    "ProcedureStepProgressParametersSequence",
    "ProcedureStepCommunicationsURISequence",
)
_NO_REASON: Final = {  # of Procedure Discontinuation Reasons (PS3.16 CID 9300)
    "CodeValue": "110513",
    "CodingSchemeDesignator": "DCM",
    "CodeMeaning": "Discontinued for unspecified reason",
}
_LOCKS: Final = {"TRUE": True, "FALSE": False}
_TRANSACTION_UID: Final = 0x00081195
_NOT_KEYS: Final = (_TRANSACTION_UID, 0x00741230, 0x00741234)  # neither are Deletion Lock and Receiving AE


@frozen(kw_only=True)
class UPSPolicy:
    """What the site decides that manages steps.

    Parameters
    ----------
    knows_ae : callable
        Tells whether there is an address for an AE title; if not, it cannot subscribe (C308H).
    grants_lock : callable
        Tells whether an AE title may keep steps from being deleted (else B301H).
    ask_performer : callable
        Called with the SOP Instance UID of a step IN PROGRESS that is to be cancelled; returns the status, such as
        C312H if its performer cannot be reached or C313H if it refuses.
    ae_title_of : callable
        Tells who sent a request, where its AE title is not what it called itself when it requested the association.
    worklist_label : str
        What a step gets that has no Worklist Label.
    create_rules, set_rules : Rules
        What is required of a step when it is created and whenever it is changed, for a site that has to put up with
        less.
    """

    knows_ae: Callable[[str], bool] = lambda _: True
    grants_lock: Callable[[str], bool] = lambda _: True
    ask_performer: Callable[[str], int] = lambda _: Status.SUCCESS
    ae_title_of: Callable[[RequestEvent], str] = lambda event: event.source_ae_title
    worklist_label: str = "DEFAULT"
    create_rules: Rules = CREATE_RULES
    set_rules: Rules = SET_RULES


_DEFAULT_POLICY: Final = UPSPolicy()


class UnifiedProcedureSteps:
    """Unified procedure steps; the methods named ``on_...`` are bodies of handlers.

    They are not meant to run in several threads at once; see :meth:`handlers`.

    Parameters
    ----------
    steps : mutable mapping of str to pydicom.dataset.Dataset, optional
        The steps by SOP Instance UID, each with its Transaction UID. They are replaced, never changed, so this may be a
        store of the caller's own.
    subscriptions : Subscriptions, optional
        Who has subscribed to them.
    send : callable, optional
        Called with each :class:`EventReport` that is to be sent. It has to do that later: the response comes first.
        Without it nobody can subscribe (C315H).
    policy : UPSPolicy
        What else is up to the site.
    """

    def __init__(
        self,
        steps: MutableMapping[str, Dataset] | None = None,
        subscriptions: Subscriptions | None = None,
        *,
        send: Callable[[EventReport], object] | None = None,
        policy: UPSPolicy = _DEFAULT_POLICY,
    ) -> None:
        self.steps = {} if steps is None else steps
        self.subscriptions = Subscriptions() if subscriptions is None else subscriptions
        self._send = send
        self._policy = policy

    def handlers(self, lock: AbstractContextManager[Any] = nullcontext()) -> list[Bound]:  # noqa: B008 - has no state
        """Return the handlers of this service, to be bound to the events of associations.

        Parameters
        ----------
        lock : context manager
            What each of them holds while it runs, where they would run in several threads (``threading.Lock()``); else
            two performers could take the same step. A lock that is not reentrant does, if ``send`` and the functions of
            the policy do not call these methods.
        """
        handlers: dict[EventKind, Callable[[RequestEvent], Any]] = {
            EVT_N_CREATE: self.on_create,
            EVT_N_SET: self.on_set,
            EVT_N_GET: self.on_get,
            EVT_N_ACTION: self.on_action,
            EVT_C_FIND: self.on_find,
        }
        return guarded(handlers, lock)

    # --- N-CREATE, N-SET, N-GET, C-FIND -------------------------------------------------------------------------------

    @refusing
    def on_create(self, event: RequestEvent) -> HandlerResult:
        """Create a step (PS3.4 CC.2.5): the body of a handler of ``EVT_N_CREATE``.

        The status is 0118H for another SOP class, 0117H without a valid SOP Instance UID, which the SCU gives, 0111H
        for one that is there, 0120H or 0121H if attributes or their values are missing, C309H if it is not SCHEDULED,
        and 0106H if something has a value that is to be created empty.
        """
        _check_class(event.request.AffectedSOPClassUID)
        uid = new_instance_uid(event, self.steps)
        step = event.attribute_list
        check_elements(step, self._policy.create_rules)
        if step.get("ProcedureStepState") != State.SCHEDULED:
            raise Refused(UPSStatus.NOT_CREATED_SCHEDULED)
        filled = sorted(keyword for keyword in CREATED_EMPTY if has_value(step, keyword))
        if filled:
            raise offending(Status.INVALID_ATTRIBUTE_VALUE, step, *filled)
        if not has_value(step, "WorklistLabel"):
            step.WorklistLabel = self._policy.worklist_label
        step.SOPClassUID, step.SOPInstanceUID = UnifiedProcedureStepPush, uid
        self.steps[uid] = _modified(complete(step, SUPPORTED), event)
        audience = self.subscriptions.add_step(uid, self.steps[uid])
        self._tell(audience, uid, EventType.STATE_REPORT, _state_report(step))
        return SUCCESS

    @refusing
    def on_set(self, event: RequestEvent) -> HandlerResult:
        """Change a step (PS3.4 CC.2.6): the body of a handler of ``EVT_N_SET``.

        The status is 0118H for another SOP class, C307H for a step that is not there, C300H for one that has ended,
        C301H without the correct Transaction UID, or with one for a step that nobody performs yet, 0105H if something
        was not created, 0106H if something cannot be set, and 0121H if an item lacks what it requires.
        """
        _check_class(event.request.RequestedSOPClassUID)
        uid = event.request.RequestedSOPInstanceUID
        step = self._step(uid)
        changes = event.modification_list[:]
        given = str(changes.get("TransactionUID") or "")
        changes.pop(_TRANSACTION_UID, None)
        if step.ProcedureStepState in (State.COMPLETED, State.CANCELED):
            raise Refused(UPSStatus.MAY_NO_LONGER_BE_UPDATED)
        if given != str(step.get("TransactionUID") or ""):
            raise Refused(UPSStatus.WRONG_TRANSACTION_UID)
        before = step
        step, modified = merge(self.steps, uid, changes, NOT_SETTABLE)
        check_elements(changes, self._policy.set_rules, is_new=False)
        self.steps[uid] = _modified(step, event)
        audience = self.subscriptions.of(uid)
        if "InputReadinessState" in modified:
            self._tell(audience, uid, EventType.STATE_REPORT, _state_report(step))
        progress = _progress_report(step)
        if has_value(progress, _PROGRESS) and progress != _progress_report(before):
            self._tell(audience, uid, EventType.PROGRESS_REPORT, progress)
        if modified & _ASSIGNED:
            self._tell(audience, uid, EventType.ASSIGNED, _assignment(step))
        return SUCCESS

    @refusing
    def on_get(self, event: RequestEvent) -> HandlerResult:
        """Return attributes of a step (PS3.4 CC.2.7): the body of a handler of ``EVT_N_GET``.

        The status is 0118H for another SOP class, C307H for a step that is not there, and 0001H if it does not have all
        that was asked for. Nobody gets the Transaction UID.
        """
        _check_class(event.request.RequestedSOPClassUID)
        step = _without_lock(self._step(event.request.RequestedSOPInstanceUID))
        return get_attributes(step, event.attribute_identifiers)

    def on_find(self, event: RequestEvent) -> Iterator[tuple[int, Dataset]]:
        """Yield the steps that match a query (PS3.4 CC.2.8): the body of a handler of ``EVT_C_FIND``."""
        identifier = event.identifier[:]
        identifier.pop(_TRANSACTION_UID, None)  # it is not a key
        for step in list(self.steps.values()):
            if matches(identifier, step):
                yield Status.PENDING, answer(identifier, step)

    # --- N-ACTION -----------------------------------------------------------------------------------------------------

    @refusing
    def on_action(self, event: RequestEvent) -> HandlerResult:
        """Change the state of a step, cancel one, subscribe: the body of a handler of ``EVT_N_ACTION``.

        The statuses are those of PS3.4 CC.2.1.4, CC.2.2.4 and CC.2.3.4; 0118H for another SOP class, 0123H for another
        action type, 0115H if the Action Information lacks something or has a value that there is not.
        """
        _check_class(event.request.RequestedSOPClassUID)
        actions: dict[int, Callable[[RequestEvent, str], int]] = {
            ActionType.CHANGE_STATE: self._change_state,
            ActionType.REQUEST_CANCEL: self._request_cancel,
            ActionType.SUBSCRIBE: self._subscribe,
            ActionType.UNSUBSCRIBE: self._unsubscribe,
            ActionType.SUSPEND_GLOBAL: self._suspend,
        }
        action = actions.get(event.action_type)
        if action is None:
            raise Refused(Status.NO_SUCH_ACTION_TYPE)
        return int(action(event, event.request.RequestedSOPInstanceUID)), None

    def _change_state(self, event: RequestEvent, uid: str) -> int:
        step, information = self._step(uid), event.action_information
        wanted = information.get("ProcedureStepState")
        if wanted not in list(State):
            raise offending(Status.INVALID_ARGUMENT_VALUE, information, "ProcedureStepState")
        given, lock = (str(data_set.get("TransactionUID") or "") for data_set in (information, step))
        has_lock = bool(given) and lock in ("", given)
        status = transition(State(step.ProcedureStepState), State(wanted), has_lock=has_lock)
        if status == Status.SUCCESS:
            step = changed(step, ProcedureStepState=str(wanted), TransactionUID=given)
            try:
                check_elements(step, FINAL_RULES.get(State(wanted), ()))
            except Refused:
                raise Refused(UPSStatus.FINAL_STATE_NOT_MET) from None
            self.steps[uid] = step
            self._tell(self.subscriptions.of(uid), uid, EventType.STATE_REPORT, _state_report(step))
        return status

    def _request_cancel(self, event: RequestEvent, uid: str) -> int:
        step, information = self._step(uid), event.action_information
        match State(step.ProcedureStepState):
            case State.COMPLETED:
                return UPSStatus.CANNOT_CANCEL_COMPLETED
            case State.CANCELED:
                return UPSStatus.ALREADY_CANCELED
            case State.SCHEDULED:
                self._cancel_scheduled(event, uid, step)
                return Status.SUCCESS
        details = select(information, _CANCEL_DETAILS)
        details.RequestingAE = self._policy.ae_title_of(event)
        self._tell(self.subscriptions.of(uid), uid, EventType.CANCEL_REQUESTED, details)
        return self._policy.ask_performer(uid)

    def _cancel_scheduled(self, event: RequestEvent, uid: str, step: Dataset) -> None:
        """Cancel a step that nobody performs, by way of IN PROGRESS, as the table wants it.

        A step that is CANCELED has a code that says why (CC.2.5), so it gets one if the request has none.
        """
        progress = Dataset()
        for item in items(step, _PROGRESS)[:1]:
            progress.update(item)
        progress.update(select(event.action_information, _REASONS))
        if not has_value(progress, "ProcedureStepDiscontinuationReasonCodeSequence"):
            progress.ProcedureStepDiscontinuationReasonCodeSequence = [_no_reason()]
        if event.timestamp is not None:
            progress.ProcedureStepCancellationDateTime = event.timestamp.strftime("%Y%m%d%H%M%S")
        if "ContactURI" in event.action_information:
            contact = select(event.action_information, ("ContactURI", "ContactDisplayName"))
            progress.ProcedureStepCommunicationsURISequence = [contact]
        started = changed(step, ProcedureStepState=State.IN_PROGRESS.value)
        self._tell(self.subscriptions.of(uid), uid, EventType.STATE_REPORT, _state_report(started))
        step = changed(
            step, ProcedureStepState=State.CANCELED.value, ProcedureStepProgressInformationSequence=[progress]
        )
        self.steps[uid] = step
        self._tell(self.subscriptions.of(uid), uid, EventType.STATE_REPORT, _state_report(step))

    def _subscribe(self, event: RequestEvent, uid: str) -> int:
        title = self._receiver(event, uid)
        lock = _LOCKS.get(str(event.action_information.get("DeletionLock")))
        if lock is None:
            raise offending(Status.INVALID_ARGUMENT_VALUE, event.action_information, "DeletionLock")
        is_granted = lock and self._policy.grants_lock(title)
        if uid == UPSGlobalSubscriptionInstance:
            initial = self.subscriptions.subscribe_to_all(list(self.steps), title, lock=is_granted)
        elif uid == UPSFilteredGlobalSubscriptionInstance:
            keys = event.action_information[:]
            for tag in _NOT_KEYS:
                keys.pop(tag, None)
            initial = self.subscriptions.subscribe_to_matches(self.steps, title, keys, lock=is_granted)
        else:
            self.subscriptions.subscribe(uid, title, lock=is_granted)
            initial = [uid]
        for each in initial:
            self._tell([title], each, EventType.STATE_REPORT, _state_report(self.steps[each]))
        return Status.SUCCESS if is_granted == lock else UPSStatus.DELETION_LOCK_NOT_GRANTED

    def _unsubscribe(self, event: RequestEvent, uid: str) -> int:
        title = self._receiver(event, uid)
        if uid == UPSFilteredGlobalSubscriptionInstance:
            return UPSStatus.ACTION_NOT_APPROPRIATE  # filters end with everything else that is to come
        if uid == UPSGlobalSubscriptionInstance:
            self.subscriptions.unsubscribe_from_all(title)
        else:
            self.subscriptions.unsubscribe(uid, title)
        return Status.SUCCESS

    def _suspend(self, event: RequestEvent, uid: str) -> int:
        title = self._receiver(event, uid)
        if uid != UPSGlobalSubscriptionInstance:
            return UPSStatus.ACTION_NOT_APPROPRIATE
        self.subscriptions.suspend(title)
        return Status.SUCCESS

    def _receiver(self, event: RequestEvent, uid: str) -> str:
        """Return who is to be told about something that there is."""
        if self._send is None:
            raise Refused(UPSStatus.EVENT_REPORTS_NOT_SUPPORTED)
        if uid not in {UPSGlobalSubscriptionInstance, UPSFilteredGlobalSubscriptionInstance}:
            self._step(uid)
        title = str(event.action_information.get("ReceivingAE") or "")
        if not title:
            raise offending(Status.INVALID_ARGUMENT_VALUE, event.action_information, "ReceivingAE")
        if not self._policy.knows_ae(title):
            raise Refused(UPSStatus.RECEIVING_AE_UNKNOWN)
        return title

    # --- what the application does ------------------------------------------------------------------------------------

    def removable(self) -> list[str]:
        """Return the SOP Instance UIDs of steps that have ended and that nobody keeps from being deleted."""
        return [
            uid
            for uid, step in self.steps.items()
            if step.ProcedureStepState in (State.COMPLETED, State.CANCELED) and not self.subscriptions.is_locked(uid)
        ]

    def remove(self, instance_uid: str) -> None:
        """Delete a step.

        Raises
        ------
        LocalProtocolError
            If it is not one of :meth:`removable`.
        """
        if instance_uid not in self.removable():
            raise LocalProtocolError(f"the procedure step {instance_uid} is not there, has not ended, or is locked")
        del self.steps[instance_uid]
        self.subscriptions.remove_step(instance_uid)

    def announce(self, scp_status: str, *, subscriptions: str, steps: str, others: Iterable[str] = ()) -> None:
        """Tell everybody who has subscribed that this SCP restarts or goes down (PS3.4 CC.2.4).

        Parameters
        ----------
        scp_status : str
            ``"RESTARTED"`` or ``"GOING DOWN"``.
        subscriptions, steps : str
            ``"WARM START"`` if they have been kept, ``"COLD START"`` if not.
        others : iterable of str
            AE titles of others who are told: the site's list for the case that the subscriptions are lost.
        """
        information = Dataset()
        information.SCPStatus = scp_status
        information.SubscriptionListStatus = subscriptions
        information.UnifiedProcedureStepListStatus = steps
        audience = list(dict.fromkeys([*self.subscriptions.everybody(), *others]))
        self._tell(audience, UPSGlobalSubscriptionInstance, EventType.SCP_STATUS_CHANGE, information)

    def _step(self, uid: str) -> Dataset:
        step = self.steps.get(uid)
        if step is None:
            raise Refused(UPSStatus.NO_SUCH_STEP)
        return step

    def _tell(self, titles: list[str], uid: str, event_type: EventType, information: Dataset) -> None:
        if self._send is not None:
            for title in titles:
                self._send(EventReport(title, str(uid), event_type, information))


def _check_class(uid: str) -> None:
    """Refuse other SOP classes: all steps are of the class Push, but some say the one that was negotiated."""
    if service_class_of(uid) is not ServiceClass.UNIFIED_PROCEDURE_STEP:
        raise Refused(Status.NO_SUCH_SOP_CLASS)


def _modified(step: Dataset, event: RequestEvent) -> Dataset:
    """Note when a step was created or changed, for drivers that tell the time."""
    if event.timestamp is None:
        return step
    return changed(step, ScheduledProcedureStepModificationDateTime=event.timestamp.strftime("%Y%m%d%H%M%S"))


def _without_lock(step: Dataset) -> Dataset:
    step = step[:]
    step.pop(_TRANSACTION_UID, None)
    return step


def _state_report(step: Dataset) -> Dataset:
    """Return the Event Information of a UPS State Report; the reasons stand in the progress of the step."""
    report = select(step, ("ProcedureStepState", "InputReadinessState"))
    for progress in items(step, _PROGRESS)[:1]:
        report.update(select(progress, _REASONS))
    return report


def _progress_report(step: Dataset) -> Dataset:
    """Return the Event Information of a UPS Progress Report, which is silent about why a step is cancelled."""
    report = select(step, ())
    progress = [item for item in items(step, _PROGRESS) if any(keyword in item for keyword in _REPORTED_PROGRESS)]
    report.ProcedureStepProgressInformationSequence = [select(item, _REPORTED_PROGRESS) for item in progress]
    return report


def _no_reason() -> Dataset:
    code = Dataset()
    for keyword, value in _NO_REASON.items():
        setattr(code, keyword, value)
    return code


def _assignment(step: Dataset) -> Dataset:
    """Return the Event Information of UPS Assigned; it has the codes of all performers, and the first organization."""
    stations = ("ScheduledStationNameCodeSequence",)
    report = select(step, stations if items(step, *stations) else ())
    performers = items(step, "ScheduledHumanPerformersSequence")
    codes = [code for performer in performers for code in items(performer, "HumanPerformerCodeSequence")]
    if codes:
        report.HumanPerformerCodeSequence = codes
    named = [performer for performer in performers if has_value(performer, "HumanPerformerOrganization")]
    if named:
        report.HumanPerformerOrganization = named[0].HumanPerformerOrganization
    return report
