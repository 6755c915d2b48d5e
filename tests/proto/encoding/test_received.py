"""Data sets of peers: read when they are asked for, bounded, and true to what came."""

import copy
import pickle
import tracemalloc

import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from dicom_proto.encoding.datasets import decode, encode
from dicom_proto.encoding.received import Items, Received
from dicom_proto.errors import DataSetError
from dicom_proto.limits import Limits
from tests.proto.encoding.lay import (
    BIG,
    CONTENT_SEQUENCE,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    JPEG,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    explicit,
    implicit,
)

END = implicit(SEQUENCE_END)


def received(data: bytes, transfer_syntax: str = IMPLICIT, **limits: int) -> Received:
    dataset = decode(data, transfer_syntax, limits=Limits(**limits))
    assert isinstance(dataset, Received)
    return dataset


def sequence(*items: bytes) -> bytes:
    return implicit(CONTENT_SEQUENCE, b"".join(implicit(ITEM, item) for item in items))


def test_whatever_it_is_asked_with_its_elements_are_read() -> None:
    name = implicit(0x00100010, b"Doe^Jane")
    for ask in (Received.values, lambda dataset: dict(dataset.items()).values()):
        dataset = received(name + sequence(name))
        assert dataset.PatientName == "Doe^Jane"
        assert [type(element) for element in ask(dataset)] == [DataElement, DataElement]
        (item,) = dataset[CONTENT_SEQUENCE].value
        assert [type(element) for element in ask(item)] == [DataElement]
    with pytest.raises(DataSetError):
        received(implicit(CONTENT_SEQUENCE, b"no items")).values()


def test_it_is_a_data_set_of_pydicom() -> None:
    dataset = received(implicit(0x00100010, b"Doe^Jane") + implicit(0x00100020, b"4711") + sequence(b"", b""))
    assert isinstance(dataset, Dataset)
    assert dataset.PatientID == dataset[0x00100020].value == dataset[0x0010, 0x0020].value == "4711"
    assert dataset["PatientID"].value == dataset[0x00100010:0x00100021]["PatientID"].value == "4711"
    assert [element.tag for element in dataset] == [0x00100010, 0x00100020, CONTENT_SEQUENCE]
    assert dataset == copy.deepcopy(dataset) == pickle.loads(pickle.dumps(dataset))
    with pytest.raises(KeyError):
        _ = dataset["PatientSex"]
    with pytest.raises(KeyError):
        _ = dataset["no keyword"]
    with pytest.raises(AttributeError):
        _ = dataset.PatientSex
    dataset.PatientID = "12"
    dataset.PatientSex = "F"
    assert dataset.PatientID == "12"
    assert isinstance(dataset.ContentSequence, Sequence)


def test_it_equals_what_has_the_same_elements() -> None:
    file = FileDataset("", Dataset(), is_implicit_VR=True, is_little_endian=True)
    file.PatientID = "4711"
    plain = Dataset()
    plain.PatientID = "4711"
    dataset = received(implicit(0x00100020, b"4711"))
    assert dataset == file
    assert file == dataset
    assert dataset == plain
    assert plain == dataset
    assert dataset != 5
    file.PatientID = "12"
    assert dataset != file
    assert dataset != Dataset()


def test_an_element_that_comes_twice_is_the_last() -> None:
    assert received(implicit(0x00100020, b"1 ") + implicit(0x00100020, b"2 ")).PatientID == "2"


