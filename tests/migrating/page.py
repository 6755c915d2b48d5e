"""The tables of docs/migrating.md, and which test executes which of their rows."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from attrs import frozen

PAGE: Final = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (?P<old>.+?) \| (?:`(?P<new>dicom_[\w.]+)`|-) \| (?P<differences>.*?) ?\|$", re.MULTILINE)
_T = TypeVar("_T", bound=Callable[..., Any])


@frozen
class Row:
    """What something was called, what it is called here (``None`` if it is not there), and what is different."""

    table: str
    old: str
    new: str | None
    differences: str


def _read() -> dict[tuple[str, str], Row]:
    rows = {}
    for section in PAGE.split("\n## From ")[1:]:
        table = section.partition("\n")[0]
        for row in _ROW.finditer(section):
            if row["old"] != "---":
                key = table, row["old"].replace("`", "")
                rows[key] = Row(*key, row["new"], row["differences"])
    return rows


ROWS: Final = _read()
EXECUTED: Final[dict[tuple[str, str], Any]] = {}
"""The tests of the rows, by table and old names."""


class Table:
    """One table of the page; it marks the tests that execute its rows."""

    def __init__(self, name: str) -> None:
        self._name = name

    def row(self, *olds: str) -> Callable[[_T], _T]:
        """Mark the test of a row, or of several that one program shows; a row is stated by its old names."""

        def mark(test: _T) -> _T:
            for old in olds:
                assert (self._name, old) not in EXECUTED, f"{old} is executed twice"
                EXECUTED[self._name, old] = test
            return test

        return mark

    def rows(self, names: str | Sequence[str], values: Mapping[str, Any]) -> Callable[[_T], Any]:
        """Mark a test that executes rows that are alike, each with the values that it states."""

        def mark(test: _T) -> Any:
            return pytest.mark.parametrize(names, values.values(), ids=values.keys())(self.row(*values)(test))

        return mark
