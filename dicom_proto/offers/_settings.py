"""Validators for attributes that users set: what does not fit is refused at once, with the name of the attribute."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import Attribute

from dicom_proto.errors import InvalidSettingError
from dicom_proto.limits import SMALLEST_MAXIMUM_LENGTH

__all__ = [
    "FLAG",
    "MAXIMUM_LENGTH",
    "OCTETS",
    "OPTIONAL_FLAG",
    "SECONDS",
    "Validator",
    "as_seconds",
    "check",
    "integer",
]

Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


def check(fits: Callable[[Any], bool], expected: str) -> Validator:
    """Return a validator that raises :class:`~dicom_proto.errors.InvalidSettingError` for what does not fit."""

    def validate(_: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if not fits(value):
            # A passcode may have been put in the wrong place: what is not a number is shown by its type only.
            found = repr(value) if value is None or isinstance(value, int | float) else type(value).__name__
            raise InvalidSettingError(f"{attribute.name} is {expected}, not {found}")

    return validate


def integer(low: int, high: int, *others: int | None) -> Validator:
    """Return a validator for integers from ``low`` to ``high``, and a few other values."""
    words = "".join(f", or {other}" for other in others)
    return check(
        lambda value: (isinstance(value, int) and low <= value <= high) or value in others,
        f"an integer from {low} to {high}{words}",
    )


FLAG: Final = check(lambda value: isinstance(value, bool), "True or False")
OPTIONAL_FLAG: Final = check(lambda value: value is None or isinstance(value, bool), "True, False or None")
OCTETS: Final = check(lambda value: value is None or isinstance(value, bytes), "bytes or None")
SECONDS: Final = check(
    lambda value: value is None or (isinstance(value, int | float) and 0 < value < float("inf")),
    "a number of seconds, or None or 0 for no limit",
)


def as_seconds(value: Any) -> Any:
    """Return a timeout as it is kept: 0 is none, because what must not take any time cannot be had."""
    return None if isinstance(value, int | float) and value == 0 else value


MAXIMUM_LENGTH: Final = integer(SMALLEST_MAXIMUM_LENGTH, 0xFFFFFFFF, 0)
