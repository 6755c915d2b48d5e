"""Data that arrives in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.buffers import Pieces


@given(st.lists(st.tuples(st.binary(max_size=64), st.integers(0, 60), st.booleans())))
def test_pieces_of_any_kind_are_joined(parts: list[tuple[bytes, int, bool]]) -> None:
    pieces, expected = Pieces(), b""
    for block, start, is_view in parts:
        data = memoryview(block)[start:] if is_view else block[start:]
        pieces.append(data)
        expected += data
    assert pieces.length == len(expected)
    assert pieces.join() == pieces.join() == expected


def test_a_piece_is_kept_as_it_came_unless_it_is_little_of_a_large_block() -> None:
    whole = Pieces()
    whole.append(block := bytes(1000))
    assert whole.join() is block
    little, much = Pieces(), Pieces()
    large = bytearray(b"ab" * 1000)
    for at in range(4):
        little.append(memoryview(large)[at : at + 2])
        much.append(memoryview(large)[at * 500 : at * 500 + 500])  # each is little of it, and all together are not
    other = bytearray(b"ef" * 1000)
    for pieces in (little, much):
        pieces.append(memoryview(other)[:2])
        pieces.append(b"gh")
    large[:] = b"cd" * 1000
    other[:] = b"ij" * 1000
    assert little.join() == b"abbaabbaefgh"
    assert much.join() == bytes(large) + b"efgh"
    much.append(b"kl")
    assert much.join() == bytes(large) + b"efghkl"
