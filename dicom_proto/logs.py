"""The log: which association a line is about.

Stable.

Every association of an application entity has a short id. It stands in front of each line that is logged while a turn
of its engine is taken or one of its handlers runs, as ``[12] ...``, and is the attribute ``association`` of the record.
That is done by a filter on the loggers of this project, whoever sets up handlers for them; a program may add
:func:`name_association` to its own loggers, so that what its handlers log is named as well.

Records with facts for machines have them as ``dicom``: a dict of plain values, under names that stay.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["ASSOCIATION", "LOGGERS", "about", "name_association"]

ASSOCIATION: Final[ContextVar[str]] = ContextVar("ASSOCIATION", default="")
"""The id of the association that is at work here; adapters set it for handlers, the engine for its turns."""

LOGGERS: Final = (
    *(f"dicom_proto.{name}" for name in ("association", "encoding", "programs", "services", "upper_layer")),
    "dicom_transports",
    *(f"dicom_transports.{name}" for name in ("archive", "asyncio", "blocking", "trio")),
)
"""The loggers of this project."""


def name_association(record: logging.LogRecord) -> bool:
    """Put the id of the association in front of a line, once; a filter that lets everything pass."""
    name = ASSOCIATION.get()
    if name and not hasattr(record, "association"):
        record.association = name
        record.msg = f"[{name}] {record.msg}"
    return True


@contextmanager
def about(name: str) -> Iterator[None]:
    """Let what is logged here be about an association, by its id."""
    token = ASSOCIATION.set(name)
    try:
        yield
    finally:
        ASSOCIATION.reset(token)


for _name in LOGGERS:
    logging.getLogger(_name).addFilter(name_association)
