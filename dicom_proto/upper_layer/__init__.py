"""The upper layer of an association (PS3.8): PDUs, negotiation and the state machine, without I/O.

Stable.

What most users need is here; the modules below have the rest.
"""

from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    Released,
    ReleaseRequested,
    TimedOut,
    Tolerated,
    UpperLayerEvent,
)
from dicom_proto.upper_layer.negotiation import Agreement, agree, build_offer
from dicom_proto.upper_layer.policy import Policy, Review, Supported, review
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts, Timer

__all__ = [
    "AbortOrigin",
    "Aborted",
    "Agreement",
    "AssociateAccepted",
    "AssociateRejected",
    "AssociateRequested",
    "Association",
    "ConnectionClosed",
    "FragmentReceived",
    "Policy",
    "ReleaseRequested",
    "Released",
    "Review",
    "State",
    "Supported",
    "TimedOut",
    "Timeouts",
    "Timer",
    "Tolerated",
    "UpperLayerEvent",
    "agree",
    "build_offer",
    "review",
]
