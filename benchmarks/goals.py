"""What is to be reached, as data: bounds for single figures, and for figures beside others of the same run."""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from attrs import frozen

from benchmarks.finding import DECODES, ENCODES
from benchmarks.measure import OURS, Result
from benchmarks.workers import PROCESSES

__all__ = [
    "ASSOCIATIONS",
    "BARS",
    "DCMTK",
    "ECHO",
    "FIND",
    "GOALS",
    "GROUP",
    "IDLE",
    "SCP_ALONE",
    "STORE",
    "Figure",
    "Goal",
    "who",
]

Figure: TypeAlias = Literal[
    "rate", "ratio", "added", "SCU memory", "SCP memory", "CPU", "failures", "memory ratio", "SCU calls", "SCP calls"
]
"""What is bounded: units per second; those of another contestant; seconds per unit beyond another's; bytes; a share of
a core; a number; the memory of each association to that with another contestant; calls of Python functions."""

GROUP: Final = "before: "
"""How the names of workloads begin in which another build takes part."""
ECHO: Final = f"{GROUP}C-ECHO, both ends"
ASSOCIATIONS: Final = f"{GROUP}associate, C-ECHO, release, both ends"
SCP_ALONE: Final = f"{GROUP}associate, C-ECHO, release, SCP alone"
STORE: Final = f"{GROUP}C-STORE of 4 KB into memory, both ends"
FIND: Final = f"{GROUP}response of C-FIND, encoded before, to findscu"
IDLE: Final = f"{GROUP}idle associations"
DCMTK: Final = "DCMTK"

_ADAPTERS: Final = ("blocking", "asyncio", "trio")
_SIZES: Final = ("16K", "128K")
_MEMORY: Final = 64 << 20
_IMAGES: Final = "store: images of 526 KB"
_BIG: Final = "store: one of 1024 MiB, to disk"


@frozen
class Goal:
    """A bound for one figure of one contestant.

    Parameters
    ----------
    workload, contestant : str
        Whose figure it is.
    figure : str
        Which.
    bound : float
        The least for rates and ratios, the most for anything else.
    beside : str or None
        The contestant that a ratio or an addition is to.
    """

    workload: str
    contestant: str
    figure: Figure
    bound: float
    beside: str | None = None

    @property
    def is_least(self) -> bool:
        """Whether the figure must not be below the bound; otherwise it must not be above."""
        return self.figure in {"rate", "ratio"}

    def measured(self, result: Result) -> float | None:
        """Return what the workload gave, ``None`` if that was not measured."""
        needed = {self.contestant} if self.beside is None else {self.contestant, self.beside}
        if not needed <= result.samples.keys():
            return None
        rate = result.median_rate(self.contestant)
        match self.figure, self.beside:
            case "rate", _:
                return rate
            case "ratio", str(beside):
                return result.ratio(self.contestant, beside)
            case "memory ratio", str(beside):
                memory, other = (result.figures(each).get("memory each") for each in (self.contestant, beside))
                return memory / other if memory and other else None
            case "added", str(beside):
                return 1 / rate - 1 / result.median_rate(beside)
            case "SCU memory", _:
                return result.growth(self.contestant)
            case "SCP memory", _:
                return result.peer_growth(self.contestant)
        return result.figures(self.contestant).get(self.figure)

    def is_reached(self, measured: float) -> bool:
        """Tell whether a figure is good enough."""
        return measured >= self.bound if self.is_least else measured <= self.bound


def _of_storage() -> Iterator[Goal]:
    for adapter in _ADAPTERS:
        for size in _SIZES:
            peers = f"storescu/{size} > storescp/{size}"
            scp, scu = f"storescu/{size} > {adapter}", f"{adapter} > storescp/{size}"
            yield Goal(f"{_IMAGES}, to disk", scp, "ratio", 1.0, peers)
            yield Goal(f"{_IMAGES}, into memory", scu, "ratio", 1.0, peers)
            yield Goal(_BIG, scp, "ratio", 1.0, peers)
        slow = "storescu/128K > pynetdicom"
        yield Goal(f"{_IMAGES}, to disk", f"storescu/128K > {adapter}", "ratio", 10.0, slow)
        both = f"{adapter} > {adapter}"
        yield Goal("store: objects of 4 KB, into memory", both, "rate", 1 / 0.15e-3)
        yield Goal("store: objects of 4 KB, to disk", both, "rate", 1 / 0.15e-3)
        yield Goal(_BIG, both, "SCU memory", _MEMORY)
        yield Goal(_BIG, both, "SCP memory", _MEMORY)


