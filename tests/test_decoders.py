"""Decoders beside each other: what docs/testing.md says of ours is so, and it has a line for each rule."""

import re
from pathlib import Path

from tests.decoders import compare

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"


def documented() -> dict[str, dict[str, str]]:
    """The table of the page: the verdict of each decoder, by label."""
    lines = re.findall(
        r"^\| (.*) \|$", PAGE.read_text(encoding="utf-8").partition("## Decoders beside")[2], re.MULTILINE
    )
    head, _, *rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_the_page_says_what_our_decoder_does() -> None:
    ours = {"ours, strict": compare.ours, "ours": compare.DECODERS["ours"]}
    table = documented()
    for name, decode in ours.items():
        for label, pdus in compare.inputs().items():
            assert table[label][name] == compare.verdict(decode(pdus)), (label, name)


def test_the_page_has_a_line_for_each_rule_and_says_who_is_right() -> None:
    table = documented()
    assert table.keys() == {"valid", *(rule.label for rule in compare.RULES)}
    for rule in compare.RULES:
        assert table[rule.label]["Clause"] == rule.clause
        assert table[rule.label]["Who is right"]


def test_what_is_valid_is_accepted_by_pynetdicom_too() -> None:
    assert all(compare.DECODERS["pynetdicom"](compare.inputs()["valid"]))


def test_verdicts() -> None:
    assert [compare.verdict(answers) for answers in ([True], [False, False], [True, False])] == [
        "accepts",
        "refuses",
        "some",
    ]
