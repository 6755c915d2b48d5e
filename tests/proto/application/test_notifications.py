"""What handlers are told of what passes: nothing unless something is bound, and then exactly what passed."""

import logging
from typing import Any

import pytest

from dicom_proto.application.notifications import Notification, Notifier
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.messages import CCancelRQ, CEchoRQ, CEchoRSP, CStoreRQ
from dicom_proto.handlers import kinds as evt
from dicom_proto.handlers.kinds import EventKind
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.peer import Peer
from dicom_proto.testing.pair import Cut, answer, every, offer, whole
from dicom_proto.upper_layer.pdu import (
    PDU,
    AAbort,
    AAssociateAC,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    encode_pdu,
    pack_header,
)
from tests.proto.dimse.pairs import COMMAND, LAST, fragments, p_data, pair
from tests.proto.rows import for_each

RECEIVED = (evt.EVT_DATA_RECV, evt.EVT_PDU_RECV, evt.EVT_ACSE_RECV, evt.EVT_DIMSE_RECV)
SENT = (evt.EVT_DATA_SENT, evt.EVT_PDU_SENT, evt.EVT_ACSE_SENT, evt.EVT_DIMSE_SENT)
ALL = (*RECEIVED, *SENT, evt.EVT_FSM_TRANSITION)
STORE = CStoreRQ(message_id=7, affected_sop_class_uid="1.2.3", affected_sop_instance_uid="1.2.4")
ECHO = p_data(*fragments(CEchoRQ(message_id=5)))
RELEASE = encode_pdu(AReleaseRQ())
DATA = bytes(range(250))


def ignore(event: Any) -> None:
    """A handler, to be bound and never called."""


def notifier(
    *kinds: EventKind, connection: Connection | None = None, pdu_limit: int = 1 << 20, data_limit: int = 1 << 20
) -> tuple[Notifier, Handlers]:
    handlers = Handlers([(kind, ignore) for kind in kinds])
    peer = Peer(connection or pair()[0], handlers, data_limit=data_limit)
    return Notifier(peer, pdu_limit=pdu_limit), handlers


def received(stream: bytes, *kinds: EventKind, cut: Cut = whole, **options: Any) -> list[Notification]:
    """What is told when bytes arrive."""
    watching, _ = notifier(*kinds, **options)
    for piece in cut(stream):
        watching.received(piece)
    return watching.take()


def messages(stream: bytes, **options: Any) -> list[tuple[str, int, bytes | None]]:
    """The DIMSE messages that are told of."""
    told = [attributes["message"] for _, attributes in received(stream, evt.EVT_DIMSE_RECV, **options)]
    return [
        (
            message.msg_type,
            message.MessageID if message.msg_type.endswith("-RQ") else message.MessageIDBeingRespondedTo,
            message.data_set and message.data_set.getvalue(),
        )
        for message in told
    ]


def names(told: list[Notification]) -> list[str]:
    return [kind.name.removeprefix("EVT_") for kind, _ in told]


def stored(data: bytes, size: int) -> list[bytes]:
    """A C-STORE-RQ as PDUs, its data set cut into fragments."""
    command, _ = fragments(STORE, b"\0\0")
    pieces = list(every(size)(data))
    return [
        p_data(command),
        *(p_data((1, LAST if number == len(pieces) else 0, piece)) for number, piece in enumerate(pieces, 1)),
    ]


# --- nothing is bound -------------------------------------------------------------------------------------------------


@for_each("kinds", [(), (evt.EVT_ESTABLISHED, evt.EVT_C_ECHO)])
def test_nothing_is_told_if_nothing_is_bound(kinds: tuple[EventKind, ...]) -> None:
    connection, _ = pair()
    watching, _ = notifier(*kinds, connection=connection)
    watching.received(RELEASE)
    watching.sent([RELEASE])
    connection.release()
    assert watching.take() == []
    assert connection.observer is None
    assert not watching.is_watching


@for_each("kind", ALL)
def test_what_is_bound_is_watched(kind: EventKind) -> None:
    watching, _ = notifier(kind)
    assert watching.is_watching


@for_each("kind", ALL)
def test_what_is_bound_is_told_and_nothing_else(kind: EventKind) -> None:
    connection, _ = pair()
    watching, _ = notifier(kind, connection=connection)
    watching.received(RELEASE + ECHO)
    watching.sent([RELEASE, ECHO])
    connection.release()
    assert {told for told, _ in watching.take()} == {kind}
    assert watching.take() == []


# --- what passes ------------------------------------------------------------------------------------------------------


