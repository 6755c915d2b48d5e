"""DICOM files: read without decoding, written so that they appear whole or not at all, named without trusting peers."""

import mmap
import os
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

from attrs import frozen

from dicom_proto.buffers import Buffer
from dicom_proto.datasets import FileMeta, NeedBytes, read_file_meta
from dicom_proto.errors import LocalProtocolError
from dicom_proto.names import is_valid_uid

__all__ = ["FileObject", "IncomingFile", "read_object", "safe_path"]

_HEAD = 4096  # bytes of a file that usually hold all that is read of it
_LONGEST_NAME = 64  # characters, as in the longest UID


@frozen
class FileObject:
    """A SOP Instance in a file: what the file says about it, and its data set as it lies there, mapped."""

    path: Path
    meta: FileMeta
    data_set: memoryview


def read_object(path: Path) -> FileObject:
    """Map a DICOM file (PS3.10) into memory and read its head; the data set is not looked at.

    Raises
    ------
    OSError
        If the file cannot be read.
    LocalProtocolError
        If it is not a DICOM file.
    """
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise LocalProtocolError(f"{path} is empty")
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    meta = read_file_meta(view[:_HEAD])
    while isinstance(meta, NeedBytes):
        meta = read_file_meta(view[: meta.count], complete=meta.count >= len(view))
    return FileObject(path, meta, view[meta.data_offset :])


def safe_path(directory: Path, *names: str, suffix: str = "") -> Path:
    """Return a path below a directory that is made of strings a peer has chosen: the only way they become file names.

    Each name becomes one component, the last one with a suffix of ours. A UID stays as it is. In anything else every
    character outside letters, digits, dot, hyphen and underscore becomes an underscore; leading dots do too, so that no
    component is ``.``, ``..`` or hidden. The end of a name of more than 64 characters becomes a digest of the whole:
    UIDs of one origin are alike in the beginning. Other names may still become the same file: whoever minds must not
    overwrite.

    Raises
    ------
    ValueError
        If a name is empty.
    """
    components = []
    for name in names:
        if not name:
            raise ValueError("an empty string cannot be part of a file name")
        components.append(name if is_valid_uid(name) else _tame(name))
    components[-1] += suffix
    return directory.joinpath(*components)


def _tame(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        digest = sha256(name.encode(errors="replace")).hexdigest()[:15]
        name = f"{name[: _LONGEST_NAME - 16]}-{digest}"
    tamed = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in name)
    bare = tamed.lstrip(".")
    return "_" * (len(tamed) - len(bare)) + bare


class IncomingFile:
    """A file that is written under a temporary name, and gets its own name only when all of it is on disk.

    Used as a context manager: what was not committed by the end of the block is removed.

    Parameters
    ----------
    path : Path
        The final name; its directory exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".incoming-{token_hex(8)}")
        self._file = self._temporary.open("xb", buffering=0)
        self._is_pending = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._is_pending:
            self._temporary.unlink()

    def write(self, data: Buffer) -> None:
        """Append bytes.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def commit(self) -> None:
        """Bring the file to disk, then give it its name; an object of that name is replaced at one stroke.

        Raises
        ------
        OSError
            If that fails; there is no file of that name then, or the one that was there before.
        """
        os.fsync(self._file.fileno())
        self._temporary.replace(self.path)
        self._is_pending = False
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
