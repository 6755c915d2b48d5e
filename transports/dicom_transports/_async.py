"""What the adapters for event loops have in common: associations that are driven by awaiting.

A loop brings little more than what :class:`Loop` asks for, and says in an ``Association`` of its own how it waits for
a socket. Everything here runs in the thread of the loop, and only handlers that are plain functions in others: one
thread for each run of a handler, so that a generator never changes its thread.
"""

import logging
import socket
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache, partial
from inspect import isawaitable
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar, assert_never, cast

from pydicom.dataset import Dataset

from dicom_proto.calls import Result
from dicom_proto.life import HANDLING
from dicom_proto.presentation import PresentationContext
from dicom_proto.services.effects import END, Await, Call, Dial, Drain, Effect, HangUp, Program, Pull, Receive, Run
from dicom_proto.services.handlers import Bindable, Binding, Handlers
from dicom_proto.services.pipeline import Sent
from dicom_proto.services.shipment import Shipment
from dicom_proto.services.streams import Stream
from dicom_proto.upper_layer.failures import AssociationFailure
from dicom_proto.upper_layer.pdu import AAssociateRJ, AAssociateRQ
from dicom_proto.upper_layer.policy import Policy
from dicom_transports._base import AEBase, AssociationBase, Scope, ServerBase
from dicom_transports._errands import Deliveries
from dicom_transports._sockets import Address, TLSArguments, accept, client_tls, no_connection
from dicom_transports._tls import TLSLayer
from dicom_transports._workers import Worker, Workers

__all__ = ["AsyncAE", "AsyncAssociation", "AsyncServer", "Loop", "Signal"]

T = TypeVar("T")
_log = logging.getLogger("dicom_transports")
_BACK_OFF: Final = 0.1  # seconds until the next attempt to accept when the system has no room
_LAST_WORDS: Final = 5.0  # seconds that handlers of the end have when their scope is cancelled
_WORKERS: Final = Workers()
Coro: TypeAlias = Coroutine[Any, Any, T]


class Signal(Protocol):
    """Something that happens once, and can be waited for: an ``Event`` of the loop."""

    def set(self) -> object: ...

    async def wait(self) -> object: ...


class Spawning(Protocol):
    """What tasks can be started in."""

    def spawn(self, function: Callable[..., Coro[None]], *arguments: Any) -> None:
        """Start a task. A loop's ends by itself, or with the loop."""


class Group(Protocol):
    """Tasks that end together."""

    def start(self, function: Callable[..., Coro[None]], *arguments: Any) -> object:
        """Start a task."""

    def cancel(self) -> None:
        """Cancel all tasks."""


class Loop(Spawning, Protocol):
    """What is asked of an event loop."""

    def now(self) -> float:
        """Return the time in seconds."""

    def signal(self) -> Signal:
        """Return something that can happen."""

    def group(self) -> AbstractAsyncContextManager[Group]:
        """Return a group of tasks, whose end is waited for."""

    async def pause(self) -> None:
        """Let others have their turn."""

    async def wait_until(self, signal: Signal, deadline: float | None) -> bool:
        """Wait for something to happen; return whether it has by the deadline."""

    async def readable(self, sock: socket.socket) -> None:
        """Wait until a socket can be read from."""

    async def connect(self, address: Address, bind_address: Address | None) -> socket.socket:
        """Open a TCP connection; all addresses of a host name are tried.

        Raises
        ------
        OSError
            If there is none.
        """

    async def limited(self, seconds: float | None, coroutine: Coro[T]) -> T:
        """Await something for so long at most, then raise ``TimeoutError``."""

    async def shielded(self, seconds: float, coroutine: Coro[None]) -> None:
        """Await something for so long at most, whether this task is being cancelled or not."""

    async def in_worker(self, worker: Worker, function: Callable[[], Any]) -> Any:
        """Make a call in a worker, and wait for it; if this is cancelled, then too."""


def _is_async(function: Callable[..., Any]) -> bool:
    return _is_async_function(getattr(function, "__func__", function))  # a bound method would keep its object alive


@lru_cache(maxsize=256)
def _is_async_function(function: Callable[..., Any]) -> bool:
    return Binding(function).is_async