@for_each("cut", [whole, every(1), every(7)])
def test_everything_in_the_order_in_which_it_passes(cut: Cut) -> None:
    told = received(RELEASE + ECHO, *RECEIVED, cut=cut)
    assert names(told) == ["DATA_RECV", "PDU_RECV", "ACSE_RECV", "DATA_RECV", "PDU_RECV", "DIMSE_RECV"]
    values = [value for _, attributes in told for value in attributes.values()]
    assert values[:4] == [RELEASE, AReleaseRQ(), AReleaseRQ(), ECHO]
    assert isinstance(values[4], PDataTF)
    assert (values[5].msg_type, values[5].MessageID, values[5].data_set) == ("C-ECHO-RQ", 5, None)


def test_what_is_sent() -> None:
    one, _ = pair()
    watching, _ = notifier(*SENT, connection=one)
    one.send_request(CStoreRQ(affected_sop_class_uid="1.2.3", affected_sop_instance_uid="1.2.4"), context=3, data=DATA)
    watching.sent(one.data_to_send(now=0))
    told = watching.take()
    assert names(told) == ["DATA_SENT", "PDU_SENT", "DATA_SENT", "PDU_SENT", "DIMSE_SENT"]
    message = told[-1][1]["message"]
    assert (message.AffectedSOPInstanceUID, message.data_set.getvalue()) == ("1.2.4", DATA)
    one.abort()
    watching.sent(one.data_to_send(now=0))
    assert [attributes["primitive"] for kind, attributes in watching.take() if kind is evt.EVT_ACSE_SENT] == [AAbort(0)]


def test_primitives_of_a_whole_association() -> None:
    request = offer()
    pdus: list[PDU] = [request, answer(request), AReleaseRQ(), AReleaseRP()]
    told = received(b"".join(encode_pdu(pdu) for pdu in pdus), evt.EVT_ACSE_RECV)
    assert [attributes["primitive"] for _, attributes in told] == pdus
    assert isinstance(told[0][1]["primitive"], AAssociateRQ)
    assert isinstance(told[1][1]["primitive"], AAssociateAC)


def test_transitions() -> None:
    connection = Connection()
    watching, _ = notifier(evt.EVT_FSM_TRANSITION, connection=connection)
    connection.request(offer())
    connection.connection_made(now=0)
    assert watching.take() == [
        (
            evt.EVT_FSM_TRANSITION,
            {"current_state": before, "fsm_event": event, "action": action, "next_state": after},
        )
        for before, event, action, after in [("Sta1", "Evt1", "AE-1", "Sta4"), ("Sta4", "Evt2", "AE-2", "Sta5")]
    ]


@for_each("kinds", [(evt.EVT_FSM_TRANSITION,), ()])
def test_transition_before_anybody_could_see_it(kinds: tuple[EventKind, ...]) -> None:
    connection = Connection()
    connection.connection_made(now=0)
    watching, _ = notifier(*kinds, connection=connection)
    opening = {"current_state": "Sta1", "fsm_event": "Evt5", "action": "AE-5", "next_state": "Sta2"}
    assert watching.take() == [(kind, opening) for kind in kinds]


# --- messages ---------------------------------------------------------------------------------------------------------


@for_each("size", [1, 100, 1000])
def test_data_set_in_fragments(size: int) -> None:
    assert messages(b"".join(stored(DATA, size)) + ECHO) == [("C-STORE-RQ", 7, DATA), ("C-ECHO-RQ", 5, None)]


def test_command_in_fragments_and_in_one_pdu_with_its_data_set() -> None:
    (context, _, command), data = fragments(STORE, DATA)
    stream = p_data((context, COMMAND, command[:9]), (context, COMMAND | LAST, command[9:]), data)
    assert messages(stream) == [("C-STORE-RQ", 7, DATA)]


def test_messages_without_a_data_set() -> None:
    response = CEchoRSP(message_id_being_responded_to=3, status=0)
    stream = p_data(*fragments(response)) + ECHO
    assert messages(stream) == [("C-ECHO-RSP", 3, None), ("C-ECHO-RQ", 5, None)]
    ((_, attributes),) = received(p_data(*fragments(CCancelRQ(message_id_being_responded_to=4))), evt.EVT_DIMSE_RECV)
    assert attributes["message"].MessageIDBeingRespondedTo == 4


@for_each("size", [1, 100, 1000])
def test_data_set_that_is_too_long(size: int) -> None:
    stream = b"".join(stored(DATA, size)) + ECHO + b"".join(stored(DATA[:100], size))
    assert messages(stream, data_limit=len(DATA) - 1) == [
        ("C-STORE-RQ", 7, None),
        ("C-ECHO-RQ", 5, None),
        ("C-STORE-RQ", 7, DATA[:100]),
    ]


