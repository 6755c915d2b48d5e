"""Our library and pynetdicom by the names that both have: one program for either side of an association."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import frozen
from pydicom.dataset import Dataset

from dicom_proto import negotiation_items, sop_class
from dicom_transports import blocking
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

OURS = Library(blocking.AE, blocking.evt, blocking.build_role, negotiation_items)


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


def recorder(seen: list[Any]) -> Any:
    """A handler for all N-services but N-DELETE."""

    def handler(event: Any) -> tuple[int, Dataset]:
        seen.append(event.event.name)
        reply = Dataset()
        reply.PatientID = "7"
        return 0x0000, reply

    return handler
