"""What the tests of the contract have in common: what is proposed, what is said, and who listens."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from dicom_proto.dimse.events import ConnectionEvent, RequestReceived
from dicom_proto.dimse.messages import (
    CEchoRQ,
    CEchoRSP,
    CStoreRQ,
    Message,
    encode_message,
)
from dicom_proto.upper_layer.events import Aborted, AbortOrigin, ReleaseRequested, TimedOut
from dicom_proto.upper_layer.failures import (
    AssociationTimedOut,
)
from dicom_proto.upper_layer.pdu import (
    PDV,
    AAssociateAC,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    encode_pdu,
)
from dicom_proto.upper_layer.policy import Policy
from dicom_transports.blocking import Session
from tests.contract.adapters import WAIT, Adapter, Listener, Listening, Peer, Running
from tests.proto.wire import CT, IMPLICIT, STUDY_FIND, VERIFICATION, answer, offer

OFFER = offer(VERIFICATION, CT, STUDY_FIND)  # contexts 1, 3, 5
POLICY = Policy(supported=dict.fromkeys([VERIFICATION, CT, STUDY_FIND], IMPLICIT))
ECHO = CEchoRQ(message_id=1)
SHORT = 0.05  # seconds: a deadline that is meant to pass
LARGE = 32 << 20  # bytes: more than what the kernel holds for both ends together


def message(message: Message, data: bytes | None = None, context: int = 1) -> bytes:
    """A message with a short data set on the wire."""
    command = encode_message(message, has_data_set=data is not None)
    pdus = [PDataTF((PDV(context, True, True, command),))]
    if data is not None:
        pdus.append(PDataTF((PDV(context, False, True, data),)))
    return b"".join(map(encode_pdu, pdus))


def echoed(message_id: int = 1) -> CEchoRSP:
    return CEchoRSP(message_id_being_responded_to=message_id, status=0)


def establish(adapter: Adapter, **options: Any) -> tuple[Session, Peer]:
    """The adapter as requestor, a peer that has accepted its association."""
    with Listener() as listener:
        connecting = Running(adapter.connect, listener.address, OFFER, **options)
        peer = listener.accept()
        assert peer.get() == OFFER
        peer.send(answer(OFFER))
        return connecting.result(), peer


class Served:
    """A handler that keeps what happens on its associations, answers C-ECHO and confirms releases."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.session: Session | None = None
        self.begun = threading.Event()
        self.ended = threading.Event()

    def __call__(self, session: Session) -> None:
        self.session = session
        self.begun.set()
        try:
            self.serve(session)
        finally:
            self.ended.set()

    def serve(self, session: Session) -> None:
        for event in session:
            self.answer(session, event)

    def answer(self, session: Session, event: ConnectionEvent) -> None:
        self.events.append(event)
        if isinstance(event, RequestReceived) and isinstance(event.request, CEchoRQ):
            session.send_response(echoed(event.message_id))
        if isinstance(event, ReleaseRequested):
            session.confirm_release()

    def finish(self) -> list[Any]:
        """Wait for the end of the association; return its events."""
        assert self.ended.wait(WAIT), "it hangs"
        return self.events


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


Scene = Callable[[Session], None]


def call(session: Session) -> None:
    session.call(CEchoRQ(), context=1)


def release(session: Session) -> None:
    session.release()


def wait(session: Session) -> None:
    for event in session:
        if isinstance(event, TimedOut):
            raise AssociationTimedOut(event.timer)


def write(session: Session) -> None:
    session.call(CStoreRQ(affected_sop_class_uid=CT, affected_sop_instance_uid="1.2"), context=3, data=bytes(LARGE))


def drain(peer: Peer) -> bytes:
    """Everything until the other side closes the connection."""
    data = bytearray()
    with suppress(ConnectionResetError):
        while piece := peer.socket.recv(1 << 20):
            data += piece
    return bytes(data)


def assert_no_threads() -> None:
    """Wait until no association is served any more."""
    while serving := [thread for thread in threading.enumerate() if thread.name == "dicom-association"]:
        for thread in serving:
            if thread.ident is not None:  # it has been started
                thread.join(WAIT)
                assert not thread.is_alive()


REQUEST = encode_pdu(OFFER)
LOST = Aborted(origin=AbortOrigin.TRANSPORT)
every_way = pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])


def store(message_id: int = 1) -> bytes:
    request = CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2")
    return message(request, bytes(1000), context=3)


STORE = store()
