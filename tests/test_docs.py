"""The examples of the documentation run, and print what the pages say that they print.

A page is one program: its ``python`` blocks are executed in order in one namespace. A ``text`` block directly behind a
``python`` block is what that block printed.
"""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
EMBEDDING = ROOT / "docs" / "embedding.md"
COMPAT = (
    ROOT / "docs" / "compat.md"
)  # not in this process, where pynetdicom is pynetdicom: tests/migrating/test_compat.py
PAGES = [README, *sorted(page for page in (ROOT / "docs").glob("*.md") if page != COMPAT)]

_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n*```text\n(?P<printed>.*?)^```$)?", re.MULTILINE | re.DOTALL)


@frozen
class Example:
    """One block of code, the line of the page on which it begins, and what the page says that it prints."""

    code: str
    line: int
    printed: str | None

    def run(self, page: str, namespace: dict[str, Any]) -> str:
        """Execute it; return what it printed. A traceback shows the lines of the page."""
        program = compile("\n" * (self.line - 1) + self.code, page, "exec")
        output = StringIO()
        with redirect_stdout(output):
            exec(program, namespace)
        return output.getvalue()


def examples_of(text: str) -> list[Example]:
    return [
        Example(match["code"], text.count("\n", 0, match.start("code")) + 1, match["printed"])
        for match in _BLOCK.finditer(text)
    ]


def read(page: Path) -> list[Example]:
    return examples_of(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_the_page_says(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    for example in read(page):
        printed = example.run(str(page), namespace)
        if example.printed is not None:
            assert printed == example.printed, f"{page.name}, line {example.line}"


def test_readme_has_the_example_of_the_embedding_page() -> None:
    theirs = read(EMBEDDING)[0]
    assert (theirs.code, theirs.printed) in [(ours.code, ours.printed) for ours in read(README)]
    assert theirs.printed


def test_blocks_are_found() -> None:
    page = (
        "One.\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "```python\nx = 2\n```\n\nTwo.\n\n```text\nnot printed\n```\n\n```{code-block} python\nnot executed\n```\n"
    )
    assert examples_of(page) == [Example("print(1)\n", 4, "1\n"), Example("x = 2\n", 12, None)]


def test_links_of_the_readme_lead_somewhere() -> None:
    """Each claim has its page, with the heading that is named."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        page = ROOT / path
        assert page.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}, target
