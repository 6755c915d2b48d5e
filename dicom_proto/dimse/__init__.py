"""DIMSE (PS3.7): the 23 messages, and the connection that carries them, without I/O.

Stable.

What most users need is here, the messages apart, which are in :mod:`dicom_proto.dimse.messages`.
"""

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, ConnectionEvent, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.outgoing import STREAMED, Outgoing

__all__ = [
    "STREAMED",
    "CancelReceived",
    "Connection",
    "ConnectionEvent",
    "DataChunk",
    "Outgoing",
    "RequestReceived",
    "ResponseReceived",
]
