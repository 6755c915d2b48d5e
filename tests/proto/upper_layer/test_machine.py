"""What becomes of received PDUs: judged by six bytes, read as they come, answered as PS3.8 asks."""

import sys
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError
from dicom_proto.limits import Limits, Tolerance
from dicom_proto.testing.pair import (
    CT,
    VERIFICATION,
    Cut,
    answer,
    associate,
    drain,
    every,
    exchange,
    offer,
    sent,
    whole,
)
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    Released,
    ReleaseRequested,
)
from dicom_proto.upper_layer.pdu import AAbort, AAssociateRJ, AReleaseRP, AReleaseRQ, encode_pdu, pack_header
from dicom_proto.upper_layer.state_table import State
from tests.proto.upper_layer.machines import (
    DATA,
    OFFER,
    acceptor,
    asked,
    asking,
    fed,
    listening,
    p_data,
    pdus,
    pdv,
    pieces,
    requestor,
)

RQ, RP = encode_pdu(AReleaseRQ()), encode_pdu(AReleaseRP())
HUGE = 0xFFFFFFFF
STRICT = Tolerance(early_pdus=False, long_fixed_pdus=False, late_data=False)


def assert_refused(machine: Association, events: list[Any], reason: AbortReason, words: str = "") -> None:
    """The user is told what was wrong, the peer gets an A-ABORT of the provider with the reason (AA-8)."""
    assert [type(event) for event in events] == [Aborted]
    [event] = events
    assert (event.origin, event.reason, event.error.abort_reason) == (AbortOrigin.LOCAL_PROVIDER, reason, reason)
    assert isinstance(event.error, PDUError)
    assert words in str(event.error)
    assert pdus(machine) == [AAbort(2, reason)]
    assert machine.state is State.Sta13


# --- judged by the six bytes of the header ---


def test_an_associate_rq_of_4_gb_is_refused_by_its_header() -> None:
    machine = listening()
    [event] = fed(machine, pack_header(1, HUGE))
    assert "at most" in str(event.error)
    assert pdus(machine) == [AAbort(0)]  # AA-1
    assert machine.state is State.Sta13


def test_an_associate_ac_of_4_gb_is_refused_by_its_header() -> None:
    machine = asking()
    assert_refused(machine, fed(machine, pack_header(2, HUGE)), AbortReason.INVALID_PDU_PARAMETER_VALUE)


def test_a_web_browser_is_refused_by_its_first_six_bytes() -> None:
    machine = listening()
    [event] = fed(machine, b"GET / ")
    assert event.error.abort_reason is AbortReason.UNRECOGNIZED_PDU
    assert pdus(machine) == [AAbort(0)]
    assert fed(machine, b"HTTP/1.1\r\nHost: pacs\r\n\r\n") == []
    assert machine.wants_read


def test_an_unknown_pdu_type_in_an_association() -> None:
    machine = acceptor()
    assert_refused(machine, fed(machine, b"GET / "), AbortReason.UNRECOGNIZED_PDU, "47H")


def test_fewer_than_six_bytes_are_not_judged() -> None:
    assert fed(listening(), b"GET /") == []


@pytest.mark.parametrize(("more", "is_taken"), [(0, True), (1, False)])
def test_the_bound_on_associate_pdus_is_exact(more: int, is_taken: bool) -> None:
    length = len(encode_pdu(OFFER)) - 6
    machine = listening(limits=Limits(associate_length=256))
    body = encode_pdu(OFFER)[6:] + pack_header(0x99, 0)[:2] + (256 - length - 4).to_bytes(2, "big")
    stream = pack_header(1, 256 + more) + body + bytes(256 + more - len(body))
    assert isinstance(fed(machine, stream)[0], AssociateRequested) is is_taken


