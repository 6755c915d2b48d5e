"""Another build beside the one that is here: both alive at once, in turns of less than a second, on the same cores.

The speed of a machine that is shared moves by half within a minute, so only what alternates within seconds can be
compared; the first turn of each counts for nothing. What the builds have to reach is in :mod:`benchmarks.goals`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, TypeAlias

from attrs import define, evolve, field
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks import crowds, dcmtk, scripted
from benchmarks.builds import NOW, Build
from benchmarks.calls import OPERATIONS, count
from benchmarks.files import Files, identifier
from benchmarks.goals import ASSOCIATIONS, DCMTK, ECHO, FIND, GROUP, IDLE, SCP_ALONE, STORE, who
from benchmarks.jobs import Job, Scp, Scu, Service
from benchmarks.measure import Sample, Scale, Workload
from benchmarks.ours import SERVERS
from benchmarks.peers import has_dcmtk
from benchmarks.processes import Address, Peer
from benchmarks.usage import usage_of
from dicom_proto.encoding.datasets import encode

__all__ = ["of_one_adapter", "workloads"]

_BATCH: Final = 100  # files that are sent at a time
_FEW: Final = 20  # associations between two looks at the clock
_FIRST: Final = 1000  # operations of DCMTK's first turn, which tells how many fill one

Turn: TypeAlias = Callable[[], Sample]
Opener: TypeAlias = Callable[[ExitStack], Turn]


@define
class Contest:
    """Contestants who are alive at once; each has a turn whenever it is asked for."""

    openers: Mapping[str, Opener]
    _turns: dict[str, Turn] = field(factory=dict, init=False)

    @contextmanager
    def alive(self, names: Collection[str]) -> Iterator[None]:
        """Have contestants alive; their processes end with the block."""
        with ExitStack() as stack:
            self._turns = {name: self.openers[name](stack) for name in names}
            yield

    def turn(self, name: str) -> Sample:
        """Let a contestant have a turn."""
        return self._turns[name]()

    def workload(self, name: str, unit: str, scale: Scale, prepare: Callable[[], object] | None = None) -> Workload:
        """Return the workload."""
        turns = {each: partial(self.turn, each) for each in self.openers}
        return Workload(name.removeprefix(GROUP), unit, turns, prepare, rounds=scale.turns, together=self.alive)


# --- turns ------------------------------------------------------------------------------------------------------------


def _served(stack: ExitStack, build: Build, adapter: str, *options: str) -> Address:
    host, port = stack.enter_context(build.side("scp", adapter, *options)).answer()
    return host, port


def _both_ends(
    work: str, scale: Scale, paths: Callable[[], tuple[Path, ...]], build: Build, adapter: str, stack: ExitStack
) -> Turn:
    """Let a build ask itself."""
    directory = paths()[0].parent
    _, port = _served(stack, build, adapter)
    options = ("--work", work, "--port", str(port), "--directory", str(directory))
    client = stack.enter_context(build.side("scu", adapter, *options))
    figures = {}
    if work == "echo":
        counted = count(build, work, adapter, min(scale.echoes, OPERATIONS), directory)
        figures = {"SCU calls": sum(counted.scu.values()), "SCP calls": sum(counted.scp.values())}

    def turn() -> Sample:
        done, seconds = client.ask(f"seconds {scale.turn}")
        return Sample(done / seconds, figures=figures)

    return turn


def _light(address: Address, scale: Scale) -> Turn:
    """Let the light client make associations with a server."""
    scu = scripted.scu()

    def turn() -> Sample:
        done, began = 0, perf_counter()
        while (took := perf_counter() - began) < scale.turn or not done:
            scu.do(address, Job(associations=_FEW, echoes=1))
            done += _FEW
        return Sample(done / took)

    return turn


def _scp_alone(scale: Scale, build: Build, adapter: str, stack: ExitStack) -> Turn:
    return _light(_served(stack, build, adapter), scale)


def _storescp_alone(scale: Scale, stack: ExitStack) -> Turn:
    return _light(stack.enter_context(dcmtk.storescp("128K").serve(Service())).address, scale)


def _by_dcmtk(scu: Scu, address: Address, make_job: Callable[[int], Job], scale: Scale) -> Turn:
    """Let an SCU of DCMTK ask a server; what it gets to do is what it could do in one turn the last time."""
    operations = _FIRST if scale.turns > 1 else 1

    def turn() -> Sample:
        nonlocal operations
        job = make_job(operations)
        rate = job.operations / scu.do(address, job).seconds
        operations = max(1, int(rate * scale.turn))
        return Sample(rate)

    return turn


def _dcmtk(scu: Scu, scp: Scp, make_job: Callable[[int], Job], scale: Scale, stack: ExitStack) -> Turn:
    return _by_dcmtk(scu, stack.enter_context(scp.serve(Service())).address, make_job, scale)


def _findscu(
    match: bytes, make_job: Callable[[int], Job], scale: Scale, build: Build, adapter: str, stack: ExitStack
) -> Turn:
    options = ("--matches", str(scale.matches), "--match", match.hex())
    return _by_dcmtk(dcmtk.findscu(), _served(stack, build, adapter, *options), make_job, scale)


# --- workloads --------------------------------------------------------------------------------------------------------


def _each(builds: Collection[Build], opener: Callable[[Build, str, ExitStack], Turn], theirs: Opener | None) -> Contest:
    """Return a contest of the builds with each adapter, and of DCMTK; what is compared stands side by side."""
    openers: dict[str, Opener] = {
        who(build.name, adapter): partial(opener, build, adapter) for adapter in SERVERS for build in builds
    }
    return Contest({**openers, DCMTK: theirs} if theirs is not None and has_dcmtk() else openers)


def _idle(scale: Scale, builds: Collection[Build]) -> Workload:
    @contextmanager
    def serve(build: Build, adapter: str, service: Service) -> Iterator[Peer]:
        with build.side("scp", adapter, "--most", str(service.most)) as side:
            host, port = side.answer()
            yield Peer((host, port), side.process.pid, usage_of(side.process.pid))

    contestants = {
        name: partial(crowds.watched, Scp(name, partial(serve, build, adapter)), max(scale.crowds), scale, False)
        for adapter in SERVERS
        for build in builds
        for name in (who(build.name, adapter),)
    }
    return Workload(IDLE.removeprefix(GROUP), "association", contestants, rounds=3)


def _finding(scale: Scale, files: Files, builds: Collection[Build]) -> Workload:
    studies = partial(files.studies, scale.matches)

    def job(responses: int) -> Job:
        return Job(queries=-(-responses // scale.matches), matches=scale.matches)

    match = encode(identifier(), ExplicitVRLittleEndian)
    theirs = partial(_dcmtk, dcmtk.findscu(), dcmtk.qrscp(studies), job, scale)
    contest = _each(builds, partial(_findscu, match, job, scale), theirs)
    return contest.workload(FIND, "response", scale, lambda: dcmtk.index(studies()))


def of_one_adapter(workload: Workload, number: int) -> Workload:
    """Leave only one adapter, by its number, and DCMTK."""
    adapter = [*SERVERS][number % len(SERVERS)]
    found = {name: run for name, run in workload.contestants.items() if name == DCMTK or name.endswith(adapter)}
    return evolve(workload, contestants=found)


def workloads(before: Build, scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads of a build from before, the one that is here, and DCMTK."""
    builds = (before, NOW)
    batch = partial(files.batch, _BATCH if scale.turns > 1 else 1)
    both = {work: partial(_both_ends, work, scale, batch) for work in ("echo", "association", "store")}
    storescp, alone = dcmtk.storescp("128K"), partial(_storescp_alone, scale)

    def stores(count: int) -> Job:
        paths = batch()
        return Job(paths=(paths * -(-count // len(paths)))[:count])

    theirs = partial(_dcmtk, dcmtk.echoscu(), storescp, lambda count: Job(echoes=count), scale)
    yield _each(builds, both["echo"], theirs).workload(ECHO, "message pair", scale, batch)
    yield _each(builds, both["association"], alone).workload(ASSOCIATIONS, "association", scale, batch)
    yield _each(builds, partial(_scp_alone, scale), alone).workload(SCP_ALONE, "association", scale)
    theirs = partial(_dcmtk, dcmtk.storescu("128K"), storescp, stores, scale)
    yield _each(builds, both["store"], theirs).workload(STORE, "object", scale, batch)
    if has_dcmtk():
        yield _finding(scale, files, builds)
    yield _idle(scale, builds)
