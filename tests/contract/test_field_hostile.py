"""Input that other stacks have died of, hung on or lived with too easily: what an application entity does about it.

The peer is a bare socket. Where each behaviour comes from, and which tests show the others, is in
docs/field_defects.md.
"""

import logging
import re
import socket
import struct
import tracemalloc
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest

from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CFindRQ, CStoreRQ, encode_message
from dicom_proto.errors import AbortReason
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.testing.pair import CT, VERIFICATION, answer, offer
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from dicom_proto.upper_layer.pdu import (
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AReleaseRP,
    AReleaseRQ,
    encode_pdu,
    pack_header,
)
from dicom_transports.blocking import build_role, evt
from tests.contract.adapters import Listener, Listening, Peer, Running
from tests.contract.entities import FIND, Happened, dial, entity, serving
from tests.contract.scenes import echoed, message
from tests.proto.dimse.pairs import COMMAND, LAST, Fragment, p_data

pytestmark = pytest.mark.usefixtures("adapter")

ECHO_CONTEXT, CT_CONTEXT, FIND_CONTEXT = 1, 3, 5
OFFER = offer(VERIFICATION, CT, FIND)
REQUEST = encode_pdu(OFFER)
HEAD_LENGTH = 68  # of an A-ASSOCIATE-RQ or -AC, behind the PDU header, before its first item (PS3.8 9.3.2, 9.3.3)


# --- A-ASSOCIATE PDUs, bent -------------------------------------------------------------------------------------------


def items(data: bytes) -> list[tuple[int, bytes]]:
    """The type and the value of each item."""
    found = []
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        found.append((kind, data[4 : 4 + length]))
        data = data[4 + length :]
    return found