@pytest.mark.parametrize(
    ("pdu", "tolerance", "lengths_taken", "lengths_refused"),
    [
        (encode_pdu(pdu), tolerance, taken, refused)
        for pdu in (AAssociateRJ(1, 1, 1), AReleaseRQ(), AReleaseRP(), AAbort(2, 2))
        for tolerance, taken, refused in [
            (Tolerance(), (4, 5, 64), (0, 3, 65, HUGE)),
            (STRICT, (4,), (0, 3, 5, HUGE)),
        ]
    ],
)
def test_pdus_of_fixed_length(
    pdu: bytes, tolerance: Tolerance, lengths_taken: tuple[int, ...], lengths_refused: tuple[int, ...]
) -> None:
    def machine_for_it() -> Association:
        machine = asking(tolerance=tolerance) if pdu[0] == 3 else requestor(tolerance=tolerance)
        if pdu[0] == 6:
            machine.release()
            sent(machine)
        return machine

    for length in lengths_taken:
        [event, *_] = fed(machine_for_it(), pack_header(pdu[0], length) + pdu[6:].ljust(length, b"\xff"))
        assert not isinstance(event, Aborted) or event.origin is AbortOrigin.PEER_PROVIDER
    for length in lengths_refused:
        machine = machine_for_it()
        events = fed(machine, pack_header(pdu[0], length))
        assert_refused(machine, events, AbortReason.INVALID_PDU_PARAMETER_VALUE, f"of {length} bytes")


@pytest.mark.parametrize("maximum_length", [8, 9, 16384])
@pytest.mark.parametrize("side", ["requestor", "acceptor"])
def test_a_p_data_tf_may_be_as_long_as_this_side_has_stated_and_no_longer(maximum_length: int, side: str) -> None:
    """What the peer has stated for itself does not matter."""
    request, response = offer(maximum_length=64), answer(OFFER, maximum_length=64)
    if side == "requestor":
        request = offer(maximum_length=maximum_length)
    else:
        response = answer(OFFER, maximum_length=maximum_length)
    make = requestor if side == "requestor" else acceptor
    machine = make(request, response)
    data = bytes(maximum_length - 6)
    assert pieces(fed(machine, p_data(pdv(data)))) == [(1, False, False, data)]
    events = fed(machine, pack_header(4, maximum_length + 1))
    assert_refused(machine, events, AbortReason.INVALID_PDU_PARAMETER_VALUE, "the maximum length stated")


def test_a_p_data_tf_of_4_gb_is_read_as_it_comes_where_no_maximum_was_stated() -> None:
    machine = acceptor(OFFER, answer(OFFER, maximum_length=0))
    block = bytes(100_000)
    assert fed(machine, pack_header(4, HUGE), pdv(b"", length=HUGE - 4)) == []
    before = sys.getallocatedblocks()
    for _ in range(300):
        [event] = fed(machine, block)
        assert event.data.obj is block
    assert machine.wants_read
    assert sys.getallocatedblocks() - before < 100


def test_a_forbidden_pdu_is_refused_by_its_header_and_skipped_however_long_it_is() -> None:
    machine = requestor()
    events = fed(machine, pack_header(2, HUGE))
    assert_refused(machine, events, AbortReason.UNEXPECTED_PDU, "A_ASSOCIATE_AC received in Sta6")
    assert fed(machine, bytes(1 << 20)) == []
    assert machine.wants_read


def test_a_pdu_behind_a_forbidden_one_is_still_understood() -> None:
    machine = requestor()
    fed(machine, RP[:7])
    assert fed(machine, RP[7:], AAbort(0)) == [ConnectionClosed()]


def test_the_same_offence_is_refused_alike_wherever_it_is_cut() -> None:
    for cut in (whole, every(1), every(7)):
        machine = requestor()
        for piece in cut(pack_header(4, 8) + pdv(b"ab", length=1) + bytes(100)):
            machine.receive_data(piece, now=0)
        assert_refused(machine, drain(machine), AbortReason.INVALID_PDU_PARAMETER_VALUE, "PDV length 1")


def test_after_its_frame_is_lost_nothing_of_a_stream_is_read_not_even_an_abort() -> None:
    machine = acceptor()
    fed(machine, pack_header(0x99, 4))
    sent(machine)
    assert fed(machine, b"body", AAbort(0)) == []
    assert machine.state is State.Sta13
    machine.handle_timeout(1000)
    assert drain(machine) == [ConnectionClosed()]


# --- P-DATA-TF ---


