"""DICOM files: read without decoding, written so that they appear whole or not at all, named without trusting peers."""

import logging
import mmap
import os
import re
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from hashlib import sha256
from io import BytesIO, FileIO, TextIOBase
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Final, Self, TypeAlias

from attrs import evolve, frozen

from dicom_proto.buffers import Buffer
from dicom_proto.encoding.datasets import FileMeta, read_file_meta
from dicom_proto.errors import LocalProtocolError
from dicom_proto.services.storage.batch import KEPT
from dicom_proto.services.storage.store import StoredObject
from dicom_transports._files.completeness import is_cut_short
from dicom_transports._files.durability import sync_directories
from dicom_transports._files.streams import Stream, is_stream
from dicom_transports._files.window import Window, mapped_window, read_at
from dicom_transports._socket.gather import GatherQueue
from dicom_transports._socket.mapping import Mapping, shortened

__all__ = [
    "FileObject",
    "IncomingFile",
    "UnreadableFileError",
    "as_storable",
    "distinct",
    "read_object",
    "safe_path",
    "sweep",
]

_log = logging.getLogger("dicom_transports")
Sync: TypeAlias = Callable[[Collection[Path]], None]

_HEAD: Final = 4096  # bytes of a file that usually hold all that is read of it
_ALL: Final = 1 << 62
_LONGEST_NAME: Final = 64  # characters, as in the longest UID
_DIGEST: Final = 32  # of them, if there is a digest: nobody finds two UIDs that have the same
_NUMBERS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_DEVICE: Final = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN_|CONOUT_|CLOCK_|COM[0-9]|LPT[0-9])(?:\.|$)", re.IGNORECASE)
_TEMPORARY: Final = ".incoming-"
_GATHERED: Final = 1 << 20  # bytes that are written at a time
_KNOWN: Final = 1024  # directories that are remembered
_on_disk: Final[set[tuple[Path, Path]]] = set()  # directories whose names are on disk, with those on the way from where


class UnreadableFileError(LocalProtocolError):
    """A file is not a DICOM file, or not all of one; its name may be a patient's, and is not in the text.

    Attributes
    ----------
    item : Any
        The path or file object.
    """

    def __init__(self, reason: str, item: Any) -> None:
        super().__init__(f"a file cannot be read: {reason}")
        self.item = item


def _unreadable(error: OSError, item: Any) -> OSError:
    """Return an error without the name of the file, which is its ``item`` instead."""
    nameless = OSError(error.errno, error.strerror or type(error).__name__)  # of the same class, by its number
    nameless.item = item  # type: ignore[attr-defined]
    return nameless


@frozen
class FileObject:
    """A SOP Instance in a file: what the file says about it, and its data set as it lies there, mapped."""

    path: Path
    meta: FileMeta
    data_set: memoryview


def read_object(path: Path) -> FileObject:
    """Map a DICOM file (PS3.10) into memory and read its head; the data set is not looked at.

    Small files are read. The mapping, and the descriptor that it has, live as long as somebody has a view of it.

    Raises
    ------
    OSError
        If the file cannot be read.
    UnreadableFileError
        If it is not a DICOM file.
    """
    try:
        with FileIO(path) as file:
            content = _content_of(file)
            meta = _read_head(content.seen, path)
    except OSError as error:
        raise _unreadable(error, path) from None
    return FileObject(path, meta, content.whole[meta.data_offset :])


