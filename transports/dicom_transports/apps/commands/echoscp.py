"""Verification SCP.

Answers C-ECHO (PS3.4 Annex A) until Ctrl-C or SIGTERM.
"""

import argparse
from typing import Final

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.options import carrying, saying, serving

__all__ = ["EXAMPLES", "SUMMARY", "add_arguments", "run"]

SUMMARY: Final = "answer who asks whether anybody is there (C-ECHO)"
EXAMPLES: Final = [
    ("11112", "on all addresses of this machine"),
    ("-aet ARCHIVE --require-called -ba 127.0.0.1 11112 -v", "for this machine, called by its title, with a log"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    serving.add_arguments(parser)
    carrying.add_arguments(parser)
    saying.add_arguments(parser)


def run(arguments: argparse.Namespace) -> Exit:
    """Serve."""
    from dicom_proto.sop_class import Verification  # noqa: PLC0415 - not for --help

    saying.set_up_logging(arguments, "WARNING")
    ae = carrying.adapter(arguments).AE(arguments.own_aet)
    serving.apply(ae, arguments)
    ae.add_supported_context(Verification)
    return serving.serve(arguments, ae, [])
