"""pynetdicom on the other end."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from attrs import frozen
from pydicom.dataset import validate_file_meta

from dicom_proto.encoding.datasets import decode, encode
from dicom_transports._files.reading import FileObject
from dicom_transports.blocking import evt
from tests.interop import peers
from tests.interop.images import CT, Stored, contents, image, images, large_image, path_of, stored_in
from tests.interop.storage import Happened, StorageSCP, echo_and_send, requestor_of, send_files

pytestmark = pytest.mark.usefixtures("adapter")


def test_echoscu(tmp_path: Path) -> None:
    with StorageSCP(tmp_path) as scp:
        peers.run_pynetdicom("echoscu", "-v", "--repeat", 3, *scp.address).check()
        (association,) = scp.wait()
    assert association.events == ["C_ECHO", "C_ECHO", "C_ECHO", "RELEASED"]


def test_echoscu_that_aborts(tmp_path: Path) -> None:
    with StorageSCP(tmp_path, maximum_associations=1) as scp:
        peers.run_pynetdicom("echoscu", "-v", "--abort", *scp.address).check()
        (association,) = scp.wait()
        assert association.events == ["C_ECHO", "ABORTED"]


def as_pydicom_writes(objects: list[FileObject], *encoded_anew: str) -> Stored:
    """The files byte for byte, except for two whose group lengths pydicom drops: they are retired (PS3.5 7.2)."""
    stored = contents(objects)
    for name in ("ExplVR_BigEnd.dcm", "693_J2KI.dcm", *encoded_anew):
        uid = image(name).meta.sop_instance_uid
        sop_class, transfer_syntax, data = stored[uid]
        stored[uid] = sop_class, transfer_syntax, encode(decode(data, transfer_syntax), transfer_syntax)
        assert len(stored[uid][2]) < len(data)
    return stored


@pytest.mark.parametrize("size", [4096, 131072])
def test_storescu(tmp_path: Path, size: int) -> None:
    """All files in one call, each in its own transfer syntax."""
    objects = [one for one in images() if one.meta.stated]
    for one in objects:
        (tmp_path / one.path.name).symlink_to(one.path)
    ours = tmp_path / "ours"
    ours.mkdir()
    with StorageSCP(ours, maximum_pdu_size=size) as scp:
        options: list[peers.Argument] = ["-v", "-cx", "-r", "-pdu", size]
        finished = peers.run_pynetdicom("storescu", *options, *scp.address, tmp_path).check()
        assert finished.output.count("Received Store Response (Status: 0x0000 - Success)") == len(objects)
        scp.wait()
    # pydicom deflates anew, and then without the checksum that the file has behind its data set.
    assert stored_in(ours) == as_pydicom_writes(objects, "image_dfl.dcm")


@frozen
class StoreSCP:
    """pynetdicom's storage SCP, which all adapters share."""

    peer: peers.Peer
    maximum_length: int
    directory: Path

    def take(self) -> Stored:
        """What it has stored since this was last asked for."""
        stored = stored_in(self.directory)
        for path in self.directory.iterdir():
            path.unlink()
        return stored


@pytest.fixture(scope="module", params=[4096, 131072])
def storescp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreSCP]:
    directory = tmp_path_factory.mktemp("storescp")
    with peers.pynetdicom_storescp(directory, "-pdu", str(request.param)) as peer:
        yield StoreSCP(peer, request.param, directory)


def test_storescp(storescp: StoreSCP) -> None:
    objects = images()
    with requestor_of(objects).associate(*storescp.peer.address, ae_title="STORESCP") as association:
        agreement = association.peer.connection.agreement
        assert agreement is not None
        assert agreement.acceptor_maximum_length == storescp.maximum_length
        assert association.send_c_echo().Status == 0x0000
        send_files(association, objects)
    assert storescp.take() == as_pydicom_writes(objects)


def test_storescp_takes_a_large_image(tmp_path: Path, storescp: StoreSCP) -> None:
    stored = large_image(tmp_path / "image.dcm", 16 << 20)
    echo_and_send(storescp.peer.address, "STORESCP", [stored])
    assert storescp.take() == contents([stored])


def test_stored_files_are_files_to_others(tmp_path: Path) -> None:
    """What our SCP writes is a DICOM file to DCMTK and to pydicom, with File Meta Information that is complete."""
    objects = images()
    with StorageSCP(tmp_path) as scp:
        echo_and_send(scp.address, "SCP", objects)
    assert stored_in(tmp_path) == contents(objects)
    files = sorted(tmp_path.iterdir())
    tested = peers.run("dcmftest", *files).check()
    assert tested.output.count("yes: ") == len(files) == len(objects)
    for one in objects:
        path = tmp_path / f"{one.meta.sop_instance_uid}.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of pydicom's test data is odd in itself
            dataset = pydicom.dcmread(path)
        validate_file_meta(dataset.file_meta, enforce_standard=True)
        meta = dataset.file_meta
        assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID) == (
            one.meta.sop_class_uid,
            one.meta.sop_instance_uid,
            one.meta.transfer_syntax,
        )
        assert dataset.preamble == bytes(128)
        group = path.read_bytes()[144 : path.stat().st_size - len(one.data_set) - len(one.data_set) % 2]
        assert meta.FileMetaInformationGroupLength == len(group)


def test_large_image_from_storescu(tmp_path: Path) -> None:
    stored = large_image(tmp_path / "image.dcm", 16 << 20)
    ours = tmp_path / "ours"
    ours.mkdir()
    with StorageSCP(ours) as scp:
        peers.run_pynetdicom("storescu", "-cx", *scp.address, stored.path).check()
    assert stored_in(ours) == contents([stored])


def test_storescu_that_is_rejected(tmp_path: Path) -> None:
    rejected = Happened()
    with StorageSCP(tmp_path, (evt.EVT_REJECTED, rejected), ae_title="OTHER", require_called_aet=True) as scp:
        finished = peers.run_pynetdicom("storescu", "-v", "-cx", *scp.address, path_of(CT))
        rejected.wait("REJECTED")
        # It may take a rejection that comes soon for a connection that was not opened.
        assert "Called AE title not recognised" in finished.output or "Aborting Association" in finished.output
        assert scp.associations == []
