"""Many associations at a time at one server process: what they take while nothing happens, and while all are busy."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Final

from attrs import define, field

from benchmarks import ours
from benchmarks.files import Files
from benchmarks.jobs import Scp, Service
from benchmarks.measure import Sample, Scale, Workload
from benchmarks.peers import pynetdicom
from benchmarks.processes import Address, Peer
from benchmarks.scripted import ASSOCIATE, ECHO, RELEASE, STORE, Unexpected, ask

__all__ = ["watched", "workloads"]

_PATIENCE: Final = 20.0  # seconds that all associations together have to be established, and each to answer
_AT_ONCE: Final = 32  # associations that are being established at a time
_DESCRIPTORS: Final = 8192
_MOST_FOR_SLOW: Final = 10  # associations: pynetdicom makes few of them a second, and of 1,000 most fail
_FAILED: Final = (Unexpected, OSError, EOFError, TimeoutError)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@define
class Crowd:
    """Associations with one server, and what has become of them."""

    address: Address
    streams: list[Stream] = field(factory=list)
    released: int = 0
    operations: int = 0

    async def establish(self, count: int) -> None:
        """Establish so many associations, as far as that is possible."""
        gate = asyncio.Semaphore(_AT_ONCE)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(self._establish_one(gate) for _ in range(count)))

    async def _establish_one(self, gate: asyncio.Semaphore) -> None:
        async with gate:
            with suppress(Unexpected, OSError, EOFError):
                stream = await asyncio.open_connection(*self.address)
                await ask(*stream, ASSOCIATE)
                self.streams.append(stream)

    async def work(self, seconds: float) -> None:
        """Let each association do C-ECHO and C-STORE in turn."""
        await asyncio.gather(*(self._work_one(stream, perf_counter() + seconds) for stream in self.streams))

    async def _work_one(self, stream: Stream, deadline: float) -> None:
        with suppress(*_FAILED):
            while True:
                for question in (ECHO, STORE):
                    async with asyncio.timeout(_PATIENCE):
                        await ask(*stream, question)
                    self.operations += 1
                if perf_counter() >= deadline:
                    return
        stream[1].close()

    async def release(self) -> None:
        """Release all associations that are still there."""
        await asyncio.gather(*map(self._release_one, self.streams))

    async def _release_one(self, stream: Stream) -> None:
        with suppress(*_FAILED):
            async with asyncio.timeout(_PATIENCE):
                await ask(*stream, RELEASE)
            self.released += 1
        stream[1].close()


async def _watch(peer: Peer, count: int, seconds: float, is_busy: bool) -> Sample:
    crowd = Crowd(peer.address)
    began = perf_counter()
    await crowd.establish(count)
    established = len(crowd.streams) / (perf_counter() - began)
    before, began = peer.usage(), perf_counter()
    await (crowd.work(seconds) if is_busy else asyncio.sleep(seconds))
    took, after = perf_counter() - began, peer.usage()
    await crowd.release()
    if not (crowd.operations if is_busy else crowd.streams):
        raise RuntimeError("the server has answered nothing")
    figures = {"CPU": (after.cpu - before.cpu) / took, "failures": float(count - crowd.released)}
    if crowd.streams and after.memory is not None and peer.before.memory is not None:
        figures["memory each"] = (after.memory - peer.before.memory) / len(crowd.streams)
    return Sample(crowd.operations / took if is_busy else established, figures=figures)


def watched(scp: Scp, count: int, scale: Scale, is_busy: bool) -> Sample:
    """Have so many associations with a server, and watch what they take."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, most), most))
    with scp.serve(Service(most=2 * count)) as peer:
        return asyncio.run(_watch(peer, count, scale.hold, is_busy))


def workloads(scale: Scale, _: Files) -> Iterator[Workload]:
    """Yield the workloads of many associations."""
    for count in scale.crowds:
        scps = [*ours.SCPS, *(scp for _, scp in pynetdicom() if count <= _MOST_FOR_SLOW)]
        for is_busy, word, unit in ((False, "idle", "association"), (True, "busy", "operation")):
            contestants = {scp.name: partial(watched, scp, count, scale, is_busy) for scp in scps}
            yield Workload(f"{count:,} {word} associations", unit, contestants)
