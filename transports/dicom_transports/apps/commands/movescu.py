"""Retrieve SCU, to a destination.

Asks a peer to send objects to another application entity (C-MOVE, PS3.4 Annex C): to whoever has the AE title of -aem,
or to this command itself, if it is given a port with +P. The peer has to know that AE title, with host and port.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, Final

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import asking, carrying, contexts, keeping, keys, network, parsing, saying
from dicom_transports.apps.stopping import stoppable

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "ask for objects to be sent to somebody, or here (C-MOVE)"
EXAMPLES: Final = [
    (
        "-aec ARCHIVE -aem WORKSTATION archive.example.org 104 -k QueryRetrieveLevel=STUDY -k StudyInstanceUID=1.2.3",
        "a study, to a workstation",
    ),
    (
        "-aet WORKSTATION +P 11112 -od studies archive.example.org 104 -k QueryRetrieveLevel=PATIENT -P -k PatientID=7",
        "all of a patient, to here",
    ),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    group = parser.add_argument_group("destination")
    group.add_argument(
        "-aem",
        "--move-aet",
        metavar="TITLE",
        type=parsing.ae_title,
        help="the AE title that the objects are sent to (default: one's own, that of -aet)",
    )
    network.add_own_port(group, "receive them here, on this port")
    keys.add_models(parser, "Move")
    keys.add_arguments(parser)
    asking.add_arguments(parser)
    contexts.add_sop_classes(parser.add_argument_group("SOP classes, with +P"), "accept")
    contexts.add_syntaxes(parser, "accept")
    keeping.add_arguments(parser)
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Ask, and store what comes here."""
    from dicom_transports.apps.options.answers import Retrieval  # noqa: PLC0415 - not for --help

    saying.set_up_logging(arguments)
    model, identifiers = keys.model_of(arguments), keys.identifiers_of(arguments)
    destination = arguments.move_aet or arguments.calling_aet
    retrieval = Retrieval(arguments, "C-MOVE")
    receives = arguments.own_port is not None
    with keeping.kept_in(arguments) if receives else nullcontext() as kept:

        async def talk() -> None:
            ae = carrying.adapter(arguments).AE(arguments.calling_aet)
            network.apply(ae, arguments)
            ae.add_requested_context(model)
            async with (
                _receiving(arguments, destination, kept),
                carrying.entered(ae.associate(**network.associating(arguments))) as association,
            ):
                ask = partial(association.send_c_move, move_aet=destination, query_model=model)
                async for status, _ in asking.responses(arguments, association, identifiers, ask):
                    retrieval.take(status)

        try:
            with stoppable():
                carrying.carry(arguments, talk)
        finally:
            if kept is not None:
                kept.sum_up()
    return retrieval.exit()


@asynccontextmanager
async def _receiving(arguments: argparse.Namespace, ae_title: str, kept: Any) -> AsyncIterator[None]:
    """Serve what is sent here meanwhile."""
    if kept is None:
        yield
        return
    ae = carrying.adapter(arguments).AE(ae_title)
    network.set_timeouts(ae, arguments)
    ae.require_called_aet = True
    contexts.support_storage(ae, arguments)
    if not ae.supported_contexts:
        from dicom_proto.sop_class import Verification  # noqa: PLC0415

        ae.add_supported_context(Verification)
    async with carrying.served(arguments, ae, ("", arguments.own_port), evt_handlers=[kept.handler]):
        yield
