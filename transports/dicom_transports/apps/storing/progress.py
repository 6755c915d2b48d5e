"""How far a transfer has come: a bar on a terminal, now and then a line elsewhere, nothing where it is unwanted."""

import sys
from importlib.util import find_spec
from time import monotonic
from types import TracebackType
from typing import Any, Final, Protocol, Self

from dicom_transports.apps.storing.account import Account, as_size

__all__ = ["Progress", "progress_of"]

_EVERY: Final = 5.0  # seconds


class Progress(Protocol):
    """Shows how far an account has come."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, account: Account) -> None:
        """Show it."""

    def tell(self, line: str) -> None:
        """Print a line beside it."""


def progress_of(account: Account, *, quiet: bool) -> Progress:
    """Return what shows how far an account has come, on the standard error."""
    if quiet:
        return _Lines(float("inf"))
    if sys.stderr.isatty() and find_spec("rich"):
        return _Bar(account)
    return _Lines(_EVERY)


class _Lines:
    """A line now and then, for a pipe or a file."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._next = monotonic() + every

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def show(self, account: Account) -> None:
        now = monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        done = account.files - account.left
        length = f"{as_size(account.stored_length)} of {as_size(account.length)}"
        self.tell(f"{done} of {account.files} files, {length}, {as_size(account.rate)}/s")

    def tell(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class _Bar:
    """A bar with files, bytes, rate and time left."""

    def __init__(self, account: Account) -> None:
        from rich import progress  # noqa: PLC0415
        from rich.console import Console  # noqa: PLC0415 - only what is used is loaded

        self._bar: Any = progress.Progress(
            progress.BarColumn(),
            progress.TextColumn("{task.fields[files]} files"),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=account.length, files=f"0/{account.files}")
        self._done = 0

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.__exit__(*exception)

    def show(self, account: Account) -> None:
        files = f"{account.files - account.left}/{account.files}"
        self._bar.update(self._task, completed=account.done_length, files=files)

    def tell(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
