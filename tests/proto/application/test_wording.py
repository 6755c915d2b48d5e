"""What is negotiated, in words: names of UIDs, contexts, and the A-ASSOCIATE PDUs line by line."""

from attrs import evolve

from dicom_proto.application.wording import accepted_contexts, lines_of, listed, name_of, refused_contexts
from dicom_proto.dimse.connection import Connection
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
)
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRJ
from dicom_proto.upper_layer.policy import CALLED_AE_TITLE_NOT_RECOGNIZED
from tests.proto.application.lives import Couple, entity
from tests.proto.programs.script import CT, IMPLICIT, MR, VERIFICATION, offer_of


def test_names() -> None:
    assert name_of(VERIFICATION) == "Verification SOP Class"
    assert name_of(IMPLICIT) == "Implicit VR Little Endian"
    assert name_of("1.2.3.4") == "1.2.3.4"
    assert name_of("1.2\n3" + "x" * 100) == repr("1.2\n3" + "x" * 59)
    assert name_of("") == "''"


def test_lists_are_bounded() -> None:
    assert listed({}) == "none"
    assert listed({"CT": ["A", "B"], "MR": ["A"]}) == "CT (A, B), MR (A)"
    assert listed({str(number): ["A"] for number in range(14)}).endswith("11 (A) and 2 more")


def test_contexts_of_both_kinds() -> None:
    there = entity("THERE", VERIFICATION)
    couple = Couple(offer=entity("HERE", VERIFICATION, CT, MR).offer("THERE"), reception=there.policy())
    couple.establish().settle()
    for side in (couple.scu, couple.scp):
        connection = side.peer.connection
        assert accepted_contexts(connection) == {"Verification SOP Class": ["Implicit VR Little Endian"]}
        assert refused_contexts(connection) == {
            "CT Image Storage": ["abstract syntax not supported"],
            "MR Image Storage": ["abstract syntax not supported"],
        }


def test_nothing_is_agreed_on_yet() -> None:
    assert accepted_contexts(Connection()) == refused_contexts(Connection()) == {}


def test_lines_of_a_request() -> None:
    request = offer_of(VERIFICATION)
    information = evolve(
        request.user_information,
        operations_window=OperationsWindow(5, 1),
        roles=(RoleSelection(CT, scu=True, scp=True), RoleSelection(MR, scu=False, scp=False)),
        extended=(ExtendedNegotiation(CT, b"\1\2"),),
        common_extended=(CommonExtendedNegotiation("1.2.3", "1.2.840.10008.4.2", ()),),
        identity=UserIdentity(2, b"a name", b"a secret"),
    )
    lines = list(lines_of(evolve(request, user_information=information), is_sent=False))
    assert lines == [
        "< ---- A-ASSOCIATE-RQ received ----",
        "  Calling AE title:     'CALLING'",
        "  Called AE title:      'CALLED'",
        "  Application context:  DICOM Application Context Name",
        lines[4],
        lines[5],
        "  Presentation contexts proposed: 1",
        "    1: Verification SOP Class",
        "       = Implicit VR Little Endian",
        "  Operations window:    5 invoked, 1 performed",
        "  Role selection:       CT Image Storage: SCU and SCP",
        "  Role selection:       MR Image Storage: none",
        "  Extended negotiation: CT Image Storage: 01 02",
        "  Common extended:      1.2.3 is of Storage Service Class",
        "  User identity:        username and passcode, not shown",
    ]
    assert lines[4].startswith("  Implementation:       ")
    assert lines[5].startswith("  Maximum length:       ")


def test_lines_of_an_acceptance() -> None:
    information = evolve(offer_of(VERIFICATION).user_information, maximum_length=0, identity_response=b"abc")
    results = (ContextResult(1, 0, IMPLICIT), ContextResult(3, 4), ContextResult(5, 77))
    lines = list(lines_of(AAssociateAC(context_results=results, user_information=information), is_sent=True))
    assert lines[0] == "> ---- A-ASSOCIATE-AC sent ----"
    assert "  Maximum length:       any" in lines
    assert lines[-5:] == [
        "  Presentation contexts answered: 3",
        "    1: acceptance: Implicit VR Little Endian",
        "    3: transfer syntaxes not supported",
        "    5: unknown result 77",
        "  User identity:        accepted, a response of 3 bytes",
    ]


def test_lines_of_a_rejection() -> None:
    assert list(lines_of(CALLED_AE_TITLE_NOT_RECOGNIZED, is_sent=True)) == [
        "> ---- A-ASSOCIATE-RJ sent ----",
        "  Result:  1, rejected permanently",
        "  Source:  1, the service-user",
        "  Reason:  7, called AE title not recognized",
    ]
    assert list(lines_of(AAssociateRJ(9, 9, 9), is_sent=False))[-1] == "  Reason:  9, unknown reason 9"


def test_an_identity_of_a_type_that_nobody_knows() -> None:
    request = offer_of(VERIFICATION)
    information = evolve(request.user_information, identity=UserIdentity(99, b"a name"))
    *_, last = lines_of(evolve(request, user_information=information), is_sent=False)
    assert last == "  User identity:        unknown type 99, not shown"
