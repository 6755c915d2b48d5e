"""The table of habits in docs/interop.md and the tests that it names."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "interop.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)


def functions_of(file: str) -> set[str]:
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_each_test_of_the_table_exists() -> None:
    assert len(NAMED) > 25
    missing = [f"{file}::{test}" for file, test in NAMED if test not in functions_of(file)]
    assert not missing


def test_each_habit_that_is_tested_is_in_the_table() -> None:
    assert functions_of("test_habits.py") == {test for file, test in NAMED if file == "test_habits.py"}
