"""The benchmarks run: everything once and small, and nothing about how fast."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from benchmarks import calls, compared
from benchmarks.__main__ import GROUPS, all_workloads, main
from benchmarks.builds import Build, UnknownBuildError, build_of
from benchmarks.dcmtk import PDU_LENGTHS
from benchmarks.files import Files
from benchmarks.goals import ASSOCIATIONS, BARS, ECHO, FIND, GOALS, GROUP, IDLE, SCP_ALONE, STORE, Goal, who
from benchmarks.measure import Result, Sample, Scale, Workload, measure
from benchmarks.peers import absent
from benchmarks.record import Kept, as_json
from benchmarks.report import show

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
        assert f"{workload['name']}\n  1 of 1: " in done.stderr
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


@pytest.mark.skipif(bool(absent()), reason=f"not here: {', '.join(absent())}")
def test_bars_are_for_what_is_measured(tmp_path: Path) -> None:
    workloads = all_workloads(Scale(), Files(tmp_path), Build("before", sys.executable))
    found = [name for name in workloads if name.startswith(GROUP)]
    assert found == [ECHO, ASSOCIATIONS, SCP_ALONE, STORE, FIND, IDLE]
    assert [name for name in found if workloads[name].one_core] == [ECHO, ASSOCIATIONS, SCP_ALONE, STORE]
    assert {goal.workload for goal in BARS} == {*found}
    for goal in BARS:
        contestants = workloads[goal.workload].contestants
        assert goal.contestant in contestants
        assert goal.beside is None or goal.beside in contestants


def test_strict_dialogues_have_one_core(tmp_path: Path) -> None:
    assert [name for name, workload in all_workloads(Scale(), Files(tmp_path)).items() if workload.one_core] == [
        "dialogue: C-ECHO",
        "dialogue: associate, C-ECHO, release",
        "store: objects of 4 KB, into memory",
        "store: objects of 4 KB, to disk",
    ]


@pytest.mark.skipif(bool(absent()), reason=f"not here: {', '.join(absent())}")
def test_contestants_who_say_nothing_new_are_left_out(tmp_path: Path) -> None:
    workloads = all_workloads(Scale(), Files(tmp_path))
    images, small = (workloads[f"store: {what}, into memory"] for what in ("images of 526 KB", "objects of 4 KB"))
    assert set(small.contestants) < set(images.contestants)
    assert {who for who in images.contestants if "storescu/16K" in who}
    assert not {who for who in small.contestants if "/16K" in who}
    assert {who for who in small.contestants if "pynetdicom" in who} == {"pynetdicom > pynetdicom"}
    to_disk = set(workloads["store: images of 526 KB, to disk"].contestants)
    assert {who for who in to_disk if "storescp" in who} == {
        f"storescu/{size} > storescp/{size}" for size in PDU_LENGTHS
    }


@pytest.mark.parametrize(("one_core", "cores"), [(True, 1), (False, len(os.sched_getaffinity(0)))])
def test_a_run_and_what_it_starts_have_one_core(one_core: bool, cores: int, capsys: pytest.CaptureFixture[str]) -> None:
    def count() -> Sample:
        command = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
        return Sample(float(subprocess.run(command, capture_output=True, check=True).stdout))

    workload = Workload("cores", "core", {"who": count}, one_core=one_core)
    result = measure(workload, 1, pytest.fail)
    assert result.median_rate("who") == cores
    show({"cores": result})
    assert ("cores (one core)" in capsys.readouterr().out) is one_core


def test_a_contestant_that_fails_is_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> Sample:
        raise RuntimeError("no luck")

    failures: list[str] = []
    said: list[str] = []
    workload = Workload("luck", "unit", {"some": lambda: Sample(1.0), "none": fail})
    result = measure(workload, 2, failures.append, said.append)
    assert result.samples.keys() == {"some"}
    assert failures == ["luck, none: it failed; its process has said why"]
    assert "no luck" in capfd.readouterr().err
    assert "".join(said).count("some") == 2


def test_an_interrupted_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    words = ["--quick", "--only", "C-STORE-RQ", "--json", str(figures), "--resume"]
    assert main(words) == 0
    content = json.loads(figures.read_text(encoding="utf-8"))
    *kept, left_out = content["workloads"]
    (first, contestant), *_ = kept[0]["contestants"].items()
    contestant["samples"][0]["rate"] = 4711.0
    figures.write_text(json.dumps({**content, "workloads": kept}), encoding="utf-8")
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().err
    assert left_out["name"] in said
    assert kept[0]["name"] not in said
    content = json.loads(figures.read_text(encoding="utf-8"))
    assert [workload["name"] for workload in content["workloads"]] == [kept[0]["name"], left_out["name"]]
    assert content["workloads"][0]["contestants"][first]["median"] == 4711.0


def test_a_workload_is_measured_again_if_a_contestant_was_left_out(tmp_path: Path) -> None:
    workloads = {
        "C-ECHO": Workload("C-ECHO", "message pair", {"some": lambda: Sample(1.0), "none": lambda: Sample(1.0)})
    }
    kept = Kept(tmp_path / "figures.json", is_resumed=True)
    assert kept.read(workloads, Scale()) == {}
    kept.write({"C-ECHO": Result(workloads["C-ECHO"], {"some": [Sample(1.0)]})}, Scale())
    assert kept.read(workloads, Scale()) == {}


def test_what_cannot_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    Kept(figures).write({}, Scale(repeat=3))
    for words, reason in ((["--json", str(figures)], "other amounts"), ([], "--resume needs --json")):
        with pytest.raises(SystemExit):
            main([*words, "--resume"])
        assert reason in capsys.readouterr().err


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
    assert [each["reached"] for each in as_json({goal.workload: faster}, Scale())["goals"]] == [True, None, None]
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


# --- another build ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(bool(absent()), reason=f"not here: {', '.join(absent())}")
def test_another_build_is_measured_beside(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--before", sys.executable, "--json", str(figures)]
    done = subprocess.run(
        [*command, "--only", GROUP], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(figures.read_text(encoding="utf-8"))
    assert [workload["name"] for workload in content["workloads"]] == [ECHO, ASSOCIATIONS, SCP_ALONE, STORE, FIND, IDLE]
    shown = [(f"{GROUP}{line['workload']}", line["adapter"], line["figure"]) for line in content["compared"]]
    assert shown == [
        (ECHO, "blocking", "each"),
        (ECHO, "blocking", "SCU calls"),
        (ECHO, "blocking", "SCP calls"),
        (ASSOCIATIONS, "asyncio", "each"),
        (SCP_ALONE, "trio", "each"),
        (STORE, "blocking", "each"),
        (FIND, "asyncio", "each"),
        (IDLE, "trio", "memory each"),
        (IDLE, "trio", "CPU"),
    ]
    for line in content["compared"]:
        assert line["before"] is not None
        assert line["now"] is not None
        assert (line["dcmtk"] is None) is (line["figure"] != "each")
        assert None not in line["met"]
    table = compared.markdown(content)
    assert len(table.splitlines()) == 2 + len(shown)


def test_contestants_alternate_while_all_are_alive() -> None:
    alive: list[str] = []
    turns: list[str] = []

    @contextmanager
    def together(names: Collection[str]) -> Iterator[None]:
        alive.extend(names)
        yield

    def turn(name: str) -> Sample:
        assert alive == ["one", "other"]
        turns.append(name)
        return Sample(float(len(turns)))

    contestants = {name: partial(turn, name) for name in ("one", "other")}
    workload = Workload("turns", "turn", contestants, rounds=3, together=together)
    result = measure(workload, 99, pytest.fail)
    assert {who: [sample.rate for sample in samples] for who, samples in result.samples.items()} == {
        "one": [3.0, 6.0, 7.0],  # the first turn of each counts for nothing
        "other": [4.0, 5.0, 8.0],
    }
    assert result.ratio("one", "other") == 7 / 8  # the median of 3 / 4, 6 / 5 and 7 / 8
    assert not alive  # they were in a process of their own


def test_if_one_who_alternates_fails_nothing_is_measured(capfd: pytest.CaptureFixture[str]) -> None:
    def together(_: Collection[str]) -> AbstractContextManager[None]:
        raise RuntimeError("no luck")

    failures: list[str] = []
    workload = Workload("luck", "unit", {"some": lambda: Sample(1.0)}, together=together)
    assert measure(workload, 1, failures.append).samples == {}
    assert failures == ["luck: it failed; its process has said why"]
    assert "no luck" in capfd.readouterr().err


def test_builds(capsys: pytest.CaptureFixture[str]) -> None:
    assert build_of(sys.executable) == Build("before", sys.executable)
    with pytest.raises(UnknownBuildError, match="no such commit"):
        build_of("no such commit")
    for program in (main, calls.main):
        with pytest.raises(SystemExit):
            program(["--before", "no such commit", "--only", "no such thing"])
        assert "no such commit" in capsys.readouterr().err


def test_a_side_that_says_nothing(tmp_path: Path) -> None:
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\n", encoding="utf-8")
    silent.chmod(0o755)
    with pytest.raises(RuntimeError, match="does not answer"), Build("silent", str(silent)).side("scp") as side:
        side.answer()


def test_what_is_compared_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @contextmanager
    def together(_: Collection[str]) -> Iterator[None]:
        yield

    workload = Workload("C-ECHO, both ends", "message pair", {}, together=together)
    rates = {who("before", "blocking"): 100.0, who("now", "blocking"): 250.0, "DCMTK": 1000.0}
    counted = {"SCU calls": 185.0, "SCP calls": 99.0}
    samples = {name: [Sample(rate, figures=counted if name != "DCMTK" else {})] for name, rate in rates.items()}
    results = {ECHO: Result(workload, samples)}
    compared.show(results)
    shown = capsys.readouterr().out
    figures = tmp_path / "figures.json"
    Kept(figures).write(results, Scale())
    assert compared.main([str(figures)]) == 0
    table = capsys.readouterr().out
    rows = [
        ("C-ECHO, both ends", "blocking", "10 ms", "4 ms", "1 ms", "2.50", "2 x before blocking", "yes"),
        ("C-ECHO, both ends: SCU calls", "blocking", "185", "185", "", "1.00", "at most 100", "NO"),
        ("C-ECHO, both ends: SCP calls", "blocking", "99", "99", "", "1.00", "at most 100", "yes"),
    ]
    assert table.splitlines()[2:] == [f"| {' | '.join(row)} |" for row in rows]
    for row in rows:
        assert row[0] in shown
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- compared: begin -->\nold\n<!-- compared: end -->\nafter\n", encoding="utf-8")
    assert compared.main([str(figures), "--into", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    assert table in written
    assert "old" not in written
    assert compared.main([str(figures), "--into", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == written
    with pytest.raises(ValueError, match="compared: begin"):
        compared.into_page("no marks", table)


def test_the_page_has_a_place_for_the_table() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "no such table" in compared.into_page(page, "no such table")


# --- calls ------------------------------------------------------------------------------------------------------------


def test_calls_are_counted_at_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "calls.json"
    assert calls.main(["--operations", "5", "--functions", "--json", str(figures)]) == 0
    content = json.loads(figures.read_text(encoding="utf-8"))
    assert len(content["calls"]) == len(calls.WORKS)
    shown = capsys.readouterr().out
    for each in content["calls"]:
        assert each["name"] in shown
        assert each["build"] == "now"
        for side in ("SCU", "SCP"):
            assert each[side]["calls"] == pytest.approx(sum(each[side]["places"].values()), abs=1)
            assert each[side]["places"]["dicom_proto.dimse"] > 0
            assert "__main__" not in each[side]["places"]
            assert ("dicom_transports" in str(each[side]["places"])) is ("memory" not in each["name"])


def test_calls_of_two_builds_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "calls.json"
    words = ["--only", "memory", "--operations", "5", "--before", sys.executable, "--json", str(figures)]
    assert calls.main(words) == 0
    assert "SCU before  SCU now  SCP before  SCP now" in capsys.readouterr().out
    echo, same_echo, store, same_store = json.loads(figures.read_text(encoding="utf-8"))["calls"]
    assert {**echo, "build": "now"} == same_echo  # nothing is left to chance
    assert {**store, "build": "now"} == same_store
    assert store["SCP"]["calls"] > echo["SCP"]["calls"]


@pytest.mark.parametrize(
    ("function", "place"),
    [
        ("dicom_proto.dimse.connection:Connection.next_event", "dicom_proto.dimse"),
        ("dicom_proto.services.retrieve.get:get_scu", "dicom_proto.services"),
        ("dicom_proto:flat", "dicom_proto"),
        ("dicom_transports._threads:Association._wait_for", "dicom_transports._threads"),
        ("<attrs generated init dicom_proto.dimse.messages.CEchoRQ>:__init__", "dicom_proto.dimse"),
        ("pydicom.dataset:Dataset.__getattr__", "pydicom"),
        ("trio._core._run:Runner.schedule", "trio"),
        ("importlib._bootstrap:_handle_fromlist", "stdlib"),
        ("<string>:<lambda>", "stdlib"),
    ],
)
def test_where_a_function_is(function: str, place: str) -> None:
    assert calls.place_of(function) == place
