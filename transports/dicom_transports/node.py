"""An archive with what a department needs around it: access, audit, worklist, procedure steps, commitment, room.

May change.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from dicom_proto.application.entity import ApplicationEntity
from dicom_proto.handlers.kinds import (
    EVT_ACCESS,
    EVT_C_FIND,
    EVT_C_GET,
    EVT_C_MOVE,
    EVT_C_STORE,
    EVT_CONN_CLOSE,
    EVT_REJECTED,
    EVT_USER_ID,
    EventKind,
)
from dicom_proto.handlers.sinks import Receiving, Refused, Sink
from dicom_proto.offers.contexts import PresentationContext, build_context
from dicom_proto.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
)
from dicom_proto.status import Status
from dicom_transports._archive.access import service_of
from dicom_transports._archive.audit import AuditTrail, Study
from dicom_transports._archive.index.schema import PARENTS, TABLES
from dicom_transports._archive.keys import Level
from dicom_transports._archive.room import Room
from dicom_transports._archive.settings import Settings, SettingsFile
from dicom_transports._archive.workflow.answering import when_answered
from dicom_transports._archive.workflow.availability import AVAILABILITY, Availability
from dicom_transports._archive.workflow.commitment import COMMITMENT, Commitment
from dicom_transports._archive.workflow.outbox import Outbox
from dicom_transports._archive.workflow.steps import ProcedureSteps
from dicom_transports._archive.workflow.telling import Associate, Telling
from dicom_transports._archive.workflow.worklist import Worklist
from dicom_transports.archive import Archive

__all__ = ["Node"]

_log = logging.getLogger("dicom_transports")

_WORKFLOW: Final = (
    ModalityWorklistInformationFind,
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
    StorageCommitmentPushModel,
)
_NOT_AUTHORIZED: Final = int(Status.NOT_AUTHORIZED)
_OUT_OF_RESOURCES: Final = 0xA700
_PENDING: Final = frozenset({0xFF00, 0xFF01})
_NOWHERE: Final = ("localhost", 104)  # never dialled: there is nothing to be sent
_STUDIES, _PATIENTS = TABLES[Level.STUDY], TABLES[Level.PATIENT]


class Node:
    """What serves an archive; as a context manager it tells others what they are to be told, inside.

    Its handlers bind to servers of any adapter::

        with Archive("archive") as archive, Node(archive, "ARCHIVE", AE("ARCHIVE").associate) as node:
            node.apply(ae)
            ae.supported_contexts = node.supported_contexts
            ae.start_server(("", 11112), evt_handlers=node.handlers)

    Parameters
    ----------
    archive : Archive
        What keeps objects and finds them. Those of the settings are added to its move destinations.
    ae_title : str
        The AE title that objects can be retrieved from, unless the settings have one.
    associate : Associate
        ``AE.associate`` of the blocking adapter, for what others are told.
    settings : path, optional
        A TOML file that says whom it knows, and who may do what.
    audit : path, optional
        The file in which it is written down who has done what.
    worklist : path, optional
        A folder with worklist items in files, as DCMTK's ``wlmscpfs`` has them.

    Attributes
    ----------
    ae_title : str
        The AE title of the archive.
    worklist : Worklist
        The modality worklist, to which a program may add.

    Raises
    ------
    InvalidSettingError
        If the file with settings has a mistake: the text names the key.
    OSError
        If the file of the audit trail cannot be opened.
    """

    def __init__(
        self,
        archive: Archive,
        ae_title: str,
        associate: Associate,
        *,
        settings: str | PathLike[str] | None = None,
        audit: str | PathLike[str] | None = None,
        worklist: str | PathLike[str] | None = None,
    ) -> None:
        self.archive = archive
        self._own_destinations = dict(archive.destinations)
        self._applied: ApplicationEntity | None = None
        self._settings = None if settings is None else SettingsFile(settings, self._use)
        self.ae_title = self.settings.ae_title or ae_title
        self._audit = None if audit is None else AuditTrail(audit, self.ae_title)
        engine = archive.engine
        self.room = Room(engine, archive.directory)
        self.worklist = Worklist(engine, None if worklist is None else Path(worklist))
        self._steps = ProcedureSteps(engine, self.worklist)
        telling = Telling(self.ae_title, associate, lambda: self.settings.destinations)
        self._commitment = Commitment(engine, archive.files, telling)
        self._availability = Availability(engine, telling)
        self._outbox = Outbox(engine, {COMMITMENT: self._commitment.deliver, AVAILABILITY: self._availability.deliver})
        archive.watch = self
        self._use(self.settings)

    def __enter__(self) -> Self:
        self._outbox.__enter__()
        if self._audit is not None:
            self._audit.started()
        return self

    def __exit__(self, *exception: object) -> None:
        self._outbox.__exit__(*exception)
        if self._audit is not None:
            self._audit.stopped()
            self._audit.close()

    @property
    def settings(self) -> Settings:
        """What counts now."""
        return Settings() if self._settings is None else self._settings.current

    def reload(self) -> None:
        """Read the settings again, and open the audit trail again: what SIGHUP asks for."""
        if self._settings is not None:
            self._settings.reload()
        if self._audit is not None:
            self._audit.reopen()

    def apply(self, ae: ApplicationEntity) -> None:
        """Set what the application entity decides itself, now and whenever the settings are read again."""
        self._applied = ae
        if self._settings is not None:
            self.settings.apply(ae)

    def _use(self, settings: Settings) -> None:
        answers = {title: destination.answer() for title, destination in settings.destinations.items()}
        self.archive.destinations = {**self._own_destinations, **answers}
        if self._applied is not None:
            settings.apply(self._applied)

    # --- what is bound ------------------------------------------------------------------------------------------------

    @property
    def supported_contexts(self) -> list[PresentationContext]:
        """What to support: what the archive does, and the workflow."""
        return [*self.archive.supported_contexts, *map(build_context, map(str, _WORKFLOW))]

    @property
    def handlers(self) -> list[Any]:
        """What to bind."""
        own: dict[EventKind, Any] = dict(self.archive.handlers)
        guarded = {
            EVT_C_STORE: _GuardedSink(own.pop(EVT_C_STORE), self._refusal),
            EVT_C_FIND: self._guarded_generator(self._queried(own.pop(EVT_C_FIND))),
            EVT_C_GET: self._guarded_generator(own.pop(EVT_C_GET)),
            EVT_C_MOVE: self._guarded_generator(own.pop(EVT_C_MOVE), _NOWHERE),
            **{kind: self._guarded(handler) for kind, handler, *_ in self._steps.handlers},
            **{kind: self._guarded(handler) for kind, handler, *_ in self._commitment.handlers(self._outbox)},
        }
        return [
            *own.items(),
            *guarded.items(),
            (EVT_ACCESS, self._decide),
            (EVT_USER_ID, self._identify),
            (EVT_CONN_CLOSE, self._closed),
            (EVT_REJECTED, self._rejected),
        ]

    def _decide(self, event: Any) -> Any:
        return self.settings.access.decide(event)

    def _identify(self, event: Any) -> Any:
        return self.settings.identify(event)

    def _is_denied(self, event: Any) -> bool:
        if self.settings.access.allows(event):
            return False
        service = service_of(event)
        _log.warning("! %r may not use the service %r: not authorized", event.source_ae_title, service)
        if self._audit is not None:
            self._audit.denied(event, service)
        return True

    def _guarded(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def guard(event: Any) -> Any:
            return (_NOT_AUTHORIZED, None) if self._is_denied(event) else handler(event)

        return guard

    def _guarded_generator(self, handler: Callable[[Any], Iterator[Any]], *first: Any) -> Callable[[Any], Any]:
        """Guard a handler that yields; a refusal comes after what such a handler has to yield first."""

        def guard(event: Any) -> Iterator[Any]:
            if self._is_denied(event):
                yield from first
                yield _NOT_AUTHORIZED, None
            else:
                yield from handler(event)

        return guard

    def _refusal(self, event: Any) -> int | None:
        """Return the status that an object is refused with before it has come."""
        if self._is_denied(event):
            return _NOT_AUTHORIZED
        settings = self.settings
        try:
            is_full = self.room.is_full(settings.maximum_bytes, settings.minimum_free_bytes)
        except (OSError, SQLAlchemyError) as error:
            _log.error("! it cannot be known whether there is room: %s", type(error).__name__)
            return _OUT_OF_RESOURCES
        return _OUT_OF_RESOURCES if is_full else None

    def _queried(self, handler: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
        """Let worklist queries go to the worklist, and write down how each query ends."""

        def find(event: Any) -> Iterator[Any]:
            is_worklist = event.context.abstract_syntax == ModalityWorklistInformationFind
            status: int | None = None
            try:
                for answer in (self.worklist.find if is_worklist else handler)(event):
                    if answer[0] not in _PENDING:
                        status = answer[0]
                    yield answer
                if status is None:
                    status = int(Status.SUCCESS)
            finally:
                if self._audit is not None:
                    self._audit.queried(event, int(Status.CANCEL) if status is None else status)

        return find

    # --- what the archive tells ---------------------------------------------------------------------------------------

    def stored(self, event: Any, rows: Mapping[Level, Mapping[str, Any]], status: int) -> None:
        """Take note of an object that has come, and of its answer."""
        study = rows[Level.STUDY]["StudyInstanceUID"]
        if status == Status.SUCCESS:
            self.room.note(int(rows[Level.IMAGE]["size"]))
            self._availability.stored(event.assoc, study, self._outbox)
        if self._audit is not None:
            patient = rows[Level.PATIENT]
            self._audit.stored(
                event, Study(study, patient.get("PatientID") or "", patient.get("PatientName") or ""), status
            )

    def asked(self, event: Any, found: Sequence[Any]) -> None:
        """Take note of objects that are about to be sent."""
        audit = self._audit
        if audit is None:
            return
        holdings: dict[str, Counter[str]] = defaultdict(Counter)
        for one in found:
            holdings[one.study_instance_uid][one.sop_class_uid] += 1
        destination = str(event.move_destination).strip() if event.event is EVT_C_MOVE else None
        fetch = audit.fetching(event, {self._study(uid): counts for uid, counts in holdings.items()}, destination)
        when_answered(event, lambda response: audit.fetched(fetch, response.Status, _numbers(response)))

    def _study(self, uid: str) -> Study:
        asked = (
            select(_PATIENTS.c.PatientID, _PATIENTS.c.PatientName)
            .join(_STUDIES, _STUDIES.c[PARENTS[Level.STUDY]] == _PATIENTS.c.id)
            .where(_STUDIES.c.StudyInstanceUID == uid)
        )
        with self.archive.engine.connect() as connection, connection.begin():
            patient = connection.execute(asked).first()
        return Study(uid) if patient is None else Study(uid, patient[0] or "", patient[1] or "")

    def _closed(self, event: Any) -> None:
        try:
            self._availability.ended(event.assoc, self._outbox)
        except SQLAlchemyError as error:
            _log.error("! a notification of availability is lost: %s", type(error).__name__)
        if self._audit is not None:
            self._audit.ended(event.assoc)

    def _rejected(self, event: Any) -> None:
        if self._audit is not None:
            association = event.assoc
            self._audit.refused(str(association.peer_address[0]), association.peer.ae_title.strip())


def _numbers(response: Any) -> str:
    """Say how the sub-operations of a retrieval have ended."""
    return ", ".join(
        f"{getattr(response, f'NumberOf{name}Suboperations') or 0} {name.lower()}"
        for name in ("Completed", "Failed", "Warning")
    )


class _GuardedSink(Sink):
    """A sink that may refuse an object before it comes."""

    def __init__(self, sink: Sink, refusal: Callable[[Any], int | None]) -> None:
        self._sink, self._refusal = sink, refusal

    def open(self, event: Any) -> Receiving:
        status = self._refusal(event)
        if status is not None:
            raise Refused(status)
        return self._sink.open(event)
