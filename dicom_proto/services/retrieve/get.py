"""Retrieval on the same association (PS3.4 C.4.3 and others; PS3.7 9.1.3): C-GET.

May change.
"""

from collections.abc import Iterator
from typing import Final

from attrs import evolve
from pydicom.dataset import Dataset

from dicom_proto.dimse.messages import CGetRQ, Priority
from dicom_proto.handlers.kinds import EVT_C_GET
from dicom_proto.programs.effects import Call, Program
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.services.retrieve.suboperations import Statuses, perform_sub_operations, priority_of
from dicom_proto.services.storage.sending import fit_object, store_object_scu
from dicom_proto.services.storage.store import StoredObject
from dicom_proto.sop_class import CompositeInstanceRetrieveWithoutBulkDataGet
from dicom_proto.upper_layer.negotiation import AcceptedContext

__all__ = ["get_scp", "get_scu", "without_bulk_data"]

_STATUSES: Final = Statuses(raised=0xC411, no_count=0xC413, too_many=0xC416)

# What an instance is sent without (PS3.4 Table Z.1-1), at its top level: what lies deeper, as an icon, is kept.
_BULK_DATA: Final = frozenset(
    {
        0x00287FE0,  # Pixel Data Provider URL
        0x00420011,  # Encapsulated Document
        0x56000020,  # Spectroscopy Data
        0x7FE00008,  # Float Pixel Data
        0x7FE00009,  # Double Float Pixel Data
        0x7FE00010,  # Pixel Data
    }
)
_REPEATING_BULK_DATA: Final = frozenset({0x5000200C, 0x50003000, 0x60003000})  # Audio Sample, Curve, Overlay Data
_REPEATING: Final = 0xFF01FFFF  # what the even groups of a repeating one have in common (PS3.5 7.6)
_WAVEFORM_SEQUENCE: Final = 0x54000100
_WAVEFORM_DATA: Final = 0x54001010


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
    context, encoded = peer.encode(identifier, query_model)
    request = CGetRQ(message_id=message_id, affected_sop_class_uid=query_model, priority=priority)
    return Invoking(peer, request, context, encoded)


def get_scp(performing: Performing) -> Program[None]:
    """Send what the handler of ``EVT_C_GET`` yields to whoever asks; see :func:`perform_sub_operations`.

    To whom asks for Composite Instance Retrieve Without Bulk Data it is sent without.
    """
    data = yield from performing.receive_data()
    items = yield from performing.call_generator(EVT_C_GET, data, failed=_STATUSES.raised)
    if isinstance(items, Answer):
        performing.respond(items)
        return

    peer, priority = performing.peer, priority_of(performing.request)
    is_bulkless = performing.context.abstract_syntax == CompositeInstanceRetrieveWithoutBulkDataGet

    def fit(stored: StoredObject) -> Program[StoredObject]:
        if is_bulkless:
            stored = yield Call(without_bulk_data, (stored,))
        # Without bulk data no Pixel Data is left that would have to be decompressed.
        contexts = _contexts(peer, stored.sop_class_uid)
        return (yield from fit_object(peer, stored, contexts=contexts, decompress=is_bulkless))

    def store(stored: StoredObject) -> Program[Reply]:
        contexts = _contexts(peer, stored.sop_class_uid)
        return store_object_scu(peer, stored, contexts=contexts, priority=priority)

    yield from perform_sub_operations(
        performing, EVT_C_GET, items, fit, [lambda handover: handover.send(store)], _STATUSES
    )


def without_bulk_data(stored: StoredObject) -> StoredObject:
    """Return an object without its pixel data and other attributes that may be large (PS3.4 Z.1.3).

    Encoded data is decoded for that; a Dataset of the caller stays as it is.

    Raises
    ------
    DataSetError, LocalProtocolError
        If it cannot be decoded.
    """
    dataset = stored.decode()
    kept = _without(dataset, set(filter(_is_bulk_data, dataset.keys())))
    if _WAVEFORM_SEQUENCE in kept:
        multiplex_groups = kept[_WAVEFORM_SEQUENCE].value
        kept.add_new(_WAVEFORM_SEQUENCE, "SQ", [_without(group, {_WAVEFORM_DATA}) for group in multiplex_groups])
    return evolve(stored, data=kept, look=None)


def _is_bulk_data(tag: int) -> bool:
    return tag in _BULK_DATA or tag & _REPEATING in _REPEATING_BULK_DATA


def _without(dataset: Dataset, tags: set[int]) -> Dataset:
    """Return a data set without some elements; the others are shared with the one that it was made of."""
    kept = dataset[:]
    for tag in tags & kept.keys():
        del kept[tag]
    return kept


def _contexts(peer: Peer, sop_class_uid: str) -> Iterator[AcceptedContext]:
    """Return the contexts of a SOP class on which objects can be sent to the peer.

    A requestor has to propose to be the SCP (PS3.4 C.5.3). Many do not know, and propose no roles at all for the SOP
    classes of what they ask for: they can only mean that.
    """
    connection = peer.connection
    if connection.agreement is not None and sop_class_uid not in connection.agreement.roles:
        return (context for context in connection.contexts.values() if context.abstract_syntax == sop_class_uid)
    return peer.contexts(sop_class_uid)
