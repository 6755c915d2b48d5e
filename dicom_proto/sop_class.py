"""SOP classes by keyword and by service class (PS3.4, PS3.6 Annex A), and the transfer syntaxes to offer with them.

Stable.

Every SOP class, meta SOP class and well-known SOP instance is an attribute of this module under its keyword::

    from dicom_proto.sop_class import CTImageStorage, DisplaySystemInstance, ModalityWorklistInformationFind

The facts come from pydicom's UID dictionary; what is added here is the service class of each, the few SOP classes that
are newer than that dictionary, and the names that pynetdicom gives to some of them.
"""

import re
from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from attrs import frozen
from pydicom._uid_dict import UID_dictionary
from pydicom.config import IGNORE
from pydicom.uid import UID

from dicom_proto.errors import LocalProtocolError
from dicom_proto.names import check_uid
from dicom_proto.service_class import ServiceClass

if TYPE_CHECKING:
    from dicom_proto._sop_class_names import *  # noqa: F403

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "DEFAULT_TRANSFER_SYNTAXES",
    "SOPClass",
    "ServiceClass",
    "dimse_services",
    "meta_members",
    "register_uid",
    "service_class_of",
    "sop_classes",
    "uid_to_sop_class",
]

# A keyword decides the service class; the first pattern that fits all of it counts.
_PATTERNS: Final = {
    ServiceClass.VERIFICATION: r"Verification",
    ServiceClass.QUERY_RETRIEVE: r"(?:PatientRoot|StudyRoot|PatientStudyOnly)QueryRetrieveInformationModel\w+",
    ServiceClass.REPOSITORY_QUERY: r"RepositoryQuery",
    ServiceClass.PROCEDURE_STEP: r"ModalityPerformedProcedureStep\w*",
    ServiceClass.PRINT_MANAGEMENT: (
        r"Basic(?:FilmSession|FilmBox|AnnotationBox|PrintImageOverlayBox)|ImageOverlayBox|VOILUTBox|PresentationLUT"
        r"|(?:Basic|Referenced)(?:Grayscale|Color)?(?:ImageBox|PrintManagementMeta)"
        r"|PrintJob|Printer|PrinterConfigurationRetrieval|PrintQueueManagement|StoredPrintStorage|Pull\w*Print\w+"
    ),
    ServiceClass.MEDIA_STORAGE: r"MediaStorageDirectoryStorage",
    ServiceClass.STORAGE_COMMITMENT: r"StorageCommitment\w+",
    ServiceClass.BASIC_WORKLIST_MANAGEMENT: r"ModalityWorklistInformationModelFind",
    ServiceClass.GENERAL_PURPOSE_WORKLIST: r"GeneralPurpose\w+",
    ServiceClass.APPLICATION_EVENT_LOGGING: r"(?:ProceduralEvent|SubstanceAdministration)Logging",
    ServiceClass.RELEVANT_PATIENT_INFORMATION_QUERY: r"\w+RelevantPatientInformationQuery",
    ServiceClass.INSTANCE_AVAILABILITY_NOTIFICATION: r"InstanceAvailabilityNotification",
    ServiceClass.MEDIA_CREATION_MANAGEMENT: r"MediaCreationManagement",
    ServiceClass.HANGING_PROTOCOL_QUERY_RETRIEVE: r"HangingProtocolInformationModel\w+",
    ServiceClass.SUBSTANCE_ADMINISTRATION_QUERY: r"ProductCharacteristicsQuery|SubstanceApprovalQuery",
    ServiceClass.COLOR_PALETTE_QUERY_RETRIEVE: r"ColorPaletteQueryRetrieveInformationModel\w+",
    ServiceClass.COMPOSITE_INSTANCE_ROOT_RETRIEVE: r"CompositeInstanceRootRetrieve\w+",
    ServiceClass.COMPOSITE_INSTANCE_RETRIEVE_WITHOUT_BULK_DATA: r"CompositeInstanceRetrieveWithoutBulkDataGet",
    ServiceClass.IMPLANT_TEMPLATE_QUERY_RETRIEVE: r"\w*Implant\w*Template\w*InformationModel\w+",
    ServiceClass.UNIFIED_PROCEDURE_STEP: r"UnifiedProcedureStep\w+",
    ServiceClass.RT_MACHINE_VERIFICATION: r"RT\w+MachineVerification(?:Trial)?",
    ServiceClass.DISPLAY_SYSTEM_MANAGEMENT: r"DisplaySystem",
    ServiceClass.DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE: r"DefinedProcedureProtocolInformationModel\w+",
    ServiceClass.PROTOCOL_APPROVAL_QUERY_RETRIEVE: r"ProtocolApprovalInformationModel\w+",
    ServiceClass.INVENTORY_QUERY_RETRIEVE: r"Inventory(?:Find|Move|Get)",
    ServiceClass.STORAGE_MANAGEMENT: r"InventoryCreation",
    ServiceClass.REAL_TIME_COMMUNICATION: r"\w+RealTimeCommunication",
    ServiceClass.OTHER_RETIRED: r"Detached\w+|StudyComponentManagement|BasicStudyContentNotification",
    ServiceClass.NON_PATIENT_OBJECT_STORAGE: (
        r"\w+DefinedProcedureProtocolStorage|ProtocolApprovalStorage|InventoryStorage|HangingProtocolStorage"
        r"|ColorPaletteStorage|\w*Implant\w*Template\w*Storage"
    ),
    ServiceClass.STORAGE: r"\w*Storage\w*|",  # two retired ones have lost their names (PS3.6 A.1)
}

