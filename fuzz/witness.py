"""What is always true of a machine, whatever its peer and its user do: checks of what it tells, sends and keeps."""

import gc
from types import FunctionType, ModuleType
from typing import Any, Final, TypeAlias

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.connection import Connection
from dicom_proto.dimse.events import CancelReceived, DataChunk, RequestReceived, ResponseReceived
from dicom_proto.errors import AbortReason
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    ConnectionClosed,
    FragmentReceived,
    Released,
    ReleaseRequested,
    TimedOut,
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
    decode_pdu,
    unpack_header,
)
from dicom_proto.upper_layer.state_table import State
from fuzz.pdu import SENT, check_error

__all__ = ["Machine", "Story", "Wire", "check_liveness", "kept", "snapshot"]

Machine: TypeAlias = Association | Connection

_ENDINGS: Final = (AssociateRejected, Aborted, TimedOut)
_ONCE: Final = (AssociateRequested, AssociateAccepted, ReleaseRequested, Released)
_CARRIED: Final = (FragmentReceived, RequestReceived, ResponseReceived, DataChunk, CancelReceived)
_WAITS_FOR_PEER: Final = frozenset(
    {State.Sta2, State.Sta5, State.Sta6, State.Sta7, State.Sta10, State.Sta11, State.Sta13}
)
_WAITS_FOR_USER: Final = frozenset({State.Sta1, State.Sta3, State.Sta4})


def snapshot(machine: Machine) -> tuple[Any, ...]:
    """Return what a machine shows of itself."""
    shown = (
        machine.state,
        machine.is_requestor,
        machine.wants_close,
        machine.wants_read,
        machine.write_room,
        machine.next_deadline(),
        tuple(machine.contexts),
    )
    if isinstance(machine, Association):
        return *shown, machine.bytes_queued, machine.bytes_handed_out
    invoked = tuple((number, op.is_sent, op.is_answered) for number, op in machine.invoked.items())
    performed = tuple((number, op.is_received) for number, op in machine.performed.items())
    cancelled = tuple(map(machine.is_cancelled, machine.performed))
    return *shown, cancelled, machine.invoked_window, machine.performed_window, invoked, performed


def check_liveness(machine: Machine) -> None:
    """See that nobody waits for ever: after a whole turn, with nothing left to pull and to send, and all timers set."""
    if machine.wants_close:
        assert machine.next_deadline() is None, "a timer runs although all is over"
        assert not machine.write_room, "data can be queued although all is over"
        return
    if isinstance(machine, Association):
        may_wait = has_room = machine.is_attentive
    else:
        may_wait = not any(operation.is_received for operation in machine.performed.values())
        has_room = len(machine.performed) < machine.performed_window
    if machine.state not in _WAITS_FOR_USER and (has_room or machine.state is not State.Sta6):
        assert machine.wants_read, f"deaf for ever in {machine.state.name}"
    if machine.state in _WAITS_FOR_PEER and (may_wait or machine.state is not State.Sta6):
        assert machine.next_deadline() is not None, f"{machine.state.name} may last for ever"


def kept(machine: object) -> tuple[int, int]:
    """Return how many bytes of buffers and text a machine or a tap keeps, and how many objects in all."""
    seen: dict[int, object] = {}
    waiting: list[object] = [machine]
    octets = 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type | ModuleType | FunctionType):
            continue
        seen[id(item)] = item
        if isinstance(item, bytes | bytearray | str):
            octets += len(item)
        waiting += gc.get_referents(item)
    return octets, len(seen)


