"""What the upper layer tells: events are values, and none can be forgotten in a match."""

from typing import Any, get_args

import pytest
from attrs.exceptions import FrozenInstanceError

from dicom_proto.upper_layer import events
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateRejected,
    ConnectionClosed,
    FragmentReceived,
    Tolerated,
    UpperLayerEvent,
)


def test_the_union_has_each_event() -> None:
    """``Tolerated`` is none: it is told at once, and nothing has to be done about it."""
    named = {getattr(events, name) for name in events.__all__ if name != "UpperLayerEvent"}
    assert set(get_args(UpperLayerEvent)) == named - {AbortOrigin, Tolerated}


def test_events_are_values_that_stay_as_they_are() -> None:
    rejected: Any = AssociateRejected(result=1, source=1, reason=7)
    assert rejected == AssociateRejected(result=1, source=1, reason=7)
    assert len({rejected, AssociateRejected(result=1, source=1, reason=7), ConnectionClosed()}) == 2
    with pytest.raises(FrozenInstanceError):
        rejected.reason = 3


def test_an_abort_need_not_have_a_reason() -> None:
    """PS3.8 9.3.8: the field is not significant unless the source is the UL service-provider."""
    lost = Aborted(origin=AbortOrigin.TRANSPORT)
    assert (lost.reason, lost.error) == (0, None)
    assert lost != Aborted(origin=AbortOrigin.PEER_USER)


def test_fragments_are_compared_by_what_they_carry() -> None:
    whole = memoryview(b"abcd")
    assert FragmentReceived(1, False, True, whole[:2]) == FragmentReceived(1, False, True, memoryview(b"ab"))
    assert FragmentReceived(1, False, True, whole) != FragmentReceived(1, True, True, whole)
