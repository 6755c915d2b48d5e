"""The fragmenter: PDUs cut to the byte and on demand, from views of what the user gave; one PDV in each."""

from array import array
from collections.abc import Iterable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.buffers import Buffer
from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.outbound import Outbound
from dicom_proto.upper_layer.pdu import PDV, AAbort, AReleaseRP, AReleaseRQ, PDataTF, decode_pdu, encode_pdu
from dicom_proto.upper_layer.timers import Timer
from tests.proto.profiles import times
from tests.proto.upper_layer.machines import split

NO_LIMIT = 1 << 40
RQ, RP, ABORT = encode_pdu(AReleaseRQ()), encode_pdu(AReleaseRP()), encode_pdu(AAbort(0))


def outbound(maximum_length: int = 16) -> Outbound:
    fresh = Outbound(1 << 20)
    fresh.set_maximum_length(maximum_length)
    return fresh


def put(queue: Outbound, *pieces: Buffer, context_id: int = 1, command: bool = False, last: bool = True) -> None:
    """Queue the pieces of one command or data set."""
    for number, piece in enumerate(pieces, 1):
        queue.put_fragment(context_id, piece, command=command, last=last and number == len(pieces))


def handed_out(queue: Outbound, limit: int = NO_LIMIT) -> list[bytes]:
    """The PDUs that leave."""
    return split(b"".join(queue.hand_out(limit)[0]))


def pdvs(pdus: Iterable[bytes]) -> list[PDV]:
    """The one PDV of each P-DATA-TF."""
    found = []
    for pdu in pdus:
        [pdv] = cast(PDataTF, decode_pdu(pdu[0], pdu[6:])).pdvs
        found.append(pdv)
    return found


# --- lengths ---


@pytest.mark.parametrize(
    ("maximum_length", "longest"), [(8, 2), (9, 2), (10, 4), (16, 10), (17, 10), (16384, 16378), (16385, 16378)]
)
def test_the_maximum_length_is_used_to_the_last_byte_that_leaves_fragments_even(
    maximum_length: int, longest: int
) -> None:
    queue = outbound(maximum_length)
    data = (bytes(range(256)) * 400)[: 5 * longest + 2]
    put(queue, data)
    pdus = handed_out(queue)
    cut = pdvs(pdus)
    assert b"".join(pdv.data for pdv in cut) == data
    assert {len(pdv.data) for pdv in cut[:-1]} == {longest}
    assert 0 < len(cut[-1].data) <= longest
    assert max(map(len, pdus)) == 6 + 6 + longest <= 6 + maximum_length
    assert [pdv.last for pdv in cut] == [False] * (len(cut) - 1) + [True]


@pytest.mark.parametrize(("length", "fragments"), [(2, [2]), (8, [8]), (10, [10]), (12, [10, 2]), (20, [10, 10])])
def test_no_last_fragment_is_empty(length: int, fragments: list[int]) -> None:
    queue = outbound()
    put(queue, bytes(length))
    assert [len(pdv.data) for pdv in pdvs(handed_out(queue))] == fragments


def test_a_command_and_its_data_set_go_in_pdus_of_their_own() -> None:
    queue = outbound()
    put(queue, b"ab", context_id=3, command=True)
    put(queue, b"cd", context_id=3)
    assert pdvs(handed_out(queue)) == [PDV(3, True, True, b"ab"), PDV(3, False, True, b"cd")]


def test_what_is_sent_is_what_the_codec_of_pdus_would_send() -> None:
    queue = outbound()
    put(queue, b"ab", context_id=255, command=True)
    assert handed_out(queue) == [encode_pdu(PDataTF((PDV(255, True, True, b"ab"),)))]


# --- pieces ---


def test_pieces_are_cut_across_their_borders() -> None:
    queue = outbound()
    put(queue, b"a", b"bcd", b"efghijklm", b"", b"n")
    assert [pdv.data for pdv in pdvs(handed_out(queue))] == [b"abcdefghij", b"klmn"]


def test_the_end_of_what_goes_on_is_kept_back_so_that_it_can_be_the_last_fragment() -> None:
    queue = outbound()
    put(queue, bytes(20), last=False)
    assert [len(pdv.data) for pdv in pdvs(handed_out(queue))] == [10]
    assert handed_out(queue) == []
    put(queue, b"")
    assert pdvs(handed_out(queue)) == [PDV(1, False, True, bytes(10))]
    assert not queue.is_mid_stream


def test_a_stream_may_begin_with_nothing() -> None:
    queue = outbound()
    put(queue, b"", last=False)
    assert queue.is_mid_stream
    assert handed_out(queue) == []
    put(queue, b"ab")
    assert pdvs(handed_out(queue)) == [PDV(1, False, True, b"ab")]


