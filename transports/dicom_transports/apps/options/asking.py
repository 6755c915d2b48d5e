"""How a query runs: as often as it is wanted, cancelled after so many responses, ended by release or abort."""

import argparse
from collections.abc import AsyncIterator
from typing import Any

from dicom_transports.apps.options import carrying, parsing

__all__ = ["add_arguments", "responses"]


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
    arguments: argparse.Namespace, association: Any, results: Any, message_id: int
) -> AsyncIterator[Any]:
    """Yield the responses of an operation, the last one included; cancel it where the user wants that."""
    number = 0
    async for status, dataset in carrying.each(results):
        yield status, dataset
        number += 1
        if number == arguments.cancel:
            await carrying.settled(association.send_c_cancel(message_id))
