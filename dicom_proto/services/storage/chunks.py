"""Objects that a handler takes piece by piece: ``for piece in event.chunks()``, sync or async.

May change.

A handler says so when it is bound: ``(evt.EVT_C_STORE, chunked(handler))``. It is called as soon as the request is
there, and the peer is not read from faster than the pieces are asked for.
"""

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from dicom_proto.buffers import Buffer
from dicom_proto.dimse.events import DataChunk
from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.kinds import EVT_C_STORE
from dicom_proto.handlers.registry import Binding
from dicom_proto.programs.effects import Call, Program, Receive
from dicom_proto.programs.performing import Answer, Performing
from dicom_proto.programs.streams import Stream, at_once
from dicom_proto.status import Category

__all__ = ["Chunks", "chunked", "is_chunked", "store_chunked"]

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])
_log = logging.getLogger("dicom_proto.services")
_MARK: Final = "takes_chunks"


def chunked(handler: HandlerT) -> HandlerT:
    """Mark a handler of ``EVT_C_STORE`` as one that takes the data set in pieces, with ``event.chunks()``.

    It marks the handler itself and returns it, and so may be a decorator, of methods too.
    """
    setattr(getattr(handler, "__func__", handler), _MARK, True)  # a bound method has no attributes of its own
    return handler


def is_chunked(handler: object) -> bool:
    """Tell whether a handler has been marked."""
    return getattr(handler, _MARK, False) is True


class Chunks(Stream[Buffer]):
    """The data set of a request, as it arrives: read-only views of what was received."""

    def __init__(self, performing: Performing) -> None:
        self._receive_head: Callable[[], Program[DataChunk]] | None = performing.receive_head
        self._receive_next = Receive(performing.inbox)
        self._is_over = False  # a C-STORE request always has a data set
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether all of it has been asked for."""
        return self._is_over

    def next(self) -> Program[Buffer | None]:
        """Wait for the next piece; ``None`` after the last.

        Raises
        ------
        LocalProtocolError
            If the handler has returned, and what it has left is being dropped.
        """
        if self._is_over:
            return None
        if self._is_closed:  # by now the message ID may stand for another operation
            raise LocalProtocolError("the handler of these chunks has returned: what it has left of them is dropped")
        return (yield from self._receive())

    def abandon(self) -> None:
        """Leave the rest to :func:`store_chunked`, which drops it."""

    def close(self) -> None:
        """Give out nothing more."""
        self._is_closed = True

    def drop(self) -> Program[None]:
        """Wait for the end of the data set, and drop what is left of it."""
        while not self._is_over:
            yield from self._receive()

    def _receive(self) -> Program[Buffer]:
        if self._receive_head is None:
            chunk: DataChunk = yield self._receive_next
        else:
            receive_head, self._receive_head = self._receive_head, None
            chunk = yield from receive_head()
        self._is_over = chunk.last
        return chunk.data


def store_chunked(performing: Performing, binding: Binding, *, failed: int) -> Program[Answer]:
    """Call a handler that takes the data set in pieces; return its answer when no more of it is to come.

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
    finally:
        chunks.close()
    answer = performing.read_status(result)
    if answer.category != Category.FAILURE:
        yield from chunks.drop()
    return answer
