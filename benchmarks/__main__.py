"""Measure, and print a table: ``python -m benchmarks --help``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import codec, core, loopback, messages, report
from benchmarks.measure import Result, Scale, measure

GROUPS = {
    "codec": codec.workloads,
    "messages": messages.workloads,
    "core": core.workloads,
    "loopback": loopback.workloads,
}
QUICK = Scale(seconds=0.0, big=1 << 20, repeat=1)


def run(scale: Scale, only: list[str]) -> dict[str, list[Result]]:
    """Measure all workloads, or those that have one of some words in their names."""
    results: dict[str, list[Result]] = {}
    for group, workloads in GROUPS.items():
        for workload in workloads(scale):
            name = f"{group}: {workload.name}"
            if not only or any(word in name for word in only):
                print(f"measuring {name}", file=sys.stderr)
                results.setdefault(group, []).append(measure(workload, scale.repeat))
    return results


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only workloads whose name has this in it"
    )
    parser.add_argument("--repeat", type=int, default=Scale().repeat, metavar="N", help="rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--quick", action="store_true", help="do everything once and small, to see that it works")
    arguments = parser.parse_args(words)
    results = run(QUICK if arguments.quick else Scale(repeat=arguments.repeat), arguments.only)
    if not results:
        parser.error(f"no workload has one of {arguments.only} in its name")
    report.show(results)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(results), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
