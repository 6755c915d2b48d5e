"""What is to come of a data set, told from the headers in what has arrived."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.upper_layer.foresight import Foresight
from dicom_proto.upper_layer.pdu import AReleaseRQ, encode_pdu
from tests.proto.dimse.pairs import COMMAND, LAST, p_data
from tests.proto.rows import for_each

PIECES = st.lists(st.lists(st.binary(min_size=0, max_size=9), min_size=1, max_size=3), min_size=1, max_size=4)


@given(PIECES, st.integers(0, 12), st.data())
def test_the_end_of_the_data_set_is_seen_when_it_is_there(
    pdus: list[list[bytes]], left: int, data: st.DataObject
) -> None:
    """In however many PDUs and PDVs it comes, behind the rest of one PDV, and however it is cut."""
    last = pdus[-1].pop()
    body = bytes(left) + b"".join(p_data(*((1, 0, piece) for piece in pieces)) for pieces in pdus[:-1])
    body += p_data(*((1, 0, piece) for piece in pdus[-1]), (1, LAST, last))
    foresight = Foresight(left, left, is_last=False)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body) - 1), max_size=9)))
    assert all(foresight.is_in_midst(body[:cut], cut) for cut in cuts)
    assert not foresight.is_in_midst(body, len(body))
    assert not foresight.is_in_midst(body + b"more", len(body) + 4)


def test_the_piece_that_is_being_read_may_be_the_last() -> None:
    foresight = Foresight(3, 3, is_last=True)
    assert foresight.is_in_midst(b"ab", 2)
    assert not foresight.is_in_midst(b"abc", 3)


def test_no_more_of_a_block_is_looked_at_than_has_arrived() -> None:
    block = p_data((1, 0, b"ab")) + p_data((1, LAST, b"cd"))
    foresight = Foresight(0, 0, is_last=False)
    assert all(foresight.is_in_midst(block, length) for length in range(len(block)))


@for_each(
    "block",
    [
        encode_pdu(AReleaseRQ()) + bytes(9),
        encode_pdu(AReleaseRQ())[:1],
        p_data((1, COMMAND, b"ab")),
        p_data((1, 0, b"ab"), (1, COMMAND | LAST, b"ab")),
        b"\4\0\0\0\0\x08\0\0\0\x07\1\0abcdefgh",  # a PDV that is longer than its PDU
        b"\4\0\0\0\0\x08\0\0\0\1\1\0abcdefgh",  # and one that is too short
    ],
)
def test_anything_else_is_to_be_judged_at_once(block: bytes) -> None:
    assert not Foresight(0, 0, is_last=False).is_in_midst(block, len(block))
