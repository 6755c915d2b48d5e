"""Application entities to try associations with: who asks, who serves, and what became of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from pydicom.dataset import Dataset

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.sop_class import (
    CTImageStorage,
    ModalityPerformedProcedureStep,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    Printer,
    StorageCommitmentPushModel,
    Verification,
)
from dicom_proto.testing.pair import answer
from dicom_transports.blocking import AE, Association, AssociationServer, build_role, evt
from tests.contract.adapters import WAIT, Listener, Peer, Running, make_ae

FIND = PatientRootQueryRetrieveInformationModelFind
GET = PatientRootQueryRetrieveInformationModelGet
MOVE = PatientRootQueryRetrieveInformationModelMove
STEP = ModalityPerformedProcedureStep
COMMITMENT = StorageCommitmentPushModel
ALL = (Verification, CTImageStorage, FIND, GET, MOVE, STEP, COMMITMENT, Printer)
EntityT = TypeVar("EntityT", bound=ApplicationEntity)
CT_ROLES = build_role(CTImageStorage, scu_role=True, scp_role=True)
INSTANCE = "1.2.3.4"


def entity(ae_title: str, *contexts: str, **settings: Any) -> AE:
    """An AE that requests and supports the same, with other settings."""
    return configured(make_ae(ae_title), *contexts, **settings)


def configured(ae: EntityT, *contexts: str, **settings: Any) -> EntityT:
    """The same for an application entity of whatever adapter."""
    for uid in contexts or ALL:
        ae.add_requested_context(uid)
        role = True if uid == CTImageStorage else None
        ae.add_supported_context(uid, scu_role=role, scp_role=role)
    for name, value in settings.items():
        assert hasattr(ae, name)
        setattr(ae, name, value)
    return ae


@contextmanager
def serving(*handlers: Any, ae: AE | None = None, **settings: Any) -> Iterator[AssociationServer]:
    """A server on loopback."""
    ae = ae or entity("SCP", **settings)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server
    finally:
        server.shutdown()


def dial(server: AssociationServer, *handlers: Any, ae: AE | None = None, **options: Any) -> Association:
    """An association with a server, established."""
    association = (ae or entity("SCU")).associate(*server.address, evt_handlers=handlers, **options)
    assert association.is_established, association.failure
    return association


def answered(listener: Listener, ae: AE, *handlers: Any) -> tuple[Association, Peer]:
    """An association with a peer that does as it is told."""
    associating = Running(ae.associate, *listener.address, evt_handlers=handlers)
    peer = listener.accept()
    peer.send(answer(peer.get()))  # type: ignore[arg-type]
    return associating.result(), peer


class Happened:
    """A handler for notifications that remembers their names, and can be waited for."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, event: Any) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def names(self) -> list[str]:
        return [event.name.removeprefix("EVT_") for event in self.events]

    def wait(self, name: str, count: int = 1) -> Any:
        """Wait until something has happened so often; return the event."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.names.count(name) >= count, WAIT), self.names
        return [event for event in self.events if event.name == f"EVT_{name}"][count - 1]


def dataset(**elements: Any) -> Dataset:
    """A Dataset with these elements, by keyword."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def ct(number: int = 1) -> Dataset:
    """A very small CT image."""
    return dataset(
        SOPClassUID=CTImageStorage, SOPInstanceUID=f"1.2.3.{number}", PatientName=f"Patient^{number}", Rows=number
    )


def statuses(results: Any) -> list[int | None]:
    """The statuses of all results; ``None`` for an empty one."""
    return [status.get("Status") for status, _ in results]


def texts(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(caplog.messages)


LIFE = (
    evt.EVT_CONN_OPEN,
    evt.EVT_REQUESTED,
    evt.EVT_ACCEPTED,
    evt.EVT_ESTABLISHED,
    evt.EVT_REJECTED,
    evt.EVT_RELEASED,
    evt.EVT_ABORTED,
    evt.EVT_CONN_CLOSE,
)


def life(happened: Happened) -> list[tuple[Any, Happened]]:
    return [(kind, happened) for kind in LIFE]


def flags(association: Any) -> tuple[bool, bool, bool, bool]:
    return (
        association.is_established,
        association.is_released,
        association.is_aborted,
        association.is_rejected,
    )


ESTABLISHED = (True, False, False, False)
RELEASED = (False, True, False, False)
ABORTED = (False, False, True, False)
REJECTED = (False, False, False, True)
FAILED = (False, False, False, False)
