"""The other side of an example program, on pynetdicom itself: a peer that serves what clients ask for, and a caller.

Both note what they see, so that what two libraries do for the same program can be compared: what is proposed, each
request with its data set, the responses, how an association ended; no message IDs, and nothing that names a library.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    StoragePresentationContexts,
    build_role,
    evt,
    sop_class,
)
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from tests.interop.images import CT, path_of

__all__ = ["Peer", "call", "text_of"]

HOST: Final = "127.0.0.1"
SOP: Final[Any] = sop_class
FINDS, GETS, MOVES = (
    [getattr(SOP, f"{root}RootQueryRetrieveInformationModel{service}") for root in ("Patient", "Study")]
    for service in ("Find", "Get", "Move")
)
SERVED: Final = [
    *(SOP.Verification, *FINDS, *GETS, *MOVES, SOP.ModalityWorklistInformationFind),
    *(SOP.GeneralRelevantPatientInformationQuery, SOP.DisplaySystem),
    *(SOP.ModalityPerformedProcedureStep, SOP.BasicGrayscalePrintManagementMeta),
    *(SOP.UnifiedProcedureStepQuery, SOP.UnifiedProcedureStepWatch),
]
STORED: Final = [SOP.CTImageStorage, SOP.MRImageStorage, "1.2.246.352.70.1.70"]
ASKED: Final = [*SERVED[:11], *STORED]
_MADE_UP: Final = re.compile(r"1\.2\.826\.0\.1\.3680043\.8\.498\.\d+")
_LIBRARIES: Final = re.compile(r"\b(PYNETDICOM|DICOM_PROTO)\b")


def text_of(value: Any) -> str:
    """Return something as text in which no two runs differ: without UIDs that were made up, and titles of libraries."""
    return _LIBRARIES.sub("(title)", _MADE_UP.sub("(uid)", str(value)))


def _offer(assoc: Any) -> Iterator[str]:
    """Yield what an association was requested with."""
    yield f"requested by {assoc.requestor.ae_title} of {assoc.requestor.primitive.called_ae_title}"
    for context in assoc.requestor.requested_contexts:
        yield f"  context {context.abstract_syntax} {', '.join(context.transfer_syntax)}"
    for uid, item in sorted(assoc.requestor.role_selection.items()):
        yield f"  role {uid}: SCU {bool(item.scu_role)} SCP {bool(item.scp_role)}"
    if (user := assoc.requestor.user_identity) is not None:
        yield f"  user {user.user_identity_type} {user.primary_field} {user.secondary_field}"


class Peer:
    """An SCP for everything that the clients of the documentation ask for.

    Parameters
    ----------
    destination_port : int
        Where the storage SCP of the client listens.
    ssl_context : ssl.SSLContext or None
        What it is a server of TLS with.
    hosts : tuple of str
        Where it listens, always on the same port.
    """

    def __init__(self, destination_port: int, ssl_context: Any = None, hosts: tuple[str, ...] = (HOST,)) -> None:
        self.seen: list[str] = []
        self._destination_port = destination_port
        self._ae: Any = AE("PEER")
        self._ae.supported_contexts = AllStoragePresentationContexts
        for context in self._ae.supported_contexts:
            context.transfer_syntax = [*ALL_TRANSFER_SYNTAXES]
            context.scu_role = context.scp_role = True
        self._ae.requested_contexts = StoragePresentationContexts
        for uid in SERVED:
            self._ae.add_supported_context(uid)
        handlers = [
            (evt.EVT_REQUESTED, lambda event: self.seen.extend(_offer(event.assoc))),
            (evt.EVT_RELEASED, lambda _: self.seen.append("released")),
            (evt.EVT_ABORTED, lambda _: self.seen.append("aborted")),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_N_GET, self._n_get),
            (evt.EVT_N_CREATE, self._n_create),
            (evt.EVT_N_SET, self._n_set),
            (evt.EVT_N_ACTION, self._n_action),
        ]
        options = {"block": False, "evt_handlers": handlers, "ssl_context": ssl_context}
        self.port = 0
        self._servers: list[Any] = []
        for host in hosts:
            self._servers.append(self._ae.start_server((host, self.port), **options))
            self.port = self._servers[0].server_address[1]

    def stop(self) -> None:
        """Wait until nobody is connected, and stop listening."""
        for association in self._ae.active_associations:
            association.join(5)
        for server in self._servers:
            server.shutdown()

    def _note(self, event: Any, *others: Any) -> None:
        self.seen.append(f"{event.event.name} {' '.join(map(text_of, others))}")

    def _echo(self, event: Any) -> int:
        self._note(event)
        return 0x0000

    def _store(self, event: Any) -> int:
        self._note(event, event.request.AffectedSOPInstanceUID, event.context.transfer_syntax, event.dataset)
        return 0x0000

    def _find(self, event: Any) -> Iterator[Any]:
        self._note(event, event.request.AffectedSOPClassUID, event.identifier)
        stored = dcmread(path_of(CT))
        answer = event.identifier
        for tag in answer.keys() & stored.keys():
            answer[tag] = stored[tag]
        yield 0xFF00, answer

    def _get(self, event: Any) -> Iterator[Any]:
        self._note(event, event.identifier)
        yield 1
        yield 0xFF00, dcmread(path_of(CT))

    def _move(self, event: Any) -> Iterator[Any]:
        self._note(event, event.move_destination, event.identifier)
        yield HOST, self._destination_port if event.move_destination == "OUR_STORE_SCP" else self.port
        yield 1
        yield 0xFF00, dcmread(path_of(CT))

    def _n_get(self, event: Any) -> Any:
        self._note(event, event.request.RequestedSOPInstanceUID, event.attribute_identifiers)
        answer = Dataset()
        answer.Manufacturer = "Nobody"
        answer.PrinterStatus = "NORMAL"
        return 0x0000, answer

    def _n_create(self, event: Any) -> Any:
        self._note(event, event.request.AffectedSOPInstanceUID, event.attribute_list)
        return 0x0000, event.attribute_list

    def _n_set(self, event: Any) -> Any:
        self._note(event, event.request.RequestedSOPInstanceUID, event.modification_list)
        return 0x0000, event.modification_list

    def _n_action(self, event: Any) -> Any:
        self._note(event, event.request.RequestedSOPInstanceUID, event.action_type, event.action_information)
        return 0x0000, event.action_information


def _query(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def call(port: int, tls_args: Any = None) -> list[str] | None:
    """Ask a server for everything that it accepts; return what it answered, or None if there was no association."""
    seen: list[str] = []
    user = UserIdentityNegotiation()
    user.user_identity_type, user.primary_field, user.secondary_field = 2, b"username", b"password"
    user.positive_response_requested = True
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in STORED[:2]]

    def store(event: Any) -> int:
        seen.append(f"EVT_C_STORE {text_of(event.dataset)}")
        return 0x0000

    ae = AE("CALLER")
    for uid in ASKED:
        ae.add_requested_context(uid)
    options = {"ext_neg": [user, *roles], "evt_handlers": [(evt.EVT_C_STORE, store)], "tls_args": tls_args}
    assoc = ae.associate(HOST, port, **options)
    if not assoc.is_established:
        return None
    for context in assoc.accepted_contexts:
        role = f"SCU {context.as_scu} SCP {context.as_scp}"
        seen.append(f"accepted {context.abstract_syntax} {context.transfer_syntax} {role}")
    user_answer = assoc.acceptor.user_identity
    seen.append(f"user {None if user_answer is None else user_answer.server_response!r}")
    for context in assoc.accepted_contexts:
        if assoc.is_established:
            seen += [f"{context.abstract_syntax}: {text_of(answer)}" for answer in _operations(assoc, context)]
    assoc.release()
    seen.append(f"released {assoc.is_released} aborted {assoc.is_aborted}")
    return seen


def _operations(assoc: Any, context: Any) -> Iterator[Any]:
    """Yield what the operations of one context are answered with."""
    uid = context.abstract_syntax
    query = _query(
        "PATIENT", PatientID=dcmread(path_of(CT)).PatientID, PatientName=str(dcmread(path_of(CT)).PatientName)
    )
    if uid == SOP.Verification:
        yield assoc.send_c_echo()
    elif uid in (*FINDS, SOP.GeneralRelevantPatientInformationQuery, SOP.ModalityWorklistInformationFind):
        yield from assoc.send_c_find(query, uid)
        yield from assoc.send_c_find(Dataset({key: query[key] for key in query.keys() if key.group != 8}), uid)  # noqa: SIM118
    elif uid in GETS:
        yield from assoc.send_c_get(query, uid)
    elif uid in MOVES:
        yield from assoc.send_c_move(query, "STORE_SCP", uid)
        yield from assoc.send_c_move(query, "NOBODY", uid)
    elif uid == SOP.DisplaySystem:
        yield from assoc.send_n_get([0x00080070], uid, SOP.DisplaySystemInstance)
    elif uid == SOP.ModalityPerformedProcedureStep:
        step = Dataset()
        step.PerformedProcedureStepStatus = "IN PROGRESS"
        yield from assoc.send_n_create(step, uid, "1.2.3.4")
        yield from assoc.send_n_create(step, uid, "1.2.3.4")
        step.PerformedProcedureStepStatus = "COMPLETED"
        yield from assoc.send_n_set(step, uid, "1.2.3.4")
        yield from assoc.send_n_set(step, uid, "1.2.3.5")
    elif context.as_scu:
        dataset = dcmread(path_of(CT))
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
        yield assoc.send_c_store(dataset)
