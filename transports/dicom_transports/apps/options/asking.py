"""How a query runs: as often as it is wanted, cancelled after so many responses, ended by release or abort."""

import argparse
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from dicom_transports.apps.options import carrying, parsing

__all__ = ["add_arguments", "responses"]

_MESSAGE_ID: Final = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("how")
    group.add_argument(
        "--cancel",
        metavar="N",
        type=parsing.count,
        help="cancel after so many responses (C-CANCEL), and wait for the last one",
    )
    group.add_argument("--repeat", metavar="N", type=parsing.count, default=1, help="ask so many times (default: 1)")
    group.add_argument("--abort", action="store_true", help="abort the association at the end instead of releasing it")


async def responses(
    arguments: argparse.Namespace, association: Any, identifiers: Sequence[Any], ask: Callable[..., Any]
) -> AsyncIterator[Any]:
    """Yield the responses to queries, the last one of each included; cancel, repeat and abort as the user wants.

    Parameters
    ----------
    arguments : argparse.Namespace
        What the user wants.
    association : Association
        That of any adapter.
    identifiers : sequence of Dataset
        What is asked for.
    ask : callable
        Sends one of them: called with it and ``msg_id``, it returns the results.
    """
    for _ in range(arguments.repeat):
        for identifier in identifiers:
            number = 0
            async for status, dataset in carrying.each(ask(identifier, msg_id=_MESSAGE_ID)):
                yield status, dataset
                number += 1
                if number == arguments.cancel:
                    await carrying.settled(association.send_c_cancel(_MESSAGE_ID))
    if arguments.abort:
        association.abort()