def joined(found: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxH", kind, len(value)) + value for kind, value in found)


def says_no_more(peer: Peer) -> bool:
    """Hang up, and tell whether the other side says nothing more before it does so too."""
    with suppress(OSError):  # it has done so already
        peer.socket.shutdown(socket.SHUT_WR)
    return peer.is_at_end()


def titled(called: bytes, calling: bytes) -> bytes:
    return REQUEST[:10] + called.ljust(16)[:16] + calling.ljust(16)[:16] + REQUEST[42:]


def rebuilt(*parts: tuple[int, bytes], pdu: bytes = REQUEST) -> bytes:
    """The same PDU with other items."""
    body = pdu[6 : 6 + HEAD_LENGTH] + joined(parts)
    return pack_header(pdu[0], len(body)) + body


def with_maximum_length(length: int) -> bytes:
    kept = [sub_item for sub_item in items(USER[1]) if sub_item[0] != 0x51]
    return rebuilt(*OTHERS, (USER[0], joined([(0x51, length.to_bytes(4, "big")), *kept])))


*OTHERS, USER = items(REQUEST[6 + HEAD_LENGTH :])
APPLICATION, FIRST_CONTEXT, *CONTEXTS = OTHERS
EVEN_CONTEXT = (FIRST_CONTEXT[0], b"\2" + FIRST_CONTEXT[1][1:])

NO_REQUESTS: dict[str, bytes] = {
    "nothing but a header of no known type": pack_header(0x09, 0),
    "a PDU of no known type": pack_header(0x09, 300) + bytes(300),
    "HTTP": b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
    "TLS": bytes.fromhex("16 0301 0200 01 0001fc 0303") + bytes(506),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "4 GiB": pack_header(1, 0xFFFFFFFF) + bytes(100),
    "data without an association": message(CEchoRQ(message_id=1)),
    "a release without an association": encode_pdu(AReleaseRQ()),
    "one presentation context ID twice": rebuilt(APPLICATION, FIRST_CONTEXT, FIRST_CONTEXT, *CONTEXTS, USER),
    "no presentation contexts": rebuilt(APPLICATION, USER),
    "no user information": rebuilt(*OTHERS),
    "no room for data in the maximum length": with_maximum_length(5),
    "no room for a fragment of even length": with_maximum_length(7),
    "an item longer than its PDU": REQUEST[: -len(USER[1]) - 2] + b"\xff\xff" + USER[1],
}


@pytest.mark.parametrize("data", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_no_request_for_an_association(data: bytes) -> None:
    """What is no A-ASSOCIATE-RQ gets one A-ABORT and no word more; its body is not read as PDUs (AA-1)."""
    with serving() as server:
        with dial(server) as other, Peer.dial(server.address) as peer:
            peer.send(data)
            assert peer.get() == AAbort(0)
            assert says_no_more(peer)
            assert other.send_c_echo().Status == 0x0000
        dial(server).release()


REJECTED: dict[str, tuple[bytes, AAssociateRJ]] = {
    "another application context": (
        rebuilt((APPLICATION[0], b"1.2.3"), FIRST_CONTEXT, *CONTEXTS, USER),
        AAssociateRJ(1, 1, 2),
    ),
    "another protocol version": (REQUEST[:6] + b"\0\2" + REQUEST[8:], AAssociateRJ(1, 2, 2)),
}


@pytest.mark.parametrize(("data", "rejection"), REJECTED.values(), ids=REJECTED)
def test_request_that_is_rejected(data: bytes, rejection: AAssociateRJ) -> None:
    """A request that can be read and not be served is rejected with its reason, not accepted and not aborted."""
    with serving() as server, Peer.dial(server.address) as peer:
        peer.send(data)
        assert peer.get() == rejection


ACCEPTED: dict[str, bytes] = {
    "more bits in the protocol version": REQUEST[:6] + b"\0\3" + REQUEST[8:],
    "an unknown item": rebuilt(*OTHERS, (0x77, b"whatever"), USER),
    "an unknown sub-item": rebuilt(*OTHERS, (USER[0], USER[1] + joined([(0x66, b"whatever")]))),
    "items in another order": rebuilt(USER, *reversed(CONTEXTS), FIRST_CONTEXT, APPLICATION),
    "reserved bytes that are not 0": rebuilt(
        APPLICATION,
        *((kind, value[:1] + b"\xff\xff\xff" + value[4:]) for kind, value in [FIRST_CONTEXT, *CONTEXTS]),
        USER,
    ),
    "UIDs padded with NUL": rebuilt((APPLICATION[0], APPLICATION[1] + b"\0"), FIRST_CONTEXT, *CONTEXTS, USER),
    "no AE titles": titled(b"", b""),
    "AE titles padded with NUL": titled(b"SCP".ljust(16, b"\0"), b"SCU".ljust(16, b"\0")),
    "AE titles that are not ASCII": titled(b"\xc4rzte", b"\xff\xfe"),
    "AE titles with a backslash": titled(b"A\\B", b"\\"),
    "AE titles with control characters": titled(b"A\x1b[31mB", b"C\r\nD"),
    "the smallest maximum length": with_maximum_length(8),
    "any maximum length": with_maximum_length(0),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_odd_request_that_is_accepted(data: bytes) -> None:
    """Habits of real devices, and what PS3.8 has a receiver ignore, cost no association (9.3.2, D.2, PS3.7 D.3.3)."""
    with serving() as server, Peer.dial(server.address) as peer:
        peer.send(data)
        accepted = peer.get()
        assert isinstance(accepted, AAssociateAC)
        assert {result.result for result in accepted.context_results} == {0}
        peer.send(message(CEchoRQ(message_id=7)))
        assert peer.get_data() == [(ECHO_CONTEXT, True, response_to(7))]
        peer.send(AReleaseRQ())
        assert peer.get() == AReleaseRP()


def test_context_with_an_even_id_costs_itself_only() -> None:
    """An even presentation context ID is refused, and the other contexts are good."""
    with serving() as server, Peer.dial(server.address) as peer:
        peer.send(rebuilt(APPLICATION, EVEN_CONTEXT, *CONTEXTS, USER))
        accepted = peer.get()
        assert isinstance(accepted, AAssociateAC)
        assert {result.context_id: result.result for result in accepted.context_results} == {2: 1, 3: 0, 5: 0}


def test_requestor_that_does_not_wait() -> None:
    """Data in the same segment as the request waits for its answer, and is not lost."""
    with serving() as server, Peer.dial(server.address) as peer:
        peer.send(REQUEST + message(CEchoRQ(message_id=7)) + encode_pdu(AReleaseRQ()))
        assert isinstance(peer.get(), AAssociateAC)
        assert peer.get_data()
        assert peer.get() == AReleaseRP()


def test_role_proposals_nobody_needs() -> None:
    """Both roles for every context, as some devices propose, do no harm."""
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in (Verification, CTImageStorage, FIND)]
    with serving() as server, dial(server, ae=entity("SCU", Verification, CTImageStorage, FIND), ext_neg=roles) as one:
        assert one.send_c_echo().Status == 0x0000


ANSWER = encode_pdu(answer(OFFER))
*RESULTS, STATED = items(ANSWER[6 + HEAD_LENGTH :])
ANSWERS: dict[str, bytes] = {
    "an unknown item": rebuilt(*RESULTS, (0x77, b"whatever"), STATED, pdu=ANSWER),
    "an unknown sub-item": rebuilt(*RESULTS, (STATED[0], STATED[1] + joined([(0x66, b"whatever")])), pdu=ANSWER),
    "titles that are not those of the request": ANSWER[:10] + bytes(32) + ANSWER[42:],
    "a rejected context without a transfer syntax": rebuilt(
        *RESULTS[:-1], (RESULTS[-1][0], bytes([FIND_CONTEXT, 0, 3, 0])), STATED, pdu=ANSWER
    ),
    "an answer to a context that was not proposed": rebuilt(
        *RESULTS, (RESULTS[-1][0], bytes([99]) + RESULTS[-1][1][1:]), STATED, pdu=ANSWER
    ),
}


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
def test_odd_answer_that_is_taken(data: bytes) -> None:
    """What an A-ASSOCIATE-AC has beside what counts is ignored (PS3.8 9.3.3)."""
    with Listener() as listener:
        associating = Running(entity("SCU", VERIFICATION, CT, FIND).associate, *listener.address)
        with listener.accept() as peer:
            peer.get()
            peer.send(data)
            association = associating.result()
            echoing = Running(association.send_c_echo)
            assert peer.get_data()
            peer.send(message(echoed()))
            assert echoing.result().Status == 0x0000
            association.abort()


# --- within an association --------------------------------------------------------------------------------------------


def response_to(message_id: int) -> bytes:
    """What a C-ECHO that has succeeded is answered with, on the wire."""
    response = CEchoRSP(message_id_being_responded_to=message_id, status=0x0000, affected_sop_class_uid=Verification)
    return encode_message(response, has_data_set=False)


def establish(server: Listening) -> Peer:
    peer = Peer.dial(server.address)
    peer.send(OFFER)
    assert isinstance(peer.get(), AAssociateAC)
    return peer


def command(*without: int, **changes: bytes) -> bytes:
    """The command set of a C-ECHO-RQ, without some elements, and with another value of its Command Field."""
    elements = {
        0x0002: b"1.2.840.10008.1.1\0",
        0x0100: changes.get("field", b"\x30\0"),
        0x0110: changes.get("message_id", b"\1\0"),
        0x0800: b"\1\1",
    }
    return encode_command_set({element: value for element, value in elements.items() if element not in without})


def said(data: bytes, context: int = ECHO_CONTEXT) -> Fragment:
    return context, COMMAND | LAST, data


ECHO = command()
STORE = encode_message(
    CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"), has_data_set=True
)
UNRECOGNIZED, UNEXPECTED, WRONG_PLACE, INVALID = (
    AbortReason.UNRECOGNIZED_PDU,
    AbortReason.UNEXPECTED_PDU,
    AbortReason.UNEXPECTED_PDU_PARAMETER,
    AbortReason.INVALID_PDU_PARAMETER_VALUE,
)
OFFENCES: dict[str, tuple[bytes, AbortReason]] = {
    "no message control header": (pack_header(4, 5) + b"\0\0\0\1\1", INVALID),
    "PDV of no length": (pack_header(4, 4) + bytes(4), INVALID),
    "PDV beyond its PDU": (pack_header(4, 10) + b"\0\0\0\x64\1\3abcd", INVALID),
    "no PDV": (pack_header(4, 0), INVALID),
    "P-DATA longer than was stated": (pack_header(4, 0x400000), INVALID),
    "no command set": (p_data(said(b"")), INVALID),
    "garbage for a command set": (p_data(said(b"\xde\xad\xbe\xef" * 9)), INVALID),
    "half a command set": (p_data(said(ECHO[:-3])), INVALID),
    "unknown Command Field": (p_data(said(command(field=b"\x77\x77"))), INVALID),
    "no Command Field": (p_data(said(command(0x0100))), INVALID),
    "no Message ID": (p_data(said(command(0x0110))), INVALID),
    "context that was not accepted": (p_data(said(ECHO, 99)), INVALID),
    "response to nothing": (message(echoed()), INVALID),
    "data set before its command": (p_data((CT_CONTEXT, LAST, b"data")), WRONG_PLACE),
    "data set that nobody announced": (p_data((CT_CONTEXT, COMMAND | LAST, STORE), (1, LAST, b"data")), WRONG_PLACE),
    "command on two contexts": (
        p_data((ECHO_CONTEXT, COMMAND, ECHO[:20]), (CT_CONTEXT, COMMAND | LAST, ECHO[20:])),
        WRONG_PLACE,
    ),
    "command between command and data set": (p_data((CT_CONTEXT, COMMAND | LAST, STORE), said(ECHO)), WRONG_PLACE),
    "command set without an end": (p_data(*[(ECHO_CONTEXT, COMMAND, bytes(1000))] * 70), INVALID),
    "release within a command": (p_data((ECHO_CONTEXT, COMMAND, ECHO[:20])) + encode_pdu(AReleaseRQ()), UNEXPECTED),
    "release before the data set": (
        p_data((CT_CONTEXT, COMMAND | LAST, STORE)) + encode_pdu(AReleaseRQ()),
        UNEXPECTED,
    ),
    "A-ASSOCIATE-RQ again": (REQUEST, UNEXPECTED),
    "A-ASSOCIATE-AC": (ANSWER, UNEXPECTED),
    "A-ASSOCIATE-RJ": (encode_pdu(AAssociateRJ(1, 1, 1)), UNEXPECTED),
    "A-RELEASE-RP": (encode_pdu(AReleaseRP()), UNEXPECTED),
    "unknown PDU": (pack_header(0x33, 0), UNRECOGNIZED),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", UNRECOGNIZED),
}


@pytest.mark.parametrize(("data", "reason"), OFFENCES.values(), ids=OFFENCES)
def test_offence(data: bytes, reason: AbortReason) -> None:
    """An offence is answered with an A-ABORT of the service-provider that says why, and costs its own association."""
    happened = Happened()
    with serving((evt.EVT_ABORTED, happened), (evt.EVT_C_STORE, lambda _: 0)) as server, dial(server) as other:
        with establish(server) as peer:
            peer.send(data)
            assert peer.get() == AAbort(2, reason)
            assert says_no_more(peer)
        failure = happened.wait("ABORTED").assoc.failure
        assert isinstance(failure, AssociationAborted)
        assert (failure.origin, failure.reason) == (AbortOrigin.LOCAL_PROVIDER, reason)
        assert other.send_c_echo().Status == 0x0000


@pytest.mark.parametrize("packed", [True, False], ids=["in one PDU", "in one segment"])
def test_requests_that_come_at_once(packed: bool) -> None:
    """Requests beyond the window of one are kept and served in order, none is lost, however they are packed."""
    commands = [said(command(message_id=number.to_bytes(2, "little"))) for number in range(1, 51)]
    with serving() as server, establish(server) as peer:
        peer.send(p_data(*commands) if packed else b"".join(map(p_data, commands)))
        for number in range(1, 51):
            assert peer.get_data() == [(ECHO_CONTEXT, True, response_to(number))]


def test_command_on_a_context_of_another_service() -> None:
    """A C-ECHO on a storage context is refused (0122H, SOP class not supported), and the association goes on."""
    with serving() as server, establish(server) as peer:
        for context, status in ((CT_CONTEXT, 0x0122), (ECHO_CONTEXT, 0x0000)):
            peer.send(p_data(said(ECHO, context)))
            ((at, _, response),) = peer.get_data()
            assert (at, decode_command_set(response)[0x0900]) == (context, status.to_bytes(2, "little"))


# --- content ----------------------------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """Sequences in sequences of undefined length, in Implicit VR Little Endian."""
    begin = struct.pack("<HHIHHI", 0x0008, 0x1110, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return begin * depth + end * depth


def test_data_set_that_is_nested_too_deep() -> None:
    """Thousands of nested sequences are an identifier that cannot be decoded, and no RecursionError in the server."""
    find = CFindRQ(message_id=1, affected_sop_class_uid=FIND)
    with serving((evt.EVT_C_FIND, lambda event: [(0xFF00, event.identifier)])) as server, establish(server) as peer:
        peer.send(message(find, nested(2000), FIND_CONTEXT))
        ((_, _, response),) = peer.get_data()
        assert decode_command_set(response)[0x0900] == (0xC311).to_bytes(2, "little")
        peer.send(p_data(said(ECHO)))
        assert peer.get_data()


def test_words_of_a_peer_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What a peer says cannot forge lines or steer a terminal: logs show it escaped."""
    caplog.set_level(logging.DEBUG)
    store = CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    forged = encode_message(store, has_data_set=True).replace(b"1.2\0", b"\n\x1b[3")
    with serving() as server, Peer.dial(server.address) as peer:
        peer.send(titled(b"A\x1b[31mB", b"C\r\nD"))
        assert isinstance(peer.get(), AAssociateAC)
        peer.send(p_data((CT_CONTEXT, COMMAND | LAST, forged), (CT_CONTEXT, LAST, b"data")))
        assert peer.get_data()
    assert "\\x1b" in caplog.text
    assert not [line for line in caplog.messages if re.search(r"[\x00-\x1f\x7f]", line)]


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_associated", [False, True], ids=["A-ASSOCIATE-RQ", "P-DATA-TF"])
def test_what_is_too_long_is_not_kept(is_associated: bool) -> None:
    """A PDU that is longer than it may be is refused by its header, and nothing that follows is kept."""
    block = bytes(1 << 16)
    with serving() as server, establish(server) if is_associated else Peer.dial(server.address) as peer:
        peer.send(pack_header(4 if is_associated else 1, 0xFFFFFFFF))
        assert isinstance(peer.get(), AAbort)
        tracemalloc.start()
        try:
            with suppress(ConnectionError):  # it may have hung up
                for _ in range(500):
                    peer.send(block)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


def test_cut_off_connections_hold_no_slot() -> None:
    """Connections that end after any few bytes are forgotten at once, however many: there is room for the next."""
    with serving(maximum_associations=1, acse_timeout=None) as server:
        for data in [b"", REQUEST[:3], REQUEST[:100], pack_header(0x09, 4), REQUEST] * 5:
            with Peer.dial(server.address) as peer:
                peer.send(data)
        dial_when_free(server)


def dial_when_free(server: Listening) -> None:
    """Associate; a slot that has just become free may take a moment."""
    for _ in range(1000):
        association = entity("SCU").associate(*server.address)
        if association.is_established:
            association.release()
            return
    raise AssertionError("no slot becomes free")


def test_silent_connections_hold_up_nobody() -> None:
    """Connections that say nothing, or stop in the middle of a PDU, do not keep others from being served."""
    with serving() as server:
        peers = [Peer.dial(server.address) for _ in range(6)]
        for peer, length in zip(peers, (0, 0, 3, 3, 100, 100), strict=True):
            peer.send(REQUEST[:length])
        with dial(server) as association:
            assert association.send_c_echo().Status == 0x0000
        for peer in peers:
            peer.vanish()


HANDLERS: dict[str, type[Exception]] = {"memory": MemoryError, "recursion": RecursionError, "slip": ZeroDivisionError}


@pytest.mark.parametrize("error", HANDLERS.values(), ids=HANDLERS)
def test_handler_that_raises_costs_its_own_operation(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    """A handler that raises has not succeeded, is logged, and ends neither its association nor the server."""

    def echo(_event: Any) -> int:
        raise error

    with serving((evt.EVT_C_ECHO, echo)) as server:
        with dial(server) as association:
            assert [association.send_c_echo().Status for _ in range(2)] == [0x0110] * 2
            assert association.is_established
        dial(server).release()
    assert error.__name__ in caplog.text
