"""C-STORE in both roles, and what is sent on which presentation context."""

import struct
import warnings
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless

from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.encoding.datasets import FileMeta, LongValueError, decode, encode, file_preamble_and_meta
from dicom_proto.encoding.rules import EncodingRules
from dicom_proto.errors import EncodingError, LocalProtocolError, MissingElementError
from dicom_proto.handlers.kinds import EVT_C_STORE
from dicom_proto.handlers.registry import Handlers
from dicom_proto.programs.effects import Call, Receive
from dicom_proto.programs.peer import Peer
from dicom_proto.services.storage.sending import fit_object
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.upper_layer.events import AbortOrigin
from dicom_proto.upper_layer.failures import AssociationAborted
from tests.proto.programs.script import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    Scene,
    Script,
    connected,
    dataset_of,
    offer_of,
    statuses,
)
from tests.proto.rows import for_each
from tests.proto.services.storage import test_chunks as chunks

IMAGE = dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2.3", PatientID="1")
ENCODED = encode(IMAGE, EXPLICIT)


def with_meta(transfer_syntax: str) -> Dataset:
    image = decode(ENCODED, EXPLICIT)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    return image


def stored(transfer_syntax: str | None = EXPLICIT, data: Any = ENCODED, **more: Any) -> StoredObject:
    known: dict[str, Any] = {"sop_class_uid": CT, "sop_instance_uid": "1.2.3"}
    return StoredObject(**(known | more), transfer_syntax=transfer_syntax, data=data)


def meta_of(transfer_syntax: str = EXPLICIT, **uids: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax)
    for keyword, uid in ({"MediaStorageSOPClassUID": CT, "MediaStorageSOPInstanceUID": "1.2.3"} | uids).items():
        setattr(meta, keyword, uid)
    return meta


def frame(**elements: Any) -> Dataset:
    """An image of 2 x 2 pixels."""
    image = dataset_of(
        SOPClassUID=CT,
        SOPInstanceUID="1.2.3",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=2,
        Columns=2,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
    )
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    return image


RLE = str(RLELossless)
PIXELS = bytes([1, 2, 3, 4])
SEGMENT = bytes([3, *PIXELS])  # a literal run
FRAME = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + SEGMENT + b"\0"


def compressed(fragment: bytes = FRAME) -> Dataset:
    image = frame()
    image.add_new("PixelData", "OB", encapsulate([fragment]))
    image.file_meta = meta_of(RLE)
    return image


def request() -> CStoreRQ:
    return CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


# --- what there is to be stored ---------------------------------------------------------------------------------------


def test_a_stored_object_is_one() -> None:
    assert StoredObject.of(stored()) == stored()


@for_each(
    ("dataset", "transfer_syntax"),
    [
        (IMAGE, None),
        (with_meta(JPEG), JPEG),
        (with_meta(IMPLICIT), IMPLICIT),
        (decode(ENCODED, EXPLICIT), EXPLICIT),
        (decode(encode(IMAGE, IMPLICIT), IMPLICIT), IMPLICIT),
        (decode(encode(IMAGE, BIG_ENDIAN), BIG_ENDIAN), BIG_ENDIAN),
    ],
)
def test_a_data_set_knows_its_transfer_syntax(dataset: Dataset, transfer_syntax: str | None) -> None:
    assert StoredObject.of(dataset) == stored(transfer_syntax, dataset)


@for_each("kind", [bytes, bytearray, memoryview])
def test_the_content_of_a_file_is_sent_as_it_is(kind: Any) -> None:
    content = file_preamble_and_meta(CT, "1.2.3", JPEG) + ENCODED
    found = StoredObject.of(kind(content))
    assert (found.sop_class_uid, found.sop_instance_uid, found.transfer_syntax) == (CT, "1.2.3", JPEG)
    assert bytes(found.encode(JPEG)) == ENCODED


