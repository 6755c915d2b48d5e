"""Walk the servers of others through Table 9-10: `python -m tests.interop.conformance` writes the table of the docs."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from dicom_transports.testing.walking import Finding, Outcome, walk
from tests.interop import peers

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "conformance.md"
HEAD: Final = "| Server | Cell | The standard asks | It did | Judged |\n| --- | --- | --- | --- | --- |\n"
PATIENCE: Final = 5.0


def of_program(program: str) -> str:
    """Ask a program for its version."""
    said = subprocess.run(
        [peers.require(program), "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r"\d+\.\d+\.\d+", said.stdout)
    return found[0] if found else "of unknown version"


def of_dcmjs() -> str:
    """Look dcmjs-dimse's version up where it is installed."""
    package = ROOT / ".peers" / "node_modules" / "dcmjs-dimse" / "package.json"
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])


SERVERS: Final[dict[str, tuple[Callable[[Path], peers.PeerContext], Callable[[], str], str]]] = {
    "storescp (DCMTK)": (peers.storescp, lambda: of_program("storescp"), "STORESCP"),
    "dcmqrscp (DCMTK)": (peers.dcmqrscp, lambda: of_program("dcmqrscp"), "QRSCP"),
    "Orthanc": (peers.orthanc, lambda: of_program("Orthanc"), "ORTHANC"),
    "pynetdicom storescp": (peers.pynetdicom_storescp, lambda: version("pynetdicom"), "STORESCP"),
    "dcmjs-dimse": (peers.dcmjs_storage, of_dcmjs, "ANY-SCP"),
}


def rows(name: str, findings: list[Finding]) -> Iterator[str]:
    """Yield the rows of one server: what it did otherwise than asked, and how many cells were walked."""
    reached = [finding for finding in findings if finding.outcome is not Outcome.NOT_REACHED]
    good = sum(finding.outcome is Outcome.AS_ASKED for finding in reached)
    yield f"| {name} | {len(reached)} cells | | {good} as asked | |"
    for finding in reached:
        if finding.outcome is not Outcome.AS_ASKED:
            cell = f"{finding.state.name}, {finding.event.name}: {finding.event.value}"
            yield f"| {name} | {cell} | {finding.asked} | {finding.seen} | {finding.outcome.value}: {finding.note} |"


def main() -> None:
    """Walk them all, and write the table."""
    table: list[str] = []
    for name, (start, version_of, called) in SERVERS.items():
        with TemporaryDirectory() as directory, start(Path(directory)) as peer:
            findings = list(walk(("127.0.0.1", peer.port), called=called, patience=PATIENCE))
        table += rows(f"{name} {version_of()}", findings)
    text = PAGE.read_text(encoding="utf-8")
    before, _, _ = text.partition(HEAD)
    PAGE.write_text(before + HEAD + "\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
