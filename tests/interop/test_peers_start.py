"""The peers themselves: each starts, answers a C-ECHO of DCMTK, and ends with its children."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop import peers

SCPS = {
    "STORESCP": peers.storescp,
    "PYNETDICOM": lambda directory: peers.pynetdicom_storescp(directory, ae_title="PYNETDICOM"),
    "QRSCP": lambda directory: peers.dcmqrscp(directory, movers={"MOVER": 11113}),
    "WLMSCP": peers.wlmscpfs,
    "PRINTER": peers.dcmprscp,
    "ORTHANC": peers.orthanc,
    "CTN": peers.ctn_storage,
    "ODIL": peers.odil_scp,
    "DCMJS": peers.dcmjs_storage,
    "PIXELMED": peers.pixelmed,
    "PYDCM": peers.pydcm,
    "TINY_PACS": peers.tiny_pacs,
}


@pytest.mark.parametrize("ae_title", SCPS)
def test_scp_answers_an_echo(ae_title: str, tmp_path: Path) -> None:
    start: Callable[[Path], peers.PeerContext] = SCPS[ae_title]
    with start(tmp_path) as scp:
        finished = peers.run("echoscu", "-v", "-aec", ae_title, *scp.address).check()
        assert "Received Echo Response (Success)" in finished.output
    assert not peers.accepts(scp.port)


def test_pynetdicom_echoes_with_dcmtk(tmp_path: Path) -> None:
    with peers.storescp(tmp_path) as scp:
        peers.run_pynetdicom("echoscu", "-v", "-aec", "STORESCP", *scp.address).check()
        assert "Received Echo Request" in scp.output


FORKING_SERVER = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork():
    listener.close()
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pause()
"""


def test_children_of_a_peer_end_with_it() -> None:
    port = peers.free_port()
    with peers.serve([sys.executable, "-c", FORKING_SERVER, str(port)], port):
        pass
    deadline = time.monotonic() + peers.END_SECONDS
    while peers.accepts(port):
        assert time.monotonic() < deadline, "the child still listens"


def test_peer_that_ends_at_once_is_reported() -> None:
    with (
        pytest.raises(pytest.fail.Exception, match="ended with 3"),
        peers.serve(["sh", "-c", "exit 3"], peers.free_port()),
    ):
        pass


def test_missing_peer_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DICOM_PROTO_REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception):
        peers.require("no-such-program")
    monkeypatch.setenv("DICOM_PROTO_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception):
        peers.require("no-such-program")
