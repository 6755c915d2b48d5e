"""The TLS contexts of a server: sessions are not resumed, certificates and revocation lists can change."""

import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from dicom_proto.errors import InvalidSettingError
from dicom_transports._socket.tls_contexts import TLSContexts
from dicom_transports.tls import TLSProfile, UnusableFileError, client_context, server_context
from tests.contract import certificates
from tests.contract.certificates import Authority, Credentials
from tests.contract.tls_wire import Wire, connect

authority = certificates.authority
client_credentials = certificates.client_credentials
server_credentials = certificates.server_credentials
client_tls = certificates.client_tls
server_tls = certificates.server_tls

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
DAY = timedelta(days=1)


@pytest.fixture
def served(server_credentials: Credentials, tmp_path: Path) -> Credentials:
    """A certificate and its key, in files that a test may change."""
    credentials = Credentials(tmp_path / "own.pem", tmp_path / "own-key.pem")
    copy(server_credentials.certificate, credentials.certificate)
    copy(server_credentials.key, credentials.key)
    return credentials


@pytest.fixture
def old_client(authority: Authority, client_credentials: Credentials) -> ssl.SSLContext:
    """A client that has no TLS 1.3."""
    context = client_context(
        ca_file=authority.ca_file, certificate=client_credentials.certificate, key=client_credentials.key
    )
    context.maximum_version = TLS12
    return context


@pytest.fixture
def plain_tls(served: Credentials) -> ssl.SSLContext:
    """A server's context of somebody who does not use ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET
    context.load_cert_chain(served.certificate, served.key)
    return context


def closed(wire: Wire) -> Wire:
    """Politely: OpenSSL drops the sessions of others."""
    wire.run()
    wire.client.layer.close()
    wire.server.layer.close()
    return wire.run()


def session_of(wire: Wire) -> ssl.SSLSession:
    session = wire.client.layer.ssl_object.session
    assert session is not None
    return session


# Sessions


@pytest.mark.parametrize("profile", TLSProfile)
@pytest.mark.parametrize("made", ["context", "function"])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_session_that_is_offered_again_is_not_resumed(served, authority, old_client, profile, made, is_open) -> None:
    """Not by its ID either, by which OpenSSL resumes those of TLS 1.2 and asks nobody for a certificate again."""

    def make() -> ssl.SSLContext:
        return server_context(served.certificate, served.key, ca_file=authority.ca_file, profile=profile)

    contexts = TLSContexts(make() if made == "context" else make)
    wire = connect(old_client, contexts.layer())
    wires = [wire.run() if is_open else closed(wire)]
    for _ in range(3):
        again = connect(old_client, contexts.layer(), session=session_of(wires[-1]))
        wires.append(again.run() if is_open else closed(again))
        assert again.negotiated[0] == "TLSv1.2"
        assert not again.client.layer.ssl_object.session_reused
        assert not again.server.layer.ssl_object.session_reused
        assert again.server.layer.ssl_object.getpeercert()


@pytest.mark.parametrize("by_ticket", [True, False])
def test_openssl_would_resume_it(plain_tls, old_client, by_ticket, caplog) -> None:
    """What the test above shows is not so by itself: a context of one's own is used as it is, and that is said."""
    if by_ticket:
        plain_tls.options &= ~ssl.OP_NO_TICKET
    contexts = TLSContexts(plain_tls)
    assert [record.levelname for record in caplog.records if "pass a function that makes one" in record.message] == [
        "WARNING"
    ]
    wire = closed(connect(old_client, contexts.layer()))
    session = session_of(wire)
    assert session.has_ticket == by_ticket
    assert session.timeout <= 7200
    again = connect(old_client, contexts.layer(), session=session).run()
    assert again.server.layer.ssl_object.session_reused
    assert plain_tls.session_stats()["number"] == (0 if by_ticket else 1)  # what is in a ticket needs no memory
    caplog.clear()
    plain_tls.minimum_version = TLS13
    TLSContexts(plain_tls)
    TLSContexts(lambda: plain_tls)
    assert not caplog.records


def test_a_function_that_makes_none_is_found_out(plain_tls, old_client, caplog) -> None:
    contexts = TLSContexts(lambda: plain_tls)
    for _ in range(3):
        assert closed(connect(old_client, contexts.layer())).negotiated
    assert len([record for record in caplog.records if "pass a function that makes one" in record.message]) == 1


