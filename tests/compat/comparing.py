"""Run programs on pynetdicom and on this stack, and compare what they do.

What must be the same is all that a program prints and logs itself, the files that it leaves, its exit status, and what
its other side sees of it (see sides.py).
"""

import difflib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trustme
from attrs import define, frozen
from pydicom import dcmread

from tests.compat import measure
from tests.compat.documents import Program
from tests.compat.sides import Peer, call, text_of
from tests.interop.images import CT, path_of

HERE: Final = Path(__file__).parent
STARTED: Final = str(HERE / "started.py")
STACK: Final = f"{measure.ROOT}:{measure.ROOT / 'transports'}"
UNCHANGED: Final = ["-m", "dicom_transports.compat.pynetdicom", STARTED]
SECONDS: Final = 120  # that a program may take
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_ADDRESS: Final = re.compile(r"('?)127\.0\.0\.1\1, \d+")
ATTEMPTS: Final = 600  # to reach a server that starts


@frozen
class Flavour:
    """One of the ways to run a program.

    Attributes
    ----------
    command : list of str
        What comes between the interpreter and the program.
    changed : callable
        What is done to the text of the program.
    path : str
        Where it imports from first.
    python : str
        The interpreter.
    """

    name: str
    command: list[str]
    changed: Callable[[str], str] = str
    path: str = STACK
    python: str = sys.executable


@define
class Certificates:
    """Those of both sides, and the authority for both of them."""

    folder: Path

    def __attrs_post_init__(self) -> None:
        authority = trustme.CA()
        self.folder.mkdir(parents=True, exist_ok=True)
        for side in ("server", "client"):
            leaf = authority.issue_cert("127.0.0.1")
            chain = [pem.bytes() for pem in leaf.cert_chain_pems]
            # The programs load a file both as certificate and as authority.
            (self.folder / f"{side}.crt").write_bytes(b"".join([*chain, authority.cert_pem.bytes()]))
            leaf.private_key_pem.write_to_path(str(self.folder / f"{side}.key"))

    def context(self, protocol: int, side: str) -> ssl.SSLContext:
        """Return the context of one side, which does not look at names."""
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.load_cert_chain(self.folder / f"{side}.crt", self.folder / f"{side}.key")
        context.load_verify_locations(self.folder / "server.crt")
        return context


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def laid_out(flavour: Flavour, program: Program, certificates: Certificates) -> Path:
    """Return a new folder with what the programs of the documentation take to be there."""
    folder = measure.BUILD / "programs" / flavour.name / program.name.replace("/", "-").replace(":", "-")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "instances").mkdir(parents=True)
    (folder / "path" / "to").mkdir(parents=True)
    for name in (CT, "MR_small.dcm"):
        shutil.copy(path_of(name), folder / "instances")
    for place in ("file-in.dcm", "path/to/dataset", "path/to/file.dcm"):
        shutil.copy(path_of(CT), folder / place)
    shutil.copytree(certificates.folder, folder, dirs_exist_ok=True)
    shutil.copy(HERE / "my_code.py", folder)
    return folder


