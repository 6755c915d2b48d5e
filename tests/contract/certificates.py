"""Certificates and TLS contexts for tests, made while they run: the repository holds no keys.

A module or conftest that wants the fixtures binds them (``client_tls = certificates.client_tls``) and those they use.
"""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import Factory, field, frozen

from dicom_transports.tls import client_context, server_context

HOSTS = ("localhost", "127.0.0.1", "::1")


@frozen
class Credentials:
    """A certificate, with those that lead to its authority, and its key: PEM files, as peers want them."""

    certificate: Path
    key: Path


@frozen
class Authority:
    """An authority that issues certificates into a folder."""

    folder: Path
    ca: trustme.CA = Factory(trustme.CA)
    ca_file: Path = field(init=False)

    @ca_file.default
    def _write(self) -> Path:
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(path)
        return path

    def issue(self, name: str, *hosts: str, **options: Any) -> Credentials:
        """Issue a certificate for hosts, by default those of loopback; options are those of ``trustme``."""
        issued = self.ca.issue_cert(*(hosts or HOSTS), **options)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return Credentials(certificate, key)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def server_credentials(authority: Authority) -> Credentials:
    return authority.issue("server")


@pytest.fixture(scope="session")
def client_credentials(authority: Authority) -> Credentials:
    return authority.issue("client")


@pytest.fixture(scope="session")
def server_tls(authority: Authority, server_credentials: Credentials) -> ssl.SSLContext:
    """Context of a server on loopback that wants to see a certificate."""
    return server_context(server_credentials.certificate, server_credentials.key, ca_file=authority.ca_file)


@pytest.fixture(scope="session")
def client_tls(authority: Authority, client_credentials: Credentials) -> ssl.SSLContext:
    """Context of a client that has a certificate, for "localhost" or an address of loopback."""
    return client_context(
        ca_file=authority.ca_file, certificate=client_credentials.certificate, key=client_credentials.key
    )
