"""DCMTK as SCU and SCP.

What its SCUs need to start, to read their dictionary and to look through their arguments is measured too, and
subtracted: each job is done a second time, so small that nothing else is left of it. That is one C-ECHO of many; a
query that nobody matches; and the same files for a server that rejects the association. All its programs get
``TCP_NODELAY=1``.
"""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Final

from benchmarks.files import NOBODY
from benchmarks.jobs import Job, Scp, Scu, Service
from benchmarks.ours import query
from benchmarks.processes import HOST, Address, Peer, Report, Spent, execute, forked, free_port, started
from dicom_proto.upper_layer.pdu import AAssociateRJ, encode_pdu

__all__ = ["PDU_LENGTHS", "PROGRAMS", "echoscu", "findscu", "index", "missing", "qrscp", "storescp", "storescu"]

PDU_LENGTHS: Final = {"16K": 1 << 14, "128K": 1 << 17}
PROGRAMS: Final = ("echoscu", "storescu", "storescp", "findscu", "dcmqrscp", "dcmqridx")
_CONFIG: Final = """MaxPDUSize = 131072
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
SCP {} RW (2000, 1024mb) ANY
AETable END
"""
_TITLES: Final = ("-aet", "SCU", "-aec", "SCP")


def missing() -> list[str]:
    """Return which of its programs are not here."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@cache
def _path(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(program)
    return path


def _beyond(whole: Spent, nothing: Spent) -> Spent:
    """Return what one run has cost more than another."""
    seconds = whole.seconds - nothing.seconds
    if seconds <= 0:  # a job so small that its cost is lost in the noise
        seconds = whole.seconds
    peak = None if whole.peak is None or nothing.peak is None else max(0, whole.peak - nothing.peak)
    return Spent(seconds, max(0.0, whole.cpu - nothing.cpu), peak)


# --- SCU --------------------------------------------------------------------------------------------------------------


def _echo(address: Address, job: Job) -> Spent:
    def command(count: int) -> Sequence[str]:
        return [_path("echoscu"), *_TITLES, "--repeat", str(count), address[0], str(address[1])]

    return _beyond(execute(command(job.echoes + 1)), execute(command(1)))


def _store(pdu_length: int, address: Address, job: Job) -> Spent:
    def command(port: int) -> Sequence[str]:
        options = ["--max-send-pdu", str(pdu_length), HOST, str(port)]
        return [_path("storescu"), *_TITLES, *options, *map(str, job.paths)]

    with forked(_reject_all) as nobody:
        nothing = execute(command(nobody.address[1]), may_fail=True)
    return _beyond(execute(command(address[1])), nothing)


def _find(address: Address, job: Job) -> Spent:
    def command(name: str, times: int) -> Sequence[str]:
        keys = [key for element in query(name) for key in ("-k", f"{element.keyword}={element.value or ''}")]
        return [_path("findscu"), "-q", *_TITLES, "-S", "--repeat", str(times), *keys, address[0], str(address[1])]

    return _beyond(execute(command("", job.queries)), execute(command(NOBODY, 1)))


def _reject_all(report: Report) -> None:
    """Reject every association."""
    rejection = encode_pdu(AAssociateRJ(result=1, source=1, reason=1))
    with socket.create_server((HOST, 0)) as listener:
        report(listener.getsockname())
        while True:
            with listener.accept()[0] as sock:
                sock.recv(1 << 16)
                sock.sendall(rejection)
                while sock.recv(1 << 16):
                    pass


def echoscu() -> Scu:
    """Return the SCU for C-ECHO."""
    return Scu("echoscu", _echo)


def storescu(size: str) -> Scu:
    """Return the SCU for C-STORE, with PDUs of at most that size."""
    return Scu(f"storescu/{size}", partial(_store, PDU_LENGTHS[size]))


def findscu() -> Scu:
    """Return the SCU for C-FIND."""
    return Scu("findscu", _find)


# --- SCP --------------------------------------------------------------------------------------------------------------


def _storescp(pdu_length: int, options: Sequence[str], service: Service) -> AbstractContextManager[Peer]:
    directory = service.stored.directory
    where = ["--ignore"] if directory is None else ["+B", "-od", str(directory)]
    port = free_port()
    return started([_path("storescp"), "-pdu", str(pdu_length), *where, *options, str(port)], port)


def storescp(size: str, *options: str) -> Scp:
    """Return the SCP for C-STORE and C-ECHO, which asks for PDUs of at most that size."""
    serve = partial(_storescp, PDU_LENGTHS[size], options)
    return Scp(" ".join([f"storescp/{size}", *options]), serve, has_children="--fork" in options)


def index(directory: Path) -> None:
    """Let the query/retrieve SCP know the files in a directory, once."""
    if (directory / "index.dat").exists():
        return
    files = sorted(map(str, directory.glob("*.dcm")))
    subprocess.run([_path("dcmqridx"), str(directory), *files], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _serve_queries(directory: Callable[[], Path], _: Service) -> Iterator[Peer]:
    port = free_port()
    config = directory() / "dcmqrscp.cfg"
    config.write_text(_CONFIG.format(directory()), encoding="utf-8")
    with started([_path("dcmqrscp"), "-c", str(config), str(port)], port) as peer:
        yield peer


def qrscp(directory: Callable[[], Path]) -> Scp:
    """Return the SCP for C-FIND, with a directory that was indexed."""
    return Scp("dcmqrscp", partial(_serve_queries, directory), has_children=True)
