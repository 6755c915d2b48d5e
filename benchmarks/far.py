"""Small objects over a link with a delay: the asynchronous operations window (PS3.7 D.3.3.3) at work."""

from collections.abc import Iterator
from functools import partial

from benchmarks import dcmtk, ours
from benchmarks.files import Files
from benchmarks.jobs import Job, Scp, Scu, Service
from benchmarks.measure import Sample, Scale, Workload
from benchmarks.peers import has_dcmtk
from benchmarks.relay import delayed

__all__ = ["workloads"]

WINDOWS = (1, 8)


def _run(scu: Scu, scp: Scp, window: int, scale: Scale, files: Files) -> Sample:
    job = Job(paths=files.small(scale.small)[: scale.far], window=window)
    with scp.serve(Service(window=window)) as peer, delayed(peer.address, scale.delay) as link:
        spent = scu.do(link.address, job)
        return Sample(job.operations / spent.seconds, peer_growth=peer.growth())


def workloads(scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads over a link with a delay; establishing and releasing the association counts too."""
    contestants = {
        f"{scu.name} > {scp.name}, window {window}": partial(_run, scu, scp, window, scale, files)
        for scu, scp in ours.PAIRS
        for window in WINDOWS
    }
    if has_dcmtk():
        scu, scp = dcmtk.storescu("128K"), dcmtk.storescp("128K")
        contestants[f"{scu.name} > {scp.name}"] = partial(_run, scu, scp, 1, scale, files)
    name = f"objects of 4 KB, {scale.delay * 1000:.0f} ms there and back"
    yield Workload(name, "object", contestants, partial(files.small, scale.small), rounds=3)
