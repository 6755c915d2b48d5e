"""Objects to be kept, and an index that has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import Engine

from dicom_proto.sop_class import CTImageStorage
from dicom_transports._archive.index.describing import describe
from dicom_transports._archive.index.opening import open_database
from dicom_transports._archive.index.storing import Arrival, Writer

__all__ = ["image", "indexed", "query", "written"]


def image(number: str = "1.1.1", **values: Any) -> Dataset:
    """Return an object; its number says which patient, study and series it is of: ``patient.study.instance``."""
    patient, study, instance = number.split(".")
    made = Dataset()
    made.SOPClassUID = CTImageStorage
    made.PatientID, made.PatientName = f"P{patient}", f"Name{patient}^First"
    made.StudyInstanceUID = f"1.2.{patient}.{study}"
    made.SeriesInstanceUID = f"1.2.{patient}.{study}.1"
    made.SOPInstanceUID = f"1.2.{patient}.{study}.1.{instance}"
    made.Modality = "CT"
    for keyword, value in values.items():  # some of them no peer should send
        tag: Any = tag_for_keyword(keyword)
        made[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def written(directory: Path, dataset: Dataset) -> Path:
    """Write an object as the archive has it; return where."""
    path = directory / str(dataset.StudyInstanceUID) / str(dataset.SeriesInstanceUID) / f"{dataset.SOPInstanceUID}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@contextmanager
def indexed(directory: Path, *datasets: Dataset) -> Iterator[Engine]:
    """Open an index that has some objects."""
    engine = open_database(f"sqlite:///{directory / 'index.sqlite'}", durable=False)
    writer = Writer(engine)
    try:
        for dataset in datasets:
            path = written(directory / "objects", dataset)
            writer.add(Arrival(describe(path), path, path.relative_to(directory / "objects").as_posix()))
        yield engine
    finally:
        writer.close()
        engine.dispose()


def query(level: str, **keys: Any) -> Dataset:
    """Return an identifier."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        tag: Any = tag_for_keyword(keyword)
        made[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE)
    return made
