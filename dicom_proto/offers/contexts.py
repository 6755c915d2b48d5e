"""Presentation contexts as users write them down, and ready-made lists of them, under the names pynetdicom uses.

Stable.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from attrs import define, evolve, field
from attrs.converters import optional
from pydicom.uid import UID

from dicom_proto.errors import InvalidSettingError
from dicom_proto.names import check_context_id, check_uid, is_valid_uid
from dicom_proto.offers._settings import OPTIONAL_FLAG
from dicom_proto.offers.items import SCP_SCU_RoleSelectionNegotiation
from dicom_proto.service_class import ServiceClass
from dicom_proto.sop_class import (
    ALL_TRANSFER_SYNTAXES,
    DEFAULT_TRANSFER_SYNTAXES,
    SOPClass,
    sop_classes,
    uid_to_sop_class,
)
from dicom_proto.upper_layer.negotiation import Agreement

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "DEFAULT_TRANSFER_SYNTAXES",
    "AllStoragePresentationContexts",
    "ApplicationEventLoggingPresentationContexts",
    "BasicWorklistManagementPresentationContexts",
    "ColorPalettePresentationContexts",
    "DefinedProcedureProtocolPresentationContexts",
    "DisplaySystemPresentationContexts",
    "HangingProtocolPresentationContexts",
    "ImplantTemplatePresentationContexts",
    "InstanceAvailabilityPresentationContexts",
    "InventoryPresentationContexts",
    "MediaCreationManagementPresentationContexts",
    "MediaStoragePresentationContexts",
    "ModalityPerformedPresentationContexts",
    "NonPatientObjectPresentationContexts",
    "PresentationContext",
    "PresentationContextTuple",
    "PrintManagementPresentationContexts",
    "ProcedureStepPresentationContexts",
    "ProtocolApprovalPresentationContexts",
    "QueryRetrievePresentationContexts",
    "RTMachineVerificationPresentationContexts",
    "RelevantPatientInformationPresentationContexts",
    "StorageCommitmentPresentationContexts",
    "StorageManagementPresentationContexts",
    "StoragePresentationContexts",
    "SubstanceAdministrationPresentationContexts",
    "UnifiedProcedurePresentationContexts",
    "VerificationPresentationContexts",
    "build_context",
    "build_role",
    "negotiated_contexts",
]

_RESULTS: Final = (
    "Accepted",
    "User Rejected",
    "Provider Rejected",
    "Abstract Syntax Not Supported",
    "Transfer Syntax(es) Not Supported",
)

_ROLES: Final = {
    (True, True): "SCU and SCP",
    (True, False): "SCU only",
    (False, True): "SCP only",
    (False, False): "(none)",
}


class PresentationContextTuple(NamedTuple):
    """A presentation context in short."""

    context_id: int
    abstract_syntax: UID
    transfer_syntax: UID


_NO_SYNTAX: Final = uid_to_sop_class("")
_uid = lru_cache(maxsize=256)(UID)  # pydicom checks each anew, and there are few


def _text(uid: str | bytes) -> str:
    return check_uid(uid.decode("latin-1") if isinstance(uid, bytes) else uid)


def _as_abstract_syntax(uid: str | bytes) -> SOPClass:
    return uid_to_sop_class(_text(uid)) if uid else _NO_SYNTAX


def _as_transfer_syntaxes(uids: str | bytes | Iterable[str | bytes]) -> list[UID]:
    if not isinstance(uids, Iterable):
        raise InvalidSettingError(f"transfer_syntax is a UID or several, not {uids!r}")
    return list(dict.fromkeys(_uid(_text(uid)) for uid in ([uids] if isinstance(uids, str | bytes) else uids)))


@define
class PresentationContext:
    """An abstract syntax with the transfer syntaxes that go with it; after the negotiation, with its result.

    :func:`build_context` makes them.

    Attributes
    ----------
    abstract_syntax : SOPClass
        The SOP class, or meta SOP class; empty as long as it has not been set.
    transfer_syntax : list of UID
        What is proposed or supported; the one that was agreed on, once the context is accepted.
    context_id : int or None
        Its ID, once it is proposed.
    result : int or None
        The acceptor's answer: 0 is acceptance (PS3.8 9.3.3.2).
    scu_role, scp_role : bool or None
        For an acceptor: whether the requestor may be the SCU, the SCP. ``None``: role selection is not answered.
    as_scu, as_scp : bool or None
        The roles of this side in an accepted context.
    """

    abstract_syntax: SOPClass = field(default=_NO_SYNTAX, converter=_as_abstract_syntax)
    transfer_syntax: list[UID] = field(factory=list, converter=_as_transfer_syntaxes)
    context_id: int | None = field(default=None, converter=optional(check_context_id), kw_only=True)
    result: int | None = field(default=None, kw_only=True)
    scu_role: bool | None = field(default=None, validator=OPTIONAL_FLAG, kw_only=True)
    scp_role: bool | None = field(default=None, validator=OPTIONAL_FLAG, kw_only=True)
    as_scu: bool | None = field(default=None, validator=OPTIONAL_FLAG, kw_only=True)
    as_scp: bool | None = field(default=None, validator=OPTIONAL_FLAG, kw_only=True)

    def add_transfer_syntax(self, syntax: str | bytes | None) -> None:
        """Add a transfer syntax, unless it is there, or ``None``."""
        if syntax is not None:
            self.transfer_syntax = [*self.transfer_syntax, _uid(_text(syntax))]

    @property
    def status(self) -> str:
        """The result in words."""
        if self.result is None:
            return "Pending"
        return _RESULTS[self.result] if 0 <= self.result < len(_RESULTS) else "Unknown"

    @property
    def as_tuple(self) -> PresentationContextTuple:
        """ID, abstract syntax and (first) transfer syntax; 0 and an empty string for what has not been set."""
        transfer_syntax = next(iter(self.transfer_syntax), _NO_SYNTAX)
        return PresentationContextTuple(self.context_id or 0, self.abstract_syntax, transfer_syntax)

    def copy(self) -> "PresentationContext":
        """Return a context of its own with the same values."""
        return evolve(self)

    def __hash__(self) -> int:
        """Make it a member of sets and a key: by its abstract syntax, which two that are equal have in common."""
        return hash(self.abstract_syntax)

    def __str__(self) -> str:
        """Say what is known of it, in lines."""
        lines = [] if self.context_id is None else [f"ID: {self.context_id}"]
        if self.abstract_syntax:
            lines.append(f"Abstract Syntax: {self.abstract_syntax.name}")
        lines.append("Transfer Syntax(es):")
        lines += [f"    ={uid.name}" for uid in self.transfer_syntax] or ["    (none)"]
        if self.result is not None:
            lines.append(f"Result: {self.status}")
        if self.as_scu is not None and self.as_scp is not None:
            lines.append(f"Role: {_ROLES[self.as_scu, self.as_scp]}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        number = "" if self.context_id is None else f" {self.context_id}"
        syntaxes = ", ".join(uid.name for uid in self.transfer_syntax)
        return f"<PresentationContext{number} {self.abstract_syntax.name}: {syntaxes} ({self.status})>"


def build_context(abstract_syntax: str, transfer_syntax: str | Iterable[str] | None = None) -> PresentationContext:
    """Return a presentation context.

    Parameters
    ----------
    abstract_syntax : str
        The UID of the SOP class.
    transfer_syntax : str or iterable of str, optional
        One or more; by default the four uncompressed ones.

    Raises
    ------
    InvalidNameError
        If a UID is none.
    InvalidSettingError
        If there is no transfer syntax.
    """
    uids = DEFAULT_TRANSFER_SYNTAXES if transfer_syntax is None else transfer_syntax
    context = PresentationContext(check_uid(abstract_syntax), uids)
    if not context.transfer_syntax:
        raise InvalidSettingError(f"a presentation context for {abstract_syntax} without a transfer syntax")
    return context


def build_role(uid: str, scu_role: bool = False, scp_role: bool = False) -> SCP_SCU_RoleSelectionNegotiation:
    """Return an item that proposes roles of the requestor for a SOP class (PS3.7 D.3.3.4).

    Raises
    ------
    InvalidNameError
        If the UID is none.
    InvalidSettingError
        If a role is not a bool.
    """
    return SCP_SCU_RoleSelectionNegotiation(uid, scu_role, scp_role)


def negotiated_contexts(
    agreement: Agreement, *, is_requestor: bool
) -> tuple[list[PresentationContext], list[PresentationContext]]:
    """Return the accepted and the rejected presentation contexts of an association, each ordered by ID.

    Parameters
    ----------
    agreement : Agreement
        What was negotiated.
    is_requestor : bool
        Whether this side is the requestor, for its roles.
    """
    accepted, rejected = [], []
    for context_id, context in sorted(agreement.contexts.items()):
        scu, scp = context.requestor_is_scu, context.requestor_is_scp
        accepted.append(
            PresentationContext(
                context.abstract_syntax,
                [context.transfer_syntax],
                context_id=context_id,
                result=0,
                as_scu=scu if is_requestor else scp,
                as_scp=scp if is_requestor else scu,
            )
        )
    rejected = [
        PresentationContext(
            context.abstract_syntax,
            filter(is_valid_uid, context.transfer_syntaxes),
            context_id=context_id,
            result=context.result,
        )
        for context_id, context in sorted(agreement.rejected.items())
        if context_id % 2 and is_valid_uid(context.abstract_syntax)  # a peer may have proposed anything
    ]
    return accepted, rejected


def _contexts(*service_classes: ServiceClass, retired: bool = False) -> list[PresentationContext]:
    uids = sorted(uid for service_class in service_classes for uid in sop_classes(service_class, retired=retired))
    return [build_context(uid) for uid in uids]


# What few devices make or take: without these the storage SOP classes fit into the 128 contexts of one association,
# with some room left for other services.
_RARE: Final = re.compile(
    "DICOS|EddyCurrent|Photoacoustic|Confocal|MicroscopyBulk|Dermoscopic|CornealTopography|BreastProjection|Volumetric"
    "|AdvancedBlending|VariableModality|Waveform(?:Presentation|Acquisition|Annotation)|32bit|MultichannelRespiratory"
    "|Electro(?:encephalo|myo|oculo)gram|BodyPosition|(?:Parametric|Label|Height)Map|Tractography|ContentAssessment"
    "|WideFieldOphthalmicPhotography(?:3D|Stereo)|Tomography(?:EnFace|Bscan)|Encapsulated(?:STL|OBJ|MTL)"
    "|ExtensibleSR|AcquisitionContextSR|AdultEchoSR|ImagingAgentAdministrationSR"
    "|(?:EnhancedXRay|Patient|Radiopharmaceutical)RadiationDoseSR|PerformedProcedureProtocol"
    "|RT(?:PhysicianIntent|Segment|Radiation|TreatmentPreparation|PatientPosition|BrachyApplication)|CArm|Tomotherap"
    "|Robotic|Enhanced(?:Continuous)?RT|(?:Waveform|SR|Instruction)StorageTrial|^$"
)

AllStoragePresentationContexts: Final = _contexts(ServiceClass.STORAGE, retired=True)  # still sent
StoragePresentationContexts: Final = [
    context for context in AllStoragePresentationContexts if not _RARE.search(context.abstract_syntax.keyword)
]
ApplicationEventLoggingPresentationContexts: Final = _contexts(ServiceClass.APPLICATION_EVENT_LOGGING)
BasicWorklistManagementPresentationContexts: Final = _contexts(ServiceClass.BASIC_WORKLIST_MANAGEMENT)
ColorPalettePresentationContexts: Final = _contexts(ServiceClass.COLOR_PALETTE_QUERY_RETRIEVE)
DefinedProcedureProtocolPresentationContexts: Final = _contexts(ServiceClass.DEFINED_PROCEDURE_PROTOCOL_QUERY_RETRIEVE)
DisplaySystemPresentationContexts: Final = _contexts(ServiceClass.DISPLAY_SYSTEM_MANAGEMENT)
HangingProtocolPresentationContexts: Final = _contexts(ServiceClass.HANGING_PROTOCOL_QUERY_RETRIEVE)
ImplantTemplatePresentationContexts: Final = _contexts(ServiceClass.IMPLANT_TEMPLATE_QUERY_RETRIEVE)
InstanceAvailabilityPresentationContexts: Final = _contexts(ServiceClass.INSTANCE_AVAILABILITY_NOTIFICATION)
InventoryPresentationContexts: Final = _contexts(ServiceClass.INVENTORY_QUERY_RETRIEVE)
MediaCreationManagementPresentationContexts: Final = _contexts(ServiceClass.MEDIA_CREATION_MANAGEMENT)
MediaStoragePresentationContexts: Final = _contexts(ServiceClass.MEDIA_STORAGE)
ModalityPerformedPresentationContexts: Final = _contexts(ServiceClass.PROCEDURE_STEP)
NonPatientObjectPresentationContexts: Final = _contexts(ServiceClass.NON_PATIENT_OBJECT_STORAGE)
PrintManagementPresentationContexts: Final = _contexts(ServiceClass.PRINT_MANAGEMENT)
ProcedureStepPresentationContexts: Final = ModalityPerformedPresentationContexts
ProtocolApprovalPresentationContexts: Final = _contexts(ServiceClass.PROTOCOL_APPROVAL_QUERY_RETRIEVE)
QueryRetrievePresentationContexts: Final = _contexts(
    ServiceClass.QUERY_RETRIEVE,
    ServiceClass.REPOSITORY_QUERY,
    ServiceClass.COMPOSITE_INSTANCE_ROOT_RETRIEVE,
    ServiceClass.COMPOSITE_INSTANCE_RETRIEVE_WITHOUT_BULK_DATA,
    retired=True,  # Patient/Study Only is retired, and in use
)
RelevantPatientInformationPresentationContexts: Final = _contexts(ServiceClass.RELEVANT_PATIENT_INFORMATION_QUERY)
RTMachineVerificationPresentationContexts: Final = _contexts(ServiceClass.RT_MACHINE_VERIFICATION)
StorageCommitmentPresentationContexts: Final = _contexts(ServiceClass.STORAGE_COMMITMENT)
StorageManagementPresentationContexts: Final = _contexts(ServiceClass.STORAGE_MANAGEMENT)
SubstanceAdministrationPresentationContexts: Final = _contexts(ServiceClass.SUBSTANCE_ADMINISTRATION_QUERY)
UnifiedProcedurePresentationContexts: Final = _contexts(ServiceClass.UNIFIED_PROCEDURE_STEP)
VerificationPresentationContexts: Final = _contexts(ServiceClass.VERIFICATION)
