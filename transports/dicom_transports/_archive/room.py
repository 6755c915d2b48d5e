"""Whether an archive has room for another object. Nothing is ever deleted to make some.

May change.
"""

import logging
import shutil
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

from sqlalchemy import Engine, func, select

from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.keys import Level

__all__ = ["Room"]

_log = logging.getLogger("dicom_transports")

_GLANCE: Final = 5.0  # seconds until the index is asked again how much there is
_SIZE: Final = TABLES[Level.IMAGE].c.size


class Room:
    """How much there is of it. What several processes store within seconds may go beyond a quota.

    Parameters
    ----------
    engine : Engine
        The database of the index.
    directory : Path
        Where the files are.
    """

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine, self._directory = engine, directory
        self._lock = Lock()
        self._looked_at = float("-inf")
        self._kept = 0
        self._is_full = False

    def is_full(self, most: int | None, least_free: int) -> bool:
        """Tell whether there is no room; the log says so when that changes.

        Parameters
        ----------
        most : int, optional
            How many bytes may be kept.
        least_free : int
            How many bytes of the file system are to be left free.

        Raises
        ------
        OSError, sqlalchemy.exc.SQLAlchemyError
            If it cannot be known.
        """
        free = shutil.disk_usage(self._directory).free
        reason = ""
        if free < least_free:
            reason = f"{free} bytes of the disk are free, and {least_free} are to be left"
        elif most is not None and (kept := self.kept()) >= most:
            reason = f"{kept} bytes are kept, of {most}"
        self._tell(reason)
        return bool(reason)

    def kept(self) -> int:
        """Return how many bytes are kept, as it was seconds ago at most, and with what has been noted since."""
        with self._lock:
            if monotonic() - self._looked_at >= _GLANCE:
                with self._engine.connect() as connection, connection.begin():
                    self._kept = int(connection.execute(select(func.coalesce(func.sum(_SIZE), 0))).scalar_one())
                self._looked_at = monotonic()
            return self._kept

    def note(self, size: int) -> None:
        """Take note of an object that has been stored."""
        with self._lock:
            self._kept += size

    def _tell(self, reason: str) -> None:
        with self._lock:
            was_full, self._is_full = self._is_full, bool(reason)
        if reason and not was_full:
            _log.error("! there is no room (%s): C-STORE is answered with A700H, out of resources", reason)
        elif was_full and not reason:
            _log.warning("= there is room again")
