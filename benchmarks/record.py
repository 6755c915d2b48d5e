"""The figures as JSON: for programs, and to go on where a run was interrupted."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.compared import lines
from benchmarks.goals import BARS, GOALS, Goal
from benchmarks.measure import Result, Sample, Scale, Workload

__all__ = ["Kept", "UnusableError", "as_json"]


def _head(scale: Scale) -> dict[str, Any]:
    """Return what has to be the same where figures are to stand beside each other."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return {
        "python": platform.python_version(),
        "machine": machine,
        "scale": {**asdict(scale), "crowds": [*scale.crowds]},
    }


def _workload_as_json(name: str, result: Result) -> dict[str, Any]:
    first = next(iter(result.samples))
    return {
        "name": name,
        "unit": result.workload.unit,
        "cores": result.workload.cores,
        "contestants": {
            who: {
                "median": result.median_rate(who),
                "ratio": result.ratio(first, who),
                "growth": result.growth(who),
                "peer_growth": result.peer_growth(who),
                **result.figures(who),
                "samples": [asdict(sample) for sample in samples],
            }
            for who, samples in result.samples.items()
        },
    }


def _goal_as_json(goal: Goal, result: Result) -> dict[str, Any]:
    measured = goal.measured(result)
    return {
        "workload": goal.workload,
        "contestant": goal.contestant,
        "figure": goal.figure,
        "least" if goal.is_least else "most": goal.bound,
        "beside": goal.beside,
        "measured": measured,
        "reached": None if measured is None else goal.is_reached(measured),
    }


def as_json(results: Mapping[str, Result], scale: Scale) -> dict[str, Any]:
    """Return everything that was measured: rates per second, memory in bytes, processor time in seconds."""
    return {
        **_head(scale),
        "workloads": [_workload_as_json(name, result) for name, result in results.items()],
        "compared": [line.as_json() for line in lines(results)],
        "goals": [_goal_as_json(goal, results[goal.workload]) for goal in (*GOALS, *BARS) if goal.workload in results],
    }


class UnusableError(Exception):
    """Figures that cannot stand beside those of this run."""


@frozen
class Kept:
    """The file that keeps the figures.

    Parameters
    ----------
    path : Path or None
        Where; ``None`` keeps nothing.
    is_resumed : bool
        Whether what is there already counts.
    """

    path: Path | None
    is_resumed: bool = False

    def write(self, results: Mapping[str, Result], scale: Scale) -> None:
        """Write everything that was measured until now; whenever this is interrupted, a whole file is there."""
        if self.path is not None:
            unfinished = self.path.with_name(f"{self.path.name}.part")
            unfinished.write_text(json.dumps(as_json(results, scale), indent=2) + "\n", encoding="utf-8")
            unfinished.replace(self.path)

    def read(self, workloads: Mapping[str, Workload], scale: Scale) -> dict[str, Result]:
        """Return the workloads that were measured with every contestant already.

        Raises
        ------
        UnusableError
            If that was on another machine, with another Python, or with other amounts.
        """
        if self.path is None or not self.is_resumed or not self.path.exists():
            return {}
        content = json.loads(self.path.read_text(encoding="utf-8"))
        head = _head(scale)
        if {name: content.get(name) for name in head} != head:
            raise UnusableError(f"{self.path} has figures of another machine, another Python or other amounts")
        found = {each["name"]: each["contestants"] for each in content["workloads"] if each["name"] in workloads}
        return {
            name: Result(workloads[name], {who: _samples(each) for who, each in contestants.items()})
            for name, contestants in found.items()
            if contestants.keys() == workloads[name].contestants.keys()
        }


def _samples(contestant: Mapping[str, Any]) -> list[Sample]:
    return [Sample(**sample) for sample in contestant["samples"]]
