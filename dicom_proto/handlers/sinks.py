"""Sinks: where the data set of a C-STORE request goes as it arrives, so that its size costs no memory.

May change.

A sink is bound like a handler, ``(evt.EVT_C_STORE, sink)``. For each object it is asked to open a :class:`Receiving`,
which gets the pieces of the data set one after the other and, at the end, says what the peer is answered. The peer is
not read from faster than the pieces are taken.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dicom_proto.buffers import Buffer
from dicom_proto.errors import DicomProtoError, LocalProtocolError

if TYPE_CHECKING:  # events know what can be bound to them
    from dicom_proto.handlers.event import RequestEvent

__all__ = ["Receiving", "Refused", "Sink", "Streamed", "Taking"]


class Refused(DicomProtoError):  # noqa: N818 - the standard's word for it
    """A sink does not want an object, or no more of it: raised by ``open``, ``write`` or ``finish``.

    The rest of the data set is dropped. A Failure is answered at once; any other status, say Success for an object
    that is there already, when the peer has sent all of it (PS3.7 9.1.1.2).

    Parameters
    ----------
    status : int or Dataset
        What is answered, as a handler returns it.
    """

    def __init__(self, status: Any) -> None:
        super().__init__("the object is not wanted")
        self.status = status


class Receiving(Protocol):
    """One object on its way into a sink.

    Any other exception than :class:`Refused` ends it, too: an ``OSError`` or ``MemoryError`` is answered with A700H
    (out of resources), a :class:`~dicom_proto.errors.DataSetError` with C000H (cannot understand), an
    :class:`~dicom_proto.errors.InvalidNameError` with 0117H (invalid SOP Instance), everything else with C211H. The
    association lives on.
    """

    def write(self, data: Buffer) -> None:
        """Take the next piece of the data set.

        It is a plain function in every adapter, and must not take long: a driver that shares its thread calls it there.

        Parameters
        ----------
        data : buffer
            Read-only; it may be kept.
        """

    def finish(self) -> Any:
        """Say what the peer is answered, now that all has been written: a status, as a handler returns it."""

    def discard(self) -> None:
        """Forget the object: it has been refused, or the association has ended, before ``finish`` has returned.

        It is a plain function in every adapter, must be quick and must not raise.
        """


class Sink(ABC):
    """Takes objects; what is to be bound as one derives from it.

    It is a base class because the shape would not tell: files, paths and archives have a method ``open``, too.

    Attributes
    ----------
    is_quick : bool
        Whether to open and to finish takes no longer than to write: then a driver that shares its thread does it there.
    """

    is_quick = False

    @abstractmethod
    def open(self, event: "RequestEvent") -> Receiving:
        """Begin to take an object.

        Arguments that were bound with the sink follow the event.

        Parameters
        ----------
        event : RequestEvent
            The request, without its data set; ``event.file_head()`` is what makes a file of that.
        """


Taking: TypeAlias = Generator[None, Buffer | None, Any]
"""A generator that is sent the pieces of a data set, ``None`` at the end, and returns a status."""


class Streamed(Sink):
    """A sink made of a generator function, which receives an object in one go.

    Such as::

        def take(event):
            digest = sha256()
            while (piece := (yield)) is not None:
                digest.update(piece)
            return 0x0000 if is_known(digest) else 0xA900

    It may return before the end if it wants no more: see :class:`Refused`. If the object does not arrive it is closed,
    and sees ``GeneratorExit``.

    Parameters
    ----------
    function : callable
        A generator function, called with the event and the arguments that were bound with the sink.

    Raises
    ------
    LocalProtocolError
        If it is none.
    """

    def __init__(self, function: Callable[..., Taking]) -> None:
        if not inspect.isgeneratorfunction(function):
            raise LocalProtocolError(f"{function!r} is no generator function")
        self._function = function

    def open(self, event: "RequestEvent", *arguments: Any) -> Receiving:
        """Run the function up to its first ``yield``."""
        return _Stream(self._function(event, *arguments))


class _Stream:
    def __init__(self, generator: Taking) -> None:
        self._generator = generator
        self._send(None)

    def _send(self, data: Buffer | None) -> None:
        try:
            self._generator.send(data)
        except StopIteration as end:
            raise Refused(end.value) from None

    def write(self, data: Buffer) -> None:
        self._send(data)

    def finish(self) -> Any:
        try:
            self._generator.send(None)
        except StopIteration as end:
            return end.value
        raise LocalProtocolError("a streaming handler has to return when there is no more data")

    def discard(self) -> None:
        self._generator.close()
