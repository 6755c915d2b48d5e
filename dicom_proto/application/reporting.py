"""What an association says of itself in the log: its beginning, its end, and what goes wrong (docs/finding_out_why.md).

May change.

The id of the association stands in front of each line (:mod:`dicom_proto.logs`). No line has a value of a data set, or
of a user identity; what a peer may have chosen freely is quoted.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from dicom_proto.application.access import Refusal, TLSState, place_of
from dicom_proto.application.counters import Counted, Operation, operations_as_dicts, operations_of
from dicom_proto.application.wording import accepted_contexts, lines_of, listed, refused_contexts
from dicom_proto.errors import NoContextError
from dicom_proto.status import code_to_category
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateRejected,
    ConnectionClosed,
    Released,
    TimedOut,
)
from dicom_proto.upper_layer.failures import AssociationFailure, Ending
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.reasons import describe_rejection
from dicom_proto.upper_layer.timers import Timer

__all__ = [
    "Reported",
    "fate_of",
    "report_end",
    "report_established",
    "report_pdu",
    "report_rejected",
    "report_trouble",
]

_log = logging.getLogger("dicom_proto.association")

_SETTINGS: Final = {
    Timer.ARTIM: "acse_timeout",
    Timer.REQUEST: "acse_timeout",
    Timer.RELEASE: "acse_timeout",
    Timer.RESPONSE: "dimse_timeout",
    Timer.IDLE: "network_timeout",
}


class Reported(Counted, Protocol):
    """What the log has to know of an association."""

    peer_address: tuple[str, int]
    failure: AssociationFailure | OSError | NoContextError | None
    cause: OSError | None
    is_requestor: bool
    fate: str

    @property
    def was_established(self) -> bool:
        """Whether it is established, or was."""

    @property
    def tls(self) -> TLSState | None:
        """What TLS has come to."""

    def end(self) -> AssociationFailure:
        """Return the exception that says how it ended."""


def fate_of(ending: Ending) -> str:
    """Say in a word how an association has ended: released, rejected, aborted, timed out or lost."""
    match ending:
        case Released():
            return "released"
        case AssociateRejected():
            return "rejected"
        case TimedOut():
            return "timed out"
        case ConnectionClosed() | Aborted(origin=AbortOrigin.TRANSPORT):
            return "lost"
        case _:
            return "aborted"


def _facts(association: Reported, event: str, **more: Any) -> dict[str, Any]:
    """Return what a record has for machines, under the name that :class:`logging.Logger` takes it by."""
    host, port = association.peer_address
    facts = {"event": event, "address": host, "port": port, "requestor": association.is_requestor}
    offer = association.peer.connection.offer
    if offer is not None:
        facts |= {"calling": offer.calling_ae_title, "called": offer.called_ae_title}
    return {"dicom": {**facts, **more}}


def _titles(association: Reported) -> str:
    """Say who calls whom, as far as that has been said."""
    offer = association.peer.connection.offer
    return "" if offer is None else f", {offer.calling_ae_title!r} calls {offer.called_ae_title!r}"


def _whence(association: Reported) -> str:
    return f"{'to' if association.is_requestor else 'from'} {place_of(association.peer_address)}{_titles(association)}"


def report_pdu(pdu: AAssociateRQ | AAssociateAC | AAssociateRJ, *, is_sent: bool) -> None:
    """Log what an A-ASSOCIATE PDU says, at DEBUG."""
    if _log.isEnabledFor(logging.DEBUG):
        for line in lines_of(pdu, is_sent=is_sent):
            _log.debug("%s", line)


def report_established(association: Reported) -> None:
    """Log that an association is established, and as what."""
    connection = association.peer.connection
    agreement = connection.agreement
    if agreement is None or not _log.isEnabledFor(logging.INFO if connection.contexts else logging.WARNING):
        return
    accepted, refused = accepted_contexts(connection), refused_contexts(connection)
    lengths = agreement.acceptor_maximum_length, agreement.requestor_maximum_length
    received, sent = reversed(lengths) if association.is_requestor else lengths
    version = None if association.tls is None else association.tls.version
    _log.info(
        "association established %s; accepted: %s; refused: %s; maximum length: %s received, %s sent; %s",
        _whence(association),
        listed(accepted),
        listed(refused),
        received or "any",
        sent or "any",
        version or "without TLS",
        extra=_facts(
            association,
            "established",
            accepted=accepted,
            refused=refused,
            maximum_length_received=received,
            maximum_length_sent=sent,
            tls=version,
        ),
    )
    if not accepted:
        whose = "by the peer" if association.is_requestor else "by AE.supported_contexts"
        text = f"no presentation context was accepted ({listed(refused)}); decided {whose}"
        _warn(association, "no contexts", text, refused=refused)


def report_rejected(association: Reported, refusal: Refusal) -> None:
    """Log that this side has rejected a request, why, and which setting has decided that."""
    rejection = refusal.rejection
    _log.warning(
        "association %s: %s",
        _whence(association),
        refusal,
        extra=_facts(
            association,
            "rejected",
            result=int(rejection.result),
            source=int(rejection.source),
            reason=int(rejection.reason),
            decided_by=refusal.decided_by,
            why=refusal.detail,
        ),
    )


def report_trouble(association: Reported, ending: Ending) -> None:
    """Log what has ended an association, or prevented it, where that is nobody's wish."""
    failure = association.failure
    match ending:
        case AssociateRejected(result=result, source=source, reason=reason):
            words = describe_rejection(result, source, reason)
            numbers = {"result": int(result), "source": int(source), "reason": int(reason)}
            text = f"{words} ({', '.join(f'{name} {number}' for name, number in numbers.items())}) by the peer"
            _warn(association, "refused", text, **numbers)
        case TimedOut(timer=timer):
            setting, seconds = _SETTINGS[timer], association.peer.connection.timeouts.of(timer)
            text = f"timed out: the {timer.value} timer expired after {seconds} s; decided by AE.{setting}"
            _warn(association, "timed out", text, timer=timer.value, decided_by=f"AE.{setting}")
        case _ if association.cause is not None:
            _warn(association, "TLS failed", f"TLS failed: {failure}")
        case Aborted(origin=AbortOrigin.LOCAL_PROVIDER):
            _warn(association, "protocol broken", str(failure))
        case _ if failure is not None and association.is_requestor and not association.was_established:
            _warn(association, "failed", str(failure))
        case _:
            return


