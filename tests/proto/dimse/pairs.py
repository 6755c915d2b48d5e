"""Two connections with an association between them, and messages as raw bytes for a peer that keeps no rules."""

import struct
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import attrs

from dicom_proto.dimse import messages as m
from dicom_proto.dimse.command_set import decode_command_set, encode_command_set
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import DataChunk
from dicom_proto.errors import AbortReason
from dicom_proto.limits import Limits
from dicom_proto.testing.pair import CT, STUDY_FIND, VERIFICATION, answer, associate, drain, offer, sent
from dicom_proto.upper_layer.events import Aborted, AbortOrigin, ConnectionClosed
from dicom_proto.upper_layer.items import OperationsWindow
from dicom_proto.upper_layer.pdu import PDU, AAbort, decode_pdu, encode_pdu
from dicom_proto.upper_layer.timers import Timeouts

ECHO_CONTEXT, STORE_CONTEXT, FIND_CONTEXT = 1, 3, 5
COMMAND, LAST = 1, 2  # bits of the message control header
NO_TIMEOUTS = Timeouts(request=None, release=None, response=None, idle=None)
PENDING = 0xFF00
UNLIMITED = (0, 0)
UNEXPECTED, INVALID = AbortReason.UNEXPECTED_PDU_PARAMETER, AbortReason.INVALID_PDU_PARAMETER_VALUE

Fragment = tuple[int, int, bytes]


def pair(
    *,
    window: tuple[int, int] = (1, 1),
    maximum_length: int = 16384,
    timeouts: Timeouts = NO_TIMEOUTS,
    **settings: Any,
) -> tuple[Connection, Connection]:
    """A requestor and an acceptor; the window is how many operations the one and the other may have outstanding."""
    one, other = (Connection(timeouts=timeouts, **settings) for _ in range(2))
    operations = OperationsWindow(*window)
    request = offer(VERIFICATION, CT, STUDY_FIND, maximum_length=maximum_length, window=operations)
    associate(one, other, request, answer(request, maximum_length=maximum_length, window=operations))
    return one, other


def with_id(request: m.Request, message_id: int | None) -> Any:
    """A copy of a request: sending one gives it an ID."""
    request = copy(request)
    request.message_id = message_id
    return request


def echo(message_id: int | None = None) -> m.CEchoRQ:
    return m.CEchoRQ(message_id=message_id)


def store(message_id: int | None = None) -> m.CStoreRQ:
    return m.CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")


def find(message_id: int | None = None) -> m.CFindRQ:
    return m.CFindRQ(message_id=message_id, affected_sop_class_uid=STUDY_FIND)


def respond(request: m.Request, message_id: int, status: int = 0, **fields: Any) -> Any:
    return request.response(message_id_being_responded_to=message_id, status=status, **fields)


def p_data(*fragments: Fragment) -> bytes:
    """One P-DATA-TF with a PDV for each context ID, message control header and content, whatever the rules say."""
    body = b"".join(struct.pack(">IBB", len(data) + 2, context, bits) + data for context, bits, data in fragments)
    return struct.pack(">BxI", 4, len(body)) + body


def fragments(message: m.Message, data: bytes | None = None, context: int = ECHO_CONTEXT) -> Iterator[Fragment]:
    """A command and its data set as one fragment each; what may not be sent is encoded as well."""
    has_data_set = data is not None
    allowed = message.data_set is not (m.DataSet.NEVER if has_data_set else m.DataSet.ALWAYS)
    command = bytearray(m.encode_message(message, has_data_set=has_data_set if allowed else not has_data_set))
    if not allowed:
        at = command.index(b"\0\0\0\x08\2\0\0\0") + 8  # Command Data Set Type (0000,0800)
        command[at : at + 2] = b"\1\0" if has_data_set else b"\1\1"
    yield context, COMMAND | LAST, bytes(command)
    if data is not None:
        yield context, LAST, data


def raw(message: m.Message, data: bytes | None = None, context: int = ECHO_CONTEXT) -> bytes:
    """A message as most peers send it: command and data set in a PDU each."""
    return b"".join(p_data(fragment) for fragment in fragments(message, data, context))


def receive(connection: Connection, *data: bytes, now: float = 0) -> list[Any]:
    """Feed blocks one after the other and return the events."""
    events = []
    for block in data:
        connection.receive_data(block, now=now)
        events += drain(connection)
    return events


