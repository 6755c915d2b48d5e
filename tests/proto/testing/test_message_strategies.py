import pytest
from hypothesis import given

from dicom_proto.dimse.messages import MESSAGES, decode_message, encode_message
from dicom_proto.testing import message_strategies
from tests.proto.profiles import times


@times(30)
@given(message_strategies.messages)
def test_what_is_drawn_may_be_sent(drawn):
    message, has_data_set = drawn
    assert decode_message(encode_message(message, has_data_set=has_data_set)) == drawn


@pytest.mark.parametrize("command_field", sorted(MESSAGES))
def test_each_class_has_a_strategy(command_field):
    @times(0.2)
    @given(message_strategies.MESSAGE_STRATEGIES[command_field])
    def draws(drawn):
        assert type(drawn[0]) is MESSAGES[command_field]

    draws()
