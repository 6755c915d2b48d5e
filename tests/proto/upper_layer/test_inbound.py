"""The incremental reader: any cut reads the same, little is copied, and nothing grows with what the peer wishes."""

import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import PDUError
from dicom_proto.testing.strategies import data_tfs
from dicom_proto.upper_layer.events import FragmentReceived
from dicom_proto.upper_layer.inbound import Inbound
from dicom_proto.upper_layer.pdu import PDV, AReleaseRQ, PDataTF, PDUType, decode_pdu, encode_pdu, pack_header
from tests.proto.dimse.pairs import p_data as raw
from tests.proto.profiles import times
from tests.proto.upper_layer.machines import merge, p_data, pdv
from tests.proto.upper_layer.pdu_examples import EXAMPLES

CONTEXTS = frozenset(range(1, 256, 2))


def fed(*blocks: bytes) -> Inbound:
    inbound = Inbound()
    for block in blocks:
        inbound.feed(block)
    return inbound


def in_p_data(*blocks: bytes) -> Inbound:
    """A reader that has just entered the P-DATA-TF with which the blocks begin."""
    inbound = fed(*blocks)
    header = inbound.header()
    assert header is not None
    inbound.enter_data(header[1])
    return inbound


def all_pieces(inbound: Inbound) -> list[FragmentReceived]:
    """What can be read of a P-DATA-TF now, but for what is empty and not the last."""
    found = []
    while (piece := inbound.fragment(CONTEXTS)) is not None:
        if piece.data or piece.last:
            found.append(piece)
    return found


def pieces(inbound: Inbound) -> list[tuple[int, bool, bool, bytes]]:
    return [(piece.context_id, piece.command, piece.last, bytes(piece.data)) for piece in all_pieces(inbound)]


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


# --- headers and bodies ---


@pytest.mark.parametrize("cut", range(6))
def test_a_header_needs_its_six_bytes_wherever_they_are_cut(cut: int) -> None:
    head = b"\x05\xff\x00\x00\x00\x04"
    inbound = fed(head[:cut])
    assert inbound.header() is None
    inbound.feed(head[cut:])
    assert inbound.header() == inbound.header() == (5, 4)
    assert inbound.available == 6


def test_a_header_in_six_blocks() -> None:
    inbound = fed(b"\x07", b"\x00")
    assert inbound.header() is None
    for block in (b"\x00\x00", b"\x01", b"\x02"):
        inbound.feed(block)
    inbound.feed(b"body")
    assert inbound.header() == (7, 0x0102)


def test_a_header_is_read_without_anything_behind_it() -> None:
    assert fed(b"\x01\x00\xff\xff\xff\xff").header() == (1, 0xFFFFFFFF)


def test_a_body_is_collected_as_it_comes_and_nothing_of_it_waits() -> None:
    inbound = fed(pack_header(5, 4) + b"a")
    inbound.read_body(4)
    assert inbound.body() is None
    assert inbound.available == 0
    inbound.feed(b"bc")
    assert inbound.body() is None
    inbound.feed(b"d" + pack_header(6, 0))
    assert inbound.body() == b"abcd"
    assert not inbound.in_body
    assert inbound.body() is None
    assert inbound.header() == (6, 0)


def test_an_empty_body_is_there_at_once() -> None:
    inbound = fed(pack_header(5, 0))
    inbound.read_body(0)
    assert inbound.body() == b""


def test_skipping_takes_what_comes_and_keeps_none_of_it() -> None:
    inbound = fed(pack_header(9, 10) + b"abc")
    inbound.skip(10)
    assert inbound.is_skipping()
    assert inbound.available == 0
    inbound.feed(b"defghi")
    assert inbound.is_skipping()
    inbound.feed(b"j" + pack_header(6, 2))
    assert not inbound.is_skipping()
    assert inbound.header() == (6, 2)


