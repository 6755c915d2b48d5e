"""Who calls whom, and how long that may take: the options of every command that requests an association."""

import argparse
from typing import Any, Final

from dicom_transports.apps.options import identity, parsing, tls

__all__ = ["add_arguments", "add_own_port", "add_pdu", "add_timeouts", "apply", "associating", "set_timeouts"]

_SHORTEST_PDU: Final = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add host and port, and the options of an association, TLS and user identity."""
    parser.add_argument("host", metavar="HOST", help="host name or IP address of the peer")
    parser.add_argument("port", metavar="PORT", type=parsing.port, help="the port that it listens on")
    group = parser.add_argument_group("association")
    group.add_argument(
        "-aet",
        "--aetitle",
        "--calling-aet",
        dest="calling_aet",
        metavar="TITLE",
        type=parsing.ae_title,
        default="DICOM_PROTO",
        help="the calling AE title: one's own (default: %(default)s)",
    )
    group.add_argument(
        "-aec",
        "--call",
        "--called-aet",
        dest="called_aet",
        metavar="TITLE",
        type=parsing.ae_title,
        default="ANY-SCP",
        help="the called AE title: the peer's (default: %(default)s)",
    )
    add_timeouts(group)
    group.add_argument(
        "-to",
        "--timeout",
        "--connection-timeout",
        dest="connection_timeout",
        metavar="SECONDS",
        type=parsing.seconds,
        default=15.0,
        help="wait so long for the connection (default: %(default)g; 0: as long as the system does)",
    )
    add_pdu(group)
    group.add_argument("-ba", "--bind-address", metavar="HOST", help="the local address to connect from")
    tls.add_client_arguments(parser)
    identity.add_arguments(parser)


def add_own_port(group: Any, what: str) -> None:
    """Add the port that a client listens on; ``what`` says for what."""
    group.add_argument("+P", "--receive", dest="own_port", metavar="PORT", type=parsing.port, help=what)


def add_timeouts(group: Any) -> None:
    """Add how long to wait for answers."""
    group.add_argument(
        "-ta",
        "--acse-timeout",
        metavar="SECONDS",
        type=parsing.seconds,
        default=30.0,
        help="wait so long for answers about the association (default: %(default)g; 0: for ever)",
    )
    group.add_argument(
        "-td",
        "--dimse-timeout",
        metavar="SECONDS",
        type=parsing.seconds,
        default=30.0,
        help="wait so long for a word of the peer that owes a response (default: %(default)g; 0: for ever)",
    )


def add_pdu(group: Any) -> None:
    """Add the longest PDU."""
    group.add_argument(
        "-pdu",
        "--max-pdu",
        metavar="BYTES",
        type=_pdu,
        default=1 << 17,
        help="the longest P-DATA-TF that is wanted (default: %(default)s; 0: any)",
    )


def _pdu(text: str) -> int:
    number = parsing.natural(text)
    if number and number < _SHORTEST_PDU:
        raise argparse.ArgumentTypeError(f"{text!r} is not a maximum length: 0, or from {_SHORTEST_PDU} bytes")
    return number


def set_timeouts(ae: Any, arguments: argparse.Namespace) -> None:
    """Set the timeouts of an AE, and its longest PDU."""
    ae.acse_timeout = arguments.acse_timeout
    ae.dimse_timeout = arguments.dimse_timeout
    ae.maximum_pdu_size = arguments.max_pdu


def apply(ae: Any, arguments: argparse.Namespace) -> None:
    """Set an AE of any adapter as the options say."""
    set_timeouts(ae, arguments)
    ae.connection_timeout = arguments.connection_timeout


def associating(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what ``associate`` of an AE is called with, but for contexts and handlers; and ``send_c_stores``.

    Raises
    ------
    CommandError
        If a file that the options name cannot be used.
    """
    user = identity.identity_of(arguments)
    return {
        "addr": arguments.host,
        "port": arguments.port,
        "ae_title": arguments.called_aet,
        "ext_neg": [] if user is None else [user],
        "bind_address": None if arguments.bind_address is None else (arguments.bind_address, 0),
        "tls_args": tls.client_arguments(arguments),
    }
