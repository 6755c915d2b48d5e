"""What DCMTK's programs say to each other passes a tap unchanged, and is told without a violation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_transports.apps.trace.entries import Kind
from tests.interop import peers
from tests.interop.images import path_of
from tests.traces.test_trace_tap import tapped


def test_dcmtk_stores_through_a_tap(tmp_path: Path) -> None:
    with peers.storescp(tmp_path) as peer, tapped(peer.address, most=2) as (address, entries):
        host, port = address
        peers.run("echoscu", host, str(port))
        peers.run("storescu", host, str(port), str(path_of("CT_small.dcm")))
    assert len([*tmp_path.iterdir()]) == 1
    assert not [entry.text for entry in entries if entry.kind is Kind.VIOLATION]
    names = [entry.name for entry in entries if entry.kind in (Kind.MESSAGE, Kind.DATA_SET)]
    assert names == ["C-ECHO-RQ", "C-ECHO-RSP", "C-STORE-RQ", "data set", "C-STORE-RSP"]
    elements = next(entry for entry in entries if entry.kind is Kind.DATA_SET).fields["elements"]
    assert "PixelData" in [element["name"] for element in elements]


@pytest.mark.parametrize(
    ("start", "title"),
    [(peers.orthanc, "ORTHANC"), (peers.pynetdicom_storescp, "STORESCP")],
    ids=["Orthanc", "pynetdicom"],
)
def test_to_other_peers(tmp_path: Path, start: Callable[[Path], peers.PeerContext], title: str) -> None:
    with start(tmp_path) as peer, tapped(peer.address, most=2) as (address, entries):
        where = [str(part) for part in address]
        peers.run("storescu", "-aec", title, *where, str(path_of("CT_small.dcm"))).check()
        peers.run_pynetdicom("echoscu", "-aec", title, *where).check()
    assert not [entry.text for entry in entries if entry.kind is Kind.VIOLATION]
    names = [entry.name for entry in entries if entry.kind is Kind.MESSAGE]
    assert names == ["C-STORE-RQ", "C-STORE-RSP", "C-ECHO-RQ", "C-ECHO-RSP"]
