"""Harness: what is made of a peer's offer and answer (``dicom_proto.upper_layer.policy``, ``.negotiation``).

The input is a header of four bytes and two PDUs. The header chooses a policy and what the application adds to it; the
PDUs are an A-ASSOCIATE-RQ and an A-ASSOCIATE-AC, and stand for whatever a peer proposes and answers.

* Whatever is proposed, the answer can be sent, and is read by the other side as it was meant, without a fault.
* Whatever is answered, each proposed context is either accepted with a transfer syntax that was proposed for it, or
  rejected; and nobody gets a role, or more operations, than were proposed.
"""

from collections.abc import Mapping
from random import Random
from typing import Final

from dicom_proto.errors import LocalProtocolError, PDUError
from dicom_proto.testing.mutators import mutate_bytes, mutate_stream
from dicom_proto.testing.samples import (
    COMMITMENT,
    CT,
    EXPLICIT,
    FIND,
    GET,
    IMPLICIT,
    MR,
    PDUS,
    STORAGE_SERVICE,
    STRICT,
    VERIFICATION,
)
from dicom_proto.upper_layer.items import OperationsWindow, UserInformation
from dicom_proto.upper_layer.negotiation import Agreement, agree, without_default_transfer_syntax
from dicom_proto.upper_layer.pdu import (
    HEADER_LENGTH,
    PDU,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    decode_pdu,
    encode_pdu,
    unpack_header,
)
from dicom_proto.upper_layer.policy import TEMPORARY_CONGESTION, Policy, Review, Supported, review

__all__ = ["POLICIES", "answer_to", "check", "mutate", "seeds"]

_HEADER: Final = 4  # policy, verdict on the identity, presentation contexts to refuse, all the rest

POLICIES: Final = (
    Policy(
        supported={
            VERIFICATION: IMPLICIT,
            CT: Supported((IMPLICIT, EXPLICIT), scu_role=True, scp_role=True),
            FIND: (EXPLICIT, IMPLICIT),
            GET: Supported(IMPLICIT, scu_role=True),
            COMMITMENT: Supported(IMPLICIT, scu_role=False, scp_role=True),
        },
        maximum_invoked=4,
        maximum_performed=4,
    ),
    Policy(supported={VERIFICATION: None}, unrestricted=Supported(IMPLICIT), unrestricted_except=(GET,)),
    Policy(supported={MR: IMPLICIT}, related_general=True, maximum_invoked=0, maximum_performed=0, maximum_length=0),
    Policy(supported={}, service_classes={STORAGE_SERVICE: EXPLICIT}, requestor_order=True),
    Policy(supported={CT: Supported(IMPLICIT, False, True), VERIFICATION: IMPLICIT}, tolerance=STRICT),
    Policy(supported={CT: IMPLICIT}, identity_required=True),
    Policy(supported={CT: IMPLICIT}, called_ae_titles="ANY-SCP", calling_ae_titles=("ECHOSCU",), tolerance=STRICT),
)


def answer_to(offer: AAssociateRQ, policy: int) -> AAssociateAC | AAssociateRJ:
    """Answer an offer as one of the policies wants; whatever user that is, it is the right one."""
    reviewed = review(offer, POLICIES[policy % len(POLICIES)])
    return reviewed.answer(identity=True) if isinstance(reviewed, Review) else reviewed


def check(data: bytes) -> None:
    """Review an offer and answer it; then read a peer's answer to it."""
    header, pdus = data[:_HEADER].ljust(_HEADER, b"\0"), data[_HEADER:]
    if len(pdus) < HEADER_LENGTH:
        return
    stop = HEADER_LENGTH + unpack_header(pdus)[1]
    offer, answer = _decode(pdus[:stop]), _decode(pdus[stop:])
    if isinstance(offer, AAssociateRQ):
        without_default_transfer_syntax(offer)
        _check_review(header, offer)
        if isinstance(answer, AAssociateAC):
            _check_agreement(offer, answer.user_information, agree(offer, answer))


def _decode(pdu: bytes) -> PDU | None:
    try:
        return decode_pdu(pdu[0], pdu[HEADER_LENGTH:]) if len(pdu) >= HEADER_LENGTH else None
    except PDUError:
        return None


