"""Errors of the core: whose fault it was decides the type.

Stable.

* :class:`LocalProtocolError`: this side asked for something the protocol does not allow. It is raised at the caller and
  changes nothing.
* :class:`RemoteProtocolError`: the peer broke the protocol. The pure codec functions raise it; the state machines never
  do: they catch it, queue the A-ABORT or A-ASSOCIATE-RJ that PS3.8 asks for, and hand the error out inside an event.
"""

from enum import IntEnum

__all__ = [
    "AbortReason",
    "CommandSetError",
    "DataSetError",
    "DicomProtoError",
    "EncodingError",
    "InvalidNameError",
    "InvalidSettingError",
    "LimitExceededError",
    "LocalProtocolError",
    "MissingElementError",
    "NoContextError",
    "NotEstablishedError",
    "NothingRequestedError",
    "PDUError",
    "RemoteProtocolError",
]


class AbortReason(IntEnum):
    """Reason/diag field of an A-ABORT whose source is the UL service-provider (PS3.8 9.3.8, Table 9-26).

    A received value that is not listed stays a plain :class:`int`.
    """

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


class DicomProtoError(Exception):
    """Base of every error that this package defines."""


class LocalProtocolError(DicomProtoError):
    """This side asked for something that the protocol does not allow here and now; nothing was changed."""


class InvalidNameError(LocalProtocolError, ValueError):
    """A name given by the caller (AE title, UID, presentation context ID) breaks the rules of the standard."""


class InvalidSettingError(LocalProtocolError, ValueError, TypeError):
    """A setting given by the caller has a value, or is of a type, that it cannot have.

    It is a ``ValueError`` and a ``TypeError``, because users of pynetdicom may catch either for a bad setting.
    """


class MissingElementError(LocalProtocolError, AttributeError):
    """A data set given by the caller lacks an element without which it cannot be sent."""


class EncodingError(LocalProtocolError, ValueError):
    """A data set given by the caller cannot be encoded, or not in the transfer syntax that it is wanted in."""


class NotEstablishedError(LocalProtocolError, RuntimeError):
    """Something was asked of an association that is not established, or not any more."""


class NoContextError(LocalProtocolError, ValueError):
    """There is no presentation context for what was asked: none is configured, or none was accepted."""


class NothingRequestedError(NoContextError, RuntimeError):
    """An association cannot be requested without presentation contexts."""


class RemoteProtocolError(DicomProtoError):
    """The peer broke the protocol.

    Parameters
    ----------
    message : str
        What was wrong, in one line. Strings of the peer appear only through ``repr``.
    abort_reason : AbortReason
        What a UL service-provider puts in the A-ABORT that answers it (PS3.8 9.3.8).
    """

    def __init__(self, message: str, *, abort_reason: AbortReason = AbortReason.INVALID_PDU_PARAMETER_VALUE) -> None:
        super().__init__(message)
        self.abort_reason = abort_reason


class PDUError(RemoteProtocolError):
    """A PDU, or an item inside it, cannot be decoded (PS3.8 9.3)."""


class CommandSetError(RemoteProtocolError):
    """A command set cannot be decoded, or a required field is absent or malformed (PS3.7 6.3, 9.3, 10.3)."""


class DataSetError(RemoteProtocolError):
    """A data set of the peer cannot be decoded in its negotiated transfer syntax (PS3.5)."""


class LimitExceededError(RemoteProtocolError):
    """The peer went past a bound named in :class:`dicom_proto.limits.Limits`."""
