"""Completion, in the shells themselves: what they offer behind a line."""

import os
import pty
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from dicom_transports.apps import main as commands
from dicom_transports.apps.exits import Exit

ASKED: Final = {
    "dicom-proto stor": ["storescp", "storescu"],
    "dicom-proto echoscu host 104 -ae": ["-aec", "-aet"],
    "dicom-proto echoscu host 104 +": ["+cf", "+tla", "+tls"],
    "dicom-proto storescp 104 --fsync ": ["each", "group", "none"],
    "dicom-proto mpps host 104 c": ["complete", "create"],
    "dicom-proto storescu host 104 im": ["image.dcm"],
    "dicom-proto echoscu -aet ": [],
}
PATIENCE: Final = 20.0  # seconds until a shell that says nothing counts as one that hangs


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "image.dcm").touch()
    return tmp_path


def program(shell: str) -> str:
    """Return the path of a shell; where all peers have to be there it has to be, too."""
    path = shutil.which(shell)
    if path is None and os.environ.get("DICOM_PROTO_REQUIRE_PEERS") == "1":
        pytest.fail(f"{shell} is not installed")
    return path or pytest.skip(f"there is no {shell}")


def completion_for(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert commands.main(["completion", shell]) == Exit.ALL
    return capsys.readouterr().out


def test_bash(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _dicom_proto; echo "${COMPREPLY[@]}"; }',
        *(f"ask {line.rpartition(' ')[0]} '{line.rpartition(' ')[2]}'" for line in ASKED),
    ]
    script = completion_for("bash", capsys) + "\n".join(lines)
    ran = subprocess.run([program("bash"), "-c", script], cwd=directory, capture_output=True, text=True, check=True)
    assert [sorted(line.split()) for line in ran.stdout.splitlines()] == list(ASKED.values())


def test_fish(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"echo '=='; complete -C '{line}'" for line in ASKED]
    script = completion_for("fish", capsys) + "\n".join(lines)
    environment = os.environ | {"HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    command = [program("fish"), "--no-config", "-c", script]
    ran = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=True)
    offered = [[line.partition("\t")[0] for line in part.splitlines()] for part in ran.stdout.split("==\n")[1:]]
    for found, wanted in zip(offered, ASKED.values(), strict=True):
        assert set(wanted) <= set(found)
        assert {name for name in found if name.startswith(("-", "+", "stor"))} == {
            name for name in wanted if name.startswith(("-", "+", "stor"))
        }


class Zsh:
    """A zsh at a terminal, which completes nowhere else."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal

    def say(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, *words: str) -> str:
        """Return what it shows, as soon as all words are there."""
        shown, deadline = "", monotonic() + PATIENCE
        while not all(word in shown for word in words):
            ready, _, _ = select.select([self._terminal], [], [], deadline - monotonic())
            assert ready, f"{words} are not all in {shown!r}"
            shown += os.read(self._terminal, 65_536).decode(errors="replace")
        return shown


@contextmanager
def zsh(directory: Path) -> Iterator[Zsh]:
    ours, theirs = pty.openpty()
    environment = {"TERM": "dumb", "PATH": os.environ["PATH"], "HOME": str(directory), "COLUMNS": "300", "LINES": "100"}
    command = [program("zsh"), "-f", "-i"]
    shell = subprocess.Popen(
        command, cwd=directory, env=environment, start_new_session=True, stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        yield Zsh(ours)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
        os.close(theirs)


def test_zsh(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    functions = directory / "functions"
    functions.mkdir()
    (functions / "_dicom-proto").write_text(completion_for("zsh", capsys))
    with zsh(directory) as shell:
        shell.say(f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; LISTMAX=1000; echo rea''dy\n")
        shell.read_until("ready")
        for line, wanted in ASKED.items():
            shell.say(f"\x15{line}\t\t")
            if wanted:
                shown = shell.read_until(*wanted)
                assert "_arguments:" not in shown
        shell.say("\x15echo do''ne\n")
        assert "_arguments:" not in shell.read_until("done")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_command_and_option_is_there(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    written = completion_for(shell, capsys)
    assert "dicom-proto" in written.splitlines()[0]
    for name in commands.COMMANDS:
        assert name in written
    for option in ("aetitle", "finish-within", "extract", "fsync"):
        assert option in written
