"""What has to be known of an archive to copy it and to delete from it.

May change.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

__all__ = ["Kept"]


class Kept(Protocol):
    """An archive, as far as what it keeps is concerned: :class:`~dicom_transports.archive.Archive` is one.

    Attributes
    ----------
    engine : sqlalchemy.Engine
        The database of its index.
    files : Path
        Where its files are.
    """

    engine: Engine
    files: Path

    def delete(self, numbers: Sequence[int]) -> int:
        """Delete objects by the numbers of their rows; return how many files were removed."""

    def paths(self) -> Iterator[Path]:
        """Return the files of all objects, whether the index has them or not."""

    def bring_into_step(self) -> int:
        """Index what is new among the files, take out what is gone; return how many objects there are."""
