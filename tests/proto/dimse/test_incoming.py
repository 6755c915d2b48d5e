from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.dimse.events import DataChunk
from dicom_proto.dimse.incoming import Assembler, Handling
from dicom_proto.dimse.messages import encode_message
from dicom_proto.errors import AbortReason, LimitExceededError, PDUError
from dicom_proto.limits import Limits
from dicom_proto.upper_layer.events import FragmentReceived
from tests.proto.dimse.pairs import echo, store
from tests.proto.profiles import times

ECHO = encode_message(echo(7), has_data_set=False)
STORE = encode_message(store(7), has_data_set=True)


def piece(data: bytes, *, command: bool = False, last: bool = False, context: int = 1) -> FragmentReceived:
    return FragmentReceived(context_id=context, command=command, last=last, data=memoryview(data))


def is_mid_message(assembler: Assembler) -> bool:
    return assembler.is_mid_message  # through a function: a type checker takes a property for a constant


def expecting(handling: Handling, *, invoked: bool = False, data_set: int = 100) -> Assembler:
    assembler = Assembler(Limits(data_set=data_set))
    assembler.expect_data(1, 7, invoked=invoked, handling=handling)
    return assembler


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [ECHO, STORE], ids=["echo", "store"])
def test_command_in_one_piece(command: bytes) -> None:
    assembler = Assembler(Limits())
    assert not is_mid_message(assembler)
    assert assembler.take_command(piece(command, command=True, last=True)) == command
    assert not is_mid_message(assembler)


@given(st.lists(st.integers(0, len(STORE)), max_size=5))
@times(2)
def test_command_in_any_pieces(cuts: list[int]) -> None:
    assembler = Assembler(Limits())
    edges = sorted([0, *cuts, len(STORE)])
    for start, end in pairwise(edges[:-1]):
        assert assembler.take_command(piece(STORE[start:end], command=True)) is None
        assert is_mid_message(assembler)
    assert assembler.take_command(piece(STORE[edges[-2] :], command=True, last=True)) == STORE
    assert not is_mid_message(assembler)
    assert assembler.take_command(piece(ECHO, command=True, last=True)) == ECHO  # nothing is left over


def test_command_without_an_end_is_bounded() -> None:
    assembler = Assembler(Limits(command_set=256))
    for _ in range(2):
        assembler.take_command(piece(bytes(128), command=True))
    with pytest.raises(LimitExceededError, match="more than 256"):
        assembler.take_command(piece(b"\0\0", command=True))


def test_command_that_is_too_long_in_one_piece() -> None:
    with pytest.raises(LimitExceededError, match="more than 256"):
        Assembler(Limits(command_set=256)).take_command(piece(bytes(258), command=True, last=True))


def test_command_on_two_contexts() -> None:
    assembler = Assembler(Limits())
    assembler.take_command(piece(STORE[:20], command=True, context=1))
    with pytest.raises(PDUError, match="a command on two") as raised:
        assembler.take_command(piece(STORE[20:], command=True, last=True, context=3))
    assert raised.value.abort_reason is AbortReason.UNEXPECTED_PDU_PARAMETER


def test_command_while_a_data_set_is_expected() -> None:
    assembler = expecting(Handling.STREAM)
    assert is_mid_message(assembler)
    with pytest.raises(PDUError, match="a command before the data set") as raised:
        assembler.take_command(piece(ECHO, command=True, last=True))
    assert raised.value.abort_reason is AbortReason.UNEXPECTED_PDU_PARAMETER


# --- data sets --------------------------------------------------------------------------------------------------------


def test_data_set_that_nobody_announced() -> None:
    with pytest.raises(PDUError, match="without a command") as raised:
        Assembler(Limits()).take_data(piece(b"ab", last=True))
    assert raised.value.abort_reason is AbortReason.UNEXPECTED_PDU_PARAMETER


def test_data_set_in_the_middle_of_a_command() -> None:
    assembler = Assembler(Limits())
    assembler.take_command(piece(STORE[:20], command=True))
    with pytest.raises(PDUError, match="without a command"):
        assembler.take_data(piece(b"ab", last=True))


def test_data_set_on_another_context_than_its_command() -> None:
    with pytest.raises(PDUError, match="two presentation contexts") as raised:
        expecting(Handling.STREAM).take_data(piece(b"ab", last=True, context=3))
    assert raised.value.abort_reason is AbortReason.UNEXPECTED_PDU_PARAMETER


