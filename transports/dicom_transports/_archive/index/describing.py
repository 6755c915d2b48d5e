"""What the index keeps of an object: the attributes of its patient, study, series and instance, as text.

Internal.
"""

import hashlib
import struct
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from attrs import frozen
from pydicom.multival import MultiValue
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_proto.encoding.character_sets import CharacterSets
from dicom_proto.encoding.datasets import decode, encode, find_values
from dicom_proto.encoding.inflating import inflate
from dicom_proto.errors import DicomProtoError
from dicom_proto.limits import DEFAULT_LIMITS as LIMITS
from dicom_transports._archive.keys import COLUMNS, SEQUENCES, UNIQUE, Key, Level
from dicom_transports._files.reading import read_object

__all__ = ["Description", "NotIndexableError", "Stamp", "describe", "fold", "texts_of"]

_CHARACTER_SET: Final = 0x00080005
_IN_CHARACTER_SET: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # PS3.5 6.1.2.2
_SEQUENCES: Final = frozenset(key.tag for level in Level for key in SEQUENCES[level])
_WANTED: Final = {_CHARACTER_SET} | _SEQUENCES | {key.tag for level in Level for key in COLUMNS[level]}
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
        syntax, data = found.meta.transfer_syntax, found.data_set
        if syntax == DeflatedExplicitVRLittleEndian:
            limits = {"max_length": LIMITS.inflated_data_set, "max_ratio": LIMITS.inflation_ratio}
            syntax, data = str(ExplicitVRLittleEndian), memoryview(inflate(data, **limits))
        reading = _Reading(find_values(data, syntax, _WANTED), syntax)
        rows: dict[Level, dict[str, Any]] = {level: reading.row(level) for level in Level}
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


class _Reading:
    """Makes text of the values of one object."""

    def __init__(self, values: Mapping[int, memoryview], transfer_syntax: str) -> None:
        self._values = {tag: bytes(value[:_LONGEST]) for tag, value in values.items() if tag not in _SEQUENCES}
        self._sequences = {tag: bytes(value) for tag, value in values.items() if tag in _SEQUENCES and len(value)}
        self._syntax = transfer_syntax
        self._stated = self._values.get(_CHARACTER_SET, b"")
        self._order: Literal["little", "big"] = "big" if transfer_syntax == ExplicitVRBigEndian else "little"

    def row(self, level: Level) -> dict[str, Any]:
        """Return the columns of a level."""
        row: dict[str, Any] = {key.keyword: self._text(key) for key in COLUMNS[level]}
        some = tuple((key.tag, self._sequences[key.tag]) for key in SEQUENCES[level] if key.tag in self._sequences)
        row["sequences"] = _packed(some, self._stated, self._syntax) if some else None
        return row

    def _text(self, key: Key) -> str | None:
        """Return a value as text, several with backslashes between them; ``None`` if the element is not there."""
        raw = self._values.get(key.tag)
        return raw if raw is None else _text_of(raw, key.vr, self._stated, self._order)


@lru_cache(maxsize=8192)  # the objects of a series have most of them in common
def _text_of(raw: bytes, vr: str, stated: bytes, order: Literal["little", "big"]) -> str:
    if vr == "US":
        return "\\".join(str(int.from_bytes(raw[at : at + 2], order)) for at in range(0, len(raw), 2))
    if raw.isascii() and b"\x1b" not in raw:
        text = raw.decode("ascii")
    elif vr in _IN_CHARACTER_SET:
        text, _ = CharacterSets.of(stated.decode("latin-1")).decode(raw, is_name=vr == "PN")
    else:
        text = raw.decode("latin-1")
    return "\\".join(map(_plain, text.split("\\")))


@lru_cache(maxsize=512)
def _packed(sequences: tuple[tuple[int, bytes], ...], stated: bytes, transfer_syntax: str) -> bytes:
    """Return sequences as a data set of their own, in UTF-8."""
    order = ">" if transfer_syntax == ExplicitVRBigEndian else "<"
    is_implicit = transfer_syntax == ImplicitVRLittleEndian
    parts = []
    for tag, vr, value in ((_CHARACTER_SET, b"CS", stated), *((tag, b"SQ\0\0", value) for tag, value in sequences)):
        length = "I" if is_implicit or len(vr) == 4 else "H"
        head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + (b"" if is_implicit else vr)
        parts.append(head + struct.pack(order + length, len(value)) + value)
    dataset = decode(b"".join(parts), transfer_syntax)
    del dataset[_CHARACTER_SET]
    return encode(dataset, ExplicitVRLittleEndian, wanted=_UTF_8)


def texts_of(value: Any) -> list[str]:
    """Return the values of an element as text, as they were written."""
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return ["" if one is None else _plain(one) for one in values]


def _plain(value: Any) -> str:
    original = getattr(value, "original_string", None)  # of IS and DS; of a name it is bytes
    text = original if isinstance(original, str) else str(value)
    return text.replace("\0", "").strip(" ")
