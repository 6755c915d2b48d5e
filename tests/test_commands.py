"""The command line as such: what it lists, how it ends, and that it starts quickly because it loads little."""

import re
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


def test_the_page_has_each_command_and_exit_status() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = page.partition("## How they end")[0]
    assert {name for name in commands.COMMANDS if f"`{name}`" not in table} == set()
    stated = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for number in row.split(",")}
    assert stated == {int(code) for code in Exit}
