"""The command line of the kit: each module of ``commands`` is a command, loaded when it is asked for.

May change. A command has ``SUMMARY`` (a line), ``add_arguments(parser)`` and ``run(options)``, which returns the exit
status; its docstring is what ``--help`` says. What stands behind ``--`` is a program to start: ``options.program``, a
list of words that is empty if there is none.
"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Final, Protocol, cast

from dicom_transports.testing import commands

__all__ = ["NAMES", "Command", "load", "main"]

_PROGRAM: Final = "python -m dicom_transports.testing"
_USAGE: Final = 2

NAMES: Final = tuple(sorted(found.name for found in iter_modules(commands.__path__)))
"""The names of the commands."""


class Command(Protocol):
    """What a module of ``dicom_transports.testing.commands`` has."""

    SUMMARY: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say which arguments the command takes."""

    def run(self, options: Namespace) -> int:
        """Run the command; return its exit status."""


def load(name: str) -> Command:
    """Import the module of a command."""
    return cast(Command, import_module(f"{commands.__name__}.{name}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command and its arguments; by default those of the process.
    """
    match list(sys.argv[1:] if arguments is None else arguments):
        case [] | ["-h" | "--help", *_] as given:
            print(_overview())
            return 0 if given else _USAGE
        case [name, *rest] if name in NAMES:
            return load(name).run(_parse(name, rest))
        case [name, *_]:
            print(f"{_PROGRAM}: there is no command {name!r}: there are {', '.join(NAMES)}", file=sys.stderr)
    return _USAGE


def _overview() -> str:
    width = max(map(len, NAMES))
    lines = [f"  {name:{width}}  {load(name).SUMMARY}" for name in NAMES]
    return "\n".join([f"usage: {_PROGRAM} COMMAND [options] ...", "", "commands:", *lines])


def _parse(name: str, words: list[str]) -> Namespace:
    at = words.index("--") if "--" in words else len(words)
    command = load(name)
    text = command.__doc__ or ""
    parser = ArgumentParser(f"{_PROGRAM} {name}", description=text, formatter_class=RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    options = parser.parse_args(words[:at])
    options.program = words[at + 1 :]
    return options
