"""The seven PDUs."""

import struct

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_proto.errors import AbortReason, InvalidNameError, LocalProtocolError, PDUError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.testing.strategies import pdus
from dicom_proto.upper_layer.items import (
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    OperationsWindow,
    PresentationContextResult,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from dicom_proto.upper_layer.pdu import (
    HEADER_LENGTH,
    MCH_COMMAND,
    MCH_LAST,
    PDV,
    PDV_HEADER_LENGTH,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    PDUType,
    decode_pdu,
    encode_pdu,
    pack_header,
    pack_pdv_header,
    unpack_header,
    unpack_pdv_header,
)
from dicom_proto.upper_layer.reasons import AbortSource, RejectReasonUser, RejectResult, RejectSource
from tests.proto.rows import for_each
from tests.proto.upper_layer.pdu_examples import EXAMPLES

VERIFICATION, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
STRICT = Tolerance(
    early_pdus=False,
    padded_uids=False,
    even_context_ids=False,
    missing_transfer_syntax=False,
    blank_ae_titles=False,
    long_fixed_pdus=False,
)
RQ = AAssociateRQ(
    called_ae_title="CALLED",
    calling_ae_title="CALLING",
    presentation_contexts=(ProposedContext(1, VERIFICATION, (IMPLICIT,)),),
    user_information=UserInformation(maximum_length=0, implementation_class_uid="1.2"),
)
AC = AAssociateAC(context_results=(ContextResult(1, 0, IMPLICIT),), user_information=RQ.user_information)

# The items of a request and of an answer, to be left out, doubled and bent one by one.
NAME = b"\x10\0\0\x151.2.840.10008.3.1.1.1"
PROPOSED = b"\x20\0\0\x0e\1\0\0\0" + b"\x30\0\0\x011" + b"\x40\0\0\x012"
RESULT = b"\x21\0\0\x09\1\0\0\0" + b"\x40\0\0\x012"
INFORMATION = b"\x50\0\0\0"
FIXED = b"\0\1\0\0" + b"CALLED          CALLING         " + bytes(32)


def decode(encoded, tolerance=DEFAULT_TOLERANCE):
    pdu_type, length = unpack_header(encoded)
    assert length == len(encoded) - HEADER_LENGTH
    return decode_pdu(pdu_type, encoded[HEADER_LENGTH:], tolerance=tolerance)


def fails(pdu_type, body, message, reason=AbortReason.INVALID_PDU_PARAMETER_VALUE, tolerance=DEFAULT_TOLERANCE):
    with pytest.raises(PDUError, match=message) as caught:
        decode_pdu(pdu_type, body, tolerance=tolerance)
    assert caught.value.abort_reason == reason


# The examples

DECODED = {
    "A-ASSOCIATE-RQ": AAssociateRQ(
        called_ae_title="CALLED",
        calling_ae_title="CALLING",
        presentation_contexts=(
            ProposedContext(1, VERIFICATION, (IMPLICIT,)),
            ProposedContext(3, CT, (IMPLICIT, EXPLICIT)),
        ),
        user_information=UserInformation(
            maximum_length=16384,
            implementation_class_uid="1.2.3.4",
            implementation_version_name="TESTVER",
            operations_window=OperationsWindow(5, 1),
            roles=(RoleSelection(CT, True, True),),
            extended=(ExtendedNegotiation(CT, b"\2\0\3\0\1\0"),),
            common_extended=(CommonExtendedNegotiation(CT, "1.2.840.10008.4.2", ("1.2.840.10008.5.1.4.1.1.88.22",)),),
            identity=UserIdentity(2, b"user", b"pass", True),
        ),
    ),
    "A-ASSOCIATE-AC": AAssociateAC(
        context_results=(ContextResult(1, 0, IMPLICIT), ContextResult(3, 4, IMPLICIT)),
        user_information=UserInformation(
            maximum_length=0,
            implementation_class_uid="1.2.3.4",
            operations_window=OperationsWindow(1, 1),
            roles=(RoleSelection(CT, True, False),),
            extended=(ExtendedNegotiation(CT, b"\2\0\3\0\0\0"),),
            identity_response=b"",
        ),
    ),
    "A-ASSOCIATE-RJ": AAssociateRJ(1, 1, 7),
    "A-RELEASE-RQ": AReleaseRQ(),
    "A-RELEASE-RP": AReleaseRP(),
    "A-ABORT provider": AAbort(2, 6),
    "A-ABORT user": AAbort(0, 0),
    "P-DATA-TF C-ECHO-RQ": PDataTF((PDV(1, True, True, EXAMPLES["P-DATA-TF C-ECHO-RQ"][12:]),)),
    "P-DATA-TF C-ECHO-RSP": PDataTF((PDV(1, True, True, EXAMPLES["P-DATA-TF C-ECHO-RSP"][12:]),)),
    "P-DATA-TF C-CANCEL-RQ": PDataTF((PDV(3, True, True, EXAMPLES["P-DATA-TF C-CANCEL-RQ"][12:]),)),
}


@for_each("name", EXAMPLES)
@for_each("tolerance", [DEFAULT_TOLERANCE, STRICT])
def test_examples_are_decoded_and_encoded_again(name, tolerance):
    pdu = decode(EXAMPLES[name], tolerance)
    assert pdu == DECODED[name]
    assert encode_pdu(pdu) == EXAMPLES[name]


def test_the_answer_example_echoes_the_request():
    request, answer = decode(EXAMPLES["A-ASSOCIATE-RQ"]), decode(EXAMPLES["A-ASSOCIATE-AC"])
    assert answer.echo == request.echo == EXAMPLES["A-ASSOCIATE-RQ"][10:74]


# Headers


def test_headers():
    assert pack_header(PDUType.P_DATA_TF, 0x01020304) == b"\4\0\1\2\3\4"
    for data in (b"\4\xff\1\2\3\4", bytearray(b"\4\0\1\2\3\4 and more"), memoryview(b"\4\0\1\2\3\4")):
        assert unpack_header(data) == (4, 0x01020304)
    assert unpack_header(b"GET / ") == (0x47, 0x54202F20)
    assert pack_header(1, 0xFFFFFFFF) == b"\1\0\xff\xff\xff\xff"
    with pytest.raises(LocalProtocolError, match="4294967296"):
        pack_header(1, 1 << 32)


def test_the_header_of_one_pdv_is_that_of_its_pdu_and_its_own():
    encoded = encode_pdu(PDataTF((PDV(3, True, True, b"abcd"),)))
    header = pack_pdv_header(3, MCH_COMMAND | MCH_LAST, 4)
    assert header == b"\4\0\0\0\0\x0a" + b"\0\0\0\6\3\3"
    assert encoded == header + b"abcd"
    assert len(header) == HEADER_LENGTH + PDV_HEADER_LENGTH
    assert unpack_pdv_header(encoded, 10, HEADER_LENGTH) == (4, 3, 3)
    assert unpack_pdv_header(memoryview(encoded)[HEADER_LENGTH:], 10) == (4, 3, 3)


# Round trips


@given(pdus)
def test_what_is_sent_is_what_is_received(pdu):
    encoded = encode_pdu(pdu)
    assert (
        decode(encoded) == decode(encoded, evolve(STRICT, even_context_ids=True, missing_transfer_syntax=True)) == pdu
    )
    assert encode_pdu(decode(encoded)) == encoded


def survives(pdu_type, body):
    """Show that a body raises nothing but PDUError, and that what it gave can be sent again or is refused politely."""
    for tolerance in (DEFAULT_TOLERANCE, STRICT):
        try:
            pdu = decode_pdu(pdu_type, body, tolerance=tolerance)
        except PDUError:
            continue
        repr(pdu)
        try:
            encoded = encode_pdu(pdu)
        except LocalProtocolError:
            continue
        assert decode(encoded, tolerance) == pdu


@given(st.integers(0, 8) | st.integers(0, 255), st.binary(max_size=100))
def test_arbitrary_bytes(pdu_type, body):
    survives(pdu_type, body)


@given(st.data())
def test_bent_pdus(data):
    encoded = bytearray(encode_pdu(data.draw(pdus)))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    survives(encoded[0], encoded[HEADER_LENGTH:])


# Odd, so that each place in a byte has its turn.
FLIP_EACH = 7 if settings().max_examples > 10 else 23


@for_each("name", EXAMPLES)
def test_examples_with_bits_flipped_and_cut_everywhere(name):
    example = EXAMPLES[name]
    for bit in range(8 * HEADER_LENGTH, 8 * len(example), FLIP_EACH):
        bent = bytearray(example)
        bent[bit // 8] ^= 1 << bit % 8
        survives(example[0], bent[HEADER_LENGTH:])
    for cut in range(HEADER_LENGTH, len(example)):
        for tolerance in (DEFAULT_TOLERANCE, STRICT):
            with pytest.raises(PDUError):
                decode_pdu(example[0], example[HEADER_LENGTH:cut], tolerance=tolerance)


@for_each("kind", [bytes, bytearray, memoryview])
def test_a_record_does_not_refer_to_what_it_was_decoded_from(kind):
    for example in EXAMPLES.values():
        pdu = decode_pdu(example[0], kind(example[HEADER_LENGTH:]))
        assert pdu == decode(example)
        if isinstance(pdu, PDataTF):
            assert all(type(pdv.data) is bytes for pdv in pdu.pdvs)


@for_each("pdu_type", [0, 8, 0x47, 255])
def test_an_unknown_type(pdu_type):
    fails(pdu_type, b"", f"unknown type {pdu_type:02X}H", AbortReason.UNRECOGNIZED_PDU)


def test_what_is_no_pdu_is_not_encoded():
    with pytest.raises(AssertionError):
        encode_pdu("A-ASSOCIATE-RQ")


# A-ASSOCIATE-RQ and -AC


@for_each(
    ("fields", "error", "message"),
    [
        ({"called_ae_title": ""}, InvalidNameError, "AE title"),
        ({"calling_ae_title": " " * 16}, InvalidNameError, "AE title"),
        ({"calling_ae_title": "x" * 17}, InvalidNameError, "AE title"),
        ({"called_ae_title": "BACK\\SLASH"}, InvalidNameError, "AE title"),
        ({"called_ae_title": "Ä"}, InvalidNameError, "AE title"),
        ({"application_context_name": ""}, InvalidNameError, "UID"),
        ({"protocol_version": 2}, LocalProtocolError, "0002H does not have bit 0 set"),
        ({"protocol_version": 0x10001}, LocalProtocolError, "protocol version 65537"),
        ({"presentation_contexts": ()}, LocalProtocolError, "at least one presentation context"),
        ({"presentation_contexts": RQ.presentation_contexts * 2}, LocalProtocolError, "same ID"),
        (
            {"presentation_contexts": tuple(ProposedContext(2 * n + 1, CT, (IMPLICIT,)) for n in range(129))},
            InvalidNameError,
            "257 is not a presentation context ID",
        ),
        ({"user_information": evolve(RQ.user_information, maximum_length=None)}, LocalProtocolError, "mandatory"),
        ({"user_information": evolve(RQ.user_information, identity_response=b"")}, LocalProtocolError, "-RQ has no"),
    ],
)
def test_a_request_that_may_not_be_sent(fields, error, message):
    with pytest.raises(error, match=message):
        encode_pdu(evolve(RQ, **fields))


@for_each(
    ("fields", "error", "message"),
    [
        ({"echo": bytes(63)}, LocalProtocolError, "64 bytes of the request"),
        ({"echo": bytes(65)}, LocalProtocolError, "more than 64"),
        ({"echo": "x" * 64}, LocalProtocolError, "is not bytes"),
        ({"application_context_name": "x"}, InvalidNameError, "UID"),
        ({"protocol_version": 0}, LocalProtocolError, "0000H does not have bit 0 set"),
        ({"context_results": ()}, LocalProtocolError, "at least one presentation context"),
        ({"context_results": AC.context_results * 2}, LocalProtocolError, "same ID"),
        (
            {"user_information": evolve(RQ.user_information, identity=UserIdentity(1, b""))},
            LocalProtocolError,
            "-AC has",
        ),
    ],
)
def test_an_answer_that_may_not_be_sent(fields, error, message):
    with pytest.raises(error, match=message):
        encode_pdu(evolve(AC, **fields))


def test_a_request_of_128_contexts():
    contexts = tuple(ProposedContext(2 * n + 1, f"1.2.{n}", (IMPLICIT, EXPLICIT)) for n in range(128))
    request = evolve(RQ, presentation_contexts=contexts[::-1])  # their order has no meaning, and is kept
    assert decode(encode_pdu(request), STRICT) == request


def test_titles_are_padded_when_sent_and_bare_when_received():
    encoded = encode_pdu(evolve(RQ, called_ae_title=" A B ", calling_ae_title="x" * 16))
    assert encoded[10:42] == b"A B             " + b"x" * 16
    body = bytearray(encoded[HEADER_LENGTH:])
    body[4:36] = b"  \0NAME\0\0       " + b"\xc4\x80\\            \0"
    request = decode_pdu(PDUType.A_ASSOCIATE_RQ, body)
    assert (request.called_ae_title, request.calling_ae_title) == ("NAME", "Ä\x80\\")
    assert request.echo == body[4:68]


@for_each(("at", "name"), [(4, "called_ae_title"), (20, "calling_ae_title")])
@for_each("blank", [b" " * 16, bytes(16)])
def test_blank_titles_where_they_are_tolerated(at, name, blank):
    body = FIXED[:at] + blank + FIXED[at + 16 :] + NAME + PROPOSED + INFORMATION
    assert getattr(decode_pdu(PDUType.A_ASSOCIATE_RQ, body), name) == ""
    strict = Tolerance(blank_ae_titles=False)
    fails(PDUType.A_ASSOCIATE_RQ, body, f"A-ASSOCIATE-RQ, offset {at + 6}: AE title of spaces", tolerance=strict)


def test_titles_of_an_answer_are_reserved_bytes_and_kept_as_they_are():
    reserved = bytes(range(64))
    answer = decode_pdu(PDUType.A_ASSOCIATE_AC, FIXED[:4] + reserved + NAME + RESULT + INFORMATION, tolerance=STRICT)
    assert answer.echo == reserved
    assert encode_pdu(evolve(AC, echo=reserved))[10:74] == reserved


@for_each("version", [0, 1, 2, 3, 0x8001, 0xFFFF])
def test_the_protocol_version_is_kept_for_others_to_judge(version):
    fixed = struct.pack(">H", version) + b"\xff\xff" + FIXED[4:36] + b"\xff" * 32
    assert decode_pdu(PDUType.A_ASSOCIATE_RQ, fixed + NAME + PROPOSED + INFORMATION).protocol_version == version
    assert decode_pdu(PDUType.A_ASSOCIATE_AC, fixed + NAME + RESULT + INFORMATION).protocol_version == version


def test_unknown_items_and_any_order_are_accepted():
    unknown = b"\x11\xff\0\3???" + b"\xff\0\0\0" + b"\x51\0\0\1?"
    request = decode_pdu(PDUType.A_ASSOCIATE_RQ, FIXED + unknown + INFORMATION + RESULT + PROPOSED + unknown + NAME)
    assert request.presentation_contexts == (ProposedContext(1, "1", ("2",)),)
    answer = decode_pdu(PDUType.A_ASSOCIATE_AC, FIXED + unknown + INFORMATION + PROPOSED + RESULT + unknown + NAME)
    assert answer.context_results == (ContextResult(1, 0, "2"),)


def test_the_application_context_is_kept_valid_or_not():
    body = FIXED + b"\x10\0\0\x04x y\0" + PROPOSED + INFORMATION
    assert decode_pdu(PDUType.A_ASSOCIATE_RQ, body).application_context_name == "x y"
    strict = Tolerance(padded_uids=False)
    assert decode_pdu(PDUType.A_ASSOCIATE_RQ, body, tolerance=strict).application_context_name == "x y\0"


@for_each(
    ("pdu_type", "items", "message"),
    [
        (1, PROPOSED + INFORMATION, "offset 96: the PDU ends without an application context item"),
        (1, NAME + PROPOSED, "offset 117: the PDU ends without a user information item"),
        (1, NAME + INFORMATION, "offset 103: the PDU ends without a presentation context item"),
        (1, NAME + RESULT + INFORMATION, "without a presentation context item"),
        (2, RESULT + INFORMATION, "offset 91: the PDU ends without an application context item"),
        (2, NAME + RESULT, "offset 112: the PDU ends without a user information item"),
    ],
)
def test_items_that_must_occur(pdu_type, items, message):
    fails(pdu_type, FIXED + items, message)


def test_an_answer_may_leave_contexts_out():
    assert decode_pdu(PDUType.A_ASSOCIATE_AC, FIXED + NAME + INFORMATION).context_results == ()


@for_each(("pdu_type", "context", "end"), [(1, PROPOSED, 117), (2, RESULT, 112)])
def test_items_that_occur_once(pdu_type, context, end):
    unexpected = AbortReason.UNEXPECTED_PDU_PARAMETER
    fails(pdu_type, FIXED + NAME + context + NAME, f"offset {end}: a second item 10H", unexpected)
    items = NAME + context + INFORMATION + INFORMATION
    fails(pdu_type, FIXED + items, f"offset {end + 4}: a second item 50H", unexpected)
    items = NAME + context + context + INFORMATION
    fails(pdu_type, FIXED + items, f"offset {end + 4}: a second presentation context with the ID 1")


@for_each("context_id", [0, 2])
def test_even_context_ids_where_they_are_tolerated(context_id):
    strict = Tolerance(even_context_ids=False)
    for pdu_type, item in ((1, PROPOSED), (2, RESULT)):
        body = FIXED + NAME + item[:4] + bytes((context_id,)) + item[5:] + INFORMATION
        pdu = decode_pdu(pdu_type, body)
        with pytest.raises(InvalidNameError):
            encode_pdu(evolve(pdu, user_information=RQ.user_information))
        fails(pdu_type, body, f"offset 103: presentation context ID {context_id} is not odd", tolerance=strict)


def test_an_even_context_id_can_be_answered():
    answer = evolve(AC, context_results=(ContextResult(0, 1), ContextResult(2, 1)))
    assert decode(encode_pdu(answer)) == answer


@for_each("result", [1, 255])
def test_a_missing_transfer_syntax_where_that_is_tolerated(result):
    body = FIXED + NAME + b"\x21\0\0\4\1\0" + bytes((result,)) + b"\0" + INFORMATION
    assert decode_pdu(PDUType.A_ASSOCIATE_AC, body).context_results == (ContextResult(1, result),)
    strict = Tolerance(missing_transfer_syntax=False)
    fails(PDUType.A_ASSOCIATE_AC, body, "offset 107: .* has no transfer syntax", tolerance=strict)


@for_each("pdu_type", [1, 2])
@for_each(
    ("body", "message"),
    [
        (b"", "offset 6: 0 bytes where the fixed fields have 68"),
        (FIXED[:-1], "offset 6: 67 bytes where the fixed fields have 68"),
        (FIXED + b"\x10\0\0", "offset 74: 3 bytes are left, too few for the header of an item"),
        (FIXED + b"\x10\0\0\2x", "offset 74: item 10H of 2 bytes runs 1 past what encloses it"),
        (FIXED + NAME + b"\x50\0\0\3abc", "offset 103: 3 bytes are left"),
        (FIXED + NAME + b"\x50\0\0\x05\x51\0\0\2?", "offset 103: item 51H of 2 bytes runs 1 past"),
        (FIXED + NAME + b"\x50\0\0\x08\x51\0\0\4\0\0\0\7", "offset 107: maximum length 7"),
        (FIXED + NAME + b"\x20\0\0\1?" + b"\x21\0\0\1?", "offset 10[38]: presentation context item of 1 bytes"),
        (
            FIXED + NAME + b"\x20\0\0\x08\1\0\0\0\x30\0\0\1" + b"\x21\0\0\x08\1\0\0\0\x40\0\0\1",
            "offset 1(07|19): item [34]0H of 1 bytes runs 1 past",
        ),
    ],
)
def test_lengths_that_do_not_fit(pdu_type, body, message):
    fails(pdu_type, body, f"{PDUType(pdu_type).name.replace('_', '-')}, {message}")


# P-DATA-TF


def test_fragments_of_one_message_in_one_pdu():
    pdu = PDataTF(
        (
            PDV(3, True, False, b"ab"),
            PDV(3, True, True, b"cdef"),
            PDV(3, False, False, b"gh"),
            PDV(3, False, True, b"ij"),
        )
    )
    encoded = b"\4\0\0\0\0\x22" + b"\0\0\0\4\3\1ab" + b"\0\0\0\6\3\3cdef" + b"\0\0\0\4\3\0gh" + b"\0\0\0\4\3\2ij"
    assert encode_pdu(pdu) == encoded
    assert decode(encoded) == pdu


@for_each(
    ("pdvs", "error", "message"),
    [
        ((), LocalProtocolError, "at least one presentation data value"),
        ((PDV(2, True, True, b"ab"),), InvalidNameError, "presentation context ID"),
        ((PDV(1, True, True, b""),), LocalProtocolError, "at least two"),
        ((PDV(1, True, True, b"a"),), LocalProtocolError, "even number of bytes"),
        ((PDV(1, True, True, "ab"),), LocalProtocolError, "fragment is not bytes"),  # type: ignore[arg-type]
        ((PDV(1, True, True, b"ab"), PDV(3, False, True, b"ab")), LocalProtocolError, "of one message"),
        ((PDV(1, True, False, b"ab"), PDV(1, False, True, b"ab")), LocalProtocolError, "of one message"),
        ((PDV(1, True, True, b"ab"), PDV(1, True, True, b"ab")), LocalProtocolError, "of one message"),
        ((PDV(1, False, False, b"ab"), PDV(1, True, False, b"ab")), LocalProtocolError, "of one message"),
        ((PDV(1, False, True, b"ab"), PDV(1, True, True, b"ab")), LocalProtocolError, "of one message"),
        ((PDV(1, False, True, b"ab"), PDV(1, False, True, b"ab")), LocalProtocolError, "of one message"),
    ],
)
def test_fragments_that_may_not_be_sent(pdvs, error, message):
    with pytest.raises(error, match=message):
        encode_pdu(PDataTF(pdvs))


def test_a_pdu_has_no_more_than_4_gib():
    fragment = bytes(1 << 24)
    with pytest.raises(LocalProtocolError, match="a PDU cannot have a length of"):
        encode_pdu(PDataTF((PDV(1, False, False, fragment),) * 256))


def test_a_receiver_takes_fragments_that_may_not_be_sent():
    body = (
        b"\0\0\0\2\1\xff"  # empty, with all the bits that nobody checks
        + b"\0\0\0\3\0\0x"  # odd, in a context that no association has
        + b"\0\0\0\3\3\1y"  # a command after a data set, of another context
    )
    assert decode_pdu(PDUType.P_DATA_TF, body, tolerance=STRICT) == PDataTF(
        (PDV(1, True, True, b""), PDV(0, False, False, b"x"), PDV(3, True, False, b"y"))
    )


@for_each(
    ("body", "message"),
    [
        (b"", "offset 6: 0 bytes where a presentation data value item has at least 6"),
        (b"\0\0\0\2\1", "offset 6: 5 bytes where"),
        (b"\0\0\0\0\1\3", "offset 6: PDV length 0 with 2 bytes left"),
        (b"\0\0\0\1\1\3", "offset 6: PDV length 1 with 2 bytes left"),
        (b"\0\0\0\5\1\3ab", "offset 6: PDV length 5 with 4 bytes left"),
        (b"\xff\xff\xff\xff\1\3ab", "offset 6: PDV length 4294967295 with 4 bytes left"),
        (b"\0\0\0\4\1\3ab" + b"\0", "offset 14: 1 bytes where"),
        (b"\0\0\0\4\1\3ab" + b"\0\0\0\5\1\3ab", "offset 14: PDV length 5 with 4 bytes left"),
    ],
)
def test_pdv_lengths_that_do_not_fit(body, message):
    fails(PDUType.P_DATA_TF, body, f"P-DATA-TF, {message}")


# A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP, A-ABORT


@for_each("codes", [(0, 1, 1), (3, 1, 1), (1, 0, 1), (1, 4, 1), (1, 1, 4), (1, 2, 3), (2, 3, 0), (1, 1, "")])
def test_a_rejection_that_may_not_be_sent(codes):
    with pytest.raises(LocalProtocolError, match="A-ASSOCIATE-RJ"):
        encode_pdu(AAssociateRJ(*codes))


@for_each("codes", [(1, 0), (3, 0), (2, 3), (2, 7), (2, -1), (0, 1), ("", 0)])
def test_an_abort_that_may_not_be_sent(codes):
    with pytest.raises(LocalProtocolError, match="A-ABORT"):
        encode_pdu(AAbort(*codes))


def test_codes_become_members_where_the_standard_lists_them():
    rejection = decode_pdu(PDUType.A_ASSOCIATE_RJ, b"\0\1\1\7")
    assert rejection.result is RejectResult.REJECTED_PERMANENT
    assert rejection.source is RejectSource.SERVICE_USER
    assert rejection.reason is RejectReasonUser.CALLED_AE_TITLE_NOT_RECOGNIZED
    abort = decode_pdu(PDUType.A_ABORT, b"\0\0\2\6")
    assert abort.source is AbortSource.SERVICE_PROVIDER
    assert abort.reason is AbortReason.INVALID_PDU_PARAMETER_VALUE
    answer = decode(EXAMPLES["A-ASSOCIATE-AC"])
    assert answer.context_results[0].result is PresentationContextResult.ACCEPTANCE


@for_each("codes", [(0, 0, 0), (3, 1, 1), (1, 4, 1), (1, 1, 4), (2, 3, 0), (255, 255, 255)])
def test_codes_of_a_rejection_that_the_standard_does_not_list_are_kept(codes):
    assert decode_pdu(PDUType.A_ASSOCIATE_RJ, bytes((255, *codes)), tolerance=STRICT) == AAssociateRJ(*codes)


def test_an_acceptance_has_a_result_as_a_rejection_has():
    assert (
        AAssociateAC(
            context_results=(), user_information=UserInformation(maximum_length=0, implementation_class_uid="1.2")
        ).result
        == 0
    )


def test_a_rejection_says_what_it_means():
    rejection = AAssociateRJ(1, 2, 1)
    assert (rejection.result_source, rejection.diagnostic) == (2, 1)
    assert (rejection.result_str, rejection.source_str) == ("rejected permanently", "the service-provider (ACSE)")
    assert rejection.reason_str == "no reason given"


@for_each("codes", [(0, 6), (1, 0), (2, 3), (255, 255)])
def test_codes_of_an_abort_that_the_standard_does_not_list_are_kept(codes):
    abort = decode_pdu(PDUType.A_ABORT, bytes((255, 255, *codes)), tolerance=STRICT)
    assert abort == AAbort(*codes)
    assert not isinstance(abort.reason, AbortReason)


@for_each("pdu_type", [PDUType.A_RELEASE_RQ, PDUType.A_RELEASE_RP])
def test_reserved_bytes_of_a_release_are_not_looked_at(pdu_type):
    assert decode_pdu(pdu_type, b"\xff\xff\xff\xff", tolerance=STRICT) == decode_pdu(pdu_type, bytes(4))


@for_each("pdu_type", [3, 5, 6, 7])
def test_pdus_of_fixed_length_may_be_longer_where_that_is_tolerated(pdu_type):
    strict = Tolerance(long_fixed_pdus=False)
    body = b"\0\0\2\1"
    assert decode_pdu(pdu_type, body + b"and more") == decode_pdu(pdu_type, body, tolerance=strict)
    name = PDUType(pdu_type).name.replace("_", "-")
    fails(pdu_type, body + b"?", f"{name}, offset 6: 5 bytes where the PDU has 4", tolerance=strict)
    for tolerance in (DEFAULT_TOLERANCE, strict):
        fails(pdu_type, body[:3], f"{name}, offset 6: 3 bytes where the PDU has 4", tolerance=tolerance)
