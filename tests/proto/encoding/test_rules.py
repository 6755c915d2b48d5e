"""Settings of whoever sends data sets."""

from typing import Any

import pytest

from dicom_proto.encoding.rules import DEFAULT_RULES, EncodingRules
from tests.proto.rows import for_each


def test_by_default_nothing_is_made_of_what_somebody_has_stated() -> None:
    assert EncodingRules(state_utf_8=False, long_values="un") == DEFAULT_RULES


@for_each("wrong", [{"state_utf_8": 1}, {"long_values": "OB"}])
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        EncodingRules(**wrong)
