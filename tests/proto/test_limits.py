"""The bounds of the core: what they may be, and that none can be changed."""

from typing import Any

import pytest
from attrs import asdict, evolve
from attrs.exceptions import FrozenInstanceError

from dicom_proto.limits import DEFAULT_LIMITS, DEFAULT_TOLERANCE, SMALLEST_MAXIMUM_LENGTH, Limits, Tolerance
from tests.proto.rows import for_each


@for_each(
    ("name", "least", "most"),
    [
        ("associate_length", 256, None),
        ("fixed_length", 4, None),  # PS3.8 9.3.4, 9.3.6 to 9.3.8
        ("receive_buffer", 1024, None),
        ("send_pdu_length", SMALLEST_MAXIMUM_LENGTH, 0xFFFFFFFF),  # what the PDU length field can say
        ("send_queue", 1, None),
        ("command_set", 256, None),
        ("data_set", 0, None),
        ("data_set_elements", 1, None),
        ("data_set_depth", 0, 100),
        ("inflated_data_set", 0, None),
        ("inflation_ratio", 1, None),
        ("instance_uid", 64, 0xFFFE),  # PS3.5 9.1, and what a length of 16 bits can say
        ("operations", 1, 0xFFFF),  # PS3.7 D.3.3.3
    ],
)
def test_what_a_bound_may_be(name: str, least: int, most: int | None) -> None:
    for value in (least, most or 1 << 40):
        assert getattr(Limits(**{name: value}), name) == value
    for value in (least - 1, *([] if most is None else [most + 1])):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: value})


def test_the_defaults() -> None:
    assert Limits() == DEFAULT_LIMITS
    assert Tolerance() == DEFAULT_TOLERANCE
    assert set(asdict(DEFAULT_TOLERANCE).values()) == {True}  # tolerant in what is received


@for_each("record", [DEFAULT_LIMITS, DEFAULT_TOLERANCE])
def test_none_can_be_changed(record: Any) -> None:
    """All associations share the defaults."""
    for name in asdict(record):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 1)
    assert evolve(record) == record
