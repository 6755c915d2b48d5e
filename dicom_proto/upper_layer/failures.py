"""How an association ended, as exceptions: for users who would rather be interrupted than look at events.

Stable.
"""

from typing import Final, TypeAlias, assert_never

from dicom_proto.errors import DicomProtoError, RemoteProtocolError
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateRejected,
    ConnectionClosed,
    Released,
    TimedOut,
)
from dicom_proto.upper_layer.reasons import (
    RejectReasonPresentation,
    RejectSource,
    describe_abort,
    describe_rejection,
)
from dicom_proto.upper_layer.timers import Timer

__all__ = [
    "AssociationAborted",
    "AssociationClosed",
    "AssociationFailure",
    "AssociationRejected",
    "AssociationTimedOut",
    "Ending",
    "failure_of",
]

_BUSY: Final = frozenset(RejectReasonPresentation)  # that is all of them

Ending: TypeAlias = AssociateRejected | Aborted | TimedOut | Released | ConnectionClosed
"""The events after which there is no association."""


class AssociationFailure(DicomProtoError):  # noqa: N818 - the standard's words: an association is rejected or aborted
    """There is no association, or none any more."""


class AssociationRejected(AssociationFailure):
    """It was rejected; the numbers are those of the A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        super().__init__(f"association rejected: {describe_rejection(result, source, reason)}")
        self.result = result
        self.source = source
        self.reason = reason

    @property
    def is_busy(self) -> bool:
        """Whether the peer has too much to do now: temporary congestion, or a local limit that is exceeded."""
        return self.source == RejectSource.SERVICE_PROVIDER_PRESENTATION and self.reason in _BUSY


class AssociationAborted(AssociationFailure):
    """It was aborted, or its transport connection was lost (PS3.8 7.3, 7.4)."""

    def __init__(self, origin: AbortOrigin, reason: int, error: RemoteProtocolError | None) -> None:
        words = f"association ended by {origin.value}"
        if origin is AbortOrigin.PEER_PROVIDER:
            words += f": {describe_abort(2, reason)}"
        super().__init__(f"{words}: {error}" if error else words)
        self.origin = origin
        self.reason = reason
        self.error = error


class AssociationTimedOut(AssociationFailure):
    """A deadline passed and it was aborted."""

    def __init__(self, timer: Timer) -> None:
        super().__init__(f"association aborted: the {timer.value} timer expired")
        self.timer = timer


class AssociationClosed(AssociationFailure):
    """It has been released, or was closed before it began."""


def failure_of(event: Ending) -> AssociationFailure:
    """Return the exception that tells what an event told."""
    match event:
        case AssociateRejected():
            return AssociationRejected(event.result, event.source, event.reason)
        case Aborted():
            return AssociationAborted(event.origin, event.reason, event.error)
        case TimedOut():
            return AssociationTimedOut(event.timer)
        case Released():
            return AssociationClosed("the association has been released")
        case ConnectionClosed():
            return AssociationClosed("the connection has been closed")
        case _:
            assert_never(event)
