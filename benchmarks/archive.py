"""Archives side by side: ``python -m benchmarks.archive``.

``dicom-proto qrscp`` beside Orthanc and DCMTK's ``dcmqrscp``, each started anew for each round, in turns: studies are
stored by several ``storescu`` at a time, and then asked for by ``findscu``. DCMTK's programs have ``TCP_NODELAY=1``.
What is missing is left out.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from attrs import frozen
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from benchmarks.processes import free_port, started

__all__ = ["main"]

HOST: Final = "127.0.0.1"
_ENVIRONMENT: Final = os.environ | {"TCP_NODELAY": "1"}
_SENDERS: Final = 4
_QUERIES: Final = 20
_STUDIES: Final = 40


@frozen
class Contestant:
    """An archive.

    Parameters
    ----------
    name : str
        What it is called in the table.
    program : str
        What has to be installed for it.
    command : callable
        Returns the command that serves a directory at a port, under the AE title ``ARCHIVE``.
    """

    name: str
    program: str
    command: Callable[[Path, int], Sequence[str]]


def _ours(fsync: str) -> Callable[[Path, int], Sequence[str]]:
    command = [sys.executable, "-m", "dicom_transports", "qrscp", "-aet", "ARCHIVE", "--fsync", fsync, "-ba", HOST]
    return lambda directory, port: [*command, "--directory", str(directory), str(port)]


def _orthanc(directory: Path, port: int) -> Sequence[str]:
    settings = {
        "DicomAet": "ARCHIVE", "DicomPort": port, "HttpPort": free_port(), "StorageDirectory": str(directory),
        "IndexDirectory": str(directory), "DicomAlwaysAllowFind": True, "SyncStorageArea": True, "Plugins": [],
    }  # fmt: skip
    path = directory / "orthanc.json"
    path.write_text(json.dumps(settings))
    return [shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin") or "Orthanc", str(path)]


def _dcmqrscp(directory: Path, port: int) -> Sequence[str]:
    (directory / "area").mkdir()
    path = directory / "dcmqrscp.cfg"
    path.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {directory / 'area'} RW (500, 1024gb) ANY\nAETable END\n"
    )
    return ["dcmqrscp", "--config", str(path)]


CONTESTANTS: Final = (
    Contestant("qrscp", sys.executable, _ours("group")),
    Contestant("Orthanc", "Orthanc", _orthanc),
    Contestant("qrscp --fsync none", sys.executable, _ours("none")),
    Contestant("dcmqrscp", "dcmqrscp", _dcmqrscp),
)


def _is_there(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is not None


def _write(directory: Path, count: int, side: int) -> list[Path]:
    """Write images, a folder for each sender."""
    image = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    image.Rows = image.Columns = side
    image.PixelData = bytes(side * side * 2)
    folders = [directory / str(number) for number in range(_SENDERS)]
    for folder in folders:
        folder.mkdir(parents=True)
    for number in range(count):
        study = number // max(1, count // _STUDIES)
        image.PatientID, image.PatientName = f"P{study}", f"Name{study}^First"
        image.StudyInstanceUID, image.SeriesInstanceUID = UID(f"1.2.3.{study}"), UID(f"1.2.3.{study}.1")
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{study}.1.{number}")
        image.save_as(folders[study % _SENDERS] / f"{number}.dcm")
    return folders


def _store(port: int, folders: Sequence[Path]) -> tuple[float, int]:
    """Return how long it takes to store all, and how many of those who sent were told of a failure."""
    command = ["storescu", "-aec", "ARCHIVE", "-R", "-pdu", "131072", "+sd", HOST, str(port)]
    began = perf_counter()
    senders = [subprocess.Popen([*command, str(folder)], env=_ENVIRONMENT) for folder in folders]
    codes = [sender.wait() for sender in senders]
    return perf_counter() - began, sum(map(bool, codes))


def _find(port: int, keys: Sequence[str], times: int) -> float:
    """Return how long a query takes."""
    command = ["findscu", "-aec", "ARCHIVE", "-S", "--repeat", str(times), HOST, str(port)]
    options = [option for key in ("QueryRetrieveLevel=STUDY", *keys) for option in ("-k", key)]
    began = perf_counter()
    subprocess.run([*command, *options], env=_ENVIRONMENT, check=True, capture_output=True)
    return (perf_counter() - began) / times


@contextmanager
def _serving(contestant: Contestant) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="dicom-archive-") as name:
        port = free_port()
        with started(contestant.command(Path(name), port), port):
            yield port


def main(arguments: list[str] | None = None) -> int:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=2000, help="of 526 KB")
    parser.add_argument("--objects", type=int, default=20_000, help="of 4 KB")
    options = parser.parse_args(arguments)
    there = [one for one in CONTESTANTS if _is_there(one.program)]
    for one in set(CONTESTANTS) - set(there):
        print(f"{one.name} is not installed, and left out")
    for what, count, side in (("images of 526 KB", options.images, 512), ("objects of 4 KB", options.objects, 32)):
        with tempfile.TemporaryDirectory(prefix="dicom-archive-") as name:
            folders = _write(Path(name), count, side)
            times: dict[str, list[tuple[float, float]]] = {one.name: [] for one in there}
            failed = dict.fromkeys(times, 0)
            for _ in range(options.rounds):
                for one in there:
                    with _serving(one) as port:
                        stored, refused = _store(port, folders)
                        failed[one.name] += refused
                        found = _find(port, ["PatientName=", "StudyInstanceUID=1.2.3.0"], _QUERIES)
                        times[one.name].append((stored, found))
        print(f"\n{count} {what}, {_SENDERS} storescu at a time; {_STUDIES} studies")
        for contestant, pairs in times.items():
            stored, found = map(statistics.median, zip(*pairs, strict=True))
            line = f"  {contestant:20} {count / stored:8.0f} objects/s  {found * 1000:7.2f} ms a query"
            told = f"  {failed[contestant]} senders were refused objects" if failed[contestant] else ""
            print(line + told, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
