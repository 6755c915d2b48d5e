"""TLS of both sides: profile, certificate, key, authorities (PS3.15 Annex B)."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from dicom_transports.apps.exits import CommandError
from dicom_transports.apps.options.secrets import secret

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["add_client_arguments", "add_server_arguments", "client_arguments", "server_context_of"]

PASSWORD_VARIABLE: Final = "DICOM_PROTO_KEY_PASSWORD"  # noqa: S105 - the name of a variable
_PROFILES: Final = ("B.12", "B.13")


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the side that connects."""
    group = _common(parser)
    group.add_argument(
        "--tls",
        "+tla",
        "--anonymous-tls",
        dest="tls",
        action="store_true",
        help="use TLS, with no certificate of one's own",
    )
    group.add_argument(
        "--no-check-hostname",
        dest="check_hostname",
        action="store_false",
        help="the peer's certificate need not name the host: let +cf hold the certificates of that peer alone",
    )


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the side that listens."""
    group = _common(parser)
    group.add_argument(
        "--client-certificate",
        choices=("require", "accept"),
        default="require",
        help="with +cf: whether clients need a certificate (default: %(default)s)",
    )


def _common(parser: argparse.ArgumentParser) -> Any:
    group = parser.add_argument_group("TLS")
    group.add_argument(
        "+tls",
        "--enable-tls",
        dest="own",
        nargs=2,
        metavar=("KEY", "CERTIFICATE"),
        help="use TLS, with a private key and a certificate of one's own (PEM files)",
    )
    group.add_argument(
        "+cf", "--ca-file", dest="ca_file", metavar="FILE", help="certificates of the authorities to trust (PEM file)"
    )
    group.add_argument("--crl-file", metavar="FILE", help="certificate revocation lists (PEM file)")
    group.add_argument(
        "--key-password-file",
        metavar="FILE",
        help=f"has the passphrase of the private key in its first line; without it, {PASSWORD_VARIABLE} has it",
    )
    group.add_argument(
        "--tls-profile", choices=_PROFILES, default=_PROFILES[0], help="profile of PS3.15 (default: %(default)s)"
    )
    return group


def client_arguments(arguments: argparse.Namespace) -> "tuple[SSLContext, str] | None":
    """Return what ``associate`` takes as ``tls_args``; ``None`` without TLS.

    Raises
    ------
    CommandError
        If a file cannot be used.
    """
    if not (arguments.tls or arguments.own):
        _check_unused(arguments)
        return None
    from dicom_transports.tls import TLSProfile, client_context  # noqa: PLC0415 - only what is used is loaded

    key, certificate = arguments.own or (None, None)
    context = client_context(
        TLSProfile(arguments.tls_profile),
        ca_file=arguments.ca_file,
        crl_file=arguments.crl_file,
        certificate=certificate,
        key=key,
        password=secret(arguments.key_password_file, PASSWORD_VARIABLE),
        check_hostname=arguments.check_hostname,
    )
    return context, arguments.host


def server_context_of(arguments: argparse.Namespace) -> "SSLContext | None":
    """Return what ``start_server`` takes as ``ssl_context``; ``None`` without TLS.

    Raises
    ------
    CommandError
        If a file cannot be used.
    """
    if not arguments.own:
        _check_unused(arguments)
        return None
    from dicom_transports.tls import TLSProfile, server_context  # noqa: PLC0415 - only what is used is loaded

    key, certificate = arguments.own
    return server_context(
        certificate,
        key,
        profile=TLSProfile(arguments.tls_profile),
        ca_file=arguments.ca_file,
        crl_file=arguments.crl_file,
        password=secret(arguments.key_password_file, PASSWORD_VARIABLE),
        require_client_certificate=None if arguments.client_certificate == "require" else False,
    )


def _check_unused(arguments: argparse.Namespace) -> None:
    """Refuse options of TLS where there is no TLS: who gives them believes that there is."""
    for option, value in (("+cf", arguments.ca_file), ("--crl-file", arguments.crl_file)):
        if value is not None:
            raise CommandError(f"{option} is for TLS: add +tls KEY CERTIFICATE, or --tls if there is no own one")