def _check_review(header: bytes, offer: AAssociateRQ) -> None:
    reviewed = review(offer, POLICIES[header[0] % len(POLICIES)])
    if isinstance(reviewed, Review) and header[3] & 1:
        reviewed = reviewed.overrule({CT: None, MR: Supported((EXPLICIT, IMPLICIT), scp_role=True)})
    answer = _answer(header, reviewed) if isinstance(reviewed, Review) else reviewed
    if answer is None:
        return
    received = _decode(encode_pdu(answer))
    assert received == answer, f"{answer} was sent, and received as {received}"
    if isinstance(answer, AAssociateAC) and isinstance(received, AAssociateAC):
        agreement = agree(offer, answer)
        assert not agreement.faults, agreement.faults
        assert agree(offer, received) == agreement, "the two sides read one answer in two ways"
        _check_agreement(offer, answer.user_information, agreement)


def _answer(header: bytes, reviewed: Review) -> AAssociateAC | AAssociateRJ | None:
    """Answer an offer as the header says; return ``None`` for an answer that the offer does not allow."""
    _, verdict, refused, rest = header
    identity = (None, True, b"", b"ticket", False)[verdict % 5]
    contexts = [context.context_id for context in reviewed.offer.presentation_contexts]
    try:
        return reviewed.answer(
            identity=identity,
            extended=dict.fromkeys([*reviewed.extended, MR], b"\1\0") if rest & 2 else None,
            operations_window=OperationsWindow(rest >> 4, rest >> 6) if rest & 4 else None,
            refused={number: 1 + number % 4 for number in contexts if number & refused & 0xFE},
            rejection=TEMPORARY_CONGESTION if rest & 8 else None,
        )
    except LocalProtocolError:
        assert identity == b"ticket", "an answer without anything wrong is refused"
        return None


def _check_agreement(offer: AAssociateRQ, given: UserInformation, agreement: Agreement) -> None:
    asked = offer.user_information
    proposed = {context.context_id: context for context in offer.presentation_contexts}
    accepted, rejected = agreement.contexts, agreement.rejected
    assert set(accepted) | set(rejected) == set(proposed), "a context is forgotten, or was never proposed"
    assert not set(accepted) & set(rejected), "a context is accepted and rejected"
    for context_id, context in accepted.items():
        assert context.transfer_syntax in proposed[context_id].transfer_syntaxes, "nobody proposed that"
    wanted = {role.sop_class_uid: role for role in asked.roles}
    for uid, role in agreement.roles.items():
        defaults = (True, False)  # what counts if the proposal is not answered
        allowed = (wanted[uid].scu, wanted[uid].scp)
        assert (role.scu, role.scp) == defaults or (role.scu <= allowed[0] and role.scp <= allowed[1]), "a new role"
    window = asked.operations_window or OperationsWindow(1, 1)
    for count, most in ((agreement.requestor_window, window.invoked), (agreement.acceptor_window, window.performed)):
        assert not most or 1 <= count <= most, "more operations than were proposed"
    assert agreement.acceptor_maximum_length == (given.maximum_length or 0), "another maximum length"
    for fault in agreement.faults:
        assert fault.isprintable(), "characters of a peer got into a message"
        assert len(fault) < 1000, "a peer decides how long a message is"


def mutate(data: bytes, random: Random) -> bytes:
    """Change the header, or one of the PDUs."""
    header, pdus = data[:_HEADER], data[_HEADER:]
    if random.randrange(6) == 0:
        return mutate_bytes(header, random)[:_HEADER].ljust(_HEADER, b"\0") + pdus
    return header.ljust(_HEADER, b"\0") + mutate_stream(pdus, random)


def seeds() -> Mapping[str, bytes]:
    """Return each policy with a full offer, and some answers."""
    full = PDUS["associate-rq-full"]
    plain = PDUS["associate-rq"]
    found = {f"policy-{number}": bytes((number, 1, 0, 0)) + full for number in range(len(POLICIES))}
    for name in ("associate-ac", "associate-ac-full", "associate-ac-partial"):
        found[f"{name}-to-full"] = bytes(_HEADER) + full + PDUS[name]
        found[f"{name}-to-plain"] = bytes(_HEADER) + plain + PDUS[name]
    found["overruled"] = bytes((0, 2, 0, 1)) + full
    found["refused"] = bytes((0, 3, 6, 2)) + full
    found["own-window"] = bytes((0, 1, 0, 0x54)) + full
    found["rejected"] = bytes((0, 1, 0, 8)) + plain
    return found
