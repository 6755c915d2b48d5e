"""Archives with a node, served on loopback, and clients of theirs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import define
from pydicom.dataset import Dataset

from dicom_proto.offers.contexts import build_context
from dicom_proto.sop_class import (
    CTImageStorage,
    ModalityWorklistInformationFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from dicom_transports.archive import Archive
from dicom_transports.blocking import AE, build_role, evt
from dicom_transports.node import Node
from tests.contract.adapters import make_ae

__all__ = ["CONTEXTS", "HOST", "Served", "client", "serving", "store"]

HOST = "127.0.0.1"
CONTEXTS = [
    Verification,
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    ModalityWorklistInformationFind,
]


@define
class Served:
    """A node that listens."""

    archive: Archive
    node: Node
    ae: Any
    port: int


@contextmanager
def serving(
    directory: Path, settings: str = "", *, audit: Path | None = None, worklist: Path | None = None
) -> Iterator[Served]:
    """Serve an archive in a directory, with a file of settings."""
    directory.mkdir(exist_ok=True)
    file = directory / "archive.toml"
    file.write_text(settings, encoding="utf-8")
    with ExitStack() as stack:
        archive = stack.enter_context(Archive(directory, durability="none"))
        node = Node(archive, "ARCHIVE", AE("ARCHIVE").associate, settings=file, audit=audit, worklist=worklist)
        ae = make_ae("ARCHIVE")  # of the adapter that is tested
        node.apply(ae)
        ae.supported_contexts = node.supported_contexts
        stack.enter_context(node)
        server = ae.start_server((HOST, 0), block=False, evt_handlers=node.handlers)
        stack.callback(server.shutdown)
        yield Served(archive, node, ae, server.address[1])


def client(served: Served, *contexts: str, ae_title: str = "CT1", handlers: Any = ()) -> Any:
    """Request an association."""
    ae = AE(ae_title)
    ae.requested_contexts = list(map(build_context, contexts or CONTEXTS))
    roles = [build_role(CTImageStorage, scp_role=True, scu_role=True)]
    return ae.associate(HOST, served.port, ae_title="ARCHIVE", ext_neg=roles, evt_handlers=list(handlers))


def store(served: Served, *datasets: Dataset, ae_title: str = "CT1") -> list[int]:
    """Store objects over one association; return the statuses."""
    with client(served, ae_title=ae_title) as association:
        return [association.send_c_store(dataset).Status for dataset in datasets]


def keeping(into: list[Dataset]) -> tuple[Any, Any]:
    """A handler that keeps what is stored."""

    def keep(event: Any) -> int:
        into.append(event.dataset)
        return 0x0000

    return evt.EVT_C_STORE, keep