def test_skipping_across_blocks_stops_inside_the_last() -> None:
    inbound = fed(pack_header(9, 4000), bytes(1500), bytes(1500), bytes(1000) + pack_header(6, 2) + bytes(1000))
    inbound.skip(4000)
    assert not inbound.is_skipping()
    assert inbound.header() == (6, 2)
    assert inbound.available == 1006


def test_nothing_is_skipped_without_being_told() -> None:
    inbound = fed(b"abc")
    assert not inbound.is_skipping()
    assert inbound.available == 3


def test_clear_forgets_everything() -> None:
    inbound = in_p_data(p_data(pdv(b"abcd"))[:-2])
    inbound.fragment(CONTEXTS)
    inbound.clear()
    assert not inbound.data_left
    assert not inbound.available
    assert inbound.header() is None


# --- fragments ---


def test_a_fragment_in_one_piece() -> None:
    inbound = in_p_data(p_data(pdv(b"abcd", 3, 5)))
    assert pieces(inbound) == [(5, True, True, b"abcd")]
    assert not inbound.data_left


def test_a_fragment_comes_out_in_the_pieces_in_which_it_arrives_and_only_the_last_is_last() -> None:
    inbound = in_p_data(p_data(pdv(b"abcdef", 2))[:-4])
    assert pieces(inbound) == [(1, False, False, b"ab")]
    assert inbound.data_left
    inbound.feed(b"cd")
    inbound.feed(b"e")
    assert pieces(inbound) == [(1, False, False, b"cd"), (1, False, False, b"e")]
    inbound.feed(b"f" + pack_header(5, 4))
    assert pieces(inbound) == [(1, False, True, b"f")]
    assert inbound.header() == (5, 4)


@pytest.mark.parametrize("cut", range(6, 12))
def test_a_pdv_header_wherever_it_is_cut(cut: int) -> None:
    data = p_data(pdv(b"ab", 2))
    inbound = in_p_data(data[:cut])
    assert pieces(inbound) == []
    inbound.feed(data[cut:])
    assert pieces(inbound) == [(1, False, True, b"ab")]


def test_several_pdvs_in_one_pdu_command_and_data_among_them() -> None:
    inbound = in_p_data(p_data(pdv(b"ab", 1), pdv(b"cd", 3), pdv(b"ef"), pdv(b"gh", 2)))
    assert pieces(inbound) == [
        (1, True, False, b"ab"),
        (1, True, True, b"cd"),
        (1, False, False, b"ef"),
        (1, False, True, b"gh"),
    ]


def test_other_bits_of_the_message_control_header_are_never_tested() -> None:
    assert pieces(in_p_data(p_data(pdv(b"ab", 0xFF), pdv(b"cd", 0xFC)))) == [
        (1, True, True, b"ab"),
        (1, False, False, b"cd"),
    ]


def test_empty_fragments_are_taken() -> None:
    """Only one that is the last says something; receivers should accept all (PS3.8 E.2)."""
    inbound = in_p_data(p_data(pdv(b"", 1), pdv(b"ab", 1), pdv(b""), pdv(b"", 3)))
    assert pieces(inbound) == [(1, True, False, b"ab"), (1, True, True, b"")]
    assert not inbound.data_left


def test_empty_fragments_at_the_end_of_a_pdu() -> None:
    inbound = in_p_data(p_data(pdv(b""), pdv(b"")) + pack_header(5, 4))
    assert pieces(inbound) == []
    assert not inbound.data_left
    assert inbound.header() == (5, 4)


def test_empty_fragments_are_read_one_at_a_time() -> None:
    """However many there are, so that whoever reads them can stop in between."""
    inbound = in_p_data(p_data(*[pdv(b"", 1)] * 1000))
    piece = inbound.fragment(CONTEXTS)
    assert piece == FragmentReceived(1, True, False, memoryview(b""))
    assert inbound.data_left == 6 * 999


def test_an_empty_last_fragment_waits_for_no_byte_behind_it() -> None:
    assert pieces(in_p_data(p_data(pdv(b"", 2)))) == [(1, False, True, b"")]


