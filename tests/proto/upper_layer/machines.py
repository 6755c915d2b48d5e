"""Single machines in a wanted condition, and the bytes of a peer that need not keep any rule."""

from typing import Any

from dicom_proto.testing.pair import answer, drain, offer, sent
from dicom_proto.upper_layer.association import Association
from dicom_proto.upper_layer.events import FragmentReceived
from dicom_proto.upper_layer.pdu import PDU, PDV, PDUType, decode_pdu, encode_pdu, pack_header
from dicom_proto.upper_layer.state_table import State
from dicom_proto.upper_layer.timers import Timeouts

OFFER = offer()
DATA = b"\x00\x01\x02\x03"
TIMEOUTS = Timeouts(artim=10, request=20, release=30, response=40, idle=50)


def pdv(data: bytes = DATA, control: int = 0, context_id: int = 1, *, length: int | None = None) -> bytes:
    """A presentation data value item; ``length`` is what it says instead of the truth."""
    stated = len(data) + 2 if length is None else length
    return stated.to_bytes(4, "big") + bytes((context_id, control)) + data


def p_data(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return pack_header(PDUType.P_DATA_TF, len(body)) + body


def split(data: bytes) -> list[bytes]:
    """Cut bytes into PDUs."""
    found = []
    while data:
        end = 6 + int.from_bytes(data[2:6], "big")
        found.append(data[:end])
        data = data[end:]
    return found


def pdus(machine: Association, *, now: float = 0, limit: int | None = None) -> list[PDU]:
    """The PDUs that a machine has to send."""
    return [decode_pdu(pdu[0], pdu[6:]) for pdu in split(sent(machine, now, limit))]


def fed(machine: Association, *received: bytes | PDU, now: float = 0) -> list[Any]:
    """Let a machine receive PDUs, or bytes, in one block; return its events."""
    block = b"".join(item if isinstance(item, bytes) else encode_pdu(item) for item in received)
    machine.receive_data(block, now=now)
    return drain(machine)


def listening(**options: Any) -> Association:
    """A machine in Sta2."""
    machine = Association(**options)
    machine.connection_made(now=0)
    return machine


def asked(**options: Any) -> Association:
    """A machine in Sta3."""
    machine = listening(**options)
    fed(machine, OFFER)
    return machine


def asking(request: Any = OFFER, **options: Any) -> Association:
    """A machine in Sta5."""
    machine = Association(**options)
    machine.request(request)
    machine.connection_made(now=0)
    sent(machine)
    return machine


def acceptor(request: Any = OFFER, response: Any = None, **options: Any) -> Association:
    """An acceptor in Sta6."""
    machine = listening(**options)
    fed(machine, request)
    machine.accept(response or answer(request))
    sent(machine)
    return machine


def requestor(request: Any = OFFER, response: Any = None, **options: Any) -> Association:
    """A requestor in Sta6."""
    machine = asking(request, **options)
    fed(machine, response or answer(request))
    sent(machine)
    return machine


def send(machine: Association, data: Any = DATA, *, command: bool = True, last: bool = True) -> None:
    """Queue a piece of a command or data set on context 1."""
    machine.send_fragment(1, data, command=command, last=last)


def state_of(machine: Association) -> State:
    """The state, of which a type checker should not think that it stays."""
    return machine.state


def pieces(events: list[Any]) -> list[tuple[int, bool, bool, bytes]]:
    """The fragments among events, as values."""
    return [
        (event.context_id, event.command, event.last, bytes(event.data))
        for event in events
        if isinstance(event, FragmentReceived)
    ]


def merge(found: list[object], piece: FragmentReceived | PDV) -> None:
    """Add a piece of a fragment to what was read, as a PDV, joined with what it goes on from."""
    before = found[-1] if found else None
    data = bytes(piece.data)
    if isinstance(before, PDV) and (before.context_id, before.command, before.last) == (
        piece.context_id,
        piece.command,
        False,
    ):
        data = before.data + data
        found.pop()
    found.append(PDV(piece.context_id, piece.command, piece.last, data))
