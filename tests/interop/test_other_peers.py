"""Orthanc, GDCM, Odil, CTN and dcmjs-dimse on the other end of our AE: echo and storage in both directions."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.encoding.datasets import decode
from dicom_transports._files.reading import FileObject, read_object
from tests.contract.adapters import make_ae
from tests.interop import peers
from tests.interop.images import CT, contents, images, path_of, stored_in
from tests.interop.storage import StorageSCP, echo_and_send

pytestmark = pytest.mark.usefixtures("adapter")
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


# --- our SCU, their SCP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(peers.odil_scp, id="odil", marks=exchange("Odil", "C-ECHO C-STORE", ours="SCU")),
        pytest.param(peers.dcmjs_storage, id="dcmjs", marks=exchange("dcmjs-dimse", "C-ECHO C-STORE", ours="SCU")),
    ],
)
def test_scp_that_encodes_anew(tmp_path: Path, start: Callable[[Path], peers.PeerContext]) -> None:
    objects = images(*NAMES)
    with start(tmp_path) as scp:
        echo_and_send(scp.address, "SCP", objects)
        scp.process.end()
    files = [read_object(tmp_path / f"{number}.dcm") for number in range(1, len(objects) + 1)]
    for stored, original in zip(files, objects, strict=True):
        assert_same(stored, original)


def test_dcmjs_drops_empty_items(tmp_path: Path) -> None:
    """dcmjs reads a sequence without its empty items (PS3.5 7.5.1): what follows one moves up."""
    codes = [Dataset(), Dataset(), Dataset()]
    codes[0].CodeValue, codes[2].CodeValue = "1", "3"
    sent = data_set(images(CT)[0])
    sent.ProcedureCodeSequence = codes
    sent.file_meta = FileMetaDataset()
    sent.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ae = make_ae("SCU")
    ae.add_requested_context(sent.SOPClassUID, ExplicitVRLittleEndian)
    with peers.dcmjs_storage(tmp_path) as scp, ae.associate(*scp.address, ae_title="SCP") as association:
        assert association.send_c_store(sent).Status == 0x0000
    stored = data_set(read_object(tmp_path / "1.dcm"))
    assert [item.CodeValue for item in stored.ProcedureCodeSequence] == ["1", "3"]


@exchange("CTN", "C-ECHO C-STORE", ours="SCU")
def test_ctn(tmp_path: Path) -> None:
    """CTN sets reserved bytes of the presentation contexts that it answers; it writes its own padding."""
    objects = images(*NAMES)
    with peers.ctn_storage(tmp_path) as scp:
        echo_and_send(scp.address, "CTN", objects)
        scp.process.end()
    stored = {one.meta.sop_instance_uid: one for one in map(read_object, filter(Path.is_file, tmp_path.rglob("*.*.*")))}
    for original in objects:
        assert_same(stored[original.meta.sop_instance_uid], original)


def request(url: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=peers.RUN_SECONDS) as response:
        content: bytes = response.read()
        return content


@exchange("Orthanc", "C-ECHO C-STORE", ours="SCU")
@exchange("Orthanc", "C-ECHO C-STORE", ours="SCP")
def test_orthanc(tmp_path: Path) -> None:
    """What Orthanc is sent comes out of its archive byte for byte, and comes back over DICOM as well."""
    ours, theirs, archive = (tmp_path / name for name in ("ours", "theirs", "archive"))
    for directory in ours, theirs, archive:
        directory.mkdir()
    http_port = peers.free_port()
    objects = images(*NAMES, "SC_rgb_jpeg_dcmtk.dcm")
    with StorageSCP(ours) as scp:
        modalities = {"sut": ("SCP", scp.address[1])}
        with peers.orthanc(theirs, http_port=http_port, modalities=modalities) as orthanc:
            echo_and_send(orthanc.address, "ORTHANC", objects)
            base = f"http://{peers.HOST}:{http_port}"
            instances = json.loads(request(f"{base}/instances"))
            for number, instance in enumerate(instances):
                (archive / str(number)).write_bytes(request(f"{base}/instances/{instance}/file"))
            assert stored_in(archive) == contents(objects)
            request(f"{base}/modalities/sut/echo", {})
            answer = json.loads(request(f"{base}/modalities/sut/store", instances))
            assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (len(objects), 0)
    for original in objects:
        assert_same(read_object(ours / f"{original.meta.sop_instance_uid}.dcm"), original)


# --- their SCU, our SCP -----------------------------------------------------------------------------------------------


@exchange("Odil", "C-ECHO", ours="SCP")
@exchange("CTN", "C-ECHO", ours="SCP")
@exchange("GDCM", "C-ECHO", ours="SCP")
def test_echoes(tmp_path: Path) -> None:
    with StorageSCP(tmp_path) as scp:
        peers.run("odil", "echo", *scp.address, "ODIL", "SCP").check()
        peers.run("dicom_echo", "-c", "SCP", *scp.address).check()
        peers.run("gdcmscu", "--echo", "--aetitle", "GDCM", "--call", "SCP", *scp.address)  # then aborts itself
        associations = scp.wait(3)
    assert [association.events for association in associations] == [["C_ECHO", "RELEASED"]] * 3


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
    assert association.events == ["C_STORE", "RELEASED"]
    (stored,) = tmp_path.iterdir()
    assert_same(read_object(stored), *images(CT))


@exchange("dcmjs-dimse", "C-ECHO C-STORE", ours="SCP")
def test_dcmjs_scu(tmp_path: Path) -> None:
    script = Path(__file__).with_name("dcmjs_scu.js")
    with StorageSCP(tmp_path) as scp:
        finished = peers.execute([peers.require_dcmjs(), str(script), *map(str, scp.address), str(path_of(CT))]).check()
        assert finished.output.count("\nstatus 0\n") == 2
        (association,) = scp.wait()
    assert association.events == ["C_ECHO", "C_STORE", "RELEASED"]
    (stored,) = tmp_path.iterdir()
    assert_same(read_object(stored), *images(CT))
