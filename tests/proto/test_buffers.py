"""Data that arrives in pieces."""

import weakref

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


def test_much_is_copied_to_where_it_can_be_given_back_from() -> None:
    """In pieces of that as well, which are as large as what there is already, up to a bound."""
    asked: list[int] = []
    freed: list[weakref.ref[Block]] = []

    def allocate(length: int) -> Block:
        asked.append(length)
        block = Block(length)
        freed.append(weakref.ref(block))
        return block

    block = bytes(range(256)) * 1000
    pieces = Pieces(allocate)
    for _ in range(4):
        pieces.append(block)
    assert asked == []
    for number in range(29):
        pieces.extend([memoryview(block)[number:]])
    pieces.extend([memoryview(block)[29:9999], memoryview(block)[9999:]])
    assert asked[0] == 1 << 22 < asked[1] < asked[2] <= pieces.length
    assert len(asked) == 3
    assert pieces.length == 34 * len(block) - sum(range(30))
    assert pieces.join() == block * 4 + b"".join(block[number:] for number in range(30))
    assert [ref() for ref in freed] == [None, None, None]
    pieces.append(b"more")
    assert pieces.join() == block * 4 + b"".join(block[number:] for number in range(30)) + b"more"


class Block(bytearray):
    """Memory that can be missed."""


def test_consecutive_pieces_of_one_block() -> None:
    pieces, block = Pieces(), memoryview(b"abcdefgh")
    pieces.extend([block[:3], block[3:4], block[4:]])
    assert (pieces.length, pieces.join()) == (8, b"abcdefgh")