def _of_dialogues() -> Iterator[Goal]:
    yield Goal("dialogue: C-ECHO", "blocking > blocking", "ratio", 1.0, "echoscu > storescp/128K")
    for adapter in _ADAPTERS:
        both = f"{adapter} > {adapter}"
        if adapter != "blocking":
            yield Goal("dialogue: C-ECHO", both, "rate", 20_000)
        yield Goal("dialogue: associate, C-ECHO, release", both, "rate", 3000)
        yield Goal("find: C-FIND, identifiers encoded before", f"findscu > {adapter}", "rate", 50_000)
        yield Goal("find: C-FIND, identifiers encoded before", both, "added", 20e-6, DECODES)
        yield Goal("find: C-FIND, identifiers as Dataset", f"findscu > {adapter}", "added", 20e-6, ENCODES)


def _of_the_codec() -> Iterator[Goal]:
    for action in ("decode", "encode"):
        yield Goal(f"codec: {action} A-ASSOCIATE-RQ, 128 contexts, new", OURS, "rate", 1 / 0.5e-3)
        yield Goal(f"codec: {action} C-STORE-RQ", OURS, "rate", 1 / 10e-6)


def _of_crowds() -> Iterator[Goal]:
    more, one = PROCESSES
    for adapter in _ADAPTERS:
        load = "workers: 8 associations, objects of 4 KB"
        yield Goal(load, f"{adapter}, {more}", "ratio", 1.0, f"{adapter}, {one}")
        yield Goal("crowd: 1,000 idle associations", adapter, "CPU", 0.01)
        for word in ("idle", "busy"):
            yield Goal(f"crowd: 1,000 {word} associations", adapter, "failures", 0)
        both = f"{adapter} > {adapter}, window"
        yield Goal("far: objects of 4 KB, 20 ms there and back", f"{both} 8", "ratio", 7.0, f"{both} 1")


def _of_traces() -> Iterator[Goal]:
    yield Goal("trace: packets of 1,514 bytes", OURS, "rate", 40)
    yield Goal("trace: segments of 64 KiB", OURS, "rate", 150)


GOALS: Final = (*_of_storage(), *_of_dialogues(), *_of_the_codec(), *_of_crowds(), *_of_traces())


# --- of a build beside another one ------------------------------------------------------------------------------------


def who(build: str, adapter: str) -> str:
    """Return what an adapter of a build is called."""
    return f"{build} {adapter}"


def _bars() -> Iterator[Goal]:
    for adapter in _ADAPTERS:
        before, now = who("before", adapter), who("now", adapter)
        yield Goal(ECHO, now, "ratio", 2.0, before)
        if adapter == _ADAPTERS[0]:
            yield Goal(ECHO, now, "SCU calls", 100)
            yield Goal(ECHO, now, "SCP calls", 100)
        else:
            yield Goal(ECHO, now, "ratio", 1 / 1.2, who("now", _ADAPTERS[0]))
        yield Goal(ASSOCIATIONS, now, "ratio", 2.0, before)
        yield Goal(SCP_ALONE, now, "ratio", 2.0, before)
        yield Goal(STORE, now, "ratio", 1.8, before)
        yield Goal(FIND, now, "ratio", 1.0, DCMTK)
        yield Goal(IDLE, now, "CPU", 0.01)
        yield Goal(IDLE, now, "memory ratio", 1.05, before)


BARS: Final = (*_bars(),)
"""What the build that is here has to reach beside one from before."""
