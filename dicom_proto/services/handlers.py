"""The events that users bind handlers to, and the registry of what is bound, checked when it is bound.

The names are those that users of pynetdicom know. A notification event may have any number of handlers, whose results
do not matter; an intervention event has one, and its result is the service's answer.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from dicom_proto.errors import LocalProtocolError
from dicom_proto.services.sinks import Sink

__all__ = ["Bindable", "Binding", "EventKind", "Handler", "Handlers"]

Handler: TypeAlias = Callable[..., Any]


@frozen(eq=False)
class EventKind:
    """An event that handlers can be bound to."""

    name: str
    description: str
    is_intervention: bool

    def __reduce__(self) -> str:
        return str(self)  # there is one of each in a process

    @property
    def is_notification(self) -> bool:
        """Whether the results of its handlers do not matter."""
        return not self.is_intervention

    def __str__(self) -> str:
        return self.name


def _notification(name: str, description: str) -> EventKind:
    return EventKind(f"EVT_{name}", description, is_intervention=False)


def _intervention(name: str, description: str) -> EventKind:
    return EventKind(f"EVT_{name}", description, is_intervention=True)


EVT_ABORTED: Final = _notification("ABORTED", "Association aborted")
EVT_ACCEPTED: Final = _notification("ACCEPTED", "Association request accepted")
EVT_ACSE_RECV: Final = _notification("ACSE_RECV", "ACSE received a primitive from the service provider")
EVT_ACSE_SENT: Final = _notification("ACSE_SENT", "ACSE sent a primitive to the service provider")
EVT_CONN_CLOSE: Final = _notification("CONN_CLOSE", "Connection closed")
EVT_CONN_OPEN: Final = _notification("CONN_OPEN", "Connection opened")
EVT_DATA_RECV: Final = _notification("DATA_RECV", "PDU data received")
EVT_DATA_SENT: Final = _notification("DATA_SENT", "PDU data sent")
EVT_DIMSE_RECV: Final = _notification("DIMSE_RECV", "DIMSE message received")
EVT_DIMSE_SENT: Final = _notification("DIMSE_SENT", "DIMSE message sent")
EVT_ESTABLISHED: Final = _notification("ESTABLISHED", "Association established")
EVT_FSM_TRANSITION: Final = _notification("FSM_TRANSITION", "State machine about to change state")
EVT_PDU_RECV: Final = _notification("PDU_RECV", "PDU received")
EVT_PDU_SENT: Final = _notification("PDU_SENT", "PDU sent")
EVT_REJECTED: Final = _notification("REJECTED", "Association request rejected")
EVT_RELEASED: Final = _notification("RELEASED", "Association released")
EVT_REQUESTED: Final = _notification("REQUESTED", "Association requested")

EVT_ASYNC_OPS: Final = _intervention("ASYNC_OPS", "Asynchronous operations window negotiation requested")
EVT_SOP_COMMON: Final = _intervention("SOP_COMMON", "SOP class common extended negotiation requested")
EVT_SOP_EXTENDED: Final = _intervention("SOP_EXTENDED", "SOP class extended negotiation requested")
EVT_USER_ID: Final = _intervention("USER_ID", "User identity negotiation requested")
EVT_C_ECHO: Final = _intervention("C_ECHO", "C-ECHO request received")
EVT_C_FIND: Final = _intervention("C_FIND", "C-FIND request received")
EVT_C_GET: Final = _intervention("C_GET", "C-GET request received")
EVT_C_MOVE: Final = _intervention("C_MOVE", "C-MOVE request received")
EVT_C_STORE: Final = _intervention("C_STORE", "C-STORE request received")
EVT_N_ACTION: Final = _intervention("N_ACTION", "N-ACTION request received")
EVT_N_CREATE: Final = _intervention("N_CREATE", "N-CREATE request received")
EVT_N_DELETE: Final = _intervention("N_DELETE", "N-DELETE request received")
EVT_N_EVENT_REPORT: Final = _intervention("N_EVENT_REPORT", "N-EVENT-REPORT request received")
EVT_N_GET: Final = _intervention("N_GET", "N-GET request received")
EVT_N_SET: Final = _intervention("N_SET", "N-SET request received")


@frozen
class Binding:
    """A handler and the arguments it gets behind the event; of a sink, ``handler`` is its method ``open``."""

    handler: Handler
    arguments: tuple[Any, ...] = ()
    sink: Sink | None = None
    is_async: bool = field(init=False, eq=False)  # calling it gives something to be awaited, or an async iterator

    @is_async.default
    def _is_async(self) -> bool:
        function = inspect.unwrap(self.handler)
        call = getattr(type(function), "__call__", None)  # noqa: B004 - the method of an object that can be called
        return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in (function, call))


Bound: TypeAlias = tuple[EventKind, Handler] | tuple[EventKind, Handler, Sequence[Any]]
"""How users state a handler: event, handler, and optionally a list of further arguments."""

Bindable: TypeAlias = Bound | tuple[EventKind, Sink] | tuple[EventKind, Sink, Sequence[Any]]
"""The same, or a sink in the place of the handler of ``EVT_C_STORE``."""


class Handlers:
    """What is bound to which event.

    Parameters
    ----------
    bindings : iterable of tuple
        ``(event, handler)`` or ``(event, handler, [arguments])``; for ``EVT_C_STORE`` a sink may stand for the handler.
    allow_async : bool
        Whether handlers may be async functions and async generators: an adapter that cannot await refuses them here.

    Raises
    ------
    LocalProtocolError
        As :meth:`bind`.
    """

    def __init__(self, bindings: Iterable[Bindable] | None = None, *, allow_async: bool = True) -> None:
        self._allow_async = allow_async
        self._bound: dict[EventKind, list[Binding]] = {}
        for bound in bindings or ():
            self.bind(*bound)

    def bind(self, kind: EventKind, handler: Handler | Sink, arguments: Sequence[Any] | None = None) -> None:
        """Bind a handler: one more to a notification event, the only one to an intervention event.

        ``EVT_C_STORE`` takes a :class:`~dicom_proto.services.sinks.Sink` as well.

        Raises
        ------
        LocalProtocolError
            If it cannot be called with the event and those arguments, or is async where that cannot be.
        """
        if not isinstance(kind, EventKind):
            raise LocalProtocolError(f"{kind!r} is not an event; events are named evt.EVT_...")
        if isinstance(handler, Sink) and kind is not EVT_C_STORE:
            raise LocalProtocolError(f"{handler!r} cannot be bound to {kind}: a sink takes objects, of EVT_C_STORE")
        binding = Binding(_function_of(handler), tuple(arguments or ()), handler if isinstance(handler, Sink) else None)
        self._check(kind, binding)
        if kind.is_intervention:
            self._bound[kind] = [binding]
        elif binding not in self.bindings(kind):
            self._bound[kind] = [*self.bindings(kind), binding]

    def unbind(self, kind: EventKind, handler: Handler | Sink) -> None:
        """Unbind a handler; one that is not bound changes nothing."""
        function = _function_of(handler)
        self._bound[kind] = [binding for binding in self.bindings(kind) if binding.handler != function]

    def bindings(self, kind: EventKind) -> Sequence[Binding]:
        """Return what is bound to an event."""
        return self._bound.get(kind, ())

    def binding(self, kind: EventKind) -> Binding | None:
        """Return what is bound to an intervention event."""
        bindings = self._bound.get(kind)
        return bindings[0] if bindings else None

    def kinds(self) -> tuple[EventKind, ...]:
        """Return the events that something is bound to."""
        return tuple(kind for kind, bindings in self._bound.items() if bindings)

    def stated(self, kind: EventKind) -> Any:
        """Return what is bound to an event, as ``(handler, arguments)``: a list of them for a notification event.

        For an intervention event without a handler it is ``(None, None)``.
        """
        bound = [(binding.handler, list(binding.arguments)) for binding in self.bindings(kind)]
        if kind.is_notification:
            return bound
        return bound[0] if bound else (None, None)

    def copy(self) -> "Handlers":
        """Return a registry of its own with the same bindings."""
        other = Handlers(allow_async=self._allow_async)
        other._bound = dict(self._bound)
        return other

    def _check(self, kind: EventKind, binding: Binding) -> None:
        if not callable(binding.handler):
            raise LocalProtocolError(f"{binding.handler!r} cannot be bound to {kind}: it cannot be called")
        if binding.is_async and not self._allow_async:
            raise LocalProtocolError(
                f"{binding.handler!r} is async: bind it to {kind} with the trio or asyncio adapter"
            )
        try:
            inspect.signature(binding.handler).bind(None, *binding.arguments)
        except TypeError as error:
            count = 1 + len(binding.arguments)
            raise LocalProtocolError(
                f"{binding.handler!r} cannot take the {count} arguments of {kind}: {error}"
            ) from error
        except ValueError:
            return  # a built-in without a signature: only a call can tell


def _function_of(handler: Handler | Sink) -> Handler:
    return handler.open if isinstance(handler, Sink) else handler
