"""What a server listens on, whom it takes, and how it ends: the options of each command that serves."""

import argparse
from collections.abc import Iterable
from typing import Any

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import carrying, network, parsing, saying, tls
from dicom_transports.apps.stopping import stoppable

__all__ = ["add_arguments", "apply", "serve"]


def add_arguments(parser: argparse.ArgumentParser, *, needs_port: bool = True) -> None:
    """Add the port, and the options of a server; there may be commands that do something without one."""
    nargs = None if needs_port else "?"
    parser.add_argument("port", metavar="PORT", nargs=nargs, type=parsing.port, help="the port to listen on")
    group = parser.add_argument_group("server")
    group.add_argument(
        "-aet",
        "--aetitle",
        dest="own_aet",
        metavar="TITLE",
        type=parsing.ae_title,
        default="DICOM_PROTO",
        help="the AE title of the server (default: %(default)s)",
    )
    group.add_argument(
        "--require-called", action="store_true", help="reject who calls another AE title than that of the server"
    )
    group.add_argument(
        "--require-calling",
        dest="callers",
        metavar="TITLE",
        action="append",
        type=parsing.ae_title,
        help="reject who calls itself anything else; may be repeated",
    )
    group.add_argument(
        "-ba", "--bind-address", metavar="HOST", default="", help="listen on this address only (default: on all)"
    )
    group.add_argument(
        "--max-associations",
        metavar="N",
        type=parsing.count,
        default=10,
        help="serve so many associations at a time (default: %(default)s)",
    )
    group.add_argument(
        "--max-ops",
        metavar="N",
        type=parsing.natural,
        default=1,
        help="perform so many operations of an association at a time (default: 1; 0: any number)",
    )
    network.add_timeouts(group)
    network.add_pdu(group)
    group.add_argument(
        "--finish-within",
        metavar="SECONDS",
        type=parsing.seconds,
        default=10.0,
        help="after SIGTERM or Ctrl-C, associations have so long to end by themselves (default: %(default)g)",
    )
    tls.add_server_arguments(parser)


def apply(ae: Any, arguments: argparse.Namespace) -> None:
    """Set an AE as the options say."""
    network.set_timeouts(ae, arguments)
    ae.require_called_aet = arguments.require_called
    ae.require_calling_aet = arguments.callers or []
    ae.maximum_associations = arguments.max_associations
    ae.maximum_operations_performed = arguments.max_ops


def serve(arguments: argparse.Namespace, ae: Any, handlers: Iterable[Any], *, reuse_port: bool = False) -> Exit:
    """Serve associations until Ctrl-C or SIGTERM; other processes may listen on the same port, if that is said.

    Raises
    ------
    OSError
        If the port cannot be listened on.
    CommandError
        If a file that the options name cannot be used.
    """
    address = (arguments.bind_address, arguments.port)
    context = tls.server_context_of(arguments)
    options = {"ssl_context": context, "evt_handlers": list(handlers), "reuse_port": reuse_port}

    async def talk() -> None:
        async with carrying.served(arguments, ae, address, **options) as server:
            host, port, *_ = server.address
            over = " over TLS" if context else ""
            saying.say(arguments, f"{ae.ae_title} listens on {host}:{port}{over}")
            saying.say_json(arguments, {"listening": [host, port]})
            await carrying.until_stopped(arguments, server, arguments.finish_within)

    try:
        with stoppable():
            carrying.carry(arguments, talk)
    except KeyboardInterrupt:
        saying.say(arguments, "the server has ended")
    return Exit.ALL
