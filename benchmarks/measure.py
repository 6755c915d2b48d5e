"""How things are measured: each run in a process of its own, the contestants in turn, the median of several rounds."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkProcess
from statistics import median
from time import monotonic, perf_counter
from typing import Final, TypeVar

from attrs import evolve, field, frozen

from benchmarks.usage import own_memory

__all__ = ["CORE", "OURS", "Result", "Sample", "Scale", "Workload", "measure", "rate", "timed"]

T = TypeVar("T")
OURS: Final = "dicom-proto"
CORE: Final = max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None
"""The core on which workloads for one core run; ``None`` where the platform binds no process to a core."""

# A forked process is there at once and has all modules imported already; its memory is measured from there on.
_FORK: Final = multiprocessing.get_context("fork")
_LONGEST_RUN: Final = 300.0  # seconds until a run counts as hanging
_LONGEST_CONTEST: Final = 1200.0  # likewise, of all rounds of contestants who alternate
_LOOK: Final = 0.02  # seconds between two looks at the memory of a run


@frozen
class Scale:
    """How much is measured.

    Parameters
    ----------
    seconds : float
        How long something short is repeated; 0 is once.
    repeat : int
        Rounds.
    every : int
        1 for all contestants; otherwise the first of a workload and one in so many of the others.
    big : int
        Bytes of the one big data set.
    images, small : int
        Objects of 526 KB and of 4 KB on one association.
    echoes, associations : int
        C-ECHO requests on one association; associations one after the other.
    queries, matches : int
        C-FIND requests on one association, and responses to each; DCMTK's index has room for 500 studies.
    crowds : tuple of int
        How many associations there are at a time.
    hold : float
        Seconds for which they are watched.
    far, delay : int, float
        Objects over a link with so many seconds there and back.
    turn, turns : float, int
        Seconds of one turn, and turns of each, where two builds are compared.
    """

    seconds: float = 0.05
    repeat: int = 5
    every: int = 1
    big: int = 1 << 30
    images: int = 500
    small: int = 5000
    echoes: int = 5000
    associations: int = 300
    queries: int = 25
    matches: int = 400
    crowds: tuple[int, ...] = (10, 100, 1000)
    hold: float = 1.0
    far: int = 200
    delay: float = 0.02
    turn: float = 0.5
    turns: int = 15


@frozen
class Sample:
    """What one run gave.

    Parameters
    ----------
    rate : float
        Units of the workload per second.
    growth : int or None
        Bytes that the process took for itself, at most, beyond those from before the run.
    peer_growth : int or None
        The same of the other process, if there was one.
    figures : mapping
        What else was measured, by names that :mod:`benchmarks.report` knows: seconds, bytes, shares, numbers.
    """

    rate: float
    growth: int | None = None
    peer_growth: int | None = None
    figures: Mapping[str, float] = field(factory=dict)


@frozen
class Workload:
    """One job, and who does it: functions that do it once and tell how fast they were.

    Parameters
    ----------
    name, unit : str
        What is done, and what is counted.
    contestants : mapping
        Who does it; all others are compared with the first.
    prepare : callable, optional
        Called once before, not measured.
    one_core : bool
        Whether all processes of a run share one core. Where one side always waits for the other, each message wakes a
        process: on another core that takes ten times as long, and whether it is another one is up to the scheduler.
    rounds : int or None
        The most rounds that it gets, where more say nothing new; ``None`` for any number.
    together : callable, optional
        Has contestants, whose names it gets, alive at once, so that they can alternate quickly. They then run in one
        process, each of them forwards and backwards in turn; the rounds are those of the workload, and the first,
        which comes before those, counts for nothing.
    """

    name: str
    unit: str
    contestants: Mapping[str, Callable[[], Sample]]
    prepare: Callable[[], object] | None = None
    one_core: bool = False
    rounds: int | None = None
    together: Callable[[Collection[str]], AbstractContextManager[object]] | None = None

    @property
    def cores(self) -> str:
        """Tell where its processes run."""
        if not self.one_core:
            return "all cores"
        return "not bound to a core" if CORE is None else "one core"


@frozen
class Result:
    """What a workload gave: a sample per contestant and round."""

    workload: Workload
    samples: Mapping[str, list[Sample]] = field(factory=dict)

    def median_rate(self, contestant: str) -> float:
        """Return the median rate of one contestant."""
        return median(sample.rate for sample in self.samples[contestant])

    def ratio(self, contestant: str, other: str) -> float:
        """Return how many times as fast as another one is: the median over what ran in the same round."""
        pairs = zip(self.samples[contestant], self.samples[other], strict=True)
        return median(one.rate / another.rate for one, another in pairs)

    def growth(self, contestant: str) -> int | None:
        """Return the median growth of memory in bytes."""
        return _median([sample.growth for sample in self.samples[contestant]])

    def peer_growth(self, contestant: str) -> int | None:
        """Return the median growth of the other process's memory in bytes, ``None`` without one."""
        return _median([sample.peer_growth for sample in self.samples[contestant]])

    def figures(self, contestant: str) -> dict[str, float]:
        """Return the medians of what else was measured."""
        samples = self.samples[contestant]
        return {name: median(sample.figures[name] for sample in samples) for name in samples[0].figures}


