"""What handlers are told of what passes between two application entities."""

import logging
import threading
from contextlib import suppress
from typing import Any

import pytest

from dicom_proto.errors import NotEstablishedError
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.upper_layer.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    decode_pdu,
)
from dicom_transports.blocking import AE, evt
from tests.contract.adapters import WAIT, Peer
from tests.contract.entities import FIND, Happened, ct, dataset, dial, entity, serving

pytestmark = pytest.mark.usefixtures("adapter")

RECEIVED = (evt.EVT_DATA_RECV, evt.EVT_PDU_RECV, evt.EVT_ACSE_RECV, evt.EVT_DIMSE_RECV)
SENT = (evt.EVT_DATA_SENT, evt.EVT_PDU_SENT, evt.EVT_ACSE_SENT, evt.EVT_DIMSE_SENT)
LIFE = (evt.EVT_CONN_OPEN, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED, evt.EVT_RELEASED)
END = (evt.EVT_ABORTED, evt.EVT_CONN_CLOSE)


def bound(happened: Happened, *kinds: Any) -> list[Any]:
    return [(kind, happened) for kind in kinds]


def of(happened: Happened, kind: Any) -> list[Any]:
    return [event for event in happened.events if event.event is kind]


def small(**settings: Any) -> AE:
    return entity("SCU", Verification, **settings)


def transitions(happened: Happened) -> list[tuple[str, str, str, str]]:
    return [
        (event.current_state, event.fsm_event, event.action, event.next_state)
        for event in of(happened, evt.EVT_FSM_TRANSITION)
    ]


def test_echo_as_both_sides_see_it() -> None:
    ours, theirs = Happened(), Happened()
    kinds = (*RECEIVED, *SENT, *LIFE, *END)
    with serving(*bound(theirs, *kinds)) as server:
        association = dial(server, *bound(ours, *kinds), ae=small())
        association.send_c_echo()
        association.release()
        ours.wait("CONN_CLOSE")
        theirs.wait("CONN_CLOSE")
    associating = ["CONN_OPEN", "REQUESTED", "DATA_SENT", "PDU_SENT", "ACSE_SENT", "DATA_RECV", "PDU_RECV", "ACSE_RECV"]
    request = ["DATA_SENT", "PDU_SENT", "DIMSE_SENT"]
    response = ["DATA_RECV", "PDU_RECV", "DIMSE_RECV"]
    releasing = [*associating[2:], "RELEASED", "CONN_CLOSE"]
    assert ours.names == [*associating, "ACCEPTED", "ESTABLISHED", *request, *response, *releasing]
    mirrored = [name.replace("SENT", "?").replace("RECV", "SENT").replace("?", "RECV") for name in ours.names]
    assert [name for name in theirs.names if "_" in name] == [name for name in mirrored if "_" in name]
    assert theirs.names.index("REQUESTED") == theirs.names.index("ACSE_RECV") + 1
    for kind, other in zip((*RECEIVED, *SENT), (*SENT, *RECEIVED), strict=True):
        assert len(of(ours, kind)) == len(of(theirs, other)) > 0


def test_attributes() -> None:
    ours, theirs = Happened(), Happened()
    kinds = (*RECEIVED, *SENT, evt.EVT_CONN_OPEN, evt.EVT_CONN_CLOSE)
    with serving(*bound(theirs, *kinds)) as server:
        association = dial(server, *bound(ours, *kinds), ae=small())
        association.send_c_echo(msg_id=9)
        association.release()
        ours.wait("CONN_CLOSE")
        theirs.wait("CONN_CLOSE")
        address = server.address
    assert {event.address for event in ours.events if "CONN" in event.name} == {address}
    ((host, port),) = {event.address for event in theirs.events if "CONN" in event.name}
    assert host == "127.0.0.1"
    assert port not in {0, address[1]}
    sent = [event.data for event in of(ours, evt.EVT_DATA_SENT)]
    assert sent == [event.data for event in of(theirs, evt.EVT_DATA_RECV)]
    assert all(type(data) is bytes for data in sent)
    pdus = [event.pdu for event in of(ours, evt.EVT_PDU_SENT)]
    assert pdus == [decode_pdu(data[0], data[6:]) for data in sent]
    assert [type(pdu) for pdu in pdus] == [AAssociateRQ, PDataTF, AReleaseRQ]
    assert [type(event.primitive) for event in of(theirs, evt.EVT_ACSE_SENT)] == [AAssociateAC, AReleaseRP]
    (request,) = [event.message for event in of(theirs, evt.EVT_DIMSE_RECV)]
    assert (request.msg_type, request.MessageID, request.AffectedSOPClassUID) == ("C-ECHO-RQ", 9, Verification)
    (response,) = [event.message for event in of(ours, evt.EVT_DIMSE_RECV)]
    assert (response.msg_type, response.MessageIDBeingRespondedTo, response.Status) == ("C-ECHO-RSP", 9, 0)
    assert all(event.assoc == association and event.timestamp is not None for event in ours.events)


