"""All 13 x 19 cells of Table 9-10, through the public face: what is sent and told, which timers run, where it leads."""

from collections.abc import Callable
from typing import Any

import pytest

from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import Tolerance
from dicom_proto.testing.pair import answer, drain, offer, sent
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    Released,
    ReleaseRequested,
)
from dicom_proto.upper_layer.pdu import (
    PDV,
    AAbort,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    decode_pdu,
    encode_pdu,
)
from dicom_proto.upper_layer.state_table import ACTIONS, TABLE, Action, Event, State
from dicom_proto.upper_layer.timers import Timeouts
from tests.proto.rows import for_each

ONLY_ARTIM = Timeouts(artim=10, request=None, release=None, response=None, idle=None)
RQ, RP, OFFER = AReleaseRQ(), AReleaseRP(), offer()
DATA = PDataTF((PDV(1, True, True, b"ab"),))


def receive(machine: Association, pdu: Any) -> None:
    machine.receive_data(encode_pdu(pdu), now=0)


def in_state(state: State) -> Association:
    """Bring a fresh machine into a state; whatever it had to say has been taken away."""
    machine = Association(timeouts=ONLY_ARTIM, tolerance=Tolerance(early_pdus=False, late_data=False))
    is_acceptor = state in (State.Sta2, State.Sta3, State.Sta10, State.Sta12)
    if state is not State.Sta1:
        steps: list[Callable[[], None]] = [
            lambda: machine.connection_made(now=0),
            lambda: receive(machine, OFFER),
            lambda: machine.accept(answer(OFFER)),
        ]
        if not is_acceptor:
            steps = [
                lambda: machine.request(OFFER),
                lambda: machine.connection_made(now=0),
                lambda: receive(machine, answer(OFFER)),
            ]
        later: dict[State, list[Callable[[], None]]] = {
            State.Sta7: [machine.release],
            State.Sta8: [lambda: receive(machine, RQ)],
            State.Sta9: [machine.release, lambda: receive(machine, RQ)],
            State.Sta10: [machine.release, lambda: receive(machine, RQ)],
            State.Sta11: [machine.release, lambda: receive(machine, RQ), machine.confirm_release],
            State.Sta12: [machine.release, lambda: receive(machine, RQ), lambda: receive(machine, RP)],
            State.Sta13: [machine.abort],
        }
        early = {State.Sta2: 1, State.Sta3: 2, State.Sta4: 1, State.Sta5: 2}
        for step in steps[: early.get(state, 3)] + later.get(state, []):
            step()
            drain(machine)
            sent(machine)
    assert machine.state is state
    return machine


INJECT: dict[Event, Callable[[Association], None]] = {
    Event.Evt1: lambda machine: machine.request(OFFER),
    Event.Evt2: lambda machine: machine.connection_made(now=0),
    Event.Evt3: lambda machine: receive(machine, answer(OFFER)),
    Event.Evt4: lambda machine: receive(machine, AAssociateRJ(1, 1, 1)),
    Event.Evt5: lambda machine: machine.connection_made(now=0),
    Event.Evt6: lambda machine: receive(machine, OFFER),
    Event.Evt7: lambda machine: machine.accept(answer(OFFER)),
    Event.Evt8: lambda machine: machine.reject(AAssociateRJ(1, 1, 1)),
    Event.Evt9: lambda machine: machine.send_fragment(1, b"ab", command=True, last=True),
    Event.Evt10: lambda machine: receive(machine, DATA),
    Event.Evt11: lambda machine: machine.release(),
    Event.Evt12: lambda machine: receive(machine, RQ),
    Event.Evt13: lambda machine: receive(machine, RP),
    Event.Evt14: lambda machine: machine.confirm_release(),
    Event.Evt15: lambda machine: machine.abort(),
    Event.Evt16: lambda machine: receive(machine, AAbort(2, 4)),
    Event.Evt17: lambda machine: machine.receive_eof(now=0),
    Event.Evt18: lambda machine: machine.handle_timeout(1000),
    Event.Evt19: lambda machine: machine.receive_data(b"\x99\0\0\0\0\4abcd", now=0),
}

