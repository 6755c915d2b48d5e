"""``dicom-proto probe``: what is found out of acceptors in memory, by how many associations; and over the network."""

import json
from collections.abc import Callable

import pytest

from dicom_proto.errors import InvalidNameError
from dicom_proto.service_class import ServiceClass
from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES, sop_classes
from dicom_proto.testing.pair import CT, IMPLICIT, STUDY_FIND, VERIFICATION
from dicom_proto.upper_layer.extended import QueryOptions, StorageLevel, StorageOptions
from dicom_proto.upper_layer.failures import AssociationRejected
from dicom_proto.upper_layer.items import UserIdentity
from dicom_proto.upper_layer.negotiation import Agreement, agree
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy, Supported, review
from dicom_transports.apps.exits import Exit
from dicom_transports.apps.main import main
from dicom_transports.apps.probing import Probe, every_sop_class
from dicom_transports.blocking import AE

EXPLICIT = "1.2.840.10008.1.2.1"
EVERY_SYNTAX = list(map(str, ALL_TRANSFER_SYNTAXES))


class Acceptor:
    """Answers offers by a policy, and keeps them."""

    def __init__(self, policy: Policy, extended: dict[str, bytes] | None = None, *, at_most: int = 10**6) -> None:
        self._policy = policy
        self._extended = extended or {}
        self._at_most = at_most
        self.offers: list[AAssociateRQ] = []

    def __call__(self, offer: AAssociateRQ) -> Agreement:
        self.offers.append(offer)
        if len(self.offers) > self._at_most:
            raise ConnectionResetError("enough")
        found = review(offer, self._policy)
        answer = (
            found
            if isinstance(found, AAssociateRJ)
            else found.answer(extended=self._extended, identity=True if found.identity else None)
        )
        if isinstance(answer, AAssociateRJ):
            raise AssociationRejected(answer.result, answer.source, answer.reason)
        return agree(offer, answer)


def probe(acceptor: Acceptor, *wanted: str, **how: object) -> Probe:
    made = Probe(acceptor, "ARCHIVE", "SCANNER", wanted, **how)  # type: ignore[arg-type]
    made.run()
    return made


def test_what_is_accepted_is_found_in_the_order_of_preference() -> None:
    acceptor = Acceptor(Policy(supported={CT: Supported((IMPLICIT, EXPLICIT)), VERIFICATION: Supported((IMPLICIT,))}))
    found = probe(acceptor, VERIFICATION, CT, STUDY_FIND)
    assert found.answers[CT].transfer_syntaxes == [IMPLICIT, EXPLICIT]
    assert found.answers[VERIFICATION].transfer_syntaxes == [IMPLICIT]
    assert found.answers[STUDY_FIND].transfer_syntaxes == []
    assert found.answers[STUDY_FIND].result == 3
    assert found.is_complete
    assert found.associations == len(acceptor.offers) <= 4


@pytest.mark.parametrize("count", [1, 2, 3, 7, 30, len(EVERY_SYNTAX)])
def test_every_transfer_syntax_is_found_by_few_contexts(count: int) -> None:
    acceptor = Acceptor(Policy(supported={CT: Supported(tuple(EVERY_SYNTAX[:count]))}))
    found = probe(acceptor, CT)
    assert sorted(found.answers[CT].transfer_syntaxes) == sorted(EVERY_SYNTAX[:count])
    assert sum(len(offer.presentation_contexts) for offer in acceptor.offers) <= 4 * count + 8
    assert len(acceptor.offers) <= 9


def test_no_offer_is_larger_than_peers_take() -> None:
    acceptor = Acceptor(Policy(supported={}, unrestricted=Supported(tuple(EVERY_SYNTAX))))
    found = probe(acceptor, *every_sop_class(), most=400)
    assert found.is_complete
    for offer in acceptor.offers:
        contexts = offer.presentation_contexts
        assert 1 <= len(contexts) <= 128
        assert max(len(context.transfer_syntaxes) for context in contexts) <= 50
        assert sum(len(context.transfer_syntaxes) for context in contexts) <= 2000
    stored = [str(uid) for uid in sop_classes(ServiceClass.STORAGE)]
    assert all(len(found.answers[uid].transfer_syntaxes) == len(EVERY_SYNTAX) for uid in stored)
    assert set(found.answers[STUDY_FIND].transfer_syntaxes) == set(map(str, DEFAULT_TRANSFER_SYNTAXES))


def test_no_more_associations_than_are_allowed() -> None:
    acceptor = Acceptor(Policy(supported={CT: Supported(tuple(EVERY_SYNTAX))}))
    found = probe(acceptor, CT, most=2)
    assert len(acceptor.offers) == 2
    assert not found.is_complete
    assert found.answers[CT].transfer_syntaxes
    assert not probe(
        Acceptor(Policy(supported={CT: Supported((IMPLICIT,))})), CT, syntaxes=[IMPLICIT], most=1
    ).is_complete


