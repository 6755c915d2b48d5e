"""What senders and receivers do beside the protocol: interrupts, secrets, reports, programs, the model of keys."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from dicom_proto.handlers import evt
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from dicom_transports.apps.options.keys import set_key
from dicom_transports.blocking import AE

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
IMAGE = Path(str(get_testdata_file("CT_small.dcm", download=False)))
Captured = pytest.CaptureFixture[str]


class Archive:
    """Stores into a list, and keeps who waits waiting."""

    def __init__(self) -> None:
        self.identities: list[Any] = []
        self.stored = 0
        self.most = 1 << 30
        self.is_full, self.may_go_on = threading.Event(), threading.Event()
        self.ae = AE("ARCHIVE")
        for uid in (Verification, CTImageStorage):
            self.ae.add_supported_context(uid)

    def store(self, _: Any) -> int:
        self.stored += 1
        if self.stored > self.most:
            self.is_full.set()
            self.may_go_on.wait(60)
        return 0x0000

    def identify(self, event: Any) -> tuple[bool, None]:
        self.identities.append((event.user_id_type, event.primary_field, event.secondary_field))
        return True, None

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_C_STORE, self.store), (evt.EVT_USER_ID, self.identify)]


@pytest.fixture
def archive() -> Iterator[tuple[Archive, list[str]]]:
    made = Archive()
    with made.ae.start_server((HOST, 0), block=False, evt_handlers=made.handlers) as server:
        yield made, [HOST, str(server.address[1])]
        made.may_go_on.set()


@pytest.mark.parametrize(
    ("io", "number", "code"),
    [
        ("blocking", signal.SIGINT, Exit.INTERRUPTED),
        ("asyncio", signal.SIGTERM, Exit.TERMINATED),
        ("trio", signal.SIGINT, Exit.INTERRUPTED),
    ],
)
def test_who_is_interrupted_says_what_was_sent(
    archive: tuple[Archive, list[str]], io: str, number: signal.Signals, code: Exit, tmp_path: Path
) -> None:
    scp, where = archive
    scp.most = 2
    report = tmp_path / "report"
    command = ["storescu", *where, str(IMAGE), "--repeat", "5", "--io", io, "--report", str(report), "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "transports")])}
    with subprocess.Popen(
        [sys.executable, "-m", "dicom_transports", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["stored"] for _ in range(2)] == [True, True]
        assert scp.is_full.wait(60)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code
    summary = json.loads(output)["summary"]
    assert (summary["stored"], summary["left"]) == (2, 3)
    assert errors.endswith(f"dicom-proto storescu: {'terminated' if code == Exit.TERMINATED else 'interrupted'}\n")
    assert [json.loads(line)["stored"] for line in report.read_text().splitlines()] == [True, True]


def test_secrets_come_from_files_and_the_environment(
    archive: tuple[Archive, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scp, where = archive
    (tmp_path / "secret").write_bytes("geheim ß\r\nnot this\n".encode())
    (tmp_path / "token").write_bytes(b"\x01token\n")
    assert main(["echoscu", *where, "--user", "joe"]) == Exit.ALL
    assert main(["echoscu", *where, "--user", "joe", "--password-file", str(tmp_path / "secret"), "-rsp"]) == Exit.ALL
    assert main(["echoscu", *where, "--jwt", str(tmp_path / "token")]) == Exit.ALL
    monkeypatch.setenv("DICOM_PROTO_PASSWORD", "other")
    assert main(["storescu", *where, str(IMAGE), "-usr", "joe"]) == Exit.ALL
    assert scp.identities == [
        (1, b"joe", None),
        (2, b"joe", "geheim ß".encode()),
        (5, b"\x01token\n", None),
        (2, b"joe", b"other"),
    ]


def test_a_transfer_stops_where_it_should(archive: tuple[Archive, list[str]], tmp_path: Path, capsys: Captured) -> None:
    _, where = archive
    (tmp_path / "0").write_text("This is no object.")
    assert main(["storescu", *where, str(tmp_path / "0"), str(IMAGE), "--halt"]) == Exit.NONE
    assert "\n  1 not sent, or not answered for\n" in capsys.readouterr().out


def test_many_failures_are_summed_up(archive: tuple[Archive, list[str]], tmp_path: Path, capsys: Captured) -> None:
    _, where = archive
    for number in range(12):
        (tmp_path / str(number)).write_text("This is no object.")
    paths = sorted(str(path) for path in tmp_path.iterdir())
    assert main(["storescu", *where, *paths]) == Exit.NONE
    output, errors = capsys.readouterr()
    assert output.startswith("2 more files were not stored: -v or --report names them\n0 of 12 files stored")
    assert errors.count("\n") == 10


def test_a_report_that_was_cut_short_is_read(archive: tuple[Archive, list[str]], tmp_path: Path) -> None:
    """Whoever wrote it may have been killed in the middle of a line."""
    scp, where = archive
    report = tmp_path / "report"
    command = ["storescu", *where, str(IMAGE), "--report", str(report)]
    assert main(command) == Exit.ALL
    whole = report.read_text()
    report.write_text(whole + whole[:10])
    assert main([*command, "--resume", "--json"]) == Exit.ALL
    assert scp.stored == 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("PatientName=Doe*", "(0010,0010) PN Doe*"),
        ("0010,0010=A=B", "(0010,0010) PN A=B"),
        ("(0010,0020)", "(0010,0020) LO "),
        ("00080061=CT\\MR", "(0008,0061) CS ['CT', 'MR']"),
        ("Rows=512", "(0028,0010) US 512"),
        ("FrameIncrementPointer=FrameTime", "(0028,0009) AT (0018,1063)"),
        ("RecommendedDisplayFrameRateInFloat=2.5", "(0008,9459) FL 2.5"),
        ("0009,1001=x", "(0009,1001) LO x"),
    ],
)
def test_keys(key: str, expected: str) -> None:
    identifier = Dataset()
    set_key(identifier, key)
    (element,) = identifier
    value = list(element.value) if element.VM > 1 else element.value
    assert f"{element.tag} {element.VR} {value}" == expected


def test_keys_in_sequences() -> None:
    identifier = Dataset()
    for key in (
        "ScheduledProcedureStepSequence[0].Modality=CT",
        "(0040,0100)[0].(0040,0008)[0].CodeValue=1",
        "ScheduledProcedureStepSequence[1]",
        "ReferencedStudySequence",
        "PatientName=Дое",
    ):
        set_key(identifier, key)
    first, second = identifier.ScheduledProcedureStepSequence
    assert (first.Modality, first.ScheduledProtocolCodeSequence[0].CodeValue, len(second)) == ("CT", "1", 0)
    assert len(identifier.ReferencedStudySequence) == 1
    assert identifier.SpecificCharacterSet == "ISO_IR 192"
