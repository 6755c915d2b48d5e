"""Conversations for captures: who says what, in order."""

import struct
from typing import Final

from dicom_proto.dimse.messages import CFindRQ, CFindRSP, CStoreRQ
from dicom_proto.testing.pair import CT, STUDY_FIND, answer
from dicom_proto.upper_layer.items import UserIdentity
from dicom_proto.upper_layer.negotiation import build_offer
from dicom_proto.upper_layer.pdu import AAssociateRQ, encode_pdu
from tests.test_captures import ECHO_RQ, ECHO_RSP, INSTANCE, RELEASE_RP, RELEASE_RQ, say, stored
from tests.traces.packets import Steps

VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT: Final = "1.2.840.10008.1.2"
PATIENT: Final = "DOE^JANE"
OFFER: Final = build_offer(
    "ARCHIVE",
    "SCANNER",
    [(VERIFICATION, IMPLICIT), (CT, IMPLICIT), (STUDY_FIND, IMPLICIT)],
    identity=UserIdentity(2, b"jane", b"Open Sesame!"),
)


def element(tag: int, value: bytes) -> bytes:
    """An element in Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def image(pixels: int = 3000) -> bytes:
    return b"".join(
        [
            element(0x00080016, CT.encode() + b"\0"),
            element(0x00081140, struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2),
            element(0x00091001, b"private!"),
            element(0x00100010, PATIENT.encode()),
            element(0x00280010, struct.pack("<H", 512)),
            element(0x7FE00010, bytes(pixels)),
        ]
    )


def begun(offer: AAssociateRQ = OFFER) -> list[tuple[bool, bytes]]:
    return [(False, encode_pdu(offer)), (True, encode_pdu(answer(offer)))]


def stores(data: bytes, message_id: int = 1) -> list[tuple[bool, bytes]]:
    request = CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid=INSTANCE)
    return [(False, say(request, data, context=3)), (True, stored(message_id, context=3))]


def match(status: int, identifier: bytes | None = None) -> bytes:
    response = CFindRSP(message_id_being_responded_to=7, affected_sop_class_uid=STUDY_FIND, status=status)
    return say(response, identifier, context=5)


QUERY: Final = say(CFindRQ(message_id=7, affected_sop_class_uid=STUDY_FIND), element(0x00100010, b"*\0"), context=5)
RELEASED: Final = [(False, RELEASE_RQ), (True, RELEASE_RP)]
ECHO: Final[Steps] = [*begun(), (False, ECHO_RQ), (True, ECHO_RSP), *RELEASED]
STORE: Final[Steps] = [*begun(), *stores(image()), *stores(image(100), 2), *RELEASED]
FIND: Final[Steps] = [
    *begun(),
    (False, QUERY),
    (True, match(0xFF00, element(0x00100010, PATIENT.encode()))),
    (True, match(0)),
    *RELEASED,
]
