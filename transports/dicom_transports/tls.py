"""TLS contexts by the secure transport connection profiles of PS3.15 Annex B.

Stable.

:func:`client_context` makes what ``AE.associate(..., tls_args=(context, hostname))`` takes, :func:`server_context` what
``AE.start_server(..., ssl_context=context)`` takes. Both are plain :class:`ssl.SSLContext` objects: what a site asks
for beyond the profile is set on them as on any other, and any other is accepted in their place. A server makes those
of :func:`server_context` anew, from their files: see :class:`ServerContext`.

"Client" is the side that opens the connection and "server" the side that accepts it, whatever their roles in the
services (PS3.15 B.12, B.13). The port that is registered for DICOM over TLS is 2762, ``dicom-tls``.

Of the profiles, this is left to the OpenSSL below, because Python's ``ssl`` cannot set it:

* The cipher suites of TLS 1.3. OpenSSL enables AES-256-GCM, ChaCha20-Poly1305 and AES-128-GCM, but not the two with CCM
  that B.13 asks of servers as well: they need ``Ciphersuites`` in the system's ``openssl.cnf``.
* The groups of ECDHE. Those that OpenSSL enables are of the size that B.13 asks for: X25519, P-256 and larger.
* Signature algorithms and the size of keys. OpenSSL's security level 2, below which no context made here goes, refuses
  SHA-1 and MD5 signatures, and RSA keys of less than 2048 bits. Newer versions of OpenSSL refuse the suites of TLS 1.2
  with CCM8 at that level, which are in B.13: their authentication tag is short.

Cipher suites with DHE are left out, because a server could not set the size of their keys (B.13). Those with Camellia
are left out, because OpenSSL does not have them.
"""

import ssl
from collections.abc import Callable
from enum import Enum
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from dicom_proto.errors import InvalidSettingError

__all__ = ["DICOM_TLS_PORT", "ServerContext", "TLSProfile", "UnusableFileError", "client_context", "server_context"]

DICOM_TLS_PORT: Final = 2762

StrPath: TypeAlias = str | PathLike[str]
ContextT = TypeVar("ContextT", bound=ssl.SSLContext)


class TLSProfile(Enum):
    """The profiles of PS3.15 Annex B that are not retired; both allow TLS 1.2 and 1.3 and nothing older.

    Applications that follow the retired B.10 and B.11 support cipher suites of both; those of B.1 and B.3 do not.
    """

    BCP_195_RFC_8996_9325 = "B.12"
    """BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile: what RFC 9325 4.2 recommends."""
    MODIFIED_BCP_195_RFC_8996_9325 = "B.13"
    """Modified BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile: a closed list of cipher suites."""

    @property
    def cipher_suites(self) -> tuple[str, ...]:
        """The cipher suites for TLS 1.2, in OpenSSL's names and this side's order of preference."""
        return _SUITES[self]


_RECOMMENDED = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
_SUITES = {
    TLSProfile.BCP_195_RFC_8996_9325: _RECOMMENDED,
    TLSProfile.MODIFIED_BCP_195_RFC_8996_9325: (
        *_RECOMMENDED,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES128-CCM8",
        "ECDHE-ECDSA-AES256-CCM8",
    ),
}


def client_context(
    profile: TLSProfile = TLSProfile.BCP_195_RFC_8996_9325,
    *,
    ca_file: StrPath | None = None,
    crl_file: StrPath | None = None,
    certificate: StrPath | None = None,
    key: StrPath | None = None,
    password: str | None = None,
    check_hostname: bool = True,
) -> ssl.SSLContext:
    """Make the context of a side that opens connections.

    The server's certificate is always verified. Sessions are not resumed, and Python has no early data (0-RTT).

    Parameters
    ----------
    profile : TLSProfile
        By default that of PS3.15 B.12.
    ca_file : path, optional
        Certificates in PEM format of the authorities that may have issued the server's; by default those that the
        system trusts.
    crl_file : path, optional
        Certificate revocation lists (RFC 5280) in PEM format. With it, a server is refused whose certificate, or that
        of an authority on the way, is on the list of its authority, and also if there is no list of that authority, or
        only one whose time has passed. ``verify_flags`` of the context can say that the server's own is enough.
    certificate : path, optional
        This side's own in PEM format, with those that lead from it to its authority behind it. Without one, a server
        that asks for it refuses the connection.
    key : path, optional
        The private key of the certificate in PEM format; by default it is in the same file.
    password : str, optional
        That of the private key. Nobody is asked for it.
    check_hostname : bool
        Whether the certificate must be for the name or address that is given when connecting. Devices often have
        certificates that name no host: then let ``ca_file`` hold their certificates alone.

    Raises
    ------
    InvalidSettingError
        A file is not there or not what it should be, or the key does not belong to the certificate or cannot be
        decrypted.
    """
    context = _configured(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), profile)
    context.check_hostname = check_hostname
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authorities(context, ca_file)
    if crl_file is not None:
        _load_revoked(context, crl_file)
    if certificate is not None:
        _load_certificate(context, certificate, key, password)
    elif key is not None:
        raise InvalidSettingError("a key needs its certificate")
    return context


