"""What pynetdicom 3 documents of ``AE`` and of its servers."""

import inspect
import threading
from typing import Any

import pynetdicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from dicom_proto.dimse.messages import CStoreRSP, encode_message
from dicom_proto.errors import InvalidNameError, LocalProtocolError
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.upper_layer.failures import AssociationRejected, AssociationTimedOut
from dicom_proto.upper_layer.pdu import PDV, PDataTF
from dicom_transports.blocking import AE, Association, AssociationServer, build_context, build_role, evt
from tests.contract.adapters import WAIT, Listener, Running
from tests.contract.entities import Happened, answered, ct, dial, entity, serving
from tests.migrating.page import Table

table = Table("pynetdicom 3")


@table.row("AE.ae_title")
def test_ae_title() -> None:
    ae = AE()
    ae.ae_title = "TITLE"
    assert ae.ae_title == "TITLE"
    ae.ae_title = b"BYTES"  # type: ignore[assignment]
    assert ae.ae_title == "BYTES"
    with pytest.raises(ValueError, match="not an AE title"):
        ae.ae_title = "MUCH TOO LONG A TITLE"


@table.row("AE.implementation_class_uid, AE.implementation_version_name")
def test_implementation() -> None:
    ae = entity("SCU", implementation_class_uid="1.2.3", implementation_version_name="MINE")
    with serving() as server:
        dial(server, ae=ae).release()
        ae.implementation_version_name = None
        stated = dial(server, ae=ae).requestor
    assert (stated.implementation_class_uid, stated.implementation_version_name) == ("1.2.3", None)


@table.row("AE.associate")
def test_associate() -> None:
    ae = entity("SCU")
    with serving(require_called_aet=True) as server:
        host, port = server.address
        association = ae.associate(
            host,
            port,
            contexts=[build_context(Verification)],
            ae_title="SCP",
            max_pdu=4096,
            bind_address=("127.0.0.1", 0),
            evt_handlers=[(evt.EVT_RELEASED, Happened())],
        )
        assert association.is_established
        assert association.requestor.maximum_length == 4096
        association.release()
        association = ae.associate(host, port, ae_title="OTHER")
        assert association.is_rejected
        assert isinstance(association.failure, AssociationRejected)
        association = ae.associate(host, port, ae_title="SCP", ext_neg=[build_role("1.2.3", scp_role=True)])
        assert association.requestor.role_selection == {}
        association.release()
    assert isinstance(ae.associate(host, port).failure, OSError)
    with pytest.raises(LocalProtocolError, match="event"):
        ae.associate(host, port, evt_handlers=[("EVT_RELEASED", Happened())])  # type: ignore[list-item]
    with pytest.raises(RuntimeError, match="add_requested_context"):
        AE().associate(host, port)


@table.row("AE.start_server")
def test_start_server() -> None:
    ae = entity("SCP", require_called_aet=True)
    with ae.start_server(("127.0.0.1", 0), block=False, ae_title="ONE", contexts=[build_context(Verification)]) as one:
        assert isinstance(one, AssociationServer)
        association = dial(one, ae_title="ONE")
        assert [context.abstract_syntax for context in association.accepted_contexts] == [Verification]
        association.release()
    opened: list[Any] = []
    happened = threading.Event()

    def handle_open(event: Any) -> None:
        opened.append(event)
        happened.set()

    with Listener() as free:
        address = free.address
    blocked = Running(ae.start_server, address, evt_handlers=[(evt.EVT_CONN_OPEN, handle_open)])
    while not happened.wait(0.01):
        entity("SCU").associate(*address)
    ae.shutdown()
    assert isinstance(blocked.result(), AssociationServer)


@table.row("AE.make_server")
def test_make_server() -> None:
    server = entity("SCP").make_server(("127.0.0.1", 0), evt_handlers=[(evt.EVT_C_ECHO, lambda _: 0xA700)])
    associating = Running(entity("SCU").associate, *server.address)  # it is connected, and waits
    arguments = list(inspect.signature(AE.make_server).parameters)
    theirs = list(inspect.signature(pynetdicom.AE.make_server).parameters)
    assert arguments[: len(theirs) - 2] == [name for name in theirs if name not in {"server_class", "kwargs"}]
    assert "server_class" not in arguments
    with server:
        assert associating.result().send_c_echo().Status == 0xA700


