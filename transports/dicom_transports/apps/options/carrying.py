"""What carries the bytes: ``--io blocking``, ``asyncio`` or ``trio``, of which a command need not know more than this.

What a command says on an association is a coroutine, the same for all three. :func:`settled`, :func:`each` and
:func:`entered` take what an adapter returns, whether it is there or has to be awaited. With blocking sockets such a
coroutine never waits, and is run without an event loop.
"""

import argparse
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from inspect import isawaitable
from typing import Any, Final, TypeVar

__all__ = ["adapter", "add_arguments", "carry", "each", "entered", "served", "settled", "until_stopped", "wait_for"]

T = TypeVar("T")
_ADAPTERS: Final = ("blocking", "asyncio", "trio")


def add_arguments(parser: argparse.ArgumentParser, default: str | None = _ADAPTERS[0]) -> None:
    """Add the option; a command may have something of its own, quicker than an adapter, where that is not given."""
    group = parser.add_argument_group("input and output")
    group.add_argument(
        "--io",
        choices=_ADAPTERS,
        default=default,
        help=f"what carries the bytes (default: {default or 'a bare socket'})",
    )


def adapter(arguments: argparse.Namespace) -> Any:
    """Import the module of the adapter that was chosen."""
    return import_module(f"dicom_transports.{arguments.io}")


def carry(arguments: argparse.Namespace, talk: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run what is said on an association to its end, and return what it returns; raise what it raises."""
    if arguments.io == "asyncio":
        import asyncio  # noqa: PLC0415 - only what is used is loaded

        return asyncio.run(talk())
    if arguments.io == "trio":
        import trio  # noqa: PLC0415

        return trio.run(talk)
    coroutine = talk()
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        coroutine.close()
    raise RuntimeError("what never waits has waited")


async def settled(value: Any) -> Any:
    """Return the value of what an adapter returned."""
    return await value if isawaitable(value) else value


async def each(results: Any) -> AsyncIterator[Any]:
    """Iterate over the results of an operation."""
    if hasattr(results, "__aiter__"):
        async for result in results:
            yield result
    else:
        for result in results:
            yield result


@asynccontextmanager
async def entered(context: Any) -> AsyncIterator[Any]:
    """Enter the context of an association, or of a server."""
    if isinstance(context, AbstractAsyncContextManager):
        async with context as value:
            yield value
    else:
        with context as value:
            yield value


def served(arguments: argparse.Namespace, ae: Any, address: tuple[str, int], **options: Any) -> Any:
    """Start a server, and return its context; the options are those of ``start_server`` of an AE."""
    if arguments.io == "blocking":
        options["block"] = False
    return entered(ae.start_server(address, **options))


async def until_stopped(arguments: argparse.Namespace, server: Any, finish_within: float) -> None:
    """Serve until Ctrl-C or SIGTERM, then let associations end by themselves for so many seconds."""
    if arguments.io == "blocking":
        try:
            server.wait()
        finally:
            server.shutdown(finish_within)
    else:
        try:
            await _for_ever(arguments.io)
        finally:
            await server.shutdown(finish_within)


async def wait_for(arguments: argparse.Namespace, event: threading.Event, seconds: float | None) -> bool:
    """Wait for an event that another thread may set, or the loop itself; return whether it was set in time.

    Who is interrupted meanwhile has to set it, for the thread that an event loop lets wait.
    """
    if arguments.io == "trio":
        import trio  # noqa: PLC0415 - only what is used is loaded

        return await trio.to_thread.run_sync(event.wait, seconds, abandon_on_cancel=True)
    if arguments.io == "asyncio":
        import asyncio  # noqa: PLC0415

        return await asyncio.to_thread(event.wait, seconds)
    return event.wait(seconds)


async def _for_ever(io: str) -> None:
    if io == "trio":
        import trio  # noqa: PLC0415 - only what is used is loaded

        await trio.sleep_forever()
    import asyncio  # noqa: PLC0415

    await asyncio.Event().wait()
