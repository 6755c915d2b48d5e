"""C-STORE from files, over one association: into memory and to disk, beside the same files through bare sockets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import ours, sockets
from benchmarks.files import Files, Stored
from benchmarks.jobs import Job, Pairs, Service, contest
from benchmarks.measure import Sample, Scale, Workload
from benchmarks.peers import store_pairs

__all__ = ["workloads"]

FEWER_IMAGES, FEWER_SMALL = 5, 125  # for who is slow
SMALLER = 8  # pynetdicom holds a big object several times in memory, so it gets one that is so many times smaller


@contextmanager
def _disk(files: Files, is_durable: bool) -> Iterator[Service]:
    with files.incoming() as directory:
        yield Service(Stored(directory, is_durable))


def _to_disk(
    name: str, pairs: Pairs, files: Files, paths: Callable[[], tuple[Path, ...]], less: int, *, is_durable: bool = False
) -> Workload:
    def raw() -> Sample:
        return sockets.stores_into(files, is_durable, Job(paths=paths()))

    contestants = contest(pairs, lambda: Job(paths=paths()), less, partial(_disk, files, is_durable))
    return Workload(name, "object", {**contestants, "limit: sockets": raw}, paths)


def _into_memory(name: str, paths: Callable[[], tuple[Path, ...]], less: int) -> Workload:
    def raw() -> Sample:
        return sockets.stores(Stored(), Job(paths=paths()))

    contestants = contest(store_pairs(), lambda: Job(paths=paths()), less)
    return Workload(name, "object", {**contestants, "limit: sockets": raw}, paths)


def _big(scale: Scale, files: Files) -> Workload:
    """Return the workload of one big object; who is slow gets another one, that is smaller."""
    fast = [(scu, scp) for scu, scp in store_pairs() if not scu.is_slow and not scp.is_slow]
    workload = _to_disk(f"one of {scale.big >> 20} MiB, to disk", fast, files, partial(files.big, scale.big), 1)
    slow = [(scu, scp) for scu, scp in store_pairs() if scu.is_slow and scp.is_slow]
    smaller = partial(files.big, scale.big // SMALLER)
    theirs = contest(slow, lambda: Job(paths=smaller()), 1, partial(_disk, files, False))
    contestants = {
        **{name: partial(_in_bytes, run, scale.big) for name, run in workload.contestants.items()},
        **{
            f"{name}, {scale.big // SMALLER >> 20} MiB": partial(_in_bytes, run, scale.big // SMALLER)
            for name, run in theirs.items()
        },
    }

    def prepare() -> None:
        files.big(scale.big)
        smaller()

    return Workload(workload.name, "B", contestants, prepare)


def _very_big(scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads that show that memory does not depend on length, nor length on 32 bits."""
    twice, beyond = 2 * scale.big, 9 * scale.big // 2
    for name, length, paths in (
        (f"one multi-frame of {twice >> 20} MiB, to disk", twice, partial(files.frames, twice)),
        (f"one of {beyond >> 20} MiB in two elements, to disk", beyond, partial(files.longest, beyond)),
    ):
        workload = _to_disk(name, [*ours.PAIRS], files, paths, 1)
        contestants = {name: partial(_in_bytes, run, length) for name, run in workload.contestants.items()}
        yield Workload(name, "B", contestants, paths, rounds=1)


def _in_bytes(run: Callable[[], Sample], length: int) -> Sample:
    """Tell bytes per second instead of objects."""
    sample = run()
    return Sample(sample.rate * length, sample.growth, sample.peer_growth, sample.figures)


def workloads(scale: Scale, files: Files) -> Iterator[Workload]:
    """Yield the workloads of storage."""
    images, small = partial(files.images, scale.images), partial(files.small, scale.small)
    yield _into_memory("images of 526 KB, into memory", images, FEWER_IMAGES)
    yield _to_disk("images of 526 KB, to disk", store_pairs(), files, images, FEWER_IMAGES)
    # What goes to the disk costs the more, and its medians are as sound with fewer objects.
    few_images, few_small = (lambda: images()[: scale.images // 5 or 1]), (lambda: small()[: scale.small // 5 or 1])
    yield _to_disk("images of 526 KB, to disk, fsync each", [*ours.PAIRS], files, few_images, 1, is_durable=True)
    yield _into_memory("objects of 4 KB, into memory", small, FEWER_SMALL)
    yield _to_disk("objects of 4 KB, to disk", store_pairs(), files, few_small, FEWER_SMALL // 5)
    yield _big(scale, files)
    yield from _very_big(scale, files)
