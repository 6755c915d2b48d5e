"""What an SCU does in one run, and what it costs over an SCP."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeAlias

from attrs import evolve, frozen

from benchmarks.files import IN_MEMORY, Stored
from benchmarks.measure import Sample
from benchmarks.processes import Address, Peer, Spent

__all__ = ["Job", "Pairs", "Scp", "Scu", "Service", "contest"]


@frozen
class Job:
    """What is done on one association, or on several one after the other.

    Parameters
    ----------
    associations : int
        How often a new association is made, and all that follows done on it.
    echoes : int
        C-ECHO requests.
    paths : tuple of Path
        Files that are sent.
    queries, matches : int
        C-FIND requests, and the responses to each.
    window : int
        The asynchronous operations window that is offered.
    pdu_length : int or None
        The longest PDU that an adapter sends, in bytes, if not what it sends by default.
    beside : int or None
        How many associations share the files, if it is the entity that sends them.
    """

    associations: int = 1
    echoes: int = 0
    paths: tuple[Path, ...] = ()
    queries: int = 0
    matches: int = 0
    window: int = 1
    pdu_length: int | None = None
    beside: int | None = None

    @property
    def operations(self) -> int:
        """How many requests, or responses to queries, there are; without any how many associations."""
        return self.associations * (len(self.paths) or self.queries * self.matches or self.echoes)

    def fewer(self, times: int) -> "Job":
        """Return a job of the same kind, for who is slow."""
        return evolve(
            self,
            associations=-(-self.associations // times),
            echoes=self.echoes if self.associations > 1 else -(-self.echoes // times),
            paths=self.paths[: -(-len(self.paths) // times)],
            queries=-(-self.queries // times),
        )


@frozen
class Service:
    """What an SCP does.

    Parameters
    ----------
    stored : Stored
        Where objects go.
    matches : int
        Responses to each query.
    is_encoded : bool
        Whether the identifiers are encoded already.
    window : int
        The asynchronous operations window that is accepted.
    most : int
        Associations at a time.
    pdu_length : int or None
        The maximum length of PDUs that an adapter states, in bytes, if not what it states by default; 0 for any.
    shared : tuple of str and int or None
        Where to listen together with other processes; otherwise the system chooses a port.
    """

    stored: Stored = IN_MEMORY
    matches: int = 0
    is_encoded: bool = False
    window: int = 1
    most: int = 100
    pdu_length: int | None = None
    shared: Address | None = None


Serve: TypeAlias = Callable[[Service], AbstractContextManager[Peer]]


@frozen
class Scp:
    """Who serves.

    Parameters
    ----------
    name, serve
        Who, and how the server is started for a service.
    is_slow : bool
        Whether there is less to do with it.
    has_children : bool
        Whether other processes serve its associations, so that its own does not tell what they take.
    """

    name: str
    serve: Serve
    is_slow: bool = False
    has_children: bool = False


@frozen
class Scu:
    """Who asks.

    Parameters
    ----------
    name : str
        Who.
    do : callable
        Does a job with the server at an address, and tells what that cost; where it is not this process that does
        it, with the most memory that it took beyond what it takes for nothing.
    is_slow : bool
        Whether it gets less to do.
    """

    name: str
    do: Callable[[Address, Job], Spent]
    is_slow: bool = False


Pairs: TypeAlias = list[tuple[Scu, Scp]]


def _run(scu: Scu, scp: Scp, job: Job, service: Service) -> Sample:
    operations = job.operations
    with scp.serve(service) as peer:
        spent = scu.do(peer.address, job)
        used = peer.usage().cpu - peer.before.cpu
        growth = None if scp.has_children else peer.growth()
    service.stored.check(job.paths)
    figures = {"SCU CPU": spent.cpu / operations}
    if not scp.has_children:
        figures["SCP CPU"] = used / operations
    return Sample(operations / spent.seconds, spent.peak, growth, figures)


def contest(
    pairs: Pairs,
    make_job: Callable[[], Job],
    less: int = 1,
    serving: Callable[[], AbstractContextManager[Service]] = lambda: nullcontext(Service()),
) -> dict[str, Callable[[], Sample]]:
    """Let pairs of an SCU and an SCP do the same job.

    Parameters
    ----------
    pairs : list of tuple
        Who with whom.
    make_job : callable
        Returns the job, when its files are there.
    less : int
        Who is slow gets so many times less to do.
    serving : callable
        What the SCPs do, anew for each run.
    """

    def run(scu: Scu, scp: Scp) -> Sample:
        job = make_job()
        with serving() as service:
            return _run(scu, scp, job.fewer(less) if scu.is_slow or scp.is_slow else job, service)

    return {f"{scu.name} > {scp.name}": partial(run, scu, scp) for scu, scp in pairs}
