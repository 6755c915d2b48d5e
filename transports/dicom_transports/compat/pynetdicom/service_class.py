"""``pynetdicom.service_class``: the service classes by name, with what they may answer; they do nothing themselves."""

from typing import Any, Final

from dicom_proto import service_class as ours
from dicom_proto import status

__all__ = ["SERVICE_CLASSES", "ServiceClass"]


class ServiceClass:
    """The base of all service classes, and what stands for one that is not known.

    Attributes
    ----------
    member : dicom_proto.service_class.ServiceClass or None
        What it is called here.
    statuses : dict of int to tuple of str
        Category and meaning of what it may answer.
    """

    member: Any = None
    statuses: dict[int, tuple[str, str]] = status.GENERAL_STATUS


# Of each the member, what else it stands for here, and the statuses.
_MEMBERS: Final = {
    "ApplicationEventLogging": ("APPLICATION_EVENT_LOGGING", "APPLICATION_EVENT_LOGGING_SERVICE_CLASS_STATUS"),
    "BasicWorklistManagement": ("BASIC_WORKLIST_MANAGEMENT", "MODALITY_WORKLIST_SERVICE_CLASS_STATUS"),
    "ColorPaletteQueryRetrieve": ("COLOR_PALETTE_QUERY_RETRIEVE", "QR_MOVE_SERVICE_CLASS_STATUS"),
    "DefinedProcedureProtocolQueryRetrieve": (
        "DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE",
        "QR_MOVE_SERVICE_CLASS_STATUS",
    ),
    "DisplaySystemManagement": ("DISPLAY_SYSTEM_MANAGEMENT", "GENERAL_STATUS"),
    "HangingProtocolQueryRetrieve": ("HANGING_PROTOCOL_QUERY_RETRIEVE", "QR_MOVE_SERVICE_CLASS_STATUS"),
    "ImplantTemplateQueryRetrieve": ("IMPLANT_TEMPLATE_QUERY_RETRIEVE", "QR_MOVE_SERVICE_CLASS_STATUS"),
    "InstanceAvailabilityNotification": ("INSTANCE_AVAILABILITY_NOTIFICATION", "GENERAL_STATUS"),
    "InventoryQueryRetrieve": ("INVENTORY_QUERY_RETRIEVE", "QR_MOVE_SERVICE_CLASS_STATUS"),
    "MediaCreationManagement": ("MEDIA_CREATION_MANAGEMENT", "MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS"),
    "NonPatientObjectStorage": ("NON_PATIENT_OBJECT_STORAGE", "NON_PATIENT_SERVICE_CLASS_STATUS"),
    "PrintManagement": ("PRINT_MANAGEMENT", "PRINT_JOB_MANAGEMENT_SERVICE_CLASS_STATUS"),
    "ProcedureStep": ("PROCEDURE_STEP", "PROCEDURE_STEP_STATUS"),
    "ProtocolApprovalQueryRetrieve": ("PROTOCOL_APPROVAL_QUERY_RETRIEVE", "QR_MOVE_SERVICE_CLASS_STATUS"),
    "QueryRetrieve": ("QUERY_RETRIEVE", "QR_MOVE_SERVICE_CLASS_STATUS"),
    "RelevantPatientInformationQuery": (
        "RELEVANT_PATIENT_INFORMATION_QUERY",
        "RELEVANT_PATIENT_SERVICE_CLASS_STATUS",
    ),
    "RTMachineVerification": ("RT_MACHINE_VERIFICATION", "RT_MACHINE_VERIFICATION_SERVICE_CLASS_STATUS"),
    "Storage": ("STORAGE", "STORAGE_SERVICE_CLASS_STATUS"),
    "StorageCommitment": ("STORAGE_COMMITMENT", "STORAGE_COMMITMENT_SERVICE_CLASS_STATUS"),
    "StorageManagement": ("STORAGE_MANAGEMENT", "STORAGE_MANAGEMENT_SERVICE_CLASS_STATUS"),
    "SubstanceAdministrationQuery": (
        "SUBSTANCE_ADMINISTRATION_QUERY",
        "SUBSTANCE_ADMINISTRATION_SERVICE_CLASS_STATUS",
    ),
    "UnifiedProcedureStep": ("UNIFIED_PROCEDURE_STEP", "UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS"),
    "Verification": ("VERIFICATION", "VERIFICATION_SERVICE_CLASS_STATUS"),
}

SERVICE_CLASSES: Final[dict[Any, type[ServiceClass]]] = {}
"""The class of each member of :class:`dicom_proto.service_class.ServiceClass` that has one."""

for _name, (_member, _statuses) in _MEMBERS.items():
    _class = type(
        f"{_name}ServiceClass",
        (ServiceClass,),
        {
            "__doc__": f"The {ours.ServiceClass[_member]} service class.",
            "__module__": __name__,
            "member": ours.ServiceClass[_member],
            "statuses": getattr(status, _statuses),
        },
    )
    globals()[_class.__name__] = SERVICE_CLASSES[_class.member] = _class  # type: ignore[attr-defined]
    __all__.append(_class.__name__)

for _same in ("REPOSITORY_QUERY", "COMPOSITE_INSTANCE_ROOT_RETRIEVE", "COMPOSITE_INSTANCE_RETRIEVE_WITHOUT_BULK_DATA"):
    SERVICE_CLASSES[ours.ServiceClass[_same]] = SERVICE_CLASSES[ours.ServiceClass.QUERY_RETRIEVE]
