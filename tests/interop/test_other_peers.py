"""Orthanc, GDCM, Odil, CTN and dcmjs-dimse on the other end: echo and storage in both directions."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_proto.datasets import decode
from dicom_proto.dimse.events import RequestReceived
from dicom_proto.dimse.messages import CEchoRQ, CStoreRQ
from dicom_proto.upper_layer.events import ReleaseRequested
from dicom_transports._files import FileObject, read_object
from dicom_transports.blocking import connect
from tests.interop import peers
from tests.interop.images import CT, contents, images, path_of, stored_in
from tests.interop.storage import StorageSCP, offer_for, send

exchange = pytest.mark.exchange
UNCERTAIN = ("SpecificCharacterSet", "DataSetTrailingPadding")
NAMES = (CT, "rtplan.dcm", "test-SR.dcm")


def data_set(stored: FileObject) -> Dataset:
    return decode(stored.data_set, stored.meta.transfer_syntax)


def numbers(value: Any) -> list[float]:
    return list(map(float, value if isinstance(value, MultiValue) else [value]))


def assert_same(stored: FileObject, original: FileObject) -> None:
    """See that a program that encodes anew has kept what it was sent, each in its own way.

    Odil writes decimal strings from floating point numbers, dcmjs-dimse all text in UTF-8; not all keep private
    elements.
    """
    arrived, sent = data_set(stored), data_set(original)
    for element in sent:
        if element.tag.is_private or element.VR == "SQ" or element.keyword in UNCERTAIN:
            continue
        value = arrived[element.tag].value
        if element.VR == "DS" and value:
            assert numbers(value) == pytest.approx(numbers(element.value))
        else:
            assert value == element.value


def send_images(address: tuple[str, int], ae_title: str, *names: str) -> list[FileObject]:
    objects = images(*names)
    with connect(address, offer_for(ae_title, objects)) as session:
        assert session.call(CEchoRQ(), context=1)[0].status == 0x0000
        assert [send(session, one) for one in objects] == [0x0000] * len(objects)
        session.release()
    return objects


# --- our SCU, their SCP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(peers.odil_storage, id="odil", marks=exchange("Odil", "C-ECHO C-STORE", ours="SCU")),
        pytest.param(peers.dcmjs_storage, id="dcmjs", marks=exchange("dcmjs-dimse", "C-ECHO C-STORE", ours="SCU")),
    ],
)
def test_scp_that_encodes_anew(tmp_path: Path, start: Callable[[Path], peers.PeerContext]) -> None:
    with start(tmp_path) as scp:
        objects = send_images(scp.address, "SCP", *NAMES)
        scp.process.end()
    files = [read_object(tmp_path / f"{number}.dcm") for number in range(1, len(objects) + 1)]
    for stored, original in zip(files, objects, strict=True):
        assert_same(stored, original)


@exchange("CTN", "C-ECHO C-STORE", ours="SCU")
def test_ctn(tmp_path: Path) -> None:
    """CTN sets reserved bytes of the presentation contexts that it answers; it writes its own padding."""
    with peers.ctn_storage(tmp_path) as scp:
        objects = send_images(scp.address, "CTN", *NAMES)
        scp.process.end()
    stored = {one.meta.sop_instance_uid: one for one in map(read_object, filter(Path.is_file, tmp_path.rglob("*.*.*")))}
    for original in objects:
        assert_same(stored[original.meta.sop_instance_uid], original)


def request(url: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=peers.RUN_SECONDS) as response:
        content: bytes = response.read()
        return content


def test_orthanc(tmp_path: Path) -> None:
    """What Orthanc is sent comes out of its archive byte for byte, and comes back over DICOM as well."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    http_port = peers.free_port()
    with StorageSCP(ours) as scp:
        modalities = {"sut": ("SCP", scp.address[1])}
        with peers.orthanc(theirs, http_port=http_port, modalities=modalities) as orthanc:
            objects = send_images(orthanc.address, "ORTHANC", *NAMES, "SC_rgb_jpeg_dcmtk.dcm")
            base = f"http://{peers.HOST}:{http_port}"
            instances = json.loads(request(f"{base}/instances"))
            archive = tmp_path / "archive"
            archive.mkdir()
            for number, instance in enumerate(instances):
                (archive / str(number)).write_bytes(request(f"{base}/instances/{instance}/file"))
            assert stored_in(archive) == contents(objects)
            request(f"{base}/modalities/sut/echo", {})
            answer = json.loads(request(f"{base}/modalities/sut/store", instances))
            assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (len(objects), 0)
    for original in objects:
        assert_same(read_object(ours / f"{original.meta.sop_instance_uid}.dcm"), original)


# --- their SCU, our SCP -----------------------------------------------------------------------------------------------

ECHO = [RequestReceived, ReleaseRequested]


@exchange("Odil", "C-ECHO", ours="SCP")
@exchange("CTN", "C-ECHO", ours="SCP")
@exchange("GDCM", "C-ECHO", ours="SCP")
def test_echoes(tmp_path: Path) -> None:
    with StorageSCP(tmp_path) as scp:
        peers.run("odil", "echo", *scp.address, "ODIL", "SCP").check()
        peers.run("dicom_echo", "-c", "SCP", *scp.address).check()
        peers.run("gdcmscu", "--echo", "--aetitle", "GDCM", "--call", "SCP", *scp.address)  # then aborts itself
        associations = scp.wait(3)
    for association in associations:
        event, _ = association.events
        assert isinstance(event, RequestReceived)
        assert isinstance(event.request, CEchoRQ)
        assert [type(event) for event in association.events] == ECHO


COMMANDS: dict[str, Callable[[str, int, Path], list[peers.Argument]]] = {
    "odil": lambda host, port, path: ["store", host, port, "ODIL", "SCP", path],
    "gdcmscu": lambda host, port, path: ["--store", "-i", path, "--aetitle", "GDCM", "--call", "SCP", host, port],
    "send_image": lambda host, port, path: ["-a", "CTN", "-c", "SCP", host, port, path],
}


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("odil", marks=exchange("Odil", "C-STORE", ours="SCP")),
        pytest.param("gdcmscu", marks=exchange("GDCM", "C-STORE", ours="SCP")),
        pytest.param("send_image", marks=exchange("CTN", "C-STORE", ours="SCP")),
    ],
)
def test_store(tmp_path: Path, program: str) -> None:
    with StorageSCP(tmp_path) as scp:
        finished = peers.run(program, *COMMANDS[program](*scp.address, path_of(CT)))
        assert finished.returncode == 0 or program == "gdcmscu"  # which aborts itself when all is done
        (association,) = scp.wait()
    assert [type(event) for event in association.events] == [RequestReceived, ReleaseRequested]
    (stored,) = tmp_path.iterdir()
    assert_same(read_object(stored), *images(CT))


@exchange("dcmjs-dimse", "C-ECHO C-STORE", ours="SCP")
def test_dcmjs_scu(tmp_path: Path) -> None:
    script = Path(__file__).with_name("dcmjs_scu.js")
    with StorageSCP(tmp_path) as scp:
        finished = peers.execute([peers.require_dcmjs(), str(script), *map(str, scp.address), str(path_of(CT))]).check()
        assert finished.output.count("\nstatus 0\n") == 2
        (association,) = scp.wait()
    requests = [event.request for event in association.events if isinstance(event, RequestReceived)]
    assert [type(request) for request in requests] == [CEchoRQ, CStoreRQ]
    (stored,) = tmp_path.iterdir()
    assert_same(read_object(stored), *images(CT))
