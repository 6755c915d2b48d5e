"""Bringing the names of files to disk: for each file by itself, or at one go for those that wait at the same time."""

import errno
import os
from collections.abc import Collection, Hashable
from pathlib import Path
from threading import Condition
from time import monotonic

from attrs import define, field, frozen

from dicom_proto.offers._settings import check, integer

__all__ = ["Committer", "GroupCommit", "sync_directories", "sync_directory"]


@frozen
class GroupCommit:
    """Objects whose names are brought to disk together.

    A group is flushed when so many objects wait for that, or the first of them has waited so long, or no other object
    is being received: whichever comes first. While one group is flushed the next one gathers.

    Parameters
    ----------
    objects : int
        How many objects are enough, at least 1.
    seconds : float
        How long an object waits for others at most; 0 for not at all.

    Raises
    ------
    InvalidSettingError
        If a parameter has a value that it cannot have.
    """

    objects: int = field(default=16, validator=integer(1, 1 << 31))
    seconds: float = field(
        default=0.01,
        validator=check(
            lambda value: isinstance(value, int | float) and 0 <= value < float("inf"), "a number of seconds from 0"
        ),
    )


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to disk.

    Raises
    ------
    OSError
        If that fails.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directories(directories: Collection[Path]) -> None:
    """Bring the names in some directories to disk; otherwise as :func:`sync_directory`."""
    for directory in directories:
        sync_directory(directory)


@define(eq=False)
class _Group:
    """Objects that wait for the same flush, and the directories with their names that are not on disk, and why."""

    due: float
    objects: int = 0
    missing: dict[Path, OSError] = field(factory=dict)
    is_done: bool = False

    def join(self, directories: Collection[Path]) -> None:
        self.objects += 1
        self.missing |= dict.fromkeys(directories, InterruptedError(errno.EINTR, os.strerror(errno.EINTR)))

    def flush(self) -> None:
        for directory in tuple(self.missing):
            try:
                sync_directory(directory)
            except OSError as error:
                self.missing[directory] = error
            else:
                del self.missing[directory]

    def check(self, directories: Collection[Path]) -> None:
        for directory in directories:
            if directory in self.missing:
                failure = self.missing[directory]
                raise OSError(*failure.args) from failure


class Committer:
    """Lets objects that wait at the same time share their flushes.

    It has no thread of its own: of those that wait, the first that sees that it is time flushes for all.
    """

    def __init__(self, policy: GroupCommit) -> None:
        self._policy = policy
        self._changed = Condition()  # over everything below
        self._expected: set[Hashable] = set()  # objects that are being received: they may join soon
        self._gathering: _Group | None = None
        self._is_flushing = False

    def expect(self, member: Hashable) -> None:
        """Take note that an object is being received."""
        with self._changed:
            self._expected.add(member)

    def forget(self, member: Hashable) -> None:
        """Expect an object no more: nobody has to wait for it; again it does nothing."""
        with self._changed:
            self._expected.discard(member)
            self._changed.notify_all()

    def sync(self, member: Hashable, directories: Collection[Path]) -> None:
        """Return when the names that are in some directories now are on disk.

        Raises
        ------
        OSError
            If one of these directories could not be brought to disk; all objects with a name there get this.
        """
        group = self._join(member, directories)
        if self._has_to_flush(group):
            try:
                group.flush()
            finally:
                self._end(group)
        group.check(directories)

    def _join(self, member: Hashable, directories: Collection[Path]) -> _Group:
        with self._changed:
            if self._gathering is None:
                self._gathering = _Group(monotonic() + self._policy.seconds)
            group = self._gathering
            group.join(directories)
            self._expected.discard(member)
            self._changed.notify_all()
            return group

    def _has_to_flush(self, group: _Group) -> bool:
        """Wait until a group has been flushed, or this thread has to do it: return whether it has to."""
        with self._changed:
            while not group.is_done:
                left = None if self._is_flushing else self._seconds_left(group)
                if left is not None and left <= 0:
                    self._is_flushing, self._gathering = True, None
                    return True
                self._changed.wait(left)
            return False

    def _seconds_left(self, group: _Group) -> float:
        if not self._expected or group.objects >= self._policy.objects:
            return 0.0
        return group.due - monotonic()

    def _end(self, group: _Group) -> None:
        with self._changed:
            self._is_flushing, group.is_done = False, True
            self._changed.notify_all()
