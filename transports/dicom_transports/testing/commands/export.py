"""Write the seed corpus and the dictionary that AFL++ and libFuzzer read.

DIR/pdu has a file for each PDU, DIR/command_set one for each command set (PS3.7), and DIR/dicom.dict the short
strings that mean something: afl-fuzz -x DIR/dicom.dict -i DIR/pdu ..., or -dict=DIR/dicom.dict DIR/pdu for libFuzzer.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dicom_proto.testing.samples import COMMANDS, PDUS, dictionary

__all__ = ["SUMMARY", "add_arguments", "export", "run"]

SUMMARY = "write the seed corpus and the dictionary that AFL++ and libFuzzer read"


def add_arguments(parser: ArgumentParser) -> None:
    """Say which arguments the command takes."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; it is made if it is not there")


def export(folder: Path) -> int:
    """Write the corpus and the dictionary into a folder; return how many inputs there are."""
    corpora = {
        "pdu": PDUS,
        "command_set": {
            f"{name}-{number}": data for name, several in COMMANDS.items() for number, data in enumerate(several)
        },
    }
    for name, inputs in corpora.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for label, data in inputs.items():
            (folder / name / label).write_bytes(data)
    (folder / "dicom.dict").write_text(dictionary(), encoding="ascii")
    return sum(map(len, corpora.values()))


def run(options: Namespace) -> int:
    """Run the command; return its exit status."""
    print(f"{options.folder}: {export(options.folder)} inputs and dicom.dict")
    return 0
