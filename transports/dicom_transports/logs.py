"""The log as JSON: one object a line, for programs that collect logs.

Stable.

What stands in it is described in the page "Finding out why" of the documentation; :mod:`dicom_proto.logs` tells how
lines are known to be about an association.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["JSONLines", "log_json"]


class JSONLines(logging.Formatter):
    """Makes a line of JSON of a record.

    Each object has ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``process`` and ``message``; ``association``, the
    id of the association that it is about; ``exception``, the traceback of one that was caught; and the facts of the
    record, such as ``event``, ``address``, ``calling``, ``called``, ``operations``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        association = getattr(record, "association", None)
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
        }
        if association is not None:
            line["association"] = association
            message = message.removeprefix(f"[{association}] ")
        line["message"] = message
        line |= getattr(record, "dicom", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_json(level: int = logging.INFO, stream: TextIO | None = None) -> logging.Handler:
    """Log what this project has to say as lines of JSON.

    Parameters
    ----------
    level : int
        From which level on; A-ASSOCIATE PDUs and the states of each association are at ``logging.DEBUG``.
    stream : text file, optional
        Where to; by default the standard error.

    Returns
    -------
    logging.Handler
        What does it. It is a handler of the loggers ``dicom_proto`` and ``dicom_transports``; handlers of the root
        logger get their lines as before.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONLines())
    handler.setLevel(level)
    for name in ("dicom_proto", "dicom_transports"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        if not logger.isEnabledFor(level):
            logger.setLevel(level)
    return handler