@pytest.mark.parametrize(
    ("pdu", "words"),
    [
        (p_data(), "without a presentation data value item"),
        (p_data(pdv(length=0)), "PDV length 0"),
        (p_data(pdv(length=1)), "PDV length 1"),
        (p_data(pdv(length=7)), "PDV length 7 with 6 bytes left"),
        (p_data(pdv(length=HUGE)), "PDV length 4294967295"),
        (p_data(pdv() + b"\0\0\0\2"), "4 bytes where"),
        (p_data(pdv(context_id=3)), "presentation context 3, which was not accepted"),
        (p_data(pdv(context_id=0)), "presentation context 0, which was not accepted"),
    ],
)
def test_bad_data(pdu: bytes, words: str) -> None:
    machine = acceptor()
    events = [event for event in fed(machine, pdu) if not isinstance(event, FragmentReceived)]
    assert_refused(machine, events, AbortReason.INVALID_PDU_PARAMETER_VALUE, words)


def test_a_context_that_the_acceptor_has_rejected_cannot_carry_data() -> None:
    request = offer(VERIFICATION, CT)
    first, second = answer(request).context_results
    response = evolve(answer(request), context_results=(first, evolve(second, result=3)))
    for machine in (requestor(request, response), acceptor(request, response)):
        assert list(machine.contexts) == [1]
        events = fed(machine, p_data(pdv(context_id=3)))
        assert_refused(machine, events, AbortReason.INVALID_PDU_PARAMETER_VALUE)


def test_any_packing_of_pdvs_is_taken() -> None:
    """Several in one P-DATA-TF, command and data among them, and empty ones."""
    block = p_data(pdv(b"ab", 1), pdv(b"", 1), pdv(b"cd", 3), pdv(b"ef"), pdv(b"", 2)) + p_data(pdv(b"gh", 3))
    assert pieces(fed(acceptor(), block)) == [
        (1, True, False, b"ab"),
        (1, True, True, b"cd"),
        (1, False, False, b"ef"),
        (1, False, True, b""),
        (1, True, True, b"gh"),
    ]


def test_fragments_that_say_nothing_hold_up_nothing() -> None:
    assert fed(acceptor(), p_data(pdv(b""), pdv(b"", 1)), RQ) == [ReleaseRequested()]


def test_fragments_are_handed_out_from_inside_a_pdv_as_views_of_the_block() -> None:
    machine = acceptor()
    block = p_data(pdv(bytes(1000), 2))[:500]
    [event] = fed(machine, block)
    assert event.data.obj is block
    assert event.data.readonly
    assert not event.last
    [event] = fed(machine, bytes(512))
    assert event.last


def test_events_before_an_offence_in_the_same_block_are_still_delivered() -> None:
    machine = acceptor()
    *before, after = fed(machine, p_data(pdv(b"ab", 3)), p_data(pdv(b"cd"), pdv(b"ef", length=1)), RQ)
    assert pieces(before) == [(1, True, True, b"ab"), (1, False, False, b"cd")]
    assert_refused(machine, [after], AbortReason.INVALID_PDU_PARAMETER_VALUE)


def test_nothing_is_parsed_before_somebody_pulls() -> None:
    machine = acceptor(limits=Limits(receive_buffer=1024))
    machine.receive_data(p_data(pdv(b"ab")) * 100, now=0)
    assert not machine.wants_read
    assert pieces([machine.next_event()]) == [(1, False, False, b"ab")]
    assert not machine.wants_read
    assert len(drain(machine)) == 99
    assert machine.wants_read


# --- establishment ---


@pytest.mark.parametrize("cut", [whole, every(1), every(7)])
def test_both_sides_agree(cut: Cut) -> None:
    one, other = Association(), Association()
    events = associate(one, other, cut=cut)
    assert [[type(event) for event in side] for side in events] == [[AssociateAccepted], [AssociateRequested]]
    assert one.agreement == other.agreement == events[0][0].agreement
    assert one.contexts == other.contexts
    assert events[0][0].answer == answer(OFFER)
    assert events[1][0].offer == other.offer == one.offer == OFFER
    assert (one.is_requestor, other.is_requestor) == (True, False)
    assert one.state is other.state is State.Sta6


