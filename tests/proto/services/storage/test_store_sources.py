"""Objects that are read, or converted, while they are sent (PS3.7 9.1.1, PS3.5 Annex A)."""

import pytest
from pydicom.uid import UID

from dicom_proto.dimse.events import DataChunk, RequestReceived
from dicom_proto.dimse.messages import CStoreRSP
from dicom_proto.encoding.datasets import FileMeta, decode, encode
from dicom_proto.encoding.inflating import deflate
from dicom_proto.encoding.sources import Source
from dicom_proto.errors import EncodingError
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call
from dicom_proto.services.storage.store import StoredObject, fit_object, store_object_scu
from tests.proto.encoding.lay import explicit
from tests.proto.programs.script import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    InPieces,
    Script,
    ScriptedPeer,
    Task,
    carry,
    connected,
    dataset_of,
    offer_of,
)
from tests.proto.rows import for_each
from tests.proto.services.storage.test_store import ENCODED, IMAGE, RLE, Looked, stored, with_meta
from tests.proto.wire import drain

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


def test_it_lands_once_to_be_converted() -> None:
    """However many encodings are tried: the value is too long for explicit VR."""
    long = ENCODED_BIG[:-10] + explicit(0x00100020, b"UN", bytes(70_000), order=">")
    near, _ = connected(offer_of((CT, EXPLICIT), (CT, IMPLICIT)))
    script = Script(fit_object(ScriptedPeer(near, Handlers()), stored(BIG_ENDIAN, InPieces(long))))
    call = script.expect(Call)
    fitted = script.end(call.function(*call.arguments))
    assert (fitted.transfer_syntax, fitted.data) == (IMPLICIT, encode(decode(long, BIG_ENDIAN), IMPLICIT))


@for_each(("transfer_syntax", "is_converted"), [(EXPLICIT, False), (BIG_ENDIAN, True)])
def test_one_object_that_is_read_while_it_is_sent(transfer_syntax: str, is_converted: bool) -> None:
    near, far = connected(offer_of((CT, EXPLICIT)))
    data = ENCODED_BIG if is_converted else ENCODED
    peer = ScriptedPeer(near, Handlers())
    task = Task(peer, store_object_scu(peer, stored(transfer_syntax, InPieces(data[:9], data[9:]))))
    carry(near, far)
    request, *chunks = drain(far)
    assert isinstance(request, RequestReceived)
    assert b"".join(bytes(chunk.data) for chunk in chunks if isinstance(chunk, DataChunk)) == ENCODED
    far.send_response(CStoreRSP(message_id_being_responded_to=request.message_id, status=0))
    carry(near, far)
    task.advance()
    assert task.value.response.status == 0
