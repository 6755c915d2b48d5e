from hypothesis import given

from dicom_proto.limits import Tolerance
from dicom_proto.testing import strategies
from dicom_proto.testing.samples import STRICT
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, decode_pdu, encode_pdu
from tests.proto.profiles import times


@times(10)
@given(strategies.pdus)
def test_what_is_valid_is_accepted_strictly(pdu):
    data = encode_pdu(pdu)
    strict = Tolerance() if type(pdu).__name__ == "AAssociateAC" else STRICT  # a rejected context may name no syntax
    assert decode_pdu(data[0], data[HEADER_LENGTH:], tolerance=strict) == pdu


def test_every_name_is_there():
    assert all(hasattr(strategies, name) for name in strategies.__all__)
