"""What breaks the standard is told with its clause, and what does not is not; states of both ends; no secrets."""

import struct
from typing import Any

import pytest
from attrs import evolve

from dicom_proto.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CStoreRSP,
    NEventReportRQ,
    encode_message,
)
from dicom_proto.testing.pair import CT, answer
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    OperationsWindow,
    RoleSelection,
    UserIdentity,
)
from dicom_proto.upper_layer.negotiation import LocalSide, build_offer
from dicom_proto.upper_layer.pdu import AAssociateRJ, PDUType, encode_pdu, pack_pdv_header
from dicom_proto.upper_layer.state_table import State
from dicom_transports.apps.trace.ends import Ends
from dicom_transports.apps.trace.entries import Entry, Kind
from tests.test_captures import (
    ABORT,
    ECHO_RQ,
    ECHO_RSP,
    PROVIDER_ABORT,
    RELEASE_RP,
    RELEASE_RQ,
    say,
    store,
    stored,
)
from tests.traces.packets import Steps, Wire, pcap, remarks, told, trace
from tests.traces.scenes import ECHO, FIND, IMPLICIT, OFFER, PATIENT, STORE, VERIFICATION, begun, element, image, stores

FORTH, BACK = False, True


def wrong(steps: Steps) -> list[str]:
    """The violations in a conversation, with the end that they are laid to."""
    entries, _ = trace(pcap(Wire().play(steps, 1 << 15).packets))
    return [f"{'<' if entry.back else '>'} {entry.text}" for entry in entries if entry.kind is Kind.VIOLATION]


def entries_of(steps: Steps, **how: Any) -> list[Entry]:
    return trace(pcap(Wire().play(steps, 1 << 15).packets), **how)[0]


