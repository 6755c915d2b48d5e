"""The operations that are outstanding on one association, in each direction (PS3.7 7.5, 9.1, D.3.3.3).

May change.
"""

from typing import Final, TypeAlias

from attrs import define

from dicom_proto.dimse.messages import CFindRQ, CGetRQ, CMoveRQ, Request
from dicom_proto.dimse.outgoing import Outgoing

__all__ = ["OTHER_STATUS", "Answers", "Invoked", "Performed", "count_answer", "has_many_responses"]

_MANY_RESPONSES = (CFindRQ, CGetRQ, CMoveRQ)
_MOST_COUNTED: Final = 256

Answers: TypeAlias = dict[tuple[type[Request], int | None], int]
"""How many operations of a kind have ended with a status; ``None`` is that of those that were never answered."""

OTHER_STATUS: Final = -1
"""Stands for all statuses beyond the 256 combinations that are counted one by one."""


def count_answer(answers: Answers, kind: type[Request], status: int | None) -> None:
    """Count an operation that has ended."""
    key = kind, status
    if key not in answers and len(answers) >= _MOST_COUNTED:
        key = kind, OTHER_STATUS
    answers[key] = answers.get(key, 0) + 1


def has_many_responses(request: Request) -> bool:
    """Tell whether an operation may have Pending responses, and may be cancelled (PS3.7 7.5.3.2, 7.5.3.3)."""
    return isinstance(request, _MANY_RESPONSES)


@define(eq=False)
class Invoked:
    """An operation that this side has asked the peer for."""

    request: Request
    context_id: int
    outgoing: Outgoing | None  # the data set of the request, where it is written in pieces
    order: int  # counts the operations of both directions
    is_sent: bool = False  # the last byte of the request has been handed out
    is_answered: bool = False  # the final response has begun to arrive
    is_cancelled: bool = False  # this side wants no more Pending responses


@define
class Performed:
    """An operation that the peer has asked this side for."""

    request: Request
    context_id: int
    is_received: bool  # the whole request is here, its data set included
    order: int  # counts the operations of both directions
    is_cancelled: bool = False
