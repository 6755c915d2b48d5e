"""What pynetdicom2 (netdicom2) has around its services: entities, hooks, files, commands, exceptions."""

import ssl
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_proto.errors import CommandSetError, DicomProtoError, NoContextError, PDUError, RemoteProtocolError
from dicom_proto.offers.items import UserIdentityNegotiation
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.status import Category, Status, code_to_category
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import (
    AssociationAborted,
    AssociationClosed,
    AssociationFailure,
    AssociationRejected,
    AssociationTimedOut,
)
from dicom_proto.upper_layer.pdu import decode_pdu
from dicom_proto.upper_layer.timers import Timer
from dicom_transports.apps.main import main
from dicom_transports.blocking import AE, evt
from dicom_transports.storage import store_in_file, store_to
from tests.contract import certificates
from tests.contract.adapters import Listener
from tests.contract.entities import FIND, MOVE, Happened, answered, ct, dataset, dial, entity, serving, statuses
from tests.migrating.page import Table

authority = certificates.authority
server_credentials, client_credentials = certificates.server_credentials, certificates.client_credentials
server_tls, client_tls = certificates.server_tls, certificates.client_tls

table = Table("pynetdicom2")
QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")


# --- entities ---------------------------------------------------------------------------------------------------------


@table.row(
    "ClientAE, AE",
    "with ae:, AE.quit",
    "with ae.request_association(remote) as assoc",
    "assoc.release, assoc.abort, assoc.kill",
)
def test_entities() -> None:
    ae = AE("ARCHIVE")
    ae.add_supported_context(Verification)
    client = AE("CLIENT")
    client.add_requested_context(Verification)
    with ae.start_server(("127.0.0.1", 0), block=False) as server:
        with client.associate(*server.address, ae_title="ARCHIVE") as assoc:
            assert assoc.send_c_echo().Status == 0x0000
        assert assoc.is_released
        with pytest.raises(ZeroDivisionError), client.associate(*server.address) as assoc:
            _ = 1 / 0
        assert assoc.is_aborted
        assoc = client.associate(*server.address)
        assoc.release()
        assert assoc.is_released
    with pytest.raises(OSError, match="refused"), client.associate(*server.address):
        pass


@table.row("AE(supported_ts=...), AE(max_pdu_length=...), AE.timeout")
def test_settings() -> None:
    ae = AE()
    ae.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian])
    ae.maximum_pdu_size = 65536
    ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = 15
    request = ae.offer("SCP")
    assert request.user_information.maximum_length == 65536
    assert request.presentation_contexts[0].transfer_syntaxes == (ExplicitVRLittleEndian,)


@table.row("RemoteAEConfig(aet, address, port, username, password)")
def test_remote() -> None:
    identity = UserIdentityNegotiation(2, b"username", b"password")
    users: list[bytes] = []

    def verify(event: Any) -> tuple[bool, None]:
        users.append(event.primary_field)
        return True, None

    with serving((evt.EVT_USER_ID, verify)) as server:
        address, port = server.address
        entity("SCU").associate(address, port, ae_title="SCP", ext_neg=[identity]).release()
    assert users == [b"username"]


@table.row("ssl_ae.SSLClientAE, ssl_ae.SSLApplicationEntity")
def test_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    scp, scu, tls_args = entity("SCP"), entity("SCU"), (client_tls, "localhost")
    with (
        scp.start_server(("127.0.0.1", 0), block=False, ssl_context=server_tls) as server,
        scu.associate(*server.address, tls_args=tls_args) as association,
    ):
        assert association.send_c_echo().Status == 0x0000


# --- files ------------------------------------------------------------------------------------------------------------