def test_what_openssl_keeps_is_bounded(served, authority, old_client) -> None:
    """12 KiB each, for up to 20,480 sessions, would be 240 MiB."""
    contexts = TLSContexts(server_context(served.certificate, served.key, ca_file=authority.ca_file))
    for _ in range(50):
        wire = closed(connect(old_client, contexts.layer()))
        context = wire.server.layer.ssl_object.context
        assert context.session_stats()["number"] <= 1


def test_a_context_without_sessions_is_used_on(served, authority, client_tls) -> None:
    """With TLS 1.3 nothing is kept, and no file is read."""
    contexts = TLSContexts(server_context(served.certificate, served.key, ca_file=authority.ca_file))
    used = set()
    for _ in range(3):
        wire = closed(connect(client_tls, contexts.layer()))
        assert wire.negotiated[0] == "TLSv1.3"
        used.add(wire.server.layer.ssl_object.context)
    assert len(used) == 1


def test_what_a_site_has_set_is_kept(served, authority, client_credentials, tmp_path) -> None:
    context = server_context(served.certificate, served.key)
    context.minimum_version, context.num_tickets = TLS13, 1
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(client_credentials.certificate, client_credentials.key)
    context.load_verify_locations(cafile=authority.ca_file)
    context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
    context.set_ecdh_curve("prime256v1")
    context.set_alpn_protocols(["dicom"])
    context.keylog_filename = str(tmp_path / "keys.log")
    context.sni_callback = lambda *_: None
    other = context.renewed().renewed()
    assert other is not context
    for name in ("minimum_version", "num_tickets", "options", "verify_mode", "keylog_filename", "sni_callback"):
        assert getattr(other, name) == getattr(context, name)
    assert other.get_ca_certs() == context.get_ca_certs()
    assert [suite["name"] for suite in other.get_ciphers()] == [suite["name"] for suite in context.get_ciphers()]
    with pytest.raises(OSError, match="dh"):
        context.load_dh_params(tmp_path / "dh.pem")
    client = client_context(ca_file=authority.ca_file)
    assert connect(client, other).run().server.error is not None  # it has no certificate


# New certificates


def serial_of(wire: Wire) -> str:
    wire.run()
    certificate = wire.client.layer.ssl_object.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("made", ["context", "function"])
def test_new_certificates_are_taken_without_a_restart(served, authority, client_tls, made) -> None:
    def make() -> ssl.SSLContext:
        return server_context(served.certificate, served.key, ca_file=authority.ca_file)

    contexts = TLSContexts(make() if made == "context" else make)
    before = connect(client_tls, contexts.layer())
    old = serial_of(before)
    renewed = authority.issue("renewed")
    copy(renewed.certificate, served.certificate)
    with pytest.raises(InvalidSettingError, match="MISMATCH"):
        contexts.reload()  # the key is still the old one: those to come are served as before
    assert serial_of(connect(client_tls, contexts.layer())) == old
    copy(renewed.key, served.key)
    contexts.reload()
    assert serial_of(connect(client_tls, contexts.layer())) != old
    before.client.layer.send([b"goes on"])
    assert before.run().server.plaintext == b"goes on"


def test_files_that_are_gone_stop_nobody(served, authority, old_client, caplog) -> None:
    contexts = TLSContexts(server_context(served.certificate, served.key, ca_file=authority.ca_file))
    served.key.unlink()
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            assert closed(connect(old_client, contexts.layer())).negotiated
    assert [record.message for record in caplog.records] == [
        "! TLS: no context can be made, the one before is used on: key: there is no such file"
    ]
    with pytest.raises(UnusableFileError, match="key: there is no such file"):
        contexts.reload()


def test_another_context_is_taken(served, plain_tls, authority, client_tls) -> None:
    contexts = TLSContexts(plain_tls)
    with pytest.raises(InvalidSettingError, match="cannot be made anew"):
        contexts.reload()
    for nothing in (client_tls, 5, lambda: None, lambda: client_tls):
        with pytest.raises(InvalidSettingError):
            contexts.reload(nothing)  # type: ignore[arg-type]
        with pytest.raises(InvalidSettingError):
            TLSContexts(nothing)  # type: ignore[arg-type]
    assert contexts.layer().ssl_object.context is plain_tls
    contexts.reload(server_context(served.certificate, served.key, ca_file=authority.ca_file))
    assert connect(client_tls, contexts.layer()).run().negotiated
    contexts.reload()
    assert connect(client_tls, contexts.layer()).run().negotiated