def test_lengths_are_counted_in_bytes_whatever_the_items_of_a_view_are() -> None:
    queue = outbound()
    put(queue, memoryview(array("H", range(8))))
    assert queue.queued == 16
    assert [len(pdv.data) for pdv in pdvs(handed_out(queue))] == [10, 6]


@pytest.mark.parametrize("pieces", [[b""], [b"", b""], [b"a"], [b"ab", b"c"], [b"a", b"bc", b""]])
def test_what_is_empty_or_odd_is_refused_and_can_still_be_mended(pieces: list[bytes]) -> None:
    queue = outbound()
    with pytest.raises(LocalProtocolError, match="even and not empty"):
        put(queue, *pieces)
    kept = b"".join(pieces[:-1])
    assert queue.queued == len(kept)
    assert queue.is_mid_stream is (len(pieces) > 1)
    put(queue, b"x" if len(kept) % 2 else b"xy")
    assert b"".join(pdv.data for pdv in pdvs(handed_out(queue))).startswith(kept + b"x")


@pytest.mark.parametrize(("context_id", "command"), [(3, False), (1, True), (3, True)])
def test_two_streams_are_never_mixed(context_id: int, command: bool) -> None:
    queue = outbound()
    put(queue, b"ab", last=False)
    with pytest.raises(LocalProtocolError, match="never mixed"):
        put(queue, b"cd", context_id=context_id, command=command)
    put(queue, b"ef")
    assert pdvs(handed_out(queue)) == [PDV(1, False, True, b"abef")]


# --- memory ---


def test_nothing_is_copied_the_views_are_of_the_users_data() -> None:
    queue = outbound(100)
    data = bytearray(1000)
    put(queue, data)
    buffers, _ = queue.hand_out(NO_LIMIT)
    headers, views = buffers[::2], buffers[1::2]
    assert [len(header) for header in headers] == [12] * 11
    assert all(isinstance(view, memoryview) and view.obj is data for view in views)


def test_nothing_is_cut_before_it_is_asked_for() -> None:
    queue = outbound()
    data = bytearray(10)
    put(queue, data)
    data[:] = b"0123456789"
    assert pdvs(handed_out(queue))[0].data == b"0123456789"


# --- limits, order and timers ---


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (22, 1), (23, 2), (44, 2), (45, 3), (1000, 3)])
def test_a_limit_is_passed_by_less_than_one_pdu(limit: int, count: int) -> None:
    queue = outbound()
    put(queue, bytes(30))
    first = handed_out(queue, limit)
    assert len(first) == count
    assert pdvs(first + handed_out(queue)) == [PDV(1, False, last, bytes(10)) for last in (False, False, True)]


def test_a_limit_counts_across_streams() -> None:
    queue = outbound()
    for _ in range(4):
        put(queue, b"ab")
    assert [len(handed_out(queue, limit)) for limit in (14, 15, -1, NO_LIMIT)] == [1, 2, 0, 1]


def test_other_pdus_do_not_count_but_wait_for_the_data_before_them() -> None:
    queue = outbound()
    queue.put_control(RP)
    put(queue, bytes(20))
    queue.put_control(RQ)
    queue.put_control(ABORT)
    assert handed_out(queue, 0) == [RP]
    assert handed_out(queue, 0) == []
    assert len(handed_out(queue, 1)) == 1
    assert handed_out(queue, 1)[1:] == [RQ, ABORT]


def test_other_pdus_wait_behind_what_has_not_ended() -> None:
    queue = outbound()
    put(queue, b"ab", last=False)
    queue.put_control(RQ)
    assert handed_out(queue) == []


def test_a_timer_starts_when_its_pdu_leaves() -> None:
    queue = outbound()
    put(queue, bytes(20))
    queue.put_control(RQ, Timer.RELEASE)
    queue.put_control(RP)
    queue.put_control(ABORT, Timer.ARTIM)
    assert queue.hand_out(22)[1] == []
    assert queue.hand_out(22)[1] == [Timer.RELEASE, Timer.ARTIM]
    assert queue.hand_out(22) == ([], [])


def test_it_is_known_whether_anything_can_leave() -> None:
    queue = outbound()
    seen = [queue.can_leave]
    put(queue, bytes(10), last=False)
    seen.append(queue.can_leave)
    put(queue, b"a", last=False)
    seen.append(queue.can_leave)
    queue.hand_out(NO_LIMIT)
    seen.append(queue.can_leave)
    put(queue, b"b")
    seen.append(queue.can_leave)
    queue.hand_out(NO_LIMIT)
    queue.put_control(RQ)
    seen.append(queue.can_leave)
    assert seen == [False, False, True, False, True, True]


