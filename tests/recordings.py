"""Recorded associations, replayed through the core.

A replay gives one core what one side has received, and lets it say what that side has said, as soon as it may. What
the core tells and sends is then held against the recording in its canonical form, which leaves out what two correct
programs may do differently:

* reserved bytes of PDUs and items, which receivers never test (some makers set those of presentation contexts to FFH);
* where a command or a data set is cut into fragments, and how many of them share a P-DATA-TF (PS3.8 Annex E);
* the value of Command Data Set Type (0000,0800): anything but 0101H announces a data set (PS3.7 E.1).
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import cycle
from random import Random
from typing import Any

from attrs import define, evolve, frozen

from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.dimse.messages import CCancelRQ, Message, Request, Response, decode_message, encode_message
from dicom_proto.dimse.operations import Performed
from dicom_proto.errors import AbortReason, LocalProtocolError
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AbortOrigin,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    Released,
    ReleaseRequested,
)
from dicom_proto.upper_layer.pdu import (
    HEADER_LENGTH,
    PDU,
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
    unpack_header,
)

Cut = Callable[[bytes], Iterator[bytes]]
Canonical = list[
    bytes | tuple[int, bool, bytes]
]  # PDUs without their reserved bytes; commands and data sets as a whole


@define
class Joined:
    """A command or a data set, of which the core has told piece by piece."""

    of: tuple[int, bool]  # context ID and whether it is a command; or message ID and which side invoked the operation
    data: bytes
    is_fragment: bool
    is_whole: bool


@frozen
class Recording:
    """One association: everything that each side has sent."""

    name: str
    requestor: bytes
    acceptor: bytes

    def sides(self) -> Iterator[tuple[bytes, bytes]]:
        """For each side: what it has sent, and what it has received."""
        yield self.requestor, self.acceptor
        yield self.acceptor, self.requestor


# --- cuts -------------------------------------------------------------------------------------------------------------


def every(*sizes: int) -> Cut:
    """Cut into pieces of these sizes, over and over."""

    def cut(data: bytes) -> Iterator[bytes]:
        start = 0
        for size in cycle(sizes):
            if start >= len(data):
                return
            yield data[start : start + size]
            start += size

    return cut


CUTS: dict[str, Cut] = {
    "whole": lambda data: iter([data]),
    **{str(size): every(size) for size in (1, 2, 3, 5, 7, 64, 1000)},
    "random": every(*Random(20).choices([1, 2, 3, 6, 11, 12, 13, 100, 4096], k=1000)),
}


# --- replay -----------------------------------------------------------------------------------------------------------


def joined(events: Iterable[Any]) -> list[Any]:
    """Return events with the pieces of each command and data set joined, and errors as text that can be compared."""
    result: list[Any] = []
    for event in events:
        match event:
            case DataChunk() | FragmentReceived():
                is_fragment = isinstance(event, FragmentReceived)
                of = (
                    (event.context_id, event.command)
                    if isinstance(event, FragmentReceived)
                    else (event.message_id, event.invoked)
                )
                last = result[-1] if result else None
                if isinstance(last, Joined) and not last.is_whole:
                    if last.of != of:
                        raise ValueError(f"{of} inside {last.of}")
                    last.data += event.data
                    last.is_whole = event.last
                else:
                    result.append(Joined(of, bytes(event.data), is_fragment, event.last))
            case Aborted(error=Exception()):
                result += (evolve(event, error=None), str(event.error))
            case _:
                result.append(event)
    return result


@frozen
class Said:
    """A message that a side has sent."""

    context_id: int
    message: Message
    data: bytes | None


Action = AAssociateRQ | AAssociateAC | AAssociateRJ | Said | AReleaseRQ | AReleaseRP | AAbort


def script(stream: bytes) -> Iterator[Action]:
    """Return what a side has done, in order; a message without an end is left out."""
    waiting: tuple[int, Message] | None = None
    for item in canonical(stream):
        if isinstance(item, bytes):
            pdu = decode_pdu(item[0], item[HEADER_LENGTH:])
            if isinstance(pdu, PDataTF):
                raise TypeError("data among what is no data")
            yield pdu
        elif item[1]:
            message, has_data = decode_message(item[2])
            waiting = (item[0], message)
            if not has_data:
                yield Said(*waiting, None)
        elif waiting:
            yield Said(*waiting, item[2])


def _has_heard(operation: Performed, response: Response) -> bool:
    return operation.is_received and (response.status != 0xFE00 or operation.is_cancelled)


class Player:
    """One side of a recording, played by the core: it does what that side did, each thing as soon as it is possible.

    Parameters
    ----------
    machine : Association or Connection
        The core, new. An ``Association`` plays no messages.
    own : bytes
        What the side has sent.
    """

    def __init__(self, machine: Association | Connection, own: bytes) -> None:
        self.machine = machine
        plays_messages = isinstance(machine, Connection)
        self.left = deque(action for action in script(own) if plays_messages or not isinstance(action, Said))
        self.sent = bytearray()
        self._has_ended = False
        if self.left and isinstance(offer := self.left[0], AAssociateRQ):
            machine.request(offer)
            self.left.popleft()
        machine.connection_made(now=0)

    def hear(self, received: bytes, cut: Cut) -> list[Any]:
        """Feed what the side has received, then the end of the connection; return the events."""
        events: list[Any] = []
        for piece in cut(received):
            self.machine.receive_data(piece, now=0)
            events += self._turn()
        if self.left and isinstance(abort := self.left[0], AAbort):
            # When it came, among what was received, a recording does not say.
            self.machine.abort(AbortReason(abort.reason) if abort.source else None)
            self.left.popleft()
        events += self._turn()
        self.machine.receive_eof(now=0)
        return joined([*events, *self._turn()])

    def _turn(self) -> Iterator[Any]:
        while not self._has_ended:
            self._play()
            self.sent += b"".join(self.machine.data_to_send(now=0))
            event = self.machine.next_event()
            if event is None:
                return
            self._has_ended = isinstance(event, ConnectionClosed)
            yield event

    def _play(self) -> None:
        with suppress(LocalProtocolError):  # it is not possible yet, and nothing has changed
            while self.left and not isinstance(self.left[0], AAbort):
                self._perform(self.left[0])
                self.left.popleft()

    def _perform(self, action: Action) -> None:
        machine = self.machine
        match action:
            case AAssociateAC():
                machine.accept(action)
            case AAssociateRJ():
                machine.reject(action)
            case AReleaseRQ():
                machine.release()
            case AReleaseRP():
                machine.confirm_release()
            case Said(message=Request() as request) if isinstance(machine, Connection):
                machine.send_request(request, context=action.context_id, data=action.data)
            case Said(message=Response() as response) if isinstance(machine, Connection):
                operation = machine.performed.get(response.message_id_being_responded_to)
                if operation is not None and not _has_heard(operation, response):
                    raise LocalProtocolError("possible, but that side had heard more when it said this")
                machine.send_response(response, data=action.data)
            case Said(message=CCancelRQ() as cancel) if isinstance(machine, Connection):
                machine.send_cancel(cancel.message_id_being_responded_to)
            case _:
                raise TypeError(f"{action!r} cannot be played")


# --- the canonical form -----------------------------------------------------------------------------------------------


def split(stream: bytes) -> Iterator[bytes]:
    """Cut a stream into whole PDUs; what is left of one at the end of a truncated recording is dropped."""
    at = 0
    while at + HEADER_LENGTH <= len(stream):
        _, length = unpack_header(stream[at:])
        end = at + HEADER_LENGTH + length
        if end > len(stream):
            return
        yield stream[at:end]
        at = end


def mask(pdu: bytes) -> bytes:
    """Set the reserved bytes of a PDU to zero, other than the 64 that an A-ASSOCIATE-AC echoes (PS3.8 9.3)."""
    masked = bytearray(pdu)
    masked[1] = 0
    kind = masked[0]
    if kind in (PDUType.A_ASSOCIATE_RQ, PDUType.A_ASSOCIATE_AC):
        masked[8:10] = bytes(2)
        if kind == PDUType.A_ASSOCIATE_RQ:
            masked[42:74] = bytes(32)
        _mask_items(masked, 74, len(masked))
    elif kind in (PDUType.A_RELEASE_RQ, PDUType.A_RELEASE_RP):
        masked[6:10] = bytes(4)
    elif kind == PDUType.A_ASSOCIATE_RJ:
        masked[6] = 0
    elif kind == PDUType.A_ABORT:
        masked[6:8] = bytes(2)
        if masked[8] == 0:
            masked[9] = 0  # the reason of a service-user is not significant
    return bytes(masked)


def _mask_items(masked: bytearray, at: int, end: int) -> None:
    while at < end:
        kind, length = struct.unpack_from(">BxH", masked, at)
        masked[at + 1] = 0
        value = at + 4
        at = value + length
        if kind in (0x20, 0x21):
            reserved = (1, 2, 3) if kind == 0x20 else (1, 3)
            for offset in reserved:
                masked[value + offset] = 0
            _mask_items(masked, value + 4, at)
        elif kind == 0x50:
            _mask_items(masked, value, at)


def canonical(stream: bytes) -> Canonical:
    """Return the whole PDUs of a stream in canonical form; a command or data set without an end is left out."""
    result: Canonical = []
    begun = b""
    for pdu in split(stream):
        if pdu[0] != PDUType.P_DATA_TF:
            result.append(mask(pdu))
            continue
        for pdv in decode_data(pdu).pdvs:
            begun += pdv.data
            if pdv.last:
                result.append((pdv.context_id, pdv.command, _plain_command(begun) if pdv.command else begun))
                begun = b""
    return result


def decode_data(pdu: bytes) -> PDataTF:
    """Decode a P-DATA-TF."""
    decoded = decode_pdu(pdu[0], pdu[HEADER_LENGTH:])
    if not isinstance(decoded, PDataTF):
        raise TypeError(f"{decoded!r} is not a P-DATA-TF")
    return decoded


def _plain_command(command: bytes) -> bytes:
    """Let Command Data Set Type be 0001H where it announces a data set."""
    head = struct.pack("<HHI", 0, 0x0800, 2)
    before, found, after = command.partition(head)
    return command if after[:2] == b"\1\1" else before + found + b"\1\0" + after[2:]


def encode_events(events: Iterable[Any]) -> Canonical:
    """Encode what a core has told back into what it must have received, in canonical form."""
    result: Canonical = []
    context = 0
    for event in events:
        match event:
            case Joined(is_whole=False):
                pass
            case Joined(is_fragment=True):
                context, is_command = event.of
                result.append((context, is_command, _plain_command(event.data) if is_command else event.data))
            case Joined():
                result.append((context, False, event.data))
            case RequestReceived() | ResponseReceived():
                context = event.context_id
                message: Message = event.request if isinstance(event, RequestReceived) else event.response
                result.append((context, True, encode_message(message, has_data_set=event.has_data)))
            case CancelReceived():
                cancel = CCancelRQ(message_id_being_responded_to=event.message_id)
                result.append((context, True, encode_message(cancel, has_data_set=False)))
            case _:
                result += [mask(encode_pdu(pdu)) for pdu in _pdus_of(event)]
    return result


def _pdus_of(event: Any) -> list[PDU]:
    """Return the PDU that an event of the upper layer was made from, if it was received."""
    match event:
        case AssociateRequested():
            return [event.offer]
        case AssociateAccepted():
            return [event.answer]
        case AssociateRejected():
            return [AAssociateRJ(event.result, event.source, event.reason)]
        case ReleaseRequested():
            return [AReleaseRQ()]
        case Released():
            return [AReleaseRP()]
        case Aborted(origin=AbortOrigin.PEER_USER):
            return [AAbort(0)]
        case Aborted(origin=AbortOrigin.PEER_PROVIDER):
            return [AAbort(2, event.reason)]
        case _:
            return []
