"""Write the committed corpus: ``python -m fuzz.keep [FOLDER]``, where FOLDER is what ``python -m fuzz`` has grown.

The seeds of a harness are written under their names. To them come those inputs of the folder, and of the corpus as it
is, that reach lines of ``dicom_proto`` in an order in which no other does, those that add most first, as long as there
is room for them.
"""

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, Final

from fuzz import CORPUS, HARNESSES, load

__all__ = ["choose", "main", "steps_through"]

_MOST_INPUTS: Final = 60
_LONGEST_INPUT: Final = 600

Arc = tuple[str, int, int]  # file, a line, and the next one


def steps_through(check: Callable[[bytes], None], data: bytes) -> frozenset[Arc]:
    """Return which lines of the core an input makes run, each with the one after it."""
    arcs: set[Arc] = set()

    def trace(frame: FrameType, _event: str, _: object) -> Any:
        name = frame.f_code.co_filename
        if "/dicom_proto/" not in name:
            return None
        before = frame.f_code.co_firstlineno

        def trace_lines(frame: FrameType, event: str, _: object) -> Any:
            nonlocal before
            if event == "line":
                arcs.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return trace_lines

        return trace_lines

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        check(data)
    finally:
        sys.settrace(previous)
    return frozenset(arcs)


def choose(reached: dict[bytes, frozenset[Arc]], known: frozenset[Arc], most: int) -> list[bytes]:
    """Choose so many inputs, fewer if they add nothing to what is known, each time the one that adds most."""
    chosen: list[bytes] = []
    seen = set(known)
    while len(chosen) < most:
        best = max(reached, key=lambda data: (len(reached[data] - seen), -len(data), data), default=b"")
        if not reached.get(best, frozenset()) - seen:
            break
        seen |= reached[best]
        chosen.append(best)
    return chosen


def main(grown: Path) -> None:
    """Write the corpus of each harness."""
    for name in HARNESSES:
        harness = load(name)
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        seeds = harness.seeds()
        inputs = {
            path.read_bytes() for source in (folder, grown / name) if source.is_dir() for path in source.iterdir()
        }
        candidates = sorted(data for data in inputs - set(seeds.values()) if len(data) <= _LONGEST_INPUT)
        for data in candidates[:1]:
            harness.check(data)  # what is done once in a process does not count
        known = frozenset[Arc]().union(*(steps_through(harness.check, data) for data in seeds.values()))
        reached = {data: steps_through(harness.check, data) - known for data in candidates}
        added = choose({data: arcs for data, arcs in reached.items() if arcs}, known, _MOST_INPUTS - len(seeds))
        for path in folder.iterdir():
            path.unlink()
        for label, data in {**seeds, **{sha256(data).hexdigest()[:12]: data for data in added}}.items():
            (folder / label).write_bytes(data)
        print(f"{name}: {len(seeds)} seeds, {len(added)} of {len(candidates)} other inputs")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS.parents[1] / "build" / "fuzz")
