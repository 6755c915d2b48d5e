"""Presentation contexts as users write them down."""

from typing import Any

import pytest
from pydicom.uid import UID

from dicom_proto.errors import InvalidNameError, InvalidSettingError
from dicom_proto.offers import contexts as presentation
from dicom_proto.offers.contexts import (
    DEFAULT_TRANSFER_SYNTAXES,
    PresentationContext,
    PresentationContextTuple,
    build_context,
    build_role,
    negotiated_contexts,
)
from dicom_proto.offers.items import SCP_SCU_RoleSelectionNegotiation
from dicom_proto.upper_layer.items import ContextResult, ProposedContext, RoleSelection, UserInformation
from dicom_proto.upper_layer.negotiation import Agreement, agree
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ
from tests.proto.rows import for_each

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"

# The lists that users of pynetdicom import, and how many contexts they find in them; here there may be more.
LISTS = {
    "AllStoragePresentationContexts": 170,
    "ApplicationEventLoggingPresentationContexts": 2,
    "BasicWorklistManagementPresentationContexts": 1,
    "ColorPalettePresentationContexts": 3,
    "DefinedProcedureProtocolPresentationContexts": 3,
    "DisplaySystemPresentationContexts": 1,
    "HangingProtocolPresentationContexts": 3,
    "ImplantTemplatePresentationContexts": 9,
    "InstanceAvailabilityPresentationContexts": 1,
    "MediaCreationManagementPresentationContexts": 1,
    "MediaStoragePresentationContexts": 1,
    "ModalityPerformedPresentationContexts": 3,
    "NonPatientObjectPresentationContexts": 9,
    "PrintManagementPresentationContexts": 11,
    "ProcedureStepPresentationContexts": 3,
    "ProtocolApprovalPresentationContexts": 3,
    "QueryRetrievePresentationContexts": 13,
    "RTMachineVerificationPresentationContexts": 2,
    "RelevantPatientInformationPresentationContexts": 3,
    "StorageCommitmentPresentationContexts": 1,
    "StoragePresentationContexts": 119,
    "SubstanceAdministrationPresentationContexts": 2,
    "UnifiedProcedurePresentationContexts": 5,
    "VerificationPresentationContexts": 1,
}


# --- one context ------------------------------------------------------------------------------------------------------


def test_contexts_are_members_of_sets() -> None:
    context = build_context(CT)
    assert {context, build_context(CT), build_context(VERIFICATION)} == {build_context(VERIFICATION), context}
    context.context_id = 1
    assert hash(context) == hash(build_context(CT))
    assert len({context, build_context(CT)}) == 2


def test_a_context_is_built_with_the_uncompressed_transfer_syntaxes() -> None:
    context = build_context(CT)
    assert context.abstract_syntax == CT
    assert context.abstract_syntax.keyword == "CTImageStorage"
    assert context.transfer_syntax == list(DEFAULT_TRANSFER_SYNTAXES)
    assert context.status == "Pending"
    nothing_yet = (context.context_id, context.result, context.scu_role, context.scp_role, context.as_scu)
    assert nothing_yet == (None,) * 5
    assert context.as_scp is None


def test_transfer_syntaxes_are_given_as_one_or_several() -> None:
    assert build_context(CT, JPEG).transfer_syntax == [JPEG]
    assert build_context(CT, (EXPLICIT, IMPLICIT, EXPLICIT)).transfer_syntax == [EXPLICIT, IMPLICIT]
    assert all(isinstance(uid, UID) for uid in build_context(CT, iter([EXPLICIT])).transfer_syntax)


