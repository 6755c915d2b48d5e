from random import Random

import pytest

from dicom_proto.testing.mutators import mutate_bytes, mutate_command_set, mutate_list, mutate_pdu, mutate_stream
from dicom_proto.testing.samples import COMMANDS, PDUS

WAYS = {
    mutate_bytes: PDUS["associate-rq"],
    mutate_pdu: PDUS["associate-rq-full"],
    mutate_stream: PDUS["associate-rq"] + PDUS["p-data-echo-rq"] + PDUS["release-rq"],
    mutate_command_set: COMMANDS["c-move-rsp"][0],
}


def grown(way, data, count=2000):
    random = Random(1)
    found = []
    for number in range(count):
        data = way(data if number % 10 else WAYS[way], random)
        found.append(data)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_gives_the_same_changes(way):
    first = grown(way, WAYS[way])
    assert first == grown(way, WAYS[way])
    assert len(set(first)) > 500


@pytest.mark.parametrize("way", WAYS)
def test_any_bytes_can_be_changed(way):
    random = Random(2)
    for length in (0, 1, 5, 6, 7, 40, 80):
        for _ in range(50):
            assert isinstance(way(random.randbytes(length), random), bytes)


def test_the_length_of_a_pdu_is_mended():
    for data in grown(mutate_pdu, WAYS[mutate_pdu]):
        assert int.from_bytes(data[2:6], "big") == len(data) - 6


def test_parts_of_a_list_are_changed_dropped_repeated_moved_and_put_in():
    random = Random(3)
    seen = {"".join(mutate_list("abc", random, str.upper, lambda: "n")) for _ in range(500)}
    assert {"Abc", "bc", "bac", "abca", "abcn", "nabc"} <= seen
