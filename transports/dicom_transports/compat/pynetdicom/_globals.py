"""What pynetdicom keeps in its module of this name."""

from typing import Final, TypeAlias

from pydicom.uid import UID

from dicom_proto.names import APPLICATION_CONTEXT_NAME
from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES
from dicom_proto.status import (
    STATUS_CANCEL,
    STATUS_FAILURE,
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_UNKNOWN,
    STATUS_WARNING,
)

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "APPLICATION_CONTEXT_NAME",
    "DEFAULT_MAX_LENGTH",
    "DEFAULT_TRANSFER_SYNTAXES",
    "MODE_ACCEPTOR",
    "MODE_REQUESTOR",
    "STATUS_CANCEL",
    "STATUS_FAILURE",
    "STATUS_PENDING",
    "STATUS_SUCCESS",
    "STATUS_UNKNOWN",
    "STATUS_WARNING",
    "OptionalUIDType",
]

DEFAULT_MAX_LENGTH: Final = 16382
MODE_ACCEPTOR: Final = "acceptor"
MODE_REQUESTOR: Final = "requestor"
OptionalUIDType: TypeAlias = str | bytes | UID | None
