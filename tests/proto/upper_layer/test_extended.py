"""What the bytes of extended negotiation mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.errors import LocalProtocolError
from dicom_proto.upper_layer.extended import (
    CompositeRetrieveOptions,
    ElementCoercion,
    QueryOptions,
    RetrieveOptions,
    StorageLevel,
    StorageOptions,
    WorklistOptions,
    declare_storage,
)
from dicom_proto.upper_layer.items import CommonExtendedNegotiation
from tests.proto.rows import for_each

LAYOUTS = [
    (StorageOptions(), b"\3\0\0\0\2\0"),  # what an SCU offers
    (
        StorageOptions(level=StorageLevel.FULL, digital_signature_level=3, element_coercion=ElementCoercion.POSSIBLE),
        b"\2\0\3\0\1\0",
    ),
    (StorageOptions(level=StorageLevel.LOCAL, element_coercion=ElementCoercion.NONE), b"\0\0\0\0\0\0"),
    (StorageOptions(level=StorageLevel.BASE), b"\1\0\0\0\2\0"),
    (QueryOptions(), b"\0"),
    (QueryOptions(relational=True), b"\1"),
    (QueryOptions(combined_datetime=True), b"\0\1"),
    (QueryOptions(fuzzy_names=True), b"\0\0\1"),
    (QueryOptions(timezone_adjustment=True), b"\0\0\0\1"),
    (QueryOptions(relational=True, view=True), b"\1\0\0\0\1"),
    (QueryOptions(empty_values=True), b"\0\0\0\0\0\1"),
    (QueryOptions(multiple_values=True), b"\0\0\0\0\0\0\1"),
    (RetrieveOptions(), b"\0"),
    (RetrieveOptions(relational=True), b"\1"),
    (RetrieveOptions(view=True), b"\0\1"),
    (CompositeRetrieveOptions(), b"\0\0"),
    (CompositeRetrieveOptions(view=True), b"\0\1"),
    (WorklistOptions(), b"\1\1\0"),
    (WorklistOptions(fuzzy_names=True), b"\1\1\1"),
    (WorklistOptions(timezone_adjustment=True), b"\1\1\0\1"),
]
Options = StorageOptions | QueryOptions | RetrieveOptions | CompositeRetrieveOptions | WorklistOptions


@for_each(("options", "information"), LAYOUTS)
def test_layouts(options: Options, information: bytes) -> None:
    assert options.encode() == information
    assert type(options).decode(information) == options
    assert type(options).decode(information + bytes(9)) == options


def test_numbers_that_are_not_listed_are_kept() -> None:
    options = StorageOptions.decode(b"\x09\xff\x08\xff\x07\xff")
    assert (options.level, options.digital_signature_level, options.element_coercion) == (9, 8, 7)
    assert StorageOptions.decode(b"\2").level is StorageLevel.FULL
    assert StorageOptions.decode(b"") == StorageOptions(level=0, digital_signature_level=0, element_coercion=0)


@for_each(
    "options",
    [StorageOptions(level=4), StorageOptions(digital_signature_level=-1), StorageOptions(element_coercion=3)],
)
def test_numbers_that_are_not_listed_are_not_sent(options: StorageOptions) -> None:
    with pytest.raises(LocalProtocolError):
        options.encode()


@for_each(
    ("options", "offered", "answer"),
    [
        (QueryOptions(relational=True, fuzzy_names=True), b"\1", b"\1"),  # one byte is answered with one
        (QueryOptions(relational=True, fuzzy_names=True), b"\1\1\1", b"\1\0\1"),
        (QueryOptions(), b"\1\1\1\1\1\1\1", b"\0"),
        (QueryOptions(relational=True), b"\2\0", b"\0"),  # neither 0 nor 1
        (QueryOptions(relational=True), b"", b"\0"),
        (RetrieveOptions(view=True), b"\1\1", b"\0\1"),
        (CompositeRetrieveOptions(view=True), b"\1\1", b"\0\1"),  # the first byte is never looked at
        (WorklistOptions(fuzzy_names=True, timezone_adjustment=True), b"\1\1\1", b"\1\1\1"),
        (WorklistOptions(timezone_adjustment=True), b"\1\1\1\1", b"\1\1\0\1"),
    ],
)
def test_an_acceptor_answers_what_is_offered_and_it_can_do(
    options: QueryOptions | RetrieveOptions | CompositeRetrieveOptions | WorklistOptions, offered: bytes, answer: bytes
) -> None:
    assert options.answer(offered) == answer


@given(st.sampled_from([StorageOptions, QueryOptions, RetrieveOptions, WorklistOptions]), st.binary(max_size=12))
def test_any_bytes_can_be_read(kind: type[Options], information: bytes) -> None:
    assert kind.decode(information) == kind.decode(information.ljust(20, b"\0"))


def test_a_sop_class_is_declared_to_be_storage() -> None:
    basic_text = "1.2.840.10008.5.1.4.1.1.88.11"
    general = tuple(f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (22, 33, 34, 35))
    assert declare_storage(basic_text) == CommonExtendedNegotiation(basic_text, "1.2.840.10008.4.2", general)
    assert declare_storage(basic_text, []).related_general_sop_class_uids == ()
    assert declare_storage("1.2.3") == CommonExtendedNegotiation("1.2.3", "1.2.840.10008.4.2")
    assert declare_storage("1.2.3", ["1.2.4"]).related_general_sop_class_uids == ("1.2.4",)
    with pytest.raises(LocalProtocolError):
        declare_storage("1.02")
