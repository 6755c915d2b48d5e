"""The archive as a program, and DCMTK's and Orthanc's clients: what was stored is found, and comes back bit for bit."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.archive.nodes import node
from tests.interop import peers
from tests.interop.images import contents, images, path_of, stored_in

FILES = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "examples_overlay.dcm")
MODELS = ("-P", "-S")


def study_of(name: str) -> str:
    from pydicom import dcmread  # noqa: PLC0415

    return str(dcmread(path_of(name), specific_tags=["StudyInstanceUID"]).StudyInstanceUID)


def test_dcmtk(tmp_path: Path) -> None:
    archive, got, moved = (tmp_path / name for name in ("archive", "got", "moved"))
    for directory in (got, moved):
        directory.mkdir()
    with peers.storescp(moved, "+xa", "+B") as destination:
        where = f"STORESCP=127.0.0.1:{destination.port}"
        with node(archive, "--destination", where) as scp:
            peers.run("storescu", "-aec", "ARCHIVE", *scp.address, *map(path_of, FILES)).check()
            study = study_of("examples_overlay.dcm")
            for model in MODELS:
                keys = [
                    "-k",
                    "QueryRetrieveLevel=STUDY",
                    "-k",
                    "PatientID=",
                    "-k",
                    "PatientName=*",
                    "-k",
                    "StudyInstanceUID",
                ]
                found = peers.run("findscu", "-v", "-aec", "ARCHIVE", model, *keys, *scp.address).check().output
                assert found.count("(Pending)") == len(FILES)
                assert study in found
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
            peers.run("getscu", "-aec", "ARCHIVE", "+B", "-S", *keys, "-od", got, *scp.address).check()
            peers.run("movescu", "-aec", "ARCHIVE", "-aem", "STORESCP", "-S", *keys, *scp.address).check()
            bad = peers.run("findscu", "-v", "-aec", "ARCHIVE", "-S", "-k", "StudyInstanceUID", *scp.address)
            assert "A900" in bad.output or "Identifier" in bad.output
        destination.process.end()
    wanted = contents(images("examples_overlay.dcm"))
    assert stored_in(got) == wanted
    assert stored_in(moved) == wanted


def request(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=peers.RUN_SECONDS) as response:
        return json.load(response)


def test_orthanc(tmp_path: Path) -> None:
    """Orthanc sends to the archive, asks it, and moves from it to itself."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    http, port = peers.free_port(), peers.free_port()
    with (
        peers.orthanc(theirs, http_port=http, modalities={"archive": ("ARCHIVE", port)}) as orthanc,
        node(tmp_path / "archive", "--destination", f"ORTHANC=127.0.0.1:{orthanc.port}", port=port) as scp,
    ):
        base = f"http://127.0.0.1:{http}"
        peers.run("storescu", "-aec", "ARCHIVE", *scp.address, path_of("CT_small.dcm")).check()
        asked = request(f"{base}/modalities/archive/query", {"Level": "Study", "Query": {"PatientID": "*"}})
        assert request(f"{base}/queries/{asked['ID']}/answers") == ["0"]
        request(f"{base}/queries/{asked['ID']}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
        (instance,) = request(f"{base}/instances")
        sent = request(f"{base}/modalities/archive/store", {"Resources": [instance], "Synchronous": True})
        assert sent["FailedInstancesCount"] == 0


@pytest.mark.parametrize("name", ["findscu", "getscu"])
def test_pynetdicom(tmp_path: Path, name: str) -> None:
    with node(tmp_path / "archive") as scp:
        peers.run("storescu", "-aec", "ARCHIVE", *scp.address, path_of("CT_small.dcm")).check()
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_of('CT_small.dcm')}"]
        program = peers.run_pynetdicom(name, "-v", "-aec", "ARCHIVE", "-S", *keys, *scp.address, cwd=tmp_path)
        assert program.check().output.count("Pending") == 1
