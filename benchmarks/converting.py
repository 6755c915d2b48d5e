"""What it costs to send a large uncompressed object in another transfer syntax: ``python -m benchmarks.converting``.

Each conversion has a process of its own: element by element, as it is done while an object is sent; by decoding and
encoding all of it, as it is for what breaks a rule; and by pydicom alone, which leaves the order of the bytes in OW as
it is. What is made is handed to nobody, so what is not touched costs nothing: pixels that stay as they are go from the
file to the socket.
"""

import argparse
import struct
import sys
from collections.abc import Callable
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from benchmarks.usage import own_memory
from dicom_proto.encoding.datasets import encode, file_preamble_and_meta
from dicom_proto.encoding.sources import Source
from dicom_proto.sop_class import CTImageStorage
from dicom_transports._files.reading import as_storable

SYNTAXES: Final[dict[str, str]] = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
}
PAIRS: Final = (
    ("explicit", "implicit"),
    ("implicit", "explicit"),
    ("explicit", "big endian"),
    ("big endian", "explicit"),
)
_LOOK: Final = 0.01  # seconds between looks at the memory
_BLOCK: Final = bytes(range(256)) * (1 << 12)


def write(path: Path, transfer_syntax: str, length: int) -> None:
    """Write an object with so many bytes of Pixel Data."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, UID("1.2.3")
    dataset.BitsAllocated, dataset.PixelRepresentation = 16, 0
    dataset.add_new("PixelData", "OW", b"")
    head = encode(dataset, transfer_syntax)
    order = ">" if transfer_syntax == ExplicitVRBigEndian else "<"
    with path.open("wb") as file:
        file.write(file_preamble_and_meta(CTImageStorage, "1.2.3", transfer_syntax))
        file.write(head[:-4] + struct.pack(f"{order}L", length))
        for _ in range(length // len(_BLOCK)):
            file.write(_BLOCK)


def by_pieces(path: Path, wanted: str) -> int:
    """Convert a file as it is sent."""
    converted = as_storable(path).encode_or_convert(wanted)
    if not isinstance(converted, Source):
        raise TypeError("it has not been converted piece by piece")
    return sum(map(len, converted.pieces()))


def as_a_whole(path: Path, wanted: str) -> int:
    """Decode and encode a file."""
    return len(as_storable(path).encode(wanted))


def by_pydicom(path: Path, wanted: str) -> int:
    """Have pydicom read and write a file."""
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = UID(wanted)
    for _ in dataset:  # read each element
        pass
    out = BytesIO()
    is_implicit, is_little = wanted == ImplicitVRLittleEndian, wanted != ExplicitVRBigEndian
    dcmwrite(out, dataset, implicit_vr=is_implicit, little_endian=is_little, force_encoding=True)
    return out.tell()


HOW: Final[dict[str, Callable[[Path, str], int]]] = {
    "by pieces": by_pieces,
    "as a whole": as_a_whole,
    "pydicom": by_pydicom,
}


def _work(connection: Any, how: str, path: Path, wanted: str) -> None:
    connection.send(own_memory())
    start, used = perf_counter(), process_time()
    HOW[how](path, wanted)
    connection.send((perf_counter() - start, process_time() - used))


def measure(how: str, path: Path, wanted: str) -> tuple[float, float, int]:
    """Return the seconds that it takes, those of a processor, and by how many bytes the memory of its process grows."""
    context = get_context("forkserver")
    near, far = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(far, how, path, wanted))
    process.start()
    far.close()
    before = highest = near.recv() or 0
    while not near.poll(_LOOK):
        highest = max(highest, own_memory(process.pid) or 0)
    seconds, used = near.recv()
    process.join()
    return seconds, used, highest - before


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.converting", description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024, help="MiB of Pixel Data")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the lowest counts")
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        path = Path(directory, "object.dcm")
        print("| from | to | how | s | processor s | memory, MiB |\n| --- | --- | --- | --- | --- | --- |")
        for first, second in PAIRS:
            write(path, SYNTAXES[first], options.mib << 20)
            for how in HOW:
                rounds = [measure(how, path, SYNTAXES[second]) for _ in range(options.repeat)]
                seconds, used, memory = (min(values) for values in zip(*rounds, strict=True))
                row = (first, second, how, f"{seconds:.3f}", f"{used:.3f}", f"{memory / (1 << 20):.0f}")
                print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
