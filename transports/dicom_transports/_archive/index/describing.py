"""What the index keeps of an object: the attributes of its patient, study, series and instance, as text.

Internal.
"""

import hashlib
import unicodedata
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.errors import DicomProtoError
from dicom_transports._archive.keys import COLUMNS, SEQUENCES, UNIQUE, Key, Level
from dicom_transports._files.reading import read_object

__all__ = ["Description", "NotIndexableError", "Stamp", "describe", "fold", "texts_of"]

_UTF_8: Final = ("ISO_IR 192",)
_LONGEST: Final = 16_384  # characters of a value that is indexed; what is longer is cut


class NotIndexableError(Exception):
    """An object that has no place in a hierarchy of patients, studies, series and instances."""


@frozen
class Stamp:
    """What tells a file from another one that takes its name.

    Parameters
    ----------
    size : int
        Its length in bytes.
    modified : int
        When it was written, in nanoseconds.
    """

    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Return that of a file.

        Raises
        ------
        OSError
            If there is none.
        """
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns)


@frozen
class Description:
    """What the index keeps of an object.

    Parameters
    ----------
    rows : dict
        For each level the values of its columns.
    stamp : Stamp
        Of the file that was read.
    """

    rows: dict[Level, dict[str, Any]]
    stamp: Stamp

    @property
    def sop_instance_uid(self) -> str:
        """Which object it is."""
        uid: str = self.rows[Level.IMAGE]["SOPInstanceUID"]
        return uid


def describe(path: Path) -> Description:
    """Read a file.

    Raises
    ------
    NotIndexableError
        If it has no UIDs of study, series and instance, or is no DICOM file that can be read.
    OSError
        If it cannot be read.
    """
    stamp = Stamp.of(path)
    try:
        found = read_object(path)
        dataset = decode(found.data_set, found.meta.transfer_syntax)
        rows: dict[Level, dict[str, Any]] = {level: _row(dataset, level) for level in Level}
    except DicomProtoError as error:
        raise NotIndexableError("it cannot be read") from error
    missing = [keyword for level, keyword in zip(Level, UNIQUE, strict=True) if level and not rows[level][keyword]]
    if missing:
        raise NotIndexableError(f"it has no {', '.join(missing)}")
    patient, study = rows[Level.PATIENT], rows[Level.STUDY]
    patient["identity"] = _identity(patient, study["StudyInstanceUID"])
    patient["folded_name"] = fold(patient["PatientName"] or "")
    rows[Level.IMAGE] |= {
        "transfer_syntax": found.meta.transfer_syntax,
        "size": stamp.size,
        "modified": stamp.modified,
        "digest": _digest(path),
    }
    return Description(rows, stamp)


def fold(name: str) -> str:
    """Return a person's name without what does not matter when names are looked for: case, accents, width."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(one for one in decomposed if not unicodedata.combining(one)).casefold()


def _identity(patient: dict[str, Any], study: str) -> str:
    """Return what tells patients apart; one without an ID is only that of a study."""
    if not patient["PatientID"]:
        return f"study {study}"
    return f"patient {patient['PatientID']}\\{patient['IssuerOfPatientID'] or ''}"


def _digest(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _row(dataset: Dataset, level: Level) -> dict[str, Any]:
    row: dict[str, Any] = {key.keyword: _text(dataset, key) for key in COLUMNS[level]}
    sequences = Dataset()
    for key in SEQUENCES[level]:
        if key.tag in dataset and dataset[key.tag].VR == "SQ" and dataset[key.tag].value:
            sequences.add(dataset[key.tag])
    row["sequences"] = encode(sequences, ExplicitVRLittleEndian, wanted=_UTF_8) if len(sequences) else None
    return row


def _text(dataset: Dataset, key: Key) -> str | None:
    """Return a value as text, several with backslashes between them; ``None`` if the element is not there."""
    if key.tag not in dataset:
        return None
    return "\\".join(texts_of(dataset[key.tag].value))[:_LONGEST]


def texts_of(value: Any) -> list[str]:
    """Return the values of an element as text, as they were written."""
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return ["" if one is None else _plain(one) for one in values]


def _plain(value: Any) -> str:
    original = getattr(value, "original_string", None)  # of IS and DS; of a name it is bytes
    text = original if isinstance(original, str) else str(value)
    return text.replace("\0", "").strip(" ")
