"""The files that a user names: single ones, and what is found in directories, chosen by what is in them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import define, field

from dicom_proto.encoding.datasets import NeedBytes, read_file_meta
from dicom_proto.errors import LocalProtocolError
from dicom_transports.apps.exits import CommandError, Exit

__all__ = ["Found", "find", "meta_of"]

_HEAD: Final = 4096
_MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"  # a DICOMDIR (PS3.10 8), which is not to be stored


@define
class Found:
    """What there is to be sent.

    Attributes
    ----------
    paths : list of str
        The files, as the user named them, or found below the directories that were named.
    sizes : dict of str to int
        Their lengths in bytes.
    skipped : int
        How many files of directories are none that can be stored.
    """

    paths: list[str] = field(factory=list)
    sizes: dict[str, int] = field(factory=dict)
    skipped: int = 0

    @property
    def total(self) -> int:
        """The length of all files, in bytes."""
        return sum(self.sizes.values())

    def add(self, path: str, size: int) -> None:
        """Take a file; one that is there already stays where it is."""
        if path not in self.sizes:
            self.paths.append(path)
        self.sizes[path] = size

    def drop(self, paths: Iterable[str]) -> None:
        """Leave some files out."""
        for path in paths:
            del self.sizes[path]
        self.paths = [path for path in self.paths if path in self.sizes]


def find(named: Sequence[str], *, recursive: bool) -> Found:
    """Find the files to be sent.

    A file that was named is taken whatever is in it; those of directories only if they hold an object.

    Parameters
    ----------
    named : sequence of str
        Files and directories.
    recursive : bool
        Whether directories in directories are looked into.

    Raises
    ------
    CommandError
        If there is no such file, or a directory cannot be read.
    """
    found = Found()
    for name in named:
        try:
            if not os.path.isdir(name):  # noqa: PTH112 - a path stays as it was named
                found.add(name, os.stat(name).st_size)  # noqa: PTH116
                continue
            for path, size in _walk(name, recursive=recursive):
                if meta_of(path) is None:
                    found.skipped += 1
                else:
                    found.add(path, size)
        except OSError as error:
            raise CommandError(f"{error.filename or name}: {error.strerror}", Exit.USAGE) from error
    return found


def _walk(directory: str, *, recursive: bool) -> Iterator[tuple[str, int]]:
    """Yield the path and the length of each file, in the order of their names."""
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _walk(entry.path, recursive=True)
        elif entry.is_file():
            yield entry.path, entry.stat().st_size


def meta_of(path: str) -> tuple[str, str] | None:
    """Return SOP class and SOP instance of the object in a file; ``None`` if there is none that can be stored.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a path stays as it was named
        head = file.read(_HEAD)
        try:
            meta = read_file_meta(head, complete=len(head) < _HEAD)
            while isinstance(meta, NeedBytes):
                wanted = meta.count
                head += file.read(wanted - len(head))
                meta = read_file_meta(head, complete=len(head) < wanted)
        except LocalProtocolError:
            return None
    return None if meta.sop_class_uid == _MEDIA_DIRECTORY else (meta.sop_class_uid, meta.sop_instance_uid)
