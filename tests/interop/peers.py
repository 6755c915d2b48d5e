"""Real DICOM programs as peers: how they are found, started on loopback and ended.

A peer that is not installed skips the test that asks for it, or fails it when ``DICOM_PROTO_REQUIRE_PEERS=1``. What a
peer printed is printed again when it ends, so that pytest shows it with a test that fails.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import attrs
import pytest

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / ".peers" / "node_modules"
PYTHON_PEERS = ROOT / ".peers" / "python"  # an environment of their own: pydcm needs a newer Python than we do
PIXELMED = Path("/usr/share/java/pixelmed.jar")
# Without TCP_NODELAY each message of DCMTK waits 40 ms for an acknowledgement.
ENVIRONMENT = os.environ | {"TCP_NODELAY": "1", "NODE_PATH": str(NODE_MODULES), "PYTHONUNBUFFERED": "1"}
START_SECONDS, RUN_SECONDS, END_SECONDS = 30.0, 60.0, 5.0

Argument = str | int | Path
PeerContext = AbstractContextManager["Peer"]


# --- finding --------------------------------------------------------------------------------------------------------


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where every peer has to be there."""
    if os.environ.get("DICOM_PROTO_REQUIRE_PEERS") == "1":
        pytest.fail(f"peer not installed: {what}")
    pytest.skip(f"peer not installed: {what}")


def require(program: str) -> str:
    """The path of a program; servers may be where only root looks for them."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin") or missing(program)


def require_module(name: str) -> str:
    """The interpreter of the tests, which can import a module."""
    return sys.executable if find_spec(name) else missing(name)


def require_odil() -> str:
    """The interpreter that Debian's python3-odil is installed for."""
    python = shutil.which("python3", path=os.defpath)
    if python and subprocess.run([python, "-c", "import odil"], capture_output=True, check=False).returncode == 0:
        return python
    missing("python3-odil")


def require_dcmjs() -> str:
    """The ``node`` that runs dcmjs-dimse."""
    return require("node") if (NODE_MODULES / "dcmjs-dimse").is_dir() else missing("dcmjs-dimse")


def require_python_peer(module: str) -> str:
    """The interpreter of the environment that a peer written in Python is installed in."""
    python = PYTHON_PEERS / "bin" / "python"
    return str(python) if any(PYTHON_PEERS.glob(f"lib/python*/site-packages/{module}")) else missing(module)