@contextmanager
def process(flavour: Flavour, folder: Path, text: str, ports: dict[str, int]) -> Iterator[subprocess.Popen[str]]:
    """Start a program; it ends with the block."""
    for stated, used in ports.items():
        text = text.replace(stated, str(used))
    (folder / "program.py").write_text(flavour.changed(text), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",  # sets are in the same order in each run
        "PYTHONPATH": flavour.path,
        "STORE_SCP_PORT": str(ports["11120"]),
    }
    with (
        (folder / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [flavour.python, *flavour.command, "program.py"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as started,
    ):
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def called(started: subprocess.Popen[str], port: int, tls_args: Any) -> list[str]:
    """Return what a server answers, once it listens."""
    for _ in range(ATTEMPTS):
        if (seen := call(port, tls_args)) is not None:
            return seen
        try:
            started.wait(0.05)
            return ["it has ended"]
        except subprocess.TimeoutExpired:
            continue
    return ["it takes no association"]


def run(flavour: Flavour, program: Program, certificates: Certificates) -> list[str]:
    """Run a program, and return all that there is to be seen of it."""
    folder = laid_out(flavour, program, certificates)
    before = set(folder.rglob("*"))
    ports = {stated: free_port() for stated in ("11112", "11113", "11120")}
    seen = (_serve if program.is_server else _ask)(flavour, folder, program, ports, certificates)
    seen += [f"file: {text}" for text in sorted(map(content, set(folder.rglob("*")) - before)) if text]
    return [without_chance(line, ports.values()) for text in seen for line in text.split("\n")]


def _serve(
    flavour: Flavour, folder: Path, program: Program, ports: dict[str, int], certificates: Certificates
) -> list[str]:
    """Run a server, and call it; a move destination is there."""
    destination = Peer(ports["11113"])
    ports["11120"] = destination.port
    tls_args = (certificates.context(ssl.PROTOCOL_TLS_CLIENT, "client"), None) if program.tls else None
    with process(flavour, folder, program.text, ports) as started:
        seen = called(started, ports["11112"], tls_args)
        lines = program.text.count("input()")  # that it waits for
        for _ in range(lines):
            assert started.stdin is not None
            started.stdin.write("\n")
            started.stdin.flush()
            if lines > 1:  # it goes on listening in between
                seen += called(started, ports["11112"], tls_args)
        if not lines:
            started.send_signal(signal.SIGINT)
        printed = ended(started)
    destination.stop()
    return [*printed, *seen, *destination.seen]


def _ask(
    flavour: Flavour, folder: Path, program: Program, ports: dict[str, int], certificates: Certificates
) -> list[str]:
    """Run a client, or a program that calls itself; a peer is there."""
    ssl_context = certificates.context(ssl.PROTOCOL_TLS_SERVER, "server") if program.tls else None
    hosts = ("127.0.0.1", "::1") if "::1" in program.text else ("127.0.0.1",)
    peer = Peer(ports["11120"], ssl_context, hosts)
    if "start_server" not in program.text or "11120" in program.text:
        ports["11112"] = peer.port
    with process(flavour, folder, program.text, ports) as started:
        printed = ended(started)
    peer.stop()
    return [*printed, *peer.seen]


def without_chance(line: str, ports: Iterable[int]) -> str:
    """Return a line without what is another in each run: ports, the time, UIDs that were made up."""
    numbers = "|".join(map(str, ports))
    line = re.sub(rf"(?<!\d)({numbers})(?!\d)", "(port)", line)
    return text_of(_TIME.sub("(time)", _ADDRESS.sub("(address)", line)))


def ended(started: subprocess.Popen[str]) -> list[str]:
    """Return what a program prints until it ends, and how."""
    try:
        printed, _ = started.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        started.kill()
        printed, _ = started.communicate()
        return [*printed.splitlines(), "it does not end"]
    return [*printed.splitlines(), f"exit status {started.returncode}"]


def content(path: Path) -> str:
    """Return a DICOM file that a program has left, as text; nothing for what every program leaves."""
    if path.is_dir() or path.name in {"program.py", "log"} or path.suffix in {".db", ".pyc"}:
        return ""
    dataset = dcmread(path, force=True)
    return f"{dataset.file_meta.TransferSyntaxUID} {dataset}"


@define
class Expected:
    """Lines in which a run may differ from pynetdicom's, with the reason."""

    reason: str
    line: str
    programs: str = ""
    flavours: tuple[str, ...] = ("imports", "compat")
    times: int = 0


def _is_expected(line: str, program: Program, flavour: Flavour, known: Iterable[Expected]) -> bool:
    """Tell whether a line may differ, and count it."""
    for one in known:
        if flavour.name in one.flavours and one.programs in program.name and re.search(one.line, line):
            one.times += 1
            return True
    return False


def differences(reference: list[str], seen: list[str]) -> list[str]:
    """Return the lines that only one of two runs has, with ``-`` or ``+`` in front."""
    compared = difflib.unified_diff(reference, seen, lineterm="", n=0)
    return [line for line in compared if line[0] in "-+" and line[:3] not in {"---", "+++"}]


def compare(
    programs: Iterable[Program],
    reference: Flavour,
    flavours: Sequence[Flavour],
    known: Sequence[Expected],
    parts: Sequence[str],
) -> int:
    """Run programs, print a table and what differs; return the exit status.

    Parts of names choose programs; without any all are run, and each line that is expected to differ has to.
    """
    chosen = [one for one in programs if not parts or any(part in one.name for part in parts)]
    certificates = Certificates(measure.BUILD / "certificates")
    same: Counter[str] = Counter()
    unexpected = 0
    print(f"{'program':42}{'kind':9}{'lines':>6}  " + "".join(f"{one.name:13}" for one in flavours))
    for program in chosen:
        wanted = run(reference, program, certificates)
        words, others = "", []
        for flavour in flavours:
            found = differences(wanted, run(flavour, program, certificates))
            unknown = [line for line in found if not _is_expected(line, program, flavour, known)]
            words += f"{'DIFFERS' if unknown else 'as expected' if found else 'same':13}"
            same[flavour.name] += not found
            others += [f"\n    {flavour.name}: {line}" for line in unknown]
        unexpected += bool(others)
        print(f"{program.name:42}{program.kind:9}{len(wanted):6}  {words}", *others, sep="", flush=True)
    for flavour in flavours:
        print(f"{flavour.name}: {same[flavour.name]} of {len(chosen)} the same")
    for one in known:
        if one.times or not parts:
            print(f"{one.times:4} lines differ as expected: {one.reason}")
    return 1 if unexpected or not (parts or all(one.times for one in known)) else 0