def test_a_peer_that_has_had_enough_ends_it() -> None:
    found = probe(Acceptor(Policy(supported={CT: Supported(tuple(EVERY_SYNTAX))}), at_most=1), CT)
    assert not found.is_complete
    assert len(found.answers[CT].transfer_syntaxes) == 1
    with pytest.raises(ConnectionResetError):
        probe(Acceptor(Policy(supported={}), at_most=0), CT)


def test_roles_window_length_and_identity() -> None:
    policy = Policy(
        supported={CT: Supported((IMPLICIT,), scu_role=True, scp_role=True), VERIFICATION: Supported((IMPLICIT,))},
        maximum_length=4321,
        maximum_invoked=3,
        maximum_performed=5,
    )
    found = probe(Acceptor(policy), CT, VERIFICATION, identity=UserIdentity(1, b"jane", b"", True))
    assert (found.answers[CT].is_scp, found.answers[CT].is_scu) == (True, True)
    assert (found.answers[VERIFICATION].is_scp, found.answers[VERIFICATION].is_scu) == (True, False)
    assert found.peer is not None
    assert (found.peer.maximum_length, found.peer.window) == (4321, (5, 3))
    assert found.peer.is_identity_confirmed


def test_extended_negotiation_in_words() -> None:
    move, worklist = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.31"
    all_of_them = (CT, STUDY_FIND, move, worklist, VERIFICATION)
    answers = {
        CT: StorageOptions(level=StorageLevel.FULL).encode(),
        STUDY_FIND: QueryOptions(relational=True, fuzzy_names=True).encode(),
        worklist: b"\1\1\1",
        move: b"\1",
    }
    acceptor = Acceptor(Policy(supported={uid: Supported((IMPLICIT,)) for uid in all_of_them}), answers)
    found = probe(acceptor, *all_of_them, syntaxes=[IMPLICIT]).answers
    assert found[CT].extended == {"level": 2, "digital_signature_level": 0, "element_coercion": 2}
    query = found[STUDY_FIND].extended
    assert query is not None
    assert [name for name, said in query.items() if said] == ["relational", "fuzzy_names"]
    assert found[move].extended == {"relational": True, "view": False}
    assert found[worklist].extended == {"fuzzy_names": True, "timezone_adjustment": False}
    assert found[VERIFICATION].extended is None


def test_other_titles_are_asked_only_if_they_are_named() -> None:
    acceptor = Acceptor(Policy(supported={VERIFICATION: Supported((IMPLICIT,))}, called_ae_titles=["ARCHIVE", "PACS"]))
    found = probe(acceptor, VERIFICATION)
    assert {offer.called_ae_title for offer in acceptor.offers} == {"ARCHIVE"}
    assert found.knows("PACS") is None
    assert "called AE title not recognized" in str(found.knows("OTHER"))
    with pytest.raises(InvalidNameError):
        found.knows("")


# --- the command ------------------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_it(port: int, *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["probe", "127.0.0.1", str(port), *arguments])
        return code, *capsys.readouterr()

    return run_it


def test_the_command_says_it_in_a_table_and_in_json(run: Run) -> None:
    ae = AE("ARCHIVE")
    ae.require_called_aet = True
    ae.add_supported_context(CT, [IMPLICIT, EXPLICIT], scu_role=True, scp_role=True)
    ae.add_supported_context(VERIFICATION, IMPLICIT)
    with ae.start_server(("127.0.0.1", 0), block=False) as server:
        port = server.address[1]
        only = (
            "--sop-class",
            "CTImageStorage",
            "--sop-class",
            "Verification",
            "--sop-class",
            STUDY_FIND,
            "-aec",
            "ARCHIVE",
        )
        code, output, _ = run(port, *only, "--title", "OTHER", "--title", "ARCHIVE")
        assert code == Exit.ALL
        words = " ".join(output.split())
        assert "CT Image Storage" in words
        assert "SCP, SCU" in words
        assert "2 SOP classes accepted, 1 refused" in words
        assert "AE title ARCHIVE accepted" in words
        assert "AE title OTHER association rejected: rejected permanently by the service-user" in words
        code, output, _ = run(port, *only, "--json", "--user", "jane", "--transfer-syntax", "ExplicitVRLittleEndian")
        record = json.loads(output)
        assert code == Exit.ALL
        assert [one["transfer syntaxes"] for one in record["SOP classes"]] == [[EXPLICIT]]
        assert record["refused"] == {VERIFICATION: 4, STUDY_FIND: 3}
        assert record["user identity"] == "accepted; -rsp asks for a confirmation"
        code, output, _ = run(port, *only[4:6], "--json", "-aec", "ARCHIVE")
        assert code == Exit.NONE
        code, _, error = run(port, "--sop-class", "Verification")
        assert code == Exit.NO_ASSOCIATION
        assert "called AE title not recognized" in error
        code, _, _ = run(port, *only, "--most", "1", "--json")
        assert code == Exit.SOME


def test_mistakes_of_the_user(run: Run) -> None:
    code, _, error = run(1, "--sop-class", "CTImageStorge")
    assert code == Exit.USAGE
    assert "do you mean CTImageStorage" in error
    assert run(1, "--transfer-syntax", "JPEG")[0] == Exit.USAGE
    assert run(1, "--title", "a\\b")[0] == Exit.USAGE
