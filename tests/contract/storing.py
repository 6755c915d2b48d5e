"""Objects that are stored, and who sends and who receives them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from dicom_proto.services.storage.store import StoredObject
from dicom_proto.sop_class import CTImageStorage
from dicom_transports.blocking import AE, Association, evt
from tests.contract.adapters import make_ae
from tests.contract.entities import dataset, dial, serving

IMPLICIT, EXPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"


def ct(number: int = 1, size: int = 0, **elements: Any) -> Dataset:
    more = {"PatientID": "P1", "StudyInstanceUID": "1.9", "SeriesInstanceUID": "1.9.1"} | elements
    image = dataset(SOPClassUID=CTImageStorage, SOPInstanceUID=f"1.2.3.{number}", **more)
    if size:
        image.add_new("PixelData", "OW", bytes(size))
    return image


def stored(data: bytes | memoryview, transfer_syntax: str = IMPLICIT, uid: str = "1.2.3.1") -> StoredObject:
    return StoredObject(sop_class_uid=CTImageStorage, sop_instance_uid=uid, transfer_syntax=transfer_syntax, data=data)


def scu(*transfer_syntaxes: str) -> AE:
    ae = make_ae("SENDER")
    ae.add_requested_context(CTImageStorage, list(transfer_syntaxes) or [IMPLICIT, EXPLICIT])
    return ae


def scp() -> AE:
    ae = make_ae("STORE")
    ae.add_supported_context(CTImageStorage, [IMPLICIT, EXPLICIT, DEFLATED])
    return ae


@contextmanager
def sending(sink: Any, *transfer_syntaxes: str) -> Iterator[Association]:
    """An association with somebody who stores into a sink; it is alive at the end."""
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server, dial(server, ae=scu(*transfer_syntaxes)) as association:
        yield association
        assert association.is_established


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir())
