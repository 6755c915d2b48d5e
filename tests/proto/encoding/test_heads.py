"""The head of almost every file, in one go: whatever it says, the reader of any head says the same."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_proto.encoding import datasets
from dicom_proto.encoding.datasets import FileMeta, read_file_meta
from dicom_proto.encoding.heads import read_plain_head
from dicom_proto.errors import LocalProtocolError
from tests.proto.encoding.lay import BIG, DEFLATED, EXPLICIT, IMPLICIT, JPEG, explicit, implicit
from tests.proto.rows import for_each

CT, UID_1 = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"


def text(tag: int, value: str, vr: bytes = b"UI") -> bytes:
    return explicit(tag, vr, value.encode() + b"\0" * (len(value) % 2))


VERSION = explicit(0x00020001, b"OB", b"\0\1")
CHARACTER_SET = text(0x00080005, "ISO_IR 100", b"CS")
UIDS = text(0x00080016, CT), text(0x00080018, UID_1)


def meta(transfer_syntax: str) -> bytes:
    names = text(0x00020002, CT), text(0x00020003, "1.2.9")
    return b"".join((bytes(128), b"DICM", VERSION, *names, text(0x00020010, transfer_syntax)))


PLAIN = meta(EXPLICIT) + b"".join((CHARACTER_SET, *UIDS))
IMPLICIT_UIDS = implicit(0x00080016, CT.encode() + b"\0") + implicit(0x00080018, UID_1.encode() + b"\0")


@dataclass
class Judge:
    """The reader of any head, alone."""

    patch: pytest.MonkeyPatch

    def read(self, prefix: bytes) -> Any:
        with self.patch.context() as patch:
            patch.setattr(datasets, "read_plain_head", lambda _: None)
            try:
                return read_file_meta(prefix)
            except LocalProtocolError:
                return None


@for_each(
    ("content", "transfer_syntax"),
    [
        (PLAIN, EXPLICIT),
        (meta(EXPLICIT) + b"".join(UIDS), EXPLICIT),
        (meta(JPEG) + b"".join((CHARACTER_SET, *UIDS)), JPEG),
        (meta(IMPLICIT) + IMPLICIT_UIDS, IMPLICIT),
    ],
)
def test_a_plain_head(content: bytes, transfer_syntax: str) -> None:
    offset = len(meta(transfer_syntax))
    assert read_plain_head(content) == (transfer_syntax, CT, UID_1, offset)
    expected = FileMeta(
        transfer_syntax=transfer_syntax, sop_class_uid=CT, sop_instance_uid=UID_1, data_offset=offset, stated=True
    )
    assert read_file_meta(content) == Judge(pytest.MonkeyPatch()).read(content) == expected
    assert all(read_plain_head(content[:length]) is None for length in range(len(content)))


@for_each(
    "content",
    [
        b"",
        bytes(1000),
        PLAIN[:128] + b"dicm" + PLAIN[132:],
        meta(EXPLICIT).replace(b"OB", b"UN") + b"".join(UIDS),  # a VR that hardly any File Meta Information has
        meta(DEFLATED) + b"".join(UIDS),
        meta(BIG) + b"".join(UIDS),
        meta("1.2.3") + b"".join(UIDS),
        meta("") + b"".join(UIDS),
        meta(IMPLICIT) + b"".join(UIDS),  # VRs where there should be none
        meta(EXPLICIT) + IMPLICIT_UIDS,
        meta(EXPLICIT) + UIDS[1],
        meta(EXPLICIT) + text(0x00080016, "") + UIDS[1],
        meta(EXPLICIT) + UIDS[0] + text(0x00080018, ""),
        meta(EXPLICIT) + UIDS[0] + text(0x00080020, "20260101", b"DA") + UIDS[1],
        meta(EXPLICIT) + CHARACTER_SET + text(0x00080005, "ISO_IR 192", b"CS") + b"".join(UIDS),
        meta(EXPLICIT) + text(0x00041130, "DISC", b"CS") + b"".join(UIDS),
        meta(EXPLICIT) + UIDS[0] + explicit(0x00080017, b"UN", b"") + UIDS[1],
    ],
)
def test_it_says_nothing_about_any_other(content: bytes) -> None:
    assert read_plain_head(content) is None


@given(
    st.sampled_from([PLAIN, meta(IMPLICIT) + IMPLICIT_UIDS]),
    st.lists(st.tuples(st.integers(128, 300), st.integers(0, 255)), max_size=3),
    st.integers(0, 400),
)
def test_the_reader_of_any_head_says_the_same(content: bytes, changes: list[tuple[int, int]], length: int) -> None:
    changed = bytearray(content)
    for at, value in changes:
        changed[at % len(changed)] = value
    prefix = bytes(changed[: max(length, 132)])
    plain = read_plain_head(prefix)
    if plain is None:
        return
    syntax, sop_class, sop_instance, offset = plain
    assert Judge(pytest.MonkeyPatch()).read(prefix) == FileMeta(
        transfer_syntax=syntax,
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        data_offset=offset,
        stated=True,
    )
