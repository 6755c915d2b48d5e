"""The namespace ``evt``."""

from dicom_proto.handlers import evt, kinds
from dicom_proto.handlers.event import Event
from dicom_proto.handlers.registry import Handlers


def test_it_has_the_events_and_their_types() -> None:
    assert evt.EVT_C_ECHO is kinds.EVT_C_ECHO
    assert set(kinds.__all__) < set(evt.__all__)
    assert all(isinstance(getattr(evt, name), evt.EventType) for name in evt.__all__ if name.startswith("EVT_"))
    assert len([name for name in evt.__all__ if name.startswith("EVT_")]) == 32
    assert issubclass(evt.RequestEvent, evt.Event)
    assert evt.Event is Event


def test_handlers_are_stated_by_its_type() -> None:
    bound: list[evt.EventHandlerType] = [(evt.EVT_C_ECHO, lambda _: 0), (evt.EVT_ABORTED, print, ["aborted"])]
    assert set(Handlers(bound).kinds()) == {evt.EVT_C_ECHO, evt.EVT_ABORTED}
