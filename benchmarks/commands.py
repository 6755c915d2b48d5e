"""The commands beside what they stand for: ``python -m benchmarks.commands``.

Whole processes, from their start to their exit, in turns, against the same SCP: ``dicom-proto echoscu`` beside
pynetdicom's, and ``dicom-proto storescu`` of 500 CT images beside a program that calls the library. What counts is the
ratio of each pair; its median does not depend much on what else the machine does meanwhile.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Final

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

__all__ = ["compare", "main"]

HOST: Final = "127.0.0.1"
_IMAGES: Final = 500
_SIDE: Final = 512  # pixels
_COMMAND: Final = [sys.executable, "-m", "dicom_transports"]
# What somebody writes who calls the library instead.
_LIBRARY: Final = """
import sys
from pathlib import Path
from dicom_transports.blocking import AE
paths = sorted(Path(sys.argv[2]).iterdir())
statuses = [status.Status for _, status in AE().send_c_stores("127.0.0.1", int(sys.argv[1]), paths)]
sys.exit(statuses != [0] * len(paths))
"""
# What starts pynetdicom's, as its documentation does.
_THEIRS: Final = [sys.executable, "-m", "pynetdicom", "echoscu"]


@contextmanager
def _scp(directory: Path) -> Iterator[int]:
    with socket.create_server((HOST, 0)) as sock:
        port: int = sock.getsockname()[1]
    options = ["-ba", HOST, "-od", str(directory), "--fsync", "none", "--json"]
    with subprocess.Popen([*_COMMAND, "storescp", str(port), *options], stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None or "listening" not in server.stdout.readline():
            raise RuntimeError("the SCP does not listen")
        drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)  # noqa: S607 - any will do
        yield port
        server.terminate()
        drain.wait()


def _images(directory: Path) -> None:
    image = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    image.Rows = image.Columns = _SIDE
    image.PixelData = bytes(_SIDE * _SIDE * 2)
    for number in range(_IMAGES):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
        image.save_as(directory / f"{number:03}.dcm")


def _seconds(command: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return perf_counter() - began


def compare(name: str, ours: list[str], other: list[str], rounds: int) -> float:
    """Run two commands in turns, print their times, and return the median of the ratios of their pairs.

    Parameters
    ----------
    name : str
        What is compared.
    ours, other : list of str
        The commands.
    rounds : int
        How many pairs, after one that does not count.
    """
    pairs = [(_seconds(ours), _seconds(other)) for _ in range(rounds + 1)][1:]
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    mine, theirs = (min(column) for column in zip(*pairs, strict=True))
    print(
        f"{name}: {mine:.3f} s, beside {theirs:.3f} s (best of {rounds}); median of the ratios {ratio:.2f}", flush=True
    )
    return ratio


def main(arguments: list[str] | None = None) -> int:
    """Run the comparisons; return 1 if a ratio is beyond what is wanted of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory(prefix="dicom-commands-") as name:
        images, stored = Path(name, "images"), Path(name, "stored")
        images.mkdir()
        _images(images)
        with _scp(stored) as port:
            where = [HOST, str(port)]
            store = [*_COMMAND, "storescu", *where, str(images)]
            good = (
                compare(
                    "storescu of 500 CT images", store, [sys.executable, "-c", _LIBRARY, where[1], str(images)], rounds
                )
                <= 1.1
            )
            if find_spec("pynetdicom"):
                good &= compare("echoscu", [*_COMMAND, "echoscu", *where], [*_THEIRS, *where], rounds) <= 0.5
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