@pytest.mark.parametrize("length", [0, 1, 5, 0xFFFFFFFF])
def test_a_pdv_length_that_does_not_fit(length: int) -> None:
    """The PDV says 0 and 1 (less than its own header), one too many, and 4 GB."""
    inbound = in_p_data(p_data(pdv(b"ab", length=length)))
    with pytest.raises(PDUError, match=f"PDV length {length} with 4 bytes left"):
        inbound.fragment(CONTEXTS)


@pytest.mark.parametrize("length", range(1, 6))
def test_no_room_for_a_pdv_is_known_before_its_bytes_arrive(length: int) -> None:
    inbound = in_p_data(pack_header(4, length))
    with pytest.raises(PDUError, match=f"{length} bytes where"):
        inbound.fragment(CONTEXTS)


def test_a_rest_that_is_no_pdv() -> None:
    inbound = in_p_data(p_data(pdv(b"ab", 2), b"\0\0\0"))
    assert inbound.fragment(CONTEXTS) is not None
    with pytest.raises(PDUError, match="3 bytes where"):
        inbound.fragment(CONTEXTS)


def test_a_p_data_tf_without_a_pdv() -> None:
    inbound = fed(pack_header(4, 0))
    with pytest.raises(PDUError, match="without a presentation data value"):
        inbound.enter_data(0)


def test_a_pdv_of_a_context_that_was_not_accepted_is_refused_by_its_header() -> None:
    inbound = in_p_data(p_data(pdv(b"ab", 3, 7))[:12])
    with pytest.raises(PDUError, match="presentation context 7"):
        inbound.fragment({1, 3})


def test_the_rest_of_a_p_data_tf_is_skipped() -> None:
    inbound = in_p_data(p_data(pdv(b"abcdef"), pdv(b"gh"))[:15])
    assert pieces(inbound) == [(1, False, False, b"abc")]
    inbound.skip_rest()
    assert not inbound.data_left
    assert inbound.is_skipping()
    following = p_data(pdv(b"ij", 2))
    inbound.feed(p_data(pdv(b"abcdef"), pdv(b"gh"))[15:] + following)
    assert not inbound.is_skipping()
    assert inbound.header() == (4, 8)
    inbound.enter_data(8)
    assert pieces(inbound) == [(1, False, True, b"ij")]


# --- memory ---


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_views_share_memory_with_the_block_and_are_read_only(kind: type) -> None:
    block = kind(p_data(pdv(bytes(2000)), pdv(bytes(4000), 2)))
    base = block.obj if isinstance(block, memoryview) else block
    inbound = in_p_data(block)
    for size in (2000, 4000):
        piece = inbound.fragment(CONTEXTS)
        assert piece is not None
        assert len(piece.data) == size
        assert piece.data.obj is base
        assert piece.data.readonly


def test_a_large_block_behind_one_that_waits_is_not_copied_either() -> None:
    data = p_data(pdv(bytes(4000), 2))
    first, second = data[:500], data[500:]
    inbound = in_p_data(first, second)
    owners = [piece.data.obj for piece in all_pieces(inbound)]
    assert owners[0] is first
    assert owners[1] is second


def test_gathered_blocks_are_read_only_too() -> None:
    inbound = in_p_data(*byte_by_byte(p_data(pdv(b"abcdef", 2))))
    views = all_pieces(inbound)
    assert b"".join(view.data for view in views) == b"abcdef"
    assert all(view.data.readonly for view in views)


@pytest.mark.parametrize("cuts", [[], [1], [1, 2], [1500], [1000, 2000], [6, 12]])
def test_an_empty_block_means_nothing(cuts: list[int]) -> None:
    """Neither alone, nor behind a block that is kept, nor behind blocks that were gathered."""
    data = p_data(pdv(bytes(3000), 2))
    inbound = Inbound()
    for start, end in pairwise([0, *cuts, len(data)]):
        inbound.feed(b"")
        inbound.feed(data[start:end])
    inbound.feed(b"")
    assert inbound.available == len(data)
    found: list[object] = []
    read(inbound, found)
    assert found == [PDV(1, False, True, bytes(3000))]


