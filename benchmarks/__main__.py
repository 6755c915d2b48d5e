"""Measure, and print tables: ``python -m benchmarks --help``."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from attrs import evolve

from benchmarks import codec, core, crowds, dialogues, far, finding, messages, report, storing
from benchmarks.files import Files
from benchmarks.measure import Result, Scale, Workload, measure
from benchmarks.peers import absent

__all__ = ["all_workloads", "main"]

Workloads: TypeAlias = Iterator[Workload]

GROUPS: Final[Mapping[str, Callable[[Scale, Files], Workloads]]] = {
    "codec": lambda scale, _: codec.workloads(scale),
    "messages": lambda scale, _: messages.workloads(scale),
    "core": lambda scale, _: core.workloads(scale),
    "dialogue": dialogues.workloads,
    "store": storing.workloads,
    "find": finding.workloads,
    "far": far.workloads,
    "crowd": crowds.workloads,
}
QUICK: Final = Scale(
    seconds=0.0,
    repeat=1,
    every=12,
    big=1 << 20,
    images=2,
    small=8,
    echoes=5,
    associations=2,
    queries=2,
    matches=10,
    crowds=(4,),
    hold=0.02,
    far=8,
    delay=0.002,
)


def all_workloads(scale: Scale, files: Files) -> dict[str, Workload]:
    """Return everything that can be measured, by its name."""
    found = {}
    for group, workloads in GROUPS.items():
        for workload in workloads(scale, files):
            found[f"{group}: {workload.name}"] = workload
    return found


def thinned(workload: Workload, every: int, offset: int) -> Workload:
    """Leave out some contestants, but never the first."""
    (first, run), *others = workload.contestants.items()
    return evolve(workload, contestants={first: run, **dict(islice(others, offset % every, None, every))})


def run(scale: Scale, only: Sequence[str], files: Files, failed: Callable[[str], object]) -> dict[str, Result]:
    """Measure all workloads, or those that have one of some words in their names."""
    results: dict[str, Result] = {}
    for number, (name, workload) in enumerate(all_workloads(scale, files).items()):
        if not only or any(word in name for word in only):
            print(f"measuring {name}", file=sys.stderr)
            result = measure(thinned(workload, scale.every, number), scale.repeat, failed)
            if result.samples:
                results[name] = result
    return results


def _parse(words: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only workloads whose name has this in it"
    )
    parser.add_argument("--repeat", type=int, default=Scale().repeat, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--directory", type=Path, help="where files are sent from and stored (default: the system's)")
    parser.add_argument(
        "--quick", action="store_true", help="everything once and small, with some contestants, to see that it works"
    )
    return parser, parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser, arguments = _parse(words)
    for name in absent():
        print(f"not here, and so left out: {name}", file=sys.stderr)
    scale = QUICK if arguments.quick else Scale(repeat=arguments.repeat)
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="dicom-benchmarks-", dir=arguments.directory) as directory:
        results = run(scale, arguments.only, Files(Path(directory)), failures.append)
    if not results and not failures:
        parser.error(f"no workload has one of {arguments.only} in its name")
    report.show(results)
    if arguments.quick:
        print("this was a quick run: its figures mean nothing")
    for failure in failures:
        print(f"failed, and so left out: {failure}", file=sys.stderr)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(results), indent=2) + "\n", encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    sys.exit(main())