CANCEL = say(CCancelRQ(message_id_being_responded_to=7), context=5)
FINE = {
    "echo": ECHO,
    "store": STORE,
    "find": FIND,
    "cancel": [*FIND[:3], (FORTH, CANCEL), *FIND[3:]],
    "rejected": [ECHO[0], (BACK, encode_pdu(AAssociateRJ(1, 1, 7)))],
    "rejected by the provider": [ECHO[0], (BACK, encode_pdu(AAssociateRJ(2, 3, 2)))],
    "aborted": [*ECHO[:3], (FORTH, ABORT)],
    "aborted by the provider": [*ECHO[:3], (BACK, PROVIDER_ABORT)],
    "data crosses the release": [*begun(), (FORTH, ECHO_RQ), (FORTH, RELEASE_RQ), (BACK, ECHO_RSP), (BACK, RELEASE_RP)],
    "data crosses the abort": [*begun(), (FORTH, ECHO_RQ), (FORTH, ABORT), (BACK, ECHO_RSP)],
    "releases collide": [*begun(), (FORTH, RELEASE_RQ), (BACK, RELEASE_RQ), (FORTH, RELEASE_RP), (BACK, RELEASE_RP)],
    "acceptor releases": [*begun(), (BACK, RELEASE_RQ), (FORTH, RELEASE_RP)],
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_right_is_no_violation(name: str) -> None:
    assert wrong(FINE[name]) == []
    assert not [text for text in remarks(pcap(Wire().play(FINE[name]).packets)) if "open" in text]


def test_the_states_of_a_collision() -> None:
    states = [entry.states for entry in entries_of(FINE["releases collide"]) if entry.kind is Kind.RELEASE]
    assert states == [("Sta7", "Sta8"), ("Sta9", "Sta10"), ("Sta11", "Sta12"), ("Sta1", "Sta13")]


def test_what_arrives_is_remembered_in_bounded_number() -> None:
    ends = Ends(is_established=True)
    for _ in range(100):
        ends.send(PDUType.A_RELEASE_RQ, back=False)
        ends.send(PDUType.A_ASSOCIATE_RQ, back=True)
    assert ends.states == ("Sta7", "Sta8")
    ends.close()
    assert ends.states == (State.Sta1.name, State.Sta1.name)


OPEN = begun()
WINDOW = OperationsWindow(2, 1)
ASYNCHRONOUS = build_offer(
    "ARCHIVE",
    "SCANNER",
    [(VERIFICATION, IMPLICIT)],
    roles=[RoleSelection(VERIFICATION, scu=True, scp=True)],
    extended={VERIFICATION: b"\1\2"},
    common_extended=[CommonExtendedNegotiation(VERIFICATION, "1.2.840.10008.4.2", (CT,))],
    local=LocalSide(maximum_invoked=2),
)


def echo(message_id: int) -> bytes:
    return say(CEchoRQ(message_id=message_id))


def bad_command(command: bytes, control: int = 3) -> bytes:
    return pack_pdv_header(1, control, len(command)) + command


TABLE = "(PS3.8 9.2, Table 9-10)"
AWAITING = "awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ PDU"
WRONG: dict[str, tuple[Steps, list[str]]] = {
    "data before the answer": ([ECHO[0], (FORTH, ECHO_RQ)], [f"> P-DATA-TF sent in Sta5 ({AWAITING}) {TABLE}"]),
    "a second request": (
        [*OPEN, OPEN[0]],
        [f"> A-ASSOCIATE-RQ sent in Sta6 ({State.Sta6.value}) {TABLE}"],
    ),
    "data behind the release": (
        [*OPEN, (FORTH, RELEASE_RQ), (FORTH, ECHO_RQ)],
        [f"> P-DATA-TF sent in Sta7 ({State.Sta7.value}) {TABLE}"],
    ),
    "a release that nobody asked for": (
        [*OPEN, (BACK, RELEASE_RP)],
        [f"< A-RELEASE-RP sent in Sta6 ({State.Sta6.value}) {TABLE}"],
    ),
    "a PDU of no type": (
        [*OPEN, (BACK, b"\x09\0\0\0\0\4abcd")],
        ["< a PDU of type 09H (PS3.8 9.3.1, Table 9-10, Evt19)"],
    ),
    "no PDV": ([*OPEN, (FORTH, b"\4\0\0\0\0\0")], ["> P-DATA-TF without a presentation data value item (PS3.8 9.3.5)"]),
    "a PDV that is too long": (
        [*OPEN, (FORTH, b"\4\0\0\0\0\x0a\0\0\0\x63\1\3abcd")],
        ["> PDV length 99 with 6 bytes left in the P-DATA-TF (PS3.8 9.3.5)"],
    ),
    "a P-DATA-TF that is too long": (
        [
            *OPEN,
            *[(FORTH, bad_command(encode_message(CEchoRQ(message_id=1), has_data_set=False), 1) + b"")],
            (FORTH, pack_pdv_header(1, 1, 20_000) + bytes(20_000)),
        ],
        ["> P-DATA-TF of 20006 bytes, the receiver takes 16384 (PS3.8 D.1)"],
    ),
    "an abort that is too long": (
        [*OPEN, (FORTH, b"\7\0\0\0\0\6\0\0\0\0\0\0")],
        ["> A-ABORT has a length of 6 bytes, not 4 (PS3.8 9.3.8)"],
    ),
    "a release that is far too long": (
        [*OPEN, (FORTH, b"\5\0\0\0\1\0" + bytes(256)), (FORTH, ECHO_RQ), (BACK, ECHO_RSP)],
        ["> A-RELEASE-RQ of 256 bytes is passed over (PS3.8 9.3.6)"],
    ),
    "an answer that cannot be decoded": (
        [OPEN[0], (BACK, OPEN[1][1][:2] + struct.pack(">I", 80) + OPEN[1][1][6:86])],
        ["< A-ASSOCIATE-AC, offset "],
    ),
    "a context that was not accepted": (
        [*OPEN, (FORTH, say(CEchoRQ(message_id=1), context=9))],
        ["> presentation context 9 has not been accepted (PS3.8 9.3.5.1, 7.1.1.13)"],
    ),
    "an answer that says too much": (
        [
            OPEN[0],
            (
                BACK,
                encode_pdu(
                    evolve(
                        answer(OFFER), context_results=(*answer(OFFER).context_results, ContextResult(77, 0, IMPLICIT))
                    )
                ),
            ),
        ],
        ["< presentation context 77 is answered, which was not proposed (PS3.8 9.3.3)"],
    ),
    "no command": (
        [*OPEN, (FORTH, bad_command(b"nonsense"))],
        ["> "],
    ),
    "a data set without a command": (
        [*OPEN, (FORTH, bad_command(b"data", 2))],
        ["> a data set without a command that announces it (PS3.8 Annex E) (PS3.8 Annex E)"],
    ),
    "a data set with a message that has none": (
        [*OPEN, (FORTH, ECHO_RQ.replace(b"\x08\2\0\0\0\1\1", b"\x08\2\0\0\0\1\0"))],
        ["> C-ECHO-RQ: a data set follows never (PS3.7 9.3, 10.3)"],
    ),
    "an answer that nobody asked for": (
        [*OPEN, (BACK, ECHO_RSP)],
        ["< C-ECHO-RSP to message 1, which is not outstanding (PS3.7 9.3, 10.3)"],
    ),
    "more operations than the window allows": (
        [*OPEN, (FORTH, echo(1)), (FORTH, echo(2))],
        ["> 2 operations are outstanding, the window is 1 (PS3.7 D.3.3.3)"],
    ),
    "a message ID that is outstanding": (
        [
            (FORTH, encode_pdu(ASYNCHRONOUS)),
            (BACK, encode_pdu(answer(ASYNCHRONOUS, window=WINDOW))),
            (FORTH, echo(1)),
            (FORTH, echo(1)),
        ],
        ["> C-ECHO-RQ with message ID 1, which is outstanding already (PS3.7 E.1)"],
    ),
    "a request in the wrong role": (
        [*OPEN, (BACK, ECHO_RQ)],
        ["< C-ECHO-RQ from an end that is not the SCU of its presentation context (PS3.7 D.3.3.4)"],
    ),
    "a report in the wrong role": (
        [
            *OPEN,
            (
                FORTH,
                say(
                    NEventReportRQ(
                        message_id=1,
                        affected_sop_class_uid=VERIFICATION,
                        affected_sop_instance_uid="1.2",
                        event_type_id=1,
                    )
                ),
            ),
        ],
        ["> N-EVENT-REPORT-RQ from an end that is not the SCP of its presentation context (PS3.7 D.3.3.4)"],
    ),
    "a command that lacks something": (
        [
            *OPEN,
            (
                FORTH,
                bad_command(
                    encode_message(CEchoRQ(message_id=1), has_data_set=False).replace(
                        VERIFICATION.encode() + b"\0", b"\0" * 18
                    )
                ),
            ),
        ],
        ["> C-ECHO-RQ: no "],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_clause(name: str) -> None:
    steps, expected = WRONG[name]
    found = wrong(steps)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.startswith(other)
        assert "(PS3." in one


def test_reading_goes_on_behind_what_is_wrong() -> None:
    steps = [
        *OPEN,
        (FORTH, b"\x09\0\0\0\0\4abcd"),
        (FORTH, ECHO_RQ),
        (BACK, ECHO_RSP),
        (FORTH, RELEASE_RQ),
        (BACK, RELEASE_RP),
    ]
    names = [entry.name for entry in entries_of(steps)]
    assert names[-6:-1] == ["violation", "C-ECHO-RQ", "C-ECHO-RSP", "A-RELEASE-RQ", "A-RELEASE-RP"]


def test_an_association_in_its_fields() -> None:
    steps = [(FORTH, encode_pdu(ASYNCHRONOUS)), (BACK, encode_pdu(answer(ASYNCHRONOUS, window=WINDOW)))]
    _, request, response, *_ = entries_of(steps)
    assert request.fields["roles"] == [
        {"SOP class": f"{VERIFICATION} Verification SOP Class", "SCU": True, "SCP": True}
    ]
    assert request.fields["extended negotiation"][0]["information"] == "01 02"
    assert request.fields["common extended negotiation"][0]["related general"] == [f"{CT} CT Image Storage"]
    assert request.fields["asynchronous operations window"] == {"invoked": 2, "performed": 1}
    assert response.fields["presentation contexts"][0]["transfer syntax"] == f"{IMPLICIT} Implicit VR Little Endian"
    assert response.fields["maximum length"] == 16384


def test_of_a_long_offer_the_beginning_is_told() -> None:
    syntaxes = [f"1.2.3.{number}" for number in range(200)]
    _, request, *_ = entries_of([(FORTH, encode_pdu(build_offer("ARCHIVE", "SCANNER", [(CT, syntaxes)])))])
    shown = request.fields["presentation contexts"][0]["transfer syntaxes"]
    assert shown[127:] == ["1.2.3.127", "and 72 more"]


def test_a_rejection_in_its_fields() -> None:
    (entry,) = [entry for entry in entries_of(FINE["rejected"]) if entry.name == "A-ASSOCIATE-RJ"]
    assert entry.text == "rejected permanently by the service-user: called AE title not recognized"
    assert entry.status == "failure"
    assert entry.fields["reason"] == "7 called AE title not recognized"


def test_a_failure_in_its_fields() -> None:
    response = CStoreRSP(
        message_id_being_responded_to=1, status=0xA900, offending_element=(0x00100010,), error_comment="no DOE here"
    )
    steps = [*begun(), stores(image())[0], (BACK, say(response, context=3))]
    (entry,) = [entry for entry in entries_of(steps) if entry.name == "C-STORE-RSP"]
    assert entry.status == "failure"
    assert entry.fields["status"] == "A900H"
    assert entry.fields["offending element"] == ["(0010,0010)"]
    assert entry.fields["error comment"] == "hidden: 11 characters"
    (entry,) = [entry for entry in entries_of(steps, values=True) if entry.name == "C-STORE-RSP"]
    assert entry.fields["error comment"] == "no DOE here"


def test_values_tell_of_patients_only_when_they_are_asked_for() -> None:
    for steps in (STORE, FIND):
        assert "DOE" not in repr(entries_of(steps, pdus=True))
        assert PATIENT in repr(entries_of(steps, values=True))


def test_a_passcode_is_never_told() -> None:
    assert "jane'" not in repr(entries_of(ECHO))
    told_all = entries_of(ECHO, values=True)
    assert "Sesame" not in repr(told_all)
    assert told_all[1].fields["user identity"]["primary field"] == "jane"
    token = evolve(OFFER, user_information=evolve(OFFER.user_information, identity=UserIdentity(5, b"eyJhbGciOi")))
    assert "eyJ" not in repr(entries_of(begun(token), values=True))


def test_the_elements_of_a_data_set() -> None:
    elements = next(entry for entry in entries_of(STORE, values=True) if entry.kind is Kind.DATA_SET).fields["elements"]
    assert [(one["name"], one["length"]) for one in elements] == [
        ("SOPClassUID", 26),
        ("ReferencedImageSequence", 16),
        ("private", 8),
        ("PatientName", 8),
        ("Rows", 2),
        ("PixelData", 3000),
    ]
    assert elements[1]["items"] == 2
    assert elements[3]["value"] == PATIENT
    assert elements[4]["value"] == "512"
    assert "value" not in elements[5]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (image()[:-50], "damaged: the last element ends 50 bytes behind the data set"),
        (image(200_000), "6 elements"),
        (b"".join(element(0x00090000 + n, b"x ") for n in range(0x1000, 0x1200)), "more than 500 elements"),
        (element(0x00091001, bytes(70_000)) + element(0x00091002, b""), "only the first 65536 bytes are looked at"),
        (b"\xfe\xff\x00\xe0\xff\xff\xff\xff", "damaged: "),
    ],
)
def test_data_sets_that_are_odd_or_large(data: bytes, expected: str) -> None:
    (entry,) = [entry for entry in entries_of([*begun(), *stores(data)]) if entry.kind is Kind.DATA_SET]
    assert expected in entry.text
    assert entry.fields["bytes"] == len(data)


@pytest.mark.parametrize(
    ("transfer_syntax", "expected"),
    [("1.2.840.10008.1.2.1.99", "deflated, which is not looked into"), ("1.2.3", "is not a transfer syntax")],
)
def test_data_sets_that_are_not_looked_into(transfer_syntax: str, expected: str) -> None:
    offer = build_offer("ARCHIVE", "SCANNER", [(VERIFICATION, IMPLICIT), (CT, transfer_syntax)])
    (entry,) = [entry for entry in entries_of([*begun(offer), *stores(image())]) if entry.kind is Kind.DATA_SET]
    assert expected in entry.text


def test_numbers_of_every_kind_are_shown() -> None:
    values = {
        0x00280106: ("<h", -5),  # US or SS: the dictionary does not say, so nothing is shown
        0x00186020: ("<i", -7),
        0x00280010: ("<H", 3),
        0x00720076: ("<f", 1.5),
        0x00720074: ("<d", 2.5),
    }
    data = b"".join(element(tag, struct.pack(code, number)) for tag, (code, number) in values.items())
    shown = next(e for e in entries_of([*begun(), *stores(data)], values=True) if e.kind is Kind.DATA_SET)
    assert [one["value"] for one in shown.fields["elements"]] == ["", "-7", "3", "1.5", "2.5"]


def test_each_pdu_on_request() -> None:
    names = [entry.text for entry in entries_of(STORE, pdus=True) if entry.kind is Kind.DATA]
    assert len(names) == 12
    assert names[0].endswith(" bytes")


def test_operations_that_are_never_answered_are_kept_in_bounded_number() -> None:
    steps = [(FORTH, b"".join(echo(n) for n in range(1, 400)))]
    entries = entries_of([*begun(), *steps])
    assert sum(entry.name == "C-ECHO-RQ" for entry in entries) == 399
    assert any("256 operations are outstanding" in entry.text for entry in entries)
    assert not any("257 operations are outstanding" in entry.text for entry in entries)


def test_an_answer_without_its_request_is_told_in_the_middle() -> None:
    packets = Wire().play([*OPEN, (FORTH, ECHO_RQ), (BACK, ECHO_RSP)], 1 << 15).packets
    assert told(pcap(packets[-3:])) == ["C-ECHO-RSP: to message 1, 0x0000 Success: operation or notification completed"]
    assert remarks(pcap(packets[-3:]), Kind.VIOLATION) == []
    assert CEchoRSP.name == "C-ECHO-RSP"
    assert store(1) != stored(1)
