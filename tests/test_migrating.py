"""The page docs/migrating.md: every row is executed by a test, every new name exists, the example says what it says."""

import importlib
import inspect
import re
import threading
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pynetdicom
import pytest
from pynetdicom import _config, events, pdu_primitives
from pynetdicom.association import Association as TheirAssociation
from pynetdicom.association import ServiceUser as TheirServiceUser
from pynetdicom.presentation import PresentationContext as TheirContext

from dicom_proto.application.association import EntityAssociation
from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers.registry import Handlers
from dicom_proto.offers.contexts import PresentationContext
from dicom_transports.blocking import AE, Association
from tests.compat.measure import expected
from tests.migrating.page import EXECUTED, PAGE, ROWS, Row

for module in sorted((Path(__file__).parent / "migrating").glob("test_*.py")):
    importlib.import_module(f"tests.migrating.{module.stem}")

ASSOCIATION = Association(AE("SCU"), Handlers())
INSTANCES: dict[Any, Any] = {  # whose attributes count as well
    ApplicationEntity: AE("SCU"),
    AE: AE("SCU"),
    Association: ASSOCIATION,
    EntityAssociation: ASSOCIATION,
}


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
    assert len(ROWS) == PAGE.count("\n| ") - 2 * PAGE.count("| --- |\n") > 190


def test_every_row_is_executed() -> None:
    assert sorted(ROWS.keys() - EXECUTED.keys()) == []
    assert sorted(EXECUTED.keys() - ROWS.keys()) == []


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.new], ids=lambda row: row.old[:60])
def test_new_name_exists_and_its_test_uses_it(row: Row) -> None:
    assert row.new is not None
    value, owner = resolve(row.new)
    assert value is not None or owner is not None
    source = inspect.getsource(EXECUTED[row.table, row.old])
    assert re.search(rf"\b{row.new.rpartition('.')[2]}\b", source)


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.new is None], ids=lambda row: row.old[:60])
def test_what_is_not_there_has_a_reason(row: Row) -> None:
    assert row.differences


def test_what_differs_in_its_own_tests_is_said() -> None:
    """Each difference that tests/compat expects names the row which says it to users."""
    unsaid = [one.row for one in expected().values() if not ROWS["pynetdicom 3", one.row].differences]
    assert unsaid == []


def documented() -> dict[str, list[str]]:
    """What pynetdicom has, as it is named in the first table."""
    members = {
        "AE": set(dir(pynetdicom.AE)),
        "Association": set(dir(TheirAssociation)) - set(dir(threading.Thread)),
        "ServiceUser": set(dir(TheirServiceUser)),
        "Event": set(dir(events.Event)),
        "_config": {name for name in dir(_config) if name.isupper()},
        "pdu_primitives": {name for name in dir(pdu_primitives) if name.endswith(("Negotiation", "Notification"))},
        "EVT_": {name for name in dir(events) if name.startswith("EVT_")},
    }
    return {owner: sorted(name for name in names if name[0] != "_") for owner, names in members.items()}


@pytest.mark.parametrize(("owner", "names"), documented().items(), ids=str)
def test_every_name_of_pynetdicom_has_a_row(owner: str, names: list[str]) -> None:
    """The name itself, or that of a member behind the first of its owner."""
    olds = [row.old for row in ROWS.values() if row.table == "pynetdicom 3"]
    rows = " ".join(old for old in olds if re.search(rf"\b{owner}", old))
    assert [name for name in names if not re.search(rf"\b{name}\b", rows)] == []


def test_calls_take_the_same_arguments() -> None:
    """Behind the first, in the same order, and perhaps more of them; what is not so stands in the table."""
    others = {}
    for theirs, ours in ((pynetdicom.AE, AE), (TheirAssociation, Association), (TheirContext, PresentationContext)):
        for name, function in inspect.getmembers(theirs, inspect.isfunction):
            if name[0] != "_" and name not in dir(threading.Thread) and hasattr(ours, name):
                wanted, taken = (list(inspect.signature(one).parameters)[1:] for one in (function, getattr(ours, name)))
                if taken[: len(wanted)] != wanted:
                    others[name] = theirs.__name__
    assert others == {"make_server": "ApplicationEntity", "abort": "Association"}


def test_example() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (expected,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with redirect_stdout(StringIO()) as printed:
        exec(program, {})
    assert printed.getvalue() == expected