# Revocation lists


def revoke(authority: Authority, path: Path, *revoked: Credentials, until: timedelta = DAY) -> Path:
    """Write the authority's revocation list."""
    issuer = x509.load_pem_x509_certificate(authority.ca.cert_pem.bytes())
    signer = load_pem_private_key(authority.ca.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.subject, now - 2 * DAY, now + until)
    for one in revoked:
        serial = x509.load_pem_x509_certificate(one.certificate.read_bytes()).serial_number
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build()
        )
    path.write_bytes(builder.sign(signer, SHA256()).public_bytes(Encoding.PEM))
    return path


def refused(wire: Wire) -> str:
    wire.run()
    error = wire.client.error if isinstance(wire.client.error, ssl.SSLCertVerificationError) else wire.server.error
    assert isinstance(error, ssl.SSLCertVerificationError)
    return error.verify_message


def test_servers_whose_certificate_is_revoked(authority, server_tls, server_credentials, tmp_path) -> None:
    path = revoke(authority, tmp_path / "crl.pem")
    own = authority.issue("caller")

    def client() -> ssl.SSLContext:
        return client_context(ca_file=authority.ca_file, crl_file=path, certificate=own.certificate, key=own.key)

    assert connect(client(), server_tls).run().negotiated
    revoke(authority, path, server_credentials)
    assert refused(connect(client(), server_tls)) == "certificate revoked"


def test_clients_whose_certificate_is_revoked_without_a_restart(
    authority, served, client_tls, client_credentials, tmp_path
) -> None:
    path = revoke(authority, tmp_path / "crl.pem")
    contexts = TLSContexts(server_context(served.certificate, served.key, ca_file=authority.ca_file, crl_file=path))
    assert connect(client_tls, contexts.layer()).run().negotiated
    revoke(authority, path, client_credentials)
    contexts.reload()
    assert refused(connect(client_tls, contexts.layer())) == "certificate revoked"


def test_a_revoked_client_does_not_come_back_by_its_session(
    authority, served, old_client, client_credentials, tmp_path
) -> None:
    path = revoke(authority, tmp_path / "crl.pem")
    contexts = TLSContexts(server_context(served.certificate, served.key, ca_file=authority.ca_file, crl_file=path))
    session = session_of(closed(connect(old_client, contexts.layer())))
    revoke(authority, path, client_credentials)
    contexts.reload()
    assert refused(connect(old_client, contexts.layer(), session=session)) == "certificate revoked"


def test_revocation_lists_that_say_nothing(authority, served, tmp_path) -> None:
    """Without a list of the authority, or with one whose time has passed, nobody is let through."""
    old = revoke(authority, tmp_path / "old.pem", until=-DAY)
    client = client_context(ca_file=authority.ca_file, crl_file=old)
    server = server_context(served.certificate, served.key)
    assert refused(connect(client, server)) == "CRL has expired"
    strangers = Authority(tmp_path)
    client = client_context(ca_file=authority.ca_file, crl_file=revoke(strangers, tmp_path / "their.pem"))
    assert refused(connect(client, server)) == "unable to get certificate CRL"


def test_files_that_are_no_revocation_lists(authority, served, tmp_path) -> None:
    empty, both = tmp_path / "empty.pem", tmp_path / "both.pem"
    empty.touch()
    both.write_bytes(Authority(tmp_path).ca_file.read_bytes() + revoke(authority, tmp_path / "crl.pem").read_bytes())
    for path in (empty, both, authority.ca_file, served.key):
        with pytest.raises(UnusableFileError, match=r"^crl_file: ") as caught:
            client_context(ca_file=authority.ca_file, crl_file=path)
        assert caught.value.path == path
        assert path.name not in str(caught.value)
    with pytest.raises(InvalidSettingError, match="cannot be revoked without a ca_file"):
        server_context(served.certificate, served.key, crl_file=tmp_path / "crl.pem")
