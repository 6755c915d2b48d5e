"""What pynetdicom takes as the settings of an AE: out of range it is the default, of another type a TypeError."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from warnings import warn

from dicom_transports.compat.pynetdicom._globals import DEFAULT_MAX_LENGTH

__all__ = ["TAKEN", "TIMEOUTS", "as_title"]


def _as_seconds(default: float | None, value: Any) -> float | None:
    is_number = isinstance(value, int | float) and value >= 0
    return value if value is None or is_number else default


def _as_connection_seconds(value: Any) -> float | None:
    return _as_seconds(None, value) or None


def _as_maximum_associations(value: Any) -> int:
    return value if isinstance(value, int) and value >= 1 else 1


def _as_maximum_length(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else DEFAULT_MAX_LENGTH


def as_title(value: Any) -> Any:
    """Return an AE title, which need not be one; bytes are taken, and warned about."""
    if isinstance(value, bytes):
        warn("The use of bytes with 'ae_title' is deprecated, use an ASCII str instead", DeprecationWarning, 3)
    elif not isinstance(value, str):
        raise TypeError(f"'ae_title' must be str, not '{type(value).__name__}'")
    return value


def _as_text(name: str, *others: type, value: Any) -> Any:
    if not isinstance(value, (str, *others)):
        raise TypeError(f"'{name}' must be str, not '{type(value).__name__}'")
    return value.decode("ascii") if isinstance(value, bytes) else value


def _as_titles(value: Any) -> Any:
    return [as_title(title) for title in value] if isinstance(value, list | tuple) else value


TAKEN: Final[dict[str, Callable[[Any], Any]]] = {
    "acse_timeout": partial(_as_seconds, 30),
    "dimse_timeout": partial(_as_seconds, 30),
    "network_timeout": partial(_as_seconds, 60),
    "connection_timeout": _as_connection_seconds,
    "maximum_associations": _as_maximum_associations,
    "maximum_pdu_size": _as_maximum_length,
    "ae_title": as_title,
    "require_calling_aet": _as_titles,
    "implementation_class_uid": lambda value: _as_text("implementation_class_uid", bytes, value=value),
    "implementation_version_name": lambda value: _as_text("implementation_version_name", type(None), value=value),
}
TIMEOUTS: Final = ("acse_timeout", "dimse_timeout", "network_timeout")
