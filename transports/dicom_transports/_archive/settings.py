"""The file with an archive's settings: whom it knows, who may do what, where a C-MOVE may send to.

May change.

One TOML file, such as::

    ae_title = "ARCHIVE"
    require_called = true
    maximum_associations = 50

    [user_identity]
    check = "hospital.users:check"

    [destinations.VIEWER]
    host = "viewer.example.org"
    port = 11112

    [[access]]
    calling = ["CT1", "CT2"]
    networks = ["192.0.2.0/24"]
    services = ["write"]

Every key is checked when the file is read, and a mistake is named with its key. :class:`SettingsFile` reads the file
again while a server runs.
"""

import logging
import os
import tomllib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from attrs.validators import optional

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.errors import InvalidNameError, InvalidSettingError
from dicom_proto.names import check_ae_title
from dicom_proto.offers._settings import FLAG, OPTIONAL_FLAG, integer
from dicom_transports._archive.access import Access, Rule
from dicom_transports._archive.destinations import Destination, as_optional_title
from dicom_transports._archive.tables import SettingsError, Tables, array, named, table

__all__ = ["IdentityCheck", "Settings", "SettingsError", "SettingsFile", "UserIdentity", "read_settings"]

_log = logging.getLogger("dicom_transports")

IdentityCheck: TypeAlias = Callable[[Any], Any]
"""What decides about a user identity: a handler of ``EVT_USER_ID``."""

_MOST_BYTES: Final = 1 << 20  # of a file: a longer one is something else


def _as_check(name: Any) -> Any:
    """Import a function by its name."""
    if callable(name):
        return name
    module, _, function = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not (module and function):
        raise InvalidSettingError(f"{name!r} is not of the form 'package.module:function'")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InvalidSettingError(f"{name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidSettingError(f"{name!r} is not a function")
    return found


def _as_destinations(given: Mapping[str, Destination]) -> Mapping[str, Destination]:
    for title in given:
        try:
            check_ae_title(title)
        except InvalidNameError as error:
            raise InvalidSettingError(f"{title!r} cannot be an AE title: {error}") from error
    return dict(given)


def _as_access(rules: Any) -> Access:
    return rules if isinstance(rules, Access) else Access(rules)


@frozen(kw_only=True)
class UserIdentity:
    """Who decides about the user identities that requestors state (PS3.7 D.3.3.7).

    Parameters
    ----------
    check : str or callable
        A handler of ``EVT_USER_ID``: called with the event, it returns whether the identity is accepted, or a pair of
        that and the server's response. In the file it is named as ``"package.module:function"``.
    required : bool
        Whether every requestor has to state one.
    """

    check: IdentityCheck = field(converter=_as_check)
    required: bool = field(default=True, validator=FLAG)


@frozen(kw_only=True)
class Settings:
    """What the file says.

    Parameters
    ----------
    ae_title : str, optional
        The AE title of the archive, instead of what the command line says.
    require_called : bool, optional
        Whether a requestor has to call that title; without it, as it was set before.
    maximum_associations : int, optional
        How many associations are served at a time.
    maximum_bytes : int, optional
        How much the archive keeps: when it has so much, C-STORE is answered with A700H (out of resources).
    minimum_free_bytes : int
        How much of the disk is left free: when it is less, C-STORE is answered with A700H.
    user_identity : UserIdentity, optional
        Who decides about user identities; without it they are not looked at.
    destinations : mapping of str to Destination
        Where a C-MOVE may send to, by AE title.
    access : Access
        Who may do what; without any rules, everybody may do everything.
    """

    ae_title: str | None = field(default=None, converter=as_optional_title)
    require_called: bool | None = field(default=None, validator=OPTIONAL_FLAG)
    maximum_associations: int | None = field(default=None, validator=optional(integer(1, 1 << 31)))
    maximum_bytes: int | None = field(default=None, validator=optional(integer(1, 1 << 60)))
    minimum_free_bytes: int = field(default=64 << 20, validator=integer(0, 1 << 60))
    user_identity: UserIdentity | None = field(metadata=table(UserIdentity), default=None)
    destinations: Mapping[str, Destination] = field(
        metadata=named(Destination), factory=dict, converter=_as_destinations
    )
    access: Access = field(metadata=array(Rule), factory=Access, converter=_as_access)

    def __attrs_post_init__(self) -> None:
        if self.user_identity is None and any(rule.user_identity for rule in self.access.rules):
            raise InvalidSettingError("access.user_identity: there is no [user_identity] whose check could accept one")

    def apply(self, ae: ApplicationEntity) -> None:
        """Set what an application entity decides itself; servers that run follow with their next request."""
        if self.require_called is not None:
            ae.require_called_aet = self.require_called
        if self.maximum_associations is not None:
            ae.maximum_associations = self.maximum_associations
        ae.require_user_identity = self.user_identity is not None and self.user_identity.required
        ae.maximum_by_calling_aet = self.access.maximum_by_calling_aet
        ae.maximum_by_address = self.access.maximum_by_address

    def identify(self, event: Any) -> Any:
        """Decide about a user identity: a handler of ``EVT_USER_ID``. Without a check, none is refused."""
        return True if self.user_identity is None else self.user_identity.check(event)


def read_settings(file: str | os.PathLike[str]) -> Settings:
    """Read a file.

    Raises
    ------
    SettingsError
        If it cannot be read, is no TOML, or has a mistake.
    """
    path = Path(file)
    try:
        with path.open("rb") as source:
            data = source.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise SettingsError(f"{path}: a file with settings is not longer than {_MOST_BYTES} bytes")
        content = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}") from error
    try:
        return Tables(path.parent).read(Settings, content)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


class SettingsFile:
    """A file with settings that is read again while a server runs.

    Parameters
    ----------
    path : path
        The file.
    on_change : callable, optional
        Called with the new settings whenever the file has been read again.

    Attributes
    ----------
    current : Settings
        What it said when it was read last without a mistake.

    Raises
    ------
    SettingsError
        As :func:`read_settings`.
    """

    def __init__(self, path: str | os.PathLike[str], on_change: Callable[[Settings], object] | None = None) -> None:
        self.path = Path(path)
        self.on_change = on_change
        self.current = read_settings(path)

    def reload(self) -> bool:
        """Read the file again; return whether it could be used. If not, the log says why, and nothing changes."""
        try:
            settings = read_settings(self.path)
        except SettingsError as error:
            _log.error("! the settings stay as they were: %s", error)
            return False
        self.current = settings
        if self.on_change is not None:
            self.on_change(settings)
        _log.info("= the settings have been read again: %s", self.path)
        return True
