"""Objects that a handler takes piece by piece: ``for piece in event.chunks()``, sync or async.

A handler says so when it is bound: ``(evt.EVT_C_STORE, chunked(handler))``. It is called as soon as the request is
there, and the peer is not read from faster than the pieces are asked for.
"""

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import DataChunk
from dicom_proto.services.effects import Call, Program, Receive
from dicom_proto.services.handlers import EVT_C_STORE, Binding
from dicom_proto.services.performing import Answer, Performing
from dicom_proto.services.streams import Stream, at_once
from dicom_proto.status import Category

__all__ = ["Chunks", "chunked", "is_chunked", "store_chunked"]

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])
_log = logging.getLogger("dicom_proto.services")
_MARK: Final = "takes_chunks"


def chunked(handler: HandlerT) -> HandlerT:
    """Mark a handler of ``EVT_C_STORE`` as one that takes the data set in pieces, with ``event.chunks()``."""
    setattr(handler, _MARK, True)
    return handler


def is_chunked(handler: object) -> bool:
    """Tell whether a handler has been marked."""
    return getattr(handler, _MARK, False) is True


class Chunks(Stream[Buffer]):
    """The data set of a request, as it arrives: read-only views of what was received."""

    def __init__(self, performing: Performing) -> None:
        self._performing = performing
        self._is_over = not performing.has_data

    @property
    def is_over(self) -> bool:
        """Whether all of it has been asked for."""
        return self._is_over

    def next(self) -> Program[Buffer | None]:
        """Wait for the next piece; ``None`` after the last."""
        if self._is_over:
            return None
        chunk: DataChunk = yield Receive(self._performing.key)
        self._is_over = chunk.last
        return chunk.data

    def abandon(self) -> None:
        """Leave the rest to :func:`store_chunked`, which drops it."""


def store_chunked(performing: Performing, binding: Binding, *, failed: int) -> Program[Any]:
    """Call a handler that takes the data set in pieces; return its result when no more of it is to come.

    What the handler has left of the data set is dropped; but for a Failure, which may be answered at once, its end is
    waited for (PS3.7 9.1.1.2).
    """
    chunks = Chunks(performing)
    event = performing.event(EVT_C_STORE, None)
    iterate = performing.peer.association.iterate
    event.pieces = lambda: iterate(at_once(lambda: chunks))
    try:
        result = yield Call(binding.handler, (event, *binding.arguments))
    except Exception:
        if not performing.is_outstanding:
            raise
        _log.exception("the handler of %s raised: the answer is %04XH", EVT_C_STORE, failed)
        return Answer(failed)
    answer = performing.read_status(result)
    while answer.category != Category.FAILURE and not chunks.is_over:
        yield from chunks.next()
    return answer
