"""The events that handlers are bound to, and which of them is which."""

import pickle

from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.kinds import EventKind

KINDS = [kind for kind in vars(evt).values() if isinstance(kind, EventKind)]


def test_there_are_the_events_that_people_know() -> None:
    assert len([kind for kind in KINDS if kind.is_intervention]) == 16
    assert len([kind for kind in KINDS if kind.is_notification]) == 17
    assert all(getattr(evt, str(kind)) is kind and kind.description for kind in KINDS)


def test_there_is_one_of_each_event_in_a_process() -> None:
    assert pickle.loads(pickle.dumps(evt.EVT_C_ECHO)) is evt.EVT_C_ECHO


def test_an_event_either_intervenes_or_notifies() -> None:
    """A service needs an answer from an intervention; from how many handlers a notification has, none."""
    interventions = {str(kind) for kind in KINDS if kind.is_intervention}
    assert interventions == {
        f"EVT_{name}"
        for name in (
            *("ACCESS", "ASYNC_OPS", "SOP_COMMON", "SOP_EXTENDED", "USER_ID"),
            *("C_ECHO", "C_FIND", "C_GET", "C_MOVE", "C_STORE"),
            *("N_ACTION", "N_CREATE", "N_DELETE", "N_EVENT_REPORT", "N_GET", "N_SET"),
        )
    }
    assert all(kind.is_notification != kind.is_intervention for kind in KINDS)