@table.row("AE.shutdown")
def test_shutdown() -> None:
    ae = entity("SCP")
    server = ae.start_server(("127.0.0.1", 0), block=False)
    with serving() as other, ae.associate(*other.address) as own:
        association = dial(server)
        ae.shutdown()
        assert not ae.active_associations
        assert own.send_c_echo().Status == 0x0000
    association.release()
    assert association.is_aborted
    server = ae.start_server(("127.0.0.1", 0), block=False)
    association = dial(server)
    ending = Running(ae.shutdown, finish_within=WAIT)
    association.release()
    ending.result()
    assert association.is_released


@table.row("AE.active_associations")
def test_active_associations() -> None:
    ae = entity("SCP")
    with serving(ae=ae) as server, ae.associate(*server.address):
        (active,) = ae.active_associations
        assert active.is_acceptor


@table.row("AE.add_requested_context, AE.remove_requested_context, AE.requested_contexts")
def test_requested_contexts() -> None:
    ae = AE()
    ae.add_requested_context(Verification)
    ae.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian, JPEGBaseline8Bit])
    ae.remove_requested_context(CTImageStorage, JPEGBaseline8Bit)
    assert [one.transfer_syntax for one in ae.requested_contexts][1] == [ExplicitVRLittleEndian]
    ae.remove_requested_context(Verification)
    assert [one.abstract_syntax for one in ae.requested_contexts] == [CTImageStorage]
    ae.requested_contexts = [build_context(Verification)]
    assert [one.abstract_syntax for one in ae.requested_contexts] == [Verification]
    with pytest.raises(ValueError, match="128"):
        ae.requested_contexts = [build_context(f"1.2.{number}") for number in range(129)]


@table.row("AE.add_supported_context, AE.remove_supported_context, AE.supported_contexts")
def test_supported_contexts() -> None:
    ae = AE()
    ae.add_supported_context(CTImageStorage, [ExplicitVRLittleEndian], scu_role=True, scp_role=True)
    ae.add_supported_context(CTImageStorage, JPEGBaseline8Bit)
    (context,) = ae.supported_contexts
    assert context.transfer_syntax == [ExplicitVRLittleEndian, JPEGBaseline8Bit]
    ae.remove_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    ae.add_supported_context(Verification)
    ae.remove_supported_context(Verification)
    assert [one.transfer_syntax for one in ae.supported_contexts] == [[JPEGBaseline8Bit]]
    ae.supported_contexts = [build_context(f"1.2.{number}") for number in range(129)]
    assert len(ae.supported_contexts) == 129


@table.row("AE.acse_timeout, AE.dimse_timeout, AE.network_timeout, AE.connection_timeout")
def test_timeouts() -> None:
    ae = AE()
    assert (ae.acse_timeout, ae.dimse_timeout, ae.network_timeout, ae.connection_timeout) == (30, 30, 60, None)
    setattr(ae, name := "network_timeout", 0)
    assert getattr(ae, name) is None
    with pytest.raises(ValueError, match="network_timeout"):
        ae.network_timeout = -1
    with Listener() as listener:
        ae = entity("SCU", acse_timeout=0.05, connection_timeout=WAIT)
        silent = Running(ae.associate, *listener.address)
        with listener.accept():
            failure = silent.result().failure
        assert isinstance(failure, AssociationTimedOut)
        association, peer = answered(listener, entity("SCU", dimse_timeout=0.05))
        with peer:
            assert "Status" not in association.send_c_echo()
        assert isinstance(association.failure, AssociationTimedOut)
        association, peer = answered(listener, entity("SCU", CTImageStorage, dimse_timeout=0.5))
        with peer:
            image = ct()
            image.BitsAllocated, image.PixelData = 8, bytes(1 << 24)
            storing = Running(association.send_c_store, image)
            threading.Event().wait(0.6)  # most of it has not been sent yet
            peer.get_data()
            stored = encode_message(CStoreRSP(message_id_being_responded_to=1, status=0xB000), has_data_set=False)
            peer.send(PDataTF((PDV(1, command=True, last=True, data=stored),)))
            assert storing.result().Status == 0xB000
    slow = threading.Event()

    def handle_echo(_: Any) -> int:
        slow.wait(0.5)
        return 0x0000

    with serving((evt.EVT_C_ECHO, handle_echo), network_timeout=0.3) as server:
        association = dial(server)
        assert association.send_c_echo().Status == 0x0000
        association.release()


