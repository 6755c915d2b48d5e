"""The benchmarks run: everything once and small, and nothing about how fast."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import main

ROOT = Path(__file__).parents[1]


def test_everything_is_measured_and_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    workloads = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["workloads"]
    assert {workload["name"].partition(":")[0] for workload in workloads} == {"codec", "core", "loopback"}
    for workload in workloads:
        assert workload["name"] in done.stdout
        for name, figures in workload["contestants"].items():
            assert name in done.stdout
            assert figures["median"] > 0
            assert figures["ratio"] > 0
        assert workload["contestants"]["dicom-proto"]["ratio"] == 1
    contestants = {name for workload in workloads for name in workload["contestants"]}
    assert ("pynetdicom" in contestants) is (find_spec("pynetdicom") is not None)


def test_a_name_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "no such thing"])
    assert "no such thing" in capsys.readouterr().err