# What a SOP class does, where neither its service class nor the end of its keyword says so (PS3.4, "M" and "U" alike).
_SERVICES: Final = {
    "Verification": "C-ECHO",
    "ModalityPerformedProcedureStep": "N-CREATE N-SET",
    "ModalityPerformedProcedureStepRetrieve": "N-GET",
    "ModalityPerformedProcedureStepNotification": "N-EVENT-REPORT",
    "BasicFilmSession": "N-CREATE N-SET N-DELETE N-ACTION",
    "BasicFilmBox": "N-CREATE N-ACTION N-DELETE N-SET",
    "BasicGrayscaleImageBox": "N-SET",
    "BasicColorImageBox": "N-SET",
    "BasicAnnotationBox": "N-SET",
    "PrintJob": "N-EVENT-REPORT N-GET",
    "Printer": "N-EVENT-REPORT N-GET",
    "PrinterConfigurationRetrieval": "N-GET",
    "PresentationLUT": "N-CREATE N-DELETE",
    "StorageCommitmentPushModel": "N-ACTION N-EVENT-REPORT",
    "ProceduralEventLogging": "N-ACTION",
    "SubstanceAdministrationLogging": "N-ACTION",
    "InstanceAvailabilityNotification": "N-CREATE",
    "MediaCreationManagement": "N-CREATE N-ACTION N-GET",
    "UnifiedProcedureStepPush": "N-CREATE N-ACTION N-GET",
    "UnifiedProcedureStepWatch": "N-ACTION N-GET C-FIND",
    "UnifiedProcedureStepPull": "C-FIND N-GET N-SET N-ACTION",
    "UnifiedProcedureStepEvent": "N-EVENT-REPORT",
    "RTConventionalMachineVerification": "N-CREATE N-SET N-GET N-ACTION N-DELETE N-EVENT-REPORT",
    "RTIonMachineVerification": "N-CREATE N-SET N-GET N-ACTION N-DELETE N-EVENT-REPORT",
    "DisplaySystem": "N-GET",
    "InventoryCreation": "N-ACTION N-EVENT-REPORT",
}
_SERVICE_OF_ENDING: Final = {"Find": "C-FIND", "Query": "C-FIND", "Move": "C-MOVE", "Get": "C-GET"}

_META_MEMBERS: Final = {  # PS3.4 H.3.2.2
    "BasicGrayscalePrintManagementMeta": ("BasicFilmSession", "BasicFilmBox", "BasicGrayscaleImageBox", "Printer"),
    "BasicColorPrintManagementMeta": ("BasicFilmSession", "BasicFilmBox", "BasicColorImageBox", "Printer"),
}

