"""The command line: ``dicom-proto COMMAND ...``, or ``python -m dicom_transports COMMAND ...``.

A command is a module that is named in :data:`COMMANDS`, and loaded when it is asked for. To add one:

1. Write ``apps/commands/NAME.py``. It has ``SUMMARY``, one line; ``EXAMPLES``, pairs of arguments and what they are
   for; a docstring, which is the description in ``--help``; ``add_arguments(parser)``; and ``run(arguments)``, which
   returns an :class:`~dicom_transports.apps.exits.Exit`.
2. Enter it in :data:`COMMANDS`.
3. Take the options that others have as well from ``apps/options``: a module there adds a group to a parser, and makes
   of the parsed arguments what the API takes.

Start-up is quick, because only what is used is loaded: at its top a command imports ``argparse`` and modules of
``apps`` that keep to the same rule; pydicom, rich and the adapters it imports in ``run``. What that raises becomes one
line that says what to do (:mod:`~dicom_transports.apps.explaining`); only with ``-d`` there is a traceback.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Final

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options.parsing import Parser

__all__ = ["COMMANDS", "load", "main", "parser_for"]

_FOLDER: Final = "dicom_transports.apps.commands"

COMMANDS: Final[dict[str, str]] = {
    name: f"{_FOLDER}.{name}"
    for name in (
        "echoscu",
        "echoscp",
        "storescu",
        "storescp",
        "findscu",
        "getscu",
        "movescu",
        "worklist",
        "mpps",
        "commit",
        "qrscp",
        "trace",
        "tap",
        "probe",
        "completion",
    )
}
"""The module of each command."""


def load(name: str) -> ModuleType:
    """Import the module of a command."""
    return import_module(COMMANDS[name])


def parser_for(name: str, module: ModuleType) -> Parser:
    """Make the parser of a command."""
    parser = Parser(name, module.SUMMARY, module.__doc__ or "", module.EXAMPLES)
    module.add_arguments(parser)
    parser.set_defaults(parsers=_parsers)
    return parser


def _parsers() -> dict[str, Parser]:
    """Return the parsers of all commands, for the one that completes them."""
    return {name: parser_for(name, load(name)) for name in COMMANDS}


def _overview() -> str:
    """Say what commands there are."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {load(name).SUMMARY}" for name in COMMANDS]
    return "\n".join(
        [
            "usage: dicom-proto COMMAND [options] ...",
            "",
            "DICOM over the network: ask, send, receive.",
            "",
            "commands:",
            *lines,
            "",
            "dicom-proto COMMAND --help tells about one. Exit status: 0 all was done, 1 some, 2 wrong usage,",
            "3 nothing, 4 no association, 5 this side cannot, 130 interrupted, 143 terminated.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The command and its arguments; by default those of the process.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    match given:
        case [] | ["-h" | "--help", *_]:
            print(_overview())
            return Exit.ALL if given else Exit.USAGE
        case ["--version", *_]:
            from dicom_proto import __version__  # noqa: PLC0415 - only what is used is loaded

            print(f"dicom-proto {__version__}")
            return Exit.ALL
        case [name, *rest] if name in COMMANDS:
            return _run(name, rest)
    print(f"dicom-proto: there is no command {given[0]!r}: dicom-proto --help lists them", file=sys.stderr)
    return Exit.USAGE


def _run(name: str, rest: list[str]) -> int:
    module = load(name)
    try:
        arguments = parser_for(name, module).parse_args(rest)
    except SystemExit as end:  # argparse has said what is wrong, or printed the help
        return Exit.USAGE if end.code else Exit.ALL
    try:
        code = module.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.SOME
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - each becomes a line for the user
        return _fail(name, error, arguments)
    return int(code)


def _fail(name: str, error: BaseException, arguments: argparse.Namespace) -> int:
    """Say in one line why a command has failed; with ``-d`` the traceback as well."""
    from dicom_transports.apps.explaining import explain  # noqa: PLC0415 - only what is used is loaded

    if getattr(arguments, "debug", False):
        import traceback  # noqa: PLC0415

        traceback.print_exception(error)
    told = explain(error, arguments)
    print(f"dicom-proto {name}: {told}", file=sys.stderr)
    return told.code