def as_storable(value: Any) -> Any:
    """Return what can be stored for what can be read, and anything else as it is.

    That is a path, a binary file object, an iterator of bytes, or one of the last two as the data set behind its File
    Meta Information, as a tuple. A file object is read from where it stands, and left there if that is possible. One
    that is no plain file, or an iterator, is read while it is sent if it has more than 64 KiB; it is not noticed before
    that it has been cut short.

    Raises
    ------
    OSError
        If the file cannot be read. It has no file name; its ``item`` is the value.
    UnreadableFileError
        If it is not a DICOM file, or it has been cut short.
    """
    try:
        if isinstance(value, str | os.PathLike):
            with FileIO(value) as file:
                return _stored(_content_of(file), value)
        if is_stream(value):
            return _stored(_content(value), value)
        if isinstance(value, tuple) and len(value) == 2 and is_stream(value[1]):
            content = _content(value[1])
            if isinstance(content, Stream):
                return value[0], content
            look = _Look(mapped_window(content.whole), value) if isinstance(content.seen, Window) else None
            return evolve(StoredObject.of((value[0], content.whole)), look=look)
    except OSError as error:
        raise _unreadable(error, value) from None
    return value  # the core says what it cannot store


@frozen
class _Content:
    """What is in a file: as it is looked at, and as it is sent."""

    seen: memoryview | Window
    whole: memoryview


@frozen
class _Look:
    """What is in a file for those who have to look at it later: by its mapping, for the file may be closed by then."""

    window: Window
    item: Any

    def __len__(self) -> int:
        return len(self.window)

    def __getitem__(self, where: slice) -> bytes:
        try:
            return self.window[where]
        except OSError as error:
            raise UnreadableFileError(error.strerror or type(error).__name__, self.item) from error


def _stored(content: _Content | Stream, item: Any) -> StoredObject:
    if isinstance(content, Stream):
        meta = _read_head(content, item)
        content.skip(meta.data_offset)
        content.look_away()
        return StoredObject.of((meta, content))
    seen, whole = content.seen, content.whole
    meta = _read_head(seen, item)
    at = meta.data_offset
    if is_cut_short(seen.behind(at) if isinstance(seen, Window) else seen[at:], meta.transfer_syntax):
        raise UnreadableFileError("it has been cut short: it ends within an element (PS3.5 7.1)", item)
    look = _Look(mapped_window(whole[at:]), item) if isinstance(seen, Window) else None
    return StoredObject.of_file(meta, whole, look=look)


def _content(file: Any) -> _Content | Stream:
    """Return what is in a file object from where it stands, or how it is read: only a little of what is long."""
    if isinstance(file, TextIOBase):
        raise UnreadableFileError("it was not opened as a binary file", file)
    try:
        if isinstance(getattr(file, "raw", file), FileIO):  # others, as that of gzip, have that of another file
            return _content_of(file, file.tell())
        stream = Stream(file, partial(_explained, item=file))
    except ValueError as error:  # it has been closed
        raise UnreadableFileError(str(error), file) from error
    if isinstance(file, BytesIO):
        read = memoryview(stream.ahead(_ALL))
    elif len(stream.ahead(KEPT + 1)) > KEPT:
        return stream
    else:
        read = memoryview(stream.ahead(KEPT))
    stream.look_away()
    return _Content(read, read)


def _explained(error: Exception, item: Any) -> Exception:
    """Return what is raised if a file object cannot be read: what a user's own function says may be about a patient."""
    if isinstance(error, OSError):
        return _unreadable(error, item)
    if isinstance(error, EOFError | TypeError | ValueError):
        return UnreadableFileError(str(error), item)
    return UnreadableFileError(f"{type(error).__name__} was raised", item)


def _content_of(file: Any, start: int = 0) -> _Content:
    """Return what is in a file: mapped, unless it is short."""
    length = max(0, os.fstat(file.fileno()).st_size - start)
    if length <= KEPT:
        read = memoryview(read_at(file, length, start))
        return _Content(read, read)
    try:
        mapping = Mapping(file.fileno(), start + length, access=mmap.ACCESS_READ)
    except ValueError:  # it is shorter already
        raise shortened("read") from None
    return _Content(Window(partial(read_at, file), start, length), memoryview(mapping)[start:])


def _read_head(seen: memoryview | Window | Stream, item: Any) -> FileMeta:
    """Read the head of a file."""
    try:
        count = _HEAD
        while True:
            prefix = seen[:count]
            if not prefix:
                raise LocalProtocolError("it is empty")
            meta = read_file_meta(prefix, complete=len(prefix) < count)
            if isinstance(meta, FileMeta):
                return meta
            count = max(meta.count, count + 1)
    except LocalProtocolError as error:
        raise UnreadableFileError(str(error), item) from error


