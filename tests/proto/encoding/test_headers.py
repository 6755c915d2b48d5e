"""Headers of elements and items, in each of the three ways (PS3.5 7.1, 7.5)."""

from dicom_proto.encoding.headers import ITEM_END, SEQUENCE_END, Headers
from dicom_proto.encoding.structure import Syntax
from tests.proto.encoding import lay
from tests.proto.encoding.lay import BIG, CONTENT_SEQUENCE, EXPLICIT, IMPLICIT, PIXEL_DATA, UNDEFINED
from tests.proto.rows import for_each

OFFSETS = 0x7FE00001


def headers(transfer_syntax: str) -> Headers:
    return Headers(Syntax.of(transfer_syntax))


@for_each(("transfer_syntax", "order"), [(EXPLICIT, "<"), (BIG, ">"), (IMPLICIT, "<")])
def test_what_stands_before_and_behind(transfer_syntax: str, order: str) -> None:
    made = headers(transfer_syntax)
    for vr in ("US", "OW", "SQ"):
        expected = lay.explicit(0x00280010, vr.encode(), length=18, order=order)
        if transfer_syntax == IMPLICIT:
            expected = lay.implicit(0x00280010, length=18, order=order)
        assert made.element(0x00280010, vr, 18) == expected
    assert made.item(18) == lay.implicit(lay.ITEM, length=18, order=order)
    assert made.delimiter(ITEM_END) == lay.implicit(lay.ITEM_END, order=order)
    assert made.delimiter(SEQUENCE_END) == lay.implicit(lay.SEQUENCE_END, order=order)


@for_each(
    ("transfer_syntax", "tag", "vr", "length", "are_ready"),
    [
        (EXPLICIT, 0x00280010, "US", 2, True),
        (EXPLICIT, 0x00280010, "US", 3, False),
        (EXPLICIT, 0x00280010, "u1", 2, False),
        (EXPLICIT, 0x00280010, None, 2, False),
        (IMPLICIT, 0x00280010, None, 2, True),
        (EXPLICIT, CONTENT_SEQUENCE, "SQ", UNDEFINED, True),
        (EXPLICIT, CONTENT_SEQUENCE, "UN", UNDEFINED, False),
        (EXPLICIT, CONTENT_SEQUENCE, "", UNDEFINED, False),
        (IMPLICIT, CONTENT_SEQUENCE, "", UNDEFINED, True),
        (IMPLICIT, 0x00280010, "", UNDEFINED, False),
        (IMPLICIT, PIXEL_DATA, "", 2, False),
        (EXPLICIT, OFFSETS, "OV", 8, False),
    ],
)
def test_what_can_be_copied(transfer_syntax: str, tag: int, vr: str | None, length: int, are_ready: bool) -> None:
    assert headers(transfer_syntax).are_ready(tag, vr, length) is are_ready