def test_command_that_is_too_long() -> None:
    endless = p_data((1, COMMAND, bytes(40000))) * 5 + p_data((1, COMMAND | LAST, bytes(40000)))
    assert messages(endless + ECHO) == [("C-ECHO-RQ", 5, None)]


def test_pdu_that_is_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """It is not shown; the message of which it is a part is shown without its data set."""
    caplog.set_level(logging.INFO, "dicom_proto.services")
    command, first, last = stored(DATA, 200)
    told = received(command + first + last + ECHO, evt.EVT_DATA_RECV, evt.EVT_DIMSE_RECV, pdu_limit=150)
    assert [attributes["data"] for kind, attributes in told if kind is evt.EVT_DATA_RECV] == [command, last, ECHO]
    assert messages(command + first + last + ECHO, pdu_limit=150) == [("C-STORE-RQ", 7, None), ("C-ECHO-RQ", 5, None)]
    assert "206 bytes" in caplog.text


def test_long_pdus_that_are_no_message() -> None:
    long = pack_header(1, 1000) + bytes(1000)
    assert messages(long + p_data((1, 0, bytes(1000))) + ECHO, pdu_limit=150) == [("C-ECHO-RQ", 5, None)]


@for_each(
    "rubbish",
    [
        p_data((1, COMMAND | LAST, b"no command")),
        pack_header(4, 3) + b"abc",
        pack_header(1, 10) + bytes(10),
        p_data((1, LAST, b"a data set out of nowhere")),
    ],
)
def test_rubbish_is_not_shown_as_a_message(rubbish: bytes) -> None:
    assert messages(rubbish + ECHO) == [("C-ECHO-RQ", 5, None)]


def test_pdu_that_cannot_be_decoded_is_still_data() -> None:
    told = received(pack_header(4, 3) + b"abc", *RECEIVED)
    assert [(kind.name, *attributes.values()) for kind, attributes in told] == [
        ("EVT_DATA_RECV", pack_header(4, 3) + b"abc")
    ]


# --- binding while it runs --------------------------------------------------------------------------------------------


def test_bound_in_the_middle_of_a_pdu() -> None:
    """What is received is shown from the next PDU that begins with what is received at once."""
    connection, _ = pair()
    watching, handlers = notifier(connection=connection)

    def receive(data: bytes) -> list[Any]:
        watching.received(data)
        connection.receive_data(data, now=0)
        connection.next_event()
        return [attributes["data"] for _, attributes in watching.take()]

    assert receive(ECHO[:20]) == []
    handlers.bind(evt.EVT_DATA_RECV, ignore)
    watching.update()
    assert receive(ECHO[20:]) == []
    assert receive(RELEASE[:3]) == []
    assert receive(RELEASE[3:]) == [RELEASE]


def test_bound_and_unbound() -> None:
    connection, _ = pair()
    watching, handlers = notifier(connection=connection)
    for _ in range(2):
        for kind in ALL:
            handlers.bind(kind, ignore)
        watching.update()
        watching.received(RELEASE)
        watching.sent([RELEASE])
        assert names(watching.take()) == [
            *("DATA_RECV", "PDU_RECV", "ACSE_RECV"),
            *("DATA_SENT", "PDU_SENT", "ACSE_SENT"),
        ]
        assert connection.observer is not None
        for kind in ALL:
            handlers.unbind(kind, ignore)
        watching.update()
        watching.received(RELEASE[:4])
        watching.sent([RELEASE])
        assert watching.take() == []
        assert connection.observer is None


def test_one_more_is_bound() -> None:
    watching, handlers = notifier(evt.EVT_DATA_RECV)
    watching.received(RELEASE[:4])
    handlers.bind(evt.EVT_PDU_RECV, ignore)
    watching.update()
    watching.received(RELEASE[4:])
    assert names(watching.take()) == ["DATA_RECV", "PDU_RECV"]


def test_what_else_there_is_to_tell_comes_behind_what_has_passed() -> None:
    watching, _ = notifier(evt.EVT_DATA_RECV)
    found = [watching.has_pending]
    watching.received(RELEASE)
    watching.add(evt.EVT_RELEASED, {"why": "asked"})
    found.append(watching.has_pending)
    assert watching.take() == [(evt.EVT_DATA_RECV, {"data": RELEASE}), (evt.EVT_RELEASED, {"why": "asked"})]
    assert [*found, watching.has_pending] == [False, True, False]