@for_each(("uids", "error"), [("", InvalidNameError), ("CT", InvalidNameError)])
def test_no_context_without_an_abstract_syntax(uids: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        build_context(uids)


@for_each("uids", [[], (), {}])
def test_no_context_without_a_transfer_syntax(uids: list[str]) -> None:
    with pytest.raises(InvalidSettingError, match="without a transfer syntax"):
        build_context(CT, uids)


@for_each("uids", ["JPEG", ["JPEG"], [IMPLICIT, ""], [1]])
def test_transfer_syntaxes_are_uids(uids: list[str]) -> None:
    with pytest.raises(InvalidNameError):
        build_context(CT, uids)


def test_a_context_is_filled_in_bit_by_bit() -> None:
    context = PresentationContext()
    assert (context.abstract_syntax, context.transfer_syntax) == ("", [])
    context.context_id = 255
    context.abstract_syntax = CT  # type: ignore[assignment]  # what is set is converted
    context.transfer_syntax = [IMPLICIT]  # type: ignore[list-item]
    context.add_transfer_syntax(EXPLICIT)
    context.add_transfer_syntax(IMPLICIT)
    context.scu_role, context.scp_role = True, False
    assert context == PresentationContext(CT, [IMPLICIT, EXPLICIT], context_id=255, scu_role=True, scp_role=False)
    assert context.abstract_syntax.name == "CT Image Storage"
    assert context.transfer_syntax[0].is_implicit_VR


def test_uids_may_be_bytes() -> None:
    context = PresentationContext(b"1.2.840.10008.1.1", EXPLICIT.encode())
    context.add_transfer_syntax(IMPLICIT.encode())
    context.add_transfer_syntax(None)
    assert (context.abstract_syntax, context.transfer_syntax) == ("1.2.840.10008.1.1", [EXPLICIT, IMPLICIT])
    context.transfer_syntax = [IMPLICIT.encode()]  # type: ignore[list-item]
    assert context.transfer_syntax == [IMPLICIT]


@for_each(
    ("name", "value", "error"),
    [
        ("abstract_syntax", "CT", InvalidNameError),
        ("abstract_syntax", 1, InvalidNameError),
        ("transfer_syntax", None, InvalidSettingError),
        ("transfer_syntax", 1, InvalidSettingError),
        ("transfer_syntax", ["x"], InvalidNameError),
        *(("context_id", value, InvalidNameError) for value in (0, 2, 256, "1")),
        *((f"{name}_role", value, InvalidSettingError) for name in ("scu", "scp") for value in (1, "x")),
    ],
)
def test_values_that_cannot_be_right(name: str, value: object, error: type[Exception]) -> None:
    context = build_context(CT)
    with pytest.raises(error):
        setattr(context, name, value)
    assert context == build_context(CT)


def test_a_transfer_syntax_that_is_none_is_not_added() -> None:
    context = build_context(CT)
    with pytest.raises(InvalidNameError):
        context.add_transfer_syntax("JPEG")
    assert context == build_context(CT)


@for_each(
    ("result", "words"),
    [
        (None, "Pending"),
        (0, "Accepted"),
        (1, "User Rejected"),
        (2, "Provider Rejected"),
        (3, "Abstract Syntax Not Supported"),
        (4, "Transfer Syntax(es) Not Supported"),
        (5, "Unknown"),
        (-1, "Unknown"),
    ],
)
def test_the_result_in_words(result: int | None, words: str) -> None:
    context = build_context(CT)
    context.result = result
    assert context.status == words
    assert words in repr(context)


def test_as_tuple() -> None:
    assert PresentationContext(CT, [EXPLICIT], context_id=3).as_tuple == (3, CT, EXPLICIT)
    assert PresentationContext().as_tuple == PresentationContextTuple(0, UID(""), UID(""))


def test_a_copy_is_on_its_own() -> None:
    context = PresentationContext(CT, [EXPLICIT], context_id=3, result=0, scu_role=True, as_scp=True)
    copy = context.copy()
    assert copy == context
    copy.transfer_syntax.append(UID(IMPLICIT))
    assert context.transfer_syntax == [EXPLICIT]


def test_how_contexts_compare_and_show() -> None:
    assert build_context(CT) != build_context(CT, IMPLICIT)
    assert build_context(CT) != object()
    context = PresentationContext(CT, [IMPLICIT, "1.2.3"], context_id=5, result=0)
    assert repr(context) == "<PresentationContext 5 CT Image Storage: Implicit VR Little Endian, 1.2.3 (Accepted)>"


def test_printed_it_has_a_line_for_all_that_is_known_of_it() -> None:
    assert str(PresentationContext()) == "Transfer Syntax(es):\n    (none)"
    context = PresentationContext(CT, [IMPLICIT, "1.2.3"])
    lines = [
        "Abstract Syntax: CT Image Storage",
        "Transfer Syntax(es):",
        "    =Implicit VR Little Endian",
        "    =1.2.3",
    ]
    assert str(context).splitlines() == lines
    context.context_id, context.result, context.as_scu, context.as_scp = 5, 0, True, False
    assert str(context).splitlines() == ["ID: 5", *lines, "Result: Accepted", "Role: SCU only"]


def test_roles() -> None:
    assert build_role(CT) == SCP_SCU_RoleSelectionNegotiation(CT, False, False)
    assert build_role(CT, scp_role=True).to_item() == RoleSelection(CT, scu=False, scp=True)
    with pytest.raises(InvalidNameError):
        build_role("CT", scu_role=True)
    with pytest.raises(InvalidSettingError):
        build_role(CT, scu_role=1)  # type: ignore[arg-type]


# --- what was negotiated ----------------------------------------------------------------------------------------------


def agreement() -> Agreement:
    offer = AAssociateRQ(
        called_ae_title="A",
        calling_ae_title="B",
        presentation_contexts=(
            ProposedContext(5, CT, (JPEG, "bad", IMPLICIT)),
            ProposedContext(3, CT, (IMPLICIT, EXPLICIT)),
            ProposedContext(1, VERIFICATION, (IMPLICIT,)),
            ProposedContext(4, VERIFICATION, (IMPLICIT,)),
            ProposedContext(7, "bad", (IMPLICIT,)),
        ),
        user_information=UserInformation(
            maximum_length=0, implementation_class_uid="1.2", roles=(RoleSelection(CT, scu=False, scp=True),)
        ),
    )
    answer = AAssociateAC(
        context_results=(ContextResult(3, 0, EXPLICIT), ContextResult(5, 4), ContextResult(1, 0, IMPLICIT)),
        user_information=UserInformation(
            maximum_length=0, implementation_class_uid="1.3", roles=(RoleSelection(CT, scu=False, scp=True),)
        ),
    )
    return agree(offer, answer)


@for_each("is_requestor", [True, False])
def test_contexts_after_the_negotiation(is_requestor: bool) -> None:
    accepted, rejected = negotiated_contexts(agreement(), is_requestor=is_requestor)
    echo: dict[str, Any] = {"context_id": 1, "result": 0, "as_scu": is_requestor, "as_scp": not is_requestor}
    store: dict[str, Any] = {"context_id": 3, "result": 0, "as_scu": not is_requestor, "as_scp": is_requestor}
    assert accepted == [
        PresentationContext(VERIFICATION, IMPLICIT, **echo),
        PresentationContext(CT, EXPLICIT, **store),
    ]
    # What is none and was proposed all the same is left out.
    assert rejected == [PresentationContext(CT, [JPEG, IMPLICIT], context_id=5, result=4)]


# --- ready-made lists -------------------------------------------------------------------------------------------------


@for_each(("name", "count"), LISTS.items())
def test_every_known_list_is_there(name: str, count: int) -> None:
    contexts = getattr(presentation, name)
    uids = [context.abstract_syntax for context in contexts]
    assert len(uids) >= count
    assert uids == sorted(set(uids))
    assert all(context.transfer_syntax == list(DEFAULT_TRANSFER_SYNTAXES) for context in contexts)
    assert name in presentation.__all__


def keywords(name: str) -> set[str]:
    return {context.abstract_syntax.keyword for context in getattr(presentation, name)}


def test_all_lists_are_public() -> None:
    assert {name for name in dir(presentation) if name.endswith("PresentationContexts")} <= set(presentation.__all__)


def test_usual_storage_leaves_room_for_other_services() -> None:
    usual, everything = keywords("StoragePresentationContexts"), keywords("AllStoragePresentationContexts")
    assert usual < everything
    assert len(usual) == 119
    assert {"CTImageStorage", "RTPlanStorage", "XRayRadiationDoseSRStorage", "UltrasoundImageStorageRetired"} <= usual
    assert {"SegmentationStorage", "EncapsulatedPDFStorage", "RespiratoryWaveformStorage"} <= usual
    rare = {"DICOSCTImageStorage", "EncapsulatedSTLStorage", "RTRadiationSetStorage", "LabelMapSegmentationStorage"}
    assert rare <= everything - usual


def test_some_contents() -> None:
    assert keywords("VerificationPresentationContexts") == {"Verification"}
    assert keywords("BasicWorklistManagementPresentationContexts") == {"ModalityWorklistInformationModelFind"}
    assert "PatientStudyOnlyQueryRetrieveInformationModelFind" in keywords("QueryRetrievePresentationContexts")
    assert "CompositeInstanceRootRetrieveGet" in keywords("QueryRetrievePresentationContexts")
    assert keywords("InventoryPresentationContexts") == {"InventoryFind", "InventoryGet", "InventoryMove"}
    assert keywords("StorageManagementPresentationContexts") == {"InventoryCreation"}