def test_the_data_and_their_size_are_not_touched_before_somebody_asks() -> None:
    """A whole-slide image of 9,000 frames is read for its Patient ID; so are 8 MB of a million empty items."""
    frame = implicit(0x00209111, implicit(ITEM, implicit(0x00209157, b"\1\0\0\0\2\0\0\0") + implicit(0x00289145)))
    frames = implicit(0x52009230, implicit(ITEM, frame * 3) * 9_000)
    pixels = explicit(PIXEL_DATA, b"OB", implicit(ITEM) * 9_001 + END, UNDEFINED)
    slide = received(implicit(0x00100020, b"4711") + frames)
    assert slide.PatientID == "4711"
    assert len(slide.PerFrameFunctionalGroupsSequence) == 9_000
    assert slide.PerFrameFunctionalGroupsSequence[-1].FrameContentSequence[0].DimensionIndexValues == [1, 2]
    assert len(received(pixels, JPEG, data_set_elements=1).PixelData) == 9_001 * 8
    many = implicit(CONTENT_SEQUENCE, implicit(ITEM) * (1 << 20))
    tracemalloc.start()
    dataset = received(implicit(0x00100020, b"4711") + many)
    assert dataset.PatientID == "4711"
    assert tracemalloc.get_traced_memory()[0] < 30 << 20
    tracemalloc.stop()


def test_items_are_made_one_by_one() -> None:
    items = received(sequence(implicit(0x00100020, b"1 "), implicit(0x00100020, b"2 "))).ContentSequence
    assert isinstance(items, Items)
    assert len(items) == 2
    assert items[1] is items[1] is items[-1]
    assert [item.PatientID for item in items] == ["1", "2"]
    assert [item.PatientID for item in items[:1]] == ["1"]
    assert [item.PatientID for item in items.unread()] == ["1", "2"]
    with pytest.raises(IndexError):
        _ = items[2]
    items.append(Dataset())
    assert (len(items), len(items[1:])) == (3, 2)
    assert len(list(items.unread())) == len(list(items)) == 3
    assert items == [*items]
    assert (items == 5) is False
    del items[0]
    assert items[0].PatientID == "2"


def test_what_is_passed_is_neither_kept_nor_counted() -> None:
    dataset = received(sequence(*[implicit(0x00100020, b"1 ")] * 3), data_set_elements=5)
    items = dataset.ContentSequence
    items[1].PatientID = "changed"
    for _ in range(3):
        assert [item.PatientID for item in items.unread()] == ["1", "changed", "1"]
    with pytest.raises(DataSetError, match="more than 5 elements and items"):
        list(items)


def test_a_bound_holds_where_it_is_passed() -> None:
    for data in (implicit(0x00100020) * 9, sequence(*[b""] * 9)):
        with pytest.raises(DataSetError, match="the data set has more than 8 elements and items"):
            _ = received(data, data_set_elements=8).ContentSequence
    with pytest.raises(DataSetError, match="nested deeper"):
        _ = received(sequence(sequence(b"")), data_set_depth=1).ContentSequence[0].ContentSequence


def test_what_is_unknown_is_read_by_its_dictionary() -> None:
    """PS3.5 6.2.2: what came as UN has the VR of the dictionary, and is implicit and little endian."""
    uids = b"\\".join(b"1.2.%d" % number for number in range(10_000, 21_502))
    data = explicit(0x00080058, b"UN", uids + bytes(len(uids) % 2)) + explicit(0x00280010, b"UN", b"\1\0")
    item = implicit(ITEM, implicit(0x00280010, b"\2\0"))
    unknown = explicit(CONTENT_SEQUENCE, b"UN", item)
    dataset = received(data + unknown, EXPLICIT)
    assert len(uids) > 0xFFFF
    assert dataset["FailedSOPInstanceUIDList"].VR == "UI"
    assert len(dataset.FailedSOPInstanceUIDList) == 11_502
    assert type(dataset.FailedSOPInstanceUIDList[0]) is UID
    assert dataset.Rows == 1
    assert dataset.ContentSequence[0].Rows == 2
    big = explicit(0x00280010, b"UN", b"\1\0", order=">")
    big += explicit(CONTENT_SEQUENCE, b"UN", item, order=">")
    assert received(big, BIG).Rows == 1
    assert received(big, BIG).ContentSequence[0].Rows == 2
    private = explicit(0x00091001, b"UN", item, UNDEFINED) + END
    assert received(private, EXPLICIT)[0x00091001].value[0].Rows == 2


