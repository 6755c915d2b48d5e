"""The contexts of PS3.15: their settings, what they negotiate and refuse, and settings that cannot be."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dicom_proto.errors import InvalidSettingError
from dicom_transports.tls import TLSProfile, UnusableFileError, client_context, server_context
from tests.contract import certificates
from tests.contract.certificates import Authority, Credentials
from tests.contract.tls_wire import connect

authority = certificates.authority
client_credentials = certificates.client_credentials
server_credentials = certificates.server_credentials
client_tls = certificates.client_tls
server_tls = certificates.server_tls

B12, B13 = TLSProfile


AES_GCM = ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
MORE = ("CHACHA20-POLY1305", "AES128-CCM", "AES256-CCM", "AES128-CCM8", "AES256-CCM8")
FORBIDDEN = ("DHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256", "AES128-SHA", "ECDHE-RSA-AES128-SHA256")


@pytest.fixture(scope="module")
def keys(authority: Authority) -> dict[str, Credentials]:
    return {kind.name: authority.issue(kind.name, key_type=kind) for kind in trustme.KeyType}


def peer_with(suites: str, client_tls: ssl.SSLContext) -> ssl.SSLContext:
    """A client whose TLS 1.2 has just these cipher suites, whatever their strength, and which has no TLS 1.3."""
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    peer.load_verify_locations(cadata=client_tls.get_ca_certs(binary_form=True)[0])
    peer.set_ciphers(f"@SECLEVEL=0:{suites}")
    peer.maximum_version = ssl.TLSVersion.TLSv1_2
    return peer


@pytest.mark.parametrize("profile", TLSProfile)
def test_settings_of_both_profiles(authority, server_credentials, profile) -> None:
    assert profile.value == {B12: "B.12", B13: "B.13"}[profile]
    client = client_context(profile, ca_file=authority.ca_file)
    server = server_context(server_credentials.certificate, server_credentials.key, profile=profile)
    for context in (client, server):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
        assert context.security_level >= 2
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
            assert context.options & option
        assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
        names = [suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"]
        assert names == list(profile.cipher_suites)
    assert client.check_hostname
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert server.verify_mode is ssl.CERT_NONE
    assert server.options & ssl.OP_NO_TICKET
    assert server.num_tickets == 0


def test_profiles_have_the_suites_of_their_tables() -> None:
    both = {f"ECDHE-{key}-{cipher}" for key in ("ECDSA", "RSA") for cipher in AES_GCM}
    assert set(B12.cipher_suites) == both
    assert set(B13.cipher_suites) == both | {
        "ECDHE-RSA-CHACHA20-POLY1305",
        *(f"ECDHE-ECDSA-{cipher}" for cipher in MORE),
    }


@pytest.mark.parametrize("profile", TLSProfile)
@pytest.mark.parametrize("suite", B13.cipher_suites)
def test_what_is_negotiated_by_tls_1_2(client_tls, keys, profile, suite) -> None:
    key = suite.split("-")[1]
    server = server_context(keys[key].certificate, keys[key].key, profile=profile)
    strength = {suite["name"]: suite["strength_bits"] for suite in server.get_ciphers()}
    wire = connect(peer_with(suite, client_tls), server).run()
    if strength.get(suite, 0) >= 112:  # security level 2; to newer versions of OpenSSL the tag of CCM8 is too short
        assert wire.negotiated == ("TLSv1.2", suite)
    else:
        assert wire.reasons == ("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER")


@pytest.mark.parametrize("profile", TLSProfile)
@pytest.mark.parametrize("suite", FORBIDDEN)
def test_suites_of_no_profile(client_tls, keys, profile, suite) -> None:
    server = server_context(keys["RSA"].certificate, keys["RSA"].key, profile=profile)
    assert connect(peer_with(suite, client_tls), server).run().reasons == ("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER")


@pytest.mark.parametrize("profile", TLSProfile)
def test_tls_1_3_is_preferred_and_1_2_spoken(authority, keys, profile) -> None:
    client = client_context(profile, ca_file=authority.ca_file)
    server = server_context(keys["RSA"].certificate, keys["RSA"].key, profile=profile)
    assert connect(client, server).run().negotiated == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert connect(client, server).run().negotiated == ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")


@pytest.mark.parametrize("profile", TLSProfile)
@pytest.mark.parametrize("old", ["client", "server"])
def test_downgrade_to_tls_1_1_fails(authority, client_tls, keys, profile, old) -> None:
    client = client_context(profile, ca_file=authority.ca_file)
    server = server_context(keys["RSA"].certificate, keys["RSA"].key, profile=profile)
    peer = peer_with("ALL", client_tls)
    if old == "server":
        peer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        peer.set_ciphers("@SECLEVEL=0:ALL")
        peer.load_cert_chain(keys["RSA"].certificate, keys["RSA"].key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        peer.minimum_version, peer.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    wire = connect(peer, server) if old == "client" else connect(client, peer)
    wire.run()
    assert not wire.client.layer.is_established
    assert not wire.server.layer.is_established
    assert set(wire.reasons) == {"PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"}


def test_versions_without_overlap(authority) -> None:
    new = client_context(ca_file=authority.ca_file)
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    issued = authority.issue("old")
    old = server_context(issued.certificate, issued.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert connect(new, old).run().reasons == ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")


def test_our_servers_send_no_tickets(authority, keys) -> None:
    server = server_context(keys["RSA"].certificate, keys["RSA"].key)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = client_context(ca_file=authority.ca_file)
        client.maximum_version = version
        session = connect(client, server).run().client.layer.ssl_object.session
        assert session is None or not session.has_ticket


def _weak(authority: Authority, name: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Credentials:
    """A certificate that the authority should not have issued."""
    issuer = x509.load_pem_x509_certificate(authority.ca.cert_pem.bytes())
    signer = load_pem_private_key(authority.ca.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .sign(signer, SHA256())
    )
    credentials = Credentials(authority.folder / f"{name}.pem", authority.folder / f"{name}-key.pem")
    credentials.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    credentials.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return credentials


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rsa1024", lambda: rsa.generate_private_key(65537, 1024)),
        ("p192", lambda: ec.generate_private_key(ec.SECP192R1())),
        ("p224", lambda: ec.generate_private_key(ec.SECP224R1())),
    ],
)
def test_keys_that_are_too_short(authority, client_tls, name, key) -> None:
    weak = _weak(authority, name, key())
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    peer.set_ciphers("@SECLEVEL=0:ALL")
    peer.load_cert_chain(weak.certificate, weak.key)
    wire = connect(client_tls, peer).run()
    assert not wire.client.layer.is_established
    assert wire.client.error is not None
    if name != "p224":  # at the level of 2048 bits of RSA, but no group that is offered
        with pytest.raises(InvalidSettingError, match="KEY_TOO_SMALL"):
            server_context(weak.certificate, weak.key)


# Settings that cannot be


def test_files_that_are_missing(server_credentials, tmp_path) -> None:
    certificate, key = server_credentials.certificate, server_credentials.key
    missing = tmp_path / "missing.pem"
    for parameter, make in (
        ("ca_file", lambda: client_context(ca_file=missing)),
        ("ca_file", lambda: client_context(ca_file=str(missing))),
        ("crl_file", lambda: client_context(crl_file=missing)),
        ("certificate", lambda: client_context(certificate=missing)),
        ("key", lambda: client_context(certificate=certificate, key=missing)),
        ("certificate", lambda: server_context(missing, key)),
        ("key", lambda: server_context(certificate, missing)),
        ("ca_file", lambda: server_context(certificate, key, ca_file=missing)),
        ("crl_file", lambda: server_context(certificate, key, ca_file=certificate, crl_file=missing)),
    ):
        with pytest.raises(UnusableFileError, match=f"^{parameter}: there is no such file$") as caught:
            make()
        assert caught.value.path in {missing, str(missing)}


def test_files_that_hold_something_else(server_credentials, client_credentials) -> None:
    certificate, key = server_credentials.certificate, server_credentials.key
    with pytest.raises(InvalidSettingError, match="ca_file: no certificates of authorities"):
        client_context(ca_file=key)
    with pytest.raises(InvalidSettingError, match=r"certificate: it cannot be loaded with its private key: .*MISMATCH"):
        server_context(certificate, client_credentials.key)
    with pytest.raises(InvalidSettingError, match="certificate: it cannot be loaded"):
        server_context(certificate)
    with pytest.raises(InvalidSettingError, match="certificate: it cannot be loaded"):
        client_context(certificate=key, key=key)


def test_key_in_the_file_of_the_certificate(server_credentials, client_tls, tmp_path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(server_credentials.certificate.read_bytes() + server_credentials.key.read_bytes())
    assert connect(client_tls, server_context(str(both))).run().negotiated


def test_encrypted_keys(server_credentials, client_tls, tmp_path) -> None:
    key = load_pem_private_key(server_credentials.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    certificate = server_credentials.certificate
    assert connect(client_tls, server_context(certificate, encrypted, password="secret")).run().negotiated
    with pytest.raises(InvalidSettingError, match="certificate: it cannot be loaded"):
        server_context(certificate, encrypted, password="guess")
    with pytest.raises(InvalidSettingError, match="key is encrypted, and there is no password"):
        client_context(certificate=certificate, key=encrypted)


def test_settings_that_contradict_each_other(server_credentials) -> None:
    certificate, key = server_credentials.certificate, server_credentials.key
    with pytest.raises(InvalidSettingError, match="a key needs its certificate"):
        client_context(key=key)
    with pytest.raises(InvalidSettingError, match="cannot be required without a ca_file"):
        server_context(certificate, key, require_client_certificate=True)
    with pytest.raises(InvalidSettingError, match=r"not a TLSProfile: 'B\.12'"):
        client_context("B.12")  # type: ignore[arg-type]
