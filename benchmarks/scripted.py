"""An SCU that only plays back PDUs made beforehand: as light as a load can be, and the same for every SCP."""

import asyncio
import socket
from contextlib import closing
from time import perf_counter, process_time
from typing import Final

from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.files import SMALL_BYTES
from benchmarks.jobs import Job, Scu
from benchmarks.processes import Address, Spent
from benchmarks.samples import CT_IMAGE, CT_INSTANCE, IMAGE_BYTES, VERIFICATION
from dicom_proto.dimse.messages import CEchoRQ, CStoreRQ, Message, encode_message
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.upper_layer import build_offer
from dicom_proto.upper_layer.pdu import HEADER_LENGTH, PDV, AReleaseRQ, PDataTF, encode_pdu

__all__ = [
    "ASSOCIATE",
    "ECHO",
    "RELEASE",
    "STORE",
    "STORE_IMAGE",
    "Unexpected",
    "ask",
    "connected",
    "converse",
    "is_answered",
    "scu",
]

_SUCCESS: Final = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"  # the element Status
_ACCEPTED, _DATA, _RELEASED = 2, 4, 6
_FRAGMENT: Final = (1 << 17) - 6  # of a data set, in a PDU of the length that the adapters ask for


def _message(context_id: int, message: Message, data: bytes = b"") -> bytes:
    command = PDV(context_id, command=True, last=True, data=encode_message(message, has_data_set=bool(data)))
    pdvs = [command]
    for start in range(0, len(data), _FRAGMENT):
        stop = start + _FRAGMENT
        pdvs.append(PDV(context_id, command=False, last=stop >= len(data), data=data[start:stop]))
    return b"".join(encode_pdu(PDataTF((pdv,))) for pdv in pdvs)


def _store(length: int) -> bytes:
    request = CStoreRQ(message_id=1, affected_sop_class_uid=CT_IMAGE, affected_sop_instance_uid=CT_INSTANCE, priority=0)
    return _message(3, request, _object(length))


def _object(total: int) -> bytes:
    uids = {b"\x08\x00\x16\x00": CT_IMAGE, b"\x08\x00\x18\x00": CT_INSTANCE}
    head = b""
    for tag, uid in uids.items():
        value = uid.encode() + b"\0" * (len(uid) % 2)
        head += tag + b"UI" + len(value).to_bytes(2, "little") + value
    length = total - len(head) - 12
    return head + b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little") + bytes(length)


ASSOCIATE: Final = encode_pdu(
    build_offer("SCP", "SCU", [(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN), (CT_IMAGE, ExplicitVRLittleEndian)])
)
ECHO: Final = _message(1, CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION))
STORE: Final = _store(SMALL_BYTES)
STORE_IMAGE: Final = _store(IMAGE_BYTES)
RELEASE: Final = encode_pdu(AReleaseRQ())
_EXPECTED: Final = {ASSOCIATE: _ACCEPTED, ECHO: _DATA, STORE: _DATA, STORE_IMAGE: _DATA, RELEASE: _RELEASED}


class Unexpected(Exception):  # noqa: N818 - it is an answer
    """Not the answer that there should be."""


def _check(question: bytes, pdu: bytes) -> None:
    expected = _EXPECTED[question]
    if pdu[0] != expected or (expected == _DATA and _SUCCESS not in pdu):
        raise Unexpected(f"PDU of type {pdu[0]} with {len(pdu)} bytes")


def _length(header: bytes) -> int:
    return int.from_bytes(header[2:HEADER_LENGTH])


# --- blocking ---------------------------------------------------------------------------------------------------------


def connected(address: Address) -> socket.socket:
    """Return a connection to a server."""
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def converse(sock: socket.socket, question: bytes) -> None:
    """Send a question, and wait for its answer.

    Raises
    ------
    Unexpected
        If it is another one, or none.
    """
    sock.sendall(question)
    answer = b""
    while not is_answered(question, answer):
        data = sock.recv(1 << 16)
        if not data:
            raise Unexpected("the connection was closed")
        answer += data


def is_answered(question: bytes, received: bytes) -> bool:
    """Tell whether the answer to a question is complete.

    Raises
    ------
    Unexpected
        If it is another one.
    """
    if len(received) < HEADER_LENGTH or len(received) < HEADER_LENGTH + _length(received):
        return False
    _check(question, received)
    return True


def _talk(address: Address, job: Job) -> Spent:
    began, cpu = perf_counter(), process_time()
    for _ in range(job.associations):
        with closing(connected(address)) as sock:
            converse(sock, ASSOCIATE)
            for _ in range(job.echoes):
                converse(sock, ECHO)
            converse(sock, RELEASE)
    return Spent(perf_counter() - began, process_time() - cpu)


def scu() -> Scu:
    """Return an SCU for C-ECHO."""
    return Scu("scripted", _talk)


# --- many at a time ---------------------------------------------------------------------------------------------------


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: bytes) -> None:
    """Send a question, and wait for its answer.

    Raises
    ------
    Unexpected
        If it is another one.
    OSError, EOFError
        If there is none.
    """
    writer.write(question)
    header = await reader.readexactly(HEADER_LENGTH)
    _check(question, header + await reader.readexactly(_length(header)))
