"""Which processes use a directory, and which of them did not live to say that they have ended.

Internal. Each has a file there that it locks; a file that can be locked is that of a process which was killed, on
whatever machine. Where there are no locks, nothing is known of others.
"""

from io import FileIO
from pathlib import Path
from secrets import token_hex
from typing import Final

__all__ = ["Running"]

_DIRECTORY: Final = "running"


class Running:
    """The marks of the processes that use a directory.

    Parameters
    ----------
    directory : Path
        The directory.

    Raises
    ------
    OSError
        If nothing can be written there.
    """

    def __init__(self, directory: Path) -> None:
        self._marks = directory / _DIRECTORY
        self._marks.mkdir(parents=True, exist_ok=True)
        self._own: FileIO | None = None

    def dead(self) -> list[Path]:
        """Return the marks of processes that were killed, or left something behind."""
        return [mark for mark in self._marks.iterdir() if _is_dead(mark)]

    def enter(self) -> None:
        """Say that this process runs; a process that is forked afterwards keeps that true as well."""
        self._own = FileIO(self._marks / token_hex(8), "x")
        _lock(self._own)

    def leave(self, *, in_step: bool = True) -> None:
        """Say that this process has ended by itself; if something is left to be brought into step, its mark stays."""
        if self._own is not None:
            if in_step:
                Path(str(self._own.name)).unlink(missing_ok=True)
            self._own.close()
            self._own = None


def _is_dead(mark: Path) -> bool:
    try:
        with FileIO(mark) as file:
            return _lock(file)
    except OSError:  # it has just ended, or is another user's
        return False


def _lock(file: FileIO) -> bool:
    """Lock a file if nobody has it locked; return whether it is."""
    try:
        import fcntl  # noqa: PLC0415 - not on every platform

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
