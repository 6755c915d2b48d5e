"""``dicom-proto qrscp`` without a port: what is verified, deleted and copied, and how that is told."""

import json
from pathlib import Path

import pytest

from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from tests.archive.departments import serving, store
from tests.archive.objects import image

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with serving(tmp_path / "a") as served:
        assert store(served, *map(image, ("1.1.1", "1.1.2", "2.1.1"))) == [0, 0, 0]
    return tmp_path / "a"


def do(directory: Path, *options: object) -> int:
    return main(["qrscp", "--directory", str(directory), *map(str, options)])


def test_what_is_deleted_is_told_and_written_down(archive: Path, tmp_path: Path, capsys: Captured) -> None:
    audit = tmp_path / "audit.jsonl"
    assert do(archive, "--retain", 1, "--json") == Exit.ALL
    assert json.loads(capsys.readouterr().out) == {"deleted": 0}
    assert do(archive, "--delete-study", "1.2.1.1", "--dry-run") == Exit.ALL
    assert capsys.readouterr().out.splitlines()[-1] == "2 objects would be deleted"
    assert do(archive, "--delete-patient", "P1", "--audit", audit, "-aet", "ARC") == Exit.ALL
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("1.2.1.1: 2 objects, ")
    assert last == "2 objects are deleted"
    assert json.loads(audit.read_text())["AuditSourceIdentification"] == {"AuditSourceID": "ARC"}
    assert do(archive, "--delete-study", "1.2.1.1") == Exit.USAGE
    assert capsys.readouterr().err == "dicom-proto qrscp: there is no study '1.2.1.1'\n"


def test_a_backup_is_made_and_restored(archive: Path, tmp_path: Path, capsys: Captured) -> None:
    assert do(archive, "--backup", tmp_path / "backup") == Exit.ALL
    assert capsys.readouterr().out.splitlines()[-1] == "3 objects are in the copy"
    assert do(archive, "--delete-study", "1.2.1.1", "-q") == Exit.ALL
    assert do(archive, "--restore", tmp_path / "nothing") == Exit.USAGE
    assert "is no directory with a backup" in capsys.readouterr().err
    assert do(archive, "--restore", tmp_path / "backup", "-q") == Exit.ALL
    assert do(archive, "--verify") == Exit.ALL
    assert capsys.readouterr().out.splitlines()[-2:] == ["3 of 3", "index and files are in step"]
    next(archive.rglob("*.dcm")).unlink()
    assert do(archive, "--verify", "-q") == Exit.SOME
    assert do(archive, "--reindex") == Exit.ALL
    assert do(archive, "--verify", "-q") == Exit.ALL


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "there is no port to listen on"),
        (("--verify", "--reindex"), "not allowed with argument"),
        (("--settings", "no.toml", "11112"), "no.toml cannot be read: No such file or directory"),
        (("--status", "x", "11112"), "'x'"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: Captured, options: tuple[str, ...], words: str) -> None:
    assert do(tmp_path / "a", *options) == Exit.USAGE
    assert words in capsys.readouterr().err
