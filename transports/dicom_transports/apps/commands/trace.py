"""Trace of a capture.

Reads a capture file (pcap, pcapng), and tells of every TCP connection in it that carries DICOM, on whatever port: of
PDUs, messages and data sets, of the states of both ends, and of what breaks the standard, with its clause. The capture
is read once, in bounded memory, so it may be of any size, and come through a pipe.

Of data sets, names and lengths of the elements are shown. Their values, which tell of patients, are only with --values.
Exit status: 1 if the capture is damaged or truncated, 3 if there is no DICOM in it.
"""

import argparse
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import saying, tracing

if TYPE_CHECKING:
    from dicom_transports.apps.trace.reading import Outcome

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "tell what passes in a capture file (pcap, pcapng)"
EXAMPLES: Final = [
    ("capture.pcapng", "a ladder of PDUs, messages and data sets"),
    ("capture.pcap --html trace.html", "the same drawn, as a page for a browser"),
    ("capture.pcap --json --values", "for programs, with the values of data sets"),
    ("-", "what a pipe brings: tcpdump -w - tcp | dicom-proto trace -"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("file", metavar="FILE", help="the capture; - is the standard input")
    tracing.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Trace."""
    from dicom_transports.apps.trace.capture import CaptureError  # noqa: PLC0415 - not for --help
    from dicom_transports.apps.trace.reading import read_capture  # noqa: PLC0415

    saying.set_up_logging(arguments)
    with ExitStack() as stack:
        file = _open(arguments.file, stack)
        sink = stack.enter_context(tracing.sink(arguments, arguments.file))
        try:
            outcome = read_capture(file, sink, values=arguments.values, pdus=arguments.pdus)
        except CaptureError as error:
            raise CommandError(f"{arguments.file}: {error}") from error
    return _rate(outcome, arguments)


def _open(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    from pathlib import Path  # noqa: PLC0415

    try:
        return stack.enter_context(Path(name).open("rb"))
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}") from error


def _rate(outcome: "Outcome", arguments: argparse.Namespace) -> Exit:
    if not outcome.associations:
        raise CommandError(f"{arguments.file}: there is no DICOM in it that can be read: {outcome}", Exit.NONE)
    return Exit.SOME if outcome.is_damaged else Exit.ALL
