"""Habits of docs/interop.md that have to do with connections: TLS at one end only, certificates, silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_proto.sop_class import Verification
from dicom_transports.blocking import AE
from dicom_transports.tls import client_context
from tests.contract import certificates
from tests.contract.adapters import Peer, make_ae
from tests.contract.certificates import Authority, Credentials
from tests.interop import peers

authority = certificates.authority
server_credentials = certificates.server_credentials
client_credentials = certificates.client_credentials
client_tls = certificates.client_tls


def asking() -> AE:
    ae = make_ae("HABITS")
    ae.add_requested_context(Verification)
    return ae


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, server_credentials: Credentials
) -> Iterator[tuple[str, int]]:
    """DCMTK's storage SCP, with TLS, as it is by default: it wants to see a certificate."""
    own = (server_credentials.key, server_credentials.certificate)
    options = ["--enable-tls", *own, "--add-cert-file", authority.ca_file]
    with peers.storescp(tmp_path_factory.mktemp("secure"), "+xa", *map(str, options)) as peer:
        yield peer.address


def test_tls_at_a_port_without(tmp_path: Path, client_tls: Any) -> None:
    for start in (peers.storescp, peers.orthanc, peers.dcmjs_storage, peers.pynetdicom_storescp):
        with start(tmp_path) as peer:
            association = asking().associate(*peer.address, tls_args=(client_tls, "localhost"))
            assert not association.is_established
            assert "perhaps its port is one without TLS" in str(association.failure), peer


def test_no_tls_at_a_port_with_it(secure: tuple[str, int]) -> None:
    association = asking().associate(*secure)
    assert not association.is_established
    assert "perhaps its port is one for TLS" in str(association.failure)


def test_certificate_that_is_not_there(secure: tuple[str, int], authority: Authority, client_tls: Any) -> None:
    """With TLS 1.3 the handshake is over for the client before the server has looked."""
    with asking().associate(*secure, tls_args=(client_tls, "localhost")) as association:
        assert association.send_c_echo().Status == 0
    association = asking().associate(*secure, tls_args=(client_context(ca_file=authority.ca_file), "localhost"))
    assert not association.is_established
    assert "CERTIFICATE_REQUIRED" in str(association.failure)


def test_storescp_closes_a_connection_that_is_silent(tmp_path: Path) -> None:
    with peers.storescp(tmp_path, "+xa", "--acse-timeout", "1") as server, Peer.dial(server.address) as peer:
        assert peer.socket.recv(100) == b""
