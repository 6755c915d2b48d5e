"""How a trace is told: as a ladder in text, as JSON lines, or as a page for a browser."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicom_transports.apps.trace.entries import Entry

__all__ = ["add_arguments", "sink"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; ``--json`` is one of all commands."""
    group = parser.add_argument_group("trace")
    group.add_argument("--html", metavar="PAGE", help="write one HTML page with the ladder drawn, instead of text")
    group.add_argument("--fields", action="store_true", help="list all fields and elements below each line of text")
    group.add_argument("--pdus", action="store_true", help="tell of each P-DATA-TF, not of messages and data sets only")
    group.add_argument(
        "--values",
        action="store_true",
        help="show the values of data sets, error comments and user names: they tell of people",
    )


@contextmanager
def sink(arguments: argparse.Namespace, title: str, *, live: bool = False) -> "Iterator[Callable[[Entry], object]]":
    """Return what takes the entries of a trace; when the block ends, it is complete.

    Parameters
    ----------
    arguments : argparse.Namespace
        What has been parsed.
    title : str
        What is traced.
    live : bool
        Whether each line is to be seen when it is written.
    """
    from dicom_transports.apps.trace.text import JSONLines, TextLadder  # noqa: PLC0415 - not for --help

    if arguments.html is None:
        form = JSONLines(sys.stdout) if arguments.json else TextLadder(sys.stdout, has_fields=arguments.fields)
        yield (lambda entry: (form(entry), sys.stdout.flush())) if live else form
        return
    from pathlib import Path  # noqa: PLC0415

    from dicom_transports.apps.trace.page import Page  # noqa: PLC0415

    with Path(arguments.html).open("w", encoding="utf-8") as out:
        page = Page(out, title)
        try:
            yield page
        finally:
            page.close()
