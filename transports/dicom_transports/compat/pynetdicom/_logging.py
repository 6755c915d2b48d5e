"""The loggers of this package below the one that programs set up: ``pynetdicom``."""

import logging
from typing import Final

__all__ = ["debug_logger"]

_LOGGER: Final = logging.getLogger("pynetdicom")
_LOGGER.addHandler(logging.NullHandler())
for _own in ("dicom_proto", "dicom_transports"):
    logging.getLogger(_own).parent = _LOGGER


def debug_logger() -> None:
    """Log everything that happens, to the standard error: PDUs, states and timers, no data sets."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname).1s: %(message)s"))
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(logging.DEBUG)
