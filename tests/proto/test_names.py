"""The names that travel in DICOM messages: those of objects that exist, and those that this side makes."""

from typing import Any

import pytest

from dicom_proto.errors import InvalidNameError
from dicom_proto.names import (
    APPLICATION_CONTEXT_NAME,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_VR_LITTLE_ENDIAN,
    check_ae_title,
    check_context_id,
    check_instance_uid,
    check_uid,
    check_version_name,
    decode_ae_title,
    encode_ae_title,
    is_instance_uid,
    is_valid_uid,
)
from tests.proto.rows import for_each


@for_each("uid", ["1.2.3", "1.2.03.4", "LOCALIZER1.2.3", "an object", "../../x", ".", "1" * 0xFFFE])
def test_what_can_name_an_object(uid: str) -> None:
    """PS3.5 9.1 binds who makes a UID, not who passes the object on: pynetdicom#88, horos#83."""
    assert is_instance_uid(uid)
    assert check_instance_uid(uid) == uid


@for_each("uid", ["", " 1.2", "1.2 ", "1\\2", "1\n2", "1.2\0", "1.é", "1" * 0xFFFF, 12, None, b"1.2"])
def test_what_cannot(uid: object) -> None:
    assert not is_instance_uid(uid)
    with pytest.raises(InvalidNameError) as caught:
        check_instance_uid(uid)  # type: ignore[arg-type]
    assert "1.2" not in str(caught.value)


def test_who_makes_a_uid_is_bound() -> None:
    for uid in ("1.02", "LOCALIZER1.2.3", "1" * 65):
        assert not is_valid_uid(uid)
        with pytest.raises(InvalidNameError):
            check_uid(uid)


@for_each(("title", "bare"), [("A", "A"), (" ANY-SCP ", "ANY-SCP"), (b"A B", "A B"), ("!" * 16, "!" * 16)])
def test_ae_titles(title: str | bytes, bare: str) -> None:
    """PS3.8 9.3.2: leading and trailing spaces are not significant, and the field has 16 bytes."""
    assert check_ae_title(title) == bare
    assert encode_ae_title(title) == bare.encode().ljust(16)
    assert decode_ae_title(encode_ae_title(title)) == bare


@for_each("title", ["", " " * 5, "A" * 17, "A\\B", "A\n", "\u00c4", b"\xc4", b"A\0", 1])
def test_what_is_no_ae_title(title: Any) -> None:
    for check in (check_ae_title, encode_ae_title):
        with pytest.raises(InvalidNameError, match="is not an AE title"):
            check(title)


@for_each(
    ("raw", "title"),
    [(b" A\0".ljust(16), "A"), (bytes(16), ""), (b" " * 16, ""), (memoryview(b"\xc4\\\n"), "\u00c4\\\n")],
)
def test_an_ae_title_of_the_peer_is_decoded_whatever_it_is(raw: bytes, title: str) -> None:
    assert decode_ae_title(raw) == title


def test_implementation_version_names() -> None:
    """PS3.7 D.3.3.2: 1 to 16 characters of ISO 646 G0."""
    for name in ("A", " \\~", "A" * 16, IMPLEMENTATION_VERSION_NAME):
        assert check_version_name(name) == name
    for wrong in ("", "A" * 17, "\u00c4", "A\n"):
        with pytest.raises(InvalidNameError, match="is not an implementation version name"):
            check_version_name(wrong)


def test_presentation_context_ids() -> None:
    """PS3.8 9.3.2.2: odd, from 1 to 255."""
    assert [number for number in range(1, 256, 2) if check_context_id(number) == number] == list(range(1, 256, 2))
    for wrong in (0, 2, 254, 256, 257, -1):
        with pytest.raises(InvalidNameError, match=f"{wrong} is not a presentation context ID"):
            check_context_id(wrong)


def test_the_uids_and_names_of_this_package_can_be_sent() -> None:
    for uid in (APPLICATION_CONTEXT_NAME, IMPLICIT_VR_LITTLE_ENDIAN, IMPLEMENTATION_CLASS_UID):
        assert check_uid(uid) == uid
