"""What a service program cannot do by itself and asks for: the effects, a closed union.

Stable.

A program is a generator. It works on the core's objects directly, and yields an effect wherever it has to wait or to
call what the user wrote. The :class:`~dicom_proto.programs.engine.Engine` runs programs: it performs most effects
itself, and leaves three of them to the driver of its I/O stack (:data:`DriverEffect`), because only a driver can call
what the user wrote, or open a connection.

Only exceptions are thrown into programs; a program that is cancelled is closed (``program.close()``).
"""

from collections.abc import Callable, Generator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from attrs import frozen

from dicom_proto.dimse.routing import Inbox
from dicom_proto.programs.peer import Peer
from dicom_proto.upper_layer.pdu import AAssociateRQ

__all__ = [
    "END",
    "Await",
    "Call",
    "Dial",
    "Drain",
    "DriverEffect",
    "Effect",
    "End",
    "Fork",
    "HangUp",
    "Pause",
    "Program",
    "Pull",
    "Receive",
    "Run",
]

T = TypeVar("T")


class End(Enum):
    """Type of :data:`END`."""

    END = "the iterator has ended"


END: Final = End.END

# Those that are made for each message are plain classes: a frozen one pays object.__setattr__ for each field.


class Receive:
    """Wait for the next event of an operation of this association.

    The result is the :data:`~dicom_proto.dimse.routing.OperationEvent`. When the association has ended an
    :class:`~dicom_proto.upper_layer.failures.AssociationFailure` is thrown; a ``LocalProtocolError`` if the inbox was
    closed, because the operation was answered and its message ID is used again.
    """

    __slots__ = ("inbox",)
    __match_args__ = ("inbox",)

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox


class Await:
    """Wait until a condition returns something else than ``None``, and return that; throws as :class:`Receive`.

    The condition is looked at at once, and then once in each turn of the engine.
    """

    __slots__ = ("condition",)
    __match_args__ = ("condition",)

    def __init__(self, condition: Callable[[], Any]) -> None:
        self.condition = condition


class Drain:
    """Wait until the peer has read enough that more may be queued (``write_room``); throws as :class:`Receive`.

    What has passed meanwhile is told to the handlers of notifications before the program goes on.
    """

    __slots__ = ()


class Call:
    """Call a function of the user with some arguments and return its result; what it raises is thrown.

    It may be an async function where the driver can await. ``is_quick`` says that it is over sooner than it takes to
    call it in another thread.
    """

    __slots__ = ("arguments", "function", "is_quick")
    __match_args__ = ("function", "arguments", "is_quick")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], is_quick: bool = False) -> None:
        self.function = function
        self.arguments = arguments
        self.is_quick = is_quick


class Pull:
    """Return the next item of an iterator of the user, :data:`END` after the last; what it raises is thrown.

    It is a generator, an async generator, or any other iterator of either kind. All items of one are pulled in the
    same thread or task. What a program leaves unfinished is closed there, however the program ends.
    """

    __slots__ = ("iterator",)
    __match_args__ = ("iterator",)

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator


@frozen
class Dial:
    """Establish an association of this application entity with another (PS3.4 C.4.2), and return its ``Peer``.

    What has become the ``failure`` of the association is thrown: an ``AssociationFailure``, an ``OSError`` if the
    transport cannot be opened, a ``NoContextError`` if no presentation context was accepted. An association that a
    program leaves without :class:`HangUp` is aborted, however the program ends.

    ``options`` is what a handler said about the transport, and the core does not know: ``tls_args``,
    ``bind_address``, handlers to bind. Something else that is wrong with them may be thrown as anything.
    """

    address: tuple[str, int]
    offer: AAssociateRQ
    options: Mapping[str, Any] = MappingProxyType({})


@frozen
class Fork:
    """Start a program beside this one, and return its :class:`~dicom_proto.programs.tasks.Task` at once.

    It runs in the same engine. Who has started it waits for ``is_done``, and asks for its result; if it is not done by
    the end of that one, it is ended then, and what it has left open is closed.
    """

    program: "Program[Any]"


@frozen
class Run:
    """Run a program on an association that was dialled, and return its result; what it raises is thrown."""

    program: "Program[Any]"
    peer: Peer


@frozen
class HangUp:
    """Release an association that was dialled, or abort it where it cannot be released; never throws."""

    peer: Peer


@frozen
class Pause:
    """Let some time pass, in seconds."""

    seconds: float


DriverEffect: TypeAlias = Call | Pull | Dial
"""What only a driver can do."""

Effect: TypeAlias = Receive | Await | Drain | Fork | Run | HangUp | Pause | DriverEffect
Program: TypeAlias = Generator[Effect, Any, T]
