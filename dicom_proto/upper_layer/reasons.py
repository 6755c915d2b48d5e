"""The codes with which an association is rejected or aborted, and words for them (PS3.8 9.3.4, 9.3.8).

May change.

:class:`dicom_proto.errors.AbortReason` is the one that is not here. Codes that the standard reserves stay integers.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, TypeAlias

from dicom_proto.errors import AbortReason

__all__ = [
    "REJECT_REASONS",
    "AbortSource",
    "RejectReasonACSE",
    "RejectReasonPresentation",
    "RejectReasonUser",
    "RejectResult",
    "RejectSource",
    "describe_abort",
    "describe_reason",
    "describe_rejection",
    "describe_result",
    "describe_source",
]


class RejectResult(IntEnum):
    """Result field of an A-ASSOCIATE-RJ (PS3.8 9.3.4, Table 9-21)."""

    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class RejectSource(IntEnum):
    """Source field of an A-ASSOCIATE-RJ (PS3.8 9.3.4, Table 9-21)."""

    SERVICE_USER = 1
    SERVICE_PROVIDER_ACSE = 2
    SERVICE_PROVIDER_PRESENTATION = 3


class RejectReasonUser(IntEnum):
    """Reason/diag. field of an A-ASSOCIATE-RJ whose source is the UL service-user."""

    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AE_TITLE_NOT_RECOGNIZED = 3
    CALLED_AE_TITLE_NOT_RECOGNIZED = 7


class RejectReasonACSE(IntEnum):
    """Reason/diag. field of an A-ASSOCIATE-RJ whose source is the UL service-provider, ACSE function."""

    NO_REASON_GIVEN = 1
    PROTOCOL_VERSION_NOT_SUPPORTED = 2


class RejectReasonPresentation(IntEnum):
    """Reason/diag. field of an A-ASSOCIATE-RJ whose source is the UL service-provider, presentation function."""

    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2


class AbortSource(IntEnum):
    """Source field of an A-ABORT (PS3.8 9.3.8, Table 9-26)."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


_RejectReason: TypeAlias = RejectReasonUser | RejectReasonACSE | RejectReasonPresentation

REJECT_REASONS: Final[dict[int, type[_RejectReason]]] = {
    RejectSource.SERVICE_USER: RejectReasonUser,
    RejectSource.SERVICE_PROVIDER_ACSE: RejectReasonACSE,
    RejectSource.SERVICE_PROVIDER_PRESENTATION: RejectReasonPresentation,
}

_RESULTS: Final[dict[int, str]] = {
    RejectResult.REJECTED_PERMANENT: "rejected permanently",
    RejectResult.REJECTED_TRANSIENT: "rejected for now",
}
_SOURCES: Final[dict[int, str]] = {
    RejectSource.SERVICE_USER: "the service-user",
    RejectSource.SERVICE_PROVIDER_ACSE: "the service-provider (ACSE)",
    RejectSource.SERVICE_PROVIDER_PRESENTATION: "the service-provider (presentation)",
}


def describe_rejection(result: int, source: int, reason: int) -> str:
    """Say in words what the three fields of an A-ASSOCIATE-RJ mean; any integers will do."""
    return f"{describe_result(result)} by {describe_source(source)}: {describe_reason(source, reason)}"


def describe_result(result: int) -> str:
    """Say in words what the result of an A-ASSOCIATE-RJ means; any integer will do."""
    return _RESULTS.get(result, f"rejected with unknown result {result}")


def describe_source(source: int) -> str:
    """Say in words what the source of an A-ASSOCIATE-RJ means; any integer will do."""
    return _SOURCES.get(source, f"unknown source {source}")


def describe_reason(source: int, reason: int) -> str:
    """Say in words what the reason of an A-ASSOCIATE-RJ means, which its source gives; any integers will do."""
    return _describe_reason(REJECT_REASONS.get(source, ()), reason)


def describe_abort(source: int, reason: int) -> str:
    """Say in words what the two fields of an A-ABORT mean; any integers will do.

    The reason of a service-user means nothing and is left out (PS3.8 9.3.8).
    """
    if source == AbortSource.SERVICE_USER:
        return "aborted by the service-user"
    by = "the service-provider" if source == AbortSource.SERVICE_PROVIDER else f"unknown source {source}"
    return f"aborted by {by}: {_describe_reason(AbortReason, reason)}"


def _describe_reason(listed: Iterable[IntEnum], reason: int) -> str:
    """Spell the reason with a code by its name in the standard."""
    words = {int(member): member.name.replace("_", " ").lower() for member in listed}
    text = words.get(reason, f"unknown reason {reason}")
    return text.replace("ae title", "AE title").replace("pdu", "PDU")