# Of PS3.6 2025b and not yet in pydicom 3.0's dictionary; in its format: name, type, info, retired, keyword.
_NEWER: Final = {
    f"1.2.840.10008.5.1.4.1.1.{uid}": (name, "SOP Class", "", "", name.replace(" ", ""))
    for uid, name in {
        "9.100.1": "Waveform Presentation State Storage",
        "9.100.2": "Waveform Acquisition Presentation State Storage",
        "66.7": "Label Map Segmentation Storage",
        "66.8": "Height Map Segmentation Storage",
    }.items()
}

# pynetdicom's names where they are not the keywords of PS3.6, whatever the reason; both work.
_OTHER_NAMES: Final = {
    "ColorPaletteInformationModelFind": "ColorPaletteQueryRetrieveInformationModelFind",
    "ColorPaletteInformationModelGet": "ColorPaletteQueryRetrieveInformationModelGet",
    "ColorPaletteInformationModelMove": "ColorPaletteQueryRetrieveInformationModelMove",
    "ModalityWorklistInformationFind": "ModalityWorklistInformationModelFind",
    "OphthlamicOpticalCoherenceTomographyBscanVolumeAnalysisStorage": (
        "OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage"
    ),
    "PseudoColorSoftcopyPresentationStageStorage": "PseudoColorSoftcopyPresentationStateStorage",
    "RTBrachyApplicationSetupDeliveryInstructionsStorage": "RTBrachyApplicationSetupDeliveryInstructionStorage",
    "RoboticArmRadiationRecordStorage": "RoboticRadiationRecordStorage",
    "VariableModalityLUTSoftcopyPresentationStageStorage": "VariableModalityLUTSoftcopyPresentationStateStorage",
}


# pynetdicom's names for the SOP classes of a service class, or of several: a dictionary by keyword each.
_GROUPS: Final = {
    "_APPLICATION_EVENT_CLASSES": (ServiceClass.APPLICATION_EVENT_LOGGING,),
    "_BASIC_WORKLIST_CLASSES": (ServiceClass.BASIC_WORKLIST_MANAGEMENT,),
    "_COLOR_PALETTE_CLASSES": (ServiceClass.COLOR_PALETTE_QUERY_RETRIEVE,),
    "_DEFINED_PROCEDURE_CLASSES": (ServiceClass.DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE,),
    "_DISPLAY_SYSTEM_CLASSES": (ServiceClass.DISPLAY_SYSTEM_MANAGEMENT,),
    "_HANGING_PROTOCOL_CLASSES": (ServiceClass.HANGING_PROTOCOL_QUERY_RETRIEVE,),
    "_IMPLANT_TEMPLATE_CLASSES": (ServiceClass.IMPLANT_TEMPLATE_QUERY_RETRIEVE,),
    "_INSTANCE_AVAILABILITY_CLASSES": (ServiceClass.INSTANCE_AVAILABILITY_NOTIFICATION,),
    "_INVENTORY_CLASSES": (ServiceClass.INVENTORY_QUERY_RETRIEVE,),
    "_MEDIA_CREATION_CLASSES": (ServiceClass.MEDIA_CREATION_MANAGEMENT,),
    "_MEDIA_STORAGE_CLASSES": (ServiceClass.MEDIA_STORAGE,),
    "_NON_PATIENT_OBJECT_CLASSES": (ServiceClass.NON_PATIENT_OBJECT_STORAGE,),
    "_PRINT_MANAGEMENT_CLASSES": (ServiceClass.PRINT_MANAGEMENT,),
    "_PROCEDURE_STEP_CLASSES": (ServiceClass.PROCEDURE_STEP,),
    "_PROTOCOL_APPROVAL_CLASSES": (ServiceClass.PROTOCOL_APPROVAL_QUERY_RETRIEVE,),
    "_QR_CLASSES": (
        ServiceClass.QUERY_RETRIEVE,
        ServiceClass.REPOSITORY_QUERY,
        ServiceClass.COMPOSITE_INSTANCE_ROOT_RETRIEVE,
        ServiceClass.COMPOSITE_INSTANCE_RETRIEVE_WITHOUT_BULK_DATA,
    ),
    "_RELEVANT_PATIENT_QUERY_CLASSES": (ServiceClass.RELEVANT_PATIENT_INFORMATION_QUERY,),
    "_RT_MACHINE_VERIFICATION_CLASSES": (ServiceClass.RT_MACHINE_VERIFICATION,),
    "_STORAGE_CLASSES": (ServiceClass.STORAGE,),
    "_STORAGE_COMMITMENT_CLASSES": (ServiceClass.STORAGE_COMMITMENT,),
    "_STORAGE_MANAGEMENT_CLASSES": (ServiceClass.STORAGE_MANAGEMENT,),
    "_SUBSTANCE_ADMINISTRATION_CLASSES": (ServiceClass.SUBSTANCE_ADMINISTRATION_QUERY,),
    "_UNIFIED_PROCEDURE_STEP_CLASSES": (ServiceClass.UNIFIED_PROCEDURE_STEP,),
    "_VERIFICATION_CLASSES": (ServiceClass.VERIFICATION,),
}
_IN_USE: Final = frozenset({ServiceClass.QUERY_RETRIEVE})  # though Patient/Study Only is retired


