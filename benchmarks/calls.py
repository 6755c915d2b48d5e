"""How many Python functions an operation calls, at which side, and where they are: ``python -m benchmarks.calls``.

That does not depend on the machine, and hardly on anything else: it is no measurement of time. A generator that is
resumed counts as a call. Each side is a process of its own; in memory there are two connections in one process, and
nothing else. What the programs of the benchmarks themselves call is left out.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import sleep
from typing import Any, Final, TypeAlias

from attrs import frozen

from benchmarks.builds import NOW, Build, Side, UnknownBuildError, build_of
from benchmarks.files import Files
from benchmarks.report import Row, show_table

__all__ = ["OPERATIONS", "WORKS", "Counted", "count", "main", "place_of"]

OPERATIONS: Final = 200
_WARM_UP: Final = 20  # operations
_SETTLED: Final = 0.1  # seconds until nothing happens any more
_NAMES: Final = {"echo": "C-ECHO", "store": "C-STORE of 4 KB"}
_OURS: Final = ("dicom_proto", "dicom_transports")
_GENERATED: Final = re.compile(r"<attrs generated .*?([\w.]+)>")
MEMORY: Final = "memory"
WORKS: Final = (
    ("echo", "blocking"),
    ("store", "blocking"),
    ("echo", "asyncio"),
    *([("echo", "trio")] if find_spec("trio") else []),
    ("echo", MEMORY),
    ("store", MEMORY),
)
"""What is counted, and between whom."""

Functions: TypeAlias = Mapping[str, float]


@frozen
class Counted:
    """The calls of one operation.

    Parameters
    ----------
    work, between, build : str
        What was done, between whom, and with which build.
    scu, scp : mapping
        Calls of each function, by ``module:function``.
    """

    work: str
    between: str
    build: str
    scu: Functions
    scp: Functions

    @property
    def name(self) -> str:
        """Tell what was done."""
        return f"{_NAMES[self.work]}, {'in memory' if self.between == MEMORY else self.between}"

    def as_json(self) -> dict[str, Any]:
        """Return the calls of each side, and where they are."""
        sides = {"SCU": self.scu, "SCP": self.scp}
        told = {side: {"calls": _sum(calls), "places": by_place(calls)} for side, calls in sides.items()}
        return {"name": self.name, "build": self.build, **told}


def count(build: Build, work: str, between: str, operations: int, files: Path) -> Counted:
    """Count the calls of one operation.

    Parameters
    ----------
    build : Build
        Of what.
    work, between : str
        One of :data:`WORKS`.
    operations : int
        Of how many operations the average is taken.
    files : Path
        A directory with the file that is stored.
    """
    if between == MEMORY:
        with build.side(MEMORY, "--work", work) as both:
            scu, scp = _counted(both, None, operations)
        return Counted(work, between, build.name, scu, scp)
    with build.side("scp", between, "--count") as server:
        port = str(server.answer()[1])
        options = ["--count", "--work", work, "--directory", str(files), "--port", port]
        with build.side("scu", between, *options) as client:
            scu, scp = _counted(client, server, operations)
    return Counted(work, between, build.name, scu, scp)


def _counted(client: Side, server: Side | None, operations: int) -> tuple[Functions, Functions]:
    def until_now() -> list[dict[str, int]]:
        sleep(_SETTLED)
        counts = client.ask("calls")
        return [*counts] if server is None else [counts, server.ask("calls")]

    client.ask(f"times {_WARM_UP}")
    before = until_now()
    client.ask(f"times {operations}")
    scu, scp = (
        {name: (calls - first.get(name, 0)) / operations for name, calls in last.items() if calls != first.get(name, 0)}
        for first, last in zip(before, until_now(), strict=True)
    )
    return scu, scp


# --- where they are ---------------------------------------------------------------------------------------------------


def place_of(function: str) -> str:
    """Return where a function is: a folder of ours, or a module that lies in none; a package; the standard library."""
    module, _, _ = function.partition(":")
    generated = _GENERATED.match(module)
    first, *others = (generated[1] if generated else module).split(".")
    if first in _OURS:
        return ".".join([first, *others[:1]])
    return "stdlib" if first in sys.stdlib_module_names or first.startswith("<") else first


def by_place(functions: Functions) -> dict[str, float]:
    """Return the calls by place, ours first."""
    places: dict[str, float] = {}
    for function, calls in functions.items():
        place = place_of(function)
        places[place] = places.get(place, 0.0) + calls
    return {place: round(places[place], 2) for place in sorted(places, key=_order)}


def _order(place: str) -> tuple[bool, str]:
    return not place.startswith(_OURS), place


def _sum(functions: Functions) -> int:
    return round(sum(functions.values()))


# --- tables -----------------------------------------------------------------------------------------------------------


def _told(calls: float) -> str:
    return f"{calls:.1f}".removesuffix(".0") if calls >= 0.05 else ""


def _rows(name: str, found: Sequence[Counted]) -> Iterator[Row]:
    """Yield the rows of one operation, with columns for the SCU with each build, and for the SCP."""
    columns = [by_place(each) for each in (*(one.scu for one in found), *(one.scp for one in found))]
    yield name, "all", *(str(round(sum(column.values()))) for column in columns)
    for place in sorted({place for column in columns for place in column}, key=_order):
        cells = [_told(column.get(place, 0.0)) for column in columns]
        if any(cells):
            yield "", place, *cells


def _show(found: Sequence[Counted], builds: Sequence[Build]) -> None:
    headings = ["Python calls", "where", *(f"{side} {build.name}" for side in ("SCU", "SCP") for build in builds)]
    names = dict.fromkeys(one.name for one in found)
    show_table(
        tuple(headings), [row for name in names for row in _rows(name, [one for one in found if one.name == name])]
    )


def _show_functions(found: Sequence[Counted]) -> None:
    rows: list[Row] = [
        (one.name, one.build, side, _told(calls), function)
        for one in found
        for side, functions in (("SCU", one.scu), ("SCP", one.scp))
        for function, calls in sorted(functions.items(), key=lambda item: -item[1])
        if _told(calls)
    ]
    show_table(("Python calls", "build", "side", "calls", "function"), rows)


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--before", metavar="COMMIT", help="count them also of the build of a commit, or of a Python")
    parser.add_argument("--only", metavar="NAME", default="", help="only operations whose name has this in it")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="for the average (default: %(default)s)")
    parser.add_argument("--functions", action="store_true", help="tell each function too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the calls to a file")
    options = parser.parse_args(words)
    try:
        builds = [*([build_of(options.before)] if options.before else []), NOW]
    except UnknownBuildError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="dicom-benchmarks-") as root:
        (file,) = Files(Path(root)).small(1)
        found = [
            one
            for work, between in WORKS
            if options.only in Counted(work, between, "", {}, {}).name
            for one in (count(build, work, between, options.operations, file.parent) for build in builds)
        ]
    if not found:
        parser.error(f"no operation has {options.only!r} in its name")
    _show(found, builds)
    if options.functions:
        _show_functions(found)
    if options.json:
        content = {"operations": options.operations, "calls": [one.as_json() for one in found]}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