class _AsyncScope(Scope):
    """What one program has got hold of, in an event loop."""

    __slots__ = ("_loop", "_worker")

    def __init__(self, association: "AsyncAssociation", loop: Loop) -> None:
        super().__init__(association)
        self._loop = loop
        self._worker: Worker | None = None

    @property
    def has_something(self) -> bool:
        """Whether :meth:`close_all` has something to do."""
        return bool(self.opened) or self._worker is not None

    async def call_handler(self, call: Call) -> Any:
        if not call.is_quick and not _is_async(call.function):
            return await self.aside(partial(self.call, call))
        self.stamp(call)
        result = call.function(*call.arguments)
        return await result if isawaitable(result) else result

    async def pull_next(self, iterator: Any) -> Any:
        if hasattr(iterator, "__anext__"):
            return await anext(iterator, END)
        return await self.aside(partial(self.pull, iterator))

    async def aside(self, function: Callable[[], Any]) -> Any:
        """Make a call in the thread of this program."""
        if self._worker is None:
            self._worker = _WORKERS.take()
        return await self._loop.in_worker(self._worker, function)

    async def close_all(self) -> None:
        """Close what the program has left open."""
        for item in self.opened:
            if isinstance(item, AssociationBase) or not hasattr(item, "__anext__"):
                await self.aside(partial(self.close, item)) if self._worker else self.close(item)
            else:
                await self._close_async(item)
        if self._worker is not None:
            _WORKERS.give_back(self._worker)
            self._worker = None

    async def _close_async(self, item: Any) -> None:
        try:
            await item.aclose()
        except Exception:  # noqa: BLE001 - it runs what the user wrote
            _log.exception("a handler raised when it was closed")


