"""The events that users bind handlers to, under the names that users of pynetdicom know: the namespace ``evt``.

Stable.

A notification event may have any number of handlers, whose results do not matter; an intervention event has one, and
its result is the service's answer.
"""

from typing import Final

from attrs import frozen

__all__ = [
    "EVT_ABORTED",
    "EVT_ACCEPTED",
    "EVT_ACCESS",
    "EVT_ACSE_RECV",
    "EVT_ACSE_SENT",
    "EVT_ASYNC_OPS",
    "EVT_CONN_CLOSE",
    "EVT_CONN_OPEN",
    "EVT_C_ECHO",
    "EVT_C_FIND",
    "EVT_C_GET",
    "EVT_C_MOVE",
    "EVT_C_STORE",
    "EVT_DATA_RECV",
    "EVT_DATA_SENT",
    "EVT_DIMSE_RECV",
    "EVT_DIMSE_SENT",
    "EVT_ESTABLISHED",
    "EVT_FSM_TRANSITION",
    "EVT_N_ACTION",
    "EVT_N_CREATE",
    "EVT_N_DELETE",
    "EVT_N_EVENT_REPORT",
    "EVT_N_GET",
    "EVT_N_SET",
    "EVT_PDU_RECV",
    "EVT_PDU_SENT",
    "EVT_REJECTED",
    "EVT_RELEASED",
    "EVT_REQUESTED",
    "EVT_SOP_COMMON",
    "EVT_SOP_EXTENDED",
    "EVT_USER_ID",
    "EventKind",
]


@frozen(eq=False)
class EventKind:
    """An event that handlers can be bound to."""

    name: str
    description: str
    is_intervention: bool

    def __reduce__(self) -> str:
        return str(self)  # there is one of each in a process

    @property
    def is_notification(self) -> bool:
        """Whether the results of its handlers do not matter."""
        return not self.is_intervention

    def __str__(self) -> str:
        return self.name


def _notification(name: str, description: str) -> EventKind:
    return EventKind(f"EVT_{name}", description, is_intervention=False)


def _intervention(name: str, description: str) -> EventKind:
    return EventKind(f"EVT_{name}", description, is_intervention=True)


EVT_ABORTED: Final = _notification("ABORTED", "Association aborted")
EVT_ACCEPTED: Final = _notification("ACCEPTED", "Association request accepted")
EVT_ACSE_RECV: Final = _notification("ACSE_RECV", "ACSE received a primitive from the service provider")
EVT_ACSE_SENT: Final = _notification("ACSE_SENT", "ACSE sent a primitive to the service provider")
EVT_CONN_CLOSE: Final = _notification("CONN_CLOSE", "Connection closed")
EVT_CONN_OPEN: Final = _notification("CONN_OPEN", "Connection opened")
EVT_DATA_RECV: Final = _notification("DATA_RECV", "PDU data received")
EVT_DATA_SENT: Final = _notification("DATA_SENT", "PDU data sent")
EVT_DIMSE_RECV: Final = _notification("DIMSE_RECV", "DIMSE message received")
EVT_DIMSE_SENT: Final = _notification("DIMSE_SENT", "DIMSE message sent")
EVT_ESTABLISHED: Final = _notification("ESTABLISHED", "Association established")
EVT_FSM_TRANSITION: Final = _notification("FSM_TRANSITION", "State machine about to change state")
EVT_PDU_RECV: Final = _notification("PDU_RECV", "PDU received")
EVT_PDU_SENT: Final = _notification("PDU_SENT", "PDU sent")
EVT_REJECTED: Final = _notification("REJECTED", "Association request rejected")
EVT_RELEASED: Final = _notification("RELEASED", "Association released")
EVT_REQUESTED: Final = _notification("REQUESTED", "Association requested")

EVT_ACCESS: Final = _intervention("ACCESS", "Association requested that the policy does not reject")
EVT_ASYNC_OPS: Final = _intervention("ASYNC_OPS", "Asynchronous operations window negotiation requested")
EVT_SOP_COMMON: Final = _intervention("SOP_COMMON", "SOP class common extended negotiation requested")
EVT_SOP_EXTENDED: Final = _intervention("SOP_EXTENDED", "SOP class extended negotiation requested")
EVT_USER_ID: Final = _intervention("USER_ID", "User identity negotiation requested")
EVT_C_ECHO: Final = _intervention("C_ECHO", "C-ECHO request received")
EVT_C_FIND: Final = _intervention("C_FIND", "C-FIND request received")
EVT_C_GET: Final = _intervention("C_GET", "C-GET request received")
EVT_C_MOVE: Final = _intervention("C_MOVE", "C-MOVE request received")
EVT_C_STORE: Final = _intervention("C_STORE", "C-STORE request received")
EVT_N_ACTION: Final = _intervention("N_ACTION", "N-ACTION request received")
EVT_N_CREATE: Final = _intervention("N_CREATE", "N-CREATE request received")
EVT_N_DELETE: Final = _intervention("N_DELETE", "N-DELETE request received")
EVT_N_EVENT_REPORT: Final = _intervention("N_EVENT_REPORT", "N-EVENT-REPORT request received")
EVT_N_GET: Final = _intervention("N_GET", "N-GET request received")
EVT_N_SET: Final = _intervention("N_SET", "N-SET request received")
