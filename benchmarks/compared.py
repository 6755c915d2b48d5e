"""A build beside another one and DCMTK, as one table: ``python -m benchmarks.compared FIGURES --into PAGE``."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from benchmarks.goals import BARS, DCMTK, ECHO, GROUP, IDLE, Figure, Goal, who
from benchmarks.measure import Result
from benchmarks.report import FIGURES, Row, show_table, told_seconds

__all__ = ["Line", "into_page", "lines", "main", "markdown", "show"]

_HEADINGS: Final = ("workload", "adapter", "before", "now", "DCMTK", "now : before", "bar", "met")
_BEGIN, _END = "<!-- compared: begin -->\n", "<!-- compared: end -->\n"
_ADAPTERS: Final = ("blocking", "asyncio", "trio")
_SHOWN: Final[Mapping[str, tuple[tuple[str, Figure], ...]]] = {
    ECHO: (("each", "ratio"), ("SCU calls", "SCU calls"), ("SCP calls", "SCP calls")),
    IDLE: (("memory each", "memory ratio"), ("CPU", "CPU")),
}
"""Which figures of a workload are shown, each with the goals that are for it; of others it is the time for one."""
_TIME: Final[tuple[tuple[str, Figure], ...]] = (("each", "ratio"),)


@frozen
class Line:
    """One figure of an adapter, with each build.

    Parameters
    ----------
    workload, adapter, figure : str
        What was measured: seconds for ``each``, bytes, a share of a core, or a number.
    before, now, dcmtk : float or None
        The figure; ``None`` if it was not measured.
    ratio : float or None
        How many times as fast the build that is here is as the one from before, as the median over the rounds; of
        other figures how many times as much.
    bars : tuple of str
        What is to be reached.
    met : tuple of bool or None
        Whether it is.
    """

    workload: str
    adapter: str
    figure: str
    before: float | None
    now: float | None
    dcmtk: float | None
    ratio: float | None
    bars: tuple[str, ...]
    met: tuple[bool | None, ...]

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {**asdict(self), "bars": [*self.bars], "met": [*self.met]}

    def row(self) -> Row:
        """Return the cells of a row."""
        what = self.workload if self.figure == "each" else f"{self.workload}: {self.figure}"
        numbers = (_told(self.figure, number) for number in (self.before, self.now, self.dcmtk))
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        words = {True: "yes", False: "NO", None: "?"}
        return (what, self.adapter, *numbers, ratio, "; ".join(self.bars), "; ".join(words[each] for each in self.met))


def _told(figure: str, number: float | None) -> str:
    if number is None:
        return ""
    return told_seconds(number) if figure == "each" else FIGURES[figure](number)


def lines(results: Mapping[str, Result]) -> Iterator[Line]:
    """Yield the lines of all workloads in which another build takes part."""
    for name, result in results.items():
        if name.startswith(GROUP):
            for figure, judged in _SHOWN.get(name, _TIME):
                for adapter in _ADAPTERS:
                    if who("now", adapter) in result.samples:
                        yield _line(name, result, adapter, figure, judged)


def _line(name: str, result: Result, adapter: str, figure: str, judged: Figure) -> Line:
    before, now = who("before", adapter), who("now", adapter)
    goals = [goal for goal in BARS if (goal.workload, goal.contestant, goal.figure) == (name, now, judged)]
    measured = [goal.measured(result) for goal in goals]
    return Line(
        name.removeprefix(GROUP),
        adapter,
        figure,
        _number(result, before, figure),
        _number(result, now, figure),
        _number(result, DCMTK, figure),
        _ratio(result, before, now, figure),
        tuple(map(_bar, goals)),
        tuple(None if each is None else goal.is_reached(each) for goal, each in zip(goals, measured, strict=True)),
    )


def _number(result: Result, contestant: str, figure: str) -> float | None:
    if contestant not in result.samples:
        return None
    return 1 / result.median_rate(contestant) if figure == "each" else result.figures(contestant).get(figure)


def _ratio(result: Result, before: str, now: str, figure: str) -> float | None:
    if before not in result.samples:
        return None
    if figure == "each":
        return result.ratio(now, before)
    one, other = _number(result, now, figure), _number(result, before, figure)
    return one / other if one and other else None


def _bar(goal: Goal) -> str:
    if goal.figure == "ratio":
        return f"{goal.bound:.3g} x {goal.beside}"
    return f"at most {f'{goal.bound:.3g} x' if goal.beside else FIGURES[goal.figure](goal.bound)}"


def show(results: Mapping[str, Result]) -> None:
    """Print the table, if another build took part in anything."""
    rows = [*_rows(line.row() for line in lines(results))]
    if rows:
        show_table(_HEADINGS, rows)


def _rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Tell each workload only once."""
    last = ""
    for what, *others in rows:
        yield "" if what == last else what, *others
        last = what


# --- the documentation ------------------------------------------------------------------------------------------------


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table of figures that were written as JSON."""
    found = [Line(**{**each, "bars": (*each["bars"],), "met": (*each["met"],)}) for each in content["compared"]]
    rows = [_HEADINGS, ("---",) * len(_HEADINGS), *_rows(line.row() for line in found)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def into_page(page: str, table: str) -> str:
    """Return a page with another table between its two marks.

    Raises
    ------
    ValueError
        If it has no marks.
    """
    head, begin, others = page.partition(_BEGIN)
    _, end, tail = others.partition(_END)
    if not begin or not end:
        raise ValueError(f"there is no {_BEGIN.strip()} ... {_END.strip()}")
    return f"{head}{begin}\n{table}\n{end}{tail}"


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compared", description=__doc__)
    parser.add_argument(
        "figures", type=Path, help="what python -m benchmarks --before COMMIT --json FIGURES has written"
    )
    parser.add_argument("--into", type=Path, metavar="PAGE", help="write the table into a page instead of printing it")
    options = parser.parse_args(words)
    table = markdown(json.loads(options.figures.read_text(encoding="utf-8")))
    if options.into is None:
        print(table, end="")
    else:
        options.into.write_text(into_page(options.into.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
