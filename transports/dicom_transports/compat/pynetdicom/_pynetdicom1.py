"""What programs for pynetdicom 1 have: methods of an AE that are called back, its port, letters for query models."""

from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Any, Final
from warnings import warn

from dicom_proto import sop_class
from dicom_proto.handlers import kinds
from dicom_proto.handlers.kinds import EventKind

__all__ = ["bound_callbacks", "query_model_of"]

Arguments = tuple[Any, ...]
_MODELS: Final = {"P": "PatientRoot", "S": "StudyRoot", "O": "PatientStudyOnly"}


def _title(title: str) -> bytes:
    return title.encode("ascii", "replace").ljust(16)


def _side(user: Any, **others: Any) -> dict[str, Any]:
    return {"ae_title": _title(user.ae_title), "address": user.address, "port": user.port, **others}


def _info_of(event: Any) -> dict[str, Any]:
    """Return what a callback is told about the association and the request."""
    requestor = event.assoc.requestor
    info = {
        "requestor": _side(requestor, called_aet=_title(requestor.primitive.called_ae_title)),
        "acceptor": _side(event.assoc.acceptor),
        "sop_class_extended": requestor.sop_class_extended,
        "sop_class_common_extended": requestor.sop_class_common_extended,
    }
    if (request := getattr(event, "request", None)) is not None:
        info["parameters"] = {
            "message_id": event.message_id,
            "priority": getattr(request, "Priority", None),
            "originator_aet": getattr(request, "MoveOriginatorApplicationEntityTitle", None),
            "originator_message_id": getattr(request, "MoveOriginatorMessageID", None),
        }
    return info


def _with(attribute: str) -> Callable[[Any], Arguments]:
    """Return what makes the arguments of a callback that gets one value, the context and the association."""
    return lambda event: (getattr(event, attribute), event.context, _info_of(event))


def _without(event: Any) -> Arguments:
    return event.context, _info_of(event)


def _moved(event: Any) -> Arguments:
    return event.identifier, _title(event.move_destination), event.context, _info_of(event)


def _identified(event: Any) -> Arguments:
    return event.user_id_type, event.primary_field, event.secondary_field, _info_of(event)


def _requested(event: Any) -> Arguments:
    return (event.assoc.requestor.primitive,)


def _answered(event: Any) -> Arguments:
    return (event.assoc.acceptor.primitive,)


def _nothing(_: Any) -> Arguments:
    return ()


_CALLBACKS: Final[dict[str, tuple[EventKind, Callable[[Any], Arguments]]]] = {
    "on_c_echo": (kinds.EVT_C_ECHO, _without),
    "on_c_store": (kinds.EVT_C_STORE, _with("dataset")),
    "on_c_find": (kinds.EVT_C_FIND, _with("identifier")),
    "on_c_get": (kinds.EVT_C_GET, _with("identifier")),
    "on_c_move": (kinds.EVT_C_MOVE, _moved),
    "on_n_action": (kinds.EVT_N_ACTION, _with("action_information")),
    "on_n_create": (kinds.EVT_N_CREATE, _with("attribute_list")),
    "on_n_delete": (kinds.EVT_N_DELETE, _without),
    "on_n_event_report": (kinds.EVT_N_EVENT_REPORT, _with("event_information")),
    "on_n_get": (kinds.EVT_N_GET, _with("attribute_identifiers")),
    "on_n_set": (kinds.EVT_N_SET, _with("modification_list")),
    "on_user_identity": (kinds.EVT_USER_ID, _identified),
    "on_sop_class_extended": (kinds.EVT_SOP_EXTENDED, lambda event: (event.app_info,)),
    "on_sop_class_common_extended": (kinds.EVT_SOP_COMMON, lambda event: (event.items,)),
    "on_async_ops_window": (kinds.EVT_ASYNC_OPS, lambda event: (event.nr_invoked, event.nr_performed)),
    "on_association_requested": (kinds.EVT_REQUESTED, _requested),
    "on_association_accepted": (kinds.EVT_ACCEPTED, _answered),
    "on_association_rejected": (kinds.EVT_REJECTED, _answered),
    "on_association_released": (kinds.EVT_RELEASED, _nothing),
    "on_association_aborted": (kinds.EVT_ABORTED, _nothing),
}


def _call(callback: Callable[..., Any], arguments: Callable[[Any], Arguments], event: Any) -> Any:
    return callback(*arguments(event))


def bound_callbacks(entity: Any, handled: Container[EventKind]) -> Iterator[tuple[EventKind, Callable[[Any], Any]]]:
    """Yield the callbacks that an AE has, in a subclass or set on it, as handlers of events that have none."""
    for name, (kind, arguments) in _CALLBACKS.items():
        if kind not in handled and (callback := getattr(entity, name, None)) is not None:
            warn(f"AE.{name} is of pynetdicom 1: bind a handler of evt.{kind.name} instead", DeprecationWarning, 6)
            yield kind, partial(_call, callback, arguments)


def query_model_of(letter_or_uid: str, service: str) -> str:
    """Return the SOP class of a query or retrieval, which pynetdicom 1 states as a letter.

    Raises
    ------
    ValueError
        If it is a letter that means no model of the service.
    """
    if len(letter_or_uid) > 1:
        return letter_or_uid
    if letter_or_uid == "W" and service == "Find":
        return sop_class.ModalityWorklistInformationFind
    if letter_or_uid not in _MODELS:
        raise ValueError(f"{letter_or_uid!r} is no query model: state the SOP class")
    return str(getattr(sop_class, f"{_MODELS[letter_or_uid]}QueryRetrieveInformationModel{service}"))
