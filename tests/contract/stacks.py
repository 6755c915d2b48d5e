"""The loops that tests which are async functions run in, and what such tests have in common."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio
from attrs import frozen
from trio.testing import MockClock

from dicom_transports import asyncio as over_asyncio
from dicom_transports import trio as over_trio
from dicom_transports.loops import Group
from tests.contract.entities import configured

__all__ = ["STACKS", "Stack", "count_descriptors", "count_threads"]

_AUTOJUMP = 0.2  # seconds without anything to do after which the clock of trio goes on to the next deadline
FOR_EVER: dict[str, Any] = dict.fromkeys(("acse_timeout", "dimse_timeout", "network_timeout"))
Main = Callable[[], Coroutine[Any, Any, None]]


def _over_asyncio(main: Main) -> None:
    async def alone() -> None:
        await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(alone())


def _over_trio(main: Main) -> None:
    async def alone() -> None:
        await main()
        assert not trio.lowlevel.current_task().child_nurseries

    trio.run(alone, clock=MockClock(autojump_threshold=_AUTOJUMP))


@asynccontextmanager
async def _started_by_asyncio(main: Main) -> AsyncIterator[Callable[[], object]]:
    async with asyncio.TaskGroup() as group:
        yield group.create_task(main()).cancel


@asynccontextmanager
async def _started_by_trio(main: Main) -> AsyncIterator[Callable[[], object]]:
    async def run() -> None:
        with scope:
            await main()

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield scope.cancel


@frozen
class Stack:
    """A loop, and the adapter for it."""

    run: Callable[[Main], None]
    module: Any
    started: Callable[[Main], AbstractAsyncContextManager[Callable[[], object]]]
    """A context in which a task runs that can be cancelled, and whose end is waited for."""
    aside: Callable[..., Any]
    cancelled: type[BaseException]

    @property
    def loop(self) -> Any:
        return self.module.AE().loop()

    def entity(self, ae_title: str, *contexts: str, **settings: Any) -> Any:
        return configured(self.module.AE(ae_title), *contexts, **(FOR_EVER | settings))

    def signal(self) -> Any:
        return self.loop.signal()

    @asynccontextmanager
    async def serving(self, *handlers: Any, **settings: Any) -> AsyncIterator[Any]:
        async with self.entity("SCP", **settings).start_server(("127.0.0.1", 0), evt_handlers=handlers) as server:
            yield server

    def dial(self, server: Any, *handlers: Any, ae: Any = None, **options: Any) -> Any:
        return (ae or self.entity("SCU")).associate(*server.address, evt_handlers=handlers, **options)

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        """Tasks whose end is waited for."""
        async with self.loop.group() as group:
            yield group

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that nobody signals."""
        while not condition():
            await self.aside(threading.Event().wait, 0.002)


STACKS = {
    "trio": Stack(_over_trio, over_trio, _started_by_trio, trio.to_thread.run_sync, trio.Cancelled),
    "asyncio": Stack(_over_asyncio, over_asyncio, _started_by_asyncio, asyncio.to_thread, asyncio.CancelledError),
}


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208


def count_threads() -> int:
    """How many threads handlers have been given."""
    return len([thread for thread in threading.enumerate() if thread.name == "dicom-handler"])
