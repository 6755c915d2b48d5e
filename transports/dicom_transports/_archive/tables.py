"""Tables of a TOML file become objects: each attribute of an attrs class is a key, and says itself what it takes.

May change.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from attrs import NOTHING, Attribute, fields, frozen

from dicom_proto.errors import InvalidNameError, InvalidSettingError

__all__ = ["PATH", "SettingsError", "Tables", "array", "named", "table"]

_T = TypeVar("_T")
_READ: Final = "dicom_transports._archive.tables"


class SettingsError(InvalidSettingError):
    """A file with settings has a mistake, or cannot be read: the text names the key, and says what would be right."""


@frozen
class Tables:
    """Makes objects of the tables of a file.

    Parameters
    ----------
    folder : Path
        That of the file: paths in it are relative to that.
    """

    folder: Path

    def read(self, kind: type[_T], value: Any, key: str = "") -> _T:
        """Make an object of a table.

        Parameters
        ----------
        kind : type
            An attrs class whose attributes are the keys. Their converters and validators raise
            :class:`~dicom_proto.errors.InvalidSettingError` or :class:`~dicom_proto.errors.InvalidNameError`.
        value : mapping
            The table.
        key : str
            What it is called in the file; empty for the file itself.

        Raises
        ------
        SettingsError
            If it is no table, lacks a key that is required, has one that there is not, or a value does not fit.
        """
        if not isinstance(value, Mapping):
            raise SettingsError(f"{key}: this has to be a table, not {value!r}")
        attributes: Sequence[Attribute[Any]] = fields(cast(Any, kind))
        known = {one.name: one for one in attributes if one.init}
        for name in value:
            if name not in known:
                raise SettingsError(f"{_within(key, name)}: there is no such key{_hint(name, known)}")
        for name, one in known.items():
            if name not in value and one.default is NOTHING:
                raise SettingsError(f"{_within(key, name)}: this key is required")
        made = {name: self._value(known[name], given, _within(key, name)) for name, given in value.items()}
        try:
            return kind(**made)
        except InvalidSettingError as error:  # of several keys together
            raise _explained(key, error) from error

    def _value(self, one: "Attribute[Any]", given: Any, key: str) -> Any:
        read = one.metadata.get(_READ)
        if read is not None:
            given = read(self, given, key)
        try:
            value = given if one.converter is None else cast(Any, one.converter)(given)
            if one.validator is not None:
                one.validator(None, one, value)
        except (InvalidSettingError, InvalidNameError) as error:
            raise _explained(key, error) from error
        return given


def _within(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _hint(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, 1)
    return f": do you mean {near[0]}?" if near else f" (there are {', '.join(known)})"


def _explained(key: str, error: Exception) -> SettingsError:
    return error if isinstance(error, SettingsError) else SettingsError(f"{key}: {error}" if key else str(error))


# --- metadata of the attributes of such a class -----------------------------------------------------------------------


def table(kind: type) -> dict[str, Any]:
    """Say that a key is a table of its own."""
    return {_READ: lambda tables, value, key: tables.read(kind, value, key)}


def named(kind: type) -> dict[str, Any]:
    """Say that a key is a table of tables, each under a name that the user chooses."""

    def read(tables: Tables, value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SettingsError(f"{key}: this has to be a table of tables, such as [{key}.NAME]")
        return {name: tables.read(kind, one, _within(key, name)) for name, one in value.items()}

    return {_READ: read}


def array(kind: type) -> dict[str, Any]:
    """Say that a key is an array of tables; in what is said of a mistake they are numbered from 1."""

    def read(tables: Tables, value: Any, key: str) -> list[Any]:
        if not isinstance(value, list):
            raise SettingsError(f"{key}: this has to be an array of tables: [[{key}]]")
        return [tables.read(kind, one, f"{key}[{number}]") for number, one in enumerate(value, start=1)]

    return {_READ: read}


def _read_path(tables: Tables, value: Any, key: str) -> Path:
    if not isinstance(value, str):
        raise SettingsError(f"{key}: this has to be the path of a file, not {value!r}")
    return tables.folder / value


PATH: Final[Mapping[str, Any]] = {_READ: _read_path}
"""Says that a key is the path of a file, relative to the folder of the settings."""
