"""What the upper layer tells its user: the indications and confirmations of PS3.8 7, as records.

Stable.

The union :data:`UpperLayerEvent` is closed. A ``match`` over it ends in ``typing.assert_never``, so that a type
checker finds the case that was forgotten.
"""

from enum import Enum
from typing import TypeAlias

from attrs import define, frozen

from dicom_proto.errors import RemoteProtocolError
from dicom_proto.upper_layer.negotiation import Agreement
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ
from dicom_proto.upper_layer.timers import Timer

__all__ = [
    "AbortOrigin",
    "Aborted",
    "AssociateAccepted",
    "AssociateRejected",
    "AssociateRequested",
    "ConnectionClosed",
    "FragmentReceived",
    "ReleaseRequested",
    "Released",
    "TimedOut",
    "Tolerated",
    "UpperLayerEvent",
]


class AbortOrigin(Enum):
    """Who ended the association."""

    PEER_USER = "the peer's UL service-user"  # A-ABORT with source 0
    PEER_PROVIDER = "the peer's UL service-provider"  # A-ABORT with any other source
    LOCAL_PROVIDER = "this side's UL service-provider, because the peer broke the protocol"
    TRANSPORT = "the loss of the transport connection"


@frozen(kw_only=True)
class AssociateRequested:
    """A-ASSOCIATE indication: answer it with ``accept`` or ``reject`` (PS3.8 7.1)."""

    offer: AAssociateRQ


@frozen(kw_only=True)
class AssociateAccepted:
    """A-ASSOCIATE confirmation, accepted: what the peer answered and what both sides agreed on (PS3.8 7.1)."""

    answer: AAssociateAC
    agreement: Agreement


@frozen(kw_only=True)
class AssociateRejected:
    """The association was rejected (PS3.8 9.3.4): by the peer, or by this side's provider for its protocol version.

    The three numbers are those of the PDU; values that the standard does not list are plain integers.
    """

    result: int
    source: int
    reason: int


# Made for every fragment: freezing, and arguments that can only be named, would cost several times as much as the rest.
@define
class FragmentReceived:
    """P-DATA indication: one piece of a fragment, as far as it has arrived (PS3.8 7.6, Annex E).

    ``data`` is a read-only view of a received block: whoever keeps it calls ``bytes()``. ``last`` is true on the last
    piece of the last fragment of a command or of a data set.
    """

    context_id: int
    command: bool
    last: bool
    data: memoryview


@frozen(kw_only=True)
class ReleaseRequested:
    """A-RELEASE indication: answer it with ``confirm_release`` (PS3.8 7.2)."""


@frozen(kw_only=True)
class Released:
    """A-RELEASE confirmation: the peer has answered this side's request (PS3.8 7.2)."""


@frozen(kw_only=True)
class Aborted:
    """A-ABORT or A-P-ABORT indication (PS3.8 7.3, 7.4).

    ``reason`` is the reason/diag field of the A-ABORT PDU, sent or received; 0 where there was none. ``error`` says
    what was wrong when this side aborted.
    """

    origin: AbortOrigin
    reason: int = 0
    error: RemoteProtocolError | None = None


@frozen(kw_only=True)
class TimedOut:
    """A deadline passed; the association was aborted, or in Sta2 the transport is to be closed."""

    timer: Timer


@frozen(kw_only=True)
class ConnectionClosed:
    """Nothing more will ever happen here. It is returned again and again."""


@frozen
class Tolerated:
    """The peer has broken the letter of the standard, and it was accepted.

    It comes to ``on_tolerated`` of the machine that notes it, at once, and not with the events that somebody asks for:
    nothing has to be done about it.

    Parameters
    ----------
    kind : str
        The field of :class:`~dicom_proto.limits.Tolerance` that allows it.
    detail : str
        What it was, without any value that the peer has sent.
    """

    kind: str
    detail: str


UpperLayerEvent: TypeAlias = (
    AssociateRequested
    | AssociateAccepted
    | AssociateRejected
    | FragmentReceived
    | ReleaseRequested
    | Released
    | Aborted
    | TimedOut
    | ConnectionClosed
)
