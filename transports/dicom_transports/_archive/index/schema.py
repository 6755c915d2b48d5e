"""The tables of the index: patients, studies, series and instances.

Internal. Columns that hold attributes are named by their keywords. What is added to these tables needs a migration,
and may only be added: nodes of the old and the new version use them side by side.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from dicom_transports._archive.keys import COLUMNS, Level

__all__ = ["METADATA", "NAMES", "PARENTS", "TABLES"]

METADATA: Final = MetaData()

NAMES: Final = {Level.PATIENT: "patients", Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}
PARENTS: Final = {Level.STUDY: "patient", Level.SERIES: "study", Level.IMAGE: "series"}
"""The columns that name the row of the level above."""

_Identity = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts rows by itself only if it is called INTEGER
_OWN: Final[dict[Level, list[Column[Any]]]] = {
    # What tells entities apart: of a patient, Patient ID and its issuer, or the study of one who has none.
    Level.PATIENT: [Column("identity", Text, nullable=False, unique=True), Column("folded_name", Text)],
    Level.STUDY: [],
    Level.SERIES: [],
    Level.IMAGE: [
        Column("path", Text, nullable=False),  # below the directory of the archive, with strokes
        Column("transfer_syntax", Text, nullable=False),
        Column("size", BigInteger, nullable=False),  # of the file, in bytes
        Column("modified", BigInteger, nullable=False),  # when the file was written, in nanoseconds
        Column("digest", LargeBinary, nullable=False),  # of the file, SHA-256
        Column("stored", BigInteger, nullable=False),  # when it was received, in seconds
        Column("calling_ae_title", Text, nullable=False),
        Column("is_leaving", Integer, nullable=False, server_default="0"),  # its file is being removed
    ],
}
_UNIQUE: Final = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
_INDEXED: Final = {"PatientID", "StudyDate", "AccessionNumber", "Modality"}


def _table(level: Level) -> Table:
    columns: list[Column[Any]] = [Column("id", _Identity, primary_key=True, autoincrement=True)]
    if level in PARENTS:
        above = NAMES[Level(level - 1)]
        columns.append(Column(PARENTS[level], _Identity, ForeignKey(f"{above}.id"), nullable=False, index=True))
    columns += _OWN[level]
    for key in COLUMNS[level]:
        is_unique = key.keyword in _UNIQUE
        columns.append(Column(key.keyword, Text, unique=is_unique or None, nullable=not is_unique))
    columns.append(Column("sequences", LargeBinary))  # explicit VR little endian, in UTF-8
    # Another process may remember the number of a row that has been deleted: no other row may ever get it.
    table = Table(NAMES[level], METADATA, *columns, sqlite_autoincrement=True)
    for key in COLUMNS[level]:
        if key.keyword in _INDEXED:
            Index(f"ix_{NAMES[level]}_{key.keyword}", table.c[key.keyword])
    return table


TABLES: Final = {level: _table(level) for level in Level}
