"""What an application entity has done until now, in numbers.

Stable.

Nothing is counted twice: an association counts its own bytes and operations anyway, and what is asked for is the sum of
those that are there and those that have been. So counting costs nothing while messages pass.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

from attrs import frozen

from dicom_proto.dimse.operations import OTHER_STATUS, Answers
from dicom_proto.programs.engine import Engine
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.pdu import AAssociateRJ
from dicom_proto.upper_layer.reasons import REJECT_REASONS, describe_reason

__all__ = ["Counted", "Counters", "Operation", "Tally", "operations_as_dicts", "operations_of"]

_UNANSWERED: Final = "unanswered"
_OTHER: Final = "other"


@frozen(order=True)
class Operation:
    """A kind of operation, and how it ended.

    Parameters
    ----------
    role : str
        Of this side: ``"SCU"`` or ``"SCP"``.
    name : str
        Such as ``"C-STORE"``.
    status : str
        The final status as four hexadecimal digits; ``"unanswered"`` when the association ended first, ``"other"`` for
        all beyond the 256 that an association counts one by one.
    """

    role: str
    name: str
    status: str


@frozen(kw_only=True)
class Counters:
    """The numbers of an application entity since it was made.

    Parameters
    ----------
    open : int
        Associations that are established now.
    accepted, requested : int
        Associations that were established at the request of others, and of this side.
    rejected : mapping of (str, str) to int
        Requests that this side has rejected, by the reason in words (PS3.8 Table 9-21) and the setting that decided it.
    refused : mapping of str to int
        Requests of this side that peers have rejected, by the reason in words.
    ended : mapping of str to int
        How established associations have ended: ``"released"``, ``"aborted"``, ``"timed out"`` or ``"lost"``.
    operations : mapping of Operation to int
        Operations that have ended.
    tolerated : mapping of str to int
        What peers were allowed although it breaks the standard, by the name in ``Tolerance``.
    bytes_received, bytes_sent : int
        Of PDUs, without what TLS adds.
    seconds : float
        How long associations have lasted, together.
    """

    open: int
    accepted: int
    requested: int
    rejected: Mapping[tuple[str, str], int]
    refused: Mapping[str, int]
    ended: Mapping[str, int]
    operations: Mapping[Operation, int]
    tolerated: Mapping[str, int]
    bytes_received: int
    bytes_sent: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return them as plain values, which JSON can hold."""
        plain = {
            name: getattr(self, name)
            for name in ("open", "accepted", "requested", "bytes_received", "bytes_sent", "seconds")
        }
        return plain | {
            "rejected": [
                {"reason": reason, "decided_by": setting, "count": count}
                for (reason, setting), count in sorted(self.rejected.items())
            ],
            "refused": dict(self.refused),
            "ended": dict(self.ended),
            "operations": operations_as_dicts(self.operations),
            "tolerated": dict(self.tolerated),
        }


def operations_as_dicts(operations: Mapping[Operation, int]) -> list[dict[str, Any]]:
    """Return operations as plain values, in order."""
    return [
        {"role": operation.role, "operation": operation.name, "status": operation.status, "count": count}
        for operation, count in sorted(operations.items())
    ]