@table.row("store_in_file, get_file", "write_meta")
def test_store_in_file(tmp_path: Path) -> None:
    heads: list[bytes] = []

    def get_file(event: Any) -> Any:
        heads.append(event.file_head())
        return (tmp_path / event.request.AffectedSOPInstanceUID).open("w+b"), 0

    def on_receive_store(_: Any, file: Any) -> int:
        with file:
            return 0x0000 if dcmread(file).Rows == 2 else 0xA700

    with serving((evt.EVT_C_STORE, store_in_file(get_file, on_receive_store))) as server, dial(server) as association:
        assert [association.send_c_store(ct(number)).Status for number in (1, 2)] == [0xA700, 0x0000]
    assert (tmp_path / "1.2.3.2").read_bytes().startswith(heads[1])
    assert dcmread(BytesIO(heads[1])).file_meta.MediaStorageSOPInstanceUID == "1.2.3.2"


@table.row("ClientStorageAE, StorageAE")
def test_storage(tmp_path: Path) -> None:
    with serving((evt.EVT_C_STORE, store_to(tmp_path))) as server, dial(server) as association:
        assert association.send_c_store(ct(3)).Status == 0x0000
    assert dcmread(tmp_path / "1.2.3.3.dcm").Rows == 3


# --- commands ---------------------------------------------------------------------------------------------------------


@table.row("commands.verify", "commands.find, commands.move")
def test_commands() -> None:
    handlers = [
        (evt.EVT_C_FIND, lambda event: [(0xFF00, event.identifier)]),
        (evt.EVT_C_MOVE, lambda _: [(None, None)]),
    ]
    with serving(*handlers) as server, entity("SCU").associate(*server.address, ae_title="SCP") as association:
        assert association.send_c_echo().Status == 0x0000
        assert statuses(association.send_c_find(QUERY, FIND)) == [0xFF00, 0x0000]
        assert statuses(association.send_c_move(QUERY, "THERE", MOVE)) == [0xA801]


@table.row("commands.store, commands.storage")
def test_store_command(tmp_path: Path) -> None:
    file = file_of(ct(7), tmp_path / "file.dcm")
    with serving((evt.EVT_C_STORE, lambda _: 0x0000)) as server:
        results = list(AE("SCU").send_c_stores(*server.address, [file, file], ae_title="SCP"))
    assert [(item, status.Status) for item, status in results] == [(file, 0x0000)] * 2


def file_of(image: Dataset, path: Path) -> Path:
    """A DICOM file, as it would be received."""

    def write(event: Any) -> int:
        path.write_bytes(event.encoded_dataset())
        return 0x0000

    with serving((evt.EVT_C_STORE, write)) as server, dial(server) as association:
        assert association.send_c_store(image).Status == 0x0000
    return path


@table.row("pynetdicom2 on the command line")
def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    commands = capsys.readouterr().out
    assert all(f"  {name} " in commands for name in ("echoscu", "findscu", "movescu", "storescu", "storescp"))


# --- hooks ------------------------------------------------------------------------------------------------------------


@table.row("on_association_request")
def test_on_association_request() -> None:
    def refuse(event: Any) -> bool:
        if event.assoc.requestor.ae_title == "STRANGER":
            event.assoc.abort()
        return False

    with serving((evt.EVT_REQUESTED, refuse)) as server:
        dial(server).release()
        assert entity("STRANGER").associate(*server.address).is_aborted


@table.row("on_association_response")
def test_on_association_response() -> None:
    accepted = Happened()
    with serving() as server:
        dial(server, (evt.EVT_ACCEPTED, accepted)).release()
    assert accepted.names == ["ACCEPTED"]


def find(_: Any) -> Iterator[Any]:
    yield 0xFF00, QUERY


def move(_: Any) -> Iterator[Any]:
    yield "127.0.0.1", 1
    yield 0


@table.rows(
    ("kind", "handler", "ask", "answer"),
    {
        "on_receive_echo": (evt.EVT_C_ECHO, lambda _: 1, lambda assoc: [(assoc.send_c_echo(), None)], [1]),
        "on_receive_store": (
            evt.EVT_C_STORE,
            lambda event: 0xB000 + event.dataset.Rows,
            lambda assoc: [(assoc.send_c_store(ct(6)), None)],
            [0xB006],
        ),
        "on_receive_find": (evt.EVT_C_FIND, find, lambda assoc: assoc.send_c_find(QUERY, FIND), [0xFF00, 0]),
        "on_receive_move": (evt.EVT_C_MOVE, move, lambda assoc: assoc.send_c_move(QUERY, "THERE", MOVE), [0]),
    },
)
def test_on_receive(kind: Any, handler: Any, ask: Callable[..., Any], answer: list[int]) -> None:
    with serving((kind, handler)) as server, dial(server) as association:
        assert statuses(ask(association)) == answer