@table.row("AE.maximum_associations")
def test_maximum_associations() -> None:
    ae = entity("SCP", maximum_associations=1)
    with serving(ae=ae) as one, serving(ae=ae) as other, dial(one), dial(other):
        failure = entity("SCU").associate(*one.address).failure
    assert isinstance(failure, AssociationRejected)
    assert (failure.result, failure.source, failure.reason) == (2, 3, 2)
    with pytest.raises(ValueError, match="maximum_associations"):
        ae.maximum_associations = 0


@table.row("AE.maximum_pdu_size")
def test_maximum_pdu_size() -> None:
    assert AE().maximum_pdu_size == 131072
    with serving(maximum_pdu_size=0) as server, dial(server, ae=entity("SCU", maximum_pdu_size=5000)) as association:
        assert (association.requestor.maximum_length, association.acceptor.maximum_length) == (5000, 0)


@table.row("AE.require_called_aet, AE.require_calling_aet")
def test_required_ae_titles() -> None:
    ae = entity("SCP", require_called_aet=True, require_calling_aet=["SCU", "FRIEND"])

    def reason(address: tuple[str, int], calling: str, called: str) -> int | None:
        association = entity(calling).associate(*address, ae_title=called)
        association.release()
        return association.failure.reason if isinstance(association.failure, AssociationRejected) else None

    with serving(ae=ae) as server:
        pairs = [("SCU", "SCP"), ("OTHER", "SCP"), ("SCU", "OTHER")]
        assert [reason(server.address, *pair) for pair in pairs] == [None, 3, 7]
        ae.require_calling_aet, ae.require_called_aet = [], False  # counts for those who come now
        assert [reason(server.address, *pair) for pair in pairs] == [None, None, None]
    with pytest.raises(InvalidNameError):
        ae.require_calling_aet = ["back\\slash"]
    for title, titles in (("FRIEND", ["FRIEND"]), ("", [])):
        setattr(ae, "require_calling_aet", title)  # noqa: B010 - what a configuration may have
        assert ae.require_calling_aet == titles


@table.row("pynetdicom.transport.AssociationServer, pynetdicom.transport.ThreadedAssociationServer")
def test_server() -> None:
    server = entity("SCP").make_server(("127.0.0.1", 0))
    assert isinstance(server, AssociationServer)
    assert not hasattr(server, "serve_forever")
    server.start()
    waiting = Running(server.wait)
    dial(server).release()
    server.shutdown()
    waiting.result()


@table.row(
    "AssociationServer.active_associations, .ae, .ae_title, .contexts, .bind, .unbind, .get_events, .get_handlers,"
    " .server_address, .ssl_context, .shutdown"
)
def test_server_members() -> None:
    released, echoed = Happened(), lambda _: 0xA700
    with serving((evt.EVT_RELEASED, released)) as server:
        assert server.server_address == server.address
        assert (server.ae.ae_title, server.ae_title, server.ssl_context) == ("SCP", "SCP", None)
        assert server.contexts == server.ae.supported_contexts
        assert server.address[1] > 0
        assert server.get_handlers(evt.EVT_RELEASED) == [(released, None)]
        association = dial(server)
        (active,) = server.active_associations
        assert isinstance(active, Association)
        server.bind(evt.EVT_C_ECHO, echoed)  # also for those that are established
        assert server.get_events() == [evt.EVT_C_ECHO, evt.EVT_RELEASED]
        assert association.send_c_echo().Status == dial(server).send_c_echo().Status == 0xA700
        server.unbind(evt.EVT_C_ECHO, echoed)
        assert association.send_c_echo().Status == 0x0000
        assert server.get_handlers(evt.EVT_C_ECHO) == (None, None)
        association.release()
        released.wait("RELEASED")


def test_transfer_syntax_of_the_acceptor_is_preferred() -> None:
    """As in pynetdicom: no row says otherwise."""
    ae = AE("SCP")
    ae.add_supported_context(Verification, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    scu = AE("SCU")
    scu.add_requested_context(Verification, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    with serving(ae=ae) as server, dial(server, ae=scu) as association:
        assert association.accepted_contexts[0].transfer_syntax == [ImplicitVRLittleEndian]
