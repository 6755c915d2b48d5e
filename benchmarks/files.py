"""Files that are sent, made when they are first needed, and directories for those that arrive."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_CUR, BytesIO
from pathlib import Path
from typing import Final

from attrs import define, field, frozen
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.samples import CT_IMAGE, IMAGE_BYTES

__all__ = ["IN_MEMORY", "NOBODY", "SMALL_BYTES", "Files", "Stored", "identifier"]

SMALL_BYTES: Final = 4096
NOBODY: Final = "NOBODY"  # a name that no patient has
_UID: Final = "1.2.826.0.1.3680043.8.498.1203644813295147.{}.10000000"
_SERIAL: Final = b".10000000"
_LENGTH_FIELD: Final = 4  # bytes of the length of the pixel data, which end the head of a file
_FRAME: Final = 512 * 512 * 2  # bytes
_BEHIND_PIXELS: Final = b"\xe1\x7f\x10\x00LO\x0a\x00BENCHMARKS" + b"\xe1\x7f\x10\x10OB\x00\x00"


def _image(pixels: int, frames: int = 0) -> bytes:
    """Return a CT image as a file, up to the pixel data that would follow: so many bytes."""
    image = identifier()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = CT_IMAGE, _UID.format(3)
    image.StudyInstanceUID, image.SeriesInstanceUID = _UID.format(1), _UID.format(2)
    image.Modality, image.InstanceNumber, image.SeriesNumber = "CT", 1, 1
    image.ImagePositionPatient, image.PixelSpacing = [0.0, 0.0, 0.0], [0.5, 0.5]
    image.Rows = image.Columns = 512
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.RescaleIntercept, image.RescaleSlope = "-1024", "1"
    if frames:
        image.NumberOfFrames = frames
    image.add_new("PixelData", "OW", b"")
    file = BytesIO()
    dcmwrite(file, image, enforce_file_format=True)
    return file.getvalue()[:-_LENGTH_FIELD] + pixels.to_bytes(_LENGTH_FIELD, "little")


def identifier() -> Dataset:
    """Return a match of a study with 15 elements."""
    match = Dataset()
    match.QueryRetrieveLevel = "STUDY"
    match.StudyDate, match.StudyTime, match.AccessionNumber = "20260102", "101112", "A4711"
    match.ModalitiesInStudy, match.ReferringPhysicianName = "CT", "REFERRER^ROBERTA"
    match.StudyDescription, match.StudyID = "HEAD WITHOUT CONTRAST", "4711"
    match.PatientName, match.PatientID = "DOE^JANE", "P0815"
    match.PatientBirthDate, match.PatientSex = "19700101", "F"
    match.StudyInstanceUID = _UID.format(1)
    match.NumberOfStudyRelatedSeries, match.NumberOfStudyRelatedInstances = 3, 312
    return match


@frozen
class Stored:
    """Where the objects of a run are stored.

    Parameters
    ----------
    directory : Path or None
        ``None`` for memory only.
    is_durable : bool
        Whether each is brought to disk before it is answered.
    """

    directory: Path | None = None
    is_durable: bool = False

    def check(self, sent: tuple[Path, ...]) -> None:
        """Look whether everything has arrived.

        Raises
        ------
        RuntimeError
            If there are less files, or shorter ones.
        """
        if self.directory is None:
            return
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        missing = sum(path.stat().st_size for path in sent) - sum(path.stat().st_size for path in files)
        if len(files) != len(sent) or missing > 1024 * len(sent):  # the heads of files differ
            raise RuntimeError(f"{len(files)} files of {len(sent)} were stored, {missing} bytes are missing")


IN_MEMORY: Final = Stored()


@define
class Files:
    """All files of the benchmarks, below one directory."""

    root: Path
    _made: dict[str, tuple[Path, ...]] = field(factory=dict, init=False)

    def images(self, count: int) -> tuple[Path, ...]:
        """Return so many CT images of 526 KB."""
        return self._objects("images", count, IMAGE_BYTES)

    def small(self, count: int) -> tuple[Path, ...]:
        """Return so many objects of 4 KB."""
        return self._objects("small", count, SMALL_BYTES)

    def batch(self, count: int) -> tuple[Path, ...]:
        """Return so many objects of 4 KB in a directory of their own."""
        return self._objects("batch", count, SMALL_BYTES)

    def big(self, length: int) -> tuple[Path, ...]:
        """Return one object with so many bytes of pixel data, all of them zero."""
        return self._zeros(f"big_{length}", _image(length), length)

    def frames(self, length: int) -> tuple[Path, ...]:
        """Return the same with so many bytes in frames of 512 KiB."""
        return self._zeros(f"frames_{length}", _image(length, -(-length // _FRAME)), length)

    def longest(self, length: int) -> tuple[Path, ...]:
        """Return the same with so many bytes, half of them in a private element: none can have 4 GiB (PS3.5 7.1.1)."""
        half = length // 2 & ~1
        head = _image(half)
        behind = _BEHIND_PIXELS + half.to_bytes(_LENGTH_FIELD, "little")
        return self._zeros(f"longest_{length}", head, half, behind, half)

    def _zeros(self, name: str, *parts: bytes | int) -> tuple[Path, ...]:
        """Write a file of bytes and of lengths of zeros, which take no room."""
        if name not in self._made:
            path = self.root / f"{name}.dcm"
            with path.open("wb") as file:
                for part in parts:
                    file.write(part) if isinstance(part, bytes) else file.seek(part, SEEK_CUR)
                file.truncate()
            _read(path)
            self._made[name] = (path,)
        return self._made[name]

    def studies(self, count: int) -> Path:
        """Return a directory with so many studies of one small object each."""
        directory = self.root / "studies"
        if "studies" not in self._made:
            directory.mkdir()
            head = _image(0)
            uid = _UID.format(1).encode()
            self._made["studies"] = tuple(
                self._write(directory, head.replace(uid, uid[: -len(_SERIAL)] + _serial(number)), number)
                for number in range(count)
            )
        return directory

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Make an empty directory, which is removed in the end."""
        with tempfile.TemporaryDirectory(dir=self.root) as directory:
            yield Path(directory)

    def _objects(self, name: str, count: int, length: int) -> tuple[Path, ...]:
        if name not in self._made:
            directory = self.root / name
            directory.mkdir()
            pixels = (length - len(_image(0))) & ~1
            content = _image(pixels) + (bytes(range(256)) * (pixels // 256 + 1))[:pixels]
            self._made[name] = tuple(self._write(directory, content, number) for number in range(count))
        return self._made[name]

    @staticmethod
    def _write(directory: Path, content: bytes, number: int) -> Path:
        """Write an object with an instance UID of its own."""
        uid = _UID.format(3).encode()
        path = directory / f"{number:06}.dcm"
        path.write_bytes(content.replace(uid, uid[: -len(_SERIAL)] + _serial(number)))
        return path


def _read(path: Path) -> None:
    """Have a file in memory, so that the first who sends it does not read it from disk."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def _serial(number: int) -> bytes:
    return b".%d" % (10_000_000 + number)