@table.row("on_abort, on_dcm_timeout")
def test_on_abort() -> None:
    aborted = Happened()
    with serving((evt.EVT_ABORTED, aborted)) as server:
        dial(server).abort()
        assert isinstance(aborted.wait("ABORTED").assoc.failure, AssociationAborted)
    with serving((evt.EVT_ABORTED, aborted), network_timeout=0.05) as server:
        entity("SCU").associate(*server.address)
        assert isinstance(aborted.wait("ABORTED", 2).assoc.failure, AssociationTimedOut)


# --- exceptions, statuses, UIDs ---------------------------------------------------------------------------------------


@table.row("exceptions.NetDICOMError", "exceptions.AssociationError", "exceptions.AssociationRejectedError")
def test_rejected() -> None:
    with (
        serving(require_called_aet=True) as server,
        pytest.raises(AssociationRejected) as raised,
        entity("SCU").associate(*server.address, ae_title="OTHER"),
    ):
        pass
    assert (raised.value.result, raised.value.source, raised.value.reason) == (1, 1, 7)
    assert isinstance(raised.value, AssociationFailure)
    assert isinstance(raised.value, DicomProtoError)


@table.row("exceptions.AssociationAbortedError")
def test_aborted() -> None:
    with (
        serving((evt.EVT_C_ECHO, lambda event: event.assoc.abort())) as server,
        pytest.raises(AssociationAborted) as raised,
        entity("SCU").associate(*server.address) as association,
    ):
        association.send_c_echo()
    assert (raised.value.origin, raised.value.reason) == (AbortOrigin.PEER_USER, 0)


@table.row("exceptions.AssociationReleasedError")
def test_released() -> None:
    with (
        serving((evt.EVT_C_ECHO, lambda event: event.assoc.release() or 0)) as server,
        pytest.raises(AssociationClosed),
        entity("SCU").associate(*server.address) as association,
    ):
        association.send_c_echo()


@table.row("exceptions.TimeoutError, exceptions.DCMTimeoutError")
def test_timed_out() -> None:
    with Listener() as listener:
        association, peer = answered(listener, entity("SCU", dimse_timeout=0.05))
        with peer, pytest.raises(AssociationTimedOut) as raised, association:
            association.send_c_echo()
    assert raised.value.timer is Timer.RESPONSE


@table.row("exceptions.ClassNotSupportedError")
def test_no_context() -> None:
    with serving() as server, pytest.raises(NoContextError, match="accepted are"):
        dial(server, ae=entity("SCU", Verification)).send_c_find(QUERY, FIND)


@table.row("exceptions.PDUProcessingError, exceptions.DIMSEProcessingError")
def test_remote_errors() -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        decode_pdu(0x55, b"")
    assert raised.type is PDUError
    assert issubclass(CommandSetError, RemoteProtocolError)


@table.row("exceptions.EventHandlingError")
def test_handlers_that_raise() -> None:
    with serving((evt.EVT_C_STORE, lambda _: 1 / 0)) as server, dial(server) as association:
        assert association.send_c_store(ct()).Status == 0xC211
        assert association.send_c_echo().Status == 0x0000


@table.row("statuses.Status")
def test_statuses() -> None:
    assert code_to_category(Status.SUCCESS) is Category.SUCCESS
    assert [code_to_category(code) for code in (0xFF00, 0xB000, 0xC000)] == ["Pending", "Warning", "Failure"]
    assert isinstance(Status.SUCCESS, int)


@table.row("uids.VERIFICATION_SOP_CLASS and others")
def test_uids() -> None:
    assert Verification == "1.2.840.10008.1.1"
