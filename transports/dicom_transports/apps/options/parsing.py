"""The parser of a command, and the types of what its options take."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from dicom_proto.errors import InvalidNameError
from dicom_proto.names import check_ae_title
from dicom_transports.apps.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Parser", "ae_title", "count", "directory", "natural", "port", "seconds"]

_HIGHEST_PORT: Final = 65535


class Parser(argparse.ArgumentParser):
    """Parses the arguments of a command.

    Options may begin with ``-``, ``--`` or ``+``, as those of DCMTK do, and are not to be shortened.

    Parameters
    ----------
    name : str
        The command.
    summary : str
        What it does, in one line.
    description : str
        The same at length; what stands below the first line is shown.
    examples : sequence of (str, str)
        Arguments, and what they are for.
    """

    def __init__(self, name: str, summary: str, description: str, examples: Sequence[tuple[str, str]]) -> None:
        body = description.partition("\n")[2].strip()
        shown = "\n\n".join(
            ["examples:", *(f"  # {purpose}\n  dicom-proto {name} {arguments}" for arguments, purpose in examples)]
        )
        super().__init__(
            prog=f"dicom-proto {name}",
            description=f"{summary}.\n\n{body}".strip(),
            epilog=shown.replace("\n\n", "\n", 1),
            prefix_chars="-+",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments; ``files``, of which there may be none, may also stand behind options."""
        arguments, others = self.parse_known_args(args, namespace)
        while others and hasattr(arguments, "files") and others[0][:1] not in self.prefix_chars:
            arguments.files.append(others.pop(0))
        if others:
            self.error(f"unknown arguments: {' '.join(others)}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong with the arguments, and end the program."""
        print(f"{self.prog}: {message} (--help tells more)", file=sys.stderr)
        self.exit(Exit.USAGE)


def port(text: str) -> int:
    """Return a port number."""
    return _integer(text, 1, _HIGHEST_PORT, "a port number")


def natural(text: str) -> int:
    """Return an integer that is not negative."""
    return _integer(text, 0, None, "a number")


def count(text: str) -> int:
    """Return a positive integer."""
    return _integer(text, 1, None, "a number")


def _integer(text: str, low: int, high: int | None, what: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if number < low or (high is not None and number > high):
        bounds = f"from {low}" if high is None else f"{low} to {high}"
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}: {bounds}")
    return number


def seconds(text: str) -> float:
    """Return a time in seconds; 0 is for ever."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, such as 30 or 0.5")
    return value


def ae_title(text: str) -> str:
    """Return an AE title (PS3.8 9.3.2)."""
    try:
        return check_ae_title(text)
    except InvalidNameError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def directory(text: str) -> "Path":
    """Return the path of a directory, which need not be there yet."""
    from pathlib import Path  # noqa: PLC0415 - only what is used is loaded

    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file, and has to be a directory")
    return path
