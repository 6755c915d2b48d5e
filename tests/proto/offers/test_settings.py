"""Validators of what users set."""

from typing import Any

import pytest
from attrs import define, field

from dicom_proto.errors import InvalidSettingError, LocalProtocolError
from dicom_proto.offers._settings import (
    FLAG,
    MAXIMUM_LENGTH,
    OCTETS,
    OPTIONAL_FLAG,
    SECONDS,
    as_seconds,
    check,
    integer,
)
from tests.proto.rows import for_each


@define
class Settings:
    flag: Any = field(default=False, validator=FLAG)
    perhaps: Any = field(default=None, validator=OPTIONAL_FLAG)
    octets: Any = field(default=None, validator=OCTETS)
    seconds: Any = field(default=None, validator=SECONDS)
    length: Any = field(default=0, validator=MAXIMUM_LENGTH)
    count: Any = field(default=1, validator=integer(1, 5, None))
    even: Any = field(default=2, validator=check(lambda value: value % 2 == 0, "even"))


@for_each(
    ("name", "value"),
    [
        ("flag", True),
        *(("perhaps", value) for value in (None, True, False)),
        *(("octets", value) for value in (None, b"", b"x")),
        *(("seconds", value) for value in (None, 1, 0.001)),
        *(("length", value) for value in (0, 8, 16382, 0xFFFFFFFF)),
        *(("count", value) for value in (1, 5, None)),
        ("even", 0),
    ],
)
def test_what_fits_is_taken(name: str, value: object) -> None:
    settings = Settings()
    setattr(settings, name, value)
    assert getattr(settings, name) == value


@for_each(
    ("name", "value"),
    [
        *(("flag", value) for value in (None, 1, "yes")),
        *(("perhaps", value) for value in (1, "yes")),
        *(("octets", value) for value in ("x", 1, bytearray(b"x"))),
        *(("seconds", value) for value in (0, -1, "30", float("inf"), float("nan"))),
        *(("length", value) for value in (-1, 1, 7, 1 << 32, 8.0, "8", None)),
        *(("count", value) for value in (0, 6, "1", 1.5)),
        ("even", 1),
    ],
)
def test_what_does_not_fit_changes_nothing(name: str, value: object) -> None:
    settings = Settings()
    with pytest.raises(InvalidSettingError, match=f"^{name} is "):
        setattr(settings, name, value)
    assert settings == Settings()


def test_no_seconds_are_no_limit() -> None:
    assert [as_seconds(value) for value in (0, 0.0, None, 1, 0.5, "0")] == [None, None, None, 1, 0.5, "0"]


def test_the_error_is_what_users_of_pynetdicom_catch() -> None:
    for kind in (LocalProtocolError, ValueError, TypeError):
        with pytest.raises(kind, match=r"^count is an integer from 1 to 5, or None, not 6$"):
            Settings(count=6)


def test_a_passcode_in_the_wrong_place_is_not_shown() -> None:
    with pytest.raises(InvalidSettingError, match=r"^octets is bytes or None, not str$"):
        Settings(octets="secret")
