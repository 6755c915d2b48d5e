"""How things are measured: each run in a process of its own, the contestants in turn, the median of several rounds."""

import logging
import multiprocessing
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, TypeAlias

from attrs import evolve, field, frozen

__all__ = ["OURS", "Address", "Peer", "Result", "Sample", "Scale", "Workload", "measure", "rate", "serving", "timed"]

OURS: Final = "dicom-proto"
Address: TypeAlias = tuple[str, int]

# A forked process is there at once and has all modules imported already; its memory is measured from there on.
_FORK: Final = multiprocessing.get_context("fork")
_LONGEST_RUN: Final = 300.0  # seconds until a run counts as hanging
_STATUS: Final = Path("/proc/self/status")


@frozen
class Scale:
    """How much is measured.

    Parameters
    ----------
    seconds : float
        How long something short is repeated; 0 is once.
    big : int
        Bytes of the one big data set.
    repeat : int
        Rounds.
    """

    seconds: float = 0.2
    big: int = 1 << 30
    repeat: int = 5


@frozen
class Sample:
    """What one run gave.

    Parameters
    ----------
    rate : float
        Units of the workload per second.
    growth : int
        Bytes of resident memory, at its peak, beyond those from before the run.
    peer_growth : int or None
        The same of the other process, if there was one.
    """

    rate: float
    growth: int = 0
    peer_growth: int | None = None


@frozen
class Workload:
    """One job, and who does it: functions that do it once and tell how fast they were."""

    name: str
    unit: str
    contestants: Mapping[str, Callable[[], Sample]]


@frozen
class Result:
    """What a workload gave: a sample per contestant and round."""

    workload: Workload
    samples: Mapping[str, list[Sample]] = field(factory=dict)

    def median_rate(self, contestant: str) -> float:
        """Return the median rate of one contestant."""
        return median(sample.rate for sample in self.samples[contestant])

    def ratio(self, contestant: str) -> float:
        """Return how many times as fast as another this project is: the median over what ran in the same round."""
        pairs = zip(self.samples[OURS], self.samples[contestant], strict=True)
        return median(ours.rate / other.rate for ours, other in pairs)

    def growth(self, contestant: str) -> int:
        """Return the median growth of memory in bytes."""
        return int(median(sample.growth for sample in self.samples[contestant]))

    def peer_growth(self, contestant: str) -> int | None:
        """Return the median growth of the other process's memory in bytes, ``None`` without one."""
        growths = [sample.peer_growth for sample in self.samples[contestant] if sample.peer_growth is not None]
        return int(median(growths)) if growths else None


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


def measure(workload: Workload, repeat: int) -> Result:
    """Run the contestants in turn, so that whatever else the machine does meets them alike."""
    samples: dict[str, list[Sample]] = {name: [] for name in workload.contestants}
    for _ in range(repeat):
        for name, run in workload.contestants.items():
            samples[name].append(_run_apart(run))
    return Result(workload, samples)


def _run_apart(run: Callable[[], Sample]) -> Sample:
    receiver, sender = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_report, args=(run, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(_LONGEST_RUN):
            process.kill()
            raise TimeoutError(f"{run} did not end in {_LONGEST_RUN:.0f} seconds")
        sample: Sample = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{run} failed; the child process has said why") from None
    finally:
        process.join()
    return sample


def _report(run: Callable[[], Sample], sender: Pipe) -> None:
    logging.disable()  # what peers have to say about being killed
    before = _peak_memory()
    sample = run()
    sender.send(evolve(sample, growth=_peak_memory() - before))


def _peak_memory() -> int:
    """Return the most bytes that were ever resident in this process."""
    if _STATUS.exists():  # Linux; what getrusage says there may be left over from before a fork
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Peer:
    """A server in another process."""

    def __init__(self, address: Address, pipe: Pipe) -> None:
        self.address = address
        self._pipe = pipe

    def growth(self) -> int:
        """Return how much its memory has grown since it began to serve, in bytes."""
        self._pipe.send(None)
        growth: int = self._pipe.recv()
        return growth


@contextmanager
def serving(make_server: Callable[[], AbstractContextManager[Address]]) -> Iterator[Peer]:
    """Run a server in a process of its own, which is killed in the end."""
    own_end, other_end = _FORK.Pipe()
    process = _FORK.Process(target=_serve, args=(make_server, other_end), daemon=True)
    process.start()
    try:
        yield Peer(own_end.recv(), own_end)
    finally:
        process.kill()
        process.join()


def _serve(make_server: Callable[[], AbstractContextManager[Address]], pipe: Pipe) -> None:
    with make_server() as address:
        before = _peak_memory()
        pipe.send(address)
        while True:
            pipe.recv()
            pipe.send(_peak_memory() - before)
