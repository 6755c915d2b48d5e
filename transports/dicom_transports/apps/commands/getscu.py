"""Retrieve SCU, on the association that it asks on.

Asks for objects (C-GET, PS3.4 Annex C), and stores them: an object is on disk before it is answered with Success,
unless --fsync none is given. An association has 128 presentation contexts, so that not every storage SOP class can be
proposed at a time; --sop-class chooses.
"""

import argparse
from functools import partial
from typing import Any, Final

from dicom_transports.apps.exits import CommandError, Exit
from dicom_transports.apps.options import asking, carrying, contexts, keeping, keys, network, saying
from dicom_transports.apps.stopping import stoppable

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "ask for objects, and receive them on the same association (C-GET)"
EXAMPLES: Final = [
    (
        "-aec ARCHIVE archive.example.org 104 -k QueryRetrieveLevel=STUDY -k StudyInstanceUID=1.2.3 -od studies",
        "a study",
    ),
    (
        "archive.example.org 104 -k QueryRetrieveLevel=SERIES -k StudyInstanceUID=1.2.3 -k SeriesInstanceUID=1.2.3.4"
        " --sop-class CTImageStorage +xv",
        "the CT images of a series, JPEG 2000 preferred",
    ),
]
_MOST_CONTEXTS: Final = 127  # beside that of the query (PS3.8 9.3.2.2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    network.add_arguments(parser)
    keys.add_models(parser, "Get")
    keys.add_arguments(parser)
    asking.add_arguments(parser)
    contexts.add_sop_classes(parser.add_argument_group("SOP classes"), "take")
    contexts.add_syntaxes(parser, "take")
    keeping.add_arguments(parser)
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Ask and store."""
    from dicom_transports.apps.options.answers import Retrieval  # noqa: PLC0415 - not for --help

    saying.set_up_logging(arguments)
    model, identifiers = keys.model_of(arguments), keys.identifiers_of(arguments)
    retrieval = Retrieval(arguments, "C-GET")
    with keeping.kept_in(arguments) as kept:

        async def talk() -> None:
            ae = _entity(arguments, model)
            given = network.associating(arguments)
            given["ext_neg"] += _roles(ae)
            async with carrying.entered(ae.associate(**given, evt_handlers=[kept.handler])) as association:
                ask = partial(association.send_c_get, query_model=model)
                async for status, _ in asking.responses(arguments, association, identifiers, ask):
                    retrieval.take(status)

        try:
            with stoppable():
                carrying.carry(arguments, talk)
        finally:
            kept.sum_up()
    return retrieval.exit()


def _entity(arguments: argparse.Namespace, model: str) -> Any:
    from dicom_proto.offers.contexts import StoragePresentationContexts  # noqa: PLC0415

    chosen = contexts.sop_classes_of(arguments) or [one.abstract_syntax for one in StoragePresentationContexts]
    if len(chosen) > _MOST_CONTEXTS and arguments.sop_classes:
        raise CommandError(f"{len(chosen)} SOP classes are too many for an association: at most {_MOST_CONTEXTS}")
    ae = carrying.adapter(arguments).AE(arguments.calling_aet)
    network.apply(ae, arguments)
    ae.add_requested_context(model)
    syntaxes = contexts.syntaxes_of(arguments)
    for uid in chosen[:_MOST_CONTEXTS]:
        ae.add_requested_context(uid, syntaxes)
    return ae


def _roles(ae: Any) -> list[Any]:
    """Return what proposes to be the SCP of what is to come (PS3.7 D.3.3.4)."""
    from dicom_proto.offers.contexts import build_role  # noqa: PLC0415

    return [build_role(context.abstract_syntax, scp_role=True) for context in ae.requested_contexts[1:]]
