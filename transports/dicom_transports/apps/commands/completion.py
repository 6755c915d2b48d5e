"""Shell completion.

Prints a script that completes commands, options, the choices of options and the names of files. It is made from the
commands that there are: make it again when this library has been updated.
"""

import argparse
from typing import Final

from dicom_transports.apps.exits import Exit

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "print a script for the completion of a shell"
EXAMPLES: Final = [
    ("bash > ~/.local/share/bash-completion/completions/dicom-proto", "for bash"),
    ("zsh > ~/.zfunc/_dicom-proto", "for zsh, if ~/.zfunc is in $fpath"),
    ("fish > ~/.config/fish/completions/dicom-proto.fish", "for fish"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")


def run(arguments: argparse.Namespace) -> Exit:
    """Print the script."""
    from dicom_transports.apps.completing import script  # noqa: PLC0415 - not for --help

    print(script(arguments.shell, arguments.parsers()), end="")
    return Exit.ALL
