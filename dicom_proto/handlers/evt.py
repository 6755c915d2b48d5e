"""The namespace ``evt`` of the adapters: the events, what a handler gets, and how a handler is stated.

Stable.
"""

from typing import Final

from dicom_proto.handlers import kinds
from dicom_proto.handlers.event import Event, RequestEvent
from dicom_proto.handlers.kinds import *  # noqa: F403
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.registry import Bindable as EventHandlerType

__all__ = ["Event", "EventHandlerType", "EventType", "RequestEvent"]
__all__ += kinds.__all__

EventType: Final = EventKind
"""The type of an event, under pynetdicom's name."""