def test_states_of_both_sides() -> None:
    ours, theirs = Happened(), Happened()
    kinds = (evt.EVT_FSM_TRANSITION, evt.EVT_CONN_CLOSE)
    with serving(*bound(theirs, *kinds)) as server:
        dial(server, *bound(ours, *kinds), ae=small()).release()
        ours.wait("CONN_CLOSE")
        theirs.wait("CONN_CLOSE")
    assert transitions(ours) == [
        ("Sta1", "Evt1", "AE-1", "Sta4"),
        ("Sta4", "Evt2", "AE-2", "Sta5"),
        ("Sta5", "Evt3", "AE-3", "Sta6"),
        ("Sta6", "Evt11", "AR-1", "Sta7"),
        ("Sta7", "Evt13", "AR-3", "Sta1"),
    ]
    assert transitions(theirs) == [
        ("Sta1", "Evt5", "AE-5", "Sta2"),
        ("Sta2", "Evt6", "AE-6", "Sta3"),
        ("Sta3", "Evt7", "AE-7", "Sta6"),
        ("Sta6", "Evt12", "AR-2", "Sta8"),
        ("Sta8", "Evt14", "AR-4", "Sta13"),
        ("Sta13", "Evt17", "AR-5", "Sta1"),
    ]


def test_stored_object_is_shown_whole() -> None:
    ours, theirs = Happened(), Happened()
    stored: list[bytes] = []

    def store(event: Any) -> int:
        stored.append(event.encoded_dataset(include_meta=False))
        return 0x0000

    image = ct()
    image.PixelData = bytes(8 << 20)  # more than is cut into PDUs at a time
    image["PixelData"].VR = "OW"
    ae = entity("SCU", CTImageStorage)
    with (
        serving(
            *bound(theirs, evt.EVT_DATA_RECV, evt.EVT_DIMSE_RECV, evt.EVT_CONN_CLOSE), (evt.EVT_C_STORE, store)
        ) as server,
        dial(server, *bound(ours, evt.EVT_DATA_SENT, evt.EVT_CONN_CLOSE), ae=ae) as association,
    ):
        assert association.send_c_store(image).Status == 0x0000
    for side in (ours, theirs):
        side.wait("CONN_CLOSE")
    message = theirs.wait("DIMSE_RECV").message
    assert message.AffectedSOPInstanceUID == image.SOPInstanceUID
    assert message.data_set.getvalue() == stored[0]
    received, sent = of(theirs, evt.EVT_DATA_RECV), of(ours, evt.EVT_DATA_SENT)
    assert [event.data for event in received] == [event.data for event in sent]


def test_abort_and_what_came_before() -> None:
    ours = Happened()
    with serving() as server:
        association = dial(server, *bound(ours, evt.EVT_ACSE_SENT, *END), ae=small())
        association.abort()
        ours.wait("CONN_CLOSE")
    assert [event.primitive for event in of(ours, evt.EVT_ACSE_SENT)][1:] == [AAbort(0)]


