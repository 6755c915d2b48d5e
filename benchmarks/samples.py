"""What is encoded, decoded and sent: the same for every contestant."""

import mmap
from typing import Final

from dicom_proto.dimse.messages import CStoreRQ
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.upper_layer import build_offer
from dicom_proto.upper_layer.items import ContextResult, UserInformation
from dicom_proto.upper_layer.pdu import PDV, AAssociateAC, AAssociateRQ, PDataTF

__all__ = [
    "CT_IMAGE",
    "CT_INSTANCE",
    "IMAGE_BYTES",
    "P_DATA",
    "TRANSFER_SYNTAXES",
    "VERIFICATION",
    "accepting",
    "constant_memory",
    "new_offers",
    "offer_128",
    "store_request",
]

VERIFICATION: Final = "1.2.840.10008.1.1"
CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
CT_INSTANCE: Final = "1.2.826.0.1.3680043.8.498.12036448132951470213412345678901234567"
IMAGE_BYTES: Final = 526_336  # a CT image of 512 x 512 pixels in 16 bits
TRANSFER_SYNTAXES: Final = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
)
P_DATA: Final = PDataTF((PDV(context_id=1, command=False, last=False, data=bytes(16376)),))


def store_request(message_id: int | None = None) -> CStoreRQ:
    """Return a request to store a CT image; without a message ID it gets one when it is sent."""
    return CStoreRQ(message_id=message_id, affected_sop_class_uid=CT_IMAGE, affected_sop_instance_uid=CT_INSTANCE)


def offer_128(number: int = 0) -> AAssociateRQ:
    """Return an offer of 128 contexts with 4 transfer syntaxes each; another number gives other abstract syntaxes."""
    contexts = [(f"1.2.840.10008.5.1.4.1.1.{number}.{index}", TRANSFER_SYNTAXES) for index in range(128)]
    return build_offer("ARCHIVE", "CT_SCANNER", contexts)


def new_offers() -> list[AAssociateRQ]:
    """Return so many different offers that, when they come again, none of them is remembered."""
    return [offer_128(number) for number in range(1, 17)]


def accepting(offer: AAssociateRQ, maximum_length: int) -> AAssociateAC:
    """Return an answer that accepts everything."""
    results = (ContextResult(each.context_id, 0, each.transfer_syntaxes[0]) for each in offer.presentation_contexts)
    information = UserInformation(maximum_length=maximum_length, implementation_class_uid="1.2.3")
    return AAssociateAC(context_results=tuple(results), user_information=information, echo=offer.echo or bytes(64))


def constant_memory(length: int) -> memoryview:
    """Return zeros that take no memory: all of them are one page of the system."""
    return memoryview(mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ))
