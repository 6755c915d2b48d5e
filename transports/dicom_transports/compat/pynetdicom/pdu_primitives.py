"""``pynetdicom.pdu_primitives``: the negotiation items, and the primitives, to ask what ``event.primitive`` is."""

from typing import Any, Final

from dicom_proto.offers.items import (
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from dicom_proto.upper_layer import pdu
from dicom_transports.compat.pynetdicom._instances import class_of

__all__ = [
    "A_ABORT",
    "A_ASSOCIATE",
    "A_P_ABORT",
    "A_RELEASE",
    "P_DATA",
    "AsynchronousOperationsWindowNegotiation",
    "ImplementationClassUIDNotification",
    "ImplementationVersionNameNotification",
    "MaximumLengthNotification",
    "SCP_SCU_RoleSelectionNegotiation",
    "SOPClassCommonExtendedNegotiation",
    "SOPClassExtendedNegotiation",
    "UserIdentityNegotiation",
]

_PROVIDER: Final = 2  # source of an A-ABORT (PS3.8 9.3.8)


def _is_associate(instance: Any) -> bool:
    return isinstance(instance, pdu.AAssociateRQ | pdu.AAssociateAC | pdu.AAssociateRJ)


def _is_release(instance: Any) -> bool:
    return isinstance(instance, pdu.AReleaseRQ | pdu.AReleaseRP)


def _is_abort(instance: Any) -> bool:
    return isinstance(instance, pdu.AAbort) and instance.source != _PROVIDER


def _is_provider_abort(instance: Any) -> bool:
    return isinstance(instance, pdu.AAbort) and instance.source == _PROVIDER


def _is_data(instance: Any) -> bool:
    return isinstance(instance, pdu.PDataTF)


A_ASSOCIATE = class_of("A_ASSOCIATE", __name__, _is_associate)
A_RELEASE = class_of("A_RELEASE", __name__, _is_release)
A_ABORT = class_of("A_ABORT", __name__, _is_abort)
A_P_ABORT = class_of("A_P_ABORT", __name__, _is_provider_abort)
P_DATA = class_of("P_DATA", __name__, _is_data)