def _warn(association: Reported, event: str, text: str, **more: Any) -> None:
    _log.warning("association %s: %s", _whence(association), text, extra=_facts(association, event, why=text, **more))


def report_end(association: Reported) -> None:
    """Log how an association has ended, and what has happened on it."""
    why = str(association.failure or association.end())
    if not association.was_established:
        _log.debug("the connection %s is closed: %s", _whence(association), why)
        return
    if not _log.isEnabledFor(logging.INFO):
        return
    engine, operations = association.engine, operations_of(association)
    tolerated = association.peer.connection.tolerated.copy()
    _log.info(
        "association %s ended: %s; %s; %d bytes received, %d sent; %.3f s",
        _whence(association),
        why,
        "; ".join(filter(None, (_said(operations), _said_of_tolerated(tolerated)))),
        engine.bytes_received,
        engine.bytes_sent,
        association.seconds,
        extra=_facts(
            association,
            "ended",
            how=association.fate,
            why=why,
            operations=operations_as_dicts(operations),
            tolerated=tolerated,
            bytes_received=engine.bytes_received,
            bytes_sent=engine.bytes_sent,
            seconds=round(association.seconds, 6),
        ),
    )


def _said(operations: Mapping[Operation, int]) -> str:
    """Say what operations there were, by their kind."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for operation, count in sorted(operations.items()):
        kinds.setdefault((operation.name, operation.role), []).append(f"{count} {_status(operation.status)}")
    said = [f"{name} as {role}: {', '.join(counts)}" for (name, role), counts in kinds.items()]
    return "; ".join(said) or "no operations"


def _status(status: str) -> str:
    if len(status) != 4:
        return status
    return f"{code_to_category(int(status, 16))} ({status}H)"


def _said_of_tolerated(tolerated: Mapping[str, int]) -> str:
    said = ", ".join(f"{name} {count}" for name, count in sorted(tolerated.items()))
    return f"tolerated: {said}" if said else ""
