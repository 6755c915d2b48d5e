import re

from dicom_proto.dimse.messages import MESSAGES, decode_message, encode_message
from dicom_proto.limits import DEFAULT_TOLERANCE
from dicom_proto.testing.samples import COMMANDS, PDUS, TOKENS, dictionary
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDUType, decode_pdu, encode_pdu


def test_pdus_are_of_all_kinds_and_valid():
    assert {data[0] for data in PDUS.values()} == set(PDUType)
    for data in PDUS.values():
        assert encode_pdu(decode_pdu(data[0], data[HEADER_LENGTH:], tolerance=DEFAULT_TOLERANCE)) == data


def test_command_sets_are_of_all_kinds_and_valid():
    assert {decode_message(command)[0].command_field for several in COMMANDS.values() for command in several} == set(
        MESSAGES
    )
    for several in COMMANDS.values():
        for command in several:
            message, has_data_set = decode_message(command)
            assert encode_message(message, has_data_set=has_data_set) == command


def test_dictionary_has_the_tokens():
    words = re.findall(r'^\w+="((?:\\x[0-9a-f]{2})+)"$', dictionary(), re.MULTILINE)
    assert [bytes.fromhex(word.replace("\\x", "")) for word in words] == list(TOKENS)
