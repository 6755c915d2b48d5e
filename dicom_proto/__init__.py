"""Stable: DICOM networking without I/O: bytes and time in, protocol events and bytes out.

What an embedder starts from, each name loaded when it is first asked for:

* :class:`Association` carries fragments of messages (PS3.8), :class:`Connection` carries messages (PS3.7);
* :class:`ApplicationEntity` says what is offered and accepted, :class:`EntityAssociation` is one of its associations,
  with all services (PS3.4), and :class:`Engine` runs its programs, for a driver that takes turns with it;
* :class:`Limits`, :class:`Tolerance`, :class:`Timeouts` and :class:`Policy` say what is allowed;
* ``evt`` has the events that handlers are bound to.

The adapters that move the bytes are in :mod:`dicom_transports`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dicom_proto.application.association import HANDLING, EntityAssociation
    from dicom_proto.application.awaiting import AwaitedAssociation
    from dicom_proto.application.entity import ApplicationEntity
    from dicom_proto.application.verbs import AwaitedVerbs, CalledVerbs
    from dicom_proto.dimse.connection import Connection
    from dicom_proto.errors import DicomProtoError, LocalProtocolError, RemoteProtocolError
    from dicom_proto.handlers import evt
    from dicom_proto.handlers.registry import Handlers
    from dicom_proto.limits import Limits, Tolerance
    from dicom_proto.offers.contexts import PresentationContext, build_context, build_role
    from dicom_proto.programs.effects import END, Call, Dial, Pull
    from dicom_proto.programs.engine import Engine, Turn
    from dicom_proto.programs.tasks import Task, Tasks
    from dicom_proto.upper_layer.association import Association
    from dicom_proto.upper_layer.failures import AssociationFailure
    from dicom_proto.upper_layer.negotiation import build_offer
    from dicom_proto.upper_layer.policy import Policy, review
    from dicom_proto.upper_layer.timers import Timeouts

__all__ = [
    "END",
    "HANDLING",
    "ApplicationEntity",
    "Association",
    "AssociationFailure",
    "AwaitedAssociation",
    "AwaitedVerbs",
    "Call",
    "CalledVerbs",
    "Connection",
    "Dial",
    "DicomProtoError",
    "Engine",
    "EntityAssociation",
    "Handlers",
    "Limits",
    "LocalProtocolError",
    "Policy",
    "PresentationContext",
    "Pull",
    "RemoteProtocolError",
    "Task",
    "Tasks",
    "Timeouts",
    "Tolerance",
    "Turn",
    "build_context",
    "build_offer",
    "build_role",
    "evt",
    "review",
]

__version__ = "0.1.0"

_MODULES: Final = {
    "application.association": ("HANDLING", "EntityAssociation"),
    "application.awaiting": ("AwaitedAssociation",),
    "application.entity": ("ApplicationEntity",),
    "application.verbs": ("AwaitedVerbs", "CalledVerbs"),
    "dimse.connection": ("Connection",),
    "errors": ("DicomProtoError", "LocalProtocolError", "RemoteProtocolError"),
    "handlers.evt": ("evt",),
    "handlers.registry": ("Handlers",),
    "limits": ("Limits", "Tolerance"),
    "offers.contexts": ("PresentationContext", "build_context", "build_role"),
    "programs.effects": ("END", "Call", "Dial", "Pull"),
    "programs.engine": ("Engine", "Turn"),
    "programs.tasks": ("Task", "Tasks"),
    "upper_layer.association": ("Association",),
    "upper_layer.failures": ("AssociationFailure",),
    "upper_layer.negotiation": ("build_offer",),
    "upper_layer.policy": ("Policy", "review"),
    "upper_layer.timers": ("Timeouts",),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load what is asked for (PEP 562), so that who needs the upper layer alone loads no more, and no pydicom."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    value = globals()[name] = module if name == "evt" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