def test_undefined_lengths_are_remembered() -> None:
    inside = implicit(ITEM, implicit(0x00100020, b"1 "), UNDEFINED) + implicit(ITEM_END)
    dataset = received(implicit(CONTENT_SEQUENCE, inside + implicit(ITEM), UNDEFINED) + END)
    assert dataset["ContentSequence"].is_undefined_length
    assert dataset.ContentSequence.is_undefined_length
    assert [item.is_undefined_length_sequence_item for item in dataset.ContentSequence] == [True, False]


def test_character_sets_are_inherited() -> None:
    """PS3.5 7.5.3; a set that is none is said to the log, and not what it is."""
    name, greek = implicit(0x00100020, b"\xeb "), implicit(0x00080005, b"ISO_IR 126")
    dataset = received(implicit(0x00080005, b"ISO_IR 100") + sequence(name, greek + name))
    assert [item.PatientID for item in dataset.ContentSequence] == ["ë", "λ"]


def test_a_character_set_that_is_none(caplog: pytest.LogCaptureFixture) -> None:
    assert received(implicit(0x00080005, b"SECRET") + implicit(0x00100020, b"1 ")).PatientID == "1"
    assert "(0008,0005) SpecificCharacterSet has a value that is none" in caplog.text
    assert "SECRET" not in caplog.text


def test_pixel_representation_is_inherited() -> None:
    lut = implicit(0x00283002, b"\1\0\xff\xff\x10\0")
    for own, value in ((b"", 0xFFFF), (implicit(0x00280103, b"\1\0"), -1)):
        assert received(own + sequence(lut)).ContentSequence[0].LUTDescriptor == [1, value, 16]
    assert received(implicit(0x00280103, b"\1\0") + sequence(implicit(0x00280103, b"\0\0") + lut)).ContentSequence[
        0
    ].LUTDescriptor == [1, 0xFFFF, 16]


def test_values_of_a_wrong_length_are_kept_and_sent_on() -> None:
    """AT, US and FD that are no whole values: shortened by others, here kept as they came."""
    data = explicit(0x00091001, b"AT", b"abcdef") + explicit(0x00091002, b"FD", b"abcd")
    data += explicit(0x00280009, b"AT", b"abcdef") + explicit(CONTENT_SEQUENCE, b"ZX", b"abcd")
    dataset = received(data, EXPLICIT)
    assert [(element.VR, element.value) for element in dataset] == [("UN", b"abcdef"), ("UN", b"abcd")] * 2
    assert encode(dataset, EXPLICIT) == data


def test_what_was_read_and_not_changed_is_what_came() -> None:
    data = implicit(0x00100020, b"4711") + implicit(0x00280010, b"\1\0\2\0") + sequence(b"")
    dataset = received(data)
    assert isinstance(dataset.as_received(0x00100020), RawDataElement)
    assert dataset.as_received(0x00100030) is None
    assert (dataset.PatientID, dataset.Rows) == ("4711", [1, 2])
    assert dataset.as_received(0x00100020).value == b"4711"  # type: ignore[union-attr]
    assert dataset.as_received(0x00280010).value == b"\1\0\2\0"  # type: ignore[union-attr]
    dataset.Rows.append(3)
    assert dataset.as_received(0x00280010) is None
    dataset.PatientID = "12"
    assert dataset.as_received(0x00100020) is None
    dataset[0x00100020] = DataElement(0x00100020, "LO", "4711")
    assert dataset.as_received(0x00100020) is None
    assert dataset.as_received(CONTENT_SEQUENCE) is not None
    assert len(dataset.ContentSequence) == 1
    assert dataset.as_received(CONTENT_SEQUENCE) is None
    assert dataset.origin.little


def test_items_without_vrs_in_a_data_set_with_them() -> None:
    """Some writers mix them: each item is what its first element shows (PS3.5 6.2.2)."""
    item = implicit(0x00280010, b"\1\0") + implicit(0x00280011, b"AA")
    (read,) = received(explicit(CONTENT_SEQUENCE, b"SQ", implicit(ITEM, item)), EXPLICIT).ContentSequence
    assert (read.Rows, read.Columns, read.original_encoding) == (1, 0x4141, (True, True))
