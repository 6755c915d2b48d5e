"""Measure, and print tables: ``python -m benchmarks --help``."""

import argparse
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from attrs import evolve

from benchmarks import (
    beside,
    codec,
    compared,
    core,
    crowds,
    dialogues,
    far,
    finding,
    lengths,
    messages,
    report,
    storing,
    traces,
    workers,
)
from benchmarks.builds import Build, UnknownBuildError, build_of
from benchmarks.files import Files
from benchmarks.goals import ASSOCIATIONS, ECHO, GROUP, SCP_ALONE, STORE
from benchmarks.measure import Result, Scale, Workload, measure
from benchmarks.peers import absent
from benchmarks.record import Kept, UnusableError

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
    "workers": workers.workloads,
    "lengths": lengths.workloads,
    "trace": lambda scale, _: traces.workloads(scale),
}
STRICT: Final = ("dialogue: ", "store: objects of 4 KB", ECHO, ASSOCIATIONS, SCP_ALONE, STORE)
"""How the names of workloads begin in which one side always waits for the other: they get one core."""
NOTHING_NEW: Final = re.compile(
    r"objects of 4 KB.*: .*/16K"  # they fit into the shortest PDU
    r"|to disk.*: (?!storescu).* > storescp"  # how an SCU fares with storescp is measured without a disk
    r"|to disk.*: (blocking > pynetdicom|pynetdicom > blocking)"  # likewise
    r"|objects of 4 KB.*: ((?!pynetdicom).* > pynetdicom|pynetdicom > (?!pynetdicom))"  # who with whom, images tell
)
"""Contestants, each behind the name of the workload, that are left out, so that a run takes no longer than it must."""
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
    turn=0.02,
    turns=1,
)


def all_workloads(scale: Scale, files: Files, before: Build | None = None) -> dict[str, Workload]:
    """Return everything that can be measured, by its name; with another build, what it takes part in comes first."""
    groups = {f"{group}: ": workloads(scale, files) for group, workloads in GROUPS.items()}
    if before is not None:
        groups = {GROUP: beside.workloads(before, scale, files), **groups}
    found = {}
    for group, workloads in groups.items():
        for workload in workloads:
            name = f"{group}{workload.name}"
            contestants = {who: run for who, run in workload.contestants.items() if not _is_known(name, who)}
            found[name] = evolve(workload, contestants=contestants, one_core=name.startswith(STRICT))
    return found


def _is_known(workload: str, contestant: str) -> bool:
    return NOTHING_NEW.search(f"{workload}: {contestant}") is not None


def thinned(name: str, workload: Workload, every: int, offset: int) -> Workload:
    """Leave out some contestants, but never the first; beside another build all but one adapter."""
    if name.startswith(GROUP):
        return workload if every == 1 else beside.of_one_adapter(workload, offset)
    (first, run), *others = workload.contestants.items()
    return evolve(workload, contestants={first: run, **dict(islice(others, offset % every, None, every))})


def run(
    scale: Scale,
    only: Sequence[str],
    files: Files,
    failed: Callable[[str], object],
    kept: Kept,
    before: Build | None = None,
) -> dict[str, Result]:
    """Measure all workloads, or those that have one of some words in their names; but none again that is kept."""
    workloads = {
        name: thinned(name, workload, scale.every, number)
        for number, (name, workload) in enumerate(all_workloads(scale, files, before).items())
    }
    results = kept.read(workloads, scale)
    for name, workload in workloads.items():
        if name not in results and (not only or any(word in name for word in only)):
            _say(f"{name}\n")
            result = measure(workload, scale.repeat, failed, _say)
            if result.samples:
                results[name] = result
                kept.write(results, scale)
    return results


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _parse(words: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only workloads whose name has this in it"
    )
    parser.add_argument("--repeat", type=int, default=Scale().repeat, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file, after each workload")
    parser.add_argument(
        "--before", metavar="COMMIT", help="measure also the build of a commit, or what a Python has installed"
    )
    parser.add_argument("--resume", action="store_true", help="measure only what is not in that file yet")
    parser.add_argument("--directory", type=Path, help="where files are sent from and stored (default: the system's)")
    parser.add_argument(
        "--quick", action="store_true", help="everything once and small, with some contestants, to see that it works"
    )
    return parser, parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser, arguments = _parse(words)
    if arguments.resume and arguments.json is None:
        parser.error("--resume needs --json")
    for name in absent():
        print(f"not here, and so left out: {name}", file=sys.stderr)
    scale = QUICK if arguments.quick else Scale(repeat=arguments.repeat)
    failures: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="dicom-benchmarks-", dir=arguments.directory) as directory:
            before = None if arguments.before is None else build_of(arguments.before)
            kept = Kept(arguments.json, is_resumed=arguments.resume)
            results = run(scale, arguments.only, Files(Path(directory)), failures.append, kept, before)
    except (UnusableError, UnknownBuildError) as error:
        parser.error(str(error))
    if not results and not failures:
        parser.error(f"no workload has one of {arguments.only} in its name")
    report.show(results)
    compared.show(results)
    if arguments.quick:
        print("this was a quick run: its figures mean nothing")
    for failure in failures:
        print(f"failed, and so left out: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    sys.exit(main())
