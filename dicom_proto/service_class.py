"""The service classes of PS3.4, by name, for whoever must say which service a SOP class or a status code belongs to.

Stable.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["SERVICE_CLASS_UIDS", "ServiceClass"]


class ServiceClass(StrEnum):
    """A service class of PS3.4, in the order of its annexes."""

    VERIFICATION = "Verification"
    STORAGE = "Storage"
    QUERY_RETRIEVE = "Query/Retrieve"
    REPOSITORY_QUERY = "Query/Retrieve (Repository Query)"
    PROCEDURE_STEP = "Procedure Step (MPPS)"
    PRINT_MANAGEMENT = "Print Management"
    MEDIA_STORAGE = "Media Storage"
    STORAGE_COMMITMENT = "Storage Commitment"
    BASIC_WORKLIST_MANAGEMENT = "Basic Worklist Management"
    GENERAL_PURPOSE_WORKLIST = "General Purpose Worklist"
    APPLICATION_EVENT_LOGGING = "Application Event Logging"
    RELEVANT_PATIENT_INFORMATION_QUERY = "Relevant Patient Information Query"
    INSTANCE_AVAILABILITY_NOTIFICATION = "Instance Availability Notification"
    MEDIA_CREATION_MANAGEMENT = "Media Creation Management"
    HANGING_PROTOCOL_QUERY_RETRIEVE = "Hanging Protocol Query/Retrieve"
    SUBSTANCE_ADMINISTRATION_QUERY = "Substance Administration Query"
    COLOR_PALETTE_QUERY_RETRIEVE = "Color Palette Query/Retrieve"
    COMPOSITE_INSTANCE_ROOT_RETRIEVE = "Composite Instance Root Retrieve"
    COMPOSITE_INSTANCE_RETRIEVE_WITHOUT_BULK_DATA = "Composite Instance Retrieve Without Bulk Data"
    IMPLANT_TEMPLATE_QUERY_RETRIEVE = "Implant Template Query/Retrieve"
    UNIFIED_PROCEDURE_STEP = "Unified Procedure Step"
    RT_MACHINE_VERIFICATION = "RT Machine Verification"
    DISPLAY_SYSTEM_MANAGEMENT = "Display System Management"
    NON_PATIENT_OBJECT_STORAGE = "Non-Patient Object Storage"
    DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE = "Defined Procedure Protocol Query/Retrieve"
    PROTOCOL_APPROVAL_QUERY_RETRIEVE = "Protocol Approval Query/Retrieve"
    INVENTORY_QUERY_RETRIEVE = "Inventory Query/Retrieve"
    STORAGE_MANAGEMENT = "Storage Management"
    REAL_TIME_COMMUNICATION = "Real-Time Communication"  # PS3.22: not DIMSE
    OTHER_RETIRED = "Other retired"  # patient, study and results management of old editions


# The few that have a UID of their own (PS3.6 A.1), which SOP Class Common Extended Negotiation carries (PS3.7 D.3.3.6).
SERVICE_CLASS_UIDS: Final[Mapping[ServiceClass, str]] = MappingProxyType(
    {
        ServiceClass.STORAGE: "1.2.840.10008.4.2",
        ServiceClass.UNIFIED_PROCEDURE_STEP: "1.2.840.10008.5.1.4.34.6",
    }
)
