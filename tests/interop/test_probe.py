"""``dicom-proto probe`` of real programs finds what they were started to accept."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_proto.testing.pair import CT, VERIFICATION
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from tests.interop import peers

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
JPEG = "1.2.840.10008.1.2.4.50"
MOVE = "1.2.840.10008.5.1.4.1.2.1.2"


def test_dcmtk_storescp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with peers.storescp(tmp_path, "+xy") as peer:  # prefers JPEG Baseline
        host, port = peer.address
        assert main(["probe", host, str(port), "--json"]) == Exit.ALL
        record = json.loads(capsys.readouterr().out)
    found = {one["UID"]: one for one in record["SOP classes"]}
    assert found[CT]["transfer syntaxes"][0] == JPEG
    assert set(found[CT]["transfer syntaxes"]) >= {JPEG, EXPLICIT, IMPLICIT}
    assert (found[CT]["SCP"], found[CT]["SCU"]) == (True, False)
    assert JPEG not in found[VERIFICATION]["transfer syntaxes"]
    assert MOVE in record["refused"]
    assert record["implementation version name"].startswith("OFFIS_DCMTK")
    assert record["associations"] < 40


def test_dcmtk_dcmqrscp_in_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with peers.dcmqrscp(tmp_path, ae_title="QRSCP") as peer:
        host, port = peer.address
        only = ["--sop-class", MOVE, "--sop-class", CT]
        assert main(["probe", host, str(port), "-aec", "QRSCP", *only, "--title", "NOBODY"]) == Exit.ALL
        printed = " ".join(capsys.readouterr().out.split())
    assert "2 SOP classes accepted, 0 refused" in printed
    assert "AE title NOBODY" in printed


@pytest.mark.parametrize(
    ("start", "title", "name"),
    [(peers.orthanc, "ORTHANC", "OFFIS_DCMTK"), (peers.pynetdicom_storescp, "STORESCP", "PYNETDICOM")],
    ids=["Orthanc", "pynetdicom"],
)
def test_other_peers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    start: Callable[[Path], peers.PeerContext],
    title: str,
    name: str,
) -> None:
    with start(tmp_path) as peer:
        host, port = peer.address
        only = [option for uid in (MOVE, CT, VERIFICATION) for option in ("--sop-class", uid)]
        assert main(["probe", host, str(port), "-aec", title, "--json", *only]) == Exit.ALL
        record = json.loads(capsys.readouterr().out)
    found = {one["UID"]: one for one in record["SOP classes"]}
    assert found.keys() == {CT, VERIFICATION} | ({MOVE} if title == "ORTHANC" else set())
    assert set(found[CT]["transfer syntaxes"]) >= {EXPLICIT, IMPLICIT, JPEG}
    assert record["implementation version name"].startswith(name)
