"""Decoders beside each other: ours, pynetdicom's, pynetdicom2's and dcmjs-dimse's, on the same PDUs.

    python -m tests.decoders.compare

Each PDU is valid, or breaks one rule of ``dicom_proto.testing.faults``. What is printed is the table of
docs/testing.md: for each rule, who refuses what breaks it. Decoders that are not installed have no column.
"""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from shutil import which

from attrs import evolve

from dicom_proto.errors import PDUError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.testing.faults import FAULTS
from dicom_proto.testing.samples import PDUS, STRICT
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, decode_pdu
from tests.interop.peers import ENVIRONMENT, NODE_MODULES, PYTHON_PEERS

__all__ = ["DECODERS", "compare", "inputs", "main", "verdict"]

FOLDER = Path(__file__).parent
SEEDS = range(5)
STRICTEST = evolve(STRICT, missing_transfer_syntax=True)  # which a rejected context need not have
RULES = [fault for fault in FAULTS if fault.label != "unknown-pdu-type"]  # of which no decoder is asked
Decoder = Callable[[Iterable[bytes]], list[bool]]


def ours(pdus: Iterable[bytes], tolerance: Tolerance = STRICTEST) -> list[bool]:
    """Decode; tell of each PDU whether it is accepted."""

    def accepts(pdu: bytes) -> bool:
        try:
            decode_pdu(pdu[0], pdu[HEADER_LENGTH:], tolerance=tolerance)
        except PDUError:
            return False
        return True

    return list(map(accepts, pdus))


def pynetdicom(pdus: Iterable[bytes]) -> list[bool]:
    """Decode with pynetdicom; it checks UIDs and the like when a record is made a primitive."""
    from pynetdicom import pdu as theirs  # noqa: PLC0415 - it need not be installed

    kinds = [theirs.A_ASSOCIATE_RQ, theirs.A_ASSOCIATE_AC, theirs.A_ASSOCIATE_RJ, theirs.P_DATA_TF]
    kinds += [theirs.A_RELEASE_RQ, theirs.A_RELEASE_RP, theirs.A_ABORT_RQ]

    def accepts(pdu: bytes) -> bool:
        try:
            decoded = kinds[pdu[0] - 1]()
            decoded.decode(pdu)
            decoded.to_primitive()
        except Exception:
            return False
        return True

    with warnings.catch_warnings(action="ignore"):
        return list(map(accepts, pdus))


def _program(*command: str) -> Decoder:
    def decode(pdus: Iterable[bytes]) -> list[bool]:
        text = "".join(f"{pdu.hex()}\n" for pdu in (PDUS["associate-rq-full"], *pdus))
        ended = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, timeout=120, env=ENVIRONMENT
        )
        answers = [line for line in ended.stdout.splitlines() if line.startswith("= ")]  # other lines are logs
        return [answer == "= accepted" for answer in answers[1:]]

    return decode


def _installed() -> dict[str, Decoder]:
    found: dict[str, Decoder] = {"ours, strict": ours, "ours": partial(ours, tolerance=DEFAULT_TOLERANCE)}
    if find_spec("pynetdicom"):
        found["pynetdicom"] = pynetdicom
    if (PYTHON_PEERS / "bin" / "python").exists():
        found["pynetdicom2"] = _program(str(PYTHON_PEERS / "bin" / "python"), str(FOLDER / "decode_pynetdicom2.py"))
    if which("node") and (NODE_MODULES / "dcmjs-dimse").is_dir():
        found["dcmjs-dimse"] = _program("node", str(FOLDER / "decode_dcmjs.js"))
    return found


DECODERS = _installed()


def inputs() -> dict[str, list[bytes]]:
    """Return what is decoded, by the label of the rule that it breaks; ``valid`` for none."""
    broken = {
        fault.label: [
            _as_read(fault.apply(data, Random(seed)))
            for data in PDUS.values()
            if data[0] in fault.types
            for seed in SEEDS
        ]
        for fault in RULES
    }
    return {"valid": list(PDUS.values()), **{label: list(dict.fromkeys(pdus)) for label, pdus in broken.items()}}


def _as_read(pdu: bytes) -> bytes:
    """Return what a decoder gets: no more than the length field says."""
    return pdu[: HEADER_LENGTH + int.from_bytes(pdu[2:HEADER_LENGTH], "big")]


def verdict(accepted: list[bool]) -> str:
    """Say in a word what a decoder does with several inputs."""
    return "accepts" if all(accepted) else "refuses" if not any(accepted) else "some"


def compare() -> dict[str, dict[str, str]]:
    """Return the verdict of each decoder for each label."""
    cases = inputs()
    flat = [pdu for pdus in cases.values() for pdu in pdus]
    table: dict[str, dict[str, str]] = {label: {} for label in cases}
    for name, decode in DECODERS.items():
        answers = decode(flat)
        if len(answers) != len(flat):
            raise RuntimeError(f"{name} answered {len(answers)} of {len(flat)} inputs")
        at = 0
        for label, pdus in cases.items():
            table[label][name] = verdict(answers[at : at + len(pdus)])
            at += len(pdus)
    return table


def main() -> int:
    """Print the table; return 1 if ours refuses what is valid."""
    clauses = {fault.label: fault.clause for fault in RULES}
    table = compare()
    print("|", " | ".join(["Input", "Clause", *DECODERS]), "|")
    print("|", " | ".join(["---"] * (2 + len(DECODERS))), "|")
    for label, row in table.items():
        print("|", " | ".join([label, clauses.get(label, ""), *row.values()]), "|")
    return int(table["valid"]["ours"] != "accepts")


if __name__ == "__main__":
    sys.exit(main())