def test_single_bytes_that_wait_cost_little_more_than_bytes_in_one_block() -> None:
    inbound = Inbound()
    byte = b"\x04"
    before = sys.getallocatedblocks()
    for _ in range(100_000):
        inbound.feed(byte)
    assert sys.getallocatedblocks() - before < 10_000
    assert inbound.available == 100_000


# --- any cut ---


def read(inbound: Inbound, found: list[object]) -> None:
    """Read as much as is there: bodies of PDUs, and fragments joined."""
    while True:
        if inbound.data_left:
            piece = inbound.fragment(CONTEXTS)
            if piece is not None:
                merge(found, piece)
            elif inbound.data_left:
                return
        elif inbound.in_body:
            body = inbound.body()
            if body is None:
                return
            found.append(body)
        else:
            header = inbound.header()
            if header is None:
                return
            (inbound.enter_data if header[0] == PDUType.P_DATA_TF else inbound.read_body)(header[1])


@times(1.5)
@given(st.lists(st.sampled_from(sorted(EXAMPLES.values())) | data_tfs().map(encode_pdu), max_size=5), st.data())
def test_any_cut_of_the_same_bytes_reads_the_same(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(sent)
    expected: list[object] = []
    for pdu in sent:
        if pdu[0] == PDUType.P_DATA_TF:
            for item in cast(PDataTF, decode_pdu(pdu[0], pdu[6:])).pdvs:
                merge(expected, item)
        else:
            expected.append(pdu[6:])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    for borders in (cuts, range(len(stream) + 1)):
        for hasty in (False, True):  # reading after every block, or when all are there
            inbound, found = Inbound(), list[object]()
            for start, end in pairwise([0, *borders, len(stream)]):
                inbound.feed(stream[start:end])
                if hasty:
                    read(inbound, found)
            read(inbound, found)
            assert found == expected
            assert not inbound.available


# --- straight ---

WHOLE = p_data(pdv(b"abcd", 3))


def test_a_fragment_that_lies_whole_in_the_block_is_read_at_once() -> None:
    inbound = fed(WHOLE + p_data(pdv(b"ef", 2, 3)))
    found = [inbound.whole(CONTEXTS, longest) for longest in (10, 0, 0)]
    assert [each and (*each[:2], bytes(each[2]), each[2].readonly) for each in found] == [
        (1, 3, b"abcd", True),
        (3, 2, b"ef", True),
        None,
    ]
    assert not inbound.available


def test_whole_fragments_in_several_blocks() -> None:
    inbound = fed(WHOLE, WHOLE * 60)
    assert inbound.available == 61 * len(WHOLE)
    count = 0
    while inbound.whole(CONTEXTS, 0):
        count += 1
    assert (count, inbound.available) == (61, 0)


@pytest.mark.parametrize(
    "block",
    [
        *[WHOLE[:cut] for cut in range(len(WHOLE))],
        pack_header(5, 4) + bytes(20),
        p_data(pdv(b"abcd", 1)),  # it goes on
        p_data(pdv(b"ab", 3), pdv(b"cd", 3)),
        p_data(pdv(b"", 3)),
        p_data(pdv(b"", 3)) + WHOLE,
        p_data(pdv(b"abcd", 3, 99)),
        p_data(pdv(b"abcd", 3, length=0)),
        p_data(pdv(b"abcd", 3, length=5)),
        p_data(pdv(b"abcd", 3, length=7)) + WHOLE,
        p_data(pdv(b"abcd", 3, length=0xFFFFFFFF)),
        p_data(pdv(b"abcdef", 3)),  # longer than what was stated
    ],
)
def test_nothing_is_read_of_what_is_odd(block: bytes) -> None:
    inbound = fed(block)
    assert inbound.whole({1}, 10) is None
    assert inbound.available == len(block)
    assert (inbound.data_left, inbound.in_body, inbound.skip_left) == (0, False, 0)


def test_nothing_is_read_straight_inside_of_something_else() -> None:
    inside = fed(p_data(pdv(b"ab"), WHOLE[6:]) + WHOLE)
    inside.enter_data(18)
    inside.fragment(CONTEXTS)
    body = fed(pack_header(5, len(WHOLE)) + WHOLE)
    body.read_body(len(WHOLE))
    skipping = fed(pack_header(5, len(WHOLE)) + WHOLE)
    skipping.skip(len(WHOLE))
    for inbound in (inside, body, skipping):
        assert inbound.whole(CONTEXTS, 0) is None


@pytest.mark.parametrize(
    ("blocks", "waiting"),
    [([], 0), ([b""], 0), ([b"abc"], 3), ([b"abc", b"de"], 5)],
)
def test_what_waits_is_between_two_pdus_or_not(blocks: list[bytes], waiting: int) -> None:
    inbound = fed(*blocks)
    assert inbound.available == waiting
    assert inbound.is_between_pdus == (waiting == 0)


def test_within_a_pdu_nothing_need_wait() -> None:
    """A header that was read is followed by something, though nothing of that is here."""
    reading, passing, inside = (fed(encode_pdu(AReleaseRQ())[:6]) for _ in range(3))
    for inbound in (reading, passing, inside):
        assert inbound.header() is not None
    reading.read_body(4)
    passing.skip(4)
    inside.enter_data(4)
    for inbound in (reading, passing, inside):
        assert inbound.available == 0
        assert not inbound.is_between_pdus


# --- runs ---


def run_of(inbound: Inbound, longest: int = 0) -> tuple[bytes, bool]:
    """What is read together, with spaces in between."""
    found = inbound.run(1, longest)
    assert found is not None
    return b" ".join(found[0]), found[1]


def test_fragments_of_one_data_set_are_read_together() -> None:
    inbound = fed(raw((1, 0, b"ab")) + raw((1, 0, b"cd")) + raw((1, 2, b"ef")) + raw((1, 0, b"gh")))
    assert run_of(inbound) == (b"ab cd ef", True)
    assert run_of(inbound) == (b"gh", False)
    assert inbound.is_between_pdus
    assert inbound.run(1, 0) is None


@pytest.mark.parametrize(
    "odd",
    [
        raw((3, 0, b"cd")),
        raw((1, 1, b"cd")),
        raw((1, 0, b"")),
        raw((1, 0, b"c"), (1, 0, b"d")),
        raw((1, 0, b"cdefghijklm")),
        encode_pdu(AReleaseRQ()),
    ],
)
def test_a_run_ends_where_something_else_begins(odd: bytes) -> None:
    inbound = fed(raw((1, 0, b"ab")) + odd + bytes(12))
    assert run_of(inbound, 16) == (b"ab", False)
    assert inbound.run(1, 16) is None
    assert inbound.header() == (odd[0], len(odd) - 6)


def test_a_run_is_bounded_and_begins_with_a_pdu() -> None:
    inbound = fed(raw((1, 0, b"ab")) * 100)
    found = inbound.run(1, 0)
    assert found is not None
    assert len(found[0]) == 64
    assert in_p_data(raw((1, 0, b"ab"))).run(1, 0) is None


def test_foresight_begins_where_everything_has_been_read() -> None:
    whole = raw((1, 2, b"abcd"), (1, 0, b"e"))
    inbound = fed(whole[:2])
    assert inbound.foresee() is None
    inbound.clear()
    foresight = inbound.foresee()
    assert foresight is not None
    assert foresight.is_in_midst(whole, 14)
    assert not foresight.is_in_midst(whole, 16)
    inbound = in_p_data(whole[:14])
    all_pieces(inbound)
    foresight = inbound.foresee()
    assert foresight is not None
    assert foresight.is_in_midst(b"c", 1)
    assert not foresight.is_in_midst(b"cd", 2)
