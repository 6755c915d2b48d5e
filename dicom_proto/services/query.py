"""Queries (PS3.4 C.4.1, K.4.1, Q.4 and others; PS3.7 9.1.2): C-FIND.

May change.
"""

from functools import partial
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import CFindRQ, Priority
from dicom_proto.encoding.datasets import character_set_of
from dicom_proto.handlers.kinds import EVT_C_FIND
from dicom_proto.programs.effects import END, Drain, Program
from dicom_proto.programs.gathering import Ready, gathering
from dicom_proto.programs.invoking import Invoking
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import CANCELLED, Answer, Performing, as_pair
from dicom_proto.status import Category

__all__ = ["find_scp", "find_scu"]

_SUCCESS: Final = Answer(0x0000)
HANDLER_FAILED: Final = 0xC311
_NOT_ENCODED: Final = Answer(0xC312)


def find_scu(
    peer: Peer, identifier: Dataset, query_model: str, *, message_id: int | None = None, priority: int = Priority.LOW
) -> Invoking:
    """Send a query; the replies, one Pending for each match, are asked for with ``next_reply``.

    Raises
    ------
    LocalProtocolError
        If no presentation context for the query model was accepted, or the identifier cannot be encoded.
    """
    context, encoded = peer.encode(identifier, query_model)
    request = CFindRQ(message_id=message_id, affected_sop_class_uid=query_model, priority=priority)
    return Invoking(peer, request, context, encoded)


def find_scp(performing: Performing) -> Program[None]:
    """Answer with what the handler of ``EVT_C_FIND`` yields: ``(status, identifier)`` for each match.

    A Pending status goes on; any other, or the end of the handler, which is Success, is final. The identifier is a
    Dataset or its encoded bytes; the text of a Dataset goes in the character set of the request where that has all of
    it, otherwise in the Dataset's own (PS3.4 C.4.1.1.3.2), and if neither has it the answer is C312H. Each match is
    encoded before the handler is asked for the next one, and it may be asked for some before the first of them is sent.
    A cancelled query ends with FE00H before the handler is asked again, or when the handler ends.
    """
    data = yield from performing.receive_data()
    wanted = character_set_of(data, performing.context.transfer_syntax)
    matches = yield from performing.call_generator(EVT_C_FIND, data, failed=HANDLER_FAILED)
    if isinstance(matches, Answer):
        performing.respond(matches)
        return
    responses = gathering(matches, partial(_response, performing, wanted))
    while not performing.is_cancelled:
        ready = yield from performing.gather(EVT_C_FIND, responses, failed=HANDLER_FAILED)
        if (yield from _respond(performing, ready)):
            return
    performing.respond(CANCELLED)


def _respond(performing: Performing, ready: list[tuple[Answer, bytes | None]]) -> Program[bool]:
    """Send responses, none but a final one after a cancel; return whether one was final."""
    for answer, identifier in ready:
        is_final = answer.category != Category.PENDING
        if is_final or not performing.is_cancelled:
            performing.respond(answer, identifier)
        if is_final:
            return True
        yield Drain()
    return False


def _response(performing: Performing, wanted: tuple[str, ...], item: Any) -> Ready:
    """Make a response of what a handler has yielded: an answer and the encoded identifier."""
    if item is END:
        return Ready((CANCELLED if performing.is_cancelled else _SUCCESS, None), is_last=True)
    status, identifier = as_pair(item)
    answer = performing.read_status(status)
    if answer.category != Category.PENDING:
        return Ready((answer, None), is_last=True)
    encoded = performing.encode(identifier, wanted)
    if encoded is None:
        return Ready((_NOT_ENCODED, None), is_last=True)
    return Ready((answer, encoded), len(encoded))