@pytest.mark.parametrize("version", [0, 2, 0xFFFE])
def test_a_protocol_version_without_bit_0_is_rejected_by_the_provider(version: int) -> None:
    machine = listening()
    pdu = bytearray(encode_pdu(OFFER))
    pdu[6:8] = version.to_bytes(2, "big")
    assert fed(machine, bytes(pdu)) == [AssociateRejected(result=1, source=2, reason=2)]
    assert machine.next_deadline() is None  # ARTIM: stopped by the request, and starts again when the rejection leaves
    assert pdus(machine, now=5) == [AAssociateRJ(1, 2, 2)]
    assert machine.next_deadline() == 35
    assert machine.state is State.Sta13


def test_other_bits_of_the_protocol_version_are_never_tested() -> None:
    pdu = bytearray(encode_pdu(OFFER))
    pdu[6:8] = b"\xff\xff"
    [event] = fed(listening(), bytes(pdu))
    assert isinstance(event, AssociateRequested)


def test_a_request_that_cannot_be_decoded() -> None:
    machine = listening()
    [event] = fed(machine, pack_header(1, 10), bytes(10))
    assert (event.origin, event.reason) == (AbortOrigin.LOCAL_PROVIDER, 0)
    assert isinstance(event.error, PDUError)
    assert pdus(machine) == [AAbort(0)]


def test_an_answer_that_cannot_be_decoded() -> None:
    machine = asking()
    events = fed(machine, pack_header(2, 10), bytes(10))
    assert_refused(machine, events, AbortReason.INVALID_PDU_PARAMETER_VALUE)
    assert machine.agreement is None


@pytest.mark.parametrize(("result", "source", "reason"), [(1, 1, 7), (2, 3, 1), (0, 77, 255)])
def test_a_rejection_is_told_in_its_numbers_known_or_not(result: int, source: int, reason: int) -> None:
    machine = asking()
    events = fed(machine, pack_header(3, 4) + bytes((0, result, source, reason)))
    assert events == [AssociateRejected(result=result, source=source, reason=reason), ConnectionClosed()]
    assert machine.next_deadline() is None


# --- bytes behind an A-ASSOCIATE-RQ ---


def test_bytes_behind_a_request_are_held_until_it_is_answered_and_then_processed() -> None:
    machine = listening()
    [event] = fed(machine, OFFER, p_data(pdv(b"ab", 3)), p_data(pdv(b"cd", 2)), RQ)
    assert isinstance(event, AssociateRequested)
    assert machine.state is State.Sta3
    assert machine.next_event() is None
    machine.accept(answer(OFFER))
    *data, last = drain(machine)
    assert pieces(data) == [(1, True, True, b"ab"), (1, False, True, b"cd")]
    assert last == ReleaseRequested()


def test_held_bytes_are_dropped_with_a_rejected_association() -> None:
    machine = listening()
    fed(machine, OFFER, p_data(pdv()), RQ, p_data(pdv()))
    machine.reject(AAssociateRJ(1, 1, 1))
    assert drain(machine) == []
    assert pdus(machine) == [AAssociateRJ(1, 1, 1)]


def test_a_held_pdu_is_judged_by_what_was_agreed() -> None:
    machine = listening()
    fed(machine, OFFER, pack_header(4, 65))
    machine.accept(answer(OFFER, maximum_length=64))
    [event] = drain(machine)
    assert "the maximum length stated is 64" in str(event.error)


def test_what_is_held_is_bounded() -> None:
    machine = asked(limits=Limits(receive_buffer=2048))
    assert fed(machine, p_data(pdv(bytes(2035)))) == []
    assert machine.wants_read
    assert fed(machine, b"\x04") == []
    assert not machine.wants_read


def test_the_end_of_the_connection_is_not_held() -> None:
    machine = asked()
    fed(machine, p_data(pdv()))
    machine.receive_eof(now=0)
    assert drain(machine) == [Aborted(origin=AbortOrigin.TRANSPORT), ConnectionClosed()]


@pytest.mark.parametrize("early", [p_data(pdv()), RQ])
def test_early_pdus_are_unexpected_without_the_tolerance(early: bytes) -> None:
    machine = asked(tolerance=STRICT)
    assert_refused(machine, fed(machine, early), AbortReason.UNEXPECTED_PDU)


