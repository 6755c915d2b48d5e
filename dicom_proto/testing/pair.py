"""Two machines joined in memory, and short ways to say what is said often in tests.

May change. A machine is an :class:`~dicom_proto.upper_layer.association.Association` or a
:class:`~dicom_proto.dimse.connection.Connection`; the network between them delivers at once, cut as a test wants it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from dicom_proto.dimse.connection import Connection
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import ConnectionClosed
from dicom_proto.upper_layer.items import ContextResult, OperationsWindow, ProposedContext, UserInformation
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ

__all__ = [
    "CT",
    "IMPLICIT",
    "STUDY_FIND",
    "VERIFICATION",
    "Cut",
    "Machine",
    "answer",
    "associate",
    "drain",
    "every",
    "exchange",
    "offer",
    "sent",
    "whole",
]

VERIFICATION: Final = "1.2.840.10008.1.1"
CT: Final = "1.2.840.10008.5.1.4.1.1.2"
STUDY_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT: Final = "1.2.840.10008.1.2"

Machine: TypeAlias = Association | Connection
Cut: TypeAlias = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    """Cut nothing."""
    return [data] if data else []


def every(size: int) -> Cut:
    """Cut into pieces of so many bytes."""
    return lambda data: (data[i : i + size] for i in range(0, len(data), size))


def offer(
    *abstract_syntaxes: str, maximum_length: int = 16384, window: OperationsWindow | None = None, **more: Any
) -> AAssociateRQ:
    """Return an offer of contexts 1, 3, 5 ... with the default transfer syntax."""
    return AAssociateRQ(
        called_ae_title="CALLED",
        calling_ae_title="CALLING",
        presentation_contexts=tuple(
            ProposedContext(2 * number + 1, uid, (IMPLICIT,))
            for number, uid in enumerate(abstract_syntaxes or (VERIFICATION,))
        ),
        user_information=UserInformation(
            maximum_length=maximum_length, implementation_class_uid="1.2.3", operations_window=window
        ),
        **more,
    )


def answer(
    request: AAssociateRQ, *, maximum_length: int = 16384, window: OperationsWindow | None = None
) -> AAssociateAC:
    """Return an answer that accepts everything."""
    return AAssociateAC(
        context_results=tuple(
            ContextResult(context.context_id, 0, context.transfer_syntaxes[0])
            for context in request.presentation_contexts
        ),
        user_information=UserInformation(
            maximum_length=maximum_length, implementation_class_uid="1.2.4", operations_window=window
        ),
    )


def drain(machine: Machine) -> list[Any]:
    """Return all events that are there; the final one once."""
    events: list[Any] = []
    while (event := machine.next_event()) is not None:
        events.append(event)
        if isinstance(event, ConnectionClosed):
            break
    return events


def sent(machine: Machine, now: float = 0, limit: int | None = None) -> bytes:
    """Return everything that a machine has to send."""
    return b"".join(machine.data_to_send(limit, now=now))


def exchange(one: Machine, other: Machine, *, now: float = 0, cut: Cut = whole) -> tuple[list[Any], list[Any]]:
    """Carry bytes to and fro until nobody has anything to say; return the events of both sides."""
    events: tuple[list[Any], list[Any]] = ([], [])
    moved = True
    while moved:
        moved = False
        for source, target, seen in ((one, other, events[1]), (other, one, events[0])):
            data = sent(source, now)
            for piece in cut(data):
                target.receive_data(piece, now=now)
                seen.extend(drain(target))
            if source.wants_close and not target.wants_close:
                target.receive_eof(now=now)
                moved = True
            rest = drain(target)
            seen.extend([event for event in rest if event not in seen or not isinstance(event, ConnectionClosed)])
            moved = moved or bool(data)
    return events


def associate(
    one: Machine, other: Machine, request: AAssociateRQ | None = None, response: AAssociateAC | None = None, **how: Any
) -> tuple[list[Any], list[Any]]:
    """Establish an association between two fresh machines, the first as requestor; return the events of both."""
    request = request or offer()
    one.request(request)
    one.connection_made(now=0)
    other.connection_made(now=0)
    first = exchange(one, other, **how)
    other.accept(response or answer(request))
    second = exchange(one, other, **how)
    return first[0] + second[0], first[1] + second[1]
