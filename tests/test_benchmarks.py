"""The benchmarks run: everything once and small, and nothing about how fast."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import GROUPS, all_workloads, main
from benchmarks.files import Files
from benchmarks.goals import GOALS, Goal
from benchmarks.measure import Result, Sample, Scale, Workload
from benchmarks.peers import absent
from benchmarks.report import as_json, show

ROOT = Path(__file__).parents[1]


def test_everything_is_measured_and_told(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    directory = tmp_path / "files"
    directory.mkdir()
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(figures), "--directory", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    workloads = json.loads(figures.read_text(encoding="utf-8"))["workloads"]
    assert {workload["name"].partition(":")[0] for workload in workloads} == set(GROUPS)
    for workload in workloads:
        assert workload["name"] in done.stdout
        first, *others = workload["contestants"]
        assert workload["contestants"][first]["ratio"] == 1
        for name in (first, *others):
            contestant = workload["contestants"][name]
            assert name in done.stdout
            assert contestant["median"] > 0
            assert contestant["ratio"] > 0
            assert contestant.get("failures", 0) == 0
    assert not [*directory.iterdir()]


@pytest.mark.skipif(bool(absent()), reason=f"not here: {', '.join(absent())}")
def test_goals_are_for_what_is_measured(tmp_path: Path) -> None:
    workloads = all_workloads(Scale(), Files(tmp_path))
    for goal in GOALS:
        contestants = workloads[goal.workload].contestants
        assert goal.contestant in contestants
        assert goal.beside is None or goal.beside in contestants


def made_up(*rates: float, **figures: float) -> Result:
    """What would have been measured, of two contestants."""
    workload = Workload("C-ECHO", "message pair", {})
    names = ("blocking > blocking", "echoscu > storescp/128K")
    samples = {name: [Sample(rate, growth=1 << 20, figures=figures)] for name, rate in zip(names, rates, strict=True)}
    return Result(workload, samples)


def test_goals_are_reached_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    faster, slower = made_up(300.0, 200.0), made_up(100.0, 200.0)
    (goal,) = (goal for goal in GOALS if goal.workload == "dialogue: C-ECHO" and goal.beside)
    assert goal.measured(faster) == 1.5
    assert goal.measured(slower) == 0.5
    assert [each["reached"] for each in as_json({goal.workload: faster})["goals"]] == [True, None, None]
    show({goal.workload: slower})
    assert "NO, 0.5 x the goal" in capsys.readouterr().out
    show({goal.workload: faster})
    assert "NO" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("figure", "bound", "is_reached"),
    [
        ("rate", 100.0, True),
        ("rate", 101.0, False),
        ("added", 0.005, True),
        ("added", 0.004, False),
        ("SCU memory", 1 << 20, True),
        ("CPU", 0.1, False),
        ("failures", 0.0, True),
    ],
)
def test_figures_that_have_a_bound(figure: str, bound: float, is_reached: bool) -> None:
    result = made_up(100.0, 200.0, CPU=0.2, failures=0.0)
    goal = Goal("dialogue: C-ECHO", "blocking > blocking", figure, bound, "echoscu > storescp/128K")  # type: ignore[arg-type]
    measured = goal.measured(result)
    assert measured is not None
    assert goal.is_reached(measured) is is_reached


def test_what_was_not_measured_has_no_figure() -> None:
    result = made_up(100.0, 200.0)
    assert Goal("dialogue: C-ECHO", "nobody", "rate", 1.0).measured(result) is None
    assert Goal("dialogue: C-ECHO", "blocking > blocking", "ratio", 1.0, "nobody").measured(result) is None
    assert Goal("dialogue: C-ECHO", "blocking > blocking", "SCP memory", 1.0).measured(result) is None


def test_a_name_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "no such thing"])
    assert "no such thing" in capsys.readouterr().err
