"""Hypothesis strategies of PDUs on the wire and whole conversations: valid, and almost valid with the rule they break.

May change. Needs Hypothesis: ``pip install "dicom-proto[testing]"``.
"""

from random import Random
from typing import Final

from attrs import frozen

from dicom_proto.testing._hypothesis import st
from dicom_proto.testing.conversations import DISORDERS, Conversation, message
from dicom_proto.testing.faults import FAULTS, Fault
from dicom_proto.testing.message_strategies import messages
from dicom_proto.testing.samples import FULL_OFFER
from dicom_proto.testing.strategies import (
    aborts,
    associate_acs,
    associate_rjs,
    associate_rqs,
    data_tfs,
    pdus,
)
from dicom_proto.upper_layer.pdu import AReleaseRP, AReleaseRQ, PDUType, encode_pdu

__all__ = ["Broken", "almost_valid_conversations", "almost_valid_pdus", "conversations", "data_sets", "encoded_pdus"]


@frozen
class Broken:
    """What breaks one rule.

    Attributes
    ----------
    label : str
        The name of the rule.
    clause : str
        Where the standard has it.
    pdus : tuple of bytes
        What is sent.
    """

    label: str
    clause: str
    pdus: Conversation


encoded_pdus: st.SearchStrategy[bytes] = pdus.map(encode_pdu)
"""PDUs of all kinds as they go over the wire."""

_BY_TYPE: Final[dict[int, st.SearchStrategy[bytes]]] = {
    PDUType.A_ASSOCIATE_RQ: associate_rqs.map(encode_pdu),
    PDUType.A_ASSOCIATE_AC: associate_acs.map(encode_pdu),
    PDUType.A_ASSOCIATE_RJ: associate_rjs.map(encode_pdu),
    PDUType.P_DATA_TF: data_tfs().map(encode_pdu),
    PDUType.A_RELEASE_RQ: st.just(encode_pdu(AReleaseRQ())),
    PDUType.A_RELEASE_RP: st.just(encode_pdu(AReleaseRP())),
    PDUType.A_ABORT: aborts.map(encode_pdu),
}


@st.composite
def _broken_pdus(draw: st.DrawFn, fault: Fault) -> Broken:
    data = draw(st.sampled_from(sorted(fault.types)).flatmap(_BY_TYPE.__getitem__))
    broken = fault.apply(data, Random(draw(st.integers(0, 1000))))
    return Broken(fault.label, fault.clause, (broken,))


almost_valid_pdus: st.SearchStrategy[Broken] = st.sampled_from(FAULTS).flatmap(_broken_pdus)
"""One PDU that breaks one rule of PS3.8."""


@st.composite
def data_sets(draw: st.DrawFn) -> bytes:
    """Draw a data set in Implicit VR Little Endian (PS3.5 A.1): a few elements, in order, of even lengths."""
    tags = sorted(draw(st.sets(st.integers(0x00080000, 0x00200FFF), max_size=5)))
    elements = b""
    for tag in tags:
        half = draw(st.binary(max_size=8))
        elements += (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        elements += (2 * len(half)).to_bytes(4, "little") + half + half
    return elements


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Draw what a requestor says from the A-ASSOCIATE-RQ to the end: requests on contexts that it has proposed."""
    said = [encode_pdu(FULL_OFFER)]
    for _ in range(draw(st.integers(0, 3))):
        command, has_data_set = draw(messages.filter(lambda drawn: not drawn[0].command_field & 0x8000))
        context = draw(st.sampled_from(FULL_OFFER.presentation_contexts))
        data = draw(data_sets()) or b"\x08\0\x05\0\0\0\0\0"
        said += message(context.context_id, command, data if has_data_set else b"")
    return (*said, draw(st.sampled_from([encode_pdu(AReleaseRQ())]) | _BY_TYPE[PDUType.A_ABORT]))


@st.composite
def _broken_orders(draw: st.DrawFn) -> Broken:
    disorder = draw(st.sampled_from(DISORDERS))
    return Broken(disorder.label, disorder.clause, disorder.apply(draw(conversations())))


@st.composite
def _broken_inside(draw: st.DrawFn) -> Broken:
    said = draw(conversations())
    at = draw(st.integers(0, len(said) - 1))
    fault = draw(st.sampled_from([fault for fault in FAULTS if said[at][0] in fault.types]))
    changed = fault.apply(said[at], Random(draw(st.integers(0, 1000))))
    return Broken(fault.label, fault.clause, (*said[:at], changed, *said[at + 1 :]))


almost_valid_conversations: st.SearchStrategy[Broken] = _broken_orders() | _broken_inside()
"""A conversation that breaks one rule: in one of its PDUs, or in their order."""
