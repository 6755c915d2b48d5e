"""Files that peers have a say in: their names, and that they appear whole or not at all."""

import os
from pathlib import Path
from shutil import rmtree
from stat import S_ISDIR

import pytest
from pydicom.data import get_testdata_file

from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.errors import LocalProtocolError
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_transports._files import reading as _files
from dicom_transports._files.durability import sync_directories
from dicom_transports._files.reading import IncomingFile, read_object, safe_path


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
        ("CON.dcm ", "CON.dcm_"),
    ],
)
def test_names_of_peers_stay_below_the_directory(name: str, component: str, tmp_path: Path) -> None:
    path = safe_path(tmp_path, name)
    assert path == tmp_path / component
    assert path.resolve().parent == tmp_path.resolve()
    assert safe_path(tmp_path, "1.2", name) == tmp_path / "1.2" / component


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
