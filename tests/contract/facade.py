"""The adapters for event loops in the words of the blocking one, each with a loop in a thread of its own.

So one suite can run against all of them: what is awaited there is waited for here, and what a handler gets as
``event.assoc`` can be called by it as with the blocking adapter.
"""

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from inspect import isawaitable
from typing import Any, Self, TypeAlias

import trio
from attrs import frozen

from dicom_proto.handlers.sinks import Sink
from dicom_transports import asyncio as over_asyncio
from dicom_transports import trio as over_trio
from dicom_transports._entity import associate

__all__ = ["AsyncioHost", "Host", "TrioHost"]

_PATIENCE = 10.0  # seconds until a loop that should end counts as one that hangs
_END = object()
Function: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]


class Host:
    """A loop in a thread of its own."""

    _entity: type[Any]

    def __init__(self) -> None:
        self._is_running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_running.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "something does not let itself be cancelled"

    def make_ae(self, ae_title: str = "DICOM_PROTO") -> "AE":
        return AE(self._entity(ae_title), self)

    @abstractmethod
    def call(self, function: Function, *arguments: Any) -> Any:
        """Await something in the loop; what runs there has the context of the caller."""

    @abstractmethod
    def spawn(self, function: Function, *arguments: Any) -> None:
        """Start a task that is cancelled in the end; called in the loop."""

    @abstractmethod
    def coroutines(self) -> list[Any]:
        """What runs in tasks."""

    def count_associations(self) -> int:
        """How many associations have a task of their own."""
        return len([one for one in self.coroutines() if one.__name__ in {"live", "_attend"}])

    @abstractmethod
    def _run(self) -> None: ...

    @abstractmethod
    def _end(self) -> None: ...


