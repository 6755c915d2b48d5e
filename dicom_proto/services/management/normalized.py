"""The DIMSE-N services (PS3.7 10.1, Chapter 10): N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE and N-DELETE.

May change.

All of them have one request and one response, so one program in each role does for all; what they mean is up to the
service classes.
"""

import logging
from collections.abc import Mapping
from typing import Final, cast

from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import (
    DataSet,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
)
from dicom_proto.encoding.datasets import character_set_of
from dicom_proto.handlers.kinds import (
    EVT_N_ACTION,
    EVT_N_CREATE,
    EVT_N_DELETE,
    EVT_N_EVENT_REPORT,
    EVT_N_GET,
    EVT_N_SET,
    EventKind,
)
from dicom_proto.programs.effects import Program
from dicom_proto.programs.invoking import Reply, invoke
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import PROCESSING_FAILURE, Answer, Performing, as_pair
from dicom_proto.status import Category

__all__ = ["EVENTS", "normalized_scp", "normalized_scu"]

_log = logging.getLogger("dicom_proto.services")

_FAILURE: Final = Answer(PROCESSING_FAILURE)
_PERFORMED: Final = (Category.SUCCESS, Category.WARNING)
_CREATED_UID: Final = "affected_sop_instance_uid"

EVENTS: Final[Mapping[type[Request], EventKind]] = {
    NEventReportRQ: EVT_N_EVENT_REPORT,
    NGetRQ: EVT_N_GET,
    NSetRQ: EVT_N_SET,
    NActionRQ: EVT_N_ACTION,
    NCreateRQ: EVT_N_CREATE,
    NDeleteRQ: EVT_N_DELETE,
}


def normalized_scu(
    peer: Peer, request: Request, data_set: Dataset | None = None, *, abstract_syntax: str, as_scu: bool = True
) -> Program[Reply]:
    """Invoke a DIMSE-N operation, or send a notification, and wait for its response.

    Parameters
    ----------
    peer : Peer
        Who is asked.
    request : Request
        One of the six requests; a message ID that is ``None`` is given out here.
    data_set : Dataset, optional
        What goes with it. One without elements is not sent where the request does without.
    abstract_syntax : str
        Of the presentation context: the SOP class, or the meta SOP class that it is a member of (PS3.4 H.3.2).
    as_scu : bool
        False for what the SCP of a service sends: N-EVENT-REPORT. Where this side is the SCP on no context, it goes by
        one on which it is the SCU.

    Raises
    ------
    LocalProtocolError
        If no such context was accepted, or the data set cannot be encoded.
    """
    if not as_scu and not any(peer.contexts(abstract_syntax, as_scu=False)):
        as_scu = any(peer.contexts(abstract_syntax))
    if data_set is not None and (len(data_set) or request.data_set is DataSet.ALWAYS):
        return (yield from invoke(peer, request, *peer.encode(data_set, abstract_syntax, as_scu=as_scu)))
    return (yield from invoke(peer, request, peer.context(abstract_syntax, as_scu=as_scu)))


def normalized_scp(performing: Performing) -> Program[None]:
    """Answer with what the handler returns: ``(status, data set or None)``, for N-DELETE a status; 0110H if it raises.

    The UID of an instance that N-CREATE made without being told it is the Affected SOP Instance UID of the status or
    of the data set, or the latter's SOP Instance UID.
    """
    kind = EVENTS[type(performing.request)]
    data = yield from performing.receive_data()
    result = yield from performing.call(kind, data, failed=PROCESSING_FAILURE)
    status, data_set = as_pair(result)
    answer = performing.read_status(status)
    if isinstance(performing.request, NCreateRQ) and performing.request.affected_sop_instance_uid is None:
        answer = _with_created_uid(answer, data_set)
    encoded = None
    if isinstance(data_set, Dataset) and not len(data_set[0x00010000:]):  # without command elements it is empty
        data_set = None
    if data_set is not None:
        encoded = performing.encode(data_set, character_set_of(data, performing.context.transfer_syntax))
        if encoded is None and answer.category in _PERFORMED:
            answer = _FAILURE
    performing.respond(answer, encoded)


def _with_created_uid(answer: Answer, data_set: object) -> Answer:
    """Return an answer that names the SOP Instance that was created, which it has to (PS3.7 10.1.5.1.4)."""
    if answer.category not in _PERFORMED or answer.fields.get(_CREATED_UID):
        return answer
    keywords = ("AffectedSOPInstanceUID", "SOPInstanceUID") if isinstance(data_set, Dataset) else ()
    for keyword in keywords:
        uid = cast(Dataset, data_set).get(keyword, None)
        if uid:
            return Answer(answer.status, {**answer.fields, _CREATED_UID: str(uid)})
    _log.error("the handler of %s has to say which SOP Instance UID it gave: the answer is 0110H", EVT_N_CREATE)
    return _FAILURE
