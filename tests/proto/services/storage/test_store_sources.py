"""Objects that are read, or converted, while they are sent (PS3.7 9.1.1, PS3.5 Annex A)."""

import pytest
from pydicom.uid import UID

from dicom_proto.encoding.datasets import FileMeta, decode, encode
from dicom_proto.encoding.inflating import deflate
from dicom_proto.encoding.sources import Source
from dicom_proto.errors import EncodingError
from dicom_proto.services.storage.store import StoredObject
from tests.proto.programs.script import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    InPieces,
    dataset_of,
)
from tests.proto.rows import for_each
from tests.proto.services.storage.test_store import ENCODED, IMAGE, RLE, Looked, stored, with_meta

ENCODED_BIG = encode(IMAGE, BIG_ENDIAN)
LARGE = encode(dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2.3", PixelData=bytes(1 << 20), BitsAllocated=16), EXPLICIT)


@for_each("transfer_syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_large_one_is_converted_while_it_is_sent(transfer_syntax: str) -> None:
    asked: list[bytes] = []
    for look in (None, Looked(LARGE, asked)):
        large = stored(data=LARGE, look=look)
        converted = large.encode_or_convert(transfer_syntax)
        assert isinstance(converted, Source)
        assert b"".join(converted.pieces()) == large.encode(transfer_syntax)
        assert large.encode_or_convert(EXPLICIT) is LARGE
    assert asked


def test_what_is_converted_at_once() -> None:
    """What is small, a Dataset, compressed, or deflated and of odd length; and what the encoder alone can judge."""
    odd = LARGE + b"\xfc\xff\xfc\xffOB\0\0\1\0\0\0\0"
    padded = stored(data=odd).encode_or_convert(EXPLICIT)
    assert isinstance(padded, Source)
    assert b"".join(padded.pieces()) == stored(data=odd).encode(EXPLICIT)
    backwards = LARGE + ENCODED[-10:]
    for what, transfer_syntax in (
        (stored(), IMPLICIT),
        (stored(data=decode(LARGE, EXPLICIT)), IMPLICIT),
        (stored(DEFLATED, deflate(LARGE) + bytes(1 << 20 | 1)), DEFLATED),
        (stored(data=backwards), IMPLICIT),
    ):
        assert what.encode_or_convert(transfer_syntax) == what.encode(transfer_syntax)
    with pytest.raises(EncodingError):
        stored(RLE, LARGE).encode_or_convert(IMPLICIT)
    with pytest.raises(EncodingError):
        stored(data=LARGE).encode_or_convert(RLE)


def test_what_is_read_while_it_is_sent() -> None:
    source = InPieces(ENCODED[:9], ENCODED[9:])
    meta = FileMeta(transfer_syntax=EXPLICIT, sop_class_uid=CT, sop_instance_uid="1.2.3", data_offset=0, stated=True)
    file_meta = with_meta(EXPLICIT).file_meta
    file_meta.MediaStorageSOPClassUID, file_meta.MediaStorageSOPInstanceUID = UID(CT), UID("1.2.3")
    for what in (StoredObject.of((meta, source)), StoredObject.of((file_meta, source))):
        assert what == stored(data=source)
        assert what.is_encoded_in(EXPLICIT)
        assert what.encode_or_convert(EXPLICIT) is source
        assert what.landed() == stored()
        assert what.encode(IMPLICIT) == encode(IMAGE, IMPLICIT)
        assert what.decode() == IMAGE
