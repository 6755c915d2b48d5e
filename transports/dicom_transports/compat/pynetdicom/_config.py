"""The flags of pynetdicom; those that have a meaning here are settings of each AE that is made from then on.

``UNRESTRICTED_STORAGE_SERVICE`` and ``STORE_RECV_CHUNKED_DATASET`` are such settings, and ``CODECS``, ``VALIDATORS``
and ``ENFORCE_UID_CONFORMANCE`` count in ``pynetdicom.utils``. The others may be set, and change nothing:
docs/migrating.md says what is done instead.
"""

from collections.abc import Callable
from typing import Any

from pydicom.uid import UID

from dicom_proto.errors import InvalidNameError
from dicom_proto.names import check_ae_title, is_valid_uid

LOG_HANDLER_LEVEL: str = "standard"
ENFORCE_UID_CONFORMANCE: bool = False
USE_SHORT_DIMSE_AET: bool = True
LOG_RESPONSE_IDENTIFIERS: bool = True
LOG_REQUEST_IDENTIFIERS: bool = True
STORE_SEND_CHUNKED_DATASET: bool = False
STORE_RECV_CHUNKED_DATASET: bool = False
PASS_CONTEXTVARS: bool = False
WINDOWS_TIMER_RESOLUTION: float | None = 1
CODECS: tuple[str, ...] = ("ascii",)
UNRESTRICTED_STORAGE_SERVICE: bool = False


def validate_ae(value: str) -> tuple[bool, str]:
    """Tell whether something is an AE title, and if not, why."""
    try:
        check_ae_title(value)
    except InvalidNameError as error:
        return False, str(error)
    return True, ""


def validate_ui(value: UID) -> tuple[bool, str]:
    """Tell whether something is a UID, or short enough for one if ``ENFORCE_UID_CONFORMANCE`` is false."""
    if len(value) > 64:
        return False, "must not exceed 64 characters"
    if ENFORCE_UID_CONFORMANCE and not is_valid_uid(value):
        return False, "UID is non-conformant"
    return True, ""


VALIDATORS: dict[str, Callable[[Any], tuple[bool, str]]] = {"AE": validate_ae, "UI": validate_ui}
