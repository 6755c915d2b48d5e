"""Our library and pynetdicom by the names that both have: one program for either side of an association."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest
from attrs import frozen
from pydicom.dataset import Dataset

from dicom_proto import sop_class
from dicom_proto.offers import items as negotiation_items
from dicom_transports import blocking
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.archive import HOST


@frozen
class Library:
    """The names that both have."""

    AE: Any
    evt: Any
    build_role: Any
    items: Any  # the module of the negotiation items


Sides: TypeAlias = tuple[Library, Library]

OURS = Library(make_ae, blocking.evt, blocking.build_role, negotiation_items)


def with_contexts(library: Library, title: str, *uids: str) -> Any:
    ae = library.AE(ae_title=title)
    for uid in uids:
        ae.add_requested_context(uid)
        if uid == sop_class.CTImageStorage:
            ae.add_supported_context(uid, scu_role=True, scp_role=True)
        else:
            ae.add_supported_context(uid)
    return ae


@contextmanager
def serving(library: Library, *handlers: tuple[str, Any], title: str = "SCP", uids: tuple[str, ...]) -> Iterator[int]:
    """A server of one library; its port."""
    ae = with_contexts(library, title, *uids)
    bound = [(getattr(library.evt, name), handler) for name, handler in handlers]
    port = peers.free_port()
    server = ae.start_server((HOST, port), block=False, evt_handlers=bound)
    try:
        yield port
    finally:
        server.shutdown()


@contextmanager
def dialled(
    library: Library, port: int, *handlers: tuple[str, Any], uids: tuple[str, ...], **options: Any
) -> Iterator[Any]:
    """An association of the other library with it."""
    ae = with_contexts(library, "SCU", *uids)
    bound = [(getattr(library.evt, name), handler) for name, handler in handlers]
    association = ae.associate(HOST, port, evt_handlers=bound, ae_title="SCP", **options)
    assert association.is_established
    yield association
    association.release()
    assert association.is_released


class Checkpoint(threading.Event):
    """Where the reactor of a pynetdicom association stops while a call waits for the response to its request.

    Its own counts as reached a little too early: the reactor may pass once more and take the response away, so that the
    call waits in vain.
    """

    def __init__(self, reactor: threading.Thread) -> None:
        super().__init__()
        self._reactor = reactor
        self._guard = threading.Lock()
        self._is_reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        while True:
            with self._guard:
                if self.is_set():
                    break
                self._is_reached.set()
            super().wait(0.1)
        return super().wait(timeout)

    def set(self) -> None:
        with self._guard:
            self._is_reached.clear()
            super().set()

    def clear(self) -> None:
        with self._guard:
            self._is_reached.clear()
            super().clear()
        while self._reactor.is_alive() and threading.current_thread() is not self._reactor:
            if self._is_reached.wait(0.1):
                break


def wait_for_reactors(association: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give pynetdicom's associations a :class:`Checkpoint`."""
    make = association.__init__

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        self._reactor_checkpoint = Checkpoint(self)
        self._reactor_checkpoint.set()

    monkeypatch.setattr(association, "__init__", init)


def recorder(seen: list[Any]) -> Any:
    """A handler for all N-services but N-DELETE."""

    def handler(event: Any) -> tuple[int, Dataset]:
        seen.append(event.event.name)
        reply = Dataset()
        reply.PatientID = "7"
        return 0x0000, reply

    return handler
