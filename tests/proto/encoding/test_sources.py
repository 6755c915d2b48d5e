"""Data sets that are read while they are sent."""

from collections.abc import Iterator

from dicom_proto.encoding.sources import ReadOnceError, Source


class Two(Source):
    def pieces(self) -> Iterator[bytes]:
        yield from (b"12", b"34")


def test_all_of_it_in_memory() -> None:
    assert Two().land() == (b"1234", b"1234")
    assert not Two().is_spent


def test_why_it_cannot_be_sent_again() -> None:
    assert str(ReadOnceError()).endswith("it cannot be sent again")
    assert str(ReadOnceError("the association was aborted")).endswith(" again (the association was aborted)")
