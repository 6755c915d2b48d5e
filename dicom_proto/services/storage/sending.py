"""C-STORE as SCU (PS3.4 Annex B, PS3.7 9.1.1): the choice of a presentation context for an object, and the request.

May change.
"""

from collections.abc import Iterable
from typing import cast

from attrs import evolve
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.messages import CStoreRQ, Priority
from dicom_proto.encoding.datasets import LongValueError
from dicom_proto.encoding.rules import EncodingRules
from dicom_proto.encoding.sources import Source
from dicom_proto.errors import NoContextError
from dicom_proto.programs.effects import Call, Program
from dicom_proto.programs.invoking import Invoking, Reply
from dicom_proto.programs.peer import Peer
from dicom_proto.services.storage.store import UNCOMPRESSED, Storable, StoredObject, named
from dicom_proto.upper_layer.negotiation import AcceptedContext

__all__ = [
    "ReadyStore",
    "choose_context",
    "fit_object",
    "needed_contexts",
    "no_context_for",
    "prepare_store",
    "store_object_scu",
]


def choose_context(
    stored: StoredObject, contexts: Iterable[AcceptedContext], *, decompress: bool = False
) -> AcceptedContext:
    """Choose the context on which an object is sent: one that takes it as it is, or one that it can be converted for.

    Parameters
    ----------
    stored : StoredObject
        The object.
    contexts : iterable of AcceptedContext
        Those of its SOP class that may be used.
    decompress : bool
        Whether it may be decompressed.

    Raises
    ------
    NoContextError
        If none will do; the message says what was accepted.
    """
    accepted = {context.transfer_syntax: context for context in reversed(tuple(contexts))}
    for transfer_syntax in stored.transfer_syntaxes(decompress=decompress):
        if transfer_syntax in accepted:
            return accepted[transfer_syntax]
    raise no_context_for(stored, accepted)


def no_context_for(stored: StoredObject, accepted: Iterable[str] = ()) -> NoContextError:
    """Return the error that says which object cannot be sent, what it is in, and in what the peer would take it."""
    others = sorted(accepted)
    own = "" if stored.transfer_syntax is None else f" in {named(stored.transfer_syntax)}"
    words = ", ".join(map(named, others)) or "none"
    hint = "; it could be decompressed" if stored.is_compressed and not set(others).isdisjoint(UNCOMPRESSED) else ""
    return NoContextError(
        f"no presentation context was accepted for {stored}{own}:"
        f" what the peer accepts for {named(stored.sop_class_uid)} is {words}{hint}"
    )