def test_a_file_of_pydicom_is_read_as_it_is_written() -> None:
    image = with_meta(EXPLICIT)
    out = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.save_as(out, enforce_file_format=True)
    assert dcmread(BytesIO(out.getvalue())).PatientID == "1"
    assert StoredObject.of(out.getvalue()) == stored(EXPLICIT, memoryview(ENCODED))


@for_each(
    "meta",
    [
        meta_of(),
        FileMeta(transfer_syntax=EXPLICIT, sop_class_uid=CT, sop_instance_uid="1.2.3", data_offset=999, stated=True),
    ],
)
@for_each("kind", [bytes, bytearray, memoryview])
def test_a_data_set_behind_its_file_meta(meta: Any, kind: Any) -> None:
    found = StoredObject.of((meta, kind(ENCODED)))
    assert found == stored(EXPLICIT, found.data)
    assert bytes(found.encode(EXPLICIT)) == ENCODED


@for_each(
    ("value", "missing"),
    [
        (dataset_of(SOPClassUID=CT), "a Dataset without SOP Instance UID cannot"),
        (Dataset(), "a Dataset without SOP Class UID and SOP Instance UID cannot"),
        ((meta_of(TransferSyntaxUID=""), ENCODED), "a FileMetaDataset without Transfer Syntax UID cannot"),
    ],
)
def test_what_is_missing_is_said(value: Any, missing: str) -> None:
    with pytest.raises(MissingElementError, match=missing):
        StoredObject.of(value)


@for_each(
    "value",
    [
        None,
        (),
        (meta_of(), "text"),
        (ENCODED, meta_of()),
        "image.dcm",
        b"",
        b"no DICOM file",
        Dataset(),
        dataset_of(SOPClassUID=CT),
        dataset_of(SOPInstanceUID="1.2.3"),
        dataset_of(SOPClassUID=CT, SOPInstanceUID=""),
    ],
)
def test_anything_else_cannot_be_stored(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        StoredObject.of(value)


@for_each("transfer_syntax", [IMPLICIT, EXPLICIT])
@for_each("as_dataset", [True, False])
def test_decompression(transfer_syntax: str, as_dataset: bool) -> None:
    image = compressed()
    before = encode(image, RLE)
    what = StoredObject.of(image if as_dataset else (image.file_meta, before))
    found = decode(what.encode(transfer_syntax), transfer_syntax)
    assert (found.PixelData, found.SOPInstanceUID, found.Rows) == (PIXELS, "1.2.3", 2)
    assert encode(image, RLE) == before
    assert image.file_meta.TransferSyntaxUID == RLE
    assert what.encode(RLE) == before


class Looked:
    """What is in a file that is mapped."""

    def __init__(self, data: bytes, asked: list[bytes]) -> None:
        self.data, self.asked = data, asked

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, where: slice) -> bytes:
        self.asked.append(self.data)
        return self.data[where]


class Gone(Looked):
    def __getitem__(self, where: slice) -> bytes:
        raise LocalProtocolError("it is gone")


def test_what_may_not_be_looked_at_is_read() -> None:
    """By whoever has to: bytes that are sent as they are stay where they are."""
    asked: list[bytes] = []
    lost = b"no more than a length"
    plain, deflated = stored(data=lost, look=Looked(ENCODED, asked)), stored(DEFLATED, lost, look=Looked(b"odd", asked))
    assert plain == stored(data=lost)
    assert stored(data=lost * 2, look=Looked(b"", asked)).encode(EXPLICIT) == lost * 2
    assert asked == []
    assert plain.encode(IMPLICIT) == encode(IMAGE, IMPLICIT)
    assert deflated.encode(DEFLATED) == b"odd\0"
    packed = encode(compressed(), RLE)
    assert stored(RLE, lost, look=Looked(packed, asked)).encode(EXPLICIT) == encode(frame(PixelData=PIXELS), EXPLICIT)
    assert asked == [ENCODED, b"odd", packed]
    for length in (1, 1 << 20):
        gone = stored(data=bytes(length), look=Gone(ENCODED, asked))
        for convert in (gone.encode, gone.encode_or_convert):
            with pytest.raises(EncodingError, match=r"SOP Instance 1.2.3 cannot be sent as Implicit .*: it is gone"):
                convert(IMPLICIT)


