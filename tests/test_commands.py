"""The command line as such: what it lists, how it ends, and that it starts quickly because it loads little."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_transports.apps import main as commands
from dicom_transports.apps.exits import Exit

ROOT = Path(__file__).parents[1]


def test_without_arguments_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main([]) == Exit.USAGE
    overview = capsys.readouterr().out
    for name in commands.COMMANDS:
        assert f"\n  {name} " in overview
    assert commands.main(["--help"]) == Exit.ALL
    assert capsys.readouterr().out == overview


def test_it_knows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["--version"]) == Exit.ALL
    assert capsys.readouterr().out.startswith("dicom-proto ")


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["ecoscu"]) == Exit.USAGE
    assert capsys.readouterr().err == "dicom-proto: there is no command 'ecoscu': dicom-proto --help lists them\n"


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_each_command_has_a_page_of_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main([name, "--help"]) == Exit.ALL
    page = capsys.readouterr().out
    module = commands.load(name)
    assert page.startswith(f"usage: dicom-proto {name} ")
    assert module.SUMMARY in page
    assert "\nexamples:\n" in page
    for arguments, _ in module.EXAMPLES:
        assert f"\n  dicom-proto {name} {arguments}\n" in page


def test_no_command_loads_more_than_it_needs_to_explain_itself() -> None:
    code = (
        "import sys\nfrom dicom_transports.apps import main\n"
        "for name in main.COMMANDS: main.parser_for(name, main.load(name))\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'pydicom', 'rich', 'asyncio', 'ssl', 'attrs'})"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_it_is_a_module_as_well() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "dicom_transports", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("dicom-proto ")


def completion_for(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert commands.main(["completion", shell]) == Exit.ALL
    return capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.dcm").touch()
    asked = {
        "dicom-proto stor": "storescu storescp",
        "dicom-proto echoscu host 104 -ae": "-aet -aec",
        "dicom-proto echoscu host 104 +": "+tls +cf +tla",
        "dicom-proto storescp 104 --fsync ": "each group none",
        "dicom-proto mpps host 104 c": "create complete",
        "dicom-proto storescu host 104 im": "image.dcm",
        "dicom-proto echoscu -aet ": "",
    }
    lines = [
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _dicom_proto; echo "${COMPREPLY[@]}"; }',
        *(f"ask {line.rpartition(' ')[0]} '{line.rpartition(' ')[2]}'" for line in asked),
    ]
    program = completion_for("bash", capsys) + "\n".join(lines)
    ran = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == list(asked.values())


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_has_each_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    written = completion_for(shell, capsys)
    assert "dicom-proto" in written.splitlines()[0]
    for name in commands.COMMANDS:
        assert name in written
    for option in ("aetitle", "finish-within", "extract", "fsync"):
        assert option in written
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=written, text=True, check=True)


def test_the_page_has_each_command_and_exit_status() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = page.partition("## How they end")[0]
    assert {name for name in commands.COMMANDS if f"`{name}`" not in table} == set()
    stated = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for number in row.split(",")}
    assert stated == {int(code) for code in Exit}
