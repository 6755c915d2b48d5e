"""The commands against DCMTK, Orthanc and pynetdicom: what they print, how they end, and what has arrived."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from dicom_proto.sop_class import ModalityPerformedProcedureStep
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from tests.interop import peers
from tests.interop.archive import FILES
from tests.interop.images import COMPRESSED, contents, images, path_of, stored_in

PATHS = [str(path_of(name)) for name in FILES]
ORIGINAL = contents(images(*FILES))
SCPS = {"DCMTK": peers.storescp, "pynetdicom": peers.pynetdicom_storescp}
EACH_IO = pytest.mark.parametrize("io", ["blocking", "asyncio", "trio"])
EACH_SCP = pytest.mark.parametrize("scp", SCPS.values(), ids=SCPS)


@frozen
class Address:
    """A peer in this process."""

    address: tuple[str, int]


class Command:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.code = int(Exit.ALL)
        self.output = self.errors = ""

    def __call__(self, name: str, peer: peers.Peer | Address, *arguments: Any) -> str:
        """Run one; return what it has printed."""
        self._capsys.readouterr()
        self.code = main([name, *map(str, peer.address), *map(str, arguments)])
        self.output, self.errors = self._capsys.readouterr()
        return self.output

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@contextmanager
def serving(name: str, *arguments: Any) -> Iterator[peers.Peer]:
    """Run a command that serves, in a process of its own."""
    port = peers.free_port()
    start = [sys.executable, "-m", "dicom_transports", name, "-ba", peers.HOST, str(port), *map(str, arguments)]
    with peers.serve(start, port, ready=peers.listens) as peer:
        yield peer


@EACH_SCP
def test_echoscu(scp: Any, command: Command, tmp_path: Path) -> None:
    with scp(tmp_path) as peer:
        assert command("echoscu", peer).startswith("ANY-SCP at 127.0.0.1:")
        assert "0x0000 Success" in command.output
        command("echoscu", peer, "--repeat", 3, "--json", "--abort")
        assert [record["status"] for record in command.records] == [0, 0, 0]
        for io in ("blocking", "asyncio", "trio"):
            assert "0x0000 Success" in command("echoscu", peer, "--io", io)
    assert command.code == Exit.ALL


@pytest.mark.parametrize(
    ("scp", "io"), [(peers.storescp, "blocking"), (peers.storescp, "trio"), (peers.pynetdicom_storescp, "asyncio")]
)
def test_storescu(scp: Any, io: str, command: Command, tmp_path: Path) -> None:
    with scp(tmp_path, *(["+B"] if scp is peers.storescp else [])) as peer:
        printed = command("storescu", peer, *PATHS, "--io", io, "--associations", 2)
        assert printed.startswith("3 of 3 files stored, 331.9 KB in ")
        assert (command.code, command.errors) == (Exit.ALL, "")
        assert stored_in(tmp_path).keys() == ORIGINAL.keys()


def test_storescu_says_what_was_not_stored_and_goes_on_from_its_report(command: Command, tmp_path: Path) -> None:
    folder, report = tmp_path / "files", tmp_path / "report"
    (folder / "deep").mkdir(parents=True)
    compressed = path_of(next(iter(COMPRESSED)))
    for number, path in enumerate([*map(Path, PATHS), compressed]):
        (folder / "deep" / f"no suffix {number}").write_bytes(path.read_bytes())
    (folder / "readme.txt").write_text("This is no object.")
    with peers.storescp(tmp_path, "+xe") as peer:  # uncompressed transfer syntaxes only
        printed = command("storescu", peer, folder, "-r", "--report", report)
        assert command.code == Exit.SOME
        assert printed.startswith("1 files are left out: they hold no object that can be stored\n3 of 4 files stored")
        assert "\n  1 not stored: " in printed
        assert command.errors.startswith(f"{folder / 'deep' / 'no suffix 3'}: ")
        records = [json.loads(line) for line in report.read_text().splitlines()]
        assert sorted(Path(record["item"]).name for record in records if record["stored"]) == [
            f"no suffix {number}" for number in range(3)
        ]
        command("storescu", peer, folder, "-r", "--report", report)
        assert command.code == Exit.USAGE
        assert "is there already: go on with --resume" in command.errors
        command("storescu", peer, folder, "-r", "--report", report, "--resume", "--json")
        assert command.code == Exit.NONE
        assert command.records[-1]["summary"]["files"] == 1
    assert len(report.read_text().splitlines()) == 5


@EACH_IO
def test_storescp(io: str, tmp_path: Path) -> None:
    told = [sys.executable, "-c", "import sys; print(*sys.argv[1:], sep='|')", "{calling_aet}", "{path}"]
    template = "{Modality}/{SOPInstanceUID}.dcm"
    with serving("storescp", "--io", io, "-od", tmp_path, "--template", template, "--exec", *told) as peer:
        peers.run("storescu", "-aet", "SENDER", *peer.address, PATHS[0]).check()
        sender = peers.run_pynetdicom if io == "blocking" else peers.run  # which takes long to start
        sender("storescu", "-xi", *peer.address, PATHS[1]).check()
        peers.run("echoscu", *peer.address).check()
        peer.process.popen.send_signal(signal.SIGTERM if io == "asyncio" else signal.SIGINT)
        assert peer.process.popen.wait(peers.RUN_SECONDS) == Exit.ALL
        lines = peer.output.splitlines()
    assert lines[0] == f"DICOM_PROTO listens on 127.0.0.1:{peer.port}"
    assert {"the server has ended", f"2 objects have been stored in {tmp_path}"} <= set(lines)
    stored = sorted(tmp_path.rglob("*.dcm"))
    assert [path.parent.name for path in stored] == ["MR", "RTDOSE"]
    assert f"SENDER|{stored[0]}" in lines
    uids = list(ORIGINAL)[:2]
    assert stored_in(tmp_path).keys() == set(uids)


def test_echoscp_takes_whom_it_should(command: Command) -> None:
    with serving("echoscp", "-aet", "HERE", "--require-called", "--require-calling", "ME") as peer:
        command("echoscu", peer, "-aec", "HERE", "-aet", "ME")
        assert command.code == Exit.ALL
        peers.run("echoscu", "-aec", "HERE", "-aet", "ME", *peer.address).check()
        command("echoscu", peer, "-aec", "THERE", "-aet", "ME")
        assert command.code == Exit.NO_ASSOCIATION
        assert "called AE title not recognized: it is not 'THERE', give the right one with -aec" in command.errors
        command("echoscu", peer, "-aec", "HERE")
        assert "it does not know 'DICOM_PROTO', give one that it knows with -aet" in command.errors


@EACH_IO
def test_queries_and_retrieval_from_dcmtk(io: str, command: Command, tmp_path: Path) -> None:
    own, here = peers.free_port(), ["-aec", "QRSCP", "--io", io]
    database = tmp_path / "database"
    database.mkdir()
    with peers.dcmqrscp(database, movers={"HERE": own}) as peer:
        command("storescu", peer, *here, *PATHS)
        assert "(0010,0020) PatientID: id00001\n" in command("findscu", peer, *here, "-P", "-k", "PatientID")
        assert command.output.endswith("C-FIND: 0x0000 Success: matching complete, no identifier; 3 matches\n")
        extract = ["--json", "-X", tmp_path / "x"]
        command("findscu", peer, *here, *extract, "-k", "0010,0010=Last*", "-k", "StudyInstanceUID")
        assert [record["match"]["00100010"]["Value"] for record in command.records[:-1]] == [
            [{"Alphabetic": "Lastname^Firstname"}],
            [{"Alphabetic": "Last^First^mid^pre"}],
        ]
        assert len(list((tmp_path / "x").iterdir())) == 2
        patient = ["-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID"]
        command("findscu", peer, *here, *patient, "--json", tmp_path / "x" / "rsp0001.dcm")
        assert command.records[-1]["matches"] == 1
        wanted = [*patient[:-1], "PatientID=*"]
        all_of_it = "0x0000 Success: all sub-operations succeeded; 3 completed\n3 objects have been stored"
        printed = command("getscu", peer, *here, *wanted, "-od", tmp_path / "got")
        assert all_of_it in printed
        printed = command("movescu", peer, *here, *wanted, "-aet", "HERE", "+P", own, "-od", tmp_path / "moved")
        assert (
            "C-MOVE: 0x0000 Success: all sub-operations succeeded; 3 completed\n3 objects have been stored" in printed
        )
        assert command.code == Exit.ALL
        command("movescu", peer, *here, *wanted, "-aem", "NOBODY")
        assert (command.code, "move destination unknown" in command.output) == (Exit.NONE, True)
    assert stored_in(tmp_path / "got").keys() == stored_in(tmp_path / "moved").keys() == ORIGINAL.keys()


def test_all_of_it_with_orthanc(command: Command, tmp_path: Path) -> None:
    own = peers.free_port()
    with peers.orthanc(tmp_path, modalities={"here": ("HERE", own)}) as peer:
        here = ["-aec", "ORTHANC", "-aet", "HERE"]
        assert command("echoscu", peer, *here).startswith("ORTHANC at ")
        assert command("storescu", peer, *here, *PATHS, "--max-ops", 8).startswith("3 of 3 files stored")
        wanted = ["-k", "StudyInstanceUID=1.22.333.4.555555.6.7777777777777777777777777777"]
        assert "Last^First^mid^pre" in command("findscu", peer, *here, *wanted, "-k", "PatientName")
        command("getscu", peer, *here, *wanted, "-od", tmp_path / "got", "--fsync", "group")
        assert "1 objects have been stored" in command.output
        command("movescu", peer, *here, *wanted, "+P", own, "-od", tmp_path / "moved", "--fsync", "none")
        assert "1 objects have been stored" in command.output
        assert command.code == Exit.ALL
    (uid,) = stored_in(tmp_path / "got").keys()
    assert stored_in(tmp_path / "moved").keys() == {uid}


def test_a_worklist_of_dcmtk(command: Command, tmp_path: Path) -> None:
    dump = tmp_path / "one.dump"
    dump.write_text(
        "(0008,0050) SH [A1]\n(0010,0010) PN [Worklist^Patient]\n(0010,0020) LO [4711]\n(0020,000d) UI [1.2.3]\n"
        "(0032,1060) LO [head]\n(0040,1001) SH [R1]\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS [CT]\n"
        "(0040,0001) AE [SCANNER]\n(0040,0002) DA [20260304]\n(0040,0003) TM [0900]\n(0040,0009) SH [S1]\n"
        "(fffe,e00d) -\n(fffe,e0dd) -\n"
    )
    with peers.wlmscpfs(tmp_path, "-dfr") as peer:
        peers.run("dump2dcm", "-g", dump, tmp_path / "WLMSCP" / "one.wl").check()
        table = command("worklist", peer, "-aec", "WLMSCP", "--date", "20260301-20260331", "-q")
        assert "20260304  0900  CT        SCANNER  Worklist^Patient  4711" in table
        assert command.code == Exit.ALL
        command("worklist", peer, "-aec", "WLMSCP", "--date", "20270101", "--json")
        assert (command.code, command.records[-1]["matches"]) == (Exit.ALL, 0)


def test_orthanc_commits_on_an_association_of_its_own(command: Command, tmp_path: Path) -> None:
    own = peers.free_port()
    with peers.orthanc(tmp_path, modalities={"here": ("HERE", own)}) as peer:
        here = ["-aec", "ORTHANC", "-aet", "HERE"]
        command("storescu", peer, *here, *PATHS[:2])
        printed = command("commit", peer, *here, *PATHS, "+P", own)
        assert printed.endswith(f"\n{PATHS[2]}: referenced instance not available\n2 of 3 objects are kept\n")
    assert command.code == Exit.SOME


def test_a_step_at_pynetdicom(command: Command, theirs: Any) -> None:
    created: dict[str, Any] = {}

    def create(event: Any) -> Any:
        created[str(event.request.AffectedSOPInstanceUID)] = event.attribute_list
        return 0x0000, event.attribute_list

    def change(event: Any) -> Any:
        created[str(event.request.RequestedSOPInstanceUID)].update(event.modification_list)
        return 0x0000, event.modification_list

    scp = theirs.AE("RIS")
    scp.add_supported_context(ModalityPerformedProcedureStep)
    handlers = [(theirs.evt.EVT_N_CREATE, create), (theirs.evt.EVT_N_SET, change)]
    server = scp.start_server((peers.HOST, 0), block=False, evt_handlers=handlers)
    peer = Address(server.server_address)
    uid = command("mpps", peer, "create", "-k", "Modality=CT", "-k", "PatientID=7", "-q").strip()
    assert (created[uid].Modality, created[uid].PerformedProcedureStepStatus) == ("CT", "IN PROGRESS")
    command("mpps", peer, "discontinue", "--uid", uid, "--images", PATHS[0])
    server.shutdown()
    assert created[uid].PerformedProcedureStepStatus == "DISCONTINUED"
    assert command.code == Exit.ALL


@pytest.mark.parametrize("option", ["-xe", "-xi", "-xb", "-xd"])
def test_storescu_proposes_what_it_is_told(option: str, command: Command, tmp_path: Path) -> None:
    syntaxes = {"-xe": ".1", "-xi": "", "-xb": ".2", "-xd": ".1.99"}
    compressed = path_of(next(iter(COMPRESSED)))
    with peers.storescp(tmp_path, "+xa", "+B") as peer:
        command("storescu", peer, *PATHS, compressed, option)
    assert command.code == Exit.ALL
    stored = {syntax for _, syntax, _ in stored_in(tmp_path).values()}
    assert len(stored_in(tmp_path)) == 4
    assert stored == {f"1.2.840.10008.1.2{syntaxes[option]}", "1.2.840.10008.1.2.4.50"}
