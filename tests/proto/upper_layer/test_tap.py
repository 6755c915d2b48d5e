"""The tap: whole PDUs out of any cut, long ones skipped, nothing after what is no PDU."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.testing.pair import every
from dicom_proto.upper_layer.pdu import AAbort, AReleaseRP, AReleaseRQ, encode_pdu, pack_header
from dicom_proto.upper_layer.tap import PDUTap, SkippedPDU
from tests.proto.rows import for_each
from tests.proto.upper_layer.machines import p_data, pdv

LIMIT = 40
RELEASE, RELEASED, ABORT = (encode_pdu(pdu) for pdu in (AReleaseRQ(), AReleaseRP(), AAbort(0)))
FITS, LONG = p_data(pdv(bytes(LIMIT - 6))), p_data(pdv(bytes(LIMIT - 5)))
EMPTY = pack_header(4, 0)
SKIPPED = SkippedPDU(4, LIMIT + 1)


def passed(data: bytes, size: int) -> list[bytes | SkippedPDU]:
    tap = PDUTap(LIMIT)
    return [pdu for piece in every(size)(data) for pdu in tap.feed(piece)]


@for_each("size", [1, 5, 6, 7, 10, 1000])
def test_pdus_are_whole_and_long_ones_are_skipped(size: int) -> None:
    stream = RELEASE + FITS + LONG + EMPTY + LONG + LONG + RELEASED + ABORT
    assert passed(stream, size) == [RELEASE, FITS, SKIPPED, EMPTY, SKIPPED, SKIPPED, RELEASED, ABORT]


@given(st.lists(st.sampled_from([RELEASE, FITS, LONG, EMPTY])), st.integers(1, 60))
def test_any_cut(pdus: list[bytes], size: int) -> None:
    assert passed(b"".join(pdus), size) == [SKIPPED if pdu is LONG else pdu for pdu in pdus]


@for_each("size", [1, 9, 1000])
def test_nothing_follows_what_is_no_pdu(size: int) -> None:
    assert passed(RELEASE + b"GET / HTTP/1.1\r\n" + ABORT, size) == [RELEASE]


def test_long_pdu_of_a_peer_that_never_ends_it() -> None:
    tap = PDUTap(LIMIT)
    assert tap.feed(pack_header(1, 0xFFFFFFFF)) == [SkippedPDU(1, 0xFFFFFFFF)]
    for _ in range(100):
        assert tap.feed(bytes(1000)) == []


def test_the_block_may_be_used_again() -> None:
    block = bytearray(ABORT)
    (pdu,) = PDUTap(LIMIT).feed(block)
    block[:] = bytes(len(block))
    assert pdu == ABORT


def test_views_of_any_shape() -> None:
    assert PDUTap(LIMIT).feed(memoryview(ABORT).cast("B", (2, 5))) == [ABORT]