def needed_contexts(stored: StoredObject, *, decompress: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    """Return the contexts to propose for an object, each as abstract syntax and transfer syntaxes.

    There is one for the object as it is, and another to convert it for, unless it is compressed and has to stay so.
    """
    own, *others = stored.transfer_syntaxes(decompress=decompress)
    common = tuple(uid for uid in (ExplicitVRLittleEndian, ImplicitVRLittleEndian) if uid in others)
    return [(stored.sop_class_uid, uids) for uids in ((own,), common) if uids]


def fit_object(
    peer: Peer, value: Storable, *, contexts: Iterable[AcceptedContext] | None = None, decompress: bool = False
) -> Program[StoredObject]:
    """Return an object in the encoding in which it can be sent, converted aside: that may take its time.

    Parameters
    ----------
    peer : Peer
        Where to.
    value : StoredObject, Dataset, buffer or tuple
        What; see :meth:`StoredObject.of`.
    contexts : iterable of AcceptedContext, optional
        The contexts to choose from; by default all of its SOP class on which this side is the SCU.
    decompress : bool
        Whether it may be decompressed.

    Raises
    ------
    LocalProtocolError
        If it cannot be sent: there is no context, it cannot be converted.
    """
    return (yield from _fit(peer, value, contexts, decompress=decompress))[0]


def _fit(
    peer: Peer, value: Storable, contexts: Iterable[AcceptedContext] | None, *, decompress: bool
) -> Program[tuple[StoredObject, AcceptedContext]]:
    stored = StoredObject.of(value)
    usable = tuple(peer.contexts(stored.sop_class_uid) if contexts is None else contexts)
    context = choose_context(stored, usable, decompress=decompress)
    if stored.is_encoded_in(context.transfer_syntax):
        return stored, context
    context, data = yield Call(_encode_for, (stored, context, usable, peer.rules))
    return evolve(stored, transfer_syntax=context.transfer_syntax, data=data, look=None), context


def _encode_for(
    stored: StoredObject, context: AcceptedContext, others: tuple[AcceptedContext, ...], rules: EncodingRules
) -> tuple[AcceptedContext, Buffer | Source]:
    """Encode an object for a context, or for another one that has room for a value which is too long for the first."""
    if not stored.is_encoded_in(context.transfer_syntax):
        stored = stored.landed()
    roomy = next((other for other in others if other.transfer_syntax == ImplicitVRLittleEndian), None)
    if roomy is None or roomy == context:
        return context, stored.encode_or_convert(context.transfer_syntax, rules)
    try:
        return context, stored.encode_or_convert(context.transfer_syntax, evolve(rules, long_values="refuse"))
    except LongValueError:
        return roomy, stored.encode_or_convert(roomy.transfer_syntax, rules)


class ReadyStore:
    """A C-STORE that has only to be sent: its object is encoded for a context that was accepted.

    Attributes
    ----------
    data : buffer or Source
        The data set, kept as a view until it has been sent; or read while it is sent: what :meth:`send` returns has to
        be fed then.
    """

    __slots__ = ("_context", "_request", "data")

    def __init__(self, request: CStoreRQ, context: AcceptedContext, data: Buffer | Source) -> None:
        self._request = request
        self._context = context
        self.data = data

    def send(self, peer: Peer) -> Invoking:
        """Send it to the peer that it was made ready for.

        Raises
        ------
        LocalProtocolError
            If it cannot be sent: the window is full, the UIDs may not be sent.
        """
        return Invoking(peer, self._request, self._context, self.data)


def prepare_store(
    peer: Peer,
    value: Storable,
    *,
    contexts: Iterable[AcceptedContext] | None = None,
    decompress: bool = False,
    priority: int = Priority.LOW,
) -> Program[ReadyStore]:
    """Make a C-STORE ready while others are under way; arguments and errors as for :func:`fit_object`.

    Parameters
    ----------
    priority : int
        That of the request.
    """
    stored, context = yield from _fit(peer, value, contexts, decompress=decompress)
    request = CStoreRQ(
        affected_sop_class_uid=stored.sop_class_uid,
        priority=priority,
        affected_sop_instance_uid=stored.sop_instance_uid,
    )
    return ReadyStore(request, context, cast(Buffer | Source, stored.data))


def store_object_scu(
    peer: Peer,
    value: Storable,
    *,
    contexts: Iterable[AcceptedContext] | None = None,
    message_id: int | None = None,
    priority: int = Priority.LOW,
    originator_ae_title: str | None = None,
    originator_message_id: int | None = None,
) -> Program[Reply]:
    """Store one object at the peer: choose its context, encode it, send it, and wait for the response.

    Parameters
    ----------
    peer : Peer
        Where to.
    value : StoredObject, Dataset, buffer or tuple
        What; see :meth:`StoredObject.of`. An encoded data set is kept as a view until it has been sent; a source is
        read meanwhile.
    contexts : iterable of AcceptedContext, optional
        The contexts to choose from; by default all of its SOP class on which this side is the SCU.
    message_id : int, optional
        The message ID; ``None`` to be given one.
    priority : int
        The priority.
    originator_ae_title, originator_message_id
        Whose C-MOVE asked for it, and which (PS3.7 9.1.1.1.6).

    Raises
    ------
    LocalProtocolError
        If it cannot be stored: no context, not encodable, UIDs that may not be sent.
    """
    stored = StoredObject.of(value)
    usable = tuple(peer.contexts(stored.sop_class_uid) if contexts is None else contexts)
    if isinstance(stored.data, Source):  # to read it takes its time
        stored = yield from fit_object(peer, stored, contexts=usable)
    context, data = _encode_for(stored, choose_context(stored, usable), usable, peer.rules)
    request = CStoreRQ(
        message_id=message_id,
        affected_sop_class_uid=stored.sop_class_uid,
        priority=priority,
        affected_sop_instance_uid=stored.sop_instance_uid,
        move_originator_application_entity_title=originator_ae_title,
        move_originator_message_id=originator_message_id,
    )
    invoking = ReadyStore(request, context, data).send(peer)
    try:
        yield from invoking.feed()
        return (yield from invoking.reply())
    finally:
        invoking.close()
