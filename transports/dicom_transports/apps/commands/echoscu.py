"""Verification SCU.

Asks a peer whether it is there and talks DICOM (C-ECHO, PS3.4 Annex A), and prints status and time of each answer.
"""

import argparse
from time import perf_counter
from typing import Any, Final

from dicom_transports.apps.exits import Exit, rate
from dicom_transports.apps.options import carrying, network, parsing, saying
from dicom_transports.apps.stopping import stoppable

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "ask whether a peer is there (C-ECHO)"
EXAMPLES: Final = [
    ("localhost 11112", "is anybody there?"),
    ("-aet SCANNER -aec ARCHIVE archive.example.org 104 --repeat 10", "ten times, with the AE titles of a site"),
    ("--tls +cf ca.pem archive.example.org 2762", "over TLS, with the authority that has issued the certificate"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    group = parser.add_argument_group("C-ECHO")
    group.add_argument("--repeat", metavar="N", type=parsing.count, default=1, help="ask so many times (default: 1)")
    group.add_argument("--abort", action="store_true", help="abort the association at the end instead of releasing it")
    carrying.add_arguments(parser, default=None)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Ask."""
    saying.set_up_logging(arguments)
    with stoppable():
        if arguments.io is None:
            statuses = _ask_lightly(arguments)
        else:
            statuses = carrying.carry(arguments, lambda: _ask(arguments))
    failed = sum(status != 0 for status in statuses)
    return rate(len(statuses) - failed, failed)


def _ask_lightly(arguments: argparse.Namespace) -> list[int]:
    """Ask without an adapter, and so without pydicom."""
    from dicom_transports.apps.light import EchoAssociation  # noqa: PLC0415 - not for --help

    statuses = []
    with EchoAssociation(**_requested(arguments)) as association:
        for _ in range(arguments.repeat):
            began = perf_counter()
            statuses.append(association.send_c_echo())
            _tell(arguments, statuses[-1], (perf_counter() - began) * 1000)
        if arguments.abort:
            association.abort()
    return statuses


async def _ask(arguments: argparse.Namespace) -> list[int]:
    """Ask over an adapter."""
    from dicom_proto.sop_class import Verification  # noqa: PLC0415

    ae = carrying.adapter(arguments).AE(arguments.calling_aet)
    network.apply(ae, arguments)
    ae.add_requested_context(Verification)
    statuses = []
    async with carrying.entered(ae.associate(**network.associating(arguments))) as association:
        for _ in range(arguments.repeat):
            began = perf_counter()
            statuses.append(int((await carrying.settled(association.send_c_echo())).Status))
            _tell(arguments, statuses[-1], (perf_counter() - began) * 1000)
        if arguments.abort:
            association.abort()
    return statuses


def _requested(arguments: argparse.Namespace) -> dict[str, Any]:
    from dicom_proto.upper_layer.timers import Timeouts  # noqa: PLC0415

    given = network.associating(arguments)
    identity = next(iter(given["ext_neg"]), None)
    acse = arguments.acse_timeout or None
    return {
        "address": (given["addr"], given["port"]),
        "titles": (arguments.calling_aet, arguments.called_aet),
        "identity": identity,
        "timeouts": Timeouts(request=acse, release=acse, response=arguments.dimse_timeout or None),
        "maximum_length": arguments.max_pdu,
        "connection_timeout": arguments.connection_timeout or None,
        "bind_address": given["bind_address"],
        "tls_args": given["tls_args"],
    }


def _tell(arguments: argparse.Namespace, status: int, milliseconds: float) -> None:
    where = f"{arguments.called_aet} at {arguments.host}:{arguments.port}"
    saying.say(arguments, f"{where}: {_describe(status)}, {milliseconds:.1f} ms")
    saying.say_json(arguments, {"status": status, "milliseconds": round(milliseconds, 3)})


def _describe(status: int) -> str:
    if not status:
        return "0x0000 Success"  # the tables of all others take their time
    from dicom_proto.status import describe  # noqa: PLC0415

    return describe(status, message="C-ECHO")
