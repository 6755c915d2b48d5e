from random import Random

import pytest

from dicom_proto.errors import PDUError
from dicom_proto.testing.faults import FAULTS, faults_for
from dicom_proto.testing.samples import PDUS, STRICT
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, decode_pdu

NEGOTIATED = {"protocol-version", "no-uid", "uid-too-long"}
"""Rules that no decoder judges: who answers the A-ASSOCIATE-RQ does."""


def cases():
    return [(fault, name) for fault in FAULTS for name, data in PDUS.items() if data[0] in fault.types]


@pytest.mark.parametrize(("fault", "name"), cases(), ids=lambda value: getattr(value, "label", value))
def test_each_breaks_its_rule(fault, name):
    for seed in range(10):
        broken = fault.apply(PDUS[name], Random(seed))
        assert broken != PDUS[name]
        body = broken[HEADER_LENGTH:][: int.from_bytes(broken[2:6], "big")]
        if fault.label in NEGOTIATED:
            decode_pdu(broken[0], body, tolerance=STRICT)
        else:
            with pytest.raises(PDUError):
                decode_pdu(broken[0], body, tolerance=STRICT)


def test_labels_are_names_of_their_own_and_clauses_are_given():
    assert len({fault.label for fault in FAULTS}) == len(FAULTS)
    assert all(fault.clause.startswith("PS3.") and fault.rule for fault in FAULTS)


def test_faults_are_found_by_the_pdu():
    assert {fault.label for fault in faults_for(PDUS["release-rq"])} == {
        "unknown-pdu-type",
        "pdu-length-short",
        "pdu-too-short",
    }
    assert faults_for(b"\x09") == ()


def test_what_has_nothing_to_break_stays():
    fixed = PDUS["associate-rq"][:74]
    (fault,) = [fault for fault in FAULTS if fault.label == "even-context-id"]
    assert fault.apply(fixed, Random(1))[6:] == fixed[6:]
