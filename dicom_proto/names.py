"""The names that travel in DICOM messages: AE titles, UIDs and presentation context IDs.

Stable.

What this side says is checked strictly; what the peer said is decoded without ever failing, and judged by whoever
uses it.
"""

import re
from functools import lru_cache
from typing import Final

from dicom_proto.errors import InvalidNameError

__all__ = [
    "APPLICATION_CONTEXT_NAME",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "check_ae_title",
    "check_context_id",
    "check_instance_uid",
    "check_uid",
    "check_version_name",
    "decode_ae_title",
    "encode_ae_title",
    "is_instance_uid",
    "is_valid_uid",
]

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1: the only one defined
IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"  # PS3.5 10.1: the default transfer syntax

# PS3.7 D.3.3.2. A UID under 2.25 is derived from a UUID and needs no registration (PS3.5 B.2).
IMPLEMENTATION_CLASS_UID: Final = "2.25.123960408079470034975714026273978101305"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM_PROTO_0"

_LONGEST_FIELD: Final = 0xFFFE  # bytes of a UI whose length field has 16 bits (PS3.5 7.1.2)
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
_INSTANCE_UID = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]*[!-\[\]-~])?")  # no padding, no backslash, which parts values
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # ISO 646 G0 without the backslash (PS3.5 6.2, VR AE)
_CONTEXT_IDS = range(1, 256, 2)
_VERSION_NAME = re.compile(r"[ -~]{1,16}")


def is_valid_uid(uid: object) -> bool:
    """Tell whether something is a UID by the rules of PS3.5 9.1: at most 64 characters, no leading zero."""
    return isinstance(uid, str) and len(uid) <= 64 and _has_uid_form(uid)


@lru_cache(maxsize=1024)
def _has_uid_form(uid: str) -> bool:
    return _UID.fullmatch(uid) is not None


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def check_uid(uid: str) -> str:
    """Return a UID as a plain string.

    Raises
    ------
    InvalidNameError
        If it breaks the construction rules of PS3.5 9.1.
    """
    if not is_valid_uid(uid):
        raise InvalidNameError(
            f"{uid!r} is not a UID: digits and dots, at most 64 characters, no leading zero in a component"
        )
    return str(uid)


def is_instance_uid(uid: object) -> bool:
    """Tell whether something can name an object that exists, whatever its maker knew about PS3.5 9.1.

    Leading zeros, letters and more than 64 characters are wrong, but the object has no other name, and who passes it on
    must not give it one. It is printable ASCII without backslash, with no space at either end, and has room in a field;
    how long it may be for a peer to name, or to be asked for, is in :class:`~dicom_proto.limits.Limits`.
    """
    return isinstance(uid, str) and len(uid) <= _LONGEST_FIELD and _matches(_INSTANCE_UID, uid)


def check_instance_uid(uid: str) -> str:
    """Return the UID of an object as a plain string, as irregular as :func:`is_instance_uid` allows.

    Raises
    ------
    InvalidNameError
        If it is anything else; the message does not repeat it.
    """
    if not is_instance_uid(uid):
        raise InvalidNameError(
            f"it cannot be the UID of an object: 1 to {_LONGEST_FIELD} printable ASCII characters, no backslash,"
            " no space at an end"
        )
    return str(uid)


def check_ae_title(title: str | bytes) -> str:
    """Return an AE title without its insignificant leading and trailing spaces (PS3.8 9.3.2).

    Raises
    ------
    InvalidNameError
        If it is empty, longer than 16 characters, or has a character outside ISO 646 G0 or a backslash (PS3.5 6.2).
    """
    text = title.decode("latin-1") if isinstance(title, bytes) else title
    if not _matches(_AE_TITLE, text) or not text.strip():
        raise InvalidNameError(
            f"{title!r} is not an AE title: 1 to 16 printable ASCII characters, not all spaces, no backslash"
        )
    return text.strip(" ")


def encode_ae_title(title: str | bytes) -> bytes:
    """Encode an AE title as the 16 space-padded bytes of a PDU header field; raises as :func:`check_ae_title`."""
    return check_ae_title(title).encode("ascii").ljust(16)


def decode_ae_title(raw: bytes) -> str:
    """Decode the 16 bytes of an AE title field; never fails.

    Padding (spaces, NULs) is dropped; bytes outside ASCII, which some devices send, become Latin-1 characters. The
    result may be empty.
    """
    return bytes(raw).decode("latin-1").strip(" \0")


def check_version_name(name: str) -> str:
    """Return an implementation version name (PS3.7 D.3.3.2): 1 to 16 characters of ISO 646 G0.

    Raises
    ------
    InvalidNameError
        If it is anything else.
    """
    if not _matches(_VERSION_NAME, name):
        raise InvalidNameError(f"{name!r} is not an implementation version name: 1 to 16 printable ASCII characters")
    return name


def check_context_id(context_id: int) -> int:
    """Return a presentation context ID (PS3.8 9.3.2.2): odd, 1 to 255.

    Raises
    ------
    InvalidNameError
        If it is anything else.
    """
    if context_id not in _CONTEXT_IDS:
        raise InvalidNameError(f"{context_id!r} is not a presentation context ID: an odd integer from 1 to 255")
    return context_id
