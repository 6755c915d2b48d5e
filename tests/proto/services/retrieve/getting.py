"""A requestor that gets, and how a handler answers it."""

from collections.abc import Callable, Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_proto.dimse.events import DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import CGetRQ, CStoreRQ, CStoreRSP, Priority
from dicom_proto.handlers.kinds import EVT_C_GET
from dicom_proto.upper_layer.items import RoleSelection
from dicom_proto.upper_layer.state_table import State
from tests.proto.programs.script import (
    CT,
    STUDY_GET,
    Said,
    Scene,
    Task,
    data_set,
    dataset_of,
    decoded,
    offer_of,
)

IDENTIFIER = data_set(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2")


BOTH_ROLES = [RoleSelection(CT, scu=False, scp=True)]


def request(priority: int = Priority.HIGH) -> CGetRQ:
    return CGetRQ(affected_sop_class_uid=STUDY_GET, priority=priority)


def image(number: int = 1, sop_class: str = CT) -> Dataset:
    return dataset_of(SOPClassUID=sop_class, SOPInstanceUID=f"1.2.{number}", PatientID="1")


class Getting(Scene):
    """A requestor that gets, and answers the C-STOREs one by one."""

    def __init__(self, *handler: Any, offer: Any = None, answers: Any = (), **how: Any) -> None:
        bindings = [(EVT_C_GET, *handler)] if handler else []
        super().__init__(bindings=bindings, offer=offer or offer_of(STUDY_GET, CT, roles=BOTH_ROLES), **how)
        self.answers: Iterator[int] = iter(answers)
        self.stored: list[CStoreRQ] = []
        self.data: list[bytes] = []
        self.before_store: Callable[[], None] = lambda: None

    def get(self, identifier: bytes = IDENTIFIER, **how: Any) -> list[Said]:
        """Get; return what was said about that."""
        task = Task(self.peer, self.script(self.arrive(request(**how), identifier)).program)
        said: list[Said] = []
        while not task.is_done:
            moved = task.advance()
            moved = self.carry() or moved
            moved = self.answer(said) or moved
            assert moved or task.is_done
        if task.error is not None:
            raise task.error
        self.carry()
        self.answer(said)
        return said

    def answer(self, said: list[Said]) -> bool:
        moved = False
        while (event := self.requestor.next_event()) is not None:
            moved = True
            match event:
                case RequestReceived():
                    assert isinstance(event.request, CStoreRQ)
                    self.stored.append(event.request)
                case DataChunk(invoked=False, last=True):
                    self.data.append(bytes(event.data))
                    self.before_store()
                    if self.requestor.state is not State.Sta6:
                        return True
                    response = CStoreRSP(message_id_being_responded_to=event.message_id, status=next(self.answers, 0))
                    self.requestor.send_response(response)
                case ResponseReceived():
                    said.append((event.response, None))
                case DataChunk(invoked=True):
                    said[-1] = (said[-1][0], bytes(event.data))
        return moved


def counters(said: Said) -> tuple[int | None, ...]:
    response: Any = said[0]
    return (
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
    )


def failed_uids(said: Said) -> list[str]:
    uids = decoded(said[1]).FailedSOPInstanceUIDList
    return list(uids) if isinstance(uids, MultiValue) else [uids] if uids else []


def yields(*items: Any, count: Any = None) -> Callable[[Any], Iterator[Any]]:
    def handler(_: Any) -> Iterator[Any]:
        yield len(items) if count is None else count
        yield from items

    return handler
