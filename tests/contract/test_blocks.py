"""What arrives of a large data set within a moment becomes one block."""

import socket
from collections.abc import Iterator

import pytest

from dicom_proto.buffers import Buffer
from dicom_proto.upper_layer.foresight import Foresight
from dicom_transports._socket.blocks import Block
from dicom_transports._socket.channel import Channel
from tests.contract.test_channel import connected
from tests.proto.dimse.pairs import LAST, p_data

DATA = p_data((1, 0, b"ab" * 100)) + p_data((1, LAST, b"cd" * 100))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    with connected() as (channel, far):
        yield far, channel


def gathered() -> Block:
    return Block(Foresight(0, 0, is_last=False), now=5.0)


def received(channel: Channel) -> Buffer:
    block = gathered()
    block.receive(channel)
    return block.take()


def test_it_waits_for_the_end_of_the_data_set(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    block = gathered()
    assert block.until > 5.0
    assert block.receive(channel)  # there is nothing yet
    for at in range(0, len(DATA) - 50, 50):
        far.sendall(DATA[at : at + 50])
        assert block.receive(channel)
    far.sendall(DATA[at + 50 :])
    assert not block.receive(channel)
    assert block.take() == DATA


def test_it_does_not_wait_behind_the_end_of_the_stream(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    block = gathered()
    far.sendall(DATA[:30])
    assert block.receive(channel)
    far.shutdown(socket.SHUT_WR)
    assert not block.receive(channel)
    assert channel.has_ended
    assert block.take() == DATA[:30]


def test_a_block_is_used_again_when_nobody_looks_at_it_any_more(ends: tuple[socket.socket, Channel]) -> None:
    far, channel = ends
    kept = []
    for number in range(8):
        far.sendall(bytes((number,)) * 20)
        kept.append(received(channel))
    assert [bytes(view) for view in kept] == [bytes((number,)) * 20 for number in range(8)]
    exporters = {id(view.obj) for view in kept if isinstance(view, memoryview)}
    assert len(exporters) == 8
    del kept
    view = received(channel)
    assert isinstance(view, memoryview)
    assert id(view.obj) in exporters
