import pytest

from dicom_proto.dimse.connection import Connection
from dicom_proto.testing.pair import CT, associate, drain, every, exchange, offer, sent, whole
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import AssociateAccepted, AssociateRequested, ConnectionClosed, Released
from dicom_proto.upper_layer.state_table import State


@pytest.mark.parametrize("machine", [Association, Connection])
@pytest.mark.parametrize("cut", [whole, every(1), every(7)])
def test_two_machines_associate_and_release(machine, cut):
    one, other = machine(), machine()
    events = associate(one, other, offer(CT), cut=cut)
    assert [type(event) for event in events[0]] == [AssociateAccepted]
    assert [type(event) for event in events[1]] == [AssociateRequested]
    one.release()
    exchange(one, other, cut=cut)
    other.confirm_release()
    ends = exchange(one, other, cut=cut)
    assert [type(event) for event in ends[0]] == [Released, ConnectionClosed]
    assert type(ends[1][-1]) is ConnectionClosed
    assert one.state is other.state is State.Sta1


def test_one_of_them_alone():
    one = Association()
    one.request(offer())
    one.connection_made(now=0)
    assert sent(one)[:1] == b"\1"
    assert drain(one) == []
    one.receive_eof(now=1)
    assert type(drain(one)[-1]) is ConnectionClosed


def test_whole_is_nothing_for_nothing():
    assert list(whole(b"")) == list(every(3)(b"")) == []
