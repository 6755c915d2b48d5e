"""What is tolerated in A-ASSOCIATE PDUs: named, counted each time, refused where it is switched off."""

from typing import Any

import pytest
from attrs import evolve

from dicom_proto.errors import AbortReason
from dicom_proto.limits import Tolerance
from dicom_proto.testing.pair import answer, offer
from dicom_proto.upper_layer.events import Aborted, AssociateAccepted, AssociateRequested, Tolerated
from dicom_proto.upper_layer.items import ContextResult
from dicom_proto.upper_layer.pdu import AAbort, encode_pdu, pack_header
from tests.proto.upper_layer.machines import OFFER, asking, fed, listening, pdus

NAME = b"\x10\0\0\x151.2.840.10008.3.1.1.1"
INFORMATION = b"\x50\0\0\x11" + b"\x51\0\0\4\0\0\x40\0" + b"\x52\0\0\x051.2.3"
TITLES = b"CALLED          CALLING         "


def item(kind: int, value: bytes) -> bytes:
    return bytes((kind, 0)) + len(value).to_bytes(2, "big") + value


def proposed(context_id: int = 1, abstract_syntax: bytes = b"1.2", transfer_syntax: bytes = b"1.3") -> bytes:
    return item(0x20, bytes((context_id, 0, 0, 0)) + item(0x30, abstract_syntax) + item(0x40, transfer_syntax))


def result(rest: bytes, outcome: int = 0) -> bytes:
    return item(0x21, bytes((1, 0, outcome, 0)) + rest)


def associate(kind: int, *items: bytes, titles: bytes = TITLES) -> bytes:
    body = b"\0\1\0\0" + titles + bytes(32) + b"".join(items)
    return pack_header(kind, len(body)) + body


ROLE = item(0x54, b"\0\x031.2\1\1")
ASKED = [
    ("padded_uids", [NAME, proposed(abstract_syntax=b"1.2\0"), INFORMATION], "a UID with padding"),
    ("padded_uids", [NAME + proposed(transfer_syntax=b"1.3 "), INFORMATION], "a UID with padding"),
    ("padded_uids", [item(0x10, NAME[4:] + b"\0"), proposed(), INFORMATION], "a UID with padding"),
    ("even_context_ids", [NAME, proposed(), proposed(2), INFORMATION], "presentation context ID 2 is not odd"),
    ("missing_sub_items", [NAME, proposed(), item(0x50, INFORMATION[4:12])], "implementation class UID"),
    ("missing_sub_items", [NAME, proposed(), item(0x50, INFORMATION[12:])], "maximum length (51H)"),
    ("repeated_sub_items", [NAME, proposed(), item(0x50, INFORMATION[4:] + ROLE * 2)], "a second sub-item 54H"),
]


@pytest.mark.parametrize(("kind", "items", "words"), ASKED)
def test_in_a_request(kind: str, items: list[bytes], words: str) -> None:
    request = associate(1, *items)
    for _ in range(2):  # the second time it is remembered, and told all the same
        machine = listening()
        noted: list[Tolerated] = []
        machine.on_tolerated = noted.append
        [event] = fed(machine, request)
        assert isinstance(event, AssociateRequested)
        assert machine.tolerated == {kind: 1}
        assert [one.kind for one in noted] == [kind]
        assert words in noted[0].detail
    machine = listening(tolerance=Tolerance(**{kind: False}))
    [event] = fed(machine, request)
    assert isinstance(event, Aborted) == (kind != "padded_uids")  # a UID with padding is another UID then
    assert machine.tolerated == {}


def test_blank_titles() -> None:
    machine = listening()
    fed(machine, associate(1, NAME, proposed(), INFORMATION, titles=b" " * 16 + TITLES[16:]))
    assert machine.tolerated == {"blank_ae_titles": 1}


def test_several_in_a_request_and_what_nothing_is_odd_in() -> None:
    machine = listening()
    fed(machine, associate(1, NAME, proposed(1, b"1.2\0"), proposed(0), item(0x50, b"")))
    assert machine.tolerated == {"padded_uids": 1, "even_context_ids": 1, "missing_sub_items": 1}
    machine = listening()
    fed(machine, associate(1, NAME, proposed(), INFORMATION))
    assert machine.tolerated == {}


ROLES = item(0x50, INFORMATION[4:] + item(0x54, b"\0\x111.2.840.10008.1.1\1\1"))
ACCEPTED = result(item(0x40, b"1.2.840.10008.1.2"))
ANSWERED = [
    ("missing_transfer_syntax", [NAME, result(b"", 3), INFORMATION], "presentation context 1 with result 3"),
    (
        "missing_transfer_syntax",
        [NAME, result(item(0x40, b""), 4), INFORMATION],
        "context 1 with result 4",
    ),
    ("padded_uids", [NAME, result(item(0x40, b"1.2.840.10008.1.2\0")), INFORMATION], "a UID with padding"),
    ("faulty_answers", [NAME, INFORMATION], "presentation context 1 is not answered"),
    (
        "faulty_answers",
        [NAME, result(item(0x40, b"1.9")), INFORMATION],
        "with '1.9', which it does not propose",
    ),
    ("faulty_answers", [NAME, ACCEPTED, ROLES], "roles are answered for '1.2.840.10008.1.1'"),
]


@pytest.mark.parametrize(("kind", "items", "words"), ANSWERED)
def test_in_an_answer(kind: str, items: list[bytes], words: str) -> None:
    response = associate(2, *items)
    for _ in range(2):
        machine = asking()
        noted: list[Tolerated] = []
        machine.on_tolerated = noted.append
        [event] = fed(machine, response)
        assert isinstance(event, AssociateAccepted)
        assert machine.tolerated == {kind: 1}
        assert words in noted[0].detail
    if kind != "padded_uids":
        machine = asking(tolerance=Tolerance(**{kind: False}))
        [event] = fed(machine, response)
        assert isinstance(event, Aborted)
        assert machine.tolerated == {}


def test_an_answer_that_is_not_tolerated_is_one_with_an_unexpected_parameter() -> None:
    machine = asking(tolerance=Tolerance(faulty_answers=False))
    more = evolve(answer(OFFER), context_results=(*answer(OFFER).context_results, ContextResult(3, 0, "1.3")))
    [event] = fed(machine, more)
    assert "presentation context 3 is answered, which was not proposed" in str(event.error)
    assert pdus(machine) == [AAbort(2, AbortReason.UNEXPECTED_PDU_PARAMETER)]


def test_no_more_than_some_faults_are_put_into_words() -> None:
    syntaxes = [f"1.2.{number}" for number in range(100)]
    request = offer(*syntaxes)
    machine = asking(request)
    noted: list[Any] = []
    machine.on_tolerated = noted.append
    fed(machine, associate(2, NAME, INFORMATION))
    assert len(noted) == 1
    assert len(noted[0].detail) < 400


def test_pdus_that_differ_in_nothing_else_are_equal() -> None:
    [event] = fed(listening(), associate(1, NAME, proposed(2), proposed(), INFORMATION))
    assert event.offer.tolerated == (("even_context_ids", "presentation context ID 2 is not odd"),)
    assert event.offer == evolve(event.offer, tolerated=())
    assert "tolerated" not in repr(event.offer)
    assert encode_pdu(answer(OFFER)) == encode_pdu(evolve(answer(OFFER), tolerated=(("x", "y"),)))