@pytest.mark.parametrize("invoked", [False, True])
def test_streamed_data_set_is_passed_on_as_it_arrives(invoked: bool) -> None:
    assembler = expecting(Handling.STREAM, invoked=invoked, data_set=0)
    expected = assembler.expected
    assert expected is not None
    assert (expected.context_id, expected.message_id, expected.invoked) == (1, 7, invoked)
    first, last = piece(b"ab"), piece(b"cd", last=True)
    chunk = assembler.take_data(first)
    assert chunk == DataChunk(message_id=7, invoked=invoked, data=b"ab", last=False)
    assert chunk is not None
    assert chunk.data is first.data  # a view, not a copy
    assert is_mid_message(assembler)
    assert assembler.take_data(last) == DataChunk(message_id=7, invoked=invoked, data=b"cd", last=True)
    assert not is_mid_message(assembler)
    assert assembler.expected is None


@pytest.mark.parametrize("pieces", [[b""], [b"abcd"], [b"abcd", b""], [b"a", b"b", b"c", b"d"], [b"x" * 100]])
def test_collected_data_set_is_passed_on_whole(pieces: list[bytes]) -> None:
    assembler = expecting(Handling.COLLECT)
    for data in pieces[:-1]:
        assert assembler.take_data(piece(data)) is None
    chunk = assembler.take_data(piece(pieces[-1], last=True))
    assert chunk == DataChunk(message_id=7, invoked=False, data=b"".join(pieces), last=True)
    assert chunk is not None
    assert type(chunk.data) is bytes
    assert not is_mid_message(assembler)


def test_collected_data_set_starts_anew_with_each_message() -> None:
    assembler = expecting(Handling.COLLECT)
    for data in (b"ab", b"cd"):
        assembler.expect_data(1, 7, invoked=False, handling=Handling.COLLECT)
        assert assembler.take_data(piece(data, last=True)) == DataChunk(
            message_id=7, invoked=False, data=data, last=True
        )


@pytest.mark.parametrize("last", [False, True])
def test_collected_data_set_is_bounded(last: bool) -> None:
    assembler = expecting(Handling.COLLECT)
    assembler.take_data(piece(bytes(100)))
    with pytest.raises(LimitExceededError, match="more than 100"):
        assembler.take_data(piece(b"\0", last=last))


def test_dropped_data_set_ends_like_any_other() -> None:
    assembler = expecting(Handling.DROP)
    assert assembler.take_data(piece(bytes(1000))) is None
    assert is_mid_message(assembler)
    assert assembler.take_data(piece(b"", last=True)) is None
    assert not is_mid_message(assembler)
    assert assembler.take_command(piece(ECHO, command=True, last=True)) == ECHO


@pytest.mark.parametrize("handling", [Handling.STREAM, Handling.COLLECT])
def test_rest_of_a_data_set_is_dropped_on_demand(handling: Handling) -> None:
    assembler = expecting(handling)
    assembler.take_data(piece(b"ab"))
    assembler.drop_data(7)
    assert assembler.take_data(piece(bytes(1000))) is None
    assert assembler.take_data(piece(b"cd", last=True)) is None
    assembler.expect_data(1, 9, invoked=False, handling=Handling.COLLECT)  # what was collected of it is gone
    chunk = assembler.take_data(piece(b"ef", last=True))
    assert chunk == DataChunk(message_id=9, invoked=False, data=b"ef", last=True)


@pytest.mark.parametrize(("message_id", "invoked"), [(8, False), (7, True)])
def test_data_set_of_another_operation_is_not_dropped(message_id: int, invoked: bool) -> None:
    assembler = expecting(Handling.COLLECT, invoked=invoked)
    assembler.take_data(piece(b"ab"))
    assembler.drop_data(message_id)
    chunk = assembler.take_data(piece(b"cd", last=True))
    assert chunk == DataChunk(message_id=7, invoked=invoked, data=b"abcd", last=True)


def test_dropping_without_a_data_set_does_nothing() -> None:
    assembler = Assembler(Limits())
    assembler.drop_data(7)
    assert not is_mid_message(assembler)


def test_pieces_are_told_of_together_where_that_is_asked_for() -> None:
    for message_id, invoked, handling, joined in (
        (7, False, Handling.STREAM, True),
        (8, False, Handling.STREAM, False),
        (7, True, Handling.STREAM, False),
        (7, False, Handling.COLLECT, False),
    ):
        assembler = expecting(handling, invoked=invoked)
        assert assembler.expected is not None
        assembler.expected.message_id = 7
        assembler.join_data(message_id)
        assert (assembler.expected.handling is Handling.JOIN) == joined
    assembler = expecting(Handling.STREAM)
    assembler.take_data(piece(b"ab", last=True))
    assembler.join_data(7)
    assert assembler.expected is None
    joining = expecting(Handling.JOIN)
    chunk = joining.take_data(piece(b"ab"))
    assert chunk is not None
    assert chunk.data == b"ab"
