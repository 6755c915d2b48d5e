"""What is left of an association when it has ended: words for its failure, and somebody to ask.

May change.
"""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from dicom_proto.dimse.connection import Connection
from dicom_proto.programs.effects import Program
from dicom_proto.programs.engine import Engine
from dicom_proto.programs.tasks import Task

__all__ = ["Retired", "explained", "note_forgotten", "suspect_nothing", "suspicion_of"]

T = TypeVar("T")
FailureT = TypeVar("FailureT", bound=Exception)
_MOST_ANSWERED: Final = 50  # transfer syntaxes of a context, by DCMTK 3.6.7
_log = logging.getLogger("dicom_proto.association")


def explained(failure: FailureT, suspicion: str | None) -> FailureT:
    """Add what is probably wrong to the text of a failure, if there is a suspicion; return it."""
    if suspicion is not None:
        if isinstance(failure, OSError) and failure.strerror:  # of TLS
            failure.strerror += f": {suspicion}"
        else:
            failure.args = (f"{failure}: {suspicion}", *failure.args[1:])
    return failure


def suspect_nothing() -> None:
    """Suspect nothing."""


class Retired:
    """What is left of an association for programs of others that still know it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, program: Program[T], on_end: Callable[[Task[T]], None]) -> Task[T]:
        """Run a program, which ends at once."""
        return self._engine.submit(program, on_end)

    def part(self) -> Program[None]:
        """Return a program that does nothing: it has ended."""
        yield from ()

    def abort_soon(self) -> None:
        """Do nothing: it has ended."""


def note_forgotten(task: Task[None]) -> None:
    """Results could not be cancelled: then there are none to come."""
    if task.error is not None:
        _log.debug("! results that nobody wants were not cancelled: %s", task.error)
        task.finish(None, None)


def suspicion_of(connection: Connection) -> str | None:
    """Tell what is probably wrong with an offer that was not answered."""
    offer = connection.offer
    if offer is None or connection.agreement is not None or not connection.is_requestor:
        return None
    most = max(len(context.transfer_syntaxes) for context in offer.presentation_contexts)
    if most <= _MOST_ANSWERED:
        return None
    return (
        f"a presentation context was proposed with {most} transfer syntaxes, and some peers do not answer more than"
        f" {_MOST_ANSWERED}"
    )
