from random import Random

import pytest

from dicom_proto.testing.samples import PDUS
from dicom_proto.testing.structure import Part, break_length, mend_lengths, parse, split


@pytest.mark.parametrize("name", PDUS)
def test_what_is_valid_stays_as_it_is(name):
    assert mend_lengths(PDUS[name]) == PDUS[name]


def lengths(part):
    return [part.off, *(off for inner in part.parts for off in lengths(inner))]


@pytest.mark.parametrize("name", PDUS)
def test_one_length_is_broken(name):
    data = PDUS[name]
    seen = set()
    for seed in range(60):
        broken = break_length(data, Random(seed))
        assert len(broken) == len(data)
        changed = [at for at, (new, old) in enumerate(zip(broken, data, strict=True)) if new != old]
        assert 1 <= len(changed) <= changed[-1] - changed[0] + 1 <= 4
        seen.add(changed[0])
    parts = sum(1 for _ in parse(data).walk())
    assert len(seen) > parts // 2


def test_any_bytes_are_a_tree():
    random = Random(1)
    for length in range(120):
        data = bytes((random.choice((1, 2, 4, 5)),)) + random.randbytes(length)
        mended = mend_lengths(data)
        assert mend_lengths(mended) == mended
        assert int.from_bytes(mended[2:6], "big") == len(mended) - 6


def test_parts_know_their_kind_and_can_be_replaced():
    tree = parse(PDUS["associate-rq"])
    assert [part.kind for part in tree.parts] == [0x10, 0x20, 0x50]
    assert parse(PDUS["p-data-echo-rq"]).parts[0].kind == -1
    context = tree.parts[1]
    assert tree.replace(context, context, context).parts[1:3] == (context, context)
    assert len(tree.replace(context.parts[0]).parts[1].parts) == 1
    new = Part(b"\1\0", 4)
    assert tree.replace(tree, new) is new
    assert tree.replace(new) is tree


def test_a_stream_is_split_into_pdus():
    pdus = [PDUS["associate-rq"], PDUS["p-data-echo-rq"], PDUS["release-rq"][:7]]
    assert split(b"".join(pdus)) == pdus
