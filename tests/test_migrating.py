"""The page docs/migrating.md: every new name exists, and its example says what it is said to."""

import importlib
import re
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.dimse.connection import Connection
from dicom_proto.entity import ApplicationEntity
from dicom_proto.services.handlers import Handlers
from dicom_transports.blocking import AE, Association

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text()
ROW = re.compile(r"^\| (?P<old>.+) \| (?:`(?P<new>dicom_[\w.]+)`|-) \| .*\|$", re.MULTILINE)
ROWS = [row for row in ROW.finditer(PAGE) if "---" not in row["old"]]
INSTANCES: dict[Any, Any] = {  # whose attributes count as well
    ApplicationEntity: AE("SCU"),
    AE: AE("SCU"),
    Association: Association(AE("SCU"), Connection(), Handlers(), is_acceptor=False),
}
RENAMED = {"add_scp", "add_scu", "start", "stop", "acceptor", "requestor"}


def is_module(name: str) -> bool:
    with suppress(ModuleNotFoundError):  # of what is no package
        return find_spec(name) is not None
    return False


def resolve(name: str) -> tuple[Any, Any]:
    """Import as much of a dotted name as is a module, and get the rest; return the value and whose it is."""
    module, rest = name, list[str]()
    while not is_module(module):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
    value: Any = importlib.import_module(module)
    owner = None
    for attribute in rest:
        owner = INSTANCES.get(value, value) if isinstance(value, type) else value
        value = getattr(owner, attribute)
    return value, owner


def test_rows_are_well_formed() -> None:
    assert len(ROWS) == PAGE.count("\n| ") - 2 * PAGE.count("| --- |\n") > 90


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["old"][:60])
def test_new_name_exists(row: re.Match[str]) -> None:
    """Where one new name stands for several of a class, the others have kept theirs."""
    if row["new"] is None:
        return
    value, owner = resolve(row["new"])
    assert value is not None or owner is not None
    if row["new"].startswith(("dicom_transports.blocking.A", "dicom_proto.entity")):
        for old in re.findall(r"`(?:AE|Association)?\.(\w+)`", row["old"]):
            assert old in RENAMED or hasattr(owner, old)


def test_example() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (expected,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    with redirect_stdout(StringIO()) as printed:
        exec(program, {})
    assert printed.getvalue() == expected