def test_rubbish() -> None:
    theirs = Happened()
    with (
        serving(*bound(theirs, *RECEIVED, *SENT, evt.EVT_FSM_TRANSITION, evt.EVT_CONN_CLOSE)) as server,
        Peer.dial(server.address) as peer,
    ):
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        assert isinstance(peer.get(), AAbort)
        peer.vanish()
        theirs.wait("CONN_CLOSE")
    assert [name for name in theirs.names if name.endswith("_RECV")] == []
    assert transitions(theirs)[1] == ("Sta2", "Evt19", "AA-1", "Sta13")


def test_bound_later() -> None:
    ours = Happened()
    with serving() as server, dial(server, ae=small()) as association:
        association.send_c_echo()
        association.bind(evt.EVT_DIMSE_RECV, ours)
        association.send_c_echo()
        ours.wait("DIMSE_RECV")
        association.unbind(evt.EVT_DIMSE_RECV, ours)
        association.send_c_echo()
    assert ours.names == ["DIMSE_RECV"]


@pytest.mark.parametrize("kind", [*RECEIVED, *SENT, evt.EVT_FSM_TRANSITION, evt.EVT_CONN_OPEN, evt.EVT_CONN_CLOSE])
def test_handlers_that_raise_are_logged_and_nothing_else(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    def handler(event: Any) -> None:
        raise ZeroDivisionError(event.name)

    ours = Happened()
    with serving((kind, handler)) as server:
        association = dial(server, (kind, handler), *bound(ours, evt.EVT_CONN_CLOSE), ae=small())
        assert association.send_c_echo().Status == 0x0000
        association.release()
        ours.wait("CONN_CLOSE")
    assert association.is_released
    assert any(line.endswith(f"] a handler of {kind} raised") for line in caplog.messages)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("kind", [*RECEIVED, *SENT, evt.EVT_FSM_TRANSITION])
def test_handlers_that_abort(kind: Any) -> None:
    """Wherever they are called, what they ask for is done, and once."""
    ours = Happened()

    def handler(event: Any) -> None:
        event.assoc.abort()

    with serving() as server:
        association = small().associate(*server.address, evt_handlers=[(kind, handler), *bound(ours, *END)])
        with suppress(NotEstablishedError):
            association.send_c_echo()
        ours.wait("CONN_CLOSE")
    assert association.is_aborted
    assert ours.names == ["ABORTED", "CONN_CLOSE"]


@pytest.mark.parametrize("kind", [evt.EVT_DIMSE_RECV, evt.EVT_DIMSE_SENT])
def test_handler_that_asks_for_something_itself(kind: Any) -> None:
    statuses: list[int] = []
    calls = iter(range(3))
    done = threading.Event()

    def handler(event: Any) -> None:
        if next(calls, None) is None:
            done.set()
        else:
            statuses.append(event.assoc.send_c_echo().Status)

    with (
        serving(maximum_operations_performed=9) as server,
        dial(server, (kind, handler), ae=small(maximum_operations_invoked=9)) as association,
    ):
        assert association.send_c_echo().Status == 0x0000
        assert done.wait(WAIT)
    assert statuses == [0x0000] * 3


def test_log_of_an_association(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "dicom_proto.upper_layer")
    with serving() as server, dial(server, ae=entity("SCU", CTImageStorage)) as association:
        association.send_c_store(ct())
    lines = [line.split(",")[0].split("] ")[-1] for line in caplog.messages]
    for line in ("A_ASSOCIATE_RQ", "A_ASSOCIATE_AC", "P_DATA_TF", "A_RELEASE_RQ", "A_RELEASE_RP"):
        assert {f"< {line}", f"> {line}"} <= set(lines)
    assert "Patient" not in caplog.text


def test_told_in_the_midst_of_results() -> None:
    """What passes is told while a handler yields, and not only at the end."""
    sent = Happened()
    seen = []

    def find(_event: Any) -> Any:
        for _ in range(200):  # far more than what is gathered before it leaves
            seen.append(sent.names.count("DIMSE_SENT"))
            yield 0xFF00, dataset(PatientName="*")

    with serving((evt.EVT_C_FIND, find), (evt.EVT_DIMSE_SENT, sent)) as server, dial(server) as association:
        assert len(list(association.send_c_find(dataset(PatientName="*"), FIND))) == 201
    assert seen[-1] > 0
