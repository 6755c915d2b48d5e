"""Files that become shorter while they are looked at: the item fails, in words, and no process is killed (SIGBUS)."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from dicom_proto.encoding.datasets import file_preamble_and_meta
from dicom_proto.sop_class import CTImageStorage
from dicom_transports.blocking import evt
from tests.contract.adapters import make_ae
from tests.contract.entities import dial, serving
from tests.contract.storing import DEFLATED, EXPLICIT, IMPLICIT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there nobody can cut a file that is mapped")

PIXELS = struct.pack("<HHL", 0x7FE0, 0x10, 100_000) + os.urandom(100_000)


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def of_odd_length(data: bytes) -> bytes:
    return data + bytes(1 - len(data) % 2)


def write(path: Path, transfer_syntax: str, data: bytes, uid: str = "1.2.3") -> Path:
    path.write_bytes(file_preamble_and_meta(CTImageStorage, uid, transfer_syntax) + data)
    return path


@pytest.mark.usefixtures("adapter")
@pytest.mark.parametrize(
    ("accepted", "stated", "data"),
    [(EXPLICIT, IMPLICIT, PIXELS), (DEFLATED, DEFLATED, of_odd_length(deflated(PIXELS)))],
    ids=["converted", "padded"],
)
def test_before_it_is_converted(tmp_path: Path, accepted: str, stated: str, data: bytes) -> None:
    path = write(tmp_path / "PATIENT.dcm", stated, data)
    whole = write(tmp_path / "whole.dcm", stated, data, "1.2.4")
    acceptor, requestor = make_ae("STORE"), make_ae("SENDER")
    acceptor.add_supported_context(CTImageStorage, [accepted])

    def cut(_event: Any) -> None:
        os.truncate(path, 50_000)

    with (
        serving((evt.EVT_C_STORE, lambda _event: 0), ae=acceptor) as server,
        path.open("rb") as file,
        whole.open("rb") as other,
    ):
        handlers = [(evt.EVT_ACCEPTED, cut)]
        (_, failed), (_, sent) = requestor.send_c_stores(*server.address, [file, other], evt_handlers=handlers)
    assert "a file has become shorter while it was read" in str(failed.failure)
    assert "PATIENT" not in str(failed.failure)
    assert sent.Status == 0


@pytest.mark.usefixtures("adapter")
def test_when_one_object_is_sent(tmp_path: Path) -> None:
    """It is converted from a file that is read as it is: the one association goes on."""
    path = write(tmp_path / "one.dcm", IMPLICIT, PIXELS)
    acceptor, requestor = make_ae("STORE"), make_ae("SENDER")
    acceptor.add_supported_context(CTImageStorage, [EXPLICIT])
    requestor.add_requested_context(CTImageStorage, [EXPLICIT])
    received: list[bytes] = []

    def store(event: Any) -> int:
        received.append(event.dataset.PixelData)
        return 0

    with serving((evt.EVT_C_STORE, store), ae=acceptor) as server, dial(server, ae=requestor) as association:
        assert association.send_c_store(path).Status == 0
    assert received == [PIXELS[8:]]


CUT = """
    import os, sys
    from dicom_transports._files import reading
    path, length, when = sys.argv[1:]
    cut = lambda: os.truncate(path, int(length))

    class Mapping(reading.Mapping):
        def __new__(cls, *arguments, **options):
            if when == "before":
                cut()
            mapping = super().__new__(cls, *arguments, **options)
            cut()
            return mapping

    if when != "behind":
        reading.Mapping = Mapping
    else:
        read = reading._read_head
        reading._read_head = lambda *arguments: (read(*arguments), cut())[0]
    try:
        reading.as_storable(path)
    except OSError as error:
        assert path not in str(error) and error.item == path
        print(error.strerror)
    else:
        print("whole")
"""
NESTED = (
    struct.pack("<HH2s2xL", 0x40, 0xA730, b"SQ", 0xFFFFFFFF)
    + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 20_000
    + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    + struct.pack("<HH2sH", 0x88, 0x140, b"UI", 4)
    + b"1.2\0"
)


@pytest.mark.parametrize(("when", "length"), [("before", 0), ("mapped", 200), ("behind", 70_000)])
@pytest.mark.parametrize(
    ("stated", "data"), [(EXPLICIT, NESTED), (DEFLATED, deflated(PIXELS))], ids=["walked", "inflated"]
)
def test_while_its_end_is_looked_for(tmp_path: Path, when: str, length: int, stated: str, data: bytes) -> None:
    path = write(tmp_path / "PATIENT.dcm", stated, data)
    done = subprocess.run(
        [sys.executable, "-c", dedent(CUT), str(path), str(length), when],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "a file has become shorter while it was read\n"), done.stderr
