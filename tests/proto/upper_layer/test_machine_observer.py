"""Those who watch a machine: its transitions, where it stands in the stream, and its log."""

import logging

import pytest

from dicom_proto.testing.pair import answer, associate, exchange
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.machine import Transition
from dicom_proto.upper_layer.pdu import AAbort, AReleaseRQ, encode_pdu
from dicom_proto.upper_layer.state_table import Action, Event, State
from tests.proto.upper_layer.machines import OFFER, acceptor, fed, p_data, pdv, send


def test_every_transition_is_observed() -> None:
    one, other = Association(), Association()
    seen: list[Transition] = []
    one.observer = seen.append
    associate(one, other)
    one.release()
    exchange(one, other)
    other.confirm_release()
    exchange(one, other)
    assert [(step.before.name, step.event.name, step.action.value, step.after.name) for step in seen] == [
        ("Sta1", "Evt1", "AE-1", "Sta4"),
        ("Sta4", "Evt2", "AE-2", "Sta5"),
        ("Sta5", "Evt3", "AE-3", "Sta6"),
        ("Sta6", "Evt11", "AR-1", "Sta7"),
        ("Sta7", "Evt13", "AR-3", "Sta1"),
    ]


def test_transitions_that_stay_are_observed() -> None:
    machine = acceptor()
    seen: list[Transition] = []
    assert machine.observer is None
    machine.observer = observer = seen.append
    assert machine.observer is observer
    fed(machine, p_data(pdv()))
    send(machine)
    assert seen == [
        Transition(State.Sta6, Event.Evt10, Action.DT_2, State.Sta6),
        Transition(State.Sta6, Event.Evt9, Action.DT_1, State.Sta6),
    ]
    machine.observer = None
    fed(machine, AAbort(0))
    assert len(seen) == 2


def test_state_that_an_action_chooses() -> None:
    machine = Association()
    seen: list[Transition] = []
    machine.observer = seen.append
    machine.connection_made(now=0)
    request = bytearray(encode_pdu(OFFER))
    request[7] = 2  # the protocol version
    fed(machine, bytes(request))
    assert seen[-1] == Transition(State.Sta2, Event.Evt6, Action.AE_6, State.Sta13)


def test_log_of_pdus_and_transitions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto.upper_layer")
    machine = acceptor()
    fed(machine, p_data(pdv(b"secret")), AReleaseRQ())
    lines = [record.getMessage() for record in caplog.records]
    assert lines[-3:] == [
        f"< P_DATA_TF, {len(p_data(pdv(b'secret')))} bytes",
        "< A_RELEASE_RQ, 10 bytes",
        "= Sta6 Evt12 AR-2 Sta8",
    ]
    assert f"> A_ASSOCIATE_AC, {len(encode_pdu(answer(OFFER)))} bytes" in lines
