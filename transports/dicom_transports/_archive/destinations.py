"""Where a C-MOVE may send to: application entities, their addresses, and how they are to be talked to.

May change.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen
from attrs.validators import optional

from dicom_proto import sop_class
from dicom_proto.errors import InvalidSettingError
from dicom_proto.names import check_ae_title, check_uid, is_valid_uid
from dicom_proto.offers._settings import FLAG, MAXIMUM_LENGTH, check, integer
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES
from dicom_transports._archive.tables import PATH, array, table
from dicom_transports.tls import TLSProfile, client_context

__all__ = ["ClientTLS", "Destination", "Proposed", "as_optional_title"]

_TEXT: Final = check(lambda value: isinstance(value, str) and value != "", "text that is not empty")


def as_optional_title(title: Any) -> str | None:
    """Return an AE title as :func:`~dicom_proto.names.check_ae_title` does, or that there is none."""
    return None if title is None else check_ae_title(title)


def _as_sop_class(name: Any) -> str:
    """Return the UID of a SOP class that is named by that, or by its keyword."""
    if isinstance(name, str):
        known = name if is_valid_uid(name) else getattr(sop_class, name, None)
        if isinstance(known, str) and is_valid_uid(known):
            return str(known)
    raise InvalidSettingError(f"there is no SOP class {name!r}: it is a UID, or a keyword such as 'CTImageStorage'")


def _as_syntaxes(names: Any) -> tuple[str, ...]:
    by_keyword = {uid.keyword: str(uid) for uid in ALL_TRANSFER_SYNTAXES}
    wanted = [names] if isinstance(names, str) else names
    if not isinstance(wanted, list | tuple) or not wanted:
        raise InvalidSettingError(f"{names!r} is not a list of transfer syntaxes")
    for name in wanted:
        if name not in by_keyword and not (isinstance(name, str) and is_valid_uid(name)):
            raise InvalidSettingError(
                f"there is no transfer syntax {name!r}: it is a UID, or a keyword such as 'JPEGLosslessSV1'"
            )
    return tuple(by_keyword.get(name) or check_uid(name) for name in wanted)


def _as_profile(name: Any) -> TLSProfile:
    try:
        return TLSProfile(name)
    except ValueError:
        raise InvalidSettingError(
            f"{name!r} is no profile: there are {', '.join(p.value for p in TLSProfile)}"
        ) from None


@frozen(kw_only=True)
class ClientTLS:
    """TLS towards a destination; what is not said is as :func:`~dicom_transports.tls.client_context` has it.

    Parameters
    ----------
    profile : str
        Of PS3.15: ``"B.12"`` or ``"B.13"``.
    ca_file, crl_file, certificate, key : path, optional
        PEM files.
    password_file : path, optional
        A file with the passphrase of the key in its first line.
    check_hostname : bool
        Whether the certificate must be for the host.
    """

    profile: TLSProfile = field(default=TLSProfile.BCP_195_RFC_8996_9325, converter=_as_profile)
    ca_file: Path | None = field(default=None, metadata=PATH)
    crl_file: Path | None = field(default=None, metadata=PATH)
    certificate: Path | None = field(default=None, metadata=PATH)
    key: Path | None = field(default=None, metadata=PATH)
    password_file: Path | None = field(default=None, metadata=PATH)
    check_hostname: bool = field(default=True, validator=FLAG)
    context: ssl.SSLContext = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        try:
            secret = None if self.password_file is None else self.password_file.read_text("utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettingError(f"password_file cannot be read: {error}") from error
        made = client_context(
            self.profile,
            ca_file=self.ca_file,
            crl_file=self.crl_file,
            certificate=self.certificate,
            key=self.key,
            password=secret,
            check_hostname=self.check_hostname,
        )
        object.__setattr__(self, "context", made)


@frozen(kw_only=True)
class Proposed:
    """A presentation context that is proposed to a destination.

    Parameters
    ----------
    sop_class : str
        A UID, or a keyword such as ``"CTImageStorage"``.
    transfer_syntaxes : sequence of str
        UIDs, or keywords such as ``"JPEGLosslessSV1"``; by default the uncompressed ones.
    """

    sop_class: str = field(converter=_as_sop_class)
    transfer_syntaxes: tuple[str, ...] = field(default=tuple(DEFAULT_TRANSFER_SYNTAXES), converter=_as_syntaxes)


@frozen(kw_only=True)
class Destination:
    """An application entity that objects can be sent to.

    Parameters
    ----------
    host : str
        A name or an address.
    port : int
        Where it listens.
    ae_title : str, optional
        What it is called by, if that is another title than the one that it is known by here.
    associations : int
        How many associations at most share the objects of one C-MOVE, up to 64.
    maximum_pdu : int, optional
        The longest P-DATA-TF that is wanted from it, in bytes.
    contexts : sequence of Proposed
        What is proposed to it; by default what the objects need.
    notify : bool
        Whether it is sent an Instance Availability Notification (PS3.4 Annex R) of each study that was stored.
    tls : ClientTLS, optional
        Without it there is none.
    """

    host: str = field(validator=_TEXT)
    port: int = field(validator=integer(1, 0xFFFF))
    ae_title: str | None = field(default=None, converter=as_optional_title)
    associations: int = field(default=1, validator=integer(1, 64))
    maximum_pdu: int | None = field(default=None, validator=optional(MAXIMUM_LENGTH))
    contexts: tuple[Proposed, ...] = field(metadata=array(Proposed), default=(), converter=tuple)
    notify: bool = field(default=False, validator=FLAG)
    tls: ClientTLS | None = field(metadata=table(ClientTLS), default=None)

    def answer(self) -> tuple[str, int, Mapping[str, Any]]:
        """Return it as a handler of ``EVT_C_MOVE`` yields it first."""
        options: dict[str, Any] = {"associations": self.associations}
        if self.ae_title is not None:
            options["ae_title"] = self.ae_title
        if self.maximum_pdu is not None:
            options["max_pdu"] = self.maximum_pdu
        if self.contexts:
            options["contexts"] = self.presentation_contexts()
        return self.host, self.port, options | self.transport()

    def transport(self) -> dict[str, Any]:
        """Return what ``associate`` has to know of TLS, if there is any."""
        return {} if self.tls is None else {"tls_args": (self.tls.context, self.host)}

    def presentation_contexts(self) -> list[PresentationContext]:
        """Return what is proposed to it, if that is said."""
        return [build_context(one.sop_class, list(one.transfer_syntaxes)) for one in self.contexts]
