"""The status codes of PS3.7 Annex C and of the service classes of PS3.4 as data, for :mod:`dicom_proto.status`.

A code is written as the standard writes it: four hexadecimal digits, or the two ends of a range, both included.
Its category is not in the tables, because the code alone decides it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from dicom_proto.service_class import ServiceClass

__all__ = ["CONVENTION", "FAILURE_REASONS", "GENERAL", "GROUPS", "Group"]


class Group(NamedTuple):
    """Codes that some service classes give one meaning in the same responses."""

    service_classes: tuple[ServiceClass, ...]
    messages: str  # the DIMSE services, separated by spaces
    codes: Mapping[str, str]
    scope: str = ""  # the SOP class or action type that they are limited to, in words


_ALL_N = "N-EVENT-REPORT N-GET N-SET N-ACTION N-CREATE N-DELETE"
_ALL = f"C-STORE C-FIND C-GET C-MOVE C-ECHO {_ALL_N}"
_ALL_BUT_FIND = f"C-STORE C-GET C-MOVE C-ECHO {_ALL_N}"

# PS3.7 Annex C: code, where it may stand, meaning.
GENERAL: Final = (
    ("0000", _ALL, "operation or notification completed"),
    ("0001", _ALL_N, "requested optional attributes are not supported"),
    ("0105", "N-SET N-CREATE", "attribute tag not recognized"),
    ("0106", "N-SET N-CREATE", "attribute value out of range or unsuitable; operation not performed"),
    (
        "0107",
        "N-GET N-SET N-CREATE",
        "attribute list error: some attributes not recognized and skipped, rest processed",
    ),
    ("0110", _ALL_N, "general processing failure"),
    ("0111", "N-CREATE", "SOP Instance UID already registered"),
    ("0112", "N-EVENT-REPORT N-GET N-SET N-ACTION N-DELETE", "SOP Instance not known"),
    ("0113", "N-EVENT-REPORT", "event type not known"),
    ("0114", "N-EVENT-REPORT N-ACTION", "event/action information element not recognized or not supported"),
    ("0115", "N-EVENT-REPORT N-ACTION", "event/action information value out of range"),
    ("0116", "N-SET N-CREATE", "attribute value out of range; default used or attribute left out; rest processed"),
    ("0117", f"C-STORE {_ALL_N}", "SOP Instance UID breaks UID construction rules"),
    ("0118", _ALL_N, "SOP Class not known (DIMSE-N)"),
    ("0119", "N-EVENT-REPORT N-GET N-SET N-ACTION N-DELETE", "SOP Instance is not of the stated SOP Class"),
    ("0120", "N-CREATE", "required attribute missing"),
    ("0121", "N-SET N-CREATE", "required attribute value missing and no default"),
    ("0122", "C-STORE C-FIND C-GET C-MOVE C-ECHO", "refused: SOP Class not supported (DIMSE-C)"),
    ("0123", "N-ACTION", "action type not supported"),
    ("0124", "C-STORE C-GET C-MOVE N-GET N-SET N-ACTION N-CREATE N-DELETE", "refused: not authorized"),
    ("0210", _ALL_BUT_FIND, "Message ID is already in use by another outstanding operation/notification"),
    ("0211", _ALL_BUT_FIND, "operation is not one agreed on this association"),
    ("0212", _ALL_BUT_FIND, "a parameter was not agreed for use on this association"),
    ("0213", _ALL_N, "resource limitation"),
    ("FE00", "C-FIND C-GET C-MOVE", "operation ended because of C-CANCEL"),
)

# PS3.7 Annex C: what a code means that no service class lists. Nothing outside these ranges is a status.
CONVENTION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "A000-AFFF": "service-class specific failure or refusal",
        "B000-BFFF": "service-class specific warning",
        "C000-CFFF": "service-class specific failure",
        "0100-01FF": "reserved for DICOM",
        "0200-02FF": "reserved for DICOM",
        "FF00-FF01": "more responses follow",
    }
)

# PS3.3 C.14.1.1: values of Failure Reason (0008,1197), which Storage Commitment reports; they look like status codes.
FAILURE_REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x0110: "processing failure",
        0x0112: "referenced instance not available",
        0x0119: "SOP Class/Instance conflict",
        0x0122: "SOP Class of the referenced instance not supported",
        0x0131: "duplicate Transaction UID",
        0x0213: "not enough resources",
    }
)

_FIND = {
    "0000": "matching complete, no identifier",
    "A700": "refused: out of resources",
    "A900": "identifier does not match SOP Class",
    "C000-CFFF": "unable to process",
    "FE00": "matching ended by cancel",
    "FF00": "match supplied; optional keys handled like required keys",
    "FF01": "match supplied; some optional keys not supported for existence",
}
_GET = {
    "0000": "all sub-operations succeeded",
    "A701": "refused: out of resources, cannot count matches",
    "A702": "refused: out of resources, cannot perform sub-operations",
    "A900": "identifier does not match SOP Class",
    "B000": "sub-operations complete, at least one failure or warning",
    "C000-CFFF": "unable to process",
    "FE00": "sub-operations ended by cancel",
    "FF00": "sub-operations continuing",
}
_MOVE = _GET | {"A801": "refused: move destination unknown"}
_FRAMES = {
    "AA00": "none of the requested frames found",
    "AA01": "cannot create new object for this SOP Class",
    "AA02": "cannot extract frames",
    "AA03": "time-based request on an instance that is not time based",
    "AA04": "invalid request",
}

GROUPS: Final = (
    Group(
        (ServiceClass.QUERY_RETRIEVE,),
        "C-FIND",
        _FIND | {"FF01": "match supplied; some optional keys not supported for existence and/or matching"},
    ),
    Group(
        (ServiceClass.QUERY_RETRIEVE,),
        "C-MOVE",
        _MOVE | {"B000": "sub-operations complete, at least one failure"},
    ),
    Group((ServiceClass.QUERY_RETRIEVE,), "C-GET", _GET),
    Group((ServiceClass.COMPOSITE_INSTANCE_ROOT_RETRIEVE,), "C-MOVE", _MOVE | _FRAMES),
    Group((ServiceClass.COMPOSITE_INSTANCE_ROOT_RETRIEVE,), "C-GET", _GET | _FRAMES),
    Group((ServiceClass.COMPOSITE_INSTANCE_RETRIEVE_WITHOUT_BULK_DATA,), "C-GET", _GET),
    Group(
        (
            ServiceClass.BASIC_WORKLIST_MANAGEMENT,
            ServiceClass.COLOR_PALETTE_QUERY_RETRIEVE,
            ServiceClass.DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE,
            ServiceClass.HANGING_PROTOCOL_QUERY_RETRIEVE,
            ServiceClass.IMPLANT_TEMPLATE_QUERY_RETRIEVE,
            ServiceClass.INVENTORY_QUERY_RETRIEVE,
            ServiceClass.PROTOCOL_APPROVAL_QUERY_RETRIEVE,
            ServiceClass.SUBSTANCE_ADMINISTRATION_QUERY,
            ServiceClass.UNIFIED_PROCEDURE_STEP,
        ),
        "C-FIND",
        _FIND,
    ),
    Group(
        (ServiceClass.VERIFICATION,),
        "C-ECHO",
        {
            "0000": "verified",
        },
    ),
    Group(
        (ServiceClass.STORAGE,),
        "C-STORE",
        {
            "A700-A7FF": "refused: out of resources",
            "A900-A9FF": "data set does not match SOP Class",
            "C000-CFFF": "cannot understand",
            "B000": "stored; data elements coerced",
            "B006": "stored; elements discarded",
            "B007": "stored; data set does not match SOP Class",
            "0000": "stored",
        },
    ),
    Group(
        (ServiceClass.REPOSITORY_QUERY,),
        "C-FIND",
        {
            "A710": "invalid Prior Record Key",
            "B001": "response limit reached; ask again for more matches",
        },
    ),
    Group(
        (ServiceClass.RELEVANT_PATIENT_INFORMATION_QUERY,),
        "C-FIND",
        {
            "A700": "refused: out of resources",
            "A900": "identifier does not match SOP Class",
            "C000": "unable to process",
            "C100": "more than one match found",
            "C200": "requested template not supported",
            "FE00": "ended by cancel",
            "0000": "complete, no identifier",
            "FF00": "match supplied",
        },
    ),
    Group(
        (ServiceClass.NON_PATIENT_OBJECT_STORAGE,),
        "C-STORE",
        {
            "A700": "refused: out of resources",
            "A900": "data set does not match SOP Class",
            "C000": "cannot understand",
            "0000": "stored",
        },
    ),
    Group(
        (ServiceClass.PROCEDURE_STEP,),
        "N-CREATE",
        {
            "0106": "Performed Procedure Step Status is not IN PROGRESS in the create request",
        },
        "MPPS",
    ),
    Group(
        (ServiceClass.PROCEDURE_STEP,),
        "N-SET",
        {
            "0110": "step is COMPLETED or DISCONTINUED and may no longer be updated",
        },
        "MPPS",
    ),
    Group(
        (ServiceClass.PROCEDURE_STEP,),
        "N-GET",
        {
            "0001": "requested optional attributes are not supported",
            "0112": "step no longer available",
        },
        "MPPS Retrieve",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-CREATE N-SET",
        {
            "B600": "memory allocation not supported",
        },
        "Basic Film Session",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-ACTION",
        {
            "B601": "film session printing (collation) not supported",
            "B602": "session has no image boxes (empty page)",
            "B604": "image larger than image box, demagnified",
            "B609": "image larger than image box, cropped",
            "B60A": "image or combined image larger than box, decimated",
            "C600": "session has no film boxes",
            "C601": "print queue full, no Print Job created",
            "C603": "image larger than image box",
            "C613": "combined print image larger than image box",
        },
        "Basic Film Session",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-CREATE N-SET",
        {
            "B605": "min/max density outside printer range, printer limit used",
            "C616": "an unprinted film box exists and session-level print is not supported",
        },
        "Basic Film Box",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-ACTION",
        {
            "B603": "film box has no image boxes (empty page)",
            "B604": "image larger than image box, demagnified",
            "B609": "image cropped",
            "B60A": "image decimated",
            "C602": "print queue full, no Print Job created",
            "C603": "image larger than image box",
            "C613": "combined print image larger than image box",
        },
        "Basic Film Box",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-SET",
        {
            "B604": "demagnified",
            "B605": "density outside range, printer limit used",
            "B609": "cropped",
            "B60A": "decimated",
            "C603": "image larger than image box",
            "C605": "not enough printer memory for the image",
            "C613": "combined print image larger than image box",
        },
        "Basic Grayscale Image Box",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-SET",
        {
            "B604": "demagnified",
            "B609": "cropped",
            "B60A": "decimated",
            "C603": "image larger than image box",
            "C605": "not enough printer memory for the image",
            "C613": "combined print image larger than image box",
        },
        "Basic Color Image Box",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-CREATE",
        {
            "B605": "density outside range, printer limit used",
        },
        "Presentation LUT",
    ),
    Group(
        (ServiceClass.PRINT_MANAGEMENT,),
        "N-ACTION",
        {
            "C604": "image position collision",
        },
        "retired",
    ),
    Group(
        (ServiceClass.STORAGE_COMMITMENT,),
        "N-ACTION N-EVENT-REPORT",
        {
            "0000": "request/notification received (not the commitment result)",
        },
    ),
    Group(
        (ServiceClass.APPLICATION_EVENT_LOGGING,),
        "N-ACTION",
        {
            "B101": "Synchronization Frame of Reference UID differs from the SCP",
            "B102": "logged under a different Study Instance UID",
            "B104": "IDs inconsistent; event logged",
            "C101": "logging not available for that Study Instance UID",
            "C102": "event information does not match template",
            "C103": "cannot match event to a current study",
            "C104": "IDs inconsistent; event not logged",
        },
        "Procedural Event Logging",
    ),
    Group(
        (ServiceClass.APPLICATION_EVENT_LOGGING,),
        "N-ACTION",
        {
            "C10E": "operator not authorized to add to the Medication Administration Record",
            "C110": "patient not identified from Patient ID or Admission ID",
            "C111": "update of the record failed",
        },
        "Substance Administration Logging",
    ),
    Group(
        (ServiceClass.MEDIA_CREATION_MANAGEMENT,),
        "N-ACTION",
        {
            "A510": "an Initiate action was already received for this instance",
        },
        "Initiate",
    ),
    Group(
        (ServiceClass.MEDIA_CREATION_MANAGEMENT,),
        "N-ACTION",
        {
            "C201": "request already completed",
            "C202": "request in progress and cannot be interrupted",
            "C203": "cancellation denied, no reason given",
        },
        "Cancel",
    ),
    Group(
        (ServiceClass.MEDIA_CREATION_MANAGEMENT,),
        "N-GET",
        {
            "0001": "requested optional attributes are not supported",
        },
    ),
    Group(
        (ServiceClass.UNIFIED_PROCEDURE_STEP,),
        "N-CREATE",
        {
            "B300": "created with modifications",
            "C309": "UPS state in the request was not SCHEDULED",
            "0111": "UPS already exists",
        },
    ),
    Group(
        (ServiceClass.UNIFIED_PROCEDURE_STEP,),
        "N-SET",
        {
            "0001": "requested optional attributes are not supported",
            "B305": "invalid values coerced",
            "C310": "UPS is not IN PROGRESS",
            "C301": "correct Transaction UID not provided",
            "C300": "UPS may no longer be updated",
            "C307": "no such UPS managed by this SCP",
        },
    ),
    Group(
        (ServiceClass.UNIFIED_PROCEDURE_STEP,),
        "N-GET",
        {
            "0001": "requested optional attributes are not supported",
            "C307": "no such UPS managed by this SCP",
        },
    ),
    Group(
        (ServiceClass.UNIFIED_PROCEDURE_STEP,),
        "N-ACTION",
        {
            "B304": "already CANCELED",
            "B306": "already COMPLETED",
            "C300": "UPS may no longer be updated",
            "C301": "correct Transaction UID not provided",
            "C302": "UPS already IN PROGRESS",
            "C303": "SCHEDULED can only be set by N-CREATE",
            "C304": "final state requirements not met",
            "C307": "no such UPS managed by this SCP",
            "C310": "UPS not yet IN PROGRESS",
        },
        "Change UPS State",
    ),
    Group(
        (ServiceClass.UNIFIED_PROCEDURE_STEP,),
        "N-ACTION",
        {
            "B304": "already CANCELED",
            "C311": "already COMPLETED",
            "C312": "performer cannot be contacted",
            "C313": "performer chooses not to cancel",
            "C307": "no such UPS managed by this SCP",
        },
        "Request Cancel",
    ),
    Group(
        (ServiceClass.UNIFIED_PROCEDURE_STEP,),
        "N-ACTION",
        {
            "B301": "subscribed but deletion lock not granted",
            "C307": "no such UPS, or filtered global subscription not supported",
            "C308": "receiving AE title unknown",
            "C314": "action not suitable for this instance",
            "C315": "SCP does not support event reports",
        },
        "Subscribe/Unsubscribe/Suspend",
    ),
    Group(
        (ServiceClass.RT_MACHINE_VERIFICATION,),
        "N-CREATE",
        {
            "C221": "referenced Fraction Group Number not in plan",
            "C222": "no beams in the fraction group",
            "C223": "SCU already verifying",
            "C227": "referenced RT Plan not found",
        },
    ),
    Group(
        (ServiceClass.RT_MACHINE_VERIFICATION,),
        "N-SET",
        {
            "C224": "referenced Beam Number not in fraction group",
            "C225": "device or accessory not supported",
            "C226": "device or accessory not in the beam",
        },
    ),
    Group(
        (ServiceClass.RT_MACHINE_VERIFICATION,),
        "N-GET N-ACTION",
        {
            "C112": "Machine Verification instance not found",
        },
    ),
    Group(
        (ServiceClass.STORAGE_MANAGEMENT,),
        "N-ACTION",
        {
            "B010": "attribute list error: some key attributes not supported for matching",
        },
        "Inventory Creation",
    ),
)
