"""The figures as a table for people and as JSON for programs."""

import platform
import sys
from importlib.util import find_spec
from typing import Any

from benchmarks.measure import OURS, Result

__all__ = ["as_json", "show"]

HEADINGS = ("workload", "who", "median", "each", "lowest, highest", f"{OURS} is", "memory")


def _rate(per_second: float, unit: str) -> str:
    return f"{per_second / 1e9:.2f} GB/s" if unit == "B" else f"{per_second:,.0f} {unit}/s"


def _each(per_second: float, unit: str) -> str:
    if unit == "B":
        return ""
    milliseconds = 1000 / per_second
    return f"{milliseconds:.3g} ms" if milliseconds >= 1 else f"{milliseconds * 1000:.3g} us"


def _memory(result: Result, name: str) -> str:
    growths = [result.growth(name), result.peer_growth(name)]
    return " and ".join(f"{growth / (1 << 20):.1f}" for growth in growths if growth is not None) + " MiB"


def _rows(group: str, result: Result) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, (name, samples) in enumerate(result.samples.items()):
        unit, middle = result.workload.unit, result.median_rate(name)
        lowest, highest = min(sample.rate for sample in samples), max(sample.rate for sample in samples)
        rows.append(
            (
                "" if number else f"{group}: {result.workload.name}",
                name,
                _rate(middle, unit),
                _each(middle, unit),
                f"{lowest / middle - 1:+.0%} {highest / middle - 1:+.0%}",
                "" if name == OURS else f"{result.ratio(name):.3g} x",
                _memory(result, name),
            )
        )
    return rows


def _show_plain(rows: list[tuple[str, ...]]) -> None:
    lines = [HEADINGS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _show_rich(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - need not be installed
    from rich.table import Table  # noqa: PLC0415

    table = Table(*HEADINGS, show_edge=False)
    for row, following in zip(rows, [*rows[1:], ("end",)], strict=True):
        table.add_row(*row, end_section=bool(following[0]))
    Console().print(table)


def show(results: dict[str, list[Result]]) -> None:
    """Print a table."""
    rows = [row for group, found in results.items() for result in found for row in _rows(group, result)]
    if sys.stdout.isatty() and find_spec("rich"):
        _show_rich(rows)
    else:
        _show_plain(rows)


def as_json(results: dict[str, list[Result]]) -> dict[str, Any]:
    """Return everything that was measured: rates per second, memory in bytes."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "workloads": [
            {
                "name": f"{group}: {result.workload.name}",
                "unit": result.workload.unit,
                "contestants": {
                    name: {
                        "median": result.median_rate(name),
                        "rates": [sample.rate for sample in samples],
                        "ratio": result.ratio(name),
                        "growth": result.growth(name),
                        "peer_growth": result.peer_growth(name),
                    }
                    for name, samples in result.samples.items()
                },
            }
            for group, found in results.items()
            for result in found
        ],
    }