class Results(Generic[T]):
    """Results that are asked for one by one; who stops asking takes no more interest in them."""

    def __init__(self, association: "AsyncAssociation", begin: Program[Stream[T]]) -> None:
        self._association = association
        self._begin = begin
        self._stream: Stream[T] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._stream is None:
            self._stream = await self._association.run(self._begin)
        result = await self._association.run(self._stream.next())
        if result is None:
            raise StopAsyncIteration
        return result

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Wait for the next one in another thread than the loop's: for handlers that are plain functions."""
        try:
            return self._association.wait_for(self.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    async def aclose(self) -> None:
        """Take no more interest in the results: an operation that can be cancelled is."""
        self.close()

    def close(self) -> None:
        """Take no more interest in the results."""
        if self._stream is not None and not self._stream.is_over:
            self._association.abandon(self._stream)

    __del__ = close


class AsyncAssociation(
    AssociationBase[Coro[None], Coro[Dataset], Coro[Result], AsyncIterator[Result], AsyncIterator[Sent]]
):
    """One association of an application entity, driven by awaiting."""

    def __init__(
        self, ae: "AsyncAE[Any]", handlers: Handlers, loop: Loop, policy: Policy | AAssociateRJ | None = None
    ) -> None:
        super().__init__(ae, handlers, policy)
        self._ae = ae
        self._loop = loop
        self._waiters: set[Signal] = set()
        self._done = loop.signal()  # set when the connection is to be closed
        self._has_told_end = False
        self._is_buried = False  # no task can be started any more

    # --- what a loop adds ---------------------------------------------------------------------------------------------

    @abstractmethod
    def spawn(self, function: Callable[..., Coro[None]], *arguments: Any) -> None:
        """Start a task of this association."""

    @abstractmethod
    def _cancel_operations(self) -> None:
        """Cancel the tasks that :meth:`_operate`."""

    @abstractmethod
    def _rearrange(self) -> None:
        """Look again at what to wait for: the socket and the deadline."""

    @abstractmethod
    async def _carry(self) -> None:
        """Read, write and keep time until :attr:`_done`; then see to it that no task is left."""

    @abstractmethod
    def wait_for(self, function: Callable[[], Coro[T]]) -> T:
        """Have an async function called in the loop, and wait for its result in another thread.

        So handlers that are plain functions call what is to be awaited: ``assoc.wait_for(assoc.send_c_echo)``.

        Raises
        ------
        LocalProtocolError
            If this is the thread of the loop, which would wait for itself.
        """

    @abstractmethod
    def _is_elsewhere(self, function: Callable[[], None]) -> bool:
        """If this is another thread than the loop's, have a function called there."""

    # --- what users call ----------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Abort the association; without one, do nothing. It waits for nobody, and may be called in any thread."""
        if self._link is None or self._is_elsewhere(self.abort):
            return
        self.give_up()
        self._link.say_farewell()
        self._turn()

    async def run(self, program: Program[T]) -> T:
        """Run a service program on this association, and return its result (:mod:`dicom_proto.services.effects`)."""
        return await self._drive(program)

    def abandon(self, stream: Stream[Any]) -> None:
        """Take no more interest in results; may be called in any thread."""
        if not self._is_elsewhere(partial(self.abandon, stream)):
            stream.abandon()
            self._turn()

    def iterate(self, begin: Program[Stream[T]]) -> AsyncIterator[T]:
        return Results(self, begin)

    # --- driving programs ---------------------------------------------------------------------------------------------

    async def _drive(self, program: Program[T], effect: Effect | None = None) -> T:
        """Run a program; it may have been begun, and have asked for an effect already."""
        scope = _AsyncScope(self, self._loop)
        try:
            step, value = program.send, None
            while True:
                try:
                    if effect is None:
                        effect = step(value)
                except StopIteration as end:
                    return cast(T, end.value)
                try:
                    step, value = program.send, await self._perform(effect, scope)
                except Exception as error:  # noqa: BLE001 - all of them are the program's
                    step, value = program.throw, error
                effect = None
        finally:
            program.close()
            self._turn()
            if scope.has_something:
                await self._loop.shielded(_LAST_WORDS, scope.close_all())

    async def _perform(self, effect: Effect, scope: _AsyncScope) -> Any:
        match effect:
            case Receive():
                return await self._wait(lambda: self.peer.router.take(effect.key))
            case Await():
                return await self._wait(effect.condition)
            case Drain():
                self._turn()
                await self._loop.pause()
                return await self._wait(lambda: self.peer.connection.write_room or None)
            case Call():
                return await scope.call_handler(effect)
            case Pull():
                if effect.iterator not in scope.opened:
                    scope.opened.append(effect.iterator)
                return await scope.pull_next(effect.iterator)
            case Dial():
                other = await self._ae.dial_from(self, effect.address, effect.offer, **effect.options)
                scope.opened.append(other)
                if isinstance(other.failure, AssociationFailure | OSError):
                    raise other.failure
                return other.peer
            case Run():
                return await effect.peer.association.run(effect.program)
            case HangUp():
                return await effect.peer.association.release()
            case _:
                assert_never(effect)

    async def _wait(self, condition: Callable[[], T | None]) -> T:
        """Wait until a condition gives something."""
        result = condition()
        if result is None:
            self._turn()
        while result is None and (result := condition()) is None:
            if self.is_over:
                raise self.end()
            signal = self._loop.signal()
            self._waiters.add(signal)
            try:
                await signal.wait()
            finally:
                self._waiters.discard(signal)
        return result

    def _begin(self, program: Program[None], *, is_operation: bool) -> None:
        """Begin a program: if it never has to wait, that was all; otherwise a task goes on with it."""
        if self._is_buried:
            return
        try:
            effect = program.send(None)
        except StopIteration:
            return
        self.spawn(self._operate if is_operation else self._go_on, program, effect)

    @abstractmethod
    async def _operate(self, program: Program[None], effect: Effect) -> None:
        """Go on with a program that is to be cancelled when the association is over."""

    async def _go_on(self, program: Program[None], effect: Effect) -> None:
        HANDLING.set((*HANDLING.get(), self))
        try:
            await self._drive(program, effect)
        except AssociationFailure as error:
            _log.info("! %s", error)
        except Exception:  # noqa: BLE001 - whatever it is costs this association only
            _log.exception("an association failed")
            self.abort()

    # --- its life -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Do all that can be done now, and let those know who wait for something."""
        link, router = self._link, self.peer.router
        if link is None:
            return
        while True:
            self.conclude()
            while (summons := router.take_summons()) is not None:
                self._begin(self.attend(summons), is_operation=not self.is_over)
            if self.has_news:
                self._begin(self.tell(), is_operation=False)
            if not link.flush():
                break
        if self.is_over and not self._has_told_end:
            self._has_told_end = True
            self._cancel_operations()
            self._begin(self.ended(), is_operation=False)
        for signal in self._waiters:
            signal.set()
        self._waiters.clear()
        if link.is_done:
            self._done.set()
        self._rearrange()

    def _arrived(self) -> None:
        """Take what has arrived, and see to it."""
        link = self._open_link()
        link.receive()
        self._turn()

    def _expired(self) -> None:
        """Let the deadlines act that have come."""
        self._open_link().expire()
        self._turn()

    async def live(self, sock: socket.socket, tls: TLSLayer | None) -> None:
        """Live by a connected socket, until it is closed: for a task of its own."""
        try:
            self._connect(sock, tls, self._loop.now)
            self.opened(self.peer_address)  # which is told when there are tasks
            await self._carry()
        except OSError as error:  # the peer is gone again, or there is no room
            _log.warning("! a connection cannot be used: %s", error)
        except Exception:  # noqa: BLE001 - whatever it is costs this association only
            _log.exception("an association failed")
        finally:
            self.give_up()
            await self._loop.shielded(_LAST_WORDS, self._bury())
            sock.close()

    async def _bury(self) -> None:
        """Close the connection, and tell those who wait for something, and the handlers of the end."""
        link = self._link
        if link is not None:
            self._is_buried = True
            link.close()
            self.conclude()
            HANDLING.set((*HANDLING.get(), self))
            if not self._has_told_end:
                self._has_told_end = True
                await self._drive(self.ended())
            await self._drive(self.closed(self.peer_address))
        for signal in self._waiters:
            signal.set()


AsyncAssociationT = TypeVar("AsyncAssociationT", bound=AsyncAssociation)


class AsyncServer(ServerBase[AsyncAssociationT]):
    """Serves associations for an application entity, each in tasks of its own; made by :meth:`AsyncAE.make_server`."""

    def __init__(
        self,
        ae: "AsyncAE[AsyncAssociationT]",
        listener: socket.socket,
        handlers: Handlers,
        policy: Policy,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(ae, listener, handlers, policy, ssl_context)
        self._ae = ae
        self._loop = ae.loop()
        self._changed = self._loop.signal()  # an association has ended
        self._accepting: Group | None = None
        self._has_ended = self._loop.signal()

    async def serve(self) -> None:
        """Serve associations until :meth:`shutdown` has ended, or this is cancelled, which aborts them."""
        try:
            async with self._loop.group() as associations, self._loop.group() as accepting:
                if self._listener.fileno() >= 0:  # it has not been shut down before
                    self._accepting = accepting
                    accepting.start(self._accept, associations)
        finally:
            self._listener.close()
            self._has_ended.set()

    async def shutdown(self, finish_within: float | None = None) -> None:
        """Stop listening, end every association, and wait until all have ended.

        Parameters
        ----------
        finish_within : float, optional
            Seconds that associations have to end by themselves; what is left then, or at once, is aborted.
        """
        if self._accepting is None:
            self._listener.close()
            return
        self._accepting.cancel()
        if finish_within is not None:
            deadline = self._loop.now() + finish_within
            while self._associations and await self._loop.wait_until(self._changed, deadline):
                pass
        for association in tuple(self._associations):
            association.abort()
        while self._associations:
            await self._loop.wait_until(self._changed, None)

    async def _accept(self, associations: Group) -> None:
        with self._listener:  # nobody waits in vain to be accepted afterwards
            while True:
                await self._loop.readable(self._listener)
                try:
                    sock = accept(self._listener)
                except OSError as error:  # most likely no descriptor is free: wait for an association to end
                    _log.warning("! a connection cannot be accepted: %s", error)
                    await self._loop.wait_until(self._loop.signal(), self._loop.now() + _BACK_OFF)
                    continue
                if sock is not None:
                    self._receive(sock, associations)

    def _receive(self, sock: socket.socket, associations: Group) -> None:
        """Start to serve one connection; those too many are rejected, up to a bound of their own."""
        reception = self._reception()
        if reception is None:
            sock.close()
            return
        association = self._ae.make_association(self._handlers.copy(), reception)
        self._associations.add(association)
        associations.start(self._attend, association, sock)

    async def _attend(self, association: AsyncAssociationT, sock: socket.socket) -> None:
        try:
            await association.live(sock, self._tls())
        finally:
            self._associations.discard(association)
            changed, self._changed = self._changed, self._loop.signal()
            changed.set()


class AsyncAE(
    AEBase[AsyncServer[AsyncAssociationT], AbstractAsyncContextManager[AsyncAssociationT], AsyncIterator[Sent]],
    Generic[AsyncAssociationT],
):
    """An application entity in an event loop: requests associations, and serves them."""

    @abstractmethod
    def loop(self) -> Loop:
        """Return the event loop that runs."""

    @abstractmethod
    def make_association(self, handlers: Handlers, policy: Policy | AAssociateRJ | None = None) -> AsyncAssociationT:
        """Make an association, that has no connection yet."""

    @asynccontextmanager
    async def dial(
        self,
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> AsyncIterator[AsyncAssociationT]:
        """Request an association with a request that is made already; otherwise as :meth:`associate`."""
        failure: BaseException | None = None
        async with self._loop_group() as group:
            association = self.make_association(Handlers(evt_handlers))
            await self._establish(association, group.start, address, offer, bind_address, tls_args)
            try:
                if association.failure is not None:
                    raise association.failure
                association.peer.is_strict = True
                yield association
                await association.release()
            except BaseException as error:  # noqa: BLE001 - a group would wrap it: it is raised outside
                failure = error
                association.abort()
        if failure is not None:
            raise failure

    def _loop_group(self) -> AbstractAsyncContextManager[Group]:
        return self.loop().group()

    async def dial_from(
        self,
        other: Spawning,
        address: Address,
        offer: AAssociateRQ,
        *,
        bind_address: Address | None = None,
        tls_args: TLSArguments | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
    ) -> AsyncAssociationT:
        """Request an association without a context of its own, for sub-operations or results that are iterated over.

        It lives in a task of whoever asks for it: another association, or the loop.
        """
        association = self.make_association(Handlers(evt_handlers))
        await self._establish(association, other.spawn, address, offer, bind_address, tls_args)
        return association

    async def _establish(
        self,
        association: AsyncAssociationT,
        start: Callable[..., object],
        address: Address,
        offer: AAssociateRQ,
        bind_address: Address | None,
        tls_args: TLSArguments | None,
    ) -> None:
        """Establish an association as the requestor; its ``failure`` says why if that fails."""
        tls = client_tls(tls_args)
        association.peer.connection.request(offer)
        loop = self.loop()
        try:
            sock = await loop.limited(self.connection_timeout, loop.connect(address, bind_address))
        except OSError as error:
            association.failure = no_connection(address, error)
            _log.error("%s", association.failure)
            return
        start(association.live, sock, tls)
        try:
            await association.run(association.establish())
        except BaseException:
            association.abort()
            raise

    def _make_server(
        self,
        listener: socket.socket,
        handlers: Handlers,
        policy: Policy,
        ssl_context: ssl.SSLContext | None,
    ) -> AsyncServer[AsyncAssociationT]:
        return AsyncServer(self, listener, handlers, policy, ssl_context)

    def _deliver(self, shipment: Shipment) -> AsyncIterator[Sent]:
        return Deliveries(shipment, self)

    @asynccontextmanager
    async def start_server(
        self,
        address: Address,
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        *,
        reuse_port: bool = False,
    ) -> AsyncIterator[AsyncServer[AsyncAssociationT]]:
        """Serve associations as long as the context lasts; arguments and errors as for :meth:`make_server`."""
        server = self.make_server(address, ssl_context, evt_handlers, ae_title, contexts, reuse_port=reuse_port)
        failure: BaseException | None = None
        async with self._loop_group() as group:
            group.start(server.serve)
            try:
                yield server
            except BaseException as error:  # noqa: BLE001 - a group would wrap it: it is raised outside
                failure = error
            await server.shutdown()
        self._servers.remove(server)
        if failure is not None:
            raise failure

    async def serve(
        self,
        address: Address,
        ssl_context: ssl.SSLContext | None = None,
        evt_handlers: Iterable[Bindable] | None = None,
        ae_title: str | None = None,
        contexts: Iterable[PresentationContext] | None = None,
        *,
        reuse_port: bool = False,
    ) -> None:
        """Serve associations until this is cancelled; arguments and errors as for :meth:`make_server`."""
        server = self.make_server(address, ssl_context, evt_handlers, ae_title, contexts, reuse_port=reuse_port)
        try:
            await server.serve()
        finally:
            self._servers.remove(server)

    async def shutdown(self, finish_within: float | None = None) -> None:
        """Shut down every server; see :meth:`AsyncServer.shutdown`."""
        for server in tuple(self._servers):
            await server.shutdown(finish_within)
