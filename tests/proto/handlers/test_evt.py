"""The namespace ``evt``: all that pynetdicom's has, and nothing that is not meant."""

from dicom_proto.handlers import event, evt, kinds, registry


def test_it_has_the_events_and_the_types() -> None:
    for name in kinds.__all__:
        assert getattr(evt, name) is getattr(kinds, name)
    assert (evt.Event, evt.RequestEvent, evt.EventHandlerType) == (event.Event, event.RequestEvent, registry.Bindable)
    assert evt.EventType is type(evt.EVT_C_ECHO)


def test_what_a_star_imports() -> None:
    everything: dict[str, object] = {}
    exec("from dicom_proto.handlers.evt import *", everything)
    names = everything.keys() - {"__builtins__"}
    assert names == {*evt.__all__}
    assert {"EVT_C_STORE", "EVT_CONN_OPEN", "Event"} <= names
    assert "kinds" not in names
