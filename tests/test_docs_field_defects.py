"""The page docs/field_defects.md: every row has a test, every test that it names exists, and none is forgotten."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "field_defects.md").read_text(encoding="utf-8")
TEST = r"`(test_\w+)::(test_\w+)`"
NAMED = set(re.findall(TEST, PAGE))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.endswith(("| --- |", "| Shown by |"))]


def functions_of(path: Path) -> set[tuple[str, str]]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {(path.stem, node.name) for node in body if isinstance(node, ast.FunctionDef)}


def test_every_named_test_exists() -> None:
    modules = {module for module, _ in NAMED}
    assert (
        NAMED - {name for module in modules for path in TESTS.rglob(f"{module}.py") for name in functions_of(path)}
        == set()
    )


def test_every_row_says_what_shows_it() -> None:
    assert len(ROWS) > 90
    for row in ROWS:
        assert re.fullmatch(rf"\|[^|]+\|[^|]+\| {TEST}(, {TEST})* \|", row), row


def test_no_test_is_forgotten() -> None:
    written = {name for path in TESTS.glob("contract/test_field_*.py") for name in functions_of(path)}
    assert {name for name in written if name[1].startswith("test_")} - NAMED == set()