def test_what_nobody_can_change() -> None:
    """A view of what a user has, or of a file, may have something else in it when it is sent."""
    for constant in (ENCODED, memoryview(ENCODED)):
        assert stored(data=constant).is_constant
        assert stored(data=constant).constant() == stored(data=constant)
    for data in (bytearray(ENCODED), memoryview(bytearray(ENCODED))):
        assert not stored(data=data).is_constant
        assert stored(data=data).constant().data == ENCODED
        assert stored(data=data).constant().is_constant
    mapped = stored(data=memoryview(bytearray(len(ENCODED))), look=Looked(ENCODED, []))
    assert (mapped.constant().data, mapped.constant().look) == (ENCODED, None)
    for image, own in ((IMAGE, EXPLICIT), (with_meta(IMPLICIT), IMPLICIT), (compressed(), RLE)):
        made = StoredObject.of(image).constant()
        assert (made.transfer_syntax, made.data) == (own, encode(image, own))
    with pytest.raises(LocalProtocolError, match="it is gone"):
        stored(data=bytearray(ENCODED), look=Gone(ENCODED, [])).constant()


def test_there_may_be_nothing_to_decompress() -> None:
    assert stored(RLE, ENCODED).encode(IMPLICIT) == encode(IMAGE, IMPLICIT)


def test_what_cannot_be_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalProtocolError, match=r"SOP Instance 1.2.3 cannot be sent as Implicit .*its RLE Lossless"):
        StoredObject.of(compressed(b"no header")).encode(IMPLICIT)
    unknown = compressed()
    unknown.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.999")
    with pytest.raises(LocalProtocolError, match=r"its 1.2.840.10008.1.2.4.999 cannot be decompressed"):
        StoredObject.of(unknown).encode(EXPLICIT)
    jpeg = compressed()
    jpeg.file_meta.TransferSyntaxUID = UID(JPEG)
    monkeypatch.setattr(get_decoder(JPEG), "_available", {})
    with pytest.raises(LocalProtocolError, match=r"its JPEG Baseline .*missing dependencies"):
        StoredObject.of(jpeg).encode(EXPLICIT)


def test_a_deflated_data_set_may_lack_its_padding() -> None:
    padded = next(made for made in map(deflated, range(64)) if made[-1] == 0)
    for data in (padded[:-1], memoryview(padded)[:-1]):
        unpadded = stored(DEFLATED, data)
        assert not unpadded.is_encoded_in(DEFLATED)
        assert unpadded.encode(DEFLATED) == padded
        one, _ = connected(offer_of((CT, DEFLATED)))
        call = Script(fit_object(Peer(one, Handlers()), unpadded)).expect(Call)
        assert call.function(*call.arguments)[1] == padded
    whole = stored(DEFLATED, padded)
    assert whole.is_encoded_in(DEFLATED)
    assert whole.encode(DEFLATED) is padded


def test_what_is_odd_is_padded() -> None:
    """PS3.5 6.2, 7.1.1, PS3.8 E.1: pynetdicom#704, dcm4che#1199 (an odd fragment; PS3.5 A.4)."""
    odd = struct.pack("<HH2sH", 0x10, 0x20, b"LO", 3)
    one = stored(data=odd + b"abc")
    assert not one.is_encoded_in(EXPLICIT)
    assert one.encode(EXPLICIT) == odd[:-2] + b"\4\0abc "
    assert stored(IMPLICIT, struct.pack("<HHL", 0x10, 0x20, 3) + b"abc").encode(EXPLICIT) == odd[:-2] + b"\4\0abc "
    jpeg = struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    fragment = struct.Struct("<HHL").pack
    assert stored(JPEG, jpeg + fragment(0xFFFE, 0xE000, 5) + b"12345" + end).encode(JPEG) == (
        jpeg + fragment(0xFFFE, 0xE000, 6) + b"12345\0" + end
    )
    with pytest.raises(LocalProtocolError, match=r"SOP Instance 1.2.3 cannot be sent as Explicit"):
        stored(data=b"odd").encode(EXPLICIT)


