"""``pynetdicom.utils``: small helpers, by the flags of ``pynetdicom._config``."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from io import BytesIO
from typing import Any, Final

from pydicom.config import IGNORE
from pydicom.uid import UID

from dicom_proto.names import is_valid_uid
from dicom_transports.compat.pynetdicom import _config

__all__ = [
    "decode_bytes",
    "make_target",
    "pretty_bytes",
    "set_ae",
    "set_timer_resolution",
    "set_uid",
    "validate_uid",
]

_LOGGER: Final = logging.getLogger("pynetdicom.utils")


def decode_bytes(encoded_value: bytes) -> str:
    """Decode by the first of ``_config.CODECS`` that can; what is not ASCII is dropped."""
    for codec in _config.CODECS:
        try:
            return encoded_value.decode(codec).encode("ascii", "ignore").decode("ascii")
        except ValueError as error:
            _LOGGER.error("%s", error)
    shown = encoded_value.hex(" ").upper()
    raise ValueError(f"Unable to decode '{shown}' using the {', '.join(_config.CODECS)} codec(s)")


def make_target(target_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a thread calls: with ``_config.PASS_CONTEXTVARS`` in a copy of the context of who asks."""
    return partial(copy_context().run, target_fn) if _config.PASS_CONTEXTVARS else target_fn


def pretty_bytes(
    bytestream: bytes | BytesIO,
    prefix: str = "  ",
    delimiter: str = "  ",
    items_per_line: int = 16,
    max_size: int | None = 512,
    suffix: str = "",
) -> list[str]:
    """Return bytes as lines of hexadecimal numbers."""
    octets = bytestream.getvalue() if isinstance(bytestream, BytesIO) else bytestream
    lines = []
    if max_size is not None and len(octets) > max_size:
        lines.append(f"{prefix}Only dumping {max_size} bytes.{suffix}")
        octets = octets[:max_size]
    for start in range(0, len(octets), items_per_line):
        line = delimiter.join(f"{octet:02x}" for octet in octets[start : start + items_per_line])
        lines.append(f"{prefix}{line}{suffix}")
    return lines


def set_ae(value: Any, name: str, allow_empty: bool = True, allow_none: bool = True) -> str | None:
    """Return an AE title without leading and trailing spaces, or raise ``TypeError`` or ``ValueError``."""
    if value is None and allow_none:
        return None
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be str, not '{type(value).__name__}'")
    if value == "":
        if allow_empty:
            return ""
        raise ValueError(f"Invalid '{name}' value - must not be an empty str")
    is_valid, message = _config.VALIDATORS["AE"](value)
    if not is_valid:
        raise ValueError(f"Invalid '{name}' value '{value}' - {message}")
    return value.strip()


@contextmanager
def set_timer_resolution(_resolution: float | None) -> Iterator[None]:
    """Do nothing: no timer is asked again and again here."""
    yield


def set_uid(
    value: Any, name: str, allow_empty: bool = True, allow_none: bool = True, validate: bool = True
) -> UID | None:
    """Return a UID, or raise ``TypeError`` or ``ValueError``."""
    if value is None and allow_none:
        return None
    if not isinstance(value, str | bytes):
        raise TypeError(f"'{name}' must be str, bytes or UID, not '{type(value).__name__}'")
    uid = UID(decode_bytes(value) if isinstance(value, bytes) else value, IGNORE)
    if uid == "":
        if allow_empty:
            return uid
        raise ValueError(f"Invalid '{name}' value - must not be an empty str")
    if validate:
        is_valid, message = _config.VALIDATORS["UI"](uid)
        if not is_valid:
            problem = f"Invalid '{name}' value '{uid}' - {message}"
            _LOGGER.error(problem)
            raise ValueError(problem)
        if not is_valid_uid(uid):
            _LOGGER.warning("Non-conformant '%s' value '%s'", name, uid)
    return uid


def validate_uid(uid: UID) -> bool:
    """Tell whether something is a UID: strictly with ``_config.ENFORCE_UID_CONFORMANCE``, otherwise by its length."""
    if _config.ENFORCE_UID_CONFORMANCE:
        return is_valid_uid(uid)
    return 0 < len(uid) < 65 and bool(uid.strip())
