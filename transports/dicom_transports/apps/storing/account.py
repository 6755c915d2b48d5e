"""What has become of each file: counted, summed up for people, and rated for the exit status."""

from collections import Counter
from typing import Any, Final

from attrs import define, field

from dicom_proto.services.storage.pipeline import NotStored
from dicom_proto.status import Category, ServiceClass, code_to_category, describe
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_transports.apps.exits import Exit, rate

__all__ = ["Account", "Outcome", "as_size", "outcome_of"]

_STORED: Final = (Category.SUCCESS, Category.WARNING)
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")


@define
class Outcome:
    """What has become of one file.

    Attributes
    ----------
    is_stored : bool
        Whether the peer has it.
    status : int or None
        The status of the response, if there was one.
    reason : str
        The status in words, or why there is none.
    failure : Exception or None
        Why there is none.
    """

    is_stored: bool
    status: int | None
    reason: str
    failure: Exception | None = None


def outcome_of(status: Any) -> Outcome:
    """Return what the status data set of a C-STORE says."""
    if isinstance(status, NotStored):
        return Outcome(is_stored=False, status=None, reason=_words(status.failure), failure=status.failure)
    code = int(status.Status)
    reason = describe(code, ServiceClass.STORAGE, "C-STORE")
    comment = str(status.get("ErrorComment") or "")
    return Outcome(code_to_category(code) in _STORED, code, f"{reason} ({comment})" if comment else reason)


def _words(failure: Exception) -> str:
    return (failure.strerror or str(failure)) if isinstance(failure, OSError) else str(failure)


def as_size(length: float) -> str:
    """Return a number of bytes for people."""
    unit = 0
    while length >= 1000 and unit < len(_UNITS) - 1:
        length, unit = length / 1000, unit + 1
    return f"{length:.0f} {_UNITS[0]}" if not unit else f"{length:.1f} {_UNITS[unit]}"


@define
class Account:
    """How far a transfer has come.

    Attributes
    ----------
    files, length : int
        How many files there are, and how many bytes they have.
    stored, stored_length : int
        How many of them the peer has.
    done_length : int
        How many bytes have those that are done with, stored or not.
    reasons : Counter
        How many were not stored for which reason.
    first : AssociationFailure or OSError or None
        Why there was no association, the first time.
    lost : int
        How many have no answer because there was none, or none any more.
    seconds : float
        How long it has taken.
    """

    files: int
    length: int
    stored: int = 0
    stored_length: int = 0
    done_length: int = 0
    reasons: Counter[str] = field(factory=Counter)
    first: Exception | None = None
    lost: int = 0
    seconds: float = 0.0

    def take(self, outcome: Outcome, length: int) -> None:
        """Count a file."""
        self.done_length += length
        if outcome.is_stored:
            self.stored += 1
            self.stored_length += length
            return
        self.reasons[outcome.reason] += 1
        if _is_lost(outcome.failure):
            self.lost += 1
            self.first = self.first or outcome.failure

    @property
    def failed(self) -> int:
        """How many files the peer does not have, of those that are done with."""
        return self.reasons.total()

    @property
    def left(self) -> int:
        """How many files are not done with."""
        return self.files - self.stored - self.failed

    @property
    def rate(self) -> float:
        """Bytes stored per second."""
        return self.stored_length / self.seconds if self.seconds else 0.0

    @property
    def never_associated(self) -> bool:
        """Whether there never was an association to send anything over."""
        return not self.stored and bool(self.lost) and self.lost == self.failed

    def exit(self) -> Exit:
        """Return the exit status."""
        return Exit.NO_ASSOCIATION if self.never_associated else rate(self.stored, self.failed + self.left)

    def lines(self) -> list[str]:
        """Sum up, for people."""
        speed = f" in {self.seconds:.1f} s, {as_size(self.rate)}/s" if self.seconds else ""
        lines = [f"{self.stored} of {self.files} files stored, {as_size(self.stored_length)}{speed}"]
        lines += [f"  {count} not stored: {reason}" for reason, count in self.reasons.most_common()]
        if self.left:
            lines.append(f"  {self.left} not sent, or not answered for")
        return lines

    def record(self) -> dict[str, Any]:
        """Sum up, for programs."""
        return {
            "files": self.files,
            "stored": self.stored,
            "failed": self.failed,
            "left": self.left,
            "bytes": self.stored_length,
            "seconds": round(self.seconds, 3),
            "reasons": dict(self.reasons),
        }


def _is_lost(failure: Exception | None) -> bool:
    """Tell whether that is about the association: an error of a file says which."""
    return isinstance(failure, AssociationFailure) or (isinstance(failure, OSError) and not hasattr(failure, "item"))
