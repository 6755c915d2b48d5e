"""Tables of cases: one test that goes through all rows, where a test per row would cost more than what it checks."""

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from typing import Any

import pytest

__all__ = ["for_each"]

Check = Callable[..., None]


def for_each(
    names: str | Sequence[str], rows: Iterable[Any], *, ids: Callable[[Any], object] | Iterable[object] | None = None
) -> Callable[[Check], Check]:
    """Run a test with each row of a table, to its end whatever fails on the way.

    The arguments are those of ``pytest.mark.parametrize``, of which it is the cheap form: pytest takes longer to set up
    and report a test than most rows need to run. What fails has a note that names the row. A test that takes a fixture
    is parametrised by pytest, since each of its rows needs a fresh one.
    """
    table = [(row,) for row in rows] if isinstance(names, str) else [tuple(row) for row in rows]
    names = (names,) if isinstance(names, str) else names
    if not table:
        raise ValueError("a table without a row checks nothing")
    arguments = [dict(zip(names, row, strict=True)) for row in table]
    labels = _labels(table, ids)

    def decorate(check: Check) -> Check:
        def run(**others: object) -> None:
            failures = []
            for label, row in zip(labels, arguments, strict=True):
                try:
                    check(**others, **row)
                except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 - raised below
                    failure.add_note(f"in the row {label}")
                    failures.append(failure)
            if len(failures) == 1:
                raise failures[0]
            if failures:
                raise BaseExceptionGroup(f"{len(failures)} of {len(table)} rows fail", failures)

        update_wrapper(run, check)
        del run.__wrapped__  # type: ignore[attr-defined]  # pytest would look for its arguments among the fixtures
        return run

    return decorate


def _labels(table: list[tuple[Any, ...]], ids: Callable[[Any], object] | Iterable[object] | None) -> list[str]:
    if ids is None:
        return [", ".join(map(repr, row)) for row in table]
    if callable(ids):
        return [", ".join(str(ids(value)) for value in row) for row in table]
    labels = [str(label) for label in ids]
    if len(labels) != len(table):
        raise ValueError("each row needs its id")
    return labels
