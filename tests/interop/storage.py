"""A verification and storage SCP and SCU made of the adapter's AE, to put before real programs."""

import threading
from pathlib import Path
from typing import Any, Self

from attrs import Factory, define

from dicom_proto.names import IMPLICIT_VR_LITTLE_ENDIAN
from dicom_proto.sop_class import Verification
from dicom_transports import blocking
from dicom_transports._files.reading import FileObject, safe_path
from dicom_transports.blocking import AE, build_context, evt
from tests.contract.adapters import make_ae

HOST = "127.0.0.1"
WAIT = 20.0  # seconds until something that another program should have done by now counts as a hang
SUCCESS = 0x0000


class Happened:
    """What has happened, in the order in which it did; it can be waited for."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._changed = threading.Condition()

    def __call__(self, event: Any) -> int:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        return SUCCESS

    def named(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == f"EVT_{name}"]

    def wait(self, name: str, count: int = 1) -> Any:
        """Wait until something has happened so often; return the event."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.named(name)) >= count, WAIT), self.events
        return self.named(name)[count - 1]


@define
class Seen:
    """What a server has seen of one association."""

    association: blocking.Association
    events: list[str] = Factory(list)


class StorageSCP:
    """Stores what it is sent as ``SOP Instance UID.dcm``, answers C-ECHO, and remembers what happened."""

    def __init__(self, directory: Path, *handlers: Any, **settings: Any) -> None:
        self.directory = directory
        self.happened = Happened()
        self.ae = make_ae("SCP")
        self.ae.add_supported_context(Verification)
        self.ae.unrestricted_storage = self.ae.requestor_order = True
        for name, value in settings.items():
            setattr(self.ae, name, value)
        noted = [evt.EVT_ACCEPTED, evt.EVT_C_ECHO, evt.EVT_RELEASED, evt.EVT_ABORTED, evt.EVT_CONN_CLOSE]
        bound: list[Any] = [*((kind, self.happened) for kind in noted), (evt.EVT_C_STORE, self.store), *handlers]
        self.server = self.ae.make_server((HOST, 0), evt_handlers=bound)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()

    @property
    def address(self) -> tuple[str, int]:
        return self.server.address

    @property
    def associations(self) -> list[Seen]:
        """What has been accepted, and what has happened to it."""
        seen = {event.assoc: Seen(event.assoc) for event in self.happened.named("ACCEPTED")}
        for event in self.happened.events:
            if event.assoc in seen and event.name not in {"EVT_ACCEPTED", "EVT_CONN_CLOSE"}:
                seen[event.assoc].events.append(event.name.removeprefix("EVT_"))
        return list(seen.values())

    def wait(self, ended: int = 1) -> list[Seen]:
        """Wait until so many associations have ended; return all."""
        self.happened.wait("ACCEPTED", ended)
        self.happened.wait("CONN_CLOSE", ended)
        return self.associations

    def store(self, event: Any) -> int:
        path = safe_path(self.directory, event.request.AffectedSOPInstanceUID, suffix=".dcm")
        path.write_bytes(event.encoded_dataset())
        return self.happened(event)


def requestor_of(objects: list[FileObject], **settings: Any) -> AE:
    """An AE that proposes verification, and for each file its SOP class with its own transfer syntax."""
    ae = make_ae("STORESCU")
    needed = [(stored.meta.sop_class_uid, stored.meta.transfer_syntax) for stored in objects]
    contexts = dict.fromkeys([(str(Verification), IMPLICIT_VR_LITTLE_ENDIAN), *needed])
    ae.requested_contexts = [build_context(*context) for context in contexts]
    for name, value in settings.items():
        setattr(ae, name, value)
    return ae


def data_set_of(stored: FileObject) -> bytes:
    """The data set as it is sent: a deflated one may be odd in a file, and gets the padding it lacks (PS3.5 A.5)."""
    data = bytes(stored.data_set)
    return data + bytes(len(data) % 2)


def send_files(association: blocking.Association, objects: list[FileObject]) -> None:
    """Send files as they lie there."""
    for stored in objects:
        assert association.send_c_store(stored.path).Status == SUCCESS


def echo_and_send(address: tuple[str, int], ae_title: str, objects: list[FileObject]) -> None:
    """Verify, and send files, on one association."""
    with requestor_of(objects).associate(*address, ae_title=ae_title) as association:
        assert association.send_c_echo().Status == SUCCESS
        send_files(association, objects)