class Counted(Protocol):
    """What is counted of an association."""

    engine: Engine
    peer: Peer

    @property
    def is_established(self) -> bool:
        """Whether it is established now."""

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 if it was never established."""


def operations_of(association: Counted) -> Counter[Operation]:
    """Return how the operations of an association have ended."""
    return _as_operations(_answers_of(association))


def _answers_of(association: Counted) -> dict[str, Answers]:
    """Return how operations have ended, by the role of this side."""
    connection = association.peer.connection
    return {"SCU": connection.answers_received.copy(), "SCP": connection.answers_sent.copy()}


def _as_operations(answers_by_role: Mapping[str, Answers]) -> Counter[Operation]:
    counted: Counter[Operation] = Counter()
    for role, answers in answers_by_role.items():
        for (kind, status), count in answers.items():
            words = _UNANSWERED if status is None else _OTHER if status == OTHER_STATUS else f"{status:04X}"
            counted[Operation(role, kind.name.removesuffix("-RQ"), words)] += count
    return counted


class _Sums:
    """What associations have come to, as far as they count it themselves."""

    def __init__(self) -> None:
        self._answers: dict[str, Answers] = {"SCU": {}, "SCP": {}}  # in words only where somebody asks
        self.tolerated: Counter[str] = Counter()
        self.bytes_received = self.bytes_sent = 0
        self.seconds = 0.0

    def add(self, association: Counted) -> None:
        engine = association.engine
        self._add_answers(_answers_of(association))
        tolerated = association.peer.connection.tolerated
        if tolerated:
            self.tolerated.update(tolerated.copy())
        self.bytes_received += engine.bytes_received
        self.bytes_sent += engine.bytes_sent
        self.seconds += association.seconds

    def add_all(self, other: "_Sums") -> None:
        self._add_answers(other._answers)  # noqa: SLF001 - of the same class
        self.tolerated += other.tolerated
        self.bytes_received += other.bytes_received
        self.bytes_sent += other.bytes_sent
        self.seconds += other.seconds

    def _add_answers(self, answers_by_role: Mapping[str, Answers]) -> None:
        for role, answers in answers_by_role.items():
            sums = self._answers[role]
            for key, count in answers.items():
                sums[key] = sums.get(key, 0) + count

    @property
    def operations(self) -> dict[Operation, int]:
        return dict(_as_operations(self._answers))


class Tally:
    """Keeps the numbers of an application entity.

    Attributes
    ----------
    guard : context manager
        Entered around each change, and each look: a lock, where associations live in several threads.
    """

    def __init__(self) -> None:
        self.guard: AbstractContextManager[Any] = nullcontext()
        self._present: dict[Counted, None] = {}
        self._past = _Sums()
        self._counts: dict[str, Counter[Any]] = {
            name: Counter() for name in ("established", "rejected", "refused", "ended")
        }

    def enter(self, association: Counted) -> None:
        """Take in an association that has a connection now."""
        with self.guard:
            self._present[association] = None

    def leave(self, association: Counted) -> None:
        """Take note that nothing more will happen on an association; the second time do nothing."""
        with self.guard:
            if association in self._present:
                del self._present[association]
                self._past.add(association)

    def note_established(self, *, is_requestor: bool) -> None:
        """Count an association that is established."""
        self._count("established", is_requestor)

    def note_end(self, how: str) -> None:
        """Count the end of an association that was established."""
        self._count("ended", how)

    def note_rejected(self, rejection: AAssociateRJ, decided_by: str) -> None:
        """Count a request that this side has rejected."""
        self._count("rejected", (_reason_of(rejection), decided_by))

    def note_refused(self, rejection: AAssociateRJ) -> None:
        """Count a request of this side that the peer has rejected."""
        self._count("refused", _reason_of(rejection))

    def _count(self, name: str, what: object) -> None:
        with self.guard:
            self._counts[name][what] += 1

    def counters(self) -> Counters:
        """Return the numbers as they are now."""
        sums = _Sums()
        with self.guard:
            sums.add_all(self._past)
            present: Iterable[Counted] = tuple(self._present)
            for association in present:
                sums.add(association)
            established = self._counts["established"]
            return Counters(
                open=sum(association.is_established for association in present),
                accepted=established[False],
                requested=established[True],
                rejected=dict(self._counts["rejected"]),
                refused=dict(self._counts["refused"]),
                ended=dict(self._counts["ended"]),
                operations=sums.operations,
                tolerated=dict(sums.tolerated),
                bytes_received=sums.bytes_received,
                bytes_sent=sums.bytes_sent,
                seconds=sums.seconds,
            )


def _reason_of(rejection: AAssociateRJ) -> str:
    """Return the reason in words; what the standard does not list is all the same: a peer may send anything."""
    listed = {int(source): set(map(int, reasons)) for source, reasons in REJECT_REASONS.items()}
    is_listed = rejection.reason in listed.get(rejection.source, ())
    return describe_reason(rejection.source, rejection.reason) if is_listed else "unknown reason"
