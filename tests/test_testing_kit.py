"""The command line of the kit: its commands are found, and say what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from dicom_proto.testing.samples import COMMANDS, PDUS, dictionary
from dicom_transports.testing import main as kit


def test_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.main(["--help"]) == 0
    told = capsys.readouterr().out
    for name in kit.NAMES:
        assert f"  {name} " in told
        assert kit.load(name).SUMMARY in told
    assert kit.main([]) == 2


@pytest.mark.parametrize("name", kit.NAMES)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        kit.main([name, "--help"])
    assert end.value.code == 0
    assert (kit.load(name).__doc__ or "?").splitlines()[0] in capsys.readouterr().out


def test_a_command_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert kit.main(["sing"]) == 2
    assert "no command 'sing': there are " in capsys.readouterr().err


def test_export_writes_the_corpus_and_the_dictionary(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "corpus"
    subprocess.run([sys.executable, "-m", "dicom_transports.testing", "export", str(folder)], check=True)
    assert {path.name: path.read_bytes() for path in (folder / "pdu").iterdir()} == PDUS
    assert {path.read_bytes() for path in (folder / "command_set").iterdir()} == {
        command for several in COMMANDS.values() for command in several
    }
    assert (folder / "dicom.dict").read_text(encoding="ascii") == dictionary()
