"""An archive as a program: ``dicom-proto qrscp`` in a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop import peers

__all__ = ["ROOT", "node"]

ROOT = Path(__file__).parents[2]


@contextmanager
def node(directory: Path, *options: str, port: int = 0) -> Iterator[peers.Peer]:
    """Serve a directory."""
    port = port or peers.free_port()
    command = [sys.executable, "-m", "dicom_transports", "qrscp", "--directory", str(directory), *options, str(port)]
    with peers.serve([*command, "-aet", "ARCHIVE", "-ba", "127.0.0.1"], port, cwd=ROOT) as peer:
        yield peer
