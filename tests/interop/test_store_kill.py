"""A storage SCP that is killed while DCMTK sends: what was answered with Success is there, and all of it."""

import random
import re
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_proto.encoding.datasets import encode, file_preamble_and_meta
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import CTImageStorage
from dicom_transports.blocking import AE
from dicom_transports.storage import sweep
from tests.interop import peers

COUNT = 200
ROUNDS = [
    *(("blocking", "each", 1, seed) for seed in range(6)),
    ("trio", "each", 1, 6),
    ("asyncio", "each", 1, 7),
    *(("blocking", "group", 4, seed) for seed in range(8, 12)),
    ("trio", "group", 4, 12),
    ("asyncio", "group", 4, 13),
]
SENT = re.compile(r"Sending file: (?P<path>\S+)(?P<rest>(?:(?!Sending file:).)*)", re.DOTALL)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Dataset]:
    """Files of 1 KB to 256 KB, and what is in them."""
    directory = tmp_path_factory.mktemp("objects")
    made: dict[Path, Dataset] = {}
    sizes = random.Random(0)
    for number in range(COUNT):
        uid = f"1.2.826.0.1.3680043.9.9999.2.{number + 1}"
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, uid
        image.PatientID, image.StudyInstanceUID = f"P{number % 3}", f"1.2.{number % 7}"
        image.add_new("PixelData", "OW", sizes.randbytes(1 << sizes.randrange(10, 19)))
        head = file_preamble_and_meta(CTImageStorage, uid, IMPLICIT_VR_LITTLE_ENDIAN)
        path = directory / str(number % 4) / f"{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(head + encode(image, IMPLICIT_VR_LITTLE_ENDIAN))
        made[path] = image
    return made


def stored_in(directory: Path) -> dict[str, Path]:
    return {path.stem: path for path in directory.rglob("*.dcm")}


def acknowledged(output: str) -> list[Path]:
    """The files for which storescu saw a response with Success."""
    return [
        Path(match["path"]) for match in SENT.finditer(output) if "Received Store Response (Success)" in match["rest"]
    ]


@pytest.mark.exchange("DCMTK", "C-STORE", ours="SCP")
@pytest.mark.parametrize(("adapter", "durability", "senders", "seed"), ROUNDS)
def test_what_was_answered_survives_a_kill(
    tmp_path: Path, objects: dict[Path, Dataset], adapter: str, durability: str, senders: int, seed: int
) -> None:
    moment = random.Random(seed)
    after = moment.randrange(COUNT // 2)
    storescu = peers.require("storescu")
    port = peers.free_port()
    script = str(Path(__file__).with_name("storing_scp.py"))
    root = next(iter(objects)).parents[1]
    sources = [root] if senders == 1 else sorted(root.iterdir())
    with (
        peers.serve([sys.executable, script, adapter, str(port), str(tmp_path), durability], port) as scp,
        ExitStack() as stack,
    ):
        sending = [
            stack.enter_context(peers.start([storescu, "-v", "-xi", "+sd", "+r", peers.HOST, str(port), str(source)]))
            for source in sources
        ]
        deadline = time.monotonic() + peers.RUN_SECONDS
        while len(stored_in(tmp_path)) <= after and time.monotonic() < deadline:
            time.sleep(moment.random() / 1000)
        scp.process.popen.send_signal(signal.SIGKILL)
        for scu in sending:
            scu.popen.wait(peers.RUN_SECONDS)
        assert any(scu.popen.returncode for scu in sending)
        answered = [path for scu in sending for path in acknowledged(scu.output)]
    found = stored_in(tmp_path)
    assert len(answered) > after - senders
    assert {objects[path].SOPInstanceUID for path in answered} <= found.keys()
    originals = {str(image.SOPInstanceUID): image for image in objects.values()}
    assert all(dcmread(path) == originals[uid] for uid, path in found.items())
    assert len(found) <= len(answered) + senders  # the last of each may have been stored and not answered
    assert len(sweep(tmp_path)) <= senders
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".dcm"] == []


@pytest.mark.parametrize(("associations", "durability", "seed"), [(1, "each", 14), (4, "each", 15), (4, "group", 16)])
def test_what_we_were_answered_survives_a_kill(
    tmp_path: Path, objects: dict[Path, Dataset], associations: int, durability: str, seed: int
) -> None:
    """The same where this side sends: the next object has left before an answer is told, on each association."""
    after = random.Random(seed).randrange(COUNT // 2)
    port = peers.free_port()
    script = str(Path(__file__).with_name("storing_scp.py"))
    answered = []
    with peers.serve([sys.executable, script, "blocking", str(port), str(tmp_path), durability], port) as scp:
        sending = AE("SCU").send_c_stores(peers.HOST, port, objects, associations=associations, retries=0)
        for path, status in sending:
            if status:
                assert status.Status == 0x0000
                answered.append(path)
            if len(answered) > after and scp.process.popen.poll() is None:
                scp.process.popen.send_signal(signal.SIGKILL)
                scp.process.popen.wait(peers.RUN_SECONDS)
    found = stored_in(tmp_path)
    assert after < len(answered) < COUNT
    assert {objects[path].SOPInstanceUID for path in answered} <= found.keys()
    originals = {str(image.SOPInstanceUID): image for image in objects.values()}
    assert all(dcmread(path) == originals[uid] for uid, path in found.items())
    assert len(found) <= len(answered) + associations
    assert len(sweep(tmp_path)) <= associations
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".dcm"] == []
