"""The figures as tables for people."""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

from benchmarks.goals import BARS, GOALS, Figure, Goal
from benchmarks.measure import Result

__all__ = ["FIGURES", "Row", "show", "show_table", "told_seconds"]

HEADINGS: Final = ("workload", "who", "median", "each", "lowest, highest", "the first is", "memory, SCU SCP", "more")
GOAL_HEADINGS: Final = ("goals: workload", "who", "goal", "measured", "reached")
Row = tuple[str, ...]


def _rate(per_second: float, unit: str) -> str:
    return f"{per_second / 1e9:.2f} GB/s" if unit == "B" else f"{per_second:,.0f} {unit}/s"


def told_seconds(seconds: float) -> str:
    """Return a time for people."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} us"


def _each(per_second: float, unit: str) -> str:
    return "" if unit == "B" else told_seconds(1 / per_second)


def _bytes(count: float) -> str:
    return f"{count / (1 << 20):.1f} MiB" if abs(count) >= 1 << 20 else f"{count / (1 << 10):.1f} KiB"


FIGURES: Final[Mapping[str, Callable[[float], str]]] = {
    "SCU CPU": told_seconds,
    "SCP CPU": told_seconds,
    "CPU": lambda share: f"{share:.1%}",
    "memory each": _bytes,
    "failures": lambda count: f"{count:.0f}",
    "SCU calls": lambda count: f"{count:.0f}",
    "SCP calls": lambda count: f"{count:.0f}",
}
"""How each figure is told, by its name."""
_GOALS: Final[Mapping[Figure, Callable[[float], str]]] = {
    "ratio": lambda ratio: f"{ratio:.3g} x",
    "added": told_seconds,
    "SCU memory": _bytes,
    "SCP memory": _bytes,
    "CPU": FIGURES["CPU"],
    "failures": FIGURES["failures"],
    "memory ratio": lambda ratio: f"{ratio:.3g} x",
    "SCU calls": FIGURES["SCU calls"],
    "SCP calls": FIGURES["SCP calls"],
}


def _memory(result: Result, who: str) -> str:
    growths = (result.growth(who), result.peer_growth(who))
    return "  ".join("-" if growth is None else _bytes(growth) for growth in growths)


def _told_where(name: str, result: Result) -> str:
    return f"{name} ({result.workload.cores})" if result.workload.one_core else name


def _rows(name: str, result: Result) -> list[Row]:
    rows: list[Row] = []
    first = next(iter(result.samples))
    for number, (who, samples) in enumerate(result.samples.items()):
        unit, middle = result.workload.unit, result.median_rate(who)
        lowest, highest = min(sample.rate for sample in samples), max(sample.rate for sample in samples)
        rows.append(
            (
                "" if number else _told_where(name, result),
                who,
                _rate(middle, unit),
                _each(middle, unit),
                f"{lowest / middle - 1:+.0%} {highest / middle - 1:+.0%}",
                f"{result.ratio(first, who):.3g} x" if number else "",
                _memory(result, who),
                ", ".join(f"{name} {FIGURES[name](value)}" for name, value in result.figures(who).items()),
            )
        )
    return rows


def _goal_row(goal: Goal, result: Result) -> Row:
    measured = goal.measured(result)
    return (
        goal.contestant,
        _bound(goal, result.workload.unit),
        "not measured" if measured is None else _told(goal.figure, measured, result.workload.unit),
        "" if measured is None else _verdict(goal, measured),
    )


def _told(figure: Figure, value: float, unit: str) -> str:
    return f"{_rate(value, unit)}, {_each(value, unit)}" if figure == "rate" else _GOALS[figure](value)


def _bound(goal: Goal, unit: str) -> str:
    bound = _told(goal.figure, goal.bound, unit)
    match goal.figure:
        case "rate":
            return f"at least {bound}"
        case "ratio":
            return f"at least {bound} that of {goal.beside}"
        case "added":
            return f"at most {bound} more than {goal.beside}"
        case "memory ratio":
            return f"at most {bound} the memory of {goal.beside}"
    return f"{goal.figure} at most {bound}"


def _verdict(goal: Goal, measured: float) -> str:
    if goal.is_reached(measured):
        return "yes"
    if not goal.bound:
        return "NO"
    return f"NO, {measured / goal.bound:.3g} x the goal"


def _goal_rows(results: Mapping[str, Result]) -> list[Row]:
    """Return a row for each goal of what was measured at all."""
    rows: list[Row] = []
    for name, result in results.items():
        goals = [goal for goal in (*GOALS, *BARS) if goal.workload == name]
        rows += [("" if number else name, *_goal_row(goal, result)) for number, goal in enumerate(goals)]
    return rows


def _show_plain(headings: Row, rows: list[Row]) -> None:
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print()


def _show_rich(headings: Row, rows: list[Row]) -> None:
    from rich.console import Console  # noqa: PLC0415 - need not be installed
    from rich.table import Table  # noqa: PLC0415

    table = Table(*headings, show_edge=False)
    for row, following in zip(rows, [*rows[1:], ("end",)], strict=True):
        table.add_row(*row, end_section=bool(following[0]))
    Console().print(table)


def show_table(headings: Row, rows: list[Row]) -> None:
    """Print a table."""
    (_show_rich if sys.stdout.isatty() and find_spec("rich") else _show_plain)(headings, rows)


def show(results: Mapping[str, Result]) -> None:
    """Print a table of the figures, and one of the goals."""
    show_table(HEADINGS, [row for name, result in results.items() for row in _rows(name, result)])
    goals = _goal_rows(results)
    if goals:
        show_table(GOAL_HEADINGS, goals)
