"""The registry of the handlers that are bound to events, checked when they are bound.

Stable.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeAlias

from attrs import field, frozen

from dicom_proto.errors import LocalProtocolError
from dicom_proto.handlers.kinds import EVT_C_STORE, EventKind
from dicom_proto.handlers.sinks import Sink

__all__ = ["Bindable", "Binding", "Handler", "Handlers"]

Handler: TypeAlias = Callable[..., Any]


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

        ``EVT_C_STORE`` takes a :class:`~dicom_proto.handlers.sinks.Sink` as well.

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

        Without arguments they are ``None``. For an intervention event without a handler it is ``(None, None)``.
        """
        bound = [(binding.handler, list(binding.arguments) or None) for binding in self.bindings(kind)]
        if kind.is_notification:
            return bound
        return bound[0] if bound else (None, None)

    def copy(self) -> Self:
        """Return a registry of its own with the same bindings."""
        other = object.__new__(type(self))  # copy.copy does the same, and takes four times as long
        vars(other).update(vars(self))
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