def test_totals_run_and_what_is_dropped_was_never_queued() -> None:
    queue = outbound()
    put(queue, bytes(30))
    queue.hand_out(22)
    assert (queue.queued, queue.handed_out) == (30, 10)
    queue.clear()
    assert (queue.queued, queue.handed_out) == (10, 10)
    assert not queue.is_mid_stream
    assert handed_out(queue) == []
    put(queue, b"ab")
    queue.hand_out(NO_LIMIT)
    assert (queue.queued, queue.handed_out) == (12, 12)


def test_what_waits_last_can_be_asked_for() -> None:
    queue = outbound()
    assert not queue.ends_with(ABORT)
    queue.put_control(ABORT)
    assert queue.ends_with(ABORT)
    assert not queue.ends_with(RQ)
    put(queue, b"ab")
    assert not queue.ends_with(ABORT)


@times(2)
@given(
    st.integers(8, 40),
    st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=6), min_size=1, max_size=4),
    st.lists(st.integers(-1, 60), max_size=30),
)
def test_any_pieces_and_any_limits_give_the_same_pdus(
    maximum_length: int, streams: list[list[bytes]], limits: list[int]
) -> None:
    patient, hasty = outbound(maximum_length), outbound(maximum_length)
    left: list[bytes] = []
    ask = iter(limits)
    expected = []
    for number, pieces in enumerate(streams):
        end = b"." if sum(map(len, pieces)) % 2 else b".."
        data = b"".join(pieces) + end
        expected.append((2 * number + 1, number % 2 == 1, data))
        put(patient, data, context_id=2 * number + 1, command=number % 2 == 1)
        for start, piece in enumerate([*pieces, end]):
            put(hasty, piece, context_id=2 * number + 1, command=number % 2 == 1, last=start == len(pieces))
            left += handed_out(hasty, next(ask, 0))
    left += handed_out(hasty)
    assert left == handed_out(patient)
    joined: list[tuple[int, bool, bytes]] = []
    before = True
    for pdv in pdvs(left):
        data = pdv.data if before else joined.pop()[2] + pdv.data
        joined.append((pdv.context_id, pdv.command, data))
        before = pdv.last
    assert joined == expected


def test_a_whole_command_and_its_data_set() -> None:
    queue = outbound(14)
    queue.put_command(1, b"abcd")
    queue.put_data(1, memoryview(b"efgh"))
    queue.put_command(1, b"12345678" * 2)
    queue.put_data(1, memoryview(b"ABCDEFGHIJKL"))
    assert queue.queued == 36
    assert queue.hand_out(0) == ([], [])
    found = [decode_pdu(pdu[0], pdu[6:]) for pdu in split(b"".join(queue.hand_out(NO_LIMIT)[0]))]
    assert found == [
        PDataTF((PDV(1, True, True, b"abcd"),)),
        PDataTF((PDV(1, False, True, b"efgh"),)),
        PDataTF((PDV(1, True, False, b"12345678"),)),
        PDataTF((PDV(1, True, True, b"12345678"),)),
        PDataTF((PDV(1, False, False, b"ABCDEFGH"),)),
        PDataTF((PDV(1, False, True, b"IJKL"),)),
    ]


def test_who_wants_to_know_is_told_of_each_piece_that_is_queued() -> None:
    queue = outbound(14)
    told: list[int] = []
    queue.on_data = lambda: lambda: told.append(queue.queued)
    queue.put_command(1, b"abcd")
    queue.put_data(1, memoryview(b"efgh"))
    queue.put_fragment(1, b"ab", command=True, last=False)
    queue.put_fragment(1, b"", command=True, last=True)
    assert told == [4, 8, 10, 10]
    queue.on_data = lambda: None  # it is gone
    queue.put_command(1, b"abcd")
    assert len(told) == 4


def test_what_the_limit_keeps_back_is_not_read_by_the_peer() -> None:
    queue = outbound(14)
    seen = [queue.is_blocked]
    queue.put_fragment(1, bytes(20), command=False, last=False)
    seen.append(queue.is_blocked)
    for limit in (0, NO_LIMIT):
        queue.hand_out(limit)
        seen.append(queue.is_blocked)
    assert seen == [False, False, True, False]  # the rest waits for the user to end it
    queue.put_fragment(1, bytes(20), command=False, last=True)
    queue.hand_out(1)
    seen = [queue.is_blocked]
    queue.clear()
    assert [*seen, queue.is_blocked] == [True, False]


def test_room_shrinks_with_what_is_queued_and_grows_with_what_has_left() -> None:
    queue = Outbound(10)
    queue.set_maximum_length(12)
    assert queue.room == 10
    put(queue, b"abcd")
    assert queue.room == 6
    queue.put_control(RQ)  # what the protocol has to say needs none
    assert queue.room == 6
    put(queue, bytes(8))  # what has begun may be ended without room
    assert queue.room == 0
    assert len(handed_out(queue)) == 4
    assert queue.room == 10
