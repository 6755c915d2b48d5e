"""One round of ``kill -9`` under load with each database; ``make long`` does twenty."""

from pathlib import Path

import pytest

from tests.archive.killing import Outcome, round_of
from tests.archive.postgresql import database


def check(outcome: Outcome) -> None:
    assert outcome.answered > 0
    assert outcome.lost == set()
    assert outcome.differences == []


def test_nothing_is_lost_with_sqlite(tmp_path: Path) -> None:
    check(round_of(tmp_path / "archive", seed=0))


@pytest.mark.interop
def test_nothing_is_lost_with_postgresql(tmp_path: Path) -> None:
    with database() as url:
        check(round_of(tmp_path / "archive", 1, url))
