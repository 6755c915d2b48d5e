"""A query/retrieve and storage SCP made of the adapter's AE, to put before real programs."""

import threading
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_proto.offers.contexts import (
    BasicWorklistManagementPresentationContexts,
    QueryRetrievePresentationContexts,
    VerificationPresentationContexts,
)
from dicom_proto.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from dicom_transports.blocking import AE, AssociationServer, build_context, build_role, evt
from tests.contract.adapters import Running, make_ae
from tests.interop.images import image, path_of
from tests.interop.storage import WAIT

HOST: Final = "127.0.0.1"
ONE: Final = "examples_overlay.dcm"
FILES: Final = (ONE, "rtdose.dcm", "rtplan.dcm")  # which DCMTK writes as it reads them
MODELS: Final = {  # by the option that DCMTK's programs have for them
    "-P": (
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
    ),
    "-S": (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ),
}
KEYS: Final = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
STORED: Final = sorted({image(name).meta.sop_class_uid for name in FILES})
ROLES: Final = [build_role(uid, scu_role=True, scp_role=True) for uid in STORED]


def query(level: str, **keys: Any) -> Dataset:
    """An identifier."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


def syntaxes_of(uid: str) -> list[str]:
    return sorted({image(name).meta.transfer_syntax for name in FILES if image(name).meta.sop_class_uid == uid})


class Archive:
    """Some files that can be asked for, and a directory where more can be stored."""

    def __init__(self, directory: Path, **destinations: int) -> None:
        self.directory = directory
        self.destinations: dict[str, Any] = {name: (HOST, port) for name, port in destinations.items()}
        self.instances = [(path_of(name), self.describe(name)) for name in FILES]
        self.requests: list[Any] = []
        self.ae = make_ae("ARCHIVE")
        self.ae.supported_contexts = [
            *VerificationPresentationContexts,
            *QueryRetrievePresentationContexts,
            *BasicWorklistManagementPresentationContexts,
        ]
        for uid in STORED:
            self.ae.add_supported_context(uid, syntaxes_of(uid), scu_role=True, scp_role=True)

    @staticmethod
    def describe(name: str) -> Dataset:
        return dcmread(path_of(name), stop_before_pixels=True)

    def start(self) -> AssociationServer:
        """Listen; the server is a context manager, which is entered already."""
        handlers: list[Any] = [
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_C_GET, self.get),
            (evt.EVT_C_MOVE, self.move),
            (evt.EVT_C_STORE, self.store),
        ]
        return self.ae.start_server((HOST, 0), block=False, evt_handlers=handlers)

    def matches(self, identifier: Dataset) -> Iterator[tuple[Path, Dataset]]:
        for path, instance in self.instances:
            for element in identifier:
                value = str(element.value or "*")
                if element.keyword in {"QueryRetrieveLevel", "SpecificCharacterSet"} or element.VR == "SQ":
                    continue
                if not any(fnmatchcase(str(instance.get(element.keyword, "")), part) for part in value.split("\\")):
                    break
            else:
                yield path, instance

    def find(self, event: Any) -> Iterator[Any]:
        self.requests.append(event.identifier)
        level = event.identifier.QueryRetrieveLevel
        told = set()
        for _, instance in self.matches(event.identifier):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            key = instance[KEYS[level]].value
            if key not in told:
                told.add(key)
                answer = Dataset()
                for element in event.identifier:
                    setattr(answer, element.keyword, instance.get(element.keyword, None))
                answer.QueryRetrieveLevel = level
                answer.RetrieveAETitle = "ARCHIVE"
                yield 0xFF00, answer

    def get(self, event: Any) -> Iterator[Any]:
        paths = [path for path, _ in self.matches(event.identifier)]
        yield len(paths)
        for path in paths:
            yield 0xFF00, path.read_bytes()  # as it lies there, not decoded

    def move(self, event: Any) -> Iterator[Any]:
        yield self.destinations.get(event.move_destination, (None, None))
        yield from self.get(event)

    def store(self, event: Any) -> int:
        path = self.directory / f"{event.request.AffectedSOPInstanceUID}.dcm"
        path.write_bytes(event.encoded_dataset())
        return 0x0000


def requestor(*contexts: str, ae_title: str = "SUT", storage: bool = True) -> AE:
    """An AE that asks for these, and for the SOP classes of the files, each in its own transfer syntax."""
    ae = make_ae(ae_title)
    ae.requested_contexts = [*VerificationPresentationContexts, *map(build_context, contexts)]
    for uid in STORED if storage else ():
        ae.add_requested_context(uid, syntaxes_of(uid))
    return ae


def keep_in(directory: Path) -> tuple[Any, Any]:
    """A handler that writes what is stored into a directory."""

    def store(event: Any) -> int:
        (directory / f"{event.request.AffectedSOPInstanceUID}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    return evt.EVT_C_STORE, store


def send_files(association: Any) -> None:
    """Store all files, by their paths."""
    for name in FILES:
        assert association.send_c_store(path_of(name)).Status == 0x0000


def begin(association: Any, function: Callable[..., Iterable[Any]], *arguments: Any, **options: Any) -> Running[Any]:
    """Ask for all results in a thread of their own; return when the request has been sent, and none has been awaited.

    The adapters for event loops send it no sooner than the first result is asked for.
    """
    has_left = threading.Event()
    association.bind(evt.EVT_DIMSE_SENT, lambda _: has_left.set())
    running = Running(lambda: list(function(*arguments, **options)))
    assert has_left.wait(WAIT)
    return running


def directories(parent: Path, *names: str) -> list[Path]:
    made = [parent / name for name in names]
    for one in made:
        one.mkdir()
    return made
