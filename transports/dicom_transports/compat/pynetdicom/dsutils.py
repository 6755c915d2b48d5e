"""``pynetdicom.dsutils``: data sets as bytes, told the encoding in three flags."""

import logging
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_proto.encoding import datasets
from dicom_proto.errors import DicomProtoError
from dicom_proto.offers.implementation import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

__all__ = [
    "create_file_meta",
    "decode",
    "encode",
    "encode_file_meta",
    "pretty_dataset",
    "pretty_element",
    "split_dataset",
]

_LOGGER: Final = logging.getLogger("pynetdicom.dsutils")
_PREAMBLE: Final = 132


def create_file_meta(
    *,
    sop_class_uid: UID,
    sop_instance_uid: UID,
    transfer_syntax: UID,
    implementation_uid: UID = PYNETDICOM_IMPLEMENTATION_UID,
    implementation_version: str = PYNETDICOM_IMPLEMENTATION_VERSION,
) -> FileMetaDataset:
    """Return File Meta Information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = sop_instance_uid
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = implementation_uid
    meta.ImplementationVersionName = implementation_version
    meta.FileMetaInformationGroupLength = len(encode_file_meta(meta)) - 12
    return meta


def _syntax(is_implicit_vr: bool, is_little_endian: bool, deflated: bool) -> UID:
    if deflated:
        return DeflatedExplicitVRLittleEndian
    if not is_little_endian:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if is_implicit_vr else ExplicitVRLittleEndian


def decode(bytestring: BytesIO, is_implicit_vr: bool, is_little_endian: bool, deflated: bool = False) -> Dataset:
    """Decode a data set."""
    return datasets.decode(bytestring.getvalue(), _syntax(is_implicit_vr, is_little_endian, deflated))


def encode(ds: Dataset, is_implicit_vr: bool, is_little_endian: bool, deflated: bool = False) -> bytes | None:
    """Encode a data set; what cannot be encoded is ``None``."""
    try:
        return datasets.encode(ds, _syntax(is_implicit_vr, is_little_endian, deflated))
    except (AttributeError, DicomProtoError) as error:
        _LOGGER.error("a data set cannot be encoded: %s", error)
        return None


def encode_file_meta(file_meta: FileMetaDataset) -> bytes:
    """Encode File Meta Information."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_file_meta_info(buffer, file_meta)
    return buffer.getvalue()


def pretty_dataset(ds: Dataset, indent: int = 0, indent_char: str = "  ") -> list[str]:
    """Return a line for each element of a data set."""
    lines = []
    for element in ds:
        lines.append(indent * indent_char + pretty_element(element))
        if element.VR == "SQ":
            for number, item in enumerate(element.value or (), 1):
                lines.append(f"{(indent + 1) * indent_char}# item {number}")
                lines += pretty_dataset(item, indent + 2, indent_char)
    return lines


def pretty_element(elem: DataElement) -> str:
    """Return an element in one line."""
    return str(elem).partition("\n")[0]


def split_dataset(path: Path) -> tuple[Dataset, int]:
    """Return the File Meta Information of a file, and where its data set begins."""
    with path.open("rb") as file:
        meta = dcmread(file, stop_before_pixels=True, specific_tags=[], force=True).file_meta
        if not meta:
            return FileMetaDataset(), 0
        return meta, _PREAMBLE + len(encode_file_meta(meta))
