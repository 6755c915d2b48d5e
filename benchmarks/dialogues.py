"""C-ECHO on one association, and short associations one after the other."""

from collections.abc import Iterator
from functools import partial
from itertools import product

from benchmarks import dcmtk, ours, scripted, sockets
from benchmarks.files import Files
from benchmarks.jobs import Job, Pairs, contest
from benchmarks.measure import Scale, Workload
from benchmarks.peers import each_with_itself, has_dcmtk

__all__ = ["workloads"]

FEWER = 25  # for who is slow


def _echo_pairs() -> Pairs:
    pairs = each_with_itself()
    if has_dcmtk():
        scu, scp = dcmtk.echoscu(), dcmtk.storescp("128K")
        pairs += [(scu, scp), *product([scu], ours.SCPS), *product(ours.SCUS, [scp])]
    return pairs


def _association_pairs() -> Pairs:
    own = each_with_itself()
    script = scripted.scu()
    pairs = [*own, *((script, scp) for _, scp in own)]
    if has_dcmtk():
        scp = dcmtk.storescp("128K")
        pairs += [*product(ours.SCUS, [scp]), (script, scp), (script, dcmtk.storescp("128K", "--fork"))]
    return pairs


def workloads(scale: Scale, _: Files) -> Iterator[Workload]:
    """Yield the workloads of dialogues."""
    echoes = Job(echoes=scale.echoes)
    associations = Job(associations=scale.associations, echoes=1)
    yield Workload(
        "C-ECHO",
        "message pair",
        {
            **contest(_echo_pairs(), lambda: echoes, FEWER),
            "limit: 80 bytes to and fro": partial(sockets.ping_pong, echoes),
        },
    )
    yield Workload(
        "associate, C-ECHO, release",
        "association",
        {
            **contest(_association_pairs(), lambda: associations, FEWER),
            "limit: sockets": partial(sockets.associations, associations),
        },
    )