def deflated(length: int) -> bytes:
    """A data set that is padded for some lengths."""
    return encode(dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2.3", PatientID="x" * length), DEFLATED)


def test_conversion() -> None:
    assert stored().encode(EXPLICIT) is ENCODED
    assert stored(data=bytearray(ENCODED)).encode(IMPLICIT) == encode(IMAGE, IMPLICIT)
    assert stored(None, IMAGE).encode(BIG_ENDIAN) == encode(IMAGE, BIG_ENDIAN)


@for_each(
    "what",
    [stored(data=b"\x10\x00\x10\x00PN\xff\xffab"), stored(None), stored(data=Dataset(), transfer_syntax="1.2.3")],
)
def test_what_cannot_be_converted(what: StoredObject) -> None:
    with pytest.raises(LocalProtocolError):
        what.encode(IMPLICIT if what.transfer_syntax != "1.2.3" else "1.2.3")


# --- SCP --------------------------------------------------------------------------------------------------------------


def test_scp_calls_the_handler_with_the_whole_object() -> None:
    here = Scene((CT, EXPLICIT), bindings=[(EVT_C_STORE, lambda _: 0)])
    script = here.ask(request(), ENCODED)
    script.expect(Receive)
    call = script.expect(Call, here.peer.event((1, False)))
    assert call.arguments[0].dataset == IMAGE
    script.end(0xB000)
    assert statuses(here.replies()) == [0xB000]


@for_each(
    ("handler", "status"),
    [
        (lambda _: 0, 0),
        (lambda _: dataset_of(Status=0xB006), 0xB006),
        (lambda event: event.dataset, 0xC001),
        (lambda _: None, 0xC002),
        (lambda event: event.identifier, 0xC211),
        (lambda _: 1 / 0, 0xC211),
        (None, 0xC211),
    ],
)
def test_scp_statuses(handler: Any, status: int) -> None:
    here = Scene((CT, EXPLICIT), bindings=[] if handler is None else [(EVT_C_STORE, handler)])
    assert statuses(here.serve(request(), ENCODED)) == [status]


def test_scp_hands_the_object_in_chunks_to_a_handler_that_wants_them() -> None:
    here = chunks.scene(lambda event: 0xB000 if b"".join(chunks.pieces(here, event)) == ENCODED else 0xC000)
    assert statuses(here.serve(request(), ENCODED)) == [0xB000]


def test_scp_at_the_end_of_the_association() -> None:
    here = Scene(CT)
    script = here.ask(request(), ENCODED)
    script.expect(Receive)
    here.acceptor.abort()
    with pytest.raises(AssociationAborted):
        script.fail_at_last(AssociationAborted(AbortOrigin.TRANSPORT, 0, None))


def test_scp_refuses_what_is_too_long_for_its_memory() -> None:
    here = Scene(CT, bindings=[(EVT_C_STORE, lambda _: 0)])
    here.peer.data_limit = 100
    assert statuses(here.serve(request(), bytes(1 << 17))) == [0xA700]
    assert statuses(here.serve(request(), bytes(100))) == [0]


# --- values that are too long for explicit VR -------------------------------------------------------------------------

LONG = dataset_of(SOPClassUID=CT, SOPInstanceUID="1.2.3", ReferencedFrameNumber=["1234567890"] * 6_000)


def test_a_value_that_is_too_long_is_refused() -> None:
    with pytest.raises(LongValueError, match=r"SOP Instance 1.2.3: .* ReferencedFrameNumber has 66000 bytes"):
        StoredObject.of(LONG).encode(EXPLICIT, EncodingRules(long_values="refuse"))