class AsyncioHost(Host):
    """An asyncio loop."""

    _entity = over_asyncio.AE

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[Any]] = set()

    def call(self, function: Function, *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(function(*arguments), self._loop).result()

    def spawn(self, function: Function, *arguments: Any) -> None:
        task = self._loop.create_task(function(*arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def coroutines(self) -> list[Any]:
        return [task.get_coro() for task in asyncio.all_tasks(self._loop)]

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._is_running.set()
        await self._stop.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)


class TrioHost(Host):
    """A trio loop."""

    _entity = over_trio.AE

    def call(self, function: Function, *arguments: Any) -> Any:
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    def spawn(self, function: Function, *arguments: Any) -> None:
        self._nursery.start_soon(function, *arguments)

    def coroutines(self) -> list[Any]:
        def below(task: trio.lowlevel.Task) -> list[Any]:
            children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
            return [task.coro, *(coroutine for child in children for coroutine in below(child))]

        return trio.from_thread.run_sync(below, self._nursery.parent_task, trio_token=self._token)

    def _run(self) -> None:
        trio.run(self._main)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as self._nursery:
            self._is_running.set()
            await self._stop.wait()
            self._nursery.cancel_scope.cancel()

    def _end(self) -> None:
        self._token.run_sync_soon(self._stop.set)


async def _called(function: Callable[..., Any], arguments: Any, options: Any) -> Any:
    result = function(*arguments, **options)
    return await result if isawaitable(result) else result


class Results:
    """The results of an operation, waited for one by one."""

    def __init__(self, results: Any, host: Host) -> None:
        self._results = results
        self._host = host
        self.close = results.close

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        result = self._host.call(_called, anext, (self._results, _END), {})
        if result is _END:
            raise StopIteration
        return result


@frozen
class Association:
    """An association of an adapter; two of these are equal if they are for the same one."""

    _real: Any
    _host: Host

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        return partial(self._call, value) if callable(value) else value

    def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        result = self._host.call(_called, function, arguments, options)
        return Results(result, self._host) if hasattr(result, "__anext__") else result

    def __enter__(self) -> Self:
        if self._real.failure is not None:
            raise self._real.failure
        self._real.peer.is_strict = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.release() if kind is None else self.abort()

    def bind(self, event: Any, handler: Any, args: Any = None) -> None:
        self._call(self._real.bind, event, _wrapped(handler, self._host), args)

    def unbind(self, event: Any, handler: Any) -> None:
        self._call(self._real.unbind, event, _wrapped(handler, self._host))


@frozen
class _Handler:
    """A handler of a test, whose events have an association that it can call."""

    __wrapped__: Any
    _host: Host

    def __call__(self, event: Any, *arguments: Any) -> Any:
        if not isinstance(event.assoc, Association):
            event.assoc = Association(event.assoc, self._host)
        return self.__wrapped__(event, *arguments)


def _wrapped(handler: Any, host: Host) -> Any:
    return handler if isinstance(handler, Sink) or not callable(handler) else _Handler(handler, host)


class Server:
    """A server of an adapter, in a task of its loop."""

    def __init__(self, real: Any, ae: "AE", host: Host) -> None:
        self._real = real
        self._host = host
        self._has_ended: Future[None] | None = None
        self.ae = ae
        self.address = real.address

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    @property
    def active_associations(self) -> list[Association]:
        return [Association(real, self._host) for real in self._real.active_associations]

    def reload_tls(self, ssl_context: Any = None) -> None:
        self._real.reload_tls(ssl_context)

    def bind(self, event: Any, handler: Any, args: Any = None) -> None:
        self._real.bind(event, _wrapped(handler, self._host), args)

    def unbind(self, event: Any, handler: Any) -> None:
        self._real.unbind(event, _wrapped(handler, self._host))

    def start(self) -> None:
        if self._has_ended is None:
            self._has_ended = Future()
            self._host.call(self._start, self._has_ended)

    async def _start(self, has_ended: "Future[None]") -> None:
        self._host.spawn(self._serve, has_ended)

    async def _serve(self, has_ended: "Future[None]") -> None:
        try:
            await self._real.serve()
        except Exception as error:  # noqa: BLE001 - it is raised where the end is waited for
            has_ended.set_exception(error)
        else:
            has_ended.set_result(None)

    def wait(self) -> None:
        assert self._has_ended is not None
        self._has_ended.result()

    def shutdown(self, finish_within: float | None = None) -> None:
        self._host.call(self._real.shutdown, finish_within)
        if self._has_ended is not None:
            self.wait()


class AE:
    """An application entity of an adapter; what is not here is its own."""

    def __init__(self, real: Any, host: Host) -> None:
        vars(self).update(_real=real, _host=host, _running=[])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def associate(self, *arguments: Any, **options: Any) -> Association:
        wanted = associate(self._real, *arguments, **options)
        return self.dial(wanted.address, wanted.offer, **wanted.options)

    def dial(self, address: Any, offer: Any, *, evt_handlers: Any = None, **options: Any) -> Association:
        """An association, or the failed attempt at one: for users of the adapter an attempt that fails raises."""
        handlers = self._handlers(evt_handlers)
        dial = partial(self._real.dial_from, evt_handlers=handlers, **options)
        return Association(self._host.call(dial, self._host.spawn, address, offer), self._host)

    def _handlers(self, handlers: Iterable[Any] | None) -> list[Any]:
        return [(event, _wrapped(handler, self._host), *rest) for event, handler, *rest in handlers or ()]

    def send_c_stores(self, *arguments: Any, evt_handlers: Any = None, **options: Any) -> Results:
        handlers = self._handlers(evt_handlers)
        return Results(self._real.send_c_stores(*arguments, evt_handlers=handlers, **options), self._host)

    @property
    def active_associations(self) -> list[Association]:
        return [association for server in self._running for association in server.active_associations]

    def make_server(
        self,
        address: Any,
        ae_title: Any = None,
        contexts: Any = None,
        ssl_context: Any = None,
        evt_handlers: Any = None,
    ) -> Server:
        arguments = (address, ae_title, contexts, ssl_context, self._handlers(evt_handlers))
        real = self._host.call(_called, self._real.make_server, arguments, {})
        server = Server(real, self, self._host)
        self._running.append(server)
        return server

    def start_server(self, address: Any, block: bool = True, ssl_context: Any = None, **options: Any) -> Server:
        server = self.make_server(address, ssl_context=ssl_context, **options)
        server.start()
        if block:
            server.wait()
        return server

    def shutdown(self, finish_within: float | None = None) -> None:
        for server in self._running:
            server.shutdown(finish_within)
        self._running.clear()