def _median(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return int(median(known)) if known else None


def rate(step: Callable[[], object], seconds: float, units: float = 1.0) -> float:
    """Return how many units per second a function does when it is called again and again for some time."""
    step()
    count = 1
    while True:
        took = timed(step, count)
        if took >= seconds:
            return count * units / took
        count *= 2


def timed(step: Callable[[], object], count: int = 1) -> float:
    """Return how many seconds some calls of a function take."""
    began = perf_counter()
    for _ in range(count):
        step()
    return perf_counter() - began


def measure(
    workload: Workload, repeat: int, failed: Callable[[str], object], say: Callable[[str], object] = lambda _: None
) -> Result:
    """Run the contestants in turn, so that whatever else the machine does meets them alike.

    Parameters
    ----------
    workload : Workload
        What they do.
    repeat : int
        Rounds, unless the workload has less.
    failed : callable
        Called with what there is to say about a contestant who fails; that one is left out.
    say : callable, optional
        Called with how far it is, in pieces of lines.
    """
    if workload.prepare is not None:
        workload.prepare()
    if workload.together is not None:
        return Result(workload, _together(workload, workload.together, failed, say))
    samples: dict[str, list[Sample]] = {name: [] for name in workload.contestants}
    rounds = min(repeat, workload.rounds or repeat)
    for number in range(rounds):
        say(f"  {number + 1} of {rounds}:")
        for name in tuple(samples):
            began = monotonic()
            try:
                samples[name].append(_run_apart(workload.contestants[name], workload.one_core))
            except RuntimeError as error:
                del samples[name]
                failed(f"{workload.name}, {name}: {error}")
            say(f" {name} {monotonic() - began:.1f} s;")
        say("\n")
    return Result(workload, samples)


def _together(
    workload: Workload,
    alive: Callable[[Collection[str]], AbstractContextManager[object]],
    failed: Callable[[str], object],
    say: Callable[[str], object],
) -> dict[str, list[Sample]]:
    rounds = workload.rounds or 1

    def alternate() -> dict[str, list[Sample]]:
        names = [*workload.contestants]
        samples: dict[str, list[Sample]] = {name: [] for name in names}
        with alive(names):
            for number in range(rounds + 1):
                began = monotonic()
                for name in names if number % 2 else reversed(names):
                    sample = workload.contestants[name]()
                    if number:
                        samples[name].append(sample)
                if number:
                    say(f"  {number} of {rounds}: {monotonic() - began:.1f} s\n")
        return samples

    try:
        samples, _, _ = _apart(alternate, workload.one_core, _LONGEST_CONTEST)
    except RuntimeError as error:
        failed(f"{workload.name}: {error}")
        return {}
    return samples


def _run_apart(run: Callable[[], Sample], one_core: bool) -> Sample:
    sample, before, most = _apart(run, one_core, _LONGEST_RUN)
    if sample.growth is None and before is not None and most is not None:
        return evolve(sample, growth=most - before)
    return sample


def _apart(run: Callable[[], T], one_core: bool, longest: float) -> tuple[T, int | None, int | None]:
    """Run something in a process of its own; return also the memory of that before, and the most that it had."""
    receiver, sender = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_report, args=(run, one_core, sender))
    process.start()
    sender.close()
    try:
        peak = _watch(process, receiver, longest)
        found: tuple[T, int | None, int | None] = receiver.recv()
    except EOFError:
        raise RuntimeError("it failed; its process has said why") from None
    finally:
        _end(process)
    result, before, after = found
    return result, before, None if after is None else max(peak, after)


def _watch(process: ForkProcess, receiver: Pipe, longest: float) -> int:
    """Wait until a run has something to tell; return the most memory that it was seen to have."""
    deadline = monotonic() + longest
    peak = 0
    while not receiver.poll(_LOOK):
        peak = max(peak, own_memory(process.pid) or 0)
        if monotonic() > deadline:
            raise RuntimeError(f"it did not end in {longest:.0f} seconds")
    return peak


def _end(process: ForkProcess) -> None:
    """End a run, with everything that it has started."""
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may not have a group yet
    process.join()


def _report(run: Callable[[], object], one_core: bool, sender: Pipe) -> None:
    os.setsid()  # a process group of its own, for what it starts
    if one_core and CORE is not None:
        os.sched_setaffinity(0, {CORE})  # also of what it starts
    logging.disable()  # what peers have to say about being killed
    before = own_memory()
    result = run()
    sender.send((result, before, own_memory()))