# PDUs sent, events told and whether ARTIM runs afterwards (in Sta1 nothing does), for each action.
EFFECTS: dict[str, tuple[list[str], list[type], bool]] = {
    "AE-1": ([], [], False),
    "AE-2": (["AAssociateRQ"], [], False),
    "AE-3": ([], [AssociateAccepted], False),
    "AE-4": ([], [AssociateRejected], False),
    "AE-5": ([], [], True),
    "AE-6": ([], [AssociateRequested], False),
    "AE-7": (["AAssociateAC"], [], False),
    "AE-8": (["AAssociateRJ"], [], True),
    "DT-1": (["PDataTF"], [], False),
    "DT-2": ([], [FragmentReceived], False),
    "AR-1": (["AReleaseRQ"], [], False),
    "AR-2": ([], [ReleaseRequested], False),
    "AR-3": ([], [Released], False),
    "AR-4": (["AReleaseRP"], [], True),
    "AR-5": ([], [], False),
    "AR-6": ([], [FragmentReceived], False),
    "AR-7": (["PDataTF"], [], False),
    "AR-8": ([], [ReleaseRequested], False),
    "AR-9": (["AReleaseRP"], [], False),
    "AR-10": ([], [Released], False),
    "AA-1": (["AAbort 0 0"], [], True),
    "AA-2": ([], [], False),
    "AA-3": ([], [Aborted], False),
    "AA-4": ([], [Aborted], False),
    "AA-5": ([], [], False),
    "AA-6": ([], [], True),
    "AA-7": (["AAbort 2 2"], [], True),
    "AA-8": (["AAbort 2"], [Aborted], True),
}
PROVIDER_FAULTS = {Event.Evt3, Event.Evt4, Event.Evt10, Event.Evt12, Event.Evt13, Event.Evt19}


def pdus(data: bytes) -> list[str]:
    names = []
    while data:
        length = int.from_bytes(data[2:6], "big")
        pdu = decode_pdu(data[0], data[6 : 6 + length])
        names.append(f"AAbort {pdu.source} {int(pdu.reason)}" if isinstance(pdu, AAbort) else type(pdu).__name__)
        data = data[6 + length :]
    return names


@for_each("event", Event, ids=lambda event: event.name)
@for_each("state", State, ids=lambda state: state.name)
def test_cell(state: State, event: Event) -> None:
    machine = in_state(state)
    action = TABLE.get((event, state))
    if action is None:
        cannot_happen(machine, state, event)
        return
    INJECT[event](machine)
    told = [item for item in drain(machine) if not isinstance(item, ConnectionClosed)]
    says = pdus(sent(machine))
    sends, tells, artim = EFFECTS[action.value]
    if action is Action.AA_1 and event in PROVIDER_FAULTS:  # the user is told in Sta2 too, where the table tells nobody
        tells = [Aborted]
    if (state, event) == (State.Sta2, Event.Evt18):  # and that nobody asked for an association in time
        told = told[1:]
    if action is Action.AA_8:
        sends = ["AAbort 2 1" if event is Event.Evt19 else "AAbort 2 2"]
    if event is Event.Evt19 and action is Action.AA_7:
        sends = ["AAbort 2 2"]
    assert says == sends
    assert [type(item) for item in told] == tells
    assert (machine.next_deadline() is not None) is artim
    assert machine.state is expected_state(action, machine)
    assert machine.wants_close is (machine.state is State.Sta1)


def expected_state(action: Action, machine: Association) -> State:
    states = ACTIONS[action].next_states
    return states[-1] if action is Action.AR_8 and not machine.is_requestor else states[0]


def cannot_happen(machine: Association, state: State, event: Event) -> None:
    """A cell without an action: a verb raises, a timer that does not run does nothing, and nothing has changed."""
    if event is Event.Evt15:
        machine.abort()
        state = State.Sta1 if state is State.Sta2 else state  # before there is an association, the transport is closed
    elif event is Event.Evt18:
        machine.handle_timeout(1000)
    elif (event, state) in {(Event.Evt2, State.Sta1), (Event.Evt5, State.Sta4)}:
        return  # the transport has one way to tell that it is open: what it means depends on the state
    else:
        with pytest.raises(LocalProtocolError):
            INJECT[event](machine)
    assert machine.state is state
    assert sent(machine) == b""
