"""Files that peers have a say in: their names, and that they appear whole or not at all."""

import gzip
import os
import struct
import tracemalloc
import zlib
from io import BytesIO, StringIO
from pathlib import Path
from shutil import rmtree
from stat import S_ISDIR
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.encoding.sources import Source
from dicom_proto.errors import LocalProtocolError
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.services.storage.batch import KEPT
from dicom_transports._files import reading as _files
from dicom_transports._files.durability import sync_directories
from dicom_transports._files.reading import (
    IncomingFile,
    UnreadableFileError,
    as_storable,
    distinct,
    read_object,
    safe_path,
)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("1.2.840.10008.1.1", "1.2.840.10008.1.1"),
        (".", "_"),
        ("..", "__"),
        ("../../etc/passwd", "___.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\..\\x", "___.._x"),
        (".hidden", "_hidden"),
        ("a\0b\nc", "a_b_c"),
        ("Ünïcode", "_n_code"),
        ("$(reboot);`x`|", "__reboot___x__"),
        ("CON.dcm ", "_CON.dcm_"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1", "_Com1"),
        ("LPT9.1.2", "_LPT9.1.2"),
        ("CONIN$", "_CONIN_"),
        ("CONTROL", "CONTROL"),
        ("COM10", "COM10"),
        ("-rf", "_rf"),
        ("--", "_-"),
        ("-", "_"),
        ("1.2.3.", "1.2.3_"),
        ("x...", "x___"),
        (".CON.", "_CON_"),
        (".1.2", "_1.2"),
        ("1..2", "1..2"),
        ("001.02", "001.02"),
        ("x ", "x_"),
        ("a:b", "a_b"),
    ],
)
def test_names_of_peers_stay_below_the_directory(name: str, component: str, tmp_path: Path) -> None:
    path = safe_path(tmp_path, name)
    assert path == tmp_path / component
    assert path.resolve().parent == tmp_path.resolve()
    assert safe_path(tmp_path, "1.2", name) == tmp_path / "1.2" / component


def test_uids_that_are_none_stay_apart(tmp_path: Path) -> None:
    """What differs in what is made harmless is not the same object, and must not replace it."""
    uids = [
        "1.2/3",
        "1.2_3",
        "1.2:3",
        "..",
        ".",
        "__",
        "1.2.",
        "1.2_",
        "CON",
        "_CON",
        "1.2.3",
        "a.b",
        "1" * 64,
        "1" * 65,
        distinct("1.2/3"),
        distinct("1" * 65),
        "1.2.ab",
        "1.2.AB",
    ]
    paths = {safe_path(tmp_path, distinct(uid), suffix=".dcm") for uid in uids}
    assert len({str(path).lower() for path in paths}) == len(uids)
    assert {path.parent for path in paths} == {tmp_path}
    for uid in ("1.2.3", "1.02.3", "1" * 64):
        assert safe_path(tmp_path, distinct(uid)) == tmp_path / uid


def test_names_that_are_too_long_stay_apart(tmp_path: Path) -> None:
    names = [safe_path(tmp_path, "1." * 40 + str(number), suffix=".dcm").name for number in range(100)]
    assert len(set(names)) == 100
    assert {len(name) for name in names} == {64 + 4}
    assert safe_path(tmp_path, "1" * 64, suffix=".dcm").name == "1" * 64 + ".dcm"


def test_empty_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        safe_path(tmp_path, "1.2", "")


def test_file_appears_when_it_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "object.dcm"
    path.write_bytes(b"the one before")
    with IncomingFile(tmp_path) as file:
        file.write(b"first ")
        file.write(memoryview(bytearray(b"second")))
        assert path.read_bytes() == b"the one before"
        file.commit(path)
    assert path.read_bytes() == b"first second"
    assert [entry.name for entry in tmp_path.iterdir()] == ["object.dcm"]


def test_file_that_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with IncomingFile(tmp_path) as file:
            file.write(b"half of it")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        write()
    assert list(tmp_path.iterdir()) == []


def test_file_that_cannot_be_brought_to_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fail)
    with IncomingFile(tmp_path) as file:
        file.write(b"all of it")
        with pytest.raises(OSError, match="no space"):
            file.commit(tmp_path / "object.dcm")
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_not_to_replace_another(tmp_path: Path) -> None:
    path = tmp_path / "object.dcm"
    path.write_bytes(b"the one before")
    with IncomingFile(tmp_path) as file:
        file.write(b"another")
        with pytest.raises(FileExistsError):
            file.commit(path, replace=False)
        file.commit(tmp_path / "a" / "b" / "object.dcm", replace=False)
    assert path.read_bytes() == b"the one before"
    assert (tmp_path / "a" / "b" / "object.dcm").read_bytes() == b"another"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "object.dcm"]


