"""The programs that stand side by side in docs/migrating.md: of 2018, under the compat module, and of today."""

import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from tests.interop.images import CT, path_of
from tests.interop.peers import execute, free_port, serve
from tests.migrating.page import PAGE

UNCHANGED = [sys.executable, "-u", "-m", "dicom_transports.compat.pynetdicom"]
TODAY = [sys.executable, "-u"]


def programs() -> dict[str, list[str]]:
    """Return both columns of the page, each the archive and who calls it."""
    section = PAGE.partition("### A program of 2018")[2].partition("\n````\n")[0]
    cells = [cell.partition("\n    ```")[0] for cell in section.split("- ```python\n    ")[1:]]
    cells = [textwrap.dedent(f"    {cell}") for cell in cells]
    return {"2018": cells[0::2], "today": cells[1::2]}


@pytest.mark.parametrize("year", ["2018", "today"])
def test_programs_of_both_columns_do_the_same(year: str, tmp_path: Path) -> None:
    command = {"2018": UNCHANGED, "today": TODAY}[year]
    port = free_port()
    for name, text in {"archive.py": programs()[year][0], "modality.py": programs()[year][1]}.items():
        (tmp_path / name).write_text(text.replace("11112", str(port)), encoding="utf-8")
    shutil.copy(path_of(CT), tmp_path / "image.dcm")
    with serve([*command, "archive.py"], port, cwd=tmp_path) as peer:
        assert execute([*command, "modality.py"], cwd=tmp_path).check().output.endswith("0\n0\n1CT1\n")
        assert peer.output.splitlines()[-1:] == ["MODALITY 1CT1"]
