"""Objects that contradict themselves: what is answered, and that no file says two things."""

import zlib
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.encoding.datasets import FileMeta, encode, read_file_meta
from dicom_proto.limits import Tolerance
from dicom_proto.sop_class import CTImageStorage
from dicom_proto.testing.pair import offer
from dicom_transports.blocking import evt
from dicom_transports.storage import store_in_file, store_to
from tests.contract.adapters import Peer
from tests.contract.entities import dataset, dial, serving
from tests.contract.storing import DEFLATED, EXPLICIT, IMPLICIT, ct, files, scp, scu, sending, stored
from tests.proto.dimse.pairs import raw

pytestmark = pytest.mark.usefixtures("adapter")

SUCCESS = 0x0000
MR = "1.2.840.10008.5.1.4.1.1.4"
MISMATCH = 0xA900
OTHERS = {
    "instance": {"SOPInstanceUID": "1.2.3.9"},
    "class": {"SOPClassUID": MR},
    "both": {"SOPClassUID": MR, "SOPInstanceUID": "1.2.3.9"},
}


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, DEFLATED])
@pytest.mark.parametrize("pdu", [128, 16382])
@pytest.mark.parametrize("kind", OTHERS)
def test_an_object_that_is_another_one_than_its_request_says(
    tmp_path: Path, kind: str, pdu: int, transfer_syntax: str
) -> None:
    """PS3.4 Table B.2-1: the data set does not match. So answer DCMTK and Orthanc; no file may say two things."""
    image = ct(size=100_000)
    image.update(dataset(**OTHERS[kind]))
    image.add_new(0x00080005, "CS", "ISO_IR 100")
    image.add_new(0x00080008, "CS", ["DERIVED"] * 20)  # beyond the first piece, if that is small
    acceptor = scp()
    acceptor.maximum_pdu_size = pdu
    whole = stored(encode(image, transfer_syntax), transfer_syntax)
    right = stored(encode(ct(size=100), transfer_syntax), transfer_syntax)
    with (
        serving((evt.EVT_C_STORE, store_to(tmp_path / "refused")), ae=acceptor) as server,
        dial(server, ae=scu(transfer_syntax)) as association,
    ):
        assert association.send_c_store(whole).Status == MISMATCH
        assert association.send_c_store(right).Status == SUCCESS
    assert files(tmp_path) == ["refused/1.2.3.1.dcm"]
    with (
        serving((evt.EVT_C_STORE, store_to(tmp_path / "kept", mismatches="keep")), ae=acceptor) as server,
        dial(server, ae=scu(transfer_syntax)) as association,
    ):
        assert association.send_c_store(whole).Status == SUCCESS
    assert files(tmp_path / "kept") == ["1.2.3.1.dcm"]


@pytest.mark.parametrize(("mismatches", "status"), [("refuse", MISMATCH), ("keep", SUCCESS)])
def test_a_request_of_another_class_than_its_context(tmp_path: Path, mismatches: Any, status: int) -> None:
    sink = store_to(tmp_path, mismatches=mismatches)
    with serving((evt.EVT_C_STORE, sink), ae=scp()) as server, Peer.dial(server.address) as peer:
        peer.send(offer(CTImageStorage))
        peer.get()
        request = CStoreRQ(message_id=1, affected_sop_class_uid=MR, affected_sop_instance_uid="1.2.3.1")
        peer.send(raw(request, encode(dataset(SOPClassUID=MR, SOPInstanceUID="1.2.3.1"), IMPLICIT)))
        ((_, _, command),) = peer.get_data()
    assert b"\0\0\0\x09\2\0\0\0" + status.to_bytes(2, "little") in command
    assert len(files(tmp_path)) == (status == SUCCESS)


@pytest.mark.parametrize("data", [b"", dataset(PatientID="P1"), dataset(SOPClassUID=CTImageStorage), "no data set"])
def test_what_a_data_set_does_not_state_is_no_contradiction(tmp_path: Path, data: Any) -> None:
    encoded = b"no data set." if isinstance(data, str) else encode(data, IMPLICIT) if data else b"ab"
    with sending(store_to(tmp_path), IMPLICIT) as association:
        assert association.send_c_store(stored(encoded)).Status == SUCCESS
    assert files(tmp_path) == ["1.2.3.1.dcm"]


