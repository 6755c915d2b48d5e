"""What the tests of the contract have in common: what is proposed, what is said, and who listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, Message, encode_message
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.sop_class import CTImageStorage, Verification
from dicom_proto.testing.pair import CT, IMPLICIT, VERIFICATION, offer
from dicom_proto.upper_layer.pdu import PDV, AAssociateAC, AAssociateRQ, AReleaseRP, AReleaseRQ, PDataTF, encode_pdu
from dicom_transports.blocking import Association
from tests.contract.adapters import Listener, Listening, Peer
from tests.contract.entities import FIND, answered, dataset, entity

OFFER = offer(VERIFICATION, CT, FIND)
ECHO_CONTEXT, CT_CONTEXT, FIND_CONTEXT = 1, 3, 5
ECHO = CEchoRQ(message_id=1)
SHORT = 0.05  # seconds: a deadline that is meant to pass
LARGE = 32 << 20  # bytes: more than what the kernel holds for both ends together


def message(message: Message, data: bytes | None = None, context: int = ECHO_CONTEXT) -> bytes:
    """A message with a short data set on the wire."""
    command = encode_message(message, has_data_set=data is not None)
    pdus = [PDataTF((PDV(context, True, True, command),))]
    if data is not None:
        pdus.append(PDataTF((PDV(context, False, True, data),)))
    return b"".join(map(encode_pdu, pdus))


def echoed(message_id: int = 1) -> CEchoRSP:
    return CEchoRSP(message_id_being_responded_to=message_id, status=0)


def image(data: bytes) -> StoredObject:
    """An object to be stored, encoded already."""
    return StoredObject(sop_class_uid=CT, sop_instance_uid="1.2", transfer_syntax=IMPLICIT, data=data)


@contextmanager
def scripted(*handlers: Any, **settings: Any) -> Iterator[tuple[Association, Peer]]:
    """An association whose peer does as it is told; it proposes the contexts of :data:`OFFER`."""
    with Listener() as listener:
        ae = entity("SCU", Verification, CTImageStorage, FIND, **settings)
        association, peer = answered(listener, ae, *handlers)
        with peer:
            try:
                yield association, peer
            finally:
                association.abort()


def associate(server: Listening, request: AAssociateRQ = OFFER) -> Peer:
    """A peer whose association a server has accepted."""
    peer = Peer.dial(server.address)
    peer.send(request)
    assert isinstance(peer.get(), AAssociateAC)
    return peer


def assert_serves(server: Listening) -> None:
    """See that a server accepts an association; a slot that has just become free may take a moment."""
    for _ in range(1000):
        with Peer.dial(server.address) as peer, suppress(EOFError, ConnectionError):
            peer.send(OFFER)
            if isinstance(peer.get(), AAssociateAC):
                peer.send(message(ECHO), AReleaseRQ())
                assert peer.get_data()
                assert peer.get() == AReleaseRP()
                return
    raise AssertionError("no slot becomes free")


def drain(peer: Peer) -> bytes:
    """Everything until the other side closes the connection."""
    data = bytearray()
    with suppress(ConnectionResetError):
        while piece := peer.socket.recv(1 << 20):
            data += piece
    return bytes(data)


REQUEST = encode_pdu(OFFER)
STORE = message(
    CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"), bytes(1000), CT_CONTEXT
)
every_way = pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])


Scene = Callable[[Association], Any]


def call(association: Association) -> Any:
    return association.send_c_echo()


def release(association: Association) -> None:
    association.release()


def write(association: Association) -> Any:
    return association.send_c_store(image(bytes(LARGE)))


def query(association: Association) -> Any:
    return list(association.send_c_find(dataset(PatientName="*"), FIND))


def wait(_association: Association) -> None:
    """Do nothing."""
