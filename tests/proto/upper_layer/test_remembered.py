"""What negotiation works out once: the same for the same, bounded, and never with a user identity."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.errors import LocalProtocolError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.testing.pair import CT, IMPLICIT, VERIFICATION
from dicom_proto.upper_layer.items import OperationsWindow, UserIdentity
from dicom_proto.upper_layer.negotiation import LocalSide, agree, build_offer
from dicom_proto.upper_layer.pdu import AAssociateAC, AAssociateRQ, PDUType, decode_pdu, encode_pdu
from dicom_proto.upper_layer.policy import Policy, Review, review
from dicom_proto.upper_layer.remembered import LONGEST, Remembered

CONTEXTS = [(VERIFICATION, IMPLICIT), (CT, [IMPLICIT, "1.2.840.10008.1.2.1"])]
POLICY = Policy(supported={VERIFICATION: IMPLICIT})
IDENTITY = UserIdentity(1, b"somebody", positive_response_requested=True)


def offered(**options: Any) -> AAssociateRQ:
    return build_offer("CALLED", "CALLING", CONTEXTS, **options)


def decoded(pdu: AAssociateRQ | AAssociateAC, tolerance: Tolerance = DEFAULT_TOLERANCE) -> Any:
    encoded = encode_pdu(pdu)
    return decode_pdu(encoded[0], encoded[6:], tolerance=tolerance)


def reviewed(offer: AAssociateRQ, policy: Policy = POLICY) -> Review:
    found = review(offer, policy)
    assert isinstance(found, Review)
    return found


def test_the_same_is_worked_out_once() -> None:
    offer = offered()
    assert offered() is offer
    assert encode_pdu(offer) is encode_pdu(offer)
    received = decoded(offer)
    assert received == offer
    assert decoded(offer) is received
    assert reviewed(received) is reviewed(received)
    answer = reviewed(received).answer()
    assert reviewed(received).answer(extended={}, refused=None) is answer
    assert isinstance(answer, AAssociateAC)
    assert encode_pdu(answer) is encode_pdu(answer)
    assert agree(received, answer) is agree(received, answer)
    assert decoded(answer) is decoded(answer)
    assert agree(offer, decoded(answer)) == agree(received, answer)


@pytest.mark.parametrize(
    "options",
    [
        {"called_ae_title": "OTHER"},
        {"calling_ae_title": "OTHER"},
        {"contexts": CONTEXTS[:1]},
        {"contexts": CONTEXTS[::-1]},
        {"extended": {CT: b"\1"}},
        {"local": LocalSide(maximum_length=16384)},
    ],
)
def test_what_differs_is_another(options: dict[str, Any]) -> None:
    usual = {"called_ae_title": "CALLED", "calling_ae_title": "CALLING", "contexts": CONTEXTS}
    assert build_offer(**{**usual, **options}) != offered()


def test_an_answer_that_is_not_the_plain_one_is_made_anew() -> None:
    policy = Policy(supported={VERIFICATION: IMPLICIT}, maximum_performed=5)
    verdict = reviewed(decoded(offered(local=LocalSide(maximum_invoked=9))), policy)
    plain = verdict.answer()
    for options in ({"refused": {1: 1}}, {"operations_window": OperationsWindow(1, 1)}):
        assert verdict.answer(**options) != plain
        assert verdict.answer() is plain
    other = reviewed(verdict.offer, Policy(supported={CT: IMPLICIT}))
    assert other.answer() != plain


def test_another_tolerance_decodes_for_itself() -> None:
    offer = offered()
    assert decoded(offer, Tolerance()) == decoded(offer)
    assert decoded(offer, Tolerance()) is not decoded(offer)


def test_a_user_identity_is_not_remembered() -> None:
    offer = offered(identity=IDENTITY)
    assert offered(identity=IDENTITY) == offer
    assert offered(identity=IDENTITY) is not offer
    assert encode_pdu(offer) is not encode_pdu(offer)
    received = decoded(offer)
    assert decoded(offer) is not received
    assert reviewed(received) is not reviewed(received)
    answer = reviewed(received).answer(identity=b"")
    assert isinstance(answer, AAssociateAC)
    assert answer.user_information.identity_response == b""
    assert encode_pdu(answer) is not encode_pdu(answer)
    assert decoded(answer) is not decoded(answer)
    assert agree(received, answer) is not agree(received, answer)
    assert agree(offered(), answer) is not agree(offered(), answer)
    assert reviewed(received).answer() is not reviewed(received).answer()


@pytest.mark.parametrize("contexts", [[(VERIFICATION, [["1.2"]])], [([], IMPLICIT)]])
def test_what_cannot_be_a_key_is_refused_as_ever(contexts: Iterable[Any]) -> None:
    with pytest.raises(LocalProtocolError):
        build_offer("CALLED", "CALLING", contexts)


def test_what_is_refused_is_refused_again() -> None:
    offer = offered()
    wrong = evolve(offer, presentation_contexts=())
    calls: list[Callable[[], object]] = [lambda: encode_pdu(wrong), lambda: build_offer("", "CALLING", CONTEXTS)]
    for call in calls * 2:
        with pytest.raises(LocalProtocolError):
            call()


def test_the_memory_is_bounded_in_number() -> None:
    memory: Remembered[int] = Remembered()
    for number in range(1000):
        memory.keep(number, number, 1)
        assert memory.get(number) == number
    assert 1 <= sum(memory.get(number) is not None for number in range(1000)) <= 64


def test_the_memory_is_bounded_in_bytes() -> None:
    memory: Remembered[int] = Remembered()
    memory.keep("long", 1, LONGEST + 1)
    assert memory.get("long") is None
    for number in range(100):
        memory.keep(number, number, LONGEST)
        assert memory.get(number) == number
    assert sum(memory.get(number) is not None for number in range(100)) * LONGEST <= 1 << 18


def test_a_long_pdu_is_not_kept() -> None:
    offer = build_offer("CALLED", "CALLING", [(CT, [f"1.2.{number}" for number in range(3000)])])
    assert len(encode_pdu(offer)) > LONGEST
    assert encode_pdu(offer) is not encode_pdu(offer)
    assert decoded(offer) is not decoded(offer)
    assert decoded(offer) == offer
    assert encode_pdu(offer)[0] == PDUType.A_ASSOCIATE_RQ