def test_a_mismatch_is_logged_without_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), sending(store_to(tmp_path), IMPLICIT) as association:
        assert association.send_c_store(stored(encode(ct(7), IMPLICIT))).Status == MISMATCH
    assert "! an object is refused: its request and its data set name different SOP classes" in caplog.text
    assert "1.2.3.7" not in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize(("negotiated", "actual"), [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (EXPLICIT, EXPLICIT)])
@pytest.mark.parametrize("way", ["store_to", "store_in_file", "handler"])
def test_a_file_states_what_its_data_set_is_really_in(tmp_path: Path, way: str, negotiated: str, actual: str) -> None:
    """VRs in a context for implicit VR, or none in one for explicit VR, are kept byte for byte: the head says so."""
    data = encode(ct(size=100_000), actual)
    metas: list[Any] = []

    def store(event: Any) -> int:
        (tmp_path / "1.2.3.1.dcm").write_bytes(event.encoded_dataset())
        metas.append(event.dataset.file_meta.TransferSyntaxUID)
        return SUCCESS

    sinks: dict[str, Any] = {
        "store_to": store_to(tmp_path),
        "store_in_file": store_in_file(lambda _event: (tmp_path / "1.2.3.1.dcm").open("wb")),
        "handler": store,
    }
    with sending(sinks[way], negotiated) as association:
        assert association.send_c_store(stored(data, negotiated)).Status == SUCCESS
    content = (tmp_path / "1.2.3.1.dcm").read_bytes()
    meta = read_file_meta(content, complete=True)
    assert isinstance(meta, FileMeta)
    assert (meta.transfer_syntax, content[meta.data_offset :]) == (actual, data)
    assert metas == [actual] * len(metas)


WAYS = ["store_to", "store_in_file", "handler"]


def taking(way: str, directory: Path) -> Any:
    """Somebody who takes objects without decoding them."""

    def write(event: Any) -> int:
        (directory / "1.2.3.1.dcm").write_bytes(event.encoded_dataset())
        return SUCCESS

    ways: dict[str, Any] = {
        "store_to": store_to(directory),
        "store_in_file": store_in_file(lambda _event: (directory / "1.2.3.1.dcm").open("wb")),
        "handler": write,
    }
    return ways[way]


@pytest.mark.parametrize("tolerated", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_the_other_vrs_are_noticed_where_nobody_decodes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str, tolerated: bool
) -> None:
    """PS3.5 A.1: told once for each peer, and refused where it is not tolerated; nothing of it stays then."""
    acceptor = scp()
    acceptor.tolerance = Tolerance(other_vr_encoding=tolerated)
    data = encode(ct(size=100_000), EXPLICIT)
    with (
        caplog.at_level("WARNING"),
        serving((evt.EVT_C_STORE, taking(way, tmp_path)), ae=acceptor) as server,
        dial(server, ae=scu(IMPLICIT)) as association,
    ):
        statuses = [association.send_c_store(stored(data)).Status for _ in range(2)]
    refused = 0xC000 if way.startswith("store") else 0xC211
    assert statuses == [SUCCESS if tolerated else refused] * 2
    assert len([1 for line in caplog.messages if "Tolerance.other_vr_encoding allows" in line]) == tolerated
    if way == "store_to":
        assert len(files(tmp_path)) == tolerated


@pytest.mark.parametrize(("mismatches", "status"), [("refuse", 0xC000), ("keep", SUCCESS)])
def test_no_file_states_vrs_that_are_not_there(tmp_path: Path, mismatches: Any, status: int) -> None:
    """There is no transfer syntax for compressed or deflated data without VRs that a file could state."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = encode(ct(), IMPLICIT)
    deflated = deflater.compress(data) + deflater.flush()
    with sending(store_to(tmp_path, mismatches=mismatches), DEFLATED) as association:
        assert association.send_c_store(stored(deflated + bytes(len(deflated) % 2), DEFLATED)).Status == status
    assert len(files(tmp_path)) == (status == SUCCESS)