@cache
def _compiled() -> "tempfile.TemporaryDirectory[str]":
    """Where the program that is made with PixelMed has been compiled to, until the tests end."""
    directory = tempfile.TemporaryDirectory(prefix="pixelmed-")
    source = Path(__file__).with_name("pixelmed_peer.java")
    command = [require("javac"), "-cp", str(PIXELMED), "-d", directory.name, str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return directory


def require_pixelmed() -> list[str]:
    """What runs ``pixelmed_peer.java``."""
    java = require("java")
    if not PIXELMED.exists():
        missing("libpixelmed-java")
    path = f"{PIXELMED}{os.pathsep}{_compiled().name}"
    # Quick to start rather than quick in the end.
    return [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "PixelMedPeer"]


# --- starting and ending --------------------------------------------------------------------------------------------


@attrs.frozen
class Finished:
    """A program that has ended, and what it printed."""

    command: list[str]
    returncode: int
    output: str

    def check(self) -> "Finished":
        """Return itself if the program says that all went well."""
        assert self.returncode == 0, f"{self.command} ended with {self.returncode}:\n{self.output}"
        return self


@attrs.define
class Process:
    """A program in a process group of its own, so that it ends together with its children."""

    command: list[str]
    popen: subprocess.Popen[bytes]
    log: int
    patience: float = END_SECONDS  # for how long it may end by itself

    @property
    def output(self) -> str:
        """What the program has printed so far; read without moving the offset at which it writes."""
        return os.pread(self.log, os.fstat(self.log).st_size, 0).decode(errors="replace")

    def end(self) -> None:
        for number, seconds in (signal.SIGTERM, self.patience), (signal.SIGKILL, END_SECONDS):
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(seconds)


@contextmanager
def start(command: list[str], cwd: Path | None = None, patience: float = END_SECONDS) -> Iterator[Process]:
    """Start a program, and end it with the block."""
    with tempfile.TemporaryFile() as log:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        process = Process(command, popen, log.fileno(), patience)
        try:
            yield process
        finally:
            process.end()
            print(f"--- {' '.join(command)}: {popen.returncode}\n{process.output}")  # noqa: T201  for pytest's report


def execute(command: list[str], *, timeout: float = RUN_SECONDS, cwd: Path | None = None) -> Finished:
    """Run a program until it ends by itself; one that takes longer than ``timeout`` seconds fails the test."""
    with start(command, cwd) as process:
        try:
            returncode = process.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{command} did not end within {timeout} s:\n{process.output}")
        return Finished(command, returncode, process.output)


def run(program: str, *arguments: Argument, timeout: float = RUN_SECONDS, cwd: Path | None = None) -> Finished:
    """Run an SCU: echoscu, storescu, dcmsend, findscu, movescu, getscu, odil, gdcmscu, dicom_echo, send_image, ..."""
    return execute([require(program), *map(str, arguments)], timeout=timeout, cwd=cwd)


def run_pynetdicom(
    program: str, *arguments: Argument, timeout: float = RUN_SECONDS, cwd: Path | None = None
) -> Finished:
    """Run one of pynetdicom's own programs: echoscu, storescu, findscu, movescu, getscu."""
    command = [require_module("pynetdicom"), "-m", "pynetdicom", program, *map(str, arguments)]
    return execute(command, timeout=timeout, cwd=cwd)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port: int = unused.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Tell whether a connection to a port is accepted."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            # Nobody listens, yet both ends may be the same socket when the system picks that port for this end.
            return bool(connection.getsockname() != connection.getpeername())
    except OSError:
        return False


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port, without the connection that some servers do not survive (Linux)."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


@attrs.frozen
class Peer:
    """An SCP that runs in another process and accepts associations on loopback."""

    process: Process
    port: int
    ready: Callable[[int], bool]

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def output(self) -> str:
        return self.process.output

    def wait_until_ready(self) -> None:
        """Wait until the peer accepts connections; it has START_SECONDS, and must not end meanwhile."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready(self.port):
            with suppress(subprocess.TimeoutExpired):
                returncode = self.process.popen.wait(0.02)
                pytest.fail(f"{self.process.command} ended with {returncode}:\n{self.output}")
            if time.monotonic() > deadline:
                pytest.fail(f"{self.process.command} does not listen on port {self.port}:\n{self.output}")


@contextmanager
def serve(
    command: list[str],
    port: int,
    *,
    cwd: Path | None = None,
    ready: Callable[[int], bool] = accepts,
    patience: float = END_SECONDS,
) -> Iterator[Peer]:
    """Start an SCP, wait until it accepts connections, and end it with the block."""
    with start(command, cwd, patience) as process:
        peer = Peer(process, port, ready)
        peer.wait_until_ready()
        yield peer


# --- the SCPs: each keeps all its files below the directory that it is given ----------------------------------------


def storescp(directory: Path, *options: str, ae_title: str = "STORESCP") -> PeerContext:
    """DCMTK storage SCP: stores what it receives in ``directory``. ``+B`` keeps the bytes, ``--fork`` serves many."""
    port = free_port()
    command = [require("storescp"), "-v", "-aet", ae_title, "-od", str(directory), *(options or ["+xa"]), str(port)]
    return serve(command, port)


def dcmqrscp(
    directory: Path, *options: str, ae_title: str = "QRSCP", movers: Mapping[str, int] | None = None
) -> PeerContext:
    """DCMTK query/retrieve SCP: store, find, move to ``movers`` (ports by AE title on loopback), get."""
    port = free_port()
    hosts = {f"host{number}": mover for number, mover in enumerate((movers or {}).items())}
    config = directory / "dcmqrscp.cfg"
    config.write_text(
        "\n".join(
            [
                f"NetworkTCPPort = {port}",
                *("MaxPDUSize = 131072", "MaxAssociations = 16", "HostTable BEGIN"),
                *(f"{host} = ({mover}, {HOST}, {mover_port})" for host, (mover, mover_port) in hosts.items()),
                *("HostTable END", "VendorTable BEGIN", "VendorTable END", "AETable BEGIN"),
                f"{ae_title} {directory} RW (200, 1024mb) ANY",
                "AETable END\n",
            ]
        )
    )
    return serve([require("dcmqrscp"), "-v", "-c", str(config), *options, str(port)], port)


def wlmscpfs(directory: Path, *options: str, ae_title: str = "WLMSCP") -> PeerContext:
    """DCMTK worklist SCP: its items are the ``*.wl`` files in ``directory / ae_title``."""
    port = free_port()
    items = directory / ae_title
    items.mkdir(exist_ok=True)
    (items / "lockfile").touch()
    return serve([require("wlmscpfs"), "-v", "-dfp", str(directory), *options, str(port)], port)


def print_config(directory: Path, port: int, ae_title: str) -> Path:
    """Write what DCMTK's print SCP and SCU have to know of a printer, whose identifier is its AE title."""
    for name in ("database", "spool", "log", "lut"):
        (directory / name).mkdir(exist_ok=True)
    config = directory / "dcmpstat.cfg"
    config.write_text(
        f"[[GENERAL]]\n[APPLICATION]\nLogDirectory = {directory}/log\n[DATABASE]\nDirectory = {directory}/database\n"
        f"[PRINT]\nDirectory = {directory}/spool\n[LUT]\nDirectory = {directory}/lut\n"
        f"[[COMMUNICATION]]\n[{ae_title}]\nType = LOCALPRINTER\nHostname = localhost\nPort = {port}\n"
        f"Aetitle = {ae_title}\nDescription = printer\nMaxPDU = 32768\nSupports12Bit = true\n"
    )
    return config


def dcmprscp(directory: Path, *options: str, ae_title: str = "PRINTER") -> PeerContext:
    """DCMTK print management SCP."""
    port = free_port()
    config = print_config(directory, port, ae_title)
    command = [require("dcmprscp"), "-v", "-c", str(config), *options, "-p", ae_title]
    return serve(command, port, cwd=directory)


def pynetdicom_storescp(directory: Path, *options: str, ae_title: str = "STORESCP") -> PeerContext:
    """pynetdicom's storage SCP: stores what it receives in ``directory``."""
    port = free_port()
    command = [require_module("pynetdicom"), "-m", "pynetdicom", "storescp", "-v", "-aet", ae_title, "-ba", HOST]
    return serve([*command, "-od", str(directory), *options, str(port)], port)


def orthanc(
    directory: Path,
    *,
    ae_title: str = "ORTHANC",
    modalities: Mapping[str, tuple[str, int]] | None = None,
    settings: Mapping[str, object] | None = None,
    http_port: int | None = None,
) -> PeerContext:
    """Orthanc: echo, store, find, get, move, storage commitment.

    ``modalities`` are the peers it may talk to, as symbolic name to AE title and port on loopback; ``settings`` adds to
    its configuration. Its REST interface is at ``http_port``.
    """
    port, http = free_port(), http_port or free_port()
    allow = {f"DicomAlwaysAllow{service}": True for service in ("Echo", "Store", "Find", "FindWorklist", "Get", "Move")}
    config = directory / "orthanc.json"
    config.write_text(
        json.dumps(
            {
                "DicomAet": ae_title,
                "DicomPort": port,
                "HttpPort": http,
                "StorageDirectory": str(directory / "storage"),
                "IndexDirectory": str(directory / "index"),
                "UnknownSopClassAccepted": True,
                "DicomAssociationCloseDelay": 0,
                "DicomModalities": {name: [title, HOST, at] for name, (title, at) in (modalities or {}).items()},
                **allow,
                **(settings or {}),
            }
        )
    )
    # It takes seconds to end by itself, which nobody needs: what it stores is thrown away.
    command = [require("Orthanc"), str(config)]
    return serve(command, port, ready=lambda port: accepts(port) and accepts(http), patience=0)


def ctn_storage(directory: Path, *options: str, ae_title: str = "CTN") -> PeerContext:
    """CTN's storage SCP. It ends when a connection brings no association: give it well-formed traffic only."""
    port = free_port()
    command = [require("simple_storage"), "-c", ae_title, "-x", str(directory), *options, str(port)]
    return serve(command, port, cwd=directory, ready=listens)


def odil_scp(directory: Path, *retrieved: Argument) -> PeerContext:
    """Odil's SCP, under any AE title: stores in ``directory``; ``retrieved`` are a file and where C-MOVE sends it.

    It serves one association at a time and opens its port anew for each: ``wait_until_ready`` before the next.
    """
    port = free_port()
    script = Path(__file__).with_name("odil_scp.py")
    command = [require_odil(), script, port, directory, *retrieved]
    return serve([str(argument) for argument in command], port, ready=listens)


def dcmjs_storage(directory: Path) -> PeerContext:
    """dcmjs-dimse's echo and storage SCP, under any AE title: stores in ``directory``."""
    port = free_port()
    script = Path(__file__).with_name("dcmjs_scp.js")
    return serve([require_dcmjs(), str(script), str(port), str(directory)], port)


def pixelmed(directory: Path, *, mover: int = 0) -> PeerContext:
    """PixelMed: echo, store, find, get, and move to ``MOVER``, which is at a port on loopback."""
    port = free_port()
    command = [*require_pixelmed(), "scp", str(port), str(directory), str(mover or free_port())]
    return serve(command, port, ready=listens)


def pydcm(directory: Path, *, mover: int = 0) -> PeerContext:
    """pydcm's SCP: everything it has, from and to ``directory``; ``MOVER`` is at a port on loopback."""
    port = free_port()
    script = Path(__file__).with_name("pydcm_peer.py")
    command = [require_python_peer("pydcm"), script, "scp", port, directory, mover]
    return serve([str(argument) for argument in command], port)


def tiny_pacs(directory: Path, *, ae_title: str = "TINY_PACS", devices: Mapping[str, int] | None = None) -> PeerContext:
    """tiny-pacs: echo, store, find, get, move and commitment; ``devices`` are ports by AE title on loopback."""
    port = free_port()
    require_python_peer("tiny_pacs")
    known = {title: {"aet": title, "address": HOST, "port": at} for title, at in (devices or {}).items()}
    components = {
        "Database": {"on": True},
        "Devices": {"on": True, "auto_add": False, "devices": known},
        "PACS": {"on": True},
        "InMemoryStorage": {"on": False},
        "FileStorage": {"on": True, "storage_dir": str(directory / "storage")},
    }
    config = directory / "tiny_pacs.json"
    entity = {"ae_title": [ae_title], "port": port, "dump_ds": False}
    config.write_text(
        json.dumps({"ae": entity, "log": {"version": 1, "root": {"level": "WARNING"}}, "components": components})
    )
    return serve([str(PYTHON_PEERS / "bin" / "tiny-pacs"), "run", "-c", str(config)], port, ready=listens)