def server_context(
    certificate: StrPath,
    key: StrPath | None = None,
    *,
    profile: TLSProfile = TLSProfile.BCP_195_RFC_8996_9325,
    ca_file: StrPath | None = None,
    crl_file: StrPath | None = None,
    password: str | None = None,
    require_client_certificate: bool | None = None,
) -> "ServerContext":
    """Make the context of a side that accepts connections.

    It issues no session tickets: their key would be as old as the context, and forward secrecy no better than that key
    (RFC 9325 3.4). Python has no early data (0-RTT).

    The files have to stay where they are: a server reads them again, see :class:`ServerContext`.

    Parameters
    ----------
    certificate : path
        This side's own in PEM format, with those that lead from it to its authority behind it.
    key : path, optional
        The private key of the certificate in PEM format; by default it is in the same file.
    profile : TLSProfile
        By default that of PS3.15 B.12.
    ca_file : path, optional
        Certificates in PEM format of the authorities that may have issued those of clients. Without them, clients are
        not asked for certificates.
    crl_file : path, optional
        Certificate revocation lists for them, as for :func:`client_context`.
    password : str, optional
        That of the private key. Nobody is asked for it.
    require_client_certificate : bool, optional
        Whether clients without certificate are refused. By default they are when there is a ``ca_file``; with False a
        certificate is verified if the client has one.

    Raises
    ------
    InvalidSettingError
        A file is not there or not what it should be, the key does not belong to the certificate or cannot be decrypted,
        or certificates are required, or revoked, and nobody may issue them.
    """
    make = partial(_server_context, certificate, key, profile, ca_file, crl_file, password, require_client_certificate)
    context = make()
    context.remember(make)
    return context


