"""Objects that come from what is no plain file, and are read while they are sent: file objects, iterators of bytes."""

from collections.abc import Callable, Iterator
from mmap import ACCESS_READ
from tempfile import TemporaryFile
from typing import Any, Final

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.sources import ReadOnceError, Source
from dicom_proto.encoding.structure import Data
from dicom_transports._files.window import mapped_window
from dicom_transports._socket.mapping import Mapping

__all__ = ["Stream", "is_stream"]

_BLOCK: Final = 1 << 18  # bytes that are handed out at a time


def is_stream(value: Any) -> bool:
    """Tell whether something can be read: a file object, or an iterator of bytes."""
    return hasattr(value, "read") or hasattr(value, "__next__")


class Stream(Source):
    """What there is to be read of a file object, from where it stands, or of an iterator.

    If it can be read again, it is: from the same place, and it is left there. Otherwise what has been looked at is kept
    until it is sent, and it is sent once.

    Parameters
    ----------
    item : file object or iterator
        What is read.
    explain : callable
        Returns what is raised instead of an exception that reading it has raised.
    """

    def __init__(self, item: Any, explain: Callable[[Exception], Exception]) -> None:
        self._item = item
        self._explain = explain
        self._read = item.read if hasattr(item, "read") else _Joined(item).read
        self._start = _position(item)
        self._head = b""  # what has been read and not been sent
        self._offset = 0

    def ahead(self, count: int) -> bytes:
        """Return so many bytes of the beginning, or all there are, without taking them."""
        while len(self._head) < count:
            block = self._next(count - len(self._head))
            if not block:
                break
            self._head += block
        return self._head[:count]

    def __getitem__(self, where: slice) -> bytes:
        """Return the first bytes."""
        return self.ahead(where.stop)

    def look_away(self) -> None:
        """Leave what is read where it stood, if that is possible; then it can be read again."""
        if self._start is not None:
            try:
                self._item.seek(self._start)
            except (OSError, ValueError):  # it has said that it could
                self._start = None
            else:
                self._head = b""

    def skip(self, count: int) -> None:
        """Leave out the first bytes when it is sent."""
        self._offset = count

    def pieces(self) -> Iterator[Buffer]:
        """Yield what there is; raises what ``explain`` makes of what reading it raises."""
        if self.is_spent:
            raise ReadOnceError
        return self._again(self._start) if self._start is not None else self._once()

    def _once(self) -> Iterator[Buffer]:
        self.is_spent = True
        self.ahead(self._offset)
        head, self._head = self._head[self._offset :], b""
        if head:
            yield head
        while block := self._next(_BLOCK):
            yield block

    def _again(self, start: int) -> Iterator[Buffer]:
        at = start + self._offset
        try:
            while block := self._next(_BLOCK, at):
                at += len(block)
                yield block
        finally:
            self._item.seek(start)

    def _next(self, count: int, at: int | None = None) -> bytes:
        try:
            if at is not None:  # others may have moved it
                self._item.seek(at)
            block = self._read(count)
            return block if isinstance(block, bytes) else bytes(memoryview(block))
        except Exception as error:
            raise self._explain(error) from error

    def land(self) -> tuple[Buffer, Data]:
        """Return all of it in a temporary file, which is mapped: to send it in another transfer syntax."""
        with TemporaryFile() as file:
            for piece in self.pieces():
                file.write(piece)
            file.flush()
            if not file.tell():
                return b"", b""
            whole = memoryview(Mapping(file.fileno(), 0, access=ACCESS_READ))
        return whole, mapped_window(whole)


class _Joined:
    """An iterator of bytes that is read as a file is."""

    def __init__(self, iterator: Iterator[Buffer]) -> None:
        self._iterator = iterator
        self._left = b""

    def read(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        parts, length = [self._left], len(self._left)
        while length < count and (part := next(self._iterator, None)) is not None:
            parts.append(memoryview(part).cast("B").tobytes())
            length += len(parts[-1])
        whole = b"".join(parts)
        self._left = whole[count:]
        return whole[:count]


def _position(item: Any) -> int | None:
    """Return where a file object stands, ``None`` if it cannot go back there."""
    if not getattr(item, "seekable", bool)():
        return None
    position: int = item.tell()
    return position
