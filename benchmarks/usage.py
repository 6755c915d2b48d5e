"""What a process uses, as ``/proc`` tells; without it nothing is known."""

import os
from pathlib import Path
from typing import Final

from attrs import frozen

__all__ = ["Usage", "own_memory", "peak_memory", "usage_of"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICK: Final = 1.0 / os.sysconf("SC_CLK_TCK")


@frozen
class Usage:
    """What a process has used.

    Parameters
    ----------
    cpu : float
        Seconds of processor time, with that of its children that have ended.
    memory, peak : int or None
        Bytes that are resident now, and that were at most.
    """

    cpu: float
    memory: int | None
    peak: int | None


def _status(pid: int, key: str) -> int | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    line = next((line for line in text.splitlines() if line.startswith(f"{key}:")), None)
    return None if line is None else int(line.split()[1]) * 1024


def own_memory(pid: int | None = None) -> int | None:
    """Return the bytes that a process, or this one, has for itself now; files that it has mapped do not count."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_bytes().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(pages[1]) - int(pages[2])) * _PAGE


def peak_memory(pid: int) -> int | None:
    """Return the bytes of a process that were resident at most."""
    return _status(pid, "VmHWM")


def usage_of(pid: int) -> Usage:
    """Return what a process has used so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return Usage(0.0, None, None)
    return Usage(sum(map(int, fields[11:15])) * _TICK, _status(pid, "VmRSS"), peak_memory(pid))
