"""Trace of what passes, live.

Listens, connects each client to the target, passes on what both send without a change, and tells what they say: as
"dicom-proto trace" does of a capture, while it happens. Let the client call the tap instead of the peer.

An end that closes its direction, or resets the connection, does so at the other end as well. What is encrypted passes,
and cannot be read. Ctrl-C or SIGTERM ends it, and closes what is open; with --html the page is complete then.
"""

import argparse
import sys
from typing import TYPE_CHECKING, Final

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import parsing, saying, tracing
from dicom_transports.apps.stopping import stoppable

if TYPE_CHECKING:
    from dicom_transports.apps.trace.proxy import Address

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "pass connections on to a peer, and tell what passes"
EXAMPLES: Final = [
    ("11112 archive.example.org:104", "a ladder of what passes between clients of port 11112 and the archive"),
    ("localhost:11112 localhost:104 --json", "for programs; for clients on this machine alone"),
    ("11112 archive.example.org:104 --html trace.html --connections 1", "a page of the next connection"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("listen", metavar="[HOST:]PORT", type=_listen, help="where to listen")
    parser.add_argument("target", metavar="HOST:PORT", type=_target, help="what to connect clients to")
    tracing.add_arguments(parser)
    group = parser.add_argument_group("tap")
    group.add_argument("--connections", metavar="N", type=parsing.count, help="end after so many connections")
    group.add_argument(
        "--at-once",
        metavar="N",
        type=parsing.count,
        default=100,
        help="so many connections at a time, more wait (default: %(default)s)",
    )
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Listen until it is enough."""
    import asyncio  # noqa: PLC0415 - not for --help

    from dicom_transports.apps.trace.proxy import Proxy  # noqa: PLC0415

    saying.set_up_logging(arguments)

    def listening(where: str) -> None:
        if not arguments.quiet:
            print(f"listening at {where}", file=sys.stderr, flush=True)

    async def serve() -> None:
        with tracing.sink(arguments, f"tap of {arguments.target[0]}:{arguments.target[1]}", live=True) as sink:
            proxy = Proxy(
                arguments.target,
                sink,
                values=arguments.values,
                pdus=arguments.pdus,
                at_once=arguments.at_once,
                most=arguments.connections,
            )
            await proxy.serve(arguments.listen, listening)

    arguments.port = arguments.listen[1]
    try:
        with stoppable():
            asyncio.run(serve())
    except KeyboardInterrupt:
        return Exit.ALL  # that is how it ends
    except BaseExceptionGroup as group:
        raise _first(group) from None
    return Exit.ALL


def _first(error: BaseException) -> BaseException:
    """Return the first of what tasks have raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _listen(text: str) -> "Address":
    host, colon, number = text.rpartition(":")
    return (_host(host) if colon else "", 0 if number == "0" else parsing.port(number))


def _target(text: str) -> "Address":
    host, _, number = text.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return _host(host), parsing.port(number)


def _host(text: str) -> str:
    """Return a host without the brackets that an IPv6 address needs before a colon."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text
