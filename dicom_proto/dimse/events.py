"""What a ``Connection`` tells its user: DIMSE indications and confirmations (PS3.7 7.5).

Stable.

The union :data:`ConnectionEvent` is closed: it is that of the upper layer with messages and data in the place of
fragments. ``invoked`` tells which side began an operation, because both count their message IDs on their own: true
for one that this side invoked, false for one that it performs.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from attrs import define, field

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.messages import Request, Response
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    Released,
    ReleaseRequested,
    TimedOut,
)

__all__ = ["CancelReceived", "ConnectionEvent", "DataChunk", "DataRun", "RequestReceived", "ResponseReceived"]

_NO_ELEMENTS: Final[Mapping[int, bytes]] = MappingProxyType({})

# These are made for every message and every fragment, and arguments that can only be named would double their cost.


@define
class RequestReceived:
    """The peer asks for an operation, or sends a notification (indication primitive, PS3.7 7.5.1).

    Where ``has_data`` is true, :class:`DataChunk` events with the same message ID follow.
    """

    message_id: int
    context_id: int
    request: Request
    has_data: bool


@define
class ResponseReceived:
    """The peer answers (confirmation primitive, PS3.7 7.5.1); the operation goes on while its status is Pending.

    Where ``has_data`` is true, :class:`DataChunk` events with the same message ID follow. ``aside`` has elements of
    other groups that stood in the command set, where they do not belong, as tag to value (Implicit VR Little Endian).
    """

    message_id: int
    context_id: int
    response: Response
    has_data: bool
    aside: Mapping[int, bytes] = field(default=_NO_ELEMENTS, repr=False)


@define
class DataChunk:
    """A piece of the data set of the message that was received last; ``last`` ends it.

    A data set that is streamed comes as read-only views of received blocks: whoever keeps one calls ``bytes()``. One
    that is collected comes whole, in a single event.
    """

    message_id: int
    invoked: bool
    data: Buffer
    last: bool


@define
class DataRun:
    """Consecutive pieces of the data set of a request, for who has asked for them together.

    See :meth:`~dicom_proto.dimse.connection.Connection.join_data`. Otherwise each is a :class:`DataChunk` of its own.
    """

    message_id: int
    pieces: list[memoryview]
    length: int
    last: bool


@define
class CancelReceived:
    """The peer wants an operation that is performed here to end (C-CANCEL-RQ, PS3.7 9.3.2.3)."""

    message_id: int


ConnectionEvent: TypeAlias = (
    AssociateRequested
    | AssociateAccepted
    | AssociateRejected
    | ReleaseRequested
    | Released
    | Aborted
    | TimedOut
    | ConnectionClosed
    | RequestReceived
    | ResponseReceived
    | DataChunk
    | DataRun
    | CancelReceived
)
