"""``qrscp`` with several processes, as a department runs it, before DCMTK's programs."""

import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.archive.nodes import node
from tests.archive.objects import image
from tests.archive.test_workflow import item, save
from tests.interop import peers
from tests.interop.peers import HOST

pytestmark = pytest.mark.interop

WAIT = 30.0


def until(answer: Callable[[], Any]) -> Any:
    """Ask again until there is an answer."""
    deadline = time.monotonic() + WAIT
    while not (found := answer()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def status(port: int) -> Any:
    connection = http.client.HTTPConnection(HOST, port, timeout=WAIT)
    connection.request("GET", "/status.json")
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found


def test_a_department(tmp_path: Path) -> None:
    settings, audit, worklist = tmp_path / "archive.toml", tmp_path / "audit.jsonl", tmp_path / "worklist"
    settings.write_text('ae_title = "ARC"\nrequire_called = true\n[[access]]\ncalling = ["STORESCU"]\n')
    worklist.mkdir()
    save(worklist / "one.wl", item(1))
    object_ = tmp_path / "one.dcm"
    image().save_as(object_, enforce_file_format=True)
    page = peers.free_port()
    options = ["--settings", settings, "--audit", audit, "--worklist", worklist, "--status", page, "--workers", 2, "-v"]
    with node(tmp_path / "archive", *map(str, options)) as peer:
        until(lambda: len(status(page)["tables"]["Processes"]["rows"]) == 2)
        peers.run("storescu", "-aec", "ARC", HOST, peer.port, object_).check()
        assert peers.run("storescu", "-aec", "OTHER", HOST, peer.port, object_).returncode != 0
        keys = ["-k", "PatientID", "-k", "(0040,0100)[0].Modality=CT"]
        find: list[Any] = ["findscu", "-W", "-aec", "ARC", *keys, HOST, peer.port]
        assert "Calling AE Title Not Recognized" in peers.run(*find).output
        settings.write_text('ae_title = "ARC"\n[[access]]\ncalling = ["FINDSCU"]\nservices = ["worklist"]\n')
        os.kill(peer.process.popen.pid, signal.SIGHUP)
        until(lambda: peer.output.count("the settings have been read again") == 2)
        assert "[P1]" in peers.run(*find).check().output.replace(" ", "")

        def told() -> Any:
            """The status, when both processes have told of what has been."""
            found = status(page)
            rejected = ["calling AE title not recognized", "the handler of EVT_ACCESS", 1]
            is_new = found["figures"]["accepted since start"] >= 2
            return is_new and rejected in found["tables"]["Rejected requests"]["rows"] and found

        now = until(told)
        assert now["figures"]["instances"] == 1
        victim = int(now["tables"]["Processes"]["rows"][0][0].rpartition(":")[2])
        os.kill(victim, signal.SIGKILL)
        until(lambda: "has died" in peer.output)
        until(lambda: "[P1]" in peers.run(*find).output.replace(" ", ""))
    written = [
        json.loads(line)["EventIdentification"]["EventID"]["csd-code"] for line in audit.read_text().splitlines()
    ]
    assert {"110100", "110102", "110104", "110112", "110113"} == set(written)
