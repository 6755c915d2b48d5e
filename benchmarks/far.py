"""Objects over a link with a delay: the operations window (PS3.7 D.3.3.3), and associations side by side."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks import dcmtk, ours
from benchmarks.files import Files
from benchmarks.jobs import Job, Scp, Scu, Service
from benchmarks.measure import Sample, Scale, Workload
from benchmarks.peers import has_dcmtk
from benchmarks.relay import delayed

__all__ = ["workloads"]

WINDOWS = (1, 8)
BESIDE = (1, 8)
MORE_IMAGES = 5  # times as many: what it takes to set up is less of it


def _run(scu: Scu, scp: Scp, scale: Scale, make_job: Callable[[], Job]) -> Sample:
    job = make_job()
    with scp.serve(Service(window=job.window)) as peer, delayed(peer.address, scale.delay) as link:
        spent = scu.do(link.address, job)
        return Sample(job.operations / spent.seconds, None if scp.has_children else peer.growth())


def _small(scale: Scale, files: Files) -> Workload:
    paths = partial(files.small, scale.small)

    def job(window: int) -> Job:
        return Job(paths=paths()[: scale.far], window=window)

    contestants = {
        f"{scu.name} > {scp.name}, window {window}": partial(_run, scu, scp, scale, partial(job, window))
        for scu, scp in ours.PAIRS
        for window in WINDOWS
    }
    if has_dcmtk():
        scu, scp = dcmtk.storescu("128K"), dcmtk.storescp("128K")
        contestants[f"{scu.name} > {scp.name}"] = partial(_run, scu, scp, scale, partial(job, 1))
    return Workload(f"objects of 4 KB, {_delay(scale)}", "object", contestants, paths, rounds=3)


def _images(scale: Scale, count: int, paths: Callable[[], tuple[Path, ...]]) -> Workload:
    """Return the workload of images to a server that takes one at a time on each association, as most do."""

    def job(beside: int, window: int = 1) -> Job:
        return Job(paths=paths(), window=window, beside=beside)

    contestants = {}
    if has_dcmtk():
        forking = dcmtk.storescp("128K", "--fork")
        for scu, _ in ours.PAIRS:
            for beside in BESIDE:
                name = f"{scu.name} > {forking.name}, {beside} beside"
                contestants[name] = partial(_run, scu, forking, scale, partial(job, beside))
        storescu = dcmtk.storescu("128K")
        contestants[f"{storescu.name} > {forking.name}"] = partial(_run, storescu, forking, scale, partial(job, 1))
    for scu, scp in ours.PAIRS:
        name = f"{scu.name} > {scp.name}, window {WINDOWS[-1]}"
        contestants[name] = partial(_run, scu, scp, scale, partial(job, 1, WINDOWS[-1]))
    return Workload(f"{count} images of 526 KB, {_delay(scale)}", "object", contestants, paths, rounds=3)


def _delay(scale: Scale) -> str:
    return f"{scale.delay * 1000:.0f} ms there and back"


def workloads(scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads over a link with a delay; establishing and releasing the associations counts too."""
    yield _small(scale, files)
    for count in (scale.far, MORE_IMAGES * scale.far):
        yield _images(scale, count, partial(files.images, count))