@pytest.mark.parametrize("pdu", [encode_pdu(OFFER), RP, encode_pdu(AAssociateRJ(1, 1, 1))])
def test_other_pdus_are_unexpected_before_the_answer_whatever_is_tolerated(pdu: bytes) -> None:
    machine = asked()
    assert_refused(machine, fed(machine, pdu), AbortReason.UNEXPECTED_PDU)


def test_an_abort_before_the_answer_is_told_at_once() -> None:
    assert fed(asked(), AAbort(0)) == [Aborted(origin=AbortOrigin.PEER_USER), ConnectionClosed()]


# --- release ---


@pytest.mark.parametrize("cut", [whole, every(1)])
def test_a_release_end_to_end(cut: Cut) -> None:
    one, other = Association(), Association()
    associate(one, other)
    one.release()
    assert exchange(one, other, cut=cut) == ([], [ReleaseRequested()])
    other.confirm_release()
    assert exchange(one, other, cut=cut) == ([Released(), ConnectionClosed()], [ConnectionClosed()])


@pytest.mark.parametrize("cut", [whole, every(1)])
def test_a_release_collision_end_to_end(cut: Cut) -> None:
    """Both ask; the acceptor cannot answer before the requestor has (PS3.8 7.2.2.7)."""
    one, other = Association(), Association()
    associate(one, other)
    one.release()
    other.release()
    assert exchange(one, other, cut=cut) == ([ReleaseRequested()], [ReleaseRequested()])
    assert (one.state, other.state) == (State.Sta9, State.Sta10)
    with pytest.raises(LocalProtocolError, match="not possible in Sta10"):
        other.confirm_release()
    one.confirm_release()
    assert exchange(one, other, cut=cut) == ([], [Released()])
    assert (one.state, other.state) == (State.Sta11, State.Sta12)
    other.confirm_release()
    assert exchange(one, other, cut=cut) == ([Released(), ConnectionClosed()], [ConnectionClosed()])
    assert one.next_deadline() is other.next_deadline() is None


def test_data_that_arrives_while_this_side_releases_is_delivered() -> None:
    """AR-6, for a P-DATA-TF that begins before the request, and for one that begins behind it."""
    machine = requestor()
    stream = p_data(pdv(b"abcd", 1)) + p_data(pdv(b"ef", 2))
    assert pieces(fed(machine, stream[:14])) == [(1, True, False, b"ab")]
    machine.release()
    assert pieces(fed(machine, stream[14:])) == [(1, True, False, b"cd"), (1, False, True, b"ef")]
    assert machine.state is State.Sta7
    assert fed(machine, RP) == [Released(), ConnectionClosed()]


def test_data_that_this_side_sends_after_it_was_asked_to_release_goes_before_the_answer() -> None:
    machine = acceptor()
    assert fed(machine, RQ) == [ReleaseRequested()]
    machine.send_fragment(1, DATA, command=True, last=True)  # AR-7
    assert machine.state is State.Sta8
    machine.confirm_release()
    assert [type(pdu).__name__ for pdu in pdus(machine)] == ["PDataTF", "AReleaseRP"]


@pytest.mark.parametrize("late", [p_data(pdv()), p_data(pdv()) * 3])
def test_data_behind_a_request_for_release_is_dropped(late: bytes) -> None:
    """DCMTK, Orthanc and dcmjs do so: the release is what counts."""
    machine = acceptor()
    noted: list[Any] = []
    machine.on_tolerated = noted.append
    assert fed(machine, RQ, late[:9], late[9:]) == [ReleaseRequested()]
    machine.confirm_release()
    assert [type(pdu).__name__ for pdu in pdus(machine)] == ["AReleaseRP"]
    assert machine.tolerated == {"late_data": len(noted)}
    assert {one.kind for one in noted} == {"late_data"}


def test_data_behind_a_request_for_release_that_is_too_long() -> None:
    machine = acceptor()
    assert fed(machine, RQ) == [ReleaseRequested()]
    events = fed(machine, bytes.fromhex("04 00 7fffffff"))
    assert_refused(machine, events, AbortReason.INVALID_PDU_PARAMETER_VALUE, "maximum length")


def test_what_came_early_or_is_too_long_is_counted() -> None:
    machine = asked()
    fed(machine, p_data(pdv()))
    machine.accept(answer(OFFER))
    fed(machine, b"\x05\0\0\0\0\6abcdef")
    assert machine.tolerated == {"early_pdus": 1, "long_fixed_pdus": 1}


