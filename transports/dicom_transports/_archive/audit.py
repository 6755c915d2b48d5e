"""The audit trail of an archive: who has stored, asked for or fetched which study, with what result (PS3.15 A.5).

May change.

Each line of the file is one message: the elements of the audit message schema of PS3.15 A.5.1 as JSON, with codes of
its Table A.5.1-1 and CID 400. It is the one place where identifiers of patients and studies stand, so the file can be
read by its owner alone.

A transfer has two messages, as the standard has it: one when the first object of a study arrives on an association or
leaves, which is on disk before that object is answered, and one with the numbers when the association goes on to
something else or ends. So a process that dies leaves a transfer that has begun and not ended.
"""

import json
import logging
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

__all__ = ["AuditTrail", "Fetch", "Outcome", "Study", "outcome_of"]

_log = logging.getLogger("dicom_transports")

_MODE: Final = 0o600
_MOST_OPEN: Final = 64  # transfers of an association that have begun and not ended

JSON: TypeAlias = dict[str, Any]


class Outcome(IntEnum):
    """Values of EventOutcomeIndicator (PS3.15 A.5.1)."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


def outcome_of(status: int) -> Outcome:
    """Return what a final status comes to (PS3.7 Annex C): warnings and cancellations are minor failures."""
    if status == 0x0000:
        return Outcome.SUCCESS
    is_warning = status >> 12 == 0xB or status in {0x0001, 0x0107, 0x0116, 0xFE00}
    return Outcome.MINOR_FAILURE if is_warning else Outcome.SERIOUS_FAILURE


@frozen
class Study:
    """Which study something was done with, and of whom.

    Parameters
    ----------
    instance_uid : str
        Study Instance UID.
    patient_id, patient_name : str
        Of its patient.
    """

    instance_uid: str
    patient_id: str = ""
    patient_name: str = ""


def _code(value: str, meaning: str, system: str = "DCM") -> JSON:
    return {"csd-code": value, "codeSystemName": system, "originalText": meaning}


# PS3.15 Table A.5.1-1, PS3.16 CID 400 to 404.
_ACTIVITY: Final = _code("110100", "Application Activity")
_BEGINNING: Final = _code("110102", "Begin Transferring DICOM Instances")
_TRANSFERRED: Final = _code("110104", "DICOM Instances Transferred")
_DELETED: Final = _code("110105", "DICOM Study Deleted")
_QUERY: Final = _code("110112", "Query")
_ALERT: Final = _code("110113", "Security Alert")
_START: Final = _code("110120", "Application Start")
_STOP: Final = _code("110121", "Application Stop")
_NODE_AUTHENTICATION: Final = _code("110126", "Node Authentication")
_RESTRICTED: Final = _code("110132", "Use of Restricted Function")
_APPLICATION: Final = _code("110150", "Application")
_DESTINATION: Final = _code("110152", "Destination Role ID")
_SOURCE: Final = _code("110153", "Source Role ID")
_STUDY: Final = _code("110180", "Study Instance UID")
_SOP_CLASS: Final = _code("110181", "SOP Class UID")
_PATIENT: Final = _code("2", "Patient Number", "RFC-3881")

_IP_ADDRESS: Final = "2"  # NetworkAccessPointTypeCode


@frozen
class _Party:
    """Who takes part: an application entity, and from where if that is known."""

    ae_title: str
    address: str = ""

    def participant(self, role: JSON, *, is_requestor: bool = False) -> JSON:
        made: JSON = {
            "UserID": self.ae_title,
            "AlternativeUserID": f"AETITLES={self.ae_title}",
            "UserIsRequestor": is_requestor,
            "RoleIDCode": role,
        }
        if self.address:
            made |= {"NetworkAccessPointID": self.address, "NetworkAccessPointTypeCode": _IP_ADDRESS}
        return made


@frozen
class Fetch:
    """Objects that are being sent for a request: who takes part, and how many of which studies and SOP classes."""

    participants: list[JSON]
    holdings: Mapping[Study, Mapping[str, int]]


@define
class _Transfer:
    """Objects of one study that come on one association."""

    study: Study
    participants: list[JSON]
    classes: dict[str, list[int]] = field(factory=dict)  # SOP class: numbers of objects that were done, and that failed
    worst: Outcome = Outcome.SUCCESS

    def count(self, sop_class_uid: str, status: int) -> None:
        outcome = outcome_of(status)
        self.classes.setdefault(sop_class_uid, [0, 0])[outcome >= Outcome.SERIOUS_FAILURE] += 1
        self.worst = max(self.worst, outcome)

    def objects(self) -> list[JSON]:
        classes = [
            {"UID": uid, "NumberOfInstances": done, **({"NumberOfFailures": failed} if failed else {})}
            for uid, (done, failed) in self.classes.items()
        ]
        return _objects(self.study, classes)


def _objects(study: Study, classes: Iterable[JSON] = ()) -> list[JSON]:
    described: JSON = {
        "ParticipantObjectTypeCode": 2,  # a system object
        "ParticipantObjectTypeCodeRole": 3,  # a report
        "ParticipantObjectIDTypeCode": _STUDY,
        "ParticipantObjectID": study.instance_uid,
    }
    found = list(classes)
    if found:
        described["ParticipantObjectDescription"] = {"SOPClass": found}
    patient: JSON = {
        "ParticipantObjectTypeCode": 1,  # a person
        "ParticipantObjectTypeCodeRole": 1,  # a patient
        "ParticipantObjectIDTypeCode": _PATIENT,
        "ParticipantObjectID": study.patient_id,
        "ParticipantObjectName": study.patient_name,
    }
    return [described, patient]


class AuditTrail:
    """Writes the messages, each on disk before the call returns. Its methods may be called in several threads.

    Several processes may write into one file. A message that cannot be written is a line of the log, and nothing else:
    what it is about has happened.

    Parameters
    ----------
    path : path
        The file; new messages go behind those that it has.
    ae_title : str
        The AE title of the archive, which is the source of the messages.

    Attributes
    ----------
    failures : int
        How many messages could not be written.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], ae_title: str) -> None:
        self.path = Path(path)
        self.failures = 0
        self._archive = _Party(ae_title)
        self._lock = Lock()  # over everything below
        self._transfers: dict[Any, dict[str, _Transfer]] = {}  # what comes, by association and study
        self._file = _open(self.path)
        self._is_closed = False

    # --- the file -----------------------------------------------------------------------------------------------------

    def reopen(self) -> None:
        """Open the file of that name again, as one has to who has renamed it. If that fails, the log says so."""
        try:
            new = _open(self.path)
        except OSError as error:
            _log.error("! the audit trail cannot be opened again, and goes on where it was: %s", error)
            return
        with self._lock:
            old, self._file = self._file, new
        os.close(old)

    def close(self) -> None:
        """Write what transfers have come to that have not ended, and close the file; again it does nothing."""
        self._end_all()
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._file)

    def _write(self, event: JSON, outcome: int, participants: list[JSON], objects: Iterable[JSON] = ()) -> None:
        """Append one message; the lock is held."""
        message = {
            "EventIdentification": {
                **event,
                "EventDateTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "EventOutcomeIndicator": int(outcome),
            },
            "ActiveParticipant": participants,
            "AuditSourceIdentification": {"AuditSourceID": self._archive.ae_title},
            "ParticipantObjectIdentification": list(objects),
        }
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            if self._is_closed:
                raise OSError("it is closed")
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(f"{written} of {len(line)} bytes were written")
            os.fsync(self._file)
        except OSError as error:
            self.failures += 1
            _log.error("! a message of the audit trail is lost: %s", error)

    # --- what happens -------------------------------------------------------------------------------------------------

    def started(self) -> None:
        """Tell that the archive has started."""
        self._activity(_START)

    def stopped(self) -> None:
        """Tell that the archive stops, and before that what transfers have come to that have not ended."""
        self._end_all()
        self._activity(_STOP)

    def _activity(self, kind: JSON) -> None:
        with self._lock:
            event = {"EventID": _ACTIVITY, "EventActionCode": "E", "EventTypeCode": kind}
            self._write(event, Outcome.SUCCESS, [self._archive.participant(_APPLICATION)])

    def refused(self, address: str, ae_title: str) -> None:
        """Tell that an association was rejected.

        Parameters
        ----------
        address : str
            Where the request came from.
        ae_title : str
            The calling AE title, which may be anything.
        """
        with self._lock:
            event = {"EventID": _ALERT, "EventActionCode": "E", "EventTypeCode": _NODE_AUTHENTICATION}
            caller = _Party(ae_title, address).participant(_APPLICATION, is_requestor=True)
            self._write(event, Outcome.SERIOUS_FAILURE, [caller, self._archive.participant(_APPLICATION)])

    def denied(self, event: Any, service: str) -> None:
        """Tell that somebody has asked for a service that they may not use."""
        with self._lock:
            alert = {"EventID": _ALERT, "EventActionCode": "E", "EventTypeCode": _RESTRICTED}
            caller = _caller(event).participant(_APPLICATION, is_requestor=True)
            self._write(
                alert | {"EventOutcomeDescription": f"{service}: not authorized"},
                Outcome.SERIOUS_FAILURE,
                [caller, self._archive.participant(_APPLICATION)],
            )

    def queried(self, event: Any, status: int) -> None:
        """Tell of a C-FIND request, and how it ended.

        Parameters
        ----------
        event : RequestEvent
            The request; its identifier stands in the message as it was received.
        status : int
            The final status.
        """
        data = event.request.Identifier
        asked = {
            "ParticipantObjectTypeCode": 2,
            "ParticipantObjectTypeCodeRole": 24,  # a query
            "ParticipantObjectIDTypeCode": _SOP_CLASS,
            "ParticipantObjectID": str(event.context.abstract_syntax),
            "ParticipantObjectQuery": b64encode(data.getvalue() if data is not None else b"").decode(),
            "ParticipantObjectDetail": [{"type": "TransferSyntax", "value": str(event.context.transfer_syntax)}],
        }
        caller = _caller(event).participant(_SOURCE, is_requestor=True)
        with self._lock:
            self._write(
                {"EventID": _QUERY, "EventActionCode": "E"},
                outcome_of(status),
                [caller, self._archive.participant(_DESTINATION)],
                [asked],
            )

    def stored(self, event: Any, study: Study, status: int) -> None:
        """Tell that an object was received with a C-STORE request, and what that is answered with.

        Parameters
        ----------
        event : RequestEvent
            The request.
        study : Study
            Of the object.
        status : int
            The answer.
        """
        with self._lock:
            transfers = self._transfers.setdefault(event.assoc, {})
            transfer = transfers.get(study.instance_uid)
            if transfer is None:
                if len(transfers) >= _MOST_OPEN:
                    self._end(transfers.pop(next(iter(transfers))))
                caller = _caller(event).participant(_SOURCE, is_requestor=True)
                transfer = _Transfer(study, [caller, self._archive.participant(_DESTINATION)])
                transfers[study.instance_uid] = transfer
                begin = {"EventID": _BEGINNING, "EventActionCode": "E"}
                self._write(begin, Outcome.SUCCESS, transfer.participants, _objects(study))
            transfer.count(str(event.request.AffectedSOPClassUID), status)

    def fetching(
        self, event: Any, holdings: Mapping[Study, Mapping[str, int]], destination: str | None = None
    ) -> "Fetch":
        """Tell that objects are about to be sent for a C-GET or C-MOVE request.

        Parameters
        ----------
        event : RequestEvent
            The request.
        holdings : mapping of Study to mapping of str to int
            How many objects of which studies and SOP classes.
        destination : str, optional
            The AE title that they are sent to, if that is not who asks.

        Returns
        -------
        Fetch
            What :meth:`fetched` takes.
        """
        participants = [self._archive.participant(_SOURCE)]
        if destination is None:
            participants.append(_caller(event).participant(_DESTINATION, is_requestor=True))
        else:
            participants.append(_Party(destination).participant(_DESTINATION))
            participants.append(_caller(event).participant(_APPLICATION, is_requestor=True))
        with self._lock:
            for study in holdings:
                begin = {"EventID": _BEGINNING, "EventActionCode": "E"}
                self._write(begin, Outcome.SUCCESS, participants, _objects(study))
        return Fetch(participants, holdings)

    def fetched(self, fetch: "Fetch", status: int, description: str) -> None:
        """Tell what has come of it.

        Parameters
        ----------
        fetch : Fetch
            What :meth:`fetching` has returned.
        status : int
            The final status of the request.
        description : str
            How many objects were sent, and how many were not, in words.
        """
        event = {"EventID": _TRANSFERRED, "EventActionCode": "R", "EventOutcomeDescription": description}
        with self._lock:
            for study, classes in fetch.holdings.items():
                numbers = [{"UID": uid, "NumberOfInstances": count} for uid, count in classes.items()]
                self._write(event, outcome_of(status), fetch.participants, _objects(study, numbers))

    def deleted(self, study: Study, by: str) -> None:
        """Tell that a study was deleted, and by which user of the machine."""
        with self._lock:
            who = _Party(by).participant(_APPLICATION, is_requestor=True)
            self._write({"EventID": _DELETED, "EventActionCode": "D"}, Outcome.SUCCESS, [who], _objects(study))

    def ended(self, association: Any) -> None:
        """Tell what the transfers of an association have come to: it has ended."""
        with self._lock:
            for transfer in self._transfers.pop(association, {}).values():
                self._end(transfer)

    def _end_all(self) -> None:
        for association in tuple(self._transfers):
            self.ended(association)

    def _end(self, transfer: _Transfer) -> None:
        event = {"EventID": _TRANSFERRED, "EventActionCode": "C"}
        self._write(event, transfer.worst, transfer.participants, transfer.objects())


def _open(path: Path) -> int:
    """Open a file for appending; what a process has left behind that died while it wrote is a line of its own."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        os.write(descriptor, b"\n")
    return descriptor


def _caller(event: Any) -> _Party:
    return _Party(event.source_ae_title, str(event.assoc.peer_address[0]))
