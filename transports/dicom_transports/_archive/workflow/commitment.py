"""Storage commitment of an archive (PS3.4 Annex J): requests become letters, and reports are sent until they are taken.

May change.
"""

import logging
from collections.abc import Iterator, Mapping, MutableSet
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from sqlalchemy import Engine, select

from dicom_proto.errors import DicomProtoError
from dicom_proto.handlers.registry import Bound
from dicom_proto.services.management.attributes import Refused
from dicom_proto.services.management.commitment import (
    REPORTING_ROLE,
    CommitmentProvider,
    CommitmentRequest,
    Decision,
    Location,
    Reference,
    decide,
    report_commitment,
)
from dicom_proto.sop_class import StorageCommitmentPushModel
from dicom_proto.status import Status
from dicom_transports._archive.index.schema import TABLES
from dicom_transports._archive.keys import Level
from dicom_transports._archive.workflow.answering import when_answered
from dicom_transports._archive.workflow.outbox import Letter, Outbox
from dicom_transports._archive.workflow.tables import Exclusive
from dicom_transports._archive.workflow.telling import Telling, run_on

__all__ = ["COMMITMENT", "Commitment"]

_log = logging.getLogger("dicom_transports")

COMMITMENT: Final = "storage commitment report"
"""The kind of the letters."""

_MOST_WAITING: Final = 10_000  # reports for one requestor
_IN_ONE_QUERY: Final = 500
_INSTANCES: Final = TABLES[Level.IMAGE]


class Commitment:
    """The SCP of the Storage Commitment Push Model.

    An instance is committed to when it is in the index and its file is there, at the time of the report. That goes out
    on the association of the request as soon as that has been answered; if that has ended, on one that is requested
    from the destination with the requestor's AE title, again and again for two days.

    Parameters
    ----------
    engine : Engine
        The database.
    files : Path
        The directory that the paths of instances begin in.
    telling : Telling
        Who is told when the association of a request has ended.
    """

    def __init__(self, engine: Engine, files: Path, telling: Telling) -> None:
        self._engine, self._files, self._telling = engine, files, telling
        self._place = Location(retrieve_ae_title=telling.ae_title)
        self._exclusive = Exclusive(engine)
        self._asking: WeakValueDictionary[str, Any] = WeakValueDictionary()  # associations by Transaction UID
        self.outbox: Outbox | None = None

    def handlers(self, outbox: Outbox) -> list[Bound]:
        """Return what to bind: N-ACTION, whose letters go into that outbox."""
        self.outbox = outbox
        provider = CommitmentProvider(self._accept, _Used(outbox, self._exclusive))
        return provider.handlers(self._exclusive)

    def _accept(self, request: CommitmentRequest, event: Any) -> None:
        outbox, connection = self.outbox, self._exclusive.connection
        assert outbox is not None  # noqa: S101 - this is its handler
        if outbox.waiting(connection, event.source_ae_title) >= _MOST_WAITING:
            raise Refused(Status.RESOURCE_LIMITATION)
        subject = request.transaction_uid
        outbox.put(connection, COMMITMENT, subject, event.source_ae_title, [list(pair) for pair in request.references])
        self._asking[subject] = event.assoc
        when_answered(event, lambda _: outbox.wake(subject))

    def deliver(self, letter: Letter) -> None:
        """Send a report; raises as :func:`~dicom_transports._archive.workflow.telling.Telling.tell`."""
        references = [Reference(*pair) for pair in letter.body]
        request = CommitmentRequest(transaction_uid=letter.subject, references=dict.fromkeys(references, Location()))
        held = self._held(references)
        result = decide(request, lambda reference: self._decide(held, reference))
        association = self._asking.pop(letter.subject, None)
        if association is not None and association.is_established:
            try:
                run_on(association, lambda peer: report_commitment(peer, result))
            except DicomProtoError as error:
                _log.debug("= a commitment is not reported on the association of its request: %s", error)
            else:
                return
        self._telling.tell(
            letter.receiver,
            str(StorageCommitmentPushModel),
            lambda peer: report_commitment(peer, result),
            items=(REPORTING_ROLE,),
        )

    def _held(self, references: list[Reference]) -> dict[str, tuple[str, str]]:
        """Return SOP class and path of the instances that are in the index."""
        found: dict[str, tuple[str, str]] = {}
        with self._engine.connect() as connection, connection.begin():
            for at in range(0, len(references), _IN_ONE_QUERY):
                uids = [one.sop_instance_uid for one in references[at : at + _IN_ONE_QUERY]]
                asked = select(_INSTANCES.c.SOPInstanceUID, _INSTANCES.c.SOPClassUID, _INSTANCES.c.path).where(
                    _INSTANCES.c.SOPInstanceUID.in_(uids), _INSTANCES.c.is_leaving == 0
                )
                found |= {uid: (sop_class, path) for uid, sop_class, path in connection.execute(asked)}
        return found

    def _decide(self, held: Mapping[str, tuple[str, str]], reference: Reference) -> Decision:
        sop_class, path = held.get(reference.sop_instance_uid, ("", ""))
        if not path or not (self._files / path).is_file():
            return False
        return self._place if sop_class == reference.sop_class_uid else int(Status.CLASS_INSTANCE_CONFLICT)


class _Used(MutableSet[str]):
    """The Transaction UIDs that have come: the subjects of letters, inside the transaction of a handler."""

    def __init__(self, outbox: Outbox, exclusive: Exclusive) -> None:
        self._outbox, self._exclusive = outbox, exclusive

    def __contains__(self, uid: object) -> bool:
        return self._outbox.has(self._exclusive.connection, COMMITMENT, str(uid))

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def add(self, value: str) -> None:
        """Do nothing: the letter is there."""

    def discard(self, value: str) -> None:
        """Do nothing: a Transaction UID is never used again."""
