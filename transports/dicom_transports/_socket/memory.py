"""Memory for what is large: it is no part of a heap, of which little is given back while anything in it is in use."""

import mmap
from typing import Final

__all__ = ["allocated"]

_PRIVATE: Final[int | None] = (
    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if hasattr(mmap, "MAP_PRIVATE") and hasattr(mmap, "MAP_ANONYMOUS") else None
)


def allocated(length: int) -> mmap.mmap:
    """Return memory that is zero, and takes none before it is written to; it goes back when nobody has a view of it."""
    return mmap.mmap(-1, length) if _PRIVATE is None else mmap.mmap(-1, length, flags=_PRIVATE)