def pdus(data: bytes) -> list[PDU]:
    """Take what was sent apart."""
    found: list[PDU] = []
    while data:
        end = 6 + int.from_bytes(data[2:6], "big")
        found.append(decode_pdu(data[0], data[6:end]))
        data = data[end:]
    return found


def joined(events: Iterable[Any]) -> list[Any]:
    """The events with the chunks of a data set made one, so that they do not depend on the cuts."""
    result: list[Any] = []
    for event in events:
        if not isinstance(event, DataChunk):
            result.append(event)
        elif result and isinstance(result[-1], DataChunk) and not result[-1].last:
            result[-1].data = bytes(result[-1].data) + bytes(event.data)
            result[-1].last = event.last
        else:
            result.append(attrs.evolve(event, data=bytes(event.data)))
    return result


def names(events: Iterable[Any]) -> list[str]:
    return [type(event).__name__ for event in events if not isinstance(event, ConnectionClosed)]


def aborts(connection: Connection, events: list[Any], reason: AbortReason) -> bool:
    """Whether the last event is that this side aborted, with an A-ABORT of source 2, and all operations have failed."""
    last = events[-1]
    return (
        isinstance(last, Aborted)
        and (last.origin, last.reason) == (AbortOrigin.LOCAL_PROVIDER, reason)
        and sent(connection) == encode_pdu(AAbort(2, reason))
        and not connection.invoked
        and not connection.performed
    )


def performing(request: m.Request, data: bytes | None = None, **settings: Any) -> Connection:
    """An acceptor that has received request 7, and the peer can send more."""
    _, connection = pair(**{"window": UNLIMITED, **settings})
    receive(connection, raw(with_id(request, 7), data, FIND_CONTEXT))
    return connection


def invoking(request: m.Request, data: Any = None, **settings: Any) -> Connection:
    """A requestor whose request 7 has left."""
    connection, _ = pair(**{"window": UNLIMITED, **settings})
    connection.send_request(with_id(request, 7), context=FIND_CONTEXT, data=data)
    sent(connection)
    return connection


RESPONSE = Timeouts(artim=5, request=None, release=7, response=10, idle=None)

FINDING = raw(respond(find(), 1, PENDING), b"hits", FIND_CONTEXT)

FOUND = raw(respond(find(), 1), context=FIND_CONTEXT)


def waiting(timeouts: Timeouts = RESPONSE, limits: Limits = Limits()) -> Connection:  # noqa: B008 - a frozen value
    """A requestor whose C-FIND left at 0."""
    connection, _ = pair(window=UNLIMITED, timeouts=timeouts, limits=limits)
    connection.send_request(find(), context=FIND_CONTEXT, data=b"keys")
    sent(connection)
    return connection


def invoke(connection: Connection, message_id: int | None = None) -> int:
    return connection.send_request(echo(message_id), context=ECHO_CONTEXT)


STORE_PIECES = [p_data(fragment) for fragment in fragments(store(7), b"data", STORE_CONTEXT)]


def drain_all(connection: Connection) -> list[Any]:
    """All events, however many turns it takes."""
    events = drain(connection)
    while connection.has_unread:
        events += drain(connection)
    return events


FAILED = bytes.fromhex("0800 0000 04000000 10000000  0800 5800 08000000") + b"1.2.3.4\0"  # as Orthanc 1.10 sends it


def changed(message: m.Message, changes: dict[int, bytes | None], *, has_data_set: bool = False) -> bytes:
    """A command set with other values for some elements, or without them."""
    elements: dict[int, Any] = decode_command_set(m.encode_message(message, has_data_set=has_data_set)) | changes
    values = {tag: value for tag, value in elements.items() if value is not None}
    even = {tag: value for tag, value in values.items() if len(value) % 2 == 0}
    odd = {tag: value for tag, value in values.items() if len(value) % 2}
    headed = [
        tag.to_bytes(4, "big")[2:4][::-1] + len(value).to_bytes(4, "little") + value for tag, value in odd.items()
    ]
    return encode_command_set(even) + b"".join(b"\0\0" + one for one in headed)


def odd_message(command: bytes, data: bytes | None = None, context: int = STORE_CONTEXT) -> bytes:
    fragments = [(context, COMMAND | LAST, command)]
    return b"".join(p_data(one) for one in [*fragments, *([] if data is None else [(context, LAST, data)])])
