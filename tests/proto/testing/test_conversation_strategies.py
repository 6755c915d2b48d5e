from hypothesis import given

from dicom_proto.testing import conversation_strategies as strategies
from dicom_proto.testing.conversations import DISORDERS
from dicom_proto.testing.faults import FAULTS
from dicom_proto.testing.structure import mend_lengths, split
from dicom_proto.upper_layer.events import Aborted
from tests.proto.profiles import times
from tests.proto.testing.test_conversations import told


@times(3)
@given(strategies.encoded_pdus)
def test_pdus_on_the_wire(data):
    assert mend_lengths(data) == data


@times(10)
@given(strategies.almost_valid_pdus)
def test_what_is_almost_valid_says_which_rule_it_breaks(broken):
    (fault,) = [fault for fault in FAULTS if fault.label == broken.label]
    assert broken.clause == fault.clause
    assert len(broken.pdus) == 1


@times(3)
@given(strategies.conversations())
def test_conversations_are_valid(said):
    assert split(b"".join(said))[0] == said[0]
    assert not any(isinstance(event, Aborted) and event.error is not None for event in told(said))


@times(10)
@given(strategies.almost_valid_conversations)
def test_almost_valid_conversations_say_which_rule_they_break(broken):
    assert broken.label in {rule.label for rule in (*FAULTS, *DISORDERS)}
    told(broken.pdus)