@frozen(kw_only=True)
class _Record:
    keyword: str
    name: str
    service_class: ServiceClass | None
    services: tuple[str, ...]


class SOPClass(UID):
    """The UID of a SOP class, or of a meta SOP class: a string that also knows its names and its service class.

    ``name``, ``keyword``, ``is_retired`` and the others are those of :class:`pydicom.uid.UID`.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The name of PS3.6 (``"CT Image Storage"``), the keyword of a registered one, or else the UID itself."""
        record = _RECORDS.get(self)
        return record.name if record else super().name

    @property
    def keyword(self) -> str:
        """The keyword (``"CTImageStorage"``); empty if there is none."""
        record = _RECORDS.get(self)
        return record.keyword if record else super().keyword

    @property
    def service_class(self) -> ServiceClass | None:
        """The service class that it belongs to; None if that is not known."""
        return service_class_of(self)


def _record(name: str, keyword: str) -> _Record:
    service = next((service for service, pattern in _PATTERNS.items() if re.fullmatch(pattern, keyword)), None)
    if keyword in _SERVICES:
        services = tuple(_SERVICES[keyword].split())
    elif service in {ServiceClass.STORAGE, ServiceClass.NON_PATIENT_OBJECT_STORAGE}:
        services = ("C-STORE",)
    else:
        services = tuple(message for end, message in _SERVICE_OF_ENDING.items() if keyword.endswith(end))
    return _Record(keyword=keyword, name=name, service_class=service, services=services)


_RECORDS: Final = {
    uid: _record(name, keyword)
    for uid, (name, kind, _, _, keyword) in {**_NEWER, **UID_dictionary}.items()
    if kind in {"SOP Class", "Meta SOP Class"}
}


def uid_to_sop_class(uid: str) -> SOPClass:
    """Return a UID as a SOP class; one that is neither in PS3.6 nor registered has no service class."""
    return SOPClass(uid, IGNORE)


def service_class_of(uid: str) -> ServiceClass | None:
    """Return the service class that a SOP class belongs to, or None if it is neither in PS3.6 nor registered."""
    record = _RECORDS.get(uid)
    return record.service_class if record else None


def sop_classes(service_class: ServiceClass, *, retired: bool = False) -> tuple[SOPClass, ...]:
    """Return the SOP classes of a service class in the order of their UIDs.

    Parameters
    ----------
    service_class : ServiceClass
        The service class.
    retired : bool
        Whether to add those that PS3.6 marks as retired.
    """
    found = [uid_to_sop_class(uid) for uid, record in _RECORDS.items() if record.service_class == service_class]
    return tuple(
        sorted(
            (uid for uid in found if retired or not uid.is_retired),
            key=lambda uid: [int(component) for component in uid.split(".")],
        )
    )


def dimse_services(uid: str) -> tuple[str, ...]:
    """Return the DIMSE services (``"C-STORE"``) that are requested of a SOP class; empty if that is not known.

    Mandatory and optional ones are both in it. A meta SOP class has none of its own, see :func:`meta_members`.
    """
    record = _RECORDS.get(uid)
    return record.services if record else ()


def meta_members(uid: str) -> tuple[SOPClass, ...]:
    """Return the SOP classes that a presentation context of a meta SOP class serves (PS3.4 H.3.2.2).

    Empty for any other UID, and for the retired meta SOP classes.
    """
    record = _RECORDS.get(uid)
    keywords = _META_MEMBERS.get(record.keyword, ()) if record else ()
    return tuple(uid_to_sop_class(_NAMES[keyword]) for keyword in keywords)


