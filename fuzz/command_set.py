"""Harness: the codec of command sets and messages (``dicom_proto.dimse.command_set``, ``.messages``).

The input is one command set.

* Nothing but ``CommandSetError`` is raised for bytes of a peer, and nothing but ``LocalProtocolError`` for what may not
  be sent; neither says much, however long the input is.
* Elements encode to a command set that has the same elements.
* A message that can be encoded decodes to itself, and encodes to the same bytes again.
"""

from collections.abc import Mapping
from random import Random

from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.messages import Message, decode_message, encode_message
from dicom_proto.errors import CommandSetError, LocalProtocolError
from dicom_proto.testing.mutators import mutate_command_set
from dicom_proto.testing.samples import COMMANDS
from fuzz.pdu import check_error

__all__ = ["check", "mutate", "seeds"]


def check(data: bytes) -> None:
    """Decode a command set and its message, encode what came of it, and decode that."""
    _check_elements(data)
    try:
        message, has_data_set = decode_message(data)
    except CommandSetError as error:
        check_error(error)
        return
    _check_message(message, has_data_set)


def _check_elements(data: bytes) -> None:
    try:
        elements = decode_command_set(data)
    except CommandSetError:  # decode_message raises it as well
        return
    encoded = encode_command_set(elements)
    assert decode_command_set(encoded) == elements, "other elements after a round trip"
    assert int.from_bytes(encoded[8:12], "little") == len(encoded) - 12, "wrong group length"


def _check_message(message: Message, has_data_set: bool) -> None:
    summary = message.summary()
    assert len(summary) < 1000, "a peer decides how long a log line is"
    assert summary.isprintable(), "characters of a peer got into a log line"
    try:
        encoded = encode_message(message, has_data_set=has_data_set)
    except LocalProtocolError:  # a peer may have sent what this side may not send
        return
    again = decode_message(encoded)
    assert again == (message, has_data_set), f"{message} was encoded, and decoded as {again}"
    assert encode_message(*again[:1], has_data_set=has_data_set) == encoded, "one message was encoded in two ways"


def mutate(data: bytes, random: Random) -> bytes:
    """Change an element."""
    return mutate_command_set(data, random)


def seeds() -> Mapping[str, bytes]:
    """Return a command set of each message, the fullest responses, and some that are broken."""
    plain = {name: commands[0] for name, commands in COMMANDS.items()}
    full = {f"{name}-full": max(commands, key=len) for name, commands in COMMANDS.items() if len(commands) > 1}
    echo = plain["c-echo-rq"]
    return plain | full | {"empty": b"", "cut": echo[:30], "twice": echo + echo[12:], "no-group-length": echo[12:]}
