"""Handlers of the N-services without associations, and programs against handlers."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from pydicom.dataset import Dataset

from dicom_proto.application.dispatch import perform
from dicom_proto.dimse.messages import (
    CFindRQ,
    NActionRQ,
    NCreateRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.handlers.event import RequestEvent
from dicom_proto.handlers.kinds import EVT_C_FIND
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Program
from dicom_proto.programs.peer import Peer
from dicom_proto.services.management.normalized import EVENTS
from dicom_proto.upper_layer.negotiation import AcceptedContext
from dicom_proto.upper_layer.pdu import AAssociateRQ
from tests.proto.programs.script import EXPLICIT, ScriptedPeer, Task, carry, connected

NOW = datetime(2026, 3, 4, 5, 6, 7)  # noqa: DTZ001 - as an event has it
T = TypeVar("T")


def event_of(
    request: Request, data_set: Dataset | None = None, *, abstract_syntax: str = "1.2.3", now: datetime | None = NOW
) -> RequestEvent:
    """What a handler gets."""
    event = RequestEvent(
        EVENTS.get(type(request), EVT_C_FIND),
        "the association",
        request=request,
        data=None if data_set is None else encode(data_set, EXPLICIT),
        context=AcceptedContext(
            context_id=1,
            abstract_syntax=abstract_syntax,
            transfer_syntax=EXPLICIT,
            requestor_is_scu=True,
            requestor_is_scp=False,
        ),
        is_cancelled=lambda: False,
        get_source=lambda: "ASKER",
    )
    event.called_at = None if now is None else now.timestamp()
    return event


def create_event(sop_class: str, uid: str | None, data_set: Dataset | None = None, **more: Any) -> RequestEvent:
    return event_of(NCreateRQ(affected_sop_class_uid=sop_class, affected_sop_instance_uid=uid), data_set, **more)


def set_event(sop_class: str, uid: str, data_set: Dataset, **more: Any) -> RequestEvent:
    return event_of(NSetRQ(requested_sop_class_uid=sop_class, requested_sop_instance_uid=uid), data_set, **more)


def get_event(sop_class: str, uid: str, *tags: int) -> RequestEvent:
    return event_of(
        NGetRQ(
            requested_sop_class_uid=sop_class,
            requested_sop_instance_uid=uid,
            attribute_identifier_list=tags or None,
        )
    )


def action_event(
    sop_class: str, uid: str, action_type: int, data_set: Dataset | None = None, **more: Any
) -> RequestEvent:
    request = NActionRQ(requested_sop_class_uid=sop_class, requested_sop_instance_uid=uid, action_type_id=action_type)
    return event_of(request, data_set, **more)


def report_event(sop_class: str, uid: str, event_type: int, data_set: Dataset | None = None) -> RequestEvent:
    return event_of(
        NEventReportRQ(affected_sop_class_uid=sop_class, affected_sop_instance_uid=uid, event_type_id=event_type),
        data_set,
    )


def find_event(sop_class: str, identifier: Dataset) -> RequestEvent:
    return event_of(CFindRQ(affected_sop_class_uid=sop_class), identifier)


def code(result: tuple[int | Dataset, Dataset | None]) -> int:
    """The status that a handler returned."""
    status = result[0]
    return int(status.Status) if isinstance(status, Dataset) else status


def sent_and_back(data_set: Dataset) -> Dataset:
    """A data set as its receiver has it."""
    return decode(encode(data_set, EXPLICIT), EXPLICIT)


def sent_often(make: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Make a data set as its receiver has it, each time another; what takes no arguments is encoded once."""
    plain = cache(lambda: encode(make(), EXPLICIT))
    return lambda **more: sent_and_back(make(**more)) if more else decode(plain(), EXPLICIT)


class Talk:
    """Two peers, of which either may run programs and has handlers."""

    def __init__(self, offer: AAssociateRQ, *, one: Iterable[Any] = (), other: Iterable[Any] = ()) -> None:
        self.connections = connected(offer)
        self.peers = [
            ScriptedPeer(connection, Handlers(bindings), "the association")
            for connection, bindings in zip(self.connections, (one, other), strict=True)
        ]

    def run(self, program: Callable[[Peer], Program[T]], *, side: int = 0) -> T:
        tasks = [Task(self.peers[side], program(self.peers[side]))]
        moved = True
        while moved:
            moved = carry(*self.connections)
            for peer in self.peers:
                peer.turn()
                while peer.requests:
                    moved = True
                    tasks.append(Task(peer, perform(peer, peer.requests.popleft())))
            for task in tasks:
                moved = task.advance() or moved
        if tasks[0].error is not None:
            raise tasks[0].error
        assert tasks[0].is_done
        value: T = tasks[0].value
        return value
