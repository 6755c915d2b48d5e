"""Storage SCP.

Stores what it is sent (C-STORE, PS3.4 Annex B), and answers C-ECHO, until Ctrl-C or SIGTERM. Every storage SOP class is
accepted in every transfer syntax, unless some are chosen. An object is on disk before it is answered with Success,
unless --fsync none is given; a file under its final name is always complete.
"""

import argparse
from typing import Final

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import carrying, contexts, keeping, saying, serving

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "receive objects (C-STORE)"
EXAMPLES: Final = [
    ("11112 -od incoming", "everything that comes, into a directory"),
    ("11112 -od incoming --template '{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm'", "by patient and study"),
    ("11112 -od incoming --exec convert-image --input {path}", "with a program for each object"),
    ("-aet ARCHIVE 2762 +tls key.pem certificate.pem +cf ca.pem", "over TLS, for clients with a certificate"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    serving.add_arguments(parser)
    keeping.add_arguments(parser)
    contexts.add_sop_classes(parser.add_argument_group("SOP classes"), "accept")
    contexts.add_syntaxes(parser, "accept")
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Serve."""
    from dicom_proto.sop_class import Verification  # noqa: PLC0415 - not for --help

    saying.set_up_logging(arguments, "WARNING")
    ae = carrying.adapter(arguments).AE(arguments.own_aet)
    serving.apply(ae, arguments)
    ae.add_supported_context(Verification)
    contexts.support_storage(ae, arguments)
    with keeping.kept_in(arguments) as kept:
        code = serving.serve(arguments, ae, [kept.handler])
        kept.sum_up()
    return code
