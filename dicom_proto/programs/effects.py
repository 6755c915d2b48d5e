"""What a service program cannot do by itself and asks its driver for: the effects, a closed union.

A program is a generator: it works on the core's objects directly, and yields an effect wherever it has to wait or to
call what the user wrote. A driver performs the effect in the way of its I/O stack and sends the result back in::

    def run(program):
        result = None
        while True:
            try:
                effect = program.send(result)
            except StopIteration as end:
                return end.value
            result = perform(effect)          # or: await perform(effect)

Only exceptions are thrown into programs; a cancelled driver closes them (``program.close()``).
"""

from collections.abc import Callable, Generator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from attrs import frozen

from dicom_proto.dimse.routing import Key
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = ["END", "Await", "Call", "Dial", "Drain", "Effect", "End", "HangUp", "Program", "Pull", "Receive", "Run"]

T = TypeVar("T")


class End(Enum):
    """Type of :data:`END`."""

    END = "the generator has ended"


END: Final = End.END


@frozen
class Receive:
    """Wait for the next event of an operation of this association.

    The driver returns the :data:`~dicom_proto.dimse.routing.OperationEvent`, serving meanwhile what the peer asks
    for; it throws an :class:`~dicom_proto.upper_layer.failures.AssociationFailure` when the association has ended.
    """

    key: Key


@frozen
class Await:
    """Wait until a condition returns something else than ``None``, and return that; throws as :class:`Receive`.

    The driver looks at it at once, and again whenever something has happened on this association.
    """

    condition: Callable[[], Any]


@frozen
class Drain:
    """Wait until the peer has read enough that more may be queued (``write_room``); throws as :class:`Receive`.

    It is also where a driver that reads nothing while it runs a program takes in what has arrived: a cancel is
    noticed then.
    """


@frozen
class Call:
    """Call a function of the user with an argument and return its result; what it raises is thrown into the program.

    A driver that shares its thread calls a plain function in another one, unless ``is_quick`` says that it is over
    sooner than that takes.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    is_quick: bool = False


@frozen
class Pull:
    """Return the next item of an iterator of the user, :data:`END` after the last; what it raises is thrown.

    It is a generator, an async generator, or any other iterator. All items of one are pulled in the same thread, and
    a driver closes those that a program has left unfinished, however the program ended.
    """

    iterator: Any


@frozen
class Dial:
    """Establish an association of this application entity with another, for sub-operations (PS3.4 C.4.2).

    The driver returns the :class:`~dicom_proto.programs.peer.Peer` at its other end. It throws an
    ``AssociationFailure`` if there is none, an ``OSError`` if the transport cannot be opened. It aborts those
    associations that a program has left without :class:`HangUp`, however the program ended.

    ``options`` is what a handler said about the transport, and the core does not know: ``tls_args``,
    ``bind_address``, handlers to bind. Something else that is wrong with them may be thrown as anything.
    """

    address: tuple[str, int]
    offer: AAssociateRQ
    options: Mapping[str, Any] = MappingProxyType({})


@frozen
class Run:
    """Run a program on an association that was dialled, and return its result; what it raises is thrown."""

    program: "Program[Any]"
    peer: Peer


@frozen
class HangUp:
    """Release an association that was dialled, or abort it where it cannot be released; never throws."""

    peer: Peer


Effect: TypeAlias = Receive | Await | Drain | Call | Pull | Dial | Run | HangUp
Program: TypeAlias = Generator[Effect, Any, T]