class Story:
    """The events of one machine, which can only come in a certain order."""

    def __init__(self) -> None:
        self._told: set[type] = set()

    def tell(self, machine: Machine, event: Any) -> None:
        """Take the next event."""
        told = self._told
        kind = type(event)
        if kind is ConnectionClosed:
            assert machine.wants_close, "closed too early"
        else:
            assert ConnectionClosed not in told, f"{kind.__name__} after the end"
            assert not told.intersection(_ENDINGS), f"{kind.__name__} after the association has ended"
        if kind in _ONCE:
            assert kind not in told, f"{kind.__name__} twice"
        if kind in _CARRIED or kind in (Released, ReleaseRequested):
            assert machine.agreement is not None, f"{kind.__name__} without an association"
        if isinstance(event, FragmentReceived | RequestReceived | ResponseReceived):
            assert event.context_id in machine.contexts, "a context that was not accepted"
        if isinstance(event, FragmentReceived | DataChunk):
            assert memoryview(event.data).readonly, "received data can be written to"
        if kind is AssociateRequested or kind is AssociateAccepted:
            assert machine.is_requestor is (kind is AssociateAccepted), f"{kind.__name__} on the wrong side"
        if isinstance(event, Aborted) and event.error is not None:
            check_error(event.error)
        told.add(kind)


class Wire:
    """The PDUs that one machine sends, which can only come in a certain order."""

    def __init__(self) -> None:
        self._sent: list[type[PDU]] = []  # the kinds, each once
        self._unended: tuple[int, bool] | None = None  # context, and whether it is a command, of what has not ended

    def carry(self, machine: Machine, buffers: list[Buffer]) -> bytes:
        """Take what was handed out; return it as it goes over the wire."""
        data = b"".join(buffers)
        rest = memoryview(data)
        while rest:
            assert len(rest) >= HEADER_LENGTH, "less than a PDU is handed out"
            pdu_type, length = unpack_header(rest)
            assert len(rest) >= HEADER_LENGTH + length, "less than a PDU is handed out"
            pdu = decode_pdu(pdu_type, rest[HEADER_LENGTH : HEADER_LENGTH + length], tolerance=SENT)
            self._check_order(machine, pdu)
            if isinstance(pdu, PDataTF):
                self._check_data(machine, pdu, length)
            if type(pdu) not in self._sent:
                self._sent.append(type(pdu))
            rest = rest[HEADER_LENGTH + length :]
        return data

    def _check_order(self, machine: Machine, pdu: PDU) -> None:
        sent = self._sent
        kind = type(pdu).__name__
        if AAbort in sent:
            assert pdu == AAbort(2, AbortReason.UNEXPECTED_PDU), f"{kind} after an A-ABORT"
            return
        match pdu:
            case AAbort():  # at any time: it may even overtake the A-ASSOCIATE-RQ
                pass
            case AAssociateRQ():
                assert (machine.is_requestor, sent) == (True, []), f"{kind} cannot be sent now"
            case AAssociateAC() | AAssociateRJ():
                assert (machine.is_requestor, sent) == (False, []), f"{kind} cannot be sent now"
            case _:
                assert machine.agreement is not None, f"{kind} without an association"
                assert not {AAssociateRJ, AReleaseRP}.intersection(sent), f"{kind} after the association has ended"
                assert AReleaseRQ not in sent or isinstance(pdu, AReleaseRP), f"{kind} after an A-RELEASE-RQ"
                assert isinstance(pdu, PDataTF) or self._unended is None, f"{kind} in the middle of a message"

    def _check_data(self, machine: Machine, pdu: PDataTF, length: int) -> None:
        assert machine.agreement is not None
        agreement = machine.agreement
        most = agreement.acceptor_maximum_length if machine.is_requestor else agreement.requestor_maximum_length
        assert not most or length <= most, "longer than the peer wants to receive"
        (pdv,) = pdu.pdvs
        assert pdv.context_id in machine.contexts, "a context that was not accepted"
        assert pdv.data, "an empty fragment"
        assert len(pdv.data) % 2 == 0, "an odd fragment"
        if self._unended is not None:
            assert self._unended == (pdv.context_id, pdv.command), "two messages are mixed"
        self._unended = None if pdv.last else (pdv.context_id, pdv.command)
