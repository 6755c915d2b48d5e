"""What each adapter has beside its own classes: the words of the core and of the other modules that its users need.

Each is loaded when it is first asked for (PEP 562), so that start-up takes no longer for what nobody asks for.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dicom_proto.application.results import (
        code_to_status,
    )
    from dicom_proto.errors import (
        DataSetError,
        DicomProtoError,
        InvalidNameError,
        InvalidSettingError,
        LimitExceededError,
        LocalProtocolError,
        NoContextError,
        NotEstablishedError,
        NothingRequestedError,
    )
    from dicom_proto.offers.contexts import (
        ALL_TRANSFER_SYNTAXES,
        DEFAULT_TRANSFER_SYNTAXES,
        AllStoragePresentationContexts,
        ApplicationEventLoggingPresentationContexts,
        BasicWorklistManagementPresentationContexts,
        ColorPalettePresentationContexts,
        DefinedProcedureProtocolPresentationContexts,
        DisplaySystemPresentationContexts,
        HangingProtocolPresentationContexts,
        ImplantTemplatePresentationContexts,
        InstanceAvailabilityPresentationContexts,
        InventoryPresentationContexts,
        MediaCreationManagementPresentationContexts,
        MediaStoragePresentationContexts,
        ModalityPerformedPresentationContexts,
        NonPatientObjectPresentationContexts,
        PresentationContext,
        PresentationContextTuple,
        PrintManagementPresentationContexts,
        ProcedureStepPresentationContexts,
        ProtocolApprovalPresentationContexts,
        QueryRetrievePresentationContexts,
        RelevantPatientInformationPresentationContexts,
        RTMachineVerificationPresentationContexts,
        StorageCommitmentPresentationContexts,
        StorageManagementPresentationContexts,
        StoragePresentationContexts,
        SubstanceAdministrationPresentationContexts,
        UnifiedProcedurePresentationContexts,
        VerificationPresentationContexts,
    )
    from dicom_proto.offers.implementation import (
        PYNETDICOM_IMPLEMENTATION_UID,
        PYNETDICOM_IMPLEMENTATION_VERSION,
        PYNETDICOM_UID_PREFIX,
    )
    from dicom_proto.offers.items import (
        AsynchronousOperationsWindowNegotiation,
        ImplementationClassUIDNotification,
        ImplementationVersionNameNotification,
        MaximumLengthNotification,
        NegotiationItem,
        SCP_SCU_RoleSelectionNegotiation,
        SOPClassCommonExtendedNegotiation,
        SOPClassExtendedNegotiation,
        UserIdentityNegotiation,
    )
    from dicom_proto.service_class import (
        ServiceClass,
    )
    from dicom_proto.services.storage.pipeline import (
        NotStored,
    )
    from dicom_proto.status import (
        Category,
        Status,
    )
    from dicom_proto.upper_layer.failures import (
        AssociationAborted,
        AssociationClosed,
        AssociationFailure,
        AssociationRejected,
        AssociationTimedOut,
    )
    from dicom_transports.storage import (
        GroupCommit,
        store_in_file,
        store_to,
    )
    from dicom_transports.tls import (
        TLSProfile,
        client_context,
        server_context,
    )

__all__ = [
    "ALL_TRANSFER_SYNTAXES",
    "DEFAULT_TRANSFER_SYNTAXES",
    "PYNETDICOM_IMPLEMENTATION_UID",
    "PYNETDICOM_IMPLEMENTATION_VERSION",
    "PYNETDICOM_UID_PREFIX",
    "AllStoragePresentationContexts",
    "ApplicationEventLoggingPresentationContexts",
    "AssociationAborted",
    "AssociationClosed",
    "AssociationFailure",
    "AssociationRejected",
    "AssociationTimedOut",
    "AsynchronousOperationsWindowNegotiation",
    "BasicWorklistManagementPresentationContexts",
    "Category",
    "ColorPalettePresentationContexts",
    "DataSetError",
    "DefinedProcedureProtocolPresentationContexts",
    "DicomProtoError",
    "DisplaySystemPresentationContexts",
    "GroupCommit",
    "HangingProtocolPresentationContexts",
    "ImplantTemplatePresentationContexts",
    "ImplementationClassUIDNotification",
    "ImplementationVersionNameNotification",
    "InstanceAvailabilityPresentationContexts",
    "InvalidNameError",
    "InvalidSettingError",
    "InventoryPresentationContexts",
    "LimitExceededError",
    "LocalProtocolError",
    "MaximumLengthNotification",
    "MediaCreationManagementPresentationContexts",
    "MediaStoragePresentationContexts",
    "ModalityPerformedPresentationContexts",
    "NegotiationItem",
    "NoContextError",
    "NonPatientObjectPresentationContexts",
    "NotEstablishedError",
    "NotStored",
    "NothingRequestedError",
    "PresentationContext",
    "PresentationContextTuple",
    "PrintManagementPresentationContexts",
    "ProcedureStepPresentationContexts",
    "ProtocolApprovalPresentationContexts",
    "QueryRetrievePresentationContexts",
    "RTMachineVerificationPresentationContexts",
    "RelevantPatientInformationPresentationContexts",
    "SCP_SCU_RoleSelectionNegotiation",
    "SOPClassCommonExtendedNegotiation",
    "SOPClassExtendedNegotiation",
    "ServiceClass",
    "Status",
    "StorageCommitmentPresentationContexts",
    "StorageManagementPresentationContexts",
    "StoragePresentationContexts",
    "SubstanceAdministrationPresentationContexts",
    "TLSProfile",
    "UnifiedProcedurePresentationContexts",
    "UserIdentityNegotiation",
    "VerificationPresentationContexts",
    "client_context",
    "code_to_status",
    "server_context",
    "store_in_file",
    "store_to",
]

_MODULES: Final = {
    "dicom_proto.application.results": "code_to_status",
    "dicom_proto.errors": (
        "DataSetError DicomProtoError InvalidNameError InvalidSettingError LimitExceededError "
        "LocalProtocolError NoContextError NotEstablishedError NothingRequestedError"
    ),
    "dicom_proto.offers.implementation": (
        "PYNETDICOM_IMPLEMENTATION_UID PYNETDICOM_IMPLEMENTATION_VERSION PYNETDICOM_UID_PREFIX"
    ),
    "dicom_proto.offers.items": (
        "AsynchronousOperationsWindowNegotiation ImplementationClassUIDNotification "
        "ImplementationVersionNameNotification MaximumLengthNotification NegotiationItem "
        "SCP_SCU_RoleSelectionNegotiation SOPClassCommonExtendedNegotiation SOPClassExtendedNegotiation "
        "UserIdentityNegotiation"
    ),
    "dicom_proto.service_class": "ServiceClass",
    "dicom_proto.services.storage.pipeline": "NotStored",
    "dicom_proto.status": "Category Status",
    "dicom_proto.upper_layer.failures": (
        "AssociationAborted AssociationClosed AssociationFailure AssociationRejected AssociationTimedOut"
    ),
    "dicom_transports.storage": "GroupCommit store_in_file store_to",
    "dicom_transports.tls": "TLSProfile client_context server_context",
}
_CONTEXTS: Final = "dicom_proto.offers.contexts"  # has all others: they are too many to be listed once more
_HOMES: Final = {
    **dict.fromkeys(__all__, _CONTEXTS),
    **{name: module for module, names in _MODULES.items() for name in names.split()},
}


def loads(namespace: dict[str, Any]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return what makes these names attributes of a module: its ``__getattr__`` and its ``__dir__``.

    Parameters
    ----------
    namespace : dict
        That of the module: what has been asked for once is put there.
    """

    def load(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(home), name)
        return value

    def known() -> list[str]:
        return sorted({*namespace, *__all__})

    return load, known