def test_directories_on_the_way_are_brought_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[os.stat_result] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number)))
    for number in range(3):
        with IncomingFile(tmp_path) as file:
            file.write(b"all of it")
            file.commit(tmp_path / "a" / "b" / f"{number}.dcm", sync=None if number == 1 else sync_directories)
    directories = [stat.st_ino for stat in synced if S_ISDIR(stat.st_mode)]
    expected = [tmp_path / "a" / "b", tmp_path / "a", tmp_path, tmp_path / "a" / "b"]
    assert directories == [path.stat().st_ino for path in expected]
    assert len(synced) == 2 + len(directories)


def test_so_many_directories_are_remembered_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(_files, "_KNOWN", len(_files._on_disk) + 1)  # noqa: SLF001 - others have left some
    for name in ("a", "a", "b", "b", "a"):
        with IncomingFile(tmp_path) as file:
            file.commit(tmp_path / name / "object", sync=synced.extend)
    assert [path.name for path in synced if path != tmp_path] == ["a", "a", "b", "b", "a"]
    assert synced.count(tmp_path) == 3  # for a, for b, and again for a, which had to be forgotten


def test_directories_that_somebody_has_removed_are_made_again(tmp_path: Path) -> None:
    for number in range(2):
        with IncomingFile(tmp_path) as file:
            file.write(b"all of it")
            file.commit(tmp_path / "a" / "b" / f"{number}.dcm")
        assert [str(path.name) for path in tmp_path.rglob("*.dcm")] == [f"{number}.dcm"]
        rmtree(tmp_path / "a")


def test_object_is_read_without_its_head() -> None:
    path = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    stored = read_object(path)
    assert stored.meta.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert bytes(stored.data_set) == path.read_bytes()[stored.meta.data_offset :]
    assert bytes(stored.data_set[:4]) == b"\x08\0\x05\0"


def test_object_with_a_long_head_is_read(tmp_path: Path) -> None:
    path = tmp_path / "object.dcm"
    head = file_preamble_and_meta("1.2." + "3" * 60, "1.2." + "4" * 900, IMPLICIT_VR_LITTLE_ENDIAN)
    path.write_bytes(head + b"\x08\0\x16\0" + (2).to_bytes(4, "little") + b"1\0")
    assert read_object(path).meta.data_offset == len(head)


@pytest.mark.parametrize("content", [b"", b"no DICOM file", bytes(5000)])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(LocalProtocolError):
        read_object(path)


# Files that were cut short, or cannot be read at all

EXPLICIT, DEFLATED, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
BIG_ENDIAN, PRIVATE = "1.2.840.10008.1.2.2", "1.2.3.4.5"
TEXT = struct.pack("<HH2sH", 8, 0x60, b"CS", 2) + b"CT"
ITEM, ITEM_END, END = (struct.pack("<HHL", 0xFFFE, number, 0) for number in (0xE000, 0xE00D, 0xE0DD))
UNDEFINED = 0xFFFFFFFF


def explicit(tag: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, length) + value


