"""User identity (PS3.7 D.3.3.7): who is asking, with the secret in a file or in the environment."""

import argparse
from typing import TYPE_CHECKING, Final

from dicom_transports.apps.exits import CommandError
from dicom_transports.apps.options.secrets import read_file, secret

if TYPE_CHECKING:
    from dicom_proto.upper_layer.items import UserIdentity

__all__ = ["add_arguments", "identity_of"]

PASSWORD_VARIABLE: Final = "DICOM_PROTO_PASSWORD"  # noqa: S105 - the name of a variable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("user identity")
    who = group.add_mutually_exclusive_group()
    who.add_argument("-usr", "--user", metavar="NAME", help="the user's name")
    who.add_argument("-kt", "--kerberos", metavar="FILE", help="a file with a Kerberos service ticket")
    who.add_argument("--saml", metavar="FILE", help="a file with a SAML assertion")
    who.add_argument("--jwt", metavar="FILE", help="a file with a JSON Web Token")
    group.add_argument(
        "--password-file",
        metavar="FILE",
        help=f"has the password of --user in its first line; without it, {PASSWORD_VARIABLE} has it",
    )
    group.add_argument("-rsp", "--pos-response", action="store_true", help="ask the peer to confirm the identity")


def identity_of(arguments: argparse.Namespace) -> "UserIdentity | None":
    """Return the sub-item that states who is asking; ``None`` if nobody says so.

    Raises
    ------
    CommandError
        If a file cannot be read, or a password has no user.
    """
    from dicom_proto.upper_layer.items import UserIdentity, UserIdentityType  # noqa: PLC0415 - loaded when used

    confirmed = arguments.pos_response
    if arguments.user is not None:
        password = secret(arguments.password_file, PASSWORD_VARIABLE)
        name = arguments.user.encode()
        if password is None:
            return UserIdentity(UserIdentityType.USERNAME, name, b"", confirmed)
        passcode = password.encode(errors="surrogateescape")
        return UserIdentity(UserIdentityType.USERNAME_AND_PASSCODE, name, passcode, confirmed)
    if arguments.password_file is not None:
        raise CommandError("--password-file needs --user NAME")
    files = {
        UserIdentityType.KERBEROS: arguments.kerberos,
        UserIdentityType.SAML: arguments.saml,
        UserIdentityType.JSON_WEB_TOKEN: arguments.jwt,
    }
    for kind, file in files.items():
        if file is not None:
            return UserIdentity(kind, read_file(file), b"", confirmed)
    if confirmed:
        raise CommandError("-rsp needs an identity: --user, --kerberos, --saml or --jwt")
    return None
