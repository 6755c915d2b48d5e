"""Objects that are read while they are sent: they are converted first if the peer wants another transfer syntax."""

from dicom_proto.dimse.events import DataChunk, RequestReceived
from dicom_proto.dimse.messages import CStoreRSP
from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call
from dicom_proto.services.storage.sending import fit_object, store_object_scu
from dicom_proto.testing.pair import drain
from tests.proto.encoding.lay import explicit
from tests.proto.programs.script import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    InPieces,
    Script,
    ScriptedPeer,
    Task,
    carry,
    connected,
    offer_of,
)
from tests.proto.rows import for_each
from tests.proto.services.storage.test_store import ENCODED, IMAGE, stored

ENCODED_BIG = encode(IMAGE, BIG_ENDIAN)


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
