"""The events under ``pynetdicom.events``."""

from typing import Any, Final

from dicom_proto.handlers import kinds
from dicom_proto.handlers.evt import Event, EventHandlerType, EventType
from dicom_proto.handlers.kinds import *  # noqa: F403
from dicom_proto.handlers.kinds import EventKind

__all__ = ["Event", "EventHandlerType", "EventType", "InterventionEvent", "NotificationEvent"]
__all__ += kinds.__all__


class _KindOfEvent(type):
    """A class whose instances are the events of one kind."""

    is_intervention: bool

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, EventKind) and instance.is_intervention is cls.is_intervention


class InterventionEvent(metaclass=_KindOfEvent):
    """For ``isinstance``: an event whose handler's result is the answer."""

    is_intervention = True


class NotificationEvent(metaclass=_KindOfEvent):
    """For ``isinstance``: an event whose handlers' results do not matter."""

    is_intervention = False


_ALL: Final = [getattr(kinds, name) for name in kinds.__all__ if name.startswith("EVT_")]
_INTERVENTION_EVENTS: Final = [kind for kind in _ALL if kind.is_intervention]
_NOTIFICATION_EVENTS: Final = [kind for kind in _ALL if kind.is_notification]
