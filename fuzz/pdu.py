"""Harness: the codec of PDUs (``dicom_proto.upper_layer.pdu``).

The input is one PDU; its length field is not looked at, the body is all that follows.

* Nothing but ``PDUError`` is raised for bytes of a peer, and nothing but ``LocalProtocolError`` for what may not be
  sent, whatever record that is; neither says much, however long the input is.
* What is accepted strictly is accepted with tolerance as well.
* A record that can be encoded decodes to itself, and encodes to the same bytes again.
"""

from collections.abc import Mapping
from random import Random
from typing import Final

from attrs import evolve

from dicom_proto.errors import AbortReason, LocalProtocolError, PDUError, RemoteProtocolError
from dicom_proto.limits import DEFAULT_TOLERANCE, Tolerance
from dicom_proto.testing.mutators import mutate_pdu
from dicom_proto.testing.samples import IMPLICIT, PDUS, STRICT
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDU, decode_pdu, encode_pdu, unpack_header

__all__ = ["SENT", "check", "check_error", "mutate", "seeds"]

_LONGEST_TEXT: Final = 1000

# What this side sends is strict, with two exceptions in the answers to presentation contexts: an even ID that a peer
# has proposed is rejected as it is, and a context that is rejected may have an empty transfer syntax.
SENT: Final = evolve(STRICT, even_context_ids=True, missing_transfer_syntax=True)


def check(data: bytes) -> None:
    """Decode a PDU, encode what came of it, and decode that."""
    if len(data) < HEADER_LENGTH:
        return
    strict = _decode(data, STRICT)
    tolerant = _decode(data, DEFAULT_TOLERANCE)
    assert strict is None or tolerant is not None, "accepted strictly, refused with tolerance"
    for pdu in (strict, tolerant):
        if pdu is not None:
            _check_round_trip(pdu)


def _decode(data: bytes, tolerance: Tolerance) -> PDU | None:
    try:
        return decode_pdu(data[0], data[HEADER_LENGTH:], tolerance=tolerance)
    except PDUError as error:
        check_error(error)
        return None


def check_error(error: RemoteProtocolError) -> None:
    """See that an error has a reason to abort with, and says something, in one line that a peer cannot make long."""
    assert error.abort_reason in AbortReason, error.abort_reason
    text = str(error)
    assert text, "an error without a message"
    assert len(text) < _LONGEST_TEXT, "a peer decides how long a message is"
    assert text.isprintable(), "characters of a peer got into a message"


def _check_round_trip(pdu: PDU) -> None:
    try:
        encoded = encode_pdu(pdu)
    except LocalProtocolError:  # a peer may have sent what this side may not send
        return
    pdu_type, length = unpack_header(encoded)
    assert length == len(encoded) - HEADER_LENGTH, "wrong length field"
    again = decode_pdu(pdu_type, encoded[HEADER_LENGTH:], tolerance=SENT)
    assert again == pdu, f"{pdu} was encoded, and decoded as {again}"
    assert encode_pdu(again) == encoded, "the same record was encoded in two ways"


def mutate(data: bytes, random: Random) -> bytes:
    """Change an item or a field."""
    return mutate_pdu(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return a PDU of each kind, and some that are cut short."""
    full = PDUS["associate-rq-full"]
    more = {
        "associate-rq-cut": full[:200],
        "associate-rq-fixed-fields-only": full[:74],
        "associate-ac-padding": PDUS["associate-ac"].replace(IMPLICIT.encode(), b" " * len(IMPLICIT)),
        "unknown-type": b"\x08\0\0\0\0\4\0\0\0\0",
        "release-rq-long": PDUS["release-rq"] + bytes(4),
        "release-rq-short": PDUS["release-rq"][:8],
    }
    return PDUS | more
