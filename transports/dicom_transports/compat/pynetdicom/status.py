"""``pynetdicom.status``."""

from typing import Any

from dicom_proto import status as ours
from dicom_proto.application.results import code_to_status
from dicom_proto.status import (
    STATUS_CANCEL,
    STATUS_FAILURE,
    STATUS_PENDING,
    STATUS_SUCCESS,
    STATUS_UNKNOWN,
    STATUS_WARNING,
    Status,
)

__all__ = [
    "STATUS_CANCEL",
    "STATUS_FAILURE",
    "STATUS_PENDING",
    "STATUS_SUCCESS",
    "STATUS_UNKNOWN",
    "STATUS_WARNING",
    "Status",
    "code_to_category",
    "code_to_status",
]


def code_to_category(code: int) -> str:
    """Return the category of a status code; raise ``ValueError`` if it is negative."""
    if code < 0:
        raise ValueError("a status code is not negative")
    return ours.code_to_category(code)


def __getattr__(name: str) -> Any:
    return getattr(ours, name)