def register_uid(uid: str, keyword: str, service_class: ServiceClass, dimse_msg_type: str = "") -> SOPClass:
    """Add a private SOP class, which becomes an attribute of this module and is served as its service class says.

    Parameters
    ----------
    uid : str
        The UID.
    keyword : str
        Its name as an identifier.
    service_class : ServiceClass
        The service class that it belongs to.
    dimse_msg_type : str
        The one DIMSE service (``"C-FIND"``) it is for; if empty, all that SOP classes of the service class have.

    Returns
    -------
    SOPClass
        The UID. Registering the same again does nothing.

    Raises
    ------
    LocalProtocolError
        If the UID is malformed or the keyword no identifier, one of them already stands for something else, or the
        service class or its DIMSE service does not exist.
    """
    sop_class = uid_to_sop_class(check_uid(uid))
    if not isinstance(service_class, ServiceClass):
        raise LocalProtocolError(f"{service_class!r} is not a ServiceClass")
    if not keyword.isidentifier() or iskeyword(keyword) or keyword.startswith("_"):
        raise LocalProtocolError(f"{keyword!r} cannot be the keyword of a SOP class: it is no public identifier")
    services = dict.fromkeys(
        message for r in _RECORDS.values() if r.service_class == service_class for message in r.services
    )
    if dimse_msg_type and dimse_msg_type not in services:
        raise LocalProtocolError(f"{service_class} has no {dimse_msg_type!r}, only {', '.join(services) or 'nothing'}")
    chosen = (dimse_msg_type,) if dimse_msg_type else tuple(services)
    record = _Record(keyword=keyword, name=keyword, service_class=service_class, services=chosen)
    if _RECORDS.get(sop_class, record) != record:
        raise LocalProtocolError(f"{uid} is already known differently, as {sop_class.name}")
    if globals().get(keyword, sop_class) != sop_class:
        raise LocalProtocolError(f"{keyword} is already the name of something else")
    _RECORDS[sop_class] = record
    globals()[keyword] = sop_class
    for name, service_classes in _GROUPS.items():
        if service_class in service_classes:
            globals()[name][keyword] = sop_class
    return sop_class


_NAMES: Final[dict[str, UID]] = {
    record.keyword: uid_to_sop_class(uid) for uid, record in _RECORDS.items() if record.keyword
}
_NAMES.update((facts[4], UID(uid)) for uid, facts in UID_dictionary.items() if facts[1] == "Well-known SOP Instance")
_NAMES.update((other, _NAMES[keyword]) for other, keyword in _OTHER_NAMES.items())
globals().update(_NAMES)
globals().update(
    (
        name,
        {
            uid.keyword: uid
            for service_class in service_classes
            for uid in sop_classes(service_class, retired=service_class in _IN_USE)
        },
    )
    for name, service_classes in _GROUPS.items()
)
__all__.extend(_NAMES)

DEFAULT_TRANSFER_SYNTAXES: Final = [
    UID(uid) for uid in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
]
"""What a presentation context offers by default: implicit and explicit little endian, deflated, explicit big endian."""

# Of PS3.6 and not retired, but not for DIMSE: real-time video (SMPTE ST 2110, PS3.22).
_REAL_TIME: Final = "1.2.840.10008.1.2.7."
# JPEG XL and Deflated Image Frame (PS3.6 2025b), not yet in pydicom 3.0's dictionary.
_NEWER_TRANSFER_SYNTAXES: Final = (*(f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112)), "1.2.840.10008.1.2.8.1")

ALL_TRANSFER_SYNTAXES: Final = list(
    dict.fromkeys(
        (
            *DEFAULT_TRANSFER_SYNTAXES,
            *(
                uid
                for uid in map(UID, UID_dictionary)
                if uid.is_transfer_syntax and not uid.is_retired and not uid.startswith(_REAL_TIME)
            ),
            *map(UID, _NEWER_TRANSFER_SYNTAXES),
        )
    )
)
"""The default ones and every other one of PS3.6 that is not retired and can be negotiated."""
