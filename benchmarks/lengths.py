"""C-STORE with the maximum length of PDUs that an SCP states (PS3.8 D.1), which is chosen by measuring."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from attrs import evolve

from benchmarks import dcmtk, ours
from benchmarks.files import Files, Stored
from benchmarks.jobs import Job, Scp, Service, contest
from benchmarks.measure import Scale, Workload
from benchmarks.peers import has_dcmtk
from benchmarks.processes import Peer

__all__ = ["LENGTHS", "workloads"]

LENGTHS: Final = {
    "128 KiB": 1 << 17,
    "16 KiB": 1 << 14,
    "64 KiB": 1 << 16,
    "256 KiB": 1 << 18,
    "1 MiB": 1 << 20,
    "any": 0,
}
"""What is stated; the first is what the adapters state by default."""
_FEWER: Final = 2  # images than in the workloads of storage
_SMALLER: Final = 4  # is the big object


def _stating(scp: Scp, told: str, length: int) -> Scp:
    """Return an SCP that states a maximum length."""

    def serve(service: Service) -> AbstractContextManager[Peer]:
        return scp.serve(evolve(service, pdu_length=length))

    return evolve(scp, name=f"{scp.name}, {told}", serve=serve)


def _job(paths: Callable[[], tuple[Path, ...]], count: int) -> Job:
    return Job(paths=paths()[:count], pdu_length=LENGTHS["1 MiB"])


@contextmanager
def _disk(files: Files) -> Iterator[Service]:
    with files.incoming() as directory:
        yield Service(Stored(directory))


def workloads(scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads of maximum lengths; the adapter as SCU sends PDUs of up to 1 MiB."""
    images, big = partial(files.images, scale.images), partial(files.big, scale.big // _SMALLER)
    some = partial(_job, images, scale.images // _FEWER)
    one = partial(_job, big, 1)
    scps = [_stating(ours.SCPS[0], told, length) for told, length in LENGTHS.items()]
    for scu in [*([dcmtk.storescu("128K")] if has_dcmtk() else []), ours.SCUS[0]]:
        pairs = [(scu, scp) for scp in scps]
        yield Workload(f"images of 526 KB, into memory, from {scu.name}", "object", contest(pairs, some), images)
        contestants = contest(pairs, one, serving=partial(_disk, files))
        yield Workload(
            f"one of {scale.big // _SMALLER >> 20} MiB, to disk, from {scu.name}", "object", contestants, big
        )