class ServerContext(ssl.SSLContext):
    """The context of a server, that can be made anew.

    OpenSSL keeps the sessions of TLS 1.2 for those who come back, Python cannot tell it not to, and who resumes one is
    not asked for a certificate again. So a server takes another context for the next connection when this one has
    kept a session. That is made from the same files, with all that has been set on this one: who changes the files
    should put each in its place at one stroke (rename), and call ``reload_tls()`` of the server to learn what comes of
    it.
    """

    def remember(self, make: Callable[[], "ServerContext"]) -> None:
        """Take note how another one is made; what is called from now on is called for that one as well."""
        self._make = make
        self._calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def renewed(self) -> "ServerContext":
        """Return another one with the same settings, that has read the files as they are now, and knows no session.

        Raises
        ------
        InvalidSettingError
            As :func:`server_context` does.
        OSError
            If what has been loaded by hand cannot be loaded again.
        """
        other = self._make()
        other.remember(self._make)
        for name, arguments, options in self._calls:
            getattr(other, name)(*arguments, **options)
        for name in _ATTRIBUTES:
            value = getattr(self, name)
            if getattr(other, name) != value:
                setattr(other, name, value)
        return other

    def _record(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        if hasattr(self, "_calls"):
            self._calls.append((name, arguments, options))

    def load_cert_chain(self, *arguments: Any, **options: Any) -> None:
        """Load another certificate, as for any context; it is loaded again for the next one. So is what others load."""
        super().load_cert_chain(*arguments, **options)
        self._record("load_cert_chain", arguments, options)

    def load_verify_locations(self, *arguments: Any, **options: Any) -> None:  # noqa: D102
        super().load_verify_locations(*arguments, **options)
        self._record("load_verify_locations", arguments, options)

    def load_default_certs(self, *arguments: Any, **options: Any) -> None:  # noqa: D102
        super().load_default_certs(*arguments, **options)
        self._record("load_default_certs", arguments, options)

    def load_dh_params(self, *arguments: Any, **options: Any) -> None:  # noqa: D102
        super().load_dh_params(*arguments, **options)
        self._record("load_dh_params", arguments, options)

    def set_ciphers(self, *arguments: Any, **options: Any) -> None:  # noqa: D102
        super().set_ciphers(*arguments, **options)
        self._record("set_ciphers", arguments, options)

    def set_ecdh_curve(self, *arguments: Any, **options: Any) -> None:  # noqa: D102
        super().set_ecdh_curve(*arguments, **options)
        self._record("set_ecdh_curve", arguments, options)

    def set_alpn_protocols(self, *arguments: Any, **options: Any) -> None:  # noqa: D102
        super().set_alpn_protocols(*arguments, **options)
        self._record("set_alpn_protocols", arguments, options)


_ATTRIBUTES = (
    *("minimum_version", "maximum_version", "options", "verify_mode", "verify_flags", "num_tickets"),
    *("post_handshake_auth", "sni_callback", "keylog_filename"),
)


def _server_context(
    certificate: StrPath,
    key: StrPath | None,
    profile: TLSProfile,
    ca_file: StrPath | None,
    crl_file: StrPath | None,
    password: str | None,
    require_client_certificate: bool | None,
) -> ServerContext:
    context = _configured(ServerContext(ssl.PROTOCOL_TLS_SERVER), profile)
    context.options |= ssl.OP_NO_TICKET  # TLS 1.2
    context.num_tickets = 0  # TLS 1.3
    if ca_file is not None:
        _load_authorities(context, ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL if require_client_certificate is False else ssl.CERT_REQUIRED
    elif require_client_certificate:
        raise InvalidSettingError("client certificates cannot be required without a ca_file to verify them by")
    if crl_file is not None:
        if ca_file is None:
            raise InvalidSettingError("client certificates cannot be revoked without a ca_file to verify them by")
        _load_revoked(context, crl_file)
    _load_certificate(context, certificate, key, password)
    return context


class UnusableFileError(InvalidSettingError):
    """A file with certificates, keys or revocation lists is not there, or not what it should be.

    Attributes
    ----------
    path : path
        The file, which the text calls by the name of its parameter.
    """

    def __init__(self, reason: str, path: StrPath) -> None:
        super().__init__(reason)
        self.path = path


def _configured(context: ContextT, profile: TLSProfile) -> ContextT:
    if not isinstance(profile, TLSProfile):
        raise InvalidSettingError(f"not a TLSProfile: {profile!r}")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    # RFC 9325: no compression (3.3), no renegotiation that OpenSSL could be made to do (3.5).
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    level = max(2, context.security_level)  # a site may be stricter
    context.set_ciphers(":".join((f"@SECLEVEL={level}", *profile.cipher_suites)))
    return context


def _load_authorities(context: ssl.SSLContext, ca_file: StrPath) -> None:
    _check_file("ca_file", ca_file)
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise UnusableFileError(f"ca_file: no certificates of authorities can be loaded: {error}", ca_file) from error


def _load_revoked(context: ssl.SSLContext, crl_file: StrPath) -> None:
    _check_file("crl_file", crl_file)
    before = context.cert_store_stats()
    try:
        context.load_verify_locations(cafile=crl_file)
    except OSError as error:
        raise UnusableFileError(f"crl_file: no revocation lists can be loaded: {error}", crl_file) from error
    after = context.cert_store_stats()
    if after["crl"] == before["crl"] or after["x509"] != before["x509"]:  # certificates would be those of authorities
        raise UnusableFileError("crl_file: it has to hold revocation lists, and nothing else", crl_file)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _load_certificate(context: ssl.SSLContext, certificate: StrPath, key: StrPath | None, password: str | None) -> None:
    _check_file("certificate", certificate)
    _check_file("key", certificate if key is None else key)

    def refuse() -> NoReturn:  # OpenSSL would ask at the terminal
        raise UnusableFileError("the private key is encrypted, and there is no password", key or certificate)

    try:
        context.load_cert_chain(certificate, key, refuse if password is None else password)
    except OSError as error:
        raise UnusableFileError(
            f"certificate: it cannot be loaded with its private key: {error}", certificate
        ) from error


def _check_file(parameter: str, path: StrPath) -> None:
    if not Path(path).is_file():
        raise UnusableFileError(f"{parameter}: there is no such file", path)