def safe_path(directory: Path, *names: str, suffix: str = "") -> Path:
    """Return a path below a directory that is made of strings a peer has chosen: the only way they become file names.

    Each name becomes one component, the last one with a suffix of ours. A UID stays as it is. In anything else every
    character outside letters, digits, dot, hyphen and underscore becomes an underscore. So do dots at either end and a
    hyphen at the beginning: no component is ``.`` or ``..``, hidden, taken for an option by a program, or without its
    end on Windows. What is the name of a device there (CON, NUL.txt) has an underscore before it. The end of a name of
    more than 64 characters becomes a digest of the whole: UIDs of one origin are alike in the beginning. Other names
    may still become the same file: whoever minds must not overwrite.

    Raises
    ------
    ValueError
        If a name is empty.
    """
    components = []
    for name in names:
        if not name:
            raise ValueError("an empty string cannot be part of a file name")
        components.append(name if _is_plain(name) else _tame(name))
    components[-1] += suffix
    return directory.joinpath(*components)


def distinct(uid: str) -> str:
    """Return a UID so that :func:`safe_path` makes a name of it that no other has: of an irregular one, by a digest.

    All of them have one, also those that could be names as they are: such as another one would get with its digest, or
    one that differs from another in upper and lower case only, which some file systems take for the same.
    """
    return uid if not uid or _is_plain(uid) else _digested(_tame(uid), uid)


def _digested(name: str, whole: str) -> str:
    digest = sha256(whole.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST_NAME - 1 - _DIGEST]}-{digest}"


def _tame(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        name = _digested(name, name)
    tamed = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in name)
    bare = tamed.lstrip(".")
    tamed = "_" * (len(tamed) - len(bare)) + bare
    bare = tamed.rstrip(".")
    tamed = bare + "_" * (len(tamed) - len(bare))
    if tamed.startswith("-"):
        tamed = f"_{tamed[1:]}"
    return f"_{tamed}" if _DEVICE.match(tamed) else tamed


def _is_plain(name: str) -> bool:
    """Tell whether a name is like a UID: nothing but numbers with dots between them."""
    return len(name) <= _LONGEST_NAME and _NUMBERS.fullmatch(name) is not None


class IncomingFile:
    """A file that is written under a temporary name, and gets its own name only when all of it is there.

    Used as a context manager: what was not committed by the end of the block is removed. While it is written it is
    locked, which tells :func:`sweep` that somebody lives who will remove it.

    Parameters
    ----------
    directory : Path
        Where it is written; it exists.

    Raises
    ------
    OSError
        If no file can be made there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = _open_temporary(directory)
        self._temporary = Path(str(self._file.name))
        self._is_pending = True  # there is a file of that name
        self._queue = GatherQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, data: Buffer) -> None:
        """Append bytes; small pieces are kept, as views, until they are worth a system call.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        if len(data):
            self._queue.extend([data])
        if self._queue.length >= _GATHERED:
            self._flush()

    def _flush(self) -> None:
        writer = _WRITER(self._file.fileno())
        while self._queue.length:
            self._queue.send(writer)

    def content(self) -> memoryview:
        """Return what has been written, mapped into memory; it must not be empty."""
        self._flush()
        return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))

    def commit(self, path: Path, *, replace: bool = True, sync: Sync | None = sync_directories) -> None:
        """Bring the file to disk, then give it its name, at one stroke, and bring that to disk.

        Parameters
        ----------
        path : Path
            The name, below the directory; directories on the way are made.
        replace : bool
            Whether it replaces a file of that name. Not to needs a file system that has hard links.
        sync : callable or None
            Brings the names in some directories to disk; returns when they are there. ``None`` if the file need not
            survive a system that fails; it survives a process that does in any case.

        Raises
        ------
        FileExistsError
            If there is a file of that name, which is not to be replaced and is on disk; another name may be tried.
        OSError
            If something fails.
        """
        self._flush()
        if sync is not None:
            os.fsync(self._file.fileno())
        taken: FileExistsError | None = None
        try:
            self._give_name(path, replace=replace)
        except FileExistsError as error:
            taken = error
        if sync is not None:
            _bring_to_disk(path.parent, self._directory, sync)
        if taken is not None:
            raise taken

    def _give_name(self, path: Path, *, replace: bool) -> None:
        try:
            self._put_at(path, replace=replace)
        except FileNotFoundError:  # somebody has removed a directory that was there
            _make_directory.cache_clear()
            _on_disk.clear()
            self._put_at(path, replace=replace)

    def _put_at(self, path: Path, *, replace: bool) -> None:
        if path.parent != self._directory:
            _make_directory(path.parent)
        if replace:
            self._temporary.replace(path)
            self._is_pending = False
        else:
            path.hardlink_to(self._temporary)  # unlike renaming it never replaces

    def close(self) -> None:
        """Close the file, and remove what has its temporary name; again it does nothing."""
        self._file.close()
        if self._is_pending:
            self._temporary.unlink(missing_ok=True)
            self._is_pending = False


