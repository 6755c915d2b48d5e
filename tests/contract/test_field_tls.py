"""TLS connections that stall, and those that others do without: see docs/field_defects.md."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dicom_transports.blocking import AssociationServer, evt
from tests.contract import certificates
from tests.contract.adapters import Listener, Peer, Running
from tests.contract.entities import MOVE, ct, dataset, entity, statuses
from tests.contract.scenes import drain

pytestmark = pytest.mark.usefixtures("adapter")

authority = certificates.authority
server_credentials = certificates.server_credentials
client_credentials = certificates.client_credentials
server_tls = certificates.server_tls
client_tls = certificates.client_tls

BRIEF = 0.2  # seconds: a deadline that is meant to pass
QUERY = dataset(QueryRetrieveLevel="PATIENT", PatientName="*")
HALF_A_HELLO = bytes.fromhex("16 0301 0200 01 0001fc")


@contextmanager
def serving(context: ssl.SSLContext, *handlers: Any, **settings: Any) -> Iterator[AssociationServer]:
    ae = entity("SCP", **settings)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=context)
    try:
        yield server
    finally:
        server.shutdown()


def test_handshakes_that_stall_hold_up_nobody(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> None:
    """Clients that never finish their TLS handshake do not keep others from theirs."""
    with serving(server_tls) as server, Peer.dial(server.address), Peer.dial(server.address) as halfway:
        halfway.send(HALF_A_HELLO)
        with entity("SCU").associate(*server.address, tls_args=(client_tls, "localhost")) as association:
            assert association.send_c_echo().Status == 0x0000


@pytest.mark.parametrize("said", [b"", HALF_A_HELLO], ids=["nothing", "half a hello"])
def test_handshakes_that_stall_end(server_tls: ssl.SSLContext, said: bytes) -> None:
    """The time to say what one wants runs during the TLS handshake too."""
    with serving(server_tls, acse_timeout=BRIEF) as server, Peer.dial(server.address) as peer:
        peer.send(said)
        drain(peer)


def test_handshake_that_nobody_answers(client_tls: ssl.SSLContext) -> None:
    """A requestor waits for a server that accepts its connection and says nothing no longer than for an answer."""
    with Listener() as listener:
        ae = entity("SCU", acse_timeout=BRIEF, connection_timeout=BRIEF)
        associating = Running(ae.associate, *listener.address, tls_args=(client_tls, "localhost"))
        with listener.accept():
            assert not associating.result().is_established


def test_move_over_tls(client_tls: ssl.SSLContext, server_tls: ssl.SSLContext) -> None:
    """The sub-operations of a C-MOVE go over TLS as well, where the handler says so."""
    stored: list[str] = []

    def store(event: Any) -> int:
        stored.append(event.dataset.SOPInstanceUID)
        return 0x0000

    with serving(server_tls, (evt.EVT_C_STORE, store)) as destination:

        def move(_event: Any) -> Iterator[Any]:
            yield (*destination.address, {"tls_args": (client_tls, "localhost")})
            yield 1
            yield 0xFF00, ct()

        with serving(server_tls, (evt.EVT_C_MOVE, move)) as server:
            arguments = (client_tls, "localhost")
            with entity("SCU").associate(*server.address, tls_args=arguments) as association:
                assert statuses(association.send_c_move(QUERY, "DEST", MOVE)) == [0xFF00, 0x0000]
    assert stored == ["1.2.3.1"]
