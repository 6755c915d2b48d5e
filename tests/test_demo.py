"""``make demo``: over each I/O it shows that everything has arrived, and it would notice if something had not."""

import re
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_proto.handlers.event import RequestEvent
from dicom_transports.apps import demo

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("io", demo.IO)
def test_everything_arrives_over(io: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--io", io, "--directory", str(tmp_path / "made")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"listens on 127\.0\.0\.1:\d+", printed)
    assert "established (Sta6)" in printed
    assert "released (Sta1)" in printed
    assert "JPEG 2000 Image Compression" in printed
    assert "C-ECHO: status 0000H Success" in printed
    assert len(re.findall(r"0000H Success *│ identical", printed)) == len(demo.FILES)
    assert "every data set arrived as it was sent" in printed
    names = {dcmread(sent.path).SOPInstanceUID + ".dcm" for sent in demo.open_files()}
    assert {path.name for path in (tmp_path / "made").iterdir()} == names


def test_it_needs_no_directory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "FILES", {"CT_small.dcm": "CT image"})
    assert demo.main([]) == 0
    (name,) = re.findall(r"files go to\s(\S+)", capsys.readouterr().out)
    assert not Path(name).exists()


@pytest.mark.parametrize("io", demo.IO)
def test_a_difference_is_noticed_over(
    io: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def store(event: RequestEvent) -> int:
        file = bytearray(event.encoded_dataset())
        file[-1] ^= event.context.abstract_syntax.endswith(".481.5")  # RT plan
        (tmp_path / f"{event.request.AffectedSOPInstanceUID}.dcm").write_bytes(file)
        return 0x0000

    monkeypatch.setattr(demo, "store_to", lambda _: store)
    assert demo.main(["--io", io, "--directory", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert len(re.findall(r"0000H Success *│ identical", printed)) == len(demo.FILES) - 1
    assert re.search(r"rtplan\.dcm .*DIFFERENT", printed)
    assert "something was not stored as it was sent" in printed


@pytest.mark.parametrize(("variable", "io"), [((), "blocking"), (("IO=trio",), "trio")])
def test_make_says_which(variable: tuple[str, ...], io: str) -> None:
    commands = subprocess.run(
        ["make", "--dry-run", "demo", *variable], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert f"-m dicom_transports.apps.demo --io {io}\n" in commands
