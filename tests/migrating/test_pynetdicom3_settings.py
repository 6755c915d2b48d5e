"""What pynetdicom 3 has in ``_config``, as settings of an AE here, and its commands."""

import logging
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.dimse.messages import CMoveRQ, encode_message
from dicom_proto.errors import InvalidNameError
from dicom_proto.names import check_uid, decode_ae_title
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.testing.pair import offer
from dicom_proto.upper_layer.pdu import AAssociateAC, encode_pdu
from dicom_transports.apps.main import main
from dicom_transports.blocking import AE, evt
from dicom_transports.storage import store_to
from tests.contract.adapters import Peer
from tests.contract.entities import FIND, MOVE, ct, dataset, dial, entity, serving, statuses
from tests.migrating.page import Table

table = Table("pynetdicom 3")
WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@table.row("_config.CODECS")
def test_codecs() -> None:
    title = "JOSÉ"
    request = encode_pdu(offer()).replace(b"CALLING ", title.encode("latin-1").ljust(8))
    callers: list[str] = []
    handler = (evt.EVT_ESTABLISHED, lambda event: callers.append(event.assoc.requestor.ae_title))
    with serving(handler) as server, Peer.dial(server.address) as peer:
        peer.send(request)
        assert isinstance(peer.get(), AAssociateAC)
    assert callers == [title] == [decode_ae_title(title.encode("latin-1"))]


@table.row("_config.ENFORCE_UID_CONFORMANCE, _config.VALIDATORS")
def test_conformance() -> None:
    with pytest.raises(InvalidNameError):
        check_uid("1.02.3")
    with pytest.raises(InvalidNameError):
        AE().add_requested_context("1.02.3")
    with pytest.raises(InvalidNameError):
        AE().ae_title = "back\\slash"
    request = encode_pdu(offer(Verification, "1.2.840.10008.99")).replace(b"10008.99", b"10008.01")
    with serving() as server, Peer.dial(server.address) as peer:
        peer.send(request)
        answer = peer.get()
    assert isinstance(answer, AAssociateAC)
    assert [result.result for result in answer.context_results] == [0, 3]


@table.row("_config.LOG_HANDLER_LEVEL")
def test_log_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "dicom_proto")
    caplog.set_level(logging.CRITICAL, "dicom_transports")
    with serving() as server, dial(server) as association:
        association.send_c_echo()
        assert not association.get_events()
        assert not server.get_events()
    assert not caplog.records


@table.row("_config.LOG_REQUEST_IDENTIFIERS, _config.LOG_RESPONSE_IDENTIFIERS")
def test_log_identifiers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []

    def look(event: Any) -> None:
        seen.append(event.message.data_set.getvalue() if event.message.data_set else b"")

    answers = [(0xFF00, dataset(PatientName="Secret^Answer"))]
    handlers = [(evt.EVT_C_FIND, lambda _: answers), (evt.EVT_DIMSE_RECV, look), (evt.EVT_DIMSE_SENT, look)]
    with serving(*handlers) as server, dial(server) as association:
        results = association.send_c_find(dataset(PatientName="Secret^Request"), FIND)
        assert statuses(results) == [0xFF00, 0x0000]
    assert caplog.records
    assert "Secret" not in caplog.text
    assert [b"Secret" in data for data in seen] == [True, True, False]


@table.row("_config.PASS_CONTEXTVARS")
def test_context_variables() -> None:
    WHO.set("somebody")
    known: list[str] = []

    def handle(_: Any, who: str) -> int:
        known.extend([WHO.get(), who])
        return 0x0000

    with serving((evt.EVT_C_ECHO, handle, [WHO.get()])) as server, dial(server) as association:
        association.send_c_echo()
    assert known == ["nobody", "somebody"]


@table.row("_config.STORE_RECV_CHUNKED_DATASET")
def test_receiving_into_files(tmp_path: Path) -> None:
    sink = store_to(tmp_path, "{PatientName}/{SOPInstanceUID}.dcm")
    with serving((evt.EVT_C_STORE, sink)) as server, dial(server) as association:
        assert association.send_c_store(ct(4)).Status == 0x0000
    (file,) = tmp_path.rglob("*.dcm")
    assert dcmread(file).Rows == 4


@table.row("_config.STORE_SEND_CHUNKED_DATASET")
def test_sending_from_files(tmp_path: Path) -> None:
    """What is behind the File Meta Information need not even be a data set."""
    content = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    path = tmp_path / "not_decoded.dcm"
    path.write_bytes(content[:400] + b"\xff" * 100)
    received: list[bytes] = []

    def store(event: Any) -> int:
        received.append(event.encoded_dataset(include_meta=False))
        return 0x0000

    scu = AE("SCU")
    scu.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    with serving((evt.EVT_C_STORE, store)) as server, dial(server, ae=scu) as association:
        assert association.send_c_store(path).Status == 0x0000
    assert received[0].endswith(b"\xff" * 100)


@table.row("_config.UNRESTRICTED_STORAGE_SERVICE")
def test_unrestricted_storage() -> None:
    private = "1.2.246.352.70.1.71"
    image = dataset(SOPClassUID=private, SOPInstanceUID="1.2.3")
    handler = (evt.EVT_C_STORE, lambda _: 0x0000)
    open_ae, scu = entity("SCP", Verification, unrestricted_storage=True), entity("SCU", private, CTImageStorage)
    with serving(handler, ae=open_ae) as server, dial(server, ae=scu) as association:
        assert association.send_c_store(image).Status == association.send_c_store(ct()).Status == 0x0000
    with serving(handler, ae=entity("SCP", CTImageStorage)) as server, dial(server, ae=scu) as association:
        assert [context.abstract_syntax for context in association.rejected_contexts] == [private]


@table.row("_config.USE_SHORT_DIMSE_AET")
def test_short_ae_titles() -> None:
    encoded = encode_message(
        CMoveRQ(message_id=1, affected_sop_class_uid=MOVE, move_destination="THREE"), has_data_set=True
    )
    assert b"\x06\0\0\0THREE " in encoded


@table.row("_config.WINDOWS_TIMER_RESOLUTION")
def test_nothing_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it sleeps"))
    with serving((evt.EVT_C_STORE, lambda _: 0x0000)) as server, dial(server) as association:
        assert association.send_c_echo().Status == association.send_c_store(ct()).Status == 0x0000


@table.row("python -m pynetdicom echoscu and others")
def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    commands = capsys.readouterr().out
    for name in ("echoscu", "echoscp", "storescu", "storescp", "findscu", "getscu", "movescu", "qrscp"):
        assert f"  {name} " in commands
