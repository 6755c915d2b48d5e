"""Retrieval on the same association (PS3.4 C.4.3 and others; PS3.7 9.1.3): C-GET."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from dicom_proto.datasets import encode
from dicom_proto.dimse.messages import CGetRQ, Priority
from dicom_proto.services.effects import Program
from dicom_proto.services.handlers import EVT_C_GET
from dicom_proto.services.invoking import Invoking, Reply
from dicom_proto.services.peer import Peer
from dicom_proto.services.performing import Answer, Performing
from dicom_proto.services.store import StoredObject, store_object_scu
from dicom_proto.services.suboperations import Statuses, perform_sub_operations, priority_of
from dicom_proto.upper_layer.negotiation import AcceptedContext

__all__ = ["get_scp", "get_scu"]

_STATUSES: Final = Statuses(raised=0xC411, no_count=0xC413, too_many=0xC416)


def get_scu(
    peer: Peer, identifier: Dataset, query_model: str, *, message_id: int | None = None, priority: int = Priority.LOW
) -> Invoking:
    """Ask the peer to send objects on this association; the replies are asked for with ``next_reply``.

    The objects come as C-STORE requests of the peer, which are performed like any other, and need contexts on which
    this side is the SCP (PS3.7 D.3.3.4).

    Raises
    ------
    LocalProtocolError
        If no presentation context for the query model was accepted, or the identifier cannot be encoded.
    """
    context = peer.context(query_model)
    request = CGetRQ(message_id=message_id, affected_sop_class_uid=query_model, priority=priority)
    return Invoking(peer, request, context, encode(identifier, context.transfer_syntax))


def get_scp(performing: Performing) -> Program[None]:
    """Send what the handler of ``EVT_C_GET`` yields to whoever asks; see :func:`perform_sub_operations`."""
    data = yield from performing.receive_data()
    items = yield from performing.call_generator(EVT_C_GET, data, failed=_STATUSES.raised)
    if isinstance(items, Answer):
        performing.respond(items)
        return

    def store(stored: StoredObject) -> Program[Reply]:
        contexts = _contexts(performing.peer, stored.sop_class_uid)
        return store_object_scu(performing.peer, stored, contexts=contexts, priority=priority_of(performing.request))

    yield from perform_sub_operations(performing, EVT_C_GET, items, store, _STATUSES)


def _contexts(peer: Peer, sop_class_uid: str) -> Iterator[AcceptedContext]:
    """Return the contexts of a SOP class on which objects can be sent to the peer.

    A requestor has to propose to be the SCP (PS3.4 C.5.3). Many do not know, and propose no roles at all for the SOP
    classes of what they ask for: they can only mean that.
    """
    connection = peer.connection
    if connection.agreement is not None and sop_class_uid not in connection.agreement.roles:
        return (context for context in connection.contexts.values() if context.abstract_syntax == sop_class_uid)
    return peer.contexts(sop_class_uid)