@frozen
class _Writer:
    """A file that is written to as a socket is."""

    descriptor: int

    def send(self, data: Buffer) -> int:
        return os.write(self.descriptor, data)


class _Gatherer(_Writer):
    """The same with lists of buffers, where the system has that."""

    def sendmsg(self, buffers: list[Buffer]) -> int:
        return os.writev(self.descriptor, buffers)


_WRITER: Final = _Gatherer if hasattr(os, "writev") else _Writer


def _open_temporary(directory: Path) -> FileIO:
    """Make a file with a name of its own, locked."""
    while True:
        file = FileIO(f"{directory}/{_TEMPORARY}{token_hex(8)}", "x+")
        _lock(file)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # it was swept away before it was locked


def _lock(file: IO[bytes] | FileIO, *, at_once: bool = False) -> bool:
    """Lock a file; return whether it is. There are file systems, and systems, without locks: nothing is swept there."""
    try:
        import fcntl  # noqa: PLC0415

        fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))
    except (ImportError, OSError):
        return False
    return True


@lru_cache(maxsize=_KNOWN)
def _make_directory(directory: Path) -> None:
    """Make a directory and those on the way; once is enough."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # which is not to say that the file is there
        raise NotADirectoryError(error.errno, "a file is where a directory has to be") from error


def _bring_to_disk(directory: Path, root: Path, sync: Sync) -> None:
    """Bring the names in a directory to disk, and, the first time, its own name and those on the way from the root."""
    if directory == root or (directory, root) in _on_disk:
        sync((directory,))
        return
    sync((directory, *(parent for parent in directory.parents if parent.is_relative_to(root))))
    if len(_on_disk) >= _KNOWN:
        _on_disk.clear()
    _on_disk.add((directory, root))


def sweep(directory: Path) -> list[Path]:
    """Remove the temporary files that processes have left behind which did not live to do it.

    Those that any living process writes, on this machine or another, stay: they are locked.

    Parameters
    ----------
    directory : Path
        Where to look; not below it.

    Returns
    -------
    list of Path
        What was removed.

    Raises
    ------
    OSError
        If the directory cannot be read.
    """
    with os.scandir(directory) as entries:
        found = [Path(one) for one in entries if one.name.startswith(_TEMPORARY) and one.is_file(follow_symlinks=False)]
    return [stale for stale in found if _remove(stale)]


def _remove(stale: Path) -> bool:
    """Remove a temporary file if nobody writes it."""
    try:
        with stale.open("rb") as file:
            if not _lock(file, at_once=True):
                return False
            stale.unlink()
    except OSError as error:  # it is somebody else's, or has just been committed
        _log.debug("! a temporary file stays: %s", error.strerror)
        return False
    return True