def fragment(value: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value


CUT_SHORT = "cut short|no complete DICOM file"  # the latter within the head and the first element
PIXELS = explicit(0x7FE00010, b"OB", UNDEFINED)
SEQUENCE = explicit(0x00081140, b"SQ", UNDEFINED)
TRAILING = explicit(0xFFFCFFFC, b"OB", 4, bytes(4))
ICON = fragment(explicit(0x7FE00010, b"OW", 6, bytes(6)))
WHOLE = [
    pytest.param(IMPLICIT_VR_LITTLE_ENDIAN, struct.pack("<HHL", 0x7FE0, 0x10, 6) + bytes(6), id="implicit"),
    pytest.param(EXPLICIT, TEXT + explicit(0x7FE00010, b"OW", 6, bytes(6)), id="explicit"),
    pytest.param(EXPLICIT, TEXT + explicit(0x7FE00010, b"OB", 100_000, bytes(100_000)), id="large"),
    pytest.param(EXPLICIT, explicit(0x00420011, b"OB", 1 << 21, bytes(1 << 21)) + TEXT, id="long"),
    pytest.param(BIG_ENDIAN, struct.pack(">HH2sHL", 0x7FE0, 0x10, b"OW", 0, 6) + bytes(6), id="big endian"),
    pytest.param(EXPLICIT, TEXT + explicit(0x7FE00010, b"OW", 6, bytes(6)) + TRAILING, id="with padding"),
    pytest.param(EXPLICIT, explicit(0x00880200, b"SQ", len(ICON), ICON) + TEXT, id="icon"),
    pytest.param(EXPLICIT, SEQUENCE + fragment(TEXT) + END, id="sequence"),
    pytest.param(JPEG, TEXT + PIXELS + ITEM + fragment(bytes(100)) + END, id="encapsulated"),
    pytest.param(
        JPEG, PIXELS + ITEM + fragment(bytes(8)) + END + explicit(0xFFFCFFFC, b"OB", 4, bytes(4)), id="padded"
    ),
    pytest.param(DEFLATED, zlib.compress(TEXT * 3, wbits=-15), id="deflated"),
    pytest.param(DEFLATED, zlib.compress(os.urandom(3_000_000), wbits=-15), id="much deflated"),
]


def file_of(path: Path, syntax: str, data: bytes) -> Path:
    path.write_bytes(file_preamble_and_meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", syntax) + data)
    return path


@pytest.mark.parametrize(("syntax", "data"), WHOLE)
def test_files_that_were_cut_short_are_refused(syntax: str, data: bytes, tmp_path: Path) -> None:
    """A peer would wait for the rest of the last element: no byte of such an object leaves (PS3.5 7.1)."""
    path = tmp_path / "PATIENT^NAME.dcm"
    assert as_storable(file_of(path, syntax, data)).data == data
    for lost in {1, 2, 4, 7, len(data) // 2} - {0}:
        with pytest.raises(UnreadableFileError, match=CUT_SHORT) as caught:
            as_storable(file_of(path, syntax, data[:-lost]))
        assert "PATIENT" not in str(caught.value)
        assert caught.value.item == path
        with path.open("rb") as file, pytest.raises(UnreadableFileError, match=CUT_SHORT):
            as_storable(file)


@pytest.mark.parametrize(
    ("syntax", "data"),
    [
        (EXPLICIT, b""),
        (EXPLICIT, explicit(0x00081140, b"SQ", 20, fragment(explicit(0x00080060, b"UN", 1 << 30))) + TEXT),
        (EXPLICIT, TEXT + ITEM_END + TEXT),
        (EXPLICIT, TEXT + END),
        (DEFLATED, zlib.compress(bytes(300 << 20), wbits=-15)[:-1]),
        (PRIVATE, TEXT[:-1]),
    ],
    ids=["empty", "within a sequence", "out of place", "an end of nothing", "very long", "private"],
)
def test_what_is_wrong_in_other_ways_is_sent_as_it_is(syntax: str, data: bytes, tmp_path: Path) -> None:
    """Whoever sent it may read it: only what has certainly been cut short is refused."""
    assert as_storable(file_of(tmp_path / "object.dcm", syntax, data)).data == data


def test_only_headers_are_read_of_a_long_file(tmp_path: Path) -> None:
    """One of 64 MiB, which does not end with Pixel Data: it is not brought into memory to be looked at."""
    path = file_of(tmp_path / "object.dcm", EXPLICIT, explicit(0x00420011, b"OB", 1 << 26))
    with path.open("r+b") as file:
        file.seek(1 << 26, os.SEEK_END)
        file.write(TEXT)
    tracemalloc.start()
    try:
        as_storable(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("extra", [0, KEPT])
def test_file_objects_are_read_from_where_they_stand(extra: int, tmp_path: Path) -> None:
    data = TEXT + explicit(0x7FE00010, b"OB", extra, bytes(extra))
    content = file_of(tmp_path / "object.dcm", EXPLICIT, data).read_bytes()
    (tmp_path / "more.dcm").write_bytes(b"before it" + content)
    (tmp_path / "packed.dcm").write_bytes(gzip.compress(content))
    with (tmp_path / "more.dcm").open("rb") as file, gzip.open(tmp_path / "packed.dcm") as packed:
        file.seek(9)
        for opened in (file, packed, BytesIO(content)):
            at = opened.tell()
            found = as_storable(opened).data
            assert (b"".join(found.pieces()) if isinstance(found, Source) else found) == data
            assert opened.tell() == at
    assert as_storable(content) is content


class Broken:
    def read(self, _size: int) -> bytes:
        raise PermissionError(13, "Permission denied", "PATIENT^NAME.dcm")


def test_errors_have_no_names_of_files(tmp_path: Path) -> None:
    """File names of many systems are patients' names: an error has the item, and its text says what is wrong."""
    missing, empty = tmp_path / "PATIENT^NAME.dcm", tmp_path / "PATIENT^TOO.dcm"
    empty.touch()
    cases: list[tuple[Any, type[Exception]]] = [
        (missing, FileNotFoundError),
        (str(missing), FileNotFoundError),
        (tmp_path, IsADirectoryError),
        (empty, UnreadableFileError),
        (Broken(), PermissionError),
        (StringIO("PATIENT"), UnreadableFileError),
        (BytesIO(b"PATIENT" * 100), UnreadableFileError),
    ]
    for item, kind in cases:
        with pytest.raises(kind) as caught:
            as_storable(item)
        assert "PATIENT" not in str(caught.value)
        assert caught.value.item is item  # type: ignore[attr-defined]
    with pytest.raises(FileNotFoundError) as caught:
        read_object(missing)
    assert "PATIENT" not in str(caught.value)
