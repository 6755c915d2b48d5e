"""A small verification and storage SCP and SCU made of the blocking adapter, to put before real programs."""

import threading
from pathlib import Path
from typing import Any, Self

from attrs import define, field

from dicom_proto.datasets import file_preamble_and_meta
from dicom_proto.dimse.events import ConnectionEvent, DataChunk, RequestReceived
from dicom_proto.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP
from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import ALL_TRANSFER_SYNTAXES, Verification
from dicom_proto.upper_layer.events import ReleaseRequested
from dicom_proto.upper_layer.negotiation import build_offer
from dicom_proto.upper_layer.pdu import AAssociateRQ
from dicom_proto.upper_layer.policy import Policy, Supported
from dicom_transports._files import FileObject, IncomingFile, safe_path
from dicom_transports.blocking import Server, Session

WAIT = 20.0  # seconds until something that another program should have done by now counts as a hang


def policy(**more: Any) -> Policy:
    """Everything is accepted, in the order of the requestor's preference."""
    return Policy(
        supported={str(Verification): IMPLICIT_VR_LITTLE_ENDIAN},
        unrestricted=Supported(ALL_TRANSFER_SYNTAXES),
        requestor_order=True,
        **more,
    )


@define
class Association:
    """What a server has seen of one association."""

    session: Session
    events: list[ConnectionEvent] = field(factory=list)  # without the pieces of data sets


class StorageSCP:
    """Stores what it is sent as ``SOP Instance UID.dcm``, answers C-ECHO, and remembers what happened."""

    def __init__(self, directory: Path, *, address: str = "127.0.0.1", **options: Any) -> None:
        self.directory = directory
        self.associations: list[Association] = []
        self.server = Server((address, 0), options.pop("policy", policy()), self.serve, **options)
        self._changed = threading.Condition()
        self._ended = 0

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    def wait(self, ended: int = 1) -> list[Association]:
        """Wait until so many associations have ended; return all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended >= ended, WAIT), "an association does not end"
        return self.associations

    def serve(self, session: Session) -> None:
        association = Association(session)
        self.associations.append(association)
        try:
            for event in session:
                association.events.append(event)
                self.answer(session, event)
        finally:
            with self._changed:
                self._ended += 1
                self._changed.notify_all()

    def answer(self, session: Session, event: ConnectionEvent) -> None:
        match event:
            case RequestReceived(request=CEchoRQ() as request):
                response = CEchoRSP(
                    message_id_being_responded_to=event.message_id,
                    status=0x0000,
                    affected_sop_class_uid=request.affected_sop_class_uid,  # optional, but Odil's SCU fails without it
                )
                session.send_response(response)
            case RequestReceived(request=CStoreRQ() as request):
                self.store(session, event, request)
            case ReleaseRequested():
                session.confirm_release()

    def store(self, session: Session, event: RequestReceived, request: CStoreRQ) -> None:
        uid, sop_class = request.affected_sop_instance_uid, request.affected_sop_class_uid
        transfer_syntax = session.connection.contexts[event.context_id].transfer_syntax
        with IncomingFile(safe_path(self.directory, uid, suffix=".dcm")) as file:
            file.write(file_preamble_and_meta(sop_class, uid, transfer_syntax))
            while isinstance(chunk := session.next_event(), DataChunk):
                self.receive(file, chunk)
                if chunk.last:
                    break
            else:
                self.associations[-1].events.append(chunk)
                return
            file.commit()
        response = CStoreRSP(
            message_id_being_responded_to=event.message_id,
            status=0x0000,
            affected_sop_class_uid=sop_class,
            affected_sop_instance_uid=uid,
        )
        session.send_response(response)

    def receive(self, file: IncomingFile, chunk: DataChunk) -> None:
        file.write(chunk.data)


def offer_for(called_ae_title: str, objects: list[FileObject], **options: Any) -> AAssociateRQ:
    """Propose verification, and for each file its SOP class with its own transfer syntax."""
    needed = [(stored.meta.sop_class_uid, stored.meta.transfer_syntax) for stored in objects]
    contexts = dict.fromkeys([(str(Verification), IMPLICIT_VR_LITTLE_ENDIAN), *needed])
    return build_offer(called_ae_title, "STORESCU", contexts, **options)


def data_set_of(stored: FileObject) -> bytes:
    """The data set as it is sent: a deflated one may be odd in a file, and gets the padding it lacks (PS3.5 A.5)."""
    data = bytes(stored.data_set)
    return data + bytes(len(data) % 2)


def send(session: Session, stored: FileObject) -> int:
    """Send a file as it lies there; return the status."""
    meta = stored.meta
    (context_id,) = (
        context.context_id
        for context in session.connection.contexts.values()
        if (context.abstract_syntax, context.transfer_syntax) == (meta.sop_class_uid, meta.transfer_syntax)
    )
    request = CStoreRQ(affected_sop_class_uid=meta.sop_class_uid, affected_sop_instance_uid=meta.sop_instance_uid)
    response, data = session.call(request, context=context_id, data=data_set_of(stored))
    assert isinstance(response, CStoreRSP)
    assert data is None
    return response.status