def test_what_is_tolerated_in_offers_and_answers_is_counted() -> None:
    machine = listening()
    fed(machine, encode_pdu(OFFER).replace(b"\x20\0\0\x2e\1", b"\x20\0\0\x2e\2"))
    assert machine.tolerated == {"even_context_ids": 1}
    unanswered = evolve(answer(offer(CT)), context_results=answer(offer(VERIFICATION, CT)).context_results)
    machine = asking(offer(CT))
    assert [type(event) for event in fed(machine, unanswered)] == [AssociateAccepted]
    assert machine.tolerated == {"faulty_answers": 1}
    machine = asking(offer(CT), tolerance=Tolerance(faulty_answers=False))
    assert_refused(machine, fed(machine, unanswered), AbortReason.UNEXPECTED_PDU_PARAMETER, "which was not proposed")


def test_data_behind_a_request_for_release_is_unexpected_without_the_tolerance() -> None:
    machine = acceptor(tolerance=STRICT)
    before, *events = fed(machine, RQ, p_data(pdv()))
    assert before == ReleaseRequested()
    assert_refused(machine, events, AbortReason.UNEXPECTED_PDU)


def test_a_request_for_release_may_meet_one_that_is_being_read() -> None:
    """The six bytes of its header come in Sta6, the rest in Sta7: a collision."""
    machine = requestor()
    assert fed(machine, RQ[:8]) == []
    machine.release()
    assert fed(machine, RQ[8:]) == [ReleaseRequested()]
    assert machine.state is State.Sta9


# --- abort ---


@pytest.mark.parametrize(
    ("source", "reason", "expected"),
    [
        (0, 99, Aborted(origin=AbortOrigin.PEER_USER)),
        (2, 6, Aborted(origin=AbortOrigin.PEER_PROVIDER, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE)),
        (2, 99, Aborted(origin=AbortOrigin.PEER_PROVIDER, reason=99)),
        (77, 1, Aborted(origin=AbortOrigin.PEER_PROVIDER, reason=1)),
    ],
)
def test_an_abort_of_the_peer(source: int, reason: int, expected: Aborted) -> None:
    machine = acceptor()
    machine.send_fragment(1, DATA, command=True, last=True)
    assert fed(machine, pack_header(7, 4) + bytes((0, 0, source, reason))) == [expected, ConnectionClosed()]
    assert sent(machine) == b""


def test_after_an_abort_what_was_being_read_is_skipped_up_to_the_abort_of_the_peer() -> None:
    machine = requestor()
    data = p_data(pdv(bytes(100)), pdv(bytes(100), 2))
    fed(machine, data[:50])
    machine.abort()
    assert fed(machine, data[50:120]) == []
    assert fed(machine, data[120:], p_data(pdv()), RQ) == []
    assert machine.state is State.Sta13
    assert fed(machine, AAbort(0)) == [ConnectionClosed()]


def test_after_an_abort_a_body_that_was_being_read_is_ignored() -> None:
    machine = asking()
    pdu = encode_pdu(answer(OFFER))
    fed(machine, pdu[:50])
    machine.abort()
    assert fed(machine, pdu[50:]) == []
    assert machine.state is State.Sta13
    assert machine.agreement is None


def test_no_aborts_pile_up_however_many_requests_come() -> None:
    machine = asked()
    machine.reject(AAssociateRJ(1, 1, 1))
    assert fed(machine, encode_pdu(OFFER) * 1000) == []  # AA-7, a thousand times
    abort = AAbort(2, AbortReason.UNEXPECTED_PDU)
    assert pdus(machine) == [AAssociateRJ(1, 1, 1), abort]
    assert fed(machine, encode_pdu(OFFER) * 2, pack_header(0x99, 0)) == []
    assert pdus(machine) == [abort]


def test_a_connection_that_is_lost_before_anything_has_come() -> None:
    """AA-5: there is no association that could have been aborted."""
    machine = listening()
    machine.receive_eof(now=0)
    assert drain(machine) == [ConnectionClosed()]
    assert machine.state is State.Sta1
    assert machine.wants_close
